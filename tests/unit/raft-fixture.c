/* The harness: a queue of message copies, a disk of arrays, and a dispatcher that checks each
 * raft_ready() against what this node, the other nodes and the whole history of the group allow.
 * Checks are written against the contract in raft/raft.h and docs/RULES.md, not against the
 * implementation. */
#include "raft-fixture.h"

#include <errno.h>
#include <inttypes.h>

#include "raft/raft_int.h"

#include "base/banned.h"

#define FX_CHECK(cond, ...)                                                                        \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("fixture: ");                                                              \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail_msg("%s:%d: %s", __func__, __LINE__, #cond);                                      \
        }                                                                                          \
    } while (0)

static void *fx_alloc(size_t n)
{
    void *p = calloc(1, n != 0 ? n : 1);

    assert_non_null(p);
    return p;
}

static void *fx_grow(void *p, size_t n)
{
    p = realloc(p, n != 0 ? n : 1);
    assert_non_null(p);
    return p;
}

/* ---- clocks ---- */

/* By the clock of a node that shows so much for the world's time; and back, not before it shows
 * that. */
static uint64_t at_rate(const struct fx_node *node, uint64_t us)
{
    return (uint64_t)((int64_t)us + (int64_t)us / 1000000 * node->rate_ppm +
                      (int64_t)us % 1000000 * node->rate_ppm / 1000000);
}

static uint64_t world_time(const struct fx_node *node, uint64_t us)
{
    uint64_t t = (uint64_t)((double)us / (1.0 + node->rate_ppm / 1e6));

    t = t > 2 ? t - 2 : 0;
    while (at_rate(node, t) < us)
        t++;
    return t;
}

static uint64_t now_of(const struct fx_node *node)
{
    return at_rate(node, node->fx->now - node->asleep_us);
}

static uint64_t hold_of(const struct fx_node *node)
{
    return at_rate(node, node->fx->now);
}

/* The time of the world at which the node's clock will show us. */
static uint64_t when(const struct fx_node *node, uint64_t us)
{
    uint64_t t = us < UINT64_MAX / 4 ? world_time(node, us) + node->asleep_us : UINT64_MAX;

    return t;
}

static void tell_clocks(const struct fx_node *node)
{
    if (!node->deaf_clock)
        raft_hold(node->r, now_of(node), hold_of(node));
}

uint64_t fx_now(const struct fx *fx, unsigned i)
{
    return now_of(&fx->nodes[i]);
}

uint64_t fx_hold(const struct fx *fx, unsigned i)
{
    return hold_of(&fx->nodes[i]);
}

void fx_suspend(struct fx *fx, unsigned i, uint64_t us)
{
    fx->now += us;
    fx->nodes[i].asleep_us += us;
}

/* ---- copies ---- */

static void entry_copy(struct raft_entry *to, const struct raft_entry *from)
{
    *to = *from;
    to->data = NULL;
    if (from->len != 0) {
        void *data = fx_alloc(from->len);

        memcpy(data, from->data, from->len);
        to->data = data;
    }
}

static void free_const(const void *p)
{
    free((void *)(uintptr_t)p);
}

/* One block: the entries, then their payloads. */
static struct fx_msg msg_copy(const struct raft_msg *m)
{
    struct fx_msg copy = {.m = *m};
    size_t bytes = m->n_entries * sizeof(struct raft_entry);
    struct raft_entry *entries;
    unsigned char *p;

    copy.m.entries = NULL;
    if (m->n_entries == 0)
        return copy;
    for (unsigned k = 0; k < m->n_entries; k++)
        bytes += m->entries[k].len;
    entries = fx_alloc(bytes);
    p = (unsigned char *)(entries + m->n_entries);
    for (unsigned k = 0; k < m->n_entries; k++) {
        entries[k] = m->entries[k];
        entries[k].data = NULL;
        if (entries[k].len != 0) {
            memcpy(p, m->entries[k].data, entries[k].len);
            entries[k].data = p;
            p += entries[k].len;
        }
    }
    copy.m.entries = entries;
    return copy;
}

void fx_msg_done(struct fx_msg *m)
{
    free_const(m->m.entries);
    m->m.entries = NULL;
}

static void batch_done(struct fx_batch *b)
{
    for (unsigned k = 0; k < b->n_entries; k++)
        free_const(b->entries[k].data);
    free(b->entries);
    for (raft_index k = 0; b->reset_entries != NULL && k < b->reset.index; k++)
        free_const(b->reset_entries[k].data);
    free(b->reset_entries);
}

static struct raft_entry *entries_copy(const struct raft_entry *list, raft_index n)
{
    struct raft_entry *copy = fx_alloc(n * sizeof(*copy));

    for (raft_index k = 0; k < n; k++)
        entry_copy(&copy[k], &list[k]);
    return copy;
}

void fx_snapshot_done(struct fx_snapshot *s)
{
    for (raft_index k = 0; k < s->id.index; k++)
        free_const(s->entries[k].data);
    free(s->entries);
    memset(s, 0, sizeof(*s));
}

static uint64_t entry_hash(const struct raft_entry *e)
{
    uint64_t h = hash_mix64(hash_fnv64(e->len != 0 ? e->data : "", e->len) + (uint64_t)e->type);

    return h != 0 ? h : 1;
}

/* ---- allocator, reader, trace: the tables given to the core ---- */

static void *node_resize(void *ctx, void *ptr, size_t size)
{
    struct fx_node *node = ctx;
    void *p;

    if (size == 0) {
        if (ptr != NULL)
            node->n_live--;
        free(ptr);
        return NULL;
    }
    node->n_allocs++;
    if (node->fail_at != 0 && node->n_allocs >= node->fail_at)
        return NULL;
    p = realloc(ptr, size);
    assert_non_null(p);
    if (ptr == NULL)
        node->n_live++;
    return p;
}

static int node_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                     struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                     unsigned *ret_n)
{
    struct fx_node *node = ctx;
    size_t bytes = 0;
    unsigned n = 0;

    node->n_reader_calls++;
    if (node->reader_error != 0)
        return node->reader_error;
    if (from <= node->disk.base)
        return RAFT_LOG_E_COMPACTED;
    if (node->reader_later)
        return RAFT_LOG_E_LATER;
    for (unsigned k = 0; k < node->n_batches; k++)
        FX_CHECK(node->batches[k].reset.index == 0, "%s reads a log that is being reset",
                 node->name);
    FX_CHECK(from >= 1 && from <= to && to <= node->disk.n && n_max > 0,
             "%s reads %" PRIu64 "..%" PRIu64 " of %" PRIu64, node->name, from, to, node->disk.n);
    for (unsigned k = 0; k < node->n_batches; k++)
        FX_CHECK(node->batches[k].truncate_from == 0 || to < node->batches[k].truncate_from,
                 "%s reads %" PRIu64 "..%" PRIu64 ", being truncated from %" PRIu64, node->name,
                 from, to, node->batches[k].truncate_from);
    for (raft_index i = from; i <= to && n < n_max; i++) {
        const struct raft_entry *e = &node->disk.log[i - 1];
        void *data = NULL;

        if (n > 0 && (bytes + e->len > bytes_max ||
                      (node->reader_entries_max != 0 && n >= node->reader_entries_max)))
            break;
        bytes += e->len;
        ret_entries[n] = *e;
        if (e->len != 0) {
            data = arena_alloc(arena, e->len);
            if (data == NULL)
                return -ENOMEM;
            memcpy(data, e->data, e->len);
        }
        ret_entries[n].data = data;
        n++;
    }
    *ret_n = n;
    return 0;
}

static void node_trace(void *ctx, const struct raft_trace *t)
{
    struct fx_node *node = ctx;

    FX_CHECK((int)t->event >= 0 && t->event <= RAFT_TRACE_INVALID, "trace event %d", (int)t->event);
    node->n_traces[t->event]++;
    if (getenv("FX_TRACE") != NULL)
        print_message("  trace %s event=%d role=%s term=%" PRIu64 " index=%" PRIu64
                      " peer=%u round=%" PRIu64 " %s\n",
                      node->name, (int)t->event, raft_role_name(t->role), t->term, t->index,
                      fx_of(node->fx, t->peer), t->round, t->text != NULL ? t->text : "");
}

/* ---- looking ---- */

struct raft *fx_raft(struct fx *fx, unsigned i)
{
    assert_true(i >= 1 && i <= fx->n);
    assert_non_null(fx->nodes[i].r);
    return fx->nodes[i].r;
}

raft_node_id fx_id(const struct fx *fx, unsigned i)
{
    return i == 0 ? 0 : fx->nodes[i].id;
}

unsigned fx_of(const struct fx *fx, raft_node_id id)
{
    for (unsigned i = 1; i <= fx->n; i++)
        if (fx->nodes[i].id == id)
            return i;
    return 0;
}

struct raft_status fx_status(struct fx *fx, unsigned i)
{
    struct raft_status s;

    memset(&s, 0, sizeof(s));
    raft_get_status(fx_raft(fx, i), &s);
    return s;
}

const struct raft_peer_status *fx_peer(const struct fx *fx, const struct raft_status *s, unsigned i)
{
    for (unsigned k = 0; k < s->n_peers; k++)
        if (s->peers[k].id == fx->nodes[i].id)
            return &s->peers[k];
    return NULL;
}

enum raft_role fx_role(struct fx *fx, unsigned i)
{
    return raft_get_role(fx_raft(fx, i));
}

raft_term fx_term(struct fx *fx, unsigned i)
{
    return raft_get_term(fx_raft(fx, i));
}

raft_index fx_commit(struct fx *fx, unsigned i)
{
    return raft_get_commit_index(fx_raft(fx, i));
}

raft_index fx_last(struct fx *fx, unsigned i)
{
    return fx_status(fx, i).last_index;
}

raft_index fx_noop(struct fx *fx, unsigned i)
{
    return fx_status(fx, i).noop_index;
}

