/* Recovery: which bytes of the folder are the log (RELIABILITY 4.5)?
 *
 * What a crash can leave, and how it is read here ("stamping" writes header and opening batch into
 * a prepared file):
 *
 *   .tmp                       store_create() did not finish: nothing yet. Removed.
 *   .prep, blank               prepared and never used. Removed.
 *   .prep, stamped or torn     the segment before it ended in a synced batch; nothing but the
 *                              opening batch can be in it, because it gets its name (rename, sync
 *                              of the folder) before the first real batch. Removed; a good header
 *                              is evidence for the batch it names.
 *   last .wal, no data batch   started and never used: the next start replaces it.
 *   last .wal, torn tail       batch g+1 was being written: cut (R5), unless there is evidence that
 *                              it was synced (R4).
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
#include "store/store_int.h"

#include "base/banned.h"

#define WAY_OUT "look with 'ridd --dump-log DIR', then see LOST DISK in ridd(8)"

struct damage {
    const char *file;
    uint64_t offset;
    uint64_t batch;
    raft_index from;
    raft_index to; /* 0: not known */
    const char *what;
    const char *evidence;
};

static int refuse(const struct damage *d)
{
    char range[64];

    if (d->to > d->from)
        (void)snprintf(range, sizeof(range), "index %" PRIu64 " to %" PRIu64, d->from, d->to);
    else if (d->to == d->from && d->from != 0)
        (void)snprintf(range, sizeof(range), "index %" PRIu64, d->from);
    else
        (void)snprintf(range, sizeof(range), "index %" PRIu64 " and after", d->from);
    return err_say(STORE_E_DAMAGED,
                   "damaged log: '%s' offset %" PRIu64 ", batch %" PRIu64
                   ", %s: %s; evidence: %s; " WAY_OUT,
                   d->file, d->offset, d->batch, range, d->what, d->evidence);
}

static int refuse_file(const struct recovery *rc, const char *file, const char *what,
                       const char *evidence)
{
    return refuse(&(struct damage){.file = file,
                                   .offset = 0,
                                   .batch = rc->log.batch + 1,
                                   .from = rc->log.last_index + 1,
                                   .what = what,
                                   .evidence = evidence});
}

/* ---- names ---- */

void store_name_segment(char name[STORE_NAME_BYTES], uint64_t seq)
{
    (void)snprintf(name, STORE_NAME_BYTES, "%016" PRIu64 ".wal", seq);
}

void store_name_prepared(char name[STORE_NAME_BYTES], uint64_t seq)
{
    (void)snprintf(name, STORE_NAME_BYTES, "%016" PRIu64 ".prep", seq);
}

bool store_name_parse(const char *name, const char *suffix, uint64_t *ret_seq)
{
    uint64_t seq = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        seq = seq * 10 + (uint64_t)(name[i] - '0');
    }
    if (strcmp(name + 16, suffix) != 0 || seq == 0)
        return false;
    *ret_seq = seq;
    return true;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Keeps the lowest numbers: those are removed when there are too many copies. */
static void note_torn_copy(struct recovery *rc, uint64_t number)
{
    size_t i = rc->n_torn_copies;

    if (i > STORE_TORN_COPIES_MAX) {
        if (number >= rc->torn_copies[STORE_TORN_COPIES_MAX])
            return;
        i = STORE_TORN_COPIES_MAX;
    } else {
        rc->n_torn_copies++;
    }
    for (; i > 0 && rc->torn_copies[i - 1] > number; i--)
        rc->torn_copies[i] = rc->torn_copies[i - 1];
    rc->torn_copies[i] = number;
}

static int note_segment(struct recovery *rc, const char *name)
{
    uint64_t seq;
    struct wal_file *files;
    size_t i;

    if (!store_name_parse(name, ".wal", &seq))
        return err_say(STORE_E_DAMAGED,
                       "'%.64s' is not the name of a segment (16 digits and .wal); move it out of "
                       "the log's folder, or "
                       "give it back its name; " WAY_OUT,
                       name);
    files = realloc(rc->files, (rc->n_files + 1) * sizeof(*files));
    if (files == NULL)
        return err_origin(-ENOMEM);
    rc->files = files;
    for (i = rc->n_files; i > 0 && strcmp(files[i - 1].name, name) > 0; i--)
        files[i] = files[i - 1];
    files[i] = (struct wal_file){0};
    (void)snprintf(files[i].name, sizeof(files[i].name), "%s", name);
    rc->n_files++;
    return 0;
}

