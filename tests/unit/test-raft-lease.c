/* Leases of a leader: what a follower promises, what a new leader waits for, and when a lease may be
 * used (LEASE-0 to LEASE-15). One real node among puppets, or all of them real; then the fixture
 * looks at each commit whether somebody who led before could still read by a lease, and compares
 * each read by a lease with what is committed. */
#include "raft-fixture.h"

#include "raft/raft_int.h"

#include "base/banned.h"

#define LEASE_US 60000u
/* Longer than an election takes: whoever is elected comes within it. */
#define LONG_US 300000u

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* ---- a follower among puppets ---- */

/* n2, which has promised something so long before, and so needs no disk for it. */
static void follow(uint64_t lease_max_us)
{
    fx_init(&fx, 5, 0, 1);
    fx_leases(&fx, 0);
    fx_start(&fx, 2);
    fx.nodes[2].r->hard_state.lease_max_us = lease_max_us;
    fx.nodes[2].r->lease_stored_us = lease_max_us;
    fx.nodes[2].r->seen.lease_max_us = lease_max_us;
    fx.nodes[2].hard_state.lease_max_us = lease_max_us;
    fx.nodes[2].disk.hard_state.lease_max_us = lease_max_us;
}

static struct raft_msg heartbeat(unsigned from, raft_term term, uint64_t lease_us)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT, from, 2, term);

    m.round = 1;
    m.beat = (struct raft_beat){.said = true, .lease_us = lease_us};
    return m;
}

/* A leader of the term is heard once; did the answer promise? */
static bool hear(unsigned from, raft_term term, uint64_t lease_us)
{
    struct raft_msg m = heartbeat(from, term, lease_us);
    const struct raft_msg *resp;
    bool leased;

    fx_inject_ok(&fx, &m);
    resp = fx_only(&fx, 2, from, RAFT_MSG_HEARTBEAT_RESP);
    assert_false(resp->reject);
    leased = resp->beat.leased;
    (void)fx_drop(&fx, 2, from, RAFT_MSG_HEARTBEAT_RESP);
    return leased;
}

static uint64_t promised(void)
{
    return fx_status(&fx, 2).promise_left_us;
}

static struct raft_msg ask_vote(unsigned from, raft_term term, bool transfer)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_VOTE, from, 2, term);

    m.prev = (struct raft_entry_id){1, 1};
    m.transfer = transfer;
    return m;
}

/* What a granted vote says. */
static uint64_t left_in_vote(unsigned from, raft_term term, bool transfer)
{
    struct raft_msg m = ask_vote(from, term, transfer);
    const struct raft_msg *resp;
    uint64_t left_us;

    fx_inject_ok(&fx, &m);
    resp = fx_only(&fx, 2, from, RAFT_MSG_VOTE_RESP);
    assert_false(resp->reject);
    left_us = resp->left_us;
    (void)fx_drop(&fx, 2, from, RAFT_MSG_VOTE_RESP);
    return left_us;
}

/* ---- clocks (LEASE-0) ---- */

/* Of a clock that is fast by one in a hundred so much passes while one that is slow by as much
 * counts us. */
static void raft_lease__stretch_covers_both_clocks(void **state)
{
    (void)state;
    fx_init(&fx, 1, 0, 1);
    assert_int_equal(raft_stretch_us(0), 0);
    assert_int_equal(raft_stretch_us(99), 101);
    assert_int_equal(raft_stretch_us(1), 2);
    for (uint64_t us = 1; us <= RAFT_LEASE_US_MAX; us += 997) {
        assert_true(raft_stretch_us(us) * 99 >= us * 101);
        assert_true((raft_stretch_us(us) - 1) * 99 < us * 101);
    }
    assert_int_equal(raft_promise_us_max(), raft_stretch_us(RAFT_LEASE_US_MAX));
}

/* Who waits goes by a clock that stands still meanwhile. */
static void raft_lease__promise_outlasts_a_suspended_machine(void **state)
{
    (void)state;
    follow(LEASE_US);
    assert_true(hear(1, 2, LEASE_US));
    fx_suspend(&fx, 2, 10 * LEASE_US);
    fx.now += 1000;
    fx_tick(&fx, 2);
    assert_int_equal(promised(), raft_stretch_us(LEASE_US) - 1000);
}

/* ---- promises (LEASE-1) ---- */

static void raft_lease__promise_is_as_long_as_the_message_says(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    fx.nodes[2].r->conf.lease_us = 7 * LEASE_US; /* the own setting is for the own leadership */
    assert_true(hear(1, 2, LEASE_US));
    assert_int_equal(promised(), raft_stretch_us(LEASE_US));
    fx.now += 1000;
    assert_true(hear(1, 2, LEASE_US / 2)); /* shortens nothing */
    assert_int_equal(promised(), raft_stretch_us(LEASE_US) - 1000);
    assert_true(hear(1, 2, LEASE_US));
    assert_int_equal(promised(), raft_stretch_us(LEASE_US));
    fx.now += raft_stretch_us(LEASE_US);
    fx_turn(&fx, 2);
    assert_int_equal(promised(), 0);
}

static void raft_lease__nothing_is_promised_without_a_lease(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(LEASE_US);
    assert_false(hear(1, 2, 0));
    assert_int_equal(promised(), 0);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 2, 2); /* of the version before */
    fx_inject_ok(&fx, &m);
    assert_false(fx_only(&fx, 2, 1, RAFT_MSG_HEARTBEAT_RESP)->beat.leased);
    assert_int_equal(promised(), 0);
}

static void raft_lease__too_long_a_lease_is_invalid(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(LEASE_US);
    m = heartbeat(1, 2, RAFT_LEASE_US_MAX + 1);
    assert_int_equal(fx_inject(&fx, &m), RAFT_E_INVALID);
    assert_int_equal(promised(), 0);
    m = heartbeat(1, 2, RAFT_LEASE_US_MAX);
    fx_inject_ok(&fx, &m);
    assert_int_equal(promised(), raft_promise_us_max());
}

/* A leader of an older term gets neither a promise nor the word of one. */
static void raft_lease__old_leader_is_promised_nothing(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(LEASE_US);
    (void)hear(1, 3, 0);
    m = heartbeat(3, 2, LEASE_US);
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 2, 3, RAFT_MSG_HEARTBEAT_RESP)->reject);
    assert_false(fx_only(&fx, 2, 3, RAFT_MSG_HEARTBEAT_RESP)->beat.leased);
    assert_int_equal(promised(), 0);
}

/* It restricts nothing: whoever has promised votes and campaigns as ever. */
static void raft_lease__promise_keeps_nobody_from_voting(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    assert_true(hear(1, 2, RAFT_LEASE_US_MAX));
    fx.now += FX_ELECTION_US;
    assert_true(left_in_vote(3, 3, false) > 0);
    assert_int_equal(fx_status(&fx, 2).voted_for, fx_id(&fx, 3));
    assert_true(hear(3, 3, RAFT_LEASE_US_MAX));
    fx_tick_deadline(&fx, 2);
    assert_int_equal(fx_role(&fx, 2), RAFT_PRE_CANDIDATE);
    assert_true(promised() > 0);
}

