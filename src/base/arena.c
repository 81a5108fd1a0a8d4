/* Chunks in a chain; the last one is filled from the front. A block larger than a chunk gets a
 * chunk of its own. */
#include "base/arena.h"

#include <stdlib.h>

#define ARENA_CHUNK_BYTES 16384u

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    size_t used;
    size_t pad; /* keeps data aligned to 16 */
    unsigned char data[];
};

static void *libc_resize(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

const struct mem mem_libc = {libc_resize, NULL};

void arena_init(struct arena *a, struct mem mem)
{
    a->mem = mem;
    a->first = NULL;
    a->last = NULL;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct arena_chunk *c = a->last;
    void *p;

    size = (size + 15u) & ~(size_t)15u;
    if (c == NULL || c->size - c->used < size) {
        size_t want = size > ARENA_CHUNK_BYTES ? size : ARENA_CHUNK_BYTES;

        c = a->mem.resize(a->mem.ctx, NULL, sizeof(*c) + want);
        if (c == NULL)
            return NULL;
        c->next = NULL;
        c->size = want;
        c->used = 0;
        if (a->last != NULL)
            a->last->next = c;
        else
            a->first = c;
        a->last = c;
    }
    p = c->data + c->used;
    c->used += size;
    return p;
}

static void free_chain(struct arena *a, struct arena_chunk *c)
{
    while (c != NULL) {
        struct arena_chunk *next = c->next;

        a->mem.resize(a->mem.ctx, c, 0);
        c = next;
    }
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->last, a->last != NULL ? a->last->used : 0};
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    if (mark.last == NULL) {
        arena_done(a);
        return;
    }
    free_chain(a, mark.last->next);
    mark.last->next = NULL;
    mark.last->used = mark.used;
    a->last = mark.last;
}

void arena_reset(struct arena *a)
{
    if (a->first == NULL)
        return;
    if (a->first->size > ARENA_CHUNK_BYTES) {
        arena_done(a);
        return;
    }
    free_chain(a, a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
}

void arena_done(struct arena *a)
{
    free_chain(a, a->first);
    a->first = NULL;
    a->last = NULL;
}
