/* Real ridd processes under attack, and whether what their clients saw can be explained.
 *
 *     chaos [--minutes M] [--seed N] [--nodes N] [--clients N] [--pipeline D]
 *           [--faults LIST] [--quiet]
 *
 * The time is divided into runs of about a minute, each with a new cluster, a seed of its own
 * (N, N + 1, ...) and an end: all faults stop, one leader must be found, the states of all nodes must be
 * equal at equal index, every acknowledged write must be there, and both judges of checker.h must
 * agree that the history is linearizable. One run in five is without any fault, and all others have
 * periods without. Every other run has disks that can be full (it asks for root, and runs named by
 * --seed and --faults alone always have them): they are so in one period of three with faults, the
 * first one among them, on one node, on two, and so on to all in turn. No node may end for it.
 *
 * Without --minutes it is the short form for the test command: one run of RIDD_CHAOS_SECONDS (60)
 * with kills, pauses and partitions. Of a failure the logs, the data folders, the history and a
 * timeline are kept. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define RUN_MS 60000u

static struct {
    uint64_t seed;
    uint64_t total_ms;
    unsigned nodes;   /* 0: three, and five in one run of four */
    unsigned clients; /* 0: 4 to 16 */
    unsigned depth;
    unsigned faults;
    bool quiet_runs; /* one in five */
    bool say;
} conf = {.depth = 1, .faults = FAULTS_BASIC, .say = true};

static struct nemesis *current; /* of a run that may fail */

static struct {
    unsigned n_runs;
    uint64_t n_ops;
    uint64_t n_acknowledged;
    uint64_t n_unknown;
    uint64_t n_states;
    uint64_t n_digests;
} totals;

/* ---- judging ---- */

static void write_history(const struct history *h, const char *path)
{
    FILE *f = fopen(path, "we");

    if (f == NULL)
        return;
    (void)fprintf(f,
                  "client method key call_ns ret_ns from value index modify result create existed "
                  "node outcome\n");
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];

        (void)fprintf(f,
                      "%u %s k%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                      " %" PRIu64 " %u %d %d %u %s\n",
                      op->client, method_names[op->method], op->key, op->call_ns, op->ret_ns,
                      op->from, op->value, op->index, op->modify, op->result, op->create,
                      op->existed, op->node, op->outcome == HISTORY_UNKNOWN ? "unknown" : "ok");
    }
    (void)fclose(f);
}

static void show(const struct cluster *c, const struct history *h, const struct check_verdict *v,
                 const char *judge, uint64_t seed)
{
    char title[200];
    char path[300];
    FILE *f;

    (void)snprintf(title, sizeof(title), "seed %" PRIu64 ", judge %s, key k%u", seed, judge,
                   v->key);
    history_print_timeline(h, v, title, method_names, stderr);
    (void)snprintf(path, sizeof(path), "%s/timeline-%s.html", c->dir, judge);
    f = fopen(path, "we");
    if (f == NULL)
        return;
    history_print_html(h, v, title, method_names, f);
    (void)fclose(f);
    (void)fprintf(stderr, "---- timeline: %s\n", path);
}

static void judge(const struct cluster *c, const struct history *h, uint64_t seed)
{
    struct check_verdict a;
    struct check_verdict b;
    char path[300];

    history_check_index(h, &a);
    history_check_keys(h, &b);
    totals.n_states += b.n_states;
    if (a.result == CHECK_GOOD && b.result == CHECK_GOOD)
        return;
    (void)snprintf(path, sizeof(path), "%s/history.txt", c->dir);
    write_history(h, path);
    if (a.result != CHECK_GOOD)
        show(c, h, &a, "A", seed);
    if (b.result != CHECK_GOOD)
        show(c, h, &b, "B", seed);
    harness_fail("seed %" PRIu64 ": %s", seed,
                 b.result == CHECK_GAVE_UP ? "the search became too large"
                 : a.result == b.result    ? "not linearizable, both judges agree"
                 : b.result == CHECK_BAD   ? "not linearizable; the indexes do not show it"
                                           : "the indexes are wrong; the values might be right");
}

/* ---- the end of a run ---- */