/* The schedule that breaks a lease which is built on votes being refused while a leader is heard:
 * a late refusal raises the term, nobody is heard any more, and the vote is given. Here the promise
 * stands, and is told. */
static void raft_lease__late_refusal_clears_no_promise(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(LEASE_US);
    (void)hear(1, 2, LEASE_US);
    fx.now += 1000;
    m = ask_vote(3, 3, false);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 2), 2); /* a leader is heard */
    assert_int_equal(fx_count(&fx, 2, 3, RAFT_MSG_VOTE_RESP), 0);
    fx.now += 1000;
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 3, 2, 3);
    m.reject = true;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_term(&fx, 2), 3);
    assert_int_equal(left_in_vote(3, 3, false), raft_stretch_us(LEASE_US) - 2000);
}

static void raft_lease__learner_promises_too(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 1, 1);
    fx_leases(&fx, 0);
    fx_start(&fx, 4);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 1, 4, 2);
    m.beat = (struct raft_beat){.said = true, .lease_us = LEASE_US};
    fx_inject_ok(&fx, &m);
    fx_inject_ok(&fx, &m);
    assert_true(fx_find_last(&fx, 4, 1, RAFT_MSG_HEARTBEAT_RESP)->m.beat.leased);
    assert_int_equal(fx_status(&fx, 4).promise_left_us, raft_stretch_us(LEASE_US));
}

/* ---- of several terms (LEASE-2) ---- */

static void raft_lease__promises_of_terms_are_kept_apart(void **state)
{
    struct promises p = {0};

    (void)state;
    fx_init(&fx, 1, 0, 1);
    raft_promises_book(&p, 2, 500, 100);
    raft_promises_book(&p, 3, 300, 100);
    assert_int_equal(raft_promises_left_us(&p, 0, 0, 100), 400);
    assert_int_equal(raft_promises_left_us(&p, 3, 0, 100), 400);
    assert_int_equal(raft_promises_left_us(&p, 2, 0, 100), 200);
    assert_int_equal(raft_promises_left_us(&p, 0, 2, 100), 200);
    assert_int_equal(raft_promises_left_us(&p, 2, 3, 100), 0);
    assert_int_equal(raft_promises_left_us(&p, 0, 0, 500), 0);
    raft_promises_book(&p, 2, 400, 200); /* never shorter */
    assert_int_equal(raft_promises_left_us(&p, 3, 0, 100), 400);
}

/* With more than there is room for the oldest counts for all terms. */
static void raft_lease__oldest_promise_joins_the_others(void **state)
{
    struct promises p = {0};

    (void)state;
    fx_init(&fx, 1, 0, 1);
    for (raft_term term = 1; term <= RAFT_PROMISES_MAX; term++)
        raft_promises_book(&p, term, 1000 - 100 * term, 0);
    assert_int_equal(p.other_until_us, 0);
    raft_promises_book(&p, 50, 10, 0);
    assert_int_equal(p.other_until_us, 900);
    assert_int_equal(raft_promises_left_us(&p, 1, 50, 0), 900); /* it is not known as term 1's */
    raft_promises_book(&p, 51, 10, 0);
    assert_int_equal(p.other_until_us, 900); /* the longest of those that gave way */
    /* What is over gives way to anything. */
    raft_promises_book(&p, 52, 2000, 800);
    assert_int_equal(p.other_until_us, 900);
    assert_int_equal(raft_promises_left_us(&p, 52, 0, 800), 100);
    assert_int_equal(raft_promises_left_us(&p, 0, 0, 800), 1200);
}

/* ---- the disk, restarts (LEASE-3, LEASE-4) ---- */

/* A length that was never promised before is on the disk before it is; no answer waits for it. */
static void raft_lease__first_promise_waits_for_the_disk(void **state)
{
    (void)state;
    follow(0);
    fx.nodes[2].manual_store = true;
    assert_false(hear(1, 2, LEASE_US));
    assert_false(hear(1, 2, LEASE_US));
    assert_false(hear(1, 2, LEASE_US / 2)); /* nor is a shorter one known to be durable */
    fx_store_all(&fx, 2);
    assert_int_equal(fx.nodes[2].disk.hard_state.lease_max_us, LEASE_US);
    assert_true(hear(1, 2, LEASE_US));
    assert_true(hear(1, 2, LEASE_US / 2));
    assert_int_equal(fx.nodes[2].n_batches, 0); /* nothing more to store */
    assert_false(hear(1, 2, LEASE_US + 1));
    assert_true(hear(1, 2, LEASE_US));
    fx_store_all(&fx, 2);
    assert_true(hear(1, 2, LEASE_US + 1));
}

/* A longer one while a shorter one is under way: the batch that is under way is not that of both. */
static void raft_lease__each_length_has_its_own_batch(void **state)
{
    (void)state;
    follow(0);
    fx.nodes[2].manual_store = true;
    assert_false(hear(1, 2, LEASE_US));
    assert_false(hear(1, 2, 2 * LEASE_US));
    fx_store(&fx, 2, 1 + (fx.nodes[2].n_batches > 2)); /* that of the term, perhaps apart */
    assert_int_equal(fx.nodes[2].disk.hard_state.lease_max_us, LEASE_US);
    assert_false(hear(1, 2, 2 * LEASE_US));
    fx_store_all(&fx, 2);
    assert_true(hear(1, 2, 2 * LEASE_US));
}

/* Whatever becomes of the log. */
static void raft_lease__longest_promise_stays_when_the_log_goes(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, LEASE_US);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    fx_isolate(&fx, 3, true);
    for (unsigned k = 0; k < 5; k++)
        (void)fx_propose(&fx, 1);
    fx_run(&fx, FX_HEARTBEAT_US);
    fx_heal(&fx);
    (void)fx_drop(&fx, FX_ANY, 3, RAFT_MSG_APPEND);
    assert_int_equal(fx_hand_over(&fx, 1, 3, fx_commit(&fx, 1), false), RAFT_INSTALL_LOG);
    assert_int_equal(fx.nodes[3].disk.hard_state.lease_max_us, LEASE_US);
    fx_crash(&fx, 3, 0);
    fx_restart(&fx, 3);
    assert_int_equal(fx_status(&fx, 3).promise_left_us, raft_stretch_us(LEASE_US));
}

static void raft_lease__start_with_too_long_a_promise_is_refused(void **state)
{
    struct raft *r = NULL;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx.nodes[1].disk.hard_state.lease_max_us = RAFT_LEASE_US_MAX + 1;
    assert_int_equal(fx_try_start(&fx, 1, 0, &r), RAFT_E_INVALID);
    fx.nodes[1].disk.hard_state.lease_max_us = RAFT_LEASE_US_MAX;
    fx.nodes[1].conf.lease_us = RAFT_LEASE_US_MAX + 1;
    assert_int_equal(fx_try_start(&fx, 1, 0, &r), RAFT_E_INVALID);
}

