/* RESP as a load speaks it: what is asked, answers that come in pieces, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "bench/resp.h"
#include "unit/load-notes.h"

#define N_SLOTS 8u

static void *opened(struct buf *out)
{
    void *state = NULL;

    notes_clear();
    assert_int_equal(resp_protocol.open("p-", N_SLOTS, out, &state), 0);
    assert_int_equal(out->len, 0);
    return state;
}

static void ask(void *state, struct buf *out, unsigned slot, enum load_kind kind)
{
    const struct load_op op = {.kind = kind, .key = 7, .n = 3, .number = 12, .value_bytes = 20};

    assert_int_equal(resp_protocol.submit(state, out, slot, &op), 0);
}

static void resp__requests_are_arrays_of_bulk_strings(void **unused)
{
    static const char want[] = "*2\r\n$3\r\nGET\r\n$10\r\np-00000007\r\n"
                               "*3\r\n$3\r\nSET\r\n$10\r\np-00000007\r\n"
                               "$20\r\np-00000007/12/xxxxxx\r\n"
                               "*4\r\n$4\r\nMGET\r\n$10\r\np-00000007\r\n$10\r\np-00000008\r\n"
                               "$10\r\np-00000009\r\n"
                               "*2\r\n$3\r\nDEL\r\n$10\r\np-00000007\r\n";
    cleanup_buf struct buf out = BUF_INIT;
    const struct load_op scan = {.kind = LOAD_SCAN, .n = 3};
    void *state = opened(&out);

    (void)unused;
    ask(state, &out, 0, LOAD_READ);
    ask(state, &out, 1, LOAD_WRITE);
    ask(state, &out, 2, LOAD_BATCH);
    ask(state, &out, 3, LOAD_REMOVE);
    assert_int_equal(resp_protocol.submit(state, &out, 4, &scan), -EOPNOTSUPP);
    assert_int_equal(out.len, sizeof(want) - 1);
    assert_memory_equal(out.data, want, sizeof(want) - 1);
    resp_protocol.close(state);
}

static const char replies[] = "$5\r\nvalue\r\n$-1\r\n+OK\r\n-ERR no room\r\n"
                              "*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n:1\r\n";

static void ask_all(void *state, struct buf *out)
{
    static const enum load_kind kinds[] = {LOAD_READ,  LOAD_READ,  LOAD_WRITE,
                                           LOAD_WRITE, LOAD_BATCH, LOAD_REMOVE};

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        ask(state, out, 5 - i, kinds[i]);
}

static void check_all(void)
{
    static const enum load_outcome outcomes[] = {LOAD_DONE,    LOAD_ABSENT, LOAD_DONE,
                                                 LOAD_REFUSED, LOAD_DONE,   LOAD_DONE};

    assert_int_equal(notes.n, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(notes.at[i].slot, 5 - i);
        assert_int_equal(notes.at[i].outcome, outcomes[i]);
        assert_int_equal(notes.at[i].has_value, i == 0);
    }
    assert_string_equal(notes.at[0].value, "value");
    assert_string_equal(notes.at[3].error, "ERR no room");
    assert_int_equal(notes.n_items, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(notes.items[i].slot, 1);
        assert_int_equal(notes.items[i].place, i);
        assert_int_equal(notes.items[i].has_value, i != 1);
    }
    assert_string_equal(notes.items[0].value, "a");
}

static void resp__answers_may_be_cut_anywhere(void **unused)
{
    (void)unused;
    for (size_t piece = 1; piece < sizeof(replies); piece++) {
        cleanup_buf struct buf out = BUF_INIT;
        void *state = opened(&out);

        ask_all(state, &out);
        assert_int_equal(
            notes_feed(&resp_protocol, state, replies, sizeof(replies) - 1, piece, &out), 0);
        check_all();
        resp_protocol.close(state);
    }
}

static void resp__what_is_no_answer_ends_the_connection(void **unused)
{
    static const struct {
        enum load_kind kind;
        const char *reply;
    } bad[] = {
        {LOAD_READ, "+OK\r\n"},
        {LOAD_READ, "$5\nvalue\r\n"},
        {LOAD_READ, "$5\r\nvalueXX"},
        {LOAD_READ, "$-2\r\n"},
        {LOAD_READ, "$\r\n"},
        {LOAD_READ, "$5x\r\n"},
        {LOAD_READ, "$99999999999\r\n"},
        {LOAD_READ, "$999999999\r\n"},
        {LOAD_READ, "\n"},
        {LOAD_WRITE, "+NO\r\n"},
        {LOAD_WRITE, "$2\r\nOK\r\n"},
        {LOAD_BATCH, "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
        {LOAD_BATCH, "*-1\r\n"},
        {LOAD_BATCH, "*3\r\n$1\r\na\r\n:1\r\n"},
        {LOAD_REMOVE, ":2\r\n"},
        {LOAD_WRITE, "+OK\r\n+OK\r\n"}, /* the second is an answer to nothing */
    };

    (void)unused;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cleanup_buf struct buf out = BUF_INIT;
        void *state = opened(&out);

        ask(state, &out, 0, bad[i].kind);
        assert_int_equal(
            notes_feed(&resp_protocol, state, bad[i].reply, strlen(bad[i].reply), 1, &out),
            -EPROTO);
        resp_protocol.close(state);
    }
}

