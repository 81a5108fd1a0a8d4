/* Handing the leadership over: the request waits until another node leads, this one gave the
 * attempt up, or its time is over. The replica knows nothing of it: service_turn() looks. */
#include <string.h>

#include "service/service_int.h"

#include "base/banned.h"

static void reply_transferred(struct request *req, raft_node_id leader_id)
{
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    struct wire_reply w;

    if (out != NULL) {
        service_begin(s, &w, out, &req->origin, "transfer_leader_ok");
        wire_reply_str(&w, "leader_id", service_name_of(s, leader_id));
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void fail_transfer(struct request *req, enum wire_error error)
{
    const struct raft *raft = replica_raft(req->conn->service->replica);
    struct replica_failure f = {.error = error,
                                .term = raft_get_term(raft),
                                .leader_id = raft_get_leader(raft),
                                .role = raft_get_role(raft)};

    service_request_failed(&req->rr, &f);
}

/* What is known here of the node that did not take over: more time would help against the last
 * alone. */
static const char *held_up_by(const struct service *s, raft_node_id to, uint64_t now_us)
{
    struct raft_status st;

    if (!replica_hears(s->replica, to, now_us))
        return "the other node, which is not heard, to take over";
    raft_get_status(replica_raft(s->replica), &st);
    for (unsigned i = 0; i < st.n_peers; i++) {
        const struct raft_peer_status *p = &st.peers[i];

        if (p->id == to && p->fitness == RAFT_PARKED)
            return "the other node, whose disk is full, to take over";
        if (p->id == to && p->match_index < st.last_index)
            return "the other node, which lacks entries of the log, to take over";
    }
    return "the other node to take over";
}

/* Without a quorum it is that which held it up, like any other request. */
static void fail_late(struct request *req, const char *stage, uint64_t now_us)
{
    struct replica_failure f;

    replica_deadline_failure(req->conn->service->replica, stage, now_us, &f);
    /* What it waited, and not what it might have: the core gives a transfer up before that. */
    req->timeout_ms = (uint32_t)((now_us - req->arrived_us) / 1000u);
    service_request_failed(&req->rr, &f);
}

/* The voter that `to` names; NULL: it names none. */
static const struct raft_server *target_of(const struct raft *raft, struct wire_slice to)
{
    char name[NODE_NAME_BYTES_MAX + 1];
    const struct raft_server *server;

    if (to.len > NODE_NAME_BYTES_MAX)
        return NULL;
    memcpy(name, to.data, to.len);
    name[to.len] = '\0';
    server = raft_configuration_get_name(raft_get_configuration(raft), name);
    return server != NULL && server->role == RAFT_VOTER ? server : NULL;
}

static void begin_transfer(struct request *req, const struct wire_request *q, raft_node_id to)
{
    struct service_conn *c = req->conn;
    struct raft_status st;

    switch (replica_transfer(c->service->replica, to, req->arrived_us)) {
    case 0:
        raft_get_status(replica_raft(c->service->replica), &st);
        req->transfer_to = st.transfer_to;
        req->listed = true;
        list_append(&c->service->transfers, &req->turn_link);
        break;
    case RAFT_E_NOT_LEADER:
        fail_transfer(req, WIRE_ERROR_NOT_LEADER);
        break;
    case RAFT_E_BUSY:
        fail_transfer(req, WIRE_ERROR_BUSY);
        break;
    case RAFT_E_UNFIT:
        service_request_free(req);
        service_refuse_field(c, q, "to",
                             to != 0 ? "the state of that node is damaged or being rebuilt: it "
                                       "would not lead"
                                     : "no other voter is fit to lead");
        break;
    default:
        service_request_free(req);
        service_refuse_field(c, q, "to", "there is no other voter to lead");
        break;
    }
}

void service_handle_transfer(struct service_conn *c, const struct wire_request *q)
{
    const struct raft *raft = replica_raft(c->service->replica);
    raft_node_id to = 0; /* whoever is most advanced */
    struct request *req;

    if (q->to.data != NULL) {
        const struct raft_server *server = target_of(raft, q->to);

        if (server == NULL) {
            service_refuse_field(c, q, "to", "'to' names no voter of this cluster");
            return;
        }
        to = server->id;
    }
    req = service_request_new(c, q, 0);
    if (req == NULL)
        return;
    req->rr.failed = service_request_failed;
    if (to != 0 && to == raft_get_leader(raft))
        reply_transferred(req, to); /* it leads already */
    else
        begin_transfer(req, q, to);
}

void service_turn(struct service *s, uint64_t now_us)
{
    const struct raft *raft;

    if (s->replica == NULL)
        return;
    service_expire_waiting(s, now_us);
    compare_turn(s);
    service_count_alike(s);
    service_window_turn(&s->window, &s->counts, now_us);
    service_parts_turn(s, now_us);
    raft = replica_raft(s->replica);
    list_for_each_safe(it, &s->transfers)
    {
        struct request *req = list_entry(it, struct request, turn_link);
        raft_node_id leader_id = raft_get_leader(raft);

        if (raft_get_role(raft) != RAFT_LEADER && leader_id != 0)
            reply_transferred(req, leader_id);
        else if (raft_get_role(raft) == RAFT_LEADER && !replica_transferring(s->replica))
            fail_late(req, held_up_by(s, req->transfer_to, now_us), now_us);
        else if (now_us >= req->rr.deadline_us)
            fail_late(req,
                      raft_get_role(raft) == RAFT_LEADER ? held_up_by(s, req->transfer_to, now_us)
                                                         : "the next leader",
                      now_us);
    }
}

uint64_t service_deadline_us(const struct service *s)
{
    const uint64_t parts = service_parts_deadline_us(s);
    uint64_t deadline = timers_next_us(&s->waiting);

    deadline = parts < deadline ? parts : deadline;
    list_for_each(it, &s->transfers)
    {
        const struct request *req = list_entry(it, const struct request, turn_link);

        if (req->rr.deadline_us < deadline)
            deadline = req->rr.deadline_us;
    }
    return deadline;
}
