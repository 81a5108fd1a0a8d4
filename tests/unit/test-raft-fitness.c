/* Who leads when state machines are not to be believed: FIT-1 to FIT-5. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft-fixture.h"

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

static void set(unsigned i, enum raft_fitness fitness)
{
    raft_set_fitness(fx_raft(&fx, i), fitness, fx.now);
    fx_turn(&fx, i);
}

/* Long enough for everybody to have told the leader. */
static void tell(void)
{
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
}

static void three(unsigned leader)
{
    fx_init(&fx, 3, 0, 3);
    fx_start_all(&fx);
    fx_elect(&fx, leader);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

static bool leads(struct fx *f, void *arg)
{
    return fx_leader(f) == *(const unsigned *)arg;
}

static bool serves(struct fx *f, void *arg)
{
    const unsigned *i = arg;

    return fx_leader(f) == *i && raft_can_serve(fx_raft(f, *i));
}

static bool anybody_leads(struct fx *f, void *arg)
{
    (void)arg;
    return fx_leader(f) != 0;
}

static void run_until(bool (*condition)(struct fx *f, void *arg), unsigned i)
{
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, condition, &i));
}

/* ---- voters ---- */

/* FIT-1: with one of three gone, the unfit one is half of the quorum. */
static void fitness__an_unfit_voter_votes_stores_and_acknowledges(void **state)
{
    struct raft_entry_id e;

    (void)state;
    three(1);
    fx_crash(&fx, 2, 0);
    set(3, RAFT_UNFIT);
    e = fx_propose(&fx, 1);
    tell();
    assert_true(fx_commit(&fx, 1) >= e.index);
    fx_crash(&fx, 1, 0);
    fx_restart(&fx, 1);
    run_until(serves, 1);
    assert_true(fx_commit(&fx, 1) >= e.index);
}

/* Each says what it is with its answers, and the leader with its heartbeats. */
static void fitness__it_is_told(void **state)
{
    struct raft_status s;

    (void)state;
    three(1);
    set(2, RAFT_UNFIT);
    set(3, RAFT_PARKED);
    tell();
    s = fx_status(&fx, 1);
    assert_int_equal(fx_peer(&fx, &s, 2)->fitness, RAFT_UNFIT);
    assert_int_equal(fx_peer(&fx, &s, 3)->fitness, RAFT_PARKED);
    assert_true(fx_peer(&fx, &s, 2)->fitness_said);
    set(2, RAFT_FIT);
    set(1, RAFT_PARKED); /* nobody fit has caught up yet, as far as it knows */
    fx.cut[2][1] = fx.cut[3][1] = true;
    fx_run(&fx, FX_HEARTBEAT_US);
    s = fx_status(&fx, 3);
    assert_int_equal(s.fitness, RAFT_PARKED);
    assert_int_equal(fx_peer(&fx, &s, 1)->fitness, RAFT_PARKED);
}

/* A node of the version before says nothing. It is fit, for it knows nothing else. */
static void fitness__who_says_nothing_is_fit(void **state)
{
    struct raft_status s;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    assert_int_equal(fx_puppet_ack_round(&fx, 2, 1, fx_term(&fx, 1), 1), 0);
    s = fx_status(&fx, 1);
    assert_false(fx_peer(&fx, &s, 2)->fitness_said);
    assert_int_equal(fx_peer(&fx, &s, 2)->fitness, RAFT_FIT);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), 0);
}

/* What was said before is not heard behind what is said now. */
static void fitness__a_late_answer_changes_nothing(void **state)
{
    struct raft_msg m;
    struct raft_status s;

    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_puppets_lead(&fx, 1);
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    m = fx_make(&fx, RAFT_MSG_HEARTBEAT_RESP, 2, 1, fx_term(&fx, 1));
    m.round = fx_round_sent(&fx, 1, 2);
    assert_true(m.round > 1);
    m.note.flags = RAFT_NOTE_SAID | RAFT_NOTE_UNFIT;
    fx_inject_ok(&fx, &m);
    m.round--;
    m.note.flags = RAFT_NOTE_SAID;
    fx_inject_ok(&fx, &m);
    s = fx_status(&fx, 1);
    assert_int_equal(fx_peer(&fx, &s, 2)->fitness, RAFT_UNFIT);
}

/* ---- campaigns ---- */

