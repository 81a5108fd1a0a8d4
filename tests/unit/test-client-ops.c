/* libridd: every request that a struct ridd_op describes, values of every kind, and what replies say
 * beside the value. */
#include "unit/async-util.h"

#include <unistd.h>

static struct ridd_reply *call_reply(const struct ridd_op *op, const char *reply, const char *expect)
{
    struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_call(c, op);

    if (expect != NULL && strncmp(fake_line(s, NULL, 0), expect, strlen(expect)) != 0)
        print_error("sent: %s\n", fake_line(s, NULL, 0));
    if (expect != NULL)
        assert_int_equal(strncmp(fake_line(s, NULL, 0), expect, strlen(expect)), 0);
    ridd_close(c);
    fake_stop(s);
    return r;
}

static void call(const struct ridd_op *op, const char *reply, const char *expect)
{
    struct ridd_reply *r = call_reply(op, reply, expect);

    if (r->status != RIDD_OK)
        print_error("%s: %s\n", ridd_status_name(r->status), r->text);
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
}

/* ---- reads ---- */

static void ops__how_old_a_read_may_be(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct ridd_reply *r;

    (void)state;
    op.key = ridd_key("x");
    op.via = RIDD_VIA_LOCAL;
    op.min_index = 17;
    op.cluster = "0123456789abcdef";
    r = call_reply(&op, LOCAL_OK,
                   "{\"type\":\"local_read\",\"key\":\"x\",\"verbose\":true,\"min_index\":17,"
                   "\"cluster\":\"0123456789abcdef\",\"timeout_ms\":");
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_SESSION);
    assert_int_equal(r->index, 7);
    assert_int_equal(r->staleness_us, -1);
    ridd_reply_free(r);
    op.min_index = 0;
    op.cluster = NULL;
    op.max_stale_ms = 250;
    r = call_reply(&op,
                   "{\"type\":\"local_read_ok\",\"in_reply_to\":%ID,\"value\":1,\"applied_index\":7,"
                   "\"staleness_ms\":12.5,\"linearizable\":false}",
                   "{\"type\":\"local_read\",\"key\":\"x\",\"verbose\":true,\"max_stale_ms\":250,"
                   "\"timeout_ms\":");
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_BOUNDED);
    assert_int_equal(r->staleness_us, 12500);
    ridd_reply_free(r);
    op.max_stale_ms = 0;
    r = call_reply(&op, LOCAL_OK, NULL);
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_NONE);
    ridd_reply_free(r);
}

static void ops__what_a_reply_proves(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct ridd_reply *r;

    (void)state;
    op.key = ridd_key("x");
    op.via = RIDD_VIA_LEASE;
    r = call_reply(&op,
                   "{\"type\":\"lease_read_ok\",\"in_reply_to\":%ID,\"value\":1,\"read_at_index\":7,"
                   "\"lease_valid\":false,\"linearizable\":true,\"proof\":\"round\"}",
                   NULL);
    assert_int_equal(r->lease_valid, 0);
    assert_string_equal(r->proof, "round");
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_LINEARIZABLE);
    ridd_reply_free(r);
    op.via = RIDD_VIA_FOLLOWER;
    r = call_reply(&op, FOLLOWER_OK, NULL);
    assert_string_equal(r->served_by, "n2");
    assert_int_equal(r->lease_valid, -1);
    ridd_reply_free(r);
    op.via = RIDD_VIA_DEFAULT; /* a server that does not say */
    r = call_reply(&op, "{\"type\":\"read_ok\",\"in_reply_to\":%ID,\"value\":1}", NULL);
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_UNSAID);
    assert_int_equal(r->linearizable, 0);
    ridd_reply_free(r);
    assert_string_equal(ridd_guarantee_name(RIDD_GUARANTEE_SESSION), "session");
    assert_string_equal(ridd_guarantee_name((enum ridd_guarantee)77), "unknown");
}

static void ops__where_the_time_went(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct ridd_reply *r;

    (void)state;
    op.key = ridd_key("x");
    op.via = RIDD_VIA_LOG;
    r = call_reply(&op,
                   "{\"type\":\"read_via_log_ok\",\"in_reply_to\":%ID,\"value\":1,"
                   "\"log_index_used\":7,\"latency_ms\":15.213,\"stages\":{\"leader_ms\":0,"
                   "\"round_ms\":1.5,\"commit_ms\":-3,\"apply_ms\":\"x\"}}",
                   NULL);
    assert_int_equal(r->stages.server_us, 15213);
    assert_int_equal(r->stages.leader_us, 0);
    assert_int_equal(r->stages.round_us, 1500);
    assert_int_equal(r->stages.commit_us, -1);
    assert_int_equal(r->stages.apply_us, -1);
    assert_true(r->stages.before_us + r->stages.queue_us + r->stages.answer_us <= r->elapsed_us);
    assert_true(r->stages.answer_us > 0);
    ridd_reply_free(r);
}

