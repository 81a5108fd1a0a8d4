/* What must always hold of a replica. The cheap part runs at the end of every turn in every build:
 * a stopped node is what the protocol survives, a wrong one is not (CORE-5). The walk through the
 * queues is for tests and the simulator. */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* Requests are waiting only while this node neither leads nor knows who does, or while there was no
 * time for them. */
static void check_waiting(const struct replica *r)
{
    if (replica_n(r, REPLICA_WAITING) == 0 || r->cut)
        return;
    rid_assert(!replica_can_serve(r));
    if (raft_get_role(r->raft) != RAFT_LEADER)
        rid_assert(raft_get_leader(r->raft) == 0);
    rid_assert(!r->quiesced);
}

static void check_reads(const struct replica *r)
{
    const struct replica_request *first = replica_first(r, REPLICA_CONFIRMED);
    const struct replica_request *last = replica_last(r, REPLICA_CONFIRMED);
    const struct replica_request *exact = replica_first(r, REPLICA_EXACT);

    rid_assert(r->last_applied <= raft_get_commit_index(r->raft));
    rid_assert(replica_n(r, REPLICA_ASKED) == r->n_slots_used);
    rid_assert(replica_n(r, REPLICA_AGE) == r->ages.n);
    rid_assert(replica_n(r, REPLICA_LOOK) == 0 || r->dirty); /* the next ready looks */
    /* What is committed is applied in the turn that says so, if there is time and room; later
     * otherwise, but never passed over. */
    if (exact != NULL)
        rid_assert(exact->anchor.index > r->last_applied);
    if (!r->cut)
        rid_assert(replica_n(r, REPLICA_LOST) == 0);
    if (!r->cut)
        rid_assert(replica_n(r, REPLICA_BEHIND) == 0);
    if (r->rebuild != REBUILD_NOT)
        rid_assert(raft_get_fitness(r->raft) == RAFT_UNFIT);
    if (!r->cut && replica_state_is_good(r))
        rid_assert(awaited_reached(r, r->last_applied) == NULL);
    if (first == NULL)
        return;
    if (!r->cut && replica_state_is_good(r))
        rid_assert(first->anchor.index > r->last_applied);
    rid_assert(first->anchor.index <= last->anchor.index);
    rid_assert(last->anchor.index <= r->last_anchor);
}

static void check_proposals(const struct replica *r)
{
    const struct replica_request *first = replica_first(r, REPLICA_PROPOSED);
    const struct replica_request *last = replica_last(r, REPLICA_PROPOSED);

    if (first == NULL)
        return;
    rid_assert(first->entry.index > r->last_applied);
    rid_assert(first->entry.index <= last->entry.index);
    rid_assert(last->entry.term <= raft_get_term(r->raft));
}

static void check_held(const struct replica *r)
{
    if (held_ring_n(&r->held) == 0)
        return;
    rid_assert(held_ring_at(&r->held, 0)->after_batch > r->stored_batch);
    rid_assert(held_ring_at(&r->held, 0)->after_batch <= held_ring_last(&r->held)->after_batch);
}

void replica_check_turn(const struct replica *r)
{
    unsigned n = 0;

    rid_assert(r->queues[REPLICA_IDLE].n == 0);
    for (unsigned i = 0; i < REPLICA_STAGES; i++) {
        rid_assert((r->queues[i].n == 0) == list_empty(&r->queues[i].list));
        n += r->queues[i].n;
    }
    rid_assert(r->timers.n <= n);
    check_waiting(r);
    check_reads(r);
    check_proposals(r);
    check_held(r);
}

/* ---- all of it ---- */

