/* Clients that mean no good, and what a good one beside them notices.
 *
 *     tests/bench/floods             every flood
 *     tests/bench/floods deep_cas    those whose name holds this
 *
 * Each flood runs against three nodes of its own. A good client reads one small key at the leader,
 * one request in flight, first beside a harmless load of as many connections and requests in flight
 * as the flood has, then beside the flood. Meanwhile the nodes' anonymous memory is sampled
 * (RssAnon; LMDB's mapping is not counted). One line per flood:
 *
 *   rss_mib      the most that any node had
 *   turn_*       CPU time of the loop thread per turn, of the worst node, as its status says
 *   terms        by how many terms the cluster has moved: leaders that were lost
 *   good_*       the good client's reads beside the flood; ratio: its p99 over that beside the
 *                harmless load; errors: those of its requests that were not answered with a value
 *   after_mib    anonymous memory of the worst node when the flood is over and its clients gone
 *
 * RIDD_BENCH_SECONDS is how long each of the two halves takes (4). Nothing here is a verdict: the
 * tests beside the cluster harness have those. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define BIG_BYTES    500000u
#define CONNS_MAX    1000u
#define SAMPLES_MAX  4000000u
#define FLOOD_NODES  3u
#define DEPTH_OF_BIG 14u

/* ---- request lines ---- */

/* A line, ready to be sent as often as wanted. */
struct line {
    char *data;
    size_t len;
};

static struct line line_new(size_t room)
{
    struct line l = {malloc(room + 256), 0};

    assert_non_null(l.data);
    return l;
}

static void add(struct line *l, const char *text)
{
    size_t len = strlen(text);

    memcpy(l->data + l->len, text, len + 1);
    l->len += len;
}

static struct line line_of(const char *text)
{
    struct line l = line_new(strlen(text));

    add(&l, text);
    add(&l, "\n");
    return l;
}

/* An array nested DEPTH_OF_BIG deep around 500 KB of small numbers. */
static void add_deep(struct line *l, const char *last)
{
    for (unsigned i = 0; i < DEPTH_OF_BIG; i++)
        add(l, "[");
    for (unsigned i = 0; i < BIG_BYTES / 2; i++)
        add(l, "1,");
    add(l, last);
    for (unsigned i = 0; i < DEPTH_OF_BIG; i++)
        add(l, "]");
}

static struct line line_write_text(const char *key, size_t bytes)
{
    struct line l = line_new(bytes);

    add(&l, "{\"type\":\"write\",\"key\":\"");
    add(&l, key);
    add(&l, "\",\"value\":\"");
    memset(l.data + l.len, 'v', bytes);
    l.len += bytes;
    add(&l, "\"}\n");
    return l;
}

static struct line line_write_deep(const char *key)
{
    struct line l = line_new(BIG_BYTES + 100);

    add(&l, "{\"type\":\"write\",\"key\":\"");
    add(&l, key);
    add(&l, "\",\"value\":");
    add_deep(&l, "2");
    add(&l, "}\n");
    return l;
}

/* 255 Ki integers on each side; both are as long as a value may be. */
static struct line line_cas_numbers(void)
{
    struct line l = line_new(4 * 255u * 1024u);

    add(&l, "{\"type\":\"cas\",\"key\":\"numbers\",\"from\":[");
    for (unsigned i = 0; i < 255u * 1024u - 1; i++)
        add(&l, "1,");
    add(&l, "1],\"to\":[");
    for (unsigned i = 0; i < 255u * 1024u - 1; i++)
        add(&l, "1,");
    add(&l, "2]}\n");
    return l;
}

static struct line line_batch(const char *key)
{
    struct line l = line_new(BIG_BYTES);

    add(&l, "{\"type\":\"batch_read_index\",\"keys\":[");
    for (unsigned i = 0; i < 128; i++) {
        add(&l, i == 0 ? "\"" : ",\"");
        add(&l, key);
        add(&l, "\"");
    }
    add(&l, "]}\n");
    return l;
}

static struct line line_ping_arrays(void)
{
    struct line l = line_new(1u << 20);

    add(&l, "{\"type\":\"ping\",\"x\":[");
    while (l.len < (1u << 20) - 32)
        add(&l, "[],");
    add(&l, "[]]}\n");
    return l;
}

/* ---- one kind of flood ---- */

struct flood {
    const char *name;
    unsigned n_conns;
    unsigned in_flight;
    bool unread; /* replies are left in the socket; everything is sent once */
    bool lonely; /* the other two nodes are killed first: there is no leader */
    struct line (*line)(void);
    const char *prepare; /* what is written before: "big" 500 KB of text, "deep" nested, NULL */
};

static struct line line_read_big(void)
{
    return line_of("{\"type\":\"read_index\",\"key\":\"big\"}");
}
static struct line line_batch_big(void)
{
    return line_batch("big");
}
static struct line line_cas_deep(void)
{
    return line_of("{\"type\":\"cas\",\"key\":\"deep\",\"from\":[[1]],\"to\":1}");
}
static struct line line_cas_big(void)
{
    return line_of("{\"type\":\"cas\",\"key\":\"big\",\"from\":\"no\",\"to\":1}");
}
static struct line line_write_400(void)
{
    return line_write_text("other", 400000);
}
static struct line line_status(void)
{
    return line_of("{\"type\":\"status\"}");
}
static struct line line_garbage(void)
{
    return line_of("{\"type\":\"read_index\",\"key\":");
}

