/* Requests to replies: lines in, lines out, over replicas whose disks, network and clock the test
 * moves. */
#include "test-replica-util.h"

#include <fnmatch.h>
#include <jansson.h>
#include <limits.h>

#include "base/cleanup.h"
#include "base/keep.h"
#include "service/service_int.h"

#define CONNS_MAX 8

struct host;

struct conn {
    struct host *host;
    int node;
    struct service_conn *sc; /* NULL: closed */
    struct buf out;
    bool dead;  /* no output any more */
    int n_held; /* owed replies, as the service says */
    struct memory_conn memory;
    size_t touched;
    char *text; /* of the last take() */
};

struct host {
    struct fx fx;
    /* Snapshots: so often a part is not there yet, then it is this outcome. */
    unsigned part_later;
    int part_outcome;
    const char *part_text;
    unsigned n_part_asks;
    struct service *services[FX_NODES_MAX];
    struct conn conns[CONNS_MAX];
    struct memory memory;
    unsigned n_events;
    char last_event[64];
    uint64_t look_us; /* passes with each look at the clock */
};

/* ---- the host of the service ---- */

static struct buf *host_out(void *ctx, void *conn)
{
    struct conn *c = conn;

    (void)ctx;
    return c->dead ? NULL : &c->out;
}

static void host_hold(void *ctx, void *conn)
{
    (void)ctx;
    ((struct conn *)conn)->n_held++;
}

static void host_release(void *ctx, void *conn)
{
    (void)ctx;
    ((struct conn *)conn)->n_held--;
    assert_true(((struct conn *)conn)->n_held >= 0);
}

static const char *host_conn_address(void *ctx, void *conn)
{
    (void)ctx;
    assert_non_null(conn);
    return "the connection of a client";
}

static struct memory_conn *host_memory(void *ctx, void *conn)
{
    (void)ctx;
    return &((struct conn *)conn)->memory;
}

static uint64_t host_now(void *ctx)
{
    struct host *h = ctx;

    h->fx.now_us += h->look_us;
    return h->fx.now_us;
}

static const char *host_client_addr(void *ctx, raft_node_id id)
{
    static const char *const addrs[] = {"10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"};
    const struct host *h = ctx;

    for (int i = 0; i < h->fx.n; i++)
        if (h->fx.nodes[i].id == id)
            return addrs[i];
    return NULL;
}

static void host_status(void *ctx, struct wire_reply *w)
{
    (void)ctx;
    wire_reply_u64(w, "of_the_host", 1);
}

static uint64_t host_record_bytes(void *ctx, size_t payload_len)
{
    (void)ctx;
    return 100 + payload_len;
}

static void host_touched(void *ctx, void *conn, size_t bytes)
{
    (void)ctx;
    ((struct conn *)conn)->touched += bytes;
}

static int host_snapshot_part(void *ctx, struct service_part *part)
{
    struct host *h = ctx;

    h->n_part_asks++;
    if (h->part_later > 0) {
        h->part_later--;
        return SERVICE_PART_LATER;
    }
    if (part->of.index == 0)
        part->of = (struct wire_part){.index = 9, .term = 2, .offset = part->of.offset};
    part->bytes = 7;
    part->len = 3;
    part->crc = 5;
    part->text = (struct wire_slice){h->part_text, strlen(h->part_text)};
    part->why = (struct wire_slice){"a bad disk", 10};
    return h->part_outcome;
}

static void host_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    struct host *h = ctx;

    assert_int_equal(level, LOG_ERROR);
    assert_non_null(text);
    h->n_events++;
    (void)snprintf(h->last_event, sizeof(h->last_event), "%s", event);
}

static enum service_role host_has = SERVICE_ADMIN;

static enum service_role host_role(void *ctx, void *conn)
{
    (void)ctx;
    (void)conn;
    return host_has;
}

static unsigned n_denied;

static void host_denied(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                        size_t size)
{
    (void)ctx;
    (void)conn;
    assert_true(denial->needed == service_role_needed(denial->request));
    assert_false(denial->by_prefix);
    n_denied++;
    (void)snprintf(ret_who, size, "uid 7 (seven)");
}

static void host_init_with(struct host *h, int n, const struct fx_options *options)
{
    static const char *const names[] = {"n1", "n2", "n3"};
    struct service_ops ops = {.ctx = h,
                              .out = host_out,
                              .role = host_role,
                              .denied = host_denied,
                              .hold = host_hold,
                              .release = host_release,
                              .conn_address = host_conn_address,
                              .memory = host_memory,
                              .now_us = host_now,
                              .touched = host_touched,
                              .client_addr = host_client_addr,
                              .status = host_status,
                              .record_bytes = host_record_bytes,
                              .event = host_event,
                              .snapshot_part = host_snapshot_part};
    const struct service_conf conf = {.cluster_name = "test",
                                      .cluster_hash = "0123456789abcdef",
                                      .seed = 5,
                                      .memory = &h->memory};

    memset(h, 0, sizeof(*h));
    memory_init(&h->memory, 1u << 30);
    fx_init_with(&h->fx, n, options);
    for (int i = 0; i < n; i++) {
        assert_int_equal(service_new(&conf, &ops, &h->services[i]), 0);
        service_set_replica(h->services[i], h->fx.nodes[i].replica, names[i]);
    }
}

static void host_init(struct host *h, int n)
{
    host_init_with(h, n, &(struct fx_options){0});
}

/* The accounts are what is held, whatever happened (CLIENT-13); nothing is, when nobody is there. */
static void conn_close(struct conn *c)
{
    if (c->sc != NULL)
        service_conn_check(c->sc);
    service_conn_free(c->sc);
    c->sc = NULL;
    assert_int_equal(c->memory.requests.used, 0);
    assert_int_equal(c->memory.commands.used, 0);
    if (c->host != NULL)
        budget_set(&c->memory.replies, 0);
    assert_int_equal(c->n_held, 0); /* what it was owed is forgotten, and counted so */
}

static void host_done(struct host *h)
{
    for (int i = 0; i < CONNS_MAX; i++) {
        conn_close(&h->conns[i]);
        buf_done(&h->conns[i].out);
        free(h->conns[i].text);
    }
    assert_int_equal(h->memory.all.used, 0);
    for (int i = 0; i < h->fx.n; i++)
        assert_int_equal(service_n_pending(h->services[i]), 0);
    fx_done(&h->fx);
    for (int i = 0; i < h->fx.n; i++)
        service_free(h->services[i]);
}

static struct conn *conn_open(struct host *h, int node)
{
    for (int i = 0; i < CONNS_MAX; i++) {
        struct conn *c = &h->conns[i];

        if (c->host != NULL)
            continue;
        c->host = h;
        c->node = node;
        memory_conn_init(&c->memory, &h->memory);
        assert_int_equal(service_conn_new(h->services[node], c, &c->sc), 0);
        return c;
    }
    fail_msg("too many connections");
    return NULL;
}

/* A cluster of one that leads, and a connection to it. */
static struct conn *open_leader(struct host *h)
{
    struct conn *c;

    host_init(h, 1);
    c = conn_open(h, 0);
    assert_int_equal(fx_elect(&h->fx), 0);
    return c;
}

static void say(struct conn *c, const char *line)
{
    while (service_line(c->sc, line, strlen(line), 7))
        ;
}

/* What came out since the last time; valid until the next. */
static const char *take(struct conn *c)
{
    assert_int_equal(buf_add_u8(&c->out, '\0'), 0);
    free(c->text);
    c->text = strdup((const char *)c->out.data);
    assert_non_null(c->text);
    buf_reset(&c->out, 0);
    budget_set(&c->memory.replies, 0);
    return c->text;
}

static void settle(struct host *h)
{
    for (int i = 0; i < h->fx.n; i++)
        service_turn(h->services[i], h->fx.now_us);
    fx_settle(&h->fx);
    for (int i = 0; i < h->fx.n; i++)
        service_turn(h->services[i], h->fx.now_us);
    fx_settle(&h->fx);
}

/* So many turns of every node, and no more: what they began is still under way. */
static void run_turns(struct host *h, int n)
{
    for (int i = 0; i < n; i++) {
        (void)fx_deliver(&h->fx);
        for (int node = 0; node < h->fx.n; node++) {
            fx_turn(&h->fx, node);
            fx_store(&h->fx, node);
        }
    }
}

static void advance(struct host *h, uint64_t us)
{
    for (uint64_t t = 0; t < us; t += 10000) {
        fx_advance(&h->fx, 10000);
        settle(h);
    }
}

static void expect_line(struct conn *c, const char *expected)
{
    const char *got = take(c);
    size_t len = strlen(expected);

    if (strncmp(got, expected, len) != 0 || strcmp(got + len, "\n") != 0)
        fail_msg("got %s instead of %s", got, expected);
}

static void exchange(struct host *h, struct conn *c, const char *line, const char *expected)
{
    say(c, line);
    settle(h);
    expect_line(c, expected);
}

/* One line of the form of ridd-protocol(7), the fields in their order (WIRE-5); extra: those of the
 * row, in theirs. */
