/* Events that are kept in memory: which are told, what of them, and that nothing in one can pass
 * for another. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/events.h"

static struct event kept[EVENTS_KEPT_MAX + 8];

static uint64_t newest(void)
{
    struct events_range range;

    (void)events_get(0, 1, kept, &range);
    return range.next;
}

static const struct event *last(void)
{
    struct events_range range;

    assert_int_equal(events_get(0, 1, kept, &range), 1);
    return &kept[0];
}

/* Lines of the tests go nowhere. */
static int quiet(void **state)
{
    (void)state;
    assert_non_null(freopen("/dev/null", "w", stderr));
    return 0;
}

static void events__what_is_logged_is_kept(void **state)
{
    const uint64_t before = newest();

    (void)state;
    log_set_node("n1");
    log_set_role("leader", 7);
    log_event(LOG_WARNING, "disk_slow", "fsync_ms=%u why='%s'", 12u, "it is");
    assert_int_equal(last()->seq, before + 1);
    assert_int_equal(last()->level, LOG_WARNING);
    assert_string_equal(last()->name, "disk_slow");
    assert_string_equal(last()->text, "fsync_ms=12 why='it is'");
    assert_string_equal(last()->role, "leader");
    assert_int_equal(last()->term, 7);
    assert_true(last()->unix_us >= events_began_us());
    assert_true(events_began_us() > UINT64_C(1700000000) * 1000000);
    log_event(LOG_INFO, "bare", NULL);
    assert_string_equal(last()->name, "bare");
    assert_string_equal(last()->text, "");
}

/* Which lines are written is for the log; debug is never kept. */
static void events__are_kept_whatever_is_written(void **state)
{
    uint64_t before;

    (void)state;
    log_set_level(LOG_ERROR);
    log_event(LOG_INFO, "kept", "a=1");
    assert_string_equal(last()->name, "kept");
    before = newest();
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "not_kept", "a=1");
    assert_int_equal(newest(), before);
    log_set_level(LOG_INFO);
}

/* SEE-2: one event is one event, whoever chose the bytes. */
static void events__bytes_from_outside_stay_in_the_text(void **state)
{
    char name[64];

    (void)state;
    log_event(LOG_INFO, "told", "name='%s'",
              "x\nts=1 level=error event=forged\r\x1b[2J\x7f\"\\\xff");
    assert_string_equal(last()->name, "told");
    assert_string_equal(last()->text, "name='x?ts=1 level=error event=forged??[2J?\"\\?'");
    (void)snprintf(name, sizeof(name), "%060d", 1);
    events_add(LOG_INFO, name, 1, "a role of many words", "t", 1);
    assert_int_equal(strlen(last()->name), EVENT_NAME_BYTES_MAX);
    assert_int_equal(strlen(last()->role), EVENT_ROLE_BYTES_MAX);
}

static void events__long_texts_are_cut(void **state)
{
    char text[3000];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_event(LOG_INFO, "long", "x=%s", text);
    assert_int_equal(strlen(last()->text), EVENT_TEXT_BYTES_MAX);
}

static void events__the_oldest_make_room_and_the_gap_is_told(void **state)
{
    struct events_range range;
    const uint64_t before = newest();
    unsigned n;

    (void)state;
    for (unsigned i = 0; i < EVENTS_LASTING_MAX + 10; i++)
        log_event(LOG_INFO, "many", "i=%u", i);
    n = events_get(before, EVENTS_KEPT_MAX + 8, kept, &range);
    assert_int_equal(n, EVENTS_LASTING_MAX);
    assert_int_equal(range.oldest, before + 11);
    assert_int_equal(range.missed, 10);
    assert_int_equal(kept[0].seq, range.oldest);
    assert_string_equal(kept[0].text, "i=10");
    assert_int_equal(range.next, before + EVENTS_LASTING_MAX + 10);
    for (unsigned i = 1; i < n; i++)
        assert_int_equal(kept[i].seq, kept[i - 1].seq + 1);
}

