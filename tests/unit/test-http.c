/* http: which requests are answered with what, and the server under clients that mean no good.
 *
 * The server runs on its own thread and on a real port of loopback; its deadlines go by a clock
 * that the test moves. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "http/http.h"

/* ---- the clock: what has really passed, and what the test adds ---- */

static _Atomic uint64_t added_us;

static uint64_t real_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return real_us() + added_us;
}

uint64_t clock_wall_us(void)
{
    return clock_mono_us();
}

/* ---- decisions ---- */

static const struct http_page page_a = {.path = "/a", .what = "A page."};
static const struct http_page page_b = {
    .path = "/b",
    .what = "Another.",
    .n_params = 2,
    .params = {{"after", HTTP_PARAM_U64, 1000}, {"verbose", HTTP_PARAM_FLAG, 0}}};
static const struct http_page *const pages[] = {&page_a, &page_b};
static const struct http_names names = {.port = 7402, .hosts = "ridd.example,proxy"};

static int find(const char *method, const char *target, const char *host, struct http_found *ret)
{
    const struct http_asked q = {
        .method = method, .target = target, .host = host, .n_hosts = host != NULL};

    return http_find(&names, pages, 2, &q, ret);
}

/* HTTP-3 */
static void http__is_called_by_names_of_loopback_only(void **state)
{
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {
        {"localhost:7402", true},
        {"LocalHost:7402", true},
        {"127.0.0.1:7402", true},
        {"[::1]:7402", true},
        {"127.8.9.1:7402", true},
        {"ridd.example", true},
        {"RIDD.example:80", true},
        {"proxy:1", true},
        {"localhost", false},
        {"localhost:7403", false},
        {"127.0.0.1", false},
        {"evil.example:7402", false},
        {"localhost.evil:7402", false},
        {"evil.localhost:7402", false},
        {"", false},
        {":7402", false},
        {"[::1", false},
        {"[::1]7402", false},
        {"[::2]:7402", false},
        {"10.0.0.1:7402", false},
        {"0.0.0.0:7402", false},
        {"localhost:", false},
        {"localhost:7402x", false},
        {"localhost:07402", true},
        {"localhost:707402", false},
        {"ridd.example.", false},
        {"ridd", false},
        {"ridd.example,proxy", false},
        {"127.0.0.1.evil:7402", false},
        {"user@localhost:7402", false},
        {"0x7f000001:7402", false},
        {"127.1:7402", false},
        {"[::ffff:127.0.0.1]:7402", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_found found;
        const int status = find("GET", "/a", cases[i].host, &found);

        if ((status == 200) != cases[i].ok)
            fail_msg("'%s': %d", cases[i].host, status);
        if (!cases[i].ok)
            assert_int_equal(status, 421);
    }
}

static void http__wants_one_host(void **state)
{
    struct http_asked q = {.method = "GET", .target = "/a"};
    struct http_found found;

    (void)state;
    assert_int_equal(http_find(&names, pages, 2, &q, &found), 400);
    q.old = true;
    assert_int_equal(http_find(&names, pages, 2, &q, &found), 200);
    q.host = "localhost:7402";
    q.n_hosts = 2;
    assert_int_equal(http_find(&names, pages, 2, &q, &found), 400);
    q.n_hosts = 1;
    q.host = "evil";
    assert_int_equal(http_find(&names, pages, 2, &q, &found), 421);
}

static void http__refuses_in_an_order_that_tells_strangers_nothing(void **state)
{
    struct http_found found;

    (void)state;
    assert_int_equal(find("POST", "/nowhere?x", "evil:7402", &found), 421);
    assert_int_equal(find("POST", "/nowhere?x", "localhost:7402", &found), 405);
    assert_int_equal(find(NULL, "/a", "localhost:7402", &found), 405);
    assert_int_equal(find("GET", "/nowhere?x", "localhost:7402", &found), 404);
    assert_int_equal(find("GET", "/a?x", "localhost:7402", &found), 400);
}

static void http__paths_are_as_they_stand(void **state)
{
    static const struct {
        const char *target;
        int status;
    } cases[] = {
        {"/a", 200},
        {"/A", 404},
        {"/a/", 404},
        {"//a", 404},
        {"/./a", 404},
        {"/x/../a", 404},
        {"/%61", 404},
        {"/a%00", 404},
        {"/a#b", 404},
        {"/a?", 200},
        {"/a?&", 200},
        {"/a?x=1", 400},
        {"a", 400},
        {"*", 400},
        {"", 400},
        {"http://evil/a", 400},
        {"/../../etc/passwd", 404},
        {"http://localhost:7402/a", 400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_found found;
        const int status = find("GET", cases[i].target, "localhost:7402", &found);

        if (status != cases[i].status)
            fail_msg("'%s': %d", cases[i].target, status);
        if (status != 200)
            assert_true(found.why[0] != '\0');
    }
}

static void http__parameters_are_what_the_page_knows(void **state)
{
    static const struct {
        const char *query;
        int status;
        bool given[2];
        uint64_t values[2];
    } cases[] = {
        {"after=17", 200, {true, false}, {17, 0}},
        {"after=1000", 200, {true, false}, {1000, 0}},
        {"after=1001", 400, {false, false}, {0, 0}},
        {"after=0&verbose", 200, {true, true}, {0, 1}},
        {"verbose=0", 200, {false, true}, {0, 0}},
        {"verbose=1", 200, {false, true}, {0, 1}},
        {"verbose=2", 400, {false, false}, {0, 0}},
        {"verbose=yes", 400, {false, false}, {0, 0}},
        {"after", 400, {false, false}, {0, 0}},
        {"after=", 400, {false, false}, {0, 0}},
        {"after=-1", 400, {false, false}, {0, 0}},
        {"after=+1", 400, {false, false}, {0, 0}},
        {"after=1e3", 400, {false, false}, {0, 0}},
        {"after=0x1", 400, {false, false}, {0, 0}},
        {"after=%31", 400, {false, false}, {0, 0}},
        {"after=1&after=1", 400, {false, false}, {0, 0}},
        {"after=18446744073709551616", 400, {false, false}, {0, 0}},
        {"After=1", 400, {false, false}, {0, 0}},
        {"afte=1", 400, {false, false}, {0, 0}},
        {"=1", 400, {false, false}, {0, 0}},
        {"<script>", 400, {false, false}, {0, 0}},
        {"verbose&verbose&verbose&verbose&verbose", 400, {false, false}, {0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_found found;
        char target[128];
        int status;

        (void)snprintf(target, sizeof(target), "/b?%s", cases[i].query);
        status = find("GET", target, "localhost:7402", &found);
        if (status != cases[i].status)
            fail_msg("'%s': %d", cases[i].query, status);
        if (strstr(found.why, "script") != NULL)
            fail_msg("'%s' comes back in '%s'", cases[i].query, found.why);
        for (unsigned k = 0; status == 200 && k < 2; k++)
            if (found.given[k] != cases[i].given[k] || found.values[k] != cases[i].values[k])
                fail_msg("'%s': parameter %u", cases[i].query, k);
    }
}

/* ---- a server ---- */

struct world {
    struct board *board;
    struct http *http;
    unsigned port;
    atomic_bool loop_stands;
    atomic_bool absent;
    atomic_bool done;
    pthread_t loop;
    _Atomic unsigned n_fills;
    _Atomic unsigned n_kept; /* calls of /later */
    _Atomic unsigned n_gone;
};

static bool fill(void *ctx, unsigned kind, struct buf *out)
{
    struct world *w = ctx;

    w->n_fills++;
    return buf_add_format(out, "fact %u\n", kind) == 0;
}

static void *loop(void *arg)
{
    struct world *w = arg;

    while (!atomic_load(&w->done)) {
        struct pollfd p = {board_loop_fd(w->board), POLLIN, 0};

        (void)poll(&p, 1, 5);
        if (p.revents != 0 && !atomic_load(&w->loop_stands))
            (void)board_serve(w->board, fill, w);
    }
    return NULL;
}

static uint64_t silent_us(void *ctx)
{
    (void)ctx;
    return 3200000;
}

static const char *absent(void *ctx)
{
    return ((struct world *)ctx)->absent ? "this node is starting" : NULL;
}

static void gone(void *ctx, struct http_call *call)
{
    struct world *w = ctx;

    assert_non_null(call);
    w->n_gone++;
}

static void answer_plain(void *ctx, struct http_call *call, const struct buf *facts)
{
    (void)ctx;
    assert_null(facts);
    http_reply_text(call, 200, "plain");
}

static void answer_fact(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct buf body = BUF_INIT;

    (void)ctx;
    assert_non_null(facts);
    assert_int_equal(buf_add(&body, facts->data, facts->len), 0);
    http_reply(call, 200, "text/plain", &body);
}

static void answer_ready(void *ctx, struct http_call *call, const struct buf *facts)
{
    (void)ctx;
    http_reply_text(call, facts != NULL ? 200 : 503, facts != NULL ? "ready" : "late");
}

#define BIG_BYTES (8u << 20)

static void answer_big(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct buf body = BUF_INIT;
    char *to = buf_reserve(&body, BIG_BYTES);

    (void)ctx;
    (void)facts;
    assert_non_null(to);
    memset(to, 'x', BIG_BYTES);
    body.len = BIG_BYTES;
    http_reply(call, 200, "text/plain", &body);
}

static void answer_later(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct world *w = ctx;

    (void)facts;
    assert_non_null(call);
    w->n_kept++;
}

static void answer_expired(void *ctx, struct http_call *call, const struct buf *facts)
{
    struct http_stats stats;
    char text[24];

    (void)ctx;
    (void)facts;
    http_get_stats(http_call_server(call), &stats);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)stats.n_expired);
    http_reply_text(call, 200, text);
}

static const struct http_handler handlers[] = {
    {.page = {.path = "/plain", .what = "Of no kind."},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_plain},
    {.page = {.path = "/fact", .what = "Of the loop."}, .kind = 0, .answer = answer_fact},
    {.page = {.path = "/ready", .what = "Also without it."},
     .kind = 1,
     .late_too = true,
     .answer = answer_ready},
    {.page = {.path = "/big", .what = "Large."}, .kind = HTTP_ASKS_NOTHING, .answer = answer_big},
    {.page = {.path = "/expired", .what = "How many."},
     .kind = HTTP_ASKS_NOTHING,
     .answer = answer_expired},
    {.page = {.path = "/later", .what = "Slow."},
     .kind = HTTP_ASKS_NOTHING,
     .policy = "default-src 'self'",
     .answer = answer_later},
};

/* One that was free a moment ago. */
static unsigned some_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)close(fd);
    return ntohs(sa.sin_port);
}

