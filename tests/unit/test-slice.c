/* A share of a turn's time (TIME-1): when it ends, and how often the clock is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/slice.h"

struct clock {
    uint64_t now_us;
    uint64_t step_us; /* how far it goes on each time that it is read */
    unsigned n_read;
};

static uint64_t read_clock(void *ctx)
{
    struct clock *c = ctx;

    c->n_read++;
    c->now_us += c->step_us;
    return c->now_us;
}

static void slice__reads_the_clock_every_few_steps(void **state)
{
    struct clock c = {.now_us = 1000};
    struct slice s;

    (void)state;
    slice_begin(&s, read_clock, &c, 2000);
    assert_int_equal(c.n_read, 0);
    for (unsigned i = 0; i < 101 * SLICE_STEPS; i++)
        assert_false(slice_spent(&s));
    assert_true(c.n_read >= 100);
    assert_true(c.n_read <= 105); /* more often only at the beginning */
}

/* It does not wait for the eighth of them. */
static void slice__long_steps_are_looked_at_one_by_one(void **state)
{
    struct clock c = {.now_us = 1000};
    struct slice s;

    (void)state;
    slice_begin(&s, read_clock, &c, 10000);
    c.now_us += 5000;
    assert_false(slice_spent(&s)); /* the first one is looked at */
    assert_int_equal(c.n_read, 1);
    for (unsigned i = 0; i < 10 * SLICE_STEPS; i++)
        assert_false(slice_spent(&s));
    c.now_us += 1000; /* a long one among quick ones ends that */
    while (c.n_read < 20)
        assert_false(slice_spent(&s));
    c.now_us += 1000;
    while (c.n_read < 21)
        assert_false(slice_spent(&s));
    c.now_us += 3000;
    assert_true(slice_spent(&s));
    assert_int_equal(c.n_read, 22);
}

static void slice__bytes_read_the_clock_sooner(void **state)
{
    struct clock c = {.now_us = 1000};
    struct slice s;
    unsigned n;

    (void)state;
    slice_begin(&s, read_clock, &c, 2000);
    for (unsigned i = 0; i < 16; i++) /* looks after 1, 1, 2, 4 and 8 of them */
        assert_false(slice_spent(&s));
    n = c.n_read;
    slice_charge(&s, SLICE_BYTES / 2);
    assert_false(slice_spent(&s));
    assert_int_equal(c.n_read, n);
    slice_charge(&s, SLICE_BYTES / 2);
    assert_false(slice_spent(&s));
    assert_int_equal(c.n_read, n + 1);
    /* More than is left, as often as you like: nothing wraps around. */
    slice_charge(&s, SIZE_MAX);
    slice_charge(&s, SIZE_MAX);
    c.now_us = 2000;
    assert_true(slice_spent(&s));
    assert_int_equal(c.n_read, n + 2);
}

static void slice__ends_at_its_end_and_stays_spent(void **state)
{
    struct clock c = {.now_us = 1000, .step_us = 250};
    struct slice s;
    unsigned n = 1;

    (void)state;
    slice_begin(&s, read_clock, &c, 2000);
    while (!slice_spent(&s))
        n++;
    /* Four looks, at 1250, 1500, 1750 and 2000, after one step each: they are slow. */
    assert_int_equal(n, 4);
    assert_int_equal(c.n_read, 4);
    c.now_us = 0;
    assert_true(slice_spent(&s));
    assert_int_equal(c.n_read, 4);
}

static void slice__without_end_never_is_spent(void **state)
{
    struct clock c = {.now_us = UINT64_MAX - 1};
    struct slice s;

    (void)state;
    slice_begin(&s, read_clock, &c, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++)
        assert_false(slice_spent(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice__reads_the_clock_every_few_steps),
        cmocka_unit_test(slice__long_steps_are_looked_at_one_by_one),
        cmocka_unit_test(slice__bytes_read_the_clock_sooner),
        cmocka_unit_test(slice__ends_at_its_end_and_stays_spent),
        cmocka_unit_test(slice__without_end_never_is_spent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
