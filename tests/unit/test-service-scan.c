/* Pages of keys, and reads with a token: what they say, where they end, what they cost. */
#include "test-service-util.h"

#define HASH "00c0ffee00c0ffee"

static void open_leader(struct host *h, struct conn *c)
{
    host_init(h, 1, HASH);
    conn_open(c, h, 0);
    assert_int_equal(fx_elect(&h->fx), 0);
    fx_settle(&h->fx);
}

static void expect(struct host *h, struct conn *c, const char *line, const char *expected)
{
    char *got;

    if (line != NULL)
        say(c, line);
    settle(h);
    got = take(c);
    if (got == NULL || strcmp(got, expected) != 0)
        fail_msg("%s\ngot      %s\nexpected %s", line != NULL ? line : "", got, expected);
    free(got);
}

static json_int_t int_of(const json_t *root, const char *name)
{
    const json_t *v = json_object_get(root, name);

    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static bool bool_of(const json_t *root, const char *name)
{
    const json_t *v = json_object_get(root, name);

    assert_true(json_is_boolean(v));
    return json_is_true(v);
}

static size_t n_items(const json_t *root)
{
    const json_t *items = json_object_get(root, "items");

    assert_true(json_is_array(items));
    return json_array_size(items);
}

static void expect_error(json_t *root, const char *error, int code)
{
    assert_string_equal(str_of(root, "type"), "error");
    assert_string_equal(str_of(root, "error"), error);
    assert_int_equal(int_of(root, "code"), code);
    assert_true(bool_of(root, "definite"));
    json_decref(root);
}

static void write_one(struct host *h, struct conn *c, const char *key, const char *value)
{
    char line[256];

    (void)snprintf(line, sizeof(line), "{\"type\":\"write\",\"key\":%s,\"value\":%s}", key, value);
    expect(h, c, line, "{\"type\":\"write_ok\"}");
}

/* So many keys with values of so many bytes. */
static void plant(struct host *h, unsigned n, size_t bytes)
{
    free(h->fx.nodes[0].planted_text);
    h->fx.nodes[0].planted_text = NULL;
    h->fx.nodes[0].n_planted = n;
    h->fx.nodes[0].planted_bytes = bytes;
}

/* ---- what a page says ---- */

#define PROOF "\"heartbeat_confirmed\":true,\"linearizable\":true}"

static void scan__pages_have_exactly_their_fields(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    open_leader(&h, &c);
    expect(&h, &c, "{\"type\":\"scan\"}",
           "{\"type\":\"scan_ok\",\"items\":[],\"more\":false,\"read_at_index\":2," PROOF);
    write_one(&h, &c, "\"b\"", "{\"x\":[1,2.5]}");
    write_one(&h, &c, "\"a\\n\"", "null");
    write_one(&h, &c, "7", "1");
    write_one(&h, &c, "-7", "2");
    expect(&h, &c, "{\"type\":\"scan\",\"msg_id\":3}",
           "{\"type\":\"scan_ok\",\"in_reply_to\":3,\"items\":[{\"key\":\"a\\n\",\"value\":null},"
           "{\"key\":\"b\",\"value\":{\"x\":[1,2.5]}}],\"more\":false,\"read_at_index\":6," PROOF);
    expect(&h, &c, "{\"type\":\"scan\",\"int_keys\":true}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":-7,\"value\":2},{\"key\":7,\"value\":1}],"
           "\"more\":false,\"read_at_index\":6," PROOF);
    expect(&h, &c, "{\"type\":\"scan\",\"limit\":1}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":\"a\\n\",\"value\":null}],\"more\":true,"
           "\"read_at_index\":6," PROOF);
    expect(&h, &c, "{\"type\":\"scan\",\"limit\":1,\"after\":\"a\\n\",\"keys_only\":true}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":\"b\"}],\"more\":false,\"read_at_index\":"
           "6," PROOF);
    expect(&h, &c, "{\"type\":\"scan\",\"prefix\":\"b\",\"verbose\":true}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":\"b\",\"value\":{\"x\":[1,2.5]},"
           "\"create_index\":3,\"modify_index\":3,\"version\":1}],\"more\":false,"
           "\"read_at_index\":6,\"heartbeat_confirmed\":true,\"linearizable\":true,"
           "\"read_index\":6,\"round\":6,\"term\":2,\"proof\":\"round\",\"by\":\"n1\"}");
    expect(&h, &c,
           "{\"type\":\"scan\",\"prefix\":\"b\",\"via\":\"local\",\"verbose\":true,"
           "\"keys_only\":true}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":\"b\",\"create_index\":3,\"modify_index\":3,"
           "\"version\":1}],\"more\":false,\"applied_index\":6,\"linearizable\":false}");
    /* Of exactly its marker. */
    expect(&h, &c, "{\"type\":\"scan\",\"prefix\":\"b\",\"via\":\"log\"}",
           "{\"type\":\"scan_ok\",\"items\":[{\"key\":\"b\",\"value\":{\"x\":[1,2.5]}}],"
           "\"more\":false,\"read_at_index\":7,\"heartbeat_confirmed\":false,"
           "\"linearizable\":true}");
    expect(&h, &c, "{\"type\":\"scan\",\"prefix\":\"c\",\"via\":\"log\",\"verbose\":true}",
           "{\"type\":\"scan_ok\",\"items\":[],\"more\":false,\"read_at_index\":8,"
           "\"heartbeat_confirmed\":false,\"linearizable\":true,\"term\":2,\"proof\":\"marker\","
           "\"by\":\"n1\"}");
    conn_close(&c);
    host_done(&h);
}

static void scan__methods_that_are_not_there_are_refused(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    open_leader(&h, &c);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"bounded\"}"), "malformed", 12);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"prefix\":\"a\",\"end\":\"b\"}"), "malformed",
                 12);
    conn_close(&c);
    host_done(&h);
}

