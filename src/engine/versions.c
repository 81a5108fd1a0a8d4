/* What may be proposed while nodes of several versions are together.
 *
 * A node that meets a committed command of a later version ends (STATE-10). So a leader proposes
 * none before every member has said that it understands it; one that is down, and was not met since
 * this process began, has not said so. Once the log has had such an entry there is nothing to wait
 * for: whoever does not understand it ends there in any case. */
#include "engine/engine_int.h"

#include "base/banned.h"

bool engine_all_know(const struct engine *e, unsigned version, raft_node_id *ret_behind)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    if (e->ops.command_version == NULL)
        return true;
    for (unsigned i = 0; i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;

        if (id != e->id && e->ops.command_version(e->ops.ctx, id) < version) {
            *ret_behind = id;
            return false;
        }
    }
    return true;
}

static void look(const struct engine *e, struct kv_sessions *ret)
{
    *ret = (struct kv_sessions){0};
    if (e->state.sessions != NULL)
        e->state.sessions(e->state.ctx, ret);
}

/* That the log has had one is known from what was applied (SESSION-7). */
bool engine_may_name_session(const struct engine *e, struct replica_refusal *ret)
{
    struct kv_sessions sessions;

    look(e, &sessions);
    if (sessions.n > 0 || sessions.gone > 0)
        return true;
    ret->behind = e->id;
    if (e->state.sessions != NULL && engine_all_know(e, COMMAND_VERSION_SESSION, &ret->behind))
        return true;
    /* The entry that opened the first may be among those that are not applied yet. */
    ret->error = replica_last_applied(e->replica) < raft_get_commit_index(engine_raft(e))
                     ? WIRE_ERROR_BUSY
                     : WIRE_ERROR_NOT_SUPPORTED;
    return false;
}

void engine_sessions_status(const struct engine *e, struct wire_reply *w)
{
    struct kv_sessions sessions;

    look(e, &sessions);
    wire_reply_open_object(w, "sessions");
    wire_reply_u64(w, "n", sessions.n);
    wire_reply_u64(w, "bytes", sessions.bytes);
    wire_reply_u64(w, "evicted", sessions.gone);
    wire_reply_close_object(w);
}
