/* The buckets are counted through from below: whoever asks for a quantile is no hot path. */
#include "base/histogram.h"

#include <assert.h>

#include "base/banned.h"

static_assert(HISTOGRAM_STEPS == 8,
              "histogram_bucket() shifts by three bits less than a value has");

uint64_t histogram_top(unsigned bucket)
{
    unsigned doubling = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = bucket - doubling * HISTOGRAM_STEPS;

    return ((step + 1) << doubling) - 1;
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

uint64_t histogram_at(const struct histogram *h, unsigned permille)
{
    uint64_t wanted = h->n / 1000 * permille + (h->n % 1000 * permille + 999) / 1000;
    uint64_t passed = 0;

    if (h->n == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        passed += h->counts[i];
        if (passed >= wanted)
            return histogram_top(i) < h->max ? histogram_top(i) : h->max;
    }
    return h->max;
}

uint64_t histogram_n_below(const struct histogram *h, uint64_t bound)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_top(i) < bound; i++)
        n += h->counts[i];
    return n;
}
