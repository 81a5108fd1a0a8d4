/* libridd without waiting: which attempt comes next, and when. Pauses are looked at through the
 * deadline that the library tells its loop, so that nothing here depends on how long they last. */
#include "unit/async-util.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "unit/fake-names.h"

#define BUSY_FOR(ms)                                                                               \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":11,\"text\":\"b\",\"error\":\"busy\","       \
    "\"definite\":true,\"limit\":1,\"retry_after_ms\":" #ms "}"
/* A pause that no test outlives: who pauses, fails. */
#define FOR_EVER_MS 60000u

static void set_retry(struct ridd *c, struct ridd_retry retry)
{
    assert_int_equal(ridd_set_retry(c, &retry), RIDD_OK);
}

/* ---- the leader moves ---- */

/* READ-54, ASYNC-6: a hint is followed at once, by all that are under way, on one connection. */
static void turns__the_leader_moves_under_many_requests(void **state)
{
    static const struct fake_step leader_steps[] = {{"write", FAKE_REPLY, WRITE_OK, 0},
                                                    {NULL, FAKE_REPLY, READ_OK, 0}};
    char hint[256];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    struct fake_server *leader = fake_start(STEPS(leader_steps));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[100];

    (void)state;
    not_leader(hint, sizeof(hint), fake_address(leader));
    fake_publish(s);
    set_retry(c, (struct ridd_retry){.max_retries = RIDD_NONE, .backoff_ms = FOR_EVER_MS});
    for (unsigned i = 0; i < 100; i++)
        if (i % 2 == 0)
            start_put(c, "x", &seen[i]);
        else
            start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]);
    run_all(c);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(seen[i].status, RIDD_OK);
        assert_int_equal(seen[i].attempts, 2);
    }
    assert_int_equal(fake_count(s, NULL), 100);
    assert_int_equal(fake_count(leader, NULL), 100);
    assert_int_equal(fake_connections(leader), 1);
    /* Who comes later goes there at once. */
    start_put(c, "x", &seen[0]);
    run_all(c);
    assert_int_equal(seen[0].attempts, 1);
    ridd_close(c);
    fake_stop(s);
    fake_stop(leader);
}

/* The leader's host is gone with everything that it had: reads are asked anew elsewhere, writes
 * that had left are told, and nothing is sent twice that may have happened (CLIENT-9). */
static void turns__the_leader_dies_under_many_requests(void **state)
{
    static const struct fake_step first_steps[] = {{NULL, FAKE_HOLD, NULL, 0}};
    static const struct fake_step second_steps[] = {{"write", FAKE_REPLY, WRITE_OK, 0},
                                                    {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(first_steps)), fake_start(STEPS(second_steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, 0);
    struct ridd_limits limits = {.in_flight = 50};
    struct seen seen[100];
    unsigned n_unknown = 0;

    (void)state;
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    for (unsigned i = 0; i < 100; i++)
        if (i % 2 == 0)
            start_put(c, "x", &seen[i]);
        else
            start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]);
    run_until_sent(c, s[0], NULL, 50);
    fake_hang_up(s[0]);
    run_all(c);
    for (unsigned i = 0; i < 100; i++) {
        bool is_unknown = seen[i].status == RIDD_OUTCOME_UNKNOWN;

        assert_true(is_unknown || seen[i].status == RIDD_OK);
        assert_true(!is_unknown || i % 2 == 0);
        n_unknown += is_unknown;
    }
    assert_int_equal(n_unknown, 25); /* the writes among the fifty that had left */
    assert_int_equal(fake_count(s[0], "write"), 25);
    assert_int_equal(fake_count(s[1], "write"), 25);
    assert_int_equal(fake_count(s[1], "read"), 50);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ---- storms ---- */

/* ASYNC-7: a server that hangs up on everybody is dialled again and again, but by the client, not
 * by each of its thousand requests. */
static void turns__a_thousand_requests_dial_like_one(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, 1000, 0);
    struct seen *seen = calloc(1000, sizeof(*seen));

    (void)state;
    assert_non_null(seen);
    fake_set_greeting(s, "", 1, UINT32_MAX);
    for (unsigned i = 0; i < 1000; i++)
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]);
    run_all(c);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_not_equal(seen[i].status, RIDD_OK);
        assert_int_equal(seen[i].definite, 1);
    }
    /* With pauses of 5 ms at least, which double: some ten in a second. */
    assert_in_range(fake_connections(s), 2, 30);
    ridd_close(c);
    free(seen);
    fake_stop(s);
}

