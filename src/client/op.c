/* A struct ridd_op as JSON. It is checked here as far as it can be without a server, and copied:
 * what it points at may go when the request was begun. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

const char *ridd_via_name(enum ridd_via via)
{
    static const char *const names[] = {"default", "read_index", "log",
                                        "lease",   "follower",   "local"};

    return (unsigned)via < sizeof(names) / sizeof(names[0]) ? names[via] : NULL;
}

static int invalid(struct ridd_reply *why, const char *text)
{
    reply_fail(why, RIDD_INVALID, true, "%s", text);
    return BUILD_INVALID;
}

static int begin(struct request *r, enum ridd_kind kind, const char *type)
{
    r->kind = kind;
    (void)snprintf(r->expect, sizeof(r->expect), strcmp(type, "ping") == 0 ? "pong" : "%s_ok",
                   type);
    return buf_add_format(&r->body, "{\"type\":\"%s\"", type);
}

static int add_key(struct request *r, const char *name, struct ridd_key key, struct ridd_reply *why)
{
    if (buf_add_format(&r->body, ",\"%s\":", name) != 0)
        return BUILD_NO_MEMORY;
    return build_key(&r->body, key, why);
}

static int add_text(struct request *r, const char *name, const char *text, struct ridd_reply *why)
{
    if (buf_add_format(&r->body, ",\"%s\":", name) != 0)
        return BUILD_NO_MEMORY;
    return build_string(&r->body, text, strlen(text), name, why);
}

/* Only the verbose form tells an absent key from a stored null, and the index of a write. */
static int add_verbose(struct request *r)
{
    return buf_add_str(&r->body, ",\"verbose\":true");
}

/* ---- reads ---- */

static bool is_any_node(enum ridd_via via)
{
    return via == RIDD_VIA_DEFAULT || via == RIDD_VIA_FOLLOWER || via == RIDD_VIA_LOCAL;
}

bool cluster_ok(const char *text)
{
    return strspn(text, "0123456789abcdef") == RIDD_CLUSTER_SIZE - 1 &&
           text[RIDD_CLUSTER_SIZE - 1] == '\0';
}

/* What says how old an answer may be is of reads that need not be of now. */
static int check_age(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    bool is_local = op->via == RIDD_VIA_LOCAL;

    if (ridd_via_name(op->via) == NULL) {
        reply_fail(why, RIDD_INVALID, true, "no such read method: %d", (int)op->via);
        return BUILD_INVALID;
    }
    if (op->max_stale_ms != 0 && (!is_local || op->type == RIDD_OP_SCAN))
        return invalid(why, "max_stale_ms is for a local read of one key");
    if ((op->min_index != 0 || op->cluster != NULL) && !is_local && op->type != RIDD_OP_SCAN)
        return invalid(why, "min_index and cluster are for local reads and scans");
    if (op->min_index > INT64_MAX)
        return invalid(why, "min_index is no index");
    if (op->cluster != NULL && !cluster_ok(op->cluster))
        return invalid(why, "cluster is no hash of a cluster: 16 digits, 0 to 9 and a to f");
    r->any_node = is_any_node(op->via);
    r->min_index = op->min_index;
    r->max_stale_ms = op->max_stale_ms;
    if (op->cluster != NULL)
        (void)snprintf(r->cluster, sizeof(r->cluster), "%s", op->cluster);
    return 0;
}

static int build_get(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    static const char *const types[] = {"read",       "read_index",    "read_via_log",
                                        "lease_read", "follower_read", "local_read"};
    int built = check_age(op, r, why);

    if (built == 0)
        built = begin(r, RIDD_KIND_READ, types[op->via]);
    if (built == 0)
        built = build_key(&r->key, op->key, why);
    if (built == 0)
        built = buf_add_str(&r->body, ",\"key\":");
    if (built == 0)
        built = buf_add(&r->body, r->key.data, r->key.len);
    return built == 0 ? add_verbose(r) : built;
}

static int build_batch(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built;

    if (op->keys == NULL || op->n_keys == 0 || op->n_keys > BATCH_KEYS_MAX) {
        reply_fail(why, RIDD_INVALID, true, "a batch has 1 to %u keys, this one has %zu",
                   BATCH_KEYS_MAX, op->n_keys);
        return BUILD_INVALID;
    }
    r->n_keys = op->n_keys;
    built = begin(r, RIDD_KIND_READ, "batch_read_index");
    if (built == 0)
        built = buf_add_str(&r->body, ",\"keys\":[");
    for (size_t i = 0; built == 0 && i < op->n_keys; i++) {
        if (i > 0)
            built = buf_add_str(&r->body, ",");
        if (built == 0)
            built = build_key(&r->body, op->keys[i], why);
    }
    if (built == 0)
        built = buf_add_str(&r->body, "]");
    return built == 0 ? add_verbose(r) : built;
}

