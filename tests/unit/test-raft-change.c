/* Changes of the members by raft_configure(): who may make which, and when (MEMBER-1, MEMBER-2,
 * MEMBER-3, MEMBER-8, MEMBER-9), the three published counterexamples to changes without these rules,
 * and thousands of random histories in which nodes come and go one at a time. */
#include "raft-fixture.h"

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

static int try_force(unsigned i, const char *servers, bool force)
{
    struct raft_configuration c;

    fx_configuration(&fx, servers, &c);
    return fx_try_configure(&fx, i, &c, force);
}

static int try(unsigned i, const char *servers)
{
    return try_force(i, servers, false);
}

/* n nodes, the named ones found the group and run, with the others. */
static void found(unsigned n, const char *servers)
{
    fx_init(&fx, n, 0, 1);
    fx.changes_by_rule = true;
    fx_found(&fx, servers);
    fx_start_all(&fx);
}

static void lead(unsigned n, const char *servers)
{
    found(n, servers);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
}

static void assert_in_force(unsigned i, const char *servers)
{
    struct raft_configuration c;

    fx_configuration(&fx, servers, &c);
    assert_true(raft_configuration_equal(raft_get_configuration(fx_raft(&fx, i)), &c));
}

/* ---- who may, and when ---- */

static void raft__change_is_in_force_at_once_and_committed_by_its_own_quorum(void **state)
{
    (void)state;
    lead(4, "123");
    fx_isolate(&fx, 4, true);
    fx_isolate(&fx, 3, true);
    assert_int_equal(try(1, "1234l"), 0);
    assert_in_force(1, "1234l");
    fx_deliver_all(&fx);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1)); /* two of three: a learner has no say */
    fx_heal(&fx);
    fx_run(&fx, 3 * FX_ELECTION_US);
    assert_int_equal(fx_commit(&fx, 4), fx_last(&fx, 1));
    assert_in_force(4, "1234l");
}

/* MEMBER-9 is not asked of who does not lead. */
static void raft__change_is_the_leaders(void **state)
{
    (void)state;
    lead(4, "123");
    assert_int_equal(try(2, "1234"), RAFT_E_NOT_LEADER);
    assert_int_equal(try(4, "1234"), RAFT_E_NOT_LEADER);
}

/* MEMBER-1: an entry of its own term. */
static void raft__change_waits_for_the_noop(void **state)
{
    (void)state;
    found(4, "123");
    for (unsigned k = 0; k < 50 && fx_role(&fx, 1) != RAFT_LEADER; k++) {
        fx_tick_deadline(&fx, 1);
        for (unsigned i = 0; i < 4; i++) {
            (void)fx_deliver_each(&fx, FX_ANY, FX_ANY, RAFT_MSG_PRE_VOTE);
            (void)fx_deliver_each(&fx, FX_ANY, FX_ANY, RAFT_MSG_PRE_VOTE_RESP);
            (void)fx_deliver_each(&fx, FX_ANY, FX_ANY, RAFT_MSG_VOTE);
            (void)fx_deliver_each(&fx, FX_ANY, FX_ANY, RAFT_MSG_VOTE_RESP);
        }
    }
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(try(1, "1234"), RAFT_E_GATED);
    assert_int_equal(try_force(1, "1234", true), RAFT_E_GATED);
    fx_deliver_all(&fx);
    assert_int_equal(try(1, "1234"), 0);
}

