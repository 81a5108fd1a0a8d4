/* One description of a core serves both ways: each visit_*() names the parts of one struct in
 * order, and the codec writes them or reads them back. What is not named is one of these:
 *
 *   of the configuration          the same for every core of a search, and given when one is read
 *   empty at rest                 messages, loss, what is handed out: raft_is_at_rest()
 *   made again                    sums, progress of those in the configuration, what was seen last
 *   dead in this role             what a leader knows of others, when it does not lead; the timer
 *                                 of elections, when it does
 *   read by raft_get_status() alone, and so by no decision
 *
 * tests/unit/test-raft-image.c holds the list, and fails when a field is in neither.
 *
 * Times are distances from now. One that lies ahead is "passed" when it has passed; an age stops
 * growing where nobody asks for more. */
#include "raft/image.h"

#include <errno.h>

#include "raft/raft_int.h"

struct codec {
    bool reading;
    int rc; /* of writing */
    const struct raft_image_how *how;
    struct buf *out;
    const unsigned char *at;
    const unsigned char *end;
};

/* Seven bits a byte, the lowest first. */
static uint64_t code(struct codec *c, uint64_t v)
{
    unsigned char bytes[10];
    unsigned n = 0;
    unsigned shift = 0;

    if (c->reading) {
        v = 0;
        do {
            rid_assert(c->at < c->end);
            v |= (uint64_t)(*c->at & 0x7f) << shift;
            shift += 7;
        } while ((*c->at++ & 0x80) != 0);
        return v;
    }
    do {
        bytes[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    } while (v != 0);
    bytes[n - 1] &= 0x7f;
    if (c->rc == 0)
        c->rc = buf_add(c->out, bytes, n);
    return v;
}

/* A number, whatever its type: written, or read back. */
#define NUMBER(c, field)                                                                           \
    do {                                                                                           \
        const uint64_t coded_ = code((c), (uint64_t)(field));                                      \
        if ((c)->reading)                                                                          \
            (field) = (__typeof__(field))coded_;                                                   \
    } while (0)

/* How long ago; `most` and longer are the same. */
static void age(struct codec *c, uint64_t *time_us, uint64_t most_us)
{
    uint64_t age_us = 0;

    if (!c->reading) {
        rid_assert(*time_us <= c->how->now_us);
        age_us = c->how->now_us - *time_us;
        if (age_us > most_us)
            age_us = most_us;
    }
    age_us = code(c, age_us);
    if (c->reading) {
        rid_assert(age_us <= c->how->now_us);
        *time_us = c->how->now_us - age_us;
    }
}

static bool is_exact(const struct codec *c)
{
    return c->how->grain == RAFT_IMAGE_EXACT;
}

static bool is_timeless(const struct codec *c)
{
    return c->how->grain == RAFT_IMAGE_TIMELESS;
}

/* Heard within so long or not, if that is all that is asked. */
static void heard(struct codec *c, uint64_t *time_us, uint64_t most_us)
{
    if (!is_timeless(c)) {
        age(c, time_us, most_us);
        return;
    }
    if (c->reading)
        *time_us = c->how->now_us - (code(c, 0) != 0 ? most_us : 0);
    else
        (void)code(c, c->how->now_us - *time_us >= most_us);
}

/* How long yet; all that has passed is the same. Never is UINT64_MAX. */
static void left(struct codec *c, uint64_t *time_us)
{
    uint64_t left_us = 0;

    if (!c->reading && *time_us > c->how->now_us)
        left_us = *time_us != UINT64_MAX ? *time_us - c->how->now_us : UINT64_MAX;
    left_us = code(c, left_us);
    if (c->reading)
        *time_us = left_us != UINT64_MAX ? c->how->now_us + left_us : UINT64_MAX;
}

/* When the clock is looked at again. */
static void due(struct codec *c, uint64_t *time_us)
{
    if (!is_timeless(c))
        left(c, time_us);
    else if (c->reading)
        *time_us = c->how->now_us;
}

/* ---- names ---- */

static const struct raft_server *renamed(const struct raft_renaming *n, raft_node_id id)
{
    for (unsigned i = 0; i < n->n; i++)
        if (n->servers[i].id == id)
            return &n->servers[n->to[i]];
    rid_assert(false);
    return NULL;
}

static raft_node_id new_id(const struct codec *c, raft_node_id id)
{
    return id != 0 && c->how->renaming != NULL ? renamed(c->how->renaming, id)->id : id;
}

static void name(struct codec *c, raft_node_id *id)
{
    const uint64_t coded = code(c, c->reading ? 0 : new_id(c, *id));

    if (c->reading)
        *id = coded;
}

static void rename_configuration(const struct raft_renaming *names,
                                 const struct raft_configuration *from,
                                 struct raft_configuration *to)
{
    *to = *from;
    to->n = 0;
    memset(to->servers, 0, sizeof(to->servers));
    for (unsigned i = 0; i < from->n; i++) {
        const struct raft_server *old = &from->servers[i];
        const struct raft_server *as = renamed(names, old->id);
        struct raft_server *s;
        unsigned at = 0;

        rid_assert(raft_configuration_add(to, as->id, as->name, old->role, as->peer_addr,
                                          as->client_addr) == 0);
        while (to->servers[at].id != as->id)
            at++;
        s = &to->servers[at];
        s->incarnation = old->incarnation;
        s->promote = old->promote;
        s->replaces = old->replaces != 0 ? renamed(names, old->replaces)->id : 0;
        s->patience_ms = old->patience_ms;
    }
    for (unsigned i = 0; i < from->n_removed; i++) {
        const struct raft_server *as = renamed(names, from->removed[i].id);

        to->removed[i].id = as->id;
        memcpy(to->removed[i].name, as->name, sizeof(to->removed[i].name));
    }
}

static void write_bytes(struct codec *c, const void *data, size_t len)
{
    (void)code(c, len);
    if (c->rc == 0)
        c->rc = buf_add(c->out, data, len);
}

static const void *read_bytes(struct codec *c, size_t *ret_len)
{
    const unsigned char *p;

    *ret_len = (size_t)code(c, 0);
    rid_assert(*ret_len <= (size_t)(c->end - c->at));
    p = c->at;
    c->at += *ret_len;
    return p;
}

static __attribute__((noinline)) void write_configuration(struct codec *c,
                                                          const struct raft_configuration *from)
{
    struct raft_configuration other;
    struct buf bytes = BUF_INIT;
    int rc;

    if (c->how->renaming != NULL) {
        rename_configuration(c->how->renaming, from, &other);
        from = &other;
    }
    rc = raft_configuration_encode(from, &bytes);
    if (c->rc == 0)
        c->rc = rc;
    write_bytes(c, bytes.data, bytes.len);
    buf_done(&bytes);
}

/* ---- the log ---- */

static void write_payload(struct codec *c, const struct raft_entry *e)
{
    struct raft_configuration configuration;

    if (e->type != RAFT_ENTRY_CONFIG || c->how->renaming == NULL) {
        write_bytes(c, e->data, e->len);
        return;
    }
    rid_assert(raft_configuration_decode(e->data, e->len, &configuration) == 0);
    write_configuration(c, &configuration);
}

/* Which entries are cached is of consequence: an append ends where the cache begins. */
static void write_log(struct codec *c, const struct raft_log *l)
{
    size_t n_terms = 0;

    while (n_terms < l->n_terms && l->terms[n_terms].first < l->first_cached)
        n_terms++;
    (void)code(c, l->base.term);
    (void)code(c, l->base.index);
    (void)code(c, l->first_cached);
    (void)code(c, l->last_index);
    (void)code(c, n_terms);
    for (size_t i = 0; i < n_terms; i++) {
        (void)code(c, l->terms[i].term);
        (void)code(c, l->terms[i].first);
    }
    for (raft_index i = l->first_cached; i <= l->last_index; i++) {
        const struct raft_entry *e = raft_log_get(l, i);

        (void)code(c, e->id.term);
        (void)code(c, e->type);
        write_payload(c, e);
    }
}

static int read_log(struct codec *c, struct mem mem, struct raft_log *l)
{
    struct raft_entry_id base;
    raft_index first_cached;
    raft_index last_index;
    struct raft_term_range *terms = NULL;
    size_t n_terms;
    int rc = 0;

    base.term = code(c, 0);
    base.index = code(c, 0);
    first_cached = code(c, 0);
    last_index = code(c, 0);
    n_terms = (size_t)code(c, 0);
    if (n_terms > 0)
        terms = mem.resize(mem.ctx, NULL, n_terms * sizeof(*terms));
    if (n_terms > 0 && terms == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n_terms; i++) {
        terms[i].term = code(c, 0);
        terms[i].first = code(c, 0);
    }
    rc = raft_log_init(l, mem, base, terms, n_terms, first_cached - 1);
    if (terms != NULL)
        mem.resize(mem.ctx, terms, 0);
    for (raft_index i = first_cached; rc == 0 && i <= last_index; i++) {
        struct raft_entry e = {.id = {.index = i}};
        size_t len;

        e.id.term = code(c, 0);
        e.type = (enum raft_entry_type)code(c, 0);
        e.data = read_bytes(c, &len);
        e.len = (uint32_t)len;
        rc = raft_log_append(l, &e);
    }
    return rc;
}

/* ---- the members ---- */

static void write_configs(struct codec *c, const struct raft *r)
{
    (void)code(c, r->n_configs);
    for (size_t i = 0; i < r->n_configs; i++) {
        (void)code(c, r->configs[i].index);
        write_configuration(c, &r->configs[i].configuration);
    }
}

static __attribute__((noinline)) void read_configuration(struct codec *c,
                                                         struct raft_configuration *to)
{
    size_t len;
    const void *bytes = read_bytes(c, &len);

    rid_assert(raft_configuration_decode(bytes, len, to) == 0);
}

static int read_configs(struct codec *c, struct raft *r)
{
    const size_t n = (size_t)code(c, 0);
    struct raft_configuration configuration;

    r->configs = r->conf.mem.resize(r->conf.mem.ctx, NULL, (n + 1) * sizeof(*r->configs));
    if (r->configs == NULL)
        return -ENOMEM;
    r->configs_size = n + 1;
    for (size_t i = 0; i < n; i++) {
        const raft_index index = code(c, 0);

        read_configuration(c, &configuration);
        raft_config_push(r, index, &configuration); /* makes the progress of each */
    }
    return 0;
}

/* Only until it is answered, or for as long as an answer is waited for. */
static void visit_append_times(struct codec *c, const struct raft *r, struct progress *p)
{
    const uint64_t timeout_us = r->conf.election_timeout_us;

    if (!is_exact(c) && c->reading) {
        p->append_sent_us = c->how->now_us - timeout_us;
        p->append_heard_us = c->how->now_us - timeout_us;
    }
    if (!is_exact(c))
        return;
    NUMBER(c, p->resend_us);
    NUMBER(c, p->resent);
    if (p->state == PROGRESS_PROBE && p->probe_sent)
        age(c, &p->append_sent_us, p->needs_compacted ? r->conf.heartbeat_us : p->resend_us);
    if (p->state == PROGRESS_REPLICATE && p->n_inflight > 0)
        age(c, &p->append_heard_us, p->resend_us > timeout_us ? p->resend_us : timeout_us);
}

static void visit_led(struct codec *c, const struct raft *r, struct progress *p)
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
    visit_append_times(c, r, p);
    NUMBER(c, p->heartbeat_due);
    NUMBER(c, p->acked_round);
    heard(c, &p->last_heard_us, r->conf.election_timeout_us + 1); /* until then, included */
    NUMBER(c, p->note_flags);
    if (!is_exact(c))
        return;
    NUMBER(c, p->rtt_round);
    if (p->rtt_round != 0)
        age(c, &p->rtt_sent_us, UINT64_MAX);
}

