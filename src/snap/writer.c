/* A snapshot on its way: a file under a name that counts for nothing, until it is whole and durable
 * and gets its own. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "snap/snap_int.h"

#include "base/banned.h"

struct snap_writer {
    struct snap_folder *folder; /* borrowed */
    enum snap_purpose purpose;
    struct vfs_file *file; /* owned; NULL: it is gone, failed says why */
    int failed;
    bool renamed; /* the file is not under the writer's name any more */
    uint64_t bytes;
    uint64_t synced; /* of them */
    uint32_t crc;
};

static const char *name_of(const struct snap_writer *w)
{
    return snap_writer_names[w->purpose];
}

/* A disk that is full is a state that ends, and an outcome; everything else is -errno. */
static int say_write(int rc, const char *what, const char *name)
{
    (void)snap_say_errno(rc, what, name);
    return err_is_full(rc) ? err_say(SNAP_E_FULL, "no room to %s the snapshot '%s': %s", what, name,
                                     strerror(-rc))
                           : rc;
}

static void close_file(struct snap_writer *w)
{
    const struct vfs *vfs = w->folder->conf.vfs;

    if (w->file != NULL)
        (void)vfs->close(vfs->ctx, w->file);
    w->file = NULL;
}

static void note_bytes(struct snap_writer *w, uint64_t bytes)
{
    (void)pthread_mutex_lock(&w->folder->lock);
    w->folder->writing_bytes[w->purpose] = bytes;
    (void)pthread_mutex_unlock(&w->folder->lock);
}

/* Its room is given back at once: whoever waits for it has not to wait for the writer's end. One
 * that cannot be removed is removed by the next writer, or at the next start. */
static void remove_begun(struct snap_writer *w)
{
    const struct vfs *vfs = w->folder->conf.vfs;

    close_file(w);
    if (!w->renamed)
        (void)vfs->unlink(vfs->ctx, name_of(w));
    w->renamed = true;
    note_bytes(w, 0);
}

static int fail(struct snap_writer *w, int rc)
{
    remove_begun(w);
    w->failed = rc;
    return rc;
}

void snap_writer_drop(struct snap_writer *w)
{
    struct snap_folder *s;

    if (w == NULL)
        return;
    s = w->folder;
    close_file(w);
    (void)pthread_mutex_lock(&s->lock);
    s->writes[w->purpose] = false;
    s->left[w->purpose] = !w->renamed; /* to remove it may take long (SNAP-24) */
    if (w->renamed)
        s->writing_bytes[w->purpose] = 0;
    (void)pthread_mutex_unlock(&s->lock);
    free(w);
}

DEFINE_CLEANUP(writer, struct snap_writer *, snap_writer_drop);
#define cleanup_writer CLEANUP(writer)

static int make_file(struct snap_writer *w)
{
    const struct vfs *vfs = w->folder->conf.vfs;
    int rc = vfs->open(vfs->ctx, name_of(w), O_RDWR | O_CREAT | O_EXCL, &w->file);

    if (rc == -EEXIST) { /* what was not removed yet, or could not be */
        rc = vfs->unlink(vfs->ctx, name_of(w));
        if (rc == 0)
            rc = vfs->open(vfs->ctx, name_of(w), O_RDWR | O_CREAT | O_EXCL, &w->file);
    }
    return rc != 0 ? say_write(rc, "make", name_of(w)) : 0;
}

int snap_writer_new(struct snap_folder *s, enum snap_purpose purpose, struct snap_writer **ret)
{
    cleanup_writer struct snap_writer *w = calloc(1, sizeof(*w));
    int rc;

    rid_assert((unsigned)purpose <= SNAP_RECEIVED);
    if (w == NULL)
        return err_origin(-ENOMEM);
    w->folder = s;
    w->purpose = purpose;
    (void)pthread_mutex_lock(&s->lock);
    rid_assert(!s->writes[purpose]);
    s->writes[purpose] = true;
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_mutex_lock(&s->names);
    rc = make_file(w);
    (void)pthread_mutex_unlock(&s->names);
    if (rc != 0)
        return rc;
    note_bytes(w, 0);
    *ret = take_ptr(w);
    return 0;
}

