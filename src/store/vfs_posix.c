/* The real file operations. Every name is a single component below one directory; files are opened
 * with O_NOFOLLOW and O_CLOEXEC and made with mode 0600 (IDENTITY-4). EINTR is repeated
 * here, except for fdatasync and fsync: what an interrupted sync did is unknown, so it counts as
 * failed. */
#include "store/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"

#include "base/banned.h"

struct vfs_file {
    int fd;
};

struct vfs_posix {
    struct vfs vfs;
    int dir_fd; /* borrowed */
};

static int posix_fail(const char *what, const char *name)
{
    int error = errno != 0 ? errno : EIO;

    return err_origin(err_say(-error, "cannot %s '%s': %s", what, name, strerror(error)));
}

static bool name_is_plain(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int posix_open(void *ctx, const char *name, int flags, struct vfs_file **ret)
{
    struct vfs_posix *p = ctx;
    cleanup_free struct vfs_file *f = malloc(sizeof(*f));
    int fd;

    rid_assert(name_is_plain(name));
    if (f == NULL)
        return err_origin(-ENOMEM);
    do {
        fd = openat(p->dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return posix_fail((flags & O_CREAT) != 0 ? "create" : "open", name);
    f->fd = fd;
    *ret = take_ptr(f);
    return 0;
}

static int posix_close(void *ctx, struct vfs_file *f)
{
    int rc = 0;

    (void)ctx;
    if (close(f->fd) != 0 && errno != EINTR)
        rc = posix_fail("close", "a file of the log");
    free(f);
    return rc;
}

static int64_t posix_pread(void *ctx, struct vfs_file *f, void *buf, size_t n, uint64_t offset)
{
    size_t done = 0;

    (void)ctx;
    while (done < n) {
        ssize_t got = pread(f->fd, (char *)buf + done, n - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return posix_fail("read", "a file of the log");
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t posix_pwritev(void *ctx, struct vfs_file *f, const struct iovec *iov, int n_iov,
                             uint64_t offset)
{
    ssize_t n;

    (void)ctx;
    do {
        n = pwritev(f->fd, iov, n_iov, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? posix_fail("write", "a file of the log") : n;
}

static int posix_fdatasync(void *ctx, struct vfs_file *f)
{
    (void)ctx;
    return fdatasync(f->fd) != 0 ? posix_fail("sync", "a file of the log") : 0;
}

static int posix_sync_dir(void *ctx)
{
    struct vfs_posix *p = ctx;

    return fsync(p->dir_fd) != 0 ? posix_fail("sync", "the folder of the log") : 0;
}

static int posix_allocate(void *ctx, struct vfs_file *f, uint64_t size)
{
    int error;

    (void)ctx;
    do {
        error = posix_fallocate(f->fd, 0, (off_t)size);
    } while (error == EINTR);
    errno = error;
    return error != 0 ? posix_fail("allocate room for", "a file of the log") : 0;
}

static int posix_truncate(void *ctx, struct vfs_file *f, uint64_t size)
{
    int rc;

    (void)ctx;
    do {
        rc = ftruncate(f->fd, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc != 0 ? posix_fail("truncate", "a file of the log") : 0;
}

static int64_t posix_size(void *ctx, struct vfs_file *f)
{
    struct stat st;

    (void)ctx;
    if (fstat(f->fd, &st) != 0)
        return posix_fail("stat", "a file of the log");
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return posix_fail("use what is no regular file as", "a file of the log");
    }
    return (int64_t)st.st_size;
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
    struct vfs_posix *p = ctx;

    rid_assert(name_is_plain(from));
    rid_assert(name_is_plain(to));
    return renameat(p->dir_fd, from, p->dir_fd, to) != 0 ? posix_fail("rename", from) : 0;
}

static int posix_unlink(void *ctx, const char *name)
{
    struct vfs_posix *p = ctx;

    rid_assert(name_is_plain(name));
    return unlinkat(p->dir_fd, name, 0) != 0 ? posix_fail("remove", name) : 0;
}

static int posix_list(void *ctx, int (*each)(void *arg, const char *name), void *arg)
{
    struct vfs_posix *p = ctx;
    cleanup_fd int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = NULL;

    if (fd < 0)
        return posix_fail("open", "the folder of the log");
    dir = fdopendir(fd);
    if (dir == NULL)
        return posix_fail("list", "the folder of the log");
    (void)take_fd(fd);
    for (;;) {
        struct dirent *entry;
        int rc;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL)
            return errno != 0 ? posix_fail("list", "the folder of the log") : 0;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = each(arg, entry->d_name);
        if (rc != 0)
            return rc;
    }
}

static int posix_drop_cache(void *ctx, struct vfs_file *f)
{
    int error = posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);

    (void)ctx;
    errno = error;
    return error != 0 ? posix_fail("drop the cache of", "a file of the log") : 0;
}

int vfs_posix_new(int dir_fd, struct vfs **ret_vfs)
{
    struct vfs_posix *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return err_origin(-ENOMEM);
    p->dir_fd = dir_fd;
    p->vfs = (struct vfs){
        .ctx = p,
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwritev = posix_pwritev,
        .fdatasync = posix_fdatasync,
        .sync_dir = posix_sync_dir,
        .allocate = posix_allocate,
        .truncate = posix_truncate,
        .size = posix_size,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .list = posix_list,
        .drop_cache = posix_drop_cache,
    };
    *ret_vfs = &p->vfs;
    return 0;
}

void vfs_posix_free(struct vfs *vfs)
{
    if (vfs != NULL)
        free(vfs->ctx);
}