raft_term fx_term_at(struct fx *fx, unsigned i, raft_index index)
{
    return raft_term_at(fx_raft(fx, i), index);
}

/* What the core has forgotten below its base is committed, and that the fixture still knows. */
static raft_term node_term(struct fx *fx, unsigned i, raft_index index)
{
    const struct fx_node *node = &fx->nodes[i];
    raft_term term = raft_term_at(node->r, index);

    if (index >= fx_status(fx, i).base.index || index == 0) {
        FX_CHECK(term != RAFT_TERM_COMPACTED, "%s: %" PRIu64 " is compacted", node->name, index);
        return term;
    }
    FX_CHECK(term == RAFT_TERM_COMPACTED && index <= fx->n_commits,
             "%s: the term of %" PRIu64 ", below its base, is %" PRIu64, node->name, index, term);
    return fx->commits[index - 1].term;
}

unsigned fx_leader(struct fx *fx)
{
    unsigned leader = 0;

    for (unsigned i = 1; i <= fx->n; i++)
        if (fx->nodes[i].state == FX_UP && fx_role(fx, i) == RAFT_LEADER &&
            (leader == 0 || fx_term(fx, i) > fx_term(fx, leader)))
            leader = i;
    return leader;
}

static bool has_puppets(const struct fx *fx)
{
    for (unsigned i = 1; i <= fx->n; i++)
        if (fx->nodes[i].state == FX_PUPPET)
            return true;
    return false;
}

static struct fx_leader *leader_of(struct fx *fx, raft_term term)
{
    for (unsigned k = fx->n_leaders; k-- > 0;)
        if (fx->leaders[k].term == term)
            return &fx->leaders[k];
    return NULL;
}

/* ---- invariants over the group ---- */

/* VOTE-1, LOG-1, COMMIT-1: one leader per term, which only appends, and begins with everything
 * committed before.
 */
static void check_leader(struct fx *fx, unsigned i)
{
    struct raft *r = fx->nodes[i].r;
    raft_term term = raft_get_term(r);
    struct fx_leader *l;
    raft_index last;

    if (raft_get_role(r) != RAFT_LEADER)
        return;
    last = fx_last(fx, i);
    l = leader_of(fx, term);
    if (l == NULL) {
        fx->leaders = fx_grow(fx->leaders, (fx->n_leaders + 1) * sizeof(*l));
        l = &fx->leaders[fx->n_leaders++];
        *l = (struct fx_leader){.term = term, .node = i};
        for (raft_index k = 1; k <= fx->n_commits && !has_puppets(fx); k++)
            /* Whoever is elected late, in a term that has gone by, may lack what was committed since. */
            FX_CHECK(fx->commits[k - 1].seen_in >= term ||
                         node_term(fx, i, k) == fx->commits[k - 1].term,
                     "n%u leads term %" PRIu64 " without the committed entry %" PRIu64, i, term, k);
    }
    FX_CHECK(l->node == i, "n%u and n%u both lead term %" PRIu64, l->node, i, term);
    FX_CHECK(last >= l->n, "leader n%u lost entries of its term", i);
    for (raft_index k = 1; k <= l->n; k = l->n - k > 64 ? k + 61 : k + 1)
        FX_CHECK(node_term(fx, i, k) == l->terms[k - 1], "leader n%u changed entry %" PRIu64, i, k);
    if (last > l->n) {
        l->terms = fx_grow(l->terms, last * sizeof(*l->terms));
        for (raft_index k = l->n + 1; k <= last; k++) {
            l->terms[k - 1] = node_term(fx, i, k);
            FX_CHECK(l->terms[k - 1] != 0 && l->terms[k - 1] <= term,
                     "leader n%u: entry %" PRIu64 " of term %" PRIu64 " in term %" PRIu64, i, k,
                     l->terms[k - 1], term);
        }
        l->n = last;
    }
}

static unsigned n_voters_apart(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    unsigned n = 0;

    for (unsigned k = 0; k < a->n; k++) {
        const struct raft_server *s = raft_configuration_get(b, a->servers[k].id);

        n += a->servers[k].role == RAFT_VOTER && (s == NULL || s->role != RAFT_VOTER);
    }
    return n;
}

/* MEMBER-1, MEMBER-2, MEMBER-9: what a leader appends in its term, looked at after each call. */
static void check_configuration(struct fx *fx, unsigned i)
{
    struct fx_node *node = &fx->nodes[i];
    const struct raft_configuration *c = raft_get_configuration(node->r);
    const raft_index index = raft_get_configuration_index(node->r);
    const struct raft_server *self = raft_configuration_get(c, node->id);
    const raft_term term = raft_get_term(node->r);

    if (!fx->changes_by_rule || raft_get_role(node->r) != RAFT_LEADER)
        return;
    FX_CHECK(self != NULL && self->role == RAFT_VOTER, "n%u leads and is no voter", i);
    if (node->config_term == term && node->config_index != index) {
        FX_CHECK(index > node->config_index && node->config_index <= fx->n_commits,
                 "n%u: configuration %" PRIu64 " before %" PRIu64 " is committed", i, index,
                 node->config_index);
        FX_CHECK(fx_noop(fx, i) <= fx->n_commits,
                 "n%u: configuration %" PRIu64 " before its no-op is committed", i, index);
        FX_CHECK(n_voters_apart(c, &node->config) + n_voters_apart(&node->config, c) <= 1,
                 "n%u: configuration %" PRIu64 " is two voters apart", i, index);
    }
    node->config_term = term;
    node->config_index = index;
    node->config = *c;
}

/* LOG-5: what the leader believes of a follower is on that follower's disk. */
static void check_progress(struct fx *fx, unsigned i)
{
    struct raft_status s = fx_status(fx, i);

    if (s.role != RAFT_LEADER)
        return;
    for (unsigned k = 0; k < s.n_peers; k++) {
        const struct raft_peer_status *p = &s.peers[k];
        unsigned j = fx_of(fx, p->id);
        const struct fx_node *node = &fx->nodes[j];

        if (p->id == s.id)
            continue;
        FX_CHECK(p->match_index < p->next_index, "n%u: match %" PRIu64 " next %" PRIu64 " of n%u",
                 i, p->match_index, p->next_index, j);
        FX_CHECK(p->next_index <= s.last_index + 1, "n%u: next of n%u above its log", i, j);
        if (j == 0 || node->state == FX_PUPPET || p->match_index == 0 ||
            node->disk.hard_state.current_term > s.current_term)
            continue;
        FX_CHECK(p->match_index <= node->disk.n,
                 "n%u: match %" PRIu64 " of n%u which holds %" PRIu64, i, p->match_index, j,
                 node->disk.n);
        FX_CHECK(node->disk.log[p->match_index - 1].id.term == node_term(fx, i, p->match_index),
                 "n%u: match %" PRIu64 " of n%u has another term there", i, p->match_index, j);
    }
}

static void note_moment(struct fx *fx)
{
    fx->moments = fx_grow(fx->moments, (fx->n_moments + 1) * sizeof(*fx->moments));
    fx->moments[fx->n_moments++] = (struct fx_moment){fx->now, fx->n_commits};
}

/* So much was committed before the world's time showed us. */
static raft_index n_commits_before(const struct fx *fx, uint64_t us)
{
    raft_index n = 1;

    for (unsigned k = 0; k < fx->n_moments && fx->moments[k].now < us; k++)
        n = fx->moments[k].n_commits;
    return n;
}

/* LEASE-7: something new is committed by node i; nobody who led before may still read by a lease,
 * whether or not anybody asks it to. */
static void check_overlap(struct fx *fx, unsigned i)
{
    for (unsigned j = 1; j <= fx->n; j++) {
        struct fx_node *other = &fx->nodes[j];
        raft_index index = 0;

        if (j == i || other->state != FX_UP || fx_role(fx, j) != RAFT_LEADER ||
            fx_term(fx, j) >= fx_term(fx, i))
            continue;
        FX_CHECK(raft_lease(other->r, 0, now_of(other), hold_of(other), &index) != 0,
                 "n%u commits %" PRIu64 " in term %" PRIu64
                 " while the lease of n%u in term %" PRIu64 " is valid",
                 i, fx->n_commits, fx_term(fx, i), j, fx_term(fx, j));
    }
}

/* COMMIT-1 and the oracle of what is committed. */
static void check_commit(struct fx *fx, unsigned i, raft_index commit_index)
{
    struct fx_node *node = &fx->nodes[i];

    FX_CHECK(commit_index >= node->commit_index, "%s: commit_index fell", node->name);
    FX_CHECK(commit_index <= fx_last(fx, i), "%s: commit_index above the log", node->name);
    if (commit_index > fx->n_commits) {
        const struct raft_configuration *c = raft_get_configuration(node->r);
        unsigned holders = 0;
        unsigned voters = 0;

        for (unsigned k = 0; k < c->n; k++) {
            const struct fx_disk *d = &fx->nodes[fx_of(fx, c->servers[k].id)].disk;

            if (c->servers[k].role != RAFT_VOTER)
                continue;
            voters++;
            holders += d->n >= commit_index &&
                       d->log[commit_index - 1].id.term == node_term(fx, i, commit_index);
        }
        FX_CHECK(has_puppets(fx) || holders > voters / 2,
                 "%s commits %" PRIu64 ", durable on %u of %u", node->name, commit_index, holders,
                 voters);
    }
    for (raft_index k = node->commit_index + 1; k <= commit_index; k++) {
        raft_term term = node_term(fx, i, k);

        FX_CHECK(term != 0, "%s commits %" PRIu64 " which it does not have", node->name, k);
        if (k > fx->n_commits) {
            fx->commits = fx_grow(fx->commits, k * sizeof(*fx->commits));
            fx->commits[k - 1] =
                (struct fx_commit){.term = term, .seen_in = raft_get_term(node->r)};
            fx->n_commits = k;
            note_moment(fx);
            check_overlap(fx, i);
        }
        FX_CHECK(fx->commits[k - 1].term == term,
                 "%s commits %" PRIu64 " of term %" PRIu64 ", elsewhere it is of %" PRIu64,
                 node->name, k, term, fx->commits[k - 1].term);
    }
    node->commit_index = commit_index;
}

