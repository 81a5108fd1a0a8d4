/* Reads of a bounded age, on any node, without clocks that agree: this node's own hold clock is the
 * only one that is read (BOUND-1 to BOUND-7).
 *
 * The core keeps pairs: all that anybody had committed when the clock here showed hold_us is at or
 * below index. Once index is applied, the state is no older than what has passed since, by a look
 * at the clock that comes after the state was read.
 *
 * The reads wait in a heap, by how young they want it: what is too old for the first is too old for
 * all. Where there is no pair that may do, applied or on its way, the leader is asked as for a
 * follower read (BOUND-6), one question at a time however many wait. A node that is cut off gets no
 * pair, and answers nothing before their deadlines. */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* *ret_pair: the best one for it, at hold_us. */
static bool find_pair(struct replica *r, const struct replica_request *q, uint64_t hold_us,
                      struct raft_pair *ret_pair)
{
    const uint64_t since_us = hold_us > q->max_stale_us ? hold_us - q->max_stale_us : 0;

    if (!raft_get_pair(r->raft, since_us, r->now_us, ret_pair))
        return false;
    rid_assert(ret_pair->hold_us >= since_us);
    rid_assert(ret_pair->hold_us <= hold_us);
    return true;
}

static void want_pair(struct replica *r)
{
    r->wants_pair = true;
    if (r->pair_ticket <= r->answered)
        r->dirty = true;
}

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    struct raft_pair pair;

    if (q->min_index > r->last_applied)
        return awaited_add(r, q); /* and then it is asked again: TOKEN-1 */
    if (!find_pair(r, q, replica_look(r), &pair))
        want_pair(r);
    q->times.begun_us = r->now_us;
    heap_add(&r->ages, &q->age, UINT64_MAX - q->max_stale_us);
    r->dirty = true;
    replica_move(r, q, REPLICA_AGE);
    return WIRE_ERROR_NONE;
}

static void forget(struct replica *r, struct replica_request *q)
{
    heap_remove(&r->ages, &q->age);
}

static void prepare(struct replica *r)
{
    if (!r->wants_pair || r->pair_ticket > r->answered)
        return;
    r->wants_pair = false;
    if (r->ages.first != NULL)
        r->pair_ticket = raft_ask(r->raft, r->now_us);
}

struct replica_request *anchor_bounded_first(struct replica *r, raft_index last_applied,
                                             uint64_t *ret_staleness_us)
{
    struct replica_request *q;
    struct raft_pair pair;
    uint64_t hold_us;

    if (r->ages.first == NULL)
        return NULL;
    q = list_entry(r->ages.first, struct replica_request, age);
    hold_us = replica_look(r);
    if (!find_pair(r, q, hold_us, &pair)) {
        want_pair(r);
        return NULL;
    }
    if (pair.index > last_applied || q->min_index > last_applied)
        return NULL;
    q->anchor =
        (struct replica_anchor){.index = pair.index, .proof = REPLICA_PROOF_STAMP, .by = r->id};
    *ret_staleness_us = hold_us - pair.hold_us;
    return q;
}

const struct anchor_provider anchor_bounded = {
    .use = ANCHOR_YOUNG, .by_leader = false, .ask = ask, .forget = forget, .prepare = prepare};
