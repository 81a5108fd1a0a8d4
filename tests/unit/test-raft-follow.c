/* Questions of nodes that do not lead: tickets and how they are sealed, what a leader may answer by,
 * and what becomes of them when leaders change (FOLLOW-1 to FOLLOW-8). The fixture compares each
 * answer with what was committed when the tickets were given. */
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

/* n1 leads, everybody is up and has heard of it, nothing is on its way. */
static void lead(unsigned n_voters, unsigned n_learners)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
}

/* The same with leases, which are valid. */
static void lead_with_leases(unsigned n_voters, unsigned n_learners)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_leases(&fx, 3 * FX_HEARTBEAT_US);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(fx_lease(&fx, 1));
}

/* n1 leads puppets. */
static void lead_puppets(unsigned n_voters, unsigned n_learners)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

/* n2 follows the puppet n1 in term 2. */
static void follow_puppet(void)
{
    struct raft_msg m;

    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 2);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    m.round = 1;
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

static struct raft_msg question(unsigned from, raft_term term, uint64_t number)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_READ_ASK, from, 1, term);

    m.ask = (struct raft_ask_id){.nonce = 77 + from, .number = number};
    return m;
}

/* An answer of n1 to the question that waits for it. */
static struct raft_msg answer_to(const struct raft_msg *ask, raft_index index)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_READ_ANSWER, 1, 2, ask->term);

    m.ask = ask->ask;
    m.index = index;
    return m;
}

static struct raft_msg asked(void)
{
    return *fx_only(&fx, 2, 1, RAFT_MSG_READ_ASK);
}

/* ---- tickets (FOLLOW-1) ---- */

/* Who asks within a turn shares a question; who asks after it was sealed does not. */
static void raft_follow__turn_shares_a_question(void **state)
{
    uint64_t first;

    (void)state;
    lead(3, 0);
    fx.hold_turns = true;
    first = fx_ask(&fx, 2);
    assert_int_equal(fx_ask(&fx, 2), first);
    fx.hold_turns = false;
    fx_turn(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, FX_ANY, RAFT_MSG_READ_ASK), 1);
    assert_int_equal(asked().ask.number, first);
    assert_int_equal(fx_ask(&fx, 2), first + 1);
    assert_int_equal(fx_count(&fx, 2, FX_ANY, RAFT_MSG_READ_ASK), 1); /* one at a time */
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, first + 1));
    assert_int_equal(fx_status(&fx, 2).n_asks_sent, 2);
}

/* What is committed while a question is on its way is no concern of its tickets, but of those that
 * come behind it: they are not answered by it. */
static void raft_follow__later_ticket_needs_a_later_question(void **state)
{
    struct fx_msg answer;
    uint64_t first;
    uint64_t second;

    (void)state;
    lead(3, 0);
    first = fx_ask(&fx, 2);
    assert_true(fx_deliver(&fx, 2, 1, RAFT_MSG_READ_ASK));
    answer = fx_take(&fx, 1, 2, RAFT_MSG_READ_ANSWER);
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    second = fx_ask(&fx, 2);
    fx_inject_ok(&fx, &answer.m);
    fx_msg_done(&answer);
    assert_true(fx_is_answered(&fx, 2, first));
    assert_false(fx_is_answered(&fx, 2, second));
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, second));
    assert_int_equal(fx.nodes[2].answered.read_index, fx_commit(&fx, 1));
}

static void raft_follow__numbers_are_never_used_again(void **state)
{
    struct raft_msg before;
    struct raft_msg after;
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    (void)fx_ask(&fx, 2);
    before = asked();
    fx_crash(&fx, 2, 0);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_restart(&fx, 2);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    ticket = fx_ask(&fx, 2);
    after = asked();
    assert_true(after.ask.nonce != before.ask.nonce);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    after.ask.nonce = before.ask.nonce; /* an answer to the life before */
    after = answer_to(&after, 1);
    fx_inject_ok(&fx, &after);
    assert_false(fx_is_answered(&fx, 2, ticket));
}

static void raft_follow__answer_counts_once(void **state)
{
    struct raft_msg ask;
    struct raft_msg m;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    ticket = fx_ask(&fx, 2);
    ask = asked();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m = answer_to(&ask, 1);
    m.ask.number++; /* one that was never asked */
    fx_inject_ok(&fx, &m);
    assert_false(fx_is_answered(&fx, 2, ticket));
    m.ask.number--;
    m.from = fx_id(&fx, 3); /* of one that was not asked */
    fx_inject_ok(&fx, &m);
    assert_false(fx_is_answered(&fx, 2, ticket));
    m.from = fx_id(&fx, 1);
    fx_inject_ok(&fx, &m);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx.nodes[2].answered.proof, RAFT_PROOF_LEADER);
    assert_int_equal(fx.nodes[2].answered.by, fx_id(&fx, 1));
    assert_int_equal(fx.nodes[2].answered.term, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[2].n_answered, 1);
}

