/* The log thread's half: what is queued becomes disk batches, one pwritev and one fdatasync each,
 * and nothing of a batch is written before the fdatasync of the one before it has returned 0. So a
 * record of batch k+1 on the disk proves that batch k was durable: recovery stands on that.
 *
 * Rotation, and what a crash at each step leaves:
 *   1 a batch with SEGMENT_END, synced      a last segment that ends; the next start opens a new
 *                                           one
 *   2 header and opening batch into .prep   a torn .prep, removed
 *   3 fdatasync of it                       a stamped .prep, removed; its header is evidence for
 *                                           the batch of step 1
 *   4 rename, sync of the folder            a last segment without data
 *   5 newest-N, sync of the folder          an older one that says less, or two
 *   6 the first batch of the new segment    a torn tail
 *
 * Where the next segment comes from is room.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/store_int.h"

#include "base/banned.h"

/* ---- files ---- */

static int write_all(struct vfs *vfs, struct vfs_file *f, const void *data, size_t len,
                     uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        struct iovec iov = {.iov_len = len - done};
        int64_t n;

        /* iov_base is not const although a write does not touch it. */
        memcpy(&iov.iov_base, &(const void *){(const char *)data + done}, sizeof(iov.iov_base));
        n = vfs->pwritev(vfs->ctx, f, &iov, 1, offset + done);
        if (n < 0)
            return err_trace((int)n);
        if (n == 0)
            return err_origin(err_say(-EIO, "cannot write a file of the log: nothing was written"));
        done += (size_t)n;
    }
    return 0;
}

int store_write_zeros(struct vfs *vfs, struct vfs_file *f, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[64u << 10];

    while (from < to) {
        size_t n = (size_t)store_min_u64(to - from, sizeof(zeros));
        int rc = write_all(vfs, f, zeros, n, from);

        if (rc != 0)
            return err_trace(rc);
        from += n;
    }
    return 0;
}

int store_make_file(struct vfs *vfs, const char *name, uint64_t size, uint64_t fill,
                    struct vfs_file **ret_file)
{
    struct vfs_file *f = NULL;
    int rc;

    rc = vfs->open(vfs->ctx, name, O_RDWR | O_CREAT | O_EXCL, &f);
    if (rc != 0)
        return err_trace(rc);
    rc = vfs->allocate(vfs->ctx, f, size);
    if (rc == 0)
        rc = store_write_zeros(vfs, f, 0, fill);
    if (rc != 0) {
        (void)vfs->close(vfs->ctx, f);
        (void)vfs->unlink(vfs->ctx, name);
        return err_trace(rc);
    }
    *ret_file = f;
    return 0;
}

/* ---- building a batch ---- */

static int put_record(struct writer *w, const struct record *rec)
{
    size_t at = w->out.len;
    struct record of_group = *rec;
    int rc;

    of_group.group = w->group;
    rc = record_encode(&w->out, w->salt, w->used + at, &of_group);

    if (rc != 0)
        return err_origin(rc);
    w->chain = crc32c(w->chain, w->out.data + at, w->out.len - at);
    w->n_records++;
    w->n_bytes += w->out.len - at;
    return 0;
}

static int put_hard_state(struct writer *w, const struct raft_hard_state *hs)
{
    unsigned char data[HARDSTATE_BYTES];

    /* No term falls and no vote changes (DISK-8): before it is written as after it is read. */
    rid_assert(hs->current_term >= w->hard_state.current_term);
    rid_assert(hs->current_term > w->hard_state.current_term || w->hard_state.voted_for == 0 ||
               hs->voted_for == w->hard_state.voted_for);
    put_u64(data, hs->voted_for);
    w->hard_state = *hs;
    return put_record(w, &(struct record){.type = RECORD_HARDSTATE,
                                          .batch = w->batch,
                                          .term = hs->current_term,
                                          .len = sizeof(data),
                                          .data = data});
}

static int put_entry(struct writer *w, const struct raft_entry *e)
{
    rid_assert(e->id.index == w->last_index + 1);
    rid_assert(e->id.term >= w->last_term);
    if (term_list_push(&w->terms, e->id.term, e->id.index) != 0)
        return err_origin(-ENOMEM);
    w->last_index = e->id.index;
    w->last_term = e->id.term;
    return put_record(w, &(struct record){.type = RECORD_ENTRY,
                                          .flags = (uint8_t)e->type,
                                          .batch = w->batch,
                                          .index = e->id.index,
                                          .term = e->id.term,
                                          .len = e->len,
                                          .data = e->data});
}

