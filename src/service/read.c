/* Reads: one key by any method, or a batch of keys by one confirmation.
 *
 * What a reply claims was measured for this very read: it comes from the view that the replica
 * hands over, never from a constant (CLIENT-8). `heartbeat_confirmed` is round > arrival_round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/service_int.h"

#include "base/banned.h"

void service_read_internal(struct request *req, const char *what)
{
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    struct wire_reply w;

    if (s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "read_failed", what);
    if (out == NULL)
        return;
    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_INTERNAL, false, what);
    wire_reply_str(&w, "ref", "read_failed");
    service_end(s, &w, &req->origin);
}

/* A fact of this read (CLIENT-8): a quorum acknowledged a round that is higher than any that was
 * open when it came, in the term it was served for. */
bool service_read_is_confirmed(const struct replica_view *view)
{
    return view->proof == REPLICA_PROOF_ROUND && replica_view_is_linearizable(view);
}

/* What a read of this kind may not be answered without. */
static bool promises_all(enum replica_kind kind)
{
    return kind != REPLICA_READ_LOCAL && kind != REPLICA_READ_BOUNDED;
}

bool service_read_is_right(enum replica_kind kind, const struct replica_view *view)
{
    return !promises_all(kind) || replica_view_is_linearizable(view);
}

static void verbose_value(struct wire_reply *w, const struct command_value *v)
{
    wire_reply_bool(w, "exists", v->exists);
    if (v->exists) {
        wire_reply_u64(w, "create_index", v->create_index);
        wire_reply_u64(w, "modify_index", v->modify_index);
        wire_reply_u64(w, "version", v->version);
    }
}

static void reply_served_by(struct service *s, struct wire_reply *w,
                            const struct replica_view *view)
{
    const char *name = service_name_of(s, view->served_by);

    /* It may be removed already, and not have heard. */
    wire_reply_str(w, "served_by", name != NULL ? name : s->conf.node_name);
}

/* Rounded up: it is a bound. */
static void reply_staleness(struct wire_reply *w, const struct replica_view *view)
{
    wire_reply_u64(w, "staleness_ms", (view->staleness_us + 999u) / 1000u);
}

/* The state that was read, and what stands behind it: what each method says behind its value. */
static void reply_guarantee(struct service *s, struct wire_reply *w, enum replica_kind kind,
                            const struct replica_view *view)
{
    if (promises_all(kind))
        wire_reply_u64(w, "read_at_index", view->last_applied.index);
    else
        wire_reply_u64(w, "applied_index", view->last_applied.index);
    if (kind == REPLICA_READ)
        wire_reply_bool(w, "heartbeat_confirmed", service_read_is_confirmed(view));
    else if (kind == REPLICA_READ_FOLLOWER)
        reply_served_by(s, w, view);
    else if (kind == REPLICA_READ_LEASE)
        wire_reply_bool(w, "lease_valid", view->proof == REPLICA_PROOF_LEASE);
    else if (kind == REPLICA_READ_BOUNDED)
        reply_staleness(w, view);
    wire_reply_bool(w, "linearizable", replica_view_is_linearizable(view));
}

/* What `read` leaves to the node, and so to be told. */
static void verbose_guarantee(struct service *s, struct wire_reply *w, enum replica_kind kind,
                              const struct replica_view *view)
{
    if (kind == REPLICA_READ_LOG)
        wire_reply_u64(w, "log_index_used", view->entry.index);
    else
        reply_guarantee(s, w, kind, view);
}

void service_read_proof(struct service *s, struct wire_reply *w, const struct replica_view *view,
                        bool is_said)
{
    if (view->proof == REPLICA_PROOF_NONE)
        return;
    if (view->proof != REPLICA_PROOF_MARKER)
        wire_reply_u64(w, "read_index", view->read_index);
    if (view->round != 0)
        wire_reply_u64(w, "round", view->round);
    if (view->proof != REPLICA_PROOF_STAMP)
        wire_reply_u64(w, "term", view->term);
    /* Of a log read its index alone would say so: the marker was applied there, in its term. */
    if (view->proof == REPLICA_PROOF_MARKER && !is_said)
        wire_reply_bool(w, "linearizable", replica_view_is_linearizable(view));
    wire_reply_str(w, "proof", replica_proof_name(view->proof));
    wire_reply_str(w, "by", service_name_of(s, view->by));
}

