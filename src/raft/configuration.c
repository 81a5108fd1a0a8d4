/* Bytes of a CONFIG entry, little endian: u8 version (2 or 3), u8 0, u16 n, then per server: u8
 * role, u8 name length, u16 peer address length, u16 client address length, u64 id, the three
 * strings.
 *
 * Version 3 has behind the id of a server u64 incarnation, u64 id of the one that it replaces, u32
 * patience in ms, u8 promote (0, 1), u8 0; and behind the servers 16 bytes cluster id, u32 version
 * of the cluster, u16 number of removed ones, then for each of them u64 id, u64 index, u8 name
 * length, the name. It is written where one of these says something.
 *
 * Version 1 had no ids: there every server was a founder, and gets the founder's id of its name.
 * Logs that begin with it are read for ever; it is not written any more. */
#include "raft/configuration.h"

#include <errno.h>

#include "base/assert.h"
#include "base/bytes.h"

#define CONFIGURATION_VERSION_PLAIN 2u
#define CONFIGURATION_VERSION       3u
#define CONFIGURATION_HEADER_BYTES  4u
#define SERVER_HEADER_BYTES         14u
#define SERVER_HEADER_BYTES_V1      6u
#define SERVER_MORE_BYTES           22u
#define CONFIGURATION_TAIL_BYTES    22u
#define REMOVED_HEADER_BYTES        17u

static_assert(CONFIGURATION_HEADER_BYTES +
                      RAFT_SERVERS_MAX * (SERVER_HEADER_BYTES + SERVER_MORE_BYTES +
                                          NODE_NAME_BYTES_MAX + 2 * ADDRESS_BYTES_MAX) +
                      CONFIGURATION_TAIL_BYTES +
                      RAFT_REMOVED_MAX * (REMOVED_HEADER_BYTES + NODE_NAME_BYTES_MAX) <=
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

bool raft_configuration_remove(struct raft_configuration *c, raft_node_id id, raft_index index)
{
    const struct raft_server *s = raft_configuration_get(c, id);
    struct raft_removed *removed;
    size_t at;

    if (s == NULL)
        return false;
    at = (size_t)(s - c->servers);
    if (index != 0) {
        if (c->n_removed == RAFT_REMOVED_MAX) {
            memmove(&c->removed[0], &c->removed[1], (RAFT_REMOVED_MAX - 1) * sizeof(c->removed[0]));
            c->n_removed--;
        }
        removed = &c->removed[c->n_removed++];
        *removed = (struct raft_removed){.id = id, .index = index};
        memcpy(removed->name, s->name, sizeof(removed->name));
    }
    memmove(&c->servers[at], &c->servers[at + 1], (c->n - at - 1) * sizeof(c->servers[0]));
    c->n--;
    memset(&c->servers[c->n], 0, sizeof(c->servers[0]));
    return true;
}

const struct raft_removed *raft_configuration_removed(const struct raft_configuration *c,
                                                      raft_node_id id)
{
    for (unsigned i = c->n_removed; i > 0; i--)
        if (c->removed[i - 1].id == id)
            return &c->removed[i - 1];
    return NULL;
}

bool raft_configuration_has_cluster_id(const struct raft_configuration *c)
{
    static const unsigned char none[16];

    return memcmp(c->cluster_id, none, sizeof(none)) != 0;
}

static const unsigned char alone_mark[2] = {0xa1, 0x0e};

void raft_cluster_id_mark(unsigned char id[16], bool alone)
{
    if (alone)
        memcpy(id, alone_mark, sizeof(alone_mark));
    else if (raft_cluster_id_is_alone(id))
        id[0] ^= 1;
}

bool raft_cluster_id_is_alone(const unsigned char id[16])
{
    return memcmp(id, alone_mark, sizeof(alone_mark)) == 0;
}

static bool server_equal(const struct raft_server *a, const struct raft_server *b)
{
    return a->id == b->id && a->role == b->role && a->incarnation == b->incarnation &&
           a->promote == b->promote && a->replaces == b->replaces &&
           a->patience_ms == b->patience_ms && strcmp(a->name, b->name) == 0 &&
           strcmp(a->peer_addr, b->peer_addr) == 0 && strcmp(a->client_addr, b->client_addr) == 0;
}

bool raft_configuration_equal(const struct raft_configuration *a,
                              const struct raft_configuration *b)
{
    if (a->n != b->n || a->version != b->version || a->n_removed != b->n_removed ||
        memcmp(a->cluster_id, b->cluster_id, sizeof(a->cluster_id)) != 0)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (!server_equal(&a->servers[i], &b->servers[i]))
            return false;
    for (unsigned i = 0; i < a->n_removed; i++)
        if (a->removed[i].id != b->removed[i].id || a->removed[i].index != b->removed[i].index)
            return false;
    return true;
}

/* ---- bytes ---- */

static bool is_plain(const struct raft_configuration *c)
{
    if (raft_configuration_has_cluster_id(c) || c->version != 0 || c->n_removed != 0)
        return false;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].incarnation != 0 || c->servers[i].promote ||
            c->servers[i].replaces != 0 || c->servers[i].patience_ms != 0)
            return false;
    return true;
}

