/* The moves between roles: one table of what is allowed, one way down. */
#include "raft/raft_int.h"

/* Only a candidate waits for disks: its own, and those of its voters. Whoever hears no leader, or
 * asks for pre-votes, waits for the network alone: else a member with a fast disk that comes and
 * goes would always be first, and those with slow disks that stay would be never. What is left to
 * chance is as long as disks need in any case, or two of them would begin before either is heard of
 * (VOTE-9). */
void raft_time_election(struct raft *r)
{
    uint64_t us =
        r->role == RAFT_CANDIDATE ? raft_disk_patience_us(r) : r->conf.election_timeout_us;

    r->election_due_us = r->silent_since_us + raft_patience(r) * us + r->election_spread_us;
}

void raft_reset_election_timer(struct raft *r)
{
    r->silent_since_us = r->now_us;
    r->election_spread_us = prng_below(&r->prng, raft_disk_patience_us(r));
    raft_time_election(r);
}

void raft_become(struct raft *r, enum raft_role role, const char *why)
{
    static const bool allowed[4][4] = {
        /* from \ to        follower  pre_cand.  candidate  leader */
        [RAFT_FOLLOWER] = {true, true, true, false},
        [RAFT_PRE_CANDIDATE] = {true, true, true, false},
        [RAFT_CANDIDATE] = {true, true, true, true},
        [RAFT_LEADER] = {true, false, false, false},
    };

    rid_assert(allowed[r->role][role]);
    r->role = role;
    raft_trace(r, RAFT_TRACE_ROLE, r->leader_id, 0, why);
}

/* A term never falls (TERM-1). */
void raft_become_follower(struct raft *r, raft_term term, raft_node_id leader, enum raft_loss loss,
                          const char *why)
{
    enum raft_role was = r->role;
    bool changed = was != RAFT_FOLLOWER || term > r->hard_state.current_term;

    rid_assert(term >= r->hard_state.current_term);
    rid_assert(leader != r->conf.id);
    if (was == RAFT_LEADER) {
        rid_assert(loss != RAFT_LOSS_NONE);
        /* Leadership cannot be lost, won and lost again between two readies: winning needs a vote
         * that was stored. */
        rid_assert(r->loss == RAFT_LOSS_NONE);
        /* No read waits for it any more, and what a quorum stored in this term is committed,
         * whoever leads next: of writes that are it is not said that nobody knows (TIME-5). */
        raft_commit_held_back(r);
        r->loss = loss;
        r->loss_term = r->hard_state.current_term;
        r->loss_commit_index = r->commit_index;
        raft_reads_fail(r);
        if (r->transfer_to != 0) {
            r->transfer_to = 0;
            r->transfer_over = true;
        }
        r->noop_index = 0;
        r->step_down_us = UINT64_MAX;
        r->uncommitted_bytes = 0;
    }
    if (term > r->hard_state.current_term) {
        r->hard_state.current_term = term;
        r->hard_state.voted_for = 0;
        r->hard_state_dirty = true;
        r->leader_id = 0;
        r->term_leader = 0;
    }
    r->self_vote_pending = false;
    r->self_vote = false;
    r->campaign_transfer = false;
    r->gate_us = 0;
    if (was != RAFT_FOLLOWER) {
        /* Who led and hears no quorum does not name itself to those who ask for the leader
         * (READ-54). */
        r->leader_id = 0;
    }
    if (leader != 0 && r->leader_id != leader) {
        r->leader_id = leader;
        r->term_leader = leader;
        raft_trace(r, RAFT_TRACE_LEADER, leader, 0, NULL);
    }
    if (changed)
        raft_become(r, RAFT_FOLLOWER, why);
    if (was != RAFT_FOLLOWER)
        raft_reset_election_timer(r);
    rid_assert(r->role == RAFT_FOLLOWER);
}