/* A line has an end within a bound, so that nobody is kept waiting for one by more and more. */
static void resp__a_line_has_an_end(void **unused)
{
    cleanup_buf struct buf out = BUF_INIT;
    char line[5000];
    void *state = opened(&out);

    (void)unused;
    memset(line, 'x', sizeof(line));
    line[0] = '-';
    ask(state, &out, 0, LOAD_READ);
    assert_int_equal(notes_feed(&resp_protocol, state, line, sizeof(line), 100, &out), -EPROTO);
    resp_protocol.close(state);
}

static void resp__each_slot_is_answered_once_whatever_comes(void **unused)
{
    struct prng p;

    (void)unused;
    prng_init(&p, 1);
    for (unsigned round = 0; round < 20000; round++) {
        cleanup_buf struct buf out = BUF_INIT;
        char bytes[sizeof(replies)];
        unsigned seen = 0;
        void *state = opened(&out);

        memcpy(bytes, replies, sizeof(replies));
        for (unsigned i = 0; i < 3; i++)
            bytes[prng_below(&p, sizeof(bytes) - 1)] = "\r\n$*:+-0123456789"[prng_below(&p, 17)];
        ask_all(state, &out);
        (void)notes_feed(&resp_protocol, state, bytes, sizeof(bytes) - 1,
                         1 + (size_t)prng_below(&p, sizeof(bytes)), &out);
        for (unsigned i = 0; i < notes.n; i++) {
            assert_int_equal(seen & 1u << notes.at[i].slot, 0);
            seen |= 1u << notes.at[i].slot;
        }
        resp_protocol.close(state);
    }
}

static void resp__no_more_than_the_slots_are_asked(void **unused)
{
    cleanup_buf struct buf out = BUF_INIT;
    const struct load_op op = {.kind = LOAD_READ};
    void *state = opened(&out);
    size_t len;

    (void)unused;
    for (unsigned i = 0; i < N_SLOTS; i++)
        ask(state, &out, i, LOAD_READ);
    len = out.len;
    assert_int_equal(resp_protocol.submit(state, &out, 0, &op), -ENOBUFS);
    assert_int_equal(out.len, len);
    resp_protocol.close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resp__requests_are_arrays_of_bulk_strings),
        cmocka_unit_test(resp__answers_may_be_cut_anywhere),
        cmocka_unit_test(resp__what_is_no_answer_ends_the_connection),
        cmocka_unit_test(resp__a_line_has_an_end),
        cmocka_unit_test(resp__each_slot_is_answered_once_whatever_comes),
        cmocka_unit_test(resp__no_more_than_the_slots_are_asked),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
