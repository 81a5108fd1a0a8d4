/* Long lines: values made compact without a tree are what jansson and wire_value_encode() make of
 * them, to the byte, and refused when those refuse (WIRE-4, TIME-4). A decoder that has names of
 * peers' messages still builds a tree of every line: both are held against each other. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "wire/json_compact_int.h"
#include "wire/request.h"
#include "wire/request_int.h"
#include "wire/value.h"

static struct wire_decoder *by_text;
static struct wire_decoder *by_tree;
static struct wire_decoder *by_pieces;
static size_t n_pieces;

static int setup(void **state)
{
    static const char *const peers[] = {"of_peers"};

    (void)state;
    json_object_seed(1);
    if (wire_decoder_new(&by_text) != 0 || wire_decoder_new(&by_tree) != 0 ||
        wire_decoder_new(&by_pieces) != 0)
        return 1;
    wire_decoder_set_peer_types(by_tree, peers, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_decoder_free(by_text);
    wire_decoder_free(by_tree);
    wire_decoder_free(by_pieces);
    return 0;
}

/* ---- values ---- */

/* Both ways, from a block of exactly that size; true when both take it. */
static bool agree(const char *text, size_t len)
{
    cleanup_free char *exact = malloc(len > 0 ? len : 1);
    cleanup_buf struct buf want = BUF_INIT;
    cleanup_buf struct buf got = BUF_INIT;
    cleanup_buf struct buf names = BUF_INIT;
    json_t *v;
    const char *end;
    bool taken;

    assert_non_null(exact);
    memcpy(exact, text, len);
    v = json_loadb(exact, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    taken = json_compact(exact, exact + len, true, &got, &end) == 0;
    while (taken && end != exact + len && strchr(" \t\r\n", *end) != NULL)
        end++;
    taken = taken && end == exact + len;
    if (taken != (v != NULL))
        fail_msg("%.*s: taken %d, by jansson %d", (int)len, text, taken, v != NULL);
    if (v == NULL)
        return false;
    assert_int_equal(wire_value_encode(v, &want), 0);
    json_decref(v);
    if (want.len != got.len || memcmp(want.data, got.data, got.len) != 0)
        fail_msg("%.*s: %.*s, by jansson %.*s", (int)len, text, (int)got.len, (char *)got.data,
                 (int)want.len, (char *)want.data);
    assert_int_equal(json_compact(exact, exact + len, false, &names, &end), 0);
    return true;
}

/* At once, and in pieces that end after so many bytes: the same in every respect (TIME-4). */
static void compact_in_pieces(const char *text, size_t len, size_t look_bytes, bool keep)
{
    cleanup_buf struct buf want = BUF_INIT;
    cleanup_buf struct buf got = BUF_INIT;
    struct json_compact c;
    const char *end;
    int want_rc = json_compact(text, text + len, keep, &want, &end);
    unsigned n = 0;
    int rc;

    json_compact_begin(&c, text, text + len, keep, &got);
    c.look_bytes = look_bytes;
    do {
        struct slice spent = {.spent = true};
        const char *before = c.p;

        rc = json_compact_step(&c, &spent);
        n++;
        if (rc == JSON_COMPACT_MORE)
            assert_true(c.p >= before + look_bytes || c.p == text + len);
    } while (rc == JSON_COMPACT_MORE);
    assert_int_equal(rc, want_rc);
    assert_ptr_equal(c.p, end);
    assert_true(n <= 2 + len / look_bytes);
    if (rc == 0) {
        assert_int_equal(got.len, want.len);
        if (want.len > 0)
            assert_memory_equal(got.data, want.data, got.len);
    }
}

static void large__values_as_jansson_takes_them(void **state)
{
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "-1",
                                        "01",
                                        "-",
                                        "+1",
                                        "1.",
                                        ".5",
                                        "1e",
                                        "1e+",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999",
                                        "0.0",
                                        "-0.0",
                                        "0.000",
                                        "-0e5",
                                        "0e-999",
                                        "1.0",
                                        "1.50",
                                        "100.00",
                                        "1e0",
                                        "1E5",
                                        "1e+5",
                                        "1e-5",
                                        "12e3",
                                        "1e15",
                                        "1e16",
                                        "1e17",
                                        "1e22",
                                        "1e100",
                                        "1e-4",
                                        "0.0001",
                                        "0.00012",
                                        "0.001",
                                        "123456789012345.0",
                                        "1234567890123456.0",
                                        "0.1",
                                        "0.30000000000000004",
                                        "123456789012345678.5",
                                        "9007199254740993.0",
                                        "1e290",
                                        "1e291",
                                        "1e308",
                                        "1e309",
                                        "-1e400",
                                        "1e-290",
                                        "1e-308",
                                        "5e-324",
                                        "1e-400",
                                        "2.2250738585072014e-308",
                                        "0.000000000000000000001",
                                        "1000000000000000000000.0",
                                        "10.10",
                                        "1e99999999999",
                                        "1e-99999999999",
                                        "100e-2",
                                        "\"\"",
                                        "\"a\"",
                                        "\"\\u0041\\n\\/\\\"\\\\\"",
                                        "\"\\u001f\"",
                                        "\"\\u0000\"",
                                        "\"\\ud83d\\ude00\"",
                                        "\"\\ud83d\"",
                                        "\"\\ude00\"",
                                        "\"\\ud83dx\"",
                                        "\"\\ud83d\\u0041\"",
                                        "\"\\u00e4\\u20ac\"",
                                        "\"\x7f\"",
                                        "\"\xc3\xa4\"",
                                        "\"\xff\"",
                                        "\"\xed\xa0\x80\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\n\"",
                                        "\"",
                                        "[]",
                                        "[ ]",
                                        "[1 , 2]",
                                        "[1,]",
                                        "[,1]",
                                        "[",
                                        "[1",
                                        "{}",
                                        "{ }",
                                        "{\"a\":1}",
                                        "{\"a\" : 1 , \"b\":2}",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{\"a\" 1}",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1,\"\\u0061\":2}",
                                        "{\"b\":{\"a\":1},\"a\":1}",
                                        "{\"b\":{\"a\":1,\"a\":2},\"c\":1}",
                                        "{\"\\u0000\":1}",
                                        "true",
                                        "false",
                                        "null",
                                        "tru",
                                        "nullx",
                                        " 1 ",
                                        "",
                                        " ",
                                        "1 2",
                                        "[true,false,null]"};
    unsigned n_taken = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        n_taken += agree(texts[i], strlen(texts[i]));
    /* An exponent that brings so many zeros back into range. */
    for (unsigned n = 2000; n < 200000; n *= 7) {
        cleanup_buf struct buf b = BUF_INIT;

        assert_int_equal(buf_add_str(&b, "0."), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(buf_add_u8(&b, '0'), 0);
        assert_int_equal(buf_add_format(&b, "12e%u", n + 3), 0);
        assert_true(agree((const char *)b.data, b.len));
        b.data[0] = '1'; /* and one that does not */
        (void)agree((const char *)b.data, b.len);
    }
    /* More digits than decide anything, and one that decides it all. */
    for (unsigned n = 700; n < 900; n += 7) {
        cleanup_buf struct buf b = BUF_INIT;

        assert_int_equal(buf_add_str(&b, "[9007199254740993."), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(buf_add_u8(&b, '0'), 0);
        assert_int_equal(buf_add_format(&b, "%c,-9007199254740993.0e-300]", '0' + n % 2), 0);
        assert_true(agree((const char *)b.data, b.len));
    }
    assert_true(n_taken > 50);
    assert_true(n_taken < sizeof(texts) / sizeof(texts[0]) - 30);
}

static void add_space(struct prng *p, struct buf *b)
{
    static const char *const spaces[] = {"", "", "", " ", "\t", "\n ", "\r"};

    assert_int_equal(buf_add_str(b, spaces[prng_below(p, 7)]), 0);
}

static void add_number(struct prng *p, struct buf *b)
{
    unsigned n = 1 + (unsigned)prng_below(p, prng_below(p, 4) == 0 ? 20 : 6);

    if (prng_below(p, 3) == 0)
        assert_int_equal(buf_add_u8(b, '-'), 0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(buf_add_u8(b, (uint8_t)("0123456789000"[prng_below(p, i == 0 ? 10 : 13)])),
                         0);
    if (prng_below(p, 2) == 0) {
        assert_int_equal(buf_add_u8(b, '.'), 0);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(buf_add_u8(b, (uint8_t)("0123456789000"[prng_below(p, 13)])), 0);
    }
    if (prng_below(p, 4) == 0)
        assert_int_equal(buf_add_format(b, "e%s%u", prng_below(p, 2) == 0 ? "-" : "",
                                        (unsigned)prng_below(p, 330)),
                         0);
}

static void add_string(struct prng *p, struct buf *b)
{
    static const char *const parts[] = {
        "a",        "b",    "k1",   "\\n", "\\u0041", "\\u00df",      "\\ud83d\\ude00",
        "\xc3\xa4", "\\\"", "\\\\", "\\/", "\\u001f", "\xe2\x82\xac", " ",
        "]"};

    assert_int_equal(buf_add_u8(b, '"'), 0);
    for (uint64_t n = prng_below(p, 4); n > 0; n--)
        assert_int_equal(buf_add_str(b, parts[prng_below(p, 15)]), 0);
    assert_int_equal(buf_add_u8(b, '"'), 0);
}

/* NOLINTNEXTLINE(misc-no-recursion): a few levels */
static void add_value(struct prng *p, struct buf *b, unsigned depth)
{
    uint64_t kind = prng_below(p, depth > 0 ? 6 : 3);
    bool is_object = kind == 5;

    add_space(p, b);
    if (kind == 0)
        assert_int_equal(buf_add_str(b, prng_below(p, 2) == 0 ? "true" : "null"), 0);
    else if (kind == 1)
        add_number(p, b);
    else if (kind == 2)
        add_string(p, b);
    if (kind > 2) {
        uint64_t n = prng_below(p, 5);

        assert_int_equal(buf_add_u8(b, is_object ? '{' : '['), 0);
        for (uint64_t i = 0; i < n; i++) {
            if (i > 0)
                assert_int_equal(buf_add_u8(b, ','), 0);
            add_space(p, b);
            if (is_object) {
                add_string(p, b);
                add_space(p, b);
                assert_int_equal(buf_add_u8(b, ':'), 0);
            }
            add_value(p, b, depth - 1);
        }
        add_space(p, b);
        assert_int_equal(buf_add_u8(b, is_object ? '}' : ']'), 0);
    }
    add_space(p, b);
}

static void large__any_text_as_jansson_takes_it(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct prng p;
    unsigned n_taken = 0;
    unsigned n_broken = 0;

    (void)state;
    prng_init(&p, 11);
    for (unsigned i = 0; i < 30000; i++) {
        buf_reset(&b, SIZE_MAX);
        add_value(&p, &b, 4);
        n_taken += agree((const char *)b.data, b.len);
        compact_in_pieces((const char *)b.data, b.len, 1 + i % 5, i % 2 == 0);
        if (b.len == 0)
            continue;
        b.data[prng_below(&p, b.len)] = (uint8_t)("\"\\{}[],:0e-.u\xc3\x01 "[prng_below(&p, 16)]);
        n_broken += !agree((const char *)b.data, b.len);
        compact_in_pieces((const char *)b.data, b.len, 1 + i % 7, i % 2 == 0);
    }
    assert_true(n_taken > 10000);
    assert_true(n_broken > 3000);
}

/* ---- lines ---- */

static bool same_slice(struct wire_slice a, struct wire_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool same_refusal(const struct wire_refused *a, const struct wire_refused *b)
{
    return a->error == b->error && a->origin.has_msg_id == b->origin.has_msg_id &&
           a->origin.msg_id == b->origin.msg_id && a->limit == b->limit &&
           strcmp(a->field, b->field) == 0 && strcmp(a->text, b->text) == 0;
}

/* White space is passed over in one step, and so are the digits of one number. */
static size_t n_black(const char *line, size_t len)
{
    size_t n = 0;

    for (size_t i = 1; i < len; i++)
        n += line[i] != ' ' && (isdigit(line[i]) == 0 || isdigit(line[i - 1]) == 0);
    return n;
}

/* A line that gave this at once, in pieces: the same (TIME-4). */
static void decode_in_pieces(const char *line, size_t len, int want_rc,
                             const struct wire_request *want, const struct wire_refused *refused)
{
    for (size_t look_bytes = 1; look_bytes < 2 * DECODE_LOOK_BYTES; look_bytes *= 3) {
        struct wire_refused got_refused = {0};
        struct wire_request got;
        size_t n = 0;
        int rc;

        by_pieces->look_bytes = look_bytes;
        wire_request_begin(by_pieces, line, len);
        do {
            struct slice spent = {.spent = true};

            rc = wire_request_step(by_pieces, &spent, &got, &got_refused);
        } while (rc == WIRE_REQUEST_MORE && ++n < 3 * len);
        assert_int_equal(rc, want_rc);
        if (rc == 0)
            assert_true(n > n_black(line, len) / (look_bytes + 8) / 2);
        n_pieces = n; /* of the longest, at last */
        if (rc == WIRE_REQUEST_REFUSED)
            assert_true(same_refusal(&got_refused, refused));
        if (rc != 0)
            continue;
        assert_int_equal(got.type, want->type);
        assert_int_equal(got.origin.msg_id, want->origin.msg_id);
        assert_true(same_slice(got.value, want->value));
        assert_true(same_slice(got.from, want->from));
        assert_int_equal(got.key.len, want->key.len);
        assert_memory_equal(got.key.bytes, want->key.bytes, got.key.len);
        assert_int_equal(got.n_keys, want->n_keys);
    }
}

/* Decodes a line made long by `fill` both ways, and in pieces; the outcome, which is one. */
static int decode_both(const char *format, const char *fill, struct wire_request *ret,
                       struct wire_refused *ret_refused)
{
    size_t size = strlen(format) + 3 * strlen(fill) + 1;
    cleanup_free char *line = malloc(size);
    struct wire_request other;
    struct wire_refused other_refused = {0};
    int len;
    int rc;

    assert_non_null(line);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    len = snprintf(line, size, format, fill);
#pragma GCC diagnostic pop
    assert_true(len > (int)WIRE_TREE_BYTES);
    memset(ret_refused, 0, sizeof(*ret_refused));
    rc = wire_request_decode(by_text, line, (size_t)len, ret, ret_refused);
    decode_in_pieces(line, (size_t)len, rc, ret, ret_refused);
    assert_int_equal(wire_request_decode(by_tree, line, (size_t)len, &other, &other_refused), rc);
    if (rc != 0) {
        assert_int_equal(ret_refused->error, other_refused.error);
        assert_int_equal(ret_refused->origin.has_msg_id, other_refused.origin.has_msg_id);
        assert_int_equal(ret_refused->origin.msg_id, other_refused.origin.msg_id);
        return rc;
    }
    assert_int_equal(ret->type, other.type);
    assert_int_equal(ret->origin.msg_id, other.origin.msg_id);
    assert_true(same_slice(ret->value, other.value));
    assert_true(same_slice(ret->from, other.from));
    assert_int_equal(ret->key.len, other.key.len);
    return 0;
}

static char *repeat(const char *text, unsigned n)
{
    size_t len = strlen(text);
    char *all = malloc(len * n + 1);

    assert_non_null(all);
    for (unsigned i = 0; i < n; i++)
        memcpy(all + i * len, text, len);
    all[len * n] = '\0';
    return all;
}

static void large__lines_give_the_same_request(void **state)
{
    static const struct {
        const char *format;
        int rc;
    } cases[] = {
        {"{\"type\":\"write\",\"msg_id\":7,\"key\":\"k\",\"value\":[%s1]}", 0},
        {" { \"value\" : [ %s 1 ] , \"type\":\"write\",\"key\":\"k\"}  ", 0},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":\"%s\"}", 0},
        {"{\"type\":\"write\",\"key\":\"k\",\"val\\u0075e\":[%s1]}", 0},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":{\"a\":[%s1],\"b\":{\"value\":1}}}", 0},
        {"{\"type\":\"cas\",\"key\":\"k\",\"to\":1,\"from\":[%s1]}", 0},
        {"{\"type\":\"cas\",\"key\":\"k\",\"to\":[%s1],\"from\":1,\"create_if_not_exists\":true}",
         0},
        {"{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":8,\"key\":\"k\","
         "\"value\":[%s1]}}",
         0},
        {"{\"src\":\"c1\",\"dest\":\"n1\",\"value\":2,\"body\":{\"type\":\"write\",\"key\":\"k\","
         "\"value\":[%s1]}}",
         0},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":3,\"body\":{\"value\":[%s1]}}", 0},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":3,\"note\":[%s1]}", 0},
        {"{\"type\":\"ping\",\"note\":\"%s\",\"more\":{\"a\":[]}}", 0},
        {"{\"type\":\"write\",\"msg_id\":9,\"key\":\"k\",\"note\":[%s1]}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"msg_id\":9,\"key\":\"%s\",\"value\":1}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"msg_id\":9,\"key\":[%s1],\"value\":1}", WIRE_REQUEST_REFUSED},
        {"{\"type\":[%s1],\"msg_id\":9,\"key\":\"k\",\"value\":1}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"batch_read_index\",\"msg_id\":9,\"keys\":[%s1]}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":[%s1],\"value\":1}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":[%s1],\"val\\u0075e\":1}",
         WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":[%s1]", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":[%s1]}}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"write\",\"key\":\"k\",\"value\":[%s]}", WIRE_REQUEST_REFUSED},
        {"[%s1]", WIRE_REQUEST_REFUSED},
        {"{\"src\":\"%s\",\"dest\":\"n1\",\"body\":{\"type\":\"ping\",\"msg_id\":4}}",
         WIRE_REQUEST_REFUSED},
    };
    cleanup_free char *fill = repeat("12, ", 6000);
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (decode_both(cases[i].format, fill, &q, &refused) != cases[i].rc)
            fail_msg("%s", cases[i].format);
}

/* What is long and no value is taken as it is as long as a request may have it. */
static void large__long_keys_are_keys(void **state)
{
    cleanup_free char *pad = repeat(" ", WIRE_TREE_BYTES);
    cleanup_free char *longest = repeat("k", KEY_STRING_BYTES_MAX);
    cleanup_free char *escaped = repeat("\\u004b", KEY_STRING_BYTES_MAX);
    cleanup_buf struct buf keys = BUF_INIT;
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        cleanup_buf struct buf format = BUF_INIT;

        assert_int_equal(
            buf_add_format(&format, "{\"type\":\"write\",\"key\":\"%%s\",\"value\":\"%s\"}", pad),
            0);
        assert_int_equal(buf_add_u8(&format, 0), 0);
        assert_int_equal(
            decode_both((const char *)format.data, i == 0 ? longest : escaped, &q, &refused), 0);
        assert_int_equal(q.key.len, KEY_BYTES_MAX);
    }
    for (unsigned i = 0; i < BATCH_KEYS_MAX; i++)
        assert_int_equal(buf_add_format(&keys, "%s\"%s\"", i == 0 ? "" : " , ", escaped), 0);
    assert_int_equal(buf_add_u8(&keys, 0), 0);
    assert_int_equal(decode_both("{\"type\":\"batch_read_index\",\"keys\":[ %s ]}",
                                 (const char *)keys.data, &q, &refused),
                     0);
    assert_int_equal(q.n_keys, BATCH_KEYS_MAX);
    for (unsigned i = 0; i < BATCH_KEYS_MAX; i++) {
        assert_int_equal(q.keys[i].len, KEY_BYTES_MAX);
        assert_memory_equal(q.keys[i].bytes + 1, "KKKK", 4);
    }
    keys.len--;
    assert_int_equal(buf_add_str(&keys, ",1"), 0);
    assert_int_equal(buf_add_u8(&keys, 0), 0);
    assert_int_equal(decode_both("{\"type\":\"batch_read_index\",\"keys\":[%s]}",
                                 (const char *)keys.data, &q, &refused),
                     WIRE_REQUEST_REFUSED);
    assert_string_equal(refused.field, "keys");
}

