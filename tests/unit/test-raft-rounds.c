/* Numbers and times of heartbeat rounds (READ-66): every periodic heartbeat opens a round of its
 * own, which stands outside the window of the reads, and a time is that of the round asked about
 * or unknown. Node 1 leads puppets. */
#include "raft-fixture.h"

#include "raft/raft_int.h"

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

static void lead(unsigned n_voters, unsigned n_learners)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

static void ack(unsigned from, uint64_t round)
{
    assert_int_equal(fx_puppet_ack_round(&fx, from, 1, fx_term(&fx, 1), round), 0);
}

/* The next periodic heartbeat; its number on the way to n2. */
static uint64_t beat(void)
{
    uint64_t round;

    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 1);
    round = fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->round;
    assert_int_equal(round, fx_status(&fx, 1).round);
    return round;
}

/* n2 and n3 are heard, without acknowledging any round. */
static void heard(void)
{
    fx_puppet_ack(&fx, 2, 1, fx_last(&fx, 1));
    fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1));
}

/* ---- the ring of times ---- */

static void raft__round_times_are_known_or_unknown(void **state)
{
    struct rounds s;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    raft_rounds_init(&s, 2);
    assert_int_equal(raft_rounds_last(&s), 0);
    assert_null(raft_rounds_get(&s, 0));
    assert_null(raft_rounds_get(&s, 1));
    for (uint64_t round = 1; round <= 3 * ROUND_TIMES; round++) {
        assert_int_equal(raft_rounds_open(&s, 1000 * round, 2000 * round, 3000 * round), round);
        for (uint64_t asked = 0; asked <= round + ROUND_TIMES; asked++) {
            bool known = asked > 0 && asked <= round && asked + ROUND_TIMES > round;
            const struct round_time *t = raft_rounds_get(&s, asked);

            assert_int_equal(t != NULL, known);
            if (t == NULL)
                continue;
            assert_int_equal(t->opened_us, 1000 * asked); /* never that of another round */
            assert_int_equal(t->hold_us, 2000 * asked);
            assert_int_equal(t->lease_us, 3000 * asked);
        }
    }
}

static void raft__round_confirmed_late_is_not_measured(void **state)
{
    struct rounds s;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    raft_rounds_init(&s, 2);
    for (uint64_t k = 1; k <= ROUND_TIMES + 1; k++)
        (void)raft_rounds_open(&s, 1000, 1000, 0);
    raft_rounds_confirm(&s, 1, 5000); /* nobody remembers when it was opened */
    assert_int_equal(s.srtt_us, 0);
    raft_rounds_confirm(&s, 2, 5000);
    assert_int_equal(s.srtt_us, 4000);
}

/* ---- heartbeats ---- */

static void raft__every_heartbeat_opens_a_round(void **state)
{
    uint64_t opened;
    uint64_t round;

    (void)state;
    lead(3, 0);
    opened = fx_status(&fx, 1).rounds_opened;
    round = fx_status(&fx, 1).round;
    assert_true(round > 0); /* the first broadcast, too */
    for (unsigned k = 1; k <= 10; k++) {
        assert_int_equal(beat(), round + k);
        assert_int_equal(fx_only(&fx, 1, 3, RAFT_MSG_HEARTBEAT)->round, round + k);
        ack(2, round + k);
        assert_int_equal(fx_raft(&fx, 1)->rounds.confirmed, round + k);
        heard();
    }
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened); /* none for a read */
    assert_int_equal(fx_status(&fx, 1).rounds_confirmed, opened);
}

static void raft__round_of_a_heartbeat_is_for_learners_too(void **state)
{
    uint64_t round;

    (void)state;
    lead(3, 1);
    round = beat();
    assert_int_equal(fx_only(&fx, 1, 4, RAFT_MSG_HEARTBEAT)->round, round);
}

/* A group of one sends no heartbeats: nothing is opened. */
static void raft__lone_voter_opens_no_rounds_for_nobody(void **state)
{
    uint64_t round;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    round = fx_status(&fx, 1).round;
    fx_run(&fx, 10 * FX_HEARTBEAT_US);
    assert_int_equal(fx_status(&fx, 1).round, round);
}