struct standing {
    uint64_t index;
    char digest[33];
};

static bool look_at_state(struct cluster *c, unsigned i, struct standing *ret)
{
    json_t *status = node_status(c, i);
    const json_t *state = json_object_get(status, "state");

    if (state != NULL) {
        ret->index = (uint64_t)reply_int(state, "digest_index");
        (void)snprintf(ret->digest, sizeof(ret->digest), "%s", reply_str(state, "digest"));
    }
    json_decref(status);
    return state != NULL;
}

/* Nobody asks any more: all nodes come to the same index, and then to the same digest. */
static void compare_states(struct cluster *c, uint64_t seed)
{
    uint64_t deadline = now_ms() + slow(2 * WAIT_MS);
    struct standing at[CLUSTER_NODES_MAX] = {0};

    for (;;) {
        bool level = true;

        for (unsigned i = 0; i < c->n; i++)
            level = look_at_state(c, i, &at[i]) && at[i].index == at[0].index && level;
        if (level)
            break;
        if (now_ms() > deadline) {
            for (unsigned i = 0; i < c->n; i++)
                (void)fprintf(stderr, "%s: index %" PRIu64 "\n", c->nodes[i].name, at[i].index);
            harness_fail("seed %" PRIu64 ": the nodes do not come to the same index", seed);
        }
        pause_briefly();
    }
    for (unsigned i = 1; i < c->n; i++)
        if (strcmp(at[i].digest, at[0].digest) != 0)
            harness_fail(
                "seed %" PRIu64 ": the states differ at index %" PRIu64 ": %s has %s, %s has %s",
                seed, at[0].index, c->nodes[0].name, at[0].digest, c->nodes[i].name, at[i].digest);
}

static void print_faults(const struct nemesis_stats *s)
{
    (void)printf("  faults:");
    for (unsigned k = 0; k < N_FAULTS; k++)
        if (s->n_faults[k] > 0)
            (void)printf(" %s %" PRIu64, fault_names[k], s->n_faults[k]);
    if (s->n_disks_filled > 0)
        (void)printf(" (disks filled %u, felt %u)", s->n_disks_filled, s->n_disks_felt);
    (void)printf(
        ", quiet periods %u; snapshots %u made, %u begun and %u brought to others, %u states "
        "restored; frames %" PRIu64 ", dropped %" PRIu64 ", twice %" PRIu64
        ", dribbled bytes %" PRIu64 ", connections %" PRIu64 ", resets %" PRIu64
        ", failed syncs %" PRIu64 "\n",
        s->n_quiet, s->n_snapshots_made, s->n_snapshots_begun, s->n_snapshots_sent, s->n_restored,
        s->proxy.n_frames, s->proxy.n_dropped, s->proxy.n_twice, s->proxy.n_dribbled,
        s->proxy.n_connections, s->proxy.n_resets, s->n_syncs_failed);
}

/* A sick cluster may refuse; a healed one may not. */
static void go_on_after_healing(struct cluster *c, struct nemesis *m, struct load *l, uint64_t seed)
{
    const uint64_t ends_ms = now_ms() + 1500;
    const uint64_t deadline = now_ms() + slow(WAIT_MS);
    const uint64_t goal = load_get_stats(l)->n_acknowledged + 100;

    nemesis_heal(m);
    while (now_ms() < ends_ms || load_get_stats(l)->n_acknowledged < goal) {
        if (now_ms() > deadline)
            harness_fail("seed %" PRIu64 ": no progress although all faults have ended", seed);
        load_turn(l, 10);
        nemesis_watch(m);
    }
    (void)cluster_leader(c);
}

