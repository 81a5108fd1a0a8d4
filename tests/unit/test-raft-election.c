/* Elections beyond figure 3.1: durability of votes, pre-vote and check-quorum together, learners,
 * restarts, and the shapes of partition that have kept other systems without a leader. */
#include "raft-fixture.h"

#include <errno.h>

#include "base/banned.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

static struct raft_msg make_vote(unsigned from, unsigned to, raft_term term)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_VOTE, from, to, term);

    m.prev = (struct raft_entry_id){1, 1};
    return m;
}

static struct raft_msg make_pre_vote(unsigned from, unsigned to, raft_term term)
{
    struct raft_msg m = make_vote(from, to, term);

    m.type = RAFT_MSG_PRE_VOTE;
    return m;
}

static void ack_heartbeats(unsigned from)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, from, 1, fx_term(&fx, 1));

    m.round = fx_round_sent(&fx, 1, from);
    fx_inject_ok(&fx, &m);
}

/* Time passes for node 1 alone; the puppets given as a mask answer its heartbeats. */
static void pass_time(uint64_t us, unsigned answering)
{
    uint64_t until = fx.now + us;

    while (raft_deadline_us(fx_raft(&fx, 1)) <= until) {
        fx_tick_deadline(&fx, 1);
        for (unsigned j = 2; j <= fx.n; j++)
            if ((answering & (1u << j)) != 0 && fx_role(&fx, 1) == RAFT_LEADER)
                ack_heartbeats(j);
        (void)fx_drop(&fx, 1, FX_ANY, FX_ANY);
    }
    fx.now = until;
    fx_tick(&fx, 1);
}

/* ---- durable before visible (VOTE-3) ---- */

static void raft__vote_is_sent_only_when_durable(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 1), 5);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_VOTE_RESP), 0);
    fx.now += 1000;
    fx_tick(&fx, 1);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_VOTE_RESP), 0);
    fx_store_all(&fx, 1);
    assert_false(fx_only(&fx, 1, 2, RAFT_MSG_VOTE_RESP)->reject);
    assert_true(fx.nodes[1].disk.hard_state.voted_for == fx_id(&fx, 2));
}

/* The term stays, only the vote is new: that is a change to store as well. */
static void raft__vote_within_the_current_term_is_stored(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_hard_state(&fx, 1, 5, 0);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[1].n_batches, 1);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_VOTE_RESP), 0);
    fx_store_all(&fx, 1);
    assert_false(fx_only(&fx, 1, 2, RAFT_MSG_VOTE_RESP)->reject);
    assert_true(fx.nodes[1].disk.hard_state.voted_for == fx_id(&fx, 2));
}

/* Asked again while the first grant waits for the disk: the second answer waits as well. */
static void raft__vote_asked_twice_waits_twice(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_VOTE_RESP), 0);
    fx_store_all(&fx, 1);
    assert_true(fx_count(&fx, 1, 2, RAFT_MSG_VOTE_RESP) >= 1);
}

/* Two turns: the vote of term 5 waits when the term moves to 6; neither leaves before its own
 * batch. */
static void raft__vote_of_two_terms_wait_for_their_batches(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    m = make_vote(3, 1, 6);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[1].n_batches, 2);
    fx_store(&fx, 1, 1);
    assert_int_equal(fx_count(&fx, 1, 3, RAFT_MSG_VOTE_RESP), 0);
    fx_store(&fx, 1, 1);
    assert_int_equal(fx_only(&fx, 1, 3, RAFT_MSG_VOTE_RESP)->term, 6);
}

static void raft__vote_request_is_sent_only_when_durable(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_VOTE), 0);
    fx_store_all(&fx, 1);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, RAFT_MSG_VOTE), 2);
}

/* Nobody can have seen the request yet; but even a majority of the others does not make a leader
 * before the own vote is on the disk: a leader's messages speak of it. */
static void raft__nobody_leads_before_its_own_vote_is_durable(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 5, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    for (unsigned j = 2; j <= 3; j++) {
        m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, j, 1, 2);
        fx_inject_ok(&fx, &m);
    }
    for (unsigned j = 2; j <= 5; j++) {
        m = fx_make(&fx, RAFT_MSG_VOTE_RESP, j, 1, 2);
        fx_inject_ok(&fx, &m);
        assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    }
    fx_store_all(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
}

/* The own vote counts when it is durable, not before: in a group of one nothing else would stop it.
 */
static void raft__single_voter_leads_and_commits_only_what_is_durable(void **state)
{
    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    assert_int_not_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_term(&fx, 1), 2);
    fx_store_all(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_commit(&fx, 1), 1); /* the no-op waits for its own disk (etcd#14370) */
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    fx_store_all(&fx, 1);
    assert_int_equal(fx_commit(&fx, 1), 2);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
    (void)fx_propose(&fx, 1);
    assert_int_equal(fx_commit(&fx, 1), 2);
    assert_int_equal(fx.nodes[1].committed_handed, 2);
    fx_store_all(&fx, 1);
    assert_int_equal(fx_commit(&fx, 1), 3);
    assert_int_equal(fx.nodes[1].committed_handed, 3);
}

