/* Protobuf by hand: a field is a key (number and type) and a varint, eight or four bytes, or a length
 * and so many. A message within another one has its length in front, which is counted before it is
 * written. */
#include "bench/etcd-wire.h"

#include <stdbool.h>

#include "load/text.h"

enum { TYPE_VARINT = 0, TYPE_FIXED64 = 1, TYPE_BYTES = 2, TYPE_FIXED32 = 5 };

/* RangeRequest: key 1, range_end 2, limit 3. PutRequest: key 1, value 2. DeleteRangeRequest: key 1. */
enum { FIELD_KEY = 1, FIELD_RANGE_END = 2, FIELD_PUT_VALUE = 2, FIELD_LIMIT = 3 };
/* TxnRequest: success 2. RequestOp: request_range 1. */
enum { FIELD_TXN_SUCCESS = 2, FIELD_OP_RANGE = 1 };
/* RangeResponse: kvs 2. KeyValue: value 5. TxnResponse: succeeded 2, responses 3. ResponseOp:
 * response_range 1. */
enum { FIELD_KVS = 2, FIELD_VALUE = 5, FIELD_TXN_RESPONSES = 3, FIELD_OP_RESPONSE = 1 };

const char *etcd_path(enum load_kind kind)
{
    static const char *const paths[LOAD_N_KINDS] = {
        "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn",
        "/etcdserverpb.KV/Range", "/etcdserverpb.KV/DeleteRange"};

    return paths[kind];
}

/* ---- requests ---- */

static size_t varint_len(uint64_t v)
{
    size_t n = 1;

    while ((v >>= 7) > 0)
        n++;
    return n;
}

static int add_varint(struct buf *out, uint64_t v)
{
    unsigned char *p = buf_reserve(out, 10);
    unsigned n = 0;

    if (p == NULL)
        return -ENOMEM;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (unsigned char)(v | 0x80);
    p[n++] = (unsigned char)v;
    out->len += n;
    return 0;
}

/* A field of bytes, up to where they begin. */
static int add_head(struct buf *out, unsigned field, size_t len)
{
    const int rc = add_varint(out, field << 3 | TYPE_BYTES);

    return rc != 0 ? rc : add_varint(out, len);
}

static size_t field_len(size_t len)
{
    return 1 + varint_len(len) + len;
}

static int add_key(struct buf *out, const char *prefix, size_t prefix_len, uint64_t key)
{
    const int rc = add_head(out, FIELD_KEY, prefix_len + LOAD_KEY_DIGITS);

    return rc != 0 ? rc : load_add_key(out, prefix, prefix_len, key);
}

/* Range and DeleteRange of one key. */
static int add_one(struct buf *out, const char *prefix, size_t prefix_len, uint64_t key)
{
    return add_key(out, prefix, prefix_len, key);
}

static int add_put(struct buf *out, const char *prefix, size_t prefix_len, const struct load_op *op)
{
    int rc = add_key(out, prefix, prefix_len, op->key);

    if (rc == 0)
        rc =
            add_head(out, FIELD_PUT_VALUE, load_value_len(prefix_len, op->number, op->value_bytes));
    return rc != 0 ? rc : load_add_value(out, prefix, prefix_len, op);
}

static int add_txn(struct buf *out, const char *prefix, size_t prefix_len, const struct load_op *op)
{
    const size_t range_len = field_len(prefix_len + LOAD_KEY_DIGITS);
    int rc = 0;

    for (unsigned i = 0; i < op->n && rc == 0; i++) {
        rc = add_head(out, FIELD_TXN_SUCCESS, field_len(range_len));
        if (rc == 0)
            rc = add_head(out, FIELD_OP_RANGE, range_len);
        if (rc == 0)
            rc = add_key(out, prefix, prefix_len, op->key + i);
    }
    return rc;
}

/* Up to the first key behind all with the prefix: its last byte and one; "\0" says: all there are. */
static int add_scan(struct buf *out, const char *prefix, size_t prefix_len,
                    const struct load_op *op)
{
    const size_t end_len = prefix_len > 0 ? prefix_len : 1;
    int rc = add_key(out, prefix, prefix_len, op->key);

    if (rc == 0)
        rc = add_head(out, FIELD_RANGE_END, end_len);
    if (rc == 0)
        rc = prefix_len > 0 ? buf_add(out, prefix, prefix_len) : buf_add_u8(out, 0);
    if (rc == 0 && prefix_len > 0)
        out->data[out->len - 1]++;
    if (rc == 0)
        rc = add_varint(out, FIELD_LIMIT << 3 | TYPE_VARINT);
    return rc != 0 ? rc : add_varint(out, op->n);
}

static int add_message(struct buf *out, const char *prefix, size_t prefix_len,
                       const struct load_op *op)
{
    switch (op->kind) {
    case LOAD_READ:
    case LOAD_REMOVE:
        return add_one(out, prefix, prefix_len, op->key);
    case LOAD_WRITE:
        return add_put(out, prefix, prefix_len, op);
    case LOAD_BATCH:
        return add_txn(out, prefix, prefix_len, op);
    case LOAD_SCAN:
        return add_scan(out, prefix, prefix_len, op);
    case LOAD_N_KINDS:
        break;
    }
    return -EINVAL;
}

