/* Two histograms of logarithmic steps that take turns: the newer one is filled, both are read, and
 * the older one is forgotten when the newer has had its time. */
#include "store/sync_times.h"

#include <stdbool.h>
#include <string.h>

#include "base/limits.h"

#include "base/banned.h"

static void forget(struct sync_times *t, unsigned window)
{
    memset(t->counts[window], 0, sizeof(t->counts[window]));
    t->longest_us[window] = 0;
}

void sync_times_add(struct sync_times *t, uint64_t now_us, uint64_t took_us)
{
    uint64_t age_us = now_us - t->begun_us;

    if (t->begun_us == 0 || age_us >= STORE_SYNC_WINDOW_US) {
        t->newer ^= 1u;
        forget(t, t->newer);
        if (t->begun_us == 0 || age_us >= 2 * STORE_SYNC_WINDOW_US)
            forget(t, t->newer ^ 1u);
        t->begun_us = now_us;
    }
    t->counts[t->newer][histogram_bucket(took_us)]++;
    if (took_us > t->longest_us[t->newer])
        t->longest_us[t->newer] = took_us;
}

/* Of the windows that are not over. */
static uint32_t count_at(const struct sync_times *t, uint64_t age_us, unsigned bucket)
{
    uint32_t n = 0;

    if (age_us < 2 * STORE_SYNC_WINDOW_US)
        n += t->counts[t->newer][bucket];
    if (age_us < STORE_SYNC_WINDOW_US)
        n += t->counts[t->newer ^ 1u][bucket];
    return n;
}

void sync_times_get(const struct sync_times *t, uint64_t now_us, uint64_t *ret_p50_us,
                    uint64_t *ret_p99_us, uint64_t *ret_max_us)
{
    uint64_t age_us = now_us - t->begun_us;
    uint64_t n = 0;
    uint64_t passed = 0;
    uint64_t longest = 0;
    uint64_t p50 = 0;
    uint64_t p99 = 0;

    for (unsigned i = 0; i < SYNC_TIMES_BUCKETS; i++)
        n += count_at(t, age_us, i);
    for (unsigned i = 0; n > 0 && i < SYNC_TIMES_BUCKETS; i++) {
        uint64_t before = passed;

        passed += count_at(t, age_us, i);
        if (before <= (n - 1) / 2 && passed > (n - 1) / 2)
            p50 = histogram_top(i);
        if (before <= (n - 1) * 99 / 100 && passed > (n - 1) * 99 / 100)
            p99 = histogram_top(i);
    }
    if (age_us < 2 * STORE_SYNC_WINDOW_US)
        longest = t->longest_us[t->newer];
    if (age_us < STORE_SYNC_WINDOW_US && t->longest_us[t->newer ^ 1u] > longest)
        longest = t->longest_us[t->newer ^ 1u];
    *ret_max_us = longest;
    *ret_p50_us = p50 < longest ? p50 : longest;
    *ret_p99_us = p99 < longest ? p99 : longest;
}

uint64_t sync_times_at(const struct sync_times *t, uint64_t now_us, unsigned permille)
{
    const uint64_t age_us = now_us - t->begun_us;
    uint64_t n = 0;
    uint64_t passed = 0;
    unsigned i = 0;

    for (unsigned k = 0; k < SYNC_TIMES_BUCKETS; k++)
        n += count_at(t, age_us, k);
    if (n == 0)
        return 0;
    while (i < SYNC_TIMES_BUCKETS - 1) {
        passed += count_at(t, age_us, i);
        if (passed * 1000 >= n * permille)
            break;
        i++;
    }
    return histogram_top(i);
}
