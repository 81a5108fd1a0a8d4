/* What a load is made of: which keys are drawn and when, what a value says, what is known of a key
 * that is written many times at once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"
#include "base/prng.h"
#include "load/draw.h"
#include "load/text.h"
#include "load/truth.h"

#include "base/banned.h"

/* ---- draw ---- */

#define N_DRAWS 200000u

/* Each key as often as 1/k^s says, within five standard deviations. */
static void check_zipf(uint64_t n_keys, double exponent)
{
    uint64_t *counts = calloc(n_keys, sizeof(counts[0]));
    double sum = 0;
    struct draw d;
    struct prng p;

    assert_non_null(counts);
    prng_init(&p, 7);
    draw_init(&d, n_keys, exponent);
    for (unsigned i = 0; i < N_DRAWS; i++) {
        const uint64_t key = draw_key(&d, &p);

        assert_true(key < n_keys);
        counts[key]++;
    }
    for (uint64_t k = 1; k <= n_keys; k++)
        sum += pow((double)k, -exponent);
    for (uint64_t k = 1; k <= n_keys; k++) {
        const double share = pow((double)k, -exponent) / sum;
        const double wanted = share * N_DRAWS;

        assert_true(fabs((double)counts[k - 1] - wanted) < 5 * sqrt(wanted * (1 - share)) + 1);
    }
    free(counts);
}

/* LOAD-5 */
static void draw__keys_are_as_frequent_as_zipf_says(void **state)
{
    (void)state;
    check_zipf(1, 0.99);
    check_zipf(2, 1);
    check_zipf(100, 0.5);
    check_zipf(100, 0.99);
    check_zipf(100, 1);
    check_zipf(1000, 1.5);
    check_zipf(50, 3);
}

static void draw__without_an_exponent_all_keys_are_alike(void **state)
{
    (void)state;
    check_zipf(100, 0);
}

/* Ten million keys: no table, and the last ones come, too. */
static void draw__many_keys(void **state)
{
    uint64_t highest = 0;
    struct draw d;
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    draw_init(&d, 10000000, 0.99);
    for (unsigned i = 0; i < N_DRAWS; i++) {
        const uint64_t key = draw_key(&d, &p);

        assert_true(key < 10000000);
        if (key > highest)
            highest = key;
    }
    assert_true(highest > 9900000);
}

static void draw__arrivals_have_their_rate(void **state)
{
    double sum = 0;
    double squares = 0;
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    assert_true(fabs(draw_gap_ns(&p, 1000, false) - 1e6) < 1e-6);
    for (unsigned i = 0; i < N_DRAWS; i++) {
        const double gap = draw_gap_ns(&p, 1000, true);

        assert_true(gap >= 0);
        sum += gap;
        squares += gap * gap;
    }
    /* Of an exponential distribution mean and deviation are the same. */
    assert_true(fabs(sum / N_DRAWS - 1e6) < 1e4);
    assert_true(fabs(sqrt(squares / N_DRAWS - pow(sum / N_DRAWS, 2)) - 1e6) < 2e4);
}

/* ---- text ---- */

#define PREFIX "bench/65f1a2b3-9c0d/"

static bool is_value(const char *value, uint64_t key, unsigned value_bytes, uint32_t *ret)
{
    return load_value_number(value, strlen(value), PREFIX, strlen(PREFIX), key, value_bytes, ret);
}

static void text__values_are_read_back(void **state)
{
    static const uint32_t numbers[] = {0, 1, 9, 10, 4294967295u};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        for (unsigned size = 1; size < 80; size += 13) {
            const struct load_op op = {.key = 17, .number = numbers[i], .value_bytes = size};
            struct buf b = BUF_INIT;
            uint32_t number = 1;

            assert_int_equal(load_add_value(&b, PREFIX, strlen(PREFIX), &op), 0);
            assert_int_equal(b.len, load_value_len(strlen(PREFIX), numbers[i], size));
            assert_true(b.len >= size);
            assert_int_equal(buf_add_u8(&b, 0), 0);
            assert_true(is_value((const char *)b.data, 17, size, &number));
            assert_int_equal(number, numbers[i]);
            assert_false(is_value((const char *)b.data, 18, size, &number));
            buf_done(&b);
        }
}

static void text__what_is_no_value_of_the_key_is_refused(void **state)
{
    static const char *const values[] = {
        "",
        "x",
        PREFIX "00000017",
        PREFIX "00000017/",
        PREFIX "00000017/5",
        PREFIX "00000017/5/x",   /* cut */
        PREFIX "00000017/5/xxx", /* longer */
        PREFIX "00000017/5/xy",  /* something else */
        PREFIX "00000017/-5/x",
        PREFIX "00000017/05/x",
        PREFIX "00000017/5x/x",
        PREFIX "00000017//xxx",
        PREFIX "00000017/4294967296/",
        PREFIX "00000017/99999999999999999999/",
        PREFIX "00000018/5/xx", /* another key */
        "bench/65f1a2b4-9c0d/00000017/5/xx",
    };
    uint32_t number;

    (void)state;
    assert_true(is_value(PREFIX "00000017/5/xx", 17, 33, &number));
    assert_int_equal(number, 5);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_false(is_value(values[i], 17, 33, &number));
}

