/* The oracle of leases. It believes nothing that a core says of its own promises, gate or lease:
 * it hears what heartbeats carry and what is answered, and calculates.
 *
 *   LEASE-5   a vote reports all that its voter has promised to other terms, in this life or before
 *   LEASE-6, LEASE-7   a leader commits nothing before that is over
 *   LEASE-8   who could answer by a lease has it of a quorum, from the opening of their rounds
 *   LEASE-7 again, all together: while anybody commits nobody else could answer by a lease
 *
 * The last one is what leases are for; those before it are its reasons, which are seen far more
 * often. Who could answer by a lease is the core's own word, at the time of the question. */
#include <inttypes.h>

#include "raft/raft_int.h"
#include "sim/sim.h"

#include "base/banned.h"

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_LEASE, 40, bound);
}

bool leases_are_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_LEASES & 1) != 0;
}

void leases_profile(struct sim *s)
{
    static const unsigned rates_ppm[] = {0, 50, 1000, 2400, 9990};
    struct profile *p = &s->p;

    if (!s->options.wrong_clocks && (sim_below(s, STREAM_FEATURE, FEATURE_LEASES, 2) != 0 ||
                                     (s->options.features_off >> FEATURE_LEASES & 1) != 0))
        return;
    p->features |= UINT64_C(1) << FEATURE_LEASES;
    MARK(s, seeds_leases);
    p->rate_ppm = rates_ppm[below(s, 5)];
    p->lease_us = p->election_us << below(s, 3);
    if (p->lease_us > RAFT_LEASE_US_MAX)
        p->lease_us = RAFT_LEASE_US_MAX;
    p->knows_gates = s->options.wrong_clocks || below(s, 4) > 0;
}

void leases_node_init(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (!leases_are_on(s))
        return;
    n->lease.lease_us = s->p.lease_us;
    if (below(s, 4) == 0)
        n->lease.lease_us = below(s, 2) == 0 ? 0 : s->p.lease_us / 2;
}

static uint64_t now_ns(const struct sim_node *n)
{
    return n->sim->now + n->cpu_ns;
}

/* As long as that by a clock that is slow, by one that is fast; not the core's word for it. */
static uint64_t stretch_us(uint64_t us)
{
    return (us * (RAFT_CLOCK_RHO + 1) + RAFT_CLOCK_RHO - 2) / (RAFT_CLOCK_RHO - 1);
}

/* ---- promises ---- */

static void promise(struct sim_node *n, raft_term term, uint64_t until_us)
{
    struct sim_lease *l = &n->lease;
    unsigned least = 0;

    for (unsigned i = 0; i < SIM_PROMISES; i++) {
        if (l->promises[i].term == term) {
            least = i;
            break;
        }
        if (l->promises[i].until_us < l->promises[least].until_us)
            least = i;
    }
    if (l->promises[least].term == term && l->promises[least].until_us > until_us)
        return;
    l->promises[least].term = term;
    l->promises[least].until_us = until_us;
}

/* LEASE-4: in its next life, to any term. */
void leases_boot(struct sim_node *n)
{
    const uint64_t lease_us = n->lease.lease_us;
    uint64_t longest_us = n->lease.longest_us;

    if (!leases_are_on(n->sim))
        return;
    if (longest_us > n->wal.durable_hard_state.lease_max_us) /* its disk was lost */
        longest_us = n->wal.durable_hard_state.lease_max_us;
    n->lease = (struct sim_lease){.lease_us = lease_us, .longest_us = longest_us};
    if (longest_us > 0 && !n->damaged)
        n->lease.other_until_us = clock_local_us(n) + stretch_us(longest_us);
}

/* To all terms before that one, but for one of them. What is promised to a later one while a vote
 * waits for its disk is no concern of whoever gets it: a quorum is in that term, and he commits
 * nothing that its leader does not know of. */
static uint64_t promised_until_us(const struct sim_node *n, raft_term before, raft_term but)
{
    const struct sim_lease *l = &n->lease;
    uint64_t until_us = l->other_until_us;

    for (unsigned i = 0; i < SIM_PROMISES; i++)
        if (l->promises[i].term < before && l->promises[i].term != but &&
            l->promises[i].until_us > until_us)
            until_us = l->promises[i].until_us;
    return until_us;
}

/* The heartbeat that is answered, the first time it came and asked for a promise: repeated behind a
 * hand-over it asks for none (LEASE-10), and may overtake the one that did. */
