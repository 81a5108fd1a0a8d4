/* Who belongs to the cluster, and changes of that: a change is begun by the leader and goes on by
 * itself, also when the client is gone; `members` says how far it is. */
#include "service/service_int.h"

#include "base/banned.h"

static void refuse(struct service_conn *c, const struct wire_request *q,
                   const struct service_member_answer *a)
{
    struct service *s = c->service;
    const struct raft *raft = replica_raft(s->replica);
    const struct replica_failure f = {.error = a->error,
                                      .term = raft_get_term(raft),
                                      .leader_id = raft_get_leader(raft),
                                      .role = raft_get_role(raft)};
    struct buf *out;

    if (a->error != WIRE_ERROR_NOT_LEADER) {
        service_fail(c, &q->origin, a->error, a->text);
        return;
    }
    out = service_out(c);
    if (out != NULL)
        service_write_failure(s, out, &q->origin, &f, "the change", q->timeout_ms);
}

void service_handle_member(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct service_member_answer a = {.error = WIRE_ERROR_NONE};
    char type[40];
    struct buf *out;
    struct wire_reply w;

    if (s->ops.member == NULL) {
        service_refuse_type(c, q, "the members of this cluster cannot change");
        return;
    }
    s->ops.member(s->ops.ctx, q->type, &q->member, &a);
    if (a.error != WIRE_ERROR_NONE) {
        refuse(c, q, &a);
        return;
    }
    out = service_out(c);
    if (out == NULL)
        return;
    (void)snprintf(type, sizeof(type), "%s_ok", wire_request_type_name(q->type));
    service_begin(s, &w, out, &q->origin, type);
    wire_reply_bool(&w, "done", a.done);
    wire_reply_u64(&w, "configuration_index", a.configuration_index);
    wire_reply_u64(&w, "voters", a.voters_before);
    wire_reply_u64(&w, "quorum", a.voters_before / 2 + 1);
    wire_reply_u64(&w, "voters_after", a.voters_after);
    wire_reply_u64(&w, "quorum_after", a.voters_after / 2 + 1);
    wire_reply_u64(&w, "heard_after", a.heard_after);
    wire_reply_u64(&w, "task", a.task);
    service_end(s, &w, &q->origin);
}
