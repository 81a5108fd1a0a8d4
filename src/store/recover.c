/* Recovery: which bytes of the folder are the log (DISK-3)?
 *
 * What a crash can leave, and how it is read here ("stamping" writes header and opening batch into
 * a prepared file):
 *
 *   newest-N                   segment N is there, durably. Several after a crash: the highest
 *                              counts.
 *   .tmp                       store_create() did not finish: nothing yet. Removed.
 *   .prep, blank               prepared and never used. Removed.
 *   .prep, stamped or torn     the segment before it ended in a synced batch; nothing but the
 *                              opening batch can be in it, because it gets its name (rename, sync
 *                              of the folder) before the first real batch. Removed; a good header
 *                              is evidence for the batch it names.
 *   .wal before a RESET        void, whatever it looks like: removed, oldest first.
 *   .wal, front being removed  the log begins with the first one that can be the first.
 *   last .wal, no data batch   started and never used: the next start replaces it.
 *   last .wal, torn tail       batch g+1 was being written: cut (DISK-5), unless there is
 *                              evidence that it was synced (DISK-4).
 *   other .wal, bytes behind   torn tail or unused room of a segment that was last once. The header
 *   what the next one names    of the segment after it says where it ends; a later start cuts it to
 *                              that.
 *
 * Everything else is damage, and refused: a header that is not good, a missing or misnamed segment,
 * a size other than the header's in the last one, a defect before the end that the next header
 * names, a defect in an opening batch. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/progress.h"
#include "store/recover_int.h"

#include "base/banned.h"

static void tell(struct recovery *rv, uint64_t more)
{
    rv->told_bytes += more;
    progress_tell("reading the log", rv->told_bytes, rv->all_bytes);
}

/* In pieces, so that it is seen that a slow disk gives them. */
int recovery_load(struct recovery *rv, struct vfs *vfs, struct vfs_file *f, uint64_t max,
                  struct buf *b)
{
    b->len = 0;
    if (buf_reserve(b, (size_t)max) == NULL)
        return err_origin(-ENOMEM);
    while (b->len < max) {
        const uint64_t want = store_min_u64(max - b->len, STORE_LOAD_PIECE_BYTES);
        const int64_t got = vfs->pread(vfs->ctx, f, (char *)b->data + b->len, (size_t)want, b->len);

        if (got < 0)
            return err_trace((int)got);
        b->len += (size_t)got;
        if (rv != NULL)
            tell(rv, (uint64_t)got);
        if ((uint64_t)got < want)
            break;
    }
    return 0;
}

/* ---- leftovers ---- */

/* All of the file when it has a good header; *ret_header is 0 then. */
static int load_prepared(const struct recovery *rv, const char *name, struct buf *b,
                         struct segment_header *ret_h, int *ret_header)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    int64_t size;
    int rc;

    rc = vfs->open(vfs->ctx, name, O_RDONLY, &f);
    if (rc != 0)
        return err_trace(rc);
    *ret_header = SEGMENT_HEADER_E_BLANK;
    size = vfs->size(vfs->ctx, f);
    rc = size < 0 ? (int)size : recovery_load(NULL, vfs, f, SEGMENT_HEADER_BYTES, b);
    if (rc == 0 && b->len == SEGMENT_HEADER_BYTES)
        *ret_header = segment_header_decode(b->data, ret_h);
    if (rc == 0 && *ret_header == 0)
        rc = recovery_load(NULL, vfs, f, store_min_u64((uint64_t)size, STORE_FILE_BYTES_MAX), b);
    (void)vfs->close(vfs->ctx, f);
    return err_trace(rc);
}

/* A .prep: no record behind its opening batch, nothing that the log does not know. Without a good
 * header it is blank or was torn while it was filled or stamped. */