/* ASYNC-7: who begins later than the failure may look for himself, and finds the server that is
 * back; a stream of them does not dial more often than every few milliseconds. */
static void turns__a_stream_of_requests_does_not_dial_for_each(void **state)
{
    char dead[32];
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct ridd_options options = {.timeout_ms = 20, .flags = RIDD_FLAG_IMPATIENT, .seed = 7};
    struct ridd *c = NULL;
    unsigned n_attempts = 0;
    uint64_t elapsed_us = 0;

    (void)state;
    assert_int_equal(ridd_open(dead, &options, &c), RIDD_OK);
    for (unsigned i = 0; i < 50; i++) {
        struct ridd_reply *r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);

        assert_int_equal(r->status, RIDD_UNREACHABLE);
        assert_true(r->attempts <= 1);
        n_attempts += r->attempts;
        elapsed_us += r->elapsed_us;
        ridd_reply_free(r);
    }
    /* Between two of them lie 5 ms at least. */
    assert_true(n_attempts >= 1);
    assert_true((n_attempts - 1) * UINT64_C(5000) <= elapsed_us + 1000);
    ridd_close(c);
    (void)close(fd);
}

/* ---- pauses ---- */

/* Turns until the server has answered n times and the client pauses: how long yet. */
static int64_t pause_after(struct ridd *c, struct fake_server *s, unsigned n)
{
    run_until_sent(c, s, NULL, n);
    /* The answer is taken when the request is not at the server any more: the next thing that is
     * due is not its deadline, a minute away. */
    while (ridd_async_timeout_us(c) > 50000000)
        assert_int_equal(ridd_wait(c, 1), RIDD_OK);
    return ridd_async_timeout_us(c);
}

/* ASYNC-6: twice as long each time, up to the bound. No pause is longer than it may be, and all of
 * them together are as long as they must be. */
static void turns__pauses_double_up_to_a_bound(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, ERROR("busy", 11, true), 0}};
    static const unsigned expect_ms[] = {200, 400, 700, 700};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen;

    (void)state;
    set_retry(c, (struct ridd_retry){.backoff_ms = 200, .backoff_ms_max = 700,
                                     .jitter_percent = RIDD_NONE, .max_retries = 4});
    start_put(c, "x", &seen);
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(pause_after(c, s, i + 1), 1, expect_ms[i] * 1000);
    }
    run_all(c);
    assert_int_equal(seen.status, RIDD_BUSY);
    assert_int_equal(seen.attempts, 5);
    /* All four were waited out in full. */
    assert_true(seen.elapsed_us >= 2000000);
    ridd_close(c);
    fake_stop(s);
}

/* Clients that failed together do not come back together. */
static void turns__pauses_have_jitter(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, ERROR("busy", 11, true), 0}};
    int64_t least = INT64_MAX;
    int64_t most = 0;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd_options options = {.timeout_ms = PATIENCE_MS, .seed = 100 + i};
        struct ridd *c = NULL;
        struct seen seen;
        int64_t us;

        assert_int_equal(ridd_open(fake_address(s), &options, &c), RIDD_OK);
        set_retry(c, (struct ridd_retry){.backoff_ms = 20000, .backoff_ms_max = 20000});
        start_put(c, "x", &seen);
        us = pause_after(c, s, 1);
        assert_in_range(us, 1, 30000000); /* half as long again at most */
        least = us < least ? us : least;
        most = us > most ? us : most;
        ridd_close(c);
        fake_stop(s);
    }
    /* Eight times by chance between 10 and 30 seconds. */
    assert_true(most - least > 4000000);
}

