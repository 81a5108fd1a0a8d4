/* Local reads: no anchor, no proof. Whatever this node has applied, however old; but not less than
 * its own session wrote here before (READ-58), nor than the client says that it has seen, if it
 * does (TOKEN-1): it never goes back in time, on any node, and nobody is asked for that. */
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    if (q->min_index > r->last_applied)
        return awaited_add(r, q);
    q->anchor = (struct replica_anchor){.index = 0};
    anchor_confirmed(r, q);
    r->dirty = true; /* in this turn, if one is being taken */
    return WIRE_ERROR_NONE;
}

const struct anchor_provider anchor_local = {.use = ANCHOR_NONE, .by_leader = false, .ask = ask};