static int add_range(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    static const char *const names[] = {"start", "end", "after"};
    const struct ridd_key *const keys[] = {op->start, op->end, op->after};
    int built = 0;

    if (op->prefix != NULL)
        built = add_text(r, "prefix", op->prefix, why);
    for (size_t i = 0; built == 0 && i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i] == NULL)
            continue;
        if ((keys[i]->string == NULL) != (op->int_keys != 0))
            return invalid(why, "start, end and after are keys of the kind that is scanned");
        built = add_key(r, names[i], *keys[i], why);
    }
    return built;
}

static int build_scan(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = check_age(op, r, why);

    if (built == 0 && op->prefix != NULL && (op->start != NULL || op->end != NULL || op->int_keys))
        built = invalid(why, "a prefix stands alone, without start, end and integer keys");
    if (built == 0)
        built = begin(r, RIDD_KIND_READ, "scan");
    if (built == 0)
        built = add_range(op, r, why);
    if (built == 0 && op->limit != 0)
        built = buf_add_format(&r->body, ",\"limit\":%u", op->limit);
    if (built == 0 && op->keys_only)
        built = buf_add_str(&r->body, ",\"keys_only\":true");
    if (built == 0 && op->int_keys)
        built = buf_add_str(&r->body, ",\"int_keys\":true");
    if (built == 0 && op->via != RIDD_VIA_DEFAULT)
        built = buf_add_format(&r->body, ",\"via\":\"%s\"", ridd_via_name(op->via));
    return built == 0 ? add_verbose(r) : built;
}

/* ---- writes ---- */

static int build_put(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = begin(r, RIDD_KIND_WRITE, "write");

    if (built == 0)
        built = add_key(r, "key", op->key, why);
    if (built == 0)
        built = build_value(&r->body, "value", &op->value, why);
    return built == 0 ? add_verbose(r) : built;
}

static int build_cas(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = begin(r, RIDD_KIND_WRITE, "cas");

    if (built == 0)
        built = add_key(r, "key", op->key, why);
    if (built == 0)
        built = build_value(&r->body, "from", &op->from, why);
    if (built == 0)
        built = build_value(&r->body, "to", &op->value, why);
    if (built == 0 && op->create)
        built = buf_add_str(&r->body, ",\"create_if_not_exists\":true");
    return built == 0 ? add_verbose(r) : built;
}

static int build_delete(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = begin(r, RIDD_KIND_WRITE, "delete");

    if (built == 0)
        built = add_key(r, "key", op->key, why);
    return built == 0 ? add_verbose(r) : built;
}

/* ---- the cluster ---- */

static int build_transfer(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = begin(r, RIDD_KIND_ONCE, "transfer_leader");

    return built == 0 && op->to != NULL ? add_text(r, "to", op->to, why) : built;
}

static int build_part(const struct ridd_op *op, struct request *r)
{
    int built = begin(r, RIDD_KIND_READ, "snapshot_part");

    if (built == 0)
        built = buf_add_format(&r->body, ",\"offset\":%llu", (unsigned long long)op->offset);
    if (built == 0 && (op->index != 0 || op->term != 0))
        built = buf_add_format(&r->body, ",\"index\":%llu,\"term\":%llu",
                               (unsigned long long)op->index, (unsigned long long)op->term);
    return built;
}

/* The caller's object, checked and compact, without its closing brace; and the type that its
 * success would have. */
static int build_request(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    const char *json = op->json;
    json_error_t error;
    cleanup_json json_t *o = json != NULL ? json_loads(json, JSON_REJECT_DUPLICATES, &error) : NULL;
    const char *type;
    int built;

    if (!json_is_object(o)) {
        if (json != NULL && o == NULL && json_lacks_memory(error))
            return BUILD_NO_MEMORY;
        return invalid(why, "a request is one JSON object");
    }
    type = json_string_value(json_object_get(o, "type"));
    if (type == NULL || strlen(type) + 4 > sizeof(r->expect))
        return invalid(why, "the request has no usable \"type\"");
    if (json_object_get(o, "msg_id") != NULL)
        return invalid(why, "\"msg_id\" is given by the library");
    r->own_timeout = json_object_get(o, "timeout_ms") != NULL;
    built = begin(r, op->kind, type);
    r->body.len = 0;
    if (built == 0)
        built = slice_compact((struct slice){json, strlen(json)}, &r->body);
    if (built == 0)
        r->body.len--; /* the brace, last in compact text */
    return built;
}

static int build_type(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    switch (op->type) {
    case RIDD_OP_GET:
        return build_get(op, r, why);
    case RIDD_OP_BATCH:
        return build_batch(op, r, why);
    case RIDD_OP_SCAN:
        return build_scan(op, r, why);
    case RIDD_OP_PUT:
        return build_put(op, r, why);
    case RIDD_OP_CAS:
        return build_cas(op, r, why);
    case RIDD_OP_DELETE:
        return build_delete(op, r, why);
    case RIDD_OP_TRANSFER:
        return build_transfer(op, r, why);
    case RIDD_OP_STATUS:
        return begin(r, RIDD_KIND_READ, "status");
    case RIDD_OP_MEMBERS:
        return begin(r, RIDD_KIND_READ, "members");
    case RIDD_OP_SNAPSHOT:
        return begin(r, RIDD_KIND_READ, "snapshot");
    case RIDD_OP_SNAPSHOT_PART:
        return build_part(op, r);
    case RIDD_OP_REQUEST:
        return build_request(op, r, why);
    case RIDD_OP_PING:
        return begin(r, RIDD_KIND_READ, "ping");
    }
    return invalid(why, "no such request");
}

