/* Members that are replaced while the nemesis and the clients go on.
 *
 * There is one more place than members. A new node with a new name and an empty folder comes into
 * the empty one and waits with --join; `ridctl member replace` gives it the place of a member, the
 * leader's one time in two, which runs or was killed for good, as chance has it. When ridctl gives
 * up, as it may while a fault lasts, it is started again.
 *
 * Who was replaced and ran must end by itself, with 0. Who was killed is started again when it is
 * no member any more, as by somebody who does not know: it must be told so and end, and may answer
 * nothing meanwhile that only a member can know (chaos-load.c). A founder that was killed before
 * the cluster had its random id can believe nobody that it was removed (PEER-11): it is refused,
 * serves nobody, and is stopped here, as docs/OPERATIONS.md says. Then its place is empty, and the
 * next one is replaced. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define AGAIN_MS  200u
#define HEALED_MS 20000u /* of a cluster that is well: a change and what is left of it have ended */

enum phase {
    PHASE_IDLE,
    PHASE_ASKING, /* ridctl runs */
    PHASE_AGAIN   /* it gave up, and is started again soon */
};

struct replacing {
    struct cluster *cluster;
    struct nemesis *nemesis;
    struct load *load;
    struct prng prng;
    const char *conf; /* borrowed; the lines behind those that the harness writes */
    unsigned every_ms;
    bool say;
    bool ending; /* none is begun any more */
    uint64_t next_ms;

    enum phase phase;
    unsigned old;
    unsigned fresh;
    bool killed;
    uint64_t began_ms;
    uint64_t again_ms;
    pid_t pid;
    pid_t stopped; /* the last that was stopped by us */

    unsigned members; /* bits of places */
    unsigned leaving; /* of those that are none any more, and have not ended yet */
    uint64_t removed_ms[CLUSTER_NODES_MAX];
    unsigned n_names;
    char confs[CLUSTER_NODES_MAX][256];
    char said[256]; /* what ridctl says goes there */
    struct replacing_stats stats;
};

static struct node *node_of(struct replacing *r, unsigned place)
{
    return &r->cluster->nodes[place];
}

static bool is_in(unsigned set, unsigned place)
{
    return (set >> place & 1u) != 0;
}

struct cluster *replacing_cluster(unsigned n_members, const char *conf)
{
    struct cluster *c = cluster_new(n_members + REPLACING_PLACES, conf);

    for (unsigned i = n_members; i < c->n; i++)
        c->nodes[i].name[0] = '\0';
    cluster_write_conf(c, "test", conf);
    c->n_members = n_members;
    return c;
}

struct replacing *replacing_new(struct cluster *c, struct nemesis *m, struct load *l,
                                const char *conf, unsigned every_ms, uint64_t seed, bool say)
{
    struct replacing *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->cluster = c;
    r->nemesis = m;
    r->load = l;
    r->conf = conf;
    r->every_ms = every_ms;
    r->say = say;
    r->members = (1u << c->n_members) - 1u;
    r->n_names = c->n_members;
    r->next_ms = now_ms() + every_ms / 2;
    (void)snprintf(r->said, sizeof(r->said), "%s/ridctl.out", c->dir);
    prng_init(&r->prng, seed);
    return r;
}

void replacing_free(struct replacing *r)
{
    free(r);
}

/* ---- one change ---- */

/* A new node with this number; path: of its configuration, which lives as long as the cluster. */
static void name_node(struct cluster *c, unsigned place, unsigned number, const char *conf,
                      char path[256])
{
    struct node *node = &c->nodes[place];
    char dir[sizeof(c->dir)];

    memcpy(dir, c->dir, sizeof(dir));
    (void)snprintf(node->name, sizeof(node->name), "n%u", number);
    (void)snprintf(node->dir, sizeof(node->dir), "%s/n%u", dir, number);
    (void)snprintf(node->log, sizeof(node->log), "%s/n%u.log", dir, number);
    (void)snprintf(path, 256, "%s/n%u.conf", dir, number);
    cluster_write_conf_to(c, path, "test", conf);
    node->conf = path;
}

