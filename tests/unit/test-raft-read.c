/* Linearizable reads: the READ rules of docs/RULES.md as far as the core has a part in them. Node 1
 * leads puppets unless a test says otherwise. */
#include "raft-fixture.h"

#include <errno.h>

#include "base/banned.h"

#define DONE    FX_READ_DONE
#define PENDING FX_READ_PENDING
#define FAILED  FX_READ_FAILED

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
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
}

static void drop_all(void)
{
    (void)fx_drop(&fx, FX_ANY, FX_ANY, FX_ANY);
}

static void ack(unsigned from, uint64_t round)
{
    assert_int_equal(fx_puppet_ack_round(&fx, from, 1, fx_term(&fx, 1), round), 0);
}

static uint64_t round_open(void)
{
    return fx_round_sent(&fx, 1, 2);
}

static void assert_read(uint64_t ctx, enum fx_read_state expected)
{
    assert_int_equal(fx_read_state(&fx, ctx), expected);
}

static raft_index read_index(uint64_t ctx)
{
    assert_read(ctx, DONE);
    return fx_read_get(&fx, ctx)->done.read_index;
}

/* The leader hears of a higher term by a message of another leader. */
static void depose(raft_term term)
{
    struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, term);

    fx_inject_ok(&fx, &m);
}

/* ---- rounds: READ-1, READ-5, READ-6, READ-7 ---- */

/* READ-1, READ-5: a read is confirmed by a quorum's acknowledgement of a round opened after it; its
 * index is commit_index. */
static void raft__read_is_confirmed_by_a_quorum_of_its_round(void **state)
{
    uint64_t a;

    (void)state;
    lead(5, 0);
    a = fx_read(&fx, 1, 0);
    assert_read(a, PENDING);
    for (unsigned j = 2; j <= 5; j++)
        assert_true(fx_only(&fx, 1, j, RAFT_MSG_HEARTBEAT)->round > 0);
    ack(2, round_open());
    assert_read(a, PENDING);
    ack(2, round_open()); /* the same voter again */
    assert_read(a, PENDING);
    ack(4, round_open());
    assert_int_equal(read_index(a), fx_commit(&fx, 1));
    assert_int_equal(fx_read_get(&fx, a)->done.round, round_open());
    assert_int_equal(fx_read_get(&fx, a)->done.term, fx_term(&fx, 1));
    assert_int_equal(fx_status(&fx, 1).rounds_confirmed, fx_status(&fx, 1).rounds_opened);
}

/* READ-6: an acknowledgement of a heartbeat that was in flight when the read arrived does
 * not count. */
static void raft__heartbeat_in_flight_does_not_count(void **state)
{
    uint64_t a;
    uint64_t b;
    uint64_t old;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    old = round_open(); /* the heartbeats of this round are in flight when b arrives */
    b = fx_read(&fx, 1, 0);
    ack(2, old);
    ack(3, old);
    assert_read(a, DONE);
    assert_read(b, PENDING);
    assert_true(round_open() > old);
    ack(3, round_open());
    assert_read(b, DONE);
}

/* READ-6 with the periodic heartbeat: sent before the read arrives, answered after. */
static void raft__periodic_heartbeat_in_flight_does_not_count(void **state)
{
    uint64_t a;
    struct fx_msg beat2;
    struct fx_msg beat3;

    (void)state;
    lead(3, 0);
    fx_tick_deadline(&fx, 1);
    beat2 = fx_take(&fx, 1, 2, RAFT_MSG_HEARTBEAT);
    beat3 = fx_take(&fx, 1, 3, RAFT_MSG_HEARTBEAT);
    a = fx_read(&fx, 1, 0);
    ack(2, beat2.m.round);
    ack(3, beat3.m.round);
    assert_read(a, PENDING);
    assert_true(round_open() > beat2.m.round);
    ack(3, round_open());
    assert_read(a, DONE);
    fx_msg_done(&beat2);
    fx_msg_done(&beat3);
}

/* READ-7, READ-5: a read that arrives after the turn of a round rides on the next; all of one turn
 * share one round, and a round is one heartbeat for each voter however many ride on it. */
static void raft__thousand_reads_share_one_round(void **state)
{
    uint64_t opened;
    uint64_t first = 0;
    uint64_t last = 0;

    (void)state;
    lead(5, 2);
    opened = fx_status(&fx, 1).rounds_opened;
    fx.hold_turns = true;
    for (unsigned k = 0; k < 1000; k++) {
        last = fx_read(&fx, 1, 0);
        first = first != 0 ? first : last;
    }
    assert_int_equal(fx.n_net, 0); /* nothing is sent where a read arrives */
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + 1);
    for (unsigned j = 2; j <= 5; j++)
        (void)fx_only(&fx, 1, j, RAFT_MSG_HEARTBEAT);
    assert_int_equal(fx.n_net, 4); /* 2(n-1) messages a round; learners are not asked */
    ack(2, round_open());
    ack(3, round_open());
    assert_int_equal(fx_n_reads(&fx, 1, DONE), 1000);
    assert_read(first, DONE);
    assert_read(last, DONE);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
}

/* READ-1: that nothing was committed since the last confirmed read is no reason not to ask. */
static void raft__equal_commit_index_is_no_confirmation(void **state)
{
    uint64_t a;
    uint64_t b;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    ack(2, round_open());
    assert_read(a, DONE);
    fx_tick(&fx, 1);
    b = fx_read(&fx, 1, 0);
    assert_read(b, PENDING);
    fx_tick(&fx, 1);
    assert_read(b, PENDING);
}

/* READ-5: the caller's number means nothing. A repeated one gets a round of its own, and a
 * delayed acknowledgement of the first does not release what came later. */
