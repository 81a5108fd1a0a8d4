/* The rate of a peer's clock, from readings in brackets (LEASE-13): what is said of it is true
 * whatever the network does, and what drifts is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "raft/drift_int.h"

#include "base/banned.h"

#define NONCE 7u

/* A reading of a clock that is so much faster, made `early` after the bracket begins. */
static void note(struct drift *d, uint64_t before_us, uint64_t width_us, uint64_t early_us,
                 int64_t ppm)
{
    const int64_t at_us = (int64_t)(before_us + early_us);
    const struct drift_reading reading = {.peer_us =
                                              (uint64_t)(5000000 + at_us + at_us * ppm / 1000000),
                                          .before_us = before_us,
                                          .after_us = before_us + width_us};

    raft_drift_note(d, NONCE, 0, &reading);
}

static void raft_drift__one_reading_says_nothing(void **state)
{
    struct drift d = {0};
    struct drift_rate rate;

    (void)state;
    assert_false(raft_drift_get_rate(&d, &rate));
    assert_false(raft_drift_is_beyond(&d, 0));
    note(&d, 1000, 100, 50, 90000);
    assert_false(raft_drift_get_rate(&d, &rate));
    assert_false(raft_drift_is_beyond(&d, 1100));
    note(&d, 50000, 100, 50, 90000); /* of the same while */
    assert_int_equal(d.n, 1);
}

/* The best reading of each while is kept. */
static void raft_drift__tightest_reading_stays(void **state)
{
    struct drift d = {0};

    (void)state;
    note(&d, 1000000, 5000, 50, 0);
    note(&d, 1100000, 700, 50, 0);
    note(&d, 1200000, 900, 50, 0);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.list[0].before_us, 1100000);
    note(&d, 1000000 + RAFT_DRIFT_SLOT_US + 5000, 9000, 50, 0);
    assert_int_equal(d.n, 2);
    assert_int_equal(d.list[0].before_us, 1100000);
}

/* The truth lies between the bounds, wherever in its bracket a reading was made. */
static void raft_drift__truth_lies_between_the_bounds(void **state)
{
    struct prng prng;

    (void)state;
    prng_init(&prng, 1);
    for (unsigned run = 0; run < 2000; run++) {
        const int64_t ppm = (int64_t)prng_below(&prng, 200000) - 100000;
        struct drift d = {0};
        uint64_t now_us = 1000000;
        struct drift_rate rate;

        for (unsigned k = 0; k < 100; k++) {
            const uint64_t width_us = 1 + prng_below(&prng, 1 + prng_below(&prng, 60000));

            note(&d, now_us, width_us, prng_below(&prng, width_us + 1), ppm);
            now_us += width_us + prng_below(&prng, 400000);
            if (!raft_drift_get_rate(&d, &rate))
                continue;
            assert_true(rate.ppm - (int64_t)rate.error_ppm <= ppm + 1);
            assert_true(rate.ppm + (int64_t)rate.error_ppm >= ppm - 1);
            if (raft_drift_is_beyond(&d, now_us))
                assert_true(llabs(ppm) >= RAFT_DRIFT_PPM_MAX - 1);
        }
        assert_true(d.n <= RAFT_DRIFT_SLOTS);
    }
}

/* With brackets of two milliseconds, within three seconds. */
static void raft_drift__what_drifts_is_found(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct drift d = {0};
        uint64_t now_us = 1000000;

        for (unsigned k = 0; k < 60; k++, now_us += 50000)
            note(&d, now_us, 2000, (k % 3) * 1000, sign * 2 * RAFT_DRIFT_PPM_MAX);
        assert_true(raft_drift_is_beyond(&d, now_us));
    }
}

static void raft_drift__what_is_within_the_bound_is_not(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct drift d = {0};
        struct drift_rate rate = {0};
        uint64_t now_us = 1000000;

        for (unsigned k = 0; k < 2000; k++, now_us += 50000)
            note(&d, now_us, 300, (k % 3) * 100, sign * (RAFT_DRIFT_PPM_MAX - 10));
        assert_false(raft_drift_is_beyond(&d, now_us));
        assert_true(raft_drift_get_rate(&d, &rate));
        assert_true(rate.error_ppm < 50);
    }
}

/* A clock that was right for long and is slewed from now on is found as soon as one that never was;
 * and one that is right again is forgiven when the window has gone by. */
static void raft_drift__slew_is_found_and_forgiven(void **state)
{
    struct drift d = {0};
    uint64_t now_us = 1000000;
    uint64_t peer_us = 1000000;
    unsigned found = 0;
    unsigned k = 0;

    (void)state;
    for (; k < 800; k++) {
        const bool slewed = k >= 400 && k < 440;

        raft_drift_note(&d, NONCE, 0,
                        &(struct drift_reading){.peer_us = peer_us,
                                                .before_us = now_us - 500,
                                                .after_us = now_us + 500});
        now_us += 50000;
        peer_us += slewed ? 46000 : 50000;
        if (found == 0 && raft_drift_is_beyond(&d, now_us))
            found = k;
        assert_true(found != 0 || k < 445);
    }
    assert_in_range(found, 400, 445);
    assert_false(raft_drift_is_beyond(&d, now_us));
}