/* `read` of an absent key: an error, with the guarantee of the absence where it is asked for. */
static void reply_absent(struct request *req, struct buf *out, const struct replica_view *view)
{
    struct service *s = req->conn->service;
    struct wire_reply w;

    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_KEY_NOT_FOUND, false, "no such key");
    wire_reply_u64(&w, "index", view->last_applied.index);
    if (req->verbose) {
        verbose_guarantee(s, &w, req->rr.kind, view);
        service_read_proof(s, &w, view, false);
    }
    service_end(s, &w, &req->origin);
}

static const char *ok_name(enum wire_request_type type)
{
    switch ((int)type) { /* int: the rest is for default */
    case WIRE_REQ_READ:
        return "read_ok";
    case WIRE_REQ_READ_VIA_LOG:
        return "read_via_log_ok";
    case WIRE_REQ_LOCAL_READ:
        return "local_read_ok";
    case WIRE_REQ_FOLLOWER_READ:
        return "follower_read_ok";
    case WIRE_REQ_LEASE_READ:
        return "lease_read_ok";
    default:
        return "read_index_ok";
    }
}

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define FRAME(type, before_index, tail)                                                            \
    {                                                                                              \
        TEXT("{\"type\":\"" type "\",\"in_reply_to\":"), TEXT(",\"value\":"), TEXT(before_index),  \
            TEXT(tail)                                                                             \
    }

/* The words of the reply to a read of one key that claims nothing but what its method promises, and
 * has it: which is looked at for each read (CLIENT-8). NULL: it is written field by field. */
static const struct wire_reply_frame *frame_of(const struct request *req,
                                               const struct replica_view *view)
{
    static const struct wire_reply_frame by_index =
        FRAME("read_index_ok",
              ",\"read_at_index\":", ",\"heartbeat_confirmed\":true,\"linearizable\":true}\n");
    static const struct wire_reply_frame by_lease = FRAME(
        "lease_read_ok", ",\"read_at_index\":", ",\"lease_valid\":true,\"linearizable\":true}\n");
    static const struct wire_reply_frame local =
        FRAME("local_read_ok", ",\"applied_index\":", ",\"linearizable\":false}\n");
    static const struct wire_reply_frame plain = FRAME("read_ok", "", "}\n");
    const bool is_linearizable = replica_view_is_linearizable(view);

    if (req->verbose || req->origin.envelope || !req->origin.has_msg_id ||
        req->conn->service->conf.spaced)
        return NULL;
    switch ((int)req->type) { /* int: the rest is for default */
    case WIRE_REQ_READ_INDEX:
        return is_linearizable && view->proof == REPLICA_PROOF_ROUND ? &by_index : NULL;
    case WIRE_REQ_LEASE_READ:
        return is_linearizable && view->proof == REPLICA_PROOF_LEASE ? &by_lease : NULL;
    case WIRE_REQ_LOCAL_READ:
        return !is_linearizable && req->rr.kind == REPLICA_READ_LOCAL ? &local : NULL;
    case WIRE_REQ_READ:
        return &plain;
    default:
        return NULL;
    }
}

static void reply_read(struct request *req, struct buf *out, const struct replica_view *view,
                       const struct command_value *v)
{
    struct service *s = req->conn->service;
    const struct wire_reply_frame *frame = frame_of(req, view);
    struct wire_reply w;

    if (req->type == WIRE_REQ_READ && !v->exists) {
        reply_absent(req, out, view);
        return;
    }
    if (frame != NULL && v->text.len <= REPLY_BYTES_MAX - SERVICE_REPLY_BYTES &&
        wire_reply_in_one(out, frame, req->origin.msg_id, v->text, view->last_applied.index))
        return;
    service_begin(s, &w, out, &req->origin, ok_name(req->type));
    wire_reply_value(&w, "value", v->text);
    if (req->type == WIRE_REQ_READ_VIA_LOG) {
        wire_reply_u64(&w, "log_index_used", view->entry.index);
        wire_reply_ms(&w, "latency_ms", s->ops.now_us(s->ops.ctx) - req->arrived_us);
    } else if (req->type != WIRE_REQ_READ) {
        reply_guarantee(s, &w, req->rr.kind, view);
    }
    if (req->verbose) {
        verbose_value(&w, v);
        if (req->type == WIRE_REQ_READ)
            verbose_guarantee(s, &w, req->rr.kind, view);
        service_read_proof(s, &w, view, false);
    }
    service_end(s, &w, &req->origin);
}

/* rc: what reading gave; with 0 the reply is written. A damaged record is no answer, and no reason
 * to say so again and again: the next leader's state is another (FIT-7). */
