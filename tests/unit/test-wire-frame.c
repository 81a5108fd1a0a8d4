/* wire/frame.h: every type there and back, every bound on both sides, and everything that is no
 * frame refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/prng.h"
#include "wire/frame.h"

#define FROM 11u
#define TO   22u

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, mem_libc);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static const struct raft_entry three_entries[] = {
    {.id = {4, 8}, .type = RAFT_ENTRY_NOOP, .len = 0, .data = NULL},
    {.id = {4, 9}, .type = RAFT_ENTRY_COMMAND, .len = 5, .data = "hello"},
    {.id = {5, 10}, .type = RAFT_ENTRY_CONFIG, .len = 1, .data = "x"},
};

static const struct raft_snapshot_part parts[] = {
    {.transfer = UINT64_MAX, .offset = 3, .bytes = 8, .len = 5, .data = "hello"},
    {.transfer = 7, .offset = 8, .bytes = 8}, /* a question */
    {.transfer = 7, .offset = 3, .bytes = 8, .status = RAFT_SNAPSHOT_TOO_OLD},
};

static const struct raft_msg samples[] = {
    {.type = RAFT_MSG_PRE_VOTE, .term = 6, .prev = {5, 17}},
    {.type = RAFT_MSG_PRE_VOTE, .term = 2, .prev = {0, 0}},
    {.type = RAFT_MSG_PRE_VOTE_RESP, .term = 6, .reject = false},
    {.type = RAFT_MSG_PRE_VOTE_RESP, .term = 0, .reject = true},
    {.type = RAFT_MSG_VOTE, .term = 6, .prev = {5, 17}, .transfer = true},
    {.type = RAFT_MSG_VOTE, .term = 6, .prev = {6, 17}, .transfer = false},
    {.type = RAFT_MSG_VOTE_RESP, .term = 6, .reject = true},
    {.type = RAFT_MSG_APPEND, .term = 5, .prev = {3, 7}, .leader_commit = 6},
    {.type = RAFT_MSG_APPEND,
     .term = 5,
     .prev = {3, 7},
     .leader_commit = 6,
     .n_entries = 3,
     .entries = three_entries},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .index = 10},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .reject = true, .index = 9, .hint = {0, 4}},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .reject = true, .index = 9, .hint = {2, 3}},
    {.type = RAFT_MSG_HEARTBEAT, .term = 5, .round = UINT64_MAX, .leader_commit = 10},
    {.type = RAFT_MSG_HEARTBEAT_RESP, .term = 5, .round = 77, .reject = true},
    {.type = RAFT_MSG_TIMEOUT_NOW, .term = RAFT_INDEX_MAX},
    {.type = RAFT_MSG_SNAPSHOT, .term = 5, .part = &parts[0]},
    {.type = RAFT_MSG_SNAPSHOT, .term = 5, .part = &parts[1]},
    {.type = RAFT_MSG_SNAPSHOT_RESP, .term = 5, .part = &parts[2]},
    {.type = RAFT_MSG_SNAPSHOT_RESP, .term = 5, .reject = true},
    {.type = RAFT_MSG_HEARTBEAT,
     .term = 5,
     .round = 9,
     .leader_commit = 10,
     .note = {.flags = RAFT_NOTE_SAID | RAFT_NOTE_PARKED | 0x80000000u,
              .digest_version = 7,
              .check = 0x0102030405060708u,
              .digests = {{1024, UINT64_MAX, 1}, {1027, 2, UINT64_MAX}}}},
    {.type = RAFT_MSG_HEARTBEAT_RESP,
     .term = 5,
     .round = 9,
     .note = {.flags = RAFT_NOTE_SAID | RAFT_NOTE_UNFIT}},
    /* 21: with a beat */
    {.type = RAFT_MSG_HEARTBEAT,
     .term = 5,
     .round = 9,
     .leader_commit = 10,
     .note = {.flags = RAFT_NOTE_SAID},
     .beat = {.said = true,
              .lease_us = RAFT_LEASE_US_MAX,
              .stamp = {UINT64_MAX, RAFT_INDEX_MAX},
              .proved_index = RAFT_INDEX_MAX}},
    {.type = RAFT_MSG_HEARTBEAT_RESP,
     .term = 5,
     .round = 9,
     .note = {.flags = RAFT_NOTE_SAID | RAFT_NOTE_PARKED},
     .beat = {.said = true, .leased = true, .mono_us = 0x0102, .stamp = {7, 0x030405}}},
    {.type = RAFT_MSG_HEARTBEAT,
     .term = 5,
     .round = 9,
     .leader_commit = 10,
     .note = {.flags = RAFT_NOTE_SAID},
     .beat = {.said = true}},
    /* 24 */
    {.type = RAFT_MSG_VOTE_RESP, .term = 6, .left_us = 303000},
    {.type = RAFT_MSG_READ_ASK, .term = 6, .ask = {UINT64_MAX, 1}},
    {.type = RAFT_MSG_READ_ANSWER, .term = 6, .ask = {3, UINT64_MAX}, .index = 17},
    {.type = RAFT_MSG_READ_ANSWER, .term = 7, .reject = true, .ask = {3, 4}, .leader = UINT64_MAX},
    {.type = RAFT_MSG_READ_ANSWER, .term = 0, .reject = true, .ask = {3, 4}},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .index = 9, .disk_us = 310000},
};
#define A_NOTE    20u /* the last one without anything behind it */
#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static void assert_same_msg(const struct raft_msg *a, const struct raft_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->term == b->term);
    assert_true(a->prev.term == b->prev.term && a->prev.index == b->prev.index);
    assert_true(a->leader_commit == b->leader_commit);
    assert_true(a->index == b->index);
    assert_true(a->hint.term == b->hint.term && a->hint.index == b->hint.index);
    assert_true(a->round == b->round);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->transfer, b->transfer);
    assert_memory_equal(&a->note, &b->note, sizeof(a->note));
    assert_int_equal(a->beat.said, b->beat.said);
    assert_int_equal(a->beat.leased, b->beat.leased);
    assert_true(a->beat.lease_us == b->beat.lease_us);
    assert_true(a->beat.mono_us == b->beat.mono_us);
    assert_true(a->beat.stamp.nonce == b->beat.stamp.nonce);
    assert_true(a->beat.stamp.hold_us == b->beat.stamp.hold_us);
    assert_true(a->beat.proved_index == b->beat.proved_index);
    assert_true(a->left_us == b->left_us);
    assert_true(a->disk_us == b->disk_us);
    assert_true(a->ask.nonce == b->ask.nonce && a->ask.number == b->ask.number);
    assert_true(a->leader == b->leader);
    assert_int_equal(a->part == NULL, b->part == NULL);
    if (a->part != NULL) {
        assert_true(a->part->transfer == b->part->transfer);
        assert_true(a->part->offset == b->part->offset);
        assert_true(a->part->bytes == b->part->bytes);
        assert_int_equal(a->part->status, b->part->status);
        assert_int_equal(a->part->len, b->part->len);
        assert_int_equal(a->part->data == NULL, b->part->data == NULL);
        if (a->part->len > 0)
            assert_memory_equal(a->part->data, b->part->data, a->part->len);
    }
    assert_int_equal(a->n_entries, b->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        const struct raft_entry *x = &a->entries[i];
        const struct raft_entry *y = &b->entries[i];

        assert_true(x->id.term == y->id.term && x->id.index == y->id.index);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->len, y->len);
        if (x->len > 0)
            assert_memory_equal(x->data, y->data, x->len);
        else
            assert_null(y->data);
    }
}