/* The number of the request is known although it stands behind too many members. */
static void large__lines_of_members_are_refused_by_number(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(buf_add_format(&b, "%c\"m%u\":%u", i == 0 ? '{' : ',', i, i), 0);
    assert_int_equal(buf_add_str(&b, ",\"type\":\"ping\",\"msg_id\":77}%s"), 0);
    assert_int_equal(buf_add_u8(&b, 0), 0);
    assert_int_equal(decode_both((const char *)b.data, "", &q, &refused), WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.origin.msg_id, 77);
    assert_true(n_pieces > 50); /* short as they are */
}

/* Escapes and brackets in strings wherever a piece ends. */
static void large__strings_are_cut_anywhere(void **state)
{
    cleanup_free char *fill = repeat("\\\"[\\\\{\\u00e4\\ud83d\\ude00\xe2\x82\xac", 1000);
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    assert_int_equal(decode_both("{\"type\":\"write\",\"key\":\"k\",\"value\":[\"%s\",{\"a\":1}]}",
                                 fill, &q, &refused),
                     0);
    assert_int_equal(decode_both("{\"type\":\"write\",\"key\":\"k\",\"value\":{\"%s\":[[[1]]]}}",
                                 fill, &q, &refused),
                     0);
    assert_int_equal(
        decode_both("{\"type\":\"write\",\"msg_id\":5,\"key\":\"k\",\"value\":1,\"%s\":[]}", fill,
                    &q, &refused),
        0);
}