/* A leader knows all of it; whoever leads next begins anew, raft_progress_reset(). */
static void visit_progress(struct codec *c, const struct raft *r, struct progress *p)
{
    NUMBER(c, p->link_up);
    if (r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_CANDIDATE)
        NUMBER(c, p->vote);
    if (r->role == RAFT_LEADER)
        visit_led(c, r, p);
    if (is_exact(c))
        NUMBER(c, p->srtt_us); /* it is not forgotten with the leadership */
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
    rename_configuration(names, raft_get_configuration(r), &after);
    for (unsigned slot = 0; slot < after.n; slot++)
        for (unsigned i = 0; i < r->n_progress; i++)
            if (new_id(c, r->progress[i].id) == after.servers[slot].id)
                visit_progress(c, r, &r->progress[i]);
}

/* ---- the rest ---- */

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

/* A number of a batch. What is durable needs none. */
static void batch(struct codec *c, const struct raft *r, uint64_t *number)
{
    uint64_t ahead = 0;

    if (!c->reading && *number > r->last_stored_batch)
        ahead = *number - r->last_stored_batch;
    ahead = code(c, ahead);
    if (c->reading)
        *number = ahead > 0 ? r->last_stored_batch + ahead : 0;
}

static void write_marks(struct codec *c, struct raft *r)
{
    const size_t n = mark_ring_n(&r->marks);

    (void)code(c, is_exact(c) ? r->last_stored_batch : 0);
    (void)code(c, n);
    for (size_t i = 0; i < n; i++) {
        struct batch_mark m = *mark_ring_at(&r->marks, i);

        NUMBER(c, m.last_index);
        age(c, &m.issued_us, UINT64_MAX);
        NUMBER(c, m.bytes);
        NUMBER(c, m.queued_bytes);
    }
}

