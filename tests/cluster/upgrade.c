/* Two versions in one cluster: every node becomes one of this version, one at a time, and then one
 * of the earlier version again, under load and faults.
 *
 * RIDD_UPGRADE_OLD is the build folder of the earlier version, which tools/test --upgrade REV makes;
 * without it the cases are skipped. Each version runs from its own program and reads its own file,
 * since an earlier one refuses keys that it does not know. While both are there the nodes of this
 * version make snapshots as often as they can and keep nothing of the log: what holds the log
 * together for the earlier version is the gate alone (MEMBER-17), and without it the way back is
 * closed. RIDD_UPGRADE_SECONDS is the time of each step (3). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/chaos.h"
#include "cluster/snapshots.h"

#include "base/banned.h"

#define NODES     3u
#define CLIENTS   6u
#define FLOOD_MS  20u
#define FAULTS    ((1u << FAULT_KILL) | (1u << FAULT_PAUSE) | (1u << FAULT_PARTITION))
#define LOG_BYTES (3u * SEGMENT_BYTES) /* enough of it that there is a front to go */
/* Of the earlier version, where a later one wrote its log. */
#define EXIT_VERSION 78

#define PLAIN "[log]\nsegment_size = 1M\n"
#define EAGER PLAIN "snapshot_bytes = 64K\nkeep_bytes = 0\n"
#define LEASE PLAIN "[reads]\nlease_ms = 300\n"

struct upgrade {
    struct cluster *cluster; /* owned */
    struct nemesis *nemesis; /* owned */
    struct load *load;       /* owned */
    struct history history;
    struct flood floods[NODES];
    uint64_t flooded_ms;
    uint64_t seed;
    char old_program[4096];
    char old_conf[256];
};

static const char *old_build(void)
{
    const char *path = getenv("RIDD_UPGRADE_OLD");

    return path != NULL && path[0] != '\0' ? path : NULL;
}

static void skip_without_old_build(void)
{
    if (old_build() != NULL)
        return;
    harness_end();
    skip();
}

static uint64_t step_ms(void)
{
    const char *seconds = getenv("RIDD_UPGRADE_SECONDS");
    const unsigned long s = seconds != NULL ? strtoul(seconds, NULL, 10) : 0;

    return s > 0 && s < 3600 ? s * 1000u : 3000u;
}

static bool is_new(const struct upgrade *u, unsigned i)
{
    return u->cluster->nodes[i].program == NULL;
}

static unsigned n_new(const struct upgrade *u)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        n += is_new(u, i);
    return n;
}

/* ---- making ---- */

static void become(struct upgrade *u, unsigned i, bool new)
{
    u->cluster->nodes[i].program = new ? NULL : u->old_program;
    u->cluster->nodes[i].conf = new ? NULL : u->old_conf;
}

static void write_old_conf(struct upgrade *u)
{
    char conf[sizeof(u->cluster->conf)];

    (void)snprintf(conf, sizeof(conf), "%s", u->cluster->conf);
    (void)snprintf(u->cluster->conf, sizeof(u->cluster->conf), "%s", u->old_conf);
    cluster_write_conf(u->cluster, "test", PLAIN);
    (void)snprintf(u->cluster->conf, sizeof(u->cluster->conf), "%s", conf);
}

/* By the earlier version. */
static void init_all(const struct upgrade *u)
{
    for (unsigned i = 0; i < NODES; i++) {
        const char *const argv[] = {
            u->old_program, "--config", u->old_conf, "--id", u->cluster->nodes[i].name,
            "--init",       NULL};
        cleanup_buf struct buf out = BUF_INIT;

        expect_code(run_program(argv, &out), 0, &out);
    }
}