static json_t *expect_error(struct conn *c, int msg_id, const char *error, int code, bool definite,
                            const char *const *extra)
{
    static const char *const first[] = {"type", "in_reply_to", "code", "text", "error", "definite"};
    const char *line = take(c);
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *name;
    json_t *v;
    size_t i = 0;

    if (root == NULL || strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("not one line: %s", line);
    if (strcmp(json_string_value(json_object_get(root, "type")), "error") != 0 ||
        strcmp(json_string_value(json_object_get(root, "error")), error) != 0 ||
        json_integer_value(json_object_get(root, "code")) != code ||
        json_is_true(json_object_get(root, "definite")) != definite ||
        json_integer_value(json_object_get(root, "in_reply_to")) != msg_id)
        fail_msg("expected %s, code %d, definite %d: %s", error, code, definite, line);
    assert_true(json_string_length(json_object_get(root, "text")) > 0);
    json_object_foreach(root, name, v)
    {
        const char *expected = i < 6 ? first[i] : (extra != NULL ? extra[i - 6] : NULL);

        if (expected == NULL || strcmp(expected, name) != 0)
            fail_msg("field %zu is '%s' instead of '%s'", i, name,
                     expected != NULL ? expected : "the end");
        i++;
    }
    if (extra != NULL && extra[i - 6] != NULL)
        fail_msg("'%s' is missing: %s", extra[i - 6], line);
    return root;
}

#define EXTRA(...) ((const char *const[]){__VA_ARGS__, NULL})

static void isolate(struct host *h, int node)
{
    h->fx.cut[node] = true;
    fx_lose(&h->fx);
}

static const char *str_of(const json_t *root, const char *name)
{
    const char *s = json_string_value(json_object_get(root, name));

    return s != NULL ? s : "(none)";
}

static json_int_t int_of(const json_t *root, const char *name)
{
    return json_is_integer(json_object_get(root, name))
               ? json_integer_value(json_object_get(root, name))
               : -1;
}

/* ---- replies ---- */

static void service__reads_have_exactly_their_fields(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    exchange(&h, c,
             "{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":{\"b\":1.50,\"a\":[]}}",
             "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    exchange(&h, c, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":\"x\"}",
             "{\"type\":\"read_index_ok\",\"in_reply_to\":2,\"value\":{\"b\":1.5,\"a\":[]},"
             "\"read_at_index\":3,\"heartbeat_confirmed\":true,\"linearizable\":true}");
    exchange(&h, c, "{\"type\":\"read_index\",\"key\":\"none\"}",
             "{\"type\":\"read_index_ok\",\"value\":null,\"read_at_index\":3,"
             "\"heartbeat_confirmed\":true,\"linearizable\":true}");
    exchange(&h, c, "{\"type\":\"read\",\"msg_id\":3,\"key\":\"x\"}",
             "{\"type\":\"read_ok\",\"in_reply_to\":3,\"value\":{\"b\":1.5,\"a\":[]}}");
    exchange(&h, c, "{\"type\":\"local_read\",\"msg_id\":4,\"key\":\"x\"}",
             "{\"type\":\"local_read_ok\",\"in_reply_to\":4,\"value\":{\"b\":1.5,\"a\":[]},"
             "\"applied_index\":3,\"linearizable\":false}");
    exchange(&h, c, "{\"type\":\"batch_read_index\",\"msg_id\":5,\"keys\":[\"x\",\"none\",7]}",
             "{\"type\":\"batch_read_index_ok\",\"in_reply_to\":5,\"values\":["
             "{\"key\":\"x\",\"value\":{\"b\":1.5,\"a\":[]}},{\"key\":\"none\",\"value\":null},"
             "{\"key\":7,\"value\":null}],\"read_at_index\":3,\"heartbeat_confirmed\":true,"
             "\"linearizable\":true}");
    say(c, "{\"type\":\"read_via_log\",\"msg_id\":6,\"key\":\"x\"}");
    h.fx.nodes[0].holds_store = true;
    settle(&h);
    fx_pass_time(&h.fx, 1230);
    h.fx.nodes[0].holds_store = false;
    settle(&h);
    expect_line(c, "{\"type\":\"read_via_log_ok\",\"in_reply_to\":6,\"value\":{\"b\":1.5,\"a\":[]},"
                   "\"log_index_used\":4,\"latency_ms\":1.23}");
    exchange(
        &h, c, "{\"type\":\"read\",\"msg_id\":7,\"key\":\"x\",\"via\":\"log\",\"verbose\":true}",
        "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":{\"b\":1.5,\"a\":[]},\"exists\":true,"
        "\"create_index\":3,\"modify_index\":3,\"version\":1,\"log_index_used\":5,\"term\":2,"
        "\"linearizable\":true,\"proof\":\"marker\",\"by\":\"n1\"}");
    exchange(&h, c, "{\"type\":\"read\",\"msg_id\":7,\"key\":\"x\",\"verbose\":true}",
             "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":{\"b\":1.5,\"a\":[]},\"exists\":"
             "true,\"create_index\":3,\"modify_index\":3,\"version\":1,\"read_at_index\":5,"
             "\"heartbeat_confirmed\":true,\"linearizable\":true,\"read_index\":5,\"round\":5,"
             "\"term\":2,\"proof\":\"round\",\"by\":\"n1\"}");
    exchange(&h, c,
             "{\"type\":\"read\",\"msg_id\":7,\"key\":\"x\",\"via\":\"local\",\"verbose\":true}",
             "{\"type\":\"read_ok\",\"in_reply_to\":7,\"value\":{\"b\":1.5,\"a\":[]},\"exists\":"
             "true,\"create_index\":3,\"modify_index\":3,\"version\":1,\"applied_index\":5,"
             "\"linearizable\":false}");
    exchange(&h, c, "{\"type\":\"read\",\"msg_id\":8,\"key\":\"x\",\"via\":\"local\"}",
             "{\"type\":\"read_ok\",\"in_reply_to\":8,\"value\":{\"b\":1.5,\"a\":[]}}");
    exchange(&h, c, "{\"type\":\"read_index\",\"msg_id\":9,\"key\":\"none\",\"verbose\":true}",
             "{\"type\":\"read_index_ok\",\"in_reply_to\":9,\"value\":null,\"read_at_index\":5,"
             "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":false,\"read_index\":5,"
             "\"round\":6,\"term\":2,\"proof\":\"round\",\"by\":\"n1\"}");
    say(c, "{\"type\":\"read\",\"msg_id\":10,\"key\":\"none\"}");
    settle(&h);
    json_decref(expect_error(c, 10, "key_not_found", 20, true, EXTRA("index")));
    host_done(&h);
}

/* A follower, and "1" under x, at index 3, which all have applied. */
static struct conn *open_follower(struct host *h, const struct fx_options *options, int *ret_leader)
{
    struct conn *c;

    host_init_with(h, 3, options);
    *ret_leader = fx_elect(&h->fx);
    c = conn_open(h, *ret_leader);
    exchange(h, c, "{\"type\":\"write\",\"key\":\"x\",\"value\":1}", "{\"type\":\"write_ok\"}");
    advance(h, 4 * FX_HEARTBEAT_US);
    return conn_open(h, fx_other(&h->fx, *ret_leader));
}

static void expect_format(struct conn *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void expect_format(struct conn *c, const char *format, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    expect_line(c, line);
}

/* CLIENT-8: whose state it is and whose word stands behind it is what happened. */
static void service__follower_reads_say_who_answered(void **state)
{
    struct host h;
    struct conn *c;
    int l;
    int f;

    (void)state;
    c = open_follower(&h, &(struct fx_options){0}, &l);
    f = c->node;
    say(c, "{\"type\":\"follower_read\",\"msg_id\":1,\"key\":\"x\"}");
    settle(&h);
    expect_format(
        c,
        "{\"type\":\"follower_read_ok\",\"in_reply_to\":1,\"value\":1,\"read_at_index\":3,"
        "\"served_by\":\"n%d\",\"linearizable\":true}",
        f + 1);
    say(c, "{\"type\":\"follower_read\",\"msg_id\":2,\"key\":\"none\",\"verbose\":true}");
    settle(&h);
    expect_format(
        c,
        "{\"type\":\"follower_read_ok\",\"in_reply_to\":2,\"value\":null,\"read_at_index\":3,"
        "\"served_by\":\"n%d\",\"linearizable\":true,\"exists\":false,\"read_index\":3,"
        "\"term\":2,\"proof\":\"leader\",\"by\":\"n%d\"}",
        f + 1, l + 1);
    /* Where nothing else is asked for, each node answers. */
    exchange(&h, c, "{\"type\":\"read\",\"msg_id\":3,\"key\":\"x\"}",
             "{\"type\":\"read_ok\",\"in_reply_to\":3,\"value\":1}");
    say(c, "{\"type\":\"read\",\"msg_id\":4,\"key\":\"x\",\"verbose\":true}");
    settle(&h);
    expect_format(c,
                  "{\"type\":\"read_ok\",\"in_reply_to\":4,\"value\":1,\"exists\":true,"
                  "\"create_index\":3,\"modify_index\":3,\"version\":1,\"read_at_index\":3,"
                  "\"served_by\":\"n%d\",\"linearizable\":true,\"read_index\":3,\"term\":2,"
                  "\"proof\":\"leader\",\"by\":\"n%d\"}",
                  f + 1, l + 1);
    say(c, "{\"type\":\"read\",\"msg_id\":5,\"key\":\"none\"}");
    settle(&h);
    json_decref(expect_error(c, 5, "key_not_found", 20, true, EXTRA("index")));
    say(c, "{\"type\":\"read\",\"msg_id\":6,\"key\":\"x\",\"via\":\"read_index\"}");
    json_decref(expect_error(c, 6, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    say(c, "{\"type\":\"batch_read_index\",\"msg_id\":7,\"keys\":[\"x\"]}");
    json_decref(expect_error(c, 7, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    /* At the leader it is a round, without its number: many share it. */
    c = conn_open(&h, l);
    say(c, "{\"type\":\"read\",\"msg_id\":8,\"key\":\"x\",\"via\":\"follower\",\"verbose\":true}");
    settle(&h);
    expect_format(c,
                  "{\"type\":\"read_ok\",\"in_reply_to\":8,\"value\":1,\"exists\":true,"
                  "\"create_index\":3,\"modify_index\":3,\"version\":1,\"read_at_index\":3,"
                  "\"served_by\":\"n%d\",\"linearizable\":true,\"read_index\":3,\"term\":2,"
                  "\"proof\":\"round\",\"by\":\"n%d\"}",
                  l + 1, l + 1);
    host_done(&h);
}

/* CLIENT-8: so is whether there was a lease. */
static void service__lease_reads_say_whether_there_was_one(void **state)
{
    const struct fx_options options = {.lease_us = 200000};
    struct host h;
    struct conn *c;
    int l;

    (void)state;
    c = open_follower(&h, &options, &l);
    say(c, "{\"type\":\"lease_read\",\"msg_id\":1,\"key\":\"x\"}");
    json_decref(expect_error(c, 1, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    c = conn_open(&h, l);
    exchange(&h, c, "{\"type\":\"lease_read\",\"msg_id\":2,\"key\":\"x\"}",
             "{\"type\":\"lease_read_ok\",\"in_reply_to\":2,\"value\":1,\"read_at_index\":3,"
             "\"lease_valid\":true,\"linearizable\":true}");
    say(c, "{\"type\":\"read\",\"msg_id\":3,\"key\":\"x\",\"via\":\"lease\",\"verbose\":true}");
    settle(&h);
    expect_format(c,
                  "{\"type\":\"read_ok\",\"in_reply_to\":3,\"value\":1,\"exists\":true,"
                  "\"create_index\":3,\"modify_index\":3,\"version\":1,\"read_at_index\":3,"
                  "\"lease_valid\":true,\"linearizable\":true,\"read_index\":3,\"term\":2,"
                  "\"proof\":\"lease\",\"by\":\"n%d\"}",
                  l + 1);
    h.fx.nodes[l].slept_us += 1000000;
    exchange(&h, c, "{\"type\":\"lease_read\",\"msg_id\":4,\"key\":\"x\"}",
             "{\"type\":\"lease_read_ok\",\"in_reply_to\":4,\"value\":1,\"read_at_index\":3,"
             "\"lease_valid\":false,\"linearizable\":true}");
    host_done(&h);
}

/* READ-67: a leader with a lease says where a read is answered that it has no room for. */
static void service__a_lease_spares_a_leader_reads(void **state)
{
    const struct fx_options options = {.lease_us = 200000};
    static const char read_index[] = "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}";
    struct host h;
    struct conn *c;
    json_t *root;
    int f;
    int l;

    (void)state;
    c = open_follower(&h, &options, &l);
    c = conn_open(&h, l);
    memory_set_limit(&h.memory, 100);
    for (unsigned i = 0; i < 2; i++) { /* then the one that it named is not heard any more */
        say(c, read_index);
        root = expect_error(c, 1, "overloaded", 11, true,
                            EXTRA("limit", "retry_after_ms", "anchor", "try", "cluster"));
        assert_string_equal(str_of(root, "cluster"), "0123456789abcdef");
        assert_int_equal(int_of(root, "anchor"), 3);
        f = fx_other(&h.fx, l);
        if (strcmp(str_of(root, "try"), host_client_addr(&h, h.fx.nodes[f].id)) != 0)
            f = 3 - l - f;
        assert_string_equal(str_of(root, "try"), host_client_addr(&h, h.fx.nodes[f].id));
        assert_false(h.fx.cut[f]);
        json_decref(root);
        h.fx.cut[f] = i == 0;
        advance(&h, 3 * FX_ELECTION_US);
        assert_true(replica_can_serve(h.fx.nodes[l].replica));
    }
    /* What asks for less than now, or for one state and no other, is not spared. */
    say(c, "{\"type\":\"local_read\",\"msg_id\":1,\"key\":\"x\"}");
    json_decref(expect_error(c, 1, "overloaded", 11, true, EXTRA("limit", "retry_after_ms")));
    say(c, "{\"type\":\"read\",\"msg_id\":1,\"key\":\"x\",\"via\":\"log\"}");
    json_decref(expect_error(c, 1, "overloaded", 11, true, EXTRA("limit", "retry_after_ms")));
    /* The machine slept, so that the lease is over: nothing is proved any more. */
    h.fx.nodes[l].slept_us += 1000000;
    say(c, read_index);
    json_decref(expect_error(c, 1, "overloaded", 11, true, EXTRA("limit", "retry_after_ms")));
    host_done(&h);
}

/* BOUND-1: the age that is told is a bound, rounded up; nothing is claimed beyond it. */
static void service__bounded_reads_say_how_old(void **state)
{
    struct host h;
    struct conn *c;
    int64_t ms;
    json_t *root;
    int l;

    (void)state;
    c = open_follower(&h, &(struct fx_options){0}, &l);
    say(c, "{\"type\":\"local_read\",\"msg_id\":1,\"key\":\"x\",\"max_stale_ms\":500}");
    settle(&h);
    root = json_loads(take(c), 0, NULL);
    ms = int_of(root, "staleness_ms");
    json_decref(root);
    assert_in_range(ms, 0, 500);
    fx_pass_time(&h.fx, 2001);
    say(c, "{\"type\":\"local_read\",\"msg_id\":2,\"key\":\"x\",\"max_stale_ms\":500}");
    settle(&h);
    expect_format(c,
                  "{\"type\":\"local_read_ok\",\"in_reply_to\":2,\"value\":1,\"applied_index\":3,"
                  "\"staleness_ms\":%lld,\"linearizable\":false}",
                  (long long)ms + 3);
    say(c, "{\"type\":\"local_read\",\"msg_id\":3,\"key\":\"x\",\"max_stale_ms\":500,"
           "\"verbose\":true}");
    settle(&h);
    expect_format(c,
                  "{\"type\":\"local_read_ok\",\"in_reply_to\":3,\"value\":1,\"applied_index\":3,"
                  "\"staleness_ms\":%lld,\"linearizable\":false,\"exists\":true,"
                  "\"create_index\":3,\"modify_index\":3,\"version\":1,\"read_index\":3,"
                  "\"proof\":\"stamp\",\"by\":\"n%d\"}",
                  (long long)ms + 3, c->node + 1);
    h.fx.cut[c->node] = true;
    say(c, "{\"type\":\"local_read\",\"msg_id\":4,\"key\":\"x\",\"max_stale_ms\":1,"
           "\"timeout_ms\":700}");
    advance(&h, 710000);
    root = expect_error(c, 4, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause"));
    assert_string_equal(str_of(root, "stage"), "age");
    json_decref(root);
    host_done(&h);
}

/* FOLLOW-7: who is behind says by how much, and who is not. */
static void service__who_is_behind_names_the_leader(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *leader;
    json_t *root;
    char name[8];
    int l;

    (void)state;
    c = open_follower(&h, &(struct fx_options){0}, &l);
    leader = conn_open(&h, l);
    h.fx.nodes[c->node].fail_begin = REPLICA_STATE_E_FULL;
    exchange(&h, leader, "{\"type\":\"write\",\"key\":\"x\",\"value\":2}",
             "{\"type\":\"write_ok\"}");
    advance(&h, 2 * FX_HEARTBEAT_US);
    say(c, "{\"type\":\"follower_read\",\"msg_id\":1,\"key\":\"x\"}");
    settle(&h);
    root = expect_error(c, 1, "overloaded", 11, true,
                        EXTRA("limit", "retry_after_ms", "leader_id", "leader_addr"));
    (void)snprintf(name, sizeof(name), "n%d", l + 1);
    assert_string_equal(str_of(root, "leader_id"), name);
    assert_non_null(strstr(str_of(root, "text"), "this node is 1 entry behind"));
    assert_non_null(strstr(str_of(root, "text"), name));
    json_decref(root);
    /* A state that is being made again is behind in another way. */
    h.fx.nodes[c->node].fail_begin = 0;
    advance(&h, 2000000);
    h.fx.nodes[c->node].fail_get = FX_DAMAGED;
    say(c, "{\"type\":\"follower_read\",\"msg_id\":2,\"key\":\"x\"}");
    settle(&h);
    root = expect_error(c, 2, "overloaded", 11, true,
                        EXTRA("limit", "retry_after_ms", "leader_id", "leader_addr"));
    assert_non_null(strstr(str_of(root, "text"), "makes its state again"));
    json_decref(root);
    host_done(&h);
}

/* The host may say what a read is that names no method. */
static void service__a_read_is_what_the_host_says(void **state)
{
    static const struct {
        enum wire_via via;
        const char *field;
    } rows[] = {{WIRE_VIA_READ_INDEX, "\"heartbeat_confirmed\":true"},
                {WIRE_VIA_LOG, "\"log_index_used\":"},
                {WIRE_VIA_LEASE, "\"lease_valid\":false"},
                {WIRE_VIA_FOLLOWER, "\"served_by\":\"n1\""},
                {WIRE_VIA_LOCAL, "\"applied_index\":"}};
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h.services[0]->conf.read_via = rows[i].via;
        assert_int_equal(service_via_of(h.services[0], WIRE_VIA_DEFAULT), rows[i].via);
        assert_int_equal(service_via_of(h.services[0], WIRE_VIA_LOCAL), WIRE_VIA_LOCAL);
        say(c, "{\"type\":\"read\",\"key\":\"x\",\"verbose\":true}");
        settle(&h);
        assert_non_null(strstr(take(c), rows[i].field));
    }
    host_done(&h);
}

static void service__writes_have_exactly_their_fields(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    exchange(&h, c, "{\"type\":\"write\",\"msg_id\":1,\"key\":1,\"value\":null,\"verbose\":true}",
             "{\"type\":\"write_ok\",\"in_reply_to\":1,\"index\":3}");
    exchange(&h, c,
             "{\"type\":\"cas\",\"msg_id\":2,\"key\":1,\"from\":null,\"to\":{\"a\":1,\"b\":2}}",
             "{\"type\":\"cas_ok\",\"in_reply_to\":2}");
    exchange(&h, c,
             "{\"type\":\"cas\",\"msg_id\":3,\"key\":1,\"from\":{\"b\":2,\"a\":1},\"to\":1,"
             "\"verbose\":true}",
             "{\"type\":\"cas_ok\",\"in_reply_to\":3,\"index\":5}");
    say(c, "{\"type\":\"cas\",\"msg_id\":4,\"key\":1,\"from\":1.0,\"to\":2}");
    settle(&h);
    json_decref(expect_error(c, 4, "precondition_failed", 22, true, EXTRA("index")));
    say(c, "{\"type\":\"cas\",\"msg_id\":5,\"key\":\"1\",\"from\":1,\"to\":2}");
    settle(&h);
    json_decref(expect_error(c, 5, "key_not_found", 20, true, EXTRA("index")));
    exchange(&h, c,
             "{\"type\":\"cas\",\"msg_id\":6,\"key\":\"1\",\"from\":1,\"to\":2,"
             "\"create_if_not_exists\":true}",
             "{\"type\":\"cas_ok\",\"in_reply_to\":6}");
    exchange(&h, c, "{\"type\":\"delete\",\"msg_id\":7,\"key\":1}",
             "{\"type\":\"delete_ok\",\"in_reply_to\":7,\"existed\":true}");
    exchange(&h, c, "{\"type\":\"delete\",\"msg_id\":8,\"key\":1}",
             "{\"type\":\"delete_ok\",\"in_reply_to\":8,\"existed\":false}");
    host_done(&h);
}

static const char opens[] = "{\"type\":\"open_session\",\"msg_id\":1,\"verbose\":true}";

/* What is repeated is answered as it was the first time, to the byte (SESSION-1). */
static void service__a_repeated_write_has_the_first_answer(void **state)
{
    static const struct {
        const char *line;
        const char *reply;
    } rows[] = {
        {"\"type\":\"write\",\"key\":1,\"value\":1,\"client\":\"3\",\"seq\":1,\"verbose\":true",
         "{\"type\":\"write_ok\",\"index\":4}"},
        {"\"type\":\"write\",\"key\":1,\"value\":1,\"client\":\"3\",\"seq\":1",
         "{\"type\":\"write_ok\"}"},
        {"\"type\":\"cas\",\"key\":1,\"from\":1,\"to\":2,\"client\":\"3\",\"seq\":2,\"first\":2",
         "{\"type\":\"cas_ok\"}"},
        {"\"type\":\"delete\",\"key\":1,\"client\":\"3\",\"seq\":3,\"verbose\":true",
         "{\"type\":\"delete_ok\",\"existed\":true,\"index\":*}"},
        {"\"type\":\"cas\",\"key\":1,\"from\":1,\"to\":2,\"client\":\"3\",\"seq\":4",
         "{\"type\":\"error\",\"code\":20,*,\"index\":*}"},
        {"\"type\":\"write\",\"key\":2,\"value\":1,\"client\":\"3\",\"seq\":5",
         "{\"type\":\"write_ok\"}"},
        {"\"type\":\"cas\",\"key\":2,\"from\":5,\"to\":2,\"client\":\"3\",\"seq\":6",
         "{\"type\":\"error\",\"code\":22,*,\"index\":*}"},
    };
    char first[sizeof(rows) / sizeof(rows[0])][300];
    struct host h;
    struct conn *c;
    json_t *error;

    (void)state;
    c = open_leader(&h);
    exchange(&h, c, opens, "{\"type\":\"open_session_ok\",\"in_reply_to\":1,\"client\":\"3\"}");
    for (unsigned round = 0; round < 3; round++) {
        h.fx.nodes[0].no_space = NULL;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            char line[300];
            const char *got;

            (void)snprintf(line, sizeof(line), "{%s}", rows[i].line);
            say(c, line);
            settle(&h);
            got = take(c);
            if (round == 0)
                (void)snprintf(first[i], sizeof(first[i]), "%s", got);
            assert_string_equal(got, first[i]);
            (void)snprintf(line, sizeof(line), "%s\n", rows[i].reply);
            if (fnmatch(line, got, 0) != 0)
                fail_msg("%s: %s", rows[i].line, got);
        }
    }
    /* Decided at apply: used and limit are those of then. */
    h.fx.nodes[0].says_no_space = true;
    for (unsigned round = 0; round < 2; round++) {
        say(c,
            "{\"type\":\"write\",\"msg_id\":7,\"key\":9,\"value\":1,\"client\":\"3\",\"seq\":7}");
        settle(&h);
        error = expect_error(c, 7, "no_space", 14, true, EXTRA("used", "limit", "what"));
        assert_string_equal(str_of(error, "what"), "quota");
        assert_int_equal(int_of(error, "limit"), 7);
        json_decref(error);
        for (int i = 0; i < h.fx.n; i++)
            h.fx.nodes[i].says_no_space = false;
    }
    host_done(&h);
}

/* Neither definite: what became of the write is not known (SESSION-3). And while a member may not
 * understand sessions nothing that needs them is appended (SESSION-7). */
static void service__sessions_that_are_not_there(void **state)
{
    struct host h;
    struct conn *c;
    json_t *error;

    (void)state;
    c = open_leader(&h);
    say(c, "{\"type\":\"write\",\"msg_id\":9,\"key\":1,\"value\":1,\"client\":\"12\",\"seq\":1}");
    settle(&h);
    error = expect_error(c, 9, "session_expired", 13, false, EXTRA("client"));
    assert_string_equal(str_of(error, "client"), "12");
    assert_non_null(strstr(str_of(error, "text"), "open a new session"));
    json_decref(error);
    say(c, "{\"type\":\"delete\",\"msg_id\":9,\"key\":1,\"client\":\"18446744073709551615\","
           "\"seq\":9223372036854775807,\"first\":9223372036854775807}");
    settle(&h);
    error = expect_error(c, 9, "session_expired", 13, false, EXTRA("client"));
    assert_string_equal(str_of(error, "client"), "18446744073709551615");
    json_decref(error);
    h.fx.nodes[0].behind = h.fx.nodes[0].id;
    say(c, opens);
    error = expect_error(c, 1, "not_supported", 10, true, EXTRA("request_type"));
    assert_string_equal(str_of(error, "request_type"), "open_session");
    assert_non_null(strstr(str_of(error, "text"), "n1 is not known to understand sessions"));
    json_decref(error);
    say(c, "{\"type\":\"write\",\"msg_id\":2,\"key\":1,\"value\":1,\"client\":\"3\",\"seq\":1}");
    error = expect_error(c, 2, "not_supported", 10, true, EXTRA("request_type"));
    assert_string_equal(str_of(error, "request_type"), "write");
    json_decref(error);
    /* What needs none goes on. */
    exchange(&h, c, "{\"type\":\"write\",\"msg_id\":1,\"key\":1,\"value\":1}",
             "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    host_done(&h);
}

static void service__envelopes_are_turned_round(void **state)
{
    static const char ping[] =
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\",\"msg_id\":4}}";
    struct host h;
    struct conn *c;

    (void)state;
    host_init(&h, 1);
    c = conn_open(&h, 0);
    exchange(&h, c, ping,
             "{\"src\":\"n1\",\"dest\":\"c1\",\"body\":{\"type\":\"pong\",\"in_reply_to\":4,"
             "\"node\":\"n1\",\"role\":\"follower\",\"term\":1,\"applied_index\":0,\"msg_id\":0}}");
    assert_true(service_next_msg_id(h.services[0]) == 1);
    exchange(
        &h, c, "{\"type\":\"ping\"}",
        "{\"type\":\"pong\",\"node\":\"n1\",\"role\":\"follower\",\"term\":1,\"applied_index\":1}");
    say(c, ping);
    assert_non_null(strstr(take(c), "\"msg_id\":2}}"));
    host_done(&h);
}

/* A bare line and one in an envelope are answered by the same members, whichever way they are
 * written (WIRE-5). */
static void expect_alike(struct host *h, struct conn *c, const char *body)
{
    char line[512];
    char *bare;
    const char *got;

    say(c, body);
    settle(h);
    bare = strdup(take(c));
    assert_non_null(bare);
    assert_int_equal(bare[strlen(bare) - 2], '}');
    bare[strlen(bare) - 2] = '\0'; /* the end of it is not that of a body */
    (void)snprintf(line, sizeof(line), "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":%s}", body);
    say(c, line);
    settle(h);
    got = strstr(take(c), "\"body\":");
    assert_non_null(got);
    got += strlen("\"body\":");
    if (strncmp(got, bare, strlen(bare)) != 0 ||
        strncmp(got + strlen(bare), ",\"msg_id\":", 10) != 0)
        fail_msg("%s and %s", bare, got);
    free(bare);
}

static void service__replies_in_one_piece_are_as_others(void **state)
{
    static const char *const types[] = {"read_index", "lease_read", "local_read", "follower_read",
                                        "read"};
    static const char *const ids[] = {"0", "9", "10", "99", "100", "12345", "9007199254740991"};
    static const char *const keys[] = {"\"x\"", "\"empty\"", "\"none\"", "7"};
    struct host h;
    struct conn *c = open_leader(&h);

    (void)state;
    exchange(&h, c, "{\"type\":\"write\",\"key\":\"x\",\"value\":{\"a\":[\"\\u00e4\\n\",1.5]}}",
             "{\"type\":\"write_ok\"}");
    exchange(&h, c, "{\"type\":\"write\",\"key\":\"empty\",\"value\":\"\"}",
             "{\"type\":\"write_ok\"}");
    exchange(&h, c, "{\"type\":\"write\",\"key\":7,\"value\":null}", "{\"type\":\"write_ok\"}");
    for (unsigned t = 0; t < 5; t++)
        for (unsigned i = 0; i < 7; i++)
            for (unsigned k = 0; k < 4; k++) {
                char body[256];

                (void)snprintf(body, sizeof(body), "{\"type\":\"%s\",\"msg_id\":%s,\"key\":%s}",
                               types[t], ids[i], keys[k]);
                expect_alike(&h, c, body);
            }
    host_done(&h);
}

/* What is kept of requests that are over: as much as one size holds, so many, and none of those
 * that are under way. */
#define N_MANY (REQUESTS_KEPT_MAX * 2)
static void service__memory_of_requests_is_used_again(void **state)
{
    struct host h;
    struct conn *c = open_leader(&h);
    struct service *s = h.services[0];
    static const char begin[] = "{\"type\":\"read_index_ok\",\"in_reply_to\":";
    struct buf line = BUF_INIT;

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N_MANY; i++) {
            buf_reset(&line, SIZE_MAX);
            assert_int_equal(
                buf_add_format(&line, "{\"type\":\"read_index\",\"msg_id\":%u,\"key\":\"%0*u\"}", i,
                               i % 7 == 0 ? 400 : 1 + (int)(i % REQUEST_ROOM_BYTES), i),
                0);
            assert_false(service_line(c->sc, (const char *)line.data, line.len, 1));
        }
        service_conn_check(c->sc);
        assert_int_equal(service_n_pending(s), N_MANY);
        settle(&h);
        service_conn_check(c->sc);
        assert_int_equal(service_n_pending(s), 0);
        assert_int_equal(s->n_kept, KEEP_FREE ? REQUESTS_KEPT_MAX : 0);
        for (const char *p = take(c); *p != '\0'; p = strchr(p, '\n') + 1)
            assert_memory_equal(p, begin, sizeof(begin) - 1);
    }
    buf_done(&line);
    host_done(&h);
}

/* Keys and commands of any length beside each other, all of them under way at once. */
static void service__commands_find_room_behind_keys(void **state)
{
    static const int keys[] = {2, 60, 150, 188, 191, 192, 400};
    static const int values[] = {2, 10, 60, 100, 110, 130, 180, 400};
    const unsigned n = sizeof(keys) / sizeof(keys[0]);
    const unsigned n_rounds = sizeof(values) / sizeof(values[0]);
    cleanup_buf struct buf line = BUF_INIT;
    struct host h;
    struct conn *c = open_leader(&h);

    (void)state;
    for (unsigned round = 0; round < n_rounds; round++) {
        for (unsigned i = 0; i < n; i++) {
            buf_reset(&line, SIZE_MAX);
            assert_int_equal(
                buf_add_format(&line, "{\"type\":\"write\",\"key\":\"%0*u\",\"value\":\"%0*u\"}",
                               keys[i], i, values[round], i + round),
                0);
            assert_false(service_line(c->sc, (const char *)line.data, line.len, 1));
        }
        service_conn_check(c->sc);
        assert_int_equal(service_n_pending(h.services[0]), n);
        settle(&h);
        (void)take(c);
        for (unsigned i = 0; i < n; i++) {
            char want[512];

            buf_reset(&line, SIZE_MAX);
            assert_int_equal(
                buf_add_format(&line, "{\"type\":\"read\",\"key\":\"%0*u\"}%c", keys[i], i, '\0'),
                0);
            (void)snprintf(want, sizeof(want), "{\"type\":\"read_ok\",\"value\":\"%0*u\"}",
                           values[round], i + round);
            exchange(&h, c, (const char *)line.data, want);
        }
    }
    host_done(&h);
}

static struct service_member_answer member_answer;
static char member_asked[64];

static void host_member(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                        struct service_member_answer *ret)
{
    (void)ctx;
    (void)snprintf(member_asked, sizeof(member_asked), "%s %.*s %d %d",
                   wire_request_type_name(verb), (int)q->id.len, q->id.data, q->dry_run,
                   (int)q->based_on);
    *ret = member_answer;
}

static void service__a_change_of_the_members_is_answered(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    h.services[0]->ops.member = host_member;
    member_answer = (struct service_member_answer){.done = true,
                                                   .configuration_index = 9,
                                                   .voters_before = 3,
                                                   .voters_after = 4,
                                                   .heard_after = 2,
                                                   .task = 77};
    say(c, "{\"type\":\"member_remove\",\"msg_id\":1,\"id\":\"n4\",\"dry_run\":true,"
           "\"based_on\":7}");
    assert_string_equal(member_asked, "member_remove n4 1 7");
    assert_string_equal(take(c),
                        "{\"type\":\"member_remove_ok\",\"in_reply_to\":1,\"done\":true,"
                        "\"configuration_index\":9,\"voters\":3,\"quorum\":2,"
                        "\"voters_after\":4,\"quorum_after\":3,\"heard_after\":2,\"task\":77}\n");
    member_answer = (struct service_member_answer){.error = WIRE_ERROR_PRECONDITION_FAILED,
                                                   .text = "it is the last voter",
                                                   .configuration_index = 9};
    say(c, "{\"type\":\"member_demote\",\"msg_id\":2,\"id\":\"n4\"}");
    assert_string_equal(take(c), "{\"type\":\"error\",\"in_reply_to\":2,\"code\":22,"
                                 "\"text\":\"it is the last voter\","
                                 "\"error\":\"precondition_failed\",\"definite\":true,"
                                 "\"index\":9}\n");
    member_answer = (struct service_member_answer){.error = WIRE_ERROR_BUSY, .text = "ask again"};
    say(c, "{\"type\":\"member_demote\",\"msg_id\":2,\"id\":\"n4\"}");
    assert_string_equal(take(c), "{\"type\":\"error\",\"in_reply_to\":2,\"code\":11,"
                                 "\"text\":\"ask again\",\"error\":\"busy\",\"definite\":true,"
                                 "\"limit\":1,\"retry_after_ms\":200}\n");
    member_answer =
        (struct service_member_answer){.error = WIRE_ERROR_NOT_SUPPORTED, .text = "not here"};
    say(c, "{\"type\":\"member_demote\",\"msg_id\":2,\"id\":\"n4\"}");
    assert_string_equal(take(c), "{\"type\":\"error\",\"in_reply_to\":2,\"code\":10,"
                                 "\"text\":\"not here\",\"error\":\"not_supported\","
                                 "\"definite\":true,\"request_type\":\"member_demote\"}\n");
    member_answer =
        (struct service_member_answer){.error = WIRE_ERROR_INTERNAL, .text = "no memory"};
    say(c, "{\"type\":\"member_demote\",\"msg_id\":2,\"id\":\"n4\"}");
    assert_string_equal(take(c), "{\"type\":\"error\",\"in_reply_to\":2,\"code\":14,"
                                 "\"text\":\"no memory\",\"error\":\"internal\","
                                 "\"definite\":true,\"ref\":\"members_not_changed\"}\n");
    member_answer = (struct service_member_answer){.error = WIRE_ERROR_NOT_LEADER};
    say(c, "{\"type\":\"member_promote\",\"msg_id\":3,\"id\":\"n4\"}");
    assert_non_null(strstr(take(c), "not_leader"));
    host_done(&h);
}

static void service__what_it_cannot_do_is_refused(void **state)
{
    static const char *const types[] = {
        "\"type\":\"snapshot\"", "\"type\":\"member_remove\",\"id\":\"n1\"",
        "\"type\":\"init\",\"node_id\":\"n1\",\"node_ids\":[\"n1\"]", "\"type\":\"jump\\\"\\n\""};
    struct host h;
    const char *text;
    struct conn *c;
    json_t *error;

    (void)state;
    c = open_leader(&h);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char line[256];

        (void)snprintf(line, sizeof(line), "{%s,\"msg_id\":%zu}", types[i], i);
        say(c, line);
        error = expect_error(c, (int)i, "not_supported", 10, true, EXTRA("request_type"));
        assert_true(strlen(str_of(error, "request_type")) > 0);
        json_decref(error);
    }
    say(c, "   \t\r");
    say(c, "");
    assert_string_equal(take(c), "");
    say(c, "{\"type\":\"read\",\"msg_id\":3}");
    json_decref(expect_error(c, 3, "malformed", 12, true, EXTRA("field")));
    say(c, "rubbish");
    assert_non_null(strstr(take(c), "\"error\":\"malformed\",\"definite\":true,\"line\":7}\n"));
    service_line_too_long(c->sc, 12, 1000);
    assert_non_null(
        strstr(take(c), "\"error\":\"too_large\",\"definite\":true,\"limit\":1000,\"line\":12}\n"));
    service_line_foreign(c->sc, 13, WIRE_FOREIGN_OTHER);
    text = take(c);
    assert_non_null(
        strstr(text, "this is no request: one is a JSON object on a line; the connection"));
    assert_non_null(strstr(text, "\"error\":\"malformed\",\"definite\":true,\"line\":13}\n"));
    service_line_foreign(c->sc, 14, WIRE_FOREIGN_HTTP);
    text = take(c);
    assert_non_null(
        strstr(text, "this line looks like HTTP, which is not spoken here; the connection"));
    assert_non_null(strstr(text, "\"error\":\"malformed\",\"definite\":true,\"line\":14}\n"));
    service_line_foreign(c->sc, 1, WIRE_FOREIGN_TLS);
    text = take(c);
    assert_non_null(
        strstr(text, "this looks like TLS, and this port speaks plain text; the connection"));
    service_refuse_connection(h.services[0], &c->out, 5, false);
    assert_non_null(strstr(
        take(c), "\"error\":\"busy\",\"definite\":true,\"limit\":5,\"retry_after_ms\":1000}\n"));
    service_refuse_connection(h.services[0], &c->out, 4, true);
    text = take(c);
    assert_non_null(strstr(text, "from this address"));
    assert_non_null(strstr(text, "\"limit\":4,"));
    assert_int_equal(service_n_pending(h.services[0]), 0);
    host_done(&h);
}

/* What a connection may do is asked for each request (ACCESS-3). */
static void service__what_is_denied(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    host_init(&h, 1);
    c = conn_open(&h, 0);
    n_denied = 0;
    host_has = SERVICE_READ;
    say(c, "{\"type\":\"ping\",\"msg_id\":1}");
    assert_non_null(strstr(take(c), "\"type\":\"pong\""));
    say(c, "{\"type\":\"write\",\"msg_id\":2,\"key\":1,\"value\":1}");
    assert_string_equal(
        take(c), "{\"type\":\"error\",\"in_reply_to\":2,\"code\":14,\"text\":\"this needs the role "
                 "'write', and uid 7 (seven) has 'read' on this node; see [access] in "
                 "ridd.conf(5)\",\"error\":\"denied\",\"definite\":true,\"role\":\"write\","
                 "\"identity\":\"uid 7 (seven)\"}\n");
    assert_int_equal(n_denied, 1);
    assert_int_equal(service_n_pending(h.services[0]), 0);
    host_has = SERVICE_WRITE;
    say(c, "{\"type\":\"transfer_leader\",\"msg_id\":3,\"to\":\"n1\"}");
    json_decref(expect_error(c, 3, "denied", 14, true, EXTRA("role", "identity")));
    host_has = SERVICE_NONE;
    say(c, "{\"type\":\"ping\",\"msg_id\":4}");
    json_decref(expect_error(c, 4, "denied", 14, true, EXTRA("role", "identity")));
    say(c, "{\"type\":\"no_such\",\"msg_id\":5}");
    json_decref(expect_error(c, 5, "denied", 14, true, EXTRA("role", "identity")));
    assert_int_equal(n_denied, 4);
    host_has = SERVICE_ADMIN;
    say(c, "{\"type\":\"ping\",\"msg_id\":6}");
    assert_non_null(strstr(take(c), "\"type\":\"pong\""));
    host_done(&h);
}

static void service__without_a_replica_only_ping(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    host_init(&h, 1);
    c = conn_open(&h, 0);
    service_set_replica(h.services[0], NULL, NULL);
    service_turn(h.services[0], h.fx.now_us);
    say(c, "{\"type\":\"ping\",\"msg_id\":1}");
    assert_non_null(
        strstr(take(c), "{\"type\":\"pong\",\"in_reply_to\":1,\"node\":null,\"role\":null"));
    say(c, "{\"type\":\"status\",\"msg_id\":2}");
    json_decref(expect_error(c, 2, "not_supported", 10, true, EXTRA("request_type")));
    say(c, "{\"type\":\"write\",\"msg_id\":3,\"key\":1,\"value\":1}");
    json_decref(expect_error(c, 3, "not_supported", 10, true, EXTRA("request_type")));
    host_done(&h);
}

static void service__status_and_members_need_no_leader(void **state)
{
    struct host h;
    struct conn *c;
    json_t *root;
    int l;

    (void)state;
    host_init(&h, 3);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"status\",\"msg_id\":1}");
    root = json_loads(take(c), 0, NULL);
    assert_string_equal(str_of(root, "type"), "status_ok");
    assert_string_equal(str_of(root, "node"), "n1");
    assert_string_equal(str_of(root, "cluster"), "test");
    assert_string_equal(str_of(root, "role"), "follower");
    assert_true(json_is_null(json_object_get(root, "leader_id")));
    assert_int_equal(json_array_size(json_object_get(root, "peers")), 2);
    assert_int_equal(int_of(root, "of_the_host"), 1);
    json_decref(root);
    say(c, "{\"type\":\"members\",\"msg_id\":2}");
    expect_line(
        c,
        "{\"type\":\"members_ok\",\"in_reply_to\":2,\"members\":["
        "{\"id\":\"n1\",\"role\":\"voter\",\"peer_addr\":null,\"client_addr\":\"10.0.0.1:7400\"},"
        "{\"id\":\"n2\",\"role\":\"voter\",\"peer_addr\":null,\"client_addr\":\"10.0.0.2:7400\"},"
        "{\"id\":\"n3\",\"role\":\"voter\",\"peer_addr\":null,\"client_addr\":\"10.0.0.3:7400\"}]"
        ",\"configuration_index\":1,\"committed\":true,\"removed\":[]}");
    l = fx_elect(&h.fx);
    advance(&h, 100000);
    c = conn_open(&h, l);
    say(c, "{\"type\":\"write\",\"msg_id\":3,\"key\":1,\"value\":1}");
    say(c, "{\"type\":\"status\",\"msg_id\":4}");
    root = json_loads(take(c), 0, NULL); /* at once; the write is not answered yet */
    assert_string_equal(str_of(root, "role"), "leader");
    assert_int_equal(int_of(root, "commit_index"), 2);
    assert_int_equal(int_of(root, "last_log_index"), 3);
    assert_int_equal(int_of(json_object_get(root, "writes"), "pending"), 1);
    for (size_t i = 0; i < 2; i++) {
        const json_t *peer = json_array_get(json_object_get(root, "peers"), i);

        assert_int_equal(int_of(peer, "match_index"), 2);
        assert_true(int_of(peer, "last_heard_ms") >= 0);
    }
    json_decref(root);
    host_done(&h);
}

/* ---- every failure and its code, as in the table of ridd-protocol(7) (WIRE-6) ---- */

static void service__not_leader(void **state)
{
    struct host h;
    struct conn *c;
    json_t *error;
    char line[256];
    int l;
    int f;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    f = fx_other(&h.fx, l);
    advance(&h, 60000);
    c = conn_open(&h, f);
    for (int i = 1; i <= 7; i++) {
        static const char *const asks[] = {"",
                                           "\"type\":\"read_index\",\"key\":1",
                                           "\"type\":\"read_via_log\",\"key\":1",
                                           "\"type\":\"batch_read_index\",\"keys\":[1]",
                                           "\"type\":\"write\",\"key\":1,\"value\":1",
                                           "\"type\":\"cas\",\"key\":1,\"from\":1,\"to\":1",
                                           "\"type\":\"compare_read_methods\",\"num_reads\":1",
                                           "\"type\":\"transfer_leader\""};

        (void)snprintf(line, sizeof(line), "{%s,\"msg_id\":%d}", asks[i], i);
        say(c, line);
        error = expect_error(c, i, "not_leader", 11, true, EXTRA("leader_id", "leader_addr"));
        (void)snprintf(line, sizeof(line), "n%d", l + 1);
        assert_string_equal(str_of(error, "leader_id"), line);
        (void)snprintf(line, sizeof(line), "10.0.0.%d:7400", l + 1);
        assert_string_equal(str_of(error, "leader_addr"), line);
        assert_non_null(strstr(str_of(error, "text"), line));
        json_decref(error);
    }
    assert_int_equal(service_n_pending(h.services[f]), 0);
    host_done(&h);
}

/* Four requests in the four ways to fail: two reads, a log read, a write after append. */
static struct conn *ask_four(struct host *h, int l, const char *timeout)
{
    static const char *const asks[] = {"\"type\":\"read_index\",\"msg_id\":1,\"key\":1",
                                       "\"type\":\"batch_read_index\",\"msg_id\":2,\"keys\":[1,2]",
                                       "\"type\":\"read_via_log\",\"msg_id\":3,\"key\":1",
                                       "\"type\":\"write\",\"msg_id\":4,\"key\":1,\"value\":1"};
    struct conn *four = NULL;

    for (int i = 0; i < 4; i++) {
        struct conn *c = conn_open(h, l);
        char line[256];

        (void)snprintf(line, sizeof(line), "{%s%s}", asks[i], timeout);
        say(c, line);
        assert_string_equal(take(c), "");
        assert_int_equal(c->n_held, 1);
        if (i == 0)
            four = c;
    }
    return four;
}

static void expect_four(struct conn *four, const char *error, int code, int code_after,
                        const char *const *extra)
{
    for (int i = 0; i < 4; i++) {
        json_decref(
            expect_error(&four[i], i + 1, error, i == 3 ? code_after : code, i != 3, extra));
        assert_int_equal(four[i].n_held, 0);
    }
}

static void service__term_changed(void **state)
{
    struct host h;
    struct conn *four;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    isolate(&h, l);
    four = ask_four(&h, l, "");
    fx_turn(&h.fx, l);
    fx_depose(&h.fx, l, fx_other(&h.fx, l));
    fx_turn(&h.fx, l);
    expect_four(four, "term_changed", 11, 13, EXTRA("old_term", "term", "leader_id"));
    host_done(&h);
}

static void service__role_changed(void **state)
{
    struct host h;
    struct conn *four;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    isolate(&h, l);
    four = ask_four(&h, l, "");
    for (int i = 0; i < 100 && service_n_pending(h.services[l]) > 0; i++) {
        fx_pass_time(&h.fx, 10000);
        fx_turn(&h.fx, l);
        fx_store(&h.fx, l);
    }
    expect_four(four, "role_changed", 11, 13, EXTRA("role", "leader_id"));
    host_done(&h);
}

static void service__timeout(void **state)
{
    struct host h;
    struct conn *four;
    json_t *error;
    struct conn *c;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    isolate(&h, l);
    four = ask_four(&h, l, ",\"timeout_ms\":100");
    fx_turn(&h.fx, l);
    fx_pass_time(&h.fx, 102000);
    fx_ack_round(&h.fx, l, fx_other(&h.fx, l), 0); /* heard, but nothing confirmed */
    fx_turn(&h.fx, l);
    expect_four(four, "timeout", 0, 0, EXTRA("timeout_ms", "stage", "cause"));
    host_done(&h);

    /* Before append a write is definite, too: nothing has been done. */
    host_init(&h, 1);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"write\",\"msg_id\":5,\"key\":1,\"value\":1,\"timeout_ms\":3}");
    fx_turn(&h.fx, 0);
    fx_pass_time(&h.fx, 5000);
    fx_turn(&h.fx, 0);
    error = expect_error(c, 5, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause"));
    assert_int_equal(int_of(error, "timeout_ms"), 3);
    assert_string_equal(str_of(error, "stage"), "leader");
    json_decref(error);
    host_done(&h);
}

static void service__network(void **state)
{
    struct host h;
    struct conn *four;
    struct conn *c;
    json_t *error;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    fx_advance(&h.fx, FX_HEARTBEAT_US);
    isolate(&h, l);
    /* Heard so late behind its reads' round, which is a heartbeat (READ-68), that their time ends
     * before it looks whether it was heard. */
    four = ask_four(&h, l, ",\"timeout_ms\":525");
    for (int i = 0; i < 20; i++) {
        fx_pass_time(&h.fx, 1000);
        fx_turn(&h.fx, l);
    }
    for (int i = 0; i < 3; i++)
        if (i != l)
            fx_ack_round(&h.fx, l, i, 0);
    while (four[0].n_held > 0) {
        fx_pass_time(&h.fx, 1000);
        fx_turn(&h.fx, l);
        fx_store(&h.fx, l);
    }
    expect_four(four, "network", 11, 0, EXTRA("reached", "needed"));
    host_done(&h);

    host_init(&h, 3);
    isolate(&h, 0);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"write\",\"msg_id\":5,\"key\":1,\"value\":1,\"timeout_ms\":3}");
    fx_turn(&h.fx, 0);
    fx_pass_time(&h.fx, 5000);
    fx_turn(&h.fx, 0);
    error = expect_error(c, 5, "network", 11, true, EXTRA("reached", "needed"));
    assert_int_equal(int_of(error, "reached"), 1);
    assert_int_equal(int_of(error, "needed"), 2);
    json_decref(error);
    host_done(&h);
}

static void service__cancelled(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *w;
    json_t *error;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    isolate(&h, l);
    w = conn_open(&h, l);
    say(w, "{\"type\":\"write\",\"msg_id\":1,\"key\":1,\"value\":1}");
    fx_turn(&h.fx, l);
    replica_quiesce(h.fx.nodes[l].replica);
    c = conn_open(&h, l);
    say(c, "{\"type\":\"write\",\"msg_id\":2,\"key\":1,\"value\":1}");
    error = expect_error(c, 2, "cancelled", 14, true, EXTRA("by"));
    assert_string_equal(str_of(error, "by"), "shutdown");
    json_decref(error);
    say(c, "{\"type\":\"read_index\",\"msg_id\":3,\"key\":1}");
    json_decref(expect_error(c, 3, "cancelled", 14, true, EXTRA("by")));
    /* The daemon ends before the write is committed. */
    service_set_replica(h.services[l], NULL, NULL);
    replica_free(h.fx.nodes[l].replica);
    h.fx.nodes[l].replica = NULL;
    json_decref(expect_error(w, 1, "cancelled", 13, false, EXTRA("by")));
    host_done(&h);
}

static void service__busy_and_too_large(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *d;
    char *text = malloc(3u << 20);
    char *line = malloc((3u << 20) + 256);
    int l;

    (void)state;
    assert_non_null(text);
    assert_non_null(line);
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    isolate(&h, l);
    c = conn_open(&h, l);
    d = conn_open(&h, l);
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        say(c, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":1}");
    assert_string_equal(take(c), "");
    assert_int_equal(c->n_held, REQUESTS_MAX);
    say(d, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":1}");
    json_decref(expect_error(d, 2, "busy", 11, true, EXTRA("limit", "retry_after_ms")));
    conn_close(c);
    /* Bytes that wait for a quorum. */
    memset(text, 'a', 500000);
    text[500000] = '\0';
    for (int i = 0;; i++) {
        assert_true(i < 100);
        (void)snprintf(line, 600000, "{\"type\":\"write\",\"msg_id\":3,\"key\":1,\"value\":\"%s\"}",
                       text);
        say(d, line);
        if (d->out.len > 0)
            break;
    }
    json_decref(expect_error(d, 3, "busy", 11, true, EXTRA("limit", "retry_after_ms")));
    host_done(&h);

    /* A reply that no line may carry becomes an error, and nothing of it leaves. */
    host_init(&h, 1);
    assert_int_equal(fx_elect(&h.fx), 0);
    c = conn_open(&h, 0);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(line, 600000,
                       "{\"type\":\"write\",\"msg_id\":%d,\"key\":%d,\"value\":\"%s\"}", i, i,
                       text);
        say(c, line);
        settle(&h);
        assert_non_null(strstr(take(c), "write_ok"));
    }
    say(c, "{\"type\":\"batch_read_index\",\"msg_id\":4,\"keys\":[0,1,2]}");
    settle(&h);
    json_decref(expect_error(c, 4, "too_large", 12, true, EXTRA("limit")));
    say(c, "{\"type\":\"batch_read_index\",\"msg_id\":5,\"keys\":[0,1]}");
    settle(&h);
    assert_non_null(strstr(take(c), "batch_read_index_ok"));
    host_done(&h);
    free(text);
    free(line);
}

/* Refused for certain, and reads go on (SPACE-2). */
static void service__no_space(void **state)
{
    struct host h;
    struct conn *c;
    json_t *error;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    advance(&h, 60000);
    c = conn_open(&h, l);
    exchange(&h, c, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    h.fx.nodes[l].no_space = "quota";
    say(c, "{\"type\":\"write\",\"msg_id\":1,\"key\":2,\"value\":1}");
    error = expect_error(c, 1, "no_space", 14, true, EXTRA("used", "limit", "what"));
    assert_string_equal(str_of(error, "what"), "quota");
    assert_non_null(strstr(str_of(error, "text"), "delete keys"));
    assert_int_equal(int_of(error, "used"), 95);
    assert_int_equal(int_of(error, "limit"), 100);
    json_decref(error);
    say(c, "{\"type\":\"cas\",\"msg_id\":2,\"key\":1,\"from\":1,\"to\":2}");
    json_decref(expect_error(c, 2, "no_space", 14, true, EXTRA("used", "limit", "what")));
    /* What helps is said: against a full log deleting does not. */
    h.fx.nodes[l].no_space = "log";
    say(c, "{\"type\":\"delete\",\"msg_id\":3,\"key\":1}");
    error = expect_error(c, 3, "no_space", 14, true, EXTRA("used", "limit", "what"));
    assert_non_null(strstr(str_of(error, "text"), "deleting keys does not help"));
    json_decref(error);
    /* Reads go on. */
    exchange(&h, c, "{\"type\":\"read\",\"key\":1}", "{\"type\":\"read_ok\",\"value\":1}");
    h.fx.nodes[l].no_space = NULL;
    /* Decided at apply it is as definite, although it was appended. */
    h.fx.nodes[l].says_no_space = true;
    say(c, "{\"type\":\"write\",\"msg_id\":4,\"key\":2,\"value\":1}");
    settle(&h);
    error = expect_error(c, 4, "no_space", 14, true, EXTRA("used", "limit", "what"));
    assert_string_equal(str_of(error, "what"), "quota");
    assert_int_equal(int_of(error, "limit"), 7);
    json_decref(error);
    h.fx.nodes[l].says_no_space = false;
    h.fx.nodes[l].no_space = "quota";
    /* Elsewhere the room of this node is nobody's business. */
    c = conn_open(&h, fx_other(&h.fx, l));
    say(c, "{\"type\":\"write\",\"msg_id\":3,\"key\":2,\"value\":1}");
    json_decref(expect_error(c, 3, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    host_done(&h);
}

/* A state that cannot be read for a moment is no damaged one. */
static void service__a_value_that_cannot_be_read_is_internal(void **state)
{
    static const char *const asks[] = {
        "{\"type\":\"read_index\",\"msg_id\":1,\"key\":1}",
        "{\"type\":\"read_via_log\",\"msg_id\":1,\"key\":1}",
        "{\"type\":\"batch_read_index\",\"msg_id\":1,\"keys\":[1,2]}",
        "{\"type\":\"local_read\",\"msg_id\":1,\"key\":1}"};
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    h.fx.nodes[0].fail_get = -ENOMEM;
    for (unsigned i = 0; i < 4; i++) {
        say(c, asks[i]);
        settle(&h);
        json_decref(expect_error(c, 1, "internal", 14, true, EXTRA("ref")));
        assert_int_equal(h.n_events, i + 1);
        assert_string_equal(h.last_event, "read_failed");
    }
    host_done(&h);
}

/* The run ends as any read does that meets damage; nobody has answered wrongly. */
static void service__a_damaged_value_is_no_violation(void **state)
{
    struct replica_stats stats;
    struct host h;
    struct conn *c;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    c = conn_open(&h, l);
    h.fx.nodes[l].fail_get = FX_DAMAGED;
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":10}");
    settle(&h);
    json_decref(expect_error(c, 1, "role_changed", 11, true, EXTRA("role", "leader_id")));
    assert_int_equal(h.n_events, 0);
    assert_int_equal(h.fx.nodes[l].n_damaged, 1);
    replica_get_stats(h.fx.nodes[l].replica, &stats);
    assert_int_equal(stats.n_reads[REPLICA_READ] + stats.n_reads[REPLICA_READ_LOG], 0);
    assert_true(stats.n_reads_failed > 0);
    host_done(&h);
}

/* FIT-7: no answer, and none of its kind again: another node leads, and this one is made anew. */
static void service__a_damaged_value_fails_the_read_and_not_the_key(void **state)
{
    static const char *const asks[] = {
        "{\"type\":\"read_index\",\"msg_id\":1,\"key\":1}",
        "{\"type\":\"read_via_log\",\"msg_id\":1,\"key\":1}",
        "{\"type\":\"batch_read_index\",\"msg_id\":1,\"keys\":[1,2]}",
        "{\"type\":\"local_read\",\"msg_id\":1,\"key\":1}"};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct host h;
        struct conn *c;
        int l;

        host_init(&h, 3);
        l = fx_elect(&h.fx);
        c = conn_open(&h, l);
        exchange(&h, c, "{\"type\":\"write\",\"key\":1,\"value\":5}", "{\"type\":\"write_ok\"}");
        h.fx.nodes[l].fail_get = FX_DAMAGED;
        say(c, asks[i]);
        settle(&h);
        json_decref(expect_error(c, 1, "role_changed", 11, true, EXTRA("role", "leader_id")));
        assert_int_equal(h.fx.nodes[l].n_damaged, 1);
        assert_int_not_equal(fx_elect(&h.fx), l);
        assert_int_equal(h.fx.nodes[l].n_rebuilds, 1);
        c = conn_open(&h, fx_leader(&h.fx));
        exchange(&h, c, "{\"type\":\"read\",\"key\":1}", "{\"type\":\"read_ok\",\"value\":5}");
        c = conn_open(&h, l);
        exchange(&h, c, "{\"type\":\"read\",\"via\":\"local\",\"key\":1}",
                 "{\"type\":\"read_ok\",\"value\":5}");
        host_done(&h);
    }
}

/* ---- order ---- */

static void service__a_connection_sees_its_own_writes(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *other;
    int l;
    int f;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    f = fx_other(&h.fx, l);
    c = conn_open(&h, l);
    other = conn_open(&h, l);
    exchange(&h, c, "{\"type\":\"write\",\"key\":1,\"value\":\"old\"}", "{\"type\":\"write_ok\"}");
    isolate(&h, l);
    say(c, "{\"type\":\"write\",\"key\":1,\"value\":\"new\"}");
    say(c, "{\"type\":\"read\",\"key\":1}");
    say(other, "{\"type\":\"read\",\"key\":1}");
    fx_turn(&h.fx, l);
    fx_store(&h.fx, l);
    fx_ack_round(&h.fx, l, f, fx_last_round(&h.fx, l));
    fx_turn(&h.fx, l);
    expect_line(other, "{\"type\":\"read_ok\",\"value\":\"old\"}");
    assert_string_equal(take(c), "");
    fx_ack_append(&h.fx, l, f, fx_last_index(&h.fx, l));
    fx_turn(&h.fx, l);
    assert_string_equal(take(c),
                        "{\"type\":\"write_ok\"}\n{\"type\":\"read_ok\",\"value\":\"new\"}\n");
    host_done(&h);
}

/* ---- connections that go away ---- */

static void service__closing_forgets_requests_in_every_stage(void **state)
{
    struct host h;
    struct conn *c;
    int l;

    (void)state;
    /* Waiting for a leader. */
    host_init(&h, 3);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"write\",\"key\":1,\"value\":1}");
    say(c, "{\"type\":\"batch_read_index\",\"keys\":[1,2]}");
    say(c, "{\"type\":\"local_read\",\"key\":1}");
    say(c, "{\"type\":\"compare_read_methods\",\"num_reads\":5}");
    assert_int_equal(c->n_held, 4);
    conn_close(c);
    l = fx_elect(&h.fx);
    settle(&h);
    /* In a round, in the log, in a transfer. */
    h.fx.cut[l] = true;
    c = conn_open(&h, l);
    say(c, "{\"type\":\"read_index\",\"key\":1}");
    fx_turn(&h.fx, l);
    say(c, "{\"type\":\"read_index\",\"key\":1}");
    say(c, "{\"type\":\"read_via_log\",\"key\":1}");
    say(c, "{\"type\":\"write\",\"key\":1,\"value\":1}");
    fx_turn(&h.fx, l);
    say(c, "{\"type\":\"transfer_leader\"}");
    assert_int_equal(c->n_held, 5);
    conn_close(c);
    assert_int_equal(service_n_pending(h.services[l]), 0);
    fx_store(&h.fx, l);
    fx_ack_round(&h.fx, l, fx_other(&h.fx, l), fx_last_round(&h.fx, l));
    fx_turn(&h.fx, l);
    service_turn(h.services[l], h.fx.now_us);
    h.fx.cut[l] = false;
    advance(&h, 2 * FX_ELECTION_US);
    /* The write happened all the same. */
    l = fx_leader(&h.fx);
    c = conn_open(&h, l);
    exchange(&h, c, "{\"type\":\"read\",\"key\":1}", "{\"type\":\"read_ok\",\"value\":1}");
    host_done(&h);
}

static void service__without_an_output_nothing_is_written(void **state)
{
    static const char *const asks[] = {
        "{\"type\":\"read_index\",\"key\":1}",
        "{\"type\":\"batch_read_index\",\"keys\":[1]}",
        "{\"type\":\"read_via_log\",\"key\":1}",
        "{\"type\":\"write\",\"key\":1,\"value\":1}",
        "{\"type\":\"local_read\",\"key\":1}",
        "{\"type\":\"compare_read_methods\",\"num_reads\":2}",
        "{\"type\":\"ping\"}",
        "{\"type\":\"status\"}",
        "{\"type\":\"members\"}",
        "{\"type\":\"jump\"}",
        "{\"type\":\"write\",\"key\":1,\"value\":1,\"client\":\"1\",\"seq\":1}",
        "{\"type\":\"transfer_leader\",\"to\":\"n9\"}",
        "{\"type\":\"init\",\"node_id\":\"a\",\"node_ids\":[\"a\"]}",
        "rubbish"};
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    c->dead = true;
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        say(c, asks[i]);
        settle(&h);
        settle(&h);
        assert_int_equal(c->n_held, 0);
    }
    service_line_too_long(c->sc, 1, 2);
    assert_int_equal(c->out.len, 0);
    host_done(&h);
}

/* ---- transfer ---- */

static void service__leadership_is_handed_over(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *d;
    char line[128];
    char expected[128];
    int l;
    int to;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    to = fx_other(&h.fx, l);
    c = conn_open(&h, l);
    d = conn_open(&h, l);
    say(c, "{\"type\":\"transfer_leader\",\"msg_id\":1,\"to\":\"n9\"}");
    json_decref(expect_error(c, 1, "malformed", 12, true, EXTRA("field")));
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":2,\"to\":\"n%d\"}",
                   l + 1);
    (void)snprintf(expected, sizeof(expected),
                   "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":2,\"leader_id\":\"n%d\"}",
                   l + 1);
    exchange(&h, c, line, expected); /* it leads already */
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":3,\"to\":\"n%d\"}",
                   to + 1);
    say(c, line);
    assert_string_equal(take(c), "");
    say(d, "{\"type\":\"transfer_leader\",\"msg_id\":4}");
    json_decref(expect_error(d, 4, "busy", 11, true, EXTRA("limit", "retry_after_ms")));
    say(d, "{\"type\":\"write\",\"msg_id\":5,\"key\":1,\"value\":1}");
    settle(&h);
    advance(&h, 60000);
    (void)snprintf(expected, sizeof(expected),
                   "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":3,\"leader_id\":\"n%d\"}",
                   to + 1);
    expect_line(c, expected);
    json_decref(expect_error(d, 5, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    host_done(&h);
}

static void service__a_transfer_that_fails_says_so(void **state)
{
    struct host h;
    struct conn *c;
    char line[128];
    int l;
    int to;

    (void)state;
    host_init(&h, 1);
    assert_int_equal(fx_elect(&h.fx), 0);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"transfer_leader\",\"msg_id\":1}");
    json_decref(expect_error(c, 1, "malformed", 12, true, EXTRA("field")));
    assert_int_equal(c->n_held, 0);
    host_done(&h);

    host_init(&h, 3);
    l = fx_elect(&h.fx);
    to = fx_other(&h.fx, l);
    h.fx.cut[to] = true;
    c = conn_open(&h, l);
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":2,\"to\":\"n%d\"}",
                   to + 1);
    say(c, line);
    assert_true(service_deadline_us(h.services[l]) == h.fx.now_us + 5000000);
    advance(&h, FX_ELECTION_US + 100000);
    json_decref(expect_error(c, 2, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause")));
    assert_true(service_deadline_us(h.services[l]) == UINT64_MAX);
    /* Shorter than the core's own patience. */
    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"transfer_leader\",\"msg_id\":3,\"to\":\"n%d\",\"timeout_ms\":50}",
                   to + 1);
    say(c, line);
    advance(&h, 60000);
    json_decref(expect_error(c, 3, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause")));
    host_done(&h);
}

/* A transfer to `to` ends with this error, and its text says this. */
static void transfer_says(struct host *h, struct conn *c, int to, unsigned timeout_ms,
                          const char *error, const char *text)
{
    const bool timeout = strcmp(error, "timeout") == 0;
    char line[128];
    json_t *root;

    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"transfer_leader\",\"msg_id\":1,\"to\":\"n%d\",\"timeout_ms\":%u}",
                   to + 1, timeout_ms);
    say(c, line);
    advance(h, timeout_ms * 1000 + 20000);
    root =
        expect_error(c, 1, error, timeout ? 0 : 11, true,
                     timeout ? EXTRA("timeout_ms", "stage", "cause") : EXTRA("reached", "needed"));
    if (strstr(str_of(root, "text"), text) == NULL)
        fail_msg("'%s' does not say '%s'", str_of(root, "text"), text);
    json_decref(root);
}

/* Why it failed, as far as that is known here: "try a larger timeout" helps against none of these. */
static void service__a_transfer_that_fails_says_why(void **state)
{
    struct host h;
    struct conn *c;
    char line[128];
    json_t *root;
    int l;
    int to;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    to = fx_other(&h.fx, l);
    c = conn_open(&h, l);
    advance(&h, 3 * FX_HEARTBEAT_US);
    h.fx.cut[to] = true;
    transfer_says(&h, c, to, 50, "timeout", "waiting for the other node to take over");
    say(c, "{\"type\":\"write\",\"key\":1,\"value\":1}");
    settle(&h);
    advance(&h, FX_ELECTION_US);
    (void)take(c);
    transfer_says(&h, c, to, 50, "timeout", "the other node, which is not heard, to take over");
    advance(&h, FX_ELECTION_US); /* until the core has given it up, too */
    h.fx.cut[to] = false;
    advance(&h, 3 * FX_HEARTBEAT_US);

    replica_set_fit(h.fx.nodes[to].replica, RAFT_PARKED, h.fx.now_us);
    advance(&h, 3 * FX_HEARTBEAT_US);
    h.fx.cut[to] = true;
    transfer_says(&h, c, to, 50, "timeout", "the other node, whose disk is full, to take over");
    advance(&h, FX_ELECTION_US); /* until the core has given it up, too */
    h.fx.cut[to] = false;
    advance(&h, 3 * FX_HEARTBEAT_US);

    h.fx.nodes[to].stays_unfit = true;
    replica_set_fit(h.fx.nodes[to].replica, RAFT_UNFIT, h.fx.now_us);
    advance(&h, 3 * FX_HEARTBEAT_US);
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":2,\"to\":\"n%d\"}",
                   to + 1);
    say(c, line);
    root = expect_error(c, 2, "malformed", 12, true, EXTRA("field"));
    assert_string_equal(str_of(root, "text"),
                        "the state of that node is damaged or being rebuilt: it would not lead");
    json_decref(root);
    replica_set_fit(h.fx.nodes[to].replica, RAFT_FIT, h.fx.now_us);
    advance(&h, 3 * FX_HEARTBEAT_US);

    /* Nobody is there any more. */
    for (int i = 0; i < 3; i++)
        h.fx.cut[i] = i != l;
    transfer_says(&h, c, to, 1500, "network", "no quorum: heard 1 of the 2 nodes needed");
    host_done(&h);
}

/* ---- compare ---- */

static json_t *compare_result(struct conn *c)
{
    json_t *root = json_loads(take(c), 0, NULL);

    assert_string_equal(str_of(root, "type"), "compare_read_methods_ok");
    return root;
}

static double number_of(const json_t *root, const char *name)
{
    const json_t *v = json_object_get(root, name);

    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* Which waits in its place until the host has read it; the fields are those of the protocol. */
static void service__parts_of_snapshots_wait_for_the_disk(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *d;

    (void)state;
    c = open_leader(&h);
    d = conn_open(&h, 0);
    h.part_text = "YWJj";
    h.part_later = 2;
    say(c, "{\"type\":\"snapshot_part\",\"msg_id\":1,\"offset\":4}");
    say(d, "{\"type\":\"snapshot_part\",\"msg_id\":2,\"index\":8,\"term\":1}");
    service_turn(h.services[0], h.fx.now_us);
    service_turn(h.services[0], h.fx.now_us);
    assert_string_equal(take(c), "");
    assert_int_equal(h.n_part_asks, 2); /* the second waits for the first */
    service_turn(h.services[0], h.fx.now_us);
    expect_line(c, "{\"type\":\"snapshot_part_ok\",\"in_reply_to\":1,\"index\":9,\"term\":2,"
                   "\"offset\":4,\"bytes\":7,\"part\":\"YWJj\",\"crc32c\":5,\"last\":true}");
    expect_line(d, "{\"type\":\"snapshot_part_ok\",\"in_reply_to\":2,\"index\":8,\"term\":1,"
                   "\"offset\":0,\"bytes\":7,\"part\":\"YWJj\",\"crc32c\":5,\"last\":false}");
    /* Whoever goes away leaves the others their turn. */
    h.part_later = 1;
    say(c, "{\"type\":\"snapshot_part\",\"msg_id\":3}");
    say(d, "{\"type\":\"snapshot_part\",\"msg_id\":4}");
    service_turn(h.services[0], h.fx.now_us);
    conn_close(c);
    service_turn(h.services[0], h.fx.now_us);
    assert_non_null(strstr(take(d), "\"snapshot_part_ok\",\"in_reply_to\":4,"));
    host_done(&h);
}

/* GUARD-6: by a word. */
static void service__a_part_that_cannot_be_had_says_why(void **state)
{
    static const struct {
        int outcome;
        const char *error;
        int code;
        const char *extra;
        const char *value;
    } rows[] = {{SERVICE_PART_NONE, "not_supported", 10, "request_type", "snapshot_part"},
                {SERVICE_PART_MISSING, "malformed", 12, "field", "index"},
                {SERVICE_PART_BEYOND, "malformed", 12, "field", "offset"},
                {SERVICE_PART_FAILED, "internal", 14, "ref", "snapshot_unreadable"}};
    struct host h;
    struct conn *c;
    json_t *error;
    cleanup_free char *large = NULL;

    (void)state;
    c = open_leader(&h);
    h.part_text = "";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h.part_outcome = rows[i].outcome;
        say(c, "{\"type\":\"snapshot_part\",\"msg_id\":1}");
        settle(&h);
        error = expect_error(c, 1, rows[i].error, rows[i].code, true, EXTRA(rows[i].extra));
        assert_string_equal(str_of(error, rows[i].extra), rows[i].value);
        json_decref(error);
    }
    /* A disk that does not answer. */
    h.part_later = UINT_MAX;
    say(c, "{\"type\":\"snapshot_part\",\"msg_id\":2,\"timeout_ms\":50}");
    settle(&h);
    assert_string_equal(take(c), "");
    assert_true(service_deadline_us(h.services[0]) <= h.fx.now_us + 50000);
    advance(&h, 60000);
    error = expect_error(c, 2, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause"));
    assert_string_equal(str_of(error, "stage"), "the disk");
    json_decref(error);
    /* A client that does not read what it asked for (CLIENT-13). */
    large = malloc(CLIENT_OUT_BYTES_HIGH + 1);
    assert_non_null(large);
    memset(large, 'A', CLIENT_OUT_BYTES_HIGH);
    large[CLIENT_OUT_BYTES_HIGH] = '\0';
    h.part_later = 0;
    h.part_outcome = 0;
    h.part_text = large;
    assert_int_equal(buf_add(&c->out, large, CLIENT_OUT_BYTES_HIGH), 0);
    say(c, "{\"type\":\"snapshot_part\",\"msg_id\":3}");
    settle(&h);
    assert_non_null(strstr(take(c), "\"error\":\"overloaded\""));
    assert_int_equal(service_n_pending(h.services[0]), 0);
    host_done(&h);
}

static void service__compare_counts_what_it_did(void **state)
{
    struct host h;
    struct conn *c;
    json_t *root;
    const json_t *methods;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    c = conn_open(&h, l);
    exchange(&h, c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":50}",
             "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":1,\"read_index_avg_ms\":0,"
             "\"read_via_log_avg_ms\":0,\"both_linearizable\":true}");
    assert_int_equal(c->n_held, 0);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":40,\"concurrency\":8,"
           "\"methods\":[\"local_read\"],\"verbose\":true}");
    settle(&h);
    root = compare_result(c);
    assert_true(json_is_true(json_object_get(root, "both_linearizable")));
    methods = json_object_get(root, "methods");
    assert_int_equal(json_array_size(methods), 3);
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"read_index", "read_via_log", "local_read"};
        const json_t *m = json_array_get(methods, i);

        assert_string_equal(str_of(m, "method"), names[i]);
        assert_int_equal(int_of(m, "reads"), 40);
        assert_int_equal(int_of(m, "log_entries"), i == 1 ? 40 : 0);
        assert_int_equal(int_of(m, "log_bytes"), i == 1 ? 40 * 100 : 0);
        assert_true(i == 1 ? int_of(m, "fsyncs") >= 1 && int_of(m, "fsyncs") <= 40
                           : int_of(m, "fsyncs") == 0);
        assert_true(i == 0 ? int_of(m, "quorum_rounds") >= 1 && int_of(m, "quorum_rounds") <= 40
                           : int_of(m, "quorum_rounds") == 0);
        assert_true(i == 2 || int_of(m, "stale") == 0);
    }
    assert_int_equal(int_of(root, "concurrency"), 8);
    json_decref(root);
    assert_int_equal(h.n_events, 0);
    /* The key is nobody's: a client cannot name it. */
    say(c, "{\"type\":\"read_index\",\"key\":\"compare\"}");
    settle(&h);
    assert_non_null(strstr(take(c), "\"value\":null"));
    host_done(&h);
}

static const json_t *method_of(const json_t *root, const char *name)
{
    const json_t *methods = json_object_get(root, "methods");

    for (size_t i = 0; i < json_array_size(methods); i++)
        if (strcmp(str_of(json_array_get(methods, i), "method"), name) == 0)
            return json_array_get(methods, i);
    fail_msg("no figures of %s", name);
    return NULL;
}

#define ALL_METHODS "\"methods\":[\"lease_read\",\"follower_read\",\"bounded_read\",\"local_read\"]"

/* All of them at the leader: each by its own right, with what it costs. */
static void service__compare_runs_every_method(void **state)
{
    static const char *const names[] = {"read_index",    "read_via_log", "lease_read",
                                        "follower_read", "bounded_read", "local_read"};
    const struct fx_options options = {.lease_us = 200000};
    struct host h;
    struct conn *c;
    json_t *root;
    json_t *cost;
    int l;

    (void)state;
    (void)open_follower(&h, &options, &l);
    c = conn_open(&h, l);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":30,\"concurrency\":4,"
           "\"verbose\":true,\"cost\":true," ALL_METHODS "}");
    settle(&h);
    root = compare_result(c);
    assert_true(json_is_true(json_object_get(root, "both_linearizable")));
    assert_true(json_is_true(json_object_get(root, "writes")));
    assert_int_equal(json_array_size(json_object_get(root, "methods")), 6);
    for (unsigned i = 0; i < 6; i++) {
        const json_t *m = method_of(root, names[i]);
        const json_t *histogram = json_object_get(m, "histogram");
        json_int_t n = 0;

        assert_int_equal(int_of(m, "reads"), 30);
        assert_int_equal(int_of(m, "wrong"), 0);
        for (size_t k = 0; k < json_array_size(histogram); k++)
            n += json_integer_value(json_array_get(json_array_get(histogram, k), 1));
        assert_int_equal(n, 30);
        assert_string_equal(str_of(m, "promises"), i < 4    ? "linearizable"
                                                   : i == 4 ? "bound"
                                                            : "nothing");
        cost = json_object_get(m, "cost");
        assert_int_equal(int_of(cost, "reads"), 256);
        assert_int_equal(int_of(cost, "log_entries"), i == 1 ? 256 : 0);
        assert_true((int_of(cost, "rounds") > 0) == (i == 0 || i == 3));
        assert_true((int_of(cost, "messages") > 0) == (i == 0 || i == 1 || i == 3));
    }
    assert_int_equal(int_of(method_of(root, "lease_read"), "lease_fallbacks"), 0);
    assert_int_equal(int_of(root, "max_stale_ms"), 1000);
    assert_int_equal(int_of(json_object_get(root, "asks"), "sent"), 0);
    json_decref(root);
    assert_int_equal(h.n_events, 0);
    host_done(&h);
}

