/* The local socket of a node: who may do what there, by the credentials of real processes; what stands
 * at its path; and ridctl, which uses it by itself. Other users are tried where this runs as root. */
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

/* Ids that no Debian gives to anybody. */
#define ALICE 61101
#define BOB   61102
#define OPS   61110
#define STAFF 61111

static char lines[1200]; /* of [node] and behind */

static const char *conf_with(const struct cluster *c, const char *access)
{
    (void)snprintf(lines, sizeof(lines), "client = unix:%s/%%i.sock\n[access]\n%s", c->dir, access);
    return lines;
}

static void socket_path(const struct cluster *c, unsigned i, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%s.sock", c->dir, c->nodes[i].name);
}

/* Everybody may come as far as the socket. */
static struct cluster *up_with(unsigned n, const char *access)
{
    struct cluster *c = cluster_new(n, NULL);

    assert_int_equal(chmod(c->dir, 0755), 0);
    cluster_write_conf(c, "test", conf_with(c, access));
    cluster_init(c);
    cluster_start(c);
    return c;
}

static int connect_local(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return -1;
    return fd;
}

static struct client *local_open(const struct cluster *c, unsigned i)
{
    char path[300];
    int fd;

    socket_path(c, i, path, sizeof(path));
    fd = connect_local(path);
    assert_true(fd >= 0);
    return client_of_fd(fd);
}

static void send_fd(int to, int fd)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    if (h == NULL)
        _exit(1);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    if (sendmsg(to, &m, 0) != 1)
        _exit(1);
}

static int take_fd_of(int from)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    const struct cmsghdr *h;
    int fd = -1;

    assert_int_equal(recvmsg(from, &m, MSG_CMSG_CLOEXEC), 1);
    h = CMSG_FIRSTHDR(&m);
    if (h == NULL)
        harness_fail("no descriptor came");
    memcpy(&fd, CMSG_DATA(h), sizeof(fd));
    return fd;
}

/* A connection that somebody else made: the kernel knows it as his, whoever writes. */
static struct client *open_as(const struct cluster *c, unsigned i, uid_t uid, gid_t gid, gid_t more)
{
    char path[300];
    int pair[2];
    int status;
    int fd;
    pid_t pid;

