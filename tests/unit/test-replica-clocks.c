/* Reads that time gives a right: under a lease, and of a bounded age. Each clock is the test's. */
#include "test-replica-ask.h"

#define LEASE_US 200000u

static struct fx fx;
static struct ask a[8];
static int l; /* who leads */
static int f; /* who follows */

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx); /* ends what is pending */
    ask_done(a, 8);
    memset(a, 0, sizeof(a));
    return 0;
}

static void begin(int n, uint64_t lease_us)
{
    fx_init_with(&fx, n, &(struct fx_options){.lease_us = lease_us});
    l = fx_elect(&fx);
    f = n > 1 ? ask_follower(&fx) : -1;
    ask_write_through(&fx, "1");
}

static struct replica_stats stats_of(int i)
{
    struct replica_stats st;

    replica_get_stats(fx.nodes[i].replica, &st);
    return st;
}

static void expect_by_lease(const struct ask *q, const char *value)
{
    ask_expect(q, value);
    assert_int_equal(q->view.proof, REPLICA_PROOF_LEASE);
    assert_true(q->view.by == fx.nodes[q->node].id);
    assert_true(q->view.look > q->view.arrival_look);
    assert_true(replica_view_is_linearizable(&q->view));
}

static void expect_by_round(const struct ask *q, const char *value)
{
    ask_expect(q, value);
    assert_int_equal(q->view.proof, REPLICA_PROOF_ROUND);
    assert_true(q->view.round > q->view.arrival_round);
    assert_true(replica_view_is_linearizable(&q->view));
}

/* ---- leases ---- */

/* LEASE-9: in the turn in which it came, without a word to anybody. */
static void lease__answers_at_once(void **state)
{
    unsigned sent;

    (void)state;
    begin(3, LEASE_US);
    sent = fx.nodes[l].n_sent;
    ask_read(&a[0], &fx, l, REPLICA_READ_LEASE);
    ask_read(&a[1], &fx, l, REPLICA_READ_LEASE);
    fx_turn(&fx, l);
    expect_by_lease(&a[0], "1");
    expect_by_lease(&a[1], "1");
    assert_true(a[0].view.look == a[1].view.look); /* one look for both */
    assert_int_equal(fx.nodes[l].n_sent, sent);
    assert_int_equal(stats_of(l).n_lease_fallbacks, 0);
    assert_int_equal(stats_of(l).n_reads[REPLICA_READ_LEASE], 2);
}

/* Without one, whatever the reason, it is a read like any other, and says so. */
static void lease__without_one_it_joins_a_round(void **state)
{
    (void)state;
    begin(3, 0);
    ask_read(&a[0], &fx, l, REPLICA_READ_LEASE);
    fx_settle(&fx);
    expect_by_round(&a[0], "1");
    assert_int_equal(stats_of(l).n_lease_fallbacks, 1);
}

/* LEASE-9: a question of another node is in memory before the clock is looked at for it, too. The
 * asker is a learner, whose question proves nothing (FOLLOW-3). */