/* ---- where and how long ---- */

static int build_node(const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    char text[RIDD_TEXT_SIZE];

    if (op->node == NULL)
        return 0;
    r->only = malloc(sizeof(*r->only));
    if (r->only == NULL)
        return BUILD_NO_MEMORY;
    if (!endpoint_parse(op->node, strlen(op->node), r->only, text, sizeof(text)))
        return invalid(why, text);
    return 0;
}

int op_build(struct ridd *c, const struct ridd_op *op, struct request *r, struct ridd_reply *why)
{
    int built = build_node(op, r, why);

    if (built != 0)
        return built;
    if (op->timeout_ms > CALL_LONG_TIMEOUT_MS_MAX) {
        reply_fail(why, RIDD_INVALID, true, "timeout_ms is at most %u", CALL_LONG_TIMEOUT_MS_MAX);
        return BUILD_INVALID;
    }
    r->retry = c->retry;
    if (op->retry != NULL && !retry_resolve(op->retry, &r->retry))
        return invalid(why, "the retry policy is none: see ridd_retry(3)");
    r->type = op->type;
    r->via = op->via;
    r->timeout_ms = op->timeout_ms > 0 ? op->timeout_ms : c->timeout_ms;
    built = build_type(op, r, why);
    r->own_timeout = r->own_timeout || r->timeout_ms > TIMEOUT_MS_MAX;
    return built;
}

/* ---- the line of an attempt ---- */

/* Milliseconds for the server: it must answer before we stop listening, so that we hear why it
 * failed. */
static unsigned server_timeout_ms(uint64_t deadline_us, uint64_t now_us)
{
    uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 0;
    uint64_t ms = (left_us - min_u64(left_us / 10, CALL_SERVER_RESERVE_US)) / 1000;

    return ms == 0 ? 1 : (unsigned)min_u64(ms, TIMEOUT_MS_MAX);
}

/* How far the node must have come: what the caller said, and what this client has seen of the same
 * cluster (ASYNC-12). */
static int add_token(struct request *r, struct buf *line)
{
    const struct ridd_token *token = &r->client->token;
    const char *cluster = r->cluster;
    uint64_t min_index = r->min_index;

    if (r->via == RIDD_VIA_LOCAL && (r->client->flags & RIDD_FLAG_MONOTONIC) != 0 &&
        (cluster[0] == '\0' || strcmp(cluster, token->cluster) == 0)) {
        min_index = max_u64(min_index, token->index);
        cluster = token->cluster;
    }
    r->asked_index = min_index;
    if (min_index != 0 &&
        buf_add_format(line, ",\"min_index\":%llu", (unsigned long long)min_index) != 0)
        return -ENOMEM;
    return cluster[0] != '\0' ? buf_add_format(line, ",\"cluster\":\"%s\"", cluster) : 0;
}

/* Of a read that a leader spared itself: what it has confirmed for this very request is the anchor,
 * and a node that has come so far answers as of now (ASYNC-15). */
static int add_body(struct request *r, struct buf *line)
{
    int rc;

    if (r->anchor == 0) {
        rc = buf_add(line, r->body.data, r->body.len);
        if (rc == 0)
            rc = add_token(r, line);
        if (rc == 0 && r->max_stale_ms != 0)
            rc = buf_add_format(line, ",\"max_stale_ms\":%u", r->max_stale_ms);
        return rc;
    }
    if (buf_add_str(line, "{\"type\":\"local_read\",\"key\":") != 0 ||
        buf_add(line, r->key.data, r->key.len) != 0)
        return -ENOMEM;
    rc =
        buf_add_format(line, ",\"verbose\":true,\"min_index\":%llu", (unsigned long long)r->anchor);
    if (rc == 0 && cluster_ok(r->anchor_cluster))
        rc = buf_add_format(line, ",\"cluster\":\"%s\"", r->anchor_cluster);
    return rc;
}

int op_line(struct request *r, uint64_t msg_id, uint64_t now_us, struct buf *line)
{
    int rc = add_body(r, line);

    if (rc == 0 && r->session[0] != '\0')
        rc = session_add_fields(r, line);
    if (rc == 0 && !r->own_timeout)
        rc = buf_add_format(line, ",\"timeout_ms\":%u", server_timeout_ms(r->attempt_us, now_us));
    if (rc == 0)
        rc = buf_add_format(line, ",\"msg_id\":%llu}\n", (unsigned long long)msg_id);
    return rc;
}
