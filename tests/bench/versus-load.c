/* The loop of src/load with the protocols of other stores beside ridd's own: one measurement, and one
 * line of it. tools/versus calls it, and knows what is fair. --help says more. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "bench/etcd.h"
#include "bench/resp.h"
#include "load/engine.h"
#include "load/ridd_lines.h"

#define PIDS_MAX      32u
#define ADDRESSES_MAX 16u
#define IDLE_MAX      65000u

static const char help[] =
    "usage: versus-load --protocol P --address LIST [OPTION...]\n"
    "\n"
    "Loads a server for some seconds, looks at every answer, and prints one line of\n"
    "NAME=VALUE. P: read_index, lease, follower, log, local (ridd), redis, etcd.\n"
    "\n"
    "  --address LIST       HOST:PORT,... or unix:PATH; the first, unless it says that\n"
    "                       another one leads\n"
    "  --spread             connections stay where they are, in turns\n"
    "  --connections N      connections (1)\n"
    "  --in-flight K        requests under way on each (1)\n"
    "  --rate R             open loop: R requests a second are due (closed)\n"
    "  --threads N          loops (1)\n"
    "  --idle N             so many connections more, that ask nothing\n"
    "  --seconds S          how long (3), behind --warm S (0.5)\n"
    "  --op OP              read, batch, scan (read), --of N keys each (10)\n"
    "  --write-percent W    so many of a hundred are writes (0)\n"
    "  --keys N             how many keys (10000), --value-bytes B (64), below --prefix P\n"
    "  --fill               write each key before\n"
    "  --only-fill          and nothing else\n"
    "  --pids LIST          of the server: its processor time and memory is printed;\n"
    "                       the first also alone\n"
    "\n"
    "Times are in microseconds; cpu_us and first_cpu_us are for each operation.\n"
    "Exit status: 0 done; 1 failed, or an answer was wrong; 64 usage.\n";

struct versus {
    struct load_plan plan;
    const char *addresses[ADDRESSES_MAX];
    long pids[PIDS_MAX];
    unsigned n_pids;
    unsigned n_idle;
    bool fill;
    bool only_fill;
    double before_us[PIDS_MAX];
    double after_us[PIDS_MAX];
};

static int misuse(const char *what)
{
    (void)fprintf(stderr, "versus-load: %s; see versus-load --help\n", what);
    return 64;
}

static int failed(const char *what, const char *why)
{
    (void)fprintf(stderr, "versus-load: %s: %s\n", what, why);
    return 1;
}

/* ---- the server's processes ---- */

/* User and system time so far; 0: there is no such process. */
static double cpu_us(long pid)
{
    char path[64];
    char line[1024] = "";
    unsigned long user = 0;
    unsigned long kernel = 0;
    const char *rest;
    cleanup_file FILE *f = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    f = fopen(path, "re");
    rest = f != NULL && fgets(line, sizeof(line), f) != NULL ? strrchr(line, ')') : NULL;
    if (rest == NULL || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                               &user, &kernel) != 2)
        return 0;
    return (double)(user + kernel) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

struct memory {
    double rss_mib;
    double own_mib; /* of it: no file is behind it, as one is behind the pages of a state */
};

static struct memory memory_of(long pid)
{
    struct memory m = {0, 0};
    char path[64];
    char line[256];
    unsigned long kib;
    cleanup_file FILE *f = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmRSS: %lu", &kib) == 1)
            m.rss_mib = (double)kib / 1024;
        else if (sscanf(line, "RssAnon: %lu", &kib) == 1)
            m.own_mib = (double)kib / 1024;
    return m;
}

static void before(void *arg)
{
    struct versus *v = arg;

    for (unsigned i = 0; i < v->n_pids; i++)
        v->before_us[i] = cpu_us(v->pids[i]);
}

static void after(void *arg)
{
    struct versus *v = arg;

    for (unsigned i = 0; i < v->n_pids; i++)
        v->after_us[i] = cpu_us(v->pids[i]);
}

