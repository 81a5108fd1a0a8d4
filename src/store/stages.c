/* What is written to the log, stage by stage, and where a full disk can stop it.
 *
 * Nothing of a batch is written before the fdatasync of the one before it has returned 0. So a
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
 * A reset is steps 2 to 5 with another header; the older segments go afterwards (front.c):
 *   2, 3                                    a torn or stamped .prep: the log is the old one
 *   4                                       older segments that are void
 *
 * A disk may give a segment its blocks and have none for what is written there: one that writes
 * nothing in place (btrfs, ZFS), a pool that was promised to too many. Then the writer holds where
 * it stands, and goes on from there (SPACE-13). Any other failure is final. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/store_int.h"

#include "base/banned.h"

/* ---- batches ---- */

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

/* The BATCH_END: the batch is whole, and may go out. The commit index goes with it as a hint
 * (DISK-19). */
int store_seal_batch(struct writer *w)
{
    struct batch_end tail = {.n_records = w->n_records,
                             .n_bytes = w->n_bytes,
                             .chain = w->chain,
                             .synced_batch = w->synced_batch,
                             .commit_index = w->commit_index};
    unsigned char data[BATCH_END_BYTES];
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
    rid_assert(rc != 0 || w->used + w->out.len <= w->size);
    return rc != 0 ? err_origin(rc) : 0;
}

/* One write, one sync; on success the next batch is open, and it is not begun before (DISK-14). All
 * that was written since the last sync is written, every time that a full disk lets it be tried
 * again: after a sync that failed nothing is known of what was handed over before it, and a second
 * one may have nothing left to fail with (SPACE-13). */
