/* The typed ring: against an array that is shifted by hand, and where memory runs out. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/ring.h"

/* Not a power of two, so that a mistake in bytes for items shows. */
struct thing {
    uint64_t id;
    unsigned char tail[5];
};

RING_DEFINE(things, struct thing);
RING_DEFINE(numbers, uint64_t);

/* Counts blocks, and gives none while `fails`. */
struct counting {
    unsigned n_blocks;
    unsigned n_asked;
    bool fails;
};

static void *counting_resize(void *ctx, void *ptr, size_t size)
{
    struct counting *c = ctx;

    if (size == 0) {
        c->n_blocks--;
        free(ptr);
        return NULL;
    }
    c->n_asked++;
    if (c->fails)
        return NULL;
    if (ptr == NULL)
        c->n_blocks++;
    return realloc(ptr, size);
}

static struct mem counting_mem(struct counting *c)
{
    return (struct mem){counting_resize, c};
}

static struct thing thing(uint64_t id)
{
    struct thing t = {.id = id};

    memset(t.tail, (int)(id & 0xff), sizeof(t.tail));
    return t;
}

static void assert_thing(const struct thing *t, uint64_t id)
{
    assert_true(t->id == id);
    for (size_t i = 0; i < sizeof(t->tail); i++)
        assert_int_equal(t->tail[i], id & 0xff);
}

/* Every operation at random, the same one on an array, through several sizes of the block, whole
 * and wrapped. */
static void ring__does_what_an_array_does(void **state)
{
    static uint64_t model[4096];
    struct thing out[4096];
    size_t n = 0;
    uint64_t next = 1;
    struct counting c = {0};
    struct things q;
    struct prng p;

    (void)state;
    prng_init(&p, 7);
    things_init(&q, counting_mem(&c));
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t what = prng_below(&p, 1000);

        if (what < 550 && n < 4096) {
            assert_int_equal(things_push(&q, thing(next)), 0);
            model[n++] = next++;
        } else if (what < 980 && n > 0) {
            struct thing t = things_pop(&q);

            assert_thing(&t, model[0]);
            memmove(model, model + 1, --n * sizeof(model[0]));
        } else if (what < 987) {
            size_t drop = prng_below(&p, n / 4 + 1);

            things_drop(&q, drop);
            n -= drop;
            memmove(model, model + drop, n * sizeof(model[0]));
        } else if (what < 994) {
            n -= prng_below(&p, n / 4 + 1);
            things_truncate(&q, n);
        } else if (what == 994) {
            assert_int_equal(things_reserve(&q, prng_below(&p, 64)), 0);
        }
        assert_true(things_n(&q) == n);
        for (size_t i = 0; i < n; i++)
            assert_thing(things_at(&q, i), model[i]);
        if (n > 0) {
            size_t from = prng_below(&p, n);

            assert_thing(things_last(&q), model[n - 1]);
            things_copy(&q, from, n - from, out);
            for (size_t i = from; i < n; i++)
                assert_thing(&out[i - from], model[i]);
        }
    }
    assert_true(next > 5000);
    assert_true(c.n_asked >= 4); /* it grew */
    assert_int_equal(c.n_blocks, 1);
    things_done(&q);
    assert_int_equal(c.n_blocks, 0);
}

/* Grown while its items lie across the end of the block: their order is kept. */
static void ring__grows_while_it_is_wrapped(void **state)
{
    struct counting c = {0};
    struct numbers q;

    (void)state;
    numbers_init(&q, counting_mem(&c));
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(numbers_push(&q, i), 0);
    numbers_drop(&q, 10);
    for (uint64_t i = 16; i < 40; i++)
        assert_int_equal(numbers_push(&q, i), 0);
    assert_int_equal(numbers_n(&q), 30);
    for (uint64_t i = 10; i < 40; i++)
        assert_true(numbers_pop(&q) == i);
    numbers_done(&q);
    assert_int_equal(c.n_blocks, 0);
}

