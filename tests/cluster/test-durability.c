/* An acknowledged write is never lost, whatever is killed: read back after each disaster. A write
 * that failed definitely is never there either. */
#include <limits.h>
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

/* Whatever the leader acknowledged while nobody followed would be lost with it. */
CASE(durability__leader_killed_while_followers_stand)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 4, 8, "s", 10);
    for (unsigned round = 0; round < 2; round++) {
        unsigned leader;
        struct client *cl;

        writers_run(&w, 100);
        leader = cluster_leader(c);
        cl = client_open(c, leader);
        node_stop(c, (leader + 1) % 3);
        node_stop(c, (leader + 2) % 3);
        /* What is sent now is appended by the leader alone. */
        client_send(cl, "{\"type\":\"write\",\"key\":\"lonely\",\"value\":1,\"timeout_ms\":60}");
        wait_until((swarm_turn(w.swarm, 5), client_recv_within(cl, 0) != NULL), "its timeout");
        node_kill(c, leader);
        client_close(cl);
        /* What waited in their sockets goes with them; they alone come back. */
        for (unsigned k = 1; k <= 2; k++) {
            node_kill(c, (leader + k) % 3);
            node_start(c, (leader + k) % 3);
        }
        writers_run(&w, 100);
        node_start(c, leader);
    }
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

/* ---- down ---- */

CASE(durability__minority_down)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    node_kill(c, (cluster_leader(c) + 1) % 3);
    writers_init(&w, c, 4, 8, "m", 10);
    writers_run(&w, 500);
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

static const char *const asks[] = {
    "\"type\":\"read_index\",\"key\":\"there\"",
    "\"type\":\"read_via_log\",\"key\":\"there\"",
    "\"type\":\"read\",\"key\":\"there\"",
    "\"type\":\"batch_read_index\",\"keys\":[\"there\"]",
    "\"type\":\"write\",\"key\":\"not there\",\"value\":1",
    "\"type\":\"delete\",\"key\":\"there\"",
};
#define N_ASKS (sizeof(asks) / sizeof(asks[0]))

/* Every request fails within its time, and with an error that its moment allows. */
static void ask_in_vain(struct cluster *c, unsigned node, unsigned timeout_ms)
{
    struct client *cl = client_open(c, node);
    uint64_t begun = now_ms();

    for (size_t i = 0; i < N_ASKS; i++)
        client_sendf(cl, "{\"msg_id\":%zu,\"timeout_ms\":%u,%s}", i, timeout_ms, asks[i]);
    for (size_t i = 0; i < N_ASKS; i++) {
        json_t *reply = client_recv_json(cl);
        const char *error = reply_str(reply, "error");
        bool is_write = reply_int(reply, "in_reply_to") >= 4;

        if (!reply_is(reply, "error"))
            harness_fail("a majority is down, and %s came", reply_str(reply, "type"));
        if (strcmp(error, "network") != 0 && strcmp(error, "timeout") != 0 &&
            strcmp(error, "role_changed") != 0)
            harness_fail("an error of another kind: %s", reply_str(reply, "text"));
        if (!is_write)
            assert_true(json_is_true(json_object_get(reply, "definite")));
        json_decref(reply);
    }
    if (now_ms() - begun > timeout_ms + slow(1500))
        harness_fail("%llu ms for a timeout of %u", (unsigned long long)(now_ms() - begun),
                     timeout_ms);
    client_close(cl);
}

CASE(durability__majority_down)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    struct client *cl = client_open(c, leader);

    client_expect(cl, "{\"type\":\"write\",\"key\":\"there\",\"value\":1}",
                  "{\"type\":\"write_ok\"}");
    node_kill(c, (leader + 1) % 3);
    node_kill(c, (leader + 2) % 3);
    ask_in_vain(c, leader, 100);  /* it may still believe that it leads */
    ask_in_vain(c, leader, 1500); /* now it does not */
    ask_in_vain(c, leader, 200);
    client_expect(
        cl, "{\"type\":\"local_read\",\"key\":\"there\"}",
        "{\"type\":\"local_read_ok\",\"value\":1,\"applied_index\":<n>,\"linearizable\":false}");
    client_close(cl);
    node_start(c, (leader + 1) % 3);
    cl = client_open(c, cluster_leader(c));
    client_expect(cl, "{\"type\":\"write\",\"key\":\"there\",\"value\":2}",
                  "{\"type\":\"write_ok\"}");
    client_expect(cl, "{\"type\":\"read\",\"key\":\"there\"}",
                  "{\"type\":\"read_ok\",\"value\":2}");
    client_close(cl);
    cluster_free(c);
}

