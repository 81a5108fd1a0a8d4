/* Bytes of a CONFIG entry, little endian: u8 version (2), u8 0, u16 n, then per server: u8 role,
 * u8 name length, u16 peer address length, u16 client address length, u64 id, the three strings.
 *
 * Version 1 had no ids: there every server was a founder, and gets the founder's id of its name.
 * Logs that begin with it are read for ever; it is not written any more. */
#include "raft/configuration.h"

#include <errno.h>

#include "base/assert.h"
#include "base/bytes.h"

#define CONFIGURATION_VERSION      2u
#define CONFIGURATION_HEADER_BYTES 4u
#define SERVER_HEADER_BYTES        14u
#define SERVER_HEADER_BYTES_V1     6u

static_assert(CONFIGURATION_HEADER_BYTES +
                      RAFT_SERVERS_MAX *
                          (SERVER_HEADER_BYTES + NODE_NAME_BYTES_MAX + 2 * ADDRESS_BYTES_MAX) <=
                  ENTRY_BYTES_MAX,
              "the largest configuration fits an entry");

void raft_configuration_init(struct raft_configuration *c)
{
    memset(c, 0, sizeof(*c));
}

static bool text_is_valid(const char *s, size_t len, size_t max)
{
    if (len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x21 || (unsigned char)s[i] > 0x7e)
            return false;
    return true;
}

int raft_configuration_add(struct raft_configuration *c, raft_node_id id, const char *name,
                           enum raft_server_role role, const char *peer_addr,
                           const char *client_addr)
{
    struct raft_server *s;
    unsigned at = 0;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    if (id == 0 || name[0] == '\0' || !text_is_valid(name, strlen(name), NODE_NAME_BYTES_MAX) ||
        !text_is_valid(peer_addr, strlen(peer_addr), ADDRESS_BYTES_MAX) ||
        !text_is_valid(client_addr, strlen(client_addr), ADDRESS_BYTES_MAX) ||
        (role != RAFT_VOTER && role != RAFT_LEARNER))
        return RAFT_CONFIGURATION_E_INVALID;
    if (raft_configuration_get(c, id) != NULL || raft_configuration_get_name(c, name) != NULL)
        return RAFT_CONFIGURATION_E_DUPLICATE;
    if (c->n == RAFT_SERVERS_MAX)
        return RAFT_CONFIGURATION_E_FULL;
    while (at < c->n && strcmp(c->servers[at].name, name) < 0)
        at++;
    rid_assert(at <= c->n);
    memmove(&c->servers[at + 1], &c->servers[at], (c->n - at) * sizeof(c->servers[0]));
    s = &c->servers[at];
    memset(s, 0, sizeof(*s));
    s->id = id;
    s->role = role;
    memcpy(s->name, name, strlen(name));
    memcpy(s->peer_addr, peer_addr, strlen(peer_addr));
    memcpy(s->client_addr, client_addr, strlen(client_addr));
    c->n++;
    return 0;
}

const struct raft_server *raft_configuration_get(const struct raft_configuration *c,
                                                 raft_node_id id)
{
    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

const struct raft_server *raft_configuration_get_name(const struct raft_configuration *c,
                                                      const char *name)
{
    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < c->n; i++)
        if (strcmp(c->servers[i].name, name) == 0)
            return &c->servers[i];
    return NULL;
}

unsigned raft_configuration_n_voters(const struct raft_configuration *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += c->servers[i].role == RAFT_VOTER;
    rid_assert(n <= RAFT_SERVERS_MAX);
    return n;
}

static size_t server_bytes(const struct raft_server *s)
{
    return SERVER_HEADER_BYTES + strlen(s->name) + strlen(s->peer_addr) + strlen(s->client_addr);
}

static unsigned char *put_text(unsigned char *p, const char *text)
{
    size_t len = strlen(text);

    memcpy(p, text, len);
    return p + len;
}

static unsigned char *put_server(unsigned char *p, const struct raft_server *s)
{
    rid_assert(s->id != 0); /* raft_configuration_add() has seen to all of it */
    rid_assert(s->name[0] != '\0');
    rid_assert(strlen(s->name) <= NODE_NAME_BYTES_MAX);
    rid_assert(strlen(s->peer_addr) <= ADDRESS_BYTES_MAX);
    rid_assert(strlen(s->client_addr) <= ADDRESS_BYTES_MAX);
    p[0] = (unsigned char)s->role;
    p[1] = (unsigned char)strlen(s->name);
    put_u16(p + 2, (uint16_t)strlen(s->peer_addr));
    put_u16(p + 4, (uint16_t)strlen(s->client_addr));
    put_u64(p + 6, s->id);
    p = put_text(p + SERVER_HEADER_BYTES, s->name);
    p = put_text(p, s->peer_addr);
    return put_text(p, s->client_addr);
}

