/* One cursor reads, one pointer writes; what a message may say is judged in one place for both
 * directions, so that a frame that we would refuse is never sent, and what we know of one that we
 * accept can be encoded again byte for byte.
 *
 * Payloads, little endian:
 *
 *   PRE_VOTE        u64 term, u64 prev term, u64 prev index
 *   VOTE            u64 term, u64 prev term, u64 prev index, u8 transfer
 *   PRE_VOTE_RESP   u64 term, u8 reject
 *   VOTE_RESP       u64 term, u8 reject, then perhaps u64 left_us
 *   APPEND          u64 term, u64 prev term, u64 prev index, u64 leader_commit, u32 n,
 *                   then n times: u64 term, u64 index, u8 type, u32 len, len bytes of data
 *   APPEND_RESP     u64 term, u8 reject, u64 index, u64 hint term, u64 hint index, then perhaps
 *                   u64 disk_us
 *   HEARTBEAT       u64 term, u64 round, u64 leader_commit, then perhaps a note, then perhaps
 *                   a beat: u64 lease_us, u64 nonce, u64 hold_us, u64 proved_index
 *   HEARTBEAT_RESP  u64 term, u64 round, u8 reject, then perhaps a note, then perhaps a beat:
 *                   u8 leased, u64 mono_us, u64 nonce, u64 hold_us
 *     note          u32 flags, u32 version of the digests, u64 check,
 *                   then twice: u64 index, u64 digest high, u64 digest low
 *   TIMEOUT_NOW     u64 term
 *   SNAPSHOT        u64 term, u64 transfer, u64 offset, u64 bytes of the whole, u32 len, data
 *   SNAPSHOT_RESP   u64 term, u8 reject, u64 transfer, u64 offset, u64 bytes of the whole,
 *                   u8 status
 *   READ_ASK        u64 term, u64 nonce, u64 number
 *   READ_ANSWER     u64 term, u8 reject, u64 nonce, u64 number, u64 index, u64 leader
 *
 * The index of an entry in an APPEND is redundant: a sender that skips an entry is caught here.
 *
 * All of these bytes must be there, but for what an earlier version does not write: the note, the
 * beat behind it, left_us and disk_us, each of which is there whole, or nothing is. Behind them a
 * later version may have put more: they are not looked at (WIRE-7), so a field that may not be
 * overlooked needs a new version (frame.h), not only a place at the end. docs/PEERS.md is the whole
 * of it. */
#include "wire/frame.h"

#include <errno.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "wire/frame_int.h"
#include "wire/join.h"

#include "base/banned.h"

#define LENGTH_BYTES             4u
#define LENGTH_MIN               (FRAME_HEADER_BYTES - LENGTH_BYTES)
#define CRC_END                  8u /* the checksum covers all from here */
#define ENTRY_WIRE_BYTES         21u
#define APPEND_WIRE_BYTES        36u
#define NOTE_WIRE_BYTES          64u
#define BEAT_WIRE_BYTES          32u
#define BEAT_RESP_WIRE_BYTES     25u
#define LEFT_WIRE_BYTES          8u
#define DISK_WIRE_BYTES          8u
#define READ_ASK_WIRE_BYTES      24u
#define READ_ANSWER_WIRE_BYTES   41u
#define SNAPSHOT_WIRE_BYTES      36u
#define SNAPSHOT_RESP_WIRE_BYTES 34u

static_assert(RAFT_APPEND_ENTRIES_MAX * ENTRY_WIRE_BYTES + APPEND_WIRE_BYTES + FRAME_HEADER_BYTES +
                      RAFT_APPEND_BYTES_MAX + ENTRY_BYTES_MAX <=
                  FRAME_BYTES_MAX,
              "a full append with all its headers must fit a frame");

const char *wire_frame_error_text(int error)
{
    switch (error) {
    case 0:
        return "no error";
        WIRE_FRAME_ERRORS(OUTCOME_CASE)
    default:
        return "unknown frame error";
    }
}

/* ---- cutting ---- */

static bool type_known(uint8_t type)
{
    return (type >= RAFT_MSG_PRE_VOTE && type <= RAFT_MSG_TYPE_MAX) || type == WIRE_FRAME_HELLO ||
           type == WIRE_FRAME_HELLO_REPLY || type == WIRE_FRAME_HELLO_PROOF ||
           type == WIRE_FRAME_JOIN || type == WIRE_FRAME_JOIN_REPLY;
}

