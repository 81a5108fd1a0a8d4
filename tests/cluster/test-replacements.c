/* The short forms of two long ones, for the test command: members that are replaced under faults,
 * with snapshots every few seconds, and nodes that are restarted again and again. chaos.c has the
 * long forms and says how they are judged. RIDD_CHAOS_SECONDS shortens the first (20). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define SECONDS 20u

static uint64_t seed_of_now(void)
{
    return clock_wall_us() / 1000000u * 1000u + (uint64_t)getpid() % 1000u;
}

static uint64_t seconds(void)
{
    const char *text = getenv("RIDD_CHAOS_SECONDS");
    const unsigned long s = text != NULL ? strtoul(text, NULL, 10) : 0;

    return s >= 5 && s < SECONDS ? s : SECONDS;
}

/* MEMBER-14, MEMBER-9, PEER-11. */
CASE(replacements__members_are_replaced_under_faults)
{
    const struct chaos_conf conf = {.seed = seed_of_now(),
                                    .total_ms = 1000u * seconds(),
                                    .run_ms = 1000u * seconds(),
                                    .nodes = 3,
                                    .faults = FAULTS_BASIC,
                                    .replace_ms = 3000,
                                    .snapshot_ms = 3000,
                                    .say = true};

    chaos_run(&conf);
}

/* A place for n4 beside three founders, of which so many run. */
static struct cluster *with_a_place_beside(unsigned n_run, char *conf, size_t size,
                                           const char *extra)
{
    struct cluster *c = replacing_cluster(3, extra);

    cluster_init(c);
    c->n = n_run;
    cluster_start(c);
    c->n = 4;
    (void)snprintf(c->nodes[3].name, sizeof(c->nodes[3].name), "n4");
    (void)snprintf(conf, size, "%s/n4.conf", c->dir);
    cluster_write_conf_to(c, conf, "test", extra);
    c->nodes[3].conf = conf;
    return c;
}

static struct cluster *with_a_place(char *conf, size_t size, const char *extra)
{
    return with_a_place_beside(3, conf, size, extra);
}

