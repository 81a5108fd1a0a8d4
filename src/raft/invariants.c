/* What must hold whenever the core is at rest, as far as it can be told in constant time. It
 * runs in every build (CORE-5): a node that breaks it stops, and a stopped node is what Raft
 * survives. What costs more is in check.c, for tests.
 *
 * Each call that changes something ends with all of it, but for the two that are made once for
 * every request: raft_propose() ends with the rules about the log, raft_read() with those about
 * reads, which is what they can break; the ready behind them ends with all. */
#include "raft/raft_int.h"

static void check_log(const struct raft *r)
{
    const struct raft_log *l = &r->log;

    rid_assert(l->base.index <= r->last_applied); /* a snapshot's state is applied */
    rid_assert(l->base.index < l->first_cached);
    rid_assert(l->first_cached <= l->last_index + 1);
    rid_assert(l->first_cached <= r->last_handed + 1); /* what is not handed out is in memory */
    rid_assert(raft_log_last(l).term <= r->hard_state.current_term);
    rid_assert((l->n_terms == 0) == (l->base.index == l->last_index));
    rid_assert(r->n_configs >= 1);
    rid_assert(r->configs[r->n_configs - 1].index <= l->last_index);
}

static void check_indexes(const struct raft *r)
{
    rid_assert(r->commit_index <= r->log.last_index);
    rid_assert(r->last_applied <= r->last_emitted);
    rid_assert(r->last_emitted <= r->commit_index);
    /* Applied only what is durable here (COMMIT-7). */
    rid_assert(r->last_emitted <= r->last_stored);
    rid_assert(r->last_stored <= r->last_handed);
    rid_assert(r->last_handed <= r->log.last_index);
    /* What a truncation removed has not been handed out again yet. */
    rid_assert(r->truncate_from == 0 || r->truncate_from == r->last_handed + 1);
    rid_assert(r->truncate_from == 0 || r->truncate_from > r->last_emitted);
    rid_assert(r->reset.index == 0 || r->reset.index == r->log.base.index);
    if (r->installing.index == 0)
        return;
    rid_assert(r->installing.index <= r->commit_index);
    rid_assert(r->installing.index <= r->last_stored);
    rid_assert(r->installing.index >= r->log.base.index);
    rid_assert(r->last_emitted == r->last_applied);
}

/* Every batch that is issued and not durable has its mark; without one there is nothing to wait
 * for. */
static void check_batches(const struct raft *r)
{
    rid_assert(r->last_stored_batch <= r->last_batch);
    rid_assert(mark_ring_n(&r->marks) == r->last_batch - r->last_stored_batch);
    rid_assert(mark_ring_n(&r->marks) > 0 || r->last_stored == r->last_handed);
    rid_assert(mark_ring_n(&r->marks) > 0 || r->disk.outstanding_bytes == 0);
    rid_assert(r->disk.moved_us <= r->now_us);
    rid_assert(r->self_vote_batch <= r->last_batch);
}

/* Bytes that are accounted and never given back would make a leader answer "busy" for ever, or
 * keep its cache empty; a sum over the entries is for tests, but nothing of nothing is nothing,
 * and every entry counts for something. */
static void check_bytes(const struct raft *r)
{
    raft_index n_cached = r->log.last_index + 1 - r->log.first_cached;
    raft_index from = r->commit_index < r->noop_index ? r->noop_index : r->commit_index + 1;
    raft_index n_uncommitted = r->role == RAFT_LEADER ? r->log.last_index + 1 - from : 0;

    rid_assert(entry_ring_n(&r->log.cache) == n_cached);
    rid_assert(r->log.cached_bytes >= n_cached * sizeof(struct raft_entry));
    rid_assert(n_cached > 0 || r->log.cached_bytes == 0);
    rid_assert(r->uncommitted_bytes >= n_uncommitted * sizeof(struct raft_entry));
    rid_assert(n_uncommitted > 0 || r->uncommitted_bytes == 0);
    /* A proposal is taken up to the bound and may pass it by itself; no-op and CONFIG ask
     * nobody. */
    rid_assert(r->uncommitted_bytes <= RAFT_UNCOMMITTED_BYTES_MAX + 3 * (size_t)ENTRY_BYTES_MAX);
}

/* What the others are told of this node is what it is; and an unfit leader has no read in a round,
 * nor one that is confirmed (FIT-4). */
