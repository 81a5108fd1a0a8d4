/* A listening socket that survives running out of descriptors (CLIENT-5).
 *
 * A full table makes accept4() fail at once while the socket stays readable: a loop that only
 * ignores the error spins. So one descriptor is kept in reserve; it is given up for a moment to
 * tell the next caller that there is no room, and then the listener sleeps until a connection is
 * closed or a timer runs out. */
#include "net/net_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "base/cleanup.h"
#include "base/err.h"

#include "base/banned.h"

struct net_listener {
    struct event *ev_accept; /* owned */
    struct event *ev_retry;  /* owned */
    net_accept_fn on_accept;
    void *ctx;    /* borrowed, for on_accept */
    int fd;       /* owned; -1 once stopped */
    int spare_fd; /* owned; -1 while there is none to be had */
    unsigned port;
    bool asleep;
};

static void spare_open(struct net_listener *l)
{
    if (l->spare_fd < 0)
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void spare_close(struct net_listener *l)
{
    if (l->spare_fd >= 0)
        (void)close(l->spare_fd);
    l->spare_fd = -1;
}

static int accept_one(struct net_listener *l, struct sockaddr_storage *sa)
{
    socklen_t len = sizeof(*sa);

    return accept4(l->fd, (struct sockaddr *)sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void sleep_until_retry(struct net_listener *l)
{
    const struct timeval delay = {0, NET_ACCEPT_RETRY_US};

    if (l->fd < 0)
        return;
    l->asleep = true;
    (void)event_del(l->ev_accept);
    (void)event_add(l->ev_retry, &delay);
}

/* Takes one caller with the emergency descriptor. True: there may be more; false: sleep. */
static bool refuse_with_spare(struct net_listener *l)
{
    struct sockaddr_storage sa;
    int error;
    int fd;

    if (l->spare_fd < 0)
        return false;
    spare_close(l);
    fd = accept_one(l, &sa);
    error = errno;
    if (fd >= 0)
        l->on_accept(l->ctx, fd, &sa, true);
    if (l->fd >= 0)
        spare_open(l);
    return fd >= 0 || error == EAGAIN || error == ECONNABORTED;
}

static void on_acceptable(evutil_socket_t unused, short what, void *ctx)
{
    struct net_listener *l = ctx;
    struct sockaddr_storage sa;
    int error;
    int fd;

    (void)unused;
    (void)what;
    for (unsigned i = 0; i < NET_ACCEPTS_PER_TURN && l->fd >= 0; i++) {
        fd = accept_one(l, &sa);
        if (fd >= 0) {
            l->on_accept(l->ctx, fd, &sa, false);
            continue;
        }
        error = errno;
        if (error == EAGAIN || error == EWOULDBLOCK)
            return;
        if (((error == EMFILE || error == ENFILE) && !refuse_with_spare(l)) || error == ENOBUFS ||
            error == ENOMEM) {
            sleep_until_retry(l);
            return;
        }
        /* The rest are errors of that one connection (accept(2)): the next may be well. */
    }
}

void net_listener_resume(struct net_listener *l)
{
    if (l->fd < 0 || !l->asleep)
        return;
    l->asleep = false;
    spare_open(l);
    (void)event_del(l->ev_retry);
    (void)event_add(l->ev_accept, NULL);
}

static void on_retry(evutil_socket_t unused, short what, void *ctx)
{
    (void)unused;
    (void)what;
    net_listener_resume(ctx);
}

static int listen_on(const struct net_addr *addr, int *ret_fd)
{
    cleanup_fd int fd = -1;
    int on = 1;

    fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&addr->sa, addr->len) != 0)
        return -errno;
    if (listen(fd, NET_BACKLOG) != 0)
        return -errno;
    *ret_fd = take_fd(fd);
    return 0;
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return 0;
    if (sa.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)(void *)&sa)->sin_port);
    if (sa.ss_family != AF_INET6)
        return 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname() has filled it */
    return ntohs(((struct sockaddr_in6 *)(void *)&sa)->sin6_port);
}

static void cleanup_listener_fn(struct net_listener **l)
{
    net_listener_free(*l);
}

static const char *what_next(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "; 'ss -ltnp' shows which process has that port";
    case EADDRNOTAVAIL:
        return "; is this the host that [peers] gives this address to?";
    case EACCES:
        return "; ports below 1024 are for root";
    default:
        return "";
    }
}

int net_listen(const char *addr)
{
    struct net_addr addrs[NET_ADDRS_MAX];
    unsigned n_addrs;
    int fd = -1;
    int rc;

    rc = net_addr_resolve(addr, true, addrs, &n_addrs);
    if (rc != 0)
        return err_trace(rc);
    for (unsigned i = 0; i < n_addrs && fd < 0; i++)
        rc = listen_on(&addrs[i], &fd);
    if (fd < 0)
        return err_origin(
            err_say(rc, "cannot listen on '%s': %s%s", addr, strerror(-rc), what_next(-rc)));
    return fd;
}

int net_listener_on(struct event_base *base, int fd, int priority, net_accept_fn on_accept,
                    void *ctx, struct net_listener **ret_listener)
{
    CLEANUP(listener) struct net_listener *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        (void)close(fd);
        return err_origin(-ENOMEM);
    }
    l->fd = fd;
    l->spare_fd = -1;
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->port = bound_port(l->fd);
    spare_open(l);
    l->ev_accept = event_new(base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
    l->ev_retry = event_new(base, -1, 0, on_retry, l);
    if (l->ev_accept == NULL || l->ev_retry == NULL ||
        event_priority_set(l->ev_accept, priority) != 0 || event_add(l->ev_accept, NULL) != 0)
        return err_origin(-ENOMEM);
    *ret_listener = take_ptr(l);
    return 0;
}

int net_listener_new(struct event_base *base, const char *addr, int priority,
                     net_accept_fn on_accept, void *ctx, struct net_listener **ret_listener)
{
    const int fd = net_listen(addr);
    int rc;

    if (fd < 0)
        return err_trace(fd);
    rc = net_listener_on(base, fd, priority, on_accept, ctx, ret_listener);
    return rc != 0 ? err_say(rc, "cannot listen on '%s': out of memory", addr) : 0;
}

unsigned net_listener_port(const struct net_listener *l)
{
    return l->port;
}

void net_listener_stop(struct net_listener *l)
{
    if (l->ev_accept != NULL)
        (void)event_del(l->ev_accept);
    if (l->ev_retry != NULL)
        (void)event_del(l->ev_retry);
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    spare_close(l);
}

void net_listener_free(struct net_listener *l)
{
    if (l == NULL)
        return;
    net_listener_stop(l);
    if (l->ev_accept != NULL)
        event_free(l->ev_accept);
    if (l->ev_retry != NULL)
        event_free(l->ev_retry);
    free(l);
}
