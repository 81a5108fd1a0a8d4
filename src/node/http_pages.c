/* The pages that a node shows by HTTP. A new one is a line of the table at the end and a function.
 */
#include <string.h>

#include "http/metrics.h"
#include "node/http_int.h"

#include "base/banned.h"

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

/* ---- /livez ---- */

static void answer_livez(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct node_http *h = ctx;
    char text[128];
    const bool lives = node_http_lives((enum node_http_stage)atomic_load(&h->stage),
                                       node_http_silent_us(h), text, sizeof(text));

    (void)facts;
    http_reply_text(call, lives ? 200 : 503, text);
}

/* ---- /readyz ---- */

/* The loop says nothing. */
static void check_without(struct node_http *h, struct buf *out)
{
    switch ((enum node_http_stage)atomic_load(&h->stage)) {
    case NODE_HTTP_STARTING:
        (void)buf_add_str(out, "[-]log failed: it is being read and verified\n");
        return;
    case NODE_HTTP_LEAVING:
        (void)buf_add_str(out, "[-]stopping failed: this node is stopping\n");
        return;
    case NODE_HTTP_TURNING:
        break;
    }
    (void)buf_add_format(out, "[-]loop failed: it has not turned for %.1f s\n",
                         (double)node_http_silent_us(h) / 1e6);
}

static void answer_readyz(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct node_http *h = ctx;
    struct buf body = BUF_INIT;
    const bool verbose = http_call_found(call)->values[0] != 0;
    bool ready = false;

    if (facts != NULL)
        ready = node_http_is_ready((const struct node_ready *)(const void *)facts->data, &body);
    else
        check_without(h, &body);
    if (ready && !verbose) {
        buf_done(&body);
        http_reply_text(call, 200, "ok");
        return;
    }
    (void)buf_add_format(&body, "%s is %s\n", h->name, ready ? "ready" : "not ready");
    http_reply(call, ready ? 200 : 503, TEXT_TYPE, &body);
}

/* ---- /leader ---- */

static void answer_leader(void *ctx, struct http_call *call, const struct buf *facts)
{
    static const struct wire_origin bare;
    const struct node_ready *r = (const struct node_ready *)(const void *)facts->data;
    const bool known = r->health.leader_id != 0;
    struct buf body = BUF_INIT;
    struct wire_reply w;

    wire_reply_begin(&w, &body, &bare, false, 0, "leader_ok");
    wire_reply_str(&w, "node", ((struct node_http *)ctx)->name);
    wire_reply_str(&w, "leader", known ? r->health.leader : NULL);
    wire_reply_str(&w, "client_addr", r->leader_addr[0] != '\0' ? r->leader_addr : NULL);
    wire_reply_u64(&w, "term", r->health.term);
    (void)wire_reply_end(&w);
    http_reply(call, known ? 200 : 503, JSON_TYPE, &body);
}

/* ---- documents ---- */

static void answer_document(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct buf body = BUF_INIT;

    (void)ctx;
    if (buf_add(&body, facts->data, facts->len) == 0)
        http_reply(call, 200, JSON_TYPE, &body);
    else
        http_reply_text(call, 503, "no memory for this answer; ask again");
}

/* The loop need not turn for it, which is when events are wanted most. */
static void answer_events(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct buf body = BUF_INIT;

    (void)facts;
    if (service_write_events_of(((struct node_http *)ctx)->name, &body,
                                http_call_found(call)->values[0], EVENTS_KEPT_MAX) == 0) {
        http_reply(call, 200, JSON_TYPE, &body);
        return;
    }
    buf_done(&body);
    http_reply_text(call, 503, "no memory for this answer; ask again");
}

/* ---- /metrics ---- */

static void answer_metrics(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct node_http *h = ctx;
    struct metrics_server server;
    uint64_t all;
    struct buf body = BUF_INIT;

    http_get_stats(http_call_server(call), &server.stats);
    server.rss_bytes = node_rss_bytes();
    if (!node_room_get(h->room, &server.disk_free_bytes, &all))
        server.disk_free_bytes = METRICS_UNKNOWN;
    board_get_costs(h->board, &server.costs);
    if (metrics_write((const struct metrics_facts *)(const void *)facts->data, &server, &body) ==
        0) {
        http_reply(call, 200, METRICS_TYPE, &body);
        return;
    }
    buf_done(&body);
    http_reply_text(call, 503, "no memory for this answer; ask again");
}

/* ---- the whole cluster ---- */

static void answer_page(void *ctx, struct http_call *call, const struct buf *facts)
{
    (void)facts;
    pages_show_page(((struct node_http *)ctx)->pages, call);
}

static void answer_cluster(void *ctx, struct http_call *call, const struct buf *facts)
{
    (void)facts;
    pages_show_document(((struct node_http *)ctx)->pages, call);
}

/* ---- /pages ---- */

static void answer_index(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct buf body = BUF_INIT;

    (void)facts;
    (void)buf_add_format(&body, "ridd %s, node %s\n\n", PACKAGE_VERSION,
                         ((struct node_http *)ctx)->name);
    (void)http_list_pages(http_call_server(call), &body);
    http_reply(call, 200, TEXT_TYPE, &body);
}

/* ---- the table ---- */

static const struct http_handler handlers[] = {
    {.page = {.path = "/",
              .what = "the whole cluster, for people; ?still: it does not load itself again",
              .n_params = 1,
              .params = {{"still", HTTP_PARAM_FLAG, 0}}},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_page},
    {.page = {.path = "/cluster.json",
              .what = "the same: 'ridctl status --json' with slow and events of each node"},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_cluster},
    {.page = {.path = "/pages", .what = "this list"},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_index},
    {.page = {.path = "/livez", .what = "200 while the loop turns: else restart the process"},
     .kind = HTTP_ASKS_NOTHING,
     .open = true,
     .answer = answer_livez},
    {.page = {.path = "/readyz",
              .what = "200 while linearizable reads are answered here; ?verbose: every check",
              .n_params = 1,
              .params = {{"verbose", HTTP_PARAM_FLAG, 0}}},
     .kind = NODE_HTTP_READY,
     .open = true,
     .late_too = true,
     .answer = answer_readyz},
    {.page = {.path = "/leader", .what = "who leads, and where clients reach it; 503: nobody"},
     .kind = NODE_HTTP_READY,
     .answer = answer_leader},
    {.page = {.path = "/metrics", .what = "figures for Prometheus"},
     .kind = NODE_HTTP_METRICS,
     .answer = answer_metrics},
    {.page = {.path = "/status.json", .what = "what 'ridctl status' asks of this node"},
     .kind = NODE_HTTP_STATUS,
     .answer = answer_document},
    {.page = {.path = "/slow.json", .what = "slow requests, times by stage, the last of each kind"},
     .kind = NODE_HTTP_SLOW,
     .answer = answer_document},
    {.page = {.path = "/events.json",
              .what = "the last events; ?after=N: those behind event N",
              .n_params = 1,
              .params = {{"after", HTTP_PARAM_U64, UINT64_MAX}}},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_events},
};

#define N_HANDLERS (sizeof(handlers) / sizeof(handlers[0]))
static_assert(N_HANDLERS <= HTTP_PAGES_MAX, "all pages have a line");

unsigned node_http_pages(struct node_http *h)
{
    memcpy(h->handlers, handlers, sizeof(handlers));
    h->handlers[0].policy = pages_policy(h->pages);
    return N_HANDLERS;
}
