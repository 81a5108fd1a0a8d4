/* What a new leader waits for: the promises that those who elected it gave to leaders before it.
 *
 * One of those may still hold a lease, and read by it what it knows, because it cannot know that it
 * was replaced. It is harmless as long as nothing is committed that it does not know of. So the new
 * leader takes proposals and replicates them, and commits when the longest of the promises is over:
 * its own, and those of the voters whose votes made it leader. Any quorum that a lease stands on
 * has one of them, and that one has said how long its promise still runs (LEASE-6, LEASE-7).
 *
 * The gate is of this node's own clock, the one that stands still in a suspended machine: then it
 * waits longer. It belongs to one candidacy and is forgotten with it. */
#include "raft/raft_int.h"

/* No term before the new one can be promised anything from here on, so what is asked now is all
 * there is; at the pre-vote it would not be. The candidate's own clock is not stretched against
 * itself. Where the leader of the term before has handed over it has no lease any more, and only
 * it (LEASE-5). */
void raft_gate_begin(struct raft *r, bool transfer)
{
    const raft_term over = transfer ? r->hard_state.current_term - 1 : RAFT_TERM_NONE;
    const uint64_t left_us = raft_promises_left_us(&r->promises, over, RAFT_TERM_NONE, r->now_us);

    r->gate_us = left_us > 0 ? r->now_us + left_us : 0;
}

void raft_gate_vote(struct raft *r, struct progress *p, uint64_t left_us)
{
    const uint64_t most_us = raft_promise_us_max();

    rid_assert(r->role == RAFT_CANDIDATE);
    if (left_us > most_us)
        left_us = most_us;
    p->gate_us = left_us > 0 ? r->now_us + raft_stretch_us(left_us) : 0;
}

void raft_gate_close(struct raft *r)
{
    for (unsigned i = 0; i < r->n_progress; i++) {
        const struct progress *p = &r->progress[i];

        if (p->role == RAFT_VOTER && p->vote == VOTE_GRANTED && p->gate_us > r->gate_us)
            r->gate_us = p->gate_us;
    }
}

bool raft_is_gated(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->now_us < r->gate_us;
}

uint64_t raft_gate_left_us(const struct raft *r)
{
    return raft_is_gated(r) ? r->gate_us - r->now_us : 0;
}

uint64_t raft_gate_due_us(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->gate_us != 0 ? r->gate_us : UINT64_MAX;
}

/* What a quorum has stored meanwhile nobody will say again. */
void raft_gate_tick(struct raft *r)
{
    rid_assert(r->role == RAFT_LEADER);
    if (r->gate_us == 0 || raft_is_gated(r))
        return;
    r->gate_us = 0;
    raft_maybe_commit(r);
}
