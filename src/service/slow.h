/* Which operations took long, and why; and how the last of each kind went, step by step.
 *
 * An operation is exceptional when it took longer than the threshold, whether it was answered or
 * failed. Of one the stage that took most of its time is named, and what held that stage up, if
 * that is known: a cause that is a guess is not told (SEE-3). No key and no value is kept (SEE-1).
 *
 * For: the `slow` request, the event slow_op, the status page.
 * Not for: sums and quantiles: stages.h.
 * Units: microseconds of the loop's monotonic clock; unix_us since 1970.
 * Ownership: plain values. Names of nodes are copied: members come and go.
 * Errors: none.
 * Thread: one, that of the service.
 * Source: ridd-protocol(7). */
#ifndef RIDD_SERVICE_SLOW_H
#define RIDD_SERVICE_SLOW_H

#include "raft/types.h"
#include "service/stages.h"

struct service_slow_op {
    uint64_t seq; /* from 1 */
    uint64_t unix_us;
    enum service_op op;
    uint64_t us[SERVICE_N_STAGES];
    uint64_t total_us;
    enum service_stage stage;
    char peer[NODE_NAME_BYTES_MAX + 1]; /* "": nobody's fault */
    char why[SLOW_WHY_BYTES_MAX + 1];
    raft_index index; /* of a write, or what a read was answered from; 0: it did not come so far */
    enum wire_error result; /* NONE: it was answered */
};

/* A ring. */
struct service_slow {
    uint64_t threshold_us; /* UINT64_MAX: nothing is exceptional */
    uint64_t n;            /* ever */
    uint64_t window_us;    /* when it began, and what looking for causes has taken in it */
    uint64_t spent_us;
    struct service_slow_op ops[SLOW_KEPT_MAX];
};

/* clang-format off */
/* What happened on the way of an operation. */
#define SERVICE_STEPS(X)                                                                          \
    X(ARRIVED,      "arrived")      /* its line was read */                                       \
    X(ROUND_SENT,   "round_sent")   /* its round was opened */                                    \
    X(ASK_SENT,     "ask_sent")     /* its question left for the leader */                        \
    X(APPENDED,     "appended")     /* its entry is in the log of the leader, not yet on disk */  \
    X(LEASE_LOOKED, "lease_looked") /* the lease was found valid */                               \
    X(ACKNOWLEDGED, "acknowledged") /* by that node: the round; that its disk has the entry */    \
    X(STORED,       "stored")       /* the own disk has the entry */                              \
    X(QUORUM,       "quorum")       /* the round is confirmed, the entry is committed */          \
    X(ANSWERED,     "answered")     /* the leader has answered the question */                    \
    X(APPLIED,      "applied")      /* the state holds all that it must show */                   \
    X(REPLIED,      "replied")      /* the reply is written */
/* clang-format on */
enum service_step {
#define SERVICE_STEP(name, text) SERVICE_STEP_##name,
    SERVICE_STEPS(SERVICE_STEP)
#undef SERVICE_STEP
};
const char *service_step_name(enum service_step step);

/* One acknowledgement of each server, and each other step once. */
#define SERVICE_STEPS_MAX (RAFT_SERVERS_MAX + SERVICE_STEP_REPLIED + 1u)
struct service_last {
    uint64_t due_us; /* when it is kept anew; 0: there is none yet */
    uint64_t unix_us;
    uint64_t total_us;
    unsigned n_steps;
    struct {
        enum service_step what;
        raft_node_id peer; /* 0: this node */
        uint64_t at_us;    /* from its arrival */
    } steps[SERVICE_STEPS_MAX];
};

#endif