static size_t server_bytes(const struct raft_server *s, bool plain)
{
    return SERVER_HEADER_BYTES + (plain ? 0 : SERVER_MORE_BYTES) + strlen(s->name) +
           strlen(s->peer_addr) + strlen(s->client_addr);
}

static size_t tail_bytes(const struct raft_configuration *c)
{
    size_t n = CONFIGURATION_TAIL_BYTES;

    for (unsigned i = 0; i < c->n_removed; i++)
        n += REMOVED_HEADER_BYTES + strlen(c->removed[i].name);
    return n;
}

static unsigned char *put_text(unsigned char *p, const char *text)
{
    size_t len = strlen(text);

    memcpy(p, text, len);
    return p + len;
}

static unsigned char *put_more(unsigned char *p, const struct raft_server *s)
{
    put_u64(p, s->incarnation);
    put_u64(p + 8, s->replaces);
    put_u32(p + 16, s->patience_ms);
    p[20] = s->promote ? 1 : 0;
    p[21] = 0;
    return p + SERVER_MORE_BYTES;
}

static unsigned char *put_server(unsigned char *p, const struct raft_server *s, bool plain)
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
    p += SERVER_HEADER_BYTES;
    if (!plain)
        p = put_more(p, s);
    p = put_text(p, s->name);
    p = put_text(p, s->peer_addr);
    return put_text(p, s->client_addr);
}

static unsigned char *put_tail(unsigned char *p, const struct raft_configuration *c)
{
    memcpy(p, c->cluster_id, sizeof(c->cluster_id));
    put_u32(p + 16, c->version);
    put_u16(p + 20, (uint16_t)c->n_removed);
    p += CONFIGURATION_TAIL_BYTES;
    for (unsigned i = 0; i < c->n_removed; i++) {
        put_u64(p, c->removed[i].id);
        put_u64(p + 8, c->removed[i].index);
        p[16] = (unsigned char)strlen(c->removed[i].name);
        p = put_text(p + REMOVED_HEADER_BYTES, c->removed[i].name);
    }
    return p;
}

int raft_configuration_encode(const struct raft_configuration *c, struct buf *buf)
{
    const bool plain = is_plain(c);
    size_t need = CONFIGURATION_HEADER_BYTES + (plain ? 0 : tail_bytes(c));
    unsigned char *begin;
    unsigned char *p;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    rid_assert(c->n_removed <= RAFT_REMOVED_MAX);
    for (unsigned i = 0; i < c->n; i++)
        need += server_bytes(&c->servers[i], plain);
    begin = buf_reserve(buf, need);
    if (begin == NULL)
        return -ENOMEM;
    begin[0] = plain ? CONFIGURATION_VERSION_PLAIN : CONFIGURATION_VERSION;
    begin[1] = 0;
    put_u16(begin + 2, (uint16_t)c->n);
    p = begin + CONFIGURATION_HEADER_BYTES;
    for (unsigned i = 0; i < c->n; i++)
        p = put_server(p, &c->servers[i], plain);
    if (!plain)
        p = put_tail(p, c);
    rid_assert((size_t)(p - begin) == need);
    buf->len += need;
    return 0;
}

struct reader {
    const unsigned char *p;
    size_t left;
};

/* NULL when there is less. */
static const unsigned char *take_bytes(struct reader *in, size_t n)
{
    const unsigned char *p = in->p;

    if (n > in->left)
        return NULL;
    in->p += n;
    in->left -= n;
    return p;
}

