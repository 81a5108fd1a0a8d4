/* One test per rule of figure 3.1 of the Raft dissertation, with the section;
 * then 3.6.1, 3.6.2, 3.10, 4.2.3, 9.6. Node 1 is real, the others are puppets unless a test says
 * otherwise. */
#include "raft-fixture.h"

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* Node 1 of n voters with this log behind the first entry, in this term. */
static void start_one(unsigned n, const raft_term *terms, unsigned n_terms, raft_term term)
{
    fx_init(&fx, n, 0, 1);
    fx_set_log(&fx, 1, terms, n_terms);
    fx_set_hard_state(&fx, 1, term, 0);
    fx_start(&fx, 1);
}

static struct raft_msg make_vote(enum raft_msg_type type, unsigned from, raft_term term,
                                 raft_term last_term, raft_index last_index)
{
    struct raft_msg m = fx_make(&fx, type, from, 1, term);

    m.prev = (struct raft_entry_id){last_term, last_index};
    return m;
}

static void heartbeat(unsigned from, raft_term term)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT, from, 1, term);

    fx_inject_ok(&fx, &m);
}

static struct raft_msg answer(unsigned to, enum raft_msg_type type)
{
    struct raft_msg m = *fx_only(&fx, 1, to, (int)type);

    (void)fx_drop(&fx, 1, to, (int)type);
    return m;
}

static void become_pre_candidate(void)
{
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
}

static void become_candidate(void)
{
    raft_term term = fx_term(&fx, 1) + 1;

    become_pre_candidate();
    for (unsigned j = 2; j <= fx.n_voters && fx_role(&fx, 1) == RAFT_PRE_CANDIDATE; j++) {
        struct raft_msg m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, j, 1, term);

        fx_inject_ok(&fx, &m);
    }
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
}

/* ---- state ---- */

/* Figure 3.1, persistent state: current_term, voted_for and log[] are those of the disk. */
static void raft__paper_state_is_what_was_durable(void **state)
{
    static const raft_term log[] = {1, 2, 2};

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_log(&fx, 1, log, 3);
    fx_set_hard_state(&fx, 1, 4, 3);
    fx_start(&fx, 1);
    assert_int_equal(fx_term(&fx, 1), 4);
    assert_true(fx_status(&fx, 1).voted_for == fx_id(&fx, 3));
    assert_int_equal(fx_last(&fx, 1), 4);
    assert_int_equal(fx_term_at(&fx, 1, 2), 1);
    assert_int_equal(fx_term_at(&fx, 1, 3), 2);
    assert_int_equal(fx_term_at(&fx, 1, 4), 2);
    assert_int_equal(fx_term_at(&fx, 1, 5), 0);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER); /* 3.4: servers start up as followers */
}

/* Figure 3.1, volatile state on leaders: next_index begins at last + 1, match_index at 0. */
static void raft__paper_leader_next_and_match_index_begin(void **state)
{
    static const raft_term log[] = {1, 1, 2};
    struct raft_status s;

    (void)state;
    start_one(3, log, 3, 2);
    become_candidate();
    fx.hold_turns = true; /* before anything is sent */
    {
        struct raft_msg m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, 3);

        fx_inject_ok(&fx, &m);
    }
    s = fx_status(&fx, 1);
    assert_int_equal(s.role, RAFT_LEADER);
    assert_int_equal(fx_peer(&fx, &s, 3)->match_index, 0);
    assert_int_equal(fx_peer(&fx, &s, 3)->next_index, 5);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_int_equal(fx_find(&fx, 1, 3, RAFT_MSG_APPEND)->m.prev.index, 4);
    assert_int_equal(fx_find(&fx, 1, 3, RAFT_MSG_APPEND)->m.prev.term, 2);
}

/* "Reinitialized after election": what a follower had acknowledged to an earlier leadership may be
 * gone since. */
static void raft__paper_leader_forgets_match_index_of_earlier_terms(void **state)
{
    struct raft_status s;

    (void)state;
    start_one(5, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    (void)fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 2, 1, 3);
    heartbeat(3, 5);
    fx_puppets_elect(&fx, 1);
    s = fx_status(&fx, 1);
    for (unsigned j = 2; j <= 5; j++) {
        assert_int_equal(fx_peer(&fx, &s, j)->match_index, 0);
        assert_int_equal(fx_peer(&fx, &s, j)->next_index, 4);
    }
    fx_puppet_ack(&fx, 3, 1, 4);
    assert_int_equal(fx_commit(&fx, 1), 2);
    fx_puppet_ack(&fx, 4, 1, 4);
    assert_int_equal(fx_commit(&fx, 1), 4);
}

/* ---- RequestVote, receiver ---- */

/* 1. Reply false if term < current_term (3.3). */
static void raft__paper_vote_of_a_lower_term_is_refused(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 5);
    m = make_vote(RAFT_MSG_VOTE, 2, 4, 3, 99);
    fx_inject_ok(&fx, &m);
    m = answer(2, RAFT_MSG_VOTE_RESP);
    assert_true(m.reject);
    assert_int_equal(m.term, 5);
    assert_true(fx_status(&fx, 1).voted_for == 0);
}

/* 2. One vote per term, first come first served (3.4); the same candidate may ask again
 * (VOTE-2). */
