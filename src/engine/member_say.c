/* What is told of changes: to clients, how far they are; to the host, what is durable of the
 * members. */
#include <string.h>

#include "engine/engine_int.h"
#include "engine/members_int.h"
#include "wire/reply.h"

#include "base/banned.h"

static void say_change(const struct engine *e, struct wire_reply *w, const struct raft_status *st,
                       const struct raft_server *s)
{
    const struct raft_peer_status *p = member_peer(st, s->id);
    const struct raft_server *old = raft_configuration_get(members_in_force(e), s->replaces);
    const bool leads = st->role == RAFT_LEADER;

    if (!s->promote && old == NULL)
        return;
    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "id", s->name);
    wire_reply_str(w, "what", s->role == RAFT_LEARNER ? "catching up" : "removing the old one");
    wire_reply_str(w, "replaces", old != NULL ? old->name : NULL);
    if (leads && p != NULL) {
        wire_reply_u64(w, "match_index", p->match_index);
        if (p->behind != RAFT_BEHIND_UNKNOWN)
            wire_reply_u64(w, "behind_entries", p->behind);
        wire_reply_bool(w, "heard", p->heard);
    }
    wire_reply_close_object(w);
}

void engine_member_changes(void *ctx, struct wire_reply *w)
{
    static const char *const states[] = {
        [TASK_NONE] = "none",        [TASK_ASKING] = "asking", [TASK_NAMING] = "naming",
        [TASK_JOINING] = "dialling", [TASK_ADDING] = "adding", [TASK_IN_LOG] = "in_log",
        [TASK_FAILED] = "failed"};
    struct engine *e = ctx;
    const struct raft_configuration *c = members_in_force(e);
    const struct member_task *t = &e->members.task;
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    wire_reply_open_array(w, "changes");
    for (unsigned i = 0; i < c->n; i++)
        say_change(e, w, &st, &c->servers[i]);
    wire_reply_close_array(w);
    if (t->state == TASK_NONE && t->why[0] == '\0') {
        wire_reply_null(w, "last_task");
        return;
    }
    wire_reply_open_object(w, "last_task");
    wire_reply_str(w, "id", t->name);
    wire_reply_str(w, "state", states[t->state]);
    wire_reply_str(w, "why", t->why[0] != '\0' ? t->why : NULL);
    wire_reply_u64(w, "task", t->number);
    wire_reply_u64(w, "taken_back", t->taken_back);
    wire_reply_close_object(w);
}

/* A majority without us commits what is not on our disk yet, and a snapshot counts as stored before
 * the log begins behind it. */
const struct raft_config_at *engine_durable_configuration(const struct engine *e)
{
    const struct raft *raft = engine_raft(e);
    struct raft_status st;

    if (raft_is_installing(raft))
        return NULL;
    raft_get_status(raft, &st);
    return raft_config_at(raft,
                          st.commit_index < st.last_stored ? st.commit_index : st.last_stored);
}

bool engine_cluster_id(const struct engine *e, unsigned char ret_id[16])
{
    const struct raft_config_at *at = engine_durable_configuration(e);

    if (at == NULL || !raft_configuration_has_cluster_id(&at->configuration))
        return false;
    memcpy(ret_id, at->configuration.cluster_id, sizeof(at->configuration.cluster_id));
    return true;
}