static int check_prepared(struct recovery *rv, const char *name, struct damage *d)
{
    struct segment_header h = {0};
    struct segment_image img;
    cleanup_buf struct buf b = BUF_INIT;
    char evidence[160];
    int header;
    int rc;

    rc = load_prepared(rv, name, &b, &h, &header);
    if (rc == 0 && header == SEGMENT_HEADER_E_VERSION)
        return recovery_refuse_newer(name, 0, segment_header_error_text(header));
    if (rc != 0 || header != 0)
        return err_trace(rc);
    rc = recovery_check_identity(rv, name, &h);
    if (rc != 0)
        return rc;
    img = (struct segment_image){b.data, b.len, h.salt, rv->conf.group};
    if (scan_later(&img, h.first_batch))
        return recovery_refuse_file(
            rv, name, "a prepared segment holds records",
            "a segment gets its name before its first records; was it renamed?");
    if (h.prev_last_batch <= rv->log.batch)
        return 0;
    if ((h.flags & SEGMENT_FLAG_RESET) != 0) /* its index is that of a snapshot */
        h.prev_last_index = rv->log.last_index;
    (void)snprintf(evidence, sizeof(evidence),
                   "'%s' was made when batch %" PRIu64 " with index %" PRIu64 " was durable", name,
                   h.prev_last_batch, h.prev_last_index);
    d->to = h.prev_last_index;
    d->evidence = evidence;
    rc = recovery_refuse(d);
    d->evidence = NULL; /* it stood on this stack */
    return rc;
}

static int check_leftovers(struct recovery *rv, struct damage *d)
{
    for (size_t i = 0; i < rv->n_leftovers; i++) {
        uint64_t seq;
        int rc;

        if (!store_name_parse(rv->leftovers[i], ".prep", &seq))
            continue;
        rc = check_prepared(rv, rv->leftovers[i], d);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- segments ---- */

/* The segment that was read last. */
static struct segment_image image_of(const struct recovery *rv, uint64_t salt)
{
    return (struct segment_image){rv->image.data, rv->image.len, salt, rv->conf.group};
}

/* DISK-10: after a failed or missing sync the cache may hold bytes that are not on the disk. What
 * is dirty is written, what is clean is dropped and read again; only bytes that come from the disk
 * are trusted. */
static int load_last(struct recovery *rv, const struct wal_file *file, bool *ret_cache_lied)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    uint32_t crc = 0;
    size_t len = 0;
    int rc;

    rc = vfs->open(vfs->ctx, file->name, rv->live ? O_RDWR : O_RDONLY, &f);
    if (rc != 0)
        return err_trace(rc);
    rc = recovery_load(rv, vfs, f, file->file_bytes, &rv->image);
    if (rc == 0 && rv->live) {
        crc = crc32c(0, rv->image.data, rv->image.len);
        len = rv->image.len;
        rc = vfs->fdatasync(vfs->ctx, f);
        if (rc == 0)
            rc = vfs->drop_cache(vfs->ctx, f);
        if (rc == 0)
            rc = recovery_load(rv, vfs, f, file->file_bytes, &rv->image);
        *ret_cache_lied =
            rc == 0 && (len != rv->image.len || crc != crc32c(0, rv->image.data, rv->image.len));
    }
    (void)vfs->close(vfs->ctx, f);
    return err_trace(rc);
}

static int load_closed(struct recovery *rv, const struct wal_file *file, uint64_t used)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    int rc;

    rc = vfs->open(vfs->ctx, file->name, O_RDONLY, &f);
    if (rc != 0)
        return err_trace(rc);
    rc = recovery_load(rv, vfs, f, used, &rv->image);
    (void)vfs->close(vfs->ctx, f);
    return err_trace(rc);
}