/* A leader's method at a node that does not lead is refused, a local one answered (READ-33). */
static void scan__a_follower_names_the_leader(void **state)
{
    struct host h;
    struct conn c;
    json_t *page;
    int f;

    (void)state;
    host_init(&h, 3, HASH);
    f = fx_other(&h.fx, fx_elect(&h.fx));
    fx_settle(&h.fx);
    fx_advance(&h.fx, 2 * FX_HEARTBEAT_US);
    conn_open(&c, &h, f);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"read_index\"}"), "not_leader", 11);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"log\"}"), "not_leader", 11);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"lease\"}"), "not_leader", 11);
    page = ask(&h, &c, "{\"type\":\"scan\",\"verbose\":true}"); /* by the leader's word */
    assert_string_equal(str_of(page, "type"), "scan_ok");
    assert_true(bool_of(page, "linearizable"));
    assert_string_equal(str_of(page, "proof"), "leader");
    json_decref(page);
    page = ask(&h, &c, "{\"type\":\"scan\",\"via\":\"local\"}");
    assert_string_equal(str_of(page, "type"), "scan_ok");
    assert_false(bool_of(page, "linearizable"));
    json_decref(page);
    conn_close(&c);
    host_done(&h);
}

/* ---- where a page ends (SCAN-3) ---- */

