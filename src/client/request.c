/* The calls of ridd.h as requests. A request is checked here as far as it can be without a server,
 * so that a mistake of the program is told at once and by name; limits that an operator may change
 * are left to the server. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* What a builder says besides 0: why there is no request to send. */
enum build {
    BUILD_NO_MEMORY = -ENOMEM,
    BUILD_INVALID = 1, /* what was given cannot be asked */
};

enum ridd_status ridd_json_string(const char *text, size_t len, char **ret_json)
{
    cleanup_json json_t *s = NULL;
    char *json;

    if (text == NULL || memchr(text, '\0', len) != NULL)
        return RIDD_INVALID;
    s = json_stringn(text, len);
    if (s == NULL) {
        cleanup_json json_t *probe = json_string("");

        return probe == NULL ? RIDD_NO_MEMORY : RIDD_INVALID; /* not UTF-8 */
    }
    json = json_dumps(s, JSON_ENCODE_ANY | JSON_COMPACT);
    if (json == NULL)
        return RIDD_NO_MEMORY;
    *ret_json = json;
    return RIDD_OK;
}

static int build_key(struct buf *body, struct ridd_key key, struct ridd_reply *r)
{
    cleanup_free char *json = NULL;
    size_t len;

    if (key.string == NULL)
        return buf_add_format(body, "%lld", (long long)key.integer);
    len = strlen(key.string);
    if (len == 0 || len > KEY_STRING_BYTES_MAX) {
        reply_fail(r, RIDD_INVALID, true, "a key has 1 to %u bytes, this one has %zu",
                   KEY_STRING_BYTES_MAX, len);
        return BUILD_INVALID;
    }
    switch ((int)ridd_json_string(key.string, len, &json)) {
    case RIDD_OK:
        return buf_add_str(body, json);
    case RIDD_INVALID:
        reply_fail(r, RIDD_INVALID, true, "the key is not UTF-8");
        return BUILD_INVALID;
    default:
        return BUILD_NO_MEMORY;
    }
}

