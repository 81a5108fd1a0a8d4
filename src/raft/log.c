/* A ring of recent entries beside a list of term runs. A log of a million entries in three terms
 * costs three runs. */
#include "raft/log_int.h"

#include <errno.h>

#include "base/array.h"
#include "base/assert.h"

static struct raft_entry *slot(const struct raft_log *l, raft_index index)
{
    rid_assert(index >= l->first_cached);
    return entry_ring_at(&l->cache, index - l->first_cached);
}

int raft_log_init(struct raft_log *l, struct mem mem, struct raft_entry_id base,
                  const struct raft_term_range *terms, size_t n_terms, raft_index last_index)
{
    rid_assert(base.index <= last_index);
    rid_assert((n_terms == 0) == (base.index == last_index));
    memset(l, 0, sizeof(*l));
    l->mem = mem;
    entry_ring_init(&l->cache, mem);
    l->base = base;
    l->last_index = last_index;
    l->first_cached = last_index + 1;
    if (n_terms > 0) {
        l->terms = mem.resize(mem.ctx, NULL, n_terms * sizeof(*terms));
        if (l->terms == NULL)
            return -ENOMEM;
        memcpy(l->terms, terms, n_terms * sizeof(*terms));
        l->n_terms = n_terms;
        l->terms_size = n_terms;
    }
    return 0;
}

static void drop_payload(struct raft_log *l, raft_index index)
{
    struct raft_entry *e = slot(l, index);

    rid_assert(e->id.index == index);
    rid_assert(l->cached_bytes >= raft_entry_bytes(e));
    l->cached_bytes -= raft_entry_bytes(e);
    if (e->len > 0)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the log owns what it shows as const */
        l->mem.resize(l->mem.ctx, (void *)(uintptr_t)e->data, 0);
    e->data = NULL;
    e->len = 0;
}

void raft_log_done(struct raft_log *l)
{
    for (raft_index i = l->first_cached; i <= l->last_index; i++)
        drop_payload(l, i);
    entry_ring_done(&l->cache);
    if (l->terms != NULL)
        l->mem.resize(l->mem.ctx, l->terms, 0);
    memset(l, 0, sizeof(*l));
}

static int grow_terms(struct raft_log *l)
{
    struct raft_term_range *terms =
        array_reserve(l->mem, l->terms, &l->terms_size, l->n_terms, 1, sizeof(*terms));

    if (terms == NULL)
        return -ENOMEM;
    l->terms = terms;
    return 0;
}

int raft_log_append(struct raft_log *l, const struct raft_entry *e)
{
    void *data = NULL;

    rid_assert(e->id.index == l->last_index + 1);
    rid_assert(e->id.term >= raft_log_term(l, l->last_index));
    if (entry_ring_reserve(&l->cache, 1) != 0 || grow_terms(l) != 0)
        return -ENOMEM;
    if (e->len > 0) {
        data = l->mem.resize(l->mem.ctx, NULL, e->len);
        if (data == NULL)
            return -ENOMEM;
        memcpy(data, e->data, e->len);
    }
    if (l->n_terms == 0 || l->terms[l->n_terms - 1].term != e->id.term)
        l->terms[l->n_terms++] = (struct raft_term_range){e->id.term, e->id.index};
    l->last_index = e->id.index;
    (void)entry_ring_push(&l->cache, (struct raft_entry){e->id, e->type, e->len, data}); /* room */
    l->cached_bytes += raft_entry_bytes(e);
    return 0;
}

void raft_log_truncate(struct raft_log *l, raft_index from)
{
    rid_assert(from > l->base.index); /* what a snapshot covers is committed */
    if (from > l->last_index)
        return;
    for (raft_index i = from > l->first_cached ? from : l->first_cached; i <= l->last_index; i++)
        drop_payload(l, i);
    l->last_index = from - 1;
    if (l->first_cached > from)
        l->first_cached = from;
    entry_ring_truncate(&l->cache, from - l->first_cached);
    while (l->n_terms > 0 && l->terms[l->n_terms - 1].first >= from)
        l->n_terms--;
    rid_assert((l->n_terms == 0) == (l->last_index == l->base.index));
}

/* The run that holds index, which is above the base and not behind the end. */
static size_t find_run(const struct raft_log *l, raft_index index)
{
    size_t low = 0;
    size_t high = l->n_terms;

    rid_assert(high > 0);
    rid_assert(index >= l->terms[0].first);
    /* Nearly every question is about the newest run. */
    if (l->terms[high - 1].first <= index)
        return high - 1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (l->terms[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    rid_assert(l->terms[low].first <= index);
    return low;
}

raft_term raft_log_term(const struct raft_log *l, raft_index index)
{
    if (index < l->base.index)
        return RAFT_TERM_COMPACTED;
    if (index == l->base.index)
        return l->base.term;
    if (index > l->last_index)
        return RAFT_TERM_NONE;
    return l->terms[find_run(l, index)].term;
}

struct raft_entry_id raft_log_last(const struct raft_log *l)
{
    return (struct raft_entry_id){raft_log_term(l, l->last_index), l->last_index};
}

const struct raft_entry *raft_log_get(const struct raft_log *l, raft_index index)
{
    const struct raft_entry *e;

    if (index < l->first_cached || index > l->last_index)
        return NULL;
    e = slot(l, index);
    rid_assert(e->id.index == index);
    return e;
}

raft_index raft_log_first_of_term(const struct raft_log *l, raft_index index)
{
    rid_assert(index > l->base.index);
    rid_assert(index <= l->last_index);
    return l->terms[find_run(l, index)].first;
}

raft_index raft_log_last_not_above(const struct raft_log *l, raft_term term)
{
    for (size_t i = l->n_terms; i > 0; i--)
        if (l->terms[i - 1].term <= term)
            return i == l->n_terms ? l->last_index : l->terms[i].first - 1;
    return l->base.term <= term ? l->base.index : 0;
}

void raft_log_forget(struct raft_log *l, raft_index index)
{
    rid_assert(l->first_cached > l->base.index);
    while (l->first_cached <= index && l->first_cached <= l->last_index) {
        drop_payload(l, l->first_cached);
        entry_ring_drop(&l->cache, 1);
        l->first_cached++;
    }
}

void raft_log_compact(struct raft_log *l, raft_index index)
{
    const struct raft_entry_id base = {raft_log_term(l, index), index};
    size_t n_gone = 0;

    rid_assert(index > l->base.index);
    rid_assert(index <= l->last_index);
    raft_log_forget(l, index);
    while (n_gone < l->n_terms &&
           (n_gone + 1 < l->n_terms ? l->terms[n_gone + 1].first - 1 : l->last_index) <= index)
        n_gone++;
    l->n_terms -= n_gone;
    if (l->n_terms > 0) {
        memmove(l->terms, l->terms + n_gone, l->n_terms * sizeof(*l->terms));
        if (l->terms[0].first <= index)
            l->terms[0].first = index + 1;
    }
    l->base = base;
    rid_assert((l->n_terms == 0) == (l->last_index == l->base.index));
}

void raft_log_reset(struct raft_log *l, struct raft_entry_id base)
{
    raft_log_forget(l, l->last_index);
    rid_assert(l->cached_bytes == 0);
    l->base = base;
    l->last_index = base.index;
    l->first_cached = base.index + 1;
    l->n_terms = 0;
}
