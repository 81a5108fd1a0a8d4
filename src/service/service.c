/* The life of a request: decoded, checked, given to the replica, answered by one callback,
 * forgotten.
 *
 * What a reply claims comes from the view the replica hands over, never from a constant:
 * `heartbeat_confirmed` is round > arrival_round of this very read. */
#include "service/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "raft/raft.h"
#include "service/service_int.h"

#include "base/banned.h"

#define RETRY_AFTER_MS 20u

/* ---- birth and death ---- */

int service_new(const struct service_conf *conf, const struct service_ops *ops,
                struct service **ret)
{
    struct service *s = calloc(1, sizeof(*s));
    int e;

    if (s == NULL)
        return -ENOMEM;
    e = wire_decoder_new(&s->decoder);
    if (e != 0) {
        free(s);
        return e;
    }
    s->ops = *ops;
    s->conf = *conf;
    buf_init(&s->scratch);
    prng_init(&s->prng, conf->seed);
    list_init(&s->transfers);
    *ret = s;
    return 0;
}

void service_set_replica(struct service *s, struct replica *replica, const char *node_name)
{
    s->replica = replica;
    s->conf.node_name = node_name;
}

void service_free(struct service *s)
{
    if (s == NULL)
        return;
    compare_free(s->compare);
    wire_decoder_free(s->decoder);
    buf_done(&s->scratch);
    free(s);
}

struct wire_decoder *service_decoder(struct service *s)
{
    return s->decoder;
}

uint64_t service_next_msg_id(struct service *s)
{
    return s->next_msg_id++;
}

unsigned service_n_pending(const struct service *s)
{
    return s->n_pending;
}

int service_conn_new(struct service *s, void *host_conn, struct service_conn **ret)
{
    struct service_conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return -ENOMEM;
    c->service = s;
    c->host = host_conn;
    list_init(&c->requests);
    *ret = c;
    return 0;
}

void service_conn_free(struct service_conn *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->requests)) {
        struct request *req = list_entry(c->requests.next, struct request, link);

        compare_cancel(c->service, req);
        if (c->service->replica != NULL)
            replica_cancel(c->service->replica, &req->rr);
        service_request_free(req);
    }
    free(c);
}

/* ---- replies ---- */

const char *service_name_of(const struct service *s, raft_node_id id)
{
    const struct raft_server *server;

    if (s->replica == NULL || id == 0)
        return NULL;
    server = raft_configuration_get(raft_get_configuration(replica_raft(s->replica)), id);
    return server != NULL ? server->name : NULL;
}

static uint64_t msg_id_for(struct service *s, const struct wire_origin *origin)
{
    return origin->envelope ? s->next_msg_id++ : 0;
}

void service_begin(struct service *s, struct wire_reply *w, struct buf *out,
                   const struct wire_origin *origin, const char *type)
{
    wire_reply_begin(w, out, origin, s->conf.spaced, msg_id_for(s, origin), type);
}

void service_begin_error(struct service *s, struct wire_reply *w, struct buf *out,
                         const struct wire_origin *origin, enum wire_error error, bool after_append,
                         const char *text)
{
    wire_reply_begin_error(w, out, origin, s->conf.spaced, msg_id_for(s, origin), error,
                           after_append, text);
}

void service_end(struct service *s, struct wire_reply *w, const struct wire_origin *origin)
{
    struct buf *out = w->buf;

    if (wire_reply_len(w) > REPLY_BYTES_MAX) {
        struct wire_reply e;

        wire_reply_undo(w);
        wire_reply_begin_error(&e, out, origin, s->conf.spaced, w->own_msg_id, WIRE_ERROR_TOO_LARGE,
                               false, "the reply would be larger than the limit");
        wire_reply_u64(&e, "limit", REPLY_BYTES_MAX);
        w = &e;
        (void)wire_reply_end(w);
        return;
    }
    (void)wire_reply_end(
        w); /* without memory there is no reply; the client's own deadline tells it */
}

static void leader_fields(struct service *s, struct wire_reply *w, raft_node_id leader_id,
                          bool with_addr)
{
    const char *name = service_name_of(s, leader_id);

    wire_reply_str(w, "leader_id", name);
    if (with_addr)
        wire_reply_str(w, "leader_addr",
                       name != NULL && s->ops.client_addr != NULL
                           ? s->ops.client_addr(s->ops.ctx, leader_id)
                           : NULL);
}

static void not_leader_text(struct service *s, raft_node_id leader_id, char *text, size_t size)
{
    const char *name = service_name_of(s, leader_id);
    const char *addr =
        s->ops.client_addr != NULL ? s->ops.client_addr(s->ops.ctx, leader_id) : NULL;

    if (name == NULL)
        (void)snprintf(text, size, "not the leader, and none is known");
    else if (addr == NULL)
        (void)snprintf(text, size, "not the leader; try %s", name);
    else
        (void)snprintf(text, size, "not the leader; try %s at %s", name, addr);
}

