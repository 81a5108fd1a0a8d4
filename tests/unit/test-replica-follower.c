/* Reads that any node answers, and by what right: the word of a leader, or what their own session
 * wrote before. Every stage in which one can be is met by every way in which it can end. */
#include "test-replica-ask.h"

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

static void begin(int n, const struct fx_options *options)
{
    fx_init_with(&fx, n, options);
    l = fx_elect(&fx);
    f = n - options->n_learners > 1 ? ask_follower(&fx) : -1;
    ask_write_through(&fx, "1");
}

static void begin_plain(int n)
{
    begin(n, &(struct fx_options){0});
}

static uint64_t n_asks(int i)
{
    struct raft_status st;

    raft_get_status(fx_raft(&fx, i), &st);
    return st.n_asks_sent;
}

static void expect_by_word(const struct ask *q, int node, int leader, const char *value)
{
    ask_expect(q, value);
    assert_int_equal(q->view.proof, REPLICA_PROOF_LEADER);
    assert_true(q->view.by == fx.nodes[leader].id);
    assert_true(q->view.served_by == fx.nodes[node].id);
    assert_true(q->view.term == raft_get_term(fx_raft(&fx, leader)));
    assert_true(q->view.ticket > 0);
    assert_true(q->view.answered >= q->view.ticket);
    assert_true(q->view.read_index <= q->view.last_applied.index);
    assert_true(replica_view_is_linearizable(&q->view));
}

static bool no_answers(const struct fx *x, const struct raft_msg *m)
{
    (void)x;
    return m->type != RAFT_MSG_READ_ANSWER;
}

static bool no_asks(const struct fx *x, const struct raft_msg *m)
{
    (void)x;
    return m->type != RAFT_MSG_READ_ASK;
}

/* ---- the word of the leader ---- */

/* FOLLOW-1: many reads, one question, two messages. */
static void follower__many_reads_ask_once(void **state)
{
    const unsigned before = (begin_plain(3), fx.nodes[l].n_sent);

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        ask_read(&a[i], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    for (unsigned i = 0; i < 8; i++)
        expect_by_word(&a[i], f, l, "1");
    assert_int_equal(n_asks(f), 1);
    assert_int_equal(fx.nodes[l].n_sent - before, 1);
}

/* FOLLOW-5: the index is what the state must hold, not what it happens to. */
static void follower__waits_until_the_index_is_applied(void **state)
{
    (void)state;
    begin_plain(3);
    fx.nodes[f].holds_store = true;
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1]));
    fx.nodes[f].holds_store = false;
    fx_store(&fx, f);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    expect_by_word(&a[1], f, l, "2");
}

/* FOLLOW-1: an answer is for those whose ticket its question had. */
static void follower__an_answer_is_for_those_before_its_question(void **state)
{
    (void)state;
    begin_plain(3);
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    fx_turn(&fx, f); /* sealed, and out */
    assert_int_equal(fx_n_under_way(&fx, RAFT_MSG_READ_ASK), 1);
    (void)fx_deliver(&fx); /* answered, before "2" is written */
    fx_turn(&fx, l);
    assert_int_equal(fx_n_under_way(&fx, RAFT_MSG_READ_ANSWER), 1);
    ask_write(&a[1], &fx, l, NULL, "2");
    fx_turn(&fx, l);
    fx_store(&fx, l);
    fx_ack_append(&fx, l, 3 - l - f, fx_last_index(&fx, l));
    fx_turn(&fx, l);
    assert_int_equal(a[1].n_written, 1); /* with the third node, and f has not heard of it */
    ask_read(&a[2], &fx, f, REPLICA_READ_FOLLOWER);
    fx.pass = no_asks;
    (void)fx_deliver(&fx);
    fx_turn(&fx, f);
    expect_by_word(&a[0], f, l, "1");
    assert_true(ask_pending(&a[2])); /* it came after the question */
    fx.pass = NULL;
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    expect_by_word(&a[2], f, l, "2");
}