static void large__values_have_the_same_bounds(void **state)
{
    cleanup_free char *too_many = repeat("{\"a\":1},", JSON_VALUE_KEYS_MAX + 1);
    cleanup_free char *enough = repeat("{\"a\":1},  ", JSON_VALUE_KEYS_MAX);
    cleanup_free char *too_long = repeat("12,", VALUE_BYTES_MAX / 3);
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    assert_int_equal(
        decode_both(
            "{\"type\":\"write\",\"key\":\"k\",\"msg_id\":3,\"value\":[%s1,\"0123456789abcdef\"],"
            "\"n\":\"                                                    \"}",
            too_long, &q, &refused),
        WIRE_REQUEST_REFUSED);
    assert_int_equal(refused.error, WIRE_ERROR_TOO_LARGE);
    assert_string_equal(refused.field, "value");
    assert_int_equal(refused.origin.msg_id, 3);
    for (int i = 0; i < 2; i++) {
        cleanup_free char *fill = repeat(i == 0 ? enough : too_many, 1);
        cleanup_free char *pad = repeat(" ", WIRE_TREE_BYTES);
        cleanup_buf struct buf format = BUF_INIT;

        assert_int_equal(
            buf_add_format(
                &format, "{\"type\":\"write\",\"key\":\"k\",\"msg_id\":3,%s\"value\":[%%s1]}", pad),
            0);
        assert_int_equal(buf_add_u8(&format, 0), 0);
        assert_int_equal(decode_both((const char *)format.data, fill, &q, &refused),
                         i == 0 ? 0 : WIRE_REQUEST_REFUSED);
        if (i == 1)
            assert_int_equal(refused.origin.msg_id, 3);
    }
}