static void raft__repeated_ctx_is_a_new_read(void **state)
{
    const uint64_t ctx = (uint64_t)1 << 40;
    uint64_t first;
    uint64_t b;

    (void)state;
    lead(5, 0);
    assert_int_equal(fx_try_read(&fx, 1, ctx, 0), 0);
    first = round_open();
    b = fx_read(&fx, 1, 0);
    assert_int_equal(fx_try_read(&fx, 1, ctx, 0), 0); /* the caller's retry */
    for (unsigned j = 2; j <= 5; j++)
        ack(j, first);
    assert_int_equal(fx_n_reads(&fx, 1, DONE), 1);
    assert_read(ctx, DONE);
    assert_read(b, PENDING);
}

/* Acknowledgements are cumulative and may arrive in any order; later ones of earlier rounds change
 * nothing. */
static void raft__acknowledgements_out_of_order(void **state)
{
    uint64_t a;
    uint64_t b;
    uint64_t first;
    uint64_t second;

    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 2);
    a = fx_read(&fx, 1, 0);
    first = round_open();
    fx.now += FX_HEARTBEAT_US / 4;
    b = fx_read(&fx, 1, 0);
    second = round_open();
    assert_true(second > first);
    ack(3, second);
    assert_read(a, DONE);
    assert_read(b, DONE);
    assert_int_equal(fx.nodes[1].n_reads_done, 2);
    ack(3, first);
    ack(2, first);
    {
        struct raft_status s = fx_status(&fx, 1);

        assert_int_equal(fx_peer(&fx, &s, 3)->acked_round, second); /* never falls */
    }
    assert_int_equal(fx.nodes[1].n_reads_done, 2);
}

/* The rounds of different voters: confirmed is the order statistic, not the highest. */
static void raft__confirmed_round_is_the_quorums(void **state)
{
    uint64_t r[4];
    uint64_t ctx[4];

    (void)state;
    lead(5, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 4);
    for (unsigned k = 0; k < 4; k++) {
        fx.now += FX_HEARTBEAT_US / 8;
        ctx[k] = fx_read(&fx, 1, 0);
        r[k] = round_open();
        assert_true(k == 0 || r[k] > r[k - 1]);
    }
    ack(2, r[3]);
    assert_int_equal(fx.nodes[1].n_reads_done, 0);
    ack(3, r[1]);
    assert_read(ctx[1], DONE);
    assert_read(ctx[2], PENDING);
    ack(4, r[2]);
    assert_read(ctx[2], DONE);
    assert_read(ctx[3], PENDING);
    ack(5, r[3]);
    assert_read(ctx[3], DONE);
}

/* READ-9: duplicates of acknowledgements from before a pause release nothing new. */
static void raft__duplicate_and_delayed_acknowledgements(void **state)
{
    uint64_t a;
    uint64_t b;
    uint64_t old;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    old = round_open();
    ack(2, old);
    assert_read(a, DONE);
    fx.now += FX_ELECTION_US / 2; /* the pause */
    drop_all();
    b = fx_read(&fx, 1, 0);
    for (unsigned k = 0; k < 3; k++) {
        ack(2, old);
        ack(3, old);
        ack(3, 0);
    }
    assert_read(b, PENDING);
    ack(2, round_open());
    assert_read(b, DONE);
}

/* READ-9: what does not count: an older term, a refusal, a stranger, an append's answer. */
static void raft__what_is_no_acknowledgement(void **state)
{
    struct raft_msg m;
    uint64_t a;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1) - 1, round_open()), 0);
    assert_read(a, PENDING);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 2, 1, fx_term(&fx, 1));
    m.round = round_open();
    m.from = 4711;
    (void)fx_inject(&fx, &m);
    assert_read(a, PENDING);
    fx_puppet_ack(&fx, 2, 1, fx_last(&fx, 1));
    assert_read(a, PENDING);
    m = fx_make(&fx, RAFT_MSG_APPEND_RESP, 2, 1, fx_term(&fx, 1));
    m.index = fx_last(&fx, 1);
    m.round = round_open(); /* the field means nothing here */
    (void)fx_inject(&fx, &m);
    assert_read(a, PENDING);
    m = fx_make(&fx, RAFT_MSG_VOTE_RESP, 3, 1, fx_term(&fx, 1));
    fx_inject_ok(&fx, &m);
    assert_read(a, PENDING);
    ack(3, round_open());
    assert_read(a, DONE);
}

/* READ-9: a round that was never opened is refused, and does not count when that number is reached
 * later. */
static void raft__acknowledgement_of_a_future_round_is_refused(void **state)
{
    uint64_t a;
    uint64_t b;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), round_open() + 1),
                     RAFT_E_INVALID);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), UINT64_MAX), RAFT_E_INVALID);
    assert_read(a, PENDING);
    ack(3, round_open());
    assert_read(a, DONE);
    b = fx_read(&fx, 1, 0); /* the round that was named in advance */
    assert_read(b, PENDING);
}

/* READ-10: no round number comes twice within a term, and none of an earlier leadership counts. */
static void raft__round_numbers_are_never_reused(void **state)
{
    uint64_t high = 0;
    uint64_t a;
    raft_term term;

    (void)state;
    lead(3, 0);
    for (unsigned k = 0; k < 5; k++) {
        a = fx_read(&fx, 1, 0);
        assert_true(round_open() > high);
        high = round_open();
        ack(2, high);
        assert_read(a, DONE);
        drop_all();
    }
    term = fx_term(&fx, 1);
    depose(term + 1);
    fx_puppets_lead(&fx, 1);
    assert_true(fx_term(&fx, 1) > term);
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, term, high), 0); /* of the old term */
    assert_int_equal(fx_puppet_ack_round(&fx, 3, 1, term, round_open()), 0);
    assert_read(a, PENDING);
    {
        struct raft_status s = fx_status(&fx, 1);

        assert_int_equal(fx_peer(&fx, &s, 2)->acked_round, 0); /* forgotten with its term */
    }
    ack(2, round_open());
    assert_read(a, DONE);
}