    socket_path(c, i, path, sizeof(path));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgroups(more != 0, &more) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
            _exit(2);
        fd = connect_local(path);
        if (fd < 0)
            _exit(3);
        send_fd(pair[1], fd);
        _exit(0);
    }
    (void)close(pair[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    fd = take_fd_of(pair[0]);
    (void)close(pair[0]);
    return client_of_fd(fd);
}

static bool skip_without_root(void)
{
    if (geteuid() == 0)
        return false;
    print_message("skipped: other users can be tried by root alone\n");
    return true;
}

#define READ   "{\"type\":\"read_index\",\"key\":\"k\"}"
#define WRITE  "{\"type\":\"write\",\"key\":\"k\",\"value\":1}"
#define REMOVE "{\"type\":\"member_remove\",\"id\":\"n1\",\"dry_run\":true}"

static void expect_denied(struct client *cl, const char *line, const char *role, unsigned uid)
{
    char pattern[200];

    (void)snprintf(pattern, sizeof(pattern),
                   "{\"type\":\"error\",\"code\":14,<*>\"error\":\"denied\",\"definite\":true,"
                   "\"role\":\"%s\",\"identity\":\"uid %u<*>\"}",
                   role, uid);
    client_expect(cl, line, pattern);
}

static int64_t denied_count(struct cluster *c)
{
    json_t *status = node_status(c, 0);
    const int64_t n = reply_int(json_object_get(status, "clients"), "denied");

    json_decref(status);
    return n;
}

/* ---- who may do what ---- */

CASE(access__by_credentials)
{
    char text[256];
    struct cluster *c;
    struct client *cl;
    char *line;

    if (skip_without_root())
        return;
    (void)snprintf(text, sizeof(text),
                   "unix_read = user %d\nunix_write = group %d\nunix_admin = group %d\n", ALICE,
                   STAFF, OPS);
    c = up_with(1, text);
    cl = local_open(c, 0); /* root, who runs it, too */
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    client_expect(cl, REMOVE, "{\"type\":\"error\",<*>\"precondition_failed\"<*>}");
    client_close(cl);
    cl = open_as(c, 0, ALICE, ALICE, 0);
    client_expect(cl, READ, "{\"type\":\"read_index_ok\"<*>");
    expect_denied(cl, WRITE, "write", ALICE);
    expect_denied(cl, REMOVE, "admin", ALICE);
    client_expect(cl, READ, "{\"type\":\"read_index_ok\"<*>"); /* the connection goes on */
    client_close(cl);
    cl = open_as(c, 0, BOB, BOB, 0);
    expect_denied(cl, READ, "read", BOB);
    expect_denied(cl, "{\"type\":\"status\"}", "read", BOB);
    client_close(cl);
    cl = open_as(c, 0, BOB, BOB, STAFF); /* a supplementary group counts */
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    expect_denied(cl, REMOVE, "admin", BOB);
    client_close(cl);
    cl = open_as(c, 0, BOB, OPS, 0);
    client_expect(cl, REMOVE, "{\"type\":\"error\",<*>\"precondition_failed\"<*>}");
    client_close(cl);
    cl = client_open(c, 0); /* TCP asks nobody */
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    client_close(cl);
    assert_int_equal(denied_count(c), 5);
    assert_int_equal(node_log_lines(c, 0, "event=access_denied", NULL), 5);
    (void)snprintf(text, sizeof(text), "event=access_denied who='uid %d'", BOB);
    line = node_log_line(c, 0, text);
    assert_non_null(line);
    assert_non_null(strstr(line, " request=read_index needed=read "));
    free(line);
    cluster_free(c);
}

/* A connection that stays open is judged by the lists in force (ACCESS-3). */
CASE(access__a_reload_reaches_open_connections)
{
    char text[256];
    struct cluster *c;
    struct client *cl;

    if (skip_without_root())
        return;
    c = up_with(1, "unix_write = any\n");
    cl = open_as(c, 0, ALICE, ALICE, 0);
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    (void)snprintf(text, sizeof(text), "unix_read = user %d\nunix_write = user no-such-user\n",
                   ALICE);
    cluster_write_conf(c, "test", conf_with(c, text));
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=access_taken");
    expect_denied(cl, WRITE, "write", ALICE);
    client_expect(cl, READ, "{\"type\":\"read_index_ok\"<*>");
    node_wait_logged(c, 0, "event=access_unknown names=\"unix_write: user no-such-user\"");
    assert_int_equal(
        node_log_lines(c, 0, "event=reloaded", "[access] unix_read, [access] unix_write"), 1);
    (void)snprintf(text, sizeof(text), "unix_admin = user %d\n", ALICE);
    cluster_write_conf(c, "test", conf_with(c, text));
    node_signal(c, 0, SIGHUP);
    wait_until(node_log_lines(c, 0, "event=access_taken", NULL) == 2, "the new lists");
    client_expect(cl, REMOVE, "{\"type\":\"error\",<*>\"precondition_failed\"<*>}");
    client_close(cl);
    cluster_free(c);
}

/* A directory of users that is silent keeps nobody waiting, and a later reload is taken (ACCESS-4). */
CASE(access__a_silent_directory_holds_nothing_up)
{
    struct cluster *c = cluster_new(1, NULL);
    struct client *cl;
    struct shim shim;

    shim_begin(&shim, c);
    cluster_write_conf(c, "test", conf_with(c, ""));
    cluster_init(c);
    cluster_start(c);
    cl = local_open(c, 0);
    cluster_write_conf(c, "test", conf_with(c, "unix_read = user hangs.test\n"));
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reloaded");
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    cluster_write_conf(c, "test", conf_with(c, "unix_read = any\n"));
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=access_taken");
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    /* Nor are threads without end left hanging. */
    cluster_write_conf(c, "test", conf_with(c, "unix_read = user hangs.test\n"));
    for (unsigned i = 1; i <= 6; i++) {
        node_signal(c, 0, SIGHUP);
        wait_until(node_log_lines(c, 0, "event=reloaded", NULL) == 2 + i, "one more reload");
    }
    node_wait_logged(c, 0, "earlier look-ups of names hang");
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    /* And a start does not wait for them for ever. */
    node_start(c, 0);
    assert_true(node_logged(c, 0, "event=access_not_taken"));
    cluster_leader(c);
    cl = local_open(c, 0);
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

/* ---- by addresses ---- */

#define OF_KEY(type, key) "{\"type\":\"" type "\",\"key\":\"" key "\"}"
#define AUTH              "{\"type\":\"auth\",\"token\":\"ridd_00112233\"}"
#define DENIED            "{\"type\":\"error\",\"code\":14,<*>\"error\":\"denied\",\"definite\":true,"

/* Who comes by TCP is nobody, and may do what everybody may (ACCESS-13): read what is below pub/
 * (ACCESS-10). A token is not taken from there (ACCESS-12). */
CASE(access__everybody_may_read_a_part)
{
    struct cluster *c = up_with(1, "all = read any prefix pub/\n");
    struct client *cl = client_open(c, 0);
    struct client *local = local_open(c, 0);
    json_t *clients;
    json_t *status;
    char *line;

    client_expect(local, "{\"type\":\"write\",\"key\":\"pub/x\",\"value\":1}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl, OF_KEY("read_index", "pub/x"), "{\"type\":\"read_index_ok\",\"value\":1<*>");
    client_expect(cl, "{\"type\":\"scan\",\"prefix\":\"pub/\"}", "{\"type\":\"scan_ok\"<*>");
    client_expect(cl, "{\"type\":\"ping\"}", "{\"type\":\"pong\"<*>");
    client_expect(cl, OF_KEY("read_index", "k"),
                  DENIED "\"role\":\"read\",\"identity\":\"nobody (TCP)\"}");
    client_expect(cl, "{\"type\":\"batch_read_index\",\"keys\":[\"pub/x\",\"k\"]}",
                  DENIED "\"role\":\"read\"<*>}");
    client_expect(cl, "{\"type\":\"scan\"}", DENIED "\"role\":\"read\"<*>}");
    client_expect(cl, "{\"type\":\"slow\"}", DENIED "\"role\":\"read\"<*>}");
    client_expect(cl, OF_KEY("delete", "pub/x"), DENIED "\"role\":\"write\"<*>}");
    client_expect(cl, AUTH,
                  "{\"type\":\"error\",\"code\":14,\"text\":\"a token goes over TLS only, and <*>"
                  "\"identity\":\"nobody (TCP)\"}");
    client_expect(local, AUTH, DENIED "<*>");
    client_expect(local, REMOVE, "{\"type\":\"error\",<*>\"precondition_failed\"<*>}");
    status = node_status(c, 0);
    clients = json_object_get(status, "clients");
    assert_int_equal(reply_int(clients, "denied"), 5);
    assert_int_equal(reply_int(json_object_get(clients, "denied_by"), "nobody"), 5);
    assert_int_equal(reply_int(clients, "auth_failed"), 2);
    json_decref(status);
    node_wait_logged(c, 0, "event=access_admin"); /* the last of all */
    assert_int_equal(node_log_lines(c, 0,
                                    "event=access_denied who='nobody (TCP)' identity=nobody "
                                    "address=127.0.0.1:",
                                    " why=prefix "),
                     4);
    assert_int_equal(node_log_lines(c, 0, "event=access_auth_failed", NULL), 2);
    line = node_log_line(c, 0, "event=access_admin");
    assert_non_null(line);
    assert_non_null(strstr(line, " identity=unix address=unix:uid="));
    assert_non_null(strstr(line, " request=member_remove names='id=n1 dry_run=yes'"));
    free(line);
    assert_int_equal(node_log_lines(c, 0, "00112233", NULL), 0);
    client_close(local);
    client_close(cl);
    cluster_free(c);
}

/* What a reload says of addresses counts before the names of users are known (ACCESS-14). */
CASE(access__addresses_wait_for_no_names)
{
    struct cluster *c = cluster_new(1, NULL);
    struct client *cl;
    struct shim shim;

    shim_begin(&shim, c);
    cluster_write_conf(c, "test", conf_with(c, ""));
    cluster_init(c);
    cluster_start(c);
    cl = client_open(c, 0);
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}"); /* nobody is asked */
    cluster_write_conf(c, "test", conf_with(c, "all = read any\nu = read user hangs.test\n"));
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reloaded");
    client_expect(cl, WRITE, DENIED "\"role\":\"write\"<*>}");
    client_expect(cl, READ, "{\"type\":\"read_index_ok\"<*>");
    assert_false(node_logged(c, 0, "event=access_taken"));
    client_close(cl);
    cluster_free(c);
}

/* ---- the path ---- */

/* ACCESS-5 */
CASE(access__the_path_of_the_socket)
{
    struct cluster *c = up_with(1, "");
    struct client *cl;
    char path[300];
    char *line;
    int fd;

    socket_path(c, 0, path, sizeof(path));
    node_kill(c, 0);
    assert_int_equal(access(path, F_OK), 0); /* what a dead process left */
    node_start(c, 0);
    cluster_leader(c);
    cl = local_open(c, 0);
    client_expect(cl, WRITE, "{\"type\":\"write_ok\"}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    assert_int_equal(access(path, F_OK), -1);
    file_write(path, "mine", 4);
    node_spawn(c, 0);
    assert_int_equal(node_wait_exit(c, 0), 78);
    line = node_log_line(c, 0, "event=cannot_listen");
    assert_non_null(line);
    assert_non_null(strstr(line, "what stands there is no socket"));
    free(line);
    assert_int_equal(file_size(path), 4);
    assert_int_equal(unlink(path), 0);
    /* Somebody else listens there. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    {
        struct sockaddr_un un = {.sun_family = AF_UNIX};

        (void)snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", path);
        assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    }
    assert_int_equal(listen(fd, 1), 0);
    node_spawn(c, 0);
    assert_int_equal(node_wait_exit(c, 0), 74);
    node_wait_logged(c, 0, "another process listens there");
    (void)close(fd);
    node_start(c, 0);
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_free(c);
}

/* ---- ridctl ---- */

/* Where others may run it: who builds may keep the build to himself. */
static const char *ridctl_for_all(const struct cluster *c, char *path, size_t size)
{
    cleanup_buf struct buf program = BUF_INIT;

    (void)snprintf(path, size, "%s/ridctl", c->dir);
    if (access(path, X_OK) == 0)
        return path;
    file_read(ridctl_path(), &program);
    file_write(path, program.data, program.len);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static int ridctl_as(const struct cluster *c, uid_t uid, struct buf *out, const char *a,
                     const char *b, const char *d)
{
    char id[16];
    char path[300];
    const char *argv[16] = {"/usr/bin/setpriv",
                            "--reuid",
                            id,
                            "--regid",
                            id,
                            "--clear-groups",
                            ridctl_for_all(c, path, sizeof(path)),
                            "-c",
                            c->conf,
                            a};
    unsigned n = 10;

    (void)snprintf(id, sizeof(id), "%u", (unsigned)uid);
    if (b != NULL)
        argv[n++] = b;
    if (d != NULL)
        argv[n++] = d;
    argv[n] = NULL;
    return run_program(uid != 0 ? argv : argv + 6, out);
}

CASE(access__ridctl_uses_it_by_itself)
{
    struct cluster *c = up_with(3, "");
    cleanup_buf struct buf out = BUF_INIT;
    char path[300];
    char text[400];

    expect_code(ridctl_as(c, 0, &out, "put", "k", "v"), 0, &out);
    expect_code(ridctl_as(c, 0, &out, "-v", "get", "k"), 0, &out);
    socket_path(c, 0, path, sizeof(path));
    (void)snprintf(text, sizeof(text), "unix:%s is asked first", path);
    expect_text(&out, text);
    /* The node of the first socket is dead: the next one's is taken. */
    node_kill(c, 0);
    cluster_leader(c);
    expect_code(ridctl_as(c, 0, &out, "-v", "get", "k"), 0, &out);
    (void)snprintf(text, sizeof(text), "unix:%s is not used: nobody answers there", path);
    expect_text(&out, text);
    socket_path(c, 1, path, sizeof(path));
    (void)snprintf(text, sizeof(text), "unix:%s is asked first", path);
    expect_text(&out, text);
    /* Named, it is an endpoint as any other. */
    (void)snprintf(text, sizeof(text), "unix:%s", path);
    {
        const char *argv[] = {ridctl_path(), "-e", text, "get", "k", NULL};

        expect_code(run_program(argv, &out), 0, &out);
        expect_text(&out, "v");
    }
    cluster_free(c);
}

static bool compares(struct cluster *c)
{
    json_t *status = node_status(c, 0);
    const bool ret = json_is_object(json_object_get(status, "compare"));

    json_decref(status);
    return ret;
}

/* CLIENT-10: nobody waits for it, and the next one need not either. */
CASE(access__a_comparison_ends_with_its_client)
{
    struct cluster *c = up_with(1, "");
    struct client *cl = local_open(c, 0);
    json_t *status;

    client_send(cl, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":100000}");
    wait_until(compares(c), "the comparison to begin");
    client_close(cl);
    wait_until(!compares(c), "the comparison to end");
    status = node_status(c, 0);
    assert_true(reply_int(json_object_get(status, "reads"), "read_via_log") < 100000);
    json_decref(status);
    cluster_free(c);
}

/* Who may do nothing there asks by TCP as ever; who may do something is told what he may not. */
CASE(access__ridctl_says_what_is_denied)
{
    struct cluster *c;
    cleanup_buf struct buf out = BUF_INIT;
    char text[100];

    if (skip_without_root())
        return;
    (void)snprintf(text, sizeof(text), "unix_read = user %d\n", ALICE);
    c = up_with(1, text);
    assert_int_equal(chmod(c->conf, 0644), 0);
    if (ridctl_as(c, BOB, &out, "--version", NULL, NULL) != 0) {
        print_message("skipped: other users cannot run a copy of %s: %s\n", ridctl_path(),
                      (const char *)out.data);
        cluster_free(c);
        return;
    }
    expect_code(ridctl_as(c, BOB, &out, "put", "k", "v"), 0, &out);
    expect_code(ridctl_as(c, BOB, &out, "-v", "get", "k"), 0, &out);
    expect_text(&out, ".sock is not used: you may not do anything there");
    expect_code(ridctl_as(c, ALICE, &out, "get", "k", NULL), 0, &out);
    expect_code(ridctl_as(c, ALICE, &out, "put", "k", "w"), 77, &out);
    (void)snprintf(text, sizeof(text), "this needs the role 'write', and uid %d has 'read'", ALICE);
    expect_text(&out, text);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(access__by_credentials),
        HARNESS_TEST(access__a_reload_reaches_open_connections),
        HARNESS_TEST(access__a_silent_directory_holds_nothing_up),
        HARNESS_TEST(access__everybody_may_read_a_part),
        HARNESS_TEST(access__addresses_wait_for_no_names),
        HARNESS_TEST(access__the_path_of_the_socket),
        HARNESS_TEST(access__ridctl_uses_it_by_itself),
        HARNESS_TEST(access__a_comparison_ends_with_its_client),
        HARNESS_TEST(access__ridctl_says_what_is_denied),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