void service_write_failure(struct service *s, struct buf *out, const struct wire_origin *origin,
                           const struct replica_failure *f, uint32_t timeout_ms)
{
    struct wire_reply w;
    char text[512];
    const char *fate = f->after_append ? "; whether the write happened is not known" : "";

    switch ((int)f->error) { /* int: the rest is for default */
    case WIRE_ERROR_NOT_LEADER:
        not_leader_text(s, f->leader_id, text, sizeof(text));
        break;
    case WIRE_ERROR_TERM_CHANGED:
        (void)snprintf(text, sizeof(text), "the term changed from %llu to %llu%s",
                       (unsigned long long)f->old_term, (unsigned long long)f->term, fate);
        break;
    case WIRE_ERROR_ROLE_CHANGED:
        (void)snprintf(text, sizeof(text), "this node stopped leading in term %llu%s",
                       (unsigned long long)f->old_term, fate);
        break;
    case WIRE_ERROR_TIMEOUT:
        (void)snprintf(text, sizeof(text), "no answer within %u ms, waiting for %s%s", timeout_ms,
                       f->stage != NULL ? f->stage : "the cluster", fate);
        break;
    case WIRE_ERROR_NETWORK:
        (void)snprintf(text, sizeof(text), "no quorum: %u of the %u nodes needed were heard%s",
                       f->reached, f->needed, fate);
        break;
    case WIRE_ERROR_CANCELLED:
        (void)snprintf(text, sizeof(text), "this node is shutting down%s", fate);
        break;
    case WIRE_ERROR_BUSY:
        (void)snprintf(text, sizeof(text), "too much is under way on this node; try again");
        break;
    case WIRE_ERROR_TOO_LARGE:
        (void)snprintf(text, sizeof(text), "the command is larger than a log entry may be");
        break;
    default:
        (void)snprintf(text, sizeof(text), "%s", wire_error_name(f->error));
        break;
    }
    service_begin_error(s, &w, out, origin, f->error, f->after_append, text);
    switch ((int)f->error) { /* int: the rest is for default */
    case WIRE_ERROR_NOT_LEADER:
        leader_fields(s, &w, f->leader_id, true);
        break;
    case WIRE_ERROR_TERM_CHANGED:
        wire_reply_u64(&w, "old_term", f->old_term);
        wire_reply_u64(&w, "term", f->term);
        leader_fields(s, &w, f->leader_id, false);
        break;
    case WIRE_ERROR_ROLE_CHANGED:
        wire_reply_str(&w, "role", raft_role_name(f->role));
        leader_fields(s, &w, f->leader_id, false);
        break;
    case WIRE_ERROR_TIMEOUT:
        wire_reply_u64(&w, "timeout_ms", timeout_ms);
        wire_reply_str(&w, "stage", f->stage);
        break;
    case WIRE_ERROR_NETWORK:
        wire_reply_u64(&w, "reached", f->reached);
        wire_reply_u64(&w, "needed", f->needed);
        break;
    case WIRE_ERROR_CANCELLED:
        wire_reply_str(&w, "by", "shutdown");
        break;
    case WIRE_ERROR_BUSY:
        wire_reply_u64(&w, "limit", f->limit);
        wire_reply_u64(&w, "retry_after_ms", RETRY_AFTER_MS);
        break;
    case WIRE_ERROR_TOO_LARGE:
        wire_reply_u64(&w, "limit", ENTRY_BYTES_MAX);
        break;
    default:
        break;
    }
    service_end(s, &w, origin);
}

/* ---- requests ---- */

static struct buf *out_of(struct service_conn *c)
{
    return c->service->ops.out(c->service->ops.ctx, c->host);
}

static void reply_busy(struct service_conn *c, const struct wire_origin *origin, const char *text,
                       uint64_t limit)
{
    struct buf *out = out_of(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, WIRE_ERROR_BUSY, false, text);
    wire_reply_u64(&w, "limit", limit);
    wire_reply_u64(&w, "retry_after_ms", RETRY_AFTER_MS);
    service_end(c->service, &w, origin);
}

