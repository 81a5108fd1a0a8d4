/* wire: a node that waits to be added, and the leader that comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "wire/join.h"

static struct wire_join a_join(void)
{
    struct wire_join j = {.version_highest = 2,
                          .version_lowest = 1,
                          .from = 77,
                          .cluster_name = "demo",
                          .node_name = "n4",
                          .config = (const unsigned char *)"CONFIG",
                          .config_len = 6};

    memset(j.founding_id, 0xf0, 16);
    memset(j.cluster_id, 0xc1, 16);
    return j;
}

static void expect_same(const struct wire_join *a, const struct wire_join *b)
{
    assert_int_equal(a->version_highest, b->version_highest);
    assert_int_equal(a->version_lowest, b->version_lowest);
    assert_memory_equal(a->founding_id, b->founding_id, 16);
    assert_memory_equal(a->cluster_id, b->cluster_id, 16);
    assert_int_equal(a->from, b->from);
    assert_string_equal(a->cluster_name, b->cluster_name);
    assert_string_equal(a->node_name, b->node_name);
    assert_int_equal(a->config_len, b->config_len);
    if (a->config_len > 0)
        assert_memory_equal(a->config, b->config, a->config_len);
}

static struct wire_frame cut(const struct buf *b)
{
    struct wire_frame frame;

    assert_int_equal(wire_frame_cut(b->data, b->len, &frame, NULL), 0);
    assert_int_equal(frame.total_len, b->len);
    return frame;
}

/* WIRE-1 */
static void join__goes_there_and_back(void **state)
{
    static unsigned char large[JOIN_CONFIG_BYTES_MAX];
    const size_t lens[] = {0, 1, 6, sizeof(large)};

    (void)state;
    memset(large, 0xab, sizeof(large));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_join j = a_join();
        struct wire_join got;
        struct wire_frame frame;

        j.config = lens[i] > 0 ? large : NULL;
        j.config_len = lens[i];
        memset(j.cluster_name, 'c', NODE_NAME_BYTES_MAX);
        memset(j.node_name, 'n', NODE_NAME_BYTES_MAX);
        assert_int_equal(wire_join_encode(&j, &b), 0);
        assert_true(b.len <= JOIN_FRAME_BYTES_MAX);
        assert_true(lens[i] > 0 || b.len <= PEER_HELLO_BYTES_MAX);
        frame = cut(&b);
        assert_int_equal(wire_join_decode(&frame, &got), 0);
        expect_same(&j, &got);
    }
}

static void join_reply__goes_there_and_back(void **state)
{
    const uint64_t incarnations[] = {0, 0x1122334455667788};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_join_reply r = {.version_highest = 3,
                                    .version_lowest = 2,
                                    .refused = i == 0 ? WIRE_JOIN_NODE_NAME : 0,
                                    .incarnation = incarnations[i]};
        struct wire_join_reply got;
        struct wire_frame frame;

        memset(r.text, 'x', sizeof(r.text) - 1);
        assert_int_equal(wire_join_reply_encode(&r, &b), 0);
        assert_true(b.len <= PEER_HELLO_BYTES_MAX);
        frame = cut(&b);
        assert_int_equal(wire_join_reply_decode(&frame, &got), 0);
        assert_int_equal(got.version_highest, 3);
        assert_int_equal(got.version_lowest, 2);
        assert_int_equal(got.refused, r.refused);
        assert_int_equal(got.incarnation, r.incarnation);
        assert_string_equal(got.text, r.text);
    }
}

/* WIRE-1: each shorter payload is refused, and *ret untouched; WIRE-7: a longer one is read. */
static void join__every_length_is_handled(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf reply = BUF_INIT;
    const struct wire_join j = a_join();
    const struct wire_join_reply r = {.version_highest = 2, .text = "why"};
    unsigned char longer[512] = {0};
    struct wire_frame frame;
    struct wire_join got = {.from = 5};
    struct wire_join_reply got_reply = {.incarnation = 5};

    (void)state;
    assert_int_equal(wire_join_encode(&j, &b), 0);
    frame = cut(&b);
    for (size_t len = 0; len < frame.payload_len; len++) {
        struct wire_frame shorter = frame;

        shorter.payload_len = len;
        assert_int_equal(wire_join_decode(&shorter, &got), WIRE_FRAME_E_PAYLOAD);
        assert_int_equal(got.from, 5);
        assert_int_equal(wire_join_reply_decode(&shorter, &got_reply), WIRE_FRAME_E_TYPE);
    }
    memcpy(longer, frame.payload, frame.payload_len);
    frame.payload = longer;
    frame.payload_len += 9;
    assert_int_equal(wire_join_decode(&frame, &got), 0);
    expect_same(&j, &got);

    assert_int_equal(wire_join_reply_encode(&r, &reply), 0);
    frame = cut(&reply);
    for (size_t len = 0; len < frame.payload_len; len++) {
        struct wire_frame shorter = frame;

        shorter.payload_len = len;
        assert_int_equal(wire_join_reply_decode(&shorter, &got_reply), WIRE_FRAME_E_PAYLOAD);
        assert_int_equal(got_reply.incarnation, 5);
    }
    memcpy(longer, frame.payload, frame.payload_len);
    frame.payload = longer;
    frame.payload_len += 9;
    assert_int_equal(wire_join_reply_decode(&frame, &got_reply), 0);
    assert_string_equal(got_reply.text, "why");
}