/* Nor is a number that is longer than any that means something. */
static void large__long_numbers(void **state)
{
    cleanup_free char *fill = repeat("12345", 5000);
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    assert_int_equal(
        decode_both("{\"type\":\"write\",\"key\":\"k\",\"value\":0.%s}", fill, &q, &refused), 0);
    assert_int_equal(q.value.len, 19);
    assert_int_equal(decode_both("{\"type\":\"ping\",\"x\":-0.%se99999}", fill, &q, &refused),
                     WIRE_REQUEST_REFUSED);
    assert_int_equal(decode_both("{\"type\":\"ping\",\"x\":0.%se-9}", fill, &q, &refused), 0);
    assert_true(json_real_value(json_object_get(q.json, "x")) == 0.5);
    assert_int_equal(decode_both("{\"type\":\"ping\",\"x\":%s}", fill, &q, &refused),
                     WIRE_REQUEST_REFUSED);
    assert_int_equal(
        decode_both("{\"type\":\"write\",\"key\":0.%s,\"value\":1}", fill, &q, &refused),
        WIRE_REQUEST_REFUSED);
    assert_int_equal(decode_both("{\"type\":\"ping\",\"msg_id\":0.%s}", fill, &q, &refused),
                     WIRE_REQUEST_REFUSED);
}

