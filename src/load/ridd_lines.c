/* An answer has its fields in an order that is promised, so that it is compared with what it must
 * be, from its first byte to its last (LOAD-3); only errors, which are seldom, are decoded as JSON.
 */
#include "load/ridd_lines.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "load/text.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static unsigned max_stale_ms = 1000;

void load_ridd_set_max_stale(unsigned ms)
{
    max_stale_ms = ms;
}

struct asked {
    enum load_kind kind;
    unsigned n;
    uint64_t key;
    bool open; /* an answer is to come */
};

struct lines {
    enum load_ridd_via via;
    const char *prefix; /* borrowed */
    size_t prefix_len;
    unsigned n_slots;
    char *end; /* owned: the first string behind all with the prefix */
    struct asked asked[];
};

/* How a key is read, and what stands behind "value" in the answer: '#' is a number, '?' true or
 * false, '$' a name. */
static const struct {
    const char *name;
    const char *type;
    const char *tail;
} vias[LOAD_RIDD_N_VIAS] = {
    {"read_index", "read_index",
     ",\"read_at_index\":#,\"heartbeat_confirmed\":true,\"linearizable\":true}"},
    {"log", "read_via_log", ",\"log_index_used\":#,\"latency_ms\":#}"},
    {"lease", "lease_read", ",\"read_at_index\":#,\"lease_valid\":?,\"linearizable\":true}"},
    {"follower", "follower_read",
     ",\"read_at_index\":#,\"served_by\":\"$\",\"linearizable\":true}"},
    {"local", "local_read", ",\"applied_index\":#,\"linearizable\":false}"},
    {"bounded", "local_read", ",\"applied_index\":#,\"staleness_ms\":#,\"linearizable\":false}"},
};

static int open_via(enum load_ridd_via via, const char *prefix, unsigned n_slots, void **ret)
{
    const size_t len = strlen(prefix);
    struct lines *l = calloc(1, sizeof(*l) + n_slots * sizeof(l->asked[0]));

    if (l == NULL)
        return -ENOMEM;
    l->via = via;
    l->prefix = prefix;
    l->prefix_len = len;
    l->n_slots = n_slots;
    l->end = strdup(prefix);
    if (l->end == NULL) {
        free(l);
        return -ENOMEM;
    }
    if (len > 0)
        l->end[len - 1]++;
    *ret = l;
    return 0;
}

static void close_lines(void *state)
{
    struct lines *l = state;

    free(l->end);
    free(l);
}

/* ---- requests ---- */

static int add_key_string(const struct lines *l, struct buf *out, uint64_t key)
{
    if (buf_add_u8(out, '"') != 0 || load_add_key(out, l->prefix, l->prefix_len, key) != 0)
        return -ENOMEM;
    return buf_add_u8(out, '"');
}

static int add_head(struct buf *out, const char *type, unsigned slot)
{
    char *p = buf_reserve(out, 64);
    char *q = p;
    char digits[10];
    unsigned n = 0;
    const size_t type_len = strlen(type);

    if (p == NULL)
        return -ENOMEM;
    memcpy(q, "{\"type\":\"", 9);
    memcpy(q + 9, type, type_len);
    q += 9 + type_len;
    memcpy(q, "\",\"msg_id\":", 11);
    q += 11;
    do
        digits[n++] = (char)('0' + slot % 10);
    while ((slot /= 10) > 0);
    while (n > 0)
        *q++ = digits[--n];
    out->len += (size_t)(q - p);
    return 0;
}

static int add_read(const struct lines *l, struct buf *out, unsigned slot, const struct load_op *op)
{
    if (add_head(out, vias[l->via].type, slot) != 0 || buf_add(out, ",\"key\":", 7) != 0 ||
        add_key_string(l, out, op->key) != 0)
        return -ENOMEM;
    if (l->via == LOAD_RIDD_BOUNDED)
        return buf_add_format(out, ",\"max_stale_ms\":%u}\n", max_stale_ms);
    return buf_add(out, "}\n", 2);
}

