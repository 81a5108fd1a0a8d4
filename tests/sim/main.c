/* The simulator as a program: which seeds, in how many processes, and what to say about them.
 *
 *     sim                                    what `make check` runs: the scripts of regress/, then
 *                                            RIDD_SIM_SEEDS seeds, some of them twice
 *     sim --seeds 1-100000 --jobs 2 --stats
 *     sim --hours 8 --jobs 2                 fresh seeds until then
 *     sim --seed 17 --trace                  one seed, each event in a line; always the same run
 *     sim --seed 17 --shrink new.sim         a smaller run that breaks the same rule
 *     sim --script tests/sim/regress/x.sim
 *
 * Exit status: 0 all is well, 1 a rule was broken (the first one ends everything), 64 usage. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "sim/sim.h"

#include "base/banned.h"

#ifndef SIM_SEEDS_DEFAULT
#define SIM_SEEDS_DEFAULT 2000
#endif
#ifndef SIM_SRCDIR
#define SIM_SRCDIR "."
#endif

#define JOBS_MAX          64u
#define SEEDS_TO_MEET_ALL 200u

struct totals {
    uint64_t seed; /* under way */
    uint64_t n_seeds;
    uint64_t n_events;
    uint64_t n_turns;
    uint64_t hash; /* of the runs' hashes */
    uint64_t virtual_ms;
    uint64_t marks[MARK_COUNT];
};

struct plan {
    uint64_t from;
    uint64_t to;
    unsigned jobs;
    unsigned twice_of; /* every so many seeds is run twice; 0: none */
    uint64_t until_us; /* of the real clock; 0: no end */
    bool stats;
};

/* ---- one run ---- */

static uint64_t run_once(const struct sim_options *o, struct totals *t)
{
    struct sim *s = run_new(o);
    uint64_t hash;

    run_seed(s);
    hash = s->hash;
    if (t != NULL) {
        t->n_seeds++;
        t->n_events += s->n_events;
        t->n_turns += s->n_turns;
        t->virtual_ms += s->now / SIM_MS;
        t->hash ^= sim_mix(hash, o->seed);
        for (unsigned i = 0; i < MARK_COUNT; i++)
            t->marks[i] += s->marks[i];
    }
    run_free(s);
    return hash;
}

static void run_one(const struct plan *plan, uint64_t seed, struct totals *t)
{
    struct sim_options o = {.seed = seed};
    uint64_t hash;

    t->seed = seed;
    hash = run_once(&o, t);
    if (plan->twice_of != 0 && seed % plan->twice_of == 0 && run_once(&o, NULL) != hash) {
        (void)printf("sim FAIL seed=0x%" PRIx64 " commit=%s inv=repeat \"two runs differ\"\n", seed,
                     trace_commit());
        (void)fflush(stdout);
        _exit(1);
    }
}

static int work(const struct plan *plan, unsigned job, struct totals *t)
{
    for (uint64_t seed = plan->from + job; seed <= plan->to; seed += plan->jobs) {
        if (plan->until_us != 0 && clock_mono_us() >= plan->until_us)
            break;
        run_one(plan, seed, t);
    }
    return 0;
}

/* ---- many runs ---- */

/* What would be looked at for nothing if it never happened any more: false, and it says so. */
static bool has_met(const struct totals *sum)
{
    static const enum sim_mark marks[] = {MARK_config_truncated, MARK_join_behind_front,
                                          MARK_join_by_snapshot};
    bool all = true;

    (void)printf("sim: met");
    for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        (void)printf("%s %s %" PRIu64, i > 0 ? "," : "", sim_mark_names[marks[i]],
                     sum->marks[marks[i]]);
        all = all && sum->marks[marks[i]] > 0;
    }
    (void)printf("%s\n", all ? "" : ": one of them never, in so many seeds");
    return all;
}

/* 0, or 1: something rare never happened. */
static int print_totals(const struct plan *plan, const struct totals *all, uint64_t took_us)
{
    struct totals sum = {0};
    double seconds = (double)(took_us > 0 ? took_us : 1) / 1e6;

    for (unsigned j = 0; j < plan->jobs; j++) {
        sum.n_seeds += all[j].n_seeds;
        sum.n_events += all[j].n_events;
        sum.n_turns += all[j].n_turns;
        sum.virtual_ms += all[j].virtual_ms;
        sum.hash ^= all[j].hash;
        for (unsigned i = 0; i < MARK_COUNT; i++)
            sum.marks[i] += all[j].marks[i];
    }
    (void)printf("sim: %" PRIu64 " seeds well, %" PRIu64
                 " events, %.1f virtual hours, %.1f s, %.0f "
                 "events/s in %u process%s, hash=%016" PRIx64 "\n",
                 sum.n_seeds, sum.n_events, (double)sum.virtual_ms / 3.6e6, seconds,
                 (double)sum.n_events / seconds, plan->jobs, plan->jobs > 1 ? "es" : "", sum.hash);
    for (unsigned i = 0; plan->stats && i < MARK_COUNT; i++)
        (void)printf("%12" PRIu64 "  %s%s\n", sum.marks[i], sim_mark_names[i],
                     sum.marks[i] == 0 ? "  (never)" : "");
    return sum.n_seeds < SEEDS_TO_MEET_ALL || has_met(&sum) ? 0 : 1;
}

