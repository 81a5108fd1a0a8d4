/* A state machine that is not to be believed is emptied and made again from the log, while the
 * process goes on.
 *
 *   GOOD ──damaged──► WANTED ──does not lead──► REBUILDING ──applied what it had──► GOOD
 *                       ▲                            │
 *                       └────────── damaged ─────────┘
 *
 * From the first step on the node is unfit: the core hands its leadership on, and takes no reads
 * (FIT-4). Nothing is answered from the state before it has applied again what it had applied
 * before, or a client would see it go back in time (FIT-6). What is committed meanwhile is held
 * back, not applied to what is damaged: the rewind hands it out. Votes, entries and
 * acknowledgements go on as if nothing had happened (FIT-1). */
#include "base/assert.h"
#include "base/limits.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* What may not wait for the state to be made again: whoever asks again is answered by another
 * node. Not writes, nor reads that any node answers. */
static bool is_leaders_read(const struct replica_request *q)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);

    return p != NULL && p->by_leader;
}

/* In CONFIRMED and EXACT what has its anchor and waits for the state; in PROPOSED markers, which
 * will be applied again, to a state on its way. A read that fails changed nothing. */
static void fail_reads(struct replica *r, enum replica_stage stage)
{
    struct replica_request *found;

    do {
        found = NULL;
        list_for_each(it, &r->queues[stage].list)
        {
            struct replica_request *q = list_entry(it, struct replica_request, link);

            if (is_leaders_read(q)) {
                found = q;
                break;
            }
        }
        if (found != NULL) /* and look again: its callback may cancel any other */
            replica_fail(r, found, WIRE_ERROR_ROLE_CHANGED, NULL);
    } while (found != NULL);
}

/* Local reads promise nothing about their age, so they may as well wait, as long as they may. */
static void keep_local_reads(struct replica *r)
{
    list_for_each_safe(it, &r->queues[REPLICA_LOCAL].list)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (list_empty(&q->timer) && q->deadline_us != UINT64_MAX)
            timers_add(&r->timers, &q->timer, q->deadline_us);
    }
}

void replica_rebuild(struct replica *r, uint64_t now_us)
{
    rid_assert(r->ops.state_rebuild != NULL);
    replica_now(r, now_us);
    if (r->dead)
        return;
    r->rebuild = REBUILD_WANTED;
    r->dirty = true;
    r->parked = false; /* there is nothing to find room for until it is empty */
    r->more = false;
    raft_hold_committed(r->raft, true);
    raft_set_fitness(r->raft, RAFT_UNFIT, r->now_us);
    r->unfit_term = raft_get_term(r->raft);
    fail_reads(r, REPLICA_CONFIRMED);
    fail_reads(r, REPLICA_EXACT);
    fail_reads(r, REPLICA_PROPOSED);
    anchor_follower_refuse(r);
    keep_local_reads(r);
}

bool replica_rebuilding(const struct replica *r)
{
    return r->rebuild != REBUILD_NOT;
}

void replica_set_fit(struct replica *r, enum raft_fitness fitness, uint64_t now_us)
{
    rid_assert(fitness == RAFT_UNFIT || r->rebuild == REBUILD_NOT);
    replica_now(r, now_us);
    r->dirty = true;
    raft_set_fitness(r->raft, fitness, r->now_us);
}

void replica_begin_rebuilding(struct replica *r)
{
    rid_assert(r->rebuild == REBUILD_NOT);
    r->rebuild = REBUILDING;
    r->rebuilt_at = raft_get_commit_index(r->raft);
    r->dirty = true;
    raft_set_fitness(r->raft, RAFT_UNFIT, r->now_us);
}

/* What is committed is known up to the base at least, and the state of that comes from
 * elsewhere. */
void replica_begin_without_state(struct replica *r)
{
    rid_assert(r->rebuild == REBUILD_NOT);
    r->rebuild = REBUILD_WANTED;
    r->dirty = true;
    raft_hold_committed(r->raft, true);
    raft_set_fitness(r->raft, RAFT_UNFIT, r->now_us);
    r->unfit_term = raft_get_term(r->raft);
}

/* ---- snapshots ---- */

/* Their results were those of entries that will not be applied here one by one. */
static void fail_passed_over(struct replica *r, raft_index index)
{
    struct replica_request *q;

    fail_reads(r, REPLICA_EXACT);
    while ((q = replica_first(r, REPLICA_PROPOSED)) != NULL && q->entry.index <= index)
        replica_fail(r, q, WIRE_ERROR_ROLE_CHANGED, NULL);
}

enum raft_install replica_install(struct replica *r, struct raft_entry_id id,
                                  const struct raft_config_at *config, uint64_t now_us)
{
    enum raft_install what;

    rid_assert(r->installing == 0);
    replica_now(r, now_us);
    if (r->dead)
        return RAFT_INSTALL_LATER;
    r->dirty = true;
    what = raft_install(r->raft, id, config, r->rebuild == REBUILD_WANTED, r->now_us);
    if (what != RAFT_INSTALL_STATE && what != RAFT_INSTALL_LOG)
        return what;
    fail_passed_over(r, id.index);
    r->installing = id.index;
    /* The state goes with the log: not before the log on the disk has gone (SNAP-8). */
    r->install_batch = what == RAFT_INSTALL_LOG ? UINT64_MAX : 0;
    return what;
}

bool replica_may_restore(const struct replica *r)
{
    return !r->dead && r->installing != 0 && r->install_batch <= r->stored_batch;
}