static void lease__each_question_is_before_the_look(void **state)
{
    const struct fx_options options = {.lease_us = LEASE_US, .n_learners = 1};
    struct raft_status st;

    (void)state;
    fx_init_with(&fx, 3, &options);
    l = fx_elect(&fx);
    ask_write_through(&fx, "1");
    ask_read(&a[0], &fx, 2, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    ask_expect(&a[0], "1");
    raft_get_status(fx_raft(&fx, l), &st);
    assert_int_equal(st.n_asks_by_lease, 1);
    ask_read(&a[1], &fx, 2, REPLICA_READ_FOLLOWER);
    fx_turn(&fx, 2);
    fx.nodes[l].slept_us += 10 * LEASE_US;
    fx_settle(&fx);
    ask_expect(&a[1], "1");
    raft_get_status(fx_raft(&fx, l), &st);
    assert_int_equal(st.n_asks_by_lease, 1);
    assert_int_equal(st.n_asks_by_round, 1);
}

/* LEASE-9: an expired one proves nothing. */
static void lease__an_old_one_is_none(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    fx.cut[l] = true;
    fx_lose(&fx);
    fx_pass_time(&fx, LEASE_US + LEASE_US / 10);
    ask_read(&a[0], &fx, l, REPLICA_READ_LEASE);
    fx_turn(&fx, l);
    assert_true(ask_pending(&a[0]));
    fx.cut[l] = false;
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    expect_by_round(&a[0], "1");
}

static void sleep_and_ask(struct ask *q)
{
    fx.nodes[q->node].slept_us += 10 * LEASE_US;
    ask_read(&a[1], &fx, q->node, REPLICA_READ_LEASE);
}

/* LEASE-9: what comes after the look is not served by it, though it is the same turn: the machine
 * may have slept in between. */
static void lease__each_look_is_for_those_before_it(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    ask_init(&a[0], &fx, l, REPLICA_READ_LEASE);
    a[0].then = sleep_and_ask;
    ask_submit(&a[0]);
    fx_turn(&fx, l);
    expect_by_lease(&a[0], "1");
    assert_true(ask_pending(&a[1]));
    fx_settle(&fx);
    expect_by_round(&a[1], "1");
}

/* LEASE-12: nor is what was held before the machine slept. */
static void lease__sleep_ends_it(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    fx.nodes[l].slept_us += 2000;
    ask_read(&a[0], &fx, l, REPLICA_READ_LEASE);
    fx_turn(&fx, l);
    assert_true(ask_pending(&a[0]));
    fx_settle(&fx);
    expect_by_round(&a[0], "1");
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    ask_read(&a[1], &fx, l, REPLICA_READ_LEASE);
    fx_turn(&fx, l);
    expect_by_lease(&a[1], "1");
}

/* READ-1: what is committed and not applied is waited for. */
static void lease__waits_for_what_is_committed(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    fx.nodes[l].fail_begin = REPLICA_STATE_E_FULL;
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_settle(&fx);
    assert_true(raft_get_commit_index(fx_raft(&fx, l)) > replica_last_applied(fx.nodes[l].replica));
    ask_read(&a[1], &fx, l, REPLICA_READ_LEASE);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1]));
    fx.nodes[l].fail_begin = 0;
    fx_advance(&fx, 1000000);
    expect_by_lease(&a[1], "2");
}

/* READ-58: and what its own session wrote, which may not be committed yet. */
static void lease__sees_what_its_session_wrote(void **state)
{
    struct replica_session session = {0};

    (void)state;
    begin(3, LEASE_US);
    ask_write(&a[0], &fx, l, &session, "2");
    ask_read_in(&a[1], &fx, l, &session, REPLICA_READ_LEASE);
    ask_read(&a[2], &fx, l, REPLICA_READ_LEASE);
    fx_turn(&fx, l);
    assert_true(ask_pending(&a[1]));
    expect_by_lease(&a[2], "1");
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    expect_by_round(&a[1], "2");
}

/* READ-67: nobody is sent away from his own writes, on their way or not begun yet. */
static void lease__spares_no_read_behind_own_writes(void **state)
{
    struct replica_session session = {0};
    struct replica *r;
    raft_index before;
    raft_index index;
    raft_node_id id;

    (void)state;
    begin(3, LEASE_US);
    r = fx.nodes[l].replica;
    assert_true(replica_spare(r, &session, &before, &id));
    assert_int_equal(before, raft_get_commit_index(fx_raft(&fx, l)));
    assert_true(id != 0 && id != fx.nodes[l].id);
    ask_write(&a[0], &fx, l, &session, "2");
    assert_false(replica_spare(r, &session, &index, &id));
    assert_true(replica_spare(r, &(struct replica_session){0}, &index, &id)); /* another's */
    assert_true(index == before);
    fx_settle(&fx);
    assert_true(replica_spare(r, &session, &index, &id));
    assert_true(index == before + 1);
    session.n_waiting = 1; /* as in a turn in which it has not come to it */
    assert_false(replica_spare(r, &session, &index, &id));
}

/* READ-33: elsewhere it is refused with the leader's name, and waits where nobody is known. */
static void lease__only_a_leader_has_one(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    ask_read(&a[0], &fx, f, REPLICA_READ_LEASE);
    ask_expect_failed(&a[0], WIRE_ERROR_NOT_LEADER);
    assert_true(a[0].failure.leader_id == fx.nodes[l].id);
    fx.cut[l] = true;
    fx_lose(&fx);
    fx_outdate(&fx, f, 3 - l - f);
    ask_read(&a[1], &fx, f, REPLICA_READ_LEASE);
    fx_turn(&fx, f);
    assert_true(ask_pending(&a[1]));
    (void)fx_elect(&fx);
    fx_settle(&fx);
    if (fx_leader(&fx) == f)
        ask_expect(&a[1], "1");
    else
        ask_expect_failed(&a[1], WIRE_ERROR_NOT_LEADER);
}

