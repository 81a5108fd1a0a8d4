/* How often the clock is looked at, and what is remembered of it. */
#include "base/slice.h"

#include "base/limits.h"

#include "base/banned.h"

uint64_t slice_share_us(uint64_t heartbeat_us)
{
    const uint64_t share_us = heartbeat_us / 2 / TURN_SHARES;

    return share_us < TURN_SHARE_US_MAX ? share_us : TURN_SHARE_US_MAX;
}

void slice_begin(struct slice *s, uint64_t (*now_us)(void *ctx), void *ctx, uint64_t end_us)
{
    *s = (struct slice){.now_us = now_us,
                        .ctx = ctx,
                        .end_us = end_us,
                        .steps = 1,
                        .steps_left = 1,
                        .bytes_left = SLICE_BYTES};
}

void slice_charge(struct slice *s, size_t bytes)
{
    s->bytes_left = bytes < s->bytes_left ? s->bytes_left - bytes : 0;
}

bool slice_look(struct slice *s)
{
    uint64_t now_us;

    /* Once spent it stays so, also when its clock falls: others have counted on the rest. */
    if (s->spent || s->now_us == NULL)
        return s->spent;
    now_us = s->now_us(s->ctx);
    if (now_us - s->looked_us >= SLICE_QUICK_US)
        s->steps = 1;
    else if (s->steps < SLICE_STEPS)
        s->steps *= 2;
    s->looked_us = now_us;
    s->steps_left = s->steps;
    s->bytes_left = SLICE_BYTES;
    s->spent = now_us >= s->end_us;
    return s->spent;
}
