/* The folder below $TMPDIR (or /tmp) that holds the log and the state of this process, and goes
 * with it.
 *
 * For: a node that must not come back under its name, and leaves nothing behind. Mode 0700, made by
 * mkdtemp, with a lock on the file "lock" inside as long as its owner lives. A harness may kill a
 * node without warning; what such a node left behind, told by its free lock, is removed by the next
 * one that starts.
 * Not for: data that anybody wants to keep.
 * Ownership: the struct is the caller's; what it names is removed by workdir_remove() alone.
 * Errors: 0 or -errno with err_text(); after one there is no folder.
 * Thread: one.
 * Obvious: units, source. */
#ifndef RIDD_MAELSTROM_WORKDIR_H
#define RIDD_MAELSTROM_WORKDIR_H

#include <limits.h>

struct workdir {
    char path[PATH_MAX]; /* absolute; "": none */
    int fd;
    int lock_fd;
};
#define WORKDIR_INIT                                                                               \
    {                                                                                              \
        .fd = -1, .lock_fd = -1                                                                    \
    }

/* 0 or -errno with err_text(). */
int workdir_make(struct workdir *w);
/* Its folder `name`, made when missing, mode 0700. The descriptor, or -errno. */
int workdir_open_folder(const struct workdir *w, const char *name);
/* Removes the folder and all in it; without one, nothing. Calls nothing but the kernel and
 * opendir(). */
void workdir_remove(struct workdir *w);

#endif
