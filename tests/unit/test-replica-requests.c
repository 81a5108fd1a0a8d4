/* The replica: who is answered, when, and with what right. Every stage in which a request can be is
 * met by every way in which it can end. */
#include "test-replica-util.h"

/* ---- requests ---- */

struct ask {
    struct replica_request rr;
    struct fx *fx;
    int node;
    unsigned n_served;
    unsigned n_written;
    unsigned n_failed;
    unsigned order; /* among all that ended */
    struct replica_view view;
    char value[64]; /* "" when there is none */
    struct command_result result;
    struct replica_failure failure;
    struct buf command;
    struct ask *next; /* submitted from inside the callback */
};

static unsigned n_ended;

static void submit(struct ask *a)
{
    replica_submit(a->fx->nodes[a->node].replica, &a->rr, a->fx->now_us);
}

static void ended(struct ask *a)
{
    a->order = ++n_ended;
    assert_int_equal(a->n_served + a->n_written + a->n_failed, 1); /* exactly one callback */
    if (a->next != NULL)
        submit(a->next);
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

    a->n_served++;
    a->view = *view;
    assert_int_equal(view->get(view->ctx, key_of("k"), &v), 0);
    if (v.exists)
        (void)snprintf(a->value, sizeof(a->value), "%.*s", (int)v.text.len, v.text.data);
    ended(a);
}

static void on_written(struct replica_request *rr, const struct command_result *result)
{
    struct ask *a = ask_of(rr);

    a->n_written++;
    a->result = *result;
    ended(a);
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct ask *a = ask_of(rr);

    a->n_failed++;
    a->failure = *f;
    ended(a);
}

static void ask_init(struct ask *a, struct fx *fx, int node, enum replica_kind kind)
{
    buf_done(&a->command);
    memset(a, 0, sizeof(*a));
    a->fx = fx;
    a->node = node;
    a->rr.kind = kind;
    a->rr.deadline_us = UINT64_MAX;
    a->rr.served = on_served;
    a->rr.written = on_written;
    a->rr.failed = on_failed;
}

static void write_init(struct ask *a, struct fx *fx, int node, const char *text)
{
    struct command c = {.op = COMMAND_WRITE, .key = key_of("k"), .value = {text, strlen(text)}};

    ask_init(a, fx, node, REPLICA_WRITE);
    assert_int_equal(command_encode(&c, &a->command), 0);
    a->rr.command = a->command.data;
    a->rr.command_len = a->command.len;
}

static void ask_write(struct ask *a, struct fx *fx, int node, struct replica_session *session,
                      const char *text)
{
    write_init(a, fx, node, text);
    a->rr.session = session;
    submit(a);
}

static void ask_read(struct ask *a, struct fx *fx, int node, struct replica_session *session,
                     enum replica_kind kind)
{
    ask_init(a, fx, node, kind);
    a->rr.session = session;
    submit(a);
}

static void ask_done(struct ask *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        buf_done(&a[i].command);
}

static bool pending(const struct ask *a)
{
    return a->n_served + a->n_written + a->n_failed == 0;
}

static void expect_failed(const struct ask *a, enum wire_error error, bool after_append)
{
    assert_int_equal(a->n_failed, 1);
    assert_int_equal(a->failure.error, error);
    assert_int_equal(a->failure.after_append, after_append);
}

static void write_through(struct fx *fx, int node, const char *text)
{
    struct ask a = {.command = BUF_INIT};

    ask_write(&a, fx, node, NULL, text);
    fx_settle(fx);
    assert_int_equal(a.n_written, 1);
    ask_done(&a, 1);
}

/* Entries that belong to no request. */
static void propose_many(struct fx *fx, int node, unsigned n)
{
    struct command c = {.op = COMMAND_WRITE, .key = key_of("many"), .value = {"1", 1}};
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry_id id;

    assert_int_equal(command_encode(&c, &b), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(raft_propose(replica_raft_mutable(fx->nodes[node].replica),
                                      RAFT_ENTRY_COMMAND, b.data, b.len, &id),
                         0);
}

/* What this node's state holds; "" when there is none. */
static const char *text_at(struct fx *fx, int i)
{
    const struct fx_value *v = fx_find(&fx->nodes[i], key_of("k"));

    return v != NULL ? v->text : "";
}

static struct replica_stats stats_of(const struct fx *fx, int i)
{
    struct replica_stats st;

    replica_get_stats(fx->nodes[i].replica, &st);
    return st;
}

/* Two sides that do not hear each other: the leader, and the rest. */
static void isolate(struct fx *fx, int leader)
{
    fx->cut[leader] = true;
    fx_lose(fx);
}

/* More entries than two turns can apply are committed; the read rides on a round that is confirmed
 * before the second turn: it is confirmed, and waits for apply. Returns the anchor. */
#define BACKLOG 40000u
static raft_index make_confirmed_read(struct fx *fx, int l, struct ask *a)
{
    raft_index last;

    isolate(fx, l);
    fx->nodes[l].holds_store = true;
    propose_many(fx, l, BACKLOG);
    fx_turn(fx, l);
    fx_store(fx, l);
    last = fx_last_index(fx, l);
    fx_ack_append(fx, l, fx_other(fx, l), last);
    ask_read(a, fx, l, NULL, REPLICA_READ);
    fx_turn(fx, l);
    fx_ack_round(fx, l, fx_other(fx, l), fx_last_round(fx, l));
    fx_turn(fx, l);
    assert_int_equal(a->rr.stage, REPLICA_CONFIRMED);
    assert_true(replica_last_applied(fx->nodes[l].replica) < last);
    assert_true(pending(a));
    return last;
}

/* ---- waiting ---- */

static void replica__requests_wait_for_a_leader(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct replica_session session = {0};
    struct fx fx;
    int l = -1;

    (void)state;
    fx_init(&fx, 3);
    fx_settle(&fx);
    ask_write(&a[0], &fx, 0, &session, "1");
    ask_read(&a[1], &fx, 0, &session, REPLICA_READ);
    ask_read(&a[2], &fx, 0, NULL, REPLICA_READ_LOG);
    ask_read(&a[3], &fx, 0, NULL, REPLICA_READ_LOCAL);
    assert_int_equal(stats_of(&fx, 0).n_waiting, 3);
    fx_settle(&fx);
    assert_int_equal(a[3].n_served, 1); /* never waits */
    assert_string_equal(a[3].value, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(a[i].rr.stage, REPLICA_WAITING);
    l = fx_elect(&fx);
    fx_settle(&fx);
    if (l == 0) {
        assert_int_equal(a[0].n_written, 1);
        assert_int_equal(a[1].n_served, 1);
        assert_string_equal(a[1].value, "1"); /* the order of the session held while it waited */
        assert_int_equal(a[2].n_served, 1);
    } else {
        for (int i = 0; i < 3; i++) {
            expect_failed(&a[i], WIRE_ERROR_NOT_LEADER, false);
            assert_true(a[i].failure.leader_id == fx.nodes[l].id);
        }
    }
    assert_true(replica_idle(fx.nodes[0].replica));
    ask_done(a, 4);
    fx_done(&fx);
}

static void replica__a_group_of_one_serves_itself(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct replica_session session = {0};
    struct fx fx;

    (void)state;
    fx_init(&fx, 1);
    ask_write(&a[0], &fx, 0, &session, "\"v\"");
    ask_read(&a[1], &fx, 0, &session, REPLICA_READ);
    ask_read(&a[2], &fx, 0, &session, REPLICA_READ_LOG);
    assert_int_equal(fx_elect(&fx), 0);
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    assert_string_equal(a[1].value, "\"v\"");
    assert_true(a[1].view.round > a[1].view.arrival_round);
    assert_string_equal(a[2].value, "\"v\"");
    ask_done(a, 3);
    fx_done(&fx);
}

/* READ-14, READ-15: elected, but nothing of this term is committed yet. */
static bool no_appends(const struct fx *fx, const struct raft_msg *m)
{
    (void)fx;
    return m->type != RAFT_MSG_APPEND;
}

static void replica__the_gate_parks_requests(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct raft_status st;
    struct fx fx;
    int l = -1;

    (void)state;
    fx_init(&fx, 3);
    fx.pass = no_appends;
    for (int i = 0; i < 200 && l < 0; i++) {
        fx_advance(&fx, 10000);
        for (int k = 0; k < 3; k++)
            if (raft_get_role(fx_raft(&fx, k)) == RAFT_LEADER)
                l = k;
    }
    assert_true(l >= 0);
    assert_false(raft_can_serve(fx_raft(&fx, l)));
    ask_write(&a[0], &fx, l, NULL, "1");
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ_LOG);
    fx_settle(&fx);
    for (int i = 0; i < 3; i++)
        assert_int_equal(a[i].rr.stage, REPLICA_WAITING);
    raft_get_status(fx_raft(&fx, l), &st);
    assert_int_equal(st.rounds_opened, 0); /* none for a read */
    fx.pass = NULL;
    fx_advance(&fx, 2 * FX_HEARTBEAT_US);
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    assert_int_equal(a[1].n_served, 1);
    assert_int_equal(a[2].n_served, 1);
    ask_done(a, 3);
    fx_done(&fx);
}

static void replica__others_name_the_leader(void **state)
{
    static const enum replica_kind kinds[] = {REPLICA_READ, REPLICA_READ_LOG, REPLICA_WRITE};
    struct ask a = {.command = BUF_INIT};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "5");
    fx_advance(&fx, FX_HEARTBEAT_US);
    for (unsigned i = 0; i < 3; i++) {
        if (kinds[i] == REPLICA_WRITE)
            ask_write(&a, &fx, f, NULL, "6");
        else
            ask_read(&a, &fx, f, NULL, kinds[i]);
        expect_failed(&a, WIRE_ERROR_NOT_LEADER, false); /* at once */
        assert_true(a.failure.leader_id == fx.nodes[l].id);
        assert_int_equal(a.failure.role, RAFT_FOLLOWER);
    }
    ask_read(&a, &fx, f, NULL, REPLICA_READ_LOCAL);
    assert_true(pending(&a));
    fx_settle(&fx);
    assert_string_equal(a.value, "5");
    assert_int_equal(a.view.round, 0); /* it claims nothing */
    ask_done(&a, 1);
    fx_done(&fx);
}

