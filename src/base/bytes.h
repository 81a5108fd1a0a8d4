/* Little-endian integers at unaligned places.
 *
 * For: every format of ours, on disk and between nodes, so that both are alike on all machines.
 * Not for: checking that the bytes are there: the caller has compared the length before.
 * Units: put_uN and get_uN move N bits.
 * Errors: none; a place beyond the end is an error of the programmer that nothing here can see.
 * Obvious: ownership, thread, source. */
#ifndef RIDD_BASE_BYTES_H
#define RIDD_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_u16(void *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void put_u32(void *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void put_u64(void *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint16_t get_u16(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}

static inline uint32_t get_u32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static inline uint64_t get_u64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/* Text that was saved as UTF-16, for a sentence that says so: it begins with its mark, or every
 * second byte of what must be ASCII is 0. */
static inline bool bytes_look_utf16(const void *data, size_t len)
{
    const unsigned char *p = data;

    return len >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff) ||
                        (p[0] == 0) != (p[1] == 0));
}

#endif
