/* A durable image is an array of entries; a submitted batch is kept beside it until it is
 * completed. The tail is the image as it will be when all batches are done: what the node believes
 * its log to be. Comparing the two tells what a crash would lose, and what the node may not yet
 * speak of. */
#include "sim/disk.h"

#include "base/assert.h"

#include "base/banned.h"

struct sim_blob {
    unsigned refs;
    uint32_t len;
    unsigned char data[];
};

void *sim_realloc(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return p;
}

static struct sim_blob *blob_new(const void *data, size_t len)
{
    struct sim_blob *b;

    if (len == 0)
        return NULL;
    b = sim_realloc(NULL, sizeof(*b) + len);
    b->refs = 1;
    b->len = (uint32_t)len;
    memcpy(b->data, data, len);
    return b;
}

static struct sim_blob *blob_ref(struct sim_blob *b)
{
    if (b != NULL)
        b->refs++;
    return b;
}

static void blob_unref(struct sim_blob *b)
{
    if (b != NULL && --b->refs == 0)
        free(b);
}

size_t sim_entry_len(const struct sim_entry *e)
{
    return e->blob != NULL ? e->blob->len : 0;
}

const void *sim_entry_data(const struct sim_entry *e)
{
    return e->blob != NULL ? e->blob->data : NULL;
}

const struct sim_entry *sim_log_get(const struct sim_log *l, raft_index index)
{
    return index >= 1 && index <= l->n ? &l->entries[index - 1] : NULL;
}

raft_term sim_log_term(const struct sim_log *l, raft_index index)
{
    const struct sim_entry *e = sim_log_get(l, index);

    return e != NULL ? e->id.term : 0;
}

static uint64_t chain(uint64_t before, const struct sim_entry *e)
{
    uint64_t h = hash_mix64(before ^ e->id.term * 0x9e3779b97f4a7c15u);

    h = hash_mix64(h ^ e->id.index ^ (uint64_t)e->type << 56);
    return e->blob != NULL ? hash_mix64(h ^ hash_fnv64(e->blob->data, e->blob->len)) : h;
}

/* Takes over the reference to blob. */
static void log_push(struct sim_log *l, struct raft_entry_id id, enum raft_entry_type type,
                     struct sim_blob *blob)
{
    struct sim_entry *e;

    if (l->n == l->size) {
        l->size = l->size != 0 ? 2 * l->size : 32;
        l->entries = sim_realloc(l->entries, l->size * sizeof(*l->entries));
    }
    e = &l->entries[l->n++];
    *e = (struct sim_entry){.id = id, .type = type, .blob = blob};
    e->hash = chain(l->n > 1 ? l->entries[l->n - 2].hash : 0, e);
}

static void log_truncate(struct sim_log *l, raft_index from)
{
    while (l->n >= from)
        blob_unref(l->entries[--l->n].blob);
}

static void log_clear(struct sim_log *l)
{
    log_truncate(l, 1);
    free(l->entries);
    *l = (struct sim_log){0};
}

void sim_disk_init(struct sim_disk *d)
{
    *d = (struct sim_disk){.hard_state = {.current_term = 1},
                           .tail_hard_state = {.current_term = 1}};
}

static struct sim_batch *batch_pop(struct sim_disk *d)
{
    struct sim_batch *b = d->first;

    if (b == NULL)
        return NULL;
    d->first = b->next;
    if (d->first == NULL)
        d->last = NULL;
    d->n_batches--;
    return b;
}

static void log_copy(struct sim_log *to, const struct sim_log *from, raft_index n)
{
    rid_assert(n <= from->n);
    log_clear(to);
    for (raft_index i = 0; i < n; i++)
        log_push(to, from->entries[i].id, from->entries[i].type, blob_ref(from->entries[i].blob));
}

static void batch_free(struct sim_batch *b)
{
    log_clear(&b->front);
    log_clear(&b->added);
    free(b);
}

static void drop_batches(struct sim_disk *d)
{
    struct sim_batch *b;

    while ((b = batch_pop(d)) != NULL)
        batch_free(b);
}

void sim_disk_done(struct sim_disk *d)
{
    drop_batches(d);
    log_clear(&d->incoming);
    log_clear(&d->log);
    log_clear(&d->tail);
}

void sim_disk_put(struct sim_disk *d, raft_term term, enum raft_entry_type type, const void *data,
                  size_t len)
{
    struct raft_entry_id id = {.term = term, .index = d->log.n + 1};

    rid_assert(d->first == NULL);
    log_push(&d->log, id, type, blob_new(data, len));
    log_push(&d->tail, id, type, blob_ref(d->log.entries[d->log.n - 1].blob));
    if (d->hard_state.current_term < term)
        d->hard_state.current_term = d->tail_hard_state.current_term = term;
}

