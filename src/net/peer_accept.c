/* Who may come in at the peer port: connections that have not shaken hands have one bound together
 * and one for each host, and the silent ones of them make room. What one does afterwards is its own
 * (peer_conn.c) or its peer's (peer_net.c). */
#include <event2/buffer.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/peer_int.h"

#include "base/banned.h"

static unsigned n_half_open_of(const struct peer_net *n, uint64_t host)
{
    unsigned count = 0;

    list_for_each(it, &n->half_open)
    {
        const struct peer_conn *c = list_entry_const(it, struct peer_conn, half_open);

        count += c->host == host;
    }
    return count;
}

/* It waits for a hello, or for TLS, of which nothing has come, not even to the kernel: our loop may
 * be late. */
static bool is_silent(const struct peer_conn *c)
{
    int n_unread = 0;
    int fd = c->fd;

    if (c->state == PEER_CONN_HELLO_AWAITED)
        fd = bufferevent_getfd(c->bev);
    return fd >= 0 && (c->bev == NULL || evbuffer_get_length(bufferevent_get_input(c->bev)) == 0) &&
           ioctl(fd, FIONREAD, &n_unread) == 0 && n_unread == 0;
}

/* Any one of this host that has said nothing, each as likely; NULL: all have. */
static struct peer_conn *some_silent(struct peer_net *n, uint64_t host)
{
    struct peer_conn *chosen = NULL;
    unsigned n_silent = 0;

    list_for_each(it, &n->half_open)
    {
        struct peer_conn *c = list_entry(it, struct peer_conn, half_open);

        if (c->host == host && is_silent(c) && prng_below(&n->prng, ++n_silent) == 0)
            chosen = c;
    }
    return chosen;
}

/* The oldest of this host that has not shaken hands; NULL: all have, or have only just come and
 * may be about to. One that waits for its other channel is a peer's, and those are few of
 * themselves. */
static struct peer_conn *oldest_half_open(const struct peer_net *n, uint64_t host)
{
    const uint64_t now_us = clock_mono_us();

    list_for_each(it, &n->half_open)
    {
        struct peer_conn *c = list_entry(it, struct peer_conn, half_open);

        if (c->state != PEER_CONN_PAIRING && c->host == host)
            return now_us >= c->accepted_us + PEER_HALF_OPEN_YOUNG_US ? c : NULL;
    }
    return NULL;
}

/* Whose are most of those; there is one. */
static uint64_t host_with_most(const struct peer_net *n)
{
    unsigned most = 0;
    uint64_t host = 0;

    list_for_each(it, &n->half_open)
    {
        const struct peer_conn *c = list_entry_const(it, struct peer_conn, half_open);
        const unsigned count = n_half_open_of(n, c->host);

        if (count > most) {
            most = count;
            host = c->host;
        }
    }
    return host;
}

/* Those that have not shaken hands are few (PEER-2), and make room for the next, those of the same
 * host or of the one with most (PEER-6): any one that is silent, or else the oldest. A peer says
 * its hello at once, and is safe from then on; before, the odds are for it, since any of many goes:
 * with the oldest first, whoever comes often enough would be sure to drive it out in time. False:
 * there is no room. */
static bool make_room(struct peer_net *n, uint64_t host)
{
    struct peer_conn *c;

    if (n_half_open_of(n, host) < PEER_HALF_OPEN_HOST_MAX) {
        if (n->n_half_open < PEER_HALF_OPEN_MAX)
            return true;
        host = host_with_most(n);
    }
    c = some_silent(n, host);
    if (c == NULL)
        c = oldest_half_open(n, host);
    if (c == NULL)
        return false;
    peer_net_lost(c, PEER_EVENT_REFUSED, "newer connections came before its handshake");
    return !n->freed;
}

void peer_net_on_accept(void *ctx, int fd, const struct sockaddr_storage *sa, bool last_fd)
{
    struct peer_net *n = ctx;

    peer_net_enter(n);
    if (last_fd || !make_room(n, net_host_of(sa)))
        (void)close(fd);
    else
        (void)peer_conn_accept(n, fd, sa); /* owns fd in any case; without memory it is closed */
    peer_net_leave(n);
}
