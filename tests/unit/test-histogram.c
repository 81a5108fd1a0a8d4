/* SEE-5: counting values in buckets: where the edges are, and that what is told of many values is what
 * they are, as exactly as is promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"
#include "base/prng.h"

#define N 5000u

static void histogram__every_value_is_in_the_bucket_of_its_edges(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        const uint64_t top = histogram_top(i);

        assert_int_equal(histogram_bucket(top), i);
        if (i + 1 < HISTOGRAM_BUCKETS)
            assert_int_equal(histogram_bucket(top + 1), i + 1);
        if (i > 0) /* at most an eighth above the lowest of it */
            assert_true((top - histogram_top(i - 1) - 1) * 8 <= histogram_top(i - 1) + 1);
    }
    assert_int_equal(histogram_bucket(0), 0);
    assert_true(histogram_top(HISTOGRAM_BUCKETS - 1) == (UINT64_C(1) << 36) - 1);
    assert_int_equal(histogram_bucket(UINT64_C(1) << 36), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

/* Each power of two begins a bucket, so that what is shown as "at most" is no guess. */
static void histogram__powers_of_two_are_edges(void **state)
{
    struct histogram h = {0};

    (void)state;
    for (unsigned k = 0; k < 36; k++) {
        const uint64_t edge = UINT64_C(1) << k;

        assert_int_equal(histogram_n_below(&h, edge), h.n);
        histogram_add(&h, edge, 3);
        assert_int_equal(histogram_n_below(&h, edge), h.n - 3);
        histogram_add(&h, 2 * edge - 1, 1);
        assert_int_equal(histogram_n_below(&h, 2 * edge), h.n);
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void fill(struct histogram *h, uint64_t *values, struct prng *prng)
{
    for (unsigned i = 0; i < N; i++) {
        values[i] = prng_below(prng, UINT64_C(1) << (1 + prng_below(prng, 37)));
        histogram_add(h, values[i], 1);
    }
}

static void check_quantiles(const struct histogram *h, uint64_t *values, unsigned n)
{
    static const unsigned permilles[] = {0, 1, 10, 500, 900, 990, 999, 1000};

    qsort(values, n, sizeof(*values), compare);
    for (unsigned i = 0; i < sizeof(permilles) / sizeof(permilles[0]); i++) {
        const unsigned rank = (permilles[i] * n + 999) / 1000;
        const uint64_t right = values[rank > 0 ? rank - 1 : 0];
        const uint64_t told = histogram_at(h, permilles[i]);

        assert_true(told >= right || right > histogram_top(HISTOGRAM_BUCKETS - 2));
        assert_true(told <= right + right / 8 || right > histogram_top(HISTOGRAM_BUCKETS - 2));
        assert_true(told <= h->max);
    }
    assert_int_equal(histogram_at(h, 1000), values[n - 1]);
}

static void histogram__quantiles_are_those_of_the_values(void **state)
{
    static uint64_t values[N];
    struct prng prng;

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct histogram h = {0};
        uint64_t sum = 0;

        prng_init(&prng, seed);
        fill(&h, values, &prng);
        for (unsigned i = 0; i < N; i++)
            sum += values[i];
        assert_int_equal(h.n, N);
        assert_int_equal(h.sum, sum);
        check_quantiles(&h, values, N);
    }
}

static void histogram__an_empty_one_says_nothing(void **state)
{
    struct histogram h = {0};

    (void)state;
    assert_int_equal(histogram_at(&h, 500), 0);
    assert_int_equal(histogram_n_below(&h, UINT64_MAX), 0);
    histogram_add(&h, 7, 1);
    assert_int_equal(histogram_at(&h, 0), 7);
    assert_int_equal(histogram_at(&h, 1000), 7);
}

static void histogram__what_is_merged_is_what_was_added_to_both(void **state)
{
    static uint64_t values[2 * N];
    struct histogram a = {0};
    struct histogram b = {0};
    struct prng prng;

    (void)state;
    prng_init(&prng, 5);
    fill(&a, values, &prng);
    fill(&b, values + N, &prng);
    histogram_merge(&a, &b);
    assert_int_equal(a.n, 2 * N);
    check_quantiles(&a, values, 2 * N);
}

static void histogram__the_difference_is_what_came_since(void **state)
{
    static uint64_t values[2 * N];
    struct histogram before = {0};
    struct histogram h;
    struct histogram since;
    struct histogram right = {0};
    struct prng prng;

    (void)state;
    prng_init(&prng, 9);
    fill(&before, values, &prng);
    h = before;
    histogram_since(&h, &before, &since);
    assert_int_equal(since.n, 0);
    assert_int_equal(since.max, 0);
    assert_int_equal(histogram_at(&since, 990), 0);
    for (unsigned i = 0; i < N; i++) {
        values[i] = prng_below(&prng, 1000);
        histogram_add(&h, values[i], 1);
        histogram_add(&right, values[i], 1);
    }
    histogram_since(&h, &before, &since);
    assert_int_equal(since.n, right.n);
    assert_int_equal(since.sum, right.sum);
    assert_memory_equal(since.counts, right.counts, sizeof(right.counts));
    assert_true(since.max >= right.max);
    assert_true(since.max <= right.max + right.max / 8);
}

/* SEE-5: less than a hundredth above what was added, at any size. */
static void histogram__the_fine_one_is_right_to_a_hundredth(void **state)
{
    static struct histogram_fine h;
    static struct histogram_fine other;
    struct prng prng;

    (void)state;
    prng_init(&prng, 5);
    for (unsigned i = 0; i < 20000; i++) {
        const uint64_t value = prng_next(&prng) >> (19 + prng_below(&prng, 45));
        uint64_t found;

        memset(&h, 0, sizeof(h));
        histogram_fine_add(&h, value);
        histogram_fine_add(&h, UINT64_C(1) << 45); /* so that max does not say it */
        found = histogram_fine_at(&h, 500);
        assert_true(found >= value);
        assert_true(found - value <= value / 128);
    }
    memset(&h, 0, sizeof(h));
    for (uint64_t i = 1; i <= 1000; i++)
        histogram_fine_add(i % 2 == 0 ? &h : &other, i * 1000);
    histogram_fine_merge(&h, &other);
    assert_int_equal(h.n, 1000);
    assert_int_equal(h.sum, 500500000);
    assert_in_range(histogram_fine_at(&h, 500), 500000, 504000);
    assert_in_range(histogram_fine_at(&h, 990), 990000, 998000);
    assert_int_equal(histogram_fine_at(&h, 1000), 1000000);
    histogram_fine_add(&h, UINT64_MAX / 2); /* beyond the last edge: in max as it was */
    assert_int_equal(histogram_fine_at(&h, 1000), UINT64_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram__every_value_is_in_the_bucket_of_its_edges),
        cmocka_unit_test(histogram__powers_of_two_are_edges),
        cmocka_unit_test(histogram__quantiles_are_those_of_the_values),
        cmocka_unit_test(histogram__an_empty_one_says_nothing),
        cmocka_unit_test(histogram__what_is_merged_is_what_was_added_to_both),
        cmocka_unit_test(histogram__the_difference_is_what_came_since),
        cmocka_unit_test(histogram__the_fine_one_is_right_to_a_hundredth),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
