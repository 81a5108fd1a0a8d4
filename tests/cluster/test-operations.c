/* docs/OPERATIONS.md: each procedure with the commands that stand there (book.h), while clients read
 * and write whose histories are judged afterwards. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/stage.h"

/* As "Install" has it. */
static void install(struct stage *s)
{
    stage_begin(s, 3);
    book_run(&s->book, "install");
    stage_clients_begin(s);
}

/* Whoever is removed stops by itself, before anybody stops it. */
static void wait_removed(void *ctx, const struct book_command *command)
{
    struct stage *s = ctx;
    const int i = cluster_find(s->c, command->machine);

    if (strncmp(command->text, "systemctl disable", 17) == 0 && s->c->nodes[i].pid != 0)
        assert_int_equal(node_wait_exit(s->c, (unsigned)i), 0);
}

static void procedure(struct stage *s, const char *name, unsigned n_members)
{
    book_run(&s->book, name);
    s->c->n_members = n_members;
    book_run(&s->book, "well");
}

/* PEER-11: the end of a node that was told that it is none any more. */
static void expect_removed(struct cluster *c, unsigned i)
{
    assert_int_equal(c->nodes[i].pid, 0);
    assert_true(node_logged(c, i, " event=removed "));
}

CASE(operations__install_grow_and_shrink)
{
    struct stage s;

    install(&s);
    procedure(&s, "grow", 4);
    procedure(&s, "grow-again", 5);
    s.book.before = wait_removed;
    s.book.ctx = &s;
    procedure(&s, "shrink", 4);
    expect_removed(s.c, 4);
    procedure(&s, "shrink-again", 3);
    expect_removed(s.c, 3);
    stage_clients_end(&s);
    stage_end(&s);
}

CASE(operations__replace_a_dead_server)
{
    struct stage s;

    install(&s);
    node_kill(s.c, 1);
    procedure(&s, "replace", 3);
    /* It comes back all the same, without the cluster's id: it is told, and ends. */
    book_aim(&s.book, 1);
    node_spawn(s.c, 1);
    assert_int_equal(node_wait_exit(s.c, 1), 0);
    expect_removed(s.c, 1);
    book_run(&s.book, "well");
    stage_clients_end(&s);
    stage_end(&s);
}

/* IDENTITY-5: its own file alone is changed. */
CASE(operations__move_a_server)
{
    struct stage s;

    install(&s);
    book_run(&s.book, "move");
    /* Where the clients find it. */
    s.c->nodes[2].port = s.c->nodes[CLUSTER_NODES_MAX - 1].port;
    s.c->nodes[2].peer_port = s.c->nodes[CLUSTER_NODES_MAX - 1].peer_port;
    if (s.c->nodes[2].admin_fd >= 0)
        (void)close(s.c->nodes[2].admin_fd);
    s.c->nodes[2].admin_fd = -1;
    book_run(&s.book, "well");
    stage_clients_end(&s);
    stage_end(&s);
}

CASE(operations__keep_a_learner)
{
    struct stage s;

    install(&s);
    procedure(&s, "learner", 3);
    stage_clients_end(&s);
    stage_end(&s);
}

CASE(operations__a_lost_disk)
{
    struct stage s;

    install(&s);
    procedure(&s, "lost-disk", 3);
    stage_clients_end(&s);
    stage_end(&s);
}

CASE(operations__upgrade_and_snapshot)
{
    struct stage s;
    char path[300];

    install(&s);
    procedure(&s, "upgrade", 3);
    procedure(&s, "snapshot", 3);
    (void)snprintf(path, sizeof(path), "%s/backup/ridd.snap", s.c->dir);
    assert_true(file_size(path) > 0);
    stage_clients_end(&s);
    stage_end(&s);
}

CASE(operations__tune)
{
    struct stage s;
    json_t *status;

    install(&s);
    procedure(&s, "tune", 3);
    for (unsigned i = 0; i < 3; i++) {
        status = node_status(s.c, i);
        assert_int_equal(reply_int(status, "election_ms"), 1200);
        assert_int_equal(reply_int(status, "heartbeat_ms"), 120);
        json_decref(status);
    }
    stage_clients_end(&s);
    stage_end(&s);
}

static bool is_still(struct stage *s)
{
    const uint64_t index = cluster_settle(s->c);
    const uint64_t until = now_ms() + slow(200);

    while (now_ms() < until)
        pause_briefly();
    return cluster_settle(s->c) == index;
}

/* What the one that is left had is all there; the others come back empty. */
CASE(operations__quorum_lost_for_ever)
{
    struct stage s;

    install(&s);
    procedure(&s, "snapshot", 3);
    /* They stand still: whatever they have asked for is done, and is everywhere. */
    stage_clients_pause(true, &s);
    wait_until(is_still(&s), "the end of what is under way");
    node_kill(s.c, 0);
    node_kill(s.c, 1);
    stage_clients_pause(false, &s);
    s.c->n_members = 1;
    procedure(&s, "lost-quorum", 3);
    stage_clients_end(&s);
    stage_end(&s);
}

/* MEMBER-8 in the words of its operator. */
CASE(operations__words)
{
    struct stage s;

    install(&s);
    procedure(&s, "words", 3);
    stage_clients_end(&s);
    stage_end(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(operations__install_grow_and_shrink),
        HARNESS_TEST(operations__replace_a_dead_server),
        HARNESS_TEST(operations__move_a_server),
        HARNESS_TEST(operations__keep_a_learner),
        HARNESS_TEST(operations__a_lost_disk),
        HARNESS_TEST(operations__upgrade_and_snapshot),
        HARNESS_TEST(operations__tune),
        HARNESS_TEST(operations__quorum_lost_for_ever),
        HARNESS_TEST(operations__words),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
