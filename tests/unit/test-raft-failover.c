/* Nobody listens where the leader was: who is told so votes, and asks for votes, before an election
 * timeout is over; and nothing else is as it was before (raft/early.c). */
#include "raft-fixture.h"

#include "base/limits.h"

#include "base/banned.h"

#define TIMEOUT_US 500000u
#define LEASE_US   200000u

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* n1 leads, and all know it. */
static void begin(unsigned n_voters, unsigned n_learners, uint64_t seed, uint64_t lease_us)
{
    fx_init(&fx, n_voters, n_learners, seed);
    for (unsigned i = 1; i <= fx.n; i++)
        fx.nodes[i].conf.election_timeout_us = TIMEOUT_US;
    if (lease_us != 0)
        fx_leases(&fx, lease_us);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_int_equal(fx_leader(&fx), 1);
}

static void dies(unsigned i)
{
    fx_crash(&fx, i, 0);
    for (unsigned j = 1; j <= fx.n; j++)
        if (fx.nodes[j].state == FX_UP)
            fx_link(&fx, j, i, false);
    (void)fx_drop(&fx, FX_ANY, i, FX_ANY);
    (void)fx_drop(&fx, i, FX_ANY, FX_ANY);
}

static void tell(unsigned i, unsigned gone)
{
    raft_gone(fx_raft(&fx, i), fx_id(&fx, gone), fx_now(&fx, i));
    raft_check(fx_raft(&fx, i));
    fx_turn(&fx, i);
}

static uint64_t due_in_us(unsigned i)
{
    return raft_tick_due_us(fx_raft(&fx, i)) - fx_now(&fx, i);
}

static uint64_t n_campaigns(unsigned i)
{
    return fx_status(&fx, i).early_campaigns;
}

static raft_node_id leader_of(unsigned i)
{
    return raft_get_leader(fx_raft(&fx, i));
}

static struct raft_msg make_pre_vote(unsigned from, unsigned to)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_PRE_VOTE, from, to, fx_term(&fx, to) + 1);

    m.prev.index = fx_last(&fx, to);
    m.prev.term = fx_term_at(&fx, to, m.prev.index);
    return m;
}

static bool grants(unsigned i, unsigned from)
{
    const struct raft_msg m = make_pre_vote(from, i);
    struct fx_msg answer;
    bool yes;

    fx_inject_ok(&fx, &m);
    answer = fx_take(&fx, i, from, RAFT_MSG_PRE_VOTE_RESP);
    yes = !answer.m.reject;
    fx_msg_done(&answer);
    return yes;
}

/* ---- what it does ---- */

/* FAILOVER-3: within 20 ms, at random. */
static void raft__gone_leader_is_replaced_soon(void **state)
{
    uint64_t least_us = UINT64_MAX;
    uint64_t most_us = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(3, 0, seed, 0);
        dies(1);
        tell(2, 1);
        assert_true(due_in_us(2) <= RAFT_EARLY_US);
        least_us = due_in_us(2) < least_us ? due_in_us(2) : least_us;
        most_us = due_in_us(2) > most_us ? due_in_us(2) : most_us;
        tell(3, 1);
        assert_int_equal(n_campaigns(2), 1);
        assert_true(fx_run_until(&fx, TIMEOUT_US / 2, fx_has_leader, NULL));
        assert_int_not_equal(fx_leader(&fx), 1);
        fx_done(&fx);
    }
    assert_true(least_us < RAFT_EARLY_US / 10);
    assert_true(most_us > RAFT_EARLY_US - RAFT_EARLY_US / 10);
    fx_init(&fx, 1, 0, 1);
}

/* FAILOVER-2: it is heard no more, and named to nobody. */
static void raft__gone_leader_is_not_heard(void **state)
{
    (void)state;
    begin(3, 0, 1, 0);
    dies(1);
    assert_false(grants(3, 2));
    assert_true(leader_of(3) == fx_id(&fx, 1));
    tell(3, 1);
    assert_true(leader_of(3) == 0);
    assert_true(grants(3, 2));
    assert_false(grants(2, 3)); /* who was not told has not changed its mind */
}