static struct wire_frame cut_whole(const struct buf *b)
{
    struct wire_frame frame;

    assert_int_equal(wire_frame_cut(b->data, b->len, &frame, NULL), 0);
    assert_int_equal(frame.total_len, b->len);
    return frame;
}

static void frame__every_type_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_frame frame;
        struct raft_msg m;

        assert_int_equal(wire_msg_encode(&samples[i], &b), 0);
        frame = cut_whole(&b);
        assert_int_equal(frame.type, samples[i].type);
        assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), 0);
        assert_int_equal(m.from, FROM);
        assert_int_equal(m.to, TO);
        assert_same_msg(&samples[i], &m);
    }
}

/* The layout is a contract between versions: these bytes may not change. */
static void frame__bytes_are_fixed(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    const struct raft_msg m = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .term = 5, .round = 0x0102, .reject = true};
    const unsigned char body[] = {8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1};

    (void)state;
    assert_int_equal(wire_msg_encode(&m, &b), 0);
    assert_int_equal(b.len, 8 + sizeof(body));
    assert_int_equal(get_u32(b.data), 4 + sizeof(body));
    assert_int_equal(get_u32(b.data + 4), crc32c(0, body, sizeof(body)));
    assert_memory_equal(b.data + 8, body, sizeof(body));
}

/* A note that is not one: nobody writes it, so nobody reads anything into it (WIRE-7). */
static void frame__a_note_says_that_it_is_one(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;
    struct raft_msg m;

    (void)state;
    assert_int_equal(wire_msg_encode(&samples[A_NOTE], &b), 0);
    frame = cut_whole(&b);
    assert_int_equal(frame.payload_len, 17 + 64);
    assert_int_equal(get_u32(b.data + 12 + 17), RAFT_NOTE_SAID | RAFT_NOTE_UNFIT);
    b.data[12 + 17] = RAFT_NOTE_UNFIT;
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), WIRE_FRAME_E_PAYLOAD);
    b.data[12 + 17] = RAFT_NOTE_SAID;
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), 0);
    put_u64(b.data + 12 + 17 + 16, RAFT_INDEX_MAX + 1); /* the index of the first digest */
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), WIRE_FRAME_E_PAYLOAD);
}

static void frame__one_after_the_other(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    size_t at = 0;

    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++)
        assert_int_equal(wire_msg_encode(&samples[i], &b), 0);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct wire_frame frame;
        struct raft_msg m;

        assert_int_equal(wire_frame_cut(b.data + at, b.len - at, &frame, NULL), 0);
        assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), 0);
        assert_same_msg(&samples[i], &m);
        at += frame.total_len;
    }
    assert_int_equal(at, b.len);
}

/* Only entries, parts of snapshots and their answers go through the connection for data (PEER-3). */
static void frame__channels(void **state)
{
    (void)state;
    for (int t = RAFT_MSG_PRE_VOTE; t <= RAFT_MSG_TYPE_MAX; t++) {
        bool log = t == RAFT_MSG_APPEND || t == RAFT_MSG_APPEND_RESP || t == RAFT_MSG_SNAPSHOT ||
                   t == RAFT_MSG_SNAPSHOT_RESP;

        assert_int_equal(wire_msg_channel((enum raft_msg_type)t),
                         log ? WIRE_CHANNEL_LOG : WIRE_CHANNEL_CONTROL);
    }
}

/* ---- what is no frame ---- */

static void frame__short_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        cleanup_buf struct buf b = BUF_INIT;

        assert_int_equal(wire_msg_encode(&samples[i], &b), 0);
        for (size_t len = 0; len < b.len; len++) {
            /* A block of exactly len bytes: reading behind it is seen by the sanitizer. */
            unsigned char *exact = malloc(len + 1);
            struct wire_frame frame = {0};
            size_t need = 99;

            assert_non_null(exact);
            memcpy(exact + 1, b.data, len);
            assert_int_equal(wire_frame_cut(exact + 1, len, &frame, &need), WIRE_FRAME_E_SHORT);
            assert_int_equal(need, len < 4 ? 0 : b.len);
            assert_null(frame.payload);
            free(exact);
        }
    }
}

/* Where a note, a beat, what is left of promises or the time of a disk may follow, a few bytes are one that was cut. */
static bool may_have_more(const struct raft_msg *m)
{
    if (m->type == RAFT_MSG_VOTE_RESP)
        return m->left_us == 0;
    if (m->type == RAFT_MSG_APPEND_RESP)
        return m->disk_us == 0;
    return (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_HEARTBEAT_RESP) && !m->beat.said;
}

/* How many bytes of m there are without what only later versions than this many before write:
 * without a beat or what is left of promises, and without a note. */
static size_t len_of_version_before(const struct raft_msg *m, unsigned before, size_t len)
{
    if (m->left_us != 0 || m->disk_us != 0)
        len -= 8;
    if (m->beat.said)
        len -= m->type == RAFT_MSG_HEARTBEAT ? 32 : 25;
    if (before > 1 && m->note.flags != 0)
        len -= 64;
    return len;
}

/* Cut the payload and mend length and checksum: the message itself must notice. What a later version
 * added at the end, whatever it is, changes nothing; and without a note, or a beat, what is left is the
 * message of the version before (WIRE-7). */
static void frame__short_payload_is_refused_and_a_tail_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_frame whole;

        assert_int_equal(wire_msg_encode(&samples[i], &b), 0);
        whole = cut_whole(&b);
        for (size_t len = 0; len <= whole.payload_len + 3; len++) {
            unsigned char *exact = malloc(len + 1);
            struct wire_frame frame = {
                .type = whole.type, .payload = exact + 1, .payload_len = len};
            size_t copy = len < whole.payload_len ? len : whole.payload_len;
            struct raft_msg m;
            bool ok;
            bool of_before = len == len_of_version_before(&samples[i], 1, whole.payload_len);
            bool of_first = len == len_of_version_before(&samples[i], 2, whole.payload_len);

            assert_non_null(exact);
            memset(exact, 0xa5, len + 1);
            memcpy(exact + 1, whole.payload, copy);
            ok = len == whole.payload_len || of_before || of_first ||
                 (len > whole.payload_len && !may_have_more(&samples[i]));
            assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m),
                             ok ? 0 : WIRE_FRAME_E_PAYLOAD);
            if (ok && len >= whole.payload_len)
                assert_same_msg(&samples[i], &m);
            else if (ok) {
                assert_int_equal(m.note.flags, of_before ? samples[i].note.flags : 0);
                assert_false(m.beat.said);
                assert_true(m.left_us == 0);
                assert_true(m.disk_us == 0);
            }
            free(exact);
        }
    }
}