/* It has forgotten to whom, and until when: at most this, to anybody. And votes at once. */
static void raft_lease__restarted_voter_reports_the_full_length(void **state)
{
    (void)state;
    follow(0);
    (void)hear(1, 2, LEASE_US);
    assert_true(hear(1, 2, LEASE_US));
    fx_crash(&fx, 2, 0);
    fx.now += 1000;
    fx_restart(&fx, 2);
    fx.now += 1000;
    assert_int_equal(left_in_vote(3, 3, true), raft_stretch_us(LEASE_US) - 1000);
    fx.now += raft_stretch_us(LEASE_US);
    assert_int_equal(left_in_vote(3, 3, true), 0);
}

/* ---- what a vote says (LEASE-5) ---- */

static void raft_lease__vote_tells_what_is_left_when_it_is_given(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    (void)hear(1, 2, LONG_US);
    fx.now += FX_ELECTION_US;
    assert_int_equal(left_in_vote(3, 3, false), raft_stretch_us(LONG_US) - FX_ELECTION_US);
    fx.now += 5000; /* repeated: the same promise, later */
    assert_int_equal(left_in_vote(3, 3, false), raft_stretch_us(LONG_US) - FX_ELECTION_US - 5000);
}

/* A vote that waits for the disk: what was left when it was given is more than what is left. */
static void raft_lease__slow_disk_makes_nothing_shorter(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(RAFT_LEASE_US_MAX);
    (void)hear(1, 2, LONG_US);
    fx.nodes[2].manual_store = true;
    fx.now += FX_ELECTION_US;
    m = ask_vote(3, 3, false);
    fx_inject_ok(&fx, &m);
    fx.now += 7000;
    fx_store_all(&fx, 2);
    assert_int_equal(fx_only(&fx, 2, 3, RAFT_MSG_VOTE_RESP)->left_us,
                     raft_stretch_us(LONG_US) - FX_ELECTION_US);
}

/* The leader that hands over has no lease; the one before it may have. */
static void raft_lease__transfer_leaves_out_one_term(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    (void)hear(1, 2, LONG_US);
    fx.now += 1000;
    (void)hear(3, 3, LONG_US);
    fx.now += 1000;
    assert_int_equal(left_in_vote(4, 4, true), raft_stretch_us(LONG_US) - 2000);
    assert_true(hear(4, 4, LONG_US));
    /* Again, with a leader in between whose term is not the one before. */
    assert_int_equal(left_in_vote(5, 6, true), raft_stretch_us(LONG_US));
}

static void raft_lease__transfer_leaves_out_the_one_that_hands_over(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    (void)hear(1, 2, LONG_US);
    assert_int_equal(left_in_vote(3, 3, true), 0);
}

static void raft_lease__without_a_transfer_nothing_is_left_out(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    (void)hear(1, 2, LONG_US);
    fx.now += FX_ELECTION_US;
    assert_true(left_in_vote(3, 3, false) > 0);
}

/* A request that comes again, when who asked leads already: its own lease is none of its
 * concern. */
static void raft_lease__own_term_is_left_out(void **state)
{
    (void)state;
    follow(RAFT_LEASE_US_MAX);
    assert_int_equal(left_in_vote(3, 3, true), 0);
    assert_true(hear(3, 3, LONG_US));
    assert_int_equal(left_in_vote(3, 3, true), 0);
}

/* Pre-votes and refusals promise nothing and tell nothing. */
static void raft_lease__refusal_tells_nothing(void **state)
{
    struct raft_msg m;

    (void)state;
    follow(LEASE_US);
    (void)hear(1, 2, LEASE_US);
    m = ask_vote(3, 2, true);
    fx_inject_ok(&fx, &m);
    assert_true(fx_only(&fx, 2, 3, RAFT_MSG_VOTE_RESP)->reject);
    assert_int_equal(fx_only(&fx, 2, 3, RAFT_MSG_VOTE_RESP)->left_us, 0);
}

/* ---- the gate (LEASE-6, LEASE-7) ---- */

/* n1 is a candidate among puppets; its vote is stored. */
static void campaign(unsigned n_voters)
{
    raft_term term;

    for (unsigned k = 0; k < 50 && fx_role(&fx, 1) == RAFT_FOLLOWER; k++)
        fx_tick_deadline(&fx, 1);
    term = fx_term(&fx, 1) + 1;
    for (unsigned i = 2; i <= n_voters && fx_role(&fx, 1) == RAFT_PRE_CANDIDATE; i++) {
        struct raft_msg m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, i, 1, term);

        fx_inject_ok(&fx, &m);
    }
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

static void vote(unsigned from, uint64_t left_us)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_VOTE_RESP, from, 1, fx_term(&fx, 1));

    m.left_us = left_us;
    fx_inject_ok(&fx, &m);
}

static uint64_t gate(void)
{
    return fx_status(&fx, 1).gate_left_us;
}

/* The puppets store all that n1 has. */
static void store_everywhere(unsigned n_voters)
{
    for (unsigned i = 2; i <= n_voters; i++)
        fx_puppet_ack(&fx, i, 1, fx_last(&fx, 1));
}

static void start_candidate(unsigned n_voters)
{
    fx_init(&fx, n_voters, 0, 1);
    fx_leases(&fx, LEASE_US);
    fx_start(&fx, 1);
    campaign(n_voters);
}

static void raft_lease__gate_is_the_longest_of_the_quorum(void **state)
{
    (void)state;
    start_candidate(5);
    vote(2, 50000);
    fx.now += 10000;
    vote(3, 20000);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(gate(), raft_stretch_us(50000) - 10000);
    fx_done(&fx);
    start_candidate(5);
    vote(2, 20000);
    vote(3, 50000); /* the last as well as the first */
    assert_int_equal(gate(), raft_stretch_us(50000));
    vote(4, 90000); /* late: those that elected it are enough */
    assert_int_equal(gate(), raft_stretch_us(50000));
}

static void raft_lease__refusal_closes_no_gate(void **state)
{
    struct raft_msg m;

    (void)state;
    start_candidate(5);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 2, 1, fx_term(&fx, 1));
    m.reject = true;
    m.left_us = 90000;
    fx_inject_ok(&fx, &m);
    vote(3, 0);
    vote(4, 0);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(gate(), 0);
}

static void raft_lease__nobody_has_promised_too_much(void **state)
{
    (void)state;
    start_candidate(3);
    vote(2, UINT64_MAX);
    assert_int_equal(gate(), raft_stretch_us(raft_promise_us_max()));
}

/* What this node itself has promised when its term rises; between pre-vote and vote it may promise
 * more. */
static void raft_lease__own_promise_counts_from_when_the_term_rises(void **state)
{
    struct raft_msg m;
    uint64_t left_us;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, 0);
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 2);
    m.beat = (struct raft_beat){.said = true, .lease_us = LONG_US};
    fx_inject_ok(&fx, &m);
    for (unsigned k = 0; k < 50 && fx_role(&fx, 1) == RAFT_FOLLOWER; k++)
        fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    fx.now += 3000;
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 3, 1, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    left_us = fx_status(&fx, 1).promise_left_us;
    assert_true(left_us > 0);
    vote(3, 0);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_int_equal(gate(), left_us); /* not stretched against the own clock */
}

