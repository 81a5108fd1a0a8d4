/* Linearizable reads without log writes: numbered rounds of heartbeats (READS R1, R5-R16,
 * DESIGN.md 4).
 *
 *   raft_read()         the read joins `pending`; nothing is sent
 *   raft_ready()        a round opens: its number is new, its index is commit_index *now*, every
 *                       pending read joins it, and a heartbeat with (term, round) leaves for every
 *                       voter
 *   heartbeat_resp      acked_round of that voter grows; the quorum's order statistic is
 *                       confirmed_round
 *   round <= confirmed  the read is confirmed: a quorum was still in our term after it arrived
 *
 * A heartbeat that was in flight when a read arrived has a lower number and never counts (R6).
 * Acknowledgements are cumulative: a lost one is repaired by the next (R12). Any loss of role or
 * term fails all that is not handed out. */
#include "raft/raft_int.h"

/* Unless srtt says more: how old a round must be before another is opened beyond the window
 * (DESIGN.md 4). */
#define ROUND_PATIENCE_US 1000u

static struct read *read_at(const struct raft *r, size_t i)
{
    return &r->reads[(r->reads_head + i) & (r->reads_size - 1)];
}

static int reads_reserve(struct raft *r)
{
    size_t size = r->reads_size > 0 ? r->reads_size * 2 : 256;
    struct read *reads;

    if (r->n_reads < r->reads_size)
        return 0;
    reads = r->conf.mem.resize(r->conf.mem.ctx, NULL, size * sizeof(*reads));
    if (reads == NULL)
        return -12; /* ENOMEM, without errno.h in a pure core */
    for (size_t i = 0; i < r->n_reads; i++)
        reads[i] = *read_at(r, i);
    if (r->reads != NULL)
        r->conf.mem.resize(r->conf.mem.ctx, r->reads, 0);
    r->reads = reads;
    r->reads_size = size;
    r->reads_head = 0;
    return 0;
}

int raft_read(struct raft *r, uint64_t ctx, raft_index min_index, uint64_t now_us)
{
    int e;

    raft_now(r, now_us);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (r->n_reads + r->n_floor_reads >= RAFT_READS_PENDING_MAX)
        return RAFT_E_BUSY;
    rid_assert(min_index <= r->log.last_index);
    e = reads_reserve(r);
    if (e != 0)
        return e;
    *read_at(r, r->n_reads) =
        (struct read){.ctx = ctx, .min_index = min_index, .arrival_round = r->next_round - 1};
    r->n_reads++;
    return 0;
}

static void fail_one(struct raft *r, uint64_t ctx)
{
    r->failed = raft_grow(r, r->failed, &r->failed_size, r->n_failed, sizeof(*r->failed));
    r->failed[r->n_failed++] = ctx;
}

/* Everything not handed out yet, confirmed or not: where loss and confirmation meet in one turn,
 * loss wins (R17). */
void raft_reads_fail(struct raft *r)
{
    for (size_t i = 0; i < r->n_done; i++)
        fail_one(r, r->done[i].ctx);
    for (size_t i = 0; i < r->n_floor_reads; i++)
        fail_one(r, r->floor_reads[i].ctx);
    for (size_t i = 0; i < r->n_reads; i++)
        fail_one(r, read_at(r, i)->ctx);
    r->n_done = 0;
    r->n_floor_reads = 0;
    r->n_reads = 0;
    r->n_inflight = 0;
    r->reads_head = 0;
}

static void finish(struct raft *r, const struct read *read)
{
    rid_assert(read->round > read->arrival_round);
    rid_assert(read->round <= r->confirmed_round);
    rid_assert(read->read_index <= r->commit_index);
    r->done = raft_grow(r, r->done, &r->done_size, r->n_done, sizeof(*r->done));
    r->done[r->n_done++] = (struct raft_read_done){
        .ctx = read->ctx,
        .read_index = read->read_index > read->min_index ? read->read_index : read->min_index,
        .round = read->round,
        .arrival_round = read->arrival_round,
        .term = r->hard_state.current_term};
}

