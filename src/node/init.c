/* `ridd --init` and `ridd --dump-log`: what is done to a data directory while no daemon runs on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "engine/engine.h"
#include "net/peer_net.h"
#include "node/identity.h"
#include "node/node.h"
#include "store/store.h"

#include "base/banned.h"

/* A peer whose log goes beyond the first entry belongs to a cluster that is at work: then this node
 * was a member, or a directory was lost, and an empty node under its name could vote twice. The
 * same when a peer remembers an incarnation of it, whatever its log holds. Returns 0 or an exit
 * code. */
static int ask_peers(const struct conf *conf, const unsigned char cluster_id[16])
{
    unsigned n_silent = 0;

    for (unsigned i = 0; i < conf->n_peers; i++) {
        const struct conf_peer *p = &conf->peers[i];
        struct wire_hello hello = {.version_highest = WIRE_VERSION_HIGHEST,
                                   .version_lowest = WIRE_VERSION_LOWEST,
                                   .channel = WIRE_CHANNEL_PROBE,
                                   .from = conf->self->id,
                                   .to = p->id,
                                   .incarnation = 0};
        struct wire_hello reply;

        if (p == conf->self)
            continue;
        memcpy(hello.cluster_id, cluster_id, sizeof(hello.cluster_id));
        if (peer_probe(p->peer_addr, &hello, INIT_PROBE_MS, &reply) != 0) {
            n_silent++;
            continue;
        }
        if (reply.refused != WIRE_REFUSED_NOT) {
            fprintf(stderr, "ridd: %s at %s refuses this node: %s; nothing was made\n", p->name,
                    p->peer_addr, wire_refusal_text((enum wire_refusal)reply.refused, false));
            return EXIT_CONF_ERROR;
        }
        if (reply.last_index > 1) {
            fprintf(stderr,
                    "ridd: %s at %s has a log up to index %" PRIu64
                    ": this cluster is at work already, and an empty node "
                    "named %s could vote twice in one term; nothing was made\n"
                    "ridd: if the disk of %s was lost, restore '%s' from a copy no older than its "
                    "last write, or make "
                    "the whole cluster anew: "
                    "stop every node, move every data directory away, then ridd --init on each\n",
                    p->name, p->peer_addr, reply.last_index, conf->self->name, conf->self->name,
                    conf->data_dir);
            return EXIT_CONF_ERROR;
        }
        if (reply.known_incarnation != 0) {
            fprintf(stderr,
                    "ridd: %s at %s has met a node named %s before, with another data directory: "
                    "it would refuse this one; nothing was made\n"
                    "ridd: put that directory back as '%s', or make the whole cluster anew: "
                    "stop every node, move every data directory away, then ridd --init on each\n",
                    p->name, p->peer_addr, conf->self->name, conf->data_dir);
            return EXIT_CONF_ERROR;
        }
    }
    if (n_silent > 0)
        printf("ridd: %u of %u peers did not answer; that is as it should be when the cluster is "
               "new\n",
               n_silent, conf->n_peers - 1);
    return 0;
}

static int make_log(const struct conf *conf, const struct identity_dir *dir,
                    const unsigned char cluster_id[16])
{
    struct engine_conf engine = {.log = {.node_id = conf->self->id,
                                         .incarnation = identity_get(dir)->incarnation,
                                         .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                         .segment_bytes = conf->segment_bytes}};
    uint64_t *salt = &engine.log.salt_seed;
    struct raft_configuration members;
    cleanup_buf struct buf entry = BUF_INIT;
    cleanup_fd int wal_fd = identity_open_folder(dir, "wal");
    int rc;

    if (wal_fd < 0)
        return err_say(wal_fd, "cannot open '%s/wal': %s", conf->data_dir, strerror(-wal_fd));
    memcpy(engine.log.cluster_id, cluster_id, sizeof(engine.log.cluster_id));
    if (getrandom(salt, sizeof(*salt), 0) != (ssize_t)sizeof(*salt))
        return err_say(-EIO, "no random bytes from the kernel");
    if (conf_to_configuration(conf, &members) != 0 ||
        raft_configuration_encode(&members, &entry) != 0)
        return err_say(-EINVAL, "[peers] gives no valid membership");
    err_reset();
    engine.log_fd = wal_fd;
    rc = engine_create_log(&engine, entry.data, entry.len);
    if (rc != 0 && err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "cannot make the log in '%s/wal': %s", conf->data_dir,
                      rc < 0 ? strerror(-rc) : "refused");
    return rc;
}

