/* Configurations of changing size: who counts, from when, and that nobody waits for an answer
 * that the new quorum does not need (READ-24), nor for one that was never asked for. Node 1
 * leads puppets unless a test says otherwise. */
#include "raft-fixture.h"

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* n1 leads the given configuration, in a group where n nodes exist; its no-op is committed. */
static void lead(unsigned n, const char *servers)
{
    struct raft_configuration c;

    fx_init(&fx, n, 0, 1);
    fx_configuration(&fx, servers, &c);
    fx_add_config(&fx, 1, 1, &c);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

static raft_index configure(const char *servers)
{
    struct raft_configuration c;

    fx_configuration(&fx, servers, &c);
    return fx_configure(&fx, 1, &c);
}

static void drop_all(void)
{
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

static void ack_round(unsigned from, uint64_t round)
{
    assert_int_equal(fx_puppet_ack_round(&fx, from, 1, fx_term(&fx, 1), round), 0);
}

static void assert_read(uint64_t ctx, enum fx_read_state expected)
{
    assert_int_equal(fx_read_state(&fx, ctx), expected);
}

/* ---- heard ---- */

/* A leader that adds a server has not failed to hear it since the beginning of time: it goes on
 * leading for an election timeout, and only then misses an answer. */
static void raft__added_server_is_not_silent_from_the_start(void **state)
{
    (void)state;
    lead(2, "1");
    fx.now += 100 * FX_ELECTION_US; /* a group of one, for long */
    fx_tick(&fx, 1);
    (void)configure("12"); /* both are needed now */
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_status(&fx, 1).n_voters_heard, 2);
    fx.now += FX_ELECTION_US;
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    fx.now++;
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
}

/* What was known of those that stay is kept: who was silent does not become heard. */
static void raft__change_does_not_refresh_those_that_stay(void **state)
{
    (void)state;
    lead(4, "123");
    fx.now += FX_ELECTION_US; /* n2 and n3 are at the very end of their time */
    fx_tick(&fx, 1);
    (void)configure("1234");
    fx.now += 1;
    fx_tick(&fx, 1); /* n1 and n4 of four */
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
}

/* ---- commit ---- */

static void raft__smaller_quorum_commits_at_once(void **state)
{
    struct raft_entry_id e;

    (void)state;
    lead(4, "1234");
    e = fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 2, 1, e.index);
    assert_true(fx_commit(&fx, 1) < e.index); /* two of four */
    fx.nodes[1].manual_store = true;          /* the entry itself is on no disk yet */
    (void)configure("123");
    assert_int_equal(fx_commit(&fx, 1), e.index); /* two of three, without another message */
}

static void raft__last_voter_commits_alone(void **state)
{
    struct raft_entry_id e;
    raft_index config;

    (void)state;
    lead(2, "12");
    e = fx_propose(&fx, 1);
    assert_true(fx_commit(&fx, 1) < e.index);
    fx.nodes[1].manual_store = true;
    config = configure("1");
    assert_int_equal(fx_commit(&fx, 1), e.index);
    fx_store_all(&fx, 1);
    assert_int_equal(fx_commit(&fx, 1), config);
}

/* The quorum of the entry itself is the one of the configuration it brings. */
static void raft__larger_quorum_is_needed_for_its_own_entry(void **state)
{
    raft_index config;

    (void)state;
    lead(4, "123");
    config = configure("1234");
    fx_puppet_ack(&fx, 2, 1, config);
    assert_true(fx_commit(&fx, 1) < config); /* two of four */
    fx_puppet_ack(&fx, 4, 1, config);
    assert_int_equal(fx_commit(&fx, 1), config);
}

static void raft__removed_server_does_not_count_for_commit(void **state)
{
    struct raft_entry_id e;
    raft_index config;

    (void)state;
    lead(4, "1234");
    config = configure("123");
    fx_puppet_ack(&fx, 2, 1, config);
    assert_int_equal(fx_commit(&fx, 1), config);
    e = fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 4, 1, e.index);
    assert_true(fx_commit(&fx, 1) < e.index);
    fx_puppet_ack(&fx, 3, 1, e.index);
    assert_int_equal(fx_commit(&fx, 1), e.index);
}