void learner_join(struct cluster *c, struct nemesis *m, const char *conf)
{
    static char path[256];
    const unsigned place = c->n - 1;
    const struct node *node = &c->nodes[place];
    const char *const argv[] = {ridctl_path(), "-c",       c->conf,         "member",   "add",
                                "--learner",   node->name, node->peer_addr, node->addr, NULL};
    cleanup_buf struct buf out = BUF_INIT;

    name_node(c, place, c->n, conf, path);
    nemesis_settle(m, place);
    node_wait_logged(c, place, "waiting to be added");
    expect_code(run_program(argv, &out), 0, &out);
    nemesis_has_joined(m, place);
}

static void settle(struct replacing *r, unsigned place)
{
    name_node(r->cluster, place, ++r->n_names, r->conf, r->confs[place]);
    load_set_removed(r->load, place, false);
    nemesis_settle(r->nemesis, place);
}

static void ask(struct replacing *r)
{
    const struct node *fresh = node_of(r, r->fresh);
    char endpoints[CLUSTER_NODES_MAX * sizeof(fresh->addr)];
    const char *const argv[] = {ridctl_path(), "-e",
                                endpoints,     "member",
                                "replace",     node_of(r, r->old)->name,
                                fresh->name,   fresh->peer_addr,
                                fresh->addr,   NULL};
    size_t len = 0;

    for (unsigned i = 0; i < r->cluster->n; i++)
        if (is_in(r->members, i))
            len += (size_t)snprintf(endpoints + len, sizeof(endpoints) - len, "%s%s",
                                    len > 0 ? "," : "", node_of(r, i)->addr);
    r->pid = program_begin(argv, r->said);
    r->phase = PHASE_ASKING;
}

/* The leader one time in two. */
static unsigned choose_member(struct replacing *r, int leader)
{
    unsigned i;

    if (leader >= 0 && is_in(r->members, (unsigned)leader) && prng_below(&r->prng, 2) == 0)
        return (unsigned)leader;
    do
        i = (unsigned)prng_below(&r->prng, r->cluster->n);
    while (!is_in(r->members, i));
    return i;
}

static void begin(struct replacing *r, unsigned place, int leader)
{
    r->old = choose_member(r, leader);
    r->fresh = place;
    r->killed = prng_below(&r->prng, 2) == 0;
    r->stats.n_leaders += leader == (int)r->old;
    r->stats.n_killed += r->killed;
    r->began_ms = now_ms();
    r->next_ms = r->began_ms + r->every_ms;
    settle(r, place);
    if (r->say)
        (void)printf("         replace %s%s%s by %s\n", node_of(r, r->old)->name,
                     leader == (int)r->old ? ", which leads" : "",
                     r->killed ? ", which is gone for good," : "", node_of(r, place)->name);
    if (r->killed)
        nemesis_keep_down(r->nemesis, r->old, true);
    else
        nemesis_let_leave(r->nemesis, r->old);
    ask(r);
}

static void note_longest(uint64_t *longest_ms, uint64_t since_ms)
{
    const uint64_t ms = now_ms() - since_ms;

    if (ms > *longest_ms)
        *longest_ms = ms;
}

static void take_done(struct replacing *r)
{
    r->stats.n_done++;
    note_longest(&r->stats.longest_ms, r->began_ms);
    if (r->say)
        (void)printf("         %s has taken the place of %s, after %llu ms\n",
                     node_of(r, r->fresh)->name, node_of(r, r->old)->name,
                     (unsigned long long)(now_ms() - r->began_ms));
    r->members = (r->members & ~(1u << r->old)) | 1u << r->fresh;
    r->leaving |= 1u << r->old;
    r->removed_ms[r->old] = now_ms();
    r->phase = PHASE_IDLE;
    load_set_removed(r->load, r->old, true);
    nemesis_has_joined(r->nemesis, r->fresh);
    nemesis_let_leave(r->nemesis, r->old);
    if (r->killed)
        nemesis_keep_down(r->nemesis, r->old, false);
}

/* The end of what ridctl said, in one line. */
static void read_said(const struct replacing *r, char *text, size_t size)
{
    cleanup_buf struct buf out = BUF_INIT;
    size_t from;

    file_read(r->said, &out);
    from = out.len > size - 1 ? out.len - (size - 1) : 0;
    (void)snprintf(text, size, "%s", (const char *)out.data + from);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\n')
            *p = p[1] != '\0' ? '|' : ' ';
}