static void check_beat(const struct raft_msg *m)
{
    const struct raft_beat *b = &m->beat;
    bool heartbeat = m->type == RAFT_MSG_HEARTBEAT;
    bool resp = m->type == RAFT_MSG_HEARTBEAT_RESP && !m->reject;
    const char *name = raft_msg_type_name(m->type);

    FX_CHECK(b->said == (heartbeat || resp), "%s says a beat", name);
    FX_CHECK(heartbeat || (b->lease_us == 0 && b->proved_index == 0), "%s has a lease", name);
    FX_CHECK(resp || (!b->leased && b->mono_us == 0), "%s promises", name);
    FX_CHECK(heartbeat || resp || b->stamp.nonce == 0, "%s has a stamp", name);
    FX_CHECK(b->stamp.nonce != 0 || (b->stamp.hold_us == 0 && b->proved_index == 0),
             "%s has half a stamp", name);
    FX_CHECK(b->lease_us <= RAFT_LEASE_US_MAX, "%s has too long a lease", name);
}

/* Fields that a type does not use are 0 (raft/types.h). */
static void check_shape(const struct raft_msg *m)
{
    bool ask = m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_VOTE;
    bool beat = m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_HEARTBEAT_RESP;
    bool append = m->type == RAFT_MSG_APPEND;
    bool append_resp = m->type == RAFT_MSG_APPEND_RESP;
    bool resp = append_resp || m->type == RAFT_MSG_SNAPSHOT_RESP || m->type == RAFT_MSG_VOTE_RESP ||
                m->type == RAFT_MSG_PRE_VOTE_RESP || m->type == RAFT_MSG_HEARTBEAT_RESP;
    const char *name = raft_msg_type_name(m->type);

    FX_CHECK(m->term != 0 && m->term <= RAFT_INDEX_MAX, "%s without a term", name);
    FX_CHECK(ask || append || (m->prev.term == 0 && m->prev.index == 0), "%s has prev", name);
    FX_CHECK(append || m->type == RAFT_MSG_HEARTBEAT || m->leader_commit == 0, "%s commits", name);
    bool answer = m->type == RAFT_MSG_READ_ANSWER;
    bool question = m->type == RAFT_MSG_READ_ASK;

    FX_CHECK(append_resp || (answer && !m->reject) || m->index == 0, "%s has index", name);
    FX_CHECK((answer || question) == (m->ask.nonce != 0 && m->ask.number != 0), "%s asks", name);
    FX_CHECK((answer && m->reject) || m->leader == 0, "%s has a leader", name);
    FX_CHECK((m->type == RAFT_MSG_VOTE_RESP && !m->reject) || m->left_us == 0, "%s has left", name);
    check_beat(m);
    FX_CHECK((append_resp && m->reject) || (m->hint.term == 0 && m->hint.index == 0),
             "%s has a hint", name);
    FX_CHECK(beat || m->round == 0, "%s has a round", name);
    FX_CHECK(resp || answer || !m->reject, "%s rejects", name);
    FX_CHECK(m->type == RAFT_MSG_VOTE || !m->transfer, "%s has transfer", name);
    FX_CHECK(m->part == NULL, "%s has a part, which is the host's", name);
    FX_CHECK(append || m->n_entries == 0, "%s has entries", name);
    FX_CHECK(m->n_entries <= RAFT_APPEND_ENTRIES_MAX, "%s has too many entries", name);
    for (unsigned k = 0; k < m->n_entries; k++) {
        FX_CHECK(m->entries[k].id.index == m->prev.index + 1 + k, "%s has a gap", name);
        FX_CHECK(m->entries[k].id.term <= m->term, "%s has an entry of a later term", name);
    }
}

/* COMMIT-8: at the moment of sending, what the message claims is on the disk. */
static void check_durable(struct fx *fx, struct fx_node *node, const struct raft_msg *m)
{
    const struct raft_hard_state *hs = &node->disk.hard_state;
    const char *name = raft_msg_type_name(m->type);

    switch (m->type) {
    case RAFT_MSG_HEARTBEAT_RESP: /* LEASE-3 */
        FX_CHECK(!m->beat.leased || hs->lease_max_us >= node->lease_heard_us,
                 "%s promises %" PRIu64 ", durable is %" PRIu64, node->name, node->lease_heard_us,
                 hs->lease_max_us);
        break;
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        break;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        FX_CHECK(hs->current_term >= m->term,
                 "%s sends %s of term %" PRIu64 ", durable is %" PRIu64, node->name, name, m->term,
                 hs->current_term);
        FX_CHECK(hs->current_term > m->term || hs->voted_for == node->id,
                 "%s sends %s without its own durable vote", node->name, name);
        break;
    case RAFT_MSG_VOTE_RESP:
        if (m->reject)
            break;
        FX_CHECK(hs->current_term > m->term ||
                     (hs->current_term == m->term && hs->voted_for == m->to),
                 "%s votes for n%u in term %" PRIu64 " before that is durable", node->name,
                 fx_of(fx, m->to), m->term);
        break;
    case RAFT_MSG_APPEND_RESP: {
        const struct fx_leader *l = leader_of(fx, m->term);

        if (m->reject)
            break;
        FX_CHECK(hs->current_term >= m->term, "%s acknowledges in a term not durable", node->name);
        if (hs->current_term > m->term)
            break; /* of no use to anybody: the term has gone by */
        FX_CHECK(node->disk.n >= m->index, "%s acknowledges %" PRIu64 ", durable is %" PRIu64,
                 node->name, m->index, node->disk.n);
        for (raft_index k = m->index; l != NULL && k > 0 && k + 40 > m->index; k--)
            FX_CHECK(k <= l->n && node->disk.log[k - 1].id.term == l->terms[k - 1],
                     "%s acknowledges %" PRIu64 " but %" PRIu64 " is not its leader's", node->name,
                     m->index, k);
        break;
    }
    default:
        FX_CHECK(false, "%s sends type %d", node->name, (int)m->type);
    }
}

/* ---- the network ---- */

static void net_push(struct fx *fx, struct fx_msg msg)
{
    if (fx->n_net == fx->n_net_size) {
        fx->n_net_size = fx->n_net_size != 0 ? 2 * fx->n_net_size : 64;
        fx->net = fx_grow(fx->net, fx->n_net_size * sizeof(*fx->net));
    }
    fx->net[fx->n_net++] = msg;
}

static struct fx_msg net_remove(struct fx *fx, struct fx_msg *m)
{
    struct fx_msg msg = *m;
    size_t at = (size_t)(m - fx->net);

    assert_true(at < fx->n_net);
    memmove(m, m + 1, (fx->n_net - at - 1) * sizeof(*m));
    fx->n_net--;
    return msg;
}

static void send_msg(struct fx *fx, struct fx_node *node, const struct raft_msg *m)
{
    unsigned to = fx_of(fx, m->to);

    FX_CHECK(m->from == node->id, "%s sends for another", node->name);
    FX_CHECK(to != 0 && to != node->i, "%s sends to nobody or itself", node->name);
    check_durable(fx, node, m);
    fx->n_sent[m->type]++;
    if (!fx->cut[node->i][to])
        net_push(fx, msg_copy(m));
}

static bool msg_matches(const struct fx *fx, const struct fx_msg *m, unsigned from, unsigned to,
                        int type)
{
    return (from == FX_ANY || m->m.from == fx_id(fx, from)) &&
           (to == FX_ANY || m->m.to == fx_id(fx, to)) && (type == FX_ANY || (int)m->m.type == type);
}

struct fx_msg *fx_find_nth(struct fx *fx, unsigned from, unsigned to, int type, unsigned k)
{
    for (unsigned i = 0; i < fx->n_net; i++)
        if (msg_matches(fx, &fx->net[i], from, to, type) && k-- == 0)
            return &fx->net[i];
    return NULL;
}

struct fx_msg *fx_find(struct fx *fx, unsigned from, unsigned to, int type)
{
    return fx_find_nth(fx, from, to, type, 0);
}

struct fx_msg *fx_find_last(struct fx *fx, unsigned from, unsigned to, int type)
{
    for (unsigned i = fx->n_net; i-- > 0;)
        if (msg_matches(fx, &fx->net[i], from, to, type))
            return &fx->net[i];
    return NULL;
}

unsigned fx_count(struct fx *fx, unsigned from, unsigned to, int type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < fx->n_net; i++)
        n += msg_matches(fx, &fx->net[i], from, to, type);
    return n;
}

struct fx_msg fx_take(struct fx *fx, unsigned from, unsigned to, int type)
{
    struct fx_msg *m = fx_find(fx, from, to, type);

    FX_CHECK(m != NULL, "no %s from n%u to n%u waits",
             type != FX_ANY ? raft_msg_type_name((enum raft_msg_type)type) : "message", from, to);
    return net_remove(fx, m);
}

unsigned fx_drop(struct fx *fx, unsigned from, unsigned to, int type)
{
    struct fx_msg *m;
    unsigned n = 0;

    while ((m = fx_find(fx, from, to, type)) != NULL) {
        struct fx_msg gone = net_remove(fx, m);

        fx_msg_done(&gone);
        n++;
    }
    return n;
}

void fx_duplicate(struct fx *fx, struct fx_msg *m)
{
    net_push(fx, msg_copy(&m->m));
}