void sim_disk_compact(struct sim_disk *d, raft_index index)
{
    rid_assert(index <= d->commit_index);
    rid_assert(index <= d->log.n);
    if (index > d->base.index)
        d->base = (struct raft_entry_id){.term = sim_log_term(&d->log, index), .index = index};
}

void sim_disk_incoming_log(struct sim_disk *d, const struct sim_log *from, raft_index index)
{
    log_copy(&d->incoming, from, index);
}

void sim_disk_incoming(struct sim_disk *d, const struct sim_disk *from, raft_index index)
{
    sim_disk_incoming_log(d, &from->log, index);
}

/* The whole log goes, and nothing of it may be committed that the new one lacks. */
static void submit_reset(struct sim_disk *d, struct sim_batch *b, const struct raft_ready *ready)
{
    rid_assert(ready->reset.index == d->incoming.n);
    rid_assert(ready->reset.term == sim_log_term(&d->incoming, d->incoming.n));
    rid_assert(ready->reset_config->index <= ready->reset.index);
    rid_assert(ready->reset.index > d->commit_index);
    rid_assert(ready->hard_state_changed); /* written again */
    rid_assert(ready->truncate_from == 0);
    log_copy(&b->front, &d->incoming, d->incoming.n);
    log_copy(&d->tail, &d->incoming, d->incoming.n);
}

void sim_disk_submit(struct sim_disk *d, const struct raft_ready *ready)
{
    struct sim_batch *b;

    if (ready->batch == 0) {
        rid_assert(!ready->hard_state_changed);
        rid_assert(ready->n_entries == 0);
        rid_assert(ready->truncate_from == 0);
        rid_assert(ready->reset.index == 0);
        return;
    }
    rid_assert(ready->batch == d->submitted + 1);
    rid_assert(ready->hard_state.current_term >= d->tail_hard_state.current_term);
    /* One vote per term. */
    if (ready->hard_state.current_term == d->tail_hard_state.current_term &&
        d->tail_hard_state.voted_for != 0)
        rid_assert(ready->hard_state.voted_for == d->tail_hard_state.voted_for);
    b = sim_realloc(NULL, sizeof(*b));
    *b = (struct sim_batch){.number = ready->batch,
                            .hard_state = ready->hard_state,
                            .truncate_from = ready->truncate_from,
                            .commit_index = ready->commit_index};
    if (!ready->hard_state_changed) {
        rid_assert(ready->hard_state.current_term == d->tail_hard_state.current_term);
        rid_assert(ready->hard_state.voted_for == d->tail_hard_state.voted_for);
    }
    if (ready->reset.index != 0)
        submit_reset(d, b, ready);
    if (b->truncate_from != 0) {
        rid_assert(b->truncate_from <= d->tail.n);
        rid_assert(b->truncate_from > d->commit_index);
        log_truncate(&d->tail, b->truncate_from);
    }
    for (unsigned i = 0; i < ready->n_entries; i++) {
        const struct raft_entry *e = &ready->entries[i];

        rid_assert(e->id.index == d->tail.n + 1);
        rid_assert(e->id.term >= sim_log_term(&d->tail, d->tail.n));
        rid_assert(e->id.term <= ready->hard_state.current_term);
        log_push(&b->added, e->id, e->type, blob_new(e->data, e->len));
        log_push(&d->tail, e->id, e->type, blob_ref(b->added.entries[b->added.n - 1].blob));
    }
    rid_assert(b->commit_index <= d->tail.n);
    d->tail_hard_state = b->hard_state;
    d->submitted = b->number;
    d->n_batches++;
    if (d->last != NULL)
        d->last->next = b;
    else
        d->first = b;
    d->last = b;
}

uint64_t sim_disk_complete(struct sim_disk *d)
{
    struct sim_batch *b = batch_pop(d);
    uint64_t number;

    if (b == NULL)
        return 0;
    number = b->number;
    if (b->truncate_from != 0)
        log_truncate(&d->log, b->truncate_from);
    if (b->front.n > 0) {
        log_copy(&d->log, &b->front, b->front.n);
        d->base = d->log.entries[d->log.n - 1].id;
    }
    d->hard_state = b->hard_state;
    for (size_t i = 0; i < b->added.n; i++) {
        const struct sim_entry *e = &b->added.entries[i];

        rid_assert(e->id.index == d->log.n + 1);
        log_push(&d->log, e->id, e->type, blob_ref(e->blob));
    }
    rid_assert(b->commit_index >= d->commit_index);
    d->commit_index = b->commit_index;
    rid_assert(d->commit_index <= d->log.n);
    d->done = number;
    batch_free(b);
    return number;
}