static void raft__paper_vote_once_per_term(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(5, NULL, 0, 1);
    m = make_vote(RAFT_MSG_VOTE, 2, 2, 1, 1);
    fx_inject_ok(&fx, &m);
    m = answer(2, RAFT_MSG_VOTE_RESP);
    assert_false(m.reject);
    assert_int_equal(m.term, 2);
    assert_int_equal(fx_term(&fx, 1), 2);
    assert_true(fx_status(&fx, 1).voted_for == fx_id(&fx, 2));
    m = make_vote(RAFT_MSG_VOTE, 3, 2, 1, 9);
    fx_inject_ok(&fx, &m);
    assert_true(answer(3, RAFT_MSG_VOTE_RESP).reject);
    m = make_vote(RAFT_MSG_VOTE, 2, 2, 1, 1);
    fx_inject_ok(&fx, &m);
    assert_false(answer(2, RAFT_MSG_VOTE_RESP).reject);
    m = make_vote(RAFT_MSG_VOTE, 3, 3, 1, 1); /* a new term, a new vote */
    fx_inject_ok(&fx, &m);
    assert_false(answer(3, RAFT_MSG_VOTE_RESP).reject);
    assert_true(fx_status(&fx, 1).voted_for == fx_id(&fx, 3));
}

/* A candidate and a leader have voted for themselves (3.4): a rival of the same term is refused. */
static void raft__paper_vote_refused_by_candidate_and_leader(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 1);
    become_candidate();
    m = make_vote(RAFT_MSG_VOTE, 2, 2, 1, 9);
    fx_inject_ok(&fx, &m);
    assert_true(answer(2, RAFT_MSG_VOTE_RESP).reject);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    m = make_vote(RAFT_MSG_VOTE, 2, 2, 1, 9);
    m.transfer = true;
    fx_inject_ok(&fx, &m);
    assert_true(answer(2, RAFT_MSG_VOTE_RESP).reject);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
}

/* 2. and 3.6.1: the candidate's log must be at least as up-to-date: the later last term wins, then
 * the longer log. The last term counts before the length (VOTE-4). */
static void raft__paper_vote_needs_an_up_to_date_log(void **state)
{
    static const raft_term log[] = {1, 3, 3}; /* last: term 3, index 4 */
    static const struct {
        raft_term term;
        raft_index index;
        bool granted;
    } cases[] = {
        {3, 4, true},  {3, 5, true},  {4, 2, true},  {4, 4, true},  {4, 9, true},
        {3, 3, false}, {2, 4, false}, {2, 9, false}, {1, 1, false}, {3, 1, false},
    };

    (void)state;
    for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        for (unsigned pre = 0; pre < 2; pre++) {
            struct raft_msg m;

            start_one(3, log, 3, 4);
            m = make_vote(pre != 0 ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE, 2, 5, cases[k].term,
                          cases[k].index);
            fx_inject_ok(&fx, &m);
            m = answer(2, pre != 0 ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP);
            assert_int_equal(m.reject, !cases[k].granted);
            fx_done(&fx);
        }
    }
    fx_init(&fx, 1, 0, 1);
}

/* ---- AppendEntries, receiver ---- */

/* 1. Reply false if term < current_term (3.3). */
static void raft__paper_append_of_a_lower_term_is_refused(void **state)
{
    static const raft_term log[] = {1, 2};
    static const raft_term terms[] = {2};
    struct raft_msg m;

    (void)state;
    start_one(3, log, 2, 5);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){2, 3}, terms, 1, 3), 0);
    m = answer(2, RAFT_MSG_APPEND_RESP);
    assert_true(m.reject);
    assert_int_equal(m.term, 5);
    assert_int_equal(fx_last(&fx, 1), 3);
    assert_int_equal(fx_commit(&fx, 1), 1);
    assert_true(raft_get_leader(fx_raft(&fx, 1)) == 0);
}

/* 2. Reply false if the log has no entry at prev_log_index with prev_log_term (3.5). The answer
 * says where to go on. */
static void raft__paper_append_needs_the_previous_entry(void **state)
{
    static const raft_term log[] = {1, 2, 2, 2}; /* indexes 2 .. 5 */
    static const raft_term terms[] = {4};
    struct raft_msg m;

    (void)state;
    start_one(3, log, 4, 4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){4, 9}, terms, 1, 9), 0);
    m = answer(2, RAFT_MSG_APPEND_RESP);
    assert_true(m.reject);
    assert_int_equal(m.index, 9);
    assert_int_equal(m.hint.index, 6); /* too short: last + 1, term 0 */
    assert_int_equal(m.hint.term, 0);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){3, 5}, terms, 1, 9), 0);
    m = answer(2, RAFT_MSG_APPEND_RESP);
    assert_true(m.reject);
    assert_int_equal(m.index, 5);
    assert_int_equal(m.hint.index, 3); /* the first index of the conflicting term */
    assert_int_equal(m.hint.term, 2);
    assert_int_equal(fx_last(&fx, 1), 5); /* nothing was removed or added */
    assert_int_equal(fx_commit(&fx, 1), 1);
}

/* 3. A conflicting entry and all that follow it are deleted, and nothing else (3.5, LOG-3). */
static void raft__paper_append_deletes_conflicting_entries(void **state)
{
    static const raft_term log[] = {1, 2, 2, 2};
    static const raft_term terms[] = {2, 4};

    (void)state;
    start_one(3, log, 4, 4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, terms, 2, 1), 0);
    assert_int_equal(fx_last(&fx, 1), 4);
    assert_int_equal(fx_term_at(&fx, 1, 3), 2);
    assert_int_equal(fx_term_at(&fx, 1, 4), 4);
    assert_int_equal(fx_term_at(&fx, 1, 5), 0);
    assert_int_equal(fx.nodes[1].disk.n, 4);
    assert_int_equal(fx.nodes[1].disk.log[3].id.term, 4);
    assert_int_equal(answer(2, RAFT_MSG_APPEND_RESP).index, 4);
}

