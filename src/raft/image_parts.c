/* What changes in a core from call to call, part by part. What is left out here, or shown where it
 * is dead, makes one state of two, or two of one (CORE-6). */
#include "raft/image_int.h"

/* ---- what is known of others ---- */

/* When an append is sent again. */
static void visit_resend(struct codec *c, const struct raft *r, struct progress *p)
{
    const uint64_t now_us = c->how->now_us;
    const uint64_t timeout_us = r->conf.election_timeout_us;

    if (!raft_image_is_exact(c)) {
        if (c->reading) {
            p->append_sent_us = now_us - timeout_us;
            p->append_heard_us = now_us - timeout_us;
        }
        return;
    }
    NUMBER(c, p->resend_us);
    NUMBER(c, p->resent);
    /* Only until it is answered, or for as long as an answer is waited for. */
    if (p->state == PROGRESS_PROBE && p->probe_sent)
        raft_image_age(c, &p->append_sent_us, now_us,
                       p->needs_compacted ? r->conf.heartbeat_us : p->resend_us);
    if (p->state == PROGRESS_REPLICATE && p->n_inflight > 0)
        raft_image_age(c, &p->append_heard_us, now_us,
                       p->resend_us > timeout_us ? p->resend_us : timeout_us);
}

/* An index that it was told is waited for by nobody. */
static void visit_told(struct codec *c, struct progress *p)
{
    raft_index waits_for = p->waits_for > p->told_commit ? p->waits_for : 0;

    NUMBER(c, p->told_commit);
    NUMBER(c, waits_for);
    if (c->reading)
        p->waits_for = waits_for;
}

static void visit_appends(struct codec *c, const struct raft *r, struct progress *p)
{
    NUMBER(c, p->state);
    NUMBER(c, p->match_index);
    NUMBER(c, p->next_index);
    NUMBER(c, p->n_inflight);
    for (unsigned i = 0; i < p->n_inflight; i++) {
        struct inflight *f = &p->inflight[(p->inflight_head + i) % RAFT_INFLIGHT_MSGS_MAX];

        NUMBER(c, f->last);
        NUMBER(c, f->bytes);
    }
    NUMBER(c, p->inflight_bytes);
    NUMBER(c, p->probe_sent);
    NUMBER(c, p->waits_for_log);
    NUMBER(c, p->needs_compacted);
    visit_told(c, p);
    visit_resend(c, r, p);
}

static void visit_drift(struct codec *c, struct drift *d)
{
    NUMBER(c, d->nonce);
    NUMBER(c, d->suspended_us);
    NUMBER(c, d->n);
    NUMBER(c, d->beyond);
    for (unsigned i = 0; i < d->n; i++) {
        NUMBER(c, d->list[i].peer_us);
        raft_image_age(c, &d->list[i].before_us, c->how->now_us, UINT64_MAX);
        raft_image_age(c, &d->list[i].after_us, c->how->now_us, UINT64_MAX);
    }
    if (d->n > 0)
        raft_image_age(c, &d->slot_us, c->how->now_us, UINT64_MAX);
}

/* Stamps are of the peer's clock, and only handed back. */
static void visit_stamps(struct codec *c, struct stamps *s)
{
    NUMBER(c, s->waiting.nonce);
    if (s->waiting.nonce != 0) {
        NUMBER(c, s->waiting.hold_us);
        NUMBER(c, s->needs);
    }
    NUMBER(c, s->proved.nonce);
    if (s->proved.nonce != 0)
        NUMBER(c, s->proved.hold_us);
}

/* Whether the hold clock was told since it came is all that is asked. */
static void visit_asked(struct codec *c, const struct raft *r, struct progress *p)
{
    bool told = p->ask_n_holds < r->n_holds;

    NUMBER(c, p->ask.number);
    if (p->ask.number == 0)
        return;
    NUMBER(c, p->ask.nonce);
    NUMBER(c, told);
    if (c->reading)
        p->ask_n_holds = r->n_holds - (told ? 1 : 0);
}

/* Of a round that does not count any more it is nothing. */
static void visit_held(struct codec *c, const struct raft *r, struct held *h)
{
    uint64_t round = h->round >= r->lease.first_round ? h->round : 0;

    NUMBER(c, round);
    if (c->reading)
        h->round = round;
    if (round != 0)
        raft_image_left(c, &h->end_us, c->how->hold_us);
}

