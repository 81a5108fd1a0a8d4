/* What is committed is applied, and then answered.
 *
 * In runs, each one transaction: nothing is answered before its transaction is committed, so that
 * one which fails has told nobody (SPACE-8). A run ends behind a marker that a read waits for: it
 * is answered from the state of exactly that entry (READ-60). It ends, too, with the time of the
 * turn that is for applying (TIME-1).
 *
 * A state without room is not an end (SPACE-6): the run is undone, its entries are kept and handed
 * out again a little later, as often as it takes. Whoever waits for them waits, up to its deadline;
 * reads of what is applied go on. */
#include "base/assert.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

/* Without room: nothing more is handed out until the next attempt. */
static void park(struct replica *r)
{
    r->parked = true;
    r->more = false;
    r->park_until_us = r->now_us + STATE_RETRY_US;
    raft_hold_committed(r->raft, true);
    anchor_follower_refuse(r);
}

void apply_unpark(struct replica *r)
{
    if (!r->parked || r->park_until_us > r->now_us)
        return;
    /* r->parked stays: only a run that was committed ends it. */
    r->park_until_us = UINT64_MAX;
    r->dirty = true;
    raft_hold_committed(r->raft, false);
}

/* How many of the n entries are applied in one transaction. */
static unsigned run_length(const struct replica *r, const struct raft_entry *entries, unsigned n)
{
    const struct replica_request *q = replica_first(r, REPLICA_EXACT);

    if (q == NULL)
        return n;
    for (unsigned i = 0; i < n; i++)
        if (entries[i].id.index == q->anchor.index)
            return i + 1;
    return n;
}

/* Weighs the last run like all before it together where entries get longer, and like a quarter of
 * them where they get shorter: of a run of one entry the transaction is the most. */
static void note_times(struct replica *r, uint64_t took_us, unsigned n)
{
    const uint64_t ns = took_us * 1000 / n + 1;

    r->entry_ns = ns > r->entry_ns ? (r->entry_ns + ns) / 2 : (3 * r->entry_ns + ns) / 4;
    raft_set_ahead(r->raft, 1 + APPLY_AHEAD_US * 1000ull / (r->entry_ns + 1));
}

/* Applies at least one of the entries, and as many as there is time for (TIME-1): how many are in
 * one transaction changes no state. 0; REPLICA_STATE_E_FULL, other outcomes and -errno: nothing was
 * applied. */
static int apply_run(struct replica *r, const struct raft_entry *entries, unsigned *n)
{
    unsigned done = 0;
    int rc = r->ops.state_begin(r->ops.ctx);

    if (rc != 0)
        return rc;
    do {
        r->results[done] = (struct command_result){0};
        rc = r->ops.state_apply(r->ops.ctx, &entries[done], &r->results[done]);
        slice_charge(&r->applying, entries[done].len);
        done++;
    } while (rc == 0 && done < *n && !replica_spent(r, &r->applying));
    if (rc != 0) {
        r->ops.state_abort(r->ops.ctx);
        return rc;
    }
    *n = done;
    return r->ops.state_commit(r->ops.ctx);
}

/* A run with its transaction, timed (TIME-5). */
static int apply_timed(struct replica *r, const struct raft_entry *entries, unsigned *n)
{
    uint64_t from_us = r->now_us;
    uint64_t to_us = r->now_us;
    uint64_t bytes = 0;
    int rc;

    if (r->ops.now_us != NULL)
        from_us = r->ops.now_us(r->ops.ctx);
    rc = apply_run(r, entries, n);
    if (rc != 0)
        return rc;
    if (r->ops.now_us != NULL) {
        to_us = r->ops.now_us(r->ops.ctx);
        note_times(r, to_us - from_us, *n);
    }
    for (unsigned i = 0; i < *n; i++)
        bytes += entries[i].len;
    trail_applied(&r->trail, entries[*n - 1].id.index, to_us, *n, bytes, to_us - from_us);
    return 0;
}

/* Only now can readers see it (READ-36), and only now is it told (SPACE-8). */
static void answer_run(struct replica *r, const struct raft_entry *entries, unsigned n)
{
    const raft_index committed = raft_get_commit_index(r->raft);

    r->parked = false;
    r->last_applied = entries[n - 1].id.index;
    raft_applied(r->raft, r->last_applied);
    if (raft_get_commit_index(r->raft) > committed)
        r->dirty = true;
    for (unsigned i = 0; i < n; i++)
        proposals_applied(r, &entries[i], &r->results[i]);
    anchors_serve_exact(r);
}

/* Committed entries are in the log of this node, so that what its share of the turn is too
 * short for waits there, and is handed out again. Log reads whose markers are among them stay
 * in EXACT: they have their proof, whatever becomes of the leadership. */
static void leave_the_rest(struct replica *r)
{
    rid_assert(r->cut);
    raft_take_back(r->raft);
    r->more = true;
}

/* Nothing more is applied: the node is at its end, or a read of what was just applied found the
 * state damaged. Then the rest is handed out again when there is a state for it (FIT-6). */
static bool is_over(const struct replica *r)
{
    return r->dead || r->damaged;
}

/* Every node applies these, in this order, once (STATE-1). */
void apply_committed(struct replica *r, const struct raft_ready *ready)
{
    unsigned done = 0;

    if (ready->n_committed == 0)
        return;
    replica_share(r, &r->applying);
    /* Each entry once, in order, and only what is durable here. */
    rid_assert(ready->committed[0].id.index == r->last_applied + 1);
    rid_assert(ready->n_committed <= RAFT_COMMITTED_ENTRIES_MAX);
    rid_assert(ready->committed[0].id.index + ready->n_committed - 1 <=
               raft_get_commit_index(r->raft));
    do {
        const struct raft_entry *run = &ready->committed[done];
        unsigned n = run_length(r, run, ready->n_committed - done);
        int rc = apply_timed(r, run, &n);

        if (rc == REPLICA_STATE_E_FULL) {
            park(r);
            return;
        }
        if (rc != 0) {
            replica_state_failed(r, rc, "cannot apply to the state");
            return;
        }
        answer_run(r, run, n);
        done += n;
        /* Asked first: what is committed because of the last of these is of this turn, too. */
    } while (!replica_spent(r, &r->applying) && done < ready->n_committed && !is_over(r));
    if (done < ready->n_committed && !is_over(r))
        leave_the_rest(r);
}