/* 4. Entries not already in the log are appended; those that are stay (3.5). */
static void raft__paper_append_adds_only_what_is_new(void **state)
{
    static const raft_term log[] = {1, 2, 2};
    static const raft_term terms[] = {2, 2, 2, 4};
    uint64_t batch;

    (void)state;
    start_one(3, log, 3, 4);
    fx.nodes[1].manual_store = true;
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, terms, 4, 1), 0);
    assert_int_equal(fx.nodes[1].n_batches, 1);
    assert_int_equal(fx.nodes[1].batches[0].truncate_from, 0);
    assert_int_equal(fx.nodes[1].batches[0].n_entries, 2); /* 5 and 6 */
    assert_int_equal(fx.nodes[1].batches[0].entries[0].id.index, 5);
    fx_store_all(&fx, 1);
    assert_int_equal(answer(2, RAFT_MSG_APPEND_RESP).index, 6);
    batch = fx.nodes[1].batch_last;
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, terms, 2, 1), 0);
    assert_int_equal(fx_last(&fx, 1), 6);
    fx_store_all(&fx, 1);
    assert_int_equal(answer(2, RAFT_MSG_APPEND_RESP).index, 4);
    for (unsigned k = 0; k < fx.nodes[1].n_batches; k++)
        assert_int_equal(fx.nodes[1].batches[k].n_entries, 0);
    assert_true(fx.nodes[1].batch_last <= batch + 1);
}

/* 5. commit_index = min(leader_commit, index of the last new entry) (3.5). No further than this
 * message proved (COMMIT-4). */
static void raft__paper_append_moves_commit_to_the_smaller(void **state)
{
    static const raft_term log[] = {1, 2, 2, 2, 2};
    static const raft_term terms[] = {2, 2};

    (void)state;
    start_one(3, log, 5, 4);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, terms, 2, 3), 0);
    assert_int_equal(fx_commit(&fx, 1), 3); /* leader_commit is the smaller */
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, terms, 2, 6), 0);
    assert_int_equal(fx_commit(&fx, 1), 4); /* prev + n is: 5 and 6 are not proven */
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 4, (struct raft_entry_id){1, 2}, NULL, 0, 6), 0);
    assert_int_equal(fx_commit(&fx, 1), 4); /* and it never falls */
}

/* ---- all servers ---- */

/* If commit_index > last_applied: apply in order (3.5). */
static void raft__paper_committed_entries_are_handed_out_in_order(void **state)
{
    static const raft_term terms[] = {2, 2, 2, 2};

    (void)state;
    start_one(3, NULL, 0, 1);
    assert_int_equal(fx.nodes[1].committed_handed,
                     1); /* the first entry is committed by definition */
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 2, (struct raft_entry_id){1, 1}, terms, 4, 3), 0);
    assert_int_equal(fx.nodes[1].committed_handed, 3);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 2, (struct raft_entry_id){2, 5}, NULL, 0, 5), 0);
    assert_int_equal(fx.nodes[1].committed_handed, 5);
    assert_int_equal(fx_status(&fx, 1).last_applied, 5);
}

/* A higher term in a request or response: take it, become follower (3.3). In every role, by every
 * message. */
static void raft__paper_higher_term_makes_a_follower(void **state)
{
    static const enum raft_msg_type types[] = {
        RAFT_MSG_VOTE,        RAFT_MSG_APPEND,         RAFT_MSG_HEARTBEAT,    RAFT_MSG_VOTE_RESP,
        RAFT_MSG_APPEND_RESP, RAFT_MSG_HEARTBEAT_RESP, RAFT_MSG_PRE_VOTE_RESP};

    (void)state;
    for (int role = RAFT_FOLLOWER; role <= RAFT_LEADER; role++) {
        for (unsigned k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
            struct raft_msg m;

            start_one(3, NULL, 0, 1);
            if (role == RAFT_PRE_CANDIDATE)
                become_pre_candidate();
            if (role == RAFT_CANDIDATE)
                become_candidate();
            if (role == RAFT_LEADER)
                fx_puppets_lead(&fx, 1);
            assert_int_equal(fx_role(&fx, 1), role);
            m = fx_make(&fx, types[k], 2, 1, 9);
            m.prev = (struct raft_entry_id){1, 1};
            m.transfer = types[k] == RAFT_MSG_VOTE;
            if (types[k] != RAFT_MSG_VOTE && types[k] != RAFT_MSG_APPEND) {
                m.prev = (struct raft_entry_id){0, 0};
                m.reject = types[k] != RAFT_MSG_HEARTBEAT;
            }
            if (types[k] == RAFT_MSG_APPEND_RESP) {
                m.index = 1;
                m.hint.index = 1;
            }
            fx_inject_ok(&fx, &m);
            assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
            assert_int_equal(fx_term(&fx, 1), 9);
            assert_true(raft_get_leader(fx_raft(&fx, 1)) ==
                        (types[k] == RAFT_MSG_APPEND || types[k] == RAFT_MSG_HEARTBEAT
                             ? fx_id(&fx, 2)
                             : 0));
            assert_int_equal(fx.nodes[1].loss,
                             role == RAFT_LEADER ? RAFT_LOSS_TERM : RAFT_LOSS_NONE);
            fx_done(&fx);
        }
    }
    fx_init(&fx, 1, 0, 1);
}

