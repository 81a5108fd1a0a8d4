/* The other ways to read, among the reads and writes of clients.c on the same keys: follower reads
 * on any node, lease reads, reads of a bounded age, and local reads with the token of what their
 * client has seen.
 *
 * READ-1: follower and lease reads show all that was known to anybody before they came. BOUND-1,
 * BOUND-2: a bounded read shows all that was committed before its age began, by the time of the
 * simulator, and no age is more than was asked for. TOKEN-1: nothing is answered from a state that
 * holds less than its token. */
#include <inttypes.h>

#include "sim/sim.h"

#include "base/banned.h"

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_LEASE, 44, bound);
}

bool ways_are_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_TOKENS & 1) != 0;
}

bool ways_is_anywhere(enum op_kind kind)
{
    return kind == OP_READ_LOCAL || kind == OP_READ_FOLLOWER || kind == OP_READ_BOUNDED ||
           kind == OP_READ_TOKEN;
}

bool ways_is_read(enum op_kind kind)
{
    return kind == OP_READ || kind == OP_READ_LOG || kind == OP_READ_LEASE ||
           ways_is_anywhere(kind);
}

static bool is_linearizable(enum op_kind kind)
{
    return kind == OP_READ || kind == OP_READ_LOG || kind == OP_READ_FOLLOWER ||
           kind == OP_READ_LEASE;
}

/* Their weights are drawn with the feature; clocks, too, for a bounded read needs them. */
void ways_profile(struct sim *s)
{
    struct profile *p = &s->p;
    const bool on =
        s->options.wrong_clocks || (sim_below(s, STREAM_FEATURE, FEATURE_TOKENS, 4) > 0 &&
                                    (s->options.features_off >> FEATURE_TOKENS & 1) == 0);

    if (on) {
        p->features |= UINT64_C(1) << FEATURE_TOKENS;
        MARK(s, seeds_tokens);
        for (unsigned i = OP_READ_FOLLOWER; i <= OP_READ_TOKEN; i++)
            p->weights[i] = (unsigned)below(s, 30);
        p->weights[OP_READ_LEASE] += leases_are_on(s) ? 10 : 0;
        p->stale_us = p->election_us >> below(s, 6);
    }
    if (!clocks_are_kept(s))
        return;
    p->slew_ppm = below(s, 2) == 0 ? 0 : 100000;
    p->held_up_one_in = below(s, 3) > 0 ? 0 : 200;
    p->clock_every_ns = p->election_us * 1000 * (1 + below(s, 8));
}

void ways_heal(struct sim *s)
{
    s->p.held_up_one_in = 0;
    if (!ways_are_on(s))
        return;
    for (unsigned i = OP_READ_FOLLOWER; i <= OP_READ_TOKEN; i++)
        s->p.weights[i] = 3;
    s->p.stale_us = s->p.election_us;
}

/* ---- asking ---- */

void ways_ask(struct sim *s, struct op *op)
{
    const struct sim_client *c = &s->clients[op->client];

    if (op->kind == OP_READ_BOUNDED)
        op->request.max_stale_us =
            1 + below(s, UINT64_C(1) << below(s, 2) * 4) * s->p.stale_us + below(s, s->p.stale_us);
    if (op->kind == OP_READ_TOKEN ||
        (ways_are_on(s) && ways_is_read(op->kind) && op->kind != OP_READ_LOG && below(s, 4) == 0))
        op->token = c->token;
    op->request.min_index = op->token;
    if (op->token > replica_last_applied(s->nodes[op->node].replica))
        MARK(s, token_waited);
}

/* ---- answers ---- */

static void check_proof(struct sim *s, const struct op *op, const struct replica_view *view)
{
    if (is_linearizable(op->kind) != replica_view_is_linearizable(view))
        sim_fail(s, "CLIENT-8", "a %s says that it is%s linearizable", sim_op_names[op->kind],
                 is_linearizable(op->kind) ? " not" : "");
    if (view->proof == REPLICA_PROOF_LEADER && view->answered < view->ticket)
        sim_fail(s, "FOLLOW-1", "a read with ticket %" PRIu64 " is given the answer to %" PRIu64,
                 view->ticket, view->answered);
    if (view->proof == REPLICA_PROOF_LEASE && view->look <= view->arrival_look)
        sim_fail(s, "LEASE-9", "a read is answered by a look at the clock that came before it");
}

