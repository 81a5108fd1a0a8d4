/* A few callers and one poll(): there is no loop yet. */
#include "net/join_port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/net_int.h"

#include "base/banned.h"

struct caller {
    int fd;                    /* -1: free */
    struct tls_stream *stream; /* owned; NULL: plain */
    short shakes;              /* poll() for this; 0: that is over */
    bool more;                 /* there may be, and poll() knows nothing of it */
    uint64_t deadline_us;
    struct buf in;
    struct buf out;
    size_t sent;
    bool asked;    /* there is an answer; what comes behind the question is not looked at */
    bool accepted; /* and it is the one that all wait for */
};

struct join_port {
    int fd;
    struct tls_ctx *tls; /* owned; NULL: plain */
    uint64_t joined_us;  /* 0: not yet */
    bool failed;
    bool taken; /* the one that was accepted has its answer */
    struct caller callers[JOIN_CALLERS_MAX];
};

int join_port_new(const char *addr, struct tls_ctx *tls, struct join_port **ret)
{
    struct join_port *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return err_origin(err_say(-ENOMEM, "cannot listen on '%s': out of memory", addr));
    for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++)
        p->callers[i].fd = -1;
    p->fd = net_listen(addr);
    if (p->fd < 0) {
        int rc = p->fd;

        free(p);
        return err_trace(rc);
    }
    p->tls = tls != NULL ? tls_ctx_ref(tls) : NULL;
    *ret = p;
    return 0;
}

static void hang_up(struct caller *c)
{
    tls_stream_free(c->stream);
    if (c->fd >= 0)
        (void)close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    *c = (struct caller){.fd = -1};
}

void join_port_free(struct join_port *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++)
        hang_up(&p->callers[i]);
    (void)close(p->fd);
    tls_ctx_unref(p->tls);
    free(p);
}

/* A stranger goes before one who has shown that he is none. */
static bool goes_before(const struct caller *a, const struct caller *b)
{
    return (a->shakes != 0) != (b->shakes != 0) ? a->shakes != 0 : a->deadline_us < b->deadline_us;
}

/* The one that has been there longest makes room: a leader asks at once (PEER-6). */
static struct caller *place_for_caller(struct join_port *p)
{
    struct caller *oldest = &p->callers[0];

    for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++) {
        struct caller *c = &p->callers[i];

        if (c->fd < 0)
            return c;
        if (goes_before(c, oldest))
            oldest = c;
    }
    hang_up(oldest);
    return oldest;
}

static void take_caller(struct join_port *p, int fd)
{
    struct caller *c = place_for_caller(p);

    net_socket_nodelay(fd);
    *c = (struct caller){
        .fd = fd, .deadline_us = clock_mono_us() + JOIN_CALLER_US, .in = BUF_INIT, .out = BUF_INIT};
    if (p->tls == NULL)
        return;
    c->shakes = POLLIN;
    if (tls_stream_new(p->tls, TLS_ACCEPT, fd, NULL, &c->stream) != 0)
        hang_up(c);
}

static void take_callers(struct join_port *p)
{
    for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        take_caller(p, fd);
    }
}

/* ---- bytes ---- */

/* False: this caller is done. */
static bool shake(struct caller *c)
{
    switch (tls_shake(c->stream)) {
    case TLS_DONE:
        c->shakes = 0;
        return true;
    case TLS_WANT_READ:
        c->shakes = POLLIN;
        return true;
    case TLS_WANT_WRITE:
        c->shakes = POLLOUT;
        return true;
    default:
        return false;
    }
}

static ssize_t recv_some(struct caller *c, void *data, size_t len)
{
    ssize_t n;

    if (c->stream == NULL)
        return recv(c->fd, data, len, 0);
    n = tls_recv(c->stream, data, len);
    c->more = n > 0 || (n < 0 && errno == EINTR);
    return n;
}

static ssize_t send_some(struct caller *c, const void *data, size_t len)
{
    return c->stream != NULL ? tls_send(c->stream, data, len)
                             : send(c->fd, data, len, MSG_NOSIGNAL);
}

/* ---- questions ---- */

static bool answer(struct join_port *p, struct caller *c, const struct wire_frame *frame,
                   const struct join_port_ops *ops)
{
    struct wire_join_reply reply = {.version_highest = WIRE_VERSION_HIGHEST,
                                    .version_lowest = WIRE_VERSION_LOWEST};
    enum join_port_end end;
    struct wire_join join;

    if (wire_join_decode(frame, &join) != 0)
        return false;
    end = ops->on_join(ops->ctx, &join, &reply);
    c->asked = true;
    c->accepted = end == JOIN_PORT_JOINED;
    p->failed = p->failed || end == JOIN_PORT_FAILED;
    if (end != JOIN_PORT_STOPPED && p->joined_us == 0)
        p->joined_us = clock_mono_us();
    return wire_join_reply_encode(&reply, &c->out) == 0;
}

