/* The turn: what the core says is due is done, in the order that makes it right.
 *
 *   look            lease reads: the clock, once for all that are here; then
 *   core ──ready──► send msgs        nothing in them claims what is not durable
 *                   log_submit       entries go to the disk while the appends travel (10.2.1)
 *                   hold msgs_after  sent by replica_stored(), when their batch is durable
 *                   loss             unconfirmed requests fail before anything of this turn
 *                                    completes (READ-17)
 *                   apply            committed and durable here; results and log reads are
 *                                    answered from it (apply.c)
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
    if (m->type == RAFT_MSG_READ_ASK)
        trail_asked(&r->trail, r->now_us);
    r->ops.send(r->ops.ctx, m);
}

/* ---- messages that wait for the disk ---- */

static uint64_t disk_busy_us(const struct replica *r)
{
    return r->ops.disk_busy_us != NULL ? r->ops.disk_busy_us(r->ops.ctx) : 0;
}

/* Of the time that it waited what the disk needed, and not what the loop came too late (SEE-4). */
static void tell_disk(const struct replica *r, const struct held_msg *held, struct raft_msg *m)
{
    const uint64_t waited_us = r->now_us - held->since_us;
    uint64_t busy_us;

    if (m->type != RAFT_MSG_APPEND_RESP || m->reject || waited_us < TRAIL_SNAG_US)
        return;
    busy_us = disk_busy_us(r) - held->disk_busy_us;
    if (busy_us > waited_us)
        busy_us = waited_us;
    if (busy_us >= TRAIL_SNAG_US)
        m->disk_us = busy_us;
}

static void hold_msg(struct replica *r, uint64_t after_batch, const struct raft_msg *m)
{
    int rc;

    rid_assert(after_batch > r->stored_batch);
    rid_assert(after_batch <= r->submitted_batch);
    rid_assert(m->n_entries == 0); /* what it borrowed would be gone by then */
    if (held_ring_n(&r->held) > 0)
        rid_assert(held_ring_last(&r->held)->after_batch <= after_batch);
    rc = held_ring_push(&r->held, (struct held_msg){after_batch, r->now_us, disk_busy_us(r), *m});
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
    r->acked_by = r->id;
    raft_stored(r->raft, batch, r->now_us);
    r->acked_by = 0;
    trail_stored(&r->trail, r->id, raft_get_last_stored(r->raft), r->now_us, 0);
    while (held_ring_n(&r->held) > 0 && held_ring_at(&r->held, 0)->after_batch <= batch) {
        struct held_msg held = held_ring_pop(&r->held);

        tell_disk(r, &held, &held.msg);
        send_msg(r, &held.msg);
    }
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
        if (ready->reset.index != 0)
            r->install_batch = ready->batch;
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

/* Who lost its right can only fail, from before anything of this turn completes (READ-17); it is
 * told so when there is time. */
static void fail_the_lost(struct replica *r, const struct raft_ready *ready)
{
    replica_note_loss(r, ready);
    anchors_lose(r, ready);
    proposals_lose(r, ready);
    replica_lose_floors(r, ready);
    replica_tell_lost(r);
}

static void take_ready(struct replica *r)
{
    struct raft_ready ready;

    r->dirty = false;
    anchors_prepare(r);
    replica_tell_clocks(r);
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
    apply_committed(r, &ready);
    if (r->dead)
        return;
    replica_rebuild_step(r);
    replica_drain_floors(r);
    anchors_serve(r);
    replica_rebuild_step(r);
    if (r->dead)
        return;
    replica_tell_lost(r); /* what this node is too far behind for, as it turned out */
    replica_drain_waiting(r);
}

/* What lasts, and holds up whatever needs a leader or the state meanwhile. */
static void note_conditions(struct replica *r)
{
    trail_is(&r->trail, TRAIL_NO_LEADER, raft_get_leader(r->raft) == 0, r->now_us);
    trail_is(&r->trail, TRAIL_GATE, raft_gate_left_us(r->raft) > 0, r->now_us);
    trail_is(&r->trail, TRAIL_TRANSFER, raft_is_transferring(r->raft), r->now_us);
    trail_is(&r->trail, TRAIL_PARKED, r->parked, r->now_us);
    trail_is(&r->trail, TRAIL_REBUILDING, r->rebuild != REBUILD_NOT, r->now_us);
}

void replica_turn(struct replica *r, uint64_t now_us)
{
    unsigned n = 0;
    bool lost;

    replica_now(r, now_us);
    if (r->dead)
        return;
    r->stats.n_turns++;
    r->cut = false;
    r->applying.now_us = NULL;
    r->answering.now_us = NULL;
    /* Not by r->now_us, which lines that came since may have moved: up to now_us all was heard, and
     * by that is judged who is silent and what is late (TIME-3). */
    if (raft_tick_due_us(r->raft) <= now_us)
        raft_tick(r->raft, r->now_us);
    replica_tell_lost(r);
    replica_expire(r, now_us);
    apply_unpark(r);
    replica_drain_waiting(r);
    do {
        const bool led = raft_get_role(r->raft) == RAFT_LEADER;

        take_ready(r);
        /* What a damaged state costs is lost at once, however little time is left (READ-16). */
        lost = led && raft_get_role(r->raft) != RAFT_LEADER;
    } while (!r->dead && (lost || (!r->cut && (r->more || r->dirty))) && ++n < READIES_PER_TURN);
    note_conditions(r);
    if (raft_get_leader(r->raft) != 0)
        r->leader_seen_us = r->now_us;
    if (raft_get_role(r->raft) == RAFT_LEADER)
        r->led_us = r->now_us;
    if (!r->dead)
        replica_check_turn(r);
}
