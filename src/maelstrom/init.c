/* `init`: from nobody to a member of a group with an empty log and an empty state.
 *
 * The membership of the message becomes the CONFIG entry at index 1 of every node's log, equal
 * bytes everywhere since servers are sorted by name. The log lies in a folder that goes with the
 * process: a node that ended has lost its votes, and must not come back under its name. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/seed.h"
#include "maelstrom/maelstrom_int.h"
#include "wire/value.h"

#include "base/banned.h"

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
        int rc = RAFT_CONFIGURATION_E_INVALID;

        if (copy_name(q->node_ids[i], name))
            rc = raft_configuration_add(ret, raft_founder_id(name), name, RAFT_VOTER, "", "");
        if (rc == RAFT_CONFIGURATION_E_DUPLICATE) {
            (void)snprintf(m->text, sizeof(m->text), "'node_ids' names '%s' twice", name);
            return m->text;
        }
        if (rc != 0)
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
        member->seen = calloc(MAELSTROM_SEEN_MAX / 64, sizeof(*member->seen));
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

static void fill_conf(struct maelstrom *m, struct engine_conf *conf, const struct buf *entry)
{
    uint64_t incarnation = seed_fresh();

    *conf = (struct engine_conf){.node_name = m->self->name,
                                 .log = {.node_id = m->self->id,
                                         .incarnation = incarnation,
                                         .salt_seed = seed_fresh(),
                                         .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                         .segment_bytes = MAELSTROM_SEGMENT_BYTES},
                                 .log_fd = m->wal_fd,
                                 .log_path = "wal",
                                 .kv = {.incarnation = incarnation},
                                 .quota_bytes = MAELSTROM_QUOTA_BYTES};
    hash_fnv128(entry->data, entry->len, conf->log.cluster_id);
    raft_conf_init(&conf->raft);
    conf->raft.id = m->self->id;
    conf->raft.election_timeout_us = m->conf->election_timeout_us;
    conf->raft.heartbeat_us = m->conf->heartbeat_us;
    conf->raft.seed = seed_fresh();
    conf->raft.nonce = seed_fresh() | 1; /* 0 is none */
}

/* 0, -errno, or enum engine_refusal. */
static int open_all(struct maelstrom *m)
{
    cleanup_buf struct buf entry = BUF_INIT;
    char db_path[PATH_MAX];
    struct engine_conf conf;
    int rc = raft_configuration_encode(&m->membership, &entry);

    if (rc == 0)
        rc = workdir_make(&m->dir);
    if (rc != 0)
        return rc;
    m->wal_fd = workdir_open_folder(&m->dir, "wal");
    if (m->wal_fd < 0)
        return m->wal_fd;
    if (snprintf(db_path, sizeof(db_path), "%s/db", m->dir.path) >= (int)sizeof(db_path))
        return -ENAMETOOLONG;
    fill_conf(m, &conf, &entry);
    conf.kv.dir = db_path;
    rc = engine_create_log(&conf, entry.data, entry.len);
    return rc == 0 ? engine_open(m->engine, &conf) : rc;
}

/* The node cannot be: its group goes on without it. */
static _Noreturn void refuse(struct maelstrom *m, int refusal)
{
    log_event(LOG_ERROR, engine_refusal_text(refusal), "error=\"%s\" action=exit_%d", err_text(),
              engine_refusal_exit_code(refusal));
    maelstrom_exit(m, engine_refusal_exit_code(refusal));
}

const char *init_handle(void *ctx, const struct wire_request *q)
{
    struct maelstrom *m = ctx;
    char self[NODE_NAME_BYTES_MAX + 1];
    const char *wrong;
    int rc;

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
    rc = fill_members(m, self);
    if (rc == 0)
        rc = open_all(m);
    if (rc > 0)
        refuse(m, rc);
    if (rc != 0)
        maelstrom_die(m, "cannot start the replica", rc);
    m->now_us = clock_mono_us(); /* the disk took its time */
    log_set_node(m->self->name);
    log_set_role("follower", raft_get_term(engine_raft(m->engine)));
    log_event(LOG_INFO, "initialised", "nodes=%u folder='%s'", m->n_members, m->dir.path);
    return NULL;
}

void init_undo(struct maelstrom *m)
{
    if (m->wal_fd >= 0)
        (void)close(m->wal_fd);
    for (unsigned i = 0; i < m->n_members; i++)
        free(m->members[i].seen);
    workdir_remove(&m->dir);
}
