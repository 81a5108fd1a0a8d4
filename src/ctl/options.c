/* The options of ridctl: what each sets, and which of them a verb takes. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command_line_int.h"

#include "base/banned.h"

/* Options with no letter of their own. */
enum {
    OPT_JSON = 256,
    OPT_RAW,
    OPT_VIA,
    OPT_CREATE,
    OPT_INT_KEY,
    OPT_JSON_VALUE,
    OPT_CONCURRENCY,
    OPT_METHODS,
    OPT_READERS,
    OPT_MAX_STALE,
    OPT_CSV,
    OPT_ALL,
    OPT_SAVE,
    OPT_VERSION,
    OPT_LEARNER,
    OPT_DRY_RUN,
    OPT_FORCE,
    OPT_LIMIT,
    OPT_AFTER,
    OPT_FROM,
    OPT_TO,
    OPT_MIN_INDEX,
    OPT_ONE_INDEX,
    OPT_DATA_DIR,
    OPT_LOG,
    OPT_METHOD,
    OPT_CLIENTS,
    OPT_IN_FLIGHT,
    OPT_SECONDS,
    OPT_KEYS,
    OPT_VALUE_BYTES,
};

static const char letters[] = ":e:c:t:n:vh";

static const struct option long_options[] = {
    {"endpoints", required_argument, NULL, 'e'},
    {"config", required_argument, NULL, 'c'},
    {"timeout", required_argument, NULL, 't'},
    {"num-reads", required_argument, NULL, 'n'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, OPT_JSON},
    {"raw", no_argument, NULL, OPT_RAW},
    {"via", required_argument, NULL, OPT_VIA},
    {"create", no_argument, NULL, OPT_CREATE},
    {"int-key", no_argument, NULL, OPT_INT_KEY},
    {"json-value", no_argument, NULL, OPT_JSON_VALUE},
    {"concurrency", required_argument, NULL, OPT_CONCURRENCY},
    {"methods", required_argument, NULL, OPT_METHODS},
    {"readers", required_argument, NULL, OPT_READERS},
    {"max-stale", required_argument, NULL, OPT_MAX_STALE},
    {"csv", no_argument, NULL, OPT_CSV},
    {"all", no_argument, NULL, OPT_ALL},
    {"save", required_argument, NULL, OPT_SAVE},
    {"version", no_argument, NULL, OPT_VERSION},
    {"learner", no_argument, NULL, OPT_LEARNER},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"force-unsafe", no_argument, NULL, OPT_FORCE},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"after", required_argument, NULL, OPT_AFTER},
    {"from", required_argument, NULL, OPT_FROM},
    {"to", required_argument, NULL, OPT_TO},
    {"min-index", required_argument, NULL, OPT_MIN_INDEX},
    {"one-index", no_argument, NULL, OPT_ONE_INDEX},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"log", required_argument, NULL, OPT_LOG},
    {"method", required_argument, NULL, OPT_METHOD},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"in-flight", required_argument, NULL, OPT_IN_FLIGHT},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"value-bytes", required_argument, NULL, OPT_VALUE_BYTES},
    {NULL, 0, NULL, 0},
};

