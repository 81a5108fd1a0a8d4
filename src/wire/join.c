/* Taking in a node that waits to be added.
 *
 * Payloads, little endian:
 *
 *   JOIN         u32 magic, u16 highest version, u16 lowest version, 16 bytes founding id,
 *                16 bytes cluster id, u64 from, u8 length of the cluster's name, the name,
 *                u8 length of the node's name, the name, u32 length of the configuration, its bytes
 *   JOIN_REPLY   u32 magic, u16 highest version, u16 lowest version, u8 refused, u64 incarnation,
 *                u8 length of the text, the text
 *
 * Those bytes keep their meaning in every version; what a later one puts behind them is not looked
 * at (WIRE-7). */
#include "wire/join.h"

#include "base/assert.h"
#include "base/err.h"
#include "wire/frame_int.h"

#include "base/banned.h"

#define JOIN_MAGIC            0x4a444952u /* "RIDJ" */
#define JOIN_WIRE_BYTES       (4u + 2u + 2u + 16u + 16u + 8u + 1u + 1u + 4u)
#define JOIN_REPLY_WIRE_BYTES (4u + 2u + 2u + 1u + 8u + 1u)

static_assert(FRAME_HEADER_BYTES + JOIN_WIRE_BYTES + 2u * NODE_NAME_BYTES_MAX <=
                  PEER_HELLO_BYTES_MAX / 2,
              "a running node must be able to read a question");
static_assert(FRAME_HEADER_BYTES + JOIN_WIRE_BYTES + 2u * NODE_NAME_BYTES_MAX +
                      JOIN_CONFIG_BYTES_MAX <=
                  JOIN_FRAME_BYTES_MAX,
              "the longest JOIN fits");

const char *wire_join_refusal_text(unsigned refused)
{
    switch (refused) {
    case WIRE_JOIN_ACCEPTED:
        return "accepted";
#define WIRE_JOIN_REFUSAL_TEXT(name, number, text)                                                 \
    case name:                                                                                     \
        return text;
        WIRE_JOIN_REFUSALS(WIRE_JOIN_REFUSAL_TEXT)
    default:
        return "a reason of a later version";
    }
}

bool wire_join_version_ok(uint16_t version_highest, uint16_t version_lowest)
{
    return version_highest >= WIRE_VERSION_LOWEST && version_lowest <= WIRE_VERSION_HIGHEST;
}

static unsigned char *write_name(unsigned char *p, const char *name)
{
    const size_t len = strlen(name);

    p = write_u8(p, (uint8_t)len);
    memcpy(p, name, len);
    return p + len;
}

/* A name of a node or a cluster, or, false, none. */
static bool take_name(struct cursor *c, char ret_name[NODE_NAME_BYTES_MAX + 1])
{
    const size_t len = take_u8(c);
    const unsigned char *name = take(c, len);

    if (name == NULL || !wire_name_ok(name, len))
        return false;
    memcpy(ret_name, name, len);
    ret_name[len] = '\0';
    return true;
}

int wire_join_encode(const struct wire_join *j, struct buf *buf)
{
    unsigned char *p = NULL;
    int rc;

    rid_assert(j->config_len <= JOIN_CONFIG_BYTES_MAX);
    rid_assert(wire_name_ok((const unsigned char *)j->cluster_name, strlen(j->cluster_name)));
    rid_assert(wire_name_ok((const unsigned char *)j->node_name, strlen(j->node_name)));
    rc = wire_frame_open(
        buf, JOIN_WIRE_BYTES + strlen(j->cluster_name) + strlen(j->node_name) + j->config_len, &p);
    if (rc != 0)
        return err_trace(rc);
    p = write_u32(p, JOIN_MAGIC);
    p = write_u16(p, j->version_highest);
    p = write_u16(p, j->version_lowest);
    memcpy(p, j->founding_id, sizeof(j->founding_id));
    p += sizeof(j->founding_id);
    memcpy(p, j->cluster_id, sizeof(j->cluster_id));
    p += sizeof(j->cluster_id);
    p = write_u64(p, j->from);
    p = write_name(p, j->cluster_name);
    p = write_name(p, j->node_name);
    p = write_u32(p, (uint32_t)j->config_len);
    if (j->config_len > 0)
        memcpy(p, j->config, j->config_len);
    wire_frame_close(buf, WIRE_FRAME_JOIN, WIRE_GROUP, p + j->config_len);
    return 0;
}

