/* One run after the other: faults and clients, then all is well again, and what was seen is judged.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/prng.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define LEASE_MS      300u
#define LONG_LEASE_MS 1000u
/* A lease, and the promises to the leader before, run out some times in each. */
#define READS_PERIOD_MS_MIN 1000u
#define READS_PERIOD_MS_MAX 3000u

static struct nemesis *current; /* of a run that may fail */

static struct {
    unsigned n_runs;
    uint64_t n_ops;
    uint64_t n_acknowledged;
    uint64_t n_unknown;
    uint64_t n_states;
    uint64_t n_digests;
    unsigned n_replaced;
    unsigned n_snapshots;
    unsigned n_installed;
    uint64_t longest_gap_ms;
    uint64_t n_answered[N_METHODS];
    uint64_t n_by_lease;
    uint64_t n_by_leader;
    uint64_t n_page_keys;
    uint64_t n_repeated;
    uint64_t n_settled;
    uint64_t n_faults[N_FAULTS];
} totals;

/* ---- judging ---- */

static void write_history(const struct history *h, const char *path)
{
    FILE *f = fopen(path, "we");

    if (f == NULL)
        return;
    (void)fprintf(f,
                  "client method key call_ns ret_ns from value index modify result create existed "
                  "node outcome session token stale_ns\n");
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];

        (void)fprintf(f,
                      "%u %s k%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                      " %" PRIu64 " %u %d %d %u %s %u %d %" PRIu64 "\n",
                      op->client, method_names[op->method], op->key, op->call_ns, op->ret_ns,
                      op->from, op->value, op->index, op->modify, op->result, op->create,
                      op->existed, op->node, op->outcome == HISTORY_UNKNOWN ? "unknown" : "ok",
                      op->session, op->has_token, op->stale_ns);
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