/* TIMEOUT_NOW: what was promised to the one that hands over is left out, of this node as well. */
static void raft_lease__own_promise_to_the_one_that_hands_over_is_left_out(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, 0);
    fx_start(&fx, 1);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 2);
    m.beat = (struct raft_beat){.said = true, .lease_us = LONG_US};
    fx_inject_ok(&fx, &m);
    fx.now += 2000;
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, 3);
    m.beat = (struct raft_beat){.said = true, .lease_us = LEASE_US};
    fx_inject_ok(&fx, &m);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 3, 1, 3);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    vote(3, 0);
    assert_int_equal(gate(), raft_stretch_us(LONG_US) - 2000); /* to the one before it stands */
}

/* A second election has its own gate, of its own votes. */
static void raft_lease__each_election_has_its_gate(void **state)
{
    struct raft_msg m;

    (void)state;
    start_candidate(3);
    vote(2, 50000);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    assert_int_equal(gate(), 0);
    fx.now += FX_ELECTION_US;
    campaign(3);
    vote(2, 20000);
    assert_int_equal(gate(), raft_stretch_us(20000));
    store_everywhere(3);
    assert_int_equal(fx_commit(&fx, 1), 1);
    fx_done(&fx);
    /* And one without any is open at once. */
    start_candidate(3);
    vote(2, 50000);
    fx.now += 50000;
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    fx.now += FX_ELECTION_US;
    campaign(3);
    vote(3, 0);
    store_everywhere(3);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1));
}

/* Nothing is committed before; then all of it is, and nobody needs to say anything again. */
static void raft_lease__commit_waits_for_the_gate(void **state)
{
    uint64_t gate_us;
    uint64_t read;

    (void)state;
    start_candidate(3);
    vote(2, 15000);
    gate_us = fx.now + raft_stretch_us(15000);
    assert_true(raft_can_propose(fx_raft(&fx, 1)));
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    (void)fx_propose(&fx, 1); /* taken, and replicated meanwhile */
    store_everywhere(3);
    read = fx_read(&fx, 1, 0);
    fx.now = gate_us - 1;
    fx_tick(&fx, 1);
    store_everywhere(3);
    assert_int_equal(fx_commit(&fx, 1), 1);
    assert_int_equal(raft_tick_due_us(fx_raft(&fx, 1)), gate_us);
    assert_int_equal(raft_deadline_us(fx_raft(&fx, 1)), gate_us);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx.now, gate_us);
    assert_int_equal(fx_commit(&fx, 1), fx_last(&fx, 1));
    assert_int_equal(fx_last(&fx, 1), 3);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_PENDING); /* it has its round now */
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), fx_status(&fx, 1).round), 0);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_DONE);
    assert_true(raft_tick_due_us(fx_raft(&fx, 1)) > fx.now);
}

/* A machine that is suspended waits longer. */
static void raft_lease__gate_goes_by_the_clock_that_stands_still(void **state)
{
    (void)state;
    start_candidate(3);
    vote(2, 15000);
    store_everywhere(3);
    fx_suspend(&fx, 1, 10 * LEASE_US);
    fx_tick(&fx, 1);
    store_everywhere(3);
    assert_int_equal(fx_commit(&fx, 1), 1);
    assert_int_equal(gate(), raft_stretch_us(15000));
}

/* What a quorum has stored is said to be committed by one that steps down; not while the gate is
 * closed. */
static void raft_lease__who_steps_down_behind_its_gate_commits_nothing(void **state)
{
    struct raft_msg m;

    (void)state;
    start_candidate(3);
    vote(2, 15000);
    (void)fx_propose(&fx, 1);
    store_everywhere(3);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_TERM);
    assert_int_equal(fx.nodes[1].loss_commit_index, 1);
    assert_int_equal(fx_commit(&fx, 1), 1);
}

static void raft_lease__unfit_leader_takes_no_proposals_behind_its_gate(void **state)
{
    (void)state;
    start_candidate(3);
    raft_set_fitness(fx_raft(&fx, 1), RAFT_PARKED, fx.now);
    vote(2, 15000);
    assert_true(raft_can_propose(fx_raft(&fx, 1)));
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    assert_false(raft_can_propose(fx_raft(&fx, 1)));
}

/* ---- holding (LEASE-8) ---- */

/* n1 leads puppets, none of which has promised anything yet. */
static void lead(unsigned n_voters, unsigned n_learners, uint64_t lease_us)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_leases(&fx, lease_us);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

/* The next periodic heartbeat: what it says. */
static struct raft_msg beat(void)
{
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_tick_deadline(&fx, 1);
    return *fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT);
}

static void lease_ack(unsigned from, uint64_t round)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, from, 1, fx_term(&fx, 1));

    m.round = round;
    m.beat = (struct raft_beat){.said = true, .leased = true};
    fx_inject_ok(&fx, &m);
}

/* The lease is over at end_us of the hold clock, a millisecond before in fact, and not earlier. */
static void ends_at(uint64_t end_us)
{
    fx.now = end_us - RAFT_LEASE_MARGIN_US - 1;
    assert_true(fx_lease(&fx, 1));
    fx.now++;
    assert_false(fx_lease(&fx, 1));
}

static void raft_lease__counts_from_the_opening_of_the_round(void **state)
{
    struct raft_msg m;
    uint64_t opened_us;

    (void)state;
    lead(3, 0, LEASE_US);
    assert_false(fx_lease(&fx, 1));
    assert_string_equal(fx_status(&fx, 1).lease_why_not, "silent");
    m = beat();
    opened_us = fx.now;
    assert_int_equal(m.beat.lease_us, LEASE_US);
    assert_false(fx_lease(&fx, 1));
    fx.now += 9000;
    lease_ack(2, m.round);
    assert_true(fx_status(&fx, 1).lease_valid);
    assert_int_equal(fx_status(&fx, 1).lease_left_us, LEASE_US - 9000);
    assert_null(fx_status(&fx, 1).lease_why_not);
    ends_at(opened_us + LEASE_US);
    assert_int_equal(fx_status(&fx, 1).n_lease_reads, 1);
}

/* Rounds for reads give one as well as periodic ones do. */
static void raft_lease__every_round_gives_one(void **state)
{
    uint64_t opened_us;

    (void)state;
    lead(3, 0, LEASE_US);
    (void)beat();
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += 3000;
    opened_us = fx.now;
    (void)fx_read(&fx, 1, 0);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->beat.lease_us, LEASE_US);
    fx.now += 1000;
    lease_ack(2, fx_status(&fx, 1).round);
    ends_at(opened_us + LEASE_US);
}

/* An answer without a promise, or of a peer of the version before, gives none. */
static void raft_lease__answer_without_a_promise_gives_none(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 0, LEASE_US);
    m = beat();
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), m.round), 0);
    assert_false(fx_lease(&fx, 1));
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 3, 1, fx_term(&fx, 1));
    m.round = fx_status(&fx, 1).round;
    m.beat.said = true;
    fx_inject_ok(&fx, &m);
    assert_false(fx_lease(&fx, 1));
    lease_ack(3, m.round);
    assert_true(fx_lease(&fx, 1));
}