static int note_leftover(struct recovery *rc, const char *name)
{
    char(*leftovers)[STORE_NAME_BYTES];

    if (strlen(name) >= STORE_NAME_BYTES)
        return 0; /* not one of ours */
    leftovers = realloc(rc->leftovers, (rc->n_leftovers + 1) * sizeof(*leftovers));
    if (leftovers == NULL)
        return err_origin(-ENOMEM);
    rc->leftovers = leftovers;
    (void)snprintf(leftovers[rc->n_leftovers++], STORE_NAME_BYTES, "%s", name);
    return 0;
}

static int note_name(void *arg, const char *name)
{
    struct recovery *rc = arg;
    uint64_t number;

    if (ends_with(name, ".wal"))
        return note_segment(rc, name);
    if (store_name_parse(name, ".prep", &number) || store_name_parse(name, ".tmp", &number))
        return note_leftover(rc, name);
    if (strncmp(name, "torn-", 5) == 0 && store_name_parse(name + 5, "", &number))
        note_torn_copy(rc, number);
    return 0;
}

/* ---- headers ---- */

int recovery_load(struct vfs *vfs, struct vfs_file *f, uint64_t max, struct buf *b)
{
    int64_t got;

    b->len = 0;
    if (buf_reserve(b, (size_t)max) == NULL)
        return err_origin(-ENOMEM);
    got = vfs->pread(vfs->ctx, f, b->data, (size_t)max, 0);
    if (got < 0)
        return err_trace((int)got);
    b->len = (size_t)got;
    return 0;
}

static bool same_identity(const struct store_conf *conf, const struct segment_header *h)
{
    return memcmp(conf->cluster_id, h->cluster_id, sizeof(h->cluster_id)) == 0 &&
           conf->node_id == h->node_id && conf->incarnation == h->incarnation;
}

static int check_identity(const struct recovery *rc, const char *name,
                          const struct segment_header *h)
{
    const char *what;

    if (same_identity(&rc->conf, h))
        return 0;
    if (memcmp(rc->conf.cluster_id, h->cluster_id, sizeof(h->cluster_id)) != 0)
        what = "cluster";
    else
        what = rc->conf.node_id != h->node_id ? "node" : "incarnation of this node";
    return err_say(STORE_E_FOREIGN,
                   "'%s' belongs to another %s: the log's folder was mixed up; put back the folder "
                   "that belongs to "
                   "this node, or see LOST DISK in ridd(8)",
                   name, what);
}

static int read_header(struct recovery *rc, struct wal_file *file)
{
    struct vfs *vfs = rc->conf.vfs;
    struct vfs_file *f = NULL;
    int64_t size;
    int r;

    r = vfs->open(vfs->ctx, file->name, O_RDONLY, &f);
    if (r != 0)
        return err_trace(r);
    size = vfs->size(vfs->ctx, f);
    r = size < 0 ? (int)size : recovery_load(vfs, f, SEGMENT_HEADER_BYTES, &rc->image);
    (void)vfs->close(vfs->ctx, f);
    if (r != 0)
        return err_trace(r);
    file->file_bytes = (uint64_t)size;
    if (rc->image.len < SEGMENT_HEADER_BYTES)
        return refuse_file(rc, file->name, "the file is shorter than a segment header",
                           "a segment is complete before it gets its name");
    r = segment_header_decode(rc->image.data, &file->header);
    if (r != 0)
        return refuse_file(rc, file->name, segment_header_error_text(r),
                           "a segment is complete before it gets its name");
    if (file->file_bytes > STORE_FILE_BYTES_MAX || file->header.size > STORE_FILE_BYTES_MAX)
        return refuse_file(rc, file->name, "the file is larger than any segment", "its size");
    return 0;
}

