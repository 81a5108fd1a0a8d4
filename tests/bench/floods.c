/* Clients that mean no good, and what a good one beside them notices.
 *
 *     tests/bench/floods             every flood
 *     tests/bench/floods deep_cas    those whose name holds this
 *
 * Each flood runs against three nodes of its own. A good client reads one small key at the leader,
 * one request in flight, beside four loads in turn: harmless reads of as many connections and
 * requests in flight as the flood has; harmless requests of the flood's own kind (a small cas for a
 * large one); the flood; and no requests at all, but as many processes as the flood kept busy, each
 * taking as much of the processors as one of those did. What the last does to it is not the nodes'.
 * Meanwhile the nodes' anonymous memory is sampled (RssAnon; LMDB's mapping is not counted). One
 * line per flood:
 *
 *   rss_mib      the most that any node had
 *   turn_*       CPU time of the loop thread per turn, of the worst node, as its status says
 *   terms        by how many terms the cluster has moved: leaders that were lost
 *   good_*       the good client's reads beside the flood; errors: those of its requests that were
 *                not answered with a value
 *   calm_*, ratio            its p99 beside the harmless reads, and how many times as long it is
 *                            beside the flood
 *   same_*, ratio_same       likewise beside harmless requests of the same kind
 *   burn_*, ratio_burn       likewise beside the processes that only take processors
 *   cpu          processors that nodes and flood took together, and in how many processes
 *   after_mib    anonymous memory of the worst node when the flood is over and its clients gone
 *
 * RIDD_BENCH_SECONDS is how long each of the four takes (4). Nothing here is a verdict: the
 * tests beside the cluster harness have those. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/flood-lines.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define CONNS_MAX   1000u
#define SAMPLES_MAX 4000000u
#define FLOOD_NODES 3u

/* ---- clients, each in a process of its own ---- */

struct job {
    uint16_t port;
    unsigned n_conns;
    unsigned in_flight;
    bool unread;
    struct line line;
    uint64_t until_us;
};

struct flow {
    int fd;
    size_t sent; /* of the line being sent */
    unsigned owed;
    unsigned n_sent;
};

static int dial(uint16_t port)
{
    struct client *cl = client_open_port(port);
    int fd = cl->fd;

    buf_done(&cl->in);
    buf_done(&cl->line);
    free(cl);
    return fd;
}