/* An unfit leader serves nothing, changes neither (FIT-4). */
static void raft__change_is_refused_by_an_unfit_leader(void **state)
{
    (void)state;
    lead(4, "123");
    fx_isolate(&fx, 1, true); /* nobody takes over */
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    fx_turn(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(try(1, "1234"), RAFT_E_GATED);
}

static void raft__change_waits_for_the_one_before(void **state)
{
    (void)state;
    lead(5, "123");
    fx_isolate(&fx, 1, true);
    assert_int_equal(try(1, "1234"), 0);
    assert_int_equal(try(1, "12345"), RAFT_E_CHANGING);
    assert_int_equal(try_force(1, "123", true), RAFT_E_CHANGING); /* back is a change, too */
    fx_heal(&fx);
    fx_run(&fx, 2 * FX_ELECTION_US);
    assert_int_equal(try(fx_leader(&fx), "12345"), 0);
}

static void raft__change_waits_for_a_transfer(void **state)
{
    (void)state;
    lead(4, "123");
    fx_isolate(&fx, 1, true);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    assert_int_equal(try(1, "1234"), RAFT_E_BUSY);
}

/* MEMBER-3. */
static void raft__change_of_another_configuration_is_refused(void **state)
{
    struct raft_configuration c;
    struct raft_entry_id id;
    raft_index first;

    (void)state;
    lead(4, "123");
    first = raft_get_configuration_index(fx_raft(&fx, 1));
    assert_int_equal(first, 1);
    assert_int_equal(try(1, "1234"), 0);
    fx_deliver_all(&fx);
    fx_configuration(&fx, "12", &c); /* made from "123" it would be one step */
    assert_int_equal(raft_configure(fx_raft(&fx, 1), &c, first, true, &id), RAFT_E_BASED);
    fx_configuration(&fx, "124", &c);
    assert_int_equal(raft_configure(fx_raft(&fx, 1), &c, first + 1000, true, &id), RAFT_E_BASED);
    assert_in_force(1, "1234");
    assert_int_equal(try(1, "124"), 0);
}

/* MEMBER-2: every pair of configurations of four nodes, each a voter, a learner or not there. */
static void raft__change_is_one_step(void **state)
{
    (void)state;
    for (unsigned from = 0; from < 81; from++) {
        for (unsigned to = 0; to < 81; to++) {
            const unsigned digits[2][4] = {{from % 3, from / 3 % 3, from / 9 % 3, from / 27},
                                           {to % 3, to / 3 % 3, to / 9 % 3, to / 27}};
            char text[2][12];
            unsigned voters = 0;
            unsigned come = 0;
            unsigned go = 0;
            int expected;

            if (digits[0][0] != 1) /* n1 leads */
                continue;
            for (unsigned k = 0; k < 2; k++) {
                char *p = text[k];

                for (unsigned j = 0; j < 4; j++) {
                    if (digits[k][j] != 0)
                        *p++ = (char)('1' + j);
                    if (digits[k][j] == 2)
                        *p++ = 'l';
                }
                *p = '\0';
            }
            for (unsigned j = 0; j < 4; j++) {
                voters += (digits[0][j] == 1) != (digits[1][j] == 1);
                come += digits[0][j] == 0 && digits[1][j] != 0;
                go += digits[0][j] != 0 && digits[1][j] == 0;
            }
            expected = voters > 1 || come > 1 || go > 1 ? RAFT_E_STEP
                       : digits[1][0] != 1              ? RAFT_E_SELF
                                                        : 0;
            fx_init(&fx, 4, 0, 1);
            fx_found(&fx, text[0]);
            fx_start(&fx, 1);
            fx_puppets_elect(&fx, 1);
            for (unsigned j = 2; j <= 4; j++)
                if (fx_peer(&fx, &(struct raft_status){0}, j) == NULL && digits[0][j - 1] != 0)
                    fx_puppet_ack(&fx, j, 1, fx_noop(&fx, 1));
            assert_int_equal(try_force(1, text[1], true), expected);
            fx_done(&fx);
        }
    }
    fx_init(&fx, 1, 0, 1);
}

/* MEMBER-16, MEMBER-17: an id that was drawn stays, a version does not fall. */
static void raft__change_keeps_the_id_of_the_cluster_and_its_version(void **state)
{
    struct raft_configuration c;

    (void)state;
    lead(3, "123");
    c = *raft_get_configuration(fx_raft(&fx, 1));
    memset(c.cluster_id, 7, sizeof(c.cluster_id));
    c.version = 2;
    assert_int_equal(fx_try_configure(&fx, 1, &c, false), 0);
    fx_deliver_all(&fx);
    c.cluster_id[15]++;
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), RAFT_E_STEP);
    c.cluster_id[15]--;
    c.version = 1;
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), RAFT_E_STEP);
    c.version = 3;
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), 0);
}

