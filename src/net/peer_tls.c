/* TLS of one connection to a peer: before its bufferevent is made, and what differs of it then.
 *
 * Whoever came and whoever was dialled shakes hands on the greeter's thread. One that came and says
 * nothing is not there: it waits on the loop for its first byte, which costs an event, and is one
 * of those that make room (PEER-6). Our hello, and all that is read of the other side, is in the
 * hands of a bufferevent that is made of what the handshake left (TLS-10).
 *
 * What is known of libevent here. It reads one record for each event and all of it, unless its high
 * watermark is passed meanwhile: then a rest stays in TLS, of which no event tells. So the
 * watermark is higher than what can be there (read_frames() looks at it after each record). It
 * writes pieces of its buffer one by one, and what was begun has to be offered again in one piece.
 * */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/peer_int.h"

#include "base/banned.h"

static const char not_accepted[] = "the secret that it was made with is not accepted any more";

int peer_tls_begin(struct peer_net *n)
{
    const struct greeter_conf conf = {.name = "ridd-greet-p", .priority = 0};

    if (n->greeter != NULL)
        return 0;
    return err_trace(greeter_new(n->base, &conf, &n->greeter));
}

/* ---- the other side ---- */

const char *peer_tls_name(const struct peer_conn *c)
{
    return c->identity.kind == TLS_CERTIFICATE ? c->identity.names : "";
}

/* Of a founder its name alone, else of name and incarnation (MEMBER-5): no address and no claim
 * takes part. */
bool peer_tls_is(const struct peer_conn *c, raft_node_id id, uint64_t incarnation)
{
    const char *name = peer_tls_name(c);

    return c->identity.kind != TLS_CERTIFICATE || id == raft_founder_id(name) ||
           id == raft_member_id(name, incarnation);
}

/* With what is in force now (TLS-14). */
static bool is_accepted(const struct peer_conn *c)
{
    struct tls_ctx *tls = c->net->conf.tls;
    struct tls_expiry expiries[TLS_EXPIRIES_MAX];

    if (tls == NULL || !c->tls)
        return tls == NULL && !c->tls;
    switch (c->identity.kind) {
    case TLS_SECRET:
        return tls_ctx_accepts(tls, c->identity.secret_id);
    case TLS_CERTIFICATE:
        return tls_ctx_expiries(tls, expiries) > 0;
    case TLS_NOBODY:
        break;
    }
    return true; /* not shaken so far */
}

static const char *why_not_accepted(const struct peer_conn *c)
{
    if (c->net->conf.tls == NULL || !c->tls)
        return "TLS is configured otherwise now";
    return c->identity.kind == TLS_SECRET ? not_accepted : "certificates are not accepted any more";
}

/* At once, not when its delay is over: nobody was refused, and the other side is there. */
void peer_tls_judge(struct peer_conn *c)
{
    struct peer *p = c->peer;

    if (is_accepted(c))
        return;
    peer_net_lost(c, PEER_EVENT_FAILED, why_not_accepted(c));
    if (p == NULL || c->net->freed)
        return;
    peer_dial_begin_anew(p);
    peer_dial_now(p);
}

/* ---- the handshake ---- */

/* A caller that has gone said nothing, to us or to itself: it is a port scan, or a peer whose other
 * channel was refused. Of one that is dialled it is news. */
static void not_greeted(struct peer_conn *c, bool silent, const char *why)
{
    const bool gone = silent || (!c->dialled && strcmp(why, tls_cut_off) == 0);

    if (c->deadline_us != 0 && clock_mono_us() >= c->deadline_us)
        peer_net_too_late(c);
    else
        peer_net_lost(c, gone ? PEER_EVENT_FAILED : PEER_EVENT_REFUSED, why);
}

/* Owns both. */
static int make_bufferevent(struct peer_conn *c, struct tls_stream *stream, int fd)
{
    c->identity = *tls_stream_identity(stream);
    c->ssl = tls_stream_take(stream);
    if (c->ssl != NULL)
        c->bev = bufferevent_openssl_socket_new(c->net->base, fd, c->ssl, BUFFEREVENT_SSL_OPEN,
                                                BEV_OPT_CLOSE_ON_FREE);
    if (c->bev == NULL) {
        c->ssl = NULL; /* libevent has freed it */
        (void)close(fd);
        return err_origin(err_say(-ENOMEM, "out of memory"));
    }
    return err_trace(peer_conn_watch(c));
}

static void on_greeted(void *ctx, struct tls_stream *stream, int fd, bool silent, const char *why)
{
    struct peer_conn *c = ctx;
    struct peer_net *n = c->net;

    rid_assert(c->state == PEER_CONN_SHAKING);
    c->greeting = NULL;
    peer_net_enter(n);
    if (stream == NULL)
        not_greeted(c, silent, why);
    else if (make_bufferevent(c, stream, fd) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, err_text());
    else if (!is_accepted(c)) /* it changed meanwhile */
        peer_net_lost(c, PEER_EVENT_FAILED, why_not_accepted(c));
    else if (c->dialled)
        peer_hello_begin(c);
    else
        c->state = PEER_CONN_HELLO_AWAITED;
    peer_net_leave(n);
}

static void greet(struct peer_conn *c)
{
    struct peer_net *n = c->net;
    const int fd = take_fd(c->fd);

    if (greeter_take_in(n->greeter, n->conf.tls, c->dialled ? TLS_DIAL : TLS_ACCEPT, fd, c->host,
                        c->deadline_us, on_greeted, c, &c->greeting) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, err_text());
}