static void follower__two_may_be_out_at_once(void **state)
{
    (void)state;
    begin_plain(3);
    fx.pass = no_answers;
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    fx_advance(&fx, FX_HEARTBEAT_US);
    assert_true(ask_pending(&a[0]));
    assert_true(n_asks(f) >= 2); /* another one was asked for it: FOLLOW-6 */
    fx.pass = NULL;
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    expect_by_word(&a[0], f, l, "1");
}

/* FOLLOW-6: a read keeps its ticket whoever leads. */
static void follower__survives_its_leader(void **state)
{
    int old;

    (void)state;
    begin_plain(3);
    old = l;
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    fx_turn(&fx, f);
    fx.cut[l] = true;
    fx_lose(&fx);
    l = fx_elect(&fx);
    assert_int_not_equal(l, old);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    ask_expect(&a[0], "1");
    assert_true(replica_view_is_linearizable(&a[0].view));
    assert_true(a[0].view.by == fx.nodes[l].id);
    assert_int_equal(a[0].view.proof, l == f ? REPLICA_PROOF_ROUND : REPLICA_PROOF_LEADER);
}

/* A leader asks nobody: its follower reads ride on a round, and outlive its leadership. */
static void follower__at_the_leader_it_is_a_round(void **state)
{
    int old;

    (void)state;
    begin_plain(3);
    old = l;
    ask_read(&a[0], &fx, l, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    ask_expect(&a[0], "1");
    assert_int_equal(a[0].view.proof, REPLICA_PROOF_ROUND);
    assert_true(a[0].view.by == fx.nodes[l].id);
    assert_true(replica_view_is_linearizable(&a[0].view));
    assert_int_equal(n_asks(l), 0);

    fx.cut[l] = true;
    ask_read(&a[1], &fx, l, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1]));
    l = fx_elect(&fx); /* the others */
    ask_write_through(&fx, "2");
    fx.cut[old] = false;
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    expect_by_word(&a[1], old, l, "2");
}

