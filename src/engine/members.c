/* Changes of the members: what a client asks for becomes configurations, one server at a time, and
 * what takes longer goes on by itself under whoever leads.
 *
 *   add      the new node is told who it is (join) ──► learner ──► caught up ──► voter
 *   replace  the same ──► the old one is removed
 *   rejoin   join ──► one entry: the old incarnation goes, a learner of the new one comes ──► voter
 *   remove, promote, demote, set_addr: one entry
 *
 * What is to become of a learner stands in the configuration itself (promote, replaces, patience),
 * so that a leader that dies in the middle takes nothing with it: the next one goes on (MEMBER-7,
 * MEMBER-14). Only the telling of the new node, before anything is appended, is this node's alone:
 * when that fails the members are as they were.
 *
 * A learner is brought up in rounds: a round ends when it has what the log had at the beginning of
 * it, and who needs less than an election timeout for one is as good as a voter. Time is counted by
 * the leader that leads, and no reading of a clock enters the log. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "raft/quorum.h"
#include "wire/frame.h"
#include "wire/reply.h"

#include "base/banned.h"

static uint64_t now_of(const struct engine *e)
{
    return e->ops.now_us(e->ops.ctx);
}

static const struct raft_configuration *in_force(const struct engine *e)
{
    return raft_get_configuration(engine_raft(e));
}

static bool is_settled(const struct engine *e)
{
    return raft_get_configuration_index(engine_raft(e)) <= raft_get_commit_index(engine_raft(e));
}

/* Where a change that is appended now will stand: what a tombstone says (MEMBER-5). */
static raft_index next_index(const struct engine *e)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    return st.last_index + 1;
}

/* ---- what a change adds to every configuration ---- */

static void draw_cluster_id(struct engine *e, struct raft_configuration *c)
{
    if (e->ops.random != NULL && e->ops.random(e->ops.ctx, c->cluster_id, sizeof(c->cluster_id)))
        return;
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t v = prng_next(&e->members.prng) | 1;

        memcpy(c->cluster_id + 8 * i, &v, sizeof(v));
    }
}

static void fill_address(char *to, size_t size, const char *addr)
{
    if (to[0] == '\0' && addr != NULL)
        (void)snprintf(to, size, "%s", addr);
}

/* The first change says what the founders' entry could not say, since their files need not be
 * equal: addresses, incarnations, and the id by which members know each other (MEMBER-16). */
static void complete(struct engine *e, struct raft_configuration *c)
{
    if (!raft_configuration_has_cluster_id(c)) {
        draw_cluster_id(e, c);
        raft_cluster_id_mark(c->cluster_id, false);
    }
    if (c->version < MEMBERS_VERSION)
        c->version = MEMBERS_VERSION;
    for (unsigned i = 0; i < c->n; i++) {
        struct raft_server *s = &c->servers[i];

        if (e->ops.peer_addr != NULL)
            fill_address(s->peer_addr, sizeof(s->peer_addr), e->ops.peer_addr(e->ops.ctx, s->id));
        if (e->ops.client_addr != NULL)
            fill_address(s->client_addr, sizeof(s->client_addr),
                         e->ops.client_addr(e->ops.ctx, s->id));
        if (s->incarnation == 0 && e->ops.incarnation != NULL)
            s->incarnation = e->ops.incarnation(e->ops.ctx, s->id);
    }
}

static bool is_linked(const struct engine *e, raft_node_id id)
{
    return e->ops.peer_connected == NULL || e->ops.peer_connected(e->ops.ctx, id);
}

/* Who was met and was of this version understands such an entry; who was not met is away, and says
 * so in words if it comes back and does not (MEMBER-17). leaves: when away it will not come. */
static const char *who_is_too_old(const struct engine *e, const struct raft_server *leaves)
{
    const struct raft_configuration *c = in_force(e);

    for (unsigned i = 0; e->ops.peer_version != NULL && i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;
        const unsigned version = id == e->id ? 0 : e->ops.peer_version(e->ops.ctx, id);

        if (version != 0 && version < WIRE_VERSION_SNAPSHOTS &&
            (leaves == NULL || leaves->id != id || is_linked(e, id)))
            return c->servers[i].name;
    }
    return NULL;
}

static int append(struct engine *e, struct raft_configuration *c, bool force)
{
    const raft_index based_on = raft_get_configuration_index(engine_raft(e));
    struct raft_entry_id id;
    int rc;

    complete(e, c);
    rc = replica_configure(e->replica, c, based_on, force, now_of(e), &id);
    if (rc == 0 && engine_logs(e))
        log_event(LOG_INFO, "members_change", "index=%llu voters=%u servers=%u",
                  (unsigned long long)id.index, raft_configuration_n_voters(c), c->n);
    return rc;
}

/* It is there. */
static struct raft_server *server_of(struct raft_configuration *c, raft_node_id id)
{
    unsigned i = 0;