/* The checksum stands before the decoder (WIRE-1). */
static void frame__every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        cleanup_buf struct buf b = BUF_INIT;

        assert_int_equal(wire_msg_encode(&samples[i], &b), 0);
        for (size_t bit = 0; bit < b.len * 8; bit++) {
            struct wire_frame frame;
            int r;

            b.data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            r = wire_frame_cut(b.data, b.len, &frame, NULL);
            b.data[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            if (bit < 32)
                assert_true(r == WIRE_FRAME_E_SHORT || r == WIRE_FRAME_E_LENGTH ||
                            r == WIRE_FRAME_E_CRC);
            else
                assert_int_equal(r, WIRE_FRAME_E_CRC);
        }
    }
}

/* A length is compared with its bound before anything else (WIRE-1). */
static void frame__lengths(void **state)
{
    static const struct {
        uint32_t length;
        int want;
    } cases[] = {
        {0, WIRE_FRAME_E_LENGTH},
        {7, WIRE_FRAME_E_LENGTH},
        {8, WIRE_FRAME_E_SHORT}, /* an empty payload is a length, if no message */
        {FRAME_BYTES_MAX - 1, WIRE_FRAME_E_SHORT},
        {FRAME_BYTES_MAX, WIRE_FRAME_E_SHORT},
        {FRAME_BYTES_MAX + 1, WIRE_FRAME_E_LENGTH},
        {0x7fffffffu, WIRE_FRAME_E_LENGTH},
        {0x80000000u, WIRE_FRAME_E_LENGTH},
        {0xfffffffbu, WIRE_FRAME_E_LENGTH},
        {0xfffffffcu, WIRE_FRAME_E_LENGTH},
        {0xffffffffu, WIRE_FRAME_E_LENGTH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char data[4];
        struct wire_frame frame;
        size_t need = 99;

        put_u32(data, cases[i].length);
        assert_int_equal(wire_frame_cut(data, sizeof(data), &frame, &need), cases[i].want);
        assert_int_equal(need, cases[i].want == WIRE_FRAME_E_SHORT ? cases[i].length + 4u : 0);
    }
}

/* Mends the checksum of the frame in b. */
static void reseal(struct buf *b)
{
    put_u32(b->data, (uint32_t)(b->len - 4));
    put_u32(b->data + 4, crc32c(0, b->data + 8, b->len - 8));
}

static const struct wire_hello hello = {
    .version_highest = WIRE_VERSION_HIGHEST,
    .version_lowest = WIRE_VERSION_LOWEST,
    .channel = WIRE_CHANNEL_LOG,
    .cluster_id = "0123456789abcde",
    .from = 1,
    .to = 2,
    .incarnation = 3,
    .link_nonce = UINT64_MAX,
    .last_index = 5,
    .known_incarnation = 6,
    .command_version = 9,
};

static void frame__types_and_flags(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;

    (void)state;
    assert_int_equal(wire_msg_encode(&samples[0], &b), 0);
    for (unsigned type = 0; type < 256; type++) {
        bool known = (type >= 1 && type <= 13) || (type >= 32 && type <= 36);

        b.data[8] = (unsigned char)type;
        reseal(&b);
        assert_int_equal(wire_frame_cut(b.data, b.len, &frame, NULL),
                         known ? 0 : WIRE_FRAME_E_TYPE);
    }
    b.data[8] = RAFT_MSG_PRE_VOTE;
    b.data[9] = 1;
    reseal(&b);
    assert_int_equal(wire_frame_cut(b.data, b.len, &frame, NULL), WIRE_FRAME_E_TYPE);
    b.data[9] = 0;
    reseal(&b);
    assert_int_equal(wire_frame_cut(b.data, b.len, &frame, NULL), 0);
}

/* The frame is whole, so it can be cut; the message in it is for somebody who is not here (WIRE-7). */
static void frame__another_group_is_refused_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const uint16_t groups[] = {1, 256, UINT16_MAX};

        for (size_t k = 0; k < sizeof(groups) / sizeof(groups[0]); k++) {
            cleanup_buf struct buf b = BUF_INIT;
            struct raft_msg m = samples[i];
            struct wire_frame frame;

            m.group = groups[k];
            assert_int_equal(wire_msg_encode(&m, &b), 0);
            frame = cut_whole(&b);
            assert_int_equal(frame.group, groups[k]);
            assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), WIRE_FRAME_E_GROUP);
        }
    }
    assert_non_null(strstr(wire_frame_error_text(WIRE_FRAME_E_GROUP), "group"));
    for (unsigned i = 0; i < 2; i++) { /* a handshake is between nodes */
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_frame frame;

        assert_int_equal(wire_hello_encode(&hello, i == 1, &b), 0);
        b.data[10] = 1;
        reseal(&b);
        assert_int_equal(wire_frame_cut(b.data, b.len, &frame, NULL), WIRE_FRAME_E_GROUP);
    }
}

static void frame__a_handshake_is_no_message(void **state)
{
    struct wire_frame frame = {
        .type = WIRE_FRAME_HELLO, .payload = (const unsigned char *)"", .payload_len = 0};
    struct wire_hello h;
    struct raft_msg m;

    (void)state;
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &m), WIRE_FRAME_E_TYPE);
    frame.type = RAFT_MSG_VOTE;
    assert_int_equal(wire_hello_decode(&frame, &h), WIRE_FRAME_E_TYPE);
}

/* ---- bounds of fields (WIRE-2): an offset into the payload, a value there, and the
 * verdict ---- */

struct field_case {
    unsigned sample;
    size_t offset;
    unsigned bytes;
    uint64_t value;
    bool ok;
};

