#include "unit/fake-tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/err.h"
#include "tls/tls.h"
#include "unit/fake-certs.h"

/* A stream is one thread's at a time. */
struct fake_conn {
    pthread_mutex_t mutex;
    struct tls_stream *stream;
    int fd;
};

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    (void)poll(&p, 1, -1);
}

static int shake(struct fake_conn *c)
{
    int rc;

    while ((rc = tls_shake(c->stream)) > 0)
        wait_for(c->fd, rc == TLS_WANT_WRITE ? POLLOUT : POLLIN);
    return rc;
}

static void end_conn(void *conn)
{
    struct fake_conn *c = conn;

    tls_stream_free(c->stream);
    (void)pthread_mutex_destroy(&c->mutex);
    free(c);
}

static void *begin_conn(void *arg, int fd)
{
    struct fake_conn *c = calloc(1, sizeof(*c));

    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (c == NULL)
        return NULL;
    (void)pthread_mutex_init(&c->mutex, NULL);
    c->fd = fd;
    if (tls_stream_new(arg, TLS_ACCEPT, fd, NULL, &c->stream) == 0 && shake(c) == 0)
        return c;
    end_conn(c);
    return NULL;
}

static ssize_t receive(void *conn, void *data, size_t size)
{
    struct fake_conn *c = conn;

    for (;;) {
        ssize_t n;

        (void)pthread_mutex_lock(&c->mutex);
        n = tls_recv(c->stream, data, size);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            n = 0;
        (void)pthread_mutex_unlock(&c->mutex);
        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            wait_for(c->fd, POLLIN);
    }
}

static size_t piece;

void fake_tls_set_piece(size_t bytes)
{
    piece = bytes;
}

static ssize_t send_some(void *conn, const void *data, size_t len)
{
    struct fake_conn *c = conn;
    ssize_t n;

    if (piece != 0 && len > piece)
        len = piece;
    (void)pthread_mutex_lock(&c->mutex);
    while ((n = tls_send(c->stream, data, len)) < 0 && errno == EAGAIN)
        wait_for(c->fd, POLLOUT);
    (void)pthread_mutex_unlock(&c->mutex);
    return n;
}

struct fake_transport fake_tls(struct tls_ctx *ctx)
{
    return (struct fake_transport){begin_conn, receive, send_some, end_conn, ctx};
}

static void *cut(void *arg, int fd)
{
    char data[16];

    (void)arg;
    (void)!recv(fd, data, sizeof(data), MSG_WAITALL);
    return NULL;
}

struct fake_transport fake_tls_cut(void)
{
    return (struct fake_transport){cut, NULL, NULL, NULL, NULL};
}

/* ---- contexts and secrets ---- */

struct tls_ctx *fake_tls_ctx(const char *folder, const char *name, const char *secret_file,
                             const char *cluster)
{
    struct tls_secrets secrets = {.n = 0};
    char cert[256] = "";
    char key[256] = "";
    const struct tls_conf conf = {.use = TLS_CLIENTS,
                                  .cluster = cluster != NULL ? cluster : "",
                                  .secrets = secret_file != NULL ? &secrets : NULL,
                                  .cert_file = cert,
                                  .key_file = key,
                                  .ca_file = name != NULL ? fake_path(folder, "ca.pem") : NULL};
    struct tls_ctx *ctx = NULL;

    if (name != NULL) {
        (void)snprintf(cert, sizeof(cert), "%s/%s.pem", folder, name);
        (void)snprintf(key, sizeof(key), "%s/%s.key", folder, name);
    }
    if (secret_file != NULL)
        assert_int_equal(tls_secrets_read(secret_file, &secrets), 0);
    if (tls_ctx_new(&conf, &ctx) != 0)
        fail_msg("%s", err_text());
    return ctx;
}

void fake_tls_ctx_free(struct tls_ctx *ctx)
{
    tls_ctx_unref(ctx);
}

void fake_secret(const char *folder, const char *name)
{
    assert_int_equal(tls_secret_make(fake_path(folder, name)), 0);
}

void fake_secret_of(const char *folder, const char *name, const char *cluster, const char *client,
                    const char *client_file)
{
    struct tls_secrets of;
    struct tls_secret derived;
    char text[512];

    assert_int_equal(tls_secrets_read(fake_path(folder, name), &of), 0);
    assert_int_equal(tls_secret_derive(&of.of[0], cluster, client, &derived), 0);
    assert_int_equal(tls_secret_format(&derived, text, sizeof(text)), 0);
    assert_int_equal(tls_secret_write(fake_path(folder, client_file), text), 0);
}
