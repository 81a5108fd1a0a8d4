/* Real ridd processes under attack, and whether what their clients saw can be explained.
 *
 *     chaos [--minutes M] [--seed N] [--nodes N] [--clients N] [--pipeline D]
 *           [--faults LIST] [--replace-every S] [--snapshot-every S] [--run S] [--quiet]
 *           [--until-reads N] [--until-faults N] [--old-reads] [--lease-ms N]
 *     chaos --drift
 *     chaos --restarts N [--window N] [--seed N] [--nodes N] [--clients N] [--pipeline D] [--quiet]
 *
 * The time is divided into runs of about a minute, each with a new cluster, a seed of its own
 * (N, N + 1, ...) and an end: all faults stop, one leader must be found, the states of all nodes must be
 * equal at equal index, every acknowledged write must be there, and all judges of checker.h must
 * agree that the history is as it may be. One run in five is without any fault, and all others have
 * periods without. Every other run has disks that can be full (it asks for root, and runs named by
 * --seed and --faults alone always have them): they are so in one period of three with faults, the
 * first one among them, on one node, on two, and so on to all in turn. No node may end for it.
 *
 * --replace-every: a member is replaced by a new node every so often, whatever else happens.
 * --snapshot-every: each node is asked for a snapshot about so often. --run: so long is a run (60).
 * --until-reads, --until-faults: it ends sooner, when so many reads of the methods that need a lease,
 * a clock or another node's word were answered, and there were so many faults. --old-reads: without
 * these methods. --lease-ms: the length of leases (300, and 1000 in every other run). --drift: a
 * clock runs apart from the others by more than is promised (chaos-drift.c).
 * --restarts: instead of all that, so many times nodes are killed or stopped and started again.
 *
 * Without --minutes it is the short form for the test command: one run with kills, pauses,
 * partitions, hand-overs and clocks, until 20,000 such reads were answered and 15 faults are over,
 * of RIDD_CHAOS_SECONDS (60) at most; then --drift. Of a failure the logs, the data folders, the
 * history and a timeline are kept. */
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

/* Of the short form. */
#define SHORT_READS  20000u
#define SHORT_FAULTS 15u

static bool is_short = true; /* run and drift; else one of them */
static bool drift_only;
static struct chaos_conf conf = {.depth = 1,
                                 .run_ms = RUN_MS,
                                 .faults = FAULTS_BASIC | FAULTS_CLOCKS,
                                 .reads = true,
                                 .n_reads = SHORT_READS,
                                 .n_faults = SHORT_FAULTS,
                                 .say = true};

CASE(chaos__run)
{
    chaos_run(&conf);
}

CASE(chaos__clocks_that_run_apart)
{
    chaos_drift(&conf);
}

CASE(chaos__restart)
{
    chaos_restart(&conf);
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
    static const struct option options[] = {{"minutes", required_argument, NULL, 'm'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"nodes", required_argument, NULL, 'n'},
                                            {"clients", required_argument, NULL, 'c'},
                                            {"pipeline", required_argument, NULL, 'p'},
                                            {"faults", required_argument, NULL, 'f'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"replace-every", required_argument, NULL, 'r'},
                                            {"run", required_argument, NULL, 'l'},
                                            {"snapshot-every", required_argument, NULL, 'o'},
                                            {"restarts", required_argument, NULL, 'x'},
                                            {"window", required_argument, NULL, 'w'},
                                            {"until-reads", required_argument, NULL, 'R'},
                                            {"until-faults", required_argument, NULL, 'F'},
                                            {"old-reads", no_argument, NULL, 'O'},
                                            {"lease-ms", required_argument, NULL, 'L'},
                                            {"drift", no_argument, NULL, 'D'},
                                            {NULL, 0, NULL, 0}};
    const char *seconds = getenv("RIDD_CHAOS_SECONDS");
    const char *faults = NULL;
    uint64_t n_reads = 0;
    uint64_t n_faults = 0;
    int o;

    conf.seed = clock_wall_us() / 1000000u * 1000u + (uint64_t)getpid() % 1000u;
    conf.total_ms =
        1000u * (seconds != NULL ? parse_number("RIDD_CHAOS_SECONDS", seconds, 5, 86400) : 60);
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'm':
            conf.total_ms = 60000u * parse_number("minutes", optarg, 1, 10000);
            conf.faults = FAULTS_ALL;
            is_short = false;
            conf.n_reads = 0;
            conf.n_faults = 0;
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
        case 'r':
            conf.replace_ms = 1000u * (unsigned)parse_number("replace-every", optarg, 1, 3600);
            break;
        case 'o':
            conf.snapshot_ms = 1000u * (unsigned)parse_number("snapshot-every", optarg, 1, 3600);
            break;
        case 'l':
            conf.run_ms = 1000u * parse_number("run", optarg, 5, 86400);
            break;
        case 'x':
            conf.n_cycles = (unsigned)parse_number("restarts", optarg, 1, 1000000);
            break;
        case 'R':
            n_reads = parse_number("until-reads", optarg, 1, UINT32_MAX);
            break;
        case 'F':
            n_faults = parse_number("until-faults", optarg, 1, UINT32_MAX);
            break;
        case 'L':
            conf.lease_ms = (unsigned)parse_number("lease-ms", optarg, 1, 2000);
            break;
        case 'O':
            conf.reads = false;
            break;
        case 'D':
            drift_only = true;
            break;
        case 'w':
            conf.window = (unsigned)parse_number("window", optarg, 1, 1000);
            break;
        default:
            (void)fprintf(
                stderr,
                "usage: chaos [--minutes M] [--seed N] [--nodes N] [--clients N] [--pipeline D]\n"
                "             [--faults LIST] [--replace-every S] [--snapshot-every S] [--run S] "
                "[--quiet]\n"
                "             [--until-reads N] [--until-faults N] [--old-reads] [--lease-ms N]\n"
                "       chaos --drift\n"
                "       chaos --restarts N [--window N] [--seed N] [--nodes N] [--clients N] "
                "[--pipeline D] [--quiet]\n");
            exit(64);
        }
    }
    if (n_reads != 0 || n_faults != 0) {
        conf.n_reads = n_reads;
        conf.n_faults = n_faults;
    }
    if (faults != NULL)
        conf.faults = parse_faults(faults);
    if (conf.replace_ms != 0 && conf.nodes > REPLACING_MEMBERS_MAX) {
        (void)fprintf(stderr, "--replace-every: at most %u nodes\n", REPLACING_MEMBERS_MAX);
        exit(64);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest run[] = {cmocka_unit_test_teardown(chaos__run, chaos_teardown)};
    const struct CMUnitTest drift[] = {
        cmocka_unit_test_teardown(chaos__clocks_that_run_apart, chaos_teardown)};
    const struct CMUnitTest both[] = {run[0], drift[0]};
    const struct CMUnitTest restart[] = {cmocka_unit_test_teardown(chaos__restart, chaos_teardown)};

    parse_arguments(argc, argv);
    argc = 1;
    harness_init(argc, argv);
    if (conf.n_cycles != 0) {
        (void)alarm((unsigned)slow(conf.n_cycles) * 10u + 600u);
        return cmocka_run_group_tests_name("chaos", restart, NULL, NULL);
    }
    (void)alarm((unsigned)(slow(conf.total_ms * 3) / 1000u) + 600u);
    if (drift_only)
        return cmocka_run_group_tests_name("chaos", drift, NULL, NULL);
    if (is_short)
        return cmocka_run_group_tests_name("chaos", both, NULL, NULL);
    return cmocka_run_group_tests_name("chaos", run, NULL, NULL);
}
