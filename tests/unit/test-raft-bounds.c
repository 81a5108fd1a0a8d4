/* Pairs of a time and an index: what a leader proves about the stamps of its followers, and what a
 * node may say of the age of its own state (BOUND-1 to BOUND-7). The fixture compares each pair with
 * what was committed at its time. */
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
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
}

static void lead_puppets(unsigned n_voters, unsigned n_learners)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

/* n2 follows the puppet n1 in term 2, with an empty log, and is not asked for anything else. */
static void follow_puppet(void)
{
    struct raft_msg m;

    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 2);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

/* The puppet `from` answers the round, and its clock shows hold_us. */
static void ack(unsigned from, uint64_t round, uint64_t hold_us)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, from, 1, fx_term(&fx, 1));

    m.round = round;
    m.beat = (struct raft_beat){
        .said = true, .mono_us = hold_us, .stamp = {.nonce = 70 + from, .hold_us = hold_us}};
    fx_inject_ok(&fx, &m);
}

/* The next periodic heartbeat of n1; what it says to n2. */
static struct raft_msg beat(void)
{
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 1);
    return *fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT);
}

/* n1 tells n2 what is proved of its stamp. */
static void tell(uint64_t nonce, uint64_t hold_us, raft_index index)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);

    m.beat = (struct raft_beat){
        .said = true, .stamp = {.nonce = nonce, .hold_us = hold_us}, .proved_index = index};
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

static uint64_t nonce(void)
{
    return fx.nodes[2].conf.nonce;
}

static void has_pair(uint64_t since_us, uint64_t hold_us, raft_index index)
{
    struct raft_pair pair = {0};

    assert_true(fx_pair(&fx, 2, since_us, &pair));
    assert_int_equal(pair.hold_us, hold_us);
    assert_int_equal(pair.index, index);
}

static void has_no_pair(unsigned i, uint64_t since_us)
{
    struct raft_pair pair = {0};

    assert_false(fx_pair(&fx, i, since_us, &pair));
}

/* ---- stamps (BOUND-1, BOUND-2, BOUND-3) ---- */

/* The clock that goes on while the machine is suspended, and the name of this life. */
static void raft_bounds__answer_is_stamped(void **state)
{
    struct raft_msg m;
    const struct raft_msg *resp;

    (void)state;
    follow_puppet();
    fx_suspend(&fx, 2, 5000);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    fx_inject_ok(&fx, &m);
    resp = fx_only(&fx, 2, 1, RAFT_MSG_HEARTBEAT_RESP);
    assert_true(resp->beat.said);
    assert_int_equal(resp->beat.stamp.nonce, nonce());
    assert_int_equal(resp->beat.stamp.hold_us, fx_hold(&fx, 2));
    assert_int_equal(resp->beat.mono_us, fx_now(&fx, 2));
    assert_int_equal(fx_hold(&fx, 2), fx_now(&fx, 2) + 5000);
}

static void raft_bounds__without_a_nonce_nothing_is_stamped(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[2].conf.nonce = 0;
    fx_start(&fx, 2);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_only(&fx, 2, 1, RAFT_MSG_HEARTBEAT_RESP)->beat.stamp.nonce, 0);
    tell(0, 5, 1); /* and what has no name is nobody's */
    has_no_pair(2, 0);
}

/* A stamp is proved by a round that was opened after it came, and goes back with the next
 * heartbeat. */
static void raft_bounds__stamp_waits_for_a_round_opened_later(void **state)
{
    struct raft_msg m;
    uint64_t round;

    (void)state;
    lead_puppets(5, 0);
    round = beat().round;
    m = beat();
    assert_int_equal(m.round, round + 1);
    assert_int_equal(m.beat.stamp.nonce, 0);
    ack(2, round, 1111); /* round + 1 is on its way already */
    ack(3, round + 1, 3333);
    ack(4, round + 1, 4444); /* and confirmed: that proves nothing of 1111 */
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 0);
    ack(3, m.round, 3334);
    ack(4, m.round, 4445);
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 72);
    assert_int_equal(m.beat.stamp.hold_us, 1111);
    assert_int_equal(m.beat.proved_index, fx_commit(&fx, 1));
    m = beat(); /* once */
    assert_int_equal(m.beat.stamp.nonce, 0);
    assert_int_equal(m.beat.proved_index, 0);
}

