/* The oracle of changes of the members: what must hold of configurations, whoever asked for them.
 *
 * It keeps the history of what is committed, and for each node where in its log the configurations
 * stand, as they were handed to the log: what is in force is the last of them, also when it was
 * truncated. What one entry may change is looked at as a leader hands it to its log; what a leader
 * owes because of it, at the end of that turn.
 *
 * MEMBER-2: what a leader appends is one step away from what is committed, so that any two majorities
 * meet. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/sim.h"

#include "base/banned.h"

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_MEMBER, 0, bound);
}

static bool is_voter_of(const struct raft_configuration *c, raft_node_id id)
{
    const struct raft_server *r = raft_configuration_get(c, id);

    return r != NULL && r->role == RAFT_VOTER;
}

/* ---- the history ---- */

static uint64_t hash_of(const struct raft_configuration *c)
{
    cleanup_buf struct buf b = BUF_INIT;

    if (raft_configuration_encode(c, &b) != 0)
        abort();
    return sim_hash_bytes(5, b.data, b.len);
}

static void remember(struct sim *s, raft_index index, const struct raft_configuration *c)
{
    struct oracle *o = &s->oracle;

    if (o->n_configs == o->configs_size) {
        o->configs_size = o->configs_size > 0 ? 2 * o->configs_size : 32;
        o->configs = sim_realloc_n(o->configs, o->configs_size, sizeof(*o->configs));
    }
    o->configs[o->n_configs].index = index;
    o->configs[o->n_configs++].hash = hash_of(c);
}

void changes_init(struct sim *s)
{
    remember(s, 1, &s->configuration);
}

/* The log of a node that joined begins, in the place of the founders', with one that was committed
 * when it was told: none of its majorities elects a log that ends before that. */
bool changes_config_is_right(const struct sim *s, const struct raft_config_at *c, raft_index index)
{
    const struct oracle *o = &s->oracle;
    size_t at = o->n_configs;
    uint64_t hash;

    if (c == NULL)
        return false;
    while (at > 1 && o->configs[at - 1].index > index)
        at--;
    if (c->index != o->configs[at - 1].index)
        return false;
    hash = hash_of(&c->configuration);
    for (size_t i = at - 1; c->index == 1 && members_are_on(s) && i < o->n_configs; i++)
        if (hash == o->configs[i].hash)
            return true;
    return hash == o->configs[at - 1].hash;
}

/* ---- one step ---- */

/* The least that a majority of one has of what both have; that of the other may have all else. */
static unsigned least_common(unsigned n, unsigned common)
{
    const unsigned majority = n / 2 + 1;

    return majority > n - common ? majority - (n - common) : 0;
}

static bool majorities_meet(const struct raft_configuration *a, const struct raft_configuration *b)
{
    const unsigned n_a = raft_configuration_n_voters(a);
    const unsigned n_b = raft_configuration_n_voters(b);
    unsigned common = 0;

    for (unsigned i = 0; i < a->n; i++) {
        const struct raft_server *r = raft_configuration_get(b, a->servers[i].id);

        common += a->servers[i].role == RAFT_VOTER && r != NULL && r->role == RAFT_VOTER;
    }
    return least_common(n_a, common) + least_common(n_b, common) > common;
}

static void mark_step(struct sim *s, const struct raft_configuration *a,
                      const struct raft_configuration *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const struct raft_server *r = raft_configuration_get(a, b->servers[i].id);

        if (r == NULL)
            MARK(s, member_added);
        else if (r->role != b->servers[i].role && r->role == RAFT_LEARNER)
            MARK(s, member_promoted);
        else if (r->role != b->servers[i].role)
            MARK(s, member_demoted);
    }
    for (unsigned i = 0; i < a->n; i++)
        if (raft_configuration_get(b, a->servers[i].id) == NULL)
            MARK(s, member_removed);
}

/* MEMBER-5: what is removed does not come back. */
static void note_gone(struct sim *s, const struct raft_configuration *before,
                      const struct raft_configuration *now, raft_term term)
{
    for (unsigned i = 0; i < before->n; i++) {
        if (raft_configuration_get(now, before->servers[i].id) != NULL)
            continue;
        if (s->n_gone == SIM_GONE_MAX)
            sim_fail(s, "setup", "too many members were removed");
        s->gone[s->n_gone].id = before->servers[i].id;
        s->gone[s->n_gone++].term = term;
    }
}