static void ops__one_call_that_is_linearizable(void **state)
{
    static const struct fake_step steps[] = {
        {"read_index", FAKE_REPLY, READ_OK, 1},
        {"read_index", FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":1,\"linearizable\":false}", 1},
        {"read_index", FAKE_REPLY, ERROR("key_not_found", 20, true), 0},
        {"follower_read", FAKE_REPLY, FOLLOWER_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_reply *r = ridd_linearizable_read(c, ridd_key("x"));

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_string_equal(r->string, "42");
    ridd_reply_free(r);
    r = ridd_linearizable_read(c, ridd_key("x"));
    assert_int_equal(r->status, RIDD_BAD_REPLY);
    ridd_reply_free(r);
    r = ridd_linearizable_read(c, ridd_key("x"));
    assert_int_equal(r->status, RIDD_KEY_NOT_FOUND);
    ridd_reply_free(r);
    ridd_close(c);
    c = open_one(s, PATIENCE_MS, RIDD_FLAG_SPREAD);
    r = ridd_linearizable_read(c, ridd_key("x"));
    assert_int_equal(r->status, RIDD_OK);
    ridd_reply_free(r);
    assert_int_equal(fake_count(s, "follower_read"), 1);
    ridd_close(c);
    fake_stop(s);
}

/* ---- scans ---- */

static void ops__a_scan_in_pages(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_SCAN);
    struct ridd_key after;
    struct ridd_reply *r;

    (void)state;
    op.prefix = "a\"";
    op.limit = 2;
    r = call_reply(&op,
                   "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[{\"key\":\"a\\\"b\","
                   "\"value\":\"\\u00e4\"},{\"key\":\"a\\\"c\",\"value\":[1, 2]}],\"more\":true,"
                   "\"read_at_index\":8,\"heartbeat_confirmed\":true,\"linearizable\":true}",
                   "{\"type\":\"scan\",\"prefix\":\"a\\\"\",\"limit\":2,\"verbose\":true,"
                   "\"timeout_ms\":");
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->n_items, 2);
    assert_int_equal(r->more, 1);
    assert_int_equal(r->index, 8);
    assert_int_equal(r->guarantee, RIDD_GUARANTEE_LINEARIZABLE);
    assert_string_equal(r->items[0].key, "\"a\\\"b\"");
    assert_string_equal(r->items[0].key_string, "a\"b");
    assert_string_equal(r->items[0].string, "\xc3\xa4");
    assert_int_equal(r->items[0].exists, 1);
    assert_string_equal(r->items[1].value, "[1, 2]");
    assert_int_equal(r->items[1].value_len, 6);
    assert_null(r->items[1].string);
    after = ridd_item_key(&r->items[1]);
    op.after = &after;
    op.min_index = r->index;
    op.via = RIDD_VIA_FOLLOWER;
    call(&op,
         "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[],\"more\":false,"
         "\"read_at_index\":9,\"linearizable\":true}",
         "{\"type\":\"scan\",\"prefix\":\"a\\\"\",\"after\":\"a\\\"c\",\"limit\":2,"
         "\"via\":\"follower\",\"verbose\":true,\"min_index\":8,\"timeout_ms\":");
    ridd_reply_free(r);
}

static void ops__a_scan_of_integer_keys(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_SCAN);
    struct ridd_key start = ridd_key_int(-5);
    struct ridd_key end = ridd_key_int(7);
    struct ridd_reply *r;

    (void)state;
    op.start = &start;
    op.end = &end;
    op.int_keys = 1;
    op.keys_only = 1;
    r = call_reply(&op,
                   "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[{\"key\":-5},{\"key\":0}],"
                   "\"more\":false,\"read_at_index\":8,\"linearizable\":true}",
                   "{\"type\":\"scan\",\"start\":-5,\"end\":7,\"keys_only\":true,\"int_keys\":true,"
                   "\"verbose\":true,");
    assert_int_equal(r->n_items, 2);
    assert_null(r->items[0].key_string);
    assert_int_equal(r->items[0].key_integer, -5);
    assert_null(r->items[0].value);
    assert_int_equal(ridd_item_key(&r->items[0]).integer, -5);
    assert_null(ridd_item_key(&r->items[0]).string);
    ridd_reply_free(r);
}

/* ---- values ---- */