static void turns__a_server_says_how_long(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, BUSY_FOR(9000), 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen;

    (void)state;
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    assert_in_range(pause_after(c, s, 1), 1000000, 10000000);
    ridd_close(c);
    fake_stop(s);
}

/* ---- what is paused for ---- */

/* One answer, then what helps; with a pause that nobody outlives. */
static void expect_pause(const char *reply, bool is_read, bool pauses)
{
    struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 1},
                                {"write", FAKE_REPLY, WRITE_OK, 0},
                                {NULL, FAKE_REPLY, READ_OK, 0}};
    static const struct fake_step good[] = {{"write", FAKE_REPLY, WRITE_OK, 0},
                                            {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(steps)), fake_start(STEPS(good))};
    struct ridd *c = open_many(s, 2, 5000, 0);
    struct seen seen;

    set_retry(c, (struct ridd_retry){.backoff_ms = FOR_EVER_MS, .backoff_ms_max = FOR_EVER_MS});
    if (is_read)
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    else
        start_put(c, "x", &seen);
    run_all(c);
    assert_int_equal(seen.attempts, pauses ? 1 : 2);
    assert_int_equal(seen.status == RIDD_OK, !pauses);
    assert_int_equal(fake_count(s[1], NULL), pauses ? 0 : 1);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ASYNC-6: a time-out and an overload are waited for; where another node may do better it is asked
 * at once. */
static void turns__what_is_paused_for(void **state)
{
    (void)state;
    expect_pause(ERROR("timeout", 0, true), true, true);
    expect_pause(ERROR("overloaded", 11, true), true, true);
    expect_pause(ERROR("busy", 11, true), false, true);
    expect_pause(ERROR("network", 11, true), true, false);
    expect_pause(ERROR("role_changed", 11, true), true, false);
    expect_pause(ERROR("term_changed", 11, true), false, false);
    expect_pause(ERROR("cancelled", 14, true), false, false);
}

/* ---- bounds of retries ---- */

static void turns__retries_are_counted(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, ERROR("network", 11, true), 0}};
    struct fake_server *s[2] = {fake_start(STEPS(steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, 0);
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct ridd_retry own = {.max_retries = 1};
    struct seen seen[3];

    (void)state;
    set_retry(c, (struct ridd_retry){.max_retries = 3, .backoff_ms = 1});
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[0]);
    op.key = ridd_key("y");
    op.via = RIDD_VIA_READ_INDEX;
    op.retry = &own;
    start_op(c, &op, &seen[1]);
    own.max_retries = RIDD_NONE; /* it was copied */
    start_op(c, &op, &seen[2]);
    run_all(c);
    assert_int_equal(seen[0].attempts, 4);
    assert_int_equal(seen[1].attempts, 2);
    assert_int_equal(seen[2].attempts, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(seen[i].status, RIDD_NETWORK);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

static void turns__a_policy_is_checked(void **state)
{
    static const struct ridd_retry wrong[] = {
        {.backoff_ms = 20, .backoff_ms_max = 10},
        {.backoff_ms_max = 60001},
        {.jitter_percent = 101},
        {.total_ms = 86400001},
    };
    struct ridd *c = NULL;
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct seen seen;

    (void)state;
    assert_int_equal(ridd_open("127.0.0.1:1", NULL, &c), RIDD_OK);
    op.key = ridd_key("x");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(ridd_set_retry(c, &wrong[i]), RIDD_INVALID);
        op.retry = &wrong[i];
        start_op(c, &op, &seen);
        run_until(c, &seen);
        assert_int_equal(seen.status, RIDD_INVALID);
    }
    assert_int_equal(ridd_set_retry(c, NULL), RIDD_OK);
    ridd_close(c);
}

/* ---- deadlines ---- */

/* Each has its own, and they end in their order. */
static void turns__deadlines_are_each_request_s_own(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[5];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct ridd_op op = ridd_op(i % 2 == 0 ? RIDD_OP_PUT : RIDD_OP_GET);

        op.key = ridd_key("x");
        op.value = ridd_value_null();
        op.timeout_ms = 200 - 40 * i;
        start_op(c, &op, &seen[i]);
    }
    run_all(c);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(seen[i].order, seen[4].order + 4 - i);
        assert_int_equal(seen[i].status, i % 2 == 0 ? RIDD_OUTCOME_UNKNOWN : RIDD_NO_ANSWER);
        assert_int_equal(seen[i].cause, RIDD_NO_ANSWER);
        assert_true(seen[i].elapsed_us >= (200 - 40 * i) * 1000);
    }
    ridd_close(c);
    fake_stop(s);
}

