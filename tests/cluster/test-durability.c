/* An acknowledged write is never lost, whatever is killed: read back after each disaster. A write
 * that failed definitely is never there either. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

static void end(struct writers *w, struct cluster *c)
{
    writers_done(w);
    cluster_free(c);
}

/* ---- kill -9 ---- */

CASE(durability__leaders_killed_under_writes)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 6, 8, "k", 10);
    for (unsigned round = 0; round < 3; round++) {
        unsigned leader;

        writers_run(&w, 300);
        leader = cluster_leader(c);
        node_kill(c, leader);
        writers_run(&w, 300); /* the other two go on */
        node_start(c, leader);
    }
    writers_run(&w, 300);
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

CASE(durability__all_killed_at_once)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 6, 16, "a", 100);
    for (unsigned round = 0; round < 2; round++) {
        writers_run(&w, 500);
        for (unsigned i = 0; i < c->n; i++)
            node_signal(c, i, SIGKILL);
        for (unsigned i = 0; i < c->n; i++)
            assert_int_equal(node_wait_exit(c, i), 128 + SIGKILL);
        cluster_start(c);
        for (unsigned i = 0; i < c->n; i++)
            assert_true(node_logged(c, i, "found=same_boot"));
    }
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

CASE(durability__one_node)
{
    struct cluster *c = cluster_up(1, NULL);
    struct writers w;

    writers_init(&w, c, 4, 8, "o", 10);
    for (unsigned round = 0; round < 2; round++) {
        writers_run(&w, 200);
        node_kill(c, 0);
        node_start(c, 0);
    }
    writers_run(&w, 50);
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

CASE(durability__five_nodes_two_down)
{
    struct cluster *c = cluster_up(5, NULL);
    struct writers w;
    unsigned first;
    unsigned second;

    writers_init(&w, c, 5, 8, "f", 10);
    writers_run(&w, 200);
    first = cluster_leader(c);
    node_kill(c, first);
    writers_run(&w, 100);
    second = cluster_leader(c);
    node_kill(c, second);
    writers_run(&w, 100);
    node_start(c, first);
    writers_run(&w, 50);
    node_start(c, second);
    writers_stop(&w);
    writers_verify(&w, c);
    (void)cluster_settle(c);
    end(&w, c);
}

/* ---- cas counters ---- */

/* Each client counts its own key up by cas. What it does not know after a broken connection it
 * reads. */
struct counters {
    struct {
        int64_t known;     /* the last acknowledged or read value */
        int64_t attempted; /* the largest value ever sent as `to` */
        bool reading;
        bool unsure; /* some outcome was unknown: that cas may still have come true after a read */
    } of[8];
    uint64_t n_acknowledged;
};

static bool next_cas(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct counters *k = ctx;
    int64_t known = k->of[client].known;

    (void)msg_id;
    if (k->of[client].reading) {
        (void)snprintf(fields, size, "\"type\":\"read_index\",\"key\":\"c%u\"", client);
        return true;
    }
    (void)snprintf(fields, size,
                   "\"type\":\"cas\",\"key\":\"c%u\",\"from\":%lld,\"to\":%lld,"
                   "\"create_if_not_exists\":true",
                   client, (long long)known, (long long)known + 1);
    k->of[client].attempted = known + 1;
    return true;
}

static void cas_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct counters *k = ctx;

    (void)msg_id;
    if (reply != NULL && reply_is(reply, "cas_ok")) {
        k->of[client].known++;
        k->n_acknowledged++;
    } else if (reply != NULL && reply_is(reply, "read_index_ok")) {
        const json_t *v = json_object_get(reply, "value");
        int64_t value = json_is_integer(v) ? (int64_t)json_integer_value(v) : 0;

        if (value < k->of[client].known || value > k->of[client].attempted)
            harness_fail("counter c%u is %lld, after %lld was acknowledged and %lld asked", client,
                         (long long)value, (long long)k->of[client].known,
                         (long long)k->of[client].attempted);
        k->of[client].known = value;
        k->of[client].reading = false;
    } else if (reply != NULL && reply_int(reply, "code") == 22) {
        if (!k->of[client].unsure)
            harness_fail("cas of counter c%u from %lld differs", client,
                         (long long)k->of[client].known);
        k->of[client].reading = true;
    } else if (!k->of[client].reading) {
        k->of[client].reading = true;
        k->of[client].unsure |= reply == NULL || !json_is_true(json_object_get(reply, "definite"));
    }
}

static void count_on(struct swarm *s, struct counters *k, unsigned n_more)
{
    uint64_t goal = k->n_acknowledged + n_more;
    uint64_t deadline = now_ms() + slow(2 * WAIT_MS);

    while (k->n_acknowledged < goal) {
        if (now_ms() > deadline)
            harness_fail("counting does not go on");
        swarm_turn(s, 20);
    }
}

CASE(durability__cas_counters)
{
    static const struct swarm_ops ops = {next_cas, cas_done};
    struct cluster *c = cluster_up(3, NULL);
    struct counters k = {0};
    struct swarm *s = swarm_new(c, 8, 1, &ops, &k);
    struct client *cl;

    for (unsigned round = 0; round < 2; round++) {
        unsigned leader;

        count_on(s, &k, 150);
        leader = cluster_leader(c);
        node_kill(c, leader);
        count_on(s, &k, 150);
        node_start(c, leader);
    }
    swarm_drain(s);
    swarm_free(s);
    cl = client_open(c, cluster_leader(c));
    for (unsigned i = 0; i < 8; i++) {
        char ask[64];
        json_t *reply;

        (void)snprintf(ask, sizeof(ask), "{\"type\":\"read_index\",\"key\":\"c%u\"}", i);
        reply = client_ask_json(cl, ask);
        assert_true(reply_int(reply, "value") >= k.of[i].known);
        assert_true(reply_int(reply, "value") <= k.of[i].attempted);
        json_decref(reply);
    }
    client_close(cl);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(durability__leaders_killed_under_writes),
        HARNESS_TEST(durability__all_killed_at_once),
        HARNESS_TEST(durability__one_node),
        HARNESS_TEST(durability__five_nodes_two_down),
        HARNESS_TEST(durability__cas_counters),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
