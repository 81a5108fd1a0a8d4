/* One connection: made, lost, made again, to whoever leads; one read and one write for each time
 * that the loop wakes for it. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/own_end.h"
#include "load/engine_int.h"

#include "base/banned.h"

int conn_init(struct load_conn *c, struct loop *l, unsigned id)
{
    const struct load *load = l->load;

    c->loop = l;
    c->id = id;
    c->fd = -1;
    c->address = loop_is_spread(l) ? id % load->plan->n_addresses : load->leader;
    c->slots = calloc(l->in_flight, sizeof(c->slots[0]));
    c->free = calloc(l->in_flight, sizeof(c->free[0]));
    if (c->slots == NULL || c->free == NULL)
        return -ENOMEM;
    for (unsigned i = l->in_flight; i-- > 0;)
        c->free[c->n_free++] = i;
    if (l->role == LOOP_MEASURE && load->plan->n_of > 0)
        for (unsigned i = 0; i < l->in_flight; i++) {
            c->slots[i].leasts = calloc(load->plan->n_of, sizeof(c->slots[i].leasts[0]));
            if (c->slots[i].leasts == NULL)
                return -ENOMEM;
        }
    return 0;
}

static void shut(struct load_conn *c)
{
    if (c->stream != NULL)
        c->loop->load->plan->secure->close(take_ptr(c->stream));
    if (c->protocol != NULL)
        c->loop->load->plan->protocol->close(take_ptr(c->protocol));
    if (c->fd >= 0)
        (void)close(take_fd(c->fd));
    c->in.len = c->in_at = 0;
    c->out.len = c->out_at = 0;
    c->wants_out = c->moves = c->broken = c->answered = false;
    c->state = CONN_CLOSED;
}

void conn_done(struct load_conn *c)
{
    shut(c);
    buf_done(&c->in);
    buf_done(&c->out);
    for (unsigned i = 0; c->slots != NULL && i < c->loop->in_flight; i++)
        free(c->slots[i].leasts);
    free(c->slots);
    free(c->free);
}

/* ---- making it ---- */

static void dial_later(struct load_conn *c, uint64_t pause_ns)
{
    struct loop *l = c->loop;

    c->dial_at_ns = l->now_ns + pause_ns;
    if (c->dial_at_ns < l->dial_ns)
        l->dial_ns = c->dial_at_ns;
}

static void rest(struct load_conn *c)
{
    c->pause_ns = c->pause_ns == 0 ? LOAD_PAUSE_NS : 2 * c->pause_ns;
    if (c->pause_ns > LOAD_PAUSE_NS_MAX)
        c->pause_ns = LOAD_PAUSE_NS_MAX;
    dial_later(c, c->pause_ns);
}

/* Where it was there is nobody, or nobody who leads. */
static void look_elsewhere(struct load_conn *c)
{
    struct load *load = c->loop->load;
    unsigned here = c->address;
    const unsigned leader = __atomic_load_n(&load->leader, __ATOMIC_ACQUIRE);
    const unsigned n = load->plan->n_addresses;

    if (loop_is_spread(c->loop)) {
        c->address = (here + 1) % n;
        return;
    }
    if (leader == here)
        (void)__atomic_compare_exchange_n(&load->leader, &here, (here + 1) % n, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    c->address = __atomic_load_n(&load->leader, __ATOMIC_ACQUIRE);
}

void conn_lose(struct load_conn *c, const char *why)
{
    struct loop *l = c->loop;
    const bool was_open = c->state == CONN_OPEN;

    shut(c);
    if (was_open && !l->ending)
        l->figures->n_lost++;
    if (c->n_again > 0)
        (void)snprintf(c->last_error, sizeof(c->last_error), "%s", why);
    for (unsigned i = 0; i < l->in_flight; i++)
        if (c->slots[i].state == SLOT_SENT)
            ops_lost(c, i, why);
    look_elsewhere(c);
    rest(c);
}

static int watch(struct load_conn *c, int op, bool wants_out)
{
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? (uint32_t)EPOLLOUT : 0u),
                            .data = {.ptr = c}};

    c->wants_out = wants_out;
    return epoll_ctl(c->loop->epoll_fd, op, c->fd, &e) == 0 ? 0 : -errno;
}

