/* One replica of one group: the core, a log and a state machine joined; the turn that handles
 * `ready`; the queues of waiting requests.
 *
 * For: every host of the protocol. The daemon, the Maelstrom node, the simulator and the fuzzers
 * link the same code and give it tables of functions. It decides when a request is answered and
 * with what right.
 * Not for: libevent, files, LMDB, clocks, JSON. What an answer looks like is service.h's.
 * Units: monotonic microseconds, given by the caller; an earlier one than before counts as that
 * one.
 * Ownership: requests are structs of the host, linked into queues here until exactly one of their
 * callbacks is called: served, written or failed. A callback may free its request, submit new ones
 * and cancel others; it may not call replica_turn(). What a view points at holds during the
 * callback.
 * Errors: a request fails by its callback. A state that is damaged is made again (FIT-6, FIT-7).
 * All else that log or state report is final: it goes to ops.fatal, which must not return in a
 * daemon; after it the replica does nothing any more. What a callback tells was committed before,
 * so it may leave even then.
 * Thread: one.
 * Source: dissertation 6.4 and 10.2.1; READ-1 (what gives a read its right), READ-16, READ-17 (loss
 * before completion), READ-60 (a read of the log sees exactly its index).
 *
 * Requests of one session are proposed in the order submitted, and a read of any kind sees every
 * write submitted before it on its session (READ-58). */
#ifndef RIDD_REPLICA_REPLICA_H
#define RIDD_REPLICA_REPLICA_H

#include "base/heap.h"
#include "base/histogram.h"
#include "base/list.h"
#include "raft/raft.h"
#include "replica/trail.h"
#include "wire/command.h"
#include "wire/errors.h"

struct replica;
struct replica_request;

/* Of the state's functions: no room, nothing was done, it may be tried again. All others that are
 * not 0 are final. */
#define REPLICA_STATE_E_FULL 1
/* Of ops.state_rebuild alone: what the state is to be made of is not there yet. */
#define REPLICA_STATE_E_LATER 64

/* Why nothing may be appended for a request. */
struct replica_no_space {
    const char *what; /* "log", "state", "quota"; "nodes": so many voters lack room or are away */
    uint64_t used;
    uint64_t limit;
};
/* Why may_propose says no. NO_SPACE; NOT_SUPPORTED: `behind` is not known to understand it; BUSY:
 * it is not known yet. */
struct replica_refusal {
    enum wire_error error;
    struct replica_no_space space; /* NO_SPACE */
    raft_node_id behind;           /* NOT_SUPPORTED */
};

