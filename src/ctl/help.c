/* `ridctl --help` and `ridctl VERB --help`, all of it from the tables of verbs and options. */
#include <stdio.h>
#include <string.h>

#include "ctl/command_line_int.h"

#include "base/banned.h"

/* Which verbs stand together in the list of all; in each group in this order. One that is in none
 * comes last, under a heading of its own. */
static const struct {
    const char *heading;
    const char *names[12];
} groups[] = {
    {"Reading",
     {"read_index", "read_via_log", "compare", "get", "batch", "ls", "scan", "follower_read",
      "lease_read", "local_read"}},
    {"Writing", {"put", "del", "cas"}},
    {"Looking", {"status", "top", "events", "slow", "check", "doctor", "ping", "explain"}},
    {"Members", {"members", "member", "transfer"}},
    {"Care", {"backup", "snapshot", "export", "import", "bundle", "bench", "token", "secret"}},
    {"Tools", {"completion", "raw"}},
};

static bool is_grouped(const struct verb *verb)
{
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (const char *const *name = groups[g].names; *name != NULL; name++)
            if (strcmp(*name, verb->name) == 0)
                return true;
    return false;
}

static void print_summary(const struct verb *verb)
{
    (void)printf("  %-14s %s\n", verb->name, verb->summary);
}

static void print_verbs(void)
{
    bool other = false;

    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        (void)printf("%s:\n", groups[g].heading);
        for (const char *const *name = groups[g].names; *name != NULL; name++)
            if (ctl_find_verb(*name) != NULL)
                print_summary(ctl_find_verb(*name));
    }
    for (size_t i = 0; i < ctl_n_verbs; i++)
        if (!is_grouped(&ctl_verbs[i])) {
            (void)printf("%s", other ? "" : "Other:\n");
            other = true;
            print_summary(&ctl_verbs[i]);
        }
}

/* "  -e, --endpoints LIST  what it is"; what has no letter stands below the long names. */
static void print_option(const struct option_text *o)
{
    const bool letter = o->name[1] != '-';
    const char *line = o->help;

    (void)printf("  %s%-*s  ", letter ? "" : "    ", letter ? 20 : 16, o->name);
    for (;;) {
        const size_t len = strcspn(line, "\n");

        (void)printf("%.*s\n", (int)len, line);
        if (line[len] == '\0')
            return;
        line += len + 1;
        (void)printf("%24s", "");
    }
}

static void print_options(uint64_t options)
{
    for (size_t i = 0; i < ctl_n_option_texts; i++)
        if (ctl_option_texts[i].option & options)
            print_option(&ctl_option_texts[i]);
    for (size_t i = 0; i < ctl_n_option_texts; i++)
        if (ctl_option_texts[i].option == 0)
            print_option(&ctl_option_texts[i]);
}

void ctl_print_help(void)
{
    (void)printf("Usage: ridctl [OPTION]... VERB [ARGUMENT]...\n"
                 "Reads from, writes to and looks after a ridd cluster ('-' is taken for '_').\n"
                 "\n");
    print_verbs();
    (void)printf("\nOptions:\n");
    print_options(0);
    (void)printf(
        "      --version         print the version\n"
        "\n"
        "Without -e and -c the nodes are those of $RIDCTL_ENDPOINTS, of the file\n"
        "$RIDD_CONF, of ./ridd.conf or of " RIDD_CONF_FILE ".\n"
        "\n"
        "Examples:\n"
        "  ridctl put leader n2\n"
        "  ridctl read_index leader\n"
        "  ridctl -e 10.0.0.1:7400,10.0.0.2:7400 compare -n 1000\n"
        "  ridctl status --json | jq .leader_id\n"
        "\n"
        "Exit codes: 0 ok, 1 compare: not linearizable, 2 no quorum, 3 no such key, 4\n"
        "precondition failed, 5 outcome of a write unknown, 6 status: degraded, 7 status:\n"
        "split, 64 usage, 65 backup: damaged, or none, 69 nobody answered, 71 out of\n"
        "memory, 74 cannot write the output, 75 try again, 77 denied, 78 configuration.\n"
        "'ridctl explain CODE' says more of each.\n"
        "\n"
        "'ridctl VERB --help' says more about a verb; so do ridctl(1), ridd-protocol(7).\n");
}

/* Up to the next blank that stands in no brackets. */
static size_t word_len(const char *s)
{
    unsigned depth = 0;
    size_t len = 0;

    for (; s[len] != '\0' && (s[len] != ' ' || depth > 0); len++)
        depth += s[len] == '[' ? 1u : s[len] == ']' ? -1u : 0u;
    return len;
}

/* One that is too long for a terminal goes on in the next line, but not within brackets. */
static void print_usage(const struct verb *verb)
{
    int column = printf("Usage: ridctl [OPTION]... %s", verb->name);

    for (const char *s = verb->usage; *s != '\0'; s += strspn(s, " ")) {
        const int len = (int)word_len(s);

        if (column + 1 + len > (int)CTL_LINE_COLUMNS)
            column = printf("\n%*s", 9, "") - 1;
        column += printf(" %.*s", len, s);
        s += len;
    }
    (void)printf("\n");
}

void ctl_print_verb_help(const struct verb *verb)
{
    print_usage(verb);
    if (verb->alias != NULL)
        (void)printf("Also:  ridctl %s\n", verb->alias);
    (void)printf("\n%s\nOptions:\n", verb->help);
    print_options(verb->options);
}
