/* ridbench: keys of its own, a load on them for some seconds, what it found, and the keys are gone.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/prng.h"
#include "base/seed.h"
#include "load/methods.h"
#include "load/ridbench_int.h"

#include "base/banned.h"

#define METHOD(name, also, via, kind, percent, linearizable, any_node)                             \
    {name, also, LOAD_RIDD_##via, LOAD_##kind, percent, linearizable, any_node},
static const struct bench_method methods[] = {LOAD_METHODS(METHOD)};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

static const char help[] =
    "usage: ridbench [--method M] [OPTION...]\n"
    "\n"
    "Loads a ridd cluster for some seconds, looks at every answer, and prints how\n"
    "many there were and how long they took. Its keys are below bench/, and are\n"
    "removed at the end.\n"
    "\n"
    "where:\n"
    "  -e, --endpoints LIST   HOST:PORT,... of client ports, or unix:PATH\n"
    "  -c, --config FILE      take the nodes from this ridd.conf\n"
    "      --spread           all nodes, not the leader: follower, local, bounded\n"
    "who asks, and how nodes are known (TLS), as of ridctl(1):\n"
    "      --ca FILE  --secret FILE  --cluster NAME  --cert FILE  --key FILE\n"
    "      --server-name NAME  --token-file FILE\n"
    "what:\n"
    "  -m, --method M         read_index (the default), log, lease, follower, local,\n"
    "                         bounded, write, mixed, batch, scan\n"
    "      --write-percent W  so many of a hundred are writes (mixed: 10)\n"
    "      --of N             keys of each batch or scan (10), at most 128\n"
    "      --max-stale MS     bounded: how old an answer may be (1000)\n"
    "      --keys N           how many keys (1000), at most 100000000\n"
    "      --zipf S           some keys more often: the k-th 1/k^S (uniform)\n"
    "      --value-bytes B    size of each value (64), at most 524286\n"
    "how much:\n"
    "  -C, --connections N    connections (4)\n"
    "  -i, --in-flight K      requests under way on each (16)\n"
    "  -r, --rate R           open loop: R requests a second are due, whatever was\n"
    "                         answered, each timed from when it was due\n"
    "      --arrivals A       with --rate: uniform, poisson (uniform)\n"
    "  -s, --seconds S        how long (5)\n"
    "      --warm-up S        before that, not measured (a tenth, at most 2)\n"
    "      --threads N        loops, each with its share of all that (1)\n"
    "  -t, --timeout MS       a request fails after that (5000)\n"
    "      --seed N           the same keys in the same order again\n"
    "      --keep             leave the keys\n"
    "      --handshakes       a new connection for each request\n"
    "more than figures:\n"
    "      --check            record what is asked and answered, and judge whether it\n"
    "                         is linearizable; reads and writes of single keys\n"
    "      --save FILE        where that is drawn, as HTML, when it is not\n"
    "      --failover         kill the leader, again and again, and tell how long it\n"
    "                         is until the next write and the next read\n"
    "      --kill CMD         by this command, which finds RIDBENCH_NODE, _PID and\n"
    "                         _ADDRESS; or 'pid': SIGKILL to its process here\n"
    "      --restart CMD      the command that starts it again; without: one round\n"
    "      --rounds N         so many (10)\n"
    "how it is told:\n"
    "      --json             one JSON document on standard output\n"
    "      --csv              one line for each second on standard output\n"
    "  -v, --verbose          a line when what is measured begins\n"
    "  -q, --quiet            no line of progress\n"
    "  -h, --help             this\n"
    "      --version          the version\n"
    "\n"
    "Exit status: 0 done; 1 an answer was wrong; 2 no quorum; 4 foreign keys are\n"
    "below bench/; 64 usage; 69 nobody answers; 71 the system; 74 output; 75 try\n"
    "again; 78 configuration. ridbench(1) says more.\n";

/* ---- words ---- */

static void clear_line(const struct bench *b)
{
    if (b->drawn)
        (void)fputs("\r\033[K", stderr);
    ((struct bench *)(uintptr_t)b)->drawn = false;
}

