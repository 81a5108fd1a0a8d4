/* libridd without waiting: many requests on one connection, callbacks and what they may do,
 * cancelling, closing, bounds. The servers are scripted, or hold their answers until the test wants
 * them. */
#include "unit/async-util.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_readable(struct ridd *c)
{
    struct pollfd p = {.fd = ridd_async_fd(c), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* ---- one connection, many requests ---- */

/* ASYNC-4: replies come in any order, and each goes to its request. */
static void async__replies_in_any_order_find_their_requests(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_HOLD, NULL, 0}};
    static const char *const keys[] = {"\"a\"", "\"b\"", "\"c\"", "\"d\""};
    static const unsigned order[] = {2, 0, 3, 1};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[4];

    (void)state;
    start_get(c, "a", RIDD_VIA_READ_INDEX, &seen[0]);
    start_put(c, "b", &seen[1]);
    start_get(c, "c", RIDD_VIA_READ_INDEX, &seen[2]);
    start_put(c, "d", &seen[3]);
    run_until_sent(c, s, NULL, 4);
    assert_int_equal(fake_connections(s), 1);
    for (unsigned i = 0; i < 4; i++) {
        unsigned k = order[i];

        assert_true(fake_answer(s, keys[k], k % 2 == 0 ? READ_OK : WRITE_OK));
        run_until(c, &seen[k]);
        assert_int_equal(seen[k].status, RIDD_OK);
        assert_int_equal(seen[k].index, k % 2 == 0 ? 5 : 9);
        assert_int_equal(ridd_async_pending(c), 3 - i);
    }
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-4: an answer to nobody's request is passed over, one that names a request of another
 * connection too; a reply is not given twice. */
static void async__strange_numbers_are_passed_over(void **state)
{
    static const struct fake_step steps[] = {
        {NULL, FAKE_REPLY,
         "{\"type\":\"read_index_ok\",\"in_reply_to\":99999,\"value\":1}\n"
         "{\"type\":\"read_index_ok\",\"in_reply_to\":1,\"value\":1}\n"
         "{\"type\":\"read_index_ok\",\"in_reply_to\":\"x\",\"value\":1}\n"
         "{\"type\":\"read_index_ok\",\"in_reply_to\":0,\"value\":1}\n" READ_OK "\n" READ_OK,
         0}};
    static const struct fake_step held[] = {{NULL, FAKE_HOLD, NULL, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(steps)), fake_start(STEPS(held))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, 0);
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct seen first;
    struct seen second;

    (void)state;
    /* The first request waits at the second server, and the first server answers in its name. */
    op.key = ridd_key("x");
    op.via = RIDD_VIA_READ_INDEX;
    op.node = fake_address(s[1]);
    start_op(c, &op, &first);
    run_until_sent(c, s[1], NULL, 1);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &second);
    run_until(c, &second);
    assert_int_equal(second.status, RIDD_OK);
    assert_int_equal(first.n, 0);
    assert_true(fake_answer(s[1], NULL, READ_OK));
    run_all(c);
    assert_int_equal(first.status, RIDD_OK);
    assert_string_equal(first.endpoint, fake_address(s[1]));
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* An error that names a line is about the request that was that line. */
static void async__an_error_may_name_the_line(void **state)
{
    static const struct fake_step steps[] = {
        {"\"b\"", FAKE_REPLY,
         "{\"type\":\"error\",\"code\":12,\"text\":\"too long\",\"error\":\"too_large\","
         "\"definite\":true,\"line\":2}",
         0},
        {NULL, FAKE_HOLD, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen a;
    struct seen b;

    (void)state;
    start_put(c, "a", &a);
    start_put(c, "b", &b);
    run_until(c, &b);
    assert_int_equal(b.status, RIDD_TOO_LARGE);
    assert_int_equal(a.n, 0);
    assert_true(fake_answer(s, "\"a\"", WRITE_OK));
    run_all(c);
    assert_int_equal(a.status, RIDD_OK);
    ridd_close(c);
    fake_stop(s);
}

static void async__garbage_ends_the_connection_and_not_the_client(void **state)
{
    static const struct fake_step steps[] = {{"\"bad\"", FAKE_REPLY, "{\"type\":", 1},
                                             {"\"held\"", FAKE_SILENT, NULL, 1},
                                             {"write", FAKE_SILENT, NULL, 1},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[3];

    (void)state;
    start_get(c, "held", RIDD_VIA_READ_INDEX, &seen[0]);
    start_put(c, "w", &seen[1]);
    run_until_sent(c, s, NULL, 2);
    start_get(c, "bad", RIDD_VIA_READ_INDEX, &seen[2]);
    run_all(c);
    /* Reads are asked anew; of the write nobody knows. */
    assert_int_equal(seen[0].status, RIDD_OK);
    assert_int_equal(seen[2].status, RIDD_OK);
    assert_int_equal(seen[1].status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(seen[1].cause, RIDD_BAD_REPLY);
    assert_int_equal(fake_connections(s), 2);
    assert_int_equal(fake_count(s, "write"), 1);
    ridd_close(c);
    fake_stop(s);
}

static void async__half_lines_wait_for_the_rest(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY_BYTEWISE, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[50];

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]);
    run_all(c);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(seen[i].status, RIDD_OK);
    ridd_close(c);
    fake_stop(s);
}

/* ---- callbacks ---- */

/* ASYNC-1: an answer that is there at once, a wrong argument, is told later all the same. */
static void async__no_callback_inside_the_call_that_made_it(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen invalid;
    struct seen seen;
    uint64_t id;

    (void)state;
    assert_int_not_equal(start_get(c, "", RIDD_VIA_READ_INDEX, &invalid), 0);
    assert_int_equal(invalid.n, 0);
    id = start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    seen_inside++;
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_INVALID);
    seen_inside--;
    assert_int_equal(seen.n, 0);
    assert_int_equal(ridd_async_pending(c), 2);
    assert_int_equal(ridd_async_timeout_us(c), 0);
    assert_int_equal(ridd_process(c), RIDD_OK);
    assert_int_equal(invalid.status, RIDD_INVALID);
    assert_true(invalid.text[0] != '\0');
    assert_int_equal(seen.status, RIDD_CANCELLED);
    assert_int_equal(seen.definite, 1);
    assert_int_equal(ridd_async_pending(c), 0);
    assert_int_equal(fake_count(s, NULL), 0);
    ridd_close(c);
    fake_stop(s);
}

struct chain {
    struct fake_server *server;
    unsigned left;
    unsigned n_turns;
    unsigned n_in_turn; /* callbacks since the turn began */
};

static void next_in_chain(struct ridd *c, struct ridd_reply *r, void *arg)
{
    struct chain *chain = arg;

    ridd_reply_free(r);
    chain->n_in_turn++;
    /* Neither this call nor a turn inside of it. */
    assert_int_equal(ridd_process(c), RIDD_INVALID);
    assert_int_equal(ridd_wait(c, 0), RIDD_INVALID);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX);
    assert_int_equal(r->status, RIDD_INVALID);
    ridd_reply_free(r);
    if (chain->left-- > 0) /* wrong on purpose: its answer needs no server */
        assert_int_not_equal(
            ridd_async_get(c, ridd_key(""), RIDD_VIA_READ_INDEX, next_in_chain, chain), 0);
}

/* ASYNC-1: what a callback begins is told in a later turn, so that a chain holds nobody. */
static void async__a_chain_of_callbacks_takes_turns(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct chain chain = {.server = fake_start(STEPS(steps)), .left = 20};
    struct ridd *c = open_one(chain.server, PATIENCE_MS, 0);

    (void)state;
    ridd_async_get(c, ridd_key(""), RIDD_VIA_READ_INDEX, next_in_chain, &chain);
    while (ridd_async_pending(c) > 0) {
        chain.n_in_turn = 0;
        assert_int_equal(ridd_process(c), RIDD_OK);
        assert_true(chain.n_in_turn <= 1);
        chain.n_turns++;
    }
    assert_int_equal(chain.n_turns, 21);
    ridd_close(c);
    fake_stop(chain.server);
}

static struct seen cancelled_by_another;
static uint64_t id_of_another;

static void cancel_another(struct ridd *c, struct ridd_reply *r, void *arg)
{
    enum ridd_status *status = arg;

    ridd_reply_free(r);
    seen_inside++;
    *status = ridd_async_cancel(c, id_of_another);
    seen_inside--;
}

static void async__a_callback_cancels_another_request(void **state)
{
    static const struct fake_step steps[] = {{"\"held\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    enum ridd_status status = RIDD_INVALID;

    (void)state;
    id_of_another = start_get(c, "held", RIDD_VIA_READ_INDEX, &cancelled_by_another);
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX, cancel_another, &status);
    run_all(c);
    assert_int_equal(status, RIDD_OK);
    assert_int_equal(cancelled_by_another.status, RIDD_CANCELLED);
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-2: nobody needs to care for an answer. */
static void async__a_request_without_a_callback(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);

    (void)state;
    assert_int_not_equal(ridd_async_put(c, ridd_key("x"), ridd_value_string("y"), NULL, NULL), 0);
    assert_int_not_equal(ridd_async_delete(c, ridd_key("x"), NULL, NULL), 0);
    run_all(c);
    assert_int_equal(fake_count(s, NULL), 2);
    ridd_close(c);
    fake_stop(s);
}

/* ---- cancelling ---- */

/* ASYNC-5: a write of which nothing left did not happen; one that left may have. */
static void async__cancelling_at_each_stage(void **state)
{
    static const struct fake_step stall[] = {{NULL, FAKE_STALL, NULL, 0}};
    static const struct fake_step busy[] = {{NULL, FAKE_REPLY, ERROR("busy", 11, true), 0}};
    struct fake_server *s = fake_start(STEPS(stall));
    struct fake_server *b = fake_start(STEPS(busy));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_limits limits = {.in_flight = 1};
    struct seen ready;
    struct seen sent;
    struct seen read;
    struct seen queued;
    struct seen paused;
    uint64_t id_sent;
    uint64_t id_read;
    uint64_t id;

    (void)state;
    /* Ready: no turn was done yet. */
    id = start_put(c, "ready", &ready);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    id_sent = start_put(c, "sent", &sent);
    run_until_sent(c, s, "sent", 1);
    id_read = start_get(c, "read", RIDD_VIA_READ_INDEX, &read);
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    assert_int_equal(ridd_process(c), RIDD_OK);
    id = start_put(c, "queued", &queued);
    assert_int_equal(ridd_process(c), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id_sent), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id_read), RIDD_OK);
    run_all(c);
    assert_int_equal(ready.status, RIDD_CANCELLED);
    assert_int_equal(ready.definite, 1);
    assert_int_equal(queued.status, RIDD_CANCELLED);
    assert_int_equal(queued.definite, 1);
    assert_int_equal(sent.status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(sent.cause, RIDD_CANCELLED);
    assert_int_equal(sent.definite, 0);
    assert_int_equal(read.status, RIDD_CANCELLED);
    assert_int_equal(read.definite, 1);
    ridd_close(c);
    /* Paused: a server is busy. */
    c = open_one(b, PATIENCE_MS, 0);
    id = start_put(c, "paused", &paused);
    run_until_sent(c, b, NULL, 3);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_all(c);
    assert_true(paused.status == RIDD_CANCELLED ||
                (paused.status == RIDD_OUTCOME_UNKNOWN && paused.cause == RIDD_CANCELLED));
    ridd_close(c);
    fake_stop(s);
    fake_stop(b);
}

struct behind {
    char key[16];
    struct seen seen;
    uint64_t id;
};

#define N_BEHIND 1000u

static void start_behind(struct ridd *c, struct behind *b, const char *value)
{
    struct ridd_op op = ridd_op(RIDD_OP_PUT);

    op.key = ridd_key(b->key);
    op.value = ridd_value_string(value);
    b->id = start_op(c, &op, &b->seen);
    assert_int_not_equal(b->id, 0);
}

/* ASYNC-5: behind a server that reads nothing some lines have left, one has left in part, some wait
 * to leave, the others are not written yet. All but the first hundred are given up, the newest
 * first. What was certain not to have happened never comes to the server, what was begun comes
 * whole, and those around it are not spoiled. */
static void async__lines_that_wait_are_taken_back(void **state)
{
    static const struct fake_step steps[] = {{"\"first\"", FAKE_STALL, NULL, 1},
                                             {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_limits limits = {.in_flight = 4096};
    struct behind *behind = calloc(N_BEHIND, sizeof(*behind));
    char *value = malloc(16385);
    unsigned n_certain = 0;
    struct seen first;
    uint64_t id;

    (void)state;
    assert_non_null(behind);
    assert_non_null(value);
    memset(value, 'v', 16384);
    value[16384] = '\0';
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    id = start_put(c, "first", &first);
    run_until_sent(c, s, NULL, 1);
    for (unsigned i = 0; i < N_BEHIND; i++) {
        (void)snprintf(behind[i].key, sizeof(behind[i].key), "key-%03u", i);
        start_behind(c, &behind[i], value);
    }
    free(value); /* it was copied */
    /* Until the kernel takes no more. */
    do
        assert_int_equal(ridd_wait(c, 50), RIDD_OK);
    while (is_readable(c));
    for (unsigned i = N_BEHIND; i-- > 100;)
        assert_int_equal(ridd_async_cancel(c, behind[i].id), RIDD_OK);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    fake_go_on(s);
    run_all(c);
    for (unsigned i = 0; i < N_BEHIND; i++) {
        bool is_certain = behind[i].seen.status == RIDD_CANCELLED;

        if (i < 100)
            assert_int_equal(behind[i].seen.status, RIDD_OK);
        else if (!is_certain)
            assert_int_equal(behind[i].seen.cause, RIDD_CANCELLED);
        n_certain += is_certain;
    }
    /* Another request, whose answer says that all before it has come. */
    start_put(c, "last", &first);
    run_all(c);
    assert_int_equal(first.status, RIDD_OK);
    for (unsigned i = 0; i < N_BEHIND; i++)
        assert_int_equal(fake_count(s, behind[i].key),
                         behind[i].seen.status == RIDD_CANCELLED ? 0 : 1);
    assert_true(n_certain > 0);
    assert_true(n_certain < N_BEHIND - 100);
    ridd_close(c);
    free(behind);
    fake_stop(s);
}

/* A late answer to a request that was given up is nobody's, and its connection goes on. */
static void async__what_was_given_up_is_passed_over_when_it_comes(void **state)
{
    static const struct fake_step steps[] = {{"\"held\"", FAKE_HOLD, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen held;
    struct seen seen;
    uint64_t id = start_get(c, "held", RIDD_VIA_READ_INDEX, &held);

    (void)state;
    run_until_sent(c, s, NULL, 1);
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_all(c);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    assert_true(fake_answer(s, NULL, READ_OK));
    run_all(c);
    assert_int_equal(held.status, RIDD_CANCELLED);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(fake_connections(s), 1);
    ridd_close(c);
    fake_stop(s);
}

/* ---- closing ---- */

static void on_gone(void *arg)
{
    unsigned *n = arg;

    assert_int_equal(seen_inside, 0);
    ++*n;
}

/* ASYNC-3 */
static void async__closing_tells_everybody(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen seen[4];
    unsigned n_gone = 0;

    (void)state;
    ridd_async_on_close(c, on_gone, &n_gone);
    start_get(c, "a", RIDD_VIA_READ_INDEX, &seen[0]);
    start_put(c, "b", &seen[1]);
    run_until_sent(c, s, NULL, 2);
    start_put(c, "c", &seen[2]);
    start_get(c, "", RIDD_VIA_READ_INDEX, &seen[3]); /* has its answer already */
    ridd_close(c);
    assert_int_equal(n_gone, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(seen[i].n, 1);
    assert_int_equal(seen[0].status, RIDD_CANCELLED);
    assert_int_equal(seen[1].status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(seen[1].cause, RIDD_CANCELLED);
    assert_int_equal(seen[2].status, RIDD_CANCELLED);
    assert_int_equal(seen[2].definite, 1);
    assert_int_equal(seen[3].status, RIDD_INVALID);
    fake_stop(s);
}

static struct seen after_close;

static void close_it(struct ridd *c, struct ridd_reply *r, void *arg)
{
    unsigned *n = arg;

    ridd_reply_free(r);
    ++*n;
    ridd_close(c);
    ridd_close(c); /* twice is once */
    assert_int_equal(start_get(c, "x", RIDD_VIA_READ_INDEX, &after_close), 0);
    assert_int_equal(ridd_async_refused(c), RIDD_CANCELLED);
}

static void async__a_callback_closes_the_client(void **state)
{
    static const struct fake_step steps[] = {{"\"held\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    enum ridd_status status = RIDD_OK;
    struct seen held;
    unsigned n_gone = 0;
    unsigned n = 0;

    (void)state;
    ridd_async_on_close(c, on_gone, &n_gone);
    start_get(c, "held", RIDD_VIA_READ_INDEX, &held);
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX, close_it, &n);
    while (status == RIDD_OK)
        status = ridd_wait(c, -1);
    assert_int_equal(status, RIDD_CANCELLED);
    assert_int_equal(n, 1);
    assert_int_equal(n_gone, 1);
    assert_int_equal(held.n, 1);
    assert_int_equal(held.status, RIDD_CANCELLED);
    assert_int_equal(after_close.n, 0);
    fake_stop(s);
}

/* A callback closes the client while somebody waits in it: that call has its answer. */
static void async__a_call_that_waits_outlives_the_client(void **state)
{
    static const struct fake_step steps[] = {{"\"held\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_reply *r;
    unsigned n = 0;

    (void)state;
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_READ_INDEX, close_it, &n);
    r = ridd_get(c, ridd_key("held"), RIDD_VIA_READ_INDEX);
    assert_int_equal(n, 1);
    assert_int_equal(r->status, RIDD_CANCELLED);
    ridd_reply_free(r);
    fake_stop(s);
}

static void begin_on_close(struct ridd *c, struct ridd_reply *r, void *arg)
{
    unsigned *n = arg;

    ++*n;
    ridd_reply_free(r);
    ridd_close(c);
    assert_int_equal(ridd_async_get(c, ridd_key("x"), RIDD_VIA_LOG, begin_on_close, arg), 0);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_LOG);
    assert_int_equal(r->status, RIDD_INVALID);
    ridd_reply_free(r);
    assert_int_equal(ridd_process(c), RIDD_INVALID);
}

static void async__nothing_begins_while_it_closes(void **state)
{
    struct ridd *c = NULL;
    unsigned n = 0;

    (void)state;
    assert_int_equal(ridd_open("127.0.0.1:1", NULL, &c), RIDD_OK);
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_LOG, begin_on_close, &n);
    ridd_async_get(c, ridd_key("x"), RIDD_VIA_LOG, begin_on_close, &n);
    ridd_close(c);
    assert_int_equal(n, 2);
}

/* ---- the loop ---- */

/* The descriptor alone tells that something was begun from outside, that an answer is there, and
 * that a name was found. */
static void async__the_descriptor_tells_when_to_look(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_HOLD, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    struct seen seen;

    (void)state;
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, ridd_async_fd(c), &e), 0);
    assert_false(is_readable(c));
    assert_int_equal(ridd_async_timeout_us(c), -1);
    assert_int_equal(ridd_async_timeout_ms(c), -1);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    assert_true(is_readable(c));
    while (fake_count(s, NULL) < 1)
        if (epoll_wait(epoll, &e, 1, 10) == 1)
            assert_int_equal(ridd_process(c), RIDD_OK);
    while (is_readable(c))
        assert_int_equal(ridd_process(c), RIDD_OK);
    assert_in_range(ridd_async_timeout_us(c), 1, PATIENCE_MS * 1000);
    assert_in_range(ridd_async_timeout_ms(c), 1, PATIENCE_MS);
    assert_true(fake_answer(s, NULL, READ_OK));
    assert_int_equal(epoll_wait(epoll, &e, 1, 10000), 1);
    while (seen.n == 0)
        assert_int_equal(ridd_process(c), RIDD_OK);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(ridd_async_timeout_us(c), -1);
    (void)close(epoll);
    ridd_close(c);
    fake_stop(s);
}

/* ---- bounds ---- */

/* ASYNC-8: thousands under way, of which a server sees no more than it reads; memory stays what
 * they take. */
static void async__thousands_under_way(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct seen *seen = calloc(10000, sizeof(*seen));
    struct seen one_more;

    (void)state;
    assert_non_null(seen);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 10000; i++)
            assert_int_not_equal(start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]), 0);
        assert_int_equal(start_get(c, "x", RIDD_VIA_READ_INDEX, &one_more), 0);
        assert_int_equal(ridd_async_refused(c), RIDD_BUSY);
        run_all(c);
        for (unsigned i = 0; i < 10000; i++)
            assert_int_equal(seen[i].status, RIDD_OK);
    }
    assert_int_equal(fake_count(s, NULL), 30000);
    assert_int_equal(fake_connections(s), 1);
    ridd_close(c);
    free(seen);
    fake_stop(s);
}

static void async__no_more_at_a_server_than_it_reads(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_HOLD, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_limits limits = {.in_flight = 3};
    struct seen seen[10];

    (void)state;
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    for (unsigned i = 0; i < 10; i++)
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[i]);
    run_until_sent(c, s, NULL, 3);
    for (unsigned i = 0; i < 10; i++) {
        /* Three at a time, however many answers were taken. */
        assert_int_equal(fake_count(s, NULL), i + 3 < 10 ? i + 3 : 10);
        assert_true(fake_answer(s, NULL, READ_OK));
        run_until(c, &seen[i]);
        if (i + 3 < 10)
            run_until_sent(c, s, NULL, i + 4);
    }
    assert_int_equal(ridd_async_pending(c), 0);
    ridd_close(c);
    fake_stop(s);
}