static void take_given_up(struct replacing *r, int code)
{
    char text[300];

    r->stats.n_again++;
    r->phase = PHASE_AGAIN;
    r->again_ms = now_ms() + AGAIN_MS;
    if (!r->say)
        return;
    read_said(r, text, sizeof(text));
    (void)printf("         ridctl gives up with %d: %s\n", code, text);
}

/* ---- turns ---- */

/* There is one while no change is under way and nobody leaves. */
static unsigned empty_place(const struct replacing *r)
{
    unsigned i = 0;

    while (r->cluster->nodes[i].name[0] != '\0')
        i++;
    assert_true(i < r->cluster->n);
    return i;
}

static bool knows_cluster(struct replacing *r, unsigned place)
{
    char path[sizeof(r->cluster->nodes[0].dir) + 16];

    (void)snprintf(path, sizeof(path), "%s/CLUSTER", node_of(r, place)->dir);
    return access(path, F_OK) == 0;
}

static bool was_refused(struct replacing *r, unsigned place)
{
    return node_logged(r->cluster, place, "they refuse: this node was removed") ||
           node_logged(r->cluster, place, "they refuse: the node is not in the configuration");
}

/* One that can believe nobody that it was removed, and is refused. */
static void stop_stubborn(struct replacing *r, unsigned place)
{
    const struct node *node = node_of(r, place);

    if (node->pid == 0 || node->pid == r->stopped || knows_cluster(r, place) ||
        !was_refused(r, place))
        return;
    node_signal(r->cluster, place, SIGTERM);
    r->stopped = node->pid;
    r->stats.n_stopped++;
}

static void see_off(struct replacing *r)
{
    for (unsigned i = 0; i < r->cluster->n; i++) {
        if (!is_in(r->leaving, i))
            continue;
        stop_stubborn(r, i);
        if (!nemesis_has_left(r->nemesis, i))
            continue;
        if (knows_cluster(r, i) && !node_logged(r->cluster, i, " event=removed "))
            harness_fail("%s was removed, and ended with 0 without saying why",
                         node_of(r, i)->name);
        note_longest(&r->stats.longest_leaving_ms, r->removed_ms[i]);
        r->leaving &= ~(1u << i);
        nemesis_empty(r->nemesis, i);
    }
}

void replacing_turn(struct replacing *r, int leader)
{
    const uint64_t now = now_ms();
    int code;

    see_off(r);
    switch (r->phase) {
    case PHASE_IDLE:
        if (!r->ending && now >= r->next_ms && r->leaving == 0 && leader >= 0)
            begin(r, empty_place(r), leader);
        break;
    case PHASE_ASKING:
        if (!program_ended(r->pid, &code))
            break;
        if (code == 0)
            take_done(r);
        else
            take_given_up(r, code);
        break;
    case PHASE_AGAIN:
        if (now >= r->again_ms)
            ask(r);
        break;
    }
}

static void fail_unfinished(struct replacing *r)
{
    char text[600] = "";

    if (r->phase != PHASE_IDLE) {
        read_said(r, text, sizeof(text));
        harness_fail("%s does not take the place of %s although all faults ended %u s ago: %s",
                     node_of(r, r->fresh)->name, node_of(r, r->old)->name, HEALED_MS / 1000, text);
    }
    for (unsigned i = 0; i < r->cluster->n; i++)
        if (is_in(r->leaving, i))
            harness_fail("%s was removed %llu s ago, and %s", node_of(r, i)->name,
                         (unsigned long long)(now_ms() - r->removed_ms[i]) / 1000,
                         node_of(r, i)->pid != 0 ? "still runs" : "does not end with 0");
}

void replacing_finish(struct replacing *r)
{
    const uint64_t began_ms = now_ms();

    r->ending = true;
    while (r->phase != PHASE_IDLE || r->leaving != 0) {
        if (now_ms() > began_ms + slow(HEALED_MS))
            fail_unfinished(r);
        load_turn(r->load, 10);
        nemesis_watch(r->nemesis);
        replacing_turn(r, load_leader(r->load));
    }
    note_longest(&r->stats.longest_healed_ms, began_ms);
}

const struct replacing_stats *replacing_get_stats(const struct replacing *r)
{
    return &r->stats;
}