/* False: this caller is done. */
static bool hear(struct join_port *p, struct caller *c, const struct join_port_ops *ops)
{
    struct wire_frame frame;
    size_t need = 0;
    unsigned char *room;
    ssize_t n;
    int rc;

    if (c->asked) {
        unsigned char rest[64];

        n = recv_some(c, rest, sizeof(rest));
        /* It closes when it has the whole answer. */
        p->taken = p->taken || (n == 0 && c->accepted && c->sent == c->out.len);
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }
    room = buf_reserve(&c->in, JOIN_FRAME_BYTES_MAX - c->in.len);
    if (room == NULL)
        return false;
    n = recv_some(c, room, JOIN_FRAME_BYTES_MAX - c->in.len);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    c->in.len += (size_t)n;
    rc = wire_frame_cut(c->in.data, c->in.len, &frame, &need);
    if (rc == WIRE_FRAME_E_SHORT)
        return need <= JOIN_FRAME_BYTES_MAX;
    return rc == 0 && answer(p, c, &frame, ops);
}

static bool speak(struct caller *c)
{
    ssize_t n = send_some(c, c->out.data + c->sent, c->out.len - c->sent);

    if (n > 0)
        c->sent += (size_t)n;
    if (n > 0 && c->sent == c->out.len)
        (void)shutdown(c->fd, SHUT_WR); /* the other side is awaited, or the answer may be lost */
    return n > 0 || errno == EAGAIN || errno == EINTR;
}

static void serve_caller(struct join_port *p, struct caller *c, short events,
                         const struct join_port_ops *ops)
{
    bool goes_on = true;

    if (c->shakes != 0 && events != 0)
        goes_on = shake(c);
    else if (c->more || (events & (POLLIN | POLLHUP | POLLERR)) != 0)
        goes_on = hear(p, c, ops);
    if (goes_on && c->sent < c->out.len)
        goes_on = speak(c);
    if (!goes_on || clock_mono_us() >= c->deadline_us)
        hang_up(c);
}

/* For poll(): until the first deadline. */
static int wait_ms(const struct join_port *p, uint64_t tick_us)
{
    const uint64_t now_us = clock_mono_us();
    uint64_t due_us = p->joined_us != 0 ? p->joined_us + JOIN_AGAIN_US : UINT64_MAX;

    if (tick_us != 0 && now_us + tick_us < due_us)
        due_us = now_us + tick_us;

    for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++) {
        const struct caller *c = &p->callers[i];

        if (c->fd >= 0 && (c->more || c->deadline_us < due_us))
            due_us = c->more ? now_us : c->deadline_us;
    }
    if (due_us == UINT64_MAX)
        return -1;
    return due_us > now_us ? (int)((due_us - now_us) / 1000u) + 1 : 0;
}

static struct pollfd poll_for(const struct caller *c)
{
    short events = POLLIN;

    if (c->shakes != 0)
        events = c->shakes;
    else if (c->sent < c->out.len)
        events |= POLLOUT;
    return (struct pollfd){.fd = c->fd, .events = events};
}

static bool is_over(const struct join_port *p)
{
    return p->joined_us != 0 && (p->taken || clock_mono_us() >= p->joined_us + JOIN_AGAIN_US);
}

int join_port_wait(struct join_port *p, int stop_fd, const struct join_port_ops *ops)
{
    struct pollfd fds[JOIN_CALLERS_MAX + 2];

    while (!is_over(p)) {
        fds[0] = (struct pollfd){.fd = p->fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
        for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++)
            fds[i + 2] = poll_for(&p->callers[i]);
        if (ops->tick_us != 0)
            ops->on_tick(ops->ctx);
        if (poll(fds, JOIN_CALLERS_MAX + 2, wait_ms(p, ops->tick_us)) < 0) {
            if (errno == EINTR)
                continue;
            return err_origin(err_say(-errno, "cannot wait for connections: %s", strerror(errno)));
        }
        if (fds[1].revents != 0)
            return JOIN_PORT_STOPPED;
        for (unsigned i = 0; i < JOIN_CALLERS_MAX; i++)
            if (p->callers[i].fd >= 0)
                serve_caller(p, &p->callers[i], fds[i + 2].revents, ops);
        if (fds[0].revents != 0)
            take_callers(p);
    }
    return p->failed ? JOIN_PORT_FAILED : JOIN_PORT_JOINED;
}
