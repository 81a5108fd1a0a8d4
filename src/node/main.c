/* ridd: options, then the daemon. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/fds.h"
#include "conf/conf.h"
#include "node/node.h"
#include "tls/secret.h"

#include "base/banned.h"

static const char usage_text[] =
    "usage: ridd [--config FILE] [--id NAME]           run a node\n"
    "       ridd [--config FILE] [--id NAME] --init    make its data directory, once\n"
    "       ridd [--config FILE] [--id NAME] --join | --rejoin\n"
    "                                       be added to a cluster that runs, then run\n"
    "       ridd [--config FILE] [--id NAME] --restore FILE|-\n"
    "                                       begin another cluster with a backup, once\n"
    "       ridd [--config FILE] [--id NAME] --check-config | --print-config\n"
    "       ridd --make-secret FILE\n"
    "       ridd --check-log DIR | --dump-log DIR | --recover-alone DIR [--yes]\n"
    "       ridd --version | --help\n";

static const char help_text[] =
    "\n"
    "ridd is one node of a small replicated key-value store: writes go through a Raft\n"
    "log, linearizable reads cost a shared network round trip (ReadIndex).\n"
    "\n"
    "  -c, --config FILE    configuration of the whole cluster\n"
    "                       (default " RIDD_CONF_FILE ")\n"
    "  -i, --id NAME        which of its nodes this is (default: [node] id)\n"
    "      --init           make the data directory of a new node; again with the\n"
    "                       same identity: no harm\n"
    "      --join           wait until 'ridctl member add' takes this new node into a\n"
    "                       cluster that runs, and run it\n"
    "      --rejoin         the same for a member whose disk was lost: 'ridctl member\n"
    "                       rejoin'\n"
    "      --restore FILE   make the data directory of a node that begins another\n"
    "                       cluster with what a backup ('ridctl backup save') holds;\n"
    "                       - takes it from standard input\n"
    "      --check-config   read the configuration, print every problem with its\n"
    "                       line, exit 0 or 78\n"
    "      --print-config   print the configuration in force, defaults included\n"
    "      --make-secret FILE\n"
    "                       make a new file with the secret of a cluster: the same on\n"
    "                       all its nodes, named by secret_file in [security]\n"
    "      --check-log DIR  read the log in a data directory, print a verdict; exit\n"
    "                       0, 65 damaged, 74 not readable\n"
    "      --dump-log DIR   print the log in a data directory, one line a record, and\n"
    "                       a verdict\n"
    "      --recover-alone DIR [--yes]\n"
    "                       the majority is lost for ever: print what the node has\n"
    "                       (and exit 64); with --yes make it a cluster of one\n"
    "      --version        print the version\n"
    "  -h, --help           print this\n"
    "\n"
    "Signals: TERM hands leadership over, answers what is owed, exits 0. HUP reads\n"
    "again log level, limits, rounds, lease_ms, fast_failover, map_size, when\n"
    "snapshots are made, who may do what, secrets and certificates, and the\n"
    "addresses of the other nodes.\n"
    "USR1 writes the state to the log.\n"
    "Exit codes: 0, 64 usage, 65 damaged data, 74 I/O error, 78 configuration or\n"
    "identity.\n"
    "\n"
    "A first cluster on this machine: tools/quickstart in the sources.\n"
    "Manual: ridd(8), ridd.conf(5), ridctl(1).\n";

enum action {
    RUN,
    INIT,
    JOIN,
    REJOIN,
    RESTORE,
    CHECK,
    PRINT,
    DUMP,
    CHECK_LOG,
    RECOVER,
    MAKE_SECRET
};

enum {
    OPT_INIT = 256,
    OPT_JOIN,
    OPT_REJOIN,
    OPT_RESTORE,
    OPT_CHECK,
    OPT_PRINT,
    OPT_DUMP,
    OPT_CHECK_LOG,
    OPT_MAKE_SECRET,
    OPT_RECOVER,
    OPT_YES,
    OPT_VERSION
};

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                        {"id", required_argument, NULL, 'i'},
                                        {"init", no_argument, NULL, OPT_INIT},
                                        {"join", no_argument, NULL, OPT_JOIN},
                                        {"rejoin", no_argument, NULL, OPT_REJOIN},
                                        {"restore", required_argument, NULL, OPT_RESTORE},
                                        {"check-config", no_argument, NULL, OPT_CHECK},
                                        {"print-config", no_argument, NULL, OPT_PRINT},
                                        {"dump-log", required_argument, NULL, OPT_DUMP},
                                        {"check-log", required_argument, NULL, OPT_CHECK_LOG},
                                        {"make-secret", required_argument, NULL, OPT_MAKE_SECRET},
                                        {"recover-alone", required_argument, NULL, OPT_RECOVER},
                                        {"yes", no_argument, NULL, OPT_YES},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static int usage(const char *what, const char *arg)
{
    fprintf(stderr, "ridd: %s%s%s%s; see 'ridd --help'\n", what, arg != NULL ? " '" : "",
            arg != NULL ? arg : "", arg != NULL ? "'" : "");
    return EXIT_USAGE_ERROR;
}

static int act(enum action action, const char *path, const char *id, const char *file,
               uint64_t started_us)
{
    struct conf *conf = calloc(1, sizeof(*conf));
    struct conf_problems problems = {0};
    int code = 0;
    int rc;

    if (conf == NULL) {
        fprintf(stderr, "ridd: out of memory\n");
        return EXIT_IO_ERROR;
    }
    if (action == RUN || action == JOIN || action == REJOIN)
        node_hold_signals();
    err_reset();
    rc = conf_load(path, id, (action != CHECK && action != PRINT) || id != NULL, conf, &problems);
    if (rc == CONF_E_PROBLEMS) {
        conf_problems_print(&problems, path, stderr);
        code = EXIT_CONF_ERROR;
    } else if (rc != 0) {
        fprintf(stderr, "ridd: %s; name the file with --config\n", err_text());
        code = EXIT_CONF_ERROR;
    } else {
        switch (action) {
        case RUN:
            code = node_run(conf, started_us);
            break;
        case INIT:
            code = node_init(conf);
            break;
        case JOIN:
        case REJOIN:
            code = node_join(conf, action == REJOIN);
            break;
        case RESTORE:
            code = node_restore(conf, file);
            break;
        case CHECK:
            code = node_check(conf);
            break;
        case PRINT:
            conf_print(conf, stdout);
            break;
        case DUMP:
        case CHECK_LOG:
        case RECOVER:
        case MAKE_SECRET:
            break;
        }
    }
    conf_problems_done(&problems);
    free(conf);
    return code;
}

/* What stands in it is nobody's to see, here neither. */
static int make_secret(const char *path)
{
    const int rc = tls_secret_make(path);

    if (rc == -EEXIST) {
        fprintf(stderr,
                "ridd: '%s' is there already and stays as it is; to change a secret make another "
                "file and see SECRETS in ridd(8)\n",
                path);
        return EXIT_CONF_ERROR;
    }
    if (rc != 0) {
        fprintf(stderr, "ridd: %s\n", err_text());
        return EXIT_IO_ERROR;
    }
    printf("made '%s' for its owner alone: copy it to every node, where the user that ridd runs as "
           "must own it\n(or root, with that user's group), and name it in the configuration:\n\n"
           "    [security]\n    secret_file = %s\n",
           path, path);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t started_us = clock_mono_us();
    enum action action = RUN;
    const char *path = RIDD_CONF_FILE;
    const char *id = NULL;
    const char *dir = NULL;
    const char *file = NULL;
    bool yes = false;
    unsigned n_actions = 0;
    char letter[] = "-?";
    int c;

    fds_hold_standard();
    (void)umask(077);
    cores_off();
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":c:i:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'i':
            id = optarg;
            break;
        case 'h':
            printf("%s%s", usage_text, help_text);
            return 0;
        case OPT_VERSION:
            printf("ridd %s\n", PACKAGE_VERSION);
            return 0;
        case OPT_INIT:
            action = INIT;
            n_actions++;
            break;
        case OPT_JOIN:
            action = JOIN;
            n_actions++;
            break;
        case OPT_REJOIN:
            action = REJOIN;
            n_actions++;
            break;
        case OPT_RESTORE:
            action = RESTORE;
            file = optarg;
            n_actions++;
            break;
        case OPT_CHECK:
            action = CHECK;
            n_actions++;
            break;
        case OPT_PRINT:
            action = PRINT;
            n_actions++;
            break;
        case OPT_DUMP:
            action = DUMP;
            dir = optarg;
            n_actions++;
            break;
        case OPT_CHECK_LOG:
            action = CHECK_LOG;
            dir = optarg;
            n_actions++;
            break;
        case OPT_RECOVER:
            action = RECOVER;
            dir = optarg;
            n_actions++;
            break;
        case OPT_MAKE_SECRET:
            action = MAKE_SECRET;
            file = optarg;
            n_actions++;
            break;
        case OPT_YES:
            yes = true;
            break;
        case ':':
            return usage("this option needs an argument:", argv[optind - 1]);
        default:
            /* A letter may stand in a word with others, which getopt is not done with. */
            letter[1] = (char)optopt;
            return usage("unknown option",
                         optopt > 0 && optopt < OPT_INIT && strchr("cih", optopt) == NULL
                             ? letter
                             : argv[optind - 1]);
        }
    }
    if (optind < argc)
        return usage("unexpected argument", argv[optind]);
    if (n_actions > 1)
        return usage(
            "only one of --init, --join, --rejoin, --restore, --check-config, "
            "--print-config, --make-secret, --check-log, --dump-log, --recover-alone at a time",
            NULL);
    if (yes && action != RECOVER)
        return usage("--yes goes with --recover-alone", NULL);
    if (action == DUMP || action == CHECK_LOG)
        return node_dump_log(dir, action == DUMP);
    if (action == RECOVER)
        return node_recover_alone(dir, yes);
    if (action == MAKE_SECRET)
        return make_secret(file);
    return act(action, path, id, file, started_us);
}