/* R2: a gapless sequence from the first segment on, by header. */
static int check_sequence(struct recovery *rc)
{
    char what[128];

    for (size_t i = 0; i < rc->n_files; i++) {
        struct wal_file *file = &rc->files[i];
        uint64_t name_seq = 0;
        int r = read_header(rc, file);

        if (r != 0)
            return r;
        if (rc->conf.node_id == 0 && i == 0) {
            memcpy(rc->conf.cluster_id, file->header.cluster_id, sizeof(rc->conf.cluster_id));
            rc->conf.node_id = file->header.node_id;
            rc->conf.incarnation = file->header.incarnation;
        }
        r = check_identity(rc, file->name, &file->header);
        if (r != 0)
            return r;
        (void)store_name_parse(file->name, ".wal", &name_seq);
        if (name_seq != file->header.seq) {
            (void)snprintf(what, sizeof(what), "the header says segment %" PRIu64,
                           file->header.seq);
            return refuse_file(rc, file->name, what, "a file was renamed or copied over another");
        }
        if (file->header.seq != i + 1 || file->header.prev_seq != i) {
            (void)snprintf(what, sizeof(what), "segment %zu is missing", i + 1);
            return refuse_file(rc, file->name, what,
                               "segments are numbered without a gap from 1 on");
        }
    }
    return 0;
}

/* ---- what a batch says ---- */

static int push_config(struct log_state *log, raft_index index, const struct raft_configuration *c)
{
    if (log->n_configs == log->configs_size) {
        size_t size = log->configs_size > 0 ? log->configs_size * 2 : 4;
        struct raft_config_at *configs = realloc(log->configs, size * sizeof(*configs));

        if (configs == NULL)
            return err_origin(-ENOMEM);
        log->configs = configs;
        log->configs_size = size;
    }
    log->configs[log->n_configs].index = index;
    log->configs[log->n_configs++].configuration = *c;
    return 0;
}

/* R7. */
static void truncate_log(struct log_state *log, raft_index from)
{
    term_list_truncate(&log->terms, from);
    while (log->n_configs > 0 && log->configs[log->n_configs - 1].index >= from)
        log->n_configs--;
    log_index_truncate(&log->index, from);
    log->pace.fresh = true;
    log->n_changes++;
    if (from <= log->last_index)
        log->last_index = from - 1;
    log->last_term = term_list_at(&log->terms, log->last_index);
    if (log->commit_index > log->last_index)
        log->commit_index = log->last_index;
}

/* The appliers return 0, -errno, or 1 with *ret_what when a record with good checksums says what no
 * correct node writes. */
static int apply_entry(struct recovery *rc, uint32_t slot, const struct record *rec,
                       uint64_t offset, const char **ret_what)
{
    struct log_state *log = &rc->log;
    int r;

    if (rec->index != log->last_index + 1 || rec->index > RAFT_INDEX_MAX) {
        *ret_what = "an entry does not follow the one before it";
        return 1;
    }
    if (rec->term == 0 || rec->term < log->last_term) {
        *ret_what = "the term of an entry is lower than that of the one before it";
        return 1;
    }
    /* A batch says its hard state before its entries. */
    if (rec->term > log->hard_state.current_term) {
        *ret_what = "the term of an entry is higher than that of the hard state before it";
        return 1;
    }
    if (rec->flags < RAFT_ENTRY_NOOP || rec->flags > RAFT_ENTRY_READ ||
        rec->len > ENTRY_BYTES_MAX) {
        *ret_what = "an entry is of an unknown type or too large";
        return 1;
    }
    if (rec->flags == RAFT_ENTRY_CONFIG) {
        struct raft_configuration c;

        r = raft_configuration_decode(rec->data, rec->len, &c);
        if (r > 0) {
            *ret_what = "an entry of type config does not hold a configuration";
            return 1;
        }
        r = r < 0 ? r : push_config(log, rec->index, &c);
        if (r != 0)
            return err_trace(r);
    }
    if (term_list_push(&log->terms, rec->term, rec->index) != 0)
        return err_origin(-ENOMEM);
    if (index_pace_take(&log->pace, offset)) {
        if (log_index_reserve(&log->index, 1) != 0)
            return err_origin(-ENOMEM);
        log_index_add(&log->index, (struct index_point){rec->index, slot, (uint32_t)offset});
    }
    log->last_index = rec->index;
    log->last_term = rec->term;
    log->n_changes++;
    return 0;
}

