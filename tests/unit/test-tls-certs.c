/* tls: certificates. Every wrong pairing fails on both sides, and says of which side and why. */
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "temp-folder.h"

#include "base/err.h"
#include "fake-certs.h"
#include "tls/tls.h"

static const char *folder;

static int make_certs(void **state)
{
    (void)state;
    folder = temp_folder_new("certs");
    fake_certs_make(folder, "c1");
    return 0;
}

/* Which files one side has; NULL: none. secret: 0, or what it is filled with. */
struct side {
    const char *name; /* NAME.pem and NAME.key */
    const char *ca;
    unsigned char secret;
    const char *host;    /* of the dialling side */
    const char *cluster; /* NULL: "c1" */
};

static int side_ctx(enum tls_use use, const struct side *s, struct tls_ctx **ret)
{
    char cert[128];
    char key[128];
    char ca[128];
    struct tls_secrets secrets = {.n = 1, .of = {{.len = TLS_SECRET_BYTES_MIN}}};
    struct tls_conf conf = {.use = use, .cluster = s->cluster != NULL ? s->cluster : "c1"};

    memset(secrets.of[0].bytes, s->secret, TLS_SECRET_BYTES_MIN);
    if (s->secret != 0)
        conf.secrets = &secrets;
    (void)snprintf(cert, sizeof(cert), "%s/%s.pem", folder, s->name);
    (void)snprintf(key, sizeof(key), "%s/%s.key", folder, s->name);
    (void)snprintf(ca, sizeof(ca), "%s/%s.pem", folder, s->ca);
    if (s->name != NULL) {
        conf.cert_file = cert;
        conf.key_file = key;
    }
    if (s->ca != NULL)
        conf.ca_file = ca;
    return tls_ctx_new(&conf, ret);
}

struct pair {
    struct tls_stream *stream[2]; /* by enum tls_side */
    int fd[2];
    int rc[2];
    char why[2][400];
};

static void shake(enum tls_use use, const struct side *accept, const struct side *dial,
                  struct pair *p)
{
    const struct side *const sides[] = {[TLS_ACCEPT] = accept, [TLS_DIAL] = dial};

    memset(p, 0, sizeof(*p));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct tls_ctx *c = NULL;

        if (side_ctx(use, sides[i], &c) != 0)
            fail_msg("no context: %s", err_text());
        assert_int_equal(tls_stream_new(c, (enum tls_side)i, p->fd[i],
                                        i == TLS_DIAL ? sides[i]->host : NULL, &p->stream[i]),
                         0);
        tls_ctx_unref(c); /* the stream has its own */
        p->rc[i] = TLS_WANT_READ;
    }
    for (unsigned step = 0; step < 20; step++)
        for (unsigned i = 0; i < 2; i++) {
            if (p->rc[i] != TLS_WANT_READ && p->rc[i] != TLS_WANT_WRITE)
                continue;
            p->rc[i] = tls_shake(p->stream[i]);
            if (p->rc[i] < 0) {
                (void)snprintf(p->why[i], sizeof(p->why[i]), "%s", err_text());
                (void)shutdown(p->fd[i], SHUT_WR);
            }
        }
}

static void drop(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        tls_stream_free(p->stream[i]);
        (void)close(p->fd[i]);
    }
}

/* In TLS 1.3 the dialling side is done before the other one has judged it; then it is told with the
 * first thing that it reads. */
static const char *what_the_dialler_hears(struct pair *p)
{
    char byte;

    if (p->rc[TLS_DIAL] < 0)
        return p->why[TLS_DIAL];
    assert_int_equal(p->rc[TLS_DIAL], TLS_DONE);
    assert_true(tls_recv(p->stream[TLS_DIAL], &byte, 1) < 0);
    assert_int_equal(errno, EPROTO);
    return tls_stream_why(p->stream[TLS_DIAL]);
}

struct wrong {
    enum tls_use use;
    struct side accept;
    struct side dial;
    const char *accept_says;
    const char *dial_says;
};

