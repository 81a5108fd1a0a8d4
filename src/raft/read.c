/* Linearizable reads without log writes: numbered rounds of heartbeats.
 *
 *   raft_read()         the read joins `pending`; nothing is sent
 *   raft_ready()        a round opens: its number is new, its index is commit_index *now*, every
 *                       pending read joins it, and a heartbeat with (term, round) leaves for
 *                       every voter
 *   heartbeat_resp      acked_round of that voter grows; the quorum's order statistic is
 *                       confirmed_round
 *   round <= confirmed  the read is confirmed: a quorum was still in our term after it arrived
 *
 * A heartbeat that was in flight when a read arrived has a lower number and never counts
 * (READ-6). Acknowledgements are cumulative: a lost one is repaired by the next (READ-12). Any
 * loss of role or term fails all that is not handed out. */
#include "raft/raft_int.h"

int raft_read(struct raft *r, uint64_t ctx, raft_index min_index, uint64_t now_us)
{
    struct read read = {
        .ctx = ctx, .min_index = min_index, .arrival_round = raft_rounds_last(&r->rounds)};
    int rc;

    raft_now(r, now_us);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (raft_read_queue_n_waiting(&r->reads) >= RAFT_READS_PENDING_MAX)
        return RAFT_E_BUSY;
    rid_assert(min_index <= r->log.last_index);
    rc = raft_read_queue_add(&r->reads, &read);
    raft_check_reads(r);
    return rc;
}

/* Any loss of the role or change of the term ends here (READ-16). Everything not handed out yet,
 * confirmed or not: where loss and confirmation meet in one turn, loss wins (READ-17). Each leaves
 * once, and nothing of it is left behind (READ-56). */
void raft_reads_fail(struct raft *r)
{
    raft_read_queue_fail_all(&r->reads);
    raft_asks_lost(r);
    rid_assert(raft_read_queue_n_waiting(&r->reads) == 0);
    r->rounds.n_open = 0;
}

static void finish(struct raft *r, const struct read *read)
{
    struct raft_read_done done = {.ctx = read->ctx,
                                  .read_index = read->read_index,
                                  .round = read->round,
                                  .arrival_round = read->arrival_round,
                                  .term = r->hard_state.current_term};

    rid_assert(read->round <= r->rounds.confirmed);
    rid_assert(read->round > read->arrival_round); /* no round that was open already (READ-6) */
    rid_assert(read->read_index >= r->noop_index); /* sampled behind the gate (READ-14) */
    if (read->asker != 0) {
        raft_ask_confirmed(r, read);
        return;
    }
    if (done.read_index < read->min_index)
        done.read_index = read->min_index;
    rid_assert(done.read_index <= r->commit_index);
    raft_read_queue_add_done(&r->reads, &done);
}

/* The floor of a connection's own writes is reached when commit_index is there: while this node
 * leads, an entry of its own term at that index is the one that was proposed, and it is now
 * committed in that term (READ-58). */
void raft_floor_reads_release(struct raft *r)
{
    struct read_queue *q = &r->reads;
    size_t keep = 0;

    rid_assert(r->role == RAFT_LEADER);
    for (size_t i = 0; i < read_ring_n(&q->floors); i++) {
        const struct read *read = read_ring_at(&q->floors, i);

        if (read->min_index <= r->commit_index)
            finish(r, read);
        else
            *read_ring_at(&q->floors, keep++) = *read;
    }
    read_ring_truncate(&q->floors, keep);
}

/* raft_quorum_get: the highest round that server acknowledged in this term. This node acknowledges
 * every round it opens (READ-11). */
static uint64_t acked_round(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    return p != NULL ? p->acked_round : raft_rounds_last(&r->rounds);
}

/* The reads of the rounds up to confirmed leave the list; those of one round stand beside each
 * other. */
static void release(struct raft *r)
{
    struct read_queue *q = &r->reads;
    uint64_t round = 0;

    while (q->n_inflight > 0 && raft_read_queue_at(q, 0)->round <= r->rounds.confirmed) {
        struct read read = raft_read_queue_pop(q);

        if (read.round != round) {
            rid_assert(r->rounds.n_open > 0);
            r->rounds.n_open--;
            r->rounds.n_confirmed++;
            round = read.round;
        }
        if (read.min_index <= r->commit_index)
            finish(r, &read);
        else
            raft_read_queue_add_floor(q, &read);
    }
}

void raft_maybe_confirm(struct raft *r)
{
    uint64_t confirmed = raft_quorum_value(raft_get_configuration(r), acked_round, r);

    rid_assert(r->role == RAFT_LEADER);
    if (confirmed <= r->rounds.confirmed)
        return;
    raft_rounds_confirm(&r->rounds, confirmed, r->now_us);
    raft_stamps_confirmed(r);
    release(r);
}

uint64_t raft_round_due_us(const struct raft *r)
{
    const struct rounds *s = &r->rounds;
    uint64_t patience =
        2 * s->srtt_us > RAFT_ROUND_PATIENCE_US ? 2 * s->srtt_us : RAFT_ROUND_PATIENCE_US;

    /* The no-op gate (READ-14): before an entry of this term is committed, commit_index may be
     * older than what an earlier leader acknowledged. Reads stay parked; they get their index
     * and their round when the gate is open (READ-15). */
    if (!raft_can_serve(r) || s->n_open >= ROUND_TIMES ||
        (read_ring_n(&r->reads.list) == r->reads.n_inflight && !raft_own_ask_waits(r)))
        return UINT64_MAX;
    if (s->n_open == 0)
        return 0;
    /* Spaced, or both would be answered together and the second be wasted. */
    if (s->n_open < s->max)
        return s->last_us + s->srtt_us / s->max;
    /* One more when even the newest has waited for long, and so all that are out: their answers
     * were lost, or come later than they used to (READ-65). */
    return s->last_us + patience;
}

/* Every pending read joins the round that is being opened: nothing of it has left yet (READ-7),
 * and its index is commit_index now (READ-2). */
static void join(struct raft *r, uint64_t round)
{
    rid_assert(raft_can_serve(r)); /* the gate (READ-14) */
    raft_asks_join(r, round);
    raft_read_queue_join(&r->reads, round, r->commit_index);
    r->rounds.n_open++;
    r->rounds.n_opened++;
    r->rounds.last_us = r->now_us;
    raft_trace(r, RAFT_TRACE_ROUND, 0, r->commit_index, NULL);
}

/* The one place where a round opens: no byte of it has left, so all that wait join it (READ-7),
 * with the commit index of this moment (READ-2). */
void raft_maybe_open_round(struct raft *r)
{
    bool reads = raft_round_due_us(r) <= r->now_us;
    bool all = true; /* that follow are told */
    uint64_t lease_us;
    uint64_t round;

    rid_assert(r->role == RAFT_LEADER);
    if (!reads && !r->rounds.due)
        return;
    lease_us = raft_lease_open(r);
    round = raft_rounds_open(&r->rounds, r->now_us, r->hold_us, lease_us);
    if (reads)
        join(r, round);
    for (unsigned i = 0; i < r->n_progress; i++) {
        if (r->progress[i].role == RAFT_VOTER)
            r->progress[i].heartbeat_due = r->progress[i].link_up; /* else when it comes up */
        else
            all = false;
    }
    /* It says all that a periodic heartbeat would, and is answered as fast (READ-68). */
    if (all)
        r->heartbeat_due_us = r->now_us + r->conf.heartbeat_us;
    raft_maybe_confirm(r); /* a group of one is its own quorum (READ-20) */
}
