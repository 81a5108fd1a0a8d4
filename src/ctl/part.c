/* FILE.part: a lock, and a name that comes last. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/part_int.h"

#include "base/banned.h"

static int fail(int exit_code, char why[RIDD_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(int exit_code, char why[RIDD_TEXT_SIZE], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(why, RIDD_TEXT_SIZE, format, ap);
    va_end(ap);
    return exit_code;
}

static int fail_file(char why[RIDD_TEXT_SIZE], const char *what, const char *path)
{
    return fail(CTL_EXIT_OUTPUT, why, "cannot %s '%s': %s", what, path, strerror(errno));
}

bool part_name(struct part *p, const char *file)
{
    p->fd = -1;
    p->locked = false;
    return (size_t)snprintf(p->path, sizeof(p->path), "%s.part", file) < sizeof(p->path);
}

bool part_is_named(const struct part *p)
{
    struct stat open_file;
    struct stat named;

    return fstat(p->fd, &open_file) == 0 && lstat(p->path, &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

/* Two of them at the same file would make one that is neither. Who had the lock before may have
 * given the file its name since it was opened here: then it is whole, and nobody's to write to
 * (CLIENT-36). */
int part_open(struct part *p, const char *file, char why[RIDD_TEXT_SIZE])
{
    struct stat st;

    if (!part_name(p, file))
        return fail(CTL_EXIT_USAGE, why, "the name of the file is too long");
    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
        return fail(CTL_EXIT_USAGE, why, "'%s' is no regular file", file);
    do {
        if (p->fd >= 0)
            (void)close(p->fd);
        p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (p->fd < 0)
            return fail_file(why, "write", p->path);
        if (flock(p->fd, LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK
                       ? fail(CTL_EXIT_AGAIN, why, "another ridctl is saving to '%s'", file)
                       : fail_file(why, "lock", p->path);
    } while (!part_is_named(p));
    p->locked = true;
    return CTL_EXIT_OK;
}

int part_place(struct part *p, const char *file, char why[RIDD_TEXT_SIZE])
{
    cleanup_free char *copy = strdup(file);
    cleanup_fd int dir = -1;

    if (copy == NULL)
        return fail(CTL_EXIT_SYSTEM, why, "out of memory");
    if (fsync(p->fd) != 0)
        return fail_file(why, "write", p->path);
    if (rename(p->path, file) != 0)
        return fail_file(why, "name", file);
    p->locked = false; /* it has another name now */
    dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir) != 0)
        return fail_file(why, "sync the folder of", file);
    return CTL_EXIT_OK;
}

void part_close(struct part *p, bool keep)
{
    if (p->locked && !keep)
        (void)unlink(p->path);
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
    p->locked = false;
}