struct request *service_request_new(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct request *req = NULL;

    if (s->n_pending < REQUESTS_MAX)
        req = malloc(sizeof(*req) + q->key.len);
    if (req == NULL) {
        reply_busy(c, &q->origin, "too many requests are under way on this node; try again",
                   REQUESTS_MAX);
        return NULL;
    }
    memset(req, 0, sizeof(*req));
    list_init(&req->rr.link);
    list_init(&req->rr.timer);
    list_init(&req->transfer_link);
    req->conn = c;
    req->type = q->type;
    req->via = q->via;
    req->verbose = q->verbose;
    req->timeout_ms = q->timeout_ms;
    req->arrived_us = s->ops.now_us(s->ops.ctx);
    req->rr.deadline_us = req->arrived_us + (uint64_t)q->timeout_ms * 1000u;
    req->rr.session = &c->session;
    req->key_len = q->key.len;
    memcpy(req->key, q->key.bytes, q->key.len);
    if (wire_origin_copy(&q->origin, &req->origin) != 0) {
        free(req);
        reply_busy(c, &q->origin, "this node is out of memory; try again", REQUESTS_MAX);
        return NULL;
    }
    list_append(&c->requests, &req->link);
    s->n_pending++;
    if (s->ops.hold != NULL)
        s->ops.hold(s->ops.ctx, c->host);
    return req;
}

void service_request_free(struct request *req)
{
    struct service *s = req->conn->service;

    list_remove(&req->link);
    list_remove(&req->transfer_link);
    wire_origin_done(&req->origin);
    free(req->keys);
    free(req->command);
    s->n_pending--;
    if (s->ops.release != NULL)
        s->ops.release(s->ops.ctx, req->conn->host);
    free(req);
}

static struct request *request_of(struct replica_request *rr)
{
    return list_entry(rr, struct request, rr);
}

static void request_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct request *req = request_of(rr);
    struct buf *out = out_of(req->conn);

    if (out != NULL)
        service_write_failure(req->conn->service, out, &req->origin, f, req->timeout_ms);
    service_request_free(req);
}

/* ---- reads ---- */

static void reply_internal(struct request *req, const char *what)
{
    struct service *s = req->conn->service;
    struct buf *out = out_of(req->conn);
    struct wire_reply w;

    if (s->ops.event != NULL)
        s->ops.event(s->ops.ctx, LOG_ERROR, "read_failed", what);
    if (out == NULL)
        return;
    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_INTERNAL, false, what);
    wire_reply_str(&w, "ref", "read_failed");
    service_end(s, &w, &req->origin);
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

static void reply_key_not_found(struct request *req, struct buf *out, raft_index index)
{
    struct service *s = req->conn->service;
    struct wire_reply w;

    service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_KEY_NOT_FOUND, false, "no such key");
    wire_reply_u64(&w, "index", index);
    service_end(s, &w, &req->origin);
}

/* Facts of this read: a quorum acknowledged a round that was opened after it arrived, in the term
 * it was served for. */
static bool is_confirmed(const struct replica_view *view)
{
    return view->round > view->arrival_round && view->last_applied.index >= view->read_index;
}

static void reply_read(struct request *req, struct buf *out, const struct replica_view *view,
                       const struct command_value *v)
{
    struct service *s = req->conn->service;
    struct wire_reply w;
    bool confirmed = is_confirmed(view);

    switch ((int)req->type) { /* int: the rest is for default */
    case WIRE_REQ_READ:
        if (!v->exists) {
            reply_key_not_found(req, out, view->last_applied.index);
            return;
        }
        service_begin(s, &w, out, &req->origin, "read_ok");
        wire_reply_value(&w, "value", v->text);
        break;
    case WIRE_REQ_READ_VIA_LOG:
        service_begin(s, &w, out, &req->origin, "read_via_log_ok");
        wire_reply_value(&w, "value", v->text);
        wire_reply_u64(&w, "log_index_used", view->entry.index);
        wire_reply_ms(&w, "latency_ms", s->ops.now_us(s->ops.ctx) - req->arrived_us);
        break;
    case WIRE_REQ_LOCAL_READ:
        service_begin(s, &w, out, &req->origin, "local_read_ok");
        wire_reply_value(&w, "value", v->text);
        wire_reply_u64(&w, "applied_index", view->last_applied.index);
        wire_reply_bool(&w, "linearizable", false);
        break;
    default:
        service_begin(s, &w, out, &req->origin, "read_index_ok");
        wire_reply_value(&w, "value", v->text);
        wire_reply_u64(&w, "read_at_index", view->last_applied.index);
        wire_reply_bool(&w, "heartbeat_confirmed", confirmed);
        wire_reply_bool(&w, "linearizable", confirmed);
        break;
    }
    if (req->verbose) {
        verbose_value(&w, v);
        if (req->rr.kind == REPLICA_READ) {
            wire_reply_u64(&w, "read_index", view->read_index);
            wire_reply_u64(&w, "round", view->round);
            wire_reply_u64(&w, "term", view->term);
        } else if (req->rr.kind == REPLICA_READ_LOG) {
            wire_reply_u64(&w, "term", view->entry.term);
            wire_reply_bool(&w, "linearizable",
                            true); /* the marker was applied at its index, in its term */
        }
    }
    service_end(s, &w, &req->origin);
}