int node_init(const struct conf *conf)
{
    unsigned char cluster_id[16];
    char command[PATH_MAX + 128];
    struct identity_conf identity = {.data_dir = conf->data_dir,
                                     .cluster_id = cluster_id,
                                     .node_name = conf->self->name,
                                     .command = command};
    struct identity_dir *dir = NULL;
    int rc;

    (void)snprintf(command, sizeof(command), "ridd --config %s --id %s", conf->path,
                   conf->self->name);
    conf_cluster_id(conf, cluster_id);
    rc = identity_open(&identity, &dir);
    if (rc == 0 || rc == IDENTITY_E_LOCKED) {
        if (rc != 0) {
            fprintf(stderr, "ridd: %s\n", err_text());
            return identity_exit_code(rc);
        }
        identity_close(dir);
        printf("ridd: '%s' belongs to node %s of cluster %s already; nothing to do\n",
               conf->data_dir, conf->self->name, conf->cluster_name);
        return 0;
    }
    if (rc != IDENTITY_E_NOT_INITIALISED) {
        fprintf(stderr, "ridd: %s\n", err_text());
        return identity_exit_code(rc);
    }
    rc = ask_peers(conf, cluster_id);
    if (rc != 0)
        return rc;
    rc = identity_create(&identity, &dir);
    if (rc != 0) {
        fprintf(stderr, "ridd: %s\n", err_text());
        return identity_exit_code(rc);
    }
    rc = make_log(conf, dir, cluster_id);
    if (rc == 0)
        rc = identity_commit(dir);
    if (rc != 0)
        fprintf(stderr, "ridd: %s\n", err_text());
    else
        printf("ridd: made '%s' for node %s of cluster %s (%u nodes); start it with: ridd --config "
               "%s --id %s\n",
               conf->data_dir, conf->self->name, conf->cluster_name, conf->n_peers, conf->path,
               conf->self->name);
    identity_close(dir);
    return rc == 0 ? 0 : identity_exit_code(rc);
}

/* Why the log was not printed, or cannot be believed. */
static void say_dump(const char *dir, int rc)
{
    const char *text = err_text_for(rc);

    if (text[0] == '\0')
        text = rc < 0 ? strerror(-rc) : store_error_text(rc);
    switch (rc) {
    case STORE_E_DAMAGED:
        if (!isatty(STDOUT_FILENO)) /* on a terminal the verdict stands right above */
            fprintf(stderr, "ridd: %s\n", text);
        break;
    case STORE_E_NEWER:
        fprintf(stderr, "ridd: %s\n", text);
        break;
    case STORE_E_NO_LOG:
        fprintf(stderr, "ridd: '%s' holds no log; name a data directory or its wal folder\n", dir);
        break;
    default:
        fprintf(stderr, "ridd: cannot read the log in '%s': %s\n", dir, text);
        break;
    }
}

int node_dump_log(const char *dir)
{
    struct store_conf store = {.segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                               .segment_bytes = STORE_SEGMENT_BYTES};
    cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_fd int wal_fd = -1;
    int rc;

    if (fd < 0) {
        fprintf(stderr, "ridd: cannot open '%s': %s\n", dir, strerror(errno));
        return EXIT_IO_ERROR;
    }
    wal_fd = openat(fd, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    rc = vfs_posix_new(wal_fd >= 0 ? wal_fd : fd, &store.vfs);
    if (rc != 0) {
        fprintf(stderr, "ridd: cannot use '%s': %s\n", dir, strerror(-rc));
        return EXIT_IO_ERROR;
    }
    err_reset();
    rc = store_dump(&store, stdout);
    vfs_posix_free(store.vfs);
    if (fflush(stdout) != 0)
        rc = -errno;
    if (rc == 0)
        return 0;
    say_dump(dir, rc);
    /* Who names a folder without a log is mistaken; only a node whose log is gone has lost it. */
    return rc == STORE_E_NO_LOG ? EXIT_CONF_ERROR
                                : engine_refusal_exit_code(engine_refusal_of_log(rc));
}