/* Unanswered heartbeats do not fill the window: with K = 1 a read opens its round at once. */
static void raft__heartbeats_stand_outside_the_window(void **state)
{
    uint64_t round = 0;
    uint64_t a;

    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 1);
    for (unsigned k = 0; k < 20; k++) {
        round = beat();
        heard();
    }
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_status(&fx, 1).round, round + 1);
    ack(2, round);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_PENDING);
    ack(2, round + 1);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_DONE);
}

/* A read that waits for the window waits also when a heartbeat goes: the round of the heartbeat
 * is not its own, but confirms what was opened before it. */
static void raft__heartbeat_carries_no_read_that_waits_for_the_window(void **state)
{
    uint64_t round;
    uint64_t a;
    uint64_t b;

    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 1);
    round = beat();
    fx.now += FX_ELECTION_US / 2;
    ack(2, round); /* a slow group: one more round only after twice this */
    heard();
    (void)beat();
    heard();
    a = fx_read(&fx, 1, 0);
    b = fx_read(&fx, 1, 0);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, 1);
    round = beat();
    assert_int_equal(fx_status(&fx, 1).rounds_opened, 1);
    ack(2, round);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_DONE);
    assert_int_equal(fx_read_state(&fx, b), FX_READ_PENDING);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, 2); /* opened in the turn of the answer */
    ack(2, fx_status(&fx, 1).round);
    assert_int_equal(fx_read_state(&fx, b), FX_READ_DONE);
}

/* A read that is pending when a heartbeat is due, and may have a round, shares that one. */
static void raft__read_and_heartbeat_of_one_turn_share_a_round(void **state)
{
    uint64_t round;
    uint64_t a;

    (void)state;
    lead(3, 0);
    round = beat();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now = raft_deadline_us(fx_raft(&fx, 1));
    fx.hold_turns = true;
    a = fx_read(&fx, 1, 0);
    fx.hold_turns = false;
    fx_tick(&fx, 1);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->round, round + 1);
    assert_int_equal(fx_status(&fx, 1).round, round + 1);
    ack(3, round + 1);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_DONE);
}

/* READ-68: a round of the reads is a heartbeat. What else goes with heartbeats goes on. */
static void raft__round_of_a_read_is_a_heartbeat(void **state)
{
    uint64_t began;

    (void)state;
    lead(3, 0);
    (void)beat();
    began = fx.now;
    heard();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += FX_HEARTBEAT_US / 2;
    (void)fx_read(&fx, 1, 0);
    assert_int_equal(fx_drop(&fx, 1, FX_ANY, RAFT_MSG_HEARTBEAT), 2);
    fx_tick_deadline(&fx, 1);
    ack(2, fx_status(&fx, 1).round);
    while (fx.now < began + FX_HEARTBEAT_US)
        fx_tick_deadline(&fx, 1);
    assert_int_equal(fx.now, began + FX_HEARTBEAT_US);
    assert_int_equal(fx_drop(&fx, 1, FX_ANY, RAFT_MSG_HEARTBEAT), 0);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx.now, began + FX_HEARTBEAT_US * 3 / 2); /* and not at twice the interval */
    assert_int_equal(fx_drop(&fx, 1, FX_ANY, RAFT_MSG_HEARTBEAT), 2);
}

static void raft__round_of_a_read_is_none_for_learners(void **state)
{
    uint64_t began;

    (void)state;
    lead(3, 1);
    (void)beat();
    began = fx.now;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += FX_HEARTBEAT_US / 2;
    (void)fx_read(&fx, 1, 0);
    assert_int_equal(fx_drop(&fx, 1, 4, RAFT_MSG_HEARTBEAT), 0);
    ack(2, fx_status(&fx, 1).round);
    while (fx.now < began + FX_HEARTBEAT_US)
        fx_tick_deadline(&fx, 1);
    assert_int_equal(fx.now, began + FX_HEARTBEAT_US);
    assert_int_equal(fx_drop(&fx, 1, 4, RAFT_MSG_HEARTBEAT), 1);
}