uint64_t chaos_judge(const struct cluster *c, const struct history *h, uint64_t seed)
{
    struct check_verdict a;
    struct check_verdict b;
    struct check_verdict old;
    char path[300];

    history_check_index(h, &a);
    history_check_keys(h, &b);
    history_check_old(h, &old);
    if (a.result == CHECK_GOOD && b.result == CHECK_GOOD && old.result == CHECK_GOOD)
        return b.n_states;
    (void)snprintf(path, sizeof(path), "%s/history.txt", c->dir);
    write_history(h, path);
    if (a.result != CHECK_GOOD)
        show(c, h, &a, "A", seed);
    if (b.result != CHECK_GOOD)
        show(c, h, &b, "B", seed);
    if (old.result != CHECK_GOOD)
        show(c, h, &old, "C", seed);
    if (a.result == CHECK_GOOD && b.result == CHECK_GOOD)
        harness_fail("seed %" PRIu64 ": a local read is older than it may be", seed);
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

static bool is_empty(const struct cluster *c, unsigned i)
{
    return c->nodes[i].name[0] == '\0';
}

static bool are_level(struct cluster *c, struct standing *at)
{
    uint64_t index = 0;

    for (unsigned i = 0; i < c->n; i++) {
        if (is_empty(c, i))
            continue;
        if (!look_at_state(c, i, &at[i]) || (index != 0 && at[i].index != index))
            return false;
        index = at[i].index;
    }
    return true;
}

void chaos_compare_states(struct cluster *c, uint64_t seed)
{
    uint64_t deadline = now_ms() + slow(2 * WAIT_MS);
    struct standing at[CLUSTER_NODES_MAX] = {0};
    unsigned first = 0;

    while (!are_level(c, at)) {
        if (now_ms() > deadline) {
            for (unsigned i = 0; i < c->n; i++)
                (void)fprintf(stderr, "%s: index %" PRIu64 "\n", c->nodes[i].name, at[i].index);
            harness_fail("seed %" PRIu64 ": the nodes do not come to the same index", seed);
        }
        pause_briefly();
    }
    while (is_empty(c, first))
        first++;
    for (unsigned i = first + 1; i < c->n; i++)
        if (!is_empty(c, i) && strcmp(at[i].digest, at[first].digest) != 0)
            harness_fail("seed %" PRIu64 ": the states differ at index %" PRIu64
                         ": %s has %s, %s has %s",
                         seed, at[first].index, c->nodes[first].name, at[first].digest,
                         c->nodes[i].name, at[i].digest);
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
        ", quiet periods %u; snapshots %u made, %u begun, %u brought to others and %u installed, "
        "%u states restored; frames %" PRIu64 ", dropped %" PRIu64 ", twice %" PRIu64
        ", again much later %" PRIu64 ", dribbled bytes %" PRIu64 ", connections %" PRIu64
        ", resets %" PRIu64 ", failed syncs %" PRIu64 "\n",
        s->n_quiet, s->n_snapshots_made, s->n_snapshots_begun, s->n_snapshots_sent, s->n_installed,
        s->n_restored, s->proxy.n_frames, s->proxy.n_dropped, s->proxy.n_twice, s->proxy.n_again,
        s->proxy.n_dribbled, s->proxy.n_connections, s->proxy.n_resets, s->n_syncs_failed);
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
    const unsigned n = c->n_members != 0 ? c->n_members : c->n;

    if (n > 1 && (s->proxy.n_frames == 0 || s->n_redirected < n - 1))
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

struct run {
    const struct chaos_conf *conf;
    struct cluster *cluster;
    struct nemesis *nemesis;
    struct load *load;
    struct replacing *replacing; /* NULL: the members stay */
    struct history history;
    char node_conf[300];
    unsigned lease_ms;
    bool learner; /* one node more, that stays one */
    uint64_t seed;
    uint64_t run_ms;
    unsigned nodes;
    unsigned clients;
    unsigned faults;
};

static void choose(struct run *r, struct prng *prng)
{
    const struct chaos_conf *conf = r->conf;

    r->nodes = prng_below(prng, 4) == 0 ? 5 : 3;
    r->clients = 4 + (unsigned)prng_below(prng, 13);
    r->faults = conf->faults;
    if (conf->nodes != 0)
        r->nodes = conf->nodes;
    if (conf->clients != 0)
        r->clients = conf->clients;
    /* On a disk that can be full, syncs cost nothing: so not always. */
    if (prng_below(prng, 2) == 0 && conf->quiet_runs)
        r->faults &= ~(1u << FAULT_FULL);
    if (prng_below(prng, 5) == 0 && conf->quiet_runs)
        r->faults = 0;
    r->learner = conf->reads && conf->replace_ms == 0 && prng_below(prng, 2) == 0 &&
                 r->nodes + REPLACING_PLACES <= CLUSTER_NODES_MAX;
    /* Longer than an election: what stands between two leaders are the promises alone. */
    r->lease_ms = conf->reads && prng_below(prng, 2) == 0 ? LONG_LEASE_MS : LEASE_MS;
    if (conf->lease_ms != 0)
        r->lease_ms = conf->lease_ms;
    (void)snprintf(r->node_conf, sizeof(r->node_conf), CHAOS_LOG_CONF "[reads]\nlease_ms = %u\n",
                   r->lease_ms);
}

static void print_run(const struct run *r)
{
    (void)printf("seed=%" PRIu64 " nodes=%u clients=%u pipeline=%u seconds=%" PRIu64 " faults=",
                 r->seed, r->nodes, r->clients, r->conf->depth, r->run_ms / 1000);
    for (unsigned k = 0; k < N_FAULTS; k++)
        if (r->faults & (1u << k))
            (void)printf("%s%s", r->faults & ((1u << k) - 1) ? "," : "", fault_names[k]);
    (void)printf("%s", r->faults == 0 ? "none" : "");
    (void)printf(" lease_ms=%u%s", r->lease_ms, r->learner ? ", and a learner" : "");
    if (r->conf->replace_ms != 0)
        (void)printf(" replace_ms=%u", r->conf->replace_ms);
    if (r->conf->snapshot_ms != 0)
        (void)printf(" snapshot_ms=%u", r->conf->snapshot_ms);
    (void)printf("\n");
    (void)fflush(stdout);
}

static uint64_t sum(const uint64_t *n, size_t size)
{
    uint64_t all = 0;

    for (size_t i = 0; i < size; i++)
        all += n[i];
    return all;
}

static uint64_t new_reads(const uint64_t *n_answered)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < N_METHODS; k++)
        n += (METHODS_NEW_READS & (1u << k)) != 0 ? n_answered[k] : 0;
    return n;
}

