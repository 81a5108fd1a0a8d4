/* A growing array of bytes with an owner.
 *
 * For: bytes that are put together piece by piece, or come in pieces: frames, lines, replies.
 * Not for: queues (buf_consume() moves what remains: keep it rare), or text that has a bound.
 * Units: bytes.
 * Ownership: the buffer owns its memory until buf_done(); buf_reserve() gives room for n more bytes
 * behind the used ones, which is valid until the next call on this buffer. The caller adds to len
 * what it has written there.
 * Errors: buf_reserve() is NULL and buf_add*() -ENOMEM when memory is out; the buffer is unchanged
 * then.
 * Thread: one at a time.
 * Obvious: source. */
#ifndef RIDD_BASE_BUF_H
#define RIDD_BASE_BUF_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    unsigned char *data; /* owned */
    size_t len;
    size_t size;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void buf_init(struct buf *b);
void buf_done(struct buf *b);
/* Empties it; memory above keep_bytes goes back. */
void buf_reset(struct buf *b, size_t keep_bytes);
/* Its size after buf_reserve() of n bytes. */
size_t buf_size_with(const struct buf *b, size_t n);
/* buf_reserve() where there is not room enough, or may not be. */
void *buf_grow(struct buf *b, size_t n);
/* A reply is some thirty of these two, and hardly one of them grows: that way is inline. */
static inline void *buf_reserve(struct buf *b, size_t n)
{
    return n < b->size - b->len ? b->data + b->len : buf_grow(b, n);
}
static inline int buf_add(struct buf *b, const void *data, size_t len)
{
    void *p = buf_reserve(b, len);

    if (p == NULL)
        return -ENOMEM;
    if (len > 0)
        memcpy(p, data, len);
    b->len += len;
    return 0;
}
int buf_add_str(struct buf *b, const char *s);
int buf_add_u8(struct buf *b, uint8_t v);
int buf_add_u16(struct buf *b, uint16_t v);
int buf_add_u32(struct buf *b, uint32_t v);
int buf_add_u64(struct buf *b, uint64_t v);
int buf_add_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n);

static inline void cleanup_buf_fn(struct buf *b)
{
    buf_done(b);
}
#define cleanup_buf __attribute__((cleanup(cleanup_buf_fn)))

#endif
