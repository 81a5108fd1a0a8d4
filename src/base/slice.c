/* How often the clock is looked at, and what is remembered of it. */
#include "base/slice.h"

#include "base/limits.h"

#include "base/banned.h"

void slice_begin(struct slice *s, uint64_t (*now_us)(void *ctx), void *ctx, uint64_t end_us)
{
    *s = (struct slice){.now_us = now_us,
                        .ctx = ctx,
                        .end_us = end_us,
                        .steps_left = SLICE_STEPS,
                        .bytes_left = SLICE_BYTES};
}

void slice_charge(struct slice *s, size_t bytes)
{
    s->bytes_left = bytes < s->bytes_left ? s->bytes_left - bytes : 0;
}

bool slice_look(struct slice *s)
{
    s->steps_left = SLICE_STEPS;
    s->bytes_left = SLICE_BYTES;
    /* Once spent it stays so: what begins with the answer must not go on because of a clock that
     * fell. */
    s->spent = s->spent || s->now_us(s->ctx) >= s->end_us;
    return s->spent;
}