static void read_served(struct replica_request *rr, const struct replica_view *view)
{
    struct request *req = request_of(rr);
    struct buf *out = out_of(req->conn);
    struct command_value v;

    if (out != NULL) {
        if (rr->kind == REPLICA_READ && !is_confirmed(view))
            reply_internal(req, "a read came back without its confirmation");
        else if (view->get(view->ctx, (struct wire_slice){(const char *)req->key, req->key_len},
                           &v) != 0)
            reply_internal(req, "the stored value is damaged");
        else
            reply_read(req, out, view, &v);
    }
    service_request_free(req);
}

static void batch_served(struct replica_request *rr, const struct replica_view *view)
{
    struct request *req = request_of(rr);
    struct service *s = req->conn->service;
    struct buf *out = out_of(req->conn);
    bool confirmed = is_confirmed(view);
    struct wire_reply w;

    if (out == NULL) {
        service_request_free(req);
        return;
    }
    service_begin(s, &w, out, &req->origin, "batch_read_index_ok");
    wire_reply_open_array(&w, "values");
    for (unsigned i = 0; i < req->n_keys; i++) {
        struct command_value v;
        const struct wire_key *key = &req->keys[i];

        if (view->get(view->ctx, (struct wire_slice){(const char *)key->bytes, key->len}, &v) !=
            0) {
            wire_reply_undo(&w);
            reply_internal(req, "a stored value is damaged");
            service_request_free(req);
            return;
        }
        wire_reply_open_object(&w, NULL);
        wire_reply_key(&w, "key", key);
        wire_reply_value(&w, "value", v.text);
        if (req->verbose)
            verbose_value(&w, &v);
        wire_reply_close_object(&w);
    }
    wire_reply_close_array(&w);
    wire_reply_u64(&w, "read_at_index", view->last_applied.index);
    wire_reply_bool(&w, "heartbeat_confirmed", confirmed);
    wire_reply_bool(&w, "linearizable", confirmed);
    service_end(s, &w, &req->origin);
    service_request_free(req);
}

static void not_supported(struct service_conn *c, const struct wire_request *q, const char *text)
{
    struct buf *out = out_of(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, &q->origin, WIRE_ERROR_NOT_SUPPORTED, false, text);
    wire_reply_string(&w, "request_type", q->type_name.data, q->type_name.len);
    service_end(c->service, &w, &q->origin);
}

static void submit(struct request *req)
{
    struct service *s = req->conn->service;

    replica_submit(s->replica, &req->rr, req->arrived_us);
}

static void handle_read(struct service_conn *c, const struct wire_request *q,
                        enum replica_kind kind)
{
    struct request *req = service_request_new(c, q);

    if (req == NULL)
        return;
    req->rr.kind = kind;
    req->rr.served = read_served;
    req->rr.failed = request_failed;
    submit(req);
}

static void handle_read_via(struct service_conn *c, const struct wire_request *q)
{
    switch (q->via) {
    case WIRE_VIA_DEFAULT:
    case WIRE_VIA_READ_INDEX:
        handle_read(c, q, REPLICA_READ);
        break;
    case WIRE_VIA_LOG:
        handle_read(c, q, REPLICA_READ_LOG);
        break;
    case WIRE_VIA_LOCAL:
        handle_read(c, q, REPLICA_READ_LOCAL);
        break;
    case WIRE_VIA_LEASE:
        not_supported(c, q, "lease reads are not supported by this version; use read_index");
        break;
    case WIRE_VIA_FOLLOWER:
        not_supported(c, q, "follower reads are not supported by this version; use read_index");
        break;
    }
}

static void handle_batch(struct service_conn *c, const struct wire_request *q)
{
    struct request *req = service_request_new(c, q);

    if (req == NULL)
        return;
    req->keys = malloc(q->n_keys * sizeof(*req->keys));
    if (req->keys == NULL) {
        struct replica_failure f = {.error = WIRE_ERROR_BUSY, .limit = REQUESTS_MAX};

        request_failed(&req->rr, &f);
        return;
    }
    memcpy(req->keys, q->keys, q->n_keys * sizeof(*req->keys));
    req->n_keys = q->n_keys;
    req->rr.kind = REPLICA_READ;
    req->rr.served = batch_served;
    req->rr.failed = request_failed;
    submit(req);
}

/* ---- writes ---- */