static void dial(struct load_conn *c)
{
    const struct target *t = &c->loop->load->targets[c->address];
    const int on = 1;
    const int family = ((const struct sockaddr *)&t->to)->sa_family;

    c->dial_at_ns = 0;
    c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        c->loop->rc = load_fail(c->loop->load, -errno, "no socket: %s", strerror(errno));
        return;
    }
    if (family != AF_UNIX)
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(c->fd, (const struct sockaddr *)&t->to, t->len) != 0 && errno != EINPROGRESS) ||
        watch(c, EPOLL_CTL_ADD, true) != 0) {
        conn_lose(c, "unreachable");
        return;
    }
    c->state = CONN_DIALS;
    c->heard_ns = c->begun_ns = c->loop->now_ns;
}

/* Requests may go. */
static void ready(struct load_conn *c)
{
    const struct load_plan *plan = c->loop->load->plan;

    c->state = CONN_OPEN;
    c->loop->figures->n_dials++;
    if (plan->protocol->open(plan->prefix, c->loop->in_flight, &c->out, &c->protocol) != 0)
        conn_lose(c, "no_memory");
}

static void shake(struct load_conn *c)
{
    const struct load_secure *secure = c->loop->load->plan->secure;
    const int rc = secure->shake(c->stream);

    if (rc < 0) {
        conn_lose(c, "no_tls");
    } else if (rc > 0) {
        if ((rc == LOAD_WANT_WRITE) != c->wants_out &&
            watch(c, EPOLL_CTL_MOD, rc == LOAD_WANT_WRITE))
            conn_lose(c, "unreachable");
    } else {
        c->loop->figures->n_shakes++;
        c->state = CONN_GREETS;
        if (secure->hello == NULL)
            ready(c);
        else if (buf_add_str(&c->out, secure->hello) != 0)
            conn_lose(c, "no_memory");
    }
}

static void opened(struct load_conn *c)
{
    const struct load *load = c->loop->load;
    const struct target *t = &load->targets[c->address];
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0 ||
        fd_is_own_end(c->fd)) {
        conn_lose(c, "unreachable");
        return;
    }
    if (!t->is_secure) {
        ready(c);
        return;
    }
    if (load->plan->secure->open(load->plan->secure->ctx, c->fd, t->host, &c->stream) != 0) {
        conn_lose(c, "no_memory");
        return;
    }
    c->state = CONN_SHAKES;
    shake(c);
}

/* ---- bytes ---- */

static void send_out(struct load_conn *c)
{
    if (c->out_at < c->out.len) {
        const void *data = c->out.data + c->out_at;
        const size_t len = c->out.len - c->out_at;
        const ssize_t n = c->stream != NULL
                              ? c->loop->load->plan->secure->send(c->stream, data, len)
                              : send(c->fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            conn_lose(c, "disconnected");
            return;
        }
        c->out_at += n > 0 ? (size_t)n : 0;
    }
    if (c->out_at == c->out.len)
        c->out.len = c->out_at = 0;
    if ((c->out.len > 0) != c->wants_out && watch(c, EPOLL_CTL_MOD, c->out.len > 0) != 0)
        conn_lose(c, "disconnected");
}

/* The answer to what came first is a line of its own. */
static long take_greeting(struct load_conn *c)
{
    const char *ok = c->loop->load->plan->secure->hello_ok;
    const char *end = memchr(c->in.data, '\n', c->in.len);

    if (end == NULL)
        return 0;
    if (memmem(c->in.data, (size_t)(end - (const char *)c->in.data), ok, strlen(ok)) == NULL)
        return -1;
    ready(c);
    return end + 1 - (const char *)c->in.data;
}

