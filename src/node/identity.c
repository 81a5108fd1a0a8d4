/* Look before touching: a directory is judged as it was found, and only --init writes into one that
 * is no node yet. */
#include "node/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "kv/mark.h"

#include "base/banned.h"

#define LOCK_NAME  "LOCK"
#define INIT_NAME  "INIT"
#define IDENT_NAME "IDENT"
#define PEERS_NAME "PEERS"

#define INIT_MAGIC  "RIDDINI1"
#define IDENT_MAGIC "RIDDIDN1"
#define PEERS_MAGIC "RIDDPEE1"

/* IDENT: cluster_id[16], u64 node id, u64 incarnation, u64 created, u8 length and then the name,
 * zeros behind it. PEERS: u32 count; each u64 id, u64 incarnation, u8 length, name. */
#define IDENT_BYTES     (16u + 3u * 8u + 1u + NODE_NAME_BYTES_MAX)
#define PEER_BYTES_MAX  (8u + 8u + 1u + NODE_NAME_BYTES_MAX)
#define PEERS_BYTES_MAX (4u + IDENTITY_PEERS_MAX * PEER_BYTES_MAX)
static_assert(PEERS_BYTES_MAX <= MARK_BYTES_MAX, "all peers must fit their file");

/* In a sentence of 512 bytes the command must still be seen. */
#define PATH_SHOWN 160

struct peer {
    raft_node_id id;
    uint64_t incarnation;
    char name[NODE_NAME_BYTES_MAX + 1];
};

struct identity_dir {
    char *path;    /* owned */
    char *command; /* owned */
    int fd;        /* owned */
    int lock_fd;   /* owned */
    struct identity identity;
    unsigned n_peers;
    struct peer peers[IDENTITY_PEERS_MAX];
};

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

int identity_exit_code(int error)
{
    switch (error) {
    case 0:
    case IDENTITY_E_EXISTS:
        return 0;
    case IDENTITY_E_NOT_INITIALISED:
    case IDENTITY_E_FOREIGN:
    case IDENTITY_E_ACCESS:
        return 78;
    case IDENTITY_E_DAMAGED:
    case IDENTITY_E_LOST:
        return 65;
    default:
        return 74;
    }
}

const struct identity *identity_get(const struct identity_dir *dir)
{
    return &dir->identity;
}

int identity_fd(const struct identity_dir *dir)
{
    return dir->fd;
}

const char *identity_path(const struct identity_dir *dir)
{
    return dir->path;
}

static int say_errno(const char *what, const char *path)
{
    int error = errno;

    return err_origin(
        err_say(-error, "cannot %s '%.*s': %s", what, PATH_SHOWN, path, strerror(error)));
}

/* ---- the bytes of IDENT and PEERS ---- */

static bool name_ok(const char *name, size_t len)
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
    if (len > left - 1 || !name_ok((const char *)p + 1, len))
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

static void ident_encode(const struct identity *id, unsigned char ret_bytes[IDENT_BYTES])
{
    memset(ret_bytes, 0, IDENT_BYTES);
    memcpy(ret_bytes, id->cluster_id, 16);
    put_u64(ret_bytes + 16, id->node_id);
    put_u64(ret_bytes + 24, id->incarnation);
    put_u64(ret_bytes + 32, id->created_s);
    (void)put_name(ret_bytes + 40, id->node_name);
}

static bool ident_decode(const unsigned char *bytes, size_t len, struct identity *ret)
{
    struct identity id = {0};

    if (len != IDENT_BYTES || get_name(bytes + 40, IDENT_BYTES - 40, id.node_name) == NULL)
        return false;
    memcpy(id.cluster_id, bytes, 16);
    id.node_id = get_u64(bytes + 16);
    id.incarnation = get_u64(bytes + 24);
    id.created_s = get_u64(bytes + 32);
    if (id.node_id != raft_founder_id(id.node_name) || id.incarnation == 0)
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

static struct peer *peer_find(struct peer *peers, unsigned n, raft_node_id id)
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
            peer_find(dir->peers, i, peer->id) != NULL)
            return false;
    }
    if (p != end)
        return false;
    dir->n_peers = n;
    return true;
}

/* ---- owner and mode ---- */

