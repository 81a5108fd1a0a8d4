/* The bytes of IDENT and PEERS, and the peers that were met. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mark.h"
#include "node/identity_int.h"

#include "base/banned.h"

#define IDENT_MAGIC "RIDDIDN1"
/* Of a node that was added: its id is not that of its name alone, and an earlier version says that
 * it cannot go on with it. */
#define IDENT_MAGIC_ADDED "RIDDIDN2"
#define PEERS_MAGIC       "RIDDPEE1"
#define CLUSTER_MAGIC     "RIDDCLU1"

/* IDENT: cluster_id[16], u64 node id, u64 incarnation, u64 created, u8 length and then the name,
 * zeros behind it; of one that was added u8 way, which some lack. PEERS: u32 count; each u64 id,
 * u64 incarnation, u8 length, name. CLUSTER: id[16], u8 length and then the name, zeros behind
 * it. */
#define IDENT_BYTES       (16u + 3u * 8u + 1u + NODE_NAME_BYTES_MAX)
#define IDENT_BYTES_ADDED (IDENT_BYTES + 1u)
#define CLUSTER_BYTES     (16u + 1u + NODE_NAME_BYTES_MAX)
#define PEER_BYTES_MAX    (8u + 8u + 1u + NODE_NAME_BYTES_MAX)
#define PEERS_BYTES_MAX   (4u + IDENTITY_PEERS_MAX * PEER_BYTES_MAX)
static_assert(PEERS_BYTES_MAX <= MARK_BYTES_MAX, "all peers must fit their file");

bool identity_name_ok(const char *name, size_t len)
{
    if (len == 0 || len > NODE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return true;
}

/* Cuts a name off p, which has room for `left` bytes; its end, or NULL. */
static const unsigned char *get_name(const unsigned char *p, size_t left,
                                     char ret_name[NODE_NAME_BYTES_MAX + 1])
{
    size_t len;

    if (left < 1)
        return NULL;
    len = p[0];
    if (len > left - 1 || !identity_name_ok((const char *)p + 1, len))
        return NULL;
    memcpy(ret_name, p + 1, len);
    ret_name[len] = '\0';
    return p + 1 + len;
}

static unsigned char *put_name(unsigned char *p, const char *name)
{
    size_t len = strlen(name);

    *p++ = (unsigned char)len;
    memcpy(p, name, len);
    return p + len;
}

static void ident_encode(const struct identity *id, unsigned char ret_bytes[IDENT_BYTES_ADDED])
{
    memset(ret_bytes, 0, IDENT_BYTES_ADDED);
    memcpy(ret_bytes, id->cluster_id, 16);
    put_u64(ret_bytes + 16, id->node_id);
    put_u64(ret_bytes + 24, id->incarnation);
    put_u64(ret_bytes + 32, id->created_s);
    (void)put_name(ret_bytes + 40, id->node_name);
    ret_bytes[IDENT_BYTES] = (unsigned char)(id->way == IDENTITY_RESTORE ? IDENTITY_JOIN : id->way);
}

/* In which way it was added; true: it says so, or need not. */
static bool get_way(const unsigned char *bytes, size_t len, bool added, enum identity_way *ret)
{
    *ret = added ? IDENTITY_JOIN : IDENTITY_FOUND;
    if (len == IDENT_BYTES)
        return true;
    if (!added || len != IDENT_BYTES_ADDED)
        return false;
    *ret = (enum identity_way)bytes[IDENT_BYTES];
    return bytes[IDENT_BYTES] == IDENTITY_JOIN || bytes[IDENT_BYTES] == IDENTITY_REJOIN;
}

/* The id follows from the rest: the file of another node, or one half of which is another's, is
 * seen by it (MEMBER-5). */
static bool ident_decode(const unsigned char *bytes, size_t len, bool added, struct identity *ret)
{
    struct identity id = {0};

    if (!get_way(bytes, len, added, &id.way) ||
        get_name(bytes + 40, IDENT_BYTES - 40, id.node_name) == NULL)
        return false;
    memcpy(id.cluster_id, bytes, 16);
    id.node_id = get_u64(bytes + 16);
    id.incarnation = get_u64(bytes + 24);
    id.created_s = get_u64(bytes + 32);
    if (id.incarnation == 0 || id.node_id != (added ? raft_member_id(id.node_name, id.incarnation)
                                                    : raft_founder_id(id.node_name)))
        return false;
    *ret = id;
    return true;
}

static size_t peers_encode(const struct identity_dir *dir, unsigned char *ret_bytes)
{
    unsigned char *p = ret_bytes + 4;

    put_u32(ret_bytes, dir->n_peers);
    for (unsigned i = 0; i < dir->n_peers; i++) {
        put_u64(p, dir->peers[i].id);
        put_u64(p + 8, dir->peers[i].incarnation);
        p = put_name(p + 16, dir->peers[i].name);
    }
    return (size_t)(p - ret_bytes);
}

struct peer *identity_peer_find(struct peer *peers, unsigned n, raft_node_id id)
{
    for (unsigned i = 0; i < n; i++)
        if (peers[i].id == id)
            return &peers[i];
    return NULL;
}

static bool peers_decode(const unsigned char *bytes, size_t len, struct identity_dir *dir)
{
    const unsigned char *p = bytes + 4;
    const unsigned char *end = bytes + len;
    uint32_t n;

    if (len < 4)
        return false;
    n = get_u32(bytes);
    if (n > IDENTITY_PEERS_MAX)
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct peer *peer = &dir->peers[i];

        if (end - p < 16)
            return false;
        peer->id = get_u64(p);
        peer->incarnation = get_u64(p + 8);
        p = get_name(p + 16, (size_t)(end - p) - 16, peer->name);
        if (p == NULL || peer->id != raft_founder_id(peer->name) || peer->incarnation == 0 ||
            identity_peer_find(dir->peers, i, peer->id) != NULL)
            return false;
    }
    if (p != end)
        return false;
    dir->n_peers = n;
    return true;
}