/* FIT-2, FIT-3: who is worse begins later, and a campaign that fails changes nothing of that. */
static void fitness__the_worse_campaign_later(void **state)
{
    static const unsigned timeouts[] = {1, RAFT_PARKED_TIMEOUTS, RAFT_UNFIT_TIMEOUTS};

    (void)state;
    for (unsigned f = RAFT_FIT; f <= RAFT_UNFIT; f++) {
        fx_init(&fx, 3, 0, 9 + f);
        fx_start(&fx, 1);
        set(1, (enum raft_fitness)f);
        for (unsigned k = 0; k < 20; k++) {
            uint64_t due = raft_deadline_us(fx_raft(&fx, 1)) - fx.now;

            assert_true(due >= timeouts[f] * FX_ELECTION_US);
            assert_true(due < (timeouts[f] + 1) * FX_ELECTION_US);
            fx_tick_deadline(&fx, 1);
            assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
        }
        if (f != RAFT_UNFIT)
            fx_done(&fx);
    }
}

/* Full, not full, full: however fast, the silence of the leader goes on being counted. */
static void fitness__changes_do_not_put_a_campaign_off(void **state)
{
    uint64_t from_us;

    (void)state;
    fx_init(&fx, 3, 0, 5);
    fx_start(&fx, 1);
    from_us = fx.now;
    while (fx_role(&fx, 1) == RAFT_FOLLOWER) {
        set(1, RAFT_PARKED);
        fx_run(&fx, FX_ELECTION_US / 4);
        set(1, RAFT_FIT);
        fx_run(&fx, FX_ELECTION_US / 4);
        assert_true(fx.now - from_us < 3 * FX_ELECTION_US);
    }
    assert_true(fx.now - from_us >= FX_ELECTION_US);
}

/* FIT-3: neither asked for, nor asked in vain. */
static void fitness__an_unfit_node_is_not_told_to_lead(void **state)
{
    struct raft_msg m;

    (void)state;
    three(1);
    set(2, RAFT_UNFIT);
    tell();
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), fx_id(&fx, 2), fx.now), RAFT_E_UNFIT);
    m = fx_make(&fx, RAFT_MSG_TIMEOUT_NOW, 1, 2, fx_term(&fx, 1));
    fx_inject_ok(&fx, &m);
    assert_int_equal(fx_role(&fx, 2), RAFT_FOLLOWER);
    fx_crash(&fx, 3, 0);
    tell();
    (void)fx_propose(&fx, 1);
    fx_link(&fx, 1, 3, false);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), 0, fx.now), RAFT_E_UNFIT);
}

/* The fittest first; of those the furthest. */
static void fitness__a_free_choice_falls_on_the_fittest(void **state)
{
    struct raft_status s;

    (void)state;
    three(1);
    set(2, RAFT_PARKED);
    tell();
    fx_isolate(&fx, 3, true);
    (void)fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    s = fx_status(&fx, 1);
    assert_true(fx_peer(&fx, &s, 2)->match_index > fx_peer(&fx, &s, 3)->match_index);
    assert_int_equal(raft_transfer(fx_raft(&fx, 1), 0, fx.now), 0);
    s = fx_status(&fx, 1);
    assert_int_equal(fx_of(&fx, s.transfer_to), 3);
}

/* Won before, unfit since: the campaign ends. */
static void fitness__a_candidate_that_becomes_unfit_gives_up(void **state)
{
    (void)state;
    fx_init(&fx, 3, 0, 1);
    fx_start(&fx, 1);
    fx_tick_deadline(&fx, 1);
    assert_int_equal(fx_role(&fx, 1), RAFT_PRE_CANDIDATE);
    set(1, RAFT_UNFIT);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_true(raft_deadline_us(fx_raft(&fx, 1)) - fx.now >= RAFT_UNFIT_TIMEOUTS * FX_ELECTION_US);
}

/* ---- leaders ---- */

/* FIT-4: what it was asked it answers no more, and another leads, without an election timeout. */
static void fitness__an_unfit_leader_hands_over(void **state)
{
    uint64_t read;
    struct raft_entry_id id;
    unsigned next = 3;

    (void)state;
    three(1);
    set(2, RAFT_UNFIT);
    tell();
    fx.hold_turns = true;
    read = fx_read(&fx, 1, 0);
    fx.hold_turns = false;
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    assert_int_equal(fx_try_propose(&fx, 1, "x", 1, &id), RAFT_E_GATED);
    fx_turn(&fx, 1);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_FAILED);
    fx_deliver_all(&fx);
    assert_true(leads(&fx, &next));
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_true(fx_run_until(&fx, FX_ELECTION_US, fx_has_leader, NULL));
}

/* Confirmed, but not handed out: it fails like the others (FIT-4). */
static void fitness__a_read_that_was_confirmed_fails_too(void **state)
{
    uint64_t read;

    (void)state;
    three(1);
    read = fx_read(&fx, 1, 0);
    fx.hold_turns = true;
    for (unsigned i = 2; i <= 3; i++) {
        (void)fx_deliver_each(&fx, 1, i, RAFT_MSG_HEARTBEAT);
        fx.hold_turns = false;
        fx_turn(&fx, i);
        fx.hold_turns = true;
        (void)fx_deliver_each(&fx, i, 1, RAFT_MSG_HEARTBEAT_RESP);
    }
    assert_int_equal(fx_read_state(&fx, read), FX_READ_PENDING);
    raft_set_fitness(fx_raft(&fx, 1), RAFT_UNFIT, fx.now);
    fx.hold_turns = false;
    fx_turn(&fx, 1);
    assert_int_equal(fx_read_state(&fx, read), FX_READ_FAILED);
}

