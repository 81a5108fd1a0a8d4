/* What is looked at for monitoring, and from where on it is a warning or critical.
 *
 * For: `ridctl check`.
 * Not for: asking; whether the cluster is well is the verdict's to say, and its first line here.
 * Ownership: results hold copies.
 *
 * Obvious: units (of each limit in its table), errors, thread, source. */
#ifndef RIDD_CTL_CHECK_INT_H
#define RIDD_CTL_CHECK_INT_H

#include "ctl/rows_int.h"

/* name, unit (of perfdata), warning, critical (0: never), what it is.
 * lag: a busy leader is some thousand entries ahead of who applies them. fsync: from 60 % on a node
 * calls its disk slow. drift: beyond CLOCK_DRIFT_PPM_MAX no lease is taken. */
/* clang-format off */
#define CHECK_LIMITS(X)                                                                 \
    X(LAG,     "lag",     "",  CTL_CHECK_LAG, CTL_CHECK_LAG_FAR,                          \
      "entries not applied")                                            \
    X(FSYNC,   "fsync",   "%", 20,   60,   "sync p99, of election_ms")                    \
    X(QUOTA,   "quota",   "%", 80,   95,   "stored, of map_size")                         \
    X(DISK,    "disk",    "%", 85,   95,   "taken, of its file system")         \
    X(DRIFT,   "drift",   "",  1000, 5000, "ppm two clocks run apart")               \
    X(CHANGES, "changes", "",  6,    30,   "other leaders in an hour")                \
    X(STARTS,  "starts",  "",  2,    0,    "nodes up under ten minutes")
/* clang-format on */
#define CHECK_ENUM(id, name, unit, warning, critical, text) CHECK_##id,
enum check { CHECK_LIMITS(CHECK_ENUM) CHECKS_N };

/* As monitoring plugins have them, and their exit codes. */
enum check_state { CHECK_STATE_OK, CHECK_STATE_WARNING, CHECK_STATE_CRITICAL, CHECK_STATE_UNKNOWN };
const char *check_state_name(enum check_state state);

struct check_limits {
    double warning[CHECKS_N]; /* 0: never */
    double critical[CHECKS_N];
};

struct check_value {
    bool known;
    double value;
    char where[NODE_NAME_BYTES_MAX + 1]; /* the node that it is of; "": of all */
    enum check_state state;
};

/* What has no number. */
struct check_fact {
    const char *name; /* static */
    enum check_state state;
    char text[VERDICT_TEXT_BYTES + 1];
};
#define CHECK_FACTS_MAX 4u

struct checked {
    struct check_value values[CHECKS_N];
    struct check_fact facts[CHECK_FACTS_MAX];
    unsigned n_facts;
    enum check_state state; /* the worst */
};

/* "lag=100,fsync=50" into warning or critical of what ret holds already. An exit code. */
int check_read_limits(const struct ctl *ctl, const char *option, const char *given, double *ret);
void check_defaults(struct check_limits *ret);
const char *check_name(unsigned check);
const char *check_unit(unsigned check);
const char *check_text(unsigned check);
/* "12.3", "123456": three digits that count, and all of a large number; below a thousandth 0. */
void check_number(double v, char *ret, size_t size);
/* changes: other leaders within the hour; -1: not known. */
void check_judge(const struct rows *rows, const struct verdict *v, int changes,
                 const struct check_limits *limits, struct checked *ret);

#endif
