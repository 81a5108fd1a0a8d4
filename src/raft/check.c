/* What must hold whenever the core is at rest, and cannot be told in constant time: for tests,
 * which call it after every step. The daemon does not contain it; invariants.c it does. */
#include "raft/raft_int.h"

static void check_log(const struct raft *r)
{
    raft_term term = r->log.base.term;
    raft_index first = r->log.base.index;
    size_t bytes = 0;

    for (size_t i = 0; i < r->log.n_terms; i++) {
        rid_assert(i == 0 ? r->log.terms[i].term >= term : r->log.terms[i].term > term);
        rid_assert(i == 0 ? r->log.terms[i].first == first + 1 : r->log.terms[i].first > first);
        term = r->log.terms[i].term;
        first = r->log.terms[i].first;
    }
    rid_assert(first <= r->log.last_index);
    for (size_t i = 0; i < mark_ring_n(&r->marks); i++)
        bytes += mark_ring_at(&r->marks, i)->bytes;
    rid_assert(bytes == r->disk.outstanding_bytes);
    for (size_t i = 1; i < mark_ring_n(&r->marks); i++) {
        const struct batch_mark *a = mark_ring_at(&r->marks, i - 1);
        const struct batch_mark *b = mark_ring_at(&r->marks, i);

        rid_assert(a->batch < b->batch);
        rid_assert(b->last_index <= r->last_handed);
    }
    for (size_t i = 1; i < r->n_configs; i++)
        rid_assert(r->configs[i].index > r->configs[i - 1].index);
}

/* The sums that are kept, made again: a byte that is counted twice or never given back shows at
 * once. */
static void check_bytes(const struct raft *r)
{
    size_t cached = 0;
    size_t uncommitted = 0;
    size_t run = 0;

    for (raft_index i = r->log.first_cached; i <= r->log.last_index; i++) {
        const struct raft_entry *e = raft_log_get(&r->log, i);

        rid_assert(e != NULL);
        rid_assert(e->id.index == i);
        while (run + 1 < r->log.n_terms && r->log.terms[run + 1].first <= i)
            run++;
        rid_assert(e->id.term == r->log.terms[run].term);
        cached += raft_entry_bytes(e);
        if (r->role == RAFT_LEADER && i > r->commit_index && i >= r->noop_index)
            uncommitted += raft_entry_bytes(e);
    }
    rid_assert(cached == r->log.cached_bytes);
    rid_assert(uncommitted == r->uncommitted_bytes);
}

/* The servers of the configuration in force, each in its place. */
static void check_members(const struct raft *r)
{
    const struct raft_configuration *c = raft_get_configuration(r);
    unsigned n = 0;

    for (unsigned slot = 0; slot < c->n; slot++) {
        const struct raft_server *s = &c->servers[slot];

        if (s->id == r->conf.id) {
            rid_assert(slot == r->self_slot);
            rid_assert(r->is_voter == (s->role == RAFT_VOTER));
            continue;
        }
        rid_assert(raft_progress_at(r, slot) == &r->progress[n]);
        rid_assert(r->progress[n].id == s->id);
        rid_assert(r->progress[n].role == s->role);
        n++;
    }
    rid_assert(n == r->n_progress);
}

static void check_progress(const struct raft *r, const struct progress *p)
{
    size_t bytes = 0;

    rid_assert(p->match_index < p->next_index);
    rid_assert(p->next_index <= r->log.last_index + 1);
    rid_assert(p->acked_round < r->rounds.next);
    rid_assert(p->n_inflight <= RAFT_INFLIGHT_MSGS_MAX);
    for (unsigned j = 0; j < p->n_inflight; j++) {
        const struct inflight *f = &p->inflight[(p->inflight_head + j) % RAFT_INFLIGHT_MSGS_MAX];

        rid_assert(f->last < p->next_index);
        rid_assert(f->last > p->match_index);
        bytes += f->bytes;
    }
    rid_assert(bytes == p->inflight_bytes);
    rid_assert(p->resend_us >= r->conf.heartbeat_us);
    rid_assert(p->resend_us <= RAFT_RESEND_ELECTIONS * r->conf.election_timeout_us);
}

