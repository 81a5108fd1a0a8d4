/* What a node knows of itself, in numbers: one plain struct, for whoever shows it.
 *
 * For: /metrics, and all else that wants figures without asking the node's parts one by one.
 * Not for: decisions; nothing here is looked at by the node itself.
 * Units: microseconds, bytes; counters since the process started.
 * Ownership: copied whole; nothing in it points anywhere. Some 100 kB: not for a stack of a thread.
 * Errors: none. What is not known is 0, and a `known` beside it says so where 0 means something.
 * Thread: engine_get_metrics() on the loop; it takes some microseconds, opens no transaction, walks
 * through no log and asks no file system.
 * Source: docs/ARCHITECTURE.md, "What is measured". */
#ifndef RIDD_ENGINE_METRICS_H
#define RIDD_ENGINE_METRICS_H

#include "base/histogram.h"
#include "engine/engine.h"
#include "service/stages.h"

/* clang-format off */
/* Why another leader became known here than before. */
#define ENGINE_LEADER_CHANGES(X)                                                                   \
    X(FIRST,       "first")       /* none was known since this process started */                  \
    X(SILENCE,     "silence")     /* the one before was not heard any more */                      \
    X(GONE,        "gone")        /* nobody listened any more where the one before was */          \
    X(TRANSFER,    "transfer")    /* it was heard until the end: it handed over */                 \
    X(QUORUM_LOST, "quorum_lost") /* it was this node, which heard no quorum any more */           \
    X(UNFIT,       "unfit")       /* it was this node, and its state or disk was not fit to */     \
    X(TERM,        "term")        /* it was this node, and met a higher term */
/* clang-format on */
enum engine_leader_change {
#define ENGINE_LEADER_CHANGE(name, text) ENGINE_LEADER_CHANGE_##name,
    ENGINE_LEADER_CHANGES(ENGINE_LEADER_CHANGE)
#undef ENGINE_LEADER_CHANGE
};
#define ENGINE_N_LEADER_CHANGES (ENGINE_LEADER_CHANGE_TERM + 1u)
const char *engine_leader_change_name(enum engine_leader_change reason);

struct engine_peer_metrics {
    raft_node_id id;
    char name[NODE_NAME_BYTES_MAX + 1];
    bool voter;
    bool connected;
    /* The rest of a leader only; the others do not know. */
    bool heard;              /* within an election timeout */
    uint64_t behind_entries; /* RAFT_BEHIND_UNKNOWN: nothing of its log is known */
    uint64_t rtt_us;         /* 0: not measured */
    uint64_t heard_us_ago;
    bool drift_known;
    int32_t drift_ppm;
    /* How long its disk took with what it acknowledged, as it says, when that was long last, and
     * how long ago; 0: it never was. */
    uint64_t fsync_us;
    uint64_t fsync_us_ago;
    /* A snapshot on its way there: total 0: none is. */
    uint64_t snapshot_acked_bytes;
    uint64_t snapshot_bytes;
};

struct engine_metrics {
    char node[NODE_NAME_BYTES_MAX + 1];
    enum raft_role role;
    raft_term term;
    char leader[NODE_NAME_BYTES_MAX + 1]; /* "": none is known */
    bool can_serve;
    raft_index commit_index;
    raft_index applied_index;
    raft_index last_index;
    raft_index stored_index;
    raft_index base_index; /* the log begins behind it */

    /* ---- requests ---- */
    struct service_counts requests;
    uint64_t slow_threshold_us;
    uint64_t n_waiting;   /* now: for a leader, or a write of their own connection */
    uint64_t n_in_round;  /* now */
    uint64_t n_asking;    /* now: for the word of a leader */
    uint64_t n_confirmed; /* now: for the state */
    uint64_t n_proposed;  /* now */

    /* ---- rounds, leases, questions ---- */
    uint64_t rounds_opened;
    uint64_t rounds_confirmed;
    struct histogram round_reads; /* reads of each round that was confirmed, not empty */
    uint64_t lease_reads;
    bool lease_wanted; /* by the configuration */
    bool lease_valid;
    uint64_t lease_fallbacks[REPLICA_N_FALLBACKS];
    uint64_t asks_sent;
    uint64_t asks_by_ack;
    uint64_t asks_by_lease;
    uint64_t asks_by_round;

    /* ---- leaders ---- */
    uint64_t leader_changes[ENGINE_N_LEADER_CHANGES];
    uint64_t early_campaigns;
    uint64_t leaderless_us; /* in all, with what lasts now */
    /* Of elections that this node won: from when it last heard a leader, to the first commit that
     * it served. */
    struct histogram failover_us;

    /* ---- disk ---- */
    struct histogram fsync_us;
    uint64_t n_fsyncs;
    uint64_t n_fsyncs_slow;
    uint64_t log_written_bytes;
    uint64_t log_bytes;
    uint64_t log_room_bytes; /* that certainly can be written */
    uint64_t log_queued_bytes;
    uint64_t log_segments;

    /* ---- state ---- */
    uint64_t state_keys;
    uint64_t state_bytes; /* as they count of the limit */
    uint64_t state_limit_bytes;
    uint64_t sessions;
    char full[16];    /* "log", "state", "quota", "nodes"; "": nothing is */
    char verdict[16]; /* "good", "checking", "differs", "damaged", "rebuilding" */
    uint64_t n_digest_alarms;
    unsigned scrub_percent;
    uint64_t disk_free_bytes; /* known while the state is full: 0 otherwise */

    /* ---- snapshots ---- */
    bool has_snapshots;
    raft_index snapshot_index; /* of the newest; 0: none */
    uint64_t snapshot_bytes;
    uint64_t snapshot_age_us;
    uint64_t snapshots_made;
    uint64_t snapshots_failed;
    uint64_t snapshots_sent;
    uint64_t snapshots_installed;
    bool snapshot_making;
    uint64_t snapshot_made_bytes;      /* of the one that is being made */
    uint64_t snapshot_making_bytes;    /* of them so many, about */
    uint64_t snapshot_received_bytes;  /* of one that is on its way here */
    uint64_t snapshot_receiving_bytes; /* 0: none is */

    /* ---- members ---- */
    unsigned n_voters;
    unsigned n_voters_heard; /* of a leader */
    unsigned n_learners;
    bool transferring;
    unsigned n_peers;
    struct engine_peer_metrics peers[RAFT_SERVERS_MAX];
};

/* After engine_open(). */
void engine_get_metrics(struct engine *e, struct engine_metrics *ret);

#endif
