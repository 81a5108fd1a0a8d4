/* tls: secrets and their files, handshakes by secret, bytes, what is said of failures. */
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "temp-folder.h"

#include "base/err.h"
#include "tls/tls.h"

/* ---- secrets ---- */

static char *in_folder(const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/%s", temp_folder_new("tls"), name);
    return ret;
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_secret(unsigned char fill, struct tls_secrets *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->n = 1;
    ret->of[0].len = TLS_SECRET_BYTES_MIN;
    memset(ret->of[0].bytes, fill, ret->of[0].len);
}

static void secret__one_that_was_made_is_read_and_another_each_time(void **state)
{
    char path[300];
    char second[300];
    struct tls_secrets a;
    struct tls_secrets b;
    struct stat st;

    (void)state;
    in_folder("secret", path, sizeof(path));
    in_folder("second", second, sizeof(second));
    assert_int_equal(tls_secret_make(path), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(tls_secret_make(path), -EEXIST);
    assert_int_equal(tls_secret_make(second), 0);
    assert_int_equal(tls_secrets_read(path, &a), 0);
    assert_int_equal(tls_secrets_read(second, &b), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.of[0].len, 32);
    assert_string_equal(a.of[0].name, "");
    assert_memory_not_equal(a.of[0].bytes, b.of[0].bytes, 32);
}

#define DIGITS64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define ID16     "0123456789abcdef"

/* What is wrong with a file is named, and nothing that stands in it (TLS-8). */
static void secret__files_that_are_none_are_refused_in_words(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *why; /* NULL: it is good */
    } cases[] = {
        {DIGITS64 "\n", 0600, NULL},
        {DIGITS64, 0400, NULL},
        {"# comment\n\n  " DIGITS64 " # behind\r\n" DIGITS64 "11\n", 0600, NULL},
        {"app1 " ID16 " " DIGITS64 "\n", 0600, NULL},
        {"", 0600, "holds no secret"},
        {"# nothing\n", 0600, "holds no secret"},
        {DIGITS64 "\n", 0640, "others may read it"}, /* unless it is root's */
        {DIGITS64 "\n", 0604, "others may read it"},
        {DIGITS64 "\n", 0620, "others may change it"},
        {"abcd\n", 0600, ":1: this line is too short"},
        {"\n" DIGITS64 "1\n", 0600, ":2: this line is not an even number"},
        {"x" DIGITS64 "1\n", 0600, ":1: this line is not an even number"},
        {"app1 " DIGITS64 "\n", 0600, "neither a secret nor NAME ID SECRET"},
        {"app/1 " ID16 " " DIGITS64 "\n", 0600, "has a name that is none"},
        {"app1 0123 " DIGITS64 "\n", 0600, "no 16 hexadecimal digits"},
        {DIGITS64 "\napp1 " ID16 " " DIGITS64 "\n", 0600, ":2: this line stands beside"},
        {DIGITS64 "\n" DIGITS64 "\n" DIGITS64 "\n" DIGITS64 "\n" DIGITS64 "\n", 0600,
         ":5: this line is one secret too many"},
        {DIGITS64 DIGITS64 DIGITS64 DIGITS64 "11\n", 0600, "too long"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[300];
        struct tls_secrets s;
        int rc;

        in_folder("secret", path, sizeof(path));
        put_file(path, cases[i].text, cases[i].mode);
        err_reset();
        rc = tls_secrets_read(path, &s);
        if (cases[i].mode == 0640 && geteuid() == 0)
            continue; /* root's may be read by a group */
        if (cases[i].why == NULL) {
            assert_int_equal(rc, 0);
            continue;
        }
        assert_true(rc < 0);
        assert_non_null(strstr(err_text(), cases[i].why));
        assert_null(strstr(err_text(), "001122"));
    }
}

static void secret__a_folder_and_a_pipe_are_no_files(void **state)
{
    char path[300];
    struct tls_secrets s;

    (void)state;
    in_folder("secret", path, sizeof(path));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(tls_secrets_read(path, &s), -EINVAL);
    assert_non_null(strstr(err_text(), "no regular file"));
    assert_int_equal(tls_secrets_read("/nowhere/at/all", &s), -ENOENT);
}

static void secret__a_credential_is_looked_for_where_systemd_says(void **state)
{
    char path[300];
    char found[300];
    struct tls_secrets s;

    (void)state;
    in_folder("ridd-secret", path, sizeof(path));
    put_file(path, DIGITS64 "\n", 0400);
    *strrchr(path, '/') = '\0';
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(tls_secrets_read("credential:ridd-secret", &s), -ENOENT);
    assert_non_null(strstr(err_text(), "LoadCredential"));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path, 1), 0);
    assert_int_equal(tls_file_path("credential:ridd-secret", found, sizeof(found)), 0);
    assert_int_equal(tls_secrets_read("credential:ridd-secret", &s), 0);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

/* What one use, cluster or client can do with its key none of the others can (TLS-5). */
static void secret__keys_of_other_uses_clusters_and_names_differ(void **state)
{
    struct tls_secrets s;
    unsigned char keys[5][TLS_PSK_BYTES];
    unsigned char ids[3][TLS_SECRET_ID_BYTES];

    (void)state;
    a_secret(7, &s);
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_PEER, "c1", "", keys[0]), 0);
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_PEER, "c2", "", keys[1]), 0);
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_CLIENT, "c1", "", keys[2]), 0);
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_CLIENT, "c1", "app", keys[3]), 0);
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_CLIENT, "c2", "app", keys[4]), 0);
    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(keys[i], keys[k], TLS_PSK_BYTES);
    assert_int_equal(tls_secret_id(&s.of[0], TLS_SECRET_PEER, "c1", ids[0]), 0);
    assert_int_equal(tls_secret_id(&s.of[0], TLS_SECRET_PEER, "c2", ids[1]), 0);
    assert_int_equal(tls_secret_id(&s.of[0], TLS_SECRET_CLIENT, "c1", ids[2]), 0);
    assert_memory_not_equal(ids[0], ids[1], TLS_SECRET_ID_BYTES);
    assert_memory_not_equal(ids[0], ids[2], TLS_SECRET_ID_BYTES);
}