/* A fault that never reached a node would prove nothing. */
static void check_faults(const struct cluster *c, const struct nemesis_stats *s, uint64_t seed)
{
    if (c->n > 1 && (s->proxy.n_frames == 0 || s->n_redirected < c->n - 1))
        harness_fail("seed %" PRIu64 ": the peers did not talk through the proxy", seed);
    if (s->n_disks_filled >= 5 && s->n_disks_felt == 0)
        harness_fail("seed %" PRIu64 ": %u disks were full, and no node has felt it", seed,
                     s->n_disks_filled);
    if (s->n_faults[FAULT_AWAY] >= 2 && s->n_snapshots_made == 0)
        harness_fail("seed %" PRIu64 ": nobody made a snapshot", seed);
    if (s->n_faults[FAULT_AWAY] >= 4 && s->n_snapshots_sent == 0)
        harness_fail("seed %" PRIu64 ": nobody that was away was brought a snapshot", seed);
    if (s->n_syncs == 0)
        harness_fail("seed %" PRIu64 ": the disks were not watched", seed);
}

/* ---- one run ---- */

static void run(uint64_t seed, uint64_t run_ms)
{
    struct prng prng;
    struct cluster *c;
    struct nemesis *m;
    struct load *l;
    struct history h;
    struct nemesis_stats ns;
    const struct load_stats *ls;
    unsigned nodes;
    unsigned clients;
    unsigned faults = conf.faults;
    uint64_t ends_ms;
    uint64_t checked_ms;

    prng_init(&prng, seed);
    nodes = prng_below(&prng, 4) == 0 ? 5 : 3;
    clients = 4 + (unsigned)prng_below(&prng, 13);
    if (conf.nodes != 0)
        nodes = conf.nodes;
    if (conf.clients != 0)
        clients = conf.clients;
    /* On a disk that can be full, syncs cost nothing: so not always. */
    if (prng_below(&prng, 2) == 0 && conf.quiet_runs)
        faults &= ~(1u << FAULT_FULL);
    if (prng_below(&prng, 5) == 0 && conf.quiet_runs)
        faults = 0;
    (void)printf("seed=%" PRIu64 " nodes=%u clients=%u pipeline=%u seconds=%" PRIu64 " faults=",
                 seed, nodes, clients, conf.depth, run_ms / 1000);
    for (unsigned k = 0; k < N_FAULTS; k++)
        if (faults & (1u << k))
            (void)printf("%s%s", faults & ((1u << k) - 1) ? "," : "", fault_names[k]);
    (void)printf("%s\n", faults == 0 ? "none" : "");
    (void)fflush(stdout);

    /* A snapshot every few seconds, and slow enough that faults meet it. */
    c = cluster_new(nodes, "[log]\nsegment_size = 1M\nsnapshot_bytes = 64K\nkeep_bytes = 0\n"
                           "snapshot_mib_per_s = 1\n");
    m = nemesis_new(c, faults, prng_next(&prng), conf.say);
    current = m;
    cluster_init(c);
    nemesis_start_all(m);
    history_init(&h);
    l = load_new(c, clients, conf.depth, prng_next(&prng), &h);
    ends_ms = now_ms() + run_ms;
    while (now_ms() < ends_ms) {
        load_turn(l, 10);
        nemesis_turn(m, load_leader(l));
    }
    go_on_after_healing(c, m, l, seed);
    load_stop(l);
    (void)cluster_leader(c);
    (void)cluster_settle(c);
    load_read_all(l);
    compare_states(c, seed);
    checked_ms = now_ms();
    judge(c, &h, seed);
    checked_ms = now_ms() - checked_ms;

    ls = load_get_stats(l);
    nemesis_get_stats(m, &ns);
    check_faults(c, &ns, seed);
    (void)printf("  good: %zu operations on %" PRIu64 " keys, %" PRIu64
                 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64 " refused; %" PRIu64
                 " digests compared; judged in %" PRIu64 " ms\n",
                 h.n, ls->n_keys, ls->n_acknowledged, ls->n_unknown, ls->n_refused, ls->n_digests,
                 checked_ms);
    (void)printf("  answered:");
    for (unsigned k = 0; k < N_METHODS; k++)
        (void)printf(" %s %" PRIu64, method_names[k], ls->n_ok[k]);
    (void)printf("\n");
    print_faults(&ns);
    (void)fflush(stdout);
    totals.n_runs++;
    totals.n_ops += h.n;
    totals.n_acknowledged += ls->n_acknowledged;
    totals.n_unknown += ls->n_unknown;
    totals.n_digests += ls->n_digests;
    load_free(l);
    history_done(&h);
    for (unsigned i = 0; i < c->n; i++)
        node_kill(c, i);
    current = NULL;
    nemesis_free(m);
    cluster_free(c);
}