/* ---- who is asked (FOLLOW-2) ---- */

static void raft_follow__nobody_is_asked_without_a_leader(void **state)
{
    uint64_t ticket;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start_all(&fx);
    ticket = fx_ask(&fx, 2);
    assert_int_equal(fx_count(&fx, FX_ANY, FX_ANY, RAFT_MSG_READ_ASK), 0);
    fx_tick_deadline(&fx, 2);
    assert_int_equal(fx_role(&fx, 2), RAFT_PRE_CANDIDATE);
    assert_int_equal(fx_count(&fx, FX_ANY, FX_ANY, RAFT_MSG_READ_ASK), 0);
    fx_elect(&fx, 1); /* is heard, and asked at once */
    assert_true(fx_is_answered(&fx, 2, ticket));
}

static void raft_follow__who_does_not_understand_is_not_asked(void **state)
{
    struct raft_msg m;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    raft_understands_asks(fx_raft(&fx, 2), fx_id(&fx, 1), false);
    ticket = fx_ask(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 0);
    assert_int_equal(raft_ask_due_us(fx_raft(&fx, 2)), UINT64_MAX);
    raft_understands_asks(fx_raft(&fx, 2), fx_id(&fx, 1), true);
    fx_turn(&fx, 2);
    assert_int_equal(asked().ask.number, ticket);
    /* The link goes, and whoever is behind the next one may be of another version. */
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    raft_link(fx_raft(&fx, 2), fx_id(&fx, 1), false, fx.now);
    raft_link(fx_raft(&fx, 2), fx_id(&fx, 1), true, fx.now);
    fx.now += FX_ELECTION_US / 2;
    fx_turn(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 0);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    m.round = 2;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 0);
    m.beat.said = true; /* which only those say that understand questions, too */
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 1);
}

static void raft_follow__nobody_is_asked_over_a_link_that_is_down(void **state)
{
    (void)state;
    follow_puppet();
    fx_link(&fx, 2, 1, false);
    (void)fx_ask(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, FX_ANY, RAFT_MSG_READ_ASK), 0);
    fx_link(&fx, 2, 1, true);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 1);
}

/* Who has no nonce has no numbers of its own; it leads, and answers itself. */
static void raft_follow__without_a_nonce_only_a_leader_answers_itself(void **state)
{
    uint64_t ticket;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[2].conf.nonce = 0;
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    ticket = fx_ask(&fx, 2);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx.n_sent[RAFT_MSG_READ_ASK], 0);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_turn(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx_leader(&fx), 2);
    assert_true(fx_is_answered(&fx, 2, ticket));
}

/* ---- terms (FOLLOW-2, FOLLOW-5) ---- */

static void refused(raft_term asked_in, raft_term term, unsigned leader)
{
    const struct raft_msg *m;
    struct raft_msg q = question(3, asked_in, 1);

    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_inject_ok(&fx, &q);
    m = fx_only(&fx, 1, 3, RAFT_MSG_READ_ANSWER);
    assert_true(m->reject);
    assert_int_equal(m->term, term);
    assert_int_equal(m->leader, fx_id(&fx, leader));
    assert_int_equal(m->ask.nonce, q.ask.nonce);
    assert_int_equal(m->ask.number, q.ask.number);
    assert_int_equal(fx_term(&fx, 1), term);
}

static void raft_follow__question_of_another_term_is_refused(void **state)
{
    raft_term term;

    (void)state;
    lead_puppets(3, 0);
    term = fx_term(&fx, 1);
    refused(term - 1, term, 1);
    refused(term + 1, term, 1);
    refused(term + 2 * RAFT_TERM_STEP_MAX, term, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
}

static void raft_follow__who_does_not_lead_refuses(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    refused(1, 1, 0);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 5);
    fx_inject_ok(&fx, &m);
    refused(5, 5, 2);
    refused(4, 5, 2);
}

/* A refusal tells a term, and an answer does: both change none. */
static void raft_follow__answers_change_no_term(void **state)
{
    struct raft_msg ask;
    struct raft_msg m;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    ticket = fx_ask(&fx, 2);
    ask = asked();
    m = answer_to(&ask, 0);
    m.reject = true;
    m.term = 9;
    m.leader = fx_id(&fx, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 2), 2);
    assert_int_equal(fx_status(&fx, 2).leader_id, fx_id(&fx, 1));
    assert_false(fx_is_answered(&fx, 2, ticket));
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 2);
    ask = asked();
    assert_int_equal(ask.ask.number, ticket + 1); /* another one, not that again */
    m = answer_to(&ask, 1);
    m.term = 9;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 2), 2);
    assert_false(fx_is_answered(&fx, 2, ticket));
}

/* What was answered in a term that has gone by is not used: that term's leader may have been
 * followed by one that committed more. */
