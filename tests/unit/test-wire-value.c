/* wire/value.h: compact text, the shortest reals, and equality held against jansson's. */
#include <float.h>
#include <math.h>
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

#include "base/prng.h"
#include "wire/json_scan_int.h"
#include "wire/value.h"

#define PARSE_FLAGS (JSON_DECODE_ANY | JSON_REJECT_DUPLICATES)

static struct wire_slice slice(const char *s)
{
    return (struct wire_slice){.data = s, .len = strlen(s)};
}

/* The compact text of a JSON text, NUL-terminated in b. */
static int compact(const char *text, struct buf *b)
{
    json_t *v = json_loads(text, PARSE_FLAGS, NULL);
    int r;

    assert_non_null(v);
    b->len = 0;
    r = wire_value_encode(v, b);
    json_decref(v);
    assert_int_equal(buf_add_u8(b, 0), 0);
    b->len--;
    return r;
}

static void value__compact_texts(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"null", "null"},
        {" true ", "true"},
        {"false", "false"},
        {"0", "0"},
        {"-0", "0"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9007199254740993", "9007199254740993"}, /* 2^53 + 1: no double */
        {"\"\"", "\"\""},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"[1, [2 ,3] , {\"b\" : 1, \"a\":2}]", "[1,[2,3],{\"b\":1,\"a\":2}]"},
        {"{\"z\":1,\"a\":{\"y\":2,\"b\":3},\"m\":4}", "{\"z\":1,\"a\":{\"y\":2,\"b\":3},\"m\":4}"},
        /* the shortest escapes, UTF-8 as it is, nothing else touched */
        {"\"\\u0041\\/\\\"\\\\\\b\\f\\n\\r\\t\"", "\"A/\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\"\\u0001\\u001f\\u007f\"", "\"\\u0001\\u001f\x7f\""},
        {"\"\\u00e4\\ud83d\\ude00 \xc3\xa4\"", "\"\xc3\xa4\xf0\x9f\x98\x80 \xc3\xa4\""},
        {"{\"\\u00e4\\n\":\" \"}", "{\"\xc3\xa4\\n\":\" \"}"},
        /* reals: the shortest digits that read back, and always a real */
        {"1.0", "1.0"},
        {"1.50", "1.5"},
        {"-0.0", "-0.0"},
        {"0.0", "0.0"},
        {"0e5", "0.0"},
        {"1e0", "1.0"},
        {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"100.0", "100.0"},
        {"1e15", "1000000000000000.0"},
        {"123456789012345680.0", "1.2345678901234568e17"},
        {"1e16", "1e16"},
        {"1e22", "1e22"},
        {"1e+22", "1e22"},
        {"1E23", "1e23"},
        {"-1e100", "-1e100"},
        {"0.0001", "0.0001"},
        {"0.00001", "1e-5"},
        {"1.25e-7", "1.25e-7"},
        {"5e-324", "5e-324"},
        {"4.9406564584124654e-324", "5e-324"},
        {"2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"2.225073858507201e-308", "2.225073858507201e-308"},
        {"1.7976931348623157e308", "1.7976931348623157e308"},
        {"9007199254740993.0", "9007199254740992.0"},
        {"9.5367431640625e-07", "9.5367431640625e-7"},
        /* powers of two whose shortest text is not the nearest one of its length */
        {"5.6843418860808015e-14", "5.684341886080802e-14"},
        {"5.9604644775390625e-08", "5.960464477539063e-8"},
        {"7.1202363472230444e-307", "7.120236347223045e-307"},
        {"6.1897001964269014e+26", "6.189700196426902e26"},
        {"1e-400", "0.0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        cleanup_buf struct buf again = BUF_INIT;

        assert_int_equal(compact(cases[i].in, &b), 0);
        assert_string_equal((const char *)b.data, cases[i].out);
        assert_int_equal(compact((const char *)b.data, &again), 0);
        assert_string_equal((const char *)again.data, cases[i].out);
    }
}

