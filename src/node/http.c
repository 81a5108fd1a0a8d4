/* HTTP from the node's side: when it begins and ends, and how its thread learns that the loop
 * lives. */
#include <event2/event.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/http_int.h"

#include "base/banned.h"

uint64_t node_http_silent_us(void *ctx)
{
    struct node_http *h = ctx;
    const uint64_t turned_us = atomic_load(&h->turned_us);
    const uint64_t now_us = clock_mono_us();

    return now_us > turned_us ? now_us - turned_us : 0;
}

const char *node_http_absent(void *ctx)
{
    switch ((enum node_http_stage)atomic_load(&((struct node_http *)ctx)->stage)) {
    case NODE_HTTP_STARTING:
        return "this node is starting: it reads and verifies its log and its state";
    case NODE_HTTP_LEAVING:
        return "this node is stopping";
    case NODE_HTTP_TURNING:
        break;
    }
    return NULL;
}

static void failed(void *ctx, const char *why)
{
    (void)ctx;
    log_event(LOG_ERROR, "http_failed", "why='%s: HTTP is not answered any more' action=restart",
              why);
}

static void gone(void *ctx, struct http_call *call)
{
    pages_gone(((struct node_http *)ctx)->pages, call);
}

static void ended(void *ctx)
{
    pages_ended(((struct node_http *)ctx)->pages);
}

static int may(void *ctx, const struct tls_identity *id, const char *token, char *ret_why,
               size_t size)
{
    return node_http_access_may(&((struct node_http *)ctx)->access, id, token, ret_why, size);
}

void node_http_again(struct node *n)
{
    if (n->http == NULL)
        return;
    node_http_access_take(&n->http->access, &n->access.remote, n->tls.clients);
    if (n->http->by_tls)
        http_set_tls(n->http->http, n->tls.clients);
}

static const char *file_or_none(const char *file)
{
    return file[0] != '\0' ? file : NULL;
}

/* To the other nodes this one is a client like any other: by the cluster's secret it may all, and
 * by its certificate what [access] says of that. */
static void say_who_we_are(struct node_http *h, const struct conf *conf)
{
    const struct conf_security *s = &conf->security;

    h->page_tls = (struct ridd_tls){.ca_file = file_or_none(s->client_ca),
                                    .cert_file = file_or_none(s->client_cert),
                                    .key_file = file_or_none(s->client_key),
                                    .secret_file = file_or_none(s->secret_file),
                                    .cluster = conf->cluster_name};
}

/* Who is asked for the page: those of the file; other members are learned from their answers. */
static int make_pages(struct node_http *h, const struct conf *conf)
{
    char endpoints[RAFT_SERVERS_MAX][sizeof("tcp://") + ADDRESS_BYTES_MAX];
    struct gather_node nodes[RAFT_SERVERS_MAX];
    struct gather_conf c = {.cluster = conf->cluster_name,
                            .self = {.name = conf->self->name},
                            .nodes = nodes,
                            .n_nodes = conf->n_peers,
                            .tls = conf_has_client_tls(conf) ? &h->page_tls : NULL};

    say_who_we_are(h, conf);
    for (unsigned i = 0; i < conf->n_peers; i++) {
        const struct conf_peer *p = &conf->peers[i];

        (void)snprintf(endpoints[i], sizeof(endpoints[i]), "%s%s",
                       conf_is_tls(conf, p->client_scheme) || c.tls == NULL ? "" : "tcp://",
                       p->client_addr);
        nodes[i] = (struct gather_node){p->name, endpoints[i]};
        if (p == conf->self)
            c.self.endpoint = endpoints[i];
    }
    return err_trace(pages_new(&c, &h->pages));
}

int node_http_begin(struct node *n)
{
    const struct http_ops ops = {.may = may,
                                 .silent_us = node_http_silent_us,
                                 .absent = node_http_absent,
                                 .gone = gone,
                                 .ended = ended,
                                 .failed = failed};
    struct http_conf conf = {.addr = conf_http_addr(n->conf), .hosts = n->conf->http_hosts};
    struct http_ops with = ops;
    struct node_http *h;
    int rc;

    if (conf.addr[0] == '\0')
        return 0;
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return err_origin(err_say(-ENOMEM, "no memory for HTTP"));
    n->http = h; /* close_node() takes what there is of it */
    h->node = n;
    h->name = n->self->name;
    atomic_store(&h->turned_us, clock_mono_us());
    h->room = n->room;
    rc = node_http_access_init(&h->access);
    if (rc != 0)
        return err_origin(err_say(rc, "no memory for HTTP"));
    h->has_access = true;
    access_of_addresses(n->conf, &n->access.remote);
    node_http_access_take(&h->access, &n->access.remote, n->tls.clients);
    h->by_tls = conf_http_is_tls(conf.addr, conf_http_scheme(n->conf));
    if (h->by_tls)
        conf.tls = n->tls.clients;
    rc = board_new(NODE_HTTP_KINDS, &h->board);
    if (rc != 0)
        return err_trace(rc);
    rc = make_pages(h, n->conf);
    if (rc != 0)
        return err_trace(rc);
    with.ctx = h;
    conf.board = h->board;
    conf.n_handlers = node_http_pages(h);
    conf.handlers = h->handlers;
    return err_trace(http_new(&conf, &with, &h->http));
}

static void on_asked(evutil_socket_t fd, short what, void *arg)
{
    struct node *n = arg;

    (void)fd;
    (void)what;
    /* Where its thread is just there it is asked again, in the next turn (HTTP-2). */
    (void)board_serve(n->http->board, node_http_fill, n);
}

int node_http_serve(struct node *n)
{
    struct node_http *h = n->http;

    if (h == NULL)
        return 0;
    h->event = event_new(n->base, board_loop_fd(h->board), EV_READ | EV_PERSIST, on_asked, n);
    if (h->event == NULL || event_add(h->event, NULL) != 0)
        return err_origin(err_say(-ENOMEM, "no memory for HTTP"));
    atomic_store(&h->turned_us, clock_mono_us());
    atomic_store(&h->stage, NODE_HTTP_TURNING);
    return 0;
}

void node_http_turned(struct node *n, uint64_t now_us)
{
    if (n->http != NULL)
        atomic_store_explicit(&n->http->turned_us, now_us, memory_order_relaxed);
}

void node_http_leave(struct node *n)
{
    if (n->http == NULL)
        return;
    atomic_store(&n->http->stage, NODE_HTTP_LEAVING);
    if (n->http->event != NULL)
        event_free(n->http->event);
    n->http->event = NULL;
}

void node_http_end(struct node *n)
{
    struct node_http *h = n->http;

    if (h == NULL)
        return;
    http_free(h->http);
    board_free(h->board);
    pages_free(h->pages);
    if (h->has_access)
        node_http_access_done(&h->access);
    free(h);
    n->http = NULL;
}