static const struct sim_beat *heard(const struct sim_lease *l, const struct raft_msg *m,
                                    unsigned from)
{
    const struct sim_beat *first = NULL;

    for (unsigned i = 0; i < SIM_BEATS; i++) {
        const struct sim_beat *b = &l->beats[i];

        if (b->term == m->term && b->round == m->round && b->from == from &&
            (first == NULL || (first->lease_us == 0 && b->lease_us != 0) ||
             (b->at_us < first->at_us && (b->lease_us != 0 || first->lease_us == 0))))
            first = b;
    }
    return first;
}

static void answers(struct sim_node *n, const struct raft_msg *m, const struct sim_node *leader)
{
    struct sim_lease *l = &n->lease;
    const struct sim_beat *b;

    if (m->reject)
        return;
    if (m->beat.stamp.hold_us > clocks_hold_us_at(n, now_ns(n)) + 2) /* rounded, twice */
        sim_fail(n->sim, "BOUND-1", "n%u tells of a time to come", n->i + 1);
    if (!m->beat.leased)
        return;
    MARK(n->sim, promised);
    b = heard(l, m, leader->i);
    if (b == NULL)
        return; /* too many since */
    if (b->lease_us == 0)
        sim_fail(n->sim, "LEASE-1", "n%u promises what nobody asked for", n->i + 1);
    if (n->wal.durable_hard_state.lease_max_us < b->lease_us)
        sim_fail(n->sim, "LEASE-3", "n%u promises %" PRIu64 " us, and its disk knows of %" PRIu64,
                 n->i + 1, b->lease_us, n->wal.durable_hard_state.lease_max_us);
    promise(n, m->term, b->at_us + stretch_us(b->lease_us));
    if (b->lease_us > l->longest_us)
        l->longest_us = b->lease_us;
}

static void hears_heartbeat(struct sim_node *n, const struct raft_msg *m, unsigned from)
{
    struct sim_beat *b = &n->lease.beats[n->lease.n_beats++ % SIM_BEATS];

    b->term = m->term;
    b->round = m->round;
    b->lease_us = m->beat.lease_us;
    b->at_us = clock_local_us(n);
    b->from = from;
}

static void hears_candidate(struct sim_node *n, const struct raft_msg *m, unsigned from)
{
    typeof(n->lease.asked[0][0]) *a = &n->lease.asked[from][m->term % 8];

    a->transfer = m->transfer || (a->term == m->term && a->transfer);
    a->term = m->term;
}

static void votes(struct sim_node *n, const struct raft_msg *m, const struct sim_node *candidate)
{
    const typeof(n->lease.asked[0][0]) *a = &n->lease.asked[candidate->i][m->term % 8];
    const bool transfer = a->term == m->term && a->transfer;
    const uint64_t until_us =
        promised_until_us(n, m->term, transfer ? m->term - 1 : RAFT_TERM_NONE);
    const uint64_t now_us = clock_local_us(n);

    if (m->reject || until_us <= now_us)
        return;
    MARK(n->sim, promise_reported);
    if (m->left_us < until_us - now_us)
        sim_fail(n->sim, "LEASE-5",
                 "n%u votes in term %" PRIu64 " and says that %" PRIu64
                 " us are left of its promises, and %" PRIu64 " are",
                 n->i + 1, m->term, m->left_us, until_us - now_us);
}

/* ---- gates ---- */

static void campaigns(struct sim_node *n, const struct raft_trace *t)
{
    struct sim_lease *l = &n->lease;
    const bool transfer = t->text != NULL && strcmp(t->text, "leadership transfer") == 0;

    if (l->gate_term == t->term)
        return;
    l->gate_term = t->term;
    l->has_voted = 0;
    l->gate_us = promised_until_us(n, t->term, transfer ? t->term - 1 : RAFT_TERM_NONE);
}

static void hears_vote(struct sim_node *n, const struct raft_msg *m, const struct sim_node *from,
                       enum raft_role role)
{
    const uint64_t most_us = stretch_us(RAFT_LEASE_US_MAX);
    struct sim_lease *l = &n->lease;
    uint64_t until_us;

    if (m->reject || role != RAFT_CANDIDATE || m->term != l->gate_term ||
        raft_get_term(node_raft(n)) != m->term || (l->has_voted >> from->i & 1) != 0 ||
        !members_is_voter(raft_get_configuration(node_raft(n)), from))
        return;
    l->has_voted |= 1u << from->i;
    if (m->left_us == 0)
        return;
    until_us = clock_local_us(n) + stretch_us(m->left_us < most_us ? m->left_us : most_us);
    if (until_us > l->gate_us)
        l->gate_us = until_us;
}