/* ---- followers ---- */

/* 3.4: an election begins when a timeout between T and 2T elapses, chosen anew for each node and
 * each time. */
static void raft__paper_election_timeouts_are_randomised(void **state)
{
    uint64_t seen[40];
    unsigned n_equal = 0;
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;

    (void)state;
    for (unsigned k = 0; k < 40; k++) {
        fx_init(&fx, 3, 0, k + 1);
        fx_start(&fx, 1);
        seen[k] = raft_deadline_us(fx_raft(&fx, 1)) - fx.now;
        assert_true(seen[k] >= FX_ELECTION_US);
        assert_true(seen[k] <= 2 * FX_ELECTION_US);
        fx.now += 1000;
        heartbeat(2, 1);
        n_equal += raft_deadline_us(fx_raft(&fx, 1)) - fx.now == seen[k];
        low = seen[k] < low ? seen[k] : low;
        high = seen[k] > high ? seen[k] : high;
        fx_done(&fx);
    }
    assert_true(high - low > FX_ELECTION_US / 2);
    assert_true(n_equal < 20);
    fx_init(&fx, 1, 0, 1);
}

/* Messages of the current leader and a granted vote put the election off; a refused vote and old
 * terms do not (3.4). */
static void raft__paper_follower_timer_is_reset_by_leader_and_vote(void **state)
{
    uint64_t deadline;
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 3);
    fx.now += FX_ELECTION_US / 2;
    heartbeat(2, 3);
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) >= fx.now + FX_ELECTION_US);
    fx.now += FX_ELECTION_US / 2;
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 3, (struct raft_entry_id){1, 1}, NULL, 0, 1), 0);
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) >= fx.now + FX_ELECTION_US);
    deadline = raft_deadline_us(fx_raft(&fx, 1));
    fx.now += FX_ELECTION_US / 2;
    heartbeat(3, 2); /* an old leader */
    assert_int_equal(raft_deadline_us(fx_raft(&fx, 1)), deadline);
    fx.now = deadline - 1;
    m = make_vote(RAFT_MSG_VOTE, 3, 4, 0, 0); /* a log that is too short */
    m.transfer = true;
    (void)fx_inject(&fx, &m);
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) <= deadline + FX_ELECTION_US);
    assert_true(fx_status(&fx, 1).voted_for == 0);
    m = make_vote(RAFT_MSG_VOTE, 3, 5, 1, 1);
    m.transfer = true;
    fx_inject_ok(&fx, &m);
    assert_true(fx_status(&fx, 1).voted_for == fx_id(&fx, 3));
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) >= fx.now + FX_ELECTION_US);
}

static void raft__paper_follower_starts_an_election_after_the_timeout(void **state)
{
    (void)state;
    start_one(3, NULL, 0, 3);
    fx.now = raft_deadline_us(fx_raft(&fx, 1)) - 1;
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx.n_net, 0);
    fx.now += 1;
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_PRE_VOTE), 2);
}

/* ---- candidates ---- */

/* On conversion: increment current_term, vote for self, reset the timer, ask all (3.4). */
static void raft__paper_candidate_increments_votes_and_asks(void **state)
{
    static const raft_term log[] = {2, 3};

    (void)state;
    start_one(5, log, 2, 3);
    become_candidate();
    assert_int_equal(fx_term(&fx, 1), 4);
    assert_true(fx_status(&fx, 1).voted_for == fx_id(&fx, 1));
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) >= fx.now + FX_ELECTION_US);
    for (unsigned j = 2; j <= 5; j++) {
        const struct raft_msg *m = fx_only(&fx, 1, j, RAFT_MSG_VOTE);

        assert_int_equal(m->term, 4);
        assert_int_equal(m->prev.term, 3);
        assert_int_equal(m->prev.index, 3);
        assert_false(m->transfer);
    }
    assert_int_equal(fx.nodes[1].disk.hard_state.current_term, 4);
}

/* Votes of a majority make a leader (3.4): of the voters, each counted once, of this term, none
 * refused. */
static void raft__paper_candidate_with_a_majority_leads(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(5, NULL, 0, 1);
    become_candidate();
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, 2);
    for (unsigned k = 0; k < 3; k++) /* the same voter again and again */
        fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 1); /* of an older term (VOTE-5) */
    fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 4, 1, 2);
    m.reject = true;
    fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 5, 1, 2); /* late: a pre-vote is no vote */
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_term(&fx, 1), 2);
    assert_true(raft_get_leader(fx_raft(&fx, 1)) == fx_id(&fx, 1));
}

/* A message from the leader of this term makes a follower (3.4). */
static void raft__paper_candidate_yields_to_the_leader_of_its_term(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        raft_term term;

        start_one(3, NULL, 0, 1);
        if (k < 2)
            become_candidate();
        else
            become_pre_candidate();
        term = fx_term(&fx, 1);
        if (k % 2 == 0)
            heartbeat(3, term);
        else
            assert_int_equal(
                fx_puppet_append(&fx, 3, 1, term, (struct raft_entry_id){1, 1}, NULL, 0, 1), 0);
        assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
        assert_int_equal(fx_term(&fx, 1), term);
        assert_true(raft_get_leader(fx_raft(&fx, 1)) == fx_id(&fx, 3));
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* A timeout begins a new election with a higher term (3.4), here with a pre-vote before it (9.6).
 */
static void raft__paper_candidate_tries_again_after_a_timeout(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 1);
    become_candidate();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    assert_int_equal(fx_term(&fx, 1), 2);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->term, 3);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 2); /* a vote of the election that was given up */
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 3, 1, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    assert_int_equal(fx_term(&fx, 1), 3);
}

