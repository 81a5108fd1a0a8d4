/* The fields in a row, each with its length; what a command may hold is judged in one place for
 * both directions. */
#include "wire/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"

#include "base/banned.h"

#define COMMAND_FIXED_BYTES (4u + 8u + 8u + 2u + 4u + 4u)
#define COMMAND_FIRST_BYTES 8u
#define KEY_INT_BYTES       9u
#define SIGN_BIT            ((uint64_t)1 << 63)

static_assert(COMMAND_FIXED_BYTES + COMMAND_FIRST_BYTES + KEY_BYTES_MAX + 2u * VALUE_BYTES_MAX <=
                  ENTRY_BYTES_MAX,
              "the largest command must be an entry");

/* ---- keys ---- */

int wire_key_set_string(struct wire_key *key, const char *s, size_t len)
{
    if (len == 0 || len > KEY_STRING_BYTES_MAX)
        return WIRE_KEY_E_LENGTH;
    key->bytes[0] = KEY_TYPE_STRING;
    memcpy(key->bytes + 1, s, len);
    key->len = (uint16_t)(len + 1);
    return 0;
}

void wire_key_set_int(struct wire_key *key, int64_t v)
{
    uint64_t be = htobe64((uint64_t)v ^ SIGN_BIT);

    key->bytes[0] = KEY_TYPE_INT;
    memcpy(key->bytes + 1, &be, sizeof(be));
    key->len = KEY_INT_BYTES;
}

void wire_key_set_internal(struct wire_key *key, const char *name)
{
    size_t len = strlen(name);

    rid_assert(len > 0);
    rid_assert(len <= KEY_STRING_BYTES_MAX);
    key->bytes[0] = KEY_TYPE_INTERNAL;
    memcpy(key->bytes + 1, name, len);
    key->len = (uint16_t)(len + 1);
}

int64_t wire_key_get_int(const struct wire_key *key)
{
    uint64_t be;

    rid_assert(key->len == KEY_INT_BYTES);
    rid_assert(key->bytes[0] == KEY_TYPE_INT);
    memcpy(&be, key->bytes + 1, sizeof(be));
    return (int64_t)(be64toh(be) ^ SIGN_BIT);
}

/* ---- commands ---- */

static bool key_ok(struct wire_slice key)
{
    if (key.len < 2 || key.len > KEY_BYTES_MAX)
        return false;
    switch (key.data[0]) {
    case KEY_TYPE_INT:
        return key.len == KEY_INT_BYTES;
    case KEY_TYPE_STRING:
    case KEY_TYPE_INTERNAL:
        return true;
    default:
        return false;
    }
}

/* No JSON text is empty, so a length of 0 is "absent" and needs no flag. */
static bool value_ok(struct wire_slice value, bool wanted)
{
    if (!wanted)
        return value.len == 0;
    return value.len > 0 && value.len <= VALUE_BYTES_MAX;
}

static const char limit_name[] = "quota";

void command_limit_key(struct wire_key *key)
{
    wire_key_set_internal(key, limit_name);
}

void command_limit_text(uint64_t limit_bytes, char text[COMMAND_LIMIT_CHARS])
{
    rid_assert(limit_bytes <= COMMAND_LIMIT_MAX);
    (void)snprintf(text, COMMAND_LIMIT_CHARS, "%" PRIu64, limit_bytes);
}

