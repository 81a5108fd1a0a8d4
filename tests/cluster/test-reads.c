/* A linearizable read never returns an old value: not from a leader that slept through its own
 * deposition, not under kills, freezes and transfers.
 *
 * The checker is for keys with one writer each that counts up: a read may return nothing older than
 * the newest value acknowledged, or returned by another read, before it began, and nothing newer
 * than what was asked before it ended. A write of unknown outcome may come true at any later time,
 * so its key is given up and the writer takes a new one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

static void must_write(struct cluster *c, const char *key, int value)
{
    struct client *cl = client_open(c, cluster_leader(c));
    char ask[128];

    (void)snprintf(ask, sizeof(ask), "{\"type\":\"write\",\"key\":\"%s\",\"value\":%d}", key,
                   value);
    client_expect(cl, ask, "{\"type\":\"write_ok\"}");
    client_close(cl);
}

/* ---- the leader that slept ---- */

/* An error that says that it does not know, or the new value. */
static void judge(const json_t *reply, int64_t newest)
{
    const char *error = reply_str(reply, "error");
    const json_t *value = json_object_get(reply, "value");

    if (reply_is(reply, "error")) {
        if (strcmp(error, "not_leader") != 0 && strcmp(error, "term_changed") != 0 &&
            strcmp(error, "role_changed") != 0 && strcmp(error, "network") != 0 &&
            strcmp(error, "timeout") != 0)
            harness_fail("an error of another kind: %s: %s", error, reply_str(reply, "text"));
        return;
    }
    if (reply_is(reply, "batch_read_index_ok"))
        value = json_object_get(json_array_get(json_object_get(reply, "values"), 0), "value");
    if (!json_is_integer(value) || json_integer_value(value) != newest)
        harness_fail("STALE: %s returned %lld, after %lld was acknowledged",
                     reply_str(reply, "type"),
                     json_is_integer(value) ? (long long)json_integer_value(value) : -1LL,
                     (long long)newest);
}

CASE(reads__leader_that_slept)
{
    struct cluster *c = cluster_up(3, NULL);
    int newest = 0;

    for (unsigned round = 0; round < 3; round++) {
        unsigned old = cluster_leader(c);
        struct client *cl[6];

        must_write(c, "s", ++newest);
        for (unsigned i = 0; i < 5; i++) {
            cl[i] = client_open(c, old);
            client_expect(cl[i], "{\"type\":\"ping\"}", "{\"type\":\"pong\",<*>}");
        }
        /* Rounds that are open when it falls asleep: their answers wait in its sockets when it
         * wakes. */
        for (unsigned i = 0; i < 64; i++)
            client_send(cl[4], "{\"type\":\"read_index\",\"key\":\"s\",\"timeout_ms\":20000}");
        node_stop(c, old);
        must_write(c, "s", ++newest); /* waits for the election among the others */
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 0; k < 20; k++)
                client_send(cl[i], k % 4 == 0   ? "{\"type\":\"read_index\",\"key\":\"s\"}"
                                   : k % 4 == 1 ? "{\"type\":\"read_via_log\",\"key\":\"s\"}"
                                   : k % 4 == 2 ? "{\"type\":\"batch_read_index\",\"keys\":[\"s\"]}"
                                                : "{\"type\":\"read\",\"key\":\"s\"}");
        node_continue(c, old);
        cl[5] = client_open(c, old);
        client_send(cl[5], "{\"type\":\"read_index\",\"key\":\"s\"}");
        for (unsigned i = 0; i < 4; i++) {
            for (unsigned k = 0; k < 20; k++) {
                json_t *reply = client_recv_json(cl[i]);

                judge(reply, newest);
                json_decref(reply);
            }
        }
        {
            json_t *reply = client_recv_json(cl[5]);

            judge(reply, newest);
            json_decref(reply);
        }
        /* These began before the write: either value is right, but each has its answer. */
        for (unsigned i = 0; i < 64; i++)
            (void)client_recv(cl[4]);
        for (unsigned i = 0; i < 6; i++)
            client_close(cl[i]);
    }
    cluster_free(c);
}