/* ---- SIGTERM ---- */

CASE(durability__leaders_terminated_under_writes)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 6, 8, "t", 10);
    for (unsigned round = 0; round < 2; round++) {
        unsigned leader;

        writers_run(&w, 200);
        leader = cluster_leader(c);
        node_signal(c, leader, SIGTERM);
        writers_run(&w, 200);
        assert_int_equal(node_wait_exit(c, leader), 0);
        assert_true(node_logged(c, leader, "event=stopped"));
        node_start(c, leader);
        assert_true(node_logged(c, leader, "found=clean"));
        node_kill(c, leader);
        node_start(c, leader);
        assert_true(node_logged(c, leader, "found=same_boot"));
    }
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

CASE(durability__termination_hands_over)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);

    /* Nobody waits for an election timeout: the successor is told to stand at once. */
    node_signal(c, leader, SIGTERM);
    assert_int_equal(node_wait_exit(c, leader), 0);
    assert_int_equal(node_log_lines(c, leader, "event=leader_transfer", NULL) > 0, 1);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            assert_int_equal(node_log_lines(c, i, "event=role_changed", "election timeout"), 0);
    (void)cluster_leader(c);
    cluster_free(c);
}

/* Followers that stand still make requests wait in the leader; all are answered before it goes. */
CASE(durability__termination_answers_what_is_owed)
{
    struct cluster *c = cluster_up(3, NULL);
    unsigned leader = cluster_leader(c);
    struct client *cl = client_open(c, leader);
    bool seen[40] = {false};
    unsigned n_ok = 0;

    client_expect(cl, "{\"type\":\"write\",\"key\":1,\"value\":0}", "{\"type\":\"write_ok\"}");
    node_stop(c, (leader + 1) % 3);
    node_stop(c, (leader + 2) % 3);
    for (unsigned i = 0; i < 40; i++)
        client_sendf(cl, "{\"type\":\"%s\",\"msg_id\":%u,\"key\":1,\"value\":1}",
                     i % 2 == 0 ? "write" : "read_index", i);
    client_expect(cl, "{\"type\":\"ping\",\"msg_id\":99}",
                  "{\"type\":\"pong\",\"in_reply_to\":99,<*>}");
    node_signal(c, leader, SIGTERM);
    node_wait_logged(c, leader, "event=stopping");
    node_continue(c, (leader + 1) % 3);
    node_continue(c, (leader + 2) % 3);
    for (unsigned i = 0; i < 40; i++) {
        json_t *reply = client_recv_json(cl);
        int64_t id = reply_int(reply, "in_reply_to");

        assert_true(id >= 0 && id < 40 && !seen[id]);
        seen[id] = true;
        n_ok += !reply_is(reply, "error");
        json_decref(reply);
    }
    print_message("%u of 40 were done, the others told\n", n_ok);
    client_expect_end(cl);
    assert_int_equal(node_wait_exit(c, leader), 0);
    client_close(cl);
    cluster_free(c);
}

/* ---- the files ---- */

static void expect_local(struct cluster *c, unsigned node, const char *key, const char *value)
{
    struct client *cl = client_open(c, node);
    char ask[128];
    char pattern[8192];

    (void)snprintf(ask, sizeof(ask), "{\"type\":\"local_read\",\"key\":\"%s\"}", key);
    (void)snprintf(pattern, sizeof(pattern),
                   "{\"type\":\"local_read_ok\",\"value\":\"%s\",\"applied_index\":<n>,"
                   "\"linearizable\":false}",
                   value);
    client_expect(cl, ask, pattern);
    client_close(cl);
}