void fx_deliver_msg(struct fx *fx, struct fx_msg *m)
{
    struct fx_msg msg = net_remove(fx, m);
    unsigned to = fx_of(fx, msg.m.to);

    if (fx->nodes[to].state == FX_UP) {
        int r = fx_inject(fx, &msg.m);

        FX_CHECK(r == 0, "n%u answers %d to %s of term %" PRIu64 " from n%u", to, r,
                 raft_msg_type_name(msg.m.type), msg.m.term, fx_of(fx, msg.m.from));
    }
    fx_msg_done(&msg);
}

bool fx_deliver(struct fx *fx, unsigned from, unsigned to, int type)
{
    struct fx_msg *m = fx_find(fx, from, to, type);

    if (m != NULL)
        fx_deliver_msg(fx, m);
    return m != NULL;
}

unsigned fx_deliver_each(struct fx *fx, unsigned from, unsigned to, int type)
{
    unsigned n = fx_count(fx, from, to, type);

    for (unsigned k = 0; k < n; k++)
        (void)fx_deliver(fx, from, to, type);
    return n;
}

void fx_isolate(struct fx *fx, unsigned i, bool isolated)
{
    for (unsigned j = 1; j <= fx->n; j++) {
        fx->cut[i][j] = isolated;
        fx->cut[j][i] = isolated;
    }
}

void fx_heal(struct fx *fx)
{
    memset(fx->cut, 0, sizeof(fx->cut));
}

void fx_deliver_all(struct fx *fx)
{
    unsigned budget = 300000;
    unsigned i = 0;

    while (i < fx->n_net) {
        if (fx->nodes[fx_of(fx, fx->net[i].m.to)].state == FX_PUPPET) {
            i++;
            continue;
        }
        FX_CHECK(budget-- > 0, "messages do not come to rest");
        fx_deliver_msg(fx, &fx->net[i]);
        i = 0;
    }
}

/* ---- the turn ---- */

static void hold_msg(struct fx_node *node, const struct raft_msg *m, uint64_t after_batch)
{
    node->held = fx_grow(node->held, (node->n_held + 1) * sizeof(*node->held));
    node->held[node->n_held++] = (struct fx_held){.after_batch = after_batch, .msg = msg_copy(m)};
}

static void take_batch(struct fx_node *node, const struct raft_ready *rd)
{
    struct fx_batch *b;
    raft_term term;

    FX_CHECK(rd->hard_state.current_term >= node->hard_state.current_term, "%s: term fell",
             node->name);
    if (rd->hard_state.current_term == node->hard_state.current_term)
        FX_CHECK(node->hard_state.voted_for == 0 ||
                     rd->hard_state.voted_for == node->hard_state.voted_for,
                 "%s: second vote in a term", node->name);
    FX_CHECK(rd->hard_state_changed ==
                 (rd->reset.index != 0 ||
                  rd->hard_state.current_term != node->hard_state.current_term ||
                  rd->hard_state.voted_for != node->hard_state.voted_for ||
                  rd->hard_state.lease_max_us != node->hard_state.lease_max_us),
             "%s: hard_state_changed is %d", node->name, rd->hard_state_changed);
    node->hard_state = rd->hard_state;
    if (rd->batch == 0) {
        FX_CHECK(!rd->hard_state_changed && rd->truncate_from == 0 && rd->n_entries == 0 &&
                     rd->reset.index == 0,
                 "%s: something to store without a batch", node->name);
        return;
    }
    FX_CHECK(rd->batch == node->batch_last + 1, "%s: batch %" PRIu64 " after %" PRIu64, node->name,
             rd->batch, node->batch_last);
    node->batch_last = rd->batch;
    if (rd->reset.index != 0) {
        const struct fx_snapshot *s = &node->installing;

        FX_CHECK(rd->reset.index == s->id.index && rd->reset.term == s->id.term,
                 "%s: resets to %" PRIu64 ", the snapshot ends at %" PRIu64, node->name,
                 rd->reset.index, s->id.index);
        FX_CHECK(rd->reset_config->index == s->config.index &&
                     memcmp(&rd->reset_config->configuration, &s->config.configuration,
                            sizeof(s->config.configuration)) == 0,
                 "%s: resets with the configuration of %" PRIu64, node->name,
                 rd->reset_config->index);
        FX_CHECK(rd->truncate_from == 0, "%s: resets and truncates", node->name);
        FX_CHECK(rd->reset.index > node->commit_index,
                 "%s: resets to %" PRIu64 ", committed is %" PRIu64, node->name, rd->reset.index,
                 node->commit_index);
        node->tail = rd->reset.index;
    }
    if (rd->truncate_from != 0) {
        FX_CHECK(rd->truncate_from <= node->tail && rd->truncate_from > node->commit_index,
                 "%s: truncates from %" PRIu64 ", commit %" PRIu64 ", tail %" PRIu64, node->name,
                 rd->truncate_from, node->commit_index, node->tail);
        node->tail = rd->truncate_from - 1;
    }
    node->batches = fx_grow(node->batches, (node->n_batches + 1) * sizeof(*node->batches));
    b = &node->batches[node->n_batches++];
    *b = (struct fx_batch){.number = rd->batch,
                           .hard_state = rd->hard_state,
                           .truncate_from = rd->truncate_from,
                           .n_entries = rd->n_entries,
                           .commit_index = rd->commit_index,
                           .reset = rd->reset};
    if (rd->reset.index != 0)
        b->reset_entries = entries_copy(node->installing.entries, rd->reset.index);
    b->entries = fx_alloc(rd->n_entries * sizeof(*b->entries));
    term = 0;
    for (unsigned k = 0; k < rd->n_entries; k++) {
        const struct raft_entry *e = &rd->entries[k];

        FX_CHECK(e->id.index == node->tail + 1, "%s: stores %" PRIu64 " behind %" PRIu64,
                 node->name, e->id.index, node->tail);
        FX_CHECK(e->id.term >= term && e->id.term >= 1 && e->id.term <= rd->hard_state.current_term,
                 "%s: stores an entry of term %" PRIu64, node->name, e->id.term);
        FX_CHECK((e->len == 0) == (e->data == NULL), "%s: entry data", node->name);
        term = e->id.term;
        node->tail = e->id.index;
        entry_copy(&b->entries[k], e);
    }
}

static void take_committed(struct fx *fx, struct fx_node *node, const struct raft_ready *rd)
{
    size_t bytes = 0;

    FX_CHECK(rd->n_committed <= RAFT_COMMITTED_ENTRIES_MAX, "%s: too many committed", node->name);
    FX_CHECK(rd->n_committed == 0 || node->installing.id.index == 0,
             "%s: applies while the state is being replaced", node->name);
    for (unsigned k = 0; k < rd->n_committed; k++) {
        const struct raft_entry *e = &rd->committed[k];
        struct fx_commit *c;

        FX_CHECK(e->id.index == node->committed_handed + 1,
                 "%s: applies %" PRIu64 " after %" PRIu64, node->name, e->id.index,
                 node->committed_handed);
        FX_CHECK(e->id.index <= rd->commit_index, "%s: applies above commit_index", node->name);
        FX_CHECK(e->id.index <= node->disk.n &&
                     node->disk.log[e->id.index - 1].id.term == e->id.term,
                 "%s: applies %" PRIu64 " before it is durable here", node->name, e->id.index);
        FX_CHECK(e->id.index <= fx->n_commits, "%s: applies what nobody committed", node->name);
        c = &fx->commits[e->id.index - 1];
        FX_CHECK(c->term == e->id.term,
                 "%s: applies %" PRIu64 " of term %" PRIu64 ", committed is %" PRIu64, node->name,
                 e->id.index, e->id.term, c->term);
        if (c->hash == 0)
            c->hash = entry_hash(e);
        FX_CHECK(c->hash == entry_hash(e), "%s: applies another payload at %" PRIu64, node->name,
                 e->id.index);
        FX_CHECK(k == 0 || bytes < RAFT_COMMITTED_BYTES_MAX, "%s: committed bytes", node->name);
        bytes += e->len;
        node->committed_handed = e->id.index;
    }
}

static struct fx_read *pending_read(struct fx *fx, unsigned i, uint64_t ctx)
{
    if (ctx >= 1 && ctx <= fx->n_reads) {
        struct fx_read *read = &fx->reads[ctx - 1];

        if (read->ctx == ctx && read->node == i && read->state == FX_READ_PENDING)
            return read;
    }
    for (unsigned k = 0; k < fx->n_reads; k++)
        if (fx->reads[k].ctx == ctx && fx->reads[k].node == i &&
            fx->reads[k].state == FX_READ_PENDING)
            return &fx->reads[k];
    return NULL;
}