/* ---- connections that ask nothing ---- */

static int dial(const struct addrinfo *to)
{
    const int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) != 0)
        return -errno;
    return 0;
}

/* They end with the process. */
static int dial_idle(const struct versus *v)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char host[256];
    char port[8];
    int rc = 0;

    if (v->n_idle == 0)
        return 0;
    if (!address_split(v->addresses[0], host, sizeof(host), port, sizeof(port)) ||
        getaddrinfo(host, port, &hints, &list) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < v->n_idle && rc == 0; i++)
        rc = dial(list);
    freeaddrinfo(list);
    return rc;
}

/* ---- telling ---- */

static double us_at(const struct load_side *s, unsigned permille)
{
    return (double)histogram_fine_at(&s->ns, permille) / 1e3;
}

static void print_side(const char *name, const struct load_side *s, double seconds)
{
    if (s->ns.n == 0)
        return;
    (void)printf(" %s_per_s=%.0f %s_mean_us=%.2f %s_p50_us=%.2f %s_p90_us=%.2f %s_p99_us=%.2f"
                 " %s_p999_us=%.2f %s_max_us=%.2f",
                 name, (double)s->ns.n / seconds, name, (double)s->ns.sum / (double)s->ns.n / 1e3,
                 name, us_at(s, 500), name, us_at(s, 900), name, us_at(s, 990), name, us_at(s, 999),
                 name, (double)s->ns.max / 1e3);
}

static void print_processes(const struct versus *v, uint64_t n)
{
    double cpu = 0;
    double rss = 0;
    struct memory most = {0, 0};

    for (unsigned i = 0; i < v->n_pids; i++) {
        const struct memory m = memory_of(v->pids[i]);

        cpu += v->after_us[i] - v->before_us[i];
        rss += m.rss_mib;
        if (m.rss_mib > most.rss_mib)
            most.rss_mib = m.rss_mib;
        if (m.own_mib > most.own_mib)
            most.own_mib = m.own_mib;
    }
    if (v->n_pids > 0 && n > 0)
        (void)printf(" cpu_us=%.4f first_cpu_us=%.4f rss_mib=%.1f rss_max_mib=%.1f"
                     " own_max_mib=%.1f",
                     cpu / (double)n, (v->after_us[0] - v->before_us[0]) / (double)n, rss,
                     most.rss_mib, most.own_mib);
}

static int print(const struct versus *v, const struct load *load)
{
    static const char *const names[LOAD_N_KINDS] = {"read", "write", "batch", "scan", "remove"};
    const struct load_figures *f = load_figures(load);
    const double seconds = (double)(f->end_ns - f->begin_ns) / 1e9;
    const uint64_t n = load_n_done(f);

    (void)printf("per_s=%.0f", (double)n / seconds);
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        print_side(names[i], &f->sides[i], seconds);
    print_processes(v, n);
    (void)printf(" load_cpu_us=%.4f errors=%llu wrong=%llu absent=%llu lost=%llu unsent=%llu\n",
                 n > 0 ? (double)f->cpu_ns / 1e3 / (double)n : 0, (unsigned long long)f->n_errors,
                 (unsigned long long)f->n_wrong, (unsigned long long)f->n_absent,
                 (unsigned long long)f->n_lost, (unsigned long long)f->n_unsent);
    if (fflush(stdout) != 0)
        return failed("standard output", strerror(errno));
    if (f->n_errors > 0)
        (void)failed("an error", f->first_error);
    if (f->n_wrong > 0)
        return failed("a wrong answer", f->first_wrong);
    return n > 0 ? 0 : failed("nothing was answered", "0 operations");
}

/* ---- the command line ---- */

static const struct load_protocol *protocol_of(const char *name)
{
    if (strcmp(name, "redis") == 0)
        return &resp_protocol;
    if (strcmp(name, "etcd") == 0)
        return &etcd_protocol;
    for (unsigned i = 0; i < LOAD_RIDD_N_VIAS; i++)
        if (strcmp(load_ridd((enum load_ridd_via)i)->name, name) == 0)
            return load_ridd((enum load_ridd_via)i);
    return NULL;
}