CASE(durability__state_is_rebuilt_from_the_log)
{
    struct cluster *c = cluster_up(3, NULL);
    struct client *cl;
    struct writers w;
    char path[PATH_MAX];

    writers_init(&w, c, 4, 8, "d", 10);
    writers_run(&w, 300);
    writers_stop(&w);
    (void)cluster_settle(c);
    for (unsigned i = 0; i < 3; i++) {
        node_kill(c, i);
        (void)snprintf(path, sizeof(path), "%s/db", c->nodes[i].dir);
        tree_remove(path, true);
    }
    cluster_start(c);
    for (unsigned i = 0; i < 3; i++)
        assert_false(node_logged(c, i, "found=same_boot"));
    /* A new leader's commit index is behind until its first entry is committed: this write waits for that. */
    cl = client_open(c, cluster_leader(c));
    client_expect(cl, "{\"type\":\"write\",\"key\":\"after\",\"value\":1}",
                  "{\"type\":\"write_ok\"}");
    client_close(cl);
    (void)cluster_settle(c);
    for (size_t i = 0; i < w.n; i++) {
        char key[32];
        char value[64];

        if (w.fates[i] != FATE_ACKNOWLEDGED || i % 16 != 0)
            continue;
        (void)snprintf(key, sizeof(key), "d%zu", i);
        (void)snprintf(value, sizeof(value), "%zu:..........", i);
        for (unsigned node = 0; node < 3; node++)
            expect_local(c, node, key, value);
    }
    writers_verify(&w, c);
    end(&w, c);
}

static unsigned a_follower(struct cluster *c)
{
    return (cluster_leader(c) + 1) % c->n;
}

/* The newest file of the node's log that holds records, and where these end: from --dump-log. */
static uint64_t end_of_log(struct cluster *c, unsigned node, char *path, size_t size)
{
    cleanup_buf struct buf out = BUF_INIT;
    const char *argv[] = {ridd_path(), "--dump-log", c->nodes[node].dir, NULL};
    const char *at;
    const char *last = NULL;
    char **names;
    unsigned n;
    unsigned newest;
    char wal[PATH_MAX];

    assert_int_equal(run_program(argv, &out), 0);
    for (at = (const char *)out.data; (at = strstr(at, " zeros ")) != NULL; at++)
        last = at;
    assert_non_null(last);
    while (last > (const char *)out.data && last[-1] != '=')
        last--;
    (void)snprintf(wal, sizeof(wal), "%s/wal", c->nodes[node].dir);
    n = folder_list(wal, &names);
    newest = n;
    while (newest > 0 && strstr(names[newest - 1], ".wal") == NULL)
        newest--; /* torn-... is what was cut before */
    assert_true(newest > 0);
    assert_true((size_t)snprintf(path, size, "%s/%s", wal, names[newest - 1]) < size);
    names_free(names, n);
    return strtoull(last, NULL, 10);
}

/* A batch that was being written when the node died, and that nobody was told of: it is cut. */
CASE(durability__torn_tail)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;

    writers_init(&w, c, 4, 8, "n", 100);
    for (unsigned round = 0; round < 2; round++) {
        cleanup_buf struct buf log = BUF_INIT;
        unsigned char torn[60];
        char path[2 * PATH_MAX];
        uint64_t at;
        unsigned node;

        writers_run(&w, 100);
        node = a_follower(c);
        node_kill(c, node);
        at = end_of_log(c, node, path, sizeof(path));
        file_read(path, &log);
        assert_true(at > sizeof(torn) && at + sizeof(torn) <= log.len);
        memset(torn, 0xa5, sizeof(torn)); /* rubbish, and then what looks like a record */
        if (round == 1)
            memcpy(torn, log.data + at - sizeof(torn), sizeof(torn));
        file_patch(path, at, torn, sizeof(torn));
        writers_run(&w, 100);
        node_start(c, node);
        if (node_log_lines(c, node, "level=warning", "event=log_torn_tail") != 1)
            harness_fail("no warning of a torn tail");
        (void)cluster_settle(c);
    }
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

/* Flips a bit at the very end of a dead node's log and starts it. False: of that batch something is
 * applied already, which the start knew and refused. How large the last batch is, and how much of
 * it was known to be committed, nobody can say beforehand. The bit is put back then. */
