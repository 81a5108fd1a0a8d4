/* Turns that find more work than they have time for: each stage gets on by a step at least, none
 * runs beyond its share, and what is left over is done by the next turns in the order in which it
 * came (TIME-1, TIME-2). Time passes while entries are applied and values are read. */
#include "test-replica-util.h"

#include "base/limits.h"
#include "base/slice.h"

#define SHARE_US slice_share_us(FX_HEARTBEAT_US)
#define N_ASKS   300u

struct ask {
    struct replica_request rr;
    unsigned n_done; /* callbacks */
    unsigned order;  /* among all that were answered */
    bool failed;
    raft_index at; /* served: of the state that it saw */
    struct replica_view view;
};

static struct ask asks[N_ASKS];
static unsigned n_answered;
static struct fx *slow; /* time passes here when a failure is told */

static struct wire_slice key_of(const char *name)
{
    static struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, name, strlen(name)), 0);
    return (struct wire_slice){(const char *)key.bytes, key.len};
}

static void answered(struct replica_request *rr)
{
    struct ask *a = list_entry(rr, struct ask, rr);

    assert_int_equal(++a->n_done, 1);
    a->order = ++n_answered;
}

static void on_served(struct replica_request *rr, const struct replica_view *view)
{
    struct ask *a = list_entry(rr, struct ask, rr);
    struct command_value v;

    a->view = *view;
    a->at = view->last_applied.index;
    assert_int_equal(view->get(view->ctx, key_of("k"), &v), 0);
    answered(rr);
}

static void on_written(struct replica_request *rr, const struct command_result *result)
{
    list_entry(rr, struct ask, rr)->at = result->index;
    answered(rr);
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    (void)f;
    list_entry(rr, struct ask, rr)->failed = true;
    if (slow != NULL)
        slow->now_us += 1000;
    answered(rr);
}

static struct buf command = BUF_INIT; /* of every write */

static void command_make(void)
{
    struct command c = {.op = COMMAND_WRITE, .key = key_of("k"), .value = {"1", 1}};

    buf_reset(&command, SIZE_MAX);
    assert_int_equal(command_encode(&c, &command), 0);
}

static void submit_until(struct fx *fx, int node, struct ask *a, enum replica_kind kind,
                         uint64_t deadline_us)
{
    memset(a, 0, sizeof(*a));
    a->rr = (struct replica_request){.kind = kind,
                                     .deadline_us = deadline_us,
                                     .command = kind == REPLICA_WRITE ? command.data : NULL,
                                     .command_len = kind == REPLICA_WRITE ? command.len : 0,
                                     .served = on_served,
                                     .written = on_written,
                                     .failed = on_failed};
    replica_submit(fx->nodes[node].replica, &a->rr, fx->now_us);
}

static void submit(struct fx *fx, int node, struct ask *a, enum replica_kind kind)
{
    submit_until(fx, node, a, kind, UINT64_MAX);
}

static struct fx_node *begin(struct fx *fx, int n, int *ret_leader)
{
    n_answered = 0;
    slow = NULL;
    command_make();
    fx_init(fx, n);
    *ret_leader = fx_elect(fx);
    fx_settle(fx);
    return &fx->nodes[*ret_leader];
}

static void end(struct fx *fx)
{
    fx_done(fx);
    buf_done(&command);
}

/* Turns until there is nothing left to do at once; how many. */
static unsigned turns(struct fx *fx, int node)
{
    unsigned n = 0;

    do {
        fx_turn(fx, node);
        assert_true(++n < 10000);
    } while (replica_deadline_us(fx->nodes[node].replica) == 0);
    return n;
}

