/* One line to one struct ridd_reply. jansson decides whether the line is JSON and gives the small
 * fields; values are cut from the text itself (slice.c). Absent fields are no error: an older or
 * newer server may say less or more. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"
#include "wire/errors.h"

#include "base/banned.h"

#define X(symbol, name, code, definite, code_after)                                                \
    static_assert((int)RIDD_##symbol == (int)WIRE_ERROR_##symbol, "ridd.h spells the numbers "     \
                                                                  "out");
WIRE_ERRORS(X)
#undef X

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

struct reply_box {
    struct ridd_reply pub;
    char *line;              /* owned */
    char *value;             /* owned */
    char *string;            /* owned */
    char *texts;             /* owned: keys and values of the items */
    struct ridd_item *items; /* owned */
};

/* Never written: reply_is_const() is asked before. */
static struct ridd_reply const_no_memory = {
    .status = RIDD_NO_MEMORY,
    .cause = RIDD_NO_MEMORY,
    .code = -1,
    .definite = 0,
    .text = "out of memory",
};

const char *ridd_status_name(enum ridd_status status)
{
    switch ((int)status) {
    case RIDD_OK:
        return "ok";
#define X(symbol, name, code, definite, code_after)                                                \
    case RIDD_##symbol:                                                                            \
        return name;
        WIRE_ERRORS(X)
#undef X
    case RIDD_OTHER_ERROR:
        return "other_error";
    case RIDD_UNREACHABLE:
        return "unreachable";
    case RIDD_NO_ANSWER:
        return "no_answer";
    case RIDD_DISCONNECTED:
        return "disconnected";
    case RIDD_BAD_REPLY:
        return "bad_reply";
    case RIDD_OUTCOME_UNKNOWN:
        return "outcome_unknown";
    case RIDD_INVALID:
        return "invalid";
    case RIDD_NO_MEMORY:
        return "no_memory";
    default:
        return "unknown";
    }
}

static enum ridd_status status_from_name(const char *name)
{
    static const struct {
        const char *name;
        enum ridd_status status;
    } table[] = {
#define X(symbol, name, code, definite, code_after) {name, RIDD_##symbol},
        WIRE_ERRORS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].status;
    return RIDD_OTHER_ERROR;
}

struct ridd_reply *reply_no_memory(void)
{
    return &const_no_memory;
}

bool reply_is_const(const struct ridd_reply *r)
{
    return r == &const_no_memory;
}

struct ridd_reply *reply_new(void)
{
    struct reply_box *box = calloc(1, sizeof(*box));

    if (box == NULL)
        return &const_no_memory;
    box->pub.code = -1;
    box->pub.definite = 1;
    return &box->pub;
}

void ridd_reply_free(struct ridd_reply *reply)
{
    struct reply_box *box = (struct reply_box *)(void *)reply; /* pub is its first member */

    if (reply == NULL || reply_is_const(reply))
        return;
    free(box->line);
    free(box->value);
    free(box->string);
    free(box->texts);
    free(box->items);
    free(box);
}

/* Cuts what does not fit at the border of a UTF-8 character. Control characters (C0, DEL, C1)
 * become '?': these texts end on terminals and in logs, and may come from a server that is not one
 * of ours. */
static void set_text(char *ret, size_t size, const char *s)
{
    size_t len = strlen(s);

    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)s[len] & 0xc0u) == 0x80u)
            len--;
    }
    memmove(ret, s, len);
    ret[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)ret[i];

        if (c < 0x20 || c == 0x7f) {
            ret[i] = '?';
        } else if (c == 0xc2 && ((unsigned char)ret[i + 1] & 0xe0u) == 0x80u) {
            ret[i] = '?';
            ret[i + 1] = '?';
        }
    }
}

void reply_fail(struct ridd_reply *r, enum ridd_status status, bool definite, const char *format,
                ...)
{
    char text[2 * RIDD_TEXT_SIZE];
    va_list ap;

    if (reply_is_const(r))
        return;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    r->status = status;
    r->cause = status;
    r->code = -1;
    r->definite = definite;
    set_text(r->text, sizeof(r->text), text);
}

