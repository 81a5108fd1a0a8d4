/* Options. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mc/mc.h"

#include "base/banned.h"

/* clang-format off */
static const char usage[] =
    "usage: mc [--scope NAME] [--BOUND N ...] [option ...]\n"
    "\n"
    "Searches all states of a few cores within bounds, breadth first, and looks at the rules in each. Without bounds: all\n"
    "scopes that are marked with *, whose numbers of states must be those that are recorded.\n"
    "\n"
    "  --scope NAME     bounds with a name (below); those behind it change them\n"
    "  --nodes N --voters N --learners N --terms N --disk at-once|slow --once yes|no --dead-come yes|no\n"
    "  --pre-votes yes|no --changes-of BITS --leases yes|no --pairs yes|no --rates yes|no --beating yes|no --deaf BITS\n"
    "  --campaigns N --beats N --quiets N --writes N --reads N --crashes N --dups N\n"
    "  --transfers N --changes N --links N --ticks N --suspends N --asks N --reasks N\n"
    "  --states N       ends at so many states; --depth N: at so many actions; --seconds N: after so long\n"
    "  --memory MIB     of the table of states, at most (16 bytes a state)\n"
    "  --cache MIB      of what is remembered of cores (256)\n"
    "  --folder DIR     keeps the search there, and --resume goes on with it\n"
    "  --no-symmetry    states that differ by the names of nodes are two\n"
    "  --walk N         instead: N random ways on cores that are never bytes, compared with those that are; --seed N\n"
    "  --plant          a bug is planted: numbers of states may be others; without a scope: one after the other, until a\n"
    "                   rule is broken\n"
    "  --quiet          no line of progress\n"
    "\n"
    "Exit status: 0, all that was asked for was searched; 1, a rule is broken, or the number is not the one recorded.\n";
/* clang-format on */

static uint64_t number(const char *option, const char *text)
{
    char *end;
    const unsigned long long v = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "mc: %s wants a number, not '%s'\n", option, text);
        exit(64);
    }
    return v;
}

static _Noreturn void bad(const char *what)
{
    fprintf(stderr, "mc: %s; mc --help says what there is\n", what);
    exit(64);
}

struct run {
    struct mc_options options;
    size_t cache_mib;
    unsigned walk;
    uint64_t seed;
    bool changed; /* the bounds are not those of a scope any more */
    bool plant;
    bool named; /* a scope was */
};

static bool set_budget(const char *name, const char *value)
{
    for (unsigned i = 0; i < MC_BUDGETS; i++) {
        if (strcmp(name, mc_budget_names[i]) != 0)
            continue;
        mc_scope.budgets[i] = (unsigned)number(name, value);
        return true;
    }
    return false;
}

static bool set_bound(const char *name, const char *value)
{
    if (strcmp(name, "nodes") == 0)
        mc_scope.nodes = (unsigned)number(name, value);
    else if (strcmp(name, "voters") == 0)
        mc_scope.voters = (unsigned)number(name, value);
    else if (strcmp(name, "learners") == 0)
        mc_scope.learners = (unsigned)number(name, value);
    else if (strcmp(name, "deaf") == 0)
        mc_scope.deaf = (unsigned)number(name, value);
    else if (strcmp(name, "terms") == 0)
        mc_scope.terms = (unsigned)number(name, value);
    else if (strcmp(name, "changes-of") == 0)
        mc_scope.changes = (unsigned)number(name, value);
    else if (strcmp(name, "disk") == 0)
        mc_scope.disk = strcmp(value, "slow") == 0 ? MC_DISK_SLOW : MC_DISK_AT_ONCE;
    else if (strcmp(name, "leases") == 0)
        mc_scope.leases = strcmp(value, "yes") == 0;
    else if (strcmp(name, "rates") == 0)
        mc_scope.rates = strcmp(value, "yes") == 0;
    else if (strcmp(name, "beating") == 0)
        mc_scope.beating = strcmp(value, "yes") == 0;
    else if (strcmp(name, "pairs") == 0)
        mc_scope.pairs = strcmp(value, "yes") == 0;
    else if (strcmp(name, "dead-come") == 0)
        mc_scope.dead_come = strcmp(value, "yes") == 0;
    else if (strcmp(name, "once") == 0)
        mc_scope.once = strcmp(value, "yes") == 0;
    else if (strcmp(name, "pre-votes") == 0)
        mc_scope.pre_votes = strcmp(value, "yes") == 0;
    else
        return set_budget(name, value);
    return true;
}

static bool set_option(struct run *run, const char *name, const char *value)
{
    struct mc_options *o = &run->options;

    if (strcmp(name, "states") == 0)
        o->states_max = number(name, value);
    else if (strcmp(name, "depth") == 0)
        o->depth_max = (unsigned)number(name, value);
    else if (strcmp(name, "seconds") == 0)
        o->seconds_max = (unsigned)number(name, value);
    else if (strcmp(name, "memory") == 0)
        o->memory_max = number(name, value) << 20;
    else if (strcmp(name, "cache") == 0)
        run->cache_mib = number(name, value);
    else if (strcmp(name, "folder") == 0)
        o->folder = value;
    else if (strcmp(name, "walk") == 0)
        run->walk = (unsigned)number(name, value);
    else if (strcmp(name, "seed") == 0)
        run->seed = number(name, value);
    else
        return false;
    return true;
}

