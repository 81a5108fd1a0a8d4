/* `ridctl doctor`, `bench` and `bundle` on real nodes: what an operator types when something is
 * wrong, before it is known what. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "cluster/shim.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

#define WORDS_MAX 16

/* ridctl -c CONF words..., with time enough for nodes on a busy machine to answer */
static int ridctl(const struct cluster *c, struct buf *out, ...)
{
    const char *argv[WORDS_MAX] = {ridctl_path(), "-c", c->conf, "-t", "20000"};
    unsigned n = 5;
    va_list ap;

    va_start(ap, out);
    while (n < WORDS_MAX - 1 && (argv[n] = va_arg(ap, const char *)) != NULL)
        n++;
    va_end(ap);
    return run_program(argv, out);
}

/* The one document of its output; standard error may stand around it. */
static json_t *json_of(const struct buf *out)
{
    const char *begin = strchr((const char *)out->data, '{');
    json_error_t error;
    json_t *doc = begin != NULL ? json_loads(begin, JSON_DISABLE_EOF_CHECK, &error) : NULL;

    if (doc == NULL)
        harness_fail("no JSON: %.1200s", (const char *)out->data);
    return doc;
}

static int64_t number(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    if (!json_is_number(v))
        harness_fail("no number '%s'", name);
    return (int64_t)json_number_value(v);
}

/* ---- doctor ---- */

static const json_t *finding(const json_t *doc, const char *level, const char *check,
                             const char *text)
{
    const json_t *findings = json_object_get(doc, "findings");

    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *x = json_array_get(findings, i);

        if (strcmp(reply_str(x, "level"), level) == 0 &&
            strcmp(reply_str(x, "check"), check) == 0 &&
            (strstr(reply_str(x, "text"), text) != NULL ||
             strstr(reply_str(x, "where"), text) != NULL))
            return x;
    }
    return NULL;
}

static void expect_finding(const json_t *doc, const char *level, const char *check,
                           const char *text)
{
    cleanup_free char *all = NULL;

    if (finding(doc, level, check, text) != NULL)
        return;
    all = json_dumps(doc, JSON_INDENT(1));
    harness_fail("no %s of %s with '%s': %.3000s", level, check, text, all);
}

static void expect_no_leavings(const struct cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        char **names;
        const unsigned n = folder_list(c->nodes[i].dir, &names);

        for (unsigned k = 0; k < n; k++)
            if (strstr(names[k], "doctor") != NULL)
                harness_fail("doctor left %s in %s", names[k], c->nodes[i].dir);
        names_free(names, n);
    }
}

/* DOCTOR-1, DOCTOR-2: with all nodes, with one that is gone, with none; the host is looked at all
 * the same. */
CASE(doctor__it_works_whatever_runs)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *well = NULL;
    cleanup_json json_t *ill = NULL;
    int code = ridctl(c, &out, "doctor", "--json", NULL);

    well = json_of(&out);
    if (code != 0 && code != 6) /* a slow disk is none of our faults */
        harness_fail("%d: %.2000s", code, (const char *)out.data);
    expect_finding(well, "ok", "config", "3 nodes");
    expect_finding(well, "ok", "settings", "on 3 nodes");
    expect_finding(well, "ok", "version", "all nodes");
    expect_finding(well, "ok", "reach", c->nodes[2].addr);
    expect_finding(well, "ok", "reach", c->nodes[2].peer_addr);
    expect_finding(well, "ok", "descriptors", c->nodes[0].name);
    for (unsigned i = 0; i < 3; i++)
        expect_finding(well, "ok", "inodes", c->nodes[i].dir);
    assert_int_equal(number(well, "fail"), 0);
    expect_no_leavings(c);

    node_kill(c, (leader + 1) % 3);
    code = ridctl(c, &out, "doctor", NULL);
    expect_code(code, 1, &out); /* its ports are closed */
    expect_text(&out, "FAIL  reach");
    expect_text(&out, "unreachable");
    expect_text(&out, "next: ridctl status");
    node_kill(c, leader);
    node_kill(c, (leader + 2) % 3);
    code = ridctl(c, &out, "doctor", "--json", NULL);
    ill = json_of(&out);
    expect_code(code, 1, &out);
    expect_finding(ill, "fail", "cluster", "NO QUORUM: start 2 more nodes");
    expect_finding(ill, "note", "process", "");
    for (unsigned i = 0; i < 3; i++)
        expect_finding(ill, "ok", "inodes", c->nodes[i].dir);
    if (finding(ill, "ok", "fsync", c->nodes[0].dir) == NULL)
        expect_finding(ill, "warn", "fsync", c->nodes[0].dir);
    expect_no_leavings(c);
    cluster_free(c);
}