/* What the others could not read would end this node, and each that leads after it and is asked
 * again. */
static void raft__change_that_nobody_could_read_is_refused(void **state)
{
    struct raft_configuration c;

    (void)state;
    lead(3, "123");
    c = *raft_get_configuration(fx_raft(&fx, 1));
    memcpy(c.servers[1].peer_addr, "a b:1", 6);
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), RAFT_E_INVALID);
    memcpy(c.servers[1].peer_addr, "\xc3\xa4:1", 5);
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), RAFT_E_INVALID);
    memcpy(c.servers[1].peer_addr, "a:1", 4);
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), 0);
}

/* MEMBER-5. */
static void raft__removed_id_does_not_come_back(void **state)
{
    struct raft_configuration c;

    (void)state;
    lead(3, "123");
    c = *raft_get_configuration(fx_raft(&fx, 1));
    assert_true(raft_configuration_remove(&c, fx_id(&fx, 3), fx_last(&fx, 1) + 1));
    assert_int_equal(fx_try_configure(&fx, 1, &c, false), 0);
    fx_deliver_all(&fx);
    c = *raft_get_configuration(fx_raft(&fx, 1));
    assert_int_equal(raft_configuration_add(&c, fx_id(&fx, 3), "n3", RAFT_LEARNER, "a:1", "a:2"),
                     0);
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), RAFT_E_INVALID);
    (void)raft_configuration_remove(&c, fx_id(&fx, 3), 0);
    fx.hold_turns = true; /* the fixture knows no such node */
    assert_int_equal(
        raft_configuration_add(&c, raft_member_id("n3", 9), "n3", RAFT_LEARNER, "a:1", "a:2"), 0);
    assert_int_equal(fx_try_configure(&fx, 1, &c, true), 0);
}

/* MEMBER-9. */
static void raft__leader_does_not_leave(void **state)
{
    (void)state;
    lead(3, "123");
    assert_int_equal(try_force(1, "23", true), RAFT_E_SELF);
    assert_int_equal(try_force(1, "1l23", true), RAFT_E_SELF);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_run(&fx, FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 2), RAFT_LEADER);
    assert_int_equal(try(2, "23"), 0);
}

/* ---- MEMBER-8 ---- */

static void raft__change_that_leaves_no_quorum_is_refused(void **state)
{
    (void)state;
    lead(3, "123");
    fx_isolate(&fx, 3, true);
    fx_run(&fx, 2 * FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(try(1, "13"), RAFT_E_QUORUM);
    assert_int_equal(try(1, "12l3"), RAFT_E_QUORUM);
    assert_int_equal(try(1, "12"), 0);
    fx_deliver_all(&fx);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1));
}

static void raft__change_that_leaves_no_quorum_can_be_forced(void **state)
{
    (void)state;
    lead(3, "123");
    fx_isolate(&fx, 3, true);
    fx_run(&fx, 2 * FX_ELECTION_US);
    assert_int_equal(try_force(1, "13", true), 0);
}

/* A leader is fair to those that it has not heard yet: for an election timeout they are not counted
 * as silent. That says nothing of whether they are there. */
static void raft__whoever_has_not_answered_in_this_term_is_not_heard(void **state)
{
    (void)state;
    lead(3, "123");
    fx_isolate(&fx, 3, true); /* for good */
    fx_run(&fx, 2 * FX_ELECTION_US);
    fx_crash(&fx, 1, 9);
    fx_restart(&fx, 1);
    fx_isolate(&fx, 3, true);
    fx_elect(&fx, 1);
    fx_deliver_all(&fx);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
    assert_int_equal(fx_status(&fx, 1).n_voters_heard, 3);
    assert_int_equal(try(1, "13"), RAFT_E_QUORUM);
    assert_int_equal(try(1, "12"), 0);
}