static void assert_real_is_short_and_exact(double d)
{
    cleanup_buf struct buf b = BUF_INIT;
    json_t *v = json_real(d);
    json_t *back;
    double read;
    int n_digits = 0;

    assert_non_null(v);
    assert_int_equal(wire_value_encode(v, &b), 0);
    json_decref(v);
    back = json_loadb((const char *)b.data, b.len, PARSE_FLAGS, NULL);
    assert_true(json_is_real(back)); /* never an integer */
    read = json_real_value(back);
    json_decref(back);
    assert_memory_equal(&read, &d, sizeof(d)); /* the very bits */
    assert_true(b.len <= 24);
    /* No fewer digits do. Leading and trailing zeros are not digits of it. */
    for (size_t i = 0, pending = 0; i < b.len && b.data[i] != 'e'; i++) {
        if (b.data[i] < '0' || b.data[i] > '9' || (b.data[i] == '0' && n_digits == 0))
            continue;
        pending++;
        if (b.data[i] != '0') {
            n_digits += (int)pending;
            pending = 0;
        }
    }
    for (int n = 1; n < n_digits; n++) {
        char text[40];

        (void)snprintf(text, sizeof(text), "%.*e", n - 1, d);
        assert_true(strtod(text, NULL) != d);
    }
}

/* A value comes back equal (WIRE-4). */
static void value__reals_read_back_to_the_same_bits(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 5);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = prng_next(&p);
        double d;

        if (i % 8 == 0)
            bits &= 0x800fffffffffffffu; /* subnormal */
        memcpy(&d, &bits, sizeof(d));
        if (isfinite(d))
            assert_real_is_short_and_exact(d);
        assert_real_is_short_and_exact((double)(int64_t)prng_below(&p, 2000000) / 1000.0);
    }
    for (int e = -1074; e < 1024; e++) {
        assert_real_is_short_and_exact(ldexp(1, e));
        assert_real_is_short_and_exact(nextafter(ldexp(1, e), 0));
        assert_real_is_short_and_exact(-nextafter(ldexp(1, e), DBL_MAX));
    }
    assert_real_is_short_and_exact(DBL_MAX);
    assert_real_is_short_and_exact(DBL_MIN);
}

/* A value comes back equal (WIRE-4). */
static void value__strings_are_byte_for_byte(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 6);
    for (unsigned i = 0; i < 5000; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        char text[64];
        size_t n = 0;
        json_t *back;

        while (n < 40) {
            static const char *const others[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                                 "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"};

            if (prng_below(&p, 4) > 0) {
                text[n++] = (char)(1 + prng_below(&p, 127));
            } else {
                const char *s = others[prng_below(&p, 5)];

                memcpy(text + n, s, strlen(s));
                n += strlen(s);
            }
        }
        assert_int_equal(wire_string_encode(text, n, &b), 0);
        back = json_loadb((const char *)b.data, b.len, PARSE_FLAGS, NULL);
        assert_non_null(back);
        assert_int_equal(json_string_length(back), n);
        assert_memory_equal(json_string_value(back), text, n);
        json_decref(back);
    }
}

/* Whatever bytes come in, JSON comes out. */
static void value__bad_utf8_is_replaced(void **state)
{
    static const char *const cases[][2] = {
        {"\x80", "\"\xef\xbf\xbd\""},
        {"a\xff"
         "b",
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xc3", "\"\xef\xbf\xbd\""},                                 /* cut */
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* cut */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf0\x8f\xbf\xbf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    struct prng p;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;

        assert_int_equal(wire_string_encode(cases[i][0], strlen(cases[i][0]), &b), 0);
        assert_int_equal(b.len, strlen(cases[i][1]));
        assert_memory_equal(b.data, cases[i][1], b.len);
    }
    prng_init(&p, 9);
    for (unsigned i = 0; i < 20000; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        char text[12];
        json_t *back;

        for (size_t k = 0; k < sizeof(text); k++)
            text[k] = (char)(prng_below(&p, 2) ? 0x80 + prng_below(&p, 128) : prng_next(&p));
        for (size_t k = 0; k < sizeof(text); k++) /* NUL is legal, but not for this parser */
            if (text[k] == '\0')
                text[k] = 'x';
        assert_int_equal(wire_string_encode(text, sizeof(text), &b), 0);
        back = json_loadb((const char *)b.data, b.len, PARSE_FLAGS, NULL);
        assert_non_null(back);
        json_decref(back);
    }
}