#define HI RAFT_INDEX_MAX
static const struct field_case field_cases[] = {
    /* PRE_VOTE: term, prev */
    {0, 0, 8, 0, false},
    {0, 0, 8, 4, false}, /* a candidate's log is not of a later term */
    {0, 0, 8, 5, true},
    {0, 0, 8, HI, true},
    {0, 0, 8, HI + 1, false},
    {0, 0, 8, UINT64_MAX, false},
    {0, 8, 8, 0, false}, /* term 0 has index 0 only */
    {0, 16, 8, 0, false},
    {0, 16, 8, HI, true},
    {0, 16, 8, HI + 1, false},
    /* PRE_VOTE_RESP */
    {2, 8, 1, 1, true},
    {2, 8, 1, 2, false},
    {2, 8, 1, 255, false},
    {2, 0, 8, HI + 1, false},
    /* VOTE */
    {4, 24, 1, 0, true},
    {4, 24, 1, 2, false},
    /* VOTE_RESP */
    {6, 8, 1, 2, false},
    {6, 0, 8, HI, true},
    /* APPEND: term, prev, leader_commit, n, (term, index, type, len, data) */
    {8, 0, 8, 4, false}, /* an entry of term 5 */
    {8, 0, 8, 0, false},
    {8, 8, 8, 4, true},
    {8, 8, 8, 5, false},  /* terms fall */
    {8, 16, 8, 6, false}, /* a gap */
    {8, 16, 8, 8, false}, /* an overlap */
    {8, 24, 8, HI, true},
    {8, 24, 8, HI + 1, false},
    {8, 32, 4, 2, true}, /* two entries, and a tail */
    {8, 32, 4, 4, false},
    {8, 32, 4, RAFT_APPEND_ENTRIES_MAX + 1, false},
    {8, 32, 4, 0x80000000u, false},
    {8, 32, 4, UINT32_MAX, false},
    {8, 36, 8, 0, false},
    {8, 36, 8, 3, true},
    {8, 36, 8, 2, false},
    {8, 44, 8, 9, false},
    {8, 44, 8, HI + 1, false},
    {8, 52, 1, 0, false},
    {8, 52, 1, RAFT_ENTRY_READ, true},
    {8, 52, 1, RAFT_ENTRY_READ + 1, false},
    {8, 53, 4, 1, false},
    {8, 53, 4, ENTRY_BYTES_MAX + 1, false},
    {8, 53, 4, UINT32_MAX, false},
    /* APPEND_RESP: term, reject, index, hint */
    {10, 8, 1, 2, false},
    {10, 9, 8, HI, true},
    {10, 9, 8, HI + 1, false},
    {10, 17, 8, HI + 1, false},
    {10, 25, 8, HI, true},
    {10, 25, 8, HI + 1, false},
    /* HEARTBEAT: term, round, leader_commit */
    {12, 0, 8, 0, false},
    {12, 8, 8, 0, true},
    {12, 16, 8, HI, true},
    {12, 16, 8, HI + 1, false},
    /* HEARTBEAT_RESP */
    {13, 0, 8, 0, true},
    {13, 16, 1, 2, false},
    /* TIMEOUT_NOW */
    {14, 0, 8, 0, false},
    {14, 0, 8, HI + 1, false},
    /* SNAPSHOT: term, transfer, offset, bytes, len, data */
    {15, 0, 8, 0, false},
    {15, 0, 8, HI, true},
    {15, 0, 8, HI + 1, false},
    {15, 8, 8, 0, true},
    {15, 16, 8, 0, true},
    {15, 16, 8, 4, false}, /* it would end behind the whole */
    {15, 16, 8, UINT64_MAX, false},
    {15, 24, 8, 7, false},
    {15, 24, 8, 2, false}, /* and begin there */
    {15, 24, 8, UINT64_MAX, true},
    {15, 32, 4, 0, true}, /* a question, and a tail */
    {15, 32, 4, 4, true},
    {15, 32, 4, 6, false}, /* not there */
    {15, 32, 4, UINT32_MAX, false},
    {16, 16, 8, 9, false},
    /* SNAPSHOT_RESP: term, reject, transfer, offset, bytes, status */
    {17, 0, 8, 0, true},
    {17, 0, 8, HI + 1, false},
    {17, 8, 1, 1, false}, /* a refusal says nothing else */
    {17, 8, 1, 2, false},
    {17, 17, 8, 8, true},
    {17, 17, 8, 9, false},
    {17, 25, 8, 2, false},
    {17, 33, 1, 0, true},
    {17, 33, 1, RAFT_SNAPSHOT_STATUSES - 1, true},
    {17, 33, 1, RAFT_SNAPSHOT_STATUSES, false},
    {17, 33, 1, 255, false},
    {18, 8, 1, 0, true}, /* an answer about nothing */
    {18, 9, 8, 1, false},
    {18, 17, 8, 1, false},
    {18, 25, 8, 1, false},
    {18, 33, 1, 1, false},
    /* The beat of a HEARTBEAT, behind 24 and 64 bytes: lease, nonce, hold, proved index */
    {21, 88, 8, 0, true},
    {21, 88, 8, RAFT_LEASE_US_MAX + 1, false},
    {21, 88, 8, UINT64_MAX, false},
    {21, 96, 8, 0, false}, /* no stamp, and a time in it */
    {21, 104, 8, HI + 1, false},
    {21, 112, 8, HI + 1, false},
    {23, 88, 8, RAFT_LEASE_US_MAX, true},
    {23, 96, 8, 1, true},
    {23, 104, 8, 1, false},
    {23, 112, 8, 1, false}, /* nothing is proved about no stamp */
    /* of a HEARTBEAT_RESP, behind 17 and 64: leased, mono, nonce, hold */
    {22, 81, 1, 0, true},
    {22, 81, 1, 2, false},
    {22, 82, 8, HI, true},
    {22, 82, 8, HI + 1, false},
    {22, 90, 8, 0, false},
    {22, 98, 8, HI, true},
    {22, 98, 8, HI + 1, false},
    /* VOTE_RESP: what is left of promises. None is not written. */
    {24, 9, 8, 0, false},
    {24, 9, 8, 1, true},
    {24, 9, 8, RAFT_LEFT_US_MAX, true},
    {24, 9, 8, RAFT_LEFT_US_MAX + 1, false},
    {24, 9, 8, UINT64_MAX, false},
    /* READ_ASK: term, nonce, number */
    {25, 0, 8, 0, false},
    {25, 0, 8, HI, true},
    {25, 0, 8, HI + 1, false},
    {25, 8, 8, 0, false},
    {25, 16, 8, 0, false},
    {25, 16, 8, UINT64_MAX, true},
    /* READ_ANSWER: term, reject, nonce, number, index, leader */
    {26, 0, 8, 0, false},
    {26, 0, 8, HI + 1, false},
    {26, 8, 1, 1, false}, /* a refusal with an index */
    {26, 8, 1, 2, false},
    {26, 9, 8, 0, false},
    {26, 17, 8, 0, false},
    {26, 25, 8, 0, false},
    {26, 25, 8, HI, true},
    {26, 25, 8, HI + 1, false},
    {26, 33, 8, 1, false}, /* whom it follows is of no interest where it leads */
    {27, 8, 1, 0, false},
    {27, 25, 8, 1, false},
    {27, 33, 8, 0, true},
    {28, 0, 8, HI, true},
    {28, 0, 8, HI + 1, false},
};

