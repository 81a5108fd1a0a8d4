/* The buckets are counted through from below: whoever asks for a quantile is no hot path. */
#include "base/histogram.h"

#include <assert.h>

#include "base/banned.h"

static_assert(HISTOGRAM_BUCKETS == 34 * HISTOGRAM_STEPS, "up to 2^36");

static uint64_t top(unsigned bucket, unsigned bits)
{
    const unsigned steps = 1u << bits;
    const unsigned doubling = bucket < 2 * steps ? 0 : bucket / steps - 1;
    const uint64_t step = bucket - doubling * steps;

    return ((step + 1) << doubling) - 1;
}

uint64_t histogram_top(unsigned bucket)
{
    return top(bucket, HISTOGRAM_BITS);
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
    h->n += other->n;
    h->sum += other->sum;
    if (other->max > h->max)
        h->max = other->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->counts[i] += other->counts[i];
}

void histogram_since(const struct histogram *h, const struct histogram *before,
                     struct histogram *ret)
{
    ret->n = h->n - before->n;
    ret->sum = h->sum - before->sum;
    ret->max = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        ret->counts[i] = h->counts[i] - before->counts[i];
        if (ret->counts[i] > 0)
            ret->max = i == HISTOGRAM_BUCKETS - 1 ? h->max : histogram_top(i);
    }
    if (ret->max > h->max)
        ret->max = h->max;
}

static uint64_t quantile(const uint64_t *counts, unsigned n_buckets, unsigned bits, uint64_t n,
                         uint64_t max, unsigned permille)
{
    uint64_t wanted = n / 1000 * permille + (n % 1000 * permille + 999) / 1000;
    uint64_t passed = 0;

    if (n == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < n_buckets - 1; i++) {
        passed += counts[i];
        if (passed >= wanted)
            return top(i, bits) < max ? top(i, bits) : max;
    }
    return max;
}

uint64_t histogram_at(const struct histogram *h, unsigned permille)
{
    return quantile(h->counts, HISTOGRAM_BUCKETS, HISTOGRAM_BITS, h->n, h->max, permille);
}

uint64_t histogram_n_below(const struct histogram *h, uint64_t bound)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_top(i) < bound; i++)
        n += h->counts[i];
    return n;
}

/* ---- the fine one ---- */

void histogram_fine_merge(struct histogram_fine *h, const struct histogram_fine *other)
{
    h->n += other->n;
    h->sum += other->sum;
    if (other->max > h->max)
        h->max = other->max;
    for (unsigned i = 0; i < HISTOGRAM_FINE_BUCKETS; i++)
        h->counts[i] += other->counts[i];
}

uint64_t histogram_fine_at(const struct histogram_fine *h, unsigned permille)
{
    return quantile(h->counts, HISTOGRAM_FINE_BUCKETS, HISTOGRAM_FINE_BITS, h->n, h->max, permille);
}
