/* Who decides: the one piece of quorum arithmetic, asked about a configuration.
 *
 * For: everything that needs a majority: votes, commit, read rounds, whether a leader is still
 * heard, what a status or an error says is needed. Nobody else counts voters.
 * Not for: more than one majority at a time: a configuration changes by one server, so two that
 * follow each other share a voter in every two majorities.
 * Units: what the getter gives; values are compared as unsigned 64-bit numbers, never
 * subtracted.
 * Ownership: nothing is kept; the configuration and ctx are borrowed for the call.
 * Errors: none. A configuration without voters has no quorum: the value is 0 and nothing is
 * reached.
 * Thread: any; pure.
 * Source: dissertation 3.4 and 3.6.2; rules READ-9, READ-13 and READ-22: commits and rounds use
 * the same arithmetic, learners never count, and this node counts only where the configuration
 * has it as a voter.
 *
 * The question is asked at the moment of use, of the configuration in force then (READ-24): an
 * answer is never kept across a change of the configuration. */
#ifndef RIDD_RAFT_QUORUM_H
#define RIDD_RAFT_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/configuration.h"

/* What the server c->servers[slot] has reached: an index, a round, a time. Asked of voters only. */
typedef uint64_t raft_quorum_get(const void *ctx, unsigned slot);
/* Whether the server c->servers[slot] does what is asked about. Asked of voters only. */
typedef bool raft_quorum_has(const void *ctx, unsigned slot);

/* The largest v such that a majority of the voters has reached at least v. */
uint64_t raft_quorum_value(const struct raft_configuration *c, raft_quorum_get *get,
                           const void *ctx);
/* Voters for whom it is true. */
unsigned raft_quorum_count(const struct raft_configuration *c, raft_quorum_has *has,
                           const void *ctx);
/* It is true for a majority of the voters. */
bool raft_quorum_reached(const struct raft_configuration *c, raft_quorum_has *has, const void *ctx);
/* Members of the smallest majority: 1, 2, 2, 3, 3, 4, 4 for 1 .. 7 voters. */
unsigned raft_quorum_size(const struct raft_configuration *c);

#endif