static void frame__bounds_of_every_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(field_cases) / sizeof(field_cases[0]); i++) {
        const struct field_case *c = &field_cases[i];
        cleanup_buf struct buf b = BUF_INIT;
        unsigned char *at;
        struct wire_frame frame;
        struct raft_msg m;
        int r;

        assert_int_equal(wire_msg_encode(&samples[c->sample], &b), 0);
        at = b.data + FRAME_HEADER_BYTES + c->offset;
        assert_true(at + c->bytes <= b.data + b.len);
        for (unsigned k = 0; k < c->bytes; k++)
            at[k] = (unsigned char)(c->value >> (8 * k));
        reseal(&b);
        frame = cut_whole(&b);
        r = wire_msg_decode(&frame, FROM, TO, &arena, &m);
        if (r != (c->ok ? 0 : WIRE_FRAME_E_PAYLOAD))
            fail_msg("case %zu: got %d", i, r);
    }
}

static void frame__the_largest_part(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char *data = calloc(1, SNAP_PART_BYTES_MAX + 1);
    struct raft_snapshot_part part = {
        .offset = 7, .bytes = UINT64_MAX, .len = SNAP_PART_BYTES_MAX, .data = data};
    const struct raft_msg m = {.type = RAFT_MSG_SNAPSHOT, .term = 1, .part = &part};
    struct raft_msg back;
    struct wire_frame frame;

    (void)state;
    assert_non_null(data);
    assert_int_equal(wire_msg_encode(&m, &b), 0);
    frame = cut_whole(&b);
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &back), 0);
    assert_same_msg(&m, &back);
    /* One byte more is there, and is said to be: too long all the same. */
    assert_int_equal(buf_add(&b, data, 1), 0);
    put_u32(b.data + FRAME_HEADER_BYTES + 32, SNAP_PART_BYTES_MAX + 1);
    reseal(&b);
    frame = cut_whole(&b);
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &back), WIRE_FRAME_E_PAYLOAD);
    free(data);
}

/* The layout is a contract between versions, from the second on. */
static void frame__bytes_of_parts_are_fixed(void **state)
{
    static const unsigned char part[] = {
        10,   0,    0,    0,    5,    0,    0,    0, 0, 0, 0, 0, /* transfer */ 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0,
        0,    0,    8,    0,    0,    0,    0,    0, 0, 0, 5, 0, 0,
        0,    'h',  'e',  'l',  'l',  'o'};
    static const unsigned char answer[] = {11, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, /* reject */ 0,
                                           7,  0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0,
                                           0,  0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5};
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(wire_msg_encode(&samples[15], &b), 0);
    assert_int_equal(b.len, 8 + sizeof(part));
    assert_memory_equal(b.data + 8, part, sizeof(part));
    buf_reset(&b, 0);
    assert_int_equal(wire_msg_encode(&samples[17], &b), 0);
    assert_int_equal(b.len, 8 + sizeof(answer));
    assert_memory_equal(b.data + 8, answer, sizeof(answer));
}

/* Likewise, from the third on. */
static void frame__bytes_of_beats_and_asks_are_fixed(void **state)
{
    static const unsigned char beat[] = {/* leased */ 1,
                                         2,
                                         1,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         7,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0,
                                         5,
                                         4,
                                         3,
                                         0,
                                         0,
                                         0,
                                         0,
                                         0};
    static const unsigned char lease[] = {0x80, 0x84, 0x1e, 0,    0,    0,    0,    0,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const unsigned char vote[] = {4,    0,    0, 0, 6, 0, 0, 0, 0, 0, 0, 0, /* reject */ 0,
                                         0x98, 0x9f, 4, 0, 0, 0, 0, 0};
    static const unsigned char ask[] = {12, 0, 0,    0,    6,    0,    0,    0,    0,    0,
                                        0,  0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        1,  0, 0,    0,    0,    0,    0,    0};
    static const unsigned char answer[] = {
        13,   0,    0,    0,  6, 0, 0, 0, 0,    0,    0,    0,    /* reject */ 0,
        3,    0,    0,    0,  0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 17, 0, 0, 0, 0, 0,    0,    0,    0,    0,
        0,    0,    0,    0,  0, 0};
    cleanup_buf struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(wire_msg_encode(&samples[22], &b), 0);
    assert_int_equal(b.len, FRAME_HEADER_BYTES + 17 + 64 + sizeof(beat));
    assert_memory_equal(b.data + FRAME_HEADER_BYTES + 17 + 64, beat, sizeof(beat));
    buf_reset(&b, 0);
    assert_int_equal(wire_msg_encode(&samples[21], &b), 0);
    assert_int_equal(b.len, FRAME_HEADER_BYTES + 24 + 64 + 32);
    assert_memory_equal(b.data + FRAME_HEADER_BYTES + 24 + 64, lease, sizeof(lease));
    buf_reset(&b, 0);
    assert_int_equal(wire_msg_encode(&samples[24], &b), 0);
    assert_int_equal(b.len, 8 + sizeof(vote));
    assert_memory_equal(b.data + 8, vote, sizeof(vote));
    buf_reset(&b, 0);
    assert_int_equal(wire_msg_encode(&samples[25], &b), 0);
    assert_int_equal(b.len, 8 + sizeof(ask));
    assert_memory_equal(b.data + 8, ask, sizeof(ask));
    buf_reset(&b, 0);
    assert_int_equal(wire_msg_encode(&samples[26], &b), 0);
    assert_int_equal(b.len, 8 + sizeof(answer));
    assert_memory_equal(b.data + 8, answer, sizeof(answer));
}

static void frame__the_largest_append(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry *entries = calloc(RAFT_APPEND_ENTRIES_MAX, sizeof(*entries));
    char *data = calloc(1, ENTRY_BYTES_MAX);
    struct raft_msg m = {.type = RAFT_MSG_APPEND, .term = 1, .entries = entries};
    struct raft_msg back;
    struct wire_frame frame;

    (void)state;
    assert_non_null(entries);
    assert_non_null(data);
    for (unsigned i = 0; i < RAFT_APPEND_ENTRIES_MAX; i++)
        entries[i] = (struct raft_entry){.id = {1, i + 1},
                                         .type = RAFT_ENTRY_COMMAND,
                                         .len = i == 7 ? ENTRY_BYTES_MAX : 128,
                                         .data = data};
    m.n_entries = RAFT_APPEND_ENTRIES_MAX;
    assert_int_equal(wire_msg_encode(&m, &b), 0);
    frame = cut_whole(&b);
    assert_int_equal(wire_msg_decode(&frame, FROM, TO, &arena, &back), 0);
    assert_same_msg(&m, &back);
    /* Payloads are borrowed from the frame, not copied. */
    assert_true((const unsigned char *)back.entries[0].data > b.data);
    assert_true((const unsigned char *)back.entries[0].data < b.data + b.len);
    free(entries);
    free(data);
}

/* The bytes are enough for 27 entries, n says more: refused before the arena (there is none) is
 * asked. */
static void frame__count_is_checked_before_memory(void **state)
{
    static const uint32_t counts[] = {28, 29, 600, RAFT_APPEND_ENTRIES_MAX, UINT32_MAX};
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;
    struct raft_msg m;

    (void)state;
    assert_int_equal(wire_msg_encode(&samples[7], &b), 0);
    for (unsigned i = 0; i < 28 * 21 - 1; i++)
        assert_int_equal(buf_add_u8(&b, 0), 0);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        put_u32(b.data + FRAME_HEADER_BYTES + 32, counts[i]);
        reseal(&b);
        frame = cut_whole(&b);
        assert_int_equal(wire_msg_decode(&frame, FROM, TO, NULL, &m), WIRE_FRAME_E_PAYLOAD);
    }
}