static void follower__alone_it_needs_nobody(void **state)
{
    (void)state;
    begin_plain(1);
    ask_read(&a[0], &fx, 0, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    ask_expect(&a[0], "1");
    assert_int_equal(a[0].view.proof, REPLICA_PROOF_ROUND);
}

/* FOLLOW-3: a learner is answered by a round, for its question proves nothing. */
static void follower__learners_are_answered(void **state)
{
    const struct fx_options options = {.n_learners = 1};
    struct raft_status st;

    (void)state;
    begin(3, &options);
    ask_read(&a[0], &fx, 2, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    expect_by_word(&a[0], 2, l, "1");
    raft_get_status(fx_raft(&fx, l), &st);
    assert_int_equal(st.n_asks_by_round, 1);
    assert_int_equal(st.n_asks_by_ack, 0);
}

/* ---- deadlines ---- */

static bool nobody_votes(const struct fx *x, const struct raft_msg *m)
{
    (void)x;
    return m->type != RAFT_MSG_VOTE;
}

/* FOLLOW-2: nobody was known to lead for as long as it waited. */
static void follower__without_a_leader_it_is_told_so(void **state)
{
    (void)state;
    begin_plain(3);
    fx.cut[l] = true; /* the two others hear each other, and elect nobody */
    fx.pass = nobody_votes;
    fx_advance(&fx, 4 * FX_ELECTION_US);
    assert_true(raft_get_leader(fx_raft(&fx, f)) == 0);
    ask_init(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    a[0].rr.deadline_us = fx.now_us + 100000;
    ask_submit(&a[0]);
    fx_advance(&fx, 90000);
    assert_true(ask_pending(&a[0]));
    fx_advance(&fx, 20000);
    ask_expect_failed(&a[0], WIRE_ERROR_NOT_LEADER);
    /* Where nobody is heard, that is why nobody leads. */
    ask_done(a, 1);
    fx.cut[f] = true;
    fx_advance(&fx, 2 * FX_ELECTION_US);
    ask_init(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    a[0].rr.deadline_us = fx.now_us + 100000;
    ask_submit(&a[0]);
    fx_advance(&fx, 110000);
    ask_expect_failed(&a[0], WIRE_ERROR_NETWORK);
    assert_true(a[0].failure.leader_id == 0);
}

/* A leader that is known and does not answer: no word about the others, whom a follower does not
 * hear. */
static void follower__an_answer_that_is_late_is_a_timeout(void **state)
{
    (void)state;
    begin_plain(3);
    fx.pass = no_asks;
    ask_init(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    a[0].rr.deadline_us = fx.now_us + 300000;
    ask_submit(&a[0]);
    fx_advance(&fx, 310000);
    ask_expect_failed(&a[0], WIRE_ERROR_TIMEOUT);
    assert_string_equal(a[0].failure.stage, "index");
    assert_int_equal(a[0].failure.cause, REPLICA_CAUSE_NONE);
    assert_true(a[0].failure.leader_id == fx.nodes[l].id);
}

static void follower__a_leader_that_was_lost_is_no_leader_unknown(void **state)
{
    (void)state;
    begin_plain(3);
    ask_init(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    a[0].rr.deadline_us = fx.now_us + 6 * FX_ELECTION_US;
    fx.cut[f] = true;
    ask_submit(&a[0]);
    fx_advance(&fx, 7 * FX_ELECTION_US);
    ask_expect_failed(&a[0], WIRE_ERROR_NETWORK);
    assert_int_equal(a[0].failure.reached, 1);
}

/* ---- too far behind ---- */

static void propose_many(int node, unsigned n)
{
    struct command c = {.op = COMMAND_WRITE, .key = {"\001m", 2}, .value = {"1", 1}};
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry_id id;

    assert_int_equal(command_encode(&c, &b), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(raft_propose(replica_raft_mutable(fx.nodes[node].replica),
                                      RAFT_ENTRY_COMMAND, b.data, b.len, &id),
                         0);
}

/* FOLLOW-7: it does not wait for itself, and names the leader. One entry less, and it waits. */
static void follower__who_is_far_behind_refuses(void **state)
{
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        const raft_index applied = (begin_plain(3), replica_last_applied(fx.nodes[f].replica));
        raft_index index;

        fx.nodes[f].holds_store = true;
        propose_many(l, FOLLOWER_BEHIND_ENTRIES_MAX + extra);
        fx_settle(&fx);
        index = raft_get_commit_index(fx_raft(&fx, l));
        assert_int_equal(index, applied + FOLLOWER_BEHIND_ENTRIES_MAX + extra);
        ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
        fx_settle(&fx);
        if (extra > 0) {
            ask_expect_failed(&a[0], WIRE_ERROR_OVERLOADED);
            assert_true(a[0].failure.leader_id == fx.nodes[l].id);
            assert_int_equal(a[0].failure.behind, FOLLOWER_BEHIND_ENTRIES_MAX + 1);
            assert_int_equal(a[0].failure.limit, FOLLOWER_BEHIND_ENTRIES_MAX);
        } else {
            assert_true(ask_pending(&a[0]));
            fx.nodes[f].holds_store = false;
            fx_store(&fx, f);
            fx_advance(&fx, 2 * FX_HEARTBEAT_US);
            expect_by_word(&a[0], f, l, "1");
        }
        fx_done(&fx);
        memset(&fx, 0, sizeof(fx));
    }
}

/* FOLLOW-7: without room it will not come to it; what waits already is told so, too. What is
 * applied is answered, and a leader refuses nobody for it. */
static void follower__without_room_it_refuses(void **state)
{
    (void)state;
    begin_plain(3);
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    fx.nodes[f].fail_begin = REPLICA_STATE_E_FULL;
    fx_settle(&fx);
    expect_by_word(&a[0], f, l, "1"); /* nothing is missing */
    fx.nodes[f].holds_store = true;
    propose_many(l, 1);
    fx_settle(&fx);
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1])); /* it has its index */
    fx.nodes[f].holds_store = false;
    fx_store(&fx, f);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(replica_is_parked(fx.nodes[f].replica));
    ask_expect_failed(&a[1], WIRE_ERROR_OVERLOADED);
    assert_int_equal(a[1].failure.behind, 1);
    ask_read(&a[2], &fx, f, REPLICA_READ_FOLLOWER);
    ask_expect_failed(&a[2], WIRE_ERROR_OVERLOADED); /* as far as this node has heard: at once */
    fx.nodes[f].fail_begin = 0;
    fx_advance(&fx, 2000000);
    ask_read(&a[3], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    expect_by_word(&a[3], f, l, "1");
}

/* A leader is the best that there is: its own wait for it. */
static void follower__a_leader_refuses_nobody(void **state)
{
    (void)state;
    begin_plain(3);
    fx.nodes[l].fail_begin = REPLICA_STATE_E_FULL;
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_settle(&fx);
    assert_true(replica_is_parked(fx.nodes[l].replica));
    ask_read(&a[1], &fx, l, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1]));
    fx.nodes[l].fail_begin = 0;
    fx_advance(&fx, 2000000);
    ask_expect(&a[1], "2");
}

static bool no_appends(const struct fx *x, const struct raft_msg *m)
{
    (void)x;
    return m->type != RAFT_MSG_APPEND;
}

/* FOLLOW-8: a snapshot is on its way into the state, and then nothing is far away any more: reads
 * wait for it, and are not answered from what was there before. */
static void follower__waits_for_a_snapshot_that_is_installed(void **state)
{
    struct raft_entry_id id;
    struct fx_node *n;

    (void)state;
    begin_plain(3);
    n = &fx.nodes[f];
    fx.pass = no_appends;
    propose_many(l, FOLLOWER_BEHIND_ENTRIES_MAX + 1);
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_turn(&fx, l);
    fx_store(&fx, l);
    fx_ack_append(&fx, l, 3 - l - f, fx_last_index(&fx, l));
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    id = fx.nodes[l].applied;
    assert_int_equal(
        replica_install(n->replica, id, raft_config_at(fx_raft(&fx, l), id.index), fx.now_us),
        RAFT_INSTALL_LOG);
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(replica_may_restore(n->replica));
    assert_true(ask_pending(&a[1]));
    ask_read(&a[2], &fx, f, REPLICA_READ_FOLLOWER); /* it has its index at once */
    fx_settle(&fx);
    assert_true(ask_pending(&a[2]));
    n->applied = id;
    free(n->values[0].text);
    n->values[0].text = strdup("2");
    n->values[0].len = 1;
    replica_restored(n->replica, fx.now_us);
    fx_settle(&fx);
    expect_by_word(&a[1], f, l, "2");
    expect_by_word(&a[2], f, l, "2");
}

/* Its state is made again: who is not far behind then waits for it, and is not told something old. */
static void follower__waits_while_its_state_is_made_again(void **state)
{
    (void)state;
    begin_plain(3);
    fx.nodes[f].holds_store = true;
    ask_write(&a[0], &fx, l, NULL, "2");
    fx_settle(&fx);
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    assert_true(ask_pending(&a[1]));
    replica_rebuild(fx.nodes[f].replica, fx.now_us);
    assert_true(ask_pending(&a[1]));
    fx.nodes[f].holds_store = false;
    fx_store(&fx, f);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx.nodes[f].n_rebuilds, 1);
    expect_by_word(&a[1], f, l, "2");
}

/* Whoever finds the damage is sent elsewhere. */
static void follower__a_damaged_state_answers_nobody(void **state)
{
    (void)state;
    begin_plain(3);
    fx.nodes[f].fail_get = FX_DAMAGED;
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    ask_expect_failed(&a[0], WIRE_ERROR_OVERLOADED);
    assert_int_equal(a[0].failure.behind, 0);
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    fx_settle(&fx);
    expect_by_word(&a[1], f, l, "1");
}

/* ---- what its session wrote ---- */

static const enum replica_kind of_any_node[] = {REPLICA_READ_LOCAL, REPLICA_READ_FOLLOWER,
                                                REPLICA_READ_BOUNDED};

/* READ-58: a write that is proposed here is seen, by a read of any kind; those of others are waited
 * for by nobody. */
static void follower__sees_what_its_session_wrote(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct replica_session session = {0};

        begin_plain(1);
        fx.nodes[0].holds_store = true;
        ask_write(&a[0], &fx, 0, &session, "2");
        ask_read_in(&a[1], &fx, 0, &session, of_any_node[i]);
        ask_read(&a[2], &fx, 0, of_any_node[i]);
        fx_settle(&fx);
        assert_true(ask_pending(&a[0]));
        assert_true(ask_pending(&a[1]));
        ask_expect(&a[2], "1");
        fx_store(&fx, 0);
        fx_settle(&fx);
        assert_int_equal(a[0].n_written, 1);
        ask_expect(&a[1], "2");
        teardown(NULL);
    }
    begin_plain(1);
}

