/* Requests and replies by hand, over plain epoll: it must cost less than what it measures. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/load.h"

#define OUT_BYTES (1u << 18)
#define IN_BYTES  (1u << 18)

struct conn {
    int fd;
    unsigned n_in_flight;
    uint64_t sent_us[IN_FLIGHT_MAX];
    unsigned free_slots[IN_FLIGHT_MAX];
    unsigned n_free;
    size_t in_len;
    size_t out_len;
    size_t out_at;
    char in[IN_BYTES];
    char out[OUT_BYTES];
};

static int dial(void)
{
    char host[256];
    const char *colon = strrchr(load.addr, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int one = 1;
    int fd;

    if (colon == NULL || (size_t)(colon - load.addr) >= sizeof(host)) {
        errno = EINVAL;
        die(load.addr);
    }
    memcpy(host, load.addr, (size_t)(colon - load.addr));
    host[colon - load.addr] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        die(load.addr);
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0)
        die(load.addr);
    freeaddrinfo(list);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void add_request(struct conn *c)
{
    unsigned slot = c->free_slots[--c->n_free];
    unsigned key = load_next_key();
    const char *op = load_next_op();
    int n;

    if (strcmp(op, "write") == 0)
        n = snprintf(c->out + c->out_len, OUT_BYTES - c->out_len,
                     "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"key-%u\",\"value\":\"%s\"}\n",
                     slot, key, load.value);
    else
        n = snprintf(c->out + c->out_len, OUT_BYTES - c->out_len,
                     "{\"type\":\"%s\",\"msg_id\":%u,\"key\":\"key-%u\"}\n", op, slot, key);
    c->out_len += (size_t)n;
    c->n_in_flight++;
}

static void send_out(struct conn *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = write(c->fd, c->out + c->out_at, c->out_len - c->out_at);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            die("the node closed the connection");
        c->out_at += (size_t)n;
    }
    c->out_at = 0;
    c->out_len = 0;
}

static void fill(struct conn *c)
{
    uint64_t now_us = clock_mono_us();

    while (c->n_free > 0 && c->out_len + load.value_bytes + 128 < OUT_BYTES) {
        c->sent_us[c->free_slots[c->n_free - 1]] = now_us;
        add_request(c);
    }
    send_out(c);
}

static void take_line(struct conn *c, const char *line, size_t len, uint64_t now_us)
{
    const char *at = memmem(line, len, "\"in_reply_to\":", 14);
    bool is_error = len > 16 && memcmp(line, "{\"type\":\"error\"", 15) == 0;
    unsigned long slot;

    if (at == NULL) {
        fprintf(stderr, "load: a reply without in_reply_to: %.*s\n", (int)len, line);
        exit(1);
    }
    slot = strtoul(at + 14, NULL, 10);
    if (slot >= IN_FLIGHT_MAX) {
        fprintf(stderr, "load: an unknown reply: %.*s\n", (int)len, line);
        exit(1);
    }
    load_note(now_us - c->sent_us[slot], is_error ? line : NULL, len);
    c->free_slots[c->n_free++] = (unsigned)slot;
    c->n_in_flight--;
}

static void take_in(struct conn *c)
{
    uint64_t now_us;
    size_t at = 0;
    ssize_t n = read(c->fd, c->in + c->in_len, IN_BYTES - c->in_len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        die("the node closed the connection");
    c->in_len += (size_t)n;
    now_us = clock_mono_us();
    for (;;) {
        const char *end = memchr(c->in + at, '\n', c->in_len - at);

        if (end == NULL)
            break;
        take_line(c, c->in + at, (size_t)(end - c->in) - at, now_us);
        at = (size_t)(end - c->in) + 1;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
}

uint64_t load_raw(void)
{
    struct conn **conns = calloc(load.n_connections, sizeof(*conns));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begun_us;
    uint64_t end_us;

    if (conns == NULL || epoll < 0)
        die("epoll");
    for (unsigned i = 0; i < load.n_connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN};
        struct conn *c = calloc(1, sizeof(*c));

        if (c == NULL)
            die("memory");
        conns[i] = c;
        c->fd = dial();
        for (unsigned j = 0; j < load.in_flight; j++)
            c->free_slots[c->n_free++] = j;
        ev.data.ptr = c;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            die("epoll_ctl");
    }
    begun_us = clock_mono_us();
    end_us = begun_us + (uint64_t)(load.seconds * 1e6);
    for (unsigned i = 0; i < load.n_connections; i++)
        fill(conns[i]);
    while (clock_mono_us() < end_us) {
        struct epoll_event evs[256];
        int n = epoll_wait(epoll, evs, 256, 100);

        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;

            take_in(c);
            fill(c);
        }
    }
    end_us = clock_mono_us();
    for (unsigned i = 0; i < load.n_connections; i++) {
        (void)close(conns[i]->fd);
        free(conns[i]);
    }
    free(conns);
    (void)close(epoll);
    return end_us - begun_us;
}
