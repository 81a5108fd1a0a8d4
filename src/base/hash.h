/* FNV-1a in 64 and 128 bits, with a finalizer.
 *
 * For: identities made of names, and tables.
 * Not for: an attacker: collisions can be made.
 * Units: bytes.
 * Errors: none.
 * Thread: any; pure.
 * Source: draft-eastlake-fnv; the finalizer is that of MurmurHash3. What is stored or sent by its
 * value may never change.
 * Obvious: ownership. */
#ifndef RIDD_BASE_HASH_H
#define RIDD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t hash_fnv64(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return hash_mix64(h);
}

/* In little-endian order. */
void hash_fnv128(const void *data, size_t len, unsigned char ret_hash[16]);

#endif