static void reply_written(struct request *req, struct buf *out, const struct command_result *result)
{
    struct service *s = req->conn->service;
    struct wire_reply w;

    switch (result->status) {
    case COMMAND_KEY_NOT_FOUND:
        reply_key_not_found(req, out, result->index);
        return;
    case COMMAND_PRECONDITION_FAILED:
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_PRECONDITION_FAILED, false,
                            "the value differs from 'from'");
        wire_reply_u64(&w, "index", result->index);
        service_end(s, &w, &req->origin);
        return;
    case COMMAND_INVALID:
        service_begin_error(s, &w, out, &req->origin, WIRE_ERROR_INTERNAL, true,
                            "the command could not be applied");
        wire_reply_str(&w, "ref", "command_invalid");
        service_end(s, &w, &req->origin);
        return;
    case COMMAND_OK:
        break;
    }
    service_begin(s, &w, out, &req->origin,
                  req->type == WIRE_REQ_WRITE
                      ? "write_ok"
                      : (req->type == WIRE_REQ_CAS ? "cas_ok" : "delete_ok"));
    if (req->type == WIRE_REQ_DELETE)
        wire_reply_bool(&w, "existed", result->existed);
    if (req->verbose)
        wire_reply_u64(&w, "index", result->index);
    service_end(s, &w, &req->origin);
}

static void request_written(struct replica_request *rr, const struct command_result *result)
{
    struct request *req = request_of(rr);
    struct buf *out = out_of(req->conn);

    if (out != NULL)
        reply_written(req, out, result);
    service_request_free(req);
}

static void reply_session_expired(struct service_conn *c, const struct wire_request *q)
{
    struct buf *out = out_of(c);
    struct wire_reply w;
    char client[24];

    if (out == NULL)
        return;
    (void)snprintf(client, sizeof(client), "%llu", (unsigned long long)q->client);
    service_begin_error(c->service, &w, out, &q->origin, WIRE_ERROR_SESSION_EXPIRED, false,
                        "no session has this client id; this version opens none");
    wire_reply_str(&w, "client", client);
    service_end(c->service, &w, &q->origin);
}

/* Asked of the leader alone: it is the one that would append. */
static bool refuse_for_space(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    uint64_t used = 0;
    uint64_t limit = 0;
    struct wire_reply w;
    struct buf *out;

    if (s->ops.no_space == NULL || raft_get_role(replica_raft(s->replica)) != RAFT_LEADER ||
        !s->ops.no_space(s->ops.ctx, q->type == WIRE_REQ_DELETE, q->key.len + q->value.len, &used,
                         &limit))
        return false;
    out = out_of(c);
    if (out == NULL)
        return true;
    service_begin_error(
        s, &w, out, &q->origin, WIRE_ERROR_NO_SPACE, false,
        "no room for a write on the leader: enlarge its disk or map_size, or delete");
    wire_reply_u64(&w, "used", used);
    wire_reply_u64(&w, "limit", limit);
    service_end(s, &w, &q->origin);
    return true;
}

static void handle_write(struct service_conn *c, const struct wire_request *q)
{
    struct command command = {
        .key = {(const char *)q->key.bytes, q->key.len}, .value = q->value, .from = q->from};
    struct service *s = c->service;
    struct request *req;
    int e;

    if (q->has_session) {
        reply_session_expired(c, q);
        return;
    }
    if (refuse_for_space(c, q))
        return;
    req = service_request_new(c, q);
    if (req == NULL)
        return;
    command.op = q->type == WIRE_REQ_WRITE
                     ? COMMAND_WRITE
                     : (q->type == WIRE_REQ_CAS ? COMMAND_CAS : COMMAND_DELETE);
    if (q->create_if_not_exists)
        command.flags = COMMAND_FLAG_CREATE_IF_NOT_EXISTS;
    buf_reset(&s->scratch, 1u << 16);
    e = command_encode(&command, &s->scratch);
    if (e == 0) {
        req->command = malloc(s->scratch.len);
        if (req->command == NULL)
            e = -ENOMEM;
    }
    if (e != 0) {
        struct replica_failure f = {.error = WIRE_ERROR_BUSY, .limit = REQUESTS_MAX};

        request_failed(&req->rr, &f);
        return;
    }
    memcpy(req->command, s->scratch.data, s->scratch.len);
    req->rr.kind = REPLICA_WRITE;
    req->rr.command = req->command;
    req->rr.command_len = s->scratch.len;
    req->rr.written = request_written;
    req->rr.failed = request_failed;
    submit(req);
}

/* ---- cluster ---- */

static void handle_ping(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    const struct raft *raft = s->replica != NULL ? replica_raft(s->replica) : NULL;
    struct buf *out = out_of(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "pong");
    wire_reply_str(&w, "node", s->conf.node_name);
    wire_reply_str(&w, "role", raft != NULL ? raft_role_name(raft_get_role(raft)) : NULL);
    wire_reply_u64(&w, "term", raft != NULL ? raft_get_term(raft) : 0);
    wire_reply_u64(&w, "applied_index", raft != NULL ? replica_last_applied(s->replica) : 0);
    service_end(s, &w, &q->origin);
}