static void take_reads(struct fx *fx, struct fx_node *node, const struct raft_ready *rd)
{
    FX_CHECK(rd->loss == RAFT_LOSS_NONE || rd->n_reads == 0, "%s: reads confirmed beside a loss",
             node->name);
    for (unsigned k = 0; k < rd->n_reads; k++) {
        const struct raft_read_done *d = &rd->reads[k];
        struct fx_read *read = pending_read(fx, node->i, d->ctx);

        FX_CHECK(read != NULL, "%s: confirms read %" PRIu64 " which is not pending", node->name,
                 d->ctx);
        FX_CHECK(raft_get_role(node->r) == RAFT_LEADER, "%s: confirms a read as %s", node->name,
                 raft_role_name(raft_get_role(node->r)));
        FX_CHECK(d->term == read->term && d->term == raft_get_term(node->r),
                 "%s: read of term %" PRIu64 " confirmed in %" PRIu64, node->name, read->term,
                 d->term);
        FX_CHECK(d->round > d->arrival_round, "%s: read rides on a round open at its arrival",
                 node->name);
        FX_CHECK(d->read_index >= read->floor,
                 "%s: STALE read at %" PRIu64 ", committed was %" PRIu64, node->name, d->read_index,
                 read->floor);
        FX_CHECK(d->read_index >= read->min_index, "%s: read below its floor", node->name);
        FX_CHECK(d->read_index <= rd->commit_index, "%s: read index not committed", node->name);
        FX_CHECK(raft_can_serve(node->r), "%s: read before the no-op is committed", node->name);
        read->state = FX_READ_DONE;
        read->done = *d;
        node->n_reads_done++;
    }
    for (unsigned k = 0; k < rd->n_reads_failed; k++) {
        struct fx_read *read = pending_read(fx, node->i, rd->reads_failed[k]);

        FX_CHECK(read != NULL, "%s: fails read %" PRIu64 " which is not pending", node->name,
                 rd->reads_failed[k]);
        FX_CHECK(rd->loss != RAFT_LOSS_NONE || raft_get_fitness(node->r) == RAFT_UNFIT,
                 "%s: fails reads without a loss", node->name);
        read->state = FX_READ_FAILED;
        node->n_reads_failed++;
    }
    if (rd->loss != RAFT_LOSS_NONE) {
        FX_CHECK(rd->loss_term != 0 && rd->loss_term <= rd->hard_state.current_term,
                 "%s: loss of term %" PRIu64, node->name, rd->loss_term);
        FX_CHECK(rd->loss != RAFT_LOSS_TERM || rd->loss_term < rd->hard_state.current_term,
                 "%s: term lost, but it is the same", node->name);
        node->loss = rd->loss;
        node->loss_term = rd->loss_term;
        node->loss_commit_index = rd->loss_commit_index;
        node->n_losses++;
    }
}

/* FOLLOW-1: everybody with a ticket up to it came before what it says. */
static void take_answered(struct fx *fx, struct fx_node *node, const struct raft_ready *rd)
{
    const struct raft_answered *a = &rd->answered;

    if (a->ticket == 0)
        return;
    FX_CHECK(a->ticket > node->answered.ticket, "%s: ticket %" PRIu64 " after %" PRIu64, node->name,
             a->ticket, node->answered.ticket);
    FX_CHECK(a->read_index <= fx->n_commits || has_puppets(fx), "%s: answered with %" PRIu64,
             node->name, a->read_index);
    FX_CHECK((a->proof == RAFT_PROOF_ROUND) == (a->by == node->id), "%s: proof %d", node->name,
             (int)a->proof);
    for (unsigned k = 0; k < fx->n_tickets; k++) {
        struct fx_ticket *t = &fx->tickets[k];

        if (t->node != node->i || t->answered || t->ticket > a->ticket)
            continue;
        FX_CHECK(a->read_index >= t->floor,
                 "%s: STALE ticket %" PRIu64 ": %" PRIu64 ", committed was %" PRIu64, node->name,
                 t->ticket, a->read_index, t->floor);
        t->answered = true;
        t->read_index = a->read_index;
    }
    node->answered = *a;
    node->n_answered++;
}

static void release_held(struct fx *fx, struct fx_node *node)
{
    unsigned n = 0;

    for (unsigned k = 0; k < node->n_held; k++) {
        if (node->held[k].after_batch > node->batch_durable) {
            node->held[n++] = node->held[k];
            continue;
        }
        send_msg(fx, node, &node->held[k].msg.m);
        fx_msg_done(&node->held[k].msg);
    }
    node->n_held = n;
}

static bool turn_once(struct fx *fx, struct fx_node *node)
{
    struct raft_ready rd;
    struct raft_status s;
    raft_index applied;

    memset(&rd, 0xa5, sizeof(rd));
    tell_clocks(node);
    raft_ready(node->r, now_of(node), &rd);
    raft_get_status(node->r, &s);
    if (rd.log_error != 0) {
        node->log_error = rd.log_error;
        return false;
    }
    FX_CHECK(rd.hard_state.current_term == s.current_term &&
                 rd.hard_state.voted_for == s.voted_for && rd.commit_index == s.commit_index,
             "%s: ready is not current", node->name);
    take_batch(node, &rd);
    check_leader(fx, node->i);
    check_configuration(fx, node->i);
    check_commit(fx, node->i, rd.commit_index);
    for (unsigned k = 0; k < rd.n_msgs; k++) {
        const struct raft_msg *m = &rd.msgs[k];

        check_shape(m);
        if (m->type == RAFT_MSG_HEARTBEAT) { /* clamped (READ-30) */
            const struct raft_peer_status *p = fx_peer(fx, &s, fx_of(fx, m->to));

            FX_CHECK(p != NULL && m->leader_commit <= p->match_index,
                     "%s: heartbeat commits above match_index", node->name);
            FX_CHECK(m->leader_commit <= rd.commit_index, "%s: heartbeat commits too much",
                     node->name);
        }
        FX_CHECK(m->type != RAFT_MSG_APPEND || m->leader_commit <= rd.commit_index,
                 "%s: append commits too much", node->name);
        send_msg(fx, node, m);
    }
    FX_CHECK(rd.after_batch <= node->batch_last, "%s: waits for a batch never handed out",
             node->name);
    for (unsigned k = 0; k < rd.n_msgs_after_store; k++) {
        check_shape(&rd.msgs_after_store[k]);
        hold_msg(node, &rd.msgs_after_store[k], rd.after_batch);
    }
    release_held(fx, node);
    take_committed(fx, node, &rd);
    take_reads(fx, node, &rd);
    take_answered(fx, node, &rd);
    FX_CHECK(s.n_reads_pending == fx_n_reads(fx, node->i, FX_READ_PENDING),
             "%s: %u reads pending, should be %u", node->name, s.n_reads_pending,
             fx_n_reads(fx, node->i, FX_READ_PENDING));
    node->n_transfers_over += rd.transfer_over;
    applied = rd.n_committed != 0 ? node->committed_handed : 0;
    check_progress(fx, node->i);
    {
        bool more = rd.more_committed;

        if (applied != 0 && !node->manual_apply)
            raft_applied(node->r, applied);
        raft_check(node->r);
        return more;
    }
}

void fx_turn(struct fx *fx, unsigned i)
{
    struct fx_node *node = &fx->nodes[i];
    unsigned budget = 10000;

    assert_int_equal(node->state, FX_UP);
    for (;;) {
        while (turn_once(fx, node))
            FX_CHECK(budget-- > 0, "%s: readies without end", node->name);
        if (node->manual_store || node->n_batches == 0)
            break;
        FX_CHECK(budget-- > 0, "%s: batches without end", node->name);
        fx_store_all(fx, i);
    }
    if (!node->manual_restore && fx_may_restore(fx, i))
        fx_restored(fx, i);
}

/* A check looks at each read that waits: while thousands are heaped up it is made now and then. */
static void maybe_check(struct fx *fx, unsigned i)
{
    const unsigned n = fx->hold_turns ? fx_status(fx, i).n_reads_pending : 0;

    if (n < 256 || n % 256 == 0)
        raft_check(fx_raft(fx, i));
}

static void maybe_turn(struct fx *fx, unsigned i)
{
    maybe_check(fx, i);
    if (!fx->hold_turns)
        fx_turn(fx, i);
}

/* ---- the disk ---- */

static void disk_append(struct fx_disk *d, const struct raft_entry *e)
{
    assert_true(e->id.index == d->n + 1);
    d->log = fx_grow(d->log, (d->n + 1) * sizeof(*d->log));
    entry_copy(&d->log[d->n++], e);
}

static void disk_truncate(struct fx_disk *d, raft_index from)
{
    while (d->n >= from)
        free_const(d->log[--d->n].data);
}

static void disk_write(struct fx_disk *d, const struct fx_batch *b)
{
    if (b->truncate_from != 0)
        disk_truncate(d, b->truncate_from);
    if (b->reset.index != 0)
        disk_truncate(d, 1);
    for (raft_index k = 0; k < b->reset.index; k++)
        disk_append(d, &b->reset_entries[k]);
    d->hard_state = b->hard_state;
    for (unsigned k = 0; k < b->n_entries; k++)
        disk_append(d, &b->entries[k]);
    if (d->base < b->reset.index)
        d->base = b->reset.index;
    d->commit_index = b->commit_index;
}

static unsigned write_batches(struct fx_node *node, unsigned n)
{
    if (n > node->n_batches)
        n = node->n_batches;
    for (unsigned k = 0; k < n; k++) {
        disk_write(&node->disk, &node->batches[k]);
        node->batch_durable = node->batches[k].number;
        batch_done(&node->batches[k]);
    }
    if (n != 0)
        memmove(node->batches, node->batches + n, (node->n_batches - n) * sizeof(*node->batches));
    node->n_batches -= n;
    return n;
}

void fx_store(struct fx *fx, unsigned i, unsigned n)
{
    struct fx_node *node = &fx->nodes[i];

    if (write_batches(node, n) == 0)
        return;
    raft_stored(fx_raft(fx, i), node->batch_durable, now_of(node));
    release_held(fx, node);
    maybe_turn(fx, i);
}

void fx_store_all(struct fx *fx, unsigned i)
{
    fx_store(fx, i, UINT32_MAX);
}

void fx_applied(struct fx *fx, unsigned i, raft_index index)
{
    raft_applied(fx_raft(fx, i), index);
    maybe_turn(fx, i);
}

void fx_set_hard_state(struct fx *fx, unsigned i, raft_term term, unsigned voted_for)
{
    assert_int_equal(fx->nodes[i].state, FX_PUPPET);
    fx->nodes[i].disk.hard_state =
        (struct raft_hard_state){.current_term = term, .voted_for = fx_id(fx, voted_for)};
}

void fx_set_log(struct fx *fx, unsigned i, const raft_term *terms, unsigned n)
{
    struct fx_disk *d = &fx->nodes[i].disk;

    assert_int_equal(fx->nodes[i].state, FX_PUPPET);
    disk_truncate(d, 2);
    for (unsigned k = 0; k < n; k++) {
        uint64_t data[2] = {terms[k], d->n + 1};
        struct raft_entry e = {.id = {terms[k], d->n + 1},
                               .type = RAFT_ENTRY_COMMAND,
                               .len = sizeof(data),
                               .data = data};

        disk_append(d, &e);
        if (terms[k] > d->hard_state.current_term)
            d->hard_state = (struct raft_hard_state){.current_term = terms[k]};
    }
}