bool command_limit_parse(struct wire_slice text, uint64_t *ret_limit_bytes)
{
    uint64_t n = 0;

    if (text.len == 0 || text.len >= COMMAND_LIMIT_CHARS || (text.len > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(text.data[i] - '0');
        if (n > COMMAND_LIMIT_MAX)
            return false;
    }
    *ret_limit_bytes = n;
    return true;
}

static unsigned version_of(const struct command *c)
{
    if (c->op == COMMAND_OPEN_SESSION || c->first != 0)
        return COMMAND_VERSION_SESSION;
    return c->op == COMMAND_LIMIT ? COMMAND_VERSION_LIMIT : 1u;
}

/* One limit, under one name. */
static bool limit_ok(const struct command *c)
{
    struct wire_key key;
    uint64_t limit_bytes;

    command_limit_key(&key);
    return c->key.len == key.len && memcmp(c->key.data, key.bytes, key.len) == 0 &&
           command_limit_parse(c->value, &limit_bytes);
}

/* Nothing but its operation: which session it opens its place in the log says. */
static bool open_ok(const struct command *c)
{
    return c->flags == 0 && c->client == 0 && c->seq == 0 && c->first == 0 && c->key.len == 0 &&
           c->value.len == 0 && c->from.len == 0;
}

/* A seq below `first` could only be one that is not to be applied. */
static bool session_ok(const struct command *c)
{
    if (c->first == 0)
        return (c->client == 0) == (c->seq == 0);
    return c->op != COMMAND_LIMIT && c->client != 0 && c->first <= c->seq;
}

static bool command_ok(const struct command *c)
{
    unsigned flags = c->op == COMMAND_CAS ? COMMAND_FLAG_CREATE_IF_NOT_EXISTS : 0;

    if (c->op < COMMAND_WRITE || c->op > COMMAND_OPEN_SESSION)
        return false;
    if (c->op == COMMAND_OPEN_SESSION)
        return open_ok(c);
    if (c->op == COMMAND_LIMIT && !limit_ok(c))
        return false;
    return (c->flags & ~flags) == 0 && session_ok(c) && key_ok(c->key) &&
           value_ok(c->value, c->op != COMMAND_DELETE) && value_ok(c->from, c->op == COMMAND_CAS);
}

static unsigned char *write_bytes(unsigned char *p, struct wire_slice s)
{
    if (s.len > 0)
        memcpy(p, s.data, s.len);
    return p + s.len;
}

int command_encode(const struct command *c, struct buf *buf)
{
    unsigned char *p;
    size_t n;

    rid_assert(command_ok(c));
    n = COMMAND_FIXED_BYTES + c->key.len + c->value.len + c->from.len;
    if (version_of(c) >= COMMAND_VERSION_SESSION)
        n += COMMAND_FIRST_BYTES;
    p = buf_reserve(buf, n);
    if (p == NULL)
        return err_origin(-ENOMEM);
    p[0] = (unsigned char)version_of(c);
    p[1] = (uint8_t)c->op;
    p[2] = c->flags;
    p[3] = 0;
    put_u64(p + 4, c->client);
    put_u64(p + 12, c->seq);
    p += 20;
    if (version_of(c) >= COMMAND_VERSION_SESSION) {
        put_u64(p, c->first);
        p += COMMAND_FIRST_BYTES;
    }
    put_u16(p, (uint16_t)c->key.len);
    p = write_bytes(p + 2, c->key);
    put_u32(p, (uint32_t)c->value.len);
    p = write_bytes(p + 4, c->value);
    put_u32(p, (uint32_t)c->from.len);
    (void)write_bytes(p + 4, c->from);
    buf->len += n;
    return 0;
}

/* Cuts n bytes off the front of *rest. */
static bool cut(struct wire_slice *rest, size_t n, struct wire_slice *ret)
{
    if (n > rest->len)
        return false;
    ret->data = n > 0 ? rest->data : NULL;
    ret->len = n;
    rest->data += n;
    rest->len -= n;
    return true;
}

static bool cut_sized(struct wire_slice *rest, struct wire_slice *ret)
{
    struct wire_slice size;

    return cut(rest, 4, &size) && cut(rest, get_u32(size.data), ret);
}

static bool cut_key(struct wire_slice *rest, struct wire_slice *ret)
{
    struct wire_slice size;

    return cut(rest, 2, &size) && cut(rest, get_u16(size.data), ret);
}

/* Only what knows of sessions has it. */
static bool cut_first(struct wire_slice *rest, unsigned version, uint64_t *ret)
{
    struct wire_slice first;

    if (version < COMMAND_VERSION_SESSION)
        return true;
    if (!cut(rest, COMMAND_FIRST_BYTES, &first))
        return false;
    *ret = get_u64(first.data);
    return true;
}

int command_decode(const void *data, size_t len, struct command *ret)
{
    struct wire_slice rest = {.data = data, .len = len};
    const unsigned version = len > 0 ? (unsigned char)rest.data[0] : 0;
    struct wire_slice head;
    struct command c = {0};

    if (version > COMMAND_VERSION)
        return COMMAND_E_NEWER;
    if (!cut(&rest, 20, &head) || head.data[3] != 0)
        return COMMAND_E_INVALID;
    c.op = (enum command_op)(unsigned char)head.data[1];
    c.flags = (uint8_t)head.data[2];
    c.client = get_u64(head.data + 4);
    c.seq = get_u64(head.data + 12);
    if (!cut_first(&rest, version, &c.first) || !cut_key(&rest, &c.key) ||
        !cut_sized(&rest, &c.value) || !cut_sized(&rest, &c.from))
        return COMMAND_E_INVALID;
    if (rest.len > 0 || !command_ok(&c) || version != version_of(&c))
        return COMMAND_E_INVALID;
    *ret = c;
    return 0;
}

const char *command_error_text(int error)
{
    switch (error) {
    case 0:
        return "done";
        COMMAND_ERRORS(OUTCOME_CASE)
    default:
        return "unknown outcome";
    }
}
