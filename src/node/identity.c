/* Look before touching: a directory is judged as it was found, and only --init writes into one that
 * is no node yet. */
#include "node/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/mark.h"
#include "node/identity_int.h"

#include "base/banned.h"

void identity_close(struct identity_dir *dir)
{
    if (dir == NULL)
        return;
    if (dir->lock_fd >= 0)
        (void)close(dir->lock_fd);
    if (dir->fd >= 0)
        (void)close(dir->fd);
    free(dir->command);
    free(dir->path);
    free(dir);
}

DEFINE_CLEANUP(identity_dir, struct identity_dir *, identity_close);
#define cleanup_identity_dir CLEANUP(identity_dir)

const char *identity_error_text(int error)
{
    switch (error) {
#define IDENTITY_ERROR_TEXT(name, number, text, code)                                              \
    case name:                                                                                     \
        return text;
        IDENTITY_ERRORS(IDENTITY_ERROR_TEXT)
    default:
        return error < 0 ? strerror(-error) : "?";
    }
}

int identity_exit_code(int error)
{
    switch (error) {
    case 0:
        return 0;
#define IDENTITY_ERROR_CODE(name, number, text, code)                                              \
    case name:                                                                                     \
        return code;
        IDENTITY_ERRORS(IDENTITY_ERROR_CODE)
    default:
        return EXIT_IO_ERROR;
    }
}

const struct identity *identity_get(const struct identity_dir *dir)
{
    return &dir->identity;
}

const struct identity_cluster *identity_cluster(const struct identity_dir *dir)
{
    return &dir->cluster;
}

bool identity_was_added(const struct identity_dir *dir)
{
    return dir->identity.node_id != raft_founder_id(dir->identity.node_name);
}

int identity_fd(const struct identity_dir *dir)
{
    return dir->fd;
}

const char *identity_path(const struct identity_dir *dir)
{
    return dir->path;
}

/* ---- opening ---- */

static struct identity_dir *dir_new(const struct identity_conf *conf)
{
    cleanup_identity_dir struct identity_dir *dir = calloc(1, sizeof(*dir));

    if (dir == NULL)
        return NULL;
    dir->fd = -1;
    dir->lock_fd = -1;
    dir->command = strdup(conf->command != NULL ? conf->command : "ridd");
    return dir->command != NULL ? take_ptr(dir) : NULL;
}

/* Nobody counts on what an addition that did not finish had drawn. */
static int not_added(const struct identity_dir *dir, enum identity_way way)
{
    return err_say(IDENTITY_E_NOT_INITIALISED,
                   "the data directory '%.*s' was left by 'ridd %s' that did not finish: run '%s "
                   "%s' again",
                   PATH_SHOWN, dir->path, identity_way_option(way), dir->command,
                   identity_way_option(way));
}

static int not_initialised(const struct identity_dir *dir, const char *path, const char *why)
{
    return err_say(
        IDENTITY_E_NOT_INITIALISED,
        "the data directory '%.*s' %s: if this node never ran, run '%s --init' once; if its "
        "disk was lost, see ridd(8), LOST DISK, before anything else",
        PATH_SHOWN, path, why, dir->command);
}

/* The directory itself. The operator's path may lead over links (systemd's does); what it leads to
 * may not be one. */
static int dir_open(struct identity_dir *dir, const char *path)
{
    struct stat st;

    dir->path = realpath(path, NULL);
    if (dir->path == NULL && errno == ENOENT)
        return not_initialised(dir, path, "does not exist");
    if (dir->path == NULL && (errno == EACCES || errno == ENOTDIR || errno == ELOOP))
        return err_say(IDENTITY_E_ACCESS,
                       "cannot open '%.*s': %s: check data_dir and the folders above it",
                       PATH_SHOWN, path, strerror(errno));
    if (dir->path == NULL)
        return identity_say_errno("open", path);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0 && (errno == EACCES || errno == ENOTDIR))
        return err_say(IDENTITY_E_ACCESS,
                       "cannot open '%.*s': %s: data_dir must be a folder of user %u", PATH_SHOWN,
                       dir->path, strerror(errno), (unsigned)geteuid());
    if (dir->fd < 0 || fstat(dir->fd, &st) != 0)
        return identity_say_errno("open", dir->path);
    return err_trace(identity_check_access(dir->path, "", &st));
}

