/* SEE-3: what is remembered of the way of requests: found again as it was, and forgotten, never
 * mistaken, when it is too long ago. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replica/trail.h"

static struct trail trail;

static int fresh(void **state)
{
    (void)state;
    memset(&trail, 0, sizeof(trail));
    return 0;
}

static void trail__an_index_is_found_by_the_first_mark_that_reached_it(void **state)
{
    (void)state;
    assert_null(trail_find(&trail.commits, 1));
    trail_committed(&trail, 5, 100, 2, 0);
    trail_committed(&trail, 5, 150, 3, 0);
    trail_committed(&trail, 9, 200, 3, 7000);
    assert_int_equal(trail_find(&trail.commits, 1)->us, 100);
    assert_int_equal(trail_find(&trail.commits, 5)->us, 100);
    assert_int_equal(trail_find(&trail.commits, 6)->us, 200);
    assert_int_equal(trail_find(&trail.commits, 9)->by, 3);
    assert_int_equal(trail_find(&trail.commits, 9)->disk_us, 7000);
    assert_null(trail_find(&trail.commits, 10));
    assert_null(trail_before(&trail.commits, 99));
    assert_int_equal(trail_before(&trail.commits, 199)->us, 150);
}

static void trail__what_is_too_long_ago_is_not_told(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3 * TRAIL_MARKS; i++)
        trail_committed(&trail, i, 1000 * i, 1, 0);
    /* Which mark reached the oldest that is kept is not known: it may have been one before. */
    assert_null(trail_find(&trail.commits, 2 * TRAIL_MARKS));
    assert_null(trail_find(&trail.commits, 2 * TRAIL_MARKS + 1));
    assert_int_equal(trail_find(&trail.commits, 2 * TRAIL_MARKS + 2)->us,
                     1000 * (2 * TRAIL_MARKS + 2));
    assert_null(trail_before(&trail.commits, 1000));
}

static void trail__runs_of_the_apply_add_up(void **state)
{
    const struct trail_mark *from;
    const struct trail_mark *to;

    (void)state;
    trail_applied(&trail, 3, 1000, 3, 300, 100);
    trail_applied(&trail, 5, 2000, 2, 2u << 20, 900);
    trail_applied(&trail, 6, 3000, 1, 10, 500);
    from = trail_before(&trail.applies, 1000);
    to = trail_find(&trail.applies, 6);
    assert_int_equal(to->index - from->index, 3);
    assert_int_equal(to->bytes - from->bytes, (2u << 20) + 10);
    assert_int_equal(to->busy_us - from->busy_us, 1400);
    trail_state_is_new(&trail, 2, 4000);
    assert_null(trail_find(&trail.applies, 6));
    assert_int_equal(trail_find(&trail.applies, 1)->us, 4000);
}

static void trail__a_round_is_acknowledged_once_by_each(void **state)
{
    (void)state;
    trail_round_acked(&trail, 2, 7, 50);
    assert_null(trail_round_ack(&trail, 7, 2));
    trail_round_opened(&trail, 7, 100);
    trail_round_acked(&trail, 2, 7, 150);
    trail_round_acked(&trail, 2, 7, 170);
    assert_int_equal(trail_round_us(&trail, 7), 100);
    assert_int_equal(trail_round_ack(&trail, 7, 2)->us, 150);
    /* An answer to a heartbeat after it, which had no reads, says as much. */
    trail_round_acked(&trail, 3, 9, 180);
    assert_int_equal(trail_round_ack(&trail, 7, 3)->us, 180);
    /* And so does one to a later round; the earliest counts. */
    trail_round_opened(&trail, 10, 200);
    trail_round_acked(&trail, 4, 10, 220);
    assert_int_equal(trail_round_ack(&trail, 7, 4)->us, 220);
    trail_round_acked(&trail, 4, 7, 230);
    assert_int_equal(trail_round_ack(&trail, 7, 4)->us, 220);
    assert_null(trail_round_ack(&trail, 11, 4));
    assert_int_equal(trail_round_at(&trail, 200), 10);
    assert_int_equal(trail_round_at(&trail, 201), 0);
    assert_int_equal(trail_round_since(&trail, 101), 200);
    assert_int_equal(trail_round_since(&trail, 100), 100);
    assert_int_equal(trail_round_since(&trail, 201), 0);
    trail_round_opened(&trail, 7 + TRAIL_ROUNDS, 300);
    assert_int_equal(trail_round_us(&trail, 7), 0);
}

static void trail__questions_are_found_by_when_they_left(void **state)
{
    (void)state;
    assert_int_equal(trail_ask_since(&trail, 0), 0);
    for (uint64_t i = 1; i <= 2 * TRAIL_ROUNDS; i++)
        trail_asked(&trail, 10 * i);
    assert_int_equal(trail_ask_since(&trail, 10 * 2 * TRAIL_ROUNDS), 10 * 2 * TRAIL_ROUNDS);
    assert_int_equal(trail_ask_since(&trail, 10 * 2 * TRAIL_ROUNDS - 1), 10 * 2 * TRAIL_ROUNDS);
    assert_int_equal(trail_ask_since(&trail, 10 * 2 * TRAIL_ROUNDS - 10),
                     10 * 2 * TRAIL_ROUNDS - 10);
    assert_int_equal(trail_ask_since(&trail, 10 * 2 * TRAIL_ROUNDS + 1), 0);
}