    while (i < c->n && c->servers[i].id != id)
        i++;
    rid_assert(i < c->n);
    return &c->servers[i];
}

/* ---- the task that has not entered the log ---- */

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
    if (log_limit_ok(&e->members.failed_limit, now_of(e), &suppressed) && engine_logs(e))
        log_event(LOG_WARNING, "member_not_added", "node=%s why=\"%s\" suppressed=%llu", t->name,
                  t->why, (unsigned long long)suppressed);
}

/* Of it nothing stands in the log. */
static bool is_waited_for(const struct member_task *t)
{
    return t->state >= TASK_ASKING && t->state <= TASK_ADDING;
}

/* On the bench: it is told nothing. */
static int run_ask(void *ctx)
{
    static const unsigned char none[16];
    struct engine *e = ctx;
    struct member_task *t = &e->members.task;

    return e->ops.join(e->ops.ctx, t->peer_addr, t->name, NULL, 0, none, &t->incarnation);
}

/* On the bench. */
static int run_join(void *ctx)
{
    struct engine *e = ctx;
    struct member_task *t = &e->members.task;

    return e->ops.join(e->ops.ctx, t->peer_addr, t->name, t->config.data, t->config.len,
                       t->cluster_id, &t->incarnation);
}

/* What the new node's log begins with: the configuration where the log of this node begins, which
 * is the founders' as long as that begins with entry 1. */
static bool begin_join(struct engine *e)
{
    struct member_task *t = &e->members.task;
    const struct raft *raft = engine_raft(e);
    struct raft_status st;

    raft_get_status(raft, &st);
    memcpy(t->cluster_id, in_force(e)->cluster_id, sizeof(t->cluster_id));
    buf_reset(&t->config, 0);
    if (raft_configuration_encode(
            &raft_config_at(raft, st.base.index > 0 ? st.base.index : 1)->configuration,
            &t->config) != 0)
        return false;
    t->state = TASK_JOINING;
    t->began_us = now_of(e);
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
    if (old->id == e->id || (replica_hears(e->replica, old->id, now_of(e)) && !t->force)) {
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
    struct raft_configuration c = *in_force(e);
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
        (void)raft_configuration_remove(&c, old->id, next_index(e));
    }
    rc = raft_configuration_add(&c, id, t->name, RAFT_LEARNER, t->peer_addr, t->client_addr);
    if (rc != 0) {
        fail_task(e, "%s", raft_configuration_error_text(rc));
        return;
    }
    s = server_of(&c, id);
    s->incarnation = t->incarnation;
    s->promote = !stays_learner;
    s->replaces = stays_learner ? 0 : replaces; /* only a voter does: it would never be done */
    s->patience_ms = stays_learner ? 0 : MEMBER_PATIENCE_MS;
    rc = append(e, &c, t->force);
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
    struct raft_configuration c = *in_force(e);
    struct member_task *t = &e->members.task;
    int rc;

    if (!is_settled(e))
        return;
    if (raft_configuration_has_cluster_id(&c)) {
        if (!begin_join(e))
            fail_task(e, "out of memory");
        return;
    }
    rc = append(e, &c, true);
    if (rc != 0 && rc != RAFT_E_CHANGING && rc != RAFT_E_GATED && rc != RAFT_E_BUSY)
        fail_task(e, "%s", rc < 0 ? strerror(-rc) : raft_error_text(rc));
    t->began_us = now_of(e);
}

/* Once the cluster has an id its members are of this version for good (MEMBER-17): not for a node
 * that is not there. */
static void begin_ask(struct engine *e)
{
    struct member_task *t = &e->members.task;

    t->state = TASK_ASKING;
    t->began_us = now_of(e);
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
    const struct raft_configuration *c = in_force(e);
    struct member_task *t = &e->members.task;

    if (raft_configuration_get(c, t->id) != NULL)
        t->is_committed = t->is_committed || is_settled(e);
    else if (!t->is_committed && raft_configuration_removed(c, t->id) == NULL)
        fail_task(e, "it was lost with the leadership before it was committed: ask again");
}

static void look_at_task(struct engine *e)
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
    else if (is_settled(e))
        add_learner(e);
}

/* ---- catching up ---- */

static struct catchup *catchup_of(struct engine *e, raft_node_id id)
{
    struct catchup *unused = NULL;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        struct catchup *u = &e->members.catchups[i];

        if (u->id == id)
            return u;
        if (unused == NULL && raft_configuration_get(in_force(e), u->id) == NULL)
            unused = u;
    }
    rid_assert(unused != NULL);
    *unused = (struct catchup){.id = id};
    return unused;
}

static const struct raft_peer_status *peer_of(const struct raft_status *st, raft_node_id id)
{
    for (unsigned i = 0; i < st->n_peers; i++)
        if (st->peers[i].id == id)
            return &st->peers[i];
    return NULL;
}

