/* What a stranger with another program finds at the ports of a node: at that of clients, at that of
 * peers, and at HTTP's. One context makes all three (TLS-1, TLS-2); here it is asked from outside
 * whether each port has it. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/limits.h"
#include "cluster/harness.h"
#include "cluster/s-client.h"
#include "unit/fake-certs.h"

#include "base/banned.h"

/* ---- a node with three doors ---- */

/* What is said there once TLS is spoken, and what comes then. A peer that says no hello is let go
 * without a word. */
struct door {
    const char *name;
    const char *say;
    const char *until;
    uint16_t port;
};

enum { CLIENTS, PEERS, HTTP, DOORS };

static struct {
    struct cluster *c;
    struct door doors[DOORS];
} world;

/* One that peers and clients take alike. */
#define AS_N2 " -cert n2.pem -key n2.key "

static void write_secret(const char *folder)
{
    static const char digits[] =
        "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\n";
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/secret", folder);
    file_write(path, digits, strlen(digits));
    assert_int_equal(chmod(path, 0600), 0);
}

/* The harness itself asks plainly. */
static void open_doors(struct cluster *c)
{
    struct node *n = &c->nodes[0];

    n->http_scheme = "https://";
    (void)snprintf(n->addr, sizeof(n->addr), "tcp://127.0.0.1:%u", n->port);
    world.doors[CLIENTS] =
        (struct door){"clients", "{\"type\":\"ping\"}\\n", "\"pong\"", c->nodes[1].port};
    world.doors[PEERS] = (struct door){"peers", "xxxxxxxxxxxxxxxx", "^closed|^read:", n->peer_port};
    world.doors[HTTP] =
        (struct door){"http", "GET /metrics HTTP/1.0\\r\\n\\r\\n", "^HTTP/1.*200", n->http_port};
}

/* The second node is there for its ports. */
static int set_up(void **state)
{
    struct cluster *c = cluster_new(2, "[http]\n");
    char extra[2000];

    (void)state;
    world.c = c;
    c->n = 1;
    open_doors(c);
    fake_certs_make(c->dir, "test");
    write_secret(c->dir);
    (void)snprintf(
        extra, sizeof(extra),
        "listen = tls://127.0.0.1:%u\n[security]\nsecret_file = %s/secret\n"
        "peer_cert = %s/n1.pem\npeer_key = %s/n1.key\npeer_ca = %s/ca.pem\n"
        "client_cert = %s/server.pem\nclient_key = %s/server.key\nclient_ca = %s/ca.pem\n"
        "[access]\nall = admin any\n",
        c->nodes[1].port, c->dir, c->dir, c->dir, c->dir, c->dir, c->dir, c->dir);
    cluster_write_conf(c, "test", extra);
    cluster_init(c);
    cluster_start(c);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cluster_free(world.c);
    return 0;
}

/* It serves as if nobody had been there. */
static void goes_on(void)
{
    struct client *cl = client_open(world.c, 0);

    client_expect(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"k\",\"value\":1}",
                  "{\"type\":\"write_ok\",\"in_reply_to\":1<*>}");
    client_close(cl);
    assert_int_equal(node_log_lines(world.c, 0, " event=ready ", NULL), 1);
}

/* ---- asking ---- */

static const char *knock(const struct door *door, const char *options)
{
    char all[400];
    const struct s_client what = {.folder = world.c->dir,
                                  .port = door->port,
                                  .options = all,
                                  .say = door->say,
                                  .until = door->until};

    (void)snprintf(all, sizeof(all), "-CAfile ca.pem -verify_return_error %s", options);
    return s_client(&what);
}

static void expect_in(const struct door *door, const char *out, const char *text)
{
    if (strstr(out, text) == NULL)
        harness_fail("%s: no '%s' in: %.2500s", door->name, text, out);
}

static void expect_not_in(const struct door *door, const char *out, const char *text)
{
    if (strstr(out, text) != NULL)
        harness_fail("%s: '%s' in: %.2500s", door->name, text, out);
}

/* Taken, and served. */
static const char *expect_taken(const struct door *door, const char *options)
{
    const char *out = knock(door, options);

    expect_in(door, out, "New, TLSv1.3, Cipher is TLS_");
    expect_not_in(door, out, "alert");
    if (door != &world.doors[PEERS])
        expect_in(door, out, door == &world.doors[HTTP] ? "HTTP/1" : "\"pong\"");
    return out;
}

/* `why`: the alert, in s_client's words. */
static void expect_refused(const struct door *door, const char *options, const char *why)
{
    const char *out = knock(door, options);

    expect_in(door, out, why);
    expect_not_in(door, out, "\"pong\"");
    expect_not_in(door, out, "HTTP/1.");
}