/* The last lines of the trace of the run that failed. */
static void print_trace_end(uint64_t seed)
{
    struct sim_options o = {.seed = seed};
    char what[256];
    uint64_t event;
    uint64_t again;

    if (probe_run(&o, what, sizeof(what), &event, true) == 0) {
        (void)printf("sim: the run of seed 0x%" PRIx64 " is well when repeated\n", seed);
        return;
    }
    (void)printf("sim: repeat with: sim --seed 0x%" PRIx64 " --trace\n", seed);
    (void)fflush(stdout);
    o.trace = true;
    (void)probe_run(&o, what, sizeof(what), &again, true);
    if (event != again)
        (void)printf("sim: and it is not the same when repeated: event %" PRIu64 ", then %" PRIu64
                     "\n",
                     event, again);
}

static int run_many(const struct plan *plan)
{
    size_t bytes = plan->jobs * sizeof(struct totals);
    struct totals *all =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t begin = clock_mono_us();
    pid_t pids[JOBS_MAX];
    unsigned left = plan->jobs;
    int failed = 0;

    if (all == MAP_FAILED)
        abort();
    (void)printf("sim: seeds=%" PRIu64 "-%" PRIu64 " commit=%s jobs=%u\n", plan->from, plan->to,
                 trace_commit(), plan->jobs);
    (void)fflush(NULL);
    for (unsigned j = 0; j < plan->jobs; j++) {
        pids[j] = fork();
        if (pids[j] < 0)
            abort();
        if (pids[j] == 0) {
            (void)work(plan, j, &all[j]);
            (void)fflush(NULL);
            exit(0);
        }
    }
    while (left > 0) {
        int status = 0;
        pid_t pid = wait(&status);
        unsigned j = 0;

        if (pid < 0 && errno == EINTR)
            continue;
        while (j < plan->jobs && pids[j] != pid)
            j++;
        if (j == plan->jobs)
            break;
        pids[j] = 0;
        left--;
        if (status == 0 || failed)
            continue;
        failed = 1;
        (void)printf("sim: seed 0x%" PRIx64 " failed after %.1f s and %" PRIu64
                     " good seeds here\n",
                     all[j].seed, (double)(clock_mono_us() - begin) / 1e6, all[j].n_seeds);
        for (unsigned k = 0; k < plan->jobs; k++)
            if (pids[k] > 0)
                (void)kill(pids[k], SIGKILL);
        print_trace_end(all[j].seed);
    }
    if (!failed)
        failed = print_totals(plan, all, clock_mono_us() - begin);
    (void)munmap(all, bytes);
    return failed;
}

/* ---- scripts ---- */

static int run_script(const char *path)
{
    struct sim_options o = {0};
    char what[256];
    uint64_t event;

    if (!options_read(&o, path)) {
        (void)printf("sim: cannot read the script '%s'\n", path);
        return 1;
    }
    if (probe_run(&o, what, sizeof(what), &event, o.expect[0] != '\0') == 0) {
        if (o.expect[0] == '\0')
            return 0;
        (void)printf("sim: %s breaks nothing, it should break %s\n", path, o.expect);
        return 1;
    }
    if (strcmp(what, o.expect) == 0)
        return 0;
    (void)printf("sim: %s breaks %s\n", path, what);
    return 1;
}

static int is_script(const struct dirent *e)
{
    size_t len = strlen(e->d_name);

    return len > 4 && strcmp(e->d_name + len - 4, ".sim") == 0;
}

static int run_regress(void)
{
    const char *srcdir = getenv("srcdir");
    char dir[512];
    struct dirent **list = NULL;
    int failed = 0;
    int n;

    (void)snprintf(dir, sizeof(dir), "%s/tests/sim/regress", srcdir != NULL ? srcdir : SIM_SRCDIR);
    n = scandir(dir, &list, is_script, alphasort);
    for (int i = 0; i < n; i++) {
        char path[1024];

        (void)snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
        failed |= run_script(path);
        free(list[i]);
    }
    free(list);
    (void)printf("sim: %d scripts of regress/ %s\n", n > 0 ? n : 0, failed ? "FAILED" : "are well");
    return failed;
}