static void raft_follow__answer_of_an_older_term_is_not_used(void **state)
{
    struct raft_msg ask;
    struct raft_msg m;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    ticket = fx_ask(&fx, 2);
    ask = asked();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 2, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_only(&fx, 2, 3, RAFT_MSG_READ_ASK)->ask.number, ticket + 1); /* at once */
    m = answer_to(&ask, 1);
    fx_inject_ok(&fx, &m);
    assert_false(fx_is_answered(&fx, 2, ticket));
    m = answer_to(&ask, 1);
    m.term = 3; /* nobody can say that of a question of term 2 */
    fx_inject_ok(&fx, &m);
    assert_false(fx_is_answered(&fx, 2, ticket));
}

/* The own log may have something else at that index. */
static void raft_follow__answer_raises_no_commit_index(void **state)
{
    const raft_term terms[] = {1, 1, 1};
    struct raft_msg m;
    struct raft_msg ask;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_log(&fx, 2, terms, 3);
    fx_start(&fx, 2);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2);
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    (void)fx_ask(&fx, 2);
    ask = asked();
    m = answer_to(&ask, 4);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[2].answered.read_index, 4);
    assert_int_equal(fx_commit(&fx, 2), 1);
}

/* ---- the asker's own acknowledgement (FOLLOW-3) ---- */

/* Two messages, and nothing else: no round, no heartbeat. */
static void raft_follow__asker_and_leader_are_a_quorum(void **state)
{
    for (unsigned n = 2; n <= 3; n++) {
        uint64_t rounds;
        uint64_t sent = 0;
        uint64_t ticket;

        (void)state;
        lead(n, 0);
        rounds = fx_status(&fx, 1).round;
        for (unsigned type = 1; type <= RAFT_MSG_TYPE_MAX; type++)
            sent += fx.n_sent[type];
        ticket = fx_ask(&fx, 2);
        fx_deliver_all(&fx);
        assert_true(fx_is_answered(&fx, 2, ticket));
        assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 1);
        assert_int_equal(fx_status(&fx, 1).round, rounds);
        for (unsigned type = 1; type <= RAFT_MSG_TYPE_MAX; type++)
            sent -= fx.n_sent[type];
        assert_int_equal(sent, (uint64_t)-2);
        if (n == 2)
            fx_done(&fx);
    }
}

/* Alone with one follower of four, or of five, a leader proves nothing. */
static void raft_follow__two_of_four_are_no_quorum(void **state)
{
    for (unsigned n = 4; n <= 5; n++) {
        uint64_t ticket;

        (void)state;
        lead(n, 0);
        for (unsigned i = 3; i <= n; i++)
            fx_isolate(&fx, i, true);
        ticket = fx_ask(&fx, 2);
        fx_deliver_all(&fx);
        fx_run(&fx, 2 * FX_HEARTBEAT_US);
        assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 0);
        assert_false(fx_is_answered(&fx, 2, ticket));
        fx_heal(&fx);
        fx_run(&fx, FX_HEARTBEAT_US);
        assert_true(fx_is_answered(&fx, 2, ticket));
        assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 0);
        assert_true(fx_status(&fx, 1).n_asks_by_round >= 1);
        if (n == 4)
            fx_done(&fx);
    }
}

/* A learner elects nobody: that it is in the term proves nothing. */
static void raft_follow__learner_is_no_quorum(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(3, 1);
    fx.cut[1][2] = fx.cut[2][1] = fx.cut[1][3] = fx.cut[3][1] = true;
    ticket = fx_ask(&fx, 4);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_false(fx_is_answered(&fx, 4, ticket));
    fx_heal(&fx);
    fx_run(&fx, FX_HEARTBEAT_US);
    assert_true(fx_is_answered(&fx, 4, ticket));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 0);
}

/* By the leader's own configuration in force: what the asker was before does not count. */
static void raft_follow__role_of_the_asker_is_the_leaders_word(void **state)
{
    struct raft_configuration c;
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    fx_configuration(&fx, "123l", &c);
    (void)fx_configure(&fx, 1, &c); /* in force here, and nowhere else yet */
    fx_isolate(&fx, 2, true);
    fx.cut[1][3] = false;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    ticket = fx_ask(&fx, 3);
    assert_true(fx_deliver(&fx, 3, 1, RAFT_MSG_READ_ASK));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 0);
    assert_false(fx_is_answered(&fx, 3, ticket));
    fx_configuration(&fx, "12", &c);
    (void)fx_configure(&fx, 1, &c);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_run(&fx, FX_ELECTION_US / 5);
    assert_false(fx_is_answered(&fx, 3, ticket)); /* refused: it is no member any more */
    assert_int_equal(fx_status(&fx, 1).n_asks_by_ack, 0);
}

