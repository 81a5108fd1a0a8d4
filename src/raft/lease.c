/* Leases of a leader: how they are given, and when one may be used.
 *
 *   heartbeat, lease D   the follower promises to whoever it elects: nothing is committed before
 *                        now + D, stretched for clocks that differ, and answers "leased"
 *   heartbeat_resp       the leader holds, of this voter, until the opening of that round + D
 *   lease                what a quorum of them has given; asked at the moment of use
 *
 * The promise begins after the round was opened, so it ends after the lease does. Who waits (the
 * follower, and whoever it elects) goes by a clock that stands still in a suspended machine; who
 * holds (the leader) by one that does not: each errs towards waiting longer (LEASE-0).
 *
 * Nothing else of the core rests on a lease: without one a read waits for a round. */
#include "raft/raft_int.h"

/* ---- clocks ---- */

static void take_clocks(struct raft *r, uint64_t now_us, uint64_t hold_us)
{
    raft_now(r, now_us);
    if (hold_us > r->hold_us)
        r->hold_us = hold_us;
    r->suspended_us = hold_us - now_us;
}

void raft_hold(struct raft *r, uint64_t now_us, uint64_t hold_us)
{
    take_clocks(r, now_us, hold_us);
    r->n_holds++;
}

/* The machine was suspended since the first round that counts was opened, or one of the two clocks
 * was misread then (LEASE-12). */
static bool was_suspended(const struct raft *r)
{
    const int64_t moved_us = (int64_t)(r->suspended_us - r->lease.suspended_us);

    return moved_us > (int64_t)RAFT_SUSPEND_US || moved_us < -(int64_t)RAFT_SUSPEND_US;
}

/* Nothing that was sent before counts from now on. */
static void begin_anew(struct raft *r)
{
    r->lease.first_round = raft_rounds_last(&r->rounds) + 1;
    r->lease.suspended_us = r->suspended_us;
}

/* And the own clock is not that of before. */
static void forget(struct raft *r)
{
    begin_anew(r);
    for (unsigned i = 0; i < r->n_progress; i++)
        raft_drift_forget(&r->progress[i].drift);
}

void raft_forget_held(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
    forget(r);
    raft_pairs_forget(r);
    raft_check_rest(r);
}

/* ---- a follower's side ---- */

/* No answer ever waits for the disk (READ-61). A length that was never promised before is stored,
 * and until it is the answer goes without its promise: after a crash in between nobody would know
 * of it (LEASE-3). */
static bool may_promise(struct raft *r, uint64_t lease_us)
{
    if (lease_us > r->hard_state.lease_max_us) {
        r->hard_state.lease_max_us = lease_us;
        r->hard_state_dirty = true;
        r->lease_batch = 0;
    }
    return lease_us <= r->lease_stored_us;
}

/* The length is the leader's, never the own setting; it is booked before the answer exists
 * (LEASE-1). */
void raft_promise(struct raft *r, const struct raft_msg *m, struct raft_beat *ret_beat)
{
    const uint64_t lease_us = m->beat.lease_us;

    rid_assert(m->term == r->hard_state.current_term);
    *ret_beat = (struct raft_beat){.said = true, .mono_us = r->now_us};
    if (r->conf.nonce != 0)
        ret_beat->stamp = (struct raft_stamp){r->conf.nonce, r->hold_us};
    if (lease_us == 0)
        return;
    raft_promises_book(&r->promises, m->term, r->now_us + raft_stretch_us(lease_us), r->now_us);
    ret_beat->leased = may_promise(r, lease_us);
}

/* At the moment at which the vote is given, for from then on this node promises nothing to an
 * earlier term; again when it is repeated. Of its own term only m->from itself could lead. The one
 * that hands over has no lease any more, but those before it may (LEASE-5). */
uint64_t raft_promise_left_us(const struct raft *r, const struct raft_msg *m)
{
    raft_term over = m->transfer ? m->term - 1 : RAFT_TERM_NONE;

    return raft_promises_left_us(&r->promises, m->term, over, r->now_us);
}

void raft_promise_issue(struct raft *r, uint64_t batch)
{
    if (r->hard_state.lease_max_us > r->lease_stored_us && r->lease_batch == 0)
        r->lease_batch = batch;
}

void raft_promise_stored(struct raft *r, uint64_t batch)
{
    if (r->lease_batch == 0 || r->lease_batch > batch)
        return;
    r->lease_batch = 0;
    r->lease_stored_us = r->hard_state.lease_max_us;
}

/* ---- a leader's side ---- */

void raft_set_lease(struct raft *r, uint64_t lease_us, uint64_t now_us)
{
    rid_assert(lease_us <= RAFT_LEASE_US_MAX);
    raft_now(r, now_us);
    r->conf.lease_us = lease_us;
    raft_check_rest(r);
}

void raft_lease_begin_term(struct raft *r)
{
    r->lease.handed_over = false;
    begin_anew(r);
}

/* Voters leave out what they promised to a leader that hands over, and the message that tells the
 * other to campaign may be late by any time: so there is no lease any more, whatever becomes of the
 * transfer (LEASE-10). */
void raft_lease_hand_over(struct raft *r)
{
    rid_assert(r->role == RAFT_LEADER);
    r->lease.handed_over = true;
}

/* A voter whose clock runs at another rate than the own: which of the two is wrong is not known
 * (LEASE-13). 0: none. */