bool changes_is_gone(const struct sim *s, raft_node_id id)
{
    for (unsigned i = 0; i < s->n_gone; i++)
        if (s->gone[i].id == id)
            return true;
    return false;
}

/* Whoever leads later has the entry that removed it, and so is another. */
void changes_leads(struct sim_node *n, raft_term term)
{
    struct sim *s = n->sim;

    sim_push_any(s, s->now + 1 + below(s, 2) * below(s, s->p.delay_spread_ns), EV_MEMBER, n->i,
                 MEMBER_REFUSE, NULL);
    if (n->join_waits) {
        MARK(s, join_in_new_term);
        n->join_waits = false;
        sim_push(s, s->now + 1, EV_JOIN, n, 0, NULL);
    }
    for (unsigned i = 0; i < s->n_gone; i++)
        if (s->gone[i].id == n->id && s->gone[i].term < term)
            sim_fail(n->sim, "MEMBER-5",
                     "n%u leads in term %" PRIu64 ", and was removed in term %" PRIu64, n->i + 1,
                     term, s->gone[i].term);
}

void changes_committed(struct sim_node *n, raft_index index)
{
    struct sim *s = n->sim;
    /* More than one may have become committed at once, by a leader of a newer term. */
    for (raft_index i = s->committed.index + 1; i <= index; i++) {
        const struct raft_config_at *at = raft_config_at(node_raft(n), i);

        if (at->index <= s->committed.index || at->index > index)
            continue;
        mark_step(s, &s->committed.configuration, &at->configuration);
        if (at->configuration.version > s->committed.configuration.version)
            MARK(s, version_raised);
        note_gone(s, &s->committed.configuration, &at->configuration,
                  oracle_entry(s, at->index)->committed_in);
        s->committed = *at;
        remember(s, at->index, &at->configuration);
    }
}

/* ---- an entry of a leader ---- */

/* MEMBER-1: of this term something is committed, and so is the configuration before. */
static void check_when(struct sim_node *n, const struct raft_config_at *before,
                       struct raft_entry_id id)
{
    struct sim *s = n->sim;

    if (before->index > s->oracle.committed)
        sim_fail(s, "MEMBER-1",
                 "n%u appends a configuration at %" PRIu64 ", and that of %" PRIu64
                 " is not committed",
                 n->i + 1, id.index, before->index);
    if (oracle_entry(s, s->oracle.committed)->term < id.term)
        sim_fail(s, "MEMBER-1",
                 "n%u appends a configuration at %" PRIu64 ", and nothing of its term %" PRIu64
                 " is committed",
                 n->i + 1, id.index, id.term);
}

static void check_step(struct sim_node *n, const struct raft_configuration *before,
                       const struct raft_configuration *c, raft_index index)
{
    struct sim *s = n->sim;

    if (!members_is_voter(c, n))
        sim_fail(s, "MEMBER-9", "n%u appends a configuration at %" PRIu64 " that it is no voter of",
                 n->i + 1, index);
    if (!majorities_meet(before, c) ||
        (s->committed.index < index && !majorities_meet(&s->committed.configuration, c)))
        sim_fail(s, "MEMBER-2",
                 "n%u appends a configuration at %" PRIu64 ", and two majorities need not meet",
                 n->i + 1, index);
    if (raft_configuration_has_cluster_id(before) &&
        memcmp(before->cluster_id, c->cluster_id, sizeof(c->cluster_id)) != 0)
        sim_fail(s, "MEMBER-16", "n%u changes the id of the cluster at %" PRIu64, n->i + 1, index);
    for (unsigned i = 0; i < c->n; i++)
        if (changes_is_gone(s, c->servers[i].id) ||
            raft_configuration_removed(c, c->servers[i].id) != NULL)
            sim_fail(s, "MEMBER-5", "n%u takes in at %" PRIu64 " who was removed", n->i + 1, index);
    for (unsigned i = 0; i < c->n_removed; i++)
        if (raft_configuration_removed(before, c->removed[i].id) == NULL &&
            c->removed[i].index != index)
            sim_fail(s, "MEMBER-5",
                     "n%u removes %s at %" PRIu64 ", and that says it was at %" PRIu64, n->i + 1,
                     c->removed[i].name, index, c->removed[i].index);
}

