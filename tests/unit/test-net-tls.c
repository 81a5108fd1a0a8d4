/* net: the client port by TLS on real sockets: handshakes and their limits, lines over records, what
 * makes nothing readable, ends that somebody may have cut, new keys over and over. */
#include "test-net-util.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "base/err.h"
#include "base/limits.h"
#include "fake-certs.h"
#include "net/client_port.h"
#include "net/net_int.h"
#include "temp-folder.h"

#define RECORD_BYTES 16384u

struct host {
    struct pump pump;
    struct client_port *port;
    struct buf lines; /* "number:line\n" of each line handed up */
    unsigned n_lines;
    unsigned n_opened;
    unsigned n_closed;
    unsigned n_failed;
    unsigned n_refused;
    char why[128];
    char failed_why[TLS_WHY_BYTES];
    char failed_address[128];
    struct client_conn *last;
    struct client_conn *held[64];
    unsigned n_held;
    unsigned n_too_long;
    bool expects_too_long;
    bool hold;           /* keep each line owed */
    size_t answer_bytes; /* answer each line at once with so much */
    bool free_in_opened;
    bool free_in_failed;
};

static void answer(struct client_conn *c, size_t bytes)
{
    struct buf *out = client_conn_out(c);
    char *p;

    if (out == NULL)
        return;
    p = buf_reserve(out, bytes);
    assert_non_null(p);
    memset(p, 'r', bytes - 1);
    p[bytes - 1] = '\n';
    out->len += bytes;
}

static bool on_line(void *ctx, struct client_conn *c, const char *line, size_t len,
                    uint64_t line_no)
{
    struct host *h = ctx;

    assert_int_equal(buf_add_format(&h->lines, "%llu:", (unsigned long long)line_no), 0);
    assert_int_equal(buf_add(&h->lines, line, len), 0);
    assert_int_equal(buf_add_u8(&h->lines, '\n'), 0);
    h->n_lines++;
    if (h->hold) {
        assert_true(h->n_held < sizeof(h->held) / sizeof(h->held[0]));
        h->held[h->n_held++] = c;
        client_conn_hold(c);
    }
    if (h->answer_bytes > 0)
        answer(c, h->answer_bytes);
    return false;
}

static void on_too_long(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct host *h = ctx;

    (void)c;
    (void)line_no;
    assert_true(h->expects_too_long);
    h->n_too_long++;
}

static void on_foreign(void *ctx, struct client_conn *c, uint64_t line_no, enum wire_foreign what)
{
    (void)ctx;
    (void)line_no;
    (void)what;
    assert_int_equal(buf_add_str(client_conn_out(c), "foreign\n"), 0);
}

static void on_overloaded(void *ctx, struct client_conn *c, uint64_t line_no)
{
    (void)ctx;
    (void)c;
    (void)line_no;
    fail();
}

static void on_refused(void *ctx, struct buf *out, unsigned limit, bool of_host)
{
    struct host *h = ctx;

    (void)limit;
    (void)of_host;
    h->n_refused++;
    assert_int_equal(buf_add_str(out, "busy\n"), 0);
}

static void free_port(struct host *h)
{
    struct client_port *p = h->port;

    h->port = NULL;
    client_port_free(p);
}

static void on_handshake_failed(void *ctx, const char *address, const char *why)
{
    struct host *h = ctx;

    h->n_failed++;
    (void)snprintf(h->failed_address, sizeof(h->failed_address), "%s", address);
    (void)snprintf(h->failed_why, sizeof(h->failed_why), "%s", why);
    if (h->free_in_failed)
        free_port(h);
}

static void on_opened(void *ctx, struct client_conn *c)
{
    struct host *h = ctx;

    h->n_opened++;
    h->last = c;
    if (h->free_in_opened)
        free_port(h);
}

static void on_closed(void *ctx, struct client_conn *c, const char *why)
{
    struct host *h = ctx;

    (void)c;
    h->n_closed++;
    (void)snprintf(h->why, sizeof(h->why), "%s", why);
}

static void turn(void *ctx)
{
    struct host *h = ctx;

    if (h->port != NULL)
        client_port_flush(h->port);
}

static const struct client_port_conf small = {.request_bytes = 100, .in_flight = 4};

/* ---- what both sides have ---- */

static struct tls_secret secret_of(unsigned char of)
{
    struct tls_secret s = {.len = TLS_SECRET_BYTES_MIN};

    memset(s.bytes, of, s.len);
    return s;
}

