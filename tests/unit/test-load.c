/* The loop of a load against a server of the test's own, in a time that the test moves: whoever
 * stands still is seen to, and whoever lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "load/engine.h"
#include "load/ridd_lines.h"
#include "unit/load-server.h"
#include "unit/temp-folder.h"

#define MS UINT64_C(1000000)

/* ---- time ---- */

static struct load_server server;
static struct load_server other;
static uint64_t now_ns;
static uint64_t stall_from_ns; /* the server does nothing between these */
static uint64_t stall_to_ns;
static uint64_t fall_ns; /* other takes over then; 0: never */

static uint64_t world_now(void *ctx)
{
    (void)ctx;
    return now_ns;
}

static void serve(void)
{
    if (now_ns < stall_from_ns || now_ns >= stall_to_ns)
        (void)load_server_serve(&server);
    if (other.listener > 0)
        (void)load_server_serve(&other);
    if (fall_ns != 0 && now_ns >= fall_ns) {
        server.leader = other.address;
        other.leader = NULL;
    }
}

/* Each answer takes ten microseconds; where there is none, it is as late as it may be. */
static int world_wait(void *ctx, int epoll_fd, struct epoll_event *events, int n, uint64_t until_ns)
{
    int rc;

    (void)ctx;
    serve();
    now_ns += 10000;
    rc = epoll_wait(epoll_fd, events, n, 0);
    if (rc > 0)
        return rc;
    if (now_ns < stall_to_ns && now_ns >= stall_from_ns && until_ns > stall_to_ns)
        until_ns = stall_to_ns;
    if (until_ns > now_ns)
        now_ns = until_ns;
    serve();
    return epoll_wait(epoll_fd, events, n, 0);
}

static const struct load_world world = {world_now, world_wait, NULL};

/* ---- plans ---- */

static const char *folder;
static const char *addresses[2];
static struct load *load;

static struct load_plan plan_of(enum load_ridd_via via)
{
    addresses[0] = server.address;
    return (struct load_plan){
        .protocol = load_ridd(via),
        .addresses = addresses,
        .n_addresses = 1,
        .prefix = "bench/65f1a2b3-9c0d/",
        .n_connections = 1,
        .in_flight = 1,
        .n_threads = 1,
        .run_ns = 2000 * MS,
        .timeout_ns = 5000 * MS,
        .n_keys = 10,
        .value_bytes = 64,
        .seed = 1,
        .linearizable = true,
        .world = &world,
    };
}

static const struct load_figures *run(const struct load_plan *plan)
{
    assert_int_equal(load_new(plan, &load), 0);
    assert_int_equal(load_fill(load), 0);
    assert_int_equal(load_server_n_keys(&server) + load_server_n_keys(&other), plan->n_keys);
    assert_int_equal(load_measure(load, NULL, NULL, NULL), 0);
    return load_figures(load);
}

/* Before the next one. */
static void clear(void)
{
    uint64_t left;

    assert_int_equal(load_clear(load, &left), 0);
    assert_int_equal(left, 0);
    load_free(load);
}

static double ms_at(const struct load_figures *f, enum load_kind kind, unsigned permille)
{
    return (double)histogram_fine_at(&f->sides[kind].ns, permille) / 1e6;
}

static int setup(void **state)
{
    (void)state;
    folder = temp_folder_new("load");
    load_server_begin(&server, folder);
    memset(&other, 0, sizeof(other));
    now_ns = 5000 * MS;
    stall_from_ns = stall_to_ns = fall_ns = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    load_free(load);
    load = NULL;
    load_server_end(&server);
    if (other.listener > 0)
        load_server_end(&other);
    temp_folder_remove(folder);
    return 0;
}

/* ---- open and closed ---- */

/* LOAD-1 */
static void load__open_loop_counts_a_stall_for_all_that_were_due(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.rate = 1000;
    stall_from_ns = now_ns + 700 * MS;
    stall_to_ns = now_ns + 1200 * MS;
    f = run(&plan);
    assert_int_equal(f->n_errors, 0);
    assert_int_equal(f->n_unsent, 0);
    assert_in_range(f->sides[LOAD_READ].ns.n, 1999, 2001);
    assert_true(f->sides[LOAD_READ].ns.max >= 495 * MS);
    /* A quarter of them was due meanwhile, and waited for what was left of it. */
    assert_true(ms_at(f, LOAD_READ, 990) > 470 && ms_at(f, LOAD_READ, 990) < 510);
    assert_true(ms_at(f, LOAD_READ, 900) > 280 && ms_at(f, LOAD_READ, 900) < 320);
    assert_true(ms_at(f, LOAD_READ, 700) < 1);
}

