/* One node of one group: time, links, batches, and what the host may ask for.
 *
 * Nothing here decides anything alone: the node is born in start.c, elections are in election.c,
 * roles in role.c, the log in replicate.c, reads in read.c, what goes out in ready.c, what comes
 * in in step.c. */
#include "raft/raft_int.h"

#include <errno.h>

/* In 64 bits, and never back (CORE-2). */
uint64_t raft_now(struct raft *r, uint64_t now_us)
{
    if (now_us > r->now_us)
        r->now_us = now_us;
    return r->now_us;
}

void *raft_grow(struct mem mem, void *list, size_t *size, size_t n, size_t width)
{
    list = array_reserve(mem, list, size, n, 1, width);
    /* Out of memory where nobody can be refused: stop, Raft survives that. */
    rid_assert(list != NULL);
    return list;
}

void raft_trace(struct raft *r, enum raft_trace_event event, raft_node_id peer, raft_index index,
                const char *text)
{
    struct raft_trace t = {.event = event,
                           .role = r->role,
                           .term = r->hard_state.current_term,
                           .index = index,
                           .peer = peer,
                           .round = raft_rounds_last(&r->rounds),
                           .text = text};

    if (r->conf.trace != NULL)
        r->conf.trace(r->conf.trace_ctx, &t);
}

void raft_send(struct raft *r, struct msg_queue *q, struct raft_msg *m)
{
    size_t size = q->size;

    rid_assert(m->to != 0);
    rid_assert(m->to != r->conf.id); /* nobody writes to himself */
    q->list = raft_grow(r->conf.mem, q->list, &size, q->n, sizeof(*q->list));
    q->size = (unsigned)size;
    m->from = r->conf.id;
    m->group = r->conf.group;
    q->list[q->n++] = *m;
}

/* ---- time and links ---- */

static void tick(struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        raft_leader_tick(r);
        return;
    }
    if (r->now_us < r->election_due_us)
        return;
    if (!raft_may_campaign(r)) {
        raft_reset_election_timer(r);
        return;
    }
    r->leader_id = 0;
    /* Nobody refused it, and the votes did not come in time: on slow disks they will not come in
     * the same time again (VOTE-9). */
    if (r->role == RAFT_CANDIDATE)
        r->n_late_elections++;
    raft_campaign(r, true, false);
}

void raft_tick(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
    tick(r);
    raft_check_rest(r);
}

uint64_t raft_tick_due_us(const struct raft *r)
{
    const uint64_t gate = raft_gate_due_us(r);

    if (r->role != RAFT_LEADER)
        return r->election_due_us;
    return gate < raft_leader_due_us(r) ? gate : raft_leader_due_us(r);
}

uint64_t raft_deadline_us(const struct raft *r)
{
    const uint64_t tick = raft_tick_due_us(r);
    const uint64_t due = r->role == RAFT_LEADER ? raft_round_due_us(r) : raft_ask_due_us(r);

    return due < tick ? due : tick;
}

void raft_link(struct raft *r, raft_node_id peer, bool up, uint64_t now_us)
{
    struct progress *p = raft_progress(r, peer);

    rid_assert(peer != r->conf.id);
    raft_now(r, now_us);
    if (p == NULL)
        return;
    p->link_up = up;
    p->rtt_round = 0;
    if (!up)
        p->understands_asks = false;
    if (r->role == RAFT_LEADER) {
        raft_progress_probe(r, p);
        raft_progress_revive(r, p);
        p->heartbeat_due = up; /* carries the highest open round (READ-12) */
    } else if (up) {
        raft_campaign_resend(r, p);
    }
    raft_check_rest(r);
}

/* ---- batches ---- */

/* What is on the disk can be read from there again. */
static void bound_cache(struct raft *r, raft_index keep_from)
{
    while (r->log.cached_bytes > r->conf.cache_bytes_max && r->log.first_cached <= keep_from)
        raft_log_forget(&r->log, r->log.first_cached);
}

void raft_bound_cache(struct raft *r)
{
    bound_cache(r, r->last_applied < r->last_stored ? r->last_applied : r->last_stored);
}

void raft_stored(struct raft *r, uint64_t batch, uint64_t now_us)
{
    raft_now(r, now_us);
    rid_assert(batch <= r->last_batch);
    rid_assert(batch >= r->last_stored_batch);
    raft_disk_moved(r);
    while (mark_ring_n(&r->marks) > 0 && mark_ring_at(&r->marks, 0)->batch <= batch) {
        const struct batch_mark m = mark_ring_pop(&r->marks);

        if (m.last_index > r->last_stored)
            r->last_stored = m.last_index;
        r->last_stored_batch = m.batch;
        raft_disk_done(r, &m);
    }
    raft_promise_stored(r, batch);
    if (r->self_vote_pending && r->self_vote_batch != 0 && r->self_vote_batch <= batch) {
        r->self_vote_pending = false;
        r->self_vote = true;
        raft_count_votes(r);
    }
    if (r->role == RAFT_LEADER)
        raft_maybe_commit(r);
    /* Who applies nothing for now takes entries all the same: memory must not grow with them. What
     * is not committed stays, as it does where entries are applied: a leader counts the bytes of
     * its own down when they are, and there are no more of them than it may have. */
    if (r->held || r->installing.index != 0)
        bound_cache(r, r->commit_index < r->last_stored ? r->commit_index : r->last_stored);
    raft_check_rest(r);
}