static struct tls_ctx *ctx_of(const struct tls_secret *s)
{
    const struct tls_secrets secrets = {.n = 1, .of = {*s}};
    const struct tls_conf conf = {.use = TLS_CLIENTS, .cluster = "c", .secrets = &secrets};
    struct tls_ctx *c;

    assert_int_equal(tls_ctx_new(&conf, &c), 0);
    return c;
}

/* Of the cluster's own. */
static struct tls_ctx *ctx_of_cluster(unsigned char of)
{
    const struct tls_secret s = secret_of(of);

    return ctx_of(&s);
}

static struct tls_ctx *ctx_of_client(unsigned char of, const char *name)
{
    const struct tls_secret s = secret_of(of);
    struct tls_secret derived;

    assert_int_equal(tls_secret_derive(&s, "c", name, &derived), 0);
    return ctx_of(&derived);
}

/* ---- the port ---- */

/* Owns tls. strict: lines are looked at whether they are ours. */
static void host_open_as(struct host *h, const struct client_port_conf *conf, struct tls_ctx *tls,
                         bool strict)
{
    const struct client_port_ops ops = {.ctx = h,
                                        .on_line = on_line,
                                        .on_too_long = on_too_long,
                                        .on_foreign = strict ? on_foreign : NULL,
                                        .on_overloaded = on_overloaded,
                                        .on_refused = on_refused,
                                        .on_handshake_failed = on_handshake_failed,
                                        .on_opened = on_opened,
                                        .on_closed = on_closed};

    memset(h, 0, sizeof(*h));
    pump_init(&h->pump, turn, h);
    assert_int_equal(client_port_new(h->pump.base, "127.0.0.1:0", true, conf, &ops, &h->port), 0);
    client_port_set_tls(h->port, tls);
    tls_ctx_unref(tls);
}

static void host_open(struct host *h, const struct client_port_conf *conf)
{
    host_open_as(h, conf, ctx_of_cluster(1), false);
}

static void host_open_strict(struct host *h)
{
    host_open_as(h, &small, ctx_of_cluster(1), true);
}

static void host_take_down(struct host *h)
{
    if (h->pump.base == NULL)
        return;
    client_port_free(h->port);
    h->port = NULL;
    for (unsigned i = 0; i < h->n_held; i++)
        client_conn_release(h->held[i]);
    h->n_held = 0;
    buf_done(&h->lines);
    pump_done(&h->pump);
}

static void host_close(struct host *h)
{
    client_port_free(h->port);
    h->port = NULL;
    assert_int_equal(h->n_closed, h->n_opened);
    host_take_down(h);
}

static int case_setup(void **state)
{
    static struct host host;

    memset(&host, 0, sizeof(host));
    before_case_note();
    *state = &host;
    return 0;
}

static int case_teardown(void **state)
{
    struct host *h = *state;
    const bool ended = h->pump.base == NULL;
    unsigned n_left;

    host_take_down(h);
    n_left = after_case_sweep();
    if (ended && n_left > 0)
        print_error("%u descriptors were left\n", n_left);
    return ended && n_left > 0 ? -1 : 0;
}

static struct client_port_stats stats(const struct host *h)
{
    struct client_port_stats s;

    client_port_get_stats(h->port, &s);
    return s;
}

static void settle_one(struct host *h)
{
    struct client_conn *c = h->held[0];

    assert_true(h->n_held > 0);
    h->n_held--;
    memmove(h->held, h->held + 1, h->n_held * sizeof(h->held[0]));
    answer(c, 3);
    client_conn_release(c);
}

static void assert_lines(const struct host *h, const char *expected)
{
    assert_int_equal(h->lines.len, strlen(expected));
    assert_memory_equal(h->lines.data, expected, h->lines.len);
}

/* ---- a client ---- */

/* After its handshake OpenSSL's own: it does what src/tls would never do. */
struct client {
    struct raw raw;
    SSL *ssl;
    struct buf in;
    bool ended_well;
    bool cut;
};

/* 0: the handshake goes on; 1: done; -1: failed. */
static int shake_step(struct tls_stream *s)
{
    const int rc = tls_shake(s);

    if (rc < 0)
        return -1;
    return rc == TLS_DONE;
}