int raft_configuration_encode(const struct raft_configuration *c, struct buf *buf)
{
    size_t need = CONFIGURATION_HEADER_BYTES;
    unsigned char *begin;
    unsigned char *p;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < c->n; i++)
        need += server_bytes(&c->servers[i]);
    begin = buf_reserve(buf, need);
    if (begin == NULL)
        return -ENOMEM;
    begin[0] = CONFIGURATION_VERSION;
    begin[1] = 0;
    put_u16(begin + 2, (uint16_t)c->n);
    p = begin + CONFIGURATION_HEADER_BYTES;
    for (unsigned i = 0; i < c->n; i++)
        p = put_server(p, &c->servers[i]);
    rid_assert((size_t)(p - begin) == need);
    buf->len += need;
    return 0;
}

struct reader {
    const unsigned char *p;
    size_t left;
};

/* Takes len bytes off the front as a string; false when there are fewer. */
static bool take_text(struct reader *in, size_t len, size_t max, char *ret)
{
    if (len > max || len > in->left)
        return false;
    memcpy(ret, in->p, len);
    ret[len] = '\0';
    in->p += len;
    in->left -= len;
    return strlen(ret) == len;
}

/* One server onto the end of c: sorted in the bytes too, so that equal memberships have equal
 * bytes. */
static bool take_server(struct reader *in, unsigned version, struct raft_configuration *c)
{
    size_t header = version == 1 ? SERVER_HEADER_BYTES_V1 : SERVER_HEADER_BYTES;
    struct raft_server s = {0};
    const unsigned char *h = in->p;
    unsigned n = c->n;

    if (in->left < header)
        return false;
    in->p += header;
    in->left -= header;
    if ((h[0] != RAFT_VOTER && h[0] != RAFT_LEARNER) ||
        !take_text(in, h[1], NODE_NAME_BYTES_MAX, s.name) ||
        !take_text(in, get_u16(h + 2), ADDRESS_BYTES_MAX, s.peer_addr) ||
        !take_text(in, get_u16(h + 4), ADDRESS_BYTES_MAX, s.client_addr))
        return false;
    s.id = version == 1 ? raft_founder_id(s.name) : get_u64(h + 6);
    return raft_configuration_add(c, s.id, s.name, (enum raft_server_role)h[0], s.peer_addr,
                                  s.client_addr) == 0 &&
           c->servers[n].id == s.id;
}

int raft_configuration_decode(const void *data, size_t len, struct raft_configuration *ret)
{
    struct reader in = {.p = data, .left = len};
    struct raft_configuration c;
    unsigned version;
    unsigned n;

    if (len < CONFIGURATION_HEADER_BYTES)
        return RAFT_CONFIGURATION_E_INVALID;
    version = in.p[0];
    if (version > CONFIGURATION_VERSION)
        return RAFT_CONFIGURATION_E_NEWER; /* nothing is known of what follows */
    if (version < 1 || in.p[1] != 0)
        return RAFT_CONFIGURATION_E_INVALID;
    n = get_u16(in.p + 2);
    if (n == 0 || n > RAFT_SERVERS_MAX)
        return RAFT_CONFIGURATION_E_INVALID;
    in.p += CONFIGURATION_HEADER_BYTES;
    in.left -= CONFIGURATION_HEADER_BYTES;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < n; i++)
        if (!take_server(&in, version, &c))
            return RAFT_CONFIGURATION_E_INVALID;
    if (in.left != 0)
        return RAFT_CONFIGURATION_E_INVALID;
    rid_assert(c.n == n);
    *ret = c;
    return 0;
}

const char *raft_configuration_error_text(int rc)
{
    switch ((enum raft_configuration_error)rc) {
#define RAFT_CONFIGURATION_ERROR(name, value, text)                                                \
    case name:                                                                                     \
        return text;
        RAFT_CONFIGURATION_ERRORS(RAFT_CONFIGURATION_ERROR)
#undef RAFT_CONFIGURATION_ERROR
    }
    return "unknown";
}