/* R8. */
static int apply_hard_state(struct log_state *log, const struct record *rec, const char **ret_what)
{
    struct raft_hard_state hs = {.current_term = rec->term};

    *ret_what = NULL;
    if (rec->len != HARDSTATE_BYTES) {
        *ret_what = "a hard state of the wrong length";
        return 1;
    }
    hs.voted_for = get_u64(rec->data);
    if (hs.current_term > RAFT_INDEX_MAX)
        *ret_what = "the term of a hard state is out of range";
    else if (hs.current_term < log->hard_state.current_term)
        *ret_what = "the term of a hard state is lower than that of the one before it";
    else if (hs.current_term == log->hard_state.current_term && log->hard_state.voted_for != 0 &&
             hs.voted_for != log->hard_state.voted_for)
        *ret_what = "a vote changes within its term";
    if (*ret_what != NULL)
        return 1;
    log->hard_state = hs;
    return 0;
}

static int apply_record(struct recovery *rc, uint32_t slot, const struct record *rec,
                        uint64_t offset, const char **ret_what)
{
    struct log_state *log = &rc->log;

    switch (rec->type) {
    case RECORD_ENTRY:
        return apply_entry(rc, slot, rec, offset, ret_what);
    case RECORD_HARDSTATE:
        return apply_hard_state(log, rec, ret_what);
    case RECORD_TRUNCATE:
        if (rec->index == 0 || rec->len != 0) {
            *ret_what = "a truncation of the wrong form";
            return 1;
        }
        truncate_log(log, rec->index);
        return 0;
    case RECORD_SNAPMARK:
        /* R9: where snapshot and log both have the entry, they must agree; a snapshot ahead of the
         * log is a gap. */
        *ret_what = "a snapshot mark does not match the log";
        return rec->len == SNAPMARK_BYTES && rec->index <= log->last_index && rec->term != 0 &&
                       term_list_at(&log->terms, rec->index) == rec->term
                   ? 0
                   : 1;
    case RECORD_CONFIG:
    case RECORD_SYNCMARK:
    case RECORD_SEGMENT_END:
    case RECORD_BATCH_END:
        return 0;
    }
    *ret_what = "a record of an unknown type";
    return 1;
}

/* Everything in a batch whose checksums are good. *ret_closed: it held SEGMENT_END. */
static int apply_batch(struct recovery *rc, uint32_t slot, const struct segment_image *img,
                       const struct scan_batch *b, bool *ret_closed)
{
    struct log_state *log = &rc->log;
    const struct wal_file *file = &rc->files[slot];
    raft_index before = log->last_index;
    uint64_t batch = 0;

    for (uint64_t offset = b->start; offset < b->end;) {
        struct record rec = {0};
        const char *what = NULL;
        int r =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (r == 0)
            r = apply_record(rc, slot, &rec, offset, &what);
        if (r < 0)
            return err_trace(r);
        if (r == 0 && rec.type == RECORD_BATCH_END &&
            (rec.index != log->last_index || rec.term != log->last_term)) {
            what = "a batch_end names another last entry than the batch leaves";
            r = 1;
        }
        if (r != 0)
            return refuse(&(struct damage){.file = file->name,
                                           .offset = offset,
                                           .batch = rec.batch,
                                           .from = before + 1,
                                           .to = b->last_index,
                                           .what = what != NULL ? what : record_error_text(r),
                                           .evidence = "all its checksums are good"});
        if (rec.type == RECORD_SEGMENT_END)
            *ret_closed = true;
        batch = rec.batch;
        offset += record_bytes(rec.len);
    }
    log->commit_index =
        store_max_u64(log->commit_index, store_min_u64(b->tail.commit_index, log->last_index));
    log->batch = batch;
    log->chain = b->tail.chain;
    return 0;
}

/* ---- leftovers ---- */

/* All of the file when it has a good header; *ret_header is 0 then. */
static int load_prepared(const struct recovery *rc, const char *name, struct buf *b,
                         struct segment_header *ret_h, int *ret_header)
{
    struct vfs *vfs = rc->conf.vfs;
    struct vfs_file *f = NULL;
    int64_t size;
    int r;