static int client_shake(struct host *h, struct client *c, struct tls_ctx *ctx)
{
    struct tls_stream *s;
    int rc = 0;

    memset(c, 0, sizeof(*c));
    raw_connect(&c->raw, client_port_number(h->port));
    assert_int_equal(tls_stream_new(ctx, TLS_DIAL, c->raw.fd, NULL, &s), 0);
    PUMP_UNTIL(&h->pump, (rc = shake_step(s)) != 0);
    if (rc > 0)
        c->ssl = tls_stream_take(s);
    else
        tls_stream_free(s);
    return rc;
}

/* With ctx, which goes. */
static void client_connect_by(struct host *h, struct client *c, struct tls_ctx *ctx)
{
    const unsigned n = h->n_opened;

    assert_int_equal(client_shake(h, c, ctx), 1);
    tls_ctx_unref(ctx);
    PUMP_UNTIL(&h->pump, h->n_opened == n + 1);
}

static void client_connect(struct host *h, struct client *c)
{
    client_connect_by(h, c, ctx_of_client(1, "app1"));
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    buf_done(&c->in);
    raw_close(&c->raw);
}

/* One record. */
static void client_send(struct client *c, const void *data, size_t len)
{
    size_t n = 0;

    assert_int_equal(SSL_write_ex(c->ssl, data, len, &n), 1);
    assert_int_equal(n, len);
}

static void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

/* Takes what is there, of so many bytes; true when there will be no more. */
static bool client_take(struct client *c, size_t most)
{
    char bytes[RECORD_BYTES];
    size_t n = 0;
    int rc = 1;

    while (rc == 1 && c->in.len < most && !c->ended_well && !c->cut) {
        ERR_clear_error();
        rc = SSL_read_ex(c->ssl, bytes, sizeof(bytes), &n);
        if (rc == 1) {
            assert_int_equal(buf_add(&c->in, bytes, n), 0);
            continue;
        }
        c->ended_well = SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN;
        c->cut = !c->ended_well && SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ &&
                 SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_WRITE;
    }
    return c->ended_well || c->cut;
}

static size_t client_in(struct client *c)
{
    (void)client_take(c, SIZE_MAX);
    return c->in.len;
}

/* ---- handshakes ---- */

