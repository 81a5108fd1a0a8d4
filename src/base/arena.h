/* A bump allocator: many small blocks, released together.
 *
 * For: what lives as long as one turn or one request: decoded entries, keys, texts.
 * Not for: blocks that are freed one by one, or that outlive the reset.
 * Units: bytes.
 * Ownership: the arena owns its chunks, which come from the allocator given at _init. A block is
 * the caller's until arena_reset() or arena_done(), is aligned to 16 bytes, and is never freed
 * alone. arena_reset() keeps the first chunk, so that a loop settles without asking for memory.
 * Errors: NULL only when the given allocator fails; the arena is as before.
 * Thread: one at a time.
 * Source: the usual region allocator (Hanson, 1990). */
#ifndef RIDD_BASE_ARENA_H
#define RIDD_BASE_ARENA_H

#include <stddef.h>

/* Where memory comes from. resize(ctx, NULL, n) allocates, resize(ctx, p, 0) frees and returns
 * NULL, as realloc. */
struct mem {
    void *(*resize)(void *ctx, void *ptr, size_t size);
    void *ctx;
};

struct arena_chunk;

struct arena {
    struct mem mem;
    struct arena_chunk *first; /* owned */
    struct arena_chunk *last;  /* borrowed, in the chain of first */
};

/* libc's realloc and free. */
extern const struct mem mem_libc;

void arena_init(struct arena *a, struct mem mem);
void *arena_alloc(struct arena *a, size_t size);
void arena_reset(struct arena *a);
/* Where the arena stands; blocks that were given out since can be given back together. Valid until
 * the next arena_reset(). */
struct arena_mark {
    struct arena_chunk *last;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);
void arena_done(struct arena *a);

#endif