/* False: the node has closed it. */
static bool flow_send(struct flow *f, const struct job *j)
{
    while (f->owed < j->in_flight || f->sent > 0) {
        ssize_t n =
            send(f->fd, j->line.data + f->sent, j->line.len - f->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (f->sent == 0)
            f->owed++;
        f->sent += (size_t)n;
        if (f->sent == j->line.len) {
            f->sent = 0;
            f->n_sent++;
        }
    }
    return true;
}

static bool flow_read(struct flow *f)
{
    static char in[1u << 18];
    ssize_t n = recv(f->fd, in, sizeof(in), MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    for (ssize_t i = 0; i < n; i++)
        if (in[i] == '\n' && f->owed > 0)
            f->owed--;
    return true;
}

/* Keeps `in_flight` requests under way on each connection, or sends them once and reads nothing;
 * connections that the node closes are opened anew. */
static void flood_run(const struct job *j)
{
    static struct flow flows[CONNS_MAX];
    static struct pollfd polls[CONNS_MAX];

    for (unsigned i = 0; i < j->n_conns; i++)
        flows[i] = (struct flow){.fd = dial(j->port)};
    while (clock_mono_us() < j->until_us) {
        for (unsigned i = 0; i < j->n_conns; i++) {
            bool sends = flows[i].owed < j->in_flight || flows[i].sent > 0;

            polls[i] = (struct pollfd){
                .fd = flows[i].fd,
                .events = (short)((sends ? POLLOUT : 0) | (j->unread ? 0 : POLLIN))};
        }
        (void)poll(polls, j->n_conns, 20);
        for (unsigned i = 0; i < j->n_conns; i++) {
            bool alive = (polls[i].revents & POLLHUP) == 0;

            if (alive && (polls[i].revents & POLLIN) != 0)
                alive = flow_read(&flows[i]);
            if (alive && (polls[i].revents & POLLOUT) != 0)
                alive = flow_send(&flows[i], j);
            if (!alive) {
                (void)close(flows[i].fd);
                flows[i] = (struct flow){.fd = dial(j->port)};
            }
        }
    }
}

struct good {
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t max_us;
    uint64_t n;
    uint64_t n_errors;
    char first_error[256];
};

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* One read after the other; each gets as long as it takes. */
static void good_run(uint16_t port, uint64_t until_us, struct good *ret)
{
    static const char ask[] = "{\"type\":\"read_index\",\"key\":\"good\",\"timeout_ms\":60000}\n";
    uint32_t *us = malloc(SAMPLES_MAX * sizeof(*us));
    int fd = dial(port);

    assert_non_null(us);
    *ret = (struct good){0};
    while (clock_mono_us() < until_us && ret->n < SAMPLES_MAX) {
        uint64_t begun_us = clock_mono_us();
        char in[4096];
        ssize_t n = send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL);

        if (n > 0)
            n = recv(fd, in, sizeof(in), 0);
        if (n <= 0) {
            ret->n_errors++;
            (void)close(fd);
            fd = dial(port);
            continue;
        }
        if (memmem(in, (size_t)n, "read_index_ok", 13) == NULL && ret->n_errors++ == 0)
            (void)snprintf(ret->first_error, sizeof(ret->first_error), "%.*s", (int)n, in);
        us[ret->n++] = (uint32_t)(clock_mono_us() - begun_us);
    }
    qsort(us, ret->n, sizeof(*us), by_size);
    if (ret->n > 0) {
        ret->p50_us = us[ret->n / 2];
        ret->p99_us = us[ret->n * 99 / 100];
        ret->max_us = us[ret->n - 1];
    }
}

static pid_t begin_child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static pid_t start_flood(const struct job *j)
{
    pid_t pid = begin_child();

    if (pid == 0) {
        flood_run(j);
        _exit(0);
    }
    return pid;
}

/* Takes `share` of a processor until then, a millisecond at a time. */
static pid_t start_burner(double share, uint64_t until_us)
{
    pid_t pid = begin_child();

    if (pid != 0)
        return pid;
    for (uint64_t begun_us = clock_mono_us(); begun_us < until_us; begun_us += 1000) {
        while ((double)(clock_mono_us() - begun_us) < share * 1000)
            ;
        while (clock_mono_us() < begun_us + 1000)
            (void)usleep(100);
    }
    _exit(0);
}

static pid_t start_good(uint16_t port, uint64_t until_us, int *ret_fd)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = begin_child();
    if (pid == 0) {
        struct good good;

        good_run(port, until_us, &good);
        (void)!write(fds[1], &good, sizeof(good));
        _exit(0);
    }
    (void)close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

/* ---- looking at the nodes ---- */

static uint64_t rss_anon_kib(pid_t pid)
{
    char path[64];
    char text[4096];
    const char *at;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strstr(text, "RssAnon:");
    return at != NULL ? strtoull(at + 8, NULL, 10) : 0;
}

static uint64_t most_rss_kib(const struct cluster *c)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < c->n; i++) {
        uint64_t kib = c->nodes[i].pid != 0 ? rss_anon_kib(c->nodes[i].pid) : 0;

        most = kib > most ? kib : most;
    }
    return most;
}

#define BUSY_MAX (FLOOD_NODES + 1)

struct seen {
    struct good good;
    uint64_t rss_kib;
    unsigned n_dead;
    double busy[BUSY_MAX]; /* the part of a processor that each node, and the flood, took */
};

