/* What an operator is told of a real cluster: the verdict of `ridctl status` while something is
 * wrong, and what nodes say of each other. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "conf/conf.h"
#include "wire/frame.h"

#include "base/banned.h"

/* Asks until the exit code is this one; what was printed then. */
static void wait_for_verdict(const struct cluster *c, struct buf *out, int code)
{
    wait_until(run_ridctl(c, out, "status") == code, "the verdict");
}

/* Nothing is wrong but that this machine's disk is slow for the short times of a test. */
static bool is_well(const struct cluster *c, struct buf *out)
{
    int code = run_ridctl(c, out, "status");

    if (code == 0)
        return true;
    for (const char *p = (const char *)out->data; code == 6 && (p = strstr(p, "\n  ")) != NULL;
         p++) {
        const char *slow = strstr(p, ": disk slow: ");

        if (slow == NULL || slow > p + 1 + strcspn(p + 1, "\n"))
            return false;
    }
    return code == 6;
}

static void wait_until_well(const struct cluster *c, struct buf *out)
{
    wait_until(is_well(c, out), "all to be well");
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

    wait_until_well(c, &out);
    expect_text(&out, ": survives 1 more failure; 3 of 3 nodes answered, leader n");
    node_kill(c, (leader + 1) % 3);
    expect_verdict(c, &out, 6,
                   "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader ");
    expect_text(&out, ": unreachable: ");
    node_kill(c, (leader + 2) % 3);
    expect_verdict(c, &out, 2, "NO QUORUM: start 1 more node; 1 of 3 nodes answered, ");
    node_kill(c, leader);
    expect_code(run_ridctl(c, &out, "status"), 69, &out);
    expect_text(&out, "NO QUORUM: start 2 more nodes; 0 of 3 nodes answered\n");
    cluster_start(c);
    wait_until_well(c, &out);
    expect_text(&out, ": survives 1 more failure; 3 of 3 nodes answered");
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
        int code = run_ridctl(c, &out, "status");

        if (code != 6 && code != 2)
            harness_fail("exit code %d: %.1200s", code, (const char *)out.data);
        (void)snprintf(want, sizeof(want), "  %s: unreachable: ", c->nodes[leader].name);
        expect_text(&out, want);
    }
    expect_verdict(c, &out, 6,
                   "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader ");
    node_continue(c, leader);
    wait_until_well(c, &out);
    cluster_free(c);
}

/* It was "3 of 3 nodes answered, leader n1" and exit code 0 with a member that all others refuse. */
static void expect_refused(unsigned lost)
{
    struct cluster *c = cluster_up(3, NULL);
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
    /* On a slow disk the other two may take long to elect. */
    wait_until(run_ridctl(c, &out, "status") != 0 && strstr((const char *)out.data, want) != NULL,
               "the refusal to be told");
    expect_text(&out, " 3 of 3 nodes answered, ");
    (void)snprintf(want, sizeof(want), "the data directory of %s is not the one that n", name);
    expect_text(&out, want);
    cluster_free(c);
}

/* Of two nodes that do not know each other one dials, and whoever hears the first hello refuses: the
 * first of the list is dialled by both others, the last dials both. */
CASE(words__a_member_that_all_others_refuse_is_not_ok)
{
    expect_refused(0);
    expect_refused(2);
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
    wait_until(run_ridctl(c, &out, "status") == 6 && strstr((const char *)out.data, want) != NULL,
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
    expect_text(&out, "  n3: belongs to cluster 'elsewhere', the configuration describes 'test'\n");
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

/* ---- compare ---- */

static bool is_comparing(struct cluster *c, unsigned i)
{
    json_t *status = node_status(c, i);
    bool is = json_object_get(status, "compare") != NULL;

    json_decref(status);
    return is;
}

/* It went on at the leader when its client had gone, and others were told "busy; try again". */
CASE(words__a_comparison_ends_with_its_client)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(ridctl_path(), "ridctl", "--config", c->conf, "compare", "-n", "100000",
                    (char *)NULL);
        _exit(127);
    }
    wait_until(is_comparing(c, leader), "the run to begin");
    expect_code(run_ridctl(c, &out, "compare"), 75, &out);
    expect_text(&out, "another comparison is under way: ");
    expect_text(&out, " of 200000 reads are done, for 127.0.0.1:");
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    wait_until(!is_comparing(c, leader), "the run to end");
    cluster_free(c);
}

/* ---- who the cluster is ---- */

