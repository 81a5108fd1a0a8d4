/* Bytes of a CONFIG entry, little endian: u8 version (1), u8 0, u16 n, then per server: u8 role, u8
 * name length, u16 peer address length, u16 client address length, the three strings. The number of
 * a server is computed from its name. */
#include "raft/configuration.h"

#include <errno.h>

#include "base/bytes.h"

#define CONFIGURATION_VERSION      1u
#define CONFIGURATION_HEADER_BYTES 4u
#define SERVER_HEADER_BYTES        6u

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

int raft_configuration_add(struct raft_configuration *c, const char *name,
                           enum raft_server_role role, const char *peer_addr,
                           const char *client_addr)
{
    struct raft_server *s;
    unsigned at = 0;
    raft_node_id id;

    if (name[0] == '\0' || !text_is_valid(name, strlen(name), NODE_NAME_BYTES_MAX) ||
        !text_is_valid(peer_addr, strlen(peer_addr), ADDRESS_BYTES_MAX) ||
        !text_is_valid(client_addr, strlen(client_addr), ADDRESS_BYTES_MAX) ||
        (role != RAFT_VOTER && role != RAFT_LEARNER))
        return RAFT_CONFIGURATION_E_INVALID;
    id = raft_node_id_of_name(name);
    if (raft_configuration_get(c, id) != NULL)
        return RAFT_CONFIGURATION_E_DUPLICATE;
    if (c->n == RAFT_SERVERS_MAX)
        return RAFT_CONFIGURATION_E_FULL;
    while (at < c->n && strcmp(c->servers[at].name, name) < 0)
        at++;
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
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == id)
            return &c->servers[i];
    return NULL;
}

const struct raft_server *raft_configuration_get_name(const struct raft_configuration *c,
                                                      const char *name)
{
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
    return n;
}

int raft_configuration_encode(const struct raft_configuration *c, struct buf *buf)
{
    size_t need = CONFIGURATION_HEADER_BYTES;
    unsigned char *p;

    for (unsigned i = 0; i < c->n; i++)
        need += SERVER_HEADER_BYTES + strlen(c->servers[i].name) + strlen(c->servers[i].peer_addr) +
                strlen(c->servers[i].client_addr);
    p = buf_reserve(buf, need);
    if (p == NULL)
        return -ENOMEM;
    p[0] = CONFIGURATION_VERSION;
    p[1] = 0;
    put_u16(p + 2, (uint16_t)c->n);
    p += CONFIGURATION_HEADER_BYTES;
    for (unsigned i = 0; i < c->n; i++) {
        const struct raft_server *s = &c->servers[i];
        size_t name_len = strlen(s->name);
        size_t peer_len = strlen(s->peer_addr);
        size_t client_len = strlen(s->client_addr);

        p[0] = (unsigned char)s->role;
        p[1] = (unsigned char)name_len;
        put_u16(p + 2, (uint16_t)peer_len);
        put_u16(p + 4, (uint16_t)client_len);
        p += SERVER_HEADER_BYTES;
        memcpy(p, s->name, name_len);
        p += name_len;
        memcpy(p, s->peer_addr, peer_len);
        p += peer_len;
        memcpy(p, s->client_addr, client_len);
        p += client_len;
    }
    buf->len += need;
    return 0;
}

/* Takes len bytes off the front as a string; false when there are fewer. */
static bool take_text(const unsigned char **p, size_t *left, size_t len, size_t max, char *ret)
{
    if (len > max || len > *left)
        return false;
    memcpy(ret, *p, len);
    ret[len] = '\0';
    *p += len;
    *left -= len;
    return strlen(ret) == len;
}

int raft_configuration_decode(const void *data, size_t len, struct raft_configuration *ret)
{
    struct raft_configuration c;
    const unsigned char *p = data;
    size_t left = len;
    unsigned n;

    if (len < CONFIGURATION_HEADER_BYTES || p[0] != CONFIGURATION_VERSION || p[1] != 0)
        return RAFT_CONFIGURATION_E_INVALID;
    n = get_u16(p + 2);
    if (n == 0 || n > RAFT_SERVERS_MAX)
        return RAFT_CONFIGURATION_E_INVALID;
    p += CONFIGURATION_HEADER_BYTES;
    left -= CONFIGURATION_HEADER_BYTES;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < n; i++) {
        char name[NODE_NAME_BYTES_MAX + 1];
        char peer_addr[ADDRESS_BYTES_MAX + 1];
        char client_addr[ADDRESS_BYTES_MAX + 1];
        unsigned role;
        size_t name_len;
        size_t peer_len;
        size_t client_len;

        if (left < SERVER_HEADER_BYTES)
            return RAFT_CONFIGURATION_E_INVALID;
        role = p[0];
        name_len = p[1];
        peer_len = get_u16(p + 2);
        client_len = get_u16(p + 4);
        p += SERVER_HEADER_BYTES;
        left -= SERVER_HEADER_BYTES;
        if ((role != RAFT_VOTER && role != RAFT_LEARNER) ||
            !take_text(&p, &left, name_len, NODE_NAME_BYTES_MAX, name) ||
            !take_text(&p, &left, peer_len, ADDRESS_BYTES_MAX, peer_addr) ||
            !take_text(&p, &left, client_len, ADDRESS_BYTES_MAX, client_addr))
            return RAFT_CONFIGURATION_E_INVALID;
        /* Sorted in the bytes too: equal memberships have equal bytes. */
        if (raft_configuration_add(&c, name, (enum raft_server_role)role, peer_addr, client_addr) !=
                0 ||
            strcmp(c.servers[i].name, name) != 0)
            return RAFT_CONFIGURATION_E_INVALID;
    }
    if (left != 0)
        return RAFT_CONFIGURATION_E_INVALID;
    *ret = c;
    return 0;
}
