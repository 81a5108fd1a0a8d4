/* libridd without waiting: writes of a session, reads that never go back, reads that are spread. The
 * servers are scripted; what they were sent is what is looked at. */
#include "unit/async-util.h"

#include <unistd.h>

#define SESSION_OK "{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"71\"}"
#define STATUS_OK                                                                                  \
    "{\"type\":\"status_ok\",\"in_reply_to\":%ID,\"node\":\"n1\",\"cluster_hash\":"                \
    "\"0123456789abcdef\"}"
#define NO_SPACE ERROR("no_space", 14, true)
#define EXPIRED  ERROR("session_expired", 13, false)

static void expect_line(struct fake_server *s, const char *match, unsigned nth, const char *part)
{
    const char *line = fake_line(s, match, nth);

    if (strstr(line, part) == NULL)
        print_error("line %u with %s: %s\n", nth, match, line);
    assert_non_null(strstr(line, part));
}

/* ---- writes of a session ---- */

/* ASYNC-9: numbers are given once, in order; reads have none. */
static void session__writes_have_numbers(void **state)
{
    static const struct fake_step steps[] = {{"open_session", FAKE_REPLY, SESSION_OK, 0},
                                             {"\"write\"", FAKE_REPLY, WRITE_OK, 0},
                                             {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct seen seen[5];
    char part[64];

    (void)state;
    start_get(c, "r", RIDD_VIA_READ_INDEX, &seen[0]);
    for (unsigned i = 1; i < 5; i++)
        start_put(c, "w", &seen[i]);
    run_all(c);
    assert_int_equal(fake_count(s, "open_session"), 1);
    assert_int_equal(fake_count(s, "\"client\""), 4);
    expect_line(s, "\"write\"", 0, "\"client\":\"71\",\"seq\":1,\"first\":1,");
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(seen[i].status, RIDD_OK);
        (void)snprintf(part, sizeof(part), "\"seq\":%u,", i);
        assert_int_equal(fake_count(s, part), 1);
    }
    start_put(c, "w", &seen[0]);
    run_all(c);
    expect_line(s, "\"write\"", 4, "\"client\":\"71\",\"seq\":5,\"first\":5,");
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-9: whatever became of the attempts before, it is the same write. */
static void session__a_lost_answer_is_asked_for_under_the_same_number(void **state)
{
    static const struct fake_step steps[] = {
        {"open_session", FAKE_REPLY, SESSION_OK, 0},
        {"\"write\"", FAKE_CLOSE, NULL, 1},
        {"\"write\"", FAKE_REPLY, ERROR("timeout", 0, false), 1},
        {"\"write\"", FAKE_REPLY, ERROR("term_changed", 13, false), 1},
        {"\"write\"", FAKE_REPLY, ERROR("busy", 11, true), 1},
        {"\"write\"", FAKE_REPLY, "garbage", 1},
        {"\"write\"", FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct ridd_reply *r = ridd_put(c, ridd_key("x"), "1");

    (void)state;
    assert_int_equal(r->status, RIDD_OK);
    assert_int_equal(r->index, 9);
    assert_int_equal(r->attempts, 6);
    ridd_reply_free(r);
    assert_int_equal(fake_count(s, "\"seq\":1,"), 6);
    assert_int_equal(fake_count(s, "open_session"), 1);
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-9: a refusal says nothing of the attempt that was lost before it; what was decided when it
 * was applied does. */
static void session__a_refusal_after_a_loss_is_no_end(void **state)
{
    static const struct {
        const char *reply;
        enum ridd_status status;
        enum ridd_status cause;
    } rows[] = {
        {NO_SPACE, RIDD_OUTCOME_UNKNOWN, RIDD_NO_SPACE},
        {ERROR("malformed", 12, true), RIDD_OUTCOME_UNKNOWN, RIDD_MALFORMED},
        {ERROR("precondition_failed", 22, true), RIDD_PRECONDITION_FAILED,
         RIDD_PRECONDITION_FAILED},
        {ERROR("key_not_found", 20, true), RIDD_KEY_NOT_FOUND, RIDD_KEY_NOT_FOUND},
    };

    (void)state;
    for (size_t i = 0; i < 2 * (sizeof(rows) / sizeof(rows[0])); i++) {
        bool lost = i % 2 == 0;
        struct fake_step steps[] = {{"open_session", FAKE_REPLY, SESSION_OK, 0},
                                    {"cas", lost ? FAKE_CLOSE : FAKE_REPLY, rows[i / 2].reply, 1},
                                    {"cas", FAKE_REPLY, rows[i / 2].reply, 0}};
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
        struct ridd_reply *r = ridd_cas(c, ridd_key("x"), "1", "2", 0);

        assert_int_equal(r->cause, rows[i / 2].cause);
        assert_int_equal(r->status, lost ? rows[i / 2].status : rows[i / 2].cause);
        assert_int_equal(r->definite, r->status != RIDD_OUTCOME_UNKNOWN);
        ridd_reply_free(r);
        ridd_close(c);
        fake_stop(s);
    }
}

/* ASYNC-11: nobody knows what became of the writes that had numbers in it; later ones begin anew. */
static void session__a_session_that_is_forgotten(void **state)
{
    static const struct fake_step steps[] = {
        {"open_session", FAKE_REPLY, SESSION_OK, 1},
        {"open_session", FAKE_REPLY,
         "{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"90\"}", 0},
        {"\"client\":\"71\"", FAKE_HOLD, NULL, 0},
        {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct seen a;
    struct seen b;
    struct seen later;

    (void)state;
    start_put(c, "a", &a);
    start_put(c, "b", &b);
    run_until_sent(c, s, "\"client\":\"71\"", 2);
    assert_true(fake_answer(s, "\"a\"", EXPIRED));
    run_until(c, &a);
    assert_int_equal(a.status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(a.cause, RIDD_SESSION_EXPIRED);
    start_put(c, "later", &later);
    run_until(c, &later);
    assert_int_equal(later.status, RIDD_OK);
    expect_line(s, "\"later\"", 0, "\"client\":\"90\",\"seq\":1,\"first\":1,");
    /* The other one keeps its number in the old one, however often it is sent. */
    assert_true(fake_answer(s, "\"b\"", ERROR("timeout", 0, false)));
    run_until_sent(c, s, "\"b\"", 2);
    expect_line(s, "\"b\"", 1, "\"client\":\"71\",\"seq\":2,");
    assert_null(strstr(fake_line(s, "\"b\"", 1), "\"first\""));
    assert_true(fake_answer(s, "\"b\"", EXPIRED));
    run_all(c);
    assert_int_equal(b.status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(b.cause, RIDD_SESSION_EXPIRED);
    assert_int_equal(fake_count(s, "open_session"), 2);
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-11: an answer that was lost leaves a session that nobody uses. */
static void session__opening_is_asked_again(void **state)
{
    static const struct fake_step steps[] = {
        {"open_session", FAKE_CLOSE, NULL, 1},
        {"open_session", FAKE_REPLY, ERROR("timeout", 0, false), 1},
        {"open_session", FAKE_REPLY, SESSION_OK, 0},
        {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct seen seen[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        start_put(c, "x", &seen[i]);
    run_all(c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(seen[i].status, RIDD_OK);
    assert_int_equal(fake_count(s, "open_session"), 3);
    ridd_close(c);
    fake_stop(s);
}

/* A server without sessions, or one that gives a strange one: nothing was written. */
static void session__no_session_no_write(void **state)
{
    static const struct {
        const char *reply;
        enum ridd_status status;
    } rows[] = {
        {ERROR("not_supported", 10, true), RIDD_NOT_SUPPORTED},
        {"{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"7\\\"1\"}",
         RIDD_BAD_REPLY},
        {"{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":7}", RIDD_BAD_REPLY},
        {"{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":\"\"}", RIDD_BAD_REPLY},
        {"{\"type\":\"open_session_ok\",\"in_reply_to\":%ID,\"client\":"
         "\"123456789012345678901234567890123456789012345678\"}",
         RIDD_BAD_REPLY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_step steps[] = {{"open_session", FAKE_REPLY, rows[i].reply, 0},
                                    {NULL, FAKE_REPLY, WRITE_OK, 0}};
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
        struct seen seen;

        start_put(c, "x", &seen);
        run_all(c);
        assert_int_equal(seen.status, rows[i].status);
        assert_int_equal(seen.definite, 1);
        assert_true(seen.text[0] != '\0');
        assert_int_equal(fake_count(s, "\"write\""), 0);
        ridd_close(c);
        fake_stop(s);
    }
}

/* ASYNC-10: as many as the cluster keeps answers of, counted from the lowest that is not answered,
 * whatever else was. */
static void session__a_window_of_numbers(void **state)
{
    static const struct fake_step steps[] = {{"open_session", FAKE_REPLY, SESSION_OK, 0},
                                             {"\"seq\":1,", FAKE_HOLD, NULL, 0},
                                             {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct ridd_limits limits = {.in_flight = 1000};
    struct seen seen[200];

    (void)state;
    assert_int_equal(ridd_set_limits(c, &limits), RIDD_OK);
    for (unsigned i = 0; i < 200; i++)
        start_put(c, "x", &seen[i]);
    while (ridd_async_pending(c) > 200 - 127)
        assert_int_equal(ridd_wait(c, -1), RIDD_OK);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(ridd_process(c), RIDD_OK);
    assert_int_equal(fake_count(s, "\"write\""), 128);
    assert_int_equal(fake_count(s, "\"seq\":128,"), 1);
    assert_int_equal(fake_count(s, "\"first\":1,"), 128);
    assert_true(fake_answer(s, "\"seq\":1,", WRITE_OK));
    run_all(c);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(seen[i].status, RIDD_OK);
    assert_int_equal(fake_count(s, "\"write\""), 200);
    expect_line(s, "\"seq\":129,", 0, "\"first\":129,");
    ridd_close(c);
    fake_stop(s);
}

/* What was given up needs no answer any more: the next write says so, and the cluster will not
 * apply it later. */
static void session__who_gives_up_lets_the_number_go(void **state)
{
    static const struct fake_step steps[] = {{"open_session", FAKE_REPLY, SESSION_OK, 0},
                                             {"\"lost\"", FAKE_SILENT, NULL, 0},
                                             {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_SESSION);
    struct seen lost;
    struct seen seen;
    uint64_t id = start_put(c, "lost", &lost);

    (void)state;
    run_until_sent(c, s, "\"lost\"", 1);
    start_put(c, "x", &seen);
    run_until(c, &seen);
    expect_line(s, "\"x\"", 0, "\"seq\":2,\"first\":1,");
    assert_int_equal(ridd_async_cancel(c, id), RIDD_OK);
    run_until(c, &lost);
    assert_int_equal(lost.status, RIDD_OUTCOME_UNKNOWN);
    assert_int_equal(lost.cause, RIDD_CANCELLED);
    start_put(c, "y", &seen);
    run_all(c);
    expect_line(s, "\"y\"", 0, "\"seq\":3,\"first\":3,");
    ridd_close(c);
    fake_stop(s);
}

/* A session that does not come in time: nothing was sent, and the client knows. */
static void session__waiting_for_a_session_ends_in_time(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_SILENT, NULL, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, 200, RIDD_FLAG_SESSION);
    struct seen seen;

    (void)state;
    start_put(c, "x", &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_NO_ANSWER);
    assert_int_equal(seen.definite, 1);
    assert_int_equal(fake_count(s, "\"write\""), 0);
    start_put(c, "x", &seen);
    ridd_close(c); /* while it is held */
    assert_int_equal(seen.status, RIDD_CANCELLED);
    assert_int_equal(seen.definite, 1);
    fake_stop(s);
}

/* ---- reads that never go back ---- */

static void session__a_client_never_goes_back(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS_OK, 0},
        {"\"write\"", FAKE_REPLY, WRITE_OK, 0},
        {"\"cas\"", FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":22,\"text\":\"no\",\"error\":"
         "\"precondition_failed\",\"definite\":true,\"index\":12}",
         0},
        {"\"local_read\"", FAKE_REPLY, LOCAL_OK, 0},
        {"\"scan\"", FAKE_REPLY,
         "{\"type\":\"scan_ok\",\"in_reply_to\":%ID,\"items\":[],\"more\":false,"
         "\"applied_index\":20,\"linearizable\":false}",
         0},
        {NULL, FAKE_REPLY, READ_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct ridd_op scan = ridd_op(RIDD_OP_SCAN);
    struct ridd_token token;
    struct ridd_reply *r;
    struct seen seen;

    (void)state;
    /* ASYNC-12: the cluster is asked for before the first index is seen, and once. */
    start_put(c, "x", &seen);
    run_all(c);
    expect_line(s, NULL, 0, "\"status\"");
    assert_int_equal(seen.index, 9);
    /* ASYNC-13 */
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    expect_line(s, "local_read", 0, "\"min_index\":9,\"cluster\":\"0123456789abcdef\"");
    assert_int_equal(seen.guarantee, RIDD_GUARANTEE_SESSION);
    assert_int_equal(seen.linearizable, 0);
    r = ridd_cas(c, ridd_key("x"), "1", "2", 0);
    assert_int_equal(r->status, RIDD_PRECONDITION_FAILED);
    ridd_reply_free(r);
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    expect_line(s, "local_read", 1, "\"min_index\":12,");
    scan.prefix = "x";
    scan.via = RIDD_VIA_LOCAL;
    start_op(c, &scan, &seen);
    run_all(c);
    expect_line(s, "scan", 0, "\"min_index\":12,\"cluster\":\"0123456789abcdef\"");
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    expect_line(s, "local_read", 2, "\"min_index\":20,");
    /* An older answer takes nothing back. */
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_null(strstr(fake_line(s, "\"read_index\"", 0), "min_index"));
    ridd_token(c, &token);
    assert_int_equal(token.index, 20);
    assert_string_equal(token.cluster, "0123456789abcdef");
    assert_int_equal(fake_count(s, "\"status\""), 1);
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-12: also of what one node alone is asked, on a connection of its own. */
static void session__one_node_tells_indexes_of_a_cluster_too(void **state)
{
    static const struct fake_step steps[] = {{"\"status\"", FAKE_REPLY, STATUS_OK, 0},
                                             {"local_read", FAKE_REPLY, LOCAL_OK, 0},
                                             {NULL, FAKE_REPLY, WRITE_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct ridd_op put = ridd_op(RIDD_OP_PUT);
    struct ridd_op status = ridd_op(RIDD_OP_STATUS);
    struct ridd_token token;
    struct seen seen;

    (void)state;
    status.node = fake_address(s);
    start_op(c, &status, &seen);
    run_all(c);
    assert_int_equal(fake_count(s, "\"status\""), 1); /* it says no index, and needs no name */
    put.key = ridd_key("x");
    put.value = ridd_value_json("1");
    put.node = fake_address(s);
    start_op(c, &put, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    expect_line(s, NULL, 1, "\"status\"");
    ridd_token(c, &token);
    assert_int_equal(token.index, 9);
    assert_string_equal(token.cluster, "0123456789abcdef");
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    expect_line(s, "local_read", 0, "\"min_index\":9,\"cluster\":\"0123456789abcdef\"");
    ridd_close(c);
    fake_stop(s);
}

static void session__tokens_go_from_client_to_client(void **state)
{
    static const struct fake_step steps[] = {{"\"status\"", FAKE_REPLY, STATUS_OK, 0},
                                             {NULL, FAKE_REPLY, LOCAL_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct ridd_token token = {"0123456789abcdef", 40};
    struct ridd_token other = {"fedcba9876543210", 50};
    struct ridd_token wrong = {"0123", 50};
    struct ridd_token quoted = {"0123456789abcd\",", 50};
    struct seen seen;

    (void)state;
    assert_int_equal(ridd_set_token(c, &wrong), RIDD_INVALID);
    assert_int_equal(ridd_set_token(c, &quoted), RIDD_INVALID);
    assert_int_equal(ridd_set_token(c, &token), RIDD_OK);
    token.index = 30;
    assert_int_equal(ridd_set_token(c, &token), RIDD_OK); /* the later of both */
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    expect_line(s, "local_read", 0, "\"min_index\":40,\"cluster\":\"0123456789abcdef\"");
    assert_int_equal(fake_count(s, "\"status\""), 0); /* it was told */
    assert_int_equal(ridd_set_token(c, &other), RIDD_INVALID);
    assert_int_equal(ridd_set_token(c, NULL), RIDD_OK);
    ridd_token(c, &token);
    assert_int_equal(token.index, 0);
    assert_string_equal(token.cluster, "");
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    assert_int_equal(fake_count(s, "\"status\""), 1);
    assert_null(strstr(fake_line(s, "local_read", 1), "min_index"));
    ridd_close(c);
    fake_stop(s);
}

/* ASYNC-12: an index that a node of another cluster refuses with is none of ours. */
static void session__another_cluster_is_told_and_not_believed(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, STATUS_OK, 0},
        {NULL, FAKE_REPLY,
         "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":22,\"text\":\"another cluster\","
         "\"error\":\"precondition_failed\",\"definite\":true,\"index\":900}",
         0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct ridd_token token;
    struct seen seen;

    (void)state;
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_PRECONDITION_FAILED);
    ridd_token(c, &token);
    assert_int_equal(token.index, 0);
    ridd_close(c);
    fake_stop(s);
}

/* Without the cluster's name nothing goes on, and the reason is told. */
static void session__who_cannot_be_asked_is_told(void **state)
{
    static const struct fake_step steps[] = {
        {"\"status\"", FAKE_REPLY, ERROR("denied", 14, true), 1},
        {"\"status\"", FAKE_REPLY, STATUS_OK, 0},
        {NULL, FAKE_REPLY, LOCAL_OK, 0}};
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct seen seen;

    (void)state;
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_DENIED);
    assert_int_equal(fake_count(s, "local_read"), 0);
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    ridd_close(c);
    fake_stop(s);
}

/* ---- reads that are spread ---- */

static void run_reads(struct ridd *c, enum ridd_via via, unsigned n, unsigned at_once)
{
    struct seen *seen = calloc(n, sizeof(*seen));

    assert_non_null(seen);
    for (unsigned i = 0; i < n; i += at_once) {
        for (unsigned k = i; k < i + at_once && k < n; k++)
            start_get(c, "x", via, &seen[k]);
        run_all(c);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(seen[i].status, RIDD_OK);
    free(seen);
}

/* ASYNC-14: reads go everywhere, writes and what only the leader can do go to the leader. */
static void spread__reads_go_everywhere_and_writes_to_the_leader(void **state)
{
    static const struct fake_step steps[] = {{"\"write\"", FAKE_REPLY, WRITE_OK, 0},
                                             {"\"read_index\"", FAKE_REPLY, READ_OK, 0},
                                             {"\"ping\"", FAKE_REPLY, PONG, 0},
                                             {NULL, FAKE_REPLY_IN_TURN, FOLLOWER_OK, 0}};
    struct fake_server *s[3];
    struct ridd *c;
    struct seen seen;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        s[i] = fake_start(STEPS(steps));
    c = open_many(s, 3, PATIENCE_MS, RIDD_FLAG_SPREAD);
    for (unsigned i = 0; i < 20; i++) {
        start_put(c, "x", &seen);
        run_all(c);
    }
    run_reads(c, RIDD_VIA_READ_INDEX, 20, 5);
    run_reads(c, RIDD_VIA_FOLLOWER, 300, 30);
    assert_int_equal(fake_count(s[0], "\"write\""), 20);
    assert_int_equal(fake_count(s[0], "\"read_index\""), 20);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(fake_count(s[i], "follower_read"), 40, 220);
    ridd_close(c);
    for (unsigned i = 0; i < 3; i++)
        fake_stop(s[i]);
}

/* ASYNC-14: who has much under way gets no more; who did not answer in time is passed over, and is
 * asked once a second whether it is there. */
static void spread__a_node_that_hangs_is_passed_over(void **state)
{
    static const struct fake_step hung_steps[] = {{"\"ping\"", FAKE_HOLD, NULL, 0},
                                                  {NULL, FAKE_SILENT, NULL, 20},
                                                  {NULL, FAKE_REPLY, FOLLOWER_OK, 0}};
    static const struct fake_step steps[] = {{"\"ping\"", FAKE_REPLY, PONG, 0},
                                             {NULL, FAKE_REPLY, FOLLOWER_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(hung_steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, RIDD_FLAG_SPREAD);
    unsigned before;

    (void)state;
    assert_int_equal(
        ridd_set_retry(c, &(struct ridd_retry){.total_ms = PATIENCE_MS, .backoff_ms = 1}), RIDD_OK);
    assert_int_equal(ridd_set_timeout(c, 100), RIDD_OK);
    run_reads(c, RIDD_VIA_FOLLOWER, 20, 20);
    before = fake_count(s[0], "follower_read");
    assert_true(before >= 1);
    /* One at a time: latency decides, and what it owes. */
    run_reads(c, RIDD_VIA_FOLLOWER, 50, 1);
    assert_true(fake_count(s[0], "follower_read") - before <= 5);
    /* A probe comes by itself, while reads go on. */
    while (fake_count(s[0], "\"ping\"") == 0)
        run_reads(c, RIDD_VIA_FOLLOWER, 1, 1);
    assert_true(fake_answer(s[0], "\"ping\"", PONG));
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ASYNC-14: what a node has under way counts. Nothing was answered yet, so that nothing else tells
 * the nodes apart, and the better of two is even to within a few. */
static void spread__what_is_under_way_counts(void **state)
{
    static const struct fake_step steps[] = {{NULL, FAKE_REPLY, FOLLOWER_OK, 0}};
    struct fake_server *s[3];
    struct ridd *c;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        s[i] = fake_start(STEPS(steps));
    c = open_many(s, 3, PATIENCE_MS, RIDD_FLAG_SPREAD);
    run_reads(c, RIDD_VIA_FOLLOWER, 300, 300);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(fake_count(s[i], "follower_read"), 97, 103);
    ridd_close(c);
    for (unsigned i = 0; i < 3; i++)
        fake_stop(s[i]);
}

/* ASYNC-14: a node that does not answer becomes worse with each read, however much the other one
 * has under way. */
static void spread__a_score_doubles(void **state)
{
    static const struct fake_step hung_steps[] = {{"\"known\"", FAKE_REPLY, FOLLOWER_OK, 0},
                                                  {NULL, FAKE_SILENT, NULL, 0}};
    static const struct fake_step steps[] = {{"\"held\"", FAKE_SILENT, NULL, 0},
                                             {"\"ping\"", FAKE_REPLY, PONG, 0},
                                             {NULL, FAKE_REPLY, FOLLOWER_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(hung_steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, RIDD_FLAG_SPREAD);
    struct ridd_op op = ridd_op(RIDD_OP_GET);
    struct ridd_retry retry = {.total_ms = PATIENCE_MS, .backoff_ms = 1, .backoff_ms_max = 1};
    struct seen known[40];
    struct seen held[60];
    struct seen seen;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        start_get(c, "known", RIDD_VIA_FOLLOWER, &known[i]);
    run_all(c);
    assert_int_equal(ridd_set_prefer(c, fake_address(s[1])), RIDD_OK);
    for (unsigned i = 0; i < 60; i++)
        start_get(c, "held", RIDD_VIA_FOLLOWER, &held[i]);
    run_until_sent(c, s[1], "\"held\"", 60);
    assert_int_equal(ridd_set_prefer(c, NULL), RIDD_OK);
    op.key = ridd_key("x");
    op.via = RIDD_VIA_FOLLOWER;
    op.timeout_ms = 30;
    op.retry = &retry;
    for (unsigned i = 0; i < 60; i++) {
        start_op(c, &op, &seen);
        run_until(c, &seen);
        assert_int_equal(seen.status, RIDD_OK);
    }
    assert_true(fake_count(s[0], "\"x\"") <= 20);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ASYNC-14: without reads nobody is asked. */
static void spread__no_probes_without_reads(void **state)
{
    static const struct fake_step steps[] = {{"\"ping\"", FAKE_REPLY, PONG, 0},
                                             {NULL, FAKE_REPLY, FOLLOWER_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, RIDD_FLAG_SPREAD);

    (void)state;
    run_reads(c, RIDD_VIA_FOLLOWER, 1, 1);
    while (ridd_async_timeout_us(c) >= 0)
        assert_int_equal(ridd_wait(c, -1), RIDD_OK);
    assert_in_range(fake_count(s[0], "ping") + fake_count(s[1], "ping"), 1, 6);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ASYNC-14: what a node says of writes is no matter for reads. */
static void spread__busy_with_writes_is_no_matter_for_reads(void **state)
{
    static const struct fake_step busy_steps[] = {
        {"\"write\"", FAKE_REPLY, ERROR("busy", 11, true), 0},
        {"\"ping\"", FAKE_REPLY, PONG, 0},
        {NULL, FAKE_REPLY_IN_TURN, FOLLOWER_OK, 0}};
    static const struct fake_step steps[] = {{"\"write\"", FAKE_REPLY, WRITE_OK, 0},
                                             {"\"ping\"", FAKE_REPLY, PONG, 0},
                                             {NULL, FAKE_REPLY_IN_TURN, FOLLOWER_OK, 0}};
    struct fake_server *s[2] = {fake_start(STEPS(busy_steps)), fake_start(STEPS(steps))};
    struct ridd *c = open_many(s, 2, PATIENCE_MS, RIDD_FLAG_SPREAD);
    struct ridd_retry never = {.max_retries = RIDD_NONE};
    struct ridd_op op = ridd_op(RIDD_OP_PUT);
    struct seen seen;

    (void)state;
    op.key = ridd_key("x");
    op.value = ridd_value_null();
    op.retry = &never;
    run_reads(c, RIDD_VIA_FOLLOWER, 20, 4); /* both are known */
    for (unsigned i = 0; i < 20; i++) {
        start_op(c, &op, &seen);
        run_all(c);
        assert_int_equal(seen.status, RIDD_BUSY);
    }
    run_reads(c, RIDD_VIA_FOLLOWER, 200, 20);
    assert_true(fake_count(s[0], "follower_read") >= 40);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

static void spread__a_node_is_preferred_while_it_is_there(void **state)
{
    static const struct fake_step steps[] = {{"\"write\"", FAKE_REPLY, WRITE_OK, 0},
                                             {"\"read_index\"", FAKE_REPLY, READ_OK, 0},
                                             {NULL, FAKE_REPLY, LOCAL_OK, 0}};
    struct fake_server *s[3];
    struct ridd *c;
    struct seen seen;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        s[i] = fake_start(STEPS(steps));
    c = open_many(s, 2, PATIENCE_MS, 0);
    assert_int_equal(ridd_set_prefer(c, "nonsense"), RIDD_INVALID);
    assert_int_equal(ridd_set_prefer(c, fake_address(s[2])), RIDD_OK); /* not in the list */
    run_reads(c, RIDD_VIA_LOCAL, 10, 2);
    start_put(c, "x", &seen);
    run_all(c);
    run_reads(c, RIDD_VIA_READ_INDEX, 1, 1);
    assert_int_equal(fake_count(s[2], NULL), 10);
    assert_int_equal(fake_count(s[0], NULL), 2);
    fake_stop(s[2]);
    run_reads(c, RIDD_VIA_LOCAL, 10, 1);
    assert_int_equal(fake_count(s[0], "local_read") + fake_count(s[1], "local_read"), 10);
    assert_int_equal(ridd_set_prefer(c, NULL), RIDD_OK);
    run_reads(c, RIDD_VIA_LOCAL, 1, 1);
    ridd_close(c);
    fake_stop(s[0]);
    fake_stop(s[1]);
}

/* ---- a leader that spares itself ---- */

static void overloaded(char *ret, size_t size, const char *address)
{
    (void)snprintf(ret, size,
                   "{\"type\":\"error\",\"in_reply_to\":%%ID,\"code\":11,\"text\":\"too much\","
                   "\"error\":\"overloaded\",\"definite\":true,\"retry_after_ms\":1,"
                   "\"anchor\":41,\"try\":\"%s\",\"cluster\":\"fedcba9876543210\"}",
                   address);
}

/* ASYNC-15: what the leader has confirmed is read elsewhere, at once, and is as of now. */
static void anchor__a_confirmed_read_is_served_elsewhere(void **state)
{
    static const struct fake_step other_steps[] = {{NULL, FAKE_REPLY, LOCAL_OK, 0}};
    char reply[256];
    struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 0}};
    struct fake_server *other = fake_start(STEPS(other_steps));
    struct fake_server *s = fake_start(STEPS(steps));
    struct ridd *c = open_one(s, PATIENCE_MS, RIDD_FLAG_MONOTONIC);
    struct ridd_token token = {"0123456789abcdef", 90};
    struct ridd_retry never = {.max_retries = RIDD_NONE};
    struct seen seen;

    (void)state;
    overloaded(reply, sizeof(reply), fake_address(other));
    fake_publish(s);
    assert_int_equal(ridd_set_token(c, &token), RIDD_OK);
    assert_int_equal(ridd_set_retry(c, &never), RIDD_OK);
    start_get(c, "k\"", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OK);
    assert_int_equal(seen.linearizable, 1);
    assert_int_equal(seen.guarantee, RIDD_GUARANTEE_LINEARIZABLE);
    assert_string_equal(seen.endpoint, fake_address(other));
    expect_line(other, NULL, 0,
                "{\"type\":\"local_read\",\"key\":\"k\\\"\",\"verbose\":true,\"min_index\":41,"
                "\"cluster\":\"fedcba9876543210\",\"timeout_ms\":");
    /* One that asked for what this node has anyhow is not turned into something else. */
    start_get(c, "x", RIDD_VIA_LOCAL, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OVERLOADED);
    ridd_close(c);
    c = open_one(s, PATIENCE_MS, RIDD_FLAG_LISTED_ONLY);
    assert_int_equal(ridd_set_retry(c, &never), RIDD_OK);
    start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
    run_all(c);
    assert_int_equal(seen.status, RIDD_OVERLOADED);
    assert_int_equal(fake_count(other, NULL), 1);
    ridd_close(c);
    fake_stop(s);
    fake_stop(other);
}

/* ASYNC-15: the anchor was for this attempt: where it comes to nothing the leader is asked anew. */
static void anchor__one_that_fails_is_asked_anew(void **state)
{
    static const char *const failures[] = {
        ERROR("timeout", 0, true), ERROR("precondition_failed", 22, true), "garbage",
        ERROR("not_supported", 10, true),
        "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":\"old\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct fake_step other_steps[] = {{NULL, FAKE_REPLY, failures[i], 0}};
        char reply[256];
        struct fake_step steps[] = {{NULL, FAKE_REPLY, reply, 1}, {NULL, FAKE_REPLY, READ_OK, 0}};
        struct fake_server *other = fake_start(STEPS(other_steps));
        struct fake_server *s = fake_start(STEPS(steps));
        struct ridd *c = open_one(s, PATIENCE_MS, 0);
        struct seen seen;

        overloaded(reply, sizeof(reply), fake_address(other));
        fake_publish(s);
        start_get(c, "x", RIDD_VIA_READ_INDEX, &seen);
        run_all(c);
        assert_int_equal(seen.status, RIDD_OK);
        assert_int_equal(seen.index, 5);
        assert_string_equal(seen.endpoint, fake_address(s));
        assert_int_equal(fake_count(other, NULL), 1);
        assert_int_equal(fake_count(s, "\"read_index\""), 2);
        assert_int_equal(fake_count(s, "local_read"), 0);
        ridd_close(c);
        fake_stop(s);
        fake_stop(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session__writes_have_numbers),
        cmocka_unit_test(session__a_lost_answer_is_asked_for_under_the_same_number),
        cmocka_unit_test(session__a_refusal_after_a_loss_is_no_end),
        cmocka_unit_test(session__a_session_that_is_forgotten),
        cmocka_unit_test(session__opening_is_asked_again),
        cmocka_unit_test(session__no_session_no_write),
        cmocka_unit_test(session__a_window_of_numbers),
        cmocka_unit_test(session__who_gives_up_lets_the_number_go),
        cmocka_unit_test(session__waiting_for_a_session_ends_in_time),
        cmocka_unit_test(session__a_client_never_goes_back),
        cmocka_unit_test(session__one_node_tells_indexes_of_a_cluster_too),
        cmocka_unit_test(session__tokens_go_from_client_to_client),
        cmocka_unit_test(session__another_cluster_is_told_and_not_believed),
        cmocka_unit_test(session__who_cannot_be_asked_is_told),
        cmocka_unit_test(spread__reads_go_everywhere_and_writes_to_the_leader),
        cmocka_unit_test(spread__what_is_under_way_counts),
        cmocka_unit_test(spread__a_score_doubles),
        cmocka_unit_test(spread__no_probes_without_reads),
        cmocka_unit_test(spread__a_node_that_hangs_is_passed_over),
        cmocka_unit_test(spread__busy_with_writes_is_no_matter_for_reads),
        cmocka_unit_test(spread__a_node_is_preferred_while_it_is_there),
        cmocka_unit_test(anchor__a_confirmed_read_is_served_elsewhere),
        cmocka_unit_test(anchor__one_that_fails_is_asked_anew),
    };

    return cmocka_run_group_tests_name("async-session", tests, NULL, NULL);
}