static void visit_led(struct codec *c, const struct raft *r, struct progress *p)
{
    visit_appends(c, r, p);
    NUMBER(c, p->heartbeat_due);
    NUMBER(c, p->acked_round);
    raft_image_heard(c, &p->last_heard_us, r->conf.election_timeout_us + 1); /* included */
    NUMBER(c, p->note_flags);
    visit_held(c, r, &p->held);
    visit_stamps(c, &p->stamps);
    visit_asked(c, r, p);
    if (!raft_image_is_exact(c))
        return;
    NUMBER(c, p->rtt_round);
    if (p->rtt_round != 0)
        raft_image_age(c, &p->rtt_sent_us, c->how->now_us, UINT64_MAX);
}

/* A leader knows all of it; whoever leads next begins anew, raft_progress_reset(). What is exact is
 * not forgotten with the leadership. */
static void visit_progress(struct codec *c, const struct raft *r, struct progress *p)
{
    NUMBER(c, p->link_up);
    NUMBER(c, p->understands_asks);
    if (r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_CANDIDATE)
        NUMBER(c, p->vote);
    if (r->role == RAFT_CANDIDATE && p->vote == VOTE_GRANTED)
        raft_image_until(c, &p->gate_us, c->how->now_us);
    if (r->role == RAFT_LEADER)
        visit_led(c, r, p);
    if (!raft_image_is_exact(c))
        return;
    NUMBER(c, p->srtt_us);
    visit_drift(c, &p->drift);
}

/* In the order of the configuration in force as it is written. */
static __attribute__((noinline)) void visit_peers(struct codec *c, struct raft *r)
{
    const struct raft_renaming *names = c->how->renaming;
    struct raft_configuration after;

    if (names == NULL || c->reading) {
        for (unsigned i = 0; i < r->n_progress; i++)
            visit_progress(c, r, &r->progress[i]);
        return;
    }
    raft_image_rename(names, raft_get_configuration(r), &after);
    for (unsigned slot = 0; slot < after.n; slot++)
        for (unsigned i = 0; i < r->n_progress; i++)
            if (raft_image_new_id(c, r->progress[i].id) == after.servers[slot].id)
                visit_progress(c, r, &r->progress[i]);
}

/* ---- log, disk, state machine ---- */

static void visit_indexes(struct codec *c, struct raft *r)
{
    NUMBER(c, r->commit_index);
    NUMBER(c, r->last_applied);
    NUMBER(c, r->ahead);
    NUMBER(c, r->last_emitted);
    NUMBER(c, r->last_stored);
    NUMBER(c, r->held);
    NUMBER(c, r->installing.term);
    NUMBER(c, r->installing.index);
    NUMBER(c, r->last_handed);
    NUMBER(c, r->apply_waits_for_log);
}

/* Asked only while something is outstanding, and then the later one of this and when that was
 * handed over. */
static void visit_moved(struct codec *c, const struct raft *r, struct disk *d)
{
    uint64_t since_us;

    if (mark_ring_n(&r->marks) == 0)
        return;
    since_us = mark_ring_at(&r->marks, 0)->issued_us;
    if (d->moved_us > since_us)
        since_us = d->moved_us;
    raft_image_age(c, &since_us, c->how->now_us, UINT64_MAX);
    if (c->reading)
        d->moved_us = since_us;
}

/* Patience is not doubled more often than that. */
static void visit_late_elections(struct codec *c, struct raft *r)
{
    unsigned late = 0;

    if (raft_image_is_timeless(c))
        return;
    while (1u << late < RAFT_PATIENCE_MAX)
        late++;
    if (r->n_late_elections < late)
        late = r->n_late_elections;
    NUMBER(c, late);
    if (c->reading)
        r->n_late_elections = late;
}

static void visit_disk(struct codec *c, struct raft *r)
{
    struct disk *d = &r->disk;

    raft_image_batch(c, r, &r->reset_batch);
    NUMBER(c, d->proposed_bytes);
    NUMBER(c, d->window_bytes);
    NUMBER(c, d->n_syncs);
    NUMBER(c, d->next_sync);
    for (unsigned i = 0; i < d->n_syncs; i++)
        NUMBER(c, d->syncs[i]);
    NUMBER(c, d->handed_over);
    visit_moved(c, r, d);
    visit_late_elections(c, r);
}

