/* One small function per field: looks it up, judges type and range, copies. A field that is absent
 * keeps its default, a field that is wrong refuses the request; there is nothing between. */
#include "wire/request_int.h"

#include <errno.h>
#include <inttypes.h>

#include "base/address.h"
#include "base/err.h"
#include "wire/value.h"

#include "base/banned.h"

static int refuse_missing(struct wire_decoder *d, const char *field)
{
    return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0, "'%s' is missing", field);
}

/* *ret keeps its value when the field is absent. */
int wire_request_take_bool(struct wire_decoder *d, const json_t *body, const char *field, bool *ret)
{
    const json_t *v = json_object_get(body, field);

    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0, "'%s' must be true or false", field);
    *ret = json_is_true(v);
    return 0;
}

/* An integer from 1 to max; *ret keeps its value when the field is absent. */
static int take_count(struct wire_decoder *d, const json_t *body, const char *field, uint64_t max,
                      uint64_t *ret)
{
    const json_t *v = json_object_get(body, field);

    if (v == NULL)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < 1 || (uint64_t)json_integer_value(v) > max)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, max,
                           "'%s' must be an integer from 1 to %" PRIu64, field, max);
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

int wire_request_take_count32(struct wire_decoder *d, const json_t *body, const char *field,
                              uint32_t max, uint32_t *ret)
{
    uint64_t v = *ret;
    int rc = take_count(d, body, field, max, &v);

    if (rc == 0)
        *ret = (uint32_t)v;
    return rc;
}

/* ---- keys ---- */

static int key_from_json(struct wire_decoder *d, const json_t *v, const char *field,
                         struct wire_key *ret)
{
    if (json_is_integer(v)) {
        wire_key_set_int(ret, json_integer_value(v));
        return 0;
    }
    if (!json_is_string(v))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0,
                           "'%s' must be a string or an integer of 64 bits", field);
    if (wire_key_set_string(ret, json_string_value(v), json_string_length(v)) != 0)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, KEY_STRING_BYTES_MAX,
                           "'%s' must have 1 to %u bytes", field, KEY_STRING_BYTES_MAX);
    return 0;
}

static int take_key(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "key");

    return v != NULL ? key_from_json(d, v, "key", &ret->key) : refuse_missing(d, "key");
}

static int take_keys(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "keys");
    size_t n = json_array_size(v); /* 0 if it is no array */

    if (v == NULL)
        return refuse_missing(d, "keys");
    if (n < 1 || n > BATCH_KEYS_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "keys", BATCH_KEYS_MAX,
                           "'keys' must be an array of 1 to %u keys", BATCH_KEYS_MAX);
    for (size_t i = 0; i < n; i++) {
        char field[32];
        int rc;

        (void)snprintf(field, sizeof(field), "keys[%zu]", i);
        rc = key_from_json(d, json_array_get(v, i), field, &d->keys[i]);
        if (rc != 0)
            return rc;
    }
    ret->keys = d->keys;
    ret->n_keys = (unsigned)n;
    return 0;
}

/* ---- values ---- */

/* Appends the compact text of a required field to d->text; *ret_len is its length. */
static int take_value(struct wire_decoder *d, const json_t *body, const char *field,
                      enum large_field which, size_t *ret_len)
{
    const struct wire_large *large = &d->large[body != d->root][which];
    const json_t *v = json_object_get(body, field);
    size_t before = d->text.len;
    int rc;

    if (v == NULL)
        return refuse_missing(d, field);
    if (large->len > VALUE_BYTES_MAX)
        rc = WIRE_VALUE_E_TOO_LARGE;
    else if (large->len > 0)
        rc = buf_add(&d->text, d->large_text.data + large->at, large->len);
    else
        rc = wire_value_encode(v, &d->text);
    if (rc < 0)
        return err_trace(rc);
    switch (rc) {
    case 0:
        *ret_len = d->text.len - before;
        return 0;
    case WIRE_VALUE_E_TOO_LARGE:
        return wire_refuse(d, WIRE_ERROR_TOO_LARGE, field, VALUE_BYTES_MAX,
                           "'%s' is larger than %u bytes", field, VALUE_BYTES_MAX);
    case WIRE_VALUE_E_KEYS: /* these two were checked for the line before */
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, JSON_VALUE_KEYS_MAX,
                           "'%s' has more than %u keys", field, JSON_VALUE_KEYS_MAX);
    default:
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, JSON_DEPTH_MAX,
                           "'%s' is nested deeper than %u levels", field, JSON_DEPTH_MAX);
    }
}

