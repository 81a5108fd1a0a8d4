/* The fault proxy of tests/cluster between two sockets of ours: what it must never do to bytes, and
 * that each fault does something. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "cluster/proxy.h"

#include "base/banned.h"

#define DEADLINE_MS 20000
#define TYPE_HELLO  32u
#define TYPE_DATA   7u

struct rig {
    struct proxy *proxy;
    int listen_fds[2];
    int near; /* node 0 dialled node 1 */
    int far;  /* where that came out */
};

static int setup(void **state)
{
    static struct rig rig;
    uint16_t ports[2];

    for (unsigned i = 0; i < 2; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t len = sizeof(in);

        rig.listen_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(rig.listen_fds[i] >= 0);
        assert_int_equal(bind(rig.listen_fds[i], (struct sockaddr *)&in, sizeof(in)), 0);
        assert_int_equal(listen(rig.listen_fds[i], 8), 0);
        assert_int_equal(getsockname(rig.listen_fds[i], (struct sockaddr *)&in, &len), 0);
        ports[i] = ntohs(in.sin_port);
    }
    rig.proxy = proxy_new(2, ports, 5);
    assert_non_null(rig.proxy);
    rig.near = -1;
    rig.far = -1;
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    proxy_free(r->proxy);
    for (unsigned i = 0; i < 2; i++)
        (void)close(r->listen_fds[i]);
    if (r->near >= 0)
        (void)close(r->near);
    if (r->far >= 0)
        (void)close(r->far);
    return 0;
}

static void join(struct rig *r)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(proxy_port(r->proxy, 0, 1)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    r->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(r->near >= 0);
    assert_int_equal(connect(r->near, (struct sockaddr *)&in, sizeof(in)), 0);
    r->far = accept(r->listen_fds[1], NULL, NULL);
    assert_true(r->far >= 0);
}

/* A frame whose payload is its number. */
static void send_frame(int fd, uint8_t type, uint32_t number)
{
    unsigned char frame[16] = {0};

    put_u32(frame, sizeof(frame) - 4);
    frame[8] = type;
    put_u32(frame + 12, number);
    assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), (int)sizeof(frame));
}

/* false: none within ms. */
static bool recv_frame(int fd, int ms, uint32_t *ret_number)
{
    unsigned char frame[16];
    size_t got = 0;

    while (got < sizeof(frame)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, got == 0 ? ms : DEADLINE_MS) <= 0)
            return false;
        n = recv(fd, frame + got, sizeof(frame) - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(get_u32(frame), sizeof(frame) - 4);
    *ret_number = get_u32(frame + 12);
    return true;
}

static void expect_frame(int fd, uint32_t number)
{
    uint32_t got = 0;

    assert_true(recv_frame(fd, DEADLINE_MS, &got));
    assert_int_equal(got, number);
}

static void proxy__passes_both_ways(void **state)
{
    struct rig *r = *state;

    join(r);
    for (uint32_t i = 0; i < 1000; i++) {
        send_frame(r->near, TYPE_DATA, i);
        send_frame(r->far, TYPE_DATA, i + 5000);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        expect_frame(r->far, i);
        expect_frame(r->near, i + 5000);
    }
}

static void proxy__drops_whole_frames(void **state)
{
    const struct proxy_fault fault = {.drop_permille = 300};
    struct rig *r = *state;
    struct proxy_stats stats;
    uint32_t last = 0;
    uint32_t got = 0;
    unsigned n = 0;

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    for (uint32_t i = 1; i <= 1000; i++) {
        send_frame(r->near, TYPE_DATA, i);
        send_frame(r->far, TYPE_DATA, i);
    }
    for (uint32_t i = 1; i <= 1000; i++)
        expect_frame(r->near, i);          /* the other direction is well */
    send_frame(r->near, TYPE_HELLO, 2000); /* never dropped by chance: the end */
    do {
        assert_true(recv_frame(r->far, DEADLINE_MS, &got));
        assert_true(got > last);
        last = got;
        n++;
    } while (got != 2000);
    assert_true(n > 550 && n < 850);
    proxy_get_stats(r->proxy, &stats);
    assert_int_equal(stats.n_dropped, 1001 - n);
}

static void proxy__sends_frames_twice(void **state)
{
    const struct proxy_fault fault = {.twice_permille = 1000};
    struct rig *r = *state;

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    send_frame(r->near, TYPE_HELLO, 1);
    for (uint32_t i = 2; i < 100; i++)
        send_frame(r->near, TYPE_DATA, i);
    expect_frame(r->far, 1);
    for (uint32_t i = 2; i < 100; i++) {
        expect_frame(r->far, i);
        expect_frame(r->far, i);
    }
}