static int write_all(struct snap_writer *w, const void *data, size_t n, uint64_t offset)
{
    const struct vfs *vfs = w->folder->conf.vfs;
    size_t done = 0;

    while (done < n) {
        struct iovec iov = {.iov_len = n - done};
        int64_t got;

        /* iov_base is not const although a write does not touch it. */
        memcpy(&iov.iov_base, &(const void *){(const char *)data + done}, sizeof(iov.iov_base));
        got = vfs->pwritev(vfs->ctx, w->file, &iov, 1, offset + done);
        if (got <= 0)
            return say_write(got < 0 ? (int)got : -EIO, "write", name_of(w));
        done += (size_t)got;
    }
    return 0;
}

/* Nothing counts on it before its end: it is for what else the disk has to do
 * (SNAP-14). */
static int sync_some(struct snap_writer *w)
{
    const struct vfs *vfs = w->folder->conf.vfs;
    int rc;

    if (w->bytes - w->synced < SNAP_SYNC_BYTES)
        return 0;
    rc = vfs->fdatasync(vfs->ctx, w->file);
    w->synced = w->bytes;
    return rc != 0 ? say_write(rc, "sync", name_of(w)) : 0;
}

int snap_writer_add(struct snap_writer *w, const void *data, size_t n)
{
    int rc;

    if (w->file == NULL)
        return w->failed;
    if (n > SNAP_BYTES_MAX - w->bytes)
        return fail(w, err_say(SNAP_E_FULL,
                               "the snapshot '%s' is larger than %" PRIu64 " bytes, more than any "
                               "may be",
                               name_of(w), (uint64_t)SNAP_BYTES_MAX));
    rc = write_all(w, data, n, w->bytes);
    if (rc != 0)
        return fail(w, rc);
    w->bytes += n;
    w->crc = crc32c(w->crc, data, n);
    note_bytes(w, w->bytes);
    rc = sync_some(w);
    return rc != 0 ? fail(w, rc) : 0;
}

uint64_t snap_writer_bytes(const struct snap_writer *w)
{
    return w->bytes;
}

uint32_t snap_writer_crc(const struct snap_writer *w)
{
    return w->crc;
}

int snap_writer_read(void *writer, void *buf, size_t n, uint64_t offset)
{
    const struct snap_writer *w = writer;

    if (w->file == NULL)
        return w->failed;
    if (offset > w->bytes || n > w->bytes - offset)
        return err_say(SNAP_E_DAMAGED, "the snapshot '%s' ends before what is read of it",
                       name_of(w));
    return snap_read_all(w->folder, w->file, name_of(w), buf, n, offset);
}

/* ---- the end ---- */

static int check_meta(const struct snap_writer *w, const struct snap_meta *m)
{
    const struct snap_conf *conf = &w->folder->conf;

    if (memcmp(m->cluster_id, conf->cluster_id, sizeof(m->cluster_id)) != 0 ||
        m->group != conf->group)
        return err_say(SNAP_E_FOREIGN, "the snapshot '%s' is of another cluster or group",
                       name_of(w));
    if (m->given)
        return err_say(SNAP_E_GIVEN, "the snapshot '%s' is a copy that a client was given",
                       name_of(w));
    if (!snap_meta_is_sound(m))
        return err_say(SNAP_E_DAMAGED, "the snapshot '%s' has a trailer that cannot be",
                       name_of(w));
    if (m->body_bytes != w->bytes || m->body_crc != w->crc)
        return err_say(SNAP_E_DAMAGED,
                       "the snapshot '%s' is damaged: of %" PRIu64 " bytes with checksum %08x came "
                       "%" PRIu64 " with %08x",
                       name_of(w), m->body_bytes, m->body_crc, w->bytes, w->crc);
    return 0;
}