static void begin_round(struct catchup *u, const struct raft_status *st, uint64_t now_us)
{
    u->round_end = st->last_index;
    u->round_us = now_us;
    u->n_rounds++;
}

/* It holds what the log had when the round began, the round was short, and it is there
 * (MEMBER-7). */
static bool has_caught_up(struct engine *e, const struct raft_server *s,
                          const struct raft_status *st, uint64_t now_us)
{
    const struct raft_peer_status *p = peer_of(st, s->id);
    struct catchup *u = catchup_of(e, s->id);
    bool was_short;

    if (u->term != st->current_term) { /* another leader begins to count anew */
        *u = (struct catchup){.id = s->id, .term = st->current_term, .began_us = now_us};
        begin_round(u, st, now_us);
        return false;
    }
    if (p == NULL || p->match_index < u->round_end)
        return false;
    was_short = now_us - u->round_us <= st->election_timeout_us;
    if (was_short && p->heard && p->fitness == RAFT_FIT && p->match_index >= st->noop_index)
        return true;
    begin_round(u, st, now_us);
    return false;
}

/* False: refused, and tried in a later turn. */
static bool promote(struct engine *e, const struct raft_server *s)
{
    struct raft_configuration c = *in_force(e);
    struct raft_server *to = server_of(&c, s->id);

    to->role = RAFT_VOTER;
    to->promote = false;
    to->patience_ms = 0;
    return append(e, &c, false) == 0;
}

/* Said to those that ask how far it is, unless they ask for another one now. */
static void say_given_up(struct engine *e, const struct raft_server *s)
{
    struct member_task *t = &e->members.task;

    if (engine_logs(e))
        log_event(LOG_WARNING, "member_given_up", "node=%s after_ms=%u why='it did not catch up'",
                  s->name, s->patience_ms);
    if (is_waited_for(t))
        return;
    if (t->id != s->id)
        t->number = 0; /* it was another leader's, or another node's */
    t->id = s->id;
    t->state = TASK_FAILED;
    t->taken_back = raft_get_configuration_index(engine_raft(e));
    (void)snprintf(t->name, sizeof(t->name), "%s", s->name);
    (void)snprintf(t->why, sizeof(t->why),
                   "'%s' did not catch up within %u s and was removed again", s->name,
                   s->patience_ms / 1000);
}

static bool give_up_learner(struct engine *e, const struct raft_server *s)
{
    const struct raft_server given_up = *s;
    struct raft_configuration c = *in_force(e);

    (void)raft_configuration_remove(&c, s->id, next_index(e));
    if (append(e, &c, true) != 0)
        return false;
    say_given_up(e, &given_up);
    return true;
}

static bool bring_up(struct engine *e, const struct raft_server *s, const struct raft_status *st,
                     uint64_t now_us)
{
    const bool caught_up = has_caught_up(e, s, st, now_us);
    const uint64_t patience_us = (uint64_t)s->patience_ms * 1000u;

    if (caught_up)
        return promote(e, s);
    return patience_us != 0 && now_us - catchup_of(e, s->id)->began_us > patience_us &&
           give_up_learner(e, s);
}

/* ---- who was replaced ---- */

/* The leader does not remove itself: it hands over to the one that came, which goes on (MEMBER-9).
 * Not again and again, for nothing is proposed meanwhile. */
static bool hand_over_to(struct engine *e, const struct raft_server *s,
                         const struct raft_status *st, uint64_t now_us)
{
    if (now_us < e->members.hand_over_us || replica_transferring(e->replica))
        return false;
    e->members.hand_over_us = now_us + MEMBERS_HAND_OVER_TIMEOUTS * st->election_timeout_us;
    return replica_transfer(e->replica, s->id, now_us) == 0;
}

/* Not before the one that came is there: else a failed successor takes a good node with it. */
static bool remove_replaced(struct engine *e, const struct raft_server *s,
                            const struct raft_status *st, uint64_t now_us)
{
    struct raft_configuration c = *in_force(e);
    const struct raft_peer_status *p = peer_of(st, s->id);
    const raft_node_id old = s->replaces;

    if (p != NULL && (!p->heard || !p->connected || p->match_index < st->noop_index))
        return false;
    if (old == e->id)
        return hand_over_to(e, s, st, now_us);
    server_of(&c, s->id)->replaces = 0;
    (void)raft_configuration_remove(&c, old, next_index(e));
    return append(e, &c, false) == 0;
}

/* The first thing that is due, since a change waits for the one before. */
static void go_on(struct engine *e, const struct raft_status *st, uint64_t now_us)
{
    const struct raft_configuration *c = in_force(e);
    bool begun = false;

    for (unsigned i = 0; !begun && i < c->n; i++) { /* then c is gone, too */
        const struct raft_server *s = &c->servers[i];

        if (s->role == RAFT_LEARNER && s->promote)
            begun = bring_up(e, s, st, now_us);
        else if (s->role == RAFT_VOTER && raft_configuration_get(c, s->replaces) != NULL)
            begun = remove_replaced(e, s, st, now_us);
    }
}