void fx_compact(struct fx *fx, unsigned i, raft_index index)
{
    struct fx_disk *d = &fx->nodes[i].disk;

    assert_true(index <= d->n);
    assert_true(index <= fx->n_commits || fx->nodes[i].state == FX_PUPPET);
    if (index > d->base)
        d->base = index;
    if (index > d->commit_index)
        d->commit_index = index;
    for (raft_index k = fx->n_commits + 1; k <= index; k++) { /* a log that a test has made up */
        fx->commits = fx_grow(fx->commits, k * sizeof(*fx->commits));
        fx->commits[k - 1] = (struct fx_commit){.term = d->log[k - 1].id.term};
        fx->n_commits = k;
    }
}

void fx_compact_now(struct fx *fx, unsigned i, raft_index index)
{
    raft_compact(fx_raft(fx, i), index);
    fx->nodes[i].disk.base = index;
    FX_CHECK(fx_status(fx, i).base.index == index, "n%u: is not compacted", i);
    maybe_turn(fx, i);
}

/* ---- snapshots ---- */

void fx_snapshot_take(struct fx *fx, unsigned i, raft_index index, struct fx_snapshot *ret_s)
{
    const struct fx_disk *d = &fx->nodes[i].disk;

    assert_true(index >= 1);
    assert_true(index <= d->n);
    assert_true(index <= fx->n_commits);
    memset(ret_s, 0, sizeof(*ret_s));
    ret_s->id = d->log[index - 1].id;
    ret_s->entries = entries_copy(d->log, index);
    for (raft_index k = 0; k < index; k++) {
        const struct raft_entry *e = &d->log[k];

        assert_true(e->id.term == fx->commits[k].term);
        if (e->type != RAFT_ENTRY_CONFIG)
            continue;
        ret_s->config.index = e->id.index;
        assert_int_equal(raft_configuration_decode(e->data, e->len, &ret_s->config.configuration),
                         0);
    }
}

enum raft_install fx_install(struct fx *fx, unsigned i, const struct fx_snapshot *s, bool lost)
{
    struct fx_node *node = &fx->nodes[i];
    enum raft_install what;
    struct raft_status before = fx_status(fx, i);
    struct raft_status after;

    what = raft_install(fx_raft(fx, i), s->id, &s->config, lost, now_of(node));
    after = fx_status(fx, i);
    node->n_installs[what]++;
    FX_CHECK(after.current_term == before.current_term && after.voted_for == before.voted_for,
             "%s: a snapshot changes term or vote", node->name);
    FX_CHECK(what == RAFT_INSTALL_LOG || after.last_index == before.last_index,
             "%s: a snapshot changes the log, and says %d", node->name, (int)what);
    FX_CHECK(raft_is_installing(node->r) ==
                 (what == RAFT_INSTALL_STATE || what == RAFT_INSTALL_LOG),
             "%s: installing, and says %d", node->name, (int)what);
    if (raft_is_installing(node->r)) {
        node->installing = *s;
        node->installing.entries = entries_copy(s->entries, s->id.index);
    }
    maybe_turn(fx, i);
    return what;
}

enum raft_install fx_hand_over(struct fx *fx, unsigned from, unsigned to, raft_index index,
                               bool lost)
{
    struct fx_snapshot s;
    enum raft_install what;

    fx_snapshot_take(fx, from, index, &s);
    what = fx_install(fx, to, &s, lost);
    fx_snapshot_done(&s);
    return what;
}

/* The log on the disk has what the state is to hold, and is not about to be replaced. */
bool fx_may_restore(struct fx *fx, unsigned i)
{
    struct fx_node *node = &fx->nodes[i];

    if (node->state != FX_UP || node->installing.id.index == 0)
        return false;
    for (unsigned k = 0; k < node->n_batches; k++)
        if (node->batches[k].reset.index != 0)
            return false;
    return node->disk.n >= node->installing.id.index &&
           node->disk.log[node->installing.id.index - 1].id.term == node->installing.id.term;
}

void fx_restored(struct fx *fx, unsigned i)
{
    struct fx_node *node = &fx->nodes[i];

    FX_CHECK(fx_may_restore(fx, i), "n%u: the log on its disk is not that of the snapshot", i);
    raft_restored(node->r, now_of(node));
    node->committed_handed = node->installing.id.index;
    fx_snapshot_done(&node->installing);
    maybe_turn(fx, i);
}

void fx_add_config(struct fx *fx, unsigned i, raft_term term, const struct raft_configuration *c)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct fx_disk *d = &fx->nodes[i].disk;
    struct raft_entry e = {.id = {term, d->n + 1}, .type = RAFT_ENTRY_CONFIG};

    assert_int_equal(raft_configuration_encode(c, &bytes), 0);
    e.len = (uint32_t)bytes.len;
    e.data = bytes.data;
    disk_append(d, &e);
    if (term > d->hard_state.current_term)
        d->hard_state = (struct raft_hard_state){.current_term = term};
}

void fx_configuration(const struct fx *fx, const char *servers, struct raft_configuration *ret_c)
{
    raft_configuration_init(ret_c);
    for (const char *s = servers; *s != '\0'; s++) {
        bool learner = s[1] == 'l';
        unsigned i = (unsigned)(*s - '0');

        assert_true(i >= 1 && i <= fx->n);
        assert_int_equal(raft_configuration_add(
                             ret_c, raft_founder_id(fx->nodes[i].name), fx->nodes[i].name,
                             learner ? RAFT_LEARNER : RAFT_VOTER, "127.0.0.1:1", "127.0.0.1:2"),
                         0);
        s += learner;
    }
}

raft_index fx_configure(struct fx *fx, unsigned i, const struct raft_configuration *c)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    raft_index index = fx_last(fx, i) + 1;

    assert_int_equal(raft_configuration_encode(c, &bytes), 0);
    raft_append_own(fx_raft(fx, i), RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
    maybe_turn(fx, i);
    return index;
}

int fx_try_configure(struct fx *fx, unsigned i, const struct raft_configuration *c, bool force)
{
    struct raft_entry_id id = {0, 0};
    const raft_index last = fx_last(fx, i);
    const raft_index before = raft_get_configuration_index(fx_raft(fx, i));
    int rc = raft_configure(fx_raft(fx, i), c, before, force, &id);

    FX_CHECK(fx_last(fx, i) == last + (rc == 0), "n%u: raft_configure says %d", i, rc);
    FX_CHECK(raft_get_configuration_index(fx_raft(fx, i)) == (rc == 0 ? last + 1 : before),
             "n%u: configuration after %d", i, rc);
    FX_CHECK(rc != 0 || (id.index == last + 1 && id.term == fx_term(fx, i)), "n%u: id", i);
    maybe_turn(fx, i);
    return rc;
}

void fx_found(struct fx *fx, const char *servers)
{
    fx_configuration(fx, servers, &fx->configuration);
    for (unsigned i = 1; i <= fx->n; i++) {
        disk_truncate(&fx->nodes[i].disk, 1);
        fx_add_config(fx, i, 1, &fx->configuration);
    }
}

/* ---- start, crash ---- */

void fx_init(struct fx *fx, unsigned n_voters, unsigned n_learners, uint64_t seed)
{
    memset(fx, 0, sizeof(*fx));
    assert_true(n_voters >= 1 && n_voters + n_learners <= FX_NODES_MAX);
    fx->n = n_voters + n_learners;
    fx->n_voters = n_voters;
    fx->now = 1000000;
    prng_init(&fx->prng, seed);
    raft_configuration_init(&fx->configuration);
    for (unsigned i = 1; i <= fx->n; i++) {
        struct fx_node *node = &fx->nodes[i];

        node->fx = fx;
        node->i = i;
        (void)snprintf(node->name, sizeof(node->name), "n%u", i);
        node->id = raft_founder_id(node->name);
        raft_conf_init(&node->conf);
        node->conf.id = node->id;
        node->conf.election_timeout_us = FX_ELECTION_US;
        node->conf.heartbeat_us = FX_HEARTBEAT_US;
        node->conf.seed = hash_mix64(seed * 64 + i);
        node->conf.nonce = hash_mix64(seed * 64 + i) | 1;
        node->conf.mem = (struct mem){.resize = node_resize, .ctx = node};
        node->conf.log_reader = (struct raft_log_reader){.read = node_read, .ctx = node};
        node->conf.trace = node_trace;
        node->conf.trace_ctx = node;
        assert_int_equal(raft_configuration_add(&fx->configuration, raft_founder_id(node->name),
                                                node->name,
                                                i <= n_voters ? RAFT_VOTER : RAFT_LEARNER,
                                                "127.0.0.1:1", "127.0.0.1:2"),
                         0);
    }
    for (unsigned i = 1; i <= fx->n; i++) {
        fx_add_config(fx, i, 1, &fx->configuration);
        fx->nodes[i].disk.commit_index = 1;
    }
    fx->commits = fx_alloc(sizeof(*fx->commits));
    fx->commits[0].term = 1;
    fx->n_commits = 1;
}

static void node_stop(struct fx_node *node)
{
    raft_free(node->r);
    node->r = NULL;
    FX_CHECK(node->n_live == 0, "%s: %zu blocks not given back", node->name, node->n_live);
    for (unsigned k = 0; k < node->n_batches; k++)
        batch_done(&node->batches[k]);
    for (unsigned k = 0; k < node->n_held; k++)
        fx_msg_done(&node->held[k].msg);
    fx_snapshot_done(&node->installing);
    free(node->batches);
    free(node->held);
    node->batches = NULL;
    node->held = NULL;
    node->n_batches = 0;
    node->n_held = 0;
}

