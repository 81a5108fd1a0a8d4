/* See store-model.h. */
#include "unit/store-model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "raft/configuration.h"

#include "base/banned.h"

static unsigned char config_bytes[1024];
static size_t config_len;

const void *model_config(size_t *ret_len)
{
    struct raft_configuration c;
    cleanup_buf struct buf b = BUF_INIT;

    if (config_len == 0) {
        raft_configuration_init(&c);
        rid_assert(raft_configuration_add(&c, raft_founder_id("n1"), "n1", RAFT_VOTER,
                                          "10.0.0.1:7401", "") == 0);
        rid_assert(raft_configuration_add(&c, raft_founder_id("n2"), "n2", RAFT_VOTER,
                                          "10.0.0.2:7401", "") == 0);
        rid_assert(raft_configuration_add(&c, raft_founder_id("n3"), "n3", RAFT_LEARNER,
                                          "10.0.0.3:7401", "") == 0);
        rid_assert(raft_configuration_encode(&c, &b) == 0);
        rid_assert(b.len <= sizeof(config_bytes));
        memcpy(config_bytes, b.data, b.len);
        config_len = b.len;
    }
    *ret_len = config_len;
    return config_bytes;
}

void model_conf(struct store_conf *conf, struct vfs *vfs, size_t first_bytes, size_t bytes)
{
    *conf = (struct store_conf){.vfs = vfs,
                                .node_id = raft_founder_id("n1"),
                                .incarnation = 77,
                                .salt_seed = 12345,
                                .segment_first_bytes = first_bytes,
                                .segment_bytes = bytes};
    memcpy(conf->cluster_id, MODEL_CLUSTER, sizeof(conf->cluster_id));
}

static void push(struct model *m, const struct model_entry *e)
{
    if (m->n == m->room) {
        m->room = m->room > 0 ? m->room * 2 : 64;
        m->entries = realloc(m->entries, m->room * sizeof(*m->entries));
        rid_assert(m->entries != NULL);
    }
    m->entries[m->n++] = *e;
}

void model_init(struct model *m)
{
    size_t len;

    *m = (struct model){.hard_state = {.current_term = 1}};
    (void)model_config(&len);
    push(m, &(struct model_entry){.term = 1, .type = RAFT_ENTRY_CONFIG, .len = (uint32_t)len});
}

void model_done(struct model *m)
{
    free(m->entries);
    *m = (struct model){0};
}

void model_copy(struct model *to, const struct model *from)
{
    to->n = 0;
    for (size_t i = 0; i < from->n; i++)
        push(to, &from->entries[i]);
    to->hard_state = from->hard_state;
    to->floor = from->floor;
}

/* A third of the payloads are all zero: a reader that takes zeros for the end must fail. */
static void fill(const struct model_entry *e, unsigned char *data)
{
    struct prng p;
    size_t len;

    if (e->type == RAFT_ENTRY_CONFIG) {
        memcpy(data, model_config(&len), e->len);
        return;
    }
    prng_init(&p, e->id);
    if (e->id % 3 == 0) {
        memset(data, 0, e->len);
        return;
    }
    for (uint32_t i = 0; i < e->len; i++)
        data[i] = (unsigned char)prng_next(&p);
}

void model_draw(const struct model *m, struct prng *p, uint64_t number, uint32_t len_max,
                struct model_batch *ret_batch)
{
    struct model_batch b = {.number = number};
    raft_index last = m->n;
    const raft_index floor = m->floor > 1 ? m->floor : 1;
    raft_term last_term;
    size_t config_bytes_len;

    (void)model_config(&config_bytes_len);
    if (prng_below(p, 5) == 0) {
        b.has_hard_state = true;
        b.hard_state = m->hard_state;
        if (prng_below(p, 2) == 0 || b.hard_state.voted_for != 0) {
            b.hard_state.current_term += 1 + prng_below(p, 3);
            b.hard_state.voted_for = 0;
        }
        if (prng_below(p, 2) == 0)
            b.hard_state.voted_for = 1 + prng_below(p, 5);
        if (prng_below(p, 6) == 0 && b.hard_state.lease_max_us < RAFT_LEASE_US_MAX)
            b.hard_state.lease_max_us +=
                1 + prng_below(p, RAFT_LEASE_US_MAX - b.hard_state.lease_max_us);
    }
    if (prng_below(p, 8) == 0 && last > floor) {
        b.truncate_from = last + 1 - prng_below(p, last - floor < 9 ? last - floor : 9);
        last = b.truncate_from - 1;
    }
    b.first_index = last + 1;
    b.n_entries = (unsigned)prng_below(p, prng_below(p, 4) == 0 ? 12 : 4);
    if (b.n_entries == 0 && !b.has_hard_state && b.truncate_from == 0)
        b.n_entries = 1;
    last_term = (b.has_hard_state ? &b.hard_state : &m->hard_state)->current_term;
    for (unsigned i = 0; i < b.n_entries; i++) {
        struct model_entry *e = &b.entries[i];

        e->term = last_term;
        e->id = prng_next(p);
        e->type = RAFT_ENTRY_COMMAND;
        e->len = (uint32_t)prng_below(p, prng_below(p, 8) == 0 ? len_max : len_max / 16 + 8);
        if (prng_below(p, 20) == 0) {
            e->type = RAFT_ENTRY_CONFIG;
            e->len = (uint32_t)config_bytes_len;
        } else if (prng_below(p, 10) == 0) {
            e->type = prng_below(p, 2) == 0 ? RAFT_ENTRY_NOOP : RAFT_ENTRY_READ;
            e->len = 0;
        }
    }
    last += b.n_entries;
    b.commit_index = last > 3 ? last - prng_below(p, 3) : 1;
    *ret_batch = b;
}

