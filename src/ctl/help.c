/* `ridctl --help` and `ridctl VERB --help`, all of it from the tables of verbs and options. */
#include <stdio.h>

#include "ctl/command_line_int.h"

#include "base/banned.h"

static const char common_options[] =
    "  -e, --endpoints LIST  HOST:PORT,HOST:PORT,... of the nodes' client ports\n"
    "  -c, --config FILE     take the nodes from this ridd.conf\n"
    "  -t, --timeout MS      for the whole command (5000; compare, snapshot, backup,\n"
    "                        member: none; status, ping: 1000 a node; ls, scan: 5000 a page;\n"
    "                        export, import: 30000 a page or write)\n"
    "  -h, --help            this; after a verb: help for the verb\n";

void ctl_print_help(void)
{
    (void)printf("Usage: ridctl [OPTION]... VERB [ARGUMENT]...\n"
                 "Reads from, writes to and looks after a ridd cluster.\n"
                 "\n"
                 "Verbs ('-' is taken for '_'):\n");
    for (size_t i = 0; i < ctl_n_verbs; i++)
        (void)printf("  %-14s %s\n", ctl_verbs[i].name, ctl_verbs[i].summary);
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
        "4 precondition failed, 5 outcome of a write unknown, 6 status: degraded, 7 status:\n"
        "split, 64 usage, 65 backup: damaged, or none, 69 nobody answered, 71 out of memory,\n"
        "74 cannot write the output, 75 try again, 78 configuration.\n"
        "\n"
        "'ridctl VERB --help' says more about a verb; so do ridctl(1), ridd-protocol(7).\n",
        common_options);
}

void ctl_print_verb_help(const struct verb *verb)
{
    (void)printf("Usage: ridctl [OPTION]... %s%s%s\n", verb->name,
                 verb->usage[0] != '\0' ? " " : "", verb->usage);
    if (verb->alias != NULL)
        (void)printf("Also:  ridctl %s\n", verb->alias);
    (void)printf("\n%s\nOptions:\n", verb->help);
    for (size_t i = 0; i < ctl_n_option_texts; i++)
        if (verb->options & ctl_option_texts[i].option)
            (void)printf("  %s%-*s  %s\n", ctl_option_texts[i].name[1] == '-' ? "    " : "",
                         ctl_option_texts[i].name[1] == '-' ? 16 : 20, ctl_option_texts[i].name,
                         ctl_option_texts[i].help);
    (void)printf("%s", common_options);
}
