/* Which role a request needs, and the refusal of one whose connection has not got it.
 *
 * The table knows nothing of sockets: who has which role says the host (service_ops.role), by the
 * credentials of a local client today. */
#include <stdio.h>

#include "base/assert.h"
#include "service/service_int.h"

#include "base/banned.h"

/* A row for each type that a client can name (ACCESS-1). What has none is refused to all but
 * admins, and tests/unit/test-service.c fails. */
static const enum service_role needed[] = {
    [WIRE_REQ_READ_INDEX] = SERVICE_READ,
    [WIRE_REQ_READ_VIA_LOG] = SERVICE_READ,
    [WIRE_REQ_COMPARE] = SERVICE_READ, /* and more: below */
    [WIRE_REQ_BATCH_READ_INDEX] = SERVICE_READ,
    [WIRE_REQ_FOLLOWER_READ] = SERVICE_READ,
    [WIRE_REQ_LEASE_READ] = SERVICE_READ,
    [WIRE_REQ_LOCAL_READ] = SERVICE_READ,
    [WIRE_REQ_READ] = SERVICE_READ,
    [WIRE_REQ_SCAN] = SERVICE_READ,
    [WIRE_REQ_WRITE] = SERVICE_WRITE,
    [WIRE_REQ_CAS] = SERVICE_WRITE,
    [WIRE_REQ_DELETE] = SERVICE_WRITE,
    [WIRE_REQ_OPEN_SESSION] = SERVICE_WRITE,
    [WIRE_REQ_INIT] = SERVICE_ADMIN,
    [WIRE_REQ_PING] = SERVICE_READ,
    [WIRE_REQ_STATUS] = SERVICE_READ,
    [WIRE_REQ_MEMBERS] = SERVICE_READ,
    [WIRE_REQ_EVENTS] = SERVICE_READ,
    [WIRE_REQ_SLOW] = SERVICE_READ,
    [WIRE_REQ_TRANSFER_LEADER] = SERVICE_ADMIN,
    [WIRE_REQ_SNAPSHOT] = SERVICE_ADMIN,
    [WIRE_REQ_SNAPSHOT_PART] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_ADD] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_REMOVE] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_PROMOTE] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_DEMOTE] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_SET_ADDR] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_REPLACE] = SERVICE_ADMIN,
    [WIRE_REQ_MEMBER_REJOIN] = SERVICE_ADMIN,
    [WIRE_REQ_UNKNOWN] = SERVICE_READ, /* it is refused by name in any case */
    [WIRE_REQ_PEER] = SERVICE_READ,    /* likewise */
};
#define N_NEEDED (sizeof(needed) / sizeof(needed[0]))
static_assert(N_NEEDED == WIRE_REQ_PEER + 1, "each type of request needs a row here");

const char *service_role_name(enum service_role role)
{
    static const char *const names[] = {[SERVICE_NONE] = "none",
                                        [SERVICE_READ] = "read",
                                        [SERVICE_WRITE] = "write",
                                        [SERVICE_ADMIN] = "admin"};

    return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : "none";
}

enum service_role service_role_of_type(enum wire_request_type type)
{
    return (size_t)type < N_NEEDED ? needed[type] : SERVICE_NONE;
}

enum service_role service_role_needed(const struct wire_request *q)
{
    const enum service_role role = service_role_of_type(q->type);

    /* A long comparison keeps the cluster busy. */
    if (q->type == WIRE_REQ_COMPARE && q->num_reads > ACCESS_COMPARE_READS)
        return SERVICE_ADMIN;
    return role != SERVICE_NONE ? role : SERVICE_ADMIN;
}

static void refuse(struct service_conn *c, const struct wire_request *q, enum service_role has,
                   enum service_role role)
{
    struct service *s = c->service;
    struct buf *out;
    struct wire_reply w;
    char who[128] = "unknown";
    char text[320];

    if (s->ops.denied != NULL)
        s->ops.denied(s->ops.ctx, c->host, q, role, who, sizeof(who));
    out = service_out(c);
    if (out == NULL)
        return;
    (void)snprintf(text, sizeof(text),
                   "this needs the role '%s', and %s has '%s' on this node's socket; see [access] "
                   "in ridd.conf(5)",
                   service_role_name(role), who, service_role_name(has));
    service_begin_error(s, &w, out, &q->origin, WIRE_ERROR_DENIED, false, text);
    wire_reply_str(&w, "role", service_role_name(role));
    wire_reply_str(&w, "identity", who);
    service_end(s, &w, &q->origin);
}

/* Before anything is asked or kept for the request, and for each anew: what was allowed when the
 * connection was opened may not be any more (ACCESS-3). */
bool service_may(struct service_conn *c, const struct wire_request *q)
{
    const struct service_ops *ops = &c->service->ops;
    const enum service_role role = service_role_needed(q);
    enum service_role has;

    if (ops->role == NULL)
        return true;
    has = ops->role(ops->ctx, c->host);
    if (has >= role)
        return true;
    refuse(c, q, has, role);
    return false;
}