/* The order statistic of a quorum: of five the second of the others. */
static void raft_lease__ends_with_the_last_of_a_quorum(void **state)
{
    uint64_t opened_us[3];

    (void)state;
    lead(5, 0, LEASE_US);
    for (unsigned k = 0; k < 3; k++) {
        struct raft_msg m = beat();

        opened_us[k] = fx.now;
        lease_ack(2 + k, m.round);
    }
    ends_at(opened_us[1] + LEASE_US);
    lease_ack(5, fx_status(&fx, 1).round);
    ends_at(opened_us[2] + LEASE_US);
}

static void raft_lease__learner_gives_none(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 1, LEASE_US);
    m = beat();
    assert_int_equal(fx_only(&fx, 1, 4, RAFT_MSG_HEARTBEAT)->beat.lease_us, LEASE_US);
    lease_ack(4, m.round);
    assert_false(fx_lease(&fx, 1));
}

/* A round that is repeated on a new link keeps its time, and what it said. */
static void raft_lease__repeated_round_keeps_its_time_and_length(void **state)
{
    struct raft_msg m;
    uint64_t opened_us;

    (void)state;
    lead(3, 0, LEASE_US);
    m = beat();
    opened_us = fx.now;
    raft_set_lease(fx_raft(&fx, 1), LEASE_US / 4, fx.now);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx.now += 10000;
    fx_link(&fx, 1, 2, false);
    fx_link(&fx, 1, 2, true);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->round, m.round);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT)->beat.lease_us, LEASE_US);
    lease_ack(2, m.round);
    ends_at(opened_us + LEASE_US);
    m = beat();
    assert_int_equal(m.beat.lease_us, LEASE_US / 4);
    opened_us = fx.now;
    lease_ack(2, m.round);
    ends_at(opened_us + LEASE_US / 4);
}

/* More than a ring of rounds later nobody remembers when the round was opened. */
static void raft_lease__forgotten_round_gives_none(void **state)
{
    uint64_t round = 0;

    (void)state;
    lead(3, 0, RAFT_LEASE_US_MAX);
    for (unsigned k = 0; k <= ROUND_TIMES; k++) {
        (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
        fx_tick_deadline(&fx, 1);
        if (k == 0)
            round = fx_status(&fx, 1).round;
        fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1)); /* heard, but no round acknowledged */
    }
    assert_int_equal(fx_status(&fx, 1).round, round + ROUND_TIMES);
    lease_ack(2, round);
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, round + 1);
    assert_true(fx_lease(&fx, 1));
}

/* A late answer to an older round takes nothing back. */
static void raft_lease__late_answer_changes_nothing(void **state)
{
    uint64_t opened_us;
    uint64_t round;

    (void)state;
    lead(3, 0, LEASE_US);
    round = beat().round;
    lease_ack(2, beat().round);
    opened_us = fx.now;
    lease_ack(2, round);
    ends_at(opened_us + LEASE_US);
}

/* By the configuration in force now: a quorum of the one before may be none. */
static void raft_lease__configuration_counts_when_it_is_used(void **state)
{
    struct raft_configuration c;
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 4, 0, 1);
    fx_found(&fx, "123");
    fx.n_voters = 3;
    fx_leases(&fx, LEASE_US);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    m = beat();
    lease_ack(2, m.round);
    assert_true(fx_lease(&fx, 1));
    fx_configuration(&fx, "1234", &c);
    c.version = GATES_VERSION;
    (void)fx_configure(&fx, 1, &c);
    assert_false(fx_lease(&fx, 1)); /* two of four */
    lease_ack(4, fx_status(&fx, 1).round);
    assert_true(fx_lease(&fx, 1));
    fx_configuration(&fx, "134", &c);
    c.version = GATES_VERSION;
    (void)fx_configure(&fx, 1, &c);
    assert_true(fx_lease(&fx, 1));
    fx_configuration(&fx, "13", &c);
    c.version = GATES_VERSION;
    (void)fx_configure(&fx, 1, &c);
    assert_false(fx_lease(&fx, 1)); /* n3 has given nothing */
}

/* ---- using (LEASE-9) ---- */

static void raft_lease__only_a_leader_with_its_noop_committed_has_one(void **state)
{
    raft_index index = 77;
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, LEASE_US);
    fx_start(&fx, 1);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_NOT_LEADER);
    fx_puppets_elect(&fx, 1);
    m = beat();
    lease_ack(2, m.round);
    lease_ack(3, m.round);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_GATED);
    assert_false(fx_status(&fx, 1).lease_valid);
    assert_string_equal(fx_status(&fx, 1).lease_why_not, "not ready");
    assert_int_equal(index, 77);
    fx_puppet_ack(&fx, 2, 1, fx_noop(&fx, 1));
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), 0);
    assert_int_equal(index, fx_noop(&fx, 1));
}

/* The floor of a connection's own writes. */
static void raft_lease__write_that_is_not_committed_needs_another_way(void **state)
{
    struct raft_entry_id id;
    raft_index index = 0;

    (void)state;
    lead(3, 0, LEASE_US);
    lease_ack(2, beat().round);
    id = fx_propose(&fx, 1);
    assert_int_equal(fx_try_lease(&fx, 1, id.index, &index), RAFT_E_NO_LEASE);
    assert_int_equal(fx_try_lease(&fx, 1, id.index - 1, &index), 0);
    fx_puppet_ack(&fx, 2, 1, id.index);
    assert_int_equal(fx_try_lease(&fx, 1, id.index, &index), 0);
    assert_int_equal(index, id.index);
}

/* The clock that was read for it counts, not one that was told before. */
static void raft_lease__clock_is_that_of_the_question(void **state)
{
    raft_index index = 0;
    uint64_t end_us;

    (void)state;
    lead(3, 0, LEASE_US);
    lease_ack(2, beat().round);
    end_us = fx.now + LEASE_US;
    assert_int_equal(raft_lease(fx_raft(&fx, 1), 0, end_us - RAFT_LEASE_MARGIN_US,
                                end_us - RAFT_LEASE_MARGIN_US, &index),
                     RAFT_E_NO_LEASE);
    fx.now = end_us;
}

static void raft_lease__off_by_default_and_when_it_is_switched_off(void **state)
{
    (void)state;
    lead(3, 0, 0);
    lease_ack(2, beat().round);
    assert_int_equal(beat().beat.lease_us, 0);
    assert_false(fx_lease(&fx, 1));
    assert_null(fx_status(&fx, 1).lease_why_not);
    raft_set_lease(fx_raft(&fx, 1), LEASE_US, fx.now);
    assert_false(fx_lease(&fx, 1)); /* not of rounds that carried none */
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
    raft_set_lease(fx_raft(&fx, 1), 0, fx.now);
    assert_false(fx_lease(&fx, 1));
    assert_int_equal(beat().beat.lease_us, 0);
}

static void raft_lease__unfit_leader_uses_none(void **state)
{
    raft_index index = 0;

    (void)state;
    lead(3, 0, LEASE_US);
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_GATED);
}

/* ---- handing over (LEASE-10) ---- */

