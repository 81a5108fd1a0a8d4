#include "kv/sound_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limits.h"
#include "kv/page_int.h"

#include "base/banned.h"

#define LANES      4u
#define LANE_WORDS 2u
#define STEP       0x9e3779b97f4a7c15u /* odd: multiplying by it loses nothing */

static uint64_t rotate(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    return rotate(h ^ word, 29) * STEP;
}

/* Two words at a time. */
static uint64_t mix_copy(uint64_t h, unsigned char *to, const unsigned char *from)
{
    uint64_t words[LANE_WORDS];

    memcpy(words, from, sizeof(words));
    memcpy(to, words, sizeof(words));
    return mix(h, words[0] ^ rotate(words[1], 23));
}

/* Each step is a bijection of what came before for given words, and of each word for all else:
 * whatever differs within one word is seen for certain. What differs in many is missed once in
 * 2^64. Four sums side by side, or each multiplication would wait for the one before. */
uint64_t sound_copy(unsigned char *to, const unsigned char *page, size_t page_bytes)
{
    const size_t lane_bytes = LANE_WORDS * sizeof(uint64_t);
    uint64_t a = 1;
    uint64_t b = 2;
    uint64_t c = 3;
    uint64_t d = 4;

    for (size_t at = 0; at < page_bytes; at += LANES * lane_bytes) {
        a = mix_copy(a, to + at, page + at);
        b = mix_copy(b, to + at + lane_bytes, page + at + lane_bytes);
        c = mix_copy(c, to + at + 2 * lane_bytes, page + at + 2 * lane_bytes);
        d = mix_copy(d, to + at + 3 * lane_bytes, page + at + 3 * lane_bytes);
    }
    return mix(mix(mix(a, b), c), d);
}

static struct sound_page *place_of(const struct sound *s, uint64_t pgno)
{
    return &s->pages[pgno & (s->n - 1)];
}

bool sound_knows(const struct sound *s, uint64_t pgno, uint64_t sum)
{
    return s->n > 0 && place_of(s, pgno)->pgno == pgno && place_of(s, pgno)->sum == sum;
}

void sound_note(struct sound *s, uint64_t pgno, uint64_t sum)
{
    if (s->n > 0)
        *place_of(s, pgno) = (struct sound_page){pgno, sum};
}

struct held_page *sound_place(struct sound *s, uint64_t pgno)
{
    return &s->held[pgno % KV_HELD_PAGES];
}

const unsigned char *sound_held(struct sound *s, uint64_t pgno, const unsigned char *in_file,
                                size_t page_bytes)
{
    struct held_page *held = sound_place(s, pgno);

    if (held->pgno != pgno)
        return NULL;
    if (s->txnid - held->txnid > 1 && memcmp(held->bytes, in_file, page_bytes) != 0) {
        held->pgno = 0;
        return NULL;
    }
    held->txnid = s->txnid;
    return held->bytes;
}

void sound_hold(struct sound *s, uint64_t pgno, const unsigned char *page, size_t page_bytes)
{
    struct held_page *held = sound_place(s, pgno);

    if (held->bytes == NULL)
        held->bytes = malloc(page_bytes);
    held->pgno = held->bytes != NULL ? pgno : 0;
    held->txnid = s->txnid;
    if (held->bytes != NULL)
        memcpy(held->bytes, page, page_bytes);
}

/* As many places as pages; what was known is found out again. Without memory all pages are checked
 * each time. */
void sound_make_room(struct sound *s, uint64_t n_pages)
{
    uint64_t n = s->n > 0 ? s->n : 64;

    while (n < n_pages && n < KV_SOUND_PAGES_MAX)
        n *= 2;
    if (n == s->n)
        return;
    free(s->pages);
    s->pages = calloc(n, sizeof(*s->pages)); /* page 0 is a head, and never asked about */
    s->n = s->pages != NULL ? n : 0;
}

void sound_free(struct sound *s)
{
    free(s->pages);
    for (unsigned i = 0; i < KV_HELD_PAGES; i++)
        free(s->held[i].bytes);
    *s = (struct sound){0};
}

/* ---- the map ---- */

void page_map(struct page_file *f)
{
    const uint64_t bytes = f->n_pages * f->page_bytes;
    void *p;

    if (bytes <= f->map_bytes)
        return;
    page_unmap(f);
    f->map_bytes = (bytes / KV_MAP_ROOM_BYTES + 1) * KV_MAP_ROOM_BYTES;
    p = mmap(NULL, (size_t)f->map_bytes, PROT_READ, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED)
        f->map_bytes = 0;
    else
        f->map = p;
}

void page_unmap(struct page_file *f)
{
    if (f->map != NULL)
        (void)munmap((void *)(uintptr_t)f->map, (size_t)f->map_bytes); /* NOLINT */
    f->map = NULL;
    f->map_bytes = 0;
}