/* ---- leaders ---- */

/* Upon election a message to each server at once, and again when idle, before their timeouts (3.4).
 */
static void raft__paper_leader_speaks_at_once_and_when_idle(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 1);
    become_candidate();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, 2);
    fx_inject_ok(&fx, &m);
    for (unsigned j = 2; j <= 3; j++)
        assert_true(fx_count(&fx, 1, j, RAFT_MSG_APPEND) + fx_count(&fx, 1, j, RAFT_MSG_HEARTBEAT) >
                    0);
    for (unsigned k = 0; k < 3; k++) {
        uint64_t before = fx.now;

        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
        while (fx_count(&fx, 1, 3, RAFT_MSG_HEARTBEAT) == 0) {
            fx_tick_deadline(&fx, 1);
            assert_true(fx.now <= before + FX_HEARTBEAT_US);
        }
        assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->term, 2);
    }
}

/* A command: append to the own log, replicate, answer after it is applied (3.5). */
static void raft__paper_leader_appends_replicates_applies(void **state)
{
    struct raft_entry_id id;

    (void)state;
    start_one(3, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    id = fx_propose(&fx, 1);
    assert_int_equal(id.term, 2);
    assert_int_equal(id.index, 3);
    assert_int_equal(fx_last(&fx, 1), 3);
    assert_int_equal(fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m.entries[0].id.index, 3);
    assert_int_equal(fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m.entries[0].id.term, 2);
    assert_int_equal(fx.nodes[1].committed_handed, 2);
    fx_puppet_ack(&fx, 3, 1, 3);
    assert_int_equal(fx_commit(&fx, 1), 3);
    assert_int_equal(fx.nodes[1].committed_handed, 3);
}

/* On success next_index and match_index move (3.5); an older answer does not move them back. */
static void raft__paper_leader_moves_next_and_match_on_success(void **state)
{
    struct raft_status s;

    (void)state;
    start_one(5, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    for (unsigned k = 0; k < 3; k++)
        (void)fx_propose(&fx, 1);
    fx_puppet_ack(&fx, 2, 1, 5);
    s = fx_status(&fx, 1);
    assert_int_equal(fx_peer(&fx, &s, 2)->match_index, 5);
    assert_int_equal(fx_peer(&fx, &s, 2)->next_index, 6);
    fx_puppet_ack(&fx, 2, 1, 3);
    s = fx_status(&fx, 1);
    assert_int_equal(fx_peer(&fx, &s, 2)->match_index, 5);
    assert_int_equal(fx_peer(&fx, &s, 2)->next_index, 6);
}

/* On a refusal next_index goes back and the append is tried again (3.5). */
static void raft__paper_leader_goes_back_on_refusal(void **state)
{
    static const raft_term log[] = {1, 1, 1, 2, 2};
    struct raft_msg m;
    struct raft_msg first;

    (void)state;
    start_one(3, log, 5, 2);
    become_candidate();
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, 3);
    fx_inject_ok(&fx, &m);
    first = fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m;
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 3);
    m.reject = true;
    m.index = first.prev.index;
    m.hint = (struct raft_entry_id){0, 3}; /* its log ends at 2 */
    fx_inject_ok(&fx, &m);
    m = fx_find(&fx, 1, 2, RAFT_MSG_APPEND)->m;
    assert_int_equal(m.prev.index, 2);
    assert_int_equal(m.prev.term, 1);
}