static void ops__values_of_every_kind(void **state)
{
    static const unsigned char bytes[] = {0, 255, '"', 128};
    static const struct {
        struct ridd_value value;
        const char *json;
    } rows[] = {
        {{RIDD_VALUE_JSON, " [ 1 , 2 ] ", 11, 0}, "[1,2]"},
        {{RIDD_VALUE_STRING, "a\"\\\n\xc3\xa4", 6, 0}, "\"a\\\"\\\\\\n\xc3\xa4\""},
        {{RIDD_VALUE_STRING, "cut", 2, 0}, "\"cu\""},
        {{RIDD_VALUE_BYTES, bytes, sizeof(bytes), 0}, "\"AP8igA==\""},
        {{RIDD_VALUE_BYTES, NULL, 0, 0}, "\"\""},
        {{RIDD_VALUE_INTEGER, NULL, 0, INT64_MIN}, "-9223372036854775808"},
        {{RIDD_VALUE_NULL, NULL, 0, 0}, "null"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ridd_op op = ridd_op(RIDD_OP_PUT);
        char expect[128];

        op.key = ridd_key("x");
        op.value = rows[i].value;
        (void)snprintf(expect, sizeof(expect), "{\"type\":\"write\",\"key\":\"x\",\"value\":%s,",
                       rows[i].json);
        call(&op, WRITE_OK, expect);
        op = ridd_op(RIDD_OP_CAS);
        op.key = ridd_key("x");
        op.from = rows[i].value;
        op.value = ridd_value_string("b");
        (void)snprintf(expect, sizeof(expect),
                       "{\"type\":\"cas\",\"key\":\"x\",\"from\":%s,\"to\":\"b\",",
                       rows[i].json);
        call(&op, "{\"type\":\"cas_ok\",\"in_reply_to\":%ID}", expect);
    }
}

static void ops__the_makers_of_values(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);

    (void)state;
    ridd_reply_free(ridd_put_value(c, ridd_key("x"), ridd_value_string("s")));
    ridd_reply_free(ridd_put_value(c, ridd_key("x"), ridd_value_bytes("s", 1)));
    ridd_reply_free(ridd_put_value(c, ridd_key("x"), ridd_value_integer(-3)));
    ridd_reply_free(ridd_put_value(c, ridd_key("x"), ridd_value_json("{}")));
    ridd_reply_free(ridd_put_value(c, ridd_key("x"), ridd_value_null()));
    ridd_reply_free(ridd_cas_value(c, ridd_key("x"), ridd_value_null(), ridd_value_string("s"), 1));
    assert_int_equal(fake_count(s, "\"value\":\"s\""), 1);
    assert_int_equal(fake_count(s, "\"value\":\"cw==\""), 1);
    assert_int_equal(fake_count(s, "\"value\":-3,"), 1);
    assert_int_equal(fake_count(s, "\"value\":{},"), 1);
    assert_int_equal(fake_count(s, "\"value\":null,"), 1);
    assert_int_equal(
        fake_count(s, "\"from\":null,\"to\":\"s\",\"create_if_not_exists\":true,"), 1);
    ridd_close(c);
    fake_stop(s);
}

static void ops__bytes_come_back(void **state)
{
    unsigned char *bytes = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(ridd_bytes("AP8igA==", &bytes, &len), RIDD_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "\0\xff\"\x80", 4);
    free(bytes);
    assert_int_equal(ridd_bytes("", &bytes, &len), RIDD_OK);
    assert_int_equal(len, 0);
    assert_non_null(bytes);
    free(bytes);
    bytes = NULL;
    assert_int_equal(ridd_bytes(NULL, &bytes, &len), RIDD_INVALID);
    assert_int_equal(ridd_bytes("AP8", &bytes, &len), RIDD_INVALID);
    assert_int_equal(ridd_bytes("A P8igA=", &bytes, &len), RIDD_INVALID);
    assert_null(bytes);
}

/* ---- the cluster ---- */

static void ops__nodes_and_members(void **state)
{
    struct ridd_op op = ridd_op(RIDD_OP_MEMBERS);

    (void)state;
    call(&op, "{\"type\":\"members_ok\",\"in_reply_to\":%ID,\"members\":[]}",
         "{\"type\":\"members\",\"timeout_ms\":");
    op = ridd_op(RIDD_OP_STATUS);
    call(&op, "{\"type\":\"status_ok\",\"in_reply_to\":%ID}", "{\"type\":\"status\",");
    op = ridd_op(RIDD_OP_PING);
    call(&op, PONG, "{\"type\":\"ping\",");
    op = ridd_op(RIDD_OP_REQUEST);
    op.json = "{\"type\": \"member_promote\", \"id\": \"n4\"}";
    op.kind = RIDD_KIND_WRITE;
    call(&op, "{\"type\":\"member_promote_ok\",\"in_reply_to\":%ID,\"done\":true}",
         "{\"type\":\"member_promote\",\"id\":\"n4\",\"timeout_ms\":");
    op = ridd_op(RIDD_OP_TRANSFER);
    op.to = "n\"2";
    call(&op, "{\"type\":\"transfer_leader_ok\",\"in_reply_to\":%ID}",
         "{\"type\":\"transfer_leader\",\"to\":\"n\\\"2\",");
}

