/* docs/OPERATIONS.md: each procedure with the commands that stand there (book.h), while clients read
 * and write whose histories are judged afterwards. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/book.h"
#include "cluster/chaos.h"

#define CLIENTS 4u

struct stage {
    struct cluster *c;
    struct book book;
    struct load *load;
    struct history history;
};

/* ---- clients beside it ---- */

static void turn(void *ctx)
{
    load_turn(((struct stage *)ctx)->load, 4);
}

static void clients_begin(struct stage *s)
{
    history_init(&s->history);
    s->load = load_new(s->c, CLIENTS, 1, now_ms(), &s->history);
    harness_meanwhile(turn, s);
}

static void judge(const struct stage *s)
{
    struct check_verdict v;

    history_check_index(&s->history, &v);
    if (v.result == CHECK_GOOD)
        history_check_keys(&s->history, &v);
    if (v.result != CHECK_GOOD)
        harness_fail("%s: %s", v.result == CHECK_BAD ? "not linearizable" : "the search gave up",
                     v.why);
}

/* Nobody waits: all that was acknowledged is there, and what was seen has an order. */
static void clients_end(struct stage *s)
{
    const struct load_stats *stats = load_get_stats(s->load);

    wait_until(stats->n_acknowledged > 50 && stats->n_ok[METHOD_READ_INDEX] > 50, "clients");
    harness_meanwhile(NULL, NULL);
    load_stop(s->load);
    load_read_all(s->load);
    judge(s);
    load_free(s->load);
    s->load = NULL;
    history_done(&s->history);
}

/* ---- the cluster ---- */

static void stage_begin(struct stage *s, unsigned founders)
{
    memset(s, 0, sizeof(*s));
    s->c = cluster_new(CLUSTER_NODES_MAX, NULL);
    s->c->n_members = founders;
    book_open(&s->book, s->c, founders);
}

static void stage_end(struct stage *s)
{
    cluster_free(s->c);
    book_close(&s->book);
}

/* As "Install" has it. */
static void install(struct stage *s)
{
    stage_begin(s, 3);
    book_run(&s->book, "install");
    clients_begin(s);
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
    clients_end(&s);
    stage_end(&s);
}

CASE(operations__replace_a_dead_server)
{
    struct stage s;
    cleanup_buf struct buf out = BUF_INIT;

    install(&s);
    node_kill(s.c, 1);
    procedure(&s, "replace", 3);
    /* It comes back all the same: it is refused, and said so. */
    book_aim(&s.book, 1);
    node_start(s.c, 1);
    {
        const struct book_command look = {.machine = "any", .text = "ridctl status"};

        wait_until(book_do(&s.book, &look, &out) == 6 &&
                       strstr((const char *)out.data, "n2 is no member") != NULL,
                   "a refusal");
    }
    assert_int_equal(node_terminate(s.c, 1), 0);
    book_run(&s.book, "well");
    clients_end(&s);
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
    clients_end(&s);
    stage_end(&s);
}

CASE(operations__keep_a_learner)
{
    struct stage s;

    install(&s);
    procedure(&s, "learner", 3);
    clients_end(&s);
    stage_end(&s);
}

CASE(operations__a_lost_disk)
{
    struct stage s;

    install(&s);
    procedure(&s, "lost-disk", 3);
    clients_end(&s);
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
    clients_end(&s);
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
    harness_meanwhile(NULL, NULL);
    wait_until(is_still(&s), "the end of what is under way");
    node_kill(s.c, 0);
    node_kill(s.c, 1);
    harness_meanwhile(turn, &s);
    s.c->n_members = 1;
    procedure(&s, "lost-quorum", 3);
    clients_end(&s);
    stage_end(&s);
}

/* MEMBER-8 in the words of its operator. */
CASE(operations__words)
{
    struct stage s;

    install(&s);
    procedure(&s, "words", 3);
    clients_end(&s);
    stage_end(&s);
}

/* ---- 1, 2, 3, 5, 7 and back, without a leader that lives ---- */

struct killer {
    struct stage *s;
    bool member[CLUSTER_NODES_MAX];
    int down; /* killed, and left so for a step; -1: none */
    unsigned n_kills;
};

static unsigned count_members(const struct killer *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        n += k->member[i];
    return n;
}

static void bring_back(struct killer *k)
{
    const int i = k->down;

    k->down = -1;
    if (i < 0 || k->s->c->nodes[i].pid != 0 || !k->member[i])
        return;
    book_aim(&k->s->book, (unsigned)i);
    node_start(k->s->c, (unsigned)i);
}

static bool begins(const struct book_command *command, const char *with)
{
    return strncmp(command->text, with, strlen(with)) == 0;
}

/* What the step before has brought about. */
static void count(struct killer *k, const struct book_command *command)
{
    const int i = cluster_find(k->s->c, command->machine);

    if (begins(command, "kill %1"))
        k->member[i] = true;
    else if (begins(command, "systemctl disable"))
        k->member[i] = false;
    k->s->c->n_members = count_members(k);
}

/* Between two steps. Where the others are a quorum, and one more than that, it stays away for the
 * next one. */
static void kill_leader(void *ctx, const struct book_command *command)
{
    struct killer *k = ctx;
    unsigned leader;

    count(k, command);
    bring_back(k);
    if (begins(command, "systemctl enable") && count_members(k) == 2)
        return; /* the other one is stopped */
    leader = cluster_leader(k->s->c);
    node_kill(k->s->c, leader);
    k->n_kills++;
    k->down = (int)leader;
    if (count_members(k) < 5)
        bring_back(k);
}

static void grow_to(struct killer *k, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (k->member[i])
            continue;
        book_run_as(&k->s->book, "grow", i + 1);
        bring_back(k);
    }
}

static void shrink_to(struct killer *k, unsigned n)
{
    for (unsigned i = CLUSTER_NODES_MAX; i-- > n;) {
        if (!k->member[i])
            continue;
        book_run_as(&k->s->book, "shrink-again", i + 1);
        bring_back(k);
    }
}

CASE(operations__one_to_seven_and_back_while_leaders_die)
{
    static const unsigned sizes[] = {2, 3, 5, 7, 5, 3, 2, 1};
    struct stage s;
    struct killer k = {.s = &s, .down = -1, .member = {true}};
    cleanup_buf struct buf out = BUF_INIT;

    stage_begin(&s, 1);
    book_aim(&s.book, 0);
    assert_int_equal(run_ridd(s.c->conf, "n1", &out, "--init", NULL), 0);
    node_start(s.c, 0);
    clients_begin(&s);
    s.book.before = kill_leader;
    s.book.ctx = &k;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] > count_members(&k))
            grow_to(&k, sizes[i]);
        else
            shrink_to(&k, sizes[i]);
    }
    s.book.before = NULL;
    book_run(&s.book, "well");
    print_message("%u leaders were killed\n", k.n_kills);
    assert_true(k.n_kills > 40);
    clients_end(&s);
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
        HARNESS_TEST(operations__quorum_lost_for_ever),
        HARNESS_TEST(operations__words),
        HARNESS_TEST(operations__one_to_seven_and_back_while_leaders_die),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