static void async__limits_are_checked(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, 0);
    struct ridd_limits limits = {.requests = 2, .bytes = 200};
    struct ridd_limits too_many = {.requests = 1000001};
    struct ridd_limits too_deep = {.in_flight = 4097};
    struct ridd_reply *r;
    char text[300];
    struct seen seen[3];

    (void)state;
    assert_int_equal(ridd_set_limits(c, &too_many), RIDD_INVALID);
    assert_int_equal(ridd_set_limits(c, &too_deep), RIDD_INVALID);
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(ridd_async_put(c, ridd_key("x"), ridd_value_string(text), NULL, NULL), 0);
    assert_int_equal(ridd_async_refused(c), RIDD_BUSY);
    assert_int_not_equal(start_put(c, "a", &seen[0]), 0);
    assert_int_not_equal(start_put(c, "b", &seen[1]), 0);
    assert_int_equal(start_put(c, "c", &seen[2]), 0);
    r = ridd_get(c, ridd_key("x"), RIDD_VIA_LOG); /* one that waits is told so in words */
    assert_int_equal(r->status, RIDD_BUSY);
    assert_int_equal(r->definite, 1);
    ridd_reply_free(r);
    assert_int_equal(ridd_set_limits(c, NULL), RIDD_OK);
    assert_int_not_equal(start_put(c, "c", &seen[2]), 0);
    ridd_close(c);
    fake_stop(s);
}

