/* evhttp on a thread of its own, and what evhttp lacks: a bound on connections and on the time that
 * a request or an answer may take however busily its bytes drip.
 *
 * evhttp tells nobody when a connection ends that has not brought a request. But the bufferevent of
 * each is made here, and one reference to it is kept: evhttp is done with a connection when the
 * bufferevent has no callbacks any more. That is looked at after each pass of the loop. */
#include "http/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/thread.h"

#include "base/banned.h"

#define TEXT_TYPE      "text/plain; charset=utf-8"
#define POLICY_DEFAULT "default-src 'none'; frame-ancestors 'none'"

struct conn {
    struct bufferevent *bev; /* counted; NULL: a free place */
    uint64_t since_us;       /* it waits for a request, or is answered, since then */
    uint64_t deadline_us;
    bool busy; /* being answered */
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

/* ---- when libevent gives up ---- */

/* Its fatal errors end the process. Of this thread they are no reason to: pages are for looking at
 * a node, and it must not fall with them. What was being done is abandoned with its memory. */
static _Thread_local struct http *http_of_thread;

static void on_fatal(int code)
{
    struct http *h = http_of_thread;

    if (h == NULL)
        _exit(code);
    atomic_store(&h->failed, true);
    if (h->ops.failed != NULL)
        h->ops.failed(h->ops.ctx, "libevent has met what it calls fatal");
    pthread_exit(NULL);
}

/* ---- connections ---- */

/* Is evhttp done with it? */
static bool is_over(const struct conn *c)
{
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;
    bufferevent_event_cb on_event;

    bufferevent_getcb(c->bev, &on_read, &on_write, &on_event, NULL);
    return on_read == NULL && on_write == NULL && on_event == NULL;
}

static void let_go(struct http *h, struct conn *c)
{
    (void)bufferevent_decref(c->bev);
    c->bev = NULL;
    h->stats.n_open--;
}

/* Of those that wait for a request, also for the rest of one: whoever has done so longest. */
static struct conn *longest_waiting(struct http *h)
{
    struct conn *found = NULL;

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct conn *c = &h->conns[i];

        if (c->bev != NULL && !c->busy && (found == NULL || c->since_us < found->since_us))
            found = c;
    }
    return found;
}

/* Where somebody more cannot be taken, also not for one that waits, nobody is accepted. */
static void look_for_room(struct http *h)
{
    const bool full = h->stats.n_open == HTTP_CONNECTIONS_MAX && longest_waiting(h) == NULL;

    if (full && !h->full)
        (void)evconnlistener_disable(h->listener);
    else if (!full && h->full && !h->resting)
        (void)evconnlistener_enable(h->listener);
    h->full = full;
}

static void sweep(struct http *h)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev != NULL && is_over(&h->conns[i]))
            let_go(h, &h->conns[i]);
    look_for_room(h);
    if (h->stats.n_open == 0)
        (void)event_del(h->look);
}

