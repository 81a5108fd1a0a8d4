/* What evhttp lacks: a bound on connections and on the time that a request or an answer may take
 * however busily its bytes drip.
 *
 * evhttp tells nobody when a connection ends that has not brought a request. But the bufferevent of
 * each is made here, and one reference to it is kept: evhttp is done with a connection when the
 * bufferevent has no callbacks any more. That is looked at after each pass of the loop. */
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http_int.h"

#include "base/banned.h"

/* Is evhttp done with it? */
static bool is_over(const struct conn *c)
{
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;

    bufferevent_getcb(c->bev, &on_read, &on_write, &on_event, NULL);
    return on_read == NULL && on_write == NULL && on_event == NULL;
}

void http_conn_let_go(struct http *h, struct conn *c)
{
    tls_stream_free(take_ptr(c->tls));
    (void)bufferevent_decref(c->bev);
    c->bev = NULL;
    h->stats.n_open--;
}

static bool may_go(const struct conn *c, uint64_t now_us)
{
    return c->bev != NULL &&
           (!c->busy || (c->answered_us != 0 && now_us >= c->answered_us + HTTP_UNREAD_US));
}

/* Of those that wait for a request, also for the rest of one, and of those that do not read their
 * answer: whoever has done so longest. */
static struct conn *longest_waiting(struct http *h)
{
    const uint64_t now_us = clock_mono_us();
    struct conn *found = NULL;

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct conn *c = &h->conns[i];

        if (may_go(c, now_us) && (found == NULL || c->since_us < found->since_us))
            found = c;
    }
    return found;
}

/* Where somebody more cannot be taken, also not for one that waits, nobody is accepted. */
void http_conns_look_for_room(struct http *h)
{
    const bool full = h->stats.n_open == HTTP_CONNECTIONS_MAX && longest_waiting(h) == NULL;

    if (full && !h->full)
        (void)evconnlistener_disable(h->listener);
    else if (!full && h->full && !h->resting)
        (void)evconnlistener_enable(h->listener);
    h->full = full;
}

void http_conns_sweep(struct http *h)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev != NULL && is_over(&h->conns[i]))
            http_conn_let_go(h, &h->conns[i]);
    http_conns_look_for_room(h);
    if (h->stats.n_open == 0)
        (void)event_del(h->look);
}

/* As if it had been silent for too long, which is what evhttp knows (HTTP-5). */
static void cut(struct http *h, struct conn *c)
{
    bufferevent_trigger_event(c->bev, BEV_EVENT_TIMEOUT | BEV_EVENT_READING, 0);
    if (is_over(c))
        http_conn_let_go(h, c);
}

static struct conn *free_place(struct http *h)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev == NULL)
            return &h->conns[i];
    return NULL;
}

/* So that many that ask nothing keep nobody out (HTTP-4). Where all are being answered nobody more
 * is taken: they have their deadlines. */
static void make_room(struct http *h)
{
    struct conn *c;

    if (h->stats.n_open < HTTP_CONNECTIONS_MAX)
        return;
    c = longest_waiting(h);
    if (c != NULL) {
        h->stats.n_evicted++;
        cut(h, c);
    }
}

/* The context in force, counted; NULL: plain. */
static struct tls_ctx *get_tls(struct http *h)
{
    struct tls_ctx *tls;

    (void)pthread_mutex_lock(&h->tls_lock);
    tls = h->tls != NULL ? tls_ctx_ref(h->tls) : NULL;
    (void)pthread_mutex_unlock(&h->tls_lock);
    return tls;
}

void http_set_tls(struct http *h, struct tls_ctx *tls)
{
    struct tls_ctx *old;

    (void)pthread_mutex_lock(&h->tls_lock);
    old = h->tls;
    h->tls = tls_ctx_ref(tls);
    (void)pthread_mutex_unlock(&h->tls_lock);
    tls_ctx_unref(old);
}

/* The handshake is done here, on the thread of HTTP: it holds nobody but those who look. */
static struct bufferevent *new_tls(struct event_base *base, struct tls_ctx *tls,
                                   struct tls_stream **ret_stream)
{
    struct bufferevent *bev;

    if (tls_stream_new(tls, TLS_ACCEPT, -1, NULL, ret_stream) != 0)
        return NULL;
    bev = bufferevent_openssl_socket_new(base, -1, tls_stream_lend(*ret_stream),
                                         BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    /* A browser that goes says nothing; what was asked has its end within. */
    if (bev != NULL)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static struct bufferevent *new_bev(struct http *h, struct event_base *base,
                                   struct tls_stream **ret_stream)
{
    struct tls_ctx *tls = get_tls(h);
    struct bufferevent *bev;

    if (tls == NULL)
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    bev = new_tls(base, tls, ret_stream);
    tls_ctx_unref(tls);
    return bev;
}

/* As evhttp's maker of bufferevents: once for each connection. NULL makes evhttp take one of its
 * own, of which we would know nothing; there is always a place, for the listener sleeps else. */
struct bufferevent *http_conn_accept(struct event_base *base, void *arg)
{
    const struct timeval look_every = {0, HTTP_LOOK_US};
    struct http *h = arg;
    struct conn *c;

    make_room(h);
    c = free_place(h);
    if (c == NULL)
        return NULL;
    *c = (struct conn){.since_us = clock_mono_us()};
    c->bev = new_bev(h, base, &c->tls);
    if (c->bev == NULL) {
        tls_stream_free(take_ptr(c->tls));
        return NULL;
    }
    bufferevent_incref(c->bev);
    /* evhttp goes on reading while an answer is being sent, as much as comes (HTTP-4). */
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_AHEAD_BYTES_MAX);
    c->deadline_us = c->since_us + HTTP_FIRST_US;
    h->stats.n_accepted++;
    if (h->stats.n_open++ == 0)
        (void)event_add(h->look, &look_every);
    return c->bev;
}

struct conn *http_conn_of(struct http *h, struct evhttp_request *req)
{
    struct evhttp_connection *ec = evhttp_request_get_connection(req);
    const struct bufferevent *bev = ec != NULL ? evhttp_connection_get_bufferevent(ec) : NULL;

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (bev != NULL && h->conns[i].bev == bev)
            return &h->conns[i];
    return NULL;
}

/* No descriptor to accept with: without a rest it would be tried, and fail, all the time. */
void http_conns_no_descriptor(struct evconnlistener *listener, void *arg)
{
    const struct timeval rest = {0, HTTP_ACCEPT_RETRY_US};
    struct http *h = arg;

    h->resting = true;
    (void)evconnlistener_disable(listener);
    (void)event_add(h->rest, &rest);
}

void http_conns_rested(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;

    (void)fd;
    (void)what;
    h->resting = false;
    if (!h->full)
        (void)evconnlistener_enable(h->listener);
}

/* Those whose time is over. */
void http_conns_expire(struct http *h, uint64_t now_us)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev != NULL && now_us >= h->conns[i].deadline_us) {
            h->stats.n_expired++;
            cut(h, &h->conns[i]);
        }
}
