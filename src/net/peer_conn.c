/* One connection to a peer: bufferevent and frames; those of the handshake go to peer_hello.c.
 *
 * The input is bounded twice, by the read watermark and by looking at its length (libevent warns
 * that a watermark may be overrun): a few hundred bytes until the handshake is done, one frame
 * afterwards. A frame is made contiguous only when all of it is there, so bytes that trickle in
 * cost no copying. */
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

static const struct timeval at_once = {0, 0};

static void socket_options(int fd, unsigned user_timeout_ms)
{
    const int on = 1;
    const int idle_s = 2;
    const int interval_s = 1;
    const int n_probes = 3;

    /* None of these is needed for correctness: without them a dead link is only noticed later. */
    net_socket_nodelay(fd);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n_probes, sizeof(n_probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}

/* ---- frames ---- */

static void on_link_frame(struct peer_conn *c, const struct wire_frame *frame)
{
    struct peer_net *n = c->net;
    char text[160];

    if (frame->type >= WIRE_FRAME_HELLO) {
        peer_net_lost(c, PEER_EVENT_FAILED, "a second handshake on one connection");
        return;
    }
    if (c->peer->stranger)
        c->peer->heard_us = clock_mono_us();
    err_reset();
    if (n->ops.on_frame(n->ops.ctx, c->peer->id, frame) != PEER_FRAME_TAKEN) {
        (void)snprintf(text, sizeof(text), "frame refused: %s", err_text());
        peer_net_lost(c, PEER_EVENT_FAILED, text);
    }
}

/* One frame from the front of the input, contiguous; at most bytes_max wait there, and a frame has
 * at most frame_max. 0 or WIRE_FRAME_E_*. */
static int cut_frame(struct evbuffer *input, size_t bytes_max, size_t frame_max,
                     struct wire_frame *ret_frame)
{
    const size_t have = evbuffer_get_length(input);
    const size_t head = have < FRAME_HEADER_BYTES ? have : FRAME_HEADER_BYTES;
    const unsigned char *data;
    size_t need = 0;
    int rc;

    if (have > bytes_max + PEER_IN_SLACK_BYTES)
        return WIRE_FRAME_E_LENGTH;
    if (have == 0)
        return WIRE_FRAME_E_SHORT;
    data = evbuffer_pullup(input, (ev_ssize_t)head);
    if (data == NULL)
        return -ENOMEM;
    rc = wire_frame_cut(data, head, ret_frame, &need);
    if (rc == WIRE_FRAME_E_SHORT && need > frame_max)
        return WIRE_FRAME_E_LENGTH;
    if (rc != WIRE_FRAME_E_SHORT || need == 0 || need > have)
        return rc;
    data = evbuffer_pullup(input, (ev_ssize_t)need);
    if (data == NULL)
        return -ENOMEM;
    return wire_frame_cut(data, need, ret_frame, NULL);
}

static void handle_frame(struct peer_conn *c, const struct wire_frame *frame)
{
    if (c->state == PEER_CONN_UP)
        on_link_frame(c, frame);
    else
        peer_hello_take(c, frame);
}

static bool takes_frames(const struct peer_conn *c)
{
    return c->state == PEER_CONN_HELLO_AWAITED || c->state == PEER_CONN_PROOF_AWAITED ||
           c->state == PEER_CONN_HELLO_SENT || c->state == PEER_CONN_UP;
}

/* Ends soon: there is at most one read of the bufferevent (16 KiB) besides the frame that it
 * completed. */
static void read_frames(struct peer_conn *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    struct wire_frame frame;
    int rc;

    while (takes_frames(c)) {
        const bool up = c->state == PEER_CONN_UP;
        const size_t bytes_max = up ? PEER_IN_BYTES_MAX : PEER_HELLO_BYTES_MAX;

        /* A length word that was hit is noticed by the checksum of the whole frame, and on the
         * control channel the rest of a large one would take for ever to come: heartbeats go
         * unheard meanwhile. */
        rc = cut_frame(input, bytes_max,
                       up && c->channel == WIRE_CHANNEL_CONTROL ? PEER_CONTROL_FRAME_BYTES_MAX
                                                                : bytes_max,
                       &frame);
        if (rc == WIRE_FRAME_E_SHORT)
            return;
        if (rc != 0) {
            peer_net_lost(c, up ? PEER_EVENT_FAILED : PEER_EVENT_REFUSED,
                          rc < 0 ? "out of memory" : wire_frame_error_text(rc));
            return;
        }
        handle_frame(c, &frame);
        if (c->state == PEER_CONN_DEAD)
            return;
        (void)evbuffer_drain(input, frame.total_len);
    }
    if (c->state == PEER_CONN_LAST_WORDS)
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    /* A bufferevent at its high watermark calls us again and again until something was taken. While
     * we wait for the other channel nothing is, so reading stops altogether; before, it is what
     * notices the end of the connection. */
    if (c->state == PEER_CONN_PAIRING && evbuffer_get_length(input) >= PEER_HELLO_BYTES_MAX)
        (void)bufferevent_disable(c->bev, EV_READ);
}

/* Only after it was read: whatever one peer sends, the others are heard. */
static void rest(struct peer_conn *c)
{
    if ((bufferevent_get_enabled(c->bev) & EV_READ) == 0)
        return;
    (void)bufferevent_disable(c->bev, EV_READ); /* it is marked so even where that fails */
    c->rests = true;
    c->net->some_rest = true;
}

void peer_conn_go_on(struct peer_conn *c)
{
    if (!c->rests)
        return;
    c->rests = false;
    if (bufferevent_enable(c->bev, EV_READ) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, "cannot watch the socket");
}

/* ---- callbacks of libevent: nothing that they were given is freed here ---- */

static void on_readable(struct bufferevent *bev, void *ctx)
{
    struct peer_conn *c = ctx;
    struct peer_net *n = c->net;

    (void)bev;
    peer_net_enter(n);
    read_frames(c);
    if (c->state != PEER_CONN_DEAD && n->ops.spent != NULL && n->ops.spent(n->ops.ctx))
        rest(c);
    peer_net_leave(n);
}

/* The output is empty. */
static void on_drained(struct bufferevent *bev, void *ctx)
{
    struct peer_conn *c = ctx;

    (void)bev;
    if (c->state == PEER_CONN_LAST_WORDS)
        peer_conn_detach(c);
}

/* TLS is between us and the socket, and what errno says may be of long ago: a time-out is told by
 * it alone, the rest by the socket (FAILOVER-1). */
static bool is_ended(const struct peer_conn *c, short what, int error)
{
    const bool eof = (what & BEV_EVENT_EOF) != 0;

    if (c->ssl == NULL)
        return eof || error == ECONNRESET || error == EPIPE;
    return (eof || (error != ETIMEDOUT && error != EHOSTUNREACH && error != ENETUNREACH)) &&
           peer_look_how_ended(bufferevent_getfd(c->bev)) == PEER_END_BY_PEER;
}

static void on_end(struct peer_conn *c, short what, int error)
{
    char text[PEER_TEXT_BYTES];

    /* A connection that says nothing is a port scan or a health check; half a hello is worth a
     * line. */
    if (c->state == PEER_CONN_HELLO_AWAITED &&
        evbuffer_get_length(bufferevent_get_input(c->bev)) > 0) {
        peer_net_lost(c, PEER_EVENT_REFUSED, "closed in the middle of the handshake");
        return;
    }
    c->ended = is_ended(c, what, error);
    /* Whoever accepts may say so only after we have seen the end of the handshake. */
    if (peer_tls_why(c, error, text, sizeof(text))) {
        peer_net_lost(c, c->state == PEER_CONN_HELLO_SENT ? PEER_EVENT_REFUSED : PEER_EVENT_FAILED,
                      text);
        return;
    }
    if ((what & BEV_EVENT_EOF) != 0)
        (void)snprintf(text, sizeof(text), "closed by the other side");
    else
        (void)snprintf(text, sizeof(text), "%s: %s",
                       c->state == PEER_CONN_CONNECTING ? "cannot connect" : "connection lost",
                       strerror(error));
    peer_net_lost(c, PEER_EVENT_FAILED, text);
}

static void on_bev_event(struct bufferevent *bev, short what, void *ctx)
{
    const int error = EVUTIL_SOCKET_ERROR();
    struct peer_conn *c = ctx;
    struct peer_net *n = c->net;

    (void)bev;
    peer_net_enter(n);
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
        on_end(c, what, error);
    else if ((what & BEV_EVENT_CONNECTED) != 0 && c->state == PEER_CONN_CONNECTING)
        peer_hello_say(c);
    peer_net_leave(n);
}

/* ---- life ---- */

static void cleanup_conn_fn(struct peer_conn **c)
{
    peer_conn_free(*c);
}

/* Nothing of TLS may stay behind a watermark: no event would tell of it (TLS-12). */
static void set_watermark(struct peer_conn *c, size_t bytes_max)
{
    if (c->ssl != NULL)
        bytes_max = PEER_IN_BYTES_MAX + 2u * PEER_IN_SLACK_BYTES;
    bufferevent_setwatermark(c->bev, EV_READ, 0, bytes_max);
}

int peer_conn_watch(struct peer_conn *c)
{
    (void)bufferevent_priority_set(c->bev, 0);
    set_watermark(c, PEER_HELLO_BYTES_MAX);
    bufferevent_setcb(c->bev, on_readable, on_drained, on_bev_event, c);
    if (bufferevent_enable(c->bev, EV_READ | EV_WRITE) != 0)
        return err_origin(err_say(-ENOMEM, "cannot watch the socket"));
    return 0;
}

static int plain(struct peer_conn *c)
{
    c->bev = bufferevent_socket_new(c->net->base, c->fd, BEV_OPT_CLOSE_ON_FREE);
    if (c->bev == NULL)
        return err_origin(err_say(-ENOMEM, "out of memory"));
    c->fd = -1;
    return err_trace(peer_conn_watch(c));
}

/* Owns fd at once. */
static int conn_new(struct peer_net *n, int fd, struct peer_conn **ret_conn)
{
    CLEANUP(conn) struct peer_conn *c = calloc(1, sizeof(*c));
    int rc = 0;

    if (c == NULL) {
        (void)close(fd);
        return err_origin(err_say(-ENOMEM, "out of memory"));
    }
    c->net = n;
    c->fd = fd;
    c->tls = n->conf.tls != NULL;
    list_init(&c->node);
    list_init(&c->half_open);
    socket_options(fd, n->conf.user_timeout_ms);
    if (!c->tls)
        rc = plain(c);
    if (rc != 0)
        return err_trace(rc);
    *ret_conn = take_ptr(c);
    return 0;
}

/* One that says nothing costs little: it has a deadline and is one of few (PEER-2). */
int peer_conn_accept(struct peer_net *n, int fd, const struct sockaddr_storage *sa)
{
    CLEANUP(conn) struct peer_conn *c = NULL;
    int rc;

    rc = conn_new(n, fd, &c);
    if (rc == 0 && c->tls)
        rc = peer_tls_await(c);
    if (rc != 0)
        return err_trace(rc);
    c->state = c->tls ? PEER_CONN_SHAKING : PEER_CONN_HELLO_AWAITED;
    c->host = net_host_of(sa);
    c->from = *sa;
    list_append(&n->half_open, &c->half_open);
    n->n_half_open++;
    c->accepted_us = clock_mono_us();
    c->deadline_us = c->accepted_us + n->conf.handshake_us;
    net_addr_format(sa, c->address, sizeof(c->address));
    list_append(&n->conns, &c->node);
    c = NULL; /* the list's */
    return 0;
}

static int connect_to(struct peer_conn *c, const struct net_addr *addr)
{
    if (c->tls)
        return err_trace(peer_tls_connect(c, addr));
    if (bufferevent_socket_connect(c->bev, (const struct sockaddr *)&addr->sa, (int)addr->len) != 0)
        return err_origin(err_say(-ECONNREFUSED, "cannot connect: %s", strerror(errno)));
    /* libevent makes the events anew for a socket that it connects, and they forget. */
    (void)bufferevent_priority_set(c->bev, 0);
    return 0;
}

int peer_conn_dial(struct peer *p, enum wire_channel channel, uint64_t nonce,
                   const struct net_addr *addr, struct peer_conn **ret_conn)
{
    CLEANUP(conn) struct peer_conn *c = NULL;
    int fd;
    int rc;

    fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_origin(err_say(-errno, "cannot open a socket: %s", strerror(errno)));
    rc = conn_new(p->net, fd, &c);
    if (rc != 0)
        return err_trace(rc);
    c->state = PEER_CONN_CONNECTING;
    c->peer = p;
    c->dialled = true;
    c->host = net_host_of(&addr->sa);
    c->channel = channel;
    c->nonce = nonce;
    c->deadline_us =
        clock_mono_us() +
        (PEER_CONNECT_US < p->net->conf.handshake_us ? PEER_CONNECT_US : p->net->conf.handshake_us);
    (void)snprintf(c->address, sizeof(c->address), "%s", p->address);
    rc = connect_to(c, addr);
    if (rc != 0)
        return err_trace(rc);
    list_append(&p->net->conns, &c->node);
    *ret_conn = take_ptr(c);
    return 0;
}

static void no_longer_half_open(struct peer_conn *c)
{
    if (!peer_conn_is_half_open(c))
        return;
    rid_assert(c->net->n_half_open > 0);
    c->net->n_half_open--;
    list_remove(&c->half_open);
}

/* Callers may stand in a callback that was given c: it is only marked dead here, and freed from an
 * event of its own (PEER-4). */
void peer_conn_detach(struct peer_conn *c)
{
    if (c->state == PEER_CONN_DEAD)
        return;
    no_longer_half_open(c);
    c->state = PEER_CONN_DEAD;
    c->deadline_us = 0;
    peer_tls_drop(c);
    if (c->bev != NULL) {
        bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
        (void)bufferevent_disable(c->bev, EV_READ | EV_WRITE);
        /* The other side learns it now; the descriptor goes with the bufferevent. */
        if (!c->spared)
            (void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
    }
    list_remove(&c->node);
    list_append(&c->net->dead, &c->node);
    if (!c->net->freed)
        (void)event_add(c->net->ev_work, &at_once);
}

void peer_conn_free(struct peer_conn *c)
{
    if (c == NULL)
        return;
    list_remove(&c->node);
    peer_tls_drop(c);
    if (c->bev != NULL)
        bufferevent_free(c->bev);
    free(c);
}

void peer_conn_set_up(struct peer_conn *c)
{
    rid_assert(c->state == PEER_CONN_PAIRING);
    no_longer_half_open(c);
    c->state = PEER_CONN_UP;
    c->deadline_us = 0;
    set_watermark(c, PEER_IN_BYTES_MAX);
    (void)bufferevent_enable(c->bev, EV_READ);
    /* Frames may have come while the other channel was still shaking hands. */
    bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

size_t peer_conn_out_bytes(const struct peer_conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* How many bytes the kernel takes at once. */
static size_t send_some(struct peer_conn *c, const struct buf *out)
{
    ssize_t n;

    if (c->ssl != NULL)
        return peer_tls_send_some(c, out->data, out->len);
    n = send(bufferevent_getfd(c->bev), out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static int send_later(struct peer_conn *c, const unsigned char *data, size_t len)
{
    if (c->ssl != NULL)
        return peer_tls_send_later(c, data, len);
    return bufferevent_write(c->bev, data, len) == 0 ? 0 : err_origin(-ENOMEM);
}

/* Empties out. When nothing waits before it, it is offered to the kernel directly: a bufferevent
 * alone would write in the next turn, after three more system calls, and a read round waits for
 * these bytes. Errors are left to the bufferevent, which meets them again. */
int peer_conn_send(struct peer_conn *c, struct buf *out)
{
    size_t sent = 0;
    int rc = 0;

    rid_assert(c->state != PEER_CONN_DEAD);
    if (peer_conn_out_bytes(c) == 0)
        sent = send_some(c, out);
    if (sent < out->len)
        rc = send_later(c, out->data + sent, out->len - sent);
    if (rc != 0)
        return err_trace(rc);
    buf_reset(out, PEER_OUT_KEEP_BYTES);
    return 0;
}