    r = vfs->open(vfs->ctx, name, O_RDONLY, &f);
    if (r != 0)
        return err_trace(r);
    *ret_header = SEGMENT_HEADER_E_BLANK;
    size = vfs->size(vfs->ctx, f);
    r = size < 0 ? (int)size : recovery_load(vfs, f, SEGMENT_HEADER_BYTES, b);
    if (r == 0 && b->len == SEGMENT_HEADER_BYTES)
        *ret_header = segment_header_decode(b->data, ret_h);
    if (r == 0 && *ret_header == 0)
        r = recovery_load(vfs, f, store_min_u64((uint64_t)size, STORE_FILE_BYTES_MAX), b);
    (void)vfs->close(vfs->ctx, f);
    return err_trace(r);
}

/* A .prep: no record behind its opening batch, nothing that the log does not know. Without a good
 * header it is blank or was torn while it was filled or stamped. */
static int check_prepared(struct recovery *rc, const char *name, struct damage *d)
{
    struct segment_header h = {0};
    struct segment_image img;
    cleanup_buf struct buf b = BUF_INIT;
    char evidence[160];
    int header;
    int r;

    r = load_prepared(rc, name, &b, &h, &header);
    if (r != 0 || header != 0)
        return err_trace(r);
    r = check_identity(rc, name, &h);
    if (r != 0)
        return r;
    img = (struct segment_image){b.data, b.len, h.salt};
    if (scan_any(&img, SEGMENT_HEADER_BYTES + STORE_OPENING_BYTES))
        return refuse_file(rc, name, "a prepared segment holds records",
                           "a segment gets its name before its first records; was it renamed?");
    if (h.prev_last_batch <= rc->log.batch)
        return 0;
    (void)snprintf(evidence, sizeof(evidence),
                   "'%s' was made when batch %" PRIu64 " with index %" PRIu64 " was durable", name,
                   h.prev_last_batch, h.prev_last_index);
    d->to = h.prev_last_index;
    d->evidence = evidence;
    return refuse(d);
}

