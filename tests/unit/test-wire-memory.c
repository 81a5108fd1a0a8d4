/* Every allocation of the wire module fails once: the answer is -ENOMEM and outputs are unchanged,
 * never a wrong result. The linker's --wrap gives the libraries this file's allocator; jansson gets
 * it through wire_decoder_new(). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/frame.h"
#include "wire/reply.h"
#include "wire/value.h"

static unsigned n_until_failure; /* 0: no failure */

static bool fails(void)
{
    return n_until_failure > 0 && --n_until_failure == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

/* Runs body with the first, second, ... allocation failing until it succeeds without a failure. */
typedef int (*body_fn)(void);

static unsigned fail_each(body_fn body)
{
    for (unsigned i = 1;; i++) {
        bool failed;
        int r;

        assert_true(i < 10000);
        n_until_failure = i;
        r = body();
        failed = n_until_failure == 0;
        n_until_failure = 0;
        assert_int_equal(r, failed ? -ENOMEM : 0);
        if (!failed)
            return i - 1;
    }
}

static const char cas_line[] =
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"cas\",\"msg_id\":9,\"key\":\"a key that "
    "is somewhat long, so that buffers "
    "must grow\",\"from\":[1.5,\"text with \\u00e4 and more text, so that the buffer of the lexer "
    "must grow more than once "
    "................................................................\",null],\"to\":{\"a\":{\"b\":"
    "[1,2,3,4,5,6,7,8,9,10]},"
    "\"c\":1,\"d\":2,\"e\":3,\"f\":4,\"g\":5,\"h\":6,\"i\":7,\"j\":8,\"k\":9}}}";
static const char cas_to[] =
    "{\"a\":{\"b\":[1,2,3,4,5,6,7,8,9,10]},\"c\":1,\"d\":2,\"e\":3,\"f\":4,\"g\":5,\"h\":6,\"i\":7,"
    "\"j\":8,\"k\":9}";

static int decode_cas(void)
{
    static struct wire_request request;
    struct wire_decoder *d = NULL;
    struct wire_refused refused;
    struct wire_origin origin = {0};
    int r = wire_decoder_new(&d);

    if (r == 0)
        r = wire_request_decode(d, cas_line, sizeof(cas_line) - 1, &request, &refused);
    if (r == 0) {
        /* Not a byte is missing. */
        assert_int_equal(request.value.len, sizeof(cas_to) - 1);
        assert_memory_equal(request.value.data, cas_to, sizeof(cas_to) - 1);
        assert_int_equal(request.key.len,
                         strlen("a key that is somewhat long, so that buffers must grow") + 1);
        r = wire_origin_copy(&request.origin, &origin);
        assert_int_equal(origin.src.data != NULL, r == 0);
    }
    wire_origin_done(&origin);
    wire_decoder_free(d);
    return r;
}

static void memory__decoder(void **state)
{
    (void)state;
    assert_true(fail_each(decode_cas) > 20);
}

/* The quick decoder needs memory for a value. Without it it has no opinion, and the full one says
 * what becomes of the line: all of it or -ENOMEM. */
static void memory__quick_decoder(void **state)
{
    static const char line[] =
        "{\"type\":\"cas\",\"key\":\"k\",\"from\":\"................................"
        "......................................\",\"to\":[1,2.50,\"\\u00e4\"]}";
    static struct wire_request request;
    bool failed = true;

    (void)state;
    for (unsigned i = 1; failed; i++) {
        struct wire_decoder *d = NULL;
        struct wire_refused refused;
        int r;

        assert_int_equal(wire_decoder_new(&d), 0);
        n_until_failure = i;
        r = wire_request_decode(d, line, sizeof(line) - 1, &request, &refused);
        failed = n_until_failure == 0;
        n_until_failure = 0;
        assert_true(r == 0 || (failed && r == -ENOMEM));
        if (r == 0) {
            assert_int_equal(request.from.len, 72);
            assert_int_equal(request.value.len, strlen("[1,2.5,\"..\"]"));
        }
        assert_true(failed || i > 1);
        wire_decoder_free(d);
    }
}

static char *long_line;
static size_t long_len;
static bool is_cut;

static int decode_long(void)
{
    static struct wire_request request;
    struct wire_decoder *d = NULL;
    struct wire_refused refused;
    int r = wire_decoder_new(&d);

    if (r == 0)
        r = wire_request_decode(d, long_line, long_len, &request, &refused);
    if (r == 0) {
        assert_int_equal(request.key.len, 301);
        assert_int_equal(request.value.len, WIRE_TREE_BYTES + strlen("[\"\",0.12345678901234568]"));
    }
    wire_decoder_free(d);
    return is_cut && r == WIRE_REQUEST_REFUSED ? 0 : r;
}

/* Whole, and cut behind a name that makes a buffer grow: a block of just that size ends there, for
 * the sanitizer to see. */
static void memory__long_lines(void **state)
{
    static const char format[] = "{\"value\":[\"%0*d\",0.12345678901234568],\"key\":\"%0300d\","
                                 "\"type\":\"write\",\"%0200d\"%s";
    const size_t room = WIRE_TREE_BYTES + 1000;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        long_line = malloc(room);
        assert_non_null(long_line);
        is_cut = i == 1;
        long_len = (size_t)snprintf(long_line, room, format, (int)WIRE_TREE_BYTES, 1, 2, 3,
                                    is_cut ? "" : ":[1,2]}");
        assert_true(long_len < room);
        long_line = realloc(long_line, long_len);
        assert_non_null(long_line);
        assert_true(fail_each(decode_long) >= (is_cut ? 5 : 15));
        free(long_line);
    }
}