/* ---- truth ---- */

static void truth__one_write_after_the_other(void **state)
{
    struct truth *t;

    (void)state;
    assert_int_equal(truth_new(2, false, &t), 0);
    assert_int_equal(truth_least(t, 1), 0);
    for (uint32_t i = 1; i < 5; i++) {
        const struct truth_write w = truth_begin_write(t, 1);

        assert_int_equal(w.number, i);
        assert_int_equal(truth_judge(t, 1, truth_least(t, 1), i, true), TRUTH_RIGHT);
        assert_int_equal(truth_judge(t, 1, truth_least(t, 1), i - 1, true), TRUTH_RIGHT);
        assert_int_equal(truth_judge(t, 1, 0, i + 1, true), TRUTH_NEVER_WRITTEN);
        truth_end_write(t, &w, TRUTH_DONE);
        assert_int_equal(truth_least(t, 1), i);
        assert_int_equal(truth_judge(t, 1, i, i - 1, true), TRUTH_OLD);
        assert_int_equal(truth_judge(t, 1, i, i - 1, false), TRUTH_RIGHT);
    }
    assert_int_equal(truth_least(t, 0), 0);
    truth_free(t);
}

/* Nothing is known of a key any more that a write may come to at any time. */
static void truth__a_write_that_may_come_late(void **state)
{
    struct truth_write w;
    struct truth *t;

    (void)state;
    assert_int_equal(truth_new(1, false, &t), 0);
    w = truth_begin_write(t, 0);
    truth_end_write(t, &w, TRUTH_UNKNOWN);
    w = truth_begin_write(t, 0);
    truth_end_write(t, &w, TRUTH_DONE);
    assert_int_equal(truth_judge(t, 0, truth_least(t, 0), 1, true), TRUTH_RIGHT);
    assert_int_equal(truth_judge(t, 0, truth_least(t, 0), 3, true), TRUTH_NEVER_WRITTEN);
    truth_free(t);
}

/* What was certainly not done has no place in the order. */
static void truth__a_write_that_was_refused(void **state)
{
    struct truth_write done;
    struct truth_write refused;
    struct truth *t;

    (void)state;
    assert_int_equal(truth_new(1, false, &t), 0);
    done = truth_begin_write(t, 0);
    truth_end_write(t, &done, TRUTH_DONE);
    refused = truth_begin_write(t, 0);
    truth_end_write(t, &refused, TRUTH_NOT_DONE);
    assert_int_equal(truth_least(t, 0), 1);
    truth_free(t);
}

#define N_AT_ONCE 6u

/* DOCTOR-4: a register of the test's own: each write takes place at some moment between its beginning and its
 * end, and what a read finds must be right, whatever the order. And what is known is not nothing:
 * of what was written over long ago most is seen. */
static void truth__many_writes_at_once(void **state)
{
    struct {
        struct truth_write w;
        bool runs;
        bool placed;
    } writes[N_AT_ONCE] = {{{0}, false, false}};
    uint32_t history[64] = {0}; /* what was there, the newest last */
    uint32_t value = 0;
    unsigned n_old_seen = 0;
    unsigned n_rounds = 0;
    struct truth *t;
    struct prng p;

    (void)state;
    prng_init(&p, 11);
    assert_int_equal(truth_new(1, true, &t), 0);
    for (unsigned i = 0; i < 200000; i++) {
        const unsigned k = (unsigned)prng_below(&p, N_AT_ONCE);

        if (!writes[k].runs) {
            writes[k].w = truth_begin_write(t, 0);
            writes[k].runs = true;
            writes[k].placed = false;
        } else if (!writes[k].placed) {
            value = writes[k].w.number;
            writes[k].placed = true;
            memmove(history, history + 1, sizeof(history) - sizeof(history[0]));
            history[63] = value;
        } else {
            truth_end_write(t, &writes[k].w, TRUTH_DONE);
            writes[k].runs = false;
        }
        assert_int_equal(truth_judge(t, 0, truth_least(t, 0), value, true), TRUTH_RIGHT);
        n_rounds++;
        n_old_seen += truth_judge(t, 0, truth_least(t, 0), history[0], true) == TRUTH_OLD;
    }
    assert_true(n_old_seen > n_rounds * 9 / 10);
    truth_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draw__keys_are_as_frequent_as_zipf_says),
        cmocka_unit_test(draw__without_an_exponent_all_keys_are_alike),
        cmocka_unit_test(draw__many_keys),
        cmocka_unit_test(draw__arrivals_have_their_rate),
        cmocka_unit_test(text__values_are_read_back),
        cmocka_unit_test(text__what_is_no_value_of_the_key_is_refused),
        cmocka_unit_test(truth__one_write_after_the_other),
        cmocka_unit_test(truth__a_write_that_may_come_late),
        cmocka_unit_test(truth__a_write_that_was_refused),
        cmocka_unit_test(truth__many_writes_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