/* LEASE-11: who is deposed has none, from before anything of that turn leaves. */
static void lease__ends_with_the_leadership(void **state)
{
    (void)state;
    begin(3, LEASE_US);
    fx.cut[l] = true;
    fx_lose(&fx);
    ask_read(&a[0], &fx, l, REPLICA_READ_LEASE);
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    ask_expect_failed(&a[0], WIRE_ERROR_NOT_LEADER);
    assert_true(a[0].failure.leader_id == fx.nodes[f].id);
    assert_int_equal(stats_of(l).n_reads[REPLICA_READ_LEASE], 0);
}

/* One of the other two is elected while the old leader, cut off, may still have a lease: l. */
static int depose_with_gate(void)
{
    int old;

    begin(3, RAFT_LEASE_US_MAX);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    old = l;
    fx.cut[l] = true;
    fx_lose(&fx);
    for (unsigned i = 0; i < 1000 && (l == old || l < 0); i++) {
        fx_advance(&fx, 10000);
        for (int k = 0; k < 3; k++)
            if (k != old && raft_get_role(fx_raft(&fx, k)) == RAFT_LEADER)
                l = k;
    }
    assert_int_not_equal(l, old);
    return old;
}

/* LEASE-7: while older promises run a new leader takes writes, commits none, and reads wait. */
static void lease__a_new_leader_waits_for_the_old_one(void **state)
{
    const int old = depose_with_gate();
    struct raft_status st;

    (void)state;
    raft_get_status(fx_raft(&fx, l), &st);
    assert_true(st.gate_left_us > 0);
    assert_true(replica_can_serve(fx.nodes[l].replica));
    ask_write(&a[0], &fx, l, NULL, "2");
    ask_read(&a[1], &fx, l, REPLICA_READ);
    ask_read(&a[2], &fx, l, REPLICA_READ_LEASE);
    ask_read(&a[3], &fx, 3 - l - old, REPLICA_READ_FOLLOWER);
    fx_advance(&fx, st.gate_left_us - 20000);
    assert_int_equal(a[0].rr.stage, REPLICA_PROPOSED); /* in the log, and on the other disks */
    for (unsigned i = 0; i < 4; i++)
        assert_true(ask_pending(&a[i]));
    fx_advance(&fx, 20000 + 2 * FX_HEARTBEAT_US);
    assert_int_equal(a[0].n_written, 1);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(a[i].n_served, 1);
        assert_true(replica_view_is_linearizable(&a[i].view));
    }
}

/* Whoever runs out of time meanwhile is told that, and not that other disks were slow (CLIENT-30). */
static void lease__who_has_no_time_for_that_is_told_so(void **state)
{
    const enum replica_kind kinds[] = {REPLICA_READ, REPLICA_READ_LEASE, REPLICA_READ_LOG};

    (void)state;
    (void)depose_with_gate();
    for (unsigned i = 0; i < 3; i++) {
        ask_init(&a[i], &fx, l, kinds[i]);
        a[i].rr.deadline_us = fx.now_us + 100000;
        ask_submit(&a[i]);
    }
    fx_advance(&fx, 110000);
    for (unsigned i = 0; i < 3; i++) {
        ask_expect_failed(&a[i], WIRE_ERROR_TIMEOUT);
        assert_int_equal(a[i].failure.cause, REPLICA_CAUSE_GATE);
        assert_in_range(a[i].failure.gate_left_us, 1, 2 * RAFT_LEASE_US_MAX);
    }
}

/* ---- bounds ---- */

static void expect_young(const struct ask *q, const char *value, unsigned ms)
{
    ask_expect(q, value);
    assert_int_equal(q->view.proof, REPLICA_PROOF_STAMP);
    assert_false(replica_view_is_linearizable(&q->view));
    assert_true(q->view.staleness_us <= (uint64_t)ms * 1000u);
    assert_true(q->view.read_index <= q->view.last_applied.index);
    assert_true(q->view.served_by == fx.nodes[q->node].id);
}