/* One that is written by hand: a byte is changed, and what must be there is not. */
static void expect_refused(size_t at, unsigned char byte)
{
    cleanup_buf struct buf b = BUF_INIT;
    const struct wire_join j = a_join();
    unsigned char bytes[512];
    struct wire_frame frame;
    struct wire_join got;

    assert_int_equal(wire_join_encode(&j, &b), 0);
    frame = cut(&b);
    memcpy(bytes, frame.payload, frame.payload_len);
    assert_int_not_equal(bytes[at], byte);
    bytes[at] = byte;
    frame.payload = bytes;
    assert_int_equal(wire_join_decode(&frame, &got), WIRE_FRAME_E_PAYLOAD);
}

static void join__what_cannot_be_is_refused(void **state)
{
    (void)state;
    expect_refused(0, 'X');   /* the magic */
    expect_refused(40, 0);    /* nobody */
    expect_refused(48, 0);    /* no name */
    expect_refused(48, 64);   /* too long a one */
    expect_refused(49, '\n'); /* no character of one */
    expect_refused(54, '\0'); /* the node's */
    expect_refused(56, 7);    /* more bytes than there are */
    expect_refused(56 + 3, 0x7f);
}

/* The bound of the configuration stands before what there is. */
static void join__a_configuration_has_a_bound(void **state)
{
    static unsigned char bytes[JOIN_CONFIG_BYTES_MAX + 512];
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_join j = a_join();
    struct wire_frame frame;
    struct wire_join got;

    (void)state;
    assert_int_equal(wire_join_encode(&j, &b), 0);
    frame = cut(&b);
    memcpy(bytes, frame.payload, frame.payload_len);
    put_u32(bytes + 56, JOIN_CONFIG_BYTES_MAX);
    frame.payload = bytes;
    frame.payload_len = sizeof(bytes);
    assert_int_equal(wire_join_decode(&frame, &got), 0);
    put_u32(bytes + 56, JOIN_CONFIG_BYTES_MAX + 1);
    assert_int_equal(wire_join_decode(&frame, &got), WIRE_FRAME_E_PAYLOAD);
}

/* PEER-7: who is refused is told no incarnation, and one who says otherwise is not believed. What
 * is not printable is not passed on to a terminal. */
static void join_reply__says_nothing_to_whom_it_refuses(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_join_reply r = {.refused = WIRE_JOIN_BUSY, .incarnation = 1};
    struct wire_join_reply got;
    struct wire_frame frame;
    unsigned char bytes[64];

    (void)state;
    assert_int_equal(wire_join_reply_encode(&r, &b), 0);
    frame = cut(&b);
    assert_int_equal(wire_join_reply_decode(&frame, &got), WIRE_FRAME_E_PAYLOAD);

    buf_reset(&b, 0);
    r = (struct wire_join_reply){.text = "a\x1b[31m\xc3"};
    assert_int_equal(wire_join_reply_encode(&r, &b), 0);
    frame = cut(&b);
    assert_int_equal(wire_join_reply_decode(&frame, &got), 0);
    assert_string_equal(got.text, "a?[31m?");
    memcpy(bytes, frame.payload, frame.payload_len);
    bytes[19] = 0x1b;
    frame.payload = bytes;
    assert_int_equal(wire_join_reply_decode(&frame, &got), WIRE_FRAME_E_PAYLOAD);
}

static void join__reasons_have_words(void **state)
{
    (void)state;
    assert_string_equal(wire_join_refusal_text(0), "accepted");
    for (unsigned i = 1; i <= WIRE_JOIN_WRITE; i++)
        assert_string_not_equal(wire_join_refusal_text(i), "a reason of a later version");
    assert_string_equal(wire_join_refusal_text(200), "a reason of a later version");
    assert_true(wire_join_version_ok(WIRE_VERSION_HIGHEST + 5, WIRE_VERSION_LOWEST));
    assert_true(wire_join_version_ok(WIRE_VERSION_LOWEST, WIRE_VERSION_LOWEST));
    assert_false(wire_join_version_ok(WIRE_VERSION_HIGHEST + 5, WIRE_VERSION_HIGHEST + 1));
    assert_false(wire_join_version_ok(WIRE_VERSION_LOWEST - 1, WIRE_VERSION_LOWEST - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join__goes_there_and_back),
        cmocka_unit_test(join_reply__goes_there_and_back),
        cmocka_unit_test(join__every_length_is_handled),
        cmocka_unit_test(join__what_cannot_be_is_refused),
        cmocka_unit_test(join__a_configuration_has_a_bound),
        cmocka_unit_test(join_reply__says_nothing_to_whom_it_refuses),
        cmocka_unit_test(join__reasons_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