const struct option_text ctl_option_texts[] = {
    {CTL_OPT_VIA, "--via METHOD", "read_index, log, lease, follower, local"},
    {CTL_OPT_MIN_INDEX, "--min-index N", "no older than [CLUSTER:]N, an index that was seen"},
    {CTL_OPT_LIMIT, "--limit N", "no more than N keys"},
    {CTL_OPT_AFTER, "--after KEY", "go on behind KEY, which need not exist"},
    {CTL_OPT_FROM, "--from KEY", "from KEY on, which is one of them"},
    {CTL_OPT_TO, "--to KEY", "before KEY, which is none of them"},
    {CTL_OPT_ONE_INDEX, "--one-index", "of one index, or not at all"},
    {CTL_OPT_NUM_READS, "-n, --num-reads N", "reads of each method (100), at most 100000"},
    {CTL_OPT_READERS, "--readers LIST", "reads at a time (1), at most 128; a run for each"},
    {CTL_OPT_CONCURRENCY, "--concurrency N", "as --readers, of one run"},
    {CTL_OPT_METHODS, "--methods LIST", "also: lease, follower, bounded, local"},
    {CTL_OPT_MAX_STALE, "--max-stale MS", "no older than that, proved by the node asked"},
    {CTL_OPT_CSV, "--csv", "comma-separated values on standard output"},
    {CTL_OPT_ALL, "--all", "every node; compare: every method, at two nodes"},
    {CTL_OPT_SAVE, "--save FILE", "into FILE, where that is whole or not there"},
    {CTL_OPT_CREATE, "--create", "cas: an absent key becomes TO; import: only absent keys"},
    {CTL_OPT_RAW, "--raw", "print a string without quotes"},
    {CTL_OPT_INT_KEY, "--int-key", "KEY is an integer: 3 is not \"3\""},
    {CTL_OPT_JSON_VALUE, "--json-value", "values are JSON, not strings"},
    {CTL_OPT_LEARNER, "--learner", "the new member stays one that does not vote"},
    {CTL_OPT_DRY_RUN, "--dry-run", "change nothing: member: print the quorums; import: check"},
    {CTL_OPT_FORCE, "--force-unsafe", "also when the voters left that answer are no quorum"},
    {CTL_OPT_DATA_DIR, "--data-dir DIR", "the data directory to look at, whatever a file says"},
    {CTL_OPT_LOG, "--log FILE", "also the end of this log; may be given again"},
    {CTL_OPT_METHOD, "--method NAME", "what is asked for (read_index), see above"},
    {CTL_OPT_CLIENTS, "--clients N", "connections (4), at most 256"},
    {CTL_OPT_IN_FLIGHT, "--in-flight K", "requests under way on each (16), at most 128"},
    {CTL_OPT_SECONDS, "--seconds S", "how long (5), at most 3600"},
    {CTL_OPT_KEYS, "--keys N", "how many keys (1000), at most 100000"},
    {CTL_OPT_VALUE_BYTES, "--value-bytes B", "size of each value (64), at most 65536"},
    {CTL_OPT_VERBOSE, "-v, --verbose", "say more: how it came about; status: storage"},
    {CTL_OPT_JSON, "--json", "one JSON document on standard output"},
};
const size_t ctl_n_option_texts = sizeof(ctl_option_texts) / sizeof(ctl_option_texts[0]);

static bool parse_number(const char *s, unsigned max, unsigned *ret)
{
    unsigned long v;
    char *end;

    if (s[0] < '0' || s[0] > '9')
        return false;
    errno = 0;
    v = strtoul(s, &end, 10);
    if (errno != 0 || *end != '\0' || v == 0 || v > max)
        return false;
    *ret = (unsigned)v;
    return true;
}

static int take_number(const struct ctl *ctl, const char *name, const char *arg, unsigned max,
                       unsigned *ret)
{
    if (parse_number(arg, max, ret))
        return CTL_EXIT_OK;
    return report(ctl, CTL_EXIT_USAGE, "%s takes a number from 1 to %u, not '%.40s'", name, max,
                  arg);
}

/* "1,16" */
static int take_readers(struct ctl *ctl, const char *arg)
{
    char number[8];

    ctl->n_readers = 0;
    for (const char *s = arg; *s != '\0'; s += strspn(s, ",")) {
        const size_t len = strcspn(s, ",");

        if (ctl->n_readers == CTL_READERS_MAX)
            return report(ctl, CTL_EXIT_USAGE, "--readers takes at most %u numbers",
                          CTL_READERS_MAX);
        (void)snprintf(number, sizeof(number), "%.*s", (int)len, s);
        if (len >= sizeof(number) ||
            !parse_number(number, COMPARE_CONCURRENCY_MAX, &ctl->readers[ctl->n_readers++]))
            return report(ctl, CTL_EXIT_USAGE, "--readers takes numbers from 1 to %u, not '%.40s'",
                          COMPARE_CONCURRENCY_MAX, arg);
        s += len;
    }
    if (ctl->n_readers == 0)
        return report(ctl, CTL_EXIT_USAGE, "--readers takes numbers from 1 to %u, not '%.40s'",
                      COMPARE_CONCURRENCY_MAX, arg);
    return CTL_EXIT_OK;
}

