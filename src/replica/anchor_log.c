/* Reads of the log: a marker is proposed, and the read is answered from the state at exactly that
 * entry. Costs a write to a majority of disks; needs no round.
 *
 * The anchor is not an index but an entry: only the marker itself, with its term, committed in the
 * term in which it was appended, is one. An entry of another leader at the same index is not: the
 * read has failed by then, with the proposals of its term (READ-60). */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    return proposals_add(r, q, RAFT_ENTRY_READ, NULL, 0);
}

static void confirm(struct replica *r, const struct raft_ready *ready)
{
    struct list *proposed = &r->queues[REPLICA_PROPOSED].list;
    raft_index first;

    if (ready->n_committed == 0)
        return;
    first = ready->committed[0].id.index;
    list_for_each_safe(it, proposed)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (q->entry.index >= first + ready->n_committed)
            break;
        rid_assert(q->entry.index >= first);
        if (q->kind != REPLICA_READ_LOG)
            continue;
        rid_assert(q->entry.term == ready->committed[q->entry.index - first].id.term);
        q->anchor = (struct replica_anchor){.index = q->entry.index,
                                            .proof = REPLICA_PROOF_MARKER,
                                            .by = r->id,
                                            .term = q->entry.term,
                                            .entry = q->entry};
        anchor_confirmed(r, q);
    }
}

/* Markers are lost with the other proposals of their term, in the order of the log: proposals.c. */
const struct anchor_provider anchor_log = {
    .use = ANCHOR_EXACT, .by_leader = true, .ask = ask, .confirm = confirm};
