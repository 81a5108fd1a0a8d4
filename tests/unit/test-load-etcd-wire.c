/* Messages of etcd as a load makes and takes them: their bytes, and what is no message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "bench/etcd-wire.h"

#define N_MAX 4u

static struct {
    unsigned n;
    char values[N_MAX][32]; /* "(none)": it is not there */
} found;

static void note(void *arg, unsigned place, const char *value, size_t len)
{
    assert_ptr_equal(arg, &found);
    assert_int_equal(place, found.n);
    assert_true(found.n < N_MAX);
    if (value == NULL)
        strcpy(found.values[found.n++], "(none)");
    else
        (void)snprintf(found.values[found.n++], sizeof(found.values[0]), "%.*s", (int)len, value);
}

/* In memory of its own length, so that the sanitizer sees who looks behind it. */
static int take(enum load_kind kind, const char *bytes, size_t len, unsigned n_max)
{
    unsigned char *exact = malloc(len > 0 ? len : 1);
    int rc;

    assert_non_null(exact);
    memcpy(exact, bytes, len);
    memset(&found, 0, sizeof(found));
    rc = etcd_take_answer(kind, exact, len, n_max, note, &found);
    free(exact);
    return rc;
}
#define TAKE(kind, text, n_max) take(kind, text, sizeof(text) - 1, n_max)

static void asked(const struct load_op *op, const char *want, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(buf_add(&out, "before", 6), 0);
    assert_int_equal(etcd_add_request(&out, "p-", op), 0);
    assert_int_equal(out.len, 6 + len);
    assert_memory_equal(out.data, "before", 6);
    assert_memory_equal(out.data + 6, want, len);
}
#define ASKED(op, want) asked(op, want, sizeof(want) - 1)

static void etcd_wire__requests_are_what_protobuf_says(void **state)
{
    const struct load_op get = {.kind = LOAD_READ, .key = 7};
    const struct load_op put = {.kind = LOAD_WRITE, .key = 7, .number = 12, .value_bytes = 20};
    const struct load_op txn = {.kind = LOAD_BATCH, .key = 7, .n = 2};
    const struct load_op scan = {.kind = LOAD_SCAN, .key = 7, .n = 300};
    const struct load_op del = {.kind = LOAD_REMOVE, .key = 7};

    (void)state;
    ASKED(&get, "\0\0\0\0\x0c\x0a\x0ap-00000007");
    ASKED(&del, "\0\0\0\0\x0c\x0a\x0ap-00000007");
    ASKED(&put, "\0\0\0\0\x22\x0a\x0ap-00000007\x12\x14p-00000007/12/xxxxxx");
    ASKED(&txn, "\0\0\0\0\x20\x12\x0e\x0a\x0c\x0a\x0ap-00000007"
                "\x12\x0e\x0a\x0c\x0a\x0ap-00000008");
    ASKED(&scan, "\0\0\0\0\x13\x0a\x0ap-00000007\x12\x02p.\x18\xac\x02");
}

static void etcd_wire__a_length_may_take_several_bytes(void **state)
{
    const struct load_op put = {.kind = LOAD_WRITE, .key = 7, .number = 1, .value_bytes = 70000};
    cleanup_buf struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(etcd_add_request(&out, "p-", &put), 0);
    assert_memory_equal(out.data, "\0\0\x01\x11\x80", 5); /* 12 + 1 + 3 + 70000 */
    assert_memory_equal(out.data + 5 + 12, "\x12\xf0\xa2\x04p-00000007/1/x", 18);
    assert_int_equal(out.len, 5 + 0x11180);
}

/* A head of {cluster_id, member_id, revision, raft_term} stands before everything. */
#define HEAD "\x0a\x0a\x08\x81\x01\x10\x02\x18\xac\x02\x20\x03"

static const char one[] = "\0\0\0\0\x1d" HEAD "\x12\x0d\x0a\x01k\x10\x02\x18\x02\x20\x01\x2a\x02vv"
                          "\x20\x01";
static const char none[] = "\0\0\0\0\x0c" HEAD;
static const char put_done[] = "\0\0\0\0\x0c" HEAD;
static const char two[] = "\0\0\0\0\x1e" HEAD "\x12\x06\x0a\x01k\x2a\x01v\x12\x06\x0a\x01k\x2a\x01w"
                          "\x20\x02";
static const char batch[] = "\0\0\0\0\x24" HEAD "\x10\x01"
                            "\x1a\x0a\x0a\x08\x12\x06\x0a\x01k\x2a\x01v" /* one that is there */
                            "\x1a\x02\x0a\x00"                           /* one that is not */
                            "\x1a\x04\x0a\x02\x20\x00";                  /* nor this one */

