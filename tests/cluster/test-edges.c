/* Where a node meets its surroundings: who reads its log, which descriptors it was born with, what a
 * signal finds it doing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* A watchdog of a microsecond is answered as often as makes sense, and the loop does not spin. */
CASE(edges__a_watchdog_without_time)
{
    static const char *const env[] = {"WATCHDOG_USEC=1", NULL};
    struct cluster *c = cluster_new(1, NULL);
    char *line;
    uint64_t before_ms;
    uint64_t ms;
    unsigned long long n[2] = {0};

    c->env = env;
    cluster_init(c);
    cluster_start(c);
    before_ms = now_ms();
    for (unsigned i = 0; i < 2; i++) {
        node_signal(c, 0, SIGUSR1);
        wait_until(node_log_lines(c, 0, "event=state_requests", NULL) == i + 1, "its state");
        for (unsigned k = 0; i == 0 && k < 200; k++)
            pause_briefly();
    }
    ms = now_ms() - before_ms;
    for (unsigned i = 0; i < 2; i++) {
        struct buf log = BUF_INIT;
        const char *at;

        file_read(c->nodes[0].log, &log);
        at = (const char *)log.data;
        for (unsigned k = 0; k <= i; k++)
            at = strstr(at, "event=state_requests") + 1;
        line = strstr(at, " turns=");
        assert_non_null(line);
        assert_int_equal(sscanf(line, " turns=%llu", &n[i]), 1);
        buf_done(&log);
    }
    assert_true(n[1] - n[0] < 2 * ms + 50);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(edges__nobody_reads_the_log),
        HARNESS_TEST(edges__closed_descriptors_are_held),
        HARNESS_TEST(edges__signals_during_the_start),
        HARNESS_TEST(edges__a_missing_wal_is_a_lost_log),
        HARNESS_TEST(edges__a_watchdog_without_time),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