static void secret__a_client_has_the_same_key_of_its_own_file(void **state)
{
    struct tls_secrets s;
    struct tls_secrets read;
    struct tls_secret derived;
    unsigned char here[TLS_PSK_BYTES];
    unsigned char there[TLS_PSK_BYTES];
    char text[600];
    char path[300];

    (void)state;
    a_secret(7, &s);
    assert_int_equal(tls_secret_derive(&s.of[0], "c1", "app1", &derived), 0);
    assert_int_equal(tls_secret_format(&derived, text, sizeof(text)), 0);
    in_folder("app1", path, sizeof(path));
    put_file(path, text, 0600);
    assert_int_equal(tls_secrets_read(path, &read), 0);
    assert_string_equal(read.of[0].name, "app1");
    assert_int_equal(tls_secret_psk(&s.of[0], TLS_SECRET_CLIENT, "c1", "app1", here), 0);
    assert_int_equal(tls_secret_psk(&read.of[0], TLS_SECRET_CLIENT, "", "", there), 0);
    assert_memory_equal(here, there, TLS_PSK_BYTES);
    assert_memory_not_equal(derived.bytes, s.of[0].bytes, 32);
}

static void token__is_random_and_its_hash_is_that_of_sha256sum(void **state)
{
    char a[TLS_TOKEN_TEXT_BYTES + 1];
    char b[TLS_TOKEN_TEXT_BYTES + 1];
    char hash_a[65];
    char hash_b[65];
    unsigned char hash[32];

    (void)state;
    assert_int_equal(tls_token_make(a, hash_a), 0);
    assert_int_equal(tls_token_make(b, hash_b), 0);
    assert_string_not_equal(a, b);
    assert_string_not_equal(hash_a, hash_b);
    assert_int_equal(strlen(a), TLS_TOKEN_TEXT_BYTES);
    assert_int_equal(strncmp(a, "ridd_", 5), 0);
    assert_int_equal(tls_token_hash("abc", 3, hash), 0); /* FIPS 180-2, B.1 */
    assert_int_equal(hash[0], 0xba);
    assert_int_equal(hash[31], 0xad);
}

/* ---- handshakes ---- */

struct pair {
    struct tls_ctx *ctx[2]; /* by enum tls_side */
    struct tls_stream *stream[2];
    int fd[2];
    int rc[2];
    char why[2][400];
};

static struct tls_ctx *secret_ctx(enum tls_use use, const char *cluster,
                                  const struct tls_secrets *s)
{
    const struct tls_conf conf = {.use = use, .cluster = cluster, .secrets = s};
    struct tls_ctx *c = NULL;

    assert_int_equal(tls_ctx_new(&conf, &c), 0);
    return c;
}

