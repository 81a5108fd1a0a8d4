/* A connection: its handshake, its bytes, and who is on the other side. */
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "tls/tls_int.h"

#include "base/banned.h"

/* ---- the socket ---- */

/* As OpenSSL's own, but that one whose other side is gone raises no signal: a library has no say
 * in what a program does with SIGPIPE (ASYNC-16). */
static int bio_write(BIO *bio, const char *data, int len)
{
    const ssize_t n = send((int)BIO_get_fd(bio, NULL), data, (size_t)len, MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    if (n <= 0 && BIO_sock_should_retry((int)n))
        BIO_set_retry_write(bio);
    return (int)n;
}

static BIO_METHOD *bio_method; /* lives as long as the process; NULL: no memory */

static void make_bio_method(void)
{
    const BIO_METHOD *own = BIO_s_socket();
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOCKET, "socket without signals");

    if (m != NULL && BIO_meth_set_write(m, bio_write) == 1 &&
        BIO_meth_set_read(m, BIO_meth_get_read(own)) == 1 &&
        BIO_meth_set_puts(m, BIO_meth_get_puts(own)) == 1 &&
        BIO_meth_set_ctrl(m, BIO_meth_get_ctrl(own)) == 1 &&
        BIO_meth_set_create(m, BIO_meth_get_create(own)) == 1 &&
        BIO_meth_set_destroy(m, BIO_meth_get_destroy(own)) == 1)
        bio_method = m;
    else
        BIO_meth_free(m);
}

static bool set_fd(SSL *ssl, int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    (void)pthread_once(&once, make_bio_method);
    bio = bio_method != NULL ? BIO_new(bio_method) : NULL;
    if (bio == NULL)
        return false;
    (void)BIO_set_fd(bio, fd, BIO_NOCLOSE);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

/* ---- a stream ---- */

struct tls_stream *tls_stream_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static void cleanup_stream_fn(struct tls_stream **s)
{
    tls_stream_free(*s);
}

int tls_stream_new(struct tls_ctx *c, enum tls_side side, int fd, const char *host,
                   struct tls_stream **ret)
{
    CLEANUP(stream) struct tls_stream *s = calloc(1, sizeof(*s));
    int rc = 0;

    if (s == NULL)
        return err_origin(err_say(-ENOMEM, "out of memory"));
    list_init(&s->dropped);
    s->ctx = tls_ctx_ref(c);
    s->fd = fd;
    s->side = side;
    s->ssl = SSL_new(side == TLS_ACCEPT ? c->accept : c->dial);
    if (s->ssl == NULL || SSL_set_app_data(s->ssl, s) != 1 || (fd >= 0 && !set_fd(s->ssl, fd))) {
        ERR_clear_error();
        return err_origin(err_say(-ENOMEM, "out of memory"));
    }
    if (host != NULL)
        rc = tls_certificate_host(s, host);
    if (rc != 0)
        return err_trace(rc);
    if (side == TLS_ACCEPT)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    *ret = take_ptr(s);
    return 0;
}

void tls_stream_free(struct tls_stream *s)
{
    if (s == NULL)
        return;
    if (s->ssl != NULL)
        (void)SSL_set_app_data(s->ssl, NULL); /* who it was lent to may have it for longer */
    list_remove(&s->dropped);
    SSL_free(s->ssl);
    tls_ctx_unref(s->ctx);
    free(s);
}

/* ---- the handshake ---- */

/* A handshake that is done by a secret counts as one that resumes something; there is nothing else
 * that could be resumed (TLS-2). */
static int identify(struct tls_stream *s)
{
    if (SSL_session_reused(s->ssl)) {
        s->identity.kind = TLS_SECRET;
        memcpy(s->identity.secret_id, s->psk_id, sizeof(s->psk_id));
        (void)snprintf(s->identity.names, sizeof(s->identity.names), "%s", s->psk_name);
        return 0;
    }
    if (tls_certificate_identify(s) || (s->ctx->use == TLS_CLIENTS && s->side == TLS_ACCEPT))
        return 0;
    (void)snprintf(s->why, sizeof(s->why), "it proves nothing of itself");
    return -EPROTO;
}

int tls_shake(struct tls_stream *s)
{
    int rc;
    int error;

    rid_assert(!s->is_shaken);
    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(s->ssl);
    error = errno;
    if (rc == 1 && identify(s) == 0) {
        s->is_shaken = true;
        return TLS_DONE;
    }
    if (rc != 1) {
        const int why = SSL_get_error(s->ssl, rc);

        if (why == SSL_ERROR_WANT_READ)
            return TLS_WANT_READ;
        if (why == SSL_ERROR_WANT_WRITE)
            return TLS_WANT_WRITE;
        tls_say_why(s, why, error);
    }
    ERR_clear_error();
    return err_origin(err_say(-EPROTO, "%s", s->why));
}

bool tls_is_silent(const struct tls_stream *s)
{
    int n_unread = 0;

    return !s->is_shaken && BIO_number_read(SSL_get_rbio(s->ssl)) == 0 &&
           (ioctl(s->fd, FIONREAD, &n_unread) != 0 || n_unread == 0);
}

const struct tls_identity *tls_stream_identity(const struct tls_stream *s)
{
    return &s->identity;
}

bool tls_identity_has(const struct tls_identity *id, const char *name)
{
    const size_t len = strlen(name);

    for (const char *at = id->names; len > 0 && *at != '\0';) {
        const size_t n = strcspn(at, "\n");

        if (n == len && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == '\n');
    }
    return false;
}

/* ---- bytes ---- */

/* After an operation that gave nothing. -1 with errno; 0: the end. */
static ssize_t nothing(struct tls_stream *s, int rc, int errno_value)
{
    const int why = SSL_get_error(s->ssl, rc);

    switch (why) {
    case SSL_ERROR_ZERO_RETURN:
        s->ended_well = true;
        return 0;
    case SSL_ERROR_WANT_READ:
        /* The socket was empty, or something that is no data was taken from it: OpenSSL asks to be
         * called again for both, and only the kernel tells which it was. */
        errno = errno_value == EAGAIN ? EAGAIN : EINTR;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    default:
        break;
    }
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return 0; /* cut off: ended_well says no */
    }
    tls_say_why(s, why, errno_value);
    ERR_clear_error();
    errno = why == SSL_ERROR_SYSCALL && errno_value != 0 ? errno_value : EPROTO;
    return -1;
}

