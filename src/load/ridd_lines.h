/* ridd's own protocol, by hand: it must cost less than what it measures.
 *
 * For: the loop of a load.
 * Not for: clients (libridd), or whoever wants to know more of an answer.
 * Units: milliseconds where a name ends so.
 * Ownership: load.h. The tables live for ever.
 * Errors: -EPROTO: what came is no answer to what was asked. An answer that is one, and says what a
 * method may not say (a linearizable read that is none), is LOAD_WRONG.
 * Thread: the loop's; load_ridd_set_max_stale() before there are any.
 * Source: ridd-protocol(7). */
#ifndef RIDD_LOAD_RIDD_LINES_H
#define RIDD_LOAD_RIDD_LINES_H

#include "load/load.h"

enum load_ridd_via {
    LOAD_RIDD_READ_INDEX = 0,
    LOAD_RIDD_LOG,
    LOAD_RIDD_LEASE,
    LOAD_RIDD_FOLLOWER,
    LOAD_RIDD_LOCAL,
    LOAD_RIDD_BOUNDED,
    LOAD_RIDD_N_VIAS
};

/* One key is read so; whatever way that is, batches and scans are read by read_index. */
const struct load_protocol *load_ridd(enum load_ridd_via via);
/* How old what LOAD_RIDD_BOUNDED finds may be. */
void load_ridd_set_max_stale(unsigned ms);

#endif
