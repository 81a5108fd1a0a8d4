/* How fast the state of a running node is read through (STATE-13).
 *
 * A slice is a fraction of a millisecond, and so many of them follow one another that the rate of
 * the configuration is kept. Between two passes there is a pause: a small state would be read
 * without end. A pass that somebody asked for, because digests differ, begins at once and waits for
 * nothing but the other work of a turn. */
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

void engine_scrub_begin(struct engine *e, unsigned mib_per_s, uint64_t now_us)
{
    e->scrub = (struct scrubbing){
        .bytes_per_s = (uint64_t)mib_per_s << 20,
        .due_us = mib_per_s != 0 && e->state.scrub != NULL ? now_us + SCRUB_PAUSE_US : UINT64_MAX,
        .good_us = now_us, /* the open has read all of it */
    };
}

/* What was read through is gone, and what is there was written by this process. */
void engine_scrub_again(struct engine *e, uint64_t now_us)
{
    struct scrubbing *s = &e->scrub;

    s->due_us =
        s->bytes_per_s != 0 && e->state.scrub != NULL ? now_us + SCRUB_PAUSE_US : UINT64_MAX;
    s->good_us = now_us;
    s->percent = 0;
    s->hurries = false;
}

void engine_scrub_now(struct engine *e)
{
    struct scrubbing *s = &e->scrub;

    if (e->state.scrub == NULL)
        return;
    e->state.scrub_restart(e->state.ctx);
    s->hurries = true;
    s->due_us = 0;
}

uint64_t engine_scrub_passes(const struct engine *e)
{
    return e->scrub.passes;
}

static void end_pass(struct scrubbing *s, const struct kv_scrub_progress *p, uint64_t now_us)
{
    s->passes = p->passes;
    s->good_us = now_us;
    s->hurries = false;
    s->due_us = s->bytes_per_s != 0 ? now_us + SCRUB_PAUSE_US : UINT64_MAX;
}

void engine_scrub_turn(struct engine *e, uint64_t now_us)
{
    struct kv_scrub_progress p = {0};
    struct scrubbing *s = &e->scrub;
    int rc;

    if (now_us < s->due_us)
        return;
    err_reset();
    rc = e->state.scrub(e->state.ctx, SCRUB_SLICE_BYTES, &p);
    if (rc == KV_E_DAMAGED) {
        s->due_us = UINT64_MAX;
        engine_state_damaged(e, err_text());
        return;
    }
    if (rc != 0) { /* no memory: another time */
        s->due_us = now_us + SCRUB_PAUSE_US;
        return;
    }
    s->percent = p.percent;
    if (p.passes != s->passes)
        end_pass(s, &p, now_us);
    else if (p.waits)
        s->due_us = now_us + SCRUB_WAIT_US;
    else
        s->due_us = now_us + (s->hurries ? SCRUB_HURRY_US : p.bytes * 1000000u / s->bytes_per_s);
}

uint64_t engine_scrub_deadline_us(const struct engine *e)
{
    return e->scrub.due_us;
}
