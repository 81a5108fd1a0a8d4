/* The handshake: what two nodes say of themselves, and why one of them refuses the other.
 *
 * Payload of HELLO and HELLO_REPLY, little endian:
 *
 *   u32 magic, u16 highest version, u16 lowest version (0: the same), u8 channel, u8 refused,
 *   16 bytes cluster id, u64 from, u64 to, u64 incarnation, u64 nonce, u64 last_index,
 *   u64 known incarnation
 *   then perhaps:   u8 latest version of commands
 *   then perhaps:   u8 length of the cluster's name, the name, u8 n, then n times: u64 setting
 *   then perhaps:   16 bytes challenge
 *   then perhaps, in a reply: 32 bytes proof, u64 removed_index
 *
 * Of HELLO_PROOF: 32 bytes proof.
 *
 * Those bytes keep their meaning in every version, so that an old node can say why it refuses a new
 * one. Only the first part must be there; an earlier version wrote nothing else. */
#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "wire/frame_int.h"

#include "base/banned.h"

#define HELLO_MAGIC      0x44444952u /* "RIDD" */
#define HELLO_WIRE_BYTES 74u

#define HELLO_BYTES_LONGEST                                                                        \
    (FRAME_HEADER_BYTES + HELLO_WIRE_BYTES + 1u + 1u + NODE_NAME_BYTES_MAX + 1u +                  \
     8u * WIRE_SETTINGS_MAX + WIRE_CHALLENGE_BYTES + WIRE_PROOF_BYTES + 8u)
static_assert(HELLO_BYTES_LONGEST <= PEER_HELLO_BYTES_MAX / 2,
              "the longest hello fits, and one twice as long of a later version");
static_assert(HELLO_BYTES_LONGEST <= PEER_HELLO_BYTES_MAX_V1, "and a node of version 1 takes it");

static const char lost_there[] = "its disk was lost: not the node known by this name";
static const char lost_here[] = "our disk was lost: not the node it knew by our name";
static const char full_here[] = "our disk is full: it cannot be recorded that it was met";
static const char full_there[] = "its disk is full: it cannot record that it has met us";

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
    case WIRE_REFUSED_ROOM:
        return by_us ? full_here : full_there;
    case WIRE_REFUSED_PROOF:
        return by_us ? "it does not know this cluster's secret id"
                     : "this node does not know its cluster's secret id";
    case WIRE_REFUSED_REMOVED:
        return by_us ? "it was removed" : "this node was removed";
    case WIRE_REFUSED_CROSSED:
        return "the other side dials";
    case WIRE_REFUSED_NAME:
        return by_us ? "its certificate names another node"
                     : "the certificate of this node names another one";
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

/* Where nothing is said, nothing is there, unless something stands behind it. */
static size_t about_bytes(const struct wire_hello *h)
{
    const struct wire_about *a = &h->about;

    return a->cluster_name[0] != '\0' || h->challenged
               ? 1 + strlen(a->cluster_name) + 1 + a->n_settings * sizeof(uint64_t)
               : 0;
}

static size_t proof_bytes(const struct wire_hello *h, bool is_reply)
{
    if (!h->challenged)
        return 0;
    return WIRE_CHALLENGE_BYTES + (is_reply && h->proved ? WIRE_PROOF_BYTES + 8 : 0);
}

static unsigned char *write_about(unsigned char *p, const struct wire_about *a)
{
    const size_t len = strlen(a->cluster_name);

    rid_assert(a->n_settings <= WIRE_SETTINGS_MAX);
    p = write_u8(p, (uint8_t)len);
    memcpy(p, a->cluster_name, len);
    p = write_u8(p + len, (uint8_t)a->n_settings);
    for (unsigned i = 0; i < a->n_settings; i++)
        p = write_u64(p, a->settings[i]);
    return p;
}

static bool is_of_a_name(unsigned char c)
{
    return c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

bool wire_name_ok(const unsigned char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_of_a_name(name[i]))
            return false;
    return len > 0 && len <= NODE_NAME_BYTES_MAX;
}

