/* Terms by index, as ranges: a log has few terms and many entries. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "store/store_int.h"

#include "base/banned.h"

int term_list_push(struct term_list *t, raft_term term, raft_index index)
{
    struct raft_term_range *ranges;

    if (t->n > 0 && t->ranges[t->n - 1].term == term)
        return 0;
    ranges = array_reserve(mem_libc, t->ranges, &t->size, t->n, 1, sizeof(*ranges));
    if (ranges == NULL)
        return -ENOMEM;
    t->ranges = ranges;
    t->ranges[t->n++] = (struct raft_term_range){.term = term, .first = index};
    return 0;
}

void term_list_truncate(struct term_list *t, raft_index from)
{
    while (t->n > 0 && t->ranges[t->n - 1].first >= from)
        t->n--;
}

void term_list_drop_front(struct term_list *t, struct raft_entry_id base, raft_index last_index)
{
    size_t n = 0;

    if (base.index >= last_index)
        n = t->n;
    while (n + 1 < t->n && t->ranges[n + 1].first <= base.index + 1)
        n++;
    t->n -= n;
    if (t->n > 0)
        memmove(t->ranges, t->ranges + n, t->n * sizeof(*t->ranges));
    if (t->n > 0 && t->ranges[0].first <= base.index)
        t->ranges[0].first = base.index + 1;
    t->base = base;
}

raft_term term_list_at(const struct term_list *t, raft_index index)
{
    for (size_t i = t->n; i > 0; i--)
        if (t->ranges[i - 1].first <= index)
            return t->ranges[i - 1].term;
    return index == t->base.index ? t->base.term : 0;
}

int term_list_copy(struct term_list *t, const struct term_list *from)
{
    t->base = from->base;
    for (size_t i = 0; i < from->n; i++)
        if (term_list_push(t, from->ranges[i].term, from->ranges[i].first) != 0)
            return -ENOMEM;
    return 0;
}