static unsigned count_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

/* ASYNC-16: what was opened is closed. */
static void async__no_descriptor_is_left(void **state)
{
    static const struct fake_step steps[] = {{"status", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    unsigned n_before;

    (void)state;
    n_before = count_descriptors();
    for (unsigned i = 0; i < 20; i++) {
        struct ridd *c = open_one(s, PATIENCE_MS, 0);
        struct ridd_op op = ridd_op(RIDD_OP_STATUS);
        struct seen seen[3];

        op.node = fake_address(s);
        start_op(c, &op, &seen[0]); /* a connection of its own */
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen[1]);
        run_until(c, &seen[1]);
        start_get(c, "y", RIDD_VIA_READ_INDEX, &seen[2]);
        ridd_close(c);
        assert_int_equal(seen[0].status, RIDD_CANCELLED);
        fake_wait_closed(s, 2 * (i + 1));
    }
    assert_int_equal(count_descriptors(), n_before);
    fake_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(async__replies_in_any_order_find_their_requests),
        cmocka_unit_test(async__strange_numbers_are_passed_over),
        cmocka_unit_test(async__an_error_may_name_the_line),
        cmocka_unit_test(async__garbage_ends_the_connection_and_not_the_client),
        cmocka_unit_test(async__half_lines_wait_for_the_rest),
        cmocka_unit_test(async__no_callback_inside_the_call_that_made_it),
        cmocka_unit_test(async__a_chain_of_callbacks_takes_turns),
        cmocka_unit_test(async__a_callback_cancels_another_request),
        cmocka_unit_test(async__a_request_without_a_callback),
        cmocka_unit_test(async__cancelling_at_each_stage),
        cmocka_unit_test(async__lines_that_wait_are_taken_back),
        cmocka_unit_test(async__what_was_given_up_is_passed_over_when_it_comes),
        cmocka_unit_test(async__closing_tells_everybody),
        cmocka_unit_test(async__a_callback_closes_the_client),
        cmocka_unit_test(async__a_call_that_waits_outlives_the_client),
        cmocka_unit_test(async__nothing_begins_while_it_closes),
        cmocka_unit_test(async__the_descriptor_tells_when_to_look),
        cmocka_unit_test(async__thousands_under_way),
        cmocka_unit_test(async__no_more_at_a_server_than_it_reads),
        cmocka_unit_test(async__limits_are_checked),
        cmocka_unit_test(async__no_descriptor_is_left),
    };

    return cmocka_run_group_tests_name("async", tests, NULL, NULL);
}