/* READ-8: a follower echoes the pair of this message, not the highest it has seen. */
static void raft__follower_echoes_exactly_what_it_received(void **state)
{
    static const struct {
        unsigned from;
        raft_term term;
        uint64_t round;
    } beats[] = {{2, 2, 7}, {2, 2, 3}, {2, 2, 7}, {3, 5, 1}, {3, 5, 0}, {3, 5, 900}, {3, 5, 2}};

    (void)state;
    fx_init(&fx, 3, 1, 1);
    fx_start(&fx, 1);
    for (unsigned k = 0; k < sizeof(beats) / sizeof(beats[0]); k++) {
        struct raft_msg m = fx_make(&fx, RAFT_MSG_HEARTBEAT, beats[k].from, 1, beats[k].term);
        const struct raft_msg *resp;

        m.round = beats[k].round;
        fx_inject_ok(&fx, &m);
        resp = fx_only(&fx, 1, beats[k].from, RAFT_MSG_HEARTBEAT_RESP);
        assert_int_equal(resp->term, beats[k].term);
        assert_int_equal(resp->round, beats[k].round);
        assert_false(resp->reject);
        drop_all();
    }
}

/* READ-61: the answer to a heartbeat never waits for the disk. */
static void raft__heartbeat_answer_does_not_wait_for_the_disk(void **state)
{
    struct raft_msg m;
    static const raft_term terms[] = {2, 2};

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx.nodes[1].manual_store = true;
    fx_start(&fx, 1);
    assert_int_equal(fx_puppet_append(&fx, 2, 1, 2, (struct raft_entry_id){1, 1}, terms, 2, 1), 0);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 2, 1, 2);
    m.round = 9;
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_only(&fx, 1, 2, RAFT_MSG_HEARTBEAT_RESP)->round, 9);
    assert_int_equal(fx_count(&fx, 1, 2, RAFT_MSG_APPEND_RESP), 0);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, 6); /* not even for a new term */
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_only(&fx, 1, 3, RAFT_MSG_HEARTBEAT_RESP)->term, 6);
}

/* COMMIT-6: and no read waits for the leader's disk either. */
static void raft__read_does_not_wait_for_the_leaders_disk(void **state)
{
    uint64_t a;

    (void)state;
    lead(3, 0);
    fx.nodes[1].manual_store = true;
    (void)fx_propose(&fx, 1);
    a = fx_read(&fx, 1, 0);
    ack(2, round_open());
    assert_int_equal(read_index(a), 2);
}

/* READ-37: reads that wait for a state which lags hold up no later round. */
static void raft__lagging_apply_holds_up_no_round(void **state)
{
    uint64_t a;
    raft_index index;

    (void)state;
    lead(3, 0);
    fx.nodes[1].manual_apply = true;
    index = fx_propose(&fx, 1).index;
    fx_puppet_ack(&fx, 2, 1, index);
    for (unsigned k = 0; k < 3; k++) {
        a = fx_read(&fx, 1, 0);
        ack(2, round_open());
        assert_int_equal(read_index(a), index);
        assert_true(fx_status(&fx, 1).last_applied < index);
    }
}

/* READ-12: a lost round is repaired by the next heartbeat, which carries the highest open round. */
static void raft__heartbeats_carry_the_highest_open_round(void **state)
{
    uint64_t a;
    uint64_t round;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    round = round_open();
    drop_all(); /* all of it is lost */
    fx_tick_deadline(&fx, 1);
    for (unsigned j = 2; j <= 3; j++)
        assert_true(fx_round_sent(&fx, 1, j) >= round);
    ack(3, round_open());
    assert_read(a, DONE);
    drop_all();
    fx_tick_deadline(&fx, 1); /* also when nothing is open: the highest there was */
    assert_true(round_open() >= round);
}

/* READ-12: a new link is told the highest open round at once. */
static void raft__reconnected_peer_gets_the_round_at_once(void **state)
{
    uint64_t a;
    uint64_t round;

    (void)state;
    lead(3, 0);
    fx_link(&fx, 1, 2, false);
    fx_link(&fx, 1, 3, false);
    a = fx_read(&fx, 1, 0);
    fx_tick(&fx, 1);
    round = fx_status(&fx, 1).rounds_opened;
    drop_all();
    fx_link(&fx, 1, 3, true);
    assert_true(fx_round_sent(&fx, 1, 3) > 0);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, round); /* not by a new one */
    ack(3, fx_round_sent(&fx, 1, 3));
    assert_read(a, DONE);
}

/* K rounds outstanding, not more (READ-65); a confirmed one makes room at once. */
static void raft__rounds_outstanding_are_bounded(void **state)
{
    uint64_t opened;
    uint64_t last = 0;

    (void)state;
    for (unsigned k_max = 1; k_max <= 4; k_max++) {
        lead(3, 0);
        raft_set_rounds_max(fx_raft(&fx, 1), k_max);
        opened = fx_status(&fx, 1).rounds_opened;
        for (unsigned k = 0; k < 12; k++) { /* 12 x 60 us: the patience of 1 ms is not reached */
            last = fx_read(&fx, 1, 0);
            fx.now += 60;
            fx_tick(&fx, 1);
        }
        assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + k_max);
        assert_int_equal(fx_status(&fx, 1).rounds_confirmed, opened);
        ack(2, round_open()); /* and in the same turn the next is opened for those that wait */
        assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + k_max + 1);
        assert_read(last, PENDING);
        ack(2, round_open());
        assert_read(last, DONE);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* When the oldest is older than max(2 srtt, 1 ms) one more is opened: a lost round must not hold up
 * the reads behind it. */
