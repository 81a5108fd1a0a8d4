/* --failover: the node that leads is killed, again and again, while connections write and read
 * without a pause. From the kill to the first write that began after it and was acknowledged, and
 * to the first linearizable read that did and was answered.
 *
 * The time begins before the kill is asked for; a request counts when it began after the kill was
 * done. So what is measured is never less than what a client would have waited. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "load/ridbench_int.h"

#include "base/banned.h"

#define N_OWN 4

static void sleep_a_little(void)
{
    const struct timespec ts = {.tv_nsec = BENCH_FAILOVER_LOOK_NS};

    (void)nanosleep(&ts, NULL);
}

static bool is_over(const struct bench *b)
{
    return b->plan.is_over(b->plan.arg);
}

/* ---- commands ---- */

/* With the node in its environment. 0: it ended well. */
static int run_command(const struct bench *b, const char *command, unsigned i,
                       const struct bench_node *node)
{
    char own[N_OWN][LOAD_ADDRESS_BYTES_MAX + 32];
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                    NULL};
    cleanup_free char **env = NULL;
    size_t n = 0;
    pid_t pid;
    int status = 0;

    while (environ[n] != NULL)
        n++;
    env = calloc(n + N_OWN + 1, sizeof(env[0]));
    if (env == NULL)
        return -ENOMEM;
    (void)snprintf(own[0], sizeof(own[0]), "RIDBENCH_NODE=%s", node->name);
    (void)snprintf(own[1], sizeof(own[1]), "RIDBENCH_PID=%llu", (unsigned long long)node->pid);
    (void)snprintf(own[2], sizeof(own[2]), "RIDBENCH_ADDRESS=%s", b->addresses[i]);
    (void)snprintf(own[3], sizeof(own[3]), "RIDBENCH_ROUND=%u", b->n_rounds_done + 1);
    for (size_t k = 0; k < N_OWN; k++) /* in front: the first of a name counts */
        env[k] = own[k];
    memcpy(env + N_OWN, environ, n * sizeof(env[0]));
    if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, env) != 0)
        return -errno;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* SIGKILL to a process of this host, and until it is gone. */
static int kill_process(uint64_t pid)
{
    cleanup_fd int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0u);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd < 0 || kill((pid_t)pid, SIGKILL) != 0)
        return -errno;
    return poll(&p, 1, BENCH_FAILOVER_GONE_MS) == 1 ? 0 : -ETIMEDOUT;
}

static int kill_node(const struct bench *b, unsigned i, const struct bench_node *node)
{
    int rc;

    if (strcmp(b->kill, "pid") != 0)
        rc = run_command(b, b->kill, i, node);
    else if (!node->calls_known)
        return bench_report(b, BENCH_EXIT_USAGE,
                            "'%s' is no process of this host that may be killed; --kill takes a "
                            "command, too",
                            node->name);
    else
        rc = kill_process(node->pid);
    return rc == 0 ? BENCH_EXIT_OK
                   : bench_report(b, BENCH_EXIT_SYSTEM, "cannot kill '%s': %s", node->name,
                                  rc == -EIO ? "the command failed" : strerror(-rc));
}

/* ---- rounds ---- */

/* All answer, one leads, and nobody is behind it. */
static bool all_well(const struct bench *b, struct bench_node *nodes, unsigned *ret_leader)
{
    unsigned n_leaders = 0;

    bench_ask_nodes(b, nodes);
    for (unsigned i = 0; i < b->n_addresses; i++) {
        if (!nodes[i].known)
            return false;
        if (nodes[i].leads) {
            *ret_leader = i;
            n_leaders++;
        }
    }
    for (unsigned i = 0; n_leaders == 1 && i < b->n_addresses; i++)
        if (nodes[i].applied_index + BENCH_FAILOVER_BEHIND < nodes[*ret_leader].commit_index)
            return false;
    return n_leaders == 1;
}

static int wait_well(const struct bench *b, struct bench_node *nodes, unsigned *ret_leader)
{
    const uint64_t end_ns = load_now(b->load) + BENCH_FAILOVER_NS_MAX;

    while (!all_well(b, nodes, ret_leader)) {
        if (is_over(b))
            return BENCH_EXIT_AGAIN;
        if (load_now(b->load) > end_ns)
            return bench_report(b, BENCH_EXIT_AGAIN,
                                "not all nodes are well again; 'ridctl status' shows why");
        sleep_a_little();
    }
    return BENCH_EXIT_OK;
}

