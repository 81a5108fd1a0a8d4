/* What goes out, once per turn: what to store, what to send now, what to send when that is stored,
 * what to apply, which reads are confirmed and which have failed. Taking it moves the marks;
 * nothing is handed out twice. */
#include "raft/raft_int.h"

/* A batch has a number, and it is the number that the disk reports (COMMIT-9). */
static void fill_store(struct raft *r, struct raft_ready *ready)
{
    struct raft_entry *entries;
    size_t bytes = 0;

    if (!r->hard_state_dirty && r->truncate_from == 0 && r->last_handed == r->log.last_index)
        return;
    ready->batch = ++r->last_batch;
    if (r->reset.index != 0) {
        ready->reset = r->reset;
        ready->reset_config = raft_config_at(r, r->reset.index);
        r->reset = (struct raft_entry_id){0};
        r->reset_batch = ready->batch;
    }
    ready->hard_state_changed = r->hard_state_dirty;
    ready->truncate_from = r->truncate_from;
    ready->n_entries = (unsigned)(r->log.last_index - r->last_handed);
    entries = arena_alloc(&r->arena, ready->n_entries * sizeof(*entries) + 1);
    rid_assert(entries != NULL);
    for (unsigned i = 0; i < ready->n_entries; i++) {
        const struct raft_entry *e = raft_log_get(&r->log, r->last_handed + 1 + i);

        rid_assert(e != NULL); /* what is not stored is never dropped from memory */
        entries[i] = *e;
        bytes += raft_entry_bytes(e);
    }
    ready->entries = entries;
    raft_disk_issue(r, ready->batch, bytes);
    raft_promise_issue(r, ready->batch);
    if (r->self_vote_pending && r->self_vote_batch == 0)
        r->self_vote_batch = ready->batch;
    r->last_handed = r->log.last_index;
    r->truncate_from = 0;
    r->hard_state_dirty = false;
}

/* Each tells the commit index too, so that idle followers go on applying (READ-31). */
static void fill_heartbeats(struct raft *r)
{
    for (unsigned i = 0; i < r->n_progress; i++) {
        struct progress *p = &r->progress[i];
        struct raft_msg m = {
            .type = RAFT_MSG_HEARTBEAT,
            .to = p->id,
            .term = r->hard_state.current_term,
            /* Clamped to what it is known to hold (READ-30). */
            .leader_commit = r->commit_index < p->match_index ? r->commit_index : p->match_index,
            /* Always the highest open round: a lost one is repaired by the next (READ-12). */
            .round = raft_rounds_last(&r->rounds),
            .note = r->note,
            .beat = {.said = true}};

        if (!p->heartbeat_due)
            continue;
        p->heartbeat_due = false;
        m.beat.lease_us = raft_lease_of_round(r, m.round);
        raft_stamp_tell(r, p, &m.beat);
        if (p->told_commit < m.leader_commit)
            p->told_commit = m.leader_commit;
        if (p->rtt_round == 0 && m.round > p->acked_round) {
            p->rtt_round = m.round;
            p->rtt_sent_us = r->now_us;
        }
        raft_send(r, &r->msgs, &m);
    }
}

/* Committed and durable here, in order. */
static int fill_committed(struct raft *r, struct raft_ready *ready)
{
    raft_index to = r->commit_index < r->last_stored ? r->commit_index : r->last_stored;
    raft_index from = r->last_emitted + 1;
    struct raft_entry *list;
    unsigned n_max = RAFT_COMMITTED_ENTRIES_MAX;
    unsigned n = 0;

    if (to < from || r->apply_waits_for_log || r->held || r->installing.index != 0)
        return 0;
    if (to + 1 - from < n_max)
        n_max = (unsigned)(to + 1 - from);
    list = arena_alloc(&r->arena, n_max * sizeof(*list));
    rid_assert(list != NULL);
    if (from < r->log.first_cached) {
        raft_index last = to < r->log.first_cached ? to : r->log.first_cached - 1;
        int rc = r->conf.log_reader.read(r->conf.log_reader.ctx, from, last,
                                         RAFT_COMMITTED_BYTES_MAX, &r->arena, list, n_max, &n);

        /* The log behind what is applied is never compacted: nobody could apply it any more. */
        rid_assert(rc != RAFT_LOG_E_COMPACTED);
        /* Applied in order: what is at hand behind it waits as well (DISK-33). */
        if (rc == RAFT_LOG_E_LATER) {
            r->apply_waits_for_log = true;
            return 0;
        }
        if (rc != 0)
            return rc;
        rid_assert(n >= 1);
        rid_assert(n <= n_max);
    } else {
        size_t bytes = 0;

        while (n < n_max) {
            const struct raft_entry *e = raft_log_get(&r->log, from + n);

            if (n > 0 && bytes + e->len > RAFT_COMMITTED_BYTES_MAX)
                break;
            bytes += e->len;
            list[n++] = *e;
        }
    }
    rid_assert(list[0].id.index == from);
    /* No entry that was replaced since it was asked for. */
    rid_assert(list[0].id.term == raft_log_term(&r->log, from));
    ready->committed = list;
    ready->n_committed = n;
    r->last_emitted += n;
    rid_assert(r->last_emitted <= to);
    ready->more_committed = r->last_emitted < to;
    return 0;
}