static void take_cluster(struct cursor *c, unsigned char ret_id[16])
{
    const unsigned char *id = take(c, 16);

    if (id != NULL)
        memcpy(ret_id, id, 16);
}

int wire_join_decode(const struct wire_frame *frame, struct wire_join *ret)
{
    struct cursor c = {.p = frame->payload, .left = frame->payload_len, .ok = true};
    struct wire_join j = {0};
    uint32_t magic;
    uint32_t len;

    if (frame->type != WIRE_FRAME_JOIN)
        return WIRE_FRAME_E_TYPE;
    magic = take_u32(&c);
    j.version_highest = take_u16(&c);
    j.version_lowest = take_u16(&c);
    take_cluster(&c, j.founding_id);
    take_cluster(&c, j.cluster_id);
    j.from = take_u64(&c);
    if (!c.ok || magic != JOIN_MAGIC || j.from == 0 || !take_name(&c, j.cluster_name) ||
        !take_name(&c, j.node_name))
        return WIRE_FRAME_E_PAYLOAD;
    len = take_u32(&c);
    if (!c.ok || len > JOIN_CONFIG_BYTES_MAX || len > c.left)
        return WIRE_FRAME_E_PAYLOAD;
    j.config_len = len;
    if (len > 0)
        j.config = c.p;
    *ret = j;
    return 0;
}

static bool is_printable(unsigned char c)
{
    return c >= ' ' && c <= '~';
}

int wire_join_reply_encode(const struct wire_join_reply *r, struct buf *buf)
{
    const size_t len = strnlen(r->text, JOIN_TEXT_BYTES_MAX);
    unsigned char *p = NULL;
    int rc = wire_frame_open(buf, JOIN_REPLY_WIRE_BYTES + len, &p);

    if (rc != 0)
        return err_trace(rc);
    p = write_u32(p, JOIN_MAGIC);
    p = write_u16(p, r->version_highest);
    p = write_u16(p, r->version_lowest);
    p = write_u8(p, r->refused);
    p = write_u64(p, r->incarnation);
    p = write_u8(p, (uint8_t)len);
    for (size_t i = 0; i < len; i++)
        p = write_u8(p, is_printable((unsigned char)r->text[i]) ? (uint8_t)r->text[i] : '?');
    wire_frame_close(buf, WIRE_FRAME_JOIN_REPLY, WIRE_GROUP, p);
    return 0;
}

int wire_join_reply_decode(const struct wire_frame *frame, struct wire_join_reply *ret)
{
    struct cursor c = {.p = frame->payload, .left = frame->payload_len, .ok = true};
    struct wire_join_reply r = {0};
    const unsigned char *text;
    uint32_t magic;
    size_t len;

    if (frame->type != WIRE_FRAME_JOIN_REPLY)
        return WIRE_FRAME_E_TYPE;
    magic = take_u32(&c);
    r.version_highest = take_u16(&c);
    r.version_lowest = take_u16(&c);
    r.refused = take_u8(&c);
    r.incarnation = take_u64(&c);
    len = take_u8(&c);
    text = take(&c, len);
    if (text == NULL || magic != JOIN_MAGIC)
        return WIRE_FRAME_E_PAYLOAD;
    /* A node that was refused has no incarnation to tell, whatever it says. */
    if (r.refused != WIRE_JOIN_ACCEPTED && r.incarnation != 0)
        return WIRE_FRAME_E_PAYLOAD;
    for (size_t i = 0; i < len; i++)
        if (!is_printable(text[i]))
            return WIRE_FRAME_E_PAYLOAD;
    memcpy(r.text, text, len);
    *ret = r;
    return 0;
}
