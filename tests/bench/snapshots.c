/* What snapshots cost: three nodes of this build on loopback, and what a client sees beside them.
 *
 *     RIDD_BENCH_MIB=1024 tests/bench/snapshots bench__making
 *     RIDD_BENCH_KEYS=1000000 tests/bench/snapshots bench__restart
 *     RIDD_BENCH_MIB=1024 tests/bench/snapshots bench__catch_up
 *     RIDD_BENCH_SECONDS=60 tests/bench/snapshots bench__log_size
 *
 * making: percentiles of read_index and write at the leader while no snapshot is made, and while it
 * makes one, in turns, at the default speed and as fast as it goes. The goal is a ratio below 2.
 * restart: until READY, the files in memory and not (POSIX_FADV_DONTNEED; with RIDD_BENCH_DROP=1 also
 * /proc/sys/vm/drop_caches, which slows everybody on the machine), after a clean stop, after kill -9,
 * and with the state gone, from a snapshot.
 * catch_up: how fast a node gets a snapshot, and what the clients of the others see meanwhile.
 * log_size: a line each second of full load.
 *
 * Clients: RIDD_BENCH_CONNECTIONS (8) with one request each; one of eight writes. Without the
 * variables everything is small. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/prng.h"
#include "cluster/snapshots.h"

#include "base/banned.h"

#define FILL_BYTES 1000u
#define KEY_COSTS  1950u /* of a copy: keys come in no order, and leave pages half full */
#define CONF                                                                                       \
    "map_size = 16G\n[limits]\nin_flight = 1000\n[raft]\nheartbeat_ms = 50\nelection_ms = 500\n"   \
    "[log]\nsnapshot_bytes = 64G\nkeep_bytes = 0\nsnapshot_mib_per_s = %u\n"

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* ---- clients that are timed ---- */

#define METER_MAX 64u

struct samples {
    uint32_t *us;
    size_t n;
    size_t size;
};

static struct {
    struct prng prng;
    unsigned n;
    unsigned n_keys;
    unsigned n_in_flight; /* of each connection */
    bool only_writes;
    struct {
        int fd;
        bool writes;
        unsigned n_waiting;
        uint64_t sent_us;
        size_t in_len;
        char in[65536];
    } conns[METER_MAX];
    struct samples reads;
    struct samples writes;
    uint64_t n_errors;
    uint64_t begun_us;
} meter;

