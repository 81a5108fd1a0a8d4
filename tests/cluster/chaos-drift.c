/* A clock that runs apart from the others by more than is promised of clocks (LEASE-13).
 *
 * No fault beside it: until it is found out, which takes some seconds, a lease of the leader may be
 * used by a clock that is wrong, and only a leader that is cut off then could show it. What is tried
 * is that it is found out, that both nodes are named, and that from then on no read is answered by
 * a lease, until the clocks agree. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cluster/chaos.h"

#include "base/banned.h"

#define NODES       3u
#define CLIENTS     8u
#define APART_PPM   20000
#define LEASE_READS 300u
#define DRIFT_MS    60000u /* what is known of clocks is of the last sixteen seconds */

struct drift_run {
    struct cluster *cluster; /* owned */
    struct nemesis *nemesis; /* owned */
    struct load *load;       /* owned */
    struct history history;
};

static void turn(struct drift_run *d)
{
    load_turn(d->load, 10);
    nemesis_watch(d->nemesis);
}

/* Clients go on meanwhile. */
#define go_on_until(d, condition, what)                                                            \
    do {                                                                                           \
        const uint64_t deadline_ = now_ms() + slow(DRIFT_MS);                                      \
        while (!(condition)) {                                                                     \
            if (now_ms() > deadline_)                                                              \
                harness_fail("%s:%d: waited in vain for %s", __FILE__, __LINE__, (what));          \
            turn(d);                                                                               \
        }                                                                                          \
    } while (0)

static bool leads(struct drift_run *d, json_t **ret_status)
{
    const int leader = load_leader(d->load);

    *ret_status = leader >= 0 ? node_status(d->cluster, (unsigned)leader) : NULL;
    return *ret_status != NULL && strcmp(reply_str(*ret_status, "role"), "leader") == 0;
}

/* Of the node that leads: it has no lease because of clocks, and says whose. */
static bool says_clocks(struct drift_run *d, unsigned apart)
{
    json_t *status = NULL;
    bool says = false;

    if (leads(d, &status)) {
        const json_t *leases = json_object_get(status, "leases");
        char *warnings = json_dumps(json_object_get(status, "warnings"), 0);

        says = strcmp(reply_str(leases, "why_not"), "clocks") == 0 &&
               !json_is_true(json_object_get(leases, "valid")) && warnings != NULL &&
               strstr(warnings, d->cluster->nodes[apart].name) != NULL;
        free(warnings);
    }
    json_decref(status);
    return says;
}

static bool anybody_logged(struct drift_run *d, const char *text, const char *name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NODES; i++)
        n += node_log_lines(d->cluster, i, text, name);
    return n > 0;
}

static uint64_t n_by_lease(const struct drift_run *d)
{
    return load_get_stats(d->load)->n_by_lease;
}

static uint64_t n_lease_reads(const struct drift_run *d)
{
    return load_get_stats(d->load)->n_ok[METHOD_LEASE];
}

static void begin(struct drift_run *d, const struct chaos_conf *conf)
{
    *d = (struct drift_run){.cluster = cluster_new(NODES, CHAOS_NODE_CONF)};
    d->nemesis = nemesis_new(d->cluster, 0, conf->seed, conf->say);
    cluster_init(d->cluster);
    nemesis_start_all(d->nemesis);
    history_init(&d->history);
    d->load = load_new(d->cluster, CLIENTS, 1, conf->seed, &d->history);
    load_set_reads(d->load, true);
}

static void end(struct drift_run *d)
{
    load_free(d->load);
    history_done(&d->history);
    for (unsigned i = 0; i < NODES; i++)
        node_kill(d->cluster, i);
    nemesis_free(d->nemesis);
    cluster_free(d->cluster);
}

/* LEASE-13. */
void chaos_drift(const struct chaos_conf *conf)
{
    struct drift_run d;
    uint64_t by_lease;
    uint64_t asked;
    unsigned apart;
    char peer[32];

    begin(&d, conf);
    go_on_until(&d, n_by_lease(&d) >= 100 && load_leader(d.load) >= 0, "reads by a lease");
    apart = ((unsigned)load_leader(d.load) + 1) % NODES;
    (void)snprintf(peer, sizeof(peer), "%s", d.cluster->nodes[apart].name);
    nemesis_set_rate(d.nemesis, apart, APART_PPM);
    go_on_until(&d, anybody_logged(&d, " event=clocks_drift ", peer), "the drift to be said");
    go_on_until(&d, says_clocks(&d, apart), "status to say whose clocks run apart");
    /* Answers that were on their way. */
    asked = n_lease_reads(&d);
    go_on_until(&d, n_lease_reads(&d) >= asked + CLIENTS, "what was asked before");
    by_lease = n_by_lease(&d);
    asked = n_lease_reads(&d);
    go_on_until(&d, n_lease_reads(&d) >= asked + LEASE_READS, "lease reads without a lease");
    if (n_by_lease(&d) != by_lease)
        harness_fail("%" PRIu64 " reads by a lease although clocks run apart",
                     n_by_lease(&d) - by_lease);
    nemesis_set_rate(d.nemesis, apart, 0);
    go_on_until(&d, anybody_logged(&d, " event=clocks_agree ", NULL), "the clocks to agree");
    go_on_until(&d, n_by_lease(&d) >= by_lease + 100, "reads by a lease again");
    load_stop(d.load);
    load_read_all(d.load);
    (void)chaos_judge(d.cluster, &d.history, conf->seed);
    (void)printf("drift: %d ppm at %s found out; %u lease reads without a lease meanwhile; %zu "
                 "operations judged\n",
                 APART_PPM, peer, LEASE_READS, d.history.n);
    end(&d);
}
