/* Session reads: not answered from less than the client has seen, on any node, and no longer waited
 * for than they may (TOKEN-1). */
#include "test-replica-util.h"

#include "base/limits.h"
#include "base/prng.h"
#include "base/slice.h"

struct ask {
    struct replica_request rr;
    unsigned n_done;
    bool failed;
    struct replica_failure failure;
    struct replica_view view;
    raft_index at; /* served: of the state */
};

static struct wire_slice key_of(const char *name)
{
    static struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, name, strlen(name)), 0);
    return (struct wire_slice){(const char *)key.bytes, key.len};
}

static void on_served(struct replica_request *rr, const struct replica_view *view)
{
    struct ask *a = list_entry(rr, struct ask, rr);
    struct command_value v;

    assert_int_equal(++a->n_done, 1);
    a->view = *view;
    a->at = view->last_applied.index;
    assert_int_equal(view->get(view->ctx, key_of("k"), &v), 0);
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct ask *a = list_entry(rr, struct ask, rr);

    assert_int_equal(++a->n_done, 1);
    a->failed = true;
    a->failure = *f;
}

static void ask_until(struct fx *fx, int node, struct ask *a, enum replica_kind kind,
                      raft_index min_index, uint64_t deadline_us)
{
    memset(a, 0, sizeof(*a));
    a->rr = (struct replica_request){.kind = kind,
                                     .deadline_us = deadline_us,
                                     .min_index = min_index,
                                     .served = on_served,
                                     .failed = on_failed};
    replica_submit(fx->nodes[node].replica, &a->rr, fx->now_us);
}

static void ask(struct fx *fx, int node, struct ask *a, raft_index min_index)
{
    ask_until(fx, node, a, REPLICA_READ_LOCAL, min_index, fx->now_us + 60000000);
}

/* Entries that belong to no request. */
static void propose(struct fx *fx, int node, unsigned n)
{
    struct command c = {.op = COMMAND_WRITE, .key = key_of("k"), .value = {"1", 1}};
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry_id id;

    assert_int_equal(command_encode(&c, &b), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(raft_propose(replica_raft_mutable(fx->nodes[node].replica),
                                      RAFT_ENTRY_COMMAND, b.data, b.len, &id),
                         0);
}

static raft_index applied(const struct fx *fx, int i)
{
    return replica_last_applied(fx->nodes[i].replica);
}

static int begin(struct fx *fx, int n)
{
    int leader;

    fx_init(fx, n);
    leader = fx_elect(fx);
    fx_settle(fx);
    fx_advance(fx, 2 * FX_HEARTBEAT_US); /* all have applied what there is */
    return leader;
}

/* A follower that lags answers nothing that is older than what was seen elsewhere. */
static void session__a_read_waits_for_what_was_seen(void **state)
{
    struct ask a[4];
    struct fx fx;
    raft_index seen;
    int leader = begin(&fx, 3);
    int f = fx_other(&fx, leader);

    (void)state;
    fx.cut[f] = true;
    propose(&fx, leader, 3);
    fx_settle(&fx);
    seen = applied(&fx, leader);
    assert_true(applied(&fx, f) + 3 == seen);
    ask(&fx, f, &a[0], seen - 3); /* as much is here */
    ask(&fx, f, &a[1], seen);
    ask(&fx, f, &a[2], seen - 1);
    ask(&fx, f, &a[3], 0);
    fx_turn(&fx, f);
    assert_int_equal(a[0].n_done, 1);
    assert_int_equal(a[3].n_done, 1);
    assert_int_equal(a[1].rr.stage, REPLICA_AWAITED);
    assert_int_equal(a[2].rr.stage, REPLICA_AWAITED);
    fx.cut[f] = false;
    while (applied(&fx, f) < seen) {
        for (int i = 1; i < 3; i++)
            assert_int_equal(a[i].n_done, 0);
        fx_advance(&fx, FX_HEARTBEAT_US);
    }
    fx_settle(&fx);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a[i].n_done, 1);
        assert_false(a[i].failed);
        assert_true(a[i].at >= a[i].rr.min_index);
        assert_int_equal(a[i].view.round, 0); /* it promises nothing else */
    }
    fx_done(&fx);
}

