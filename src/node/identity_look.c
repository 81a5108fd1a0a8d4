/* A directory as it is found: whose it is, who may read it, what stands in it, and whether that may
 * become a node. Nothing here changes anything. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mark.h"
#include "node/identity_int.h"

#include "base/banned.h"

int identity_say_errno(const char *what, const char *path)
{
    int error = errno;

    return err_origin(
        err_say(-error, "cannot %s '%.*s': %s", what, PATH_SHOWN, path, strerror(error)));
}

/* ---- owner and mode ---- */

/* One object: `path`, or `name` in it. */
int identity_check_access(const char *path, const char *name, const struct stat *st)
{
    const char *slash = name[0] != '\0' ? "/" : "";
    const char *wanted = S_ISDIR(st->st_mode) ? "700" : "600";

    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return err_say(
            IDENTITY_E_ACCESS,
            "'%.*s%s%s' is neither a file nor a folder: ridd uses no links; move it away",
            PATH_SHOWN, path, slash, name);
    /* Whose it is may be read in the owner; that root takes it away is never what is meant. */
    if (st->st_uid != geteuid() && geteuid() == 0)
        return err_say(IDENTITY_E_ACCESS,
                       "'%.*s%s%s' belongs to user %u, but ridd runs as root: start it as that "
                       "user ('setpriv --reuid=%u --clear-groups ridd ...', or User= of the unit)",
                       PATH_SHOWN, path, slash, name, (unsigned)st->st_uid, (unsigned)st->st_uid);
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
DIR *identity_list_open(int fd)
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
const char *identity_list_next(DIR *list)
{
    const struct dirent *e;

    do {
        errno = 0;
        e = readdir(list);
    } while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e != NULL ? e->d_name : NULL;
}

/* Everything below fd, down to `depth` more folders (IDENTITY-4). A file system's
 * lost+found is root's. */
int identity_check_tree(const char *path, int fd, unsigned depth)
{
    cleanup_dir DIR *list = identity_list_open(fd);
    const char *name;
    int rc = 0;

    if (list == NULL)
        return identity_say_errno("list", path);
    while (rc == 0 && (name = identity_list_next(list)) != NULL) {
        struct stat st;

        if (strcmp(name, "lost+found") == 0)
            continue;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return identity_say_errno("stat a file in", path);
        rc = identity_check_access(path, name, &st);
        if (rc == 0 && S_ISDIR(st.st_mode) && depth > 0) {
            cleanup_fd int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            cleanup_free char *sub_path = NULL;

            if (sub < 0)
                return identity_say_errno("open a folder in", path);
            if (asprintf(&sub_path, "%s/%s", path, name) < 0) {
                sub_path = NULL;
                return err_origin(-ENOMEM);
            }
            rc = identity_check_tree(sub_path, sub, depth - 1);
        }
    }
    if (rc != 0)
        return err_trace(rc);
    return errno != 0 ? identity_say_errno("list", path) : 0;
}

/* ---- what is in there ---- */

static int is_used(int dir_fd, const char *name, bool *ret_used)
{
    cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *list = NULL;

    *ret_used = false;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd >= 0)
        list = identity_list_open(fd);
    if (list == NULL)
        return identity_say_errno("list", name);
    *ret_used = identity_list_next(list) != NULL;
    return errno != 0 && !*ret_used ? identity_say_errno("list", name) : 0;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        LOCK_NAME,         INIT_NAME,    IDENT_NAME,  PEERS_NAME, INIT_NAME ".tmp",
        IDENT_NAME ".tmp", CLUSTER_NAME, "wal",       "db",       CLUSTER_NAME ".tmp",
        PEERS_NAME ".tmp", "snap",       "lost+found"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return false;
}

const char *identity_way_option(enum identity_way way)
{
    switch (way) {
    case IDENTITY_FOUND:
        break;
    case IDENTITY_JOIN:
        return "--join";
    case IDENTITY_REJOIN:
        return "--rejoin";
    case IDENTITY_RESTORE:
        return "--restore FILE";
    }
    return "--init";
}

static int look_for_init(const struct identity_dir *dir, struct identity_survey *s)
{
    unsigned char way = IDENTITY_FOUND;
    size_t len = 0;
    int rc = mark_read(dir->fd, INIT_NAME, INIT_MAGIC, NULL, 0, &len);

    if (rc == MARK_E_NEWER)
        rc = mark_read(dir->fd, INIT_NAME, INIT_MAGIC_WAY, &way, 1, &len);
    if (rc < 0)
        return err_trace(rc);
    /* What a later version began is not ours to throw away. */
    if (rc == MARK_E_NEWER || way > IDENTITY_RESTORE)
        return identity_say_mark(dir, MARK_E_NEWER);
    s->has_init = rc == 0;
    s->way = (enum identity_way)way;
    return 0;
}

int identity_survey(const struct identity_dir *dir, struct identity_survey *ret)
{
    static const char *const folders[] = {"db", "snap", "wal"};
    cleanup_dir DIR *list = identity_list_open(dir->fd);
    const char *name;
    int rc;

    *ret = (struct identity_survey){0};
    if (list == NULL)
        return identity_say_errno("list", dir->path);
    while ((name = identity_list_next(list)) != NULL) {
        if (strcmp(name, IDENT_NAME) == 0)
            ret->has_ident = true;
        else if (strcmp(name, PEERS_NAME) == 0)
            ret->has_peers = true;
        else if (strcmp(name, CLUSTER_NAME) == 0)
            ret->has_cluster = true;
        else if (!is_ours(name))
            (void)log_esc(ret->stranger, sizeof(ret->stranger), name, strnlen(name, 12));
    }
    if (errno != 0)
        return identity_say_errno("list", dir->path);
    for (size_t i = 0; i < 3; i++) {
        bool used;

        rc = is_used(dir->fd, folders[i], &used);
        if (rc != 0)
            return err_trace(rc);
        if (!used)
            continue;
        if (ret->used[0] == '\0')
            (void)snprintf(ret->used, sizeof(ret->used), "%s", folders[i]);
        ret->wal_used = strcmp(folders[i], "wal") == 0;
    }
    return err_trace(look_for_init(dir, ret));
}

/* A directory without IDENT. 0: it may be initialised. What is missing is not taken for new
 * (DISK-1). */
int identity_judge_nameless(const struct identity_dir *dir, const struct identity_survey *s)
{
    /* The one way that begins with a state. */
    const bool interrupted = s->has_init && (s->used[0] == '\0' || strcmp(s->used, "wal") == 0 ||
                                             s->way == IDENTITY_RESTORE);

    if (interrupted)
        return 0;
    if (s->used[0] != '\0')
        return err_say(
            IDENTITY_E_LOST,
            "'%.*s' has lost its identity: 'IDENT' is missing but '%s' is not empty; put "
            "'IDENT' back from a copy of the same directory, or give the node's place to a "
            "new one: ridd(8), LOST DISK",
            PATH_SHOWN, dir->path, s->used);
    if (s->has_peers || s->has_cluster)
        return err_say(
            IDENTITY_E_LOST,
            "'%.*s' has lost its identity: 'IDENT' is missing but '%s' is there; put "
            "'IDENT' back from a copy of the same directory, or give the node's place to a "
            "new one: ridd(8), LOST DISK",
            PATH_SHOWN, dir->path, s->has_peers ? PEERS_NAME : CLUSTER_NAME);
    return 0;
}