static int teardown(void **state)
{
    if (current != NULL)
        nemesis_keep(current);
    return harness_teardown(state);
}

CASE(chaos__run)
{
    uint64_t left_ms = conf.total_ms;
    const uint64_t began_ms = now_ms();

    for (uint64_t seed = conf.seed; left_ms > 0; seed++) {
        uint64_t run_ms = left_ms < RUN_MS + RUN_MS / 2 ? left_ms : RUN_MS;

        run(seed, run_ms);
        left_ms -= run_ms;
    }
    (void)printf("chaos: %u runs, %" PRIu64 " s, %" PRIu64 " operations judged, %" PRIu64
                 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64 " digests compared, %" PRIu64
                 " states searched\n",
                 totals.n_runs, (now_ms() - began_ms) / 1000, totals.n_ops, totals.n_acknowledged,
                 totals.n_unknown, totals.n_digests, totals.n_states);
}

/* ---- arguments ---- */

static unsigned parse_faults(const char *list)
{
    unsigned set = 0;

    if (strcmp(list, "all") == 0)
        return FAULTS_ALL;
    if (strcmp(list, "none") == 0)
        return 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        unsigned k;

        for (k = 0; k < N_FAULTS; k++)
            if (strlen(fault_names[k]) == len && memcmp(fault_names[k], list, len) == 0)
                break;
        if (k == N_FAULTS) {
            (void)fprintf(stderr, "unknown fault '%.*s'; there are", (int)len, list);
            for (k = 0; k < N_FAULTS; k++)
                (void)fprintf(stderr, " %s", fault_names[k]);
            (void)fprintf(stderr, ", all and none\n");
            exit(64);
        }
        set |= 1u << k;
        list += len + (list[len] == ',' ? 1 : 0);
    }
    return set;
}

static uint64_t parse_number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        (void)fprintf(stderr, "--%s: a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n", name,
                      min, max, text);
        exit(64);
    }
    return value;
}

static void parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"minutes", required_argument, NULL, 'm'},  {"seed", required_argument, NULL, 's'},
        {"nodes", required_argument, NULL, 'n'},    {"clients", required_argument, NULL, 'c'},
        {"pipeline", required_argument, NULL, 'p'}, {"faults", required_argument, NULL, 'f'},
        {"quiet", no_argument, NULL, 'q'},          {NULL, 0, NULL, 0}};
    const char *seconds = getenv("RIDD_CHAOS_SECONDS");
    const char *faults = NULL;
    int o;

    conf.seed = clock_wall_us() / 1000000u * 1000u + (uint64_t)getpid() % 1000u;
    conf.total_ms =
        1000u * (seconds != NULL ? parse_number("RIDD_CHAOS_SECONDS", seconds, 5, 86400) : 60);
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'm':
            conf.total_ms = 60000u * parse_number("minutes", optarg, 1, 10000);
            conf.faults = FAULTS_ALL;
            conf.quiet_runs = true;
            break;
        case 's':
            conf.seed = parse_number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'n':
            conf.nodes = (unsigned)parse_number("nodes", optarg, 1, CLUSTER_NODES_MAX);
            break;
        case 'c':
            conf.clients = (unsigned)parse_number("clients", optarg, 1, 64);
            break;
        case 'p':
            conf.depth = (unsigned)parse_number("pipeline", optarg, 1, 5);
            break;
        case 'f':
            faults = optarg;
            break;
        case 'q':
            conf.say = false;
            break;
        default:
            (void)fprintf(stderr, "usage: chaos [--minutes M] [--seed N] [--nodes N] [--clients N] "
                                  "[--pipeline D] [--faults LIST] [--quiet]\n");
            exit(64);
        }
    }
    if (faults != NULL)
        conf.faults = parse_faults(faults);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(chaos__run, teardown)};

    parse_arguments(argc, argv);
    argc = 1;
    harness_init(argc, argv);
    (void)alarm((unsigned)(slow(conf.total_ms * 3) / 1000u) + 600u);
    return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