/* ---- writes ---- */

/* READ-3: acknowledged when a quorum has it durably, this node among it, and it is applied
 * here. */
static void replica__a_write_waits_for_the_disks(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    for (int i = 0; i < 3; i++)
        fx.nodes[i].holds_store = true;
    ask_write(&a, &fx, l, NULL, "1");
    fx_turn(&fx, l);
    assert_int_equal(fx_n_under_way(&fx, RAFT_MSG_APPEND), 2); /* while the disk writes: 10.2.1 */
    fx_settle(&fx);
    assert_true(pending(&a));
    assert_int_equal(a.rr.stage, REPLICA_PROPOSED);
    fx_store(&fx, l);
    fx_settle(&fx);
    assert_true(pending(&a)); /* one disk of three: acknowledgements wait for the others' */
    fx_store(&fx, f);
    fx_settle(&fx);
    assert_int_equal(a.n_written, 1);
    assert_true(a.result.index == fx.nodes[l].applied.index);
    ask_done(&a, 1);

    ask_write(&a, &fx, l, NULL, "2");
    fx_settle(&fx);
    fx_store(&fx, f);
    fx_store(&fx, 3 - l - f);
    fx_settle(&fx);
    assert_true(
        pending(&a)); /* a quorum without the leader: nothing is applied that it could forget */
    fx_store(&fx, l);
    fx_settle(&fx);
    assert_int_equal(a.n_written, 1);
    ask_done(&a, 1);
    fx_done(&fx);
}

static void replica__a_follower_acknowledges_what_its_disk_has(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    fx.cut[3 - l - f] = true;
    fx.nodes[f].holds_store = true;
    for (int i = 0; i < 3; i++) { /* a batch each */
        ask_write(&a[i], &fx, l, NULL, "1");
        fx_settle(&fx);
    }
    assert_int_equal(fx.nodes[f].submitted - fx.nodes[f].stored, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(pending(&a[i]));
        fx_store_to(&fx, f, fx.nodes[f].stored + 1);
        fx_settle(&fx);
        assert_int_equal(a[i].n_written, 1);
    }
    ask_done(a, 3);
    fx_done(&fx);
}

static void replica__batches_may_become_durable_late_and_together(void **state)
{
    struct ask a[5] = {{.command = BUF_INIT}};
    struct fx fx;

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    fx.nodes[0].holds_store = true;
    for (int i = 0; i < 5; i++) {
        ask_write(&a[i], &fx, 0, NULL, "1");
        fx_turn(&fx, 0);
    }
    assert_int_equal(fx.nodes[0].submitted - fx.nodes[0].stored, 5);
    fx_store_to(&fx, 0, fx.nodes[0].stored + 2);
    fx_settle(&fx);
    assert_int_equal(a[1].n_written, 1);
    assert_true(pending(&a[2]));
    fx_store(&fx, 0);
    fx_settle(&fx);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(a[i].n_written, 1);
        assert_true(i == 0 || a[i].order == a[i - 1].order + 1);
    }
    ask_done(a, 5);
    fx_done(&fx);
}

static void replica__outcomes_of_apply_reach_the_request(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct command c = {.op = COMMAND_CAS, .key = key_of("k"), .value = {"2", 1}, .from = {"1", 1}};
    struct fx fx;

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    for (int i = 0; i < 4; i++) {
        static const enum command_status expected[] = {COMMAND_KEY_NOT_FOUND, COMMAND_OK,
                                                       COMMAND_PRECONDITION_FAILED, COMMAND_OK};

        ask_init(&a, &fx, 0, REPLICA_WRITE);
        if (i == 1)
            c.op = COMMAND_WRITE; /* 2: so the cas that follows differs */
        else if (i == 3)
            c.op = COMMAND_DELETE;
        else
            c.op = COMMAND_CAS;
        if (c.op == COMMAND_DELETE) {
            c.value = (struct wire_slice){NULL, 0};
            c.from = (struct wire_slice){NULL, 0};
        } else if (c.op == COMMAND_WRITE) {
            c.from = (struct wire_slice){NULL, 0};
        } else {
            c.from = (struct wire_slice){"1", 1};
        }
        assert_int_equal(command_encode(&c, &a.command), 0);
        a.rr.command = a.command.data;
        a.rr.command_len = a.command.len;
        submit(&a);
        fx_settle(&fx);
        assert_int_equal(a.n_written, 1);
        assert_int_equal(a.result.status, expected[i]);
        assert_true(a.result.index == fx.nodes[0].applied.index);
        assert_int_equal(a.result.existed, i == 3);
    }
    ask_done(&a, 1);
    fx_done(&fx);
}

/* ---- reads ---- */