void fx_done(struct fx *fx)
{
    for (unsigned i = 1; i <= fx->n; i++) {
        struct fx_node *node = &fx->nodes[i];

        node_stop(node);
        disk_truncate(&node->disk, 1);
        free(node->disk.log);
    }
    for (unsigned k = 0; k < fx->n_leaders; k++)
        free(fx->leaders[k].terms);
    (void)fx_drop(fx, FX_ANY, FX_ANY, FX_ANY);
    free(fx->leaders);
    free(fx->commits);
    free(fx->tickets);
    free(fx->moments);
    free(fx->reads);
    free(fx->net);
    memset(fx, 0, sizeof(*fx));
}

int fx_try_start(struct fx *fx, unsigned i, raft_index last_applied, struct raft **ret_raft)
{
    struct fx_node *node = &fx->nodes[i];
    const struct fx_disk *d = &node->disk;
    struct raft_term_range *terms = fx_alloc(d->n * sizeof(*terms));
    struct raft_config_at *configs = fx_alloc(d->n * sizeof(*configs));
    struct raft_start start = {.hard_state = d->hard_state,
                               .base = {d->base > 0 ? d->log[d->base - 1].id.term : 0, d->base},
                               .last_index = d->n,
                               .commit_index = d->commit_index < d->n ? d->commit_index : d->n,
                               .last_applied = last_applied,
                               .terms = terms,
                               .configs = configs};
    int r;

    for (raft_index k = 0; k < d->n; k++) {
        const struct raft_entry *e = &d->log[k];

        if (e->id.index > d->base &&
            (start.n_terms == 0 || terms[start.n_terms - 1].term != e->id.term))
            terms[start.n_terms++] = (struct raft_term_range){e->id.term, e->id.index};
        if (e->type == RAFT_ENTRY_CONFIG) {
            struct raft_config_at *at = &configs[start.n_configs++];

            at->index = e->id.index;
            assert_int_equal(raft_configuration_decode(e->data, e->len, &at->configuration), 0);
        }
    }
    r = raft_new(&node->conf, &start, now_of(node), ret_raft);
    free(terms);
    free(configs);
    return r;
}

static void start_at(struct fx *fx, unsigned i, raft_index last_applied)
{
    struct fx_node *node = &fx->nodes[i];

    assert_int_not_equal(node->state, FX_UP);
    assert_int_equal(fx_try_start(fx, i, last_applied, &node->r), 0);
    node->state = FX_UP;
    node->hard_state = node->disk.hard_state;
    node->tail = node->disk.n;
    node->batch_last = 0;
    node->batch_durable = 0;
    node->committed_handed = last_applied;
    node->commit_index = fx_commit(fx, i);
    memset(&node->answered, 0, sizeof(node->answered));
    raft_check(node->r);
    for (unsigned j = 1; j <= fx->n; j++) {
        if (j == i || fx->nodes[j].state == FX_DOWN)
            continue;
        tell_clocks(node);
        raft_link(node->r, fx->nodes[j].id, true, now_of(node));
        raft_understands_asks(node->r, fx->nodes[j].id, true);
        if (fx->nodes[j].state == FX_UP)
            fx_link(fx, j, i, true);
    }
    maybe_turn(fx, i);
}

void fx_start(struct fx *fx, unsigned i)
{
    start_at(fx, i, fx->nodes[i].disk.base);
}

void fx_start_all(struct fx *fx)
{
    for (unsigned i = 1; i <= fx->n; i++)
        fx_start(fx, i);
}

void fx_crash(struct fx *fx, unsigned i, unsigned keep)
{
    struct fx_node *node = &fx->nodes[i];

    assert_int_equal(node->state, FX_UP);
    (void)write_batches(node, keep);
    node_stop(node);
    node->state = FX_DOWN;
    node->conf.nonce += node->conf.nonce != 0 ? 2 : 0; /* another life */
    for (unsigned k = 0; k < fx->n_tickets; k++)
        if (fx->tickets[k].node == i)
            fx->tickets[k].answered = true; /* to nobody */
    for (unsigned k = 0; k < fx->n_reads; k++)
        if (fx->reads[k].node == i && fx->reads[k].state == FX_READ_PENDING)
            fx->reads[k].state = FX_READ_FAILED;
    for (unsigned j = 1; j <= fx->n; j++)
        if (j != i && fx->nodes[j].state == FX_UP)
            fx_link(fx, j, i, false);
}

void fx_restart(struct fx *fx, unsigned i)
{
    assert_int_equal(fx->nodes[i].state, FX_DOWN);
    start_at(fx, i, fx->nodes[i].disk.base);
}

/* ---- inputs ---- */

void fx_tick(struct fx *fx, unsigned i)
{
    raft_tick(fx_raft(fx, i), fx_now(fx, i));
    maybe_turn(fx, i);
}

void fx_tick_deadline(struct fx *fx, unsigned i)
{
    uint64_t deadline = when(&fx->nodes[i], raft_deadline_us(fx_raft(fx, i)));

    if (deadline > fx->now)
        fx->now = deadline;
    fx_tick(fx, i);
    if (!fx->hold_turns)
        FX_CHECK(raft_deadline_us(fx_raft(fx, i)) > fx_now(fx, i),
                 "n%u: deadline stays in the past", i);
}

int fx_inject(struct fx *fx, const struct raft_msg *m)
{
    unsigned i = fx_of(fx, m->to);
    struct fx_msg copy = msg_copy(m);
    int r;

    if (m->type == RAFT_MSG_HEARTBEAT)
        fx->nodes[i].lease_heard_us = m->beat.lease_us;
    tell_clocks(&fx->nodes[i]);
    r = raft_step(fx_raft(fx, i), &copy.m, fx_now(fx, i));

    fx_msg_done(&copy); /* the core copied what it needs; a borrowed pointer now shows under asan */
    maybe_turn(fx, i);
    return r;
}

void fx_inject_ok(struct fx *fx, const struct raft_msg *m)
{
    int r = fx_inject(fx, m);

    FX_CHECK(r == 0, "raft_step says %d to %s", r, raft_msg_type_name(m->type));
}

void fx_link(struct fx *fx, unsigned i, unsigned peer, bool up)
{
    tell_clocks(&fx->nodes[i]);
    raft_link(fx_raft(fx, i), fx->nodes[peer].id, up, fx_now(fx, i));
    raft_understands_asks(fx_raft(fx, i), fx->nodes[peer].id, up);
    maybe_turn(fx, i);
}

int fx_try_propose(struct fx *fx, unsigned i, const void *data, size_t len,
                   struct raft_entry_id *ret_id)
{
    int r = raft_propose(fx_raft(fx, i), RAFT_ENTRY_COMMAND, data, len, ret_id);

    maybe_turn(fx, i);
    return r;
}

struct raft_entry_id fx_propose(struct fx *fx, unsigned i)
{
    uint64_t data = prng_next(&fx->prng);
    struct raft_entry_id id = {0, 0};
    int r = fx_try_propose(fx, i, &data, sizeof(data), &id);

    FX_CHECK(r == 0, "n%u: raft_propose says %d", i, r);
    return id;
}

int fx_try_read(struct fx *fx, unsigned i, uint64_t ctx, raft_index min_index)
{
    raft_index floor = fx->n_commits;
    raft_term term = fx_term(fx, i);
    int r = raft_read(fx_raft(fx, i), ctx, min_index, fx_now(fx, i));

    if (r == 0) {
        if (fx->n_reads == fx->n_reads_size) {
            fx->n_reads_size = fx->n_reads_size != 0 ? 2 * fx->n_reads_size : 64;
            fx->reads = fx_grow(fx->reads, fx->n_reads_size * sizeof(*fx->reads));
        }
        fx->reads[fx->n_reads++] = (struct fx_read){
            .ctx = ctx, .node = i, .term = term, .min_index = min_index, .floor = floor};
    }
    maybe_turn(fx, i);
    return r;
}

uint64_t fx_read(struct fx *fx, unsigned i, raft_index min_index)
{
    uint64_t ctx = fx->n_reads + 1;
    int r = fx_try_read(fx, i, ctx, min_index);

    FX_CHECK(r == 0, "n%u: raft_read says %d", i, r);
    return ctx;
}

struct fx_read *fx_read_get(struct fx *fx, uint64_t ctx)
{
    if (ctx >= 1 && ctx <= fx->n_reads && fx->reads[ctx - 1].ctx == ctx)
        return &fx->reads[ctx - 1];
    for (unsigned k = 0; k < fx->n_reads; k++)
        if (fx->reads[k].ctx == ctx)
            return &fx->reads[k];
    FX_CHECK(false, "no read %" PRIu64, ctx);
    return NULL;
}

enum fx_read_state fx_read_state(struct fx *fx, uint64_t ctx)
{
    return fx_read_get(fx, ctx)->state;
}

unsigned fx_n_reads(const struct fx *fx, unsigned i, enum fx_read_state state)
{
    unsigned n = 0;

    for (unsigned k = 0; k < fx->n_reads; k++)
        n += fx->reads[k].node == i && fx->reads[k].state == state;
    return n;
}

/* ---- leases, questions, pairs ---- */

void fx_leases(struct fx *fx, uint64_t lease_us)
{
    fx->configuration.version = GATES_VERSION;
    for (unsigned i = 1; i <= fx->n; i++) {
        struct fx_node *node = &fx->nodes[i];

        assert_int_equal(node->state, FX_PUPPET);
        assert_int_equal(node->disk.n, 1);
        disk_truncate(&node->disk, 1);
        fx_add_config(fx, i, 1, &fx->configuration);
        node->conf.lease_us = lease_us;
    }
}