static raft_node_id drifting(const struct raft *r)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].role == RAFT_VOTER &&
            raft_drift_is_beyond(&r->progress[i].drift, r->now_us))
            return r->progress[i].id;
    return 0;
}

/* A member that does not know of gates would, elected, commit at once. It may have been put back to
 * an earlier version since it was asked; that the others know is not enough as long as they could
 * still elect it, and they cannot when a quorum has the entry that says so (LEASE-15). */
static const char *why_not(const struct raft *r)
{
    if (raft_config_at(r, r->commit_index)->configuration.version < GATES_VERSION)
        return "version";
    if (drifting(r) != 0)
        return "clocks";
    return r->lease.handed_over ? "handed over" : NULL;
}

static uint64_t length_us(const struct raft *r)
{
    return why_not(r) == NULL ? r->conf.lease_us : 0;
}

/* The hold clock that the round gets was read before its first byte was written (LEASE-8). */
uint64_t raft_lease_open(struct raft *r)
{
    if (was_suspended(r))
        forget(r);
    if (r->lease.first_round == raft_rounds_last(&r->rounds) + 1)
        r->lease.suspended_us = r->suspended_us;
    return length_us(r);
}

/* A round that is repeated on a new link carries what it carried: its acknowledgement gives that
 * length, whatever is set now (LEASE-8). */
uint64_t raft_lease_of_round(const struct raft *r, uint64_t round)
{
    const struct round_time *t = raft_rounds_get(&r->rounds, round);

    return t != NULL && !r->lease.handed_over ? t->lease_us : 0;
}

/* From the opening of the round, not from the answer; a round whose time is not known any more
 * gives nothing, and neither does one that was opened before a pause (LEASE-8, LEASE-12). */
static void take_held(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    const struct round_time *t = raft_rounds_get(&r->rounds, m->round);

    if (!m->beat.leased || t == NULL || m->round < r->lease.first_round ||
        m->round <= p->held.round)
        return;
    p->held = (struct held){.round = m->round, .end_us = t->hold_us + t->lease_us};
}

static void take_reading(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    const struct round_time *t = raft_rounds_get(&r->rounds, m->round);
    struct drift_reading reading;

    if (t == NULL || m->round < r->lease.first_round)
        return;
    reading = (struct drift_reading){
        .peer_us = m->beat.mono_us, .before_us = t->opened_us, .after_us = r->now_us};
    raft_drift_note(&p->drift, m->beat.stamp.nonce, m->beat.stamp.hold_us - m->beat.mono_us,
                    &reading);
}

void raft_lease_heard(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    rid_assert(r->role == RAFT_LEADER);
    if (!m->beat.said)
        return;
    take_held(r, p, m);
    take_reading(r, p, m);
}

/* raft_quorum_get: until when this voter waits for us. This node itself holds as long as it leads,
 * so that the only voter always has a lease; learners are not asked (LEASE-14). */
static uint64_t held_until(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    if (p == NULL)
        return UINT64_MAX;
    return p->held.round >= r->lease.first_round ? p->held.end_us : 0;
}

/* Of the configuration in force now, never kept: a quorum of one that has gone may not be one
 * (LEASE-8). */
static uint64_t lease_end_us(const struct raft *r)
{
    return raft_quorum_value(raft_get_configuration(r), held_until, r);
}

bool raft_lease_is_valid(const struct raft *r)
{
    return r->role == RAFT_LEADER && length_us(r) != 0 && !was_suspended(r) &&
           r->hold_us + RAFT_LEASE_MARGIN_US < lease_end_us(r);
}

int raft_lease(struct raft *r, raft_index min_index, uint64_t now_us, uint64_t hold_us,
               raft_index *ret_index)
{
    take_clocks(r, now_us, hold_us);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER; /* lost with the role, whatever was promised (LEASE-11) */
    if (!raft_can_serve(r))
        return RAFT_E_GATED;
    if (was_suspended(r))
        forget(r);
    if (min_index > r->commit_index || !raft_lease_is_valid(r))
        return RAFT_E_NO_LEASE;
    r->lease.n_reads++;
    *ret_index = r->commit_index;
    return 0;
}

const char *raft_lease_why_not(const struct raft *r)
{
    const char *why;

    if (r->conf.lease_us == 0)
        return "off";
    if (raft_can_serve(r) && raft_lease_is_valid(r))
        return NULL;
    why = why_not(r);
    if (why != NULL)
        return why;
    return raft_can_serve(r) ? "silent" : "not ready";
}

void raft_lease_status(const struct raft *r, struct raft_status *s)
{
    s->lease_us = r->conf.lease_us;
    s->lease_valid = raft_can_serve(r) && raft_lease_is_valid(r);
    s->n_lease_reads = r->lease.n_reads;
    s->promise_left_us =
        raft_promises_left_us(&r->promises, RAFT_TERM_NONE, RAFT_TERM_NONE, r->now_us);
    if (r->role != RAFT_LEADER)
        return;
    s->drift_peer = drifting(r);
    s->gate_left_us = raft_gate_left_us(r);
    if (s->lease_valid) {
        uint64_t left_us = lease_end_us(r) - r->hold_us;

        s->lease_left_us = left_us < r->conf.lease_us ? left_us : r->conf.lease_us;
    } else if (r->conf.lease_us != 0) {
        s->lease_why_not = raft_lease_why_not(r);
    }
}