/* As if it had been silent for too long, which is what evhttp knows (HTTP-5). */
static void cut(struct http *h, struct conn *c)
{
    bufferevent_trigger_event(c->bev, BEV_EVENT_TIMEOUT | BEV_EVENT_READING, 0);
    if (is_over(c))
        let_go(h, c);
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

/* As evhttp's maker of bufferevents: once for each connection. NULL makes evhttp take one of its
 * own, of which we would know nothing; there is always a place, for the listener sleeps else. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    const struct timeval look_every = {0, HTTP_LOOK_US};
    struct http *h = arg;
    struct conn *c;

    make_room(h);
    c = free_place(h);
    if (c == NULL)
        return NULL;
    *c = (struct conn){.bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE),
                       .since_us = clock_mono_us()};
    if (c->bev == NULL)
        return NULL;
    bufferevent_incref(c->bev);
    c->deadline_us = c->since_us + HTTP_FIRST_US;
    h->stats.n_accepted++;
    if (h->stats.n_open++ == 0)
        (void)event_add(h->look, &look_every);
    return c->bev;
}

static struct conn *conn_of(struct http *h, struct evhttp_request *req)
{
    struct evhttp_connection *ec = evhttp_request_get_connection(req);
    const struct bufferevent *bev = ec != NULL ? evhttp_connection_get_bufferevent(ec) : NULL;

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (bev != NULL && h->conns[i].bev == bev)
            return &h->conns[i];
    return NULL;
}

/* No descriptor to accept with: without a rest it would be tried, and fail, all the time. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    const struct timeval rest = {0, HTTP_ACCEPT_RETRY_US};
    struct http *h = arg;

    h->resting = true;
    (void)evconnlistener_disable(listener);
    (void)event_add(h->rest, &rest);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;

    (void)fd;
    (void)what;
    h->resting = false;
    if (!h->full)
        (void)evconnlistener_enable(h->listener);
}

/* ---- answers ---- */

static void call_free(struct http_call *call)
{
    list_remove(&call->link);
    free(call);
}

/* The answer is with the client. */
static void on_complete(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = conn_of(h, req);

    if (c == NULL)
        return;
    c->busy = false;
    c->since_us = clock_mono_us();
    c->deadline_us = c->since_us + HTTP_NEXT_US;
}

static void count(struct http *h, int status)
{
    h->stats.n_requests++;
    if (status >= 400 && status < 500)
        h->stats.n_refused++;
    if (status == 503)
        h->stats.n_unavailable++;
}

static void send_answer(struct http *h, struct evhttp_request *req, int status, const char *type,
                        const char *policy, const struct buf *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evbuffer_new();
    char length[24];

    count(h, status);
    /* No copy stays in the browser, no script of another page reads it, nothing on it runs that
     * the page does not allow (HTTP-6). */
    (void)evhttp_add_header(headers, "Content-Type", type);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    (void)evhttp_add_header(headers, "Content-Security-Policy",
                            policy != NULL ? policy : POLICY_DEFAULT);
    (void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    (void)evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    (void)evhttp_add_header(headers, "Cross-Origin-Resource-Policy", "same-origin");
    if (status == 405)
        (void)evhttp_add_header(headers, "Allow", "GET, HEAD");
    if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
        (void)snprintf(length, sizeof(length), "%zu", body->len);
        (void)evhttp_add_header(headers, "Content-Length", length);
    } else if (out != NULL) {
        (void)evbuffer_add(out, body->data, body->len);
    }
    evhttp_request_set_on_complete_cb(req, on_complete, h);
    evhttp_send_reply(req, status, http_reason(status), out);
    if (out != NULL)
        evbuffer_free(out);
}

void http_reply(struct http_call *call, int status, const char *type, struct buf *body)
{
    send_answer(call->http, call->req, status, type, call->handler->policy, body);
    buf_done(body);
    call_free(call);
}

void http_reply_text(struct http_call *call, int status, const char *text)
{
    cleanup_buf struct buf body = BUF_INIT;

    (void)buf_add_format(&body, "%s\n", text);
    http_reply(call, status, TEXT_TYPE, &body);
}

const struct http_found *http_call_found(const struct http_call *call)
{
    return &call->found;
}

struct http *http_call_server(const struct http_call *call)
{
    return call->http;
}

struct event_base *http_base(struct http *h)
{
    return h->base;
}

void http_get_stats(const struct http *h, struct http_stats *ret)
{
    *ret = h->stats;
}

int http_list_pages(const struct http *h, struct buf *out)
{
    int rc = 0;

    for (unsigned i = 0; i < h->n_handlers && rc == 0; i++)
        rc = buf_add_format(out, "%-14s %s\n", h->pages[i]->path, h->pages[i]->what);
    return rc;
}

/* ---- requests ---- */

/* The loop says nothing: that is an answer, too. */
static void reply_late(struct http_call *call)
{
    struct http *h = call->http;
    const char *why = h->ops.absent(h->ops.ctx);
    char text[192];

    call->waits = false;
    if (call->handler->late_too) {
        call->handler->answer(h->ops.ctx, call, NULL);
        return;
    }
    if (why == NULL) {
        (void)snprintf(text, sizeof(text),
                       "this node's loop has not turned for %.1f s; its log says more, and "
                       "ridctl status what the others see",
                       (double)h->ops.silent_us(h->ops.ctx) / 1e6);
        why = text;
    }
    http_reply_text(call, 503, why);
}

/* Answers it if what it needs is there; false: it waits. */
static bool try_to_answer(struct http_call *call)
{
    struct http *h = call->http;
    const struct http_handler *handler = call->handler;
    const struct buf *facts = NULL;

    if (handler->kind != HTTP_ASKS_NOTHING) {
        if (h->ops.absent(h->ops.ctx) != NULL) {
            reply_late(call);
            return true;
        }
        facts = board_get(h->board, (unsigned)handler->kind, call->arrived_us);
        if (facts == NULL)
            return false;
    }
    call->waits = false;
    handler->answer(h->ops.ctx, call, facts);
    return true;
}

static const char *method_of(const struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_POST:
    case EVHTTP_REQ_PUT:
    case EVHTTP_REQ_DELETE:
    case EVHTTP_REQ_OPTIONS:
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
    case EVHTTP_REQ_PATCH:
    default:
        return NULL;
    }
}