static int take_write(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    int rc = take_value(d, body, "value", LARGE_VALUE, &ret->value.len);

    if (rc == 0)
        ret->value.data = (const char *)d->text.data;
    return rc;
}

static int take_cas(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    int rc = take_value(d, body, "from", LARGE_FROM, &ret->from.len);

    if (rc == 0)
        rc = take_value(d, body, "to", LARGE_TO, &ret->value.len);
    if (rc != 0)
        return rc;
    ret->from.data = (const char *)d->text.data;
    ret->value.data = ret->from.data + ret->from.len;
    return wire_request_take_bool(d, body, "create_if_not_exists", &ret->create_if_not_exists);
}

/* ---- sessions ---- */

static bool parse_digits(const char *s, size_t len, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

/* Decimal, without sign or leading zero, from 1: one number has one spelling. And a seal, perhaps,
 * of which no digit is left away. */
static bool parse_client(const char *s, size_t len, struct wire_request *ret)
{
    ret->has_seal = len > SESSION_SEAL_DIGITS;
    if (ret->has_seal) {
        len -= SESSION_SEAL_DIGITS;
        if (!parse_digits(s + len, SESSION_SEAL_DIGITS, &ret->seal))
            return false;
    }
    return len > 0 && s[0] != '0' && parse_digits(s, len, &ret->client);
}

static int take_session(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *client = json_object_get(body, "client");
    const json_t *seq = json_object_get(body, "seq");
    int rc;

    if (client == NULL && seq == NULL && json_object_get(body, "first") == NULL)
        return 0;
    if (client == NULL || seq == NULL)
        return refuse_missing(d, client == NULL ? "client" : "seq");
    if (!json_is_string(client) ||
        !parse_client(json_string_value(client), json_string_length(client), ret))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "client", 0,
                           "'client' must be an id given by open_session, a decimal string");
    ret->has_session = true;
    ret->first = 1;
    rc = take_count(d, body, "seq", INT64_MAX, &ret->seq);
    return rc != 0 ? rc : take_count(d, body, "first", ret->seq, &ret->first);
}

/* ---- words ---- */

struct word {
    const char *name;
    unsigned value;
};

/* 0: not in the list. */
static unsigned find_word(const struct word *words, size_t n, const json_t *v)
{
    const char *s = json_string_value(v); /* NULL if it is no string */

    for (size_t i = 0; s != NULL && i < n; i++)
        if (strcmp(words[i].name, s) == 0)
            return words[i].value;
    return 0;
}

static const struct word vias[] = {
    {"read_index", WIRE_VIA_READ_INDEX}, {"log", WIRE_VIA_LOG},     {"lease", WIRE_VIA_LEASE},
    {"follower", WIRE_VIA_FOLLOWER},     {"local", WIRE_VIA_LOCAL},
};
#define N_VIAS (sizeof(vias) / sizeof(vias[0]))

const char *wire_via_name(enum wire_via via)
{
    for (size_t i = 0; i < N_VIAS; i++)
        if (vias[i].value == (unsigned)via)
            return vias[i].name;
    return NULL;
}

enum wire_via wire_via_from_name(const char *name, size_t len)
{
    for (size_t i = 0; i < N_VIAS; i++)
        if (strlen(vias[i].name) == len && memcmp(vias[i].name, name, len) == 0)
            return (enum wire_via)vias[i].value;
    return WIRE_VIA_DEFAULT;
}

static int take_via(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "via");
    unsigned via;

    if (v == NULL)
        return 0;
    via = find_word(vias, N_VIAS, v);
    if (via == 0)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "via", 0,
                           "'via' must be read_index, log, lease, follower or local");
    ret->via = (enum wire_via)via;
    return 0;
}

