/* What an operator is told of a real cluster: the verdict of `ridctl status` while something is
 * wrong, and what nodes say of each other. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

static void expect_text(const struct buf *out, const char *text)
{
    if (strstr((const char *)out->data, text) == NULL)
        harness_fail("'%s' is missing in: %.1200s", text, (const char *)out->data);
}

static void expect_code(int code, int want, const struct buf *out)
{
    if (code != want)
        harness_fail("exit code %d, not %d: %.1200s", code, want, (const char *)out->data);
}

/* ridctl stands beside ridd. */
static int run_ridctl(const struct cluster *c, struct buf *out, const char *verb, const char *arg)
{
    const char *argv[] = {NULL, "--config", c->conf, verb, arg, NULL};
    char path[512];
    size_t len = strlen(ridd_path());

    assert_true(len > 4 && len < sizeof(path) - 4);
    (void)snprintf(path, sizeof(path), "%.*sridctl", (int)(len - 4), ridd_path());
    argv[0] = path;
    return run_program(argv, out);
}

/* Asks until the exit code is this one; what was printed then. */
static void wait_for_verdict(const struct cluster *c, struct buf *out, int code)
{
    wait_until(run_ridctl(c, out, "status", NULL) == code, "the verdict");
}

/* The number of the verdict and its first line. */
static void expect_verdict(const struct cluster *c, struct buf *out, int code, const char *line)
{
    wait_for_verdict(c, out, code);
    if (strncmp((const char *)out->data, line, strlen(line)) != 0)
        harness_fail("it does not begin with '%s': %.1200s", line, (const char *)out->data);
}

/* ---- the verdict ---- */

/* STATUS-1, STATUS-2: it was "1 of 3 nodes answered, leader n1" and exit code 0. */
CASE(words__one_of_three_is_no_quorum)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;

    expect_verdict(c, &out, 0, "OK: survives 1 more failure; 3 of 3 nodes answered, leader n");
    node_kill(c, (leader + 1) % 3);
    expect_verdict(c, &out, 6,
                   "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader ");
    expect_text(&out, ": unreachable: ");
    node_kill(c, (leader + 2) % 3);
    expect_verdict(c, &out, 2, "NO QUORUM: 1 of 3 nodes answered, ");
    node_kill(c, leader);
    expect_code(run_ridctl(c, &out, "status", NULL), 69, &out);
    expect_text(&out, "NO QUORUM: 0 of 3 nodes answered\n");
    cluster_start(c);
    expect_verdict(c, &out, 0, "OK: survives 1 more failure; 3 of 3 nodes answered");
    cluster_free(c);
}

/* It was "leader n3 (which did not answer)" and exit code 0. */
CASE(words__a_leader_that_does_not_answer_is_not_ok)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    char want[64];

    node_stop(c, leader);
    /* While the others still follow it, while they elect, and afterwards. */
    for (int i = 0; i < 3; i++) {
        int code = run_ridctl(c, &out, "status", NULL);

        if (code != 6 && code != 2)
            harness_fail("exit code %d: %.1200s", code, (const char *)out.data);
        (void)snprintf(want, sizeof(want), "  %s: unreachable: ", c->nodes[leader].name);
        expect_text(&out, want);
    }
    expect_verdict(c, &out, 6,
                   "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader ");
    node_continue(c, leader);
    wait_for_verdict(c, &out, 0);
    cluster_free(c);
}

/* It was "3 of 3 nodes answered, leader n1" and exit code 0 with a member that all others refuse. */
CASE(words__a_member_that_all_others_refuse_is_not_ok)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned lost = (cluster_leader(c) + 1) % 3;
    const char *name = c->nodes[lost].name;
    cleanup_buf struct buf out = BUF_INIT;
    char want[128];

    wait_until(node_log_lines(c, (lost + 1) % 3, "event=peer_recorded", name) > 0 &&
                   node_log_lines(c, (lost + 2) % 3, "event=peer_recorded", name) > 0,
               "the incarnation to be recorded");
    for (unsigned i = 0; i < 3; i++)
        node_kill(c, i);
    tree_remove(c->nodes[lost].dir, false);
    expect_code(run_ridd(c->conf, name, &out, "--init", NULL), 0, &out);
    for (unsigned i = 0; i < 3; i++)
        node_start(c, i);
    (void)snprintf(want, sizeof(want), "  %s: refused by ", name);
    wait_until(run_ridctl(c, &out, "status", NULL) == 6 &&
                   strstr((const char *)out.data, want) != NULL,
               "the refusal to be told");
    expect_text(&out, "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n");
    (void)snprintf(want, sizeof(want), "the data directory of %s is not the one that n", name);
    expect_text(&out, want);
    cluster_free(c);
}