/* Nor is a long name part of the tree; two are the same exactly when they are. */
static void large__long_names_are_no_tree(void **state)
{
    static const struct {
        const char *format;
        int rc;
    } cases[] = {
        {"{\"type\":\"ping\",\"%1$s\":1}", 0},
        {"{\"type\":\"ping\",\"%1$sa\":1,\"%1$sb\":2,\"%1$s\":3}", 0},
        {"{\"type\":\"ping\",\"%1$sa\":1,\"%1$sb\":2,\"%1$sa\":3}", WIRE_REQUEST_REFUSED},
        {"{\"type\":\"ping\",\"%1$sa\":1,\"%1$s\\u0061\":2}", WIRE_REQUEST_REFUSED},
        {"{\"src\":\"a\",\"dest\":\"b\",\"%1$s\":1,\"body\":{\"type\":\"ping\",\"%1$s\":1,"
         "\"%1$sb\":1}}",
         0},
        {"{\"%1$s\":1,\"type\":\"write\",\"key\":\"k\",\"%1$sb\":[1],\"value\":\"%1$s\"}", 0},
    };
    static const char *const fills[] = {"n", "\\u0001", "\\\""};

    (void)state;
    for (size_t f = 0; f < sizeof(fills) / sizeof(fills[0]); f++) {
        cleanup_free char *fill = repeat(fills[f], WIRE_TREE_BYTES);

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct wire_request q;
            struct wire_refused refused;

            assert_int_equal(decode_both(cases[i].format, fill, &q, &refused), cases[i].rc);
            assert_true(by_text->short_line.len < 4 * WIRE_LARGE_BYTES);
        }
    }
}

