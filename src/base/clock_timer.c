/* From our clock to the one by which the kernel waits. */
#include "base/clock.h"
#include "base/limits.h"

#include "base/banned.h"

struct timespec clock_timer_at(uint64_t due_us)
{
    const uint64_t now_us = clock_mono_us();
    uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;
    struct timespec ts;
    uint64_t at_us;

    if (wait_us > CLOCK_TIMER_US_MAX)
        wait_us = CLOCK_TIMER_US_MAX;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    at_us = (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u + wait_us;
    return (struct timespec){.tv_sec = (time_t)(at_us / 1000000u),
                             .tv_nsec = (long)(at_us % 1000000u) * 1000};
}