/* Turns pages until nothing is left: each key comes once, in order (SCAN-4). How many pages. */
static unsigned turn_pages(struct host *h, struct conn *c, const char *fields, unsigned n_keys)
{
    unsigned n_pages = 0;
    unsigned n = 0;
    bool more = true;
    char line[256];

    (void)snprintf(line, sizeof(line), "{\"type\":\"scan\"%s}", fields);
    while (more) {
        json_t *page = ask(h, c, line);
        const json_t *items = json_object_get(page, "items");

        assert_string_equal(str_of(page, "type"), "scan_ok");
        assert_true(n_items(page) > 0);
        for (size_t i = 0; i < json_array_size(items); i++) {
            char key[16];

            (void)snprintf(key, sizeof(key), "%06u", n++);
            assert_string_equal(str_of(json_array_get(items, i), "key"), key);
        }
        more = bool_of(page, "more");
        (void)snprintf(line, sizeof(line), "{\"type\":\"scan\"%s,\"after\":\"%06u\"}", fields,
                       n - 1);
        json_decref(page);
        n_pages++;
    }
    assert_int_equal(n, n_keys);
    return n_pages;
}

static void scan__a_page_has_so_many_items(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    open_leader(&h, &c);
    plant(&h, 2500, 3);
    assert_int_equal(turn_pages(&h, &c, "", 2500), 3);
    assert_int_equal(turn_pages(&h, &c, ",\"limit\":1000", 2500), 3);
    assert_int_equal(turn_pages(&h, &c, ",\"limit\":500", 2500), 5); /* and not an empty sixth */
    assert_int_equal(turn_pages(&h, &c, ",\"limit\":7,\"prefix\":\"0000\"", 100), 15);
    conn_close(&c);
    host_done(&h);
}

static void scan__a_reply_stays_below_its_limit(void **state)
{
    static const size_t lengths[] = {1000, 5000, 100000, VALUE_BYTES_MAX};
    struct host h;
    struct conn c;

    (void)state;
    open_leader(&h, &c);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned n = lengths[i] > 10000 ? 23 : 1500;
        unsigned n_pages;
        json_t *page;

        plant(&h, n, lengths[i]);
        say(&c, "{\"type\":\"scan\"}");
        settle(&h);
        assert_true(c.out.len <= REPLY_BYTES_MAX);
        /* And near it, or a value more had fitted, unless there are as many as may be. */
        assert_true(c.out.len + lengths[i] + SERVICE_ITEM_BYTES + SERVICE_REPLY_BYTES >
                    (lengths[i] < 1040 ? SCAN_ITEMS_MAX * lengths[i] : REPLY_BYTES_MAX));
        page = ask(&h, &c, NULL);
        assert_true(bool_of(page, "more"));
        json_decref(page);
        n_pages = turn_pages(&h, &c, "", n);
        assert_true(n_pages >= n * lengths[i] / REPLY_BYTES_MAX);
    }
    conn_close(&c);
    host_done(&h);
}

/* Values that nobody asked for are read all the same, for their checksums: they count. */
static void scan__keys_alone_cost_their_records(void **state)
{
    struct host h;
    struct conn c;
    json_t *page;

    (void)state;
    open_leader(&h, &c);
    plant(&h, 1000, 100000);
    page = ask(&h, &c, "{\"type\":\"scan\",\"keys_only\":true}");
    assert_true(bool_of(page, "more"));
    assert_true(n_items(page) >= 9);
    assert_true(n_items(page) <= SCAN_BYTES_MAX / 100000 + 1);
    assert_true(h.fx.nodes[0].n_nexts <= n_items(page) + 1);
    assert_true(c.touched >= n_items(page) * 100000);
    json_decref(page);
    plant(&h, 1000, 10);
    c.touched = 0;
    page = ask(&h, &c, "{\"type\":\"scan\",\"keys_only\":true}");
    assert_int_equal(n_items(page), 1000);
    assert_false(bool_of(page, "more"));
    assert_true(c.touched >= 1000 * (size_t)SCAN_ITEM_COST);
    json_decref(page);
    conn_close(&c);
    host_done(&h);
}

/* A page is one step of a turn: where reading is slow it ends, and other requests have their turn
 * (TIME-1). */