struct replica_ops {
    void *ctx;
    /* The log: copy ready's hard state, truncation and entries into the queue of the disk;
     * replica_stored() follows with ready->batch, later, never from inside. 0 or -errno. */
    int (*log_submit)(void *ctx, const struct raft_ready *ready);
    struct raft_log_reader log_reader;
    /* The state machine, with the contracts of kv.h. 0, REPLICA_STATE_E_FULL, another outcome
     * (damaged, an entry of a later version) or -errno. */
    int (*state_begin)(void *ctx);
    int (*state_apply)(void *ctx, const struct raft_entry *e, struct command_result *ret_result);
    int (*state_apply_get)(void *ctx, struct wire_slice key, struct command_value *ret_value);
    int (*state_commit)(void *ctx);
    void (*state_abort)(void *ctx);
    int (*state_read_begin)(void *ctx, struct raft_entry_id *ret_last_applied);
    int (*state_get)(void *ctx, struct wire_slice key, struct command_value *ret_value);
    /* kv_seek() and kv_next(). Both NULL: nobody asks for more than single keys. */
    int (*state_seek)(void *ctx, const struct command_range *range);
    int (*state_next)(void *ctx, struct command_item *ret_item);
    void (*state_read_end)(void *ctx);
    /* rc is what one of the above returned, `what` what was wanted of it. True: it says that what
     * the state holds is not to be believed, and it is to be made again; false: this node ends. */
    bool (*state_is_damaged)(void *ctx, int rc, const char *what);
    /* The state is set aside, and one that is right stands in its place: that of a snapshot of this
     * node, or an empty one, where the log begins with entry 1. *ret_applied: what it holds, not
     * below the base of the log. 0; REPLICA_STATE_E_FULL, REPLICA_STATE_E_LATER: asked again later;
     * -errno, which ends this node. NULL, with the one above: a state that cannot be damaged. */
    int (*state_rebuild)(void *ctx, raft_index *ret_applied);
    /* A part of a snapshot from the leader that this node follows, or, of a leader, what a server
     * says of one. NULL: there are no snapshots. */
    void (*snapshot)(void *ctx, const struct raft_msg *m);
    /* May these entries of a leader be taken into the log? False: as if the message were lost, but
     * for its sender being heard. NULL: always. */
    bool (*may_store)(void *ctx, const struct raft_msg *m);
    /* May this be appended now, by a leader? False: it is refused, and *ret says why. Asked of
     * every write and marker right before it is (SPACE-2). NULL: always. */
    bool (*may_propose)(void *ctx, const struct replica_request *q, struct replica_refusal *ret);
    /* A message to a peer: encode and queue it now; entries are borrowed during the call. May be
     * dropped. */
    void (*send)(void *ctx, const struct raft_msg *m);
    /* What a peer said of its own state with a heartbeat or an answer, that the core took; or
     * NULL. */
    void (*heard_note)(void *ctx, raft_node_id from, const struct raft_note *note);
    /* What happened in the core, for log lines. */
    void (*trace)(void *ctx, const struct raft_trace *t);
    void (*fatal)(void *ctx, int error, const char *what);
    /* Messages were sent and work follows: they leave now (TIME-2). May be NULL. */
    void (*flush)(void *ctx);
    /* How long the disk of the log has been syncing, in all; it never falls. NULL: nobody knows,
     * and nobody is told. */
    uint64_t (*disk_busy_us)(void *ctx);
    /* Read again while a turn runs, so that it ends in time (TIME-1). NULL: a turn does all
     * that it finds. */
    uint64_t (*now_us)(void *ctx);
    /* For how long the machine was suspended so far, which the times that are given here do not
     * count; it never falls. Who holds something counts it (LEASE-0). NULL: never. */
    uint64_t (*suspended_us)(void *ctx);
    /* The process or the machine stood still, or is a copy, since this was asked last: nothing that
     * was sent before counts for a lease (LEASE-12) or for the age of a state (BOUND-7). NULL:
     * nobody knows. */
    bool (*disrupted)(void *ctx);
};

/* clang-format off */
/* What stands behind an answer; its name is part of the reply. */
#define REPLICA_PROOFS(X)                                                                          \
    X(NONE,   NULL)     /* nothing: whatever is applied here */                                    \
    X(ROUND,  "round")  /* a round of this node as leader, opened after the read came */           \
    X(LEADER, "leader") /* the leader's answer to a question of this node that left after it */    \
    X(LEASE,  "lease")  /* the lease of this node as leader, seen valid after it */                \
    X(MARKER, "marker") /* its own entry in the log */                                             \
    X(STAMP,  "stamp")  /* what this node's own clock showed (BOUND-2) */
/* clang-format on */
enum replica_proof {
#define REPLICA_PROOF(name, text) REPLICA_PROOF_##name,
    REPLICA_PROOFS(REPLICA_PROOF)
#undef REPLICA_PROOF
};
const char *replica_proof_name(enum replica_proof proof); /* NULL for NONE */

/* What gives a read its right: an index, and the proof that it may be answered from there. Each
 * proof is two numbers, of which the one that was found must not be below, or must be above, the
 * one that was drawn when the read came: nothing else says that it was found after that
 * (CLIENT-8). */
struct replica_anchor {
    raft_index index;
    enum replica_proof proof;
    raft_node_id by;        /* whose word it is: that of this node, but for LEADER */
    raft_term term;         /* ROUND, LEADER, LEASE: in which; MARKER: of the marker */
    uint64_t round;         /* ROUND of READ and LEASE: the confirmed round, > arrival_round */
    uint64_t arrival_round; /* highest round open when the read was submitted to the core */
    uint64_t ticket;        /* FOLLOWER: its own, drawn when it came */
    uint64_t answered;      /* all tickets up to this one are answered with this index; >= ticket */
    uint64_t look;          /* LEASE: which look at the clock found it valid; > arrival_look */
    uint64_t arrival_look;  /* the last one before the read came */
    struct raft_entry_id entry; /* MARKER: the marker */
};