int etcd_add_request(struct buf *out, const char *prefix, const struct load_op *op)
{
    static const unsigned char head[ETCD_GRPC_HEAD];
    const size_t from = out->len;
    int rc = buf_add(out, head, sizeof(head));
    size_t len;

    if (rc == 0)
        rc = add_message(out, prefix, strlen(prefix), op);
    if (rc != 0) {
        out->len = from;
        return rc;
    }
    len = out->len - from - ETCD_GRPC_HEAD;
    for (unsigned i = 0; i < 4; i++)
        out->data[from + 1 + i] = (unsigned char)(len >> (24 - 8 * i));
    return 0;
}

/* ---- answers ---- */

struct cursor {
    const unsigned char *p;
    const unsigned char *end;
};

struct field {
    unsigned number;
    unsigned type;
    uint64_t v;          /* of a varint */
    struct cursor bytes; /* of bytes */
};

static bool take_varint(struct cursor *c, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
        const unsigned char byte = *c->p++;

        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct cursor *c, size_t len)
{
    if ((size_t)(c->end - c->p) < len)
        return false;
    c->p += len;
    return true;
}

static bool take_field(struct cursor *c, struct field *f)
{
    uint64_t key;

    *f = (struct field){0};
    if (!take_varint(c, &key) || key >> 3 == 0 || key >> 3 > (1u << 29) - 1)
        return false;
    f->number = (unsigned)(key >> 3);
    f->type = (unsigned)(key & 7);
    switch (f->type) {
    case TYPE_VARINT:
        return take_varint(c, &f->v);
    case TYPE_FIXED64:
        return take_fixed(c, 8);
    case TYPE_FIXED32:
        return take_fixed(c, 4);
    case TYPE_BYTES:
        if (!take_varint(c, &f->v) || f->v > (uint64_t)(c->end - c->p))
            return false;
        f->bytes = (struct cursor){c->p, c->p + f->v};
        c->p += f->v;
        return true;
    default:
        return false;
    }
}

struct items {
    unsigned n;
    unsigned n_max;
    etcd_item_fn item;
    void *arg;
};

static bool note_item(struct items *items, const char *value, size_t len)
{
    if (items->n == items->n_max)
        return false;
    items->item(items->arg, items->n++, value, len);
    return true;
}

/* An empty value is not sent at all. */
static bool take_kv(struct cursor c, struct items *items)
{
    const char *value = "";
    size_t len = 0;
    struct field f;

    while (c.p < c.end) {
        if (!take_field(&c, &f))
            return false;
        if (f.number == FIELD_VALUE && f.type == TYPE_BYTES) {
            value = (const char *)f.bytes.p;
            len = (size_t)(f.bytes.end - f.bytes.p);
        }
    }
    return note_item(items, value, len);
}

static bool take_range(struct cursor c, struct items *items)
{
    struct field f;

    while (c.p < c.end)
        if (!take_field(&c, &f) ||
            (f.number == FIELD_KVS && f.type == TYPE_BYTES && !take_kv(f.bytes, items)))
            return false;
    return true;
}

/* A range that found nothing is an item, too. */
static bool take_op(struct cursor c, struct items *items)
{
    const unsigned before = items->n;
    struct field f;

    while (c.p < c.end)
        if (!take_field(&c, &f) ||
            (f.number == FIELD_OP_RESPONSE && f.type == TYPE_BYTES && !take_range(f.bytes, items)))
            return false;
    return items->n == before + 1 || (items->n == before && note_item(items, NULL, 0));
}

static bool take_txn(struct cursor c, struct items *items)
{
    struct field f;

    while (c.p < c.end)
        if (!take_field(&c, &f) ||
            (f.number == FIELD_TXN_RESPONSES && f.type == TYPE_BYTES && !take_op(f.bytes, items)))
            return false;
    return true;
}

/* Of which nothing is wanted. */
static bool take_any(struct cursor c)
{
    struct field f;

    while (c.p < c.end)
        if (!take_field(&c, &f))
            return false;
    return true;
}

static bool take_message(enum load_kind kind, struct cursor c, struct items *items)
{
    switch (kind) {
    case LOAD_READ:
    case LOAD_SCAN:
        return take_range(c, items);
    case LOAD_BATCH:
        return take_txn(c, items);
    case LOAD_WRITE:
    case LOAD_REMOVE:
        return take_any(c);
    case LOAD_N_KINDS:
        break;
    }
    return false;
}

int etcd_take_answer(enum load_kind kind, const unsigned char *bytes, size_t len, unsigned n_max,
                     etcd_item_fn item, void *arg)
{
    struct items items = {0, n_max, item, arg};
    size_t said = 0;

    if (len < ETCD_GRPC_HEAD || bytes[0] != 0)
        return -EPROTO;
    for (unsigned i = 1; i < ETCD_GRPC_HEAD; i++)
        said = said << 8 | bytes[i];
    if (said != len - ETCD_GRPC_HEAD)
        return -EPROTO;
    return take_message(kind, (struct cursor){bytes + ETCD_GRPC_HEAD, bytes + len}, &items)
               ? 0
               : -EPROTO;
}
