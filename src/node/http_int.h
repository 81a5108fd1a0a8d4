/* What the files about HTTP share: facts that cross from the loop to its thread, and the pages. */
#ifndef RIDD_NODE_HTTP_INT_H
#define RIDD_NODE_HTTP_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/ridd.h"
#include "engine/engine.h"
#include "http/http.h"
#include "http/metrics.h"
#include "node/node_int.h"
#include "page/pages.h"

/* What is asked of the loop. */
enum node_http_kind {
    NODE_HTTP_READY,   /* struct node_ready */
    NODE_HTTP_METRICS, /* struct metrics_facts */
    NODE_HTTP_STATUS,  /* the line status_ok */
    NODE_HTTP_SLOW,    /* the line slow_ok */
    NODE_HTTP_KINDS,
};

/* For /readyz and /leader. */
struct node_ready {
    struct engine_health health; /* its texts are static */
    bool stopping;
    char leader_addr[ADDRESS_BYTES_MAX + 1]; /* of clients; "": not known */
};

enum node_http_stage {
    NODE_HTTP_STARTING, /* the log is being read, nothing turns */
    NODE_HTTP_TURNING,
    NODE_HTTP_LEAVING, /* nothing turns any more */
};

/* Of any thread, behind its lock. */
struct node_http_access {
    pthread_mutex_t lock;
    struct access_remote remote;
    struct tls_ctx *tls; /* counted: whose secrets are accepted; NULL: no TLS with clients */
};
int node_http_access_init(struct node_http_access *a);
void node_http_access_done(struct node_http_access *a);
/* The loop's: what is in force from now on. */
void node_http_access_take(struct node_http_access *a, const struct access_remote *remote,
                           struct tls_ctx *tls);
/* As http_ops.may. */
int node_http_access_may(struct node_http_access *a, const struct tls_identity *id,
                         const char *token, char *ret_why, size_t size);

struct node_http {
    struct node *node;      /* the loop's: no page looks at it */
    const char *name;       /* borrowed, never changes */
    struct board *board;    /* owned */
    struct http *http;      /* owned */
    struct pages *pages;    /* owned: what is shown of the whole cluster */
    struct node_room *room; /* the node's: of any thread */
    struct node_http_access access;
    bool has_access;
    bool by_tls;
    struct ridd_tls page_tls; /* of the page, when it asks the other nodes */
    struct http_handler handlers[HTTP_PAGES_MAX];
    struct event *event;        /* owned; of the loop */
    _Atomic uint64_t turned_us; /* when the loop did last */
    _Atomic int stage;          /* enum node_http_stage */
};

/* http_facts.c, on the loop: as board_serve() wants it; ctx is the node. */
bool node_http_fill(void *ctx, unsigned kind, struct buf *out);

/* http_ready.c: what /readyz says; into out a line for each check. Pure. */
bool node_http_is_ready(const struct node_ready *r, struct buf *out);

/* http_ready.c: what /livez says, text holds it after. Pure. */
bool node_http_lives(enum node_http_stage stage, uint64_t silent_us, char *text, size_t size);

/* http_pages.c: the table, into h->handlers; how many. Its functions run on the thread of HTTP; ctx
 * of each is the struct node_http. */
unsigned node_http_pages(struct node_http *h);
/* For how long the loop has not turned; of any thread. */
uint64_t node_http_silent_us(void *ctx);
/* As http_ops.absent. */
const char *node_http_absent(void *ctx);

#endif
