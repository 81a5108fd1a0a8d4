/* http: the board between the loop and the thread that shows what it knows. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/board.h"

/* In place of base/clock.c: it stands until a test moves it. */
static _Atomic uint64_t time_us = 1000000;

uint64_t clock_mono_us(void)
{
    return time_us;
}

uint64_t clock_wall_us(void)
{
    return clock_mono_us();
}

struct world {
    unsigned n_fills;
    bool refuses;
    unsigned value;
};

static bool fill(void *ctx, unsigned kind, struct buf *out)
{
    struct world *w = ctx;

    assert_int_equal(out->len, 0);
    w->n_fills++;
    return !w->refuses && buf_add_format(out, "%u:%u", kind, w->value) == 0;
}

static bool is_readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};

    return poll(&p, 1, 0) == 1;
}

static void expect(const struct buf *b, const char *text)
{
    assert_non_null(b);
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->data, text, b->len);
}

static struct board *begin(void)
{
    struct board *b = NULL;

    assert_int_equal(board_new(2, &b), 0);
    return b;
}

static void board__answers_what_is_asked_and_nothing_else(void **state)
{
    struct board *b = begin();
    struct world w = {.value = 7};

    (void)state;
    assert_false(is_readable(board_loop_fd(b)));
    assert_null(board_get(b, 1, time_us));
    assert_true(is_readable(board_loop_fd(b)));
    assert_true(board_serve(b, fill, &w));
    assert_false(is_readable(board_loop_fd(b)));
    assert_int_equal(w.n_fills, 1);
    assert_true(is_readable(board_asker_fd(b)));
    assert_null(board_get(b, 1, time_us)); /* it hangs, and was not looked at */
    board_look(b);
    assert_false(is_readable(board_asker_fd(b)));
    expect(board_get(b, 1, time_us), "1:7");
    assert_null(board_get(b, 0, time_us));
    board_free(b);
}

/* HTTP-2: however many ask, a kind is filled once in HTTP_FRESH_US. */
static void board__is_asked_once_while_an_answer_is_fresh(void **state)
{
    struct board *b = begin();
    struct world w = {.value = 1};
    const uint64_t from_us = time_us;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        w.value = i;
        if (board_get(b, 0, time_us) == NULL) {
            assert_true(board_serve(b, fill, &w));
            board_look(b);
        }
        assert_non_null(board_get(b, 0, time_us));
        time_us += 1000;
    }
    assert_int_equal(w.n_fills, (time_us - from_us) / HTTP_FRESH_US);
    board_free(b);
}

/* Who came before the answer was there takes it, however late its thread looks. */
static void board__an_answer_is_good_for_who_waited_for_it(void **state)
{
    struct board *b = begin();
    struct world w = {.value = 3};
    const uint64_t came_us = time_us;

    (void)state;
    assert_null(board_get(b, 0, came_us));
    assert_true(board_serve(b, fill, &w));
    time_us += 10u * HTTP_FRESH_US;
    board_look(b);
    expect(board_get(b, 0, came_us), "0:3");
    assert_null(board_get(b, 0, time_us));
    board_free(b);
}

static void board__what_could_not_be_filled_is_asked_again(void **state)
{
    struct board *b = begin();
    struct world w = {.value = 3, .refuses = true};

    (void)state;
    assert_null(board_get(b, 0, time_us));
    assert_true(board_serve(b, fill, &w));
    board_look(b);
    assert_null(board_get(b, 0, time_us));
    assert_true(is_readable(board_loop_fd(b)));
    w.refuses = false;
    assert_true(board_serve(b, fill, &w));
    board_look(b);
    expect(board_get(b, 0, time_us), "0:3");
    board_free(b);
}

static void board__counts_what_the_loop_paid(void **state)
{
    struct board *b = begin();
    struct world w = {.value = 3};
    struct board_costs costs;

    (void)state;
    (void)board_get(b, 0, time_us);
    (void)board_get(b, 1, time_us);
    assert_true(board_serve(b, fill, &w));
    board_get_costs(b, &costs);
    assert_int_equal(costs.n, 2);
    board_free(b);
}

/* The asker comes while the loop fills. */
static bool fill_and_ask(void *ctx, unsigned kind, struct buf *out)
{
    struct board *b = ctx;

    if (kind == 0)
        assert_null(board_get(b, 1, time_us));
    return buf_add_format(out, "%u", kind) == 0;
}

static void board__a_question_while_the_loop_answers_is_kept(void **state)
{
    struct board *b = begin();

    (void)state;
    assert_null(board_get(b, 0, time_us));
    assert_true(board_serve(b, fill_and_ask, b));
    assert_true(is_readable(board_loop_fd(b)));
    assert_true(board_serve(b, fill_and_ask, b));
    assert_false(is_readable(board_loop_fd(b)));
    board_look(b);
    expect(board_get(b, 0, time_us), "0");
    expect(board_get(b, 1, time_us), "1");
    board_free(b);
}

/* ---- two threads ---- */

struct race {
    struct board *board;
    atomic_bool done;
    unsigned n_served;
};

/* All bytes of one answer are of one filling. */
static bool fill_alike(void *ctx, unsigned kind, struct buf *out)
{
    struct race *r = ctx;
    unsigned char bytes[512];

    (void)kind;
    memset(bytes, (int)(r->n_served++ & 0xff), sizeof(bytes));
    return buf_add(out, bytes, sizeof(bytes)) == 0;
}

static void *serve(void *arg)
{
    struct race *r = arg;

    while (!atomic_load(&r->done)) {
        struct pollfd p = {board_loop_fd(r->board), POLLIN, 0};

        (void)poll(&p, 1, 10);
        if (p.revents != 0)
            (void)board_serve(r->board, fill_alike, r);
    }
    return NULL;
}

static void board__no_question_is_lost_between_two_threads(void **state)
{
    struct race r = {.board = begin()};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, serve, &r), 0);
    for (unsigned i = 0; i < 20000; i++) {
        const uint64_t came_us = time_us += HTTP_FRESH_US;
        const struct buf *b;

        while ((b = board_get(r.board, i % 2, came_us)) == NULL) {
            struct pollfd p = {board_asker_fd(r.board), POLLIN, 0};

            if (poll(&p, 1, 10000) != 1)
                fail_msg("question %u was never answered", i);
            board_look(r.board);
        }
        assert_int_equal(b->len, 512);
        assert_memory_equal(b->data, b->data + 256, 256);
    }
    atomic_store(&r.done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    board_free(r.board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(board__answers_what_is_asked_and_nothing_else),
        cmocka_unit_test(board__is_asked_once_while_an_answer_is_fresh),
        cmocka_unit_test(board__an_answer_is_good_for_who_waited_for_it),
        cmocka_unit_test(board__what_could_not_be_filled_is_asked_again),
        cmocka_unit_test(board__counts_what_the_loop_paid),
        cmocka_unit_test(board__a_question_while_the_loop_answers_is_kept),
        cmocka_unit_test(board__no_question_is_lost_between_two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
