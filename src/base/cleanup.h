/* Ownership by the cleanup attribute: an owning local carries a mark and a value at once, and
 * take_ptr()/take_fd() hand it over. Never jump over a marked variable. */
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