/* What is believed of one peer for leases, and for the age of its state. */
static void check_held(const struct raft *r, const struct progress *p)
{
    const struct raft_ask_id none = {0};
    unsigned n = 0;

    rid_assert(p->held.round < r->rounds.next);
    rid_assert(p->held.end_us <= r->hold_us + RAFT_LEASE_US_MAX);
    rid_assert(p->stamps.waiting.nonce == 0 || p->stamps.needs <= r->rounds.next);
    /* One that is proved does not wait (BOUND-2). */
    rid_assert(p->stamps.waiting.nonce == 0 || p->stamps.needs > r->rounds.confirmed);
    rid_assert(p->told_commit <= r->commit_index);
    rid_assert(p->drift.n <= RAFT_DRIFT_SLOTS);
    for (size_t i = r->reads.n_inflight; i < read_ring_n(&r->reads.list); i++)
        n += raft_read_queue_at(&r->reads, i)->asker == p->id;
    rid_assert(n == (memcmp(&p->ask, &none, sizeof(none)) != 0));
}

static void check_promises(const struct raft *r)
{
    const struct promises *p = &r->promises;

    for (unsigned i = 0; i < RAFT_PROMISES_MAX; i++) {
        rid_assert(p->list[i].term <= r->hard_state.current_term);
        rid_assert(p->list[i].until_us <= r->now_us + raft_promise_us_max());
        for (unsigned j = i + 1; j < RAFT_PROMISES_MAX; j++)
            rid_assert(p->list[i].term != p->list[j].term || p->list[i].term == RAFT_TERM_NONE);
    }
}

/* Times and indexes rise, and all but the first wait for the state. */
static void check_pairs(const struct raft *r)
{
    const struct pairs *p = &r->pairs;

    for (unsigned i = 0; i < p->n; i++) {
        rid_assert(p->list[i].hold_us <= r->hold_us);
        rid_assert(p->list[i].hold_us >= p->first_us);
        rid_assert(p->list[i].index <= RAFT_INDEX_MAX);
        if (i == 0)
            continue;
        rid_assert(p->list[i].hold_us > p->list[i - 1].hold_us);
        rid_assert(p->list[i].index > p->list[i - 1].index);
    }
}

static void check_reads(const struct raft *r)
{
    const struct read_queue *q = &r->reads;
    unsigned n_rounds = 0;
    uint64_t round = 0;
    raft_index index = 0;
    size_t n_asks = 0;

    for (size_t i = 0; i < read_ring_n(&q->list); i++)
        n_asks += raft_read_queue_at(q, i)->asker != 0;
    rid_assert(n_asks == q->n_asks);
    for (size_t i = 0; i < read_ring_n(&q->list); i++) {
        const struct read *read = raft_read_queue_at(q, i);

        if (i >= q->n_inflight) {
            rid_assert(read->round == 0);
            continue;
        }
        rid_assert(read->round > read->arrival_round);
        rid_assert(read->round > r->rounds.confirmed);
        rid_assert(read->round < r->rounds.next);
        rid_assert(read->round >= round);
        rid_assert(read->read_index >= index);
        rid_assert(read->read_index >= r->noop_index);
        n_rounds += read->round != round;
        round = read->round;
        index = read->read_index;
    }
    rid_assert(n_rounds == r->rounds.n_open);
    for (size_t i = 0; i < read_ring_n(&q->floors); i++)
        rid_assert(read_ring_at(&q->floors, i)->min_index > r->commit_index);
}

void raft_check(struct raft *r)
{
    raft_check_rest(r);
    check_log(r);
    check_bytes(r);
    check_members(r);
    check_promises(r);
    check_pairs(r);
    check_reads(r);
    for (unsigned i = 0; r->role == RAFT_LEADER && i < r->n_progress; i++) {
        check_progress(r, &r->progress[i]);
        check_held(r, &r->progress[i]);
    }
}