static int check_leftovers(struct recovery *rc, struct damage *d)
{
    for (size_t i = 0; i < rc->n_leftovers; i++) {
        uint64_t seq;
        int r;

        if (!store_name_parse(rc->leftovers[i], ".prep", &seq))
            continue;
        r = check_prepared(rc, rc->leftovers[i], d);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- segments ---- */

/* R10: after a failed or missing sync the cache may hold bytes that are not on the disk. What is
 * dirty is written, what is clean is dropped and read again; only bytes that come from the disk are
 * trusted. */
static int load_last(struct recovery *rc, const struct wal_file *file, bool *ret_cache_lied)
{
    struct vfs *vfs = rc->conf.vfs;
    struct vfs_file *f = NULL;
    uint32_t crc = 0;
    size_t len = 0;
    int r;

    r = vfs->open(vfs->ctx, file->name, rc->live ? O_RDWR : O_RDONLY, &f);
    if (r != 0)
        return err_trace(r);
    r = recovery_load(vfs, f, file->file_bytes, &rc->image);
    if (r == 0 && rc->live) {
        crc = crc32c(0, rc->image.data, rc->image.len);
        len = rc->image.len;
        r = vfs->fdatasync(vfs->ctx, f);
        if (r == 0)
            r = vfs->drop_cache(vfs->ctx, f);
        if (r == 0)
            r = recovery_load(vfs, f, file->file_bytes, &rc->image);
        *ret_cache_lied =
            r == 0 && (len != rc->image.len || crc != crc32c(0, rc->image.data, rc->image.len));
    }
    (void)vfs->close(vfs->ctx, f);
    return err_trace(r);
}

static int load_closed(struct recovery *rc, const struct wal_file *file, uint64_t used)
{
    struct vfs *vfs = rc->conf.vfs;
    struct vfs_file *f = NULL;
    int r;

    r = vfs->open(vfs->ctx, file->name, O_RDONLY, &f);
    if (r != 0)
        return err_trace(r);
    r = recovery_load(vfs, f, used, &rc->image);
    (void)vfs->close(vfs->ctx, f);
    return err_trace(r);
}

/* A segment with one after it: must end exactly where and how the next header says. */
static int scan_closed(struct recovery *rc, uint32_t slot)
{
    struct log_state *log = &rc->log;
    struct wal_file *file = &rc->files[slot];
    const struct segment_header *next = &rc->files[slot + 1].header;
    struct segment_image img;
    uint64_t offset = SEGMENT_HEADER_BYTES;
    char evidence[160];
    struct damage d = {.file = file->name, .evidence = evidence};
    int r;

    (void)snprintf(evidence, sizeof(evidence),
                   "'%s' was opened when batch %" PRIu64 " with index %" PRIu64 " was durable",
                   rc->files[slot + 1].name, next->prev_last_batch, next->prev_last_index);
    if (file->file_bytes < next->prev_used || next->prev_used < SEGMENT_HEADER_BYTES) {
        d.offset = file->file_bytes;
        d.batch = log->batch + 1;
        d.from = log->last_index + 1;
        d.to = next->prev_last_index;
        d.what = "the file ends before its last batch";
        return refuse(&d);
    }
    r = load_closed(rc, file, next->prev_used);
    if (r != 0)
        return err_trace(r);
    img = (struct segment_image){rc->image.data, rc->image.len, file->header.salt};
    log->pace.fresh = true;
    log->chain = file->header.prev_chain;
    for (uint64_t batch = file->header.first_batch; offset < next->prev_used; batch++) {
        struct scan_defect defect;
        struct scan_batch b;
        bool closed = false;

        r = scan_batch(&img, offset, batch, log->chain, &b, &defect);
        if (r != 0) {
            struct scan_rest rest;

            scan_rest(&img, offset, batch, &rest);
            d.offset = defect.offset;
            d.batch = batch;
            d.from = log->last_index + 1;
            d.to = rest.last_index > 0 ? rest.last_index : next->prev_last_index;
            d.what = defect.what;
            return refuse(&d);
        }
        r = apply_batch(rc, slot, &img, &b, &closed);
        if (r != 0)
            return r;
        offset = b.end;
    }
    file->used = offset;
    rc->bytes_scanned += offset;
    if (log->batch != next->prev_last_batch || log->chain != next->prev_chain ||
        log->last_index != next->prev_last_index || log->last_term != next->prev_last_term ||
        next->first_batch <= log->batch || next->first_index != log->last_index + 1) {
        d.offset = offset;
        d.batch = log->batch;
        d.from = log->last_index;
        d.to = next->prev_last_index;
        d.what = "the segment ends otherwise than the next one says";
        return refuse(&d);
    }
    return 0;
}

static bool same_hard_state(const struct raft_hard_state *a, const struct raft_hard_state *b)
{
    return a->current_term == b->current_term && a->voted_for == b->voted_for;
}

/* R4, R5, R6: behind the last good batch. */
static int judge_tail(struct recovery *rc, struct wal_file *file, const struct segment_image *img,
                      uint64_t offset, const struct scan_defect *defect, bool cache_lied)
{
    struct log_state *log = &rc->log;
    struct scan_rest rest;
    char evidence[160];
    struct damage d = {.file = file->name,
                       .offset = defect->offset,
                       .batch = log->batch + 1,
                       .from = log->last_index + 1,
                       .what = defect->what};
    int r;

    scan_rest(img, offset, log->batch + 1, &rest);
    rc->bytes_scanned += img->len;
    d.to = rest.last_index;
    if (rest.evidence) {
        d.evidence = rest.evidence_text;
        return refuse(&d);
    }
    r = check_leftovers(rc, &d);
    if (r != 0)
        return r;
    if (rc->conf.applied_index > log->last_index) {
        (void)snprintf(evidence, sizeof(evidence),
                       "the state machine holds index %" PRIu64
                       ", and nothing is applied before it is durable here",
                       rc->conf.applied_index);
        d.to = store_max_u64(d.to, rc->conf.applied_index);
        d.evidence = evidence;
        return refuse(&d);
    }
    if (rest.n_bytes > 0 && !rest.only_sync_mark) {
        rc->torn_tail = true;
        rc->torn_bytes = rest.n_bytes;
        (void)snprintf(rc->torn_text, sizeof(rc->torn_text),
                       "'%s' is cut at offset %" PRIu64 " behind batch %" PRIu64 " (index %" PRIu64
                       "): %s at %" PRIu64 "; %" PRIu64 " bytes of an unfinished batch dropped",
                       file->name, offset, log->batch, log->last_index, defect->what,
                       defect->offset, rest.n_bytes);
    } else if (cache_lied) {
        rc->torn_tail = true;
        (void)snprintf(rc->torn_text, sizeof(rc->torn_text),
                       "'%s' ends at offset %" PRIu64 " behind batch %" PRIu64 " (index %" PRIu64
                       "): the page cache held bytes that never reached the disk",
                       file->name, offset, log->batch, log->last_index);
    }
    return 0;
}

static int scan_last(struct recovery *rc, uint32_t slot)
{
    struct log_state *log = &rc->log;
    struct wal_file *file = &rc->files[slot];
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
    int r;

    if (file->file_bytes != file->header.size) {
        (void)snprintf(what, sizeof(what),
                       "the file is %" PRIu64 " bytes long, its header says %" PRIu64,
                       file->file_bytes, file->header.size);
        return refuse_file(rc, file->name, what,
                           "a segment has its full size before it gets its name");
    }
    r = load_last(rc, file, &cache_lied);
    if (r != 0)
        return err_trace(r);
    img = (struct segment_image){rc->image.data, rc->image.len, file->header.salt};
    rc->hard_state_before_last = log->hard_state;
    log->pace.fresh = true;
    log->chain = file->header.prev_chain;
    while ((r = scan_batch(&img, offset, batch, log->chain, &b, &defect)) == 0) {
        r = apply_batch(rc, slot, &img, &b, &closed);
        if (r != 0)
            return r;
        offset = b.end;
        batch++;
        if (closed) {
            defect = (struct scan_defect){offset, "bytes behind the end of a segment"};
            break;
        }
    }
    file->used = offset;
    if (offset == SEGMENT_HEADER_BYTES) {
        struct damage d = {.file = file->name,
                           .offset = defect.offset,
                           .batch = batch,
                           .from = last_before + 1,
                           .what = defect.what,
                           .evidence =
                               "the first batch of a segment is durable before it gets its name"};

        return refuse(&d);
    }
    rc->last_is_unused = slot > 0 && log->n_changes == changes &&
                         same_hard_state(&log->hard_state, &rc->hard_state_before_last);
    return judge_tail(rc, file, &img, offset, &defect, cache_lied);
}

/* Every log begins with the CONFIG entry that store_create() wrote: no truncation reaches it,
 * because it counts as committed. */
static int check_beginning(const struct recovery *rc)
{
    const struct log_state *log = &rc->log;

    if (log->n_configs > 0 && log->configs[0].index == 1)
        return 0;
    return refuse(&(struct damage){.file = rc->files[0].name,
                                   .offset = SEGMENT_HEADER_BYTES,
                                   .batch = 1,
                                   .from = 1,
                                   .to = 1,
                                   .what = "the first entry does not hold a configuration",
                                   .evidence = "all its checksums are good"});
}

int recovery_run(struct recovery *rc, const struct store_conf *conf, bool live)
{
    int r;

    *rc = (struct recovery){.conf = *conf, .live = live};
    r = conf->vfs->list(conf->vfs->ctx, note_name, rc);
    if (r != 0)
        return r;
    if (rc->n_files == 0) {
        for (size_t i = 0; i < rc->n_leftovers; i++)
            if (ends_with(rc->leftovers[i], ".prep"))
                return refuse_file(rc, rc->leftovers[i], "there is no segment",
                                   "this file is only made beside one");
        if (rc->n_torn_copies > 0)
            return refuse_file(rc, "torn-*", "there is no segment",
                               "this file is only made beside one");
        return err_say(STORE_E_NO_LOG, "there is no log");
    }
    r = check_sequence(rc);
    if (r != 0)
        return r;
    if (rc->files[0].header.first_batch != 1 || rc->files[0].header.first_index != 1)
        return refuse_file(rc, rc->files[0].name,
                           "the first segment does not begin with batch 1 and index 1",
                           "its header");
    for (uint32_t slot = 0; slot + 1 < rc->n_files; slot++) {
        r = scan_closed(rc, slot);
        if (r != 0)
            return r;
    }
    r = scan_last(rc, (uint32_t)(rc->n_files - 1));
    return r != 0 ? r : check_beginning(rc);
}

void recovery_done(struct recovery *rc)
{
    free(rc->files);
    free(rc->leftovers);
    free(rc->log.terms.ranges);
    free(rc->log.configs);
    log_index_done(&rc->log.index);
    buf_done(&rc->image);
    *rc = (struct recovery){0};
}
