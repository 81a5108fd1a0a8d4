/* A state machine that is damaged is made again from the log, while its node votes and stores: FIT-6,
 * FIT-7. */
#include "test-replica-util.h"

struct ask {
    struct replica_request rr;
    unsigned n_served;
    unsigned n_written;
    unsigned n_failed;
    char value[64]; /* "" when there is none */
    struct replica_failure failure;
    struct buf command;
    struct replica *replica;
};

static struct fx fx;

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

static struct ask *ask_of(struct replica_request *rr)
{
    return list_entry(rr, struct ask, rr);
}

static struct wire_slice key_of(const char *name)
{
    static struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, name, strlen(name)), 0);
    return (struct wire_slice){(const char *)key.bytes, key.len};
}

static void on_served(struct replica_request *rr, const struct replica_view *view)
{
    struct ask *a = ask_of(rr);
    struct command_value v;

    if (view->get(view->ctx, key_of("k"), &v) != 0) {
        assert_true(replica_read_failed(a->replica, rr));
        return;
    }
    a->n_served++;
    if (v.exists)
        (void)snprintf(a->value, sizeof(a->value), "%.*s", (int)v.text.len, v.text.data);
}

static void on_written(struct replica_request *rr, const struct command_result *result)
{
    (void)result;
    ask_of(rr)->n_written++;
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    ask_of(rr)->n_failed++;
    ask_of(rr)->failure = *f;
}

static void ask_in(struct ask *a, int node, struct replica_session *session, enum replica_kind kind,
                   const char *text)
{
    struct command c = {.op = COMMAND_WRITE, .key = key_of("k")};

    buf_done(&a->command);
    memset(a, 0, sizeof(*a));
    a->replica = fx.nodes[node].replica;
    a->rr.kind = kind;
    a->rr.session = session;
    a->rr.deadline_us = UINT64_MAX;
    a->rr.served = on_served;
    a->rr.written = on_written;
    a->rr.failed = on_failed;
    if (kind == REPLICA_WRITE) {
        c.value = (struct wire_slice){text, strlen(text)};
        assert_int_equal(command_encode(&c, &a->command), 0);
        a->rr.command = a->command.data;
        a->rr.command_len = a->command.len;
    }
    replica_submit(a->replica, &a->rr, fx.now_us);
}

static void ask(struct ask *a, int node, enum replica_kind kind, const char *text)
{
    ask_in(a, node, NULL, kind, text);
}

static bool pending(const struct ask *a)
{
    return a->n_served + a->n_written + a->n_failed == 0;
}

static void write_through(int node, const char *text)
{
    struct ask a = {.command = BUF_INIT};

    ask(&a, node, REPLICA_WRITE, text);
    fx_settle(&fx);
    assert_int_equal(a.n_written, 1);
    buf_done(&a.command);
}

static void expect_read(int node, enum replica_kind kind, const char *text)
{
    struct ask a = {.command = BUF_INIT};

    ask(&a, node, kind, NULL);
    fx_settle(&fx);
    assert_int_equal(a.n_served, 1);
    assert_string_equal(a.value, text);
}

static void expect_rebuilt(int node)
{
    assert_int_equal(fx.nodes[node].n_fatal, 0);
    assert_int_equal(fx.nodes[node].n_rebuilds, 1);
    assert_false(replica_rebuilding(fx.nodes[node].replica));
    assert_int_equal(raft_get_fitness(fx_raft(&fx, node)), RAFT_FIT);
    expect_read(node, REPLICA_READ_LOCAL, "1");
}

static int three(void)
{
    int l;

    fx_init(&fx, 3);
    l = fx_elect(&fx);
    write_through(l, "1");
    return l;
}

/* ---- a leader ---- */

/* The read fails so that it can be asked again, another leads without an election timeout, and this
 * one is made anew. */
static void rebuild__a_damaged_record_at_a_leader(void **state)
{
    static const enum replica_kind kinds[] = {REPLICA_READ, REPLICA_READ_LOG, REPLICA_READ_LOCAL};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct ask a = {.command = BUF_INIT};
        int l = three();

        fx.nodes[l].fail_get = FX_DAMAGED;
        ask(&a, l, kinds[i], NULL);
        fx_settle(&fx);
        assert_int_equal(a.n_failed, 1);
        assert_int_equal(a.failure.error, WIRE_ERROR_ROLE_CHANGED);
        assert_false(a.failure.after_append);
        fx_advance(&fx, 2 * FX_HEARTBEAT_US);
        assert_int_not_equal(fx_leader(&fx), l);
        assert_int_not_equal(fx_leader(&fx), -1);
        expect_read(fx_leader(&fx), REPLICA_READ, "1");
        expect_rebuilt(l);
        fx_done(&fx);
    }
    fx_init(&fx, 1); /* for the teardown */
}