/* Takes len bytes off the front as a string; false when there are fewer. */
static bool take_text(struct reader *in, size_t len, size_t max, char *ret)
{
    const unsigned char *p = len <= max ? take_bytes(in, len) : NULL;

    if (p == NULL)
        return false;
    memcpy(ret, p, len);
    ret[len] = '\0';
    return strlen(ret) == len;
}

static bool take_more(struct reader *in, struct raft_server *s)
{
    const unsigned char *p = take_bytes(in, SERVER_MORE_BYTES);

    if (p == NULL || p[20] > 1 || p[21] != 0)
        return false;
    s->incarnation = get_u64(p);
    s->replaces = get_u64(p + 8);
    s->patience_ms = get_u32(p + 16);
    s->promote = p[20] == 1;
    return true;
}

/* One server onto the end of c: sorted in the bytes too, so that equal memberships have equal
 * bytes. */
static bool take_server(struct reader *in, unsigned version, struct raft_configuration *c)
{
    struct raft_server s = {0};
    const unsigned char *h =
        take_bytes(in, version == 1 ? SERVER_HEADER_BYTES_V1 : SERVER_HEADER_BYTES);
    struct raft_server *to = &c->servers[c->n];

    if (h == NULL || (h[0] != RAFT_VOTER && h[0] != RAFT_LEARNER) ||
        (version >= CONFIGURATION_VERSION && !take_more(in, &s)) ||
        !take_text(in, h[1], NODE_NAME_BYTES_MAX, s.name) ||
        !take_text(in, get_u16(h + 2), ADDRESS_BYTES_MAX, s.peer_addr) ||
        !take_text(in, get_u16(h + 4), ADDRESS_BYTES_MAX, s.client_addr))
        return false;
    s.id = version == 1 ? raft_founder_id(s.name) : get_u64(h + 6);
    if (raft_configuration_add(c, s.id, s.name, (enum raft_server_role)h[0], s.peer_addr,
                               s.client_addr) != 0 ||
        to->id != s.id)
        return false;
    to->incarnation = s.incarnation;
    to->promote = s.promote;
    to->replaces = s.replaces;
    to->patience_ms = s.patience_ms;
    return true;
}

static bool take_tail(struct reader *in, struct raft_configuration *c)
{
    const unsigned char *p = take_bytes(in, CONFIGURATION_TAIL_BYTES);

    if (p == NULL || get_u16(p + 20) > RAFT_REMOVED_MAX)
        return false;
    memcpy(c->cluster_id, p, sizeof(c->cluster_id));
    c->version = get_u32(p + 16);
    c->n_removed = get_u16(p + 20);
    for (unsigned i = 0; i < c->n_removed; i++) {
        struct raft_removed *r = &c->removed[i];

        p = take_bytes(in, REMOVED_HEADER_BYTES);
        if (p == NULL || !take_text(in, p[16], NODE_NAME_BYTES_MAX, r->name))
            return false;
        r->id = get_u64(p);
        r->index = get_u64(p + 8);
        if (r->id == 0 || r->index == 0 || r->index > RAFT_INDEX_MAX || r->name[0] == '\0' ||
            !text_is_valid(r->name, strlen(r->name), NODE_NAME_BYTES_MAX))
            return false;
    }
    return true;
}

int raft_configuration_decode(const void *data, size_t len, struct raft_configuration *ret)
{
    struct reader in = {.p = data, .left = len};
    const unsigned char *head = take_bytes(&in, CONFIGURATION_HEADER_BYTES);
    struct raft_configuration c;
    unsigned n;

    if (head == NULL)
        return RAFT_CONFIGURATION_E_INVALID;
    if (head[0] > CONFIGURATION_VERSION)
        return RAFT_CONFIGURATION_E_NEWER; /* nothing is known of what follows */
    if (head[0] < 1 || head[1] != 0)
        return RAFT_CONFIGURATION_E_INVALID;
    n = get_u16(head + 2);
    if (n == 0 || n > RAFT_SERVERS_MAX)
        return RAFT_CONFIGURATION_E_INVALID;
    raft_configuration_init(&c);
    for (unsigned i = 0; i < n; i++)
        if (!take_server(&in, head[0], &c))
            return RAFT_CONFIGURATION_E_INVALID;
    if ((head[0] >= CONFIGURATION_VERSION && !take_tail(&in, &c)) || in.left != 0)
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