static void scan__a_page_ends_with_its_time(void **state)
{
    struct host h;
    struct conn c;
    unsigned n_pages;

    (void)state;
    open_leader(&h, &c);
    plant(&h, 300, 1900);
    h.fx.nodes[0].next_us = 100;
    n_pages = turn_pages(&h, &c, "", 300);
    assert_true(n_pages >= 300 * 100 / (SCAN_STEP_US + SLICE_STEPS * 100));
    assert_true(n_pages <= 300 * 100 / (SCAN_STEP_US - 100) + 1);
    h.fx.nodes[0].next_us = 10 * SCAN_STEP_US;
    assert_int_equal(turn_pages(&h, &c, ",\"limit\":200", 300), 150); /* two at least */
    plant(&h, 300, 2); /* as many as lie side by side */
    n_pages = turn_pages(&h, &c, "", 300);
    assert_true(n_pages > 300 * KV_RECORD_OVERHEAD / SCAN_BYTES_LEAST);
    assert_true(n_pages < 300 * 2 * KV_RECORD_OVERHEAD / SCAN_BYTES_LEAST);
    plant(&h, 20, 5000);
    assert_int_equal(turn_pages(&h, &c, "", 20), 20); /* one at least */
    conn_close(&c);
    host_done(&h);
}

/* ---- room (SCAN-5) ---- */

static void scan__a_page_takes_the_room_there_is(void **state)
{
    struct host h;
    struct conn c;
    json_t *page;

    (void)state;
    open_leader(&h, &c);
    plant(&h, 100, 5000);
    memory_set_limit(&h.memory, 400000);
    page = ask(&h, &c, "{\"type\":\"scan\"}");
    assert_true(bool_of(page, "more"));
    assert_true(n_items(page) >= 1);
    assert_true(n_items(page) < 80);
    json_decref(page);
    c.memory.waits = false;
    memory_set_limit(&h.memory, 1u << 30);
    assert_int_equal(turn_pages(&h, &c, "", 100), 1);
    conn_close(&c);
    host_done(&h);
}

/* No more is copied than there is room for, however many ask; who finds none waits. */
static void scan__what_finds_no_room_waits(void **state)
{
    enum { N = 12 };
    struct host h;
    struct conn c;
    unsigned n = 0;
    bool more = true;

    (void)state;
    open_leader(&h, &c);
    plant(&h, 20, VALUE_BYTES_MAX);
    for (unsigned i = 0; i < N; i++)
        say(&c, "{\"type\":\"scan\"}");
    settle(&h);
    assert_true(c.memory.waits);
    while (more || c.out.len > 0) {
        service_conn_check(c.sc);
        assert_true(c.out.len <= CLIENT_OUT_BYTES_HIGH);
        assert_int_equal(c.memory.replies.used, c.out.size);
        for (size_t i = 0; i < c.out.len; i++)
            n += c.out.data[i] == '\n';
        buf_reset(&c.out, 0);
        budget_set(&c.memory.replies, 0);
        c.memory.waits = false;
        more = service_conn_room(c.sc);
        settle(&h);
    }
    assert_int_equal(n, N);
    /* A read of the log cannot wait. */
    memory_set_limit(&h.memory, 100000);
    expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"log\"}"), "overloaded", 11);
    conn_close(&c);
    host_done(&h);
}

static void scan__a_page_is_charged_and_forgotten_with_its_connection(void **state)
{
    struct host h;
    struct conn c;
    size_t with;

    (void)state;
    host_init(&h, 3, HASH); /* nobody leads */
    conn_open(&c, &h, 0);
    say(&c, "{\"type\":\"read_index\",\"key\":\"x\"}");
    with = c.memory.requests.used;
    say(&c, "{\"type\":\"scan\"}");
    assert_true(c.memory.requests.used >= 2 * with - 2 + sizeof(struct wire_scan));
    assert_int_equal(c.n_held, 2);
    conn_close(&c);
    /* Who has gone is not read for. */
    conn_open(&c, &h, 0);
    say(&c, "{\"type\":\"scan\",\"via\":\"local\"}");
    c.dead = true;
    settle(&h);
    assert_int_equal(h.fx.nodes[0].n_nexts, 0);
    conn_close(&c);
    host_done(&h);
}

