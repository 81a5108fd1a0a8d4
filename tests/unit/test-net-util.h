/* What both tests of net/ share: a clock of their own, a loop driven until a condition holds, raw
 * sockets for the other side, and a sweep of descriptors behind each case.
 *
 * The clock that net/ reads stands still until the test moves it. A deadline of net/ therefore
 * passes when the test says so and never because the machine is busy; only waiting (PUMP_UNTIL) and
 * the ticks of libevent take real time, and those only make a test slower. */
#ifndef RIDD_TESTS_NET_UTIL_H
#define RIDD_TESTS_NET_UTIL_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/prng.h"
#include "tls/tls.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#else
#define TEST_SANITIZED 0
#endif

/* How long a condition is waited for. Only a case that fails lasts so long, thus generous: a busy
 * machine with sanitizers may hold a process up for seconds. */
#define WAIT_US 60000000u

/* A deadline of net/ that passes only when the test moves the clock. */
#define FAR_US 3600000000u

/* ---- time ---- */

struct test_time {
    _Atomic uint64_t now_us; /* of the clock that stands; never 0, which net/ takes for "not set" */
    _Atomic bool runs;       /* for what really waits, such as a blocking probe */
};

static struct test_time test_time = {1, false};

static inline uint64_t real_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* In place of base/clock.c, whose object the linker then leaves out. */
uint64_t clock_mono_us(void)
{
    return test_time.runs ? real_us() : test_time.now_us;
}

uint64_t clock_wall_us(void)
{
    return clock_mono_us();
}

/* Real: nothing waits for it. */
uint64_t clock_thread_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static inline void time_passes(uint64_t us)
{
    test_time.now_us += us;
}

/* ---- what a case leaves ---- */

/* Descriptors and limits as they were before the case. */
struct before_case {
    bool open[1024];
    rlim_t nofile;
};

static struct before_case before_case;

static inline void before_case_note(void)
{
    struct rlimit rl;

    test_time.now_us = FAR_US;
    test_time.runs = false;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    before_case.nofile = rl.rlim_cur;
    for (int fd = 0; fd < 1024; fd++)
        before_case.open[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* Closes every descriptor that the case opened and left, whatever became of the case: the next one
 * looks at descriptors, too. How many there were. */
static inline unsigned after_case_sweep(void)
{
    int fds[8192];
    unsigned n_fds = 0;
    struct rlimit rl;
    struct dirent *entry;
    DIR *dir;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    rl.rlim_cur = before_case.nofile;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
    dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL && n_fds < sizeof(fds) / sizeof(fds[0])) {
        const int fd = (int)strtol(entry->d_name, NULL, 10);

        if (fd != dirfd(dir) && (fd >= 1024 || !before_case.open[fd]) && entry->d_name[0] != '.')
            fds[n_fds++] = fd;
    }
    (void)closedir(dir);
    for (unsigned i = 0; i < n_fds; i++)
        (void)close(fds[i]);
    return n_fds;
}

/* ---- the loop ---- */

/* What a whole test waits in: the loop, and what is done once per turn. */
struct pump {
    struct event_base *base;
    struct event *ev_tick;
    void (*turn)(void *ctx);
    void *ctx;
    uint64_t n_turns;
};

static inline void pump_on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    /* Even a loop whose events never cease ends its turn here. */
    (void)event_base_loopbreak(ctx);
}

static inline void pump_init(struct pump *p, void (*turn)(void *ctx), void *ctx)
{
    const struct timeval period = {0, 2000};
    struct event_config *config;

    config = event_config_new();
    assert_non_null(config);
    /* As the daemon's loop has it. */
    assert_int_equal(event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST), 0);
    p->base = event_base_new_with_config(config);
    event_config_free(config);
    assert_non_null(p->base);
    p->ev_tick = event_new(p->base, -1, EV_PERSIST, pump_on_tick, p->base);
    assert_non_null(p->ev_tick);
    assert_int_equal(event_add(p->ev_tick, &period), 0);
    p->turn = turn;
    p->ctx = ctx;
    p->n_turns = 0;
}

static inline void pump_turn(struct pump *p)
{
    (void)event_base_loop(p->base, EVLOOP_ONCE);
    p->turn(p->ctx);
    p->n_turns++;
}

static inline void pump_done(struct pump *p)
{
    event_free(p->ev_tick);
    event_base_free(p->base);
    p->base = NULL;
}