static bool start_without_last_batch(struct cluster *c, unsigned node)
{
    char path[2 * PATH_MAX];
    uint64_t at = end_of_log(c, node, path, sizeof(path));
    char *line;
    int code;

    file_xor(path, at - 3, 0x55);
    if (node_try_start(c, node, &code))
        return true;
    assert_int_equal(code, 65);
    line = node_log_line(c, node, "event=log_damaged");
    assert_non_null(line);
    assert_non_null(strstr(line, "the state machine holds index"));
    free(line);
    file_xor(path, at - 3, 0x55);
    return false;
}

/* The disk loses the very end of what was acknowledged. It looks like a torn tail; the leader that
 * was told of it refuses to take it back, the next one mends it. */
CASE(durability__last_batch_lost)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;
    char ask[128];
    struct client *cl;
    unsigned leader;
    unsigned node;
    unsigned tries = 0;

    writers_init(&w, c, 4, 8, "l", 100);
    writers_run(&w, 100);
    leader = cluster_leader(c);
    node = (leader + 1) % 3;
    node_kill(c, node);
    writers_run(&w, 100);
    while (!start_without_last_batch(c, node)) {
        assert_true(++tries < 50);
        node_start(c, node);
        writers_run(&w, 50);
        node_kill(c, node);
    }
    assert_int_equal(node_log_lines(c, node, "level=warning", "event=log_torn_tail"), 1);
    /* It names a file in quotes, so it stands in others. */
    assert_int_equal(node_log_lines(c, node, "event=log_torn_tail what=\"'", NULL), 1);
    leader = cluster_leader(c);
    if (leader != (node + 1) % 3) {
        cl = client_open(c, leader);
        (void)snprintf(ask, sizeof(ask), "{\"type\":\"transfer_leader\",\"to\":\"%s\"}",
                       c->nodes[(node + 1) % 3].name);
        client_expect(cl, ask, "{\"type\":\"transfer_leader_ok\",\"leader_id\":<s>}");
        client_close(cl);
    }
    writers_run(&w, 50);
    (void)cluster_settle(c);
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

/* A segment has its full size before it gets its name, so a short one is damage and not a torn
 * tail. */
CASE(durability__truncated_file_stops_the_node)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;
    char path[2 * PATH_MAX];
    uint64_t at;
    unsigned node;
    char *line;

    writers_init(&w, c, 4, 8, "u", 100);
    writers_run(&w, 100);
    node = a_follower(c);
    node_kill(c, node);
    at = end_of_log(c, node, path, sizeof(path));
    assert_int_equal(truncate(path, (off_t)(at - 3)), 0);
    node_spawn(c, node);
    assert_int_equal(node_wait_exit(c, node), 65);
    line = node_log_line(c, node, "event=log_damaged");
    assert_non_null(line);
    assert_non_null(strstr(line, "bytes long"));
    free(line);
    writers_run(&w, 100);
    writers_stop(&w);
    writers_verify(&w, c);
    end(&w, c);
}

CASE(durability__bit_flip_stops_the_node)
{
    struct cluster *c = cluster_up(3, NULL);
    struct writers w;
    char path[PATH_MAX];
    unsigned node;
    char *line;

    writers_init(&w, c, 4, 8, "b", 100);
    writers_run(&w, 300);
    node = a_follower(c);
    node_kill(c, node);
    (void)snprintf(path, sizeof(path), "%s/wal/0000000000000002.wal", c->nodes[node].dir);
    file_xor(path, 8000, 0x10);
    node_spawn(c, node);
    assert_int_equal(node_wait_exit(c, node), 65);
    line = node_log_line(c, node, "event=log_damaged");
    assert_non_null(line);
    assert_non_null(strstr(line, "0000000000000002.wal' offset "));
    assert_non_null(strstr(line, "index "));
    free(line);
    writers_run(&w, 100); /* the others go on */
    file_xor(path, 8000, 0x10);
    node_start(c, node);
    writers_stop(&w);
    (void)cluster_settle(c);
    writers_verify(&w, c);
    end(&w, c);
}

/* What was applied is in no file but the log for a while (STATE-17). A log that lost what a client was
 * told is refused all the same: a few bytes of the state outlive the kill. */
