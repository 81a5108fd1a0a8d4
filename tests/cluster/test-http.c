/* What nodes show by HTTP: pages, what a probe sees in each state of a node, and that looking at a
 * node costs it next to nothing. Abuse of the server is in tests/unit/test-http.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "cluster/harness.h"
#include "cluster/shim.h"

#include "base/banned.h"

#define HTTP_CONF "[http]\n"

/* ---- a client ---- */

/* -1: nobody listens. */
static int dial(uint16_t port)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {(time_t)(slow(WAIT_MS) / 1000), 0};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0)
        return -1;
    return take_fd(fd);
}

/* The whole answer, with a NUL behind; its status, or 0 where there is none. */
static int fetch_raw(uint16_t port, const char *request, struct buf *out)
{
    cleanup_fd int fd = dial(port);
    ssize_t got = 1;

    buf_reset(out, SIZE_MAX);
    if (fd >= 0 && send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        while (got > 0) {
            char *to = buf_reserve(out, 65536);

            assert_non_null(to);
            got = recv(fd, to, 65535, 0);
            out->len += got > 0 ? (size_t)got : 0;
        }
    assert_int_equal(buf_add(out, "", 1), 0);
    if (out->len < 13 || memcmp(out->data, "HTTP/1.1 ", 9) != 0)
        return 0;
    return (int)strtol((const char *)out->data + 9, NULL, 10);
}

/* Its body, likewise. */
static int fetch(const struct cluster *c, unsigned node, const char *path, struct buf *out)
{
    const uint16_t port = c->nodes[node].http_port;
    char request[256];
    const char *body;
    int status;

    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n", path,
                   port);
    status = fetch_raw(port, request, out);
    body = strstr((const char *)out->data, "\r\n\r\n");
    if (body != NULL)
        buf_consume(out, (size_t)(body + 4 - (const char *)out->data));
    return status;
}

static void expect_page(const struct cluster *c, unsigned node, const char *path, int status,
                        const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;
    const int got = fetch(c, node, path, &out);

    if (got != status || strstr((const char *)out.data, text) == NULL)
        harness_fail("%s of %s: %d, not %d with '%s': %s", path, c->nodes[node].name, got, status,
                     text, (const char *)out.data);
}

static json_t *fetch_json(const struct cluster *c, unsigned node, const char *path)
{
    cleanup_buf struct buf out = BUF_INIT;
    json_t *doc;

    if (fetch(c, node, path, &out) != 200)
        harness_fail("%s: %s", path, (const char *)out.data);
    doc = json_loads((const char *)out.data, JSON_REJECT_DUPLICATES, NULL);
    if (doc == NULL)
        harness_fail("%s is no JSON: %s", path, (const char *)out.data);
    return doc;
}

static bool is_ready(const struct cluster *c, unsigned node)
{
    cleanup_buf struct buf out = BUF_INIT;

    return fetch(c, node, "/readyz", &out) == 200;
}

static bool says(const struct cluster *c, unsigned node, const char *path, int status,
                 const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    return fetch(c, node, path, &out) == status && strstr((const char *)out.data, text) != NULL;
}

/* A sample of /metrics; -1: there is none. */
static double metric(const struct cluster *c, unsigned node, const char *sample)
{
    cleanup_buf struct buf out = BUF_INIT;
    char line[128];
    const char *at;

    if (fetch(c, node, "/metrics", &out) != 200)
        return -1;
    (void)snprintf(line, sizeof(line), "\n%s ", sample);
    at = strstr((const char *)out.data, line);
    return at != NULL ? strtod(at + strlen(line), NULL) : -1;
}

/* ---- pages ---- */