/* A segment with one after it: must end exactly where and how the next header says. */
static int scan_closed(struct recovery *rv, uint32_t slot)
{
    struct log_state *log = &rv->log;
    struct wal_file *file = &rv->files[slot];
    const struct segment_header *next = &rv->files[slot + 1].header;
    struct segment_image img;
    uint64_t offset = SEGMENT_HEADER_BYTES;
    char evidence[160];
    struct damage d = {.file = file->name, .evidence = evidence};
    int rc;

    (void)snprintf(evidence, sizeof(evidence),
                   "'%s' was opened when batch %" PRIu64 " with index %" PRIu64 " was durable",
                   rv->files[slot + 1].name, next->prev_last_batch, next->prev_last_index);
    if (file->file_bytes < next->prev_used || next->prev_used < SEGMENT_HEADER_BYTES) {
        d.offset = file->file_bytes;
        d.batch = log->batch + 1;
        d.from = log->last_index + 1;
        d.to = next->prev_last_index;
        d.what = "the file ends before its last batch";
        return recovery_refuse(&d);
    }
    rc = load_closed(rv, file, next->prev_used);
    if (rc != 0)
        return err_trace(rc);
    img = image_of(rv, file->header.salt);
    log->pace.fresh = true;
    log->chain = file->header.prev_chain;
    for (uint64_t batch = file->header.first_batch; offset < next->prev_used; batch++) {
        struct scan_defect defect;
        struct scan_batch b;
        bool closed = false;

        rc = scan_batch(&img, offset, batch, log->chain, &b, &defect);
        if (rc != 0 && defect.newer)
            return recovery_refuse_newer(file->name, defect.offset, defect.what);
        if (rc != 0) {
            struct scan_rest rest;

            scan_rest(&img, offset, batch, &rest);
            d.offset = defect.offset;
            d.batch = batch;
            d.from = log->last_index + 1;
            d.to = rest.last_index > 0 ? rest.last_index : next->prev_last_index;
            d.what = defect.what;
            return recovery_refuse(&d);
        }
        rc = replay_batch(rv, slot, &img, &b, &closed);
        if (rc != 0)
            return rc;
        tell(rv, b.end - offset);
        offset = b.end;
    }
    file->used = offset;
    rv->bytes_scanned += offset;
    if (log->batch != next->prev_last_batch || log->chain != next->prev_chain ||
        log->last_index != next->prev_last_index || log->last_term != next->prev_last_term ||
        next->first_batch <= log->batch || next->first_index != log->last_index + 1) {
        d.offset = offset;
        d.batch = log->batch;
        d.from = log->last_index;
        d.to = next->prev_last_index;
        d.what = "the segment ends otherwise than the next one says";
        return recovery_refuse(&d);
    }
    return 0;
}

static bool same_hard_state(const struct raft_hard_state *a, const struct raft_hard_state *b)
{
    return a->current_term == b->current_term && a->voted_for == b->voted_for &&
           a->lease_max_us == b->lease_max_us;
}

static int refuse_applied(struct damage *d, const char *how, raft_index index)
{
    char evidence[160];
    int rc;

    (void)snprintf(evidence, sizeof(evidence),
                   "the state machine %s index %" PRIu64
                   ", and nothing is applied before it is durable here",
                   how, index);
    d->to = store_max_u64(d->to, index);
    d->evidence = evidence;
    rc = recovery_refuse(d);
    d->evidence = NULL;
    return rc;
}

/* Behind the last good batch: damage (DISK-4), a torn tail (DISK-5), or an end that is searched
 * first (DISK-6). */
static int judge_tail(struct recovery *rv, struct wal_file *file, const struct segment_image *img,
                      uint64_t offset, const struct scan_defect *defect, bool cache_lied)
{
    struct log_state *log = &rv->log;
    struct scan_rest rest;
    struct damage d = {.file = file->name,
                       .offset = defect->offset,
                       .batch = log->batch + 1,
                       .from = log->last_index + 1,
                       .what = defect->what};
    int rc;

    scan_rest(img, offset, log->batch + 1, &rest);
    rv->bytes_scanned += img->len;
    d.to = rest.last_index;
    if (rest.evidence) {
        d.evidence = rest.evidence_text;
        return recovery_refuse(&d);
    }
    rc = check_leftovers(rv, &d);
    if (rc != 0)
        return rc;
    if (rv->conf.applied_index > log->last_index)
        return refuse_applied(&d, "holds", rv->conf.applied_index);
    if (rv->conf.shown_index > log->last_index)
        return refuse_applied(&d, "was not to be trusted, but had applied", rv->conf.shown_index);
    /* Nothing proves that it was synced. Were that wrong, a person can learn of it (DISK-12). */
    if (rest.n_bytes > 0 && !rest.only_sync_mark) {
        rv->torn_tail = true;
        rv->torn_bytes = rest.n_bytes;
        (void)snprintf(rv->torn_text, sizeof(rv->torn_text),
                       "'%s' is cut at offset %" PRIu64 " behind batch %" PRIu64 " (index %" PRIu64
                       "): %s at %" PRIu64 "; %" PRIu64 " bytes of an unfinished batch dropped",
                       file->name, offset, log->batch, log->last_index, defect->what,
                       defect->offset, rest.n_bytes);
    } else if (cache_lied) {
        rv->torn_tail = true;
        (void)snprintf(rv->torn_text, sizeof(rv->torn_text),
                       "'%s' ends at offset %" PRIu64 " behind batch %" PRIu64 " (index %" PRIu64
                       "): the page cache held bytes that never reached the disk",
                       file->name, offset, log->batch, log->last_index);
    }
    return 0;
}

