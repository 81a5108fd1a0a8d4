/* `ridd --recover-alone DIR`: the others are lost for ever, and with them the quorum. The node of
 * this directory goes on alone with what it has, as another cluster, to which nodes are added
 * (MEMBER-15).
 *
 * What the lost majority had acknowledged and this node did not get is gone; what it has behind the
 * last entry that it knows to be committed is kept, whether or not it ever was acknowledged: none
 * of it can have been refused for certain.
 *
 * The random id of the cluster becomes another before the configuration does: a crash in between
 * leaves a node that those of the old cluster and it refuse, and which does not start (founders.c).
 * The other way round it would, as the leader of one, be heard by the others. The founding id
 * stays: segments and snapshots carry it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/seed.h"
#include "engine/engine.h"
#include "node/identity.h"
#include "node/node_int.h"
#include "store/store.h"

#include "base/banned.h"

struct recovery {
    struct identity_dir *dir; /* owned */
    int wal_fd;               /* owned */
    struct vfs *vfs;          /* owned */
    struct store *store;      /* owned */
    struct store_recovered log;
    struct raft_configuration alone; /* what it will be */
};

static const struct raft_configuration *in_force(const struct recovery *r)
{
    return &r->log.configs[r->log.n_configs - 1].configuration;
}

static raft_term last_term(const struct recovery *r)
{
    return r->log.n_terms > 0 ? r->log.terms[r->log.n_terms - 1].term : r->log.base.term;
}

static int open_log(struct recovery *r)
{
    const struct identity *id = identity_get(r->dir);
    struct store_conf conf = {.node_id = id->node_id,
                              .incarnation = id->incarnation,
                              .salt_seed = seed_fresh(),
                              .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                              .segment_bytes = STORE_SEGMENT_BYTES};
    int rc;

    r->wal_fd = identity_open_folder(r->dir, "wal");
    if (r->wal_fd < 0)
        return r->wal_fd;
    memcpy(conf.cluster_id, id->cluster_id, sizeof(conf.cluster_id));
    rc = vfs_posix_new(r->wal_fd, &r->vfs);
    if (rc != 0)
        return rc;
    conf.vfs = r->vfs;
    return store_open(&conf, &r->log, &r->store);
}

static int make_configuration(struct recovery *r)
{
    const struct raft_configuration *c = in_force(r);
    const struct raft_server *self = raft_configuration_get(c, identity_get(r->dir)->node_id);
    unsigned char *id = r->alone.cluster_id;

    if (self == NULL)
        return err_say(
            IDENTITY_E_FOREIGN,
            "node '%s' is no member in its own log: there is nothing that it could go on "
            "with",
            identity_get(r->dir)->node_name);
    r->alone = *c;
    r->alone.n = 1;
    r->alone.servers[0] = *self;
    r->alone.servers[0].role = RAFT_VOTER;
    r->alone.servers[0].promote = false;
    r->alone.servers[0].replaces = 0;
    r->alone.servers[0].patience_ms = 0;
    if (getrandom(id, sizeof(r->alone.cluster_id), 0) != (ssize_t)sizeof(r->alone.cluster_id))
        return err_say(-EIO, "no random bytes from the kernel");
    raft_cluster_id_mark(id, true); /* what clients have seen may be missing (TOKEN-1) */
    return 0;
}

static void say_members(const struct raft_configuration *c)
{
    for (unsigned i = 0; i < c->n; i++)
        printf("%s%s%s", i > 0 ? ", " : "", c->servers[i].name,
               c->servers[i].role == RAFT_LEARNER ? " (learner)" : "");
    printf("\n");
}

