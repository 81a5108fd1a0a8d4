/* node: the room on the disk is known without waiting for the disk (HTTP-2). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "node/node_int.h"

static atomic_bool hangs;
static atomic_bool fails;
static atomic_uint n_asked;
static atomic_uint n_hung; /* of these */
static _Atomic uint64_t blocks;
static _Atomic uint64_t added_us;

static _Atomic uint64_t frozen_us; /* 0: it goes on */

uint64_t clock_mono_us(void)
{
    struct timespec ts;

    if (frozen_us != 0)
        return frozen_us;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u + added_us;
}

uint64_t clock_wall_us(void)
{
    return clock_mono_us();
}

static void rest(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

int __wrap_statvfs(const char *path, struct statvfs *ret);
int __wrap_statvfs(const char *path, struct statvfs *ret)
{
    n_asked++;
    for (bool counted = false; hangs; counted = true) {
        n_hung += counted ? 0 : 1;
        rest();
    }
    if (strcmp(path, "/data") != 0 || fails) {
        errno = EIO;
        return -1;
    }
    *ret = (struct statvfs){
        .f_blocks = 100, .f_bfree = 30, .f_bavail = (fsblkcnt_t)blocks, .f_frsize = 4096};
    return 0;
}

#define UNKNOWN UINT64_MAX

/* When the loop has turned, some seconds after it was asked for before. */
static uint64_t free_bytes(struct node_room *r)
{
    uint64_t bytes;
    uint64_t all;

    added_us += ROOM_LOOK_US;
    node_room_turn(r, clock_mono_us());
    if (!node_room_get(r, &bytes, &all))
        return UNKNOWN;
    assert_int_equal(all, 70 * 4096 + bytes);
    return bytes;
}

/* Asks again, as scrapes do, until it is so. */
static void expect(struct node_room *r, uint64_t bytes)
{
    uint64_t got = free_bytes(r);

    for (unsigned i = 0; i < 20000 && got != bytes; i++) {
        rest();
        got = free_bytes(r);
    }
    assert_int_equal(got, bytes);
}

/* Of a disk that answers with ten blocks, which is known. */
static struct node_room *known_room(void)
{
    struct node_room *r;

    blocks = 10;
    r = node_room_new("/data");
    assert_non_null(r);
    expect(r, 40960);
    return r;
}

/* The disk hangs from here on, and somebody waits for it. */
static void hang(struct node_room *r)
{
    const unsigned n = n_hung;

    hangs = true;
    for (unsigned i = 0; i < 20000 && n_hung == n; i++) {
        (void)free_bytes(r);
        rest();
    }
    assert_int_equal(n_hung, n + 1);
}

/* However often the loop turns, and whoever wants to know, the disk is asked when it is time. */
static void room__is_asked_for_seldom(void **state)
{
    struct node_room *r = known_room();
    uint64_t bytes;
    uint64_t all;
    unsigned n;

    (void)state;
    n = n_asked;
    frozen_us = clock_mono_us();
    for (unsigned i = 0; i < 100; i++) {
        node_room_turn(r, clock_mono_us());
        (void)node_room_get(r, &bytes, &all);
        rest(); /* it could be done with each of them */
    }
    assert_in_range(n_asked, n, n + 1);
    frozen_us = 0;
    node_room_free(r);
}

static void room__is_what_was_found_last(void **state)
{
    struct node_room *r = known_room();

    (void)state;
    blocks = 0; /* nothing is free, and that is known */
    expect(r, 0);
    fails = true;
    expect(r, UNKNOWN);
    fails = false;
    expect(r, 0);
    node_room_free(r);
}

static void room__nobody_waits_for_a_disk_that_hangs(void **state)
{
    struct node_room *r = known_room();
    unsigned n;

    (void)state;
    hang(r);
    n = n_asked;
    added_us += HTTP_LOOP_US + 1000000;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(free_bytes(r), UNKNOWN);
    assert_int_equal(n_asked, n); /* there is no second one */
    hangs = false;
    expect(r, 40960);
    /* Who goes leaves the thread what it needs. */
    hang(r);
    node_room_free(r);
    hangs = false;
}

/* Where there is no memory for it the node starts all the same. */
static void room__of_nobody_is_not_known(void **state)
{
    uint64_t bytes;
    uint64_t all;

    (void)state;
    node_room_turn(NULL, clock_mono_us());
    assert_false(node_room_get(NULL, &bytes, &all));
    node_room_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room__is_what_was_found_last),
        cmocka_unit_test(room__is_asked_for_seldom),
        cmocka_unit_test(room__of_nobody_is_not_known),
        cmocka_unit_test(room__nobody_waits_for_a_disk_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