static void etcd_wire__answers_say_what_is_there(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LOAD_READ, one, 1), 0);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.values[0], "vv");
    assert_int_equal(TAKE(LOAD_READ, none, 1), 0);
    assert_int_equal(found.n, 0);
    assert_int_equal(TAKE(LOAD_WRITE, put_done, 0), 0);
    assert_int_equal(TAKE(LOAD_REMOVE, put_done, 0), 0);
    assert_int_equal(TAKE(LOAD_SCAN, two, 2), 0);
    assert_int_equal(found.n, 2);
    assert_string_equal(found.values[1], "w");
    assert_int_equal(TAKE(LOAD_BATCH, batch, 3), 0);
    assert_int_equal(found.n, 3);
    assert_string_equal(found.values[0], "v");
    assert_string_equal(found.values[1], "(none)");
    assert_string_equal(found.values[2], "(none)");
}

static void etcd_wire__more_than_was_asked_for_is_no_answer(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LOAD_SCAN, two, 1), -EPROTO);
    assert_int_equal(TAKE(LOAD_READ, two, 1), -EPROTO);
    assert_int_equal(TAKE(LOAD_BATCH, batch, 2), -EPROTO);
}

/* What is unknown is passed over, whatever its type. */
static void etcd_wire__other_fields_do_not_matter(void **state)
{
    (void)state;
    assert_int_equal(TAKE(LOAD_READ,
                          "\0\0\0\0\x1a\xa0\x06\x01\xa1\x06........\xa5\x06....\xa2\x06\x02zz"
                          "\x12\x00",
                          1),
                     0);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.values[0], "");
}

static void etcd_wire__a_message_that_is_cut_is_none(void **state)
{
    static const struct {
        enum load_kind kind;
        const char *bytes;
        size_t len;
    } whole[] = {{LOAD_READ, one, sizeof(one) - 1},
                 {LOAD_SCAN, two, sizeof(two) - 1},
                 {LOAD_BATCH, batch, sizeof(batch) - 1}};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (size_t len = 0; len < whole[i].len; len++)
            assert_int_equal(take(whole[i].kind, whole[i].bytes, len, 3), -EPROTO);
    assert_int_equal(TAKE(LOAD_READ, "\x01\0\0\0\0", 1), -EPROTO); /* compressed */
    assert_int_equal(TAKE(LOAD_READ, "\0\xff\xff\xff\xff", 1), -EPROTO);
    assert_int_equal(TAKE(LOAD_READ, "\0\0\0\0\x01\x12", 1), -EPROTO);
    assert_int_equal(TAKE(LOAD_READ, "\0\0\0\0\x02\x12\x05", 1), -EPROTO);
    assert_int_equal(TAKE(LOAD_READ, "\0\0\0\0\x02\x00\x05", 1), -EPROTO); /* field 0 */
    assert_int_equal(TAKE(LOAD_READ, "\0\0\0\0\x02\x13\x05", 1), -EPROTO); /* a group */
    assert_int_equal(TAKE(LOAD_READ, "\0\0\0\0\x0b\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1),
                     -EPROTO);
    assert_int_equal(
        TAKE(LOAD_READ, "\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1),
        -EPROTO);
}

static void etcd_wire__any_bytes_are_taken_or_refused(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 1);
    for (unsigned round = 0; round < 50000; round++) {
        static const enum load_kind kinds[] = {LOAD_READ, LOAD_SCAN, LOAD_BATCH};
        const unsigned k = (unsigned)prng_below(&p, 3);
        const char *from = k == 0 ? one : k == 1 ? two : batch;
        const size_t len = k == 0 ? sizeof(one) - 1 : k == 1 ? sizeof(two) - 1 : sizeof(batch) - 1;
        char bytes[sizeof(batch) + sizeof(two)];
        int rc;

        memcpy(bytes, from, len);
        for (unsigned i = 0; i < 2; i++)
            bytes[5 + prng_below(&p, (uint32_t)len - 5)] = (char)prng_below(&p, 256);
        rc = take(kinds[k], bytes, len, 3);
        assert_true(rc == 0 || rc == -EPROTO);
        assert_true(found.n <= 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etcd_wire__requests_are_what_protobuf_says),
        cmocka_unit_test(etcd_wire__a_length_may_take_several_bytes),
        cmocka_unit_test(etcd_wire__answers_say_what_is_there),
        cmocka_unit_test(etcd_wire__more_than_was_asked_for_is_no_answer),
        cmocka_unit_test(etcd_wire__other_fields_do_not_matter),
        cmocka_unit_test(etcd_wire__a_message_that_is_cut_is_none),
        cmocka_unit_test(etcd_wire__any_bytes_are_taken_or_refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
