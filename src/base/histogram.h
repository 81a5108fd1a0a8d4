/* How often which value was seen: buckets of fixed edges, so that what was counted anywhere can be
 * added up, and quantiles and Prometheus' buckets come from the same numbers.
 *
 * 0 to 15 have a bucket each; then there are eight to each doubling. So every power of two is an
 * edge, and a quantile is at most an eighth above what was seen (SEE-5). The fine one has 128 to
 * each doubling: a quantile is less than one percent above.
 *
 * For: times in microseconds, and counts, that are told to others: stages of requests, syncs,
 * turns, reads of a round. The fine one: times in nanoseconds of whoever measures (ridbench).
 * Not for: decisions of the core.
 * Units: those of the values, whole numbers; a time of less than a whole microsecond counts as the
 * one before it, so that histogram_n_below(h, n) is of all times that were shorter than n.
 * Ownership: a value of fixed size; all zeros is an empty one.
 * Errors: none. What is longer than the last edge, nineteen hours in microseconds (in nanoseconds
 * for the fine one), is in the last bucket, and in max as it was.
 * Thread: the caller's.
 * Source: the edges of HdrHistogram and of Prometheus' native histograms, with one digit less. */
#ifndef RIDD_BASE_HISTOGRAM_H
#define RIDD_BASE_HISTOGRAM_H

#include <stdint.h>

/* Eight steps to a doubling, up to 2^36: nineteen hours of microseconds. Of the fine one 128, up to
 * 2^46: nineteen hours of nanoseconds. */
#define HISTOGRAM_BITS         3u
#define HISTOGRAM_STEPS        (1u << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS      ((36u - HISTOGRAM_BITS + 1u) * HISTOGRAM_STEPS)
#define HISTOGRAM_FINE_BITS    7u
#define HISTOGRAM_FINE_BUCKETS ((46u - HISTOGRAM_FINE_BITS + 1u) << HISTOGRAM_FINE_BITS)

struct histogram {
    uint64_t n;
    uint64_t sum;
    uint64_t max;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

struct histogram_fine {
    uint64_t n;
    uint64_t sum;
    uint64_t max;
    uint64_t counts[HISTOGRAM_FINE_BUCKETS];
};

/* Of buckets of which 2^bits are to a doubling. */
static inline unsigned histogram_bucket_of(uint64_t value, unsigned bits, unsigned n_buckets)
{
    unsigned doubling;
    unsigned bucket;

    if (value < UINT64_C(2) << bits)
        return (unsigned)value;
    doubling = 63u - bits - (unsigned)__builtin_clzll(value);
    bucket = (doubling << bits) + (unsigned)(value >> doubling);
    return bucket < n_buckets ? bucket : n_buckets - 1;
}
static inline unsigned histogram_bucket(uint64_t value)
{
    return histogram_bucket_of(value, HISTOGRAM_BITS, HISTOGRAM_BUCKETS);
}
/* The highest value of a bucket. */
uint64_t histogram_top(unsigned bucket);

/* n times this value. */
static inline void histogram_add(struct histogram *h, uint64_t value, uint64_t n)
{
    h->n += n;
    h->sum += value * n;
    if (value > h->max)
        h->max = value;
    h->counts[histogram_bucket(value)] += n;
}
/* Everything that `other` has counted. */
void histogram_merge(struct histogram *h, const struct histogram *other);
/* What h has counted since it was as `before`: into *ret, which may be neither of them. The longest
 * is not known better than by its bucket. */
void histogram_since(const struct histogram *h, const struct histogram *before,
                     struct histogram *ret);
/* Of a thousand values so many are at or below this one, and one value at least; at most an eighth
 * above what was counted, and never above max. 0 of an empty one. */
uint64_t histogram_at(const struct histogram *h, unsigned permille);
/* How many values are below the bound; exactly so when it is a power of two, or at most 16. */
uint64_t histogram_n_below(const struct histogram *h, uint64_t bound);

/* ---- the fine one ---- */

static inline void histogram_fine_add(struct histogram_fine *h, uint64_t value)
{
    h->n++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->counts[histogram_bucket_of(value, HISTOGRAM_FINE_BITS, HISTOGRAM_FINE_BUCKETS)]++;
}
void histogram_fine_merge(struct histogram_fine *h, const struct histogram_fine *other);
/* As histogram_at(), at most a 128th above what was counted. */
uint64_t histogram_fine_at(const struct histogram_fine *h, unsigned permille);

#endif