void replica_restored(struct replica *r, uint64_t now_us)
{
    raft_index target = r->last_applied > r->installing ? r->last_applied : r->installing;

    rid_assert(replica_may_restore(r));
    replica_now(r, now_us);
    raft_restored(r->raft, r->now_us);
    r->last_applied = r->installing;
    trail_state_is_new(&r->trail, r->last_applied, r->now_us);
    r->installing = 0;
    r->parked = false;
    r->more = false;
    r->dirty = true;
    raft_hold_committed(r->raft, false);
    anchor_follower_refuse(r);
    if (r->rebuild == REBUILD_NOT)
        return;
    /* Nothing is answered before it holds what this node has shown (FIT-6). */
    if (raft_get_commit_index(r->raft) > target)
        target = raft_get_commit_index(r->raft);
    r->rebuild = REBUILDING;
    r->rebuilt_at = target;
    r->rebuild_due_us = r->now_us + REBUILD_AGAIN_US;
}

void replica_compact(struct replica *r, raft_index index)
{
    if (r->dead)
        return;
    raft_compact(r->raft, index);
    r->dirty = true;
}

static bool is_damage(struct replica *r, int rc, const char *what)
{
    rid_assert(rc != 0);
    return r->ops.state_rebuild != NULL && r->ops.state_is_damaged(r->ops.ctx, rc, what);
}

/* Damage is of this state, not of this node (FIT-7): it is made again. */
void replica_state_failed(struct replica *r, int rc, const char *what)
{
    if (is_damage(r, rc, what))
        r->damaged = true; /* the turn is in the middle of it: replica_rebuild_step() goes on */
    else
        replica_fatal(r, rc, what);
}

/* What is damaged for one is believed by nobody. Any other failure of a read is the reader's. */
static int heard(struct replica *r, int rc)
{
    if (rc != 0 && is_damage(r, rc, "cannot read the state"))
        r->damaged = true;
    return rc;
}

int replica_state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct replica *r = ctx;

    return heard(r, r->ops.state_get(r->ops.ctx, key, ret_value));
}

int replica_state_seek(void *ctx, const struct command_range *range)
{
    struct replica *r = ctx;

    return heard(r, r->ops.state_seek(r->ops.ctx, range));
}

int replica_state_next(void *ctx, struct command_item *ret_item)
{
    struct replica *r = ctx;

    return heard(r, r->ops.state_next(r->ops.ctx, ret_item));
}

void replica_read_put_off(struct replica *r, const struct replica_request *q)
{
    rid_assert(q->stage == REPLICA_IDLE); /* its `served` was called, and asks for another end */
    rid_assert(r->stats.n_reads[q->kind] > 0);
    r->stats.n_reads[q->kind]--;
}

bool replica_read_failed(struct replica *r, struct replica_request *q)
{
    if (!r->damaged)
        return false;
    replica_read_put_off(r, q);
    replica_fail(r, q,
                 q->kind == REPLICA_READ_FOLLOWER || q->kind == REPLICA_READ_BOUNDED
                     ? WIRE_ERROR_OVERLOADED
                     : WIRE_ERROR_ROLE_CHANGED,
                 NULL);
    return true;
}

static void make_anew(struct replica *r)
{
    raft_index target = raft_get_commit_index(r->raft);
    raft_index applied = 0;
    int rc;

    rid_assert(target >= r->last_applied);
    rc = r->ops.state_rebuild(r->ops.ctx, &applied);
    raft_wait_for_room(r->raft, rc == REPLICA_STATE_E_FULL);
    /* As an apply that finds no room (SPACE-6). What it is made of may have to be read first, or to
     * come from another node. */
    if (rc == REPLICA_STATE_E_FULL || rc == REPLICA_STATE_E_LATER) {
        r->rebuild_due_us = r->now_us + STATE_RETRY_US;
        return;
    }
    if (rc != 0) {
        replica_fatal(r, rc, "cannot make the state again");
        return;
    }
    if (applied > r->last_applied) /* of a snapshot that another node had sent before */
        fail_passed_over(r, applied);
    raft_rewind(r->raft, applied);
    raft_hold_committed(r->raft, false);
    r->last_applied = applied;
    trail_state_is_new(&r->trail, applied, r->now_us);
    r->rebuild = REBUILDING;
    r->rebuilt_at = target;
    r->rebuild_due_us = r->now_us + REBUILD_AGAIN_US;
    anchor_follower_refuse(r);
}

/* Who is elected before it may be emptied leads for as long as nobody better is there, and where it
 * is alone that is for ever: once in each term it says again that it is unfit, and so steps down
 * after an election timeout, or at once (FIT-4). */
static void stop_leading(struct replica *r)
{
    raft_term term = raft_get_term(r->raft);

    if (raft_get_role(r->raft) != RAFT_LEADER || r->unfit_term == term)
        return;
    r->unfit_term = term;
    r->dirty = true;
    raft_set_fitness(r->raft, RAFT_UNFIT, r->now_us);
}

static bool is_due(const struct replica *r)
{
    return r->rebuild == REBUILD_WANTED && r->now_us >= r->rebuild_due_us && r->installing == 0;
}

void replica_rebuild_step(struct replica *r)
{
    if (r->dead)
        return;
    if (r->damaged) {
        r->damaged = false;
        replica_rebuild(r, r->now_us);
    }
    if (is_due(r))
        stop_leading(r);
    if (is_due(r) && raft_get_role(r->raft) != RAFT_LEADER)
        make_anew(r);
    else if (r->rebuild == REBUILDING && r->last_applied >= r->rebuilt_at)
        r->rebuild = REBUILD_NOT;
}