static void net_tls__lines_and_who_says_them(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    h->answer_bytes = 5;
    client_connect(h, &c);
    assert_true(client_conn_is_tls(h->last));
    assert_int_equal(client_conn_identity(h->last)->kind, TLS_SECRET);
    assert_string_equal(client_conn_identity(h->last)->names, "app1");
    client_say(&c, "one\ntwo\n");
    PUMP_UNTIL(&h->pump, client_in(&c) == 10);
    assert_memory_equal(c.in.data, "rrrr\nrrrr\n", 10);
    assert_lines(h, "1:one\n2:two\n");
    assert_int_equal(stats(h).n_open, 1);
    assert_int_equal(stats(h).n_shaking, 0);
    assert_int_equal(stats(h).n_handshakes, 1);
    assert_int_equal(stats(h).n_handshakes_failed, 0);
    assert_int_equal(stats(h).bytes_in, 8);
    assert_int_equal(stats(h).bytes_out, 10);
    client_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

/* What came with the end of the handshake is the kernel's until the connection reads it. */
static void net_tls__the_first_line_comes_with_the_handshake(void **state)
{
    struct host *h = *state;
    struct tls_ctx *ctx = ctx_of_client(1, "app1");
    struct client c = {0};
    struct tls_stream *s;

    host_open(h, &small);
    raw_connect(&c.raw, client_port_number(h->port));
    assert_int_equal(tls_stream_new(ctx, TLS_DIAL, c.raw.fd, NULL, &s), 0);
    PUMP_UNTIL(&h->pump, shake_step(s) == 1); /* the other side has not seen the last of it */
    c.ssl = tls_stream_take(s);
    client_say(&c, "early\n");
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    assert_lines(h, "1:early\n");
    client_close(&c);
    tls_ctx_unref(ctx);
    host_close(h);
}

static void net_tls__certificates(void **state)
{
    struct host *h = *state;
    const char *folder = temp_folder_new("tls");
    const struct tls_conf serves = {.use = TLS_CLIENTS,
                                    .cluster = "c",
                                    .cert_file = fake_path(folder, "server.pem"),
                                    .key_file = fake_path(folder, "server.key"),
                                    .ca_file = fake_path(folder, "ca.pem")};
    const struct tls_conf dials = {.use = TLS_CLIENTS,
                                   .cert_file = fake_path(folder, "client.pem"),
                                   .key_file = fake_path(folder, "client.key"),
                                   .ca_file = fake_path(folder, "ca.pem")};
    const struct tls_conf nameless = {.use = TLS_CLIENTS, .ca_file = fake_path(folder, "ca.pem")};
    struct tls_ctx *tls;
    struct client c;

    fake_certs_make(folder, "c");
    assert_int_equal(tls_ctx_new(&serves, &tls), 0);
    host_open_as(h, &small, tls, false);
    assert_int_equal(tls_ctx_new(&dials, &tls), 0);
    client_connect_by(h, &c, tls);
    assert_int_equal(client_conn_identity(h->last)->kind, TLS_CERTIFICATE);
    assert_true(tls_identity_has(client_conn_identity(h->last), "app1.example.org"));
    client_close(&c);
    assert_int_equal(tls_ctx_new(&nameless, &tls), 0);
    client_connect_by(h, &c, tls);
    assert_int_equal(client_conn_identity(h->last)->kind, TLS_NOBODY);
    client_close(&c);
    host_close(h);
    temp_folder_remove(folder);
}

static void net_tls__a_wrong_secret(void **state)
{
    struct host *h = *state;
    struct tls_ctx *wrong = ctx_of_client(2, "app1");
    struct client c;

    host_open(h, &small);
    assert_int_equal(client_shake(h, &c, wrong), -1);
    client_close(&c);
    PUMP_UNTIL(&h->pump, h->n_failed == 1);
    assert_true(h->failed_why[0] != '\0');
    assert_non_null(strstr(h->failed_address, "127.0.0.1:"));
    assert_int_equal(h->n_opened, 0);
    assert_int_equal(stats(h).n_handshakes_failed, 1);
    assert_int_equal(stats(h).n_open + stats(h).n_shaking, 0);
    tls_ctx_unref(wrong);
    host_close(h);
}

static void net_tls__plain_text_is_told_of(void **state)
{
    struct host *h = *state;
    struct raw c;

    host_open(h, &small);
    raw_connect(&c, client_port_number(h->port));
    raw_send(&h->pump, &c, "{\"type\":\"ping\"}\n", 16);
    PUMP_UNTIL(&h->pump, h->n_failed == 1 && raw_read(&c));
    assert_non_null(strstr(h->failed_why, "plain text"));
    assert_int_equal(h->n_opened, 0);
    assert_int_equal(h->n_lines, 0);
    raw_close(&c);
    host_close(h);
}

/* New connections get what is new; those that are open stay. */
static void net_tls__another_context(void **state)
{
    struct host *h = *state;
    struct tls_ctx *tls = ctx_of_cluster(2);
    struct tls_ctx *old = ctx_of_client(1, "app1");
    struct client first;
    struct client second;
    struct client third;

    host_open(h, &small);
    client_connect(h, &first);
    client_port_set_tls(h->port, tls);
    tls_ctx_unref(tls);
    client_say(&first, "still\n");
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    assert_int_equal(client_shake(h, &second, old), -1);
    client_connect_by(h, &third, ctx_of_client(2, "app2"));
    assert_string_equal(client_conn_identity(h->last)->names, "app2");
    client_close(&first);
    client_close(&second);
    client_close(&third);
    tls_ctx_unref(old);
    host_close(h);
}

/* Both beside each other, and each says so to who speaks the other. */
static void net_tls__two_addresses(void **state)
{
    struct host *h = *state;
    struct raw probe;
    struct sockaddr_in sa = raw_loopback(0);
    socklen_t len = sizeof(sa);
    char addr[64];
    struct client c;

    host_open_strict(h);
    raw_adopt(&probe, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(probe.fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(probe.fd, (struct sockaddr *)&sa, &len), 0);
    raw_close(&probe);
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", ntohs(sa.sin_port));
    assert_int_equal(client_port_listen(h->port, addr, false), 0);
    client_connect(h, &c);
    raw_connect(&probe, ntohs(sa.sin_port));
    PUMP_UNTIL(&h->pump, h->n_opened == 2);
    assert_false(client_conn_is_tls(h->last));
    assert_null(client_conn_identity(h->last));
    raw_send(&h->pump, &probe, "\x16\x03\x01", 3);
    PUMP_UNTIL(&h->pump, raw_read(&probe));
    assert_int_equal(probe.in.len, 8);
    raw_close(&probe);
    client_close(&c);
    host_close(h);
}

/* ---- limits (TLS-20) ---- */

/* They count like any other, for all and for one host, until their time is over. */
static void net_tls__silent_handshakes_count(void **state)
{
    const struct client_port_conf conf = {.connections = 3, .connections_per_host = 2};
    struct host *h = *state;
    struct raw c[4];
    struct client good;

    host_open(h, &conf);
    raw_connect_from(&c[0], client_port_number(h->port), 1);
    raw_connect_from(&c[1], client_port_number(h->port), 1);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 2);
    raw_connect_from(&c[2], client_port_number(h->port), 1);
    PUMP_UNTIL(&h->pump, raw_read(&c[2]));
    assert_true(c[2].eof);
    assert_int_equal(c[2].in.len, 0); /* nothing can be said */
    assert_int_equal(stats(h).n_refused, 1);
    raw_close(&c[2]);
    raw_connect_from(&c[2], client_port_number(h->port), 2);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 3);
    raw_connect_from(&c[3], client_port_number(h->port), 3);
    PUMP_UNTIL(&h->pump, raw_read(&c[3]));
    assert_int_equal(stats(h).n_refused, 2);
    assert_int_equal(h->n_refused, 0);
    assert_int_equal(h->n_failed, 2);
    assert_non_null(strstr(h->failed_why, "too many connections"));
    time_passes(TLS_HANDSHAKE_US);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 0);
    assert_int_equal(stats(h).n_handshakes_failed, 3);
    assert_int_equal(h->n_failed, 2); /* who was silent is nobody's business */
    for (unsigned i = 0; i < 4; i++) {
        PUMP_UNTIL(&h->pump, raw_read(&c[i]));
        raw_close(&c[i]);
    }
    client_connect(h, &good);
    client_close(&good);
    host_close(h);
}