/* The last entries are still on their way to the one that could take over. */
static void fitness__it_waits_for_who_is_catching_up(void **state)
{
    unsigned next = 2;

    (void)state;
    three(1);
    fx_crash(&fx, 3, 0);
    fx.hold_turns = true;
    (void)fx_propose(&fx, 1);
    fx.hold_turns = false;
    set(1, RAFT_UNFIT);
    assert_int_equal(fx_status(&fx, 1).transfer_to, 0);
    fx_deliver_all(&fx);
    assert_true(leads(&fx, &next));
}

/* FIT-4: nobody takes over, and after an election timeout it leads no more. Others may. */
static void fitness__an_unfit_leader_steps_down(void **state)
{
    (void)state;
    three(1);
    fx_crash(&fx, 3, 0);
    set(2, RAFT_UNFIT);
    tell();
    set(1, RAFT_UNFIT);
    fx_run(&fx, FX_ELECTION_US - FX_HEARTBEAT_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    fx_run(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
    assert_int_equal(fx.nodes[1].loss, RAFT_LOSS_ROLE);
}

/* FIT-3: nobody serves, and still all learn what is committed; the first that is fit again
 * serves. */
static void fitness__all_three_unfit(void **state)
{
    struct raft_entry_id id;
    unsigned fit;

    (void)state;
    three(1);
    for (unsigned i = 1; i <= 3; i++)
        set(i, RAFT_UNFIT);
    fx_run(&fx, 2 * FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 0);
    assert_true(fx_run_until(&fx, 20 * FX_ELECTION_US, anybody_leads, NULL));
    fx_run(&fx, 6 * FX_ELECTION_US);
    assert_int_not_equal(fx_leader(&fx), 0); /* nothing drives it out: nobody is better */
    assert_true(fx_commit(&fx, fx_leader(&fx)) >= fx_noop(&fx, fx_leader(&fx)));
    assert_int_equal(fx_try_propose(&fx, fx_leader(&fx), "x", 1, &id), RAFT_E_GATED);
    for (unsigned i = 1; i <= 3; i++)
        assert_false(raft_can_serve(fx_raft(&fx, i)));
    fit = fx_leader(&fx) == 2 ? 3 : 2;
    set(fit, RAFT_FIT);
    run_until(serves, fit);
    (void)fx_propose(&fx, fit);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

/* FIT-3: what is committed is on the unfit one alone. It gives it to the other, which then serves;
 * without that the group would stand still for ever. */
static void fitness__only_the_unfit_one_holds_what_is_committed(void **state)
{
    struct raft_entry_id e;

    (void)state;
    three(1);
    fx_isolate(&fx, 2, true);
    e = fx_propose(&fx, 1);
    fx_deliver_all(&fx);
    assert_true(fx_commit(&fx, 1) >= e.index);
    set(3, RAFT_UNFIT);
    fx_crash(&fx, 1, 0); /* and stays away */
    fx_heal(&fx);
    run_until(serves, 2);
    assert_true(fx_term_at(&fx, 2, e.index) == e.term);
    assert_true(fx_commit(&fx, 2) >= e.index);
    assert_int_equal(fx_role(&fx, 3), RAFT_FOLLOWER);
}

/* FIT-2: not to one that is behind, nor to one that is no better, and never instead of nobody. */
static void fitness__a_parked_leader_hands_over_or_leads_on(void **state)
{
    unsigned next = 3;

    (void)state;
    three(1);
    set(2, RAFT_PARKED);
    fx_isolate(&fx, 3, true);
    (void)fx_propose(&fx, 1);
    tell();
    set(1, RAFT_PARKED);
    fx_run(&fx, 8 * FX_ELECTION_US);
    assert_int_equal(fx_leader(&fx), 1);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
    assert_int_equal(fx_status(&fx, 1).transfer_to, 0);
    fx_heal(&fx);
    for (unsigned i = 1; i <= 2; i++)
        fx_link(&fx, i, 3, true);
    run_until(serves, next);
}

/* Alone there is nobody to hand over to. */
static void fitness__alone(void **state)
{
    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    fx_elect(&fx, 1);
    set(1, RAFT_PARKED);
    fx_run(&fx, 5 * FX_ELECTION_US);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
    set(1, RAFT_UNFIT);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER); /* at once: it must be rebuilt */
    set(1, RAFT_FIT);
    run_until(serves, 1);
    fx_crash(&fx, 1, 0);
    fx_restart(&fx, 1);
    set(1, RAFT_PARKED);
    run_until(serves, 1); /* later than others would, but it does */
    set(1, RAFT_UNFIT);
    fx_run(&fx, 8 * FX_ELECTION_US);
    assert_int_equal(fx_role(&fx, 1), RAFT_LEADER);
    assert_false(raft_can_serve(fx_raft(&fx, 1)));
    set(1, RAFT_FIT);
    assert_true(raft_can_serve(fx_raft(&fx, 1)));
}

/* FIT-4: without room for a state it has nothing to win alone, and among others they may need its
 * log (FIT-3). */
static void fitness__who_waits_for_room_campaigns_among_others(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 3; n += 2) {
        bool alone = n == 1;

        fx_init(&fx, n, 0, 1);
        fx_start_all(&fx);
        for (unsigned i = 1; i <= n; i++) {
            set(i, RAFT_UNFIT);
            raft_wait_for_room(fx_raft(&fx, i), true);
        }
        fx_run(&fx, 20 * FX_ELECTION_US);
        assert_int_equal(fx_leader(&fx) == 0, alone);
        if (alone) {
            raft_wait_for_room(fx_raft(&fx, 1), false);
            run_until(leads, 1);
            fx_done(&fx);
        }
    }
}

/* Unfit once more while it leads unfit: it must get out of the lead, for it is to be rebuilt. */
static void fitness__said_again_it_steps_down_again(void **state)
{
    (void)state;
    fx_init(&fx, 1, 0, 1);
    fx_start(&fx, 1);
    set(1, RAFT_UNFIT);
    run_until(leads, 1);
    set(1, RAFT_UNFIT);
    assert_int_equal(fx_role(&fx, 1), RAFT_FOLLOWER);
}

/* ---- the state machine is put back ---- */

static void rewind_to(unsigned i, raft_index index)
{
    fx.nodes[i].committed_handed = index;
    raft_rewind(fx_raft(&fx, i), index);
    raft_check(fx_raft(&fx, i));
}

/* FIT-5: once more, in order, from memory or from the disk. */
static void fitness__rewound_it_is_handed_everything_again(void **state)
{
    raft_index commit;

    (void)state;
    fx_init(&fx, 3, 0, 3);
    fx.nodes[2].conf.cache_bytes_max = 0;
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    for (unsigned k = 0; k < 20; k++)
        (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    for (unsigned i = 2; i <= 3; i++) {
        commit = fx_commit(&fx, i);
        rewind_to(i, i == 2 ? 0 : 7);
        assert_true(fx_status(&fx, i).last_applied == (i == 2 ? 0 : 7));
        fx_turn(&fx, i);
        assert_true(fx_status(&fx, i).last_applied == commit);
        assert_true(fx.nodes[i].committed_handed == commit);
    }
    (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
}

static void assert_refused(unsigned i, raft_index index)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO); /* what it says there is no news */
        raft_rewind(fx_raft(&fx, i), index);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* A leader does not, nor does anybody below its base or ahead of what it has applied. */
static void fitness__rewinds_that_are_refused(void **state)
{
    (void)state;
    three(1);
    for (unsigned k = 0; k < 5; k++)
        (void)fx_propose(&fx, 1);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    assert_refused(1, 4);
    fx_crash(&fx, 2, 0);
    fx_compact(&fx, 2, 3);
    fx_restart(&fx, 2);
    assert_true(fx_run_until(&fx, 10 * FX_ELECTION_US, fx_converged, NULL));
    assert_refused(2, 2);
    assert_refused(2, fx_commit(&fx, 2) + 1);
    rewind_to(2, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(fitness__##name, teardown)
        T(an_unfit_voter_votes_stores_and_acknowledges),
        T(it_is_told),
        T(who_says_nothing_is_fit),
        T(a_late_answer_changes_nothing),
        T(the_worse_campaign_later),
        T(changes_do_not_put_a_campaign_off),
        T(an_unfit_node_is_not_told_to_lead),
        T(a_free_choice_falls_on_the_fittest),
        T(a_candidate_that_becomes_unfit_gives_up),
        T(an_unfit_leader_hands_over),
        T(a_read_that_was_confirmed_fails_too),
        T(it_waits_for_who_is_catching_up),
        T(an_unfit_leader_steps_down),
        T(all_three_unfit),
        T(only_the_unfit_one_holds_what_is_committed),
        T(a_parked_leader_hands_over_or_leads_on),
        T(alone),
        T(who_waits_for_room_campaigns_among_others),
        T(said_again_it_steps_down_again),
        T(rewound_it_is_handed_everything_again),
        T(rewinds_that_are_refused),
    };

    return cmocka_run_group_tests_name("raft-fitness", tests, NULL, NULL);
}