static void session__what_is_out_of_reach_ends_in_time(void **state)
{
    const raft_index far = RAFT_INDEX_MAX;
    struct ask a[2];
    struct fx fx;
    int leader = begin(&fx, 3);

    (void)state;
    ask_until(&fx, leader, &a[0], REPLICA_READ_LOCAL, far, fx.now_us + 100000);
    ask_until(&fx, leader, &a[1], REPLICA_READ, far, fx.now_us + 100000);
    fx_settle(&fx);
    assert_int_equal(a[0].rr.stage, REPLICA_AWAITED);
    assert_int_equal(a[1].rr.stage,
                     REPLICA_AWAITED); /* it has its right, and not what it asks for */
    fx_advance(&fx, 90000);
    assert_int_equal(a[0].n_done + a[1].n_done, 0);
    fx_advance(&fx, 20000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(a[i].n_done, 1);
        assert_true(a[i].failed);
        assert_int_equal(a[i].failure.error, WIRE_ERROR_TIMEOUT);
        assert_false(a[i].failure.after_append);
        assert_string_equal(a[i].failure.stage, "apply");
        assert_int_equal(a[i].failure.cause, REPLICA_CAUSE_NONE);
    }
    /* Where nobody is heard that is why. */
    fx.cut[leader] = true;
    fx_lose(&fx);
    fx_advance(&fx, 4 * FX_ELECTION_US);
    ask_until(&fx, leader, &a[0], REPLICA_READ_LOCAL, far, fx.now_us + 100000);
    fx_advance(&fx, 110000);
    assert_int_equal(a[0].failure.error, WIRE_ERROR_NETWORK);
    fx_done(&fx);
}

/* A follower of five hears its leader and nobody else, which is no quorum, and not why it waits. */
static void session__follower_says_nothing_of_those_it_does_not_hear(void **state)
{
    struct ask a;
    struct fx fx;
    int leader = begin(&fx, 5);
    int f = leader == 0 ? 1 : 0;

    (void)state;
    fx_advance(&fx, 10 * FX_ELECTION_US);
    ask_until(&fx, f, &a, REPLICA_READ_LOCAL, RAFT_INDEX_MAX, fx.now_us + 100000);
    fx_advance(&fx, 110000);
    assert_true(a.failed);
    assert_int_equal(a.failure.reached, 2);
    assert_int_equal(a.failure.needed, 3);
    assert_int_equal(a.failure.error, WIRE_ERROR_TIMEOUT);
    assert_string_equal(a.failure.stage, "apply");
    assert_int_equal(a.failure.cause, REPLICA_CAUSE_NONE);
    fx_done(&fx);
}

/* A linearizable read that carries a token has both: its proof, and what the token says. */
static void session__a_confirmed_read_waits_for_it_too(void **state)
{
    struct ask a;
    struct fx fx;
    raft_index next;
    int leader = begin(&fx, 3);

    (void)state;
    next = fx_last_index(&fx, leader) + 1;
    ask_until(&fx, leader, &a, REPLICA_READ, next, fx.now_us + 60000000);
    fx_settle(&fx);
    assert_int_equal(a.rr.stage, REPLICA_AWAITED);
    propose(&fx, leader, 1);
    fx_settle(&fx);
    assert_int_equal(a.n_done, 1);
    assert_false(a.failed);
    assert_int_equal(a.at, next);
    assert_true(a.view.round > a.view.arrival_round);
    assert_true(a.view.read_index < next);
    /* Of what is committed, and not applied yet: in the queue of those with an anchor. */
    fx.nodes[leader].apply_us = 1000000;
    propose(&fx, leader, 5);
    next = fx_last_index(&fx, leader);
    fx_turn(&fx, leader);
    ask_until(&fx, leader, &a, REPLICA_READ, next, fx.now_us + 60000000);
    fx_settle(&fx);
    assert_int_equal(a.n_done, 1);
    assert_true(a.at >= next);
    fx_done(&fx);
}

/* ---- many ---- */

#define N_ASKS 500u
static struct ask asks[N_ASKS];

/* In any order, and some of them go before their time. */
static void session__each_is_answered_when_its_index_is_there(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct prng p;
        struct fx fx;
        int leader = begin(&fx, 1);
        const raft_index first = applied(&fx, leader) + 1;
        unsigned n_left = N_ASKS;

        prng_init(&p, seed);
        for (unsigned i = 0; i < N_ASKS; i++)
            ask_until(&fx, leader, &asks[i], REPLICA_READ_LOCAL, first + prng_below(&p, 200),
                      fx.now_us + 1000000 + prng_below(&p, 20000000));
        while (n_left > 0) {
            const unsigned i = (unsigned)prng_below(&p, N_ASKS);
            const uint64_t what = prng_below(&p, 4);

            if (what == 0 && asks[i].n_done == 0) {
                replica_cancel(fx.nodes[leader].replica, &asks[i].rr);
                asks[i].n_done = 2;
            } else if (what == 1) {
                fx_advance(&fx, prng_below(&p, 300000));
            } else if (applied(&fx, leader) < first + 200) {
                propose(&fx, leader, 1 + (unsigned)prng_below(&p, 3));
            }
            fx_settle(&fx);
            n_left = 0;
            for (unsigned k = 0; k < N_ASKS; k++) {
                const struct ask *a = &asks[k];

                n_left += a->n_done == 0;
                if (a->n_done == 0)
                    assert_true(a->rr.min_index > applied(&fx, leader));
                if (a->n_done == 1 && !a->failed)
                    assert_true(a->at >= a->rr.min_index);
                if (a->n_done == 1 && a->failed)
                    assert_int_equal(a->failure.error, WIRE_ERROR_TIMEOUT);
            }
        }
        fx_done(&fx);
    }
}