/* Also one that waits for a leader: it comes first. */
static void follower__sees_a_write_that_waits_for_a_leader(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct replica_session session = {0};

        fx_init(&fx, 1); /* nobody leads */
        ask_write(&a[0], &fx, 0, &session, "2");
        ask_read_in(&a[1], &fx, 0, &session, of_any_node[i]);
        ask_read(&a[2], &fx, 0, REPLICA_READ_LOCAL);
        assert_int_equal(session.n_waiting, 1);
        fx_turn(&fx, 0);
        assert_true(ask_pending(&a[1]));
        ask_expect(&a[2], "");
        (void)fx_elect(&fx);
        fx_settle(&fx);
        assert_int_equal(a[0].n_written, 1);
        assert_int_equal(session.n_waiting, 0);
        ask_expect(&a[1], "2");
        teardown(NULL);
    }
    begin_plain(1);
}

/* A write that is lost with the leadership is waited for no longer; one that was committed before is
 * seen all the same. */
static void follower__a_lost_write_is_not_waited_for(void **state)
{
    struct replica_session lost = {0};
    struct replica_session kept = {0};
    struct replica *r;

    (void)state;
    begin_plain(3);
    r = fx.nodes[l].replica;
    fx.cut[l] = true;
    fx_lose(&fx);
    fx.nodes[l].holds_store = true;
    ask_write(&a[0], &fx, l, &kept, "2");
    fx_turn(&fx, l);
    fx_store(&fx, l);
    ask_write(&a[1], &fx, l, &lost, "3");
    ask_read_in(&a[2], &fx, l, &lost, REPLICA_READ_LOCAL);
    ask_read_in(&a[3], &fx, l, &kept, REPLICA_READ_LOCAL); /* behind a later write */
    fx_turn(&fx, l);
    assert_true(ask_pending(&a[2]));
    assert_true(ask_pending(&a[3]));
    /* "2" is committed, and not applied, when the leadership is lost. */
    fx.nodes[l].fail_begin = REPLICA_STATE_E_FULL;
    fx_ack_append(&fx, l, f, kept.last_write.index);
    fx_turn(&fx, l);
    assert_true(raft_get_commit_index(replica_raft(r)) == kept.last_write.index);
    assert_true(ask_pending(&a[0]));
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    assert_int_equal(a[1].n_failed, 1);
    assert_true(ask_pending(&a[3]));
    fx.nodes[l].fail_begin = 0;
    fx_pass_time(&fx, 1000000);
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_written, 1);
    ask_expect(&a[3], "2");
    ask_expect(&a[2], "2"); /* not before what it stood behind in line, and not "3" */
}

