/* A growing array of bytes with an owner. Owned by one thread.
 *
 * buf_reserve() gives room for n more bytes behind the used ones, or NULL when memory is out (the
 * buffer is unchanged then); buf_add*() return 0 or -ENOMEM. buf_consume() drops bytes from the
 * front (memmove: keep it rare). */
#ifndef RIDD_BASE_BUF_H
#define RIDD_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

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
void *buf_reserve(struct buf *b, size_t n);
int buf_add(struct buf *b, const void *data, size_t len);
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
