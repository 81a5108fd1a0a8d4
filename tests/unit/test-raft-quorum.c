/* The order statistic behind commit and read rounds, against its definition (READ-13: others got
 * even counts and 64-bit comparisons wrong). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
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

static void check_all(const uint64_t *alphabet, unsigned n_alphabet, unsigned n)
{
    uint64_t values[7];
    uint64_t sorted[7];
    unsigned digits[7] = {0};

    for (;;) {
        uint64_t sum = 0;
        uint64_t sum_after = 0;
        unsigned k = 0;

        for (unsigned i = 0; i < n; i++) {
            values[i] = alphabet[digits[i]];
            sum += values[i];
        }
        memcpy(sorted, values, sizeof(values));
        assert_true(raft_quorum_value(sorted, n) == brute_force(values, n));
        for (unsigned i = 0; i < n; i++)
            sum_after += sorted[i]; /* reordered perhaps, never changed */
        assert_true(sum == sum_after);
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
    assert_int_equal(raft_quorum_value(one, 1), 9);
    assert_int_equal(raft_quorum_value(two, 2), 5);
    assert_int_equal(raft_quorum_value(three, 3), 5);
    assert_int_equal(raft_quorum_value(four, 4), 5);
    assert_int_equal(raft_quorum_value(five, 5), 3);
}

static void raft__quorum_value_of_nobody_is_zero(void **state)
{
    uint64_t values[1] = {7};

    (void)state;
    assert_int_equal(raft_quorum_value(values, 0), 0);
    assert_int_equal(values[0], 7);
}

static void raft__quorum_value_up_to_the_largest_group(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    for (unsigned k = 0; k < 20000; k++) {
        uint64_t values[RAFT_SERVERS_MAX];
        uint64_t copy[RAFT_SERVERS_MAX];
        unsigned n = 1 + (unsigned)prng_below(&p, RAFT_SERVERS_MAX);

        for (unsigned i = 0; i < n; i++)
            values[i] = k % 2 != 0 ? prng_next(&p) : prng_below(&p, 5);
        memcpy(copy, values, sizeof(values));
        assert_true(raft_quorum_value(copy, n) == brute_force(values, n));
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