/* SEE-7: a storm of what anybody can bring about leaves what happened before it where it is. */
static void events__a_storm_makes_room_for_itself_alone(void **state)
{
    struct events_range range;
    const uint64_t before = newest();
    unsigned n;

    (void)state;
    log_event(LOG_INFO, "leader_changed", "leader=n1");
    for (unsigned i = 0; i < 1000; i++)
        log_event(LOG_WARNING, "slow_op", "i=%u", i);
    log_event(LOG_INFO, "leader_changed", "leader=n2");
    n = events_get(before, EVENTS_KEPT_MAX, kept, &range);
    assert_int_equal(n, EVENTS_LOUD_MAX + 2);
    assert_string_equal(kept[0].text, "leader=n1");
    assert_string_equal(kept[1].text, "i=936");
    assert_string_equal(kept[EVENTS_LOUD_MAX].text, "i=999");
    assert_string_equal(kept[n - 1].text, "leader=n2");
    assert_int_equal(range.missed, 936);
    assert_int_equal(range.oldest, before + 1 + 937);
    assert_int_equal(range.next, before + 1002);
    for (unsigned i = 1; i < n; i++)
        assert_true(kept[i].seq > kept[i - 1].seq);
    /* The last few of both, as they came. */
    assert_int_equal(events_get(0, 3, kept, &range), 3);
    assert_string_equal(kept[0].text, "i=998");
    assert_string_equal(kept[2].text, "leader=n2");
    /* And behind the gap all are there. */
    assert_int_equal(events_get(range.next - 10, 100, kept, &range), 10);
    assert_int_equal(range.missed, 0);
}

static void events__are_read_on_from_where_one_was(void **state)
{
    struct events_range range;
    uint64_t at = newest();

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        log_event(LOG_INFO, "walk", "i=%u", i);
    /* The earliest behind `after`, and the last ones without it. */
    assert_int_equal(events_get(at, 4, kept, &range), 4);
    assert_string_equal(kept[0].text, "i=0");
    assert_string_equal(kept[3].text, "i=3");
    assert_int_equal(events_get(range.next, 100, kept, &range), 6);
    assert_string_equal(kept[0].text, "i=4");
    assert_string_equal(kept[5].text, "i=9");
    at = range.next;
    assert_int_equal(events_get(at, 100, kept, &range), 0);
    assert_int_equal(range.next, at);
    assert_int_equal(events_get(0, 3, kept, &range), 3);
    assert_string_equal(kept[0].text, "i=7");
    assert_int_equal(range.next, at);
    /* A number that this process never gave. */
    assert_int_equal(events_get(at + 1, 3, kept, &range), 3);
    assert_string_equal(kept[2].text, "i=9");
}

#define THREADS  4u
#define PER_EACH 2000u

static void *shout(void *arg)
{
    const char *name = arg;

    for (unsigned i = 0; i < PER_EACH; i++)
        log_event(LOG_INFO, name, "i=%u name=%s", i, name);
    return NULL;
}

static void events__of_several_threads_do_not_mix(void **state)
{
    static const char *const names[THREADS] = {"one", "two", "three", "four"};
    pthread_t threads[THREADS];
    struct events_range range;
    const uint64_t before = newest();

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shout, (void *)(uintptr_t)names[i]), 0);
    for (unsigned k = 0; k < 200; k++) {
        const unsigned n = events_get(0, EVENTS_KEPT_MAX, kept, &range);

        for (unsigned i = 0; i < n; i++) {
            char end[64];

            if (kept[i].seq <= before)
                continue;
            (void)snprintf(end, sizeof(end), " name=%s", kept[i].name);
            assert_non_null(strstr(kept[i].text, end));
            assert_true(i == 0 || kept[i].seq > kept[i - 1].seq);
        }
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(newest(), before + THREADS * PER_EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events__what_is_logged_is_kept),
        cmocka_unit_test(events__are_kept_whatever_is_written),
        cmocka_unit_test(events__bytes_from_outside_stay_in_the_text),
        cmocka_unit_test(events__long_texts_are_cut),
        cmocka_unit_test(events__the_oldest_make_room_and_the_gap_is_told),
        cmocka_unit_test(events__a_storm_makes_room_for_itself_alone),
        cmocka_unit_test(events__are_read_on_from_where_one_was),
        cmocka_unit_test(events__of_several_threads_do_not_mix),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, quiet, NULL);
}
