/* One description of a core serves both ways: it names the parts of each struct in order, and the
 * codec writes them or reads them back. What is not named is one of these:
 *
 *   of the configuration          the same for every core of a search, and given when one is read
 *   empty at rest                 messages, loss, what is handed out: raft_is_at_rest()
 *   made again                    sums, progress of those in the configuration, what was seen last
 *   dead in this role             what a leader knows of others, when it does not lead; the timer
 *                                 of elections, when it does
 *   read by raft_get_status() alone, and so by no decision
 *
 * tests/unit/test-raft-fields.c holds the list, and fails when a field is in neither.
 *
 * Times are distances from what the clocks show. One that lies ahead is "passed" when it has
 * passed; an age stops growing where nobody asks for more. */
#include "raft/image.h"

#include <errno.h>

#include "raft/image_int.h"

/* ---- the log ---- */

static void write_payload(struct codec *c, const struct raft_entry *e)
{
    struct raft_configuration configuration;

    if (e->type != RAFT_ENTRY_CONFIG || c->how->renaming == NULL) {
        raft_image_write_bytes(c, e->data, e->len);
        return;
    }
    rid_assert(raft_configuration_decode(e->data, e->len, &configuration) == 0);
    raft_image_write_configuration(c, &configuration);
}

/* Which entries are cached is of consequence: an append ends where the cache begins. */
static void write_log(struct codec *c, const struct raft_log *l)
{
    size_t n_terms = 0;

    while (n_terms < l->n_terms && l->terms[n_terms].first < l->first_cached)
        n_terms++;
    (void)raft_image_code(c, l->base.term);
    (void)raft_image_code(c, l->base.index);
    (void)raft_image_code(c, l->first_cached);
    (void)raft_image_code(c, l->last_index);
    (void)raft_image_code(c, n_terms);
    for (size_t i = 0; i < n_terms; i++) {
        (void)raft_image_code(c, l->terms[i].term);
        (void)raft_image_code(c, l->terms[i].first);
    }
    for (raft_index i = l->first_cached; i <= l->last_index; i++) {
        const struct raft_entry *e = raft_log_get(l, i);

        (void)raft_image_code(c, e->id.term);
        (void)raft_image_code(c, e->type);
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

    base.term = raft_image_code(c, 0);
    base.index = raft_image_code(c, 0);
    first_cached = raft_image_code(c, 0);
    last_index = raft_image_code(c, 0);
    n_terms = (size_t)raft_image_code(c, 0);
    if (n_terms > 0)
        terms = mem.resize(mem.ctx, NULL, n_terms * sizeof(*terms));
    if (n_terms > 0 && terms == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n_terms; i++) {
        terms[i].term = raft_image_code(c, 0);
        terms[i].first = raft_image_code(c, 0);
    }
    rc = raft_log_init(l, mem, base, terms, n_terms, first_cached - 1);
    if (terms != NULL)
        mem.resize(mem.ctx, terms, 0);
    for (raft_index i = first_cached; rc == 0 && i <= last_index; i++) {
        struct raft_entry e = {.id = {.index = i}};
        size_t len;

        e.id.term = raft_image_code(c, 0);
        e.type = (enum raft_entry_type)raft_image_code(c, 0);
        e.data = raft_image_read_bytes(c, &len);
        e.len = (uint32_t)len;
        rc = raft_log_append(l, &e);
    }
    return rc;
}

/* ---- the members ---- */

static void write_configs(struct codec *c, const struct raft *r)
{
    (void)raft_image_code(c, r->n_configs);
    for (size_t i = 0; i < r->n_configs; i++) {
        (void)raft_image_code(c, r->configs[i].index);
        raft_image_write_configuration(c, &r->configs[i].configuration);
    }
}

static __attribute__((noinline)) void read_configuration(struct codec *c,
                                                         struct raft_configuration *to)
{
    size_t len;
    const void *bytes = raft_image_read_bytes(c, &len);

    rid_assert(raft_configuration_decode(bytes, len, to) == 0);
}

static int read_configs(struct codec *c, struct raft *r)
{
    const size_t n = (size_t)raft_image_code(c, 0);
    struct raft_configuration configuration;

    r->configs = r->conf.mem.resize(r->conf.mem.ctx, NULL, (n + 1) * sizeof(*r->configs));
    if (r->configs == NULL)
        return -ENOMEM;
    r->configs_size = n + 1;
    for (size_t i = 0; i < n; i++) {
        const raft_index index = raft_image_code(c, 0);

        read_configuration(c, &configuration);
        raft_config_push(r, index, &configuration); /* makes the progress of each */
    }
    return 0;
}

/* ---- batches ---- */

static void write_marks(struct codec *c, struct raft *r)
{
    const size_t n = mark_ring_n(&r->marks);

    (void)raft_image_code(c, raft_image_is_exact(c) ? r->last_stored_batch : 0);
    (void)raft_image_code(c, n);
    for (size_t i = 0; i < n; i++) {
        struct batch_mark m = *mark_ring_at(&r->marks, i);

        NUMBER(c, m.last_index);
        raft_image_age(c, &m.issued_us, c->how->now_us, UINT64_MAX);
        NUMBER(c, m.bytes);
        NUMBER(c, m.queued_bytes);
    }
}

static int read_marks(struct codec *c, struct raft *r)
{
    size_t n;
    int rc = 0;

    r->last_stored_batch = raft_image_code(c, 0);
    n = (size_t)raft_image_code(c, 0);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct batch_mark m = {.batch = r->last_stored_batch + i + 1};

        NUMBER(c, m.last_index);
        raft_image_age(c, &m.issued_us, c->how->now_us, UINT64_MAX);
        NUMBER(c, m.bytes);
        NUMBER(c, m.queued_bytes);
        rc = mark_ring_push(&r->marks, m);
        r->disk.outstanding_bytes += m.bytes;
    }
    r->last_batch = r->last_stored_batch + n;
    return rc;
}