static const struct flood floods[] = {
    {"unread_reads", 100, 128, true, false, line_read_big, "big"},
    {"deep_cas", 4, 128, false, false, line_cas_deep, "deep"},
    {"big_cas", 8, 1, false, false, line_cas_numbers, NULL},
    {"cas_on_big", 1, 128, false, false, line_cas_big, "big"},
    {"batch_of_big", 1, 128, false, false, line_batch_big, "big"},
    {"big_writes", 64, 2, false, false, line_write_400, NULL},
    {"big_pings", 1, 8, false, false, line_ping_arrays, NULL},
    {"big_pings_of_four", 4, 8, false, false, line_ping_arrays, NULL},
    {"status", 1, 128, false, false, line_status, NULL},
    {"rubbish", 8, 128, false, false, line_garbage, NULL},
    {"waiting_writes", 100, 128, true, true, line_write_400, NULL},
};

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

static bool is_running(pid_t pid, int *ret_status)
{
    return waitpid(pid, ret_status, WNOHANG) == 0;
}

struct seen {
    struct good good;
    uint64_t rss_kib;
    unsigned n_dead;
};

/* The flood of j and the good client beside it; the good one stays away when there is no leader. */
static void watch(struct cluster *c, struct job *j, bool with_good, struct seen *ret)
{
    int good_fd = -1;
    int status;
    pid_t flood = start_flood(j);
    pid_t good = with_good ? start_good(j->port, j->until_us, &good_fd) : 0;

    while (is_running(flood, &status)) {
        uint64_t kib = most_rss_kib(c);

        ret->rss_kib = kib > ret->rss_kib ? kib : ret->rss_kib;
        pause_briefly();
    }
    if (good != 0) {
        if (read(good_fd, &ret->good, sizeof(ret->good)) != (ssize_t)sizeof(ret->good))
            ret->good.n_errors++;
        (void)close(good_fd);
        (void)waitpid(good, &status, 0);
    }
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
        big = strcmp(f->prepare, "deep") == 0 ? line_write_deep(f->prepare)
                                              : line_write_text(f->prepare, BIG_BYTES);
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

static void report(const struct flood *f, struct cluster *c, const struct seen *calm,
                   const struct seen *seen, int64_t terms)
{
    printf("flood=%-17s rss_mib=%-5llu turn_p99_us=%-6lld turn_p999_us=%-6lld turn_max_us=%-7lld "
           "terms=%lld dead=%u good_p50_us=%llu good_p99_us=%llu good_max_us=%llu calm_p99_us=%llu "
           "ratio=%.2f n=%llu errors=%llu after_mib=%llu\n",
           f->name, (unsigned long long)seen->rss_kib / 1024,
           (long long)turn_field(c, "cpu_p99_us"), (long long)turn_field(c, "cpu_p999_us"),
           (long long)turn_field(c, "cpu_max_us"), (long long)terms, n_dead(c),
           (unsigned long long)seen->good.p50_us, (unsigned long long)seen->good.p99_us,
           (unsigned long long)seen->good.max_us, (unsigned long long)calm->good.p99_us,
           calm->good.p99_us > 0 ? (double)seen->good.p99_us / (double)calm->good.p99_us : 0.0,
           (unsigned long long)seen->good.n, (unsigned long long)seen->good.n_errors,
           (unsigned long long)most_rss_kib(c) / 1024);
    if (seen->good.first_error[0] != '\0')
        printf("  first error: %s", seen->good.first_error);
    (void)fflush(stdout);
}

static void run_flood(const struct flood *f)
{
    /* The times of an installation, not the short ones of the tests. */
    struct cluster *c = cluster_up(FLOOD_NODES, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\n");
    unsigned leader = cluster_leader(c);
    struct seen calm = {0};
    struct seen seen = {0};
    struct job j = {
        .port = c->nodes[leader].port, .n_conns = f->n_conns, .in_flight = f->in_flight};
    int64_t term;

    prepare(c, leader, f);
    j.line = line_of("{\"type\":\"read_index\",\"key\":\"good\"}");
    j.until_us = clock_mono_us() + seconds_us();
    watch(c, &j, true, &calm);
    free(j.line.data);
    for (unsigned i = 0; f->lonely && i < c->n; i++)
        if (i != leader)
            node_kill(c, i);
    term = highest_term(c);
    j.line = f->line();
    j.unread = f->unread;
    j.until_us = clock_mono_us() + seconds_us();
    watch(c, &j, !f->lonely, &seen);
    free(j.line.data);
    report(f, c, &calm, &seen, highest_term(c) - term);
    cluster_free(c);
}

CASE(bench__floods)
{
    const char *only = getenv("RIDD_BENCH_ONLY");

    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++)
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