void service_read_finish(struct request *req, const struct buf *out, int rc,
                         const struct replica_view *view, enum wire_error result)
{

    if (rc != 0 && replica_read_failed(req->conn->service->replica, &req->rr))
        return; /* it is freed */
    if (rc != 0 && out != NULL)
        service_read_internal(req, "the state cannot be read");
    if (out != NULL)
        service_note_read(req, view, rc != 0 ? WIRE_ERROR_INTERNAL : result);
    service_request_free(req);
}

static void read_served(struct replica_request *rr, const struct replica_view *view)
{
    struct request *req = service_request_of(rr);
    const struct wire_slice key = {(const char *)req->key, req->key_len};
    struct buf *out = service_out(req->conn);
    bool is_right = service_read_is_right(rr->kind, view);
    enum wire_error result = WIRE_ERROR_NONE;
    struct command_value v;
    int rc = 0;

    if (out != NULL) {
        if (!is_right) {
            service_read_internal(req, "a read came back without what proves it");
            result = WIRE_ERROR_INTERNAL;
        } else {
            rc = view->get(view->ctx, key, &v);
        }
        if (rc == 0 && is_right) {
            service_touched(req->conn, v.text.len);
            if (service_wait_for_room(req, out, v.text.len))
                return;
            reply_read(req, out, view, &v);
            if (req->type == WIRE_REQ_READ && !v.exists)
                result = WIRE_ERROR_KEY_NOT_FOUND;
        }
    }
    service_read_finish(req, out, rc, view, result);
}

/* The values alone, by their lengths: nothing is copied before it is known that it fits. What
 * view->get said of the first that could not be read, or 0. */
static int batch_measure(struct request *req, const struct replica_view *view, size_t *ret_bytes)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < req->n_keys && bytes <= REPLY_BYTES_MAX; i++) {
        const struct wire_slice key = {(const char *)req->keys[i].bytes, req->keys[i].len};
        struct command_value v;
        int rc = view->get(view->ctx, key, &v);

        if (rc != 0)
            return rc;
        bytes += v.text.len + req->keys[i].len;
    }
    *ret_bytes = bytes;
    return 0;
}

/* What view->get said of the first value that could not be read; 0: all are written. */
static int batch_values(struct request *req, struct wire_reply *w, const struct replica_view *view)
{
    for (unsigned i = 0; i < req->n_keys; i++) {
        const struct wire_key *key = &req->keys[i];
        const struct wire_slice bytes = {(const char *)key->bytes, key->len};
        struct command_value v;
        int rc = view->get(view->ctx, bytes, &v);

        if (rc != 0)
            return rc;
        wire_reply_open_object(w, NULL);
        wire_reply_key(w, "key", key);
        wire_reply_value(w, "value", v.text);
        if (req->verbose)
            verbose_value(w, &v);
        wire_reply_close_object(w);
    }
    return 0;
}

static int reply_batch(struct request *req, struct buf *out, const struct replica_view *view)
{
    struct service *s = req->conn->service;
    bool confirmed = service_read_is_confirmed(view);
    struct wire_reply w;
    int rc;

    service_begin(s, &w, out, &req->origin, "batch_read_index_ok");
    wire_reply_open_array(&w, "values");
    rc = batch_values(req, &w, view);
    if (rc != 0) {
        wire_reply_undo(&w);
    } else {
        wire_reply_close_array(&w);
        wire_reply_u64(&w, "read_at_index", view->last_applied.index);
        wire_reply_bool(&w, "heartbeat_confirmed", confirmed);
        wire_reply_bool(&w, "linearizable", confirmed);
        service_end(s, &w, &req->origin);
    }
    return rc;
}

static void batch_served(struct replica_request *rr, const struct replica_view *view)
{
    struct request *req = service_request_of(rr);
    struct service *s = req->conn->service;
    struct buf *out = service_out(req->conn);
    enum wire_error result = WIRE_ERROR_NONE;
    size_t bytes = 0;
    int rc = 0;

    if (out != NULL)
        rc = batch_measure(req, view, &bytes);
    service_touched(req->conn, bytes);
    if (out != NULL && rc == 0) {
        result = bytes > REPLY_BYTES_MAX ? WIRE_ERROR_TOO_LARGE : WIRE_ERROR_NONE;
        if (bytes > REPLY_BYTES_MAX)
            service_reply_too_large(s, out, &req->origin, service_msg_id_for(s, &req->origin));
        else if (service_wait_for_room(req, out, bytes + (size_t)req->n_keys * SERVICE_ITEM_BYTES))
            return;
        else
            rc = reply_batch(req, out, view);
    }
    service_read_finish(req, out, rc, view, result);
}

