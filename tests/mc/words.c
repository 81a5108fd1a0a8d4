/* Entries and messages as numbers, and what they become when nodes are renamed. */
#include "mc/mc.h"

#include "base/banned.h"

unsigned mc_n_perms;
unsigned char mc_perms[MC_PERMS_MAX][MC_NODES_MAX];
struct raft_server mc_servers[MC_NODES_MAX];

struct mc_pool mc_entry_pool = {.name = "entries"};
struct mc_pool mc_msg_pool = {.name = "messages"};

/* By number, decoded; grows with the pool. */
static struct raft_entry *entries;
static size_t entries_size;
static struct mc_head *heads;
static size_t msgs_size;
static size_t n_msgs_read;
static size_t n_entries_read;
/* By number and permutation; a number + 1. */
static uint32_t *entries_renamed;
static uint32_t *msgs_renamed;

/* ---- permutations ---- */

static void permute(unsigned char perm[], unsigned at)
{
    const unsigned n = mc_scope.nodes;

    if (at == n) {
        memcpy(mc_perms[mc_n_perms++], perm, n);
        return;
    }
    for (unsigned char i = 0; i < n; i++) {
        bool taken = false;

        for (unsigned k = 0; k < at; k++)
            taken |= perm[k] == i;
        if (taken)
            continue;
        perm[at] = i;
        permute(perm, at + 1);
    }
}

/* In lexical order: the first one is that which changes nothing. */
void mc_perms_init(void)
{
    unsigned char perm[MC_NODES_MAX];

    mc_n_perms = 0;
    permute(perm, 0);
    for (unsigned i = 0; i < mc_scope.nodes; i++) {
        mc_servers[i] = (struct raft_server){.id = mc_id(i)};
        (void)snprintf(mc_servers[i].name, sizeof(mc_servers[i].name), "n%u", i + 1);
    }
}

static raft_node_id rename_id(raft_node_id id, unsigned perm)
{
    return id != 0 ? mc_id(mc_perms[perm][mc_slot(id)]) : 0;
}

/* ---- entries ---- */

static void read_entries(void)
{
    while (n_entries_read < mc_entry_pool.n) {
        struct mc_reader r;
        struct raft_entry *e;
        size_t len;

        if (n_entries_read == entries_size) {
            const size_t before = entries_size * mc_n_perms;

            entries_size = entries_size != 0 ? 2 * entries_size : 64;
            entries = mc_grow(entries, entries_size * sizeof(*entries));
            entries_renamed =
                mc_grow(entries_renamed, entries_size * mc_n_perms * sizeof(*entries_renamed));
            memset(entries_renamed + before, 0,
                   (entries_size * mc_n_perms - before) * sizeof(*entries_renamed));
        }
        r.at = mc_pool_get(&mc_entry_pool, (uint32_t)n_entries_read, &len);
        r.end = r.at + len;
        e = &entries[n_entries_read++];
        e->id.term = mc_read(&r);
        e->id.index = mc_read(&r);
        e->type = (enum raft_entry_type)mc_read(&r);
        e->len = (uint32_t)(r.end - r.at);
        e->data = e->len > 0 ? r.at : NULL;
    }
}

uint32_t mc_entry_put(const struct raft_entry *e)
{
    unsigned char bytes[4096];
    struct mc_writer w = {bytes, bytes + sizeof(bytes)};
    uint32_t number;

    mc_write(&w, e->id.term);
    mc_write(&w, e->id.index);
    mc_write(&w, e->type);
    rid_assert(e->len <= (size_t)(w.end - w.at));
    if (e->len > 0)
        memcpy(w.at, e->data, e->len);
    number = mc_pool_put(&mc_entry_pool, bytes, (size_t)(w.at - bytes) + e->len);
    read_entries();
    return number;
}

const struct raft_entry *mc_entry(uint32_t number)
{
    if (number >= n_entries_read)
        read_entries();
    return &entries[number];
}

