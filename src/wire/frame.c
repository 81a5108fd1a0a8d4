/* One cursor reads, one pointer writes; what a message may say is judged in one place for both
 * directions, so that a frame that we would refuse is never sent, and what we know of one that we
 * accept can be encoded again byte for byte.
 *
 * Payloads, little endian:
 *
 *   PRE_VOTE        u64 term, u64 prev term, u64 prev index
 *   VOTE            u64 term, u64 prev term, u64 prev index, u8 transfer
 *   PRE_VOTE_RESP   u64 term, u8 reject
 *   VOTE_RESP       u64 term, u8 reject
 *   APPEND          u64 term, u64 prev term, u64 prev index, u64 leader_commit, u32 n,
 *                   then n times: u64 term, u64 index, u8 type, u32 len, len bytes of data
 *   APPEND_RESP     u64 term, u8 reject, u64 index, u64 hint term, u64 hint index
 *   HEARTBEAT       u64 term, u64 round, u64 leader_commit, then perhaps a note
 *   HEARTBEAT_RESP  u64 term, u64 round, u8 reject, then perhaps a note
 *     note          u32 flags, u32 version of the digests, u64 check,
 *                   then twice: u64 index, u64 digest high, u64 digest low
 *   TIMEOUT_NOW     u64 term
 *   HELLO, HELLO_REPLY
 *                   u32 magic, u16 highest version, u16 lowest version (0: the same), u8 channel,
 *                   u8 refused, 16 bytes cluster id, u64 from, u64 to, u64 incarnation, u64 nonce,
 *                   u64 last_index, u64 known incarnation, u8 latest version of commands
 *
 * The index of an entry in an APPEND is redundant: a sender that skips an entry is caught here.
 *
 * All of these bytes must be there, but for the note, which a node of an earlier version does not
 * write: it is there whole, or nothing is; and for the last byte of a hello, which was not
 * always there. Behind them a later version may have put more: they are not looked at
 * (WIRE-7), so a field that may not be overlooked needs a new version (frame.h), not only a place
 * at the end. The bytes of HELLO and HELLO_REPLY keep their meaning in every version,
 * so that an old node can say why it refuses a new one. docs/PEERS.md is the whole of it. */
#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"

#include "base/banned.h"

#define LENGTH_BYTES      4u
#define LENGTH_MIN        (FRAME_HEADER_BYTES - LENGTH_BYTES)
#define CRC_END           8u /* the checksum covers all from here */
#define ENTRY_WIRE_BYTES  21u
#define APPEND_WIRE_BYTES 36u
#define NOTE_WIRE_BYTES   64u
#define HELLO_MAGIC       0x44444952u /* "RIDD" */
#define HELLO_WIRE_BYTES  74u

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

static const char lost_there[] = "its disk was lost: not the node known by this name";
static const char lost_here[] = "our disk was lost: not the node it knew by our name";

const char *wire_refusal_text(enum wire_refusal refusal, bool by_us)
{
    switch (refusal) {
    case WIRE_REFUSED_NOT:
        return "accepted";
    case WIRE_REFUSED_VERSION:
        return "no common protocol version";
    case WIRE_REFUSED_CLUSTER:
        return "it belongs to another cluster";
    case WIRE_REFUSED_TO:
        return "the address belongs to another node";
    case WIRE_REFUSED_FROM:
        return "the node is not in the configuration";
    case WIRE_REFUSED_INCARNATION:
        return by_us ? lost_there : lost_here;
    case WIRE_REFUSED_OURSELVES:
        return by_us ? lost_here : lost_there;
    case WIRE_REFUSED_BUSY:
        return "too many connections";
    case WIRE_REFUSALS_END:
        break;
    }
    return "a reason of a later version";
}

void wire_cluster_hash(const unsigned char cluster_id[16], char ret_text[WIRE_CLUSTER_HASH_BUF])
{
    (void)snprintf(ret_text, WIRE_CLUSTER_HASH_BUF, "%016llx",
                   (unsigned long long)hash_fnv64(cluster_id, 16));
}

/* Both sides work it out from the same two hellos, and come to the same (PEER-5). */
unsigned wire_version_agreed(const struct wire_hello *a, const struct wire_hello *b)
{
    unsigned highest =
        a->version_highest < b->version_highest ? a->version_highest : b->version_highest;

    return highest >= a->version_lowest && highest >= b->version_lowest ? highest : 0;
}