static void raft__single_voter_with_a_learner_leads(void **state)
{
    (void)state;
    fx_init(&fx, 1, 2, 1);
    fx_start_all(&fx);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    assert_int_equal(fx_leader(&fx), 1);
    (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

/* ---- restarts ---- */

/* A restart does not forget a vote (VOTE-2). */
static void raft__restart_keeps_the_vote(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_crash(&fx, 1, 0);
    fx_restart(&fx, 1);
    m = make_vote(3, 1, 5);
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 1, 2, RAFT_MSG_VOTE_RESP)->reject);
}

/* A vote that did not reach the disk was never seen by anybody, so another one may be given. */
static void raft__crash_before_the_vote_is_durable_frees_it(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    m = make_vote(2, 1, 5);
    fx_inject_ok(&fx, &m);
    fx_crash(&fx, 1, 0);
    fx_restart(&fx, 1);
    assert_int_equal(fx_term(&fx, 1), 1);
    m = make_vote(3, 1, 5);
    fx_inject_ok(&fx, &m);
    fx_store_all(&fx, 1);
    assert_false(fx_only(&fx, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
}

/* A restarted leader is a follower: never "resume leading" (READ-10). */
static void raft__restart_of_a_leader_is_a_follower(void **state)
{
    raft_term term;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    term = fx_term(&fx, 1);
    fx_crash(&fx, 1, 0);
    fx_restart(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx_term(&fx, 1), term);
    assert_true(raft_get_leader(fx_raft(&fx, 1)) == 0);
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, fx_converged, NULL));
    assert_true(fx_term(&fx, fx_leader(&fx)) > term);
}

/* ---- learners ---- */

static void raft__learner_never_campaigns(void **state)
{
    (void)state;
    fx_init(&fx, 2, 1, 1);
    fx_start(&fx, 3);
    fx_run(&fx, 20 * FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 3), RAFT_FOLLOWER);
    assert_int_equal(fx_term(&fx, 3), 1);
    assert_int_equal(fx.n_net, 0);
}

static void raft__learner_votes_do_not_count(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 2, 1);
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    for (unsigned j = 4; j <= 5; j++) {
        assert_int_equal(fx_count(&fx, 1, j, RAFT_MSG_PRE_VOTE), 0);
        m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, j, 1, 2);
        (void)fx_inject(&fx, &m);
        assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    }
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 2);
    fx_inject_ok(&fx, &m);
    for (unsigned j = 4; j <= 5; j++) {
        assert_int_equal(fx_count(&fx, 1, j, RAFT_MSG_VOTE), 0);
        m = fx_make(&fx, RAFT_MSG_VOTE_RESP, j, 1, 2);
        (void)fx_inject(&fx, &m);
        assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    }
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    for (unsigned j = 4; j <= 5; j++) /* nor do their acknowledgements commit anything */
        fx_puppet_ack(&fx, j, 1, fx_noop(&fx, 1));
    assert_int_equal(fx_commit(&fx, 1), 1);
    fx_puppet_ack(&fx, 2, 1, fx_noop(&fx, 1));
    assert_int_equal(fx_commit(&fx, 1), 2);
}

/* The candidate's configuration decides who votes: it may already know that this one is a voter
 * (etcd#10998). It may be a voter already and not know it (VOTE-6). */
static void raft__learner_answers_who_asks_it(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 2, 1, 1);
    fx_start(&fx, 3);
    m = make_pre_vote(1, 3, 2);
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 3, 1, RAFT_MSG_PRE_VOTE_RESP)->reject);
    m = make_vote(1, 3, 2);
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 3, 1, RAFT_MSG_VOTE_RESP)->reject);
}

static void raft__stranger_does_not_vote(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 2);
    m.from = 4711;
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 2);
    fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, 2);
    m.from = 4711;
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
}

/* ---- check-quorum (READ-18) ---- */

static void raft__leader_without_a_quorum_steps_down(void **state)
{
    (void)state;
    fx_init(&fx, 5, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    pass_time(2 * FX_ELECTION_US + FX_HEARTBEAT_US, 1u << 2); /* one of four answers */
    assert_int_not_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_term(&fx, 1), 2); /* within the term */
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_ROLE);
    assert_int_equal(fx.nodes[1].loss_term, 2);
    assert_int_equal(fx.nodes[1].loss_commit_index, 2);
    assert_true(raft_get_leader(fx_raft(&fx, 1)) == 0); /* it does not hint at itself (READ-54) */
}