static void check_fitness(const struct raft *r)
{
    bool unfit = r->fitness == RAFT_UNFIT;

    rid_assert(((r->note.flags & RAFT_NOTE_UNFIT) != 0) == unfit);
    rid_assert(((r->note.flags & RAFT_NOTE_PARKED) != 0) == (r->fitness == RAFT_PARKED));
    rid_assert(!unfit || !raft_can_serve(r));
    rid_assert(!unfit || r->reads.n_inflight == 0);
    rid_assert(!unfit || read_done_ring_n(&r->reads.done) == 0);
}

static void check_role(const struct raft *r)
{
    rid_assert(r->hard_state.current_term <= RAFT_INDEX_MAX);
    rid_assert(r->leader_id == 0 || r->leader_id == r->term_leader);
    rid_assert(!r->self_vote_pending || r->role == RAFT_CANDIDATE);
    if (r->role == RAFT_LEADER) {
        rid_assert(r->leader_id == r->conf.id);
        /* Compacted with all before it, when it has led for long. */
        rid_assert(raft_log_term(&r->log, r->noop_index > r->log.base.index
                                              ? r->noop_index
                                              : r->log.base.index) == r->hard_state.current_term);
        rid_assert(r->self_vote);
        rid_assert(r->step_down_us == UINT64_MAX || r->fitness == RAFT_UNFIT);
        return;
    }
    rid_assert(r->leader_id != r->conf.id);
    rid_assert(r->step_down_us == UINT64_MAX);
    rid_assert(r->noop_index == 0);
    rid_assert(r->transfer_to == 0);
    if (r->role == RAFT_CANDIDATE)
        rid_assert(r->hard_state.voted_for == r->conf.id);
    if (r->role != RAFT_FOLLOWER) {
        rid_assert(r->leader_id == 0);
        rid_assert(r->is_voter);
    }
}

/* Who follows a leader, or is one, has no reason left (FAILOVER-3). */
static void check_early(const struct raft *r)
{
    rid_assert(r->early.tries_left <= RAFT_EARLY_TRIES);
    rid_assert(r->early.tries_left == 0 || r->early.leader != 0);
    rid_assert(r->early.tries_left == 0 || r->leader_id == 0);
    rid_assert(r->early.since_us <= r->now_us);
}

/* What was promised is told to whoever is elected; a candidate that is not elected waits for
 * nothing, and nobody can have promised more than the longest lease (LEASE-6). */
static void check_promises(const struct raft *r)
{
    const uint64_t most_us = raft_promise_us_max();

    rid_assert(r->hard_state.lease_max_us <= RAFT_LEASE_US_MAX);
    rid_assert(r->lease_stored_us <= r->hard_state.lease_max_us);
    rid_assert(r->lease_batch <= r->last_batch);
    rid_assert(r->promises.other_until_us <= r->now_us + most_us);
    if (r->role != RAFT_LEADER && r->role != RAFT_CANDIDATE)
        rid_assert(r->gate_us == 0);
    rid_assert(r->gate_us <= r->now_us + raft_stretch_us(most_us));
    /* Nothing of this term can be committed before it ends, and so nothing at all (LEASE-7). */
    rid_assert(!raft_is_gated(r) || r->commit_index < r->noop_index);
}

/* After TIMEOUT_NOW there is no lease, whatever becomes of the transfer (LEASE-10). */
static void check_lease(const struct raft *r)
{
    rid_assert(r->conf.lease_us <= RAFT_LEASE_US_MAX);
    if (r->role != RAFT_LEADER)
        return;
    rid_assert(r->lease.first_round <= r->rounds.next);
    rid_assert(r->transfer_to == 0 || !r->transfer_sent || r->lease.handed_over);
    rid_assert(!r->lease.handed_over || !raft_lease_is_valid(r));
}

static void check_asks(const struct raft *r)
{
    const struct asks *a = &r->asks;

    rid_assert(a->answered < a->next);
    rid_assert(a->given <= a->next); /* a ticket is of a question that has not left (FOLLOW-1) */
    rid_assert(a->in_round < a->next);
    rid_assert(a->done.ticket <= a->answered);
    rid_assert(r->role == RAFT_LEADER || a->in_round == 0);
    rid_assert(r->role == RAFT_LEADER || r->reads.n_asks == 0);
    rid_assert(r->pairs.n <= RAFT_PAIRS_MAX + 1);
    for (unsigned i = 0; i < RAFT_ASKS_MAX; i++) {
        if (a->out[i].number == 0)
            continue;
        rid_assert(a->out[i].number > a->answered);
        rid_assert(a->out[i].number < a->next);
        rid_assert(a->out[i].term <= r->hard_state.current_term);
    }
}