/* What one batch may have is halved when it took too long, and doubled while a batch of at least
 * half of it takes less than half of the time (DISK-31). */
static void fit_batches(struct store *s, uint64_t n_bytes, uint64_t took_us)
{
    struct writer *w = &s->w;

    if (s->conf.batch_us == 0 || n_bytes < w->bytes_max / 2)
        return;
    if (took_us > s->conf.batch_us)
        w->bytes_max = store_max_u64(w->bytes_max / 2, STORE_BATCH_BYTES_MIN);
    else if (took_us <= s->conf.batch_us / 2)
        w->bytes_max = store_min_u64(w->bytes_max * 2, STORE_BATCH_BYTES_MAX);
}

/* The BATCH_END, then the batch goes out: one write, one sync. On success the next batch is open.
 * One batch: the commit index goes with it as a hint (DISK-19), and the next is not begun before
 * the sync of this one has returned (DISK-14). */
static int write_batch(struct store *s)
{
    struct writer *w = &s->w;
    struct batch_end tail = {.n_records = w->n_records,
                             .n_bytes = w->n_bytes,
                             .chain = w->chain,
                             .synced_batch = w->synced_batch,
                             .commit_index = w->commit_index};
    unsigned char data[BATCH_END_BYTES];
    uint64_t begin;
    uint64_t now;
    uint64_t took;
    int rc;

    batch_end_encode(&tail, data);
    rc = record_encode(&w->out, w->salt, w->used + w->out.len,
                       &(struct record){.type = RECORD_BATCH_END,
                                        .group = w->group,
                                        .batch = w->batch,
                                        .index = w->last_index,
                                        .term = w->last_term,
                                        .len = sizeof(data),
                                        .data = data});
    if (rc != 0)
        return err_origin(rc);
    rid_assert(w->used + w->out.len <= w->size);
    begin = store_now_us(s);
    rc = write_all(s->conf.vfs, w->file, w->out.data, w->out.len, w->used);
    if (rc != 0)
        return err_trace(rc);
    rc = s->conf.vfs->fdatasync(s->conf.vfs->ctx, w->file);
    now = store_now_us(s);
    took = now - begin;
    if (rc != 0)
        return err_trace(rc);
    (void)pthread_mutex_lock(&s->lock);
    s->stats.n_fsyncs++;
    s->stats.last_fsync_us = took;
    s->stats.max_fsync_us = store_max_u64(s->stats.max_fsync_us, took);
    s->stats.bytes_written += w->out.len;
    s->stats.log_bytes += w->out.len;
    sync_times_add(&s->sync_times, now, took);
    (void)pthread_mutex_unlock(&s->lock);
    fit_batches(s, w->out.len, took);
    w->used += w->out.len;
    w->synced_batch = w->batch;
    w->batch++;
    w->n_records = 0;
    w->n_bytes = 0;
    w->marked = false;
    buf_reset(&w->out, STORE_KEEP_BYTES);
    return 0;
}

/* ---- segments ---- */

int store_add_segment(struct store *s, uint64_t seq, uint64_t salt)
{
    struct store_segment *segments = array_reserve(mem_libc, s->segments, &s->segments_size,
                                                   s->n_segments, 1, sizeof(*segments));

    if (segments == NULL)
        return err_origin(-ENOMEM);
    s->segments = segments;
    s->segments[s->n_segments++] = (struct store_segment){.seq = seq, .salt = salt};
    return 0;
}

static int stamp_segment(struct store *s, uint64_t seq, const struct segment_prev *prev,
                         const struct raft_entry *first)
{
    struct writer *w = &s->w;
    struct vfs *vfs = s->conf.vfs;
    struct segment_header h = {.node_id = s->conf.node_id,
                               .incarnation = s->conf.incarnation,
                               .seq = seq,
                               .salt = w->salt,
                               .first_index = prev->last_index + 1,
                               .first_batch = w->batch,
                               .size = w->size,
                               .prev_chain = prev->chain,
                               .prev_seq = prev->seq,
                               .prev_last_index = prev->last_index,
                               .prev_last_term = prev->last_term,
                               .prev_last_batch = prev->last_batch,
                               .prev_used = prev->used};
    cleanup_free unsigned char *page = malloc(SEGMENT_HEADER_BYTES);
    int rc;

    if (page == NULL)
        return err_origin(-ENOMEM);
    memcpy(h.cluster_id, s->conf.cluster_id, sizeof(h.cluster_id));
    segment_header_encode(&h, page);
    rc = write_all(vfs, w->file, page, SEGMENT_HEADER_BYTES, 0);
    if (rc == 0)
        rc = put_hard_state(w, &w->hard_state);
    if (rc == 0 && first != NULL)
        rc = put_entry(w, first);
    if (rc == 0)
        rc = write_batch(s); /* its sync covers the header and the zeros */
    return err_trace(rc);
}