/* The answer that confirms a round says nothing about its own stamp by that. */
static void raft_bounds__stamp_is_not_proved_by_its_own_answer(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(3, 0);
    m = beat();
    ack(2, m.round, 1111);
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 0);
    ack(2, m.round, 2222);
    m = beat();
    assert_int_equal(m.beat.stamp.hold_us, 1111);
}

/* The fastest of five answers before a quorum has: what it said first waits on. */
static void raft_bounds__waiting_stamp_is_not_replaced(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(5, 0);
    m = beat();
    ack(2, m.round, 1000);
    for (unsigned k = 1; k <= 2; k++) {
        m = beat();
        assert_int_equal(m.beat.stamp.nonce, 0);
        ack(2, m.round, 1000 + k);
        ack(3, m.round - 1, 3000); /* always one behind */
        ack(4, m.round - 1, 4000);
    }
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 72);
    assert_int_equal(m.beat.stamp.hold_us, 1000);
}

/* Before an entry of its term is committed a new leader's index says nothing, however well its
 * rounds are confirmed. */
static void raft_bounds__nothing_is_proved_before_the_noop(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_elect(&fx, 1);
    for (unsigned k = 0; k < 3; k++) {
        m = beat();
        assert_int_equal(m.beat.stamp.nonce, 0);
        ack(2, m.round, 1000 + k);
    }
    has_no_pair(1, 0);
    fx_puppet_ack(&fx, 2, 1, fx_noop(&fx, 1));
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 72); /* the same stamp, and an index of now */
    assert_int_equal(m.beat.proved_index, fx_noop(&fx, 1));
}

/* All that is committed, whether or not the follower holds it. */
static void raft_bounds__index_is_of_the_moment_and_not_clamped(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(3, 0);
    m = beat();
    ack(2, m.round, 1000);
    m = beat();
    ack(2, m.round, 2000); /* 1000 is proved */
    (void)fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1));
    m = beat();
    assert_int_equal(m.beat.stamp.hold_us, 1000);
    assert_int_equal(m.beat.proved_index, fx_last(&fx, 1));
    assert_true(m.leader_commit < fx_last(&fx, 1));
}

static void raft_bounds__learners_have_stamps_too(void **state)
{
    struct raft_pair pair = {0};

    (void)state;
    lead(3, 1);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(fx_pair(&fx, 4, fx_hold(&fx, 4) - 4 * FX_HEARTBEAT_US, &pair));
    assert_int_equal(pair.index, fx_commit(&fx, 1));
}

/* What was proved in one term is of no use to the next leader, even the same node. */
static void raft_bounds__new_term_begins_without_stamps(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(3, 0);
    m = beat();
    ack(2, m.round, 1000);
    m = beat();
    ack(2, m.round, 2000);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    fx.now += 3 * FX_ELECTION_US;
    fx_puppets_lead(&fx, 1);
    m = beat();
    assert_int_equal(m.beat.stamp.nonce, 0);
}

/* An older peer says no beat, and gets no stamp back. */
static void raft_bounds__who_says_nothing_is_told_nothing(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(3, 0);
    for (unsigned k = 0; k < 3; k++) {
        m = beat();
        assert_int_equal(m.beat.stamp.nonce, 0);
        assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), m.round), 0);
    }
}

/* ---- pairs (BOUND-4) ---- */

static void raft_bounds__pair_comes_with_a_heartbeat(void **state)
{
    (void)state;
    follow_puppet();
    has_no_pair(2, 0);
    tell(nonce(), 1000, 1);
    has_pair(0, 1000, 1);
    has_pair(1000, 1000, 1);
    has_no_pair(2, 1001);
    tell(nonce(), 2000, 1); /* the same state, younger */
    has_pair(0, 2000, 1);
    assert_int_equal(fx_raft(&fx, 2)->pairs.n, 1);
    tell(nonce(), 1500, 1); /* late: what is known is younger */
    has_pair(0, 2000, 1);
    assert_int_equal(fx_commit(&fx, 2), 1);
}

/* A clock begins again with a boot: what another life stamped, or a time that is not yet, is of
 * another clock. */
static void raft_bounds__stamp_of_another_life_is_dropped(void **state)
{
    (void)state;
    follow_puppet();
    tell(nonce() + 1, 1000, 1);
    has_no_pair(2, 0);
    tell(nonce(), fx_hold(&fx, 2) + 1, 1);
    has_no_pair(2, 0);
    tell(nonce(), fx_hold(&fx, 2), 1);
    has_pair(0, fx_hold(&fx, 2), 1);
}