/* Turns the loop until the condition holds; fails the test when that takes too long. */
#define PUMP_UNTIL(p, condition)                                                                   \
    do {                                                                                           \
        const uint64_t pump_deadline_us = real_us() + WAIT_US;                                     \
        while (!(condition)) {                                                                     \
            if (real_us() > pump_deadline_us)                                                      \
                fail_msg("waited in vain for: %s", #condition);                                    \
            pump_turn(p);                                                                          \
        }                                                                                          \
    } while (0)

/* For what must not happen: turns the loop for that long. */
static inline void pump_for(struct pump *p, uint64_t us)
{
    const uint64_t until_us = real_us() + us;

    while (real_us() < until_us)
        pump_turn(p);
}

/* Microseconds of processor time that the loop takes in that many of real time. */
static inline uint64_t pump_cpu_us(struct pump *p, uint64_t us)
{
    struct timespec before;
    struct timespec after;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
    pump_for(p, us);
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
    return (uint64_t)(after.tv_sec - before.tv_sec) * 1000000u + (uint64_t)after.tv_nsec / 1000u -
           (uint64_t)before.tv_nsec / 1000u;
}

/* ---- raw sockets ---- */

/* What raw sockets speak; NULL: plain. */
static struct tls_ctx *raw_tls;

/* Of a cluster whose secret is this letter again and again. */
static inline struct tls_ctx *tls_of_secret(const char *cluster, char letter)
{
    struct tls_secrets secrets = {.n = 1};
    struct tls_conf conf = {.use = TLS_PEERS, .cluster = cluster, .secrets = &secrets};
    struct tls_ctx *tls = NULL;

    secrets.of[0].len = TLS_SECRET_BYTES_MIN;
    memset(secrets.of[0].bytes, letter, TLS_SECRET_BYTES_MIN);
    assert_int_equal(tls_ctx_new(&conf, &tls), 0);
    return tls;
}

/* A raw socket of the test, non-blocking, and what came out of it. With TLS it shakes hands when it
 * is first read or written: one that says nothing says nothing of TLS either. */
struct raw {
    int fd;
    struct tls_stream *tls; /* owned; NULL: plain */
    bool shaken;
    struct buf in;
    bool eof;
    int error;
};

static inline struct sockaddr_in raw_loopback(unsigned port)
{
    struct sockaddr_in sa = {0};

    sa.sin_family = AF_INET;
    sa.sin_port = htons((uint16_t)port);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sa;
}

static inline void raw_adopt(struct raw *c, int fd)
{
    memset(c, 0, sizeof(*c));
    assert_true(fd >= 0);
    c->fd = fd;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void raw_secure(struct raw *c, struct tls_ctx *tls, enum tls_side side)
{
    assert_int_equal(tls_stream_new(tls, side, c->fd, NULL, &c->tls), 0);
}

/* One that was accepted. */
static inline void raw_take_in(struct raw *c, int fd)
{
    raw_adopt(c, fd);
    if (raw_tls != NULL)
        raw_secure(c, raw_tls, TLS_ACCEPT);
}

/* From 127.0.0.host. */
static inline void raw_connect_from(struct raw *c, unsigned port, unsigned host)
{
    const struct sockaddr_in sa = raw_loopback(port);
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(0x7f000000u + host)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
    /* Loopback: the kernel of the other side answers, its loop need not run. */
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    raw_adopt(c, fd);
    if (raw_tls != NULL)
        raw_secure(c, raw_tls, TLS_DIAL);
}

static inline void raw_connect(struct raw *c, unsigned port)
{
    raw_connect_from(c, port, 1);
}

static inline void raw_close(struct raw *c)
{
    tls_stream_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    buf_done(&c->in);
}

/* False: not so far, or never (c->error). */
static inline bool raw_shake_hands(struct raw *c)
{
    int rc = 0;

    if (c->tls != NULL && !c->shaken)
        rc = tls_shake(c->tls);
    c->shaken = rc == 0;
    if (rc < 0)
        c->error = -rc;
    return c->shaken;
}

static inline ssize_t raw_recv(struct raw *c, void *data, size_t len)
{
    return c->tls != NULL ? tls_recv(c->tls, data, len) : recv(c->fd, data, len, 0);
}

/* Takes what is there; true when the connection has ended. */
static inline bool raw_read(struct raw *c)
{
    char bytes[16384];
    ssize_t n;

    while (!c->eof && c->error == 0) {
        if (!raw_shake_hands(c))
            return c->error != 0;
        n = raw_recv(c, bytes, sizeof(bytes));
        if (n > 0)
            assert_int_equal(buf_add(&c->in, bytes, (size_t)n), 0);
        else if (n == 0)
            c->eof = true;
        else if (errno == EAGAIN)
            return false;
        else if (errno != EINTR)
            c->error = errno;
    }
    return true;
}

static inline size_t raw_in(struct raw *c)
{
    (void)raw_read(c);
    return c->in.len;
}

/* As much as the kernel takes. */
static inline size_t raw_send_some(struct raw *c, const void *data, size_t len)
{
    ssize_t n;

    if (len == 0 || !raw_shake_hands(c))
        return 0;
    n = c->tls != NULL ? tls_send(c->tls, data, len) : send(c->fd, data, len, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN)
            c->error = errno;
        return 0;
    }
    return (size_t)n;
}

static inline void raw_send(struct pump *p, struct raw *c, const void *data, size_t len)
{
    const char *bytes = data;
    size_t at = 0;

    PUMP_UNTIL(p, (at += raw_send_some(c, bytes + at, len - at)) == len || c->error != 0);
}

#endif