static void raft__leader_with_a_quorum_stays(void **state)
{
    (void)state;
    fx_init(&fx, 5, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    pass_time(20 * FX_ELECTION_US, 1u << 2 | 1u << 5);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_status(&fx, 1).n_voters_heard, 3);
}

static void raft__leader_does_not_count_learners_for_its_quorum(void **state)
{
    (void)state;
    fx_init(&fx, 3, 3, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    pass_time(2 * FX_ELECTION_US + FX_HEARTBEAT_US, 1u << 4 | 1u << 5 | 1u << 6);
    assert_int_not_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_ROLE);
}

static void raft__single_voter_keeps_leading(void **state)
{
    raft_term term;

    (void)state;
    fx_init(&fx, 1, 1, 1);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    term = fx_term(&fx, 1);
    fx_run(&fx, 50 * FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(fx_term(&fx, 1), term);
}

/* ---- pre-vote and check-quorum together ---- */

/* A node that comes back from a partition neither deposes the leader nor raises the term (9.6). */
static void raft__node_that_returns_does_not_disrupt(void **state)
{
    raft_term term;

    (void)state;
    fx_init(&fx, 3, 0, 4);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    term = fx_term(&fx, 1);
    fx_isolate(&fx, 3, true);
    fx_run(&fx, 30 * FX_ELECTION_US);
    assert_int_equal(fx_term(&fx, 3), term);
    assert_int_equal(fx_role(&fx, 3), RAFT_PRE_CANDIDATE);
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    fx_heal(&fx);
    fx_run(&fx, 5 * FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 1);
    assert_int_equal(fx_term(&fx, 1), term);
    assert_int_equal(fx.nodes[1].n_losses, 0);
    assert_true(fx_converged(&fx, NULL));
}

/* A node whose term is higher than everybody's refuses the leader; the leader learns the term, a
 * new one is elected and the node is of use again. */
static void raft__stuck_node_of_a_higher_term_is_freed(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 5);
    fx_set_hard_state(&fx, 3, 40, 3);
    fx_start(&fx, 1);
    fx_start(&fx, 2);
    fx_elect(&fx, 1);
    fx_start(&fx, 3);
    assert_true(fx_run_until(&fx, 30 * FX_ELECTION_US, fx_converged, NULL));
    assert_true(fx_term(&fx, fx_leader(&fx)) > 40);
}

/* The same by each answer alone: heartbeat and append of the lower term are refused with the own
 * term. */
static void raft__stuck_node_tells_its_term(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 5);
    fx_set_hard_state(&fx, 1, 40, 1);
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 3);
    m.round = 7;
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT_RESP)->reject);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT_RESP)->term, 40);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 3, (struct raft_entry_id){1, 1}, NULL, 0, 1), 0);
    assert_true(fx_only(&fx, 1, 2, RAFT_MSG_APPEND_RESP)->reject);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_APPEND_RESP)->term, 40);
}

/* Stale-log node with the higher term cannot win, but must not keep the others from it (etcd's
 * TestFreeStuckCandidateWithCheckQuorum). */
static void raft__stuck_candidate_with_a_short_log_is_freed(void **state)
{
    static const raft_term log[] = {2, 2, 2};

    (void)state;
    fx_init(&fx, 3, 0, 6);
    fx_set_log(&fx, 1, log, 3);
    fx_set_log(&fx, 2, log, 3);
    fx_set_hard_state(&fx, 3, 9, 3);
    fx_start_all(&fx);
    assert_true(fx_run_until(&fx, 50 * FX_ELECTION_US, fx_converged, NULL));
    assert_int_not_equal(fx_leader(&fx), 3);
    assert_int_equal(fx_last(&fx, 3), fx_last(&fx, 1));
}

/* Row 11 (Cloudflare 2020): n1 - n2 - n3 in a chain. Whoever leads keeps leading. */
static void raft__chain_topology_has_one_steady_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        unsigned leader;
        raft_term term;

        fx_init(&fx, 3, 0, seed);
        fx.cut[1][3] = true;
        fx.cut[3][1] = true;
        fx_start_all(&fx);
        assert_true(fx_run_until(&fx, 50 * FX_ELECTION_US, fx_has_leader, NULL));
        leader = fx_leader(&fx);
        term = fx_term(&fx, leader);
        fx_run(&fx, 40 * FX_ELECTION_US);
        assert_int_equal(fx_leader(&fx), leader);
        assert_int_equal(fx_term(&fx, leader), term);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* A leader that hears nobody but is heard by all: it must go, and a new one must come (check-quorum
 * with READ-18). */
static void raft__leader_with_one_way_links_is_replaced(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 3);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx.cut[2][1] = true;
    fx.cut[3][1] = true;
    fx_run(&fx, 30 * FX_ELECTION_US);
    assert_int_not_equal(fx_leader(&fx), 1);
    assert_int_not_equal(fx_leader(&fx), 0);
    assert_true(fx.nodes[1].n_losses > 0);
}

