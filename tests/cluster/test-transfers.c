/* Snapshots on their way from node to node: who was away comes back while clients read and write, and
 * whatever ends in the middle, an acknowledged write never goes, and each transfer comes to its
 * end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "cluster/snapshots.h"

#include "base/banned.h"

CASE(transfers__one_that_was_away_comes_back)
{
    struct cluster *c = cluster_small(0);
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;
    struct beside *b;
    struct writers w;
    uint64_t n_writes;
    uint64_t n_reads;

    preload(&w, c, 8);
    node_kill(c, away);
    leave_behind(c, away, &w);
    set_speed(c, 4);
    b = beside_new(c);
    node_start(c, away);
    wait_beside(b, is_receiving(c, away), "a snapshot to come");
    n_writes = beside_writes(b);
    n_reads = beside_reads(b);
    wait_beside(b, (expect_never_half(c, away, &w), snap_of(c, away, "installed") == 1),
                "the snapshot to be installed");
    assert_true(beside_writes(b) > n_writes + 20);
    assert_true(beside_reads(b) > n_reads + 20);
    assert_true(node_logged(c, away, "event=snapshot_receiving"));
    node_wait_logged(c, leader, "event=snapshot_sent");
    beside_end(b);
    verify(&w, c);
    /* It leads as well as any other, and its log goes on from the snapshot. */
    wait_until(cluster_leads(c, away), "it to lead");
    assert_int_equal(node_terminate(c, away), 0);
    node_start(c, away);
    assert_true(node_logged(c, away, "found=clean"));
    expect_equal_states(c);
    cluster_free(c);
}

/* ---- kills in the middle ---- */

static const int points[] = {5, 45, 85};

#define N_POINTS (sizeof(points) / sizeof(points[0]))

static void wait_percent(struct cluster *c, unsigned away, int percent)
{
    wait_until(percent_sent(c, cluster_leader(c), away) >= percent, "a part of the transfer");
}

CASE(transfers__the_receiver_is_killed)
{
    struct cluster *c = cluster_small(0);
    const unsigned away = (cluster_leader(c) + 1) % 3;
    struct writers w;

    preload(&w, c, 6);
    node_kill(c, away);
    leave_behind(c, away, &w);
    set_speed(c, 4);
    for (unsigned i = 0; i < N_POINTS; i++) {
        node_start(c, away);
        wait_percent(c, away, points[i]);
        expect_never_half(c, away, &w);
        node_kill(c, away);
    }
    /* And when all of it is there. */
    set_speed(c, 0);
    node_start(c, away);
    node_wait_logged(c, away, "event=snapshot_receiving");
    wait_until(snap_of(c, away, "index") > 0, "its name");
    node_kill(c, away);
    node_start(c, away);
    verify(&w, c);
    cluster_free(c);
}

CASE(transfers__the_sender_is_killed)
{
    struct cluster *c = cluster_small(0);
    const unsigned away = (cluster_leader(c) + 1) % 3;
    struct beside *b;
    struct writers w;

    preload(&w, c, 6);
    node_kill(c, away);
    leave_behind(c, away, &w);
    set_speed(c, 4);
    b = beside_new(c);
    node_start(c, away);
    for (unsigned i = 0; i < N_POINTS; i++) {
        unsigned leader;

        wait_beside(b, percent_sent(c, leader = cluster_leader(c), away) >= points[i],
                    "a part of the transfer");
        assert_true(leader != away);
        node_kill(c, leader);
        node_start(c, leader);
    }
    wait_beside(b, snap_of(c, away, "installed") == 1, "the snapshot to be installed");
    beside_end(b);
    verify(&w, c);
    cluster_free(c);
}

/* The leader goes on living, and is none any more: what it had sent is of no use to the next. */
CASE(transfers__another_leader_in_the_middle)
{
    struct cluster *c = cluster_small(0);
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;
    const unsigned other = (leader + 2) % 3;
    struct writers w;

    preload(&w, c, 6);
    node_kill(c, away);
    leave_behind(c, away, &w);
    set_speed(c, 4);
    node_start(c, away);
    for (unsigned i = 0; i < 3; i++) {
        const unsigned next = i % 2 == 0 ? other : leader;

        wait_percent(c, away, 30);
        wait_until(cluster_leads(c, next), "another leader");
    }
    wait_until(snap_of(c, away, "installed") == 1, "the snapshot to be installed");
    verify(&w, c);
    cluster_free(c);
}

static unsigned n_begun(const struct cluster *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++)
        n += lines_ever(c, i, "event=snapshot_sending");
    return n;
}

/* The leader stays: with another one every transfer begins anew. */
static void steady_conf(char *conf, size_t size, unsigned mib_per_s)
{
    small_conf(conf, size, mib_per_s);
    (void)snprintf(conf + strlen(conf), size - strlen(conf),
                   "[raft]\nheartbeat_ms = 100\nelection_ms = 3000\n");
}

static bool is_connected(struct cluster *c, unsigned from, unsigned to)
{
    json_t *status = node_status(c, from);
    const json_t *peers = json_object_get(status, "peers");
    bool is = false;

    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i);

        if (strcmp(reply_str(peer, "id"), c->nodes[to].name) == 0)
            is = reply_int(peer, "last_heard_ms") < 1000;
    }
    json_decref(status);
    return is;
}

