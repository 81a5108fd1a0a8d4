/* What the process and its files give away to others on its host: nothing (rules GUARD-1 and following
 * of docs/RULES.md, IDENTITY-4). */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

/* ---- cores ---- */

static void expect_core_limit(const struct cluster *c, const char *want_soft, const char *want_hard)
{
    char path[64];
    char line[256];
    FILE *f;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)c->nodes[0].pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "Max core file size", 18) == 0) {
            char soft[24] = "";
            char hard[24] = "";

            found = sscanf(line + 18, "%23s %23s", soft, hard) == 2;
            if (strcmp(soft, want_soft) != 0 || strcmp(hard, want_hard) != 0)
                harness_fail("the limit of cores is not %s and %s, but %s and %s", want_soft,
                             want_hard, soft, hard);
        }
    (void)fclose(f);
    assert_true(found);
}

/* Where there was to be none only who has the capability gets as far as one byte. */
static bool may_be_one(const struct rlimit *was)
{
    const struct rlimit one = {1, 1};
    const bool may = setrlimit(RLIMIT_CORE, &one) == 0;

    assert_int_equal(setrlimit(RLIMIT_CORE, was), 0);
    return may;
}

/* GUARD-1: whatever it was started with. One byte: no file, and no program that takes cores by a
 * pipe. */
CASE(guard__no_core_is_written)
{
    static const char *const wanted[] = {"RIDD_CORE=yes", NULL};
    struct cluster *c = cluster_new(1, NULL);
    struct rlimit before;
    struct rlimit most;
    char was[24] = "unlimited";
    const char *off;

    assert_int_equal(getrlimit(RLIMIT_CORE, &before), 0);
    most = (struct rlimit){before.rlim_max, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_CORE, &most), 0);
    if (most.rlim_max != RLIM_INFINITY)
        (void)snprintf(was, sizeof(was), "%llu", (unsigned long long)most.rlim_max);
    cluster_init(c);
    node_start(c, 0);
    off = most.rlim_max > 0 || may_be_one(&most) ? "1" : "0";
    expect_core_limit(c, off, off);
    node_kill(c, 0);
    c->env = wanted; /* somebody looks for a bug */
    node_start(c, 0);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    expect_core_limit(c, "0", was); /* sanitizers want none by themselves */
#else
    expect_core_limit(c, was, was);
#endif
    assert_int_equal(node_terminate(c, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_CORE, &before), 0);
    cluster_free(c);
}

/* ---- root ---- */

/* GUARD-2 */
CASE(guard__root_is_told)
{
    struct cluster *c = cluster_up(1, NULL);

    assert_int_equal(node_log_lines(c, 0, "level=warning", "event=running_as_root"),
                     geteuid() == 0 ? 1 : 0);
    cluster_free(c);
}

/* ---- descriptors ---- */

static bool link_of(const char *pid, int fd, char *ret, size_t size)
{
    char path[64];
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, fd);
    n = readlink(path, ret, size - 1);
    ret[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* What make gave us and we gave on: its jobserver, say. */
static bool is_inherited(int fd, const char *to)
{
    char ours[PATH_MAX];
    const int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && (flags & FD_CLOEXEC) == 0 && link_of("self", fd, ours, sizeof(ours)) &&
           strcmp(ours, to) == 0;
}

static unsigned flags_of(const char *pid, int fd)
{
    cleanup_file FILE *f = NULL;
    char path[64];
    char line[128];

    (void)snprintf(path, sizeof(path), "/proc/%s/fdinfo/%d", pid, fd);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "flags:", 6) == 0)
            return (unsigned)strtoul(line + 6, NULL, 8);
    return O_CLOEXEC; /* it is closed by now */
}

/* Clients plainly, so that the harness is one; nodes, and HTTP, by TLS. */
static void write_safe_conf(struct cluster *c)
{
    char extra[1000];
    char path[300];
    const char *make[] = {ridd_path(), "--make-secret", path, NULL};

    (void)snprintf(path, sizeof(path), "%s/secret", c->dir);
    assert_int_equal(run_program(make, NULL), 0);
    for (unsigned i = 0; i < c->n; i++)
        (void)snprintf(c->nodes[i].addr, sizeof(c->nodes[i].addr), "tcp://127.0.0.1:%u",
                       c->nodes[i].port);
    (void)snprintf(extra, sizeof(extra),
                   "client = unix:%s/%%i.sock\n[http]\n[security]\nsecret_file = %s\n[access]\n"
                   "all = admin any\n",
                   c->dir, path);
    cluster_write_conf(c, "test", extra);
}

