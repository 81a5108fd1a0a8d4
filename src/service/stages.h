/* What requests cost in time and how they ended: counted by operation and by stage.
 *
 *   arrived ──queue──► begun ──quorum──► confirmed ──apply──► applied ──execute──► replied
 *
 *   queue    until its round was opened, its question was sent, its entry was appended
 *   quorum   until a quorum has confirmed it, the leader has answered, its entry was committed
 *   apply    until all that it must show, or its own entry, was applied here
 *   execute  until the reply was written
 *
 * For: status of a node in figures: the `slow` request, /metrics.
 * Not for: any decision. Which operation is slow and why is slow.h's.
 * Units: microseconds of the loop's monotonic clock, counts.
 * Ownership: plain values.
 * Errors: none. An operation that fails is counted with its error, and its times are not.
 * Thread: one, that of the service.
 * Source: the `slow` request of ridd-protocol(7). */
#ifndef RIDD_SERVICE_STAGES_H
#define RIDD_SERVICE_STAGES_H

#include "base/histogram.h"
#include "wire/errors.h"

/* clang-format off */
/* By what was promised, whatever the request was called: a `read` counts as what it was answered
 * by. A page and a batch of keys are operations of their own: they cost more than one key. */
#define SERVICE_OPS(X)                \
    X(READ_INDEX,    "read_index")    \
    X(READ_VIA_LOG,  "read_via_log")  \
    X(LEASE_READ,    "lease_read")    \
    X(FOLLOWER_READ, "follower_read") \
    X(BOUNDED_READ,  "bounded_read")  \
    X(LOCAL_READ,    "local_read")    \
    X(BATCH,         "batch")         \
    X(SCAN,          "scan")          \
    X(WRITE,         "write")
#define SERVICE_STAGES(X)   \
    X(QUEUE,   "queue")     \
    X(QUORUM,  "quorum")    \
    X(APPLY,   "apply")     \
    X(EXECUTE, "execute")
/* clang-format on */
enum service_op {
#define SERVICE_OP(name, text) SERVICE_OP_##name,
    SERVICE_OPS(SERVICE_OP)
#undef SERVICE_OP
};
#define SERVICE_N_OPS (SERVICE_OP_WRITE + 1u)
enum service_stage {
#define SERVICE_STAGE(name, text) SERVICE_STAGE_##name,
    SERVICE_STAGES(SERVICE_STAGE)
#undef SERVICE_STAGE
};
#define SERVICE_N_STAGES (SERVICE_STAGE_EXECUTE + 1u)
const char *service_op_name(enum service_op op);
const char *service_stage_name(enum service_stage stage);

/* Since the process started. What stands in the service lacks the stages that took no time at all:
 * service_get_counts() has them. */
struct service_counts {
    struct histogram stages[SERVICE_N_OPS][SERVICE_N_STAGES]; /* of those that were answered */
    struct histogram total[SERVICE_N_OPS];                    /* likewise */
    uint64_t results[SERVICE_N_OPS][WIRE_N_ERRORS];           /* [WIRE_ERROR_NONE]: answered */
    uint64_t rejections[WIRE_N_ERRORS]; /* all error replies, of whatever request */
    uint64_t n_slow;                    /* operations that were kept as slow */
};

/* So many operations were counted: those that are not in h took no time there. */
void service_complete(struct histogram *h, uint64_t n);
/* The last half minute to minute of it: what was counted is kept as it was, twice. */
struct service_window {
    uint64_t begun_us; /* of the newer half minute; 0: never yet */
    unsigned newer;
    struct histogram stages[2][SERVICE_N_OPS][SERVICE_N_STAGES];
    struct histogram total[2][SERVICE_N_OPS];
};
/* Now and then: a half minute is over, or not. */
void service_window_turn(struct service_window *w, const struct service_counts *counts,
                         uint64_t now_us);
/* What came lately of one operation; stage SERVICE_N_STAGES: of all of it. */
void service_window_get(const struct service_window *w, const struct service_counts *counts,
                        enum service_op op, unsigned stage, struct histogram *ret);

#endif