static void raft__patience_opens_one_round_more(void **state)
{
    uint64_t opened;
    uint64_t b;

    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 1);
    (void)fx_read(&fx, 1, 0);
    opened = fx_status(&fx, 1).rounds_opened;
    fx.now += 100;
    b = fx_read(&fx, 1, 0);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened);
    fx.now += 1000;
    fx_tick(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + 1);
    ack(2, round_open());
    assert_read(b, DONE);
}

/* A read that waits for that moment has a deadline: the host need not find out by chance. */
static void raft__waiting_read_wakes_the_host(void **state)
{
    uint64_t opened;
    uint64_t b;

    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 1);
    (void)fx_read(&fx, 1, 0);
    opened = fx_status(&fx, 1).rounds_opened;
    fx.now += 10;
    b = fx_read(&fx, 1, 0);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened);
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) <= fx.now + 1000);
    drop_all();
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + 1);
    ack(3, fx_round_sent(&fx, 1, 3));
    assert_read(b, DONE);
}

/* Nothing is sent over a link that is down. */
static void raft__dead_links_get_no_heartbeats(void **state)
{
    (void)state;
    lead(3, 0);
    fx_link(&fx, 1, 2, false);
    drop_all();
    (void)fx_read(&fx, 1, 0);
    (void)fx_propose(&fx, 1);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_count(&fx, 1, 2, FX_ANY), 0);
    assert_true(fx_count(&fx, 1, 3, RAFT_MSG_HEARTBEAT) > 0);
}

/* Rounds that nobody answers are bounded too, and do not stand in the way of the next leadership.
 */
static void raft__unanswered_rounds_do_not_outlive_their_leadership(void **state)
{
    uint64_t opened = 0;
    uint64_t a;

    (void)state;
    lead(3, 0);
    for (unsigned k = 0; k < 300; k++) {
        (void)fx_read(&fx, 1, 0);
        fx.now += 1100;
        ack(2, 0); /* the voters live, but the rounds are lost */
        fx_tick(&fx, 1);
        drop_all();
    }
    assert_true(fx_status(&fx, 1).rounds_opened < 200);
    depose(5);
    fx_puppets_lead(&fx, 1);
    opened = fx_status(&fx, 1).rounds_opened;
    a = fx_read(&fx, 1, 0);
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened + 1);
    ack(2, round_open());
    assert_read(a, DONE);
}

/* Without waiting reads no round is opened, whatever time passes. */
static void raft__idle_leader_opens_no_rounds(void **state)
{
    uint64_t opened;

    (void)state;
    lead(3, 0);
    opened = fx_status(&fx, 1).rounds_opened;
    for (unsigned k = 0; k < 20; k++) {
        fx_tick_deadline(&fx, 1);
        ack(2, round_open());
    }
    assert_int_equal(fx_status(&fx, 1).rounds_opened, opened);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
}

/* ---- who is counted: READ-11, READ-13, READ-22 ---- */

