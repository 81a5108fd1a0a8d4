/* Interval arithmetic in millionths, on differences of two readings. */
#include "raft/drift_int.h"

#include <string.h>

#include "base/assert.h"

/* Nobody's clock is this wrong; what is, is wrong enough. */
#define PPM_MOST 1000000000

struct bounds {
    int64_t low_ppm;
    int64_t high_ppm;
};

void raft_drift_forget(struct drift *d)
{
    memset(d, 0, sizeof(*d));
}

/* peer / own - 1, rounded towards the outside. */
static int64_t ratio_ppm(uint64_t peer_us, uint64_t own_us, bool up)
{
    const uint64_t most_us = (uint64_t)INT64_MAX / 1000000u;
    uint64_t apart_us = peer_us > own_us ? peer_us - own_us : own_us - peer_us;
    uint64_t ppm;

    if (own_us == 0 || apart_us > most_us)
        return peer_us >= own_us ? PPM_MOST : -PPM_MOST;
    ppm = apart_us * 1000000u / own_us;
    if (up == (peer_us > own_us) && apart_us * 1000000u % own_us != 0)
        ppm++;
    if (ppm > PPM_MOST)
        ppm = PPM_MOST;
    return peer_us >= own_us ? (int64_t)ppm : -(int64_t)ppm;
}

/* Between the two readings the own clock went on by between `least` and `most`. */
static struct bounds compare(const struct drift_reading *a, const struct drift_reading *b)
{
    uint64_t peer_us = b->peer_us - a->peer_us;
    uint64_t most_us = b->after_us - a->before_us;
    uint64_t least_us = b->before_us > a->after_us ? b->before_us - a->after_us : 0;
    struct bounds bounds = {.low_ppm = -PPM_MOST, .high_ppm = PPM_MOST};

    rid_assert(b->after_us >= a->before_us);
    if (most_us > 0)
        bounds.low_ppm = ratio_ppm(peer_us, most_us, false);
    if (least_us > 0)
        bounds.high_ppm = ratio_ppm(peer_us, least_us, true);
    return bounds;
}

/* Any two of them: a clock that has begun to run wrong is found by those that stand beside each
 * other, however right it was for long. */
static bool is_beyond(const struct drift *d)
{
    for (unsigned i = 0; i < d->n; i++)
        for (unsigned j = i + 1; j < d->n; j++) {
            struct bounds b = compare(&d->list[i], &d->list[j]);

            if (b.low_ppm > RAFT_DRIFT_PPM_MAX || b.high_ppm < -RAFT_DRIFT_PPM_MAX)
                return true;
        }
    return false;
}

static uint64_t width(const struct drift_reading *reading)
{
    return reading->after_us - reading->before_us;
}

/* The same clock as before: of the same process, of a machine that did not sleep since, and it did
 * not go back. A peer that reads its hold clock seldom says too little. */
static bool goes_on(const struct drift *d, uint64_t nonce, uint64_t suspended_us,
                    const struct drift_reading *reading)
{
    const int64_t slept_us = (int64_t)(suspended_us - d->suspended_us);

    return d->n > 0 && d->nonce == nonce && slept_us <= (int64_t)RAFT_SUSPEND_US &&
           reading->peer_us >= d->list[d->n - 1].peer_us;
}

static void add(struct drift *d, const struct drift_reading *reading)
{
    if (d->n == RAFT_DRIFT_SLOTS)
        memmove(d->list, d->list + 1, --d->n * sizeof(*d->list));
    d->list[d->n++] = *reading;
    d->slot_us = reading->after_us;
}

/* What is older than the window says nothing of today. */
static void drop_old(struct drift *d, uint64_t now_us)
{
    unsigned n = 0;

    while (n < d->n && now_us - d->list[n].after_us > RAFT_DRIFT_US)
        n++;
    d->n -= n;
    memmove(d->list, d->list + n, d->n * sizeof(*d->list));
}

void raft_drift_note(struct drift *d, uint64_t nonce, uint64_t suspended_us,
                     const struct drift_reading *reading)
{
    rid_assert(reading->before_us <= reading->after_us);
    if (!goes_on(d, nonce, suspended_us, reading)) {
        raft_drift_forget(d);
        d->nonce = nonce;
        d->suspended_us = suspended_us;
        add(d, reading);
        return;
    }
    if ((int64_t)(suspended_us - d->suspended_us) > 0)
        d->suspended_us = suspended_us;
    if (reading->after_us < d->list[d->n - 1].after_us)
        return;
    if (reading->after_us - d->slot_us >= RAFT_DRIFT_SLOT_US) {
        drop_old(d, reading->after_us);
        add(d, reading);
    } else if (width(reading) < width(&d->list[d->n - 1])) {
        d->list[d->n - 1] = *reading;
    } else {
        return;
    }
    d->beyond = is_beyond(d);
}

bool raft_drift_is_beyond(const struct drift *d, uint64_t now_us)
{
    return d->beyond && now_us - d->list[d->n - 1].after_us <= RAFT_DRIFT_US;
}

bool raft_drift_get_rate(const struct drift *d, struct drift_rate *ret_rate)
{
    struct bounds b;

    if (d->n < 2)
        return false;
    b = compare(&d->list[0], &d->list[d->n - 1]);
    *ret_rate = (struct drift_rate){.ppm = (int32_t)((b.low_ppm + b.high_ppm) / 2),
                                    .error_ppm = (uint32_t)((b.high_ppm - b.low_ppm + 1) / 2)};
    return true;
}