void leases_trace(struct sim_node *n, const struct raft_trace *t)
{
    struct sim_lease *l = &n->lease;

    if (!leases_are_on(n->sim))
        return;
    if (t->event == RAFT_TRACE_ROLE && t->role == RAFT_CANDIDATE)
        campaigns(n, t);
    if (t->event != RAFT_TRACE_LEADER || t->peer != n->id)
        return;
    l->led_term = t->term;
    l->handed_over = false;
    l->first_round = 0;
    memset(l->held, 0, sizeof(l->held));
    memset(l->lengths, 0, sizeof(l->lengths));
    if (l->gate_us <= clock_local_us(n))
        return;
    MARK(n->sim, gates);
    clocks_gate(n);
}

/* ---- leases ---- */

static void sends_heartbeat(struct sim_node *n, const struct raft_msg *m)
{
    struct sim_lease *l = &n->lease;
    typeof(l->lengths[0]) *t = &l->lengths[m->round % SIM_LENGTHS];

    if (m->term != l->led_term || m->round <= t->round)
        return;
    t->round = m->round;
    t->hold_us = clocks_hold_us_at(n, now_ns(n));
    t->lease_us = m->beat.lease_us;
    t->slept_ns = n->clocks.slept_ns;
}

static void hears_answer(struct sim_node *n, const struct raft_msg *m, unsigned from)
{
    struct sim_lease *l = &n->lease;

    if (!m->reject && m->beat.leased && m->term == l->led_term && m->round > l->held[from])
        l->held[from] = m->round;
}

void leases_disrupted(struct sim_node *n)
{
    struct sim_lease *l = &n->lease;

    for (unsigned i = 0; i < SIM_LENGTHS; i++)
        if (l->lengths[i].round >= l->first_round)
            l->first_round = l->lengths[i].round + 1;
}

/* Until when this voter waits for n. */
static uint64_t held_until_us(const struct sim_node *n, const struct sim_node *voter)
{
    const struct sim_lease *l = &n->lease;
    const uint64_t round = l->held[voter->i];
    const typeof(l->lengths[0]) *t = &l->lengths[round % SIM_LENGTHS];

    if (round == 0 || t->round != round || round < l->first_round ||
        n->clocks.slept_ns > t->slept_ns + 2 * RAFT_SUSPEND_US * SIM_US)
        return 0;
    return t->hold_us + t->lease_us;
}

/* As the core says itself, asked at that time, but for what it would learn from the question. */
static bool is_usable(const struct sim_node *n, uint64_t at)
{
    struct raft *r = replica_raft_mutable(n->replica);
    const uint64_t now_us = r->now_us;
    const uint64_t hold_us = r->hold_us;
    const uint64_t suspended_us = r->suspended_us;
    const uint64_t at_hold_us = clocks_hold_us_at(n, at);
    bool usable;

    /* Whose guest stands still is told before it asks. */
    if (n->clocks.disrupted || (n->suspended && n->clocks.asleep_since == 0))
        return false;
    if (clock_local_us_at(n, at) > now_us)
        r->now_us = clock_local_us_at(n, at);
    if (at_hold_us > hold_us)
        r->hold_us = at_hold_us;
    r->suspended_us = at_hold_us - clock_local_us_at(n, at);
    usable = raft_can_serve(r) && raft_lease_is_valid(r);
    r->now_us = now_us;
    r->hold_us = hold_us;
    r->suspended_us = suspended_us;
    return usable;
}

/* LEASE-8, LEASE-9, LEASE-10. */
static void check_holder(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct sim_lease *l = &n->lease;
    const struct raft_configuration *c = raft_get_configuration(node_raft(n));
    const uint64_t hold_us = clocks_hold_us_at(n, now_ns(n));
    unsigned count = 0;

    MARK(s, lease_usable);
    if (l->handed_over)
        sim_fail(s, "LEASE-10", "n%u has handed over in term %" PRIu64 " and has a lease", n->i + 1,
                 l->led_term);
    if (c->version < GATES_VERSION)
        sim_fail(s, "LEASE-15", "n%u has a lease, and not all are known to know of them", n->i + 1);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        count += members_is_voter(c, &s->nodes[i]) &&
                 (i == n->i || held_until_us(n, &s->nodes[i]) >= hold_us + RAFT_LEASE_MARGIN_US);
    /* What those held whose disk was lost since nobody can look at. */
    if (count + members_n_lost(s, c) < raft_configuration_n_voters(c) / 2 + 1)
        sim_fail(s, "LEASE-8", "n%u has a lease in term %" PRIu64 " of %u of %u voters", n->i + 1,
                 l->led_term, count, raft_configuration_n_voters(c));
}