/* READ-13: as many as a majority needs, the leader included, for every size. */
static void raft__read_quorum_for_every_group_size(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 7; n++) {
        uint64_t a;

        lead(n, 0);
        a = fx_read(&fx, 1, 0);
        for (unsigned j = 2; j <= n; j++) {
            unsigned counted = j - 1; /* with the leader itself */

            assert_read(a, counted > n / 2 ? DONE : PENDING);
            ack(j, round_open());
        }
        assert_read(a, DONE);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* READ-22: learners do not count. */
static void raft__learners_do_not_confirm_reads(void **state)
{
    uint64_t a;

    (void)state;
    lead(3, 3);
    a = fx_read(&fx, 1, 0);
    for (unsigned j = 4; j <= 6; j++)
        (void)fx_puppet_ack_round(&fx, j, 1, fx_term(&fx, 1), round_open());
    assert_read(a, PENDING);
    ack(2, round_open());
    assert_read(a, DONE);
}

/* READ-20: one voter with learners. */
static void raft__single_voter_with_learners_confirms_alone(void **state)
{
    uint64_t a;

    (void)state;
    lead(1, 2);
    a = fx_read(&fx, 1, 0);
    assert_read(a, DONE);
}

/* READ-20: a single voter needs no round trip, but the gate, also after a restart: the
 * recovered commit_index may be below what it had acknowledged. */
static void raft__single_voter_after_a_restart_waits_for_its_no_op(void **state)
{
    raft_index written = 0;
    uint64_t a;

    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    for (unsigned k = 0; k < 5; k++)
        written = fx_propose(&fx, 1).index;
    assert_int_equal(fx.nodes[1].committed_handed, written); /* acknowledged to a client */
    fx_crash(&fx, 1, 0);
    fx.nodes[1].disk.commit_index = 1; /* the hint is as old as can be */
    fx.nodes[1].manual_store = true;
    fx_restart(&fx, 1);
    assert_true(fx_commit(&fx, 1) < written);
    fx_tick_deadline(&fx, 1);
    fx_store_all(&fx, 1); /* the vote; the no-op is on its way */
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    a = fx_read(&fx, 1, 0);
    fx_tick_deadline(&fx, 1);
    assert_read(a, PENDING);
    fx_store_all(&fx, 1);
    assert_true(read_index(a) > written);
    fx.nodes[1].manual_store = false;
    fx_store_all(&fx, 1);
    assert_read(fx_read(&fx, 1, 0), DONE); /* at once */
}

/* ---- the start of a term: READ-14, READ-15 ---- */

/* Reads of a new leader are parked until its no-op is committed; then they get their index and a
 * new round. */
static void raft__reads_are_parked_at_the_no_op_gate(void **state)
{
    static const raft_term log[] = {2, 2, 2};
    uint64_t a;
    uint64_t b;
    uint64_t before;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_set_log(&fx, 1, log, 3);
    fx_start(&fx, 1);
    fx_puppets_elect(&fx, 1);
    before = fx_status(&fx, 1).rounds_opened;
    a = fx_read(&fx, 1, 0);
    b = fx_read(&fx, 1, 0);
    for (unsigned k = 0; k < 4; k++) {
        fx_tick_deadline(&fx, 1);
        for (unsigned j = 2; j <= 3; j++)
            ack(j,
                fx_round_sent(&fx, 1, j)); /* a quorum is alive, and yet nothing may be sampled */
        fx_puppet_ack(&fx, 2, 1, 4);       /* it holds all the entries of older terms */
        assert_read(a, PENDING);
    }
    assert_int_equal(fx_status(&fx, 1).rounds_opened, before);
    assert_int_equal(fx_commit(&fx, 1), 1);
    drop_all();
    fx_puppet_ack(&fx, 3, 1, fx_noop(&fx, 1));
    assert_true(round_open() > before); /* in the same turn */
    assert_read(a, PENDING);
    ack(2, round_open());
    assert_int_equal(read_index(a), fx_noop(&fx, 1));
    assert_int_equal(read_index(b), fx_noop(&fx, 1));
}

/* READ-15, READ-16: what is parked at the gate fails with the leadership. */
static void raft__parked_reads_fail_with_the_leadership(void **state)
{
    uint64_t a;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_elect(&fx, 1);
    a = fx_read(&fx, 1, 0);
    depose(9);
    assert_read(a, FAILED);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_TERM);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
    fx_puppets_lead(&fx, 1); /* and nothing of it comes back */
    assert_int_equal(fx.nodes[1].n_reads_done, 0);
}

/* READ-14: the gate is a comparison, not a flag: the next leadership waits again. */
static void raft__gate_is_closed_again_in_the_next_term(void **state)
{
    uint64_t a;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    ack(2, round_open());
    assert_read(a, DONE);
    depose(7);
    fx_puppets_elect(&fx, 1);
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    a = fx_read(&fx, 1, 0);
    fx_tick_deadline(&fx, 1);
    ack(2, round_open());
    ack(3, round_open());
    assert_read(a, PENDING);
}

/* ---- losing the leadership: READ-16, READ-17 ---- */

/* A thousand pending reads, in all states, fail at once and once each; by a higher term. */
static void raft__thousand_reads_fail_by_term(void **state)
{
    (void)state;
    lead(3, 0);
    raft_set_rounds_max(fx_raft(&fx, 1), 1);
    for (unsigned k = 0; k < 1000; k++) {
        fx.hold_turns = k % 100 != 99;
        (void)fx_read(&fx, 1, 0);
    }
    fx.hold_turns = false;
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 1000);
    depose(9);
    assert_int_equal(fx.nodes[1].n_reads_failed, 1000);
    assert_int_equal(fx_n_reads(&fx, 1, FAILED), 1000);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_TERM);
    assert_int_equal(fx.nodes[1].loss_term, 2);
    assert_int_equal(fx.nodes[1].n_losses, 1);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
    fx_turn(&fx, 1);
    assert_int_equal(fx.nodes[1].n_losses, 1); /* told once */
}

/* The same within the term: no quorum is heard (READ-18). */
static void raft__thousand_reads_fail_by_role(void **state)
{
    uint64_t begin;

    (void)state;
    lead(3, 0);
    for (unsigned k = 0; k < 1000; k++) {
        fx.hold_turns = k % 100 != 99;
        (void)fx_read(&fx, 1, 0);
    }
    fx.hold_turns = false;
    begin = fx.now;
    while (fx_role(&fx, 1) == RAFT_LEADER) {
        fx_tick_deadline(&fx, 1);
        assert_true(fx.now <= begin + 2 * FX_ELECTION_US + FX_HEARTBEAT_US);
    }
    assert_int_equal(fx.nodes[1].n_reads_failed, 1000);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_ROLE);
    assert_int_equal(fx_term(&fx, 1), 2);
}

/* READ-17: the confirming acknowledgement and the loss in one turn, in both orders: the loss wins.
 */
static void raft__loss_wins_over_confirmation_in_one_turn(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 6; k++) {
        struct raft_msg lost;
        uint64_t round;
        uint64_t a;

        lead(3, 0);
        a = fx_read(&fx, 1, 0);
        round = round_open();
        switch (k / 2) {
        case 0: /* a vote for another */
            lost = fx_make(&fx, RAFT_MSG_VOTE, 3, 1, 5);
            lost.prev = (struct raft_entry_id){2, 2};
            lost.transfer = true;
            break;
        case 1:
            lost = fx_make(&fx, RAFT_MSG_HEARTBEAT, 3, 1, 5);
            break;
        default:
            lost = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 3, 1, 5);
            lost.reject = true;
        }
        fx.hold_turns = true;
        if (k % 2 == 0)
            ack(2, round);
        fx_inject_ok(&fx, &lost);
        if (k % 2 != 0)
            assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, 2, round), 0);
        fx.hold_turns = false;
        fx_turn(&fx, 1);
        assert_read(a, FAILED);
        assert_int_equal(fx.nodes[1].n_reads_done, 0);
        assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_TERM);
        fx_done(&fx);
    }
    fx_init(&fx, 1, 0, 1);
}

