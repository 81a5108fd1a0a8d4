/* Room for the log: the next segment, and what is done when the disk has none.
 *
 * The next segment is allocated early, as soon as the active one is a small one or half full, and
 * filled with zeros in slices between batches, from the half on: a slice writes and syncs some, so
 * that no fdatasync of a batch has 64 MiB of them to push. When rotation comes earlier, the rest
 * stays allocated but unwritten: slower to write to, no less right. So there is always room for
 * more than a leader may have under way, or it is known that there is none while there still is.
 *
 * Without room (SPACE-1) nothing new is taken, and what was taken is written: into the rest of the
 * active segment, then into `reserve`, a file of a small segment's size that is kept for it, and
 * for the segment that a start opens (SPACE-10). Where that is used up, too, the queue waits:
 * nothing was written of what has no place, and it is tried again until there is one (SPACE-9).
 * The reserve is made anew when there is room.
 *
 * What a crash leaves: a reserve that is not whole has another size, and the start removes it; one
 * that was taken has the name of a prepared segment, which the start removes as any other. */
#include <errno.h>
#include <fcntl.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/store_int.h"

#include "base/banned.h"

#define RESERVE_NAME "reserve"

/* ---- files ---- */

int store_write_all(struct vfs *vfs, struct vfs_file *f, const void *data, size_t len,
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
        int rc = store_write_all(vfs, f, zeros, n, from);

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
    /* One that could not be removed for want of room: there are file systems that need some. */
    if (rc == -EEXIST) {
        rc = vfs->unlink(vfs->ctx, name);
        if (rc == 0)
            rc = vfs->open(vfs->ctx, name, O_RDWR | O_CREAT | O_EXCL, &f);
    }
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

/* ---- what is said of it ---- */

static void set_no_space(struct store *s, bool no_space)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stats.no_space = no_space;
    if (!no_space)
        s->stalled = false;
    (void)pthread_mutex_unlock(&s->lock);
}

static void set_stalled(struct store *s, bool stalled)
{
    (void)pthread_mutex_lock(&s->lock);
    s->stalled = stalled;
    (void)pthread_mutex_unlock(&s->lock);
}

/* What lies ahead has its place: then there is room again. Otherwise an attempt to prepare it says
 * whether there is. */
void store_room_held(struct store *s, bool is_held)
{
    if (is_held || s->w.next_file != NULL)
        set_no_space(s, is_held);
    set_stalled(s, is_held);
}

bool store_room_fits(const struct writer *w, uint64_t bytes)
{
    return w->used + w->out.len + bytes + STORE_CLOSING_BYTES <= w->size;
}

static uint64_t above(uint64_t size, uint64_t used)
{
    return size > used ? size - used : 0;
}