static void replica__a_read_needs_a_round_opened_after_it_arrived(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    struct fx fx;
    uint64_t first;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "1");
    fx_lose(&fx);
    isolate(&fx, l);
    ask_read(&a[0], &fx, l, NULL, REPLICA_READ);
    fx_turn(&fx, l);
    first = fx_last_round(&fx, l);
    assert_int_equal(a[0].rr.stage, REPLICA_ASKED);
    /* The second arrives while the first round is out: its acknowledgement is not one for it
     * (READ-6). */
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    fx_ack_round(&fx, l, f, first);
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_served, 1);
    assert_true(pending(&a[1]));
    assert_true(fx_last_round(&fx, l) == first + 1);
    fx_ack_round(&fx, l, f, first); /* the same once more */
    fx_turn(&fx, l);
    assert_true(pending(&a[1]));
    fx_ack_round(&fx, l, f, first + 1);
    fx_turn(&fx, l);
    assert_int_equal(a[1].n_served, 1);
    for (int i = 0; i < 2; i++) {
        assert_true(a[i].view.round > a[i].view.arrival_round);
        assert_true(a[i].view.last_applied.index >= a[i].view.read_index);
        assert_true(a[i].view.term == raft_get_term(fx_raft(&fx, l)));
        assert_string_equal(a[i].value, "1");
    }
    assert_true(a[1].view.arrival_round == first);
    ask_done(a, 2);
    fx_done(&fx);
}

static void replica__reads_of_a_turn_share_a_round(void **state)
{
    enum { N = 500 };
    struct ask *a = calloc(N, sizeof(*a));
    struct fx fx;
    uint64_t rounds;
    unsigned sent;
    int l;

    (void)state;
    assert_non_null(a);
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    rounds = fx_last_round(&fx, l);
    sent = fx.nodes[l].n_sent;
    for (unsigned i = 0; i < N; i++)
        ask_read(&a[i], &fx, l, NULL, REPLICA_READ);
    fx_settle(&fx);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(a[i].n_served, 1);
    assert_true(fx_last_round(&fx, l) == rounds + 1);
    assert_int_equal(fx.nodes[l].n_sent - sent, 2); /* one heartbeat for each follower */
    free(a);
    fx_done(&fx);
}

/* The floor of a connection's own writes (READ-58). */
static void replica__a_read_sees_the_write_sent_before_it(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct replica_session session = {0};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "1");
    isolate(&fx, l);
    ask_write(&a[0], &fx, l, &session, "2");
    ask_read(&a[1], &fx, l, &session, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ); /* of somebody else */
    fx_turn(&fx, l);
    fx_store(&fx, l);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_turn(&fx, l);
    assert_int_equal(a[2].n_served, 1); /* the write is not committed: not seeing it is right */
    assert_string_equal(a[2].value, "1");
    assert_true(pending(&a[0]));
    assert_true(pending(&a[1])); /* confirmed, but below its floor */
    assert_int_equal(a[1].rr.stage, REPLICA_ASKED);
    fx_ack_append(&fx, l, f, fx_last_index(&fx, l));
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_written, 1);
    assert_int_equal(a[1].n_served, 1);
    assert_string_equal(a[1].value, "2");
    assert_true(a[1].view.read_index >= a[0].result.index);
    assert_true(a[1].order > a[0].order);
    /* And the write first acknowledged, then read: nothing to wait for. */
    ask_read(&a[3], &fx, l, &session, REPLICA_READ);
    fx_turn(&fx, l);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_turn(&fx, l);
    assert_string_equal(a[3].value, "2");
    ask_done(a, 4);
    fx_done(&fx);
}

static void replica__a_floor_of_an_earlier_term_holds_nothing_back(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    struct replica_session session = {0};
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    ask_write(&a[0], &fx, l, &session, "1");
    fx_turn(&fx, l);
    fx_lose(&fx); /* it reaches nobody */
    fx_outdate(&fx, l, fx_other(&fx, l));
    fx_settle(&fx);
    expect_failed(&a[0], WIRE_ERROR_TERM_CHANGED, true);
    l = fx_elect(&fx);
    session.last_write.index += 1000; /* wherever the other leader's log ends */
    ask_read(&a[1], &fx, l, &session, REPLICA_READ);
    fx_settle(&fx);
    assert_int_equal(a[1].n_served, 1);
    ask_done(a, 2);
    fx_done(&fx);
}

/* READ-60: the state at exactly the marker, although later entries are applied in the same
 * transaction. */
static void replica__log_reads_see_their_marker(void **state)
{
    struct ask a[5] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    ask_read(&a[0], &fx, l, NULL, REPLICA_READ_LOG);
    ask_write(&a[1], &fx, l, NULL, "1");
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ_LOG);
    ask_write(&a[3], &fx, l, NULL, "2");
    ask_read(&a[4], &fx, l, NULL, REPLICA_READ_LOG);
    fx_settle(&fx);
    assert_string_equal(a[0].value, "");
    assert_string_equal(a[2].value, "1");
    assert_string_equal(a[4].value, "2");
    for (int i = 0; i < 5; i += 2) {
        assert_int_equal(a[i].n_served, 1);
        assert_true(a[i].view.entry.index == a[i].view.last_applied.index);
        assert_true(a[i].view.entry.term == raft_get_term(fx_raft(&fx, l)));
    }
    assert_true(a[2].view.entry.index == a[1].result.index + 1);
    assert_true(a[3].result.index == a[2].view.entry.index + 1);
    ask_done(a, 5);
    fx_done(&fx);
}

static void replica__a_callback_may_submit(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct fx fx;

    (void)state;
    fx_init(&fx, 1);
    assert_int_equal(fx_elect(&fx), 0);
    ask_init(&a[3], &fx, 0, REPLICA_READ_LOCAL);
    write_init(&a[2], &fx, 0, "2");
    a[2].next = &a[3];
    ask_init(&a[1], &fx, 0, REPLICA_READ);
    a[1].next = &a[2];
    write_init(&a[0], &fx, 0, "1");
    a[0].next = &a[1];
    submit(&a[0]);
    fx_settle(&fx);
    assert_string_equal(a[1].value, "1");
    assert_int_equal(a[2].n_written, 1);
    assert_string_equal(a[3].value, "2");
    ask_done(a, 4);
    fx_done(&fx);
}

/* ---- loss of leadership ---- */

static void replica__a_higher_term_fails_what_is_not_confirmed(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct fx fx;
    raft_term term;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "1");
    term = raft_get_term(fx_raft(&fx, l));
    isolate(&fx, l);
    ask_read(&a[0], &fx, l, NULL, REPLICA_READ);
    fx_turn(&fx, l);                             /* in a round */
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ); /* in none yet */
    ask_write(&a[2], &fx, l, NULL, "2");
    ask_read(&a[3], &fx, l, NULL, REPLICA_READ_LOG);
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    for (int i = 0; i < 4; i++) {
        expect_failed(&a[i], WIRE_ERROR_TERM_CHANGED, i == 2); /* a log read changed nothing */
        assert_true(a[i].failure.old_term == term);
        assert_true(a[i].failure.term == term + 1);
        assert_true(a[i].failure.leader_id == fx.nodes[f].id);
        assert_int_equal(a[i].failure.role, RAFT_FOLLOWER);
    }
    assert_true(replica_idle(fx.nodes[l].replica));
    ask_done(a, 4);
    fx_done(&fx);
}

/* READ-17: where both come in one turn, loss wins. */
static void replica__loss_comes_before_confirmation(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "1");
    isolate(&fx, l);
    ask_read(&a, &fx, l, NULL, REPLICA_READ);
    fx_turn(&fx, l);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    expect_failed(&a, WIRE_ERROR_TERM_CHANGED, false);
    ask_done(&a, 1);
    fx_done(&fx);
}

