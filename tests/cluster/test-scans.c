/* Pages of keys and session reads, from real nodes: each page is of one state, whoever writes
 * meanwhile (SCAN-1), and who goes from node to node with what it has seen never goes back in time,
 * through changes of the members, and not beyond a cluster that is lost (TOKEN-1). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define N_KEYS 300

static json_t *ask(struct cluster *c, unsigned node, const char *line)
{
    struct client *cl = client_open(c, node);
    json_t *reply = client_ask_json(cl, line);

    client_close(cl);
    assert_non_null(reply);
    return reply;
}

static void write_keys(struct cluster *c)
{
    struct client *cl = client_open(c, cluster_leader(c));

    for (unsigned i = 0; i < N_KEYS; i++)
        client_sendf(cl, "{\"type\":\"write\",\"key\":\"key %03u\",\"value\":{\"n\":%u}}", i, i);
    for (unsigned i = 0; i < N_KEYS; i++)
        assert_true(strcmp(client_recv(cl), "{\"type\":\"write_ok\"}") == 0);
    client_close(cl);
}

/* All of them in pages of some items, the next node with each page. Where `via` is "local" the token
 * of each is taken to the next. */
static void turn_pages(struct cluster *c, const char *via, unsigned limit, unsigned n_nodes)
{
    unsigned node = cluster_leader(c);
    int64_t seen = 0;
    unsigned n = 0;
    bool more = true;

    while (more) {
        char line[320];
        json_t *page;
        const json_t *items;

        (void)snprintf(line, sizeof(line),
                       "{\"type\":\"scan\",\"prefix\":\"key \",\"after\":\"key %03d\",\"limit\":%u,"
                       "\"via\":\"%s\",\"min_index\":%lld}",
                       (int)n - 1, limit, via, (long long)seen);
        page = ask(c, node, line);
        if (!reply_is(page, "scan_ok"))
            harness_fail("%s: %s: %s", line, reply_str(page, "error"), reply_str(page, "text"));
        items = json_object_get(page, "items");
        assert_true(json_array_size(items) > 0);
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *item = json_array_get(items, i);
            char key[16];

            (void)snprintf(key, sizeof(key), "key %03u", n);
            assert_string_equal(reply_str(item, "key"), key);
            assert_int_equal(reply_int(json_object_get(item, "value"), "n"), n);
            n++;
        }
        more = json_is_true(json_object_get(page, "more"));
        if (strcmp(via, "local") == 0) {
            assert_true(reply_int(page, "applied_index") >= seen);
            seen = reply_int(page, "applied_index");
            node = (node + 1) % n_nodes;
        } else {
            assert_true(json_is_true(json_object_get(page, "linearizable")));
            seen = reply_int(page, "read_at_index");
        }
        json_decref(page);
    }
    assert_int_equal(n, N_KEYS);
}

CASE(scans__pages_of_every_method)
{
    static const char *const vias[] = {"read_index", "log", "local"};
    struct cluster *c = cluster_up(3, NULL);

    write_keys(c);
    (void)cluster_settle(c);
    for (unsigned i = 0; i < 3; i++) {
        turn_pages(c, vias[i], 7, 3);
        turn_pages(c, vias[i], 1000, 3);
    }
    cluster_free(c);
}

/* ---- one state ---- */

/* One writer counts up ten keys in turn: in every state there is one place where the values step
 * down by one, and none where they step up. A page of two states, or one that leaves out a key, has
 * another form. */
struct counting {
    unsigned next;   /* of the next write */
    int64_t written; /* acknowledged */
};

#define N_COUNTERS 10u

static bool next_count(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct counting *k = ctx;

    (void)client;
    (void)msg_id;
    (void)snprintf(fields, size, "\"type\":\"write\",\"key\":\"c%u\",\"value\":%u",
                   k->next % N_COUNTERS, k->next / N_COUNTERS);
    k->next++;
    return true;
}

static void counted(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct counting *k = ctx;

    (void)client;
    (void)msg_id;
    if (reply != NULL && reply_is(reply, "write_ok"))
        k->written++;
    else if (reply != NULL && json_is_true(json_object_get(reply, "definite")))
        k->next--; /* once more: it was no leader that was asked */
    else
        harness_fail("the fate of a write is not known: %s", reply_str(reply, "text"));
}