static int add_write(const struct lines *l, struct buf *out, unsigned slot,
                     const struct load_op *op)
{
    if (add_head(out, "write", slot) != 0 || buf_add(out, ",\"key\":", 7) != 0 ||
        add_key_string(l, out, op->key) != 0 || buf_add(out, ",\"value\":\"", 10) != 0 ||
        load_add_value(out, l->prefix, l->prefix_len, op) != 0)
        return -ENOMEM;
    return buf_add(out, "\"}\n", 3);
}

static int add_batch(const struct lines *l, struct buf *out, unsigned slot,
                     const struct load_op *op)
{
    int rc = add_head(out, "batch_read_index", slot);

    if (rc == 0)
        rc = buf_add(out, ",\"keys\":[", 9);
    for (unsigned i = 0; i < op->n && rc == 0; i++) {
        rc = i > 0 ? buf_add_u8(out, ',') : 0;
        if (rc == 0)
            rc = add_key_string(l, out, op->key + i);
    }
    return rc != 0 ? rc : buf_add(out, "]}\n", 3);
}

static int add_scan(const struct lines *l, struct buf *out, unsigned slot, const struct load_op *op)
{
    if (add_head(out, "scan", slot) != 0 || buf_add(out, ",\"start\":", 9) != 0 ||
        add_key_string(l, out, op->key) != 0)
        return -ENOMEM;
    return buf_add_format(out, ",\"end\":\"%s\",\"limit\":%u}\n", l->end, op->n);
}

static int submit(void *state, struct buf *out, unsigned slot, const struct load_op *op)
{
    struct lines *l = state;

    l->asked[slot] = (struct asked){op->kind, op->n, op->key, true};
    switch (op->kind) {
    case LOAD_READ:
        return add_read(l, out, slot, op);
    case LOAD_WRITE:
        return add_write(l, out, slot, op);
    case LOAD_BATCH:
        return add_batch(l, out, slot, op);
    case LOAD_SCAN:
        return add_scan(l, out, slot, op);
    case LOAD_REMOVE:
        if (add_head(out, "delete", slot) != 0 || buf_add(out, ",\"key\":", 7) != 0 ||
            add_key_string(l, out, op->key) != 0)
            return -ENOMEM;
        return buf_add(out, "}\n", 2);
    case LOAD_N_KINDS:
        break;
    }
    return -EINVAL;
}

/* ---- answers ---- */

struct cursor {
    const char *p;
    const char *end;
};

static bool take(struct cursor *c, const char *text, size_t len)
{
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, text, len) != 0)
        return false;
    c->p += len;
    return true;
}
#define TAKE(c, text) take(c, text, sizeof(text) - 1)

static bool take_digits(struct cursor *c, uint64_t *ret)
{
    const char *from = c->p;
    uint64_t v = 0;

    while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && c->p - from < 19)
        v = v * 10 + (uint64_t)(*c->p++ - '0');
    *ret = v;
    return c->p > from;
}

/* "12", "0.213" */
static bool take_number(struct cursor *c)
{
    uint64_t v;

    if (!take_digits(c, &v))
        return false;
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        return take_digits(c, &v);
    }
    return true;
}

/* A string without escapes, or null; anything else is a value of somebody else, to its end, which
 * is looked for without care: the judge will have none of it. */
static bool take_value(struct cursor *c, const char *before, const char **ret, size_t *ret_len)
{
    const char *from;

    if (TAKE(c, "null")) {
        *ret = NULL;
        *ret_len = 0;
        return true;
    }
    from = c->p;
    if (c->p < c->end && *c->p == '"') {
        const char *quote = memchr(c->p + 1, '"', (size_t)(c->end - c->p - 1));

        if (quote == NULL)
            return false;
        if (memchr(c->p, '\\', (size_t)(quote - c->p)) == NULL) {
            *ret = c->p + 1;
            *ret_len = (size_t)(quote - c->p - 1);
            c->p = quote + 1;
            return true;
        }
    }
    for (const char *p = c->end; p-- > from;)
        if ((size_t)(c->end - p) >= strlen(before) && memcmp(p, before, strlen(before)) == 0) {
            *ret = from;
            *ret_len = (size_t)(p - from);
            c->p = p;
            return true;
        }
    return false;
}