static void replica__what_was_committed_is_answered_all_the_same(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    isolate(&fx, l);
    ask_write(&a[0], &fx, l, NULL, "1");
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ_LOG);
    fx_turn(&fx, l);
    fx_store(&fx, l);
    fx_ack_append(&fx, l, f, fx_last_index(&fx, l)); /* committed, not applied yet */
    ask_write(&a[2], &fx, l, NULL, "2");
    ask_read(&a[3], &fx, l, NULL, REPLICA_READ_LOG);
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_written, 1);
    assert_int_equal(a[1].n_served, 1);
    assert_string_equal(a[1].value, "1");
    expect_failed(&a[2], WIRE_ERROR_TERM_CHANGED, true);
    expect_failed(&a[3], WIRE_ERROR_TERM_CHANGED, false);
    assert_true(a[2].order < a[0].order); /* first what is lost (READ-17) */
    ask_done(a, 4);
    fx_done(&fx);
}

static void replica__a_confirmed_read_outlives_the_leadership(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct fx fx;
    raft_index last;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    write_through(&fx, l, "1");
    last = make_confirmed_read(&fx, l, &a);
    fx_depose(&fx, l, fx_other(&fx, l));
    for (int i = 0; i < 10 && pending(&a); i++)
        fx_turn(&fx, l);
    assert_int_equal(raft_get_role(fx_raft(&fx, l)), RAFT_FOLLOWER);
    assert_int_equal(a.n_served, 1);
    assert_true(a.view.read_index == last);
    assert_true(a.view.last_applied.index >= last);
    assert_string_equal(a.value, "1");
    ask_done(&a, 1);
    fx_done(&fx);
}

static void replica__silence_makes_a_leader_step_down(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct fx fx;
    raft_term term;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    term = raft_get_term(fx_raft(&fx, l));
    isolate(&fx, l);
    ask_write(&a[0], &fx, l, NULL, "1");
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ_LOG);
    for (int i = 0; i < 100 && pending(&a[0]); i++) {
        fx_pass_time(&fx, 10000);
        fx_turn(&fx, l);
        if (fx.nodes[l].stored != fx.nodes[l].submitted)
            fx_store(&fx, l);
    }
    for (int i = 0; i < 3; i++) {
        expect_failed(&a[i], WIRE_ERROR_ROLE_CHANGED, i == 0);
        assert_true(a[i].failure.old_term == term);
        assert_true(a[i].failure.term == term);
        assert_int_equal(a[i].failure.role, RAFT_FOLLOWER);
        assert_true(a[i].failure.leader_id == 0);
    }
    ask_done(a, 3);
    fx_done(&fx);
}

/* What the deposed leader appended is overwritten at the same index by another's: nobody is told of
 * it twice. */
static void replica__an_overwritten_write_is_not_answered_by_another(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    struct fx fx;
    raft_index index;
    int l;
    int next;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    isolate(&fx, l);
    ask_write(&a[0], &fx, l, NULL, "1");
    fx_turn(&fx, l);
    fx_store(&fx, l);
    index = fx_last_index(&fx, l);
    next = fx_elect(&fx); /* among the others; by then the old one has stepped down */
    assert_true(next != l);
    assert_int_equal(a[0].n_failed, 1);
    assert_true(a[0].failure.after_append);
    ask_write(&a[1], &fx, next, NULL, "2");
    fx_settle(&fx);
    assert_int_equal(a[1].n_written, 1);
    fx.cut[l] = false;
    fx_advance(&fx, 2 * FX_ELECTION_US);
    assert_true(raft_term_at(fx_raft(&fx, l), index) == raft_term_at(fx_raft(&fx, next), index));
    assert_true(fx.nodes[l].applied.index == fx.nodes[next].applied.index);
    assert_string_equal(text_at(&fx, l), "2");
    ask_done(a, 2);
    fx_done(&fx);
}

/* ---- time ---- */

static void replica__timeouts_name_the_stage(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;
    int f;

    (void)state;
    /* Waiting for a leader, others being heard: a timeout. */
    fx_init(&fx, 3);
    fx_settle(&fx);
    ask_init(&a[0], &fx, 0, REPLICA_READ);
    a[0].rr.deadline_us = fx.now_us + 100000;
    submit(&a[0]);
    write_init(&a[1], &fx, 0, "1");
    a[1].rr.deadline_us = fx.now_us + 100000;
    submit(&a[1]);
    fx_pass_time(&fx, 99000);
    fx_turn(&fx, 0);
    assert_true(pending(&a[0]));
    {
        struct raft_msg m = {.type = RAFT_MSG_PRE_VOTE,
                             .from = fx.nodes[1].id,
                             .to = fx.nodes[0].id,
                             .term = 2,
                             .prev = {1, 1}};

        assert_int_equal(replica_step(fx.nodes[0].replica, &m, fx.now_us), 0);
    }
    assert_true(replica_deadline_us(fx.nodes[0].replica) == 0);
    fx_turn(&fx, 0);
    assert_true(replica_deadline_us(fx.nodes[0].replica) <= fx.now_us + 2000);
    fx_pass_time(&fx, 2000);
    fx_turn(&fx, 0);
    for (int i = 0; i < 2; i++) {
        expect_failed(&a[i], WIRE_ERROR_TIMEOUT, false);
        assert_string_equal(a[i].failure.stage, "leader");
        assert_int_equal(a[i].failure.reached, 2);
    }
    fx_done(&fx);
    ask_done(a, 3);

    /* In a round, and in the log. */
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    isolate(&fx, l);
    ask_init(&a[0], &fx, l, REPLICA_READ);
    write_init(&a[1], &fx, l, "1");
    ask_init(&a[2], &fx, l, REPLICA_READ_LOG);
    for (int i = 0; i < 3; i++) {
        a[i].rr.deadline_us = fx.now_us + 100000;
        submit(&a[i]);
    }
    fx_turn(&fx, l);
    fx_pass_time(&fx, 102000);
    fx_ack_round(&fx, l, f, 0); /* it is there, only it confirms nothing */
    fx_turn(&fx, l);
    expect_failed(&a[0], WIRE_ERROR_TIMEOUT, false);
    assert_string_equal(a[0].failure.stage, "round");
    expect_failed(&a[1], WIRE_ERROR_TIMEOUT, true);
    assert_string_equal(a[1].failure.stage, "commit");
    expect_failed(&a[2], WIRE_ERROR_TIMEOUT, false);
    assert_string_equal(a[2].failure.stage, "commit");
    assert_true(replica_idle(fx.nodes[l].replica));
    /* The entries are committed later all the same; nobody hears of it. */
    fx.cut[l] = false;
    fx_advance(&fx, 2 * FX_ELECTION_US);
    assert_string_equal(text_at(&fx, l), "1");
    fx_done(&fx);
    ask_done(a, 3);
}

static void replica__a_confirmed_read_has_a_deadline_too(void **state)
{
    struct ask a = {.command = BUF_INIT};
    struct fx fx;
    raft_index last;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    isolate(&fx, l);
    propose_many(&fx, l, BACKLOG);
    fx_turn(&fx, l);
    fx_store(&fx, l);
    last = fx_last_index(&fx, l);
    fx_ack_append(&fx, l, f, last);
    ask_init(&a, &fx, l, REPLICA_READ);
    a.rr.deadline_us = fx.now_us + 100000;
    submit(&a);
    fx_turn(&fx, l);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_turn(&fx, l);
    assert_int_equal(a.rr.stage, REPLICA_CONFIRMED);
    fx_pass_time(&fx, 102000);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_turn(&fx, l);
    expect_failed(&a, WIRE_ERROR_TIMEOUT, false);
    assert_string_equal(a.failure.stage, "apply");
    ask_done(&a, 1);
    fx_done(&fx);
}