/* ---- rounds ---- */

static void raft__smaller_quorum_confirms_at_once(void **state)
{
    uint64_t a;

    (void)state;
    lead(4, "1234");
    a = fx_read(&fx, 1, 0);
    ack_round(2, fx_round_sent(&fx, 1, 2));
    assert_read(a, FX_READ_PENDING); /* two of four */
    (void)configure("123");
    assert_read(a, FX_READ_DONE);
}

/* Nobody is left who could acknowledge the round: the read would wait for ever. */
static void raft__last_voter_confirms_alone(void **state)
{
    uint64_t a;

    (void)state;
    lead(2, "12");
    a = fx_read(&fx, 1, 0);
    assert_read(a, FX_READ_PENDING);
    (void)configure("1");
    assert_read(a, FX_READ_DONE);
}

/* The open round is handed to the added voter in the flush of the change: it is needed for it
 * now. */
static void raft__added_voter_gets_the_open_round_at_once(void **state)
{
    uint64_t round;
    uint64_t a;

    (void)state;
    lead(4, "123");
    a = fx_read(&fx, 1, 0);
    round = fx_round_sent(&fx, 1, 2);
    drop_all();
    (void)configure("1234");
    assert_true(fx_round_sent(&fx, 1, 4) >= round);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_HEARTBEAT), 0); /* has it already */
    ack_round(2, round);
    assert_read(a, FX_READ_PENDING); /* two of four */
    ack_round(4, round);
    assert_read(a, FX_READ_DONE);
}

static void raft__promoted_learner_gets_the_open_round_at_once(void **state)
{
    uint64_t round;
    uint64_t a;

    (void)state;
    lead(4, "1234l");
    a = fx_read(&fx, 1, 0);
    round = fx_round_sent(&fx, 1, 2);
    assert_int_equal(fx_round_sent(&fx, 1, 4), 0); /* rounds are for voters */
    (void)configure("1234");
    assert_true(fx_round_sent(&fx, 1, 4) >= round);
    ack_round(4, round);
    ack_round(3, round);
    assert_read(a, FX_READ_DONE);
}

static void raft__removed_server_does_not_count_for_rounds(void **state)
{
    uint64_t round;
    uint64_t a;

    (void)state;
    lead(4, "1234");
    a = fx_read(&fx, 1, 0);
    round = fx_round_sent(&fx, 1, 2);
    ack_round(4, round);
    (void)configure("123");
    assert_read(a, FX_READ_PENDING); /* the acknowledgement of n4 went with n4 */
    ack_round(4, round);
    assert_read(a, FX_READ_PENDING);
    ack_round(2, round);
    assert_read(a, FX_READ_DONE);
}

/* A learner's acknowledgements are kept and count from the moment it votes; a voter's stop
 * counting when it becomes a learner. */
static void raft__role_decides_at_the_moment_of_use(void **state)
{
    uint64_t a;

    (void)state;
    lead(4, "1234l");
    a = fx_read(&fx, 1, 0);
    ack_round(4, fx_round_sent(&fx, 1, 2));
    assert_read(a, FX_READ_PENDING);
    (void)configure("12l34"); /* n4 for n2: two of three */
    assert_read(a, FX_READ_DONE);
    a = fx_read(&fx, 1, 0);
    ack_round(2, fx_round_sent(&fx, 1, 3));
    assert_read(a, FX_READ_PENDING);
}

/* ---- votes ---- */