/* Any majority elects, whoever it is, again and again. */
static void raft__any_majority_elects(void **state)
{
    (void)state;
    fx_init(&fx, 5, 0, 7);
    fx_start_all(&fx);
    for (unsigned a = 1; a <= 5; a++) {
        for (unsigned b = a + 1; b <= 5; b++) {
            unsigned leader;

            fx_heal(&fx);
            fx_isolate(&fx, a, true);
            fx_isolate(&fx, b, true);
            fx_run(&fx, 12 * FX_ELECTION_US);
            leader = fx_leader(&fx);
            assert_int_not_equal(leader, 0);
            assert_int_not_equal(leader, a);
            assert_int_not_equal(leader, b);
            assert_true(raft_can_serve(fx_raft(&fx, leader)));
            (void)fx_propose(&fx, leader);
        }
    }
    fx_heal(&fx);
    assert_true(fx_run_until(&fx, 30 * FX_ELECTION_US, fx_converged, NULL));
}

static void raft__minority_never_elects(void **state)
{
    (void)state;
    for (unsigned n = 2; n <= 6; n++) {
        fx_init(&fx, n, 0, n);
        for (unsigned i = 1; i <= n / 2; i++)
            fx_start(&fx, i);
        fx_run(&fx, 30 * FX_ELECTION_US);
        for (unsigned i = 1; i <= n / 2; i++) {
            assert_int_not_equal(fx_role(&fx, i), RAFT_LEADER);
            assert_int_equal(fx_term(&fx, i), 1);
        }
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* ---- transfer ---- */

/* A TimeoutNow that was long under way starts an election, which a leader alive survives or loses
 * cleanly. */
static void raft__late_timeout_now_does_no_harm(void **state)
{
    struct fx_msg late;
    unsigned leader;

    (void)state;
    fx_init(&fx, 3, 0, 4);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_turn(&fx, 1);
    late = fx_take(&fx, 1, 2, RAFT_MSG_TIMEOUT_NOW);
    fx_run(&fx, 3 * FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 1); /* given up */
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    fx_inject_ok(&fx, &late.m);
    fx_deliver_all(&fx);
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, fx_converged, NULL));
    leader = fx_leader(&fx);
    fx_inject_ok(&fx, &late.m); /* and once more, now of an old term */
    fx_deliver_all(&fx);
    assert_int_equal(fx_leader(&fx), leader);
    fx_msg_done(&late);
}

/* A learner that is told to campaign does not. */
static void raft__timeout_now_at_a_learner_does_nothing(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 2, 1, 1);
    fx_start(&fx, 3);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 1, 3, 1);
    (void)fx_inject(&fx, &m);
    assert_int_equal(fx_role(&fx, 3), RAFT_FOLLOWER);
    assert_int_equal(fx_term(&fx, 3), 1);
}

/* The target dies in the middle: the leader gives up and goes on. */
static void raft__transfer_to_a_dead_target_is_over_in_time(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 4);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_crash(&fx, 2, 0);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_turn(&fx, 1);
    fx_run(&fx, FX_ELECTION_US + FX_HEARTBEAT_US);
    assert_int_equal(fx.nodes[1].n_transfers_over, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

/* A leader of several hands over when its disk stalls, because another may have a better one.
 * There is no other here: resigning would only add an election to the wait. */
static void raft__lone_voter_leads_on_while_its_disk_stalls(void **state)
{
    struct raft_entry_id e;

    (void)state;
    fx_init(&fx, 1, 1, 1); /* a learner does not change that */
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    fx.nodes[1].manual_store = true;
    e = fx_propose(&fx, 1);
    for (unsigned k = 0; k < 10; k++) {
        fx.now += FX_ELECTION_US;
        fx_tick(&fx, 1);
        assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    }
    assert_true(fx_commit(&fx, 1) < e.index); /* nothing is committed that no disk holds */
    fx_store_all(&fx, 1);
    assert_int_equal(fx_commit(&fx, 1), e.index);
    assert_int_equal(fx_term(&fx, 1), 2);
}

/* One group exists; a message for another is nobody's here, whatever its term. */
static void raft__message_of_another_group_is_invalid(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 7);
    m.group = 1;
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
    assert_int_equal(fx_term(&fx, 1), 1);
    assert_int_equal(fx_count(&fx, 1, 2, FX_ANY), 0);
    m.group = 0;
    assert_int_equal(fx_inject(&fx, &m), 0);
    assert_int_equal(fx_term(&fx, 1), 7);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT_RESP)->group, 0);
}