static uint64_t n_asks(int i)
{
    struct raft_status st;

    raft_get_status(fx_raft(&fx, i), &st);
    return st.n_asks_sent;
}

/* BOUND-3: heartbeats bring what is needed: no question, no waiting. */
static void bounded__heartbeats_are_enough(void **state)
{
    (void)state;
    begin(3, 0);
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    ask_bounded(&a[0], &fx, f, 500);
    ask_bounded(&a[1], &fx, l, 500);
    fx_turn(&fx, f);
    fx_turn(&fx, l);
    expect_young(&a[0], "1", 500);
    expect_young(&a[1], "1", 500);
    assert_int_equal(n_asks(f), 0);
    /* It is what has passed since: more with time. */
    fx_pass_time(&fx, 7000);
    ask_bounded(&a[2], &fx, f, 500);
    fx_turn(&fx, f);
    assert_int_equal(a[2].view.staleness_us, a[0].view.staleness_us + 7000);
}

/* BOUND-6: a tighter one asks the leader, once for all. */
static void bounded__a_tight_one_asks(void **state)
{
    (void)state;
    begin(3, 0);
    fx_pass_time(&fx, 5000);
    ask_bounded(&a[0], &fx, f, 1);
    ask_bounded(&a[1], &fx, f, 2);
    fx_settle(&fx);
    expect_young(&a[0], "1", 1);
    expect_young(&a[1], "1", 2);
    assert_int_equal(n_asks(f), 1);
    assert_int_equal(a[0].view.staleness_us, 0); /* no time passed since it was sealed */
}

static void bounded__alone_it_is_not_old(void **state)
{
    (void)state;
    begin(1, 0);
    fx_pass_time(&fx, 5000000);
    ask_bounded(&a[0], &fx, 0, 1);
    fx_settle(&fx);
    expect_young(&a[0], "1", 1);
}

/* A node that is cut off can prove nothing new: no answer, whatever it has. */
static void bounded__cut_off_it_ends_at_its_deadline(void **state)
{
    (void)state;
    begin(3, 0);
    fx.cut[f] = true;
    fx_advance(&fx, 300000);
    ask_init(&a[0], &fx, f, REPLICA_READ_BOUNDED);
    a[0].rr.max_stale_us = 200000;
    a[0].rr.deadline_us = fx.now_us + 5 * FX_ELECTION_US;
    ask_submit(&a[0]);
    ask_init(&a[1], &fx, f, REPLICA_READ_BOUNDED);
    a[1].rr.max_stale_us = 2000000;
    ask_submit(&a[1]);
    fx_settle(&fx);
    expect_young(&a[1], "1", 2000); /* what it knows is good enough for this one */
    assert_true(a[1].view.staleness_us >= 300000);
    fx_advance(&fx, 6 * FX_ELECTION_US);
    ask_expect_failed(&a[0], WIRE_ERROR_TIMEOUT);
    assert_string_equal(a[0].failure.stage, "age");
    assert_int_equal(a[0].failure.cause, REPLICA_CAUSE_PEERS_SILENT);
}

/* BOUND-1: the clock is the one that goes on while the machine sleeps. */
static void bounded__sleep_makes_it_older(void **state)
{
    (void)state;
    begin(3, 0);
    fx.nodes[f].slept_us += 3600000000u;
    ask_bounded(&a[0], &fx, f, 500);
    fx.cut[f] = true;
    fx_turn(&fx, f);
    assert_true(ask_pending(&a[0]));
    fx.cut[f] = false;
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    expect_young(&a[0], "1", 500);
}

/* BOUND-1: and it is read after the state was: what passes between is part of the age. */
static void bounded__the_clock_is_read_after_the_state(void **state)
{
    (void)state;
    begin(3, 0);
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    fx.nodes[f].sleeps_read = 100000;
    ask_bounded(&a[0], &fx, f, 500);
    fx_turn(&fx, f);
    expect_young(&a[0], "1", 500);
    assert_true(a[0].view.staleness_us >= 100000);
    /* So long that it is too old by then: it waits for something younger. */
    fx.nodes[f].sleeps_read = 1000000;
    ask_bounded(&a[1], &fx, f, 500);
    fx_turn(&fx, f);
    assert_true(ask_pending(&a[1]));
    fx_settle(&fx);
    expect_young(&a[1], "1", 500);
}