/* Commit what a majority has stored (3.5), 1 to 7 voters. */
static void raft__paper_leader_commits_with_a_majority(void **state)
{
    (void)state;
    for (unsigned n = 2; n <= 7; n++) {
        raft_index index;

        start_one(n, NULL, 0, 1);
        fx_puppets_lead(&fx, 1);
        index = fx_propose(&fx, 1).index;
        for (unsigned j = 2; j <= n; j++) {
            fx_puppet_ack(&fx, j, 1, index);
            fx_puppet_ack(&fx, j, 1, index); /* a duplicate is not a second vote */
            assert_int_equal(fx_commit(&fx, 1), j > n / 2 ? index : index - 1);
        }
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* 3.6.2, figure 8: an entry of an older term is not committed by counting replicas, but by a later
 * one of this term. Only entries of the leader's own term are counted (COMMIT-2). */
static void raft__paper_figure_8_old_terms_do_not_commit_by_counting(void **state)
{
    static const raft_term log[] = {2};

    (void)state;
    start_one(5, log, 1, 3);
    fx_puppets_elect(&fx, 1); /* S1 in term 4, (c) of the figure: its entry 2 is of term 2 */
    assert_int_equal(fx_noop(&fx, 1), 3);
    for (unsigned j = 2; j <= 5; j++)
        fx_puppet_ack(&fx, j, 1, 2);
    assert_int_equal(fx_commit(&fx, 1), 1);
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    fx_puppet_ack(&fx, 2, 1, 3);
    assert_int_equal(fx_commit(&fx, 1), 1);
    fx_puppet_ack(&fx, 3, 1, 3);
    assert_int_equal(fx_commit(&fx, 1), 3); /* and with it entry 2 (e) */
}

/* Figure 8 with five real nodes: S1's entry of term 2 is on a majority, then S5 overwrites it;
 * nobody had committed. */
static void raft__paper_figure_8_with_real_nodes(void **state)
{
    static const raft_term s1[] = {2};
    static const raft_term s5[] = {3};

    (void)state;
    fx_init(&fx, 5, 0, 8);
    fx_set_log(&fx, 1, s1, 1);
    fx_set_log(&fx, 2, s1, 1);
    fx_set_log(&fx, 5, s5, 1);
    for (unsigned i = 1; i <= 5; i++)
        fx_set_hard_state(&fx, i, 3, i == 5 ? 5 : 0);
    for (unsigned i = 1; i <= 4; i++)
        fx_start(&fx, i);
    fx_tick_deadline(&fx, 1);
    (void)fx_deliver_each(&fx, 1, FX_ANY, RAFT_MSG_PRE_VOTE);
    (void)fx_deliver_each(&fx, FX_ANY, 1, RAFT_MSG_PRE_VOTE_RESP);
    (void)fx_deliver_each(&fx, 1, FX_ANY, RAFT_MSG_VOTE);
    (void)fx_deliver_each(&fx, FX_ANY, 1, RAFT_MSG_VOTE_RESP);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    /* (c): the entry of term 2 reaches n3 by the leader's probe, but the no-op of term 4 nobody. */
    while (fx_last(&fx, 3) < 2) {
        struct fx_msg *m = fx_find(&fx, 1, 3, RAFT_MSG_APPEND);

        assert_non_null(m);
        if (m->m.n_entries > 0 && m->m.entries[0].id.index == 2) {
            static const raft_term two[] = {2};

            assert_int_equal(fx_puppet_append(&fx, 1, 3, fx_term(&fx, 1),
                                              (struct raft_entry_id){1, 1}, two, 1, 1),
                             0);
            break;
        }
        fx_deliver_msg(&fx, m);
        (void)fx_deliver_each(&fx, 3, 1, RAFT_MSG_APPEND_RESP);
    }
    (void)fx_deliver_each(&fx, 3, 1, RAFT_MSG_APPEND_RESP);
    assert_int_equal(fx_term_at(&fx, 3, 2), 2);
    assert_int_equal(fx_commit(&fx, 1), 1); /* on three of five, and yet not committed */
    fx_crash(&fx, 1, 0);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_start(&fx, 5); /* (d) */
    fx_elect(&fx, 5);
    fx_restart(&fx, 1);
    assert_true(fx_run_until(&fx, 30 * FX_ELECTION_US, fx_converged, NULL));
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(fx_term_at(&fx, i, 2), 3);
}

/* ---- 3.10: leadership transfer ---- */

static void raft__paper_transfer_to_a_target_that_is_up_to_date(void **state)
{
    struct raft_entry_id id;

    (void)state;
    start_one(3, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    fx_turn(&fx, 1);
    assert_int_equal(fx_only(&fx, 1, 3, RAFT_MSG_TIMEOUT_NOW)->term, 2);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_TIMEOUT_NOW), 0);
    assert_true(fx_status(&fx, 1).transfer_to == fx_id(&fx, 3));
    assert_int_equal(fx_try_propose(&fx, 1, "x", 1, &id), RAFT_E_BUSY);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), RAFT_E_BUSY);
}

/* A target that lags is brought up to date first (3.10, step 2). */
static void raft__paper_transfer_waits_until_the_target_has_everything(void **state)
{
    (void)state;
    start_one(3, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    (void)fx_propose(&fx, 1);
    (void)fx_propose(&fx, 1); /* index 4 */
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    fx_turn(&fx, 1);
    assert_int_equal(fx_count(&fx, 1, 3, RAFT_MSG_TIMEOUT_NOW), 0);
    fx_puppet_ack(&fx, 2, 1, 4);
    fx_puppet_ack(&fx, 3, 1, 3);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_TIMEOUT_NOW), 0);
    fx_puppet_ack(&fx, 3, 1, 4);
    assert_int_equal(fx_only(&fx, 1, FX_ANY, RAFT_MSG_TIMEOUT_NOW)->to, fx_id(&fx, 3));
}

/* It is given up after one election timeout, and then the leader works again. */
static void raft__paper_transfer_is_given_up_after_an_election_timeout(void **state)
{
    uint64_t begin;
    struct raft_entry_id id;

    (void)state;
    start_one(3, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    begin = fx.now;
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    fx_turn(&fx, 1);
    while (fx.nodes[1].n_transfers_over == 0) {
        assert_int_equal(fx_try_propose(&fx, 1, "x", 1, &id), RAFT_E_BUSY);
        fx_tick_deadline(&fx, 1);
        (void)fx_puppet_ack_round(&fx, 2, 1, 2, 0); /* a quorum is heard */
        assert_true(fx.now <= begin + FX_ELECTION_US);
    }
    assert_true(fx.now >= begin + FX_ELECTION_US / 2);
    assert_int_equal(fx.nodes[1].n_transfers_over, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_true(fx_status(&fx, 1).transfer_to == 0);
    (void)fx_propose(&fx, 1);
}

static void raft__paper_transfer_refuses_what_cannot_be(void **state)
{
    (void)state;
    fx_init(&fx, 3, 1, 1);
    fx_start(&fx, 1);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), RAFT_E_NOT_LEADER);
    fx_puppets_lead(&fx, 1);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 1), fx.now), RAFT_E_NOT_MEMBER);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 4), fx.now), RAFT_E_NOT_MEMBER);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), 12345, fx.now), RAFT_E_NOT_MEMBER);
    (void)fx_propose(&fx, 1); /* nothing is under way */
    fx_puppet_ack(&fx, 2, 1, 3);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), 0, fx.now), 0); /* the one that is furthest */
    fx_turn(&fx, 1);
    assert_true(fx_only(&fx, 1, FX_ANY, RAFT_MSG_TIMEOUT_NOW)->to == fx_id(&fx, 2));
}