/* LEASE-9: a question is answered by a lease only if there is one when the answer leaves. */
static void answers_question(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct raft_status st;

    if (raft_get_role(node_raft(n)) != RAFT_LEADER)
        return;
    raft_get_status(node_raft(n), &st);
    if (st.n_asks_by_lease > n->lease.n_asks_by_lease && s->options.judge != JUDGE_INDEX &&
        !is_usable(n, s->now))
        sim_fail(s, "LEASE-9", "n%u answers a question by a lease that it has not", n->i + 1);
    n->lease.n_asks_by_lease = st.n_asks_by_lease;
}

/* ---- what is asked ---- */

void leases_hears(struct sim_node *n, const struct raft_msg *m, enum raft_role role)
{
    const struct sim_node *from = node_of_id(n->sim, m->from);

    if (!leases_are_on(n->sim) || from == NULL)
        return;
    if (m->type == RAFT_MSG_HEARTBEAT)
        hears_heartbeat(n, m, from->i);
    else if (m->type == RAFT_MSG_HEARTBEAT_RESP)
        hears_answer(n, m, from->i);
    else if (m->type == RAFT_MSG_VOTE_RESP)
        hears_vote(n, m, from, role);
    else if (m->type == RAFT_MSG_VOTE)
        hears_candidate(n, m, from->i);
}

void leases_sends(struct sim_node *n, const struct raft_msg *m)
{
    const struct sim_node *to = node_of_id(n->sim, m->to);

    if (!leases_are_on(n->sim) || to == NULL)
        return;
    if (m->type == RAFT_MSG_HEARTBEAT)
        sends_heartbeat(n, m);
    else if (m->type == RAFT_MSG_HEARTBEAT_RESP)
        answers(n, m, to);
    else if (m->type == RAFT_MSG_VOTE_RESP)
        votes(n, m, to);
    else if (m->type == RAFT_MSG_READ_ANSWER && !m->reject)
        answers_question(n);
    else if (m->type == RAFT_MSG_TIMEOUT_NOW && m->term == n->lease.led_term)
        n->lease.handed_over = true;
}

void leases_commits(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct sim_lease *l = &n->lease;

    if (!leases_are_on(s))
        return;
    if (l->gate_term == raft_get_term(node_raft(n)) && l->gate_us > clock_local_us(n))
        sim_fail(s, "LEASE-7", "n%u commits in term %" PRIu64 ", %" PRIu64 " us before it may",
                 n->i + 1, l->gate_term, l->gate_us - clock_local_us(n));
    for (unsigned i = 0; s->options.judge == JUDGE_ALL && i < s->p.n_nodes; i++) {
        const struct sim_node *other = &s->nodes[i];

        if (other == n || other->life != NODE_UP || other->dying ||
            raft_get_role(node_raft(other)) != RAFT_LEADER)
            continue;
        MARK(s, overlap_looked);
        if (is_usable(other, now_ns(n)))
            sim_fail(s, "LEASE-7",
                     "n%u commits in term %" PRIu64 ", and n%u could answer by its lease of "
                     "term %" PRIu64,
                     n->i + 1, raft_get_term(node_raft(n)), other->i + 1,
                     raft_get_term(node_raft(other)));
    }
}

void leases_turn(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct raft_status st;

    if (!leases_are_on(s) || raft_get_role(node_raft(n)) != RAFT_LEADER)
        return;
    if (is_usable(n, now_ns(n)))
        check_holder(n);
    raft_get_status(node_raft(n), &st);
    n->lease.n_asks_by_lease = st.n_asks_by_lease; /* those that waited, in the turn */
    if (n->look % 16 != 0)
        return;
    if (st.gate_left_us > 0)
        MARK(s, gate_waited);
    if (st.drift_peer != 0)
        MARK(s, clocks_found_drifting);
}

void leases_count(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct replica_stats rs;
    struct raft_status st;

    if (n->replica == NULL)
        return;
    raft_get_status(node_raft(n), &st);
    replica_get_stats(n->replica, &rs);
    s->marks[MARK_asks_by_ack] += st.n_asks_by_ack;
    s->marks[MARK_asks_by_lease] += st.n_asks_by_lease;
    s->marks[MARK_asks_by_round] += st.n_asks_by_round;
    s->marks[MARK_lease_refused] += rs.n_lease_fallbacks;
}
