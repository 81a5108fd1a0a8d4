/* greeter: handshakes beside the loop, who makes room for whom, and its end at any moment. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "tls/greeter.h"

struct fixture {
    struct event_base *base;
    struct greeter *greeter;
    struct tls_ctx *ctx;
};

/* What became of one that went in. */
struct caller {
    struct greeting *greeting;
    int fd; /* the other end */
    unsigned n_told;
    struct tls_stream *stream;
    int got_fd;
    bool silent;
    char why[TLS_WHY_BYTES];
};

static void on_greeted(void *ctx, struct tls_stream *stream, int fd, bool silent, const char *why)
{
    struct caller *c = ctx;

    c->n_told++;
    c->stream = stream;
    c->got_fd = fd;
    c->silent = silent;
    (void)snprintf(c->why, sizeof(c->why), "%s", why != NULL ? why : "");
}

static void set_up(struct fixture *f, unsigned max, unsigned per_host)
{
    const struct greeter_conf conf = {
        .name = "test-greeter", .max = max, .per_host = per_host, .nice = 1};
    struct tls_secrets s = {.n = 1, .of = {{.len = TLS_SECRET_BYTES_MIN}}};
    const struct tls_conf tls = {.use = TLS_PEERS, .cluster = "c1", .secrets = &s};

    f->base = event_base_new();
    assert_non_null(f->base);
    assert_int_equal(greeter_new(f->base, &conf, &f->greeter), 0);
    assert_int_equal(tls_ctx_new(&tls, &f->ctx), 0);
}

static void tear_down(struct fixture *f)
{
    greeter_free(f->greeter);
    tls_ctx_unref(f->ctx);
    event_base_free(f->base);
}

static int take_in(struct fixture *f, struct caller *c, uint64_t host, uint64_t deadline_us)
{
    int fds[2];

    memset(c, 0, sizeof(*c));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    c->fd = fds[1];
    return greeter_take_in(f->greeter, f->ctx, TLS_ACCEPT, fds[0], host, deadline_us,
                           on_greeted, c, &c->greeting);
}

static void until_told(struct fixture *f, const struct caller *c)
{
    while (c->n_told == 0)
        assert_int_not_equal(event_base_loop(f->base, EVLOOP_ONCE), -1);
}

/* The caller's side of the handshake, to its end or until the other side is gone. */
static struct tls_stream *call(struct fixture *f, struct caller *c)
{
    struct tls_stream *s;
    int rc;

    assert_int_equal(tls_stream_new(f->ctx, TLS_DIAL, c->fd, NULL, &s), 0);
    do {
        rc = tls_shake(s);
        (void)event_base_loop(f->base, EVLOOP_NONBLOCK);
    } while (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE);
    assert_int_equal(rc, TLS_DONE);
    return s;
}

static void done(struct caller *c)
{
    tls_stream_free(c->stream);
    if (c->n_told > 0 && c->got_fd >= 0)
        (void)close(c->got_fd);
    (void)close(c->fd);
}

#define FOR_EVER UINT64_MAX

static void greeter__hands_over_who_shook_hands(void **state)
{
    struct fixture f;
    struct caller c;
    struct tls_stream *s;
    struct greeter_stats stats;
    char byte;

    (void)state;
    set_up(&f, 0, 0);
    assert_int_equal(take_in(&f, &c, 1, FOR_EVER), 0);
    s = call(&f, &c);
    until_told(&f, &c);
    assert_string_equal(c.why, "");
    assert_int_equal(tls_stream_identity(c.stream)->kind, TLS_SECRET);
    assert_int_equal(tls_send(s, "x", 1), 1);
    assert_int_equal(tls_recv(c.stream, &byte, 1), 1);
    greeter_get_stats(f.greeter, &stats);
    assert_int_equal(stats.n_done, 1);
    assert_int_equal(stats.n_under_way, 0);
    assert_true(stats.busy_us > 0);
    tls_stream_free(s);
    done(&c);
    tear_down(&f);
}

