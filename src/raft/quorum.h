/* The one piece of quorum arithmetic: commit, read rounds and votes all use it (READS R13). Pure.
 */
#ifndef RIDD_RAFT_QUORUM_H
#define RIDD_RAFT_QUORUM_H

#include <stdint.h>

/* The largest v such that a majority of the n values are at least v; 0 when n is 0. Reorders
 * values. */
uint64_t raft_quorum_value(uint64_t *values, unsigned n);
/* Members of the smallest majority of n: 1, 2, 2, 3, 3, 4, 4 for n = 1 .. 7. */
unsigned raft_quorum_size(unsigned n);

#endif