static int encode_reply(void)
{
    static const struct wire_origin origin = {
        .envelope = true, .has_msg_id = true, .msg_id = 1, .src = {"c\n", 2}, .dest = {"n1", 2}};
    static const char text[] =
        "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",1]";
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_reply w;
    int r;

    wire_reply_begin(&w, &b, &origin, true, 5, "read_ok");
    for (unsigned i = 0; i < 50; i++) {
        wire_reply_value(&w, "value", (struct wire_slice){text, sizeof(text) - 1});
        wire_reply_str(&w, "s", "\t\xff");
        wire_reply_u64(&w, "u", i);
    }
    r = wire_reply_end(&w);
    assert_int_equal(b.len == 0, r != 0);
    return r;
}

static void memory__reply(void **state)
{
    (void)state;
    assert_true(fail_each(encode_reply) >= 6);
}

static int encode_frames(void)
{
    char data[300] = {0};
    const struct raft_entry e = {
        .id = {1, 1}, .type = RAFT_ENTRY_COMMAND, .len = sizeof(data), .data = data};
    const struct raft_msg m = {.type = RAFT_MSG_APPEND, .term = 1, .n_entries = 1, .entries = &e};
    const struct wire_hello hello = {
        .version_highest = 1, .version_lowest = 1, .channel = WIRE_CHANNEL_LOG, .from = 1};
    const struct command c = {.op = COMMAND_WRITE, .key = {"sx", 2}, .value = {"1", 1}};
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf frames = BUF_INIT;
    struct raft_msg back;
    struct wire_frame frame;
    struct arena arena;
    size_t before;
    int r = command_encode(&c, &b);

    assert_int_equal(b.len == 0, r != 0);
    if (r != 0)
        return r;
    r = wire_hello_encode(&hello, false, &frames);
    assert_int_equal(frames.len == 0, r != 0);
    if (r != 0)
        return r;
    before = frames.len;
    r = wire_msg_encode(&m, &frames);
    assert_int_equal(frames.len == before, r != 0);
    if (r != 0)
        return r;
    assert_int_equal(wire_frame_cut(frames.data + before, frames.len - before, &frame, NULL), 0);
    arena_init(&arena, mem_libc);
    r = wire_msg_decode(&frame, 1, 2, &arena, &back);
    arena_done(&arena);
    return r;
}

static void memory__frames(void **state)
{
    (void)state;
    assert_true(fail_each(encode_frames) >= 4);
}

static json_t *value;

static int encode_value(void)
{
    cleanup_buf struct buf b = BUF_INIT;
    int r = wire_value_encode(value, &b);

    assert_int_equal(b.len == 0, r != 0);
    return r;
}

static void memory__value(void **state)
{
    (void)state;
    value = json_pack(
        "{s:[s,i,f,n],s:s}", "a", "some text\n", 1, 1.5, "b",
        "................................................................................");
    assert_non_null(value);
    assert_true(fail_each(encode_value) >= 2);
    json_decref(value);
}

/* Equality asks for none: with the first allocation failing it answers as ever. */
static void memory__equality_needs_none(void **state)
{
    static const char text_a[] = "{\"a\":[1,{\"x\":0.0,\"y\":2}],\"b\":2}";
    static const char text_b[] = "{\"b\":2,\"a\":[1,{\"y\":2,\"x\":0.0}]}";
    const struct wire_slice a = {text_a, sizeof(text_a) - 1};
    const struct wire_slice b = {text_b, sizeof(text_b) - 1};

    (void)state;
    n_until_failure = 1;
    assert_true(wire_value_equal(a, b));
    assert_int_equal(n_until_failure, 1);
    n_until_failure = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__decoder),
        cmocka_unit_test(memory__long_lines),
        cmocka_unit_test(memory__quick_decoder),
        cmocka_unit_test(memory__reply),
        cmocka_unit_test(memory__frames),
        cmocka_unit_test(memory__value),
        cmocka_unit_test(memory__equality_needs_none),
    };

    return cmocka_run_group_tests_name("wire-memory", tests, NULL, NULL);
}
