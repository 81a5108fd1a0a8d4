/* Reading a snapshot: to send or install it, and to see whether the disk still has what was
 * written. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "snap/snap_int.h"

#include "base/banned.h"

struct snap_reader {
    struct snap_folder *folder; /* borrowed */
    struct snap_file *entry;    /* the folder's; n_users counts */
    uint64_t generation;        /* of entry, before the file was opened */
    struct vfs_file *file;      /* owned */
    struct snap_reader *next;   /* of readers_left */
    struct snap_meta meta;      /* as it stands in this very file */
};

/* Nobody removes it from here on. */
static int hold(struct snap_reader *r, struct raft_entry_id id)
{
    struct snap_folder *s = r->folder;
    struct snap_file *f;
    int rc = 0;

    (void)pthread_mutex_lock(&s->lock);
    f = snap_find(s, id);
    if (f == NULL || f->state == SNAP_KEPT)
        rc = err_say(SNAP_E_MISSING, "there is no such snapshot");
    else if (f->state == SNAP_BAD)
        rc = err_say(SNAP_E_DAMAGED, "the snapshot '%s' is damaged", f->name);
    if (rc == 0) {
        f->n_users++;
        r->entry = f;
        r->generation = f->generation;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

void snap_readers_close(struct snap_reader *r)
{
    while (r != NULL) {
        struct snap_reader *next = r->next;

        if (r->file != NULL)
            (void)r->folder->conf.vfs->close(r->folder->conf.vfs->ctx, r->file);
        free(r);
        r = next;
    }
}

/* True: its file has no name any more, and its blocks go when it is closed (SNAP-24). */
static bool leave(struct snap_reader *r)
{
    struct snap_folder *s = r->folder;
    bool was_replaced;

    if (r->entry == NULL)
        return false;
    (void)pthread_mutex_lock(&s->lock);
    rid_assert(r->entry->n_users > 0);
    r->entry->n_users--;
    was_replaced = r->file != NULL && r->entry->generation != r->generation;
    if (was_replaced) {
        r->next = s->readers_left;
        s->readers_left = r;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return was_replaced;
}

void snap_reader_drop(struct snap_reader *r)
{
    if (r != NULL && !leave(r))
        snap_readers_close(r);
}

DEFINE_CLEANUP(reader, struct snap_reader *, snap_reader_drop);
#define cleanup_reader CLEANUP(reader)

/* What was found of the bytes, unless others stand there now. False: they do. */
static bool note_found(const struct snap_reader *r, bool good)
{
    struct snap_folder *s = r->folder;
    struct snap_file *f = r->entry;
    bool same;

    (void)pthread_mutex_lock(&s->lock);
    same = f->generation == r->generation;
    if (same && good) {
        f->checked = true;
    } else if (same) {
        f->state = SNAP_BAD;
        f->why = SNAP_E_DAMAGED;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return same;
}

static int open_file(struct snap_reader *r)
{
    const struct vfs *vfs = r->folder->conf.vfs;
    const char *name = r->entry->name;
    uint64_t bytes = 0;
    int rc = vfs->open(vfs->ctx, name, O_RDONLY, &r->file);

    if (rc == -ENOENT)
        return err_say(SNAP_E_MISSING, "the snapshot '%s' was removed by somebody else", name);
    if (rc != 0)
        return snap_say_errno(rc, "open", name);
    /* Another may have taken its place meanwhile: what this file says of itself counts. */
    rc = snap_read_trailer(r->folder, r->file, name, &r->meta, &bytes);
    if (rc < 0)
        return rc;
    if (rc == 0 && snap_id_compare(r->meta.id, r->entry->id) != 0)
        rc = err_say(SNAP_E_DAMAGED, "the snapshot '%s' has the name of another", name);
    return rc == 0 ? 0 : SNAP_E_DAMAGED;
}

int snap_reader_new(struct snap_folder *s, struct raft_entry_id id, struct snap_reader **ret)
{
    cleanup_reader struct snap_reader *r = calloc(1, sizeof(*r));
    int rc;

    if (r == NULL)
        return err_origin(-ENOMEM);
    r->folder = s;
    rc = hold(r, id);
    if (rc != 0)
        return rc;
    rc = open_file(r);
    if (rc == SNAP_E_DAMAGED)
        (void)note_found(r, false);
    if (rc != 0)
        return rc;
    *ret = take_ptr(r);
    return 0;
}

const struct snap_meta *snap_reader_meta(const struct snap_reader *r)
{
    return &r->meta;
}

int snap_reader_read(void *reader, void *buf, size_t n, uint64_t offset)
{
    const struct snap_reader *r = reader;

    if (offset > r->meta.body_bytes || n > r->meta.body_bytes - offset)
        return err_say(SNAP_E_DAMAGED, "the snapshot '%s' ends before what is read of it",
                       r->entry->name);
    return snap_read_all(r->folder, r->file, r->entry->name, buf, n, offset);
}

/* ---- reading it again ---- */

static int say_unreadable(const struct snap_reader *r, const char *what)
{
    return err_say(SNAP_E_DAMAGED, "the snapshot '%s' is damaged: %s", r->entry->name, what);
}

static int check_body(struct snap_reader *r)
{
    cleanup_free unsigned char *piece = malloc(SNAP_CHECK_BYTES);
    uint64_t left = r->meta.body_bytes;
    uint32_t crc = 0;

    if (piece == NULL)
        return err_origin(-ENOMEM);
    while (left > 0) {
        size_t n = left < SNAP_CHECK_BYTES ? (size_t)left : SNAP_CHECK_BYTES;
        int rc = snap_reader_read(r, piece, n, r->meta.body_bytes - left);

        if (atomic_load(&r->folder->stops))
            return -ECANCELED;
        /* What the disk cannot read any more is damaged, and no end of anything. */
        if (rc == -EIO)
            return say_unreadable(r, "the disk cannot read it");
        if (rc != 0)
            return rc;
        crc = crc32c(crc, piece, n);
        left -= n;
    }
    return crc == r->meta.body_crc ? 0 : say_unreadable(r, "its checksum is wrong");
}

/* *ret_same: that is what stands under the name. */
static int check_once(struct snap_folder *s, struct raft_entry_id id, bool *ret_same)
{
    const struct vfs *vfs = s->conf.vfs;
    cleanup_reader struct snap_reader *r = NULL;
    int rc = snap_reader_new(s, id, &r);

    if (rc != 0)
        return rc;
    /* From the disk, and not what is left in memory of the writing: a sync may have said that there
     * is what is not (SNAP-5). It is advice; what cannot take it is read all the same. */
    (void)vfs->drop_cache(vfs->ctx, r->file);
    rc = check_body(r);
    if (rc == 0 || rc == SNAP_E_DAMAGED)
        *ret_same = note_found(r, rc == 0);
    return rc;
}

int snap_check(struct snap_folder *s, struct raft_entry_id id)
{
    bool same;
    int rc;

    do {
        same = true;
        rc = check_once(s, id, &same);
    } while (!same);
    return rc;
}
