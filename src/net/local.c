/* Sockets of this host: a path that clients connect to, and who they are.
 *
 * A path outlives the process that made it. What a process left behind that is dead is replaced,
 * what one that lives listens on is not, and what is no socket is nobody's to remove (ACCESS-5). A
 * connection tells them apart: the kernel refuses it where nobody listens. Two processes that start
 * at the same moment with one path may both find it dead: then the first is not reached any more.
 * Nodes of one data directory exclude each other before, and %i keeps the others apart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "net/net_int.h"

#include "base/banned.h"

/* Everybody may connect: who may do what is asked of the kernel, for each connection, and of
 * [access] (ACCESS-2). */
#define SOCKET_MODE 0666

static int address_of(const char *path, struct sockaddr_un *ret)
{
    const size_t len = strlen(path);

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len >= sizeof(ret->sun_path))
        return err_origin(err_say(-ENAMETOOLONG, "the path of the socket '%s' is too long", path));
    memcpy(ret->sun_path, path, len);
    return 0;
}

/* Somebody listens: 0. Nobody does: -ECONNREFUSED. */
static int probe(const struct sockaddr_un *un)
{
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    return connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : -errno;
}

static int say_in_use(const char *path)
{
    return err_origin(
        err_say(-EADDRINUSE,
                "cannot listen on 'unix:%s': another process listens there; 'ss -xlp' "
                "shows which",
                path));
}

/* Makes room for the socket, if something stands there that may go. */
static int clear_path(const char *path, const struct sockaddr_un *un)
{
    struct stat st;
    int rc;

    if (lstat(path, &st) != 0)
        return errno == ENOENT
                   ? 0
                   : err_origin(err_say(-errno, "cannot look at '%s': %s", path, strerror(errno)));
    if (!S_ISSOCK(st.st_mode))
        return err_origin(
            err_say(-EEXIST,
                    "cannot listen on 'unix:%s': what stands there is no socket; move "
                    "it away, or change [node] client",
                    path));
    rc = probe(un);
    if (rc == 0 || rc == -EAGAIN) /* its queue is full: it lives */
        return say_in_use(path);
    if (rc != -ECONNREFUSED && rc != -ENOENT)
        return err_origin(err_say(rc, "cannot tell whether anybody listens on 'unix:%s': %s", path,
                                  strerror(-rc)));
    if (unlink(path) != 0 && errno != ENOENT)
        return err_origin(err_say(-errno,
                                  "cannot remove '%s', which a process left that is gone: %s", path,
                                  strerror(errno)));
    return 0;
}

static const char *what_next(int error)
{
    switch (error) {
    case ENOENT:
        return "; make its directory: the service does, tmpfiles.d(5) can";
    case EACCES:
    case EROFS:
        return "; its directory must belong to the user that ridd runs as";
    default:
        return "";
    }
}

static void remember(struct net_local *ret, const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return;
    (void)snprintf(ret->path, sizeof(ret->path), "%s", path);
    ret->dev = st.st_dev;
    ret->ino = st.st_ino;
}

int net_listen_local(const char *path, struct net_local *ret_local)
{
    cleanup_fd int fd = -1;
    struct sockaddr_un un;
    int rc = address_of(path, &un);

    *ret_local = (struct net_local){.path = ""};
    if (rc == 0)
        rc = clear_path(path, &un);
    if (rc != 0)
        return err_trace(rc);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_origin(err_say(-errno, "cannot make a socket: %s", strerror(errno)));
    if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
        rc = errno;
        if (rc == EADDRINUSE)
            return say_in_use(path);
        return err_origin(
            err_say(-rc, "cannot listen on 'unix:%s': %s%s", path, strerror(rc), what_next(rc)));
    }
    remember(ret_local, path);
    /* From the mode that umask left, which is narrower. */
    if (chmod(path, SOCKET_MODE) != 0 || listen(fd, NET_BACKLOG) != 0) {
        rc = -errno;
        net_local_remove(ret_local);
        return err_origin(err_say(rc, "cannot listen on 'unix:%s': %s", path, strerror(-rc)));
    }
    return take_fd(fd);
}

/* What stands there now may be another's. */
void net_local_remove(struct net_local *local)
{
    struct stat st;

    if (local->path[0] != '\0' && lstat(local->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        st.st_dev == local->dev && st.st_ino == local->ino)
        (void)unlink(local->path);
    local->path[0] = '\0';
}

bool net_local_peer(int fd, struct client_peer *ret)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || len != sizeof(cred))
        return false;
    *ret = (struct client_peer){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
    return true;
}

/* The kernel says how much room it wants where there is too little. Without memory there are none:
 * less is allowed then, not more. */
gid_t *net_local_groups(int fd, unsigned *ret_n)
{
    cleanup_free gid_t *groups = NULL;
    socklen_t len = 0;

    *ret_n = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE || len == 0 ||
        len > ACCESS_GROUPS_MAX * sizeof(*groups))
        return NULL;
    groups = malloc(len);
    if (groups == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return NULL;
    *ret_n = (unsigned)(len / sizeof(*groups));
    return take_ptr(groups);
}