int bench_report(const struct bench *b, int exit_code, const char *format, ...)
{
    char text[1024];
    va_list ap;

    clear_line(b);
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (char *s = text; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
    (void)fprintf(stderr, "ridbench: %s\n", text);
    return exit_code;
}

static void on_progress(void *arg, const struct load_progress *p)
{
    struct bench *b = arg;
    const double s = (double)p->gone_ns / 1e9;

    /* Where nobody looks, one in ten. */
    if (b->quiet || (!isatty(STDERR_FILENO) && ++b->n_progress % BENCH_SAY_EACH != 0))
        return;
    (void)fprintf(stderr, "%s%s: %.0f s, %llu%%, %.0f a second, %llu errors%s%s",
                  isatty(STDERR_FILENO) ? "\r\033[K" : "", p->what, s,
                  (unsigned long long)(p->total > 0 ? p->gone * 100 / p->total : 100),
                  s > 0 ? (double)p->n_done / s : 0, (unsigned long long)p->n_errors,
                  p->n_wrong > 0 ? ", WRONG answers" : "", isatty(STDERR_FILENO) ? "" : "\n");
    (void)fflush(stderr);
    b->drawn = isatty(STDERR_FILENO);
}

/* Loads are under way: this costs them nothing. */
static void before(void *arg)
{
    struct bench *b = arg;

    if (b->verbose)
        (void)bench_report(b, BENCH_EXIT_OK, "measuring for %g s", b->seconds);
    bench_ask_nodes(b, b->before);
}

static void after(void *arg)
{
    struct bench *b = arg;

    bench_ask_nodes(b, b->after);
}

/* ---- signals: the first ends what is measured, the second all ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

static bool is_over(void *arg)
{
    const struct bench *b = arg;

    return signalled != 0 || __atomic_load_n(&b->over, __ATOMIC_RELAXED);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* ---- the command line ---- */

enum {
    OPT_SPREAD = 256,
    OPT_WRITE_PERCENT,
    OPT_OF,
    OPT_MAX_STALE,
    OPT_KEYS,
    OPT_ZIPF,
    OPT_VALUE_BYTES,
    OPT_ARRIVALS,
    OPT_WARM_UP,
    OPT_THREADS,
    OPT_SEED,
    OPT_KEEP,
    OPT_JSON,
    OPT_CSV,
    OPT_CHECK,
    OPT_SAVE,
    OPT_FAILOVER,
    OPT_KILL,
    OPT_RESTART,
    OPT_ROUNDS,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_SECRET,
    OPT_CLUSTER,
    OPT_SERVER_NAME,
    OPT_TOKEN_FILE,
    OPT_HANDSHAKES,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"endpoints", required_argument, NULL, 'e'},
    {"config", required_argument, NULL, 'c'},
    {"method", required_argument, NULL, 'm'},
    {"connections", required_argument, NULL, 'C'},
    {"in-flight", required_argument, NULL, 'i'},
    {"rate", required_argument, NULL, 'r'},
    {"seconds", required_argument, NULL, 's'},
    {"timeout", required_argument, NULL, 't'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"spread", no_argument, NULL, OPT_SPREAD},
    {"write-percent", required_argument, NULL, OPT_WRITE_PERCENT},
    {"of", required_argument, NULL, OPT_OF},
    {"max-stale", required_argument, NULL, OPT_MAX_STALE},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"zipf", required_argument, NULL, OPT_ZIPF},
    {"value-bytes", required_argument, NULL, OPT_VALUE_BYTES},
    {"arrivals", required_argument, NULL, OPT_ARRIVALS},
    {"warm-up", required_argument, NULL, OPT_WARM_UP},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"keep", no_argument, NULL, OPT_KEEP},
    {"json", no_argument, NULL, OPT_JSON},
    {"csv", no_argument, NULL, OPT_CSV},
    {"check", no_argument, NULL, OPT_CHECK},
    {"save", required_argument, NULL, OPT_SAVE},
    {"failover", no_argument, NULL, OPT_FAILOVER},
    {"kill", required_argument, NULL, OPT_KILL},
    {"restart", required_argument, NULL, OPT_RESTART},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"ca", required_argument, NULL, OPT_CA},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"secret", required_argument, NULL, OPT_SECRET},
    {"cluster", required_argument, NULL, OPT_CLUSTER},
    {"server-name", required_argument, NULL, OPT_SERVER_NAME},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"handshakes", no_argument, NULL, OPT_HANDSHAKES},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static const struct {
    int option;
    const char *name;
    unsigned min;
    unsigned max;
    size_t offset; /* of the unsigned in struct bench */
} numbers[] = {
    {'C', "--connections", 1, LOAD_CONNECTIONS_MAX, offsetof(struct bench, n_connections)},
    {'i', "--in-flight", 1, CLIENT_IN_FLIGHT_MAX, offsetof(struct bench, in_flight)},
    {'t', "--timeout", 1, TIMEOUT_MS_MAX, offsetof(struct bench, timeout_ms)},
    {OPT_WRITE_PERCENT, "--write-percent", 0, 100, offsetof(struct bench, write_percent)},
    {OPT_OF, "--of", 1, LOAD_OF_MAX, offsetof(struct bench, n_of)},
    {OPT_MAX_STALE, "--max-stale", 1, MAX_STALE_MS_MAX, offsetof(struct bench, max_stale_ms)},
    {OPT_KEYS, "--keys", 1, LOAD_KEYS_MAX, offsetof(struct bench, n_keys)},
    {OPT_VALUE_BYTES, "--value-bytes", 1, BENCH_VALUE_BYTES_MAX,
     offsetof(struct bench, value_bytes)},
    {OPT_ROUNDS, "--rounds", 1, BENCH_ROUNDS_MAX, offsetof(struct bench, n_rounds)},
    {OPT_THREADS, "--threads", 1, LOAD_THREADS_MAX, offsetof(struct bench, n_threads)},
};

