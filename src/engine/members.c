/* Changes of the members: what a client asks for becomes configurations, one server at a time, and
 * what takes longer goes on by itself under whoever leads. Here is what goes on: learners that are
 * brought up, and who was replaced.
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
#include "base/assert.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "engine/members_int.h"

#include "base/banned.h"

const struct raft_peer_status *member_peer(const struct raft_status *st, raft_node_id id)
{
    for (unsigned i = 0; i < st->n_peers; i++)
        if (st->peers[i].id == id)
            return &st->peers[i];
    return NULL;
}

/* ---- catching up ---- */

static struct catchup *catchup_of(struct engine *e, raft_node_id id)
{
    struct catchup *unused = NULL;

    for (unsigned i = 0; i < RAFT_SERVERS_MAX; i++) {
        struct catchup *u = &e->members.catchups[i];

        if (u->id == id)
            return u;
        if (unused == NULL && raft_configuration_get(members_in_force(e), u->id) == NULL)
            unused = u;
    }
    rid_assert(unused != NULL);
    *unused = (struct catchup){.id = id};
    return unused;
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
    const struct raft_peer_status *p = member_peer(st, s->id);
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
    struct raft_configuration c = *members_in_force(e);
    struct raft_server *to = member_server(&c, s->id);

    to->role = RAFT_VOTER;
    to->promote = false;
    to->patience_ms = 0;
    return member_append(e, &c, false) == 0;
}

/* Said to those that ask how far it is, unless they ask for another one now. */
static void say_given_up(struct engine *e, const struct raft_server *s)
{
    struct member_task *t = &e->members.task;

    if (engine_logs(e))
        log_event(LOG_WARNING, "member_given_up", "node=%s after_ms=%u why='it did not catch up'",
                  s->name, s->patience_ms);
    if (member_task_is_waited_for(t))
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
    struct raft_configuration c = *members_in_force(e);

    (void)raft_configuration_remove(&c, s->id, member_next_index(e));
    if (member_append(e, &c, true) != 0)
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

void member_begin_catchup(struct engine *e, raft_node_id id)
{
    *catchup_of(e, id) = (struct catchup){.id = id};
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
    struct raft_configuration c = *members_in_force(e);
    const struct raft_peer_status *p = member_peer(st, s->id);
    const raft_node_id old = s->replaces;

    if (p != NULL && (!p->heard || !p->connected || p->match_index < st->noop_index))
        return false;
    if (old == e->id)
        return hand_over_to(e, s, st, now_us);
    member_server(&c, s->id)->replaces = 0;
    (void)raft_configuration_remove(&c, old, member_next_index(e));
    return member_append(e, &c, false) == 0;
}

/* The first thing that is due, since a change waits for the one before. */
static void go_on(struct engine *e, const struct raft_status *st, uint64_t now_us)
{
    const struct raft_configuration *c = members_in_force(e);
    bool begun = false;

    for (unsigned i = 0; !begun && i < c->n; i++) { /* then c is gone, too */
        const struct raft_server *s = &c->servers[i];

        if (s->role == RAFT_LEARNER && s->promote)
            begun = bring_up(e, s, st, now_us);
        else if (s->role == RAFT_VOTER && raft_configuration_get(c, s->replaces) != NULL)
            begun = remove_replaced(e, s, st, now_us);
    }
}

/* ---- the turn ---- */

/* Apart from the turn, which seldom comes to it: the compiler clears a raft_status, of some KiB,
 * where it is declared. */
static void look_at_members(struct engine *e, uint64_t now_us)
{
    struct raft_status st;
    uint64_t every_us;

    raft_get_status(engine_raft(e), &st);
    /* A round is short when it takes less than an election timeout: looked at often enough to see
     * that. */
    every_us = st.election_timeout_us / 4;
    e->members.due_us = now_us + (every_us < MEMBERS_LOOK_US ? every_us : MEMBERS_LOOK_US);
    if (raft_can_serve(engine_raft(e)) && members_are_settled(e) &&
        !replica_transferring(e->replica))
        go_on(e, &st, now_us);
}

void engine_members_turn(struct engine *e, uint64_t now_us)
{
    if (e->members.bench == NULL)
        return;
    member_task_turn(e);
    if (now_us >= e->members.due_us)
        look_at_members(e, now_us);
}

bool engine_members_are_settled(const struct engine *e)
{
    return !member_task_is_waited_for(&e->members.task) && members_are_settled(e);
}

void engine_members_work(struct engine *e)
{
    if (e->members.bench != NULL && !e->members.has_thread)
        chores_work(e->members.bench);
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