/* The machine was moved, or copied, and how long that took its clock does not show: what is known of
 * ages is of the clock of before, and so is what is on its way back. */
static void raft_bounds__clock_of_before_says_nothing_of_now(void **state)
{
    uint64_t before;

    (void)state;
    follow_puppet();
    before = fx_hold(&fx, 2);
    tell(nonce(), before, 1);
    has_pair(0, before, 1);
    raft_forget_held(fx_raft(&fx, 2), fx.now);
    has_no_pair(2, 0);
    tell(nonce(), before, 1); /* stamped before, told after */
    has_no_pair(2, 0);
    fx.now += 10;
    tell(nonce(), fx_hold(&fx, 2), 1);
    has_pair(0, fx_hold(&fx, 2), 1);
}

/* Nor does a round of the own that was opened before. */
static void raft_bounds__round_of_before_says_nothing_of_now(void **state)
{
    struct raft_msg m;
    uint64_t opened;

    (void)state;
    lead_puppets(3, 0);
    m = beat();
    opened = fx_hold(&fx, 1);
    raft_forget_held(fx_raft(&fx, 1), fx.now);
    ack(2, m.round, 1111);
    has_no_pair(1, 0);
    m = beat();
    ack(2, m.round, 2222);
    has_no_pair(1, fx_hold(&fx, 1) + 1);
    assert_int_equal(fx_raft(&fx, 1)->pairs.n, 1);
    assert_true(fx_raft(&fx, 1)->pairs.list[0].hold_us > opened);
}

/* The newest that the state has come to; else the one that it comes to first. */
static void raft_bounds__pair_waits_for_the_state(void **state)
{
    const raft_term terms[] = {1, 1, 1, 1};
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_log(&fx, 2, terms, 4);
    fx_start(&fx, 2);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    fx_inject_ok(&fx, &m);
    tell(nonce(), 1000, 1);
    tell(nonce(), 2000, 3);
    tell(nonce(), 3000, 4);
    has_pair(0, 1000, 1);
    has_pair(1500, 2000, 3); /* to wait for */
    has_pair(2500, 3000, 4);
    m.leader_commit = 3;
    fx_inject_ok(&fx, &m);
    has_pair(0, 2000, 3);
    assert_int_equal(fx_raft(&fx, 2)->pairs.n, 2);
    m.leader_commit = 4;
    fx_inject_ok(&fx, &m);
    has_pair(0, 3000, 4);
    assert_int_equal(fx_raft(&fx, 2)->pairs.n, 1);
}

/* A node that is always a little behind comes to the older ones: they are not pushed out. */
static void raft_bounds__newer_pair_pushes_out_none_that_waits(void **state)
{
    (void)state;
    follow_puppet();
    tell(nonce(), 1000, 1);
    for (uint64_t k = 1; k <= 2 * RAFT_PAIRS_MAX; k++)
        tell(nonce(), 1000 + k, 1 + k);
    assert_int_equal(fx_raft(&fx, 2)->pairs.n, 1 + RAFT_PAIRS_MAX);
    has_pair(0, 1000, 1);
    has_pair(1001, 1001, 2);
    has_pair(1000 + RAFT_PAIRS_MAX, 1000 + RAFT_PAIRS_MAX, 1 + RAFT_PAIRS_MAX);
    has_no_pair(2, 1001 + RAFT_PAIRS_MAX);
}

/* The same where the state has come to none of them. */
static void raft_bounds__pairs_that_wait_are_bounded(void **state)
{
    (void)state;
    follow_puppet();
    for (uint64_t k = 1; k <= 2 * RAFT_PAIRS_MAX; k++)
        tell(nonce(), 1000 + k, 1 + k);
    assert_int_equal(fx_raft(&fx, 2)->pairs.n, RAFT_PAIRS_MAX);
    has_pair(0, 1001, 2);
}

