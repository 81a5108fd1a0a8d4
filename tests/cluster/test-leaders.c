/* From one node to seven and back with the commands of docs/OPERATIONS.md, while the leader is killed
 * between all steps, and once more while each change is under way. */
#include <string.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/stage.h"

#define WITHIN_MS 700u /* a kill comes in the first so many of a change */
#define RETURN_MS 200u

struct killer {
    struct stage *s;
    bool member[CLUSTER_NODES_MAX];
    int down;         /* killed, and left so for a step; -1: none */
    int gone;         /* killed within a step; -1: none */
    uint64_t kill_ms; /* whoever leads is killed then; 0: never */
    uint64_t back_ms; /* and is back then */
    struct prng prng;
    unsigned n_kills;
    unsigned n_within;
};

static unsigned count_members(const struct killer *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++)
        n += k->member[i];
    return n;
}

static void start(struct killer *k, int i)
{
    if (i < 0 || k->s->c->nodes[i].pid != 0 || !k->member[i])
        return;
    book_aim(&k->s->book, (unsigned)i);
    node_start(k->s->c, (unsigned)i);
}

static void bring_back(struct killer *k)
{
    k->kill_ms = 0;
    start(k, k->down);
    start(k, k->gone);
    k->down = -1;
    k->gone = -1;
}

/* In the middle of a change: whoever leads goes, and is back soon. */
static void turn(void *ctx)
{
    struct killer *k = ctx;
    const int leader = load_leader(k->s->load);

    if (k->gone >= 0 && now_ms() >= k->back_ms) {
        start(k, k->gone);
        k->gone = -1;
    }
    if (k->kill_ms == 0 || now_ms() < k->kill_ms)
        return;
    if (leader < 0 || k->s->c->nodes[leader].pid == 0 || !k->member[leader])
        return; /* the one before it was killed just now */
    k->kill_ms = 0;
    node_kill(k->s->c, (unsigned)leader);
    k->gone = leader;
    k->back_ms = now_ms() + RETURN_MS;
    k->n_within++;
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
    if (begins(command, "ridctl member"))
        k->kill_ms = now_ms() + 1 + prng_below(&k->prng, WITHIN_MS);
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

CASE(leaders__one_to_seven_and_back_while_they_die)
{
    static const unsigned sizes[] = {2, 3, 5, 7, 5, 3, 2, 1};
    struct stage s;
    struct killer k = {.s = &s, .down = -1, .gone = -1, .member = {true}};
    cleanup_buf struct buf out = BUF_INIT;

    stage_begin(&s, 1);
    book_aim(&s.book, 0);
    assert_int_equal(run_ridd(s.c->conf, "n1", &out, "--init", NULL), 0);
    node_start(s.c, 0);
    stage_clients_begin(&s);
    s.book.before = kill_leader;
    s.book.ctx = &k;
    s.turn = turn;
    s.ctx = &k;
    prng_init(&k.prng, now_ms());
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] > count_members(&k))
            grow_to(&k, sizes[i]);
        else
            shrink_to(&k, sizes[i]);
    }
    s.book.before = NULL;
    s.turn = NULL;
    book_run(&s.book, "well");
    print_message("%u leaders were killed between steps, %u within\n", k.n_kills, k.n_within);
    assert_true(k.n_kills > 40);
    assert_true(k.n_within > 3);
    stage_clients_end(&s);
    stage_end(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(leaders__one_to_seven_and_back_while_they_die),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