/* The two ports of a node in each other's place: other addresses, and nobody else's. */
static void move_node(struct cluster *c, unsigned i, const char *extra)
{
    struct node *node = &c->nodes[i];
    uint16_t port = node->port;

    node->port = node->peer_port;
    node->peer_port = port;
    (void)snprintf(node->peer_addr, sizeof(node->peer_addr), "127.0.0.1:%u", node->peer_port);
    (void)snprintf(node->addr, sizeof(node->addr), "127.0.0.1:%u", node->port);
    cluster_write_conf(c, "test", extra);
}

static void write_one(struct cluster *c)
{
    struct client *cl = client_open(c, cluster_leader(c));

    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":1}", "{\"type\":\"write_ok\"}");
    client_close(cl);
}

/* Moves each node in turn, while the others run: it was exit code 78. */
static void move_all_in_turn(struct cluster *c)
{
    cleanup_buf struct buf out = BUF_INIT;

    for (unsigned i = 0; i < c->n; i++) {
        char taken[64];
        char waiting[64];

        write_one(c);
        assert_int_equal(node_terminate(c, i), 0);
        move_node(c, i, NULL);
        (void)snprintf(taken, sizeof(taken), "taken=\"[peers] %s\"", c->nodes[i].name);
        for (unsigned k = 0; k < c->n; k++) {
            unsigned before = node_log_lines(c, k, "event=reloaded", taken);

            if (k == i)
                continue;
            node_signal(c, k, SIGHUP);
            wait_until(node_log_lines(c, k, "event=reloaded", taken) > before, "the new address");
            (void)snprintf(waiting, sizeof(waiting), "[peers] %s", c->nodes[k].name);
            assert_int_equal(node_log_lines(c, k, "event=reload_not_taken", waiting), 0);
        }
        node_start(c, i);
        wait_until_well(c, &out);
    }
    write_one(c);
    (void)cluster_settle(c);
}

/* IDENTITY-7: the addresses follow the file. */
CASE(words__addresses_are_no_part_of_the_cluster)
{
    struct cluster *c = cluster_up(3, NULL);

    move_all_in_turn(c);
    cluster_free(c);
}

/* A peer of a cluster that an earlier version made, as far as --init asks it. */
static pid_t old_peer(const struct cluster *c, unsigned i, const unsigned char cluster_id[16])
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(c->nodes[i].peer_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    pid_t pid;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(fd, 8), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        (void)close(fd);
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        cleanup_buf struct buf out = BUF_INIT;
        cleanup_fd int conn = accept(fd, NULL, NULL);
        unsigned char in[PEER_HELLO_BYTES_MAX];
        struct wire_frame frame;
        struct wire_hello h;
        size_t len = 0;
        ssize_t n = 1;

        while (n > 0 && wire_frame_cut(in, len, &frame, NULL) != 0) {
            n = recv(conn, in + len, sizeof(in) - len, 0);
            len += n > 0 ? (size_t)n : 0;
        }
        if (n <= 0 || wire_hello_decode(&frame, &h) != 0)
            continue;
        if (memcmp(h.cluster_id, cluster_id, 16) != 0)
            h.refused = WIRE_REFUSED_CLUSTER;
        memcpy(h.cluster_id, cluster_id, 16);
        h.to = h.from;
        h.from = raft_founder_id(c->nodes[i].name);
        h.last_index = h.refused == 0 ? 1 : 0;
        h.about = (struct wire_about){.n_settings = 0};
        if (wire_hello_encode(&h, true, &out) == 0)
            (void)send(conn, out.data, out.len, MSG_NOSIGNAL);
    }
}

/* An existing directory keeps its 16 bytes. Those of earlier versions are a hash with addresses in
 * it, and such a cluster goes on, moves, and takes a founder that was never made. */