/* A clock that is ahead of now by more than its longest time would never ring. */
static void check_clocks(const struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        rid_assert(r->heartbeat_due_us <= r->now_us + r->conf.heartbeat_us);
        rid_assert(r->tick_due_us <= r->now_us + r->conf.heartbeat_us);
    } else {
        rid_assert(r->election_due_us <= r->now_us + r->conf.election_timeout_us *
                                                         (raft_patience(r) + 1) *
                                                         RAFT_PATIENCE_MAX);
    }
}

void raft_check_log(const struct raft *r)
{
    check_log(r);
    check_indexes(r);
    check_bytes(r);
}

void raft_check_reads(const struct raft *r)
{
    const struct read_queue *q = &r->reads;

    rid_assert(r->rounds.confirmed < r->rounds.next);
    rid_assert(q->n_inflight <= read_ring_n(&q->list));
    rid_assert(r->rounds.n_open <= q->n_inflight);
    rid_assert((r->rounds.n_open == 0) == (q->n_inflight == 0));
    rid_assert(raft_read_queue_n_waiting(q) <= RAFT_READS_PENDING_MAX);
    rid_assert(r->loss == RAFT_LOSS_NONE ||
               read_done_ring_n(&q->done) == 0); /* loss wins (READ-17) */
    if (r->role != RAFT_LEADER)
        rid_assert(raft_read_queue_n_waiting(q) == 0);
    if (q->n_inflight > 0) {
        /* The oldest is still waiting; the newest is in a round that was opened. */
        rid_assert(raft_read_queue_at(q, 0)->round > r->rounds.confirmed);
        rid_assert(raft_read_queue_at(q, q->n_inflight - 1)->round < r->rounds.next);
        rid_assert(raft_read_queue_at(q, 0)->read_index >= r->noop_index);
    }
}

/* What may never go back, and within a term never change: one vote, one leader, a leader's log
 * that only grows behind one no-op. */
static void check_change(const struct raft *r, const struct seen *before)
{
    rid_assert(r->hard_state.current_term >= before->term);
    /* One step for a message, and one more when it tells this node to campaign (TERM-4). */
    rid_assert(r->hard_state.current_term - before->term <= r->conf.term_step_max + 1);
    rid_assert(r->commit_index >= before->commit_index);
    rid_assert(r->last_applied >= before->last_applied);
    rid_assert(r->log.base.index >= before->base_index);
    rid_assert(r->rounds.next >= before->next_round);
    rid_assert(r->rounds.confirmed >= before->confirmed_round);
    rid_assert(r->last_stored_batch >= before->last_stored_batch);
    rid_assert(r->now_us >= before->now_us);
    rid_assert(r->hard_state.lease_max_us >= before->lease_max_us); /* never shorter (LEASE-3) */
    rid_assert(r->asks.answered >= before->tickets_answered);
    if (r->hard_state.current_term != before->term)
        return;
    rid_assert(before->voted_for == 0 || r->hard_state.voted_for == before->voted_for);
    rid_assert(before->term_leader == 0 || r->term_leader == before->term_leader);
    if (before->role == RAFT_LEADER && r->role == RAFT_LEADER) {
        rid_assert(r->noop_index == before->noop_index);
        rid_assert(r->log.last_index >= before->last_index);
        /* One gate for a term, until it is over; then it is forgotten (LEASE-6). */
        rid_assert(r->gate_us == before->gate_us ||
                   (r->gate_us == 0 && before->gate_us <= r->now_us));
    }
}

void raft_seen_take(struct raft *r)
{
    r->seen = (struct seen){.role = r->role,
                            .term = r->hard_state.current_term,
                            .voted_for = r->hard_state.voted_for,
                            .term_leader = r->term_leader,
                            .commit_index = r->commit_index,
                            .last_applied = r->last_applied,
                            .last_index = r->log.last_index,
                            .base_index = r->log.base.index,
                            .noop_index = r->noop_index,
                            .next_round = r->rounds.next,
                            .confirmed_round = r->rounds.confirmed,
                            .last_stored_batch = r->last_stored_batch,
                            .now_us = r->now_us,
                            .gate_us = r->gate_us,
                            .lease_max_us = r->hard_state.lease_max_us,
                            .tickets_answered = r->asks.answered};
}

void raft_check_rest(struct raft *r)
{
    raft_check_log(r);
    check_batches(r);
    check_role(r);
    check_fitness(r);
    check_early(r);
    check_clocks(r);
    check_promises(r);
    check_lease(r);
    check_asks(r);
    raft_check_reads(r);
    check_change(r, &r->seen);
    raft_seen_take(r);
}