bool raft_is_at_rest(const struct raft *r)
{
    return r->msgs.n == 0 && r->msgs_after.n == 0 && r->loss == RAFT_LOSS_NONE &&
           !r->transfer_over && read_done_ring_n(&r->reads.done) == 0 &&
           read_failed_ring_n(&r->reads.failed) == 0 && r->asks.done.ticket == 0 &&
           !r->hard_state_dirty && r->truncate_from == 0 && r->reset.index == 0 &&
           r->last_handed == r->log.last_index;
}

int raft_image_write(const struct raft *r, const struct raft_image_how *how, struct buf *bytes)
{
    const size_t len = bytes->len;
    struct codec c = {.how = how, .out = bytes};
    raft_node_id id = r->conf.id;
    int rc;

    rid_assert(raft_is_at_rest(r));
    rid_assert(how->now_us >= r->now_us);
    rid_assert(how->hold_us >= r->hold_us);
    raft_image_name(&c, &id);
    write_log(&c, &r->log);
    write_configs(&c, r);
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): one description for both ways; this one looks */
    struct raft *looked_at = (struct raft *)(uintptr_t)r;
    write_marks(&c, looked_at);
    rc = raft_image_visit(&c, looked_at);
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
    r->hold_us = how->hold_us;
    r->suspended_us = how->hold_us - how->now_us;
    r->n_holds = 1;
    prng_init(&r->prng, conf->seed);
    arena_init(&r->arena, conf->mem);
    r->log.mem = conf->mem;
    raft_read_queue_init(&r->reads, conf->mem);
    mark_ring_init(&r->marks, conf->mem);
    r->rounds.next = 1;
    r->asks.next = 1;
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
    raft_image_name(&c, &id);
    rid_assert(id == conf->id);
    rc = read_log(&c, conf->mem, &r->log);
    if (rc == 0)
        rc = read_configs(&c, r);
    if (rc == 0)
        rc = read_marks(&c, r);
    if (rc == 0)
        rc = raft_image_visit(&c, r);
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