/* IDENTITY-4: files, both ports, the local socket, links by TLS, clients, HTTP, events and timers. */
CASE(guard__no_descriptor_passes_to_children)
{
    struct cluster *c = cluster_new(3, "[http]\n");
    char folder[64];
    char pid[16];
    char **names;
    unsigned n;
    unsigned n_looked_at = 0;
    struct client *cl;

    write_safe_conf(c);
    cluster_init(c);
    cluster_start(c);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":1}", "{\"type\":\"pong\",<*>}");
    (void)snprintf(pid, sizeof(pid), "%d", (int)c->nodes[0].pid);
    (void)snprintf(folder, sizeof(folder), "/proc/%s/fd", pid);
    n = folder_list(folder, &names);
    for (unsigned i = 0; i < n; i++) {
        const int fd = (int)strtol(names[i], NULL, 10);
        char to[PATH_MAX];

        if (fd <= STDERR_FILENO || !link_of(pid, fd, to, sizeof(to)) || is_inherited(fd, to))
            continue;
        n_looked_at++;
        if ((flags_of(pid, fd) & O_CLOEXEC) == 0)
            harness_fail("descriptor %d, '%s', passes to children", fd, to);
    }
    names_free(names, n);
    assert_true(n_looked_at > 20);
    client_close(cl);
    cluster_free(c);
}

/* ---- files ---- */

static void expect_closed_to_others(const char *path, unsigned *n)
{
    char **names;
    const unsigned n_names = folder_list(path, &names);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (unsigned i = 0; i < n_names; i++) {
        char inner[PATH_MAX];

        (void)snprintf(inner, sizeof(inner), "%s/%s", path, names[i]);
        if (lstat(inner, &st) != 0)
            continue; /* the log goes on under other names */
        if (S_ISDIR(st.st_mode)) {
            expect_closed_to_others(inner, n);
            continue;
        }
        (*n)++;
        if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600 || st.st_uid != geteuid())
            harness_fail("'%s' has mode %o and belongs to %u", inner, (unsigned)st.st_mode,
                         (unsigned)st.st_uid);
    }
    names_free(names, n_names);
}

/* IDENTITY-4: of whoever starts it with whatever umask. */
CASE(guard__files_are_for_their_owner_alone)
{
    struct cluster *c = cluster_new(1, NULL);
    const mode_t before = umask(0);
    struct writers w;
    unsigned n = 0;

    cluster_init(c);
    cluster_start(c);
    writers_init(&w, c, 1, 8, "guard", 100);
    writers_run(&w, 200);
    writers_stop(&w);
    writers_done(&w);
    expect_code(run_ridctl(c, NULL, "snapshot"), 0, NULL);
    expect_closed_to_others(c->nodes[0].dir, &n);
    assert_int_equal(node_terminate(c, 0), 0);
    expect_closed_to_others(c->nodes[0].dir, &n);
    (void)umask(before);
    assert_true(n > 10);
    cluster_free(c);
}

/* ---- what is opened ---- */

/* strace -D: it is the node that is the child, and gets the signals. False: there is none, or it may
 * not. */
static bool make_tracer(struct cluster *c, char *program, char *trace, size_t size)
{
    const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
    char text[3000];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false; /* LeakSanitizer wants to trace by itself */
#endif
    argv[2] = "command -v strace >/dev/null && strace -f -D -qq -o /dev/null true";
    if (run_program(argv, NULL) != 0)
        return false;
    (void)snprintf(trace, size, "%s/trace", c->dir);
    (void)snprintf(program, size, "%s/traced", c->dir);
    (void)snprintf(text, sizeof(text),
                   "#!/bin/sh\nexec strace -f -D -qq -s 4000 -e signal=none -A -o '%s' "
                   "-e trace=open,openat,openat2,creat,mkdir,mkdirat '%s' \"$@\"\n",
                   trace, ridd_path());
    file_write(program, text, strlen(text));
    assert_int_equal(chmod(program, 0700), 0);
    return true;
}

/* A call that opens something of the data directory: by a number, or by its path. LMDB opens its
 * two files by itself, after all that stands there was looked at. */
static bool is_of_data(const char *call, const char *dir)
{
    const char *path = strchr(call, '"');

    if (path == NULL || strncmp(path, "\".\"", 3) == 0)
        return false; /* a folder that is open already */
    if (strncmp(call, "openat(AT_FDCWD", 15) != 0)
        return true;
    return strncmp(path + 1, dir, strlen(dir)) == 0 &&
           strncmp(path + 1 + strlen(dir), "/db/data.mdb\"", 13) != 0 &&
           strncmp(path + 1 + strlen(dir), "/db/lock.mdb\"", 13) != 0;
}