/* Requests caught in the middle: reads fail for certain, a write without certainty. */
CASE(reads__term_changes_under_requests)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned old = cluster_leader(c);
    struct client *cl = client_open(c, old);

    must_write(c, "t", 1);
    node_stop(c, (old + 1) % 3);
    node_stop(c, (old + 2) % 3);
    client_send(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"t\",\"timeout_ms\":60000}");
    client_send(cl,
                "{\"type\":\"write\",\"msg_id\":2,\"key\":\"t\",\"value\":2,\"timeout_ms\":60000}");
    client_send(cl, "{\"type\":\"read_via_log\",\"msg_id\":3,\"key\":\"t\",\"timeout_ms\":60000}");
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":4}",
                  "{\"type\":\"pong\",\"in_reply_to\":4,<*>}");
    node_stop(c, old);
    node_continue(c, (old + 1) % 3);
    node_continue(c, (old + 2) % 3);
    (void)cluster_leader(c);
    must_write(c, "t", 3);
    node_continue(c, old);
    for (unsigned i = 0; i < 3; i++) {
        json_t *reply = client_recv_json(cl);
        const char *error = reply_str(reply, "error");
        bool is_write = reply_int(reply, "in_reply_to") == 2;

        assert_true(reply_is(reply, "error"));
        if (strcmp(error, "term_changed") == 0) {
            assert_true(reply_int(reply, "term") > reply_int(reply, "old_term"));
            assert_non_null(json_object_get(reply, "leader_id"));
        } else {
            assert_string_equal(error, "role_changed");
            assert_string_equal(reply_str(reply, "role"), "follower");
        }
        assert_int_equal(reply_int(reply, "code"), is_write ? 13 : 11);
        assert_int_equal(json_is_true(json_object_get(reply, "definite")), !is_write);
        json_decref(reply);
    }
    client_close(cl);
    cl = client_open(c, cluster_leader(c));
    client_expect(cl, "{\"type\":\"read\",\"key\":\"t\"}", "{\"type\":\"read_ok\",\"value\":3}");
    client_close(cl);
    cluster_free(c);
}

/* ---- the checker ---- */

#define WRITERS 4u
#define READERS 6u
#define DEPTH   4u
#define SLOTS   64u

struct reg {
    unsigned generation;
    int64_t floor;     /* newest acknowledged or returned */
    int64_t attempted; /* newest asked for */
};

struct pending {
    uint64_t msg_id;
    unsigned reg;
    unsigned generation;
    int64_t floor;
};

struct checker {
    struct reg regs[WRITERS];
    struct pending pending[WRITERS + READERS][SLOTS];
    uint32_t seed;
    uint64_t n_reads;
    uint64_t n_writes;
};

static uint32_t draw(struct checker *k, uint32_t below)
{
    k->seed = k->seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(k->seed >> 4) * below) >> 28);
}

static bool next_checked(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct checker *k = ctx;
    struct pending *p = &k->pending[client][msg_id % SLOTS];
    unsigned which = client < WRITERS ? client : draw(k, WRITERS);
    struct reg *r = &k->regs[which];

    *p = (struct pending){msg_id, which, r->generation, r->floor};
    if (client < WRITERS) {
        r->attempted++;
        (void)snprintf(fields, size, "\"type\":\"write\",\"key\":\"r%u.%u\",\"value\":%lld", which,
                       r->generation, (long long)r->attempted);
        return true;
    }
    switch (draw(k, 4)) {
    case 0:
        (void)snprintf(fields, size, "\"type\":\"read_via_log\",\"key\":\"r%u.%u\"", which,
                       r->generation);
        break;
    case 1:
        (void)snprintf(fields, size, "\"type\":\"batch_read_index\",\"keys\":[\"r%u.%u\"]", which,
                       r->generation);
        break;
    default:
        (void)snprintf(fields, size, "\"type\":\"read_index\",\"key\":\"r%u.%u\"", which,
                       r->generation);
        break;
    }
    return true;
}

static void write_checked(struct checker *k, struct reg *r, const json_t *reply)
{
    if (reply != NULL && reply_is(reply, "write_ok")) {
        r->floor = r->attempted;
        k->n_writes++;
    } else if (reply == NULL || !json_is_true(json_object_get(reply, "definite"))) {
        r->generation++;
        r->floor = 0;
        r->attempted = 0;
    } else {
        r->attempted--; /* certainly did not happen: the same number again */
    }
}