/* ---- bounds ---- */

static void value__size_keys_and_depth(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    char *big = malloc(VALUE_BYTES_MAX + 1);
    json_t *v;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', VALUE_BYTES_MAX);
    assert_int_equal(buf_add_str(&b, "before"), 0);
    v = json_stringn(big, VALUE_BYTES_MAX - 2); /* and two quotes */
    assert_int_equal(wire_value_encode(v, &b), 0);
    assert_int_equal(b.len, 6 + VALUE_BYTES_MAX);
    json_decref(v);
    b.len = 6;
    v = json_stringn(big, VALUE_BYTES_MAX - 1);
    assert_int_equal(wire_value_encode(v, &b), WIRE_VALUE_E_TOO_LARGE);
    assert_int_equal(b.len, 6);
    json_decref(v);
    free(big);

    v = json_object();
    (void)json_object_set_new(v, "list", json_array());
    for (unsigned i = 0; i < JSON_VALUE_KEYS_MAX - 1; i++)
        (void)json_array_append_new(json_object_get(v, "list"), json_pack("{s:i}", "k", (int)i));
    assert_int_equal(wire_value_encode(v, &b), 0);
    b.len = 6;
    (void)json_object_set_new(v, "one", json_null());
    assert_int_equal(wire_value_encode(v, &b), WIRE_VALUE_E_KEYS);
    assert_int_equal(b.len, 6);
    json_decref(v);

    v = json_null();
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        v = i % 2 ? json_pack("[o]", v) : json_pack("{s:o}", "a", v);
    assert_int_equal(wire_value_encode(v, &b), 0);
    b.len = 6;
    v = json_pack("[o]", v);
    assert_int_equal(wire_value_encode(v, &b), WIRE_VALUE_E_DEPTH);
    assert_int_equal(b.len, 6);
    json_decref(v);
}

/* ---- equality ---- */