void engine_members_turn(struct engine *e, uint64_t now_us)
{
    struct raft_status st;
    uint64_t every_us;

    if (e->members.bench == NULL)
        return;
    look_at_task(e);
    if (now_us < e->members.due_us)
        return;
    raft_get_status(engine_raft(e), &st);
    /* A round is short when it takes less than an election timeout: looked at often enough to see
     * that. */
    every_us = st.election_timeout_us / 4;
    e->members.due_us = now_us + (every_us < MEMBERS_LOOK_US ? every_us : MEMBERS_LOOK_US);
    if (raft_can_serve(engine_raft(e)) && is_settled(e) && !replica_transferring(e->replica))
        go_on(e, &st, now_us);
}

void engine_members_work(struct engine *e)
{
    if (e->members.bench != NULL && !e->members.has_thread)
        chores_work(e->members.bench);
}

/* ---- what clients ask for ---- */

__attribute__((format(printf, 3, 4))) static void
refuse(struct service_member_answer *a, enum wire_error error, const char *format, ...)
{
    va_list ap;

    a->error = error;
    va_start(ap, format);
    (void)vsnprintf(a->text, sizeof(a->text), format, ap);
    va_end(ap);
}

static void take_text(char *to, size_t size, struct wire_slice from)
{
    (void)snprintf(to, size, "%.*s", (int)from.len, from.data != NULL ? from.data : "");
}

static const struct raft_server *successor_of(const struct raft_configuration *c, raft_node_id id)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].replaces == id)
            return &c->servers[i];
    return NULL;
}

/* When all that stands in c has been done. */
static bool will_vote(const struct raft_configuration *c, const struct raft_server *s)
{
    return (s->role == RAFT_VOTER || s->promote) && successor_of(c, s->id) == NULL;
}

/* Heard, and not only lately: of who was stopped the link goes at once. */
static bool is_there(struct engine *e, raft_node_id id)
{
    return replica_hears(e->replica, id, now_of(e)) && (id == e->id || is_linked(e, id));
}

struct tally {
    unsigned voters;
    unsigned heard; /* of them, now */
};

/* A newcomer counts as heard: it does not become a voter before it is. */
static struct tally tally_of(struct engine *e, const struct raft_configuration *c, bool in_the_end,
                             raft_node_id newcomer)
{
    struct tally t = {0};

    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];

        if (in_the_end ? !will_vote(c, s) : s->role != RAFT_VOTER)
            continue;
        t.voters++;
        t.heard += s->id == newcomer || is_there(e, s->id);
    }
    return t;
}

static void count_after(struct engine *e, const struct raft_configuration *c, raft_node_id newcomer,
                        struct service_member_answer *a)
{
    const struct tally t = tally_of(e, c, true, newcomer);

    a->voters_after = t.voters;
    a->heard_after = t.heard;
}

/* The voters that c has at once must be heard enough (MEMBER-8). */
static bool may_lose(struct engine *e, const struct raft_configuration *c, bool force,
                     struct service_member_answer *a)
{
    const struct tally t = tally_of(e, c, false, 0);

    if (t.voters == 0)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "no voter would be left");
    else if (!force && t.heard < t.voters / 2 + 1)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "no quorum, %u more must be heard: of the %u voters that would be left %u are, and "
               "%u are needed; bring back who is down first, or force it",
               t.voters / 2 + 1 - t.heard, t.voters, t.heard, t.voters / 2 + 1);
    return a->error == WIRE_ERROR_NONE;
}

/* A change of one entry, made from the configuration in force. */
static void change(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                   struct service_member_answer *a)
{
    int rc;

    count_after(e, c, 0, a);
    if (!may_lose(e, c, q->force, a) || q->dry_run)
        return;
    rc = append(e, c, q->force);
    switch (rc) {
    case 0:
        a->configuration_index = raft_get_configuration_index(engine_raft(e));
        break;
    case RAFT_E_NOT_LEADER:
        a->error = WIRE_ERROR_NOT_LEADER;
        break;
    case RAFT_E_SELF:
        refuse(a, WIRE_ERROR_BUSY, "the leader hands over first: ask again");
        break;
    case RAFT_E_GATED:
    case RAFT_E_BUSY:
    case RAFT_E_CHANGING:
        refuse(a, WIRE_ERROR_BUSY, "%s: ask again", raft_error_text(rc));
        break;
    default:
        refuse(a, rc < 0 ? WIRE_ERROR_INTERNAL : WIRE_ERROR_PRECONDITION_FAILED, "%s",
               rc < 0 ? strerror(-rc) : raft_error_text(rc));
        break;
    }
}

