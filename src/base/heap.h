/* An intrusive heap: the object with the smallest key first.
 *
 * For: objects that wait until a number passes theirs, in no order, and may leave before.
 * Not for: what comes in order already (base/list.h), nor deadlines, nearly all of which are taken
 * back (replica/timers.h). Those of one key come in any order.
 * Ownership: the heap owns nothing; who frees an object takes it out first. A node that is in a
 * heap may not move.
 * Errors: none; no memory is asked for. A node in two heaps is an error of the programmer.
 * Thread: one at a time.
 * Source: Fredman, Sedgewick, Sleator and Tarjan, The Pairing Heap: to add takes a step, to remove
 * the logarithm of n, taken over all.
 * Obvious: units. */
#ifndef RIDD_BASE_HEAP_H
#define RIDD_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: in none. */
struct heap_node {
    uint64_t key;
    struct heap_node *child; /* the first of those below it */
    struct heap_node *next;  /* below the same one */
    struct heap_node *prev;  /* before it there, or the one above; NULL: the first of the heap */
    bool in_heap;
};

/* All zero: empty. */
struct heap {
    struct heap_node *first; /* NULL: empty */
    unsigned n;
};

void heap_add(struct heap *h, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *node);

#endif