/* While a state is replaced nothing is there, whatever last_applied says. */
static void raft_bounds__state_that_is_being_replaced_has_come_to_nothing(void **state)
{
    struct raft_pair pair = {0};
    raft_index index;

    (void)state;
    lead(3, 0);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    fx_isolate(&fx, 3, true);
    for (unsigned k = 0; k < 5; k++)
        (void)fx_propose(&fx, 1);
    fx_run(&fx, FX_HEARTBEAT_US);
    index = fx_commit(&fx, 1);
    fx.nodes[3].manual_restore = true;
    fx_heal(&fx);
    (void)fx_drop(&fx, FX_ANY, 3, RAFT_MSG_APPEND);
    assert_int_equal(fx_hand_over(&fx, 1, 3, index, false), RAFT_INSTALL_LOG);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(raft_is_installing(fx_raft(&fx, 3)));
    assert_true(fx_raft(&fx, 3)->pairs.n >= 2); /* none is settled: the state has come to none */
    assert_true(fx_pair(&fx, 3, fx_hold(&fx, 3) - 2 * FX_HEARTBEAT_US, &pair));
    fx_restored(&fx, 3);
    assert_true(fx_pair(&fx, 3, 0, &pair));
    assert_int_equal(pair.index, index);
    assert_int_equal(fx_raft(&fx, 3)->pairs.n, 1);
}

/* A state that is put back comes to it again. */
static void raft_bounds__state_that_is_made_again_comes_to_it_again(void **state)
{
    struct raft_pair pair = {0};

    (void)state;
    lead(3, 0);
    (void)fx_propose(&fx, 1);
    fx_run(&fx, 5 * FX_HEARTBEAT_US);
    assert_true(fx_pair(&fx, 2, 0, &pair));
    assert_int_equal(pair.index, fx_commit(&fx, 1));
    fx.hold_turns = true;
    raft_rewind(fx_raft(&fx, 2), 0);
    assert_true(fx_pair(&fx, 2, 0, &pair));
    assert_true(pair.index > fx_status(&fx, 2).last_applied); /* to wait for */
    fx.nodes[2].committed_handed = 0;
    fx.hold_turns = false;
    fx_turn(&fx, 2);
}

/* ---- whose are there without asking (BOUND-5) ---- */

static void raft_bounds__leader_has_its_own_pair(void **state)
{
    struct raft_pair pair = {0};
    struct raft_msg m;
    uint64_t opened_us;

    (void)state;
    lead_puppets(3, 0);
    has_no_pair(1, 0);
    m = beat();
    opened_us = fx_hold(&fx, 1);
    fx.now += 7000;
    has_no_pair(1, 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), m.round), 0);
    assert_true(fx_pair(&fx, 1, 0, &pair));
    assert_int_equal(pair.hold_us, opened_us); /* not when it was answered */
    assert_int_equal(pair.index, fx_commit(&fx, 1));
}

/* Who is cut off renews nothing. */
static void raft_bounds__lonely_leader_renews_nothing(void **state)
{
    struct raft_pair pair = {0};
    uint64_t hold_us;

    (void)state;
    lead(3, 0);
    assert_true(fx_pair(&fx, 1, 0, &pair));
    hold_us = pair.hold_us;
    fx_isolate(&fx, 1, true);
    fx.now += FX_ELECTION_US - 1;
    fx_turn(&fx, 1);
    assert_true(fx_pair(&fx, 1, 0, &pair));
    assert_int_equal(pair.hold_us, hold_us);
    fx_elect(&fx, 2);
    (void)fx_propose(&fx, 2);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(fx_pair(&fx, 1, 0, &pair));
    assert_int_equal(pair.hold_us, hold_us);
}

static void raft_bounds__group_of_one_is_never_old(void **state)
{
    struct raft_pair pair = {0};

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    has_no_pair(1, 0);
    fx_elect(&fx, 1);
    fx.now += 123456;
    assert_true(fx_pair(&fx, 1, fx_hold(&fx, 1), &pair));
    assert_int_equal(pair.hold_us, fx_hold(&fx, 1));
    assert_int_equal(pair.index, fx_commit(&fx, 1));
}

/* A learner beside it is no second voter. */
static void raft_bounds__group_of_one_with_a_learner(void **state)
{
    struct raft_pair pair = {0};

    (void)state;
    lead(1, 1);
    assert_true(fx_pair(&fx, 1, fx_hold(&fx, 1), &pair));
    has_no_pair(2, fx_hold(&fx, 2));
    (void)fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_true(fx_pair(&fx, 2, fx_hold(&fx, 2), &pair));
}

/* An answered question is a pair, of the time at which it was sealed. */
static void raft_bounds__answer_to_a_question_is_a_pair(void **state)
{
    struct raft_pair pair = {0};
    uint64_t sealed_us;

    (void)state;
    lead(3, 0);
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    fx.now += 1000;
    sealed_us = fx_hold(&fx, 2);
    has_no_pair(2, sealed_us);
    (void)fx_ask(&fx, 2);
    fx.now += 500;
    fx_deliver_all(&fx);
    assert_true(fx_pair(&fx, 2, sealed_us, &pair));
    assert_int_equal(pair.hold_us, sealed_us);
    assert_int_equal(pair.index, fx_commit(&fx, 1));
}

