/* The words of a reply: how it begins and ends, and what each failure of the replica is called. The
 * bottom of this folder: everything else writes through here. */
#include <stdio.h>

#include "service/service_int.h"

#include "base/banned.h"

void service_touched(const struct service_conn *c, size_t bytes)
{
    const struct service_ops *ops = &c->service->ops;

    if (bytes >= SERVICE_TOUCH_BYTES_MIN && ops->touched != NULL)
        ops->touched(ops->ctx, c->host, bytes);
}

void service_count_error(struct service *s, enum wire_error error)
{
    s->counts.rejections[error]++;
}

struct buf *service_out(const struct service_conn *c)
{
    return c->service->ops.out(c->service->ops.ctx, c->host);
}

const char *service_name_of(const struct service *s, raft_node_id id)
{
    const struct raft_server *server;

    if (s->replica == NULL || id == 0)
        return NULL;
    server = raft_configuration_get(raft_get_configuration(replica_raft(s->replica)), id);
    return server != NULL ? server->name : NULL;
}

uint64_t service_msg_id_for(struct service *s, const struct wire_origin *origin)
{
    return origin->envelope ? s->next_msg_id++ : 0;
}

void service_begin(struct service *s, struct wire_reply *w, struct buf *out,
                   const struct wire_origin *origin, const char *type)
{
    wire_reply_begin(w, out, origin, s->conf.spaced, service_msg_id_for(s, origin), type);
}

void service_begin_error(struct service *s, struct wire_reply *w, struct buf *out,
                         const struct wire_origin *origin, enum wire_error error, bool after_append,
                         const char *text)
{
    service_count_error(s, error);
    wire_reply_begin_error(w, out, origin, s->conf.spaced, service_msg_id_for(s, origin), error,
                           after_append, text);
}

void service_reply_too_large(struct service *s, struct buf *out, const struct wire_origin *origin,
                             uint64_t own_msg_id)
{
    struct wire_reply w;

    service_count_error(s, WIRE_ERROR_TOO_LARGE);
    wire_reply_begin_error(&w, out, origin, s->conf.spaced, own_msg_id, WIRE_ERROR_TOO_LARGE, false,
                           "the reply would be larger than the limit");
    wire_reply_u64(&w, "limit", REPLY_BYTES_MAX);
    (void)wire_reply_end(&w);
}

void service_end(struct service *s, struct wire_reply *w, const struct wire_origin *origin)
{
    if (wire_reply_len(w) > REPLY_BYTES_MAX) {
        wire_reply_undo(w);
        service_reply_too_large(s, w->buf, origin, w->own_msg_id);
        return;
    }
    /* Without memory there is no reply; the client's own deadline tells it. */
    (void)wire_reply_end(w);
}

static void leader_fields(struct service *s, struct wire_reply *w, raft_node_id leader_id,
                          bool with_addr)
{
    const char *name = service_name_of(s, leader_id);

    wire_reply_str(w, "leader_id", name);
    if (with_addr)
        wire_reply_str(w, "leader_addr",
                       name != NULL && s->ops.client_addr != NULL
                           ? s->ops.client_addr(s->ops.ctx, leader_id)
                           : NULL);
}

static void not_leader_text(struct service *s, raft_node_id leader_id, char *text, size_t size)
{
    const char *name = service_name_of(s, leader_id);
    const char *addr =
        s->ops.client_addr != NULL ? s->ops.client_addr(s->ops.ctx, leader_id) : NULL;

    if (name == NULL)
        (void)snprintf(text, size, "not the leader, and none is known");
    else if (addr == NULL)
        (void)snprintf(text, size, "not the leader; try %s", name);
    else
        (void)snprintf(text, size, "not the leader; try %s at %s", name, addr);
}

/* "n1, n3": the voters that said they have no room. */
static void full_names(struct service *s, char *text, size_t size)
{
    struct raft_status st;
    size_t n = 0;

    text[0] = '\0';
    raft_get_status(replica_raft(s->replica), &st);
    for (unsigned i = 0; i < st.n_peers && n < size; i++) {
        const struct raft_peer_status *p = &st.peers[i];

        if (p->role == RAFT_VOTER && p->heard && p->fitness == RAFT_PARKED)
            n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "",
                                  service_name_of(s, p->id));
    }
}

/* The leader's own disk has room. */
static void nodes_text(struct service *s, char *text, size_t size)
{
    char names[128];

    full_names(s, names, sizeof(names));
    (void)snprintf(text, size,
                   "no room for a write: the disks of most nodes are full or the nodes are away; "
                   "make room on %s, or enlarge the disks, or start nodes that are down (deleting "
                   "keys does not help)",
                   names[0] != '\0' ? names : "those that are full");
}

/* Other things help against each. */
static const char *no_space_text(const char *what)
{
    if (strcmp(what, "log") == 0)
        return "no room for a write: the disk of the leader's log is full; make room there, or "
               "enlarge it (deleting keys does not help)";
    if (strcmp(what, "state") == 0)
        return "no room for a write: the disk of the leader's state is full; make room there, or "
               "enlarge it (deleting keys does not help)";
    return "no room for a write: the cluster holds as much as map_size allows; delete keys, or "
           "enlarge map_size on all nodes";
}

