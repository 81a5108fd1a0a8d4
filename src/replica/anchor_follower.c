/* Linearizable reads on any node, a learner as well: the leader is asked which index is enough, and
 * the read waits here until that is applied (FOLLOW-1 to FOLLOW-8).
 *
 * The core asks. A read draws a ticket when it comes, the number of a question that has not left
 * yet; many reads have one. The answer to a question is good for all tickets up to it, for it was
 * given after they were drawn, and for none above. Whatever becomes of roles and terms meanwhile, a
 * ticket stays: the core asks whoever leads next, or a round of its own. Only the deadline of the
 * read ends it.
 *
 * A node that is too far behind does not wait for itself: others can answer now (FOLLOW-7). */
#include "base/assert.h"
#include "base/limits.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* Not what a leader says of itself: it is the best that there is. Not while a snapshot is being
 * installed: the next moment all of it is here (FOLLOW-8). */
static bool is_behind(const struct replica *r, raft_index index)
{
    if (index <= r->last_applied || raft_get_role(r->raft) == RAFT_LEADER || r->installing != 0)
        return false;
    return r->parked || index - r->last_applied > FOLLOWER_BEHIND_ENTRIES_MAX;
}

static enum wire_error ask(struct replica *r, struct replica_request *q)
{
    const struct replica_request *last = replica_last(r, REPLICA_TICKET);

    if (is_behind(r, raft_get_commit_index(r->raft)))
        return WIRE_ERROR_OVERLOADED;
    q->anchor = (struct replica_anchor){.ticket = raft_ask(r->raft, r->now_us)};
    rid_assert(q->anchor.ticket > r->answered);
    if (last != NULL)
        rid_assert(last->anchor.ticket <= q->anchor.ticket);
    r->dirty = true;
    replica_move(r, q, REPLICA_TICKET);
    return WIRE_ERROR_NONE;
}

/* Of this node's own round, when it leads: no question left then. */
static uint64_t begun_us(const struct replica *r, const struct replica_request *q)
{
    uint64_t asked_us = trail_ask_since(&r->trail, q->times.submitted_us);

    if (asked_us != 0)
        return asked_us;
    asked_us = trail_round_since(&r->trail, q->times.submitted_us);
    return asked_us != 0 ? asked_us : r->now_us;
}

static void confirm_one(struct replica *r, struct replica_request *q, const struct raft_answered *a)
{
    const struct replica_anchor anchor = {
        .index = a->read_index,
        .proof = a->proof == RAFT_PROOF_ROUND ? REPLICA_PROOF_ROUND : REPLICA_PROOF_LEADER,
        .by = a->by,
        .term = a->term,
        .ticket = q->anchor.ticket,
        .answered = a->ticket};

    q->anchor = anchor;
    if (is_behind(r, a->read_index))
        replica_move(r, q, REPLICA_BEHIND);
    else
        anchor_confirmed(r, q);
}

/* The tickets of those that came after the question left are above it (FOLLOW-1). */
static void confirm(struct replica *r, const struct raft_ready *ready)
{
    const struct raft_answered *a = &ready->answered;
    struct replica_request *q;
    uint64_t ticket = 0;
    uint64_t us = 0;

    if (a->ticket == 0)
        return;
    rid_assert(a->ticket > r->answered);
    r->answered = a->ticket;
    r->trail.answered_us = r->now_us;
    while ((q = replica_first(r, REPLICA_TICKET)) != NULL && q->anchor.ticket <= a->ticket) {
        if (q->anchor.ticket != ticket)
            us = begun_us(r, q); /* of all with this ticket */
        ticket = q->anchor.ticket;
        q->times.begun_us = us > q->times.submitted_us ? us : q->times.submitted_us;
        confirm_one(r, q, a);
    }
}

void anchor_follower_refuse(struct replica *r)
{
    list_for_each_safe(it, &r->queues[REPLICA_CONFIRMED].list)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (q->kind == REPLICA_READ_FOLLOWER && is_behind(r, q->anchor.index))
            replica_move(r, q, REPLICA_BEHIND);
    }
}

const struct anchor_provider anchor_follower = {
    .use = ANCHOR_REACHED, .by_leader = false, .ask = ask, .confirm = confirm};
