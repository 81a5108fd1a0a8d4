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

static uint32_t waited_ms(const struct request *req)
{
    const struct service *s = req->conn->service;

    return (uint32_t)((s->ops.now_us(s->ops.ctx) - req->arrived_us) / 1000u);
}

static void fail_transfer(struct request *req, enum wire_error error, const char *stage)
{
    const struct raft *raft = replica_raft(req->conn->service->replica);
    struct replica_failure f = {.error = error,
                                .stage = stage,
                                .term = raft_get_term(raft),
                                .leader_id = raft_get_leader(raft),
                                .role = raft_get_role(raft)};

    /* What it waited, and not what it might have: the core gives a transfer up before that. */
    if (error == WIRE_ERROR_TIMEOUT)
        req->timeout_ms = waited_ms(req);
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

    switch (replica_transfer(c->service->replica, to, req->arrived_us)) {
    case 0:
        list_append(&c->service->transfers, &req->transfer_link);
        break;
    case RAFT_E_NOT_LEADER:
        fail_transfer(req, WIRE_ERROR_NOT_LEADER, NULL);
        break;
    case RAFT_E_BUSY:
        fail_transfer(req, WIRE_ERROR_BUSY, NULL);
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
    raft = replica_raft(s->replica);
    list_for_each_safe(it, &s->transfers)
    {
        struct request *req = list_entry(it, struct request, transfer_link);
        raft_node_id leader_id = raft_get_leader(raft);

        if (raft_get_role(raft) != RAFT_LEADER && leader_id != 0)
            reply_transferred(req, leader_id);
        else if (raft_get_role(raft) == RAFT_LEADER && !replica_transferring(s->replica))
            fail_transfer(req, WIRE_ERROR_TIMEOUT, "the other node to take over");
        else if (now_us >= req->rr.deadline_us)
            fail_transfer(req, WIRE_ERROR_TIMEOUT, "the next leader");
    }
}

uint64_t service_deadline_us(const struct service *s)
{
    uint64_t deadline = timers_next_us(&s->waiting);

    list_for_each(it, &s->transfers)
    {
        const struct request *req = list_entry(it, const struct request, transfer_link);

        if (req->rr.deadline_us < deadline)
            deadline = req->rr.deadline_us;
    }
    return deadline;
}