/* A closed loop sends nothing meanwhile, and hardly notices: that is what the open one is for. */
static void load__closed_loop_sees_a_stall_once(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    stall_from_ns = now_ns + 700 * MS;
    stall_to_ns = now_ns + 1200 * MS;
    f = run(&plan);
    assert_true(f->sides[LOAD_READ].ns.max >= 495 * MS);
    assert_true(ms_at(f, LOAD_READ, 990) < 1);
    assert_true(f->sides[LOAD_READ].longest_ns >= 495 * MS);
}

/* LOAD-1: the end of the run does not hide who still waits. */
static void load__what_was_never_sent_is_told(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.rate = 1000;
    plan.timeout_ns = 1000 * MS;
    stall_from_ns = now_ns + 1500 * MS;
    stall_to_ns = now_ns + 60000 * MS;
    f = run(&plan);
    assert_in_range(f->n_unsent, 480, 505);
    assert_in_range(f->sides[LOAD_READ].ns.n, 1995, 2001);
    assert_true(ms_at(f, LOAD_READ, 990) > 1000);
    assert_int_equal(f->n_errors, 1); /* the one that was sent */
    assert_string_equal(f->errors[0].name, "no_answer");
}

static void load__arrivals_of_poisson_are_as_many(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);

    (void)state;
    plan.rate = 2000;
    plan.poisson = true;
    plan.in_flight = 8;
    assert_in_range(run(&plan)->sides[LOAD_READ].ns.n, 3700, 4300);
}

static void load__warm_up_is_not_counted(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.rate = 1000;
    plan.warm_ns = 1000 * MS;
    stall_from_ns = now_ns + 100 * MS;
    stall_to_ns = now_ns + 600 * MS;
    f = run(&plan);
    assert_in_range(f->sides[LOAD_READ].ns.n, 1999, 2001);
    assert_true(f->sides[LOAD_READ].ns.max < MS);
}

/* ---- answers ---- */

/* DOCTOR-4 */
static void load__an_old_answer_is_wrong(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.write_percent = 50;
    plan.in_flight = 4;
    plan.run_ns = 50 * MS;
    f = run(&plan);
    assert_int_equal(f->n_wrong, 0);
    assert_true(f->sides[LOAD_READ].ns.n > 100 && f->sides[LOAD_WRITE].ns.n > 100);
    clear();
    server.lies = true;
    f = run(&plan);
    assert_true(f->n_wrong > 10);
    assert_non_null(strstr(f->first_wrong, "is older than"));
    assert_non_null(strstr(f->first_wrong, "of bench/65f1a2b3-9c0d/0000000"));
    assert_non_null(strstr(f->first_wrong, server.address));
    assert_non_null(strstr(f->first_wrong, "/xxx"));
}

static enum check_result judged(void)
{
    struct check_verdict v;

    history_check_zones(load_history(load), 1, &v);
    return v.result;
}

/* LOAD-4: what one answer cannot show, the history does: here both do. */
static void load__a_history_of_a_liar_is_not_linearizable(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);

    (void)state;
    plan.write_percent = 50;
    plan.in_flight = 4;
    plan.run_ns = 50 * MS;
    plan.record = true;
    (void)run(&plan);
    assert_true(load_history(load)->n > 200);
    assert_int_equal(judged(), CHECK_GOOD);
    clear();
    server.lies = true;
    (void)run(&plan);
    assert_int_equal(judged(), CHECK_BAD);
}

static void load__an_absent_key_is_wrong(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);

    (void)state;
    server.lies_of_absence = true;
    plan.run_ns = 10 * MS;
    assert_true(run(&plan)->n_wrong > 10);
    assert_non_null(strstr(load_figures(load)->first_wrong, "said to be absent"));
    clear();
    plan = plan_of(LOAD_RIDD_LOCAL);
    plan.run_ns = 10 * MS;
    plan.linearizable = false;
    plan.absent_is_right = true;
    assert_int_equal(run(&plan)->n_wrong, 0);
    assert_true(load_figures(load)->n_absent > 10);
}

static void load__what_is_no_answer_ends_the_connection(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.timeout_ns = 100 * MS;
    plan.run_ns = 500 * MS;
    assert_int_equal(load_new(&plan, &load), 0);
    assert_int_equal(load_fill(load), 0);
    server.garbles = true;
    assert_int_equal(load_measure(load, NULL, NULL, NULL), 0);
    f = load_figures(load);
    assert_int_equal(load_n_done(f), 0);
    assert_true(f->n_lost > 3);
    assert_true(f->n_errors >= 3);
    assert_string_equal(f->errors[0].name, "bad_reply");
}

