/* Room for the state, in addresses and on the disk.
 *
 * LMDB's map is address space and no quota: it is made far larger than what it will ever hold, and
 * where the kernel gives less it grows by itself before it is full (SPACE-3). What a state may hold
 * is decided elsewhere, by a number that is the same on all nodes; a map that is full on one node,
 * because its pages lie in another way, must never be what decides it.
 *
 * It grows between transactions only: the pages of an open one would move. Readers are kept away by
 * a lock, and where one is reading, the map grows before the next transaction. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mark.h"
#include "kv/kv_int.h"

#include "base/banned.h"

static size_t whole_pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (bytes + page - 1) / page * page;
}

void kv_map_hold(struct kv *kv)
{
    (void)pthread_rwlock_rdlock(&kv->map_lock);
}

void kv_map_release(struct kv *kv)
{
    (void)pthread_rwlock_unlock(&kv->map_lock);
}

/* Are there so many addresses in a row? LMDB lets go of the old map before it asks for the new one,
 * and has none when that fails. */
static bool are_there(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return false;
    (void)munmap(p, bytes);
    return true;
}

/* Where the kernel refuses the addresses (a limit on them, RLIMIT_AS): the next smaller wish; 0:
 * there is none, and what it said stands. */
size_t kv_map_smaller(size_t bytes)
{
    return bytes > KV_MAP_BYTES_MIN ? whole_pages(bytes / 2) : 0;
}

/* A third of what there is stays: a map that took the last of it would leave nothing for threads,
 * and for what clients ask. (A map that grows needs its new size beside the old one.) */
size_t kv_map_first(const struct kv_conf *conf)
{
    const size_t most = conf->map_bytes_max;
    size_t bytes = conf->map_size_bytes;

    bytes = whole_pages(most != 0 && bytes > most ? most : bytes);
    while (!are_there(bytes + bytes / 2) && kv_map_smaller(bytes) != 0)
        bytes = kv_map_smaller(bytes);
    return bytes;
}

static size_t larger(const struct kv *kv)
{
    const size_t now = (size_t)kv->map_bytes;
    size_t to;

    if (now > SIZE_MAX / 4)
        return now;
    to = now * 2 > now + KV_MAP_ROOM_BYTES ? now * 2 : now + KV_MAP_ROOM_BYTES;
    if (kv->map_bytes_max != 0 && to > kv->map_bytes_max)
        to = kv->map_bytes_max;
    return to > now ? whole_pages(to) : now;
}

static bool is_tight(const struct kv *kv)
{
    MDB_envinfo info;

    if (mdb_env_info(kv->env, &info) != 0)
        return false;
    return (info.me_last_pgno + 1) * kv->page_bytes + KV_MAP_ROOM_BYTES > kv->map_bytes;
}

/* Not to have grown is no error: a transaction that finds no room says so itself. A copy may read
 * for long, at the pace of whoever takes it: it is ended, and begun again later by who wants it.
 * The map grows before the next transaction, and nobody waits (SNAP-9). */
int kv_map_grow(struct kv *kv)
{
    const size_t to = larger(kv);
    int code;

    if (to <= kv->map_bytes || !is_tight(kv) || !are_there(to))
        return 0;
    if (pthread_rwlock_trywrlock(&kv->map_lock) != 0) {
        copying_end(kv);
        return 0;
    }
    code = mdb_env_set_mapsize(kv->env, to);
    (void)pthread_rwlock_unlock(&kv->map_lock);
    if (code != 0)
        return err_trace(kv_lmdb_fatal(kv, code, "enlarge the map"));
    kv->map_bytes = to;
    return 0;
}

/* ---- the disk ---- */