/* SPACE-6: no room for an empty state is no end either. It is tried again, and meanwhile the node
 * votes and stores. */
static void rebuild__a_full_disk_is_waited_for(void **state)
{
    int l = three();
    unsigned n_steps = 0;
    struct ask a = {.command = BUF_INIT};

    (void)state;
    fx.nodes[l].fail_get = FX_DAMAGED;
    fx.nodes[l].n_full_rebuilds = 5;
    ask(&a, l, REPLICA_READ, NULL);
    fx_settle(&fx);
    while (fx.nodes[l].n_full_rebuilds > 0) {
        assert_true(replica_rebuilding(fx.nodes[l].replica));
        assert_int_equal(fx.nodes[l].n_rebuilds, 0);
        fx_advance(&fx, FX_HEARTBEAT_US);
        assert_true(++n_steps < 50);
    }
    assert_true(n_steps * FX_HEARTBEAT_US >= 4 * STATE_RETRY_US);
    fx_advance(&fx, 2 * STATE_RETRY_US);
    expect_rebuilt(l);
}

/* Whoever asks at the same time is not answered from what was just found damaged, nor told that
 * nothing is there. */
static void rebuild__reads_behind_it_fail_too(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    int l;

    (void)state;
    l = three();
    fx.nodes[l].fail_get = FX_DAMAGED;
    for (unsigned i = 0; i < 3; i++)
        ask(&a[i], l, REPLICA_READ, NULL);
    fx_settle(&fx);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(a[i].n_failed, 1);
        assert_int_equal(a[i].failure.error, WIRE_ERROR_ROLE_CHANGED);
    }
    assert_int_equal(fx.nodes[l].n_damaged, 1); /* found once, and not looked at again */
}

/* Alone it must be its own successor, and nobody serves in between. */
static void rebuild__a_group_of_one(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct ask w = {.command = BUF_INIT};

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    write_through(0, "1");
    fx.nodes[0].fail_get = FX_DAMAGED;
    ask(&a, 0, REPLICA_READ, NULL);
    fx_settle(&fx);
    assert_int_equal(a.n_failed, 1);
    assert_int_equal(fx_leader(&fx), -1);
    ask(&w, 0, REPLICA_READ, NULL); /* waits for the next leader, as it does without one */
    fx_settle(&fx);
    assert_true(pending(&w));
    assert_int_equal(fx_elect(&fx), 0);
    fx_settle(&fx);
    assert_int_equal(w.n_served, 1);
    assert_string_equal(w.value, "1");
    expect_rebuilt(0);
}

/* READ-16: the leadership that a damaged state costs takes the reads with it at once, in a turn that
 * has no time left, too. */
static void rebuild__its_reads_fail_in_a_turn_that_is_over(void **state)
{
    struct replica_session session = {0};
    static struct ask before, w, a, local; /* some wait to the end when the test fails */

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    write_through(0, "1");
    ask(&before, 0, REPLICA_WRITE, "2");
    fx_turn(&fx, 0);
    fx_store(&fx, 0);
    fx.nodes[0].apply_us = 5000; /* more than a turn has */
    fx.nodes[0].fail_get = FX_DAMAGED;
    ask_in(&w, 0, &session, REPLICA_WRITE, "3");
    ask_in(&a, 0, &session, REPLICA_READ, NULL); /* waits until that is committed */
    ask(&local, 0, REPLICA_READ_LOCAL, NULL);
    fx_turn(&fx, 0);
    assert_int_equal(fx.nodes[0].n_damaged, 1);
    assert_int_not_equal(raft_get_role(fx_raft(&fx, 0)), RAFT_LEADER);
    assert_int_equal(a.n_failed, 1);
    assert_int_equal(w.n_failed, 1);
}

/* FIT-6: damaged again within REBUILD_AGAIN_US it leads before it may be emptied, for nobody else
 * does, and then there is nobody who could take over. */