void model_apply(struct model *m, const struct model_batch *b)
{
    if (b->truncate_from != 0 && b->truncate_from <= m->n)
        m->n = b->truncate_from - 1;
    if (b->has_hard_state)
        m->hard_state = b->hard_state;
    for (unsigned i = 0; i < b->n_entries; i++)
        push(m, &b->entries[i]);
}

void model_reset(struct model *m, struct raft_entry_id base, raft_index config_index)
{
    size_t len;

    (void)model_config(&len);
    m->n = 0;
    while (m->n < base.index)
        push(m, &(struct model_entry){.term = base.term,
                                      .type = m->n + 1 == config_index ? RAFT_ENTRY_CONFIG
                                                                       : RAFT_ENTRY_COMMAND,
                                      .len = m->n + 1 == config_index ? (uint32_t)len : 0});
    m->floor = base.index;
}

int model_submit(struct store *s, const struct model_batch *b)
{
    struct raft_entry entries[12];
    unsigned char *data[12] = {0};
    struct store_batch sb = {.number = b->number,
                             .has_hard_state = b->has_hard_state,
                             .hard_state = b->hard_state,
                             .reset = b->reset,
                             .reset_config = b->reset_config,
                             .truncate_from = b->truncate_from,
                             .entries = entries,
                             .n_entries = b->n_entries,
                             .commit_index = b->commit_index};
    int r;

    for (unsigned i = 0; i < b->n_entries; i++) {
        const struct model_entry *e = &b->entries[i];

        data[i] = malloc(e->len > 0 ? e->len : 1);
        rid_assert(data[i] != NULL);
        fill(e, data[i]);
        entries[i] = (struct raft_entry){.id = {.term = e->term, .index = b->first_index + i},
                                         .type = e->type,
                                         .len = e->len,
                                         .data = e->len > 0 ? data[i] : NULL};
    }
    r = store_submit(s, &sb);
    for (unsigned i = 0; i < b->n_entries; i++)
        free(data[i]);
    return r;
}

bool model_equal_recovered(const struct model *m, const struct store_recovered *r)
{
    size_t n_terms = 0;
    size_t n_configs = 0;

    if (r->last_index != m->n || r->hard_state.current_term != m->hard_state.current_term ||
        r->hard_state.voted_for != m->hard_state.voted_for ||
        r->hard_state.lease_max_us != m->hard_state.lease_max_us || r->commit_index > r->last_index)
        return false;
    for (size_t i = 0; i < m->n; i++) {
        const struct model_entry *e = &m->entries[i];

        if (i == 0 || e->term != m->entries[i - 1].term) {
            if (n_terms == r->n_terms || r->terms[n_terms].term != e->term ||
                r->terms[n_terms].first != i + 1)
                return false;
            n_terms++;
        }
        if (e->type == RAFT_ENTRY_CONFIG) {
            if (n_configs == r->n_configs || r->configs[n_configs].index != i + 1 ||
                r->configs[n_configs].configuration.n != 3)
                return false;
            n_configs++;
        }
    }
    return n_terms == r->n_terms && n_configs == r->n_configs;
}

static bool same_entry(const struct model_entry *e, raft_index index, const struct raft_entry *got)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char *data = buf_reserve(&b, e->len);

    rid_assert(data != NULL);
    fill(e, data);
    return got->id.index == index && got->id.term == e->term && got->type == e->type &&
           got->len == e->len && (e->len == 0 || memcmp(got->data, data, e->len) == 0);
}

bool model_equal_read(const struct model *m, struct store *s, raft_index from, raft_index to,
                      struct prng *p, const char **ret_why)
{
    struct raft_entry entries[64];
    struct arena arena;
    bool equal = true;

    arena_init(&arena, mem_libc);
    while (equal && from <= to) {
        unsigned n_max = 1 + (unsigned)prng_below(p, 64);
        size_t bytes_max = (size_t)prng_below(p, 4096);
        size_t bytes = 0;
        unsigned n = 0;
        int r = store_read(s, from, to, bytes_max, &arena, entries, n_max, &n);

        if (r != 0 || n == 0 || n > n_max || n > to - from + 1) {
            *ret_why = r != 0 ? "store_read failed" : "store_read gave a wrong number of entries";
            equal = false;
            break;
        }
        for (unsigned i = 0; equal && i < n; i++) {
            bytes += entries[i].len;
            equal = same_entry(&m->entries[from + i - 1], from + i, &entries[i]);
            *ret_why = "an entry differs";
            if (i > 0 && bytes > bytes_max) {
                *ret_why = "more than bytes_max";
                equal = false;
            }
        }
        from += n;
        arena_reset(&arena);
    }
    arena_done(&arena);
    return equal;
}