CASE(http__pages_say_what_the_node_says)
{
    struct cluster *c = cluster_up(3, HTTP_CONF);
    const unsigned leader = cluster_leader(c);
    const unsigned other = (leader + 1) % 3;
    cleanup_buf struct buf out = BUF_INIT;
    json_t *doc;

    (void)cluster_settle(c);
    for (unsigned i = 0; i < 3; i++) {
        wait_until(is_ready(c, i), "all nodes to be ready");
        expect_page(c, i, "/livez", 200, "ok\n");
        expect_page(c, i, "/readyz?verbose", 200,
                    "[+]loop ok\n[+]log ok\n[+]state ok\n[+]leader ok\n[+]serving ok\n[+]disk "
                    "ok\n[+]room ok\n[+]stopping ok\n");
        doc = fetch_json(c, i, "/leader");
        assert_string_equal(reply_str(doc, "leader"), c->nodes[leader].name);
        assert_string_equal(reply_str(doc, "client_addr"), c->nodes[leader].addr);
        json_decref(doc);
        doc = fetch_json(c, i, "/status.json");
        assert_string_equal(reply_str(doc, "type"), "status_ok");
        assert_string_equal(reply_str(doc, "node"), c->nodes[i].name);
        assert_string_equal(reply_str(doc, "role"), i == leader ? "leader" : "follower");
        assert_null(json_object_get(doc, "in_reply_to"));
        assert_non_null(json_object_get(doc, "uptime_ms"));
        json_decref(doc);
        doc = fetch_json(c, i, "/slow.json");
        assert_string_equal(reply_str(doc, "type"), "slow_ok");
        assert_non_null(json_object_get(doc, "last"));
        json_decref(doc);
        assert_true(metric(c, i,
                           i == leader ? "ridd_role{role=\"leader\"}"
                                       : "ridd_role{role=\"follower\"}") == 1);
        assert_true(metric(c, i, "ridd_serving") == (i == leader));
    }
    expect_page(c, other, "/", 200, "/events.json");
    assert_true(metric(c, leader, "ridd_survivable_failures") == 1);
    assert_true(metric(c, other, "ridd_survivable_failures") == -1);
    assert_int_equal(fetch(c, other, "/nowhere", &out), 404);
    expect_text(&out, "/readyz");
    cluster_free(c);
}

CASE(http__events_go_on_where_they_were_left)
{
    struct cluster *c = cluster_up(1, HTTP_CONF);
    json_t *doc = fetch_json(c, 0, "/events.json");
    const json_t *events = json_object_get(doc, "events");
    const size_t n = json_array_size(events);
    char path[64];

    assert_true(n > 3);
    assert_int_equal(reply_int(doc, "oldest"), 1);
    assert_int_equal(reply_int(json_array_get(events, 0), "seq"), 1);
    (void)snprintf(path, sizeof(path), "/events.json?after=%lld",
                   (long long)reply_int(json_array_get(events, 1), "seq"));
    json_decref(doc);
    doc = fetch_json(c, 0, path);
    assert_int_equal(reply_int(json_array_get(json_object_get(doc, "events"), 0), "seq"), 3);
    json_decref(doc);
    expect_page(c, 0, "/events.json?after=-1", 400, "'after' is a number from 0 to ");
    expect_page(c, 0, "/events.json?before=1", 400, "/events.json has no such parameter");
    cluster_free(c);
}

/* HTTP-6 */
CASE(http__no_page_holds_keys_or_values)
{
    static const char *const paths[] = {
        "/",          "/livez",       "/readyz?verbose", "/leader",       "/metrics",
        "/slow.json", "/status.json", "/events.json",    "/cluster.json", "/pages"};
    struct cluster *c = cluster_up(1, HTTP_CONF);
    struct client *cl = client_open(c, 0);

    client_expect(
        cl,
        "{\"type\":\"write\",\"msg_id\":1,\"key\":\"withheld-key\",\"value\":\"withheld-value\"}",
        "<*>write_ok<*>");
    client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":\"withheld-key\"}",
                  "<*>withheld-value<*>");
    client_close(cl);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cleanup_buf struct buf out = BUF_INIT;

        assert_int_equal(fetch(c, 0, paths[i], &out), 200);
        if (strstr((const char *)out.data, "withheld") != NULL)
            harness_fail("%s: %s", paths[i], (const char *)out.data);
    }
    assert_true(metric(c, 0, "ridd_reads_total{method=\"read_index\",result=\"ok\"}") == 1);
    assert_true(metric(c, 0, "ridd_writes_total{result=\"ok\"}") == 1);
    assert_true(metric(c, 0, "ridd_stage_seconds_count{op=\"write\",stage=\"quorum\"}") == 1);
    assert_true(metric(c, 0, "ridd_disk_free_bytes") > 0);
    cluster_free(c);
}