static int say_locked(const struct identity_dir *dir)
{
    char text[16] = {0};
    ssize_t n = pread(dir->lock_fd, text, sizeof(text) - 1, 0);
    size_t len = n > 0 ? strspn(text, "0123456789") : 0;

    if (len == 0 || text[len] != '\n')
        return err_say(IDENTITY_E_LOCKED,
                       "'%.*s' is in use by another process: run 'fuser -v %.*s/LOCK'", PATH_SHOWN,
                       dir->path, PATH_SHOWN, dir->path);
    return err_say(IDENTITY_E_LOCKED,
                   "'%.*s' is in use by process %.*s: stop it first, or see 'ps -fp %.*s'",
                   PATH_SHOWN, dir->path, (int)len, text, (int)len, text);
}

static int open_lock(struct identity_dir *dir)
{
    dir->lock_fd =
        openat(dir->fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (dir->lock_fd < 0 &&
        (errno == ELOOP || errno == EACCES || errno == EISDIR || errno == ENXIO))
        return err_say(IDENTITY_E_ACCESS, "cannot open '%.*s/LOCK': %s: move it away", PATH_SHOWN,
                       dir->path, strerror(errno));
    return dir->lock_fd < 0 ? identity_say_errno("open LOCK in", dir->path) : 0;
}

static int take_lock(struct identity_dir *dir)
{
    int rc = open_lock(dir);

    if (rc != 0)
        return rc;
    while (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return say_locked(dir);
        if (errno != EINTR)
            return identity_say_errno("lock", dir->path);
    }
    return 0;
}

static void drop_lock(struct identity_dir *dir)
{
    if (dir->lock_fd >= 0)
        (void)close(dir->lock_fd);
    dir->lock_fd = -1;
}

/* Who gives a directory up removes LOCK: one that was opened before that, and locked after it,
 * keeps nobody out. */
static bool lock_is_there(const struct identity_dir *dir)
{
    struct stat ours;
    struct stat there;

    return fstat(dir->lock_fd, &ours) == 0 &&
           fstatat(dir->fd, LOCK_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* lock_fd is what is held, and -1 where nothing is. */
static int dir_lock(struct identity_dir *dir)
{
    char text[16];
    int len;
    int rc = take_lock(dir);

    for (unsigned i = 0; rc == 0 && !lock_is_there(dir); i++) {
        drop_lock(dir);
        rc = i < IDENTITY_LOCK_TRIES
                 ? take_lock(dir)
                 : err_say(IDENTITY_E_LOCKED, "'%.*s/LOCK' is removed again and again", PATH_SHOWN,
                           dir->path);
    }
    if (rc != 0) {
        drop_lock(dir);
        return rc;
    }
    /* For the sentence above; it need not be durable, and where there is no room for it the lock is
     * held all the same (SPACE-10). */
    len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (pwrite(dir->lock_fd, text, (size_t)len, 0) != len)
        len = 0;
    (void)!ftruncate(dir->lock_fd, len);
    return 0;
}

static void hex(const unsigned char *bytes, size_t n, char *ret_text)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

/* The directory of another node or cluster is refused (IDENTITY-1). */
static int compare(const struct identity_dir *dir, const struct identity_conf *conf)
{
    char have[33];
    char want[33];

    if (conf->node_name != NULL && strcmp(dir->identity.node_name, conf->node_name) != 0)
        return err_say(
            IDENTITY_E_FOREIGN,
            "'%.*s' belongs to node '%s', not to '%.*s': check --id, and data_dir in the "
            "configuration ('%s --check-config')",
            PATH_SHOWN, dir->path, dir->identity.node_name, (int)NODE_NAME_BYTES_MAX,
            conf->node_name, dir->command);
    if (conf->cluster_id == NULL || memcmp(dir->identity.cluster_id, conf->cluster_id, 16) == 0)
        return 0;
    hex(dir->identity.cluster_id, 16, have);
    hex(conf->cluster_id, 16, want);
    return err_say(
        IDENTITY_E_FOREIGN,
        "'%.*s' belongs to cluster %s, the configuration describes cluster %s: give the "
        "cluster name and the peers that it was initialised with, or another data_dir ('%s "
        "--check-config')",
        PATH_SHOWN, dir->path, have, want, dir->command);
}

int identity_open(const struct identity_conf *conf, struct identity_dir **ret_dir)
{
    cleanup_identity_dir struct identity_dir *dir = dir_new(conf);
    struct identity_survey s;
    int rc;

    if (dir == NULL)
        return err_origin(-ENOMEM);
    rc = dir_open(dir, conf->data_dir);
    if (rc == 0)
        rc = identity_survey(dir, &s);
    if (rc == 0 && !s.has_ident) {
        /* Not even LOCK is made in a directory that is no node's. */
        rc = identity_judge_nameless(dir, &s);
        if (rc == 0 && s.has_init && s.way != IDENTITY_FOUND)
            rc = not_added(dir, s.way);
        else if (rc == 0)
            rc = not_initialised(dir, dir->path,
                                 s.has_init ? "was left by an initialisation that did not finish"
                                            : "was not initialised");
    }
    if (rc == 0)
        rc = dir_lock(dir);
    if (rc == 0)
        rc = identity_check_tree(dir->path, dir->fd, 1);
    if (rc == 0)
        rc = identity_read_ident(dir);
    if (rc == 0)
        rc = compare(dir, conf);
    if (rc == 0)
        rc = identity_read_cluster(dir);
    if (rc == 0)
        rc = identity_read_peers(dir);
    if (rc == 0 && s.has_init)
        rc = mark_remove(dir->fd, INIT_NAME);
    /* Beside IDENT it says nothing, and the next start removes it. */
    if (rc != 0 && !err_is_full(rc))
        return err_trace(rc);
    *ret_dir = take_ptr(dir);
    return 0;
}

/* ---- making one ---- */

/* A missing parent, or one that is not ours, is made by a person who knows for whom: the user that
 * the node will run as. Who runs this as root is not that user. */
static int cannot_make(const char *path, int error)
{
    char owner[16] = "ridd";
    const char *hint = "";

    if (error == ENOTDIR)
        return err_say(IDENTITY_E_ACCESS,
                       "cannot make '%.*s': a part of its path is no folder: set another data_dir",
                       PATH_SHOWN, path);
    if (geteuid() == 0)
        hint = " (ridd: the user that the node will run as)";
    else
        (void)snprintf(owner, sizeof(owner), "%u", (unsigned)geteuid());
    return err_say(IDENTITY_E_ACCESS,
                   "cannot make '%.*s': %s: run 'install -d -m 700 -o %s %.*s'%s", PATH_SHOWN, path,
                   strerror(error), owner, PATH_SHOWN, path, hint);
}

static int make_dir(const char *path, bool *ret_made)
{
    cleanup_free char *copy = strdup(path);
    cleanup_fd int fd = -1;

    if (copy == NULL)
        return err_origin(-ENOMEM);
    *ret_made = mkdir(path, 0700) == 0;
    if (!*ret_made && errno != EEXIST) {
        if (errno == ENOENT || errno == EACCES || errno == ENOTDIR)
            return cannot_make(path, errno);
        return identity_say_errno("make", path);
    }
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A parent that we may not read was there before us. */
    if (fd >= 0 && fsync(fd) != 0)
        return identity_say_errno("sync the folder of", path);
    return 0;
}

static int draw_incarnation(uint64_t *ret)
{
    ssize_t n;

    do {
        n = getrandom(ret, sizeof(*ret), 0);
    } while ((n < 0 && errno == EINTR) || (n == (ssize_t)sizeof(*ret) && *ret == 0));
    if (n != (ssize_t)sizeof(*ret)) {
        int error = n < 0 ? errno : EIO;

        return err_origin(err_say(-error, "cannot draw an incarnation: %s", strerror(error)));
    }
    return 0;
}

/* Of an initialisation that did not finish: nobody has seen it. */
static int empty_folder(int fd, const char *name)
{
    cleanup_dir DIR *list = identity_list_open(fd);
    const char *entry;

    if (list == NULL)
        return identity_say_errno("list", name);
    while ((entry = identity_list_next(list)) != NULL)
        if (unlinkat(fd, entry, 0) != 0)
            return identity_say_errno("remove a file in", name);
    if (errno != 0)
        return identity_say_errno("list", name);
    if (fsync(fd) != 0)
        return identity_say_errno("sync", name);
    return 0;
}

static int make_folder(const struct identity_dir *dir, const char *name)
{
    cleanup_fd int fd = -1;

    if (mkdirat(dir->fd, name, 0700) != 0 && errno != EEXIST)
        return identity_say_errno("make", name);
    fd = identity_open_folder(dir, name);
    if (fd < 0)
        return err_trace(fd);
    return err_trace(empty_folder(fd, name));
}

static int write_init(const struct identity_dir *dir, enum identity_way way)
{
    const unsigned char byte = (unsigned char)way;

    if (way == IDENTITY_FOUND)
        return err_trace(mark_write(dir->fd, INIT_NAME, INIT_MAGIC, NULL, 0));
    return err_trace(mark_write(dir->fd, INIT_NAME, INIT_MAGIC_WAY, &byte, 1));
}

static int fill_dir(struct identity_dir *dir, enum identity_way way, bool has_cluster)
{
    int rc;

    rc = write_init(dir, way);
    if (rc == 0 && has_cluster)
        rc = mark_remove(dir->fd, CLUSTER_NAME);
    if (rc == 0)
        rc = make_folder(dir, "wal");
    if (rc == 0)
        rc = make_folder(dir, "db");
    if (rc == 0 && way == IDENTITY_RESTORE)
        rc = make_folder(dir, "snap");
    if (rc == 0 && fsync(dir->fd) != 0)
        rc = identity_say_errno("sync", dir->path);
    if (rc == 0)
        rc = identity_write_peers(dir);
    return err_trace(rc);
}

/* What one way has left another does not go on with: who began it did not mean this one. */
static int check_way(const struct identity_dir *dir, const struct identity_survey *s,
                     enum identity_way way)
{
    if (!s->has_init || s->way == way)
        return 0;
    return err_say(IDENTITY_E_FOREIGN,
                   "'%.*s' was left by 'ridd %s' that did not finish: run '%s %s' again, or remove "
                   "that directory before '%s'",
                   PATH_SHOWN, dir->path, identity_way_option(s->way), dir->command,
                   identity_way_option(s->way), identity_way_option(way));
}

/* ---- what came to nothing ---- */

static void remove_folder(const struct identity_dir *dir, const char *name)
{
    cleanup_fd int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && empty_folder(fd, name) == 0)
        (void)unlinkat(dir->fd, name, AT_REMOVEDIR);
}

static void remove_files(const struct identity_dir *dir)
{
    static const char *const files[] = {CLUSTER_NAME, CLUSTER_NAME ".tmp", PEERS_NAME,
                                        PEERS_NAME ".tmp", IDENT_NAME ".tmp"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlinkat(dir->fd, files[i], 0);
}

void identity_abandon(struct identity_dir *dir)
{
    static const char *const folders[] = {"wal", "db", "snap"};

    /* Before anything else: with it the rest would count. */
    if (unlinkat(dir->fd, IDENT_NAME, 0) != 0 && errno != ENOENT) {
        identity_close(dir);
        return;
    }
    if (fsync(dir->fd) == 0) {
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
            remove_folder(dir, folders[i]);
        remove_files(dir);
        if (fsync(dir->fd) == 0)
            (void)mark_remove(dir->fd, INIT_NAME);
        (void)unlinkat(dir->fd, INIT_NAME ".tmp", 0);
        (void)unlinkat(dir->fd, LOCK_NAME, 0);
        if (dir->made)
            (void)rmdir(dir->path);
    }
    identity_close(dir);
}

/* But for LOCK. Another process may have filled it between the making of it and the locking. */
static bool is_empty(const struct identity_dir *dir)
{
    struct identity_survey s;

    return identity_survey(dir, &s) == 0 && !s.has_ident && !s.has_init && s.used[0] == '\0' &&
           s.stranger[0] == '\0';
}

/* What failed before it was this call's to fill has made nothing but the directory, and LOCK. Where
 * another process has the lock it has the directory, too, whoever made it. */
static void give_up_empty(const struct identity_conf *conf, const struct identity_dir *dir)
{
    if (!dir->made)
        return;
    if (dir->lock_fd >= 0 && is_empty(dir))
        (void)unlinkat(dir->fd, LOCK_NAME, 0);
    (void)rmdir(conf->data_dir);
}

int identity_create(const struct identity_conf *conf, struct identity_dir **ret_dir)
{
    cleanup_identity_dir struct identity_dir *dir = dir_new(conf);
    struct timespec now = {0};
    struct identity_survey s;
    int rc;

    rid_assert((conf->cluster_id != NULL) == (conf->way == IDENTITY_FOUND));
    rid_assert(identity_name_ok(conf->node_name, strlen(conf->node_name)));
    if (dir == NULL)
        return err_origin(-ENOMEM);
    rc = make_dir(conf->data_dir, &dir->made);
    if (rc == 0)
        rc = dir_open(dir, conf->data_dir);
    if (rc == 0)
        rc = identity_survey(dir, &s);
    if (rc == 0 && !s.has_ident && s.stranger[0] != '\0')
        rc = err_say(IDENTITY_E_FOREIGN,
                     "'%.*s' holds %s, which is not ridd's: name an empty directory as data_dir",
                     PATH_SHOWN, dir->path, s.stranger);
    if (rc == 0)
        rc = dir_lock(dir);
    /* Once more under the lock: another --init may have finished meanwhile. */
    if (rc == 0)
        rc = identity_survey(dir, &s);
    if (rc == 0)
        rc = identity_check_tree(dir->path, dir->fd, 1);
    if (rc == 0 && s.has_ident) {
        rc = identity_read_ident(dir);
        if (rc == 0)
            rc = compare(dir, conf);
        if (rc == 0)
            rc = err_say(IDENTITY_E_EXISTS, "'%.*s' is initialised as node '%s' already",
                         PATH_SHOWN, dir->path, dir->identity.node_name);
    }
    if (rc == 0)
        rc = identity_judge_nameless(dir, &s);
    if (rc == 0)
        rc = check_way(dir, &s, conf->way);
    if (rc == 0)
        rc = draw_incarnation(&dir->identity.incarnation);
    if (rc != 0 && conf->way == IDENTITY_RESTORE)
        give_up_empty(conf, dir);
    if (rc != 0)
        return err_trace(rc);
    if (conf->cluster_id != NULL)
        memcpy(dir->identity.cluster_id, conf->cluster_id, 16);
    (void)snprintf(dir->identity.node_name, sizeof(dir->identity.node_name), "%s", conf->node_name);
    dir->identity.node_id = raft_founder_id(conf->node_name);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    dir->identity.created_s = (uint64_t)now.tv_sec;
    dir->identity.way = conf->way;
    rc = fill_dir(dir, conf->way, s.has_cluster);
    if (rc != 0 && conf->way == IDENTITY_RESTORE)
        identity_abandon(take_ptr(dir));
    if (rc != 0)
        return err_trace(rc);
    *ret_dir = take_ptr(dir);
    return 0;
}

/* No later incarnation of the name has this id (MEMBER-5). */
void identity_join(struct identity_dir *dir, const unsigned char founding_id[16])
{
    memcpy(dir->identity.cluster_id, founding_id, 16);
    dir->identity.node_id = raft_member_id(dir->identity.node_name, dir->identity.incarnation);
}

int identity_commit(struct identity_dir *dir)
{
    int rc = identity_write_ident(dir);

    dir->committed = rc == 0;
    if (rc == 0)
        rc = mark_remove(dir->fd, INIT_NAME);
    return err_trace(rc);
}

bool identity_is_committed(const struct identity_dir *dir)
{
    return dir->committed;
}

int identity_open_folder(const struct identity_dir *dir, const char *name)
{
    int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return identity_say_errno("open", name);
    return fd;
}

int identity_make_folder(const struct identity_dir *dir, const char *name)
{
    if (mkdirat(dir->fd, name, 0700) == 0) {
        if (fsync(dir->fd) != 0)
            return identity_say_errno("sync", dir->path);
    } else if (errno != EEXIST) {
        return identity_say_errno("make", name);
    }
    return identity_open_folder(dir, name);
}
