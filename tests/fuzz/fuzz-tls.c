/* TLS from outside: whatever comes before, within or behind a handshake, nobody is let in who does
 * not know the secret, and no byte that was not protected is handed on.
 *
 * The first byte says what the rest is (enum way). Keys are drawn anew in each handshake, so inputs
 * are the same and what OpenSSL makes of them is not, to the byte. */
#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "fuzz/fuzz.h"
#include "tls/tls.h"

#include "base/banned.h"

const char fuzz_name[] = "tls";
const unsigned fuzz_runs = 3000;

enum way {
    RAW_TO_ACCEPTOR,  /* what a stranger says first */
    RAW_TO_DIALLER,   /* what a false server says */
    BEHIND_HANDSHAKE, /* injected into a connection that stands */
    FLIPPED_HELLO,    /* a true first flight with bytes that were changed: position and mask */
    IDENTITY,         /* what a stranger calls his secret */
    SECRET_FILE,      /* no TLS: the file that it comes from */
    WAYS,
};

static struct tls_ctx *ctx;

static void set_up(void)
{
    struct tls_secrets s = {.n = 2, .of = {{.len = 32}, {.len = 32}}};
    const struct tls_conf conf = {.use = TLS_CLIENTS, .cluster = "c1", .secrets = &s};

    if (ctx != NULL)
        return;
    (void)signal(SIGPIPE, SIG_IGN);
    memset(s.of[1].bytes, 1, 32);
    rid_assert(tls_ctx_new(&conf, &ctx) == 0);
}

struct pair {
    int fd[2];
    struct tls_stream *stream[2];
};

static void open_pair(struct pair *p)
{
    rid_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd) == 0);
    for (unsigned i = 0; i < 2; i++)
        rid_assert(tls_stream_new(ctx, (enum tls_side)i, p->fd[i], NULL, &p->stream[i]) == 0);
}

static void close_pair(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        tls_stream_free(p->stream[i]);
        (void)close(p->fd[i]);
    }
}

static void give(int fd, const uint8_t *data, size_t size)
{
    (void)!write(fd, data, size);
}

/* It comes to its end without being let in. */
static void must_not_shake(struct tls_stream *s, int from)
{
    int rc;

    (void)shutdown(from, SHUT_WR);
    do
        rc = tls_shake(s);
    while (rc == TLS_WANT_READ);
    rid_assert(rc < 0);
    rid_assert(err_text()[0] != '\0');
}

static void raw(enum tls_side to, const uint8_t *data, size_t size)
{
    struct pair p;

    open_pair(&p);
    if (to == TLS_DIAL)
        (void)tls_shake(p.stream[TLS_DIAL]);
    give(p.fd[1 - to], data, size);
    must_not_shake(p.stream[to], p.fd[1 - to]);
    close_pair(&p);
}

static void behind_handshake(const uint8_t *data, size_t size)
{
    struct pair p;
    int rc[2] = {TLS_WANT_READ, TLS_WANT_READ};
    char buf[512];
    ssize_t n;

    open_pair(&p);
    for (unsigned i = 0; i < 10; i++)
        for (unsigned k = 0; k < 2; k++)
            if (rc[k] != TLS_DONE)
                rc[k] = tls_shake(p.stream[k]);
    rid_assert(rc[0] == TLS_DONE && rc[1] == TLS_DONE);
    give(p.fd[TLS_DIAL], data, size);
    (void)shutdown(p.fd[TLS_DIAL], SHUT_WR);
    for (unsigned i = 0; i < 64; i++) {
        n = tls_recv(p.stream[TLS_ACCEPT], buf, sizeof(buf));
        rid_assert(n <= 0);
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    rid_assert(!tls_ended_well(p.stream[TLS_ACCEPT]));
    close_pair(&p);
}

/* The flight of one that knows the secret: changed by a byte it is nobody's. */
static void flipped_hello(const uint8_t *data, size_t size)
{
    uint8_t flight[4096];
    struct pair p;
    bool changed = false;
    ssize_t n;

    open_pair(&p);
    (void)tls_shake(p.stream[TLS_DIAL]);
    n = read(p.fd[TLS_ACCEPT], flight, sizeof(flight));
    rid_assert(n > 0);
    for (size_t i = 0; i + 2 < size; i += 3) {
        const size_t at = ((size_t)data[i] << 8 | data[i + 1]) % (size_t)n;

        flight[at] ^= data[i + 2];
        changed = changed || data[i + 2] != 0;
    }
    /* Once more, so that it stands before the acceptor: by a pair of its own. */
    if (changed) {
        struct pair q;

        open_pair(&q);
        give(q.fd[TLS_DIAL], flight, (size_t)n);
        must_not_shake(q.stream[TLS_ACCEPT], q.fd[TLS_DIAL]);
        close_pair(&q);
    }
    close_pair(&p);
}

/* ---- a client of OpenSSL's own ---- */

static const uint8_t *identity;
static size_t identity_len;

static int use_identity(SSL *ssl, const EVP_MD *md, const unsigned char **ret, size_t *ret_len,
                        SSL_SESSION **ret_session)
{
    static const unsigned char suite[] = {0x13, 0x01};
    static const unsigned char key[32] = {3};
    SSL_SESSION *s = SSL_SESSION_new();

    (void)md;
    rid_assert(SSL_SESSION_set1_master_key(s, key, sizeof(key)) == 1);
    rid_assert(SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, suite)) == 1);
    rid_assert(SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1);
    *ret = identity;
    *ret_len = identity_len;
    *ret_session = s;
    return 1;
}