/* READ-58: the last write of its session is lost, and one before that is committed and not applied
 * yet: a read that comes now waits for that one. */
static void follower__sees_what_was_committed_before_a_lost_write(void **state)
{
    struct replica_session session = {0};
    raft_index kept;

    (void)state;
    begin_plain(3);
    fx.cut[l] = true;
    fx_lose(&fx);
    fx.nodes[l].holds_store = true;
    ask_write(&a[0], &fx, l, &session, "2");
    fx_turn(&fx, l);
    fx_store(&fx, l);
    kept = session.last_write.index;
    ask_write(&a[1], &fx, l, &session, "3");
    fx_turn(&fx, l);
    fx.nodes[l].fail_begin = REPLICA_STATE_E_FULL;
    fx_ack_append(&fx, l, f, kept);
    fx_turn(&fx, l);
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    assert_int_equal(a[1].n_failed, 1);
    assert_true(ask_pending(&a[0]));
    ask_read_in(&a[2], &fx, l, &session, REPLICA_READ_LOCAL);
    ask_read(&a[3], &fx, l, REPLICA_READ_LOCAL);
    fx_turn(&fx, l);
    assert_true(ask_pending(&a[2]));
    ask_expect(&a[3], "1");
    fx.nodes[l].fail_begin = 0;
    fx_pass_time(&fx, 1000000);
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_written, 1);
    ask_expect(&a[2], "2");
}

