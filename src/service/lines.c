/* From a line to the one function that handles it. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "service/service_int.h"

#include "base/banned.h"

static void refuse(struct service *s, struct buf *out, const struct wire_refused *refused,
                   uint64_t own_msg_id, uint64_t line_no)
{
    service_count_error(s, refused->error);
    (void)wire_reply_refused(out, refused, s->conf.spaced, own_msg_id, line_no);
}

/* rc: what the decoder said. 0: there is a request; otherwise it was answered, or ignored. */
static __attribute__((noinline)) int answer_refused(struct service_conn *c, int rc,
                                                    struct wire_refused *refused, uint64_t line_no)
{
    struct service *s = c->service;
    struct buf *out;

    if (rc == 0 || rc == WIRE_REQUEST_BLANK)
        return rc;
    if (rc < 0) {
        memset(refused, 0, sizeof(*refused));
        refused->error = WIRE_ERROR_BUSY;
        (void)snprintf(refused->text, sizeof(refused->text),
                       "this node is out of memory; try again");
    }
    out = service_out(c);
    if (out != NULL)
        refuse(s, out, refused, service_msg_id_for(s, &refused->origin), line_no);
    return WIRE_REQUEST_REFUSED;
}

int service_decode(struct service_conn *c, const char *line, size_t len, uint64_t line_no,
                   struct wire_request *ret_request)
{
    struct wire_refused *refused = &c->service->refused;
    int rc = wire_request_decode(c->service->decoder, line, len, ret_request, refused);

    return rc == 0 ? 0 : answer_refused(c, rc, refused, line_no);
}

/* Every type a client can name: who answers it, or why nobody does. */
struct verb {
    void (*handle)(struct service_conn *c, const struct wire_request *q);
    const char *refusal;
    bool without_replica; /* also before this node is anybody */
};

static const struct verb verbs[] = {
    [WIRE_REQ_READ_INDEX] = {.handle = service_handle_read_index},
    [WIRE_REQ_READ_VIA_LOG] = {.handle = service_handle_read_via_log},
    [WIRE_REQ_COMPARE] = {.handle = service_handle_compare},
    [WIRE_REQ_BATCH_READ_INDEX] = {.handle = service_handle_batch},
    [WIRE_REQ_FOLLOWER_READ] = {.handle = service_handle_follower_read},
    [WIRE_REQ_LEASE_READ] = {.handle = service_handle_lease_read},
    [WIRE_REQ_LOCAL_READ] = {.handle = service_handle_local_read},
    [WIRE_REQ_READ] = {.handle = service_handle_read},
    [WIRE_REQ_SCAN] = {.handle = service_handle_scan},
    [WIRE_REQ_WRITE] = {.handle = service_handle_write},
    [WIRE_REQ_CAS] = {.handle = service_handle_write},
    [WIRE_REQ_DELETE] = {.handle = service_handle_write},
    [WIRE_REQ_OPEN_SESSION] = {.handle = service_handle_write},
    [WIRE_REQ_INIT] = {.handle = service_handle_init, .without_replica = true},
    [WIRE_REQ_PING] = {.handle = service_handle_ping, .without_replica = true},
    [WIRE_REQ_STATUS] = {.handle = service_handle_status},
    [WIRE_REQ_EVENTS] = {.handle = service_handle_events, .without_replica = true},
    [WIRE_REQ_SLOW] = {.handle = service_handle_slow},
    [WIRE_REQ_MEMBERS] = {.handle = service_handle_members},
    [WIRE_REQ_TRANSFER_LEADER] = {.handle = service_handle_transfer},
    [WIRE_REQ_SNAPSHOT] = {.handle = service_handle_snapshot},
    [WIRE_REQ_SNAPSHOT_PART] = {.handle = service_handle_part},
    [WIRE_REQ_MEMBER_ADD] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_REMOVE] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_PROMOTE] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_DEMOTE] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_SET_ADDR] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_REPLACE] = {.handle = service_handle_member},
    [WIRE_REQ_MEMBER_REJOIN] = {.handle = service_handle_member},
    [WIRE_REQ_AUTH] = {.handle = service_handle_auth, .without_replica = true},
    [WIRE_REQ_UNKNOWN] = {.refusal = "unknown request type"},
    [WIRE_REQ_PEER] = {.refusal = "unknown request type"},
};

