/* What the answers of all nodes say together: is the cluster well?
 *
 * For: the first line of `ridctl status`, its exit code, and one sentence per node that is not
 * well.
 * Not for: asking anybody, and printing.
 * Units: as in the status reply that ridd-protocol(7) describes; survives counts nodes.
 * Ownership: borrows everything that it is given; the verdict holds copies.
 * Errors: none. Whatever a reply holds is taken as it is: a field that is missing is an older
 * node's, and says nothing.
 * Thread: pure, any thread.
 * Source: STATUS-1, STATUS-2, STATUS-4, STATUS-5; ridctl(1). */
#ifndef RIDD_VERDICT_VERDICT_H
#define RIDD_VERDICT_VERDICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "client/ridd.h"

/* Number, as a person reads it, as a program does. OK: every node that was
 * named, and every member, answered, is linked, and has nothing to complain about. DEGRADED: a
 * leader hears a quorum, and something is wrong all the same. NO QUORUM: no leader that hears a
 * quorum was found. SPLIT: nodes answered that belong to different clusters, or two lead in one
 * term; what is wrong then is not mended by waiting. */
/* clang-format off */
#define VERDICTS(X)                                 \
    X(VERDICT_OK,        0, "OK",        "ok")        \
    X(VERDICT_DEGRADED,  1, "DEGRADED",  "degraded")  \
    X(VERDICT_NO_QUORUM, 2, "NO QUORUM", "no_quorum") \
    X(VERDICT_SPLIT,     3, "SPLIT",     "split")

/* Why a node is not well: number, as a program reads it. In the order of their weight, and of each
 * node they stand in that order. */
#define VERDICT_REASONS(X)                     \
    X(VERDICT_UNREACHABLE,   0, "unreachable")   \
    X(VERDICT_BUSY,          1, "busy")          \
    X(VERDICT_OTHER_CLUSTER, 2, "other_cluster") \
    X(VERDICT_TWO_LEADERS,   3, "two_leaders")   \
    X(VERDICT_REFUSED,       4, "refused")       \
    X(VERDICT_NOT_MEMBER,    5, "not_a_member")  \
    X(VERDICT_STALE_LEADER,  6, "stale_leader")  \
    X(VERDICT_NO_LEADER,     7, "no_leader")     \
    X(VERDICT_NOT_HEARD,     8, "not_heard")     \
    X(VERDICT_NOT_SERVING,   9, "not_serving")   \
    X(VERDICT_DAMAGED,      10, "damaged")       \
    X(VERDICT_DIFFERS,      11, "differs")       \
    X(VERDICT_REBUILDING,   12, "rebuilding")    \
    X(VERDICT_CHECKING,     13, "checking")      \
    X(VERDICT_UNFIT,        14, "unfit")         \
    X(VERDICT_NO_SPACE,     15, "no_space")      \
    X(VERDICT_PARKED,       16, "parked")        \
    X(VERDICT_DISK_SLOW,    17, "disk_slow")     \
    X(VERDICT_SNAPSHOT,     18, "snapshot_failed") \
    X(VERDICT_CATCHING_UP,  19, "catching_up")   \
    X(VERDICT_BEHIND,       20, "behind")        \
    X(VERDICT_WARNING,      21, "warning")

/* What a node is of the cluster, by the leader's configuration: number, as a program reads it.
 * UNKNOWN: no leader answered, or it is not known who the node is. */
#define VERDICT_PLACES(X)           \
    X(VERDICT_UNKNOWN,   0, NULL)     \
    X(VERDICT_VOTER,     1, "voter")   \
    X(VERDICT_LEARNER,   2, "learner") \
    X(VERDICT_NO_MEMBER, 3, "no_member")
/* clang-format on */
#define VERDICT_ENUM(name, number, ...) name = number,
enum verdict_kind { VERDICTS(VERDICT_ENUM) };
enum verdict_why { VERDICT_REASONS(VERDICT_ENUM) };
enum verdict_place { VERDICT_PLACES(VERDICT_ENUM) };
const char *verdict_text(enum verdict_kind kind);
const char *verdict_name(enum verdict_kind kind); /* in JSON */
const char *verdict_why_name(enum verdict_why why);
const char *verdict_place_name(enum verdict_place place); /* NULL: unknown */

/* One node, as it answered or did not. */
struct verdict_node {
    const char *name; /* "": not known */
    const char *endpoint;
    const json_t *status; /* its status_ok; NULL: there is none */
    /* Without a status: how it failed. RIDD_BUSY is a node that lives. */
    enum ridd_status failure;
    const char *text;
};

struct verdict_reason {
    char node[NODE_NAME_BYTES_MAX + 1]; /* "": not known; then the endpoint says which */
    const char *endpoint;               /* borrowed; "": a member that nobody could be asked for */
    enum verdict_why why;
    char text[VERDICT_TEXT_BYTES + 1];
};

struct verdict {
    enum verdict_kind kind;
    unsigned n_nodes;    /* without those that have left */
    uint64_t left;       /* a bit for each node that was named, is silent and no member, says the
                          * leader: nobody misses it */
    unsigned n_answered; /* with a status, or that they are busy */
    unsigned n_busy;     /* of those */
    unsigned n_voters;   /* as the leader says, else whoever answered; 0: nobody did */
    int survives;        /* nodes that may fail before there is no quorum; -1: not known */
    unsigned n_to_start; /* voters that must run before there can be a quorum; 0: enough do, or it
                          * is not known */
    const char *wanted;  /* borrowed: the cluster that was meant, if nodes answered and none is of
                          * it; else NULL */
    char found[NODE_NAME_BYTES_MAX + 1];  /* then: theirs, if it is one; "": they are of several */
    char leader[NODE_NAME_BYTES_MAX + 1]; /* "": none is known */
    bool leader_answered;                 /* as one that leads */
    bool leader_denies;                   /* it answered, and says that it does not lead */
    json_int_t term;                      /* of that leader, else the highest that was seen */
    unsigned n_reasons;
    struct verdict_reason reasons[VERDICT_REASONS_MAX];
    enum verdict_place places[RIDD_ENDPOINTS_MAX]; /* of the nodes, in their order */
};

/* n is at most RIDD_ENDPOINTS_MAX. cluster: the name that the nodes' cluster should have, as a
 * configuration gives it that names all of them; NULL: any. */
void verdict_judge(const struct verdict_node *nodes, unsigned n, const char *cluster,
                   struct verdict *ret);
/* The first line, without the newline. */
void verdict_line(const struct verdict *v, char *ret_text, size_t size);

#endif
