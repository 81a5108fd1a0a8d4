/* ridd-maelstrom: options, then the node. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/exit_codes.h"
#include "base/fds.h"
#include "base/log.h"
#include "maelstrom/maelstrom.h"

#include "base/banned.h"

static const char usage_text[] =
    "usage: ridd-maelstrom [--heartbeat-ms N] [--election-ms N] [--read-method NAME]\n"
    "                      [--log-level LEVEL]\n"
    "       ridd-maelstrom --version | --help\n";

static const char help_text[] =
    "\n"
    "ridd-maelstrom is one node of ridd over standard input and output: JSON envelopes, one per\n"
    "line, as Maelstrom sends them. The first must be an init.\n"
    "\n"
    "      --heartbeat-ms N  how often a leader is heard (default 100)\n"
    "      --election-ms N   after how long without a leader an election begins, randomised to\n"
    "                        twice that (default 1000); at least three times the heartbeat\n"
    "      --read-method M   how a read that names no method is answered: read_index, log,\n"
    "                        lease, follower or local (default: read_index by the leader,\n"
    "                        follower by the others)\n"
    "      --log-level L     error, warning, info or debug (default info), to standard error\n"
    "      --version         print the version\n"
    "  -h, --help            print this\n"
    "\n"
    "Its log lies in a folder below $TMPDIR (or /tmp) that goes with the process.\n"
    "Exit codes: 0, 64 usage, 65 damaged data, 74 I/O error. Manual: ridd-maelstrom(1).\n";

enum { OPT_HEARTBEAT = 256, OPT_ELECTION, OPT_READ_METHOD, OPT_LOG_LEVEL, OPT_VERSION };

static const struct option options[] = {{"heartbeat-ms", required_argument, NULL, OPT_HEARTBEAT},
                                        {"election-ms", required_argument, NULL, OPT_ELECTION},
                                        {"read-method", required_argument, NULL, OPT_READ_METHOD},
                                        {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static int usage(const char *what, const char *arg)
{
    fprintf(stderr, "ridd-maelstrom: %s '%s'\n%sridd-maelstrom: try ridd-maelstrom --help\n", what,
            arg, usage_text);
    return EXIT_USAGE_ERROR;
}

static int take_ms(const char *s, uint64_t *ret_us)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(s, &end, 10);
    if (s[0] < '0' || s[0] > '9' || *end != '\0' || errno != 0 || v < 1 || v > MAELSTROM_MS_MAX)
        return -EINVAL;
    *ret_us = (uint64_t)v * 1000u;
    return 0;
}

int main(int argc, char **argv)
{
    struct maelstrom_conf conf = {.heartbeat_us = MAELSTROM_HEARTBEAT_MS * UINT64_C(1000),
                                  .election_timeout_us = MAELSTROM_ELECTION_MS * UINT64_C(1000)};
    enum log_level level;
    int c;

    fds_hold_standard();
    (void)umask(077);
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (c) {
        case OPT_HEARTBEAT:
            if (take_ms(optarg, &conf.heartbeat_us) != 0)
                return usage("--heartbeat-ms wants 1 to 60000, not", optarg);
            break;
        case OPT_ELECTION:
            if (take_ms(optarg, &conf.election_timeout_us) != 0)
                return usage("--election-ms wants 1 to 60000, not", optarg);
            break;
        case OPT_READ_METHOD:
            conf.read_via = wire_via_from_name(optarg, strlen(optarg));
            if (conf.read_via == WIRE_VIA_DEFAULT)
                return usage("--read-method wants read_index, log, lease, follower or local, not",
                             optarg);
            break;
        case OPT_LOG_LEVEL:
            if (!log_level_from_name(optarg, &level))
                return usage("--log-level wants error, warning, info or debug, not", optarg);
            log_set_level(level);
            break;
        case OPT_VERSION:
            printf("ridd-maelstrom %s\n", PACKAGE_VERSION);
            return 0;
        case 'h':
            printf("%s%s", usage_text, help_text);
            return 0;
        case ':':
            return usage("this option needs an argument:", argv[optind - 1]);
        default:
            return usage("unknown option", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return usage("unexpected argument", argv[optind]);
    if (conf.election_timeout_us < 3 * conf.heartbeat_us)
        return usage("--election-ms must be at least three times", "--heartbeat-ms");
    return maelstrom_run(&conf);
}