/* ---- ends ---- */

static void follower__a_client_that_is_gone_is_forgotten(void **state)
{
    struct replica_session session = {0};
    struct replica *r;

    (void)state;
    begin_plain(3);
    r = fx.nodes[l].replica;
    fx.cut[l] = true;
    fx_lose(&fx);
    ask_write(&a[0], &fx, l, &session, "2");
    for (unsigned i = 0; i < 3; i++)
        ask_read_in(&a[1 + i], &fx, l, &session, of_any_node[i]);
    ask_read(&a[4], &fx, l, REPLICA_READ_FOLLOWER);
    ask_read(&a[5], &fx, l, REPLICA_READ_LEASE);
    ask_bounded(&a[6], &fx, l, 1);
    fx_pass_time(&fx, 100000);
    fx_turn(&fx, l);
    for (unsigned i = 0; i < 7; i++) {
        assert_true(ask_pending(&a[i]));
        replica_cancel(r, &a[i].rr);
    }
    fx.cut[l] = false;
    fx_advance(&fx, 4 * FX_HEARTBEAT_US);
    assert_true(replica_idle(r));
    for (unsigned i = 0; i < 7; i++)
        assert_true(ask_pending(&a[i]));
}

/* Shutting down: what has a leader to wait for may still be answered; what has none will not be. */
static void follower__a_node_that_ends_answers_what_it_can(void **state)
{
    (void)state;
    begin_plain(3);
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    replica_quiesce(fx.nodes[f].replica);
    assert_true(ask_pending(&a[0]));
    fx_settle(&fx);
    expect_by_word(&a[0], f, l, "1");
    ask_read(&a[1], &fx, f, REPLICA_READ_FOLLOWER);
    ask_expect_failed(&a[1], WIRE_ERROR_CANCELLED);
    assert_true(replica_idle(fx.nodes[f].replica));
    teardown(NULL);

    begin_plain(3);
    fx.cut[f] = true;
    fx_advance(&fx, 4 * FX_ELECTION_US);
    ask_read(&a[0], &fx, f, REPLICA_READ_FOLLOWER);
    ask_bounded(&a[1], &fx, f, 1);
    replica_quiesce(fx.nodes[f].replica);
    ask_expect_failed(&a[0], WIRE_ERROR_CANCELLED);
    ask_expect_failed(&a[1], WIRE_ERROR_CANCELLED);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
    static const struct CMUnitTest tests[] = {
        T(follower__many_reads_ask_once),
        T(follower__waits_until_the_index_is_applied),
        T(follower__an_answer_is_for_those_before_its_question),
        T(follower__two_may_be_out_at_once),
        T(follower__survives_its_leader),
        T(follower__at_the_leader_it_is_a_round),
        T(follower__alone_it_needs_nobody),
        T(follower__learners_are_answered),
        T(follower__without_a_leader_it_is_told_so),
        T(follower__an_answer_that_is_late_is_a_timeout),
        T(follower__a_leader_that_was_lost_is_no_leader_unknown),
        T(follower__who_is_far_behind_refuses),
        T(follower__without_room_it_refuses),
        T(follower__a_leader_refuses_nobody),
        T(follower__waits_for_a_snapshot_that_is_installed),
        T(follower__waits_while_its_state_is_made_again),
        T(follower__a_damaged_state_answers_nobody),
        T(follower__sees_what_its_session_wrote),
        T(follower__sees_a_write_that_waits_for_a_leader),
        T(follower__a_lost_write_is_not_waited_for),
        T(follower__sees_what_was_committed_before_a_lost_write),
        T(follower__a_client_that_is_gone_is_forgotten),
        T(follower__a_node_that_ends_answers_what_it_can),
    };

    return cmocka_run_group_tests_name("replica-follower", tests, NULL, NULL);
}
