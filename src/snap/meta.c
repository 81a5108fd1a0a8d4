/* The trailer of a snapshot. The tail at its end has the same form in every version, so that what a
 * later one wrote is known as such; all before it is this version's. Bytes come from a disk or a
 * peer: everything is validated. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "snap/snap_int.h"

#include "base/banned.h"

static const char magic[8] = {'R', 'I', 'D', 'D', 'S', 'N', 'A', 'P'};

const char *snap_error_text(int rc)
{
    switch ((enum snap_error)rc) {
        SNAP_ERRORS(OUTCOME_CASE)
    }
    return "unknown";
}

bool snap_meta_is_sound(const struct snap_meta *m)
{
    return m->id.index >= 1 && m->id.index <= RAFT_INDEX_MAX && m->id.term >= 1 &&
           m->id.term <= RAFT_INDEX_MAX && m->config.index <= m->id.index &&
           m->config.configuration.n >= 1 && m->config.configuration.n <= RAFT_SERVERS_MAX &&
           m->digest.index == m->id.index && m->body_bytes <= SNAP_BYTES_MAX;
}

/* ---- for clients ---- */

/* That of a name alone: of a member that was added the id is made of its incarnation, and gives it
 * away to whoever knows the name. */
static raft_node_id given_id(const struct raft_configuration *c, raft_node_id id)
{
    const struct raft_server *s = raft_configuration_get(c, id);

    return s != NULL ? raft_founder_id(s->name) : 0;
}

void snap_meta_give(struct snap_meta *m)
{
    struct raft_configuration *c = &m->config.configuration;
    const struct raft_configuration before = *c;

    memset(c->cluster_id, 0, sizeof(c->cluster_id));
    for (unsigned i = 0; i < c->n; i++) {
        c->servers[i].id = given_id(&before, c->servers[i].id);
        c->servers[i].replaces = given_id(&before, c->servers[i].replaces);
        c->servers[i].incarnation = 0;
    }
    for (unsigned i = 0; i < c->n_removed; i++)
        c->removed[i].id = raft_founder_id(c->removed[i].name);
    m->given = true;
}

/* Has it what snap_meta_give() takes out? */
static bool tells_secrets(const struct raft_configuration *c)
{
    if (raft_configuration_has_cluster_id(c))
        return true;
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].incarnation != 0 ||
            c->servers[i].id != raft_founder_id(c->servers[i].name))
            return true;
    for (unsigned i = 0; i < c->n_removed; i++)
        if (c->removed[i].id != raft_founder_id(c->removed[i].name))
            return true;
    return false;
}

/* ---- bytes ---- */

static void put_fixed(unsigned char p[SNAP_FIXED_BYTES], const struct snap_meta *m)
{
    memcpy(p, m->cluster_id, sizeof(m->cluster_id));
    put_u64(p + 16, m->id.index);
    put_u64(p + 24, m->id.term);
    put_u64(p + 32, m->config.index);
    put_u32(p + 40, m->state_format);
    put_u32(p + 44, m->digest_version);
    put_u64(p + 48, m->digest.low);
    put_u64(p + 56, m->digest.high);
    put_u64(p + 64, m->n_keys);
    put_u64(p + 72, m->live_bytes);
    put_u64(p + 80, m->limit_bytes);
    put_u64(p + 88, m->body_bytes);
    put_u32(p + 96, m->body_crc);
    put_u16(p + 100, m->group);
    put_u16(p + 102, m->given ? SNAP_FLAG_GIVEN : 0);
}

static void get_fixed(const unsigned char p[SNAP_FIXED_BYTES], struct snap_meta *m)
{
    memcpy(m->cluster_id, p, sizeof(m->cluster_id));
    m->id = (struct raft_entry_id){.index = get_u64(p + 16), .term = get_u64(p + 24)};
    m->config.index = get_u64(p + 32);
    m->state_format = get_u32(p + 40);
    m->digest_version = get_u32(p + 44);
    m->digest = (struct raft_digest_at){
        .index = m->id.index, .low = get_u64(p + 48), .high = get_u64(p + 56)};
    m->n_keys = get_u64(p + 64);
    m->live_bytes = get_u64(p + 72);
    m->limit_bytes = get_u64(p + 80);
    m->body_bytes = get_u64(p + 88);
    m->body_crc = get_u32(p + 96);
    m->group = get_u16(p + 100);
    m->given = (get_u16(p + 102) & SNAP_FLAG_GIVEN) != 0;
}

int snap_meta_encode(const struct snap_meta *m, struct buf *buf)
{
    const size_t start = buf->len;
    unsigned char *p;
    size_t total;

    rid_assert(snap_meta_is_sound(m));
    /* All of it at once: what fails leaves nothing behind. */
    p = buf_reserve(buf, SNAP_TRAILER_BYTES);
    if (p == NULL)
        return -ENOMEM;
    put_fixed(p, m);
    buf->len += SNAP_FIXED_BYTES;
    if (raft_configuration_encode(&m->config.configuration, buf) != 0) {
        buf->len = start;
        return -ENOMEM;
    }
    total = buf->len - start + SNAP_TAIL_BYTES;
    rid_assert(total <= SNAP_TRAILER_BYTES);
    p = buf->data + start;
    put_u32(p + total - 20, SNAP_VERSION);
    put_u32(p + total - 16, (uint32_t)total);
    put_u32(p + total - 12, crc32c(0, p, total - 12));
    memcpy(p + total - sizeof(magic), magic, sizeof(magic));
    buf->len += SNAP_TAIL_BYTES;
    return 0;
}

size_t snap_tail_find(const void *data, size_t len)
{
    const unsigned char *end = (const unsigned char *)data + len;
    size_t total;

    if (len < SNAP_TAIL_BYTES || memcmp(end - sizeof(magic), magic, sizeof(magic)) != 0)
        return 0;
    total = get_u32(end - 16);
    return total >= SNAP_TAIL_BYTES && total <= SNAP_TRAILER_BYTES ? total : 0;
}

static int decode_body(const unsigned char *p, size_t len, struct snap_meta *ret)
{
    struct snap_meta m = {0};
    int rc;

    if (len < SNAP_FIXED_BYTES || (get_u16(p + 102) & ~SNAP_FLAG_GIVEN) != 0)
        return SNAP_E_DAMAGED;
    get_fixed(p, &m);
    rc = raft_configuration_decode(p + SNAP_FIXED_BYTES, len - SNAP_FIXED_BYTES,
                                   &m.config.configuration);
    if (rc == RAFT_CONFIGURATION_E_NEWER)
        return SNAP_E_NEWER;
    if (rc != 0 || !snap_meta_is_sound(&m) || (m.given && tells_secrets(&m.config.configuration)))
        return SNAP_E_DAMAGED;
    *ret = m;
    return 0;
}

int snap_meta_decode(const void *data, size_t len, struct snap_meta *ret)
{
    const unsigned char *p = data;
    uint32_t version;

    if (len == 0 || snap_tail_find(p, len) != len)
        return SNAP_E_DAMAGED;
    if (get_u32(p + len - 12) != crc32c(0, p, len - 12))
        return SNAP_E_DAMAGED;
    /* With a good checksum it is no byte that fell over, and nothing is known of the rest
     * (DISK-24). */
    version = get_u32(p + len - 20);
    if (version > SNAP_VERSION)
        return SNAP_E_NEWER;
    return version == SNAP_VERSION ? decode_body(p, len - SNAP_TAIL_BYTES, ret) : SNAP_E_DAMAGED;
}