static void turn__applies_for_its_share_only(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);
    raft_index first = n->applied.index + 1;
    uint64_t from_us;
    uint64_t longest_us = 0;
    unsigned n_turns = 0;

    (void)state;
    for (unsigned i = 0; i < N_ASKS; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    n->apply_us = 1000;
    fx_store(&fx, leader);
    while (replica_deadline_us(n->replica) == 0) {
        from_us = fx.now_us;
        fx_turn(&fx, leader);
        n_turns++;
        assert_int_equal(raft_get_commit_index(fx_raft(&fx, leader)), first + N_ASKS - 1);
        assert_int_equal(replica_last_applied(n->replica), n->applied.index);
        assert_int_equal(n_answered, n->applied.index - first + 1); /* neither more nor fewer */
        if (fx.now_us - from_us > longest_us)
            longest_us = fx.now_us - from_us;
    }
    assert_true(longest_us >= SHARE_US);
    assert_true(longest_us <= SHARE_US + n->apply_us);
    assert_true(n_turns >= N_ASKS * n->apply_us / (SHARE_US + n->apply_us));
    for (unsigned i = 0; i < N_ASKS; i++) {
        assert_int_equal(asks[i].order, i + 1);
        assert_int_equal(asks[i].at, first + i);
    }
    end(&fx);
}

/* A step that is longer than all the time there is: one of them in each turn. */
static void turn__gets_on_by_one_entry_at_least(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    n->apply_us = 10 * SHARE_US;
    fx_store(&fx, leader);
    for (unsigned i = 0; i < 3; i++) {
        fx_turn(&fx, leader);
        assert_int_equal(n_answered, i + 1);
    }
    end(&fx);
}

/* Markers of reads among entries that a turn had no time for: each sees the state of exactly its
 * own, also when the leadership went in between. */
static void turn__log_reads_behind_the_cut_keep_their_right(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 3, &leader);
    raft_index first = n->applied.index + 1;

    (void)state;
    for (unsigned i = 0; i < 60; i++)
        submit(&fx, leader, &asks[i], i % 2 == 0 ? REPLICA_WRITE : REPLICA_READ_LOG);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    fx.cut[leader] = true;
    n->apply_us = 2000;
    fx_ack_append(&fx, leader, fx_other(&fx, leader), first + 59);
    fx_turn(&fx, leader);
    assert_true(n_answered > 0);
    assert_true(n_answered < 60);
    fx_depose(&fx, leader, fx_other(&fx, leader));
    (void)turns(&fx, leader);
    assert_int_equal(n_answered, 60);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(asks[i].order, i + 1);
        assert_false(asks[i].failed);
        assert_int_equal(asks[i].at, first + i);
    }
    end(&fx);
}

static void turn__answers_for_its_share_only(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);
    unsigned n_turns = 0;
    uint64_t from_us;

    (void)state;
    for (unsigned i = 0; i < N_ASKS; i++)
        submit(&fx, leader, &asks[i], i % 2 == 0 ? REPLICA_READ : REPLICA_READ_LOCAL);
    n->get_us = 500;
    do {
        unsigned before = n_answered;

        from_us = fx.now_us;
        fx_turn(&fx, leader);
        n_turns++;
        /* Two reads to a step: both kinds get on. */
        assert_true(fx.now_us - from_us <= SHARE_US + 2 * n->get_us);
        assert_true(n_answered > before);
    } while (replica_deadline_us(n->replica) == 0);
    assert_true(n_turns > 5);
    assert_int_equal(n_answered, N_ASKS);
    for (unsigned i = 2; i < N_ASKS; i++)
        assert_true(asks[i].order > asks[i - 2].order);
    for (unsigned i = 0; i < N_ASKS; i++)
        assert_false(asks[i].failed);
    end(&fx);
}

