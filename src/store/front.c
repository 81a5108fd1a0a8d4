/* The front of the log (DISK-42). A mark says that a durable snapshot covers all up to an entry;
 * when it is durable itself, whole segments below it may go. What of the log is gone is decided in
 * memory, at once, under the lock; the files follow, oldest first, each one durably before the
 * next, so that what a crash leaves of them has no gap. A start that finds some of them reads
 * them, and begins the log with the first segment that can be the first.
 *
 * That is one which says mark and configuration by itself, as all do that this version has opened,
 * and whose entry before the first was not removed by a truncation later on: then its header names
 * an entry that is not of the log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/store_int.h"

#include "base/banned.h"

int store_mark(struct store *s, struct raft_entry_id id)
{
    struct submission *sub = calloc(1, sizeof(*sub));

    rid_assert(id.index != 0);
    rid_assert(id.term != 0);
    if (sub == NULL)
        return err_origin(-ENOMEM);
    sub->mark = id;
    sub->bytes = record_bytes(SNAPMARK_BYTES);
    (void)pthread_mutex_lock(&s->lock);
    rid_assert(id.index <= s->submitted_last_index);
    sub->number = s->submitted_number;
    s->submitted_mark = store_max_u64(s->submitted_mark, id.index);
    *s->queue_end = sub;
    s->queue_end = &sub->next;
    s->stats.queued_bytes += sub->bytes;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

raft_index store_marked(struct store *s)
{
    raft_index marked;

    (void)pthread_mutex_lock(&s->lock);
    marked = s->marked;
    (void)pthread_mutex_unlock(&s->lock);
    return marked;
}

struct raft_entry_id store_base(struct store *s)
{
    struct raft_entry_id base;

    (void)pthread_mutex_lock(&s->lock);
    base = s->base;
    (void)pthread_mutex_unlock(&s->lock);
    return base;
}

/* The last one is never closed, or there is none yet behind it: it stays. */
struct raft_entry_id store_front(struct store *s, raft_index limit, uint64_t keep_bytes)
{
    struct raft_entry_id front;
    uint64_t bytes;

    (void)pthread_mutex_lock(&s->lock);
    front = s->base;
    bytes = s->stats.log_bytes;
    for (uint32_t i = s->n_gone + 1; i < s->n_segments; i++) {
        const struct store_segment *segment = &s->segments[i];

        bytes -= segment[-1].used;
        if (bytes < keep_bytes)
            break;
        if (segment->may_begin && segment->base.index <= limit && segment->base.index > front.index)
            front = segment->base;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return front;
}

void store_void_segments(struct store *s, uint32_t n_gone)
{
    for (uint32_t i = s->n_gone; i < n_gone; i++)
        s->stats.log_bytes -= s->segments[i].used;
    s->n_gone = n_gone;
    s->stats.n_segments = s->n_segments - n_gone;
}

/* Only what a durable mark covers (DISK-42). A reset that became durable meanwhile has left nothing
 * of what was to go. */
void store_drop_front(struct store *s, struct raft_entry_id base)
{
    (void)pthread_mutex_lock(&s->lock);
    rid_assert(base.index <= s->marked);
    for (uint32_t i = s->n_gone + 1; base.index > s->base.index && i < s->n_segments; i++) {
        const struct store_segment *segment = &s->segments[i];

        if (!segment->may_begin || segment->base.index != base.index)
            continue;
        rid_assert(segment->base.term == base.term);
        store_void_segments(s, i);
        log_index_drop_front(&s->index, s->first_slot + i);
        s->base = base;
    }
    (void)pthread_mutex_unlock(&s->lock);
}

uint64_t store_bytes_behind(struct store *s, raft_index index)
{
    const struct index_point *p;
    raft_index next;
    uint64_t bytes;

    (void)pthread_mutex_lock(&s->lock);
    bytes = s->stats.log_bytes;
    p = index >= s->base.index && index < s->last_index
            ? log_index_find(&s->index, index + 1, &next)
            : NULL;
    if (index == s->last_index)
        bytes = 0;
    if (p != NULL) {
        bytes = store_slot(s, p->slot)->used - p->offset;
        for (uint32_t i = p->slot - s->first_slot + 1; i < s->n_segments; i++)
            bytes += s->segments[i].used;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return bytes;
}

/* ---- files ---- */

/* Nothing goes before what went before it is gone for good, and at a start not before the names
 * that it found are there for good (DISK-16). */
static int sync_folder(struct store *s)
{
    struct writer *w = &s->w;
    int rc = w->folder_unsynced ? s->conf.vfs->sync_dir(s->conf.vfs->ctx) : 0;

    if (rc == 0)
        w->folder_unsynced = false;
    return err_is_full(rc) ? 0 : err_trace(rc);
}

static void forget_first(struct store *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->n_segments--;
    s->n_gone--;
    s->first_slot++;
    memmove(s->segments, s->segments + 1, s->n_segments * sizeof(*s->segments));
    (void)pthread_mutex_unlock(&s->lock);
}

/* There are file systems that need room for taking a file away: then it stays for now
 * (SPACE-13). */
int store_remove_front(struct store *s, bool *ret_went)
{
    struct writer *w = &s->w;
    char name[STORE_NAME_BYTES];
    bool any;
    int rc = sync_folder(s);

    (void)pthread_mutex_lock(&s->lock);
    any = s->n_gone > 0;
    if (any)
        store_name_segment(name, s->segments[0].seq);
    (void)pthread_mutex_unlock(&s->lock);
    if (rc != 0 || !any || w->folder_unsynced)
        return err_trace(rc);
    rc = s->conf.vfs->unlink(s->conf.vfs->ctx, name);
    if (err_is_full(rc))
        return 0;
    if (rc != 0)
        return err_trace(rc);
    forget_first(s);
    *ret_went = true;
    w->folder_unsynced = true;
    return err_trace(sync_folder(s));
}