static void raft__outcomes_have_texts(void **state)
{
    (void)state;
    fx_init(&fx, 1, 0, 1);
    for (int rc = RAFT_E_NOT_LEADER; rc <= RAFT_E_GATED; rc++)
        assert_string_not_equal(raft_error_text(rc), "unknown");
    assert_string_equal(raft_error_text(0), "unknown");
    assert_string_not_equal(raft_log_error_text(RAFT_LOG_E_COMPACTED), "unknown");
    assert_string_equal(raft_log_error_text(0), "unknown");
}

/* What a node sends is of its own group. */
static void raft__messages_carry_the_group(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].conf.group = 5;
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 7);
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
    m.group = 5;
    assert_int_equal(fx_inject(&fx, &m), 0);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT_RESP)->group, 5);
}

/* ---- configurations in the log ---- */

/* The latest configuration in the log is in force, committed or not: three of five must vote. From
 * the moment it is appended, and until it is truncated (MEMBER-4). */
static void raft__latest_configuration_is_in_force(void **state)
{
    struct raft_configuration c;
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 5, 0, 1);
    raft_configuration_init(&c); /* at first n1 .. n3 */
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(raft_configuration_add(&c, raft_founder_id(fx.nodes[i].name),
                                                fx.nodes[i].name, RAFT_VOTER, "a:1", "b:1"),
                         0);
    fx_add_config(&fx, 1, 1, &c);
    fx_add_config(&fx, 1, 2, &fx.configuration); /* index 3: five voters, not committed */
    fx_start(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).n_voters, 5);
    fx_tick_deadline(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE); /* two of five */
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 4, 1, 3);
    fx_inject_ok(&fx, &m);
    /* A leader without that entry removes it; the configuration before it is in force again. */
    {
        static const raft_term terms[] = {3};

        assert_int_equal(fx_puppet_append(&fx, 4, 1, 3, (struct raft_entry_id){1, 2}, terms, 1, 1),
                         0);
    }
    assert_int_equal(fx_status(&fx, 1).n_voters, 3);
    assert_null(raft_configuration_get(raft_get_configuration(fx_raft(&fx, 1)), fx_id(&fx, 4)));
}

/* A node that the configuration does not name follows and answers, but does not campaign. */
static void raft__node_outside_the_configuration_does_not_campaign(void **state)
{
    struct raft_configuration c;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    raft_configuration_init(&c);
    for (unsigned i = 2; i <= 3; i++)
        assert_int_equal(raft_configuration_add(&c, raft_founder_id(fx.nodes[i].name),
                                                fx.nodes[i].name, RAFT_VOTER, "a:1", "b:1"),
                         0);
    fx_add_config(&fx, 1, 2, &c);
    fx_start(&fx, 1);
    fx_run(&fx, 10 * FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx.n_net, 0);
}

/* ---- raft_new() ---- */

static void raft__new_refuses_what_contradicts_itself(void **state)
{
    struct raft_configuration c;
    struct raft_config_at at = {.index = 1};
    struct raft_term_range ranges[] = {{1, 1}, {2, 4}};
    struct raft_start good = {.hard_state = {.current_term = 2},
                              .last_index = 5,
                              .commit_index = 1,
                              .last_applied = 1,
                              .terms = ranges,
                              .n_terms = 2,
                              .configs = &at,
                              .n_configs = 1};
    struct raft_start bad;
    struct raft *r = NULL;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    c = fx.configuration;
    at.configuration = c;
    assert_int_equal(raft_new(&fx.nodes[1].conf, &good, 1, &r), 0);
    raft_check(r);
    raft_free(r);
    r = NULL;
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        assert_int_equal(raft_new(&fx.nodes[1].conf, &bad, 1, &r), RAFT_E_INVALID);                \
        assert_null(r);                                                                            \
    } while (0)
    REFUSED(bad.hard_state.current_term = 1); /* below the log's last term */
    REFUSED(bad.commit_index = 6);
    REFUSED(bad.last_applied = 6);
    REFUSED(bad.n_configs = 0);
    REFUSED(bad.n_terms = 0);
    REFUSED(bad.last_index = 3); /* a range begins behind it */
    REFUSED(at.index = 6);
    at.index = 1;
    REFUSED(ranges[0].first = 2);
    ranges[0].first = 1;
    REFUSED(ranges[1].first = 1);
    ranges[1].first = 4;
    REFUSED(ranges[1].term = 1);
    ranges[1].term = 2;
    REFUSED(ranges[0].term = 0);
    ranges[0].term = 1;
#undef REFUSED
    good.last_applied = 4; /* raises commit_index */
    assert_int_equal(raft_new(&fx.nodes[1].conf, &good, 1, &r), 0);
    assert_int_equal(raft_get_commit_index(r), 4);
    raft_check(r);
    raft_free(r);
    raft_free(NULL);
    assert_int_equal(fx.nodes[1].n_live, 0);
}