/* Open connections and handshakes together. */
static void net_tls__one_limit_for_both(void **state)
{
    const struct client_port_conf conf = {.connections = 2, .connections_per_host = 2};
    struct host *h = *state;
    struct client c;
    struct raw silent;
    struct raw third;

    host_open(h, &conf);
    client_connect(h, &c);
    raw_connect_from(&silent, client_port_number(h->port), 2);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 1);
    raw_connect_from(&third, client_port_number(h->port), 3);
    PUMP_UNTIL(&h->pump, raw_read(&third));
    assert_int_equal(stats(h).n_refused, 1);
    raw_close(&third);
    raw_close(&silent);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 0);
    client_close(&c);
    host_close(h);
}

/* TLS-24: what OpenSSL keeps for them has a bound, too, and goes back with them. */
static void net_tls__streams_have_a_part_of_the_memory(void **state)
{
    struct memory memory;
    const struct client_port_conf conf = {.memory = &memory};
    struct host *h = *state;
    struct client first;
    struct client second;
    struct raw third;

    memory_init(&memory, (size_t)CLIENT_STREAM_BYTES * 250 / MEMORY_STREAMS_PERCENT);
    host_open(h, &conf);
    client_connect(h, &first);
    raw_connect(&third, client_port_number(h->port));
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 1);
    assert_int_equal(memory.streams.used, 2 * CLIENT_STREAM_BYTES);
    raw_close(&third);
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 0);
    client_connect(h, &second);
    assert_int_equal(memory.streams.used, 2 * CLIENT_STREAM_BYTES);
    raw_connect(&third, client_port_number(h->port));
    PUMP_UNTIL(&h->pump, raw_read(&third));
    assert_int_equal(stats(h).n_refused, 1);
    assert_non_null(strstr(h->failed_why, "memory"));
    raw_close(&third);
    client_close(&first);
    PUMP_UNTIL(&h->pump, memory.streams.used == CLIENT_STREAM_BYTES);
    client_connect(h, &first);
    client_close(&first);
    client_close(&second);
    host_close(h);
    assert_int_equal(memory.all.used, 0);
}

/* ---- bytes ---- */

static void net_tls__lines_cut_over_records(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    client_connect(h, &c);
    client_say(&c, "ab");
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 2);
    client_say(&c, "c\nde");
    PUMP_UNTIL(&h->pump, stats(h).bytes_in == 6);
    client_say(&c, "f\n");
    client_say(&c, "g\n");
    PUMP_UNTIL(&h->pump, h->n_lines == 3);
    assert_lines(h, "1:abc\n2:def\n3:g\n");
    client_close(&c);
    host_close(h);
}