/* What holds it up, and so what would help (CLIENT-30). */
static void cause_text(const struct replica_failure *f, char *text, size_t size)
{
    text[0] = '\0';
    switch (f->cause) {
    case REPLICA_CAUSE_OWN_DISK:
        (void)snprintf(
            text, size, ": the disk of this node is slow, %llu ms for a sync, election %llu ms",
            (unsigned long long)f->sync_us / 1000, (unsigned long long)f->election_us / 1000);
        break;
    case REPLICA_CAUSE_PEERS_DISKS:
        (void)snprintf(
            text, size,
            ": %u nodes are heard and have not stored it, their disks may be slow or full",
            f->reached);
        break;
    case REPLICA_CAUSE_NO_LEADER:
        (void)snprintf(text, size, ": %u nodes are heard, none has been elected for %llu ms",
                       f->reached, (unsigned long long)f->no_leader_us / 1000);
        break;
    case REPLICA_CAUSE_GATE:
        (void)snprintf(text, size,
                       ": nothing is committed yet for %llu ms, so long the leader before this one "
                       "may still read by its lease",
                       (unsigned long long)(f->gate_left_us + 999) / 1000);
        break;
    case REPLICA_CAUSE_NONE:
    case REPLICA_CAUSE_PEERS_SILENT:
        break;
    }
}

/* Others are not behind (FOLLOW-7). */
static void behind_text(struct service *s, const struct replica_failure *f, char *text, size_t size)
{
    const char *name = service_name_of(s, f->leader_id);
    const char *addr =
        s->ops.client_addr != NULL ? s->ops.client_addr(s->ops.ctx, f->leader_id) : NULL;
    char behind[96];

    if (f->behind > 0)
        (void)snprintf(behind, sizeof(behind), "this node is %llu %s behind",
                       (unsigned long long)f->behind, f->behind == 1 ? "entry" : "entries");
    else
        (void)snprintf(behind, sizeof(behind), "this node makes its state again");
    if (name == NULL)
        (void)snprintf(text, size, "%s; ask another one", behind);
    else
        (void)snprintf(text, size, "%s; ask another one, or the leader %s%s%s", behind, name,
                       addr != NULL ? " at " : "", addr != NULL ? addr : "");
}

static void failure_text(struct service *s, const struct replica_failure *f, const char *what,
                         uint32_t timeout_ms, char *text, size_t size)
{
    char fate[64] = "";
    char cause[128];

    if (f->after_append)
        (void)snprintf(fate, sizeof(fate), "; whether %s happened is not known", what);
    switch ((int)f->error) { /* int: the rest is for default */
    case WIRE_ERROR_NOT_LEADER:
        not_leader_text(s, f->leader_id, text, size);
        break;
    case WIRE_ERROR_TERM_CHANGED:
        (void)snprintf(text, size, "the term changed from %llu to %llu%s",
                       (unsigned long long)f->old_term, (unsigned long long)f->term, fate);
        break;
    case WIRE_ERROR_ROLE_CHANGED:
        (void)snprintf(text, size, "this node stopped leading in term %llu%s",
                       (unsigned long long)f->old_term, fate);
        break;
    case WIRE_ERROR_TIMEOUT:
        cause_text(f, cause, sizeof(cause));
        (void)snprintf(text, size, "no answer within %u ms, waiting for %s%s%s", timeout_ms,
                       f->stage != NULL ? f->stage : "the cluster", cause, fate);
        break;
    case WIRE_ERROR_NETWORK:
        (void)snprintf(text, size, "no quorum: heard %u of the %u nodes needed%s", f->reached,
                       f->needed, fate);
        break;
    case WIRE_ERROR_CANCELLED:
        (void)snprintf(text, size, "this node is shutting down%s", fate);
        break;
    case WIRE_ERROR_BUSY:
        (void)snprintf(text, size, "%s; try again",
                       f->cause == REPLICA_CAUSE_OWN_DISK
                           ? "as much waits for the disk of this node as it can write in time"
                           : "too much is under way on this node");
        break;
    case WIRE_ERROR_OVERLOADED:
        behind_text(s, f, text, size);
        break;
    case WIRE_ERROR_NO_SPACE:
        if (strcmp(f->space.what, "nodes") == 0)
            nodes_text(s, text, size);
        else
            (void)snprintf(text, size, "%s", no_space_text(f->space.what));
        break;
    case WIRE_ERROR_TOO_LARGE:
        (void)snprintf(text, size, "the command is larger than a log entry may be");
        break;
    default:
        (void)snprintf(text, size, "%s", wire_error_name(f->error));
        break;
    }
}

