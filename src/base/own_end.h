/* Whether a socket was connected to itself, which TCP allows on a port of this host that nobody
 * listens on, when the kernel happens to choose that very port as the source: it would echo a
 * request as its own answer.
 *
 * For: clients that dial again and again until somebody is there.
 * Not for: other sockets than of streams.
 * Thread: any.
 * Obvious: units, ownership, errors, source. */
#ifndef RIDD_BASE_OWN_END_H
#define RIDD_BASE_OWN_END_H

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

static inline bool fd_is_own_end(int fd)
{
    struct sockaddr_storage a;
    struct sockaddr_storage b;
    socklen_t a_len = sizeof(a);
    socklen_t b_len = sizeof(b);

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    return getsockname(fd, (struct sockaddr *)&a, &a_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&b, &b_len) == 0 && a_len == b_len &&
           (a.ss_family == AF_INET || a.ss_family == AF_INET6) && memcmp(&a, &b, a_len) == 0;
}

#endif