/* Before TIMEOUT_NOW leaves; for the rest of the term, whatever becomes of it. */
static void raft_lease__who_hands_over_has_none_any_more(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 0, LEASE_US);
    store_everywhere(3);
    m = beat();
    lease_ack(2, m.round);
    assert_true(fx_lease(&fx, 1));
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    assert_false(fx_lease(&fx, 1)); /* the message has not left yet */
    assert_string_equal(fx_status(&fx, 1).lease_why_not, "handed over");
    fx_turn(&fx, 1);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_TIMEOUT_NOW), 1);
    for (unsigned k = 0; k < 10; k++) {
        m = beat();
        assert_int_equal(m.beat.lease_us, 0);
        lease_ack(2, m.round);
        store_everywhere(3);
        assert_false(fx_lease(&fx, 1));
    }
    assert_int_equal(fx.nodes[1].n_transfers_over, 1); /* aborted */
    fx_link(&fx, 1, 3, false);
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
    fx_link(&fx, 1, 3, true);
    assert_int_equal(fx_only(&fx, 1, 3, RAFT_MSG_HEARTBEAT)->beat.lease_us, 0);
    /* In the next term it may have one. */
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    fx.now += 3 * FX_ELECTION_US;
    fx_puppets_lead(&fx, 1);
    m = beat();
    assert_int_equal(m.beat.lease_us, LEASE_US);
    lease_ack(2, m.round);
    assert_true(fx_lease(&fx, 1));
}

/* One that has not caught up is told nothing: as long as that is so the lease stands. */
static void raft_lease__transfer_that_is_never_sent_costs_none(void **state)
{
    (void)state;
    lead(3, 0, LEASE_US);
    (void)fx_propose(&fx, 1);
    lease_ack(2, beat().round);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    assert_true(fx_lease(&fx, 1));
    fx_puppet_ack(&fx, 3, 1, fx_last(&fx, 1));
    assert_int_equal(fx_count(&fx, 1, 3, RAFT_MSG_TIMEOUT_NOW), 1);
    assert_false(fx_lease(&fx, 1));
}

/* ---- loss (LEASE-11) ---- */

static void raft_lease__ends_with_the_leadership(void **state)
{
    raft_index index = 0;
    struct raft_msg m;

    (void)state;
    lead(3, 0, RAFT_LEASE_US_MAX);
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
    fx.hold_turns = true; /* before anything of this turn leaves */
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_NOT_LEADER);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    fx.now += 3 * FX_ELECTION_US;
    fx_puppets_lead(&fx, 1);
    assert_false(fx_lease(&fx, 1)); /* what was given to the term before is nothing */
}

static void raft_lease__ends_when_no_quorum_is_heard(void **state)
{
    raft_index index = 0;

    (void)state;
    lead(3, 0, RAFT_LEASE_US_MAX);
    lease_ack(2, beat().round);
    fx.now += FX_ELECTION_US + 1;
    assert_true(fx_lease(&fx, 1));
    fx_tick(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_NOT_LEADER);
}

/* ---- pauses (LEASE-12) ---- */

static void raft_lease__pause_forgets_what_was_sent_before(void **state)
{
    uint64_t before;
    uint64_t round;

    (void)state;
    lead(3, 0, LEASE_US);
    before = beat().round;
    lease_ack(2, before);
    round = beat().round;
    assert_true(fx_lease(&fx, 1));
    raft_forget_held(fx_raft(&fx, 1), fx.now);
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, round); /* sent before, answered after */
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
}

/* The hold clock has moved against the other one since the oldest of what is held: looked at when
 * it is used. */
static void raft_lease__suspended_machine_forgets(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 0, RAFT_LEASE_US_MAX);
    m = beat();
    lease_ack(2, m.round);
    fx_suspend(&fx, 1, RAFT_SUSPEND_US);
    assert_true(fx_lease(&fx, 1)); /* less than two readings may differ */
    fx_suspend(&fx, 1, 1);
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, m.round);
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
}

/* The same when nobody asks between the pause and the next round. */
static void raft_lease__pause_is_found_when_a_round_opens(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 0, RAFT_LEASE_US_MAX);
    m = beat();
    fx_suspend(&fx, 1, 2 * RAFT_SUSPEND_US);
    (void)beat();
    lease_ack(2, m.round);
    assert_false(fx_lease(&fx, 1));
    lease_ack(2, fx_status(&fx, 1).round);
    assert_true(fx_lease(&fx, 1));
}

/* Who holds goes by a clock that goes on while the machine is suspended; shorter than what counts
 * as a pause, it still counts. */
static void raft_lease__holds_by_the_clock_that_goes_on(void **state)
{
    uint64_t end_us;

    (void)state;
    lead(3, 0, LEASE_US);
    lease_ack(2, beat().round);
    end_us = fx_hold(&fx, 1) + LEASE_US;
    fx_suspend(&fx, 1, RAFT_SUSPEND_US);
    ends_at(end_us);
}

/* ---- groups of one, versions, incarnations (LEASE-14, LEASE-15) ---- */

static void raft_lease__lone_voter_always_has_one(void **state)
{
    raft_index index = 0;

    (void)state;
    fx_init(&fx, 1, 1, 1);
    fx_leases(&fx, LEASE_US);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    assert_true(fx_lease(&fx, 1));
    assert_int_equal(fx_status(&fx, 1).lease_left_us, LEASE_US);
    fx.now += 10 * LEASE_US;
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), 0);
    fx_suspend(&fx, 1, 10 * LEASE_US);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), 0);
    assert_int_equal(index, fx_commit(&fx, 1));
}

/* After its own durable no-op, and behind what it has promised itself. */
static void raft_lease__lone_voter_has_a_gate_like_everybody(void **state)
{
    raft_index index = 0;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_leases(&fx, LEASE_US);
    fx.nodes[1].disk.hard_state.lease_max_us = RAFT_LEASE_US_MAX; /* a follower once */
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), RAFT_E_GATED);
    assert_int_equal(fx_commit(&fx, 1), 1);
    fx_run(&fx, raft_promise_us_max());
    assert_int_equal(fx_try_lease(&fx, 1, 0, &index), 0);
}

/* A member that does not know of gates would commit at once: while there may be one nobody is asked
 * to promise, and nothing is used. */
static void raft_lease__none_while_a_member_may_not_know_gates(void **state)
{
    struct raft_configuration c;
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, LEASE_US);
    fx_found(&fx, "123"); /* of the version before */
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    m = beat();
    assert_int_equal(m.beat.lease_us, 0);
    lease_ack(2, m.round);
    assert_false(fx_lease(&fx, 1));
    assert_string_equal(fx_status(&fx, 1).lease_why_not, "version");
    c = *raft_get_configuration(fx_raft(&fx, 1));
    c.version = GATES_VERSION;
    (void)fx_configure(&fx, 1, &c);
    m = beat();
    assert_int_equal(m.beat.lease_us, 0);
    /* n2 has the entry, and n3, of the version before, is elected by nobody who has it. */
    fx_puppet_ack(&fx, 2, 1, fx_last(&fx, 1));
    m = beat();
    assert_int_equal(m.beat.lease_us, LEASE_US);
    lease_ack(2, m.round);
    assert_true(fx_lease(&fx, 1));
}

