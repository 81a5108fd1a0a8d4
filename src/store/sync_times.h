/* How long the syncs of a disk took, lately: median, 99th percentile, longest. Turns of a loop,
 * too.
 *
 * For: status, and the word "slow" in a log line.
 * Not for: decisions of the core, which measures for itself; sums over the life of a process.
 * Units: microseconds. What is answered is at most an eighth above what was measured.
 * Ownership: a value of fixed size; all zeros is an empty one.
 * Errors: none.
 * Thread: the caller's lock.
 * Source: half a minute to a minute is looked back: two windows, of which the older one is thrown
 * away whole. */
#ifndef RIDD_STORE_SYNC_TIMES_H
#define RIDD_STORE_SYNC_TIMES_H

#include <stdint.h>

#include "base/histogram.h"

/* Those of base/histogram.h: up to 2^36 us, nineteen hours. */
#define SYNC_TIMES_BUCKETS HISTOGRAM_BUCKETS

struct sync_times {
    uint64_t begun_us; /* of the newer window; 0: nothing was added yet */
    unsigned newer;
    uint32_t counts[2][SYNC_TIMES_BUCKETS];
    uint64_t longest_us[2];
};

void sync_times_add(struct sync_times *t, uint64_t now_us, uint64_t took_us);
/* 0, 0, 0 when there was none. One in a hundred is left out of *ret_p99_us, and one at least when
 * there are two: a single hiccup is no slow disk. */
void sync_times_get(const struct sync_times *t, uint64_t now_us, uint64_t *ret_p50_us,
                    uint64_t *ret_p99_us, uint64_t *ret_max_us);
/* Of a thousand so many took this long at most; 0 when there was none. */
uint64_t sync_times_at(const struct sync_times *t, uint64_t now_us, unsigned permille);

#endif
