/* The pages that a node shows by HTTP. A new one is a line of the table at the end and a function.
 *
 * A probe must know what 200 of /readyz promises: whoever sends requests to this node now gets
 * linearizable reads answered here. A leader is ready when it serves. Another node is when it can
 * ask the leader for an index: it has a link to one, its state is right, and it is not further
 * behind than where it begins to turn such reads away itself (HTTP-7). Writes go to the leader
 * whoever is asked; so what is full in other nodes, or in the quota, makes no node unready. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/events.h"
#include "http/metrics.h"
#include "node/http_int.h"

#include "base/banned.h"

#define JSON_TYPE "application/json"
#define TEXT_TYPE "text/plain; charset=utf-8"

/* ---- /livez ---- */

static void answer_livez(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct node_http *h = ctx;
    const uint64_t silent_us = node_http_silent_us(h);
    char text[128];

    (void)facts;
    /* Reading the log takes what it takes; who starts this process has a time limit of its own. */
    if (atomic_load(&h->stage) == NODE_HTTP_STARTING || silent_us <= HTTP_LOOP_US) {
        http_reply_text(call, 200, "ok");
        return;
    }
    (void)snprintf(text, sizeof(text), "the loop has not turned for %.1f s",
                   (double)silent_us / 1e6);
    http_reply_text(call, 503, text);
}

/* ---- /readyz ---- */

struct checks {
    struct buf text;
    bool failed;
};

/* why NULL: it is well. */
static void check(struct checks *c, const char *name, const char *why)
{
    c->failed |= why != NULL;
    if (why == NULL)
        (void)buf_add_format(&c->text, "[+]%s ok\n", name);
    else
        (void)buf_add_format(&c->text, "[-]%s failed: %s\n", name, why);
}

static const char *state_failure(const struct engine_health *e)
{
    if (e->fitness != RAFT_UNFIT)
        return NULL;
    if (strcmp(e->verdict, "rebuilding") == 0)
        return "it is being made again from a snapshot and the log";
    if (strcmp(e->verdict, "damaged") == 0)
        return "it is damaged, and will be made again once another node leads";
    return "it differs from that of a majority, and will be made again";
}

static const char *serving_failure(const struct engine_health *e, char *text, size_t size)
{
    if (e->role == RAFT_LEADER) {
        if (e->can_serve && e->n_voters_heard > e->n_voters / 2)
            return NULL;
        (void)snprintf(text, size, "this node leads, hears %u of %u voters, and %s",
                       e->n_voters_heard, e->n_voters,
                       e->can_serve ? "can commit nothing" : "does not serve yet");
        return text;
    }
    if (e->leader_id == 0)
        return "there is no leader to ask";
    if (!e->leader_connected) {
        (void)snprintf(text, size, "there is no link to the leader %s", e->leader);
        return text;
    }
    if (e->behind_entries <= READY_BEHIND_ENTRIES_MAX)
        return NULL;
    (void)snprintf(text, size, "%llu entries are committed and not applied here, over %u",
                   (unsigned long long)e->behind_entries, READY_BEHIND_ENTRIES_MAX);
    return text;
}

static const char *disk_failure(const struct engine_health *e, char *text, size_t size)
{
    if (e->full != NULL && strcmp(e->full, "log") == 0)
        return "no room for the log: free some space";
    if (e->full != NULL && strcmp(e->full, "state") == 0)
        return "no room for the state: free some space";
    if (e->disk_silent_us <= e->election_us)
        return NULL;
    (void)snprintf(text, size, "the disk has not answered for %.1f s",
                   (double)e->disk_silent_us / 1e6);
    return text;
}

static void check_all(struct checks *c, const struct node_ready *r)
{
    const struct engine_health *e = &r->health;
    char text[160];

    check(c, "log", NULL); /* verified, or the loop would not turn */
    check(c, "state", state_failure(e));
    check(c, "leader", e->leader_id != 0 ? NULL : "no leader is known");
    check(c, "serving", serving_failure(e, text, sizeof(text)));
    check(c, "disk", disk_failure(e, text, sizeof(text)));
    check(c, "room", e->fitness != RAFT_PARKED ? NULL : "the node is parked: its disk is full");
    check(c, "stopping", r->stopping ? "this node is stopping" : NULL);
}