/* Another task under this name is no repetition: its answer would be that of something else. */
static bool is_same_task(const struct member_task *t, const struct member_task *u)
{
    return strcmp(t->name, u->name) == 0 && strcmp(t->peer_addr, u->peer_addr) == 0 &&
           strcmp(t->client_addr, u->client_addr) == 0 && t->learner == u->learner &&
           t->replaces == u->replaces && t->exchanges == u->exchanges;
}

/* The new node is told first; who it is stands in the log afterwards. */
static void begin_task(struct engine *e, const struct wire_member *q,
                       const struct member_task *wanted, struct service_member_answer *a)
{
    struct member_task *t = &e->members.task;

    if (is_waited_for(t)) {
        if (!is_same_task(t, wanted))
            refuse(a, WIRE_ERROR_BUSY, "'%s' is being added: ask again when that is done", t->name);
        else
            a->task = t->number;
        return;
    }
    if (e->ops.join == NULL || e->members.bench == NULL) {
        refuse(a, WIRE_ERROR_NOT_SUPPORTED, "no node can be added to this cluster");
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
    if (!raft_configuration_has_cluster_id(in_force(e)))
        begin_ask(e);
    look_at_task(e);
}

/* Of founders the configuration says nothing before the first change. */
static const char *address_of(const struct engine *e, const struct raft_server *s)
{
    const char *addr = s->peer_addr;

    if (addr[0] == '\0' && e->ops.peer_addr != NULL)
        addr = e->ops.peer_addr(e->ops.ctx, s->id);
    return addr != NULL ? addr : "";
}

static bool is_text(struct wire_slice a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

/* NULL: nobody has it. */
static const struct raft_server *who_has(const struct engine *e, struct wire_slice addr)
{
    const struct raft_configuration *c = in_force(e);

    for (unsigned i = 0; i < c->n; i++)
        if (is_text(addr, address_of(e, &c->servers[i])))
            return &c->servers[i];
    return NULL;
}

/* A member is to take the place of another one: only that is left to be said. */
static void replace_by_member(struct engine *e, const struct wire_member *q,
                              const struct raft_server *there, const struct raft_server *old,
                              struct service_member_answer *a)
{
    struct raft_configuration c = *in_force(e);
    struct raft_server *s = server_of(&c, there->id);
    const raft_node_id id = there->id;
    const bool begins = there->role == RAFT_LEARNER && !there->promote;

    s->replaces = old->id;
    s->promote = s->role == RAFT_LEARNER;
    change(e, &c, q, a);
    if (begins && a->error == WIRE_ERROR_NONE && !q->dry_run)
        *catchup_of(e, id) = (struct catchup){.id = id};
}

/* False: refused. */
static bool may_replace(struct engine *e, const struct wire_member *q,
                        const struct raft_server *there, const struct raft_server *old,
                        struct service_member_answer *a)
{
    const struct raft_configuration *c = in_force(e);
    const struct raft_server *other = successor_of(c, old->id);

    if (there == old)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' cannot replace itself: say rejoin when its disk was lost", old->name);
    else if (old->role == RAFT_LEARNER || q->learner)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "only a voter is replaced, and by a voter: add the new node, then remove '%s'",
               old->name);
    else if (other != NULL)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is being replaced by '%s' already",
               old->name, other->name);
    else if (there != NULL && raft_configuration_get(c, there->replaces) != NULL)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is to replace another one already",
               there->name);
    return a->error == WIRE_ERROR_NONE;
}

static void add(struct engine *e, const struct wire_member *q, const char *name,
                const struct raft_server *old, struct service_member_answer *a)
{
    const struct raft_server *there = raft_configuration_get_name(in_force(e), name);
    const struct raft_server *has_it = who_has(e, q->peer_addr);
    struct member_task wanted = {.learner = q->learner, .force = q->force};
    struct raft_configuration c = *in_force(e);
    const raft_node_id id = raft_member_id(name, 0); /* it has none yet: only to count it */
    int rc;

    if (old != NULL && !may_replace(e, q, there, old, a))
        return;
    if (there != NULL && has_it != there) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' is a member already, at another address; give the new node another name, or "
               "say set-addr, or rejoin when its disk was lost",
               name);
        return;
    }
    if (there != NULL && old != NULL) {
        replace_by_member(e, q, there, old, a);
        return;
    }
    if (there != NULL) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               q->learner ? "'%s' is a voter, or becomes one: demote it"
                          : "'%s' is a member already, a learner: promote it",
               name);
        return;
    }
    if (has_it != NULL) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "that is the address of '%s'", has_it->name);
        return;
    }
    if (c.n == RAFT_SERVERS_MAX) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "a cluster has at most %u servers",
               RAFT_SERVERS_MAX);
        return;
    }
    (void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    take_text(wanted.peer_addr, sizeof(wanted.peer_addr), q->peer_addr);
    take_text(wanted.client_addr, sizeof(wanted.client_addr), q->client_addr);
    wanted.replaces = old != NULL ? old->id : 0;
    rc = raft_configuration_add(&c, id, name, RAFT_LEARNER, wanted.peer_addr, wanted.client_addr);
    if (rc != 0) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "%s", raft_configuration_error_text(rc));
        return;
    }
    server_of(&c, id)->promote = !q->learner;
    server_of(&c, id)->replaces = wanted.replaces;
    count_after(e, &c, id, a);
    begin_task(e, q, &wanted, a);
}

