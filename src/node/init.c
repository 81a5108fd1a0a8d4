/* `ridd --init`, `--dump-log` and `--check-log`: what is done to a data directory while no daemon
 * runs on it. */
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
#include "node/identity.h"
#include "node/node_int.h"
#include "store/store.h"

#include "base/banned.h"

int node_make_log(const struct conf *conf, const struct identity_dir *dir, const void *config,
                  size_t len)
{
    const struct identity *id = identity_get(dir);
    struct engine_conf engine = {.log = {.node_id = id->node_id,
                                         .incarnation = id->incarnation,
                                         .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                         .segment_bytes = conf->segment_bytes}};
    uint64_t *salt = &engine.log.salt_seed;
    cleanup_fd int wal_fd = identity_open_folder(dir, "wal");
    int rc;

    if (wal_fd < 0)
        return err_say(wal_fd, "cannot open '%s/wal': %s", conf->data_dir, strerror(-wal_fd));
    memcpy(engine.log.cluster_id, id->cluster_id, sizeof(engine.log.cluster_id));
    if (getrandom(salt, sizeof(*salt), 0) != (ssize_t)sizeof(*salt))
        return err_say(-EIO, "no random bytes from the kernel");
    err_reset();
    engine.log_fd = wal_fd;
    rc = engine_create_log(&engine, config, len);
    if (rc != 0 && err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "cannot make the log in '%s/wal': %s", conf->data_dir,
                      rc < 0 ? strerror(-rc) : "refused");
    return rc;
}

/* The first entry must have the same bytes on all nodes (IDENTITY-6), whatever their files say of
 * addresses: it has none. In clusters of an earlier version it has. */
static int make_log(const struct conf *conf, const struct identity_dir *dir, bool with_addresses)
{
    struct raft_configuration members;
    cleanup_buf struct buf entry = BUF_INIT;

    if (conf_to_configuration(conf, with_addresses, &members) != 0 ||
        raft_configuration_encode(&members, &entry) != 0)
        return err_say(-EINVAL, "[peers] gives no valid membership");
    return node_make_log(conf, dir, entry.data, entry.len);
}

/* As an earlier version would have named this cluster. */
static int first_id_of(const struct conf *conf, unsigned char ret_id[16])
{
    struct raft_configuration members;
    int rc = conf_to_configuration(conf, true, &members);

    if (rc == 0)
        conf_first_id(conf->cluster_name, &members, ret_id);
    return rc;
}

/* The directory is there: of this very node, or of another. Returns an exit code; -1: there is
 * none. */
static int look_at(struct identity_conf *identity, const struct conf *conf,
                   const unsigned char first_id[16])
{
    const unsigned char *founding_id = identity->cluster_id;
    struct identity_dir *dir = NULL;
    bool ours = false;
    int rc;

    identity->cluster_id = NULL;
    rc = identity_open(identity, &dir);
    if (rc == 0)
        ours = identity_cluster(dir)->name[0] != '\0'
                   ? strcmp(identity_cluster(dir)->name, conf->cluster_name) == 0
                   : memcmp(identity_get(dir)->cluster_id, founding_id, 16) == 0 ||
                         memcmp(identity_get(dir)->cluster_id, first_id, 16) == 0;
    identity_close(dir);
    identity->cluster_id = founding_id;
    if (ours) {
        printf("ridd: '%s' belongs to node %s of cluster %s already; nothing to do\n",
               conf->data_dir, conf->self->name, conf->cluster_name);
        return 0;
    }
    if (rc == 0) { /* it says in which words */
        dir = NULL;
        rc = identity_open(identity, &dir);
        identity_close(dir);
    }
    if (rc == IDENTITY_E_NOT_INITIALISED)
        return -1;
    fprintf(stderr, "ridd: %s\n", err_text());
    return identity_exit_code(rc);
}

/* 0 or an exit code. */
static int ask_peers(const struct conf *conf, const unsigned char first_id[16],
                     unsigned char cluster_id[16])
{
    struct tls_ctx *tls = NULL;
    int rc;

    if (node_peer_tls(conf, &tls) != 0) {
        fprintf(stderr, "ridd: [security]: %s\n", err_text());
        return EXIT_CONF_ERROR;
    }
    rc = node_ask_peers(conf, tls, first_id, cluster_id);
    tls_ctx_unref(tls);
    return rc;
}

int node_init(const struct conf *conf)
{
    unsigned char cluster_id[16];
    unsigned char first_id[16];
    char command[PATH_MAX + 128];
    struct identity_conf identity = {.data_dir = conf->data_dir,
                                     .cluster_id = cluster_id,
                                     .node_name = conf->self->name,
                                     .command = command};
    struct identity_dir *dir = NULL;
    int rc;

    (void)snprintf(command, sizeof(command), "ridd --config %s --id %s", conf->path,
                   conf->self->name);
    conf_founding_id(conf, cluster_id);
    rc = first_id_of(conf, first_id);
    if (rc == 0)
        rc = look_at(&identity, conf, first_id);
    if (rc != -1)
        return rc;
    rc = ask_peers(conf, first_id, cluster_id);
    if (rc != 0)
        return rc;
    rc = identity_create(&identity, &dir);
    if (rc != 0) {
        fprintf(stderr, "ridd: %s\n", err_text());
        return identity_exit_code(rc);
    }
    rc = make_log(conf, dir, memcmp(cluster_id, first_id, 16) == 0);
    if (rc == 0)
        rc = identity_commit(dir);
    if (rc != 0)
        fprintf(stderr, "ridd: %s\n", err_text());
    else
        printf("ridd: made '%s' for node %s of cluster %s (%u node%s); start it with: ridd "
               "--config %s --id %s\n",
               conf->data_dir, conf->self->name, conf->cluster_name, conf->n_peers,
               conf->n_peers == 1 ? "" : "s", conf->path, conf->self->name);
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

int node_dump_log(const char *dir, bool records)
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
    rc = records ? store_dump(&store, stdout) : store_dump_verdict(&store, stdout);
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