static void status_peers(struct service *s, struct wire_reply *w, const struct raft_status *st,
                         uint64_t now_us)
{
    const struct raft_configuration *conf = raft_get_configuration(replica_raft(s->replica));

    wire_reply_open_array(w, "peers");
    for (unsigned i = 0; i < st->n_peers; i++) {
        const struct raft_peer_status *p = &st->peers[i];
        const struct raft_server *server = raft_configuration_get(conf, p->id);
        bool leads = st->role == RAFT_LEADER;

        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "id", server != NULL ? server->name : NULL);
        wire_reply_str(w, "address", server != NULL ? server->peer_addr : NULL);
        wire_reply_bool(w, "connected",
                        s->ops.peer_connected != NULL ? s->ops.peer_connected(s->ops.ctx, p->id)
                                                      : p->connected);
        /* Only a leader knows these. */
        if (leads)
            wire_reply_u64(w, "match_index", p->match_index);
        else
            wire_reply_null(w, "match_index");
        if (leads && p->srtt_us != 0)
            wire_reply_u64(w, "rtt_us", p->srtt_us);
        else
            wire_reply_null(w, "rtt_us");
        if (leads && p->last_heard_us != 0)
            wire_reply_u64(w, "last_heard_ms", (now_us - p->last_heard_us) / 1000u);
        else
            wire_reply_null(w, "last_heard_ms");
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

static void handle_status(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = out_of(c);
    struct raft_status st;
    struct replica_stats stats;
    struct wire_reply w;

    if (out == NULL)
        return;
    raft_get_status(replica_raft(s->replica), &st);
    replica_get_stats(s->replica, &stats);
    service_begin(s, &w, out, &q->origin, "status_ok");
    wire_reply_str(&w, "node", s->conf.node_name);
    wire_reply_str(&w, "cluster", s->conf.cluster_name);
    wire_reply_str(&w, "version", PACKAGE_VERSION);
    wire_reply_str(&w, "role", raft_role_name(st.role));
    wire_reply_u64(&w, "term", st.current_term);
    wire_reply_str(&w, "leader_id", service_name_of(s, st.leader_id));
    wire_reply_u64(&w, "commit_index", st.commit_index);
    wire_reply_u64(&w, "applied_index", replica_last_applied(s->replica));
    wire_reply_u64(&w, "last_log_index", st.last_index);
    wire_reply_u64(&w, "durable_index", st.last_stored);
    status_peers(s, &w, &st, s->ops.now_us(s->ops.ctx));
    wire_reply_open_object(&w, "reads");
    wire_reply_u64(&w, "read_index", stats.n_reads[REPLICA_READ]);
    wire_reply_u64(&w, "read_via_log", stats.n_reads[REPLICA_READ_LOG]);
    wire_reply_u64(&w, "local", stats.n_reads[REPLICA_READ_LOCAL]);
    wire_reply_u64(&w, "failed", stats.n_reads_failed);
    wire_reply_u64(&w, "pending", stats.n_in_round + stats.n_confirmed);
    wire_reply_u64(&w, "rounds", st.rounds_opened);
    wire_reply_u64(&w, "confirmed", st.rounds_confirmed);
    wire_reply_close_object(&w);
    wire_reply_open_object(&w, "writes");
    wire_reply_u64(&w, "proposed", stats.n_writes_proposed);
    wire_reply_u64(&w, "applied", stats.n_writes_done);
    wire_reply_u64(&w, "failed", stats.n_writes_failed);
    wire_reply_u64(&w, "pending", stats.n_proposed);
    wire_reply_close_object(&w);
    wire_reply_u64(&w, "waiting", stats.n_waiting);
    compare_progress(s, &w);
    if (s->ops.status != NULL)
        s->ops.status(s->ops.ctx, &w);
    service_end(s, &w, &q->origin);
}

static void handle_members(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = out_of(c);
    const struct raft_configuration *conf = raft_get_configuration(replica_raft(s->replica));
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "members_ok");
    wire_reply_open_array(&w, "members");
    for (unsigned i = 0; i < conf->n; i++) {
        const struct raft_server *server = &conf->servers[i];
        const char *addr =
            s->ops.client_addr != NULL ? s->ops.client_addr(s->ops.ctx, server->id) : NULL;

        wire_reply_open_object(&w, NULL);
        wire_reply_str(&w, "id", server->name);
        wire_reply_str(&w, "role", server->role == RAFT_VOTER ? "voter" : "learner");
        wire_reply_str(&w, "peer_addr", server->peer_addr[0] != '\0' ? server->peer_addr : NULL);
        wire_reply_str(
            &w, "client_addr",
            addr != NULL ? addr : (server->client_addr[0] != '\0' ? server->client_addr : NULL));
        wire_reply_close_object(&w);
    }
    wire_reply_close_array(&w);
    service_end(s, &w, &q->origin);
}

