/* Peer frames, the handshake and commands: any bytes are refused or have exactly one meaning, which
 * encodes to the same bytes, but for a tail of a later version. The first byte of an input chooses
 * the decoder. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "fuzz/fuzz.h"
#include "wire/command.h"
#include "wire/join.h"

const char fuzz_name[] = "frame";
const unsigned fuzz_runs = 8000;

enum { MODE_STREAM, MODE_PAYLOAD, MODE_COMMAND, N_MODES };

static void check_message(const struct wire_frame *frame, struct arena *arena, struct buf *again)
{
    struct raft_msg m;
    int r = wire_msg_decode(frame, 1, 2, arena, &m);

    rid_assert(r == 0 || r == WIRE_FRAME_E_TYPE || r == WIRE_FRAME_E_PAYLOAD ||
               r == WIRE_FRAME_E_GROUP);
    if (r != 0)
        return;
    rid_assert(m.group == WIRE_GROUP);
    rid_assert(m.from == 1);
    rid_assert(m.to == 2);
    rid_assert(wire_msg_encode(&m, again) == 0);
}

/* What is not known or makes no sense is left out when it is written again, and then stands. */
static void check_hello(const struct wire_frame *frame)
{
    const bool is_reply = frame->type == WIRE_FRAME_HELLO_REPLY;
    cleanup_buf struct buf once = BUF_INIT;
    cleanup_buf struct buf twice = BUF_INIT;
    struct wire_frame again;
    struct wire_hello h;
    int r = wire_hello_decode(frame, &h);

    rid_assert(r == 0 || r == WIRE_FRAME_E_TYPE || r == WIRE_FRAME_E_PAYLOAD);
    if (r != 0)
        return;
    rid_assert(!h.proved || (h.challenged && is_reply));
    rid_assert(wire_hello_encode(&h, is_reply, &once) == 0);
    rid_assert(once.len <= PEER_HELLO_BYTES_MAX_V1);
    rid_assert(wire_frame_cut(once.data, once.len, &again, NULL) == 0);
    /* But for a range of versions, which has a shorter form. */
    rid_assert(memcmp(again.payload + 8, frame->payload + 8, 66) == 0);
    rid_assert(wire_hello_decode(&again, &h) == 0);
    rid_assert(wire_hello_encode(&h, is_reply, &twice) == 0);
    rid_assert(once.len == twice.len);
    rid_assert(memcmp(once.data, twice.data, once.len) == 0);
}

static void check_proof(const struct wire_frame *frame, struct buf *again)
{
    unsigned char proof[WIRE_PROOF_BYTES];
    int r = wire_proof_decode(frame, proof);

    rid_assert(r == 0 || r == WIRE_FRAME_E_TYPE || r == WIRE_FRAME_E_PAYLOAD);
    if (r == 0)
        rid_assert(wire_proof_encode(proof, again) == 0);
}

/* What of a reply is not printable is written otherwise, and so refused when it comes: it encodes
 * as it came, too. */
static void check_join(const struct wire_frame *frame, struct buf *again)
{
    struct wire_join_reply reply;
    struct wire_join join;
    int r = wire_join_decode(frame, &join);

    rid_assert(r == 0 || r == WIRE_FRAME_E_TYPE || r == WIRE_FRAME_E_PAYLOAD);
    if (r == 0) {
        rid_assert(join.config_len <= JOIN_CONFIG_BYTES_MAX);
        rid_assert(wire_join_encode(&join, again) == 0);
    }
    r = wire_join_reply_decode(frame, &reply);
    rid_assert(r == 0 || r == WIRE_FRAME_E_TYPE || r == WIRE_FRAME_E_PAYLOAD);
    if (r == 0)
        rid_assert(wire_join_reply_encode(&reply, again) == 0);
}

static void check_frame(const struct wire_frame *frame)
{
    cleanup_buf struct buf again = BUF_INIT;
    struct arena arena;

    arena_init(&arena, mem_libc);
    check_message(frame, &arena, &again);
    check_hello(frame);
    check_proof(frame, &again);
    check_join(frame, &again);
    arena_done(&arena);
    if (again.len > 0) {
        size_t known = again.len - FRAME_HEADER_BYTES;

        rid_assert(known <= frame->payload_len);
        rid_assert(memcmp(again.data + FRAME_HEADER_BYTES, frame->payload, known) == 0);
    }
}