static void visit_note(struct codec *c, struct raft *r)
{
    NUMBER(c, r->fitness);
    NUMBER(c, r->waits_for_room);
    NUMBER(c, r->note.flags);
    NUMBER(c, r->note.digest_version);
    NUMBER(c, r->note.check);
    for (unsigned i = 0; i < 2; i++) {
        NUMBER(c, r->note.digests[i].index);
        NUMBER(c, r->note.digests[i].high);
        NUMBER(c, r->note.digests[i].low);
    }
}

/* ---- roles ---- */

/* What was long enough ago is forgotten. */
static void visit_early(struct codec *c, struct early *e)
{
    raft_node_id leader = e->leader;

    if (!c->reading && e->tries_left == 0 && c->how->now_us - e->since_us >= RAFT_EARLY_APART_US)
        leader = 0;
    raft_image_name(c, &leader);
    if (c->reading)
        e->leader = leader;
    if (leader == 0)
        return;
    raft_image_heard(c, &e->since_us, RAFT_EARLY_APART_US);
    NUMBER(c, e->tries_left);
}

static void visit_campaign(struct codec *c, struct raft *r)
{
    const uint64_t now_us = c->how->now_us;

    raft_image_due(c, &r->election_due_us);
    if (raft_image_is_exact(c)) {
        raft_image_age(c, &r->silent_since_us, now_us, UINT64_MAX);
        NUMBER(c, r->election_spread_us);
    }
    if (r->leader_id != 0)
        raft_image_heard(c, &r->leader_heard_us, r->conf.election_timeout_us);
    if (r->role == RAFT_FOLLOWER)
        return;
    NUMBER(c, r->self_vote);
    NUMBER(c, r->self_vote_pending);
    if (r->self_vote_pending)
        raft_image_batch(c, r, &r->self_vote_batch);
    NUMBER(c, r->campaign_transfer);
    raft_image_until(c, &r->gate_us, now_us);
}

/* How far the two clocks were apart when the first round that counts was opened, against how far
 * they are now. */
static void visit_lease(struct codec *c, struct raft *r)
{
    const uint64_t apart_us = c->how->hold_us - c->how->now_us;
    uint64_t slept_us = apart_us - r->lease.suspended_us;

    NUMBER(c, r->lease.handed_over);
    NUMBER(c, r->lease.first_round);
    NUMBER(c, slept_us);
    if (c->reading)
        r->lease.suspended_us = apart_us - slept_us;
}

static void visit_leading(struct codec *c, struct raft *r)
{
    const uint64_t now_us = c->how->now_us;

    if (c->reading)
        r->self_vote = true; /* nobody else leads */
    NUMBER(c, r->noop_index);
    raft_image_due(c, &r->heartbeat_due_us);
    raft_image_due(c, &r->tick_due_us);
    raft_image_left(c, &r->hand_over_us, now_us);
    raft_image_left(c, &r->step_down_us, now_us);
    raft_image_until(c, &r->gate_us, now_us);
    visit_lease(c, r);
    NUMBER(c, r->uncommitted_bytes);
    raft_image_name(c, &r->transfer_to);
    if (r->transfer_to != 0) {
        raft_image_left(c, &r->transfer_deadline_us, now_us);
        NUMBER(c, r->transfer_sent);
    }
}

/* ---- leases, questions, ages ---- */

/* Those that still run, by term: their places mean nothing. */
static void visit_promises(struct codec *c, struct promises *p)
{
    const uint64_t now_us = c->how->now_us;
    struct promise list[RAFT_PROMISES_MAX] = {0};
    unsigned n = 0;

    for (unsigned i = 0; i < RAFT_PROMISES_MAX; i++) {
        unsigned at = n;

        if (p->list[i].until_us <= now_us)
            continue;
        for (; at > 0 && list[at - 1].term > p->list[i].term; at--)
            list[at] = list[at - 1];
        list[at] = p->list[i];
        n++;
    }
    NUMBER(c, n);
    for (unsigned i = 0; i < n; i++) {
        if (c->reading)
            list[i].until_us = 0;
        NUMBER(c, list[i].term);
        raft_image_left(c, &list[i].until_us, now_us);
        if (c->reading)
            p->list[i] = list[i];
    }
    raft_image_left(c, &p->other_until_us, now_us);
}