/* CLIENT-1: sixteen mebibytes without an end are told of once, and take no memory. */
static void net_tls__an_endless_line(void **state)
{
    enum { RECORDS = 1024 };
    static char block[RECORD_BYTES];
    struct memory memory;
    const struct client_port_conf conf = {.request_bytes = 10000, .memory = &memory};
    struct host *h = *state;
    struct client c;

    memset(block, 'y', sizeof(block));
    memory_init(&memory, (size_t)1 << 30);
    host_open(h, &conf);
    h->expects_too_long = true;
    client_connect(h, &c);
    for (uint64_t i = 1; i <= RECORDS; i++) {
        client_send(&c, block, sizeof(block));
        PUMP_UNTIL(&h->pump, stats(h).bytes_in == i * sizeof(block));
        assert_true(memory.all.used < CLIENT_STREAM_BYTES + (128u << 10));
    }
    assert_int_equal(h->n_too_long, 1);
    client_say(&c, "\nok\n");
    PUMP_UNTIL(&h->pump, h->n_lines == 1);
    assert_lines(h, "2:ok\n");
    client_close(&c);
    host_close(h);
}

/* A second record that was told of with the first is not forgotten while the first is owed
 * (TLS-21). */
static void net_tls__records_wait_for_the_limit(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    h->hold = true;
    client_connect(h, &c);
    client_say(&c, "a\nb\nc\nd\n");
    client_say(&c, "e\n");
    client_say(&c, "f\n");
    PUMP_UNTIL(&h->pump, h->n_lines == 4);
    pump_for(&h->pump, 20000);
    assert_int_equal(h->n_lines, 4);
    settle_one(h);
    settle_one(h);
    PUMP_UNTIL(&h->pump, h->n_lines == 6);
    assert_lines(h, "1:a\n2:b\n3:c\n4:d\n5:e\n6:f\n");
    while (h->n_held > 0)
        settle_one(h);
    PUMP_UNTIL(&h->pump, client_in(&c) == 18);
    client_close(&c);
    host_close(h);
}

/* The rest of a record that is read in pieces makes nothing readable (TLS-21). */
static void net_tls__what_was_deciphered_gets_its_turn(void **state)
{
    struct memory memory;
    const struct client_port_conf conf = {.memory = &memory, .in_flight = 4};
    char text[RECORD_BYTES];
    struct host *h = *state;
    struct client c;

    memset(text, '\n', sizeof(text));
    for (size_t at = 0; at < sizeof(text); at += CLIENT_CHUNK_TIGHT_BYTES)
        memset(text + at, 'x', CLIENT_CHUNK_TIGHT_BYTES - 1);
    memory_init(&memory, (size_t)64 << 20);
    host_open(h, &conf);
    client_connect(h, &c);
    budget_take(&memory.replies, memory.replies.limit); /* tight: the chunk is a short one */
    client_send(&c, text, sizeof(text));
    PUMP_UNTIL(&h->pump, h->n_lines == sizeof(text) / CLIENT_CHUNK_TIGHT_BYTES);
    budget_give(&memory.replies, memory.replies.limit);
    client_close(&c);
    host_close(h);
}

/* A client that does not read is not read, and gets all of it later. */
static void net_tls__back_pressure(void **state)
{
    const struct client_port_conf conf = {.in_flight = 4};
    const size_t reply = REPLY_BYTES_MAX;
    const unsigned n = 100;
    struct host *h = *state;
    struct client c;
    size_t n_read;

    host_open(h, &conf);
    h->answer_bytes = reply;
    client_connect(h, &c);
    for (unsigned i = 0; i < n; i++)
        client_say(&c, "more\n");
    pump_for(&h->pump, 50000);
    assert_true(h->n_lines < n);
    for (n_read = 0; n_read < n * reply; n_read += c.in.len) {
        buf_reset(&c.in, 0);
        PUMP_UNTIL(&h->pump, client_take(&c, (size_t)4 << 20) || c.in.len > 0);
        assert_false(c.cut);
    }
    assert_int_equal(n_read, n * reply);
    assert_int_equal(h->n_lines, n);
    client_close(&c);
    host_close(h);
}

/* ---- ends (TLS-22) ---- */

static void net_tls__an_end_that_was_said(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    h->answer_bytes = 4;
    client_connect(h, &c);
    client_say(&c, "whole\nhalf");
    (void)SSL_shutdown(c.ssl);
    PUMP_UNTIL(&h->pump, client_take(&c, SIZE_MAX));
    assert_true(c.ended_well); /* ours is said, too */
    assert_int_equal(c.in.len, 8);
    assert_lines(h, "1:whole\n2:half\n");
    assert_string_equal(h->why, "end of file");
    client_close(&c);
    host_close(h);
}