static long take_bytes(struct load_conn *c)
{
    if (c->state == CONN_GREETS)
        return take_greeting(c);
    return c->loop->load->plan->protocol->receive(c->protocol, c, c->in.data, c->in.len, &c->out);
}

static ssize_t receive_some(struct load_conn *c, void *room)
{
    ssize_t n;

    do /* of TLS perhaps what is no data, behind which there is more */
        n = c->stream != NULL
                ? c->loop->load->plan->secure->receive(c->stream, room, LOAD_READ_BYTES)
                : recv(c->fd, room, LOAD_READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

/* How many bytes; 0: there is nothing, or the connection is lost. */
static size_t take_some(struct load_conn *c)
{
    struct loop *l = c->loop;
    unsigned char *room = buf_reserve(&c->in, LOAD_READ_BYTES);
    ssize_t n;
    long taken;

    if (room == NULL) {
        conn_lose(c, "no_memory");
        return 0;
    }
    n = receive_some(c, room);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0) {
        conn_lose(c, "disconnected");
        return 0;
    }
    c->in.len += (size_t)n;
    l->now_ns = load_now(l->load);
    c->heard_ns = l->now_ns;
    c->pause_ns = 0;
    c->answered = c->answered || c->state == CONN_OPEN;
    taken = take_bytes(c);
    if (taken < 0 || c->broken || c->in.len - (size_t)taken > LOAD_ANSWER_BYTES_MAX)
        conn_lose(c, c->state == CONN_GREETS ? "denied" : "bad_reply");
    else
        buf_consume(&c->in, (size_t)taken);
    return (size_t)n;
}

/* What a stream holds makes nothing readable: it is taken to the end (TLS-35). */
static void take_in(struct load_conn *c)
{
    size_t all = 0;
    size_t n;

    do {
        n = take_some(c);
        all += n;
    } while (n > 0 && c->stream != NULL &&
             (all < LOAD_READ_BYTES || c->loop->load->plan->secure->pending(c->stream) > 0));
}

void conn_event(struct load_conn *c, uint32_t events)
{
    if (c->state == CONN_DIALS)
        opened(c);
    else if (c->state == CONN_SHAKES)
        shake(c);
    else if (c->state > CONN_SHAKES && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        take_in(c);
    loop_mark(c->loop, c);
}

/* Its one request was answered. */
static bool is_used_up(const struct load_conn *c)
{
    return loop_makes_anew(c->loop) && c->answered && c->n_sent == 0 && c->n_again == 0;
}

/* With a reset, or its port could not be used again for a minute. */
static void make_anew(struct load_conn *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    shut(c);
    if (!c->loop->ending)
        dial(c);
}

void conn_go_on(struct load_conn *c)
{
    struct loop *l = c->loop;

    if (c->state == CONN_CLOSED && c->dial_at_ns != 0 && c->dial_at_ns <= l->now_ns)
        dial(c);
    else if (c->state == CONN_CLOSED && c->dial_at_ns < l->dial_ns)
        l->dial_ns = c->dial_at_ns;
    if (c->state == CONN_GREETS)
        send_out(c);
    if (c->state != CONN_OPEN)
        return;
    if (is_used_up(c)) {
        make_anew(c);
        return;
    }
    if (c->moves && c->n_sent == 0) {
        const unsigned here = c->address;

        shut(c);
        if (__atomic_load_n(&l->load->leader, __ATOMIC_ACQUIRE) == here)
            look_elsewhere(c);
        c->address = __atomic_load_n(&l->load->leader, __ATOMIC_ACQUIRE);
        if (c->address == here)
            rest(c);
        else
            dial_later(c, c->pause_ns);
        return;
    }
    if (!c->moves) {
        ops_again(c);
        if (l->rate <= 0)
            ops_fill(c);
    }
    if (c->broken)
        conn_lose(c, "no_memory");
    else
        send_out(c);
}
