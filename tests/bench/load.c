/* A load generator for the client port: C connections with P requests in flight each, for S
 * seconds, one thread.
 *
 *     tests/bench/load --addr 127.0.0.1:7400 --connections 50 --in-flight 16 --seconds 5 \
 *                      --op read_index
 *
 * Every reply is matched to its request and timed from the moment the request was handed to the
 * kernel; errors are counted by their name. It prints one line of figures. Plain epoll: it must
 * cost less than what it measures. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/prng.h"

#define IN_FLIGHT_MAX 1024u
#define OUT_BYTES     (1u << 18)
#define IN_BYTES      (1u << 18)

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

static struct {
    const char *addr;
    unsigned n_connections;
    unsigned in_flight;
    double seconds;
    const char *op;
    unsigned n_keys;
    unsigned value_bytes;
    unsigned write_percent;
} conf = {"127.0.0.1:7400", 50, 16, 5, "read_index", 1000, 16, 0};

/* Latencies in buckets of 1/16 of a power of two: 6 % wide at most. */
#define N_BUCKETS 640u
static uint64_t buckets[N_BUCKETS];
static uint64_t n_done;
static uint64_t n_errors;
static uint64_t max_us;
static char first_error[256];
static struct prng prng;
static char *value;

static unsigned bucket_of(uint64_t us)
{
    unsigned log;

    if (us < 16)
        return (unsigned)us;
    log = 63u - (unsigned)__builtin_clzll(us);
    return (log - 3) * 16 + (unsigned)((us >> (log - 4)) & 15u);
}

static uint64_t bucket_top(unsigned b)
{
    unsigned log = b / 16 + 3;

    if (b < 16)
        return b;
    return ((uint64_t)16 + b % 16 + 1) << (log - 4);
}