CASE(words__a_cluster_of_an_earlier_version_goes_on)
{
    struct cluster *c = cluster_new(3, NULL);
    static struct conf conf;
    struct raft_configuration members;
    struct conf_problems problems = {0, NULL};
    unsigned char id[16];
    char hash[WIRE_CLUSTER_HASH_BUF];
    cleanup_buf struct buf out = BUF_INIT;

    assert_int_equal(conf_load(c->conf, NULL, false, &conf, &problems), 0);
    assert_int_equal(conf_to_configuration(&conf, true, &members), 0);
    conf_first_id("test", &members, id);
    wire_cluster_hash(id, hash);
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = old_peer(c, 1 - i, id);

        expect_code(run_ridd(c->conf, c->nodes[i].name, &out, "--init", NULL), 0, &out);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        expect_code(run_ridd(c->conf, c->nodes[i].name, &out, "--init", NULL), 0, &out);
        expect_text(&out, "nothing to do");
    }
    node_start(c, 0);
    node_start(c, 1);
    write_one(c);
    /* The third one asks real nodes: all answer, and none has met it. */
    expect_code(run_ridd(c->conf, "n3", &out, "--init", NULL), 0, &out);
    node_start(c, 2);
    wait_until_well(c, &out);
    for (unsigned i = 0; i < 3; i++) {
        json_t *status = node_status(c, i);

        assert_string_equal(reply_str(status, "cluster_hash"), hash);
        json_decref(status);
    }
    move_all_in_turn(c);
    /* And no other cluster's file is taken for its own. */
    assert_int_equal(node_terminate(c, 0), 0);
    cluster_write_conf(c, "other", NULL);
    expect_code(run_ridd(c->conf, "n1", &out, NULL), 78, &out);
    expect_text(&out,
                "belongs to another cluster, of n1, n2, n3; the configuration describes cluster "
                "'other' of n1, n2, n3");
    cluster_free(c);
}

/* Runs `ridd --init` of all nodes at the same time. */
static void init_all_at_once(struct cluster *c)
{
    pid_t pids[CLUSTER_NODES_MAX];

    for (unsigned i = 0; i < c->n; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (freopen("/dev/null", "w", stdout) == NULL)
                _exit(126);
            (void)execl(ridd_path(), "ridd", "--config", c->conf, "--id", c->nodes[i].name,
                        "--init", (char *)NULL);
            _exit(127);
        }
    }
    for (unsigned i = 0; i < c->n; i++) {
        int status;

        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            harness_fail("--init of %s: status %d", c->nodes[i].name, status);
    }
}

CASE(words__init_of_all_at_once_makes_one_cluster)
{
    for (unsigned n = 3; n <= 5; n += 2) {
        struct cluster *c = cluster_new(n, NULL);
        cleanup_buf struct buf out = BUF_INIT;

        init_all_at_once(c);
        cluster_start(c);
        wait_until_well(c, &out);
        write_one(c);
        (void)cluster_settle(c);
        cluster_free(c);
    }
}

/* IDENTITY-8: founders may be made while the first ones are at work, and never twice. */
CASE(words__the_last_founders_come_late)
{
    struct cluster *c = cluster_new(5, NULL);
    cleanup_buf struct buf out = BUF_INIT;

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(run_ridd(c->conf, c->nodes[i].name, NULL, "--init", NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        node_start(c, i);
    write_one(c);
    /* Two that may have met each other, and nobody else: with one more they are a quorum. */
    node_stop(c, 2);
    expect_code(run_ridd(c->conf, "n4", &out, "--init", NULL), 78, &out);
    expect_text(&out, "start the peers that do not answer");
    node_continue(c, 2);
    for (unsigned i = 3; i < 5; i++) {
        expect_code(run_ridd(c->conf, c->nodes[i].name, &out, "--init", NULL), 0, &out);
        node_start(c, i);
        wait_until(node_log_lines(c, 0, "event=peer_recorded", c->nodes[i].name) > 0 &&
                       node_log_lines(c, 1, "event=peer_recorded", c->nodes[i].name) > 0,
                   "the incarnation to be recorded");
    }
    wait_until_well(c, &out);
    /* A lost disk is not a founder that was never made, and neither is a silent one. */
    node_kill(c, 3);
    node_kill(c, 4);
    tree_remove(c->nodes[3].dir, false);
    expect_code(run_ridd(c->conf, "n4", &out, "--init", NULL), 78, &out);
    expect_text(&out, "has met a node named n4 before");
    cluster_free(c);
}

/* IDENTITY-9 */
CASE(words__reload_says_what_it_did_not_take)
{
    struct cluster *c = cluster_up(1, NULL);
    char *line;

    cluster_write_conf(c, "test",
                       "map_size = 2G\n[limits]\nrequest_bytes = 8K\n[raft]\nheartbeat_ms = 110\n"
                       "election_ms = 1100\n"); /* not what any harness takes */
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "event=reload_not_taken");
    line = node_log_line(c, 0, "event=reload_not_taken");
    assert_non_null(strstr(line, "keys=\"[raft] heartbeat_ms, [raft] election_ms\""));
    assert_non_null(strstr(line, "action=at_next_start"));
    free(line);
    line = node_log_line(c, 0, "event=reloaded");
    assert_non_null(strstr(line, "taken=\"[node] map_size, [limits] request_bytes\""));
    free(line);
    cluster_write_conf(c, "elsewhere", NULL);
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "keys=\"[cluster] name\" action=none why='it describes another cluster");
    move_node(c, 0, NULL);
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "keys=\"[peers] n1\" action=at_next_start");
    move_node(c, 0, NULL); /* back, for the harness */
    cluster_free(c);
}