/* By how much more than what its own clock said may have passed. */
static uint64_t most_ns(const struct sim_node *n, uint64_t us)
{
    return (uint64_t)((unsigned __int128)(us + 2) * 1000000000 /
                      (uint64_t)(1000000 + n->clocks.slowest_ppm)) +
           2;
}

static void mark_age(struct sim *s, uint64_t us)
{
    if (us < 2000)
        MARK(s, bounded_under_2_ms);
    else if (us < 20000)
        MARK(s, bounded_under_20_ms);
    else if (us < 200000)
        MARK(s, bounded_under_200_ms);
    else
        MARK(s, bounded_older);
}

static void check_age(struct sim *s, const struct op *op, const struct replica_view *view)
{
    const struct sim_node *n = &s->nodes[op->node];
    /* Its age is of the moment at which the clocks were looked at, if that took a while. */
    const uint64_t now = n->cpu_ns > 0 ? n->clocks.looked_at : s->now;
    const uint64_t age_ns = most_ns(n, view->staleness_us);
    const raft_index least = oracle_committed_at(s, now > age_ns ? now - age_ns : 0);

    MARK(s, reads_bounded);
    mark_age(s, view->staleness_us);
    if (view->staleness_us > op->request.max_stale_us)
        sim_fail(s, "BOUND-1", "a read may be %" PRIu64 " us old and is %" PRIu64,
                 op->request.max_stale_us, view->staleness_us);
    if (view->last_applied.index < least)
        sim_fail(s, "BOUND-2",
                 "n%u says that its state %" PRIu64 " is %" PRIu64 " us old at most, and %" PRIu64
                 " was committed before that",
                 n->i + 1, view->last_applied.index, view->staleness_us, least);
}

/* What clients.c does not look at already. */
void ways_check(struct sim *s, struct op *op, const struct replica_view *view)
{
    check_proof(s, op, view);
    if (view->last_applied.index < op->token)
        sim_fail(s, "TOKEN-1",
                 "a %s with the token %" PRIu64 " is answered from the state %" PRIu64,
                 sim_op_names[op->kind], op->token, view->last_applied.index);
    switch ((unsigned)op->kind) { /* only those of here */
    case OP_READ_FOLLOWER:
        MARK(s, reads_follower);
        if (view->proof == REPLICA_PROOF_ROUND)
            MARK(s, reads_follower_by_round);
        break;
    case OP_READ_LEASE:
        if (view->proof == REPLICA_PROOF_LEASE)
            MARK(s, reads_lease);
        else
            MARK(s, reads_lease_by_round);
        break;
    case OP_READ_BOUNDED:
        if (s->options.judge != JUDGE_INDEX)
            check_age(s, op, view);
        break;
    case OP_READ_TOKEN:
        MARK(s, reads_token);
        break;
    default:
        break;
    }
}

void ways_failed(struct sim *s, const struct op *op, const struct replica_failure *f)
{
    if (op->kind == OP_READ_BOUNDED)
        MARK(s, bounded_refused);
    if (op->kind == OP_READ_TOKEN)
        MARK(s, token_unreached);
    if (op->kind == OP_READ_FOLLOWER && f->error == WIRE_ERROR_OVERLOADED)
        MARK(s, behind_refused);
    if (ways_is_anywhere(op->kind) && f->error == WIRE_ERROR_NOT_LEADER && f->leader_id != 0)
        sim_fail(s, "FOLLOW-6", "n%u sends a %s to the leader", op->node + 1,
                 sim_op_names[op->kind]);
}

void ways_told(struct sim *s, const struct op *op)
{
    struct sim_client *c = &s->clients[op->client];

    if (op->index > c->token)
        c->token = op->index;
}