/* TIME-5: of entries that take long few are in front of a read, however many wait. */
static void turn__a_read_waits_for_few_slow_entries(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);
    raft_index applied;

    (void)state;
    n->apply_us = 500;
    for (unsigned i = 0; i < 20; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    (void)turns(&fx, leader); /* what they take is known */
    for (unsigned i = 20; i < 200; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    fx_turn(&fx, leader);
    applied = n->applied.index;
    submit(&fx, leader, &asks[200], REPLICA_READ);
    (void)turns(&fx, leader);
    assert_int_equal(asks[200].n_done, 1);
    assert_true(asks[200].view.read_index <= applied + 1 + APPLY_AHEAD_US / n->apply_us);
    assert_true(asks[200].order <= 20 + (applied - asks[20].at) + 2 * APPLY_AHEAD_US / n->apply_us);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(asks[i].n_done, 1);
    end(&fx);
}

/* What a leader commits because it has applied comes within the same turn, and counts as part of it
 * (TIME-1, TIME-5). */
static void turn__commits_in_small_steps_end_in_time(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);

    (void)state;
    n->apply_us = APPLY_AHEAD_US; /* one at a time */
    for (unsigned i = 0; i < 20; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    (void)turns(&fx, leader); /* what they take is known */
    for (unsigned i = 20; i < 60; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    for (raft_index applied = n->applied.index; asks[59].n_done == 0; applied = n->applied.index) {
        fx_turn(&fx, leader);
        assert_true(n->applied.index > applied);
        assert_true(n->applied.index <= applied + 1 + TURN_SHARE_US_MAX / n->apply_us);
    }
    end(&fx);
}

/* Neither keeps the other from getting on: with more of both than there is time, both get on. */
static void turn__applying_and_answering_both_get_on(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 1, &leader);
    raft_index applied;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    for (unsigned i = 100; i < 200; i++)
        submit(&fx, leader, &asks[i], REPLICA_READ_LOCAL);
    n->apply_us = 1000;
    n->get_us = 1000;
    fx_store(&fx, leader);
    for (unsigned i = 0; i < 3; i++) {
        unsigned n_reads = 0;
        unsigned n_reads_after = 0;

        applied = n->applied.index;
        for (unsigned k = 100; k < 200; k++)
            n_reads += asks[k].n_done;
        fx_turn(&fx, leader);
        for (unsigned k = 100; k < 200; k++)
            n_reads_after += asks[k].n_done;
        assert_true(n->applied.index > applied);
        assert_true(n_reads_after > n_reads);
    }
    (void)turns(&fx, leader);
    assert_int_equal(n_answered, 200);
    end(&fx);
}

/* Heartbeats that are due leave before the turn applies anything, not after. */
static void turn__messages_leave_before_the_work(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 3, &leader);
    raft_index before = n->applied.index;
    unsigned n_sent;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        submit(&fx, leader, &asks[i], REPLICA_WRITE);
    fx_turn(&fx, leader);
    fx_store(&fx, leader);
    fx_ack_append(&fx, leader, fx_other(&fx, leader), before + 20);
    fx_pass_time(&fx, FX_HEARTBEAT_US);
    n_sent = n->n_sent;
    fx_turn(&fx, leader);
    assert_int_equal(n->applied.index, before + 20);
    assert_true(n->n_sent >= n_sent + 2);
    assert_int_equal(n->n_flushed, n->n_sent);
    assert_int_equal(n->flushed_before, before);
    end(&fx);
}

/* Those that waited for a leader begin in the order in which they came, and nobody overtakes them. */
static void turn__what_waited_begins_in_order(void **state)
{
    struct fx fx;
    int leader;

    (void)state;
    n_answered = 0;
    slow = NULL;
    fx_init(&fx, 1);
    for (unsigned i = 0; i < N_ASKS - 1; i++)
        submit(&fx, 0, &asks[i], REPLICA_READ_LOG);
    fx.nodes[0].get_us = 100;
    leader = fx_elect(&fx);
    submit(&fx, leader, &asks[N_ASKS - 1], REPLICA_READ_LOG);
    fx_settle(&fx);
    assert_int_equal(n_answered, N_ASKS);
    for (unsigned i = 0; i < N_ASKS; i++)
        assert_int_equal(asks[i].order, i + 1);
    end(&fx);
}

/* So many that are too late at once are told so one after the other. */
static void turn__too_late_ones_are_told_in_time(void **state)
{
    struct fx fx;
    uint64_t from_us;
    unsigned n_turns = 0;

    (void)state;
    n_answered = 0;
    fx_init(&fx, 3);
    slow = &fx;
    for (unsigned i = 0; i < N_ASKS; i++)
        submit_until(&fx, 0, &asks[i], REPLICA_READ, fx.now_us + 1000);
    fx_pass_time(&fx, 5000);
    while (n_answered < N_ASKS) {
        from_us = fx.now_us;
        fx_turn(&fx, 0);
        assert_true(++n_turns < 1000);
        assert_true(fx.now_us - from_us <= SHARE_US + 1000);
        if (n_answered < N_ASKS) {
            assert_int_equal(replica_deadline_us(fx.nodes[0].replica), 0);
            fx_pass_time(&fx, 2000);
        }
    }
    assert_true(n_turns > 10);
    end(&fx);
}