/* ---- the files ---- */

/* Turns an outcome of mark_read() into one of ours. */
int identity_say_mark(const struct identity_dir *dir, int rc)
{
    char why[256];

    (void)snprintf(why, sizeof(why), "%s", err_text()); /* err_say() must not read what it writes */
    if (rc == MARK_E_NEWER)
        return err_say(IDENTITY_E_NEWER, "'%.*s': %s", PATH_SHOWN, dir->path, why);
    return err_say(
        rc == MARK_E_ACCESS ? IDENTITY_E_ACCESS : IDENTITY_E_DAMAGED,
        "'%.*s' is damaged: %s; put that file back from a copy of the same directory, or give "
        "the node's place to a new one: ridd(8), LOST DISK",
        PATH_SHOWN, dir->path, why);
}

int identity_read_ident(struct identity_dir *dir)
{
    unsigned char bytes[IDENT_BYTES_ADDED];
    size_t len = 0;
    bool added = false;
    int rc = mark_read(dir->fd, IDENT_NAME, IDENT_MAGIC, bytes, sizeof(bytes), &len);

    if (rc == MARK_E_NEWER) {
        added = true;
        rc = mark_read(dir->fd, IDENT_NAME, IDENT_MAGIC_ADDED, bytes, sizeof(bytes), &len);
    }
    if (rc == 0 && !ident_decode(bytes, len, added, &dir->identity))
        rc = err_say(MARK_E_DAMAGED, "'IDENT' makes no sense");
    return rc > 0 ? identity_say_mark(dir, rc) : err_trace(rc);
}

int identity_write_ident(const struct identity_dir *dir)
{
    unsigned char bytes[IDENT_BYTES_ADDED];

    const bool added = identity_was_added(dir);

    ident_encode(&dir->identity, bytes);
    return err_trace(mark_write(dir->fd, IDENT_NAME, added ? IDENT_MAGIC_ADDED : IDENT_MAGIC, bytes,
                                added ? IDENT_BYTES_ADDED : IDENT_BYTES));
}