/* FAILOVER-1: of anybody else it means nothing. */
static void raft__gone_follower_is_nobodys_business(void **state)
{
    (void)state;
    begin(3, 0, 1, 0);
    dies(3);
    tell(2, 3);
    tell(1, 3);
    tell(2, 2);
    assert_true(leader_of(2) == fx_id(&fx, 1));
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(n_campaigns(2) + n_campaigns(1), 0);
    assert_false(grants(2, 3));
}

/* FAILOVER-1: nor does it of the leader of a term before. */
static void raft__gone_leader_of_before_is_nobody(void **state)
{
    (void)state;
    begin(3, 0, 1, 0);
    fx_elect(&fx, 2);
    fx_run(&fx, FX_HEARTBEAT_US);
    dies(1);
    tell(3, 1);
    assert_true(leader_of(3) == fx_id(&fx, 2));
    assert_int_equal(n_campaigns(3), 0);
    assert_false(grants(3, 1));
}

/* FAILOVER-2, FAILOVER-3: a node whose disk is full leaves it to the others, and stands in nobody's
 * way. */
static void raft__gone_leader_and_a_node_that_is_parked(void **state)
{
    const enum raft_fitness worse[] = {RAFT_PARKED, RAFT_UNFIT};

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        begin(3, 0, 1, 0);
        raft_set_fitness(fx_raft(&fx, 3), worse[k], fx_now(&fx, 3));
        dies(1);
        tell(3, 1);
        assert_int_equal(n_campaigns(3), 0);
        assert_true(due_in_us(3) > TIMEOUT_US);
        tell(2, 1);
        assert_true(fx_run_until(&fx, TIMEOUT_US / 2, fx_has_leader, NULL));
        assert_int_equal(fx_leader(&fx), 2);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* FAILOVER-3: nor does a learner campaign. */
static void raft__gone_leader_and_a_learner(void **state)
{
    (void)state;
    begin(3, 1, 1, 0);
    dies(1);
    tell(4, 1);
    assert_int_equal(n_campaigns(4), 0);
    assert_true(grants(4, 2)); /* it may be a voter and not know it (VOTE-6) */
}

/* FAILOVER-3: once in a second, of one leader. */
static void raft__gone_is_believed_once_in_a_second(void **state)
{
    struct raft_msg m;

    (void)state;
    begin(3, 0, 1, 0);
    for (unsigned k = 0; k < 3; k++) {
        tell(2, 1);
        assert_int_equal(n_campaigns(2), 1);
        assert_true(leader_of(2) == (k == 0 ? 0 : fx_id(&fx, 1)));
        m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, fx_term(&fx, 2));
        m.round = 1;
        fx_inject_ok(&fx, &m);
    }
    fx.now += RAFT_EARLY_APART_US;
    m.round = 2;
    fx_inject_ok(&fx, &m);
    tell(2, 1);
    assert_int_equal(n_campaigns(2), 2);
    assert_true(leader_of(2) == 0);
}

/* FAILOVER-2: it was wrong. The leader is followed as before, and has all of an election timeout. */
static void raft__gone_leader_that_is_heard_again(void **state)
{
    struct raft_msg m;

    (void)state;
    begin(3, 0, 1, 0);
    tell(2, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, fx_term(&fx, 2));
    m.round = 1;
    fx_inject_ok(&fx, &m);
    assert_true(leader_of(2) == fx_id(&fx, 1));
    assert_true(due_in_us(2) >= TIMEOUT_US);
    assert_false(grants(2, 3));
    fx_run(&fx, 4 * TIMEOUT_US);
    assert_int_equal(fx_leader(&fx), 1);
    assert_int_equal(fx_term(&fx, 2), fx_term(&fx, 1));
}