/* Until so many answers are owed: a server that loses one fails the case, and does not hang it. */
static void wait_kept(const struct world *w, unsigned n)
{
    struct timespec now;
    struct timespec begun;

    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    while (w->n_kept < n) {
        (void)usleep(1000);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - begun.tv_sec > 60)
            fail_msg("waited in vain for %u requests to be kept", n);
    }
}

static void begin(struct world *w)
{
    const struct http_ops ops = {.ctx = w, .silent_us = silent_us, .absent = absent, .gone = gone};
    struct http_conf conf = {
        .hosts = "", .handlers = handlers, .n_handlers = sizeof(handlers) / sizeof(handlers[0])};
    char addr[32];
    int rc = -1;

    memset(w, 0, sizeof(*w));
    assert_int_equal(board_new(2, &w->board), 0);
    conf.board = w->board;
    for (unsigned i = 0; i < 20 && rc != 0; i++) {
        w->port = some_port();
        (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", w->port);
        conf.addr = addr;
        rc = http_new(&conf, &ops, &w->http);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(pthread_create(&w->loop, NULL, loop, w), 0);
}

static void end(struct world *w)
{
    http_free(w->http);
    atomic_store(&w->done, true);
    assert_int_equal(pthread_join(w->loop, NULL), 0);
    board_free(w->board);
}

/* ---- clients ---- */

static int dial(const struct world *w)
{
    const struct sockaddr_in sa = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)w->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {20, 0};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    const size_t len = strlen(text);

    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void send_request(const struct world *w, int fd, const char *first, const char *more)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: localhost:%u\r\n%s\r\n", first,
                   w->port, more);
    send_text(fd, text);
}