static void net_tls__an_end_that_was_not(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    client_connect(h, &c);
    client_say(&c, "whole\nhalf");
    assert_int_equal(shutdown(c.raw.fd, SHUT_WR), 0);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_lines(h, "1:whole\n");
    client_close(&c);
    host_close(h);
}

/* What breaks a rule of lines is told before the end, which is said. */
static void net_tls__the_last_line_arrives(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open_strict(h);
    client_connect(h, &c);
    client_say(&c, "{\nGET / HTTP/1.1\n");
    PUMP_UNTIL(&h->pump, client_take(&c, SIZE_MAX));
    assert_true(c.ended_well);
    assert_int_equal(c.in.len, 8);
    assert_memory_equal(c.in.data, "foreign\n", 8);
    client_close(&c);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    host_close(h);
}

static void net_tls__rubbish_behind_the_handshake(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    client_connect(h, &c);
    raw_send(&h->pump, &c.raw, "\x17\x03\x03\x00\x20this is nothing that was enciphered", 40);
    PUMP_UNTIL(&h->pump, h->n_closed == 1);
    assert_non_null(strstr(h->why, "cannot read: "));
    assert_true(strlen(h->why) > strlen("cannot read: "));
    client_close(&c);
    host_close(h);
}

/* ---- records without data (TLS-23) ---- */

static void new_keys(struct client *c, int kind)
{
    assert_int_equal(SSL_key_update(c->ssl, kind), 1);
    assert_int_equal(SSL_do_handshake(c->ssl), 1);
}

/* Where one read of the socket ends with them OpenSSL asks to be called again, as if there were
 * nothing. What it reads at once is a record of the largest size and some bytes: one of these lengths
 * ends there. */
static void net_tls__new_keys_at_the_end_of_a_read(void **state)
{
    static const struct client_port_conf whole = {0};
    const size_t around = 22; /* of a record: header, type and tag */
    char text[RECORD_BYTES];
    struct host *h = *state;
    struct client c;

    memset(text, 'x', sizeof(text));
    host_open(h, &whole);
    client_connect(h, &c);
    net_socket_nodelay(c.raw.fd); /* all of it is there before any of it is read */
    for (size_t at_once = 16700; at_once < 16730; at_once++) {
        const unsigned n_lines = h->n_lines;
        const size_t first = 16000 - around;
        const size_t second = at_once - 16000 - around - (around + 5);

        client_send(&c, text, first);
        text[second - 1] = '\n';
        client_send(&c, text, second);
        text[second - 1] = 'x';
        new_keys(&c, SSL_KEY_UPDATE_NOT_REQUESTED);
        client_say(&c, "behind\n");
        PUMP_UNTIL(&h->pump, h->n_lines == n_lines + 2);
    }
    client_close(&c);
    host_close(h);
}

/* What is behind them is read, and they are answered with what is said next. */
static void net_tls__new_keys(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    h->answer_bytes = 4;
    client_connect(h, &c);
    (void)SSL_set_mode(c.ssl, SSL_MODE_AUTO_RETRY);
    for (unsigned i = 0; i < 4; i++)
        new_keys(&c, i % 2 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED);
    client_say(&c, "behind\n");
    PUMP_UNTIL(&h->pump, client_in(&c) == 4);
    assert_lines(h, "1:behind\n");
    new_keys(&c, SSL_KEY_UPDATE_REQUESTED);
    pump_for(&h->pump, 20000); /* it is alone */
    client_say(&c, "later\n");
    PUMP_UNTIL(&h->pump, client_in(&c) == 8);
    client_close(&c);
    host_close(h);
}

/* Who does nothing else is closed, and nobody waits for it. */
static void net_tls__new_keys_over_and_over(void **state)
{
    struct host *h = *state;
    struct client good;
    struct client bad;

    host_open(h, &small);
    h->answer_bytes = 4;
    client_connect(h, &good);
    client_connect(h, &bad);
    for (unsigned i = 0; i < 1000; i++)
        new_keys(&bad, SSL_KEY_UPDATE_NOT_REQUESTED);
    client_say(&good, "hello\n");
    PUMP_UNTIL(&h->pump, client_in(&good) == 4 && h->n_closed == 1);
    assert_non_null(strstr(h->why, "over and over"));
    client_close(&bad);
    client_close(&good);
    host_close(h);
}