static void fill_asked(struct evhttp_request *req, struct http_asked *ret)
{
    const struct evkeyval *header;

    *ret = (struct http_asked){.method = method_of(req),
                               .target = evhttp_request_get_uri(req),
                               .old = req->major < 1 || (req->major == 1 && req->minor == 0)};
    for (header = evhttp_request_get_input_headers(req)->tqh_first; header != NULL;
         header = header->next.tqe_next)
        if (evutil_ascii_strcasecmp(header->key, "Host") == 0) {
            ret->host = header->value;
            ret->n_hosts++;
        }
}

static void refuse(struct http *h, struct evhttp_request *req, int status, const char *why)
{
    cleanup_buf struct buf body = BUF_INIT;

    (void)buf_add_format(&body, "%s\n", why);
    if (status == 404) {
        (void)buf_add_str(&body, "There are:\n");
        (void)http_list_pages(h, &body);
    }
    send_answer(h, req, status, TEXT_TYPE, NULL, &body);
}

static const struct http_handler *handler_of(const struct http *h, const struct http_page *page)
{
    for (unsigned i = 0; i < h->n_handlers; i++)
        if (&h->handlers[i].page == page)
            return &h->handlers[i];
    rid_assert(false);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = conn_of(h, req);
    struct http_asked asked;
    struct http_found found;
    struct http_call *call;
    int status;

    if (c != NULL) {
        c->busy = true;
        c->since_us = clock_mono_us();
        c->deadline_us = c->since_us + HTTP_ANSWER_US;
        look_for_room(h);
    }
    fill_asked(req, &asked);
    status = http_find(&h->names, h->pages, h->n_handlers, &asked, &found);
    if (status != 200) {
        refuse(h, req, status, found.why);
        return;
    }
    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        refuse(h, req, 503, "no memory for this answer; ask again");
        return;
    }
    call->http = h;
    call->req = req;
    call->found = found;
    call->handler = handler_of(h, found.page);
    call->arrived_us = clock_mono_us();
    call->waits = true;
    list_append(&h->calls, &call->link);
    (void)try_to_answer(call);
}

/* ---- what comes up by itself ---- */

static void on_board(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;
    struct list *at;
    struct list *next;

    (void)fd;
    (void)what;
    board_look(h->board);
    for (at = h->calls.next; at != &h->calls; at = next) {
        struct http_call *call = list_entry(at, struct http_call, link);

        next = at->next;
        if (call->waits)
            (void)try_to_answer(call);
    }
}