/* For each OpenSSL makes new keys, in one go for all that one read of the socket brought: sixteen
 * kilobytes of nothing else cost milliseconds. Whoever has much to say may change them now and
 * then (TLS-4). */
static void on_message(int is_ours, int version, int type, const void *data, size_t len, SSL *ssl,
                       void *arg)
{
    struct tls_stream *s = arg;

    (void)version;
    (void)ssl;
    if (!is_ours && type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const unsigned char *)data == SSL3_MT_KEY_UPDATE)
        s->n_key_updates++;
}

static void begin_reading(struct tls_stream *s)
{
    /* From here on more than one record may come with one call of the kernel; before, the stream
     * might be handed on with bytes that nobody would look for. */
    s->reads = true;
    SSL_set_read_ahead(s->ssl, 1);
    SSL_set_msg_callback(s->ssl, on_message);
    (void)SSL_set_msg_callback_arg(s->ssl, s);
}

ssize_t tls_recv(struct tls_stream *s, void *buf, size_t size)
{
    size_t n = 0;
    int rc;
    int error;

    rid_assert(s->is_shaken);
    if (!s->reads)
        begin_reading(s);
    ERR_clear_error();
    errno = 0;
    rc = SSL_read_ex(s->ssl, buf, size, &n);
    error = errno;
    s->bytes_in += n;
    if (s->n_key_updates > TLS_KEY_UPDATES_MAX + s->bytes_in / TLS_KEY_UPDATE_BYTES) {
        (void)snprintf(s->why, sizeof(s->why), "it changes its keys over and over");
        ERR_clear_error();
        errno = EPROTO;
        return -1;
    }
    if (rc == 1)
        return (ssize_t)n;
    return nothing(s, rc, error);
}

size_t tls_stream_pending(const struct tls_stream *s)
{
    const int n = SSL_pending(s->ssl);

    return n > 0 ? (size_t)n : (size_t)SSL_has_pending(s->ssl);
}

bool tls_ended_well(const struct tls_stream *s)
{
    return s->ended_well;
}

ssize_t tls_send(struct tls_stream *s, const void *data, size_t len)
{
    size_t n = 0;
    int error;
    int rc;

    rid_assert(s->is_shaken);
    rid_assert(len > 0);
    ERR_clear_error();
    errno = 0;
    rc = SSL_write_ex(s->ssl, data, len, &n);
    if (rc == 1) {
        s->in_doubt = 0;
        return (ssize_t)n;
    }
    error = errno;
    /* A record is made, and goes as it is. */
    if (SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_WRITE)
        s->in_doubt = len < SSL3_RT_MAX_PLAIN_LENGTH ? len : SSL3_RT_MAX_PLAIN_LENGTH;
    if (nothing(s, rc, error) == 0)
        errno = EPIPE;
    else if (errno == EINTR)
        errno = EAGAIN;
    return -1;
}

size_t tls_in_doubt(const struct tls_stream *s)
{
    return s->in_doubt;
}

void tls_say_end(struct tls_stream *s)
{
    if (!s->is_shaken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
}

const char *tls_stream_why(const struct tls_stream *s)
{
    return s->why;
}

struct ssl_st *tls_stream_take(struct tls_stream *s)
{
    SSL *const ssl = take_ptr(s->ssl);

    rid_assert(s->is_shaken);
    rid_assert(!s->reads);
    (void)SSL_set_app_data(ssl, NULL);
    tls_stream_free(s);
    return ssl;
}

struct ssl_st *tls_stream_lend(struct tls_stream *s)
{
    (void)SSL_up_ref(s->ssl);
    return s->ssl;
}

bool tls_stream_settle(struct tls_stream *s)
{
    if (!s->is_shaken && SSL_is_init_finished(s->ssl))
        s->is_shaken = identify(s) == 0;
    return s->is_shaken;
}