static uint64_t percentile(double p)
{
    uint64_t want = (uint64_t)((double)n_done * p / 100.0 + 0.5);
    uint64_t seen = 0;

    for (unsigned i = 0; i < N_BUCKETS; i++) {
        seen += buckets[i];
        if (seen >= want && seen > 0)
            return bucket_top(i) < max_us ? bucket_top(i) : max_us;
    }
    return max_us;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(void)
{
    char host[256];
    const char *colon = strrchr(conf.addr, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int one = 1;
    int fd;

    if (colon == NULL || (size_t)(colon - conf.addr) >= sizeof(host)) {
        errno = EINVAL;
        die(conf.addr);
    }
    memcpy(host, conf.addr, (size_t)(colon - conf.addr));
    host[colon - conf.addr] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        die(conf.addr);
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0)
        die(conf.addr);
    freeaddrinfo(list);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void add_request(struct conn *c)
{
    unsigned slot = c->free_slots[--c->n_free];
    unsigned key = (unsigned)prng_below(&prng, conf.n_keys);
    const char *op = conf.op;
    int n;

    if (conf.write_percent > 0 && prng_below(&prng, 100) < conf.write_percent)
        op = "write";
    if (strcmp(op, "write") == 0)
        n = snprintf(c->out + c->out_len, OUT_BYTES - c->out_len,
                     "{\"type\":\"write\",\"msg_id\":%u,\"key\":\"key-%u\",\"value\":\"%s\"}\n",
                     slot, key, value);
    else
        n = snprintf(c->out + c->out_len, OUT_BYTES - c->out_len,
                     "{\"type\":\"%s\",\"msg_id\":%u,\"key\":\"key-%u\"}\n", op, slot, key);
    c->out_len += (size_t)n;
    c->n_in_flight++;
}

static void send_out(struct conn *c, uint64_t now_us)
{
    (void)now_us;
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

    while (c->n_free > 0 && c->out_len + conf.value_bytes + 128 < OUT_BYTES) {
        c->sent_us[c->free_slots[c->n_free - 1]] = now_us;
        add_request(c);
    }
    send_out(c, now_us);
}

static void take_line(struct conn *c, const char *line, size_t len, uint64_t now_us)
{
    const char *at = memmem(line, len, "\"in_reply_to\":", 14);
    unsigned long slot;
    uint64_t us;

    if (at == NULL) {
        fprintf(stderr, "load: a reply without in_reply_to: %.*s\n", (int)len, line);
        exit(1);
    }
    slot = strtoul(at + 14, NULL, 10);
    if (slot >= IN_FLIGHT_MAX) {
        fprintf(stderr, "load: an unknown reply: %.*s\n", (int)len, line);
        exit(1);
    }
    us = now_us - c->sent_us[slot];
    buckets[bucket_of(us)]++;
    n_done++;
    if (us > max_us)
        max_us = us;
    if (len > 16 && memcmp(line, "{\"type\":\"error\"", 15) == 0) {
        if (n_errors++ == 0)
            (void)snprintf(first_error, sizeof(first_error), "%.*s", (int)len, line);
    }
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

static void run(void)
{
    struct conn **conns = calloc(conf.n_connections, sizeof(*conns));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begun_us;
    uint64_t end_us;

    if (conns == NULL || epoll < 0)
        die("epoll");
    for (unsigned i = 0; i < conf.n_connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN};
        struct conn *c = calloc(1, sizeof(*c));

        if (c == NULL)
            die("memory");
        conns[i] = c;
        c->fd = dial();
        for (unsigned j = 0; j < conf.in_flight; j++)
            c->free_slots[c->n_free++] = j;
        ev.data.ptr = c;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            die("epoll_ctl");
    }
    begun_us = clock_mono_us();
    end_us = begun_us + (uint64_t)(conf.seconds * 1e6);
    for (unsigned i = 0; i < conf.n_connections; i++)
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
    printf("op=%s write_percent=%u connections=%u in_flight=%u seconds=%.2f per_s=%.0f p50_us=%llu "
           "p99_us=%llu "
           "p999_us=%llu max_us=%llu errors=%llu\n",
           conf.op, conf.write_percent, conf.n_connections, conf.in_flight,
           (double)(end_us - begun_us) / 1e6, (double)n_done * 1e6 / (double)(end_us - begun_us),
           (unsigned long long)percentile(50), (unsigned long long)percentile(99),
           (unsigned long long)percentile(99.9), (unsigned long long)max_us,
           (unsigned long long)n_errors);
    if (n_errors > 0)
        printf("first error: %s\n", first_error);
    for (unsigned i = 0; i < conf.n_connections; i++) {
        (void)close(conns[i]->fd);
        free(conns[i]);
    }
    free(conns);
    (void)close(epoll);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"addr", required_argument, NULL, 'a'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"in-flight", required_argument, NULL, 'f'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"op", required_argument, NULL, 'o'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"value-bytes", required_argument, NULL, 'v'},
                                            {"write-percent", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            conf.addr = optarg;
            break;
        case 'c':
            conf.n_connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            conf.in_flight = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            conf.seconds = strtod(optarg, NULL);
            break;
        case 'o':
            conf.op = optarg;
            break;
        case 'k':
            conf.n_keys = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            conf.value_bytes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            conf.write_percent = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            fprintf(stderr, "usage: load [--addr HOST:PORT] [--connections C] [--in-flight P] "
                            "[--seconds S] [--op TYPE]\n"
                            "            [--keys K] [--value-bytes N] [--write-percent W]\n");
            return 64;
        }
    }
    if (conf.n_connections == 0 || conf.in_flight == 0 || conf.in_flight > IN_FLIGHT_MAX ||
        conf.n_keys == 0 || conf.value_bytes > 4096) {
        fprintf(stderr,
                "load: out of range: connections and keys from 1, in-flight 1 to %u, value-bytes "
                "to 4096\n",
                IN_FLIGHT_MAX);
        return 64;
    }
    value = malloc(conf.value_bytes + 1);
    if (value == NULL)
        die("memory");
    memset(value, 'v', conf.value_bytes);
    value[conf.value_bytes] = '\0';
    prng_init(&prng, 1);
    run();
    free(value);
    return 0;
}