/* ---- before it ---- */

static void on_ready(evutil_socket_t fd, short what, void *ctx);

static int wait_for(struct peer_conn *c, short events)
{
    c->ev = event_new(c->net->base, c->fd, events, on_ready, c);
    if (c->ev == NULL || event_priority_set(c->ev, 0) != 0 || event_add(c->ev, NULL) != 0)
        return err_origin(err_say(-ENOMEM, "cannot watch the socket"));
    return 0;
}

static void on_connected(struct peer_conn *c)
{
    char text[128];
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        (void)snprintf(text, sizeof(text), "cannot connect: %s", strerror(error));
        peer_net_lost(c, PEER_EVENT_FAILED, text);
        return;
    }
    c->state = PEER_CONN_SHAKING;
    c->deadline_us = clock_mono_us() + c->net->conf.handshake_us;
    greet(c);
}

/* Closed without a word it is a port scan or a health check. */
static void on_first_byte(struct peer_conn *c)
{
    char byte;
    const ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);

    if (n > 0) /* not before: who is silent has no part of a handshake (TLS-13) */
        greet(c);
    else if (n == 0 || errno != EAGAIN)
        peer_net_lost(c, PEER_EVENT_FAILED, "closed by the other side");
    else if (wait_for(c, EV_READ) != 0)
        peer_net_lost(c, PEER_EVENT_FAILED, err_text());
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct peer_conn *c = ctx;
    struct peer_net *n = c->net;

    (void)fd;
    (void)what;
    event_free(take_ptr(c->ev));
    peer_net_enter(n);
    if (c->state == PEER_CONN_CONNECTING)
        on_connected(c);
    else
        on_first_byte(c);
    peer_net_leave(n);
}

int peer_tls_connect(struct peer_conn *c, const struct net_addr *addr)
{
    if (connect(c->fd, (const struct sockaddr *)&addr->sa, addr->len) != 0 && errno != EINPROGRESS)
        return err_origin(err_say(-ECONNREFUSED, "cannot connect: %s", strerror(errno)));
    return err_trace(wait_for(c, EV_WRITE));
}

int peer_tls_await(struct peer_conn *c)
{
    return err_trace(wait_for(c, EV_READ));
}

void peer_tls_drop(struct peer_conn *c)
{
    if (c->ev != NULL)
        event_free(take_ptr(c->ev));
    if (c->greeting != NULL)
        greeter_give_up(c->net->greeter, take_ptr(c->greeting));
    if (c->fd >= 0)
        (void)close(take_fd(c->fd));
}

/* ---- bytes ---- */

/* What fails here the bufferevent meets again; nothing of it may be left in the queue of errors,
 * which is the thread's. */
size_t peer_tls_send_some(struct peer_conn *c, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    size_t sent = 0;
    size_t n = 0;

    ERR_clear_error();
    while (sent < len && SSL_write_ex(c->ssl, bytes + sent, len - sent, &n) == 1)
        sent += n;
    ERR_clear_error();
    return sent;
}

static void free_copy(const void *data, size_t len, void *copy)
{
    (void)data;
    (void)len;
    free(copy);
}

/* TLS has begun with it: one chain of libevent's, which is offered as one piece (TLS-12). */
int peer_tls_send_later(struct peer_conn *c, const void *data, size_t len)
{
    void *copy = malloc(len);

    if (copy == NULL)
        return err_origin(-ENOMEM);
    memcpy(copy, data, len);
    if (evbuffer_add_reference(bufferevent_get_output(c->bev), copy, len, free_copy, copy) != 0) {
        free(copy);
        return err_origin(-ENOMEM);
    }
    return 0;
}

/* What failed may be our hello, to one that had said before why it goes: that is still unread. */
static unsigned long unread_alert(struct peer_conn *c)
{
    unsigned long ssl_error = 0;
    unsigned char byte;
    size_t n = 0;

    ERR_clear_error();
    if (SSL_read_ex(c->ssl, &byte, 1, &n) != 1)
        ssl_error = ERR_peek_error();
    ERR_clear_error();
    return ssl_error;
}

bool peer_tls_why(struct peer_conn *c, int error, char *ret, size_t size)
{
    unsigned long ssl_error;

    if (c->ssl == NULL)
        return false;
    ssl_error = bufferevent_get_openssl_error(c->bev);
    if (ERR_GET_LIB(ssl_error) != ERR_LIB_SSL && c->state == PEER_CONN_HELLO_SENT)
        ssl_error = unread_alert(c);
    if (ERR_GET_LIB(ssl_error) != ERR_LIB_SSL)
        return false;
    (void)tls_words(ssl_error, error, ret, size);
    return true;
}

/* ---- another context ---- */

int peer_tls_change(struct peer_net *n, struct tls_ctx *tls)
{
    int rc = tls != NULL ? peer_tls_begin(n) : 0;

    if (rc != 0)
        return err_trace(rc);
    if (tls != NULL)
        (void)tls_ctx_ref(tls);
    tls_ctx_unref(n->conf.tls);
    n->conf.tls = tls;
    return 0;
}

void peer_net_greetings(const struct peer_net *n, struct greeter_stats *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (n->greeter != NULL)
        greeter_get_stats(n->greeter, ret);
}