static void check_order(enum replica_stage stage, const struct replica_request *before,
                        const struct replica_request *q)
{
    switch (stage) {
    case REPLICA_CONFIRMED:
        rid_assert(before->anchor.index <= q->anchor.index);
        break;
    case REPLICA_EXACT:
        rid_assert(before->anchor.index < q->anchor.index);
        break;
    case REPLICA_PROPOSED:
        rid_assert(before->entry.index < q->entry.index);
        rid_assert(before->entry.term <= q->entry.term);
        break;
    case REPLICA_FLOOR:
        rid_assert(before->floor_index <= q->floor_index);
        break;
    case REPLICA_TICKET:
        rid_assert(before->anchor.ticket <= q->anchor.ticket);
        break;
    case REPLICA_LOOK:
        rid_assert(before->anchor.arrival_look <= q->anchor.arrival_look);
        break;
    case REPLICA_IDLE:
    case REPLICA_WAITING:
    case REPLICA_ASKED:
    case REPLICA_AGE:
    case REPLICA_AWAITED: /* in any; the heap has it */
    case REPLICA_LOCAL:
    case REPLICA_LOST: /* reads, then proposals */
    case REPLICA_BEHIND:
        break;
    }
}

static void check_request(const struct replica *r, const struct replica_request *q)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);

    if (q->stage == REPLICA_ASKED || q->stage == REPLICA_CONFIRMED)
        rid_assert(p->use == ANCHOR_REACHED);
    if (q->stage == REPLICA_ASKED)
        rid_assert(slot_ring_at(&r->slots, q->slot)->request == q);
    if (q->stage == REPLICA_LOCAL)
        rid_assert(p->use == ANCHOR_NONE);
    if (q->stage == REPLICA_TICKET)
        rid_assert(q->anchor.ticket > r->answered);
    if (q->stage == REPLICA_FLOOR) {
        rid_assert(!p->by_leader);
        rid_assert(q->floor.index <= q->floor_index);
    }
    rid_assert((q->stage == REPLICA_AGE) == q->age.in_heap);
    if (q->stage == REPLICA_AWAITED) {
        rid_assert(p->use != ANCHOR_EXACT);
        rid_assert(r->awaited[q->place] == q);
        rid_assert(q->place == 0 || r->awaited[(q->place - 1) / 2]->min_index <= q->min_index);
    }
    if (q->stage == REPLICA_PROPOSED && p != NULL)
        rid_assert(p->use == ANCHOR_EXACT);
    if (q->deadline_us == UINT64_MAX)
        rid_assert(list_empty(&q->timer));
    else if (q->stage != REPLICA_LOCAL || !replica_state_is_good(r))
        rid_assert(!list_empty(&q->timer));
}

static unsigned check_queue(const struct replica *r, enum replica_stage stage)
{
    const struct replica_request *before = NULL;
    unsigned n_timers = 0;
    unsigned n = 0;

    list_for_each(it, &r->queues[stage].list)
    {
        const struct replica_request *q = list_entry(it, const struct replica_request, link);

        rid_assert(++n <= r->queues[stage].n);
        rid_assert(q->stage == stage);
        if (before != NULL)
            check_order(stage, before, q);
        check_request(r, q);
        n_timers += !list_empty(&q->timer);
        before = q;
    }
    rid_assert(n == r->queues[stage].n);
    return n_timers;
}

static void check_slots(const struct replica *r)
{
    uint32_t n_free = 0;

    for (uint32_t i = r->first_free; i != SLOT_NONE; i = slot_ring_at(&r->slots, i)->next_free) {
        rid_assert(slot_ring_at(&r->slots, i)->request == NULL);
        rid_assert(++n_free <= slot_ring_n(&r->slots));
    }
    rid_assert(n_free + r->n_slots_used == slot_ring_n(&r->slots));
}

void replica_check(const struct replica *r)
{
    unsigned n_timers = 0;

    if (r->dead)
        return;
    for (unsigned i = 0; i < REPLICA_STAGES; i++)
        n_timers += check_queue(r, (enum replica_stage)i);
    rid_assert(n_timers == r->timers.n);
    check_slots(r);
    for (size_t i = 1; i < held_ring_n(&r->held); i++)
        rid_assert(held_ring_at(&r->held, i - 1)->after_batch <=
                   held_ring_at(&r->held, i)->after_batch);
}