/* What a served request may look at; valid during the callback only. Beside the state it is what
 * stands in the anchor. */
struct replica_view {
    struct raft_entry_id last_applied; /* of the state that is read */
    raft_node_id served_by;            /* whose state that is */
    raft_index read_index;             /* the confirmed anchor, <= last_applied.index */
    enum replica_proof proof;
    raft_node_id by;
    uint64_t round;
    uint64_t arrival_round;
    raft_term term;
    uint64_t ticket;
    uint64_t answered;
    uint64_t look;
    uint64_t arrival_look;
    struct raft_entry_id entry; /* READ_LOG: the marker */
    uint64_t staleness_us;      /* BOUNDED: how old the state was at most when it had been read */
    int (*get)(void *ctx, struct wire_slice key, struct command_value *ret_value);
    /* Keys in their order, in this same state: kv_seek(), kv_next(). */
    int (*seek)(void *ctx, const struct command_range *range);
    int (*next)(void *ctx, struct command_item *ret_item);
    void *ctx;
};
/* Does this state show all that anybody was told before the read came? From the two numbers of the
 * proof, and from what is applied; not from the kind of the read. */
bool replica_view_is_linearizable(const struct replica_view *view);

/* clang-format off */
/* What holds a request up, as far as this node can tell; its name is part of the reply. */
#define REPLICA_CAUSES(X)                                                                          \
    X(NONE,         NULL)           /* nothing out of the ordinary */                              \
    X(PEERS_SILENT, "peers_silent") /* too few nodes are heard for a quorum */                     \
    X(OWN_DISK,     "own_disk")     /* the disk of this node is slow, and it waits for it */       \
    X(PEERS_DISKS,  "peers_disks")  /* a quorum is heard and has not stored what it was sent */    \
    X(NO_LEADER,    "no_leader")    /* a quorum is heard and has elected nobody yet */            \
    X(GATE,         "gate")         /* promises to an earlier leader run: nothing is committed */
/* clang-format on */
enum replica_cause {
#define REPLICA_CAUSE(name, text) REPLICA_CAUSE_##name,
    REPLICA_CAUSES(REPLICA_CAUSE)
#undef REPLICA_CAUSE
};
const char *replica_cause_name(enum replica_cause cause); /* NULL for NONE */

struct replica_failure {
    /* NOT_LEADER, TERM_CHANGED, ROLE_CHANGED, TIMEOUT, NETWORK, BUSY, OVERLOADED, CANCELLED,
     * TOO_LARGE, NO_SPACE, NOT_SUPPORTED */
    enum wire_error error;
    bool after_append;  /* a write whose fate is unknown (READ-57) */
    raft_term old_term; /* TERM_CHANGED */
    raft_term term;
    raft_node_id leader_id; /* 0: unknown */
    enum raft_role role;
    /* Nodes heard lately, this one included: by a leader within one election timeout, by others
     * within two of the times that an election is given. */
    unsigned reached;
    unsigned needed;
    enum replica_cause cause;      /* TIMEOUT, NETWORK: what holds it up; NETWORK: PEERS_SILENT */
    uint64_t sync_us;              /* OWN_DISK: what a sync takes, or has taken so far */
    uint64_t election_us;          /* OWN_DISK: the election timeout as configured */
    uint64_t no_leader_us;         /* NO_LEADER: for how long */
    uint64_t gate_left_us;         /* GATE: for how long yet */
    uint64_t limit;                /* BUSY, OVERLOADED */
    uint64_t behind;               /* OVERLOADED: entries that are committed and not applied here */
    struct replica_no_space space; /* NO_SPACE */
    raft_node_id too_old;          /* NOT_SUPPORTED: who is not known to understand it */
    /* TIMEOUT: "leader", "write", "round", "index", "age", "commit", "apply", or the host's word */
    const char *stage;
};

