/* What this node has promised to leaders: no commit of any other leader that it helps to elect
 * before a time of its own clock (LEASE-1).
 *
 * A promise restricts nothing here: who has given one votes, campaigns and follows higher terms as
 * ever. It is told to whoever is elected, and that one waits. So a change of the term clears
 * nothing, and promises to several terms are kept apart: one that was given to the leader before
 * the last still counts when the last one hands over (LEASE-2, LEASE-5).
 *
 * Times are of the clock that stands still in a suspended machine: who waits waits longer by it. */
#ifndef RIDD_RAFT_PROMISES_INT_H
#define RIDD_RAFT_PROMISES_INT_H

#include "raft/types.h"

struct promise {
    raft_term term; /* RAFT_TERM_NONE: free */
    uint64_t until_us;
};

struct promises {
    struct promise list[RAFT_PROMISES_MAX];
    /* To terms that are not known: those that had to give way, and what may have been promised
     * before the process started. */
    uint64_t other_until_us;
};

/* So long another clock must be waited on for us to have passed on one's own, whichever of them is
 * the faster one: times (1 + rho) / (1 - rho), rounded up (LEASE-0). */
uint64_t raft_stretch_us(uint64_t us);
/* The longest promise that anybody can have given. */
uint64_t raft_promise_us_max(void);

/* To the leader of that term. Never shortens one. */
void raft_promises_book(struct promises *p, raft_term term, uint64_t until_us, uint64_t now_us);
/* Longest that one still runs, but for those to these two terms. */
uint64_t raft_promises_left_us(const struct promises *p, raft_term but, raft_term nor,
                               uint64_t now_us);

#endif
