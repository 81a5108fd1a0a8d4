/* An answer is looked through to its end before any of it is told: a part of one waits for the rest,
 * and the length that a bulk string has in front makes that cheap. */
#include "bench/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/text.h"

/* Longer than any length, integer or error that a server sends in one line. */
#define LINE_BYTES_MAX 4096u
/* Of a bulk string; Redis has no larger ones. */
#define BULK_BYTES_MAX (512 << 20)

struct asked {
    unsigned slot;
    enum load_kind kind;
    unsigned n;
};

struct resp {
    const char *prefix; /* borrowed */
    size_t prefix_len;
    unsigned n_slots;
    unsigned first; /* of the ring: its answer is the next one */
    unsigned n_asked;
    struct asked asked[];
};

static int resp_open(const char *prefix, unsigned n_slots, struct buf *out, void **ret)
{
    struct resp *r = calloc(1, sizeof(*r) + n_slots * sizeof(r->asked[0]));

    (void)out;
    if (r == NULL)
        return -ENOMEM;
    r->prefix = prefix;
    r->prefix_len = strlen(prefix);
    r->n_slots = n_slots;
    *ret = r;
    return 0;
}

static void resp_close(void *state)
{
    free(state);
}

/* ---- requests ---- */

/* "$12\r\n" or "*3\r\n" */
static int add_length(struct buf *out, char mark, size_t n)
{
    char *p = buf_reserve(out, 24);
    char digits[20];
    unsigned k = 0;
    char *q = p;

    if (p == NULL)
        return -ENOMEM;
    *q++ = mark;
    do
        digits[k++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (k > 0)
        *q++ = digits[--k];
    *q++ = '\r';
    *q++ = '\n';
    out->len += (size_t)(q - p);
    return 0;
}

static int add_key(const struct resp *r, struct buf *out, uint64_t key)
{
    int rc = add_length(out, '$', r->prefix_len + LOAD_KEY_DIGITS);

    if (rc == 0)
        rc = load_add_key(out, r->prefix, r->prefix_len, key);
    return rc != 0 ? rc : buf_add(out, "\r\n", 2);
}

static int add_write(const struct resp *r, struct buf *out, const struct load_op *op)
{
    static const char head[] = "*3\r\n$3\r\nSET\r\n";
    int rc = buf_add(out, head, sizeof(head) - 1);

    if (rc == 0)
        rc = add_key(r, out, op->key);
    if (rc == 0)
        rc = add_length(out, '$', load_value_len(r->prefix_len, op->number, op->value_bytes));
    if (rc == 0)
        rc = load_add_value(out, r->prefix, r->prefix_len, op);
    return rc != 0 ? rc : buf_add(out, "\r\n", 2);
}

static int add_batch(const struct resp *r, struct buf *out, const struct load_op *op)
{
    int rc = add_length(out, '*', op->n + 1u);

    if (rc == 0)
        rc = buf_add(out, "$4\r\nMGET\r\n", 10);
    for (unsigned i = 0; i < op->n && rc == 0; i++)
        rc = add_key(r, out, op->key + i);
    return rc;
}

static int add_one(const struct resp *r, struct buf *out, const char *head, uint64_t key)
{
    int rc = buf_add(out, head, strlen(head));

    return rc != 0 ? rc : add_key(r, out, key);
}

static int add_request(const struct resp *r, struct buf *out, const struct load_op *op)
{
    switch (op->kind) {
    case LOAD_READ:
        return add_one(r, out, "*2\r\n$3\r\nGET\r\n", op->key);
    case LOAD_WRITE:
        return add_write(r, out, op);
    case LOAD_BATCH:
        return add_batch(r, out, op);
    case LOAD_REMOVE:
        return add_one(r, out, "*2\r\n$3\r\nDEL\r\n", op->key);
    case LOAD_SCAN:
        return -EOPNOTSUPP;
    case LOAD_N_KINDS:
        break;
    }
    return -EINVAL;
}

static int resp_submit(void *state, struct buf *out, unsigned slot, const struct load_op *op)
{
    struct resp *r = state;
    const size_t len = out->len;
    int rc;

    if (r->n_asked == r->n_slots)
        return -ENOBUFS;
    rc = add_request(r, out, op);
    if (rc != 0) {
        out->len = len; /* half a request would be the beginning of the next */
        return rc;
    }
    r->asked[(r->first + r->n_asked++) % r->n_slots] = (struct asked){slot, op->kind, op->n};
    return 0;
}

/* ---- answers ---- */

enum take { TAKE_WHOLE, TAKE_PART, TAKE_BAD };

struct cursor {
    const char *p;
    const char *end;
};

struct bulk {
    const char *text; /* NULL: nil */
    size_t len;
};

static enum take take_line(struct cursor *c, const char **ret, size_t *ret_len)
{
    const size_t left = (size_t)(c->end - c->p);
    const char *end = memchr(c->p, '\n', left < LINE_BYTES_MAX ? left : LINE_BYTES_MAX);

    if (end == NULL)
        return left < LINE_BYTES_MAX ? TAKE_PART : TAKE_BAD;
    if (end == c->p || end[-1] != '\r')
        return TAKE_BAD;
    *ret = c->p;
    *ret_len = (size_t)(end - c->p) - 1;
    c->p = end + 1;
    return TAKE_WHOLE;
}

/* "$12": the mark, and a number of at least -1. */
static enum take take_length(struct cursor *c, char mark, long *ret)
{
    const char *line;
    size_t len;
    long v = 0;
    const enum take t = take_line(c, &line, &len);

    if (t != TAKE_WHOLE)
        return t;
    if (len < 2 || len > 10 || line[0] != mark)
        return TAKE_BAD;
    if (len == 3 && line[1] == '-' && line[2] == '1') {
        *ret = -1;
        return TAKE_WHOLE;
    }
    for (size_t i = 1; i < len; i++) {
        if (line[i] < '0' || line[i] > '9')
            return TAKE_BAD;
        v = v * 10 + (line[i] - '0');
    }
    *ret = v;
    return TAKE_WHOLE;
}

static enum take take_bulk(struct cursor *c, struct bulk *ret)
{
    long n = 0;
    const enum take t = take_length(c, '$', &n);

    if (t != TAKE_WHOLE)
        return t;
    if (n > BULK_BYTES_MAX)
        return TAKE_BAD;
    *ret = (struct bulk){NULL, 0};
    if (n < 0)
        return TAKE_WHOLE;
    if (c->end - c->p < n + 2)
        return TAKE_PART;
    if (c->p[n] != '\r' || c->p[n + 1] != '\n')
        return TAKE_BAD;
    *ret = (struct bulk){c->p, (size_t)n};
    c->p += n + 2;
    return TAKE_WHOLE;
}

static enum take take_error(struct cursor *c, struct load_answer *a)
{
    const char *line;
    size_t len;
    const enum take t = take_line(c, &line, &len);

    if (t != TAKE_WHOLE)
        return t;
    a->outcome = LOAD_REFUSED;
    a->error = line + 1;
    a->error_len = len - 1;
    return TAKE_WHOLE;
}

static enum take take_read(struct cursor *c, struct load_answer *a)
{
    struct bulk b = {NULL, 0};
    const enum take t = take_bulk(c, &b);

    a->outcome = b.text != NULL ? LOAD_DONE : LOAD_ABSENT;
    a->value = b.text;
    a->value_len = b.len;
    return t;
}

static enum take take_ok(struct cursor *c)
{
    const char *line;
    size_t len;
    const enum take t = take_line(c, &line, &len);

    return t == TAKE_WHOLE && (len != 3 || memcmp(line, "+OK", 3) != 0) ? TAKE_BAD : t;
}

static enum take take_count(struct cursor *c)
{
    long n = 0;
    const enum take t = take_length(c, ':', &n);

    return t == TAKE_WHOLE && (n < 0 || n > 1) ? TAKE_BAD : t;
}

/* Twice: the first time to see that it is whole. */
static enum take take_batch(struct cursor *c, struct load_conn *conn, const struct asked *asked)
{
    struct cursor again;
    struct bulk b = {NULL, 0};
    long n = 0;
    enum take t = take_length(c, '*', &n);

    if (t == TAKE_WHOLE && (n < 0 || (unsigned long)n != asked->n))
        return TAKE_BAD;
    again = *c;
    for (unsigned i = 0; i < asked->n && t == TAKE_WHOLE; i++)
        t = take_bulk(c, &b);
    for (unsigned i = 0; i < asked->n && t == TAKE_WHOLE; i++) {
        (void)take_bulk(&again, &b);
        load_item(conn, asked->slot, i, b.text, b.len);
    }
    return t;
}

static enum take take_answer(struct cursor *c, struct load_conn *conn, const struct asked *asked,
                             struct load_answer *a)
{
    if (c->p == c->end)
        return TAKE_PART;
    if (*c->p == '-')
        return take_error(c, a);
    switch (asked->kind) {
    case LOAD_READ:
        return take_read(c, a);
    case LOAD_WRITE:
        return take_ok(c);
    case LOAD_BATCH:
        return take_batch(c, conn, asked);
    case LOAD_REMOVE:
        return take_count(c);
    case LOAD_SCAN:
    case LOAD_N_KINDS:
        break;
    }
    return TAKE_BAD;
}

static long resp_receive(void *state, struct load_conn *conn, const unsigned char *bytes,
                         size_t len, struct buf *out)
{
    struct resp *r = state;
    const char *const begin = (const char *)bytes;
    struct cursor c = {begin, begin + len};

    (void)out;
    while (c.p < c.end) {
        const char *const from = c.p;
        struct load_answer a = {.outcome = LOAD_DONE};
        struct asked asked;
        enum take t;

        if (r->n_asked == 0)
            return -EPROTO;
        asked = r->asked[r->first];
        t = take_answer(&c, conn, &asked, &a);
        if (t == TAKE_BAD)
            return -EPROTO;
        if (t == TAKE_PART)
            return from - begin;
        r->first = (r->first + 1) % r->n_slots;
        r->n_asked--;
        load_answered(conn, asked.slot, &a);
    }
    return (long)len;
}

const struct load_protocol resp_protocol = {"redis", resp_open, resp_close, resp_submit,
                                            resp_receive};