/* A node that follows runs what any node answers, and says that it wrote nothing; what it did not
 * run has no figures. */
static void service__compare_runs_on_a_follower(void **state)
{
    struct host h;
    struct conn *c;
    json_t *root;
    int l;

    (void)state;
    c = open_follower(&h, &(struct fx_options){0}, &l);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":30,\"verbose\":true,"
           "\"only\":true,\"cost\":true,\"max_stale_ms\":700,\"methods\":[\"follower_read\","
           "\"bounded_read\",\"local_read\"]}");
    settle(&h);
    root = compare_result(c);
    assert_true(json_is_null(json_object_get(root, "read_index_avg_ms")));
    assert_true(json_is_null(json_object_get(root, "read_via_log_avg_ms")));
    assert_true(json_is_true(json_object_get(root, "both_linearizable")));
    assert_true(json_is_false(json_object_get(root, "writes")));
    assert_int_equal(int_of(root, "values_seen"), 0);
    assert_int_equal(int_of(root, "max_stale_ms"), 700);
    assert_int_equal(json_array_size(json_object_get(root, "methods")), 3);
    assert_true(int_of(json_object_get(root, "asks"), "sent") >= 30 + 256);
    assert_int_equal(int_of(json_object_get(method_of(root, "follower_read"), "cost"), "asks"),
                     256);
    assert_int_equal(int_of(json_object_get(method_of(root, "follower_read"), "cost"), "messages"),
                     512);
    json_decref(root);
    /* What only a leader answers is refused, and so is the run that has it. */
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":30,\"only\":true,"
           "\"methods\":[\"follower_read\",\"lease_read\"]}");
    settle(&h);
    json_decref(expect_error(c, 2, "not_leader", 11, true, EXTRA("leader_id", "leader_addr")));
    /* Nothing that is promised is no verdict. */
    exchange(&h, c,
             "{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":3,\"only\":true,"
             "\"methods\":[\"local_read\"]}",
             "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":3,\"read_index_avg_ms\":null,"
             "\"read_via_log_avg_ms\":null,\"both_linearizable\":null}");
    /* An old state is found out by what this node has heard to be committed. */
    h.fx.nodes[c->node].planted = "5";
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":4,\"num_reads\":3,\"only\":true,"
           "\"methods\":[\"follower_read\"]}");
    run_turns(&h, 3);
    h.fx.nodes[c->node].planted = "4";
    settle(&h);
    root = compare_result(c);
    assert_true(json_is_false(json_object_get(root, "both_linearizable")));
    json_decref(root);
    assert_string_equal(h.last_event, "compare_violation");
    host_done(&h);
}