/* DISK-40: a name that says which segment there is, durable before the first batch of that segment,
 * and so before anything that stands in it is acknowledged. Without it nothing tells a log whose
 * last segments were deleted from one that never had them. It comes after the segment's own name is
 * durable, or a crash between them would make a sound log look robbed. A full disk takes no new
 * name: then the older one goes on saying what it says. */
static int note_newest(struct store *s, uint64_t seq)
{
    struct writer *w = &s->w;
    struct vfs *vfs = s->conf.vfs;
    struct vfs_file *f = NULL;
    char name[STORE_NAME_BYTES];
    int rc;

    if (seq <= w->newest_seq)
        return 0;
    store_name_newest(name, seq);
    rc = vfs->open(vfs->ctx, name, O_RDWR | O_CREAT | O_EXCL, &f);
    if (err_is_full(rc))
        return 0;
    if (rc == 0)
        rc = vfs->close(vfs->ctx, f);
    if (rc == 0)
        rc = vfs->sync_dir(vfs->ctx);
    if (rc == 0 && w->newest_seq != 0) {
        store_name_newest(name, w->newest_seq);
        rc = vfs->unlink(vfs->ctx, name);
    }
    w->newest_seq = seq;
    return err_trace(rc);
}

/* Every segment begins with term and vote (DISK-15), and nobody relies on its name before the
 * folder is synced (DISK-16). */
int store_start_segment(struct store *s, struct vfs_file *f, const char *name_now, uint64_t seq,
                        uint64_t size, const struct segment_prev *prev,
                        const struct raft_entry *first)
{
    struct writer *w = &s->w;
    struct vfs *vfs = s->conf.vfs;
    char name[STORE_NAME_BYTES];
    int rc;

    rid_assert(size >= STORE_SEGMENT_OVERHEAD);
    rid_assert(w->n_records == 0);
    if (w->file != NULL) {
        rc = vfs->close(vfs->ctx, w->file);
        w->file = f;
        if (rc != 0)
            return err_trace(rc);
    }
    w->file = f;
    w->seq = seq;
    w->size = size;
    w->salt = prng_next(&w->salts);
    w->used = SEGMENT_HEADER_BYTES;
    w->chain = prev->chain;
    w->pace = (struct index_pace){.fresh = true};
    rc = stamp_segment(s, seq, prev, first);
    if (rc != 0)
        return err_trace(rc);
    store_name_segment(name, seq);
    rc = vfs->rename(vfs->ctx, name_now, name);
    if (rc == 0)
        rc = vfs->sync_dir(vfs->ctx);
    if (rc == 0)
        rc = note_newest(s, seq);
    if (rc != 0)
        return err_trace(rc);
    (void)pthread_mutex_lock(&s->lock);
    rc = store_add_segment(s, seq, w->salt);
    s->stats.n_segments = s->n_segments;
    s->stats.log_bytes += SEGMENT_HEADER_BYTES;
    s->stats.n_fsyncs++;
    (void)pthread_mutex_unlock(&s->lock);
    return err_trace(rc);
}

/* Closes the active segment and opens the next, which store_room_ensure() has made. */
static int rotate(struct store *s)
{
    struct writer *w = &s->w;
    struct vfs_file *f = NULL;
    struct segment_prev prev;
    char name[STORE_NAME_BYTES];
    uint64_t size = 0;
    int rc;

    rc = put_record(w, &(struct record){.type = RECORD_SEGMENT_END, .batch = w->batch});
    if (rc == 0)
        rc = write_batch(s);
    if (rc != 0)
        return err_trace(rc);
    store_room_take(s, &f, &size);
    prev = (struct segment_prev){.seq = w->seq,
                                 .last_index = w->last_index,
                                 .last_term = w->last_term,
                                 .last_batch = w->synced_batch,
                                 .used = w->used,
                                 .chain = w->chain};
    store_name_prepared(name, w->seq + 1);
    return err_trace(store_start_segment(s, f, name, w->seq + 1, size, &prev, NULL));
}

