/* What must hold whenever the core is at rest, and what may never change backwards (STYLE.md 6). */
#include "raft/raft_int.h"

static void check_indexes(const struct raft *r)
{
    rid_assert(r->commit_index <= r->log.last_index);
    rid_assert(r->last_applied <= r->last_emitted);
    rid_assert(r->last_emitted <= r->commit_index);
    rid_assert(r->last_emitted <= r->last_stored); /* applied only what is durable here (I18) */
    rid_assert(r->last_stored <= r->last_handed);
    rid_assert(r->last_handed <= r->log.last_index);
    rid_assert(r->log.first_cached <= r->log.last_index + 1);
    rid_assert(r->log.first_cached <= r->last_handed + 1); /* what is not handed out is in memory */
    /* What a truncation removed has not been handed out again yet. */
    rid_assert(r->truncate_from == 0 || r->truncate_from == r->last_handed + 1);
    rid_assert(raft_log_last(&r->log).term <= r->hard_state.current_term);
    rid_assert(r->last_stored_batch <= r->last_batch);
}

static void check_log(const struct raft *r)
{
    raft_term term = 0;
    raft_index first = 0;

    for (size_t i = 0; i < r->log.n_terms; i++) {
        rid_assert(r->log.terms[i].term > term);
        rid_assert(r->log.terms[i].first > first);
        term = r->log.terms[i].term;
        first = r->log.terms[i].first;
    }
    rid_assert(first <= r->log.last_index);
    for (size_t i = 1; i < r->n_marks; i++) {
        const struct batch_mark *a = &r->marks[(r->marks_head + i - 1) & (r->marks_size - 1)];
        const struct batch_mark *b = &r->marks[(r->marks_head + i) & (r->marks_size - 1)];

        rid_assert(a->batch < b->batch);
        rid_assert(b->last_index <= r->last_handed);
    }
}

static void check_leader(const struct raft *r)
{
    rid_assert(r->leader_id == r->conf.id);
    rid_assert(r->noop_index >= 1);
    rid_assert(raft_log_term(&r->log, r->noop_index) == r->hard_state.current_term);
    rid_assert(r->self_vote || !r->is_voter);
    rid_assert(!r->self_vote_pending);
    for (unsigned i = 0; i < r->n_progress; i++) {
        const struct progress *p = &r->progress[i];
        size_t bytes = 0;

        rid_assert(p->match_index < p->next_index);
        rid_assert(p->next_index <= r->log.last_index + 1);
        rid_assert(p->acked_round < r->rounds.next);
        rid_assert(p->n_inflight <= RAFT_INFLIGHT_MSGS_MAX);
        for (unsigned j = 0; j < p->n_inflight; j++) {
            const struct inflight *f =
                &p->inflight[(p->inflight_head + j) % RAFT_INFLIGHT_MSGS_MAX];

            rid_assert(f->last < p->next_index);
            rid_assert(f->last > p->match_index);
            bytes += f->bytes;
        }
        rid_assert(bytes == p->inflight_bytes);
    }
}

static void check_reads(const struct raft *r)
{
    uint64_t round = 0;
    raft_index index = 0;

    rid_assert(r->reads.n_inflight <= r->reads.n);
    rid_assert(r->rounds.confirmed < r->rounds.next);
    rid_assert(raft_read_queue_n_waiting(&r->reads) <= RAFT_READS_PENDING_MAX);
    if (r->role != RAFT_LEADER) {
        rid_assert(r->reads.n == 0);
        rid_assert(r->reads.n_floors == 0);
        rid_assert(r->noop_index == 0);
        rid_assert(r->transfer_to == 0);
        return;
    }
    for (size_t i = 0; i < r->reads.n; i++) {
        const struct read *read = raft_read_queue_at(&r->reads, i);

        if (i >= r->reads.n_inflight) {
            rid_assert(read->round == 0);
            continue;
        }
        rid_assert(read->round > read->arrival_round);
        rid_assert(read->round > r->rounds.confirmed);
        rid_assert(read->round < r->rounds.next);
        rid_assert(read->round >= round);
        rid_assert(read->read_index >= index);
        rid_assert(read->read_index >= r->noop_index);
        round = read->round;
        index = read->read_index;
    }
    for (size_t i = 0; i < r->reads.n_floors; i++)
        rid_assert(r->reads.floors[i].min_index > r->commit_index);
}

void raft_check(struct raft *r)
{
    check_indexes(r);
    check_log(r);
    check_reads(r);
    if (r->role == RAFT_LEADER)
        check_leader(r);
    rid_assert(r->n_configs >= 1);
    rid_assert(r->configs[r->n_configs - 1].index <= r->log.last_index);

    /* Change since the last call. */
    rid_assert(r->hard_state.current_term >= r->check_term);
    rid_assert(r->commit_index >= r->check_commit);
    rid_assert(r->rounds.next >= r->check_round);
    if (r->hard_state.current_term == r->check_term) {
        rid_assert(r->check_vote == 0 || r->hard_state.voted_for == r->check_vote);
        rid_assert(r->check_leader == 0 || r->leader_id == 0 || r->leader_id == r->check_leader);
        if (r->leader_id != 0)
            r->check_leader = r->leader_id;
    } else {
        r->check_leader = r->leader_id;
    }
    r->check_term = r->hard_state.current_term;
    r->check_vote = r->hard_state.voted_for;
    r->check_commit = r->commit_index;
    r->check_round = r->rounds.next;
}