/* With total_ms the time-out is that of an attempt. */
static void turns__a_total_time_bounds_all_attempts(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, 50, 0);
    struct seen seen;

    (void)state;
    set_retry(c, (struct ridd_retry){.total_ms = 400, .backoff_ms = 1, .backoff_ms_max = 1});
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_NO_ANSWER);
    assert_in_range(seen.attempts, 2, 9);
    assert_true(seen.elapsed_us >= 300000);
    ridd_close(c);
    fake_stop(s);
}

/* What the server is told is what its attempt has left, a tenth less. */
static void turns__the_server_is_told_its_part_of_the_time(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, 20000, 0);
    const char *at;
    struct seen seen;

    (void)state;
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    at = strstr(fake_line(s[0], NULL, 0), "\"timeout_ms\":");
    assert_non_null(at);
    assert_in_range(strtoul(at + 13, NULL, 10), 1000, 9900); /* half of it goes to this node */
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* A connection that fell silent is not used for the next request. */
static void turns__who_did_not_answer_is_dialled_anew(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 1},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, 100, 0);
    struct seen seen;

    (void)state;
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_NO_ANSWER);
    fake_wait_closed(s, 1);
    assert_int_equal(ridd_set_timeout(c, PATIENCE_MS), RIDD_OK);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(fake_connections(s), 2);
    ridd_close(c);
    fake_stop(s);
}

/* ---- on the way to a connection ---- */

/* LOOP-2: nobody waits for a name, and whoever gives up leaves the question behind. */
static void turns__a_silent_name_server_holds_nobody(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd_options options = {.timeout_ms = PATIENCE_MS, .seed = 7};
    struct ridd_op op = ridd_op(RIDD_OP_PING);
    struct ridd *c = NULL;
    struct seen hangs;
    struct seen seen;
    uint64_t id;

    (void)state;
    assert_int_equal(ridd_open(fake_address(s), &options, &c), RIDD_OK);
    fake_names_hang(true);
    op.node = "hangs.test:7400";
    id = start_op(c, &op, &hangs);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_until(c, &seen);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(hangs.n, 0);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_all(c);
    assert_int_equal(hangs.status, RIDD_CANCELLED);
    assert_int_equal(hangs.definite, 1);
    start_op(c, &op, &hangs);
    assert_int_equal(ridd_process(c), RIDD_OK);
    ridd_close(c); /* while it hangs */
    assert_int_equal(hangs.status, RIDD_CANCELLED);
    fake_names_end();
    fake_stop(s);
}

/* The descriptor tells that a name was found; nothing is due for seconds. */
static void turns__a_name_that_is_found_wakes_the_loop(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd_options options = {.timeout_ms = PATIENCE_MS, .connect_timeout_ms = PATIENCE_MS};
    struct ridd *c = NULL;
    char address[64];
    struct seen seen;

    (void)state;
    (void)snprintf(address, sizeof(address), "hangs.test%s", strchr(fake_address(s), ':'));
    assert_int_equal(ridd_open(address, &options, &c), RIDD_OK);
    fake_names_hang(true);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    while (fake_names_hanging() == 0)
        assert_int_equal(ridd_wait(c, 1), RIDD_OK);
    fake_names_hang(false);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    assert_string_equal(seen.endpoint, address);
    ridd_close(c);
    fake_names_end();
    fake_stop(s);
}