static void greeter__dials_as_well(void **state)
{
    struct fixture f;
    struct caller c = {.n_told = 0};
    struct caller other = {.n_told = 0};
    int fds[2];

    (void)state;
    set_up(&f, 0, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(greeter_take_in(f.greeter, f.ctx, TLS_DIAL, fds[0], 1, FOR_EVER,
                                     on_greeted, &c, &c.greeting),
                     0);
    assert_int_equal(greeter_take_in(f.greeter, f.ctx, TLS_ACCEPT, fds[1], 2, FOR_EVER,
                                     on_greeted, &other, &other.greeting),
                     0);
    c.fd = other.fd = -1;
    until_told(&f, &c);
    until_told(&f, &other);
    assert_string_equal(c.why, "");
    assert_string_equal(other.why, "");
    done(&c);
    done(&other);
    tear_down(&f);
}

static void greeter__says_why_it_failed(void **state)
{
    struct fixture f;
    struct caller c;

    (void)state;
    set_up(&f, 0, 0);
    assert_int_equal(take_in(&f, &c, 1, FOR_EVER), 0);
    assert_int_equal(write(c.fd, "{\"type\":\"ping\"}\n", 16), 16);
    until_told(&f, &c);
    assert_null(c.stream);
    assert_int_equal(c.got_fd, -1);
    assert_false(c.silent);
    assert_non_null(strstr(c.why, "plain text"));
    done(&c);
    tear_down(&f);
}

static void greeter__ends_what_is_too_late(void **state)
{
    struct fixture f;
    struct caller c;
    struct greeter_stats stats;
    char byte;

    (void)state;
    set_up(&f, 0, 0);
    assert_int_equal(take_in(&f, &c, 1, clock_mono_us() + 1000), 0);
    until_told(&f, &c);
    assert_non_null(strstr(c.why, "not done in time"));
    assert_true(c.silent);
    greeter_get_stats(f.greeter, &stats);
    assert_int_equal(stats.n_slow, 1);
    assert_int_equal(stats.n_failed, 1);
    assert_true(read(c.fd, &byte, 1) <= 0); /* it is closed, too */
    done(&c);
    tear_down(&f);
}

/* Of many silent ones of one host: the others keep theirs (TLS-3). */
static void greeter__host_with_most_makes_room(void **state)
{
    struct fixture f;
    struct caller greedy[5];
    struct caller modest;
    struct caller late;
    struct greeter_stats stats;
    unsigned n_told = 0;

    (void)state;
    set_up(&f, 5, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(take_in(&f, &greedy[i], 1, FOR_EVER), 0);
    assert_int_equal(take_in(&f, &modest, 2, FOR_EVER), 0);
    assert_int_equal(take_in(&f, &late, 3, FOR_EVER), 0);
    assert_int_equal(take_in(&f, &greedy[4], 1, FOR_EVER), 0);
    greeter_get_stats(f.greeter, &stats);
    assert_int_equal(stats.n_under_way, 5);
    assert_int_equal(stats.n_made_room, 2);
    while (n_told < 2) {
        assert_int_not_equal(event_base_loop(f.base, EVLOOP_ONCE), -1);
        n_told = 0;
        for (unsigned i = 0; i < 5; i++)
            n_told += greedy[i].n_told;
    }
    assert_int_equal(modest.n_told, 0);
    assert_int_equal(late.n_told, 0);
    for (unsigned i = 0; i < 5; i++) {
        if (greedy[i].n_told > 0)
            assert_non_null(strstr(greedy[i].why, "newer connections"));
        else
            greeter_give_up(f.greeter, greedy[i].greeting);
        done(&greedy[i]);
    }
    done(&modest);
    done(&late);
    tear_down(&f);
}

/* Who has begun has his chance before he is driven out. */
static void greeter__silent_ones_go_first(void **state)
{
    struct fixture f;
    struct caller speaks;
    struct caller silent;
    struct caller third;

    (void)state;
    set_up(&f, 2, 2);
    assert_int_equal(take_in(&f, &speaks, 1, FOR_EVER), 0);
    assert_int_equal(write(speaks.fd, "\x16\x03\x01", 3), 3);
    assert_int_equal(take_in(&f, &silent, 1, FOR_EVER), 0);
    assert_int_equal(take_in(&f, &third, 1, FOR_EVER), 0);
    until_told(&f, &silent);
    assert_int_equal(speaks.n_told, 0);
    done(&speaks);
    done(&silent);
    done(&third);
    tear_down(&f);
}

static void greeter__nobody_hears_of_what_was_given_up(void **state)
{
    struct fixture f;
    struct caller gone;
    struct caller c;
    struct tls_stream *s;
    char byte;

    (void)state;
    set_up(&f, 0, 0);
    assert_int_equal(take_in(&f, &gone, 1, FOR_EVER), 0);
    greeter_give_up(f.greeter, gone.greeting);
    assert_int_equal(take_in(&f, &c, 1, FOR_EVER), 0);
    s = call(&f, &c);
    until_told(&f, &c);
    assert_int_equal(gone.n_told, 0);
    assert_int_equal(read(gone.fd, &byte, 1), 0);
    tls_stream_free(s);
    done(&c);
    done(&gone);
    tear_down(&f);
}

static void greeter__may_end_with_all_of_them(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct fixture f;
        struct caller c[10];

        set_up(&f, 0, 0);
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(take_in(&f, &c[i], i, FOR_EVER), 0);
            if (i % 3 == 0)
                assert_int_equal(write(c[i].fd, "x", 1), 1);
            if (i % 3 == 1)
                greeter_give_up(f.greeter, c[i].greeting);
        }
        greeter_free(f.greeter);
        f.greeter = NULL;
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(c[i].n_told, 0);
            done(&c[i]);
        }
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeter__hands_over_who_shook_hands),
        cmocka_unit_test(greeter__dials_as_well),
        cmocka_unit_test(greeter__says_why_it_failed),
        cmocka_unit_test(greeter__ends_what_is_too_late),
        cmocka_unit_test(greeter__host_with_most_makes_room),
        cmocka_unit_test(greeter__silent_ones_go_first),
        cmocka_unit_test(greeter__nobody_hears_of_what_was_given_up),
        cmocka_unit_test(greeter__may_end_with_all_of_them),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