static bool no_asks(const struct fx *fx, const struct raft_msg *m)
{
    (void)fx;
    return m->type != RAFT_MSG_READ_ASK;
}

/* Its own election ends it: what it was to show is over. */
static void service__compare_on_a_follower_ends_when_it_leads(void **state)
{
    struct host h;
    struct conn *c;
    int l;

    (void)state;
    c = open_follower(&h, &(struct fx_options){0}, &l);
    h.fx.pass = no_asks;
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":100000,\"only\":true,"
           "\"methods\":[\"follower_read\"]}");
    advance(&h, 100000);
    assert_int_equal(c->n_held, 1);
    assert_int_equal(replica_transfer(h.fx.nodes[l].replica, h.fx.nodes[c->node].id, h.fx.now_us),
                     0);
    advance(&h, 200000);
    assert_int_equal(fx_leader(&h.fx), c->node);
    json_decref(
        expect_error(c, 1, "term_changed", 11, true, EXTRA("old_term", "term", "leader_id")));
    host_done(&h);
}

/* A group of one, one read at a time: each step of the disk ends exactly one log read, first the
 * writer's number and the warm-up. So the latency of each counted one is known. */
static void service__compare_measures_right(void **state)
{
    enum { WARM_UP = 8, N = 20 };
    struct host h;
    struct conn *c;
    struct conn *watch;
    json_t *root;
    const json_t *m;
    int steps = 0;

    (void)state;
    host_init(&h, 1);
    assert_int_equal(fx_elect(&h.fx), 0);
    settle(&h);
    c = conn_open(&h, 0);
    watch = conn_open(&h, 0);
    h.fx.nodes[0].holds_store = true;
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":20,\"verbose\":true}");
    while (c->n_held > 0) {
        fx_turn(&h.fx, 0);
        assert_true(++steps < 100);
        if (steps == 1 + WARM_UP + 5) {
            say(watch, "{\"type\":\"status\",\"msg_id\":9}");
            root = json_loads(take(watch), 0, NULL);
            assert_int_equal(int_of(json_object_get(root, "compare"), "total"), 2 * N);
            assert_true(int_of(json_object_get(root, "compare"), "done") >= 4);
            json_decref(root);
        }
        /* The k-th counted one: a permutation of 1 .. 20 ms. */
        fx_pass_time(&h.fx, steps <= 1 + WARM_UP
                                ? 500000
                                : (uint64_t)((steps - 1 - WARM_UP) * 7 % N + 1) * 1000u);
        fx_store(&h.fx, 0);
        fx_turn(&h.fx, 0);
    }
    root = compare_result(c);
    assert_true(json_is_true(json_object_get(root, "both_linearizable")));
    assert_true(number_of(root, "read_via_log_avg_ms") == 10.5);
    assert_true(number_of(root, "read_index_avg_ms") == 0);
    m = json_array_get(json_object_get(root, "methods"), 1);
    assert_true(number_of(m, "avg_ms") == 10.5);
    assert_true(number_of(m, "p50_ms") == 10);
    assert_true(number_of(m, "p95_ms") == 19);
    assert_true(number_of(m, "p99_ms") == 20);
    assert_true(number_of(m, "max_ms") == 20);
    assert_int_equal(int_of(m, "fsyncs"), N);
    assert_true(number_of(root, "elapsed_ms") > 0);
    json_decref(root);
    /* Afterwards status does not speak of it. */
    say(watch, "{\"type\":\"status\"}");
    assert_null(strstr(take(watch), "\"compare\""));
    host_done(&h);
}