/* What the row of the error promises beside its text. */
static void failure_fields(struct service *s, struct wire_reply *w, const struct replica_failure *f,
                           uint32_t timeout_ms)
{
    switch ((int)f->error) { /* int: the rest is for default */
    case WIRE_ERROR_NOT_LEADER:
        leader_fields(s, w, f->leader_id, true);
        break;
    case WIRE_ERROR_TERM_CHANGED:
        wire_reply_u64(w, "old_term", f->old_term);
        wire_reply_u64(w, "term", f->term);
        leader_fields(s, w, f->leader_id, false);
        break;
    case WIRE_ERROR_ROLE_CHANGED:
        wire_reply_str(w, "role", raft_role_name(f->role));
        leader_fields(s, w, f->leader_id, false);
        break;
    case WIRE_ERROR_TIMEOUT:
        wire_reply_u64(w, "timeout_ms", timeout_ms);
        wire_reply_str(w, "stage", f->stage);
        wire_reply_str(w, "cause", replica_cause_name(f->cause));
        break;
    case WIRE_ERROR_NETWORK:
        wire_reply_u64(w, "reached", f->reached);
        wire_reply_u64(w, "needed", f->needed);
        break;
    case WIRE_ERROR_CANCELLED:
        wire_reply_str(w, "by", "shutdown");
        break;
    case WIRE_ERROR_BUSY:
        wire_reply_u64(w, "limit", f->limit);
        wire_reply_u64(w, "retry_after_ms", RETRY_AFTER_MS);
        break;
    case WIRE_ERROR_OVERLOADED:
        wire_reply_u64(w, "limit", f->limit);
        wire_reply_u64(w, "retry_after_ms", OVERLOADED_RETRY_AFTER_MS);
        leader_fields(s, w, f->leader_id, true);
        break;
    case WIRE_ERROR_NO_SPACE:
        wire_reply_u64(w, "used", f->space.used);
        wire_reply_u64(w, "limit", f->space.limit);
        wire_reply_str(w, "what", f->space.what);
        break;
    case WIRE_ERROR_TOO_LARGE:
        wire_reply_u64(w, "limit", ENTRY_BYTES_MAX);
        break;
    default:
        break;
    }
}

void service_write_failure(struct service *s, struct buf *out, const struct wire_origin *origin,
                           const struct replica_failure *f, const char *what, uint32_t timeout_ms)
{
    struct wire_reply w;
    char text[512];

    failure_text(s, f, what, timeout_ms, text, sizeof(text));
    service_begin_error(s, &w, out, origin, f->error, f->after_append, text);
    failure_fields(s, &w, f, timeout_ms);
    service_end(s, &w, origin);
}

void service_refuse_busy(struct service_conn *c, const struct wire_origin *origin, const char *text,
                         uint64_t limit)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, WIRE_ERROR_BUSY, false, text);
    wire_reply_u64(&w, "limit", limit);
    wire_reply_u64(&w, "retry_after_ms", RETRY_AFTER_MS);
    service_end(c->service, &w, origin);
}

void service_refuse_overloaded(struct service_conn *c, const struct wire_origin *origin,
                               const char *text, const struct service_spare *spare)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, WIRE_ERROR_OVERLOADED, false, text);
    wire_reply_u64(&w, "limit", budget_root(&c->memory->requests)->limit);
    wire_reply_u64(&w, "retry_after_ms", OVERLOADED_RETRY_AFTER_MS);
    if (spare != NULL) {
        wire_reply_u64(&w, "anchor", spare->anchor);
        wire_reply_str(&w, "try", spare->addr);
    }
    service_end(c->service, &w, origin);
}

void service_reply_key_not_found(struct request *req, struct buf *out, raft_index index)
{
    struct service *s = req->conn->service;
    struct wire_reply w;

    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_KEY_NOT_FOUND, false, "no such key");
    wire_reply_u64(&w, "index", index);
    service_end(s, &w, &req->origin);
}

void service_reply_not_supported(struct request *req, struct buf *out, raft_node_id behind)
{
    struct service *s = req->conn->service;
    const char *name = service_name_of(s, behind);
    struct wire_reply w;
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "%s is not known to understand sessions: it runs an earlier version of ridd, or "
                   "was not heard since this node started; upgrade it, or start it",
                   name != NULL ? name : "a member");
    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_NOT_SUPPORTED, false, text);
    wire_reply_str(&w, "request_type", wire_request_type_name(req->type));
    service_end(s, &w, &req->origin);
}

void service_refuse_condition(struct service_conn *c, const struct wire_origin *origin,
                              const char *text, raft_index index)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, WIRE_ERROR_PRECONDITION_FAILED, false, text);
    wire_reply_u64(&w, "index", index);
    service_end(c->service, &w, origin);
}

void service_refuse_field(struct service_conn *c, const struct wire_request *q, const char *field,
                          const char *text)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, &q->origin, WIRE_ERROR_MALFORMED, false, text);
    wire_reply_str(&w, "field", field);
    service_end(c->service, &w, &q->origin);
}

void service_refuse_type(struct service_conn *c, const struct wire_request *q, const char *text)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, &q->origin, WIRE_ERROR_NOT_SUPPORTED, false, text);
    wire_reply_string(&w, "request_type", q->type_name.data, q->type_name.len);
    service_end(c->service, &w, &q->origin);
}

void service_fail(struct service_conn *c, const struct wire_origin *origin, enum wire_error error,
                  const char *text)
{
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, error, false, text);
    service_end(c->service, &w, origin);
}