/* TimeoutNow: the target campaigns at once, without a pre-vote, and its requests override "I hear a
 * leader" (3.10, 4.2.3). Who is told to take over does not ask first (VOTE-7). */
static void raft__paper_timeout_now_starts_an_election_at_once(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 3);
    heartbeat(2, 3);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 2, 1, 2); /* of an old term: nothing */
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 2, 1, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    assert_int_equal(fx_term(&fx, 1), 4);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_PRE_VOTE), 0);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_VOTE), 2);
    assert_true(fx_only(&fx, 1, 2, RAFT_MSG_VOTE)->transfer);
    assert_true(fx_only(&fx, 1, 3, RAFT_MSG_VOTE)->transfer);
}

static void raft__paper_transfer_between_real_nodes(void **state)
{
    raft_term term;

    (void)state;
    fx_init(&fx, 5, 0, 3);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    for (unsigned to = 2; to <= 5; to++) {
        unsigned from = fx_leader(&fx);
        uint64_t now = fx.now;

        (void)fx_propose(&fx, from);
        term = fx_term(&fx, from);
        assert_int_equal(raft_transfer(fx_raft(&fx, from), fx_id(&fx, to), fx.now), 0);
        fx_turn(&fx, from);
        fx_deliver_all(&fx);
        assert_int_equal(fx_leader(&fx), to);
        assert_int_equal(fx_term(&fx, to), term + 1);
        assert_true(fx.now == now); /* no timeout was waited for */
        assert_int_equal(fx.nodes[from].n_transfers_over, 1);
        assert_int_equal(fx.nodes[from].loss, RAFT_LOSS_TERM);
        fx.nodes[from].n_transfers_over = 0;
    }
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

/* ---- 4.2.3: who hears a leader does not help to depose it ---- */

static void raft__paper_votes_are_disregarded_while_a_leader_is_heard(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 3);
    heartbeat(2, 3);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += FX_ELECTION_US - 1;
    m = make_vote(RAFT_MSG_VOTE, 3, 7, 3, 9);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 1), 3); /* the term is not taken either */
    assert_true(raft_get_leader(fx_raft(&fx, 1)) == fx_id(&fx, 2));
    if (fx_count(&fx, 1, 3, RAFT_MSG_VOTE_RESP) != 0)
        assert_true(fx_only(&fx, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    m.transfer = true; /* but for a transfer */
    fx_inject_ok(&fx, &m);
    assert_false(answer(3, RAFT_MSG_VOTE_RESP).reject);
    assert_int_equal(fx_term(&fx, 1), 7);
}

/* After the minimum election timeout of silence it votes. */
static void raft__paper_votes_are_given_when_the_leader_is_silent(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 3);
    heartbeat(2, 3);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += FX_ELECTION_US;
    m = make_vote(RAFT_MSG_VOTE, 3, 7, 3, 9);
    fx_inject_ok(&fx, &m);
    assert_false(answer(3, RAFT_MSG_VOTE_RESP).reject);
}

/* A leader that hears its quorum is such a server itself. */
static void raft__paper_leader_with_a_quorum_disregards_votes(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 1);
    fx_puppets_lead(&fx, 1);
    m = make_vote(RAFT_MSG_VOTE, 3, 7, 6, 9);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_term(&fx, 1), 2);
    m = make_vote(RAFT_MSG_PRE_VOTE, 3, 7, 6, 9);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    for (unsigned k = 0; k < fx.n_net; k++)
        assert_true(fx.net[k].m.reject || (fx.net[k].m.type != RAFT_MSG_PRE_VOTE_RESP &&
                                           fx.net[k].m.type != RAFT_MSG_VOTE_RESP));
}

/* ---- 9.6: pre-vote ---- */

/* Asking changes nothing at the asker: no term, no vote, nothing to store. */
static void raft__paper_pre_vote_does_not_increment_the_term(void **state)
{
    static const raft_term log[] = {2};

    (void)state;
    start_one(3, log, 1, 3);
    for (unsigned k = 0; k < 5; k++) {
        become_pre_candidate();
        assert_int_equal(fx_term(&fx, 1), 3);
        assert_true(fx_status(&fx, 1).voted_for == 0);
        assert_int_equal(fx.nodes[1].batch_last, 0);
        assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->term, 4);
        assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->prev.index, 2);
        assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->prev.term, 2);
        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    }
}