/* A port whose queue is full swallows who dials. */
static int full_port(char *ret_address, size_t size, int fillers[8])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (unsigned i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&a, sizeof(a));
    }
    (void)snprintf(ret_address, size, "127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

/* ASYNC-5: nothing left while it was dialled; and a node that swallows who dials does not eat a
 * read. */
static void turns__a_node_that_swallows_who_dials(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd_options options = {.timeout_ms = PATIENCE_MS, .connect_timeout_ms = 200, .seed = 7};
    struct ridd *c = NULL;
    char full[32];
    char list[80];
    int fillers[8];
    int fd = full_port(full, sizeof(full), fillers);
    struct seen write;
    struct seen read;
    uint64_t id;

    (void)state;
    (void)snprintf(list, sizeof(list), "%s,%s", full, fake_address(s));
    assert_int_equal(ridd_open(list, &options, &c), RIDD_OK);
    id = start_put(c, "x", &write);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &read);
    assert_int_equal(ridd_wait(c, 10), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_all(c);
    assert_int_equal(write.status, RIDD_CANCELLED);
    assert_int_equal(write.definite, 1);
    assert_int_equal(read.status, RIDD_OK);
    assert_int_equal(read.attempts, 2);
    ridd_close(c);
    (void)close(fd);
    for (unsigned i = 0; i < 8; i++)
        (void)close(fillers[i]);
    fake_stop(s);
}

/* ---- requests of their own ---- */

/* What is asked once has a connection of its own, which giving up ends: the server sees it. */
static void turns__giving_up_a_run_ends_it_at_the_server(void **state)
{
    static const struct fake_step steps[] = {{"compare", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_op op = ridd_op(RIDD_OP_REQUEST);
    struct seen run;
    struct seen seen;
    uint64_t id;

    (void)state;
    op.json = "{\"type\":\"compare_read_methods\"}";
    op.kind = RIDD_KIND_ONCE;
    op.timeout_ms = 3600000;
    id = start_op(c, &op, &run);
    run_until_sent(c, s, "compare", 1);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_until(c, &seen);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(fake_connections(s), 2);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_all(c);
    assert_int_equal(run.status, RIDD_CANCELLED);
    assert_int_equal(run.definite, 0);
    fake_wait_closed(s, 1);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(fake_connections(s), 2);
    ridd_close(c);
    fake_stop(s);
}

/* More addresses than a client remembers: those that nobody uses give way, and the leader is found
 * behind all of them. */
static void turns__hints_at_ever_new_addresses(void **state)
{
    char hint[256];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    static const struct fake_step good[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *leader = fake_start(STEPS(good));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen;

    (void)state;
    set_retry(c, (struct ridd_retry){.max_retries = RIDD_NONE});
    for (unsigned i = 0; i <= 150; i++) {
        char address[64];

        /* Other names of this host, where nobody listens. */
        (void)snprintf(address, sizeof(address), "127.1.%u.%u:1", i / 100, i % 100);
        not_leader(hint, sizeof(hint), i == 150 ? fake_address(leader) : address);
        fake_publish(s);
        start_put(c, "x", &seen);
        run_all(c);
        assert_int_equal(seen.status, i == 150 ? RIDD_OK : RIDD_UNREACHABLE);
        assert_int_equal(seen.attempts, 2);
    }
    ridd_close(c);
    fake_stop(s);
    fake_stop(leader);
}

/* A follower that does not know yet that its leader has died, for three answers. */
static void ask_who_does_not_know_yet(struct seen *ret, unsigned *ret_n_asked)
{
    char hint[256];
    char dead[32];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 3}, {NULL, FAKE_REPLY, WRITE_OK, 0}};
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct fake_server *s = fake_start(STEPS(steps));
    char endpoints[128];
    struct ridd *c;

    not_leader(hint, sizeof(hint), dead);
    fake_publish(s);
    (void)snprintf(endpoints, sizeof(endpoints), "%s,%s", dead, fake_address(s));
    assert_int_equal(ridd_open(endpoints, &(struct ridd_options){.timeout_ms = PATIENCE_MS}, &c),
                     RIDD_OK);
    /* One retry: from the dead one to the other. */
    set_retry(c, (struct ridd_retry){
                     .max_retries = 1, .backoff_ms = FOR_EVER_MS, .backoff_ms_max = FOR_EVER_MS});
    start_put(c, "x", ret);
    run_all(c);
    *ret_n_asked = fake_count(s, NULL);
    ridd_close(c);
    fake_stop(s);
    (void)close(fd);
}

/* FAILOVER-5: it is asked again, and nobody calls the dead one for it. Not for longer than the dead one is
 * left alone, five milliseconds at least: a run that took more time than that says nothing. */
static void turns__a_hint_from_before_is_not_followed(void **state)
{
    struct seen seen = {.status = RIDD_INVALID};
    unsigned n_asked = 0;

    (void)state;
    for (unsigned i = 0; i < 50 && (seen.status != RIDD_OK || seen.attempts != 5); i++)
        ask_who_does_not_know_yet(&seen, &n_asked);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(seen.attempts, 5);
    assert_int_equal(n_asked, 4);
}

/* FAILOVER-5: but not for ever. */
static void turns__a_hint_from_before_is_not_asked_for_for_ever(void **state)
{
    char hint[256];
    char dead[32];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, hint, 0}};
    int fd = fake_refusing_port(dead, sizeof(dead));
    struct fake_server *s = fake_start(STEPS(steps));
    char endpoints[128];
    struct ridd *c;
    struct seen seen;

    (void)state;
    not_leader(hint, sizeof(hint), dead);
    fake_publish(s);
    (void)snprintf(endpoints, sizeof(endpoints), "%s,%s", dead, fake_address(s));
    assert_int_equal(ridd_open(endpoints, &(struct ridd_options){.timeout_ms = PATIENCE_MS}, &c),
                     RIDD_OK);
    set_retry(c, (struct ridd_retry){
                     .max_retries = 1, .backoff_ms = FOR_EVER_MS, .backoff_ms_max = FOR_EVER_MS});
    start_put(c, "x", &seen);
    run_all(c);
    assert_int_not_equal(seen.status, RIDD_OK);
    assert_in_range(fake_count(s, NULL), 2, CALL_STALE_MAX + 1 + CALL_HINTS_MAX);
    ridd_close(c);
    fake_stop(s);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns__the_leader_moves_under_many_requests),
        cmocka_unit_test(turns__the_leader_dies_under_many_requests),
        cmocka_unit_test(turns__a_thousand_requests_dial_like_one),
        cmocka_unit_test(turns__a_stream_of_requests_does_not_dial_for_each),
        cmocka_unit_test(turns__pauses_double_up_to_a_bound),
        cmocka_unit_test(turns__pauses_have_jitter),
        cmocka_unit_test(turns__a_server_says_how_long),
        cmocka_unit_test(turns__what_is_paused_for),
        cmocka_unit_test(turns__retries_are_counted),
        cmocka_unit_test(turns__a_policy_is_checked),
        cmocka_unit_test(turns__deadlines_are_each_request_s_own),
        cmocka_unit_test(turns__a_total_time_bounds_all_attempts),
        cmocka_unit_test(turns__the_server_is_told_its_part_of_the_time),
        cmocka_unit_test(turns__who_did_not_answer_is_dialled_anew),
        cmocka_unit_test(turns__a_silent_name_server_holds_nobody),
        cmocka_unit_test(turns__a_name_that_is_found_wakes_the_loop),
        cmocka_unit_test(turns__a_node_that_swallows_who_dials),
        cmocka_unit_test(turns__giving_up_a_run_ends_it_at_the_server),
        cmocka_unit_test(turns__hints_at_ever_new_addresses),
        cmocka_unit_test(turns__a_hint_from_before_is_not_followed),
        cmocka_unit_test(turns__a_hint_from_before_is_not_asked_for_for_ever),
    };

    return cmocka_run_group_tests_name("async-turns", tests, NULL, NULL);
}