static void pair_open(struct pair *p, struct tls_ctx *accept, struct tls_ctx *dial)
{
    memset(p, 0, sizeof(*p));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
    p->ctx[TLS_ACCEPT] = accept;
    p->ctx[TLS_DIAL] = dial;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(tls_stream_new(p->ctx[i], (enum tls_side)i, p->fd[i], NULL, &p->stream[i]),
                         0);
        p->rc[i] = TLS_WANT_READ;
    }
}

static void pair_shake(struct pair *p)
{
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

static void pair_close(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        tls_stream_free(p->stream[i]);
        (void)close(p->fd[i]);
        tls_ctx_unref(p->ctx[i]);
    }
}

static void handshake__two_with_one_secret_are_content(void **state)
{
    struct tls_secrets s;
    struct pair p;
    const struct tls_identity *id;

    (void)state;
    a_secret(7, &s);
    pair_open(&p, secret_ctx(TLS_PEERS, "c1", &s), secret_ctx(TLS_PEERS, "c1", &s));
    assert_true(tls_is_silent(p.stream[TLS_ACCEPT]));
    pair_shake(&p);
    assert_int_equal(p.rc[TLS_ACCEPT], TLS_DONE);
    assert_int_equal(p.rc[TLS_DIAL], TLS_DONE);
    for (unsigned i = 0; i < 2; i++) {
        id = tls_stream_identity(p.stream[i]);
        assert_int_equal(id->kind, TLS_SECRET);
        assert_string_equal(id->names, "");
        assert_true(tls_ctx_accepts(p.ctx[i], id->secret_id));
    }
    pair_close(&p);
}

static void handshake__a_client_is_known_by_the_name_of_its_secret(void **state)
{
    struct tls_secrets s;
    struct tls_secrets own = {.n = 1};
    struct pair p;

    (void)state;
    a_secret(7, &s);
    assert_int_equal(tls_secret_derive(&s.of[0], "c1", "app1", &own.of[0]), 0);
    pair_open(&p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "", &own));
    pair_shake(&p);
    assert_int_equal(p.rc[TLS_ACCEPT], TLS_DONE);
    assert_int_equal(p.rc[TLS_DIAL], TLS_DONE);
    assert_true(tls_identity_has(tls_stream_identity(p.stream[TLS_ACCEPT]), "app1"));
    assert_false(tls_identity_has(tls_stream_identity(p.stream[TLS_ACCEPT]), "app"));
    assert_false(tls_identity_has(tls_stream_identity(p.stream[TLS_ACCEPT]), ""));
    pair_close(&p);
}

/* It says its own name, or there is no handshake: a key is good for one name. */
static void handshake__a_client_cannot_take_another_ones_name(void **state)
{
    struct tls_secrets s;
    struct tls_secrets own = {.n = 1};
    struct pair p;

    (void)state;
    a_secret(7, &s);
    assert_int_equal(tls_secret_derive(&s.of[0], "c1", "app1", &own.of[0]), 0);
    (void)snprintf(own.of[0].name, sizeof(own.of[0].name), "root");
    pair_open(&p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "", &own));
    pair_shake(&p);
    assert_true(p.rc[TLS_ACCEPT] < 0);
    assert_true(p.rc[TLS_DIAL] < 0);
    assert_non_null(strstr(p.why[TLS_ACCEPT], "names our secret and does not know it"));
    pair_close(&p);
}

static void must_fail(enum tls_use use_a, const char *cluster_a, unsigned char fill_a,
                      enum tls_use use_b, const char *cluster_b, unsigned char fill_b,
                      const char *why_accept)
{
    struct tls_secrets a;
    struct tls_secrets b;
    struct pair p;

    a_secret(fill_a, &a);
    a_secret(fill_b, &b);
    pair_open(&p, secret_ctx(use_a, cluster_a, &a), secret_ctx(use_b, cluster_b, &b));
    pair_shake(&p);
    assert_true(p.rc[TLS_ACCEPT] < 0);
    assert_true(p.rc[TLS_DIAL] < 0);
    if (strstr(p.why[TLS_ACCEPT], why_accept) == NULL)
        fail_msg("accept side says: %s", p.why[TLS_ACCEPT]);
    assert_non_null(strstr(p.why[TLS_DIAL], "nothing in common with us"));
    pair_close(&p);
}

