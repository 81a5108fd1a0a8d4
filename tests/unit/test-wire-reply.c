/* wire/reply.h and wire/errors.h: the exact bytes that ridd-protocol(7) promises (WIRE-5), in both
 * forms, and its table of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "wire/reply.h"

static struct wire_slice slice(const char *s)
{
    return (struct wire_slice){.data = s, .len = strlen(s)};
}

static const struct wire_origin bare_7 = {.has_msg_id = true, .msg_id = 7};
static const struct wire_origin bare_none = {0};
static const struct wire_origin envelope_1 = {
    .envelope = true, .has_msg_id = true, .msg_id = 1, .src = {"c0", 2}, .dest = {"n1", 2}};

/* Ends the reply and compares the line; b is emptied. */
static void assert_line(struct wire_reply *w, const char *want)
{
    struct buf *b = w->buf;

    assert_int_equal(wire_reply_end(w), 0);
    assert_int_equal(wire_reply_len(w), b->len);
    assert_true(b->len > 0 && b->data[b->len - 1] == '\n');
    b->data[b->len - 1] = '\0';
    assert_string_equal((const char *)b->data, want);
    b->len = 0;
}

static void reply__examples_of_the_protocol(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_origin o = {.has_msg_id = true};
    struct wire_reply w;

    (void)state;
    o.msg_id = 1;
    wire_reply_begin(&w, &b, &o, false, 0, "read_index_ok");
    wire_reply_value(&w, "value", slice("\"42\""));
    wire_reply_u64(&w, "read_at_index", 5);
    wire_reply_bool(&w, "heartbeat_confirmed", true);
    wire_reply_bool(&w, "linearizable", true);
    assert_line(
        &w, "{\"type\":\"read_index_ok\",\"in_reply_to\":1,\"value\":\"42\",\"read_at_index\":5,"
            "\"heartbeat_confirmed\":true,\"linearizable\":true}");
    o.msg_id = 2;
    wire_reply_begin(&w, &b, &o, false, 0, "read_via_log_ok");
    wire_reply_value(&w, "value", slice("\"42\""));
    wire_reply_u64(&w, "log_index_used", 6);
    wire_reply_ms(&w, "latency_ms", 15000);
    assert_line(
        &w, "{\"type\":\"read_via_log_ok\",\"in_reply_to\":2,\"value\":\"42\",\"log_index_used\":6,"
            "\"latency_ms\":15}");
    o.msg_id = 3;
    wire_reply_begin(&w, &b, &o, false, 0, "compare_read_methods_ok");
    wire_reply_ms(&w, "read_index_avg_ms", 2000);
    wire_reply_ms(&w, "read_via_log_avg_ms", 15000);
    wire_reply_bool(&w, "both_linearizable", true);
    assert_line(&w,
                "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":3,\"read_index_avg_ms\":2,"
                "\"read_via_log_avg_ms\":15,\"both_linearizable\":true}");
    wire_reply_begin_error(&w, &b, &bare_7, false, 0, WIRE_ERROR_NOT_LEADER, false,
                           "not the leader; try n2 at 10.0.0.2:7400");
    wire_reply_str(&w, "leader_id", "n2");
    wire_reply_str(&w, "leader_addr", "10.0.0.2:7400");
    assert_line(
        &w,
        "{\"type\":\"error\",\"in_reply_to\":7,\"code\":11,\"text\":\"not the leader; try n2 at "
        "10.0.0.2:7400\",\"error\":\"not_leader\",\"definite\":true,\"leader_id\":\"n2\","
        "\"leader_addr\":\"10.0.0.2:7400\"}");
    wire_reply_begin(&w, &b, &envelope_1, true, 0, "init_ok");
    assert_line(&w, "{\"src\": \"n1\", \"dest\": \"c0\", \"body\": {\"type\": \"init_ok\", "
                    "\"in_reply_to\": 1, \"msg_id\": 0}}");
}

static void reply__a_missing_key_is_null(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;

    (void)state;
    wire_reply_begin(&w, &b, &bare_none, false, 0, "read_index_ok");
    wire_reply_value(&w, "value", (struct wire_slice){NULL, 0});
    assert_line(&w, "{\"type\":\"read_index_ok\",\"value\":null}");
    wire_reply_begin(&w, &b, NULL, true, 0, "write_ok");
    assert_line(&w, "{\"type\": \"write_ok\"}");
}