/* The length before memory is taken for it, the checksum before anything is believed (WIRE-1). */
int wire_frame_cut(const void *data, size_t len, struct wire_frame *ret, size_t *ret_need)
{
    const unsigned char *p = data;
    size_t length;

    if (ret_need != NULL)
        *ret_need = 0;
    if (len < LENGTH_BYTES)
        return WIRE_FRAME_E_SHORT;
    length = get_u32(p);
    if (length < LENGTH_MIN || length > FRAME_BYTES_MAX)
        return WIRE_FRAME_E_LENGTH;
    if (ret_need != NULL)
        *ret_need = LENGTH_BYTES + length;
    if (len - LENGTH_BYTES < length)
        return WIRE_FRAME_E_SHORT;
    if (crc32c(0, p + CRC_END, length + LENGTH_BYTES - CRC_END) != get_u32(p + LENGTH_BYTES))
        return WIRE_FRAME_E_CRC;
    if (!type_known(p[CRC_END]) || p[CRC_END + 1] != 0)
        return WIRE_FRAME_E_TYPE;
    /* The handshake is between nodes, not between members of a group. */
    if (p[CRC_END] >= WIRE_FRAME_HELLO && get_u16(p + CRC_END + 2) != WIRE_GROUP)
        return WIRE_FRAME_E_GROUP;
    ret->type = p[CRC_END];
    ret->group = get_u16(p + CRC_END + 2);
    ret->payload = p + FRAME_HEADER_BYTES;
    ret->payload_len = length - LENGTH_MIN;
    ret->total_len = LENGTH_BYTES + length;
    return 0;
}

int wire_frame_open(struct buf *buf, size_t payload_len, unsigned char **ret_p)
{
    unsigned char *p;

    rid_assert(payload_len <= FRAME_BYTES_MAX - LENGTH_MIN);
    p = buf_reserve(buf, FRAME_HEADER_BYTES + payload_len);
    if (p == NULL)
        return err_origin(-ENOMEM);
    *ret_p = p + FRAME_HEADER_BYTES;
    return 0;
}

void wire_frame_close(struct buf *buf, uint8_t type, uint16_t group, const unsigned char *end)
{
    unsigned char *p = buf->data + buf->len;
    size_t total = (size_t)(end - p);

    put_u32(p, (uint32_t)(total - LENGTH_BYTES));
    p[CRC_END] = type;
    p[CRC_END + 1] = 0;
    put_u16(p + CRC_END + 2, group);
    put_u32(p + LENGTH_BYTES, crc32c(0, p + CRC_END, total - CRC_END));
    buf->len += total;
}

/* ---- what a message may say (WIRE-2) ---- */

/* Index 0 is the place before the first entry and has term 0; nothing else has. */
static bool id_ok(struct raft_entry_id id)
{
    return id.term <= RAFT_INDEX_MAX && id.index <= RAFT_INDEX_MAX &&
           (id.term == 0) == (id.index == 0);
}

/* Entries follow each other and the entry before them without a gap (LOG-4). */
static bool entries_ok(const struct raft_msg *m)
{
    struct raft_entry_id before = m->prev;

    if (m->n_entries > RAFT_APPEND_ENTRIES_MAX)
        return false;
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->type < RAFT_ENTRY_NOOP || e->type > RAFT_ENTRY_READ || e->len > ENTRY_BYTES_MAX)
            return false;
        if (e->id.index != before.index + 1 || e->id.index > RAFT_INDEX_MAX)
            return false;
        /* Terms never fall along a log, and a leader has no entry of a later term than its own. */
        if (e->id.term == 0 || e->id.term < before.term || e->id.term > m->term)
            return false;
        before = e->id;
    }
    return true;
}

/* Where nothing is said, nothing is there: such a message has one encoding, that of the version
 * before. */
static bool note_ok(const struct raft_note *note)
{
    static const struct raft_note none;

    if ((note->flags & RAFT_NOTE_SAID) == 0)
        return memcmp(note, &none, sizeof(none)) == 0;
    return note->digests[0].index <= RAFT_INDEX_MAX && note->digests[1].index <= RAFT_INDEX_MAX;
}

static bool stamp_ok(const struct raft_stamp *stamp)
{
    return stamp->hold_us <= RAFT_INDEX_MAX && (stamp->nonce != 0 || stamp->hold_us == 0);
}

/* A beat stands behind a note, so there is none without one; and a node that does not say one says
 * nothing in it. No lease is longer than the longest, and clocks count from a boot, not from the
 * beginning of time (WIRE-2). */