static void trail__what_peers_have_stored_is_found(void **state)
{
    (void)state;
    assert_null(trail_stored_ack(&trail, 1, 2));
    trail_stored(&trail, 2, 5, 100, 0);
    trail_stored(&trail, 2, 9, 200, 310000);
    trail_stored(&trail, 3, 9, 250, TRAIL_SNAG_US - 1);
    assert_int_equal(trail_stored_ack(&trail, 5, 2)->us, 100);
    assert_int_equal(trail_stored_ack(&trail, 6, 2)->us, 200);
    assert_null(trail_stored_ack(&trail, 10, 2));
    assert_int_equal(trail_peer(&trail, 2)->slow.disk_us, 310000);
    assert_int_equal(trail_peer(&trail, 3)->slow.us, 0);
    assert_null(trail_peer(&trail, 4));
    for (unsigned i = 0; i < 3 * TRAIL_ACKS; i++)
        trail_stored(&trail, 2, 10 + i, 1000 + i, 0);
    assert_null(trail_stored_ack(&trail, 10, 2));
    assert_int_equal(trail_stored_ack(&trail, 9 + 3 * TRAIL_ACKS, 2)->us, 999 + 3 * TRAIL_ACKS);
    /* More servers than ever are members: somebody makes room. */
    for (unsigned i = 0; i < 3 * RAFT_SERVERS_MAX; i++)
        trail_stored(&trail, 100 + i, 1, 1, 0);
    assert_int_equal(trail.n_peers, RAFT_SERVERS_MAX);
    assert_non_null(trail_peer(&trail, 99 + 3 * RAFT_SERVERS_MAX));
}

static void add(enum trail_kind kind, uint64_t from_us, uint64_t to_us, raft_node_id peer)
{
    trail_add_snag(&trail, &(struct trail_snag){
                               .kind = kind, .from_us = from_us, .to_us = to_us, .peer = peer});
}

static void trail__the_worst_snag_is_the_one_that_covers_most(void **state)
{
    const unsigned both = 1u << TRAIL_LOOP | 1u << TRAIL_SILENT;
    struct trail_snag snag;
    uint64_t us;

    (void)state;
    assert_false(trail_worst(&trail, ~0u, 0, 0, UINT64_MAX, &snag, &us));
    add(TRAIL_LOOP, 100000, 100000 + TRAIL_SNAG_US - 1, 0); /* too short */
    assert_false(trail_worst(&trail, ~0u, 0, 0, UINT64_MAX, &snag, &us));
    add(TRAIL_LOOP, 100000, 190000, 0);
    add(TRAIL_SILENT, 50000, 130000, 2);
    add(TRAIL_SILENT, 150000, 165000, 3);
    assert_true(trail_worst(&trail, both, 0, 110000, 200000, &snag, &us));
    assert_int_equal(snag.kind, TRAIL_LOOP);
    assert_int_equal(us, 80000);
    assert_true(trail_worst(&trail, 1u << TRAIL_SILENT, 0, 110000, 200000, &snag, &us));
    assert_int_equal(snag.peer, 2);
    assert_int_equal(us, 20000);
    assert_true(trail_worst(&trail, both, 3, 110000, 200000, &snag, &us));
    assert_int_equal(snag.peer, 3);
    assert_false(trail_worst(&trail, both, 2, 130000, 200000, &snag, &us));
    assert_false(trail_worst(&trail, 1u << TRAIL_SYNC, 0, 0, 200000, &snag, &us));
    for (unsigned i = 0; i < TRAIL_SNAGS; i++)
        add(TRAIL_STOOD, 1000000, 1100000, 0);
    assert_false(trail_worst(&trail, both, 0, 0, UINT64_MAX, &snag, &us));
}

static void trail__what_lasts_counts_as_far_as_it_has_come(void **state)
{
    const unsigned kind = 1u << TRAIL_NO_LEADER;
    struct trail_snag snag;
    uint64_t us;

    (void)state;
    trail_is(&trail, TRAIL_NO_LEADER, true, 50000);
    trail_is(&trail, TRAIL_NO_LEADER, true, 90000);
    assert_true(trail_worst(&trail, kind, 0, 60000, 100000, &snag, &us));
    assert_int_equal(us, 40000);
    assert_int_equal(snag.to_us - snag.from_us, 50000);
    trail_is(&trail, TRAIL_NO_LEADER, false, 110000);
    assert_true(trail_worst(&trail, kind, 0, 60000, 200000, &snag, &us));
    assert_int_equal(us, 50000);
    assert_false(trail_worst(&trail, kind, 0, 110000, 200000, &snag, &us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(trail__an_index_is_found_by_the_first_mark_that_reached_it, fresh),
        cmocka_unit_test_setup(trail__what_is_too_long_ago_is_not_told, fresh),
        cmocka_unit_test_setup(trail__runs_of_the_apply_add_up, fresh),
        cmocka_unit_test_setup(trail__a_round_is_acknowledged_once_by_each, fresh),
        cmocka_unit_test_setup(trail__questions_are_found_by_when_they_left, fresh),
        cmocka_unit_test_setup(trail__what_peers_have_stored_is_found, fresh),
        cmocka_unit_test_setup(trail__the_worst_snag_is_the_one_that_covers_most, fresh),
        cmocka_unit_test_setup(trail__what_lasts_counts_as_far_as_it_has_come, fresh),
    };

    return cmocka_run_group_tests_name("test-trail", tests, NULL, NULL);
}