static void say_what_there_is(const struct recovery *r)
{
    const raft_index behind = r->log.last_index - r->log.commit_index;

    printf("node:               %s, incarnation %016" PRIx64 "\n", identity_get(r->dir)->node_name,
           identity_get(r->dir)->incarnation);
    printf("members now:        ");
    say_members(in_force(r));
    printf("last entry:         index %" PRIu64 " of term %" PRIu64 "; its term is %" PRIu64 "\n",
           r->log.last_index, last_term(r), r->log.hard_state.current_term);
    printf("known as committed: index %" PRIu64 "\n", r->log.commit_index);
    printf("what may be missing: entries that the lost nodes had acknowledged and this one did not "
           "get,\n"
           "                    all those behind index %" PRIu64 "\n",
           r->log.last_index);
    if (behind > 0)
        printf("kept:               %" PRIu64
               " entries behind the one known as committed; they will "
               "be, whether or\n"
               "                    not they were acknowledged\n",
               behind);
}

/* The vote is its own, as a leader's is. */
static int append(struct recovery *r)
{
    const raft_term before = last_term(r);
    const raft_term term =
        (r->log.hard_state.current_term > before ? r->log.hard_state.current_term : before) + 1;
    cleanup_buf struct buf bytes = BUF_INIT;
    struct raft_entry entry = {.id = {.term = term, .index = r->log.last_index + 1},
                               .type = RAFT_ENTRY_CONFIG};
    const struct store_batch batch = {
        .number = 1,
        .has_hard_state = true,
        .hard_state = {.current_term = term,
                       .voted_for = identity_get(r->dir)->node_id,
                       .lease_max_us = r->log.hard_state.lease_max_us},
        .entries = &entry,
        .n_entries = 1,
        .commit_index = r->log.commit_index};
    int rc = raft_configuration_encode(&r->alone, &bytes);

    if (rc != 0)
        return rc;
    entry.data = bytes.data;
    entry.len = (uint32_t)bytes.len;
    rc = store_write_now(r->store, &batch);
    if (rc == 0)
        printf("done: index %" PRIu64 " of term %" PRIu64 " makes %s the only voter; start it, and "
               "add nodes that are made with --join\n",
               entry.id.index, term, identity_get(r->dir)->node_name);
    return rc;
}

static int change(struct recovery *r)
{
    int rc = identity_set_cluster(r->dir, r->alone.cluster_id, identity_cluster(r->dir)->name);

    return rc == 0 ? append(r) : rc;
}

static int say(const char *dir, int rc, int exit_code)
{
    fprintf(stderr, "ridd: '%s': %s\n", dir,
            err_text_for(rc)[0] != '\0' ? err_text_for(rc) : strerror(rc < 0 ? -rc : EIO));
    return exit_code;
}

static int recover(struct recovery *r, const char *path, bool yes)
{
    const struct identity_conf identity = {.data_dir = path, .command = "ridd"};
    int rc = identity_open(&identity, &r->dir);

    if (rc != 0)
        return say(path, rc, identity_exit_code(rc));
    err_reset();
    rc = open_log(r);
    if (rc != 0)
        return say(path, rc,
                   rc == STORE_E_NO_LOG ? EXIT_DAMAGED
                                        : engine_refusal_exit_code(engine_refusal_of_log(rc)));
    rc = make_configuration(r);
    if (rc != 0)
        return say(path, rc, rc > 0 ? EXIT_CONF_ERROR : EXIT_IO_ERROR);
    say_what_there_is(r);
    if (!yes) {
        printf(
            "nothing was changed. If a majority of the members can ever come back, do not go on: "
            "there would be two\n"
            "clusters. Otherwise run it again with --yes\n");
        return EXIT_USAGE_ERROR;
    }
    rc = change(r);
    return rc != 0 ? say(path, rc, EXIT_IO_ERROR) : 0;
}

int node_recover_alone(const char *dir, bool yes)
{
    struct recovery *r = calloc(1, sizeof(*r));
    int code;

    if (r == NULL) {
        fprintf(stderr, "ridd: out of memory\n");
        return EXIT_IO_ERROR;
    }
    r->wal_fd = -1;
    code = recover(r, dir, yes);
    if (fflush(stdout) != 0 && code == 0)
        code = EXIT_IO_ERROR;
    store_close(r->store);
    store_recovered_done(&r->log);
    vfs_posix_free(r->vfs);
    if (r->wal_fd >= 0)
        (void)close(r->wal_fd);
    identity_close(r->dir);
    free(r);
    return code;
}