static void begin(struct upgrade *u, uint64_t seed)
{
    struct cluster *c = cluster_new(NODES, EAGER);

    *u = (struct upgrade){.cluster = c, .seed = seed};
    (void)snprintf(u->old_program, sizeof(u->old_program), "%s/ridd", old_build());
    (void)snprintf(u->old_conf, sizeof(u->old_conf), "%s/old", c->dir);
    if (access(u->old_program, X_OK) != 0)
        harness_fail("there is no '%s'", u->old_program);
    write_old_conf(u);
    for (unsigned i = 0; i < NODES; i++)
        become(u, i, false);
    u->nemesis = nemesis_new(c, FAULTS, seed, true);
    init_all(u);
    nemesis_start_all(u->nemesis);
    history_init(&u->history);
    u->load = load_new(c, CLIENTS, 1, seed, &u->history);
    (void)printf("seed=%llu earlier=%s\n", (unsigned long long)seed, u->old_program);
}

static void end(struct upgrade *u)
{
    load_free(u->load);
    history_done(&u->history);
    for (unsigned i = 0; i < NODES; i++)
        node_kill(u->cluster, i);
    nemesis_free(u->nemesis);
    cluster_free(u->cluster);
}

/* Of the nodes of this version, from now on. */
static void take_new_conf(struct upgrade *u, const char *extra)
{
    struct cluster *c = u->cluster;

    cluster_write_conf(c, "test", extra);
    for (unsigned i = 0; i < NODES; i++) {
        unsigned n;

        if (!is_new(u, i))
            continue;
        n = node_log_lines(c, i, "event=reloaded", NULL);
        node_signal(c, i, SIGHUP);
        wait_until(node_log_lines(c, i, "event=reloaded", NULL) > n, "the file to be read again");
    }
}

/* ---- going on ---- */

/* Whoever leads writes a segment in a moment. */
static void flood(struct upgrade *u)
{
    if (now_ms() < u->flooded_ms + FLOOD_MS)
        return;
    u->flooded_ms = now_ms();
    for (unsigned i = 0; i < NODES; i++)
        flood_turn(&u->floods[i], u->cluster->nodes[i].port);
}

static void end_floods(struct upgrade *u)
{
    for (unsigned i = 0; i < NODES; i++)
        flood_end(&u->floods[i]);
}

static void suffer(struct upgrade *u, uint64_t ms)
{
    const uint64_t ends_ms = now_ms() + ms;

    while (now_ms() < ends_ms) {
        load_turn(u->load, 10);
        nemesis_turn(u->nemesis, load_leader(u->load));
        flood(u);
    }
}

/* All faults end; then all go on. */
static void heal(struct upgrade *u)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    const uint64_t goal = load_get_stats(u->load)->n_acknowledged + 20;

    nemesis_heal(u->nemesis);
    while (load_get_stats(u->load)->n_acknowledged < goal) {
        if (now_ms() > deadline)
            harness_fail("no progress although all faults have ended");
        load_turn(u->load, 10);
        nemesis_watch(u->nemesis);
    }
    (void)cluster_leader(u->cluster);
}

static void exchange(struct upgrade *u, unsigned i, bool new)
{
    struct node *node = &u->cluster->nodes[i];
    const bool kills = (u->seed + i + new) % 2 == 0;
    const uint64_t deadline = now_ms() + slow(WAIT_MS);

    (void)printf("== %s becomes %s (%s)\n", node->name, new ? "new" : "old",
                 kills ? "kill -9" : "stopped");
    (void)fflush(stdout);
    if (kills)
        node_kill(u->cluster, i);
    else
        assert_int_equal(node_terminate(u->cluster, i), 0);
    become(u, i, new);
    nemesis_heal(u->nemesis); /* starts it */
    while (!node_logged(u->cluster, i, " event=ready ")) {
        if (now_ms() > deadline)
            harness_fail("%s does not become ready", node->name);
        load_turn(u->load, 10);
        nemesis_watch(u->nemesis); /* it may refuse to start, and say why */
    }
}

/* ---- looking ---- */

static bool kept_for_somebody(struct upgrade *u, unsigned i)
{
    json_t *status = node_status(u->cluster, i);
    const json_t *snapshots = json_object_get(status, "snapshots");
    const bool is_kept = json_is_string(json_object_get(snapshots, "front_kept_for"));

    json_decref(status);
    return is_kept;
}