enum replica_kind {
    REPLICA_READ,          /* ReadIndex */
    REPLICA_READ_LOG,      /* a marker in the log */
    REPLICA_READ_LOCAL,    /* what is applied here; waits for its session, and min_index */
    REPLICA_READ_FOLLOWER, /* linearizable on any node: the leader is asked for an index */
    REPLICA_READ_LEASE,    /* under the leader's lease; without one as READ */
    REPLICA_READ_BOUNDED,  /* no older than max_stale_us, proved by the clock of this node */
    REPLICA_WRITE,
};
#define REPLICA_KINDS (REPLICA_WRITE + 1u)

/* Order and floor of one client connection. Zero-initialised by the host; outlives its requests. */
struct replica_session {
    struct raft_entry_id last_write;
    unsigned n_waiting; /* of its writes, in WAITING */
};

enum replica_stage {
    REPLICA_IDLE,    /* not submitted, or done */
    REPLICA_WAITING, /* for a leader, the gate, the end of a transfer: nothing has been appended */
    REPLICA_FLOOR,   /* read of any node: a write of its session is proposed and not applied */
    REPLICA_LOOK,    /* lease read: the clock was not looked at since it came */
    REPLICA_ASKED,   /* read: its anchor is not confirmed */
    REPLICA_TICKET,  /* follower read: its question is not answered */
    REPLICA_AGE,     /* bounded read: nothing that is young enough is applied here */
    REPLICA_CONFIRMED, /* read: waits until its anchor is applied */
    REPLICA_EXACT,     /* log read: its marker is committed, and applied in this turn */
    REPLICA_AWAITED,   /* read: waits until its min_index is applied */
    REPLICA_LOCAL,     /* local read: for this turn */
    REPLICA_PROPOSED,  /* write, log read: in the log */
    REPLICA_LOST,   /* asked or proposed, and the leadership is lost: about to fail, nothing else */
    REPLICA_BEHIND, /* follower read: this node is too far behind for it: likewise */
};
#define REPLICA_STAGES 14u

/* When it had got so far; 0: not yet, or not known. Each is not before the one above. */
struct replica_times {
    uint64_t submitted_us;
    uint64_t begun_us;     /* its round was opened, its question left, it was appended */
    uint64_t confirmed_us; /* by a quorum, or the leader's answer; its entry was committed */
    uint64_t applied_us;   /* all that it must show */
};

struct replica_request {
    /* Set by the host before replica_submit(). */
    enum replica_kind kind;
    uint64_t deadline_us;            /* UINT64_MAX: none */
    struct replica_session *session; /* NULL: none */
    /* Reads: not answered from a state that holds less, 0: from any that is right (TOKEN-1). Of
     * READ_LOG, which is answered from one state and no other, it is the host's to compare. */
    raft_index min_index;
    const void *command; /* WRITE: encoded; borrowed until a callback is called */
    size_t command_len;
    uint64_t max_stale_us;                                                      /* BOUNDED */
    void (*served)(struct replica_request *q, const struct replica_view *view); /* reads */
    void (*written)(struct replica_request *q, const struct command_result *result);
    void (*failed)(struct replica_request *q, const struct replica_failure *f);

    /* The replica's own, zero before the first time. What most reads need stands in front. */
    enum replica_stage stage;
    uint32_t slot;
    struct list link;             /* in the queue of its stage */
    struct list timer;            /* in the wheel */
    struct raft_entry_id entry;   /* PROPOSED */
    struct replica_times times;   /* for who looks at them in a callback */
    struct replica_anchor anchor; /* CONFIRMED, EXACT; LOOK, TICKET: what is known when it comes */
    struct heap_node age;         /* AGE: by how young it must be, the easiest first */
    struct raft_entry_id floor;   /* FLOOR: the write */
    raft_index floor_index;       /* FLOOR: what it waits for: that, or of one before it in line */
    uint32_t place;               /* AWAITED: in the heap */
};

struct replica_conf {
    struct raft_conf raft; /* its group is the replica's; log_reader and trace are set here */
    struct raft_start start;
};

int replica_new(const struct replica_conf *conf, const struct replica_ops *ops, uint64_t now_us,
                struct replica **ret);
/* Requests still queued are failed with CANCELLED first. */
void replica_free(struct replica *r);