static int take_methods(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    static const struct word words[] = {
        {"read_index", WIRE_VIA_READ_INDEX}, {"read_via_log", WIRE_VIA_LOG},
        {"lease_read", WIRE_VIA_LEASE},      {"follower_read", WIRE_VIA_FOLLOWER},
        {"bounded_read", WIRE_VIA_BOUNDED},  {"local_read", WIRE_VIA_LOCAL},
    };
    const json_t *v = json_object_get(body, "methods");
    size_t n = json_array_size(v);

    if (v == NULL)
        return 0;
    if (!json_is_array(v))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "methods", 0, "'methods' must be an array");
    for (size_t i = 0; i < n; i++) {
        unsigned method = find_word(words, sizeof(words) / sizeof(words[0]), json_array_get(v, i));

        if (method == 0)
            return wire_refuse(d, WIRE_ERROR_MALFORMED, "methods", 0,
                               "'methods' may name read_index, read_via_log, lease_read, "
                               "follower_read, bounded_read and local_read");
        ret->methods |= method;
    }
    return 0;
}

static int take_stale(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    return wire_request_take_count32(d, body, "max_stale_ms", MAX_STALE_MS_MAX, &ret->max_stale_ms);
}

static int take_compare(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    int rc;

    if (json_object_get(body, "num_reads") == NULL)
        return refuse_missing(d, "num_reads");
    rc = wire_request_take_count32(d, body, "num_reads", COMPARE_READS_MAX, &ret->num_reads);
    if (rc == 0)
        rc = wire_request_take_count32(d, body, "concurrency", COMPARE_CONCURRENCY_MAX,
                                       &ret->concurrency);
    if (rc == 0)
        rc = take_methods(d, body, ret);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "only", &ret->only);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "cost", &ret->cost);
    if (rc == 0 && ret->only && ret->methods == 0)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "methods", 0,
                           "'only' wants 'methods', at least one");
    return rc != 0 ? rc : take_stale(d, body, ret);
}

/* ---- names of nodes ---- */

static int take_node_name(struct wire_decoder *d, const json_t *v, const char *field,
                          struct wire_slice *ret)
{
    size_t len = json_string_length(v); /* 0 if it is no string */

    if (v == NULL)
        return refuse_missing(d, field);
    if (len < 1 || len > NODE_NAME_BYTES_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, NODE_NAME_BYTES_MAX,
                           "'%s' must be the name of a node, a string of 1 to %u bytes", field,
                           NODE_NAME_BYTES_MAX);
    ret->data = json_string_value(v);
    ret->len = len;
    return 0;
}

static int take_to(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "to");

    return v != NULL ? take_node_name(d, v, "to", &ret->to) : 0;
}

/* It will stand in the log, where every member takes it from: one that no port takes must not come
 * so far (MEMBER-23). */
static int take_address(struct wire_decoder *d, const json_t *body, const char *field,
                        struct wire_slice *ret)
{
    const json_t *v = json_object_get(body, field);
    size_t len = json_string_length(v); /* 0 if it is no string */
    const char *s = json_string_value(v);
    char normal[ADDRESS_BYTES_MAX + 1];
    const char *wrong;

    if (v == NULL)
        return refuse_missing(d, field);
    if (len == 0 || len > ADDRESS_BYTES_MAX || strlen(s) != len)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, ADDRESS_BYTES_MAX,
                           "'%s' must be an address, host:port, of at most %u bytes", field,
                           ADDRESS_BYTES_MAX);
    wrong = address_normal(s, normal);
    if (wrong != NULL)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, field, 0, "'%s' %s", field, wrong);
    *ret = (struct wire_slice){s, len};
    return 0;
}

static int take_addrs(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    int rc = take_address(d, body, "peer_addr", &ret->member.peer_addr);

    return rc != 0 ? rc : take_address(d, body, "client_addr", &ret->member.client_addr);
}

static int take_old(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    return take_node_name(d, json_object_get(body, "old"), "old", &ret->member.old);
}

/* Of whoever is named in a file: it becomes part of file names and log lines. */
static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

static int take_member(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    struct wire_member *m = &ret->member;
    int rc = take_node_name(d, json_object_get(body, "id"), "id", &m->id);

    if (rc == 0 && strspn(m->id.data, name_chars) != m->id.len)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "id", NODE_NAME_BYTES_MAX,
                           "'id' must be the name of a node: 1 to %u of A-Z a-z 0-9 _ -",
                           NODE_NAME_BYTES_MAX);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "learner", &m->learner);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "dry_run", &m->dry_run);
    if (rc == 0)
        rc = wire_request_take_bool(d, body, "force", &m->force);
    return rc != 0 ? rc : take_count(d, body, "based_on", RAFT_INDEX_MAX, &m->based_on);
}