/* The entry that every log begins with is the same everywhere and counts as committed, also where
 * nothing was noted of it (IDENTITY-6). */
static void raft__first_configuration_counts_as_committed(void **state)
{
    struct raft_config_at at = {.index = 1};
    struct raft_term_range range = {1, 1};
    struct raft_start start = {.hard_state = {.current_term = 1},
                               .last_index = 1,
                               .terms = &range,
                               .n_terms = 1,
                               .configs = &at,
                               .n_configs = 1};
    struct raft_status status;
    struct raft *r = NULL;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    at.configuration = fx.configuration;
    assert_int_equal(raft_new(&fx.nodes[1].conf, &start, 1, &r), 0);
    raft_get_status(r, &status);
    assert_int_equal(status.commit_index, 1);
    raft_free(r);
}

/* Every allocation may fail: -ENOMEM, and nothing is leaked. */
static void raft__new_gives_everything_back_without_memory(void **state)
{
    static const raft_term log[] = {1, 2, 2, 3};
    unsigned n = 0;

    (void)state;
    fx_init(&fx, 3, 1, 1);
    fx_set_log(&fx, 1, log, 4);
    for (;;) {
        struct raft *r = NULL;
        int e;

        fx.nodes[1].n_allocs = 0;
        fx.nodes[1].fail_at = ++n;
        e = fx_try_start(&fx, 1, 1, &r);
        fx.nodes[1].fail_at = 0;
        if (e == 0) {
            raft_free(r);
            assert_int_equal(fx.nodes[1].n_live, 0);
            break;
        }
        assert_int_equal(e, -ENOMEM);
        assert_null(r);
        assert_int_equal(fx.nodes[1].n_live, 0);
        assert_true(n < 1000);
    }
    assert_true(n > 1);
}

/* ---- what a correct peer cannot send ---- */

/* What no correct peer sends is refused and changes nothing (CORE-3), a gap between entries for one
 * (LOG-4). */
static void raft__impossible_messages_are_refused_unchanged(void **state)
{
    struct raft_msg m;
    unsigned char bad_config[] = {0xff, 0xff, 0xff};
    struct raft_entry e = {.id = {2, 3}, .type = RAFT_ENTRY_COMMAND};

    (void)state;
    for (unsigned k = 0; k < 19; k++) {
        struct raft_status before;
        struct raft_status after;
        bool leads = k >= 12;

        fx_init(&fx, 3, 0, 1);
        fx_start(&fx, 1);
        if (leads) {
            fx_puppets_lead(&fx, 1); /* term 2, last index 2 */
        } else {
            static const raft_term terms[] = {2};

            assert_int_equal(
                fx_puppet_append(&fx, 2, 1, 2, (struct raft_entry_id){1, 1}, terms, 1, 2), 0);
            assert_int_equal(fx_commit(&fx, 1), 2);
        }
        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
        before = fx_status(&fx, 1);
        m = fx_make(&fx, RAFT_MSG_APPEND, 2, 1, 2);
        m.prev = (struct raft_entry_id){2, 2};
        e = (struct raft_entry){.id = {2, 3}, .type = RAFT_ENTRY_COMMAND};
        m.entries = &e;
        m.n_entries = 1;
        switch (k) {
        case 0: /* contradicts a committed entry */
            m.prev = (struct raft_entry_id){1, 1};
            m.term = 3;
            e.id = (struct raft_entry_id){3, 2};
            break;
        case 1: /* says that a committed entry had another term */
            m.term = 5;
            m.prev = (struct raft_entry_id){4, 2};
            e.id.term = 5;
            break;
        case 2: /* a gap */
            e.id.index = 4;
            break;
        case 3: /* an entry of a later term than its leader's */
            e.id.term = 3;
            break;
        case 4: /* terms fall */
            e.id.term = 1;
            break;
        case 5:
            e.id.term = 0;
            break;
        case 6:
            e.type = (enum raft_entry_type)99;
            break;
        case 7:
            e.type = RAFT_ENTRY_CONFIG;
            e.data = bad_config;
            e.len = sizeof(bad_config);
            break;
        case 8:
            m.term = RAFT_INDEX_MAX + 1;
            break;
        case 9:
            m.prev.index = RAFT_INDEX_MAX + 1;
            m.n_entries = 0;
            m.entries = NULL;
            break;
        case 10:
            m.type = (enum raft_msg_type)77;
            break;
        case 11:
            m.term = 0;
            break;
        case 12: /* another leader of this leader's term */
            break;
        case 13:
            m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 2);
            break;
        case 14: /* acknowledges what was never sent */
            m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 2);
            m.index = 3;
            break;
        case 15: /* a round that was never opened */
            m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 2, 1, 2);
            m.round = 1000;
            break;
        case 16: /* from itself */
            m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 1, 1, 2);
            m.index = 2;
            break;
        case 17: /* for another */
            m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 2);
            m.index = 2;
            m.to = fx_id(&fx, 3);
            break;
        default: /* acknowledges an index out of range */
            m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, 2);
            m.index = RAFT_INDEX_MAX + 7;
        }
        if (raft_step(fx_raft(&fx, 1), &m, fx.now) != RAFT_E_INVALID)
            fail_msg("case %u was not refused", k);
        fx_turn(&fx, 1);
        after = fx_status(&fx, 1);
        if (k > 1) /* a higher term may be taken before the rest is looked at */
            assert_int_equal(after.current_term, before.current_term);
        if (k > 1)
            assert_int_equal(after.role, before.role);
        assert_int_equal(after.last_index, before.last_index);
        assert_int_equal(after.commit_index, before.commit_index);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* TERM-3: a peer that says the highest term there is. What we would send of a higher one,
 * the encoder refuses by assertion and every peer as nonsense. */
