/* Links between real nodes whose cluster has made its first change: their logs begin with a
 * configuration that has a cluster id, incarnations and addresses, as a snapshot would leave it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "node/identity.h"

#include "base/banned.h"

static const unsigned char cluster_id[16] = "\1\2\3drawn\377\376\375\374abc";

/* The members that the bits name, as the log of each of them knows them. */
static void describe(const struct cluster *c, unsigned bits, struct raft_configuration *ret)
{
    raft_configuration_init(ret);
    memcpy(ret->cluster_id, cluster_id, sizeof(cluster_id));
    for (unsigned i = 0; i < c->n; i++) {
        const struct node *node = &c->nodes[i];
        const struct identity_conf conf = {.data_dir = node->dir, .node_name = node->name};
        struct identity_dir *dir = NULL;

        if ((bits & 1u << i) == 0)
            continue;
        assert_int_equal(raft_configuration_add(ret, raft_founder_id(node->name), node->name,
                                                RAFT_VOTER, node->peer_addr, node->addr),
                         0);
        assert_int_equal(identity_open(&conf, &dir), 0);
        for (unsigned k = 0; k < ret->n; k++)
            if (strcmp(ret->servers[k].name, node->name) == 0)
                ret->servers[k].incarnation = identity_get(dir)->incarnation;
        identity_close(dir);
    }
}

/* The log of a node that was initialised begins with these. */
static void give_log(const struct cluster *c, unsigned i, const struct raft_configuration *members)
{
    const struct node *node = &c->nodes[i];
    const struct identity_conf identity = {.data_dir = node->dir, .node_name = node->name};
    struct engine_conf conf = {.log = {.node_id = raft_founder_id(node->name),
                                       .salt_seed = 7 + i,
                                       .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                       .segment_bytes = STORE_SEGMENT_FIRST_BYTES}};
    cleanup_buf struct buf entry = BUF_INIT;
    struct identity_dir *dir = NULL;
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/wal", node->dir);
    tree_remove(path, true);
    assert_int_equal(identity_open(&identity, &dir), 0);
    memcpy(conf.log.cluster_id, identity_get(dir)->cluster_id, sizeof(conf.log.cluster_id));
    conf.log.incarnation = identity_get(dir)->incarnation;
    conf.log_fd = identity_open_folder(dir, "wal");
    assert_true(conf.log_fd >= 0);
    assert_int_equal(raft_configuration_encode(members, &entry), 0);
    assert_int_equal(engine_create_log(&conf, entry.data, entry.len), 0);
    (void)close(conf.log_fd);
    identity_close(dir);
}

static struct cluster *made(void)
{
    struct cluster *c = cluster_new(3, NULL);

    cluster_init(c);
    return c;
}

static bool wrote(struct cluster *c, unsigned i)
{
    struct client *cl = client_open(c, i);
    const char *reply =
        client_ask(cl, "{\"type\":\"write\",\"msg_id\":1,\"key\":\"k\",\"value\":7}");
    const bool ok = strstr(reply, "write_ok") != NULL;

    client_close(cl);
    return ok;
}

/* PEER-8, and the addresses are those of the log: two of the nodes know another one by a wrong
 * address. It calls them (PEER-10). */
CASE(links__a_cluster_with_an_id_works)
{
    struct cluster *c = made();
    struct raft_configuration all;
    struct raft_configuration wrong;
    struct raft_server *moved = NULL;

    describe(c, 7, &all);
    wrong = all;
    for (unsigned i = 0; i < wrong.n; i++)
        if (strcmp(wrong.servers[i].name, c->nodes[2].name) == 0)
            moved = &wrong.servers[i];
    assert_non_null(moved);
    (void)snprintf(moved->peer_addr, sizeof(moved->peer_addr), "127.0.0.1:1");
    give_log(c, 0, &wrong);
    give_log(c, 1, &wrong);
    give_log(c, 2, &all);
    cluster_start(c);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(node_log_lines(c, i, "event=peer_refused", NULL), 0);
    (void)cluster_settle(c); /* all three */
    node_kill(c, 0);
    node_start(c, 0);
    (void)cluster_settle(c);
    assert_int_equal(node_log_lines(c, 0, "event=peer_refused", NULL), 0);
    cluster_free(c);
}

/* Everything else is as it should be, but another leader drew another id. */
CASE(links__another_id_is_another_cluster)
{
    struct cluster *c = made();
    struct raft_configuration members;

    describe(c, 7, &members);
    give_log(c, 0, &members);
    give_log(c, 1, &members);
    members.cluster_id[15] ^= 1;
    give_log(c, 2, &members);
    node_start(c, 0);
    node_start(c, 1);
    node_start(c, 2);
    wait_until(node_log_lines(c, 2, "event=peer_refused", "secret id") > 0 ||
                   node_log_lines(c, 0, "event=peer_refused", "secret id") > 0,
               "a refusal in words");
    wait_until(wrote(c, 0) || wrote(c, 1), "a write without it");
    assert_int_equal(node_log_lines(c, 2, "event=peer_up", NULL), 0);
    cluster_free(c);
}

/* PEER-9: n2 knows n1 (dead) and itself, n3 knows n2 and itself. n3 is elected by one who
 * does not know it, and replicates to it. */
CASE(links__who_lags_elects_a_stranger)
{
    struct cluster *c = made();
    struct raft_configuration members;

    describe(c, 1u << 0 | 1u << 1, &members);
    give_log(c, 1, &members);
    describe(c, 1u << 1 | 1u << 2, &members);
    give_log(c, 2, &members);
    node_start(c, 1);
    node_start(c, 2);
    wait_until(wrote(c, 2), "a write through the one that is not known");
    assert_true(node_log_lines(c, 1, "event=peer_up", "stranger=1") > 0);
    assert_int_equal(node_log_lines(c, 2, "event=peer_up", "stranger=1"), 0);
    cluster_free(c);
}

/* PEER-11: it ends with 0, and says why. One that does not know the cluster's id, and has met
 * nobody, could not tell who says so: it is refused, and stays. */
CASE(links__a_removed_node_ends_with_0)
{
    for (unsigned knows = 0; knows < 2; knows++) {
        struct cluster *c = made();
        struct raft_configuration all;
        struct raft_configuration left;

        describe(c, 7, &all);
        left = all;
        assert_true(raft_configuration_remove(&left, raft_founder_id(c->nodes[2].name), 1));
        give_log(c, 0, &left);
        give_log(c, 1, &left);
        if (knows)
            give_log(c, 2, &all);
        node_start(c, 0);
        node_start(c, 1);
        node_spawn(c, 2);
        if (knows) {
            assert_int_equal(node_wait_exit(c, 2), 0);
            assert_true(node_logged(c, 2, "removed at index 1: this node is no member any more"));
            assert_true(node_logged(c, 2, "event=removed index=1"));
        } else {
            wait_until(node_log_lines(c, 2, "event=peer_refused", "this node was removed") > 0,
                       "a refusal");
            assert_int_equal(node_terminate(c, 2), 0);
            assert_false(node_logged(c, 2, "event=removed"));
        }
        wait_until(wrote(c, 0) || wrote(c, 1), "a write of those who are left");
        cluster_free(c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(links__a_cluster_with_an_id_works),
        HARNESS_TEST(links__another_id_is_another_cluster),
        HARNESS_TEST(links__who_lags_elects_a_stranger),
        HARNESS_TEST(links__a_removed_node_ends_with_0),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