/* Over TCP an envelope, too, is compact; msg_id is last and is the node's own. */
static void reply__an_envelope_comes_back_swapped(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_origin o = envelope_1;
    struct wire_reply w;

    (void)state;
    wire_reply_begin(&w, &b, &o, false, 18446744073709551615u, "cas_ok");
    assert_line(&w,
                "{\"src\":\"n1\",\"dest\":\"c0\",\"body\":{\"type\":\"cas_ok\",\"in_reply_to\":1,"
                "\"msg_id\":18446744073709551615}}");
    o.has_msg_id = false;
    o.src = slice("c\"1");
    wire_reply_begin(&w, &b, &o, true, 3, "cas_ok");
    wire_reply_i64(&w, "x", INT64_MIN);
    assert_line(&w, "{\"src\": \"n1\", \"dest\": \"c\\\"1\", \"body\": {\"type\": \"cas_ok\", "
                    "\"x\": -9223372036854775808, \"msg_id\": 3}}");
}

static void reply__milliseconds(void **state)
{
    static const struct {
        uint64_t us;
        const char *want;
    } cases[] = {
        {0, "0"},
        {1, "0.001"},
        {10, "0.01"},
        {100, "0.1"},
        {213, "0.213"},
        {999, "0.999"},
        {1000, "1"},
        {2000, "2"},
        {15500, "15.5"},
        {15050, "15.05"},
        {1001, "1.001"},
        {60000000, "60000"},
        {UINT64_MAX, "18446744073709551.615"},
    };
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire_reply w;
        char want[128];

        wire_reply_begin(&w, &b, NULL, false, 0, "x");
        wire_reply_ms(&w, "ms", cases[i].us);
        (void)snprintf(want, sizeof(want), "{\"type\":\"x\",\"ms\":%s}", cases[i].want);
        assert_line(&w, want);
    }
}

static void reply__keys(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_key s;
    struct wire_key i;
    struct wire_key internal;
    struct wire_reply w;

    (void)state;
    assert_int_equal(wire_key_set_string(&s, "3\n", 2), 0);
    wire_key_set_int(&i, -3);
    wire_key_set_internal(&internal, "counter");
    wire_reply_begin(&w, &b, NULL, false, 0, "x");
    wire_reply_open_array(&w, "keys");
    wire_reply_key(&w, NULL, &s);
    wire_reply_key(&w, NULL, &i);
    wire_reply_key(&w, NULL, &internal);
    wire_reply_close_array(&w);
    assert_line(&w, "{\"type\":\"x\",\"keys\":[\"3\\n\",-3,null]}");
}

/* A long reply of every kind of field. */
static void write_all(struct wire_reply *w)
{
    wire_reply_value(w, "value",
                     slice("{\"a\":[1,2,{\"b:,\":\"x,y:\\\"z,\\\\\"}],\"c\":{},\"d\":[]}"));
    wire_reply_open_array(w, "empty");
    wire_reply_close_array(w);
    wire_reply_open_object(w, "none");
    wire_reply_close_object(w);
    wire_reply_open_array(w, "values");
    for (int i = 0; i < 2; i++) {
        wire_reply_open_object(w, NULL);
        wire_reply_string(w, "key", "a:b,c", 5);
        wire_reply_value(w, "value", (struct wire_slice){NULL, 0});
        wire_reply_close_object(w);
    }
    wire_reply_u64(w, NULL, 0);
    wire_reply_bool(w, NULL, false);
    wire_reply_null(w, NULL);
    wire_reply_close_array(w);
    wire_reply_u64(w, "big", INT64_MAX);
    wire_reply_str(w, "nothing", NULL);
    wire_reply_str(w, "text", "\xff:,\t");
}

/* Numbers of every length, next to where it changes. */
static void reply__numbers_are_printed_by_hand(void **state)
{
    uint64_t power = 1;

    (void)state;
    for (unsigned i = 0; i <= 20; i++) {
        const uint64_t near[] = {power - 1, power, power + 1, power * 9 / 7, UINT64_MAX};

        for (unsigned j = 0; j < sizeof(near) / sizeof(near[0]); j++) {
            cleanup_buf struct buf b = BUF_INIT;
            struct wire_reply w;
            char want[64];

            wire_reply_begin(&w, &b, NULL, false, 0, "x");
            wire_reply_u64(&w, "n", near[j]);
            assert_int_equal(wire_reply_end(&w), 0);
            assert_int_equal(buf_add_u8(&b, 0), 0);
            (void)snprintf(want, sizeof(want), "{\"type\":\"x\",\"n\":%llu}\n",
                           (unsigned long long)near[j]);
            assert_string_equal((const char *)b.data, want);
        }
        power *= 10;
    }
}