/* As many as were asked for, in all runs; r NULL: between two. */
static bool is_enough(const struct chaos_conf *conf, const struct run *r)
{
    uint64_t n_reads = new_reads(totals.n_answered);
    uint64_t n_faults = sum(totals.n_faults, N_FAULTS);

    if (conf->n_reads == 0 && conf->n_faults == 0)
        return false;
    if (r != NULL) {
        n_reads += new_reads(load_get_stats(r->load)->n_ok);
        n_faults += nemesis_count(r->nemesis);
    }
    return n_reads >= conf->n_reads && n_faults >= conf->n_faults;
}

static void make(struct run *r, struct prng *prng)
{
    const struct chaos_conf *conf = r->conf;

    if (conf->replace_ms != 0 || r->learner)
        r->cluster = replacing_cluster(r->nodes, r->node_conf);
    else
        r->cluster = cluster_new(r->nodes, r->node_conf);
    r->nemesis = nemesis_new(r->cluster, r->faults, prng_next(prng), conf->say);
    current = r->nemesis;
    if (conf->reads)
        nemesis_set_periods(r->nemesis, READS_PERIOD_MS_MIN, READS_PERIOD_MS_MAX);
    cluster_init(r->cluster);
    nemesis_start_all(r->nemesis);
    if (r->learner)
        learner_join(r->cluster, r->nemesis, r->node_conf);
    history_init(&r->history);
    r->load = load_new(r->cluster, r->clients, conf->depth != 0 ? conf->depth : 1, prng_next(prng),
                       &r->history);
    load_set_snapshots(r->load, conf->snapshot_ms);
    load_set_reads(r->load, conf->reads);
    if (conf->replace_ms != 0)
        r->replacing = replacing_new(r->cluster, r->nemesis, r->load, r->node_conf,
                                     conf->replace_ms, prng_next(prng), conf->say);
}

static void live(struct run *r)
{
    const uint64_t ends_ms = now_ms() + r->run_ms;

    while (now_ms() < ends_ms && !is_enough(r->conf, r)) {
        load_turn(r->load, 10);
        nemesis_turn(r->nemesis, load_leader(r->load));
        if (r->replacing != NULL)
            replacing_turn(r->replacing, load_leader(r->load));
    }
}

static void check_replacing(const struct run *r)
{
    const struct replacing_stats *s = replacing_get_stats(r->replacing);

    (void)printf(
        "  replaced: %u members (of those asked for %u led, %u were gone for good), the longest in "
        "%" PRIu64 " ms; ridctl gave up %u times; a removed one ended after %" PRIu64
        " ms at most, %u had to be stopped, and they gave %" PRIu64
        " local reads; all done %" PRIu64 " ms after the last fault\n",
        s->n_done, s->n_leaders, s->n_killed, s->longest_ms, s->n_again, s->longest_leaving_ms,
        s->n_stopped, load_get_stats(r->load)->n_from_removed, s->longest_healed_ms);
    totals.n_replaced += s->n_done;
    if (s->n_done == 0 && r->run_ms > 2 * r->conf->replace_ms)
        harness_fail("seed %" PRIu64 ": nobody was replaced", r->seed);
}

static void report_run(struct run *r, uint64_t checked_ms)
{
    const struct load_stats *ls = load_get_stats(r->load);
    struct nemesis_stats ns;

    nemesis_get_stats(r->nemesis, &ns);
    check_faults(r->cluster, &ns, r->seed);
    (void)printf("  good: %zu operations on %" PRIu64 " keys, %" PRIu64
                 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64 " refused; %" PRIu64
                 " digests compared; at the longest %" PRIu64
                 " ms without an acknowledged write; judged in %" PRIu64 " ms\n",
                 r->history.n, ls->n_keys, ls->n_acknowledged, ls->n_unknown, ls->n_refused,
                 ls->n_digests, ls->longest_gap_ms, checked_ms);
    (void)printf("  answered:");
    for (unsigned k = 0; k < N_METHODS; k++)
        (void)printf(" %s %" PRIu64, method_names[k], ls->n_ok[k]);
    (void)printf("\n");
    print_faults(&ns);
    if (r->replacing != NULL)
        check_replacing(r);
    if (r->conf->snapshot_ms != 0 && ns.n_snapshots_made == 0)
        harness_fail("seed %" PRIu64 ": nobody made a snapshot", r->seed);
    (void)fflush(stdout);
    totals.n_runs++;
    totals.n_ops += r->history.n;
    totals.n_acknowledged += ls->n_acknowledged;
    totals.n_unknown += ls->n_unknown;
    totals.n_digests += ls->n_digests;
    totals.n_snapshots += ns.n_snapshots_made;
    totals.n_installed += ns.n_installed;
    for (unsigned k = 0; k < N_METHODS; k++)
        totals.n_answered[k] += ls->n_ok[k];
    for (unsigned k = 0; k < N_FAULTS; k++)
        totals.n_faults[k] += ns.n_faults[k];
    totals.n_by_lease += ls->n_by_lease;
    totals.n_by_leader += ls->n_by_leader;
    totals.n_page_keys += ls->n_page_keys;
    totals.n_repeated += ls->n_repeated;
    totals.n_settled += ls->n_settled;
    if (ls->longest_gap_ms > totals.longest_gap_ms)
        totals.longest_gap_ms = ls->longest_gap_ms;
}

