/* A server of HTTP on a thread of its own, for what a node shows of itself.
 *
 * For: pages that are read: probes, metrics, documents, a page for people. A page is a line of a
 * table: its path, its parameters, which kind of thing the loop must have put up on the board for
 * it (board.h), and the function that makes the answer of it, on this thread.
 * Not for: anything that changes something, files. What the pages say is their owner's. Without TLS
 * it listens on loopback only; with TLS everybody is asked who they are before they see a page
 * (HTTP-1).
 * Units: microseconds of clock_mono_us(); bytes.
 * Ownership: pages, board, names and contexts are borrowed until http_free(). A call is the
 * server's until http_reply(), which is called exactly once for each: in answer(), or later on the
 * same thread by who asks others first; what is not answered in HTTP_ANSWER_US is answered with 503
 * by the server, and then ops.gone() says that the call is no more.
 * Errors: -errno of http_new() with err_text(). Later ones cost a connection at most. Where
 * libevent gives up (it would end the process) its thread ends, ops.failed() is called, and the
 * node goes on without.
 * Thread: http_new(), http_free() the host's; all the rest, the functions of the table included,
 * on the thread 'ridd-http'. It waits for nobody, and nobody but http_free() waits for it.
 * Source: the HTTP rules of docs/RULES.md; libevent's evhttp, which has limits for heads and bodies
 * and none for connections or for the time that a request takes: those are here. */
#ifndef RIDD_HTTP_HTTP_H
#define RIDD_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/board.h"
#include "http/request.h"
#include "tls/tls.h"

struct event_base;
struct http;
struct http_call;

enum { HTTP_ASKS_NOTHING = -1 };

struct http_handler {
    struct http_page page;
    int kind; /* of the board, which must be fresh; HTTP_ASKS_NOTHING */
    /* Nobody is asked who they are: a probe, which says yes or no. */
    bool open;
    /* Also where the loop does not answer: with facts NULL. Otherwise that is a 503 of the
     * server's. */
    bool late_too;
    /* What a browser may do with it beside showing text: the header's value. NULL: nothing. */
    const char *policy;
    /* facts: what the loop put up, valid during the call; NULL: kind is HTTP_ASKS_NOTHING, or it
     * does not answer. */
    void (*answer)(void *ctx, struct http_call *call, const struct buf *facts);
};

struct http_ops {
    void *ctx; /* of answer(), too */
    /* Over TLS: may this one, by what TLS says and by the token of his request (NULL: none), see
     * what is not open? 200; 401: he has not said who he is; 403: he may not, and ret_why says who
     * he is. NULL: nobody may. */
    int (*may)(void *ctx, const struct tls_identity *id, const char *token, char *ret_why,
               size_t size);
    /* For how long the loop has not turned; of any thread. */
    uint64_t (*silent_us)(void *ctx);
    /* A sentence where the loop cannot be asked at all (it does not run yet, or any more), so that
     * nobody waits for it; NULL: it can. */
    const char *(*absent)(void *ctx);
    /* A call that is not answered yet is no more; NULL: nobody answers late. */
    void (*gone)(void *ctx, struct http_call *call);
    /* The thread ends, and no call is left: who asks others by events of http_base() ends that now.
     * Not after failed(). NULL: nobody does. */
    void (*ended)(void *ctx);
    /* The server is no more: why. */
    void (*failed)(void *ctx, const char *why);
};

struct http_conf {
    const char *addr; /* "127.0.0.1:7402"; localhost is 127.0.0.1 */
    struct tls_ctx
        *tls;          /* NULL: plain, and then addr is of loopback; the server has its own count */
    const char *hosts; /* further names, "a,b"; "" none */
    const struct http_handler *handlers;
    unsigned n_handlers; /* HTTP_PAGES_MAX at most */
    struct board *board;
};

struct http_stats {
    uint64_t n_requests;
    uint64_t n_refused;     /* answered with 400 to 499 */
    uint64_t n_unavailable; /* answered with 503 */
    uint64_t n_accepted;    /* connections */
    uint64_t n_evicted;     /* closed for a new one: HTTP_CONNECTIONS_MAX */
    uint64_t n_expired;     /* closed since their time was over */
    uint64_t n_denied;      /* answered with 401 or 403: they are refused, too */
    unsigned n_open;
};

/* Listens, and answers from then on. */
int http_new(const struct http_conf *conf, const struct http_ops *ops, struct http **ret);
/* For connections that come from now on; not where there was none, and never NULL. Any thread. */
void http_set_tls(struct http *h, struct tls_ctx *tls);
/* What is under way is answered with 503, or cut. NULL is accepted. */
void http_free(struct http *h);

/* ---- on its thread ---- */

/* type: of the content, "text/plain; charset=utf-8". body is emptied, and stays the caller's. */
void http_reply(struct http_call *call, int status, const char *type, struct buf *body);
/* The same with a sentence of text, to which a newline is added. */
void http_reply_text(struct http_call *call, int status, const char *text);
/* The parameters that came with it. */
const struct http_found *http_call_found(const struct http_call *call);
struct http *http_call_server(const struct http_call *call);
/* For events of who answers later. */
struct event_base *http_base(struct http *h);
void http_get_stats(const struct http *h, struct http_stats *ret);
/* "PATH  WHAT" a line. 0 or -ENOMEM. */
int http_list_pages(const struct http *h, struct buf *out);

#endif