static const struct {
    int option;
    const char *name;
    double min;
    double max;
    size_t offset; /* of the double in struct bench */
} reals[] = {
    {'r', "--rate", 0.1, 1e9, offsetof(struct bench, rate)},
    {'s', "--seconds", 0.1, LOAD_SECONDS_MAX, offsetof(struct bench, seconds)},
    {OPT_WARM_UP, "--warm-up", 0, LOAD_SECONDS_MAX, offsetof(struct bench, warm_s)},
    {OPT_ZIPF, "--zipf", 0, 10, offsetof(struct bench, zipf)},
};

static const struct {
    int option;
    size_t offset; /* of the const char * in struct bench */
} texts[] = {
    {OPT_CA, offsetof(struct bench, keyring.ca)},
    {OPT_CERT, offsetof(struct bench, keyring.cert)},
    {OPT_KEY, offsetof(struct bench, keyring.key)},
    {OPT_SECRET, offsetof(struct bench, keyring.secret)},
    {OPT_CLUSTER, offsetof(struct bench, keyring.cluster)},
    {OPT_SERVER_NAME, offsetof(struct bench, keyring.server_name)},
    {OPT_TOKEN_FILE, offsetof(struct bench, keyring.token_file)},
};

static int take_number(struct bench *b, size_t i, const char *arg)
{
    char *end = NULL;
    unsigned long v;

    errno = 0;
    v = strtoul(arg, &end, 10);
    if (arg[0] < '0' || arg[0] > '9' || errno != 0 || *end != '\0' || v < numbers[i].min ||
        v > numbers[i].max)
        return bench_report(b, BENCH_EXIT_USAGE, "%s takes a number from %u to %u, not '%.40s'",
                            numbers[i].name, numbers[i].min, numbers[i].max, arg);
    *(unsigned *)(void *)((char *)b + numbers[i].offset) = (unsigned)v;
    return BENCH_EXIT_OK;
}

static int take_real(struct bench *b, size_t i, const char *arg)
{
    char *end = NULL;
    double v;

    errno = 0;
    v = strtod(arg, &end);
    if (arg[0] < '0' || arg[0] > '9' || errno != 0 || *end != '\0' || !(v >= reals[i].min) ||
        !(v <= reals[i].max))
        return bench_report(b, BENCH_EXIT_USAGE, "%s takes a number from %g to %g, not '%.40s'",
                            reals[i].name, reals[i].min, reals[i].max, arg);
    *(double *)(void *)((char *)b + reals[i].offset) = v;
    return BENCH_EXIT_OK;
}

/* '-' is taken for '_'. */
static bool same_name(const char *given, const char *name)
{
    if (name == NULL)
        return false;
    while (*given != '\0' && (*given == *name || (*given == '-' && *name == '_'))) {
        given++;
        name++;
    }
    return *given == '\0' && *name == '\0';
}

static int take_method(struct bench *b, const char *arg)
{
    for (size_t i = 0; i < N_METHODS; i++)
        if (same_name(arg, methods[i].name) || same_name(arg, methods[i].also)) {
            b->method = &methods[i];
            return BENCH_EXIT_OK;
        }
    return bench_report(b, BENCH_EXIT_USAGE,
                        "--method takes read_index, log, lease, follower, local, bounded, write, "
                        "mixed, batch, scan, not '%.60s'",
                        arg);
}