static int take_via(struct ctl *ctl, const char *arg)
{
    static const struct {
        const char *name;
        enum ridd_via via;
    } names[] = {
        {"read_index", RIDD_VIA_READ_INDEX}, {"log", RIDD_VIA_LOG},
        {"lease", RIDD_VIA_LEASE},           {"follower", RIDD_VIA_FOLLOWER},
        {"local", RIDD_VIA_LOCAL},           {"read_via_log", RIDD_VIA_LOG},
        {"lease_read", RIDD_VIA_LEASE},      {"follower_read", RIDD_VIA_FOLLOWER},
        {"local_read", RIDD_VIA_LOCAL},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (ctl_same_name(arg, names[i].name)) {
            ctl->via = names[i].via;
            return CTL_EXIT_OK;
        }
    return report(ctl, CTL_EXIT_USAGE,
                  "no such method '%.60s'; --via takes read_index, log, lease, follower, local",
                  arg);
}

/* "INDEX", or "CLUSTER:INDEX" with the hash that status shows. */
static int take_min_index(struct ctl *ctl, const char *arg)
{
    const char *colon = strchr(arg, ':');
    const size_t len = colon != NULL ? (size_t)(colon - arg) : 0;
    const char *number = colon != NULL ? colon + 1 : arg;
    struct ridd_token *seen = &ctl->seen;
    unsigned long long v;
    char *end;

    errno = 0;
    v = strtoull(number, &end, 10);
    if ((colon != NULL && (len != RIDD_CLUSTER_SIZE - 1 ||
                           strspn(arg, "0123456789abcdef") != RIDD_CLUSTER_SIZE - 1)) ||
        number[0] < '0' || number[0] > '9' || errno != 0 || *end != '\0' || v == 0 || v > INT64_MAX)
        return report(ctl, CTL_EXIT_USAGE,
                      "--min-index takes INDEX or CLUSTER:INDEX, with the 16 digits that 'ridctl "
                      "status --json' calls cluster_hash, not '%.60s'",
                      arg);
    (void)snprintf(seen->cluster, sizeof(seen->cluster), "%.*s", (int)len, arg);
    seen->index = v;
    return CTL_EXIT_OK;
}

/* An option without a value: what it sets, and the bit that a verb must list. */
static const struct {
    int option;
    uint64_t bit;
    size_t offset; /* of the bool in struct ctl */
} flags[] = {
    {'v', CTL_OPT_VERBOSE, offsetof(struct ctl, verbose)},
    {OPT_JSON, CTL_OPT_JSON, offsetof(struct ctl, json)},
    {OPT_RAW, CTL_OPT_RAW, offsetof(struct ctl, raw)},
    {OPT_CREATE, CTL_OPT_CREATE, offsetof(struct ctl, create)},
    {OPT_INT_KEY, CTL_OPT_INT_KEY, offsetof(struct ctl, int_key)},
    {OPT_JSON_VALUE, CTL_OPT_JSON_VALUE, offsetof(struct ctl, json_value)},
    {OPT_ALL, CTL_OPT_ALL, offsetof(struct ctl, all)},
    {OPT_CSV, CTL_OPT_CSV, offsetof(struct ctl, csv)},
    {OPT_LEARNER, CTL_OPT_LEARNER, offsetof(struct ctl, learner)},
    {OPT_DRY_RUN, CTL_OPT_DRY_RUN, offsetof(struct ctl, dry_run)},
    {OPT_FORCE, CTL_OPT_FORCE, offsetof(struct ctl, force)},
    {OPT_ONE_INDEX, CTL_OPT_ONE_INDEX, offsetof(struct ctl, one_index)},
};

static bool take_flag(struct ctl *ctl, struct asked *asked, int option)
{
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].option != option)
            continue;
        asked->options |= flags[i].bit;
        *(bool *)((char *)ctl + flags[i].offset) = true;
        return true;
    }
    return false;
}