/* ---- reading and writing ---- */

struct cursor {
    const unsigned char *p;
    size_t left;
    bool ok; /* false once something was missing or no bool; what is read then is 0 */
};

static const unsigned char *take(struct cursor *c, size_t n)
{
    const unsigned char *p = c->p;

    if (!c->ok || n > c->left) {
        c->ok = false;
        return NULL;
    }
    c->p += n;
    c->left -= n;
    return p;
}

static uint8_t take_u8(struct cursor *c)
{
    const unsigned char *p = take(c, 1);

    return p != NULL ? *p : 0;
}

static uint16_t take_u16(struct cursor *c)
{
    const unsigned char *p = take(c, 2);

    return p != NULL ? get_u16(p) : 0;
}

static uint32_t take_u32(struct cursor *c)
{
    const unsigned char *p = take(c, 4);

    return p != NULL ? get_u32(p) : 0;
}

static uint64_t take_u64(struct cursor *c)
{
    const unsigned char *p = take(c, 8);

    return p != NULL ? get_u64(p) : 0;
}

/* One message has one encoding: a bool is 0 or 1. */
static bool take_bool(struct cursor *c)
{
    uint8_t v = take_u8(c);

    if (v > 1)
        c->ok = false;
    return v == 1;
}

static struct raft_entry_id take_id(struct cursor *c)
{
    struct raft_entry_id id;

    id.term = take_u64(c);
    id.index = take_u64(c);
    return id;
}

static unsigned char *write_u8(unsigned char *p, uint8_t v)
{
    *p = v;
    return p + 1;
}

static unsigned char *write_u16(unsigned char *p, uint16_t v)
{
    put_u16(p, v);
    return p + 2;
}

static unsigned char *write_u32(unsigned char *p, uint32_t v)
{
    put_u32(p, v);
    return p + 4;
}

static unsigned char *write_u64(unsigned char *p, uint64_t v)
{
    put_u64(p, v);
    return p + 8;
}

static unsigned char *write_id(unsigned char *p, struct raft_entry_id id)
{
    return write_u64(write_u64(p, id.term), id.index);
}

/* ---- cutting ---- */

static bool type_known(uint8_t type)
{
    return (type >= RAFT_MSG_PRE_VOTE && type <= RAFT_MSG_TYPE_MAX) || type == WIRE_FRAME_HELLO ||
           type == WIRE_FRAME_HELLO_REPLY;
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

/* Room for a whole frame; *ret_p is where the payload goes. Nothing is added until frame_close().
 */
static int frame_open(struct buf *buf, size_t payload_len, unsigned char **ret_p)
{
    unsigned char *p;

    rid_assert(payload_len <= FRAME_BYTES_MAX - LENGTH_MIN);
    p = buf_reserve(buf, FRAME_HEADER_BYTES + payload_len);
    if (p == NULL)
        return err_origin(-ENOMEM);
    *ret_p = p + FRAME_HEADER_BYTES;
    return 0;
}

static void frame_close(struct buf *buf, uint8_t type, uint16_t group, const unsigned char *end)
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

/* Whether numbers can be what they are said to be: nonsense is refused here, so that nobody further
 * in asserts it (WIRE-2). */
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
               m->hint.term <= RAFT_INDEX_MAX;
    case RAFT_MSG_HEARTBEAT:
        return m->term > 0 && m->leader_commit <= RAFT_INDEX_MAX && note_ok(&m->note);
    case RAFT_MSG_HEARTBEAT_RESP:
        return note_ok(&m->note); /* a node that never voted may answer with term 0 */
    case RAFT_MSG_TIMEOUT_NOW:
        return m->term > 0;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        return true; /* the same */
    }
    return false;
}

/* Votes and heartbeats have a connection of their own, or they would come too late behind data
 * (PEER-3). */
enum wire_channel wire_msg_channel(enum raft_msg_type type)
{
    return type == RAFT_MSG_APPEND || type == RAFT_MSG_APPEND_RESP ? WIRE_CHANNEL_LOG
                                                                   : WIRE_CHANNEL_CONTROL;
}

/* ---- messages ---- */

