/* What the command line of ridctl is made of: the table of verbs, the options, the help. */
#ifndef RIDD_CTL_COMMAND_LINE_INT_H
#define RIDD_CTL_COMMAND_LINE_INT_H

#include "ctl/ctl_int.h"

/* ---- verbs.c ---- */

/* In the order of --help: what matters most comes first. */
extern const struct verb ctl_verbs[];
extern const size_t ctl_n_verbs;

/* Equal, with '-' taken for '_'. name may be NULL. */
bool ctl_same_name(const char *given, const char *name);
const struct verb *ctl_find_verb(const char *given);
/* Says which verb was perhaps meant. An exit code. */
int ctl_report_unknown_verb(const struct ctl *ctl, const char *given);

/* ---- options.c ---- */

/* Which option a verb must list to be given it, and how it is shown. */
struct option_text {
    uint64_t option; /* 0: every verb takes it */
    const char *name;
    const char *help; /* more than one line: with '\n' between */
};
extern const struct option_text ctl_option_texts[];
extern const size_t ctl_n_option_texts;

/* What the command line says besides the fields of struct ctl. */
struct asked {
    uint64_t options; /* CTL_OPT_* that were given */
    bool help;
    bool version;
};

/* Fills ctl and asked. An exit code; on failure it has been reported. */
int ctl_parse_options(struct ctl *ctl, int argc, char **argv, struct asked *ret_asked);
/* Whether the verb takes what it was given. An exit code, as above. */
int ctl_check_options(struct ctl *ctl, const struct asked *asked);

/* ---- complete.c ---- */

/* What may stand where the last of these words is, which may be empty or begun; one a line, on
 * standard output. */
int ctl_complete(struct ctl *ctl, int n, char **words);

/* ---- help.c ---- */

void ctl_print_help(void);
void ctl_print_verb_help(const struct verb *verb);

#endif
