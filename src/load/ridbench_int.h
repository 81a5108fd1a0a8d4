/* What the parts of ridbench share: ridbench.c has the command line and the order of things,
 * ridbench_nodes.c asks the nodes, ridbench_keys.c looks at whose keys are there,
 * ridbench_report.c prints.
 *
 * Units: as in engine.h; what a name ends in.
 * Errors: exit codes; on failure it has been reported. */
#ifndef RIDD_LOAD_RIDBENCH_INT_H
#define RIDD_LOAD_RIDBENCH_INT_H

#include "base/limits.h"
#include "client/ridd.h"
#include "load/engine.h"
#include "load/keyring.h"
#include "load/ridd_lines.h"

/* Those of ridctl(1). */
enum bench_exit {
    BENCH_EXIT_OK = 0,
    BENCH_EXIT_WRONG = 1,
    BENCH_EXIT_NO_QUORUM = 2,
    BENCH_EXIT_PRECONDITION = 4,
    BENCH_EXIT_USAGE = 64,
    BENCH_EXIT_NOBODY = 69,
    BENCH_EXIT_SYSTEM = 71,
    BENCH_EXIT_OUTPUT = 74,
    BENCH_EXIT_AGAIN = 75,
    BENCH_EXIT_CONF = 78
};

#define BENCH_PREFIX "bench/"
/* RUN is when it began and by which chance: 65f1a2b3-9c0d */
#define BENCH_RUN_SIZE 14u

struct bench_method {
    const char *name;
    const char *also; /* NULL: nothing */
    enum load_ridd_via via;
    enum load_kind kind;
    unsigned write_percent;
    bool linearizable;
    bool any_node; /* each node answers it */
};

/* What a node says of itself; counters since its start. */
struct bench_node {
    bool known;   /* it answered */
    bool process; /* it tells what the kernel counts; older nodes do not */
    bool leads;
    char name[NODE_NAME_BYTES_MAX + 1];
    char cluster[NODE_NAME_BYTES_MAX + 1];
    uint64_t pid;
    uint64_t uptime_ms;
    uint64_t rss_bytes;
    uint64_t applied_index;
    uint64_t commit_index;
    uint64_t fsyncs;
    uint64_t log_bytes;
    uint64_t rounds;
    uint64_t cpu_us;
    uint64_t voluntary;
    uint64_t involuntary;
    uint64_t frames;
    uint64_t peer_bytes;
    bool calls_known; /* the node runs on this host, and /proc tells */
    uint64_t calls;   /* read(2), write(2) and their kin */
};

/* One round of --failover. */
struct bench_round {
    uint64_t
        write_ns; /* from the kill to the first write that began after it and was acknowledged */
    uint64_t read_ns;
    char killed[NODE_NAME_BYTES_MAX + 1];
};

struct tls_ctx;

struct bench {
    /* The command line. */
    const char *endpoints;
    const char *config;
    const struct bench_method *method;
    unsigned n_connections;
    unsigned in_flight;
    unsigned n_threads;
    double seconds;
    double warm_s; /* below 0: not given */
    double rate;
    bool poisson;
    unsigned n_keys;
    double zipf;
    unsigned value_bytes;
    unsigned write_percent; /* UINT_MAX: not given */
    unsigned n_of;
    unsigned max_stale_ms;
    unsigned timeout_ms;
    uint64_t seed;
    bool spread;
    bool keep;
    bool json;
    bool csv;
    bool check;
    const char *save; /* where a history that is wrong is drawn */
    bool failover;
    const char *kill;
    const char *restart;
    unsigned n_rounds;
    struct keyring keyring;
    bool handshakes;
    bool quiet;
    bool verbose;

    char *addresses[RIDD_ENDPOINTS_MAX]; /* owned; the leader is the first, where it is known */
    unsigned n_addresses;
    char cluster[NODE_NAME_BYTES_MAX + 1]; /* as the configuration has it; "": nobody says */
    char run[BENCH_RUN_SIZE];
    char prefix[sizeof(BENCH_PREFIX) + BENCH_RUN_SIZE + 1];

    struct ridd_tls tls;     /* of the keyring; borrowed */
    struct tls_ctx *tls_ctx; /* owned; NULL: none */
    struct load_secure secure;
    char hello[CALL_TOKEN_BYTES_MAX + 64]; /* the line with the token */
    struct load_plan plan;
    struct load *load; /* owned */
    struct bench_node before[RIDD_ENDPOINTS_MAX];
    struct bench_node after[RIDD_ENDPOINTS_MAX];
    struct bench_round *rounds; /* owned */
    unsigned n_rounds_done;
    struct check_verdict verdict; /* of --check */
    uint64_t n_left;              /* keys that could not be removed */
    uint64_t n_others;            /* keys of other runs */
    bool over;                    /* atomic: --failover is through */
    bool interrupted;
    unsigned n_progress;
    bool drawn; /* a line of progress stands on the terminal */
};

int bench_report(const struct bench *b, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- ridbench_nodes.c ---- */

/* Fills addresses from the command line, or a configuration. */
int bench_find(struct bench *b);
/* Puts the leader first; NOBODY: no node answers. */
int bench_find_leader(struct bench *b);

/* What all of them say now. */
void bench_ask_nodes(const struct bench *b, struct bench_node *ret);
/* The difference, where the node was not started anew between; false: it is not known. */
bool bench_node_cost(const struct bench *b, unsigned i, struct bench_node *ret);

/* ---- ridbench_tls.c ---- */

/* What TLS needs, of b->tls, into the plan. */
int bench_secure(struct bench *b);
void bench_secure_done(struct bench *b);
/* ridd_open() with all that. */
int bench_dial(const struct bench *b, const char *endpoints, const struct ridd_options *options,
               struct ridd **ret_client);

/* ---- ridbench_failover.c ---- */

int bench_failover(struct bench *b);
/* After it: median, 99th percentile and the longest of one of its times. */
void bench_failover_times(const struct bench *b, bool writes, uint64_t *ret_median_ns,
                          uint64_t *ret_p99_ns, uint64_t *ret_max_ns);

/* ---- ridbench_keys.c ---- */

/* Refuses where keys below the prefix are not of bench; removes what old runs have left. */
int bench_prepare(struct bench *b);
/* A key of bench at all, and when its run began. */
bool bench_key_is_own(const char *key, const char *value, uint64_t *ret_begun_s);

/* ---- ridbench_report.c ---- */

int bench_print(const struct bench *b);

#endif
