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

/* CLOCK_MONOTONIC in microseconds; read from the kernel at each call, never a cached loop time
 * (READ-44). */
uint64_t clock_mono_us(void);
/* Processor time of the calling thread in microseconds. */
uint64_t clock_thread_us(void);
/* CLOCK_REALTIME in microseconds since 1970, for log lines and nothing else. */
uint64_t clock_wall_us(void);

#endif
