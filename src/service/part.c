/* Parts of snapshots for clients: each waits until it was read, which is the host's to do at a time
 * of its own, one after the other. service_turn() looks. */
#include "service/service_int.h"

#include "base/banned.h"

static void fail_field(struct request *req, const char *field, const char *text)
{
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    struct wire_reply w;

    if (out != NULL) {
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_MALFORMED, false, text);
        wire_reply_str(&w, "field", field);
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void fail_unread(struct request *req, const struct service_part *part)
{
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    struct wire_reply w;
    char text[512];

    (void)snprintf(text, sizeof(text), "the snapshot cannot be given: %.*s", (int)part->why.len,
                   part->why.len > 0 ? part->why.data : "");
    if (out != NULL) {
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_INTERNAL, false, text);
        wire_reply_str(&w, "ref", "snapshot_unreadable"); /* GUARD-6 */
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void fail_unsupported(struct request *req)
{
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    struct wire_reply w;

    if (out != NULL) {
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_NOT_SUPPORTED, false,
                            "this node keeps no snapshots");
        wire_reply_str(&w, "request_type", wire_request_type_name(req->type));
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void fail_late(struct request *req)
{
    const struct replica_failure f = {.error = WIRE_ERROR_TIMEOUT, .stage = "the disk"};

    service_request_failed(&req->rr, &f);
}

/* Who asks for the next one before it has read what there is gets no more of it (CLIENT-13). */
static void reply_part(struct request *req, const struct service_part *part)
{
    struct service_conn *c = req->conn;
    struct service *s = c->service;
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out != NULL && c->memory != NULL &&
        !memory_conn_may_reply(c->memory, out, part->text.len + SERVICE_REPLY_BYTES)) {
        service_refuse_overloaded(c, &req->origin, "replies of this connection were not read",
                                  NULL);
    } else if (out != NULL) {
        service_begin(s, &w, out, &req->origin, "snapshot_part_ok");
        wire_reply_u64(&w, "index", part->of.index);
        wire_reply_u64(&w, "term", part->of.term);
        wire_reply_u64(&w, "offset", part->of.offset);
        wire_reply_u64(&w, "bytes", part->bytes);
        wire_reply_string(&w, "part", part->text.data, part->text.len);
        wire_reply_u64(&w, "crc32c", part->crc);
        wire_reply_bool(&w, "last", part->of.offset + part->len == part->bytes);
        service_end(s, &w, &req->origin);
        service_touched(c, part->len);
    }
    service_request_free(req);
}

static void answer(struct request *req, int outcome, const struct service_part *part)
{
    switch (outcome) {
    case 0:
        reply_part(req, part);
        break;
    case SERVICE_PART_NONE:
        fail_unsupported(req);
        break;
    case SERVICE_PART_MISSING:
        fail_field(req, "index",
                   req->part.index == 0 ? "there is no snapshot yet: ask for one (snapshot)"
                                        : "there is no such snapshot, or it is gone");
        break;
    case SERVICE_PART_BEYOND:
        fail_field(req, "offset", "the snapshot is shorter than 'offset'");
        break;
    default:
        fail_unread(req, part);
        break;
    }
}

void service_handle_part(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct request *req;

    if (s->ops.snapshot_part == NULL) {
        service_refuse_type(c, q, "this node keeps no snapshots");
        return;
    }
    req = service_request_new(c, q, 0);
    if (req == NULL)
        return;
    req->rr.failed = service_request_failed;
    req->part = q->part;
    req->listed = true;
    list_append(&s->parts, &req->turn_link);
}

static void expire(struct service *s, uint64_t now_us)
{
    list_for_each_safe(it, &s->parts)
    {
        struct request *req = list_entry(it, struct request, turn_link);

        if (now_us >= req->rr.deadline_us)
            fail_late(req);
    }
}

/* In the order of coming: there is one reader. */
void service_parts_turn(struct service *s, uint64_t now_us)
{
    expire(s, now_us);
    while (!list_empty(&s->parts)) {
        struct request *req = list_entry(s->parts.next, struct request, turn_link);
        struct service_part part = {.of = req->part};
        const int outcome = s->ops.snapshot_part(s->ops.ctx, &part);

        if (outcome == SERVICE_PART_LATER)
            break;
        answer(req, outcome, &part);
    }
}

uint64_t service_parts_deadline_us(const struct service *s)
{
    uint64_t deadline = UINT64_MAX;

    list_for_each(it, &s->parts)
    {
        const struct request *req = list_entry(it, const struct request, turn_link);

        if (req->rr.deadline_us < deadline)
            deadline = req->rr.deadline_us;
    }
    return deadline;
}
