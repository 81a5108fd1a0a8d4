/* `ridd --restore FILE|-`: the node of an empty directory begins another cluster with what a backup
 * holds, as its only voter; others are added to it (BACKUP-1).
 *
 * Founding id, random id and incarnation are drawn, here and each time: whoever was of the cluster
 * that the backup is of, or of another restore of it, is refused by this node and refuses it. What
 * becomes durable in which order: INIT; the state; a snapshot of it; the log; CLUSTER; IDENT, which
 * makes a node of it; INIT goes. What fails before that is removed again, and what a crash leaves
 * is known by INIT and is thrown away by the next one (BACKUP-4). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/seed.h"
#include "engine/refound.h"
#include "node/node_int.h"
#include "snap/backup.h"

#include "base/banned.h"

/* Of the new cluster from its first entry on: it has a random id (MEMBER-17). */
#define VERSION_WITH_ID 1u

struct restoring {
    const struct conf *conf;
    struct identity_dir *dir; /* owned */
    struct backup backup;
    int fd; /* owned: FILE, or what came from standard input */
    bool shows;
    uint64_t show_us; /* not before: again */
    unsigned char founding_id[16];
    unsigned char cluster_id[16];
    struct snap_meta made;
    bool by_chance; /* the index behind which the log goes on: the clock is wrong */
};

static int say(int exit_code)
{
    fprintf(stderr, "ridd: %s\n", err_text());
    return exit_code;
}

/* ---- how far it is ---- */

static void show(struct restoring *r, const char *what, uint64_t done)
{
    const uint64_t whole = r->backup.meta.body_bytes;
    const uint64_t now_us = clock_mono_us();

    if (!r->shows || now_us < r->show_us)
        return;
    r->show_us = now_us + RESTORE_SHOW_US;
    fprintf(stderr, "\r\033[Kridd: %s: %llu %%", what,
            (unsigned long long)(whole > 0 ? done * 100 / whole : 100));
}

static void show_end(const struct restoring *r)
{
    if (r->shows)
        fprintf(stderr, "\r\033[K");
}

static void on_checked(void *ctx, uint64_t done)
{
    show(ctx, "checking", done);
}

static int read_shown(void *ctx, void *buf, size_t n, uint64_t offset)
{
    struct restoring *r = ctx;

    show(r, "restoring", offset + n);
    return backup_read(&r->backup, buf, n, offset);
}

/* ---- the file ---- */