/* The loop says nothing. */
static void check_without(struct checks *c, struct node_http *h)
{
    char text[64];

    switch ((enum node_http_stage)atomic_load(&h->stage)) {
    case NODE_HTTP_STARTING:
        check(c, "log", "it is being read and verified");
        return;
    case NODE_HTTP_LEAVING:
        check(c, "stopping", "this node is stopping");
        return;
    case NODE_HTTP_TURNING:
        break;
    }
    (void)snprintf(text, sizeof(text), "it has not turned for %.1f s",
                   (double)node_http_silent_us(h) / 1e6);
    check(c, "loop", text);
}

static void answer_readyz(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct node_http *h = ctx;
    struct checks c = {.text = BUF_INIT};
    const bool verbose = http_call_found(call)->values[0] != 0;

    if (facts != NULL) {
        check(&c, "loop", NULL);
        check_all(&c, (const struct node_ready *)(const void *)facts->data);
    } else {
        check_without(&c, h);
    }
    if (!c.failed && !verbose) {
        buf_done(&c.text);
        http_reply_text(call, 200, "ok");
        return;
    }
    (void)buf_add_format(&c.text, "%s is %s\n", h->name, c.failed ? "not ready" : "ready");
    http_reply(call, c.failed ? 503 : 200, TEXT_TYPE, &c.text);
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

static void add_event(struct wire_reply *w, const struct event *e)
{
    char at[CLOCK_WALL_BUF];

    wire_reply_open_object(w, NULL);
    wire_reply_u64(w, "seq", e->seq);
    wire_reply_str(w, "ts", clock_wall_text(at, e->unix_us));
    wire_reply_str(w, "level", log_level_name(e->level));
    wire_reply_str(w, "event", e->name);
    wire_reply_u64(w, "term", e->term);
    wire_reply_str(w, "role", e->role);
    wire_reply_str(w, "text", e->text);
    wire_reply_close_object(w);
}

/* The ring of events has a lock of its own: the loop need not turn for it, which is when they are
 * wanted most. */
static void answer_events(void *ctx, struct http_call *call, const struct buf *facts)
{
    static const struct wire_origin bare;
    cleanup_free struct event *events = malloc(EVENTS_KEPT_MAX * sizeof(*events));
    struct buf body = BUF_INIT;
    struct events_range range;
    struct wire_reply w;
    char began[24];
    unsigned n;

    (void)facts;
    if (events == NULL) {
        http_reply_text(call, 503, "no memory for this answer; ask again");
        return;
    }
    n = events_get(http_call_found(call)->values[0], EVENTS_KEPT_MAX, events, &range);
    (void)snprintf(began, sizeof(began), "%llu", (unsigned long long)events_began_us());
    wire_reply_begin(&w, &body, &bare, false, 0, "events_ok");
    wire_reply_str(&w, "node", ((struct node_http *)ctx)->name);
    wire_reply_str(&w, "began", began);
    wire_reply_u64(&w, "oldest", range.oldest);
    wire_reply_u64(&w, "next", range.next);
    wire_reply_open_array(&w, "events");
    for (unsigned i = 0; i < n; i++)
        add_event(&w, &events[i]);
    wire_reply_close_array(&w);
    (void)wire_reply_end(&w);
    http_reply(call, 200, JSON_TYPE, &body);
}

/* ---- /metrics ---- */

static void answer_metrics(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct metrics_server server;
    struct buf body = BUF_INIT;

    http_get_stats(http_call_server(call), &server.stats);
    server.rss_bytes = node_rss_bytes();
    board_get_costs(((struct node_http *)ctx)->board, &server.costs);
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
     .answer = answer_livez},
    {.page = {.path = "/readyz",
              .what = "200 while linearizable reads are answered here; ?verbose: every check",
              .n_params = 1,
              .params = {{"verbose", HTTP_PARAM_FLAG, 0}}},
     .kind = NODE_HTTP_READY,
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
