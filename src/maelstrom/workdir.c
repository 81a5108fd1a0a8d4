/* Who may remove a folder is decided by its lock alone: the owner holds it until all but the lock
 * file is gone, so a folder whose lock is free is abandoned.
 *
 * A new owner makes the folder, makes the lock file, locks it, and looks whether the file is still
 * there: somebody who tidies up may have come between, then it tries again with another name. */
#include "maelstrom/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

#define PREFIX    "ridd-maelstrom-"
#define LOCK_NAME "lock"

/* ---- removing ---- */

/* Everything in fd but `except`. What cannot be removed stays. */
static void empty_folder(int fd, const char *except, unsigned depth)
{
    int dup_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = dup_fd >= 0 ? fdopendir(dup_fd) : NULL;
    struct dirent *d;

    if (dir == NULL) {
        if (dup_fd >= 0)
            (void)close(dup_fd);
        return;
    }
    while ((d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            (except != NULL && strcmp(d->d_name, except) == 0))
            continue;
        if (unlinkat(fd, d->d_name, 0) != 0 && (errno == EISDIR || errno == EPERM) &&
            depth < WORKDIR_DEPTH_MAX) {
            int sub = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (sub >= 0) {
                empty_folder(sub, NULL, depth + 1);
                (void)close(sub);
            }
            (void)unlinkat(fd, d->d_name, AT_REMOVEDIR);
        }
    }
}

/* The lock is held by the caller and goes last. */
static void remove_folder(int parent_fd, const char *name, int fd)
{
    empty_folder(fd, LOCK_NAME, 0);
    (void)unlinkat(fd, LOCK_NAME, 0);
    (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}

static void maybe_sweep_one(int base_fd, const char *name)
{
    cleanup_fd int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_fd int lock_fd = -1;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || st.st_uid != geteuid())
        return;
    lock_fd = openat(fd, LOCK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (lock_fd >= 0 && flock(lock_fd, LOCK_EX | LOCK_NB) == 0)
        remove_folder(base_fd, name, fd);
}

static void sweep(const char *base)
{
    cleanup_dir DIR *dir = opendir(base);
    const struct dirent *d;
    unsigned n = 0;

    while (dir != NULL && n < WORKDIR_SWEEP_MAX && (d = readdir(dir)) != NULL) {
        if (strncmp(d->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        n++;
        maybe_sweep_one(dirfd(dir), d->d_name);
    }
}

void workdir_remove(struct workdir *w)
{
    if (w->fd >= 0) {
        empty_folder(w->fd, LOCK_NAME, 0);
        (void)unlinkat(w->fd, LOCK_NAME, 0);
    }
    if (w->path[0] != '\0')
        (void)rmdir(w->path);
    if (w->lock_fd >= 0)
        (void)close(w->lock_fd);
    if (w->fd >= 0)
        (void)close(w->fd);
    *w = (struct workdir)WORKDIR_INIT;
}

/* ---- making ---- */

/* 0; 1: somebody tidied it away, try again; -errno. */
static int take(struct workdir *w)
{
    struct stat st;

    w->fd = open(w->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (w->fd < 0)
        return -errno;
    w->lock_fd = openat(w->fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->lock_fd < 0)
        return errno == ENOENT ? 1 : -errno;
    if (flock(w->lock_fd, LOCK_EX) != 0 || fstat(w->lock_fd, &st) != 0)
        return -errno;
    return st.st_nlink > 0 ? 0 : 1;
}

static int make_once(const char *base, struct workdir *w)
{
    int n = snprintf(w->path, sizeof(w->path), "%s%s" PREFIX "XXXXXX", base,
                     base[strlen(base) - 1] == '/' ? "" : "/");
    int rc;

    if (n < 0 || (size_t)n >= sizeof(w->path) - 64) { /* room for names inside */
        w->path[0] = '\0';
        return -ENAMETOOLONG;
    }
    if (mkdtemp(w->path) == NULL) {
        rc = -errno;
        w->path[0] = '\0';
        return rc;
    }
    rc = take(w);
    if (rc != 0)
        workdir_remove(w);
    return rc;
}

int workdir_make(struct workdir *w)
{
    const char *env = secure_getenv("TMPDIR");
    const char *base = env != NULL && env[0] != '\0' ? env : "/tmp";
    cleanup_free char *real = realpath(base, NULL);
    int rc = 1;

    *w = (struct workdir)WORKDIR_INIT;
    if (real == NULL) {
        int error = errno;

        return err_origin(
            err_say(-error, "cannot use '%s' for temporary files: %s", base, strerror(error)));
    }
    sweep(real);
    for (unsigned i = 0; rc == 1 && i < WORKDIR_TRIES_MAX; i++)
        rc = make_once(real, w);
    if (rc == 1)
        rc = -EAGAIN;
    return rc == 0 ? 0
                   : err_origin(err_say(rc, "cannot make a temporary folder in '%s': %s", real,
                                        strerror(-rc)));
}

int workdir_open_folder(const struct workdir *w, const char *name)
{
    int fd;

    if (mkdirat(w->fd, name, 0700) != 0 && errno != EEXIST)
        return err_origin(
            err_say(-errno, "cannot make '%s/%s': %s", w->path, name, strerror(errno)));
    fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_origin(
            err_say(-errno, "cannot open '%s/%s': %s", w->path, name, strerror(errno)));
    return fd;
}