/* READ-68: also where reads come so fast that no heartbeat is ever due (LOG-6, READ-18). */
static void raft__reads_keep_no_append_from_being_sent_again(void **state)
{
    uint64_t began;

    (void)state;
    lead(3, 0);
    fx_puppet_ack(&fx, 2, 1, fx_last(&fx, 1));
    fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1));
    (void)fx_propose(&fx, 1);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY); /* the append is lost */
    began = fx.now;
    while (fx_drop(&fx, 1, 3, RAFT_MSG_APPEND) == 0) {
        assert_true(fx.now < began + 2 * FX_ELECTION_US);
        fx.now += FX_HEARTBEAT_US / 4;
        (void)fx_read(&fx, 1, 0);
        (void)fx_drop(&fx, FX_ANY, FX_ANY, RAFT_MSG_HEARTBEAT);
        ack(2, fx_status(&fx, 1).round);
        ack(3, fx_status(&fx, 1).round);
        if (raft_tick_due_us(fx_raft(&fx, 1)) <= fx.now)
            fx_tick(&fx, 1);
    }
}

/* A new link is told the highest number again: no new round, and the time of the round stays. */
static void raft__repeated_number_keeps_its_time(void **state)
{
    struct round_time before;
    uint64_t round;

    (void)state;
    lead(3, 0);
    round = beat();
    before = *raft_rounds_get(&fx_raft(&fx, 1)->rounds, round);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += FX_HEARTBEAT_US / 4;
    fx_link(&fx, 1, 2, false);
    fx_link(&fx, 1, 2, true);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->round, round);
    assert_int_equal(fx_count(&fx, 1, 3, RAFT_MSG_HEARTBEAT), 0);
    assert_memory_equal(raft_rounds_get(&fx_raft(&fx, 1)->rounds, round), &before, sizeof(before));
}

/* A voter more than a ring of rounds behind: its answer counts, and is not taken for a quick
 * one. */
static void raft__answer_from_beyond_the_ring_is_not_measured(void **state)
{
    uint64_t first;
    uint64_t srtt;

    (void)state;
    lead(3, 0);
    first = beat();
    srtt = fx_raft(&fx, 1)->rounds.srtt_us;
    for (unsigned k = 0; k < ROUND_TIMES; k++) {
        (void)beat();
        heard();
    }
    ack(2, first);
    assert_int_equal(fx_raft(&fx, 1)->rounds.confirmed, first);
    assert_int_equal(fx_raft(&fx, 1)->rounds.srtt_us, srtt);
    ack(2, first + 1);
    assert_true(fx_raft(&fx, 1)->rounds.srtt_us > srtt);
}

/* A refusal of an older term of ours that comes late, when this node has been elected since: its
 * sender is not heard by it, and no round is acknowledged. */
static void raft__late_refusal_is_not_heard(void **state)
{
    struct raft_msg m;
    uint64_t confirmed;

    (void)state;
    lead(3, 0);
    confirmed = fx_raft(&fx, 1)->rounds.confirmed;
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 2, 1, fx_term(&fx, 1));
    m.round = beat();
    m.reject = true;
    fx.now += FX_ELECTION_US - FX_HEARTBEAT_US;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_raft(&fx, 1)->rounds.confirmed, confirmed);
    fx.now++;
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
}

/* Numbers go on through terms; what an earlier leadership opened confirms nothing in a later
 * one. */
static void raft__rounds_of_an_earlier_term_are_closed(void **state)
{
    struct raft_msg m;
    uint64_t round;

    (void)state;
    lead(3, 0);
    round = beat();
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    fx.now += 3 * FX_ELECTION_US;
    fx_puppets_lead(&fx, 1);
    assert_true(fx_status(&fx, 1).round > round);
    assert_true(fx_raft(&fx, 1)->rounds.confirmed >= round);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft__##name, teardown)
        TEST(round_times_are_known_or_unknown),
        TEST(round_confirmed_late_is_not_measured),
        TEST(every_heartbeat_opens_a_round),
        TEST(round_of_a_heartbeat_is_for_learners_too),
        TEST(lone_voter_opens_no_rounds_for_nobody),
        TEST(heartbeats_stand_outside_the_window),
        TEST(heartbeat_carries_no_read_that_waits_for_the_window),
        TEST(read_and_heartbeat_of_one_turn_share_a_round),
        TEST(round_of_a_read_is_a_heartbeat),
        TEST(round_of_a_read_is_none_for_learners),
        TEST(reads_keep_no_append_from_being_sent_again),
        TEST(repeated_number_keeps_its_time),
        TEST(answer_from_beyond_the_ring_is_not_measured),
        TEST(late_refusal_is_not_heard),
        TEST(rounds_of_an_earlier_term_are_closed),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
