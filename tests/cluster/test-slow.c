/* SEE-3, SEE-4: what was slow on real nodes, and why. Each case makes one thing slow, and that very
 * one must be named, by the reply to `slow`, and in the log. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/harness.h"
#include "cluster/shim.h"
#include "cluster/snapshots.h"

/* What takes longer than 200 ms is slow. */
#define CONF "[raft]\nheartbeat_ms = 50\nelection_ms = 1000\n"

#define WRITE "{\"type\":\"write\",\"msg_id\":1,\"key\":\"secret-key\",\"value\":\"secret-value\"}"

/* The last slow operation that the node tells of; NULL: none. The caller decrefs *ret_root. */
static const json_t *last_slow(struct cluster *c, unsigned node, json_t **ret_root)
{
    struct client *cl = client_open(c, node);
    const json_t *list;

    *ret_root = client_ask_json(cl, "{\"type\":\"slow\",\"msg_id\":1}");
    client_close(cl);
    assert_true(reply_is(*ret_root, "slow_ok"));
    list = json_object_get(*ret_root, "slow");
    return json_array_get(list, json_array_size(list) - 1);
}

static void expect_slow(struct cluster *c, unsigned node, const char *op, const char *stage,
                        const char *peer, const char *why)
{
    json_t *root;
    const json_t *found = last_slow(c, node, &root);

    assert_non_null(found);
    if (strcmp(reply_str(found, "op"), op) != 0 || strcmp(reply_str(found, "stage"), stage) != 0 ||
        strcmp(reply_str(found, "peer"), peer) != 0 ||
        !pattern_matches(why, reply_str(found, "why")))
        harness_fail("%s of %s is slow in %s for '%s'; wanted %s, '%s', '%s'",
                     reply_str(found, "op"), reply_str(found, "peer"), reply_str(found, "stage"),
                     reply_str(found, "why"), stage, peer, why);
    json_decref(root);
    node_wait_logged(c, node, "event=slow_op ");
    assert_false(node_logged(c, node, "secret"));
}

/* Nodes with a shim and a control file each. */
struct disks {
    struct {
        char control[300];
        char variable[400];
        struct shim_env env;
    } nodes[3];
};

static void disks_begin(struct disks *d, struct cluster *c)
{
    static const struct shim_control nothing;

    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(d->nodes[i].control, sizeof(d->nodes[i].control), "%s/shim-%u", c->dir, i);
        file_write(d->nodes[i].control, &nothing, sizeof(nothing));
        (void)snprintf(d->nodes[i].variable, sizeof(d->nodes[i].variable), "RIDD_SHIM_CONTROL=%s",
                       d->nodes[i].control);
        shim_env_init(&d->nodes[i].env, d->nodes[i].variable);
        c->env = d->nodes[i].env.env;
        node_start(c, i);
    }
    c->env = NULL;
}

static void disk_slow(const struct disks *d, unsigned node, unsigned ms)
{
    file_patch(d->nodes[node].control, offsetof(struct shim_control, slow_sync_ms), &ms,
               sizeof(ms));
}

static void write_once(struct cluster *c, unsigned node)
{
    struct client *cl = client_open(c, node);

    client_expect(cl, WRITE, "{\"type\":\"write_ok\",\"in_reply_to\":1}");
    client_close(cl);
}

/* The disks of both followers: one of the two is named. Then the leader's own. */
CASE(slow__disks_are_named_by_node)
{
    struct cluster *c = cluster_new(3, CONF);
    struct disks d;
    unsigned leader;
    json_t *root;
    const json_t *found;
    char peer[16];
    char why[64];

    cluster_init(c);
    disks_begin(&d, c);
    leader = cluster_leader(c);
    write_once(c, leader);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            disk_slow(&d, i, 400);
    write_once(c, leader);
    found = last_slow(c, leader, &root);
    assert_non_null(found);
    (void)snprintf(peer, sizeof(peer), "%s", reply_str(found, "peer"));
    json_decref(root);
    assert_string_not_equal(peer, c->nodes[leader].name);
    (void)snprintf(why, sizeof(why), "%s's disk: fsync <n> ms", peer);
    expect_slow(c, leader, "write", "quorum", peer, why);
    for (unsigned i = 0; i < 3; i++) {
        if (i == leader)
            continue;
        node_wait_logged(c, i, "event=fsync_slow ");
        disk_slow(&d, i, 0);
    }
    assert_false(node_logged(c, leader, "event=fsync_slow "));
    (void)cluster_settle(c);
    disk_slow(&d, leader, 400);
    write_once(c, leader);
    expect_slow(c, leader, "write", "quorum", "", "own disk: fsync <n> ms");
    node_wait_logged(c, leader, "event=fsync_slow ");
    disk_slow(&d, leader, 0);
    cluster_free(c);
}

