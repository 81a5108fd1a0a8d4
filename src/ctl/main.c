/* ridctl: the table of verbs, the options, the help. What a verb does is in its own file. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

#define READ_OPTIONS (CTL_OPT_RAW | CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE)

/* In the order of --help: what matters most comes first. */
static const struct verb verbs[] = {
    {"read_index", NULL, "KEY [--raw] [-v]", "linearizable read without a log write",
     "Prints the value of KEY. The leader confirms with a quorum that it still leads, on\n"
     "a round that thousands of reads share, and writes nothing to its log.\n"
     "\n"
     "  $ ridctl read_index leader\n"
     "  \"n2\"\n"
     "  $ ridctl read_index leader --json\n"
     "  {\"key\":\"leader\",\"exists\":true,\"value\":\"n2\",...,\"linearizable\":true,...}\n",
     READ_OPTIONS, 1, 1, verb_read_index},
    {"read_via_log", NULL, "KEY [--raw] [-v]", "linearizable read that pays for a log entry",
     "Prints the value of KEY as it was when a marker of this read was applied. The\n"
     "marker goes through the log of a quorum: the classic way, and the slow one.\n"
     "\n"
     "  $ ridctl read_via_log leader\n"
     "  \"n2\"\n",
     READ_OPTIONS, 1, 1, verb_read_via_log},
    {"compare", "compare_read_methods", "[-n READS] [--concurrency N] [--methods LIST]",
     "measure the read methods on this cluster",
     "Lets the leader read by each method, in random order, while it keeps writing, and\n"
     "prints what each cost, and whether every read was linearizable (exit code 1 when\n"
     "not). It takes as long as it takes; a bar shows how far it is on a terminal.\n"
     "\n"
     "  $ ridctl compare -n 1000 --methods local_read\n",
     CTL_OPT_NUM_READS | CTL_OPT_CONCURRENCY | CTL_OPT_METHODS | CTL_OPT_JSON, 0, 0, verb_compare},
    {"get", NULL, "KEY [--via METHOD] [--raw] [-v]", "read a key by any method",
     "Prints the value of KEY as JSON; with --raw a string loses its quotes. An absent\n"
     "key prints nothing and exits 3. METHOD is read_index, log, lease, follower or\n"
     "local; by default the node asked chooses. local may be old; lease and follower are\n"
     "refused by nodes of this version.\n"
     "\n"
     "  $ ridctl get leader --raw\n"
     "  n2\n"
     "  $ ridctl get leader --via local -v\n",
     READ_OPTIONS | CTL_OPT_VIA, 1, 1, verb_get},
    {"put", "write", "KEY VALUE|- [--json-value]", "write a key",
     "Stores VALUE, a string, or any JSON with --json-value. `-` takes it from standard\n"
     "input, without its last newline. Prints nothing when it worked.\n"
     "\n"
     "  $ ridctl put leader n2\n"
     "  $ ridctl put limits '{\"cpu\":2}' --json-value\n"
     "  $ ridctl put motd - < motd.txt\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON_VALUE | CTL_OPT_JSON | CTL_OPT_VERBOSE, 2, 2, verb_put},
    {"del", "delete", "KEY", "delete a key",
     "Prints nothing when it worked; exits 3 when there was nothing to delete.\n"
     "\n"
     "  $ ridctl del leader\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE, 1, 1, verb_del},
    {"cas", NULL, "KEY FROM TO [--create] [--json-value]", "write a key if it has a certain value",
     "Replaces FROM by TO in one step. Exits 4 when the value is not FROM, 3 when there\n"
     "is no such key; with --create an absent key becomes TO.\n"
     "\n"
     "  $ ridctl cas leader n2 n3\n"
     "  $ ridctl cas counter 41 42 --json-value\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON_VALUE | CTL_OPT_CREATE | CTL_OPT_JSON | CTL_OPT_VERBOSE, 3, 3,
     verb_cas},
    {"batch", "batch_read_index", "KEY...", "read up to 128 keys at one index",
     "Prints a line per key. All values are of the same moment.\n"
     "\n"
     "  $ ridctl batch leader limits motd\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE, 1, (int)BATCH_KEYS_MAX, verb_batch},
    {"status", NULL, "", "a table of all nodes, up or down",
     "Asks every node at once, one second each (--timeout changes that); needs no\n"
     "leader. Nodes that were not named are found through those that answer. Exits 2\n"
     "when no node knows a leader, 69 when none answered.\n"
     "\n"
     "  $ ridctl status\n"
     "  $ ridctl status --json | jq '.nodes[].status.term'\n",
     CTL_OPT_JSON, 0, 0, verb_status},
    {"members", NULL, "", "who belongs to the cluster",
     "Prints the membership as the node asked knows it.\n", CTL_OPT_JSON, 0, 0, verb_members},
    {"ping", NULL, "", "ask each node for a sign of life",
     "Asks every node at once, one second each. Exits 0 when any answered.\n", CTL_OPT_JSON, 0, 0,
     verb_ping},
    {"transfer", "transfer_leader", "[NODE]", "hand the leadership over",
     "Makes NODE the leader, or the node that is furthest.\n"
     "\n"
     "  $ ridctl transfer n3\n"
     "  n3 leads\n",
     CTL_OPT_JSON, 0, 1, verb_transfer},
    {"follower_read", NULL, "KEY [--raw] [-v]",
     "linearizable read from any node (not in this version)",
     "Prints the value of KEY; the node asked gets an index from the leader. Nodes of\n"
     "this version refuse it: not_supported.\n",
     READ_OPTIONS, 1, 1, verb_follower_read},
    {"lease_read", NULL, "KEY [--raw] [-v]", "read under the leader's lease (not in this version)",
     "Prints the value of KEY; the leader asks nobody while its lease is valid. Nodes of\n"
     "this version refuse it: not_supported.\n",
     READ_OPTIONS, 1, 1, verb_lease_read},
    {"local_read", NULL, "KEY [--raw] [-v]", "read that may be old, from any node",
     "Prints the value of KEY as the node asked has it, also without a leader.\n", READ_OPTIONS, 1,
     1, verb_local_read},
    {"raw", NULL, "", "speak the protocol: lines from standard input",
     "Sends the lines of standard input to the first node that accepts, and prints its\n"
     "replies as they come. At the end of the input it waits for what is owed.\n"
     "\n"
     "  $ echo '{\"type\":\"ping\",\"msg_id\":1}' | ridctl raw\n",
     0, 0, 0, verb_raw},
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

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
    OPT_VERSION,
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
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

/* Which option a verb must list to be given it, and how it is shown. */
static const struct {
    unsigned option;
    const char *name;
    const char *help;
} option_texts[] = {
    {CTL_OPT_VIA, "--via METHOD", "read_index, log, lease, follower, local"},
    {CTL_OPT_NUM_READS, "-n, --num-reads N", "reads of each method (100), at most 100000"},
    {CTL_OPT_CONCURRENCY, "--concurrency N", "reads at a time (1), at most 128"},
    {CTL_OPT_METHODS, "--methods LIST", "also: local_read (lease_read, follower_read)"},
    {CTL_OPT_CREATE, "--create", "an absent key becomes TO"},
    {CTL_OPT_RAW, "--raw", "print a string without quotes"},
    {CTL_OPT_INT_KEY, "--int-key", "KEY is an integer: 3 is not \"3\""},
    {CTL_OPT_JSON_VALUE, "--json-value", "values are JSON, not strings"},
    {CTL_OPT_VERBOSE, "-v, --verbose", "say on standard error how it came about"},
    {CTL_OPT_JSON, "--json", "one JSON document on standard output"},
};

static const char common_options[] =
    "  -e, --endpoints LIST  HOST:PORT,HOST:PORT,... of the nodes' client ports\n"
    "  -c, --config FILE     take the nodes from this ridd.conf\n"
    "  -t, --timeout MS      for the whole command (5000; compare: none; status, ping:\n"
    "                        1000 a node)\n"
    "  -h, --help            this; after a verb: help for the verb\n";

/* ---- help ---- */

static void print_help(void)
{
    (void)printf("Usage: ridctl [OPTION]... VERB [ARGUMENT]...\n"
                 "Reads from, writes to and looks after a ridd cluster.\n"
                 "\n"
                 "Verbs ('-' is taken for '_'):\n");
    for (size_t i = 0; i < N_VERBS; i++)
        (void)printf("  %-14s %s\n", verbs[i].name, verbs[i].summary);
    (void)printf(
        "\nOptions:\n%s"
        "      --version         print the version\n"
        "\n"
        "Without -e and -c the nodes are those of $RIDCTL_ENDPOINTS, of the file $RIDD_CONF,\n"
        "of ./ridd.conf or of " RIDD_CONF_FILE ".\n"
        "\n"
        "Examples:\n"
        "  ridctl put leader n2\n"
        "  ridctl read_index leader\n"
        "  ridctl -e 10.0.0.1:7400,10.0.0.2:7400 compare -n 1000\n"
        "  ridctl status --json | jq .leader_id\n"
        "\n"
        "Exit codes: 0 ok, 1 compare: not linearizable, 2 no quorum, 3 no such key,\n"
        "4 precondition failed, 5 outcome of a write unknown, 64 usage, 69 nobody answered,\n"
        "71 out of memory, 74 cannot write the output, 75 try again, 78 configuration.\n"
        "\n"
        "'ridctl VERB --help' says more about a verb; so do ridctl(1), ridd-protocol(7).\n",
        common_options);
}

static void print_verb_help(const struct verb *verb)
{
    (void)printf("Usage: ridctl [OPTION]... %s%s%s\n", verb->name,
                 verb->usage[0] != '\0' ? " " : "", verb->usage);
    if (verb->alias != NULL)
        (void)printf("Also:  ridctl %s\n", verb->alias);
    (void)printf("\n%s\nOptions:\n", verb->help);
    for (size_t i = 0; i < sizeof(option_texts) / sizeof(option_texts[0]); i++)
        if (verb->options & option_texts[i].option)
            (void)printf("  %s%-*s  %s\n", option_texts[i].name[1] == '-' ? "    " : "",
                         option_texts[i].name[1] == '-' ? 16 : 20, option_texts[i].name,
                         option_texts[i].help);
    (void)printf("%s", common_options);
}

/* ---- verbs ---- */

/* Equal, with '-' taken for '_'. */
static bool same_name(const char *given, const char *name)
{
    size_t i;

    if (name == NULL)
        return false;
    for (i = 0; given[i] != '\0'; i++)
        if ((given[i] == '-' ? '_' : given[i]) != name[i])
            return false;
    return name[i] == '\0';
}

static const struct verb *find_verb(const char *given)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (same_name(given, verbs[i].name) || same_name(given, verbs[i].alias))
            return &verbs[i];
    return NULL;
}

/* Letters to add, drop or change; names longer than the table are far away. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t n = strlen(b);

    if (strlen(a) > 31 || n > 31)
        return 31;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static int report_unknown_verb(const struct ctl *ctl, const char *given)
{
    const char *nearest = NULL;
    size_t least = 3;

    for (size_t i = 0; i < N_VERBS; i++) {
        size_t d = distance(given, verbs[i].name);

        if (d < least) {
            least = d;
            nearest = verbs[i].name;
        }
    }
    if (nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE, "no such verb '%.60s'; did you mean '%s'?", given,
                      nearest);
    return report(ctl, CTL_EXIT_USAGE, "no such verb '%.60s'; 'ridctl --help' lists them", given);
}

/* ---- options ---- */

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
        if (same_name(arg, names[i].name)) {
            ctl->via = names[i].via;
            return CTL_EXIT_OK;
        }
    return report(ctl, CTL_EXIT_USAGE,
                  "no such method '%.60s'; --via takes read_index, log, lease, follower, local",
                  arg);
}

/* What the command line says besides the fields of struct ctl. */
struct asked {
    unsigned options; /* CTL_OPT_* that were given */
    bool help;
    bool version;
};

static int take_option(struct ctl *ctl, struct asked *asked, int option)
{
    char letter[] = "-?";

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
    case 'v':
        asked->options |= CTL_OPT_VERBOSE;
        ctl->verbose = true;
        return CTL_EXIT_OK;
    case 'h':
        asked->help = true;
        return CTL_EXIT_OK;
    case OPT_JSON:
        asked->options |= CTL_OPT_JSON;
        ctl->json = true;
        return CTL_EXIT_OK;
    case OPT_RAW:
        asked->options |= CTL_OPT_RAW;
        ctl->raw = true;
        return CTL_EXIT_OK;
    case OPT_VIA:
        asked->options |= CTL_OPT_VIA;
        return take_via(ctl, optarg);
    case OPT_CREATE:
        asked->options |= CTL_OPT_CREATE;
        ctl->create = true;
        return CTL_EXIT_OK;
    case OPT_INT_KEY:
        asked->options |= CTL_OPT_INT_KEY;
        ctl->int_key = true;
        return CTL_EXIT_OK;
    case OPT_JSON_VALUE:
        asked->options |= CTL_OPT_JSON_VALUE;
        ctl->json_value = true;
        return CTL_EXIT_OK;
    case OPT_CONCURRENCY:
        asked->options |= CTL_OPT_CONCURRENCY;
        return take_number(ctl, "--concurrency", optarg, COMPARE_CONCURRENCY_MAX,
                           &ctl->concurrency);
    case OPT_METHODS:
        asked->options |= CTL_OPT_METHODS;
        ctl->methods = optarg;
        return CTL_EXIT_OK;
    case OPT_VERSION:
        asked->version = true;
        return CTL_EXIT_OK;
    case ':':
        return report(ctl, CTL_EXIT_USAGE, "'%.60s' wants a value; see 'ridctl --help'",
                      ctl->args[optind - 1]);
    default:
        /* A letter may stand in a word with others, which getopt is not done with. */
        letter[1] = (char)optopt;
        return report(ctl, CTL_EXIT_USAGE,
                      "unknown option '%.60s'; see 'ridctl --help' (a value that begins with '-' "
                      "goes behind '--')",
                      optopt > 0 && optopt < OPT_JSON && strchr(&letters[1], optopt) == NULL
                          ? letter
                          : ctl->args[optind - 1]);
    }
}

static int parse_options(struct ctl *ctl, int argc, char **argv, struct asked *asked)
{
    int exit_code = CTL_EXIT_OK;
    int option;

    opterr = 0;
    ctl->args = argv;
    while (exit_code == CTL_EXIT_OK &&
           (option = getopt_long(argc, argv, letters, long_options, NULL)) != -1)
        exit_code = take_option(ctl, asked, option);
    ctl->args = argv + optind;
    ctl->n_args = argc - optind;
    return exit_code;
}

static int check_options(const struct ctl *ctl, const struct asked *asked)
{
    unsigned extra = asked->options & ~ctl->verb->options;
    const char *space = ctl->verb->usage[0] != '\0' ? " " : "";

    for (size_t i = 0; i < sizeof(option_texts) / sizeof(option_texts[0]); i++)
        if (extra & option_texts[i].option)
            return report(ctl, CTL_EXIT_USAGE, "does not take '%s'; see 'ridctl %s --help'",
                          option_texts[i].name, ctl->verb->name);
    if (ctl->n_args < ctl->verb->args_min)
        return report(ctl, CTL_EXIT_USAGE, "something is missing; usage: ridctl %s%s%s",
                      ctl->verb->name, space, ctl->verb->usage);
    if (ctl->n_args > ctl->verb->args_max)
        return report(ctl, CTL_EXIT_USAGE,
                      "too many arguments, beginning with '%.60s'; usage: ridctl %s%s%s",
                      ctl->args[ctl->verb->args_max], ctl->verb->name, space, ctl->verb->usage);
    return CTL_EXIT_OK;
}

static int run(struct ctl *ctl, const struct asked *asked)
{
    const char *given;
    int exit_code;

    if (asked->version) {
        (void)printf("ridctl %s\n", PACKAGE_VERSION);
        return CTL_EXIT_OK;
    }
    if (ctl->n_args > 0 &&
        strcmp(ctl->args[0], "help") == 0) { /* `ridctl help put` is `ridctl put --help` */
        given = ctl->n_args > 1 ? ctl->args[1] : NULL;
        if (given != NULL && find_verb(given) == NULL)
            return report_unknown_verb(ctl, given);
        if (given != NULL)
            print_verb_help(find_verb(given));
        else
            print_help();
        return CTL_EXIT_OK;
    }
    if (ctl->n_args == 0) {
        if (!asked->help)
            return report(ctl, CTL_EXIT_USAGE, "no verb given; 'ridctl --help' lists them");
        print_help();
        return CTL_EXIT_OK;
    }
    given = ctl->args[0];
    ctl->verb = find_verb(given);
    if (ctl->verb == NULL)
        return report_unknown_verb(ctl, given);
    if (asked->help) {
        print_verb_help(ctl->verb);
        return CTL_EXIT_OK;
    }
    ctl->args++;
    ctl->n_args--;
    exit_code = check_options(ctl, asked);
    return exit_code == CTL_EXIT_OK ? ctl->verb->run(ctl) : exit_code;
}

int main(int argc, char **argv)
{
    struct ctl *ctl = calloc(1, sizeof(*ctl));
    struct asked asked = {0, false, false};
    int exit_code;

    if (ctl == NULL) {
        (void)fputs("ridctl: out of memory\n", stderr);
        return CTL_EXIT_SYSTEM;
    }
    json_object_seed(0); /* before there are threads */
    ctl->num_reads = 100;
    exit_code = parse_options(ctl, argc, argv, &asked);
    if (exit_code == CTL_EXIT_OK)
        exit_code = run(ctl, &asked);
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == CTL_EXIT_OK) {
        errno = errno != 0 ? errno : EIO;
        exit_code =
            report(ctl, CTL_EXIT_OUTPUT, "cannot write to standard output: %s", strerror(errno));
    }
    free(ctl->endpoints);
    free(ctl);
    return exit_code;
}