/* ---- inputs; the effects appear at the next turn ---- */
/* Takes the request; one of its callbacks follows, possibly before this returns (refusals). */
void replica_submit(struct replica *r, struct replica_request *q, uint64_t now_us);
/* Forgets a request without a callback (its client is gone). A proposed write still happens. */
void replica_cancel(struct replica *r, struct replica_request *q);
/* 0 or RAFT_E_INVALID, also for a message of another group: close the link. */
int replica_step(struct replica *r, const struct raft_msg *m, uint64_t now_us);
void replica_stored(struct replica *r, uint64_t batch, uint64_t now_us);
/* log_reader said RAFT_LOG_E_LATER, and something of what it was asked for may be had now. */
void replica_log_loaded(struct replica *r, uint64_t now_us);
void replica_link(struct replica *r, raft_node_id peer, bool up, uint64_t now_us);
/* As raft_gone(). */
void replica_gone(struct replica *r, raft_node_id peer, uint64_t now_us);
/* The host heard something valid of this node beside the messages that it hands to
 * replica_step(). */
void replica_hear(struct replica *r, raft_node_id from, uint64_t now_us);
/* 0: it has begun, and replica_transferring() says until when: this node stopped leading, or gave
 * it up. RAFT_E_*: nothing has begun. Nobody is called back. */
int replica_transfer(struct replica *r, raft_node_id to, uint64_t now_us);
bool replica_transferring(const struct replica *r);
/* The state has no room for what is committed: it is tried again until it has. */
bool replica_is_parked(const struct replica *r);
bool replica_quiesced(const struct replica *r); /* replica_quiesce() was called */

/* What the state machine holds is not to be believed. From now on this node is unfit (raft.h), and
 * nothing is answered from its state: reads that have their anchor fail with ROLE_CHANGED, local
 * ones wait. Once it leads no more ops.state_rebuild is called, and what is committed is applied
 * again from the first entry on. Not from inside a callback of replica_ops; needs
 * ops.state_rebuild. */
void replica_rebuild(struct replica *r, uint64_t now_us);
/* The state was found empty at the start, and was not always: the same without ops.state_rebuild.
 * Before the first turn. */
void replica_begin_rebuilding(struct replica *r);
/* The state that was found at the start does not hold what the log has let go of: what is said of
 * its last applied entry, the base of the log, is not so. As replica_rebuild(). Before the first
 * turn. */
void replica_begin_without_state(struct replica *r);

/* A snapshot that came from a leader is whole, checked and durable: raft_install(). After STATE and
 * LOG the host makes the state that of the snapshot when replica_may_restore() says so, and calls
 * replica_restored(). What waits for the result of an entry that the state will have passed over
 * fails: it was done, and what came of it nobody here can say. */
enum raft_install replica_install(struct replica *r, struct raft_entry_id id,
                                  const struct raft_config_at *config, uint64_t now_us);
/* One is installed, the log on the disk is as it should be, and no transaction is open. */
bool replica_may_restore(const struct replica *r);
void replica_restored(struct replica *r, uint64_t now_us);
/* As raft_configure(). */
int replica_configure(struct replica *r, const struct raft_configuration *c, raft_index based_on,
                      bool force, uint64_t now_us, struct raft_entry_id *ret_id);
/* As raft_compact(). */
void replica_compact(struct replica *r, raft_index index);
/* From replica_rebuild() until what was committed then is applied again. Who called makes the
 * node fit: replica_set_fit(). */
bool replica_rebuilding(const struct replica *r);
/* Up to which entry the state is made again before it is believed; 0: it is not being made. */
raft_index replica_rebuilt_at(const struct replica *r);
/* The state may be believed (again); not while it is being rebuilt. */
void replica_set_fit(struct replica *r, enum raft_fitness fitness, uint64_t now_us);
/* To be called by `served` instead of answering, when get, seek or next of the view did not give 0.
 * True: the state is damaged and will be made again; q has failed with ROLE_CHANGED, or, where
 * another node would answer it, with OVERLOADED. False: it is not; q is the caller's to answer. */
bool replica_read_failed(struct replica *r, struct replica_request *q);
/* To be called by `served` when it did not answer: q is submitted again later or ends otherwise,
 * and does not count as served. */