/* STATUS-1: a node that is busy lives, whatever its port says. */
CASE(words__a_busy_node_is_not_absent)
{
    struct cluster *c = cluster_up(3, "[limits]\nconnections = 4\n");
    unsigned busy = (cluster_leader(c) + 1) % 3;
    struct client *clients[4];
    cleanup_buf struct buf out = BUF_INIT;
    char want[64];

    for (unsigned i = 0; i < 4; i++) {
        clients[i] = client_open(c, busy);
        client_send(clients[i], "{\"type\":\"ping\"}");
    }
    (void)snprintf(want, sizeof(want), "  %s: busy: ", c->nodes[busy].name);
    wait_until(run_ridctl(c, &out, "status", NULL) == 6 &&
                   strstr((const char *)out.data, want) != NULL,
               "the node to be busy");
    expect_text(&out,
                "DEGRADED: survives 1 more failure; 3 of 3 nodes answered (1 busy), leader n");
    for (unsigned i = 0; i < 4; i++)
        client_close(clients[i]);
    cluster_free(c);
}

/* SPLIT: they have one name, one list of names, and are two clusters. */
CASE(words__two_clusters_are_split)
{
    struct cluster *c = cluster_new(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(run_ridd(c->conf, c->nodes[i].name, NULL, "--init", NULL), 0);
    cluster_write_conf(c, "elsewhere", NULL);
    assert_int_equal(run_ridd(c->conf, "n3", NULL, "--init", NULL), 0);
    node_start(c, 2);
    cluster_write_conf(c, "test", NULL);
    node_start(c, 0);
    node_start(c, 1);
    expect_verdict(c, &out, 7, "SPLIT: 3 of 3 nodes answered");
    expect_text(&out, "  n3: belongs to cluster 'elsewhere', n1 to 'test'\n");
    /* STATUS-3: and the nodes say so, too, on both sides. */
    wait_until(node_log_lines(c, 2, "event=peer_refused", "cluster 'test', we to 'elsewhere'") > 0,
               "the refusal on one side");
    wait_until(
        node_log_lines(c, 0, "event=peer_refused", "cluster 'elsewhere', we to 'test'") > 0 ||
            node_log_lines(c, 1, "event=peer_refused", "cluster 'elsewhere', we to 'test'") > 0,
        "the refusal on the other side");
    cluster_free(c);
}

/* ---- settings ---- */

/* STATUS-3: nodes with different times are told on both sides, in the log and in status. */
CASE(words__different_times_are_a_warning_on_both_sides)
{
    struct cluster *c = cluster_new(2, "[raft]\nheartbeat_ms = 100\nelection_ms = 1000\n");
    cleanup_buf struct buf out = BUF_INIT;

    cluster_init(c);
    node_start(c, 0);
    cluster_write_conf(c, "test", "[raft]\nheartbeat_ms = 100\nelection_ms = 1300\n");
    node_start(c, 1);
    node_wait_logged(c, 0, "event=settings_differ peer=n2 key=election_ms here=1000 there=1300");
    node_wait_logged(c, 1, "event=settings_differ peer=n1 key=election_ms here=1300 there=1000");
    assert_false(node_logged(c, 0, "key=heartbeat_ms"));
    (void)cluster_leader(c);
    wait_for_verdict(c, &out, 6);
    expect_text(&out, "  n1: election_ms is 1000 here, 1300 on n2\n");
    expect_text(&out, "  n2: election_ms is 1300 here, 1000 on n1\n");
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(words__one_of_three_is_no_quorum),
        HARNESS_TEST(words__a_leader_that_does_not_answer_is_not_ok),
        HARNESS_TEST(words__a_member_that_all_others_refuse_is_not_ok),
        HARNESS_TEST(words__a_busy_node_is_not_absent),
        HARNESS_TEST(words__two_clusters_are_split),
        HARNESS_TEST(words__different_times_are_a_warning_on_both_sides),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
