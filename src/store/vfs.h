/* The table of file operations under the log: the real one here, a virtual disk in the simulator.
 *
 * For: everything that the log and the snapshots (snap/) ask of a disk, so that a test can lose
 * power between any two calls.
 * Not for: LMDB, which has files of its own, and the marks (base/mark.h).
 * Units: bytes; offsets from the beginning of a file.
 * Ownership: a file is an opaque handle of whoever opened it, until closed. All paths are names
 * relative to the directory that was opened (never absolute, never with ".."), borrowed for the
 * call.
 * Errors: every call returns 0 or a value, or -errno. A sync that failed is final: it is never
 * asked again (DISK-13).
 * Thread: the log thread; the loop thread at start and, while both run, for open, pread and close
 * of handles of its own. The real one holds nothing that changes: with handles of their own any
 * threads may use it at once, and those of snap/ do.
 * Source: DISK-16 (a folder is synced before a name is relied on). */
#ifndef RIDD_STORE_VFS_H
#define RIDD_STORE_VFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct vfs_file;

struct vfs {
    void *ctx;
    int (*open)(void *ctx, const char *name, int flags /* O_RDWR, O_RDONLY | O_CREAT | O_EXCL */,
                struct vfs_file **ret);
    int (*close)(void *ctx, struct vfs_file *f);
    int64_t (*pread)(void *ctx, struct vfs_file *f, void *buf, size_t n, uint64_t offset);
    int64_t (*pwritev)(void *ctx, struct vfs_file *f, const struct iovec *iov, int n_iov,
                       uint64_t offset);
    int (*fdatasync)(void *ctx, struct vfs_file *f);
    int (*sync_dir)(void *ctx);
    int (*allocate)(void *ctx, struct vfs_file *f, uint64_t size); /* posix_fallocate */
    int (*truncate)(void *ctx, struct vfs_file *f, uint64_t size);
    int64_t (*size)(void *ctx, struct vfs_file *f);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *name);
    /* Calls each() for every name but . and .. ; stops when it returns non-zero and hands that up.
     */
    int (*list)(void *ctx, int (*each)(void *arg, const char *name), void *arg);
    int (*drop_cache)(void *ctx, struct vfs_file *f); /* posix_fadvise DONTNEED */
};

/* The real one: *ret_vfs works below dir_fd (not taken over). Free with vfs_posix_free(). */
int vfs_posix_new(int dir_fd, struct vfs **ret_vfs);
void vfs_posix_free(struct vfs *vfs);

#endif