static bool beat_ok(const struct raft_msg *m)
{
    const struct raft_beat *b = &m->beat;

    if (!b->said)
        return !b->leased && b->stamp.nonce == 0 &&
               (b->lease_us | b->mono_us | b->stamp.hold_us | b->proved_index) == 0;
    if ((m->note.flags & RAFT_NOTE_SAID) == 0 || !stamp_ok(&b->stamp))
        return false;
    if (m->type == RAFT_MSG_HEARTBEAT)
        return !b->leased && b->mono_us == 0 && b->lease_us <= RAFT_LEASE_US_MAX &&
               b->proved_index <= RAFT_INDEX_MAX && (b->stamp.nonce != 0 || b->proved_index == 0);
    return b->lease_us == 0 && b->proved_index == 0 && b->mono_us <= RAFT_INDEX_MAX;
}

/* An answer that refuses gives no index, and one that does not needs to name nobody. */
static bool ask_ok(const struct raft_msg *m)
{
    if (m->ask.nonce == 0 || m->ask.number == 0)
        return false;
    if (m->type == RAFT_MSG_READ_ASK)
        return m->term > 0;
    return m->reject ? m->index == 0
                     : m->term > 0 && m->index > 0 && m->index <= RAFT_INDEX_MAX && m->leader == 0;
}

/* Whether numbers can be what they are said to be: nonsense is refused here, so that nobody further
 * in asserts it (WIRE-2). */
static bool part_ok(const struct raft_msg *m)
{
    const struct raft_snapshot_part *p = m->part;

    if (m->reject)
        return m->type == RAFT_MSG_SNAPSHOT_RESP && p == NULL;
    if (p == NULL || p->offset > p->bytes || p->len > p->bytes - p->offset)
        return false;
    return m->type == RAFT_MSG_SNAPSHOT ? p->len <= SNAP_PART_BYTES_MAX && p->status == 0
                                        : p->len == 0 && p->status < RAFT_SNAPSHOT_STATUSES;
}

static bool msg_ok(const struct raft_msg *m)
{
    if (m->term > RAFT_INDEX_MAX)
        return false;
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        return m->term > 0 && id_ok(m->prev) && m->prev.term <= m->term;
    case RAFT_MSG_APPEND:
        return m->term > 0 && id_ok(m->prev) && m->prev.term <= m->term &&
               m->leader_commit <= RAFT_INDEX_MAX && entries_ok(m);
    case RAFT_MSG_APPEND_RESP:
        /* hint.term is 0 when the log was too short, so id_ok() does not hold for it. */
        return m->index <= RAFT_INDEX_MAX && m->hint.index <= RAFT_INDEX_MAX &&
               m->hint.term <= RAFT_INDEX_MAX && m->disk_us <= RAFT_INDEX_MAX;
    case RAFT_MSG_HEARTBEAT:
        return m->term > 0 && m->leader_commit <= RAFT_INDEX_MAX && note_ok(&m->note) && beat_ok(m);
    case RAFT_MSG_HEARTBEAT_RESP:
        /* A node that never voted may answer with term 0. */
        return note_ok(&m->note) && beat_ok(m);
    case RAFT_MSG_TIMEOUT_NOW:
        return m->term > 0;
    case RAFT_MSG_SNAPSHOT:
        return m->term > 0 && part_ok(m);
    case RAFT_MSG_SNAPSHOT_RESP:
        return part_ok(m);
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return ask_ok(m);
    case RAFT_MSG_VOTE_RESP:
        return m->left_us <= RAFT_LEFT_US_MAX;
    case RAFT_MSG_PRE_VOTE_RESP:
        return true; /* the same */
    }
    return false;
}

/* Votes and heartbeats have a connection of their own, or they would come too late behind data
 * (PEER-3). */
enum wire_channel wire_msg_channel(enum raft_msg_type type)
{
    const bool is_data = type == RAFT_MSG_APPEND || type == RAFT_MSG_APPEND_RESP ||
                         type == RAFT_MSG_SNAPSHOT || type == RAFT_MSG_SNAPSHOT_RESP;

    return is_data ? WIRE_CHANNEL_LOG : WIRE_CHANNEL_CONTROL;
}

/* ---- messages ---- */

static size_t note_bytes(const struct raft_note *note)
{
    return (note->flags & RAFT_NOTE_SAID) != 0 ? NOTE_WIRE_BYTES : 0;
}

