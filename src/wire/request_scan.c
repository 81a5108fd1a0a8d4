/* What a session has seen, and a range of keys: the bounds that a client names become two in the
 * form of keys as stored, between which there is nothing but what it may be given (SCAN-4). */
#include "wire/request_int.h"

#include <inttypes.h>

#include "base/bytes.h"

#include "base/banned.h"

static_assert(KEY_STRING_BYTES_MAX + 1 <= KEY_BYTES_MAX, "a bound is no longer than a key");

/* ---- tokens ---- */

int wire_request_take_token(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *index = json_object_get(body, "min_index");
    const json_t *cluster = json_object_get(body, "cluster");
    const size_t len = json_string_length(cluster); /* 0 if it is no string */

    if (index != NULL) {
        if (!json_is_integer(index) || json_integer_value(index) < 0 ||
            (uint64_t)json_integer_value(index) > RAFT_INDEX_MAX)
            return wire_refuse(d, WIRE_ERROR_MALFORMED, "min_index", RAFT_INDEX_MAX,
                               "'min_index' must be an integer from 0 to %" PRIu64, RAFT_INDEX_MAX);
        ret->min_index = (uint64_t)json_integer_value(index);
    }
    if (cluster == NULL)
        return 0;
    if (len < 1 || len > CLUSTER_HASH_BYTES_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "cluster", CLUSTER_HASH_BYTES_MAX,
                           "'cluster' must be the cluster_hash that status shows, a string of 1 to "
                           "%u bytes",
                           CLUSTER_HASH_BYTES_MAX);
    ret->cluster = (struct wire_slice){json_string_value(cluster), len};
    return 0;
}

/* ---- bounds ---- */

static void bound_at(struct wire_key *key, char type)
{
    key->bytes[0] = (unsigned char)type;
    key->len = 1;
}

/* Behind everything that begins with it: the last byte that can be is one more. No byte of UTF-8 is
 * 0xff, and no type either. */
static void bound_behind(struct wire_key *key, const struct wire_key *prefix)
{
    *key = *prefix;
    key->bytes[key->len - 1]++;
}

static int compare(const struct wire_key *a, const struct wire_key *b)
{
    const int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

    return order != 0 ? order : (int)a->len - (int)b->len;
}

/* A string may be empty, and is in front of all then. *ret keeps its value when the field is
 * absent. */
static int take_bound(struct wire_decoder *d, const json_t *body, const char *field, bool int_keys,
                      struct wire_key *ret)
{
    const json_t *v = json_object_get(body, field);
    const size_t len = json_string_length(v); /* 0 if it is no string */

    if (v == NULL)
        return 0;
    if (int_keys && !json_is_integer(v))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0,
                           "'%s' must be an integer of 64 bits, as int_keys is true", field);
    if (int_keys) {
        wire_key_set_int(ret, json_integer_value(v));
        return 0;
    }
    if (!json_is_string(v))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0,
                           "'%s' must be a string, unless int_keys is true", field);
    if (len > KEY_STRING_BYTES_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, KEY_STRING_BYTES_MAX,
                           "'%s' must have at most %u bytes", field, KEY_STRING_BYTES_MAX);
    bound_at(ret, KEY_TYPE_STRING);
    memcpy(ret->bytes + 1, json_string_value(v), len);
    ret->len = (uint16_t)(len + 1);
    return 0;
}

static int take_prefix(struct wire_decoder *d, const json_t *body, bool int_keys,
                       struct wire_scan *scan)
{
    if (json_object_get(body, "prefix") == NULL)
        return 0;
    if (int_keys)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "prefix", 0,
                           "'prefix' is of string keys: int_keys must not be true");
    if (json_object_get(body, "start") != NULL || json_object_get(body, "end") != NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "prefix", 0,
                           "'prefix' says where to start and to end: 'start' and 'end' must be "
                           "absent");
    return take_bound(d, body, "prefix", false, &scan->from);
}

static int take_range(struct wire_decoder *d, const json_t *body, struct wire_scan *scan)
{
    struct wire_key after;
    bool int_keys = false;
    char type;
    int rc = wire_request_take_bool(d, body, "int_keys", &int_keys);

    if (rc != 0)
        return rc;
    type = int_keys ? KEY_TYPE_INT : KEY_TYPE_STRING;
    bound_at(&scan->from, type);
    bound_at(&after, type);
    rc = take_prefix(d, body, int_keys, scan);
    bound_behind(&scan->to, &scan->from);
    if (rc == 0)
        rc = take_bound(d, body, "start", int_keys, &scan->from);
    if (rc == 0)
        rc = take_bound(d, body, "end", int_keys, &scan->to);
    if (rc == 0)
        rc = take_bound(d, body, "after", int_keys, &after);
    if (rc == 0 && compare(&after, &scan->from) >= 0) {
        scan->from = after;
        scan->behind = true; /* `after` was given already (SCAN-4); no key is a type alone */
    }
    return rc;
}

int wire_request_take_scan(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    struct wire_scan *scan = &d->scan;
    int rc;

    scan->behind = false;
    scan->limit = SCAN_ITEMS_MAX;
    scan->keys_only = false;
    rc = take_range(d, body, scan);
    if (rc == 0)
        rc = wire_request_take_count32(d, body, "limit", SCAN_ITEMS_MAX, &scan->limit);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "keys_only", &scan->keys_only);
    ret->scan = scan;
    return rc;
}