/* ---- one, two, three, and back ---- */

static void raft__one_two_one(void **state)
{
    (void)state;
    lead(3, "1");
    for (unsigned k = 0; k < 3; k++) {
        unsigned leader = fx_leader(&fx);

        assert_int_equal(try(1, "12l"), 0);
        fx_deliver_all(&fx);
        assert_int_equal(try(1, "12"), 0);
        fx_deliver_all(&fx);
        assert_int_equal(leader, 1);
        fx_run(&fx, 2 * FX_HEARTBEAT_US);
        assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 1));
        /* The second one goes, and is not asked for that. */
        fx_isolate(&fx, 2, true);
        assert_int_equal(try(1, "1"), 0);
        assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1));
        fx_heal(&fx);
        (void)fx_propose(&fx, 1);
        fx_run(&fx, FX_ELECTION_US);
    }
    assert_int_equal(try(1, "12"), RAFT_E_QUORUM); /* nothing is known of it yet */
    assert_int_equal(try(1, "12l"), 0);
    fx_deliver_all(&fx);
    assert_int_equal(try(1, "12"), 0);
    fx_deliver_all(&fx);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_run(&fx, FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 2);
    assert_int_equal(try(2, "2"), 0); /* the first one goes */
    fx_run(&fx, 5 * FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 2);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
}

/* ---- truncation ---- */

/* MEMBER-4: a CONFIG that a new leader does not have ends with its entry, on who appended it and on
 * who took it. */
static void raft__change_that_is_truncated_was_none(void **state)
{
    (void)state;
    lead(5, "123");
    fx_isolate(&fx, 2, true);
    fx_isolate(&fx, 3, true);
    assert_int_equal(try(1, "1234"), 0);
    fx_deliver_all(&fx);
    assert_in_force(4, "1234"); /* two of four */
    assert_true(fx_commit(&fx, 1) < fx_last(&fx, 1));
    fx_isolate(&fx, 1, true);
    fx_isolate(&fx, 4, true);
    fx.cut[2][3] = fx.cut[3][2] = false;
    fx.now += 2 * FX_ELECTION_US;
    fx_elect(&fx, 2);
    fx_deliver_all(&fx);
    assert_true(raft_can_serve(fx_raft(&fx, 2)));
    assert_in_force(2, "123");
    assert_int_equal(try(2, "1235l"), 0); /* nothing is under way here */
    fx_deliver_all(&fx);
    fx_heal(&fx);
    fx_run(&fx, 3 * FX_ELECTION_US);
    assert_in_force(1, "1235l");
    assert_in_force(5, "1235l");
    assert_in_force(4, "1234"); /* a member of nothing: nobody tells it */
    assert_int_equal(try(fx_leader(&fx), "12345l"), 0);
    fx_run(&fx, 3 * FX_ELECTION_US);
    assert_in_force(4, "12345l");
    assert_int_equal(fx_commit(&fx, 4), fx_last(&fx, fx_leader(&fx)));
}

/* ---- learners ---- */

/* etcd#10998: who became a voter and does not know it votes, or nobody is elected. */
static void raft__learner_that_is_a_voter_without_knowing_votes(void **state)
{
    (void)state;
    lead(4, "1234l");
    fx.cut[1][4] = true;
    assert_int_equal(try(1, "1234"), 0);
    fx_deliver_all(&fx);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1)); /* 1, 2 and 3 of four */
    assert_in_force(4, "1234l");
    fx_crash(&fx, 1, 0);
    fx.now += 2 * FX_ELECTION_US;
    fx_elect(&fx, 2); /* with the votes of 3 and 4 */
    fx_deliver_all(&fx);
    assert_in_force(4, "1234");
}