/* ---- leader transfer ---- */

static void reply_transferred(struct request *req, raft_node_id leader_id)
{
    struct service *s = req->conn->service;
    struct buf *out = out_of(req->conn);
    struct wire_reply w;

    if (out != NULL) {
        service_begin(s, &w, out, &req->origin, "transfer_leader_ok");
        wire_reply_str(&w, "leader_id", service_name_of(s, leader_id));
        service_end(s, &w, &req->origin);
    }
    service_request_free(req);
}

static void fail_transfer(struct request *req, enum wire_error error, const char *stage)
{
    const struct raft *raft = replica_raft(req->conn->service->replica);
    struct replica_failure f = {.error = error,
                                .stage = stage,
                                .term = raft_get_term(raft),
                                .leader_id = raft_get_leader(raft),
                                .role = raft_get_role(raft)};

    request_failed(&req->rr, &f);
}

static void refuse_target(struct service_conn *c, const struct wire_request *q, const char *text)
{
    struct buf *out = out_of(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, &q->origin, WIRE_ERROR_MALFORMED, false, text);
    wire_reply_str(&w, "field", "to");
    service_end(c->service, &w, &q->origin);
}

static void handle_transfer(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    const struct raft *raft = replica_raft(s->replica);
    raft_node_id to = 0;
    struct request *req;
    int e;

    if (q->to.data != NULL) {
        char name[NODE_NAME_BYTES_MAX + 1];
        const struct raft_server *server = NULL;

        if (q->to.len <= NODE_NAME_BYTES_MAX) {
            memcpy(name, q->to.data, q->to.len);
            name[q->to.len] = '\0';
            server = raft_configuration_get_name(raft_get_configuration(raft), name);
        }
        if (server == NULL || server->role != RAFT_VOTER) {
            refuse_target(c, q, "'to' names no voter of this cluster");
            return;
        }
        to = server->id;
    }
    req = service_request_new(c, q);
    if (req == NULL)
        return;
    req->rr.failed = request_failed;
    if (to != 0 && to == raft_get_leader(raft)) {
        reply_transferred(req, to); /* it leads already */
        return;
    }
    e = replica_transfer(s->replica, to, req->arrived_us);
    switch (e) {
    case 0:
        list_append(&s->transfers, &req->transfer_link);
        break;
    case RAFT_E_NOT_LEADER:
        fail_transfer(req, WIRE_ERROR_NOT_LEADER, NULL);
        break;
    case RAFT_E_BUSY:
        fail_transfer(req, WIRE_ERROR_BUSY, NULL);
        break;
    default:
        service_request_free(req);
        refuse_target(c, q, "there is no other voter to lead");
        break;
    }
}

void service_turn(struct service *s, uint64_t now_us)
{
    const struct raft *raft;

    if (s->replica == NULL)
        return;
    raft = replica_raft(s->replica);
    list_for_each_safe(it, &s->transfers)
    {
        struct request *req = list_entry(it, struct request, transfer_link);
        raft_node_id leader_id = raft_get_leader(raft);

        if (raft_get_role(raft) != RAFT_LEADER && leader_id != 0)
            reply_transferred(req, leader_id);
        else if (raft_get_role(raft) == RAFT_LEADER && !replica_transferring(s->replica))
            fail_transfer(req, WIRE_ERROR_TIMEOUT, "transfer");
        else if (now_us >= req->rr.deadline_us)
            fail_transfer(req, WIRE_ERROR_TIMEOUT, "leader");
    }
}

uint64_t service_deadline_us(const struct service *s)
{
    uint64_t deadline = UINT64_MAX;

    list_for_each(it, &s->transfers)
    {
        const struct request *req = list_entry(it, const struct request, transfer_link);

        if (req->rr.deadline_us < deadline)
            deadline = req->rr.deadline_us;
    }
    return deadline;
}

/* ---- lines ---- */

int service_decode(struct service_conn *c, const char *line, size_t len, uint64_t line_no,
                   struct wire_request *ret_request)
{
    struct service *s = c->service;
    struct wire_refused refused;
    struct buf *out;
    int e = wire_request_decode(s->decoder, line, len, ret_request, &refused);

    if (e == 0 || e == 2)
        return e;
    if (e < 0) {
        memset(&refused, 0, sizeof(refused));
        refused.error = WIRE_ERROR_BUSY;
        (void)snprintf(refused.text, sizeof(refused.text), "this node is out of memory; try again");
    }
    out = out_of(c);
    if (out != NULL)
        (void)wire_reply_refused(out, &refused, s->conf.spaced, msg_id_for(s, &refused.origin),
                                 line_no);
    return 1;
}