/* Nodes and clients alike (TLS-7, TLS-9). */
static const struct wrong wrong[] = {
    /* clients: the server is not who it should be */
    {TLS_CLIENTS,
     {.name = "other"},
     {.ca = "ca", .host = "localhost"},
     "does not know the authority of our certificate",
     "its certificate is not accepted: "},
    {TLS_CLIENTS,
     {.name = "expired"},
     {.ca = "ca", .host = "localhost"},
     "finds our certificate expired",
     "certificate has expired"},
    {TLS_CLIENTS,
     {.name = "early"},
     {.ca = "ca", .host = "localhost"},
     "does not accept our certificate",
     "not yet valid"},
    {TLS_CLIENTS,
     {.name = "elsewhere"},
     {.ca = "ca", .host = "localhost"},
     "does not accept our certificate",
     "hostname mismatch"},
    {TLS_CLIENTS,
     {.name = "elsewhere"},
     {.ca = "ca", .host = "127.0.0.1"},
     "does not accept our certificate",
     "IP address mismatch"},
    {TLS_CLIENTS,
     {.name = "server"},
     {.secret = 7, .host = "localhost"},
     "does not know the authority",
     "no authorities (ca) are given here"},
    {TLS_CLIENTS,
     {.secret = 7},
     {.ca = "ca", .host = "localhost"},
     "no certificate that it could accept",
     "nothing in common with us"},
    /* and the client not either */
    {TLS_CLIENTS,
     {.name = "server", .ca = "ca"},
     {.name = "other", .ca = "ca", .host = "localhost"},
     "its certificate is not accepted: ",
     "does not know the authority of our certificate"},
    {TLS_CLIENTS,
     {.name = "server", .ca = "ca"},
     {.name = "expired", .ca = "ca", .host = "localhost"},
     "certificate has expired",
     "finds our certificate expired"},
    /* nodes */
    {TLS_PEERS,
     {.name = "n1", .ca = "ca"},
     {.name = "foreign", .ca = "ca"},
     "that of no node of cluster 'c1'",
     "does not accept our certificate"},
    {TLS_PEERS,
     {.name = "foreign", .ca = "ca"},
     {.name = "n1", .ca = "ca"},
     "does not accept our certificate",
     "that of no node of cluster 'c1'"},
    {TLS_PEERS,
     {.name = "n1", .ca = "ca"},
     {.name = "client", .ca = "ca"},
     "that of no node of cluster 'c1'",
     "does not accept our certificate"},
    {TLS_PEERS,
     {.name = "n1", .ca = "ca"},
     {.name = "n2", .ca = "ca", .cluster = "c2"},
     "does not accept our certificate",
     "that of no node of cluster 'c2'"},
    {TLS_PEERS,
     {.name = "n1", .ca = "other-ca"},
     {.name = "n2", .ca = "ca"},
     "its certificate is not accepted: ",
     "does not know the authority of our certificate"},
    {TLS_PEERS,
     {.name = "n1", .ca = "ca"},
     {.ca = "ca", .secret = 7},
     "it shows no certificate, and no secret of ours",
     "it demands a certificate"},
    {TLS_PEERS,
     {.secret = 7},
     {.name = "n1", .ca = "ca"},
     "no certificate that it could accept",
     "nothing in common with us"},
};

static void certificate__each_wrong_pairing_fails_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct wrong *w = &wrong[i];
        struct pair p;
        const char *hears;

        shake(w->use, &w->accept, &w->dial, &p);
        if (p.rc[TLS_ACCEPT] >= 0)
            fail_msg("pairing %zu is accepted", i);
        hears = what_the_dialler_hears(&p);
        if (strstr(p.why[TLS_ACCEPT], w->accept_says) == NULL)
            fail_msg("pairing %zu: the acceptor says '%s'", i, p.why[TLS_ACCEPT]);
        if (strstr(hears, w->dial_says) == NULL)
            fail_msg("pairing %zu: the dialler says '%s'", i, hears);
        drop(&p);
    }
}