/* Who learns of its promotion only from its log campaigns from then on, and not before. */
static void raft__learner_campaigns_when_it_is_a_voter(void **state)
{
    (void)state;
    lead(2, "12l");
    fx.now += 10 * FX_ELECTION_US;
    fx_tick(&fx, 2);
    assert_int_equal(fx_role(&fx, 2), RAFT_FOLLOWER);
    fx_run(&fx, FX_HEARTBEAT_US);
    assert_int_equal(try(1, "12"), 0);
    fx_deliver_all(&fx);
    fx.now += 2 * FX_ELECTION_US;
    fx_tick(&fx, 2);
    assert_int_equal(fx_role(&fx, 2), RAFT_PRE_CANDIDATE);
}

/* MEMBER-18: the entry that demotes n2 is on n2's disk alone when the leader dies. */
static void raft__demoted_voter_does_not_know_it_before_it_is_committed(void **state)
{
    static const char *const before[] = {"12", "123", "1234"};
    static const char *const after[] = {"12l", "12l3", "12l34"};

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        lead(4, before[k]);
        (void)fx_propose(&fx, 1);
        fx_run(&fx, 2 * FX_HEARTBEAT_US);
        fx.nodes[1].manual_store = true;
        fx_isolate(&fx, 3, true);
        fx_isolate(&fx, 4, true);
        assert_int_equal(try_force(1, after[k], true), 0);
        fx_run(&fx, FX_HEARTBEAT_US / 2);
        assert_in_force(2, before[k]);
        fx_crash(&fx, 1, 0);
        fx.nodes[1].manual_store = false;
        fx_heal(&fx);
        if (k == 0) /* the others can do without it */
            fx_restart(&fx, 1);
        assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, fx_has_leader, NULL));
        assert_in_force(fx_leader(&fx), before[k]);
        fx_done(&fx);
    }
    /* When it is committed it is told. */
    lead(3, "123");
    assert_int_equal(try(1, "12l3"), 0);
    (void)fx_propose(&fx, 1);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_in_force(2, "12l3");
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 1));
}

/* The next leader has the entry, and does not know whether it is committed: n2 is not needed for
 * that, and is told when it is. */
static void raft__next_leader_does_not_tell_the_demoted_one_either(void **state)
{
    (void)state;
    lead(3, "123");
    fx.cut[1][2] = true;
    fx_run(&fx, FX_HEARTBEAT_US);
    assert_int_equal(try(1, "12l3"), 0);
    fx_deliver_all(&fx);
    assert_in_force(3, "12l3");
    assert_in_force(2, "123");
    fx.cut[1][2] = false;
    fx_isolate(&fx, 2, true);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    fx_turn(&fx, 1);
    assert_true(fx_deliver(&fx, 1, 3, RAFT_MSG_TIMEOUT_NOW));
    fx_deliver_each(&fx, 3, 1, RAFT_MSG_VOTE);
    fx_deliver_each(&fx, 1, 3, RAFT_MSG_VOTE_RESP);
    assert_int_equal(fx_role(&fx, 3), RAFT_LEADER);
    fx_isolate(&fx, 2, false);
    fx_run(&fx, 5 * FX_HEARTBEAT_US);
    assert_in_force(2, "12l3");
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 3));
}

/* ---- the three counterexamples (Ongaro, raft-dev, 10 July 2015) ---- */

static void deliver_between(unsigned a, const char *others)
{
    for (unsigned k = 0; k < 200; k++) {
        bool any = false;

        for (const char *s = others; *s != '\0'; s++) {
            any |= fx_deliver(&fx, a, (unsigned)(*s - '0'), FX_ANY);
            any |= fx_deliver(&fx, (unsigned)(*s - '0'), a, FX_ANY);
        }
        if (!any)
            return;
    }
    fail_msg("messages do not come to rest");
}