/* A name that comes back under another id has given nothing. */
static void raft_lease__another_incarnation_has_given_nothing(void **state)
{
    struct raft_configuration c;

    (void)state;
    lead(3, 0, LEASE_US);
    lease_ack(2, beat().round);
    assert_true(fx_lease(&fx, 1));
    c = *raft_get_configuration(fx_raft(&fx, 1));
    for (unsigned i = 0; i < c.n; i++)
        if (c.servers[i].id == fx_id(&fx, 2))
            c.servers[i].id = raft_member_id("n2", 5);
    fx.nodes[2].id = raft_member_id("n2", 5);
    (void)fx_configure(&fx, 1, &c);
    assert_false(fx_lease(&fx, 1));
}

/* ---- clocks that drift (LEASE-13) ---- */

/* n2 and n3 answer each heartbeat after a millisecond; the clock of n2 is so much faster. */
static void beat_with_drift(unsigned n, int64_t ppm)
{
    for (unsigned k = 0; k < n; k++) {
        struct raft_msg heartbeat_sent = beat();

        fx.now += 1000;
        for (unsigned i = 2; i <= 3; i++) {
            struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, i, 1, fx_term(&fx, 1));
            uint64_t mono_us = fx.now - 500;

            if (i == 2)
                mono_us = (uint64_t)((int64_t)mono_us + (int64_t)mono_us * ppm / 1000000);
            m.round = heartbeat_sent.round;
            m.beat = (struct raft_beat){.said = true,
                                        .leased = true,
                                        .mono_us = mono_us,
                                        .stamp = {.nonce = i, .hold_us = mono_us + 5}};
            fx_inject_ok(&fx, &m);
        }
    }
}

static void raft_lease__clocks_that_drift_end_it(void **state)
{
    const struct raft_peer_status *p;
    struct raft_status s;

    (void)state;
    lead(3, 0, LEASE_US);
    beat_with_drift(120, 4000);
    assert_true(fx_lease(&fx, 1));
    s = fx_status(&fx, 1);
    p = fx_peer(&fx, &s, 2);
    assert_true(p->drift_known);
    assert_in_range(p->drift_ppm, 3500, 4500);
    assert_true(p->drift_error_ppm < 1500);
    assert_int_equal(s.drift_peer, 0);
    fx_done(&fx);
    lead(3, 0, LEASE_US);
    beat_with_drift(120, -8000);
    assert_false(fx_lease(&fx, 1)); /* n3 alone would do, but who is wrong is not known */
    s = fx_status(&fx, 1);
    assert_string_equal(s.lease_why_not, "clocks");
    assert_int_equal(s.drift_peer, fx_id(&fx, 2));
    assert_int_equal(beat().beat.lease_us, 0);
}

/* Not used, but honoured: what it has promised it still tells. */
static void raft_lease__drift_voids_no_promise(void **state)
{
    struct raft_msg m;

    (void)state;
    lead(3, 0, LEASE_US);
    beat_with_drift(120, -8000);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, fx_term(&fx, 1) + 1);
    m.beat = (struct raft_beat){.said = true, .lease_us = LEASE_US};
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_status(&fx, 1).promise_left_us, raft_stretch_us(LEASE_US));
    assert_int_equal(fx_status(&fx, 1).drift_peer, 0); /* it is for a leader to say */
}

/* ---- whole groups ---- */

static void lead_all(unsigned n_voters, uint64_t lease_us)
{
    fx_init(&fx, n_voters, 0, 1);
    fx_leases(&fx, lease_us);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(fx_lease(&fx, 1));
}

/* n1 is cut off and goes on reading by its lease; whoever is elected commits when that is over. */
static void raft_lease__new_leader_waits_for_the_lease_of_the_old(void **state)
{
    uint64_t elected_us;

    (void)state;
    lead_all(3, LONG_US);
    fx_isolate(&fx, 1, true);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 2);
    elected_us = fx.now;
    assert_true(fx_lease(&fx, 1));
    (void)fx_propose(&fx, 2);
    while (fx_lease(&fx, 1)) {
        assert_int_equal(fx_commit(&fx, 2), fx_commit(&fx, 1));
        fx.now += 1000;
        fx_tick(&fx, 2);
        fx_deliver_all(&fx);
    }
    assert_true(fx.now > elected_us);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
    assert_true(fx_lease(&fx, 2));
}

/* Three leaders in quick succession: n1 is cut off, n3 is elected and hands over to n2. What n3
 * promised n1 is two terms back, and counts. */
static void raft_lease__three_leaders_in_quick_succession(void **state)
{
    (void)state;
    lead_all(3, LONG_US);
    fx_isolate(&fx, 1, true);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 3);
    for (unsigned k = 0; k < 3; k++) { /* n2 has promised in the new term, too */
        fx_tick_deadline(&fx, 3);
        fx_deliver_all(&fx);
    }
    assert_true(fx_lease(&fx, 1));
    assert_int_equal(raft_transfer(fx_raft(&fx, 3), fx_id(&fx, 2), fx.now), 0);
    fx_turn(&fx, 3);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 2), RAFT_LEADER);
    assert_true(fx_status(&fx, 2).gate_left_us > 0);
    assert_true(fx_lease(&fx, 1));
    (void)fx_propose(&fx, 2);
    while (fx_lease(&fx, 1)) {
        assert_int_equal(fx_commit(&fx, 2), fx_commit(&fx, 1));
        fx.now += 1000;
        fx_tick(&fx, 2);
        fx_deliver_all(&fx);
    }
}

/* The leader's own promise: n1's lease rests on n2 alone, which is elected itself. */
static void raft_lease__own_promise_of_the_elected_counts(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_leases(&fx, LONG_US);
    fx_start(&fx, 1);
    fx_start(&fx, 2);
    fx_elect(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_true(fx_lease(&fx, 1));
    fx_start(&fx, 3); /* it has promised nothing to anybody */
    fx_isolate(&fx, 1, true);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 2);
    assert_true(fx_lease(&fx, 1));
    assert_true(fx_status(&fx, 2).gate_left_us > 0);
    fx_tick(&fx, 2);
    fx_deliver_all(&fx);
    assert_int_equal(fx_commit(&fx, 2), fx_commit(&fx, 1));
    fx_run(&fx, LONG_US);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
}

/* A voter restarts within its promise, and votes at once. */
static void raft_lease__restart_within_a_promise(void **state)
{
    (void)state;
    lead_all(3, LONG_US);
    fx_isolate(&fx, 1, true);
    fx_crash(&fx, 2, 0);
    fx_crash(&fx, 3, 0);
    fx_restart(&fx, 2);
    fx_restart(&fx, 3);
    fx_elect(&fx, 2);
    assert_true(fx_lease(&fx, 1));
    assert_true(fx_status(&fx, 2).gate_left_us > 0);
    (void)fx_propose(&fx, 2);
    fx_run(&fx, 2 * LONG_US);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
}

/* A transfer without anybody cut off costs no waiting. */
static void raft_lease__transfer_waits_for_nothing(void **state)
{
    (void)state;
    lead_all(3, LONG_US);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
    fx_turn(&fx, 1);
    fx_deliver_all(&fx);
    assert_int_equal(fx_role(&fx, 2), RAFT_LEADER);
    assert_int_equal(fx_status(&fx, 2).gate_left_us, 0);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
}

/* With a lease that is shorter than an election timeout the gate is open when somebody is
 * elected. */