static void visit_lengths(struct codec *c, struct raft *r)
{
    NUMBER(c, r->conf.lease_us);
    NUMBER(c, r->conf.fast_failover);
    NUMBER(c, r->lease_stored_us);
    raft_image_batch(c, r, &r->lease_batch);
}

/* Timeless: an election timeout lies ahead, or nothing. */
static void visit_ask_due(struct codec *c, const struct raft *r, struct asks *a)
{
    const uint64_t now_us = c->how->now_us;
    bool waits = a->due_us > now_us;

    if (!raft_image_is_timeless(c)) {
        raft_image_left(c, &a->due_us, now_us);
        NUMBER(c, a->patience_us);
        return;
    }
    NUMBER(c, waits);
    if (c->reading)
        a->due_us = waits ? now_us + r->conf.election_timeout_us : 0;
}

static void visit_ask(struct codec *c, struct ask *q)
{
    NUMBER(c, q->number);
    if (q->number == 0)
        return;
    NUMBER(c, q->term);
    raft_image_name(c, &q->leader);
    if (!raft_image_is_timeless(c))
        raft_image_age(c, &q->sealed_hold_us, c->how->hold_us, UINT64_MAX);
    if (raft_image_is_exact(c))
        raft_image_age(c, &q->sent_us, c->how->now_us, UINT64_MAX);
    else if (c->reading)
        q->sent_us = c->how->now_us;
}

/* The places of questions mean nothing: the lower number first. */
static void visit_asks(struct codec *c, const struct raft *r, struct asks *a)
{
    const unsigned first = a->out[0].number <= a->out[1].number ? 0 : 1;

    static_assert(RAFT_ASKS_MAX == 2, "two are put in order");
    NUMBER(c, a->next);
    NUMBER(c, a->given);
    NUMBER(c, a->answered);
    NUMBER(c, a->in_round);
    visit_ask(c, &a->out[first]);
    visit_ask(c, &a->out[1 - first]);
    NUMBER(c, a->term);
    raft_image_name(c, &a->leader);
    visit_ask_due(c, r, a);
    if (raft_image_is_exact(c))
        NUMBER(c, a->srtt_us);
}

static void visit_pairs(struct codec *c, struct pairs *p)
{
    bool forgot = p->first_us != 0;
    uint64_t last_us = forgot ? p->first_us - 1 : 0;

    if (raft_image_is_timeless(c))
        return;
    NUMBER(c, p->n);
    NUMBER(c, forgot);
    if (forgot)
        raft_image_age(c, &last_us, c->how->hold_us, UINT64_MAX);
    if (c->reading)
        p->first_us = forgot ? last_us + 1 : 0;
    for (unsigned i = 0; i < p->n; i++) {
        raft_image_age(c, &p->list[i].hold_us, c->how->hold_us, UINT64_MAX);
        NUMBER(c, p->list[i].index);
    }
}

/* ---- rounds and reads ---- */

static void visit_round_time(struct codec *c, struct round_time *t, uint64_t round)
{
    bool known = t->round == round;

    NUMBER(c, known);
    if (!known)
        return;
    t->round = round;
    raft_image_age(c, &t->hold_us, c->how->hold_us, UINT64_MAX);
    NUMBER(c, t->lease_us);
    if (raft_image_is_exact(c))
        raft_image_age(c, &t->opened_us, c->how->now_us, UINT64_MAX);
    else if (c->reading)
        t->opened_us = c->how->now_us;
}

/* By those that are not confirmed yet, by who has acknowledged no later one for a lease, by a
 * heartbeat that is repeated; where clocks are measured, by any answer. A server that comes later
 * has nothing of those before. */