static void wait_until_there_is_a_front(struct upgrade *u)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);

    for (unsigned i = 0; i < NODES; i++)
        while (is_new(u, i) && wal_bytes(u->cluster, i) <= LOG_BYTES) {
            if (now_ms() > deadline)
                harness_fail("the log of %s does not grow", u->cluster->nodes[i].name);
            load_turn(u->load, 10);
            flood(u);
        }
}

/* The whole log is there, it is said for whom, and there would be something to go. */
static void expect_whole_logs(struct upgrade *u)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (!is_new(u, i))
            continue;
        assert_int_equal(snap_of(u->cluster, i, "log_begins_behind"), 0);
        if (n_new(u) == NODES)
            continue;
        if (!kept_for_somebody(u, i))
            harness_fail("%s keeps its log for nobody", u->cluster->nodes[i].name);
        wait_until(snap_of(u->cluster, i, "index") > 0, "a snapshot");
    }
}

/* A node of this version leads, and does not change the members while one would not understand
 * it. */
static void expect_no_change_of_members(struct upgrade *u)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    struct client *cl;
    unsigned i = 0;
    json_t *reply;

    while (!is_new(u, i))
        i++;
    for (unsigned k = 0; k < NODES; k++) {
        char up[64];

        (void)snprintf(up, sizeof(up), "event=peer_up peer=%s ", u->cluster->nodes[k].name);
        if (k != i)
            node_wait_logged(u->cluster, i, up);
    }
    while (!cluster_leads(u->cluster, i))
        if (now_ms() > deadline)
            harness_fail("%s does not come to lead", u->cluster->nodes[i].name);
    cl = client_open(u->cluster, i);
    wait_until(({
                   bool said;

                   reply = client_ask_json(cl, "{\"type\":\"member_demote\",\"id\":\"n2\"}");
                   said = strcmp(reply_str(reply, "error"), "precondition_failed") == 0;
                   if (!said && !reply_is(reply, "error"))
                       harness_fail("the members are changed while one is of an earlier version");
                   if (said && strstr(reply_str(reply, "text"), "runs a version") == NULL)
                       harness_fail("it says '%s'", reply_str(reply, "text"));
                   json_decref(reply);
                   said;
               }),
               "a refusal");
    client_close(cl);
}

/* Nor does it open a session, or take a write that names one: an earlier node would end at that
 * entry (SESSION-7). */
static void expect_no_sessions(struct upgrade *u)
{
    static const char *const lines[] = {
        "{\"type\":\"open_session\"}",
        "{\"type\":\"write\",\"key\":\"s\",\"value\":1,\"client\":\"5\",\"seq\":1}"};
    unsigned i = 0;

    while (!is_new(u, i))
        i++;
    for (unsigned k = 0; k < sizeof(lines) / sizeof(lines[0]); k++)
        wait_until(({
                       struct client *cl = client_open(u->cluster, i);
                       json_t *reply = client_ask_json(cl, lines[k]);
                       const bool said = strcmp(reply_str(reply, "error"), "not_supported") == 0;

                       if (!said && !reply_is(reply, "error"))
                           harness_fail("a session while one is of an earlier version");
                       if (said && strstr(reply_str(reply, "text"), "understand sessions") == NULL)
                           harness_fail("it says '%s'", reply_str(reply, "text"));
                       json_decref(reply);
                       client_close(cl);
                       if (!said)
                           (void)cluster_leads(u->cluster, i);
                       said;
                   }),
                   "a refusal");
}

static void expect_good(struct upgrade *u)
{
    struct check_verdict a;
    struct check_verdict b;

    end_floods(u);
    heal(u);
    load_stop(u->load);
    (void)cluster_settle(u->cluster);
    load_read_all(u->load);
    expect_equal_states(u->cluster);
    history_check_index(&u->history, &a);
    history_check_keys(&u->history, &b);
    if (a.result != CHECK_GOOD)
        history_print_timeline(&u->history, &a, "judge A", method_names, stderr);
    if (b.result != CHECK_GOOD)
        history_print_timeline(&u->history, &b, "judge B", method_names, stderr);
    if (a.result != CHECK_GOOD || b.result != CHECK_GOOD)
        harness_fail("seed %llu: the history is not linearizable", (unsigned long long)u->seed);
    (void)printf("good: %zu operations, %llu writes acknowledged, %llu digests compared\n",
                 u->history.n, (unsigned long long)load_get_stats(u->load)->n_acknowledged,
                 (unsigned long long)load_get_stats(u->load)->n_digests);
}