/* ---- what cannot be asked ---- */

static void expect_invalid(const struct ridd_op *op)
{
    struct ridd *c = NULL;
    struct ridd_reply *r;

    assert_int_equal(ridd_open("127.0.0.1:1", NULL, &c), RIDD_OK);
    r = ridd_call(c, op);
    assert_int_equal(r->status, RIDD_INVALID);
    assert_int_equal(r->definite, 1);
    assert_true(r->text[0] != '\0');
    ridd_reply_free(r);
    ridd_close(c);
}

static void ops__what_cannot_be_asked_is_told(void **state)
{
    struct ridd_key key = ridd_key("k");
    struct ridd_key integer = ridd_key_int(1);
    struct ridd_op get = ridd_op(RIDD_OP_GET);
    struct ridd_op scan = ridd_op(RIDD_OP_SCAN);
    struct ridd_op op;

    (void)state;
    get.key = key;
    get.via = RIDD_VIA_LOCAL;
#define WRONG(base, field, value)                                                                  \
    do {                                                                                           \
        op = (base);                                                                               \
        op.field = (value);                                                                        \
        expect_invalid(&op);                                                                       \
    } while (0)
    WRONG(get, min_index, UINT64_MAX);
    WRONG(get, cluster, "0123456789ABCDEF");
    WRONG(get, cluster, "0123456789abcdef0");
    WRONG(get, node, "nonsense");
    WRONG(get, timeout_ms, 86400001);
    WRONG(get, type, (enum ridd_op_type)99);
    WRONG(get, type, RIDD_OP_PUT); /* without a value */
    WRONG(scan, max_stale_ms, 5);
    WRONG(scan, via, (enum ridd_via)6);
    WRONG(scan, start, &integer);
    WRONG(scan, after, &integer);
    WRONG(scan, prefix, "\xff");
    get.via = RIDD_VIA_READ_INDEX;
    WRONG(get, min_index, 5);
    WRONG(get, cluster, "0123456789abcdef");
    WRONG(get, max_stale_ms, 5);
    scan.prefix = "p";
    WRONG(scan, start, &key);
    WRONG(scan, end, &key);
    WRONG(scan, int_keys, 1);
    op = ridd_op(RIDD_OP_PUT);
    op.key = key;
    op.value = ridd_value_of(RIDD_VALUE_STRING, "a\0b", 3);
    expect_invalid(&op);
    WRONG(op, value, ridd_value_of(RIDD_VALUE_STRING, "\xff", 1));
    WRONG(op, value, ridd_value_json("{"));
    WRONG(op, value, ridd_value_json(NULL));
    WRONG(op, value, ridd_value_bytes(NULL, 1));
    WRONG(op, value, ridd_value_of((enum ridd_value_type)77, "x", 1));
#undef WRONG
}

static void ops__versions_agree(void **state)
{
    char text[32];

    (void)state;
    (void)snprintf(text, sizeof(text), "%u.%u.%u", ridd_version_number() >> 16,
                   ridd_version_number() >> 8 & 255, ridd_version_number() & 255);
    assert_string_equal(text, ridd_version());
    assert_string_equal(text, RIDD_VERSION);
    assert_int_equal(ridd_version_number(), RIDD_VERSION_NUMBER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops__how_old_a_read_may_be),
        cmocka_unit_test(ops__what_a_reply_proves),
        cmocka_unit_test(ops__where_the_time_went),
        cmocka_unit_test(ops__one_call_that_is_linearizable),
        cmocka_unit_test(ops__a_scan_in_pages),
        cmocka_unit_test(ops__a_scan_of_integer_keys),
        cmocka_unit_test(ops__values_of_every_kind),
        cmocka_unit_test(ops__the_makers_of_values),
        cmocka_unit_test(ops__bytes_come_back),
        cmocka_unit_test(ops__nodes_and_members),
        cmocka_unit_test(ops__what_cannot_be_asked_is_told),
        cmocka_unit_test(ops__versions_agree),
    };

    return cmocka_run_group_tests_name("client-ops", tests, NULL, NULL);
}
