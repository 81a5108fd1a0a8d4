#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/tls.h"
#include "unit/fake-tls.h"

#define CONNS_MAX 64

struct front_conn {
    int fd; /* -1: free */
    int to;
    struct tls_stream *stream;
    bool is_shaken;
};

struct fake_front {
    pthread_t thread;
    struct tls_ctx *ctx; /* borrowed */
    struct sockaddr_in to;
    int listener;
    char address[32];
    atomic_uint n_shaken;
    atomic_uint n_tokens;
    struct front_conn conns[CONNS_MAX];
};

static void drop(struct front_conn *c)
{
    if (c->fd < 0)
        return;
    tls_stream_free(c->stream);
    (void)close(c->fd);
    if (c->to >= 0)
        (void)close(c->to);
    *c = (struct front_conn){.fd = -1, .to = -1};
}

static bool send_in_the_open(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_by_tls(struct front_conn *c, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = tls_send(c->stream, data, len);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = c->fd, .events = POLLOUT};

            (void)poll(&p, 1, -1);
            continue;
        }
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* False: it is over. */
static bool shake_on(struct fake_front *f, struct front_conn *c)
{
    const int rc = tls_shake(c->stream);

    if (rc != TLS_DONE)
        return rc > 0;
    c->is_shaken = true;
    (void)atomic_fetch_add(&f->n_shaken, 1);
    c->to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return c->to >= 0 && connect(c->to, (const struct sockaddr *)&f->to, sizeof(f->to)) == 0;
}

static void answer_token(struct fake_front *f, char *line, ssize_t len, char *ret, size_t size)
{
    const char *id;

    line[len] = '\0';
    id = strstr(line, "\"msg_id\":");
    (void)atomic_fetch_add(&f->n_tokens, 1);
    if (id != NULL)
        (void)snprintf(ret, size, "{\"type\":\"auth_ok\",\"in_reply_to\":%.*s}\n",
                       (int)strspn(id + 9, "0123456789"), id + 9);
    else
        (void)snprintf(ret, size, "{\"type\":\"auth_ok\"}\n");
}

static bool from_client(struct fake_front *f, struct front_conn *c)
{
    static const char auth[] = "{\"type\":\"auth\"";
    char ok[80];
    char data[16384 + 1];
    ssize_t n;

    while ((n = tls_recv(c->stream, data, sizeof(data) - 1)) > 0 || (n < 0 && errno == EINTR)) {
        const bool is_token =
            n >= (ssize_t)sizeof(auth) && memcmp(data, auth, sizeof(auth) - 1) == 0;

        if (n < 0)
            continue;
        if (is_token)
            answer_token(f, data, n, ok, sizeof(ok));
        if (is_token ? !send_by_tls(c, ok, strlen(ok)) : !send_in_the_open(c->to, data, (size_t)n))
            return false;
    }
    return n < 0 && errno == EAGAIN;
}

static bool from_server(struct front_conn *c)
{
    char data[16384];
    const ssize_t n = recv(c->to, data, sizeof(data), 0);

    return n > 0 && send_by_tls(c, data, (size_t)n);
}

static void take_in(struct fake_front *f)
{
    const int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    unsigned i = 0;

    while (i < CONNS_MAX && f->conns[i].fd >= 0)
        i++;
    if (fd < 0)
        return;
    if (i == CONNS_MAX || tls_stream_new(f->ctx, TLS_ACCEPT, fd, NULL, &f->conns[i].stream) != 0)
        (void)close(fd);
    else
        f->conns[i].fd = fd;
}

static void *run(void *arg)
{
    struct fake_front *f = arg;
    struct pollfd p[1 + 2 * CONNS_MAX];

    for (;;) {
        p[0] = (struct pollfd){.fd = f->listener, .events = POLLIN};
        for (unsigned i = 0; i < CONNS_MAX; i++) {
            p[1 + 2 * i] = (struct pollfd){.fd = f->conns[i].fd, .events = POLLIN};
            p[2 + 2 * i] = (struct pollfd){.fd = f->conns[i].to, .events = POLLIN};
        }
        (void)poll(p, 1 + 2 * CONNS_MAX, -1);
        if ((p[0].revents & (POLLHUP | POLLERR)) != 0)
            return NULL;
        for (unsigned i = 0; i < CONNS_MAX; i++) {
            struct front_conn *c = &f->conns[i];
            bool good = true;

            if (p[1 + 2 * i].revents != 0)
                good = c->is_shaken ? from_client(f, c) : shake_on(f, c);
            if (good && p[2 + 2 * i].revents != 0)
                good = from_server(c);
            if (!good)
                drop(c);
        }
        if (p[0].revents != 0)
            take_in(f);
    }
}

struct fake_front *fake_front_start(struct tls_ctx *ctx, const char *to)
{
    struct fake_front *f = calloc(1, sizeof(*f));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);

    assert_non_null(f);
    f->ctx = ctx;
    f->to = a;
    f->to.sin_port = htons((uint16_t)strtoul(strrchr(to, ':') + 1, NULL, 10));
    for (unsigned i = 0; i < CONNS_MAX; i++)
        f->conns[i] = (struct front_conn){.fd = -1, .to = -1};
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(f->listener >= 0);
    assert_int_equal(bind(f->listener, (const struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(listen(f->listener, 64), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
    return f;
}

const char *fake_front_address(const struct fake_front *f)
{
    return f->address;
}

unsigned fake_front_n_shaken(struct fake_front *f)
{
    return atomic_load(&f->n_shaken);
}

unsigned fake_front_n_tokens(struct fake_front *f)
{
    return atomic_load(&f->n_tokens);
}

void fake_front_stop(struct fake_front *f)
{
    (void)shutdown(f->listener, SHUT_RDWR);
    (void)pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < CONNS_MAX; i++)
        drop(&f->conns[i]);
    (void)close(f->listener);
    free(f);
}