/* Told a lie, all by itself: the others hear the leader, refuse, and nothing has changed. */
static void raft__gone_said_to_one_alone_changes_nothing(void **state)
{
    const raft_term term = 2;

    (void)state;
    begin(3, 0, 1, 0);
    assert_int_equal(fx_term(&fx, 1), term);
    fx.cut[1][2] = true; /* until its tries are over */
    tell(2, 1);
    fx_run(&fx, TIMEOUT_US - FX_HEARTBEAT_US);
    fx.cut[1][2] = false;
    fx_run(&fx, TIMEOUT_US);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(fx_term(&fx, i), term);
    assert_int_equal(fx_leader(&fx), 1);
}

static void raft__gone_may_be_switched_off(void **state)
{
    (void)state;
    begin(3, 0, 1, 0);
    raft_set_fast_failover(fx_raft(&fx, 2), false);
    tell(2, 1);
    assert_true(leader_of(2) == fx_id(&fx, 1));
    assert_int_equal(n_campaigns(2), 0);
    assert_true(due_in_us(2) > RAFT_EARLY_US);
    raft_set_fast_failover(fx_raft(&fx, 2), true);
    tell(2, 1);
    assert_int_equal(n_campaigns(2), 1);
    raft_set_fast_failover(fx_raft(&fx, 2), false); /* it goes on with its timer, and no further */
    assert_false(fx_status(&fx, 2).leader_id != 0);
}

/* ---- what came to nothing is tried again ---- */

/* FAILOVER-3: the others notice later. */
static void raft__gone_refused_pre_vote_is_repeated_soon(void **state)
{
    (void)state;
    begin(3, 0, 3, 0);
    dies(1);
    tell(2, 1);
    fx_tick_deadline(&fx, 2);
    assert_int_equal(fx_role(&fx, 2), RAFT_PRE_CANDIDATE);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 2), RAFT_FOLLOWER); /* with the leader it would be a quorum */
    assert_true(due_in_us(2) >= RAFT_EARLY_AGAIN_US);
    assert_true(due_in_us(2) <= 3 * RAFT_EARLY_AGAIN_US);
    tell(3, 1);
    fx_tick_deadline(&fx, 2);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 2), RAFT_LEADER);
    assert_int_equal(n_campaigns(2), 1);
}

/* FAILOVER-3: some times, longer each time, and then as ever. */
static void raft__gone_is_not_tried_for_ever(void **state)
{
    struct raft_msg m;
    unsigned n = 0;

    (void)state;
    begin(3, 0, 4, 0);
    dies(1);
    tell(2, 1);
    do {
        m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 3, fx_term(&fx, 3)); /* to it alone */
        m.round = n + 1;
        fx_inject_ok(&fx, &m);
        fx_tick_deadline(&fx, 2);
        fx_deliver_all(&fx);
        n++;
        assert_true(n <= RAFT_EARLY_TRIES + 1);
    } while (due_in_us(2) < TIMEOUT_US);
    assert_int_equal(fx_term(&fx, 2), fx_term(&fx, 3));
    assert_true(n >= RAFT_EARLY_TRIES - 1);
    assert_int_equal(n_campaigns(2), 1);
}

/* FAILOVER-3: who has given its pre-vote lets the other one go ahead. */
static void raft__gone_gives_way_to_who_was_first(void **state)
{
    (void)state;
    begin(3, 0, 5, 0);
    dies(1);
    tell(2, 1);
    tell(3, 1);
    fx_tick_deadline(&fx, 2);
    assert_true(fx_deliver(&fx, 2, 3, RAFT_MSG_PRE_VOTE));
    assert_true(due_in_us(3) >= 2 * RAFT_EARLY_US);
    assert_true(due_in_us(3) <= 3 * RAFT_EARLY_US);
}