/* In time before its connection is cut. */
static void expire_call(struct http_call *call, uint64_t now_us)
{
    struct http *h = call->http;

    if (call->waits) {
        if (now_us >= call->arrived_us + HTTP_LOOP_US)
            reply_late(call);
        else
            (void)try_to_answer(call);
        return;
    }
    if (now_us < call->arrived_us + HTTP_ANSWER_US / 2)
        return;
    if (h->ops.gone != NULL)
        h->ops.gone(h->ops.ctx, call);
    http_reply_text(call, 503, "this took too long; ask again");
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;
    const uint64_t now_us = clock_mono_us();
    struct list *at;
    struct list *next;

    (void)fd;
    (void)what;
    for (at = h->calls.next; at != &h->calls; at = next) {
        next = at->next;
        expire_call(list_entry(at, struct http_call, link), now_us);
    }
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev != NULL && now_us >= h->conns[i].deadline_us) {
            h->stats.n_expired++;
            cut(h, &h->conns[i]);
        }
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;

    (void)what;
    (void)arg;                              /* the loop looks at h->stop */
    (void)!read(fd, &count, sizeof(count)); /* and goes on for a pass behind it */
}

static void end_calls(struct http *h)
{
    while (h->calls.next != &h->calls) {
        struct http_call *call = list_entry(h->calls.next, struct http_call, link);

        if (!call->waits && h->ops.gone != NULL)
            h->ops.gone(h->ops.ctx, call);
        http_reply_text(call, 503, "this node is stopping");
    }
}

static void *run(void *arg)
{
    struct http *h = arg;

    http_of_thread = h;
    while (!atomic_load(&h->stop)) {
        if (event_base_loop(h->base, EVLOOP_ONCE) < 0) {
            atomic_store(&h->failed, true);
            if (h->ops.failed != NULL)
                h->ops.failed(h->ops.ctx, "its event loop failed");
            return NULL;
        }
        sweep(h);
    }
    end_calls(h);
    if (h->ops.ended != NULL)
        h->ops.ended(h->ops.ctx);
    /* What fits the sockets goes out. */
    (void)event_base_loop(h->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return NULL;
}

/* ---- beginning and end ---- */

static int fill_sockaddr(const char *addr, struct sockaddr_storage *ret, int *ret_len,
                         unsigned *ret_port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;
    char host[ADDRESS_BYTES_MAX + 1];
    char port[8];

    if (!address_split(addr, host, sizeof(host), port, sizeof(port)) ||
        !address_host_is_loopback(host))
        return err_origin(err_say(-EINVAL, "cannot answer HTTP on '%s': not of loopback", addr));
    memset(ret, 0, sizeof(*ret));
    *ret_port = (unsigned)strtoul(port, NULL, 10);
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)*ret_port);
        *ret_len = sizeof(*in6);
        return 0;
    }
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)*ret_port);
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK); /* localhost: no resolver is asked */
    *ret_len = sizeof(*in);
    return 0;
}

static int open_listener(struct http *h, const char *addr)
{
    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    struct sockaddr_storage sa;
    int len;
    int rc = fill_sockaddr(addr, &sa, &len, &h->names.port);

    if (rc != 0)
        return err_trace(rc);
    errno = 0;
    h->listener = evconnlistener_new_bind(h->base, NULL, NULL, flags, HTTP_BACKLOG,
                                          (struct sockaddr *)&sa, len);
    if (h->listener == NULL) {
        rc = errno != 0 ? -errno : -ENOMEM;
        return err_origin(
            err_say(rc, "cannot answer HTTP on '%s': %s%s", addr, strerror(-rc),
                    rc == -EADDRINUSE ? "; 'ss -ltnp' shows which process has that port" : ""));
    }
    evconnlistener_set_error_cb(h->listener, on_accept_error);
    return 0;
}

static int make_base(struct http *h)
{
    struct event_config *config = event_config_new();

    if (config != NULL) {
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        h->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (h->base == NULL)
        return -ENOMEM;
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->stop_fd < 0)
        return -errno;
    h->evhttp = evhttp_new(h->base);
    h->stop_event = event_new(h->base, h->stop_fd, EV_READ | EV_PERSIST, on_stop, h);
    h->board_event =
        event_new(h->base, board_asker_fd(h->board), EV_READ | EV_PERSIST, on_board, h);
    h->look = event_new(h->base, -1, EV_PERSIST, on_look, h);
    h->rest = event_new(h->base, -1, 0, on_rested, h);
    if (h->evhttp == NULL || h->stop_event == NULL || h->board_event == NULL || h->look == NULL ||
        h->rest == NULL || event_add(h->stop_event, NULL) != 0 ||
        event_add(h->board_event, NULL) != 0)
        return -ENOMEM;
    return 0;
}