static bool is_of_lmdb(const char *call, const char *dir)
{
    const char *path = strchr(call, '"');

    return path != NULL && strncmp(path + 1, dir, strlen(dir)) == 0;
}

static void judge_call(const char *call, const char *dir, unsigned *n_of_data)
{
    const bool writes = strstr(call, "O_WRONLY") != NULL || strstr(call, "O_RDWR") != NULL ||
                        strstr(call, "O_CREAT") != NULL;

    if (is_of_data(call, dir)) {
        (*n_of_data)++;
        if (strstr(call, "O_NOFOLLOW") == NULL || strstr(call, "O_CLOEXEC") == NULL)
            harness_fail("%s", call);
    } else if (writes && !is_of_lmdb(call, dir) && strstr(call, "\"/proc/") == NULL &&
               strstr(call, "\"/dev/") == NULL) {
        harness_fail("a file that is not of the data directory is written: %s", call);
    }
}

/* IDENTITY-4: links are not followed below the data directory, and nothing is made or changed outside
 * of it. */
CASE(guard__no_link_is_followed_and_nothing_made_elsewhere)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char program[300];
    char trace[300];
    char dir[PATH_MAX];
    char *rest;
    const char *line;
    unsigned n_of_data = 0;

    if (!make_tracer(c, program, trace, sizeof(program))) {
        print_message("skipped: there is no strace that may trace\n");
        cluster_free(c);
        return;
    }
    c->nodes[0].program = program;
    cluster_init(c);
    cluster_start(c);
    expect_code(run_ridctl(c, NULL, "snapshot"), 0, NULL);
    assert_int_equal(node_terminate(c, 0), 0);
    node_start(c, 0); /* with a snapshot and a log */
    assert_int_equal(node_terminate(c, 0), 0);
    assert_non_null(realpath(c->nodes[0].dir, dir));
    wait_until((file_read(trace, &out), strstr((const char *)out.data, "/db/data.mdb") != NULL),
               "a trace");
    rest = (char *)out.data;
    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *call = strstr(line, "open");

        if (call != NULL && strchr(call, '(') != NULL && strstr(line, "resumed>") == NULL)
            judge_call(call, dir, &n_of_data);
    }
    assert_true(n_of_data > 40);
    cluster_free(c);
}

/* ---- secrets ---- */

/* Lines of digits, of the file that --make-secret has made. */
static void read_digits(const char *path, char *ret, size_t size)
{
    cleanup_file FILE *f = fopen(path, "re");

    assert_non_null(f);
    while (fgets(ret, (int)size, f) != NULL && ret[0] == '#')
        continue;
    ret[strcspn(ret, "\n")] = '\0';
    assert_int_equal(strlen(ret), 64);
}

static void save_output(const struct cluster *c, const char *name, const struct buf *out)
{
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", c->dir, name);
    file_write(path, out->data, strlen((const char *)out->data));
}

/* Only the file itself holds it: in capitals or not, and of its bytes as they are. */
static void expect_nowhere_else(const struct cluster *c, const char *digits)
{
    cleanup_buf struct buf out = BUF_INIT;
    char command[1400];
    char bytes[200] = "";
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    for (size_t i = 0; i < 16; i += 2) /* eight of them tell enough */
        (void)snprintf(bytes + strlen(bytes), sizeof(bytes) - strlen(bytes), "\\x%.2s", digits + i);
    (void)snprintf(command, sizeof(command),
                   "cd '%s' && { grep -rliF -e %.32s . ; LC_ALL=C grep -rlaP -e '%s' . ; true; }",
                   c->dir, digits, bytes);
    assert_int_equal(run_program(argv, &out), 0);
    if (strcmp((const char *)out.data, "./secret\n") != 0)
        harness_fail("the secret stands in: %s", (const char *)out.data);
}

