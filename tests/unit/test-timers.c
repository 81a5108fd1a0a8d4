/* The wheel of deadlines, held against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "replica/timers.h"

#define N_NODES 200u

struct node {
    struct list timer;
    uint64_t deadline_us; /* 0: not in the wheel */
    uint64_t added_us;
};

/* When it must be out at the latest: what is past already waits for the next tick. */
static uint64_t latest_us(const struct node *node)
{
    return (node->deadline_us > node->added_us ? node->deadline_us : node->added_us) +
           TIMERS_TICK_US;
}

static uint64_t deadline_of(const struct list *node)
{
    return list_entry_const(node, struct node, timer)->deadline_us;
}

static unsigned expire(struct timers *t, uint64_t now_us)
{
    struct list due = LIST_INIT(due);
    unsigned n = 0;

    timers_expired(t, now_us, deadline_of, &due);
    while (!list_empty(&due)) {
        struct node *node = list_entry(due.next, struct node, timer);

        timers_remove(t, &node->timer);
        assert_true(node->deadline_us != 0);
        assert_true(node->deadline_us <= now_us); /* never early */
        node->deadline_us = 0;
        n++;
    }
    return n;
}

static void timers__never_early_and_at_most_a_tick_late(void **state)
{
    static const uint64_t spans[] = {1, 500, 1000, 20000, 1024000, 5000000, 60000000};
    static struct timers t;
    static struct node nodes[N_NODES];
    struct prng p;
    uint64_t now_us = 123456789;

    (void)state;
    prng_init(&p, 3);
    timers_init(&t, now_us);
    for (unsigned i = 0; i < N_NODES; i++)
        list_init(&nodes[i].timer);
    for (unsigned step = 0; step < 20000; step++) {
        struct node *node = &nodes[prng_below(&p, N_NODES)];
        uint64_t span = spans[prng_below(&p, sizeof(spans) / sizeof(spans[0]))];
        uint64_t next_us;
        uint64_t earliest = UINT64_MAX;
        unsigned n = 0;

        switch (prng_below(&p, 4)) {
        case 0:
        case 1:
            if (node->deadline_us == 0) {
                /* Sometimes already past. */
                node->deadline_us = now_us + prng_below(&p, span) - (step % 7 == 0 ? 2000 : 0);
                node->added_us = now_us;
                timers_add(&t, &node->timer, node->deadline_us);
            }
            break;
        case 2:
            timers_remove(&t, &node->timer);
            node->deadline_us = 0;
            timers_remove(&t, &node->timer); /* twice: harmless */
            break;
        default:
            now_us += prng_below(&p, span);
            (void)expire(&t, now_us);
            for (unsigned i = 0; i < N_NODES; i++)
                assert_true(nodes[i].deadline_us == 0 || latest_us(&nodes[i]) > now_us);
            break;
        }
        for (unsigned i = 0; i < N_NODES; i++) {
            if (nodes[i].deadline_us == 0)
                continue;
            n++;
            if (latest_us(&nodes[i]) < earliest)
                earliest = latest_us(&nodes[i]);
        }
        assert_int_equal(t.n, n);
        next_us = timers_next_us(&t);
        assert_true(n > 0 || next_us == UINT64_MAX);
        /* Looking at the time that it names is soon enough. */
        assert_true(n == 0 || next_us <= earliest);
    }
}

/* A host that looks exactly when it is told to sees every deadline. */
static void timers__following_the_next_time_finds_each(void **state)
{
    static struct timers t;
    struct node nodes[3] = {{.deadline_us = 0}};
    static const uint64_t deadlines[] = {5000400, 8123456, 66000000};
    uint64_t now_us = 5000000;
    unsigned looks = 0;

    (void)state;
    timers_init(&t, now_us);
    for (unsigned i = 0; i < 3; i++) {
        nodes[i].deadline_us = deadlines[i];
        list_init(&nodes[i].timer);
        timers_add(&t, &nodes[i].timer, deadlines[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        while (nodes[i].deadline_us != 0) {
            now_us = timers_next_us(&t);
            assert_true(now_us != UINT64_MAX);
            (void)expire(&t, now_us);
            assert_true(++looks < 200); /* one look per turn of the wheel, not per tick */
        }
        assert_true(now_us >= deadlines[i]);
        assert_true(now_us - deadlines[i] <= TIMERS_TICK_US);
    }
    assert_true(timers_next_us(&t) == UINT64_MAX);
}

static void timers__a_long_pause_hands_out_everything(void **state)
{
    static struct timers t;
    static struct node nodes[N_NODES];

    (void)state;
    timers_init(&t, 0);
    for (unsigned i = 0; i < N_NODES; i++) {
        nodes[i].deadline_us = 1 + i * 7919u;
        list_init(&nodes[i].timer);
        timers_add(&t, &nodes[i].timer, nodes[i].deadline_us);
    }
    assert_int_equal(expire(&t, UINT64_MAX / 2), N_NODES);
    assert_int_equal(t.n, 0);
    /* And goes on afterwards; a clock that stands still is no harm. */
    nodes[0].deadline_us = UINT64_MAX / 2 + 100;
    timers_add(&t, &nodes[0].timer, nodes[0].deadline_us);
    assert_int_equal(expire(&t, UINT64_MAX / 2), 0);
    assert_int_equal(expire(&t, UINT64_MAX / 2 + 5000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers__never_early_and_at_most_a_tick_late),
        cmocka_unit_test(timers__following_the_next_time_finds_each),
        cmocka_unit_test(timers__a_long_pause_hands_out_everything),
    };

    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