/* Who is silent is not held to what it said long ago. */
static void raft_drift__silence_is_forgiven(void **state)
{
    struct drift d = {0};
    uint64_t now_us = 1000000;

    (void)state;
    for (unsigned k = 0; k < 60; k++, now_us += 50000)
        note(&d, now_us, 500, 0, 80000);
    assert_true(raft_drift_is_beyond(&d, now_us));
    now_us += RAFT_DRIFT_US;
    assert_false(raft_drift_is_beyond(&d, now_us));
    note(&d, now_us, 500, 0, 80000); /* and what it says now begins anew */
    assert_int_equal(d.n, 1);
}

/* Another process, a machine that was suspended, a clock that was set back: another clock. */
static void raft_drift__another_clock_begins_anew(void **state)
{
    struct drift d = {0};
    uint64_t now_us = 1000000;
    struct drift_reading reading;

    (void)state;
    for (unsigned k = 0; k < 60; k++, now_us += 50000)
        note(&d, now_us, 500, 0, 80000);
    assert_true(d.n >= 3);
    reading = (struct drift_reading){
        .peer_us = 2 * now_us, .before_us = now_us, .after_us = now_us + 100};
    raft_drift_note(&d, NONCE + 1, 0, &reading);
    assert_int_equal(d.n, 1);
    assert_false(raft_drift_is_beyond(&d, now_us + 100));
    reading.after_us += RAFT_DRIFT_SLOT_US;
    raft_drift_note(&d, NONCE + 1, RAFT_SUSPEND_US, &reading); /* two readings of the same */
    assert_int_equal(d.n, 2);
    reading.after_us += RAFT_DRIFT_SLOT_US;
    raft_drift_note(&d, NONCE + 1, 0, &reading); /* read a little before */
    assert_int_equal(d.n, 3);
    reading.after_us += RAFT_DRIFT_SLOT_US;
    raft_drift_note(&d, NONCE + 1, 2 * RAFT_SUSPEND_US, &reading);
    assert_int_equal(d.n, 4); /* no more than two readings may differ, from the most that it said */
    reading.after_us += RAFT_DRIFT_SLOT_US;
    raft_drift_note(&d, NONCE + 1, 3 * RAFT_SUSPEND_US + 1, &reading);
    assert_int_equal(d.n, 1);
    reading.after_us += RAFT_DRIFT_SLOT_US;
    reading.peer_us--;
    raft_drift_note(&d, NONCE + 1, 3 * RAFT_SUSPEND_US + 1, &reading);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.list[0].peer_us, reading.peer_us);
}

/* An answer that comes after a later one says nothing new. */
static void raft_drift__late_answer_is_dropped(void **state)
{
    struct drift d = {0};

    (void)state;
    note(&d, 1000000, 500, 0, 0);
    note(&d, 1000000 + RAFT_DRIFT_SLOT_US, 500, 0, 0);
    assert_int_equal(d.n, 2);
    raft_drift_note(&d, NONCE, 0,
                    &(struct drift_reading){.peer_us = d.list[1].peer_us,
                                            .before_us = d.list[1].after_us - 100,
                                            .after_us = d.list[1].after_us - 1});
    assert_int_equal(d.list[1].before_us, 1000000 + RAFT_DRIFT_SLOT_US);
}

/* Numbers from outside: nothing overflows, and what is far off is far off. */
static void raft_drift__nonsense_is_beyond(void **state)
{
    struct drift d = {0};
    struct drift_rate rate = {0};

    (void)state;
    raft_drift_note(&d, NONCE, 0, &(struct drift_reading){.peer_us = 0, .after_us = 1});
    raft_drift_note(&d, NONCE, 0,
                    &(struct drift_reading){.peer_us = UINT64_MAX,
                                            .before_us = RAFT_DRIFT_SLOT_US,
                                            .after_us = RAFT_DRIFT_SLOT_US + 1});
    assert_true(raft_drift_is_beyond(&d, RAFT_DRIFT_SLOT_US + 1));
    assert_true(raft_drift_get_rate(&d, &rate));
    assert_int_equal(rate.ppm, 1000000000);
    /* A bracket that begins before the other ends leaves one side open. */
    d = (struct drift){0};
    raft_drift_note(&d, NONCE, 0,
                    &(struct drift_reading){.peer_us = 5, .before_us = 0, .after_us = 100});
    raft_drift_note(&d, NONCE, 0,
                    &(struct drift_reading){
                        .peer_us = 6, .before_us = 50, .after_us = RAFT_DRIFT_SLOT_US + 100});
    assert_int_equal(d.n, 2);
    assert_false(raft_drift_is_beyond(&d, RAFT_DRIFT_SLOT_US + 100));
    assert_true(raft_drift_get_rate(&d, &rate));
    assert_true(rate.error_ppm > 400000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test(raft_drift__##name)
        TEST(one_reading_says_nothing),
        TEST(tightest_reading_stays),
        TEST(truth_lies_between_the_bounds),
        TEST(what_drifts_is_found),
        TEST(what_is_within_the_bound_is_not),
        TEST(slew_is_found_and_forgiven),
        TEST(silence_is_forgiven),
        TEST(another_clock_begins_anew),
        TEST(late_answer_is_dropped),
        TEST(nonsense_is_beyond),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
