/* The programs of examples/, as they stand there, against a cluster. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

static struct cluster *cluster;
static char endpoints[256];

static int setup(void **state)
{
    (void)state;
    cluster = cluster_up_without_syncs(3, NULL);
    (void)snprintf(endpoints, sizeof(endpoints), "%s,%s,%s", cluster->nodes[0].addr,
                   cluster->nodes[1].addr, cluster->nodes[2].addr);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_free(cluster);
    return 0;
}

static void run(const char *const *argv, int code, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_program(argv, &out), code, &out);
    expect_text(&out, text);
}

CASE(examples__blocking)
{
    const char *const argv[] = {"examples/blocking", endpoints, NULL};
    const char *const wrong[] = {"examples/blocking", "nonsense", NULL};

    run(argv, 0, "4 bytes, the second is 255\ncounter 1\n");
    run(argv, 0, "counter 2\n");
    run(wrong, 64, "has no port");
}

CASE(examples__with_libevent)
{
    const char *const argv[] = {"examples/with-libevent", endpoints, NULL};

    run(argv, 0, "100 read, 0 failed\n");
}

CASE(examples__poll_loop)
{
    char command[400];
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};

    (void)snprintf(command, sizeof(command),
                   "printf 'examples/event/007\\nexamples/nothing\\n' | examples/poll-loop %s | "
                   "sort",
                   endpoints);
    run(argv, 0, "examples/event/007 = 7\nexamples/nothing = (absent)\n");
}

static void path_of(char *ret, size_t size, const char *name)
{
    (void)snprintf(ret, size, "%s/%s.out", cluster->dir, name);
}

static pid_t begin_lock(const char *name, const char *seconds)
{
    const char *const argv[] = {"examples/lock", endpoints, name, seconds, NULL};
    char path[300];

    path_of(path, sizeof(path), name);
    return program_begin(argv, path);
}

static bool has_said(const char *name, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;
    char path[300];

    path_of(path, sizeof(path), name);
    file_read(path, &out);
    return strstr((const char *)out.data, text) != NULL;
}

static int code_of(pid_t pid)
{
    int code = -1;

    wait_until(program_ended(pid, &code), "the end of a holder");
    return code;
}

/* One after the other; then one is stopped while it holds the lock, another takes it over, and the
 * first finds out before it does anything. */
CASE(examples__lock)
{
    const char *const argv[] = {"examples/lock", endpoints, "a", "1", NULL};
    pid_t b;
    pid_t c;

    run(argv, 0, "a holds the lock, fence 1\na gave it up: yes\n");
    b = begin_lock("b", "1000");
    wait_until(has_said("b", "b holds the lock, fence 2\n"), "the second holder");
    (void)kill(b, SIGSTOP);
    c = begin_lock("c", "2");
    wait_until(has_said("c", "c holds the lock, fence 3\n"), "who takes it over");
    (void)kill(b, SIGCONT);
    wait_until(has_said("b", "b lost the lock\n"), "the holder that was stopped");
    assert_int_equal(code_of(b), 1);
    assert_int_equal(code_of(c), 0);
    assert_true(has_said("c", "c gave it up: yes\n"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(examples__blocking),
        HARNESS_TEST(examples__with_libevent),
        HARNESS_TEST(examples__poll_loop),
        HARNESS_TEST(examples__lock),
    };

    return harness_main(argc, argv, tests, setup, teardown);
}