/* The page's first sentence without its elements is the first line of `ridctl status`. */
static bool page_agrees(const struct cluster *c, unsigned node, const char *word)
{
    cleanup_buf struct buf said = BUF_INIT;
    cleanup_buf struct buf page = BUF_INIT;
    char want[512];
    char *line;
    size_t len;

    (void)run_ridctl(c, &said, "status");
    line = (char *)said.data;
    len = strlen(word);
    if (strncmp(line, word, len) != 0 || line[len] != ':')
        return false;
    line[strcspn(line, "\n")] = '\0';
    (void)snprintf(want, sizeof(want), "<h1 id=\"verdict\"><strong>%s</strong>%s</h1>", word,
                   line + len);
    return fetch(c, node, "/", &page) == 200 && strstr((const char *)page.data, want) != NULL;
}

/* PAGE-3: asked from any node, whatever is down. */
CASE(http__the_page_says_what_ridctl_says)
{
    struct cluster *c = cluster_up(3, HTTP_CONF);
    const unsigned leader = cluster_leader(c);
    const unsigned here = (leader + 1) % 3;
    json_t *doc;

    for (unsigned i = 0; i < 3; i++)
        wait_until(page_agrees(c, i, "OK"), "the page of each node to be well");
    doc = fetch_json(c, here, "/cluster.json");
    assert_string_equal(reply_str(doc, "verdict"), "ok");
    for (size_t i = 0; i < 3; i++) {
        const json_t *node = json_array_get(json_object_get(doc, "nodes"), i);

        assert_string_equal(reply_str(node, "node"), c->nodes[i].name);
        assert_string_equal(reply_str(json_object_get(node, "events"), "type"), "events_ok");
    }
    json_decref(doc);
    node_kill(c, leader);
    wait_until(page_agrees(c, here, "DEGRADED"), "the page to tell of a node that is down");
    expect_page(c, here, "/", 200, "<span class=\"role down\">silent</span>");
    wait_until(says(c, here, "/", 200, " without a leader"), "the gap between two leaders");
    node_kill(c, (leader + 2) % 3);
    wait_until(page_agrees(c, here, "NO QUORUM"), "the page to tell of a lost quorum");
    cluster_free(c);
}

CASE(http__other_names_and_methods_are_refused)
{
    struct cluster *c = cluster_up(1, HTTP_CONF "hosts = status.example\n");
    const uint16_t port = c->nodes[0].http_port;
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(fetch_raw(port,
                               "GET /status.json HTTP/1.1\r\nHost: evil.example\r\n"
                               "Connection: close\r\n\r\n",
                               &out),
                     421);
    assert_null(strstr((const char *)out.data, "status_ok"));
    assert_int_equal(fetch_raw(port,
                               "GET /status.json HTTP/1.1\r\nHost: status.example\r\n"
                               "Connection: close\r\n\r\n",
                               &out),
                     200);
    assert_int_equal(fetch_raw(port,
                               "POST /livez HTTP/1.1\r\nHost: status.example\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n",
                               &out),
                     405);
    expect_text(&out, "Allow: GET, HEAD\r\n");
    cluster_free(c);
}

/* ---- what a probe sees ---- */

/* HTTP-7 */
CASE(http__without_a_quorum_nobody_is_ready)
{
    struct cluster *c = cluster_up(3, HTTP_CONF);
    const unsigned leader = cluster_leader(c);
    const unsigned last = (leader + 1) % 3;

    wait_until(is_ready(c, last), "a follower to be ready through its leader");
    node_kill(c, leader);
    node_kill(c, (leader + 2) % 3);
    wait_until(says(c, last, "/readyz", 503, "[-]leader failed: no leader is known\n"),
               "it to know no leader");
    expect_page(c, last, "/readyz", 503, "[-]serving failed: there is no leader to ask\n");
    expect_page(c, last, "/readyz", 503, "[+]state ok\n");
    expect_page(c, last, "/leader", 503, "\"leader\":null");
    expect_page(c, last, "/livez", 200, "ok\n");
    assert_true(metric(c, last, "ridd_leader_known") == 0);
    cluster_start(c);
    wait_until(is_ready(c, last), "it to be ready again");
    cluster_free(c);
}