static int scan_last(struct recovery *rv, uint32_t slot)
{
    struct log_state *log = &rv->log;
    struct wal_file *file = &rv->files[slot];
    raft_index last_before = log->last_index;
    struct segment_image img;
    struct scan_defect defect;
    struct scan_batch b;
    uint64_t offset = SEGMENT_HEADER_BYTES;
    uint64_t batch = file->header.first_batch;
    bool cache_lied = false;
    bool closed = false;
    uint64_t changes = log->n_changes;
    char what[128];
    int rc;

    if (file->file_bytes != file->header.size) {
        (void)snprintf(what, sizeof(what),
                       "the file is %" PRIu64 " bytes long, its header says %" PRIu64,
                       file->file_bytes, file->header.size);
        return recovery_refuse_file(rv, file->name, what,
                                    "a segment has its full size before it gets its name");
    }
    rc = load_last(rv, file, &cache_lied);
    if (rc != 0)
        return err_trace(rc);
    img = image_of(rv, file->header.salt);
    rv->hard_state_before_last = log->hard_state;
    rv->mark_before_last = log->mark.index;
    log->pace.fresh = true;
    log->chain = file->header.prev_chain;
    while (scan_batch(&img, offset, batch, log->chain, &b, &defect) == 0) {
        rc = replay_batch(rv, slot, &img, &b, &closed);
        if (rc != 0)
            return rc;
        tell(rv, b.end - offset);
        offset = b.end;
        batch++;
        if (closed) {
            defect = (struct scan_defect){offset, "bytes behind the end of a segment", false};
            break;
        }
    }
    file->used = offset;
    if (defect.newer)
        return recovery_refuse_newer(file->name, defect.offset, defect.what);
    if (offset == SEGMENT_HEADER_BYTES) {
        struct damage d = {.file = file->name,
                           .offset = defect.offset,
                           .batch = batch,
                           .from = last_before + 1,
                           .what = defect.what,
                           .evidence =
                               "the first batch of a segment is durable before it gets its name"};

        return recovery_refuse(&d);
    }
    rv->last_is_unused = slot > rv->first && log->n_changes == changes &&
                         log->mark.index == rv->mark_before_last &&
                         same_hard_state(&log->hard_state, &rv->hard_state_before_last);
    return judge_tail(rv, file, &img, offset, &defect, cache_lied);
}

/* Why can the log not begin with any of the segments that are left? */
static int refuse_front(const struct recovery *rv)
{
    const struct wal_file *file = &rv->files[rv->first];
    const struct wal_file *cut_in = &rv->files[file->cut_by.slot];
    char what[128];

    if (file->cut_by.offset != 0)
        return recovery_refuse(
            &(struct damage){.file = cut_in->name,
                             .offset = file->cut_by.offset,
                             .batch = file->cut_by.batch,
                             .from = file->header.prev_last_index,
                             .to = file->header.prev_last_index,
                             .what = "a truncation of what is before the first entry",
                             .evidence = "all its checksums are good"});
    if (file->header.prev_last_index <= rv->log.mark.index)
        return recovery_refuse_file(rv, file->name,
                                    "the configuration in force where the log begins is missing",
                                    "each segment that may be the first begins with it");
    (void)snprintf(what, sizeof(what), "%s: the log begins at index %" PRIu64,
                   rv->log.mark.index == 0 ? "segment 1 is missing" : "a segment is missing",
                   file->header.first_index);
    return recovery_refuse_file(rv, file->name, what,
                                "no mark says that a snapshot covers what was before it");
}

/* The log begins behind a segment that says so by itself, and what was before it a durable snapshot
 * must have: a mark says so (DISK-23, DISK-42). If the first one that is left is not of that kind
 * the removal of the front was interrupted, and goes on where it was to end or before that. */
static int settle_front(struct recovery *rv)
{
    struct log_state *log = &rv->log;
    size_t first = rv->first;
    struct raft_entry_id base;

    while (first < rv->n_files && !wal_file_may_begin(&rv->files[first]))
        first++;
    if (first == rv->n_files || rv->files[first].header.prev_last_index > log->mark.index)
        return refuse_front(rv);
    base = (struct raft_entry_id){.term = rv->files[first].header.prev_last_term,
                                  .index = rv->files[first].header.prev_last_index};
    if (first > rv->first) {
        log_index_drop_front(&log->index, (uint32_t)first);
        term_list_drop_front(&log->terms, base, log->last_index);
    }
    while (log->n_configs > 1 && log->configs[1].at.index <= base.index) {
        log->n_configs--;
        memmove(log->configs, log->configs + 1, log->n_configs * sizeof(*log->configs));
    }
    log->commit_index = store_max_u64(log->commit_index, base.index);
    rv->first = first;
    rv->last_is_unused = rv->last_is_unused && first + 1 < rv->n_files;
    return 0;
}