CASE(durability__what_was_applied_in_memory_is_evidence)
{
    static const unsigned char zeros[2000];
    struct cluster *c = cluster_up(1, NULL);
    struct writers w;
    struct buf bytes = BUF_INIT;
    char path[2 * PATH_MAX];
    char *line;

    writers_init(&w, c, 1, 1, "e", 100);
    writers_run(&w, 40);
    node_kill(c, 0);
    writers_stop(&w);
    (void)end_of_log(c, 0, path, sizeof(path));
    file_read(path, &bytes);
    while (bytes.len > sizeof(zeros) && bytes.data[bytes.len - 1] == 0)
        bytes.len--;
    assert_true(bytes.len > 4096 + sizeof(zeros));
    file_patch(path, bytes.len - sizeof(zeros), zeros, sizeof(zeros));
    buf_done(&bytes);
    node_spawn(c, 0);
    assert_int_equal(node_wait_exit(c, 0), 65);
    line = node_log_line(c, 0, "event=log_damaged");
    assert_non_null(line);
    assert_non_null(strstr(line, "the state machine holds index"));
    free(line);
    writers_done(&w);
    cluster_free(c);
}

static int64_t local_value(struct cluster *c, unsigned node)
{
    struct client *cl = client_open(c, node);
    json_t *reply = client_ask_json(cl, "{\"type\":\"local_read\",\"key\":\"k\"}");
    const int64_t value = reply_is(reply, "local_read_ok") ? reply_int(reply, "value") : -1;

    json_decref(reply);
    client_close(cl);
    return value;
}

/* A local read promises little, but never what is older than what the node has shown: nor after a
 * kill, with nobody else there. */
CASE(durability__a_local_read_does_not_go_back)
{
    struct cluster *c = cluster_up(3, NULL);
    struct client *cl = client_open(c, cluster_leader(c));
    const int64_t last = 300;
    int64_t value = -1;

    for (int64_t i = 1; i <= last; i++)
        (void)client_askf(cl, "{\"type\":\"write\",\"key\":\"k\",\"value\":%lld}", (long long)i);
    client_close(cl);
    for (unsigned i = 0; i < c->n; i++)
        wait_until(local_value(c, i) == last, "all to have applied it");
    for (unsigned i = 0; i < c->n; i++)
        node_kill(c, i);
    node_start(c, 2);
    wait_until((value = local_value(c, 2)) >= 0, "an answer");
    assert_int_equal(value, last);
    node_start(c, 0);
    node_start(c, 1);
    (void)cluster_settle(c);
    cluster_free(c);
}

/* What the state says of the log stays said: a node that was refused because its last batch is gone
 * from the log is refused again, also when the machine was started anew in between. */
CASE(durability__evidence_outlives_a_refused_start)
{
    static const unsigned char zeros[80];
    struct cluster *c = cluster_up(1, NULL);
    struct writers w;
    struct buf bytes = BUF_INIT;
    char path[2 * PATH_MAX];
    char trust[PATH_MAX];
    char *line;

    writers_init(&w, c, 1, 1, "e", 100);
    writers_run(&w, 5);
    writers_stop(&w);
    assert_int_equal(node_terminate(c, 0), 0);
    (void)end_of_log(c, 0, path, sizeof(path));
    file_read(path, &bytes);
    while (bytes.len > sizeof(zeros) && bytes.data[bytes.len - 1] == 0)
        bytes.len--;
    assert_true(bytes.len > 4096 + sizeof(zeros));
    /* The sync mark, and with it the end of the last batch. */
    file_patch(path, bytes.len - sizeof(zeros), zeros, sizeof(zeros));
    buf_done(&bytes);
    (void)snprintf(trust, sizeof(trust), "%s/db/TRUST", c->nodes[0].dir);
    for (unsigned round = 0; round < 3; round++) {
        node_spawn(c, 0);
        assert_int_equal(node_wait_exit(c, 0), 65);
        line = node_log_line(c, 0, "event=log_damaged");
        assert_non_null(line);
        assert_non_null(strstr(line, "the state machine holds index"));
        free(line);
        /* What it says of another boot counts as little as nothing. */
        (void)unlink(trust);
    }
    writers_done(&w);
    cluster_free(c);
}