void raft_hold_committed(struct raft *r, bool hold)
{
    r->held = hold;
    r->last_emitted = r->last_applied;
    if (r->role == RAFT_LEADER)
        raft_maybe_commit(r); /* what waited for an apply that waits itself now (TIME-5) */
    raft_check_rest(r);
}

void raft_log_loaded(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
    r->apply_waits_for_log = false;
    for (unsigned i = 0; i < r->n_progress; i++)
        r->progress[i].waits_for_log = false;
    raft_check_rest(r);
}

void raft_applied(struct raft *r, raft_index index)
{
    rid_assert(index >= r->last_applied);
    rid_assert(index <= r->last_emitted);
    r->last_applied = index;
    raft_bound_cache(r);
    if (r->role == RAFT_LEADER)
        raft_maybe_commit(r);
    raft_check_rest(r);
}

/* The entries are in the log: nothing is kept of them here, and nothing can have changed, since
 * they are committed. */
void raft_take_back(struct raft *r)
{
    r->last_emitted = r->last_applied;
    raft_check_rest(r);
}

/* ---- asking ---- */

static int propose(struct raft *r, enum raft_entry_type type, const void *data, size_t len,
                   struct raft_entry_id *ret_id)
{
    struct raft_entry e;

    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (len > ENTRY_BYTES_MAX)
        return RAFT_E_TOO_LARGE;
    if (!raft_can_propose(r))
        return RAFT_E_GATED;
    if (r->transfer_to != 0 || r->uncommitted_bytes > RAFT_UNCOMMITTED_BYTES_MAX)
        return RAFT_E_BUSY;
    if (!raft_disk_takes_more(r))
        return RAFT_E_BUSY;
    e = (struct raft_entry){
        {r->hard_state.current_term, r->log.last_index + 1}, type, (uint32_t)len, data};
    if (raft_log_append(&r->log, &e) != 0)
        return -ENOMEM;
    r->uncommitted_bytes += raft_entry_bytes(&e);
    r->disk.proposed_bytes += raft_entry_bytes(&e);
    *ret_id = e.id;
    return 0;
}

int raft_propose(struct raft *r, enum raft_entry_type type, const void *data, size_t len,
                 struct raft_entry_id *ret_id)
{
    int rc;

    rid_assert(type == RAFT_ENTRY_COMMAND || type == RAFT_ENTRY_READ);
    rid_assert(data != NULL || len == 0);
    rc = propose(r, type, data, len, ret_id);
    raft_check_log(r);
    return rc;
}

/* No proposals from now on, reads go on, and after an election timeout it is over (READ-46). */
void raft_begin_transfer(struct raft *r, struct progress *to)
{
    rid_assert(r->role == RAFT_LEADER);
    rid_assert(r->transfer_to == 0);
    rid_assert(to->role == RAFT_VOTER);
    r->transfer_to = to->id;
    r->transfer_deadline_us = r->now_us + r->conf.election_timeout_us;
    r->transfer_sent = false;
    raft_trace(r, RAFT_TRACE_TRANSFER, to->id, 0, "started");
    raft_maybe_timeout_now(r, to);
}

/* When the choice is free: one that is there, then the fittest, then the one that is furthest. */
static bool is_better_target(const struct progress *p, const struct progress *than)
{
    if (p->link_up != than->link_up)
        return p->link_up;
    if (raft_fitness_of(p) != raft_fitness_of(than))
        return raft_fitness_of(p) < raft_fitness_of(than);
    return p->match_index > than->match_index;
}

int raft_transfer(struct raft *r, raft_node_id to, uint64_t now_us)
{
    struct progress *best = NULL;

    raft_now(r, now_us);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (r->transfer_to != 0)
        return RAFT_E_BUSY;
    for (unsigned i = 0; i < r->n_progress; i++) {
        struct progress *p = &r->progress[i];

        if (p->role != RAFT_VOTER || (to != 0 && p->id != to))
            continue;
        if (best == NULL || is_better_target(p, best))
            best = p;
    }
    if (best == NULL)
        return RAFT_E_NOT_MEMBER;
    if (raft_fitness_of(best) == RAFT_UNFIT)
        return RAFT_E_UNFIT; /* it would refuse, and proposals would wait for nothing */
    raft_begin_transfer(r, best);
    raft_check_rest(r);
    return 0;
}

void raft_set_ahead(struct raft *r, uint64_t n_entries)
{
    rid_assert(n_entries >= 1);
    r->ahead = n_entries;
}

void raft_set_rounds_max(struct raft *r, unsigned rounds_max)
{
    rid_assert(rounds_max >= 1);
    rid_assert(rounds_max <= RAFT_ROUNDS_MAX * 4);
    r->rounds.max = rounds_max;
}