/* ---- damage ---- */

/* In the middle of a page as at its beginning: no part of it is said (SCAN-2). */
static void scan__what_cannot_be_read_is_no_page(void **state)
{
    struct host h;
    struct conn c;

    (void)state;
    for (unsigned at = 0; at < 3; at++) {
        open_leader(&h, &c);
        h.fx.nodes[0].n_planted = 10;
        h.fx.nodes[0].planted_bytes = 5;
        h.fx.nodes[0].fail_next = -EIO; /* no damage: this read's alone */
        h.fx.nodes[0].n_until_fail = at * 4;
        expect_error(ask(&h, &c, "{\"type\":\"scan\"}"), "internal", 14);
        h.fx.nodes[0].fail_next = 0;
        assert_int_equal(turn_pages(&h, &c, "", 10), 1);
        h.fx.nodes[0].fail_get = -EIO;
        expect_error(ask(&h, &c, "{\"type\":\"scan\",\"via\":\"local\"}"), "internal", 14);
        h.fx.nodes[0].fail_get = 0;
        conn_close(&c);
        host_done(&h);
    }
}

/* A damaged state is made again, and the page asked for elsewhere (FIT-7). */
static void scan__damage_ends_in_another_node(void **state)
{
    struct host h;
    struct conn c;
    int leader;

    (void)state;
    host_init(&h, 3, HASH);
    leader = fx_elect(&h.fx);
    fx_settle(&h.fx);
    conn_open(&c, &h, leader);
    h.fx.nodes[leader].n_planted = 10;
    h.fx.nodes[leader].planted_bytes = 5;
    h.fx.nodes[leader].fail_next = FX_DAMAGED;
    h.fx.nodes[leader].n_until_fail = 5;
    expect_error(ask(&h, &c, "{\"type\":\"scan\"}"), "role_changed", 11);
    assert_int_equal(h.fx.nodes[leader].n_damaged, 1);
    h.fx.nodes[leader].fail_next = 0;
    conn_close(&c);
    host_done(&h);
}

/* ---- tokens (TOKEN-1) ---- */

#define TOKEN_LINE "{%s,\"min_index\":%d,\"cluster\":\"%s\"}"

static void token__another_cluster_is_refused_at_once(void **state)
{
    static const char *const kinds[] = {"\"type\":\"local_read\",\"key\":\"x\"",
                                        "\"type\":\"scan\"", "\"type\":\"scan\",\"via\":\"local\"",
                                        "\"type\":\"scan\",\"via\":\"log\""};
    struct host h;
    struct conn c;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        char line[160];
        json_t *reply;

        open_leader(&h, &c);
        (void)snprintf(line, sizeof(line), TOKEN_LINE, kinds[i], 2, HASH);
        reply = ask(&h, &c, line);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
        for (int index = 1; index <= 1000; index += 999) { /* here, and far away */
            (void)snprintf(line, sizeof(line), TOKEN_LINE, kinds[i], index, "00c0ffee00c0ffef");
            say(&c, line);
            assert_int_equal(c.n_held, 0);
            reply = ask(&h, &c, NULL);
            assert_true(int_of(reply, "index") >= 2);
            expect_error(reply, "precondition_failed", 22);
            (void)snprintf(line, sizeof(line), TOKEN_LINE, kinds[i], index, "00c0ffee00c0ffe");
            expect_error(ask(&h, &c, line), "precondition_failed", 22);
        }
        conn_close(&c);
        host_done(&h);
    }
    /* A host that shows none knows nobody's. */
    host_init(&h, 1, NULL);
    conn_open(&c, &h, 0);
    expect_error(ask(&h, &c, "{\"type\":\"local_read\",\"key\":\"x\",\"cluster\":\"" HASH "\"}"),
                 "precondition_failed", 22);
    conn_close(&c);
    host_done(&h);
}

