/* Clocks. The core never calls these: time is its argument. Any thread. */
#ifndef RIDD_BASE_CLOCK_H
#define RIDD_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds; read from the kernel at each call, never a cached loop time
 * (READ-44). */
uint64_t clock_mono_us(void);
/* CLOCK_REALTIME in microseconds since 1970, for log lines and nothing else. */
uint64_t clock_wall_us(void);

#endif