/* ---- handshake ---- */

static void assert_same_hello(const struct wire_hello *a, const struct wire_hello *b)
{
    assert_int_equal(a->version_highest, b->version_highest);
    assert_int_equal(a->version_lowest, b->version_lowest);
    assert_int_equal(a->channel, b->channel);
    assert_memory_equal(a->cluster_id, b->cluster_id, 16);
    assert_true(a->from == b->from && a->to == b->to);
    assert_true(a->incarnation == b->incarnation && a->link_nonce == b->link_nonce);
    assert_true(a->last_index == b->last_index && a->known_incarnation == b->known_incarnation);
    assert_int_equal(a->refused, b->refused);
    assert_int_equal(a->command_version, b->command_version);
}

static void frame__hello_comes_back(void **state)
{
    (void)state;
    for (unsigned refused = 0; refused < WIRE_REFUSALS_END; refused++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_hello h = hello;
        struct wire_hello back;
        struct wire_frame frame;

        h.refused = (uint8_t)refused;
        assert_int_equal(wire_hello_encode(&h, true, &b), 0);
        frame = cut_whole(&b);
        assert_int_equal(frame.type, WIRE_FRAME_HELLO_REPLY);
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_same_hello(&h, &back);
        /* Only an answer refuses. */
        frame.type = WIRE_FRAME_HELLO;
        assert_int_equal(wire_hello_decode(&frame, &back), refused == 0 ? 0 : WIRE_FRAME_E_PAYLOAD);
    }
}

