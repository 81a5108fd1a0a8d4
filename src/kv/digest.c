/* MurmurHash3 of Austin Appleby (public domain), x64, 128 bits: sixteen bytes a step, each step a
 * bijection, so that a long value costs little and no input can wipe out what came before it. A sum
 * of hashes needs good ones: with a weak hash two differences could cancel. */
#include "kv/digest_int.h"

#include <string.h>

#include "base/bytes.h"

#include "base/banned.h"

#define C1 0x87c37b91114253d5u
#define C2 0x4cf5ad432745937fu

static uint64_t rotate(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static uint64_t mix_low(uint64_t k)
{
    return rotate(k * C1, 31) * C2;
}

static uint64_t mix_high(uint64_t k)
{
    return rotate(k * C2, 33) * C1;
}

/* The finalizer of MurmurHash3. */
static uint64_t finish(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdu;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53u;
    return k ^ (k >> 33);
}

static struct kv_digest murmur(struct kv_digest seed, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t h1 = seed.low;
    uint64_t h2 = seed.high;
    unsigned char tail[16] = {0};
    size_t left = len;

    for (; left >= 16; left -= 16, p += 16) {
        h1 ^= mix_low(get_u64(p));
        h1 = (rotate(h1, 27) + h2) * 5 + 0x52dce729u;
        h2 ^= mix_high(get_u64(p + 8));
        h2 = (rotate(h2, 31) + h1) * 5 + 0x38495ab5u;
    }
    if (left > 0)
        memcpy(tail, p, left);
    h2 ^= mix_high(get_u64(tail + 8));
    h1 ^= mix_low(get_u64(tail));
    h1 ^= (uint64_t)len;
    h2 ^= (uint64_t)len;
    h1 += h2;
    h2 += h1;
    h1 = finish(h1);
    h2 = finish(h2);
    h1 += h2;
    h2 += h1;
    return (struct kv_digest){.high = h2, .low = h1};
}

/* Sums of these are equal where states are (STATE-7). */
struct kv_digest digest_record(const void *key, size_t key_len, const void *value, size_t value_len)
{
    return murmur(murmur((struct kv_digest){0, 0}, key, key_len), value, value_len);
}