static int data_fd(const struct kv *kv)
{
    int fd = -1;

    return mdb_env_get_fd(kv->env, &fd) == 0 ? fd : -1;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t ahead_bytes(const struct kv *kv, int fd)
{
    const uint64_t most =
        kv->conf.ahead_bytes_max != 0 ? kv->conf.ahead_bytes_max : kv->conf.map_size_bytes / 8;
    struct statvfs fs;

    if (fstatvfs(fd, &fs) != 0)
        return 0;
    return smaller(smaller(most, KV_AHEAD_BYTES),
                   (uint64_t)fs.f_blocks * fs.f_frsize / KV_AHEAD_PART);
}

void kv_set_ahead(struct kv *kv, uint64_t bytes_max)
{
    kv->conf.ahead_bytes_max = bytes_max;
    kv->ahead_look = 0;
}

bool kv_disk_room(const struct kv *kv, uint64_t *ret_used, uint64_t *ret_limit)
{
    const int fd = data_fd(kv);
    struct statvfs fs;

    if (fd < 0 || fstatvfs(fd, &fs) != 0)
        return false;
    *ret_used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    *ret_limit = *ret_used + (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

/* The blocks are behind the end of the file, whose length goes on saying what was written. What
 * another process could take meanwhile is no reserve. */
void kv_room_ahead(struct kv *kv)
{
    const int fd = data_fd(kv);
    MDB_envinfo info;
    uint64_t ahead;
    uint64_t used;
    uint64_t from;

    if (fd < 0 || mdb_env_info(kv->env, &info) != 0)
        return;
    used = (info.me_last_pgno + 1) * kv->page_bytes;
    kv->ahead_from = used;
    if (used < kv->ahead_look)
        return;
    mark_keep_reserve(kv->dir_fd);
    ahead = ahead_bytes(kv, fd);
    /* Only what is new: tmpfs gives blocks of before back, too, when it finds no room for all of
     * what it is asked for. */
    from = kv->ahead_to > used ? kv->ahead_to : used;
    if (used + ahead > from &&
        fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(used + ahead - from)) == 0)
        from = used + ahead;
    /* Where there is no room, or the file system knows no such call, not again for each
     * transaction. */
    kv->ahead_to = from;
    kv->ahead_look = used + (from - used) / 2 + ahead / 8;
}

/* A write that is cut short by a full disk is EIO to LMDB, as one that failed is. By the time that
 * this is asked there may be room again, when somebody asked for more than there is and was
 * refused: so a few times it is taken for a full disk in any case. Nothing is lost by trying again,
 * since the state is not what is durable. */
bool kv_disk_is_full(struct kv *kv)
{
    const int fd = data_fd(kv);
    struct statvfs fs;

    if (fd >= 0 && fstatvfs(fd, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < KV_DISK_FULL_BYTES)
        return true;
    return ++kv->n_eio <= KV_EIO_MAX;
}

void kv_give_room(struct kv *kv)
{
    kv_leave_file(kv, TRUST_OLD_NAME);
    (void)unlinkat(kv->dir_fd, TRUST_OLD_NAME, 0);
    kv->ahead_look = 0; /* asked for again by the next attempt */
}

int kv_room_for_lock(const struct kv *kv)
{
    cleanup_fd int fd =
        openat(kv->dir_fd, TRUST_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return errno;
    rc = posix_fallocate(fd, 0, KV_LOCK_FILE_BYTES);
    if (rc == ENOSPC && mark_use_reserve(kv->dir_fd))
        rc = posix_fallocate(fd, 0, KV_LOCK_FILE_BYTES);
    return rc == EOPNOTSUPP ? 0 : rc;
}

/* ---- what was given up ---- */

void kv_leave_file(struct kv *kv, const char *name)
{
    cleanup_fd int fd = -1;

    if (!kv->is_open)
        return;
    fd = openat(kv->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)pthread_mutex_lock(&kv->leavings_lock);
    if (kv->n_leavings < KV_LEAVINGS_MAX)
        kv->leavings[kv->n_leavings++] = take_fd(fd);
    (void)pthread_mutex_unlock(&kv->leavings_lock);
}

bool kv_has_leavings(struct kv *kv)
{
    bool has;

    (void)pthread_mutex_lock(&kv->leavings_lock);
    has = kv->n_leavings > 0;
    (void)pthread_mutex_unlock(&kv->leavings_lock);
    return has;
}

void kv_clear_leavings(struct kv *kv)
{
    int fds[KV_LEAVINGS_MAX];
    unsigned n;

    (void)pthread_mutex_lock(&kv->leavings_lock);
    n = kv->n_leavings;
    memcpy(fds, kv->leavings, n * sizeof(*fds));
    kv->n_leavings = 0;
    (void)pthread_mutex_unlock(&kv->leavings_lock);
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
}