static void raft_follow__stranger_is_refused(void **state)
{
    struct raft_msg q;

    (void)state;
    fx_init(&fx, 4, 0, 1);
    fx_found(&fx, "123");
    fx_start(&fx, 1);
    fx.n_voters = 3;
    fx_puppets_lead(&fx, 1);
    q = question(4, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    assert_true(fx_only(&fx, 1, 4, RAFT_MSG_READ_ANSWER)->reject);
}

/* It counts for its own question: whoever else waits needs a round. */
static void raft_follow__its_acknowledgement_is_for_nobody_else(void **state)
{
    struct raft_msg q;
    uint64_t read;

    (void)state;
    lead_puppets(3, 1);
    read = fx_read(&fx, 1, 0);
    q = question(4, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    q = question(2, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    assert_false(fx_only(&fx, 1, 2, RAFT_MSG_READ_ANSWER)->reject);
    assert_int_equal(fx_count(&fx, 1, 4, RAFT_MSG_READ_ANSWER), 0);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_PENDING);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_PENDING);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_DONE);
    assert_int_equal(fx_count(&fx, 1, 4, RAFT_MSG_READ_ANSWER), 1);
}

/* Before an entry of its term is committed the leader's commit index may be older than what was
 * acknowledged: the question waits, as reads do. */
static void raft_follow__question_waits_for_the_noop(void **state)
{
    struct raft_msg q;
    raft_index noop;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_elect(&fx, 1);
    noop = fx_noop(&fx, 1);
    q = question(2, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    q = question(2, fx_term(&fx, 1), 2);
    fx_inject_ok(&fx, &q);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_READ_ANSWER), 0);
    fx_puppet_ack(&fx, 3, 1, noop);
    assert_int_equal(fx_puppet_ack_round(&fx, 3, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_READ_ANSWER)->index, noop);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_READ_ANSWER)->ask.number, 2); /* covers both */
}

/* ---- rounds, leases (FOLLOW-4) ---- */

/* The round of an answer was opened after the question came. */
static void raft_follow__round_in_flight_does_not_count(void **state)
{
    struct raft_msg q;
    uint64_t round;
    raft_term term;

    (void)state;
    lead_puppets(5, 0);
    term = fx_term(&fx, 1);
    fx_tick_deadline(&fx, 1); /* a round without reads is on its way */
    round = fx_status(&fx, 1).round;
    q = question(2, term, 1);
    fx_inject_ok(&fx, &q);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, term, round), 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 3, 1, term, round), 0);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_READ_ANSWER), 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, term, round + 1), 0);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_READ_ANSWER), 0); /* two of five */
    assert_int_equal(fx_puppet_ack_round(&fx, 3, 1, term, round + 1), 0);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_READ_ANSWER), 1);
    assert_int_equal(fx_status(&fx, 1).n_asks_by_round, 1);
}

/* One learner asks, the leader is the only voter. */
static void raft_follow__lone_voter_answers_at_once(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(1, 1);
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, ticket));
}

static void raft_follow__lease_answers_without_a_round(void **state)
{
    uint64_t round;
    uint64_t ticket;

    (void)state;
    lead_with_leases(5, 1);
    round = fx_status(&fx, 1).round;
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, ticket));
    ticket = fx_ask(&fx, 6);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 6, ticket));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_lease, 2);
    assert_int_equal(fx_status(&fx, 1).round, round);
}

static void raft_follow__lease_that_is_over_answers_nobody(void **state)
{
    uint64_t ticket;

    (void)state;
    lead_with_leases(5, 0);
    for (unsigned i = 3; i <= 5; i++)
        fx_isolate(&fx, i, true);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_false(fx_lease(&fx, 1));
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_false(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_lease, 0);
}

/* The clock by which the lease is valid was read after the question was in memory. */
static void raft_follow__lease_is_looked_at_after_the_question(void **state)
{
    uint64_t ticket;

    (void)state;
    lead_with_leases(5, 0);
    fx.nodes[1].deaf_clock = true;
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_int_equal(fx_status(&fx, 1).n_asks_by_lease, 0);
    assert_true(fx_is_answered(&fx, 2, ticket)); /* by a round */
    for (unsigned i = 3; i <= 5; i++)
        fx_isolate(&fx, i, true);
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_false(fx_is_answered(&fx, 2, ticket));
    fx.nodes[1].deaf_clock = false;
    fx_tick_deadline(&fx, 2); /* asks anew: that one may be answered by the lease */
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_lease, 1);
}

/* Reads of clients that wait beside a question that a lease answers stay where they are. */
static void raft_follow__lease_takes_questions_out_of_the_queue(void **state)
{
    uint64_t a;
    uint64_t b;
    uint64_t ticket;

    (void)state;
    lead_with_leases(5, 0);
    fx.nodes[1].deaf_clock = true;
    for (unsigned i = 3; i <= 5; i++)
        fx_isolate(&fx, i, true);
    fx.nodes[1].r->rounds.max = 1;
    (void)fx_read(&fx, 1, 0); /* the window is full */
    a = fx_read(&fx, 1, 0);
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    b = fx_read(&fx, 1, 0);
    fx.nodes[1].deaf_clock = false;
    fx_turn(&fx, 1);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx_status(&fx, 1).n_asks_by_lease, 1);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 3);
    fx_heal(&fx);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx_read_state(&fx, a), FX_READ_DONE);
    assert_int_equal(fx_read_state(&fx, b), FX_READ_DONE);
}