static void checked(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct checker *k = ctx;
    const struct pending *p = &k->pending[client][msg_id % SLOTS];
    struct reg *r = &k->regs[p->reg];
    const json_t *value = json_object_get(reply, "value");
    int64_t got;

    assert_true(p->msg_id == msg_id);
    if (client < WRITERS) {
        write_checked(k, r, reply);
        return;
    }
    if (reply == NULL)
        return;
    if (reply_is(reply, "error")) {
        if (!json_is_true(json_object_get(reply, "definite")))
            harness_fail("a read that failed and is not definite: %s", reply_str(reply, "text"));
        return;
    }
    if (reply_is(reply, "batch_read_index_ok"))
        value = json_object_get(json_array_get(json_object_get(reply, "values"), 0), "value");
    got = json_is_integer(value) ? (int64_t)json_integer_value(value) : 0;
    k->n_reads++;
    if (got < p->floor)
        harness_fail("STALE: %s of r%u.%u returned %lld, after %lld had been seen",
                     reply_str(reply, "type"), p->reg, p->generation, (long long)got,
                     (long long)p->floor);
    if (p->generation != r->generation)
        return; /* the key was given up meanwhile */
    if (got > r->attempted)
        harness_fail("r%u.%u returned %lld, and only %lld was ever asked for", p->reg,
                     p->generation, (long long)got, (long long)r->attempted);
    if (got > r->floor)
        r->floor = got;
}

static void check_on(struct swarm *writers, struct swarm *readers, struct checker *k,
                     unsigned n_reads, unsigned n_writes)
{
    uint64_t reads = k->n_reads + n_reads;
    uint64_t writes = k->n_writes + n_writes;
    uint64_t deadline = now_ms() + slow(2 * WAIT_MS);

    while (k->n_reads < reads || k->n_writes < writes) {
        if (now_ms() > deadline)
            harness_fail("no progress");
        swarm_turn(writers, 1);
        swarm_turn(readers, 1);
    }
}

static void reader_checked(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    checked(ctx, client + WRITERS, msg_id, reply);
}

static bool next_reader(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    return next_checked(ctx, client + WRITERS, msg_id, fields, size);
}

CASE(reads__never_older_than_acknowledged)
{
    static const struct swarm_ops writer_ops = {next_checked, checked};
    static const struct swarm_ops reader_ops = {next_reader, reader_checked};
    struct cluster *c = cluster_up(3, NULL);
    cleanup_free struct checker *k = calloc(1, sizeof(*k));
    struct swarm *writers = swarm_new(c, WRITERS, 1, &writer_ops, k);
    struct swarm *readers = swarm_new(c, READERS, DEPTH, &reader_ops, k);

    k->seed = (uint32_t)now_ms();
    print_message("seed=%u\n", k->seed);
    swarm_set_patience(writers, (unsigned)slow(1000));
    swarm_set_patience(readers, (unsigned)slow(1000));
    check_on(writers, readers, k, 500, 100);
    for (unsigned round = 0; round < 6; round++) {
        unsigned leader = cluster_leader(c);
        struct client *cl;

        switch (round % 3) {
        case 0: /* sleeps until the others have gone on, and wakes with requests in its sockets */
            node_stop(c, leader);
            check_on(writers, readers, k, 300, 60);
            node_continue(c, leader);
            break;
        case 1:
            cl = client_open(c, leader);
            client_send(cl, "{\"type\":\"transfer_leader\"}");
            check_on(writers, readers, k, 300, 60);
            (void)client_recv(cl);
            client_close(cl);
            break;
        default:
            node_kill(c, leader);
            check_on(writers, readers, k, 300, 60);
            node_start(c, leader);
            break;
        }
        check_on(writers, readers, k, 300, 60);
    }
    swarm_drain(writers);
    swarm_drain(readers);
    swarm_free(writers);
    swarm_free(readers);
    print_message("%llu reads, %llu writes checked\n", (unsigned long long)k->n_reads,
                  (unsigned long long)k->n_writes);
    cluster_free(c);
}

/* ---- compare_read_methods ---- */

static bool comparing(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    bool is = json_object_get(status, "compare") != NULL;

    json_decref(status);
    return is;
}