/* The quorum is that of the newest configuration in the log, wherever this node stands in it. */
static void raft__votes_are_counted_by_the_newest_configuration(void **state)
{
    static const char *const servers[] = {"1", "12", "123", "1234", "12345", "123456", "1234567"};
    static const unsigned needed[] = {1, 2, 2, 3, 3, 4, 4};

    (void)state;
    for (unsigned k = 0; k < 7; k++) {
        struct raft_configuration c;

        fx_init(&fx, 7, 0, k + 1);
        fx_configuration(&fx, servers[k], &c);
        fx_add_config(&fx, 1, 1, &c);
        fx_start(&fx, 1);
        assert_int_equal(fx_status(&fx, 1).n_voters, k + 1);
        fx_tick_deadline(&fx, 1);
        for (unsigned j = 7; fx_role(&fx, 1) == RAFT_PRE_CANDIDATE; j--) {
            struct raft_msg m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, j, 1, 2);

            assert_true(j >= 2 && j > k + 2 - needed[k]); /* more grants than are needed */
            fx_inject_ok(&fx, &m); /* of nobody, as long as j is not in the configuration */
        }
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* ---- names that come back ---- */

/* n1, n2 and a server called "n3" under the id of node i: 3 is the founder, 4 the one that came
 * back under the name with an empty disk. */
static void configuration_with_n3_of(unsigned i, struct raft_configuration *ret_c)
{
    fx_configuration(&fx, "12", ret_c);
    assert_int_equal(raft_configuration_add(ret_c, fx_id(&fx, i), "n3", RAFT_VOTER, "127.0.0.1:1",
                                            "127.0.0.1:2"),
                     0);
}

static void lead_with_founder_n3(void)
{
    lead(4, "123");
}

/* The new one holds nothing: it must not count for what the dead one had acknowledged, and is
 * sent the log from where it says (MEMBER-5). In one entry that exchanges the two, and over two
 * entries. */
static void raft__returned_name_inherits_no_match_index(void **state)
{
    (void)state;
    for (unsigned exchange = 0; exchange < 2; exchange++) {
        struct raft_configuration c;
        struct raft_status s;
        struct raft_entry_id e;

        lead_with_founder_n3();
        e = fx_propose(&fx, 1);
        fx.nodes[1].manual_store = true;
        fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1)); /* the dead one had everything */
        (void)fx_propose(&fx, 1);
        fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1));
        if (exchange == 0)
            (void)configure("12");
        configuration_with_n3_of(4, &c);
        (void)fx_configure(&fx, 1, &c);
        s = fx_status(&fx, 1);
        assert_null(fx_peer(&fx, &s, 3));
        assert_int_equal(fx_peer(&fx, &s, 4)->match_index, 0);
        e.index = fx_last(&fx, 1);
        fx_store_all(&fx, 1);
        assert_true(fx_commit(&fx, 1) < e.index); /* n1 alone of three */
        fx_puppet_ack(&fx, 3, 1, e.index);        /* the dead one's answer arrives late */
        assert_true(fx_commit(&fx, 1) < e.index);
        fx_puppet_ack(&fx, 4, 1, e.index);
        assert_int_equal(fx_commit(&fx, 1), e.index);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* Its refusals are taken, not thrown away as late: it catches up. */
static void raft__returned_name_is_sent_the_log_from_its_start(void **state)
{
    struct raft_configuration c;
    struct raft_msg no;

    (void)state;
    lead_with_founder_n3();
    fx_puppet_ack(&fx, 3, 1, fx_propose(&fx, 1).index);
    configuration_with_n3_of(4, &c);
    drop_all();
    (void)fx_configure(&fx, 1, &c);
    no = fx_make(&fx, RAFT_MSG_APPEND_RESP, 4, 1, fx_term(&fx, 1));
    no.index = fx_find(&fx, 1, 4, RAFT_MSG_APPEND)->m.prev.index;
    no.reject = true;
    no.hint.index = 2; /* it holds the first entry alone */
    drop_all();
    fx_inject_ok(&fx, &no);
    assert_int_equal(fx_find(&fx, 1, 4, RAFT_MSG_APPEND)->m.prev.index, 1);
}

static void raft__returned_name_inherits_no_acknowledged_round(void **state)
{
    struct raft_configuration c;
    uint64_t round;
    uint64_t a;

    (void)state;
    lead(5, "1235");
    a = fx_read(&fx, 1, 0);
    round = fx_round_sent(&fx, 1, 2);
    ack_round(3, round);
    assert_read(a, FX_READ_PENDING); /* two of four */
    fx_configuration(&fx, "12", &c);
    assert_int_equal(
        raft_configuration_add(&c, fx_id(&fx, 4), "n3", RAFT_VOTER, "127.0.0.1:1", "127.0.0.1:2"),
        0);
    (void)fx_configure(&fx, 1, &c); /* n1, n2 and the one that came back */
    assert_read(a, FX_READ_PENDING);
    ack_round(3, round);
    assert_read(a, FX_READ_PENDING);
    assert_true(fx_round_sent(&fx, 1, 4) >= round); /* it was told the open round */
    ack_round(4, round);
    assert_read(a, FX_READ_DONE);
}