/* A state that is not believed is no reason to answer others; who asked is asked to ask again. */
static void raft_follow__unfit_leader_refuses(void **state)
{
    struct raft_msg q;

    (void)state;
    lead_puppets(5, 0);
    q = question(2, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    fx_turn(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    q = question(3, fx_term(&fx, 1), 1);
    fx_inject_ok(&fx, &q);
    assert_true(fx_only(&fx, 1, 3, RAFT_MSG_READ_ANSWER)->reject);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 3, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_READ_ANSWER), 0);
}

/* However often it asks, there is one place for it; and reads of clients keep theirs. */
static void raft_follow__asker_fills_no_queue(void **state)
{
    struct raft_msg q;

    (void)state;
    fx_init(&fx, 5, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_elect(&fx, 1);
    for (uint64_t number = 1; number <= 100; number++) {
        q = question(2, fx_term(&fx, 1), number);
        fx_inject_ok(&fx, &q);
        q = question(2, fx_term(&fx, 1), 1); /* late: the newest stays */
        fx_inject_ok(&fx, &q);
    }
    assert_int_equal(fx_raft(&fx, 1)->reads.n_asks, 1);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
    fx_puppet_ack(&fx, 2, 1, fx_noop(&fx, 1));
    fx_puppet_ack(&fx, 3, 1, fx_noop(&fx, 1));
    for (unsigned i = 2; i <= 3; i++)
        assert_int_equal(fx_puppet_ack_round(&fx, i, 1, fx_term(&fx, 1), fx_status(&fx, 1).round),
                         0);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_READ_ANSWER)->ask.number, 100);
    q = question(2, fx_term(&fx, 1), 1); /* it has been started anew, and counts from one */
    q.ask.nonce++;
    fx_inject_ok(&fx, &q);
    assert_int_equal(fx_raft(&fx, 1)->reads.n_asks, 1);
}

/* Who is removed while its question waits gets no answer, and is in nobody's way. */
static void raft_follow__removed_asker_is_forgotten(void **state)
{
    struct raft_configuration c;
    struct raft_msg q;
    uint64_t read;

    (void)state;
    lead_puppets(4, 0);
    q = question(4, fx_term(&fx, 1), 1);
    fx.hold_turns = true;
    fx_inject_ok(&fx, &q);
    read = fx_read(&fx, 1, 0);
    fx_configuration(&fx, "123", &c);
    (void)fx_configure(&fx, 1, &c);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_DONE);
    assert_int_equal(fx_count(&fx, 1, 4, RAFT_MSG_READ_ANSWER), 0);
    assert_int_equal(fx_raft(&fx, 1)->reads.n_asks, 0);
}

/* ---- the commit index goes along ---- */

static void raft_follow__answer_brings_the_commit_index(void **state)
{
    uint64_t beats;
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    (void)fx_propose(&fx, 1);
    while (fx_deliver(&fx, 1, FX_ANY, RAFT_MSG_APPEND))
        ;
    while (fx_deliver(&fx, FX_ANY, 1, RAFT_MSG_APPEND_RESP))
        ;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1));
    assert_true(fx_commit(&fx, 2) < fx_commit(&fx, 1)); /* it has the entry, and waits for a word */
    ticket = fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx_commit(&fx, 2), fx.nodes[2].answered.read_index);
    /* Told once; nothing has changed since. */
    beats = fx.n_sent[RAFT_MSG_HEARTBEAT];
    (void)fx_ask(&fx, 2);
    fx_deliver_all(&fx);
    assert_int_equal(fx.n_sent[RAFT_MSG_HEARTBEAT], beats);
}

/* Its acknowledgement is on its way when it asks: it is told when that has come. */
static void raft_follow__commit_index_comes_with_the_acknowledgement(void **state)
{
    raft_index index;
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    (void)fx_propose(&fx, 1);
    index = fx_last(&fx, 1);
    (void)fx_deliver_each(&fx, 1, FX_ANY, RAFT_MSG_APPEND);
    (void)fx_deliver_each(&fx, 3, 1, RAFT_MSG_APPEND_RESP);
    assert_int_equal(fx_commit(&fx, 1), index);
    (void)fx_drop(&fx, 1, FX_ANY, FX_ANY);
    ticket = fx_ask(&fx, 2);
    (void)fx_deliver(&fx, 2, 1, RAFT_MSG_READ_ASK);
    (void)fx_deliver(&fx, 1, 2, RAFT_MSG_READ_ANSWER);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx.nodes[2].answered.read_index, index);
    assert_true(fx_commit(&fx, 2) < index);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_HEARTBEAT), 0); /* is not known to hold it */
    fx_deliver_all(&fx);
    assert_int_equal(fx_commit(&fx, 2), index);
}

