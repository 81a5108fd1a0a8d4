/* What is known about the age of a state, without clocks that agree (BOUND-1 to BOUND-7).
 *
 * At a leader, of each follower: one stamp that waits for a round to prove it, and one that is
 * proved and goes back with the next heartbeat. A stamp that waits is not replaced: the fastest
 * follower of five would replace it each time before a quorum has answered, and get no proof ever.
 *
 * At a receiver: pairs of a time of the own hold clock and an index. A pair is true for ever; it is
 * of use when the state has come to its index, and as long as the clock tells how old it is. */
#ifndef RIDD_RAFT_STAMPS_INT_H
#define RIDD_RAFT_STAMPS_INT_H

#include "raft/raft.h"

struct stamps {
    struct raft_stamp waiting; /* nonce 0: none */
    uint64_t needs;            /* the first round that was opened after it came */
    struct raft_stamp proved;
};

/* Times and indexes both rise along the list. Of those that the state has come to only the newest
 * is there, as the first; the others wait for it. */
struct pairs {
    struct raft_pair list[RAFT_PAIRS_MAX + 1];
    unsigned n;
    /* No earlier time makes a pair: the clock showed it before it stood still unseen (BOUND-7). */
    uint64_t first_us;
};

#endif