/* FAILOVER-3: both begin in the same moment; the votes are split, and they part. */
static void raft__gone_split_vote_is_over_soon(void **state)
{
    uint64_t longest_us = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t begun_us;

        begin(3, 0, seed, 0);
        dies(1);
        tell(2, 1);
        tell(3, 1);
        fx.now += RAFT_EARLY_US;
        begun_us = fx.now;
        fx_tick(&fx, 2);
        fx_tick(&fx, 3);
        assert_int_equal(fx_role(&fx, 2), RAFT_PRE_CANDIDATE);
        assert_int_equal(fx_role(&fx, 3), RAFT_PRE_CANDIDATE);
        fx_deliver_all(&fx);
        assert_true(fx_run_until(&fx, TIMEOUT_US / 2, fx_has_leader, NULL));
        longest_us = fx.now - begun_us > longest_us ? fx.now - begun_us : longest_us;
        fx_done(&fx);
    }
    assert_true(longest_us < TIMEOUT_US / 4);
    fx_init(&fx, 1, 0, 1);
}

/* ---- what it does not do ---- */

/* FAILOVER-4, LEASE-7: who leads waits for what was promised, however soon it was elected. */
static void raft__gone_leader_has_its_lease(void **state)
{
    raft_index before;
    uint64_t died_us;

    (void)state;
    begin(3, 0, 1, LEASE_US);
    assert_true(fx_lease(&fx, 1));
    died_us = fx.now;
    dies(1);
    tell(2, 1);
    tell(3, 1);
    fx_tick_deadline(&fx, 2);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 2), RAFT_LEADER);
    before = fx_commit(&fx, 2);
    assert_true(raft_gate_left_us(fx_raft(&fx, 2)) > LEASE_US / 2);
    fx_run(&fx, LEASE_US / 2);
    assert_int_equal(fx_commit(&fx, 2), before);
    assert_true(fx_run_until(&fx, 2 * LEASE_US, fx_has_leader, NULL));
    assert_true(fx.now - died_us >= LEASE_US - FX_HEARTBEAT_US);
}

/* FAILOVER-4: the vote still goes by the log. */
static void raft__gone_lets_nobody_lead_who_lacks_entries(void **state)
{
    (void)state;
    begin(3, 0, 1, 0);
    fx.cut[1][3] = true;
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    dies(1);
    fx.cut[1][3] = false;
    tell(3, 1);
    tell(2, 1);
    fx_tick_deadline(&fx, 3);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 3), RAFT_FOLLOWER);
    assert_true(fx_run_until(&fx, TIMEOUT_US / 2, fx_has_leader, NULL));
    assert_int_equal(fx_leader(&fx), 2);
}

int main(void)
{
#define RAFT_TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        RAFT_TEST(raft__gone_leader_is_replaced_soon),
        RAFT_TEST(raft__gone_leader_is_not_heard),
        RAFT_TEST(raft__gone_follower_is_nobodys_business),
        RAFT_TEST(raft__gone_leader_of_before_is_nobody),
        RAFT_TEST(raft__gone_leader_and_a_node_that_is_parked),
        RAFT_TEST(raft__gone_leader_and_a_learner),
        RAFT_TEST(raft__gone_is_believed_once_in_a_second),
        RAFT_TEST(raft__gone_leader_that_is_heard_again),
        RAFT_TEST(raft__gone_said_to_one_alone_changes_nothing),
        RAFT_TEST(raft__gone_may_be_switched_off),
        RAFT_TEST(raft__gone_refused_pre_vote_is_repeated_soon),
        RAFT_TEST(raft__gone_is_not_tried_for_ever),
        RAFT_TEST(raft__gone_gives_way_to_who_was_first),
        RAFT_TEST(raft__gone_split_vote_is_over_soon),
        RAFT_TEST(raft__gone_leader_has_its_lease),
        RAFT_TEST(raft__gone_lets_nobody_lead_who_lacks_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