void sim_disk_crash(struct sim_disk *d)
{
    drop_batches(d);
    log_truncate(&d->tail, 1);
    for (size_t i = 0; i < d->log.n; i++)
        log_push(&d->tail, d->log.entries[i].id, d->log.entries[i].type,
                 blob_ref(d->log.entries[i].blob));
    d->tail_hard_state = d->hard_state;
}

void sim_disk_start(struct sim_disk *d, raft_index last_applied, struct sim_start *ret_start)
{
    struct sim_start s = {0};
    size_t n_terms = 0, n_configs = 0;

    rid_assert(d->first == NULL);
    d->submitted = d->done = 0;
    for (size_t i = 0; i < d->log.n; i++) {
        const struct sim_entry *e = &d->log.entries[i];

        if (e->id.index > d->base.index &&
            (n_terms == 0 || s.terms[n_terms - 1].term != e->id.term)) {
            s.terms = sim_realloc(s.terms, (n_terms + 1) * sizeof(*s.terms));
            s.terms[n_terms++] = (struct raft_term_range){.term = e->id.term, .first = e->id.index};
        }
        if (e->type == RAFT_ENTRY_CONFIG) {
            s.configs = sim_realloc(s.configs, (n_configs + 1) * sizeof(*s.configs));
            s.configs[n_configs].index = e->id.index;
            rid_assert(raft_configuration_decode(sim_entry_data(e), sim_entry_len(e),
                                                 &s.configs[n_configs].configuration) == 0);
            n_configs++;
        }
    }
    s.start = (struct raft_start){.hard_state = d->hard_state,
                                  .base = d->base,
                                  .last_index = d->log.n,
                                  .commit_index = d->commit_index,
                                  .last_applied = last_applied,
                                  .terms = s.terms,
                                  .n_terms = n_terms,
                                  .configs = s.configs,
                                  .n_configs = n_configs};
    *ret_start = s;
}

void sim_start_done(struct sim_start *s)
{
    free(s->terms);
    free(s->configs);
    *s = (struct sim_start){0};
}

int sim_disk_read(void *ctx, raft_index from, raft_index to, size_t bytes_max, struct arena *arena,
                  struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n)
{
    const struct sim_disk *d = ctx;
    size_t bytes = 0;
    unsigned n = 0;

    rid_assert(from >= 1);
    rid_assert(from <= to);
    rid_assert(n_max > 0);
    if (from <= d->base.index)
        return RAFT_LOG_E_COMPACTED;
    for (raft_index i = from; i <= to && n < n_max; i++) {
        const struct sim_entry *e = sim_log_get(&d->log, i);
        const struct sim_entry *t = sim_log_get(&d->tail, i);
        size_t len;
        void *data = NULL;

        /* Only what is durable, and what no later batch removes. */
        rid_assert(e != NULL);
        rid_assert(t != NULL);
        rid_assert(e->hash == t->hash);
        len = sim_entry_len(e);
        if (n > 0 && bytes + len > bytes_max)
            break;
        if (len > 0) {
            data = arena_alloc(arena, len);
            rid_assert(data != NULL);
            memcpy(data, sim_entry_data(e), len);
        }
        ret_entries[n++] =
            (struct raft_entry){.id = e->id, .type = e->type, .len = (uint32_t)len, .data = data};
        bytes += len;
    }
    *ret_n = n;
    return 0;
}

struct raft_msg *sim_msg_copy(const struct raft_msg *m)
{
    size_t bytes = sizeof(*m) + m->n_entries * sizeof(*m->entries);
    struct raft_msg *copy;
    struct raft_entry *entries;
    unsigned char *p;

    for (unsigned i = 0; i < m->n_entries; i++)
        bytes += m->entries[i].len;
    copy = sim_realloc(NULL, bytes);
    *copy = *m;
    entries = (struct raft_entry *)(void *)(copy + 1);
    p = (unsigned char *)(entries + m->n_entries);
    for (unsigned i = 0; i < m->n_entries; i++) {
        entries[i] = m->entries[i];
        if (entries[i].len > 0) {
            memcpy(p, m->entries[i].data, entries[i].len);
            entries[i].data = p;
            p += entries[i].len;
        } else {
            entries[i].data = NULL;
        }
    }
    copy->entries = m->n_entries > 0 ? entries : NULL;
    return copy;
}