/* ---- the way there and back ---- */

/* What was met last counts: nobody knows yet that one that is just coming back is another. */
static void wait_until_met(struct upgrade *u)
{
    for (unsigned i = 0; i < NODES; i++)
        if (is_new(u, i))
            wait_until(kept_for_somebody(u, i), "the others to meet it");
}

static void step(struct upgrade *u, unsigned i, bool new)
{
    exchange(u, i, new);
    if (n_new(u) > 0 && n_new(u) < NODES) {
        wait_until_met(u);
        take_new_conf(u, EAGER);
    }
    suffer(u, step_ms());
    heal(u);
    wait_until_there_is_a_front(u);
    expect_whole_logs(u);
    if (n_new(u) > 0 && n_new(u) < NODES) {
        expect_no_change_of_members(u);
        expect_no_sessions(u);
    }
}

static void there_and_back(const unsigned order[NODES], uint64_t seed)
{
    struct upgrade u;

    begin(&u, seed);
    suffer(&u, step_ms());
    heal(&u);
    for (unsigned k = 0; k < NODES; k++) {
        /* Where all are of this version nothing but the file keeps the log. */
        if (k + 1 == NODES)
            take_new_conf(&u, PLAIN);
        step(&u, order[k], true);
    }
    for (unsigned k = 0; k < NODES; k++)
        step(&u, order[k], false);
    expect_good(&u);
    end(&u);
}

CASE(upgrade__first_to_last_and_back)
{
    static const unsigned order[NODES] = {0, 1, 2};

    skip_without_old_build();
    there_and_back(order, clock_wall_us() / 1000000u);
}

CASE(upgrade__last_to_first_and_back)
{
    static const unsigned order[NODES] = {2, 1, 0};

    skip_without_old_build();
    there_and_back(order, clock_wall_us() / 1000000u + 1);
}

/* Until it begins behind that; where. */
static int64_t drive_log(struct upgrade *u, unsigned i, int64_t behind)
{
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    int64_t begins;

    while ((begins = snap_of(u->cluster, i, "log_begins_behind")) <= behind) {
        if (now_ms() > deadline)
            harness_fail("the log of %s is kept although all are new", u->cluster->nodes[i].name);
        load_turn(u->load, 10);
        flood(u);
    }
    assert_false(kept_for_somebody(u, i));
    return begins;
}

/* Once the front of the log went the earlier version refuses to start, in words, and does no harm:
 * this one goes on with what is there. */
CASE(upgrade__what_cannot_go_back_says_so)
{
    struct upgrade u;
    int64_t begins[NODES] = {0};
    struct cluster *c;
    int code = 0;

    skip_without_old_build();
    begin(&u, clock_wall_us() / 1000000u + 2);
    c = u.cluster;
    for (unsigned i = 0; i < NODES; i++)
        exchange(&u, i, true);
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < 4; k++) /* so far that it was opened without its beginning */
            begins[i] = drive_log(&u, i, begins[i]);
    end_floods(&u);
    assert_int_equal(node_terminate(c, 0), 0);
    become(&u, 0, false);
    assert_false(node_try_start(c, 0, &code));
    assert_int_equal(code, EXIT_VERSION);
    assert_true(node_logged(c, 0, "a later version of ridd wrote it"));
    become(&u, 0, true);
    expect_good(&u); /* starts it */
    end(&u);
}

/* With the first session the state is one that the earlier version refuses, in words (SESSION-7);
 * the log would be whole. This one goes on, and the session with it. */
