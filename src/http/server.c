/* The thread of HTTP: how it begins, turns and ends. */
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/thread.h"
#include "http/http_int.h"

#include "base/banned.h"

/* ---- when libevent gives up ---- */

/* Its fatal errors end the process. Of this thread they are no reason to: pages are for looking at
 * a node, and it must not fall with them. What was being done is abandoned with its memory. */
static _Thread_local struct http *http_of_thread;

/* The code of those for which it would call abort(); no header of it says so. */
#define FATAL_ABORT ((int)0xdeaddead)

static void on_fatal(int code)
{
    struct http *h = http_of_thread;

    if (h == NULL) {
        /* As without us: a core that says where, or an exit. */
        if (code == FATAL_ABORT)
            abort();
        return;
    }
    atomic_store(&h->failed, true);
    if (h->ops.failed != NULL)
        h->ops.failed(h->ops.ctx, "libevent has met what it calls fatal");
    /* Who connects is refused, and does not wait for an answer that never comes. */
    if (h->listener != NULL)
        (void)shutdown(evconnlistener_get_fd(h->listener), SHUT_RDWR);
    pthread_exit(NULL);
}

/* ---- the thread ---- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;

    (void)what;
    (void)arg;                              /* the loop looks at h->stop */
    (void)!read(fd, &count, sizeof(count)); /* and goes on for a pass behind it */
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
        http_conns_sweep(h);
    }
    http_end_calls(h);
    if (h->ops.ended != NULL)
        h->ops.ended(h->ops.ctx);
    /* What fits the sockets goes out. */
    (void)event_base_loop(h->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return NULL;
}

/* ---- beginning and end ---- */

/* A name of another kind than localhost is asked about, at the start. */
static int look_up(const char *addr, const char *host, struct sockaddr_in *in)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int rc = getaddrinfo(host, NULL, &hints, &list);

    if (rc != 0)
        return err_origin(err_say(-EADDRNOTAVAIL,
                                  "cannot answer HTTP on '%s': no address of '%s': %s", addr, host,
                                  gai_strerror(rc)));
    in->sin_addr = ((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr;
    freeaddrinfo(list);
    return 0;
}

static int fill_sockaddr(const char *addr, bool with_tls, struct sockaddr_storage *ret,
                         int *ret_len, unsigned *ret_port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;
    char host[ADDRESS_BYTES_MAX + 1];
    char port[8];

    if (!address_split(addr, host, sizeof(host), port, sizeof(port)) ||
        (!with_tls && !address_host_is_loopback(host)))
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
    *ret_len = sizeof(*in);
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1)
        return 0;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK); /* localhost: no resolver is asked */
    return address_host_is_loopback(host) ? 0 : err_trace(look_up(addr, host, in));
}

static int open_listener(struct http *h, const char *addr)
{
    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    struct sockaddr_storage sa;
    int len = 0;
    int rc = fill_sockaddr(addr, h->tls != NULL, &sa, &len, &h->names.port);

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
    evconnlistener_set_error_cb(h->listener, http_conns_no_descriptor);
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
        event_new(h->base, board_asker_fd(h->board), EV_READ | EV_PERSIST, http_on_board, h);
    h->look = event_new(h->base, -1, EV_PERSIST, http_on_look, h);
    h->rest = event_new(h->base, -1, 0, http_conns_rested, h);
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
    evhttp_set_bevcb(h->evhttp, http_conn_accept, h);
    evhttp_set_gencb(h->evhttp, http_on_request, h);
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
            http_conn_let_go(h, &h->conns[i]);
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
    tls_ctx_unref(h->tls);
    (void)pthread_mutex_destroy(&h->tls_lock);
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
    (void)pthread_mutex_init(&h->tls_lock, NULL);
    h->tls = conf->tls != NULL ? tls_ctx_ref(conf->tls) : NULL;
    h->names.any = conf->tls != NULL;
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
