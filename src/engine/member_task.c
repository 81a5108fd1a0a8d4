/* The new node that is told who it is, before anything of it enters the log.
 *
 *   asked whether it is there ──► the cluster gets its random id ──► told who it is ──► a learner
 *
 * The first two only where the cluster has no id yet. One at a time, and this node's alone: when it
 * fails the members are as they were. */
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "engine/members_int.h"

#include "base/banned.h"

__attribute__((format(printf, 2, 3))) static void fail_task(struct engine *e, const char *format,
                                                            ...)
{
    struct member_task *t = &e->members.task;
    uint64_t suppressed = 0;
    va_list ap;

    t->state = TASK_FAILED;
    t->taken_back = 0;
    va_start(ap, format);
    (void)vsnprintf(t->why, sizeof(t->why), format, ap);
    va_end(ap);
    if (log_limit_ok(&e->members.failed_limit, engine_now_us(e), &suppressed) && engine_logs(e))
        log_event(LOG_WARNING, "member_not_added", "node=%s why=\"%s\" suppressed=%llu", t->name,
                  t->why, (unsigned long long)suppressed);
}

/* Of it nothing stands in the log. */
bool member_task_is_waited_for(const struct member_task *t)
{
    return t->state >= TASK_ASKING && t->state <= TASK_ADDING;
}

/* On the bench: it is told nothing. */
static int run_ask(void *ctx)
{
    struct engine *e = ctx;
    struct member_task *t = &e->members.task;
    const struct engine_join j = {
        .peer_addr = t->peer_addr, .name = t->name, .version_lowest = t->version_lowest};

    return e->ops.join(e->ops.ctx, &j, &t->incarnation);
}

/* On the bench. */
static int run_join(void *ctx)
{
    struct engine *e = ctx;
    struct member_task *t = &e->members.task;
    struct engine_join j = {.peer_addr = t->peer_addr,
                            .name = t->name,
                            .config = t->config.data,
                            .len = t->config.len,
                            .version_lowest = t->version_lowest};

    memcpy(j.cluster_id, t->cluster_id, sizeof(j.cluster_id));
    return e->ops.join(e->ops.ctx, &j, &t->incarnation);
}

/* What the new node's log begins with: the configuration where the log of this node begins, which
 * is the founders' as long as that begins with entry 1. */
static bool begin_join(struct engine *e)
{
    struct member_task *t = &e->members.task;
    const struct raft *raft = engine_raft(e);
    struct raft_status st;

    raft_get_status(raft, &st);
    memcpy(t->cluster_id, members_in_force(e)->cluster_id, sizeof(t->cluster_id));
    t->version_lowest = engine_version_lowest(e);
    buf_reset(&t->config, 0);
    if (raft_configuration_encode(
            &raft_config_at(raft, st.base.index > 0 ? st.base.index : 1)->configuration,
            &t->config) != 0)
        return false;
    t->state = TASK_JOINING;
    t->began_us = engine_now_us(e);
    chores_add(e->members.bench, &t->chore, run_join, e);
    return true;
}

/* It was asked for while another configuration was in force, and the new node took its time: whose
 * place it is to take is looked at again. False: not any more. */
static bool may_exchange(struct engine *e, const struct raft_server *old)
{
    const struct member_task *t = &e->members.task;

    if (old == NULL || old->id != t->exchanges) {
        fail_task(e, "the members have changed meanwhile: ask again");
        return false;
    }
    if (old->id == e->id || (replica_hears(e->replica, old->id, engine_now_us(e)) && !t->force)) {
        fail_task(e, "'%s' is heard again: only a node that is gone can come back as another",
                  old->name);
        return false;
    }
    return true;
}

/* The node that was told: a learner. One that comes back is what it was, and goes on with what it
 * was to do, unless it is to stay a learner now (MEMBER-14). */
static void add_learner(struct engine *e)
{
    struct member_task *t = &e->members.task;
    struct raft_configuration c = *members_in_force(e);
    const struct raft_server *old = raft_configuration_get_name(&c, t->name);
    const raft_node_id id = raft_member_id(t->name, t->incarnation);
    const struct raft_removed *gone = raft_configuration_removed(&c, id);
    bool stays_learner = t->learner;
    raft_node_id replaces = t->replaces;
    struct raft_server *s;
    int rc = 0;

    t->id = id;
    if (t->exchanges == id) {
        fail_task(e, "it has the directory that it had: nothing was lost, and it only has to run");
        return;
    }
    if (old != NULL && old->id == id) { /* a task that was begun again */
        t->state = TASK_IN_LOG;
        return;
    }
    rid_assert(memcmp(c.cluster_id, t->cluster_id, sizeof(c.cluster_id)) == 0);
    if (gone != NULL) {
        fail_task(e,
                  "its directory is that of a member that was removed at index %llu: it needs an "
                  "empty one",
                  (unsigned long long)gone->index);
        return;
    }
    if (t->exchanges != 0) {
        if (!may_exchange(e, old))
            return;
        stays_learner |= old->role == RAFT_LEARNER && !old->promote;
        replaces = old->replaces;
        (void)raft_configuration_remove(&c, old->id, member_next_index(e));
    }
    rc = raft_configuration_add(&c, id, t->name, RAFT_LEARNER, t->peer_addr, t->client_addr);
    if (rc != 0) {
        fail_task(e, "%s", raft_configuration_error_text(rc));
        return;
    }
    s = member_server(&c, id);
    s->incarnation = t->incarnation;
    s->promote = !stays_learner;
    s->replaces = stays_learner ? 0 : replaces; /* only a voter does: it would never be done */
    s->patience_ms = stays_learner ? 0 : MEMBER_PATIENCE_MS;
    rc = member_append(e, &c, t->force);
    if (rc == RAFT_E_CHANGING || rc == RAFT_E_GATED || rc == RAFT_E_BUSY)
        return; /* in a later turn */
    if (rc != 0) {
        fail_task(e, "%s", rc < 0 ? strerror(-rc) : raft_error_text(rc));
        return;
    }
    t->state = TASK_IN_LOG;
}