/* Of very many of them those that a request may have are told apart. */
static void large__many_long_names(void **state)
{
    cleanup_free char *fill = repeat("n", WIRE_LARGE_BYTES);
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    assert_int_equal(buf_add_str(&b, "{\"type\":\"ping\""), 0);
    for (unsigned i = 0; i < 4 * JSON_REQUEST_KEYS_MAX; i++)
        assert_int_equal(buf_add_format(&b, ",\"%s%u\":%u", fill, i, i), 0);
    assert_int_equal(buf_add_str(&b, ",\"msg_id\":5}"), 0);
    assert_int_equal(wire_request_decode(by_text, (const char *)b.data, b.len, &q, &refused),
                     WIRE_REQUEST_REFUSED);
    assert_true(refused.origin.has_msg_id);
    assert_int_equal(refused.origin.msg_id, 5);
}

/* A list with a string that is too long for a key stays none. */
static void large__long_lists_are_no_tree(void **state)
{
    cleanup_free char *fill = repeat("\\u0001", 8 * KEY_STRING_BYTES_MAX);
    struct wire_request q;
    struct wire_refused refused;

    (void)state;
    assert_int_equal(decode_both("{\"type\":\"ping\",\"note\":[\"%s\"]}", fill, &q, &refused), 0);
    assert_int_equal(json_array_size(json_object_get(q.json, "note")), 0);
}