static int take_arrivals(struct bench *b, const char *arg)
{
    b->poisson = strcmp(arg, "poisson") == 0;
    if (!b->poisson && strcmp(arg, "uniform") != 0)
        return bench_report(b, BENCH_EXIT_USAGE, "--arrivals takes uniform or poisson, not '%.60s'",
                            arg);
    return BENCH_EXIT_OK;
}

static int take_seed(struct bench *b, const char *arg)
{
    char *end = NULL;

    errno = 0;
    b->seed = strtoull(arg, &end, 10);
    if (arg[0] < '0' || arg[0] > '9' || errno != 0 || *end != '\0')
        return bench_report(b, BENCH_EXIT_USAGE, "--seed takes a number, not '%.40s'", arg);
    return BENCH_EXIT_OK;
}

static int take_option(struct bench *b, int option, const char *given)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (numbers[i].option == option)
            return take_number(b, i, optarg);
    for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++)
        if (reals[i].option == option)
            return take_real(b, i, optarg);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].option == option) {
            *(const char **)(void *)((char *)b + texts[i].offset) = optarg;
            return BENCH_EXIT_OK;
        }
    switch (option) {
    case 'e':
        b->endpoints = optarg;
        return BENCH_EXIT_OK;
    case 'c':
        b->config = optarg;
        return BENCH_EXIT_OK;
    case 'm':
        return take_method(b, optarg);
    case 'q':
        b->quiet = true;
        return BENCH_EXIT_OK;
    case 'v':
        b->verbose = true;
        return BENCH_EXIT_OK;
    case OPT_SPREAD:
        b->spread = true;
        return BENCH_EXIT_OK;
    case OPT_ARRIVALS:
        return take_arrivals(b, optarg);
    case OPT_SEED:
        return take_seed(b, optarg);
    case OPT_HANDSHAKES:
        b->handshakes = true;
        return BENCH_EXIT_OK;
    case OPT_KEEP:
        b->keep = true;
        return BENCH_EXIT_OK;
    case OPT_JSON:
        b->json = true;
        return BENCH_EXIT_OK;
    case OPT_CSV:
        b->csv = true;
        return BENCH_EXIT_OK;
    case OPT_CHECK:
        b->check = true;
        return BENCH_EXIT_OK;
    case OPT_SAVE:
        b->save = optarg;
        return BENCH_EXIT_OK;
    case OPT_FAILOVER:
        b->failover = true;
        return BENCH_EXIT_OK;
    case OPT_KILL:
        b->kill = optarg;
        return BENCH_EXIT_OK;
    case OPT_RESTART:
        b->restart = optarg;
        return BENCH_EXIT_OK;
    case ':':
        return bench_report(b, BENCH_EXIT_USAGE, "'%.60s' wants a value; see 'ridbench --help'",
                            given);
    default:
        return bench_report(b, BENCH_EXIT_USAGE, "unknown option '%.60s'; see 'ridbench --help'",
                            given);
    }
}

/* *ret_done: there is nothing more to do. */
static int parse(struct bench *b, int argc, char **argv, bool *ret_done)
{
    int exit_code = BENCH_EXIT_OK;
    int option;

    opterr = 0;
    while (exit_code == BENCH_EXIT_OK && !*ret_done &&
           (option = getopt_long(argc, argv, ":e:c:m:C:i:r:s:t:qvh", long_options, NULL)) != -1) {
        if (option == 'h' || option == OPT_VERSION) {
            *ret_done = true;
            if (option == 'h')
                (void)fputs(help, stdout);
            else
                (void)printf("ridbench %s\n", PACKAGE_VERSION);
        } else {
            exit_code = take_option(b, option, argv[optind - 1]);
        }
    }
    if (exit_code == BENCH_EXIT_OK && !*ret_done && optind < argc)
        return bench_report(b, BENCH_EXIT_USAGE,
                            "'%.60s' is one word too many; see 'ridbench "
                            "--help'",
                            argv[optind]);
    return exit_code;
}

/* ---- the order of things ---- */

