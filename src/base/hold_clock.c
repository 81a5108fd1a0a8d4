/* The difference of two clocks that run alike, but for suspended time.
 *
 * They cannot be read at once. BOOTTIME is read between two readings of MONOTONIC: the later of
 * these is at or behind it, so that the difference to it is never too large, however long this
 * process was held up between them, and too small by no more than what is between the two. A
 * difference that is too large would date what leaves now into the future (LEASE-0). */
#include "base/hold_clock.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

#include "base/banned.h"

static uint64_t kernel_us(void *ctx, clockid_t clock)
{
    struct timespec ts;

    (void)ctx;
    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* False: so much was between the readings that it is worth to look once more. */
static bool look(const struct hold_clock *c, int64_t *ret_ahead_us)
{
    const uint64_t before = c->source.read_us(c->source.ctx, CLOCK_MONOTONIC);
    const uint64_t boot = c->source.read_us(c->source.ctx, CLOCK_BOOTTIME);
    const uint64_t after = c->source.read_us(c->source.ctx, CLOCK_MONOTONIC);

    *ret_ahead_us = (int64_t)boot - (int64_t)after;
    return after - before <= HOLD_CLOCK_BRACKET_US;
}

/* The largest of the looks: none is too large. */
static int64_t ahead_us(const struct hold_clock *c)
{
    int64_t most = INT64_MIN;
    bool done = false;

    for (unsigned i = 0; i < HOLD_CLOCK_LOOKS && !done; i++) {
        int64_t ahead;

        done = look(c, &ahead);
        most = ahead > most ? ahead : most;
    }
    return most;
}

void hold_clock_init(struct hold_clock *c, const struct hold_clock_source *source)
{
    *c = (struct hold_clock){.source = {.read_us = kernel_us}};
    if (source != NULL)
        c->source = *source;
    c->first_us = ahead_us(c);
}

uint64_t hold_clock_suspended_us(struct hold_clock *c)
{
    const int64_t grown_us = ahead_us(c) - c->first_us;

    if (grown_us > 0 && (uint64_t)grown_us > c->suspended_us)
        c->suspended_us = (uint64_t)grown_us;
    return c->suspended_us;
}