static void handle_init(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = out_of(c);
    struct wire_reply w;
    const char *text;

    if (s->ops.init == NULL) {
        not_supported(
            c, q,
            "init belongs to stdin and stdout; over TCP the node is what its configuration says");
        return;
    }
    text = s->ops.init(s->ops.ctx, q);
    if (out == NULL)
        return;
    if (text == NULL) {
        service_begin(s, &w, out, &q->origin, "init_ok");
    } else {
        service_begin_error(s, &w, out, &q->origin, WIRE_ERROR_MALFORMED, false, text);
        wire_reply_str(&w, "field", "node_id");
    }
    service_end(s, &w, &q->origin);
}

void service_handle(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;

    if (q->type == WIRE_REQ_INIT) {
        handle_init(c, q);
        return;
    }
    if (q->type == WIRE_REQ_PING) {
        handle_ping(c, q);
        return;
    }
    if (s->replica == NULL) {
        not_supported(c, q, "send init first");
        return;
    }
    switch (q->type) {
    case WIRE_REQ_READ_INDEX:
        handle_read(c, q, REPLICA_READ);
        break;
    case WIRE_REQ_READ_VIA_LOG:
        handle_read(c, q, REPLICA_READ_LOG);
        break;
    case WIRE_REQ_LOCAL_READ:
        handle_read(c, q, REPLICA_READ_LOCAL);
        break;
    case WIRE_REQ_READ:
        handle_read_via(c, q);
        break;
    case WIRE_REQ_BATCH_READ_INDEX:
        handle_batch(c, q);
        break;
    case WIRE_REQ_WRITE:
    case WIRE_REQ_CAS:
    case WIRE_REQ_DELETE:
        handle_write(c, q);
        break;
    case WIRE_REQ_STATUS:
        handle_status(c, q);
        break;
    case WIRE_REQ_MEMBERS:
        handle_members(c, q);
        break;
    case WIRE_REQ_TRANSFER_LEADER:
        handle_transfer(c, q);
        break;
    case WIRE_REQ_COMPARE:
        if ((q->methods & (WIRE_VIA_LEASE | WIRE_VIA_FOLLOWER)) != 0) {
            not_supported(c, q, "lease_read and follower_read are not supported by this version");
        } else {
            struct request *req = service_request_new(c, q);

            if (req != NULL)
                compare_start(req, q);
        }
        break;
    case WIRE_REQ_FOLLOWER_READ:
        not_supported(c, q, "follower reads are not supported by this version; use read_index");
        break;
    case WIRE_REQ_LEASE_READ:
        not_supported(c, q, "lease reads are not supported by this version; use read_index");
        break;
    case WIRE_REQ_OPEN_SESSION:
        not_supported(c, q, "sessions are not supported by this version");
        break;
    case WIRE_REQ_SNAPSHOT:
        not_supported(c, q, "snapshots are not supported by this version");
        break;
    case WIRE_REQ_INIT:
    case WIRE_REQ_PING:
        break;
    case WIRE_REQ_UNKNOWN:
    case WIRE_REQ_PEER:
        not_supported(c, q, "unknown request type");
        break;
    }
}

void service_line(struct service_conn *c, const char *line, size_t len, uint64_t line_no)
{
    struct wire_request q;

    if (service_decode(c, line, len, line_no, &q) == 0)
        service_handle(c, &q);
}

void service_line_too_long(struct service_conn *c, uint64_t line_no, uint64_t limit)
{
    struct wire_refused refused = {.error = WIRE_ERROR_TOO_LARGE, .limit = limit};
    struct buf *out = out_of(c);

    if (out == NULL)
        return;
    (void)snprintf(refused.text, sizeof(refused.text),
                   "the line is longer than %llu bytes; the rest of it is skipped",
                   (unsigned long long)limit);
    (void)wire_reply_refused(out, &refused, c->service->conf.spaced, 0, line_no);
}

void service_refuse_connection(struct service *s, struct buf *out, uint64_t limit)
{
    const struct wire_origin bare = {0};
    struct wire_reply w;

    service_begin_error(s, &w, out, &bare, WIRE_ERROR_BUSY, false,
                        "too many connections; try again or another node");
    wire_reply_u64(&w, "limit", limit);
    wire_reply_u64(&w, "retry_after_ms", 1000);
    service_end(s, &w, &bare);
}

void service_fail(struct service_conn *c, const struct wire_origin *origin, enum wire_error error,
                  const char *text)
{
    struct buf *out = out_of(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin_error(c->service, &w, out, origin, error, false, text);
    service_end(c->service, &w, origin);
}