/* Seconds of processor time of a process that runs. */
static double cpu_of(pid_t pid)
{
    char path[64];
    char text[1024];
    unsigned long user = 0;
    unsigned long kernel = 0;
    const char *at;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    at = strrchr(text, ')');
    if (at != NULL)
        (void)sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void add_cpu(const struct cluster *c, double sign, struct seen *s)
{
    for (unsigned i = 0; i < c->n && i < FLOOD_NODES; i++)
        if (c->nodes[i].pid != 0)
            s->busy[i] += sign * cpu_of(c->nodes[i].pid);
}

static void take_good(pid_t good, int fd, struct good *ret)
{
    int status;

    if (read(fd, ret, sizeof(*ret)) != (ssize_t)sizeof(*ret))
        ret->n_errors++;
    (void)close(fd);
    (void)waitpid(good, &status, 0);
}

/* The flood of j and the good client beside it; the good one stays away when there is no leader. */
static void watch(struct cluster *c, struct job *j, bool with_good, struct seen *ret)
{
    const double seconds = (double)(j->until_us - clock_mono_us()) / 1e6;
    int good_fd = -1;
    int status;
    struct rusage usage = {0};
    pid_t flood;
    pid_t good;

    add_cpu(c, -1, ret);
    flood = start_flood(j);
    good = with_good ? start_good(j->port, j->until_us, &good_fd) : 0;
    while (wait4(flood, &status, WNOHANG, &usage) == 0) {
        uint64_t kib = most_rss_kib(c);

        ret->rss_kib = kib > ret->rss_kib ? kib : ret->rss_kib;
        pause_briefly();
    }
    add_cpu(c, 1, ret);
    ret->busy[FLOOD_NODES] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    for (unsigned i = 0; i < BUSY_MAX; i++)
        ret->busy[i] /= seconds;
    if (good != 0)
        take_good(good, good_fd, &ret->good);
}

/* The good client beside processes that take what these took, and ask nothing. */
static void watch_burners(uint16_t port, const double busy[BUSY_MAX], uint64_t until_us,
                          struct good *ret)
{
    pid_t burners[BUSY_MAX] = {0};
    int status;
    int fd = -1;
    pid_t good;

    for (unsigned i = 0; i < BUSY_MAX; i++)
        if (busy[i] > 0.02)
            burners[i] = start_burner(busy[i], until_us);
    good = start_good(port, until_us, &fd);
    take_good(good, fd, ret);
    for (unsigned i = 0; i < BUSY_MAX; i++)
        if (burners[i] != 0)
            (void)waitpid(burners[i], &status, 0);
}

static json_int_t turn_field(struct cluster *c, const char *name)
{
    json_int_t most = -1;

    for (unsigned i = 0; i < c->n; i++) {
        json_t *st = c->nodes[i].pid != 0 ? node_status(c, i) : NULL;
        json_int_t v = st != NULL ? reply_int(json_object_get(st, "turn"), name) : -1;

        most = v > most ? v : most;
        json_decref(st);
    }
    return most;
}

static int64_t highest_term(struct cluster *c)
{
    int64_t most = 0;

    for (unsigned i = 0; i < c->n; i++) {
        json_t *st = c->nodes[i].pid != 0 ? node_status(c, i) : NULL;
        int64_t term = st != NULL ? reply_int(st, "term") : 0;

        most = term > most ? term : most;
        json_decref(st);
    }
    return most;
}

static unsigned n_dead(struct cluster *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        if (c->nodes[i].pid != 0 && kill(c->nodes[i].pid, 0) != 0)
            n++;
    return n;
}

static void prepare(struct cluster *c, unsigned leader, const struct flood *f)
{
    struct client *cl = client_open(c, leader);
    struct line big;

    (void)client_ask(cl, "{\"type\":\"write\",\"key\":\"good\",\"value\":1}");
    if (f->prepare != NULL) {
        big = line_write_value(f->prepare);
        client_send_raw(cl, big.data, big.len);
        (void)client_recv(cl);
        free(big.data);
    }
    client_close(cl);
}

static uint64_t seconds_us(void)
{
    const char *text = getenv("RIDD_BENCH_SECONDS");

    return (uint64_t)((text != NULL ? strtod(text, NULL) : 4.0) * 1e6);
}

static double ratio(const struct good *flooded, const struct good *other)
{
    return other->p99_us > 0 ? (double)flooded->p99_us / (double)other->p99_us : 0.0;
}

static void report_others(const struct good *flooded, const struct good *calm,
                          const struct good *same, const struct good *burn,
                          const double busy[BUSY_MAX])
{
    double cpu = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < BUSY_MAX; i++) {
        cpu += busy[i];
        n += busy[i] > 0.02;
    }
    printf(" calm_p99_us=%llu ratio=%.2f same_p99_us=%llu ratio_same=%.2f burn_p99_us=%llu "
           "ratio_burn=%.2f cpu=%.1f/%u",
           (unsigned long long)calm->p99_us, ratio(flooded, calm), (unsigned long long)same->p99_us,
           ratio(flooded, same), (unsigned long long)burn->p99_us, ratio(flooded, burn), cpu, n);
}