/* One entry lets all of them go: in as many turns as it takes, and others are answered between
 * them. */
static void session__many_are_answered_in_steps(void **state)
{
    struct ask other[2];
    struct fx fx;
    int leader = begin(&fx, 1);
    const raft_index next = applied(&fx, leader) + 1;
    const uint64_t share_us = slice_share_us(FX_HEARTBEAT_US);
    unsigned n_turns = 0;
    unsigned n_done;

    (void)state;
    for (unsigned i = 0; i < N_ASKS; i++)
        ask(&fx, leader, &asks[i], next);
    fx_settle(&fx);
    propose(&fx, leader, 1);
    fx_turn(&fx, leader);
    fx.nodes[leader].get_us = 100;
    fx_store(&fx, leader);
    fx_turn(&fx, leader);
    ask(&fx, leader, &other[0], 0);
    ask_until(&fx, leader, &other[1], REPLICA_READ, 0, UINT64_MAX);
    do {
        const uint64_t from_us = fx.now_us;

        assert_int_equal(replica_deadline_us(fx.nodes[leader].replica), 0);
        fx_turn(&fx, leader);
        assert_true(fx.now_us - from_us <= share_us + 300);
        n_done = 0;
        for (unsigned i = 0; i < N_ASKS; i++)
            n_done += asks[i].n_done;
        if (++n_turns == 2)
            assert_int_equal(other[0].n_done + other[1].n_done, 2);
    } while (n_done < N_ASKS);
    assert_true(n_turns > 10);
    fx_done(&fx);
}

/* ---- ends ---- */

static void session__shutting_down_ends_them(void **state)
{
    struct ask a;
    struct fx fx;
    int leader = begin(&fx, 3);

    (void)state;
    ask(&fx, leader, &a, applied(&fx, leader) + 1);
    fx_settle(&fx);
    replica_quiesce(fx.nodes[leader].replica);
    assert_int_equal(a.n_done, 1);
    assert_int_equal(a.failure.error, WIRE_ERROR_CANCELLED);
    fx_done(&fx);
}

/* While a state is made again it holds less than it did: they wait for what it is to hold. */
static void session__they_outlive_a_state_that_is_made_again(void **state)
{
    struct ask a[3];
    struct fx fx;
    int leader = begin(&fx, 3);
    int f = fx_other(&fx, leader);
    raft_index seen;

    (void)state;
    propose(&fx, leader, 5);
    fx_settle(&fx);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    seen = applied(&fx, f);
    replica_rebuild(fx.nodes[f].replica, fx.now_us);
    ask(&fx, f, &a[0], seen);     /* was there, and will be */
    ask(&fx, f, &a[1], seen + 1); /* was not */
    fx.nodes[f].apply_us = 10000; /* an entry in each turn */
    fx_turn(&fx, f);
    assert_int_equal(fx.nodes[f].n_rebuilds, 1);
    ask(&fx, f, &a[2], applied(&fx, f) + 1);
    while (applied(&fx, f) < seen - 1) {
        fx_turn(&fx, f);
        assert_int_equal(a[0].n_done + a[1].n_done + a[2].n_done, 0);
    }
    fx.nodes[f].apply_us = 0;
    fx_settle(&fx);
    fx_advance(&fx, 1000000);
    assert_int_equal(fx.nodes[f].n_rebuilds, 1);
    assert_int_equal(a[0].n_done, 1);
    assert_int_equal(a[2].n_done, 1);
    assert_true(a[0].at >= seen);
    assert_true(a[2].at >= seen); /* nor does anybody see it go back */
    assert_int_equal(a[1].n_done, 0);
    propose(&fx, fx_leader(&fx), 1);
    fx_settle(&fx);
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    assert_int_equal(a[1].n_done, 1);
    assert_false(a[1].failed);
    fx_done(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session__a_read_waits_for_what_was_seen),
        cmocka_unit_test(session__what_is_out_of_reach_ends_in_time),
        cmocka_unit_test(session__follower_says_nothing_of_those_it_does_not_hear),
        cmocka_unit_test(session__a_confirmed_read_waits_for_it_too),
        cmocka_unit_test(session__each_is_answered_when_its_index_is_there),
        cmocka_unit_test(session__many_are_answered_in_steps),
        cmocka_unit_test(session__shutting_down_ends_them),
        cmocka_unit_test(session__they_outlive_a_state_that_is_made_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
