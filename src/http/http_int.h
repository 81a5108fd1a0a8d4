/* The inside of the server: connections (conns.c), requests (calls.c), its thread (server.c). */
#ifndef RIDD_HTTP_HTTP_INT_H
#define RIDD_HTTP_HTTP_INT_H

#include <event2/util.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "http/http.h"

struct bufferevent;
struct event;
struct evconnlistener;
struct evhttp;
struct evhttp_request;

struct conn {
    struct bufferevent *bev; /* counted; NULL: a free place */
    struct tls_stream *tls;  /* owned: who is there; NULL: plain */
    uint64_t since_us;       /* it waits for a request, or is answered, since then */
    uint64_t deadline_us;
    bool busy;            /* being answered */
    uint64_t answered_us; /* busy: since then the client has its answer to read; 0: not yet */
};

struct http_call {
    struct http *http;
    struct list link;           /* in http->calls */
    struct evhttp_request *req; /* evhttp's; ours until the reply */
    const struct http_handler *handler;
    struct http_found found;
    uint64_t arrived_us;
    bool waits; /* for the loop */
};

struct http {
    struct http_ops ops;
    struct board *board; /* borrowed */
    const struct http_handler *handlers;
    unsigned n_handlers;
    const struct http_page *pages[HTTP_PAGES_MAX];
    struct http_names names;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t tls_lock; /* of tls alone */
    struct tls_ctx *tls;      /* counted; NULL: plain */
    atomic_bool stop;
    atomic_bool failed;
    int stop_fd; /* eventfd */

    /* The thread's. */
    struct event_base *base;
    struct evhttp *evhttp;
    struct evconnlistener *listener; /* evhttp's, once bound */
    struct event *stop_event;
    struct event *board_event;
    struct event *look; /* at deadlines, while there are connections */
    struct event *rest; /* the listener is woken */
    bool resting;
    bool full; /* all connections are being answered: the listener is asleep */
    struct list calls;
    struct http_stats stats;
    struct conn conns[HTTP_CONNECTIONS_MAX];
};

/* ---- conns.c ---- */

/* As evhttp's maker of bufferevents. */
struct bufferevent *http_conn_accept(struct event_base *base, void *arg);
/* NULL: it is none of ours. */
struct conn *http_conn_of(struct http *h, struct evhttp_request *req);
void http_conn_let_go(struct http *h, struct conn *c);
/* After each pass of the loop: those that evhttp is done with. */
void http_conns_sweep(struct http *h);
/* One begins or ends to be answered. */
void http_conns_look_for_room(struct http *h);
void http_conns_expire(struct http *h, uint64_t now_us);
/* Callbacks of the listener and of its rest. */
void http_conns_no_descriptor(struct evconnlistener *listener, void *arg);
void http_conns_rested(evutil_socket_t fd, short what, void *arg);

/* ---- calls.c ---- */

/* As evhttp's callback for every request. */
void http_on_request(struct evhttp_request *req, void *arg);
/* Something hangs on the board; it is time to look at deadlines. */
void http_on_board(evutil_socket_t fd, short what, void *arg);
void http_on_look(evutil_socket_t fd, short what, void *arg);
/* All that is under way is answered with 503. */
void http_end_calls(struct http *h);

#endif