/* An option with a value that is taken as it stands. */
static const struct {
    int option;
    uint64_t bit;
    size_t offset; /* of the const char * in struct ctl */
} texts[] = {
    {OPT_METHODS, CTL_OPT_METHODS, offsetof(struct ctl, methods)},
    {OPT_SAVE, CTL_OPT_SAVE, offsetof(struct ctl, save)},
    {OPT_AFTER, CTL_OPT_AFTER, offsetof(struct ctl, after)},
    {OPT_FROM, CTL_OPT_FROM, offsetof(struct ctl, from)},
    {OPT_TO, CTL_OPT_TO, offsetof(struct ctl, to)},
    {OPT_DATA_DIR, CTL_OPT_DATA_DIR, offsetof(struct ctl, data_dir)},
    {OPT_METHOD, CTL_OPT_METHOD, offsetof(struct ctl, method)},
};

static bool take_text(struct ctl *ctl, struct asked *asked, int option)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].option != option)
            continue;
        asked->options |= texts[i].bit;
        *(const char **)((char *)ctl + texts[i].offset) = optarg;
        return true;
    }
    return false;
}

/* An option with a number. */
static const struct {
    int option;
    const char *name;
    uint64_t bit;
    unsigned max;
    size_t offset; /* of the unsigned in struct ctl */
} numbers[] = {
    {OPT_CLIENTS, "--clients", CTL_OPT_CLIENTS, BENCH_CLIENTS_MAX, offsetof(struct ctl, clients)},
    {OPT_IN_FLIGHT, "--in-flight", CTL_OPT_IN_FLIGHT, BENCH_IN_FLIGHT_MAX,
     offsetof(struct ctl, in_flight)},
    {OPT_SECONDS, "--seconds", CTL_OPT_SECONDS, BENCH_SECONDS_MAX, offsetof(struct ctl, seconds)},
    {OPT_KEYS, "--keys", CTL_OPT_KEYS, BENCH_KEYS_MAX, offsetof(struct ctl, keys)},
    {OPT_VALUE_BYTES, "--value-bytes", CTL_OPT_VALUE_BYTES, BENCH_VALUE_BYTES_MAX,
     offsetof(struct ctl, value_bytes)},
};

/* False: it is none of them. */
static bool take_count(struct ctl *ctl, struct asked *asked, int option, int *ret_exit_code)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].option != option)
            continue;
        asked->options |= numbers[i].bit;
        *ret_exit_code = take_number(ctl, numbers[i].name, optarg, numbers[i].max,
                                     (unsigned *)(void *)((char *)ctl + numbers[i].offset));
        return true;
    }
    return false;
}

static int take_log(struct ctl *ctl, const char *arg)
{
    if (ctl->n_logs == CTL_LOGS_MAX)
        return report(ctl, CTL_EXIT_USAGE, "--log may be given %u times", CTL_LOGS_MAX);
    ctl->logs[ctl->n_logs++] = arg;
    return CTL_EXIT_OK;
}

static int report_unknown_option(const struct ctl *ctl)
{
    char letter[] = "-?";
    const char *given = ctl->args[optind - 1];

    /* A letter may stand in a word with others, which getopt is not done with. */
    letter[1] = (char)optopt;
    if (optopt > 0 && optopt < OPT_JSON && strchr(&letters[1], optopt) == NULL)
        given = letter;
    return report(ctl, CTL_EXIT_USAGE,
                  "unknown option '%.60s'; see 'ridctl --help' (a value that begins with '-' "
                  "goes behind '--')",
                  given);
}

