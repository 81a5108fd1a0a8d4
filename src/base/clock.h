/* The clocks of the kernel.
 *
 * For: hosts, which hand the time on as an argument.
 * Not for: the core, which is told the time, and never for a cached time of a loop: a lease and a
 * read round need the time of now (READ-44).
 * Units: microseconds.
 * Errors: none: the two clocks exist on every kernel that runs us.
 * Thread: any.
 * Obvious: ownership, source. */
#ifndef RIDD_BASE_CLOCK_H
#define RIDD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC_RAW in microseconds: it never steps, is not slewed, and stands still while the
 * machine is suspended (hold_clock.h: for how long). Read from the kernel at each call, never a
 * cached loop time (READ-44). */
uint64_t clock_mono_us(void);
/* When that clock will show due_us, on the one by which the kernel lets threads and timers wait,
 * CLOCK_MONOTONIC. That one is slewed, so that what waits so wakes a little early or late: it looks
 * at the time again. */
struct timespec clock_timer_at(uint64_t due_us);
/* Processor time of the calling thread in microseconds. */
uint64_t clock_thread_us(void);
/* CLOCK_REALTIME in microseconds since 1970, for what people read; nothing may count on its being
 * right. */
uint64_t clock_wall_us(void);

#endif