/* Until the other side closes. The number of bytes; at most size - 1 of them are kept. */
static size_t read_all(int fd, char *ret, size_t size)
{
    size_t n = 0;
    char rest[65536];
    ssize_t got;

    do {
        got = n + 1 < size ? recv(fd, ret + n, size - 1 - n, 0) : recv(fd, rest, sizeof(rest), 0);
        if (got < 0 && errno == ECONNRESET)
            got = 0;
        if (got < 0)
            fail_msg("the connection was not closed: %s", strerror(errno));
        n += (size_t)got;
    } while (got > 0);
    ret[n + 1 < size ? n : size - 1] = '\0';
    return n;
}

/* One answer with a body of known length, on a connection that stays. */
static void read_one(int fd, char *ret, size_t size)
{
    size_t n = 0;
    size_t want = SIZE_MAX;

    while (n < want) {
        const ssize_t got = recv(fd, ret + n, want == SIZE_MAX ? 1 : want - n, 0);
        const char *length;

        if (got <= 0)
            fail_msg("no answer but '%.*s'", (int)n, ret);
        n += (size_t)got;
        assert_true(n + 1 < size);
        ret[n] = '\0';
        if (want != SIZE_MAX || n < 4 || strcmp(ret + n - 4, "\r\n\r\n") != 0)
            continue;
        length = strstr(ret, "Content-Length: ");
        assert_non_null(length);
        want = n + strtoul(length + strlen("Content-Length: "), NULL, 10);
        assert_true(want + 1 < size);
    }
}

