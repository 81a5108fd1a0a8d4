/* The order statistic behind commit and read rounds, against its definition (READ-13: others got
 * even counts and 64-bit comparisons wrong). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "raft/quorum.h"

#include "base/banned.h"

/* The definition: the largest v that a majority of the n values reaches. It is always one of them.
 */
static uint64_t brute_force(const uint64_t *values, unsigned n)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned reached = 0;

        for (unsigned j = 0; j < n; j++)
            reached += values[j] >= values[i];
        if (reached > n / 2 && values[i] > best)
            best = values[i];
    }
    return best;
}

/* A configuration of n voters with a learner before, between and behind them as far as there is
 * room: what a learner has reached must not matter, so it has reached everything. */
struct group {
    struct raft_configuration c;
    uint64_t values[RAFT_SERVERS_MAX]; /* by slot */
    uint64_t bar;
};

static void group_of(struct group *g, const uint64_t *values, unsigned n)
{
    memset(g, 0, sizeof(*g));
    for (unsigned i = 0; i < n; i++) {
        if (g->c.n + (n - i) < RAFT_SERVERS_MAX) {
            g->c.servers[g->c.n].role = RAFT_LEARNER;
            g->values[g->c.n++] = UINT64_MAX;
        }
        g->c.servers[g->c.n].role = RAFT_VOTER;
        g->values[g->c.n++] = values[i];
    }
}

static uint64_t value_of(const void *ctx, unsigned slot)
{
    const struct group *g = ctx;

    assert_int_equal(g->c.servers[slot].role, RAFT_VOTER);
    return g->values[slot];
}

static bool is_at_the_bar(const void *ctx, unsigned slot)
{
    return value_of(ctx, slot) >= ((const struct group *)ctx)->bar;
}

static uint64_t quorum_value(const uint64_t *values, unsigned n)
{
    struct group g;

    group_of(&g, values, n);
    return raft_quorum_value(&g.c, value_of, &g);
}

static void check_all(const uint64_t *alphabet, unsigned n_alphabet, unsigned n)
{
    uint64_t values[7];
    unsigned digits[7] = {0};

    for (;;) {
        unsigned k = 0;

        for (unsigned i = 0; i < n; i++)
            values[i] = alphabet[digits[i]];
        assert_true(quorum_value(values, n) == brute_force(values, n));
        while (k < n && ++digits[k] == n_alphabet)
            digits[k++] = 0;
        if (k == n)
            break;
    }
}

static void raft__quorum_value_equals_brute_force(void **state)
{
    static const uint64_t alphabet[] = {0, 1, 2, 3};

    (void)state;
    for (unsigned n = 1; n <= 7; n++)
        check_all(alphabet, 4, n);
}

/* A comparator that subtracts, or that cuts to 32 bits, sorts these wrongly (READ-13). */
static void raft__quorum_value_compares_all_64_bits(void **state)
{
    static const uint64_t alphabet[] = {1, (uint64_t)1 << 31, (uint64_t)1 << 32, (uint64_t)1 << 63,
                                        UINT64_MAX};

    (void)state;
    for (unsigned n = 1; n <= 7; n++)
        check_all(alphabet, 5, n);
}

static void raft__quorum_value_known_answers(void **state)
{
    uint64_t one[] = {9};
    uint64_t two[] = {9, 5};
    uint64_t three[] = {1, 9, 5};
    uint64_t four[] = {9, 1, 5, 7}; /* three of four are needed */
    uint64_t five[] = {1, 2, 3, 4, 5};

    (void)state;
    assert_int_equal(quorum_value(one, 1), 9);
    assert_int_equal(quorum_value(two, 2), 5);
    assert_int_equal(quorum_value(three, 3), 5);
    assert_int_equal(quorum_value(four, 4), 5);
    assert_int_equal(quorum_value(five, 5), 3);
}

static void raft__quorum_value_of_nobody_is_zero(void **state)
{
    struct group g;

    (void)state;
    group_of(&g, NULL, 0);
    assert_int_equal(raft_quorum_value(&g.c, value_of, &g), 0);
    assert_false(raft_quorum_reached(&g.c, is_at_the_bar, &g));
    g.c.n = 1; /* a learner alone */
    g.c.servers[0].role = RAFT_LEARNER;
    assert_int_equal(raft_quorum_value(&g.c, value_of, &g), 0);
    assert_false(raft_quorum_reached(&g.c, is_at_the_bar, &g));
}

/* Reached is what a majority reaches: the same question asked the other way. */
static void raft__quorum_reached_agrees_with_the_value(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 11);
    for (unsigned k = 0; k < 20000; k++) {
        uint64_t values[RAFT_SERVERS_MAX];
        unsigned n = 1 + (unsigned)prng_below(&p, RAFT_SERVERS_MAX);
        unsigned reached = 0;
        struct group g;

        for (unsigned i = 0; i < n; i++)
            values[i] = prng_below(&p, 5);
        group_of(&g, values, n);
        g.bar = prng_below(&p, 6);
        for (unsigned i = 0; i < n; i++)
            reached += values[i] >= g.bar;
        assert_int_equal(raft_quorum_count(&g.c, is_at_the_bar, &g), reached);
        assert_true(raft_quorum_reached(&g.c, is_at_the_bar, &g) == (2 * reached > n));
        assert_true(raft_quorum_reached(&g.c, is_at_the_bar, &g) ==
                    (brute_force(values, n) >= g.bar));
    }
}

static void raft__quorum_size_is_the_smallest_majority(void **state)
{
    static const unsigned sizes[] = {1, 2, 2, 3, 3, 4, 4};
    static const uint64_t values[7] = {0};

    (void)state;
    for (unsigned n = 1; n <= 7; n++) {
        struct group g;

        group_of(&g, values, n);
        assert_int_equal(raft_quorum_size(&g.c), sizes[n - 1]);
    }
}

static void raft__quorum_value_up_to_the_largest_group(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    for (unsigned k = 0; k < 20000; k++) {
        uint64_t values[RAFT_SERVERS_MAX];
        unsigned n = 1 + (unsigned)prng_below(&p, RAFT_SERVERS_MAX);

        for (unsigned i = 0; i < n; i++)
            values[i] = k % 2 != 0 ? prng_next(&p) : prng_below(&p, 5);
        assert_true(quorum_value(values, n) == brute_force(values, n));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(raft__quorum_value_equals_brute_force),
        cmocka_unit_test(raft__quorum_value_compares_all_64_bits),
        cmocka_unit_test(raft__quorum_value_known_answers),
        cmocka_unit_test(raft__quorum_value_of_nobody_is_zero),
        cmocka_unit_test(raft__quorum_value_up_to_the_largest_group),
        cmocka_unit_test(raft__quorum_reached_agrees_with_the_value),
        cmocka_unit_test(raft__quorum_size_is_the_smallest_majority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
