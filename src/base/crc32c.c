/* The polynomial 0x1EDC6F41, reflected: 0x82F63B78. The tables are made once, before main.
 *
 * The instruction takes three cycles and another may begin in each: three parts side by side are
 * three times as fast as one after the other. A sum is linear, so that the sums of parts are put
 * together by moving the first over as many zeros as the second has bytes, which a table does. */
#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

static uint32_t table[256];

#if defined(__x86_64__)
static bool have_sse42;

/* Of a part. */
#define PART_BYTES 1024u

static uint32_t over_part[4][256]; /* by the bytes of a sum: what it is behind PART_BYTES zeros */

__attribute__((target("sse4.2"))) static void init_parts(void)
{
    uint32_t bits[32];

    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t c = (uint64_t)1 << bit;

        for (unsigned i = 0; i < PART_BYTES / 8; i++)
            c = __builtin_ia32_crc32di(c, 0);
        bits[bit] = (uint32_t)c;
    }
    for (unsigned byte = 0; byte < 4; byte++)
        for (unsigned value = 0; value < 256; value++)
            for (unsigned bit = 0; bit < 8; bit++)
                over_part[byte][value] ^= (value >> bit & 1u) != 0 ? bits[8 * byte + bit] : 0;
}
#endif

__attribute__((constructor)) static void crc32c_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = (c & 1u) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_sse42 = __builtin_cpu_supports("sse4.2") != 0;
    if (have_sse42)
        init_parts();
#endif
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;

    crc = ~crc;
    while (len-- > 0)
        crc = table[(crc ^ *p++) & 0xffu] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__)
static uint64_t word_at(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

static uint64_t move_over_part(uint64_t c)
{
    return over_part[0][c & 0xff] ^ over_part[1][c >> 8 & 0xff] ^ over_part[2][c >> 16 & 0xff] ^
           over_part[3][c >> 24 & 0xff];
}

/* Three parts from p on. */
__attribute__((target("sse4.2"))) static uint64_t add_three_parts(uint64_t c,
                                                                  const unsigned char *p)
{
    uint64_t second = 0;
    uint64_t third = 0;

    for (const unsigned char *end = p + PART_BYTES; p != end; p += 8) {
        c = __builtin_ia32_crc32di(c, word_at(p));
        second = __builtin_ia32_crc32di(second, word_at(p + PART_BYTES));
        third = __builtin_ia32_crc32di(third, word_at(p + (size_t)2 * PART_BYTES));
    }
    return move_over_part(move_over_part(c) ^ second) ^ third;
}

/* Less than eight bytes. */
__attribute__((target("sse4.2"))) static uint32_t add_tail(uint32_t c, const unsigned char *p,
                                                           size_t len)
{
    uint32_t four;
    uint16_t two;

    if ((len & 4) != 0) {
        memcpy(&four, p, sizeof(four));
        c = __builtin_ia32_crc32si(c, four);
        p += sizeof(four);
    }
    if ((len & 2) != 0) {
        memcpy(&two, p, sizeof(two));
        c = __builtin_ia32_crc32hi(c, two);
        p += sizeof(two);
    }
    return (len & 1) != 0 ? __builtin_ia32_crc32qi(c, *p) : c;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t len)
{
    const unsigned char *p = data;
    uint64_t c = ~crc;

    for (; len >= 3 * (size_t)PART_BYTES; len -= 3 * (size_t)PART_BYTES) {
        c = add_three_parts(c, p);
        p += 3 * (size_t)PART_BYTES;
    }
    for (; len >= 8; len -= 8) {
        c = __builtin_ia32_crc32di(c, word_at(p));
        p += 8;
    }
    return ~add_tail((uint32_t)c, p, len);
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
    if (have_sse42)
        return crc32c_sse42(crc, data, len);
#endif
    return crc32c_table(crc, data, len);
}