/* A connection for one request. */
static void ask(const struct world *w, const char *first, const char *more, char *ret, size_t size)
{
    const int fd = dial(w);
    char headers[256];

    (void)snprintf(headers, sizeof(headers), "Connection: close\r\n%s", more);
    send_request(w, fd, first, headers);
    (void)read_all(fd, ret, size);
    (void)close(fd);
}

static void expect_begin(const char *answer, const char *begin_text)
{
    if (strncmp(answer, begin_text, strlen(begin_text)) != 0)
        fail_msg("not '%s' but: %s", begin_text, answer);
}

static void expect_in(const char *answer, const char *text)
{
    if (strstr(answer, text) == NULL)
        fail_msg("no '%s' in: %s", text, answer);
}

static bool is_closed(int fd)
{
    char c;
    const ssize_t got = recv(fd, &c, 1, 0);

    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void http__answers_with_what_keeps_browsers_out(void **state)
{
    struct world w;
    char answer[4096];

    (void)state;
    begin(&w);
    ask(&w, "GET /plain", "Origin: http://evil\r\n", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    expect_in(answer, "Cache-Control: no-store\r\n");
    expect_in(answer, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
    expect_in(answer, "X-Content-Type-Options: nosniff\r\n");
    expect_in(answer, "\r\n\r\nplain\n");
    assert_null(strstr(answer, "Access-Control"));
    ask(&w, "GET /nowhere", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 404 Not Found\r\n");
    expect_in(answer, "/fact          Of the loop.\n");
    expect_in(answer, "X-Content-Type-Options: nosniff\r\n");
    end(&w);
}

static void http__asks_the_loop(void **state)
{
    struct world w;
    char answer[4096];

    (void)state;
    begin(&w);
    ask(&w, "GET /fact", "", answer, sizeof(answer));
    expect_in(answer, "\r\n\r\nfact 0\n");
    ask(&w, "GET /ready", "", answer, sizeof(answer));
    expect_in(answer, "\r\n\r\nready\n");
    end(&w);
}

static void http__a_head_has_no_body(void **state)
{
    struct world w;
    char answer[4096];
    const char *end_of_head;

    (void)state;
    begin(&w);
    ask(&w, "HEAD /plain", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    expect_in(answer, "Content-Length: 6\r\n");
    end_of_head = strstr(answer, "\r\n\r\n");
    assert_non_null(end_of_head);
    assert_string_equal(end_of_head + 4, "");
    end(&w);
}

static void http__other_methods_are_told_which_there_are(void **state)
{
    static const char *const methods[] = {"POST /plain",    "PUT /plain",   "DELETE /plain",
                                          "OPTIONS /plain", "PATCH /plain", "TRACE /plain",
                                          "BREW /plain",    "get /plain"};
    struct world w;
    char answer[4096];
    int fd;

    (void)state;
    begin(&w);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        ask(&w, methods[i], "Content-Length: 0\r\n", answer, sizeof(answer));
        expect_begin(answer, "HTTP/1.1 405 Method Not Allowed\r\n");
        expect_in(answer, "Allow: GET, HEAD\r\n");
    }
    /* It is no proxy. */
    fd = dial(&w);
    send_request(&w, fd, "CONNECT localhost:22", "");
    answer[0] = '\0';
    assert_true(recv(fd, answer, 24, MSG_WAITALL) == 24);
    answer[24] = '\0';
    expect_begin(answer, "HTTP/1.1 405 Method Not ");
    (void)close(fd);
    end(&w);
}

static void http__a_foreign_name_gets_nothing(void **state)
{
    struct world w;
    char answer[4096];

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < 2; i++) {
        const int c = dial(&w);

        send_text(c, i == 0
                         ? "GET /fact HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
                         : "GET /fact HTTP/1.1\r\nHost: evil.example\r\nHost: "
                           "localhost\r\nConnection: close\r\n\r\n");
        (void)read_all(c, answer, sizeof(answer));
        expect_begin(answer, i == 0 ? "HTTP/1.1 421 Misdirected Request\r\n"
                                    : "HTTP/1.1 400 Bad Request\r\n");
        assert_null(strstr(answer, "fact"));
        (void)close(c);
    }
    assert_int_equal(w.n_fills, 0);
    end(&w);
}

static void http__the_first_version_is_answered_and_closed(void **state)
{
    struct world w;
    char answer[4096];
    int fd;

    (void)state;
    begin(&w);
    fd = dial(&w);
    send_text(fd, "GET /fact HTTP/1.0\r\n\r\n");
    (void)read_all(fd, answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.0 200 OK\r\n");
    expect_in(answer, "fact 0\n");
    (void)close(fd);
    end(&w);
}

/* Whatever this is, it costs its own connection alone. */
static void http__rubbish_ends_a_connection_and_nothing_else(void **state)
{
    static const char *const rubbish[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /plain\r\n\r\n",
        "GET /plain HTTP/9.9\r\n\r\n",
        "GET  /plain  HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03",
        "{\"type\":\"status\"}\n",
        "GET /plain HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET /plain HTTP/1.1\r\n: x\r\n\r\n",
        "GET /plain HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /plain HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        "POST /plain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "POST /plain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /%%%%2e%2e/%2e%2e/etc/passwd?%&&&==== HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    struct world w;
    char answer[4096];

    (void)state;
    begin(&w);
    for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
        const int fd = dial(&w);

        send_text(fd, rubbish[i]);
        (void)shutdown(fd, SHUT_WR);
        (void)read_all(fd, answer, sizeof(answer));
        assert_null(strstr(answer, "200 OK"));
        (void)close(fd);
        ask(&w, "GET /plain", "", answer, sizeof(answer));
        expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    }
    end(&w);
}

static void http__heads_and_bodies_are_bounded(void **state)
{
    struct world w;
    static char big[4 * HTTP_HEAD_BYTES_MAX];
    char answer[4096];
    int fd;

    (void)state;
    begin(&w);
    memset(big, 'a', sizeof(big) - 1);
    /* Far above the bound, and above it, but not above what is read ahead. */
    for (unsigned k = 0; k < 7; k++) {
        const unsigned i = k % 4;
        const size_t n = k < 4 ? sizeof(big) - 1 : HTTP_HEAD_BYTES_MAX + 1024;
        char first[128];

        fd = dial(&w);
        (void)snprintf(first, sizeof(first), "%s HTTP/1.1\r\nHost: localhost:%u\r\n%s",
                       i < 3 ? "GET /plain" : "POST /plain", w.port,
                       i == 1   ? "X: "
                       : i == 2 ? "Y: z\r\nX"
                       : i == 3 ? "Content-Length: 32767\r\n\r\n"
                                : "");
        send_text(fd, i > 0 ? first : "GET /");
        (void)send(fd, big, n, MSG_NOSIGNAL);
        (void)send(fd, ": \r\nConnection: close\r\n\r\n", 25, MSG_NOSIGNAL);
        (void)read_all(fd, answer, sizeof(answer));
        /* It is refused by evhttp, or cut: no page is looked for. */
        if (strstr(answer, "200 OK") != NULL || strstr(answer, "405 ") != NULL ||
            strstr(answer, "404 ") != NULL)
            fail_msg("case %u: %s", k, answer);
        (void)close(fd);
    }
    end(&w);
}

static void http__requests_in_a_row_are_answered_in_order(void **state)
{
    struct world w;
    char text[2048] = "";
    char answer[16384];
    const char *at;
    int fd;

    (void)state;
    begin(&w);
    fd = dial(&w);
    for (unsigned i = 0; i < 6; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n%s\r\n",
                       i % 2 == 0 ? "/fact" : "/plain", w.port,
                       i == 5 ? "Connection: close\r\n" : "");
    send_text(fd, text);
    (void)read_all(fd, answer, sizeof(answer));
    (void)close(fd);
    at = answer;
    for (unsigned i = 0; i < 6; i++) {
        at = strstr(at, i % 2 == 0 ? "\r\n\r\nfact 0\n" : "\r\n\r\nplain\n");
        if (at == NULL)
            fail_msg("answer %u is missing in: %s", i, answer);
        at++;
    }
    end(&w);
}

/* HTTP-4: those that ask nothing keep nobody out. */
static void http__many_idle_connections_keep_nobody_out(void **state)
{
    struct world w;
    int fds[3 * HTTP_CONNECTIONS_MAX];
    char answer[4096];
    unsigned n_closed = 0;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < 3 * HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = dial(&w);
        send_text(fds[i], "GET /plain HTTP/1.1\r\nHost: loc"); /* and never more */
    }
    for (unsigned i = 0; i < 10; i++) {
        ask(&w, "GET /plain", "", answer, sizeof(answer));
        expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    }
    for (unsigned i = 0; i < 3 * HTTP_CONNECTIONS_MAX; i++) {
        struct pollfd p = {fds[i], POLLIN, 0};
        const bool closed = poll(&p, 1, 0) == 1;

        /* Whoever has waited longest went first. */
        if (closed && n_closed < i)
            fail_msg("connection %u is closed, and an older one is not", i);
        n_closed += closed;
        (void)close(fds[i]);
    }
    assert_true(n_closed >= 2 * HTTP_CONNECTIONS_MAX);
    end(&w);
}

/* Those that are being answered stay, and whoever comes beyond them waits outside. */
static void http__nobody_is_taken_while_all_are_being_answered(void **state)
{
    struct world w;
    int fds[HTTP_CONNECTIONS_MAX];
    char answer[4096];
    struct pollfd p;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = dial(&w);
        send_request(&w, fds[i], "GET /later", "Connection: close\r\n");
    }
    wait_kept(&w, HTTP_CONNECTIONS_MAX);
    p = (struct pollfd){.fd = dial(&w), .events = POLLIN};
    send_request(&w, p.fd, "GET /plain", "Connection: close\r\n");
    assert_int_equal(poll(&p, 1, 300), 0);
    added_us += HTTP_ANSWER_US / 2 + 1;
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        (void)read_all(fds[i], answer, sizeof(answer));
        expect_begin(answer, "HTTP/1.1 503 Service Unavailable\r\n");
        (void)close(fds[i]);
    }
    (void)read_all(p.fd, answer, sizeof(answer));
    expect_in(answer, "\r\n\r\nplain\n");
    (void)close(p.fd);
    end(&w);
}

/* HTTP-4: also those that ask and do not read. */
static void http__who_does_not_read_makes_room(void **state)
{
    struct world w;
    struct pollfd fds[HTTP_CONNECTIONS_MAX];
    char answer[4096];
    struct pollfd p;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = (struct pollfd){.fd = dial(&w), .events = POLLIN};
        send_request(&w, fds[i].fd, "GET /big", "");
        assert_int_equal(poll(&fds[i], 1, 20000), 1);
    }
    p = (struct pollfd){.fd = dial(&w), .events = POLLIN};
    send_request(&w, p.fd, "GET /plain", "Connection: close\r\n");
    assert_int_equal(poll(&p, 1, 300), 0);
    added_us += HTTP_UNREAD_US + 1;
    assert_int_equal(poll(&p, 1, 5000), 1); /* long before the others' time is over */
    (void)read_all(p.fd, answer, sizeof(answer));
    expect_in(answer, "\r\n\r\nplain\n");
    (void)close(p.fd);
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        (void)close(fds[i].fd);
    end(&w);
}