static void judge_page(const json_t *page, int64_t written_before, const char *what)
{
    const json_t *items = json_object_get(page, "items");
    int64_t first = -1;
    int64_t before = -1;
    unsigned steps = 0;
    int64_t sum = 0;

    if (!reply_is(page, "scan_ok"))
        harness_fail("%s: %s: %s", what, reply_str(page, "error"), reply_str(page, "text"));
    /* Shorter than asked where the machine is busy: what is there must be right all the same. */
    assert_true(json_array_size(items) > 0);
    assert_true(json_array_size(items) == N_COUNTERS ||
                json_is_true(json_object_get(page, "more")));
    for (unsigned i = 0; i < json_array_size(items); i++) {
        const int64_t v = reply_int(json_array_get(items, i), "value");

        if (i == 0)
            first = v;
        else if (v > before)
            harness_fail("%s: c%u is ahead of the one in front of it: two states", what, i);
        steps += i > 0 && v < before;
        if (v < first - 1)
            harness_fail("%s: c%u is %lld behind: two states", what, i, (long long)(first - v));
        before = v;
        sum += v + 1;
    }
    assert_true(steps <= 1);
    /* As many as were written when it was asked, at least (READ-1). */
    if (json_array_size(items) == N_COUNTERS &&
        json_is_true(json_object_get(page, "linearizable")) && sum < written_before)
        harness_fail("STALE: %s shows %lld writes, %lld were acknowledged", what, (long long)sum,
                     (long long)written_before);
}

CASE(scans__a_page_is_of_one_state_while_writers_write)
{
    static const char *const vias[] = {"read_index", "log", "local"};
    static const struct swarm_ops ops = {next_count, counted};
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    struct counting k = {0, 0};
    struct swarm *s = swarm_new(c, 1, 1, &ops, &k);
    unsigned leader = cluster_leader(c);
    struct client *cl[3];
    unsigned n_pages = 0;
    int64_t seen = 0;

    while (k.written < 2 * N_COUNTERS)
        swarm_turn(s, 10);
    for (unsigned i = 0; i < 3; i++)
        cl[i] = client_open(c, i);
    for (unsigned round = 0; round < 600; round++) {
        const char *via = vias[round % 3];
        const unsigned node = round % 3 == 2 ? round / 3 % 3 : leader;
        const int64_t before = k.written;
        const char *line;
        json_t *page;

        client_sendf(cl[node],
                     "{\"type\":\"scan\",\"prefix\":\"c\",\"via\":\"%s\",\"min_index\":%lld}", via,
                     (long long)seen);
        while ((line = client_recv_within(cl[node], 0)) == NULL && !cl[node]->ended)
            swarm_turn(s, 1);
        page = line != NULL ? json_loads(line, 0, NULL) : NULL;
        assert_non_null(page);
        if (strcmp(reply_str(page, "error"), "not_leader") == 0) {
            leader = cluster_leader(c);
            json_decref(page);
            continue;
        }
        n_pages++;
        judge_page(page, before, via);
        if (round % 3 == 2) {
            assert_true(reply_int(page, "applied_index") >= seen);
            seen = reply_int(page, "applied_index");
        } else {
            seen = reply_int(page, "read_at_index");
        }
        json_decref(page);
    }
    swarm_drain(s);
    swarm_free(s);
    for (unsigned i = 0; i < 3; i++)
        client_close(cl[i]);
    assert_true(k.written > 100);
    assert_true(n_pages > 300);
    cluster_free(c);
}

/* ---- tokens ---- */

static void hash_of(struct cluster *c, unsigned node, char ret[64])
{
    json_t *status = node_status(c, node);

    assert_non_null(status);
    (void)snprintf(ret, 64, "%s", reply_str(status, "cluster_hash"));
    assert_true(strlen(ret) == 16);
    json_decref(status);
}

static json_t *local_read(struct cluster *c, unsigned node, int64_t min_index, const char *hash,
                          unsigned timeout_ms)
{
    char line[320];

    (void)snprintf(
        line, sizeof(line),
        "{\"type\":\"local_read\",\"key\":\"key 001\",\"min_index\":%lld,\"cluster\":\"%s\","
        "\"timeout_ms\":%u}",
        (long long)min_index, hash, timeout_ms);
    return ask(c, node, line);
}