/* The verdict is earned: a state that gives old values, and one that invents some, are found out.
 * That a method is linearizable is earned by each of its reads (CLIENT-8). */
static void service__compare_finds_a_lying_state(void **state)
{
    static const char *const planted[] = {"0", "18446744073709551615", "7", "\"x\"",
                                          "123456789012345678901234567890"};

    (void)state;
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
        struct host h;
        struct conn *c;
        json_t *root;
        int l;

        host_init(&h, 3);
        l = fx_elect(&h.fx);
        c = conn_open(&h, l);
        h.fx.nodes[l].planted = planted[i];
        say(c,
            "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":10,\"verbose\":true}");
        settle(&h);
        root = compare_result(c);
        assert_true(json_is_false(json_object_get(root, "both_linearizable")));
        if (i == 0)
            for (size_t k = 0; k < 2; k++)
                assert_true(int_of(json_array_get(json_object_get(root, "methods"), k), "stale") >=
                            10);
        json_decref(root);
        assert_true(h.n_events > 0);
        assert_string_equal(h.last_event, "compare_violation");
        /* The next run, with the truth, is judged anew. */
        h.fx.nodes[l].planted = NULL;
        say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":10}");
        settle(&h);
        root = compare_result(c);
        assert_true(json_is_true(json_object_get(root, "both_linearizable")));
        json_decref(root);
        host_done(&h);
    }
}