/* db/ emptied and the last segments deleted: what is left of the log is whole, and not all of it. */
CASE(durability__deleted_segments_stop_the_node)
{
    struct cluster *c = cluster_up(1, NULL);
    struct writers w;
    char path[2 * PATH_MAX];
    char **names;
    char *line;
    unsigned n;
    unsigned n_segments = 0;

    writers_init(&w, c, 1, 1, "g", 100);
    for (unsigned start = 0; start < 3; start++) {
        writers_run(&w, 5);
        node_kill(c, 0);
        node_start(c, 0);
    }
    writers_run(&w, 5);
    writers_stop(&w);
    node_kill(c, 0);
    (void)snprintf(path, sizeof(path), "%s/db", c->nodes[0].dir);
    tree_remove(path, true);
    (void)snprintf(path, sizeof(path), "%s/wal", c->nodes[0].dir);
    n = folder_list(path, &names);
    for (unsigned i = n; i-- > 0;) {
        if (strstr(names[i], ".wal") == NULL || ++n_segments > 2)
            continue;
        (void)snprintf(path, sizeof(path), "%s/wal/%s", c->nodes[0].dir, names[i]);
        assert_int_equal(unlink(path), 0);
        node_spawn(c, 0);
        assert_int_equal(node_wait_exit(c, 0), 65);
        line = node_log_line(c, 0, "event=log_damaged");
        assert_non_null(line);
        assert_non_null(strstr(line, " is missing"));
        free(line);
    }
    assert_true(n_segments > 4);
    names_free(names, n);
    writers_done(&w);
    cluster_free(c);
}

/* More than the memory holds of the log: the follower is served from the disk. */
CASE(durability__catching_up_from_the_disk)
{
    struct cluster *c = cluster_up(3, "[log]\nsegment_size = 4M\n");
    struct writers w;
    unsigned node = a_follower(c);
    char last[64];
    char want[6100];
    int n;

    node_kill(c, node);
    writers_init(&w, c, 4, 8, "h", 6000);
    writers_run(&w, 1700); /* 10 MiB */
    node_start(c, node);
    writers_run(&w, 20);
    writers_stop(&w);
    (void)cluster_settle(c);
    for (size_t i = 0; i < w.n; i += 400) {
        if (w.fates[i] != FATE_ACKNOWLEDGED)
            continue;
        (void)snprintf(last, sizeof(last), "h%zu", i);
        n = snprintf(want, sizeof(want), "%zu:", i);
        memset(want + n, '.', 6000);
        want[n + 6000] = '\0';
        expect_local(c, node, last, want);
    }
    node_kill(c, node); /* and reads its own back */
    node_start(c, node);
    (void)cluster_settle(c);
    writers_verify(&w, c);
    end(&w, c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(durability__leaders_killed_under_writes),
        HARNESS_TEST(durability__leader_killed_while_followers_stand),
        HARNESS_TEST(durability__all_killed_at_once),
        HARNESS_TEST(durability__one_node),
        HARNESS_TEST(durability__five_nodes_two_down),
        HARNESS_TEST(durability__cas_counters),
        HARNESS_TEST(durability__minority_down),
        HARNESS_TEST(durability__majority_down),
        HARNESS_TEST(durability__leaders_terminated_under_writes),
        HARNESS_TEST(durability__termination_hands_over),
        HARNESS_TEST(durability__termination_answers_what_is_owed),
        HARNESS_TEST(durability__state_is_rebuilt_from_the_log),
        HARNESS_TEST(durability__torn_tail),
        HARNESS_TEST(durability__last_batch_lost),
        HARNESS_TEST(durability__truncated_file_stops_the_node),
        HARNESS_TEST(durability__bit_flip_stops_the_node),
        HARNESS_TEST(durability__what_was_applied_in_memory_is_evidence),
        HARNESS_TEST(durability__a_local_read_does_not_go_back),
        HARNESS_TEST(durability__evidence_outlives_a_refused_start),
        HARNESS_TEST(durability__deleted_segments_stop_the_node),
        HARNESS_TEST(durability__catching_up_from_the_disk),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
