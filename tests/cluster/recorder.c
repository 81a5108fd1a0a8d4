#include "cluster/recorder.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define FLOWS_MAX  2048u
#define RELAYS_MAX 32u

struct flow {
    struct recorder *r;
    pthread_t thread;
    int from;
    int to;
    unsigned char *bytes;
    size_t n;
    size_t size;
};

struct relay {
    struct recorder *r;
    pthread_t thread;
    int listener;
    uint16_t to;
};

struct recorder {
    pthread_mutex_t lock; /* of all below but the relays */
    struct flow *flows[FLOWS_MAX];
    unsigned n_flows;
    struct relay relays[RELAYS_MAX];
    unsigned n_relays;
};

/* ---- flows ---- */

static void keep(struct flow *f, const unsigned char *data, size_t len)
{
    (void)pthread_mutex_lock(&f->r->lock);
    if (f->n + len > f->size) {
        f->size = 2 * (f->n + len);
        f->bytes = realloc(f->bytes, f->size);
        if (f->bytes == NULL)
            abort();
    }
    memcpy(f->bytes + f->n, data, len);
    f->n += len;
    (void)pthread_mutex_unlock(&f->r->lock);
}

static bool send_all(int fd, const unsigned char *data, size_t len)
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

/* It is kept before it goes on: whoever has got something finds it here. */
static void *run_flow(void *arg)
{
    struct flow *f = arg;
    unsigned char part[65536];
    ssize_t n;

    while ((n = recv(f->from, part, sizeof(part), 0)) > 0) {
        keep(f, part, (size_t)n);
        if (!send_all(f->to, part, (size_t)n))
            break;
    }
    (void)shutdown(f->to, n == 0 ? SHUT_WR : SHUT_RDWR);
    if (n != 0)
        (void)shutdown(f->from, SHUT_RDWR);
    return NULL;
}

/* The lock is held. */
static void begin_flow(struct recorder *r, int from, int to)
{
    struct flow *f = calloc(1, sizeof(*f));

    if (f == NULL || r->n_flows == FLOWS_MAX)
        abort();
    *f = (struct flow){.r = r, .from = from, .to = to};
    r->flows[r->n_flows++] = f;
    if (pthread_create(&f->thread, NULL, run_flow, f) != 0)
        abort();
}

/* ---- relays ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

/* One that leads nowhere is closed, as a port where nobody listens. */
static void relay(const struct relay *l, int fd)
{
    const struct sockaddr_in in = loopback(l->to);
    cleanup_fd int from = fd;
    cleanup_fd int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct recorder *r = l->r;

    if (to < 0 || connect(to, (const struct sockaddr *)&in, sizeof(in)) != 0)
        return;
    (void)pthread_mutex_lock(&r->lock);
    begin_flow(r, from, to);
    begin_flow(r, to, from);
    (void)pthread_mutex_unlock(&r->lock);
    (void)take_fd(from); /* both are recorder_free()'s */
    (void)take_fd(to);
}

static void *run_relay(void *arg)
{
    const struct relay *l = arg;
    int fd;

    while ((fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        relay(l, fd);
    return NULL;
}

uint16_t recorder_add(struct recorder *r, uint16_t to)
{
    struct sockaddr_in in = loopback(0);
    socklen_t len = sizeof(in);
    struct relay *l = &r->relays[r->n_relays];

    assert_true(r->n_relays < RELAYS_MAX);
    *l = (struct relay){.r = r, .to = to};
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(l->listener >= 0);
    assert_int_equal(bind(l->listener, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(l->listener, 128), 0);
    assert_int_equal(getsockname(l->listener, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(pthread_create(&l->thread, NULL, run_relay, l), 0);
    r->n_relays++;
    return ntohs(in.sin_port);
}

/* ---- what was kept ---- */

unsigned recorder_flows(struct recorder *r)
{
    unsigned n;

    (void)pthread_mutex_lock(&r->lock);
    n = r->n_flows;
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}

uint64_t recorder_bytes(struct recorder *r)
{
    uint64_t n = 0;

    (void)pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->n_flows; i++)
        n += r->flows[i]->n;
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}

unsigned recorder_find(struct recorder *r, unsigned first, const char *text)
{
    unsigned n = 0;

    (void)pthread_mutex_lock(&r->lock);
    for (unsigned i = first; i < r->n_flows; i++) {
        const struct flow *f = r->flows[i];

        n += f->n > 0 && memmem(f->bytes, f->n, text, strlen(text)) != NULL;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- life ---- */

struct recorder *recorder_new(void)
{
    struct recorder *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    assert_int_equal(pthread_mutex_init(&r->lock, NULL), 0);
    return r;
}

void recorder_free(struct recorder *r)
{
    if (r == NULL)
        return;
    for (unsigned i = 0; i < r->n_relays; i++) {
        (void)shutdown(r->relays[i].listener, SHUT_RDWR);
        (void)pthread_join(r->relays[i].thread, NULL);
        (void)close(r->relays[i].listener);
    }
    for (unsigned i = 0; i < r->n_flows; i++)
        (void)shutdown(r->flows[i]->from, SHUT_RDWR);
    for (unsigned i = 0; i < r->n_flows; i++)
        (void)pthread_join(r->flows[i]->thread, NULL);
    for (unsigned i = 0; i < r->n_flows; i++) {
        (void)close(r->flows[i]->from); /* the other one is that of its neighbour */
        free(r->flows[i]->bytes);
        free(r->flows[i]);
    }
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}
