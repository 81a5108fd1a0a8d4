/* backup: its words, and restore, which is ridd's to do: only that touches data directories. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/backup_int.h"
#include "ctl/command_int.h"

#include "base/banned.h"

/* ---- restore ---- */

/* The file that every other verb would take; NULL: ridd's own. */
static const char *conf_path(const struct ctl *ctl)
{
    const char *named = getenv("RIDD_CONF");

    if (ctl->config_option != NULL)
        return ctl->config_option;
    if (named != NULL && named[0] != '\0')
        return named;
    return access("./ridd.conf", F_OK) == 0 ? "./ridd.conf" : NULL;
}

static int restore(struct ctl *ctl)
{
    const char *conf = conf_path(ctl);
    char option_config[] = "--config";
    char option_id[] = "--id";
    char option_restore[] = "--restore";
    char path[PATH_MAX];
    const char *argv[8] = {path};
    unsigned n = 1;

    if (ctl->endpoints_option != NULL)
        return report(ctl, CTL_EXIT_USAGE,
                      "restore makes a data directory on this machine: it takes --config and --id, "
                      "and no --endpoints");
    if (ctl->json)
        return report(ctl, CTL_EXIT_USAGE, "--json goes with save, verify and inspect");
    if (!command_find_ridd(path, sizeof(path)))
        return report(
            ctl, CTL_EXIT_CONF,
            "it is done by ridd, which is not installed here: there is none beside ridctl "
            "and no " RIDD_SBINDIR "/ridd; install the package 'ridd'");
    if (conf != NULL) {
        argv[n++] = option_config;
        argv[n++] = conf;
    }
    if (ctl->id != NULL) {
        argv[n++] = option_id;
        argv[n++] = ctl->id;
    }
    argv[n++] = option_restore;
    argv[n++] = ctl->args[0];
    (void)execv(path, (char *const *)(uintptr_t)argv); /* NOLINT(performance-no-int-to-ptr) */
    return report(ctl, CTL_EXIT_SYSTEM, "cannot run '%s': %s", path, strerror(errno));
}

/* ---- the words ---- */

static int verify(struct ctl *ctl)
{
    return backup_look(ctl, true);
}

static int inspect(struct ctl *ctl)
{
    return backup_look(ctl, false);
}

static const struct {
    const char *name;
    int (*run)(struct ctl *ctl);
    int args_max;
    bool takes_index;
    bool takes_id;
} words[] = {
    {"save", backup_save, 2, true, false},
    {"verify", verify, 1, false, false},
    {"inspect", inspect, 1, false, false},
    {"restore", restore, 1, false, true},
};

int verb_backup(struct ctl *ctl)
{
    const char *given = ctl->args[0];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(given, words[i].name) != 0)
            continue;
        ctl->args++;
        ctl->n_args--;
        if (ctl->n_args > words[i].args_max)
            return report(ctl, CTL_EXIT_USAGE, "%s takes FILE%s, not '%.60s', too", given,
                          words[i].args_max > 1 ? " and NODE" : "", ctl->args[words[i].args_max]);
        if (ctl->seen.index != 0 && !words[i].takes_index)
            return report(ctl, CTL_EXIT_USAGE, "--min-index goes with save");
        if (ctl->id != NULL && !words[i].takes_id)
            return report(ctl, CTL_EXIT_USAGE, "--id goes with restore");
        return words[i].run(ctl);
    }
    return report(ctl, CTL_EXIT_USAGE,
                  "no such word '%.60s'; it is save, verify, inspect or restore", given);
}