static char value[FILL_BYTES + 1];

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void add_sample(struct samples *s, uint64_t us)
{
    if (s->n == s->size) {
        s->size = s->size == 0 ? 1u << 16 : s->size * 2;
        s->us = realloc(s->us, s->size * sizeof(*s->us));
        assert_non_null(s->us);
    }
    s->us[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* Permille. */
static uint32_t percentile(const struct samples *s, unsigned permille)
{
    return s->n == 0 ? 0 : s->us[(s->n - 1) * permille / 1000u];
}

/* In no order, and each once in so many. */
static void key_of(char *key, size_t size, uint64_t i)
{
    (void)snprintf(key, size, "key/%016llx", (unsigned long long)(i * 0x9e3779b97f4a7c15u));
}

static void meter_send(unsigned i)
{
    char line[FILL_BYTES + 200];
    char key[40];
    int n;

    key_of(key, sizeof(key), prng_below(&meter.prng, meter.n_keys));
    if (meter.conns[i].writes)
        n = snprintf(line, sizeof(line), "{\"type\":\"write\",\"key\":\"%s\",\"value\":\"%s\"}\n",
                     key, value);
    else
        n = snprintf(line, sizeof(line), "{\"type\":\"read_index\",\"key\":\"%s\"}\n", key);
    meter.conns[i].n_waiting++;
    meter.conns[i].sent_us = clock_mono_us();
    if (send(meter.conns[i].fd, line, (size_t)n, MSG_NOSIGNAL) != n)
        harness_fail("a node closed the connection");
}

static void meter_open(struct cluster *c, unsigned node, unsigned n_keys)
{
    memset(value, 'v', FILL_BYTES);
    prng_init(&meter.prng, 7);
    meter.n = number("RIDD_BENCH_CONNECTIONS", 8);
    meter.n = meter.n > METER_MAX ? METER_MAX : meter.n;
    meter.n_keys = n_keys;
    for (unsigned i = 0; i < meter.n; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(c->nodes[node].port)};
        int one = 1;

        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        meter.conns[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        meter.conns[i].in_len = 0;
        meter.conns[i].n_waiting = 0;
        meter.conns[i].writes = meter.only_writes || i % 8 == 7;
        if (connect(meter.conns[i].fd, (struct sockaddr *)&in, sizeof(in)) != 0)
            harness_fail("cannot connect: %s", strerror(errno));
        (void)setsockopt(meter.conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        for (unsigned k = 0; k < (meter.n_in_flight > 0 ? meter.n_in_flight : 1); k++)
            meter_send(i);
    }
}

static void meter_close(void)
{
    for (unsigned i = 0; i < meter.n; i++)
        (void)close(meter.conns[i].fd);
    meter.n = 0;
}

static void meter_take(unsigned i)
{
    char *in = meter.conns[i].in;
    size_t at = 0;
    const char *end;
    ssize_t got = recv(meter.conns[i].fd, in + meter.conns[i].in_len,
                       sizeof(meter.conns[i].in) - meter.conns[i].in_len, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        harness_fail("a node closed the connection");
    meter.conns[i].in_len += (size_t)got;
    while ((end = memchr(in + at, '\n', meter.conns[i].in_len - at)) != NULL) {
        if (memcmp(in + at, "{\"type\":\"error\"", 15) == 0)
            meter.n_errors++;
        add_sample(meter.conns[i].writes ? &meter.writes : &meter.reads,
                   clock_mono_us() - meter.conns[i].sent_us);
        at = (size_t)(end - in) + 1;
        meter.conns[i].n_waiting--;
        meter_send(i);
    }
    memmove(in, in + at, meter.conns[i].in_len - at);
    meter.conns[i].in_len -= at;
}

static void meter_turn(unsigned ms)
{
    struct pollfd polls[METER_MAX];

    for (unsigned i = 0; i < meter.n; i++)
        polls[i] = (struct pollfd){.fd = meter.conns[i].fd, .events = POLLIN};
    if (poll(polls, meter.n, (int)ms) <= 0)
        return;
    for (unsigned i = 0; i < meter.n; i++)
        if (polls[i].revents != 0)
            meter_take(i);
}

static void meter_begin(void)
{
    meter.reads.n = meter.writes.n = 0;
    meter.n_errors = 0;
    meter.begun_us = clock_mono_us();
}

static void meter_run(unsigned ms)
{
    const uint64_t until = now_ms() + ms;

    while (now_ms() < until)
        meter_turn(10);
}

struct figures {
    double seconds;
    double reads_per_s;
    double writes_per_s;
    uint32_t read_us[4]; /* p50, p99, p99.9, max */
    uint32_t write_us[4];
};

static struct figures meter_end(const char *what)
{
    static const unsigned permille[] = {500, 990, 999, 1000};
    struct figures f = {.seconds = (double)(clock_mono_us() - meter.begun_us) / 1e6};

    if (meter.reads.n > 0)
        qsort(meter.reads.us, meter.reads.n, sizeof(uint32_t), by_number);
    if (meter.writes.n > 0)
        qsort(meter.writes.us, meter.writes.n, sizeof(uint32_t), by_number);
    f.reads_per_s = (double)meter.reads.n / f.seconds;
    f.writes_per_s = (double)meter.writes.n / f.seconds;
    for (unsigned i = 0; i < 4; i++) {
        f.read_us[i] = percentile(&meter.reads, permille[i]);
        f.write_us[i] = percentile(&meter.writes, permille[i]);
    }
    (void)printf(
        "  %-22s %5.1f s  read %6.0f/s p50 %5u p99 %6u p99.9 %6u max %7u us  write %5.0f/s "
        "p50 %5u p99 %6u max %7u us  errors %llu\n",
        what, f.seconds, f.reads_per_s, f.read_us[0], f.read_us[1], f.read_us[2], f.read_us[3],
        f.writes_per_s, f.write_us[0], f.write_us[1], f.write_us[3],
        (unsigned long long)meter.n_errors);
    (void)fflush(stdout);
    return f;
}

/* ---- filling ---- */

#define FILL_DEPTH 1000u

static void fill(struct cluster *c, unsigned node, uint64_t n_keys, unsigned value_bytes)
{
    struct client *cl = client_open(c, node);
    uint64_t n_back = 0;

    memset(value, 'v', FILL_BYTES);
    for (uint64_t i = 0; i < n_keys || n_back < n_keys;) {
        for (; i < n_keys && i - n_back < FILL_DEPTH; i++) {
            char key[40];

            key_of(key, sizeof(key), i);
            client_sendf(cl, "{\"type\":\"write\",\"key\":\"%s\",\"value\":\"%.*s\"}", key,
                         (int)value_bytes, value);
        }
        do {
            const char *line = client_recv_within(cl, 60000);

            if (line == NULL || strstr(line, "write_ok") == NULL)
                harness_fail("filling: %s", line != NULL ? line : "no answer");
            n_back++;
        } while (n_back < i && i - n_back > FILL_DEPTH / 2);
        if (i == n_keys && n_back == n_keys)
            break;
    }
    client_close(cl);
}

static struct cluster *cluster_filled(const char *conf, unsigned n_nodes, unsigned mib,
                                      unsigned *ret_keys)
{
    struct cluster *c = cluster_up(n_nodes, conf);
    const uint64_t begin_ms = now_ms();

    *ret_keys = (unsigned)(((uint64_t)mib << 20) / KEY_COSTS);
    fill(c, cluster_leader(c), *ret_keys, FILL_BYTES);
    (void)cluster_settle(c);
    (void)printf("filled with %u keys in %llu ms: %lld MiB of state, %llu MiB of log\n", *ret_keys,
                 (unsigned long long)(now_ms() - begin_ms),
                 (long long)status_of(c, 0, "space", "used_bytes") >> 20,
                 (unsigned long long)wal_bytes(c, 0) >> 20);
    return c;
}

static void ask(struct cluster *c, unsigned i)
{
    struct client *cl = client_open(c, i);

    (void)client_ask(cl, "{\"type\":\"snapshot\"}");
    client_close(cl);
}

static void speed(struct cluster *c, unsigned mib_per_s)
{
    char conf[400];

    (void)snprintf(conf, sizeof(conf), CONF, mib_per_s);
    take_conf(c, conf);
}

/* ---- making ---- */

/* Looks at the node from time to time, not so often that it would be what is measured. */
static void meter_until_made(struct cluster *c, unsigned node, int64_t made)
{
    while (snap_of(c, node, "made") < made)
        meter_run(200);
}

CASE(bench__making)
{
    static const unsigned speeds[] = {64, 0};
    char conf[400];
    struct cluster *c;
    unsigned n_keys;
    unsigned leader;

    (void)snprintf(conf, sizeof(conf), CONF, 64u);
    c = cluster_filled(conf, 3, number("RIDD_BENCH_MIB", 128), &n_keys);
    leader = cluster_leader(c);
    meter_open(c, leader, n_keys);
    meter_run(1000);
    for (unsigned i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
        speed(c, speeds[i]);
        for (unsigned round = 0; round < number("RIDD_BENCH_ROUNDS", 3); round++) {
            struct figures quiet;
            struct figures making;

            (void)printf("snapshot_mib_per_s = %u\n", speeds[i]);
            meter_begin();
            meter_run(number("RIDD_BENCH_SECONDS", 5) * 1000u);
            quiet = meter_end("none is made");
            ask(c, leader);
            meter_begin();
            meter_until_made(c, leader, snap_of(c, leader, "made") + 1);
            making = meter_end("one is made");
            (void)printf(
                "  %lld MiB in %lld ms; ratio: read p50 %.2f p99 %.2f p99.9 %.2f, write p50 "
                "%.2f p99 %.2f\n",
                (long long)snap_of(c, leader, "bytes") >> 20,
                (long long)snap_of(c, leader, "last_ms"),
                (double)making.read_us[0] / quiet.read_us[0],
                (double)making.read_us[1] / quiet.read_us[1],
                (double)making.read_us[2] / quiet.read_us[2],
                (double)making.write_us[0] / quiet.write_us[0],
                (double)making.write_us[1] / quiet.write_us[1]);
        }
    }
    meter_close();
    cluster_free(c);
}

/* ---- restarts ---- */

static void drop_file(const char *path)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
}

static const char *drop_caches(const struct cluster *c)
{
    static const char *const folders[] = {"db", "wal", "snap"};

    for (unsigned i = 0; i < 3; i++) {
        char folder[PATH_MAX];
        char **names;
        unsigned n;

        (void)snprintf(folder, sizeof(folder), "%s/%s", c->nodes[0].dir, folders[i]);
        n = folder_list(folder, &names);
        for (unsigned k = 0; k < n; k++) {
            char path[PATH_MAX + 300];

            (void)snprintf(path, sizeof(path), "%s/%s", folder, names[k]);
            drop_file(path);
        }
        names_free(names, n);
    }
    if (number("RIDD_BENCH_DROP", 0) != 0) {
        cleanup_fd int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, "3\n", 2) == 2)
            return "cold (drop_caches)";
    }
    return "cold (fadvise)";
}

static uint64_t in_line(struct cluster *c, const char *event, const char *name)
{
    char *line = node_log_line(c, 0, event);
    const char *at = line != NULL ? strstr(line, name) : NULL;
    uint64_t value_of = at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;

    free(line);
    return value_of;
}

static void restart(struct cluster *c, const char *what, bool cold)
{
    const char *how = cold ? drop_caches(c) : "warm";
    const uint64_t begin_us = clock_mono_us();
    uint64_t us;
    uint64_t verify;

    node_spawn(c, 0);
    while (!node_logged(c, 0, " event=ready "))
        pause_briefly();
    us = clock_mono_us() - begin_us;
    verify = in_line(c, "event=state_opened", "verify_ms=");
    (void)printf(
        "%-22s %-18s READY %7.0f ms (its own count %llu), of it walk %6llu ms (%.0f %%), open "
        "%6llu ms, from a snapshot: %s\n",
        what, how, (double)us / 1e3, (unsigned long long)in_line(c, "event=ready", "startup_ms="),
        (unsigned long long)verify, (double)verify * 1e5 / (double)us,
        (unsigned long long)in_line(c, "event=state_opened", "open_ms="),
        node_logged(c, 0, "event=state_restored") ? "yes" : "no");
    (void)fflush(stdout);
}

CASE(bench__restart)
{
    char conf[400];
    struct cluster *c;
    const unsigned n_keys = number("RIDD_BENCH_KEYS", 100000);
    char path[PATH_MAX];

    (void)snprintf(conf, sizeof(conf), CONF, 0u);
    c = cluster_up(1, conf);
    fill(c, 0, n_keys, 60);
    make_snapshot(c, 0);
    fill(c, 0, n_keys / 20, 60); /* what is behind it */
    (void)printf("%u keys, %lld MiB of state, %llu MiB of log\n", n_keys,
                 (long long)status_of(c, 0, "space", "used_bytes") >> 20,
                 (unsigned long long)wal_bytes(c, 0) >> 20);
    for (unsigned i = 0; i < 2 * number("RIDD_BENCH_ROUNDS", 2); i++) {
        assert_int_equal(node_terminate(c, 0), 0);
        restart(c, "clean stop", i % 2 == 1);
    }
    for (unsigned i = 0; i < 2 * number("RIDD_BENCH_ROUNDS", 2); i++) {
        node_kill(c, 0);
        restart(c, "kill -9", i % 2 == 1);
    }
    for (unsigned i = 0; i < 2 * number("RIDD_BENCH_ROUNDS", 2); i++) {
        node_kill(c, 0);
        (void)snprintf(path, sizeof(path), "%s/db", c->nodes[0].dir);
        tree_remove(path, false);
        assert_int_equal(mkdir(path, 0700), 0);
        restart(c, "state removed", i % 2 == 1);
    }
    cluster_free(c);
}

/* ---- catching up ---- */

CASE(bench__catch_up)
{
    static const unsigned speeds[] = {64, 0};
    static const char *const lost[] = {"db", "snap"};
    char conf[400];
    struct cluster *c;
    struct figures quiet;
    unsigned n_keys;
    unsigned leader;
    unsigned away;

    (void)snprintf(conf, sizeof(conf), CONF, 0u);
    c = cluster_filled(conf, 3, number("RIDD_BENCH_MIB", 128), &n_keys);
    leader = cluster_leader(c);
    away = (leader + 1) % 3;
    for (unsigned i = 0; i < 3; i++) {
        make_snapshot(c, i);
        wait_until(snap_of(c, i, "log_begins_behind") > 0, "the front of the log to go");
    }
    meter_open(c, leader, n_keys);
    for (unsigned i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
        struct figures beside;
        uint64_t begin_us;
        uint64_t us;

        speed(c, speeds[i]);
        node_kill(c, away);
        /* State, snapshots and the log's front are gone: all comes from the leader. */
        for (unsigned k = 0; k < 2; k++) {
            char path[PATH_MAX];

            (void)snprintf(path, sizeof(path), "%s/%s", c->nodes[away].dir, lost[k]);
            tree_remove(path, false);
            assert_int_equal(mkdir(path, 0700), 0);
        }
        (void)printf("snapshot_mib_per_s = %u\n", speeds[i]);
        meter_begin();
        meter_run(number("RIDD_BENCH_SECONDS", 5) * 1000u);
        quiet = meter_end("one is away");
        node_start(c, away);
        begin_us = clock_mono_us();
        meter_begin();
        while (snap_of(c, away, "installed") < 1)
            meter_run(100);
        us = clock_mono_us() - begin_us;
        beside = meter_end("it gets a snapshot");
        (void)printf(
            "  %lld MiB in %.1f s: %.0f MiB/s until installed; ratio: read p50 %.2f p99 %.2f, "
            "reads/s %.2f, writes/s %.2f\n",
            (long long)snap_of(c, away, "bytes") >> 20, (double)us / 1e6,
            (double)snap_of(c, away, "bytes") / 1.048576 / (double)us,
            (double)beside.read_us[0] / quiet.read_us[0],
            (double)beside.read_us[1] / quiet.read_us[1], beside.reads_per_s / quiet.reads_per_s,
            beside.writes_per_s / quiet.writes_per_s);
        while (status_of(c, away, "snapshots", "installed") < 1 ||
               snap_of(c, away, "log_bytes_behind") < 0)
            meter_run(50);
    }
    meter_close();
    cluster_free(c);
}

/* ---- the length of the log ---- */

CASE(bench__log_size)
{
    const unsigned seconds = number("RIDD_BENCH_SECONDS", 10);
    struct cluster *c =
        cluster_up(3, "map_size = 16G\n[raft]\nheartbeat_ms = 50\nelection_ms = 500\n");
    unsigned leader;

    leader = cluster_leader(c);
    meter.only_writes = true;
    meter.n_in_flight = 64;
    meter_open(c, leader, number("RIDD_BENCH_KEYS", 30000));
    (void)printf("    s   writes/s  log MiB: n1    n2    n3  snapshots: n1 n2 n3  state MiB  "
                 "written MiB\n");
    for (unsigned s = 1; s <= seconds; s++) {
        struct figures f;
        int64_t log[3];
        int64_t made[3];

        meter_begin();
        meter_run(1000);
        f.writes_per_s = (double)meter.writes.n * 1e6 / (double)(clock_mono_us() - meter.begun_us);
        for (unsigned i = 0; i < 3; i++) {
            log[i] = (int64_t)wal_bytes(c, i);
            made[i] = snap_of(c, i, "made");
        }
        (void)printf("%5u %10.0f %13.1f %5.1f %5.1f %13lld %2lld %2lld %10lld %12lld\n", s,
                     f.writes_per_s, (double)log[0] / 1048576, (double)log[1] / 1048576,
                     (double)log[2] / 1048576, (long long)made[0], (long long)made[1],
                     (long long)made[2],
                     (long long)status_of(c, leader, "space", "used_bytes") >> 20,
                     (long long)status_of(c, leader, "log", "bytes_written") >> 20);
        (void)fflush(stdout);
    }
    meter_close();
    meter.only_writes = false;
    meter.n_in_flight = 0;
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(bench__making),
        HARNESS_TEST(bench__restart),
        HARNESS_TEST(bench__catch_up),
        HARNESS_TEST(bench__log_size),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