static bool heard_lately(const struct sim_node *n, raft_node_id id)
{
    const struct sim_changes *w = &n->changes;

    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        if (w->heard[i].id == id)
            return clock_local_us(n) - w->heard[i].us <= n->sim->p.election_us;
    return id == n->id;
}

/* MEMBER-7, MEMBER-14: what is to become of a server stands in the configuration, goes with it to the
 * next incarnation, and is done only when the one that came is there. */
static void check_intent(struct sim_node *n, const struct raft_configuration *before,
                         const struct raft_configuration *c, raft_index index)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *r = &c->servers[i];
        const struct raft_server *was = raft_configuration_get(before, r->id);
        const struct raft_server *old = raft_configuration_get_name(before, r->name);

        if (!r->promote && r->patience_ms != 0)
            sim_fail(s, "MEMBER-7", "n%u: %s is not to vote at %" PRIu64 ", and has a time for it",
                     n->i + 1, r->name, index);
        if (r->role == RAFT_LEARNER && !r->promote && r->replaces != 0)
            sim_fail(s, "MEMBER-14",
                     "n%u: %s stays a learner at %" PRIu64 ", and is to replace one", n->i + 1,
                     r->name, index);
        if (was == NULL && old != NULL && r->promote && r->replaces != old->replaces)
            sim_fail(s, "MEMBER-14", "n%u: %s comes back at %" PRIu64 " and forgets its task",
                     n->i + 1, r->name, index);
        if (was == NULL || was->replaces == 0 || r->replaces != 0 ||
            raft_configuration_get(before, was->replaces) == NULL ||
            raft_configuration_get(c, was->replaces) != NULL)
            continue;
        MARK(s, member_replaced);
        if (!heard_lately(n, r->id))
            sim_fail(s, "MEMBER-14",
                     "n%u removes at %" PRIu64 " whom %s replaces, and has not heard that one",
                     n->i + 1, index, r->name);
    }
}

static void dies_soon(struct sim_node *n)
{
    struct sim *s = n->sim;

    sim_push_any(s, s->now + below(s, s->p.election_us * 200), EV_MEMBER, n->i, MEMBER_DIES, NULL);
}

/* Whoever is to replace somebody dies as it becomes a voter, and perhaps who made it one: the next
 * leader has not heard it. */
static void kill_successor(struct sim_node *n, const struct raft_configuration *before,
                           const struct raft_configuration *c)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *r = &c->servers[i];
        struct sim_node *m = node_of_id(s, r->id);

        if (r->replaces == 0 || r->role != RAFT_VOTER || is_voter_of(before, r->id) || m == NULL ||
            m == n || below(s, 2) != 0)
            continue;
        MARK(s, successor_dies);
        dies_soon(m);
        if (below(s, 2) == 0)
            dies_soon(n);
    }
}

/* In the middle of it the leader dies, or is cut off with some of the others. */
static void disturb(struct sim_node *n, const struct raft_configuration *before,
                    const struct raft_configuration *c)
{
    struct sim *s = n->sim;

    if (s->healing)
        return;
    kill_successor(n, before, c);
    if (below(s, 12) == 0) {
        MARK(s, crash_changing);
        n->wal.crash_stored = true;
        n->wal.crash_machine = below(s, 2) == 0;
    } else if (below(s, 4) == 0) {
        sim_push_any(s, s->now + 1 + below(s, 2) * below(s, s->p.delay_spread_ns), EV_MEMBER, n->i,
                     MEMBER_CUT, NULL);
    }
}