#define for_each_door(d) for (struct door *d = world.doors; d < world.doors + DOORS; d++)

/* ---- cases ---- */

CASE(scan__one_version_and_two_suites)
{
    for_each_door(d)
    {
        const char *out = expect_taken(d, AS_N2 "-tls1_3");

        expect_in(d, out, "Compression: NONE");
        expect_in(d, out, "Secure Renegotiation IS NOT supported");
        expect_in(d, out, "Verify return code: 0 (ok)");
        expect_refused(d, AS_N2 "-tls1_2", "alert protocol version");
        expect_refused(d, AS_N2 "-tls1_1 -cipher DEFAULT@SECLEVEL=0", "alert protocol version");
        expect_refused(d, AS_N2 "-tls1 -cipher DEFAULT@SECLEVEL=0", "alert protocol version");
        (void)expect_taken(d, AS_N2 "-ciphersuites TLS_AES_128_GCM_SHA256");
        (void)expect_taken(d, AS_N2 "-ciphersuites TLS_CHACHA20_POLY1305_SHA256");
        expect_refused(d, AS_N2 "-ciphersuites TLS_AES_256_GCM_SHA384", "alert handshake failure");
        expect_refused(d, AS_N2 "-ciphersuites TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256",
                       "alert handshake failure");
        (void)expect_taken(d, AS_N2 "-groups X25519");
        (void)expect_taken(d, AS_N2 "-groups P-256");
        expect_refused(d, AS_N2 "-groups P-384:P-521", "alert handshake failure");
    }
    goes_on();
}

/* Version 1.3 has no word for it: whoever would ask for it finds that it cannot. */
CASE(scan__nothing_is_negotiated_again)
{
    for_each_door(d)
    {
        struct door again = *d;
        const char *out;

        again.say = "R\\n";
        again.until = "RENEGOTIATING";
        out = knock(&again, AS_N2);
        expect_in(d, out, "RENEGOTIATING");
        expect_in(d, out, "can_renegotiate:wrong ssl version");
    }
    goes_on();
}

/* A protocol that nobody has heard of, and a name that is not ours, are no reason to refuse. */
CASE(scan__what_does_no_harm)
{
    for_each_door(d)
    {
        expect_in(d, expect_taken(d, AS_N2 "-alpn h2,telegraph/1"), "No ALPN negotiated");
        (void)expect_taken(d, AS_N2 "-servername elsewhere.example.org");
        expect_not_in(d, expect_taken(d, AS_N2 "-status"), "OCSP Response Data");
        (void)expect_taken(d, AS_N2 "-maxfraglen 512");
    }
    goes_on();
}

CASE(scan__whose_certificate)
{
    struct door *clients = &world.doors[CLIENTS];
    struct door *peers = &world.doors[PEERS];
    struct door *http = &world.doors[HTTP];

    for_each_door(d)
    {
        expect_refused(d, "-cert expired.pem -key expired.key", "alert certificate expired");
        expect_refused(d, "-cert early.pem -key early.key", "alert bad certificate");
        expect_refused(d, "-cert other.pem -key other.key", "alert unknown ca");
        expect_refused(d, "-cert ca.pem -key other.key", "");
    }
    expect_refused(peers, "", "alert certificate required");
    expect_refused(peers, "-cert client.pem -key client.key", "alert bad certificate");
    expect_refused(peers, "-cert foreign.pem -key foreign.key", "alert bad certificate");
    (void)expect_taken(clients, "");
    (void)expect_taken(http, "");
    goes_on();
}

/* ---- what would be resumed ---- */

/* A server that gives tickets, which allow early data, on a port that is ours. */
static pid_t begin_other_server(uint16_t port)
{
    char script[700];
    char out[300];
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    cleanup_buf struct buf text = BUF_INIT;
    pid_t pid;

    (void)snprintf(script, sizeof(script),
                   "cd %s && exec openssl s_server -accept 127.0.0.1:%u -cert server.pem "
                   "-key server.key -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -www "
                   "-max_early_data 16384",
                   world.c->dir, port);
    (void)snprintf(out, sizeof(out), "%s/s-server.out", world.c->dir);
    pid = program_begin(argv, out);
    wait_until((file_read(out, &text), strstr((const char *)text.data, "ACCEPT") != NULL),
               "openssl s_server");
    return pid;
}

static void end_other_server(pid_t pid)
{
    int code;

    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_until(program_ended(pid, &code), "the end of openssl s_server");
}