static void campaign(unsigned i, const char *voters)
{
    fx.now += 3 * FX_ELECTION_US;
    fx_tick(&fx, i); /* it may lead still, by itself */
    for (unsigned k = 0; k < 20 && fx_role(&fx, i) != RAFT_LEADER; k++) {
        fx_tick_deadline(&fx, i);
        for (unsigned j = 0; j < 6; j++) {
            for (const char *s = voters; *s != '\0'; s++) {
                const unsigned v = (unsigned)(*s - '0');

                (void)fx_deliver_each(&fx, i, v, RAFT_MSG_PRE_VOTE);
                (void)fx_deliver_each(&fx, v, i, RAFT_MSG_PRE_VOTE_RESP);
                (void)fx_deliver_each(&fx, i, v, RAFT_MSG_VOTE);
                (void)fx_deliver_each(&fx, v, i, RAFT_MSG_VOTE_RESP);
            }
        }
    }
}

/* n1 leads {1,2,3,4} and appends `first`, which nobody of `after` gets. `second` leads next and
 * would append `change`, which its `helpers` would store: that is a majority of it. Then n1 comes
 * back, with the votes of `voters`: a majority of `first`. The two have no server in common. */
static void counterexample(const char *first, unsigned second, const char *change,
                           const char *helpers, const char *voters)
{
    lead(6, "1234");
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(try(1, first), 0);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    campaign(second, "234");
    assert_int_equal(fx_role(&fx, second), RAFT_LEADER);
    assert_int_equal(try_force(second, change, true), RAFT_E_GATED);
    deliver_between(second, helpers);
    assert_int_equal(try_force(second, change, true), RAFT_E_GATED);
    assert_true(fx_commit(&fx, second) < fx_last(&fx, second));
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    campaign(1, voters);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    fx_run(&fx, 5 * FX_ELECTION_US);
    assert_true(fx_has_leader(&fx, NULL));
    assert_in_force(fx_leader(&fx), first);
    /* And with the no-op of the second one committed the first one is not elected any more. */
    fx_done(&fx);
    lead(6, "1234");
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(try(1, first), 0);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    campaign(second, "234");
    deliver_between(second, "234");
    assert_true(raft_can_serve(fx_raft(&fx, second)));
    assert_int_equal(try_force(second, change, true), 0);
    deliver_between(second, helpers);
    assert_int_equal(fx_commit(&fx, second), fx_last(&fx, second));
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    campaign(1, voters);
    assert_int_not_equal(fx_role(&fx, 1), RAFT_LEADER);
    fx_run(&fx, 20 * FX_ELECTION_US);
    assert_true(fx_has_leader(&fx, NULL));
    assert_in_force(fx_leader(&fx), change);
}

static void raft__counterexample_one_added_one_removed(void **state)
{
    (void)state;
    counterexample("12345", 2, "234", "3", "45");
}

static void raft__counterexample_two_added(void **state)
{
    (void)state;
    counterexample("12345", 2, "12346", "36", "45");
}

static void raft__counterexample_two_removed(void **state)
{
    (void)state;
    counterexample("123", 3, "234", "4", "2");
}

/* ---- random ---- */

#define RANDOM_NODES 7u

static uint64_t below(uint64_t n)
{
    return prng_below(&fx.prng, n);
}

static void set_role(struct raft_configuration *c, unsigned i, enum raft_server_role role)
{
    for (unsigned k = 0; k < c->n; k++)
        if (c->servers[k].id == fx_id(&fx, i))
            c->servers[k].role = role;
}

/* One that may be made, most of the time; what it is to be of the voters moves to and fro between one
 * and all. */