/* It comes back where it was: one that an earlier version let in is not dialled (MEMBER-23). */
static bool can_be_dialled(const struct raft_server *s, struct service_member_answer *a)
{
    char normal[ADDRESS_BYTES_MAX + 1];
    const bool is_peer = address_normal(s->peer_addr, normal) != NULL || s->client_addr[0] == '\0';
    const char *addr = is_peer ? s->peer_addr : s->client_addr;
    const char *wrong = address_normal(addr, normal);

    if (wrong != NULL)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "%s '%s' of '%s' %s: say set-addr first",
               is_peer ? "peer_addr" : "client_addr", addr, s->name, wrong);
    return wrong == NULL;
}

/* A copied configuration file must not remove a node that lives (MEMBER-14). */
static bool may_rejoin(struct engine *e, const struct wire_member *q, const struct raft_server *old,
                       struct service_member_answer *a)
{
    const struct raft_server *successor = successor_of(in_force(e), old->id);

    if (old->id == e->id)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' leads: it is not gone", old->name);
    else if (replica_hears(e->replica, old->id, now_of(e)) && !q->force)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' is heard: only a node that is gone can come back as another; stop it first",
               old->name);
    else if (successor != NULL)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is being replaced by '%s' already",
               old->name, successor->name);
    return a->error == WIRE_ERROR_NONE;
}

static void rejoin(struct engine *e, const struct wire_member *q, const struct raft_server *old,
                   struct service_member_answer *a)
{
    struct raft_configuration c = *in_force(e);
    struct member_task wanted = {.learner = q->learner, .force = q->force, .exchanges = old->id};
    const raft_node_id id = raft_member_id(old->name, 0); /* only to count it */

    if (!may_rejoin(e, q, old, a))
        return;
    complete(e, &c);
    if (!can_be_dialled(server_of(&c, old->id), a))
        return;
    memcpy(wanted.name, old->name, sizeof(wanted.name));
    (void)snprintf(wanted.peer_addr, sizeof(wanted.peer_addr), "%s",
                   server_of(&c, old->id)->peer_addr);
    (void)snprintf(wanted.client_addr, sizeof(wanted.client_addr), "%s",
                   server_of(&c, old->id)->client_addr);
    (void)raft_configuration_remove(&c, old->id, next_index(e));
    if (!may_lose(e, &c, q->force, a))
        return;
    rid_assert(raft_configuration_add(&c, id, old->name, RAFT_LEARNER, wanted.peer_addr,
                                      wanted.client_addr) == 0);
    server_of(&c, id)->promote = !q->learner && (old->role == RAFT_VOTER || old->promote);
    server_of(&c, id)->replaces = server_of(&c, id)->promote ? old->replaces : 0;
    count_after(e, &c, id, a);
    begin_task(e, q, &wanted, a);
}

/* The leader does not leave by itself: somebody else leads, and is asked then. */
static void hand_over_first(struct engine *e, struct service_member_answer *a)
{
    if (replica_transfer(e->replica, 0, now_of(e)) == 0)
        refuse(a, WIRE_ERROR_BUSY, "it leads, and hands over first: ask again");
    else
        refuse(a, WIRE_ERROR_BUSY, "it leads, and there is nobody to hand over to now: ask again");
}

static void leave(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                  raft_node_id id, struct service_member_answer *a)
{
    const bool was_voter = raft_configuration_get(in_force(e), id)->role == RAFT_VOTER;

    if (was_voter && raft_configuration_n_voters(in_force(e)) == 1) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "it is the last voter");
        return;
    }
    if (id != e->id || q->dry_run) {
        change(e, c, q, a);
        return;
    }
    count_after(e, c, 0, a);
    if (may_lose(e, c, q->force, a))
        hand_over_first(e, a);
}

static void set_addr(struct engine *e, struct raft_configuration *c, const struct wire_member *q,
                     struct raft_server *s, struct service_member_answer *a)
{
    const struct raft_server *has_it = who_has(e, q->peer_addr);

    if (has_it != NULL && has_it->id != s->id) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "that is the address of '%s'", has_it->name);
        return;
    }
    /* An address changes, and nothing else: the role stays (MEMBER-2). */
    take_text(s->peer_addr, sizeof(s->peer_addr), q->peer_addr);
    take_text(s->client_addr, sizeof(s->client_addr), q->client_addr);
    change(e, c, q, a);
}

