/* One continuation for all reads: from a confirmed anchor to the answer.
 *
 * Reads with an anchor wait in the order of their anchors, so that serving looks at the first one
 * only. They wait apart from those that have none yet: a slow apply holds up no round (READ-37).
 * What a read may claim is copied from its anchor into the view, never made up here. */
#include "replica/anchor_int.h"

#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static const struct anchor_provider *const providers[] = {
    [REPLICA_READ] = &anchor_index,       [REPLICA_READ_LOG] = &anchor_log,
    [REPLICA_READ_LOCAL] = &anchor_local, [REPLICA_READ_FOLLOWER] = &anchor_follower,
    [REPLICA_READ_LEASE] = &anchor_lease, [REPLICA_READ_BOUNDED] = &anchor_bounded,
};
#define N_PROVIDERS (sizeof(providers) / sizeof(providers[0]))
static_assert(REPLICA_WRITE >= N_PROVIDERS, "every kind before the writes is a read");

const struct anchor_provider *anchor_provider_of(enum replica_kind kind)
{
    return (size_t)kind < N_PROVIDERS ? providers[kind] : NULL;
}

/* ---- confirmed ---- */

/* Confirmed reads wait in a queue of their own, so that slow applying holds up no round (READ-37).
 */
static void wait_until_reached(struct replica *r, struct replica_request *q)
{
    rid_assert(q->stage == REPLICA_ASKED || q->stage == REPLICA_LOOK || q->stage == REPLICA_TICKET);
    /* The proof of an anchor is about what is committed; a follower may hear of that later. */
    if (q->anchor.proof != REPLICA_PROOF_LEADER)
        rid_assert(q->anchor.index <= raft_get_commit_index(r->raft));
    /* It has its right, and waits for what its client claims to have seen, which is more (TOKEN-1).
     */
    if (q->min_index > q->anchor.index && q->min_index > raft_get_commit_index(r->raft)) {
        if (awaited_add(r, q) != WIRE_ERROR_NONE)
            replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
        return;
    }
    if (q->min_index > q->anchor.index)
        q->anchor.index = q->min_index;
    /* Anchors are committed indexes, so waiting for a later one is right too, and keeps the queue
     * in order. */
    if (q->anchor.index > r->last_anchor)
        r->last_anchor = q->anchor.index;
    q->anchor.index = r->last_anchor;
    replica_move(r, q, REPLICA_CONFIRMED);
}

static void wait_for_exactly(struct replica *r, struct replica_request *q)
{
    const struct replica_request *last = replica_last(r, REPLICA_EXACT);

    rid_assert(q->stage == REPLICA_PROPOSED);
    rid_assert(q->anchor.entry.index == q->anchor.index);
    rid_assert(q->anchor.index > r->last_applied);
    if (last != NULL)
        rid_assert(last->anchor.index < q->anchor.index);
    replica_move(r, q, REPLICA_EXACT);
}

void anchor_confirmed(struct replica *r, struct replica_request *q)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);

    rid_assert(p != NULL);
    rid_assert((p->use == ANCHOR_NONE) == (q->anchor.index == 0));
    q->times.confirmed_us = r->now_us;
    switch (p->use) {
    case ANCHOR_NONE:
        replica_move(r, q, REPLICA_LOCAL);
        break;
    case ANCHOR_REACHED:
        wait_until_reached(r, q);
        break;
    case ANCHOR_EXACT:
        wait_for_exactly(r, q);
        break;
    case ANCHOR_YOUNG:
        rid_assert(p->use != ANCHOR_YOUNG); /* it is served, or waits, and is never confirmed */
        break;
    }
}

void anchors_prepare(struct replica *r)
{
    for (unsigned i = 0; i < N_PROVIDERS; i++)
        if (providers[i]->prepare != NULL)
            providers[i]->prepare(r);
}

void anchors_lose(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < N_PROVIDERS; i++)
        if (providers[i]->lose != NULL)
            providers[i]->lose(r, ready);
}

void anchors_confirm(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < N_PROVIDERS; i++)
        if (providers[i]->confirm != NULL)
            providers[i]->confirm(r, ready);
}

/* ---- served ---- */

/* The one behind it is next, mostly, and was not touched since hundreds before it were confirmed;
 * its memory comes while this one is answered. (The last one's is the head of the list, which is
 * only looked at.) */
static void look_ahead(const struct replica_request *next)
{
    __builtin_prefetch(&next->kind);
    __builtin_prefetch(&next->stage, 1);
    __builtin_prefetch(&next->times, 1);
    __builtin_prefetch(&next->anchor);
}

/* The state is there when its index is published (READ-36). */
static void serve(struct replica *r, struct replica_request *q, struct replica_view *view)
{
    const struct replica_anchor *a = &q->anchor;

    rid_assert(q->stage == REPLICA_CONFIRMED || q->stage == REPLICA_EXACT ||
               q->stage == REPLICA_AWAITED || q->stage == REPLICA_LOCAL || q->stage == REPLICA_AGE);
    rid_assert(a->index <= view->last_applied.index);
    look_ahead(list_entry(q->link.next, struct replica_request, link));
    if (q->stage != REPLICA_EXACT)
        rid_assert(q->min_index <= view->last_applied.index);
    view->served_by = r->id;
    view->read_index = a->index;
    view->proof = a->proof;
    view->by = a->by;
    view->round = a->round;
    view->arrival_round = a->arrival_round;
    view->term = a->term;
    view->ticket = a->ticket;
    view->answered = a->answered;
    view->look = a->look;
    view->arrival_look = a->arrival_look;
    view->entry = a->entry;
    r->stats.n_reads[q->kind]++;
    replica_end_times(r, q);
    replica_unlink(r, q);
    q->served(q, view);
}