/* Each side says what it is not content with (TLS-7). */
static void handshake__other_secrets_clusters_and_uses_fail_in_words(void **state)
{
    (void)state;
    must_fail(TLS_PEERS, "c1", 7, TLS_PEERS, "c1", 8, "knows none of our secrets");
    must_fail(TLS_PEERS, "c1", 7, TLS_PEERS, "c2", 7, "knows none of our secrets");
    must_fail(TLS_PEERS, "c1", 7, TLS_CLIENTS, "c1", 7, "knows none of our secrets");
    must_fail(TLS_CLIENTS, "c1", 7, TLS_PEERS, "c1", 7, "knows none of our secrets");
}

/* A secret is changed without a moment at which two nodes have none in common (TLS-6). */
static void handshake__the_first_secret_is_used_and_all_are_accepted(void **state)
{
    struct tls_secrets old;
    struct tls_secrets both;
    struct tls_secrets fresh;
    struct tls_secrets turned;

    (void)state;
    a_secret(7, &old);
    a_secret(8, &fresh);
    both = old;
    both.n = 2;
    both.of[1] = fresh.of[0];
    turned = both;
    turned.of[0] = fresh.of[0];
    turned.of[1] = old.of[0];
    /* Any two nodes that are one step apart while a secret is changed. */
    const struct tls_secrets *const pairs[][2] = {{&old, &both},     {&both, &old},
                                                  {&both, &turned},  {&turned, &both},
                                                  {&turned, &fresh}, {&fresh, &turned}};
    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct pair p;

        pair_open(&p, secret_ctx(TLS_PEERS, "c1", pairs[i][0]),
                  secret_ctx(TLS_PEERS, "c1", pairs[i][1]));
        pair_shake(&p);
        assert_int_equal(p.rc[TLS_ACCEPT], TLS_DONE);
        assert_int_equal(p.rc[TLS_DIAL], TLS_DONE);
        pair_close(&p);
    }
}

/* No ticket follows the handshake (TLS-2): it would be on its way by now. */
static void handshake__nothing_can_be_resumed(void **state)
{
    struct tls_secrets s;
    struct pair p;
    int n_unread = -1;

    (void)state;
    a_secret(7, &s);
    pair_open(&p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "c1", &s));
    pair_shake(&p);
    assert_int_equal(p.rc[TLS_ACCEPT], TLS_DONE);
    assert_int_equal(p.rc[TLS_DIAL], TLS_DONE);
    assert_int_equal(ioctl(p.fd[TLS_DIAL], FIONREAD, &n_unread), 0);
    assert_int_equal(n_unread, 0);
    pair_close(&p);
}

/* ---- bytes ---- */

static void open_clients(struct pair *p)
{
    struct tls_secrets s;

    a_secret(7, &s);
    pair_open(p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "c1", &s));
    pair_shake(p);
    assert_int_equal(p->rc[TLS_ACCEPT], TLS_DONE);
    assert_int_equal(p->rc[TLS_DIAL], TLS_DONE);
}

static void bytes__come_as_they_were_sent(void **state)
{
    static unsigned char out[100000];
    static unsigned char in[100000];
    struct pair p;
    size_t sent = 0;
    size_t got = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (unsigned char)(i * 7 + i / 251);
    open_clients(&p);
    while (got < sizeof(out)) {
        ssize_t n;

        if (sent < sizeof(out)) {
            n = tls_send(p.stream[TLS_DIAL], out + sent, sizeof(out) - sent);
            sent += n > 0 ? (size_t)n : 0;
        }
        n = tls_recv(p.stream[TLS_ACCEPT], in + got, 1000);
        if (n < 0)
            assert_int_equal(errno, EAGAIN);
        got += n > 0 ? (size_t)n : 0;
    }
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(tls_recv(p.stream[TLS_ACCEPT], in, 1000), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(tls_stream_pending(p.stream[TLS_ACCEPT]), 0);
    pair_close(&p);
}

/* What a client believes not to have left must not leave (ASYNC-5). */
static void bytes__what_is_in_doubt_leaves_whatever_is_offered_next(void **state)
{
    static unsigned char first[16384];
    static unsigned char other[16384];
    static unsigned char in[16384];
    struct pair p;
    size_t n_first = 0;
    size_t n_seen = 0;
    ssize_t n;

    (void)state;
    memset(first, 'a', sizeof(first));
    memset(other, 'b', sizeof(other));
    open_clients(&p);
    assert_int_equal(tls_in_doubt(p.stream[TLS_DIAL]), 0);
    while ((n = tls_send(p.stream[TLS_DIAL], first, sizeof(first))) > 0)
        n_first += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    n_first += tls_in_doubt(p.stream[TLS_DIAL]);
    assert_int_equal(tls_in_doubt(p.stream[TLS_DIAL]), sizeof(first));
    for (bool retried = false;;) {
        n = tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in));
        if (n < 0 && retried)
            break;
        if (n < 0) {
            assert_true(tls_send(p.stream[TLS_DIAL], other, sizeof(other)) > 0);
            retried = true;
            continue;
        }
        for (ssize_t i = 0; i < n; i++)
            n_seen += in[i] == 'a';
    }
    assert_int_equal(n_seen, n_first);
    assert_int_equal(tls_in_doubt(p.stream[TLS_DIAL]), 0);
    pair_close(&p);
}