/* A configuration in its order of names. */
static void rename_configuration(const struct raft_entry *e, unsigned perm, struct buf *bytes)
{
    struct raft_configuration from;
    struct raft_configuration to;

    rid_assert(raft_configuration_decode(e->data, e->len, &from) == 0);
    to = from;
    to.n = 0;
    for (unsigned i = 0; i < from.n; i++) {
        const struct raft_server *s = &mc_servers[mc_slot(rename_id(from.servers[i].id, perm))];

        rid_assert(raft_configuration_add(&to, s->id, s->name, from.servers[i].role, "", "") == 0);
    }
    for (unsigned i = 0; i < from.n_removed; i++) {
        to.removed[i].id = rename_id(from.removed[i].id, perm);
        (void)snprintf(to.removed[i].name, sizeof(to.removed[i].name), "n%u",
                       mc_slot(to.removed[i].id) + 1);
    }
    rid_assert(raft_configuration_encode(&to, bytes) == 0);
}

uint32_t mc_entry_renamed(uint32_t number, unsigned perm)
{
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_entry e = *mc_entry(number);
    uint32_t renamed = entries_renamed[number * mc_n_perms + perm];

    if (e.type != RAFT_ENTRY_CONFIG || perm == 0)
        return number;
    if (renamed != 0)
        return renamed - 1;
    rename_configuration(&e, perm, &bytes);
    e.data = bytes.data;
    e.len = (uint32_t)bytes.len;
    renamed = mc_entry_put(&e);
    entries_renamed[number * mc_n_perms + perm] = renamed + 1;
    return renamed;
}

/* ---- messages ---- */

#define MSG_BYTES 512u

struct mc_msg {
    struct raft_msg m; /* but for its entries */
    unsigned n_entries;
    uint32_t entries[MC_LOG_MAX];
};

/* Readings of clocks are left out: what is measured of them takes longer than a search lasts (RAFT_DRIFT_SLOT_US). Stamps
 * are left out where nobody asks how old a state is: then a node is one that writes none. */
static void write_more(struct mc_writer *w, const struct raft_msg *m)
{
    const struct raft_beat *b = &m->beat;
    const bool stamped = mc_scope.pairs && b->stamp.nonce != 0;

    mc_write(w, (b->said ? 1u : 0u) | (b->leased ? 2u : 0u) | (stamped ? 4u : 0u));
    mc_write(w, b->lease_us);
    if (stamped) {
        mc_write(w, b->stamp.nonce);
        mc_write(w, b->stamp.hold_us);
        mc_write(w, b->proved_index);
    }
    mc_write(w, m->left_us);
    mc_write(w, m->ask.nonce);
    mc_write(w, m->ask.number);
    mc_write(w, m->leader);
}

static void read_more(struct mc_reader *r, struct raft_msg *m)
{
    const unsigned flags = (unsigned)mc_read(r);
    struct raft_beat *b = &m->beat;

    b->said = (flags & 1) != 0;
    b->leased = (flags & 2) != 0;
    b->lease_us = mc_read(r);
    if ((flags & 4) != 0) {
        b->stamp.nonce = mc_read(r);
        b->stamp.hold_us = mc_read(r);
        b->proved_index = mc_read(r);
    }
    m->left_us = mc_read(r);
    m->ask.nonce = mc_read(r);
    m->ask.number = mc_read(r);
    m->leader = mc_read(r);
}

static uint32_t msg_put(const struct raft_msg *m, unsigned n, const uint32_t list[])
{
    unsigned char bytes[MSG_BYTES];
    struct mc_writer w = {bytes, bytes + sizeof(bytes)};

    mc_write(&w, m->type);
    mc_write(&w, m->from);
    mc_write(&w, m->to);
    mc_write(&w, m->term);
    mc_write(&w, m->prev.term);
    mc_write(&w, m->prev.index);
    mc_write(&w, m->leader_commit);
    mc_write(&w, m->index);
    mc_write(&w, m->hint.term);
    mc_write(&w, m->hint.index);
    mc_write(&w, m->round);
    mc_write(&w, (m->reject ? 1u : 0u) | (m->transfer ? 2u : 0u));
    mc_write(&w, m->note.flags);
    write_more(&w, m);
    mc_write(&w, n);
    for (unsigned i = 0; i < n; i++)
        mc_write(&w, list[i]);
    return mc_pool_put(&mc_msg_pool, bytes, (size_t)(w.at - bytes));
}

