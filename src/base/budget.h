/* Bytes that are held for somebody, counted where they are taken and where they go back.
 *
 * An account has one above it, and what is charged to it is charged to all above, too:
 *
 *   connection: replies ──► all replies ──┐
 *               commands ─► all commands ─┴► both ──┐
 *               requests ─► all requests ───────────┼► the process
 *               stream ───► all streams ────────────┘
 *
 * For: memory that grows with what clients do: replies that are not read, requests and commands
 * under way. Who charges asks first, and lets the work wait, or refuses it, when the answer is no.
 * Not for: peers, log, apply, elections and status: what empties an account never waits for one
 * (CLIENT-14). Not for time: slice.h.
 * Units: bytes, as they were asked of the allocator.
 * Ownership: plain values; the account above outlives those below.
 * Errors: none: an account may be overdrawn, since what is here already must be counted. To give
 * back more than was taken is an error of the programmer.
 * Thread: one.
 * Source: CLIENT-13. */
#ifndef RIDD_BASE_BUDGET_H
#define RIDD_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"

struct budget {
    struct budget *up; /* NULL: the topmost */
    size_t used;
    size_t limit; /* SIZE_MAX: none of its own */
};

static inline void budget_init(struct budget *b, struct budget *up, size_t limit)
{
    b->up = up;
    b->used = 0;
    b->limit = limit;
}

static inline void budget_take(struct budget *b, size_t bytes)
{
    for (; b != NULL; b = b->up)
        b->used += bytes;
}

static inline void budget_give(struct budget *b, size_t bytes)
{
    for (; b != NULL; b = b->up) {
        rid_assert(b->used >= bytes);
        b->used -= bytes;
    }
}

/* It is exactly so much now. */
static inline void budget_set(struct budget *b, size_t bytes)
{
    if (bytes > b->used)
        budget_take(b, bytes - b->used);
    else if (bytes < b->used)
        budget_give(b, b->used - bytes);
}

/* So much more fits, here and in all above. */
static inline bool budget_may(const struct budget *b, size_t bytes)
{
    for (; b != NULL; b = b->up)
        if (b->used > b->limit || bytes > b->limit - b->used)
            return false;
    return true;
}

static inline const struct budget *budget_root(const struct budget *b)
{
    while (b->up != NULL)
        b = b->up;
    return b;
}

/* ---- what clients cost a process ---- */

struct memory {
    struct budget all;
    struct budget bulk;     /* replies and commands together */
    struct budget replies;  /* not yet taken by the client */
    struct budget requests; /* lines that are not whole, requests that wait or are under way */
    struct budget commands; /* of writes that wait or are proposed */
    struct budget streams;  /* of TLS: what its library keeps for each connection */
    size_t kept;            /* of each, for requests of connections that have few under way */
};

void memory_init(struct memory *m, size_t limit);
void memory_set_limit(struct memory *m, size_t limit);
/* More than this is owed by nobody who owes something already: soon somebody must go. */
bool memory_is_tight(const struct memory *m);

/* The accounts of one connection. */
struct memory_conn {
    const struct memory *memory; /* NULL: unbounded */
    struct budget replies;
    struct budget requests;
    struct budget commands;
    struct budget stream;
    bool waits; /* a reply found no room; cleared by who gives it some */
};

/* m NULL: counted, and bounded by nothing but the connection's own marks. */
void memory_conn_init(struct memory_conn *c, struct memory *m);
/* May so many bytes of a request, and of its command, be held now? To be charged by who asked. */
bool memory_conn_may_hold(const struct memory_conn *c, size_t request, size_t command);
/* May a reply of so many bytes be written into out now? Yes: it is charged, roughly, until the
 * owner of out says what it came to. No: this is remembered in c->waits. */
bool memory_conn_may_reply(struct memory_conn *c, const struct buf *out, size_t bytes);
/* The next such question will be answered with yes, however long the reply is. */
bool memory_conn_has_room(const struct memory_conn *c, const struct buf *out);

#endif