static void rebuild__a_group_of_one_twice(void **state)
{
    static struct ask w; /* waits to the end when the test fails */

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    write_through(0, "1");
    for (unsigned i = 1; i <= 2; i++) {
        replica_rebuild(fx.nodes[0].replica, fx.now_us);
        fx_settle(&fx);
        fx_advance(&fx, 6 * FX_ELECTION_US);
        assert_int_equal(fx.nodes[0].n_rebuilds, 1);
    }
    assert_int_equal(raft_get_role(fx_raft(&fx, 0)), RAFT_LEADER);
    assert_true(replica_rebuilding(fx.nodes[0].replica));
    ask(&w, 0, REPLICA_READ, NULL);
    fx_advance(&fx, REBUILD_AGAIN_US);
    assert_int_equal(w.n_served, 1);
    assert_string_equal(w.value, "1");
    assert_int_equal(fx.nodes[0].n_rebuilds, 2);
    assert_int_equal(fx.nodes[0].n_fatal, 0);
}

/* FIT-4: with nobody else there it has nothing to win by leading, and to be made again it would only
 * have to step down: term and log stay as they are until there is room. */
static void rebuild__a_group_of_one_waits_for_room(void **state)
{
    static struct ask w; /* waits to the end when the test fails */
    struct fx_node *n = &fx.nodes[0];
    struct raft_status before;
    struct raft_status after;

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    write_through(0, "1");
    raft_get_status(fx_raft(&fx, 0), &before);
    n->n_full_rebuilds = UINT32_MAX;
    replica_rebuild(n->replica, fx.now_us);
    ask(&w, 0, REPLICA_READ, NULL);
    fx_advance(&fx, REBUILD_AGAIN_US);
    raft_get_status(fx_raft(&fx, 0), &after);
    assert_int_equal(after.current_term, before.current_term);
    assert_int_equal(after.last_index, before.last_index);
    assert_true(UINT32_MAX - n->n_full_rebuilds >= REBUILD_AGAIN_US / STATE_RETRY_US / 2);
    assert_true(replica_rebuilding(n->replica));
    assert_true(pending(&w));
    n->n_full_rebuilds = 0;
    fx_advance(&fx, STATE_RETRY_US + 2 * FX_ELECTION_US);
    assert_int_equal(w.n_served, 1);
    assert_string_equal(w.value, "1");
    expect_rebuilt(0);
}

/* FIT-6: while it still leads, for want of a better one, what is committed is not applied to what is
 * damaged; the write is answered when the new state holds it. */
static void rebuild__nothing_is_applied_to_a_damaged_state(void **state)
{
    struct ask w = {.command = BUF_INIT};
    struct ask a = {.command = BUF_INIT};
    raft_index applied;
    int l;

    (void)state;
    l = three();
    for (int i = 0; i < 3; i++) {
        fx.nodes[i].stays_unfit = i != l;
        if (i != l)
            replica_set_fit(fx.nodes[i].replica, RAFT_UNFIT, fx.now_us);
    }
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    fx.nodes[l].fail_get = FX_DAMAGED;
    applied = fx.nodes[l].applied.index;
    ask(&w, l, REPLICA_WRITE, "1");
    ask(&a, l, REPLICA_READ_LOCAL, NULL);
    fx_turn(&fx, l); /* the write is in the log, the read finds the damage */
    assert_int_equal(a.n_failed, 1);
    fx_advance(&fx, FX_ELECTION_US / 2);
    assert_int_equal(raft_get_role(fx_raft(&fx, l)), RAFT_LEADER);
    assert_true(raft_get_commit_index(fx_raft(&fx, l)) > applied);
    assert_true(fx.nodes[l].applied.index == applied);
    assert_true(pending(&w));
    fx_advance(&fx, FX_ELECTION_US);
    assert_int_not_equal(raft_get_role(fx_raft(&fx, l)), RAFT_LEADER);
    assert_int_equal(w.n_written, 1);
    expect_rebuilt(l);
    buf_done(&w.command);
}

/* ---- anybody ---- */

/* FIT-7: whatever function of the state says it, and whoever hears it. */
static void rebuild__damage_is_no_end(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 4; what++) {
        static struct ask a;
        struct fx_node *n;
        int f;
        int l = three();

        f = what % 2 == 0 ? l : fx_other(&fx, l);
        n = &fx.nodes[f];
        if (what == 0)
            n->fail_apply = FX_DAMAGED;
        else if (what == 1)
            n->fail_begin = FX_DAMAGED;
        else if (what == 2)
            n->fail_commit = FX_DAMAGED;
        else
            n->fail_read = FX_DAMAGED;
        ask(&a, what == 3 ? f : l, what == 3 ? REPLICA_READ_LOCAL : REPLICA_WRITE, "1");
        fx_settle(&fx);
        assert_true(n->n_damaged > 0);
        fx_advance(&fx, 3 * FX_ELECTION_US);
        assert_int_equal(what == 3 ? a.n_served : a.n_written, 1);
        assert_int_equal(n->n_fatal, 0);
        write_through(fx_elect(&fx), "1");
        expect_rebuilt(f);
        buf_done(&a.command);
        fx_done(&fx);
    }
    fx_init(&fx, 1);
}

