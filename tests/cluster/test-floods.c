/* Floods: what clients and strangers can make a node hold, and what others notice of it. Bounds are
 * of memory and counts of replies, never of time. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
/* Beside [limits] memory: code, tables, log, peers. */
#define OWN_BYTES (64 * MIB)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* ---- looking ---- */

/* Resident anonymous memory: the mapping of the state is not counted. */
static uint64_t rss_anon(const struct cluster *c, unsigned i)
{
    char path[64];
    char line[256];
    unsigned long long kib = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)c->nodes[i].pid);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            break;
    (void)fclose(f);
    assert_true(kib > 0);
    return kib << 10;
}

static void assert_rss(const struct cluster *c, unsigned i, uint64_t limit)
{
    const uint64_t rss = rss_anon(c, i);

    if (!SANITIZED && rss > limit + OWN_BYTES)
        harness_fail("%s holds %llu MiB, with a limit of %llu", c->nodes[i].name,
                     (unsigned long long)(rss / MIB), (unsigned long long)(limit / MIB));
}

static int64_t term_of(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    int64_t term = status != NULL ? reply_int(status, "term") : -1;

    json_decref(status);
    return term;
}

/* Nothing is charged, and what was used has gone back to the system. */
static void wait_until_all_is_back(struct cluster *c, unsigned i)
{
    wait_until(memory_of(c, i, "used_bytes") < (int64_t)MIB / 4, "the accounts to be empty");
    if (!SANITIZED)
        wait_until(memory_of(c, i, "used_bytes") >= 0 && rss_anon(c, i) < 48 * MIB,
                   "memory to go back");
}

static void write_padded(struct buf *line, const char *key, size_t len, const char *rest)
{
    char *p;

    assert_int_equal(buf_add_format(line, "{\"type\":\"write\",\"key\":\"%s\",\"value\":\"", key),
                     0);
    p = buf_reserve(line, len);
    assert_non_null(p);
    memset(p, 'v', len);
    line->len += len;
    assert_int_equal(buf_add_format(line, "\"%s}\n", rest), 0);
}

static void write_big(struct client *cl, const char *key, size_t len)
{
    cleanup_buf struct buf line = BUF_INIT;

    write_padded(&line, key, len, "");
    client_send_raw(cl, line.data, line.len);
    client_expect_reply(cl, "{\"type\":\"write_ok\"}");
}

static void repeat(struct buf *out, const char *line, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(buf_add_str(out, line), 0);
}

/* ---- replies that nobody reads ---- */

/* A hundred connections ask for half a megabyte 128 times each and read nothing. A good client gets
 * every answer, of small and of large values; nobody loses the leadership; when they go, so does
 * what they cost. */
CASE(floods__replies_that_nobody_reads)
{
    enum { N = 100, PER_CONN = 128, BIG = 500000 };
    struct cluster *c =
        cluster_up(3, "[limits]\nmemory = 48M\n[raft]\nheartbeat_ms = 100\nelection_ms = 3000\n");
    const unsigned leader = cluster_leader(c);
    const int64_t term = term_of(c, leader);
    struct client *good = client_open(c, leader);
    struct client *bad[N];
    cleanup_buf struct buf lines = BUF_INIT;
    int64_t replies_max = 0;

    write_big(good, "big", BIG);
    client_expect(good, "{\"type\":\"write\",\"key\":\"small\",\"value\":1}",
                  "{\"type\":\"write_ok\"}");
    repeat(&lines, "{\"type\":\"read_index\",\"key\":\"big\",\"timeout_ms\":60000}\n", PER_CONN);
    for (unsigned i = 0; i < N; i++) {
        bad[i] = client_open(c, leader);
        assert_int_equal(client_push(bad[i], lines.data, lines.len, WAIT_MS), lines.len);
    }
    for (unsigned i = 0; i < 200; i++) {
        const int64_t replies = memory_of(c, leader, "replies_bytes");

        client_expect(good, "{\"type\":\"read_index\",\"key\":\"small\",\"timeout_ms\":60000}",
                      "{\"type\":\"read_index_ok\",\"value\":1,<*>}");
        if (i % 20 == 0)
            client_expect(good, "{\"type\":\"read_index\",\"key\":\"big\",\"timeout_ms\":60000}",
                          "{\"type\":\"read_index_ok\",\"value\":<s>,<*>}");
        client_expect(good, "{\"type\":\"write\",\"key\":\"small\",\"value\":1}",
                      "{\"type\":\"write_ok\"}");
        replies_max = replies > replies_max ? replies : replies_max;
        assert_rss(c, leader, 48 * MIB);
    }
    assert_true(replies_max > (int64_t)(16 * MIB)); /* it was a flood */
    assert_true(replies_max <= (int64_t)(48 * MIB));
    for (unsigned i = 0; i < N; i++)
        client_close(bad[i]);
    wait_until_all_is_back(c, leader);
    assert_int_equal(cluster_leader(c), leader);
    assert_int_equal(term_of(c, leader), term);
    client_close(good);
    cluster_free(c);
}

