/* The turn: what the core says is due is done, in the order that makes it right.
 *
 *   core ──ready──► send msgs        nothing in them claims what is not durable
 *                   log_submit       entries go to the disk while the appends travel (10.2.1)
 *                   hold msgs_after  sent by replica_stored(), when their batch is durable
 *                   loss             unconfirmed requests fail before anything of this turn
 *                                    completes (READ-17)
 *                   apply            committed and durable here; results and log reads are
 *                                    answered from it
 *                   serve            confirmed reads whose anchor is applied, one read transaction
 *                                    for all
 *
 * Applying and answering each stop when their own share of the turn's time is spent, after one step
 * at least: so neither can keep the other from getting on, and the next turn goes on where they
 * stopped (TIME-1). */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static void send_msg(struct replica *r, const struct raft_msg *m)
{
    rid_assert(m->group == r->group);
    rid_assert(m->to != r->id);
    r->stats.n_msgs_sent++;
    r->ops.send(r->ops.ctx, m);
}

/* ---- messages that wait for the disk ---- */

static void hold_msg(struct replica *r, uint64_t after_batch, const struct raft_msg *m)
{
    int rc;

    rid_assert(after_batch > r->stored_batch);
    rid_assert(after_batch <= r->submitted_batch);
    rid_assert(m->n_entries == 0); /* what it borrowed would be gone by then */
    if (held_ring_n(&r->held) > 0)
        rid_assert(held_ring_last(&r->held)->after_batch <= after_batch);
    rc = held_ring_push(&r->held, (struct held_msg){after_batch, *m});
    rid_assert(rc == 0); /* nobody is there to be refused */
}

static void hold_msgs(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < ready->n_msgs_after_store; i++) {
        if (ready->after_batch == 0)
            send_msg(r, &ready->msgs_after_store[i]);
        else
            hold_msg(r, ready->after_batch, &ready->msgs_after_store[i]);
    }
}

void replica_stored(struct replica *r, uint64_t batch, uint64_t now_us)
{
    replica_now(r, now_us);
    if (r->dead)
        return;
    rid_assert(batch >= r->stored_batch);
    rid_assert(batch <= r->submitted_batch);
    r->stored_batch = batch;
    r->dirty = true;
    raft_stored(r->raft, batch, r->now_us);
    while (held_ring_n(&r->held) > 0 && held_ring_at(&r->held, 0)->after_batch <= batch) {
        struct held_msg held = held_ring_pop(&r->held);

        send_msg(r, &held.msg);
    }
}

/* ---- apply ---- */

/* Committed entries are in the log of this node, so that what its share of the turn is too
 * short for waits there, and is handed out again. Log reads whose markers are among them stay
 * in EXACT: they have their proof, whatever becomes of the leadership. */
static void leave_the_rest(struct replica *r, const struct raft_ready *ready, raft_index applied)
{
    if (applied == ready->committed[ready->n_committed - 1].id.index)
        return;
    rid_assert(r->cut);
    raft_take_back(r->raft);
    r->more = true;
}

/* Replies are added to buffers that leave after the turn; should the commit fail, the node ends
 * before they do. Every node applies these, in this order, once (STATE-1); how many of them in one
 * transaction is a matter of time (TIME-1), and changes no state. */
static void apply(struct replica *r, const struct raft_ready *ready)
{
    raft_index index = 0;
    int rc;

    if (ready->n_committed == 0)
        return;
    replica_share(r, &r->applying);
    /* Each entry once, in order, and only what is durable here. */
    rid_assert(ready->committed[0].id.index == r->last_applied + 1);
    rid_assert(ready->committed[0].id.index + ready->n_committed - 1 <=
               raft_get_commit_index(r->raft));
    rc = r->ops.state_begin(r->ops.ctx);
    for (unsigned i = 0; rc == 0 && i < ready->n_committed; i++) {
        struct command_result result = {0};

        rc = r->ops.state_apply(r->ops.ctx, &ready->committed[i], &result);
        if (rc == 0) {
            index = ready->committed[i].id.index;
            proposals_applied(r, &ready->committed[i], &result);
            anchors_serve_exact(r, &ready->committed[i]);
            slice_charge(&r->applying, ready->committed[i].len);
            if (replica_spent(r, &r->applying))
                break;
        }
    }
    if (rc != 0) {
        r->ops.state_abort(r->ops.ctx);
        replica_fatal(r, rc, "cannot apply to the state");
        return;
    }
    rc = r->ops.state_commit(r->ops.ctx);
    if (rc != 0) {
        replica_fatal(r, rc, "cannot commit to the state");
        return;
    }
    /* Only now can readers see it (READ-36). */
    r->last_applied = index;
    raft_applied(r->raft, index);
    leave_the_rest(r, ready, index);
}

/* ---- the turn ---- */

/* What goes out: nothing in it claims what is not durable. False: the node is at its end. */
static bool send_and_store(struct replica *r, const struct raft_ready *ready)
{
    for (unsigned i = 0; i < ready->n_msgs; i++)
        send_msg(r, &ready->msgs[i]);
    if (ready->batch != 0) {
        int rc;

        rid_assert(ready->batch > r->submitted_batch);
        r->submitted_batch = ready->batch;
        rc = r->ops.log_submit(r->ops.ctx, ready);

        if (rc != 0) {
            replica_fatal(r, rc, "cannot hand entries to the log");
            return false;
        }
    }
    hold_msgs(r, ready);
    /* Heartbeats and their answers wait for no work of this turn (TIME-2). */
    if (r->ops.flush != NULL)
        r->ops.flush(r->ops.ctx);
    return true;
}

/* Who lost its right fails before anything of this turn completes (READ-17). */
static void fail_the_lost(struct replica *r, const struct raft_ready *ready)
{
    anchors_lose(r, ready);
    proposals_lose(r, ready);
}

static void take_ready(struct replica *r)
{
    struct raft_ready ready;

    r->dirty = false;
    raft_ready(r->raft, r->now_us, &ready);
    if (ready.log_error != 0) {
        replica_fatal(r, ready.log_error, "cannot read the log");
        return;
    }
    if (!send_and_store(r, &ready))
        return;
    fail_the_lost(r, &ready);
    anchors_confirm(r, &ready);
    if (ready.more_committed)
        rid_assert(ready.n_committed > 0); /* else the turn would go round for nothing */
    r->more = ready.more_committed;
    apply(r, &ready);
    if (r->dead)
        return;
    anchors_serve(r);
    if (r->dead)
        return;
    replica_drain_waiting(r);
}

void replica_turn(struct replica *r, uint64_t now_us)
{
    unsigned n = 0;

    replica_now(r, now_us);
    if (r->dead)
        return;
    r->stats.n_turns++;
    r->cut = false;
    r->applying.now_us = NULL;
    r->answering.now_us = NULL;
    if (raft_deadline_us(r->raft) <= r->now_us)
        raft_tick(r->raft, r->now_us);
    replica_expire(r);
    replica_drain_waiting(r);
    do
        take_ready(r);
    while (!r->dead && !r->cut && (r->more || r->dirty) && ++n < READIES_PER_TURN);
    if (raft_get_leader(r->raft) != 0)
        r->leader_seen_us = r->now_us;
    if (!r->dead)
        replica_check_turn(r);
}