static void frame__hello_fields(void **state)
{
    static const struct {
        size_t offset;
        unsigned bytes;
        uint64_t value;
        bool ok;
    } cases[] = {
        {0, 4, 0, false},                    /* magic */
        {0, 4, 0x44444953u, false},          /* magic */
        {4, 4, 0, true},                     /* the host refuses versions, with an answer */
        {4, 4, 2, true},                     /* " */
        {8, 1, 0, false},                    /* channel */
        {8, 1, WIRE_CHANNEL_PROBE, true},    /* " */
        {8, 1, 4, false},                    /* " */
        {9, 1, WIRE_REFUSALS_END - 1, true}, /* refused */
        {9, 1, WIRE_REFUSALS_END,
         true}, /* of a later version: refused, for a reason unknown here */
        {9, 1, 255, true},
        {26, 8, 0, false}, /* from: nobody */
        {26, 8, UINT64_MAX, true},
        {34, 8, 0, true},              /* to: the host compares it */
        {58, 8, RAFT_INDEX_MAX, true}, /* last_index */
        {58, 8, RAFT_INDEX_MAX + 1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_frame frame;
        struct wire_hello h;
        int r;

        assert_int_equal(wire_hello_encode(&hello, true, &b), 0);
        for (unsigned k = 0; k < cases[i].bytes; k++)
            b.data[FRAME_HEADER_BYTES + cases[i].offset + k] =
                (unsigned char)(cases[i].value >> (8 * k));
        reseal(&b);
        frame = cut_whole(&b);
        r = wire_hello_decode(&frame, &h);
        if (r != (cases[i].ok ? 0 : WIRE_FRAME_E_PAYLOAD))
            fail_msg("case %zu: got %d", i, r);
    }
}

/* Its first bytes keep their meaning, and what is behind them is of no interest: an old node must
 * be able to say WIRE_REFUSED_VERSION. */
static void frame__hello_of_a_later_version_may_be_longer(void **state)
{
    (void)state;
    for (uint16_t version = 0; version <= WIRE_VERSION_HIGHEST + 1; version++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_hello h = hello;
        struct wire_hello back;
        struct wire_frame frame;

        h.version_highest = version;
        h.version_lowest = version;
        assert_int_equal(wire_hello_encode(&h, false, &b), 0);
        assert_int_equal(buf_add_u8(&b, 7), 0);
        reseal(&b);
        frame = cut_whole(&b);
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_same_hello(&h, &back);
        for (size_t len = 0; len < 74; len++) {
            frame.payload_len = len;
            assert_int_equal(wire_hello_decode(&frame, &back), WIRE_FRAME_E_PAYLOAD);
        }
        /* Of a node that knows nothing of it. */
        frame.payload_len = 74;
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_int_equal(back.command_version, 0);
    }
}

/* WIRE-7: what a node says of itself stands at the end. An older one says nothing, a later one more,
 * and what makes no sense was not said: a hello must be understood to be refused in words. */
static void frame__hello_says_whose_it_is(void **state)
{
    static const struct {
        const char *tail;
        size_t len;
        const char *name;
        unsigned n_settings;
    } rows[] = {
        {"", 0, "", 0},
        {"\1a\0", 3, "a", 0},
        {"\1a\1\7\0\0\0\0\0\0\0", 11, "a", 1},
        {"\1a\1\7\0\0\0\0\0\0\0more", 15, "a", 1},
        {"\1a\1\7\0\0\0\0\0\0", 10, "", 0},
        {"\1a\2\7\0\0\0\0\0\0\0", 11, "", 0},
        {"\0\0", 2, "", 0},
        {"\1'\0", 3, "", 0},
        {"\3a\0b\0", 5, "", 0},
        {"\377a\0", 3, "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_hello back;
        struct wire_frame frame;

        assert_int_equal(wire_hello_encode(&hello, false, &b), 0);
        assert_int_equal(buf_add(&b, rows[i].tail, rows[i].len), 0);
        reseal(&b);
        frame = cut_whole(&b);
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_same_hello(&hello, &back);
        assert_string_equal(back.about.cluster_name, rows[i].name);
        assert_int_equal(back.about.n_settings, rows[i].n_settings);
        assert_true(rows[i].n_settings == 0 || back.about.settings[0] == 7);
    }
    for (unsigned n = 0; n <= WIRE_SETTINGS_MAX; n++) {
        cleanup_buf struct buf b = BUF_INIT;
        struct wire_hello h = hello;
        struct wire_hello back;
        struct wire_frame frame;

        memset(h.about.cluster_name, 'x', NODE_NAME_BYTES_MAX);
        h.about.n_settings = n;
        for (unsigned i = 0; i < n; i++)
            h.about.settings[i] = UINT64_MAX - i;
        assert_int_equal(wire_hello_encode(&h, true, &b), 0);
        assert_true(b.len <= PEER_HELLO_BYTES_MAX);
        frame = cut_whole(&b);
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_same_hello(&h, &back);
        assert_memory_equal(&back.about, &h.about, sizeof(h.about));
    }
}

/* What asks for a proof, and what proves, stands behind what the node says of itself. An older node
 * does not look at it; of one that ends too early nothing was said. */
static void frame__hello_may_ask_for_a_proof(void **state)
{
    (void)state;
    for (unsigned named = 0; named < 2; named++) {
        for (unsigned is_reply = 0; is_reply < 2; is_reply++) {
            const size_t about = named ? 2 + NODE_NAME_BYTES_MAX + 8 * WIRE_SETTINGS_MAX : 2;
            const size_t len = 75 + about + 16 + (is_reply ? 40 : 0);
            cleanup_buf struct buf b = BUF_INIT;
            struct wire_hello h = hello;
            struct wire_hello back;
            struct wire_frame frame;

            if (named) {
                memset(h.about.cluster_name, 'x', NODE_NAME_BYTES_MAX);
                h.about.n_settings = WIRE_SETTINGS_MAX;
            }
            h.challenged = true;
            memcpy(h.challenge, "0123456789abcdef", 16);
            h.proved = true; /* a hello is no proof */
            memset(h.proof, 0xee, sizeof(h.proof));
            h.removed_index = 0x123456;
            assert_int_equal(wire_hello_encode(&h, is_reply != 0, &b), 0);
            assert_int_equal(b.len, FRAME_HEADER_BYTES + len);
            assert_true(b.len <= PEER_HELLO_BYTES_MAX_V1);
            assert_memory_equal(b.data + FRAME_HEADER_BYTES + 75 + about, h.challenge, 16);
            frame = cut_whole(&b);
            for (size_t cut = 0; cut <= len; cut++) {
                frame.payload_len = len - cut;
                if (frame.payload_len < 74) {
                    assert_int_equal(wire_hello_decode(&frame, &back), WIRE_FRAME_E_PAYLOAD);
                    continue;
                }
                assert_int_equal(wire_hello_decode(&frame, &back), 0);
                assert_true(back.challenged == (cut <= (is_reply ? 40u : 0u)));
                assert_true(back.proved == (is_reply && cut == 0));
                assert_memory_equal(back.challenge, back.challenged ? h.challenge : hello.challenge,
                                    16);
                assert_memory_equal(back.proof, back.proved ? h.proof : hello.proof, 32);
                assert_true(back.removed_index == (back.proved ? 0x123456 : 0));
                assert_string_equal(back.about.cluster_name,
                                    frame.payload_len >= 75 + about ? h.about.cluster_name : "");
            }
        }
    }
}

/* More settings than this version has room for, and what cannot be a name, hide nothing that stands
 * behind them. An index that cannot be was not said. */
static void frame__a_challenge_is_found_behind_what_is_not_known(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_hello back;
    struct wire_frame frame;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        buf_reset(&b, 0);
        assert_int_equal(wire_hello_encode(&hello, true, &b), 0);
        assert_int_equal(buf_add(&b, i == 0 ? "\1a" : "\1'", 2), 0);
        assert_int_equal(buf_add_u8(&b, WIRE_SETTINGS_MAX + 3), 0);
        for (unsigned k = 0; k < WIRE_SETTINGS_MAX + 3; k++)
            assert_int_equal(buf_add_u64(&b, 1000 + k), 0);
        assert_int_equal(buf_add(&b, "0123456789abcdef", 16), 0);
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(buf_add_u64(&b, k), 0);
        assert_int_equal(buf_add_u64(&b, RAFT_INDEX_MAX + i), 0);
        reseal(&b);
        frame = cut_whole(&b);
        assert_int_equal(wire_hello_decode(&frame, &back), 0);
        assert_int_equal(back.about.n_settings, i == 0 ? WIRE_SETTINGS_MAX : 0);
        assert_true(back.challenged);
        assert_memory_equal(back.challenge, "0123456789abcdef", 16);
        assert_int_equal(back.proved, i == 0);
    }
}

static void frame__proof_comes_back(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char proof[WIRE_PROOF_BYTES];
    unsigned char back[WIRE_PROOF_BYTES];
    struct wire_frame frame;

    (void)state;
    for (unsigned i = 0; i < sizeof(proof); i++)
        proof[i] = (unsigned char)(i + 1);
    assert_int_equal(wire_proof_encode(proof, &b), 0);
    assert_int_equal(b.len, FRAME_HEADER_BYTES + 32);
    frame = cut_whole(&b);
    assert_int_equal(frame.type, 34);
    assert_int_equal(wire_proof_decode(&frame, back), 0);
    assert_memory_equal(back, proof, 32);
    frame.payload_len = 31;
    assert_int_equal(wire_proof_decode(&frame, back), WIRE_FRAME_E_PAYLOAD);
    frame.payload_len = 32;
    frame.type = WIRE_FRAME_HELLO_REPLY;
    assert_int_equal(wire_proof_decode(&frame, back), WIRE_FRAME_E_TYPE);
    /* WIRE-7 */
    assert_int_equal(buf_add_u8(&b, 7), 0);
    reseal(&b);
    frame = cut_whole(&b);
    assert_int_equal(wire_proof_decode(&frame, back), 0);
}

/* A node that speaks one version says it as the first nodes did: in four bytes. */
static void frame__hello_of_one_version_has_the_first_bytes(void **state)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_hello h = hello;
    struct wire_frame frame;

    (void)state;
    h.version_lowest = h.version_highest = 1;
    assert_int_equal(wire_hello_encode(&h, false, &b), 0);
    assert_int_equal(b.len, FRAME_HEADER_BYTES + 75);
    assert_memory_equal(b.data + FRAME_HEADER_BYTES, "RIDD\1\0\0\0", 8);
    buf_reset(&b, 0);
    h.version_highest = 0x203;
    h.version_lowest = 2;
    assert_int_equal(wire_hello_encode(&h, false, &b), 0);
    assert_memory_equal(b.data + FRAME_HEADER_BYTES, "RIDD\3\2\2\0", 8);
    frame = cut_whole(&b);
    assert_int_equal(wire_hello_decode(&frame, &h), 0);
    assert_int_equal(h.version_highest, 0x203);
    assert_int_equal(h.version_lowest, 2);
}

