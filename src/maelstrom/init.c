/* `init`: from nobody to a member of a group with an empty log and an empty state.
 *
 * The membership of the message becomes the CONFIG entry at index 1 of every node's log, equal
 * bytes everywhere since servers are sorted by name. The log lies in a folder that goes with the
 * process: a node that ended has lost its votes, and must not come back under its name. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "maelstrom/maelstrom_int.h"
#include "wire/value.h"

#include "base/banned.h"

#define MAP_BYTES     ((size_t)1 << 30) /* the file grows with what is in it */
#define SEGMENT_BYTES ((size_t)16 << 20)

static uint64_t random_u64(void)
{
    uint64_t v;

    if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
        v = ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)&v;
    return v;
}

/* ---- who belongs to the group ---- */

static bool copy_name(struct wire_slice name, char ret[NODE_NAME_BYTES_MAX + 1])
{
    if (name.len > NODE_NAME_BYTES_MAX || memchr(name.data, '\0', name.len) != NULL)
        return false;
    memcpy(ret, name.data, name.len);
    ret[name.len] = '\0';
    return true;
}

/* NULL, or what is wrong. */
static const char *take_membership(struct maelstrom *m, const struct wire_request *q,
                                   struct raft_configuration *ret, char self[])
{
    char name[NODE_NAME_BYTES_MAX + 1];

    raft_configuration_init(ret);
    for (unsigned i = 0; i < q->n_node_ids; i++) {
        int e = RAFT_CONFIGURATION_E_INVALID;

        if (copy_name(q->node_ids[i], name))
            e = raft_configuration_add(ret, raft_founder_id(name), name, RAFT_VOTER, "", "");
        if (e == RAFT_CONFIGURATION_E_DUPLICATE) {
            (void)snprintf(m->text, sizeof(m->text), "'node_ids' names '%s' twice", name);
            return m->text;
        }
        if (e != 0)
            return "'node_ids' holds a name that no node may have: 1 to 63 printable characters "
                   "without blanks";
    }
    if (!copy_name(q->node_id, self) || raft_configuration_get_name(ret, self) == NULL)
        return "'node_id' is not one of 'node_ids'";
    return NULL;
}

static int fill_members(struct maelstrom *m, const char *self)
{
    for (unsigned i = 0; i < m->membership.n; i++) {
        struct member *member = &m->members[i];
        cleanup_buf struct buf json = BUF_INIT;

        *member = (struct member){.id = m->membership.servers[i].id,
                                  .name = m->membership.servers[i].name};
        member->seen = calloc(SEEN_MAX / 64, sizeof(*member->seen));
        m->n_members++;
        if (member->seen == NULL ||
            wire_string_encode(member->name, strlen(member->name), &json) != 0 ||
            json.len >= sizeof(member->json))
            return -ENOMEM;
        memcpy(member->json, json.data, json.len);
        if (strcmp(member->name, self) == 0)
            m->self = member;
    }
    return 0;
}

/* ---- log, state, replica ---- */

static int open_log(struct maelstrom *m, uint64_t incarnation, struct store_recovered *recovered)
{
    struct store_conf conf = {.node_id = m->self->id,
                              .incarnation = incarnation,
                              .salt_seed = random_u64(),
                              .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                              .segment_bytes = SEGMENT_BYTES};
    cleanup_buf struct buf entry = BUF_INIT;
    int e = raft_configuration_encode(&m->membership, &entry);

    if (e != 0)
        return e;
    hash_fnv128(entry.data, entry.len, conf.cluster_id);
    m->wal_fd = workdir_open_folder(&m->dir, "wal");
    if (m->wal_fd < 0)
        return m->wal_fd;
    e = vfs_posix_new(m->wal_fd, &m->vfs);
    if (e != 0)
        return e;
    conf.vfs = m->vfs;
    e = store_create(&conf, entry.data, entry.len);
    return e == 0 ? store_open(&conf, recovered, &m->store) : e;
}

static int open_state(struct maelstrom *m, uint64_t incarnation)
{
    char path[PATH_MAX];
    struct kv_conf conf = {.dir = path, .map_size_bytes = MAP_BYTES, .incarnation = incarnation};
    enum kv_trust trust;

    if (snprintf(path, sizeof(path), "%s/db", m->dir.path) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    return kv_open(&conf, &trust, &m->kv);
}

static int open_replica(struct maelstrom *m, const struct store_recovered *recovered)
{
    struct replica_conf conf = {.start = {.hard_state = recovered->hard_state,
                                          .last_index = recovered->last_index,
                                          .commit_index = recovered->commit_index,
                                          .last_applied = kv_last_applied(m->kv).index,
                                          .terms = recovered->terms,
                                          .n_terms = recovered->n_terms,
                                          .configs = recovered->configs,
                                          .n_configs = recovered->n_configs}};
    struct replica_ops ops;

    raft_conf_init(&conf.raft);
    conf.raft.id = m->self->id;
    conf.raft.election_timeout_us = m->conf->election_timeout_us;
    conf.raft.heartbeat_us = m->conf->heartbeat_us;
    conf.raft.seed = random_u64();
    glue_fill_replica_ops(m, &ops);
    return replica_new(&conf, &ops, m->now_us, &m->replica);
}

static int open_all(struct maelstrom *m)
{
    struct store_recovered recovered = {0};
    uint64_t incarnation = random_u64();
    int e = workdir_make(&m->dir);

    if (e == 0)
        e = open_log(m, incarnation, &recovered);
    if (e == 0)
        e = open_state(m, incarnation);
    m->now_us =
        clock_mono_us(); /* the disk took its time: the first election is counted from here */
    if (e == 0)
        e = open_replica(m, &recovered);
    store_recovered_done(&recovered);
    return e;
}

const char *init_handle(void *ctx, const struct wire_request *q)
{
    struct maelstrom *m = ctx;
    char self[NODE_NAME_BYTES_MAX + 1];
    const char *wrong;
    int e;

    if (m->self != NULL) {
        (void)snprintf(m->text, sizeof(m->text),
                       "init came before: this is '%s', and stays it until the process ends",
                       m->self->name);
        return m->text;
    }
    if (!q->origin.envelope)
        return "init must come in an envelope";
    wrong = take_membership(m, q, &m->membership, self);
    if (wrong != NULL)
        return wrong;
    err_reset();
    e = fill_members(m, self);
    if (e == 0)
        e = open_all(m);
    if (e != 0)
        maelstrom_die(m, "cannot start the replica", e);
    log_set_node(m->self->name);
    log_set_role("follower", raft_get_term(replica_raft(m->replica)));
    service_set_replica(m->service, m->replica, m->self->name);
    log_event(LOG_INFO, "initialised", "nodes=%u folder='%s'", m->n_members, m->dir.path);
    return NULL;
}

void init_undo(struct maelstrom *m)
{
    replica_free(m->replica);
    if (m->kv != NULL)
        (void)kv_close(m->kv, false);
    if (m->store != NULL)
        store_close(m->store);
    if (m->vfs != NULL)
        vfs_posix_free(m->vfs);
    if (m->wal_fd >= 0)
        (void)close(m->wal_fd);
    for (unsigned i = 0; i < m->n_members; i++)
        free(m->members[i].seen);
    workdir_remove(&m->dir);
}