void reply_make_unknown(struct ridd_reply *r)
{
    char text[2 * RIDD_TEXT_SIZE];

    if (reply_is_const(r))
        return;
    /* A server says so itself where it knows that it is not known. */
    if (strstr(r->text, "whether the write happened") != NULL)
        set_text(text, sizeof(text), r->text);
    else
        (void)snprintf(text, sizeof(text), "it is not known whether the write happened: %s",
                       r->text);
    set_text(r->text, sizeof(r->text), text);
    r->status = RIDD_OUTCOME_UNKNOWN;
    r->definite = 0;
}

/* ---- fields ---- */

static const char *get_string(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "";
}

static uint64_t get_u64(const json_t *o, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

static bool get_bool(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

static char *copy_slice(struct slice s)
{
    char *p = malloc(s.len + 1);

    if (p != NULL) {
        memcpy(p, s.data, s.len);
        p[s.len] = '\0';
    }
    return p;
}

static int read_value(struct reply_box *box, const json_t *o, struct slice line)
{
    const json_t *v = json_object_get(o, "value");
    const json_t *exists = json_object_get(o, "exists");
    struct slice s = slice_member(line, "value");

    if (v == NULL || s.data == NULL)
        return 0;
    box->value = copy_slice(s);
    if (box->value == NULL)
        return -ENOMEM;
    if (json_is_string(v)) {
        box->string = copy_slice((struct slice){json_string_value(v), json_string_length(v)});
        if (box->string == NULL)
            return -ENOMEM;
    }
    box->pub.value = box->value;
    box->pub.value_len = s.len;
    box->pub.string = box->string;
    /* Only "exists" tells a stored null from an absent key; without it null means absent. */
    box->pub.exists = exists != NULL ? json_is_true(exists) : !json_is_null(v);
    return 0;
}

/* The texts of all items go to one block; their places are known only when it has stopped growing.
 */
static int read_items(struct reply_box *box, const json_t *o, struct slice line)
{
    const json_t *values = json_object_get(o, "values");
    struct slice array = slice_member(line, "values");
    cleanup_buf struct buf texts = BUF_INIT;
    size_t n = json_array_size(values);
    size_t cursor = 0;
    size_t at = 0;

    if (n == 0 || array.data == NULL)
        return 0;
    box->items = calloc(n, sizeof(*box->items));
    if (box->items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(values, i);
        const json_t *exists = json_object_get(e, "exists");
        struct slice item = slice_next_element(array, &cursor);
        struct slice key;
        struct slice value;

        if (!json_is_object(e) || item.data == NULL)
            return 0; /* no items: the caller finds fewer than it asked for */
        key = slice_member(item, "key");
        value = slice_member(item, "value");
        if (key.data == NULL || value.data == NULL)
            return 0;
        box->items[i].value_len = value.len;
        box->items[i].exists =
            exists != NULL ? json_is_true(exists) : !json_is_null(json_object_get(e, "value"));
        if (buf_add(&texts, key.data, key.len) != 0 || buf_add_u8(&texts, 0) != 0 ||
            buf_add(&texts, value.data, value.len) != 0 || buf_add_u8(&texts, 0) != 0)
            return -ENOMEM;
    }
    box->texts = (char *)take_ptr(texts.data);
    for (size_t i = 0; i < n; i++) {
        box->items[i].key = box->texts + at;
        at += strlen(box->texts + at) + 1;
        box->items[i].value = box->texts + at;
        at += box->items[i].value_len + 1;
    }
    box->pub.items = box->items;
    box->pub.n_items = n;
    return 0;
}

static uint64_t read_index_of(const json_t *o)
{
    static const char *const names[] = {"read_at_index", "log_index_used", "applied_index",
                                        "index"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (json_object_get(o, names[i]) != NULL)
            return get_u64(o, names[i]);
    return 0;
}

static enum reply_result read_success(struct reply_box *box, const json_t *o, struct slice line,
                                      const char *type)
{
    struct ridd_reply *r = &box->pub;
    const json_t *linearizable = json_object_get(o, "linearizable");
    const json_t *existed = json_object_get(o, "existed");

    if (read_value(box, o, line) != 0 || read_items(box, o, line) != 0)
        return REPLY_MEMORY;
    r->index = read_index_of(o);
    r->heartbeat_confirmed = get_bool(o, "heartbeat_confirmed");
    /* A read through the log is ordered by its marker; its reply has no field for it. */
    r->linearizable =
        linearizable != NULL ? json_is_true(linearizable) : strcmp(type, "read_via_log_ok") == 0;
    if (existed != NULL)
        r->exists = json_is_true(existed);
    set_text(r->leader_id, sizeof(r->leader_id), get_string(o, "leader_id"));
    return REPLY_MINE;
}

static void read_error(struct ridd_reply *r, const json_t *o, struct reply_hint *hint)
{
    const char *name = get_string(o, "error");
    const char *text = get_string(o, "text");
    uint64_t retry_after_ms = get_u64(o, "retry_after_ms");
    const json_t *code = json_object_get(o, "code");

    reply_fail(r, status_from_name(name), get_bool(o, "definite"), "%s",
               text[0] != '\0'   ? text
               : name[0] != '\0' ? name
                                 : "the server gave no reason");
    r->code = json_is_integer(code) && json_integer_value(code) >= 0 &&
                      json_integer_value(code) <= CALL_ERROR_CODE_MAX
                  ? (int)json_integer_value(code)
                  : 13; /* indefinite: always safe */
    r->index = get_u64(o, "index");
    /* Of an absent key, where `read` was asked to say it. */
    r->heartbeat_confirmed = get_bool(o, "heartbeat_confirmed");
    r->linearizable = get_bool(o, "linearizable");
    set_text(r->server_name, sizeof(r->server_name), name);
    set_text(r->leader_id, sizeof(r->leader_id), get_string(o, "leader_id"));
    set_text(hint->leader_addr, sizeof(hint->leader_addr), get_string(o, "leader_addr"));
    hint->retry_after_ms = retry_after_ms > CALL_RETRY_AFTER_MS_MAX ? CALL_RETRY_AFTER_MS_MAX
                                                                    : (unsigned)retry_after_ms;
}

enum reply_result reply_parse(struct ridd_reply *r, const char *line, size_t len, uint64_t msg_id,
                              const char *expect, struct reply_hint *ret_hint, char *why,
                              size_t why_size)
{
    struct reply_box *box = (struct reply_box *)(void *)r;
    json_error_t error;
    cleanup_json json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    const json_t *id;
    const char *type;
    bool is_error;

    if (o == NULL && json_lacks_memory(error))
        return REPLY_MEMORY;
    if (!json_is_object(o)) {
        (void)snprintf(why, why_size, "not a JSON object");
        return REPLY_GARBAGE;
    }
    type = get_string(o, "type");
    is_error = strcmp(type, "error") == 0;
    id = json_object_get(o, "in_reply_to");
    /* An error without a number is about the connection or about a request that could not be read:
     * there is but ours. */
    if (id == NULL && !is_error) {
        (void)snprintf(why, why_size, "no in_reply_to");
        return REPLY_GARBAGE;
    }
    if (id != NULL && (!json_is_integer(id) || json_integer_value(id) != (json_int_t)msg_id))
        return REPLY_OTHERS;
    if (!is_error && strcmp(type, expect) != 0) {
        (void)snprintf(why, why_size, "type '%.40s' where '%.60s' was due", type, expect);
        return REPLY_GARBAGE;
    }
    box->line = copy_slice((struct slice){line, len});
    if (box->line == NULL)
        return REPLY_MEMORY;
    r->json = box->line;
    r->json_len = len;
    if (!is_error)
        return read_success(box, o, (struct slice){line, len}, type);
    read_error(r, o, ret_hint);
    return REPLY_MINE;
}
