/* Nobody listens where a node was: what the others are told of it, and what else they are told.
 *
 * A process that dies is refused for, to those that call its address; each of them learns it at its
 * own time, some too late, some never. Besides there are refusals that mean nothing: of an address
 * that is not the node's, and, from a network that lies, of a leader that lives. The first must
 * change nothing at all; the second may cost an election, and no more. That a link has ended is
 * never enough.
 *
 * What the core owes is looked at here, right behind each call: all that it may change is whom it
 * hears, and when it campaigns. That elections are safe all the same is for all other checkers. */
#include <inttypes.h>

#include "engine/engine_int.h"
#include "sim/sim.h"

#include "base/banned.h"

/* How the caller was refused; above the node in the event's arg. */
enum refusal { REFUSAL_DEAD, REFUSAL_ELSEWHERE, REFUSAL_LIE };

static bool is_on(const struct sim *s)
{
    return (s->p.features >> FEATURE_GONE & 1) != 0;
}

void gone_profile(struct sim *s)
{
    if (sim_below(s, STREAM_FEATURE, FEATURE_GONE, 2) != 0 ||
        (s->options.features_off >> FEATURE_GONE & 1) != 0)
        return;
    MARK(s, seeds_gone);
    s->p.features |= UINT64_C(1) << FEATURE_GONE;
}

static const char *peer_addr(void *ctx, raft_node_id id)
{
    const struct sim_node *n = ctx;
    const struct sim_node *peer = node_of_id(n->sim, id);

    return peer != NULL ? peer->name : NULL;
}

void gone_engine(struct sim_node *n, struct engine_ops *ops)
{
    n->gone = 0;
    if (is_on(n->sim) && ops->peer_addr == NULL)
        ops->peer_addr = peer_addr;
}

/* Refusals without a death: when, and of whom the node that is drawn hears. */
void gone_plan(struct sim *s)
{
    const unsigned n = is_on(s) ? (unsigned)sim_below(s, STREAM_GONE, 0, 40) : 0;

    for (unsigned i = 0; i < n; i++) {
        const uint64_t at = sim_below(s, STREAM_GONE, 1, s->p.length_ns);
        const unsigned node = (unsigned)sim_below(s, STREAM_GONE, 2, s->p.n_nodes);
        const bool lie = sim_below(s, STREAM_GONE, 3, 4) == 0;

        sim_push_any(s, at, EV_GONE, node,
                     (uint16_t)((lie ? REFUSAL_LIE : REFUSAL_ELSEWHERE) << 8), NULL);
    }
}

void gone_node_died(struct sim_node *n)
{
    struct sim *s = n->sim;

    for (unsigned i = 0; i < s->p.n_nodes && is_on(s); i++) {
        const uint64_t late = sim_below(s, STREAM_GONE, 8 + i, 8) == 0 ? 20 : 1;
        const uint64_t after = sim_below(s, STREAM_GONE, 8 + i, s->p.heartbeat_us * 1000 * late);

        if (i == n->i || s->nodes[i].life != NODE_UP ||
            sim_below(s, STREAM_GONE, 8 + i, 5) == 0)
            continue;
        sim_push(s, s->now + after, EV_GONE, &s->nodes[i],
                 (uint16_t)(REFUSAL_DEAD << 8 | n->i), NULL);
    }
}

/* ---- what it may change ---- */

raft_node_id gone_follows(const struct sim_node *n)
{
    return n->engine != NULL ? raft_get_leader(node_raft(n)) : 0;
}

/* FAILOVER-1: an end alone says nothing. */
void gone_link_down(struct sim_node *n, raft_node_id before)
{
    if (gone_follows(n) != before)
        sim_fail(n->sim, "FAILOVER-1", "n%u follows nobody any more, for a link has ended",
                 n->i + 1);
}

static void look_at_safety(struct sim_node *n, const struct raft_status *was,
                           const struct raft_status *is)
{
    if (is->current_term != was->current_term || is->voted_for != was->voted_for ||
        is->role != was->role || is->commit_index != was->commit_index ||
        is->last_index != was->last_index)
        sim_fail(n->sim, "FAILOVER-4", "n%u was told that somebody is gone, and more has changed",
                 n->i + 1);
}