/* One object: `path`, or `name` in it. */
static int check_access(const char *path, const char *name, const struct stat *st)
{
    const char *slash = name[0] != '\0' ? "/" : "";
    const char *wanted = S_ISDIR(st->st_mode) ? "700" : "600";

    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return err_say(
            IDENTITY_E_ACCESS,
            "'%.*s%s%s' is neither a file nor a folder: ridd uses no links; move it away",
            PATH_SHOWN, path, slash, name);
    if (st->st_uid != geteuid())
        return err_say(IDENTITY_E_ACCESS,
                       "'%.*s%s%s' belongs to user %u, but ridd runs as user %u: start it as the "
                       "former, or run 'chown -R %u %.*s'",
                       PATH_SHOWN, path, slash, name, (unsigned)st->st_uid, (unsigned)geteuid(),
                       (unsigned)geteuid(), PATH_SHOWN, path);
    if ((st->st_mode & 077) != 0)
        return err_say(
            IDENTITY_E_ACCESS,
            "'%.*s%s%s' has mode %04o, so other users may read or change it: run 'chmod %s "
            "%.*s%s%s'",
            PATH_SHOWN, path, slash, name, (unsigned)st->st_mode & 07777u, wanted, PATH_SHOWN, path,
            slash, name);
    return 0;
}

/* A handle of its own, so that the position of fd does not move. */
static DIR *list_open(int fd)
{
    cleanup_fd int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list;

    if (copy < 0)
        return NULL;
    list = fdopendir(copy);
    if (list != NULL)
        (void)take_fd(copy);
    return list;
}

/* NULL at the end; errno is 0 then. */
static const char *list_next(DIR *list)
{
    const struct dirent *e;

    do {
        errno = 0;
        e = readdir(list);
    } while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e != NULL ? e->d_name : NULL;
}

/* Everything below fd, down to `depth` more folders (RELIABILITY 6.3 F1). A file system's
 * lost+found is root's. */
static int check_tree(const char *path, int fd, unsigned depth)
{
    cleanup_dir DIR *list = list_open(fd);
    const char *name;
    int r = 0;

    if (list == NULL)
        return say_errno("list", path);
    while (r == 0 && (name = list_next(list)) != NULL) {
        struct stat st;

        if (strcmp(name, "lost+found") == 0)
            continue;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return say_errno("stat a file in", path);
        r = check_access(path, name, &st);
        if (r == 0 && S_ISDIR(st.st_mode) && depth > 0) {
            cleanup_fd int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            cleanup_free char *sub_path = NULL;

            if (sub < 0)
                return say_errno("open a folder in", path);
            if (asprintf(&sub_path, "%s/%s", path, name) < 0) {
                sub_path = NULL;
                return err_origin(-ENOMEM);
            }
            r = check_tree(sub_path, sub, depth - 1);
        }
    }
    if (r != 0)
        return err_trace(r);
    return errno != 0 ? say_errno("list", path) : 0;
}

/* ---- what is in there ---- */

struct survey {
    bool has_ident;
    bool has_init; /* a valid one */
    bool has_peers;
    char used[16]; /* the first of wal, db, snap that is not empty; "" */
    bool wal_used;
    char stranger[64]; /* something that is not ours; "" */
};

static int is_used(int dir_fd, const char *name, bool *ret_used)
{
    cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *list = NULL;

    *ret_used = false;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd >= 0)
        list = list_open(fd);
    if (list == NULL)
        return say_errno("list", name);
    *ret_used = list_next(list) != NULL;
    return errno != 0 && !*ret_used ? say_errno("list", name) : 0;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        LOCK_NAME,         INIT_NAME, IDENT_NAME, PEERS_NAME, INIT_NAME ".tmp", IDENT_NAME ".tmp",
        PEERS_NAME ".tmp", "wal",     "db",       "snap",     "lost+found"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return false;
}

