/* Thin and honest: one system call each, nothing cached. */
#include "base/clock.h"

#include <time.h>

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* Asked of the kernel each time: after a pause a time that was kept is as old as the pause
 * (READ-44). The clock that nobody slews: who corrects the wall clock by a tenth may not make a
 * lease longer by a tenth (LEASE-0). */
uint64_t clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC_RAW);
}

uint64_t clock_thread_us(void)
{
    return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}