static void token__reads_wait_for_what_was_seen(void **state)
{
    struct host h;
    struct conn c;
    char line[160];
    json_t *reply;

    (void)state;
    open_leader(&h, &c);
    say(&c, "{\"type\":\"local_read\",\"msg_id\":1,\"key\":\"x\",\"min_index\":3}");
    say(&c, "{\"type\":\"scan\",\"msg_id\":2,\"via\":\"local\",\"min_index\":4}");
    say(&c, "{\"type\":\"scan\",\"msg_id\":3,\"min_index\":5}");
    settle(&h);
    assert_int_equal(c.out.len, 0);
    assert_int_equal(c.n_held, 3);
    expect(&h, &c, "{\"type\":\"write\",\"key\":\"x\",\"value\":1}",
           "{\"type\":\"write_ok\"}\n{\"type\":\"local_read_ok\",\"in_reply_to\":1,\"value\":1,"
           "\"applied_index\":3,\"linearizable\":false}");
    expect(&h, &c, "{\"type\":\"write\",\"key\":\"x\",\"value\":2}",
           "{\"type\":\"write_ok\"}\n{\"type\":\"scan_ok\",\"in_reply_to\":2,\"items\":[{\"key\":"
           "\"x\",\"value\":2}],\"more\":false,\"applied_index\":4,\"linearizable\":false}");
    expect(&h, &c, "{\"type\":\"write\",\"key\":\"x\",\"value\":3}",
           "{\"type\":\"write_ok\"}\n{\"type\":\"scan_ok\",\"in_reply_to\":3,\"items\":[{\"key\":"
           "\"x\",\"value\":3}],\"more\":false,\"read_at_index\":5," PROOF);
    /* What never comes ends in time, and says what it waited for. */
    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"local_read\",\"key\":\"x\",\"min_index\":99,\"timeout_ms\":100}");
    say(&c, line);
    settle(&h);
    for (int i = 0; i < 12; i++) {
        fx_advance(&h.fx, 10000);
        settle(&h);
    }
    reply = ask(&h, &c, NULL);
    assert_string_equal(str_of(reply, "stage"), "apply");
    assert_int_equal(int_of(reply, "timeout_ms"), 100);
    expect_error(reply, "timeout", 0);
    /* A marker is behind all that anybody can have seen. */
    reply = ask(&h, &c, "{\"type\":\"scan\",\"via\":\"log\",\"min_index\":99}");
    assert_int_equal(int_of(reply, "index"), 6);
    expect_error(reply, "precondition_failed", 22);
    reply = ask(&h, &c, "{\"type\":\"scan\",\"via\":\"log\",\"min_index\":7}");
    assert_int_equal(int_of(reply, "read_at_index"), 7);
    json_decref(reply);
    conn_close(&c);
    host_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan__pages_have_exactly_their_fields),
        cmocka_unit_test(scan__methods_that_are_not_there_are_refused),
        cmocka_unit_test(scan__a_follower_names_the_leader),
        cmocka_unit_test(scan__a_page_has_so_many_items),
        cmocka_unit_test(scan__a_reply_stays_below_its_limit),
        cmocka_unit_test(scan__keys_alone_cost_their_records),
        cmocka_unit_test(scan__a_page_ends_with_its_time),
        cmocka_unit_test(scan__a_page_takes_the_room_there_is),
        cmocka_unit_test(scan__what_finds_no_room_waits),
        cmocka_unit_test(scan__a_page_is_charged_and_forgotten_with_its_connection),
        cmocka_unit_test(scan__what_cannot_be_read_is_no_page),
        cmocka_unit_test(scan__damage_ends_in_another_node),
        cmocka_unit_test(token__another_cluster_is_refused_at_once),
        cmocka_unit_test(token__reads_wait_for_what_was_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