static size_t note_bytes(const struct raft_note *note)
{
    return (note->flags & RAFT_NOTE_SAID) != 0 ? NOTE_WIRE_BYTES : 0;
}

static size_t payload_bytes(const struct raft_msg *m)
{
    size_t n = APPEND_WIRE_BYTES;

    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        return 24;
    case RAFT_MSG_HEARTBEAT:
        return 24 + note_bytes(&m->note);
    case RAFT_MSG_VOTE:
        return 25;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        return 9;
    case RAFT_MSG_APPEND:
        for (unsigned i = 0; i < m->n_entries; i++)
            n += ENTRY_WIRE_BYTES + m->entries[i].len;
        return n;
    case RAFT_MSG_APPEND_RESP:
        return 33;
    case RAFT_MSG_HEARTBEAT_RESP:
        return 17 + note_bytes(&m->note);
    case RAFT_MSG_TIMEOUT_NOW:
        return 8;
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

static unsigned char *write_payload(unsigned char *p, const struct raft_msg *m)
{
    p = write_u64(p, m->term);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        return write_id(p, m->prev);
    case RAFT_MSG_VOTE:
        return write_u8(write_id(p, m->prev), m->transfer);
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        return write_u8(p, m->reject);
    case RAFT_MSG_APPEND:
        return write_append(p, m);
    case RAFT_MSG_APPEND_RESP:
        p = write_u8(p, m->reject);
        p = write_u64(p, m->index);
        return write_id(p, m->hint);
    case RAFT_MSG_HEARTBEAT:
        p = write_u64(p, m->round);
        return write_note(write_u64(p, m->leader_commit), &m->note);
    case RAFT_MSG_HEARTBEAT_RESP:
        p = write_u64(p, m->round);
        return write_note(write_u8(p, m->reject), &m->note);
    case RAFT_MSG_TIMEOUT_NOW:
        return p;
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
    rc = frame_open(buf, n, &p);
    if (rc != 0)
        return err_trace(rc);
    frame_close(buf, (uint8_t)m->type, m->group, write_payload(p, m));
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
    case RAFT_MSG_VOTE_RESP:
        m->reject = take_bool(c);
        return 0;
    case RAFT_MSG_APPEND:
        m->prev = take_id(c);
        m->leader_commit = take_u64(c);
        return take_entries(c, arena, m);
    case RAFT_MSG_APPEND_RESP:
        m->reject = take_bool(c);
        m->index = take_u64(c);
        m->hint = take_id(c);
        return 0;
    case RAFT_MSG_HEARTBEAT:
        m->round = take_u64(c);
        m->leader_commit = take_u64(c);
        take_note(c, &m->note);
        return 0;
    case RAFT_MSG_HEARTBEAT_RESP:
        m->round = take_u64(c);
        m->reject = take_bool(c);
        take_note(c, &m->note);
        return 0;
    case RAFT_MSG_TIMEOUT_NOW:
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

/* ---- handshake ---- */

static size_t about_bytes(const struct wire_about *a)
{
    return a->cluster_name[0] != '\0'
               ? 1 + strlen(a->cluster_name) + 1 + a->n_settings * sizeof(uint64_t)
               : 0;
}

static unsigned char *write_about(unsigned char *p, const struct wire_about *a)
{
    const size_t len = strlen(a->cluster_name);

    if (len == 0)
        return p;
    rid_assert(a->n_settings <= WIRE_SETTINGS_MAX);
    p = write_u8(p, (uint8_t)len);
    memcpy(p, a->cluster_name, len);
    p = write_u8(p + len, (uint8_t)a->n_settings);
    for (unsigned i = 0; i < a->n_settings; i++)
        p = write_u64(p, a->settings[i]);
    return p;
}

static bool name_ok(const unsigned char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strchr("-_", name[i]) == NULL && (name[i] < '0' || name[i] > '9') &&
            (name[i] < 'A' || name[i] > 'Z') && (name[i] < 'a' || name[i] > 'z'))
            return false;
    return len > 0 && len <= NODE_NAME_BYTES_MAX;
}

/* What is not as it should be was not said: a hello must be understood well enough to be refused in
 * words, and nothing stands on this part of it. */
static void take_about(struct cursor *c, struct wire_about *ret)
{
    struct wire_about a = {.n_settings = 0};
    const size_t len = take_u8(c);
    const unsigned char *name = take(c, len);
    unsigned n = take_u8(c);

    if (!c->ok || !name_ok(name, len))
        return;
    memcpy(a.cluster_name, name, len);
    a.n_settings = n < WIRE_SETTINGS_MAX ? n : WIRE_SETTINGS_MAX;
    for (unsigned i = 0; i < a.n_settings; i++)
        a.settings[i] = take_u64(c);
    if (c->ok)
        *ret = a;
}

int wire_hello_encode(const struct wire_hello *h, bool is_reply, struct buf *buf)
{
    unsigned char *p = NULL;
    int rc;

    rid_assert(h->channel >= WIRE_CHANNEL_CONTROL && h->channel <= WIRE_CHANNEL_PROBE);
    rid_assert(is_reply || h->refused == WIRE_REFUSED_NOT);
    rc = frame_open(buf, HELLO_WIRE_BYTES + 1 + about_bytes(&h->about), &p);
    if (rc != 0)
        return err_trace(rc);
    p = write_u32(p, HELLO_MAGIC);
    p = write_u16(p, h->version_highest);
    p = write_u16(p, h->version_lowest == h->version_highest ? 0 : h->version_lowest);
    p = write_u8(p, (uint8_t)h->channel);
    p = write_u8(p, h->refused);
    memcpy(p, h->cluster_id, sizeof(h->cluster_id));
    p += sizeof(h->cluster_id);
    p = write_u64(p, h->from);
    p = write_u64(p, h->to);
    p = write_u64(p, h->incarnation);
    p = write_u64(p, h->link_nonce);
    p = write_u64(p, h->last_index);
    p = write_u64(p, h->known_incarnation);
    /* What stands behind it needs it in its place. */
    if (h->command_version != 0 || h->about.cluster_name[0] != '\0')
        p = write_u8(p, h->command_version);
    p = write_about(p, &h->about);
    frame_close(buf, is_reply ? WIRE_FRAME_HELLO_REPLY : WIRE_FRAME_HELLO, WIRE_GROUP, p);
    return 0;
}

static bool hello_ok(const struct wire_hello *h, bool is_reply)
{
    /* A reason that this version does not know is a refusal all the same. */
    return h->from != 0 && h->last_index <= RAFT_INDEX_MAX &&
           (is_reply || h->refused == WIRE_REFUSED_NOT);
}

int wire_hello_decode(const struct wire_frame *frame, struct wire_hello *ret)
{
    struct cursor c = {.p = frame->payload, .left = frame->payload_len, .ok = true};
    struct wire_hello h = {0};
    const unsigned char *cluster_id;
    uint32_t magic;
    uint8_t channel;

    if (frame->type != WIRE_FRAME_HELLO && frame->type != WIRE_FRAME_HELLO_REPLY)
        return WIRE_FRAME_E_TYPE;
    magic = take_u32(&c);
    h.version_highest = take_u16(&c);
    h.version_lowest = take_u16(&c);
    if (h.version_lowest == 0)
        h.version_lowest = h.version_highest;
    channel = take_u8(&c);
    h.refused = take_u8(&c);
    cluster_id = take(&c, sizeof(h.cluster_id));
    h.from = take_u64(&c);
    h.to = take_u64(&c);
    h.incarnation = take_u64(&c);
    h.link_nonce = take_u64(&c);
    h.last_index = take_u64(&c);
    h.known_incarnation = take_u64(&c);
    if (!c.ok || cluster_id == NULL || magic != HELLO_MAGIC)
        return WIRE_FRAME_E_PAYLOAD;
    if (channel < WIRE_CHANNEL_CONTROL || channel > WIRE_CHANNEL_PROBE)
        return WIRE_FRAME_E_PAYLOAD;
    h.channel = (enum wire_channel)channel;
    memcpy(h.cluster_id, cluster_id, sizeof(h.cluster_id));
    h.command_version = c.left > 0 ? take_u8(&c) : 0;
    if (!hello_ok(&h, frame->type == WIRE_FRAME_HELLO_REPLY))
        return WIRE_FRAME_E_PAYLOAD;
    take_about(&c, &h.about);
    *ret = h;
    return 0;
}