static void replica__without_a_quorum_it_is_the_network(void **state)
{
    struct ask a[3] = {{.command = BUF_INIT}};
    struct fx fx;
    uint64_t heard_us;
    int l;
    int f;

    (void)state;
    /* No leader, nobody heard. */
    fx_init(&fx, 3);
    fx.cut[0] = true;
    fx_settle(&fx);
    write_init(&a[0], &fx, 0, "1");
    a[0].rr.deadline_us = fx.now_us + 50000;
    submit(&a[0]);
    fx_pass_time(&fx, 52000);
    fx_turn(&fx, 0);
    expect_failed(&a[0], WIRE_ERROR_NETWORK, false);
    assert_int_equal(a[0].failure.reached, 1);
    assert_int_equal(a[0].failure.needed, 2);
    fx_done(&fx);
    ask_done(a, 3);

    /* A leader that nobody answers: between its heartbeats, before it steps down. */
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    fx_advance(&fx, FX_HEARTBEAT_US);
    isolate(&fx, l);
    heard_us = fx.now_us + FX_HEARTBEAT_US * 2 / 5; /* the read's round is a heartbeat (READ-68) */
    write_init(&a[0], &fx, l, "1");
    ask_init(&a[1], &fx, l, REPLICA_READ);
    ask_init(&a[2], &fx, l, REPLICA_READ_LOG);
    for (int i = 0; i < 3; i++) {
        a[i].rr.deadline_us = heard_us + FX_ELECTION_US + 5000;
        submit(&a[i]);
    }
    while (fx.now_us < heard_us) {
        fx_pass_time(&fx, 1000);
        fx_turn(&fx, l);
    }
    fx_ack_round(&fx, l, f, 0);
    fx_ack_round(&fx, l, 3 - l - f, 0);
    while (pending(&a[0])) {
        fx_pass_time(&fx, 1000);
        fx_turn(&fx, l);
        if (fx.nodes[l].stored != fx.nodes[l].submitted)
            fx_store(&fx, l);
        assert_true(fx.now_us < heard_us + 2 * FX_ELECTION_US);
    }
    assert_int_equal(raft_get_role(fx_raft(&fx, l)), RAFT_LEADER);
    for (int i = 0; i < 3; i++) {
        expect_failed(&a[i], WIRE_ERROR_NETWORK, i == 0);
        assert_int_equal(a[i].failure.reached, 1);
        assert_int_equal(a[i].failure.needed, 2);
    }
    ask_done(a, 3);
    fx_done(&fx);
}

/* READ-18: the process stood still for longer than an election, and the first that it hears then is
 * that somebody is to be added: who comes in counts as heard from now on. */
static void replica__who_comes_in_is_heard(void **state)
{
    struct raft_configuration c;
    struct raft_status status;
    struct raft_entry_id id;
    struct replica *r;
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    fx_advance(&fx, FX_HEARTBEAT_US);
    r = fx.nodes[l].replica;
    c = *raft_get_configuration(fx_raft(&fx, l));
    assert_int_equal(raft_configuration_add(&c, 99, "new", RAFT_LEARNER, "", "new"), 0);
    fx_pass_time(&fx, 2 * FX_ELECTION_US);
    assert_int_equal(replica_configure(r, &c, raft_get_configuration_index(fx_raft(&fx, l)), true,
                                       fx.now_us, &id),
                     0);
    raft_get_status(fx_raft(&fx, l), &status);
    assert_int_equal(status.n_peers, 3);
    assert_int_equal(status.peers[2].id, 99);
    assert_true(status.peers[2].heard);
    assert_int_equal(status.peers[2].last_heard_us, fx.now_us);
    fx_done(&fx);
}

/* A host that keeps requests of its own asks before the turn: what the replica heard is as old then
 * as the host's clock says, not as it was in the last turn. */
static void replica__a_host_asks_whether_it_is_the_network(void **state)
{
    struct replica_failure failure;
    struct replica *r;
    raft_node_id other;
    uint64_t late_us;
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    r = fx.nodes[l].replica;
    other = fx.nodes[fx_other(&fx, l)].id;
    late_us = fx.now_us + FX_ELECTION_US;
    replica_hear(r, other, fx.now_us);
    assert_true(replica_hears(r, other, late_us));
    assert_false(replica_hears(r, other, late_us + 1));
    assert_true(replica_hears(r, fx.nodes[l].id, late_us + 1));
    replica_deadline_failure(r, "forward", late_us, &failure);
    assert_int_equal(failure.error, WIRE_ERROR_TIMEOUT);
    assert_string_equal(failure.stage, "forward");
    assert_int_equal(failure.term, raft_get_term(fx_raft(&fx, l)));
    assert_false(failure.after_append);
    replica_deadline_failure(r, "forward", late_us + 1, &failure);
    assert_int_equal(failure.error, WIRE_ERROR_NETWORK);
    assert_int_equal(failure.reached, 1);
    assert_int_equal(failure.needed, 2);
    fx_done(&fx);
}

/* The write of a leader runs out of time; what holds it up is what is said (CLIENT-30). */
static void expect_cause_of_write(bool own_disk, bool others_disks, enum replica_cause cause)
{
    struct ask a[1] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;

    fx_init(&fx, 3);
    l = fx_elect(&fx);
    fx_advance(&fx, FX_HEARTBEAT_US);
    for (int i = 0; i < 3; i++)
        fx.nodes[i].holds_store = i == l ? own_disk : others_disks;
    write_init(&a[0], &fx, l, "1");
    a[0].rr.deadline_us = fx.now_us + FX_ELECTION_US * 4 / 5;
    submit(&a[0]);
    fx_advance(&fx, FX_ELECTION_US * 9 / 10);
    expect_failed(&a[0], WIRE_ERROR_TIMEOUT, true);
    assert_int_equal(a[0].failure.cause, cause);
    assert_int_equal(a[0].failure.reached, 3);
    for (int i = 0; i < 3; i++)
        fx.nodes[i].holds_store = false;
    ask_done(a, 1);
    fx_done(&fx);
}

/* Nobody is elected: because this node's disk holds its vote back, or because the others' do. */
static void expect_cause_of_waiting(bool own_disk, enum replica_cause cause)
{
    struct ask a[1] = {{.command = BUF_INIT}};
    struct fx fx;

    fx_init(&fx, 3);
    for (int i = 0; i < 3; i++)
        fx.nodes[i].holds_store = own_disk ? true : i != 0;
    fx_advance(&fx, 3 * FX_ELECTION_US);
    write_init(&a[0], &fx, 0, "1");
    a[0].rr.deadline_us = fx.now_us + FX_ELECTION_US / 2;
    submit(&a[0]);
    fx_advance(&fx, FX_ELECTION_US);
    expect_failed(&a[0], WIRE_ERROR_TIMEOUT, false);
    assert_int_equal(a[0].failure.cause, cause);
    assert_in_range(a[0].failure.reached, 2, 3);
    assert_true(a[0].failure.no_leader_us >= 3 * FX_ELECTION_US);
    for (int i = 0; i < 3; i++)
        fx.nodes[i].holds_store = false;
    ask_done(a, 1);
    fx_done(&fx);
}

