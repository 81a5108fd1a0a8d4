/* What the verbs of ridctl share.
 *
 * A verb is one entry of the table in verbs.c: its names, its options, its help and a function that
 * gets a struct ctl and returns an exit code. A verb prints its result on standard output and,
 * through report.c, at most one line of error on standard error: what, where, next step. Everything
 * here lives until the process ends. */
#ifndef RIDD_CTL_CTL_INT_H
#define RIDD_CTL_CTL_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "client/ridd.h"
#include "load/keyring.h"

/* Listed in ridctl(1): change both. */
enum ctl_exit {
    CTL_EXIT_OK = 0,
    CTL_EXIT_NOT_LINEARIZABLE = 1, /* compare; bench: a wrong answer */
    CTL_EXIT_FAILS = 1,            /* doctor: something does not work */
    CTL_EXIT_NO_QUORUM = 2,
    CTL_EXIT_NO_KEY = 3,
    CTL_EXIT_PRECONDITION = 4,
    CTL_EXIT_UNKNOWN = 5,
    CTL_EXIT_DEGRADED = 6, /* status; doctor: a warning */
    CTL_EXIT_SPLIT = 7,    /* status */
    CTL_EXIT_USAGE = 64,
    CTL_EXIT_DAMAGED = 65, /* backup: it is none, or damaged */
    CTL_EXIT_NOBODY = 69,
    CTL_EXIT_SYSTEM = 71, /* no memory, no thread */
    CTL_EXIT_OUTPUT = 74,
    CTL_EXIT_AGAIN = 75,
    CTL_EXIT_DENIED = 77,
    CTL_EXIT_CONF = 78,
};

/* Options that only some verbs take: bits of struct verb's `options`. */
enum ctl_option {
    CTL_OPT_VIA = 1u << 0,
    CTL_OPT_RAW = 1u << 1,
    CTL_OPT_CREATE = 1u << 2,
    CTL_OPT_INT_KEY = 1u << 3,
    CTL_OPT_JSON_VALUE = 1u << 4,
    CTL_OPT_NUM_READS = 1u << 5,
    CTL_OPT_CONCURRENCY = 1u << 6,
    CTL_OPT_METHODS = 1u << 7,
    CTL_OPT_JSON = 1u << 8,
    CTL_OPT_VERBOSE = 1u << 9,
    CTL_OPT_ALL = 1u << 10,
    CTL_OPT_SAVE = 1u << 11,
    CTL_OPT_READERS = 1u << 12,
    CTL_OPT_MAX_STALE = 1u << 13,
    CTL_OPT_CSV = 1u << 14,
    CTL_OPT_LEARNER = 1u << 16,
    CTL_OPT_DRY_RUN = 1u << 17,
    CTL_OPT_FORCE = 1u << 18,
    CTL_OPT_LIMIT = 1u << 19,
    CTL_OPT_AFTER = 1u << 20,
    CTL_OPT_FROM = 1u << 21,
    CTL_OPT_TO = 1u << 22,
    CTL_OPT_MIN_INDEX = 1u << 23,
    CTL_OPT_ONE_INDEX = 1u << 24,
    CTL_OPT_COUNT = UINT64_C(1) << 32,
    CTL_OPT_WATCH = UINT64_C(1) << 33,
    CTL_OPT_INTERVAL = UINT64_C(1) << 34,
    CTL_OPT_WIDE = UINT64_C(1) << 35,
    CTL_OPT_FOLLOW = UINT64_C(1) << 36,
    CTL_OPT_LEVEL = UINT64_C(1) << 37,
    CTL_OPT_FORMAT = UINT64_C(1) << 38,
    CTL_OPT_WARNING = UINT64_C(1) << 39,
    CTL_OPT_ID = UINT64_C(1) << 40,
    CTL_OPT_CRITICAL = UINT64_C(1) << 47,
    CTL_OPT_DATA_DIR = UINT64_C(1) << 48,
    CTL_OPT_LOG = UINT64_C(1) << 49,
    CTL_OPT_METHOD = UINT64_C(1) << 50,
    CTL_OPT_CLIENTS = UINT64_C(1) << 51,
    CTL_OPT_IN_FLIGHT = UINT64_C(1) << 52,
    CTL_OPT_SECONDS = UINT64_C(1) << 53,
    CTL_OPT_KEYS = UINT64_C(1) << 54,
    CTL_OPT_VALUE_BYTES = UINT64_C(1) << 55,
    CTL_OPT_OUT = UINT64_C(1) << 56,
};

struct ctl_node {
    char name[NODE_NAME_BYTES_MAX + 1]; /* "": not known */
    char endpoint[RIDD_ENDPOINT_SIZE];
};

struct ctl {
    const struct verb *verb;
    char **args; /* borrowed from main() */
    int n_args;