/* A follower that stood still answers when it has what was seen, or says in time that it has not. */
CASE(scans__a_follower_that_lags_is_waited_for)
{
    struct cluster *c = cluster_up_without_syncs(3, NULL);
    unsigned leader = cluster_leader(c);
    unsigned lags = (leader + 1) % 3;
    struct client *cl;
    char hash[64];
    int64_t seen;
    json_t *reply;

    write_keys(c);
    (void)cluster_settle(c);
    hash_of(c, lags, hash);
    cl = client_open(c, lags);
    node_stop(c, lags);
    write_keys(c);
    reply = ask(c, leader, "{\"type\":\"read_index\",\"key\":\"key 001\"}");
    seen = reply_int(reply, "read_at_index");
    json_decref(reply);
    client_sendf(
        cl, "{\"type\":\"local_read\",\"key\":\"key 001\",\"min_index\":%lld,\"cluster\":\"%s\"}",
        (long long)seen, hash);
    node_continue(c, lags);
    reply = client_recv_json(cl);
    assert_true(reply_is(reply, "local_read_ok"));
    assert_true(reply_int(reply, "applied_index") >= seen);
    json_decref(reply);
    client_close(cl);
    reply = local_read(c, lags, seen + 1000000, hash, 200);
    assert_string_equal(reply_str(reply, "error"), "timeout");
    assert_string_equal(reply_str(reply, "stage"), "apply");
    assert_true(json_is_true(json_object_get(reply, "definite")));
    json_decref(reply);
    reply = local_read(c, lags, seen, "0000000000000000", 5000);
    assert_string_equal(reply_str(reply, "error"), "precondition_failed");
    json_decref(reply);
    cluster_free(c);
}

/* What was seen before the cluster had its random id is good after it, on every node. */
CASE(scans__a_token_outlives_changes_of_the_members)
{
    struct cluster *c = cluster_up(3, NULL);
    char hash[64];
    char now[64];
    json_t *reply;
    int64_t seen;

    write_keys(c);
    seen = (int64_t)cluster_settle(c);
    hash_of(c, 0, hash);
    reply = ask(c, cluster_leader(c),
                cluster_leader(c) == 0 ? "{\"type\":\"member_demote\",\"id\":\"n2\"}"
                                       : "{\"type\":\"member_demote\",\"id\":\"n1\"}");
    if (!reply_is(reply, "member_demote_ok"))
        harness_fail("%s: %s", reply_str(reply, "error"), reply_str(reply, "text"));
    json_decref(reply);
    for (unsigned i = 0; i < 3; i++) /* the change has come, and with it the id */
        wait_until(file_size(c->nodes[i].dir) > 0 && cluster_settle(c) > (uint64_t)seen,
                   "the change of the members");
    for (unsigned i = 0; i < 3; i++) {
        hash_of(c, i, now);
        assert_string_equal(now, hash);
        reply = local_read(c, i, seen, hash, 5000);
        assert_true(reply_is(reply, "local_read_ok"));
        json_decref(reply);
    }
    /* And after a start that finds the id in the directory. */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_terminate(c, i), 0);
    cluster_start(c);
    for (unsigned i = 0; i < 3; i++) {
        hash_of(c, i, now);
        assert_string_equal(now, hash);
    }
    cluster_free(c);
}

/* Who goes on alone may lack what was seen: it says so, each time that it does, and through starts. */
CASE(scans__a_token_ends_with_a_lost_majority)
{
    struct cluster *c = cluster_up(3, NULL);
    char hashes[3][64];
    json_t *reply;
    unsigned left = 1;

    write_keys(c);
    (void)cluster_settle(c);
    hash_of(c, left, hashes[0]);
    for (unsigned i = 0; i < 3; i++)
        node_kill(c, i);
    c->n_members = 1;
    for (unsigned round = 1; round < 3; round++) {
        const char *argv[] = {ridd_path(), "--recover-alone", c->nodes[left].dir, "--yes", NULL};
        cleanup_buf struct buf out = BUF_INIT;

        expect_code(run_program(argv, &out), 0, &out);
        for (unsigned start = 0; start < 2; start++) {
            node_start(c, left);
            node_wait_logged(c, left, "role=leader");
            hash_of(c, left, hashes[round]);
            for (unsigned before = 0; before < round; before++) {
                assert_true(strcmp(hashes[before], hashes[round]) != 0);
                reply = local_read(c, left, 5, hashes[before], 5000);
                assert_string_equal(reply_str(reply, "error"), "precondition_failed");
                json_decref(reply);
            }
            reply = local_read(c, left, 5, hashes[round], 5000);
            assert_true(reply_is(reply, "local_read_ok"));
            json_decref(reply);
            assert_int_equal(node_terminate(c, left), 0);
        }
    }
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(scans__pages_of_every_method),
        HARNESS_TEST(scans__a_page_is_of_one_state_while_writers_write),
        HARNESS_TEST(scans__a_follower_that_lags_is_waited_for),
        HARNESS_TEST(scans__a_token_outlives_changes_of_the_members),
        HARNESS_TEST(scans__a_token_ends_with_a_lost_majority),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