static bool take_number(const char *text, double min, double max, double *ret)
{
    char *end = NULL;

    errno = 0;
    *ret = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *ret >= min && *ret <= max;
}

static bool take_kind(struct load_plan *p, const char *text)
{
    static const char *const names[] = {"read", "", "batch", "scan"};

    for (unsigned i = 0; i < 4; i++)
        if (i != LOAD_WRITE && strcmp(names[i], text) == 0) {
            p->kind = (enum load_kind)i;
            return true;
        }
    return false;
}

/* Commas become ends. */
static bool take_addresses(struct versus *v, char *text)
{
    for (char *at = strtok_r(text, ",", &text); at != NULL; at = strtok_r(NULL, ",", &text)) {
        if (v->plan.n_addresses == ADDRESSES_MAX)
            return false;
        v->addresses[v->plan.n_addresses++] = at;
    }
    return v->plan.n_addresses > 0;
}

static bool take_pids(struct versus *v, char *text)
{
    double pid;

    for (char *at = strtok_r(text, ",", &text); at != NULL; at = strtok_r(NULL, ",", &text)) {
        if (v->n_pids == PIDS_MAX || !take_number(at, 1, 1e9, &pid))
            return false;
        v->pids[v->n_pids++] = (long)pid;
    }
    return v->n_pids > 0;
}

enum option_word {
    OPT_PROTOCOL = 1,
    OPT_ADDRESS,
    OPT_SPREAD,
    OPT_OP,
    OPT_PREFIX,
    OPT_FILL,
    OPT_ONLY_FILL,
    OPT_PIDS,
    OPT_HELP,
    OPT_NUMBERS /* from here on they are numbers, in the order of the table of them */
};

static const struct {
    const char *name;
    double min;
    double max;
} numbers[] = {
    {"connections", 1, LOAD_CONNECTIONS_MAX},
    {"in-flight", 1, 4096},
    {"rate", 0, 1e9},
    {"threads", 1, LOAD_THREADS_MAX},
    {"idle", 0, IDLE_MAX},
    {"seconds", 0.01, 86400},
    {"warm", 0, 3600},
    {"of", 1, LOAD_OF_MAX},
    {"write-percent", 0, 100},
    {"keys", 1, LOAD_KEYS_MAX},
    {"value-bytes", 1, 4 << 20},
};

static void take_option_number(struct versus *v, unsigned i, double x)
{
    struct load_plan *p = &v->plan;

    switch (i) {
    case 0:
        p->n_connections = (unsigned)x;
        break;
    case 1:
        p->in_flight = (unsigned)x;
        break;
    case 2:
        p->rate = x;
        break;
    case 3:
        p->n_threads = (unsigned)x;
        break;
    case 4:
        v->n_idle = (unsigned)x;
        break;
    case 5:
        p->run_ns = (uint64_t)(x * 1e9);
        break;
    case 6:
        p->warm_ns = (uint64_t)(x * 1e9);
        break;
    case 7:
        p->n_of = (unsigned)x;
        break;
    case 8:
        p->write_percent = (unsigned)x;
        break;
    case 9:
        p->n_keys = (uint64_t)x;
        break;
    case 10:
        p->value_bytes = (unsigned)x;
        break;
    default:
        break;
    }
}

static const struct option words[] = {{"protocol", 1, NULL, OPT_PROTOCOL},
                                      {"address", 1, NULL, OPT_ADDRESS},
                                      {"spread", 0, NULL, OPT_SPREAD},
                                      {"op", 1, NULL, OPT_OP},
                                      {"prefix", 1, NULL, OPT_PREFIX},
                                      {"fill", 0, NULL, OPT_FILL},
                                      {"only-fill", 0, NULL, OPT_ONLY_FILL},
                                      {"pids", 1, NULL, OPT_PIDS},
                                      {"help", 0, NULL, OPT_HELP}};