static void end__one_that_is_said_differs_from_one_that_is_cut(void **state)
{
    char in[10];

    (void)state;
    for (unsigned said = 0; said < 2; said++) {
        struct pair p;

        open_clients(&p);
        assert_int_equal(tls_send(p.stream[TLS_DIAL], "x", 1), 1);
        if (said)
            tls_say_end(p.stream[TLS_DIAL]);
        (void)shutdown(p.fd[TLS_DIAL], SHUT_WR);
        assert_int_equal(tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in)), 1);
        assert_int_equal(tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in)), 0);
        assert_int_equal(tls_ended_well(p.stream[TLS_ACCEPT]), said);
        pair_close(&p);
    }
}

static void change_keys(struct ssl_st *ssl, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
}

/* Each change costs work that nobody pays for (TLS-4). */
static void bytes__keys_may_change_but_not_over_and_over(void **state)
{
    struct pair p;
    struct ssl_st *ssl;
    char in[10];
    ssize_t n;

    (void)state;
    open_clients(&p);
    ssl = tls_stream_take(p.stream[TLS_DIAL]);
    p.stream[TLS_DIAL] = NULL;
    change_keys(ssl, 10);
    assert_int_equal(SSL_write(ssl, "y", 1), 1);
    while ((n = tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in))) < 0)
        assert_int_equal(errno, EINTR);
    assert_int_equal(in[0], 'y');
    assert_int_equal(tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in)), -1);
    assert_int_equal(errno, EAGAIN);
    for (unsigned i = 0; i < 4; i++) {
        change_keys(ssl, 20);
        do
            n = tls_recv(p.stream[TLS_ACCEPT], in, sizeof(in));
        while (n < 0 && errno == EINTR);
        assert_int_equal(n, -1);
        assert_int_equal(errno, i < 2 ? EAGAIN : EPROTO);
    }
    assert_non_null(strstr(tls_stream_why(p.stream[TLS_ACCEPT]), "over and over"));
    SSL_free(ssl);
    pair_close(&p);
}

/* ---- who speaks something else ---- */

static void on_raw(const char *bytes, size_t len, const char *why)
{
    struct tls_secrets s;
    struct pair p;

    a_secret(7, &s);
    pair_open(&p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "c1", &s));
    assert_int_equal(write(p.fd[TLS_DIAL], bytes, len), (ssize_t)len);
    (void)shutdown(p.fd[TLS_DIAL], SHUT_WR);
    while (p.rc[TLS_ACCEPT] == TLS_WANT_READ)
        p.rc[TLS_ACCEPT] = tls_shake(p.stream[TLS_ACCEPT]);
    assert_true(p.rc[TLS_ACCEPT] < 0);
    if (strstr(err_text(), why) == NULL)
        fail_msg("says: %s", err_text());
    pair_close(&p);
}

static void handshake__plain_text_is_named(void **state)
{
    static const char json[] = "{\"type\":\"ping\",\"msg_id\":1}\n";
    static const char http[] = "GET / HTTP/1.1\r\n\r\n";

    (void)state;
    on_raw(json, sizeof(json) - 1, "it speaks plain text here");
    on_raw(http, sizeof(http) - 1, "it speaks HTTP here");
    on_raw("\x16\x03", 2, "closed the connection in the middle of TLS");
    on_raw("", 0, "closed the connection in the middle of TLS");
}