/* IDENTITY-9: a smaller budget is in force at once, and one that is too small is refused in words. */
CASE(words__memory_follows_the_file)
{
    struct cluster *c = cluster_up(1, "[limits]\nmemory = 64M\n");
    json_t *status;

    cluster_write_conf(c, "test", "[limits]\nmemory = 20M\n");
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "taken=\"[limits] memory\"");
    cluster_write_conf(c, "test", "[limits]\nmemory = 1K\n");
    node_signal(c, 0, SIGHUP);
    node_wait_logged(c, 0, "memory = '1K' is out of range, 16M to 1024G\" action=keep_old");
    status = node_status(c, 0);
    assert_int_equal(reply_int(json_object_get(status, "memory"), "limit_bytes"), 20 << 20);
    json_decref(status);
    cluster_free(c);
}

/* What the nodes of a real cluster tell is one story, each event in it is explained (TELL-7), and
 * monitoring is told the worst (TELL-6). */
CASE(words__what_happened_is_told_and_explained)
{
    struct cluster *c = cluster_up(3, NULL);
    const unsigned follower = (cluster_leader(c) + 1) % 3;
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_buf struct buf told = BUF_INIT;
    const char *events[] = {ridctl_path(), "--config", c->conf, "events", "--json", NULL};
    const char *check[] = {ridctl_path(),      "--config",   c->conf,   "check", "--warning",
                           "starts=0,fsync=0", "--critical", "fsync=0", NULL};
    unsigned n = 0;
    json_t *story;

    wait_until_well(c, &out);
    expect_code(run_program(events, &told), 0, &told);
    story = json_loads((const char *)told.data, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(story, "nodes")), 3);
    for (; n < json_array_size(json_object_get(story, "events")); n++) {
        const json_t *e = json_array_get(json_object_get(story, "events"), n);
        const char *explain[] = {ridctl_path(), "explain",
                                 json_string_value(json_object_get(e, "event")), NULL};

        expect_code(run_program(explain, &out), 0, &out);
        expect_text(&out, ": an event, level ");
        expect_text(&out, json_string_value(json_object_get(e, "level")));
    }
    assert_true(n >= 15); /* each has opened, is ready, has met two others and a leader */
    json_decref(story);
    expect_code(run_ridctl(c, &out, "slow"), 0, &out);
    expect_text(&out, "nothing was asked lately");
    {
        struct client *cl = client_open(c, cluster_leader(c));

        client_expect(cl, "{\"type\":\"write\",\"key\":\"k\",\"value\":1}", "<*>write_ok<*>");
        client_close(cl);
    }
    expect_code(run_ridctl(c, &out, "slow"), 0, &out);
    expect_text(&out, "where the time goes");
    expect_code(run_ridctl(c, &out, "top"), 0, &out);
    expect_text(&out, "requests per second:\n");
    node_kill(c, follower);
    wait_for_verdict(c, &out, 6);
    expect_code(run_program(check, &out), 1, &out);
    expect_text(&out, "RIDD WARNING - DEGRADED: ");
    expect_code(run_ridctl(c, &out, "events"), 0, &out);
    expect_text(&out, "peer_down  peer=");
    expect_text(&out, " does not answer: cannot connect to ");
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
        HARNESS_TEST(words__a_comparison_ends_with_its_client),
        HARNESS_TEST(words__addresses_are_no_part_of_the_cluster),
        HARNESS_TEST(words__a_cluster_of_an_earlier_version_goes_on),
        HARNESS_TEST(words__init_of_all_at_once_makes_one_cluster),
        HARNESS_TEST(words__the_last_founders_come_late),
        HARNESS_TEST(words__reload_says_what_it_did_not_take),
        HARNESS_TEST(words__memory_follows_the_file),
        HARNESS_TEST(words__what_happened_is_told_and_explained),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