/* ---- lost, late, anew (FOLLOW-6) ---- */

static void raft_follow__late_question_is_asked_anew(void **state)
{
    struct raft_msg first;
    struct raft_msg second;
    struct raft_msg m;
    uint64_t asked_us;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    asked_us = fx.now;
    ticket = fx_ask(&fx, 2);
    first = asked();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(raft_deadline_us(fx_raft(&fx, 2)), asked_us + RAFT_ASK_US);
    fx.now = asked_us + RAFT_ASK_US - 1;
    fx_tick(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 0);
    fx_tick_deadline(&fx, 2);
    second = asked();
    assert_int_equal(second.ask.number, first.ask.number + 1); /* never the same again */
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    assert_int_equal(raft_deadline_us(fx_raft(&fx, 2)), fx.now + 2 * RAFT_ASK_US); /* and so on */
    m = answer_to(&first, 1); /* late, and as good as the other */
    fx_inject_ok(&fx, &m);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx.nodes[2].answered.ticket, first.ask.number);
    /* Nobody waits for the other one; its answer comes, and is nobody's. */
    fx.now += 8 * RAFT_ASK_US;
    fx_turn(&fx, 2);
    assert_int_equal(fx_count(&fx, 2, 1, RAFT_MSG_READ_ASK), 0);
    m = answer_to(&second, 1);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[2].answered.ticket, second.ask.number);
}

/* Two are remembered: with the third the first is forgotten, and its answer comes too late. */
static void raft_follow__two_questions_are_remembered(void **state)
{
    struct raft_msg q[3];
    struct raft_msg m;
    uint64_t ticket;

    (void)state;
    follow_puppet();
    ticket = fx_ask(&fx, 2);
    for (unsigned k = 0; k < 3; k++) {
        if (k > 0)
            fx_tick_deadline(&fx, 2);
        q[k] = asked();
        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    }
    m = answer_to(&q[0], 1);
    fx_inject_ok(&fx, &m);
    assert_false(fx_is_answered(&fx, 2, ticket));
    m = answer_to(&q[2], 1);
    fx_inject_ok(&fx, &m);
    assert_true(fx_is_answered(&fx, 2, ticket));
    m = answer_to(&q[1], 1); /* an older one behind a newer one says nothing */
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[2].answered.ticket, q[2].ask.number);
    assert_int_equal(fx.nodes[2].n_answered, 1);
}

/* How long answers take is measured, and waiting has an end. */
static void raft_follow__patience_follows_the_answers(void **state)
{
    struct raft_msg ask;
    struct raft_msg m;

    (void)state;
    follow_puppet();
    (void)fx_ask(&fx, 2);
    ask = asked();
    fx.now += 9000;
    m = answer_to(&ask, 1);
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    (void)fx_ask(&fx, 2);
    assert_int_equal(raft_ask_due_us(fx_raft(&fx, 2)), fx.now + 18000);
    for (unsigned k = 0; k < 8; k++) {
        fx.now = raft_ask_due_us(fx_raft(&fx, 2));
        m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2); /* the leader is there, and answers not */
        fx_inject_ok(&fx, &m);
    }
    assert_int_equal(raft_ask_due_us(fx_raft(&fx, 2)), fx.now + FX_ELECTION_US);
}

/* The higher index is right for all, in whatever order they come. */
static void raft_follow__answers_of_one_turn_are_one(void **state)
{
    struct raft_msg q[2];
    struct raft_msg m;

    (void)state;
    follow_puppet();
    (void)fx_ask(&fx, 2);
    q[0] = asked();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 2);
    q[1] = asked();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.hold_turns = true;
    m = answer_to(&q[0], 7);
    fx_inject_ok(&fx, &m);
    m = answer_to(&q[1], 5);
    fx_inject_ok(&fx, &m);
    fx.hold_turns = false;
    fx_turn(&fx, 2);
    assert_int_equal(fx.nodes[2].n_answered, 1);
    assert_int_equal(fx.nodes[2].answered.ticket, q[1].ask.number);
    assert_int_equal(fx.nodes[2].answered.read_index, 7);
}

/* ---- roles change (FOLLOW-6) ---- */

static void raft_follow__leader_answers_its_own_tickets(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    ticket = fx_ask(&fx, 1);
    assert_false(fx_is_answered(&fx, 1, ticket));
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_HEARTBEAT), 1);
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 1, ticket));
    assert_int_equal(fx.nodes[1].answered.proof, RAFT_PROOF_ROUND);
    assert_int_equal(fx.n_sent[RAFT_MSG_READ_ASK], 0);
    assert_int_equal(fx_status(&fx, 1).n_asks_sent, 0);
    /* Who asks while the round is out waits for the next. */
    ticket = fx_ask(&fx, 1);
    fx_deliver_each(&fx, 1, FX_ANY, RAFT_MSG_HEARTBEAT);
    fx.hold_turns = true;
    (void)fx_ask(&fx, 1);
    fx.hold_turns = false;
    fx_deliver_each(&fx, FX_ANY, 1, RAFT_MSG_HEARTBEAT_RESP);
    assert_true(fx_is_answered(&fx, 1, ticket));
    assert_false(fx_is_answered(&fx, 1, ticket + 1));
    fx_deliver_all(&fx);
    assert_true(fx_is_answered(&fx, 1, ticket + 1));
}

