/* What this node has put into the log and owes an answer for, in the order of the log: writes, and
 * the markers of reads until they are committed.
 *
 * A proposal is known by index and term. What is committed in the term in which it was appended is
 * certain and is answered when it is applied; the fate of the rest is not known here any more once
 * the leadership is lost. */
#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* Gate and role were looked at before: what is left is a bound, or memory. */
enum wire_error proposals_add(struct replica *r, struct replica_request *q,
                              enum raft_entry_type type, const void *data, size_t len)
{
    const struct replica_request *last = replica_last(r, REPLICA_PROPOSED);
    struct raft_entry_id id;
    int rc;

    rid_assert(q->stage == REPLICA_IDLE || q->stage == REPLICA_WAITING);
    /* Here, and not at arrival: a write that waited for a leader meets the room that there is now
     * (SPACE-2). */
    if (r->ops.may_propose != NULL && !r->ops.may_propose(r->ops.ctx, q, &r->refusal))
        return r->refusal.error;
    rc = raft_propose(r->raft, type, data, len, &id);
    if (rc != 0)
        return rc == RAFT_E_TOO_LARGE ? WIRE_ERROR_TOO_LARGE : WIRE_ERROR_BUSY;
    rid_assert(id.term == raft_get_term(r->raft));
    if (last != NULL)
        rid_assert(last->entry.index < id.index);
    q->entry = id;
    r->dirty = true;
    r->stats.n_entries_proposed++;
    r->stats.n_entry_bytes_proposed += len;
    q->times.begun_us = r->now_us;
    replica_move(r, q, REPLICA_PROPOSED);
    return WIRE_ERROR_NONE;
}

enum wire_error proposals_add_write(struct replica *r, struct replica_request *q)
{
    enum wire_error error = proposals_add(r, q, RAFT_ENTRY_COMMAND,
                                          q->command_len > 0 ? q->command : NULL, q->command_len);

    if (error != WIRE_ERROR_NONE)
        return error;
    if (q->session != NULL && q->session->last_write.term == q->entry.term)
        rid_assert(q->session->last_write.index < q->entry.index);
    r->stats.n_writes_proposed++;
    if (q->session != NULL)
        q->session->last_write = q->entry;
    return WIRE_ERROR_NONE;
}

void proposals_lose(struct replica *r, const struct raft_ready *ready)
{
    if (ready->loss == RAFT_LOSS_NONE)
        return;
    list_for_each_safe(it, &r->queues[REPLICA_PROPOSED].list)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (q->entry.term == ready->loss_term && q->entry.index > ready->loss_commit_index)
            replica_move(r, q, REPLICA_LOST);
    }
    rid_assert(ready->loss_term <= raft_get_term(r->raft));
}

/* Answered only now: committed, and applied where the next read may come (READ-3). */
void proposals_applied(struct replica *r, const struct raft_entry *e,
                       const struct command_result *result)
{
    struct replica_request *q = replica_first(r, REPLICA_PROPOSED);

    if (q == NULL || q->entry.index != e->id.index)
        return;
    /* Index and term: the entry at this index is the one that was proposed, or the request would
     * have failed. */
    rid_assert(q->entry.term == e->id.term);
    rid_assert(q->kind == REPLICA_WRITE);
    /* Committed and applied here, not committed alone: the client's next read sees it (READ-3). */
    r->stats.n_writes_done++;
    replica_fill_times(r, q);
    replica_unlink(r, q);
    q->written(q, result);
}