static void read_by(struct service_conn *c, const struct wire_request *q, enum replica_kind kind)
{
    struct request *req = service_request_new(c, q, 0);

    if (req == NULL)
        return;
    req->rr.kind = kind;
    req->rr.max_stale_us = (uint64_t)q->max_stale_ms * 1000u;
    req->rr.served = read_served;
    req->rr.failed = service_request_failed;
    service_submit(req);
}

void service_handle_read_index(struct service_conn *c, const struct wire_request *q)
{
    read_by(c, q, REPLICA_READ);
}

void service_handle_read_via_log(struct service_conn *c, const struct wire_request *q)
{
    read_by(c, q, REPLICA_READ_LOG);
}

void service_handle_follower_read(struct service_conn *c, const struct wire_request *q)
{
    read_by(c, q, REPLICA_READ_FOLLOWER);
}

void service_handle_lease_read(struct service_conn *c, const struct wire_request *q)
{
    read_by(c, q, REPLICA_READ_LEASE);
}

enum wire_via service_via_of(const struct service *s, enum wire_via via)
{
    if (via == WIRE_VIA_DEFAULT)
        via = s->conf.read_via;
    if (via != WIRE_VIA_DEFAULT)
        return via;
    /* Each node answers: who leads by a round of its own, the others by its word. */
    return raft_get_role(replica_raft(s->replica)) == RAFT_LEADER ? WIRE_VIA_READ_INDEX
                                                                  : WIRE_VIA_FOLLOWER;
}

/* Before it waits for an index that means something else there. */
bool service_read_is_foreign(struct service_conn *c, const struct wire_request *q)
{
    const char *hash = c->service->conf.cluster_hash;
    char text[160];

    if (q->cluster.data == NULL)
        return false;
    if (hash != NULL && strlen(hash) == q->cluster.len &&
        memcmp(hash, q->cluster.data, q->cluster.len) == 0)
        return false;
    (void)snprintf(text, sizeof(text),
                   "what was seen is another cluster's, or this one's before it went on alone: "
                   "this is %s; begin without min_index",
                   hash != NULL ? hash : "none that has a hash");
    service_refuse_condition(c, &q->origin, text, replica_last_applied(c->service->replica));
    return true;
}

void service_handle_local_read(struct service_conn *c, const struct wire_request *q)
{
    if (!service_read_is_foreign(c, q))
        read_by(c, q, q->max_stale_ms != 0 ? REPLICA_READ_BOUNDED : REPLICA_READ_LOCAL);
}

bool service_read_kind(struct service_conn *c, const struct wire_request *q,
                       enum replica_kind *ret_kind)
{
    switch (service_via_of(c->service, q->via)) {
    case WIRE_VIA_DEFAULT:
    case WIRE_VIA_READ_INDEX:
        *ret_kind = REPLICA_READ;
        return true;
    case WIRE_VIA_LOG:
        *ret_kind = REPLICA_READ_LOG;
        return true;
    case WIRE_VIA_LOCAL:
        *ret_kind = REPLICA_READ_LOCAL;
        return true;
    case WIRE_VIA_BOUNDED: /* no `via` is called so */
        break;
    case WIRE_VIA_LEASE:
        *ret_kind = REPLICA_READ_LEASE;
        return true;
    case WIRE_VIA_FOLLOWER:
        *ret_kind = REPLICA_READ_FOLLOWER;
        return true;
    }
    return false;
}

void service_handle_read(struct service_conn *c, const struct wire_request *q)
{
    enum replica_kind kind;

    if (service_read_kind(c, q, &kind))
        read_by(c, q, kind);
}

void service_handle_batch(struct service_conn *c, const struct wire_request *q)
{
    struct request *req = service_request_new(c, q, 0);

    if (req == NULL)
        return;
    req->keys = malloc(q->n_keys * sizeof(*req->keys));
    if (req->keys == NULL) {
        service_request_no_memory(req);
        return;
    }
    memcpy(req->keys, q->keys, q->n_keys * sizeof(*req->keys));
    req->n_keys = q->n_keys;
    req->rr.kind = REPLICA_READ;
    req->rr.served = batch_served;
    req->rr.failed = service_request_failed;
    service_submit(req);
}
