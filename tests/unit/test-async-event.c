/* ridd_event.h: a client in a loop of libevent, closed from within and taken out of it. */
#include "unit/async-util.h"

#include "client/ridd_event.h"

static void event__a_loop_drives_the_client(void **state)
{
    static const struct fake_step steps[] = {{"\"busy\"", FAKE_REPLY, ERROR("busy", 11, true), 3},
                                             {"\"silent\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct event_base *base = event_base_new();
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct seen seen[3];

    (void)state;
    assert_non_null(base);
    assert_non_null(ridd_event_join(c, base));
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[0]);
    start_get(c, "busy", RIDD_VIA_READ_INDEX, &seen[1]); /* pauses: only the timer wakes it */
    op.key = ridd_key("silent");
    op.via = RIDD_VIA_READ_INDEX;
    op.timeout_ms = 100;
    start_op(c, &op, &seen[2]);
    while (ridd_async_pending(c) > 0)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(seen[0].status, RIDD_OK);
    assert_int_equal(seen[1].status, RIDD_OK);
    assert_int_equal(seen[1].attempts, 4);
    assert_int_equal(seen[2].status, RIDD_NO_ANSWER);
    /* What is begun in between is seen by the loop, too. */
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[0]);
    while (seen[0].n == 0)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    ridd_close(c);
    assert_int_equal(event_base_dispatch(base), 1); /* nothing is left in it */
    event_base_free(base);
    fake_stop(s);
}

static void close_it(struct ridd *c, struct ridd_reply *r, void *arg)
{
    (void)arg;
    ridd_reply_free(r);
    ridd_close(c);
}

static void event__a_callback_ends_the_loop(void **state)
{
    static const struct fake_step steps[] = {{"\"silent\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct event_base *base = event_base_new();
    struct seen seen;

    (void)state;
    assert_non_null(base);
    assert_non_null(ridd_event_join(c, base));
    start_get(c, "silent", RIDD_VIA_READ_INDEX, &seen);
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX, close_it, NULL);
    assert_int_equal(event_base_dispatch(base), 1);
    assert_int_equal(seen.status, RIDD_CANCELLED);
    event_base_free(base);
    fake_stop(s);
}

static void event__taken_out_it_goes_on_by_hand(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct event_base *base = event_base_new();
    struct ridd_event *joined;
    struct seen seen;

    (void)state;
    assert_non_null(base);
    joined = ridd_event_join(c, base);
    assert_non_null(joined);
    if (joined == NULL)
        return; /* for the compiler */
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    ridd_event_part(joined);
    event_base_free(base);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    ridd_close(c);
    fake_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event__a_loop_drives_the_client),
        cmocka_unit_test(event__a_callback_ends_the_loop),
        cmocka_unit_test(event__taken_out_it_goes_on_by_hand),
    };

    return cmocka_run_group_tests_name("async-event", tests, NULL, NULL);
}