static void must_be_content(enum tls_use use, const struct side *accept, const struct side *dial,
                            const char *seen_by_acceptor)
{
    struct pair p;
    const struct tls_identity *id;

    shake(use, accept, dial, &p);
    if (p.rc[TLS_ACCEPT] != TLS_DONE || p.rc[TLS_DIAL] != TLS_DONE)
        fail_msg("acceptor '%s', dialler '%s'", p.why[TLS_ACCEPT], p.why[TLS_DIAL]);
    id = tls_stream_identity(p.stream[TLS_ACCEPT]);
    if (seen_by_acceptor == NULL) {
        assert_int_equal(id->kind, TLS_NOBODY);
    } else {
        assert_int_equal(id->kind, TLS_CERTIFICATE);
        assert_string_equal(id->names, seen_by_acceptor);
    }
    drop(&p);
}

static void certificate__who_shows_a_good_one_is_known_by_its_names(void **state)
{
    const struct side server = {.name = "server", .ca = "ca"};
    const struct side no_ca = {.name = "server"};
    const struct side nobody = {.ca = "ca", .host = "localhost"};
    const struct side address = {.ca = "ca", .host = "127.0.0.1"};
    const struct side scoped = {.ca = "ca", .host = "::1%lo"};
    const struct side client = {.name = "client", .ca = "ca", .host = "localhost"};
    const struct side n1 = {.name = "n1", .ca = "ca"};
    const struct side n2 = {.name = "n2", .ca = "ca"};

    (void)state;
    must_be_content(TLS_CLIENTS, &server, &nobody, NULL);
    must_be_content(TLS_CLIENTS, &server, &address, NULL);
    must_be_content(TLS_CLIENTS, &server, &scoped, NULL);
    must_be_content(TLS_CLIENTS, &server, &client, "app1.example.org");
    /* Where no authority is given none is asked for, and so none is known. */
    must_be_content(TLS_CLIENTS, &no_ca, &client, NULL);
    must_be_content(TLS_PEERS, &n1, &n2, "n2");
    must_be_content(TLS_PEERS, &n2, &n1, "n1");
}

/* Each name of the SAN is one; what cannot be printed is none. */
static void certificate__names_are_all_of_its_san(void **state)
{
    struct fake_ca *ca = fake_ca_new(folder, "names-ca");
    const struct fake_cert many = {
        .common_name = "not-this",
        .san = "DNS:a.example.org,email:ops@example.org,URI:spiffe://x/y,IP:10.0.0.1"};
    const struct fake_cert plain = {.common_name = "only-this"};
    const struct side server = {.name = "server", .ca = "names-ca"};
    const struct side with_many = {.name = "many", .ca = "ca", .host = "localhost"};
    const struct side with_plain = {.name = "plain", .ca = "ca", .host = "localhost"};

    (void)state;
    fake_ca_issue(ca, &many, folder, "many");
    fake_ca_issue(ca, &plain, folder, "plain");
    must_be_content(TLS_CLIENTS, &server, &with_many,
                    "a.example.org\nops@example.org\nspiffe://x/y");
    must_be_content(TLS_CLIENTS, &server, &with_plain, "only-this");
    fake_ca_free(ca);
}

/* TLS-9: a server is known by its SAN alone. A common name is anything: an authority that gives a
 * client one as it likes has not made a server of it. */
static void certificate__a_common_name_is_no_servers(void **state)
{
    static const struct fake_cert rows[] = {
        {.common_name = "localhost"},
        {.common_name = "localhost", .san = "email:app1@example.org"},
        {.common_name = "localhost", .san = "DNS:app1.example.org"},
        {.common_name = "app1", .san = "DNS:localhost"},
    };
    const unsigned n = sizeof(rows) / sizeof(rows[0]);
    struct fake_ca *ca = fake_ca_new(folder, "servers-ca");
    const struct side dial = {.ca = "servers-ca", .host = "localhost"};
    const struct side accept = {.name = "said", .ca = "servers-ca"};

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        struct pair p;

        fake_ca_issue(ca, &rows[i], folder, "said");
        shake(TLS_CLIENTS, &accept, &dial, &p);
        if ((p.rc[TLS_DIAL] == TLS_DONE) != (i + 1 == n))
            fail_msg("%u: %d %s", i, p.rc[TLS_DIAL], p.why[TLS_DIAL]);
        drop(&p);
    }
    fake_ca_free(ca);
}

