/* How fast the clock of one peer is against this node's own, from the readings that it sends with
 * its answers (LEASE-13).
 *
 * The peer read its clock after the round that it answers was opened and before the answer came:
 * both are known by the own clock, so each reading comes with a bracket, and two of them give a
 * rate that lies between two bounds for sure. No average and no threshold on noise: what is said to
 * drift does.
 *
 * The tightest reading of each while is kept (RAFT_DRIFT_SLOT_US), RAFT_DRIFT_SLOTS of them. A new
 * process of the peer, or a machine that was suspended, begins anew. */
#ifndef RIDD_RAFT_DRIFT_INT_H
#define RIDD_RAFT_DRIFT_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct drift_reading {
    uint64_t peer_us;   /* what its clock showed */
    uint64_t before_us; /* own clock: not before this, */
    uint64_t after_us;  /* and not after this */
};

struct drift {
    uint64_t nonce; /* of the process of the peer that the readings are of; 0: there are none */
    uint64_t suspended_us; /* its hold clock minus its other one, the most it said */
    struct drift_reading list[RAFT_DRIFT_SLOTS]; /* oldest first */
    unsigned n;
    uint64_t slot_us; /* own clock: the while of the newest began then */
    bool beyond;      /* two of them say so for sure */
};

struct drift_rate {
    int32_t ppm; /* above 0: the peer's is faster */
    uint32_t error_ppm;
};

void raft_drift_forget(struct drift *d);
/* suspended_us: the peer's hold clock minus the one that was read. */
void raft_drift_note(struct drift *d, uint64_t nonce, uint64_t suspended_us,
                     const struct drift_reading *reading);
/* The two clocks differ by more than RAFT_DRIFT_PPM_MAX for sure, by what was heard of late. */
bool raft_drift_is_beyond(const struct drift *d, uint64_t now_us);
/* False: not known yet. */
bool raft_drift_get_rate(const struct drift *d, struct drift_rate *ret_rate);

#endif