/* A whole log begins with the CONFIG entry that store_create() wrote: no truncation reaches it,
 * because it counts as committed. */
static int check_beginning(const struct recovery *rv)
{
    const struct log_state *log = &rv->log;
    const struct raft_entry_id base = log->terms.base;
    struct damage d = {.file = rv->files[rv->first].name,
                       .offset = SEGMENT_HEADER_BYTES,
                       .batch = rv->files[rv->first].header.first_batch,
                       .from = base.index + 1,
                       .to = base.index + 1,
                       .evidence = "all its checksums are good"};

    if (base.index == 0 && (log->n_configs == 0 || log->configs[0].at.index != 1))
        d.what = "the first entry does not hold a configuration";
    else if (log->hard_state.current_term < base.term)
        d.what = "the log begins behind an entry of a term that the node has not heard of";
    else
        return 0;
    return recovery_refuse(&d);
}

/* `name` is only made when segment `seq` is on the disk under its name. */
static int check_there(const struct recovery *rv, const char *name, uint64_t seq)
{
    const uint64_t last = rv->files[rv->n_files - 1].header.seq;
    char what[64];

    if (seq <= last)
        return 0;
    (void)snprintf(what, sizeof(what), "segment %" PRIu64 " is missing", last + 1);
    return recovery_refuse_file(rv, name, what, "this is only made when that one is on the disk");
}

/* DISK-40: were the last segments deleted? What is left of a log may be whole, and less. */
static int check_newest(const struct recovery *rv)
{
    char newest[STORE_NAME_BYTES];
    uint64_t seq;
    int rc;

    store_name_newest(newest, rv->newest_seq);
    rc = check_there(rv, newest, rv->newest_seq);
    for (size_t i = 0; rc == 0 && i < rv->n_leftovers; i++)
        if (store_name_parse(rv->leftovers[i], ".prep", &seq))
            rc = check_there(rv, rv->leftovers[i], seq - 1); /* made beside the one before it */
    return rc;
}

/* What it hands on is what was last durable: term, vote and every acknowledged entry (DISK-20). */
int recovery_run(struct recovery *rv, const struct store_conf *conf, bool live)
{
    uint64_t seq;
    int rc;

    *rv = (struct recovery){.conf = *conf, .live = live};
    rc = conf->vfs->list(conf->vfs->ctx, recovery_note_name, rv);
    if (rc != 0)
        return rc;
    if (rv->n_files == 0) {
        for (size_t i = 0; i < rv->n_leftovers; i++)
            if (store_name_parse(rv->leftovers[i], ".prep", &seq))
                return recovery_refuse_file(rv, rv->leftovers[i], "there is no segment",
                                            "this file is only made beside one");
        if (rv->n_torn_copies > 0)
            return recovery_refuse_file(rv, "torn-*", "there is no segment",
                                        "this file is only made beside one");
        return err_say(STORE_E_NO_LOG, "there is no log");
    }
    rc = recovery_check_sequence(rv);
    if (rc == 0)
        rc = check_newest(rv);
    if (rc != 0)
        return rc;
    for (size_t slot = rv->first; slot < rv->n_files; slot++)
        rv->all_bytes += 2 * rv->files[slot].file_bytes;
    for (uint32_t slot = (uint32_t)rv->first; slot + 1 < rv->n_files; slot++) {
        rc = scan_closed(rv, slot);
        if (rc != 0)
            return rc;
    }
    rc = scan_last(rv, (uint32_t)(rv->n_files - 1));
    if (rc == 0)
        rc = settle_front(rv);
    return rc != 0 ? rc : check_beginning(rv);
}

void recovery_done(struct recovery *rv)
{
    free(rv->files);
    free(rv->leftovers);
    free(rv->log.terms.ranges);
    free(rv->log.configs);
    log_index_done(&rv->log.index);
    buf_done(&rv->image);
    *rv = (struct recovery){0};
}
