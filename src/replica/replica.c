/* Birth and death of a replica, what comes in from outside, and what others may look at. */
#include "replica/replica.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* ---- birth and death ---- */

static void trace_hook(void *ctx, const struct raft_trace *t)
{
    struct replica *r = ctx;

    if (t->event == RAFT_TRACE_COMMIT)
        trail_committed(&r->trail, t->index, r->now_us, r->acked_by, r->acked_disk_us);
    else if (t->event == RAFT_TRACE_ROUND)
        trail_round_opened(&r->trail, t->round, r->now_us);
    if (r->ops.trace != NULL)
        r->ops.trace(r->ops.ctx, t);
}

int replica_new(const struct replica_conf *conf, const struct replica_ops *ops, uint64_t now_us,
                struct replica **ret)
{
    struct replica *r = calloc(1, sizeof(*r));
    struct raft_conf raft_conf = conf->raft;
    int rc;

    rid_assert(ops->log_submit != NULL);
    rid_assert(ops->state_apply != NULL);
    rid_assert(ops->state_apply_get != NULL);
    rid_assert(ops->state_get != NULL);
    rid_assert(ops->send != NULL);
    rid_assert(ops->fatal != NULL);
    rid_assert((ops->state_rebuild != NULL) == (ops->state_is_damaged != NULL));
    if (r != NULL)
        r->results = calloc(RAFT_COMMITTED_ENTRIES_MAX, sizeof(*r->results));
    if (r == NULL || r->results == NULL) {
        free(r);
        return -ENOMEM;
    }
    r->ops = *ops;
    r->id = conf->raft.id;
    r->group = conf->raft.group;
    r->now_us = now_us;
    r->election_timeout_us = conf->raft.election_timeout_us;
    r->leader_seen_us = now_us;
    r->share_us = slice_share_us(conf->raft.heartbeat_us);
    r->silent_us = 2 * conf->raft.heartbeat_us + TRAIL_SNAG_US;
    timers_init(&r->timers, now_us);
    for (unsigned i = 0; i < REPLICA_STAGES; i++)
        list_init(&r->queues[i].list);
    slot_ring_init(&r->slots, mem_libc);
    held_ring_init(&r->held, mem_libc);
    r->first_free = SLOT_NONE;
    r->last_applied = conf->start.last_applied;
    raft_conf.log_reader = ops->log_reader;
    raft_conf.trace = trace_hook;
    raft_conf.trace_ctx = r;
    rc = raft_new(&raft_conf, &conf->start, now_us, &r->raft);
    if (rc != 0) {
        free(r->results);
        free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void replica_free(struct replica *r)
{
    if (r == NULL)
        return;
    replica_quiesce(r);
    for (unsigned stage = 0; stage < REPLICA_STAGES; stage++)
        replica_fail_stage(r, (enum replica_stage)stage);
    rid_assert(replica_idle(r));
    rid_assert(r->n_slots_used == 0);
    rid_assert(r->ages.n == 0);
    raft_free(r->raft);
    free(r->awaited);
    slot_ring_done(&r->slots);
    held_ring_done(&r->held);
    free(r->results);
    free(r);
}

void replica_fatal(struct replica *r, int error, const char *what)
{
    rid_assert(error != 0);
    if (r->dead)
        return;
    r->dead = true; /* before the hook: no message leaves any more */
    r->ops.fatal(r->ops.ctx, error, what);
}

/* ---- the time of a turn ---- */

/* From the first time in a turn on: one that is not used costs no look at the clock. */
void replica_share(struct replica *r, struct slice *share)
{
    if (r->ops.now_us != NULL && share->now_us == NULL)
        slice_begin(share, r->ops.now_us, r->ops.ctx, r->ops.now_us(r->ops.ctx) + r->share_us);
}

bool replica_spent(struct replica *r, struct slice *share)
{
    if (r->ops.now_us == NULL || !slice_spent(share))
        return false;
    r->cut = true;
    return true;
}

/* ---- inputs ---- */

void replica_now(struct replica *r, uint64_t now_us)
{
    if (now_us > r->now_us)
        r->now_us = now_us;
}

/* Both clocks, by one reading of now: they differ by what the machine slept, and by nothing else,
 * or the core would take a long turn for sleep (LEASE-12). That was asked after the clock was read,
 * so that it may be of a moment later: before anything is dated by it or leaves. The hold clock is
 * made of three, and must not seem to go back for that. */
uint64_t replica_look(struct replica *r)
{
    const struct replica_ops *ops = &r->ops;
    uint64_t hold_us;

    if (ops->now_us != NULL)
        replica_now(r, ops->now_us(ops->ctx));
    hold_us = r->now_us + (ops->suspended_us != NULL ? ops->suspended_us(ops->ctx) : 0);
    if (hold_us > r->held_us)
        r->held_us = hold_us;
    if (ops->disrupted != NULL && ops->disrupted(ops->ctx))
        raft_forget_held(r->raft, r->now_us);
    return r->held_us;
}

void replica_tell_clocks(struct replica *r)
{
    const uint64_t hold_us = replica_look(r);

    raft_hold(r->raft, r->now_us, hold_us);
}

void replica_hear(struct replica *r, raft_node_id from, uint64_t now_us)
{
    unsigned at = 0;

    rid_assert(from != r->id);
    replica_now(r, now_us);
    while (at < r->n_heard && r->heard[at].id != from)
        at++;
    if (at == r->n_heard && r->n_heard < RAFT_SERVERS_MAX) {
        r->n_heard++;
    } else if (at == r->n_heard) { /* members come and go: who was heard longest ago makes room */
        at = 0;
        for (unsigned i = 1; i < r->n_heard; i++)
            if (r->heard[i].heard_us < r->heard[at].heard_us)
                at = i;
    }
    if (r->heard[at].id == from && r->now_us - r->heard[at].heard_us > r->silent_us)
        trail_add_snag(&r->trail, &(struct trail_snag){.kind = TRAIL_SILENT,
                                                       .from_us = r->heard[at].heard_us,
                                                       .to_us = r->now_us,
                                                       .peer = from});
    r->heard[at].id = from;
    r->heard[at].heard_us = r->now_us;
}

/* Before the core has it: what comes of it may be a commit. */
static void note_answer(struct replica *r, const struct raft_msg *m)
{
    if (m->reject || m->term != raft_get_term(r->raft))
        return;
    if (m->type == RAFT_MSG_HEARTBEAT_RESP) {
        trail_round_acked(&r->trail, m->from, m->round, r->now_us);
    } else if (m->type == RAFT_MSG_APPEND_RESP) {
        trail_stored(&r->trail, m->from, m->index, r->now_us, m->disk_us);
        r->acked_by = m->from;
        r->acked_disk_us = m->disk_us;
    }
}

int replica_step(struct replica *r, const struct raft_msg *m, uint64_t now_us)
{
    struct raft_msg bare;
    int rc;

    replica_now(r, now_us);
    if (r->dead)
        return 0;
    r->stats.n_msgs_received++;
    /* One of an older term is answered in any case: its sender must learn that (TERM-2). */
    if (m->type == RAFT_MSG_APPEND && m->n_entries > 0 && m->group == r->group &&
        m->term >= raft_get_term(r->raft) && r->ops.may_store != NULL &&
        !r->ops.may_store(r->ops.ctx, m)) {
        if (m->term == raft_get_term(r->raft)) {
            replica_hear(r, m->from, now_us);
            return 0;
        }
        /* A newer term is learned whatever there is room for (TERM-2); once, so that the answer
         * does not have the leader send them again and again. */
        bare = *m;
        bare.n_entries = 0;
        m = &bare;
    }
    r->dirty = true;
    note_answer(r, m);
    /* After m is in memory: a question that it asks may be answered under a lease, and what it
     * promises or proves is dated by this (LEASE-9, BOUND-1). */
    replica_tell_clocks(r);
    rc = raft_step(r->raft, m, r->now_us);
    r->acked_by = 0;
    r->acked_disk_us = 0;
    if (rc != 0) {
        r->stats.n_msgs_invalid++;
        return rc;
    }
    replica_hear(r, m->from, now_us);
    if (m->part != NULL && r->ops.snapshot != NULL && m->term == raft_get_term(r->raft) &&
        (m->type == RAFT_MSG_SNAPSHOT ? raft_get_leader(r->raft) == m->from
                                      : raft_get_role(r->raft) == RAFT_LEADER))
        r->ops.snapshot(r->ops.ctx, m);
    if ((m->note.flags & RAFT_NOTE_SAID) != 0 && r->ops.heard_note != NULL)
        r->ops.heard_note(r->ops.ctx, m->from, &m->note);
    return 0;
}

void replica_log_loaded(struct replica *r, uint64_t now_us)
{
    replica_now(r, now_us);
    if (r->dead)
        return;
    r->dirty = true;
    raft_log_loaded(r->raft, r->now_us);
}

void replica_link(struct replica *r, raft_node_id peer, bool up, uint64_t now_us)
{
    rid_assert(peer != r->id);
    replica_now(r, now_us);
    r->dirty = true;
    replica_tell_clocks(r);
    raft_link(r->raft, peer, up, r->now_us);
}

void replica_gone(struct replica *r, raft_node_id peer, uint64_t now_us)
{
    replica_now(r, now_us);
    if (r->dead)
        return;
    r->dirty = true;
    raft_gone(r->raft, peer, r->now_us);
}

int replica_transfer(struct replica *r, raft_node_id to, uint64_t now_us)
{
    int rc;

    replica_now(r, now_us);
    rc = raft_transfer(r->raft, to, r->now_us);
    r->dirty = true;
    if (rc == 0)
        rid_assert(raft_get_role(r->raft) == RAFT_LEADER);
    return rc;
}

int replica_configure(struct replica *r, const struct raft_configuration *c, raft_index based_on,
                      bool force, uint64_t now_us, struct raft_entry_id *ret_id)
{
    replica_now(r, now_us);
    if (r->dead)
        return RAFT_E_NOT_LEADER;
    r->dirty = true;
    /* Who comes in counts as heard from now on, and the core was told the time when it was last
     * asked something that has to do with it (READ-18). */
    replica_tell_clocks(r);
    return raft_configure(r->raft, c, based_on, force, ret_id);
}

/* ---- looking ---- */

bool replica_heard_within(const struct replica *r, raft_node_id id, uint64_t us)
{
    if (id == r->id)
        return true;
    for (unsigned i = 0; i < r->n_heard; i++)
        if (r->heard[i].id == id)
            return r->now_us - r->heard[i].heard_us <= us;
    return false;
}

bool replica_hears(const struct replica *r, raft_node_id id, uint64_t now_us)
{
    if (now_us < r->now_us)
        now_us = r->now_us;
    if (id == r->id)
        return true;
    for (unsigned i = 0; i < r->n_heard; i++)
        if (r->heard[i].id == id)
            return now_us - r->heard[i].heard_us <= r->election_timeout_us;
    return false;
}

uint64_t replica_heard_us(const struct replica *r, raft_node_id id)
{
    if (id == r->id)
        return r->now_us;
    for (unsigned i = 0; i < r->n_heard; i++)
        if (r->heard[i].id == id)
            return r->heard[i].heard_us;
    return 0;
}

bool replica_is_parked(const struct replica *r)
{
    return r->parked;
}

const char *replica_cause_name(enum replica_cause cause)
{
    switch (cause) {
#define REPLICA_CAUSE_NAME(name, text)                                                             \
    case REPLICA_CAUSE_##name:                                                                     \
        return text;
        REPLICA_CAUSES(REPLICA_CAUSE_NAME)
#undef REPLICA_CAUSE_NAME
    }
    return NULL;
}

const char *replica_fallback_name(enum replica_fallback reason)
{
    static const char *const names[] = {
#define REPLICA_FALLBACK_TEXT(name, text) text,
        REPLICA_FALLBACKS(REPLICA_FALLBACK_TEXT)
#undef REPLICA_FALLBACK_TEXT
    };

    return names[reason];
}

const char *replica_proof_name(enum replica_proof proof)
{
    switch (proof) {
#define REPLICA_PROOF_NAME(name, text)                                                             \
    case REPLICA_PROOF_##name:                                                                     \
        return text;
        REPLICA_PROOFS(REPLICA_PROOF_NAME)
#undef REPLICA_PROOF_NAME
    }
    return NULL;
}

bool replica_quiesced(const struct replica *r)
{
    return r->quiesced;
}

bool replica_transferring(const struct replica *r)
{
    return raft_is_transferring(r->raft);
}

static uint64_t timer_us(const struct replica *r, uint64_t raft)
{
    uint64_t timer = timers_next_us(&r->timers);

    if (r->rebuild == REBUILD_WANTED && r->rebuild_due_us > r->now_us && r->rebuild_due_us < raft)
        raft = r->rebuild_due_us;
    if (r->parked && r->park_until_us < timer)
        timer = r->park_until_us;
    return raft < timer ? raft : timer;
}

bool replica_is_due(const struct replica *r, uint64_t now_us)
{
    return timer_us(r, raft_tick_due_us(r->raft)) <= now_us;
}

uint64_t replica_deadline_us(const struct replica *r)
{
    if (r->dirty || r->more || r->cut ||
        (replica_n(r, REPLICA_LOCAL) > 0 && replica_state_is_good(r)))
        return 0;
    return timer_us(r, raft_deadline_us(r->raft));
}

void replica_get_stats(const struct replica *r, struct replica_stats *ret)
{
    *ret = r->stats;
    ret->n_waiting =
        replica_n(r, REPLICA_WAITING) + replica_n(r, REPLICA_FLOOR) + replica_n(r, REPLICA_LOOK);
    ret->n_in_round = replica_n(r, REPLICA_ASKED);
    ret->n_asking =
        replica_n(r, REPLICA_TICKET) + replica_n(r, REPLICA_AGE) + replica_n(r, REPLICA_BEHIND);
    ret->n_confirmed = replica_n(r, REPLICA_CONFIRMED) + replica_n(r, REPLICA_EXACT) +
                       replica_n(r, REPLICA_AWAITED) + replica_n(r, REPLICA_LOCAL);
    ret->n_proposed = replica_n(r, REPLICA_PROPOSED) + replica_n(r, REPLICA_LOST);
}

const struct histogram *replica_round_reads(const struct replica *r)
{
    return &r->round_reads;
}

uint64_t replica_clock_us(const struct replica *r)
{
    uint64_t us = r->now_us;

    if (r->applying.now_us != NULL && r->applying.looked_us > us)
        us = r->applying.looked_us;
    if (r->answering.now_us != NULL && r->answering.looked_us > us)
        us = r->answering.looked_us;
    return us;
}

const struct trail *replica_trail(const struct replica *r)
{
    return &r->trail;
}

void replica_note_snag(struct replica *r, const struct trail_snag *snag)
{
    trail_add_snag(&r->trail, snag);
}

uint16_t replica_group(const struct replica *r)
{
    return r->group;
}

const struct raft *replica_raft(const struct replica *r)
{
    return r->raft;
}

struct raft *replica_raft_mutable(struct replica *r)
{
    return r->raft;
}

raft_index replica_last_applied(const struct replica *r)
{
    return r->last_applied;
}
