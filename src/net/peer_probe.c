/* One question to one peer, blocking: `ridd --init` has no loop yet, and a thread of its own needs
 * none. Every wait ends at one deadline. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/net_int.h"
#include "net/peer_net.h"

#include "base/banned.h"

/* A question in the course of being asked. */
struct asking {
    uint64_t deadline_us;
    const atomic_bool *stops;
};

static bool is_stopped(const struct asking *a)
{
    return a->stops != NULL && atomic_load(a->stops);
}

/* Until when nobody looks whether it is to stop. */
static uint64_t next_look_us(const struct asking *a, uint64_t now_us)
{
    return a->stops != NULL && now_us + NET_ASK_LOOK_US < a->deadline_us ? now_us + NET_ASK_LOOK_US
                                                                         : a->deadline_us;
}

static int wait_for(int fd, short events, const struct asking *a)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    uint64_t now_us;
    int rc;

    for (;;) {
        now_us = clock_mono_us();
        if (is_stopped(a))
            return -ECANCELED;
        if (now_us >= a->deadline_us)
            return -ETIMEDOUT;
        rc = poll(&pfd, 1, (int)((next_look_us(a, now_us) - now_us) / 1000u) + 1);
        if (rc > 0)
            return 0;
        if (rc < 0 && errno != EINTR)
            return -errno;
    }
}

static int connect_until(const struct net_addr *addr, const struct asking *a, int *ret_fd)
{
    cleanup_fd int fd = -1;
    int error = 0;
    socklen_t len = sizeof(error);
    int rc;

    fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&addr->sa, addr->len) != 0) {
        if (errno != EINPROGRESS)
            return -errno;
        rc = wait_for(fd, POLLOUT, a);
        if (rc != 0)
            return rc;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            return -errno;
        if (error != 0)
            return -error;
    }
    *ret_fd = take_fd(fd);
    return 0;
}

static int send_until(int fd, const struct buf *out, const struct asking *a)
{
    size_t at = 0;
    ssize_t n;
    int rc;

    while (at < out->len) {
        rc = wait_for(fd, POLLOUT, a);
        if (rc != 0)
            return rc;
        n = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0)
            at += (size_t)n;
    }
    return 0;
}

/* One whole frame of at most `size` bytes. */
static int frame_until(int fd, const struct asking *a, unsigned char *in, size_t size,
                       struct wire_frame *ret)
{
    size_t len = 0;
    ssize_t n;
    int rc;

    for (;;) {
        rc = wire_frame_cut(in, len, ret, NULL);
        if (rc == 0)
            return 0;
        if (rc != WIRE_FRAME_E_SHORT || len == size)
            return -EPROTO;
        rc = wait_for(fd, POLLIN, a);
        if (rc != 0)
            return rc;
        n = recv(fd, in + len, size - len, 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0)
            len += (size_t)n;
    }
}

static int ask(const struct net_addr *addr, const struct net_question *q, uint64_t deadline_us)
{
    const struct asking a = {deadline_us, q->stops};
    unsigned char in[PEER_HELLO_BYTES_MAX];
    struct wire_frame frame;
    cleanup_fd int fd = -1;
    int rc;

    rc = connect_until(addr, &a, &fd);
    if (rc == 0)
        rc = send_until(fd, q->out, &a);
    if (rc == 0)
        rc = frame_until(fd, &a, in, sizeof(in), &frame);
    if (rc == 0)
        rc = q->on_reply(q->ctx, &frame);
    return rc;
}

/* A name server may be silent for longer than anybody wants to wait here. */
static int resolve_until(const char *addr, const struct asking *a,
                         struct net_addr addrs[NET_ADDRS_MAX], unsigned *ret_n_addrs)
{
    struct lookup *lookup = NULL;
    bool numeric = false;
    int rc;

    rc = net_addr_check(addr, &numeric);
    if (rc == 0 && numeric)
        return err_trace(net_addr_resolve(addr, false, addrs, ret_n_addrs));
    if (rc == 0)
        rc = net_addr_ask(addr, -1, &lookup);
    if (rc != 0)
        return err_trace(rc);
    do
        rc = lookup_wait(lookup, next_look_us(a, clock_mono_us()));
    while (rc != 0 && clock_mono_us() < a->deadline_us && !is_stopped(a));
    if (rc == 0)
        return err_trace(net_addr_take(addr, lookup, addrs, ret_n_addrs));
    lookup_drop(lookup);
    return err_origin(
        err_say(rc, "cannot resolve '%s': no answer from the name server in time", addr));
}

int net_ask(const char *addr, const struct net_question *q, uint64_t deadline_us)
{
    const struct asking a = {deadline_us, q->stops};
    struct net_addr addrs[NET_ADDRS_MAX];
    unsigned n_addrs;
    int rc;

    rc = resolve_until(addr, &a, addrs, &n_addrs);
    if (rc != 0)
        return err_trace(rc);
    rc = -ETIMEDOUT;
    for (unsigned i = 0; i < n_addrs; i++) {
        /* The time left is shared by the addresses left, so that one that is silent does not take
         * it all. */
        const uint64_t now_us = clock_mono_us();
        const uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;

        rc = ask(&addrs[i], q, now_us + left_us / (n_addrs - i));
        if (rc == 0)
            return 0;
    }
    return err_origin(err_say(rc, "no answer from '%s': %s", addr, strerror(-rc)));
}

struct probe {
    const struct wire_hello *question;
    struct wire_hello reply;
};

static int on_hello_reply(void *ctx, const struct wire_frame *frame)
{
    struct probe *p = ctx;

    if (frame->type != WIRE_FRAME_HELLO_REPLY || wire_hello_decode(frame, &p->reply) != 0 ||
        p->reply.link_nonce != p->question->link_nonce)
        return -EPROTO;
    return 0;
}

int peer_probe(const char *addr, const struct wire_hello *hello, unsigned timeout_ms,
               struct wire_hello *ret_reply)
{
    const uint64_t deadline_us = clock_mono_us() + (uint64_t)timeout_ms * 1000u;
    cleanup_buf struct buf out = BUF_INIT;
    struct wire_hello hello_out = *hello;
    struct probe probe = {.question = &hello_out};
    const struct net_question q = {.out = &out, .on_reply = on_hello_reply, .ctx = &probe};
    int rc;

    hello_out.channel = WIRE_CHANNEL_PROBE;
    rc = wire_hello_encode(&hello_out, false, &out);
    if (rc == 0)
        rc = net_ask(addr, &q, deadline_us);
    if (rc != 0)
        return err_trace(rc);
    *ret_reply = probe.reply;
    return 0;
}
