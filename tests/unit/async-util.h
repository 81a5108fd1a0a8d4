/* Requests without waiting, for tests: what their callbacks were told, in which order, and a loop
 * that runs until something is so. One thread. */
#ifndef RIDD_TESTS_ASYNC_UTIL_H
#define RIDD_TESTS_ASYNC_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ridd_async.h"
#include "unit/fake-server.h"

#define STEPS(a) (a), sizeof(a) / sizeof((a)[0])
#define READ_OK                                                                                    \
    "{\"type\":\"read_index_ok\",\"in_reply_to\":%ID,\"value\":\"42\",\"read_at_index\":5,"        \
    "\"heartbeat_confirmed\":true,\"linearizable\":true,\"exists\":true}"
#define LOCAL_OK                                                                                   \
    "{\"type\":\"local_read_ok\",\"in_reply_to\":%ID,\"value\":\"42\",\"applied_index\":7,"        \
    "\"linearizable\":false}"
#define FOLLOWER_OK                                                                                \
    "{\"type\":\"follower_read_ok\",\"in_reply_to\":%ID,\"value\":\"42\",\"read_at_index\":5,"     \
    "\"served_by\":\"n2\",\"linearizable\":true}"
#define WRITE_OK "{\"type\":\"write_ok\",\"in_reply_to\":%ID,\"index\":9}"
#define PONG     "{\"type\":\"pong\",\"in_reply_to\":%ID,\"node\":\"n1\"}"
#define ERROR(name, code, definite)                                                                \
    "{\"type\":\"error\",\"in_reply_to\":%ID,\"code\":" #code ",\"text\":\"it went wrong\","       \
    "\"error\":\"" name "\",\"definite\":" #definite "}"

/* For what is to be answered, however busy the machine. */
#define PATIENCE_MS 60000u

#define SEEN_MAX 20000

/* What came of one request. */
struct seen {
    unsigned n; /* callbacks: 1 at the end */
    unsigned order;
    enum ridd_status status;
    enum ridd_status cause;
    int definite;
    unsigned attempts;
    uint64_t elapsed_us;
    uint64_t index;
    int linearizable;
    enum ridd_guarantee guarantee;
    char text[RIDD_TEXT_SIZE];
    char endpoint[RIDD_ENDPOINT_SIZE];
};

static unsigned seen_order;
static unsigned seen_inside; /* a call of the library is under way that must run no callback */

static void note(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    struct seen *s = arg;

    (void)client;
    assert_int_equal(seen_inside, 0);
    assert_int_equal(s->n, 0);
    s->n++;
    s->order = ++seen_order;
    s->status = reply->status;
    s->cause = reply->cause;
    s->definite = reply->definite;
    s->attempts = reply->attempts;
    s->elapsed_us = reply->elapsed_us;
    s->index = reply->index;
    s->linearizable = reply->linearizable;
    s->guarantee = reply->guarantee;
    (void)snprintf(s->text, sizeof(s->text), "%s", reply->text);
    (void)snprintf(s->endpoint, sizeof(s->endpoint), "%s", reply->endpoint);
    ridd_reply_free(reply);
}

static inline uint64_t start_op(struct ridd *c, const struct ridd_op *op, struct seen *s)
{
    uint64_t id;

    memset(s, 0, sizeof(*s));
    seen_inside++;
    id = ridd_async_start(c, op, note, s);
    seen_inside--;
    return id;
}

static inline uint64_t start_get(struct ridd *c, const char *key, enum ridd_via via, struct seen *s)
{
    struct ridd_op op = ridd_op(RIDD_OP_GET);

    op.key = ridd_key(key);
    op.via = via;
    return start_op(c, &op, s);
}

static inline uint64_t start_put(struct ridd *c, const char *key, struct seen *s)
{
    struct ridd_op op = ridd_op(RIDD_OP_PUT);

    op.key = ridd_key(key);
    op.value = ridd_value_integer(1);
    return start_op(c, &op, s);
}

/* Turns until every callback has come. */
static inline void run_all(struct ridd *c)
{
    while (ridd_async_pending(c) > 0)
        assert_int_equal(ridd_wait(c, -1), RIDD_OK);
}

static inline void run_until(struct ridd *c, const struct seen *s)
{
    while (s->n == 0)
        assert_int_equal(ridd_wait(c, -1), RIDD_OK);
}

/* Turns until the server was sent so many lines with match in them. */
static inline void run_until_sent(struct ridd *c, struct fake_server *s, const char *match,
                                  unsigned n)
{
    while (fake_count(s, match) < n)
        assert_int_equal(ridd_wait(c, 1), RIDD_OK);
}

static inline struct ridd *open_many(struct fake_server *const *servers, unsigned n,
                                     unsigned timeout_ms, unsigned flags)
{
    struct ridd_options options = {.timeout_ms = timeout_ms, .flags = flags, .seed = 7};
    struct ridd *c = NULL;
    char list[2048] = "";

    for (unsigned i = 0; i < n; i++)
        (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i > 0 ? "," : "",
                       fake_address(servers[i]));
    assert_int_equal(ridd_open(list, &options, &c), RIDD_OK);
    return c;
}

static inline struct ridd *open_one(struct fake_server *server, unsigned timeout_ms, unsigned flags)
{
    return open_many(&server, 1, timeout_ms, flags);
}

static inline void not_leader(char *ret, size_t size, const char *address)
{
    (void)snprintf(
        ret, size,
        "{\"type\":\"error\",\"in_reply_to\":%%ID,\"code\":11,\"text\":\"not the leader\","
        "\"error\":\"not_leader\",\"definite\":true,\"leader_id\":\"n2\",\"leader_addr\":\"%s\"}",
        address);
}

#endif