void store_room_publish(struct store *s)
{
    const struct writer *w = &s->w;
    uint64_t bytes = above(w->size, w->used + STORE_CLOSING_BYTES);

    if (w->next_file != NULL)
        bytes += above(w->next_size, store_overhead(w));
    (void)pthread_mutex_lock(&s->lock);
    s->stats.room_bytes = bytes;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the reserve ---- */

/* That there is no room for it is no error: it is tried again. */
int store_room_keep_reserve(struct store *s)
{
    struct vfs *vfs = s->conf.vfs;
    const uint64_t size = s->conf.segment_first_bytes;
    struct vfs_file *f = NULL;
    int rc;

    if (s->w.has_reserve)
        return 0;
    rc = store_make_file(vfs, RESERVE_NAME, size, size, &f);
    if (err_is_full(rc))
        return 0;
    if (rc == 0)
        rc = vfs->fdatasync(vfs->ctx, f);
    if (f != NULL)
        (void)vfs->close(vfs->ctx, f);
    if (err_is_full(rc)) { /* a file system that allocates at each sync */
        rc = vfs->unlink(vfs->ctx, RESERVE_NAME);
        return err_is_full(rc) ? 0 : err_trace(rc);
    }
    if (rc != 0)
        return err_trace(rc);
    s->w.has_reserve = true;
    return 0;
}

/* One of another size was never finished, or is of another configuration. */
int store_room_find_reserve(struct store *s)
{
    struct vfs *vfs = s->conf.vfs;
    struct vfs_file *f = NULL;
    int64_t size;
    int rc = vfs->open(vfs->ctx, RESERVE_NAME, O_RDONLY, &f);

    s->w.has_reserve = false;
    if (rc == -ENOENT)
        return 0;
    if (rc != 0)
        return err_trace(rc);
    size = vfs->size(vfs->ctx, f);
    (void)vfs->close(vfs->ctx, f);
    s->w.has_reserve = size > 0 && (uint64_t)size == s->conf.segment_first_bytes;
    if (!s->w.has_reserve)
        rc = vfs->unlink(vfs->ctx, RESERVE_NAME);
    return err_is_full(rc) ? 0 : err_trace(rc);
}

static int take_reserve(struct store *s, const char *name, struct vfs_file **ret_file)
{
    struct vfs *vfs = s->conf.vfs;
    int rc = vfs->rename(vfs->ctx, RESERVE_NAME, name);

    if (err_is_full(rc))
        return err_trace(rc); /* there are file systems that need room for a name */
    s->w.has_reserve = false;
    if (rc == 0)
        rc = vfs->open(vfs->ctx, name, O_RDWR, ret_file);
    return err_trace(rc);
}

/* ---- a file for a segment ---- */

/* Of `size`, of that of a small segment, the reserve, or just large enough: the first for which
 * there is room; 0 and *ret_file NULL: none. `least` is what it must have. */
int store_room_make(struct store *s, const char *name, uint64_t size, uint64_t least, uint64_t fill,
                    struct vfs_file **ret_file, uint64_t *ret_size)
{
    struct vfs *vfs = s->conf.vfs;
    const uint64_t small = store_max_u64(s->conf.segment_first_bytes, least);
    int rc;

    *ret_file = NULL;
    *ret_size = store_max_u64(size, least);
    rc = store_make_file(vfs, name, *ret_size, fill, ret_file);
    set_no_space(s, err_is_full(rc));
    if (err_is_full(rc) && small < *ret_size) {
        *ret_size = small;
        rc = store_make_file(vfs, name, small, store_min_u64(fill, small), ret_file);
    }
    if (err_is_full(rc) && s->w.has_reserve && s->conf.segment_first_bytes >= least) {
        *ret_size = s->conf.segment_first_bytes;
        rc = take_reserve(s, name, ret_file);
    }
    if (err_is_full(rc) && least < *ret_size) {
        *ret_size = least;
        rc = store_make_file(vfs, name, least, store_min_u64(fill, least), ret_file);
    }
    return err_is_full(rc) ? 0 : err_trace(rc);
}

static int drop_prepared(struct store *s)
{
    struct writer *w = &s->w;
    char name[STORE_NAME_BYTES];
    int rc = 0;

    if (w->next_file != NULL) {
        rc = s->conf.vfs->close(s->conf.vfs->ctx, take_ptr(w->next_file));
        store_name_prepared(name, w->seq + 1);
        if (rc == 0)
            rc = s->conf.vfs->unlink(s->conf.vfs->ctx, name);
        if (err_is_full(rc)) /* store_make_file() does it */
            rc = 0;
    }
    w->prepare = PREPARE_NONE;
    return err_trace(rc);
}

int store_room_ensure(struct store *s, uint64_t need, bool *ret_is_there)
{
    struct writer *w = &s->w;
    const uint64_t least = store_overhead(w) + need;
    char name[STORE_NAME_BYTES];
    int rc;

    *ret_is_there = true;
    w->stall_need = 0;
    if (w->next_file != NULL && w->next_size >= least)
        return 0;
    rc = drop_prepared(s);
    if (rc != 0)
        return err_trace(rc);
    store_name_prepared(name, w->seq + 1);
    rc = store_room_make(s, name, s->conf.segment_bytes, least, 0, &w->next_file, &w->next_size);
    if (rc != 0)
        return err_trace(rc);
    *ret_is_there = w->next_file != NULL;
    if (!*ret_is_there)
        w->stall_need = need;
    set_stalled(s, !*ret_is_there);
    return 0;
}

void store_room_take(struct store *s, struct vfs_file **ret_file, uint64_t *ret_size)
{
    struct writer *w = &s->w;

    rid_assert(w->next_file != NULL);
    *ret_file = take_ptr(w->next_file);
    *ret_size = w->next_size;
    w->prepare = PREPARE_NONE;
}

/* ---- preparation of the next segment ---- */

/* Not an error yet (SPACE-1). The state ends by itself when an attempt succeeds. */
static int prepare_no_space(struct store *s)
{
    struct writer *w = &s->w;
    int rc;

    w->no_space_tries++;
    w->no_space_skip = w->no_space_tries < 4 ? 1u << w->no_space_tries : STORE_NO_SPACE_SKIP_MAX;
    set_no_space(s, true);
    rc = drop_prepared(s);
    return rc != 0 ? err_trace(rc) : err_trace(store_room_keep_reserve(s));
}

static int prepare_begin(struct store *s)
{
    struct writer *w = &s->w;
    char name[STORE_NAME_BYTES];
    int rc;

    store_name_prepared(name, w->seq + 1);
    w->next_size = store_max_u64(s->conf.segment_bytes, store_overhead(w));
    w->next_filled = 0;
    rc = store_make_file(s->conf.vfs, name, w->next_size, 0, &w->next_file);
    if (err_is_full(rc))
        return err_trace(prepare_no_space(s));
    if (rc != 0)
        return err_trace(rc);
    w->no_space_tries = 0;
    set_no_space(s, false);
    w->prepare = PREPARE_FILLING;
    return err_trace(store_room_keep_reserve(s));
}

static int prepare_fill(struct store *s)
{
    struct writer *w = &s->w;
    uint64_t slice = store_has_work(s) ? STORE_PREPARE_BUSY_BYTES : STORE_PREPARE_BYTES;
    uint64_t to = store_min_u64(w->next_filled + slice, w->next_size);
    int rc = store_write_zeros(s->conf.vfs, w->next_file, w->next_filled, to);

    if (rc == 0)
        rc = s->conf.vfs->fdatasync(s->conf.vfs->ctx, w->next_file);
    if (err_is_full(rc))
        return err_trace(prepare_no_space(s)); /* a file system that allocates at each write */
    if (rc != 0)
        return err_trace(rc);
    w->next_filled = to;
    if (to == w->next_size)
        w->prepare = PREPARE_DONE;
    return 0;
}

/* What waits for a place gets one before anything else is made of the room there is. */
static int prepare_for_the_queue(struct store *s)
{
    bool is_there = false;
    int rc = store_room_ensure(s, s->w.stall_need, &is_there);

    if (rc == 0 && is_there)
        s->w.prepare = PREPARE_DONE; /* as it is: the rotation comes at once */
    return err_trace(rc);
}

static int prepare_next(struct store *s, bool *ret_more)
{
    struct writer *w = &s->w;
    const bool half = w->used >= w->size / 2;
    int rc = 0;

    if (w->prepare == PREPARE_DONE && w->stall_need == 0)
        return 0;
    if (w->prepare == PREPARE_NONE && w->no_space_skip > 0) {
        w->no_space_skip--;
        return 0;
    }
    /* This thread alone writes no_space: while there was no room an attempt is what ends it. */
    if (w->stall_need != 0)
        rc = prepare_for_the_queue(s);
    else if (w->prepare == PREPARE_FILLING)
        rc = half ? prepare_fill(s) : 0;
    else if (half || w->size < s->conf.segment_bytes || s->stats.no_space)
        rc = prepare_begin(s);
    *ret_more = rc == 0 && half && w->prepare == PREPARE_FILLING;
    return err_trace(rc);
}

/* What goes comes first: it makes room. */
int store_prepare(struct store *s, bool *ret_more)
{
    struct writer *w = &s->w;
    bool went = false;

    if (w->failed != 0)
        return err_trace(w->failed);
    *ret_more = false;
    w->failed = store_remove_front(s, &went);
    if (went) {
        w->no_space_skip = 0;
        *ret_more = true;
    }
    if (w->failed == 0 && w->stage != STAGE_NONE)
        w->failed = store_go_on(s);
    else if (w->failed == 0 && !went)
        w->failed = prepare_next(s, ret_more);
    if (w->failed != 0)
        return err_trace(w->failed);
    store_room_publish(s);
    return 0;
}