int identity_read_cluster(struct identity_dir *dir)
{
    struct identity_cluster cluster = {.known = true};
    unsigned char bytes[CLUSTER_BYTES];
    size_t len = 0;
    int rc = mark_read(dir->fd, CLUSTER_NAME, CLUSTER_MAGIC, bytes, sizeof(bytes), &len);

    if (rc == MARK_E_MISSING && !identity_was_added(dir))
        return 0;
    if (rc == 0 && (len != sizeof(bytes) ||
                    (bytes[16] != 0 && get_name(bytes + 16, len - 16, cluster.name) == NULL)))
        rc = err_say(MARK_E_DAMAGED, "'CLUSTER' makes no sense");
    if (rc != 0)
        return rc > 0 ? identity_say_mark(dir, rc) : err_trace(rc);
    memcpy(cluster.id, bytes, 16);
    dir->cluster = cluster;
    return 0;
}

int identity_set_cluster(struct identity_dir *dir, const unsigned char id[16], const char *name)
{
    unsigned char bytes[CLUSTER_BYTES] = {0};
    int rc;

    rid_assert(name[0] == '\0' || identity_name_ok(name, strlen(name)));
    memcpy(bytes, id, 16);
    (void)put_name(bytes + 16, name);
    rc = mark_write(dir->fd, CLUSTER_NAME, CLUSTER_MAGIC, bytes, sizeof(bytes));
    if (rc != 0)
        return err_trace(rc);
    dir->cluster.known = true;
    memcpy(dir->cluster.id, id, 16);
    (void)snprintf(dir->cluster.name, sizeof(dir->cluster.name), "%s", name);
    return 0;
}

int identity_read_peers(struct identity_dir *dir)
{
    unsigned char bytes[PEERS_BYTES_MAX];
    size_t len = 0;
    int rc = mark_read(dir->fd, PEERS_NAME, PEERS_MAGIC, bytes, sizeof(bytes), &len);

    if (rc == 0 && !peers_decode(bytes, len, dir))
        rc = err_say(MARK_E_DAMAGED, "'PEERS' makes no sense");
    return rc > 0 ? identity_say_mark(dir, rc) : err_trace(rc);
}

int identity_write_peers(const struct identity_dir *dir)
{
    unsigned char bytes[PEERS_BYTES_MAX];
    size_t len = peers_encode(dir, bytes);

    return err_trace(mark_write(dir->fd, PEERS_NAME, PEERS_MAGIC, bytes, len));
}

/* ---- peers ---- */

uint64_t identity_peer_incarnation(const struct identity_dir *dir, raft_node_id id)
{
    for (unsigned i = 0; i < dir->n_peers; i++)
        if (dir->peers[i].id == id)
            return dir->peers[i].incarnation;
    return 0;
}

/* The first incarnation that was met is written down before it is let in, and no other is from then
 * on (IDENTITY-2). */
int identity_peer_check_and_record(struct identity_dir *dir, raft_node_id id, const char *name,
                                   uint64_t incarnation)
{
    char esc[LOG_ESC_BUF];
    const struct peer *known = identity_peer_find(dir->peers, dir->n_peers, id);
    struct peer *peer;
    int rc;

    if (incarnation != 0 && id == raft_member_id(name, incarnation))
        return IDENTITY_PEER_KNOWN;
    if (incarnation == 0 || !identity_name_ok(name, strlen(name)) || id != raft_founder_id(name))
        return err_say(IDENTITY_PEER_REFUSED, "peer %s shows no valid identity",
                       log_esc(esc, sizeof(esc), name, strlen(name)));
    if (known != NULL && known->incarnation == incarnation)
        return IDENTITY_PEER_KNOWN;
    if (known != NULL)
        return err_say(
            IDENTITY_PEER_REFUSED,
            "peer '%s' is another incarnation than the one that was known: it lost its disk or was "
            "initialised again, and may not come back under this name: ridd(8), LOST DISK",
            name);
    if (dir->n_peers == IDENTITY_PEERS_MAX)
        return err_say(IDENTITY_PEER_FULL, "peer '%s' is not accepted: %u peers are known already",
                       name, IDENTITY_PEERS_MAX);
    peer = &dir->peers[dir->n_peers++];
    peer->id = id;
    peer->incarnation = incarnation;
    (void)snprintf(peer->name, sizeof(peer->name), "%s", name);
    rc = identity_write_peers(dir);
    if (rc != 0) {
        dir->n_peers--;
        return err_trace(rc);
    }
    return IDENTITY_PEER_RECORDED;
}