static void ring__without_memory_it_is_as_before(void **state)
{
    struct counting c = {.fails = true};
    struct numbers q;

    (void)state;
    numbers_init(&q, counting_mem(&c));
    assert_int_equal(c.n_asked, 0);
    assert_int_equal(numbers_push(&q, 1), -ENOMEM);
    assert_int_equal(numbers_n(&q), 0);
    c.fails = false;
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(numbers_push(&q, i), 0);
    numbers_drop(&q, 3);
    for (uint64_t i = 16; i < 19; i++)
        assert_int_equal(numbers_push(&q, i), 0);
    c.fails = true;
    assert_int_equal(numbers_push(&q, 99), -ENOMEM);
    assert_int_equal(numbers_reserve(&q, 1), -ENOMEM);
    assert_int_equal(numbers_reserve(&q, SIZE_MAX), -ENOMEM);
    assert_int_equal(numbers_reserve(&q, SIZE_MAX / 4), -ENOMEM);
    assert_int_equal(numbers_reserve(&q, 0), 0);
    assert_int_equal(numbers_n(&q), 16);
    for (uint64_t i = 3; i < 19; i++)
        assert_true(*numbers_at(&q, i - 3) == i);
    numbers_done(&q);
    assert_int_equal(c.n_blocks, 0);
}

/* What was reserved is pushed without asking again, and a ring that is emptied keeps its block. */
static void ring__reserved_pushes_ask_for_nothing(void **state)
{
    struct counting c = {0};
    struct numbers q;

    (void)state;
    numbers_init(&q, counting_mem(&c));
    assert_int_equal(numbers_reserve(&q, 100), 0);
    assert_int_equal(c.n_asked, 1);
    c.fails = true;
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 100; i++)
            assert_int_equal(numbers_push(&q, i), 0);
        numbers_truncate(&q, 0);
    }
    assert_int_equal(c.n_asked, 1);
    numbers_done(&q);
    numbers_done(&q);
    assert_int_equal(c.n_blocks, 0);
}

static void ring__all_zero_bytes_are_empty(void **state)
{
    struct numbers q = {0};

    (void)state;
    assert_int_equal(numbers_n(&q), 0);
    numbers_drop(&q, 0);
    numbers_truncate(&q, 0);
    numbers_copy(&q, 0, 0, NULL);
    numbers_done(&q);
}

static void touch(struct numbers *q, unsigned how)
{
    switch (how) {
    case 0:
        (void)numbers_at(q, 3);
        break;
    case 1:
        numbers_drop(q, 4);
        break;
    case 2:
        numbers_truncate(q, 4);
        break;
    case 3: {
        uint64_t out[4];

        numbers_copy(q, 1, 3, out);
        break;
    }
    case 4:
        numbers_truncate(q, 0);
        (void)numbers_last(q);
        break;
    case 5:
        numbers_truncate(q, 0);
        (void)numbers_pop(q);
        break;
    default:
        numbers_copy(q, 4, 0, NULL);
        break;
    }
}

/* A place that does not exist ends the process; it is not read. */
static void ring__a_place_that_is_not_there_is_asserted(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 7; how++) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
            struct numbers q;

            (void)signal(SIGABRT, SIG_DFL);
            (void)close(STDERR_FILENO);
            numbers_init(&q, mem_libc);
            for (uint64_t i = 0; i < 3; i++)
                (void)numbers_push(&q, i);
            touch(&q, how);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring__does_what_an_array_does),
        cmocka_unit_test(ring__grows_while_it_is_wrapped),
        cmocka_unit_test(ring__without_memory_it_is_as_before),
        cmocka_unit_test(ring__reserved_pushes_ask_for_nothing),
        cmocka_unit_test(ring__all_zero_bytes_are_empty),
        cmocka_unit_test(ring__a_place_that_is_not_there_is_asserted),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