/* ---- the end of the port ---- */

static void net_tls__freed_while_hands_are_shaken(void **state)
{
    struct host *h = *state;
    struct raw silent[8];
    struct raw half[8];

    host_open(h, &small);
    for (unsigned i = 0; i < 8; i++) {
        raw_connect(&silent[i], client_port_number(h->port));
        raw_connect(&half[i], client_port_number(h->port));
        raw_send(&h->pump, &half[i], "\x16\x03\x01\x02", 4);
    }
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 16);
    host_close(h);
    for (unsigned i = 0; i < 8; i++) {
        raw_close(&silent[i]);
        raw_close(&half[i]);
    }
}

static void net_tls__quiesced_while_hands_are_shaken(void **state)
{
    struct host *h = *state;
    struct raw silent;
    struct client c;

    host_open(h, &small);
    client_connect(h, &c);
    raw_connect(&silent, client_port_number(h->port));
    PUMP_UNTIL(&h->pump, stats(h).n_shaking == 1);
    client_port_quiesce(h->port);
    assert_int_equal(stats(h).n_shaking, 0);
    assert_true(client_port_idle(h->port));
    PUMP_UNTIL(&h->pump, raw_read(&silent));
    assert_int_equal(stats(h).n_open, 1);
    raw_close(&silent);
    client_close(&c);
    host_close(h);
}

static void net_tls__freed_from_inside(void **state)
{
    struct host *h = *state;
    struct tls_ctx *ctx = ctx_of_client(1, "app1");
    struct tls_stream *s;
    struct raw c;

    for (unsigned i = 0; i < 2; i++) {
        host_open(h, &small);
        h->free_in_opened = i == 0;
        h->free_in_failed = i == 1;
        raw_connect(&c, client_port_number(h->port));
        assert_int_equal(tls_stream_new(ctx, TLS_DIAL, c.fd, NULL, &s), 0);
        if (i == 1)
            raw_send(&h->pump, &c, "plain\n", 6);
        if (i == 0)
            PUMP_UNTIL(&h->pump, shake_step(s) == 1);
        PUMP_UNTIL(&h->pump, h->port == NULL);
        pump_for(&h->pump, 20000);
        assert_int_equal(h->n_opened, i == 0);
        assert_int_equal(h->n_closed, i == 0);
        tls_stream_free(s);
        raw_close(&c);
        host_take_down(h);
    }
    tls_ctx_unref(ctx);
}

/* A line that is owed outlives port and connection, and so does who said it. */
static void net_tls__a_held_line_outlives_the_port(void **state)
{
    struct host *h = *state;
    struct client c;

    host_open(h, &small);
    h->hold = true;
    client_connect(h, &c);
    client_say(&c, "held\n");
    PUMP_UNTIL(&h->pump, h->n_held == 1);
    client_port_free(h->port);
    h->port = NULL;
    assert_string_equal(client_conn_identity(h->held[0])->names, "app1");
    client_close(&c);
    host_take_down(h);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(net_tls__lines_and_who_says_them),
        CASE(net_tls__the_first_line_comes_with_the_handshake),
        CASE(net_tls__certificates),
        CASE(net_tls__a_wrong_secret),
        CASE(net_tls__plain_text_is_told_of),
        CASE(net_tls__another_context),
        CASE(net_tls__two_addresses),
        CASE(net_tls__silent_handshakes_count),
        CASE(net_tls__one_limit_for_both),
        CASE(net_tls__streams_have_a_part_of_the_memory),
        CASE(net_tls__lines_cut_over_records),
        CASE(net_tls__an_endless_line),
        CASE(net_tls__records_wait_for_the_limit),
        CASE(net_tls__what_was_deciphered_gets_its_turn),
        CASE(net_tls__back_pressure),
        CASE(net_tls__an_end_that_was_said),
        CASE(net_tls__an_end_that_was_not),
        CASE(net_tls__the_last_line_arrives),
        CASE(net_tls__rubbish_behind_the_handshake),
        CASE(net_tls__new_keys),
        CASE(net_tls__new_keys_at_the_end_of_a_read),
        CASE(net_tls__new_keys_over_and_over),
        CASE(net_tls__freed_while_hands_are_shaken),
        CASE(net_tls__quiesced_while_hands_are_shaken),
        CASE(net_tls__freed_from_inside),
        CASE(net_tls__a_held_line_outlives_the_port),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does: OpenSSL writes as write(2) does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