/* ---- from submissions to batches ---- */

/* A submission is written as steps: truncate, hard state, each entry. A disk batch is a run of
 * steps. */
struct cursor {
    struct submission *sub;
    unsigned step;
};

static unsigned n_steps(const struct submission *sub)
{
    return 2 + sub->n_entries;
}

static size_t step_bytes(const struct submission *sub, unsigned step)
{
    if (step == 0)
        return sub->truncate_from != 0 ? record_bytes(0) : 0;
    if (step == 1)
        return sub->has_hard_state ? record_bytes(HARDSTATE_BYTES) : 0;
    return record_bytes(sub->entries[step - 2].len);
}

static void cursor_next(struct cursor *c)
{
    c->step++;
    while (c->sub != NULL && c->step >= n_steps(c->sub)) {
        c->sub = c->sub->next;
        c->step = 0;
    }
}

/* How far does one batch reach from `from`, and how many bytes is it? */
static struct cursor plan(struct cursor from, uint64_t bytes_max, uint64_t *ret_bytes)
{
    uint64_t bytes = record_bytes(BATCH_END_BYTES);
    bool any = false;

    while (from.sub != NULL) {
        size_t n = step_bytes(from.sub, from.step);

        if (n > 0 && any && bytes + n > bytes_max)
            break;
        any = any || n > 0;
        bytes += n;
        cursor_next(&from);
    }
    *ret_bytes = any ? bytes : 0;
    return from;
}

static int push_op(struct writer *w, struct index_op op)
{
    struct index_op *ops = array_reserve(mem_libc, w->ops, &w->ops_size, w->n_ops, 1, sizeof(*ops));

    if (ops == NULL)
        return err_origin(-ENOMEM);
    w->ops = ops;
    w->ops[w->n_ops++] = op;
    return 0;
}

static int put_truncate(struct store *s, const struct submission *sub)
{
    struct writer *w = &s->w;
    int rc;

    rid_assert(sub->truncate_from <= w->last_index + 1);
    rc = push_op(w, (struct index_op){.truncate_from = sub->truncate_from});
    if (rc == 0)
        rc = put_record(w, &(struct record){.type = RECORD_TRUNCATE,
                                            .batch = w->batch,
                                            .index = sub->truncate_from});
    w->pace.fresh = true;
    w->last_index = sub->truncate_from - 1;
    term_list_truncate(&w->terms, sub->truncate_from);
    w->last_term = term_list_at(&w->terms, w->last_index);
    w->commit_index = store_min_u64(w->commit_index, w->last_index);
    return err_trace(rc);
}

static int put_step(struct store *s, const struct submission *sub, unsigned step)
{
    struct writer *w = &s->w;
    uint64_t offset = w->used + w->out.len;
    const struct raft_entry *e;

    if (step_bytes(sub, step) == 0)
        return 0;
    if (step == 0)
        return err_trace(put_truncate(s, sub));
    if (step == 1)
        return err_trace(put_hard_state(w, &sub->hard_state));
    e = &sub->entries[step - 2];
    if (index_pace_take(&w->pace, offset)) {
        struct index_point p = {e->id.index, s->n_segments - 1, (uint32_t)offset};
        int rc = push_op(w, (struct index_op){.point = p});

        if (rc != 0)
            return err_trace(rc);
    }
    return err_trace(put_entry(w, e));
}

/* What is durable becomes visible to readers. */
static int publish(struct store *s, unsigned n_entries)
{
    struct writer *w = &s->w;
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    rc = log_index_reserve(&s->index, w->n_ops);
    for (size_t i = 0; rc == 0 && i < w->n_ops; i++) {
        if (w->ops[i].truncate_from != 0) {
            log_index_truncate(&s->index, w->ops[i].truncate_from);
        } else {
            log_index_add(&s->index, w->ops[i].point);
        }
    }
    if (rc == 0)
        s->last_index = w->last_index;
    s->stats.n_entries += n_entries;
    (void)pthread_mutex_unlock(&s->lock);
    w->n_ops = 0;
    return rc != 0 ? err_origin(rc) : 0;
}