static int wait_marked(const struct bench *b, uint64_t from_ns, struct bench_round *round)
{
    const uint64_t end_ns = from_ns + BENCH_FAILOVER_NS_MAX;
    uint64_t write_ns;
    uint64_t read_ns;

    while ((write_ns = load_marked(b->load, LOAD_WRITE)) == 0 ||
           (read_ns = load_marked(b->load, LOAD_READ)) == 0) {
        if (is_over(b))
            return BENCH_EXIT_AGAIN;
        if (load_now(b->load) > end_ns)
            return bench_report(b, BENCH_EXIT_NO_QUORUM,
                                "nobody took over from '%s'; 'ridctl status' shows why",
                                round->killed);
        sleep_a_little();
    }
    round->write_ns = write_ns - from_ns;
    round->read_ns = read_ns - from_ns;
    return BENCH_EXIT_OK;
}

static int run_round(struct bench *b)
{
    struct bench_node nodes[RIDD_ENDPOINTS_MAX];
    struct bench_round *round = &b->rounds[b->n_rounds_done];
    unsigned leader = 0;
    uint64_t from_ns;
    int exit_code = wait_well(b, nodes, &leader);

    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    (void)snprintf(round->killed, sizeof(round->killed), "%s", nodes[leader].name);
    from_ns = load_now(b->load);
    exit_code = kill_node(b, leader, &nodes[leader]);
    load_mark(b->load, load_now(b->load));
    if (exit_code == BENCH_EXIT_OK)
        exit_code = wait_marked(b, from_ns, round);
    if (b->restart != NULL && run_command(b, b->restart, leader, &nodes[leader]) != 0)
        return bench_report(b, BENCH_EXIT_SYSTEM, "cannot start '%s' again: the command failed",
                            nodes[leader].name);
    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    b->n_rounds_done++;
    if (!b->quiet)
        (void)fprintf(stderr,
                      "round %u of %u: %s killed, a write after %.1f ms, a read after %.1f ms\n",
                      b->n_rounds_done, b->n_rounds, round->killed, (double)round->write_ns / 1e6,
                      (double)round->read_ns / 1e6);
    return BENCH_EXIT_OK;
}

static int failover_exit; /* of the rounds, which are run by a function that returns nothing */

static void run_rounds(void *arg)
{
    struct bench *b = arg;

    failover_exit = BENCH_EXIT_OK;
    while (failover_exit == BENCH_EXIT_OK && b->n_rounds_done < b->n_rounds && !is_over(b))
        failover_exit = run_round(b);
    __atomic_store_n(&b->over, true, __ATOMIC_RELAXED);
}

int bench_failover(struct bench *b)
{
    b->rounds = calloc(b->n_rounds, sizeof(b->rounds[0]));
    if (b->rounds == NULL)
        return bench_report(b, BENCH_EXIT_SYSTEM, "no memory");
    if (load_measure(b->load, run_rounds, NULL, b) != 0)
        return bench_report(b, BENCH_EXIT_SYSTEM, "%s", load_why(b->load));
    return failover_exit;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void bench_failover_times(const struct bench *b, bool writes, uint64_t *ret_median_ns,
                          uint64_t *ret_p99_ns, uint64_t *ret_max_ns)
{
    const unsigned n = b->n_rounds_done;
    cleanup_free uint64_t *ns = calloc(n + 1, sizeof(ns[0]));

    *ret_median_ns = *ret_p99_ns = *ret_max_ns = 0;
    if (ns == NULL || n == 0)
        return;
    for (unsigned i = 0; i < n; i++)
        ns[i] = writes ? b->rounds[i].write_ns : b->rounds[i].read_ns;
    qsort(ns, n, sizeof(ns[0]), by_size);
    *ret_median_ns = ns[(n - 1) / 2];
    *ret_p99_ns = ns[(n * 99 + 99) / 100 - 1];
    *ret_max_ns = ns[n - 1];
}