static void replica__a_failure_names_the_cause_that_holds(void **state)
{
    (void)state;
    expect_cause_of_write(true, false, REPLICA_CAUSE_OWN_DISK);
    expect_cause_of_write(false, true, REPLICA_CAUSE_PEERS_DISKS);
    expect_cause_of_waiting(true, REPLICA_CAUSE_OWN_DISK);
    expect_cause_of_waiting(false, REPLICA_CAUSE_NO_LEADER);
}

/* A read that timed out leaves its place; the late confirmation must not be the next one's. */
static void replica__a_late_confirmation_finds_nobody(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    struct fx fx;
    uint64_t first;
    int l;
    int f;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    isolate(&fx, l);
    ask_init(&a[0], &fx, l, REPLICA_READ);
    a[0].rr.deadline_us = fx.now_us + 5000;
    submit(&a[0]);
    fx_turn(&fx, l);
    first = fx_last_round(&fx, l);
    fx_pass_time(&fx, 7000);
    fx_turn(&fx, l);
    assert_int_equal(a[0].n_failed, 1);
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    assert_int_equal(a[1].rr.slot, a[0].rr.slot); /* the same place */
    fx_ack_round(&fx, l, f, first);
    fx_turn(&fx, l);
    assert_true(pending(&a[1]));
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_turn(&fx, l);
    assert_int_equal(a[1].n_served, 1);
    ask_done(a, 2);
    fx_done(&fx);
}

/* ---- going away ---- */

static void replica__cancelled_requests_are_forgotten(void **state)
{
    struct ask *a[8];
    struct fx fx;
    int l;
    int f;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        a[i] = calloc(1, sizeof(*a[i]));
        assert_non_null(a[i]);
    }
    fx_init(&fx, 3);
    fx_settle(&fx);
    /* Waiting. */
    ask_write(a[0], &fx, 0, NULL, "1");
    ask_read(a[1], &fx, 0, NULL, REPLICA_READ);
    ask_read(a[2], &fx, 0, NULL, REPLICA_READ_LOCAL);
    for (int i = 0; i < 3; i++)
        replica_cancel(fx.nodes[0].replica, &a[i]->rr);
    assert_true(replica_idle(fx.nodes[0].replica));
    l = fx_elect(&fx);
    f = fx_other(&fx, l);
    write_through(&fx, l, "0");
    isolate(&fx, l);
    /* In the core, in a round, in the log. */
    ask_read(a[3], &fx, l, NULL, REPLICA_READ);
    fx_turn(&fx, l);
    ask_read(a[4], &fx, l, NULL, REPLICA_READ);
    ask_write(a[5], &fx, l, NULL, "5");
    ask_read(a[6], &fx, l, NULL, REPLICA_READ_LOG);
    for (int i = 0; i < 7; i++) {
        replica_cancel(fx.nodes[l].replica, &a[i]->rr);
        replica_cancel(fx.nodes[l].replica, &a[i]->rr); /* twice: harmless */
        buf_done(&a[i]->command);
        assert_true(pending(a[i]));
        free(a[i]); /* ASan looks on from here */
    }
    assert_true(replica_idle(fx.nodes[l].replica));
    fx_turn(&fx, l);
    fx_store(&fx, l);
    fx_ack_round(&fx, l, f, fx_last_round(&fx, l));
    fx_ack_append(&fx, l, f, fx_last_index(&fx, l));
    fx_turn(&fx, l);
    assert_string_equal(text_at(&fx, l), "5"); /* it still happened */
    /* Confirmed. */
    fx.cut[l] = false;
    (void)make_confirmed_read(&fx, l, a[7]);
    replica_cancel(fx.nodes[l].replica, &a[7]->rr);
    free(a[7]);
    for (int i = 0; i < 5; i++)
        fx_turn(&fx, l);
    fx_depose(&fx, l, f);
    fx_turn(&fx, l);
    fx_done(&fx);
}

static void replica__shutting_down_refuses_and_finishes(void **state)
{
    struct ask a[6] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    ask_write(&a[0], &fx, l, NULL, "1");
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ_LOCAL);
    replica_quiesce(fx.nodes[l].replica);
    expect_failed(&a[2], WIRE_ERROR_CANCELLED, false);
    for (int i = 3; i < 6; i++) {
        if (i == 3)
            ask_write(&a[i], &fx, l, NULL, "2");
        else
            ask_read(&a[i], &fx, l, NULL, i == 4 ? REPLICA_READ : REPLICA_READ_LOCAL);
        expect_failed(&a[i], WIRE_ERROR_CANCELLED, false);
    }
    fx_settle(&fx);
    assert_int_equal(a[0].n_written, 1);
    assert_int_equal(a[1].n_served, 1);
    assert_true(replica_idle(fx.nodes[l].replica));
    ask_done(a, 6);
    fx_done(&fx);

    /* What waits for a leader goes at once. */
    fx_init(&fx, 3);
    ask_write(&a[0], &fx, 0, NULL, "1");
    replica_quiesce(fx.nodes[0].replica);
    expect_failed(&a[0], WIRE_ERROR_CANCELLED, false);
    ask_done(a, 6);
    fx_done(&fx);
}

static void replica__freeing_fails_what_is_left(void **state)
{
    struct ask a[5] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    (void)make_confirmed_read(&fx, l, &a[0]);
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    ask_write(&a[2], &fx, l, NULL, "1");
    ask_read(&a[3], &fx, l, NULL, REPLICA_READ_LOG);
    ask_read(&a[4], &fx, l, NULL, REPLICA_READ_LOCAL);
    fx_done(&fx);
    for (int i = 0; i < 5; i++)
        expect_failed(&a[i], WIRE_ERROR_CANCELLED, i == 2);
    ask_done(a, 5);
}

/* ---- transfer ---- */

static void replica__requests_wait_while_leadership_moves(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;
    int to;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    to = fx_other(&fx, l);
    write_through(&fx, l, "1");
    assert_int_equal(replica_transfer(fx.nodes[to].replica, 0, fx.now_us), RAFT_E_NOT_LEADER);
    assert_int_equal(replica_transfer(fx.nodes[l].replica, fx.nodes[l].id, fx.now_us),
                     RAFT_E_NOT_MEMBER);
    assert_false(replica_transferring(fx.nodes[l].replica));
    ask_write(&a[0], &fx, l, NULL, "2"); /* before: it still goes through */
    assert_int_equal(replica_transfer(fx.nodes[l].replica, fx.nodes[to].id, fx.now_us), 0);
    assert_true(replica_transferring(fx.nodes[l].replica));
    assert_int_equal(replica_transfer(fx.nodes[l].replica, 0, fx.now_us), RAFT_E_BUSY);
    ask_write(&a[1], &fx, l, NULL, "3");
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ);
    ask_read(&a[3], &fx, l, NULL, REPLICA_READ_LOG);
    for (int i = 1; i < 4; i++)
        assert_int_equal(a[i].rr.stage, REPLICA_WAITING);
    fx_settle(&fx);
    fx_advance(&fx, FX_HEARTBEAT_US);
    assert_int_equal(fx_leader(&fx), to);
    assert_int_equal(a[0].n_written, 1);
    for (int i = 1; i < 4; i++) {
        expect_failed(&a[i], WIRE_ERROR_NOT_LEADER, false);
        assert_true(a[i].failure.leader_id == fx.nodes[to].id);
    }
    assert_false(replica_transferring(fx.nodes[l].replica));
    ask_done(a, 4);
    fx_done(&fx);
}