bool replica_view_is_linearizable(const struct replica_view *view)
{
    if (view->last_applied.index < view->read_index)
        return false;
    switch (view->proof) {
    case REPLICA_PROOF_ROUND:
        return view->round > view->arrival_round ||
               (view->ticket > 0 && view->answered >= view->ticket);
    case REPLICA_PROOF_LEADER:
        return view->ticket > 0 && view->answered >= view->ticket;
    case REPLICA_PROOF_LEASE:
        return view->look > view->arrival_look;
    case REPLICA_PROOF_MARKER:
        return view->last_applied.index == view->entry.index;
    case REPLICA_PROOF_NONE:
    case REPLICA_PROOF_STAMP:
        break;
    }
    return false;
}

static struct replica_view view_of(struct replica *r)
{
    return (struct replica_view){
        .get = replica_state_get, .seek = replica_state_seek, .next = replica_state_next, .ctx = r};
}

static bool first_is_exact(const struct replica *r)
{
    const struct replica_request *q = replica_first(r, REPLICA_EXACT);

    return q != NULL && q->anchor.index <= r->last_applied;
}

/* The state at exactly the anchor's index (READ-60): the run that was committed ends with it. */
void anchors_serve_exact(struct replica *r)
{
    struct replica_view view = view_of(r);
    struct raft_entry_id id;
    int rc;

    if (!first_is_exact(r))
        return;
    rc = r->ops.state_read_begin(r->ops.ctx, &id);
    if (rc != 0) {
        replica_state_failed(r, rc, "cannot read the state");
        return;
    }
    rid_assert(id.index == r->last_applied);
    view.last_applied = id;
    while (first_is_exact(r) && !r->damaged)
        serve(r, replica_first(r, REPLICA_EXACT), &view);
    r->ops.state_read_end(r->ops.ctx);
}

static bool first_is_reached(const struct replica *r, raft_index last_applied)
{
    const struct replica_request *q = replica_first(r, REPLICA_CONFIRMED);

    return q != NULL && q->anchor.index <= last_applied;
}

/* The age of a state is that which it has when it was read already: a node that slept in between
 * must not say how young it was before (BOUND-1). False: nothing here is young enough for any. */
static bool serve_young(struct replica *r, struct replica_view *view)
{
    struct replica_request *q =
        anchor_bounded_first(r, view->last_applied.index, &view->staleness_us);

    if (q != NULL)
        serve(r, q, view);
    view->staleness_us = 0;
    return q != NULL;
}

/* What its client has seen is here; one of a bounded age has still to be shown young enough. */
static void serve_awaited(struct replica *r, struct replica_request *q, struct replica_view *view)
{
    const struct anchor_provider *provider = anchor_provider_of(q->kind);

    rid_assert(provider != NULL);
    if (provider->use != ANCHOR_YOUNG) {
        serve(r, q, view);
        return;
    }
    awaited_forget(r, q);
    rid_assert(provider->ask(r, q) == WIRE_ERROR_NONE);
}

static bool some_are_here(const struct replica *r, raft_index last_applied, unsigned n_local)
{
    return n_local > 0 || first_is_reached(r, last_applied) ||
           awaited_reached(r, last_applied) != NULL;
}

/* What callbacks submit meanwhile stands behind these, and waits for the next turn. All kinds get
 * on by one in each step: none can keep the others from their turn (TIME-1). */
static void serve_those_here(struct replica *r, struct replica_view *view)
{
    const raft_index applied = view->last_applied.index;
    unsigned n_local = replica_n(r, REPLICA_LOCAL);
    unsigned n_young = replica_n(r, REPLICA_AGE);

    replica_share(r, &r->answering);
    while ((n_young > 0 || some_are_here(r, applied, n_local)) && !r->damaged) {
        if (first_is_reached(r, applied))
            serve(r, replica_first(r, REPLICA_CONFIRMED), view);
        if (awaited_reached(r, applied) != NULL && !r->damaged)
            serve_awaited(r, awaited_reached(r, applied), view);
        if (n_local > 0 && replica_n(r, REPLICA_LOCAL) > 0 && !r->damaged)
            serve(r, replica_first(r, REPLICA_LOCAL), view);
        n_local -= n_local > 0;
        if (n_young > 0 && !r->damaged)
            n_young = serve_young(r, view) ? n_young - 1 : 0;
        if ((n_young > 0 || some_are_here(r, applied, n_local)) && replica_spent(r, &r->answering))
            return;
    }
}

static bool young_is_here(struct replica *r)
{
    uint64_t staleness_us;

    return anchor_bounded_first(r, r->last_applied, &staleness_us) != NULL;
}

void anchors_serve(struct replica *r)
{
    struct replica_view view = view_of(r);
    int rc;

    /* Not from a state that is not believed, nor from one that is behind what it has shown
     * (FIT-6). */
    if (!replica_state_is_good(r))
        return;
    if (!some_are_here(r, r->last_applied, replica_n(r, REPLICA_LOCAL)) && !young_is_here(r))
        return;
    rc = r->ops.state_read_begin(r->ops.ctx, &view.last_applied);
    if (rc != 0) {
        replica_state_failed(r, rc, "cannot read the state");
        return;
    }
    rid_assert(view.last_applied.index >= r->last_applied);
    serve_those_here(r, &view);
    r->ops.state_read_end(r->ops.ctx);
}
