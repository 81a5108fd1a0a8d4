/* What is in the folder of the log, before anything of it is believed: names, then headers. A name
 * is a hint; which segment a file is, whose, and which one comes before it, its header says. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/err.h"
#include "store/recover_int.h"

#include "base/banned.h"

/* Whatever is damaged stops the node here: nothing is guessed, no vote and no acknowledgement
 * leaves (DISK-21). */
int recovery_refuse(const struct damage *d)
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
                   ", %s: %s; evidence: %s; " RECOVERY_WAY_OUT,
                   d->file, d->offset, d->batch, range, d->what, d->evidence);
}

int recovery_refuse_file(const struct recovery *rv, const char *file, const char *what,
                         const char *evidence)
{
    return recovery_refuse(&(struct damage){.file = file,
                                            .offset = 0,
                                            .batch = rv->log.batch + 1,
                                            .from = rv->log.last_index + 1,
                                            .what = what,
                                            .evidence = evidence});
}

int recovery_refuse_newer(const char *file, uint64_t offset, const char *what)
{
    return err_say(STORE_E_NEWER,
                   "'%s' offset %" PRIu64
                   ": %s: a later version of ridd wrote it; start that version, or a later "
                   "one; nothing was changed",
                   file, offset, what);
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

void store_name_newest(char name[STORE_NAME_BYTES], uint64_t seq)
{
    (void)snprintf(name, STORE_NAME_BYTES, STORE_NEWEST_PREFIX "%016" PRIu64, seq);
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
static void note_torn_copy(struct recovery *rv, uint64_t number)
{
    size_t i = rv->n_torn_copies;

    if (i > STORE_TORN_COPIES_MAX) {
        if (number >= rv->torn_copies[STORE_TORN_COPIES_MAX])
            return;
        i = STORE_TORN_COPIES_MAX;
    } else {
        rv->n_torn_copies++;
    }
    for (; i > 0 && rv->torn_copies[i - 1] > number; i--)
        rv->torn_copies[i] = rv->torn_copies[i - 1];
    rv->torn_copies[i] = number;
}

static int note_segment(struct recovery *rv, const char *name)
{
    uint64_t seq;
    struct wal_file *files;
    size_t i;

    if (!store_name_parse(name, ".wal", &seq))
        return err_say(STORE_E_DAMAGED,
                       "'%.64s' is not the name of a segment (16 digits and .wal); move it out of "
                       "the log's folder, or "
                       "give it back its name; " RECOVERY_WAY_OUT,
                       name);
    files = array_reserve(mem_libc, rv->files, &rv->files_size, rv->n_files, 1, sizeof(*files));
    if (files == NULL)
        return err_origin(-ENOMEM);
    rv->files = files;
    for (i = rv->n_files; i > 0 && strcmp(files[i - 1].name, name) > 0; i--)
        files[i] = files[i - 1];
    files[i] = (struct wal_file){0};
    (void)snprintf(files[i].name, sizeof(files[i].name), "%s", name);
    files[i].name_seq = seq;
    rv->n_files++;
    return 0;
}

static int note_leftover(struct recovery *rv, const char *name);

/* Of several, which a crash leaves, the highest counts. */
static int note_newest(struct recovery *rv, const char *name, uint64_t seq)
{
    char older[STORE_NAME_BYTES];

    if (seq <= rv->newest_seq)
        return note_leftover(rv, name);
    store_name_newest(older, rv->newest_seq);
    if (rv->newest_seq != 0 && note_leftover(rv, older) != 0)
        return -ENOMEM;
    rv->newest_seq = seq;
    return 0;
}

static int note_leftover(struct recovery *rv, const char *name)
{
    char(*leftovers)[STORE_NAME_BYTES];

    if (strlen(name) >= STORE_NAME_BYTES)
        return 0; /* not one of ours */
    leftovers = array_reserve(mem_libc, rv->leftovers, &rv->leftovers_size, rv->n_leftovers, 1,
                              sizeof(*leftovers));
    if (leftovers == NULL)
        return err_origin(-ENOMEM);
    rv->leftovers = leftovers;
    (void)snprintf(leftovers[rv->n_leftovers++], STORE_NAME_BYTES, "%s", name);
    return 0;
}

int recovery_note_name(void *arg, const char *name)
{
    struct recovery *rv = arg;
    uint64_t number;

    if (ends_with(name, ".wal"))
        return note_segment(rv, name);
    if (store_name_parse(name, ".prep", &number) || store_name_parse(name, ".tmp", &number))
        return note_leftover(rv, name);
    if (strncmp(name, STORE_NEWEST_PREFIX, strlen(STORE_NEWEST_PREFIX)) == 0 &&
        store_name_parse(name + strlen(STORE_NEWEST_PREFIX), "", &number))
        return note_newest(rv, name, number);
    if (strncmp(name, "torn-", 5) == 0 && store_name_parse(name + 5, "", &number))
        note_torn_copy(rv, number);
    return 0;
}

/* ---- headers ---- */

static bool same_identity(const struct store_conf *conf, const struct segment_header *h)
{
    return memcmp(conf->cluster_id, h->cluster_id, sizeof(h->cluster_id)) == 0 &&
           conf->node_id == h->node_id && conf->incarnation == h->incarnation;
}

/* A segment that another cluster, node or incarnation wrote is none of this log (IDENTITY-3). */
int recovery_check_identity(const struct recovery *rv, const char *name,
                            const struct segment_header *h)
{
    const char *what;

    if (same_identity(&rv->conf, h))
        return 0;
    if (memcmp(rv->conf.cluster_id, h->cluster_id, sizeof(h->cluster_id)) != 0)
        what = "cluster";
    else
        what = rv->conf.node_id != h->node_id ? "node" : "incarnation of this node";
    return err_say(STORE_E_FOREIGN,
                   "'%s' belongs to another %s: the log's folder was mixed up; put back the folder "
                   "that belongs to "
                   "this node, or see LOST DISK in ridd(8)",
                   name, what);
}

static int read_header(struct recovery *rv, struct wal_file *file)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    int64_t size;
    int rc;

    rc = vfs->open(vfs->ctx, file->name, O_RDONLY, &f);
    if (rc != 0)
        return err_trace(rc);
    size = vfs->size(vfs->ctx, f);
    rc = size < 0 ? (int)size : recovery_load(NULL, vfs, f, SEGMENT_HEADER_BYTES, &rv->image);
    (void)vfs->close(vfs->ctx, f);
    if (rc != 0)
        return err_trace(rc);
    file->file_bytes = (uint64_t)size;
    if (rv->image.len < SEGMENT_HEADER_BYTES)
        return recovery_refuse_file(rv, file->name, "the file is shorter than a segment header",
                                    "a segment is complete before it gets its name");
    rc = segment_header_decode(rv->image.data, &file->header);
    if (rc == SEGMENT_HEADER_E_VERSION)
        return recovery_refuse_newer(file->name, 0, segment_header_error_text(rc));
    if (rc != 0)
        return recovery_refuse_file(rv, file->name, segment_header_error_text(rc),
                                    "a segment is complete before it gets its name");
    if (file->file_bytes > STORE_FILE_BYTES_MAX || file->header.size > STORE_FILE_BYTES_MAX)
        return recovery_refuse_file(rv, file->name, "the file is larger than any segment",
                                    "its size");
    return 0;
}

/* What the log says was before the first segment that is left. Whether that may be so its marks
 * say; a reset is one (DISK-43). */
static int take_base(struct recovery *rv)
{
    const struct segment_header *h = &rv->files[rv->first].header;
    const struct raft_entry_id base = {.term = h->prev_last_term, .index = h->prev_last_index};
    struct log_state *log = &rv->log;

    if (h->first_index != base.index + 1 || (base.index == 0) != (h->seq == 1) ||
        (base.term == 0) != (base.index == 0) || h->first_batch <= h->prev_last_batch ||
        (h->seq == 1 && h->first_batch != 1) || base.index > RAFT_INDEX_MAX)
        return recovery_refuse_file(rv, rv->files[rv->first].name,
                                    "the first segment contradicts itself about where it begins",
                                    "its header");
    if ((h->flags & SEGMENT_FLAG_RESET) != 0)
        log->mark = base;
    log->terms.base = base;
    log->last_index = base.index;
    log->last_term = base.term;
    log->commit_index = base.index;
    log->batch = h->prev_last_batch;
    return 0;
}

/* What is before the last reset is void, whatever it looks like: some of it may be gone already
 * (DISK-43). A header that cannot be read is looked at again by whoever asks for more than that. */
static int find_reset(struct recovery *rv)
{
    for (size_t i = rv->n_files; i > 0; i--) {
        struct wal_file *file = &rv->files[i - 1];
        int rc = read_header(rv, file);

        if (rc < 0)
            return err_trace(rc);
        if (rc == 0 && (file->header.flags & SEGMENT_FLAG_RESET) != 0) {
            rv->first = i - 1;
            return 0;
        }
        err_reset();
    }
    return 0;
}

/* DISK-2: a gapless sequence from the first segment on, by header. */
int recovery_check_sequence(struct recovery *rv)
{
    char what[128];
    int rc = find_reset(rv);

    for (size_t i = rv->first; rc == 0 && i < rv->n_files; i++) {
        struct wal_file *file = &rv->files[i];
        uint64_t seq;

        rc = read_header(rv, file);

        if (rc != 0)
            return rc;
        if (rv->conf.node_id == 0 && i == rv->first) {
            memcpy(rv->conf.cluster_id, file->header.cluster_id, sizeof(rv->conf.cluster_id));
            rv->conf.node_id = file->header.node_id;
            rv->conf.incarnation = file->header.incarnation;
        }
        rc = recovery_check_identity(rv, file->name, &file->header);
        if (rc != 0)
            return rc;
        if (file->name_seq != file->header.seq) {
            (void)snprintf(what, sizeof(what), "the header says segment %" PRIu64,
                           file->header.seq);
            return recovery_refuse_file(rv, file->name, what,
                                        "a file was renamed or copied over another");
        }
        seq = rv->files[rv->first].header.seq + (i - rv->first);
        if (file->header.seq != seq || file->header.prev_seq != seq - 1) {
            (void)snprintf(what, sizeof(what), "segment %" PRIu64 " is missing", seq);
            return recovery_refuse_file(rv, file->name, what,
                                        "segments are numbered without a gap");
        }
    }
    return rc != 0 ? rc : take_base(rv);
}