    const char *endpoints_option; /* borrowed; NULL: not given */
    const char *config_option;
    struct keyring keyring;
    struct ridd_tls tls; /* of it: cluster_find(); borrowed */
    bool only_local;     /* there is nothing for the TLS of the other nodes */
    unsigned timeout_ms; /* 0: not given */
    enum ridd_via via;
    unsigned num_reads;
    unsigned readers[CTL_READERS_MAX]; /* at a time; one run for each */
    unsigned n_readers;                /* 0: not given */
    unsigned max_stale_ms;             /* 0: not given */
    unsigned limit;                    /* 0: not given */
    unsigned count;                    /* 0: not given */
    unsigned interval_ms;              /* 0: not given */
    unsigned clients;                  /* as those below; bench */
    unsigned in_flight;
    unsigned seconds;
    unsigned keys;
    unsigned value_bytes;
    struct ridd_token seen; /* --min-index; all zero: not given */
    const char *methods;
    const char *save; /* borrowed, as those below; NULL: not given */
    const char *after;
    const char *from;
    const char *to;
    const char *level;
    const char *format;
    const char *warning;
    const char *critical;
    const char *data_dir;
    const char *method;
    const char *logs[CTL_LOGS_MAX]; /* bundle */
    unsigned n_logs;
    const char *id;
    const char *out; /* secret */
    bool all;
    bool csv;
    bool json;
    bool verbose;
    bool raw;
    bool create;
    bool int_key;
    bool json_value;
    bool learner;
    bool dry_run;
    bool force;
    bool one_index;
    bool watch;
    bool wide;
    bool follow;
    bool quiet; /* report() says nothing: `__complete` */

    struct ctl_node nodes[RIDD_ENDPOINTS_MAX]; /* cluster.c */
    unsigned n_nodes;
    char *endpoints;                            /* owned: their list for ridd_open() */
    char cluster_name[NODE_NAME_BYTES_MAX + 1]; /* of the configuration; "": there is none */
    const char *conf_path;                      /* borrowed; where that stands */
};

struct verb {
    const char *name;  /* with '_'; '-' is taken for it */
    const char *alias; /* NULL: none */
    const char *usage; /* what follows the name */
    const char *summary;
    const char *help; /* the text of `ridctl VERB --help`, lines of at most 79 columns */
    uint64_t options;
    int args_min;
    int args_max;
    int (*run)(struct ctl *ctl);
};

/* ---- the verbs ---- */

int verb_read_index(struct ctl *ctl);
int verb_read_via_log(struct ctl *ctl);
int verb_follower_read(struct ctl *ctl);
int verb_lease_read(struct ctl *ctl);
int verb_local_read(struct ctl *ctl);
int verb_get(struct ctl *ctl);
int verb_batch(struct ctl *ctl);
int verb_put(struct ctl *ctl);
int verb_del(struct ctl *ctl);
int verb_cas(struct ctl *ctl);
int verb_ls(struct ctl *ctl);
int verb_scan(struct ctl *ctl);
int verb_export(struct ctl *ctl);
int verb_import(struct ctl *ctl);
int verb_compare(struct ctl *ctl);
int verb_status(struct ctl *ctl);
int verb_members(struct ctl *ctl);
int verb_member(struct ctl *ctl);
const char *ctl_member_word(unsigned i); /* NULL: there are no more */
int verb_transfer(struct ctl *ctl);
int verb_snapshot(struct ctl *ctl);
int verb_backup(struct ctl *ctl);
int verb_ping(struct ctl *ctl);
int verb_raw(struct ctl *ctl);
int verb_explain(struct ctl *ctl);
int verb_completion(struct ctl *ctl);
int verb_top(struct ctl *ctl);
int verb_events(struct ctl *ctl);
int verb_slow(struct ctl *ctl);
int verb_check(struct ctl *ctl);
int verb_doctor(struct ctl *ctl);
int verb_bench(struct ctl *ctl);
const char *ctl_bench_word(unsigned i); /* what --method takes; NULL: there are no more */
int verb_bundle(struct ctl *ctl);
int verb_token(struct ctl *ctl);
int verb_secret(struct ctl *ctl);

/* ---- options.c ---- */

/* The i-th word that may stand where a text shows this placeholder (METHOD, say); NULL: there is no
 * other, or any text may. */
const char *ctl_word(const char *placeholder, unsigned i);
/* Whether a value is one of those. An exit code; on failure it has been reported. */
int ctl_check_word(const struct ctl *ctl, const char *option, const char *placeholder,
                   const char *given);

/* ---- cluster.c ---- */

/* Fills ctl->nodes and ctl->endpoints. An exit code; on failure it has been reported. */
int cluster_find(struct ctl *ctl);
/* The file that cluster_find() would read; NULL: none, since a list was given or there is none. */
const char *cluster_conf_path(const struct ctl *ctl);
/* A client for that cluster with ctl's timeout. An exit code; on failure it has been reported. */
int cluster_open(struct ctl *ctl, struct ridd **ret_client);
/* The same with flags of the library's (RIDD_FLAG_*). */
int cluster_open_with(struct ctl *ctl, unsigned flags, struct ridd **ret_client);
/* ridd_open(), and who this is and how the nodes are known. An exit code; on failure it has been
 * reported. */
int cluster_dial(const struct ctl *ctl, const char *endpoints, const struct ridd_options *options,
                 struct ridd **ret_client);
