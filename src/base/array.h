/* Room for more items in an array that grows at its end and whose items lie beside each other.
 *
 * For: what is handed on as a pointer and a count (messages of a ready, configurations, ranges of
 * terms), or is kept sorted.
 * Not for: what is taken from the front as well: base/ring.h.
 * Units: items, `width` bytes each.
 * Ownership: the caller's: array, number and size. What array_reserve() returns takes the place of
 * the array that went in; pointers into the old one mean nothing any more.
 * Errors: NULL when memory is out: the array that went in is as it was, and still the caller's.
 * Thread: one at a time.
 * Source: doubling, so that n items cost no more than 2n copies. */
#ifndef RIDD_BASE_ARRAY_H
#define RIDD_BASE_ARRAY_H

#include <stddef.h>

#include "base/arena.h"

/* The array (NULL: none yet) with room for `more` items behind the first n; *size is how many it
 * has room for, and changes with it. */
void *array_reserve(struct mem mem, void *array, size_t *size, size_t n, size_t more, size_t width);

#endif
