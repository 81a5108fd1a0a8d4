/* One line to one struct ridd_reply. jansson decides whether the line is JSON and gives the small
 * fields; values are cut from the text itself (slice.c). Absent fields are no error: an older or
 * newer server may say less or more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/client_int.h"

#include "base/banned.h"

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

/* Milliseconds, which may have a fraction, to whole microseconds; -1: not said, or nonsense. */
static int64_t get_us(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    double ms = json_number_value(v);

    if (!json_is_number(v) || !(ms >= 0) || ms > CALL_LONG_TIMEOUT_MS_MAX)
        return -1;
    return (int64_t)(ms * 1000 + 0.5);
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

static struct slice string_of(const json_t *v)
{
    if (!json_is_string(v))
        return (struct slice){NULL, 0};
    return (struct slice){json_string_value(v), json_string_length(v)};
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
        box->string = copy_slice(string_of(v));
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

/* ---- items ---- */

/* Appends a text with its NUL to the block, and says where it stands there. */
static const char *add_text(char **end, struct slice s)
{
    char *start = *end;

    if (s.data == NULL)
        return NULL;
    memcpy(start, s.data, s.len);
    start[s.len] = '\0';
    *end = start + s.len + 1;
    return start;
}

/* False: it has no key, and so is none. Keys of a scan may stand without values. */
static bool read_item(struct ridd_item *ret, const json_t *e, struct slice item, char **end)
{
    const json_t *key_value = json_object_get(e, "key");
    const json_t *value_value = json_object_get(e, "value");
    const json_t *exists = json_object_get(e, "exists");
    struct slice key;
    struct slice value;

    if (!json_is_object(e) || item.data == NULL)
        return false;
    key = slice_member(item, "key");
    value = slice_member(item, "value");
    if (key.data == NULL || (value.data != NULL) != (value_value != NULL))
        return false;
    ret->key = add_text(end, key);
    ret->key_string = add_text(end, string_of(key_value));
    ret->key_integer = json_integer_value(key_value);
    ret->value = add_text(end, value);
    ret->value_len = value.len;
    ret->string = add_text(end, string_of(value_value));
    ret->exists = exists != NULL ? json_is_true(exists) : !json_is_null(value_value);
    return true;
}

/* The texts of all items go to one block. Each stands there at most twice, as JSON and as what it
 * means, which is never longer. */
static int read_items(struct reply_box *box, const json_t *o, struct slice line)
{
    const char *name = json_object_get(o, "values") != NULL ? "values" : "items";
    const json_t *values = json_object_get(o, name);
    struct slice array = slice_member(line, name);
    size_t n = json_array_size(values);
    size_t cursor = 0;
    char *end;

    if (n == 0 || array.data == NULL)
        return 0;
    box->items = calloc(n, sizeof(*box->items));
    box->texts = malloc(2 * array.len + 4 * n);
    if (box->items == NULL || box->texts == NULL)
        return -ENOMEM;
    end = box->texts;
    for (size_t i = 0; i < n; i++)
        if (!read_item(&box->items[i], json_array_get(values, i),
                       slice_next_element(array, &cursor), &end))
            return 0; /* no items: the caller finds fewer than it asked for */
    box->pub.items = box->items;
    box->pub.n_items = n;
    return 0;
}

/* ---- a success ---- */

static uint64_t read_index_of(const json_t *o)
{
    static const char *const names[] = {"read_at_index", "log_index_used", "applied_index",
                                        "index"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (json_object_get(o, names[i]) != NULL)
            return get_u64(o, names[i]);
    return 0;
}

static void read_stages(struct ridd_stages *s, const json_t *o)
{
    const json_t *stages = json_object_get(o, "stages");

    s->leader_us = get_us(stages, "leader_ms");
    s->round_us = get_us(stages, "round_ms");
    s->commit_us = get_us(stages, "commit_ms");
    s->apply_us = get_us(stages, "apply_ms");
    s->server_us = get_us(o, "latency_ms");
}

static void read_guarantee(struct ridd_reply *r, const json_t *o, const char *type)
{
    const json_t *linearizable = json_object_get(o, "linearizable");
    const json_t *lease_valid = json_object_get(o, "lease_valid");

    r->heartbeat_confirmed = get_bool(o, "heartbeat_confirmed");
    /* A read through the log is ordered by its marker; its reply has no field for it. */
    r->linearizable =
        linearizable != NULL ? json_is_true(linearizable) : strcmp(type, "read_via_log_ok") == 0;
    r->staleness_us = get_us(o, "staleness_ms");
    r->lease_valid = json_is_boolean(lease_valid) ? json_is_true(lease_valid) : -1;
    if (r->linearizable)
        r->guarantee = RIDD_GUARANTEE_LINEARIZABLE;
    else if (r->staleness_us >= 0)
        r->guarantee = RIDD_GUARANTEE_BOUNDED;
    else
        r->guarantee = linearizable != NULL ? RIDD_GUARANTEE_NONE : RIDD_GUARANTEE_UNSAID;
}

static enum reply_result read_success(struct reply_box *box, const struct reply_line *l)
{
    struct ridd_reply *r = &box->pub;
    const json_t *o = l->tree;
    const json_t *existed = json_object_get(o, "existed");

    if (read_value(box, o, l->text) != 0 || read_items(box, o, l->text) != 0)
        return REPLY_MEMORY;
    r->index = read_index_of(o);
    read_guarantee(r, o, l->type);
    read_stages(&r->stages, o);
    if (existed != NULL)
        r->exists = json_is_true(existed);
    r->more = get_bool(o, "more");
    reply_set_text(r->leader_id, sizeof(r->leader_id), get_string(o, "leader_id"));
    reply_set_text(r->served_by, sizeof(r->served_by), get_string(o, "served_by"));
    reply_set_text(r->proof, sizeof(r->proof), get_string(o, "proof"));
    return REPLY_OK;
}

/* ---- an error ---- */

static void read_hint(const json_t *o, struct reply_hint *hint)
{
    uint64_t retry_after_ms = get_u64(o, "retry_after_ms");

    reply_set_text(hint->leader_addr, sizeof(hint->leader_addr), get_string(o, "leader_addr"));
    reply_set_text(hint->try_addr, sizeof(hint->try_addr), get_string(o, "try"));
    hint->anchor = get_u64(o, "anchor");
    reply_set_text(hint->anchor_cluster, sizeof(hint->anchor_cluster), get_string(o, "cluster"));
    hint->retry_after_ms = retry_after_ms > CALL_RETRY_AFTER_MS_MAX ? CALL_RETRY_AFTER_MS_MAX
                                                                    : (unsigned)retry_after_ms;
}

static void read_error(struct ridd_reply *r, const json_t *o)
{
    const char *name = get_string(o, "error");
    const char *text = get_string(o, "text");
    const json_t *code = json_object_get(o, "code");

    reply_fail(r, reply_status_from_name(name), get_bool(o, "definite"), "%s",
               text[0] != '\0'   ? text
               : name[0] != '\0' ? name
                                 : "the server gave no reason");
    r->code = json_is_integer(code) && json_integer_value(code) >= 0 &&
                      json_integer_value(code) <= CALL_ERROR_CODE_MAX
                  ? (int)json_integer_value(code)
                  : 13; /* indefinite: always safe */
    r->index = get_u64(o, "index");
    /* Of an absent key, where `read` was asked to say it. */
    read_guarantee(r, o, "");
    reply_set_text(r->server_name, sizeof(r->server_name), name);
    reply_set_text(r->leader_id, sizeof(r->leader_id), get_string(o, "leader_id"));
}

/* ---- a line ---- */

enum reply_result reply_open(const char *line, size_t len, struct reply_line *ret, char *why,
                             size_t why_size)
{
    json_error_t error;
    const json_t *id;
    json_t *o;

    memset(ret, 0, sizeof(*ret));
    if (memchr(line, '\0', len) != NULL) { /* jansson takes it for white space */
        (void)snprintf(why, why_size, "a NUL in a line");
        return REPLY_GARBAGE;
    }
    o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (o == NULL && json_lacks_memory(error))
        return REPLY_MEMORY;
    if (!json_is_object(o)) {
        json_decref(o);
        (void)snprintf(why, why_size, "not a JSON object");
        return REPLY_GARBAGE;
    }
    ret->tree = o;
    ret->text = (struct slice){line, len};
    ret->type = get_string(o, "type");
    ret->is_error = strcmp(ret->type, "error") == 0;
    id = json_object_get(o, "in_reply_to");
    ret->has_id = id != NULL;
    ret->id = json_is_integer(id) && json_integer_value(id) > 0 ? (uint64_t)json_integer_value(id)
                                                                : UINT64_MAX;
    ret->line_no = get_u64(o, "line");
    /* An error without a number is about the connection, or about a line that could not be read. */
    if (!ret->has_id && !ret->is_error) {
        (void)snprintf(why, why_size, "no in_reply_to");
        return REPLY_GARBAGE;
    }
    return REPLY_OK;
}

void reply_line_done(struct reply_line *l)
{
    json_decref(l->tree);
    l->tree = NULL;
}

enum reply_result reply_fill(struct ridd_reply *r, const struct reply_line *l, const char *expect,
                             struct reply_hint *ret_hint, char *why, size_t why_size)
{
    struct reply_box *box = reply_box(r);

    if (!l->is_error && strcmp(l->type, expect) != 0) {
        (void)snprintf(why, why_size, "type '%.40s' where '%.60s' was due", l->type, expect);
        return REPLY_GARBAGE;
    }
    box->line = copy_slice(l->text);
    if (box->line == NULL)
        return REPLY_MEMORY;
    r->json = box->line;
    r->json_len = l->text.len;
    if (!l->is_error)
        return read_success(box, l);
    read_error(r, l->tree);
    read_hint(l->tree, ret_hint);
    return REPLY_OK;
}
