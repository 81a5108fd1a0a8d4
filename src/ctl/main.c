/* ridctl: takes the command line apart and runs the verb that it names. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/fds.h"
#include "ctl/command_line_int.h"

#include "base/banned.h"

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
        if (given != NULL && ctl_find_verb(given) == NULL)
            return ctl_report_unknown_verb(ctl, given);
        if (given != NULL)
            ctl_print_verb_help(ctl_find_verb(given));
        else
            ctl_print_help();
        return CTL_EXIT_OK;
    }
    if (ctl->n_args == 0) {
        if (!asked->help)
            return report(ctl, CTL_EXIT_USAGE, "no verb given; 'ridctl --help' lists them");
        ctl_print_help();
        return CTL_EXIT_OK;
    }
    given = ctl->args[0];
    ctl->verb = ctl_find_verb(given);
    if (ctl->verb == NULL)
        return ctl_report_unknown_verb(ctl, given);
    if (asked->help) {
        ctl_print_verb_help(ctl->verb);
        return CTL_EXIT_OK;
    }
    ctl->args++;
    ctl->n_args--;
    exit_code = ctl_check_options(ctl, asked);
    return exit_code == CTL_EXIT_OK ? ctl->verb->run(ctl) : exit_code;
}

int main(int argc, char **argv)
{
    struct ctl *ctl = calloc(1, sizeof(*ctl));
    struct asked asked = {0, false, false};
    int exit_code;

    fds_hold_standard();
    cores_off();
    if (ctl == NULL) {
        (void)fputs("ridctl: out of memory\n", stderr);
        return CTL_EXIT_SYSTEM;
    }
    json_object_seed(0); /* before there are threads */
    ctl->num_reads = 100;
    if (argc > 1 && strcmp(argv[1], "__complete") == 0) { /* words of a line, not of this one */
        exit_code = ctl_complete(ctl, argc - 2, argv + 2);
    } else {
        exit_code = ctl_parse_options(ctl, argc, argv, &asked);
        if (exit_code == CTL_EXIT_OK)
            exit_code = run(ctl, &asked);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == CTL_EXIT_OK) {
        errno = errno != 0 ? errno : EIO;
        exit_code =
            report(ctl, CTL_EXIT_OUTPUT, "cannot write to standard output: %s", strerror(errno));
    }
    free(ctl->endpoints);
    free(ctl);
    return exit_code;
}