static unsigned char *write_proof(unsigned char *p, const struct wire_hello *h, bool is_reply)
{
    if (!h->challenged)
        return p;
    memcpy(p, h->challenge, WIRE_CHALLENGE_BYTES);
    p += WIRE_CHALLENGE_BYTES;
    if (!is_reply || !h->proved)
        return p;
    memcpy(p, h->proof, WIRE_PROOF_BYTES);
    return write_u64(p + WIRE_PROOF_BYTES, h->removed_index);
}

/* What is not as it should be was not said: a hello must be understood well enough to be refused in
 * words, and nothing stands on this part of it. */
static void take_about(struct cursor *c, struct wire_about *ret)
{
    struct wire_about a = {.n_settings = 0};
    const size_t len = take_u8(c);
    const unsigned char *name = take(c, len);
    unsigned n = take_u8(c);

    a.n_settings = n < WIRE_SETTINGS_MAX ? n : WIRE_SETTINGS_MAX;
    for (unsigned i = 0; i < a.n_settings; i++)
        a.settings[i] = take_u64(c);
    (void)take(c, (n - a.n_settings) * sizeof(uint64_t)); /* of a later version */
    if (!c->ok || !wire_name_ok(name, len))
        return;
    memcpy(a.cluster_name, name, len);
    *ret = a;
}

/* Nor is this believed: what is missing here is missing where a proof is asked for. */
static void take_proof(struct cursor *c, bool is_reply, struct wire_hello *ret)
{
    const unsigned char *challenge = take(c, WIRE_CHALLENGE_BYTES);
    const unsigned char *proof;

    if (challenge == NULL)
        return;
    ret->challenged = true;
    memcpy(ret->challenge, challenge, WIRE_CHALLENGE_BYTES);
    proof = is_reply ? take(c, WIRE_PROOF_BYTES) : NULL;
    if (proof == NULL || c->left < 8)
        return;
    ret->removed_index = take_u64(c);
    ret->proved = ret->removed_index <= RAFT_INDEX_MAX;
    if (ret->proved)
        memcpy(ret->proof, proof, WIRE_PROOF_BYTES);
    else
        ret->removed_index = 0;
}

int wire_hello_encode(const struct wire_hello *h, bool is_reply, struct buf *buf)
{
    unsigned char *p = NULL;
    int rc;

    rid_assert(h->channel >= WIRE_CHANNEL_CONTROL && h->channel <= WIRE_CHANNEL_PROBE);
    rid_assert(is_reply || h->refused == WIRE_REFUSED_NOT);
    rc = wire_frame_open(buf, HELLO_WIRE_BYTES + 1 + about_bytes(h) + proof_bytes(h, is_reply), &p);
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
    if (h->command_version != 0 || about_bytes(h) > 0)
        p = write_u8(p, h->command_version);
    if (about_bytes(h) > 0)
        p = write_about(p, &h->about);
    p = write_proof(p, h, is_reply);
    wire_frame_close(buf, is_reply ? WIRE_FRAME_HELLO_REPLY : WIRE_FRAME_HELLO, WIRE_GROUP, p);
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
    take_proof(&c, frame->type == WIRE_FRAME_HELLO_REPLY, &h);
    *ret = h;
    return 0;
}

int wire_proof_encode(const unsigned char proof[WIRE_PROOF_BYTES], struct buf *buf)
{
    unsigned char *p = NULL;
    int rc;

    rc = wire_frame_open(buf, WIRE_PROOF_BYTES, &p);
    if (rc != 0)
        return err_trace(rc);
    memcpy(p, proof, WIRE_PROOF_BYTES);
    wire_frame_close(buf, WIRE_FRAME_HELLO_PROOF, WIRE_GROUP, p + WIRE_PROOF_BYTES);
    return 0;
}

int wire_proof_decode(const struct wire_frame *frame, unsigned char ret_proof[WIRE_PROOF_BYTES])
{
    if (frame->type != WIRE_FRAME_HELLO_PROOF)
        return WIRE_FRAME_E_TYPE;
    if (frame->payload_len < WIRE_PROOF_BYTES)
        return WIRE_FRAME_E_PAYLOAD;
    memcpy(ret_proof, frame->payload, WIRE_PROOF_BYTES);
    return 0;
}
