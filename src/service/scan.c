/* Pages of keys: as many items as fit, in their order, all of one state and by one proof (SCAN-1).
 *
 * A page is one step of a turn, so that it ends where that has become long: by items, by bytes of
 * the reply, by bytes read, by time (SCAN-3). Where the client has not read enough for more of it,
 * it ends as well (SCAN-5). Whoever asks goes on behind the last key; that is a read of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "service/service_int.h"

#include "base/banned.h"

struct page {
    struct request *req;
    const struct replica_view *view;
    struct wire_reply w;
    struct slice share;
    struct command_item item; /* the next one; key.data NULL: there is none */
    unsigned n;
    size_t bytes; /* of records read, as they are counted of the state's limit */
};

/* The next item; 0 or what the view said. */
static int next(struct page *p)
{
    int rc = p->view->next(p->view->ctx, &p->item);
    size_t bytes = SCAN_ITEM_COST;

    if (rc == 0 && p->item.key.data != NULL) {
        p->bytes += p->item.key.len + p->item.value.text.len + KV_RECORD_OVERHEAD;
        bytes += p->item.value.text.len;
    }
    slice_charge(&p->share, bytes);
    return rc;
}

static size_t item_bytes(const struct page *p)
{
    const bool keys_only = p->req->scan->keys_only;

    return p->item.key.len + (keys_only ? 0 : p->item.value.text.len) + SERVICE_ITEM_BYTES;
}

/* Asked of all but the first one, which waits like any value (SCAN-5). */
static bool has_room(const struct page *p)
{
    struct memory_conn *m = p->req->conn->memory;

    return m == NULL || memory_conn_may_reply(m, p->w.buf, item_bytes(p) + SERVICE_REPLY_BYTES);
}

static void write_item(struct page *p)
{
    struct wire_reply *w = &p->w;
    struct wire_key key;

    key.len = (uint16_t)p->item.key.len;
    memcpy(key.bytes, p->item.key.data, p->item.key.len);
    wire_reply_open_object(w, NULL);
    wire_reply_key(w, "key", &key);
    if (!p->req->scan->keys_only)
        wire_reply_value(w, "value", p->item.value.text);
    if (p->req->verbose) {
        wire_reply_u64(w, "create_index", p->item.value.create_index);
        wire_reply_u64(w, "modify_index", p->item.value.modify_index);
        wire_reply_u64(w, "version", p->item.value.version);
    }
    wire_reply_close_object(w);
}

/* False: it is for the next page. */
static bool take_item(struct page *p)
{
    const struct wire_reply_mark mark = wire_reply_mark(&p->w);

    if (p->n > 0 && !has_room(p))
        return false;
    write_item(p);
    if (p->n > 0 && wire_reply_len(&p->w) > REPLY_BYTES_MAX - SERVICE_REPLY_BYTES) {
        wire_reply_back(&p->w, mark);
        return false;
    }
    p->n++;
    return true;
}

static bool is_full(struct page *p)
{
    if (p->n == 0)
        return false;
    if (p->n >= p->req->scan->limit || p->bytes > SCAN_BYTES_MAX)
        return true;
    return slice_spent(&p->share) && p->bytes > SCAN_BYTES_LEAST;
}

/* Whether something is left is known, and not guessed: the next item is there before the page is
 * full (SCAN-3). */
static int take_items(struct page *p)
{
    int rc = 0;

    while (rc == 0 && p->item.key.data != NULL && !is_full(p) && take_item(p))
        rc = next(p);
    return rc;
}

/* What the view says of this page, never a constant (CLIENT-8). */
static void write_guarantee(struct page *p)
{
    const enum replica_kind kind = p->req->rr.kind;
    const bool confirmed = service_read_is_confirmed(p->view);
    struct wire_reply *w = &p->w;

    wire_reply_bool(w, "more", p->item.key.data != NULL);
    wire_reply_u64(w, kind == REPLICA_READ_LOCAL ? "applied_index" : "read_at_index",
                   p->view->last_applied.index);
    if (kind != REPLICA_READ_LOCAL)
        wire_reply_bool(w, "heartbeat_confirmed", confirmed);
    wire_reply_bool(w, "linearizable", replica_view_is_linearizable(p->view));
    if (p->req->verbose)
        service_read_proof(p->req->conn->service, w, p->view, true);
}

static int reply_page(struct page *p, struct buf *out)
{
    struct request *req = p->req;
    int rc;

    service_begin(req->conn->service, &p->w, out, &req->origin, "scan_ok");
    wire_reply_open_array(&p->w, "items");
    rc = take_items(p);
    if (rc != 0) {
        wire_reply_undo(&p->w);
        return rc;
    }
    wire_reply_close_array(&p->w);
    write_guarantee(p);
    service_end(req->conn->service, &p->w, &req->origin);
    return 0;
}

/* The state at exactly the marker, which is behind all that is committed here: nobody can have seen
 * what it does not hold (TOKEN-1). */
static bool is_beyond(struct request *req, const struct replica_view *view)
{
    if (view->last_applied.index >= req->rr.min_index)
        return false;
    service_refuse_condition(req->conn, &req->origin,
                             "min_index is behind the end of this cluster's log: what was seen is "
                             "another cluster's; begin without it",
                             view->last_applied.index);
    return true;
}

/* True: req waits, or was answered and is gone. */
static bool serve_page(struct page *p, struct buf *out, int *ret_rc)
{
    const struct wire_scan *scan = p->req->scan;
    const struct command_range range = {{(const char *)scan->from.bytes, scan->from.len},
                                        scan->behind,
                                        {(const char *)scan->to.bytes, scan->to.len}};
    struct service *s = p->req->conn->service;
    int rc;

    slice_begin(&p->share, s->ops.now_us, s->ops.ctx, s->ops.now_us(s->ops.ctx) + SCAN_STEP_US);
    rc = p->view->seek(p->view->ctx, &range);
    if (rc == 0)
        rc = next(p);
    if (rc == 0 && p->item.key.data != NULL && service_wait_for_room(p->req, out, item_bytes(p)))
        return true;
    if (rc == 0)
        rc = reply_page(p, out);
    service_touched(p->req->conn, p->bytes + (size_t)p->n * SCAN_ITEM_COST);
    *ret_rc = rc;
    return false;
}

static void scan_served(struct replica_request *rr, const struct replica_view *view)
{
    struct request *req = service_request_of(rr);
    struct buf *out = service_out(req->conn);
    struct page page = {.req = req, .view = view};
    enum wire_error result = WIRE_ERROR_NONE;
    int rc = 0;

    if (!service_read_is_right(rr->kind, view)) {
        service_read_internal(req, "a page came back without what proves it");
        result = WIRE_ERROR_INTERNAL;
    } else if (out != NULL && is_beyond(req, view)) {
        result = WIRE_ERROR_PRECONDITION_FAILED;
    } else if (out != NULL && serve_page(&page, out, &rc)) {
        return;
    }
    service_read_finish(req, out, rc, view, result);
}

void service_handle_scan(struct service_conn *c, const struct wire_request *q)
{
    enum replica_kind kind;
    struct request *req;

    if (service_read_is_foreign(c, q) || !service_read_kind(c, q, &kind))
        return;
    req = service_request_new(c, q, 0);
    if (req == NULL)
        return;
    req->scan = malloc(sizeof(*req->scan));
    if (req->scan == NULL) {
        service_request_no_memory(req);
        return;
    }
    *req->scan = *q->scan;
    req->rr.kind = kind;
    req->rr.served = scan_served;
    req->rr.failed = service_request_failed;
    service_submit(req);
}
