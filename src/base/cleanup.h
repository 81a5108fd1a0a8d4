/* Ownership by the cleanup attribute: an owning local carries a mark and a value at once, and
 * take_ptr()/take_fd() hand it over.
 *
 * For: every local that owns memory, a descriptor or an object, so that the rare path cannot leak.
 * Not for: members of structs, which their _done() or _free() releases.
 * Ownership: the mark releases the value at the end of the scope; after take_ptr() or take_fd() the
 * local holds NULL or -1 and the value is the receiver's. Never jump over a marked variable.
 * Errors: what closing reports is not seen here: where it matters (files that must be durable),
 * close by hand.
 * Source: systemd's and dbus-broker's use of the attribute.
 * Obvious: units, thread. */
#ifndef RIDD_BASE_CLEANUP_H
#define RIDD_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* DEFINE_CLEANUP(peer, struct peer *, peer_free) makes cleanup_peer_fn;
 * `#define cleanup_peer CLEANUP(peer)` makes the mark. */
#define CLEANUP(name) __attribute__((cleanup(cleanup_##name##_fn)))
#define DEFINE_CLEANUP(name, type, destroy)                                                        \
    static inline void cleanup_##name##_fn(type *p)                                                \
    {                                                                                              \
        if (*p != NULL)                                                                            \
            destroy(*p);                                                                           \
    }                                                                                              \
    struct cleanup_##name##_semicolon

static inline void cleanup_free_fn(void *p)
{
    free(*(void **)p);
}
#define cleanup_free CLEANUP(free)

static inline void cleanup_fd_fn(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
#define cleanup_fd CLEANUP(fd)

static inline void cleanup_file_fn(FILE **f)
{
    if (*f != NULL)
        (void)fclose(*f);
}
#define cleanup_file CLEANUP(file)

static inline void cleanup_dir_fn(DIR **d)
{
    if (*d != NULL)
        (void)closedir(*d);
}
#define cleanup_dir CLEANUP(dir)

#define take_ptr(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) take_value_ = (p);                                                           \
        (p) = NULL;                                                                                \
        take_value_;                                                                               \
    })

#define take_fd(fd)                                                                                \
    ({                                                                                             \
        int take_value_ = (fd);                                                                    \
        (fd) = -1;                                                                                 \
        take_value_;                                                                               \
    })

#endif