/* Version 1.3 alone (TLS-1). */
static void handshake__older_versions_are_refused(void **state)
{
    struct tls_secrets s;
    struct pair p;
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    int rc = TLS_WANT_READ;

    (void)state;
    a_secret(7, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(x, TLS1_2_VERSION), 1);
    pair_open(&p, secret_ctx(TLS_CLIENTS, "c1", &s), secret_ctx(TLS_CLIENTS, "c1", &s));
    ssl = SSL_new(x);
    assert_int_equal(SSL_set_fd(ssl, p.fd[TLS_DIAL]), 1);
    (void)SSL_connect(ssl);
    while (rc == TLS_WANT_READ)
        rc = tls_shake(p.stream[TLS_ACCEPT]);
    assert_true(rc < 0);
    if (strstr(err_text(), "does not speak TLS 1.3") == NULL)
        fail_msg("says: %s", err_text());
    SSL_free(ssl);
    SSL_CTX_free(x);
    pair_close(&p);
}

/* ---- contexts ---- */

static void context__what_cannot_serve_is_refused_in_words(void **state)
{
    struct tls_secrets s;
    struct tls_secrets derived = {.n = 1};
    struct tls_ctx *c = NULL;

    (void)state;
    a_secret(7, &s);
    assert_int_equal(tls_secret_derive(&s.of[0], "c1", "app1", &derived.of[0]), 0);
    const struct tls_conf none = {.use = TLS_PEERS, .cluster = "c1"};
    const struct tls_conf nameless = {.use = TLS_CLIENTS, .secrets = &s};
    const struct tls_conf clients = {.use = TLS_PEERS, .cluster = "c1", .secrets = &derived};
    const struct tls_conf nowhere = {
        .use = TLS_CLIENTS, .cert_file = "/nowhere.pem", .key_file = "/nowhere.key"};
    const struct tls_conf ok = {.use = TLS_CLIENTS, .secrets = &derived};

    assert_int_equal(tls_ctx_new(&none, &c), -EINVAL);
    assert_int_equal(tls_ctx_new(&nameless, &c), -EINVAL);
    assert_non_null(strstr(err_text(), "which cluster"));
    assert_int_equal(tls_ctx_new(&clients, &c), -EINVAL);
    assert_non_null(strstr(err_text(), "one of a client ('app1')"));
    assert_int_equal(tls_ctx_new(&nowhere, &c), -ENOENT);
    assert_non_null(strstr(err_text(), "/nowhere.pem"));
    assert_null(c);
    assert_int_equal(tls_ctx_new(&ok, &c), 0);
    assert_false(tls_ctx_may_accept(c));
    tls_ctx_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret__one_that_was_made_is_read_and_another_each_time),
        cmocka_unit_test(secret__files_that_are_none_are_refused_in_words),
        cmocka_unit_test(secret__a_folder_and_a_pipe_are_no_files),
        cmocka_unit_test(secret__a_credential_is_looked_for_where_systemd_says),
        cmocka_unit_test(secret__keys_of_other_uses_clusters_and_names_differ),
        cmocka_unit_test(secret__a_client_has_the_same_key_of_its_own_file),
        cmocka_unit_test(token__is_random_and_its_hash_is_that_of_sha256sum),
        cmocka_unit_test(handshake__two_with_one_secret_are_content),
        cmocka_unit_test(handshake__a_client_is_known_by_the_name_of_its_secret),
        cmocka_unit_test(handshake__a_client_cannot_take_another_ones_name),
        cmocka_unit_test(handshake__other_secrets_clusters_and_uses_fail_in_words),
        cmocka_unit_test(handshake__the_first_secret_is_used_and_all_are_accepted),
        cmocka_unit_test(handshake__nothing_can_be_resumed),
        cmocka_unit_test(bytes__come_as_they_were_sent),
        cmocka_unit_test(bytes__what_is_in_doubt_leaves_whatever_is_offered_next),
        cmocka_unit_test(end__one_that_is_said_differs_from_one_that_is_cut),
        cmocka_unit_test(bytes__keys_may_change_but_not_over_and_over),
        cmocka_unit_test(handshake__plain_text_is_named),
        cmocka_unit_test(handshake__older_versions_are_refused),
        cmocka_unit_test(context__what_cannot_serve_is_refused_in_words),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