static void value__equality(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        {"1", "1", true},
        {"1", "2", false},
        {"1", "1.0", false},
        {"1", "\"1\"", false},
        {"0.0", "-0.0", true},
        {"0", "-0.0", false},
        {"0", "0.0", false},
        {"null", "false", false},
        {"\"a\"", "\"b\"", false},
        {"[]", "{}", false},
        {"[1,2]", "[2,1]", false},
        {"[1,2]", "[1,2,3]", false},
        {"[1,2,3]", "[1,2]", false},
        {"[]", "[0]", false},
        {"[0.0]", "[-0.0]", true},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true},
        {"{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false},
        {"{\"a\":1,\"b\":2}", "{\"a\":1}", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{}", "{\"a\":1}", false},
        {"{\"a\":1,\"aa\":2}", "{\"aa\":2,\"a\":1}", true},
        {"{\"a\":{\"x\":[1,{\"p\":0.0,\"q\":\",}\\\"\"}],\"y\":2},\"b\":3}",
         "{\"b\":3,\"a\":{\"y\":2,\"x\":[1,{\"q\":\",}\\\"\",\"p\":-0.0}]}}", true},
        {"{\"a\":{\"x\":[1,{\"p\":0.0,\"q\":\",}\"}],\"y\":2},\"b\":3}",
         "{\"b\":3,\"a\":{\"y\":2,\"x\":[1,{\"q\":\",]\",\"p\":-0.0}]}}", false},
        /* no JSON: bytes decide */
        {"", "", true},
        {"", "1", false},
        {"{\"a\":1,\"b\":x}", "{\"b\":x,\"a\":1}", false},
        {"{\"a\":1,\"b\":2", "{\"b\":2,\"a\":1", false},
        {"{\"a\":1,\"b\":2}x", "{\"b\":2,\"a\":1}x", false},
        {"{\"a\":1,\"a\":2,\"b\":3}", "{\"b\":3,\"a\":1,\"a\":2}", false},
        {"{\"a\":1,\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1,\"a\":1}", false},
        {"{\"a\":01,\"b\":2}", "{\"b\":2,\"a\":01}", false},
        {"{\"a\":\"\\x\",\"b\":2}", "{\"b\":2,\"a\":\"\\x\"}", false},
        {"{\"a\":\"\xff\",\"b\":2}", "{\"b\":2,\"a\":\"\xff\"}", false},
        {"\xff", "\xff", true},
        {"{\"a\":1,}", "{\"a\":1}", false},
        {"[", "[1", false},
        {"-", "+", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (wire_value_equal(slice(cases[i].a), slice(cases[i].b)) != cases[i].equal ||
            wire_value_equal(slice(cases[i].b), slice(cases[i].a)) != cases[i].equal)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
    }
}

/* A random value; few names and numbers, so that equal parts are common. */
static json_t *random_value(struct prng *p, unsigned depth)
{
    json_t *v;

    switch (prng_below(p, depth > 0 ? 8 : 5)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(prng_below(p, 2));
    case 2:
        return json_integer((json_int_t)prng_below(p, 2));
    case 3:
        return json_real(prng_below(p, 2) ? 0.0 : prng_below(p, 2) ? -0.0 : 1.0);
    case 4:
        return json_string(prng_below(p, 2) ? "a\"]" : "},\\");
    case 5:
        v = json_array();
        for (uint64_t n = prng_below(p, 4); n > 0; n--)
            (void)json_array_append_new(v, random_value(p, depth - 1));
        return v;
    default:
        v = json_object();
        for (uint64_t n = prng_below(p, 6); n > 0; n--) {
            char name[8];

            (void)snprintf(name, sizeof(name), "%c%s", (int)('a' + prng_below(p, 6)),
                           prng_below(p, 3) ? "" : "\"{");
            (void)json_object_set_new(v, name, random_value(p, depth - 1));
        }
        return v;
    }
}

/* The same value with the members of every object in another order; now and then something differs.
 */
static json_t *shuffled(struct prng *p, json_t *v)
{
    const char *name;
    json_t *member;
    json_t *copy;
    size_t i;

    if (prng_below(p, 60) == 0)
        return random_value(p, 1);
    if (json_is_array(v)) {
        copy = json_array();
        json_array_foreach(v, i, member)
        {
            (void)json_array_append_new(copy, shuffled(p, member));
        }
        return copy;
    }
    if (!json_is_object(v))
        return json_incref(v);
    copy = json_object();
    for (int round = 0; round < 2; round++) {
        json_object_foreach(v, name, member)
        {
            if (json_object_get(copy, name) == NULL && (round == 1 || prng_below(p, 2)))
                (void)json_object_set_new(copy, name, shuffled(p, member));
        }
    }
    return copy;
}

static void value__equality_agrees_with_jansson(void **state)
{
    struct prng p;
    unsigned n_equal = 0;

    (void)state;
    prng_init(&p, 4);
    for (unsigned i = 0; i < 20000; i++) {
        cleanup_buf struct buf ta = BUF_INIT;
        cleanup_buf struct buf tb = BUF_INIT;
        json_t *a = random_value(&p, 4);
        json_t *b = shuffled(&p, a);
        bool want = json_equal(a, b);

        assert_int_equal(wire_value_encode(a, &ta), 0);
        assert_int_equal(wire_value_encode(b, &tb), 0);
        assert_int_equal(wire_value_equal((struct wire_slice){(char *)ta.data, ta.len},
                                          (struct wire_slice){(char *)tb.data, tb.len}),
                         want);
        n_equal += want;
        json_decref(a);
        json_decref(b);
    }
    assert_true(n_equal > 5000 && n_equal < 19900);
}

static void value__equality_of_the_widest_object(void **state)
{
    cleanup_buf struct buf up = BUF_INIT;
    cleanup_buf struct buf down = BUF_INIT;

    (void)state;
    for (unsigned n = JSON_VALUE_KEYS_MAX; n <= JSON_VALUE_KEYS_MAX + 1; n++) {
        up.len = 0;
        down.len = 0;
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(buf_add_format(&up, "%c\"k%u\":%u", i == 0 ? '{' : ',', i, i), 0);
            assert_int_equal(
                buf_add_format(&down, "%c\"k%u\":%u", i == 0 ? '{' : ',', n - 1 - i, n - 1 - i), 0);
        }
        assert_int_equal(buf_add_str(&up, "}"), 0);
        assert_int_equal(buf_add_str(&down, "}"), 0);
        assert_int_equal(wire_value_equal((struct wire_slice){(char *)up.data, up.len},
                                          (struct wire_slice){(char *)down.data, down.len}),
                         n == JSON_VALUE_KEYS_MAX);
    }
}