static void one_entry(struct engine *e, enum wire_request_type verb, const struct wire_member *q,
                      raft_node_id id, struct service_member_answer *a)
{
    struct raft_configuration c = *in_force(e);
    struct raft_server *s = server_of(&c, id);

    switch ((int)verb) {
    case WIRE_REQ_MEMBER_REMOVE:
        (void)raft_configuration_remove(&c, id, next_index(e));
        leave(e, &c, q, id, a);
        break;
    case WIRE_REQ_MEMBER_PROMOTE:
        s->promote = true; /* when it has caught up */
        change(e, &c, q, a);
        if (a->error == WIRE_ERROR_NONE && !q->dry_run)
            *catchup_of(e, id) = (struct catchup){.id = id}; /* its time begins now */
        break;
    case WIRE_REQ_MEMBER_DEMOTE:
        s->role = RAFT_LEARNER;
        s->promote = false;
        s->patience_ms = 0;
        s->replaces = 0;
        leave(e, &c, q, id, a);
        break;
    default:
        set_addr(e, &c, q, s, a);
        break;
    }
}

/* ---- what is so already ---- */

enum already { NOT_YET, UNDER_WAY, IS_SO };

static enum already becomes_voter(const struct raft_server *s)
{
    if (s->role == RAFT_VOTER)
        return IS_SO;
    return s->promote ? UNDER_WAY : NOT_YET;
}

static bool was_removed(const struct raft_configuration *c, const char *name, raft_index after)
{
    for (unsigned i = 0; i < c->n_removed; i++)
        if (c->removed[i].index > after && strcmp(c->removed[i].name, name) == 0)
            return true;
    return false;
}

static enum already is_added(const struct engine *e, const struct wire_member *q,
                             const struct raft_server *s)
{
    if (s == NULL || !is_text(q->peer_addr, address_of(e, s)))
        return NOT_YET;
    if (q->learner)
        return s->role == RAFT_LEARNER && !s->promote ? IS_SO : NOT_YET;
    return becomes_voter(s);
}

static enum already is_replaced(const struct engine *e, const struct wire_member *q,
                                const struct raft_server *s, const struct raft_server *old,
                                const char *old_name)
{
    const enum already added = is_added(e, q, s);

    if (added == NOT_YET)
        return NOT_YET;
    if (old == NULL)
        return was_removed(in_force(e), old_name, 0) ? added : NOT_YET;
    return s->replaces == old->id ? UNDER_WAY : NOT_YET;
}

/* Whether the one that is there is the one that was to come back: by what the request was made
 * from, or by what this node remembers of it. */
static enum already is_back(const struct engine *e, const struct wire_member *q,
                            const struct raft_server *s)
{
    const struct member_task *t = &e->members.task;
    const bool by_task = t->state == TASK_IN_LOG && t->exchanges != 0 && t->id == s->id;
    const enum already voter = becomes_voter(s);

    if (!replica_hears(e->replica, s->id, now_of(e)) || q->force)
        return NOT_YET;
    if (!by_task && (q->based_on == 0 || !was_removed(in_force(e), s->name, q->based_on)))
        return NOT_YET;
    return voter != NOT_YET ? voter : IS_SO; /* a learner that came back as one */
}

static enum already look_already(const struct engine *e, enum wire_request_type verb,
                                 const struct wire_member *q, const struct raft_server *s,
                                 const struct raft_server *old, const char *old_name)
{
    if (verb == WIRE_REQ_MEMBER_ADD)
        return is_added(e, q, s);
    if (verb == WIRE_REQ_MEMBER_REPLACE)
        return is_replaced(e, q, s, old, old_name);
    if (s == NULL)
        return verb == WIRE_REQ_MEMBER_REMOVE ? IS_SO : NOT_YET;
    switch ((int)verb) {
    case WIRE_REQ_MEMBER_PROMOTE:
        return becomes_voter(s);
    case WIRE_REQ_MEMBER_DEMOTE:
        return s->role == RAFT_LEARNER && !s->promote ? IS_SO : NOT_YET;
    case WIRE_REQ_MEMBER_SET_ADDR:
        return is_text(q->peer_addr, s->peer_addr) && is_text(q->client_addr, s->client_addr)
                   ? IS_SO
                   : NOT_YET;
    case WIRE_REQ_MEMBER_REJOIN:
        return is_back(e, q, s);
    default:
        return NOT_YET;
    }
}

static const struct raft_server *
who_leaves(enum wire_request_type verb, const struct raft_server *s, const struct raft_server *old)
{
    if (verb == WIRE_REQ_MEMBER_REPLACE)
        return old;
    return verb == WIRE_REQ_MEMBER_REMOVE || verb == WIRE_REQ_MEMBER_REJOIN ? s : NULL;
}

static bool may_ask(struct engine *e, const struct raft_server *leaves,
                    struct service_member_answer *a)
{
    const char *old = who_is_too_old(e, leaves);