static bool set_flag(struct run *run, const char *name)
{
    if (strcmp(name, "resume") == 0)
        run->options.resume = true;
    else if (strcmp(name, "no-symmetry") == 0)
        run->options.symmetry = false;
    else if (strcmp(name, "quiet") == 0)
        run->options.quiet = true;
    else if (strcmp(name, "plant") == 0)
        run->plant = true;
    else
        return false;
    return true;
}

static void parse(int argc, char **argv, struct run *run)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];

        if (strcmp(name, "--help") == 0) {
            fputs(usage, stdout);
            printf("\nscopes:\n");
            mc_scopes_print(stdout);
            exit(0);
        }
        if (strncmp(name, "--", 2) != 0)
            bad("unknown option");
        name += 2;
        if (set_flag(run, name))
            continue;
        if (i + 1 == argc)
            bad("an option without a value, or an unknown one");
        i++;
        if (strcmp(name, "scope") == 0) {
            if (mc_scope_find(argv[i]) == NULL)
                bad("there is no such scope");
            mc_scope = *mc_scope_find(argv[i]);
            run->changed = false;
            run->named = true;
        } else if (set_bound(name, argv[i])) {
            run->changed = true;
        } else if (!set_option(run, name, argv[i])) {
            bad("unknown option");
        }
    }
}

static void check_bounds(void)
{
    if (mc_scope.nodes < 1 || mc_scope.nodes > MC_NODES_MAX || mc_scope.voters < 1 ||
        mc_scope.voters + mc_scope.learners > mc_scope.nodes || mc_scope.terms > MC_TERMS_MAX - 4 ||
        mc_scope.budgets[MC_READS] + mc_scope.budgets[MC_ASKS] > MC_READS_MAX ||
        mc_scope.budgets[MC_TICKS] >= MC_TICKS_MAX)
        bad("a bound is out of range");
    if ((mc_scope.leases || mc_scope.pairs) && mc_scope.budgets[MC_TICKS] == 0)
        bad("leases and pairs are about time: --ticks");
}

static int judge(const struct run *run, const struct mc_result *r)
{
    struct rusage use;
    const bool recorded = r->complete && !run->changed && run->options.symmetry && !run->plant;

    (void)getrusage(RUSAGE_SELF, &use);
    printf("mc: scope=%s states=%" PRIu64 " transitions=%" PRIu64 " depth=%u widest=%" PRIu64
           " seconds=%.1f memory_mib=%ld nodes=%" PRIu32 " messages=%" PRIu32 " %s\n",
           run->changed ? "own" : mc_scope.name, r->states, r->transitions, r->depth, r->widest,
           r->seconds, use.ru_maxrss >> 10, mc_n_cells(), mc_n_msgs(),
           r->violated   ? "VIOLATION"
           : r->complete ? "complete"
                         : "cut off");
    if (r->violated)
        return 1;
    if (recorded && mc_scope.states != 0 &&
        (mc_scope.states != r->states || mc_scope.depth != r->depth)) {
        printf("mc: %" PRIu64 " states and depth %u are recorded for this scope: is less searched "
               "than before, or more?\n"
               "mc: explain the difference, then write the numbers into tests/mc/scopes.c "
               "(docs/TESTING.md)\n",
               mc_scope.states, mc_scope.depth);
        return 1;
    }
    return 0;
}

static int search(struct run *run)
{
    struct mc_result result;
    char text[512];

    check_bounds();
    mc_scope_say(&mc_scope, text, sizeof(text));
    printf("mc: %s\n", text);
    mc_perms_init();
    mc_step_init(run->cache_mib << 20);
    if (run->walk > 0) {
        mc_walk(run->seed, run->walk, 200);
        return 0;
    }
    mc_search(&run->options, &result);
    return judge(run, &result);
}

/* In a process of its own: numbers of states, messages and nodes are of one scope. Its exit status. */
static int search_apart(struct run *run, const struct mc_scope *scope)
{
    pid_t pid;
    int status;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        mc_scope = *scope;
        status = search(run);
        (void)fflush(stdout);
        _exit(status);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 71;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 70;
}

static int search_marked(struct run *run, enum mc_mark mark)
{
    const struct mc_scope *scope;
    unsigned n = 0;
    int worst = 0;

    for (size_t i = 0; (scope = mc_scope_at(i)) != NULL; i++) {
        int status;

        if ((scope->marks & mark) == 0)
            continue;
        n++;
        status = search_apart(run, scope);
        worst = status > worst ? status : worst;
        if (status != 0 && mark == MC_FOR_PLANTS)
            break;
    }
    if (worst == 0)
        printf("[  PASSED  ] %u test(s).\n", n);
    return worst;
}

/* What `make check` asks for. */
static int check(struct run *run)
{
#ifdef RIDD_SLOW_BUILD
    const enum mc_mark mark = MC_FOR_QUICK;
#else
    const enum mc_mark mark = MC_FOR_CHECK;
#endif
    int worst;

    run->options.quiet = true;
    worst = search_marked(run, mark);
    run->walk = 300;
    return worst != 0 ? worst : search_marked(run, MC_FOR_WALK);
}

int main(int argc, char **argv)
{
    struct run run = {.options = {.symmetry = true}, .cache_mib = 256, .seed = 1};

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    mc_scope = *mc_scope_at(0);
    parse(argc, argv, &run);
    if (run.plant && !run.named)
        return search_marked(&run, MC_FOR_PLANTS);
    if (!run.named && !run.changed && run.walk == 0)
        return check(&run);
    return search(&run);
}