static int add_trailer(struct snap_writer *w, const struct snap_meta *m, uint64_t *ret_bytes)
{
    const struct vfs *vfs = w->folder->conf.vfs;
    cleanup_buf struct buf trailer = BUF_INIT;
    int rc = snap_meta_encode(m, &trailer);

    if (rc != 0)
        return err_origin(rc);
    rc = write_all(w, trailer.data, trailer.len, w->bytes);
    if (rc != 0)
        return rc;
    *ret_bytes = w->bytes + trailer.len;
    rc = vfs->fdatasync(vfs->ctx, w->file);
    return rc != 0 ? say_write(rc, "sync", name_of(w)) : 0;
}

static struct snap_file *new_file(struct raft_entry_id id)
{
    struct snap_file *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return NULL;
    f->id = id;
    snap_name(f->name, id);
    return f;
}

/* Under lock. May there be one of this name? */
static int may_stand_there(struct snap_folder *s, const struct snap_file *f)
{
    /* Not ours to remove (DISK-24). */
    if (f != NULL && f->state == SNAP_KEPT)
        return err_say(f->why, "'%s' stands where the snapshot would: %s", f->name,
                       snap_error_text(f->why));
    if (f == NULL && s->n_files >= SNAP_FILES_MAX)
        return err_say(SNAP_E_FULL, "there are %zu snapshots already", s->n_files);
    return f == NULL && snap_reserve(s) != 0 ? err_origin(-ENOMEM) : 0;
}

/* Under names. The one whose place it takes, or a new one, not in the list yet (*ret_new). */
static int take_place(struct snap_folder *s, struct raft_entry_id id, struct snap_file **ret,
                      bool *ret_new)
{
    struct snap_file *f;
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    f = snap_find(s, id);
    rc = may_stand_there(s, f);
    (void)pthread_mutex_unlock(&s->lock);
    if (rc != 0)
        return rc;
    *ret_new = f == NULL;
    *ret = f != NULL ? f : new_file(id);
    return *ret != NULL ? 0 : err_origin(-ENOMEM);
}

static void enter(struct snap_folder *s, struct snap_file *f, bool is_new,
                  const struct snap_meta *m, uint64_t bytes)
{
    (void)pthread_mutex_lock(&s->lock);
    f->older = f->id;
    f->state = SNAP_GOOD;
    f->why = 0;
    f->bytes = bytes;
    f->checked = false; /* what was read again is not this any more (SNAP-5) */
    f->generation++;
    f->meta = *m;
    if (is_new)
        snap_insert(s, f);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Its own name only when all of it is durable; and nobody is told before the name is, too
 * (SNAP-6). */
static int give_name(struct snap_writer *w, struct snap_file *f, bool is_new)
{
    const struct vfs *vfs = w->folder->conf.vfs;
    int rc = vfs->rename(vfs->ctx, name_of(w), f->name);

    if (rc != 0)
        return say_write(rc, "name", f->name);
    w->renamed = true;
    rc = vfs->sync_dir(vfs->ctx);
    if (rc == 0)
        return 0;
    if (is_new)
        (void)vfs->unlink(vfs->ctx, f->name);
    return say_write(rc, "sync the folder of", f->name);
}

/* Under names. */
static int put_in_place(struct snap_writer *w, const struct snap_meta *m, uint64_t bytes)
{
    struct snap_folder *s = w->folder;
    struct snap_file *f = NULL;
    bool is_new = false;
    int rc = take_place(s, m->id, &f, &is_new);

    if (rc != 0)
        return rc;
    rc = give_name(w, f, is_new);
    if (rc != 0 && is_new) {
        free(f);
        return rc;
    }
    if (w->renamed)
        enter(s, f, is_new, m, bytes);
    return rc;
}

int snap_writer_finish(struct snap_writer *w, const struct snap_meta *m)
{
    cleanup_writer struct snap_writer *mine = w;
    uint64_t bytes = 0;
    int rc;

    if (w->file == NULL)
        return w->failed;
    rc = check_meta(w, m);
    if (rc == 0)
        rc = add_trailer(w, m, &bytes);
    close_file(w);
    if (rc == 0) {
        (void)pthread_mutex_lock(&w->folder->names);
        rc = put_in_place(w, m, bytes);
        (void)pthread_mutex_unlock(&w->folder->names);
    }
    if (rc != 0)
        remove_begun(w);
    return rc;
}