static int survey_dir(const struct identity_dir *dir, struct survey *ret)
{
    static const char *const folders[] = {"db", "snap", "wal"};
    cleanup_dir DIR *list = list_open(dir->fd);
    const char *name;
    size_t len = 0;
    int r;

    *ret = (struct survey){0};
    if (list == NULL)
        return say_errno("list", dir->path);
    while ((name = list_next(list)) != NULL) {
        if (strcmp(name, IDENT_NAME) == 0)
            ret->has_ident = true;
        else if (strcmp(name, PEERS_NAME) == 0)
            ret->has_peers = true;
        else if (!is_ours(name))
            (void)log_esc(ret->stranger, sizeof(ret->stranger), name, strnlen(name, 12));
    }
    if (errno != 0)
        return say_errno("list", dir->path);
    for (size_t i = 0; i < 3; i++) {
        bool used;

        r = is_used(dir->fd, folders[i], &used);
        if (r != 0)
            return err_trace(r);
        if (!used)
            continue;
        if (ret->used[0] == '\0')
            (void)snprintf(ret->used, sizeof(ret->used), "%s", folders[i]);
        ret->wal_used = strcmp(folders[i], "wal") == 0;
    }
    r = mark_read(dir->fd, INIT_NAME, INIT_MAGIC, NULL, 0, &len);
    if (r < 0)
        return err_trace(r);
    ret->has_init = r == 0;
    return 0;
}

/* A directory without IDENT. 0: it may be initialised. RELIABILITY 4.5 R1: what is missing is not
 * taken for new. */
static int judge_nameless(const struct identity_dir *dir, const struct survey *s)
{
    const bool interrupted = s->has_init && (s->used[0] == '\0' || strcmp(s->used, "wal") == 0);

    if (interrupted)
        return 0;
    if (s->used[0] != '\0')
        return err_say(
            IDENTITY_E_LOST,
            "'%.*s' has lost its identity: 'IDENT' is missing but '%s' is not empty; put "
            "'IDENT' back from a copy of the same directory, or give the node's place to a "
            "new one: ridd(8), LOST DISK",
            PATH_SHOWN, dir->path, s->used);
    if (s->has_peers)
        return err_say(
            IDENTITY_E_LOST,
            "'%.*s' has lost its identity: 'IDENT' is missing but 'PEERS' is there; put "
            "'IDENT' back from a copy of the same directory, or give the node's place to a "
            "new one: ridd(8), LOST DISK",
            PATH_SHOWN, dir->path);
    return 0;
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
        return say_errno("open", path);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0 && (errno == EACCES || errno == ENOTDIR))
        return err_say(IDENTITY_E_ACCESS,
                       "cannot open '%.*s': %s: data_dir must be a folder of user %u", PATH_SHOWN,
                       dir->path, strerror(errno), (unsigned)geteuid());
    if (dir->fd < 0 || fstat(dir->fd, &st) != 0)
        return say_errno("open", dir->path);
    return err_trace(check_access(dir->path, "", &st));
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

static int dir_lock(struct identity_dir *dir)
{
    char text[16];
    int len;

    dir->lock_fd =
        openat(dir->fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (dir->lock_fd < 0 &&
        (errno == ELOOP || errno == EACCES || errno == EISDIR || errno == ENXIO))
        return err_say(IDENTITY_E_ACCESS, "cannot open '%.*s/LOCK': %s: move it away", PATH_SHOWN,
                       dir->path, strerror(errno));
    if (dir->lock_fd < 0)
        return say_errno("open LOCK in", dir->path);
    while (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return say_locked(dir);
        if (errno != EINTR)
            return say_errno("lock", dir->path);
    }
    /* For the sentence above; it need not be durable. */
    len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(dir->lock_fd, 0) != 0 || pwrite(dir->lock_fd, text, (size_t)len, 0) != len)
        return say_errno("write LOCK in", dir->path);
    return 0;
}

/* Turns an outcome of mark_read() of IDENT or PEERS into one of ours. */
static int say_mark(const struct identity_dir *dir, int r)
{
    char why[256];

    (void)snprintf(why, sizeof(why), "%s", err_text()); /* err_say() must not read what it writes */
    return err_say(
        r == MARK_E_ACCESS ? IDENTITY_E_ACCESS : IDENTITY_E_DAMAGED,
        "'%.*s' is damaged: %s; put that file back from a copy of the same directory, or give "
        "the node's place to a new one: ridd(8), LOST DISK",
        PATH_SHOWN, dir->path, why);
}

static int read_ident(struct identity_dir *dir)
{
    unsigned char bytes[IDENT_BYTES];
    size_t len = 0;
    int r = mark_read(dir->fd, IDENT_NAME, IDENT_MAGIC, bytes, sizeof(bytes), &len);

    if (r == 0 && !ident_decode(bytes, len, &dir->identity))
        r = err_say(MARK_E_DAMAGED, "'IDENT' makes no sense");
    return r > 0 ? say_mark(dir, r) : err_trace(r);
}

