/* Who may enter: every request that waits for the replica is counted here and owes one reply.
 *
 * A request is refused before anything is asked of the replica: too many under way, no memory, no
 * room on the disk. Once admitted it is answered by exactly one of its callbacks, or forgotten with
 * its connection. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/keep.h"
#include "service/service_int.h"

#include "base/banned.h"

/* All that is kept for a request until it is answered, and what its answer takes at least, so that
 * there is room for it then (CLIENT-13). */
static size_t cost_of(const struct wire_request *q)
{
    const size_t key = q->key.len > REQUEST_ROOM_BYTES ? q->key.len : REQUEST_ROOM_BYTES;

    return sizeof(struct request) + key + q->origin.src.len + q->origin.dest.len +
           q->n_keys * sizeof(*q->keys) + (q->scan != NULL ? sizeof(*q->scan) : 0) +
           (size_t)4 * MALLOC_BYTES + SERVICE_REPLY_BYTES;
}

/* ---- memory ---- */

/* What is cleared for each; behind it nothing is in a list of anybody's. */
#define CLEARED_BYTES (offsetof(struct request, rr) + offsetof(struct replica_request, age))

static struct request *memory_new(size_t key_len)
{
    struct request *req = malloc(sizeof(*req) + key_len);

    if (req == NULL)
        return NULL;
    memset(req, 0, sizeof(*req));
    list_init(&req->turn_link);
    list_init(&req->waiting_link);
    return req;
}

/* The memory that comes next is asked for now: it has not been touched since as many requests as
 * stand in line were answered. */
static struct request *memory_take(struct service *s, size_t key_len)
{
    struct request *req;

    if (key_len > REQUEST_ROOM_BYTES)
        return memory_new(key_len);
    if (s->n_kept == 0)
        return memory_new(REQUEST_ROOM_BYTES);
    req = s->kept[--s->n_kept];
    if (s->n_kept > 0)
        for (size_t at = 0; at < CLEARED_BYTES; at += CACHE_LINE_BYTES)
            __builtin_prefetch((const char *)s->kept[s->n_kept - 1] + at, 1);
    memset(req, 0, CLEARED_BYTES);
    return req;
}

/* Nobody finds it any more: neither its connection, nor the replica, nor a list of deadlines. */
static void memory_give(struct service *s, struct request *req)
{
    rid_assert(req->rr.stage == REPLICA_IDLE);
    rid_assert(list_empty(&req->rr.link));
    rid_assert(list_empty(&req->rr.timer));
    rid_assert(list_empty(&req->link));
    if (!KEEP_FREE || s->n_kept >= REQUESTS_KEPT_MAX || req->key_len > REQUEST_ROOM_BYTES)
        free(req);
    else
        s->kept[s->n_kept++] = req;
}

void service_requests_done(struct service *s)
{
    while (s->n_kept > 0)
        free(s->kept[--s->n_kept]);
}

/* ---- accounts ---- */

static void charge(struct request *req, size_t cost, size_t command_bytes)
{
    struct memory_conn *m = req->conn->memory;

    req->charged = cost;
    req->charged_command = command_bytes;
    if (m == NULL)
        return;
    budget_take(&m->requests, cost);
    if (command_bytes > 0)
        budget_take(&m->commands, command_bytes);
}

/* One key, as of now: what a local read of that index and no less would answer just so. */
static bool may_be_spared(const struct service *s, const struct wire_request *q)
{
    if (q->type == WIRE_REQ_READ)
        return (service_via_of(s, q->via) & (WIRE_VIA_LOG | WIRE_VIA_LOCAL)) == 0;
    return q->type == WIRE_REQ_READ_INDEX || q->type == WIRE_REQ_LEASE_READ ||
           q->type == WIRE_REQ_FOLLOWER_READ;
}

/* The request is in memory, so that the clock may be looked at for it (LEASE-9). */
static void refuse_overloaded(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct service_spare spare = {0};
    raft_node_id id;

    if (may_be_spared(s, q) && s->ops.client_addr != NULL &&
        replica_spare(s->replica, &c->session, &spare.anchor, &id))
        spare.addr = s->ops.client_addr(s->ops.ctx, id);
    service_refuse_overloaded(c, &q->origin, "too many bytes are under way on this node",
                              spare.addr != NULL ? &spare : NULL);
}