/* LOAD-2: a read is asked again, a write is not: it may have been done, and here it was. */
static void load__a_lost_connection_loses_no_read(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.in_flight = 4;
    plan.write_percent = 50;
    plan.run_ns = 200 * MS;
    plan.record = true;
    assert_int_equal(load_new(&plan, &load), 0);
    assert_int_equal(load_fill(load), 0);
    server.n_twice = 0;
    server.drop_after = 1000;
    assert_int_equal(load_measure(load, NULL, NULL, NULL), 0);
    f = load_figures(load);
    assert_int_equal(f->n_lost, 1);
    assert_in_range(f->n_errors, 1, 4);
    assert_true(f->n_errors + f->n_again <= 4);
    assert_int_equal(f->n_error_names, 1);
    assert_string_equal(f->errors[0].name, "outcome_unknown");
    assert_int_equal(server.n_twice, 0);
    assert_int_equal(f->n_wrong, 0);
    assert_int_equal(judged(), CHECK_GOOD);
}

/* The others go on; it is asked again on another connection when its time is over. */
static void load__one_that_is_never_answered_is_asked_again(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;

    (void)state;
    plan.in_flight = 4;
    plan.run_ns = 50 * MS;
    plan.timeout_ns = 100 * MS;
    server.mute_at = 200;
    f = run(&plan);
    assert_int_equal(f->n_errors, 0);
    assert_int_equal(f->n_again, 1);
    assert_true(f->sides[LOAD_READ].ns.n > 1000);
    assert_true(f->sides[LOAD_READ].ns.max >= 100 * MS);
}

static void load__the_leader_is_followed(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    const struct load_figures *f;
    unsigned n_reads;

    (void)state;
    load_server_begin(&other, NULL);
    other.leader = server.address;
    plan.n_connections = 2;
    plan.run_ns = 100 * MS;
    fall_ns = now_ns + 50 * MS;
    f = run(&plan);
    assert_int_equal(f->n_errors, 0);
    assert_in_range(f->n_again, 2, 4);
    n_reads = other.n_reads;
    assert_true(n_reads > 100);
    /* other has no values: that is told, and is how it is known who answered. */
    assert_true(f->n_wrong >= n_reads - 2);
}

/* Keys are the leader's to write, also where what is measured is not. */
static void load__spread_connections_stay_where_they_are(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_FOLLOWER);

    (void)state;
    load_server_begin(&other, NULL);
    server.leader = other.address;
    plan.spread = true;
    plan.run_ns = 10 * MS;
    plan.timeout_ns = 50 * MS;
    assert_int_equal(load_new(&plan, &load), 0);
    assert_int_equal(load_fill(load), 0);
    assert_int_equal(load_server_n_keys(&other), plan.n_keys);
    assert_int_equal(load_server_n_keys(&server), 0);
    server.leader = NULL;
    server.n_reads = 0;
    assert_int_equal(load_measure(load, NULL, NULL, NULL), 0);
    assert_true(server.n_reads > 10);
    assert_int_equal(other.n_reads, 0);
}

static void load__its_keys_are_removed(void **state)
{
    struct load_plan plan = plan_of(LOAD_RIDD_READ_INDEX);
    uint64_t left = 1;

    (void)state;
    plan.run_ns = 10 * MS;
    plan.n_keys = 1000;
    (void)run(&plan);
    assert_int_equal(load_clear(load, &left), 0);
    assert_int_equal(left, 0);
    assert_int_equal(load_server_n_keys(&server), 0);
    assert_true(load_figures(load)->sides[LOAD_READ].ns.n > 0); /* those of before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(load__open_loop_counts_a_stall_for_all_that_were_due),
        TEST(load__closed_loop_sees_a_stall_once),
        TEST(load__what_was_never_sent_is_told),
        TEST(load__arrivals_of_poisson_are_as_many),
        TEST(load__warm_up_is_not_counted),
        TEST(load__an_old_answer_is_wrong),
        TEST(load__a_history_of_a_liar_is_not_linearizable),
        TEST(load__an_absent_key_is_wrong),
        TEST(load__what_is_no_answer_ends_the_connection),
        TEST(load__a_lost_connection_loses_no_read),
        TEST(load__one_that_is_never_answered_is_asked_again),
        TEST(load__the_leader_is_followed),
        TEST(load__spread_connections_stay_where_they_are),
        TEST(load__its_keys_are_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
