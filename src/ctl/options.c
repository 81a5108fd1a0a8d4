/* The options of ridctl: what each sets, and which of them a verb takes. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command_line_int.h"
#include "ctl/text_int.h"

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
    OPT_COUNT,
    OPT_WATCH,
    OPT_INTERVAL,
    OPT_WIDE,
    OPT_LEVEL,
    OPT_FORMAT,
    OPT_WARNING,
    OPT_CRITICAL,
    OPT_DATA_DIR,
    OPT_LOG,
    OPT_METHOD,
    OPT_CLIENTS,
    OPT_IN_FLIGHT,
    OPT_SECONDS,
    OPT_KEYS,
    OPT_VALUE_BYTES,
    OPT_ID,
    OPT_OUT,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_SECRET,
    OPT_CLUSTER,
    OPT_SERVER_NAME,
    OPT_TOKEN_FILE,
    OPT_TOKEN,
};

static const char letters[] = ":e:c:t:n:fvh";

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
    {"count", required_argument, NULL, OPT_COUNT},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"interval", required_argument, NULL, OPT_INTERVAL},
    {"wide", no_argument, NULL, OPT_WIDE},
    {"follow", no_argument, NULL, 'f'},
    {"level", required_argument, NULL, OPT_LEVEL},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"warning", required_argument, NULL, OPT_WARNING},
    {"critical", required_argument, NULL, OPT_CRITICAL},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"log", required_argument, NULL, OPT_LOG},
    {"method", required_argument, NULL, OPT_METHOD},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"in-flight", required_argument, NULL, OPT_IN_FLIGHT},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"value-bytes", required_argument, NULL, OPT_VALUE_BYTES},
    {"id", required_argument, NULL, OPT_ID},
    {"out", required_argument, NULL, OPT_OUT},
    {"ca", required_argument, NULL, OPT_CA},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"secret", required_argument, NULL, OPT_SECRET},
    {"cluster", required_argument, NULL, OPT_CLUSTER},
    {"server-name", required_argument, NULL, OPT_SERVER_NAME},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"token", required_argument, NULL, OPT_TOKEN},
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
    {CTL_OPT_METHODS, "--methods METHODS", "also: lease, follower, bounded, local"},
    {CTL_OPT_MAX_STALE, "--max-stale MS", "no older than that, proved by the node asked"},
    {CTL_OPT_CSV, "--csv", "comma-separated values on standard output"},
    {CTL_OPT_ALL, "--all",
     "every node; compare: every method, at two nodes;\n"
     "events: all kept"},
    {CTL_OPT_WATCH, "--watch", "again and again, until ^C"},
    {CTL_OPT_FOLLOW, "-f, --follow", "go on with what comes, until ^C"},
    {CTL_OPT_COUNT, "-n, --count N", "so many: tables of top; of events and slow the last"},
    {CTL_OPT_INTERVAL, "--interval SECONDS", "between two looks (1; 0.1 to 3600)"},
    {CTL_OPT_LEVEL, "--level LEVEL", "this level and worse: error, warning, info (info)"},
    {CTL_OPT_FORMAT, "--format FORMAT", "text, json, nagios (text)"},
    {CTL_OPT_WARNING, "--warning LIMITS", "from where on it is a WARNING, 'lag=1000,quota=80'"},
    {CTL_OPT_CRITICAL, "--critical LIMITS", "from where on it is CRITICAL, the same way"},
    {CTL_OPT_WIDE, "--wide", "all columns, however wide"},
    {CTL_OPT_SAVE, "--save FILE", "into FILE, where that is whole or not there"},
    {CTL_OPT_ID, "--id NAME", "restore: which node of the configuration this is to be"},
    {CTL_OPT_OUT, "--out FILE", "into this new file (NAME.secret); '-': standard output"},
    {CTL_OPT_CREATE, "--create", "cas: an absent key becomes TO; import: only absent keys"},
    {CTL_OPT_RAW, "--raw", "print a string without quotes"},
    {CTL_OPT_INT_KEY, "--int-key", "KEY is an integer: 3 is not \"3\""},
    {CTL_OPT_JSON_VALUE, "--json-value", "values are JSON, not strings"},
    {CTL_OPT_LEARNER, "--learner", "the new member stays one that does not vote"},
    {CTL_OPT_DRY_RUN, "--dry-run", "change nothing: member: print the quorums; import: check"},
    {CTL_OPT_FORCE, "--force-unsafe", "also when the voters left that answer are no quorum"},
    {CTL_OPT_DATA_DIR, "--data-dir DIR", "the data directory to look at, whatever a file says"},
    {CTL_OPT_LOG, "--log FILE", "also the end of this log; may be given again"},
    {CTL_OPT_METHOD, "--method LOAD", "what is asked for (read_index), see above"},
    {CTL_OPT_CLIENTS, "--clients N", "connections (4), at most 256"},
    {CTL_OPT_IN_FLIGHT, "--in-flight K", "requests under way on each (16), at most 128"},
    {CTL_OPT_SECONDS, "--seconds S", "how long (5), at most 3600"},
    {CTL_OPT_KEYS, "--keys N", "how many keys (1000), at most 100000"},
    {CTL_OPT_VALUE_BYTES, "--value-bytes B", "size of each value (64), at most 524286"},
    {CTL_OPT_VERBOSE, "-v, --verbose", "say more: how it came about; status: storage"},
    {CTL_OPT_JSON, "--json", "one JSON document on standard output"},
    {0, "-e, --endpoints LIST",
     "HOST:PORT,HOST:PORT,... of the nodes' client ports, with\n"
     "tls:// or tcp:// before them, or unix:/PATH"},
    {0, "-c, --config FILE", "take the nodes from this ridd.conf"},
    {0, "-t, --timeout MS",
     "for the whole command (5000; compare, snapshot, backup,\n"
     "member: none; status, ping and what looks: 1000 a node;\n"
     "ls, scan: 5000 a page; export, import: 30000 a page)"},
    {0, "--ca FILE", "TLS: the authorities of the nodes' certificates"},
    {0, "--secret FILE", "TLS: a client's secret, or the cluster's"},
    {0, "--cluster NAME", "of which cluster it is, where no file says so"},
    {0, "--cert FILE", "TLS: who you are"},
    {0, "--key FILE", "the key of that"},
    {0, "--server-name NAME", "in the nodes' certificates, instead of their addresses"},
    {0, "--token-file FILE", "who you are: a token, said within TLS alone"},
    {0, "-h, --help", "this; after a verb: help for the verb"},
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

/* "2", "0.5": seconds, as watch(1) takes them. */
static int take_interval(struct ctl *ctl, const char *arg)
{
    char *end;
    double v;

    errno = 0;
    v = strtod(arg, &end);
    if (errno != 0 || end == arg || *end != '\0' || arg[0] < '0' || arg[0] > '9' || !(v >= 0.1) ||
        !(v <= 3600))
        return report(ctl, CTL_EXIT_USAGE, "--interval takes seconds from 0.1 to 3600, not '%.40s'",
                      arg);
    ctl->interval_ms = (unsigned)(v * 1000 + 0.5);
    return CTL_EXIT_OK;
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

/* Those that are offered come first. */
#define N_VIAS_SHOWN 5u
static const struct {
    const char *name;
    enum ridd_via via;
} vias[] = {
    {"read_index", RIDD_VIA_READ_INDEX}, {"log", RIDD_VIA_LOG},
    {"lease", RIDD_VIA_LEASE},           {"follower", RIDD_VIA_FOLLOWER},
    {"local", RIDD_VIA_LOCAL},           {"read_via_log", RIDD_VIA_LOG},
    {"lease_read", RIDD_VIA_LEASE},      {"follower_read", RIDD_VIA_FOLLOWER},
    {"local_read", RIDD_VIA_LOCAL},
};

static int take_via(struct ctl *ctl, const char *arg)
{
    for (size_t i = 0; i < sizeof(vias) / sizeof(vias[0]); i++)
        if (ctl_same_name(arg, vias[i].name)) {
            ctl->via = vias[i].via;
            return CTL_EXIT_OK;
        }
    return ctl_check_word(ctl, "--via", "METHOD", arg);
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
    {OPT_WATCH, CTL_OPT_WATCH, offsetof(struct ctl, watch)},
    {OPT_WIDE, CTL_OPT_WIDE, offsetof(struct ctl, wide)},
    {'f', CTL_OPT_FOLLOW, offsetof(struct ctl, follow)},
};

/* What may stand for a placeholder; the methods of --via are above. */
static const struct {
    const char *placeholder;
    const char *words[8];
} words[] = {
    {"METHODS", {"lease", "follower", "bounded", "local"}},
    {"LEVEL", {"error", "warning", "info"}},
    {"FORMAT", {"text", "json", "nagios"}},
    {"SHELL", {"bash", "zsh", "fish"}},
};

const char *ctl_word(const char *placeholder, unsigned i)
{
    if (strcmp(placeholder, "METHOD") == 0)
        return i < N_VIAS_SHOWN ? vias[i].name : NULL;
    if (strcmp(placeholder, "WORD") == 0)
        return ctl_member_word(i);
    if (strcmp(placeholder, "LOAD") == 0)
        return ctl_bench_word(i);
    for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
        if (strcmp(placeholder, words[k].placeholder) == 0)
            return words[k].words[i];
    return NULL;
}

int ctl_check_word(const struct ctl *ctl, const char *option, const char *placeholder,
                   const char *given)
{
    char list[128] = "";
    struct text_near near;
    const char *word;
    size_t len = 0;

    text_near_init(&near, given);
    for (unsigned i = 0; (word = ctl_word(placeholder, i)) != NULL; i++) {
        if (strcmp(word, given) == 0)
            return CTL_EXIT_OK;
        text_near_try(&near, word);
        if (len < sizeof(list))
            len +=
                (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", word);
    }
    if (near.nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE, "%s takes %s, not '%.60s'; did you mean '%s'?", option,
                      list, given, near.nearest);
    return report(ctl, CTL_EXIT_USAGE, "%s takes %s, not '%.60s'; see 'ridctl --help'", option,
                  list, given);
}

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
    {OPT_LEVEL, CTL_OPT_LEVEL, offsetof(struct ctl, level)},
    {OPT_FORMAT, CTL_OPT_FORMAT, offsetof(struct ctl, format)},
    {OPT_WARNING, CTL_OPT_WARNING, offsetof(struct ctl, warning)},
    {OPT_CRITICAL, CTL_OPT_CRITICAL, offsetof(struct ctl, critical)},
    {OPT_DATA_DIR, CTL_OPT_DATA_DIR, offsetof(struct ctl, data_dir)},
    {OPT_METHOD, CTL_OPT_METHOD, offsetof(struct ctl, method)},
    {OPT_ID, CTL_OPT_ID, offsetof(struct ctl, id)},
    {OPT_OUT, CTL_OPT_OUT, offsetof(struct ctl, out)},
    {OPT_CA, 0, offsetof(struct ctl, keyring.ca)},
    {OPT_CERT, 0, offsetof(struct ctl, keyring.cert)},
    {OPT_KEY, 0, offsetof(struct ctl, keyring.key)},
    {OPT_SECRET, 0, offsetof(struct ctl, keyring.secret)},
    {OPT_CLUSTER, 0, offsetof(struct ctl, keyring.cluster)},
    {OPT_SERVER_NAME, 0, offsetof(struct ctl, keyring.server_name)},
    {OPT_TOKEN_FILE, 0, offsetof(struct ctl, keyring.token_file)},
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

/* Of all options: which verb it is for is not known yet where they stand in front of it. */
static const char *nearest_option(const char *given)
{
    char name[64];
    struct text_near near;

    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "="), given);
    text_near_init(&near, name);
    for (const struct option *o = long_options; o->name != NULL; o++)
        text_near_try(&near, o->name);
    return near.nearest;
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
    const char *nearest = NULL;

    /* A letter may stand in a word with others, which getopt is not done with. */
    letter[1] = (char)optopt;
    if (optopt > 0 && optopt < OPT_JSON && strchr(&letters[1], optopt) == NULL)
        given = letter;
    else if (strncmp(given, "--", 2) == 0)
        nearest = nearest_option(given + 2);
    if (nearest != NULL && strncmp(given + 2, nearest, strlen(nearest)) == 0 &&
        given[2 + strlen(nearest)] == '=')
        return report(ctl, CTL_EXIT_USAGE, "'--%s' takes no value; see 'ridctl --help'", nearest);
    if (nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE, "unknown option '%.60s'; did you mean '--%s'?", given,
                      nearest);
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
        return take_number(ctl, "-n", optarg, COMPARE_READS_MAX, &ctl->num_reads);
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
    case OPT_COUNT:
        asked->options |= CTL_OPT_COUNT;
        return take_number(ctl, "--count", optarg, UINT_MAX, &ctl->count);
    case OPT_INTERVAL:
        asked->options |= CTL_OPT_INTERVAL;
        return take_interval(ctl, optarg);
    case OPT_LOG:
        asked->options |= CTL_OPT_LOG;
        return take_log(ctl, optarg);
    case OPT_TOKEN:
        return report(ctl, CTL_EXIT_USAGE,
                      "a token on a command line stands in the list of processes for all to see; "
                      "give --token-file FILE, or $RIDCTL_TOKEN");
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

/* -n is --num-reads, and of a verb that counts something else --count. */
static uint64_t options_given(struct ctl *ctl, const struct asked *asked)
{
    if ((ctl->verb->options & CTL_OPT_COUNT) == 0 || (asked->options & CTL_OPT_NUM_READS) == 0)
        return asked->options;
    ctl->count = ctl->num_reads;
    return (asked->options & ~(uint64_t)CTL_OPT_NUM_READS) | CTL_OPT_COUNT;
}

int ctl_check_options(struct ctl *ctl, const struct asked *asked)
{
    const uint64_t extra = options_given(ctl, asked) & ~ctl->verb->options;
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