static uint64_t decode_ns(struct wire_decoder *d, const char *line)
{
    uint64_t least_ns = UINT64_MAX;
    struct wire_request q;
    struct wire_refused refused;

    for (int i = 0; i < 3; i++) {
        struct timespec from;
        struct timespec to;
        uint64_t ns;

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        assert_int_equal(wire_request_decode_json(d, line, strlen(line), &q, &refused), 0);
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec -
             (uint64_t)from.tv_nsec;
        if (ns < least_ns)
            least_ns = ns;
    }
    return least_ns;
}

/* Less than half of what a tree of it costs, whatever the machine (it is a fifth and less). */
static void assert_cheap(const char *format, const char *text, unsigned n)
{
    cleanup_free char *fill = repeat(text, n);
    const size_t size = strlen(fill) + 200;
    cleanup_free char *line = malloc(size);
    uint64_t text_ns;
    uint64_t tree_ns;

    assert_non_null(line);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(line, size, format, fill);
#pragma GCC diagnostic pop
    text_ns = decode_ns(by_text, line);
    tree_ns = decode_ns(by_tree, line);
    if (text_ns >= tree_ns / 2)
        fail_msg("%s: %llu ns, as a tree %llu", text, (unsigned long long)text_ns,
                 (unsigned long long)tree_ns);
}

static void large__lines_cost_no_tree(void **state)
{
    static const char *const fills[] = {"1,", "1.5,", "1e9,", "[],", "\"a\","};

    (void)state;
#ifdef RIDD_COUNTED_BUILD
    skip(); /* counters slow down one of the two alone */
#endif
    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++)
        assert_cheap("{\"type\":\"cas\",\"key\":\"k\",\"to\":1,\"from\":[%s1]}", fills[i], 30000);
    /* What is longer than any list of keys, in one way or the other. */
    assert_cheap("{\"type\":\"ping\",\"note\":[%s1]}", "1,", 30000);
    assert_cheap("{\"type\":\"ping\",\"note\":[\"%s\"]}", "text ", 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large__values_as_jansson_takes_them),
        cmocka_unit_test(large__any_text_as_jansson_takes_it),
        cmocka_unit_test(large__lines_give_the_same_request),
        cmocka_unit_test(large__long_keys_are_keys),
        cmocka_unit_test(large__lines_of_members_are_refused_by_number),
        cmocka_unit_test(large__strings_are_cut_anywhere),
        cmocka_unit_test(large__values_have_the_same_bounds),
        cmocka_unit_test(large__long_names_are_no_tree),
        cmocka_unit_test(large__many_long_names),
        cmocka_unit_test(large__long_lists_are_no_tree),
        cmocka_unit_test(large__long_numbers),
        cmocka_unit_test(large__lines_cost_no_tree),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
