/* A copy that came from elsewhere is put beside the data file, and read there as a start reads a
 * data file (STATE-12): what takes its place is what was checked, not what was received
 * (STATE-16). */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/progress.h"
#include "kv/kv_int.h"
#include "kv/walk_int.h"

#include "base/banned.h"

uint32_t kv_copy_format(const struct kv *kv)
{
    return kv_format_of(kv->page_bytes);
}

int kv_check_copy(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret)
{
    return kv_say_copy(walk_copy(kv, source, ret));
}

/* ---- the file ---- */

static int remove_prepared(struct kv *kv)
{
    kv->prepared.is_there = false;
    if (unlinkat(kv->dir_fd, TRUST_NEXT_NAME, 0) != 0 && errno != ENOENT)
        return err_origin_errno("remove", TRUST_NEXT_NAME);
    return 0;
}

/* All of its room at once: a disk that has too little is not filled first. Where the file system
 * knows no such call the writes say it. 0 or -errno. */
static int take_room(const struct kv *kv, int fd, uint64_t bytes)
{
    int r = bytes > 0 ? fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) : 0;
    int error = errno;

    /* What was set aside helps nobody but a person. Mostly there is none, and its errno is not the
     * one that counts. */
    if (r != 0 && err_is_full(-error) && unlinkat(kv->dir_fd, TRUST_OLD_NAME, 0) == 0) {
        r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
        error = errno;
    }
    errno = error;
    if (r != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
        return err_origin_errno("make room for", TRUST_NEXT_NAME);
    return 0;
}

static int write_piece(int fd, const unsigned char *p, size_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t written = pwrite(fd, p, n, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_origin_errno("write", TRUST_NEXT_NAME);
        p += written;
        offset += (uint64_t)written;
        n -= (size_t)written;
    }
    return 0;
}

static int sync_data(int fd)
{
    return fdatasync(fd) != 0 ? err_origin_errno("sync", TRUST_NEXT_NAME) : 0;
}

/* Each byte of the source is asked for once. */
static int write_all(int fd, const struct kv_source *source)
{
    cleanup_free unsigned char *piece = malloc(KV_COPY_PIECE_BYTES);
    uint64_t at = 0;
    int rc = 0;

    if (piece == NULL)
        return err_origin(err_say(-ENOMEM, "cannot write '%s': out of memory", TRUST_NEXT_NAME));
    while (rc == 0 && at < source->bytes) {
        const uint64_t left = source->bytes - at;
        const size_t n = left < KV_COPY_PIECE_BYTES ? (size_t)left : KV_COPY_PIECE_BYTES;

        rc = source->stop != NULL && atomic_load(source->stop) ? -ECANCELED : 0;
        if (rc == 0)
            rc = source->read(source->ctx, piece, n, at);
        if (rc == 0)
            rc = write_piece(fd, piece, n, at);
        at += n;
        progress_tell("copying a snapshot", at, source->bytes);
        if (rc == 0 && at % KV_PREPARE_SYNC_BYTES == 0)
            rc = sync_data(fd);
    }
    return rc == 0 ? sync_data(fd) : rc;
}

static int read_file(void *ctx, void *buf, size_t n, uint64_t offset)
{
    const int fd = *(const int *)ctx;
    unsigned char *p = buf;

    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_origin_errno("read", TRUST_NEXT_NAME);
        if (got == 0)
            return err_say(KV_E_DAMAGED, "'%s' became shorter", TRUST_NEXT_NAME);
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static int prepare(struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret)
{
    cleanup_fd int fd = openat(kv->dir_fd, TRUST_NEXT_NAME,
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct kv_source file = {
        .read = read_file, .ctx = &fd, .bytes = source->bytes, .stop = source->stop};
    int rc;

    if (fd < 0)
        return err_origin_errno("create", TRUST_NEXT_NAME);
    rc = take_room(kv, fd, source->bytes);
    if (rc == 0)
        rc = write_all(fd, source);
    if (rc != 0)
        return rc;
    if (fsync(kv->dir_fd) != 0)
        return err_origin_errno("sync the directory of", TRUST_NEXT_NAME);
    /* From the disk, not from memory, as far as the kernel does as it is told. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return kv_check_copy(kv, &file, ret);
}

void kv_unprepare(struct kv *kv)
{
    if (!kv->prepared.is_there)
        return;
    kv_leave_file(kv, TRUST_NEXT_NAME);
    /* One that cannot be removed goes with the next that is prepared, or at the next start. */
    (void)remove_prepared(kv);
}

int kv_prepare(struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret)
{
    int rc = remove_prepared(kv);

    if (rc == 0)
        rc = prepare(kv, source, ret);
    if (rc == 0) {
        kv->prepared.is_there = true;
        kv->prepared.last_applied = ret->last_applied;
        kv->prepared.digest = ret->digest;
        return 0;
    }
    if (err_is_full(rc))
        rc =
            err_say(KV_E_FULL, "there is no room for the copy in '%s': %s", kv->dir, strerror(-rc));
    /* Nothing counts on it; a later one, or the next start, removes what could not be removed. */
    (void)unlinkat(kv->dir_fd, TRUST_NEXT_NAME, 0);
    return rc < 0 ? err_trace(rc) : rc;
}