static int read_marks(struct codec *c, struct raft *r)
{
    size_t n;
    int rc = 0;

    r->last_stored_batch = code(c, 0);
    n = (size_t)code(c, 0);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct batch_mark m = {.batch = r->last_stored_batch + i + 1};

        NUMBER(c, m.last_index);
        age(c, &m.issued_us, UINT64_MAX);
        NUMBER(c, m.bytes);
        NUMBER(c, m.queued_bytes);
        rc = mark_ring_push(&r->marks, m);
        r->disk.outstanding_bytes += m.bytes;
    }
    r->last_batch = r->last_stored_batch + n;
    return rc;
}

static void visit_disk(struct codec *c, struct raft *r)
{
    struct disk *d = &r->disk;
    /* Twice as often as this it is not doubled again. */
    unsigned most_late = 0;

    while (1u << most_late < RAFT_PATIENCE_MAX)
        most_late++;
    batch(c, r, &r->reset_batch);
    NUMBER(c, d->proposed_bytes);
    NUMBER(c, d->window_bytes);
    NUMBER(c, d->n_syncs);
    NUMBER(c, d->next_sync);
    for (unsigned i = 0; i < d->n_syncs; i++)
        NUMBER(c, d->syncs[i]);
    NUMBER(c, d->handed_over);
    /* Asked only while something is outstanding, and then the later one of this and when it was
     * handed over. */
    if (mark_ring_n(&r->marks) > 0) {
        uint64_t since_us = mark_ring_at(&r->marks, 0)->issued_us;

        if (d->moved_us > since_us)
            since_us = d->moved_us;
        age(c, &since_us, UINT64_MAX);
        if (c->reading)
            d->moved_us = since_us;
    }
    if (is_timeless(c))
        return;
    if (!c->reading && r->n_late_elections < most_late)
        most_late = r->n_late_elections;
    most_late = (unsigned)code(c, most_late);
    if (c->reading)
        r->n_late_elections = most_late;
}