/* BOUND-2: the index of a pair is what the state must hold. */
static void bounded__waits_until_it_is_applied(void **state)
{
    (void)state;
    begin(3, 0);
    fx.nodes[f].holds_store = true;
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    fx_advance(&fx, 10 * FX_HEARTBEAT_US);
    ask_bounded(&a[1], &fx, f, 200);
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    assert_true(ask_pending(&a[1]));
    ask_bounded(&a[2], &fx, f, 10000);
    fx_turn(&fx, f);
    expect_young(&a[2], "1", 10000);
    fx.nodes[f].holds_store = false;
    fx_store(&fx, f);
    fx_settle(&fx);
    expect_young(&a[1], "2", 200);
}

/* The easiest first: what nobody can serve holds up nobody else. */
static void bounded__the_easiest_first(void **state)
{
    static const unsigned ms[] = {1, 400, 30, 100000, 150, 2};

    (void)state;
    begin(3, 0);
    fx.cut[f] = true;
    fx_pass_time(&fx, 200000);
    for (unsigned i = 0; i < 6; i++)
        ask_bounded(&a[i], &fx, f, ms[i]);
    fx_turn(&fx, f);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(a[i].n_served, ms[i] >= 400);
    fx.cut[f] = false;
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    for (unsigned i = 0; i < 6; i++)
        expect_young(&a[i], "1", ms[i]);
}

static void again(struct ask *q)
{
    if (!ask_pending(&a[1]))
        return;
    ask_bounded(&a[1], &fx, q->node, 500);
}

/* TIME-1: one that comes while others are answered does not keep the turn. */
static void bounded__may_be_asked_while_one_is_answered(void **state)
{
    (void)state;
    begin(3, 0);
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    ask_init(&a[0], &fx, f, REPLICA_READ_BOUNDED);
    a[0].rr.max_stale_us = 500000;
    a[0].then = again;
    ask_submit(&a[0]);
    fx_settle(&fx);
    expect_young(&a[0], "1", 500);
    expect_young(&a[1], "1", 500);
}

static void bounded__of_too_many_one_is_refused(void **state)
{
    struct ask *many = calloc(REQUESTS_MAX, sizeof(*many));

    (void)state;
    begin(3, 0);
    assert_non_null(many);
    fx.cut[f] = true;
    fx_pass_time(&fx, 100000);
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        ask_init(&many[i], &fx, f, i % 2 == 0 ? REPLICA_READ_BOUNDED : REPLICA_READ_FOLLOWER);
        many[i].rr.max_stale_us = 1000;
        ask_submit(&many[i]);
    }
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    ask_expect_failed(&a[0], WIRE_ERROR_BUSY);
    fx_turn(&fx, f);
    replica_free(fx.nodes[f].replica);
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        ask_expect_failed(&many[i], WIRE_ERROR_CANCELLED);
    fx.nodes[f].replica = NULL;
    free(many);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
    static const struct CMUnitTest tests[] = {
        T(lease__answers_at_once),
        T(lease__without_one_it_joins_a_round),
        T(lease__each_question_is_before_the_look),
        T(lease__an_old_one_is_none),
        T(lease__each_look_is_for_those_before_it),
        T(lease__sleep_ends_it),
        T(lease__waits_for_what_is_committed),
        T(lease__sees_what_its_session_wrote),
        T(lease__spares_no_read_behind_own_writes),
        T(lease__only_a_leader_has_one),
        T(lease__ends_with_the_leadership),
        T(lease__a_new_leader_waits_for_the_old_one),
        T(lease__who_has_no_time_for_that_is_told_so),
        T(bounded__heartbeats_are_enough),
        T(bounded__a_tight_one_asks),
        T(bounded__alone_it_is_not_old),
        T(bounded__cut_off_it_ends_at_its_deadline),
        T(bounded__sleep_makes_it_older),
        T(bounded__the_clock_is_read_after_the_state),
        T(bounded__waits_until_it_is_applied),
        T(bounded__the_easiest_first),
        T(bounded__may_be_asked_while_one_is_answered),
        T(bounded__of_too_many_one_is_refused),
    };

    return cmocka_run_group_tests_name("replica-clocks", tests, NULL, NULL);
}
