/* Keys and values to JSON, and bytes back from it. A mistake of the program is told at once and by
 * name; limits that an operator may change are left to the server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

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

enum ridd_status ridd_bytes(const char *text, unsigned char **ret_bytes, size_t *ret_len)
{
    size_t len = text != NULL ? strlen(text) : 0;
    cleanup_free unsigned char *bytes = NULL;

    if (text == NULL)
        return RIDD_INVALID;
    bytes = malloc(base64_bytes_max(len) + 1);
    if (bytes == NULL)
        return RIDD_NO_MEMORY;
    if (!base64_decode(text, len, bytes, ret_len))
        return RIDD_INVALID;
    *ret_bytes = take_ptr(bytes);
    return RIDD_OK;
}

int build_string(struct buf *body, const char *text, size_t len, const char *what,
                 struct ridd_reply *why)
{
    cleanup_free char *json = NULL;

    switch ((int)ridd_json_string(text, len, &json)) {
    case RIDD_OK:
        return buf_add_str(body, json);
    case RIDD_INVALID:
        reply_fail(why, RIDD_INVALID, true, "%s is not UTF-8 without NUL", what);
        return BUILD_INVALID;
    default:
        return BUILD_NO_MEMORY;
    }
}

int build_key(struct buf *body, struct ridd_key key, struct ridd_reply *why)
{
    size_t len;

    if (key.string == NULL)
        return buf_add_format(body, "%lld", (long long)key.integer);
    len = strlen(key.string);
    if (len == 0 || len > KEY_STRING_BYTES_MAX) {
        reply_fail(why, RIDD_INVALID, true, "a key has 1 to %u bytes, this one has %zu",
                   KEY_STRING_BYTES_MAX, len);
        return BUILD_INVALID;
    }
    return build_string(body, key.string, len, "the key", why);
}

static int build_json(struct buf *body, const char *name, const struct ridd_value *value,
                      struct ridd_reply *why)
{
    json_error_t error;
    cleanup_json json_t *v =
        json_loadb(value->data, value->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

    if (v == NULL) {
        if (json_lacks_memory(error))
            return BUILD_NO_MEMORY;
        reply_fail(why, RIDD_INVALID, true, "%s is not JSON: %s", name, error.text);
        return BUILD_INVALID;
    }
    return slice_compact((struct slice){value->data, value->len}, body);
}

static int build_bytes(struct buf *body, const struct ridd_value *value)
{
    if (buf_add_str(body, "\"") != 0 || base64_encode(value->data, value->len, body) != 0)
        return BUILD_NO_MEMORY;
    return buf_add_str(body, "\"");
}

static int build_text(struct buf *body, const char *name, const struct ridd_value *value,
                      struct ridd_reply *why)
{
    switch (value->type) {
    case RIDD_VALUE_JSON:
        return build_json(body, name, value, why);
    case RIDD_VALUE_STRING:
        return build_string(body, value->data, value->len, name, why);
    case RIDD_VALUE_BYTES:
        return build_bytes(body, value);
    case RIDD_VALUE_INTEGER:
        return buf_add_format(body, "%lld", (long long)value->integer);
    case RIDD_VALUE_NULL:
        return buf_add_str(body, "null");
    case RIDD_VALUE_NONE:
        break;
    }
    reply_fail(why, RIDD_INVALID, true, "%s has no such type: %d", name, (int)value->type);
    return BUILD_INVALID;
}

int build_value(struct buf *body, const char *name, const struct ridd_value *value,
                struct ridd_reply *why)
{
    bool needs_data = value->type == RIDD_VALUE_JSON || value->type == RIDD_VALUE_STRING ||
                      (value->type == RIDD_VALUE_BYTES && value->len > 0);

    if (value->type == RIDD_VALUE_NONE || (needs_data && value->data == NULL)) {
        reply_fail(why, RIDD_INVALID, true, "%s is missing", name);
        return BUILD_INVALID;
    }
    if (buf_add_format(body, ",\"%s\":", name) != 0)
        return BUILD_NO_MEMORY;
    return build_text(body, name, value, why);
}