/* The spaced form is what jansson prints of the compact one. */
static void reply__spaced_is_the_default_form_of_jansson(void **state)
{
    (void)state;
    for (int envelope = 0; envelope < 2; envelope++) {
        cleanup_buf struct buf compact = BUF_INIT;
        cleanup_buf struct buf spaced = BUF_INIT;
        const struct wire_origin *o = envelope ? &envelope_1 : &bare_7;
        struct wire_reply w;
        json_t *tree;
        char *dumped;

        wire_reply_begin(&w, &compact, o, false, 12, "status_ok");
        write_all(&w);
        assert_int_equal(wire_reply_end(&w), 0);
        wire_reply_begin(&w, &spaced, o, true, 12, "status_ok");
        write_all(&w);
        assert_int_equal(wire_reply_end(&w), 0);
        tree = json_loadb((const char *)compact.data, compact.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(tree);
        dumped = json_dumps(tree, 0);
        assert_int_equal(spaced.len, strlen(dumped) + 1);
        assert_memory_equal(spaced.data, dumped, spaced.len - 1);
        free(dumped);
        dumped = json_dumps(tree, JSON_COMPACT);
        assert_int_equal(compact.len, strlen(dumped) + 1);
        assert_memory_equal(compact.data, dumped, compact.len - 1);
        free(dumped);
        json_decref(tree);
    }
}

static void reply__undo_leaves_what_was_before(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;

    (void)state;
    assert_int_equal(buf_add_str(&b, "before\n"), 0);
    wire_reply_begin(&w, &b, NULL, false, 0, "x");
    assert_int_equal(wire_reply_len(&w), strlen("{\"type\":\"x\""));
    write_all(&w);
    wire_reply_undo(&w);
    assert_int_equal(b.len, 7);
    assert_memory_equal(b.data, "before\n", 7);
    wire_reply_begin(&w, &b, NULL, false, 0, "y");
    assert_int_equal(wire_reply_end(&w), 0);
    assert_memory_equal(b.data, "before\n{\"type\":\"y\"}\n", b.len);
}

static void assert_refused(const struct wire_refused *refused, bool spaced, const char *want)
{
    cleanup_buf struct buf b = BUF_INIT;

    assert_int_equal(wire_reply_refused(&b, refused, spaced, 4, 12), 0);
    assert_int_equal(b.len, strlen(want) + 1);
    assert_memory_equal(b.data, want, strlen(want));
}

static void reply__refused_lines(void **state)
{
    struct wire_refused r = {.error = WIRE_ERROR_MALFORMED, .text = "not JSON, at byte 3"};

    (void)state;
    assert_refused(&r, false,
                   "{\"type\":\"error\",\"code\":12,\"text\":\"not JSON, at byte 3\",\"error\":"
                   "\"malformed\",\"definite\":true,\"line\":12}");
    r = (struct wire_refused){.error = WIRE_ERROR_TOO_LARGE,
                              .origin = envelope_1,
                              .field = "value",
                              .limit = 524288,
                              .text = "'value' is larger than 524288 bytes"};
    assert_refused(
        &r, true,
        "{\"src\": \"n1\", \"dest\": \"c0\", \"body\": {\"type\": \"error\", \"in_reply_to\": 1, "
        "\"code\": 12, \"text\": \"'value' is larger than 524288 bytes\", \"error\": "
        "\"too_large\", \"definite\": true, \"field\": \"value\", \"limit\": 524288, "
        "\"msg_id\": 4}}");
    r = (struct wire_refused){.error = WIRE_ERROR_NOT_SUPPORTED,
                              .origin = bare_7,
                              .field = "fly",
                              .text = "unknown type 'fly'"};
    assert_refused(
        &r, false,
        "{\"type\":\"error\",\"in_reply_to\":7,\"code\":10,\"text\":\"unknown type 'fly'\","
        "\"error\":\"not_supported\",\"definite\":true,\"request_type\":\"fly\"}");
}

/* ---- the table of errors (WIRE-6), written down a second time ---- */

static const struct {
    const char *name;
    int code;
    bool definite;
    int code_after; /* -1: "-" */
    bool definite_after;
} table[] = {
    {"not_leader", 11, true, -1, false},
    {"term_changed", 11, true, 13, false},
    {"role_changed", 11, true, 13, false},
    {"timeout", 0, true, 0, false},
    {"network", 11, true, 0, false},
    {"internal", 14, true, 13, false},
    {"cancelled", 14, true, 13, false},
    {"overloaded", 11, true, -1, false},
    {"busy", 11, true, -1, false},
    {"no_space", 14, true, -1, false},
    {"session_expired", 13, false, -1, false},
    {"not_supported", 10, true, -1, false},
    {"malformed", 12, true, -1, false},
    {"too_large", 12, true, -1, false},
    {"key_not_found", 20, true, 20, true},
    {"precondition_failed", 22, true, 22, true},
    {"denied", 14, true, -1, false},
};
#define N_TABLE (sizeof(table) / sizeof(table[0]))

static void errors__are_those_of_the_protocol(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TABLE; i++) {
        enum wire_error e = wire_error_from_name(table[i].name);

        assert_int_not_equal(e, WIRE_ERROR_NONE);
        assert_string_equal(wire_error_name(e), table[i].name);
        assert_int_equal(wire_error_code(e, false), table[i].code);
        assert_int_equal(wire_error_definite(e, false), table[i].definite);
        assert_int_equal(wire_error_code(e, true), table[i].code_after);
        assert_int_equal(wire_error_definite(e, true), table[i].definite_after);
    }
    assert_int_equal(WIRE_ERROR_DENIED, N_TABLE); /* and no others */
    assert_int_equal(wire_error_from_name("none"), WIRE_ERROR_NONE);
    assert_int_equal(wire_error_from_name(""), WIRE_ERROR_NONE);
    assert_int_equal(wire_error_from_name("Busy"), WIRE_ERROR_NONE);
    assert_int_equal(wire_error_code((enum wire_error)99, false), -1);
    assert_false(wire_error_definite((enum wire_error)99, false));
    assert_non_null(wire_error_name((enum wire_error)99));
}