#define N_WORDS   (sizeof(words) / sizeof(words[0]))
#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static bool take_option(struct versus *v, int option, char *text)
{
    double x;

    switch (option) {
    case OPT_PROTOCOL:
        v->plan.protocol = protocol_of(text);
        return v->plan.protocol != NULL;
    case OPT_ADDRESS:
        return take_addresses(v, text);
    case OPT_SPREAD:
        v->plan.spread = true;
        return true;
    case OPT_OP:
        return take_kind(&v->plan, text);
    case OPT_PREFIX:
        v->plan.prefix = text;
        return strlen(text) <= 32;
    case OPT_ONLY_FILL:
        v->only_fill = true;
        v->fill = true;
        return true;
    case OPT_FILL:
        v->fill = true;
        return true;
    case OPT_PIDS:
        return take_pids(v, text);
    default:
        if (option < OPT_NUMBERS || !take_number(text, numbers[option - OPT_NUMBERS].min,
                                                 numbers[option - OPT_NUMBERS].max, &x))
            return false;
        take_option_number(v, (unsigned)(option - OPT_NUMBERS), x);
        return true;
    }
}

/* 0: go on; otherwise the exit status, and -1: it was help. */
static int take_options(struct versus *v, int argc, char **argv)
{
    struct option options[N_WORDS + N_NUMBERS + 1] = {0};
    int option;

    memcpy(options, words, sizeof(words));
    for (unsigned i = 0; i < N_NUMBERS; i++)
        options[N_WORDS + i] = (struct option){numbers[i].name, 1, NULL, (int)(OPT_NUMBERS + i)};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            (void)fputs(help, stdout);
            return -1;
        }
        if (!take_option(v, option, optarg))
            return misuse("an option is unknown or its value is none of those it takes");
    }
    if (optind < argc)
        return misuse("there are words behind the options");
    if (v->plan.protocol == NULL || v->plan.n_addresses == 0)
        return misuse("--protocol and --address must be given");
    if (v->plan.kind != LOAD_READ && v->plan.n_of == 0)
        v->plan.n_of = 10;
    return v->plan.n_of > v->plan.n_keys ? misuse("--of is more than --keys") : 0;
}

/* ---- running ---- */

static void more_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static const char *why(const struct load *load, int rc)
{
    return load != NULL && load_why(load)[0] != '\0' ? load_why(load) : strerror(-rc);
}

static int run(struct versus *v, struct load *load)
{
    int rc;

    if (v->fill) {
        rc = load_fill(load);
        if (rc != 0)
            return failed("its keys cannot be written", why(load, rc));
    }
    if (v->only_fill)
        return 0;
    rc = dial_idle(v);
    if (rc != 0)
        return failed("an idle connection", strerror(-rc));
    rc = load_measure(load, before, after, v);
    return rc != 0 ? failed("the load", why(load, rc)) : print(v, load);
}

int main(int argc, char **argv)
{
    struct versus v = {.plan = {.prefix = "versus-",
                                .n_connections = 1,
                                .in_flight = 1,
                                .n_threads = 1,
                                .warm_ns = 500000000,
                                .run_ns = 3000000000,
                                .timeout_ns = 10000000000,
                                .kind = LOAD_READ,
                                .n_keys = 10000,
                                .value_bytes = 64,
                                .seed = 1}};
    struct load *load = NULL;
    int rc = take_options(&v, argc, argv);

    if (rc != 0)
        return rc > 0 ? rc : 0;
    v.plan.addresses = v.addresses;
    v.plan.linearizable = v.plan.protocol != load_ridd(LOAD_RIDD_LOCAL) &&
                          v.plan.protocol != load_ridd(LOAD_RIDD_BOUNDED);
    more_files();
    rc = load_new(&v.plan, &load);
    rc = rc != 0 ? failed("the load", why(load, rc)) : run(&v, load);
    load_free(load);
    return rc;
}