static int set_up(struct http *h, const struct http_conf *conf)
{
    int rc = make_base(h);

    if (rc != 0)
        return err_origin(err_say(rc, "cannot make the server of HTTP: %s", strerror(-rc)));
    rc = open_listener(h, conf->addr);
    if (rc != 0)
        return err_trace(rc);
    evhttp_set_bevcb(h->evhttp, on_accept, h);
    evhttp_set_gencb(h->evhttp, on_request, h);
    /* All, and what it does not know: who uses another method is told which there are (HTTP-1). */
    evhttp_set_allowed_methods(h->evhttp, UINT16_MAX);
    evhttp_set_max_headers_size(h->evhttp, HTTP_HEAD_BYTES_MAX);
    evhttp_set_max_body_size(h->evhttp, HTTP_BODY_BYTES_MAX);
    evhttp_set_timeout(h->evhttp, HTTP_NEXT_US / 1000000);
    evhttp_set_default_content_type(h->evhttp, NULL);
    if (evhttp_bind_listener(h->evhttp, h->listener) == NULL)
        return err_origin(err_say(-ENOMEM, "cannot make the server of HTTP: out of memory"));
    return 0;
}

static void free_event(struct event *e)
{
    if (e != NULL)
        event_free(e);
}

static void tear_down(struct http *h)
{
    const bool bound = h->evhttp != NULL && h->listener != NULL;

    if (h->evhttp != NULL)
        evhttp_free(h->evhttp);
    if (!bound && h->listener != NULL)
        evconnlistener_free(h->listener);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (h->conns[i].bev != NULL)
            let_go(h, &h->conns[i]);
    free_event(h->stop_event);
    free_event(h->board_event);
    free_event(h->look);
    free_event(h->rest);
    if (h->base != NULL) {
        /* What is freed in libevent is so in a pass of its loop. */
        (void)event_base_loop(h->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        event_base_free(h->base);
    }
    if (h->stop_fd >= 0)
        (void)close(h->stop_fd);
    free(h);
}

void http_free(struct http *h)
{
    const uint64_t one = 1;

    if (h == NULL)
        return;
    if (h->has_thread) {
        atomic_store(&h->stop, true);
        (void)!write(h->stop_fd, &one, sizeof(one));
        (void)pthread_join(h->thread, NULL);
    }
    /* What a thread has left in the middle cannot be taken down. */
    if (!atomic_load(&h->failed))
        tear_down(h);
}

static void cleanup_http_fn(struct http **h)
{
    http_free(*h);
}

int http_new(const struct http_conf *conf, const struct http_ops *ops, struct http **ret)
{
    CLEANUP(http) struct http *h = calloc(1, sizeof(*h));
    int rc;

    rid_assert(conf->n_handlers <= HTTP_PAGES_MAX);
    if (h == NULL)
        return err_origin(err_say(-ENOMEM, "cannot make the server of HTTP: out of memory"));
    h->ops = *ops;
    h->stop_fd = -1;
    h->board = conf->board;
    h->handlers = conf->handlers;
    h->n_handlers = conf->n_handlers;
    h->names.hosts = conf->hosts;
    list_init(&h->calls);
    for (unsigned i = 0; i < conf->n_handlers; i++)
        h->pages[i] = &conf->handlers[i].page;
    event_set_fatal_callback(on_fatal);
    rc = set_up(h, conf);
    if (rc == 0)
        rc = thread_start("ridd-http", run, h, &h->thread);
    if (rc != 0)
        return err_trace(rc);
    h->has_thread = true;
    *ret = take_ptr(h);
    return 0;
}