void service_handle(struct service_conn *c, const struct wire_request *q)
{
    const struct verb *verb;

    rid_assert((size_t)q->type < sizeof(verbs) / sizeof(verbs[0]));
    verb = &verbs[q->type];
    rid_assert((verb->handle == NULL) != (verb->refusal == NULL));
    if (c->service->replica == NULL && !verb->without_replica)
        service_refuse_type(c, q, "send init first");
    else if (!service_may(c, q))
        return;
    else if (verb->handle != NULL)
        verb->handle(c, q);
    else
        service_refuse_type(c, q, verb->refusal);
}

/* ---- long lines ---- */

void service_line_forget(struct service *s, const struct service_conn *c)
{
    if (s->long_line.conn != c)
        return;
    s->long_line.conn = NULL;
    wire_request_end(s->long_line.decoder);
}

/* A step of it. Who comes while another one's is under way waits for the end of that; whose turn it
 * is then is the host's to say. */
static __attribute__((noinline)) bool take_long(struct service_conn *c, const char *line,
                                                size_t len, uint64_t line_no)
{
    struct service *s = c->service;
    struct wire_decoder *d = s->long_line.decoder;
    struct wire_refused refused;
    struct wire_request q;
    struct slice share;
    int rc;

    if (s->long_line.conn == NULL) {
        s->long_line.conn = c;
        wire_request_begin(d, line, len);
    }
    if (s->long_line.conn != c)
        return true;
    slice_begin(&share, s->ops.now_us, s->ops.ctx, s->ops.now_us(s->ops.ctx) + DECODE_STEP_US);
    rc = wire_request_step(d, &share, &q, &refused);
    if (rc == WIRE_REQUEST_MORE)
        return true;
    if (answer_refused(c, rc, &refused, line_no) == 0)
        service_handle(c, &q);
    service_line_forget(s, c);
    return false;
}

bool service_line(struct service_conn *c, const char *line, size_t len, uint64_t line_no)
{
    struct wire_request *q = &c->service->request;

    if (len > DECODE_WHOLE_BYTES)
        return take_long(c, line, len, line_no);
    if (service_decode(c, line, len, line_no, q) == 0)
        service_handle(c, q);
    return false;
}

void service_line_too_long(struct service_conn *c, uint64_t line_no, uint64_t limit)
{
    struct wire_refused refused = {.error = WIRE_ERROR_TOO_LARGE, .limit = limit};
    struct buf *out = service_out(c);

    if (out == NULL)
        return;
    (void)snprintf(refused.text, sizeof(refused.text),
                   "the line is longer than %llu bytes; the rest of it is skipped",
                   (unsigned long long)limit);
    refuse(c->service, out, &refused, 0, line_no);
}

void service_line_overloaded(struct service_conn *c, uint64_t line_no)
{
    struct wire_refused refused = {.error = WIRE_ERROR_OVERLOADED};
    struct buf *out = service_out(c);

    if (out == NULL)
        return;
    refused.limit = c->memory != NULL ? budget_root(&c->memory->requests)->limit : 0;
    (void)snprintf(refused.text, sizeof(refused.text),
                   "too many bytes are under way on this node; the rest of the line is skipped");
    refuse(c->service, out, &refused, 0, line_no);
}

static const char *foreign_text(enum wire_foreign what)
{
    switch (what) {
    case WIRE_FOREIGN_HTTP:
        return "this line looks like HTTP, which is not spoken here";
    case WIRE_FOREIGN_TLS:
        return "this looks like TLS, and this port speaks plain text";
    case WIRE_FOREIGN_OTHER:
        break;
    }
    return "this is no request: one is a JSON object on a line";
}

void service_line_foreign(struct service_conn *c, uint64_t line_no, enum wire_foreign what)
{
    struct wire_refused refused = {.error = WIRE_ERROR_MALFORMED};
    struct buf *out = service_out(c);

    if (out == NULL)
        return;
    (void)snprintf(refused.text, sizeof(refused.text), "%s; the connection is closed",
                   foreign_text(what));
    refuse(c->service, out, &refused, 0, line_no);
}

void service_refuse_connection(struct service *s, struct buf *out, uint64_t limit, bool of_host)
{
    const struct wire_origin bare = {0};
    struct wire_reply w;

    service_begin_error(s, &w, out, &bare, WIRE_ERROR_BUSY, false,
                        of_host ? "too many connections from this address; try again"
                                : "too many connections; try again or another node");
    wire_reply_u64(&w, "limit", limit);
    wire_reply_u64(&w, "retry_after_ms", CONNECTIONS_RETRY_AFTER_MS);
    service_end(s, &w, &bare);
}