/* One that cannot hand over has five seconds for it, and says meanwhile that it stops. */
CASE(http__a_node_that_stops_says_so)
{
    struct cluster *c = cluster_up(3, HTTP_CONF);
    const unsigned leader = cluster_leader(c);

    wait_until(is_ready(c, leader), "the leader to be ready");
    node_stop(c, (leader + 1) % 3);
    node_stop(c, (leader + 2) % 3);
    node_signal(c, leader, SIGTERM);
    /* Its loop says so, long before nothing turns any more. */
    wait_until(
        says(c, leader, "/readyz", 503, "[+]room ok\n[-]stopping failed: this node is stopping\n"),
        "it to say that it stops");
    expect_page(c, leader, "/livez", 200, "ok\n");
    assert_int_equal(node_wait_exit(c, leader), 0);
    node_continue(c, (leader + 1) % 3);
    node_continue(c, (leader + 2) % 3);
    cluster_free(c);
}

/* Of the nodes that this shim is for. */
static struct shim_control *map_control(const struct shim *s)
{
    cleanup_fd int fd = open(s->control, O_RDWR | O_CLOEXEC);
    struct shim_control *control =
        mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(control != MAP_FAILED);
    return control;
}

/* Its log is read while syncs are slow; before anything turns the pages are there. */
CASE(http__a_node_that_starts_says_so)
{
    struct cluster *c = cluster_new(1, HTTP_CONF);
    struct shim shim;
    struct shim_control *control;

    cluster_init(c);
    shim_begin(&shim, c);
    control = map_control(&shim);
    atomic_store(&control->slow_sync_ms, 1500);
    node_spawn(c, 0);
    wait_until(says(c, 0, "/readyz", 503, "[-]log failed: it is being read and verified\n"),
               "it to say that it starts");
    expect_page(c, 0, "/livez", 200, "ok\n");
    expect_page(c, 0, "/status.json", 503, "this node is starting");
    atomic_store(&control->slow_sync_ms, 0);
    wait_until(is_ready(c, 0), "it to be ready");
    (void)munmap(control, sizeof(*control));
    cluster_free(c);
}

/* Only the thread of the loop stands: the one of HTTP says so. */
CASE(http__a_loop_that_stands_is_told)
{
    struct cluster *c = cluster_up(1, HTTP_CONF);
    const pid_t pid = c->nodes[0].pid;
    int status;

    expect_page(c, 0, "/livez", 200, "ok\n");
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) {
        print_message("threads cannot be stopped here: %s\n", strerror(errno));
        cluster_free(c);
        return;
    }
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    wait_until(says(c, 0, "/livez", 503, "the loop has not turned for "), "it to be told");
    expect_page(c, 0, "/readyz", 503, "[-]loop failed: it has not turned for ");
    expect_page(c, 0, "/metrics", 503, "this node's loop has not turned for ");
    expect_page(c, 0, "/events.json", 200, "\"event\":\"ready\"");
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    wait_until(says(c, 0, "/livez", 200, "ok\n"), "it to turn again");
    expect_page(c, 0, "/metrics", 200, "ridd_up_seconds");
    cluster_free(c);
}

/* ---- the cost ---- */

/* HTTP-2: however many look, the loop answers ten times a second and kind, and each answer costs
 * it little. */
CASE(http__who_looks_does_not_cost_the_loop)
{
    struct cluster *c = cluster_up(1, HTTP_CONF);
    const uint64_t from_ms = now_ms();
    const double asks = metric(c, 0, "ridd_http_loop_asks_total");
    const double took = metric(c, 0, "ridd_http_loop_seconds_total");
    double more_asks;
    double more_took;
    unsigned n = 0;

    while (now_ms() - from_ms < 3000) {
        cleanup_buf struct buf out = BUF_INIT;

        assert_int_equal(fetch(c, 0, n % 2 == 0 ? "/metrics" : "/status.json", &out), 200);
        n++;
    }
    more_asks = metric(c, 0, "ridd_http_loop_asks_total") - asks;
    more_took = metric(c, 0, "ridd_http_loop_seconds_total") - took;
    print_message("%u requests in %llu ms: the loop was asked %.0f times, %.1f us each\n", n,
                  (unsigned long long)(now_ms() - from_ms), more_asks,
                  more_took * 1e6 / (more_asks > 0 ? more_asks : 1));
    assert_true(more_asks > 0);
    assert_true(more_asks <= 2.0 * ((double)(now_ms() - from_ms) * 1000.0 / HTTP_FRESH_US + 2));
    cluster_free(c);
}