static void replace(struct cluster *c, unsigned old, unsigned fresh)
{
    const struct node *node = &c->nodes[fresh];
    const char *const argv[] = {
        ridctl_path(),      "--config", c->conf,         "member",   "replace",
        c->nodes[old].name, node->name, node->peer_addr, node->addr, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    node_spawn_with(c, fresh, "--join");
    node_wait_logged(c, fresh, "waiting to be added");
    expect_code(run_program_within(argv, &out, 2 * WAIT_MS), 0, &out);
}

/* n4 takes the place of old while away is; then these two are all that is left. They are a majority,
 * and the one that was away is as good as any other when it has heard of n4. */
static void replaced_without(struct cluster *c, unsigned leader, unsigned old, unsigned away)
{
    const unsigned fresh = 3;
    struct client *cl;

    replace(c, old, fresh);
    assert_int_equal(node_wait_exit(c, old), 0);
    node_kill(c, leader);
    node_start(c, away);
    assert_int_equal(cluster_leader(c), fresh);
    cl = client_open(c, fresh);
    client_expect(cl, "{\"type\":\"write\",\"key\":\"a\",\"value\":1}",
                  "{\"type\":\"write_ok\"<*>");
    client_close(cl);
    (void)cluster_settle(c);
    node_start(c, leader);
    node_kill(c, fresh);
    (void)cluster_leader(c);
    (void)cluster_settle(c);
    cluster_free(c);
}

/* PEER-9: a founder that was down when the cluster got its random id cannot ask for a proof of it,
 * and does not know the new member, without which there is no majority. */
CASE(replacements__a_founder_missed_the_first_change)
{
    char conf[220];
    struct cluster *c = with_a_place(conf, sizeof(conf), NULL);
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;

    node_kill(c, away);
    replaced_without(c, leader, (leader + 2) % 3, away);
}

/* PEER-9: a founder that nobody had met when the members changed: the new one, without which there
 * is no majority, has nothing to show that it was told of it. */
CASE(replacements__a_founder_that_nobody_met)
{
    char conf[220];
    struct cluster *c = with_a_place_beside(2, conf, sizeof(conf), NULL);
    const unsigned leader = cluster_leader(c);

    replaced_without(c, leader, 1 - leader, 2);
}

static void remove_member(struct cluster *c, unsigned i)
{
    const char *const argv[] = {ridctl_path(), "--config",       c->conf, "member",
                                "remove",      c->nodes[i].name, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    expect_code(run_program_within(argv, &out, 2 * WAIT_MS), 0, &out);
}

/* PEER-11: the change that gives the cluster its id removes a founder, which therefore never has it,
 * whether it is there or comes back later. */
CASE(replacements__the_first_change_removes_a_founder)
{
    for (unsigned is_away = 0; is_away < 2; is_away++) {
        struct cluster *c = replacing_cluster(3, NULL);
        unsigned gone;

        c->n = 3;
        cluster_init(c);
        cluster_start(c);
        gone = (cluster_leader(c) + 1) % 3;
        if (is_away)
            node_kill(c, gone);
        remove_member(c, gone);
        if (is_away)
            node_spawn(c, gone);
        assert_int_equal(node_wait_exit(c, gone), 0);
        assert_true(node_logged(c, gone, "event=removed"));
        cluster_free(c);
    }
}

static void add(struct cluster *c, unsigned fresh)
{
    const struct node *node = &c->nodes[fresh];
    const char *const argv[] = {ridctl_path(), "--config",      c->conf,    "member", "add",
                                node->name,    node->peer_addr, node->addr, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    node_spawn_with(c, fresh, "--join");
    node_wait_logged(c, fresh, "waiting to be added");
    expect_code(run_program_within(argv, &out, 2 * WAIT_MS), 0, &out);
    c->n_members = 4;
}

static int64_t number_of(struct cluster *c, unsigned i, const char *object, const char *name)
{
    json_t *status = node_status(c, i);
    const int64_t value =
        reply_int(object != NULL ? json_object_get(status, object) : status, name);

    json_decref(status);
    return value;
}

/* PEER-9: a link that was a stranger's is one of a member, and as good, when the configuration has
 * come: what its node understands is known, so that it is brought a snapshot. */
CASE(replacements__who_came_as_a_stranger_is_brought_a_snapshot)
{
    const unsigned fresh = 3;
    char conf[220];
    struct cluster *c = with_a_place(conf, sizeof(conf),
                                     "[log]\nsegment_size = 1M\nsnapshot_bytes = 64K\n"
                                     "keep_bytes = 0\n");
    const unsigned leader = cluster_leader(c);
    const unsigned away = (leader + 1) % 3;
    const unsigned other = (leader + 2) % 3;
    struct client *cl;
    int64_t applied;
    struct writers w;

    writers_init(&w, c, 4, 4, "k", 2000);
    node_kill(c, away);
    add(c, fresh);
    /* Nobody tells it of the new one before that calls. */
    node_stop(c, leader);
    node_stop(c, other);
    node_start(c, away);
    wait_until(node_log_lines(c, away, "event=peer_up", "stranger=1") > 0, "the stranger");
    node_continue(c, leader);
    node_continue(c, other);
    (void)cluster_settle(c);
    wait_until(cluster_leads(c, away), "the one that was away to lead");
    applied = number_of(c, fresh, NULL, "applied_index");
    cl = client_open(c, away);
    node_stop(c, fresh);
    /* Beyond what may be under way to it. */
    for (unsigned i = 0; number_of(c, away, "snapshots", "log_begins_behind") < applied + 1000;
         i++) {
        if (i == 100)
            harness_fail("the front of the log does not go");
        writers_run(&w, 300);
        (void)client_ask(cl, "{\"type\":\"snapshot\"}");
    }
    node_continue(c, fresh);
    client_close(cl);
    writers_run(&w, 10);
    (void)cluster_settle(c);
    writers_stop(&w);
    writers_verify(&w, c);
    assert_true(node_logged(c, fresh, "event=snapshot_installed"));
    writers_done(&w);
    cluster_free(c);
}

CASE(replacements__nodes_are_restarted_again_and_again)
{
    const struct chaos_conf conf = {
        .seed = seed_of_now(), .nodes = 3, .n_cycles = 20, .window = 10, .say = true};

    chaos_restart(&conf);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(replacements__a_founder_missed_the_first_change),
        HARNESS_TEST(replacements__a_founder_that_nobody_met),
        HARNESS_TEST(replacements__the_first_change_removes_a_founder),
        HARNESS_TEST(replacements__who_came_as_a_stranger_is_brought_a_snapshot),
        cmocka_unit_test_teardown(replacements__members_are_replaced_under_faults, chaos_teardown),
        cmocka_unit_test_teardown(replacements__nodes_are_restarted_again_and_again,
                                  chaos_teardown),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