static int take_option(struct ctl *ctl, struct asked *asked, int option)
{
    int exit_code = CTL_EXIT_OK;

    if (take_flag(ctl, asked, option) || take_text(ctl, asked, option) ||
        take_count(ctl, asked, option, &exit_code))
        return exit_code;
    switch (option) {
    case 'e':
        ctl->endpoints_option = optarg;
        return CTL_EXIT_OK;
    case 'c':
        ctl->config_option = optarg;
        return CTL_EXIT_OK;
    case 't':
        return take_number(ctl, "--timeout", optarg, TIMEOUT_MS_MAX, &ctl->timeout_ms);
    case 'n':
        asked->options |= CTL_OPT_NUM_READS;
        return take_number(ctl, "--num-reads", optarg, COMPARE_READS_MAX, &ctl->num_reads);
    case 'h':
        asked->help = true;
        return CTL_EXIT_OK;
    case OPT_VIA:
        asked->options |= CTL_OPT_VIA;
        return take_via(ctl, optarg);
    case OPT_CONCURRENCY:
        asked->options |= CTL_OPT_CONCURRENCY;
        ctl->n_readers = 1;
        return take_number(ctl, "--concurrency", optarg, COMPARE_CONCURRENCY_MAX, &ctl->readers[0]);
    case OPT_READERS:
        asked->options |= CTL_OPT_READERS;
        return take_readers(ctl, optarg);
    case OPT_MAX_STALE:
        asked->options |= CTL_OPT_MAX_STALE;
        return take_number(ctl, "--max-stale", optarg, MAX_STALE_MS_MAX, &ctl->max_stale_ms);
    case OPT_LIMIT:
        asked->options |= CTL_OPT_LIMIT;
        return take_number(ctl, "--limit", optarg, UINT_MAX, &ctl->limit);
    case OPT_MIN_INDEX:
        asked->options |= CTL_OPT_MIN_INDEX;
        return take_min_index(ctl, optarg);
    case OPT_LOG:
        asked->options |= CTL_OPT_LOG;
        return take_log(ctl, optarg);
    case OPT_VERSION:
        asked->version = true;
        return CTL_EXIT_OK;
    case ':':
        return report(ctl, CTL_EXIT_USAGE, "'%.60s' wants a value; see 'ridctl --help'",
                      ctl->args[optind - 1]);
    default:
        return report_unknown_option(ctl);
    }
}

int ctl_parse_options(struct ctl *ctl, int argc, char **argv, struct asked *ret_asked)
{
    int exit_code = CTL_EXIT_OK;
    int option;

    opterr = 0;
    ctl->args = argv;
    /* Before anything can be wrong: it says how that is told. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        ctl->json |= strcmp(argv[i], "--json") == 0;
    while (exit_code == CTL_EXIT_OK &&
           (option = getopt_long(argc, argv, letters, long_options, NULL)) != -1)
        exit_code = take_option(ctl, ret_asked, option);
    ctl->args = argv + optind;
    ctl->n_args = argc - optind;
    return exit_code;
}

int ctl_check_options(const struct ctl *ctl, const struct asked *asked)
{
    uint64_t extra = asked->options & ~ctl->verb->options;
    const char *space = ctl->verb->usage[0] != '\0' ? " " : "";

    for (size_t i = 0; i < ctl_n_option_texts; i++)
        if (extra & ctl_option_texts[i].option)
            return report(ctl, CTL_EXIT_USAGE, "does not take '%s'; see 'ridctl %s --help'",
                          ctl_option_texts[i].name, ctl->verb->name);
    if (ctl->n_args < ctl->verb->args_min)
        return report(ctl, CTL_EXIT_USAGE, "something is missing; usage: ridctl %s%s%s",
                      ctl->verb->name, space, ctl->verb->usage);
    if (ctl->n_args > ctl->verb->args_max)
        return report(ctl, CTL_EXIT_USAGE,
                      "too many arguments, beginning with '%.60s'; usage: ridctl %s%s%s",
                      ctl->args[ctl->verb->args_max], ctl->verb->name, space, ctl->verb->usage);
    return CTL_EXIT_OK;
}