/* What stands behind the value, as the table has it. */
static bool take_tail(struct cursor *c, const char *tail)
{
    const char *closing;
    size_t len;

    for (; *tail != '\0'; tail += len) {
        len = strcspn(tail, "#?$");
        if (!take(c, tail, len))
            return false;
        if (tail[len] == '\0')
            break;
        if (tail[len] == '#' && !take_number(c))
            return false;
        if (tail[len] == '?' && !TAKE(c, "true") && !TAKE(c, "false"))
            return false;
        if (tail[len] == '$') {
            closing = memchr(c->p, '"', (size_t)(c->end - c->p));
            if (closing == NULL)
                return false;
            c->p = closing;
        }
        len++;
    }
    return c->p == c->end;
}

/* ",\"" and the first field behind a value. */
static const char *tail_begin(const char *tail, char *room, size_t size)
{
    (void)snprintf(room, size, "%.*s", (int)strcspn(tail, "#"), tail);
    return room;
}

static bool take_read(const struct lines *l, struct cursor *c, struct load_answer *a)
{
    char before[32];
    const char *tail = vias[l->via].tail;

    if (!TAKE(c, ",\"value\":") ||
        !take_value(c, tail_begin(tail, before, sizeof(before)), &a->value, &a->value_len))
        return false;
    if (a->value == NULL)
        a->outcome = LOAD_ABSENT;
    if (!take_tail(c, tail)) {
        a->outcome = LOAD_WRONG;
        a->error = "it does not say what this method promises";
        a->error_len = strlen(a->error);
    }
    return true;
}

/* [{"key":K,"value":V},...] and the rest. */
static bool take_list(const struct lines *l, struct cursor *c, struct load_conn *conn,
                      unsigned slot, struct load_answer *a)
{
    static const char tail[] =
        ",\"read_at_index\":#,\"heartbeat_confirmed\":true,\"linearizable\":true}";
    const struct asked *asked = &l->asked[slot];
    char digits[LOAD_KEY_DIGITS];
    const char *value;
    size_t len;
    unsigned i;

    if (asked->kind == LOAD_BATCH ? !TAKE(c, ",\"values\":[") : !TAKE(c, ",\"items\":["))
        return false;
    for (i = 0; i < asked->n && !TAKE(c, "]"); i++) {
        load_key_digits(asked->key + i, digits);
        if ((i > 0 && !TAKE(c, ",")) || !TAKE(c, "{\"key\":\"") ||
            !take(c, l->prefix, l->prefix_len) || !take(c, digits, sizeof(digits)) ||
            !TAKE(c, "\",\"value\":") || !take_value(c, "}", &value, &len) || !TAKE(c, "}"))
            return false;
        load_item(conn, slot, i, value, len);
    }
    if (i == asked->n && !TAKE(c, "]"))
        return false;
    if (asked->kind == LOAD_SCAN && !TAKE(c, ",\"more\":true") && !TAKE(c, ",\"more\":false"))
        return false;
    if (!take_tail(c, tail)) {
        a->outcome = LOAD_WRONG;
        a->error = "it does not say that it is linearizable";
        a->error_len = strlen(a->error);
    }
    return true;
}

static const char *type_of(const struct lines *l, enum load_kind kind)
{
    static const char *const types[LOAD_N_KINDS] = {"", "write", "batch_read_index", "scan",
                                                    "delete"};

    return kind == LOAD_READ ? vias[l->via].type : types[kind];
}

static bool take_done(struct lines *l, struct cursor *c, struct load_conn *conn, unsigned slot)
{
    struct load_answer a = {.outcome = LOAD_DONE};
    bool good = false;

    switch (l->asked[slot].kind) {
    case LOAD_READ:
        good = take_read(l, c, &a);
        break;
    case LOAD_WRITE:
        good = TAKE(c, "}") && c->p == c->end;
        break;
    case LOAD_BATCH:
    case LOAD_SCAN:
        good = take_list(l, c, conn, slot, &a);
        break;
    case LOAD_REMOVE:
        good = TAKE(c, ",\"existed\":");
        break;
    case LOAD_N_KINDS:
        break;
    }
    if (!good)
        return false;
    l->asked[slot].open = false;
    load_answered(conn, slot, &a);
    return true;
}

