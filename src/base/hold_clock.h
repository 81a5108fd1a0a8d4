/* For how long the machine was suspended: what a clock that stands still meanwhile lacks.
 *
 * For: whoever holds something for a time that others measure, too, such as the leader its lease.
 * It must not hold it longer because its machine slept: hold = clock_mono_us() + what this says
 * (LEASE-0).
 * Not for: waiting; and never the clock of the kernel that counts suspended time by itself,
 * CLOCK_BOOTTIME: it is slewed, by up to a tenth.
 * Units: microseconds since hold_clock_init(); it never falls.
 * Ownership: embedded by the caller; the source is copied, its ctx borrowed.
 * Errors: none: both clocks exist on every kernel that runs us.
 * Thread: one at a time.
 * Source: clock_gettime(2); LEASE-0. */
#ifndef RIDD_BASE_HOLD_CLOCK_H
#define RIDD_BASE_HOLD_CLOCK_H

#include <stdint.h>
#include <time.h>

/* What reads a clock of the kernel; tests bring their own. */
struct hold_clock_source {
    void *ctx;
    uint64_t (*read_us)(void *ctx, clockid_t clock);
};

struct hold_clock {
    struct hold_clock_source source;
    int64_t first_us;      /* by how much BOOTTIME was ahead of MONOTONIC */
    uint64_t suspended_us; /* by how much it is more ahead now, as far as that is certain */
};

/* source NULL: the kernel. */
void hold_clock_init(struct hold_clock *c, const struct hold_clock_source *source);
uint64_t hold_clock_suspended_us(struct hold_clock *c);

#endif
