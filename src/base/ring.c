/* Growing a ring, and copying out of it: where its two pieces are laid into one. */
#include "base/ring.h"

#include <errno.h>
#include <stdint.h>

#include "base/banned.h"

/* The first block; a queue that is used at all soon holds this many. */
#define RING_SIZE_MIN 16u

void ring_copy_out(const struct ring *r, size_t item_bytes, size_t from, size_t n, void *to)
{
    const unsigned char *items = r->items;
    unsigned char *out = to;
    size_t at;
    size_t first; /* items up to the end of the block; the rest stands at its start */

    rid_assert(from <= r->n);
    rid_assert(n <= r->n - from);
    if (n == 0)
        return;
    at = ring_place(r, from);
    first = r->size - at < n ? r->size - at : n;
    memcpy(out, items + at * item_bytes, first * item_bytes);
    memcpy(out + first * item_bytes, items, (n - first) * item_bytes);
}

int ring_grow(struct ring *r, size_t item_bytes, size_t more)
{
    size_t size = r->size > 0 ? r->size : RING_SIZE_MIN;
    void *items;

    rid_assert(item_bytes > 0);
    if (more > SIZE_MAX / 2 - r->n)
        return -ENOMEM;
    while (size < r->n + more)
        size *= 2;
    if (size > SIZE_MAX / item_bytes)
        return -ENOMEM;
    /* Not resized in place: the piece at the start would have to move behind the other. */
    items = r->mem.resize(r->mem.ctx, NULL, size * item_bytes);
    if (items == NULL)
        return -ENOMEM;
    ring_copy_out(r, item_bytes, 0, r->n, items);
    if (r->items != NULL)
        (void)r->mem.resize(r->mem.ctx, r->items, 0);
    r->items = items;
    r->size = size;
    r->head = 0;
    return 0;
}

void ring_free(struct ring *r)
{
    if (r->items != NULL)
        (void)r->mem.resize(r->mem.ctx, r->items, 0);
    *r = (struct ring){.mem = r->mem};
}