static int read_peers(struct identity_dir *dir)
{
    unsigned char bytes[PEERS_BYTES_MAX];
    size_t len = 0;
    int r = mark_read(dir->fd, PEERS_NAME, PEERS_MAGIC, bytes, sizeof(bytes), &len);

    if (r == 0 && !peers_decode(bytes, len, dir))
        r = err_say(MARK_E_DAMAGED, "'PEERS' makes no sense");
    return r > 0 ? say_mark(dir, r) : err_trace(r);
}

static int write_peers(const struct identity_dir *dir)
{
    unsigned char bytes[PEERS_BYTES_MAX];
    size_t len = peers_encode(dir, bytes);

    return err_trace(mark_write(dir->fd, PEERS_NAME, PEERS_MAGIC, bytes, len));
}

static void hex(const unsigned char *bytes, size_t n, char *ret_text)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

static int compare(const struct identity_dir *dir, const struct identity_conf *conf)
{
    char have[33];
    char want[33];

    if (strcmp(dir->identity.node_name, conf->node_name) != 0)
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
    struct survey s;
    int r;

    if (dir == NULL)
        return err_origin(-ENOMEM);
    r = dir_open(dir, conf->data_dir);
    if (r == 0)
        r = survey_dir(dir, &s);
    if (r == 0 && !s.has_ident) {
        /* Not even LOCK is made in a directory that is no node's. */
        r = judge_nameless(dir, &s);
        if (r == 0)
            r = not_initialised(dir, dir->path,
                                s.has_init ? "was left by an initialisation that did not finish"
                                           : "was not initialised");
    }
    if (r == 0)
        r = dir_lock(dir);
    if (r == 0)
        r = check_tree(dir->path, dir->fd, 1);
    if (r == 0)
        r = read_ident(dir);
    if (r == 0)
        r = compare(dir, conf);
    if (r == 0)
        r = read_peers(dir);
    if (r == 0 && s.has_init)
        r = mark_remove(dir->fd, INIT_NAME);
    if (r != 0)
        return err_trace(r);
    *ret_dir = take_ptr(dir);
    return 0;
}

/* ---- making one ---- */

static int make_dir(const char *path)
{
    cleanup_free char *copy = strdup(path);
    cleanup_fd int fd = -1;

    if (copy == NULL)
        return err_origin(-ENOMEM);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        if (errno == ENOENT || errno == EACCES || errno == ENOTDIR)
            return err_say(IDENTITY_E_ACCESS,
                           "cannot make '%.*s': %s: run 'install -d -m 700 -o %u %.*s'", PATH_SHOWN,
                           path, strerror(errno), (unsigned)geteuid(), PATH_SHOWN, path);
        return say_errno("make", path);
    }
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A parent that we may not read was there before us. */
    if (fd >= 0 && fsync(fd) != 0)
        return say_errno("sync the folder of", path);
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
    cleanup_dir DIR *list = list_open(fd);
    const char *entry;

    if (list == NULL)
        return say_errno("list", name);
    while ((entry = list_next(list)) != NULL)
        if (unlinkat(fd, entry, 0) != 0)
            return say_errno("remove a file in", name);
    if (errno != 0)
        return say_errno("list", name);
    if (fsync(fd) != 0)
        return say_errno("sync", name);
    return 0;
}

static int make_folder(const struct identity_dir *dir, const char *name)
{
    cleanup_fd int fd = -1;

    if (mkdirat(dir->fd, name, 0700) != 0 && errno != EEXIST)
        return say_errno("make", name);
    fd = identity_open_folder(dir, name);
    if (fd < 0)
        return err_trace(fd);
    return err_trace(empty_folder(fd, name));
}

static int fill_dir(struct identity_dir *dir)
{
    int r;

    r = mark_write(dir->fd, INIT_NAME, INIT_MAGIC, NULL, 0);
    if (r == 0)
        r = make_folder(dir, "wal");
    if (r == 0)
        r = make_folder(dir, "db");
    if (r == 0 && fsync(dir->fd) != 0)
        r = say_errno("sync", dir->path);
    if (r == 0)
        r = write_peers(dir);
    return err_trace(r);
}

