/* One run of compare_read_methods, shared by the file that drives it (compare.c) and the file that
 * measures and judges it (compare_measure.c). */
#ifndef RIDD_SERVICE_COMPARE_INT_H
#define RIDD_SERVICE_COMPARE_INT_H

#include "service/service_int.h"

#define COMPARE_METHODS 3u

enum compare_method { COMPARE_INDEX, COMPARE_LOG, COMPARE_LOCAL };

struct compare_method_run {
    bool wanted;
    uint32_t warm_up_left;
    uint32_t left; /* counted reads not begun */
    uint32_t n;    /* counted reads done */
    uint32_t *us;  /* owned; one per counted read */
    uint64_t sum_us;
    uint64_t n_entries; /* log entries its counted reads cost */
    uint64_t n_batches; /* log batches, one fdatasync each on this node, that held a marker of it */
    uint64_t last_turn; /* the turn in which its last marker was proposed */
    uint64_t n_rounds;  /* distinct rounds that confirmed its counted reads */
    uint64_t last_round;
    uint64_t n_stale;
};

/* One read under way. */
struct compare_read {
    struct replica_request rr;
    struct compare *compare;
    enum compare_method method;
    bool counted;
    bool busy;
    uint64_t begun_us;
    uint64_t acked; /* when it began */
    raft_term term; /* when it began */
    uint64_t turn;
};

struct compare {
    struct service *service;        /* borrowed */
    struct request *req;            /* borrowed; NULL when its client went away */
    struct replica_session session; /* the writer's own: reads set no floor by it */
    struct compare_method_run methods[COMPARE_METHODS];
    uint32_t concurrency;
    uint32_t total;
    uint32_t done;
    uint64_t proposed;
    uint64_t acked;
    uint64_t begun_us; /* first counted read */
    raft_term term;    /* of the whole run: that of the first write */
    bool is_right;     /* no violation yet */
    bool stopping;     /* nothing new begins */
    bool filling;      /* in fill(): completions do not recurse */
    bool writer_busy;
    struct replica_failure failure; /* of the run; error NONE: none */
    struct replica_request writer;
    unsigned char command[256];
    struct wire_key key;
    unsigned n_busy;
    struct compare_read reads[];
};

/* ---- compare_measure.c ---- */

/* 0 or -ENOMEM; compare_measure_done() in both cases. */
int compare_measure_init(struct compare *c, uint32_t num_reads, bool with_local);
void compare_measure_done(struct compare *c);
/* Which method next, at random, by how many reads each still owes. False: none owes any. */
bool compare_pick(struct compare *c, enum compare_method *ret_method, bool *ret_counted);
/* Holds one answer against what was known when its read began. False: the state could not be read,
 * so there is nothing to be judged. */
bool compare_judge(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view);
/* For a read that cannot be judged, and nothing says why. */
void compare_unread(struct compare *c);
/* Adds a read that counts to what its method did. */
void compare_count(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view);
void compare_reply(struct compare *c, struct buf *out);

#endif