static size_t beat_bytes(const struct raft_msg *m)
{
    if (!m->beat.said)
        return 0;
    return m->type == RAFT_MSG_HEARTBEAT ? BEAT_WIRE_BYTES : BEAT_RESP_WIRE_BYTES;
}

static size_t payload_bytes(const struct raft_msg *m)
{
    size_t n = APPEND_WIRE_BYTES;

    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        return 24;
    case RAFT_MSG_HEARTBEAT:
        return 24 + note_bytes(&m->note) + beat_bytes(m);
    case RAFT_MSG_VOTE:
        return 25;
    case RAFT_MSG_PRE_VOTE_RESP:
        return 9;
    case RAFT_MSG_VOTE_RESP:
        return 9 + (m->left_us != 0 ? LEFT_WIRE_BYTES : 0);
    case RAFT_MSG_APPEND:
        for (unsigned i = 0; i < m->n_entries; i++)
            n += ENTRY_WIRE_BYTES + m->entries[i].len;
        return n;
    case RAFT_MSG_APPEND_RESP:
        return 33 + (m->disk_us != 0 ? DISK_WIRE_BYTES : 0);
    case RAFT_MSG_HEARTBEAT_RESP:
        return 17 + note_bytes(&m->note) + beat_bytes(m);
    case RAFT_MSG_TIMEOUT_NOW:
        return 8;
    case RAFT_MSG_SNAPSHOT:
        return SNAPSHOT_WIRE_BYTES + m->part->len;
    case RAFT_MSG_SNAPSHOT_RESP:
        return SNAPSHOT_RESP_WIRE_BYTES;
    case RAFT_MSG_READ_ASK:
        return READ_ASK_WIRE_BYTES;
    case RAFT_MSG_READ_ANSWER:
        return READ_ANSWER_WIRE_BYTES;
    }
    return 0;
}

static unsigned char *write_append(unsigned char *p, const struct raft_msg *m)
{
    p = write_id(p, m->prev);
    p = write_u64(p, m->leader_commit);
    p = write_u32(p, m->n_entries);
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct raft_entry *e = &m->entries[i];

        p = write_id(p, e->id);
        p = write_u8(p, (uint8_t)e->type);
        p = write_u32(p, e->len);
        if (e->len > 0)
            memcpy(p, e->data, e->len);
        p += e->len;
    }
    return p;
}

static unsigned char *write_note(unsigned char *p, const struct raft_note *note)
{
    if ((note->flags & RAFT_NOTE_SAID) == 0)
        return p;
    p = write_u32(p, note->flags);
    p = write_u32(p, note->digest_version);
    p = write_u64(p, note->check);
    for (unsigned i = 0; i < 2; i++) {
        p = write_u64(p, note->digests[i].index);
        p = write_u64(p, note->digests[i].high);
        p = write_u64(p, note->digests[i].low);
    }
    return p;
}

static unsigned char *write_beat(unsigned char *p, const struct raft_msg *m)
{
    const struct raft_beat *b = &m->beat;
    const bool is_answer = m->type == RAFT_MSG_HEARTBEAT_RESP;

    if (!b->said)
        return p;
    if (is_answer)
        p = write_u64(write_u8(p, b->leased), b->mono_us);
    else
        p = write_u64(p, b->lease_us);
    p = write_u64(write_u64(p, b->stamp.nonce), b->stamp.hold_us);
    return is_answer ? p : write_u64(p, b->proved_index);
}

static unsigned char *write_read_answer(unsigned char *p, const struct raft_msg *m)
{
    p = write_u8(p, m->reject);
    p = write_u64(write_u64(p, m->ask.nonce), m->ask.number);
    return write_u64(write_u64(p, m->index), m->leader);
}

/* Of a refusal. */
static const struct raft_snapshot_part no_part;

static unsigned char *write_part(unsigned char *p, const struct raft_snapshot_part *part)
{
    p = write_u64(p, part->transfer);
    p = write_u64(p, part->offset);
    return write_u64(p, part->bytes);
}

static unsigned char *write_snapshot(unsigned char *p, const struct raft_snapshot_part *part)
{
    p = write_u32(write_part(p, part), part->len);
    if (part->len > 0)
        memcpy(p, part->data, part->len);
    return p + part->len;
}