int identity_create(const struct identity_conf *conf, struct identity_dir **ret_dir)
{
    cleanup_identity_dir struct identity_dir *dir = dir_new(conf);
    struct timespec now = {0};
    struct survey s;
    int r;

    rid_assert(conf->cluster_id != NULL);
    rid_assert(name_ok(conf->node_name, strlen(conf->node_name)));
    if (dir == NULL)
        return err_origin(-ENOMEM);
    r = make_dir(conf->data_dir);
    if (r == 0)
        r = dir_open(dir, conf->data_dir);
    if (r == 0)
        r = survey_dir(dir, &s);
    if (r == 0 && !s.has_ident && s.stranger[0] != '\0')
        r = err_say(IDENTITY_E_FOREIGN,
                    "'%.*s' holds %s, which is not ridd's: name an empty directory as data_dir",
                    PATH_SHOWN, dir->path, s.stranger);
    if (r == 0)
        r = dir_lock(dir);
    /* Once more under the lock: another --init may have finished meanwhile. */
    if (r == 0)
        r = survey_dir(dir, &s);
    if (r == 0)
        r = check_tree(dir->path, dir->fd, 1);
    if (r == 0 && s.has_ident) {
        r = read_ident(dir);
        if (r == 0)
            r = compare(dir, conf);
        if (r == 0)
            r = err_say(IDENTITY_E_EXISTS, "'%.*s' is initialised as node '%s' already", PATH_SHOWN,
                        dir->path, dir->identity.node_name);
    }
    if (r == 0)
        r = judge_nameless(dir, &s);
    if (r == 0)
        r = draw_incarnation(&dir->identity.incarnation);
    if (r != 0)
        return err_trace(r);
    memcpy(dir->identity.cluster_id, conf->cluster_id, 16);
    (void)snprintf(dir->identity.node_name, sizeof(dir->identity.node_name), "%s", conf->node_name);
    dir->identity.node_id = raft_founder_id(conf->node_name);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    dir->identity.created_s = (uint64_t)now.tv_sec;
    r = fill_dir(dir);
    if (r != 0)
        return err_trace(r);
    *ret_dir = take_ptr(dir);
    return 0;
}

int identity_commit(struct identity_dir *dir)
{
    unsigned char bytes[IDENT_BYTES];
    int r;

    ident_encode(&dir->identity, bytes);
    r = mark_write(dir->fd, IDENT_NAME, IDENT_MAGIC, bytes, sizeof(bytes));
    if (r == 0)
        r = mark_remove(dir->fd, INIT_NAME);
    return err_trace(r);
}

int identity_open_folder(const struct identity_dir *dir, const char *name)
{
    int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return say_errno("open", name);
    return fd;
}

/* ---- peers ---- */

uint64_t identity_peer_incarnation(const struct identity_dir *dir, raft_node_id id)
{
    for (unsigned i = 0; i < dir->n_peers; i++)
        if (dir->peers[i].id == id)
            return dir->peers[i].incarnation;
    return 0;
}

int identity_peer_check_and_record(struct identity_dir *dir, raft_node_id id, const char *name,
                                   uint64_t incarnation)
{
    char esc[LOG_ESC_BUF];
    const struct peer *known = peer_find(dir->peers, dir->n_peers, id);
    struct peer *peer;
    int r;

    if (incarnation == 0 || !name_ok(name, strlen(name)) || id != raft_founder_id(name))
        return err_say(IDENTITY_PEER_REFUSED, "peer %s shows no valid identity",
                       log_esc(esc, sizeof(esc), name, strlen(name)));
    if (known != NULL && known->incarnation == incarnation)
        return IDENTITY_PEER_KNOWN;
    if (known != NULL)
        return err_say(
            IDENTITY_PEER_REFUSED,
            "peer '%s' has incarnation %016" PRIx64 ", but %016" PRIx64
            " was known: it lost its disk or was initialised again, and may not come back "
            "under this name: ridd(8), LOST DISK",
            name, incarnation, known->incarnation);
    if (dir->n_peers == IDENTITY_PEERS_MAX)
        return err_say(IDENTITY_PEER_FULL, "peer '%s' is not accepted: %u peers are known already",
                       name, IDENTITY_PEERS_MAX);
    peer = &dir->peers[dir->n_peers++];
    peer->id = id;
    peer->incarnation = incarnation;
    (void)snprintf(peer->name, sizeof(peer->name), "%s", name);
    r = write_peers(dir);
    if (r != 0) {
        dir->n_peers--;
        return err_trace(r);
    }
    return IDENTITY_PEER_RECORDED;
}