static void raft__no_campaign_beyond_the_last_term(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_hard_state(&fx, 1, RAFT_INDEX_MAX - RAFT_TERMS_LEFT_FEW, 0);
    fx.nodes[1].conf.term_step_max = RAFT_INDEX_MAX;
    fx_start(&fx, 1);
    assert_false(fx_status(&fx, 1).terms_run_out);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, RAFT_INDEX_MAX);
    m.reject = true;
    fx_inject_ok(&fx, &m);
    assert_true(fx_term(&fx, 1) == RAFT_INDEX_MAX);
    assert_true(fx_status(&fx, 1).terms_run_out);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 2, 1, RAFT_INDEX_MAX);
    fx_inject_ok(&fx, &m);
    for (unsigned k = 0; k < 5; k++)
        fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_true(fx_term(&fx, 1) == RAFT_INDEX_MAX);
    assert_int_equal(fx_count(&fx, 1, FX_ANY, FX_ANY), 0);
}

/* Every kind of message by which a term is taken over. */
static const struct {
    enum raft_msg_type type;
    bool reject;
    bool transfer;
} tells_a_term[] = {
    {RAFT_MSG_VOTE, false, true},        {RAFT_MSG_APPEND, false, false},
    {RAFT_MSG_HEARTBEAT, false, false},  {RAFT_MSG_TIMEOUT_NOW, false, false},
    {RAFT_MSG_PRE_VOTE_RESP, true, false}, {RAFT_MSG_VOTE_RESP, true, false},
    {RAFT_MSG_APPEND_RESP, true, false}, {RAFT_MSG_HEARTBEAT_RESP, true, false},
};

static struct raft_msg far_message(size_t kind, unsigned from, unsigned to, raft_term term)
{
    struct raft_msg m = fx_make(&fx, tells_a_term[kind].type, from, to, term);

    m.reject = tells_a_term[kind].reject;
    m.transfer = tells_a_term[kind].transfer;
    if (m.type == RAFT_MSG_VOTE || m.type == RAFT_MSG_APPEND)
        m.prev = (struct raft_entry_id){1, 1};
    return m;
}

/* TERM-4: who hears a leader is moved by no message of a term far above, whatever its kind, and
 * says who told it; the leader itself neither. One step is still followed: it is what an election
 * that was missed may cost. */
static void raft__a_far_term_moves_nobody_who_hears_a_leader(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(tells_a_term) / sizeof(tells_a_term[0]); k++)
        for (unsigned i = 1; i <= 2; i++) {
            raft_term term;
            struct raft_msg m;

            fx_init(&fx, 3, 0, 1);
            fx_start_all(&fx);
            fx_elect(&fx, 1);
            fx_deliver_all(&fx);
            term = fx_term(&fx, i);
            m = far_message(k, 3, i, term + RAFT_TERM_STEP_MAX + 1);
            fx_inject_ok(&fx, &m);
            assert_true(fx_term(&fx, i) == term);
            assert_int_equal(fx_role(&fx, i), i == 1 ? RAFT_LEADER : RAFT_FOLLOWER);
            assert_true(fx_status(&fx, i).far_peer == fx_id(&fx, 3));
            assert_true(fx_status(&fx, i).far_term == term + RAFT_TERM_STEP_MAX + 1);
            assert_int_equal(fx_count(&fx, i, 3, FX_ANY), 0);
            m = far_message(k, 3, i, term + RAFT_TERM_STEP_MAX);
            fx_inject_ok(&fx, &m);
            assert_true(fx_term(&fx, i) >= term + RAFT_TERM_STEP_MAX);
            fx_done(&fx);
        }
    fx_init(&fx, 1, 0, 1);
}

/* TERM-4: who hears none climbs by one step, with an empty vote that is stored like any other, and
 * what the message wanted is not done. */
