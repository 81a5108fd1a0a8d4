/* The turn: what the core says is due is done, in the order that makes it right.
 *
 *   core ──ready──► send msgs        nothing in them claims what is not durable
 *                   log_submit       entries go to the disk while the appends travel (10.2.1)
 *                   hold msgs_after  sent by replica_stored(), when their batch is durable
 *                   loss             unconfirmed requests fail before anything of this turn
 *                                    completes (R17)
 *                   apply            committed and durable here; results and log reads are
 *                                    answered from it
 *                   serve            confirmed reads whose anchor is applied, one read transaction
 *                                    for all */
#include <stdlib.h>

#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* Readies taken in one turn: a follower far behind applies in slices and the loop goes on in
 * between. */
#define READIES_PER_TURN 16u

static void send_msg(struct replica *r, const struct raft_msg *m)
{
    r->stats.n_msgs_sent++;
    r->ops.send(r->ops.ctx, m);
}

/* ---- messages that wait for the disk ---- */

static void hold_msgs(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < ready->n_msgs_after_store; i++) {
        if (ready->after_batch == 0) {
            send_msg(r, &ready->msgs_after_store[i]);
            continue;
        }
        if (r->n_held == r->held_size) {
            size_t size = r->held_size > 0 ? r->held_size * 2 : 64;
            struct held_msg *held = malloc(size * sizeof(*held));

            rid_assert(held != NULL);
            for (size_t j = 0; j < r->n_held; j++)
                held[j] = r->held[(r->held_head + j) & (r->held_size - 1)];
            free(r->held);
            r->held = held;
            r->held_size = size;
            r->held_head = 0;
        }
        r->held[(r->held_head + r->n_held) & (r->held_size - 1)] =
            (struct held_msg){ready->after_batch, ready->msgs_after_store[i]};
        r->n_held++;
    }
}

void replica_stored(struct replica *r, uint64_t batch, uint64_t now_us)
{
    if (now_us > r->now_us)
        r->now_us = now_us;
    if (r->dead)
        return;
    r->dirty = true;
    raft_stored(r->raft, batch, r->now_us);
    while (r->n_held > 0 && r->held[r->held_head].after_batch <= batch) {
        struct raft_msg m = r->held[r->held_head].msg;

        r->held_head = (r->held_head + 1) & (r->held_size - 1);
        r->n_held--;
        send_msg(r, &m);
    }
}

/* ---- loss of leadership ---- */

static void handle_loss(struct replica *r, const struct raft_ready *ready)
{
    struct list lost = LIST_INIT(lost);

    for (unsigned i = 0; i < ready->n_reads_failed; i++) {
        struct replica_request *q = replica_slot_take(r, ready->reads_failed[i]);

        if (q != NULL)
            replica_fail_loss(r, q, ready);
    }
    if (ready->loss == RAFT_LOSS_NONE)
        return;
    r->transferring = false;
    /* What was committed in the term in which it was appended is certain and is answered when it is
     * applied; the fate of the rest is not known here any more (DESIGN.md 4, PROTOCOL.md 5). */
    list_for_each_safe(it, &r->proposed)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (q->entry.term == ready->loss_term && q->entry.index > ready->loss_commit_index) {
            list_remove(&q->link);
            list_append(&lost, &q->link);
        }
    }
    /* From the front: a callback may cancel any other of them. */
    while (!list_empty(&lost))
        replica_fail_loss(r, list_entry(lost.next, struct replica_request, link), ready);
}

/* ---- apply ---- */

static void answer_applied(struct replica *r, const struct raft_entry *e,
                           const struct command_result *result)
{
    struct replica_request *q;

    if (list_empty(&r->proposed))
        return;
    q = list_entry(r->proposed.next, struct replica_request, link);
    if (q->entry.index != e->id.index)
        return;
    /* Index and term: the entry at this index is the one that was proposed, or the request would
     * have failed. */
    rid_assert(q->entry.term == e->id.term);
    if (q->kind == REPLICA_WRITE) {
        r->stats.n_writes_done++;
        replica_unlink(r, q);
        q->written(q, result);
    } else {
        /* The state at exactly the marker's index, inside the transaction that applied it (READS
         * R60). */
        struct replica_view view = {.last_applied = e->id,
                                    .read_index = e->id.index,
                                    .term = e->id.term,
                                    .entry = e->id,
                                    .get = r->ops.state_apply_get,
                                    .ctx = r->ops.ctx};

        r->stats.n_reads[REPLICA_READ_LOG]++;
        replica_unlink(r, q);
        q->served(q, &view);
    }
}

