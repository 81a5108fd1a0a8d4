/* Who may come in at the peer port: connections that have not shaken hands have one bound together
 * and one for each host, and the oldest of them make room. What one does afterwards is its own
 * (peer_conn.c) or its peer's (peer_net.c). */
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

/* Those that have not shaken hands are few (PEER-2), and the oldest of them goes first, of the same
 * host or of the one with most: a peer says its hello at once, so that silent strangers do not lock
 * it out (PEER-6). False: there is no room. */
static bool make_room(struct peer_net *n, uint64_t host)
{
    struct peer_conn *c;

    if (n_half_open_of(n, host) >= PEER_HALF_OPEN_HOST_MAX)
        c = oldest_half_open(n, host);
    else if (n->n_half_open >= PEER_HALF_OPEN_MAX)
        c = oldest_half_open(n, host_with_most(n));
    else
        return true;
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