static void visit_campaign(struct codec *c, struct raft *r)
{
    due(c, &r->election_due_us);
    if (is_exact(c)) {
        age(c, &r->silent_since_us, UINT64_MAX);
        NUMBER(c, r->election_spread_us);
    }
    if (r->leader_id != 0)
        heard(c, &r->leader_heard_us, r->conf.election_timeout_us);
    if (r->role == RAFT_FOLLOWER)
        return;
    NUMBER(c, r->self_vote);
    NUMBER(c, r->self_vote_pending);
    if (r->self_vote_pending)
        batch(c, r, &r->self_vote_batch);
    NUMBER(c, r->campaign_transfer);
}

static void visit_leading(struct codec *c, struct raft *r)
{
    if (c->reading)
        r->self_vote = true; /* nobody else leads */
    NUMBER(c, r->noop_index);
    due(c, &r->heartbeat_due_us);
    left(c, &r->hand_over_us);
    left(c, &r->step_down_us);
    NUMBER(c, r->uncommitted_bytes);
    name(c, &r->transfer_to);
    if (r->transfer_to != 0) {
        left(c, &r->transfer_deadline_us);
        NUMBER(c, r->transfer_sent);
    }
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

/* Asked for those that are not confirmed yet. */
static void visit_round_times(struct codec *c, const struct raft *r, struct rounds *s)
{
    uint64_t round = s->confirmed + 1;

    if (r->role != RAFT_LEADER)
        return;
    if (s->next - round > ROUND_TIMES)
        round = s->next - ROUND_TIMES;
    for (; round < s->next; round++) {
        struct round_time *t = &s->times[round % ROUND_TIMES];

        rid_assert(c->reading || t->round == round);
        t->round = round;
        age(c, &t->opened_us, UINT64_MAX);
    }
}

/* Numbers go on where they were, whoever leads; the times of rounds only measure. */
static void visit_rounds(struct codec *c, const struct raft *r, struct rounds *s)
{
    const bool leads = r->role == RAFT_LEADER;

    if (leads || is_exact(c))
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
        if (!is_timeless(c))
            age(c, &s->last_us, is_exact(c) ? UINT64_MAX : RAFT_ROUND_PATIENCE_US);
        else if (c->reading)
            s->last_us = c->how->now_us - RAFT_ROUND_PATIENCE_US;
    }
    if (!is_exact(c))
        return;
    NUMBER(c, s->srtt_us);
    visit_round_times(c, r, s);
}

