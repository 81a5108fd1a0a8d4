/* Where a node meets its surroundings: who reads its log, which descriptors it was born with, what a
 * signal finds it doing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/harness.h"

#include "base/cleanup.h"

/* As node_spawn(), but with descriptors of the test's choice: -1 is closed. */
static void spawn_with(struct cluster *c, unsigned i, const int fds[3])
{
    struct node *node = &c->nodes[i];
    const char *argv[] = {ridd_path(), "--config", c->conf, "--id", node->name, NULL};
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int copies[3];

        for (int fd = 0; fd < 3; fd++)
            copies[fd] = fds[fd] >= 0 ? fcntl(fds[fd], F_DUPFD_CLOEXEC, 10) : -1;
        for (int fd = 0; fd < 3; fd++) {
            (void)close(fd);
            if (copies[fd] >= 0)
                (void)dup2(copies[fd], fd);
        }
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    node->pid = pid;
    node->stopped = false;
}

static bool answers(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);

    json_decref(status);
    return status != NULL;
}

/* ---- the log ---- */

static void full_pipe(int ret_fds[2])
{
    static const char zeros[512];

    assert_int_equal(pipe2(ret_fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ret_fds[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ret_fds[1], zeros, sizeof(zeros)) > 0 || write(ret_fds[1], zeros, 1) > 0)
        continue;
    assert_int_equal(fcntl(ret_fds[1], F_SETFL, 0), 0);
}

/* LOOP-1: a node whose standard error nobody reads starts, serves, says what it is asked to say, and
 * ends when it is told to. */
CASE(edges__nobody_reads_the_log)
{
    struct cluster *c = cluster_new(1, NULL);
    struct client *cl;
    int fds[2];
    int null;

    cluster_init(c);
    full_pipe(fds);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    spawn_with(c, 0, (const int[3]){null, null, fds[1]});
    wait_until(answers(c, 0), "a node whose log is not read");
    (void)cluster_leader(c);
    for (unsigned i = 0; i < 200; i++) /* five lines each */
        node_signal(c, 0, SIGUSR1);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"a\",\"value\":1}",
                  "{\"type\":\"write_ok\",<*>}");
    client_close(cl);
    assert_int_equal(node_terminate(c, 0), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(null);
    cluster_free(c);
}

/* The same of ridd-maelstrom: it answers, and ends with its input. */
CASE(edges__nobody_reads_the_log_of_maelstrom)
{
    static const char init[] =
        "{\"src\":\"c\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,"
        "\"node_id\":\"n1\",\"node_ids\":[\"n1\"]}}\n";
    char program[PATH_MAX];
    char line[4096] = "";
    int in[2];
    int out[2];
    int err[2];
    int status;
    pid_t pid;
    FILE *file;

    (void)snprintf(program, sizeof(program), "%s-maelstrom", ridd_path());
    full_pipe(err);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)dup2(err[1], 2);
        (void)execl(program, program, "--log-level", "debug", (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    assert_int_equal(write(in[1], init, strlen(init)), (ssize_t)strlen(init));
    for (unsigned i = 0; i < 100; i++) /* each is a line of the log */
        assert_int_equal(write(in[1], "{}\n", 3), 3);
    file = fdopen(out[0], "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(strstr(line, "init_ok"));
    (void)close(in[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)fclose(file);
    (void)close(err[0]);
    (void)close(err[1]);
}

/* ---- names ---- */

/* LOOP-2: of three nodes one is down, and its name is never answered: the other two elect and serve
 * as if it had a number. */
CASE(edges__a_silent_name_server_stops_nobody)
{
    struct cluster *c = cluster_new(3, NULL);
    struct shim_env shim;
    struct writers w;
    unsigned silent = 0;
    unsigned leader;
    json_t *status;
    int64_t term;

    shim_env_init(&shim, NULL);
    /* The lowest id dials the others: the silent one must not be that, so all are tried. */
    for (silent = 0; silent < 3; silent++) {
        char was[sizeof(c->nodes[0].peer_addr)];

        (void)snprintf(was, sizeof(was), "%s", c->nodes[silent].peer_addr);
        (void)snprintf(c->nodes[silent].peer_addr, sizeof(c->nodes[silent].peer_addr),
                       "hangs.test:%u", c->nodes[silent].peer_port);
        cluster_write_conf(c, "test", NULL);
        c->env = NULL;
        cluster_init(c);
        c->env = shim.env;
        node_start(c, (silent + 1) % 3);
        node_start(c, (silent + 2) % 3);
        leader = cluster_leader(c);
        status = node_status(c, leader);
        term = reply_int(status, "term");
        json_decref(status);
        writers_init(&w, c, 2, 4, "s", 10);
        writers_run(&w, 200);
        writers_stop(&w);
        writers_done(&w);
        status = node_status(c, leader);
        assert_true(reply_int(status, "term") == term);
        json_decref(status);
        assert_int_equal(node_terminate(c, (silent + 1) % 3), 0);
        assert_int_equal(node_terminate(c, (silent + 2) % 3), 0);
        for (unsigned i = 0; i < 3; i++)
            tree_remove(c->nodes[i].dir, false);
        (void)snprintf(c->nodes[silent].peer_addr, sizeof(c->nodes[silent].peer_addr), "%s", was);
    }
    cluster_free(c);
}

/* ---- what it was born with ---- */

/* Without a standard output and error the first files that are opened would get their numbers, and
 * the first line of the log would stand in the lock file. */
CASE(edges__closed_descriptors_are_held)
{
    struct cluster *c = cluster_new(1, NULL);
    char path[PATH_MAX];
    struct buf lock = BUF_INIT;

    cluster_init(c);
    spawn_with(c, 0, (const int[3]){-1, -1, -1});
    wait_until(answers(c, 0), "a node without standard descriptors");
    (void)snprintf(path, sizeof(path), "%s/LOCK", c->nodes[0].dir);
    file_read(path, &lock);
    assert_null(strstr((const char *)lock.data, "event="));
    assert_true(lock.len < 64); /* a pid */
    for (int fd = 0; fd < 3; fd++) {
        char link[64];
        char to[64] = "";

        (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)c->nodes[0].pid, fd);
        assert_true(readlink(link, to, sizeof(to) - 1) > 0);
        assert_string_equal(to, "/dev/null");
    }
    assert_int_equal(node_terminate(c, 0), 0);
    buf_done(&lock);
    cluster_free(c);
}

/* As many addresses as `kib` (ulimit -v). */
static void spawn_within(struct cluster *c, unsigned i, uint64_t kib)
{
    struct rlimit before;
    struct rlimit few;

    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)kib << 10;
    assert_int_equal(setrlimit(RLIMIT_AS, &few), 0);
    node_spawn(c, i);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

/* A limit of addresses makes the map smaller, and the node says so; with too few it does not start,
 * and names the limit, what it needs, and what helps. */
CASE(edges__few_addresses)
{
    struct cluster *c = cluster_new(1, NULL);
    struct client *cl;
    char *line;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* these take all addresses there are */
#endif
    cluster_init(c);
    spawn_within(c, 0, 4u << 20);
    (void)cluster_leader(c);
    cl = client_open(c, 0);
    client_expect(cl, "{\"type\":\"write\",\"key\":\"a\",\"value\":1}", "{\"type\":\"write_ok\"}");
    client_close(cl);
    line = node_log_line(c, 0, "event=map_small");
    assert_non_null(line);
    assert_non_null(strstr(line, " map=2147483648 wanted=68719476736 "));
    assert_non_null(strstr(line, "limited to 4194304 KiB (ulimit -v)' action=raise_LimitAS"));
    free(line);
    assert_int_equal(node_terminate(c, 0), 0);
    spawn_within(c, 0, 100u << 10);
    assert_int_equal(node_wait_exit(c, 0), 74);
    line = node_log_line(c, 0, "event=addresses_few");
    assert_non_null(line);
    assert_non_null(strstr(line, "(ulimit -v) is 102400 KiB, and with [limits] memory = 256M at "
                                 "least 450560 are needed: raise it, or LimitAS= of the unit"));
    free(line);
    node_start(c, 0);
    assert_false(node_logged(c, 0, "event=map_small"));
    cluster_free(c);
}

/* ---- signals ---- */

/* HUP and USR1 that come while a node starts end nothing: they are taken when the loop runs. */
CASE(edges__signals_during_the_start)
{
    struct cluster *c = cluster_new(1, NULL);
    char fifo[sizeof(c->conf)];
    char conf[256];
    struct buf text = BUF_INIT;
    int fd;

    cluster_init(c);
    file_read(c->conf, &text);
    (void)snprintf(fifo, sizeof(fifo), "%.200s/conf.fifo", c->dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)snprintf(conf, sizeof(conf), "%s", c->conf);
    (void)snprintf(c->conf, sizeof(c->conf), "%s", fifo);
    node_spawn(c, 0);
    fd = open(fifo, O_WRONLY); /* it waits in the open of its configuration: a start that lasts */
    assert_true(fd >= 0);
    node_signal(c, 0, SIGHUP);
    node_signal(c, 0, SIGUSR1);
    assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
    (void)close(fd);
    node_wait_logged(c, 0, " event=ready ");
    node_wait_logged(c, 0, " event=state_core ");
    /* And a configuration that is a pipe is not read in the loop, which would wait for its writer. */
    node_wait_logged(c, 0, " event=reload_refused ");
    assert_true(answers(c, 0));
    node_signal(c, 0, SIGHUP);
    wait_until(node_log_lines(c, 0, "event=reload_refused", "is no regular file") == 2,
               "a refusal of the pipe");
    assert_true(answers(c, 0));
    (void)snprintf(c->conf, sizeof(c->conf), "%s", conf);
    assert_int_equal(node_terminate(c, 0), 0);
    buf_done(&text);
    cluster_free(c);
}

/* ---- small ---- */

CASE(edges__a_missing_wal_is_a_lost_log)
{
    struct cluster *c = cluster_new(1, NULL);
    char path[PATH_MAX];
    char *line;

    cluster_init(c);
    (void)snprintf(path, sizeof(path), "%s/wal", c->nodes[0].dir);
    tree_remove(path, false);
    node_spawn(c, 0);
    assert_int_equal(node_wait_exit(c, 0), 65);
    line = node_log_line(c, 0, "event=log_lost");
    assert_non_null(line);
    assert_non_null(strstr(line, "see LOST DISK in ridd(8)"));
    free(line);
    cluster_free(c);
}

/* How many turns of the loop the only node has taken; for the n-th time, from 1. */
static unsigned long long turns_of(struct cluster *c, unsigned nth)
{
    cleanup_buf struct buf log = BUF_INIT;
    unsigned long long turns = 0;
    const char *at;

    node_signal(c, 0, SIGUSR1);
    wait_until(node_log_lines(c, 0, "event=state_requests", NULL) == nth, "its state");
    file_read(c->nodes[0].log, &log);
    at = (const char *)log.data;
    for (unsigned k = 0; k < nth; k++)
        at = strstr(at, "event=state_requests") + 1;
    at = strstr(at, " turns=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, " turns=%llu", &turns), 1);
    return turns;
}

/* A watchdog of a microsecond is answered as often as makes sense, and the loop does not spin. */
CASE(edges__a_watchdog_without_time)
{
    static const char *const env[] = {"WATCHDOG_USEC=1", NULL};
    struct cluster *c = cluster_new(1, NULL);
    unsigned long long before;
    uint64_t before_ms;

    c->env = env;
    cluster_init(c);
    cluster_start(c);
    before_ms = now_ms();
    before = turns_of(c, 1);
    for (unsigned k = 0; k < 200; k++)
        pause_briefly();
    assert_true(turns_of(c, 2) - before < 2 * (now_ms() - before_ms) + 50);
    cluster_free(c);
}

/* TIME-6: timers are exact. A heartbeat of a millisecond is shorter than a step of the coarse clock,
 * and with that one a loop that has nothing else to do takes one turn in four of them at most. Nor
 * does it spin. */
CASE(edges__timers_are_exact)
{
    struct cluster *c = cluster_up(1, "[raft]\nheartbeat_ms = 1\nelection_ms = 10\n");
    unsigned long long turns = 0;
    uint64_t passed_ms = 1;
    unsigned nth = 0;

    for (unsigned i = 0; i < 100 && 2 * turns < passed_ms; i++) { /* the machine may be busy */
        const uint64_t before_ms = now_ms();
        const unsigned long long before = turns_of(c, ++nth);

        for (unsigned k = 0; k < 100; k++)
            pause_briefly();
        turns = turns_of(c, ++nth) - before;
        passed_ms = now_ms() - before_ms;
        assert_true(turns < 3 * passed_ms + 50);
    }
    assert_true(2 * turns >= passed_ms);
    cluster_free(c);
}

/* tools/cluster says when what it started has ended, and why; a used port only when it was that. */
CASE(edges__a_restart_that_fails_is_told)
{
    static const char older[] = "level=error node=n2 event=cannot_listen action=exit_74\n";
    const char *srcdir = getenv("srcdir");
    struct cluster *c = cluster_new(1, NULL); /* its folder, which goes with it */
    char tool[PATH_MAX];
    char dir[PATH_MAX];
    char path[PATH_MAX + 64];
    char log[PATH_MAX + 64];
    char build[PATH_MAX];
    char *slash;
    struct buf out = BUF_INIT;

    (void)snprintf(tool, sizeof(tool), "%s/tools/cluster", srcdir != NULL ? srcdir : ".");
    (void)snprintf(dir, sizeof(dir), "%s/local", c->dir);
    (void)snprintf(build, sizeof(build), "%s", ridd_path());
    slash = strrchr(build, '/');
    if (slash != NULL)
        *slash = '\0';
    (void)setenv("RIDD_BUILD", build, 1);
    assert_int_equal(
        run_program((const char *const[]){tool, "start", "--nodes", "3", "--dir", dir, NULL}, &out),
        0);
    assert_int_equal(
        run_program((const char *const[]){tool, "restart", "2", "--dir", dir, NULL}, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/n2/IDENT", dir);
    file_xor(path, 20, 1);
    out.len = 0;
    assert_int_equal(
        run_program((const char *const[]){tool, "restart", "2", "--dir", dir, NULL}, &out), 1);
    assert_non_null(strstr((const char *)out.data, "node n2 has ended (above)"));
    assert_null(strstr((const char *)out.data, "port in use"));
    /* A port that an earlier run could not have is not what ends this one. */
    (void)snprintf(log, sizeof(log), "%s/n2.log", dir);
    file_write(log, older, sizeof(older) - 1);
    out.len = 0;
    assert_int_equal(
        run_program((const char *const[]){tool, "restart", "2", "--dir", dir, NULL}, &out), 1);
    assert_null(strstr((const char *)out.data, "port in use"));
    /* Too few for a leader is no excuse either. */
    assert_int_equal(
        run_program((const char *const[]){tool, "kill", "3", "--dir", dir, NULL}, NULL), 0);
    assert_int_equal(
        run_program((const char *const[]){tool, "restart", "2", "--dir", dir, NULL}, NULL), 1);
    file_xor(path, 20, 1);
    (void)run_program((const char *const[]){tool, "stop", "--dir", dir, NULL}, NULL);
    (void)unsetenv("RIDD_BUILD");
    buf_done(&out);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(edges__nobody_reads_the_log),
        HARNESS_TEST(edges__nobody_reads_the_log_of_maelstrom),
        HARNESS_TEST(edges__a_silent_name_server_stops_nobody),
        HARNESS_TEST(edges__closed_descriptors_are_held),
        HARNESS_TEST(edges__few_addresses),
        HARNESS_TEST(edges__signals_during_the_start),
        HARNESS_TEST(edges__a_missing_wal_is_a_lost_log),
        HARNESS_TEST(edges__a_watchdog_without_time),
        HARNESS_TEST(edges__timers_are_exact),
        HARNESS_TEST(edges__a_restart_that_fails_is_told),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
