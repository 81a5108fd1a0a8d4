/* Does anybody listen where a peer was whose link has ended?
 *
 * A process that dies has its connections ended by its kernel, with FIN or RST, and whoever calls
 * its address again is refused. Both together say that it is gone, and neither alone does: a
 * firewall or a proxy may reset connections of a node that is well, and an address may be refused
 * that is no node's any more. So a peer is looked for where it is configured, when the other side
 * has ended both connections of a link (FAILOVER-1):
 *
 *   refused          by each of its addresses: it is gone, and the host is told
 *   connected        somebody listens, if that stays so. A kernel that takes a dying process apart
 *                    may close the port after the connections: ended at once it is asked again
 *   anything else    says nothing: no route, no answer in time
 *
 * Nothing is said on that connection, and nothing waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "net/peer_int.h"

#include "base/banned.h"

static void on_event(evutil_socket_t unused, short what, void *ctx);

static void drop_socket(struct peer_look *l)
{
    if (l->ev != NULL)
        event_free(take_ptr(l->ev));
    if (l->fd >= 0)
        (void)close(take_fd(l->fd));
}

void peer_look_init(struct peer_look *l)
{
    *l = (struct peer_look){.fd = -1, .sibling_fd = -1};
}

void peer_look_end(struct peer *p)
{
    drop_socket(&p->look);
    if (p->look.sibling_fd >= 0)
        (void)close(take_fd(p->look.sibling_fd));
    p->look.under_way = false;
}

enum peer_end peer_look_how_ended(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};
    int error = 0;
    socklen_t len = sizeof(error);

    if (poll(&pfd, 1, 0) != 1)
        return PEER_END_NOT_YET;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return PEER_END_OTHERWISE;
    return error == 0 || error == ECONNRESET || error == EPIPE ? PEER_END_BY_PEER
                                                               : PEER_END_OTHERWISE;
}

static bool is_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)(const void *)a;
    const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)(const void *)b;

    /* The first half of a sixth version's, all of a fourth's, mapped or not. */
    return net_host_of(a) == net_host_of(b) &&
           (a->ss_family != AF_INET6 || b->ss_family != AF_INET6 ||
            memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0);
}

/* It came from where it would be called. Addresses of a name are asked for when it is dialled, and
 * who only accepts its connections may know those of long ago: another host's by now. */
static bool is_where_it_was(const struct peer *p, const struct peer_conn *c)
{
    if (c->dialled)
        return true;
    for (unsigned i = 0; i < p->n_addrs; i++)
        if (is_host(&p->addrs[i].sa, &c->from))
            return true;
    return false;
}

/* ---- one step after the other ---- */

/* The next event: of the socket, or after a while of nothing. False: the look is over. */
static bool wait_for(struct peer *p, short events, uint64_t us)
{
    struct peer_look *l = &p->look;
    const uint64_t now_us = clock_mono_us();
    struct timeval timeout;

    if (now_us >= l->until_us)
        return false;
    timeout = net_timeval(us < l->until_us - now_us ? us : l->until_us - now_us);
    l->ev = event_new(p->net->base, events != 0 ? l->fd : -1, events, on_event, p);
    return l->ev != NULL && event_add(l->ev, &timeout) == 0;
}

static bool again_soon(struct peer *p)
{
    const unsigned n = p->look.n_tries;
    uint64_t us = PEER_LOOK_AGAIN_US;

    drop_socket(&p->look);
    p->look.state = PEER_LOOK_PAUSED;
    for (unsigned i = 1; i < n && us < PEER_LOOK_AGAIN_US_MAX; i++)
        us *= 2;
    return n < PEER_LOOK_TRIES && wait_for(p, 0, us);
}

static bool is_connected(struct peer *p)
{
    p->look.state = PEER_LOOK_CONNECTED;
    return wait_for(p, EV_READ, PEER_LOOK_US);
}

static bool call_next(struct peer *p);

/* 0: connected. False: the look is over, and it is gone if p->look.found says so. */
static bool answered(struct peer *p, int error)
{
    struct peer_look *l = &p->look;

    if (error == 0)
        return is_connected(p);
    if (error != ECONNREFUSED)
        return false;
    drop_socket(l);
    if (++l->at < p->n_addrs)
        return call_next(p);
    l->at = 0;
    switch (l->sibling_fd >= 0 ? peer_look_how_ended(l->sibling_fd) : PEER_END_BY_PEER) {
    case PEER_END_NOT_YET:
        return again_soon(p);
    case PEER_END_BY_PEER:
        l->found = true;
        return false;
    case PEER_END_OTHERWISE:
        break;
    }
    return false;
}

static bool call_next(struct peer *p)
{
    struct peer_look *l = &p->look;
    const struct net_addr *addr;

    rid_assert(l->fd < 0);
    if (l->at >= p->n_addrs)
        return false;
    addr = &p->addrs[l->at];
    l->fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    if (connect(l->fd, (const struct sockaddr *)&addr->sa, addr->len) == 0)
        return answered(p, 0);
    if (errno != EINPROGRESS)
        return answered(p, errno);
    l->state = PEER_LOOK_CALLING;
    return wait_for(p, EV_WRITE, PEER_LOOK_US);
}

static bool call_first(struct peer *p)
{
    p->look.n_tries++;
    p->look.at = 0;
    return call_next(p);
}

static bool go_on(struct peer *p, short what)
{
    struct peer_look *l = &p->look;
    int error = 0;
    socklen_t len = sizeof(error);

    if (l->state == PEER_LOOK_PAUSED)
        return call_first(p);
    if ((what & EV_TIMEOUT) != 0)
        return false;                    /* nobody answers, or somebody is there */
    if (l->state == PEER_LOOK_CONNECTED) /* who listens there says nothing of itself: it ended */
        return again_soon(p);
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return false;
    if (error == ECONNRESET || error == EPIPE) /* it was taken, and has ended since */
        return again_soon(p);
    return answered(p, error);
}

static void on_event(evutil_socket_t unused, short what, void *ctx)
{
    struct peer *p = ctx;
    struct peer_net *n = p->net;

    (void)unused;
    event_free(take_ptr(p->look.ev));
    peer_net_enter(n);
    peer_look_settle(p, go_on(p, what));
    peer_net_leave(n);
}

void peer_look_settle(struct peer *p, bool goes_on)
{
    const bool found = p->look.found;

    if (goes_on)
        return;
    peer_look_end(p);
    if (found)
        peer_net_tell(p->net, PEER_EVENT_GONE, p, p->address, "nobody listens there");
}

void peer_look_take(struct peer *p, const struct peer_conn *other)
{
    struct peer_look *l = &p->look;
    const int fd = bufferevent_getfd(other->bev);
    enum peer_end end;

    peer_look_end(p);
    if (p->stranger || p->gone || p->n_addrs == 0 || !is_where_it_was(p, other))
        return;
    end = peer_look_how_ended(fd);
    if (end == PEER_END_OTHERWISE)
        return;
    if (end == PEER_END_NOT_YET) {
        l->sibling_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (l->sibling_fd < 0)
            return;
    }
    l->under_way = true;
    l->found = false;
    l->n_tries = 0;
    l->until_us = clock_mono_us() + PEER_LOOK_US;
}

void peer_look_begin(struct peer *p)
{
    if (p->look.under_way && p->look.n_tries == 0)
        peer_look_settle(p, call_first(p));
}