/* GUARD-5: neither in what is printed, nor in the log, nor in the data directory, nor in a bundle. */
CASE(guard__a_secret_is_nowhere_else)
{
    struct cluster *c = cluster_new(1, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char extra[400];
    char path[300];
    char archive[300];
    char digits[200];
    const char *make[] = {ridd_path(), "--make-secret", path, NULL};
    const char *bundle[] = {ridctl_path(), "--config", c->conf,         "bundle", "--save",
                            archive,       "--log",    c->nodes[0].log, NULL};
    const char *unpack[] = {"/bin/tar", "-xf", archive, "-C", c->dir, NULL};

    (void)snprintf(path, sizeof(path), "%s/secret", c->dir);
    (void)snprintf(archive, sizeof(archive), "%s/b.tar", c->dir);
    expect_code(run_program(make, &out), 0, &out);
    save_output(c, "made", &out);
    expect_code(run_program(make, &out), 78, &out); /* it stays as it is */
    save_output(c, "made-again", &out);
    read_digits(path, digits, sizeof(digits));
    (void)snprintf(extra, sizeof(extra), "log_level = debug\n[security]\nsecret_file = %s\n", path);
    cluster_write_conf(c, "test", extra);
    cluster_init(c);
    expect_code(run_ridd(c->conf, "n1", &out, "--check-config", NULL), 0, &out);
    save_output(c, "checked", &out);
    expect_code(run_ridd(c->conf, "n1", &out, "--print-config", NULL), 0, &out);
    expect_text(&out, path);
    save_output(c, "printed", &out);
    node_start(c, 0);
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reloaded");
    node_signal(c, 0, SIGUSR1);
    node_wait_logged(c, 0, "event=state_clients");
    expect_code(run_program(bundle, &out), 0, &out);
    save_output(c, "bundled", &out);
    expect_code(run_program(unpack, &out), 0, &out);
    expect_nowhere_else(c, digits);
    assert_int_equal(node_terminate(c, 0), 0);
    expect_nowhere_else(c, digits);
    cluster_free(c);
}

/* ---- what clients are told ---- */

static void fetch(uint16_t port, const char *page, struct buf *out)
{
    char request[200];
    struct client *cl = client_open_port(port);
    const int n =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n", page, port);

    client_send_raw(cl, request, (size_t)n);
    buf_reset(out, SIZE_MAX);
    for (const char *line; (line = client_recv_within(cl, WAIT_MS)) != NULL;)
        (void)buf_add_str(out, line);
    (void)buf_add(out, "", 1);
    assert_true(cl->ended);
    assert_non_null(strstr((const char *)out->data, "HTTP/1.1 200"));
    client_close(cl);
}

/* GUARD-6: of a host's folders nothing is told, by an error neither, nor by what was wrong with a file
 * that was read again. What repeats the log, `events`, has what the log has. */
CASE(guard__clients_are_told_no_path)
{
    static const char *const lines[] = {
        "{\"type\":\"status\"}",
        "{\"type\":\"members\"}",
        "{\"type\":\"ping\"}",
        "{\"type\":\"slow\"}",
        "{\"type\":\"nonsense\"}",
        "{\"type\":\"write\",\"key\":1}",
        "{\"type\":\"snapshot\"}",
        "{\"type\":\"snapshot_part\",\"index\":1,\"offset\":99}",
        "{\"type\":\"member_add\",\"id\":\"n9\",\"peer_addr\":\"127.0.0.1:1\","
        "\"client_addr\":\"127.0.0.1:2\"}",
        "{",
    };
    static const char *const pages[] = {"/readyz?verbose", "/metrics", "/status.json",
                                        "/slow.json",      "/leader",  "/pages"};
    struct cluster *c = cluster_up(1, "[http]\n");
    cleanup_buf struct buf out = BUF_INIT;
    struct client *cl;

    for (unsigned round = 0; round < 3; round++) {
        cl = client_open(c, 0);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            const char *reply = client_ask(cl, lines[i]);

            if (strstr(reply, c->dir) != NULL)
                harness_fail("%s is answered %s", lines[i], reply);
        }
        client_close(cl);
        for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
            fetch(c->nodes[0].http_port, pages[i], &out);
            if (strstr((const char *)out.data, c->dir) != NULL)
                harness_fail("%s has a path: %s", pages[i], (const char *)out.data);
        }
        if (round == 1)
            file_write(c->conf, "nonsense\n", 9); /* is refused, and that is told */
        node_signal(c, 0, SIGHUP);
        node_wait_logged(c, 0, round == 1 ? "event=reload_refused" : "event=reloaded");
    }
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(guard__no_core_is_written),
        HARNESS_TEST(guard__root_is_told),
        HARNESS_TEST(guard__no_descriptor_passes_to_children),
        HARNESS_TEST(guard__files_are_for_their_owner_alone),
        HARNESS_TEST(guard__no_link_is_followed_and_nothing_made_elsewhere),
        HARNESS_TEST(guard__a_secret_is_nowhere_else),
        HARNESS_TEST(guard__clients_are_told_no_path),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
