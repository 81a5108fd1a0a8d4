/* Requests to answers: what evhttp has read is looked at, handed to its page, and answered now, or
 * when the loop has put up what the page needs, or when it has not in time. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "http/http_int.h"

#include "base/banned.h"

#define TEXT_TYPE      "text/plain; charset=utf-8"
#define POLICY_DEFAULT "default-src 'none'; frame-ancestors 'none'"

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
    struct conn *c = http_conn_of(h, req);

    if (c == NULL)
        return;
    c->busy = false;
    c->answered_us = 0;
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
    struct conn *c = http_conn_of(h, req);
    struct evbuffer *out = evbuffer_new();
    char length[24];

    count(h, status);
    if (c != NULL)
        c->answered_us = clock_mono_us();
    /* No copy stays in the browser, no script of another page reads it, nothing on it runs that
     * the page does not allow (HTTP-6). */
    (void)evhttp_add_header(headers, "Content-Type", type);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    (void)evhttp_add_header(headers, "Content-Security-Policy",
                            policy != NULL ? policy : POLICY_DEFAULT);
    (void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    (void)evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    (void)evhttp_add_header(headers, "Cross-Origin-Resource-Policy", "same-origin");
    if (status == 401)
        (void)evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
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

/* ---- who asks ---- */

/* "Authorization: Bearer TOKEN", once; "": there is something else; NULL: nothing. */
static const char *token_of(struct evhttp_request *req)
{
    static const char scheme[] = "Bearer ";
    const struct evkeyval *header;
    const char *token = NULL;

    for (header = evhttp_request_get_input_headers(req)->tqh_first; header != NULL;
         header = header->next.tqe_next) {
        if (evutil_ascii_strcasecmp(header->key, "Authorization") != 0)
            continue;
        if (token != NULL ||
            evutil_ascii_strncasecmp(header->value, scheme, sizeof(scheme) - 1) != 0)
            return "";
        token = header->value + sizeof(scheme) - 1;
    }
    return token;
}

/* 200, 401 or 403. Anew for each request: a connection outlives the right that it came with. Who
 * may see nothing does not learn either what there is (HTTP-9). handler: NULL, there is no such
 * page. */
static int judge(struct http *h, const struct conn *c, struct evhttp_request *req,
                 const struct http_handler *handler, char *ret_why, size_t size)
{
    static const struct tls_identity nobody = {.kind = TLS_NOBODY};
    const bool is_known = c != NULL && c->tls != NULL && tls_stream_settle(c->tls);
    const struct tls_identity *who = is_known ? tls_stream_identity(c->tls) : &nobody;

    if (!h->names.any || (handler != NULL && handler->open))
        return 200;
    (void)snprintf(ret_why, size, "nobody may see this");
    /* Where there was no memory for TLS evhttp has made a connection without. */
    if (c == NULL || c->tls == NULL)
        return 403;
    return h->ops.may != NULL ? h->ops.may(h->ops.ctx, who, token_of(req), ret_why, size) : 403;
}

static const struct http_handler *handler_of(const struct http *h, const struct http_page *page)
{
    for (unsigned i = 0; i < h->n_handlers; i++)
        if (&h->handlers[i].page == page)
            return &h->handlers[i];
    rid_assert(false);
}

void http_on_request(struct evhttp_request *req, void *arg)
{
    struct http *h = arg;
    struct conn *c = http_conn_of(h, req);
    struct http_asked asked;
    struct http_found found;
    struct http_call *call;
    char why[sizeof(found.why)];
    int status;
    int may;

    if (c != NULL) {
        c->busy = true;
        c->answered_us = 0;
        c->since_us = clock_mono_us();
        c->deadline_us = c->since_us + HTTP_ANSWER_US;
        http_conns_look_for_room(h);
    }
    fill_asked(req, &asked);
    status = http_find(&h->names, h->pages, h->n_handlers, &asked, &found);
    may = judge(h, c, req, status == 200 ? handler_of(h, found.page) : NULL, why, sizeof(why));
    if (may != 200) {
        h->stats.n_denied++;
        refuse(h, req, may, why);
        return;
    }
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

void http_on_board(evutil_socket_t fd, short what, void *arg)
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

void http_on_look(evutil_socket_t fd, short what, void *arg)
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
    http_conns_expire(h, now_us);
}

void http_end_calls(struct http *h)
{
    while (h->calls.next != &h->calls) {
        struct http_call *call = list_entry(h->calls.next, struct http_call, link);

        if (!call->waits && h->ops.gone != NULL)
            h->ops.gone(h->ops.ctx, call);
        http_reply_text(call, 503, "this node is stopping");
    }
}