static void raft_lease__short_lease_costs_no_failover(void **state)
{
    (void)state;
    lead_all(3, LEASE_US);
    fx_crash(&fx, 1, 0);
    fx.now += FX_ELECTION_US;
    fx_elect(&fx, 2);
    assert_int_equal(fx_status(&fx, 2).gate_left_us, 0);
    assert_int_equal(fx_commit(&fx, 2), fx_last(&fx, 2));
}

/* ---- chance ---- */

/* A node that answers reads and is late with everything else; 0: none. */
static unsigned late;

static void act(struct fx *f)
{
    const unsigned i = 1 + (unsigned)prng_below(&f->prng, f->n);
    const unsigned leader = fx_leader(f);
    struct raft_entry_id id;
    uint64_t x = 0;

    switch (prng_below(&f->prng, 100)) {
    case 0:
        for (unsigned j = 1; j <= f->n; j++)
            for (unsigned k = 1; k <= f->n; k++)
                f->cut[j][k] = prng_below(&f->prng, 100) < 45;
        break;
    case 1:
        if (leader != 0)
            fx_isolate(f, leader, true);
        break;
    case 2:
        fx_heal(f);
        break;
    case 11:
        late = leader;
        break;
    case 12:
        late = 0;
        fx_heal(f);
        break;
    case 3:
        fx_suspend(f, i, prng_below(&f->prng, FX_ELECTION_US));
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
    case 7:
    case 8:
    case 9:
        if (leader != 0)
            (void)fx_try_propose(f, leader, &x, sizeof(x), &id);
        break;
    case 10:
        (void)fx_ask(f, i);
        break;
    default:
        break;
    }
}

/* Some of what waits, in any order; now and then twice, or not at all. */
static void pass_messages(struct fx *f)
{
    for (uint64_t n = prng_below(&f->prng, 20); n > 0 && f->n_net > 0; n--) {
        struct fx_msg *m = &f->net[prng_below(&f->prng, f->n_net < 20 ? f->n_net : 20)];

        if (prng_below(&f->prng, 50) == 0)
            fx_duplicate(f, m);
        else
            fx_deliver_msg(f, m);
    }
}

/* Clocks within the bound, links that fail, machines that sleep, restarts, transfers: no read by a
 * lease is old, and no lease is left when somebody else commits. */
static void raft_lease__nothing_goes_wrong_by_chance(void **state)
{
    unsigned n_reads = 0;
    unsigned n_elections = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        late = 0;
        fx_init(&fx, seed % 3 == 0 ? 5 : 3, 0, seed);
        fx_leases(&fx, seed % 2 == 0 ? LONG_US : 2 * FX_ELECTION_US);
        for (unsigned i = 1; i <= fx.n; i++)
            fx.nodes[i].rate_ppm = (int)prng_below(&fx.prng, 20000) - 10000;
        fx_start_all(&fx);
        for (unsigned k = 0; k < 2500; k++) {
            act(&fx);
            pass_messages(&fx);
            fx.now += prng_below(&fx.prng, 3000);
            for (unsigned i = 1; i <= fx.n; i++) {
                if (i != late && raft_deadline_us(fx_raft(&fx, i)) <= fx_now(&fx, i))
                    fx_tick(&fx, i);
                (void)fx_lease(&fx, i);
            }
        }
        n_reads += fx.n_lease_reads;
        n_elections += fx.n_leaders;
        fx_done(&fx);
    }
    print_message("%u reads by lease, %u elections\n", n_reads, n_elections);
    assert_true(n_reads > 10000);
    assert_true(n_elections > 500);
    fx_init(&fx, 1, 0, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(raft_lease__##name, teardown)
        TEST(stretch_covers_both_clocks),
        TEST(promise_outlasts_a_suspended_machine),
        TEST(promise_is_as_long_as_the_message_says),
        TEST(nothing_is_promised_without_a_lease),
        TEST(too_long_a_lease_is_invalid),
        TEST(old_leader_is_promised_nothing),
        TEST(promise_keeps_nobody_from_voting),
        TEST(late_refusal_clears_no_promise),
        TEST(learner_promises_too),
        TEST(promises_of_terms_are_kept_apart),
        TEST(oldest_promise_joins_the_others),
        TEST(first_promise_waits_for_the_disk),
        TEST(each_length_has_its_own_batch),
        TEST(longest_promise_stays_when_the_log_goes),
        TEST(start_with_too_long_a_promise_is_refused),
        TEST(restarted_voter_reports_the_full_length),
        TEST(vote_tells_what_is_left_when_it_is_given),
        TEST(slow_disk_makes_nothing_shorter),
        TEST(transfer_leaves_out_one_term),
        TEST(transfer_leaves_out_the_one_that_hands_over),
        TEST(without_a_transfer_nothing_is_left_out),
        TEST(own_term_is_left_out),
        TEST(refusal_tells_nothing),
        TEST(gate_is_the_longest_of_the_quorum),
        TEST(refusal_closes_no_gate),
        TEST(nobody_has_promised_too_much),
        TEST(own_promise_counts_from_when_the_term_rises),
        TEST(own_promise_to_the_one_that_hands_over_is_left_out),
        TEST(each_election_has_its_gate),
        TEST(commit_waits_for_the_gate),
        TEST(gate_goes_by_the_clock_that_stands_still),
        TEST(who_steps_down_behind_its_gate_commits_nothing),
        TEST(unfit_leader_takes_no_proposals_behind_its_gate),
        TEST(counts_from_the_opening_of_the_round),
        TEST(every_round_gives_one),
        TEST(answer_without_a_promise_gives_none),
        TEST(ends_with_the_last_of_a_quorum),
        TEST(learner_gives_none),
        TEST(repeated_round_keeps_its_time_and_length),
        TEST(forgotten_round_gives_none),
        TEST(late_answer_changes_nothing),
        TEST(configuration_counts_when_it_is_used),
        TEST(only_a_leader_with_its_noop_committed_has_one),
        TEST(write_that_is_not_committed_needs_another_way),
        TEST(clock_is_that_of_the_question),
        TEST(off_by_default_and_when_it_is_switched_off),
        TEST(unfit_leader_uses_none),
        TEST(who_hands_over_has_none_any_more),
        TEST(transfer_that_is_never_sent_costs_none),
        TEST(ends_with_the_leadership),
        TEST(ends_when_no_quorum_is_heard),
        TEST(pause_forgets_what_was_sent_before),
        TEST(suspended_machine_forgets),
        TEST(pause_is_found_when_a_round_opens),
        TEST(holds_by_the_clock_that_goes_on),
        TEST(lone_voter_always_has_one),
        TEST(lone_voter_has_a_gate_like_everybody),
        TEST(none_while_a_member_may_not_know_gates),
        TEST(another_incarnation_has_given_nothing),
        TEST(clocks_that_drift_end_it),
        TEST(drift_voids_no_promise),
        TEST(new_leader_waits_for_the_lease_of_the_old),
        TEST(three_leaders_in_quick_succession),
        TEST(own_promise_of_the_elected_counts),
        TEST(restart_within_a_promise),
        TEST(transfer_waits_for_nothing),
        TEST(short_lease_costs_no_failover),
        TEST(nothing_goes_wrong_by_chance),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
