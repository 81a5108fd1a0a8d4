/* Who may do what by TLS: secrets that were derived for clients, the cluster's own, tokens; and how
 * long an open connection keeps what it had. The client here is a socket and a stream of TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "tls/tls.h"

#include "base/banned.h"

/* ---- a client ---- */

struct tls_client {
    int fd;
    struct tls_ctx *ctx;
    struct tls_stream *stream;
    char reply[4096];
};

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    assert_int_equal(poll(&p, 1, 20000), 1);
}

static int connect_to(uint16_t port)
{
    const struct sockaddr_in in = {.sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* With this one secret: the cluster's, or one that was derived of it. */
static struct tls_client *tls_open(uint16_t port, const struct tls_secret *secret)
{
    const struct tls_secrets secrets = {.n = 1, .of = {*secret}};
    const struct tls_conf conf = {.use = TLS_CLIENTS, .cluster = "test", .secrets = &secrets};
    struct tls_client *cl = calloc(1, sizeof(*cl));
    int rc;

    assert_non_null(cl);
    cl->fd = connect_to(port);
    assert_int_equal(tls_ctx_new(&conf, &cl->ctx), 0);
    assert_int_equal(tls_stream_new(cl->ctx, TLS_DIAL, cl->fd, "127.0.0.1", &cl->stream), 0);
    while ((rc = tls_shake(cl->stream)) > 0)
        wait_for(cl->fd, rc == TLS_WANT_READ ? POLLIN : POLLOUT);
    if (rc != 0)
        harness_fail("no handshake: %s", tls_stream_why(cl->stream));
    return cl;
}

static void tls_close(struct tls_client *cl)
{
    tls_stream_free(cl->stream);
    tls_ctx_unref(cl->ctx);
    (void)close(cl->fd);
    free(cl);
}

/* The reply, without its newline; valid until the next question. */
static const char *ask(struct tls_client *cl, const char *line)
{
    size_t len = 0;

    assert_int_equal(tls_send(cl->stream, line, strlen(line)), strlen(line));
    assert_int_equal(tls_send(cl->stream, "\n", 1), 1);
    do {
        const ssize_t n = tls_recv(cl->stream, cl->reply + len, sizeof(cl->reply) - 1 - len);

        if (n < 0 && errno == EAGAIN)
            wait_for(cl->fd, POLLIN);
        else if (n <= 0)
            harness_fail("no reply to %s: %s", line, tls_stream_why(cl->stream));
        len += n > 0 ? (size_t)n : 0;
    } while (len == 0 || cl->reply[len - 1] != '\n');
    cl->reply[len - 1] = '\0';
    return cl->reply;
}

static void expect(struct tls_client *cl, const char *line, const char *part)
{
    const char *got = ask(cl, line);

    if (strstr(got, part) == NULL)
        harness_fail("%s: %s instead of %s", line, got, part);
}

/* ---- a node ---- */

struct world {
    struct cluster *c;
    uint16_t port; /* by TLS */
    char secret_file[300];
    struct tls_secret own;
    char conf[1500];
};

static void say(struct world *w, const char *access)
{
    (void)snprintf(w->conf, sizeof(w->conf),
                   "listen = tls://127.0.0.1:%u\n[security]\nsecret_file = %s\n[access]\n"
                   "all = read any prefix pub/\n%s",
                   w->port, w->secret_file, access);
    cluster_write_conf(w->c, "test", w->conf);
}

static void make_secret(struct world *w)
{
    struct tls_secrets secrets;

    assert_int_equal(tls_secret_make(w->secret_file), 0);
    assert_int_equal(tls_secrets_read(w->secret_file, &secrets), 0);
    w->own = secrets.of[0];
}

/* What the harness asks it does by TCP. */
static void up_with(struct world *w, const char *access)
{
    char plain[sizeof(w->c->nodes[0].addr)];

    w->c = cluster_new(1, "[http]\n");
    w->port = w->c->nodes[0].http_port;
    w->c->nodes[0].http_port = 0;
    (void)snprintf(plain, sizeof(plain), "tcp://127.0.0.1:%u", w->c->nodes[0].port);
    memcpy(w->c->nodes[0].addr, plain, sizeof(plain));
    (void)snprintf(w->secret_file, sizeof(w->secret_file), "%s/secret", w->c->dir);
    make_secret(w);
    say(w, access);
    cluster_init(w->c);
    cluster_start(w->c);
}

static void reload(struct world *w, const char *access)
{
    const unsigned before = node_log_lines(w->c, 0, "event=access_taken", NULL);

    say(w, access);
    node_signal(w->c, 0, SIGHUP);
    wait_until(node_log_lines(w->c, 0, "event=access_taken", NULL) > before, "the new lines");
}

static struct tls_client *open_as(const struct world *w, const char *name)
{
    struct tls_secret derived;

    assert_int_equal(tls_secret_derive(&w->own, "test", name, &derived), 0);
    return tls_open(w->port, &derived);
}

#define WRITE(key) "{\"type\":\"write\",\"key\":\"" key "\",\"value\":1}"
#define REMOVE     "{\"type\":\"member_remove\",\"id\":\"n1\",\"dry_run\":true}"
#define MAY        "\"precondition_failed\"" /* the last voter stays */

/* ---- cases ---- */

/* Each by its own kind (ACCESS-13), and what they do is told with who they are (ACCESS-11). */
CASE(access_tls__by_secret)
{
    struct world w;
    struct tls_client *cl;
    struct client *plain;

    up_with(&w, "ops = admin secret ops\napp = write secret app prefix app/\n");
    cl = open_as(&w, "ops");
    expect(cl, REMOVE, MAY);
    tls_close(cl);
    wait_until(node_log_lines(w.c, 0,
                              "event=access_admin who='secret ops (ops)' identity=secret "
                              "address=127.0.0.1:",
                              "request=member_remove names='id=n1 dry_run=yes'") == 1,
               "what an admin did");
    cl = open_as(&w, "app");
    expect(cl, WRITE("app/x"), "\"write_ok\"");
    expect(cl, WRITE("k"), "has it for keys that begin with 'app/' alone");
    expect(cl, REMOVE, "\"identity\":\"secret app (app)\"");
    tls_close(cl);
    cl = open_as(&w, "other"); /* as everybody */
    expect(cl, "{\"type\":\"ping\"}", "\"pong\"");
    expect(cl, "{\"type\":\"read_index\",\"key\":\"app/x\"}", "\"identity\":\"secret other\"");
    tls_close(cl);
    cl = tls_open(w.port, &w.own);
    expect(cl, REMOVE, MAY);
    tls_close(cl);
    plain = client_open(w.c, 0);
    client_expect(plain, WRITE("app/x"), "{\"type\":\"error\",<*>\"identity\":\"nobody (TCP)\"}");
    client_close(plain);
    cluster_free(w.c);
}

/* ACCESS-12 */
CASE(access_tls__by_token)
{
    char token[TLS_TOKEN_TEXT_BYTES + 1];
    char hash[65];
    char line[300];
    char auth[200];
    struct world w;
    struct tls_client *cl;

    assert_int_equal(tls_token_make(token, hash), 0);
    (void)snprintf(line, sizeof(line), "bot = write token %s prefix bot/\n", hash);
    (void)snprintf(auth, sizeof(auth), "{\"type\":\"auth\",\"token\":\"%s\"}", token);
    up_with(&w, line);
    cl = open_as(&w, "ci");
    expect(cl, WRITE("bot/x"), "\"error\":\"denied\"");
    expect(cl, "{\"type\":\"auth\",\"token\":\"ridd_00\"}", "\"error\":\"denied\"");
    expect(cl, auth,
           "{\"type\":\"auth_ok\",\"identity\":\"secret ci, token bot\",\"role\":\"write\"}");
    expect(cl, WRITE("bot/x"), "\"write_ok\"");
    expect(cl, WRITE("k"), "\"error\":\"denied\"");
    reload(&w, "");
    expect(cl, WRITE("bot/x"), "token that [access] knows no more has 'read'");
    reload(&w, line);
    expect(cl, WRITE("bot/x"), "\"write_ok\"");
    tls_close(cl);
    cl = open_as(&w, "ci"); /* it was of that connection */
    expect(cl, WRITE("bot/x"), "\"error\":\"denied\"");
    tls_close(cl);
    assert_int_equal(node_log_lines(w.c, 0, token + 5, NULL), 0);
    assert_int_equal(node_log_lines(w.c, 0, hash, NULL), 0);
    cluster_free(w.c);
}

/* Whoever has a secret that was taken away is nobody, however long the connection stands
 * (ACCESS-15). */
CASE(access_tls__a_secret_that_is_taken_away)
{
    struct world w;
    struct tls_client *own;
    struct tls_client *ops;

    up_with(&w, "ops = admin secret ops\n");
    own = tls_open(w.port, &w.own);
    ops = open_as(&w, "ops");
    expect(own, REMOVE, MAY);
    expect(ops, REMOVE, MAY);
    assert_int_equal(unlink(w.secret_file), 0);
    make_secret(&w);
    reload(&w, "ops = admin secret ops\n");
    expect(own, REMOVE, "\"identity\":\"nobody (TLS, without a certificate or secret)\"");
    expect(ops, REMOVE, "\"identity\":\"nobody (TLS, without a certificate or secret)\"");
    tls_close(ops);
    ops = open_as(&w, "ops");
    expect(ops, REMOVE, MAY);
    tls_close(ops);
    tls_close(own);
    cluster_free(w.c);
}

/* The id of a new session. */
static void open_session(struct tls_client *cl, char *ret, size_t size)
{
    const char *got = ask(cl, "{\"type\":\"open_session\"}");
    const char *id = strstr(got, "\"client\":\"");

    if (id == NULL)
        harness_fail("no session: %s", got);
    id += strlen("\"client\":\"");
    (void)snprintf(ret, size, "%.*s", (int)strcspn(id, "\""), id);
}

static void expect_in(struct tls_client *cl, const char *session, const char *key, unsigned seq,
                      const char *part)
{
    char line[300];

    (void)snprintf(line, sizeof(line),
                   "{\"type\":\"write\",\"key\":\"%s\",\"value\":%u,\"client\":\"%s\",\"seq\":%u}",
                   key, seq, session, seq);
    expect(cl, line, part);
}

/* Nobody takes a number in the session of somebody else, whose next write would be answered and not
 * applied (ACCESS-16). */
CASE(access_tls__a_session_is_its_clients_own)
{
    struct tls_client *app1;
    struct tls_client *app2;
    char session[64];
    char number[64];
    struct world w;

    up_with(&w, "app1 = write secret app1 prefix a1/\napp2 = write secret app2 prefix a2/\n");
    app1 = open_as(&w, "app1");
    app2 = open_as(&w, "app2");
    open_session(app1, session, sizeof(session));
    (void)snprintf(number, sizeof(number), "%.*s", (int)strlen(session) - 20, session);
    expect_in(app1, session, "a1/x", 1, "\"write_ok\"");
    expect_in(app2, session, "a2/x", 2, "\"session_expired\"");
    expect_in(app2, number, "a2/x", 2, "\"session_expired\"");
    tls_close(app1);
    app1 = open_as(&w, "app1"); /* its own, whichever connection it has */
    expect_in(app1, session, "a1/x", 2, "\"write_ok\"");
    expect(app1, "{\"type\":\"read_index\",\"key\":\"a1/x\"}", "\"value\":2");
    open_session(app2, session, sizeof(session));
    expect_in(app2, session, "a2/x", 1, "\"write_ok\"");
    tls_close(app1);
    tls_close(app2);
    cluster_free(w.c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(access_tls__by_secret),
        HARNESS_TEST(access_tls__by_token),
        HARNESS_TEST(access_tls__a_session_is_its_clients_own),
        HARNESS_TEST(access_tls__a_secret_that_is_taken_away),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