static void appends(struct sim_node *n, const struct raft_entry *e)
{
    const struct raft *r = n->replica != NULL ? node_raft(n) : NULL;
    const struct raft_config_at *before;
    struct raft_configuration c;

    if (r == NULL || raft_get_role(r) != RAFT_LEADER || e->id.term != raft_get_term(r))
        return;
    if (raft_configuration_decode(e->data, e->len, &c) != 0)
        sim_fail(n->sim, "MEMBER-4", "n%u appends a configuration that cannot be read", n->i + 1);
    before = raft_config_at(r, e->id.index - 1);
    check_when(n, before, e->id);
    check_step(n, &before->configuration, &c, e->id.index);
    check_intent(n, &before->configuration, &c, e->id.index);
    disturb(n, &before->configuration, &c);
}

/* ---- where they stand in a log ---- */

static void push(struct sim_changes *w, raft_index index)
{
    if (w->n_at == SIM_CONFIGS_MAX)
        memmove(&w->at[0], &w->at[1], --w->n_at * sizeof(w->at[0]));
    w->at[w->n_at++] = index;
}

void changes_recovered(struct sim_node *n, const struct store_recovered *r)
{
    n->changes = (struct sim_changes){.first_content = n->changes.first_content};
    for (size_t i = 0; i < r->n_configs; i++)
        push(&n->changes, r->configs[i].index);
}

void changes_submit(struct sim_node *n, const struct raft_ready *ready)
{
    struct sim *s = n->sim;
    struct sim_changes *w = &n->changes;

    if (ready->reset.index != 0) {
        w->n_at = 0;
        push(w, ready->reset_config->index);
        if (ready->reset_config->index > 1)
            MARK(s, snap_covers_change);
        if (n->joined)
            MARK(s, join_by_snapshot);
        if (n->joined && n->was_voter)
            MARK(s, reborn_by_snapshot);
        n->joined = false;
    }
    while (ready->truncate_from != 0 && w->n_at > 0 && w->at[w->n_at - 1] >= ready->truncate_from) {
        MARK(s, config_truncated);
        TRACE(s, "n%u: the configuration of %" PRIu64 " is truncated", n->i + 1,
              w->at[w->n_at - 1]);
        w->n_at--;
    }
    for (unsigned i = 0; i < ready->n_entries; i++) {
        if (ready->entries[i].type != RAFT_ENTRY_CONFIG)
            continue;
        appends(n, &ready->entries[i]);
        push(w, ready->entries[i].id.index);
    }
}

/* ---- what is heard, said and owed ---- */

void changes_hears(struct sim_node *n, const struct sim_node *from, const struct raft_msg *m)
{
    struct sim_changes *w = &n->changes;

    if (m->from != from->id)
        return;
    w->heard[from->i].id = from->id;
    w->heard[from->i].us = clock_local_us(n);
    if ((m->type == RAFT_MSG_APPEND_RESP || m->type == RAFT_MSG_HEARTBEAT_RESP) &&
        m->term == raft_get_term(node_raft(n)))
        w->heard[from->i].answered = m->term;
}

bool changes_answered(const struct sim_node *n, raft_node_id id)
{
    const struct sim_changes *w = &n->changes;

    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        if (w->heard[i].id == id)
            return w->heard[i].answered == raft_get_term(node_raft(n));
    return id == n->id;
}

/* Of a leader that has one more: who comes in, and who votes now. */
void changes_trace(struct sim_node *n, const struct raft_trace *t)
{
    struct sim *s = n->sim;
    const struct raft_configuration *before;
    const struct raft_configuration *c;

    if (n->replica == NULL || raft_get_role(node_raft(n)) != RAFT_LEADER)
        return;
    c = raft_get_configuration(node_raft(n));
    before = &raft_config_at(node_raft(n), t->index - 1)->configuration;
    n->changes.changed = true;
    n->changes.changed_us = clock_local_us(n);
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const raft_node_id id = s->nodes[i].id;

        if (i != n->i && raft_configuration_get(c, id) != NULL &&
            raft_configuration_get(before, id) == NULL)
            n->changes.came |= 1u << i;
        if (i != n->i && is_voter_of(c, id) && !is_voter_of(before, id) && net_is_up(n, id))
            n->changes.owes_round |= 1u << i;
    }
}