    a->configuration_index = raft_get_configuration_index(engine_raft(e));
    a->voters_before = raft_configuration_n_voters(in_force(e));
    if (raft_get_role(engine_raft(e)) != RAFT_LEADER)
        a->error = WIRE_ERROR_NOT_LEADER;
    else if (!raft_can_serve(engine_raft(e)))
        refuse(a, WIRE_ERROR_BUSY, "the leader has not committed an entry of its term yet");
    else if (old != NULL)
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "'%s' runs a version that does not know changes of the members: upgrade it first",
               old);
    return a->error == WIRE_ERROR_NONE;
}

/* Each costs memory on all nodes until the front of the log goes, and again at each start
 * (MEMBER-25). Who is gone is removed all the same. */
static bool are_too_many(const struct engine *e, enum wire_request_type verb)
{
    return verb != WIRE_REQ_MEMBER_REMOVE &&
           raft_n_configurations(engine_raft(e)) >= MEMBERS_CONFIGURATIONS_MAX;
}

void engine_member(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                   struct service_member_answer *a)
{
    struct engine *e = ctx;
    const struct member_task *t = &e->members.task;
    const struct raft_server *s;
    const struct raft_server *old = NULL;
    char name[NODE_NAME_BYTES_MAX + 1];
    char old_name[NODE_NAME_BYTES_MAX + 1];
    enum already already;

    *a = (struct service_member_answer){.error = WIRE_ERROR_NONE};
    take_text(name, sizeof(name), q->id);
    take_text(old_name, sizeof(old_name), q->old);
    s = raft_configuration_get_name(in_force(e), name);
    old = raft_configuration_get_name(in_force(e), old_name);
    if (!may_ask(e, who_leaves(verb, s, old), a))
        return;
    already = look_already(e, verb, q, s, old, old_name);
    if (already != NOT_YET) { /* looked at before what it was based on (MEMBER-3) */
        a->done = already == IS_SO && is_settled(e);
        if (t->state == TASK_IN_LOG && s != NULL && s->id == t->id)
            a->task = t->number;
        count_after(e, in_force(e), 0, a);
    } else if (q->based_on != 0 && q->based_on != a->configuration_index) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED,
               "the members have changed since: the configuration is that of index %llu",
               (unsigned long long)a->configuration_index);
    } else if (are_too_many(e, verb)) {
        refuse(a, WIRE_ERROR_BUSY,
               "the log has %u changes of the members: ask again when its front has gone, which "
               "'ridctl snapshot' and a smaller [log] keep_bytes bring on",
               MEMBERS_CONFIGURATIONS_MAX);
    } else if (verb == WIRE_REQ_MEMBER_ADD) {
        add(e, q, name, NULL, a);
    } else if (verb == WIRE_REQ_MEMBER_REPLACE && old == NULL) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", old_name);
    } else if (verb == WIRE_REQ_MEMBER_REPLACE) {
        add(e, q, name, old, a);
    } else if (s == NULL) {
        refuse(a, WIRE_ERROR_PRECONDITION_FAILED, "'%s' is no member", name);
    } else if (verb == WIRE_REQ_MEMBER_REJOIN) {
        rejoin(e, q, s, a);
    } else {
        one_entry(e, verb, q, s->id, a);
    }
}

/* ---- looking ---- */

static void say_change(const struct engine *e, struct wire_reply *w, const struct raft_status *st,
                       const struct raft_server *s)
{
    const struct raft_peer_status *p = peer_of(st, s->id);
    const struct raft_server *old = raft_configuration_get(in_force(e), s->replaces);
    const bool leads = st->role == RAFT_LEADER;

    if (!s->promote && old == NULL)
        return;
    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "id", s->name);
    wire_reply_str(w, "what", s->role == RAFT_LEARNER ? "catching up" : "removing the old one");
    wire_reply_str(w, "replaces", old != NULL ? old->name : NULL);
    if (leads && p != NULL) {
        wire_reply_u64(w, "match_index", p->match_index);
        wire_reply_u64(w, "behind_entries", st->last_index - p->match_index);
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
    const struct raft_configuration *c = in_force(e);
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

/* ---- life ---- */

int engine_members_begin(struct engine *e, uint64_t seed)
{
    prng_init(&e->members.prng, seed);
    e->members.failed_limit =
        (struct log_limit){.window_us = MEMBERS_LOG_WINDOW_US, .burst = MEMBERS_LOG_BURST};
    return chores_new("ridd-join", -1, &e->members.bench);
}

int engine_members_start(struct engine *e, int notify_fd)
{
    e->members.has_thread = true;
    return chores_start(e->members.bench, notify_fd);
}

void engine_members_stop(struct engine *e)
{
    chores_free(e->members.bench);
    e->members.bench = NULL;
    buf_done(&e->members.task.config);
    buf_init(&e->members.task.config);
}
