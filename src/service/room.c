/* Requests that could be answered, and wait because the client does not read: the value is not
 * copied before there is room for it (CLIENT-13).
 *
 * What waits here is asked again when there is room, from the beginning: a read that is answered
 * later has a later anchor. Its deadline stays the same. */
#include "service/service_int.h"

#include "base/banned.h"

/* A read of the log sees the state at exactly one index, which is over after this callback: it
 * cannot wait. */
bool service_wait_for_room(struct request *req, const struct buf *out, size_t value_bytes)
{
    struct service_conn *c = req->conn;
    struct service *s = c->service;

    if (value_bytes <= SERVICE_REPLY_FREE_BYTES || c->memory == NULL ||
        memory_conn_may_reply(c->memory, out, value_bytes + SERVICE_REPLY_BYTES))
        return false;
    replica_read_put_off(s->replica, &req->rr);
    if (req->rr.kind == REPLICA_READ_LOG) {
        service_refuse_overloaded(c, &req->origin, "replies of this connection were not read",
                                  NULL);
        service_request_free(req);
        return true;
    }
    req->want = value_bytes + SERVICE_REPLY_BYTES;
    req->room_since_us = s->ops.now_us(s->ops.ctx);
    req->listed = true;
    list_append(&c->waiting, &req->waiting_link);
    if (req->rr.deadline_us != UINT64_MAX)
        timers_add(&s->waiting, &req->rr.timer, req->rr.deadline_us);
    return true;
}

void service_stop_waiting(struct request *req)
{
    if (list_empty(&req->waiting_link))
        return;
    list_remove(&req->waiting_link);
    timers_remove(&req->conn->service->waiting, &req->rr.timer);
}

/* At least one, and no more than there is room for: what is asked too early comes back here. */
bool service_conn_room(struct service_conn *c)
{
    size_t bytes = 0;

    while (!list_empty(&c->waiting)) {
        struct request *req = list_entry(c->waiting.next, struct request, waiting_link);

        if (bytes > 0 && bytes + req->want > CLIENT_OUT_BYTES_HIGH - CLIENT_OUT_BYTES_LOW)
            return true;
        bytes += req->want;
        service_stop_waiting(req);
        req->room_us += c->service->ops.now_us(c->service->ops.ctx) - req->room_since_us;
        service_submit(req);
    }
    return false;
}

static uint64_t deadline_of(const struct list *node)
{
    return list_entry_const(node, struct request, rr.timer)->rr.deadline_us;
}

void service_expire_waiting(struct service *s, uint64_t now_us)
{
    struct list due = LIST_INIT(due);
    /* Nothing held it up but its client: no quorum, no disk. */
    const struct replica_failure f = {.error = WIRE_ERROR_TIMEOUT,
                                      .stage = "its replies to be read"};

    timers_expired(&s->waiting, now_us, deadline_of, &due);
    while (!list_empty(&due)) {
        struct request *req = list_entry(due.next, struct request, rr.timer);

        service_stop_waiting(req);
        service_request_failed(&req->rr, &f);
    }
}
