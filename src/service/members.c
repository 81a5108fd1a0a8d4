/* Who belongs to the cluster, and changes of that: a change is begun by the leader and goes on by
 * itself, also when the client is gone; `members` says how far it is. */
#include "service/service_int.h"

#include "base/banned.h"

/* What the row of the error promises beside its text. */
static void refusal_fields(struct wire_reply *w, const struct service_member_answer *a)
{
    switch ((int)a->error) { /* int: the rest has none */
    case WIRE_ERROR_PRECONDITION_FAILED:
        wire_reply_u64(w, "index", a->configuration_index);
        break;
    case WIRE_ERROR_BUSY:
        wire_reply_u64(w, "limit", MEMBER_CHANGES_MAX);
        wire_reply_u64(w, "retry_after_ms", MEMBER_RETRY_AFTER_MS);
        break;
    case WIRE_ERROR_INTERNAL:
        wire_reply_str(w, "ref", "members_not_changed");
        break;
    default:
        break;
    }
}

static void say_not_leading(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    const struct raft *raft = replica_raft(s->replica);
    const struct replica_failure f = {.error = WIRE_ERROR_NOT_LEADER,
                                      .term = raft_get_term(raft),
                                      .leader_id = raft_get_leader(raft),
                                      .role = raft_get_role(raft)};
    struct buf *out = service_out(c);

    if (out != NULL)
        service_write_failure(s, out, &q->origin, &f, "the change", q->timeout_ms);
}

static void refuse(struct service_conn *c, const struct wire_request *q,
                   const struct service_member_answer *a)
{
    struct service *s = c->service;
    struct buf *out;
    struct wire_reply w;

    if (a->error == WIRE_ERROR_INTERNAL && s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "members_not_changed", a->text);
    if (a->error == WIRE_ERROR_NOT_LEADER) {
        say_not_leading(c, q);
        return;
    }
    if (a->error == WIRE_ERROR_NOT_SUPPORTED) {
        service_refuse_type(c, q, a->text);
        return;
    }
    out = service_out(c);
    if (out == NULL)
        return;
    service_begin_error(s, &w, out, &q->origin, a->error, false, a->text);
    refusal_fields(&w, a);
    service_end(s, &w, &q->origin);
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