/* FIT-6: a client that has seen it all does not see it empty; it waits, as long as it may. */
static void rebuild__local_reads_wait(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    int f;

    (void)state;
    f = fx_other(&fx, three());
    fx.nodes[f].stays_unfit = true;
    replica_rebuild(fx.nodes[f].replica, fx.now_us);
    ask(&a[0], f, REPLICA_READ_LOCAL, NULL);
    fx_turn(&fx, f);
    replica_cancel(fx.nodes[f].replica, &a[0].rr);
    ask(&a[0], f, REPLICA_READ_LOCAL, NULL);
    replica_cancel(fx.nodes[f].replica, &a[0].rr);
    a[0].rr.deadline_us = fx.now_us + FX_ELECTION_US / 2;
    replica_submit(fx.nodes[f].replica, &a[0].rr, fx.now_us);
    ask(&a[1], f, REPLICA_READ_LOCAL, NULL);
    fx_settle(&fx);
    assert_true(replica_deadline_us(fx.nodes[f].replica) > fx.now_us); /* and nobody spins */
    assert_true(pending(&a[0]) && pending(&a[1]));
    fx_advance(&fx, FX_ELECTION_US);
    assert_int_equal(a[0].n_failed, 1);
    assert_int_equal(a[0].failure.error, WIRE_ERROR_TIMEOUT);
    assert_string_equal(a[0].failure.stage, "apply");
    fx.nodes[f].stays_unfit = false;
    fx_settle(&fx);
    fx_settle(&fx);
    assert_int_equal(a[1].n_served, 1);
    assert_string_equal(a[1].value, "1");
}

/* FIT-1: the rebuilt one is needed for each commit meanwhile, and acknowledges. */
static void rebuild__it_votes_and_stores_meanwhile(void **state)
{
    int l;
    int f;

    (void)state;
    l = three();
    f = fx_other(&fx, l);
    fx.cut[3 - l - f] = true;
    fx.nodes[f].stays_unfit = true;
    replica_rebuild(fx.nodes[f].replica, fx.now_us);
    write_through(l, "1");
    expect_read(l, REPLICA_READ, "1");
    fx.nodes[f].stays_unfit = false;
    fx_settle(&fx);
    expect_rebuilt(f);
}

/* A disk on which every state is damaged is not worn out. */
static void rebuild__not_again_at_once(void **state)
{
    struct fx_node *n;
    int f;

    (void)state;
    f = fx_other(&fx, three());
    n = &fx.nodes[f];
    replica_rebuild(n->replica, fx.now_us);
    fx_settle(&fx);
    assert_int_equal(n->n_rebuilds, 1);
    replica_rebuild(n->replica, fx.now_us);
    fx_advance(&fx, REBUILD_AGAIN_US - 2 * FX_ELECTION_US);
    assert_int_equal(n->n_rebuilds, 1);
    assert_true(replica_rebuilding(n->replica));
    fx_advance(&fx, 3 * FX_ELECTION_US);
    assert_int_equal(n->n_rebuilds, 2);
    assert_false(replica_rebuilding(n->replica));
    expect_read(f, REPLICA_READ_LOCAL, "1");
}

static void rebuild__that_fails_is_the_end(void **state)
{
    int f;

    (void)state;
    f = fx_other(&fx, three());
    fx.nodes[f].fail_rebuild = -EIO;
    replica_rebuild(fx.nodes[f].replica, fx.now_us);
    fx_turn(&fx, f);
    assert_int_equal(fx.nodes[f].n_fatal, 1);
    assert_int_equal(fx.nodes[f].fatal_error, -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(rebuild__##name, teardown)
        T(a_damaged_record_at_a_leader),
        T(a_full_disk_is_waited_for),
        T(reads_behind_it_fail_too),
        T(a_group_of_one),
        T(its_reads_fail_in_a_turn_that_is_over),
        T(a_group_of_one_twice),
        T(a_group_of_one_waits_for_room),
        T(nothing_is_applied_to_a_damaged_state),
        T(damage_is_no_end),
        T(local_reads_wait),
        T(it_votes_and_stores_meanwhile),
        T(not_again_at_once),
        T(that_fails_is_the_end),
    };

    return cmocka_run_group_tests_name("replica-rebuild", tests, NULL, NULL);
}