static bool take_error(struct lines *l, const char *line, size_t len, struct load_conn *conn)
{
    cleanup_json json_t *j = json_loadb(line, len, 0, NULL);
    const json_t *id = json_object_get(j, "in_reply_to");
    const char *name = json_string_value(json_object_get(j, "error"));
    const char *text = json_string_value(json_object_get(j, "text"));
    const char *leader = json_string_value(json_object_get(j, "leader_addr"));
    const bool definite = json_is_true(json_object_get(j, "definite"));
    cleanup_free char *words = NULL;
    struct load_answer a = {.outcome = definite ? LOAD_REFUSED : LOAD_UNKNOWN};
    uint64_t slot;

    if (!json_is_integer(id) || name == NULL || json_integer_value(id) < 0)
        return false;
    slot = (uint64_t)json_integer_value(id);
    if (slot >= l->n_slots || !l->asked[slot].open ||
        asprintf(&words, "%s: %s", name, text != NULL ? text : "") < 0)
        return false;
    a.error = words;
    a.error_len = strlen(words);
    if (strcmp(name, "not_leader") == 0) {
        a.leader = leader != NULL ? leader : "";
        a.leader_len = strlen(a.leader);
    }
    l->asked[slot].open = false;
    load_answered(conn, (unsigned)slot, &a);
    return true;
}

static bool take_line(struct lines *l, const char *line, size_t len, struct load_conn *conn)
{
    struct cursor c = {line, line + len};
    const char *type;
    size_t type_len;
    uint64_t slot;

    if (!TAKE(&c, "{\"type\":\""))
        return false;
    if (TAKE(&c, "error\""))
        return take_error(l, line, len, conn);
    type = c.p;
    while (c.p < c.end && *c.p != '"')
        c.p++;
    type_len = (size_t)(c.p - type);
    if (!TAKE(&c, "\",\"in_reply_to\":") || !take_digits(&c, &slot) || slot >= l->n_slots ||
        !l->asked[slot].open)
        return false;
    const char *want = type_of(l, l->asked[slot].kind);

    return type_len == strlen(want) + 3 && memcmp(type, want, type_len - 3) == 0 &&
           memcmp(type + type_len - 3, "_ok", 3) == 0 && take_done(l, &c, conn, (unsigned)slot);
}

static long receive(void *state, struct load_conn *conn, const unsigned char *bytes, size_t len,
                    struct buf *out)
{
    const char *const begin = (const char *)bytes;
    const char *p = begin;

    (void)out;
    for (;;) {
        const char *end = memchr(p, '\n', len - (size_t)(p - begin));

        if (end == NULL)
            return p - begin;
        if (!take_line(state, p, (size_t)(end - p), conn))
            return -EPROTO;
        p = end + 1;
    }
}

/* ---- the tables ---- */

#define VIA(word, via)                                                                             \
    static int open_##word(const char *prefix, unsigned n_slots, struct buf *out, void **ret)      \
    {                                                                                              \
        (void)out;                                                                                 \
        return open_via(via, prefix, n_slots, ret);                                                \
    }
VIA(read_index, LOAD_RIDD_READ_INDEX)
VIA(log, LOAD_RIDD_LOG)
VIA(lease, LOAD_RIDD_LEASE)
VIA(follower, LOAD_RIDD_FOLLOWER)
VIA(local, LOAD_RIDD_LOCAL)
VIA(bounded, LOAD_RIDD_BOUNDED)

static const struct load_protocol protocols[LOAD_RIDD_N_VIAS] = {
    {"read_index", open_read_index, close_lines, submit, receive},
    {"log", open_log, close_lines, submit, receive},
    {"lease", open_lease, close_lines, submit, receive},
    {"follower", open_follower, close_lines, submit, receive},
    {"local", open_local, close_lines, submit, receive},
    {"bounded", open_bounded, close_lines, submit, receive},
};

const struct load_protocol *load_ridd(enum load_ridd_via via)
{
    return &protocols[via];
}
