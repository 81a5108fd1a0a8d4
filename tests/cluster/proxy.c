/* One poll() for all ports and connections. A connection is a pair of sockets and two flows; a flow
 * is the bytes read and not yet cut into frames, and the frames that wait for their time.
 *
 * A flow takes nothing in while it is held or much of it waits, so that a held link looks to its
 * sender like any slow one: the kernel's buffers fill. */
#include "cluster/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/prng.h"
#include "wire/frame.h"

#include "base/banned.h"

#define LINKS_MAX         (PROXY_NODES_MAX * PROXY_NODES_MAX)
#define CONNS_MAX         512u
#define READ_BYTES        65536u
#define WAITING_BYTES_MAX (8u << 20)
#define FRAME_TYPE_AT     8u /* behind length and crc */
/* Of these one comes again: heartbeats, answers, votes; no long ones. */
#define KEPT_FRAMES 48u
#define KEPT_BYTES  256u

struct late {
    struct late *next;
    uint64_t due_us;
    size_t len;
    size_t sent;
    unsigned char data[];
};

struct kept {
    size_t len;
    unsigned char data[KEPT_BYTES];
};

struct flow {
    unsigned from;
    unsigned to;
    int in_fd;   /* borrowed from the connection */
    int out_fd;  /* borrowed */
    bool ended;  /* no more comes in */
    bool closed; /* and the other side knows */
    struct buf in;
    struct late *first; /* owned */
    struct late *last;
    size_t waiting_bytes;
    uint64_t last_due_us;
    uint64_t dribble_us; /* not before this */
    struct kept kept[KEPT_FRAMES];
    unsigned n_kept; /* in all */
};

struct pair {
    int fds[2]; /* owned; accepted, dialled */
    bool connecting;
    struct flow flows[2]; /* [0]: from the dialler */
};

struct listener {
    int fd; /* owned; -1: none */
    uint16_t port;
};

struct proxy {
    unsigned n;
    uint16_t peer_ports[PROXY_NODES_MAX];
    struct listener listeners[PROXY_NODES_MAX][PROXY_NODES_MAX];
    pthread_t thread;
    bool has_thread;
    int wake_fd; /* owned */

    pthread_mutex_t lock; /* protects what follows */
    bool stop;
    struct proxy_fault faults[PROXY_NODES_MAX][PROXY_NODES_MAX];
    bool resets[PROXY_NODES_MAX][PROXY_NODES_MAX];
    struct proxy_stats stats;

    /* The thread's own. */
    struct prng prng;
    struct pair *pairs[CONNS_MAX];
    unsigned n_pairs;
    struct pollfd polls[LINKS_MAX + 2 * CONNS_MAX + 1];
};

static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* ---- connections ---- */

static void pair_free(struct pair *c, bool reset)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};

    for (unsigned i = 0; i < 2; i++) {
        struct late *next;

        if (reset)
            (void)setsockopt(c->fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        (void)close(c->fds[i]);
        for (struct late *l = c->flows[i].first; l != NULL; l = next) {
            next = l->next;
            free(l);
        }
        buf_done(&c->flows[i].in);
    }
    free(c);
}

static void drop_pair(struct proxy *p, unsigned i, bool reset)
{
    pair_free(p->pairs[i], reset);
    p->pairs[i] = p->pairs[--p->n_pairs];
    if (reset)
        p->stats.n_resets++;
}

static int dial(uint16_t port, bool *ret_connecting)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *ret_connecting = connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0;
    if (*ret_connecting && errno != EINPROGRESS)
        return -1;
    return take_fd(fd);
}