static void call_with_identity(const uint8_t *data, size_t size)
{
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    struct pair p;
    SSL *ssl;

    if (size == 0 || size > 2000) {
        SSL_CTX_free(x);
        return;
    }
    identity = data;
    identity_len = size;
    SSL_CTX_set_psk_use_session_callback(x, use_identity);
    ssl = SSL_new(x);
    open_pair(&p);
    rid_assert(SSL_set_fd(ssl, p.fd[TLS_DIAL]) == 1);
    (void)SSL_connect(ssl);
    must_not_shake(p.stream[TLS_ACCEPT], p.fd[TLS_DIAL]);
    close_pair(&p);
    SSL_free(ssl);
    SSL_CTX_free(x);
}

/* ---- the file ---- */

static void read_secrets(const uint8_t *data, size_t size)
{
    struct tls_secrets s;
    char path[64];
    const int fd = memfd_create("secret", MFD_CLOEXEC);

    rid_assert(fd >= 0 && fchmod(fd, 0600) == 0);
    give(fd, data, size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (tls_secrets_read(path, &s) == 0) {
        rid_assert(s.n > 0 && s.n <= TLS_SECRETS_MAX);
        for (unsigned i = 0; i < s.n; i++)
            rid_assert(s.of[i].len >= TLS_SECRET_BYTES_MIN && s.of[i].len <= TLS_SECRET_BYTES_MAX &&
                       (s.of[i].name[0] != '\0') == (s.of[0].name[0] != '\0'));
    } else {
        rid_assert(s.n == 0);
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    if (size == 0)
        return 0;
    switch ((enum way)(data[0] % WAYS)) {
    case RAW_TO_ACCEPTOR:
        raw(TLS_ACCEPT, data + 1, size - 1);
        break;
    case RAW_TO_DIALLER:
        raw(TLS_DIAL, data + 1, size - 1);
        break;
    case BEHIND_HANDSHAKE:
        behind_handshake(data + 1, size - 1);
        break;
    case FLIPPED_HELLO:
        flipped_hello(data + 1, size - 1);
        break;
    case IDENTITY:
        call_with_identity(data + 1, size - 1);
        break;
    case SECRET_FILE:
        read_secrets(data + 1, size - 1);
        break;
    case WAYS:
        rid_assert(false);
    }
    return 0;
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct {
    const char *text;
    size_t len;
} seeds[] = {
#define SEED(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
    SEED("\x00"),
    SEED("\x00{\"type\":\"ping\",\"msg_id\":1}\n"),
    SEED("\x00GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    SEED("\x00\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
    SEED("\x00\x80\x2e\x01\x00\x02"),
    SEED("\x01\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
    SEED("\x01\x15\x03\x03\x00\x02\x02\x28"),
    SEED("\x02\x17\x03\x03\x00\x13xxxxxxxxxxxxxxxxxxx"),
    SEED("\x02\x15\x03\x03\x00\x02\x01\x00"),
    SEED("\x02\x14\x03\x03\x00\x01\x01"),
    SEED("\x02{\"type\":\"ping\",\"msg_id\":1}\n"),
    SEED("\x03\x00\x00\x01"),
    SEED("\x03\x00\x10\x80\x00\x30\x01\x01\x00\xff"),
    SEED("\x04ridd1 c 0123456789abcdef app1"),
    SEED("\x04ridd1 p 0123456789abcdef"),
    SEED("\x05" HEX64 "\n# comment\n" HEX64 "\n"),
    SEED("\x05"
         "app1 0123456789abcdef " HEX64 "\n"),
};

int fuzz_seed(unsigned i, struct buf *buf)
{
    if (i >= sizeof(seeds) / sizeof(seeds[0]))
        return 1;
    rid_assert(buf_add(buf, seeds[i].text, seeds[i].len) == 0);
    return 0;
}