uint64_t raft_image_first_round(const struct raft *r, bool exact)
{
    const struct rounds *s = &r->rounds;
    uint64_t round = s->next > 1 ? s->next - 1 : 1;

    if (s->confirmed + 1 < round)
        round = s->confirmed + 1;
    if (exact && r->lease.first_round < round)
        round = r->lease.first_round;
    for (unsigned i = 0; i < r->n_progress; i++) {
        uint64_t next = r->progress[i].held.round + 1;

        if (next < r->lease.first_round)
            next = r->lease.first_round;
        if (next < round)
            round = next;
    }
    return s->next - round > ROUND_TIMES ? s->next - ROUND_TIMES : round;
}

static void visit_round_times(struct codec *c, struct raft *r)
{
    struct rounds *s = &r->rounds;
    uint64_t round = c->reading ? 0 : raft_image_first_round(r, raft_image_is_exact(c));

    NUMBER(c, round);
    for (; round < s->next; round++)
        visit_round_time(c, &s->times[round % ROUND_TIMES], round);
}

/* Numbers go on where they were, whoever leads. */
static void visit_rounds(struct codec *c, struct raft *r)
{
    const bool leads = r->role == RAFT_LEADER;
    struct rounds *s = &r->rounds;

    if (leads || raft_image_is_exact(c))
        NUMBER(c, s->next);
    NUMBER(c, s->max);
    NUMBER(c, s->due);
    if (leads)
        NUMBER(c, s->confirmed);
    else if (c->reading)
        s->confirmed = raft_rounds_last(s); /* where the next leadership begins */
    NUMBER(c, s->n_open);
    if (s->n_open > 0) {
        /* What is measured next may be any time. */
        if (!raft_image_is_timeless(c))
            raft_image_age(c, &s->last_us, c->how->now_us,
                           raft_image_is_exact(c) ? UINT64_MAX : RAFT_ROUND_PATIENCE_US);
        else if (c->reading)
            s->last_us = c->how->now_us - RAFT_ROUND_PATIENCE_US;
    }
    if (raft_image_is_exact(c))
        NUMBER(c, s->srtt_us);
    if (leads && !raft_image_is_timeless(c))
        visit_round_times(c, r);
}

static void visit_read(struct codec *c, struct read *read)
{
    raft_image_name(c, &read->asker);
    NUMBER(c, read->ask.nonce);
    NUMBER(c, read->ask.number);
    NUMBER(c, read->ctx);
    NUMBER(c, read->min_index);
    NUMBER(c, read->read_index);
    NUMBER(c, read->round);
    NUMBER(c, read->arrival_round);
}

static int visit_read_ring(struct codec *c, struct read_ring *ring, size_t *n_asks)
{
    size_t n = read_ring_n(ring);
    int rc = 0;

    NUMBER(c, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct read read = {0};

        if (!c->reading)
            read = *read_ring_at(ring, i);
        visit_read(c, &read);
        if (!c->reading)
            continue;
        rc = read_ring_push(ring, read);
        *n_asks += read.asker != 0;
    }
    return rc;
}

static int visit_reads(struct codec *c, struct read_queue *q)
{
    size_t n_asks = 0;
    int rc;

    NUMBER(c, q->n_inflight);
    rc = visit_read_ring(c, &q->list, &n_asks);
    if (c->reading)
        q->n_asks = n_asks;
    return rc == 0 ? visit_read_ring(c, &q->floors, &n_asks) : rc;
}

int raft_image_visit(struct codec *c, struct raft *r)
{
    NUMBER(c, r->role);
    NUMBER(c, r->hard_state.current_term);
    raft_image_name(c, &r->hard_state.voted_for);
    NUMBER(c, r->hard_state.lease_max_us);
    raft_image_name(c, &r->leader_id);
    raft_image_name(c, &r->term_leader);
    if (raft_image_is_exact(c))
        NUMBER(c, r->prng.state);
    visit_indexes(c, r);
    visit_disk(c, r);
    if (r->role == RAFT_LEADER)
        visit_leading(c, r);
    else
        visit_campaign(c, r);
    visit_early(c, &r->early);
    visit_note(c, r);
    visit_promises(c, &r->promises);
    visit_lengths(c, r);
    visit_asks(c, r, &r->asks);
    visit_pairs(c, &r->pairs);
    visit_peers(c, r);
    visit_rounds(c, r);
    return visit_reads(c, &r->reads);
}