/* Whoever sends much to the port of HTTP, and reads nothing, holds up no request. */
CASE(http__clients_are_served_while_http_is_flooded)
{
    struct cluster *c = cluster_up(1, HTTP_CONF);
    struct client *cl = client_open(c, 0);
    int fds[2 * HTTP_CONNECTIONS_MAX];
    char request[128];

    (void)snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
                   c->nodes[0].http_port);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = dial(c->nodes[0].http_port);
        assert_true(fds[i] >= 0);
        for (unsigned k = 0; k < 20; k++)
            (void)send(fds[i], request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT);
        client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"k\",\"value\":1}",
                      "<*>write_ok<*>");
        client_expect(cl, "{\"type\":\"read_index\",\"msg_id\":2,\"key\":\"k\"}",
                      "<*>read_index_ok<*>");
    }
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        (void)close(fds[i]);
    client_close(cl);
    wait_until(says(c, 0, "/livez", 200, "ok\n"), "HTTP to be answered again");
    cluster_free(c);
}

/* ---- the conventions ---- */

CASE(http__promtool_finds_nothing)
{
    struct cluster *c;

    if (system("command -v promtool >/dev/null") != 0) {
        print_message("promtool is not here: apt-get install --no-install-recommends prometheus\n");
        skip();
    }
    c = cluster_up(3, HTTP_CONF);
    for (unsigned i = 0; i < 3; i++) {
        cleanup_buf struct buf out = BUF_INIT;
        char command[300];
        char path[256];

        assert_int_equal(fetch(c, i, "/metrics", &out), 200);
        (void)snprintf(path, sizeof(path), "%s/metrics", c->dir);
        file_write(path, out.data, out.len - 1);
        (void)snprintf(command, sizeof(command), "promtool check metrics <'%s'", path);
        assert_int_equal(system(command), 0);
    }
    cluster_free(c);
}

/* ---- the start ---- */

CASE(http__a_file_with_another_address_is_refused)
{
    struct cluster *c = cluster_new(1, HTTP_CONF "address = 10.0.0.1:80\n");
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_ridd(c->conf, "n1", &out, "--check-config", NULL), 78, &out);
    expect_text(&out, "address = '10.0.0.1:80' is not of loopback");
    cluster_free(c);
}

CASE(http__a_taken_port_ends_the_start)
{
    struct cluster *c = cluster_new(1, HTTP_CONF);
    const struct sockaddr_in sa = {.sin_family = AF_INET,
                                   .sin_port = htons(c->nodes[0].http_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int code = 0;

    cluster_init(c);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_false(node_try_start(c, 0, &code));
    assert_int_equal(code, 74);
    assert_true(node_logged(c, 0, "event=cannot_listen"));
    assert_true(node_logged(c, 0, "cannot answer HTTP on "));
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(http__pages_say_what_the_node_says),
        HARNESS_TEST(http__events_go_on_where_they_were_left),
        HARNESS_TEST(http__no_page_holds_keys_or_values),
        HARNESS_TEST(http__the_page_says_what_ridctl_says),
        HARNESS_TEST(http__other_names_and_methods_are_refused),
        HARNESS_TEST(http__without_a_quorum_nobody_is_ready),
        HARNESS_TEST(http__a_node_that_stops_says_so),
        HARNESS_TEST(http__a_node_that_starts_says_so),
        HARNESS_TEST(http__a_loop_that_stands_is_told),
        HARNESS_TEST(http__who_looks_does_not_cost_the_loop),
        HARNESS_TEST(http__clients_are_served_while_http_is_flooded),
        HARNESS_TEST(http__promtool_finds_nothing),
        HARNESS_TEST(http__a_file_with_another_address_is_refused),
        HARNESS_TEST(http__a_taken_port_ends_the_start),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