static void on_accept(struct proxy *p, unsigned from, unsigned to)
{
    cleanup_fd int fd =
        accept4(p->listeners[from][to].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    cleanup_fd int out = -1;
    bool connecting = false;
    struct pair *c;
    int one = 1;

    if (fd < 0 || p->n_pairs == CONNS_MAX)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    out = dial(p->peer_ports[to], &connecting);
    if (out < 0)
        return;
    c = need(calloc(1, sizeof(*c)));
    c->fds[0] = take_fd(fd);
    c->fds[1] = take_fd(out);
    c->connecting = connecting;
    c->flows[0] = (struct flow){.from = from, .to = to, .in_fd = c->fds[0], .out_fd = c->fds[1]};
    c->flows[1] = (struct flow){.from = to, .to = from, .in_fd = c->fds[1], .out_fd = c->fds[0]};
    p->pairs[p->n_pairs++] = c;
    p->stats.n_connections++;
}

/* ---- flows ---- */

static void queue_frame(struct proxy *p, struct flow *f, const unsigned char *data, size_t len,
                        uint64_t now_us)
{
    const struct proxy_fault *fault = &p->faults[f->from][f->to];
    struct late *l = need(malloc(sizeof(*l) + len));

    l->next = NULL;
    l->len = len;
    l->sent = 0;
    memcpy(l->data, data, len);
    l->due_us = now_us + 1000u * fault->delay_ms +
                prng_below(&p->prng, 1000u * (uint64_t)fault->jitter_ms + 1);
    if (l->due_us < f->last_due_us)
        l->due_us = f->last_due_us;
    f->last_due_us = l->due_us;
    if (f->first == NULL)
        f->first = l;
    else
        f->last->next = l;
    f->last = l;
    f->waiting_bytes += len;
}

static void keep_frame(struct flow *f, const unsigned char *data, size_t len)
{
    struct kept *k = &f->kept[f->n_kept % KEPT_FRAMES];

    if (len > KEPT_BYTES)
        return;
    k->len = len;
    memcpy(k->data, data, len);
    f->n_kept++;
}

static void repeat_frame(struct proxy *p, struct flow *f, uint64_t now_us)
{
    const unsigned n = f->n_kept < KEPT_FRAMES ? f->n_kept : KEPT_FRAMES;
    const struct kept *k;

    if (n == 0)
        return;
    k = &f->kept[prng_below(&p->prng, n)];
    p->stats.n_again++;
    queue_frame(p, f, k->data, k->len, now_us);
}

static void take_frame(struct proxy *p, struct flow *f, const unsigned char *data, size_t len,
                       uint64_t now_us)
{
    const struct proxy_fault *fault = &p->faults[f->from][f->to];
    const bool hello = len > FRAME_TYPE_AT && data[FRAME_TYPE_AT] >= WIRE_FRAME_HELLO;

    p->stats.n_frames++;
    if (fault->cut == PROXY_DROP || (!hello && prng_below(&p->prng, 1000) < fault->drop_permille)) {
        p->stats.n_dropped++;
        return;
    }
    queue_frame(p, f, data, len, now_us);
    if (!hello && prng_below(&p->prng, 1000) < fault->twice_permille) {
        p->stats.n_twice++;
        queue_frame(p, f, data, len, now_us);
    }
    if (hello)
        return;
    if (prng_below(&p->prng, 1000) < fault->again_permille)
        repeat_frame(p, f, now_us);
    keep_frame(f, data, len);
}

/* false: the connection is over. */
static bool read_flow(struct proxy *p, struct flow *f, uint64_t now_us)
{
    unsigned char *room = need(buf_reserve(&f->in, READ_BYTES));
    ssize_t got = recv(f->in_fd, room, READ_BYTES, MSG_DONTWAIT);
    size_t at = 0;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    f->in.len += (size_t)got;
    f->ended = got == 0;
    while (f->in.len - at >= 4) {
        size_t len = 4u + (size_t)get_u32(f->in.data + at);

        if (len > FRAME_BYTES_MAX + 4u)
            len = f->in.len - at; /* no ridd sends this: passed on as it is */
        if (f->in.len - at < len)
            break;
        take_frame(p, f, f->in.data + at, len, now_us);
        at += len;
    }
    buf_consume(&f->in, at);
    return true;
}

static bool write_flow(struct proxy *p, struct flow *f, uint64_t now_us)
{
    const bool dribble = p->faults[f->from][f->to].dribble;

    /* What was on its way when a link was cut arrives after it. */
    if (p->faults[f->from][f->to].cut != PROXY_PASS)
        return true;
    while (f->first != NULL && f->first->due_us <= now_us) {
        struct late *l = f->first;
        size_t len = l->len - l->sent;
        ssize_t sent;

        if (dribble && now_us < f->dribble_us)
            return true;
        if (dribble)
            len = 1;
        sent = send(f->out_fd, l->data + l->sent, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        l->sent += (size_t)sent;
        f->waiting_bytes -= (size_t)sent;
        if (dribble) {
            p->stats.n_dribbled++;
            f->dribble_us = now_us + 1000;
        }
        if (l->sent < l->len) {
            if (dribble)
                continue;
            return true;
        }
        f->first = l->next;
        free(l);
    }
    if (f->first == NULL && f->ended && !f->closed) {
        f->closed = true;
        (void)shutdown(f->out_fd, SHUT_WR);
    }
    return true;
}

static bool wants_in(const struct proxy *p, const struct flow *f)
{
    return !f->ended && p->faults[f->from][f->to].cut != PROXY_HOLD &&
           f->waiting_bytes < WAITING_BYTES_MAX;
}

/* When the flow must be looked at although nothing happens; UINT64_MAX: never. */
static uint64_t flow_due_us(const struct proxy *p, const struct flow *f)
{
    const struct proxy_fault *fault = &p->faults[f->from][f->to];

    if (f->first == NULL || fault->cut != PROXY_PASS)
        return UINT64_MAX;
    if (fault->dribble && f->dribble_us > f->first->due_us)
        return f->dribble_us;
    return f->first->due_us;
}

/* ---- the thread ---- */

static void obey_resets(struct proxy *p)
{
    for (unsigned i = p->n_pairs; i-- > 0;) {
        const struct flow *f = &p->pairs[i]->flows[0];

        if (p->resets[f->from][f->to])
            drop_pair(p, i, true);
    }
    memset(p->resets, 0, sizeof(p->resets));
}

static bool connected(struct pair *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    c->connecting = false;
    return getsockopt(c->fds[1], SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

/* Fills p->polls: the wake, the ports, two sockets for each connection. */
static unsigned prepare(struct proxy *p, uint64_t now_us, int *ret_wait_ms)
{
    uint64_t due_us = UINT64_MAX;
    unsigned n = 0;

    p->polls[n++] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    for (unsigned a = 0; a < p->n; a++)
        for (unsigned b = 0; b < p->n; b++)
            p->polls[n++] = (struct pollfd){.fd = p->listeners[a][b].fd, .events = POLLIN};
    for (unsigned i = 0; i < p->n_pairs; i++) {
        const struct pair *c = p->pairs[i];

        for (unsigned k = 0; k < 2; k++) {
            const struct flow *in = &c->flows[k];
            const struct flow *out = &c->flows[1 - k];
            uint64_t flow_us = c->connecting ? UINT64_MAX : flow_due_us(p, in);
            short events = 0;

            if (c->connecting) {
                events = k == 1 ? POLLOUT : 0;
            } else {
                if (wants_in(p, in))
                    events |= POLLIN;
                if (flow_due_us(p, out) <= now_us)
                    events |= POLLOUT;
            }
            /* Without events a hang-up would wake us for ever. */
            p->polls[n++] = (struct pollfd){.fd = events != 0 ? c->fds[k] : -1, .events = events};
            if (flow_us > now_us && flow_us < due_us)
                due_us = flow_us;
        }
    }
    *ret_wait_ms = due_us == UINT64_MAX ? -1 : (int)((due_us - now_us + 999u) / 1000u);
    return n;
}

static bool serve_pair(struct proxy *p, struct pair *c, const struct pollfd *polls)
{
    const uint64_t now_us = clock_mono_us();

    if (c->connecting) {
        if (polls[1].revents == 0)
            return true;
        if (!connected(c))
            return false;
    }
    for (unsigned k = 0; k < 2; k++)
        if ((polls[k].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && wants_in(p, &c->flows[k]) &&
            !read_flow(p, &c->flows[k], now_us))
            return false;
    for (unsigned k = 0; k < 2; k++)
        if (!write_flow(p, &c->flows[k], now_us))
            return false;
    return !(c->flows[0].closed && c->flows[1].closed);
}

static void *run(void *ctx)
{
    struct proxy *p = ctx;

    for (;;) {
        unsigned n_pairs;
        unsigned n;
        int wait_ms;

        (void)pthread_mutex_lock(&p->lock);
        if (p->stop) {
            (void)pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        obey_resets(p);
        n = prepare(p, clock_mono_us(), &wait_ms);
        n_pairs = p->n_pairs;
        (void)pthread_mutex_unlock(&p->lock);

        (void)poll(p->polls, n, wait_ms);

        (void)pthread_mutex_lock(&p->lock);
        if (p->polls[0].revents != 0) {
            uint64_t count;

            (void)!read(p->wake_fd, &count, sizeof(count));
        }
        for (unsigned i = n_pairs; i-- > 0;) /* backwards: the last may take the place of one */
            if (!serve_pair(p, p->pairs[i], &p->polls[1 + p->n * p->n + 2 * i]))
                drop_pair(p, i, false);
        for (unsigned a = 0; a < p->n; a++)
            for (unsigned b = 0; b < p->n; b++)
                if (p->polls[1 + a * p->n + b].revents != 0)
                    on_accept(p, a, b);
        (void)pthread_mutex_unlock(&p->lock);
    }
}

/* ---- the interface ---- */

static void wake(struct proxy *p)
{
    const uint64_t one = 1;

    (void)!write(p->wake_fd, &one, sizeof(one));
}

static int listen_somewhere(struct listener *l)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(in);

    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        listen(l->fd, 64) != 0 || getsockname(l->fd, (struct sockaddr *)&in, &len) != 0)
        return -1;
    l->port = ntohs(in.sin_port);
    return 0;
}

struct proxy *proxy_new(unsigned n, const uint16_t *peer_ports, uint64_t seed)
{
    struct proxy *p = need(calloc(1, sizeof(*p)));
    bool ok;

    p->n = n;
    prng_init(&p->prng, seed);
    (void)pthread_mutex_init(&p->lock, NULL);
    for (unsigned a = 0; a < PROXY_NODES_MAX; a++)
        for (unsigned b = 0; b < PROXY_NODES_MAX; b++)
            p->listeners[a][b].fd = -1;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ok = p->wake_fd >= 0;
    for (unsigned a = 0; a < n; a++) {
        p->peer_ports[a] = peer_ports[a];
        for (unsigned b = 0; b < n; b++)
            if (a != b)
                ok = ok && listen_somewhere(&p->listeners[a][b]) == 0;
    }
    p->has_thread = ok && pthread_create(&p->thread, NULL, run, p) == 0;
    if (!p->has_thread) {
        proxy_free(p);
        return NULL;
    }
    return p;
}

void proxy_free(struct proxy *p)
{
    if (p == NULL)
        return;
    if (p->has_thread) {
        (void)pthread_mutex_lock(&p->lock);
        p->stop = true;
        (void)pthread_mutex_unlock(&p->lock);
        wake(p);
        (void)pthread_join(p->thread, NULL);
    }
    while (p->n_pairs > 0)
        drop_pair(p, p->n_pairs - 1, false);
    for (unsigned a = 0; a < p->n; a++)
        for (unsigned b = 0; b < p->n; b++)
            if (p->listeners[a][b].fd >= 0)
                (void)close(p->listeners[a][b].fd);
    if (p->wake_fd >= 0)
        (void)close(p->wake_fd);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

uint16_t proxy_port(const struct proxy *p, unsigned from, unsigned to)
{
    return p->listeners[from][to].port;
}

void proxy_set(struct proxy *p, unsigned from, unsigned to, const struct proxy_fault *fault)
{
    (void)pthread_mutex_lock(&p->lock);
    p->faults[from][to] = *fault;
    (void)pthread_mutex_unlock(&p->lock);
    wake(p);
}

void proxy_heal(struct proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    memset(p->faults, 0, sizeof(p->faults));
    (void)pthread_mutex_unlock(&p->lock);
    wake(p);
}

void proxy_reset(struct proxy *p, unsigned a, unsigned b)
{
    (void)pthread_mutex_lock(&p->lock);
    p->resets[a][b] = true;
    p->resets[b][a] = true;
    (void)pthread_mutex_unlock(&p->lock);
    wake(p);
}

void proxy_get_stats(struct proxy *p, struct proxy_stats *ret)
{
    (void)pthread_mutex_lock(&p->lock);
    *ret = p->stats;
    (void)pthread_mutex_unlock(&p->lock);
}