/* What comes again is of before, and all that is new comes in its order. */
static void proxy__sends_earlier_frames_again(void **state)
{
    const struct proxy_fault fault = {.again_permille = 500};
    struct rig *r = *state;
    struct proxy_stats stats;
    uint32_t newest = 1;
    uint32_t got = 0;
    unsigned n_again = 0;

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    send_frame(r->near, TYPE_HELLO, 1); /* never again */
    expect_frame(r->far, 1);
    for (uint32_t i = 2; i <= 400; i++)
        send_frame(r->near, TYPE_DATA, i);
    send_frame(r->near, TYPE_HELLO, 2000);
    while (recv_frame(r->far, DEADLINE_MS, &got) && got != 2000) {
        assert_true(got > 1 && got <= newest + 1);
        n_again += got <= newest;
        newest = got > newest ? got : newest;
    }
    assert_int_equal(newest, 400);
    proxy_get_stats(r->proxy, &stats);
    assert_int_equal(stats.n_again, n_again);
    assert_true(n_again > 100);
}

static void proxy__delays_and_keeps_the_order(void **state)
{
    const struct proxy_fault fault = {.delay_ms = 50, .jitter_ms = 50};
    struct rig *r = *state;
    const uint64_t began_us = clock_mono_us();

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    for (uint32_t i = 0; i < 100; i++)
        send_frame(r->near, TYPE_DATA, i);
    for (uint32_t i = 0; i < 100; i++)
        expect_frame(r->far, i);
    assert_true(clock_mono_us() - began_us >= 50000);
}

static void proxy__dribbles(void **state)
{
    const struct proxy_fault fault = {.dribble = true};
    struct rig *r = *state;
    struct proxy_stats stats;

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    for (uint32_t i = 0; i < 5; i++)
        send_frame(r->near, TYPE_DATA, i);
    for (uint32_t i = 0; i < 5; i++)
        expect_frame(r->far, i);
    /* Each byte was sent alone. How many of them wait when this test is given the processor again
     * is not the proxy's business. */
    proxy_get_stats(r->proxy, &stats);
    assert_int_equal(stats.n_dribbled, 5 * 16);
}

static void proxy__holds_one_way(void **state)
{
    const struct proxy_fault fault = {.cut = PROXY_HOLD};
    struct rig *r = *state;
    uint32_t got;

    join(r);
    send_frame(r->near, TYPE_DATA, 1);
    expect_frame(r->far, 1);
    proxy_set(r->proxy, 0, 1, &fault);
    send_frame(r->near, TYPE_DATA, 2);
    send_frame(r->far, TYPE_DATA, 3);
    expect_frame(r->near, 3);
    assert_false(recv_frame(r->far, 100, &got));
    proxy_heal(r->proxy);
    expect_frame(r->far, 2); /* late, not lost */
}

static void proxy__drops_all_one_way(void **state)
{
    const struct proxy_fault fault = {.cut = PROXY_DROP};
    struct rig *r = *state;
    struct proxy_stats stats = {0};

    join(r);
    proxy_set(r->proxy, 0, 1, &fault);
    send_frame(r->near, TYPE_HELLO, 1);
    send_frame(r->near, TYPE_DATA, 2);
    while (stats.n_dropped < 2) /* the case's own time limit ends it */
        proxy_get_stats(r->proxy, &stats);
    proxy_heal(r->proxy);
    send_frame(r->near, TYPE_DATA, 3);
    expect_frame(r->far, 3);
}

static void proxy__resets(void **state)
{
    struct rig *r = *state;
    char byte;

    join(r);
    send_frame(r->near, TYPE_DATA, 1);
    expect_frame(r->far, 1);
    proxy_reset(r->proxy, 1, 0);
    assert_int_equal(recv(r->near, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(recv(r->far, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    /* The next one is as good as new. */
    (void)close(r->near);
    (void)close(r->far);
    join(r);
    send_frame(r->near, TYPE_DATA, 2);
    expect_frame(r->far, 2);
}

static void proxy__hands_on_the_end(void **state)
{
    struct rig *r = *state;
    char byte;

    join(r);
    send_frame(r->near, TYPE_DATA, 1);
    assert_int_equal(shutdown(r->near, SHUT_WR), 0);
    expect_frame(r->far, 1);
    assert_int_equal(recv(r->far, &byte, 1, 0), 0);
    send_frame(r->far, TYPE_DATA, 2); /* the other half stays */
    expect_frame(r->near, 2);
}

static void proxy__nobody_there(void **state)
{
    struct rig *r = *state;
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(proxy_port(r->proxy, 0, 1)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char byte;

    (void)close(r->listen_fds[1]);
    r->listen_fds[1] = -1;
    r->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(r->near >= 0);
    assert_int_equal(connect(r->near, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_true(recv(r->near, &byte, 1, 0) <= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(proxy__passes_both_ways),
        TEST(proxy__drops_whole_frames),
        TEST(proxy__sends_frames_twice),
        TEST(proxy__sends_earlier_frames_again),
        TEST(proxy__delays_and_keeps_the_order),
        TEST(proxy__dribbles),
        TEST(proxy__holds_one_way),
        TEST(proxy__drops_all_one_way),
        TEST(proxy__resets),
        TEST(proxy__hands_on_the_end),
        TEST(proxy__nobody_there),
    };

    (void)alarm(120);
    return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