static void value__equality_of_the_deepest_nesting(void **state)
{
    (void)state;
    for (unsigned depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        cleanup_buf struct buf a = BUF_INIT;
        cleanup_buf struct buf b = BUF_INIT;

        for (unsigned i = 0; i < depth; i++) {
            assert_int_equal(buf_add_str(&a, "{\"x\":0,\"y\":"), 0);
            assert_int_equal(buf_add_str(&b, "{\"y\":"), 0);
        }
        assert_int_equal(buf_add_str(&a, "1"), 0);
        assert_int_equal(buf_add_str(&b, "1"), 0);
        for (unsigned i = 0; i < depth; i++) {
            assert_int_equal(buf_add_str(&a, "}"), 0);
            assert_int_equal(buf_add_str(&b, ",\"x\":0}"), 0);
        }
        assert_int_equal(wire_value_equal((struct wire_slice){(char *)a.data, a.len},
                                          (struct wire_slice){(char *)b.data, b.len}),
                         depth == JSON_DEPTH_MAX);
    }
}

/* Nested so deep, with the one difference at the end. */
static void make_nested(struct buf *b, unsigned depth, char last)
{
    buf_reset(b, SIZE_MAX);
    for (unsigned i = 0; i < depth; i++)
        assert_int_equal(buf_add_str(b, "["), 0);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buf_add_str(b, "12,"), 0);
    assert_int_equal(buf_add_u8(b, (uint8_t)last), 0);
    for (unsigned i = 0; i < depth; i++)
        assert_int_equal(buf_add_str(b, "]"), 0);
}

/* CPU time of this thread; the least of several attempts. */
static uint64_t compare_ns(unsigned depth)
{
    cleanup_buf struct buf a = BUF_INIT;
    cleanup_buf struct buf b = BUF_INIT;
    uint64_t least_ns = UINT64_MAX;

    make_nested(&a, depth, '1');
    make_nested(&b, depth, '2');
    for (int i = 0; i < 9; i++) {
        struct timespec from;
        struct timespec to;
        uint64_t ns;

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        assert_false(wire_value_equal((struct wire_slice){(char *)a.data, a.len},
                                      (struct wire_slice){(char *)b.data, b.len}));
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec -
             (uint64_t)from.tv_nsec;
        if (ns < least_ns)
            least_ns = ns;
    }
    return least_ns;
}

