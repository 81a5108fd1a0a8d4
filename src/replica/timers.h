/* Deadlines of requests: a hashed wheel of one-millisecond slots.
 *
 * For: thousands of deadlines of which nearly all are taken back before they come: to add and to
 * remove is O(1).
 * Not for: calling anybody: timers_expired() hands out what is due, earliest slot first. A node
 * further away than one turn of the wheel stays in its slot until its turn comes.
 * Units: microseconds in, slots of TIMERS_TICK_US inside; never early, late by up to one slot.
 * Ownership: nodes are the caller's, linked in until they are removed or handed out; they may not
 * move or go meanwhile.
 * Errors: none; no memory is asked for.
 * Thread: one.
 * Source: Varghese and Lauck, Hashed and Hierarchical Timing Wheels, scheme 6. */
#ifndef RIDD_REPLICA_TIMERS_H
#define RIDD_REPLICA_TIMERS_H

#include <stdint.h>

#include "base/list.h"

#define TIMERS_SLOTS   1024u
#define TIMERS_TICK_US 1000u

#define TIMERS_WORDS (TIMERS_SLOTS / 64u)

struct timers {
    struct list slots[TIMERS_SLOTS];
    /* A bit for each slot that something was added to since it was last found empty: to look for
     * the next deadline takes a few words, not a walk over all slots. */
    uint64_t used[TIMERS_WORDS];
    uint64_t tick; /* the next one to look at */
    unsigned n;
};

void timers_init(struct timers *t, uint64_t now_us);
/* node must be initialised and in no list. */
void timers_add(struct timers *t, struct list *node, uint64_t deadline_us);
void timers_remove(struct timers *t, struct list *node);
/* Moves every node whose slot has passed into due; deadline_of() tells which of them are really
 * due. They are timers_remove()d from there like any other. */
void timers_expired(struct timers *t, uint64_t now_us,
                    uint64_t (*deadline_of)(const struct list *node), struct list *due);
/* When to look again; UINT64_MAX when empty. */
uint64_t timers_next_us(struct timers *t);

#endif