/* Codes of 1000 and above count as indefinite in Maelstrom; 0 and 13 do, too, and no others of
 * ours. */
static void errors__after_append_nothing_is_certain_but_what_apply_decided(void **state)
{
    (void)state;
    for (size_t i = 1; i <= N_TABLE; i++) {
        int code = wire_error_code((enum wire_error)i, true);
        bool definite = wire_error_definite((enum wire_error)i, true);

        assert_true(code < 1000);
        assert_int_equal(definite, code == 20 || code == 22);
        if (code >= 0 && !definite)
            assert_true(code == 0 || code == 13);
    }
}

static void errors__lines(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;

    (void)state;
    wire_reply_begin_error(&w, &b, &bare_7, false, 0, WIRE_ERROR_TIMEOUT, true,
                           "no answer in time");
    wire_reply_u64(&w, "timeout_ms", 5000);
    wire_reply_str(&w, "stage", "commit");
    assert_line(
        &w,
        "{\"type\":\"error\",\"in_reply_to\":7,\"code\":0,\"text\":\"no answer in time\",\"error\":"
        "\"timeout\",\"definite\":false,\"timeout_ms\":5000,\"stage\":\"commit\"}");
    wire_reply_begin_error(&w, &b, &envelope_1, true, 9, WIRE_ERROR_TERM_CHANGED, true,
                           "a higher term was seen");
    wire_reply_str(&w, "leader_id", NULL);
    assert_line(
        &w,
        "{\"src\": \"n1\", \"dest\": \"c0\", \"body\": {\"type\": \"error\", \"in_reply_to\": 1, "
        "\"code\": 13, \"text\": \"a higher term was seen\", \"error\": \"term_changed\", "
        "\"definite\": false, \"leader_id\": null, \"msg_id\": 9}}");
    /* The table has no such pair: what is written is never a lie. */
    wire_reply_begin_error(&w, &b, NULL, false, 0, WIRE_ERROR_BUSY, true, "x");
    assert_line(
        &w,
        "{\"type\":\"error\",\"code\":13,\"text\":\"x\",\"error\":\"busy\",\"definite\":false}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply__examples_of_the_protocol),
        cmocka_unit_test(reply__a_missing_key_is_null),
        cmocka_unit_test(reply__an_envelope_comes_back_swapped),
        cmocka_unit_test(reply__milliseconds),
        cmocka_unit_test(reply__keys),
        cmocka_unit_test(reply__numbers_are_printed_by_hand),
        cmocka_unit_test(reply__spaced_is_the_default_form_of_jansson),
        cmocka_unit_test(reply__undo_leaves_what_was_before),
        cmocka_unit_test(reply__refused_lines),
        cmocka_unit_test(errors__are_those_of_the_protocol),
        cmocka_unit_test(errors__after_append_nothing_is_certain_but_what_apply_decided),
        cmocka_unit_test(errors__lines),
    };

    return cmocka_run_group_tests_name("wire-reply", tests, NULL, NULL);
}
