/* The sum of hashes of kv.h's struct kv_digest, one record at a time. Pure, any thread. */
#ifndef RIDD_KV_DIGEST_INT_H
#define RIDD_KV_DIGEST_INT_H

#include "base/limits.h"
#include "kv/kv.h"

/* MurmurHash3 (x64, 128 bits) of the key, carried on over the value: which bytes belong to which is
 * part of it, because each part ends with its length. */
struct kv_digest digest_record(const void *key, size_t key_len, const void *value,
                               size_t value_len);

static inline void digest_add(struct kv_digest *sum, struct kv_digest d)
{
    sum->low += d.low;
    sum->high += d.high + (sum->low < d.low ? 1 : 0);
}

static inline void digest_sub(struct kv_digest *sum, struct kv_digest d)
{
    const uint64_t borrow = sum->low < d.low ? 1 : 0;

    sum->low -= d.low;
    sum->high -= d.high + borrow;
}

static inline bool digest_equal(struct kv_digest a, struct kv_digest b)
{
    return a.low == b.low && a.high == b.high;
}

/* Digests at round indexes, the newest of each place. Index 0: none. */
struct digest_ring {
    struct {
        raft_index index;
        struct kv_digest digest;
    } at[KV_DIGESTS_KEPT];
};

/* The state right after this entry has that digest; kept when the index is a round one
 * (STATE-11). */
static inline void digest_note(struct digest_ring *ring, raft_index index, struct kv_digest d)
{
    const size_t place = index / KV_DIGEST_EVERY % KV_DIGESTS_KEPT;

    if (index % KV_DIGEST_EVERY != 0)
        return;
    ring->at[place].index = index;
    ring->at[place].digest = d;
}

#endif