static void expect_told_in_time(struct fx *fx, int node, unsigned n, unsigned n_turns_least)
{
    unsigned n_turns = 0;

    while (n_answered < n) {
        uint64_t from_us = fx->now_us;

        fx_turn(fx, node);
        assert_true(++n_turns < 1000);
        /* It is asked for twice: one step more. */
        assert_true(fx->now_us - from_us <= SHARE_US + 2 * 1000);
        if (n_answered < n)
            assert_int_equal(replica_deadline_us(fx->nodes[node].replica), 0);
    }
    assert_true(n_turns >= n_turns_least);
}

/* A leader that steps down with much under way: nothing of it can succeed any more, from that turn
 * on, and all of it is told so, a share at a time. */
static void turn__what_is_lost_is_told_in_time(void **state)
{
    struct fx fx;
    int leader;
    struct fx_node *n = begin(&fx, 3, &leader);
    raft_index before = n->applied.index;

    (void)state;
    fx.cut[leader] = true;
    for (unsigned i = 0; i < N_ASKS; i++)
        submit(&fx, leader, &asks[i], i % 2 == 0 ? REPLICA_READ : REPLICA_WRITE);
    fx_turn(&fx, leader);
    assert_int_equal(n_answered, 0);
    slow = &fx;
    fx_depose(&fx, leader, fx_other(&fx, leader));
    fx_turn(&fx, leader);
    assert_true(n_answered > 0);
    assert_true(n_answered < N_ASKS);
    fx_store(&fx, leader); /* too late for any of them */
    expect_told_in_time(&fx, leader, N_ASKS, (unsigned)(N_ASKS * 1000 / (SHARE_US + 2 * 1000)) - 1);
    for (unsigned i = 0; i < N_ASKS; i++)
        assert_true(asks[i].failed);
    assert_int_equal(n->applied.index, before);
    end(&fx);
}

/* ---- clocks ---- */

/* LEASE-0, LEASE-12: for how long the machine slept, and that it did something that no clock shows, the
 * core is told before it takes a message, news of a link, or says what leaves. */
static void turn__the_core_knows_how_long_the_machine_slept(void **state)
{
    const struct raft_msg m = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .term = 1, .note = {.flags = RAFT_NOTE_SAID}};
    struct raft_msg from_peer = m;
    struct fx_node *n;
    struct fx fx;
    int leader;

    (void)state;
    n = begin(&fx, 3, &leader);
    from_peer.from = fx.nodes[(leader + 1) % 3].id;
    from_peer.to = n->id;
    from_peer.term = raft_get_term(fx_raft(&fx, leader));
    n->n_looks = 0;
    n->is_disrupted = true;
    assert_int_equal(replica_step(n->replica, &from_peer, fx.now_us), 0);
    assert_int_equal(n->n_looks, 1);
    assert_false(n->is_disrupted);
    n->is_disrupted = true;
    replica_link(n->replica, from_peer.from, true, fx.now_us);
    assert_int_equal(n->n_looks, 2);
    assert_false(n->is_disrupted);
    n->is_disrupted = true;
    fx_turn(&fx, leader);
    assert_true(n->n_looks >= 3);
    assert_false(n->is_disrupted);
    end(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turn__applies_for_its_share_only),
        cmocka_unit_test(turn__gets_on_by_one_entry_at_least),
        cmocka_unit_test(turn__log_reads_behind_the_cut_keep_their_right),
        cmocka_unit_test(turn__answers_for_its_share_only),
        cmocka_unit_test(turn__a_read_waits_for_few_slow_entries),
        cmocka_unit_test(turn__commits_in_small_steps_end_in_time),
        cmocka_unit_test(turn__applying_and_answering_both_get_on),
        cmocka_unit_test(turn__messages_leave_before_the_work),
        cmocka_unit_test(turn__what_waited_begins_in_order),
        cmocka_unit_test(turn__too_late_ones_are_told_in_time),
        cmocka_unit_test(turn__what_is_lost_is_told_in_time),
        cmocka_unit_test(turn__the_core_knows_how_long_the_machine_slept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
