/* Doubling growth; sizes are checked before they are added. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void buf_init(struct buf *b)
{
    b->data = NULL;
    b->len = 0;
    b->size = 0;
}

void buf_done(struct buf *b)
{
    free(b->data);
    buf_init(b);
}

void buf_reset(struct buf *b, size_t keep_bytes)
{
    b->len = 0;
    if (b->size > keep_bytes)
        buf_done(b);
}

size_t buf_size_with(const struct buf *b, size_t n)
{
    size_t size = b->size > 0 ? b->size : 64;

    while (size < b->len + n)
        size *= 2;
    return size;
}

void *buf_grow(struct buf *b, size_t n)
{
    size_t need;
    size_t size;
    unsigned char *data;

    if (__builtin_add_overflow(b->len, n, &need) || need > SIZE_MAX / 2)
        return NULL;
    if (need > b->size || b->data == NULL) {
        size = buf_size_with(b, n);
        data = realloc(b->data, size);
        if (data == NULL)
            return NULL;
        b->data = data;
        b->size = size;
    }
    return b->data + b->len;
}

int buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_add_u8(struct buf *b, uint8_t v)
{
    return buf_add(b, &v, 1);
}

int buf_add_u16(struct buf *b, uint16_t v)
{
    unsigned char bytes[2];

    put_u16(bytes, v);
    return buf_add(b, bytes, sizeof(bytes));
}

int buf_add_u32(struct buf *b, uint32_t v)
{
    unsigned char bytes[4];

    put_u32(bytes, v);
    return buf_add(b, bytes, sizeof(bytes));
}

int buf_add_u64(struct buf *b, uint64_t v)
{
    unsigned char bytes[8];

    put_u64(bytes, v);
    return buf_add(b, bytes, sizeof(bytes));
}

int buf_add_format(struct buf *b, const char *format, ...)
{
    va_list ap;
    int n;
    char *p;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0)
        return -EINVAL;
    p = buf_reserve(b, (size_t)n + 1);
    if (p == NULL)
        return -ENOMEM;
    va_start(ap, format);
    (void)vsnprintf(p, (size_t)n + 1, format, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}