/* Two nodes at once, or a part of a name. */
static void certificate__that_names_a_node_names_exactly_one(void **state)
{
    static const char *const sans[] = {
        "URI:ridd://c1/n1,URI:ridd://c1/n2",
        "URI:ridd://c1/",
        "URI:ridd://c1/n1/x",
        "URI:ridd://c11/n1",
        "URI:xridd://c1/n1",
        "DNS:n1",
        "URI:ridd://C1/n1",
        "URI:ridd:///c1/n1",
    };
    struct fake_ca *ca = fake_ca_new(folder, "nodes-ca");
    const struct side n1 = {.name = "n1", .ca = "nodes-ca"};
    const struct side odd = {.name = "odd", .ca = "ca"};

    (void)state;
    for (size_t i = 0; i < sizeof(sans) / sizeof(sans[0]); i++) {
        const struct fake_cert what = {.common_name = "n1", .san = sans[i]};
        struct pair p;

        fake_ca_issue(ca, &what, folder, "odd");
        shake(TLS_PEERS, &n1, &odd, &p);
        if (p.rc[TLS_ACCEPT] >= 0)
            fail_msg("'%s' is a node", sans[i]);
        drop(&p);
    }
    fake_ca_free(ca);
}

static void certificate__their_ends_are_told(void **state)
{
    const struct side s = {.name = "expired", .ca = "ca"};
    struct tls_expiry all[TLS_EXPIRIES_MAX];
    struct tls_ctx *c = NULL;
    const int64_t now_s = time(NULL);

    (void)state;
    assert_int_equal(side_ctx(TLS_CLIENTS, &s, &c), 0);
    assert_int_equal(tls_ctx_expiries(c, all), 2);
    assert_string_equal(all[0].what, "client_cert");
    assert_non_null(strstr(all[0].file, "expired.pem"));
    assert_true(all[0].not_after_s < now_s && all[0].not_after_s > now_s - 3 * 86400);
    assert_string_equal(all[1].what, "client_ca");
    assert_true(all[1].not_after_s > now_s);
    tls_ctx_unref(c);
}

static void certificate__files_that_do_not_belong_together_are_named(void **state)
{
    char cert[128];
    char key[128];
    char wrong_key[128];
    struct tls_conf conf = {.use = TLS_CLIENTS, .cert_file = cert, .key_file = wrong_key};
    struct tls_ctx *c = NULL;

    (void)state;
    (void)snprintf(cert, sizeof(cert), "%s/server.pem", folder);
    (void)snprintf(key, sizeof(key), "%s/server.key", folder);
    (void)snprintf(wrong_key, sizeof(wrong_key), "%s/client.key", folder);
    assert_int_equal(tls_ctx_new(&conf, &c), -EINVAL);
    assert_non_null(strstr(err_text(), "is not that of the certificate"));
    conf.key_file = cert; /* which all may read, and holds none */
    assert_true(tls_ctx_new(&conf, &c) < 0);
    conf.cert_file = key;
    conf.key_file = key;
    assert_int_equal(tls_ctx_new(&conf, &c), -EINVAL);
    assert_non_null(strstr(err_text(), "server.key"));
    conf.cert_file = cert;
    conf.key_file = NULL;
    assert_int_equal(tls_ctx_new(&conf, &c), -EINVAL);
    assert_non_null(strstr(err_text(), "without its key"));
    conf.key_file = key;
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(tls_ctx_new(&conf, &c), -EPERM);
    assert_non_null(strstr(err_text(), "others may read it"));
    assert_int_equal(chmod(key, 0600), 0);
    assert_int_equal(tls_ctx_new(&conf, &c), 0);
    tls_ctx_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate__each_wrong_pairing_fails_in_words),
        cmocka_unit_test(certificate__who_shows_a_good_one_is_known_by_its_names),
        cmocka_unit_test(certificate__names_are_all_of_its_san),
        cmocka_unit_test(certificate__a_common_name_is_no_servers),
        cmocka_unit_test(certificate__that_names_a_node_names_exactly_one),
        cmocka_unit_test(certificate__their_ends_are_told),
        cmocka_unit_test(certificate__files_that_do_not_belong_together_are_named),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_certs, NULL);
}