static void replica__a_transfer_given_up_lets_them_go_on(void **state)
{
    struct ask a[2] = {{.command = BUF_INIT}};
    struct fx fx;
    int l;
    int to;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    to = fx_other(&fx, l);
    fx.cut[to] = true;
    assert_int_equal(replica_transfer(fx.nodes[l].replica, fx.nodes[to].id, fx.now_us), 0);
    ask_write(&a[0], &fx, l, NULL, "1");
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    fx_settle(&fx);
    assert_true(pending(&a[0]));
    fx_advance(&fx, FX_ELECTION_US + 2 * FX_HEARTBEAT_US);
    assert_false(replica_transferring(fx.nodes[l].replica));
    assert_int_equal(fx_leader(&fx), l);
    assert_int_equal(a[0].n_written, 1);
    assert_int_equal(a[1].n_served, 1);
    ask_done(a, 2);
    fx_done(&fx);
}

/* ---- bounds ---- */

static void replica__there_are_bounds(void **state)
{
    struct ask *many = calloc(REQUESTS_MAX + 1, sizeof(*many));
    struct ask a = {.command = BUF_INIT};
    unsigned char *big = calloc(1, ENTRY_BYTES_MAX + 1);
    struct fx fx;
    unsigned n = 0;

    (void)state;
    assert_non_null(many);
    assert_non_null(big);
    /* Waiting. */
    fx_init(&fx, 1);
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        ask_read(&many[i], &fx, 0, NULL, REPLICA_READ);
    assert_int_equal(stats_of(&fx, 0).n_waiting, REQUESTS_MAX);
    ask_init(&a, &fx, 0, REPLICA_READ);
    a.rr.deadline_us = fx.now_us + 1000000;
    submit(&a);
    expect_failed(&a, WIRE_ERROR_BUSY, false);
    assert_true(a.failure.limit > 0);
    assert_int_equal(fx_elect(&fx), 0);
    fx_settle(&fx);
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        assert_int_equal(many[i].n_served, 1);
    /* Reads in the core. */
    for (unsigned i = 0; i < RAFT_READS_PENDING_MAX; i++)
        ask_read(&many[i], &fx, 0, NULL, REPLICA_READ);
    ask_read(&many[RAFT_READS_PENDING_MAX], &fx, 0, NULL, REPLICA_READ);
    expect_failed(&many[RAFT_READS_PENDING_MAX], WIRE_ERROR_BUSY, false);
    fx_settle(&fx);
    for (unsigned i = 0; i < RAFT_READS_PENDING_MAX; i++)
        assert_int_equal(many[i].n_served, 1);
    /* A command that is no entry. */
    ask_init(&a, &fx, 0, REPLICA_WRITE);
    a.rr.command = big;
    a.rr.command_len = ENTRY_BYTES_MAX + 1;
    submit(&a);
    expect_failed(&a, WIRE_ERROR_TOO_LARGE, false);
    /* Bytes that are not committed. */
    fx.nodes[0].holds_store = true;
    for (;;) {
        assert_true(n < 100);
        ask_init(&many[n], &fx, 0, REPLICA_WRITE);
        many[n].rr.command = big;
        many[n].rr.command_len = ENTRY_BYTES_MAX;
        submit(&many[n]);
        if (!pending(&many[n]))
            break;
        n++;
    }
    expect_failed(&many[n], WIRE_ERROR_BUSY, false);
    assert_true(n >= RAFT_UNCOMMITTED_BYTES_MAX / ENTRY_BYTES_MAX);
    fx_settle(&fx);
    fx.nodes[0].holds_store = false;
    fx_settle(&fx);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(many[i].n_written, 1);
        assert_int_equal(many[i].result.status, COMMAND_INVALID); /* zeros are no command */
    }
    write_through(&fx, 0, "1");
    fx_done(&fx);
    free(big);
    free(many);
}

/* ---- failures of the log and the state ---- */

/* SPACE-6: nobody is told, nothing is lost, it is tried again by itself, and reads of what is there
 * go on. Whether the begin, an entry in the middle or the commit finds no room. */
static void replica__a_state_without_room_is_tried_again(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct ask a[4] = {{.command = BUF_INIT}};
        struct fx fx;
        struct fx_node *n = &fx.nodes[0];

        fx_init(&fx, 1);
        assert_int_equal(fx_elect(&fx), 0);
        write_through(&fx, 0, "0");
        *(what == 0   ? &n->fail_begin
          : what == 1 ? &n->fail_apply
                      : &n->fail_commit) = REPLICA_STATE_E_FULL;
        ask_write(&a[0], &fx, 0, NULL, "1");
        ask_read(&a[1], &fx, 0, NULL, REPLICA_READ_LOG);
        ask_write(&a[2], &fx, 0, NULL, "2");
        fx_settle(&fx);
        for (int i = 0; i < 20; i++) {
            fx_advance(&fx, STATE_RETRY_US / 3);
            fx_settle(&fx);
            replica_check(n->replica);
        }
        assert_true(replica_is_parked(n->replica));
        assert_int_equal(n->n_fatal, 0);
        assert_true(pending(&a[0]) && pending(&a[1]) && pending(&a[2]));
        ask_read(&a[3], &fx, 0, NULL, REPLICA_READ_LOCAL);
        fx_settle(&fx);
        assert_int_equal(a[3].n_served, 1);
        if (what != 2) /* this state undoes indexes, not values */
            assert_string_equal(a[3].value, "0");
        /* The turn is not taken over and over meanwhile. */
        assert_true(replica_deadline_us(n->replica) > fx.now_us);
        assert_true(replica_deadline_us(n->replica) <= fx.now_us + STATE_RETRY_US);
        n->fail_begin = n->fail_apply = n->fail_commit = 0;
        fx_advance(&fx, STATE_RETRY_US);
        fx_settle(&fx);
        assert_false(replica_is_parked(n->replica));
        assert_int_equal(a[0].n_written, 1);
        assert_int_equal(a[2].n_written, 1);
        assert_string_equal(a[1].value, "1"); /* the state at its marker, not behind it */
        ask_done(a, 4);
        fx_done(&fx);
    }
}

/* SPACE-2: at propose, and not at arrival. */
static void replica__a_write_that_waited_meets_the_room_there_is(void **state)
{
    struct ask a[1] = {{.command = BUF_INIT}};
    struct fx fx;

    (void)state;
    fx_init(&fx, 1);
    ask_write(&a[0], &fx, 0, NULL, "1");
    assert_true(pending(&a[0]));
    fx.nodes[0].no_space = "quota";
    assert_int_equal(fx_elect(&fx), 0);
    fx_settle(&fx);
    expect_failed(&a[0], WIRE_ERROR_NO_SPACE, false);
    fx.nodes[0].no_space = NULL;
    write_through(&fx, 0, "2");
    ask_done(a, 1);
    fx_done(&fx);
}