/* DOCTOR-2: all problems of the file, and still the disk. */
CASE(doctor__a_wrong_file_does_not_end_it)
{
    struct cluster *c = cluster_new(3, NULL);
    static const char wrong[] = "[cluster]\nname = a b\n[peers]\nn1 = here\n[raft]\nelection = 1\n";
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;
    char path[300];
    const char *argv[] = {ridctl_path(), "-c",         path,   "doctor",
                          "--json",      "--data-dir", c->dir, NULL};

    (void)snprintf(path, sizeof(path), "%s/wrong.conf", c->dir);
    file_write(path, wrong, sizeof(wrong) - 1);
    expect_code(run_program(argv, &out), 1, &out);
    doc = json_of(&out);
    expect_finding(doc, "fail", "config", "wrong.conf:2");
    expect_finding(doc, "fail", "config", "wrong.conf:4");
    expect_finding(doc, "fail", "config", "wrong.conf:6");
    expect_finding(doc, "ok", "space", c->dir);
    if (finding(doc, "ok", "fsync", c->dir) == NULL)
        expect_finding(doc, "warn", "fsync", c->dir);
    cluster_free(c);
}

static void measure_slow(const struct cluster *c, const struct shim *shim, unsigned ms, int code,
                         const char *level, const char *next)
{
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;
    const char *const argv[] = {
        "/usr/bin/env", shim->env.env[0], shim->env.env[1], shim->env.env[2], ridctl_path(), "-c",
        c->conf,        "doctor",         "--json",         "--data-dir",     c->dir,        NULL};

    file_patch(shim->control, offsetof(struct shim_control, slow_sync_ms), &ms, sizeof(ms));
    expect_code(run_program(argv, &out), code, &out);
    doc = json_of(&out);
    expect_finding(doc, level, "fsync", c->dir);
    if (strstr(reply_str(finding(doc, level, "fsync", c->dir), "next"), next) == NULL)
        harness_fail("no '%s': %.2000s", next, (const char *)out.data);
}

/* DOCTOR-6: it is measured, and what would bear it is said. The cluster does not run, which is told
 * too. */