static void raft_follow__lone_leader_answers_itself_at_once(void **state)
{
    uint64_t ticket;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    ticket = fx_ask(&fx, 1);
    assert_true(fx_is_answered(&fx, 1, ticket));
}

/* Asked as a follower, elected before the answer. */
static void raft_follow__tickets_survive_an_election(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    ticket = fx_ask(&fx, 2);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_crash(&fx, 1, 0);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 2);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(fx_is_answered(&fx, 2, ticket));
    assert_int_equal(fx.nodes[2].answered.by, fx_id(&fx, 2));
}

/* Asked as a leader, deposed before its round was answered; the next leader is asked. */
static void raft_follow__tickets_survive_the_loss_of_leadership(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    fx_isolate(&fx, 1, true);
    ticket = fx_ask(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 2);
    (void)fx_propose(&fx, 2);
    fx_run(&fx, FX_HEARTBEAT_US);
    assert_false(fx_is_answered(&fx, 1, ticket));
    fx_heal(&fx);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
    assert_true(fx_is_answered(&fx, 1, ticket));
    assert_int_equal(fx.nodes[1].answered.by, fx_id(&fx, 2));
    assert_int_equal(fx_n_reads(&fx, 1, FX_READ_FAILED), 0);
}

/* The state is being replaced: it asks, and has its index when it is there (FOLLOW-8). */
static void raft_follow__snapshot_under_way_stops_no_question(void **state)
{
    uint64_t ticket;

    (void)state;
    lead(3, 0);
    fx_isolate(&fx, 3, true);
    for (unsigned k = 0; k < 5; k++)
        (void)fx_propose(&fx, 1);
    fx_run(&fx, FX_HEARTBEAT_US);
    ticket = fx_ask(&fx, 3);
    fx_heal(&fx);
    (void)fx_drop(&fx, FX_ANY, 3, RAFT_MSG_APPEND);
    fx.nodes[3].manual_restore = true;
    assert_int_equal(fx_hand_over(&fx, 1, 3, fx_commit(&fx, 1), false), RAFT_INSTALL_LOG);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(raft_is_installing(fx_raft(&fx, 3)));
    assert_true(fx_is_answered(&fx, 3, ticket));
    assert_true(fx.nodes[3].answered.read_index <= fx_commit(&fx, 1));
    fx_restored(&fx, 3);
    assert_true(fx_status(&fx, 3).last_applied >= fx.nodes[3].answered.read_index);
}

/* ---- chance ---- */

/* The leader makes one step from its configuration: a voter more or less, or a learner. */
static void change_members(struct fx *f, unsigned leader)
{
    struct raft_configuration c = *raft_get_configuration(fx_raft(f, leader));
    const unsigned i = 1 + (unsigned)prng_below(&f->prng, f->n);
    struct raft_server *s = NULL;

    for (unsigned k = 0; k < c.n; k++)
        if (c.servers[k].id == fx_id(f, i))
            s = &c.servers[k];
    if (s == NULL || i == leader)
        return;
    if (s->role == RAFT_LEARNER)
        s->role = RAFT_VOTER;
    else if (raft_configuration_n_voters(&c) > 2)
        s->role = RAFT_LEARNER;
    (void)fx_try_configure(f, leader, &c, false);
}

static void act(struct fx *f)
{
    const unsigned i = 1 + (unsigned)prng_below(&f->prng, f->n);
    const unsigned leader = fx_leader(f);
    struct raft_entry_id id;
    uint64_t x = 0;

    switch (prng_below(&f->prng, 60)) {
    case 0:
        for (unsigned j = 1; j <= f->n; j++)
            for (unsigned k = 1; k <= f->n; k++)
                f->cut[j][k] = prng_below(&f->prng, 100) < 40;
        break;
    case 1:
        if (leader != 0)
            fx_isolate(f, leader, true);
        break;
    case 2:
    case 3:
        fx_heal(f);
        break;
    case 4:
        fx_crash(f, i, (unsigned)prng_below(&f->prng, 2));
        fx_restart(f, i);
        break;
    case 5:
        if (leader != 0)
            (void)raft_transfer(fx_raft(f, leader), 0, fx_now(f, leader));
        break;
    case 6:
        fx_suspend(f, i, prng_below(&f->prng, FX_ELECTION_US / 2));
        break;
    case 7:
    case 8:
        if (leader != 0)
            change_members(f, leader);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
        if (leader != 0)
            (void)fx_try_propose(f, leader, &x, sizeof(x), &id);
        break;
    default:
        (void)fx_ask(f, i);
        break;
    }
}