/* MEMBER-18. */
void changes_sends(struct sim_node *n, const struct raft_msg *m)
{
    const struct raft *r = node_raft(n);
    const raft_index index = raft_get_configuration_index(r);
    const struct sim_node *to = node_of_id(n->sim, m->to);

    if (m->type == RAFT_MSG_HEARTBEAT && to != NULL)
        n->changes.owes_round &= ~(1u << to->i);
    if (m->type != RAFT_MSG_APPEND || m->n_entries == 0 || index <= raft_get_commit_index(r) ||
        m->prev.index + m->n_entries < index || m->term != raft_get_term(r))
        return;
    if (!is_voter_of(raft_get_configuration(r), m->to) &&
        is_voter_of(&raft_config_at(r, index - 1)->configuration, m->to))
        sim_fail(n->sim, "MEMBER-18",
                 "n%u sends n%u that it is no voter any more, and that is not committed", n->i + 1,
                 to != NULL ? to->i + 1 : 0);
}

/* The highest that a majority of the voters and the leader hold. */
static raft_index counted(const struct sim_node *n, const struct raft_status *st)
{
    const struct raft_configuration *c = raft_get_configuration(node_raft(n));
    const unsigned quorum = raft_configuration_n_voters(c) / 2 + 1;
    raft_index best = 0;

    for (unsigned i = 0; i <= st->n_peers; i++) {
        const raft_index index = i < st->n_peers ? st->peers[i].match_index : st->last_stored;
        unsigned count = is_voter_of(c, n->id) && st->last_stored >= index;

        for (unsigned k = 0; k < st->n_peers; k++)
            count += st->peers[k].role == RAFT_VOTER && st->peers[k].match_index >= index;
        if (count >= quorum && index > best && index <= st->last_stored)
            best = index;
    }
    return best;
}

/* READ-24: a majority that has shrunk may have all already; who comes in counts as heard (READ-18). */
static void check_changed(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_changes *w = &n->changes;
    struct raft_status st;
    raft_index index;

    raft_get_status(node_raft(n), &st);
    index = counted(n, &st);
    /* It may wait for what is not applied yet. */
    if (index > st.commit_index && st.commit_index == st.last_applied &&
        raft_term_at(node_raft(n), st.commit_index + 1) == st.current_term)
        sim_fail(s, "READ-24",
                 "a majority of what n%u leads holds %" PRIu64 ", and it has committed %" PRIu64,
                 n->i + 1, index, st.commit_index);
    for (unsigned i = 0; i < st.n_peers; i++) {
        const struct sim_node *peer = node_of_id(s, st.peers[i].id);

        if (peer != NULL && (w->came >> peer->i & 1) != 0 && !st.peers[i].heard &&
            clock_local_us(n) - w->changed_us < s->p.election_us)
            sim_fail(s, "READ-18", "n%u has taken in n%u, and counts it as silent", n->i + 1,
                     peer->i + 1);
        if (peer != NULL && (w->owes_round >> peer->i & 1) != 0 && st.peers[i].connected)
            sim_fail(s, "READ-24", "n%u makes n%u a voter and tells it no round", n->i + 1,
                     peer->i + 1);
    }
}

void changes_turn(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_changes *w = &n->changes;
    const struct raft *r = node_raft(n);
    const raft_index index = raft_get_configuration_index(r);
    struct raft_status st;

    if (w->n_at > 0 && index != w->at[w->n_at - 1]) {
        raft_get_status(r, &st);
        if (st.last_index == n->wal.tail.n)
            sim_fail(s, "MEMBER-4",
                     "in force at n%u is the configuration of %" PRIu64
                     ", and the last one of its log is that of %" PRIu64,
                     n->i + 1, index, w->at[w->n_at - 1]);
    }
    if (w->changed && raft_get_role(r) == RAFT_LEADER)
        check_changed(n);
    w->changed = false;
    w->came = w->owes_round = 0;
    if (raft_get_role(r) == RAFT_LEADER && index > raft_get_commit_index(r) &&
        raft_config_at(r, index - 1)->index > raft_get_commit_index(r))
        sim_fail(s, "MEMBER-1", "n%u leads, and two of its configurations are not committed",
                 n->i + 1);
}