static void check_stream(const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (;;) {
        struct wire_frame frame;
        size_t need = 0;
        int r = wire_frame_cut(data + at, size - at, &frame, &need);

        if (r == WIRE_FRAME_E_SHORT)
            rid_assert(need == 0 || need > size - at);
        if (r != 0)
            return;
        rid_assert(frame.total_len == need);
        rid_assert(frame.total_len <= size - at);
        check_frame(&frame);
        at += frame.total_len;
    }
}

static void check_command(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf again = BUF_INIT;
    struct command c;

    if (command_decode(data, size, &c) != 0)
        return;
    rid_assert(command_encode(&c, &again) == 0);
    rid_assert(again.len == size);
    rid_assert(memcmp(again.data, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_frame frame;

    if (size < 2)
        return 0;
    switch (data[0] % N_MODES) {
    case MODE_STREAM:
        check_stream(data + 1, size - 1);
        break;
    case MODE_PAYLOAD: /* past the checksum, which no mutation survives */
        frame = (struct wire_frame){.type = data[1], .payload = data + 2, .payload_len = size - 2};
        check_frame(&frame);
        break;
    default:
        check_command(data + 1, size - 1);
        break;
    }
    return 0;
}

static const struct raft_entry entries[] = {
    {.id = {4, 8}, .type = RAFT_ENTRY_NOOP},
    {.id = {4, 9}, .type = RAFT_ENTRY_COMMAND, .len = 5, .data = "hello"},
    {.id = {5, 10}, .type = RAFT_ENTRY_READ},
};

static const struct raft_snapshot_part part = {
    .transfer = 0x1122334455667788u, .offset = 65536, .bytes = 65541, .len = 5, .data = "hello"};
static const struct raft_snapshot_part question = {.transfer = 3, .offset = 7, .bytes = 7};
static const struct raft_snapshot_part answer = {
    .transfer = 3, .offset = 6, .bytes = 7, .status = RAFT_SNAPSHOT_NO_ROOM};

static const struct raft_msg msgs[] = {
    {.type = RAFT_MSG_PRE_VOTE, .term = 6, .prev = {5, 17}},
    {.type = RAFT_MSG_PRE_VOTE_RESP, .term = 6},
    {.type = RAFT_MSG_VOTE, .term = 6, .prev = {5, 17}, .transfer = true},
    {.type = RAFT_MSG_VOTE_RESP, .term = 6, .reject = true},
    {.type = RAFT_MSG_APPEND, .term = 5, .prev = {3, 7}, .n_entries = 3, .entries = entries},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .reject = true, .index = 9, .hint = {2, 3}},
    {.type = RAFT_MSG_HEARTBEAT, .term = 5, .round = 4, .leader_commit = 10},
    {.type = RAFT_MSG_HEARTBEAT_RESP, .term = 5, .round = 77},
    {.type = RAFT_MSG_HEARTBEAT,
     .term = 5,
     .round = 4,
     .leader_commit = 10,
     .note = {.flags = RAFT_NOTE_SAID | RAFT_NOTE_PARKED,
              .digest_version = 1,
              .check = 3,
              .digests = {{1024, 5, 6}, {1027, 7, 8}}}},
    {.type = RAFT_MSG_HEARTBEAT_RESP,
     .term = 5,
     .round = 77,
     .note = {.flags = RAFT_NOTE_SAID | RAFT_NOTE_UNFIT}},
    {.type = RAFT_MSG_TIMEOUT_NOW, .term = 2},
    {.type = RAFT_MSG_SNAPSHOT, .term = 5, .part = &part},
    {.type = RAFT_MSG_SNAPSHOT, .term = 5, .part = &question},
    {.type = RAFT_MSG_SNAPSHOT_RESP, .term = 5, .part = &answer},
    {.type = RAFT_MSG_SNAPSHOT_RESP, .term = 6, .reject = true},
    {.type = RAFT_MSG_HEARTBEAT,
     .term = 5,
     .round = 4,
     .leader_commit = 10,
     .note = {.flags = RAFT_NOTE_SAID},
     .beat = {.said = true,
              .lease_us = 300000,
              .stamp = {0x1122334455667788u, 7654321},
              .proved_index = 9}},
    {.type = RAFT_MSG_HEARTBEAT_RESP,
     .term = 5,
     .round = 77,
     .note = {.flags = RAFT_NOTE_SAID},
     .beat = {.said = true,
              .leased = true,
              .mono_us = 1234567,
              .stamp = {0x1122334455667788u, 7654321}}},
    {.type = RAFT_MSG_VOTE_RESP, .term = 6, .left_us = 303000},
    {.type = RAFT_MSG_READ_ASK, .term = 6, .ask = {0x1122334455667788u, 3}},
    {.type = RAFT_MSG_READ_ANSWER, .term = 6, .ask = {0x1122334455667788u, 3}, .index = 17},
    {.type = RAFT_MSG_READ_ANSWER, .term = 7, .reject = true, .ask = {5, 3}, .leader = 2},
    {.type = RAFT_MSG_APPEND_RESP, .term = 5, .index = 9, .disk_us = 310000},
};
#define N_MSGS ((unsigned)(sizeof(msgs) / sizeof(msgs[0])))

static const struct command commands[] = {
    {.op = COMMAND_WRITE, .key = {"sx", 2}, .value = {"1", 1}},
    {.op = COMMAND_CAS,
     .flags = 1,
     .client = 7,
     .seq = 8,
     .key = {"sx", 2},
     .value = {"5", 1},
     .from = {"4.5", 3}},
    {.op = COMMAND_DELETE, .key = {"i12345678", 9}},
    {.op = COMMAND_OPEN_SESSION},
    {.op = COMMAND_WRITE,
     .client = 260,
     .seq = 9,
     .first = 7,
     .key = {"sx", 2},
     .value = {"true", 4}},
};
#define N_COMMANDS ((unsigned)(sizeof(commands) / sizeof(commands[0])))

/* The frame behind the mode; as a payload, header and length are left out. */
static void finish(struct buf *buf, size_t start, bool payload_only)
{
    unsigned char *p = buf->data + start;

    if (!payload_only)
        return;
    p[0] = MODE_PAYLOAD;
    p[1] = p[1 + 8];
    memmove(p + 2, p + 1 + FRAME_HEADER_BYTES, buf->len - start - 1 - FRAME_HEADER_BYTES);
    buf->len -= FRAME_HEADER_BYTES - 1;
}

int fuzz_seed(unsigned i, struct buf *buf)
{
    static const struct wire_hello hello = {
        .version_highest = 1, .version_lowest = 1, .channel = WIRE_CHANNEL_LOG, .from = 1, .to = 2};
    static const struct wire_join join = {.version_highest = 2,
                                          .version_lowest = 1,
                                          .founding_id = {1},
                                          .cluster_id = {2},
                                          .from = 3,
                                          .cluster_name = "demo",
                                          .node_name = "n4",
                                          .config = (const unsigned char *)"CONFIG",
                                          .config_len = 6};
    static const struct wire_join_reply join_reply = {
        .version_highest = 2, .version_lowest = 1, .incarnation = 9, .text = "waiting"};
    static const struct wire_hello asking = {.version_highest = 2,
                                             .version_lowest = 1,
                                             .channel = WIRE_CHANNEL_LOG,
                                             .from = 1,
                                             .to = 2,
                                             .about = {"name", 2, {5, 6}},
                                             .challenged = true,
                                             .challenge = "0123456789abcde",
                                             .proved = true,
                                             .removed_index = 77};
    size_t start = buf->len;

    if (buf_add_u8(buf, MODE_STREAM) != 0)
        abort();
    if (i < 2 * N_MSGS) {
        rid_assert(wire_msg_encode(&msgs[i / 2], buf) == 0);
        finish(buf, start, i % 2);
        return 0;
    }
    i -= 2 * N_MSGS;
    if (i < 2) {
        rid_assert(wire_hello_encode(&hello, i == 1, buf) == 0);
        finish(buf, start, true);
        return 0;
    }
    i -= 2;
    if (i < 4) {
        rid_assert(i / 2 == 0 ? wire_join_encode(&join, buf) == 0
                              : wire_join_reply_encode(&join_reply, buf) == 0);
        finish(buf, start, i % 2);
        return 0;
    }
    i -= 4;
    if (i < 2) {
        rid_assert(wire_hello_encode(&asking, i == 1, buf) == 0);
        finish(buf, start, true);
        return 0;
    }
    i -= 2;
    if (i < 2) {
        rid_assert(wire_proof_encode(asking.proof, buf) == 0);
        finish(buf, start, i == 1);
        return 0;
    }
    i -= 2;
    if (i < N_COMMANDS) {
        buf->data[start] = MODE_COMMAND;
        rid_assert(command_encode(&commands[i], buf) == 0);
        return 0;
    }
    if (i == N_COMMANDS) { /* several frames in a row */
        for (unsigned k = 0; k < N_MSGS; k++)
            rid_assert(wire_msg_encode(&msgs[k], buf) == 0);
        return 0;
    }
    buf->len = start;
    return 1;
}