/* Replies are added to buffers that leave after the turn; should the commit fail, the node ends
 * before they do. */
static void apply(struct replica *r, const struct raft_ready *ready)
{
    raft_index index = 0;
    int e;

    if (ready->n_committed == 0)
        return;
    e = r->ops.state_begin(r->ops.ctx);
    for (unsigned i = 0; e == 0 && i < ready->n_committed; i++) {
        struct command_result result = {0};

        e = r->ops.state_apply(r->ops.ctx, &ready->committed[i], &result);
        if (e == 0) {
            index = ready->committed[i].id.index;
            answer_applied(r, &ready->committed[i], &result);
        }
    }
    if (e != 0) {
        r->ops.state_abort(r->ops.ctx);
        replica_fatal(r, e, "cannot apply to the state");
        return;
    }
    e = r->ops.state_commit(r->ops.ctx);
    if (e != 0) {
        replica_fatal(r, e, "cannot commit to the state");
        return;
    }
    r->last_applied = index;
    raft_applied(r->raft, index);
}

/* ---- reads ---- */

static void take_confirmed(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < ready->n_reads; i++) {
        const struct raft_read_done *done = &ready->reads[i];
        struct replica_request *q = replica_slot_take(r, done->ctx);

        if (q == NULL)
            continue;
        /* Anchors are committed indexes, so waiting for a later one is right too, and keeps the
         * queue in order. */
        if (done->read_index > r->last_anchor)
            r->last_anchor = done->read_index;
        r->stats.n_in_round--;
        r->stats.n_confirmed++;
        q->stage = REPLICA_CONFIRMED;
        q->anchor = r->last_anchor;
        q->round = done->round;
        q->arrival_round = done->arrival_round;
        q->term = done->term;
        list_append(&r->confirmed, &q->link);
    }
}

static void serve_list(struct replica *r, struct list *list, struct replica_view *view)
{
    while (!list_empty(list)) {
        struct replica_request *q = list_entry(list->next, struct replica_request, link);
        bool local = q->kind == REPLICA_READ_LOCAL;

        if (!local && q->anchor > view->last_applied.index)
            break;
        view->read_index = local ? 0 : q->anchor;
        view->round = local ? 0 : q->round;
        view->arrival_round = local ? 0 : q->arrival_round;
        view->term = local ? 0 : q->term;
        r->stats.n_reads[q->kind]++;
        replica_unlink(r, q);
        q->served(q, view);
    }
}

static void serve(struct replica *r)
{
    struct replica_view view = {.get = r->ops.state_get, .ctx = r->ops.ctx};
    struct list local = LIST_INIT(local);
    int e;

    if (list_empty(&r->local) &&
        (list_empty(&r->confirmed) ||
         list_entry(r->confirmed.next, struct replica_request, link)->anchor > r->last_applied))
        return;
    e = r->ops.state_read_begin(r->ops.ctx, &view.last_applied);
    if (e != 0) {
        replica_fatal(r, e, "cannot read the state");
        return;
    }
    serve_list(r, &r->confirmed, &view);
    list_splice(&local, &r->local); /* what callbacks submit waits for the next turn */
    serve_list(r, &local, &view);
    r->ops.state_read_end(r->ops.ctx);
}

/* ---- the turn ---- */

void replica_turn(struct replica *r, uint64_t now_us)
{
    struct raft_ready ready;
    unsigned n = 0;

    if (now_us > r->now_us)
        r->now_us = now_us;
    if (r->dead)
        return;
    r->stats.n_turns++;
    if (raft_deadline_us(r->raft) <= r->now_us)
        raft_tick(r->raft, r->now_us);
    replica_expire(r);
    replica_drain_waiting(r);
    do {
        r->dirty = false;
        raft_ready(r->raft, r->now_us, &ready);
        if (ready.log_error != 0) {
            replica_fatal(r, ready.log_error, "cannot read the log");
            return;
        }
        for (unsigned i = 0; i < ready.n_msgs; i++)
            send_msg(r, &ready.msgs[i]);
        if (ready.batch != 0) {
            int e = r->ops.log_submit(r->ops.ctx, &ready);

            if (e != 0) {
                replica_fatal(r, e, "cannot hand entries to the log");
                return;
            }
        }
        hold_msgs(r, &ready);
        handle_loss(r, &ready);
        if (ready.transfer_over)
            r->transferring = false;
        take_confirmed(r, &ready);
        apply(r, &ready);
        if (r->dead)
            return;
        serve(r);
        if (r->dead)
            return;
        replica_drain_waiting(r);
        r->more = ready.more_committed;
    } while ((r->more || r->dirty) && ++n < READIES_PER_TURN);
}
