/* The calls that wait: an asynchronous request, and turns of the loop until it is answered. */
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

static void keep(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct ridd_reply **ret = arg;

    (void)client;
    *ret = reply;
}

static struct ridd_reply *refused(enum ridd_status why)
{
    switch ((int)why) {
    case RIDD_NO_MEMORY:
        return reply_no_memory();
    case RIDD_BUSY:
        return reply_failed(why, true, "this client has too much under way: see ridd_set_limits()");
    default:
        return reply_failed(why, true, "the client is being closed");
    }
}

static struct ridd_reply *wait_for(struct ridd *c, const struct ridd_op *op, bool connect_only)
{
    struct ridd_reply *reply = NULL;

    if (c->in_callback)
        return reply_failed(RIDD_INVALID, true, "a callback must not wait: see ridd_async(3)");
    c->is_processing = true; /* nobody needs to be woken: it is looked at now */
    if (request_start(c, op, keep, &reply, connect_only) == 0) {
        c->is_processing = false;
        return refused(c->refused);
    }
    while (reply == NULL && loop_turn(c, -1))
        continue;
    return reply;
}

struct ridd_reply *ridd_call(struct ridd *client, const struct ridd_op *op)
{
    return wait_for(client, op, false);
}

/* ---- reads ---- */

struct ridd_reply *ridd_get(struct ridd *client, struct ridd_key key, enum ridd_via via)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);

    op.key = key;
    op.via = via;
    return ridd_call(client, &op);
}

struct ridd_reply *ridd_linearizable_read(struct ridd *client, struct ridd_key key)
{
    bool any_node = (client->flags & RIDD_FLAG_SPREAD) != 0 || client->prefer != NULL;
    struct ridd_reply *r =
        ridd_get(client, key, any_node ? RIDD_VIA_FOLLOWER : RIDD_VIA_READ_INDEX);

    if (r->status == RIDD_OK && !r->linearizable)
        reply_fail(r, RIDD_BAD_REPLY, true, "%s did not say that its answer is linearizable",
                   r->endpoint);
    return r;
}

struct ridd_reply *ridd_batch_get(struct ridd *client, const struct ridd_key *keys, size_t n_keys)
{
    struct ridd_op op = ridd_op(RIDD_OP_BATCH);

    op.keys = keys;
    op.n_keys = n_keys;
    return ridd_call(client, &op);
}

/* ---- writes ---- */

struct ridd_reply *ridd_put_value(struct ridd *client, struct ridd_key key, struct ridd_value value)
{
    struct ridd_op op = ridd_op(RIDD_OP_PUT);

    op.key = key;
    op.value = value;
    return ridd_call(client, &op);
}

struct ridd_reply *ridd_put(struct ridd *client, struct ridd_key key, const char *json)
{
    return ridd_put_value(client, key, ridd_value_json(json));
}

struct ridd_reply *ridd_del(struct ridd *client, struct ridd_key key)
{
    struct ridd_op op = ridd_op(RIDD_OP_DELETE);

    op.key = key;
    return ridd_call(client, &op);
}

struct ridd_reply *ridd_cas_value(struct ridd *client, struct ridd_key key, struct ridd_value from,
                                  struct ridd_value to, int create)
{
    struct ridd_op op = ridd_op(RIDD_OP_CAS);

    op.key = key;
    op.from = from;
    op.value = to;
    op.create = create;
    return ridd_call(client, &op);
}

struct ridd_reply *ridd_cas(struct ridd *client, struct ridd_key key, const char *from,
                            const char *to, int create)
{
    return ridd_cas_value(client, key, ridd_value_json(from), ridd_value_json(to), create);
}

/* ---- the cluster ---- */

/* Of one node: none is RIDD_INVALID. */
static struct ridd_reply *call_at(struct ridd *client, const char *endpoint, struct ridd_op *op)
{
    op->node = endpoint != NULL ? endpoint : "";
    return ridd_call(client, op);
}

struct ridd_reply *ridd_status(struct ridd *client, const char *endpoint)
{
    struct ridd_op op = ridd_op(RIDD_OP_STATUS);

    return call_at(client, endpoint, &op);
}

struct ridd_reply *ridd_transfer(struct ridd *client, const char *to)
{
    struct ridd_op op = ridd_op(RIDD_OP_TRANSFER);

    op.to = to;
    return ridd_call(client, &op);
}

struct ridd_reply *ridd_snapshot(struct ridd *client, const char *endpoint)
{
    struct ridd_op op = ridd_op(RIDD_OP_SNAPSHOT);

    return call_at(client, endpoint, &op);
}

struct ridd_reply *ridd_snapshot_part(struct ridd *client, uint64_t index, uint64_t term,
                                      uint64_t offset)
{
    struct ridd_op op = ridd_op(RIDD_OP_SNAPSHOT_PART);

    op.index = index;
    op.term = term;
    op.offset = offset;
    return ridd_call(client, &op);
}

static struct ridd_op raw(const char *json, enum ridd_kind kind, unsigned timeout_ms)
{
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);

    op.json = json;
    op.kind = kind;
    op.timeout_ms = timeout_ms;
    return op;
}

struct ridd_reply *ridd_request(struct ridd *client, const char *json, enum ridd_kind kind,
                                unsigned timeout_ms)
{
    struct ridd_op op = raw(json, kind, timeout_ms);

    return ridd_call(client, &op);
}

struct ridd_reply *ridd_request_at(struct ridd *client, const char *endpoint, const char *json,
                                   enum ridd_kind kind, unsigned timeout_ms)
{
    struct ridd_op op = raw(json, kind, timeout_ms);

    return call_at(client, endpoint, &op);
}

struct ridd_reply *ridd_connect(struct ridd *client, int *ret_fd)
{
    struct ridd_op op = ridd_op(RIDD_OP_PING); /* is not sent */
    struct ridd_reply *r = wait_for(client, &op, true);

    *ret_fd = -1;
    if (r->status == RIDD_OK)
        *ret_fd = take_fd(reply_box(r)->fd);
    return r;
}