static int check_asked(const struct bench *b)
{
    const bool reads_many = b->method->kind == LOAD_BATCH || b->method->kind == LOAD_SCAN;

    if (b->spread && !b->method->any_node)
        return bench_report(b, BENCH_EXIT_USAGE,
                            "only the leader answers %s; --spread goes with follower, local and "
                            "bounded",
                            b->method->name);
    if (b->spread && b->write_percent != UINT_MAX && b->write_percent > 0)
        return bench_report(b, BENCH_EXIT_USAGE,
                            "only the leader takes writes: --spread or --write-percent");
    if (reads_many && b->n_of > b->n_keys)
        return bench_report(b, BENCH_EXIT_USAGE, "--of %u wants as many --keys", b->n_of);
    if (b->check && (reads_many || !b->method->linearizable))
        return bench_report(b, BENCH_EXIT_USAGE,
                            "--check judges linearizable reads and writes of single keys, not %s",
                            b->method->name);
    if (b->failover && (b->kill == NULL || b->csv || reads_many || b->spread))
        return bench_report(b, BENCH_EXIT_USAGE,
                            "--failover wants --kill CMD (or pid), and no --csv, --spread, batch "
                            "or scan");
    if ((uint64_t)b->n_connections * b->in_flight * b->value_bytes * (reads_many ? b->n_of : 1) >
        BENCH_BYTES_MAX)
        return bench_report(b, BENCH_EXIT_USAGE,
                            "all that would be under way at once has more than %" PRIu64
                            " MiB: fewer --connections, --in-flight%s or --value-bytes",
                            BENCH_BYTES_MAX >> 20, reads_many ? ", --of" : "");
    if (b->handshakes && (b->rate > 0 || b->failover))
        return bench_report(
            b, BENCH_EXIT_USAGE,
            "--handshakes makes a connection when the last is done with: no --rate, "
            "no --failover");
    if (b->n_connections < b->n_threads)
        return bench_report(b, BENCH_EXIT_USAGE, "--threads %u wants as many --connections",
                            b->n_threads);
    return BENCH_EXIT_OK;
}

/* One request at a time on each, reads and writes alike, for as long as the rounds take. */
static void plan_failover(struct bench *b)
{
    b->plan.in_flight = 1;
    b->plan.run_ns = LOAD_SECONDS_MAX * UINT64_C(1000) * 1000 * 1000;
    if (b->write_percent == UINT_MAX)
        b->plan.write_percent = 50;
    if (b->restart == NULL)
        b->n_rounds = 1;
}

static void make_plan(struct bench *b)
{
    struct prng prng;
    const double warm_s =
        b->warm_s >= 0 ? b->warm_s : fmin(b->seconds / BENCH_WARM_PART, BENCH_WARM_S_MAX);

    prng_init(&prng, seed_fresh());
    (void)snprintf(b->run, sizeof(b->run), "%08x-%04x", (unsigned)time(NULL),
                   (unsigned)(prng_next(&prng) & 0xffffu));
    (void)snprintf(b->prefix, sizeof(b->prefix), BENCH_PREFIX "%s/", b->run);
    load_ridd_set_max_stale(b->max_stale_ms);
    b->plan = (struct load_plan){
        .protocol = load_ridd(b->method->via),
        .addresses = (const char *const *)b->addresses,
        .n_addresses = b->n_addresses,
        .spread = b->spread,
        .prefix = b->prefix,
        .n_connections = b->n_connections,
        .in_flight = b->in_flight,
        .n_threads = b->n_threads,
        .rate = b->rate,
        .poisson = b->poisson,
        .warm_ns = (uint64_t)(warm_s * 1e9),
        .run_ns = (uint64_t)(b->seconds * 1e9),
        .timeout_ns = b->timeout_ms * UINT64_C(1000) * 1000,
        .kind = b->method->kind,
        .write_percent = b->write_percent != UINT_MAX ? b->write_percent : b->method->write_percent,
        .n_of = b->method->kind == LOAD_READ ? 0 : b->n_of,
        .n_keys = b->n_keys,
        .zipf = b->zipf,
        .value_bytes = b->value_bytes,
        .seed = b->seed,
        .linearizable = b->method->linearizable,
        .absent_is_right = !b->method->linearizable,
        .record = b->check,
        .progress = on_progress,
        .is_over = is_over,
        .arg = b,
        .handshakes = b->handshakes,
    };
    if (b->handshakes)
        b->plan.in_flight = 1;
    if (b->failover)
        plan_failover(b);
    b->write_percent = b->plan.write_percent;
    b->in_flight = b->plan.in_flight;
}

/* Nothing was answered: why not is all there is to say. */
static int exit_code_of(const struct bench *b)
{
    const struct load_figures *f = load_figures(b->load);

    if (f->n_wrong > 0 || b->verdict.result == CHECK_BAD)
        return BENCH_EXIT_WRONG;
    if (load_n_done(f) == f->n_unsent && f->n_errors > 0)
        return bench_report(b, BENCH_EXIT_AGAIN, "%s", f->first_error);
    return BENCH_EXIT_OK;
}

