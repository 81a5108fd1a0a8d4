/* Bytes that are kept once and have a number, from 0. Chunks are never moved, so what was handed out stays where it is. */
#include "mc/mc.h"

#include "base/banned.h"

#define CHUNK_BYTES (1u << 20)

void *mc_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL) {
        fprintf(stderr, "mc: out of memory\n");
        exit(70);
    }
    return p;
}

void *mc_grow(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL) {
        fprintf(stderr, "mc: out of memory\n");
        exit(70);
    }
    return p;
}

static uint32_t hash_of(const unsigned char *p, size_t len)
{
    uint64_t h = len * 0x9e3779b97f4a7c15u;

    while (len > 0) {
        uint64_t v = 0;
        const size_t n = len < 8 ? len : 8;

        memcpy(&v, p, n);
        h = (h ^ v) * 0xbf58476d1ce4e5b9u;
        h ^= h >> 29;
        p += n;
        len -= n;
    }
    h *= 0x94d049bb133111ebu;
    return (uint32_t)(h >> 32);
}

static void put_slot(struct mc_pool *p, uint32_t number)
{
    uint32_t at = p->places[number].hash & (p->n_slots - 1);

    while (p->slots[at] != 0)
        at = (at + 1) & (p->n_slots - 1);
    p->slots[at] = number + 1;
}

static void make_room(struct mc_pool *p)
{
    if (p->n == p->size) {
        p->size = p->size != 0 ? 2 * p->size : 256;
        p->places = mc_grow(p->places, p->size * sizeof(*p->places));
    }
    if (2 * p->n < p->n_slots)
        return;
    free(p->slots);
    p->n_slots = p->n_slots != 0 ? 2 * p->n_slots : 1024;
    p->slots = mc_alloc(p->n_slots * sizeof(*p->slots));
    for (uint32_t i = 0; i < p->n; i++)
        put_slot(p, i);
}

static uint32_t add(struct mc_pool *p, const void *bytes, size_t len, uint32_t hash)
{
    rid_assert(len <= CHUNK_BYTES);
    make_room(p);
    if (p->n_chunks == 0 || p->chunk_used + len > CHUNK_BYTES) {
        p->chunks = mc_grow(p->chunks, (p->n_chunks + 1) * sizeof(*p->chunks));
        p->chunks[p->n_chunks++] = mc_alloc(CHUNK_BYTES);
        p->chunk_used = 0;
    }
    if (len > 0)
        memcpy(p->chunks[p->n_chunks - 1] + p->chunk_used, bytes, len);
    p->places[p->n] = (struct mc_place){.chunk = (uint32_t)(p->n_chunks - 1),
                                        .at = (uint32_t)p->chunk_used,
                                        .len = (uint32_t)len,
                                        .hash = hash};
    p->chunk_used += len;
    put_slot(p, p->n);
    return p->n++;
}

uint32_t mc_pool_put(struct mc_pool *p, const void *bytes, size_t len)
{
    const uint32_t hash = hash_of(bytes, len);

    for (uint32_t at = hash; p->n_slots > 0; at++) {
        const uint32_t number = p->slots[at & (p->n_slots - 1)];
        const struct mc_place *place;

        if (number == 0)
            break;
        place = &p->places[number - 1];
        if (place->hash == hash && place->len == len &&
            memcmp(p->chunks[place->chunk] + place->at, bytes, len) == 0)
            return number - 1;
    }
    return add(p, bytes, len, hash);
}

const unsigned char *mc_pool_get(const struct mc_pool *p, uint32_t number, size_t *ret_len)
{
    rid_assert(number < p->n);
    *ret_len = p->places[number].len;
    return p->chunks[p->places[number].chunk] + p->places[number].at;
}

size_t mc_pool_bytes(const struct mc_pool *p)
{
    return p->n_chunks * CHUNK_BYTES + p->size * sizeof(*p->places) +
           p->n_slots * sizeof(*p->slots);
}

void mc_write(struct mc_writer *w, uint64_t v)
{
    do {
        rid_assert(w->at < w->end);
        *w->at++ = (unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v != 0);
}

uint64_t mc_read(struct mc_reader *r)
{
    uint64_t v = 0;
    unsigned shift = 0;

    do {
        rid_assert(r->at < r->end);
        v |= (uint64_t)(*r->at & 0x7f) << shift;
        shift += 7;
    } while ((*r->at++ & 0x80) != 0);
    return v;
}