static int write_all(int fd, const unsigned char *p, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_say(-errno, "cannot keep what comes from standard input: %s",
                           strerror(errno));
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* A backup is read from its end. What comes through a pipe is kept in the directory that is being
 * made, without a name, so that it goes with this process, however that ends. */
static int keep_input(struct restoring *r)
{
    cleanup_free unsigned char *piece = malloc(SNAP_CHECK_BYTES);
    ssize_t n;

    if (piece == NULL)
        return err_say(-ENOMEM, "out of memory");
    r->fd = openat(identity_fd(r->dir), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (r->fd < 0)
        return err_say(
            -errno,
            "cannot keep what comes from standard input in '%s': %s; put it into a file, "
            "and name that",
            identity_path(r->dir), strerror(errno));
    while ((n = read(STDIN_FILENO, piece, SNAP_CHECK_BYTES)) != 0) {
        int rc;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_say(-errno, "cannot read standard input: %s", strerror(errno));
        rc = write_all(r->fd, piece, (size_t)n);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int open_file(struct restoring *r, const char *name)
{
    r->fd = open(name, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return err_say(-errno, "cannot open '%s': %s", name, strerror(errno));
    return 0;
}

static int backup_exit_code(int rc)
{
    if (rc < 0)
        return EXIT_IO_ERROR;
    return rc == BACKUP_E_NEWER ? EXIT_CONF_ERROR : EXIT_DAMAGED;
}

/* ---- making it ---- */

static int draw(unsigned char id[16])
{
    if (getrandom(id, 16, 0) != 16)
        return err_say(-EIO, "no random bytes from the kernel");
    return 0;
}

/* Nothing of either can be guessed, and no two restores have one in common (BACKUP-1). The random
 * one is not that of a node that has gone on alone: all that was ever acknowledged under this
 * founding id is here (TOKEN-1). */
static int draw_ids(struct restoring *r)
{
    int rc = draw(r->founding_id);

    if (rc == 0)
        rc = draw(r->cluster_id);
    if (rc == 0)
        raft_cluster_id_mark(r->cluster_id, false);
    return rc;
}

/* This node and nobody else, whoever belonged to the old cluster, or was removed from it. */
static int make_configuration(const struct restoring *r, struct raft_configuration *ret)
{
    const struct conf_peer *self = r->conf->self;
    struct raft_server *s = &ret->servers[0];
    int rc;

    raft_configuration_init(ret);
    rc = raft_configuration_add(ret, identity_get(r->dir)->node_id, self->name, RAFT_VOTER,
                                self->peer_addr, self->client_addr);
    if (rc != 0)
        return err_say(-EINVAL, "the configuration gives no valid member: %s",
                       raft_configuration_error_text(rc));
    s->incarnation = identity_get(r->dir)->incarnation;
    memcpy(ret->cluster_id, r->cluster_id, sizeof(ret->cluster_id));
    ret->version = VERSION_WITH_ID;
    return 0;
}

static void on_read(void *ctx)
{
    struct restoring *r = ctx;

    (void)close(r->fd); /* its room, where it has no name */
    r->fd = -1;
}

struct folders {
    int wal;
    int snap;
    char db[PATH_MAX];
};

static void close_folders(struct folders *f)
{
    if (f->wal >= 0)
        (void)close(f->wal);
    if (f->snap >= 0)
        (void)close(f->snap);
}

static int open_folders(const struct restoring *r, struct folders *ret)
{
    ret->wal = identity_open_folder(r->dir, "wal");
    ret->snap = identity_open_folder(r->dir, "snap");
    (void)snprintf(ret->db, sizeof(ret->db), "%s/db", identity_path(r->dir));
    return ret->wal < 0 ? ret->wal : ret->snap < 0 ? ret->snap : 0;
}

static void fill_engine(const struct restoring *r, const struct folders *f, struct engine_conf *ret)
{
    const struct identity *id = identity_get(r->dir);

    *ret = (struct engine_conf){.log = {.node_id = id->node_id,
                                        .incarnation = id->incarnation,
                                        .salt_seed = seed_fresh(),
                                        .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                        /* the first start makes one of the usual size */
                                        .segment_bytes = STORE_SEGMENT_FIRST_BYTES},
                                .log_fd = f->wal,
                                .snap_fd = f->snap,
                                .kv = {.dir = f->db, .incarnation = id->incarnation},
                                .quota_bytes = r->conf->map_size_bytes};
    memcpy(ret->log.cluster_id, id->cluster_id, sizeof(ret->log.cluster_id));
}

static int find_first_index(struct restoring *r, raft_index *ret)
{
    const struct refound_time t = {.now_us = clock_wall_us(),
                                   .begun_us = r->backup.has_label && r->backup.label.begun_s <
                                                                          UINT64_MAX / 1000000u
                                                   ? r->backup.label.begun_s * 1000000u
                                                   : 0};
    struct refound_base base = {0};
    const int rc = refound_index(&r->backup.meta, &t, &base);

    *ret = base.index;
    r->by_chance = !base.by_time;
    return rc;
}

static int fill_folders(struct restoring *r, const struct folders *f)
{
    const struct kv_source source = {read_shown, r, r->backup.meta.body_bytes, NULL};
    struct engine_conf engine;
    struct refound refound = {
        .conf = &engine, .backup = &r->backup.meta, .source = &source, .read = on_read, .ctx = r};
    int rc;

    identity_join(r->dir, r->founding_id);
    fill_engine(r, f, &engine);
    rc = make_configuration(r, &refound.configuration);
    if (rc == 0)
        rc = find_first_index(r, &refound.first_index);
    if (rc == 0)
        rc = refound_make(&refound, &r->made);
    return rc;
}

/* An exit code; then it has been said why. */
static int refound_exit_code(const struct restoring *r, int rc)
{
    if (err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "%s", rc < 0 ? strerror(-rc) : refound_error_text(rc));
    if (rc == REFOUND_E_DAMAGED) {
        (void)backup_say_wrong(&r->backup, err_text());
        return say(EXIT_DAMAGED);
    }
    if (rc == REFOUND_E_OTHER)
        return say(EXIT_CONF_ERROR);
    fprintf(stderr, "ridd: cannot restore into '%s': %s\n", r->conf->data_dir, err_text());
    return EXIT_IO_ERROR;
}

static int make_node(struct restoring *r)
{
    struct folders f = {.wal = -1, .snap = -1};
    int rc = draw_ids(r);

    err_reset();
    if (rc == 0)
        rc = open_folders(r, &f);
    if (rc == 0)
        rc = fill_folders(r, &f);
    close_folders(&f);
    show_end(r);
    return rc == 0 ? 0 : refound_exit_code(r, rc);
}

/* From here on it is a node. One that INIT may stand beside is not given up: it would have neither
 * INIT nor IDENT, and nobody could say any more what it is (BACKUP-4). */
static int commit(struct restoring *r)
{
    int rc = identity_set_cluster(r->dir, r->cluster_id, r->conf->cluster_name);

    if (rc == 0)
        rc = identity_commit(r->dir);
    if (rc != 0 && identity_is_committed(r->dir))
        rc = 0;
    return rc == 0 ? 0 : say(identity_exit_code(rc));
}

/* ---- what is said ---- */

static void say_of_what(const struct backup *b)
{
    const struct backup_label *l = &b->label;
    char when[BACKUP_TIME_SIZE];

    printf("ridd: backup:      index %" PRIu64 " of term %" PRIu64, b->meta.id.index,
           b->meta.id.term);
    backup_time_text(l->begun_s, when);
    if (b->has_label)
        printf(" of cluster %s, by %s at %s", l->cluster_name, l->node_name, when);
    printf("\n");
}

static void say_done(const struct restoring *r)
{
    const struct conf *conf = r->conf;

    say_of_what(&r->backup);
    printf("ridd: restored:    %" PRIu64 " keys, digest %016" PRIx64 "%016" PRIx64
           "; no sessions, no members of before\n",
           r->made.n_keys, r->made.digest.high, r->made.digest.low);
    printf("ridd: new cluster: %s, its log goes on behind index %" PRIu64
           "; %s is its only voter\n",
           conf->cluster_name, r->made.id.index, conf->self->name);
    if (r->by_chance)
        printf("ridd: the time does not fit the backup: the clock here, or where it was saved, was "
               "wrong, or it does not say when it was saved; that index was drawn, far above its "
               "last one\n");
    printf("ridd: made '%s'; start it with: ridd --config %s --id %s; add the others with --join "
           "(ridd(8), RESTORE)\n",
           conf->data_dir, conf->path, conf->self->name);
}

/* ---- */

static int check(struct restoring *r, const char *name)
{
    int rc = backup_open(r->fd, name, &r->backup);

    if (rc == 0)
        rc = backup_check(&r->backup, on_checked, r);
    show_end(r);
    if (rc != 0 && err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "cannot read '%s': %s", name, strerror(-rc));
    return rc == 0 ? 0 : say(backup_exit_code(rc));
}

/* A file is looked at before anything is made; what comes from a pipe has to be put somewhere. */
static int take_file(struct restoring *r, const char *name)
{
    int rc = open_file(r, name);

    return rc == 0 ? check(r, name) : say(EXIT_IO_ERROR);
}

static int take_input(struct restoring *r)
{
    int rc = keep_input(r);

    return rc == 0 ? check(r, "standard input") : say(EXIT_IO_ERROR);
}

static int make_directory(struct restoring *r)
{
    char command[PATH_MAX + 128];
    const struct identity_conf identity = {.data_dir = r->conf->data_dir,
                                           .node_name = r->conf->self->name,
                                           .command = command,
                                           .way = IDENTITY_RESTORE};
    int rc;

    (void)snprintf(command, sizeof(command), "ridd --config %s --id %s", r->conf->path,
                   r->conf->self->name);
    rc = identity_create(&identity, &r->dir);
    if (rc == IDENTITY_E_EXISTS)
        fprintf(stderr,
                "ridd: %s, and a backup is restored into an empty directory: move that one away, "
                "or name another as data_dir; nothing was changed\n",
                err_text());
    else if (rc != 0)
        (void)say(EXIT_CONF_ERROR);
    return rc == IDENTITY_E_EXISTS ? EXIT_CONF_ERROR : identity_exit_code(rc);
}

static int restore(struct restoring *r, const char *file)
{
    const bool is_input = strcmp(file, "-") == 0;
    int code = is_input ? 0 : take_file(r, file);

    if (code == 0)
        code = make_directory(r);
    if (code == 0 && is_input)
        code = take_input(r);
    if (code == 0)
        code = make_node(r);
    if (code == 0)
        code = commit(r);
    if (code == 0) {
        say_done(r);
    } else if (r->dir != NULL) {
        identity_abandon(r->dir);
        r->dir = NULL;
    }
    return code;
}

int node_restore(const struct conf *conf, const char *file)
{
    const char *term = getenv("TERM");
    struct restoring *r = calloc(1, sizeof(*r));
    int code;

    if (r == NULL) {
        fprintf(stderr, "ridd: out of memory\n");
        return EXIT_IO_ERROR;
    }
    r->conf = conf;
    r->fd = -1;
    r->shows = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    code = restore(r, file);
    if (fflush(stdout) != 0 && code == 0)
        code = EXIT_IO_ERROR;
    if (r->fd >= 0)
        (void)close(r->fd);
    identity_close(r->dir);
    free(r);
    return code;
}