static void pass_messages(struct fx *f)
{
    for (uint64_t n = prng_below(&f->prng, 24); n > 0 && f->n_net > 0; n--) {
        struct fx_msg *m = &f->net[prng_below(&f->prng, f->n_net < 20 ? f->n_net : 20)];

        if (prng_below(&f->prng, 50) == 0)
            fx_duplicate(f, m);
        else
            fx_deliver_msg(f, m);
    }
}

/* Two to five voters that change, links that fail, answers that are late, leaders that change: no
 * ticket gets an index below what was committed when it was given. */
static void raft_follow__no_answer_is_old_by_chance(void **state)
{
    uint64_t n_answered = 0;
    uint64_t n_by[3] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        fx_init(&fx, 2 + (unsigned)(seed % 4), seed % 3 == 0, seed);
        fx_leases(&fx, seed % 2 == 0 ? 2 * FX_ELECTION_US : 0);
        fx.changes_by_rule = true;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 1500; k++) {
            act(&fx);
            pass_messages(&fx);
            fx.now += prng_below(&fx.prng, 3000);
            for (unsigned i = 1; i <= fx.n; i++)
                if (raft_deadline_us(fx_raft(&fx, i)) <= fx_now(&fx, i))
                    fx_tick(&fx, i);
        }
        for (unsigned i = 1; i <= fx.n; i++) {
            struct raft_status s = fx_status(&fx, i);

            n_answered += fx.nodes[i].n_answered;
            n_by[0] += s.n_asks_by_ack;
            n_by[1] += s.n_asks_by_lease;
            n_by[2] += s.n_asks_by_round;
        }
        fx_done(&fx);
    }
    print_message("%u answers; by acknowledgement %u, by lease %u, by round %u\n",
                  (unsigned)n_answered, (unsigned)n_by[0], (unsigned)n_by[1], (unsigned)n_by[2]);
    assert_true(n_answered > 5000);
    assert_true(n_by[0] > 500);
    assert_true(n_by[1] > 100);
    assert_true(n_by[2] > 500);
    fx_init(&fx, 1, 0, 1);
}

/* ---- what no correct peer sends ---- */

static void raft_follow__question_without_a_number_is_invalid(void **state)
{
    struct raft_msg m;

    (void)state;
    lead_puppets(3, 0);
    m = question(2, fx_term(&fx, 1), 0);
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
    m = question(2, fx_term(&fx, 1), 1);
    m.ask.nonce = 0;
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
    m = fx_make(&fx, RAFT_MSG_READ_ANSWER, 2, 1, fx_term(&fx, 1));
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft_follow__##name, teardown)
        TEST(turn_shares_a_question),
        TEST(later_ticket_needs_a_later_question),
        TEST(numbers_are_never_used_again),
        TEST(answer_counts_once),
        TEST(nobody_is_asked_without_a_leader),
        TEST(who_does_not_understand_is_not_asked),
        TEST(nobody_is_asked_over_a_link_that_is_down),
        TEST(without_a_nonce_only_a_leader_answers_itself),
        TEST(question_of_another_term_is_refused),
        TEST(who_does_not_lead_refuses),
        TEST(answers_change_no_term),
        TEST(answer_of_an_older_term_is_not_used),
        TEST(answer_raises_no_commit_index),
        TEST(asker_and_leader_are_a_quorum),
        TEST(two_of_four_are_no_quorum),
        TEST(learner_is_no_quorum),
        TEST(role_of_the_asker_is_the_leaders_word),
        TEST(stranger_is_refused),
        TEST(its_acknowledgement_is_for_nobody_else),
        TEST(question_waits_for_the_noop),
        TEST(round_in_flight_does_not_count),
        TEST(lone_voter_answers_at_once),
        TEST(lease_answers_without_a_round),
        TEST(lease_that_is_over_answers_nobody),
        TEST(lease_is_looked_at_after_the_question),
        TEST(lease_takes_questions_out_of_the_queue),
        TEST(unfit_leader_refuses),
        TEST(asker_fills_no_queue),
        TEST(removed_asker_is_forgotten),
        TEST(answer_brings_the_commit_index),
        TEST(commit_index_comes_with_the_acknowledgement),
        TEST(late_question_is_asked_anew),
        TEST(two_questions_are_remembered),
        TEST(patience_follows_the_answers),
        TEST(answers_of_one_turn_are_one),
        TEST(leader_answers_its_own_tickets),
        TEST(lone_leader_answers_itself_at_once),
        TEST(tickets_survive_an_election),
        TEST(tickets_survive_the_loss_of_leadership),
        TEST(snapshot_under_way_stops_no_question),
        TEST(no_answer_is_old_by_chance),
        TEST(question_without_a_number_is_invalid),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