static int judge(struct bench *b)
{
    cleanup_file FILE *f = NULL;

    if (!b->check)
        return BENCH_EXIT_OK;
    history_check_zones(load_history(b->load), 1, &b->verdict);
    if (b->verdict.result != CHECK_BAD || b->save == NULL)
        return BENCH_EXIT_OK;
    f = fopen(b->save, "we");
    if (f == NULL)
        return bench_report(b, BENCH_EXIT_OUTPUT, "cannot open '%s': %s", b->save, strerror(errno));
    history_print_html(load_history(b->load), &b->verdict, b->prefix, NULL, f);
    return fflush(f) == 0 ? BENCH_EXIT_OK
                          : bench_report(b, BENCH_EXIT_OUTPUT, "cannot write '%s'", b->save);
}

static int measure(struct bench *b)
{
    const int rc = load_fill(b->load);

    if (rc == -ECANCELED)
        return bench_report(b, BENCH_EXIT_AGAIN, "ended before anything was measured");
    if (rc != 0)
        return bench_report(b, BENCH_EXIT_AGAIN, "its keys cannot be written: %s",
                            load_why(b->load));
    if (b->failover)
        return bench_failover(b);
    if (load_measure(b->load, before, after, b) != 0)
        return bench_report(b, BENCH_EXIT_SYSTEM, "%s", load_why(b->load));
    return BENCH_EXIT_OK;
}

static int run(struct bench *b)
{
    int exit_code = check_asked(b);

    if (exit_code == BENCH_EXIT_OK)
        exit_code = bench_find(b);
    if (exit_code == BENCH_EXIT_OK)
        exit_code = bench_find_leader(b);
    if (exit_code == BENCH_EXIT_OK)
        exit_code = bench_prepare(b);
    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    make_plan(b);
    exit_code = bench_secure(b);
    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    catch_signals();
    if (load_new(&b->plan, &b->load) != 0)
        return bench_report(b, BENCH_EXIT_SYSTEM, "%s",
                            b->load != NULL && load_why(b->load)[0] != '\0' ? load_why(b->load)
                                                                            : "no memory");
    exit_code = measure(b);
    b->interrupted = signalled != 0;
    if (!b->keep && load_clear(b->load, &b->n_left) != 0)
        (void)bench_report(b, BENCH_EXIT_SYSTEM, "%s", load_why(b->load));
    clear_line(b);
    if (exit_code == BENCH_EXIT_OK)
        exit_code = judge(b);
    if (exit_code == BENCH_EXIT_OK)
        exit_code = bench_print(b);
    return exit_code == BENCH_EXIT_OK ? exit_code_of(b) : exit_code;
}

int main(int argc, char **argv)
{
    static struct bench b = {.method = &methods[0],
                             .n_connections = BENCH_CLIENTS_DEFAULT,
                             .in_flight = BENCH_IN_FLIGHT_DEFAULT,
                             .n_threads = 1,
                             .seconds = BENCH_SECONDS_DEFAULT,
                             .warm_s = -1,
                             .n_keys = BENCH_KEYS_DEFAULT,
                             .value_bytes = BENCH_VALUE_BYTES_DEFAULT,
                             .write_percent = UINT_MAX,
                             .n_rounds = BENCH_ROUNDS_DEFAULT,
                             .n_of = 10,
                             .max_stale_ms = 1000,
                             .timeout_ms = TIMEOUT_MS_DEFAULT};
    bool done = false;
    int exit_code;

    fds_hold_standard();
    (void)signal(SIGPIPE, SIG_IGN); /* whoever reads the output is gone: its keys go all the same */
    b.seed = seed_fresh() >> 1;     /* it is told as a number of JSON */
    exit_code = parse(&b, argc, argv, &done);
    if (exit_code == BENCH_EXIT_OK && !done)
        exit_code = run(&b);
    load_free(b.load);
    bench_secure_done(&b);
    free(b.rounds);
    for (unsigned i = 0; i < b.n_addresses; i++)
        free(b.addresses[i]);
    if (fflush(stdout) != 0 && exit_code == BENCH_EXIT_OK)
        exit_code = bench_report(&b, BENCH_EXIT_OUTPUT, "cannot write the result");
    return exit_code;
}
