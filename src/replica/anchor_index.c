/* ReadIndex: the core confirms, by a round of heartbeats that began after the read arrived, that it
 * still led, and says at which commit index (dissertation 6.4; READ-1, READ-6).
 *
 * The core knows a read by a number only. That number is a slot and its generation: a read that
 * timed out gives its slot back at once, and an answer that comes for it later does not reach the
 * next tenant (READ-32). */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* 0 or -ENOMEM. */
static int slot_take(struct replica *r, struct replica_request *q)
{
    uint32_t i = r->first_free;

    if (i == SLOT_NONE) {
        int rc = slot_ring_push(&r->slots, (struct read_slot){.next_free = SLOT_NONE});

        if (rc != 0)
            return rc;
        rid_assert(r->n_slots_used == slot_ring_n(&r->slots) - 1); /* it grows only when full */
        i = (uint32_t)slot_ring_n(&r->slots) - 1;
    } else {
        r->first_free = slot_ring_at(&r->slots, i)->next_free;
    }
    rid_assert(slot_ring_at(&r->slots, i)->request == NULL);
    slot_ring_at(&r->slots, i)->request = q;
    q->slot = i;
    r->n_slots_used++;
    return 0;
}

static void slot_free(struct replica *r, uint32_t i)
{
    struct read_slot *slot = slot_ring_at(&r->slots, i);

    rid_assert(slot->request != NULL);
    rid_assert(r->n_slots_used > 0);
    slot->request = NULL;
    slot->generation++; /* a late answer will not fit */
    slot->next_free = r->first_free;
    r->first_free = i;
    r->n_slots_used--;
}

/* The generation keeps a late answer from the next tenant of the slot (READ-32). */
static uint64_t slot_ctx(const struct replica *r, uint32_t i)
{
    return (uint64_t)slot_ring_at(&r->slots, i)->generation << 32 | i;
}

/* The read that ctx names; NULL when it timed out or was cancelled since. */
static struct replica_request *slot_find(const struct replica *r, uint64_t ctx)
{
    uint32_t i = (uint32_t)ctx;
    const struct read_slot *slot;

    if (i >= slot_ring_n(&r->slots))
        return NULL;
    slot = slot_ring_at(&r->slots, i);
    return slot->generation == (uint32_t)(ctx >> 32) ? slot->request : NULL;
}

/* What the connection's own earlier writes put under its reads: a write of this term can still be
 * on its way; what an earlier term left is below the no-op, or gone (READ-58). */
raft_index anchor_floor(const struct replica *r, const struct replica_request *q)
{
    if (q->session != NULL && q->session->last_write.term == raft_get_term(r->raft))
        return q->session->last_write.index;
    return 0;
}

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    rid_assert(q->stage == REPLICA_IDLE || q->stage == REPLICA_WAITING || q->stage == REPLICA_LOOK);
    if (slot_take(r, q) != 0)
        return WIRE_ERROR_BUSY;
    if (raft_read(r->raft, slot_ctx(r, q->slot), anchor_floor(r, q), r->now_us) != 0) {
        slot_free(r, q->slot);
        return WIRE_ERROR_BUSY;
    }
    r->dirty = true;
    replica_move(r, q, REPLICA_ASKED);
    return WIRE_ERROR_NONE;
}

static void forget(struct replica *r, struct replica_request *q)
{
    rid_assert(slot_ring_at(&r->slots, q->slot)->request == q);
    slot_free(r, q->slot);
}

static void lose(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < ready->n_reads_failed; i++) {
        struct replica_request *q = slot_find(r, ready->reads_failed[i]);

        if (q == NULL)
            continue;
        slot_free(r, q->slot);
        replica_move(r, q, REPLICA_LOST);
    }
}

/* Hundreds of reads that are confirmed together are more than a near cache holds: their memory is
 * asked for a few reads before it is needed. */
#define AHEAD 3u

static void look_ahead(const struct replica_request *q)
{
    if (q == NULL)
        return;
    __builtin_prefetch(&q->stage, 1);
    __builtin_prefetch(&q->times, 1);
    __builtin_prefetch(&q->anchor, 1);
    __builtin_prefetch(&q->anchor.entry, 1);
}

/* So many reads of it were confirmed. Those that a write of their own connection kept back come
 * later than the others, and are not counted. */
static void count_round(struct replica *r, uint64_t round, uint64_t n)
{
    if (round <= r->counted_round)
        return;
    r->counted_round = round;
    histogram_add(&r->round_reads, n, 1);
}

static void confirm(struct replica *r, const struct raft_ready *ready)
{
    uint64_t round = 0;
    uint64_t round_us = 0;
    uint64_t n = 0;

    for (unsigned i = 0; i < ready->n_reads; i++) {
        const struct raft_read_done *done = &ready->reads[i];
        struct replica_request *q = slot_find(r, done->ctx);

        if (i + AHEAD < ready->n_reads)
            look_ahead(slot_find(r, ready->reads[i + AHEAD].ctx));
        if (done->round != round) {
            count_round(r, round, n);
            round = done->round;
            round_us = trail_round_us(&r->trail, round);
            n = 0;
        }
        n++;
        if (q == NULL)
            continue;
        rid_assert(q->stage == REPLICA_ASKED);
        /* Loss came first: what is confirmed now is so in the term of this node (READ-9). */
        rid_assert(done->term == raft_get_term(r->raft));
        /* The round was opened after the read arrived (READ-6). */
        rid_assert(done->round > done->arrival_round);
        slot_free(r, q->slot);
        q->times.begun_us = round_us > q->times.submitted_us ? round_us : q->times.submitted_us;
        q->anchor = (struct replica_anchor){.index = done->read_index,
                                            .proof = REPLICA_PROOF_ROUND,
                                            .by = r->id,
                                            .term = done->term,
                                            .round = done->round,
                                            .arrival_round = done->arrival_round};
        anchor_confirmed(r, q);
    }
    count_round(r, round, n);
}

const struct anchor_provider anchor_index = {.use = ANCHOR_REACHED,
                                             .by_leader = true,
                                             .ask = ask,
                                             .forget = forget,
                                             .lose = lose,
                                             .confirm = confirm};
