/* Ranges of keys and tokens in requests: which bounds they become (SCAN-4), and what is refused in
 * which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/request_int.h"

static struct wire_decoder *decoder;
static struct wire_request request;
static struct wire_refused refused;

static int setup(void **state)
{
    (void)state;
    return wire_decoder_new(&decoder);
}

static int teardown(void **state)
{
    (void)state;
    wire_decoder_free(decoder);
    return 0;
}

static int decode(const char *line)
{
    return wire_request_decode(decoder, line, strlen(line), &request, &refused);
}

static void must_decode(const char *line)
{
    int rc = decode(line);

    if (rc != 0)
        fail_msg("%s: %s", line, rc == WIRE_REQUEST_REFUSED ? refused.text : "not decoded");
}

/* "s" and the bytes, or "i" and the number. */
static void text_of(const struct wire_key *key, char *ret, size_t size)
{
    if (key->bytes[0] == KEY_TYPE_INT && key->len == 9)
        (void)snprintf(ret, size, "i%lld", (long long)wire_key_get_int(key));
    else
        (void)snprintf(ret, size, "%.*s", (int)key->len, (const char *)key->bytes);
}

#define SCAN(rest) "{\"msg_id\":7,\"type\":\"scan\"" rest "}"

static void scan__bounds_are_those_that_were_named(void **state)
{
    static const struct {
        const char *line;
        const char *from;
        bool behind;
        const char *to;
    } cases[] = {
        /* A type alone is no key, so that it makes no difference whether it is in or not. */
        {SCAN(""), "s", true, "t"},
        {SCAN(",\"prefix\":\"\""), "s", true, "t"},
        {SCAN(",\"prefix\":\"ab\""), "sab", false, "sac"},
        {SCAN(",\"prefix\":\"a\x7f\""), "sa\x7f", false, "sa\x80"},
        {SCAN(",\"prefix\":\"\xc3\xbf\""), "s\xc3\xbf", false, "s\xc3\xc0"},
        {SCAN(",\"start\":\"b\""), "sb", false, "t"},
        {SCAN(",\"end\":\"b\""), "s", true, "sb"},
        {SCAN(",\"start\":\"b\",\"end\":\"a\""), "sb", false, "sa"},
        {SCAN(",\"start\":\"\",\"end\":\"\""), "s", true, "s"},
        {SCAN(",\"after\":\"b\""), "sb", true, "t"},
        {SCAN(",\"prefix\":\"ab\",\"after\":\"abc\""), "sabc", true, "sac"},
        {SCAN(",\"prefix\":\"ab\",\"after\":\"ab\""), "sab", true, "sac"},
        {SCAN(",\"prefix\":\"ab\",\"after\":\"a\""), "sab", false, "sac"},
        {SCAN(",\"prefix\":\"ab\",\"after\":\"b\""), "sb", true, "sac"}, /* none are left */
        {SCAN(",\"start\":\"c\",\"after\":\"b\""), "sc", false, "t"},
        {SCAN(",\"start\":\"b\",\"after\":\"b\",\"end\":\"c\""), "sb", true, "sc"},
        {SCAN(",\"int_keys\":false"), "s", true, "t"},
        {SCAN(",\"int_keys\":true"), "i", true, "j"},
        {SCAN(",\"int_keys\":true,\"start\":-5,\"end\":5"), "i-5", false, "i5"},
        {SCAN(",\"int_keys\":true,\"start\":-5,\"after\":-1"), "i-1", true, "j"},
        {SCAN(",\"int_keys\":true,\"start\":5,\"after\":-1"), "i5", false, "j"},
        {SCAN(",\"int_keys\":true,\"after\":9223372036854775807"), "i9223372036854775807", true,
         "j"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char from[64];
        char to[64];

        must_decode(cases[i].line);
        assert_int_equal(request.type, WIRE_REQ_SCAN);
        assert_non_null(request.scan);
        text_of(&request.scan->from, from, sizeof(from));
        text_of(&request.scan->to, to, sizeof(to));
        if (strcmp(from, cases[i].from) != 0 || strcmp(to, cases[i].to) != 0 ||
            request.scan->behind != cases[i].behind)
            fail_msg("%s: from '%s'%s to '%s'", cases[i].line, from,
                     request.scan->behind ? ", behind it," : "", to);
        assert_int_equal(request.scan->limit, SCAN_ITEMS_MAX);
        assert_false(request.scan->keys_only);
        assert_int_equal(request.via, WIRE_VIA_DEFAULT);
        assert_true(request.min_index == 0);
        assert_null(request.cluster.data);
    }
}

static void scan__all_its_fields(void **state)
{
    char line[1200];
    char long_key[KEY_STRING_BYTES_MAX + 1];

    (void)state;
    must_decode(SCAN(",\"limit\":1,\"keys_only\":true,\"via\":\"local\",\"min_index\":12,"
                     "\"cluster\":\"0123456789abcdef\",\"verbose\":true,\"timeout_ms\":9"));
    assert_int_equal(request.scan->limit, 1);
    assert_true(request.scan->keys_only);
    assert_int_equal(request.via, WIRE_VIA_LOCAL);
    assert_true(request.min_index == 12);
    assert_int_equal(request.cluster.len, 16);
    assert_memory_equal(request.cluster.data, "0123456789abcdef", 16);
    assert_true(request.verbose);
    assert_int_equal(request.timeout_ms, 9);
    must_decode(SCAN("")); /* nothing is left of the one before */
    assert_int_equal(request.scan->limit, SCAN_ITEMS_MAX);
    assert_false(request.scan->keys_only);
    assert_true(request.min_index == 0);
    must_decode(SCAN(",\"limit\":1000,\"min_index\":0"));
    /* The longest bounds, and what is behind all that begins so. */
    memset(long_key, 'k', sizeof(long_key));
    (void)snprintf(line, sizeof(line), SCAN(",\"prefix\":\"%.480s\",\"after\":\"%.480s\""),
                   long_key, long_key);
    must_decode(line);
    assert_int_equal(request.scan->from.len, KEY_BYTES_MAX);
    assert_int_equal(request.scan->to.len, KEY_BYTES_MAX);
    assert_int_equal(request.scan->to.bytes[KEY_BYTES_MAX - 1], 'l');
    (void)snprintf(line, sizeof(line), SCAN(",\"after\":\"%.481s\""), long_key);
    assert_int_equal(decode(line), WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "after");
    assert_int_equal(refused.limit, KEY_STRING_BYTES_MAX);
}

static void scan__a_local_read_has_a_token(void **state)
{
    (void)state;
    must_decode("{\"type\":\"local_read\",\"key\":\"x\",\"min_index\":5,\"cluster\":\"ab\"}");
    assert_true(request.min_index == 5);
    assert_int_equal(request.cluster.len, 2);
    must_decode("{\"type\":\"local_read\",\"key\":\"x\"}");
    assert_true(request.min_index == 0);
    assert_null(request.cluster.data);
    /* Others have none: a field that is not known. */
    must_decode("{\"type\":\"read_index\",\"key\":\"x\",\"min_index\":\"none\"}");
    assert_true(request.min_index == 0);
}

#define LOCAL(rest) "{\"msg_id\":7,\"type\":\"local_read\",\"key\":\"x\"," rest "}"
#define INDEX_MAX   ((uint64_t)1 << 56)

static void scan__everything_wrong_is_malformed(void **state)
{
    static const struct {
        const char *line;
        const char *field;
        uint64_t limit;
    } cases[] = {
        {SCAN(",\"prefix\":\"a\",\"start\":\"a\""), "prefix", 0},
        {SCAN(",\"prefix\":\"a\",\"end\":\"b\""), "prefix", 0},
        {SCAN(",\"prefix\":\"\",\"end\":\"b\""), "prefix", 0},
        {SCAN(",\"prefix\":\"a\",\"int_keys\":true"), "prefix", 0},
        {SCAN(",\"prefix\":1"), "prefix", 0},
        {SCAN(",\"prefix\":null"), "prefix", 0},
        {SCAN(",\"prefix\":[\"a\"]"), "prefix", 0},
        {SCAN(",\"start\":1"), "start", 0},
        {SCAN(",\"end\":1"), "end", 0},
        {SCAN(",\"after\":1"), "after", 0},
        {SCAN(",\"after\":null"), "after", 0},
        {SCAN(",\"int_keys\":true,\"start\":\"1\""), "start", 0},
        {SCAN(",\"int_keys\":true,\"end\":1.0"), "end", 0},
        {SCAN(",\"int_keys\":true,\"after\":\"1\""), "after", 0},
        {SCAN(",\"int_keys\":1"), "int_keys", 0},
        {SCAN(",\"int_keys\":null"), "int_keys", 0},
        {SCAN(",\"limit\":0"), "limit", 1000},
        {SCAN(",\"limit\":-1"), "limit", 1000},
        {SCAN(",\"limit\":1001"), "limit", 1000},
        {SCAN(",\"limit\":4294967297"), "limit", 1000},
        {SCAN(",\"limit\":1.0"), "limit", 1000},
        {SCAN(",\"limit\":\"1\""), "limit", 1000},
        {SCAN(",\"keys_only\":1"), "keys_only", 0},
        {SCAN(",\"via\":\"quorum\""), "via", 0},
        {SCAN(",\"min_index\":-1"), "min_index", INDEX_MAX},
        {SCAN(",\"min_index\":72057594037927937"), "min_index", INDEX_MAX},
        {SCAN(",\"min_index\":1.0"), "min_index", INDEX_MAX},
        {SCAN(",\"min_index\":\"1\""), "min_index", INDEX_MAX},
        {SCAN(",\"min_index\":null"), "min_index", INDEX_MAX},
        {SCAN(",\"cluster\":\"\""), "cluster", 64},
        {SCAN(",\"cluster\":7"), "cluster", 64},
        {SCAN(",\"cluster\":\"0123456789012345678901234567890123456789012345678901234567890123"
              "4\""),
         "cluster", 64},
        {LOCAL("\"min_index\":-1"), "min_index", INDEX_MAX},
        {LOCAL("\"min_index\":true"), "min_index", INDEX_MAX},
        {LOCAL("\"cluster\":null"), "cluster", 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (decode(cases[i].line) != WIRE_REQUEST_REFUSED)
            fail_msg("%s is taken", cases[i].line);
        if (strcmp(refused.field, cases[i].field) != 0 || refused.limit != cases[i].limit)
            fail_msg("%s: field '%s', limit %llu: %s", cases[i].line, refused.field,
                     (unsigned long long)refused.limit, refused.text);
        assert_int_equal(refused.error, WIRE_ERROR_MALFORMED);
        assert_non_null(strstr(refused.text, cases[i].field));
        assert_true(refused.origin.has_msg_id);
    }
}

/* Long lines are taken another way, and must mean the same: bounds that are too long for a key are
 * refused there as well. */
static void scan__long_lines_mean_the_same(void **state)
{
    char line[40000];
    char text[20001];
    char from[64];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)snprintf(line, sizeof(line),
                   SCAN(",\"note\":\"%s\",\"prefix\":\"ab\",\"after\":\"abc\",\"limit\":5"), text);
    must_decode(line);
    text_of(&request.scan->from, from, sizeof(from));
    assert_string_equal(from, "sabc");
    assert_int_equal(request.scan->limit, 5);
    for (unsigned i = 0; i < 5; i++) {
        static const char *const fields[] = {"prefix", "start", "end", "after", "cluster"};

        (void)snprintf(line, sizeof(line), SCAN(",\"%s\":\"%s\""), fields[i], text);
        assert_int_equal(decode(line), WIRE_REQUEST_REFUSED);
        assert_string_equal(refused.field, fields[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan__bounds_are_those_that_were_named),
        cmocka_unit_test(scan__all_its_fields),
        cmocka_unit_test(scan__a_local_read_has_a_token),
        cmocka_unit_test(scan__everything_wrong_is_malformed),
        cmocka_unit_test(scan__long_lines_mean_the_same),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