/* Either method alone: what the other one saw does not cover for it. */
static void service__compare_finds_the_method_that_lies(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct host h;
        struct conn *c;
        json_t *root;
        const json_t *methods;
        int l;

        host_init(&h, 3);
        l = fx_elect(&h.fx);
        c = conn_open(&h, l);
        if (i == 0)
            h.fx.nodes[l].planted_read = "0";
        else
            h.fx.nodes[l].planted_apply = "0";
        say(c,
            "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":10,\"verbose\":true}");
        settle(&h);
        root = compare_result(c);
        methods = json_object_get(root, "methods");
        assert_true(json_is_false(json_object_get(root, "both_linearizable")));
        for (unsigned k = 0; k < 2; k++)
            assert_true((int_of(json_array_get(methods, k), "stale") >= 10) == (k == i));
        assert_string_equal(h.last_event, "compare_violation");
        json_decref(root);
        host_done(&h);
    }
}

/* Local reads promise nothing: their stale answers are counted, and do not spoil the verdict of the
 * two. */
static void service__compare_does_not_judge_local_reads(void **state)
{
    struct host h;
    struct conn *c;
    json_t *root;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    c = conn_open(&h, l);
    for (int run = 0; run < 20; run++) {
        say(c,
            "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":30,\"concurrency\":16,"
            "\"methods\":[\"local_read\"]}");
        settle(&h);
        root = compare_result(c);
        assert_true(json_is_true(json_object_get(root, "both_linearizable")));
        json_decref(root);
    }
    host_done(&h);
}