/* TIME-4: it was fourteen times as much. A ratio, not a time limit. */
static void value__equality_costs_bytes_and_not_depth(void **state)
{
    (void)state;
    assert_true(compare_ns(JSON_DEPTH_MAX - 1) < 4 * compare_ns(1));
}

static void value__errors_have_texts(void **state)
{
    (void)state;
    assert_string_equal(wire_value_error_text(0), "done");
    assert_non_null(strstr(wire_value_error_text(WIRE_VALUE_E_TOO_LARGE), "VALUE_BYTES_MAX"));
    assert_non_null(strstr(wire_value_error_text(WIRE_VALUE_E_KEYS), "JSON_VALUE_KEYS_MAX"));
    assert_non_null(strstr(wire_value_error_text(WIRE_VALUE_E_DEPTH), "JSON_DEPTH_MAX"));
    assert_string_equal(wire_value_error_text(99), "unknown outcome");
}

/* The scan ends where the value does, and takes no more than jansson would: a request that is read
 * the quick way may not be taken when the slow way refuses it. */
static void value__scan_takes_what_json_is(void **state)
{
    static const struct {
        const char *text;
        int len; /* of the value at its start; -1: there is none */
    } cases[] = {
        {"0", 1},           {"-0", 2},           {"12,", 2},       {"-1.5e+10]", 8},
        {"1E-3 ", 4},       {"2e5", 3},          {"-", -1},        {"1.", -1},
        {"1.e5", -1},       {"1e", -1},          {"1e+", -1},      {"1e-x", -1},
        {".5", -1},         {"+1", -1},          {"\"\"", 2},      {"\"a\\n\"x", 5},
        {"\"\\u00eF\"", 8}, {"\"\\u00g0\"", -1}, {"\"\\u12", -1},  {"\"\\u123", -1},
        {"\"\\", -1},       {"\"\\x\"", -1},     {"\"open", -1},   {"\"a\nb\"", -1},
        {"\"\xff\"", -1},   {"true", 4},         {"tru", -1},      {"false,", 5},
        {"nul", -1},        {"[]", 2},           {"[1,2]", 5},     {"[1,]", -1},
        {"[1", -1},         {"{\"a\":[]}}", 8},  {"{\"a\"}", -1},  {"{\"a\":1;", -1},
        {"{1:2}", -1},      {"[[[]]]", 6},       {"[[[[]]]]", -1}, {"", -1},
        {"?", -1},
    };

    static const char whole[] = "\"\\u1234\"";

    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) /* what stands behind the end is not it */
        assert_null(json_scan_value(whole, whole + len, 3));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        char *bytes = malloc(len > 0 ? len : 1); /* exact, for the sanitizers */
        const char *end;

        assert_non_null(bytes);
        memcpy(bytes, cases[i].text, len);
        end = json_scan_value(bytes, bytes + len, 3);
        if ((end == NULL) != (cases[i].len < 0) || (end != NULL && end - bytes != cases[i].len))
            fail_msg("'%s' ends at %td", cases[i].text, end != NULL ? end - bytes : (ptrdiff_t)-1);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value__compact_texts),
        cmocka_unit_test(value__reals_read_back_to_the_same_bits),
        cmocka_unit_test(value__strings_are_byte_for_byte),
        cmocka_unit_test(value__bad_utf8_is_replaced),
        cmocka_unit_test(value__size_keys_and_depth),
        cmocka_unit_test(value__equality),
        cmocka_unit_test(value__equality_agrees_with_jansson),
        cmocka_unit_test(value__equality_of_the_widest_object),
        cmocka_unit_test(value__equality_of_the_deepest_nesting),
        cmocka_unit_test(value__equality_costs_bytes_and_not_depth),
        cmocka_unit_test(value__errors_have_texts),
        cmocka_unit_test(value__scan_takes_what_json_is),
    };

    return cmocka_run_group_tests_name("wire-value", tests, NULL, NULL);
}