CASE(reads__compare)
{
    static const char long_run[] =
        "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":100000,\"concurrency\":4}";
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    struct client *cl = client_open(c, leader);
    struct client *second = client_open(c, leader);
    struct client *elsewhere = client_open(c, (leader + 1) % 3);

    client_expect(
        cl, "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":100}",
        "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":1,\"read_index_avg_ms\":<n>,"
        "\"read_via_log_avg_ms\":<n>,\"both_linearizable\":true}");
    client_expect(
        cl,
        "{\"type\":\"compare_read_methods\",\"msg_id\":1,\"num_reads\":200,\"concurrency\":"
        "32,\"methods\":[\"local_read\"],\"verbose\":true}",
        "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":1,\"read_index_avg_ms\":<n>,"
        "\"read_via_log_avg_ms\":<n>,\"both_linearizable\":true,<*>}");
    client_expect(elsewhere, "{\"type\":\"compare_read_methods\",\"msg_id\":2,\"num_reads\":100}",
                  "{\"type\":\"error\",\"in_reply_to\":2,\"code\":11,\"text\":<s>,\"error\":"
                  "\"not_leader\",\"definite\":true,\"leader_id\":<s>,\"leader_addr\":<s>}");
    assert_false(comparing(c, leader));
    client_send(cl, long_run);
    wait_until(({
                   json_t *status = node_status(c, leader);
                   const json_t *run = json_object_get(status, "compare");
                   bool ok = reply_int(run, "done") > 0;

                   if (run != NULL)
                       assert_int_equal(reply_int(run, "total"), 200000);
                   json_decref(status);
                   ok;
               }),
               "progress of the run");
    client_expect(
        second, "{\"type\":\"compare_read_methods\",\"msg_id\":3,\"num_reads\":1}",
        "{\"type\":\"error\",\"in_reply_to\":3,\"code\":11,\"text\":<s>,\"error\":\"busy\","
        "\"definite\":true,\"limit\":1,\"retry_after_ms\":<n>,\"done\":<n>,\"total\":200000,"
        "\"client\":<s>}");
    /* The asker goes away: so does the run. (A mere end of file is a half-close: the answer is
     * still owed.) */
    client_reset(cl);
    wait_until(!comparing(c, leader), "the end of a run that nobody waits for");
    client_expect(second, "{\"type\":\"compare_read_methods\",\"msg_id\":4,\"num_reads\":10}",
                  "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":4,<*>}");
    /* Leadership changes in the middle: an error, never a verdict. */
    client_send(second, long_run);
    wait_until(comparing(c, leader), "the run");
    node_stop(c, leader);
    must_write(c, "other", 1);
    node_continue(c, leader);
    client_expect_reply(second, "{\"type\":\"error\",\"in_reply_to\":1,\"code\":11,\"text\":<s>,<*>"
                                "\"definite\":true,<*>}");
    wait_until(!comparing(c, leader), "the end of the run");
    client_close(second);
    client_close(elsewhere);
    /* Half-closed: the verdict comes, then the end. */
    leader = cluster_leader(c);
    cl = client_open(c, leader);
    client_send(cl, "{\"type\":\"compare_read_methods\",\"num_reads\":100}");
    client_half_close(cl);
    client_expect_reply(cl, "{\"type\":\"compare_read_methods_ok\",<*>\"both_linearizable\":true}");
    client_expect_end(cl);
    client_close(cl);
    /* And killed in the middle. */
    leader = cluster_leader(c);
    cl = client_open(c, leader);
    client_send(cl, long_run);
    wait_until(comparing(c, leader), "the run");
    node_kill(c, leader);
    client_expect_end(cl);
    client_close(cl);
    leader = cluster_leader(c);
    cl = client_open(c, leader);
    client_expect(cl, "{\"type\":\"compare_read_methods\",\"msg_id\":5,\"num_reads\":10}",
                  "{\"type\":\"compare_read_methods_ok\",\"in_reply_to\":5,<*>}");
    client_close(cl);
    cluster_free(c);
}

/* ---- transfers under traffic ---- */

CASE(reads__transfers_lose_nothing)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 6, 8, "x", 10);
    writers_run(&w, 200);
    for (unsigned round = 0; round < 4; round++) {
        unsigned leader = cluster_leader(c);
        struct client *cl = client_open(c, leader);
        json_t *reply;

        client_send(cl, "{\"type\":\"transfer_leader\",\"msg_id\":1}");
        writers_run(&w, 300);
        reply = client_recv_json(cl);
        if (!reply_is(reply, "transfer_leader_ok"))
            harness_fail("no transfer: %s", reply_str(reply, "text"));
        json_decref(reply);
        client_close(cl);
    }
    writers_stop(&w);
    print_message("%llu acknowledged, %llu unknown, %llu failed\n",
                  (unsigned long long)w.n_acknowledged, (unsigned long long)w.n_unknown,
                  (unsigned long long)w.n_failed);
    writers_verify(&w, c);
    writers_done(&w);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(reads__leader_that_slept),
        HARNESS_TEST(reads__term_changes_under_requests),
        HARNESS_TEST(reads__never_older_than_acknowledged),
        HARNESS_TEST(reads__compare),
        HARNESS_TEST(reads__transfers_lose_nothing),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