static void look_at_campaign(struct sim_node *n, raft_node_id whom, const struct raft_status *is)
{
    const uint64_t now_us = clock_local_us(n);

    MARK(n->sim, gone_campaign);
    if (is->fitness != RAFT_FIT)
        sim_fail(n->sim, "FAILOVER-3", "n%u campaigns early and is not fit", n->i + 1);
    if (n->gone == whom && now_us < n->gone_local_us + RAFT_EARLY_APART_US)
        sim_fail(n->sim, "FAILOVER-3", "n%u campaigns early twice in %" PRIu64 " us", n->i + 1,
                 now_us - n->gone_local_us);
    if (raft_tick_due_us(node_raft(n)) > now_us + RAFT_EARLY_US)
        sim_fail(n->sim, "FAILOVER-3", "n%u campaigns early after more than 20 ms", n->i + 1);
}

/* It was followed, and is gone: it is heard no more, and whoever may campaigns. */
static void look_at_belief(struct sim_node *n, raft_node_id whom, const struct raft_status *was,
                           const struct raft_status *is)
{
    const uint64_t now_us = clock_local_us(n);

    if (is->leader_id == whom) {
        MARK(n->sim, gone_too_soon);
        if (n->gone != whom || now_us > n->gone_local_us + RAFT_EARLY_APART_US)
            sim_fail(n->sim, "FAILOVER-2", "n%u still hears n%u, where nobody listens", n->i + 1,
                     node_of_id(n->sim, whom)->i + 1);
        return;
    }
    if (is->leader_id != 0)
        sim_fail(n->sim, "FAILOVER-2", "n%u follows another, of whom nothing was said", n->i + 1);
    if (is->early_campaigns != was->early_campaigns)
        look_at_campaign(n, whom, is);
    else
        MARK(n->sim, gone_left_to_others);
    n->gone = whom;
    n->gone_local_us = now_us;
}

static void refuse(struct sim_node *n, struct sim_node *whom, enum refusal how)
{
    const struct engine_ops *ops = &n->engine->ops;
    const char *address =
        how == REFUSAL_ELSEWHERE ? "elsewhere:1" : ops->peer_addr(ops->ctx, whom->id);
    struct raft_status was;
    struct raft_status is;
    bool follows;

    raft_get_status(node_raft(n), &was);
    follows = was.role == RAFT_FOLLOWER && was.leader_id == whom->id;
    if (address == NULL)
        return; /* its place was taken by another */
    TRACE(n->sim, "n%u is refused at '%s' of n%u", n->i + 1, address, whom->i + 1);
    engine_gone(n->engine, whom->id, address, clock_local_us(n));
    raft_get_status(node_raft(n), &is);
    look_at_safety(n, &was, &is);
    if (how == REFUSAL_ELSEWHERE || !follows) {
        if (is.leader_id != was.leader_id || is.early_campaigns != was.early_campaigns)
            sim_fail(n->sim, "FAILOVER-1", "n%u campaigns early, and not for its leader's address",
                     n->i + 1);
    } else {
        look_at_belief(n, whom->id, &was, &is);
    }
    node_input(n);
}

void gone_event(struct sim *s, const struct sim_event *e)
{
    const enum refusal how = e->arg >> 8;
    struct sim_node *n = &s->nodes[e->node];
    struct sim_node *whom = &s->nodes[e->arg & 255];

    if (n->life != NODE_UP || n->engine == NULL)
        return;
    if (how != REFUSAL_DEAD)
        whom = node_of_id(s, gone_follows(n));
    if (whom == NULL || whom == n || (how == REFUSAL_LIE && s->healing))
        return;
    switch (how) {
    case REFUSAL_DEAD:
        MARK(s, gone_refused);
        if (whom->life == NODE_UP)
            MARK(s, gone_late);
        break;
    case REFUSAL_ELSEWHERE:
        MARK(s, gone_elsewhere);
        break;
    case REFUSAL_LIE:
        MARK(s, gone_lie);
        break;
    }
    refuse(n, whom, how);
}