static int write_run(struct store *s, struct cursor from, struct cursor to, uint64_t bytes)
{
    struct writer *w = &s->w;
    unsigned n_entries = 0;
    int rc;

    if (!store_room_fits(w, bytes)) {
        rc = rotate(s);
        if (rc != 0)
            return err_trace(rc);
    }
    while (from.sub != to.sub || from.step != to.step) {
        rid_assert(from.sub != NULL); /* `to` lies ahead in the same queue */
        rc = put_step(s, from.sub, from.step);
        if (rc != 0)
            return err_trace(rc);
        n_entries += from.step >= 2;
        /* The hint covers entries of its own submission: it goes with the last of them. */
        if (from.step + 1 == n_steps(from.sub))
            w->commit_index = store_max_u64(w->commit_index, from.sub->commit_index);
        cursor_next(&from);
    }
    rc = write_batch(s);
    return rc != 0 ? err_trace(rc) : err_trace(publish(s, n_entries));
}

/* All that is queued by now: the batch that comes next may begin with the rest of what was taken
 * before. */
static void take_queue(struct store *s)
{
    struct writer *w = &s->w;

    (void)pthread_mutex_lock(&s->lock);
    if (s->queue != NULL) {
        *w->taken_end = take_ptr(s->queue);
        w->taken_end = s->queue_end;
        s->queue_end = &s->queue;
    }
    s->rest = w->taken != NULL;
    (void)pthread_mutex_unlock(&s->lock);
}

/* Those before `to` are wholly durable. */
static void drop_written(struct store *s, struct cursor to, uint64_t *ret_number)
{
    struct writer *w = &s->w;
    uint64_t bytes = 0;
    uint64_t n = 0;

    while (w->taken != to.sub) {
        struct submission *sub = w->taken;

        *ret_number = sub->number;
        w->taken = sub->next;
        bytes += sub->bytes;
        free(sub);
        n++;
    }
    w->step = to.step;
    if (w->taken == NULL)
        w->taken_end = &w->taken;
    (void)pthread_mutex_lock(&s->lock);
    s->stats.n_batches += n;
    s->stats.queued_bytes -= bytes;
    s->rest = w->taken != NULL;
    (void)pthread_mutex_unlock(&s->lock);
}

int store_write(struct store *s, uint64_t *ret_number)
{
    struct writer *w = &s->w;
    struct cursor from;
    struct cursor to;
    uint64_t bytes;

    if (w->failed != 0)
        return err_trace(w->failed);
    take_queue(s);
    from = (struct cursor){.sub = w->taken, .step = w->step};
    if (from.sub == NULL)
        return 0;
    to = plan(from, w->bytes_max, &bytes);
    /* Before anything of the batch is written: without a place for it nothing has happened, and it
     * stays first in line (SPACE-9). */
    if (bytes > 0 && !store_room_fits(w, bytes)) {
        bool is_there = false;

        w->failed = store_room_ensure(s, bytes, &is_there);
        if (w->failed == 0 && !is_there)
            return 0;
    }
    if (w->failed == 0 && bytes > 0)
        w->failed = write_run(s, from, to, bytes);
    if (w->failed != 0)
        return err_trace(w->failed);
    drop_written(s, to, ret_number);
    store_room_publish(s);
    return 0;
}

int store_work(struct store *s, uint64_t *ret_number)
{
    int rc;

    do
        rc = store_write(s, ret_number);
    while (rc == 0 && store_has_work(s));
    return err_trace(rc);
}

/* Without a sync of its own. It is the first record of the batch that comes next: lost with it, it
 * is missed by nobody (DISK-18). */
int store_idle(struct store *s)
{
    struct writer *w = &s->w;
    unsigned char data[SYNCMARK_BYTES];
    size_t n;

    if (w->failed != 0)
        return err_trace(w->failed);
    if (w->marked)
        return 0;
    put_u64(data, w->synced_batch);
    w->failed = put_record(
        w, &(struct record){
               .type = RECORD_SYNCMARK, .batch = w->batch, .len = sizeof(data), .data = data});
    if (w->failed == 0)
        w->failed = write_all(s->conf.vfs, w->file, w->out.data, w->out.len, w->used);
    if (w->failed != 0)
        return err_trace(w->failed);
    n = w->out.len;
    w->used += n;
    w->out.len = 0;
    w->marked = true;
    (void)pthread_mutex_lock(&s->lock);
    s->stats.bytes_written += n;
    s->stats.log_bytes += n;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}