/* SNAP-10: the connections end, and the link is silent for longer than an election: the same transfer goes
 * on where it was. */
CASE(transfers__the_link_breaks)
{
    char conf[300];
    struct links l;
    struct cluster *c;
    struct writers w;
    unsigned leader;
    unsigned away;

    steady_conf(conf, sizeof(conf), 0);
    c = cluster_new(3, conf);
    cluster_init(c);
    links_begin(&l, c);
    links_start_all(&l);
    leader = cluster_leader(c);
    away = (leader + 1) % 3;
    preload(&w, c, 6);
    node_kill(c, away);
    leave_behind(c, away, &w);
    steady_conf(conf, sizeof(conf), 4);
    take_conf(c, conf);
    leader = cluster_leader(c);
    links_start(&l, away);
    for (unsigned i = 0; i < N_POINTS; i++) {
        wait_percent(c, away, points[i]);
        if (i != 1) {
            proxy_reset(l.proxy, leader, away);
        } else { /* what is under way vanishes, and the connection stays */
            links_cut(&l, leader, away, PROXY_DROP);
            wait_until(!is_connected(c, leader, away), "the leader to miss it");
            writers_run(&w, 100);
            proxy_heal(l.proxy);
        }
    }
    wait_until(snap_of(c, away, "installed") == 1, "the snapshot to be installed");
    assert_int_equal(cluster_leader(c), leader);
    assert_int_equal(n_begun(c), 1); /* it did not begin anew */
    verify(&w, c);
    links_end(&l);
    cluster_free(c);
}

/* The leader's own is damaged when another node needs it: it makes another, and sends that. */
CASE(transfers__a_damaged_one_is_not_sent)
{
    struct cluster *c = cluster_small(0);
    const unsigned away = (cluster_leader(c) + 1) % 3;
    struct writers w;
    unsigned leader;

    preload(&w, c, 4);
    node_kill(c, away);
    leave_behind(c, away, &w);
    leader = cluster_leader(c);
    make_snapshot(c, leader); /* and nothing is written any more: no other would be made */
    for (unsigned i = 0; i < c->n; i++)
        if (i != away)
            spoil_snaps(c, i, false);
    node_start(c, away);
    wait_until(snap_of(c, away, "installed") == 1, "the snapshot to be installed");
    verify(&w, c);
    cluster_free(c);
}

static bool says(struct cluster *c, unsigned i, const char *what)
{
    json_t *status = node_status(c, i);
    char *text = json_dumps(json_object_get(status, "snapshots"), JSON_COMPACT);
    const bool is = text != NULL && strstr(text, what) != NULL;

    free(text);
    json_decref(status);
    return is;
}

/* SNAP-15: before the first part, and in the middle: it is said on both sides, nobody ends, and it goes on
 * by itself. */
CASE(transfers__the_disk_of_the_receiver_fills)
{
    struct cluster *c;
    struct writers w;
    unsigned leader;
    unsigned away;

    if (skip_without_disks())
        return;
    c = cluster_on_disks();
    leader = cluster_leader(c);
    away = (leader + 1) % 3;
    preload(&w, c, 6);
    node_kill(c, away);
    leave_behind(c, away, &w);
    fill_disk(c, away, (uint64_t)20 << 20); /* it would leave less than must be left */
    node_start(c, away);
    node_wait_logged(c, away, "event=snapshot_refused");
    assert_true(node_logged(c, away, "why=\"the disk has no room for it\""));
    node_wait_logged(c, leader, "event=snapshot_not_sent");
    assert_true(node_logged(c, leader, "its disk is full"));
    wait_until(says(c, leader, "refused: its disk is full"), "the leader's status to say it");
    wait_until(says(c, away, "refused: the disk has no room for it"), "its own status to say it");
    expect_never_half(c, away, &w);
    writers_run(&w, 100);
    set_speed(c, 2);
    assert_true(set_disk(c, away, DISK_BYTES, MS_REMOUNT));
    wait_percent(c, away, 20);
    fill_disk(c, away, 0);
    wait_until(node_log_lines(c, away, "event=snapshot_refused", "no room") >= 2 ||
                   node_log_lines(c, away, "event=snapshot_refused", NULL) >= 2,
               "the end of what had begun");
    expect_never_half(c, away, &w);
    set_speed(c, 0);
    assert_true(set_disk(c, away, DISK_BYTES, MS_REMOUNT));
    wait_until(snap_of(c, away, "installed") == 1, "the snapshot to be installed");
    verify(&w, c);
    end_on_disks(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(transfers__one_that_was_away_comes_back),
        HARNESS_TEST(transfers__the_receiver_is_killed),
        HARNESS_TEST(transfers__the_sender_is_killed),
        HARNESS_TEST(transfers__another_leader_in_the_middle),
        HARNESS_TEST(transfers__the_link_breaks),
        HARNESS_TEST(transfers__a_damaged_one_is_not_sent),
        HARNESS_TEST(transfers__the_disk_of_the_receiver_fills),
    };

    own_mounts();
    return harness_main(argc, argv, tests, NULL, NULL);
}