/* Granting changes nothing at the answerer, and several may be granted. */
static void raft__paper_pre_vote_granting_changes_nothing(void **state)
{
    struct raft_msg m;
    uint64_t deadline;

    (void)state;
    start_one(5, NULL, 0, 3);
    deadline = raft_deadline_us(fx_raft(&fx, 1));
    for (unsigned j = 2; j <= 5; j++) {
        m = make_vote(RAFT_MSG_PRE_VOTE, j, 4, 1, 1);
        fx_inject_ok(&fx, &m);
        m = answer(j, RAFT_MSG_PRE_VOTE_RESP);
        assert_false(m.reject);
        assert_int_equal(m.term, 4);
    }
    assert_int_equal(fx_term(&fx, 1), 3);
    assert_true(fx_status(&fx, 1).voted_for == 0);
    assert_int_equal(fx.nodes[1].batch_last, 0);
    assert_int_equal(raft_deadline_us(fx_raft(&fx, 1)), deadline);
}

static void raft__paper_pre_vote_refused_while_a_leader_is_heard(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 3);
    heartbeat(2, 3);
    fx.now += FX_ELECTION_US - 1;
    m = make_vote(RAFT_MSG_PRE_VOTE, 3, 4, 3, 9);
    fx_inject_ok(&fx, &m);
    m = answer(3, RAFT_MSG_PRE_VOTE_RESP);
    assert_true(m.reject);
    assert_int_equal(m.term, 3);
    fx.now += 1;
    m = make_vote(RAFT_MSG_PRE_VOTE, 3, 4, 3, 9);
    fx_inject_ok(&fx, &m);
    assert_false(answer(3, RAFT_MSG_PRE_VOTE_RESP).reject);
}

/* A refusal carries the answerer's term, or a node behind would ask for ever (TERM-2). */
static void raft__paper_pre_vote_of_an_old_term_is_told_the_new_one(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(3, NULL, 0, 9);
    m = make_vote(RAFT_MSG_PRE_VOTE, 2, 4, 3, 9);
    fx_inject_ok(&fx, &m);
    m = answer(2, RAFT_MSG_PRE_VOTE_RESP);
    assert_true(m.reject);
    assert_int_equal(m.term, 9);
    fx_done(&fx);
    start_one(3, NULL, 0, 3); /* the other side */
    become_pre_candidate();
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 9);
    m.reject = true;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx_term(&fx, 1), 9);
    become_pre_candidate();
    assert_int_equal(fx_find_last(&fx, 1, 2, RAFT_MSG_PRE_VOTE)->m.term, 10);
}

/* Only a majority of pre-votes makes a candidate; refusals do not. */
static void raft__paper_pre_vote_needs_a_majority(void **state)
{
    struct raft_msg m;

    (void)state;
    start_one(5, NULL, 0, 3);
    become_pre_candidate();
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 4);
    fx_inject_ok(&fx, &m);
    fx_inject_ok(&fx, &m); /* the same again */
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 3, 1, 3);
    m.reject = true;
    fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 5, 1, 3); /* of an earlier question */
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 4, 1, 4);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(raft__paper_state_is_what_was_durable),
        T(raft__paper_leader_next_and_match_index_begin),
        T(raft__paper_leader_forgets_match_index_of_earlier_terms),
        T(raft__paper_vote_of_a_lower_term_is_refused),
        T(raft__paper_vote_once_per_term),
        T(raft__paper_vote_refused_by_candidate_and_leader),
        T(raft__paper_vote_needs_an_up_to_date_log),
        T(raft__paper_append_of_a_lower_term_is_refused),
        T(raft__paper_append_needs_the_previous_entry),
        T(raft__paper_append_deletes_conflicting_entries),
        T(raft__paper_append_adds_only_what_is_new),
        T(raft__paper_append_moves_commit_to_the_smaller),
        T(raft__paper_committed_entries_are_handed_out_in_order),
        T(raft__paper_higher_term_makes_a_follower),
        T(raft__paper_election_timeouts_are_randomised),
        T(raft__paper_follower_timer_is_reset_by_leader_and_vote),
        T(raft__paper_follower_starts_an_election_after_the_timeout),
        T(raft__paper_candidate_increments_votes_and_asks),
        T(raft__paper_candidate_with_a_majority_leads),
        T(raft__paper_candidate_yields_to_the_leader_of_its_term),
        T(raft__paper_candidate_tries_again_after_a_timeout),
        T(raft__paper_leader_speaks_at_once_and_when_idle),
        T(raft__paper_leader_appends_replicates_applies),
        T(raft__paper_leader_moves_next_and_match_on_success),
        T(raft__paper_leader_goes_back_on_refusal),
        T(raft__paper_leader_commits_with_a_majority),
        T(raft__paper_figure_8_old_terms_do_not_commit_by_counting),
        T(raft__paper_figure_8_with_real_nodes),
        T(raft__paper_transfer_to_a_target_that_is_up_to_date),
        T(raft__paper_transfer_waits_until_the_target_has_everything),
        T(raft__paper_transfer_is_given_up_after_an_election_timeout),
        T(raft__paper_transfer_refuses_what_cannot_be),
        T(raft__paper_timeout_now_starts_an_election_at_once),
        T(raft__paper_transfer_between_real_nodes),
        T(raft__paper_votes_are_disregarded_while_a_leader_is_heard),
        T(raft__paper_votes_are_given_when_the_leader_is_silent),
        T(raft__paper_leader_with_a_quorum_disregards_votes),
        T(raft__paper_pre_vote_does_not_increment_the_term),
        T(raft__paper_pre_vote_granting_changes_nothing),
        T(raft__paper_pre_vote_refused_while_a_leader_is_heard),
        T(raft__paper_pre_vote_of_an_old_term_is_told_the_new_one),
        T(raft__paper_pre_vote_needs_a_majority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