/* The same with check-quorum as the loss: the tick and a late acknowledgement in one turn. */
static void raft__loss_by_role_wins_over_confirmation_in_one_turn(void **state)
{
    uint64_t a;
    uint64_t round;

    (void)state;
    lead(3, 0);
    a = fx_read(&fx, 1, 0);
    round = round_open();
    fx.now += 3 * FX_ELECTION_US;
    fx.hold_turns = true;
    fx_tick(&fx, 1);
    (void)fx_puppet_ack_round(&fx, 2, 1, 2, round);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_read(a, FAILED);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_ROLE);
}

/* READ-16: a read that was handed out as confirmed is not taken back. */
static void raft__confirmed_reads_stay_confirmed(void **state)
{
    uint64_t a;
    raft_index index;

    (void)state;
    lead(3, 0);
    fx.nodes[1].manual_apply = true; /* applying lags, which is not the core's affair */
    index = fx_propose(&fx, 1).index;
    fx_puppet_ack(&fx, 2, 1, index);
    a = fx_read(&fx, 1, 0);
    ack(2, round_open());
    assert_int_equal(read_index(a), index);
    assert_true(fx_status(&fx, 1).last_applied < index);
    depose(9);
    assert_read(a, DONE);
    assert_int_equal(fx.nodes[1].n_reads_failed, 0);
    assert_int_equal(fx.nodes[1].loss_commit_index, index);
    fx_applied(&fx, 1, index); /* the follower applies it all the same */
}

/* READ-33: only a leader takes reads. Whether it leads is asked of the core each time (READ-4). */
static void raft__reads_are_refused_unless_leading(void **state)
{
    struct raft_msg m;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_NOT_LEADER);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_NOT_LEADER);
    m = fx_make(&fx, RAFT_MSG_PRE_VOTE_RESP, 2, 1, 2);
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 1), RAFT_CANDIDATE);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_NOT_LEADER);
    fx_puppets_elect(&fx, 1);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), 0);
    depose(9);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_NOT_LEADER);
}

/* ---- the floor of the connection's own writes: READ-58 ---- */

static void raft__read_waits_for_its_floor(void **state)
{
    raft_index floor;
    uint64_t a;
    uint64_t b;
    uint64_t c;

    (void)state;
    lead(3, 0);
    floor = fx_propose(&fx, 1).index;
    a = fx_read(&fx, 1, floor);
    b = fx_read(&fx, 1, 0);
    ack(2, round_open());
    ack(2, round_open());
    assert_read(a, PENDING); /* confirmed, but its own write is not committed */
    assert_int_equal(read_index(b), floor - 1);
    fx_tick_deadline(&fx, 1);
    assert_read(a, PENDING);
    fx_puppet_ack(&fx, 3, 1, floor);
    assert_int_equal(read_index(a), floor);
    c = fx_read(&fx, 1, floor); /* a floor that is reached already */
    ack(2, round_open());
    assert_int_equal(read_index(c), floor);
}

/* The other order: committed first, confirmed later. */
static void raft__floor_alone_confirms_nothing(void **state)
{
    raft_index floor;
    uint64_t a;

    (void)state;
    lead(3, 0);
    floor = fx_propose(&fx, 1).index;
    a = fx_read(&fx, 1, floor);
    fx_puppet_ack(&fx, 2, 1, floor);
    assert_int_equal(fx_commit(&fx, 1), floor);
    assert_read(a, PENDING);
    ack(3, round_open());
    assert_true(read_index(a) >= floor);
}

/* A read that waits for its floor is unconfirmed: it fails with the leadership (READ-58). */
static void raft__reads_below_their_floor_fail_with_the_leadership(void **state)
{
    raft_index floor;
    uint64_t a;

    (void)state;
    lead(3, 0);
    floor = fx_propose(&fx, 1).index;
    a = fx_read(&fx, 1, floor);
    ack(2, round_open());
    assert_read(a, PENDING);
    {
        static const raft_term terms[] = {
            9}; /* the write is overwritten, and the index committed */

        assert_int_equal(
            fx_puppet_append(&fx, 3, 1, 9, (struct raft_entry_id){2, 2}, terms, 1, floor), 0);
    }
    assert_int_equal(fx_commit(&fx, 1), floor);
    assert_read(a, FAILED);
    assert_int_equal(fx.nodes[1].loss_commit_index, floor - 1); /* the write's fate is not known */
}

/* Commit, confirmation and loss of the floor's entry in one turn: the loss wins here as well. */
static void raft__floor_reached_and_lost_in_one_turn(void **state)
{
    raft_index floor;
    uint64_t a;

    (void)state;
    lead(3, 0);
    floor = fx_propose(&fx, 1).index;
    a = fx_read(&fx, 1, floor);
    ack(2, round_open());
    fx.hold_turns = true;
    fx_puppet_ack(&fx, 3, 1, floor);
    depose(9);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_read(a, FAILED);
}

/* Many floors, reached in the order of the log and not of the reads. */
static void raft__floors_are_released_as_the_log_commits(void **state)
{
    raft_index first;
    uint64_t a[10];

    (void)state;
    lead(3, 0);
    first = fx_propose(&fx, 1).index;
    for (unsigned k = 1; k < 10; k++)
        (void)fx_propose(&fx, 1);
    fx.hold_turns = true;
    for (unsigned k = 0; k < 10; k++)
        a[k] = fx_read(&fx, 1, first + (k * 7) % 10);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    ack(2, round_open());
    assert_int_equal(fx.nodes[1].n_reads_done, 0);
    for (raft_index index = first; index < first + 10; index++) {
        fx_puppet_ack(&fx, 2, 1, index);
        for (unsigned k = 0; k < 10; k++)
            assert_read(a[k], first + (k * 7) % 10 <= index ? DONE : PENDING);
    }
}