void replica_read_put_off(struct replica *r, const struct replica_request *q);
/* A write, or a read whose anchor only a leader has, would begin now and not wait. */
bool replica_can_serve(const struct replica *r);
/* For a read that its host will not serve, and has in memory: what a lease of this node proves for
 * it, as by REPLICA_READ_LEASE, and which other node is likely to have applied that. False: there
 * is no lease, nobody is near, or the session's own writes are not committed. The read is
 * linearizable where that index is applied (READ-67). */
bool replica_spare(struct replica *r, struct replica_session *session, raft_index *ret_index,
                   raft_node_id *ret_node);
/* Something valid came from this node within one election timeout; of itself: always. */
bool replica_hears(const struct replica *r, raft_node_id id, uint64_t now_us);
/* When something valid came from it last; 0: never. Of itself: now. */
uint64_t replica_heard_us(const struct replica *r, raft_node_id id);
/* What a request says that is not answered at its deadline, for hosts that keep requests of their
 * own: TIMEOUT, but NETWORK when no quorum was heard within one election timeout. `stage` is what
 * it waited for; borrowed. */
void replica_deadline_failure(struct replica *r, const char *stage, uint64_t now_us,
                              struct replica_failure *ret_failure);
/* Fails every waiting request with CANCELLED and every new one too (shutdown). Proposed ones may
 * still finish. */
void replica_quiesce(struct replica *r);
/* Nothing is waiting, in a round or proposed. */
bool replica_idle(const struct replica *r);

/* ---- the turn: once at the end of each loop iteration ---- */
/* At now_us everything that had come from peers was taken in before: what is due at that time is
 * done, silence is judged (TIME-3). Applying and answering stop after their share of half a
 * heartbeat; then the deadline is 0, and the next turn goes on with them (TIME-1). */
void replica_turn(struct replica *r, uint64_t now_us);
/* When the turn must be called even if nothing happens. */
uint64_t replica_deadline_us(const struct replica *r);
/* Is anything due that time alone brings, and that somebody is judged by? A round for reads is not:
 * it opens in the turn, whatever has come (TIME-3). */
bool replica_is_due(const struct replica *r, uint64_t now_us);

/* What must always hold, with a walk through every queue: for tests and the simulator. A few
 * comparisons of it run at the end of each turn anyway. */
void replica_check(const struct replica *r);

/* ---- looking ---- */

/* clang-format off */
/* Why a lease read found no lease. */
#define REPLICA_FALLBACKS(X)                                                                       \
    X(OFF,         "off")         /* this node is not configured to take one */                    \
    X(VERSION,     "version")     /* a member may not know of leases */                            \
    X(CLOCKS,      "clocks")      /* a clock drifts too much */                                    \
    X(HANDED_OVER, "handed_over") /* the leadership was being handed over in this term */          \
    X(SILENT,      "silent")      /* too few have promised, or too long ago */                     \
    X(OWN_WRITE,   "own_write")   /* a write of its own connection was not committed */            \
    X(NOT_READY,   "not_ready")   /* nothing of this term is committed yet */
/* clang-format on */
enum replica_fallback {
#define REPLICA_FALLBACK(name, text) REPLICA_FALLBACK_##name,
    REPLICA_FALLBACKS(REPLICA_FALLBACK)
#undef REPLICA_FALLBACK
};
#define REPLICA_N_FALLBACKS (REPLICA_FALLBACK_NOT_READY + 1u)
const char *replica_fallback_name(enum replica_fallback reason);