static void read_msg(uint32_t number, struct mc_msg *ret)
{
    size_t len;
    struct mc_reader r = {.at = mc_pool_get(&mc_msg_pool, number, &len)};
    struct raft_msg *m = &ret->m;
    unsigned flags;

    r.end = r.at + len;
    memset(ret, 0, sizeof(*ret));
    m->type = (enum raft_msg_type)mc_read(&r);
    m->from = mc_read(&r);
    m->to = mc_read(&r);
    m->term = mc_read(&r);
    m->prev.term = mc_read(&r);
    m->prev.index = mc_read(&r);
    m->leader_commit = mc_read(&r);
    m->index = mc_read(&r);
    m->hint.term = mc_read(&r);
    m->hint.index = mc_read(&r);
    m->round = mc_read(&r);
    flags = (unsigned)mc_read(&r);
    m->reject = (flags & 1) != 0;
    m->transfer = (flags & 2) != 0;
    m->note.flags = (uint32_t)mc_read(&r);
    read_more(&r, m);
    ret->n_entries = (unsigned)mc_read(&r);
    for (unsigned i = 0; i < ret->n_entries; i++)
        ret->entries[i] = (uint32_t)mc_read(&r);
}

static void read_msgs(void)
{
    struct mc_msg m;

    while (n_msgs_read < mc_msg_pool.n) {
        if (n_msgs_read == msgs_size) {
            const size_t before = msgs_size * mc_n_perms;

            msgs_size = msgs_size != 0 ? 2 * msgs_size : 1024;
            heads = mc_grow(heads, msgs_size * sizeof(*heads));
            msgs_renamed = mc_grow(msgs_renamed, msgs_size * mc_n_perms * sizeof(*msgs_renamed));
            memset(msgs_renamed + before, 0,
                   (msgs_size * mc_n_perms - before) * sizeof(*msgs_renamed));
        }
        read_msg((uint32_t)n_msgs_read, &m);
        heads[n_msgs_read++] = (struct mc_head){.type = (uint8_t)m.m.type,
                                                .from = (uint8_t)mc_slot(m.m.from),
                                                .to = (uint8_t)mc_slot(m.m.to),
                                                .term = (uint8_t)m.m.term,
                                                .reject = m.m.reject,
                                                .ask_nonce = (uint8_t)m.m.ask.nonce,
                                                .ask_number = (uint8_t)m.m.ask.number};
    }
}

uint32_t mc_msg_put(const struct raft_msg *m)
{
    uint32_t list[MC_LOG_MAX];

    rid_assert(m->part == NULL);
    rid_assert(m->n_entries <= MC_LOG_MAX);
    for (unsigned i = 0; i < m->n_entries; i++)
        list[i] = mc_entry_put(&m->entries[i]);
    return msg_put(m, m->n_entries, list);
}

const struct mc_head *mc_msg_head(uint32_t number)
{
    if (number >= n_msgs_read)
        read_msgs();
    return &heads[number];
}

struct raft_msg mc_msg(uint32_t number, struct raft_entry room[MC_LOG_MAX])
{
    struct mc_msg from;

    read_msg(number, &from);
    for (unsigned i = 0; i < from.n_entries; i++)
        room[i] = *mc_entry(from.entries[i]);
    from.m.n_entries = from.n_entries;
    from.m.entries = from.n_entries > 0 ? room : NULL;
    return from.m;
}

uint32_t mc_msg_renamed(uint32_t number, unsigned perm)
{
    struct mc_msg m;
    uint32_t renamed;

    if (perm == 0)
        return number;
    if (number >= n_msgs_read)
        read_msgs();
    renamed = msgs_renamed[(size_t)number * mc_n_perms + perm];
    if (renamed != 0)
        return renamed - 1;
    read_msg(number, &m);
    m.m.from = rename_id(m.m.from, perm);
    m.m.to = rename_id(m.m.to, perm);
    m.m.leader = rename_id(m.m.leader, perm);
    for (unsigned i = 0; i < m.n_entries; i++)
        m.entries[i] = mc_entry_renamed(m.entries[i], perm);
    renamed = msg_put(&m.m, m.n_entries, m.entries);
    read_msgs();
    msgs_renamed[(size_t)number * mc_n_perms + perm] = renamed + 1;
    return renamed;
}

uint32_t mc_n_msgs(void)
{
    return mc_msg_pool.n;
}