static void service__compare_ends_with_the_leadership(void **state)
{
    struct host h;
    struct conn *c;
    json_t *error;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    c = conn_open(&h, l);
    isolate(&h, l);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":1000,\"concurrency\":4}");
    fx_turn(&h.fx, l);
    fx_store(&h.fx, l);
    fx_ack_append(&h.fx, l, fx_other(&h.fx, l), fx_last_index(&h.fx, l));
    fx_turn(&h.fx, l); /* reads are out */
    fx_depose(&h.fx, l, fx_other(&h.fx, l));
    fx_turn(&h.fx, l);
    error = expect_error(c, 1, "term_changed", 11, true, EXTRA("old_term", "term", "leader_id"));
    json_decref(error);
    assert_int_equal(c->n_held, 0);
    assert_true(replica_idle(h.fx.nodes[l].replica));
    host_done(&h);

    /* In the very first write: nobody can know, but the run as a whole only read. */
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    c = conn_open(&h, l);
    isolate(&h, l);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":1000}");
    fx_turn(&h.fx, l);
    fx_depose(&h.fx, l, fx_other(&h.fx, l));
    fx_turn(&h.fx, l);
    json_decref(
        expect_error(c, 2, "term_changed", 11, true, EXTRA("old_term", "term", "leader_id")));
    host_done(&h);

    /* No leader at all: the first write is bound by timeout_ms. */
    host_init(&h, 3);
    isolate(&h, 0);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":5,\"timeout_ms\":20}");
    fx_turn(&h.fx, 0);
    fx_pass_time(&h.fx, 22000);
    fx_turn(&h.fx, 0);
    json_decref(expect_error(c, 3, "network", 11, true, EXTRA("reached", "needed")));
    host_done(&h);
}

/* A run pauses while the leadership is being handed over: what began then would be confirmed in
 * another term, rightly, and be called a violation. */
static void service__compare_waits_for_the_end_of_a_transfer(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *d;
    json_t *root;
    char line[128];
    int l;
    int to;

    (void)state;
    /* Given up: the run goes on and ends right. */
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    to = fx_other(&h.fx, l);
    c = conn_open(&h, l);
    d = conn_open(&h, l);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":200}");
    run_turns(&h, 20);
    h.fx.cut[to] = true;
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":2,\"to\":\"n%d\"}",
                   to + 1);
    say(d, line);
    settle(&h);
    assert_int_equal(c->n_held, 1);
    assert_true(replica_idle(h.fx.nodes[l].replica)); /* nothing waits in the replica */
    advance(&h, FX_ELECTION_US + 100000);
    json_decref(expect_error(d, 2, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause")));
    root = compare_result(c);
    assert_true(json_is_true(json_object_get(root, "both_linearizable")));
    json_decref(root);

    /* This node shuts down: a run that pauses is told so at once, like every request. */
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":4,\"num_reads\":200}");
    run_turns(&h, 20);
    say(d, line);
    settle(&h);
    assert_int_equal(c->n_held, 1);
    assert_true(replica_transferring(h.fx.nodes[l].replica));
    replica_quiesce(h.fx.nodes[l].replica);
    service_turn(h.services[l], h.fx.now_us);
    json_decref(expect_error(c, 4, "cancelled", 14, true, EXTRA("by")));
    host_done(&h);

    /* Another leads: the run is over, though nothing of it was under way. */
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    to = fx_other(&h.fx, l);
    c = conn_open(&h, l);
    d = conn_open(&h, l);
    (void)snprintf(line, sizeof(line), "{\"type\":\"transfer_leader\",\"msg_id\":2,\"to\":\"n%d\"}",
                   to + 1);
    say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":200}");
    run_turns(&h, 20);
    say(d, line);
    settle(&h);
    advance(&h, 60000);
    root = json_loads(take(c), 0, NULL);
    assert_string_equal(str_of(root, "type"), "error");
    assert_string_equal(str_of(root, "error"), "term_changed");
    json_decref(root);
    assert_string_equal(h.last_event, "");
    host_done(&h);
}

static void service__compare_runs_one_at_a_time_and_stops_with_its_client(void **state)
{
    struct host h;
    struct conn *c;
    struct conn *d;
    json_t *error;
    int l;

    (void)state;
    host_init(&h, 3);
    l = fx_elect(&h.fx);
    for (int stage = 0; stage < 12; stage++) {
        memset(&h.conns, 0, sizeof(h.conns));
        c = conn_open(&h, l);
        d = conn_open(&h, l);
        say(c, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":1000,\"concurrency\":"
               "16}");
        say(d, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":5}");
        error = expect_error(d, 2, "busy", 11, true,
                             EXTRA("limit", "retry_after_ms", "done", "total", "client"));
        assert_int_equal(int_of(error, "limit"), 1);
        assert_int_equal(int_of(error, "total"), 2000);
        assert_string_equal(str_of(error, "client"), "the connection of a client");
        assert_string_equal(str_of(error, "text"),
                            "another comparison is under way: 0 of 2000 reads are done, for the "
                            "connection of a client");
        json_decref(error);
        run_turns(&h, stage);
        assert_int_equal(c->n_held, 1);
        conn_close(c);
        assert_true(replica_idle(h.fx.nodes[l].replica));
        advance(&h, 3 * FX_HEARTBEAT_US); /* what was proposed arrives; nobody waits for it */
        assert_int_equal(fx_leader(&h.fx), l);
        say(d, "{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":5}");
        settle(&h);
        json_decref(compare_result(d));
        conn_close(d);
        buf_done(&c->out);
        buf_done(&d->out);
        free(c->text);
        free(d->text);
    }
    memset(&h.conns, 0, sizeof(h.conns));
    host_done(&h);
}

/* Each failure that a replica can report has a sentence and the fields of its row, and says when the
 * fate of a write is not known. */
static void service__every_failure_has_its_words(void **state)
{
    const struct {
        struct replica_failure f;
        int code;
        const char *text;
        const char *const *extra;
    } cases[] = {
        {{.error = WIRE_ERROR_BUSY, .limit = 77},
         11,
         "too much is under way",
         EXTRA("limit", "retry_after_ms")},
        {{.error = WIRE_ERROR_BUSY, .limit = 1048576, .cause = REPLICA_CAUSE_OWN_DISK},
         11,
         "waits for the disk of this node as it can write in time; try again",
         EXTRA("limit", "retry_after_ms")},
        {{.error = WIRE_ERROR_TOO_LARGE}, 12, "larger than a log entry", EXTRA("limit")},
        {{.error = WIRE_ERROR_TIMEOUT, .after_append = true, .stage = "commit"},
         0,
         "waiting for commit; whether the write happened is not known",
         EXTRA("timeout_ms", "stage", "cause")},
        {{.error = WIRE_ERROR_TIMEOUT,
          .stage = "leader",
          .cause = REPLICA_CAUSE_OWN_DISK,
          .sync_us = 310000,
          .election_us = 500000},
         0,
         "waiting for leader: the disk of this node is slow, 310 ms for a sync, election 500 ms",
         EXTRA("timeout_ms", "stage", "cause")},
        {{.error = WIRE_ERROR_TIMEOUT,
          .after_append = true,
          .stage = "commit",
          .cause = REPLICA_CAUSE_PEERS_DISKS,
          .reached = 3},
         0,
         "waiting for commit: 3 nodes are heard and have not stored it, their disks may be slow or "
         "full; "
         "whether the write happened is not known",
         EXTRA("timeout_ms", "stage", "cause")},
        {{.error = WIRE_ERROR_TIMEOUT,
          .stage = "leader",
          .cause = REPLICA_CAUSE_NO_LEADER,
          .reached = 2,
          .no_leader_us = 1500000},
         0,
         "waiting for leader: 2 nodes are heard, none has been elected for 1500 ms",
         EXTRA("timeout_ms", "stage", "cause")},
        {{.error = WIRE_ERROR_TIMEOUT,
          .stage = "round",
          .cause = REPLICA_CAUSE_GATE,
          .gate_left_us = 211100},
         0,
         "waiting for round: nothing is committed yet for 212 ms, so long the leader before this "
         "one may still read by its lease",
         EXTRA("timeout_ms", "stage", "cause")},
        {{.error = WIRE_ERROR_NETWORK, .reached = 1, .needed = 2},
         11,
         "no quorum: heard 1 of the 2 nodes needed",
         EXTRA("reached", "needed")},
        {{.error = WIRE_ERROR_CANCELLED}, 14, "shutting down", EXTRA("by")},
        {{.error = WIRE_ERROR_INTERNAL}, 14, "internal", NULL},
    };
    const struct wire_origin origin = {.has_msg_id = true, .msg_id = 9};
    struct host h;
    struct conn *c;

    (void)state;
    host_init(&h, 1);
    c = conn_open(&h, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *root;

        service_write_failure(h.services[0], &c->out, &origin, &cases[i].f, "the write", 1234);
        root = expect_error(c, 9, wire_error_name(cases[i].f.error), cases[i].code,
                            !cases[i].f.after_append, cases[i].extra);
        if (strstr(str_of(root, "text"), cases[i].text) == NULL)
            fail_msg("'%s' does not say '%s'", str_of(root, "text"), cases[i].text);
        if (cases[i].f.error == WIRE_ERROR_BUSY)
            assert_int_equal(int_of(root, "limit"), cases[i].f.limit);
        if (cases[i].f.error == WIRE_ERROR_TOO_LARGE)
            assert_int_equal(int_of(root, "limit"), ENTRY_BYTES_MAX);
        if (cases[i].f.error == WIRE_ERROR_TIMEOUT)
            assert_int_equal(int_of(root, "timeout_ms"), 1234);
        json_decref(root);
    }
    host_done(&h);
}

/* ---- bytes ---- */

static void write_big(struct host *h, struct conn *c, const char *key, size_t len)
{
    cleanup_buf struct buf line = BUF_INIT;

    assert_int_equal(buf_add_format(&line, "{\"type\":\"write\",\"key\":\"%s\",\"value\":\"", key),
                     0);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(buf_add_u8(&line, 'v'), 0);
    assert_int_equal(buf_add_str(&line, "\"}"), 0);
    while (service_line(c->sc, (const char *)line.data, line.len, 1))
        ;
    settle(h);
    expect_line(c, "{\"type\":\"write_ok\"}");
}

/* A cas whose values are as many small integers as make a line of some 800 KB. */
static void add_long_line(struct buf *line, const char *key)
{
    assert_int_equal(buf_add_format(line, "{\"type\":\"cas\",\"key\":\"%s\",\"from\":[", key), 0);
    for (unsigned i = 0; i < 200000; i++)
        assert_int_equal(buf_add_str(line, "1,"), 0);
    assert_int_equal(buf_add_str(line, "1],\"to\":[[],"), 0);
    for (unsigned i = 0; i < 200000; i++)
        assert_int_equal(buf_add_str(line, "2,"), 0);
    assert_int_equal(buf_add_str(line, "2]}"), 0);
}

static bool say_long(struct conn *c, const struct buf *line)
{
    return service_line(c->sc, (const char *)line->data, line->len, 1);
}

/* TIME-4: decoded in steps that end in time; others are served in between, and of two such lines
 * the second waits for the first, or for the end of its connection. */
static void service__long_lines_are_decoded_in_steps(void **state)
{
    cleanup_buf struct buf line = BUF_INIT;
    struct host h;
    struct conn *a;
    struct conn *b;
    struct conn *c;
    unsigned n_steps = 1;

    (void)state;
    host_init(&h, 1);
    assert_int_equal(fx_elect(&h.fx), 0);
    a = conn_open(&h, 0);
    b = conn_open(&h, 0);
    c = conn_open(&h, 0);
    add_long_line(&line, "k");
    h.look_us = DECODE_STEP_US / 10;
    assert_true(say_long(a, &line));
    while (say_long(a, &line)) {
        n_steps++;
        assert_true(say_long(b, &line));
        say(c, "{\"type\":\"ping\"}");
        assert_non_null(strstr(take(c), "pong"));
    }
    assert_true(n_steps > line.len / DECODE_LOOK_BYTES / 20);
    assert_true(say_long(b, &line));
    assert_true(say_long(c, &line));
    conn_close(b);
    n_steps = 0;
    while (say_long(c, &line))
        n_steps++;
    assert_true(n_steps > line.len / DECODE_LOOK_BYTES / 20); /* from the beginning */
    h.look_us = 0;
    settle(&h);
    assert_non_null(strstr(take(a), "no such key"));
    assert_non_null(strstr(take(c), "no such key"));
    host_done(&h);
}