static void end(struct run *r)
{
    load_free(r->load);
    replacing_free(r->replacing);
    history_done(&r->history);
    for (unsigned i = 0; i < r->cluster->n; i++)
        if (!is_empty(r->cluster, i))
            node_kill(r->cluster, i);
    current = NULL;
    nemesis_free(r->nemesis);
    cluster_free(r->cluster);
}

static void run(const struct chaos_conf *conf, uint64_t seed, uint64_t run_ms)
{
    struct run r = {.conf = conf, .seed = seed, .run_ms = run_ms};
    struct prng prng;
    uint64_t checked_ms;

    prng_init(&prng, seed);
    choose(&r, &prng);
    print_run(&r);
    make(&r, &prng);
    live(&r);
    go_on_after_healing(r.cluster, r.nemesis, r.load, seed);
    if (r.replacing != NULL)
        replacing_finish(r.replacing);
    load_stop(r.load);
    (void)cluster_leader(r.cluster);
    (void)cluster_settle(r.cluster);
    load_read_all(r.load);
    chaos_compare_states(r.cluster, seed);
    checked_ms = now_ms();
    totals.n_states += chaos_judge(r.cluster, &r.history, seed);
    report_run(&r, now_ms() - checked_ms);
    end(&r);
}

int chaos_teardown(void **state)
{
    if (current != NULL)
        nemesis_keep(current);
    current = NULL;
    return harness_teardown(state);
}

static void print_table(uint64_t n_reads)
{
    (void)printf("| method | answered and judged |\n|---|---|\n");
    for (unsigned k = 0; k < N_METHODS; k++)
        (void)printf("| %s | %" PRIu64 " |\n", method_names[k], totals.n_answered[k]);
    (void)printf("lease reads by a lease %" PRIu64
                 ", follower reads by another node's word %" PRIu64 ", keys of pages %" PRIu64
                 ", writes of sessions repeated %" PRIu64 " times, settled so %" PRIu64 "\n",
                 totals.n_by_lease, totals.n_by_leader, totals.n_page_keys, totals.n_repeated,
                 totals.n_settled);
    (void)printf("| fault | times |\n|---|---|\n");
    for (unsigned k = 0; k < N_FAULTS; k++)
        (void)printf("| %s | %" PRIu64 " |\n", fault_names[k], totals.n_faults[k]);
    (void)printf("chaos: %" PRIu64 " reads that need more than a round or the log, and %" PRIu64
                 " faults; 0 stale\n",
                 n_reads, sum(totals.n_faults, N_FAULTS));
}

void chaos_run(const struct chaos_conf *conf)
{
    uint64_t left_ms = conf->total_ms;
    const uint64_t began_ms = now_ms();

    for (uint64_t seed = conf->seed; left_ms > 0 && !is_enough(conf, NULL); seed++) {
        uint64_t run_ms = left_ms < conf->run_ms + conf->run_ms / 2 ? left_ms : conf->run_ms;

        run(conf, seed, run_ms);
        left_ms -= run_ms;
    }
    if (conf->reads)
        print_table(new_reads(totals.n_answered));
    (void)printf("chaos: %u runs, %" PRIu64 " s, %" PRIu64 " operations judged, %" PRIu64
                 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64 " digests compared, %" PRIu64
                 " states searched; %u members replaced, %u snapshots made and %u installed; at "
                 "the longest %" PRIu64 " ms without an acknowledged write\n",
                 totals.n_runs, (now_ms() - began_ms) / 1000, totals.n_ops, totals.n_acknowledged,
                 totals.n_unknown, totals.n_digests, totals.n_states, totals.n_replaced,
                 totals.n_snapshots, totals.n_installed, totals.longest_gap_ms);
}
