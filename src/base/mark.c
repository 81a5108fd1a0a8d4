/* The file is built in memory and written in one go; what a reader accepts is exactly what a writer
 * made. */
#include "base/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

#define RESERVE_NAME "reserve"

static int write_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* How many bytes there were, at most size; -1 and errno. */
static ssize_t read_all(int fd, unsigned char *buf, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int write_once(int dir_fd, const char *name, const char magic[MARK_MAGIC_BYTES],
                      const void *data, size_t len)
{
    cleanup_free unsigned char *bytes = NULL;
    cleanup_fd int fd = -1;
    char tmp[MARK_NAME_BYTES_MAX + sizeof(".tmp")];
    size_t total = len + MARK_OVERHEAD_BYTES;

    rid_assert(len <= MARK_BYTES_MAX);
    rid_assert(strlen(name) <= MARK_NAME_BYTES_MAX);
    bytes = malloc(total);
    if (bytes == NULL)
        return err_origin(err_say(-ENOMEM, "cannot write '%s': out of memory", name));
    memcpy(bytes, magic, MARK_MAGIC_BYTES);
    if (len > 0)
        memcpy(bytes + MARK_MAGIC_BYTES, data, len);
    put_u32(bytes + total - 4, crc32c(0, bytes, total - 4));

    (void)snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    /* What an earlier crash left; made anew, so that its mode is ours. */
    if (unlinkat(dir_fd, tmp, 0) != 0 && errno != ENOENT)
        return err_origin_errno("remove", tmp);
    fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_origin_errno("create", tmp);
    if (write_all(fd, bytes, total) != 0)
        return err_origin_errno("write", tmp);
    if (fsync(fd) != 0)
        return err_origin_errno("sync", tmp);
    if (renameat(dir_fd, tmp, dir_fd, name) != 0)
        return err_origin_errno("rename to", name);
    if (fsync(dir_fd) != 0)
        return err_origin_errno("sync the directory of", name);
    return 0;
}

int mark_write(int dir_fd, const char *name, const char magic[MARK_MAGIC_BYTES], const void *data,
               size_t len)
{
    int rc = write_once(dir_fd, name, magic, data, len);

    if (err_is_full(rc) && mark_use_reserve(dir_fd))
        rc = write_once(dir_fd, name, magic, data, len);
    return err_trace(rc);
}

/* It is not synced: a loss of power leaves a shorter one, which is no reserve. */
void mark_keep_reserve(int dir_fd)
{
    static const unsigned char zeros[4096];
    cleanup_fd int fd = openat(dir_fd, RESERVE_NAME,
                               O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    bool whole = true;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size >= MARK_RESERVE_BYTES)
        return;
    for (size_t n = 0; whole && n < MARK_RESERVE_BYTES; n += sizeof(zeros))
        whole = write_all(fd, zeros, sizeof(zeros)) == 0;
    if (!whole)
        (void)unlinkat(dir_fd, RESERVE_NAME, 0);
}

bool mark_use_reserve(int dir_fd)
{
    return unlinkat(dir_fd, RESERVE_NAME, 0) == 0;
}

/* 0, MARK_E_MISSING, MARK_E_DAMAGED, MARK_E_ACCESS, -errno. */
static int open_mark(int dir_fd, const char *name, int *ret_fd, struct stat *ret_st)
{
    cleanup_fd int fd = -1;

    /* O_NONBLOCK: a fifo of that name must not hold us up. */
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return err_say(MARK_E_MISSING, "'%s' is missing", name);
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return err_say(MARK_E_DAMAGED, "'%s' is no regular file", name);
    if (fd < 0 && errno == EACCES)
        return err_say(MARK_E_ACCESS, "'%s' may not be read", name);
    if (fd < 0)
        return err_origin_errno("open", name);
    if (fstat(fd, ret_st) != 0)
        return err_origin_errno("stat", name);
    if (!S_ISREG(ret_st->st_mode))
        return err_say(MARK_E_DAMAGED, "'%s' is no regular file", name);
    *ret_fd = take_fd(fd);
    return 0;
}

static int check_access(const char *name, const struct stat *st)
{
    if (st->st_uid != geteuid())
        return err_say(MARK_E_ACCESS, "'%s' belongs to user %u, not to user %u", name,
                       (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & 077) != 0)
        return err_say(MARK_E_ACCESS, "'%s' has mode %04o, others may use it: it must be 0600",
                       name, (unsigned)st->st_mode & 07777u);
    return 0;
}

static bool has_a_marks_size(const struct stat *st)
{
    return st->st_size >= (off_t)MARK_OVERHEAD_BYTES &&
           st->st_size <= (off_t)(MARK_BYTES_MAX + MARK_OVERHEAD_BYTES);
}

/* The same name with a higher digit. */
static bool is_later(const unsigned char *bytes, const char *magic)
{
    const size_t last = MARK_MAGIC_BYTES - 1;

    return memcmp(bytes, magic, last) == 0 && bytes[last] > (unsigned char)magic[last] &&
           bytes[last] <= '9';
}

/* A later version may have made the payload longer or shorter, but it, too, ends with the checksum:
 * without a good one a higher digit is a byte that fell over (DISK-24). */
static int check_bytes(const char *name, const char *magic, const struct stat *st,
                       const unsigned char *bytes, size_t total, size_t size)
{
    const bool sound = get_u32(bytes + total - 4) == crc32c(0, bytes, total - 4);
    int rc;

    /* Before mode and owner: what another version wrote is not ours to judge, or to remove. */
    if (sound && is_later(bytes, magic))
        return err_say(MARK_E_NEWER,
                       "'%s' was written by a later version of ridd: it begins with '%.7s%c', this "
                       "one knows '%.8s'; start that version, or a later one; nothing was changed",
                       name, magic, bytes[MARK_MAGIC_BYTES - 1], magic);
    rc = check_access(name, st);
    if (rc != 0)
        return rc;
    if (total > size + MARK_OVERHEAD_BYTES)
        return err_say(MARK_E_DAMAGED, "'%s' is damaged: it has %zu bytes", name, total);
    if (memcmp(bytes, magic, MARK_MAGIC_BYTES) != 0)
        return err_say(MARK_E_DAMAGED, "'%s' is damaged: it does not begin with '%.8s'", name,
                       magic);
    if (!sound)
        return err_say(MARK_E_DAMAGED, "'%s' is damaged: its checksum is wrong", name);
    return 0;
}

int mark_read(int dir_fd, const char *name, const char magic[MARK_MAGIC_BYTES], void *buf,
              size_t size, size_t *ret_len)
{
    cleanup_free unsigned char *bytes = NULL;
    cleanup_fd int fd = -1;
    struct stat st = {0};
    size_t total;
    ssize_t n;
    int rc;

    rid_assert(size <= MARK_BYTES_MAX);
    rc = open_mark(dir_fd, name, &fd, &st);
    if (rc == 0 && !has_a_marks_size(&st)) {
        rc = check_access(name, &st);
        if (rc == 0)
            rc = err_say(MARK_E_DAMAGED, "'%s' is damaged: it has %lld bytes", name,
                         (long long)st.st_size);
    }
    if (rc != 0)
        return rc;
    total = (size_t)st.st_size;
    bytes = malloc(total);
    if (bytes == NULL)
        return err_origin(err_say(-ENOMEM, "cannot read '%s': out of memory", name));
    n = read_all(fd, bytes, total);
    if (n < 0)
        return err_origin_errno("read", name);
    if ((size_t)n != total)
        return err_say(MARK_E_DAMAGED, "'%s' is damaged: it became shorter", name);
    rc = check_bytes(name, magic, &st, bytes, total, size);
    if (rc != 0)
        return rc;
    *ret_len = total - MARK_OVERHEAD_BYTES;
    if (*ret_len > 0)
        memcpy(buf, bytes + MARK_MAGIC_BYTES, *ret_len);
    return 0;
}

int mark_remove(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return err_origin_errno("remove", name);
    /* Missing, too: a process that was killed between unlink and fsync leaves a name that a power
     * loss brings back. */
    if (fsync(dir_fd) != 0)
        return err_origin_errno("sync the directory of", name);
    return 0;
}
