/* ridbench on three real nodes: every mode, with each answer looked at and histories judged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

#define WORDS_MAX 32

static const char *ridbench_path(void)
{
    static char path[512];
    const char *ridctl = ridctl_path();

    (void)snprintf(path, sizeof(path), "%.*sridbench", (int)(strlen(ridctl) - strlen("ridctl")),
                   ridctl);
    return path;
}

/* ridbench -c CONF --json -q words..., which must end well; its document. */
static json_t *bench(const struct cluster *c, ...)
{
    const char *argv[WORDS_MAX] = {ridbench_path(), "-c", c->conf, "--json", "-q", "-t", "20000"};
    cleanup_buf struct buf out = BUF_INIT;
    unsigned n = 7;
    json_t *doc;
    int code;
    va_list ap;

    va_start(ap, c);
    while (n < WORDS_MAX - 1 && (argv[n] = va_arg(ap, const char *)) != NULL)
        n++;
    va_end(ap);
    code = run_program(argv, &out);
    doc = json_loadb((const char *)out.data, out.len, JSON_DISABLE_EOF_CHECK, NULL);
    if (code != 0 || doc == NULL)
        harness_fail("ridbench: exit status %d: %.*s", code, (int)(out.len < 1200 ? out.len : 1200),
                     (const char *)out.data);
    return doc;
}

static int64_t number(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    if (!json_is_number(v))
        harness_fail("no number '%s'", name);
    return (int64_t)json_number_value(v);
}

static void expect_right(const json_t *doc, const char *side)
{
    assert_int_equal(number(doc, "wrong"), 0);
    assert_int_equal(number(doc, "keys_left"), 0);
    assert_true(number(json_object_get(doc, side), "ops") > 0);
}

static void expect_linearizable(const json_t *doc)
{
    const json_t *check = json_object_get(doc, "check");

    if (!json_is_true(json_object_get(check, "linearizable")))
        harness_fail("%s", json_string_value(json_object_get(check, "why")));
    assert_true(number(check, "operations") > 0);
}

#define SHORT "--seconds", "0.5", "--keys", "50"

/* DOCTOR-4 */
CASE(ridbench__every_mode)
{
    struct cluster *c = cluster_up(3, NULL);
    static const struct {
        const char *method;
        const char *side;
        bool check;
    } modes[] = {{"read_index", "reads", true}, {"log", "reads", true},
                 {"lease", "reads", true},      {"follower", "reads", true},
                 {"local", "reads", false},     {"bounded", "reads", false},
                 {"write", "writes", true},     {"mixed", "reads", true},
                 {"batch", "batches", false},   {"scan", "scans", false}};

    (void)cluster_leader(c);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        cleanup_json json_t *closed =
            bench(c, SHORT, "--method", modes[i].method, modes[i].check ? "--check" : NULL, NULL);
        cleanup_json json_t *open =
            bench(c, SHORT, "--method", modes[i].method, "--rate", "500", "--zipf", "0.99", NULL);

        expect_right(closed, modes[i].side);
        expect_right(open, modes[i].side);
        if (modes[i].check)
            expect_linearizable(closed);
        assert_string_equal(json_string_value(json_object_get(open, "loop")), "open");
    }
    cluster_free(c);
}

/* Writes of a few keys, many at once, beside reads: the truth of each answer and the history agree. */
CASE(ridbench__histories_are_linearizable)
{
    struct cluster *c = cluster_up(3, NULL);
    cleanup_json json_t *few = NULL;
    cleanup_json json_t *follower = NULL;
    const json_t *nodes;

    (void)cluster_leader(c);
    few = bench(c, "--seconds", "1", "--keys", "3", "--method", "mixed", "--write-percent", "50",
                "--connections", "8", "--threads", "2", "--check", NULL);
    expect_right(few, "writes");
    expect_linearizable(few);
    /* A follower sends writes to the leader: one connection each way. */
    follower = bench(c, "--seconds", "1", "--keys", "3", "--method", "follower", "--spread",
                     "--check", NULL);
    expect_right(follower, "reads");
    expect_linearizable(follower);
    nodes = json_object_get(few, "nodes");
    assert_int_equal(json_array_size(nodes), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *node = json_array_get(nodes, i);

        assert_true(number(node, "cpu_us") > 0);
        assert_true(number(node, "voluntary_switches") > 0);
        assert_true(number(node, "peer_frames") > 0);
        assert_true(number(node, "rss_bytes") > 0);
        assert_true(number(node, "fsyncs") > 0);
    }
    cluster_free(c);
}

/* The command asks the test, which owns the nodes, to kill the leader. */
CASE(ridbench__failover_is_measured)
{
    struct cluster *c =
        cluster_up(3, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\nfast_failover = 0\n");
    char ask[300];
    char command[800];
    char path[300];
    const char *argv[] = {ridbench_path(), "-c",     c->conf, "--failover", "--kill", command,
                          "--check",       "--keys", "20",    "--json",     "-q",     NULL};
    const unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;
    const json_t *failover;
    int code = -1;
    pid_t pid;

    (void)snprintf(ask, sizeof(ask), "%s/kill-it", c->dir);
    (void)snprintf(path, sizeof(path), "%s/ridbench.out", c->dir);
    (void)snprintf(command, sizeof(command),
                   "[ \"$RIDBENCH_NODE\" ] && touch '%s' && for i in $(seq 6000); do "
                   "[ -e '%s' ] || exit 0; sleep 0.01; done; exit 1",
                   ask, ask);
    pid = program_begin(argv, path);
    wait_until(access(ask, F_OK) == 0, "it to ask for the leader's end");
    node_kill(c, leader);
    assert_int_equal(unlink(ask), 0);
    wait_until(program_ended(pid, &code), "ridbench to end");
    file_read(path, &out);
    doc = json_loadb((const char *)out.data, out.len, JSON_DISABLE_EOF_CHECK, NULL);
    if (code != 0 || doc == NULL)
        harness_fail("ridbench: exit status %d: %.1200s", code, (const char *)out.data);
    expect_right(doc, "writes");
    expect_linearizable(doc);
    failover = json_object_get(doc, "failover");
    assert_int_equal(json_array_size(json_object_get(failover, "rounds")), 1);
    /* An election takes longer than any request that nothing hinders. */
    assert_true(number(json_object_get(failover, "write"), "median_ms") >= 20);
    assert_true(number(json_object_get(failover, "read"), "max_ms") >= 20);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(ridbench__every_mode),
        HARNESS_TEST(ridbench__histories_are_linearizable),
        HARNESS_TEST(ridbench__failover_is_measured),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
