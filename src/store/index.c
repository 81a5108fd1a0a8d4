/* The sparse index: one point per STORE_INDEX_BYTES of log, so that a million entries cost a few
 * kilobytes. What makes it right in a log where entries are overwritten by truncation: a truncation
 * drops all points at or behind it, and the first entry after it always becomes a point. So from
 * one point to the next the file holds living entries only. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "store/store_int.h"

#include "base/banned.h"

bool index_pace_take(struct index_pace *p, uint64_t offset)
{
    if (!p->fresh && offset - p->at < STORE_INDEX_BYTES)
        return false;
    p->fresh = false;
    p->at = offset;
    return true;
}

int log_index_reserve(struct log_index *ix, size_t n)
{
    struct index_point *points;

    if (n == 0)
        return 0;
    points = array_reserve(mem_libc, ix->points, &ix->size, ix->n, n, sizeof(*points));
    if (points == NULL)
        return -ENOMEM;
    ix->points = points;
    return 0;
}

void log_index_add(struct log_index *ix, struct index_point p)
{
    rid_assert(ix->n < ix->size);
    rid_assert(ix->n == 0 || ix->points[ix->n - 1].index < p.index);
    ix->points[ix->n++] = p;
}

void log_index_truncate(struct log_index *ix, raft_index from)
{
    while (ix->n > 0 && ix->points[ix->n - 1].index >= from)
        ix->n--;
}

void log_index_drop_front(struct log_index *ix, uint32_t first_slot)
{
    size_t n = 0;

    while (n < ix->n && ix->points[n].slot < first_slot)
        n++;
    ix->n -= n;
    if (n > 0 && ix->n > 0)
        memmove(ix->points, ix->points + n, ix->n * sizeof(*ix->points));
}

const struct index_point *log_index_find(const struct log_index *ix, raft_index index,
                                         raft_index *ret_next)
{
    size_t low = 0;
    size_t high = ix->n;

    /* The first point behind index. */
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (ix->points[mid].index <= index)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return NULL;
    *ret_next = low < ix->n ? ix->points[low].index : 0;
    return &ix->points[low - 1];
}

void log_index_done(struct log_index *ix)
{
    free(ix->points);
    *ix = (struct log_index){0};
}
