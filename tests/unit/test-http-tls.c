/* http by TLS: who is asked who they are, what they are told, and who cannot even ask. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "temp-folder.h"

#include "base/err.h"
#include "fake-certs.h"
#include "http/http.h"

static const char *folder;

static int make_certs(void **state)
{
    (void)state;
    folder = temp_folder_new("http-tls");
    fake_certs_make(folder, "c1");
    return 0;
}

/* ---- the server ---- */

struct world {
    struct http *http;
    struct board *board;
    unsigned port;
    struct tls_ctx *tls;
};

static void answer(void *ctx, struct http_call *call, const struct buf *facts)
{
    (void)ctx;
    (void)facts;
    http_reply_text(call, 200, "seen");
}

static const struct http_handler handlers[] = {
    {.page = {.path = "/probe", .what = "A probe."},
     .kind = HTTP_ASKS_NOTHING,
     .open = true,
     .answer = answer},
    {.page = {.path = "/page", .what = "A page."}, .kind = HTTP_ASKS_NOTHING, .answer = answer},
};

/* As a node would: app1 and who has the cluster's secret may, the holder of one token, too. */
static int may(void *ctx, const struct tls_identity *id, const char *token, char *ret_why,
               size_t size)
{
    (void)ctx;
    if (token != NULL && strcmp(token, "good") == 0)
        return 200;
    if (tls_identity_has(id, "app1.example.org") || id->kind == TLS_SECRET)
        return 200;
    (void)snprintf(ret_why, size, "who are you?");
    return id->kind == TLS_NOBODY && token == NULL ? 401 : 403;
}

static uint64_t silent_us(void *ctx)
{
    (void)ctx;
    return 0;
}

static const char *absent(void *ctx)
{
    (void)ctx;
    return NULL;
}

static struct tls_ctx *context(const char *name, const char *ca, const struct tls_secrets *secrets)
{
    char cert[128];
    char key[128];
    char authorities[128];
    struct tls_conf conf = {.use = TLS_CLIENTS, .cluster = "c1", .secrets = secrets};
    struct tls_ctx *c = NULL;

    (void)snprintf(cert, sizeof(cert), "%s/%s.pem", folder, name);
    (void)snprintf(key, sizeof(key), "%s/%s.key", folder, name);
    (void)snprintf(authorities, sizeof(authorities), "%s/%s.pem", folder, ca);
    if (name != NULL) {
        conf.cert_file = cert;
        conf.key_file = key;
    }
    if (ca != NULL)
        conf.ca_file = authorities;
    if (tls_ctx_new(&conf, &c) != 0)
        fail_msg("no context: %s", err_text());
    return c;
}

static unsigned some_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)close(fd);
    return ntohs(in.sin_port);
}

static void begin(struct world *w, const struct tls_secrets *secrets)
{
    const struct http_ops ops = {.may = may, .silent_us = silent_us, .absent = absent};
    char addr[64];
    struct http_conf conf = {.addr = addr, .hosts = "", .handlers = handlers, .n_handlers = 2};

    assert_int_equal(board_new(1, &w->board), 0);
    w->tls = context("server", "ca", secrets);
    conf.board = w->board;
    conf.tls = w->tls;
    do {
        w->port = some_port();
        (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", w->port);
    } while (http_new(&conf, &ops, &w->http) != 0);
}

static void end(struct world *w)
{
    http_free(w->http);
    board_free(w->board);
    tls_ctx_unref(w->tls);
}

/* ---- who asks ---- */

static int dial(const struct world *w)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)w->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* The socket waits, so that each call does what it can. false: refused, and err_text() says why. */
static bool open_stream(const struct world *w, struct tls_ctx *ctx, struct tls_stream **ret,
                        int *ret_fd)
{
    *ret_fd = dial(w);
    assert_int_equal(tls_stream_new(ctx, TLS_DIAL, *ret_fd, "localhost", ret), 0);
    return tls_shake(*ret) == TLS_DONE;
}

static void close_stream(struct tls_stream *s, int fd)
{
    tls_stream_free(s);
    (void)close(fd);
}

static void send_request(struct tls_stream *s, const char *path, const char *more)
{
    char text[512];
    const int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: any.name\r\n%s\r\n",
                             path, more != NULL ? more : "");

    assert_int_equal(tls_send(s, text, (size_t)len), len);
}

/* Head and body of one answer. */
static void read_answer(struct tls_stream *s, char *ret, size_t size)
{
    size_t len = 0;
    const char *body;
    const char *length;

    for (;;) {
        const ssize_t n = tls_recv(s, ret + len, size - len - 1);

        if (n <= 0)
            fail_msg("no answer: %s", tls_stream_why(s));
        len += (size_t)n;
        ret[len] = '\0';
        body = strstr(ret, "\r\n\r\n");
        length = strstr(ret, "Content-Length: ");
        if (body != NULL && length != NULL && strlen(body + 4) >= strtoul(length + 16, NULL, 10))
            return;
    }
}

static void ask(struct tls_stream *s, const char *path, const char *more, char *ret, size_t size)
{
    send_request(s, path, more);
    read_answer(s, ret, size);
}