static void visit_read(struct codec *c, struct read *read)
{
    NUMBER(c, read->ctx);
    NUMBER(c, read->min_index);
    NUMBER(c, read->read_index);
    NUMBER(c, read->round);
    NUMBER(c, read->arrival_round);
}

static int visit_read_ring(struct codec *c, struct read_ring *ring)
{
    size_t n = read_ring_n(ring);
    int rc = 0;

    NUMBER(c, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct read read = {0};

        if (!c->reading)
            read = *read_ring_at(ring, i);
        visit_read(c, &read);
        if (c->reading)
            rc = read_ring_push(ring, read);
    }
    return rc;
}

/* Behind the log, the configurations and the marks. */
static int visit_rest(struct codec *c, struct raft *r)
{
    int rc;

    NUMBER(c, r->role);
    NUMBER(c, r->hard_state.current_term);
    name(c, &r->hard_state.voted_for);
    NUMBER(c, r->hard_state.lease_max_us);
    name(c, &r->leader_id);
    name(c, &r->term_leader);
    if (is_exact(c))
        NUMBER(c, r->prng.state);
    visit_indexes(c, r);
    visit_disk(c, r);
    if (r->role == RAFT_LEADER)
        visit_leading(c, r);
    else
        visit_campaign(c, r);
    visit_note(c, r);
    visit_peers(c, r);
    visit_rounds(c, r, &r->rounds);
    NUMBER(c, r->reads.n_inflight);
    rc = visit_read_ring(c, &r->reads.list);
    return rc == 0 ? visit_read_ring(c, &r->reads.floors) : rc;
}

bool raft_is_at_rest(const struct raft *r)
{
    return r->msgs.n == 0 && r->msgs_after.n == 0 && r->loss == RAFT_LOSS_NONE &&
           !r->transfer_over && read_done_ring_n(&r->reads.done) == 0 &&
           read_failed_ring_n(&r->reads.failed) == 0 && !r->hard_state_dirty &&
           r->truncate_from == 0 && r->reset.index == 0 && r->last_handed == r->log.last_index;
}

int raft_image_write(const struct raft *r, const struct raft_image_how *how, struct buf *bytes)
{
    const size_t len = bytes->len;
    struct codec c = {.how = how, .out = bytes};
    raft_node_id id = r->conf.id;
    int rc;

    rid_assert(raft_is_at_rest(r));
    rid_assert(how->now_us >= r->now_us);
    name(&c, &id);
    write_log(&c, &r->log);
    write_configs(&c, r);
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): one description for both ways; this one looks */
    struct raft *looked_at = (struct raft *)(uintptr_t)r;
    write_marks(&c, looked_at);
    rc = visit_rest(&c, looked_at);
    if (c.rc == 0)
        c.rc = rc;
    if (c.rc != 0)
        bytes->len = len;
    return c.rc;
}

/* As raft_new() leaves it, without a log. */
static struct raft *blank(const struct raft_conf *conf, const struct raft_image_how *how)
{
    struct raft *r = conf->mem.resize(conf->mem.ctx, NULL, sizeof(*r));

    if (r == NULL)
        return NULL;
    memset(r, 0, sizeof(*r));
    r->conf = *conf;
    r->conf.trace = NULL; /* nothing happens */
    r->now_us = how->now_us;
    prng_init(&r->prng, conf->seed);
    arena_init(&r->arena, conf->mem);
    r->log.mem = conf->mem;
    raft_read_queue_init(&r->reads, conf->mem);
    mark_ring_init(&r->marks, conf->mem);
    r->rounds.next = 1;
    r->step_down_us = UINT64_MAX;
    return r;
}

int raft_image_read(const struct raft_conf *conf, const void *bytes, size_t len,
                    const struct raft_image_how *how, struct raft **ret_raft)
{
    struct codec c = {.reading = true, .how = how, .at = bytes};
    struct raft *r = blank(conf, how);
    raft_node_id id = 0;
    int rc;

    if (r == NULL)
        return -ENOMEM;
    c.end = c.at + len;
    name(&c, &id);
    rid_assert(id == conf->id);
    rc = read_log(&c, conf->mem, &r->log);
    if (rc == 0)
        rc = read_configs(&c, r);
    if (rc == 0)
        rc = read_marks(&c, r);
    if (rc == 0)
        rc = visit_rest(&c, r);
    if (rc != 0) {
        raft_free(r);
        return rc;
    }
    rid_assert(c.at == c.end);
    r->conf.trace = conf->trace;
    raft_seen_take(r);
    *ret_raft = r;
    return 0;
}