/* Who reads slowly gets everything all the same, each reply once. */
CASE(floods__slow_readers_get_everything)
{
    enum { PER_CONN = 100, BIG = 500000 };
    struct cluster *c = cluster_up(1, "[limits]\nmemory = 16M\n");
    struct client *lazy = client_open(c, 0);
    cleanup_buf struct buf lines = BUF_INIT;
    bool seen[PER_CONN] = {false};

    write_big(lazy, "big", BIG);
    for (int i = 0; i < PER_CONN; i++)
        assert_int_equal(
            buf_add_format(&lines,
                           "{\"type\":\"%s\",\"msg_id\":%d,\"key\":\"big\",\"keys\":[\"big\"],"
                           "\"timeout_ms\":60000}\n",
                           i % 3 == 0 ? "batch_read_index" : "read_index", i),
            0);
    assert_int_equal(client_push(lazy, lines.data, lines.len, WAIT_MS), lines.len);
    wait_until(memory_of(c, 0, "replies_bytes") > (int64_t)(2 * MIB), "replies to wait");
    for (int i = 0; i < PER_CONN; i++) {
        json_t *reply = client_recv_json(lazy);
        const int64_t id = reply_int(reply, "in_reply_to");

        assert_string_not_equal(reply_str(reply, "type"), "error");
        assert_true(id >= 0 && id < PER_CONN);
        assert_false(seen[id]);
        seen[id] = true;
        json_decref(reply);
        assert_rss(c, 0, 16 * MIB);
    }
    client_close(lazy);
    wait_until_all_is_back(c, 0);
    cluster_free(c);
}

/* ---- requests that wait for a leader ---- */

/* All others are dead, and this one knows it. */
static bool is_alone(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    bool alone = status != NULL && json_is_null(json_object_get(status, "leader_id"));

    json_decref(status);
    return alone;
}

static unsigned take_replies(struct client **clients, unsigned n, unsigned per_client,
                             unsigned *ret_overloaded)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < per_client; j++) {
            json_t *reply = client_recv_json(clients[i]);

            taken++;
            *ret_overloaded += strcmp(reply_str(reply, "error"), "overloaded") == 0;
            json_decref(reply);
        }
    }
    return taken;
}

/* Alone of three, a node is sent two hundred megabytes of writes that wait for a leader: it keeps
 * what its memory allows, refuses the rest at once, and when there is a leader again each is
 * answered. */
CASE(floods__writes_without_a_leader)
{
    enum { N = 20, PER_CONN = 100, BYTES = 100000 };
    struct cluster *c = cluster_up(3, "[limits]\nmemory = 32M\n");
    struct client *clients[N];
    cleanup_buf struct buf lines = BUF_INIT;
    unsigned n_overloaded = 0;

    node_kill(c, 1);
    node_kill(c, 2);
    wait_until(is_alone(c, 0), "the others to be missed");
    for (int i = 0; i < PER_CONN; i++)
        write_padded(&lines, "k", BYTES, ",\"timeout_ms\":60000");
    for (unsigned i = 0; i < N; i++) {
        clients[i] = client_open(c, 0);
        client_send_raw(clients[i], lines.data, lines.len);
        assert_rss(c, 0, 32 * MIB);
    }
    wait_until(memory_of(c, 0, "commands_bytes") > (int64_t)(8 * MIB), "writes to wait");
    assert_true(memory_of(c, 0, "commands_bytes") <= (int64_t)(16 * MIB));
    cluster_start(c);
    assert_int_equal(take_replies(clients, N, PER_CONN, &n_overloaded), N * PER_CONN);
    assert_true(n_overloaded > 0);
    assert_rss(c, 0, 32 * MIB);
    for (unsigned i = 0; i < N; i++)
        client_close(clients[i]);
    (void)cluster_settle(c);
    wait_until_all_is_back(c, 0);
    cluster_free(c);
}

/* A node full of reads that wait takes part in the election that they wait for, and the entries. */
CASE(floods__full_of_waiting_reads)
{
    enum { N = 60, PER_CONN = 120 };
    struct cluster *c = cluster_up(3, "[limits]\nmemory = 16M\n");
    struct client *clients[N];
    struct client *cl;
    cleanup_buf struct buf lines = BUF_INIT;
    unsigned n_overloaded = 0;
    unsigned leader;

    node_kill(c, 1);
    node_kill(c, 2);
    wait_until(is_alone(c, 0), "the others to be missed");
    repeat(&lines, "{\"type\":\"read_index\",\"key\":\"k\",\"timeout_ms\":60000}\n", PER_CONN);
    for (unsigned i = 0; i < N; i++) {
        clients[i] = client_open(c, 0);
        client_send_raw(clients[i], lines.data, lines.len);
    }
    wait_until(memory_of(c, 0, "requests_bytes") > (int64_t)(5 * MIB), "reads to wait");
    assert_rss(c, 0, 16 * MIB);
    cluster_start(c);
    leader = cluster_leader(c);
    cl = client_open(c, leader);
    client_expect(cl, "{\"type\":\"write\",\"key\":\"k\",\"value\":2}", "{\"type\":\"write_ok\"}");
    client_close(cl);
    (void)cluster_settle(c);
    assert_int_equal(take_replies(clients, N, PER_CONN, &n_overloaded), N * PER_CONN);
    assert_true(n_overloaded > 0);
    for (unsigned i = 0; i < N; i++)
        client_close(clients[i]);
    wait_until_all_is_back(c, 0);
    cluster_free(c);
}