/* A vote that its predecessor gave in this term is not its own. */
static void raft__returned_name_inherits_no_vote(void **state)
{
    struct raft_configuration c;
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 5, 0, 1);
    configuration_with_n3_of(4, &c);
    fx_add_config(&fx, 1, 1, &c);
    fx_start(&fx, 1);
    /* As voter: who had the vote of the dead one's term is not the new one. */
    m = fx_make(&fx, RAFT_MSG_VOTE, 3, 1, 5);
    m.prev = (struct raft_entry_id){1, 9};
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
    m = fx_make(&fx, RAFT_MSG_VOTE, 4, 1, 5);
    m.prev = (struct raft_entry_id){1, 9};
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 1, 4, RAFT_MSG_VOTE_RESP)->reject);
    /* As candidate: the dead one's late grant is nobody's. */
    drop_all();
    fx_tick_deadline(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 3, 1, 6);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 4, 1, 6);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 6);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
}

/* ---- the whole ---- */

static void change(const char *servers)
{
    unsigned leader = fx_leader(&fx);
    struct raft_configuration c;
    raft_index index;

    assert_true(leader != 0);
    fx_configuration(&fx, servers, &c);
    index = fx_configure(&fx, leader, &c);
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, fx_has_leader, NULL));
    fx_run(&fx, 2 * FX_ELECTION_US);
    assert_true(fx_commit(&fx, fx_leader(&fx)) >= index);
}

/* A group that grows from one to five and shrinks again, five times over, with writes and reads
 * at each size; the fixture compares every commit with the disks of the voters and every read
 * with all that was committed before it. */
static void raft__group_grows_and_shrinks(void **state)
{
    static const char *const steps[] = {"12l",   "12",   "123l", "123", "1234",
                                        "12345", "1234", "124",  "12",  "1"};
    struct raft_configuration c;

    (void)state;
    fx_init(&fx, 5, 0, 3);
    fx_configuration(&fx, "1", &c);
    for (unsigned i = 1; i <= 5; i++)
        fx_add_config(&fx, i, 1, &c);
    fx_start_all(&fx);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_has_leader, NULL));
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
            uint64_t a = fx_read(&fx, fx_leader(&fx), 0);
            uint64_t b;

            (void)fx_propose(&fx, fx_leader(&fx));
            change(steps[k]);
            b = fx_read(&fx, fx_leader(&fx), 0);
            fx_run(&fx, FX_ELECTION_US);
            assert_read(a, FX_READ_DONE);
            assert_read(b, FX_READ_DONE);
            assert_int_equal(fx_leader(&fx), 1); /* no change deposed it */
        }
    }
    assert_int_equal(fx_term(&fx, 1), 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft__##name, teardown)
        TEST(added_server_is_not_silent_from_the_start),
        TEST(change_does_not_refresh_those_that_stay),
        TEST(smaller_quorum_commits_at_once),
        TEST(last_voter_commits_alone),
        TEST(larger_quorum_is_needed_for_its_own_entry),
        TEST(removed_server_does_not_count_for_commit),
        TEST(smaller_quorum_confirms_at_once),
        TEST(last_voter_confirms_alone),
        TEST(added_voter_gets_the_open_round_at_once),
        TEST(promoted_learner_gets_the_open_round_at_once),
        TEST(removed_server_does_not_count_for_rounds),
        TEST(role_decides_at_the_moment_of_use),
        TEST(votes_are_counted_by_the_newest_configuration),
        TEST(returned_name_inherits_no_match_index),
        TEST(returned_name_is_sent_the_log_from_its_start),
        TEST(returned_name_inherits_no_acknowledged_round),
        TEST(returned_name_inherits_no_vote),
        TEST(group_grows_and_shrinks),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