static unsigned char *write_payload(unsigned char *p, const struct raft_msg *m)
{
    p = write_u64(p, m->term);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        return write_id(p, m->prev);
    case RAFT_MSG_VOTE:
        return write_u8(write_id(p, m->prev), m->transfer);
    case RAFT_MSG_PRE_VOTE_RESP:
        return write_u8(p, m->reject);
    case RAFT_MSG_VOTE_RESP:
        p = write_u8(p, m->reject);
        return m->left_us != 0 ? write_u64(p, m->left_us) : p;
    case RAFT_MSG_APPEND:
        return write_append(p, m);
    case RAFT_MSG_APPEND_RESP:
        p = write_u8(p, m->reject);
        p = write_u64(p, m->index);
        p = write_id(p, m->hint);
        return m->disk_us != 0 ? write_u64(p, m->disk_us) : p;
    case RAFT_MSG_HEARTBEAT:
        p = write_u64(p, m->round);
        return write_beat(write_note(write_u64(p, m->leader_commit), &m->note), m);
    case RAFT_MSG_HEARTBEAT_RESP:
        p = write_u64(p, m->round);
        return write_beat(write_note(write_u8(p, m->reject), &m->note), m);
    case RAFT_MSG_TIMEOUT_NOW:
        return p;
    case RAFT_MSG_SNAPSHOT:
        return write_snapshot(p, m->part);
    case RAFT_MSG_SNAPSHOT_RESP:
        p = write_u8(p, m->reject);
        return write_u8(write_part(p, m->reject ? &no_part : m->part),
                        m->reject ? 0 : m->part->status);
    case RAFT_MSG_READ_ASK:
        return write_u64(write_u64(p, m->ask.nonce), m->ask.number);
    case RAFT_MSG_READ_ANSWER:
        return write_read_answer(p, m);
    }
    return p;
}

int wire_msg_encode(const struct raft_msg *m, struct buf *buf)
{
    unsigned char *p = NULL;
    size_t n;
    int rc;

    rid_assert(msg_ok(m));
    n = payload_bytes(m);
    rc = wire_frame_open(buf, n, &p);
    if (rc != 0)
        return err_trace(rc);
    wire_frame_close(buf, (uint8_t)m->type, m->group, write_payload(p, m));
    return 0;
}

static int take_entries(struct cursor *c, struct arena *arena, struct raft_msg *m)
{
    uint32_t n = take_u32(c);
    struct raft_entry *entries;

    /* Before anything is allocated: the count is bounded, and its headers alone are there. */
    if (!c->ok || n > RAFT_APPEND_ENTRIES_MAX || n > c->left / ENTRY_WIRE_BYTES)
        return WIRE_FRAME_E_PAYLOAD;
    if (n == 0)
        return 0;
    entries = arena_alloc(arena, n * sizeof(*entries));
    if (entries == NULL)
        return err_origin(-ENOMEM);
    for (uint32_t i = 0; i < n; i++) {
        struct raft_entry *e = &entries[i];

        e->id = take_id(c);
        e->type = (enum raft_entry_type)take_u8(c);
        e->len = take_u32(c);
        e->data = take(c, e->len);
        if (e->len == 0)
            e->data = NULL;
        if (!c->ok)
            return WIRE_FRAME_E_PAYLOAD;
    }
    m->entries = entries;
    m->n_entries = n;
    return 0;
}

/* A node of an earlier version ends before it (WIRE-7). */
static void take_note(struct cursor *c, struct raft_note *note)
{
    if (c->left == 0)
        return;
    note->flags = take_u32(c);
    note->digest_version = take_u32(c);
    note->check = take_u64(c);
    for (unsigned i = 0; i < 2; i++) {
        note->digests[i].index = take_u64(c);
        note->digests[i].high = take_u64(c);
        note->digests[i].low = take_u64(c);
    }
    /* Who writes a note says so in it. */
    if ((note->flags & RAFT_NOTE_SAID) == 0)
        c->ok = false;
}

/* A node of an earlier version ends before it (WIRE-7). */
static void take_beat(struct cursor *c, struct raft_msg *m)
{
    struct raft_beat *b = &m->beat;

    if (c->left == 0)
        return;
    b->said = true;
    if (m->type == RAFT_MSG_HEARTBEAT) {
        b->lease_us = take_u64(c);
    } else {
        b->leased = take_bool(c);
        b->mono_us = take_u64(c);
    }
    b->stamp.nonce = take_u64(c);
    b->stamp.hold_us = take_u64(c);
    if (m->type == RAFT_MSG_HEARTBEAT)
        b->proved_index = take_u64(c);
}

/* A node of an earlier version ends before it, and so does one that has promised nothing: it has
 * one encoding (WIRE-7). */