/* ---- bounds ---- */

static void raft__reads_are_bounded(void **state)
{
    (void)state;
    lead(3, 0);
    fx.hold_turns = true;
    for (unsigned k = 0; k < RAFT_READS_PENDING_MAX; k++) {
        assert_int_equal(fx_try_read(&fx, 1, fx.n_reads + 1, 0), 0);
        if (k == RAFT_READS_PENDING_MAX / 2) { /* half of them ride on a round */
            fx.hold_turns = false;
            fx_turn(&fx, 1);
            fx.hold_turns = true;
        }
    }
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_BUSY);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, RAFT_READS_PENDING_MAX);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_BUSY);
    ack(2, round_open());
    assert_true(fx_status(&fx, 1).n_reads_pending < RAFT_READS_PENDING_MAX);
    assert_int_equal(fx_try_read(&fx, 1, fx.n_reads + 1, 0), 0);
    fx.now += 2000;
    fx_tick(&fx, 1);
    ack(2, round_open());
    fx.now += 2000;
    fx_tick(&fx, 1);
    ack(2, round_open());
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0); /* nothing leaks (READ-56) */
}

static void raft__reads_that_wait_for_floors_are_bounded_too(void **state)
{
    raft_index floor;

    (void)state;
    lead(3, 0);
    floor = fx_propose(&fx, 1).index;
    fx.hold_turns = true;
    for (unsigned k = 0; k < RAFT_READS_PENDING_MAX / 2; k++)
        assert_int_equal(fx_try_read(&fx, 1, fx.n_reads + 1, floor), 0);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    ack(2, round_open());
    fx.hold_turns = true;
    for (unsigned k = 0; k < RAFT_READS_PENDING_MAX / 2; k++)
        assert_int_equal(fx_try_read(&fx, 1, fx.n_reads + 1, 0), 0);
    assert_int_equal(fx_try_read(&fx, 1, 1, 0), RAFT_E_BUSY);
    fx.hold_turns = false;
    depose(9);
    assert_int_equal(fx.nodes[1].n_reads_failed, RAFT_READS_PENDING_MAX);
}

static void raft__read_without_memory_changes_nothing(void **state)
{
    unsigned n_refused = 0;

    (void)state;
    lead(3, 0);
    fx.hold_turns = true;
    for (unsigned k = 0; k < 2000; k++) {
        int r;

        fx.nodes[1].n_allocs = 0;
        fx.nodes[1].fail_at = 1;
        r = fx_try_read(&fx, 1, fx.n_reads + 1, 0);
        fx.nodes[1].fail_at = 0;
        if (r != 0) {
            assert_int_equal(r, -ENOMEM);
            n_refused++;
            (void)fx_read(&fx, 1, 0);
        }
    }
    assert_true(n_refused > 0);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    ack(2, round_open());
    assert_int_equal(fx_n_reads(&fx, 1, DONE), fx.n_reads);
}

/* ---- transfer (READ-46) ---- */

/* Reads during a transfer are refused, or finish by the rules; they do not keep it alive, and fail
 * when it succeeds. */
static void raft__reads_during_a_transfer(void **state)
{
    uint64_t before;
    uint64_t begin;
    int r;

    (void)state;
    lead(3, 0);
    before = fx_read(&fx, 1, 0);
    begin = fx.now;
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    fx_turn(&fx, 1);
    ack(2, round_open());
    assert_read(before, DONE); /* a quorum was still in this term after it arrived */
    while (fx.nodes[1].n_transfers_over == 0) {
        r = fx_try_read(&fx, 1, fx.n_reads + 1, 0);
        assert_true(r == 0 || r == RAFT_E_BUSY);
        ack(2, round_open());
        fx_tick_deadline(&fx, 1);
        assert_true(fx.now <=
                    begin + FX_ELECTION_US + FX_HEARTBEAT_US); /* and yet it is over in time */
    }
    ack(2, round_open());
    assert_int_equal(fx_n_reads(&fx, 1, FAILED), 0);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 3), fx.now), 0);
    r = fx_try_read(&fx, 1, fx.n_reads + 1, 0);
    assert_true(r == 0 || r == RAFT_E_BUSY);
    fx.nodes[1].n_reads_done = 0;
    {
        struct raft_msg m = fx_make(&fx, RAFT_MSG_VOTE, 3, 1, 3);

        m.prev = (struct raft_entry_id){2, 2};
        m.transfer = true;
        fx_inject_ok(&fx, &m); /* the target takes over */
    }
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx.nodes[1].n_reads_done, 0);
    assert_int_equal(fx_n_reads(&fx, 1, PENDING), 0);
}

/* ---- with real nodes ---- */

/* The deposed leader in a minority answers nothing, whatever old acknowledgements still arrive; the
 * new leader's reads see what was written meanwhile (the harness compares every read with what was
 * committed when it arrived). */