static void fill_reads(struct raft *r, struct raft_ready *ready)
{
    struct read_queue *q = &r->reads;
    size_t n_done = read_done_ring_n(&q->done);
    size_t n_failed = read_failed_ring_n(&q->failed);
    struct raft_read_done *done;
    uint64_t *failed;

    rid_assert(r->loss == RAFT_LOSS_NONE || n_done == 0);
    if (n_done > 0) {
        done = arena_alloc(&r->arena, n_done * sizeof(*done));
        rid_assert(done != NULL);
        read_done_ring_copy(&q->done, 0, n_done, done);
        read_done_ring_truncate(&q->done, 0);
        ready->reads = done;
        ready->n_reads = (unsigned)n_done;
    }
    if (n_failed > 0) {
        failed = arena_alloc(&r->arena, n_failed * sizeof(*failed));
        rid_assert(failed != NULL);
        read_failed_ring_copy(&q->failed, 0, n_failed, failed);
        read_failed_ring_truncate(&q->failed, 0);
        ready->reads_failed = failed;
        ready->n_reads_failed = (unsigned)n_failed;
    }
}

static void hand_out(struct msg_queue *from, struct msg_queue *to)
{
    struct msg_queue empty = *to;

    rid_assert(from != to);
    empty.n = 0;
    *to = *from;
    *from = empty;
}

void raft_ready(struct raft *r, uint64_t now_us, struct raft_ready *ret_ready)
{
    struct raft_ready ready = {0};
    int rc = 0;

    raft_now(r, now_us);
    arena_reset(&r->arena);
    if (r->role == RAFT_LEADER) {
        raft_asks_by_lease(r);
        raft_maybe_open_round(r);
        fill_heartbeats(r);
        for (unsigned i = 0; rc == 0 && i < r->n_progress; i++)
            rc = raft_fill_appends(r, &r->progress[i]);
    }
    raft_fill_asks(r);
    fill_store(r, &ready);
    if (rc == 0)
        rc = fill_committed(r, &ready);
    fill_reads(r, &ready);
    ready.answered = r->asks.done;
    r->asks.done = (struct raft_answered){0};
    hand_out(&r->msgs, &r->out);
    hand_out(&r->msgs_after, &r->out_after);
    ready.group = r->conf.group;
    ready.hard_state = r->hard_state;
    ready.commit_index = r->commit_index;
    ready.msgs = r->out.list;
    ready.n_msgs = r->out.n;
    ready.msgs_after_store = r->out_after.list;
    ready.n_msgs_after_store = r->out_after.n;
    /* What a message claims is on the disk before it leaves (COMMIT-8). Even without a batch of its
     * own it may speak of what an earlier, outstanding one holds. */
    ready.after_batch = mark_ring_n(&r->marks) > 0 ? r->last_batch : ready.batch;
    ready.loss = r->loss;
    ready.loss_term = r->loss_term;
    ready.loss_commit_index = r->loss_commit_index;
    ready.transfer_over = r->transfer_over;
    ready.log_error = rc;
    r->loss = RAFT_LOSS_NONE;
    r->transfer_over = false;
    *ret_ready = ready;
    raft_check_rest(r);
}
