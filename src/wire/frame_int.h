/* What the two codecs of peer frames share (frame.c: messages, hello.c: the handshake): one cursor
 * reads, one pointer writes, and a frame is opened before its payload and closed behind it. Pure,
 * any thread. */
#ifndef RIDD_WIRE_FRAME_INT_H
#define RIDD_WIRE_FRAME_INT_H

#include "base/bytes.h"
#include "wire/frame.h"

/* 1 to NODE_NAME_BYTES_MAX of the characters of a name. */
bool wire_name_ok(const unsigned char *name, size_t len);
/* Room for a whole frame; *ret_p is where the payload goes. Nothing is added until
 * wire_frame_close(). 0 or -ENOMEM. */
int wire_frame_open(struct buf *buf, size_t payload_len, unsigned char **ret_p);
/* end: behind the payload, within the room that was asked for. */
void wire_frame_close(struct buf *buf, uint8_t type, uint16_t group, const unsigned char *end);

struct cursor {
    const unsigned char *p;
    size_t left;
    bool ok; /* false once something was missing or no bool; what is read then is 0 */
};

static inline const unsigned char *take(struct cursor *c, size_t n)
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

static inline uint8_t take_u8(struct cursor *c)
{
    const unsigned char *p = take(c, 1);

    return p != NULL ? *p : 0;
}

static inline uint16_t take_u16(struct cursor *c)
{
    const unsigned char *p = take(c, 2);

    return p != NULL ? get_u16(p) : 0;
}

static inline uint32_t take_u32(struct cursor *c)
{
    const unsigned char *p = take(c, 4);

    return p != NULL ? get_u32(p) : 0;
}

static inline uint64_t take_u64(struct cursor *c)
{
    const unsigned char *p = take(c, 8);

    return p != NULL ? get_u64(p) : 0;
}

/* One message has one encoding: a bool is 0 or 1. */
static inline bool take_bool(struct cursor *c)
{
    uint8_t v = take_u8(c);

    if (v > 1)
        c->ok = false;
    return v == 1;
}

static inline struct raft_entry_id take_id(struct cursor *c)
{
    struct raft_entry_id id;

    id.term = take_u64(c);
    id.index = take_u64(c);
    return id;
}

static inline unsigned char *write_u8(unsigned char *p, uint8_t v)
{
    *p = v;
    return p + 1;
}

static inline unsigned char *write_u16(unsigned char *p, uint16_t v)
{
    put_u16(p, v);
    return p + 2;
}

static inline unsigned char *write_u32(unsigned char *p, uint32_t v)
{
    put_u32(p, v);
    return p + 4;
}

static inline unsigned char *write_u64(unsigned char *p, uint64_t v)
{
    put_u64(p, v);
    return p + 8;
}

static inline unsigned char *write_id(unsigned char *p, struct raft_entry_id id)
{
    return write_u64(write_u64(p, id.term), id.index);
}

#endif