int fx_try_lease(struct fx *fx, unsigned i, raft_index min_index, raft_index *ret_index)
{
    struct fx_node *node = &fx->nodes[i];
    int rc = raft_lease(fx_raft(fx, i), min_index, now_of(node), hold_of(node), ret_index);

    raft_check(node->r);
    if (rc != 0)
        return rc;
    fx->n_lease_reads++;
    FX_CHECK(fx_role(fx, i) == RAFT_LEADER && raft_can_serve(node->r), "n%u: a lease as %s", i,
             raft_role_name(fx_role(fx, i)));
    FX_CHECK(*ret_index >= fx->n_commits, "n%u: STALE by lease: %" PRIu64 ", committed is %" PRIu64,
             i, *ret_index, fx->n_commits);
    FX_CHECK(*ret_index >= min_index && *ret_index <= fx_commit(fx, i), "n%u: index of a lease", i);
    return 0;
}

bool fx_lease(struct fx *fx, unsigned i)
{
    raft_index index = 0;

    return fx_try_lease(fx, i, 0, &index) == 0;
}

void fx_all_understand(struct fx *fx)
{
    for (unsigned i = 1; i <= fx->n; i++)
        for (unsigned j = 1; j <= fx->n; j++)
            if (i != j && fx->nodes[i].state == FX_UP)
                raft_understands_asks(fx->nodes[i].r, fx->nodes[j].id, true);
}

uint64_t fx_ask(struct fx *fx, unsigned i)
{
    struct fx_ticket t = {.node = i, .floor = fx->n_commits};

    t.ticket = raft_ask(fx_raft(fx, i), fx_now(fx, i));
    FX_CHECK(t.ticket > fx->nodes[i].answered.ticket, "n%u: ticket %" PRIu64 " is old", i,
             t.ticket);
    fx->tickets = fx_grow(fx->tickets, (fx->n_tickets + 1) * sizeof(*fx->tickets));
    fx->tickets[fx->n_tickets++] = t;
    maybe_turn(fx, i);
    return t.ticket;
}

bool fx_is_answered(struct fx *fx, unsigned i, uint64_t ticket)
{
    return fx->nodes[i].answered.ticket >= ticket;
}

bool fx_pair(struct fx *fx, unsigned i, uint64_t since_us, struct raft_pair *ret_pair)
{
    struct fx_node *node = &fx->nodes[i];
    bool found;
    raft_index floor;

    tell_clocks(node);
    found = raft_get_pair(fx_raft(fx, i), since_us, now_of(node), ret_pair);
    raft_check(node->r);
    if (!found)
        return false;
    FX_CHECK(ret_pair->hold_us >= since_us, "n%u: a pair older than asked for", i);
    FX_CHECK(ret_pair->hold_us <= hold_of(node), "n%u: a pair of the future", i);
    floor = n_commits_before(fx, world_time(node, ret_pair->hold_us));
    FX_CHECK(ret_pair->index >= floor || has_puppets(fx),
             "n%u: STALE pair: %" PRIu64 ", committed was %" PRIu64, i, ret_pair->index, floor);
    return true;
}

/* ---- running ---- */

static bool run_step(struct fx *fx, uint64_t until)
{
    uint64_t next = UINT64_MAX;

    fx_deliver_all(fx);
    for (unsigned i = 1; i <= fx->n; i++)
        if (fx->nodes[i].state == FX_UP &&
            when(&fx->nodes[i], raft_deadline_us(fx->nodes[i].r)) < next)
            next = when(&fx->nodes[i], raft_deadline_us(fx->nodes[i].r));
    if (next > until) {
        if (until > fx->now)
            fx->now = until;
        return false;
    }
    if (next > fx->now)
        fx->now = next;
    for (unsigned i = 1; i <= fx->n; i++)
        if (fx->nodes[i].state == FX_UP && raft_deadline_us(fx->nodes[i].r) <= fx_now(fx, i))
            fx_tick_deadline(fx, i);
    return true;
}

void fx_run(struct fx *fx, uint64_t us)
{
    uint64_t until = fx->now + us;

    while (run_step(fx, until))
        ;
    fx_deliver_all(fx);
}

bool fx_run_until(struct fx *fx, uint64_t us_max, bool (*condition)(struct fx *fx, void *arg),
                  void *arg)
{
    uint64_t until = fx->now + us_max;

    fx_deliver_all(fx);
    while (!condition(fx, arg))
        if (!run_step(fx, until))
            return condition(fx, arg);
    return true;
}

bool fx_has_leader(struct fx *fx, void *arg)
{
    unsigned leader = fx_leader(fx);

    (void)arg;
    return leader != 0 && raft_can_serve(fx_raft(fx, leader));
}

bool fx_converged(struct fx *fx, void *arg)
{
    unsigned leader = fx_leader(fx);
    struct raft_status s;

    if (!fx_has_leader(fx, arg))
        return false;
    s = fx_status(fx, leader);
    for (unsigned i = 1; i <= fx->n; i++) {
        struct raft_status t;

        if (fx->nodes[i].state != FX_UP)
            continue;
        t = fx_status(fx, i);
        if (t.current_term != s.current_term || t.last_index != s.last_index ||
            t.commit_index != s.last_index || t.last_stored != s.last_index ||
            t.last_applied != s.last_index || t.leader_id != s.id)
            return false;
    }
    return true;
}

void fx_elect(struct fx *fx, unsigned i)
{
    for (unsigned k = 0; k < 50 && fx_role(fx, i) != RAFT_LEADER; k++) {
        fx_tick_deadline(fx, i);
        fx_deliver_all(fx);
    }
    FX_CHECK(fx_role(fx, i) == RAFT_LEADER, "n%u does not become leader", i);
}

/* ---- puppets ---- */

struct raft_msg fx_make(const struct fx *fx, enum raft_msg_type type, unsigned from, unsigned to,
                        raft_term term)
{
    return (struct raft_msg){
        .type = type, .from = fx_id(fx, from), .to = fx_id(fx, to), .term = term};
}

void fx_puppets_elect(struct fx *fx, unsigned i)
{
    raft_term term;

    for (unsigned k = 0; k < 50 && fx_role(fx, i) == RAFT_FOLLOWER; k++)
        fx_tick_deadline(fx, i);
    term = fx_term(fx, i) + (fx_role(fx, i) == RAFT_PRE_CANDIDATE);
    for (unsigned j = 1; j <= fx->n_voters && fx_role(fx, i) == RAFT_PRE_CANDIDATE; j++) {
        struct raft_msg m = fx_make(fx, RAFT_MSG_PRE_VOTE_RESP, j, i, term);

        if (j != i)
            fx_inject_ok(fx, &m);
    }
    fx_store_all(fx, i);
    for (unsigned j = 1; j <= fx->n_voters && fx_role(fx, i) == RAFT_CANDIDATE; j++) {
        struct raft_msg m = fx_make(fx, RAFT_MSG_VOTE_RESP, j, i, term);

        if (j != i)
            fx_inject_ok(fx, &m);
    }
    FX_CHECK(fx_role(fx, i) == RAFT_LEADER && fx_term(fx, i) == term,
             "n%u does not become leader of term %" PRIu64, i, term);
    (void)fx_drop(fx, i, FX_ANY, FX_ANY);
}

void fx_puppet_ack(struct fx *fx, unsigned from, unsigned to, raft_index index)
{
    struct raft_msg m = fx_make(fx, RAFT_MSG_APPEND_RESP, from, to, fx_term(fx, to));

    m.index = index;
    fx_inject_ok(fx, &m);
}

void fx_puppets_lead(struct fx *fx, unsigned i)
{
    raft_index noop;

    fx_puppets_elect(fx, i);
    noop = fx_noop(fx, i);
    fx_store_all(fx, i);
    for (unsigned j = 1; j <= fx->n_voters; j++)
        if (j != i)
            fx_puppet_ack(fx, j, i, noop);
    FX_CHECK(raft_can_serve(fx_raft(fx, i)), "n%u does not commit its no-op", i);
    fx_store_all(fx, i);
    (void)fx_drop(fx, i, FX_ANY, FX_ANY);
}

int fx_puppet_append(struct fx *fx, unsigned from, unsigned to, raft_term term,
                     struct raft_entry_id prev, const raft_term *terms, unsigned n,
                     raft_index leader_commit)
{
    struct raft_msg m = fx_make(fx, RAFT_MSG_APPEND, from, to, term);
    struct raft_entry entries[32];
    uint64_t data[32][2];

    assert_true(n <= 32);
    for (unsigned k = 0; k < n; k++) {
        data[k][0] = terms[k];
        data[k][1] = prev.index + 1 + k;
        entries[k] = (struct raft_entry){.id = {terms[k], prev.index + 1 + k},
                                         .type = RAFT_ENTRY_COMMAND,
                                         .len = sizeof(data[k]),
                                         .data = data[k]};
    }
    m.prev = prev;
    m.entries = n != 0 ? entries : NULL;
    m.n_entries = n;
    m.leader_commit = leader_commit;
    return fx_inject(fx, &m);
}

const struct raft_msg *fx_only(struct fx *fx, unsigned from, unsigned to, int type)
{
    unsigned n = fx_count(fx, from, to, type);

    FX_CHECK(n == 1, "%u messages of type %d from n%u to n%u wait", n, type, from, to);
    return &fx_find(fx, from, to, type)->m;
}

int fx_puppet_ack_round(struct fx *fx, unsigned from, unsigned to, raft_term term, uint64_t round)
{
    struct raft_msg m = fx_make(fx, RAFT_MSG_HEARTBEAT_RESP, from, to, term);

    m.round = round;
    return fx_inject(fx, &m);
}

uint64_t fx_round_sent(struct fx *fx, unsigned i, unsigned peer)
{
    uint64_t round = 0;

    for (unsigned k = 0; k < fx->n_net; k++)
        if (msg_matches(fx, &fx->net[k], i, peer, RAFT_MSG_HEARTBEAT) && fx->net[k].m.round > round)
            round = fx->net[k].m.round;
    return round;
}