/* PEER-5, seen from both sides. */
static void frame__the_agreed_version_is_the_smaller_of_the_highest(void **state)
{
    static const struct {
        uint16_t a_lowest;
        uint16_t a_highest;
        uint16_t b_lowest;
        uint16_t b_highest;
        unsigned agreed;
    } rows[] = {
        {1, 1, 1, 1, 1},
        {1, 1, 1, 2, 1},
        {1, 3, 2, 5, 3},
        {2, 5, 3, 3, 3},
        {1, 2, 2, 3, 2},
        {1, 1, 2, 3, 0},
        {1, 2, 3, 3, 0},
        {1, 1, 0, 0, 0},
        {3, 1, 1, 3, 0}, /* nonsense */
        {1, UINT16_MAX, UINT16_MAX, UINT16_MAX, UINT16_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct wire_hello a = {.version_lowest = rows[i].a_lowest,
                                     .version_highest = rows[i].a_highest};
        const struct wire_hello b = {.version_lowest = rows[i].b_lowest,
                                     .version_highest = rows[i].b_highest};

        assert_int_equal(wire_version_agreed(&a, &b), rows[i].agreed);
        assert_int_equal(wire_version_agreed(&b, &a), rows[i].agreed);
    }
}

static void frame__texts(void **state)
{
    (void)state;
    for (int i = 0; i <= WIRE_FRAME_E_GROUP + 1; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(wire_frame_error_text(i), wire_frame_error_text(k));
    for (unsigned i = 0; i <= WIRE_REFUSALS_END; i++)
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(wire_refusal_text((enum wire_refusal)i, true),
                                    wire_refusal_text((enum wire_refusal)k, true));
            assert_string_not_equal(wire_refusal_text((enum wire_refusal)i, false),
                                    wire_refusal_text((enum wire_refusal)k, false));
        }
    /* Whose disk it was depends on who reads. */
    assert_non_null(strstr(wire_refusal_text(WIRE_REFUSED_INCARNATION, true), "its disk"));
    assert_non_null(strstr(wire_refusal_text(WIRE_REFUSED_INCARNATION, false), "our disk"));
    assert_non_null(strstr(wire_refusal_text(WIRE_REFUSED_OURSELVES, true), "our disk"));
    assert_non_null(strstr(wire_refusal_text(WIRE_REFUSED_OURSELVES, false), "its disk"));
}

/* ---- random bytes ---- */

/* With the checksum mended, so that the decoders behind it are reached; what they accept encodes to
 * the same bytes, as far as it is understood. */
static void frame__random_payloads(void **state)
{
    struct prng p;
    unsigned n_ok = 0;

    (void)state;
    prng_init(&p, 7);
    for (unsigned i = 0; i < 20000; i++) {
        cleanup_buf struct buf b = BUF_INIT;
        cleanup_buf struct buf again = BUF_INIT;
        struct wire_frame frame;
        struct raft_msg m;
        int r;

        assert_int_equal(wire_msg_encode(&samples[prng_below(&p, N_SAMPLES)], &b), 0);
        for (uint64_t n = prng_below(&p, 4); n > 0; n--) {
            size_t at = 8 + prng_below(&p, b.len - 8);

            b.data[at] =
                prng_below(&p, 2) ? (unsigned char)prng_next(&p) : (unsigned char)prng_below(&p, 3);
        }
        reseal(&b);
        if (wire_frame_cut(b.data, b.len, &frame, NULL) != 0)
            continue;
        r = wire_msg_decode(&frame, FROM, TO, &arena, &m);
        if (r == 0) {
            n_ok++;
            assert_int_equal(wire_msg_encode(&m, &again), 0);
            /* Fewer entries than there were, and the rest is a tail. */
            assert_true(again.len <= b.len);
            assert_memory_equal(again.data + FRAME_HEADER_BYTES, b.data + FRAME_HEADER_BYTES,
                                again.len - FRAME_HEADER_BYTES);
        }
        arena_reset(&arena);
    }
    assert_true(n_ok > 1000 && n_ok < 19000);
}

static void frame__random_bytes_are_refused(void **state)
{
    struct prng p;

    (void)state;
    prng_init(&p, 8);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned char data[64];
        struct wire_frame frame;
        size_t len = prng_below(&p, sizeof(data) + 1);

        for (size_t k = 0; k < len; k++)
            data[k] = (unsigned char)prng_next(&p);
        if (len >= 4 && prng_below(&p, 2)) /* a length that fits */
            put_u32(data, (uint32_t)len - 4);
        assert_int_not_equal(wire_frame_cut(data, len, &frame, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame__every_type_comes_back),
        cmocka_unit_test(frame__bytes_are_fixed),
        cmocka_unit_test(frame__one_after_the_other),
        cmocka_unit_test(frame__channels),
        cmocka_unit_test(frame__short_at_every_byte),
        cmocka_unit_test(frame__short_payload_is_refused_and_a_tail_ignored),
        cmocka_unit_test(frame__a_note_says_that_it_is_one),
        cmocka_unit_test(frame__every_flipped_bit_is_noticed),
        cmocka_unit_test(frame__lengths),
        cmocka_unit_test(frame__types_and_flags),
        cmocka_unit_test(frame__another_group_is_refused_in_words),
        cmocka_unit_test(frame__a_handshake_is_no_message),
        cmocka_unit_test(frame__bounds_of_every_field),
        cmocka_unit_test(frame__the_largest_part),
        cmocka_unit_test(frame__bytes_of_parts_are_fixed),
        cmocka_unit_test(frame__bytes_of_beats_and_asks_are_fixed),
        cmocka_unit_test(frame__the_largest_append),
        cmocka_unit_test(frame__count_is_checked_before_memory),
        cmocka_unit_test(frame__hello_comes_back),
        cmocka_unit_test(frame__hello_fields),
        cmocka_unit_test(frame__hello_of_a_later_version_may_be_longer),
        cmocka_unit_test(frame__hello_says_whose_it_is),
        cmocka_unit_test(frame__hello_may_ask_for_a_proof),
        cmocka_unit_test(frame__a_challenge_is_found_behind_what_is_not_known),
        cmocka_unit_test(frame__proof_comes_back),
        cmocka_unit_test(frame__hello_of_one_version_has_the_first_bytes),
        cmocka_unit_test(frame__the_agreed_version_is_the_smaller_of_the_highest),
        cmocka_unit_test(frame__texts),
        cmocka_unit_test(frame__random_payloads),
        cmocka_unit_test(frame__random_bytes_are_refused),
    };

    return cmocka_run_group_tests_name("wire-frame", tests, setup, teardown);
}