static void report(const struct flood *f, struct cluster *c, const struct seen *seen, int64_t terms,
                   const struct good others[3])
{
    printf("flood=%-17s rss_mib=%-5llu turn_p99_us=%-6lld turn_p999_us=%-6lld turn_max_us=%-7lld "
           "terms=%lld dead=%u good_p50_us=%llu good_p99_us=%llu good_max_us=%llu",
           f->name, (unsigned long long)seen->rss_kib / 1024,
           (long long)turn_field(c, "cpu_p99_us"), (long long)turn_field(c, "cpu_p999_us"),
           (long long)turn_field(c, "cpu_max_us"), (long long)terms, n_dead(c),
           (unsigned long long)seen->good.p50_us, (unsigned long long)seen->good.p99_us,
           (unsigned long long)seen->good.max_us);
    report_others(&seen->good, &others[0], &others[1], &others[2], seen->busy);
    printf(" n=%llu errors=%llu after_mib=%llu\n", (unsigned long long)seen->good.n,
           (unsigned long long)seen->good.n_errors, (unsigned long long)most_rss_kib(c) / 1024);
    if (seen->good.first_error[0] != '\0')
        printf("  first error: %s", seen->good.first_error);
    (void)fflush(stdout);
}

static void watch_line(struct cluster *c, struct job *j, struct line (*line)(void), bool with_good,
                       struct seen *ret)
{
    j->line = line();
    j->until_us = clock_mono_us() + seconds_us();
    watch(c, j, with_good, ret);
    free(j->line.data);
}

static void run_flood(const struct flood *f)
{
    /* The times of an installation, not the short ones of the tests. */
    struct cluster *c = cluster_up(FLOOD_NODES, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\n");
    unsigned leader = cluster_leader(c);
    struct seen calm = {0};
    struct seen same = {0};
    struct seen seen = {0};
    struct good burn = {0};
    struct job j = {
        .port = c->nodes[leader].port, .n_conns = f->n_conns, .in_flight = f->in_flight};
    int64_t term;

    prepare(c, leader, f);
    watch_line(c, &j, line_read_small, true, &calm);
    if (f->same != NULL)
        watch_line(c, &j, f->same, true, &same);
    else
        same = calm;
    for (unsigned i = 0; f->lonely && i < c->n; i++)
        if (i != leader)
            node_kill(c, i);
    term = highest_term(c);
    j.unread = f->unread;
    watch_line(c, &j, f->line, !f->lonely, &seen);
    term = highest_term(c) - term;
    if (!f->lonely)
        watch_burners(j.port, seen.busy, clock_mono_us() + seconds_us(), &burn);
    report(f, c, &seen, term, (const struct good[3]){calm.good, same.good, burn});
    cluster_free(c);
}

CASE(bench__floods)
{
    const char *only = getenv("RIDD_BENCH_ONLY");

    for (size_t i = 0; i < n_floods; i++)
        if (only == NULL || strstr(floods[i].name, only) != NULL)
            run_flood(&floods[i]);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {HARNESS_TEST(bench__floods)};

    if (argc > 1) {
        (void)setenv("RIDD_BENCH_ONLY", argv[1], 1);
        argc = 1;
    }
    return harness_main(argc, argv, tests, NULL, NULL);
}
