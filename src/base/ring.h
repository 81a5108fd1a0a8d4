/* A typed queue in one growing block: pushed at the newest end, popped from the oldest.
 *
 * For: queues and lists whose items are looked at by their place, 0 being the oldest: what waits
 * for the disk, reads in a round, slots. An item costs no allocation once the block has grown; a
 * list that only grows and is cleared is the special case that never pops.
 * Not for: removing from the middle, or items that must keep their address: pushing may move them
 * (base/list.h does both).
 * Units: items, not bytes.
 * Ownership: the ring owns its block and copies items in and out; what an item points at stays the
 * caller's. Pointers from _at() hold until the next push, reserve or done.
 * Errors: push and reserve return -ENOMEM, and the ring is as before. A place that does not exist
 * is an error of the programmer: it is asserted.
 * Thread: one at a time.
 * Source: the usual power-of-two ring; TAOCP 2.2.2.
 *
 * RING_DEFINE(held_ring, struct held_msg) makes `struct held_ring` and
 *
 *   void   held_ring_init(struct held_ring *q, struct mem mem)     empty; asks for no memory
 *   void   held_ring_done(struct held_ring *q)                     gives its block back; empty
 *   size_t held_ring_n(const struct held_ring *q)
 *   int    held_ring_reserve(struct held_ring *q, size_t more)     so many pushes cannot fail
 *   int    held_ring_push(struct held_ring *q, struct held_msg item)
 *   struct held_msg *held_ring_at(const struct held_ring *q, size_t i)
 *   struct held_msg *held_ring_last(const struct held_ring *q)
 *   struct held_msg  held_ring_pop(struct held_ring *q)            the oldest
 *   void   held_ring_drop(struct held_ring *q, size_t n)           the n oldest
 *   void   held_ring_truncate(struct held_ring *q, size_t n)       all but the n oldest
 *   void   held_ring_copy(const struct held_ring *q, size_t from, size_t n,
 *                         struct held_msg *to)
 *
 * Everything but push and reserve takes the same time whatever the size (copy: per item). A ring of
 * zero bytes is empty and may be passed to _n and _done. */
#ifndef RIDD_BASE_RING_H
#define RIDD_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"

/* The part that no type is needed for. `head + n` may pass `size`: places are taken modulo size. */
struct ring {
    struct mem mem;
    void *items; /* owned; NULL while size is 0 */
    size_t size; /* 0 or a power of two */
    size_t head; /* of the oldest; < size, or 0 */
    size_t n;    /* <= size */
};

/* Room for `more` items beside the n that are there. 0 or -ENOMEM: unchanged. */
int ring_grow(struct ring *r, size_t item_bytes, size_t more);
void ring_free(struct ring *r);
void ring_copy_out(const struct ring *r, size_t item_bytes, size_t from, size_t n, void *to);

static inline int ring_reserve(struct ring *r, size_t item_bytes, size_t more)
{
    return r->size - r->n >= more ? 0 : ring_grow(r, item_bytes, more);
}

static inline size_t ring_place(const struct ring *r, size_t i)
{
    rid_assert(i < r->n);
    return (r->head + i) & (r->size - 1);
}

static inline void ring_drop(struct ring *r, size_t n)
{
    rid_assert(n <= r->n);
    r->n -= n;
    /* Empty: from the start again; a list that is filled and cleared stays in one piece. */
    r->head = r->n == 0 ? 0 : (r->head + n) & (r->size - 1);
}

static inline void ring_truncate(struct ring *r, size_t n)
{
    rid_assert(n <= r->n);
    r->n = n;
    if (n == 0)
        r->head = 0;
}

/* Nobody uses all of them. */
#define RING_FN static inline __attribute__((unused))

#define RING_DEFINE(name, type)                                                                    \
    struct name {                                                                                  \
        struct ring ring;                                                                          \
    };                                                                                             \
    RING_FN void name##_init(struct name *q, struct mem mem)                                       \
    {                                                                                              \
        q->ring = (struct ring){.mem = mem};                                                       \
    }                                                                                              \
    RING_FN void name##_done(struct name *q)                                                       \
    {                                                                                              \
        ring_free(&q->ring);                                                                       \
    }                                                                                              \
    RING_FN size_t name##_n(const struct name *q)                                                  \
    {                                                                                              \
        return q->ring.n;                                                                          \
    }                                                                                              \
    RING_FN int name##_reserve(struct name *q, size_t more)                                        \
    {                                                                                              \
        return ring_reserve(&q->ring, sizeof(type), more);                                         \
    }                                                                                              \
    RING_FN type *name##_at(const struct name *q, size_t i)                                        \
    {                                                                                              \
        return (type *)q->ring.items + ring_place(&q->ring, i);                                    \
    }                                                                                              \
    RING_FN type *name##_last(const struct name *q)                                                \
    {                                                                                              \
        return name##_at(q, q->ring.n - 1);                                                        \
    }                                                                                              \
    RING_FN int name##_push(struct name *q, type item)                                             \
    {                                                                                              \
        int rc = ring_reserve(&q->ring, sizeof(type), 1);                                          \
                                                                                                   \
        if (rc != 0)                                                                               \
            return rc;                                                                             \
        q->ring.n++;                                                                               \
        *name##_last(q) = item;                                                                    \
        return 0;                                                                                  \
    }                                                                                              \
    RING_FN type name##_pop(struct name *q)                                                        \
    {                                                                                              \
        type item = *name##_at(q, 0);                                                              \
                                                                                                   \
        ring_drop(&q->ring, 1);                                                                    \
        return item;                                                                               \
    }                                                                                              \
    RING_FN void name##_drop(struct name *q, size_t n)                                             \
    {                                                                                              \
        ring_drop(&q->ring, n);                                                                    \
    }                                                                                              \
    RING_FN void name##_truncate(struct name *q, size_t n)                                         \
    {                                                                                              \
        ring_truncate(&q->ring, n);                                                                \
    }                                                                                              \
    RING_FN void name##_copy(const struct name *q, size_t from, size_t n, type *to)                \
    {                                                                                              \
        ring_copy_out(&q->ring, sizeof(type), from, n, to);                                        \
    }                                                                                              \
    struct name##_semicolon

#endif
