/* The leader's process dies: who notices, what follows, and what does not count.
 *
 * No case asks how long anything takes. Nodes have an election timeout of a minute instead, so that whatever happens within a
 * helper's deadline did not come of silence. (They are started with short times, for somebody must be elected first.) */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cluster/harness.h"

#include "base/banned.h"

#define KILLS 4u

static char long_conf[300];

/* Each node to each other one. */
static bool are_linked(struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        json_t *const status = node_status(c, i);
        const json_t *const peers = json_object_get(status, "peers");
        bool all = json_array_size(peers) + 1 == c->n;

        for (size_t k = 0; k < json_array_size(peers); k++)
            all = all && json_is_true(json_object_get(json_array_get(peers, k), "connected"));
        json_decref(status);
        if (!all)
            return false;
    }
    return true;
}

static void restart_patiently(struct cluster *c, unsigned i)
{
    (void)node_terminate(c, i);
    c->nodes[i].conf = long_conf;
    node_start(c, i);
    wait_until(are_linked(c), "links");
    (void)cluster_settle(c);
}

static struct cluster *patient_up(const char *more)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    char extra[256];

    (void)snprintf(extra, sizeof(extra), "[raft]\nheartbeat_ms = 200\nelection_ms = 60000\n%s",
                   more);
    (void)snprintf(long_conf, sizeof(long_conf), "%s/patient.conf", c->dir);
    cluster_write_conf_to(c, long_conf, "test", extra);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            restart_patiently(c, i);
    restart_patiently(c, leader); /* it hands over */
    return c;
}

static char *gone(const struct cluster *c, unsigned i)
{
    static char text[64];

    (void)snprintf(text, sizeof(text), "event=leader_gone peer=%s", c->nodes[i].name);
    return text;
}

static void write_one(struct cluster *c, unsigned node, unsigned number)
{
    struct client *cl = client_open(c, node);

    client_sendf(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"k\",\"value\":%u}", number);
    client_expect_reply(cl, "{\"type\":\"write_ok\",\"in_reply_to\":1<*>}");
    client_close(cl);
}

/* FAILOVER-1, FAILOVER-3: both others find it gone, one of them is elected, and what was written is there. */
CASE(failover__a_leader_that_is_killed_is_replaced)
{
    struct cluster *c = patient_up("");

    for (unsigned k = 0; k < KILLS; k++) {
        const unsigned was = cluster_leader(c);
        unsigned is;
        unsigned n_gone = 0;

        write_one(c, was, k);
        node_kill(c, was);
        is = cluster_leader(c);
        assert_int_not_equal(is, was);
        node_wait_logged(c, is, gone(c, was));
        for (unsigned i = 0; i < 3; i++)
            n_gone += i != was && node_logged(c, i, gone(c, was));
        assert_in_range(n_gone, 1, 2);
        write_one(c, is, k);
        node_start(c, was);
        wait_until(are_linked(c), "links");
        (void)cluster_settle(c);
    }
    expect_equal_states(c);
    cluster_free(c);
}

/* FAILOVER-5: what comes to a node that knows no leader is kept, and answered when there is one. */
CASE(failover__who_asks_any_other_node_is_told)
{
    struct cluster *c = patient_up("");
    const unsigned was = cluster_leader(c);
    struct client *clients[3] = {NULL};
    unsigned n_served = 0;

    for (unsigned i = 0; i < 3; i++)
        if (i != was)
            clients[i] = client_open(c, i);
    node_kill(c, was);
    for (unsigned i = 0; i < 3; i++)
        if (i != was)
            node_wait_logged(c, i, gone(c, was));
    for (unsigned i = 0; i < 3; i++)
        if (i != was)
            client_send(clients[i], "{\"type\":\"write\",\"msg_id\":7,\"key\":\"k\",\"value\":1}");
    for (unsigned i = 0; i < 3; i++) {
        json_t *reply;

        if (i == was)
            continue;
        reply = client_recv_json(clients[i]);
        if (reply_is(reply, "write_ok")) {
            n_served++;
        } else {
            assert_string_equal(reply_str(reply, "error"), "not_leader");
            assert_string_not_equal(reply_str(reply, "leader_addr"), c->nodes[was].addr);
            assert_string_not_equal(reply_str(reply, "leader_addr"), "");
        }
        json_decref(reply);
        client_close(clients[i]);
    }
    assert_in_range(n_served, 1, 2);
    cluster_free(c);
}

/* FAILOVER-1: one that stands still refuses nobody; and where it is switched off nobody is told anything. */
CASE(failover__what_does_not_count)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned was = cluster_leader(c);

    node_stop(c, was);
    (void)cluster_leader(c);
    for (unsigned i = 0; i < 3; i++)
        assert_false(i != was && node_logged(c, i, gone(c, was)));
    node_continue(c, was);
    cluster_free(c);

    c = cluster_up(3, "[raft]\nheartbeat_ms = 20\nelection_ms = 200\nfast_failover = 0\n");
    was = cluster_leader(c);
    node_kill(c, was);
    (void)cluster_leader(c);
    for (unsigned i = 0; i < 3; i++)
        assert_false(i != was && node_logged(c, i, gone(c, was)));
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(failover__a_leader_that_is_killed_is_replaced),
        HARNESS_TEST(failover__who_asks_any_other_node_is_told),
        HARNESS_TEST(failover__what_does_not_count),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