static int build_value(struct buf *body, const char *name, const char *json, struct ridd_reply *r)
{
    json_error_t error;
    cleanup_json json_t *v = NULL;

    if (json == NULL) {
        reply_fail(r, RIDD_INVALID, true, "%s is missing", name);
        return BUILD_INVALID;
    }
    v = json_loads(json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (v == NULL) {
        if (json_lacks_memory(error))
            return BUILD_NO_MEMORY;
        reply_fail(r, RIDD_INVALID, true, "%s is not JSON: %s", name, error.text);
        return BUILD_INVALID;
    }
    if (buf_add_format(body, ",\"%s\":", name) != 0)
        return BUILD_NO_MEMORY;
    return slice_compact((struct slice){json, strlen(json)}, body);
}

/* Runs what was built, or explains why it was not. Takes the body. */
static struct ridd_reply *finish(struct ridd *client, int built, struct call *call,
                                 struct ridd_reply *r)
{
    if (built == 0) {
        ridd_reply_free(r);
        r = call_run(client, call);
    } else if (built == BUILD_NO_MEMORY) {
        ridd_reply_free(r);
        r = reply_no_memory();
    }
    buf_done(&call->body);
    return r;
}

static struct call call_for(const struct ridd *client, enum ridd_kind kind, const char *expect)
{
    return (struct call){
        .body = BUF_INIT, .expect = expect, .kind = kind, .timeout_ms = client->timeout_ms};
}

const char *ridd_via_name(enum ridd_via via)
{
    static const char *const names[] = {"default", "read_index", "log",
                                        "lease",   "follower",   "local"};

    return (unsigned)via < sizeof(names) / sizeof(names[0]) ? names[via] : NULL;
}

struct ridd_reply *ridd_get(struct ridd *client, struct ridd_key key, enum ridd_via via)
{
    static const struct {
        const char *type;
        const char *expect;
    } types[] = {
        {"read", "read_ok"},
        {"read_index", "read_index_ok"},
        {"read_via_log", "read_via_log_ok"},
        {"lease_read", "lease_read_ok"},
        {"follower_read", "follower_read_ok"},
        {"local_read", "local_read_ok"},
    };
    struct ridd_reply *r = reply_new();
    struct call call;
    int built;

    if (reply_is_const(r))
        return r;
    if (ridd_via_name(via) == NULL) {
        reply_fail(r, RIDD_INVALID, true, "no such read method: %d", (int)via);
        return r;
    }
    call = call_for(client, RIDD_KIND_READ, types[via].expect);
    built = buf_add_format(&call.body, "{\"type\":\"%s\",\"key\":", types[via].type);
    if (built == 0)
        built = build_key(&call.body, key, r);
    /* Only the verbose form tells an absent key from a stored null. */
    if (built == 0)
        built = buf_add_str(&call.body, ",\"verbose\":true");
    r = finish(client, built, &call, r);
    if (via == RIDD_VIA_DEFAULT && r->status == RIDD_KEY_NOT_FOUND && !reply_is_const(r)) {
        /* `read` says by an error what the other methods say by "exists". */
        r->status = RIDD_OK;
        r->cause = RIDD_OK;
        r->text[0] = '\0';
        r->definite = 1;
        r->value = "null";
        r->value_len = 4;
    }
    return r;
}

struct ridd_reply *ridd_batch_get(struct ridd *client, const struct ridd_key *keys, size_t n_keys)
{
    struct ridd_reply *r = reply_new();
    struct call call;
    int built;

    if (reply_is_const(r))
        return r;
    if (keys == NULL || n_keys == 0 || n_keys > BATCH_KEYS_MAX) {
        reply_fail(r, RIDD_INVALID, true, "a batch has 1 to %u keys, this one has %zu",
                   BATCH_KEYS_MAX, n_keys);
        return r;
    }
    call = call_for(client, RIDD_KIND_READ, "batch_read_index_ok");
    built = buf_add_str(&call.body, "{\"type\":\"batch_read_index\",\"keys\":[");
    for (size_t i = 0; built == 0 && i < n_keys; i++) {
        if (i > 0)
            built = buf_add_str(&call.body, ",");
        if (built == 0)
            built = build_key(&call.body, keys[i], r);
    }
    if (built == 0)
        built = buf_add_str(&call.body, "],\"verbose\":true");
    r = finish(client, built, &call, r);
    if (r->status == RIDD_OK && r->n_items != n_keys)
        reply_fail(r, RIDD_BAD_REPLY, true, "%zu values came back for %zu keys", r->n_items,
                   n_keys);
    return r;
}

struct ridd_reply *ridd_put(struct ridd *client, struct ridd_key key, const char *json)
{
    struct ridd_reply *r = reply_new();
    struct call call = call_for(client, RIDD_KIND_WRITE, "write_ok");
    int built;

    if (reply_is_const(r))
        return r;
    built = buf_add_str(&call.body, "{\"type\":\"write\",\"key\":");
    if (built == 0)
        built = build_key(&call.body, key, r);
    if (built == 0)
        built = build_value(&call.body, "value", json, r);
    if (built == 0)
        built = buf_add_str(&call.body, ",\"verbose\":true");
    return finish(client, built, &call, r);
}

struct ridd_reply *ridd_del(struct ridd *client, struct ridd_key key)
{
    struct ridd_reply *r = reply_new();
    struct call call = call_for(client, RIDD_KIND_WRITE, "delete_ok");
    int built;

    if (reply_is_const(r))
        return r;
    built = buf_add_str(&call.body, "{\"type\":\"delete\",\"key\":");
    if (built == 0)
        built = build_key(&call.body, key, r);
    if (built == 0)
        built = buf_add_str(&call.body, ",\"verbose\":true");
    return finish(client, built, &call, r);
}

struct ridd_reply *ridd_cas(struct ridd *client, struct ridd_key key, const char *from,
                            const char *to, int create)
{
    struct ridd_reply *r = reply_new();
    struct call call = call_for(client, RIDD_KIND_WRITE, "cas_ok");
    int built;

    if (reply_is_const(r))
        return r;
    built = buf_add_str(&call.body, "{\"type\":\"cas\",\"key\":");
    if (built == 0)
        built = build_key(&call.body, key, r);
    if (built == 0)
        built = build_value(&call.body, "from", from, r);
    if (built == 0)
        built = build_value(&call.body, "to", to, r);
    if (built == 0 && create)
        built = buf_add_str(&call.body, ",\"create_if_not_exists\":true");
    if (built == 0)
        built = buf_add_str(&call.body, ",\"verbose\":true");
    return finish(client, built, &call, r);
}

struct ridd_reply *ridd_status(struct ridd *client, const char *endpoint)
{
    return ridd_request_at(client, endpoint, "{\"type\":\"status\"}", RIDD_KIND_READ, 0);
}

struct ridd_reply *ridd_transfer(struct ridd *client, const char *to)
{
    struct ridd_reply *r = reply_new();
    struct call call = call_for(client, RIDD_KIND_ONCE, "transfer_leader_ok");
    int built;

    if (reply_is_const(r))
        return r;
    built = buf_add_str(&call.body, "{\"type\":\"transfer_leader\"");
    if (built == 0 && to != NULL) {
        cleanup_free char *json = NULL;
        enum ridd_status status = ridd_json_string(to, strlen(to), &json);

        if (status == RIDD_OK) {
            built = buf_add_format(&call.body, ",\"to\":%s", json);
        } else if (status == RIDD_INVALID) {
            reply_fail(r, RIDD_INVALID, true, "the node's name is not UTF-8");
            built = BUILD_INVALID;
        } else {
            built = BUILD_NO_MEMORY;
        }
    }
    return finish(client, built, &call, r);
}

struct ridd_reply *ridd_snapshot(struct ridd *client, const char *endpoint)
{
    return ridd_request_at(client, endpoint, "{\"type\":\"snapshot\"}", RIDD_KIND_READ, 0);
}

struct ridd_reply *ridd_snapshot_part(struct ridd *client, uint64_t index, uint64_t term,
                                      uint64_t offset)
{
    struct ridd_reply *r = reply_new();
    struct call call = call_for(client, RIDD_KIND_READ, "snapshot_part_ok");
    int built;

    if (reply_is_const(r))
        return r;
    built = buf_add_format(&call.body, "{\"type\":\"snapshot_part\",\"offset\":%llu",
                           (unsigned long long)offset);
    if (built == 0 && (index != 0 || term != 0))
        built = buf_add_format(&call.body, ",\"index\":%llu,\"term\":%llu",
                               (unsigned long long)index, (unsigned long long)term);
    return finish(client, built, &call, r);
}

/* The caller's object, checked and compact, without its closing brace; and the type that its
 * success would have. */
static int build_raw(struct call *call, const char *json, struct ridd_reply *r, char *ret_expect,
                     size_t expect_size)
{
    json_error_t error;
    cleanup_json json_t *o = json != NULL ? json_loads(json, JSON_REJECT_DUPLICATES, &error) : NULL;
    const char *type;
    int built;

    if (!json_is_object(o)) {
        if (json != NULL && o == NULL && json_lacks_memory(error))
            return BUILD_NO_MEMORY;
        reply_fail(r, RIDD_INVALID, true, "a request is one JSON object");
        return BUILD_INVALID;
    }
    type = json_string_value(json_object_get(o, "type"));
    if (type == NULL || strlen(type) + 4 > expect_size) {
        reply_fail(r, RIDD_INVALID, true, "the request has no usable \"type\"");
        return BUILD_INVALID;
    }
    if (json_object_get(o, "msg_id") != NULL) {
        reply_fail(r, RIDD_INVALID, true, "\"msg_id\" is given by the library");
        return BUILD_INVALID;
    }
    if (json_object_get(o, "timeout_ms") != NULL)
        call->own_timeout = true;
    (void)snprintf(ret_expect, expect_size, strcmp(type, "ping") == 0 ? "pong" : "%s_ok", type);
    built = slice_compact((struct slice){json, strlen(json)}, &call->body);
    if (built == 0)
        call->body.len--; /* the brace, last in compact text */
    return built;
}

static struct ridd_reply *request(struct ridd *client, const char *endpoint, const char *json,
                                  enum ridd_kind kind, unsigned timeout_ms, bool at)
{
    struct ridd_reply *r = reply_new();
    struct call call;
    struct endpoint only;
    char expect[128];
    char why[RIDD_TEXT_SIZE];

    if (reply_is_const(r))
        return r;
    call = call_for(client, kind, expect);
    if (at && (endpoint == NULL ||
               !endpoint_parse(endpoint, strlen(endpoint), &only, why, sizeof(why)))) {
        reply_fail(r, RIDD_INVALID, true, "%s", endpoint == NULL ? "no endpoint given" : why);
        return r;
    }
    if (timeout_ms > CALL_LONG_TIMEOUT_MS_MAX) {
        reply_fail(r, RIDD_INVALID, true, "timeout_ms is at most %u", CALL_LONG_TIMEOUT_MS_MAX);
        return r;
    }
    if (timeout_ms > 0)
        call.timeout_ms = timeout_ms;
    call.only = at ? &only : NULL;
    call.own_timeout = call.timeout_ms > TIMEOUT_MS_MAX;
    return finish(client, build_raw(&call, json, r, expect, sizeof(expect)), &call, r);
}

struct ridd_reply *ridd_request(struct ridd *client, const char *json, enum ridd_kind kind,
                                unsigned timeout_ms)
{
    return request(client, NULL, json, kind, timeout_ms, false);
}

struct ridd_reply *ridd_request_at(struct ridd *client, const char *endpoint, const char *json,
                                   enum ridd_kind kind, unsigned timeout_ms)
{
    return request(client, endpoint, json, kind, timeout_ms, true);
}