/* Both links are held; then one is let go. */
CASE(slow__peers_that_are_cut_off_are_named)
{
    struct cluster *c = cluster_new(3, CONF);
    struct links l;
    struct client *cl;
    unsigned leader;
    uint64_t until_ms;

    cluster_init(c);
    links_begin(&l, c);
    links_start_all(&l);
    leader = cluster_leader(c);
    (void)cluster_settle(c);
    cl = client_open(c, leader);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            links_cut(&l, leader, i, PROXY_HOLD);
    client_send(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}");
    until_ms = now_ms() + 400;
    wait_until(now_ms() > until_ms, "some time");
    proxy_heal(l.proxy);
    client_expect_reply(cl, "{\"type\":\"read_index_ok\",\"in_reply_to\":1,<*>}");
    {
        json_t *root;
        const json_t *found = last_slow(c, leader, &root);
        const char *peer = reply_str(found, "peer");
        char why[128];

        assert_true(cluster_find(c, peer) >= 0);
        (void)snprintf(why, sizeof(why), "waited for 2 of 3 nodes; %s not heard for <n> ms", peer);
        expect_slow(c, leader, "read_index", "quorum", peer, why);
        json_decref(root);
    }
    client_close(cl);
    links_end(&l);
    cluster_free(c);
}

/* The leader stands while its read is under way: it is no fault of those that it did not hear. */
CASE(slow__a_node_that_stood_still_says_so)
{
    struct cluster *c = cluster_new(3, CONF);
    struct links l;
    struct client *cl;
    unsigned leader;
    uint64_t until_ms;

    cluster_init(c);
    links_begin(&l, c);
    links_start_all(&l);
    leader = cluster_leader(c);
    (void)cluster_settle(c);
    cl = client_open(c, leader);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            links_cut(&l, leader, i, PROXY_HOLD);
    client_send(cl, "{\"type\":\"read_index\",\"msg_id\":1,\"key\":\"x\"}");
    /* It has been read: the reply to what is sent behind it is there. */
    (void)client_ask(cl, "{\"type\":\"ping\",\"msg_id\":2}");
    node_stop(c, leader);
    proxy_heal(l.proxy);
    until_ms = now_ms() + 500;
    wait_until(now_ms() > until_ms, "some time");
    node_continue(c, leader);
    client_expect_reply(cl, "{\"type\":\"read_index_ok\",\"in_reply_to\":1,<*>}");
    expect_slow(c, leader, "read_index", "quorum", "", "this process did not run for <n> ms");
    client_close(cl);
    links_end(&l);
    cluster_free(c);
}

/* Two of three are gone: the third has no leader, until one comes back. */
CASE(slow__without_a_leader_that_is_why)
{
    struct cluster *c = cluster_up(3, CONF);
    unsigned leader = cluster_leader(c);
    unsigned third = (leader + 1) % 3;
    unsigned back = (leader + 2) % 3;
    struct client *cl;
    json_t *root;
    json_t *reply;
    const json_t *found;

    node_kill(c, back);
    node_kill(c, leader);
    wait_until(({
                   json_t *status = node_status(c, third);
                   bool none = json_is_null(json_object_get(status, "leader_id"));

                   json_decref(status);
                   none;
               }),
               "a node that knows no leader");
    cl = client_open(c, third);
    client_send(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":1,\"value\":1,\"timeout_ms\":30000}");
    (void)client_ask(cl, "{\"type\":\"ping\",\"msg_id\":2}");
    node_start(c, back);
    reply = client_recv_json(cl); /* it leads, or the other does */
    found = last_slow(c, third, &root);
    assert_non_null(found);
    assert_string_equal(reply_str(found, "op"), "write");
    assert_string_equal(reply_str(found, "stage"), "queue");
    assert_true(pattern_matches("queue: no leader for <n><*>s", reply_str(found, "why")));
    json_decref(reply);
    json_decref(root);
    client_close(cl);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(slow__disks_are_named_by_node),
        HARNESS_TEST(slow__peers_that_are_cut_off_are_named),
        HARNESS_TEST(slow__a_node_that_stood_still_says_so),
        HARNESS_TEST(slow__without_a_leader_that_is_why),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