/* The log decides which id the cluster has: a node that joins is told one that is committed
 * (MEMBER-16). */
static void name_cluster(struct engine *e)
{
    struct raft_configuration c = *members_in_force(e);
    struct member_task *t = &e->members.task;
    int rc;

    if (!members_are_settled(e))
        return;
    if (raft_configuration_has_cluster_id(&c)) {
        if (!begin_join(e))
            fail_task(e, "out of memory");
        return;
    }
    rc = member_append(e, &c, true);
    if (rc != 0 && rc != RAFT_E_CHANGING && rc != RAFT_E_GATED && rc != RAFT_E_BUSY)
        fail_task(e, "%s", rc < 0 ? strerror(-rc) : raft_error_text(rc));
    t->began_us = engine_now_us(e);
}

/* Once the cluster has an id its members are of this version for good (MEMBER-17): not for a node
 * that is not there. */
static void begin_ask(struct engine *e)
{
    struct member_task *t = &e->members.task;

    t->state = TASK_ASKING;
    t->version_lowest = engine_version_lowest(e);
    t->began_us = engine_now_us(e);
    chores_add(e->members.bench, &t->chore, run_ask, e);
}

/* False: it did not go well, or goes on. */
static bool was_answered(struct engine *e)
{
    struct member_task *t = &e->members.task;
    int rc;

    if (!chore_take(&t->chore, &rc))
        return false;
    if (rc != 0)
        fail_task(e, "%s",
                  t->chore.text[0] != '\0' ? t->chore.text : "the new node did not answer");
    return rc == 0;
}

/* The entry went with the leadership, before it was committed: nothing is left of the task. */
static void look_whether_lost(struct engine *e)
{
    const struct raft_configuration *c = members_in_force(e);
    struct member_task *t = &e->members.task;

    if (raft_configuration_get(c, t->id) != NULL)
        t->is_committed = t->is_committed || members_are_settled(e);
    else if (!t->is_committed && raft_configuration_removed(c, t->id) == NULL)
        fail_task(e, "it was lost with the leadership before it was committed: ask again");
}

void member_task_turn(struct engine *e)
{
    struct member_task *t = &e->members.task;

    if (t->state == TASK_IN_LOG)
        look_whether_lost(e);
    if (t->state == TASK_ASKING && was_answered(e))
        t->state = TASK_NAMING;
    if (t->state == TASK_NAMING && raft_get_role(engine_raft(e)) != RAFT_LEADER)
        fail_task(e, "this node does not lead any more: ask the new leader again");
    if (t->state == TASK_NAMING)
        name_cluster(e);
    if (t->state == TASK_JOINING && was_answered(e))
        t->state = TASK_ADDING;
    if (t->state != TASK_ADDING)
        return;
    if (raft_get_role(engine_raft(e)) != RAFT_LEADER)
        fail_task(e, "this node does not lead any more: ask the new leader again");
    else if (members_are_settled(e))
        add_learner(e);
}

/* ---- its beginning ---- */

/* Another task under this name is no repetition: its answer would be that of something else. */
static bool is_same_task(const struct member_task *t, const struct member_task *u)
{
    return strcmp(t->name, u->name) == 0 && strcmp(t->peer_addr, u->peer_addr) == 0 &&
           strcmp(t->client_addr, u->client_addr) == 0 && t->learner == u->learner &&
           t->replaces == u->replaces && t->exchanges == u->exchanges;
}

/* The new node is told first; who it is stands in the log afterwards. */
void member_task_begin(struct engine *e, const struct wire_member *q,
                       const struct member_task *wanted, struct service_member_answer *a)
{
    struct member_task *t = &e->members.task;

    if (member_task_is_waited_for(t)) {
        if (!is_same_task(t, wanted))
            member_refuse(a, WIRE_ERROR_BUSY, "'%s' is being added: ask again when that is done",
                          t->name);
        else
            a->task = t->number;
        return;
    }
    if (e->ops.join == NULL || e->members.bench == NULL) {
        member_refuse(a, WIRE_ERROR_NOT_SUPPORTED, "no node can be added to this cluster");
        return;
    }
    if (q->dry_run)
        return;
    rid_assert(!chore_is_busy(&t->chore)); /* only while one is being told */
    /* As a number in JSON it stays exact where numbers are reals. */
    t->number = prng_next(&e->members.prng) >> 11 | 1;
    a->task = t->number;
    t->why[0] = '\0';
    t->taken_back = 0;
    t->id = 0;
    t->is_committed = false;
    t->learner = wanted->learner;
    t->force = wanted->force;
    t->exchanges = wanted->exchanges;
    t->replaces = wanted->replaces;
    memcpy(t->name, wanted->name, sizeof(t->name));
    memcpy(t->peer_addr, wanted->peer_addr, sizeof(t->peer_addr));
    memcpy(t->client_addr, wanted->client_addr, sizeof(t->client_addr));
    t->state = TASK_NAMING;
    if (!raft_configuration_has_cluster_id(members_in_force(e)))
        begin_ask(e);
    member_task_turn(e);
}