static void take_left(struct cursor *c, struct raft_msg *m)
{
    if (c->left == 0)
        return;
    m->left_us = take_u64(c);
    if (m->left_us == 0)
        c->ok = false;
}

/* As what is left: a node of an earlier version ends before it, and so does one whose disk was not
 * slow (WIRE-7). */
static void take_disk(struct cursor *c, struct raft_msg *m)
{
    if (c->left == 0)
        return;
    m->disk_us = take_u64(c);
    if (m->disk_us == 0)
        c->ok = false;
}

static int take_part(struct cursor *c, struct arena *arena, struct raft_msg *m)
{
    struct raft_snapshot_part *part = arena_alloc(arena, sizeof(*part));

    if (part == NULL)
        return err_origin(-ENOMEM);
    *part = (struct raft_snapshot_part){0};
    if (m->type == RAFT_MSG_SNAPSHOT_RESP)
        m->reject = take_bool(c);
    part->transfer = take_u64(c);
    part->offset = take_u64(c);
    part->bytes = take_u64(c);
    if (m->type == RAFT_MSG_SNAPSHOT_RESP) {
        part->status = take_u8(c);
    } else {
        part->len = take_u32(c);
        part->data = take(c, part->len);
        if (part->len == 0)
            part->data = NULL;
    }
    /* A refusal has one encoding, as every message: with nothing in it. */
    if (m->reject && (part->transfer | part->offset | part->bytes | part->status) != 0)
        return WIRE_FRAME_E_PAYLOAD;
    m->part = m->reject ? NULL : part;
    return 0;
}

static int take_payload(struct cursor *c, struct arena *arena, struct raft_msg *m)
{
    m->term = take_u64(c);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        m->prev = take_id(c);
        return 0;
    case RAFT_MSG_VOTE:
        m->prev = take_id(c);
        m->transfer = take_bool(c);
        return 0;
    case RAFT_MSG_PRE_VOTE_RESP:
        m->reject = take_bool(c);
        return 0;
    case RAFT_MSG_VOTE_RESP:
        m->reject = take_bool(c);
        take_left(c, m);
        return 0;
    case RAFT_MSG_APPEND:
        m->prev = take_id(c);
        m->leader_commit = take_u64(c);
        return take_entries(c, arena, m);
    case RAFT_MSG_APPEND_RESP:
        m->reject = take_bool(c);
        m->index = take_u64(c);
        m->hint = take_id(c);
        take_disk(c, m);
        return 0;
    case RAFT_MSG_HEARTBEAT:
        m->round = take_u64(c);
        m->leader_commit = take_u64(c);
        take_note(c, &m->note);
        take_beat(c, m);
        return 0;
    case RAFT_MSG_HEARTBEAT_RESP:
        m->round = take_u64(c);
        m->reject = take_bool(c);
        take_note(c, &m->note);
        take_beat(c, m);
        return 0;
    case RAFT_MSG_TIMEOUT_NOW:
        return 0;
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_SNAPSHOT_RESP:
        return take_part(c, arena, m);
    case RAFT_MSG_READ_ASK:
        m->ask.nonce = take_u64(c);
        m->ask.number = take_u64(c);
        return 0;
    case RAFT_MSG_READ_ANSWER:
        m->reject = take_bool(c);
        m->ask.nonce = take_u64(c);
        m->ask.number = take_u64(c);
        m->index = take_u64(c);
        m->leader = take_u64(c);
        return 0;
    }
    return WIRE_FRAME_E_TYPE;
}

int wire_msg_decode(const struct wire_frame *frame, raft_node_id from, raft_node_id to,
                    struct arena *arena, struct raft_msg *ret)
{
    struct cursor c = {.p = frame->payload, .left = frame->payload_len, .ok = true};
    struct raft_msg m = {.group = frame->group, .from = from, .to = to};
    int rc;

    if (frame->type < RAFT_MSG_PRE_VOTE || frame->type > RAFT_MSG_TYPE_MAX)
        return WIRE_FRAME_E_TYPE;
    if (frame->group != WIRE_GROUP)
        return WIRE_FRAME_E_GROUP;
    m.type = (enum raft_msg_type)frame->type;
    rc = take_payload(&c, arena, &m);
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    /* What is known must be there and be possible (WIRE-1); what stands behind it is of a later
     * version, and not looked at (WIRE-7). */
    if (!c.ok || !msg_ok(&m))
        return WIRE_FRAME_E_PAYLOAD;
    *ret = m;
    return 0;
}