CASE(doctor__a_slow_disk_is_measured)
{
    struct cluster *c = cluster_new(3, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\n");
    struct shim shim;

    shim_begin(&shim, c);
    measure_slow(c, &shim, 100, 1, "warn", "heartbeat_ms = 1");
    measure_slow(c, &shim, 400, 1, "fail", "give the log another disk");
    c->env = NULL;
    cluster_free(c);
}

/* A file of one host: its directory is looked at once, and is that of its node. */
CASE(doctor__a_directory_is_looked_at_once)
{
    struct cluster *c = cluster_new(3, NULL);
    cleanup_buf struct buf conf = BUF_INIT;
    cleanup_buf struct buf out = BUF_INIT;
    const char *found;

    assert_int_equal(
        buf_add_format(&conf,
                       "[cluster]\nname = test\n[peers]\nn1 = 127.0.0.1:1 127.0.0.1:2\n"
                       "n2 = 127.0.0.1:3 127.0.0.1:4\nn3 = 127.0.0.1:5 127.0.0.1:6\n"
                       "[node]\ndata_dir = %s\n",
                       c->dir),
        0);
    file_write(c->conf, conf.data, conf.len);
    for (unsigned i = 0; i < 2; i++) {
        expect_code(ridctl(c, &out, "doctor", NULL), 1, &out);
        found = strstr((const char *)out.data, "  file_system");
        assert_non_null(found);
        assert_null(strstr(found + 1, "  file_system"));
        assert_int_equal(buf_add_str(&conf, "id = n2\n"), 0);
        file_write(c->conf, conf.data, conf.len);
    }
    cluster_free(c);
}

/* What runs is not what the file says. */
CASE(doctor__a_file_that_was_changed_is_seen)
{
    struct cluster *c = cluster_up(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;

    (void)cluster_leader(c);
    cluster_write_conf(c, "test", "[raft]\nheartbeat_ms = 77\nelection_ms = 7777\n");
    (void)ridctl(c, &out, "doctor", "--json", NULL);
    doc = json_of(&out);
    expect_finding(doc, "warn", "settings", "and the file says 77");
    expect_finding(doc, "warn", "settings", "and the file says 7777");
    cluster_free(c);
}

/* ---- bench ---- */

static unsigned n_keys_below(const struct cluster *c, const char *prefix)
{
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;

    expect_code(ridctl(c, &out, "ls", prefix, "--json", NULL), 0, &out);
    doc = json_of(&out);
    return (unsigned)json_array_size(json_object_get(doc, "keys"));
}

/* DOCTOR-4, DOCTOR-5 */
CASE(doctor__bench_measures_and_leaves_nothing)
{
    struct cluster *c = cluster_up(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    static const char *const methods[] = {"read_index", "log",   "lease", "follower",
                                          "local",      "write", "mixed"};

    (void)cluster_leader(c);
    expect_code(ridctl(c, &out, "put", "mine", "stays", NULL), 0, &out);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        cleanup_json json_t *doc = NULL;
        const bool writes = strcmp(methods[i], "write") == 0;
        const json_t *side;

        expect_code(ridctl(c, &out, "bench", "--method", methods[i], "--seconds", "1", "--keys",
                           "100", "--json", NULL),
                    0, &out);
        doc = json_of(&out);
        assert_int_equal(number(doc, "wrong"), 0);
        assert_int_equal(number(doc, "keys_left"), 0);
        assert_true(number(doc, "ops") > 0);
        side = json_object_get(doc, writes ? "writes" : "reads");
        assert_true(number(side, "ops") > 0);
        assert_true(number(side, "max_ms") >= number(side, "p99_ms"));
        if (strcmp(methods[i], "read_index") == 0)
            assert_true(number(json_object_get(doc, "cost"), "rounds") > 0);
        if (writes)
            assert_true(number(json_object_get(doc, "cost"), "fsyncs") > 0);
    }
    assert_int_equal(n_keys_below(c, ""), 1);
    expect_code(ridctl(c, &out, "bench", "--seconds", "1", "--keys", "10", NULL), 0, &out);
    expect_text(&out, "every answer was right");
    expect_text(&out, "its 10 keys below bench/");
    cluster_free(c);
}

static void put_key(const struct cluster *c, const char *key, const char *value)
{
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(ridctl(c, &out, "put", key, value, NULL), 0, &out);
}

/* DOCTOR-5: a key of somebody else's is reason to do nothing; one of a run that was killed goes when
 * that can run no more. */
CASE(doctor__bench_touches_its_own_keys_only)
{
    struct cluster *c = cluster_up(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char young[64];
    char value[96];

    (void)cluster_leader(c);
    put_key(c, "bench/leader", "somebody's");
    expect_code(ridctl(c, &out, "bench", "--seconds", "1", NULL), 4, &out);
    expect_text(&out, "'\"bench/leader\"' is no key of ridbench");
    assert_int_equal(n_keys_below(c, ""), 1);
    expect_code(ridctl(c, &out, "del", "bench/leader", NULL), 0, &out);

    put_key(c, "bench/00000001-abcd/00000000", "bench/00000001-abcd/00000000/0/");
    (void)snprintf(young, sizeof(young), "bench/%08x-abcd/00000000", (unsigned)time(NULL));
    (void)snprintf(value, sizeof(value), "%s/0/", young);
    put_key(c, young, value);
    expect_code(ridctl(c, &out, "bench", "--seconds", "1", "--keys", "10", NULL), 0, &out);
    expect_text(&out, "1 keys of another run are there");
    assert_int_equal(n_keys_below(c, ""), 1);
    expect_code(ridctl(c, &out, "get", young, NULL), 0, &out);
    cluster_free(c);
}

static void wait_for_end(pid_t pid, int code, const char *path, struct buf *out)
{
    int got = -1;

    wait_until(program_ended(pid, &got), "ridctl to end");
    file_read(path, out);
    expect_code(got, code, out);
}

static bool file_says(const char *path, const char *text)
{
    cleanup_buf struct buf out = BUF_INIT;

    if (access(path, F_OK) != 0)
        return false;
    file_read(path, &out);
    return strstr((const char *)out.data, text) != NULL;
}

/* DOCTOR-5: ^C gives the figures so far, and the keys go. */
CASE(doctor__bench_can_be_interrupted)
{
    struct cluster *c = cluster_up(3, NULL);
    const char *argv[] = {ridctl_path(), "-c",     c->conf, "bench",  "--seconds",
                          "600",         "--keys", "50",    "--json", NULL};
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;
    char path[300];
    pid_t pid;

    (void)cluster_leader(c);
    (void)snprintf(path, sizeof(path), "%s/bench.out", c->dir);
    pid = program_begin(argv, path);
    wait_until(n_keys_below(c, "bench/") == 50, "it to have written its keys");
    assert_int_equal(kill(pid, SIGINT), 0);
    wait_for_end(pid, 0, path, &out);
    doc = json_of(&out);
    assert_true(json_is_true(json_object_get(doc, "interrupted")));
    assert_int_equal(number(doc, "wrong"), 0);
    assert_int_equal(n_keys_below(c, ""), 0);
    cluster_free(c);
}

/* A failover seen: how long nothing was written and nothing read, and nothing wrong meanwhile. */
CASE(doctor__bench_measures_a_failover)
{
    struct cluster *c =
        cluster_up(3, "[raft]\nheartbeat_ms = 50\nelection_ms = 500\nfast_failover = 0\n");
    const char *argv[] = {ridctl_path(), "-c",        c->conf, "bench",  "--method",
                          "mixed",       "--seconds", "600",   "--keys", "50",
                          "--json",      "-v",        NULL};
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_json json_t *doc = NULL;
    char path[300];
    uint64_t index;
    pid_t pid;

    (void)snprintf(path, sizeof(path), "%s/bench.out", c->dir);
    pid = program_begin(argv, path);
    wait_until(file_says(path, "bench: measuring for 600 s\n"), "it to begin to measure");
    node_kill(c, leader);
    (void)cluster_leader(c);
    index = cluster_settle(c);
    wait_until(cluster_settle(c) > index + 100, "it to write on");
    assert_int_equal(kill(pid, SIGINT), 0);
    wait_for_end(pid, 0, path, &out);
    doc = json_of(&out);
    assert_int_equal(number(doc, "wrong"), 0);
    /* An election takes longer than any write that nothing hinders, and is waited out by each. */
    assert_true(number(json_object_get(doc, "writes"), "longest_gap_ms") >= 50);
    assert_true(number(json_object_get(doc, "reads"), "longest_gap_ms") >= 50);
    assert_int_equal(n_keys_below(c, ""), 0);
    cluster_free(c);
}

/* ---- bundle ---- */

#define MARKED_KEY   "zq7-the-key"
#define MARKED_VALUE "zq7-the-value"
#define MARKED_NOTE  "zq7-the-note"

/* Everything that a client can say with it: what is done, what is refused, what is no request. */
static void say_the_marks(struct cluster *c, unsigned node)
{
    struct client *cl = client_open(c, node);
    static const char *const lines[] = {
        "{\"type\":\"write\",\"msg_id\":1,\"key\":\"" MARKED_KEY "\",\"value\":\"" MARKED_VALUE
        "\"}",
        "{\"type\":\"cas\",\"msg_id\":2,\"key\":\"" MARKED_KEY "\",\"from\":\"" MARKED_VALUE
        "x\",\"to\":\"" MARKED_VALUE "\"}",
        "{\"type\":\"read_index\",\"msg_id\":3,\"key\":\"" MARKED_KEY "\"}",
        "{\"type\":\"local_read\",\"msg_id\":4,\"key\":\"" MARKED_KEY "\"}",
        "{\"type\":\"scan\",\"msg_id\":5,\"prefix\":\"" MARKED_KEY "\"}",
        "{\"type\":\"" MARKED_KEY "\",\"msg_id\":6}",
        "{\"type\":\"write\",\"msg_id\":7,\"key\":[\"" MARKED_KEY "\"],\"value\":1}",
        "{\"type\":\"delete\",\"msg_id\":8,\"key\":\"" MARKED_KEY "-none\"}"};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        (void)client_ask(cl, lines[i]);
    client_send(cl, "this is no request, and says " MARKED_KEY);
    client_half_close(cl);
    while (client_recv_within(cl, 2000) != NULL)
        continue;
    client_close(cl);
}

static void unpack(const char *dir, const char *archive)
{
    char command[700];
    cleanup_buf struct buf out = BUF_INIT;
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    (void)snprintf(command, sizeof(command),
                   "cd '%s' && mkdir -p open && tar -xzf '%s' -C open --strip-components=1", dir,
                   archive);
    expect_code(run_program(argv, &out), 0, &out);
}

/* Files below open/ that hold the text: grep's word for it. */
static void expect_nowhere(const char *dir, const char *text)
{
    char command[700];
    cleanup_buf struct buf out = BUF_INIT;
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    (void)snprintf(command, sizeof(command), "grep -r -l -a -i -e '%s' '%s/open'", text, dir);
    expect_code(run_program(argv, &out), 1, &out);
}

static void expect_in(const char *dir, const char *name, const char *text)
{
    char path[400];
    cleanup_buf struct buf out = BUF_INIT;

    (void)snprintf(path, sizeof(path), "%s/open/%s", dir, name);
    file_read(path, &out);
    expect_text(&out, text);
}

/* DOCTOR-3: no key and no value of a loaded cluster is in any part. */
CASE(doctor__a_bundle_holds_no_key_and_no_value)
{
    struct cluster *c = cluster_up(3, "; " MARKED_NOTE "\nlog_level = debug\n");
    unsigned leader = cluster_leader(c);
    cleanup_buf struct buf out = BUF_INIT;
    char archive[300];
    struct stat st;

    for (unsigned i = 0; i < 3; i++)
        say_the_marks(c, i);
    /* They are there: who looks for them finds them. */
    expect_code(ridctl(c, &out, "scan", NULL), 0, &out);
    expect_text(&out, MARKED_KEY);
    expect_text(&out, MARKED_VALUE);
    (void)cluster_settle(c);
    node_kill(c, (leader + 1) % 3);
    (void)snprintf(archive, sizeof(archive), "%s/b.tar.gz", c->dir);
    expect_code(ridctl(c, &out, "bundle", "--save", archive, "--log", c->nodes[0].log, "--log",
                       c->nodes[1].log, "--log", c->nodes[2].log, NULL),
                0, &out);
    expect_text(&out, "which MANIFEST lists");
    assert_int_equal(stat(archive, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unpack(c->dir, archive);
    expect_nowhere(c->dir, MARKED_KEY);
    expect_nowhere(c->dir, MARKED_VALUE);
    expect_nowhere(c->dir, MARKED_NOTE);
    expect_in(c->dir, "ridd.conf", "log_level = debug");
    expect_in(c->dir, "doctor.txt", "FAIL  reach");
    expect_in(c->dir, "doctor.json", "\"level\":\"fail\"");
    expect_in(c->dir, "host/versions", "ridctl " PACKAGE_VERSION);
    expect_in(c->dir, "MANIFEST", "status/n");
    expect_in(c->dir, "MANIFEST", c->nodes[(leader + 1) % 3].name);
    for (unsigned i = 0; i < 3; i++) {
        char name[64];
        const char *slash = strrchr(c->nodes[i].log, '/');

        (void)snprintf(name, sizeof(name), "log/%u-%s", i + 1, slash + 1);
        expect_in(c->dir, name, "event=ready");
        if (i == (leader + 1) % 3)
            continue;
        (void)snprintf(name, sizeof(name), "status/%s.json", c->nodes[i].name);
        expect_in(c->dir, name, "\"type\":\"status_ok\"");
    }
    cluster_free(c);
}

/* Where nothing runs there is still a bundle, also on standard output. */
CASE(doctor__a_bundle_of_nothing_is_one)
{
    struct cluster *c = cluster_new(3, NULL);
    cleanup_buf struct buf out = BUF_INIT;
    char command[900];
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    (void)snprintf(command, sizeof(command), "'%s' -c '%s' bundle --save - | tar -tzf - | wc -l",
                   ridctl_path(), c->conf);
    expect_code(run_program(argv, &out), 0, &out);
    assert_true(strtol((const char *)out.data, NULL, 10) > 10);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(doctor__it_works_whatever_runs),
        HARNESS_TEST(doctor__a_wrong_file_does_not_end_it),
        HARNESS_TEST(doctor__a_slow_disk_is_measured),
        HARNESS_TEST(doctor__a_directory_is_looked_at_once),
        HARNESS_TEST(doctor__a_file_that_was_changed_is_seen),
        HARNESS_TEST(doctor__bench_measures_and_leaves_nothing),
        HARNESS_TEST(doctor__bench_touches_its_own_keys_only),
        HARNESS_TEST(doctor__bench_can_be_interrupted),
        HARNESS_TEST(doctor__bench_measures_a_failover),
        HARNESS_TEST(doctor__a_bundle_holds_no_key_and_no_value),
        HARNESS_TEST(doctor__a_bundle_of_nothing_is_one),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