static void get_ticket(void)
{
    const uint16_t port = world.c->nodes[1].peer_port;
    const struct door other = {"s_server", "GET / HTTP/1.0\\r\\n\\r\\n", "^HTTP/1.*200", port};
    const pid_t pid = begin_other_server(port);

    expect_in(&other, knock(&other, "-sess_out ticket"), "Max Early Data: 16384");
    end_other_server(pid);
}

/* No ticket comes, and one that is shown is not looked at (TLS-2); nor is what was sent with it. */
CASE(scan__nothing_is_resumed)
{
    char path[300];

    get_ticket();
    (void)snprintf(path, sizeof(path), "%s/early", world.c->dir);
    file_write(path, "{\"type\":\"ping\",\"msg_id\":77}\n", 27);
    for_each_door(d)
    {
        const char *out = expect_taken(d, AS_N2 "-sess_out own");

        expect_not_in(d, out, "Session Ticket arrived");
        (void)snprintf(path, sizeof(path), "%s/own", world.c->dir);
        assert_int_not_equal(access(path, F_OK), 0);
        expect_not_in(d, expect_taken(d, AS_N2 "-sess_in ticket"), "Reused");
        out = knock(d, AS_N2 "-sess_in ticket -early_data early");
        expect_not_in(d, out, "Reused");
        expect_in(d, out, "Early data was rejected");
        expect_not_in(d, out, "\"in_reply_to\":77");
    }
    goes_on();
}

/* ---- what is no TLS ---- */

static int connect_to(uint16_t port)
{
    const struct sockaddr_in in = {.sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

/* All that comes until the end. */
static size_t read_to_end(int fd, unsigned char *ret, size_t size)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (now_ms() > deadline)
            harness_fail("nobody ends the connection");
        if (poll(&p, 1, 100) <= 0)
            continue;
        n = recv(fd, ret + len, size - len, 0); /* with what it has not read it resets */
        len += n > 0 ? (size_t)n : 0;
    }
    return len;
}

/* An alert that nothing is encrypted in, which TLS itself makes; or nothing. */
static void expect_nothing_but_an_alert(const struct door *d, const char *text)
{
    unsigned char got[4096];
    cleanup_fd int fd = connect_to(d->port);
    size_t len;

    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    len = read_to_end(fd, got, sizeof(got));
    if (len != 0 && !(len == 7 && got[0] == 0x15 && got[1] == 0x03 && got[4] == 2))
        harness_fail("%s: %zu bytes: %.*s", d->name, len, (int)len, (const char *)got);
}

CASE(scan__plain_text_is_told_nothing)
{
    for_each_door(d)
    {
        expect_nothing_but_an_alert(d, "{\"type\":\"status\",\"msg_id\":1}\n");
        expect_nothing_but_an_alert(d, "GET /metrics HTTP/1.0\r\n\r\n");
        expect_nothing_but_an_alert(d, "SSH-2.0-OpenSSH_9.2p1\r\n");
        expect_nothing_but_an_alert(d,
                                    "\x16\x03\x01\xff\xff and more than this would have to come");
    }
    goes_on();
}

/* ---- who says nothing ---- */

#define SILENT_MAX 300u

static void expect_served_beside_silent_ones(const struct door *d, unsigned n)
{
    int fds[SILENT_MAX];

    for (unsigned i = 0; i < n; i++)
        fds[i] = connect_to(d->port);
    for (unsigned i = 0; i < 3; i++)
        (void)expect_taken(d, AS_N2);
    for (unsigned i = 0; i < n; i++)
        (void)close(fds[i]);
}

/* Each costs little, and they make room for one another (TLS-3, TLS-13). HTTP has places for few,
 * and all are taken (HTTP-4). */
CASE(scan__hundreds_of_silent_ones)
{
    expect_served_beside_silent_ones(&world.doors[CLIENTS], SILENT_MAX);
    expect_served_beside_silent_ones(&world.doors[PEERS], SILENT_MAX);
    expect_served_beside_silent_ones(&world.doors[HTTP], HTTP_CONNECTIONS_MAX + 4);
    goes_on();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(scan__one_version_and_two_suites),
        HARNESS_TEST(scan__nothing_is_negotiated_again),
        HARNESS_TEST(scan__what_does_no_harm),
        HARNESS_TEST(scan__whose_certificate),
        HARNESS_TEST(scan__nothing_is_resumed),
        HARNESS_TEST(scan__plain_text_is_told_nothing),
        HARNESS_TEST(scan__hundreds_of_silent_ones),
    };

    harness_init(argc, argv);
    if (!s_client_is_there())
        return 77;
    return cmocka_run_group_tests_name(argv[0], tests, set_up, tear_down);
}
