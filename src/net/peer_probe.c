/* One question to one peer, blocking: `ridd --init` has no loop yet, and a thread of its own needs
 * none. Every wait ends at one deadline. Where TLS is spoken nothing is asked before both sides
 * have proved that they belong to the cluster (TLS-10). */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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
    int fd;                    /* owned; -1: none */
    struct tls_stream *stream; /* owned; NULL: plain, or not so far */
};

static void hang_up(struct asking *a)
{
    tls_stream_free(take_ptr(a->stream));
    if (a->fd >= 0)
        (void)close(take_fd(a->fd));
}

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

static int wait_for(const struct asking *a, short events)
{
    struct pollfd pfd = {.fd = a->fd, .events = events};
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

static int connect_until(struct asking *a, const struct net_addr *addr)
{
    int error = 0;
    socklen_t len = sizeof(error);
    int rc;

    a->fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return -errno;
    if (connect(a->fd, (const struct sockaddr *)&addr->sa, addr->len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    rc = wait_for(a, POLLOUT);
    if (rc != 0)
        return rc;
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return -errno;
    return -error;
}

/* ---- TLS ---- */

/* What err_text() says of TLS is of more use than the number that goes with it. */
static int say_why(const struct asking *a, int rc)
{
    if (err_text_for(rc)[0] != '\0')
        return rc;
    return err_say(rc, "%s", tls_stream_why(a->stream));
}

/* A certificate of another node of the cluster is good for nothing here (TLS-11). */
static int check_name(const struct asking *a, const char *name)
{
    const struct tls_identity *who = tls_stream_identity(a->stream);

    if (name == NULL || who->kind != TLS_CERTIFICATE || strcmp(who->names, name) == 0)
        return 0;
    return err_origin(
        err_say(-EPROTO, "its certificate names node '%s', not '%s'", who->names, name));
}

static int shake_until(struct asking *a, const struct peer_whom *whom)
{
    int rc = tls_stream_new(whom->tls, TLS_DIAL, a->fd, NULL, &a->stream);

    while (rc == 0) {
        rc = tls_shake(a->stream);
        if (rc == TLS_DONE)
            return check_name(a, whom->name);
        if (rc < 0)
            return say_why(a, rc);
        rc = wait_for(a, rc == TLS_WANT_READ ? POLLIN : POLLOUT);
    }
    return rc;
}

static ssize_t send_some(struct asking *a, const void *data, size_t len)
{
    return a->stream != NULL ? tls_send(a->stream, data, len)
                             : send(a->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t recv_some(struct asking *a, void *data, size_t len)
{
    return a->stream != NULL ? tls_recv(a->stream, data, len) : recv(a->fd, data, len, 0);
}

/* ---- bytes ---- */

static int send_until(struct asking *a, const struct buf *out)
{
    size_t at = 0;
    ssize_t n;
    int rc;

    while (at < out->len) {
        rc = wait_for(a, POLLOUT);
        if (rc != 0)
            return rc;
        n = send_some(a, out->data + at, out->len - at);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n > 0)
            at += (size_t)n;
    }
    return 0;
}

/* Some bytes, or it is to be tried again; TLS may have had some that the kernel has not. */
static int recv_until(struct asking *a, unsigned char *in, size_t size, size_t *len)
{
    const ssize_t n = recv_some(a, in, size);

    if (n == 0)
        return -ECONNRESET;
    if (n > 0)
        *len += (size_t)n;
    else if (errno == EAGAIN)
        return wait_for(a, POLLIN);
    else if (errno != EINTR)
        return a->stream != NULL && errno == EPROTO ? say_why(a, -EPROTO) : -errno;
    return 0;
}

/* One whole frame of at most `size` bytes. */
static int frame_until(struct asking *a, unsigned char *in, size_t size, struct wire_frame *ret)
{
    size_t len = 0;
    int rc;

    for (;;) {
        rc = wire_frame_cut(in, len, ret, NULL);
        if (rc == 0)
            return 0;
        if (rc != WIRE_FRAME_E_SHORT || len == size)
            return -EPROTO;
        rc = recv_until(a, in + len, size - len, &len);
        if (rc != 0)
            return rc;
    }
}

static int ask(const struct net_addr *addr, const struct peer_whom *whom,
               const struct net_question *q, uint64_t deadline_us)
{
    struct asking a = {.deadline_us = deadline_us, .stops = q->stops, .fd = -1};
    unsigned char in[PEER_HELLO_BYTES_MAX];
    struct wire_frame frame;
    int rc;

    err_reset();
    rc = connect_until(&a, addr);
    if (rc == 0 && whom->tls != NULL)
        rc = shake_until(&a, whom);
    if (rc == 0)
        rc = send_until(&a, q->out);
    if (rc == 0)
        rc = frame_until(&a, in, sizeof(in), &frame);
    if (rc == 0)
        rc = q->on_reply(q->ctx, &frame);
    hang_up(&a);
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

int net_ask(const struct peer_whom *whom, const struct net_question *q, uint64_t deadline_us)
{
    const struct asking a = {.deadline_us = deadline_us, .stops = q->stops, .fd = -1};
    char why[320];
    struct net_addr addrs[NET_ADDRS_MAX];
    unsigned n_addrs;
    int rc;

    rc = resolve_until(whom->addr, &a, addrs, &n_addrs);
    if (rc != 0)
        return err_trace(rc);
    rc = -ETIMEDOUT;
    for (unsigned i = 0; i < n_addrs; i++) {
        /* The time left is shared by the addresses left, so that one that is silent does not take
         * it all. */
        const uint64_t now_us = clock_mono_us();
        const uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;

        rc = ask(&addrs[i], whom, q, now_us + left_us / (n_addrs - i));
        if (rc == 0)
            return 0;
    }
    (void)snprintf(why, sizeof(why), "%s", err_text_for(rc));
    return err_origin(
        err_say(rc, "no answer from '%s': %s", whom->addr, why[0] != '\0' ? why : strerror(-rc)));
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

int peer_probe(const struct peer_whom *whom, const struct wire_hello *hello, unsigned timeout_ms,
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
        rc = net_ask(whom, &q, deadline_us);
    if (rc != 0)
        return err_trace(rc);
    *ret_reply = probe.reply;
    return 0;
}