/* A node that slept does not take its state for a fresh one. */
static void raft_bounds__sleeper_knows_that_it_slept(void **state)
{
    struct raft_pair pair = {0};

    (void)state;
    lead(3, 0);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(fx_pair(&fx, 2, fx_hold(&fx, 2) - 4 * FX_HEARTBEAT_US, &pair));
    fx_suspend(&fx, 2, FX_ELECTION_US);
    has_no_pair(2, fx_hold(&fx, 2) - 4 * FX_HEARTBEAT_US);
}

static void raft_bounds__index_out_of_range_is_invalid(void **state)
{
    struct raft_msg m;

    (void)state;
    follow_puppet();
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    m.beat = (struct raft_beat){.said = true,
                                .stamp = {.nonce = nonce(), .hold_us = 1},
                                .proved_index = RAFT_INDEX_MAX + 1};
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
}

/* Writes, elections, nodes that sleep and links that fail, by chance: no pair says too much. */
static void raft_bounds__no_pair_says_too_much(void **state)
{
    unsigned n_pairs = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        fx_init(&fx, seed % 2 == 0 ? 3 : 5, 1, seed);
        for (unsigned i = 1; i <= fx.n; i++)
            fx.nodes[i].rate_ppm = (int)prng_below(&fx.prng, 20000) - 10000;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 150; k++) {
            const unsigned i = 1 + (unsigned)prng_below(&fx.prng, fx.n);
            const unsigned leader = fx_leader(&fx);
            struct raft_pair pair;
            uint64_t x = 0;

            switch (prng_below(&fx.prng, 12)) {
            case 0:
                fx_isolate(&fx, i, true);
                break;
            case 1:
                fx_heal(&fx);
                break;
            case 2:
                fx_suspend(&fx, i, prng_below(&fx.prng, FX_ELECTION_US));
                break;
            case 3:
                fx_crash(&fx, i, 1);
                fx_restart(&fx, i);
                break;
            case 4:
                (void)fx_ask(&fx, i);
                break;
            case 5:
            case 6:
                if (leader != 0) {
                    struct raft_entry_id id;

                    (void)fx_try_propose(&fx, leader, &x, sizeof(x), &id);
                }
                break;
            default:
                break;
            }
            fx_run(&fx, prng_below(&fx.prng, 2 * FX_HEARTBEAT_US));
            for (unsigned j = 1; j <= fx.n; j++)
                n_pairs += fx_pair(&fx, j, 0, &pair);
        }
        fx_done(&fx);
    }
    assert_true(n_pairs > 10000);
    fx_init(&fx, 1, 0, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft_bounds__##name, teardown)
        TEST(answer_is_stamped),
        TEST(without_a_nonce_nothing_is_stamped),
        TEST(stamp_waits_for_a_round_opened_later),
        TEST(stamp_is_not_proved_by_its_own_answer),
        TEST(waiting_stamp_is_not_replaced),
        TEST(nothing_is_proved_before_the_noop),
        TEST(index_is_of_the_moment_and_not_clamped),
        TEST(learners_have_stamps_too),
        TEST(new_term_begins_without_stamps),
        TEST(who_says_nothing_is_told_nothing),
        TEST(pair_comes_with_a_heartbeat),
        TEST(stamp_of_another_life_is_dropped),
        TEST(clock_of_before_says_nothing_of_now),
        TEST(round_of_before_says_nothing_of_now),
        TEST(pair_waits_for_the_state),
        TEST(newer_pair_pushes_out_none_that_waits),
        TEST(pairs_that_wait_are_bounded),
        TEST(state_that_is_being_replaced_has_come_to_nothing),
        TEST(state_that_is_made_again_comes_to_it_again),
        TEST(leader_has_its_own_pair),
        TEST(lonely_leader_renews_nothing),
        TEST(group_of_one_is_never_old),
        TEST(group_of_one_with_a_learner),
        TEST(answer_to_a_question_is_a_pair),
        TEST(sleeper_knows_that_it_slept),
        TEST(index_out_of_range_is_invalid),
        TEST(no_pair_says_too_much),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