/* HTTP-5 */
static void http__who_drips_is_closed_all_the_same(void **state)
{
    struct world w;
    int fd;
    struct pollfd p;

    (void)state;
    begin(&w);
    fd = dial(&w);
    p = (struct pollfd){fd, POLLIN, 0};
    send_text(fd, "GET /plain HTTP/1.1\r\n");
    for (unsigned i = 0; poll(&p, 1, 20) == 0; i++) {
        (void)send(fd, "X: y\r\n", 6, MSG_NOSIGNAL);
        added_us += HTTP_FIRST_US / 20;
        assert_true(i < 1000);
    }
    assert_true(is_closed(fd));
    (void)close(fd);
    end(&w);
}

static void http__a_connection_without_a_next_request_is_closed(void **state)
{
    struct world w;
    char answer[4096];
    struct pollfd p;
    int fd;

    (void)state;
    begin(&w);
    fd = dial(&w);
    send_request(&w, fd, "GET /plain", "");
    read_one(fd, answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    added_us += HTTP_FIRST_US + 1000000;
    send_request(&w, fd, "GET /plain", ""); /* it has more time for this one */
    read_one(fd, answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    p = (struct pollfd){fd, POLLIN, 0};
    for (unsigned i = 0; poll(&p, 1, 20) == 0; i++) {
        added_us += HTTP_NEXT_US / 20;
        assert_true(i < 1000); /* 20 s: libevent has a time of its own, which is longer */
    }
    assert_true(is_closed(fd));
    (void)close(fd);
    end(&w);
}

static void http__who_does_not_read_is_closed(void **state)
{
    struct world w;
    char answer[4096];
    int fd;
    size_t n;
    const uint64_t patience_us = real_us() + 20000000u;

    (void)state;
    begin(&w);
    fd = dial(&w);
    send_request(&w, fd, "GET /big", "Connection: close\r\n");
    ask(&w, "GET /plain", "", answer, sizeof(answer)); /* by then it has been answered */
    added_us += HTTP_ANSWER_US + 1000000;
    ask(&w, "GET /plain", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    /* Not before the server has looked: then there is less to read than was asked for. */
    do {
        ask(&w, "GET /expired", "", answer, sizeof(answer));
        assert_true(real_us() < patience_us);
    } while (strstr(answer, "\r\n\r\n0\n") != NULL);
    n = read_all(fd, answer, sizeof(answer));
    assert_true(n < BIG_BYTES);
    (void)close(fd);
    /* And whoever reads gets all of it. */
    fd = dial(&w);
    send_request(&w, fd, "GET /big", "Connection: close\r\n");
    assert_true(read_all(fd, answer, sizeof(answer)) > BIG_BYTES);
    (void)close(fd);
    end(&w);
}

/* HTTP-4: no more of it is taken in than sockets hold. */
static void http__who_sends_on_and_does_not_read_costs_no_memory(void **state)
{
    static char chunk[65536];
    static const char plain[] = "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const size_t much = 64u << 20;
    struct world w;
    char answer[4096];
    struct pollfd pfd;
    size_t sent = 0;
    int fd;

    (void)state;
    begin(&w);
    fd = dial(&w);
    send_request(&w, fd, "GET /big", "");
    ask(&w, "GET /plain", "", answer, sizeof(answer)); /* by then it has been answered */
    for (size_t i = 0; i < sizeof(chunk); i++)
        chunk[i] = plain[i % (sizeof(plain) - 1)];
    pfd = (struct pollfd){.fd = fd, .events = POLLOUT};
    while (sent < much && poll(&pfd, 1, 500) == 1) {
        const ssize_t n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL | MSG_DONTWAIT);

        assert_true(n > 0 || errno == EAGAIN);
        if (n > 0)
            sent += (size_t)n;
    }
    assert_true(sent < much);
    (void)close(fd);
    /* Others are answered. */
    ask(&w, "GET /plain", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    end(&w);
}

static void http__a_loop_that_stands_is_told(void **state)
{
    struct world w;
    char answer[4096];
    const uint64_t from_us = real_us();

    (void)state;
    begin(&w);
    atomic_store(&w.loop_stands, true);
    ask(&w, "GET /fact", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_in(answer, "this node's loop has not turned for 3.2 s");
    assert_true(real_us() - from_us >= HTTP_LOOP_US);
    ask(&w, "GET /ready", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_in(answer, "\r\n\r\nlate\n");
    /* What needs it not is there. */
    ask(&w, "GET /plain", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    atomic_store(&w.loop_stands, false);
    ask(&w, "GET /fact", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 200 OK\r\n");
    /* Where there is none nobody waits. */
    atomic_store(&w.absent, true);
    ask(&w, "GET /fact", "", answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_in(answer, "this node is starting\n");
    end(&w);
}

/* Whoever waits for the loop when the end comes is told so. */
static void http__ends_with_all_that_is_under_way(void **state)
{
    struct world w;
    char answer[4096];
    int fds[3];

    (void)state;
    begin(&w);
    atomic_store(&w.loop_stands, true);
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = dial(&w);
        send_request(&w, fds[i], i == 0 ? "GET /fact" : i == 1 ? "GET /later" : "GET /big", "");
    }
    wait_kept(&w, 1);
    ask(&w, "GET /plain", "", answer, sizeof(answer));
    end(&w);
    assert_int_equal(w.n_gone, 1);
    (void)read_all(fds[0], answer, sizeof(answer));
    expect_in(answer, "this node is stopping\n");
    for (unsigned i = 0; i < 3; i++)
        (void)close(fds[i]);
}

static void http__who_answers_late_is_told_when_it_is_too_late(void **state)
{
    struct world w;
    char answer[4096];
    int fd;

    (void)state;
    begin(&w);
    fd = dial(&w);
    send_request(&w, fd, "GET /later", "Connection: close\r\n");
    wait_kept(&w, 1);
    added_us += HTTP_ANSWER_US / 2 + 1;
    (void)read_all(fd, answer, sizeof(answer));
    expect_begin(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_in(answer, "Content-Security-Policy: default-src 'self'\r\n");
    assert_int_equal(w.n_gone, 1);
    (void)close(fd);
    end(&w);
}

/* HTTP-1 */
static void http__listens_on_loopback_only(void **state)
{
    static const char *const others[] = {"10.0.0.1:7402", "0.0.0.0:7402", "[::]:7402",
                                         "example.org:7402", "nonsense"};
    const struct http_ops ops = {.silent_us = silent_us, .absent = absent};
    struct board *board = NULL;
    struct http *h = NULL;

    (void)state;
    assert_int_equal(board_new(2, &board), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const struct http_conf conf = {
            .addr = others[i], .hosts = "", .handlers = handlers, .n_handlers = 1, .board = board};

        assert_int_equal(http_new(&conf, &ops, &h), -EINVAL);
        assert_non_null(strstr(err_text(), "not of loopback"));
    }
    board_free(board);
}

static void http__a_taken_port_is_said(void **state)
{
    struct world w;
    const struct http_ops ops = {.silent_us = silent_us, .absent = absent};
    struct http_conf conf = {.hosts = "", .handlers = handlers, .n_handlers = 1};
    struct http *h = NULL;
    char addr[32];

    (void)state;
    begin(&w);
    (void)snprintf(addr, sizeof(addr), "localhost:%u", w.port);
    conf.addr = addr;
    conf.board = w.board;
    assert_int_equal(http_new(&conf, &ops, &h), -EADDRINUSE);
    assert_non_null(strstr(err_text(), "ss -ltnp"));
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http__is_called_by_names_of_loopback_only),
        cmocka_unit_test(http__wants_one_host),
        cmocka_unit_test(http__refuses_in_an_order_that_tells_strangers_nothing),
        cmocka_unit_test(http__paths_are_as_they_stand),
        cmocka_unit_test(http__parameters_are_what_the_page_knows),
        cmocka_unit_test(http__answers_with_what_keeps_browsers_out),
        cmocka_unit_test(http__asks_the_loop),
        cmocka_unit_test(http__a_head_has_no_body),
        cmocka_unit_test(http__other_methods_are_told_which_there_are),
        cmocka_unit_test(http__a_foreign_name_gets_nothing),
        cmocka_unit_test(http__the_first_version_is_answered_and_closed),
        cmocka_unit_test(http__rubbish_ends_a_connection_and_nothing_else),
        cmocka_unit_test(http__heads_and_bodies_are_bounded),
        cmocka_unit_test(http__requests_in_a_row_are_answered_in_order),
        cmocka_unit_test(http__many_idle_connections_keep_nobody_out),
        cmocka_unit_test(http__nobody_is_taken_while_all_are_being_answered),
        cmocka_unit_test(http__who_does_not_read_makes_room),
        cmocka_unit_test(http__who_drips_is_closed_all_the_same),
        cmocka_unit_test(http__a_connection_without_a_next_request_is_closed),
        cmocka_unit_test(http__who_does_not_read_is_closed),
        cmocka_unit_test(http__who_sends_on_and_does_not_read_costs_no_memory),
        cmocka_unit_test(http__a_loop_that_stands_is_told),
        cmocka_unit_test(http__ends_with_all_that_is_under_way),
        cmocka_unit_test(http__who_answers_late_is_told_when_it_is_too_late),
        cmocka_unit_test(http__listens_on_loopback_only),
        cmocka_unit_test(http__a_taken_port_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