/* ---- connections ---- */

/* -1: nobody listens. */
static int try_connect_from(unsigned host, uint16_t port)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + host)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int connect_from(unsigned host, uint16_t port)
{
    const int fd = try_connect_from(host, port);

    assert_true(fd >= 0);
    return fd;
}

/* Opens again what the node closed, ten at a time. New ones are not waited for (no events) before the
 * next look at them: they may be refused at once, and whoever came back for that would take each
 * place in the moment that it is free. */
static void strangers_come(struct pollfd *conns, unsigned n, uint16_t port)
{
    unsigned n_opened = 0;

    for (unsigned i = 0; i < n && n_opened < 10; i++) {
        conns[i].events = POLLIN;
        if (conns[i].fd >= 0 && poll(&conns[i], 1, 0) == 0)
            continue;
        if (conns[i].fd >= 0)
            (void)close(conns[i].fd);
        conns[i] = (struct pollfd){.fd = try_connect_from(1, port)};
        n_opened++;
    }
}

/* Keeps a hundred connections to each peer port that say nothing: whichever is closed is opened
 * again, and 20 ms later those that got no place try once more. A process of its own; dies with the
 * test. */
static pid_t strangers_start(const struct cluster *c)
{
    enum { N = 100 };
    const pid_t parent = getpid();
    const pid_t pid = fork();
    static struct pollfd conns[CLUSTER_NODES_MAX * N];

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < c->n * N; i++)
        conns[i].fd = -1;
    while (getppid() == parent) {
        for (unsigned i = 0; i < c->n; i++)
            strangers_come(&conns[i * N], N, c->nodes[i].peer_port);
        (void)poll(conns, c->n * N, 20);
    }
    _exit(0);
}

/* A hundred silent strangers at every peer port, for as long as it takes: nodes that start find
 * their peers all the same. */
CASE(floods__strangers_at_the_peer_ports)
{
    struct cluster *c = cluster_up(3, NULL);
    const pid_t strangers = strangers_start(c);
    struct client *cl;

    node_kill(c, 0);
    node_wait_logged(c, 1, "event=peer_refused");
    node_wait_logged(c, 2, "event=peer_refused");
    node_kill(c, 1);
    node_start(c, 0);
    node_start(c, 1);
    cl = client_open(c, cluster_leader(c));
    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    (void)cluster_settle(c);
    client_close(cl);
    assert_int_equal(kill(strangers, SIGKILL), 0);
    assert_int_equal(waitpid(strangers, NULL, 0), strangers);
    cluster_free(c);
}

/* One host takes what it may: the number that it is told is the one that held, and others get in. */
CASE(floods__all_connections_of_one_host)
{
    enum { LIMIT = 40, SHARE = 30 };
    struct cluster *c = cluster_up(1, "[limits]\nconnections = 40\n");
    int fds[LIMIT + 10];
    unsigned n = 0;
    char line[256] = "";
    char pong[256] = "";

    for (;;) {
        struct client *cl;
        json_t *reply;
        bool refused;

        fds[n] = connect_from(9, c->nodes[0].port);
        cl = calloc(1, sizeof(*cl));
        assert_non_null(cl);
        cl->fd = dup(fds[n]);
        assert_true(cl->fd >= 0);
        client_send(cl, "{\"type\":\"ping\"}");
        reply = client_recv_json(cl);
        refused = strcmp(reply_str(reply, "error"), "busy") == 0;
        if (refused) {
            (void)snprintf(line, sizeof(line), "%s", reply_str(reply, "text"));
            assert_int_equal(reply_int(reply, "limit"), SHARE);
        }
        json_decref(reply);
        client_close(cl);
        n++;
        if (refused)
            break;
        assert_true(n <= SHARE);
    }
    assert_int_equal(n, SHARE + 1);
    assert_non_null(strstr(line, "from this address"));
    {
        int fd = connect_from(10, c->nodes[0].port);
        ssize_t got;

        assert_int_equal(send(fd, "{\"type\":\"ping\"}\n", 16, MSG_NOSIGNAL), 16);
        got = recv(fd, pong, sizeof(pong) - 1, 0);
        assert_true(got > 0);
        assert_non_null(strstr(pong, "\"pong\""));
        (void)close(fd);
    }
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(floods__replies_that_nobody_reads),
        HARNESS_TEST(floods__slow_readers_get_everything),
        HARNESS_TEST(floods__writes_without_a_leader),
        HARNESS_TEST(floods__full_of_waiting_reads),
        HARNESS_TEST(floods__strangers_at_the_peer_ports),
        HARNESS_TEST(floods__all_connections_of_one_host),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