static void change_at_random(unsigned leader, bool grow)
{
    struct raft_configuration c = *raft_get_configuration(fx_raft(&fx, leader));
    const unsigned i = 1 + (unsigned)below(RANDOM_NODES);
    const struct raft_server *s = raft_configuration_get(&c, fx_id(&fx, i));
    const bool force = below(8) == 0;
    const struct raft_status st = fx_status(&fx, leader);
    const raft_index before = raft_get_configuration_index(fx_raft(&fx, leader));
    int rc;

    if (s == NULL)
        assert_int_equal(raft_configuration_add(&c, fx_id(&fx, i), fx.nodes[i].name,
                                                below(3) != 0 ? RAFT_LEARNER : RAFT_VOTER,
                                                "127.0.0.1:1", "127.0.0.1:2"),
                         0);
    else if (s->role == RAFT_LEARNER && grow)
        set_role(&c, i, RAFT_VOTER);
    else if (s->role == RAFT_VOTER && below(3) == 0 && !grow)
        set_role(&c, i, RAFT_LEARNER);
    else if (!grow || below(6) == 0)
        (void)raft_configuration_remove(&c, s->id, 0);
    if (below(16) == 0 && c.n > 1) /* two steps, perhaps */
        set_role(&c, 1 + (unsigned)below(RANDOM_NODES), RAFT_VOTER);
    rc = fx_try_configure(&fx, leader, &c, force);
    if (rc != 0)
        return;
    assert_true(before <= st.commit_index);
    assert_true(st.can_serve);
}

static void step_at_random(bool grow)
{
    const unsigned i = 1 + (unsigned)below(RANDOM_NODES);
    struct fx_node *node = &fx.nodes[i];
    const bool leads = node->state == FX_UP && fx_role(&fx, i) == RAFT_LEADER;

    switch (below(40)) {
    case 0:
        if (node->state == FX_UP && below(3) == 0)
            fx_crash(&fx, i, (unsigned)below(4));
        return;
    case 1:
    case 2:
        if (node->state == FX_DOWN)
            fx_restart(&fx, i);
        return;
    case 3:
        if (below(4) == 0)
            fx_isolate(&fx, i, true);
        return;
    case 4:
        if (below(2) == 0)
            fx_heal(&fx);
        return;
    case 5:
        fx.cut[i][1 + below(RANDOM_NODES)] = below(4) == 0;
        return;
    case 6:
        if (leads)
            (void)raft_transfer(fx_raft(&fx, i), 0, fx.now);
        return;
    case 7:
    case 8:
        for (unsigned k = 1; k <= RANDOM_NODES; k++)
            if (fx.nodes[k].state == FX_UP && fx_role(&fx, k) == RAFT_LEADER)
                change_at_random(k, grow);
        return;
    case 9:
        if (leads && raft_can_serve(fx_raft(&fx, i)) && !raft_is_transferring(fx_raft(&fx, i)))
            (void)fx_propose(&fx, i);
        return;
    case 10:
        if (leads && fx.n_reads < 100)
            (void)fx_read(&fx, i, 0);
        return;
    case 11:
        if (fx.n_net > 0)
            fx_duplicate(&fx, &fx.net[below(fx.n_net)]);
        return;
    case 12:
        if (fx.n_net > 200)
            (void)fx_drop(&fx, i, FX_ANY, FX_ANY);
        return;
    case 13:
    case 14:
    case 15:
    case 16:
        if (node->state == FX_UP) {
            fx.now += below(FX_HEARTBEAT_US / 4);
            fx_tick(&fx, i);
        }
        return;
    case 17:
        if (node->state == FX_UP)
            node->manual_store = below(3) == 0;
        return;
    case 18:
        if (node->state == FX_UP && below(3) == 0)
            fx_tick_deadline(&fx, i);
        return;
    case 19:
    case 20:
        if (node->state == FX_UP)
            fx_store(&fx, i, 1 + (unsigned)below(3));
        return;
    default:
        if (fx.n_net > 0)
            fx_deliver_msg(&fx, &fx.net[below(4) == 0 ? below(fx.n_net) : 0]);
        return;
    }
}

/* A leader that can serve, and every member that runs has what it has. */
static bool members_agree(struct fx *f, void *arg)
{
    const unsigned leader = fx_leader(f);
    const struct raft_configuration *c;
    struct raft_status s;

    if (!fx_has_leader(f, arg))
        return false;
    s = fx_status(f, leader);
    c = raft_get_configuration(fx_raft(f, leader));
    for (unsigned k = 0; k < c->n; k++) {
        struct raft_status t = fx_status(f, fx_of(f, c->servers[k].id));

        if (t.last_index != s.last_index || t.commit_index != s.last_index)
            return false;
    }
    return true;
}