CASE(upgrade__a_session_closes_the_way_back)
{
    struct upgrade u;
    struct cluster *c;
    struct client *cl;
    char name[32];
    int code = 0;

    skip_without_old_build();
    begin(&u, clock_wall_us() / 1000000u + 3);
    c = u.cluster;
    cluster_write_conf(c, "test", PLAIN);
    for (unsigned i = 0; i < NODES; i++)
        exchange(&u, i, true);
    heal(&u);
    wait_until(({
                   json_t *reply;

                   cl = client_open(c, cluster_leader(c));
                   reply = client_ask_json(cl, "{\"type\":\"open_session\"}");
                   (void)snprintf(name, sizeof(name), "%s", reply_str(reply, "client"));
                   json_decref(reply);
                   client_close(cl);
                   name[0] != '\0';
               }),
               "a session");
    (void)cluster_settle(c);
    assert_int_equal(node_terminate(c, 0), 0);
    become(&u, 0, false);
    assert_false(node_try_start(c, 0, &code));
    assert_int_equal(code, EXIT_VERSION);
    assert_true(node_logged(c, 0, "was written by a later version"));
    become(&u, 0, true);
    expect_good(&u); /* starts it */
    cl = client_open(c, cluster_leader(c));
    (void)client_askf(
        cl, "{\"type\":\"write\",\"key\":\"s\",\"value\":1,\"client\":\"%s\",\"seq\":1}", name);
    client_expect(cl, "{\"type\":\"write\",\"key\":\"s\",\"value\":2}", "{\"type\":\"write_ok\"}");
    assert_string_equal(
        client_askf(
            cl, "{\"type\":\"write\",\"key\":\"s\",\"value\":1,\"client\":\"%s\",\"seq\":1}", name),
        "{\"type\":\"write_ok\"}");
    client_expect(cl, "{\"type\":\"read\",\"key\":\"s\"}", "{\"type\":\"read_ok\",\"value\":2}");
    client_close(cl);
    end(&u);
}

static bool some_new_node_logged(struct upgrade *u, const char *text)
{
    for (unsigned i = 0; i < NODES; i++)
        if (is_new(u, i) && node_logged(u->cluster, i, text))
            return true;
    return false;
}

/* LEASE-15: a lease is wanted, but not taken while one member does not know of leases, whoever leads. Once
 * all know nobody goes back: the earlier version has no link, or refuses the log of a node that promised
 * something, and does no harm. */
CASE(upgrade__leases_wait_for_the_last_node)
{
    struct upgrade u;
    struct cluster *c;
    int code = 0;

    skip_without_old_build();
    begin(&u, clock_wall_us() / 1000000u + 3);
    c = u.cluster;
    for (unsigned i = 0; i + 1 < NODES; i++)
        exchange(&u, i, true);
    take_new_conf(&u, LEASE);
    suffer(&u, step_ms());
    heal(&u);
    assert_false(some_new_node_logged(&u, "event=leases_known "));
    exchange(&u, NODES - 1, true);
    wait_until(some_new_node_logged(&u, "event=leases_known "), "all to know of leases");
    end_floods(&u);
    heal(&u);
    assert_int_equal(node_terminate(c, 0), 0);
    become(&u, 0, false);
    if (node_try_start(c, 0, &code)) {
        wait_until(some_new_node_logged(&u, "we speak 3 to 3"),
                   "the earlier version to be refused");
        assert_int_equal(node_terminate(c, 0), 0);
    } else {
        assert_int_equal(code, EXIT_VERSION);
        assert_true(node_logged(c, 0, "a later version of ridd wrote it"));
    }
    become(&u, 0, true);
    expect_good(&u); /* starts it */
    end(&u);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {HARNESS_TEST(upgrade__first_to_last_and_back),
                                       HARNESS_TEST(upgrade__last_to_first_and_back),
                                       HARNESS_TEST(upgrade__what_cannot_go_back_says_so),
                                       HARNESS_TEST(upgrade__a_session_closes_the_way_back),
                                       HARNESS_TEST(upgrade__leases_wait_for_the_last_node)};

    return harness_main(argc, argv, tests, NULL, NULL);
}
