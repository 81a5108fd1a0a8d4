/* One run of compare_read_methods, shared by the file that drives it (compare.c), the one that
 * judges it (compare_judge.c) and the one that measures and reports it (compare_measure.c). */
#ifndef RIDD_SERVICE_COMPARE_INT_H
#define RIDD_SERVICE_COMPARE_INT_H

#include "service/service_int.h"

enum compare_method {
    COMPARE_INDEX,
    COMPARE_LOG,
    COMPARE_LEASE,
    COMPARE_FOLLOWER,
    COMPARE_BOUNDED,
    COMPARE_LOCAL,
};
#define COMPARE_METHODS 6u

/* What an answer of a method must be held against. */
enum compare_promise { COMPARE_LINEARIZABLE, COMPARE_BOUND, COMPARE_NOTHING };

struct compare_kind {
    const char *name;
    unsigned bit; /* in `methods` */
    enum replica_kind kind;
    bool by_leader; /* only a leader answers */
    enum compare_promise promise;
};
extern const struct compare_kind compare_kinds[COMPARE_METHODS];

/* What reads cost this node: all that it did meanwhile. */
struct compare_cost {
    uint64_t reads;
    uint64_t messages;
    uint64_t rounds;
    uint64_t asks;
    uint64_t entries;
    struct service_costs host;
};

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
    uint64_t n_wrong;     /* answers that broke its promise */
    uint64_t n_fallbacks; /* lease reads, counted, that were answered without a lease */
    bool has_cost;
    struct compare_cost cost;
};

/* One read under way. */
struct compare_read {
    struct replica_request rr;
    struct compare *compare;
    enum compare_method method;
    bool counted;
    bool busy;
    uint64_t begun_us;
    /* When it began: the highest number that was acknowledged, or that an answer had shown; and the
     * highest index that was known here to be committed. */
    uint64_t acked;
    raft_index commit;
    raft_term term; /* when it began */
    uint64_t turn;
};

/* What this node knew at that time. */
struct compare_fact {
    uint64_t us;
    uint64_t acked;
    raft_index commit;
};

struct compare {
    struct service *service;        /* borrowed */
    struct request *req;            /* borrowed; NULL when its client went away */
    struct replica_session session; /* the writer's own: reads set no floor by it */
    struct compare_method_run methods[COMPARE_METHODS];
    uint32_t concurrency;
    uint32_t total;
    uint32_t done;
    uint64_t max_stale_us; /* of the bounded reads */
    uint64_t proposed;
    uint64_t acked;
    uint64_t seen;     /* the highest number that a linearizable read has shown */
    uint64_t n_seen;   /* how often it rose */
    uint64_t begun_us; /* first counted read */
    raft_term term;    /* of the whole run: that of the first write */
    bool writes;       /* this node leads, and keeps writing */
    bool is_right;     /* no violation yet */
    bool stopping;     /* nothing new begins */
    bool filling;      /* in fill(): completions do not recurse */
    bool writer_busy;
    struct replica_failure failure; /* of the run; error NONE: none */
    struct replica_request writer;
    unsigned char command[256];
    struct wire_key key;
    unsigned n_busy;

    struct compare_fact *facts; /* owned; COMPARE_FACTS of them, the oldest is overwritten */
    uint64_t n_facts;           /* ever */

    /* Each method alone, without the writer, when all else is done. */
    bool with_cost; /* some of it is left */
    bool costing;   /* the reads of one are under way */
    enum compare_method cost_method;
    uint32_t cost_left;
    struct compare_cost cost_before;
    struct raft_status before; /* of the whole run */

    struct compare_read reads[];
};

/* ---- compare_judge.c ---- */

/* Now this is known here, with c->acked: to be called before a read begins, and when a write was
 * acknowledged. */
void compare_learn(struct compare *c, raft_index commit);
/* Holds one answer against what was known when its read began. False: the state could not be read,
 * so there is nothing to be judged. */
bool compare_judge(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view);
/* For a read that cannot be judged, and nothing says why. */
void compare_unread(struct compare *c);

/* ---- compare_measure.c ---- */

/* methods: bits of wire_via. 0 or -ENOMEM; compare_measure_done() in both cases. */
int compare_measure_init(struct compare *c, uint32_t num_reads, unsigned methods);
void compare_measure_done(struct compare *c);
/* Which method next, at random, by how many reads each still owes. False: none owes any. */
bool compare_pick(struct compare *c, enum compare_method *ret_method, bool *ret_counted);
/* When none owes any: the next read of those whose cost is measured. False: not now, or no more. */
bool compare_pick_cost(struct compare *c, enum compare_method *ret_method);
/* Adds a read that counts to what its method did. */
void compare_count(struct compare *c, const struct compare_read *read,
                   const struct replica_view *view);

/* ---- compare_report.c ---- */

void compare_reply(struct compare *c, struct buf *out);

#endif