/* What of an endpoint is an address: without what says how it is spoken at. */
const char *cluster_address(const char *endpoint);
/* The secret of the cluster, and its name, as the options, the environment or the configuration
 * have it. An exit code, as above. */
int cluster_secret(struct ctl *ctl, const char **ret_file, const char **ret_cluster);
/* The key of the command line (--int-key). An exit code; on failure it has been reported. */
int cluster_key(const struct ctl *ctl, const char *arg, struct ridd_key *ret_key);

/* ---- report.c ---- */

/* "ridctl: <verb>: <text>" on standard error, and where that names none, the next command to type.
 * With --json a document, too, where nothing was asked of a server. Returns exit_code, for
 * `return report(...)`. */
int report(const struct ctl *ctl, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same of one thing of several: with --json it stands in their document. */
int report_one(const struct ctl *ctl, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int report_no_memory(const struct ctl *ctl);
/* The beginning of what was reported last; "": nothing was. */
const char *report_last(void);
/* The failure of a reply: one line, with a next step; with --json also {"error":...} on standard
 * output. subject is the key or NULL. Returns the exit code. */
int report_failure(const struct ctl *ctl, const struct ridd_reply *r, const char *subject);
int report_exit_code(const struct ridd_reply *r);
/* Bytes that a terminal could take as commands become '?'. In place. */
void report_clean(char *s);

/* ---- doc.c: one JSON document for --json ---- */

struct doc {
    struct buf buf;
    bool comma;
    bool failed; /* no memory */
};
#define DOC_INIT                                                                                   \
    {                                                                                              \
        BUF_INIT, false, false                                                                     \
    }
/* name NULL: an element of an array, or the document itself. */
void doc_open(struct doc *d, const char *name, char bracket);
void doc_close(struct doc *d, char bracket);
void doc_str(struct doc *d, const char *name, const char *s);
void doc_u64(struct doc *d, const char *name, uint64_t v);
void doc_int(struct doc *d, const char *name, int64_t v);
void doc_bool(struct doc *d, const char *name, bool v);
void doc_null(struct doc *d, const char *name);
/* Microseconds as milliseconds. */
void doc_ms(struct doc *d, const char *name, uint64_t us);
/* JSON text, spliced in as it is. */
void doc_raw(struct doc *d, const char *name, const char *json, size_t len);
/* Prints it with a newline and frees it. An exit code; on failure it has been reported. */
int doc_print(struct doc *d, const struct ctl *ctl);
/* "key", as it was named on the command line: a string, or with --int-key a number. */
void doc_key(struct doc *d, const struct ctl *ctl, const char *key);
/* What every answer of one call ends with, the closing bracket, and doc_print(). */
int doc_print_call(struct doc *d, const struct ctl *ctl, const struct ridd_reply *r);

/* ---- table.c ---- */

struct table {
    unsigned n_columns;
    uint32_t right;   /* bit per column: numbers */
    struct buf cells; /* NUL-terminated, row by row */
    size_t widths[TABLE_COLUMNS_MAX];
    unsigned column; /* of the next cell */
    size_t columns;  /* of a line; 0: any number */
    bool failed;
};
void table_init(struct table *t, unsigned n_columns, uint32_t right, const char *const *headers);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fills the rest of the row with one text that counts for no column's width. */
void table_rest(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A name; where the table has a limit, the middle of a long one is left out. */
void table_name(struct table *t, const char *name);
/* "12.3 MiB" */
void table_size_text(uint64_t bytes, char *ret, size_t size);
/* The same in at most six characters, "12.3M"; a rate or a count, "12.3k"; a time, "12.3ms". */
void table_short_size(uint64_t bytes, char *ret, size_t size);
void table_short_count(double v, char *ret, size_t size);
void table_short_time(uint64_t us, char *ret, size_t size);
/* Prints it and frees it. An exit code; on failure it has been reported. */
int table_print(struct table *t, const struct ctl *ctl);

/* ---- bar.c ---- */

/* Standard error is a terminal on which a line can be drawn over. */
bool bar_is_shown(void);
void bar_draw(uint64_t done, uint64_t total, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bar_clear(void);

/* How far something is of which nobody knows the end: one line that is drawn over on a terminal,
 * and where there is none a line every CTL_KEYS_SAY_MS. */
struct meter {
    bool bar;
    bool drawn;
    uint64_t next_us; /* not before: again */
};
void meter_begin(struct meter *m);
/* Whether it is time to say something. */
bool meter_is_due(struct meter *m);
/* total 0: not known. */
void meter_say(struct meter *m, const struct ctl *ctl, uint64_t done, uint64_t total,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Before anything else is said. */
void meter_end(struct meter *m);

/* ---- ask.c: the same question to many nodes at once ---- */

struct answer {
    struct ridd_reply *reply; /* owned */
};
/* One connection per node, timeout_ms for each, n at least 1. An exit code; on failure it has been
 * reported. */
int ask_all(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n, const char *json,
            unsigned timeout_ms, struct answer *ret_answers);
/* The same with a question of its own for each. */
int ask_each(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n,
             const char *const *jsons, unsigned timeout_ms, struct answer *ret_answers);
void ask_done(struct answer *answers, unsigned n);

#endif