static void raft__a_far_term_is_climbed_to_in_steps(void **state)
{
    const raft_term far = 5 * RAFT_TERM_STEP_MAX;

    (void)state;
    for (size_t k = 0; k < sizeof(tells_a_term) / sizeof(tells_a_term[0]); k++) {
        struct raft_status s;
        struct raft_msg m;

        fx_init(&fx, 3, 0, 1);
        fx_set_hard_state(&fx, 1, 2, 3);
        fx.nodes[1].manual_store = true;
        fx_start(&fx, 1);
        m = far_message(k, 2, 1, far);
        fx_inject_ok(&fx, &m);
        s = fx_status(&fx, 1);
        assert_true(s.current_term == 2 + RAFT_TERM_STEP_MAX);
        assert_true(s.voted_for == 0 && s.leader_id == 0);
        assert_int_equal(s.role, RAFT_FOLLOWER);
        assert_int_equal(fx_count(&fx, 1, FX_ANY, FX_ANY), 0);
        fx_crash(&fx, 1, 1);
        fx_restart(&fx, 1);
        assert_true(fx_term(&fx, 1) == 2 + RAFT_TERM_STEP_MAX); /* it was handed to the disk */
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* The price of the bound is a few heartbeats: a node that is new, or was away for millions of
 * elections, joins. */
static void raft__a_node_joins_a_cluster_of_a_far_term(void **state)
{
    const raft_term far = 3 * RAFT_TERM_STEP_MAX;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    for (unsigned i = 1; i <= 2; i++)
        fx_set_hard_state(&fx, i, far, 0);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 10 * FX_HEARTBEAT_US);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    assert_true(fx_term(&fx, 3) > far);
    assert_int_equal(fx_leader(&fx), 1);
    (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    assert_true(fx_commit(&fx, 3) == fx_last(&fx, 1));
}

/* A pre-vote asks about a term and moves none, however far it is. */
static void raft__a_far_pre_vote_moves_no_term(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE, 2, 1, 9 * RAFT_TERM_STEP_MAX);
    m.prev = (struct raft_entry_id){1, 1};
    fx_inject_ok(&fx, &m);
    assert_true(fx_term(&fx, 1) == 1);
    assert_true(fx_status(&fx, 1).far_term == 0);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_PRE_VOTE_RESP), 1);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(raft__no_campaign_beyond_the_last_term),
        T(raft__a_far_term_moves_nobody_who_hears_a_leader),
        T(raft__a_far_term_is_climbed_to_in_steps),
        T(raft__a_node_joins_a_cluster_of_a_far_term),
        T(raft__a_far_pre_vote_moves_no_term),
        T(raft__vote_is_sent_only_when_durable),
        T(raft__vote_within_the_current_term_is_stored),
        T(raft__vote_asked_twice_waits_twice),
        T(raft__vote_of_two_terms_wait_for_their_batches),
        T(raft__vote_request_is_sent_only_when_durable),
        T(raft__nobody_leads_before_its_own_vote_is_durable),
        T(raft__single_voter_leads_and_commits_only_what_is_durable),
        T(raft__single_voter_with_a_learner_leads),
        T(raft__restart_keeps_the_vote),
        T(raft__crash_before_the_vote_is_durable_frees_it),
        T(raft__restart_of_a_leader_is_a_follower),
        T(raft__learner_never_campaigns),
        T(raft__learner_votes_do_not_count),
        T(raft__learner_answers_who_asks_it),
        T(raft__stranger_does_not_vote),
        T(raft__leader_without_a_quorum_steps_down),
        T(raft__leader_with_a_quorum_stays),
        T(raft__leader_does_not_count_learners_for_its_quorum),
        T(raft__single_voter_keeps_leading),
        T(raft__node_that_returns_does_not_disrupt),
        T(raft__stuck_node_of_a_higher_term_is_freed),
        T(raft__stuck_node_tells_its_term),
        T(raft__stuck_candidate_with_a_short_log_is_freed),
        T(raft__chain_topology_has_one_steady_leader),
        T(raft__leader_with_one_way_links_is_replaced),
        T(raft__any_majority_elects),
        T(raft__minority_never_elects),
        T(raft__late_timeout_now_does_no_harm),
        T(raft__timeout_now_at_a_learner_does_nothing),
        T(raft__transfer_to_a_dead_target_is_over_in_time),
        T(raft__lone_voter_leads_on_while_its_disk_stalls),
        T(raft__message_of_another_group_is_invalid),
        T(raft__messages_carry_the_group),
        T(raft__outcomes_have_texts),
        T(raft__latest_configuration_is_in_force),
        T(raft__node_outside_the_configuration_does_not_campaign),
        T(raft__new_refuses_what_contradicts_itself),
        T(raft__first_configuration_counts_as_committed),
        T(raft__new_gives_everything_back_without_memory),
        T(raft__impossible_messages_are_refused_unchanged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