static void replica__errors_of_log_and_state_are_final(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        struct ask a[3] = {{.command = BUF_INIT}};
        struct fx fx;
        struct fx_node *n = &fx.nodes[0];
        unsigned sent;

        fx_init(&fx, 1);
        assert_int_equal(fx_elect(&fx), 0);
        if (what == 0)
            n->fail_submit = -ENOMEM;
        else if (what == 1)
            n->fail_begin = -EIO;
        else if (what == 2)
            n->fail_apply = 5; /* a command of a later version */
        else if (what == 3)
            n->fail_commit = -ENOSPC;
        else
            n->fail_read = -EIO;
        if (what == 4)
            ask_read(&a[0], &fx, 0, NULL, REPLICA_READ);
        else
            ask_write(&a[0], &fx, 0, NULL, "1");
        fx_turn(&fx, 0);
        if (what != 0 && what != 4) {
            assert_int_equal(n->n_fatal, 0);
            fx_store(&fx, 0);
            fx_turn(&fx, 0);
        }
        assert_int_equal(n->n_fatal, 1);
        assert_int_equal(a[0].n_written, 0); /* told only what is committed (SPACE-8) */
        assert_int_equal(n->fatal_error, what == 0   ? -ENOMEM
                                         : what == 2 ? 5
                                         : what == 3 ? -ENOSPC
                                                     : -EIO);
        /* It is over: nothing is done, nothing is sent, and nobody is told twice. */
        sent = n->n_sent;
        ask_write(&a[1], &fx, 0, NULL, "2");
        expect_failed(&a[1], WIRE_ERROR_CANCELLED, false);
        fx_pass_time(&fx, 3 * FX_ELECTION_US);
        replica_turn(n->replica, fx.now_us);
        replica_turn(n->replica, fx.now_us);
        assert_int_equal(n->n_fatal, 1);
        assert_int_equal(n->n_sent, sent);
        fx_done(&fx);
        ask_done(a, 3);
    }
}

/* ---- looking ---- */

static void replica__it_counts_and_says_when_it_is_due(void **state)
{
    struct ask a[4] = {{.command = BUF_INIT}};
    struct replica_stats st;
    struct raft_msg wrong = {.type = RAFT_MSG_HEARTBEAT, .term = 0};
    struct fx fx;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    fx_settle(&fx);
    assert_true(replica_deadline_us(fx.nodes[l].replica) > fx.now_us);
    assert_true(replica_deadline_us(fx.nodes[l].replica) <= fx.now_us + FX_HEARTBEAT_US);
    ask_write(&a[0], &fx, l, NULL, "1");
    assert_true(replica_deadline_us(fx.nodes[l].replica) == 0); /* something is to be done */
    ask_read(&a[1], &fx, l, NULL, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ_LOG);
    ask_read(&a[3], &fx, l, NULL, REPLICA_READ_LOCAL);
    st = stats_of(&fx, l);
    assert_int_equal(st.n_proposed, 2);
    assert_int_equal(st.n_in_round, 1);
    fx_settle(&fx);
    st = stats_of(&fx, l);
    assert_int_equal(st.n_reads[REPLICA_READ], 1);
    assert_int_equal(st.n_reads[REPLICA_READ_LOG], 1);
    assert_int_equal(st.n_reads[REPLICA_READ_LOCAL], 1);
    assert_int_equal(st.n_writes_proposed, 1);
    assert_int_equal(st.n_writes_done, 1);
    assert_int_equal(st.n_entries_proposed, 2);
    assert_int_equal(st.n_waiting + st.n_in_round + st.n_confirmed + st.n_proposed, 0);
    assert_int_equal(replica_step(fx.nodes[l].replica, &wrong, fx.now_us), RAFT_E_INVALID);
    assert_int_equal(stats_of(&fx, l).n_msgs_invalid, 1);
    ask_done(a, 4);
    fx_done(&fx);
}

/* Two reads of one round, of which the first has a floor that is committed meanwhile: the second is
 * confirmed with a lower index, and is queued behind the first all the same. */
static void replica__anchors_are_waited_for_in_order(void **state)
{
    struct replica_session session = {0};
    struct ask a[3] = {{.command = BUF_INIT}};
    struct fx fx;
    raft_index last;
    int l;

    (void)state;
    fx_init(&fx, 3);
    l = fx_elect(&fx);
    isolate(&fx, l);
    propose_many(&fx, l, BACKLOG); /* so that one turn does not apply it all */
    ask_write(&a[0], &fx, l, &session, "1");
    ask_read(&a[1], &fx, l, &session, REPLICA_READ);
    ask_read(&a[2], &fx, l, NULL, REPLICA_READ);
    fx_turn(&fx, l);
    fx_store(&fx, l);
    last = fx_last_index(&fx, l);
    fx_ack_append(&fx, l, fx_other(&fx, l), last);
    fx_ack_round(&fx, l, fx_other(&fx, l), fx_last_round(&fx, l));
    fx_turn(&fx, l);
    assert_true(replica_last_applied(fx.nodes[l].replica) < last);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(a[i].rr.stage, REPLICA_CONFIRMED);
        assert_int_equal(a[i].rr.anchor.index, last);
    }
    while (pending(&a[2]))
        fx_turn(&fx, l);
    assert_int_equal(a[0].order + 1, a[1].order);
    assert_int_equal(a[1].order + 1, a[2].order);
    assert_string_equal(a[1].value, "1");
    assert_string_equal(a[2].value, "1");
    ask_done(a, 3);
    fx_done(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replica__requests_wait_for_a_leader),
        cmocka_unit_test(replica__a_group_of_one_serves_itself),
        cmocka_unit_test(replica__the_gate_parks_requests),
        cmocka_unit_test(replica__others_name_the_leader),
        cmocka_unit_test(replica__a_write_waits_for_the_disks),
        cmocka_unit_test(replica__a_follower_acknowledges_what_its_disk_has),
        cmocka_unit_test(replica__batches_may_become_durable_late_and_together),
        cmocka_unit_test(replica__outcomes_of_apply_reach_the_request),
        cmocka_unit_test(replica__a_read_needs_a_round_opened_after_it_arrived),
        cmocka_unit_test(replica__reads_of_a_turn_share_a_round),
        cmocka_unit_test(replica__a_read_sees_the_write_sent_before_it),
        cmocka_unit_test(replica__a_floor_of_an_earlier_term_holds_nothing_back),
        cmocka_unit_test(replica__log_reads_see_their_marker),
        cmocka_unit_test(replica__a_callback_may_submit),
        cmocka_unit_test(replica__a_higher_term_fails_what_is_not_confirmed),
        cmocka_unit_test(replica__loss_comes_before_confirmation),
        cmocka_unit_test(replica__what_was_committed_is_answered_all_the_same),
        cmocka_unit_test(replica__a_confirmed_read_outlives_the_leadership),
        cmocka_unit_test(replica__silence_makes_a_leader_step_down),
        cmocka_unit_test(replica__an_overwritten_write_is_not_answered_by_another),
        cmocka_unit_test(replica__timeouts_name_the_stage),
        cmocka_unit_test(replica__a_confirmed_read_has_a_deadline_too),
        cmocka_unit_test(replica__without_a_quorum_it_is_the_network),
        cmocka_unit_test(replica__who_comes_in_is_heard),
        cmocka_unit_test(replica__a_host_asks_whether_it_is_the_network),
        cmocka_unit_test(replica__a_failure_names_the_cause_that_holds),
        cmocka_unit_test(replica__a_late_confirmation_finds_nobody),
        cmocka_unit_test(replica__cancelled_requests_are_forgotten),
        cmocka_unit_test(replica__shutting_down_refuses_and_finishes),
        cmocka_unit_test(replica__freeing_fails_what_is_left),
        cmocka_unit_test(replica__requests_wait_while_leadership_moves),
        cmocka_unit_test(replica__a_transfer_given_up_lets_them_go_on),
        cmocka_unit_test(replica__there_are_bounds),
        cmocka_unit_test(replica__a_state_without_room_is_tried_again),
        cmocka_unit_test(replica__a_write_that_waited_meets_the_room_there_is),
        cmocka_unit_test(replica__errors_of_log_and_state_are_final),
        cmocka_unit_test(replica__it_counts_and_says_when_it_is_due),
        cmocka_unit_test(replica__anchors_are_waited_for_in_order),
    };

    return cmocka_run_group_tests_name("replica-requests", tests, NULL, NULL);
}