static void expect(const char *got, const char *status, const char *text)
{
    if (strncmp(got, "HTTP/1.1 ", 9) != 0 || strncmp(got + 9, status, 3) != 0 ||
        strstr(got, text) == NULL)
        fail_msg("wanted %s and '%s', got: %s", status, text, got);
}

/* ---- cases ---- */

/* Whoever is nobody sees the probe, and does not learn what else there is (HTTP-9). */
static void http_tls__a_stranger_sees_the_probe_alone(void **state)
{
    struct world w;
    struct tls_ctx *ctx = context(NULL, "ca", NULL);
    struct tls_stream *s;
    char page[2000];
    char nowhere[2000];
    int fd;

    (void)state;
    begin(&w, NULL);
    assert_true(open_stream(&w, ctx, &s, &fd));
    ask(s, "/probe", NULL, page, sizeof(page));
    expect(page, "200", "seen");
    ask(s, "/page", NULL, page, sizeof(page));
    expect(page, "401", "WWW-Authenticate: Bearer");
    ask(s, "/nowhere", NULL, nowhere, sizeof(nowhere));
    expect(nowhere, "401", "who are you?");
    assert_null(strstr(nowhere, "/page"));
    ask(s, "/page", "Authorization: Bearer bad\r\n", page, sizeof(page));
    expect(page, "403", "who are you?");
    ask(s, "/page", "Authorization: Basic good\r\n", page, sizeof(page));
    expect(page, "403", "who are you?");
    ask(s, "/page", "Authorization: Bearer good\r\nAuthorization: Bearer bad\r\n", page,
        sizeof(page));
    expect(page, "403", "who are you?");
    close_stream(s, fd);
    tls_ctx_unref(ctx);
    end(&w);
}

static void http_tls__who_may_sees_it_by_any_of_three_ways(void **state)
{
    struct tls_secrets secrets = {.n = 1, .of = {{.len = TLS_SECRET_BYTES_MIN}}};
    struct world w;
    struct tls_ctx *const ctx[] = {context("client", "ca", NULL), context(NULL, NULL, &secrets),
                                   context(NULL, "ca", NULL)};
    static const char *const more[] = {NULL, NULL, "Authorization: Bearer good\r\n"};

    (void)state;
    begin(&w, &secrets);
    for (unsigned i = 0; i < 3; i++) {
        struct tls_stream *s;
        char page[2000];
        int fd;

        if (!open_stream(&w, ctx[i], &s, &fd))
            fail_msg("way %u: %s", i, err_text());
        for (unsigned again = 0; again < 3; again++) {
            ask(s, "/page", more[i], page, sizeof(page));
            expect(page, "200", "seen");
        }
        ask(s, "/nowhere", more[i], page, sizeof(page));
        expect(page, "404", "/page");
        close_stream(s, fd);
        tls_ctx_unref(ctx[i]);
    }
    end(&w);
}

/* A context that is taken at a reload is for those who come then; who is there stays. */
static void http_tls__takes_another_context(void **state)
{
    struct world w;
    struct tls_ctx *ctx = context(NULL, "ca", NULL);
    struct tls_ctx *fresh;
    struct tls_stream *old;
    struct tls_stream *s;
    char page[2000];
    int fds[2];

    (void)state;
    begin(&w, NULL);
    assert_true(open_stream(&w, ctx, &old, &fds[0]));
    ask(old, "/probe", NULL, page, sizeof(page));
    fresh = context("other", "ca", NULL);
    http_set_tls(w.http, fresh);
    tls_ctx_unref(fresh);
    ask(old, "/probe", NULL, page, sizeof(page));
    expect(page, "200", "seen");
    assert_false(open_stream(&w, ctx, &s, &fds[1]));
    assert_non_null(strstr(err_text(), "its certificate is not accepted"));
    close_stream(old, fds[0]);
    close_stream(s, fds[1]);
    tls_ctx_unref(ctx);
    end(&w);
}

/* Plain text to this port, silence, half a handshake: it goes on answering others. */
static void http_tls__goes_on_after_what_is_no_tls(void **state)
{
    static const char *const rubbish[] = {"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n", "",
                                          "\x16\x03\x01\x02", "\x80\x00\x00\x00\x00"};
    struct world w;
    struct tls_ctx *ctx = context("client", "ca", NULL);
    struct tls_stream *s;
    char page[2000];
    char byte;
    int fds[4];
    int fd;

    (void)state;
    begin(&w, NULL);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = dial(&w);
        if (rubbish[i][0] != '\0')
            assert_true(write(fds[i], rubbish[i], strlen(rubbish[i])) > 0);
    }
    /* Nothing of a page comes back in the clear: an alert at most, then the end. */
    while (read(fds[0], &byte, 1) > 0)
        assert_int_not_equal(byte, 'H');
    assert_true(open_stream(&w, ctx, &s, &fd));
    ask(s, "/page", NULL, page, sizeof(page));
    expect(page, "200", "seen");
    close_stream(s, fd);
    for (unsigned i = 0; i < 4; i++)
        (void)close(fds[i]);
    tls_ctx_unref(ctx);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_tls__a_stranger_sees_the_probe_alone),
        cmocka_unit_test(http_tls__who_may_sees_it_by_any_of_three_ways),
        cmocka_unit_test(http_tls__takes_another_context),
        cmocka_unit_test(http_tls__goes_on_after_what_is_no_tls),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_certs, NULL);
}