/* What is wrong with a long line is said once, and its decoder is free for the next. */
static void service__a_long_line_that_is_refused(void **state)
{
    cleanup_buf struct buf line = BUF_INIT;
    struct host h;
    struct conn *a;
    struct conn *b;

    (void)state;
    host_init(&h, 1);
    assert_int_equal(fx_elect(&h.fx), 0);
    a = conn_open(&h, 0);
    b = conn_open(&h, 0);
    add_long_line(&line, "k");
    line.data[line.len - 2] = ',';
    h.look_us = DECODE_STEP_US / 10;
    while (say_long(a, &line))
        assert_true(say_long(b, &line));
    assert_non_null(strstr(take(a), "not JSON, at byte 800047"));
    line.data[line.len - 2] = ']';
    while (say_long(b, &line))
        ;
    h.look_us = 0;
    settle(&h);
    assert_non_null(strstr(take(b), "no such key"));
    host_done(&h);
}

static unsigned n_lines(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Read without being read: values are copied up to the mark, the rest waits, and comes when there
 * is room, each exactly once (CLIENT-13). Others are served meanwhile. */
static void service__reads_wait_for_room(void **state)
{
    enum { N = 40, BYTES = 400000 };
    struct host h;
    struct conn *c;
    struct conn *good;
    struct replica_stats stats;
    unsigned n = 0;
    unsigned rounds = 0;

    (void)state;
    c = open_leader(&h);
    good = conn_open(&h, 0);
    write_big(&h, c, "big", BYTES);
    for (unsigned i = 0; i < N; i++)
        say(c, i % 2 == 0 ? "{\"type\":\"read_index\",\"key\":\"big\"}"
                          : "{\"type\":\"batch_read_index\",\"keys\":[\"none\",\"big\"]}");
    say(c, "{\"type\":\"read_index\",\"key\":\"small\"}");
    settle(&h);
    service_conn_check(c->sc);
    assert_true(c->memory.waits);
    assert_true(c->out.len > CLIENT_OUT_BYTES_HIGH - 2 * BYTES);
    assert_true(c->out.size <= CLIENT_OUT_BYTES_HIGH);
    assert_true(c->out.len <= CLIENT_OUT_BYTES_HIGH);
    assert_int_equal(c->memory.replies.used, c->out.size);
    say(good, "{\"type\":\"read_index\",\"key\":\"big\"}");
    settle(&h);
    assert_int_equal(n_lines(take(good)), 1);
    for (bool more = true; more; rounds++) {
        n += n_lines(take(c));
        assert_true(memory_conn_has_room(&c->memory, &c->out));
        more = service_conn_room(c->sc);
        settle(&h);
        service_conn_check(c->sc);
        assert_true(c->out.len <= CLIENT_OUT_BYTES_HIGH);
    }
    n += n_lines(take(c));
    assert_int_equal(n, N + 1);
    replica_get_stats(h.fx.nodes[0].replica, &stats);
    assert_int_equal(stats.n_reads[REPLICA_READ], N + 2); /* not as often as they were tried */
    assert_true(rounds > 3 && rounds < N / 2);            /* several at a time */
    assert_int_equal(service_n_pending(h.services[0]), 0);
    host_done(&h);
}

/* At their deadlines they end like all others, and with their connection they are forgotten. */
static void service__what_waits_for_room_ends(void **state)
{
    struct host h;
    struct conn *c[2];
    json_t *error;

    (void)state;
    host_init(&h, 1);
    c[0] = conn_open(&h, 0);
    c[1] = conn_open(&h, 0);
    assert_int_equal(fx_elect(&h.fx), 0);
    write_big(&h, c[0], "big", 500000);
    for (int i = 0; i < 2; i++) {
        c[i]->out.len = CLIENT_OUT_BYTES_HIGH - 400000; /* owed from before */
        c[i]->out.data = realloc(c[i]->out.data, CLIENT_OUT_BYTES_HIGH);
        c[i]->out.size = CLIENT_OUT_BYTES_HIGH;
        assert_non_null(c[i]->out.data);
        memset(c[i]->out.data, 'r', c[i]->out.len);
        say(c[i], "{\"type\":\"read_index\",\"msg_id\":5,\"key\":\"big\",\"timeout_ms\":100}");
    }
    settle(&h);
    assert_int_equal(service_n_pending(h.services[0]), 2);
    assert_true(c[0]->memory.waits);
    assert_true(service_deadline_us(h.services[0]) <= h.fx.now_us + 101000);
    buf_reset(&c[0]->out, 0);
    conn_close(c[1]);
    assert_int_equal(service_n_pending(h.services[0]), 1);
    advance(&h, 110000);
    error = expect_error(c[0], 5, "timeout", 0, true, EXTRA("timeout_ms", "stage", "cause"));
    assert_string_equal(str_of(error, "cause"), "(none)");
    assert_non_null(strstr(str_of(error, "text"), "replies to be read"));
    json_decref(error);
    assert_int_equal(service_n_pending(h.services[0]), 0);
    assert_true(service_deadline_us(h.services[0]) == UINT64_MAX);
    host_done(&h);
}

/* What is read for a request or written by it is told, so that it counts (CLIENT-15). */
static void service__long_values_are_told(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    c = open_leader(&h);
    write_big(&h, c, "big", 100000);
    assert_true(c->touched > 100000);
    assert_true(c->touched < 101000);
    c->touched = 0;
    say(c, "{\"type\":\"read_index\",\"key\":\"big\"}");
    settle(&h);
    (void)take(c);
    assert_int_equal(c->touched, 100002);
    say(c, "{\"type\":\"batch_read_index\",\"keys\":[\"big\",\"big\"]}");
    settle(&h);
    (void)take(c);
    assert_true(c->touched > 300000);
    c->touched = 0;
    say(c, "{\"type\":\"read_index\",\"key\":\"none\"}");
    settle(&h);
    (void)take(c);
    assert_int_equal(c->touched, 0);
    host_done(&h);
}

/* The state at one index is over when the next entry is applied: it cannot wait. */
static void service__a_log_read_without_room_is_overloaded(void **state)
{
    struct host h;
    struct conn *c;
    json_t *error;

    (void)state;
    c = open_leader(&h);
    write_big(&h, c, "big", 100000);
    memory_set_limit(&h.memory, 100000); /* of which three quarters are for replies */
    say(c, "{\"type\":\"read_via_log\",\"msg_id\":6,\"key\":\"big\"}");
    settle(&h);
    error = expect_error(c, 6, "overloaded", 11, true, EXTRA("limit", "retry_after_ms"));
    assert_int_equal(int_of(error, "limit"), 100000);
    json_decref(error);
    host_done(&h);
}

/* Without a leader writes wait, up to a number of bytes, and no request is taken beyond the
 * accounts; deletes of what is held make room again (CLIENT-13). */
static void service__waiting_writes_are_bounded_by_bytes(void **state)
{
    enum { N = 2000, VALUE = 4000 };
    char line[VALUE + 100];
    struct host h;
    struct conn *c;
    struct conn *other;
    size_t n_waiting;
    unsigned n_refused;
    const char *text;

    (void)state;
    host_init(&h, 3);
    c = conn_open(&h, 0);
    memory_set_limit(&h.memory, 4u << 20);
    (void)snprintf(line, sizeof(line), "{\"type\":\"write\",\"key\":1,\"value\":\"%0*d\"}", VALUE,
                   0);
    for (unsigned i = 0; i < N; i++)
        say(c, line);
    service_conn_check(c->sc);
    n_waiting = service_n_pending(h.services[0]);
    text = take(c);
    n_refused = n_lines(text);
    assert_non_null(strstr(text, "\"error\":\"overloaded\",\"definite\":true,\"limit\":4194304,"
                                 "\"retry_after_ms\":500}\n"));
    assert_int_equal(n_waiting + n_refused, N);
    assert_true(h.memory.commands.used <= (2u << 20));
    assert_true(h.memory.commands.used > (2u << 20) - h.memory.kept - 2 * VALUE);
    assert_true(h.memory.all.used <= (4u << 20));
    /* What needs no command finds room still, and so does who has nothing under way. */
    say(c, "{\"type\":\"read_index\",\"key\":1}");
    assert_int_equal(service_n_pending(h.services[0]), n_waiting + 1);
    other = conn_open(&h, 0);
    say(other, "{\"type\":\"write\",\"key\":2,\"value\":2}");
    assert_int_equal(service_n_pending(h.services[0]), n_waiting + 2);
    assert_int_equal(fx_elect(&h.fx), 0);
    settle(&h);
    assert_int_equal(n_lines(take(c)), n_waiting + 1);
    expect_line(other, "{\"type\":\"write_ok\"}");
    assert_int_equal(h.memory.all.used, 0);
    say(c, line);
    settle(&h);
    expect_line(c, "{\"type\":\"write_ok\"}");
    host_done(&h);
}

static void service__status_shows_memory(void **state)
{
    struct host h;
    struct conn *c;

    (void)state;
    host_init(&h, 1);
    c = conn_open(&h, 0);
    say(c, "{\"type\":\"write\",\"key\":1,\"value\":1}");
    say(c, "{\"type\":\"status\"}");
    assert_non_null(strstr(take(c), "\"memory\":{\"limit_bytes\":1073741824,\"used_bytes\":"));
    assert_true(h.memory.commands.used > 0);
    host_done(&h);
}

/* Whatever comes in which order, the accounts are what is held, and nothing when all is over. */
static void service__accounts_are_what_is_held(void **state)
{
    static const char *const lines[] = {
        "{\"type\":\"read_index\",\"key\":\"a\",\"timeout_ms\":30}",
        "{\"type\":\"batch_read_index\",\"keys\":[\"a\",\"b\"]}",
        "{\"type\":\"write\",\"key\":\"b\",\"value\":[1,2,3]}",
        "{\"type\":\"cas\",\"key\":\"b\",\"from\":1,\"to\":2,\"timeout_ms\":50}",
        "{\"type\":\"read_via_log\",\"key\":\"a\"}",
        "{\"type\":\"local_read\",\"key\":\"a\"}",
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"delete\",\"key\":1,\"msg_id\":1}}",
        "{\"type\":\"status\"}",
        "rubbish",
    };
    struct prng p;
    struct host h;
    struct conn *c[4] = {NULL};

    (void)state;
    prng_init(&p, 16);
    host_init(&h, 3);
    assert_int_equal(fx_elect(&h.fx), 0);
    c[0] = conn_open(&h, 0);
    write_big(&h, c[0], "a", 200000);
    memory_set_limit(&h.memory, 1500000);
    for (unsigned step = 0; step < 3000; step++) {
        const unsigned i = (unsigned)prng_below(&p, 4);

        if (c[i] == NULL) {
            c[i] = conn_open(&h, (int)prng_below(&p, 3) / 2);
            continue;
        }
        switch (prng_below(&p, 12)) {
        case 0:
            settle(&h);
            break;
        case 1:
            (void)take(c[i]);
            if (service_conn_room(c[i]->sc))
                assert_true(service_n_pending(h.services[c[i]->node]) > 0);
            break;
        case 2:
            advance(&h, 20000);
            break;
        case 3:
            if (prng_below(&p, 10) == 0) {
                conn_close(c[i]);
                buf_reset(&c[i]->out, 0);
                c[i]->host = NULL;
                c[i] = NULL;
                continue;
            }
            break;
        default:
            say(c[i], lines[prng_below(&p, sizeof(lines) / sizeof(lines[0]))]);
            break;
        }
        service_conn_check(c[i]->sc);
        assert_true(h.memory.requests.used <= h.memory.requests.limit);
        assert_true(h.memory.commands.used <= h.memory.commands.limit);
    }
    host_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(service__reads_have_exactly_their_fields),
        cmocka_unit_test(service__follower_reads_say_who_answered),
        cmocka_unit_test(service__lease_reads_say_whether_there_was_one),
        cmocka_unit_test(service__a_lease_spares_a_leader_reads),
        cmocka_unit_test(service__bounded_reads_say_how_old),
        cmocka_unit_test(service__who_is_behind_names_the_leader),
        cmocka_unit_test(service__a_read_is_what_the_host_says),
        cmocka_unit_test(service__writes_have_exactly_their_fields),
        cmocka_unit_test(service__a_repeated_write_has_the_first_answer),
        cmocka_unit_test(service__sessions_that_are_not_there),
        cmocka_unit_test(service__envelopes_are_turned_round),
        cmocka_unit_test(service__replies_in_one_piece_are_as_others),
        cmocka_unit_test(service__memory_of_requests_is_used_again),
        cmocka_unit_test(service__commands_find_room_behind_keys),
        cmocka_unit_test(service__what_it_cannot_do_is_refused),
        cmocka_unit_test(service__a_change_of_the_members_is_answered),
        cmocka_unit_test(service__what_is_denied),
        cmocka_unit_test(service__without_a_replica_only_ping),
        cmocka_unit_test(service__status_and_members_need_no_leader),
        cmocka_unit_test(service__not_leader),
        cmocka_unit_test(service__long_values_are_told),
        cmocka_unit_test(service__long_lines_are_decoded_in_steps),
        cmocka_unit_test(service__a_long_line_that_is_refused),
        cmocka_unit_test(service__term_changed),
        cmocka_unit_test(service__role_changed),
        cmocka_unit_test(service__timeout),
        cmocka_unit_test(service__network),
        cmocka_unit_test(service__cancelled),
        cmocka_unit_test(service__busy_and_too_large),
        cmocka_unit_test(service__no_space),
        cmocka_unit_test(service__a_value_that_cannot_be_read_is_internal),
        cmocka_unit_test(service__a_damaged_value_fails_the_read_and_not_the_key),
        cmocka_unit_test(service__a_damaged_value_is_no_violation),
        cmocka_unit_test(service__a_connection_sees_its_own_writes),
        cmocka_unit_test(service__closing_forgets_requests_in_every_stage),
        cmocka_unit_test(service__without_an_output_nothing_is_written),
        cmocka_unit_test(service__leadership_is_handed_over),
        cmocka_unit_test(service__a_transfer_that_fails_says_so),
        cmocka_unit_test(service__a_transfer_that_fails_says_why),
        cmocka_unit_test(service__parts_of_snapshots_wait_for_the_disk),
        cmocka_unit_test(service__a_part_that_cannot_be_had_says_why),
        cmocka_unit_test(service__compare_counts_what_it_did),
        cmocka_unit_test(service__compare_runs_every_method),
        cmocka_unit_test(service__compare_runs_on_a_follower),
        cmocka_unit_test(service__compare_on_a_follower_ends_when_it_leads),
        cmocka_unit_test(service__compare_measures_right),
        cmocka_unit_test(service__compare_finds_a_lying_state),
        cmocka_unit_test(service__compare_finds_the_method_that_lies),
        cmocka_unit_test(service__compare_does_not_judge_local_reads),
        cmocka_unit_test(service__compare_ends_with_the_leadership),
        cmocka_unit_test(service__compare_waits_for_the_end_of_a_transfer),
        cmocka_unit_test(service__compare_runs_one_at_a_time_and_stops_with_its_client),
        cmocka_unit_test(service__every_failure_has_its_words),
        cmocka_unit_test(service__reads_wait_for_room),
        cmocka_unit_test(service__what_waits_for_room_ends),
        cmocka_unit_test(service__a_log_read_without_room_is_overloaded),
        cmocka_unit_test(service__waiting_writes_are_bounded_by_bytes),
        cmocka_unit_test(service__status_shows_memory),
        cmocka_unit_test(service__accounts_are_what_is_held),
    };

    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