static void raft__deposed_leader_confirms_nothing(void **state)
{
    struct fx_msg old[2];
    unsigned leader;
    uint64_t a;
    uint64_t b;

    (void)state;
    fx_init(&fx, 3, 0, 9);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, FX_HEARTBEAT_US);
    a = fx_read(&fx, 1, 0);
    (void)fx_deliver_each(&fx, 1, FX_ANY, RAFT_MSG_HEARTBEAT);
    old[0] = fx_take(&fx, 2, 1, RAFT_MSG_HEARTBEAT_RESP);
    old[1] = fx_take(&fx, 3, 1, RAFT_MSG_HEARTBEAT_RESP);
    fx_isolate(&fx, 1, true);
    fx.now += 2 * FX_ELECTION_US; /* n1 is paused */
    for (unsigned k = 0; k < 20 && fx_leader(&fx) != 2; k++) {
        fx_tick_deadline(&fx, 2);
        for (unsigned m = 0; m < 8; m++) {
            (void)fx_deliver_each(&fx, 2, 3, FX_ANY);
            (void)fx_deliver_each(&fx, 3, 2, FX_ANY);
        }
    }
    leader = fx_leader(&fx);
    assert_int_equal(leader, 2);
    (void)fx_propose(&fx, 2);
    (void)fx_deliver_each(&fx, 2, 3, FX_ANY);
    (void)fx_deliver_each(&fx, 3, 2, FX_ANY);
    assert_true(fx_commit(&fx, 2) > fx_commit(&fx, 1));
    b = fx_read(&fx, 1, 0); /* n1 wakes up and is asked, still believing */
    fx_inject_ok(&fx, &old[0].m);
    fx_inject_ok(&fx, &old[1].m);
    assert_int_not_equal(fx_read_state(&fx, b), DONE); /* a may be: it arrived before */
    assert_int_not_equal(fx_read_state(&fx, a), PENDING);
    fx_heal(&fx);
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, fx_converged, NULL));
    assert_read(b, FAILED);
    fx_msg_done(&old[0]);
    fx_msg_done(&old[1]);
}

/* READ-18, READ-56: an isolated leader's reads do not hang for ever and nothing is left of them. */
static void raft__isolated_leader_fails_its_reads(void **state)
{
    uint64_t a;

    (void)state;
    fx_init(&fx, 5, 0, 9);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_isolate(&fx, 1, true);
    a = fx_read(&fx, 1, 0);
    fx_run(&fx, 2 * FX_ELECTION_US + FX_HEARTBEAT_US);
    assert_read(a, FAILED);
    assert_int_equal(fx_status(&fx, 1).n_reads_pending, 0);
}

/* With one of three away a read costs one round trip. */
static void raft__one_round_trip_with_a_minority_away(void **state)
{
    uint64_t a;
    uint64_t now;

    (void)state;
    fx_init(&fx, 3, 0, 9);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_isolate(&fx, 3, true);
    now = fx.now;
    for (unsigned k = 0; k < 50; k++) {
        a = fx_read(&fx, 1, 0);
        fx_deliver_all(&fx);
        assert_read(a, DONE);
    }
    assert_int_equal(fx.now, now);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(raft__read_is_confirmed_by_a_quorum_of_its_round),
        T(raft__heartbeat_in_flight_does_not_count),
        T(raft__periodic_heartbeat_in_flight_does_not_count),
        T(raft__thousand_reads_share_one_round),
        T(raft__equal_commit_index_is_no_confirmation),
        T(raft__repeated_ctx_is_a_new_read),
        T(raft__acknowledgements_out_of_order),
        T(raft__confirmed_round_is_the_quorums),
        T(raft__duplicate_and_delayed_acknowledgements),
        T(raft__what_is_no_acknowledgement),
        T(raft__acknowledgement_of_a_future_round_is_refused),
        T(raft__round_numbers_are_never_reused),
        T(raft__follower_echoes_exactly_what_it_received),
        T(raft__heartbeat_answer_does_not_wait_for_the_disk),
        T(raft__read_does_not_wait_for_the_leaders_disk),
        T(raft__lagging_apply_holds_up_no_round),
        T(raft__heartbeats_carry_the_highest_open_round),
        T(raft__reconnected_peer_gets_the_round_at_once),
        T(raft__rounds_outstanding_are_bounded),
        T(raft__patience_opens_one_round_more),
        T(raft__waiting_read_wakes_the_host),
        T(raft__dead_links_get_no_heartbeats),
        T(raft__unanswered_rounds_do_not_outlive_their_leadership),
        T(raft__idle_leader_opens_no_rounds),
        T(raft__read_quorum_for_every_group_size),
        T(raft__learners_do_not_confirm_reads),
        T(raft__single_voter_with_learners_confirms_alone),
        T(raft__single_voter_after_a_restart_waits_for_its_no_op),
        T(raft__reads_are_parked_at_the_no_op_gate),
        T(raft__parked_reads_fail_with_the_leadership),
        T(raft__gate_is_closed_again_in_the_next_term),
        T(raft__thousand_reads_fail_by_term),
        T(raft__thousand_reads_fail_by_role),
        T(raft__loss_wins_over_confirmation_in_one_turn),
        T(raft__loss_by_role_wins_over_confirmation_in_one_turn),
        T(raft__confirmed_reads_stay_confirmed),
        T(raft__reads_are_refused_unless_leading),
        T(raft__read_waits_for_its_floor),
        T(raft__floor_alone_confirms_nothing),
        T(raft__reads_below_their_floor_fail_with_the_leadership),
        T(raft__floor_reached_and_lost_in_one_turn),
        T(raft__floors_are_released_as_the_log_commits),
        T(raft__reads_are_bounded),
        T(raft__reads_that_wait_for_floors_are_bounded_too),
        T(raft__read_without_memory_changes_nothing),
        T(raft__reads_during_a_transfer),
        T(raft__deposed_leader_confirms_nothing),
        T(raft__isolated_leader_fails_its_reads),
        T(raft__one_round_trip_with_a_minority_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