static int take_init(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "node_ids");
    size_t n = json_array_size(v);
    int rc = take_node_name(d, json_object_get(body, "node_id"), "node_id", &ret->node_id);

    if (rc != 0)
        return rc;
    if (v == NULL)
        return refuse_missing(d, "node_ids");
    if (n < 1 || n > RAFT_SERVERS_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "node_ids", RAFT_SERVERS_MAX,
                           "'node_ids' must be an array of 1 to %u names", RAFT_SERVERS_MAX);
    for (size_t i = 0; i < n; i++) {
        char field[32];

        (void)snprintf(field, sizeof(field), "node_ids[%zu]", i);
        rc = take_node_name(d, json_array_get(v, i), field, &d->node_ids[i]);
        if (rc != 0)
            return rc;
    }
    ret->node_ids = d->node_ids;
    ret->n_node_ids = (unsigned)n;
    return 0;
}

/* ---- parts of snapshots ---- */

static int take_part(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *offset = json_object_get(body, "offset");
    int rc = take_count(d, body, "index", RAFT_INDEX_MAX, &ret->part.index);

    if (rc == 0)
        rc = take_count(d, body, "term", RAFT_INDEX_MAX, &ret->part.term);
    if (rc != 0)
        return rc;
    if ((ret->part.index == 0) != (ret->part.term == 0))
        return refuse_missing(d, ret->part.index == 0 ? "index" : "term");
    if (offset == NULL)
        return 0;
    if (!json_is_integer(offset) || json_integer_value(offset) < 0)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "offset", INT64_MAX,
                           "'offset' must be an integer from 0 on");
    ret->part.offset = (uint64_t)json_integer_value(offset);
    return 0;
}

/* ---- events ---- */

static int take_events(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *after = json_object_get(body, "after");

    if (after != NULL && (!json_is_integer(after) || json_integer_value(after) < 0))
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "after", 0,
                           "'after' must be an integer from 0 on");
    if (after != NULL)
        ret->after = (uint64_t)json_integer_value(after);
    ret->limit = EVENTS_TOLD_DEFAULT;
    return wire_request_take_count32(d, body, "limit", EVENTS_KEPT_MAX, &ret->limit);
}

/* ---- who it is ---- */

/* What is wrong with a token is said without it (ACCESS-12). */
static int take_auth(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    const json_t *v = json_object_get(body, "token");
    const size_t len = json_string_length(v); /* 0 if it is no string */

    if (v == NULL)
        return refuse_missing(d, "token");
    if (len < 1 || len > AUTH_TOKEN_BYTES_MAX)
        return wire_refuse(d, WIRE_ERROR_MALFORMED, "token", AUTH_TOKEN_BYTES_MAX,
                           "'token' must be a string of 1 to %u bytes", AUTH_TOKEN_BYTES_MAX);
    ret->token = (struct wire_slice){json_string_value(v), len};
    return 0;
}

/* ---- all of them ---- */

int wire_request_take_fields(struct wire_decoder *d, const json_t *body, struct wire_request *ret)
{
    static const struct {
        unsigned field;
        int (*take)(struct wire_decoder *d, const json_t *body, struct wire_request *ret);
    } takers[] = {
        {FIELD_KEY, take_key},
        {FIELD_KEYS, take_keys},
        {FIELD_VALUE, take_write},
        {FIELD_CAS, take_cas},
        {FIELD_VIA, take_via},
        {FIELD_COMPARE, take_compare},
        {FIELD_TO, take_to},
        {FIELD_SESSION, take_session},
        {FIELD_INIT, take_init},
        {FIELD_MEMBER, take_member},
        {FIELD_ADDRS, take_addrs},
        {FIELD_OLD, take_old},
        {FIELD_PART, take_part},
        {FIELD_TOKEN, wire_request_take_token},
        {FIELD_SCAN, wire_request_take_scan},
        {FIELD_STALE, take_stale},
        {FIELD_EVENTS, take_events},
        {FIELD_AUTH, take_auth},
    };
    unsigned fields = wire_request_type_fields(ret->type);
    int rc = wire_request_take_count32(d, body, "timeout_ms", TIMEOUT_MS_MAX, &ret->timeout_ms);

    if (rc == 0)
        rc = wire_request_take_bool(d, body, "verbose", &ret->verbose);
    for (size_t i = 0; rc == 0 && i < sizeof(takers) / sizeof(takers[0]); i++)
        if (fields & takers[i].field)
            rc = takers[i].take(d, body, ret);
    return rc;
}