/* Bounded in all by the definite answer `busy`; on one connection by not reading it, which is the
 * host's part (CLIENT-4). */
struct request *service_request_new(struct service_conn *c, const struct wire_request *q,
                                    size_t command_bytes)
{
    struct service *s = c->service;
    struct request *req = NULL;
    const size_t cost = cost_of(q);

    if (c->memory != NULL && !memory_conn_may_hold(c->memory, cost, command_bytes)) {
        refuse_overloaded(c, q);
        return NULL;
    }

    if (s->n_pending < REQUESTS_MAX)
        req = memory_take(s, q->key.len);
    if (req == NULL) {
        service_refuse_busy(
            c, &q->origin, "too many requests are under way on this node; try again", REQUESTS_MAX);
        return NULL;
    }
    list_init(&req->rr.link);
    list_init(&req->rr.timer);
    list_init(&req->link);
    req->conn = c;
    req->type = q->type;
    req->verbose = q->verbose;
    req->timeout_ms = q->timeout_ms;
    req->arrived_us =
        s->ops.arrived_us != NULL ? s->ops.arrived_us(s->ops.ctx) : s->ops.now_us(s->ops.ctx);
    req->rr.deadline_us = req->arrived_us + (uint64_t)q->timeout_ms * 1000u;
    req->rr.session = &c->session;
    req->rr.min_index = q->min_index;
    req->key_len = q->key.len;
    memcpy(req->key, q->key.bytes, q->key.len);
    if (wire_origin_copy(&q->origin, &req->origin) != 0) {
        memory_give(s, req);
        service_refuse_busy(c, &q->origin, "this node is out of memory; try again", REQUESTS_MAX);
        return NULL;
    }
    list_append(&c->requests, &req->link);
    s->n_pending++;
    charge(req, cost, command_bytes);
    if (s->ops.hold != NULL)
        s->ops.hold(s->ops.ctx, c->host);
    return req;
}

/* What most reads do without. */
static bool has_more(const struct request *req)
{
    return req->origin.src.data != NULL || req->keys != NULL || req->scan != NULL ||
           req->command != NULL;
}

static void free_more(struct request *req)
{
    wire_origin_done(&req->origin);
    free(req->keys);
    free(req->scan);
    free(req->command);
}

void service_request_free(struct request *req)
{
    struct service *s = req->conn->service;

    list_remove(&req->link);
    if (req->listed) {
        list_remove(&req->turn_link);
        service_stop_waiting(req);
    }
    if (req->conn->memory != NULL) {
        budget_give(&req->conn->memory->requests, req->charged);
        if (req->charged_command > 0)
            budget_give(&req->conn->memory->commands, req->charged_command);
    }
    if (has_more(req))
        free_more(req);
    s->n_pending--;
    if (s->ops.release != NULL)
        s->ops.release(s->ops.ctx, req->conn->host);
    memory_give(s, req);
}

struct request *service_request_of(struct replica_request *rr)
{
    return list_entry(rr, struct request, rr);
}

void service_request_failed(struct replica_request *rr, const struct replica_failure *f)
{
    struct request *req = service_request_of(rr);
    struct buf *out = service_out(req->conn);

    service_note_failed(req, f);
    if (out != NULL && f->error == WIRE_ERROR_NOT_SUPPORTED)
        service_reply_not_supported(req, out, f->too_old);
    else if (out != NULL)
        service_write_failure(req->conn->service, out, &req->origin, f, "the write",
                              req->timeout_ms);
    service_request_free(req);
}

void service_request_no_memory(struct request *req)
{
    const struct replica_failure f = {.error = WIRE_ERROR_BUSY, .limit = REQUESTS_MAX};

    service_request_failed(&req->rr, &f);
}

void service_submit(struct request *req)
{
    struct service *s = req->conn->service;

    replica_submit(s->replica, &req->rr, req->arrived_us);
}