static void run_seed(uint64_t seed, unsigned *most, unsigned *n_changes)
{
    const char *founders[] = {"1", "12", "123", "12345", "1234567"};
    unsigned voters;

    fx_init(&fx, RANDOM_NODES, 0, seed);
    fx.changes_by_rule = true;
    fx_found(&fx, founders[below(5)]);
    fx_start_all(&fx);
    for (unsigned k = 0; k < 700; k++) {
        step_at_random(k / 200 % 2 == seed % 2);
        if (fx_leader(&fx) == 0)
            continue;
        voters = raft_configuration_n_voters(raft_get_configuration(fx_raft(&fx, fx_leader(&fx))));
        if (voters > most[1])
            most[1] = voters;
        if (voters < most[0])
            most[0] = voters;
    }
    fx_heal(&fx);
    for (unsigned i = 1; i <= RANDOM_NODES; i++) {
        fx.nodes[i].manual_store = false;
        if (fx.nodes[i].state == FX_DOWN)
            fx_restart(&fx, i);
        fx_store_all(&fx, i);
    }
    if (!fx_run_until(&fx, 20 * FX_ELECTION_US, members_agree, NULL))
        fail_msg("seed %u: no end within 20 election timeouts", (unsigned)seed);
    for (unsigned k = 0; k < fx.n_leaders; k++)
        *n_changes += fx.leaders[k].n > 0;
    assert_true(raft_get_configuration_index(fx_raft(&fx, fx_leader(&fx))) <= fx.n_commits);
    fx_done(&fx);
}

static void raft__members_come_and_go_under_chaos(void **state)
{
    const char *n = getenv("CHANGE_SEEDS");
    const char *first = getenv("CHANGE_SEED");
    const uint64_t from = first != NULL ? strtoull(first, NULL, 10) : 1;
    const uint64_t to = from + (n != NULL ? strtoull(n, NULL, 10) : 2000);
    unsigned most[2] = {99, 0};
    unsigned n_changes = 0;

    (void)state;
    for (uint64_t seed = from; seed < to; seed++) {
        if (first != NULL)
            print_message("seed %u\n", (unsigned)seed);
        run_seed(seed, most, &n_changes);
    }
    if (first == NULL) {
        assert_int_equal(most[0], 1);
        assert_int_equal(most[1], RANDOM_NODES);
    }
    fx_init(&fx, 1, 0, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(raft__##name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(change_is_in_force_at_once_and_committed_by_its_own_quorum),
        TEST(change_is_the_leaders),
        TEST(change_waits_for_the_noop),
        TEST(change_is_refused_by_an_unfit_leader),
        TEST(change_waits_for_the_one_before),
        TEST(change_waits_for_a_transfer),
        TEST(change_of_another_configuration_is_refused),
        TEST(change_is_one_step),
        TEST(change_keeps_the_id_of_the_cluster_and_its_version),
        TEST(change_that_nobody_could_read_is_refused),
        TEST(removed_id_does_not_come_back),
        TEST(leader_does_not_leave),
        TEST(change_that_leaves_no_quorum_is_refused),
        TEST(change_that_leaves_no_quorum_can_be_forced),
        TEST(whoever_has_not_answered_in_this_term_is_not_heard),
        TEST(one_two_one),
        TEST(change_that_is_truncated_was_none),
        TEST(learner_that_is_a_voter_without_knowing_votes),
        TEST(learner_campaigns_when_it_is_a_voter),
        TEST(demoted_voter_does_not_know_it_before_it_is_committed),
        TEST(next_leader_does_not_tell_the_demoted_one_either),
        TEST(counterexample_one_added_one_removed),
        TEST(counterexample_two_added),
        TEST(counterexample_two_removed),
        TEST(members_come_and_go_under_chaos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