/* The floor of a connection's own writes is reached when commit_index is there: while this node
 * leads, an entry of its own term at that index is the one that was proposed, and it is now
 * committed in that term (R58). */
void raft_floor_reads_release(struct raft *r)
{
    size_t keep = 0;

    for (size_t i = 0; i < r->n_floor_reads; i++) {
        if (r->floor_reads[i].min_index <= r->commit_index)
            finish(r, &r->floor_reads[i]);
        else
            r->floor_reads[keep++] = r->floor_reads[i];
    }
    r->n_floor_reads = keep;
}

/* raft_quorum_get: the highest round that server acknowledged in this term. This node acknowledges
 * every round it opens (READ-11). */
static uint64_t acked_round(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    return p != NULL ? p->acked_round : r->next_round - 1;
}

void raft_maybe_confirm(struct raft *r)
{
    uint64_t confirmed = raft_quorum_value(raft_get_configuration(r), acked_round, r);
    uint64_t rtt;

    rid_assert(r->role == RAFT_LEADER);
    if (confirmed <= r->confirmed_round)
        return;
    rid_assert(confirmed < r->next_round);
    rtt = r->now_us - r->round_opened_us[confirmed % ROUND_TIMES];
    r->round_srtt_us = r->round_srtt_us == 0 ? rtt : (r->round_srtt_us * 7 + rtt) / 8;
    r->n_rounds_confirmed += confirmed - r->confirmed_round;
    r->confirmed_round = confirmed;
    while (r->n_inflight > 0 && read_at(r, 0)->round <= confirmed) {
        const struct read *read = read_at(r, 0);

        if (read->min_index <= r->commit_index) {
            finish(r, read);
        } else {
            r->floor_reads = raft_grow(r, r->floor_reads, &r->floor_reads_size, r->n_floor_reads,
                                       sizeof(*r->floor_reads));
            r->floor_reads[r->n_floor_reads++] = *read;
        }
        r->reads_head = (r->reads_head + 1) & (r->reads_size - 1);
        r->n_reads--;
        r->n_inflight--;
    }
}

uint64_t raft_round_due_us(const struct raft *r)
{
    uint64_t n_open = r->next_round - 1 - r->confirmed_round;
    uint64_t patience =
        2 * r->round_srtt_us > ROUND_PATIENCE_US ? 2 * r->round_srtt_us : ROUND_PATIENCE_US;

    /* The no-op gate (R14): before an entry of this term is committed, commit_index may be older
     * than what an earlier leader acknowledged. Reads stay parked; they get their index and their
     * round when the gate is open (R15). */
    if (!raft_can_serve(r) || r->n_reads == r->n_inflight || n_open >= ROUND_TIMES)
        return UINT64_MAX;
    if (n_open == 0)
        return 0;
    /* Spaced, or both would be answered together and the second be wasted (READS 4.2). */
    if (n_open < r->rounds_max)
        return r->last_round_us + r->round_srtt_us / r->rounds_max;
    /* One more when even the oldest has waited for long; last_round_us is not before it. */
    return r->last_round_us + patience;
}

void raft_maybe_open_round(struct raft *r)
{
    uint64_t round;

    if (raft_round_due_us(r) > r->now_us)
        return;
    round = r->next_round++;
    r->round_opened_us[round % ROUND_TIMES] = r->now_us;
    r->last_round_us = r->now_us;
    r->n_rounds_opened++;
    for (size_t i = r->n_inflight; i < r->n_reads; i++) {
        struct read *read = read_at(r, i);

        read->round = round;
        read->read_index = r->commit_index;
    }
    r->n_inflight = r->n_reads;
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].role == RAFT_VOTER)
            r->progress[i].heartbeat_due = r->progress[i].link_up; /* else when it comes up */
    raft_trace(r, RAFT_TRACE_ROUND, 0, r->commit_index, NULL);
    raft_maybe_confirm(r); /* a group of one is its own quorum (R20) */
}
