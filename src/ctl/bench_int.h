/* `ridctl bench`: what its parts share. bench_keys.c fills keys of its own before and removes them
 * afterwards, bench_run.c makes the load and looks at every answer, bench_report.c prints.
 *
 * For: one honest figure of a cluster from one client process, at a time at which somebody waits.
 * Not for: finding the most that a cluster can do, which takes more than one client host.
 * Units: microseconds, bytes.
 * Ownership: struct bench owns everything that is marked so until bench_done().
 * Errors: exit codes; on failure it has been reported.
 * Thread: one.
 * Source: ridctl(1), bench; rules DOCTOR-4, DOCTOR-5. */
#ifndef RIDD_CTL_BENCH_INT_H
#define RIDD_CTL_BENCH_INT_H

#include "base/histogram.h"
#include "base/prng.h"
#include "client/ridd_async.h"
#include "ctl/ctl_int.h"

#define BENCH_PREFIX "bench/"
/* bench/RUN/000017, RUN being when it began and by which chance: 65f1a2b3-9c0d */
#define BENCH_KEY_SIZE 32u
#define BENCH_RUN_SIZE 14u

enum bench_kind { BENCH_READ = 0, BENCH_WRITE = 1 };

/* What is known of one key, by the number that its value carries. At most one write of a key is
 * under way, so that numbers are applied in their order. */
struct bench_key {
    uint32_t begun; /* the highest that may be there */
    uint32_t done;  /* the least that must be there */
    bool writing;
    bool loose; /* the outcome of a write is not known: it may come late, over a later one */
};

struct bench_side {
    struct histogram us;
    uint64_t last_us;    /* when one succeeded last, measured; 0: none yet */
    uint64_t longest_us; /* between two that succeeded, or to the end */
    uint64_t longest_at_us;
};

/* Sums over all nodes. */
struct bench_cost {
    bool known;
    uint64_t fsyncs;
    uint64_t rounds;
    uint64_t log_bytes;
};

struct bench;
struct bench_call {
    struct bench *bench;
    struct bench_client *client;
    enum bench_kind kind;
    unsigned key;
    uint32_t number; /* write: what it writes; read: the least that it must find */
};
struct bench_client {
    struct ridd *ridd; /* owned */
};

struct bench {
    struct ctl *ctl;
    struct ridd *ridd; /* owned: for what is not measured */
    const char *method;
    enum ridd_via via;
    unsigned write_percent;
    bool linearizable; /* its reads promise it */
    unsigned n_clients;
    unsigned in_flight;
    unsigned seconds;
    uint64_t run_us; /* the same */
    unsigned n_keys;
    unsigned value_bytes;
    char run[BENCH_RUN_SIZE];

    struct bench_key *keys; /* owned */
    char *padding;          /* owned */
    struct bench_client *clients;
    struct bench_call *calls; /* owned: n_clients times in_flight */
    struct prng prng;

    bool measuring;
    bool ending;
    uint64_t begun_us; /* of what is measured */
    uint64_t end_us;
    struct bench_side sides[2];
    uint64_t errors[RIDD_NO_MEMORY + 1];
    uint64_t n_errors;
    uint64_t n_wrong;
    uint64_t n_absent;               /* reads that promise little and did not know the key yet */
    char wrong[RIDD_TEXT_SIZE + 64]; /* the first, in words */
    struct ridd_reply *failed;       /* owned: the last that failed */
    uint64_t cpu_us;
    bool interrupted;
    struct bench_cost before;
    struct bench_cost after;
    uint64_t n_others; /* keys of other runs */
    uint64_t n_left;   /* keys that could not be removed */
};

/* ---- bench_judge.c ---- */

void bench_key_name(const struct bench *b, unsigned key, char ret[BENCH_KEY_SIZE]);
/* A key of bench at all, and when its run began. */
bool bench_key_is_own(const char *key, const char *value, uint64_t *ret_begun_s);
/* The value with this number, JSON; the caller frees. NULL: no memory. */
char *bench_value(const struct bench *b, unsigned key, uint32_t number);
/* False: it is not one of that key. */
bool bench_value_number(const struct bench *b, unsigned key, const char *string,
                        uint32_t *ret_number);
/* What an answer proves wrong, into b. Of a read that began when number was the least. */
void bench_judge(struct bench *b, const struct bench_call *call, const struct ridd_reply *r);

/* ---- bench_keys.c ---- */

/* Refuses where keys below the prefix are not of bench; removes what old runs have left. */
int bench_prepare(struct bench *b);
/* Writes each key once. */
int bench_fill(struct bench *b);
/* Removes them; what could not be is counted. */
void bench_remove(struct bench *b);

/* ---- bench_run.c ---- */

int bench_run(struct bench *b);
void bench_look_at_cost(const struct bench *b, struct bench_cost *ret);
/* SIGINT and SIGTERM end what is measured; a second one ends all. */
void bench_catch_signals(void);
bool bench_was_signalled(void);

/* ---- bench_report.c ---- */

int bench_report(const struct bench *b);

#endif