/* ---- the command line ---- */

static int usage(void)
{
    (void)fprintf(
        stderr, "usage: sim [--seeds FROM-TO | --hours H] [--jobs N] [--twice] [--stats]\n"
                "       sim --seed N [--trace] [--shrink[=FILE]] [nodes=N] [streams-off=...] ...\n"
                "       sim --script FILE [--trace] [--shrink[=FILE]]\n");
    return 64;
}

static unsigned default_jobs(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

static int run_default(void)
{
    const char *text = getenv("RIDD_SIM_SEEDS");
    uint64_t n = text != NULL ? strtoull(text, NULL, 10) : SIM_SEEDS_DEFAULT;
    struct plan plan = {.from = 1, .to = n, .jobs = default_jobs(), .twice_of = 10};

    if (run_regress() != 0)
        return 1;
    return n > 0 ? run_many(&plan) : 0;
}

struct command_line {
    struct plan plan;
    struct sim_options options;
    bool one; /* a seed or a script is named */
    bool shrink;
    const char *shrink_to;
};

static bool read_argument(struct command_line *c, int argc, char **argv, int *i)
{
    const char *a = argv[*i];
    const char *value = *i + 1 < argc ? argv[*i + 1] : NULL;
    char *end = NULL;

    if (strcmp(a, "--trace") == 0)
        return c->options.trace = true;
    if (strcmp(a, "--stats") == 0)
        return c->plan.stats = true;
    if (strcmp(a, "--twice") == 0) {
        c->plan.twice_of = 1;
        return true;
    }
    if (strncmp(a, "--shrink", 8) == 0 && (a[8] == '\0' || a[8] == '=')) {
        c->shrink_to = a[8] == '=' ? a + 9 : NULL;
        return c->shrink = true;
    }
    if (strchr(a, '=') != NULL)
        return options_word(&c->options, a);
    if (value == NULL)
        return false;
    (*i)++;
    if (strcmp(a, "--seed") == 0) {
        c->one = true;
        c->options.seed = strtoull(value, &end, 0);
        return *end == '\0';
    }
    if (strcmp(a, "--script") == 0)
        return c->one = options_read(&c->options, value);
    if (strcmp(a, "--jobs") == 0) {
        c->plan.jobs = (unsigned)strtoul(value, &end, 10);
        return *end == '\0' && c->plan.jobs >= 1 && c->plan.jobs <= JOBS_MAX;
    }
    if (strcmp(a, "--hours") == 0) {
        c->plan.from = clock_mono_us() << 20;
        c->plan.to = UINT64_MAX - JOBS_MAX;
        c->plan.until_us = clock_mono_us() + (uint64_t)(strtod(value, &end) * 3.6e9);
        return *end == '\0';
    }
    if (strcmp(a, "--seeds") == 0) {
        c->plan.from = strtoull(value, &end, 0);
        c->plan.to = c->plan.from;
        if (*end == '-')
            c->plan.to = strtoull(end + 1, &end, 0);
        return *end == '\0' && c->plan.to >= c->plan.from;
    }
    return false;
}

int main(int argc, char **argv)
{
    struct command_line c = {.plan = {.from = 1, .to = 0, .jobs = 1}};
    struct rlimit none = {0, 0};

    json_object_seed(1);
    (void)setrlimit(RLIMIT_CORE, &none);
    if (argc == 1)
        return run_default();
    for (int i = 1; i < argc; i++)
        if (!read_argument(&c, argc, argv, &i))
            return usage();
    if (c.one && c.shrink)
        return shrink(&c.options, c.shrink_to);
    if (c.one) {
        char text[512];
        uint64_t hash;

        options_print(&c.options, text, sizeof(text));
        (void)printf("sim: %s commit=%s\n", text, trace_commit());
        (void)fflush(stdout);
        hash = run_once(&c.options, NULL);
        if (c.plan.twice_of != 0 && run_once(&c.options, NULL) != hash) {
            (void)printf("sim FAIL %s inv=repeat \"two runs differ\"\n", text);
            return 1;
        }
        (void)printf("sim: well, hash=%016" PRIx64 "\n", hash);
        return 0;
    }
    if (c.plan.to < c.plan.from)
        return usage();
    return run_many(&c.plan);
}