static int flush_batch(struct store *s)
{
    struct writer *w = &s->w;
    const uint64_t begin = store_now_us(s);
    uint64_t now;
    uint64_t took;
    int rc;

    rc = store_write_all(s->conf.vfs, w->file, w->out.data, w->out.len, w->used);
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
    s->stats.n_writes++;
    if (w->stage != STAGE_STAMP) { /* of that one all is counted when it is there */
        s->stats.log_bytes += w->out.len;
        s->segments[s->n_segments - 1].used += w->out.len;
    }
    sync_times_add(&s->sync_times, now, took);
    histogram_add(&s->syncs, took, 1);
    if (s->conf.slow_us != 0 && took >= s->conf.slow_us)
        s->slow[s->n_slow++ % STORE_SLOW_MAX] = (struct store_slow){begin, now, w->out.len};
    s->busy_us += took;
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

int store_add_segment(struct store *s, const struct store_segment *segment)
{
    struct store_segment *segments = array_reserve(mem_libc, s->segments, &s->segments_size,
                                                   s->n_segments, 1, sizeof(*segments));

    if (segments == NULL)
        return err_origin(-ENOMEM);
    s->segments = segments;
    s->segments[s->n_segments++] = *segment;
    return 0;
}

/* Its sync covers the zeros, too, and the size. When that found no room the size may be as lost as
 * what was written, and a segment that is shorter than its header says is refused: so the last byte
 * is written with the rest (SPACE-13). What is between reads as zeros, written or not. */
static int stamp_segment(struct store *s)
{
    struct writer *w = &s->w;
    const struct segment_prev *prev = &w->prev;
    struct segment_header h = {.node_id = s->conf.node_id,
                               .incarnation = s->conf.incarnation,
                               .seq = w->seq,
                               .salt = w->salt,
                               .first_index = prev->last_index + 1,
                               .first_batch = w->batch,
                               .size = w->size,
                               .flags = (w->resets ? SEGMENT_FLAG_RESET : 0) |
                                        (w->terms.base.index > 0 ? SEGMENT_FLAG_BASE : 0),
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
    rc = store_write_all(s->conf.vfs, w->file, page, SEGMENT_HEADER_BYTES, 0);
    if (rc == 0 && w->held)
        rc = store_write_zeros(s->conf.vfs, w->file, w->size - 1, w->size);
    return rc != 0 ? err_trace(rc) : err_trace(flush_batch(s));
}

/* DISK-40: a name that says which segment there is, durable before the first batch of that segment,
 * and so before anything that stands in it is acknowledged. Without it nothing tells a log whose
 * last segments were deleted from one that never had them. It comes after the segment's own name is
 * durable, or a crash between them would make a sound log look robbed. A full disk takes no new
 * name: then the older one goes on saying what it says. */
static int note_newest(struct store *s)
{
    struct writer *w = &s->w;
    struct vfs *vfs = s->conf.vfs;
    struct vfs_file *f = NULL;
    char name[STORE_NAME_BYTES];
    int rc;

    if (w->seq <= w->newest_seq)
        return 0;
    store_name_newest(name, w->seq);
    rc = vfs->open(vfs->ctx, name, O_RDWR | O_CREAT | O_EXCL, &f);
    if (err_is_full(rc))
        return 0;
    if (rc == 0)
        rc = vfs->close(vfs->ctx, f);
    else if (rc == -EEXIST) /* made, and the sync below found no room */
        rc = 0;
    if (rc == 0)
        rc = vfs->sync_dir(vfs->ctx);
    if (rc == 0 && w->newest_seq != 0) {
        store_name_newest(name, w->newest_seq);
        rc = vfs->unlink(vfs->ctx, name);
        if (err_is_full(rc))
            rc = 0; /* it says less, and the next start removes it */
    }
    if (rc == 0)
        w->newest_seq = w->seq;
    return err_trace(rc);
}

/* Behind the lock: nothing that was before the last segment is of the log any more. */
static void publish_reset(struct store *s)
{
    store_void_segments(s, s->n_segments - 1);
    s->index.n = 0;
    s->base = s->w.terms.base;
    s->last_index = s->w.last_index;
    s->marked = s->w.mark.index;
    s->n_resets++;
}

static int add_active_segment(struct store *s)
{
    struct writer *w = &s->w;
    const struct store_segment segment = {
        .seq = w->seq,
        .salt = w->salt,
        .base = {.term = w->prev.last_term, .index = w->prev.last_index},
        .used = w->used,
        .may_begin = w->seq == 1 || w->n_configs > 0,
    };
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    rc = store_add_segment(s, &segment);
    if (rc == 0 && w->resets)
        publish_reset(s);
    s->stats.n_segments = s->n_segments - s->n_gone;
    s->stats.log_bytes += w->used;
    s->stats.n_fsyncs++;
    (void)pthread_mutex_unlock(&s->lock);
    if (rc == 0 && w->resets)
        store_end_reset(s);
    w->resets = false;
    return err_trace(rc);
}

/* f becomes the active segment, of which nothing is written yet. */
static int begin_segment(struct store *s, struct vfs_file *f, const char *name_now, uint64_t seq,
                         uint64_t size, const struct raft_hard_state *hs,
                         const struct raft_entry *first)
{
    struct writer *w = &s->w;
    struct vfs_file *before = w->file;
    int rc;

    rid_assert(size >= store_overhead(w));
    rid_assert(w->n_records == 0);
    w->file = f;
    if (before != NULL) {
        rc = s->conf.vfs->close(s->conf.vfs->ctx, before);
        if (rc != 0)
            return err_trace(rc);
    }
    (void)snprintf(w->name_now, sizeof(w->name_now), "%s", name_now);
    w->seq = seq;
    w->size = size;
    w->salt = prng_next(&w->salts);
    w->used = SEGMENT_HEADER_BYTES;
    w->chain = w->prev.chain;
    w->pace = (struct index_pace){.fresh = true};
    /* Every segment begins with term and vote (DISK-15). */
    rc = store_put_opening(w, hs, first);
    if (rc == 0)
        rc = store_seal_batch(w);
    w->stage = STAGE_STAMP;
    return err_trace(rc);
}

static int take_next_segment(struct store *s, const struct raft_hard_state *hs)
{
    struct vfs_file *f = NULL;
    char name[STORE_NAME_BYTES];
    uint64_t size = 0;

    store_room_take(s, &f, &size);
    store_name_prepared(name, s->w.prev.seq + 1);
    return err_trace(begin_segment(s, f, name, s->w.prev.seq + 1, size, hs, NULL));
}

/* The next segment, which store_room_ensure() has made. */
static int next_segment(struct store *s)
{
    struct writer *w = &s->w;

    if (w->file != NULL)
        w->prev = (struct segment_prev){.seq = w->seq,
                                        .last_index = w->last_index,
                                        .last_term = w->last_term,
                                        .last_batch = w->synced_batch,
                                        .used = w->used,
                                        .chain = w->chain};
    return err_trace(take_next_segment(s, &w->hard_state));
}

/* ---- stages: what a full disk can interrupt ---- */

/* Nobody relies on the name of a segment before the folder is synced (DISK-16). */
static int one_stage(struct store *s)
{
    struct writer *w = &s->w;
    struct vfs *vfs = s->conf.vfs;
    char name[STORE_NAME_BYTES];

    switch (w->stage) {
    case STAGE_NONE:
        return 0;
    case STAGE_END:
    case STAGE_BATCH:
        return err_trace(flush_batch(s));
    case STAGE_STAMP:
        return err_trace(stamp_segment(s));
    case STAGE_NAME:
        store_name_segment(name, w->seq);
        return err_trace(vfs->rename(vfs->ctx, w->name_now, name));
    case STAGE_FOLDER:
        return err_trace(vfs->sync_dir(vfs->ctx));
    case STAGE_NEWEST:
        return err_trace(note_newest(s));
    }
    return 0;
}

static int after_stage(struct store *s)
{
    struct writer *w = &s->w;

    switch (w->stage) {
    case STAGE_NONE:
        return 0;
    case STAGE_BATCH:
        w->stage = STAGE_NONE;
        return err_trace(store_end_batch(s));
    case STAGE_END:
        return err_trace(next_segment(s));
    case STAGE_STAMP:
        w->stage = STAGE_NAME;
        return 0;
    case STAGE_NAME:
        w->stage = STAGE_FOLDER;
        return 0;
    case STAGE_FOLDER:
        w->stage = STAGE_NEWEST;
        return 0;
    case STAGE_NEWEST:
        w->stage = STAGE_NONE;
        return err_trace(add_active_segment(s));
    }
    return 0;
}

/* SPACE-13: a disk that gave a segment its blocks, and has none for what is written there, is full
 * and has not failed. What is known is what was known before, and it is tried again. */
int store_go_on(struct store *s)
{
    struct writer *w = &s->w;
    int rc = 0;

    while (rc == 0 && w->stage != STAGE_NONE) {
        rc = one_stage(s);
        if (err_is_full(rc)) {
            w->held = true;
            store_room_held(s, true);
            return 0;
        }
        if (rc == 0)
            rc = after_stage(s);
    }
    if (rc == 0 && w->held) {
        w->held = false;
        store_room_held(s, false);
    }
    return err_trace(rc);
}

int store_start_segment(struct store *s, struct vfs_file *f, const char *name_now, uint64_t seq,
                        uint64_t size, const struct segment_prev *prev,
                        const struct raft_entry *first)
{
    int rc;

    s->w.prev = *prev;
    rc = begin_segment(s, f, name_now, seq, size, &s->w.hard_state, first);
    return rc != 0 ? err_trace(rc) : err_trace(store_go_on(s));
}

/* Closes the active segment, if there is one, and opens the next. */
int store_rotate(struct store *s)
{
    struct writer *w = &s->w;
    int rc;

    if (w->file == NULL) {
        rc = next_segment(s);
    } else {
        rc = store_put_record(w, &(struct record){.type = RECORD_SEGMENT_END, .batch = w->batch});
        if (rc == 0)
            rc = store_seal_batch(w);
        w->stage = STAGE_END;
    }
    return rc != 0 ? err_trace(rc) : err_trace(store_go_on(s));
}

/* The log begins anew behind the last entry of a snapshot (DISK-43). What is before this segment is
 * void from the moment on at which it has its name for good; until then it is a prepared file, and
 * the log is the old one. It says term and vote, which stay: those that come with the reset, so
 * that no crash leaves a snapshot of a term that the node has not heard of. The segment before is
 * not ended, and a mark that stands in its open batch goes with it. Numbers of batches go on. */
int store_reset(struct store *s, const struct submission *sub)
{
    struct writer *w = &s->w;
    const struct raft_hard_state *hs = sub->has_hard_state ? &sub->hard_state : &w->hard_state;
    int rc;

    rid_assert(hs->current_term >= sub->reset.term);
    w->prev = (struct segment_prev){.seq = w->file != NULL ? w->seq : w->prev.seq,
                                    .last_index = sub->reset.index,
                                    .last_term = sub->reset.term,
                                    .last_batch = w->synced_batch,
                                    .used = w->file != NULL ? w->used : w->prev.used};
    w->out.len = 0;
    w->n_records = 0;
    w->n_bytes = 0;
    w->marked = false;
    w->resets = true;
    rc = store_forget_log(w, sub);
    if (rc == 0)
        rc = take_next_segment(s, hs);
    return rc != 0 ? err_trace(rc) : err_trace(store_go_on(s));
}