struct replica_stats {
    uint64_t n_reads[REPLICA_KINDS]; /* served, by enum replica_kind (WRITE: 0) */
    uint64_t n_lease_fallbacks;      /* lease reads that found no lease, and joined a round */
    uint64_t n_fallbacks[REPLICA_N_FALLBACKS]; /* the same, by reason */
    uint64_t n_reads_failed;
    uint64_t n_writes_proposed;
    uint64_t n_writes_done;
    uint64_t n_writes_failed;
    unsigned n_waiting;   /* now */
    unsigned n_in_round;  /* now: reads not confirmed */
    unsigned n_asking;    /* now: reads that wait for the word of a leader */
    unsigned n_confirmed; /* now: reads waiting for apply */
    unsigned n_proposed;  /* now */
    uint64_t n_turns;
    uint64_t n_msgs_sent;
    uint64_t n_msgs_received;
    uint64_t n_msgs_invalid;
    uint64_t n_entries_proposed; /* log entries this node appended as leader for requests */
    uint64_t n_entry_bytes_proposed;
};
void replica_get_stats(const struct replica *r, struct replica_stats *ret);
/* Reads of each round that was opened for some, and confirmed. */
const struct histogram *replica_round_reads(const struct replica *r);
/* The latest time that was given or read: of a callback, about that of now. */
uint64_t replica_clock_us(const struct replica *r);
const struct trail *replica_trail(const struct replica *r);
/* Something outside held up all that was under way. */
void replica_note_snag(struct replica *r, const struct trail_snag *snag);

/* ---- why one took long ---- */

/* The parts of its way: up to begun_us, confirmed_us, applied_us, and its end. */
enum replica_leg { REPLICA_LEG_QUEUE, REPLICA_LEG_QUORUM, REPLICA_LEG_APPLY, REPLICA_LEG_EXECUTE };
struct replica_case {
    enum replica_kind kind;
    enum replica_leg leg; /* the longest */
    uint64_t from_us;     /* of that leg */
    uint64_t to_us;
    raft_index index;                      /* its entry, its anchor; 0: it has none */
    uint64_t round;                        /* that confirmed it; 0: none did */
    const struct replica_failure *failure; /* NULL: it was answered */
};
/* clang-format off */
#define REPLICA_WHYS(X)                                                                            \
    X(UNKNOWN)      /* nothing that is known covers half of it */                                  \
    X(APPLYING)     /* of APPLY: behind n entries of so many bytes; else it held the loop */       \
    X(LOOP)         /* the loop had other work */                                                  \
    X(STOOD)        /* the process did not run */                                                  \
    X(OWN_DISK)     /* a sync of the own log took so long; bytes: of it, if known */               \
    X(PEER_DISK)    /* the disk of the one whose acknowledgement decided took so long */           \
    X(PEERS_DISKS)  /* it failed: a quorum was heard and had not stored it */                      \
    X(SILENT)       /* too few were heard */                                                       \
    X(PEERS)        /* a quorum took so long to answer; peer: who came last of it */               \
    X(NO_LEADER)    /* none was known */                                                           \
    X(GATE)         /* promises to an earlier leader */                                            \
    X(TRANSFER)     /* the leadership was being handed over */                                     \
    X(LOST)         /* the leadership of this node was lost */                                     \
    X(PARKED)       /* the state has no room */                                                    \
    X(REBUILDING)   /* the state is being made again */                                            \
    X(LEADER)       /* the leader answered so late; peer: it */                                    \
    X(ENTRIES)      /* of APPLY: what is to be shown, or word of its commit, had not come here */  \
    X(ROUNDS)       /* of QUEUE: rounds before it were not answered; peer as PEERS */
/* clang-format on */
enum replica_why_kind {
#define REPLICA_WHY(name) REPLICA_WHY_##name,
    REPLICA_WHYS(REPLICA_WHY)
#undef REPLICA_WHY
};
#define REPLICA_WHY_SILENT_MAX 3u
struct replica_why {
    enum replica_why_kind kind;
    uint64_t us; /* how long that was */
    raft_node_id peer;
    uint64_t n; /* entries */
    uint64_t bytes;
    unsigned needed; /* of so many voters */
    unsigned voters;
    unsigned n_silent; /* voters that were not heard, or had been silent until then */
    struct {
        raft_node_id id;
        uint64_t us;
    } silent[REPLICA_WHY_SILENT_MAX];
};
/* What held it up: the one thing that covers most of that leg, and at least half of it (SEE-3). */
void replica_explain(const struct replica *r, const struct replica_case *c,
                     struct replica_why *ret);
uint16_t replica_group(const struct replica *r);
const struct raft *replica_raft(const struct replica *r);
struct raft *
replica_raft_mutable(struct replica *r); /* for raft_check() and raft_set_rounds_max() */
raft_index replica_last_applied(const struct replica *r);

#endif
