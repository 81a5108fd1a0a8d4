/* The pure consensus core of one node of one group: messages, proposals, reads and time go in, a
 * `ready` comes out.
 *
 * For: elections, replication, commit, the confirmation of linearizable reads, leader transfer,
 * changes of the members; what becomes of the log when its front goes or a snapshot is installed.
 * Not for: I/O, threads, clocks, randomness, the state machine, deciding who may become a
 * member. It never calls out, but for two passive tables: log_reader (entries no longer in
 * memory, called from raft_ready() only) and the trace hook (CORE-1).
 * Units: times in microseconds of two clocks of the host, given as arguments and never falling (a
 * smaller one is taken for the last; CORE-2): now_us of one that is not slewed and stands still
 * while the machine is suspended (CLOCK_MONOTONIC_RAW), hold_us of the same plus all time that it
 * was suspended. Who waits uses now, who holds uses hold (LEASE-0); sizes in bytes; ids of servers
 * as the configuration gives them, 0 is nobody.
 * Ownership: what goes in is copied. What raft_ready() hands out is borrowed and valid until the
 * next raft_ready(), raft_step(), raft_applied(), raft_compact(), raft_install() or raft_free() of
 * the same object; the other calls leave it alone. Memory comes from the given allocator.
 * Errors: 0, or RAFT_E_* (state unchanged; raft_step() may have taken over a higher term before
 * the rest of its message was found invalid), or -ENOMEM (state unchanged). When memory fails
 * inside raft_ready(), raft_step() or raft_tick(), where there is nobody to refuse, the process
 * stops by assertion; so it does when an invariant of the core is found broken: each call that
 * changes something ends with those that it could break (invariants.c).
 * Thread: one owner at a time.
 * Source: Raft dissertation figure 3.1, 3.4-3.10, 4.2.3, 5.1, 6.2, 6.4, 9.6, 10.2.1; rules READ,
 * LEASE, FOLLOW, BOUND, VOTE, TERM, LOG, COMMIT, MEMBER, SNAP, FIT of docs/RULES.md. Deviations
 * from the dissertation:
 * src/raft/README. */
#ifndef RIDD_RAFT_RAFT_H
#define RIDD_RAFT_RAFT_H

#include "base/arena.h"
#include "raft/configuration.h"
#include "raft/types.h"

struct raft;

/* clang-format off */
/* NOT_LEADER   raft_propose, raft_read, raft_transfer
 * BUSY         a bound of limits.h is reached, or a transfer is under way
 * INVALID      raft_step: close the link; raft_new: the start contradicts itself; raft_configure: a
 *              text or an id that cannot be, or the id of one that was removed
 * NOT_MEMBER   raft_transfer: the target is no voter, or this node itself
 * TOO_LARGE    raft_propose: above ENTRY_BYTES_MAX
 * GATED        raft_propose: no entry of this term is committed yet, or the node is unfit; ask
 *              again when raft_can_serve() says so
 * UNFIT        raft_transfer: the target said that it is
 * CHANGING     raft_configure: a change before this one is not committed
 * BASED        raft_configure: it was made from another configuration than the one in force
 * STEP         raft_configure: more than one voter comes or goes, or more than one server; or the
 *              cluster would get another id, or an earlier version
 * SELF         raft_configure: this node would be no voter any more: it hands over first
 * QUORUM       raft_configure: of its voters those that are heard would be no quorum
 * NO_LEASE     raft_lease */
#define RAFT_ERRORS(X)                                                                             \
    X(RAFT_E_NOT_LEADER, 1, "this node does not lead")                                             \
    X(RAFT_E_BUSY,       2, "a bound is reached, or leadership is being handed over")              \
    X(RAFT_E_INVALID,    3, "no correct peer or host can say that")                                \
    X(RAFT_E_NOT_MEMBER, 4, "the target is no other voter")                                        \
    X(RAFT_E_TOO_LARGE,  5, "the entry is too large")                                              \
    X(RAFT_E_GATED,      6, "no entry of this term is committed yet")                              \
    X(RAFT_E_UNFIT,      7, "the target's state is being rebuilt: it cannot lead")                 \
    X(RAFT_E_CHANGING,   8, "another change of the members is under way")                          \
    X(RAFT_E_BASED,      9, "it was made from another configuration")                              \
    X(RAFT_E_STEP,      10, "more than one member would come or go")                               \
    X(RAFT_E_SELF,      11, "the leader would be no voter any more")                               \
    X(RAFT_E_QUORUM,    12, "the voters that are heard would be no quorum")                        \
    X(RAFT_E_NO_LEASE,  13, "there is no lease that is valid now")
/* clang-format on */
enum raft_error {
#define RAFT_ERROR(name, value, text) name = value,
    RAFT_ERRORS(RAFT_ERROR)
#undef RAFT_ERROR
};
const char *raft_error_text(int rc);

/*            tick: timeout          quorum of pre-votes        quorum of votes
 *  FOLLOWER ───────────────► PRE_CANDIDATE ─────────► CANDIDATE ─────────► LEADER
 *     ▲  │                        │  ▲                   │  │                 │
 *     │  └──── TIMEOUT_NOW ───────┼──┼──────────────────►┘  │                 │
 *     │                           │  └────── timeout ───────┘                 │
 *     └────── higher term, leader heard, quorum silent, removed ─────────────┘
 * raft_become() has the table of allowed moves. */
enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };
const char *raft_role_name(enum raft_role role);

/* clang-format off */
/* What a reader of the log says besides 0 and -errno. */
#define RAFT_LOG_ERRORS(X)                                                                         \
    X(RAFT_LOG_E_COMPACTED, 1, "these entries are compacted: the log on disk begins behind them")  \
    X(RAFT_LOG_E_LATER,     2, "these entries are being read: ask again when some have been")
/* clang-format on */
enum raft_log_error {
#define RAFT_LOG_ERROR(name, value, text) name = value,
    RAFT_LOG_ERRORS(RAFT_LOG_ERROR)
#undef RAFT_LOG_ERROR
};
const char *raft_log_error_text(int rc);

/* Entries from the disk, at most n_max, beginning with `from`, none above `to`; at least one,
 * then as many as fit bytes_max. Payloads are allocated from the arena. Called for indexes that
 * raft_stored() covered. 0; RAFT_LOG_E_COMPACTED when `from` is no longer there, which is the
 * end of nothing: the follower that needs it is not sent it; RAFT_LOG_E_LATER when they are not at
 * hand: whoever needs them, apply or that follower, waits until raft_log_loaded() and asks again,
 * and nothing else waits (DISK-33); -errno, which is final for the
 * node: raft_ready() hands it up in ret->log_error. */
struct raft_log_reader {
    int (*read)(void *ctx, raft_index from, raft_index to, size_t bytes_max, struct arena *arena,
                struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n);
    void *ctx;
};

/* What happened, for log lines and transcripts; values are copies. `peer` is 0 when it concerns
 * nobody else. */
enum raft_trace_event {
    RAFT_TRACE_ROLE,          /* role, term, peer = leader; text = why */
    RAFT_TRACE_LEADER,        /* a leader became known: peer, term */
    RAFT_TRACE_GONE,          /* nobody listens where peer led; text = what this node does */
    RAFT_TRACE_VOTE_GRANTED,  /* to peer in term */
    RAFT_TRACE_VOTE_REFUSED,  /* to peer; text = why */
    RAFT_TRACE_TRUNCATED,     /* index = first removed */
    RAFT_TRACE_COMMIT,        /* index */
    RAFT_TRACE_ROUND,         /* round opened, index = read_index */
    RAFT_TRACE_CONFIGURATION, /* index */
    RAFT_TRACE_TRANSFER,      /* peer = target; text = started, sent, aborted */
    RAFT_TRACE_PROBE,         /* peer fell back to probing; index = next_index */
    RAFT_TRACE_COMPACTED,     /* peer needs the entry at index, which is compacted */
    RAFT_TRACE_INSTALL,       /* a snapshot that ends at index; text = what becomes of it */
    /* peer told heard_term, too far above ours (TERM-4): while a leader is heard, */
    RAFT_TRACE_TERM_REFUSED,
    RAFT_TRACE_TERM_CLIMB, /* and while none is: ours rises by one step */
    RAFT_TRACE_INVALID,    /* peer; text = what was wrong with its message */
};
struct raft_trace {
    enum raft_trace_event event;
    enum raft_role role;
    raft_term term;
    raft_term heard_term; /* TERM_REFUSED, TERM_CLIMB; else 0 */
    raft_index index;
    raft_node_id peer;
    uint64_t round;
    const char *text;
};

struct raft_conf {
    raft_node_id id;
    uint16_t group;               /* messages of another are invalid; one exists, 0 */
    uint64_t election_timeout_us; /* randomised to 1..2 times this; at least 3 * heartbeat_us */
    uint64_t heartbeat_us;
    uint64_t seed;
    unsigned rounds_max;       /* K: read rounds outstanding at once; 1 .. RAFT_ROUNDS_MAX * 4 */
    size_t append_bytes_max;   /* RAFT_APPEND_BYTES_MAX, smaller in tests */
    size_t inflight_bytes_max; /* RAFT_INFLIGHT_BYTES_MAX, smaller in tests */
    size_t cache_bytes_max;    /* RAFT_CACHE_BYTES_MAX, smaller in tests */
    raft_term term_step_max;   /* RAFT_TERM_STEP_MAX, smaller in tests; at least 1 */
    uint64_t lease_us;         /* as raft_set_lease(); 0, the default: none */
    bool fast_failover;        /* as raft_set_fast_failover(); true by default */
    /* Of this process, drawn at random: two lives of a node never have the same. 0: it asks no
     * leader and marks no time; its tickets are answered only while it leads itself. */
    uint64_t nonce;
    struct mem mem;
    struct raft_log_reader log_reader;
    void (*trace)(void *ctx, const struct raft_trace *t); /* may be NULL; must not call back */
    void *trace_ctx;
};
/* Fills every field but id, seed and log_reader with its default. */
void raft_conf_init(struct raft_conf *conf);

/* Consecutive entries of one term, from `first` to before the next range. */
struct raft_term_range {
    raft_term term;
    raft_index first;
};
struct raft_config_at {
    raft_index index;
    struct raft_configuration configuration;
};
/* What was durable when the process started. Arrays are copied.
 *
 * The log begins behind `base`: the last entry that a snapshot covers, 0/0 when there is none.
 * What is at or below it is committed and is in the state machine; its term is kept, because the
 * first append behind it is checked against it (dissertation 5.1). */
struct raft_start {
    struct raft_hard_state hard_state;
    struct raft_entry_id base;
    raft_index last_index;   /* of the log; entries base.index + 1 .. last_index are on disk */
    raft_index commit_index; /* highest commit index this node had recorded; <= last_index */
    /* of the state machine; not below the base: what it lacks is gone; commit_index is raised to
     * it */
    raft_index last_applied;
    const struct raft_term_range *terms; /* ascending; the first begins at base.index + 1 */
    size_t n_terms;
    /* Ascending. The first is the one in force at the base: at or below it, and at index 1 when
     * there is no base. (Or one above it that is known to be committed: no truncation comes to
     * it.) */
    const struct raft_config_at *configs;
    size_t n_configs;
};

/* 0; RAFT_E_INVALID when start contradicts itself or the node is not in its configuration's range;
 * -ENOMEM. */
int raft_new(const struct raft_conf *conf, const struct raft_start *start, uint64_t now_us,
             struct raft **ret_raft);
void raft_free(struct raft *r);

/* ---- inputs ---- */

/* Time passes, and who is silent is judged. Deadlines are inside; call at raft_tick_due_us() or
 * later, or at any time. */
void raft_tick(struct raft *r, uint64_t now_us);
uint64_t raft_tick_due_us(const struct raft *r);
/* When the next batch is wanted even if nothing comes: that of the tick, or of a round for reads
 * that wait, which raft_ready() opens and nobody is judged by. */
uint64_t raft_deadline_us(const struct raft *r);

/* One message from a peer. RAFT_E_INVALID for what a correct peer cannot send. Bytes behind m are
 * copied. now_us was read after m was in memory: promises, and what is waited for, count from there
 * (LEASE-1, LEASE-6). */
int raft_step(struct raft *r, const struct raft_msg *m, uint64_t now_us);

/* The link to a peer came up or went down: appends in flight are lost then; a new link is probed at
 * once and told the highest open round (READ-12). Unknown peers are ignored. */
void raft_link(struct raft *r, raft_node_id peer, bool up, uint64_t now_us);

/* Both connections to this peer ended with FIN or RST, and whoever was called at its own address
 * was refused: nobody listens there (FAILOVER-1). Where that is the leader that is followed it
 * counts as not heard from now on, and this node campaigns within RAFT_EARLY_US, if it is a voter
 * and fit; otherwise nothing happens (FAILOVER-2, FAILOVER-3). It is a hint, and may be wrong: who
 * is heard again leads on. */
void raft_gone(struct raft *r, raft_node_id peer, uint64_t now_us);
/* Whether raft_gone() does anything, from now on. */
void raft_set_fast_failover(struct raft *r, bool on);

/* Append an entry of type COMMAND or READ; the payload is copied. It leaves and is stored with the
 * next raft_ready(). */
int raft_propose(struct raft *r, enum raft_entry_type type, const void *data, size_t len,
                 struct raft_entry_id *ret_id);

/* Append a configuration, which is in force from then on (4.1). One step away from the one in
 * force, whose index is `based_on` (MEMBER-3): at most one voter comes or goes, at most one
 * server comes and one goes (MEMBER-2). An entry of this term and the configuration before are
 * committed (MEMBER-1), this node stays a voter (MEMBER-9), and those voters of the new one that
 * are heard, and have answered in this term, are a quorum of it, unless `force` (MEMBER-8). */
int raft_configure(struct raft *r, const struct raft_configuration *c, raft_index based_on,
                   bool force, struct raft_entry_id *ret_id);
/* Of the configuration in force; it is committed when that is not above the commit index. */
raft_index raft_get_configuration_index(const struct raft *r);
/* Those that are kept: the one at the base of the log, and one for each CONFIG behind it. */
size_t raft_n_configurations(const struct raft *r);

/* Ask for a linearizable read. `ctx` comes back in ready.reads once a quorum has acknowledged a
 * round opened after this call in the same term, and an entry of this term was committed before its
 * index was sampled (READ-1, READ-5, READ-14); or in ready.reads_failed. Until then it is parked.
 * `min_index` is the floor that the connection's own earlier writes of this term set (0: none): the
 * read is confirmed only when commit_index has reached it too (READ-58). RAFT_E_NOT_LEADER,
 * RAFT_E_BUSY at RAFT_READS_PENDING_MAX. */
int raft_read(struct raft *r, uint64_t ctx, raft_index min_index, uint64_t now_us);

/* ---- leases, reads of followers, reads of a bounded age ---- */

/* What the two clocks show now: one reading of both, after all that was given to this core before.
 * To be told before raft_step(), raft_link() and raft_ready(); what is told late dates what this
 * node does too early, which is safe and costs some of a lease. */
void raft_hold(struct raft *r, uint64_t now_us, uint64_t hold_us);
/* How long a lease this node takes while it leads: 0, none, to RAFT_LEASE_US_MAX (asserted). It is
 * taken only while every member is known to understand gates: the version of the newest committed
 * configuration is at least GATES_VERSION (LEASE-15). */
void raft_set_lease(struct raft *r, uint64_t lease_us, uint64_t now_us);
/* The process or the machine stood still, or was copied: nothing that was sent before counts for a
 * lease any more (LEASE-12), nor for the age of a state (BOUND-7). */
void raft_forget_held(struct raft *r, uint64_t now_us);
/* Is there a lease that is valid at now_us and hold_us? They are one reading of both clocks, made
 * after the last of the reads that are to be served by it was in memory (LEASE-9). 0: all of them
 * may be answered from a state that holds everything up to *ret_index, `min_index` as in
 * raft_read(): when that is above the commit index there is no lease for it. RAFT_E_NOT_LEADER,
 * RAFT_E_GATED, RAFT_E_NO_LEASE. */
int raft_lease(struct raft *r, raft_index min_index, uint64_t now_us, uint64_t hold_us,
               raft_index *ret_index);

/* Why a leader has none: as raft_status.lease_why_not, or "off"; NULL: it has one. Static. */
const char *raft_lease_why_not(const struct raft *r);

/* A linearizable read on any node, whatever its role now and later: it gets a ticket, the number of
 * a question that has not left yet, and never fails; it is the host that gives up waiting. All
 * tickets up to ready.answered.ticket have their index. Many reads have one ticket, so that nothing
 * is kept here for each (FOLLOW-1). */
uint64_t raft_ask(struct raft *r, uint64_t now_us);
/* Whether that server understands READ_ASK; false until it is told, and again when its link goes
 * down. */
void raft_understands_asks(struct raft *r, raft_node_id peer, bool understands);

/* Everything that anybody had committed when the hold clock of this node showed hold_us is at or
 * below index: true for ever, whoever leads (BOUND-2). How old it is that clock tells, until
 * raft_forget_held(). */
struct raft_pair {
    uint64_t hold_us;
    raft_index index;
};
/* The best pair that is not older than since_us: of those that are applied here the newest, else
 * that which will be first. False: there is none. */
bool raft_get_pair(struct raft *r, uint64_t since_us, uint64_t now_us, struct raft_pair *ret_pair);

/* Batch `batch` of an earlier ready, and so every batch before it, is durable. The same number
 * again: a part of the next one is, so that a disk which moves is known to move (READ-51). */
void raft_stored(struct raft *r, uint64_t batch, uint64_t now_us);

/* Something that the reader of the log was asked for may be had now. */
void raft_log_loaded(struct raft *r, uint64_t now_us);

/* hold: what was handed out and is not applied is kept, and nothing is handed out until it is taken
 * back; then it is handed out again, from the entry after the one applied last. */
void raft_hold_committed(struct raft *r, bool hold);
/* The state machine holds everything up to index. */
void raft_applied(struct raft *r, raft_index index);
/* What was handed out and is not applied will not be, this time: the next ready hands it out
 * again. */
void raft_take_back(struct raft *r);

/* Hand leadership to `to` (0: of the voters that are there the fittest, and of those the furthest).
 * Proposals are refused with RAFT_E_BUSY until it is over: this node stops leading, or one election
 * timeout has passed (ready.transfer_over tells). */
int raft_transfer(struct raft *r, raft_node_id to, uint64_t now_us);

/* What this node is worth as a leader, from now on; it votes, stores and acknowledges whatever it
 * is (FIT-1), and tells the others with its heartbeats and their answers.
 *
 * PARKED: it campaigns of itself only after RAFT_PARKED_TIMEOUTS of silence; leading it hands over
 * to a fit voter that has caught up, and leads on while there is none (FIT-2).
 * UNFIT: all reads fail at once, and it serves nothing (raft_can_serve()). Leading, it hands over,
 * and steps down after an election timeout, at once when no other voter exists. It refuses
 * TIMEOUT_NOW. It campaigns after RAFT_UNFIT_TIMEOUTS of silence, when nobody better could: then it
 * leads without serving, so that the others get what it alone may hold, and hands over to the first
 * that has it (FIT-3). Said again to an unfit leader: it hands over or steps down as above. */
void raft_set_fitness(struct raft *r, enum raft_fitness fitness, uint64_t now_us);
/* There is no room to make its state again: until there is, a node that is the only voter does not
 * campaign of itself, for it could serve nobody, and would have to step down for it again (FIT-4).
 * Among others it does (FIT-3). */
void raft_wait_for_room(struct raft *r, bool waits);
/* What goes with heartbeats and their answers from now on; its flags in RAFT_NOTE_CORE are the
 * core's. Copied. */
void raft_set_note(struct raft *r, const struct raft_note *note);
/* The state machine was emptied, or put back: it holds everything up to `applied` and no more.
 * Committed entries behind it are handed out again. Only while this node does not lead; not below
 * the base, nor above what is committed and durable here, nor while a snapshot is installed
 * (asserted). */
void raft_rewind(struct raft *r, raft_index applied);

/* ---- snapshots ---- */

/* A snapshot that covers all up to `index` is durable, and so is the word of it: the log begins
 * behind that entry from now on, and what needs an earlier one gets "compacted". index is above the
 * base, applied and durable here (SNAP-2, asserted). */
void raft_compact(struct raft *r, raft_index index);
/* Leader: what this server needs next is compacted. Only a snapshot helps. */
bool raft_needs_snapshot(const struct raft *r, raft_node_id peer);

/* What becomes of a snapshot that is whole, checked and durable here (SNAP-1).
 *
 *   NOTHING  the own log has all that it covers: it is acknowledged, and not installed
 *   STATE    the own log stays, the state is to be that of the snapshot (asked for by `state_lost`)
 *   LOG      the own log does not have its last entry: all entries go, and the log begins behind
 *            it; term and vote stay. The state is to be that of the snapshot
 *   REFUSED  it ends before the own log begins, and the state was lost; or no such snapshot can be:
 *            of a term not heard of here, of another than the entry that is committed here, or with
 *            a configuration from behind its end
 *   LATER    this node does not follow, or its disk has not stored what the state would hold: ask
 *            again */
enum raft_install {
    RAFT_INSTALL_NOTHING,
    RAFT_INSTALL_STATE,
    RAFT_INSTALL_LOG,
    RAFT_INSTALL_REFUSED,
    RAFT_INSTALL_LATER,
};
/* `state_lost`: what was applied here is not to be believed, or is not there. After STATE and LOG
 * nothing is handed out to be applied until raft_restored(), and what was handed out and is not
 * applied is not to be applied any more. The host calls that when the state is the snapshot's,
 * after LOG not before the batch of the next ready, which has ready.reset, is durable (SNAP-8,
 * asserted). Whoever leads is told with the messages that wait for that batch: the snapshot must
 * have come from the leader of a term that this core has heard of, or an older one. Not while an
 * earlier one is under way (asserted).
 *
 * From LOG to raft_restored() last_applied is the end of the snapshot already, which the state
 * machine does not hold yet. */
enum raft_install raft_install(struct raft *r, struct raft_entry_id id,
                               const struct raft_config_at *config, bool state_lost,
                               uint64_t now_us);
/* The state machine holds everything up to the snapshot that was installed last. */
void raft_restored(struct raft *r, uint64_t now_us);
bool raft_is_installing(const struct raft *r);
/* The configuration in force at an index that is not below the base: the last one at or below it,
 * or the first one above where a start knew no other (struct raft_start; its index tells).
 * Borrowed until the next call that changes something. */
const struct raft_config_at *raft_config_at(const struct raft *r, raft_index index);

/* How many rounds may be outstanding: the host lowers it to 1 while its loop is the bottleneck. */
void raft_set_rounds_max(struct raft *r, unsigned rounds_max);
/* As leader it commits at most so many entries beyond what is applied, and the rest when more is:
 * what was committed when a read came is what that waits for (TIME-5). At least 1; UINT64_MAX, as
 * it begins: all that a quorum holds. */
void raft_set_ahead(struct raft *r, uint64_t n_entries);

/* ---- output ---- */

enum raft_loss {
    RAFT_LOSS_NONE,
    RAFT_LOSS_TERM /* a higher term was seen */,
    RAFT_LOSS_ROLE /* within the term */
};

struct raft_read_done {
    uint64_t ctx;
    raft_index read_index;  /* serve when last_applied >= this */
    uint64_t round;         /* the confirmed round it rode on */
    uint64_t arrival_round; /* highest round open when it arrived: round > arrival_round always */
    raft_term term;
};

/* What stands behind an answer to raft_ask(): a round of this node as leader, or the word of the
 * leader of the term in which it was asked. */
enum raft_proof { RAFT_PROOF_ROUND, RAFT_PROOF_LEADER };
struct raft_answered {
    uint64_t ticket; /* all tickets up to it are answered */
    raft_index
        read_index; /* serve when last_applied >= this, whatever becomes of roles and terms */
    raft_term term;
    enum raft_proof proof;
    raft_node_id by; /* the leader */
};

struct raft_ready {
    uint16_t group; /* that of raft_conf: of this batch, of each message, of each read */
    /* Store: 0 = nothing. Numbers grow by one. The order within a batch is: reset or truncate,
     * then hard state, then entries. */
    uint64_t batch;
    /* index 0: none. Otherwise all entries are removed first, and the log begins behind this one;
     * reset_config is in force there. */
    struct raft_entry_id reset;
    const struct raft_config_at *reset_config;
    bool hard_state_changed;
    struct raft_hard_state hard_state; /* always the current one */
    raft_index truncate_from;          /* entries from here on are removed first; 0: none */
    const struct raft_entry *entries;
    unsigned n_entries;
    /* always the current one; kept with the batch as a hint for the next start */
    raft_index commit_index;

    /* Send at once: nothing here claims anything that is not durable (heartbeat answers, READ-61;
     * the leader's own messages in its durable term; pre-votes; rejections). */
    const struct raft_msg *msgs;
    unsigned n_msgs;
    /* Send when batch `after_batch` is durable (at once when it is 0): votes, vote requests, append
     * acknowledgements. */
    const struct raft_msg *msgs_after_store;
    unsigned n_msgs_after_store;
    uint64_t after_batch;

    /* Apply: committed and durable here, in order, once each. */
    const struct raft_entry *committed;
    unsigned n_committed;
    bool more_committed; /* bounded: call raft_ready() again */

    /* Reads. When loss is set, no read is in `reads` (READ-17) and reads_failed holds every
     * unconfirmed one. */
    const struct raft_read_done *reads;
    unsigned n_reads;
    const uint64_t *reads_failed; /* ctx */
    unsigned n_reads_failed;
    /* raft_ask(): ticket 0: none was answered since the last ready. */
    struct raft_answered answered;

    /* Leadership was lost since the last ready (perhaps regained in a later term since). Entries
     * this node proposed in loss_term up to loss_commit_index are committed; the fate of the others
     * is unknown. */
    enum raft_loss loss;
    raft_term loss_term;
    raft_index loss_commit_index;
    bool transfer_over; /* a transfer ended, one way or the other */
    int log_error;      /* 0, or the -errno of log_reader.read: stop the node */
};

/* Everything that is due. Opens a read round when one is allowed: call it once at the end of each
 * loop turn. */
void raft_ready(struct raft *r, uint64_t now_us, struct raft_ready *ret_ready);

/* ---- looking ---- */

/* Nothing that stands in its log is known. A log may begin at any index (BACKUP-2): the last one is
 * then no number of entries. */
#define RAFT_BEHIND_UNKNOWN UINT64_MAX
struct raft_peer_status {
    raft_node_id id;
    enum raft_server_role role;
    bool connected;
    bool heard; /* within an election timeout; of a leader */
    raft_index match_index;
    raft_index next_index;
    uint64_t behind; /* entries that it lacks; of a leader, RAFT_BEHIND_UNKNOWN elsewhere */
    uint64_t acked_round;
    uint64_t last_heard_us; /* 0: never */
    uint64_t srtt_us;       /* 0: not measured */
    /* Leader: how fast its clock is against this node's, in millionths, and by how much that may be
     * wrong (LEASE-13). False: not measured. */
    bool drift_known;
    int32_t drift_ppm;
    uint32_t drift_error_ppm;
    /* The latest it said to this node, by an answer to a leader or by a leader's heartbeat. */
    bool fitness_said; /* false: nothing yet, or it is of the version before; it counts as fit */
    enum raft_fitness fitness;
};
struct raft_status {
    raft_node_id id;
    enum raft_role role;
    enum raft_fitness fitness;
    raft_term current_term;
    raft_node_id voted_for;
    raft_node_id leader_id;
    raft_index commit_index;
    raft_index last_applied;
    struct raft_entry_id base; /* the log begins behind it */
    raft_index last_index;
    raft_index last_stored;
    raft_index noop_index; /* 0 unless leader */
    /* leader with an entry of its term committed, not unfit: raft_propose() and reads go through */
    bool can_serve;
    uint64_t round;         /* the highest opened, for reads or by a periodic heartbeat */
    uint64_t rounds_opened; /* for reads, since the process started */
    uint64_t rounds_confirmed;
    unsigned rounds_max; /* how many may be outstanding now */
    unsigned n_reads_pending;
    unsigned n_voters;
    unsigned n_voters_heard; /* leader: voters heard within one election timeout, itself included */
    raft_node_id transfer_to;
    uint64_t early_campaigns;     /* begun because nobody listened where the leader was */
    uint64_t election_timeout_us; /* as configured */
    uint64_t patience_us;         /* what elections and the disk are given: VOTE-9 */
    uint64_t disk_silent_us;      /* how long the disk has not answered; 0: nothing is asked */
    size_t disk_outstanding_bytes;
    /* Who told a term too far above ours last, and which, since the process started (TERM-4);
     * 0: nobody. */
    raft_node_id far_peer;
    raft_term far_term;
    uint64_t lease_us;      /* as configured; 0: none */
    bool lease_valid;       /* by the hold clock as told last */
    uint64_t lease_left_us; /* of a valid one */
    /* Why a leader that is configured to has none: "version", "clocks", "handed over", "not ready",
     * "silent"; NULL: it has, or does not lead, or is not configured to. Static. */
    const char *lease_why_not;
    uint64_t gate_left_us;    /* leader: how long nothing is committed yet (LEASE-7) */
    uint64_t promise_left_us; /* the longest that this node has given */
    raft_node_id drift_peer;  /* whose clock drifts too much against this node's; 0: nobody's */
    uint64_t n_lease_reads;   /* raft_lease() said 0; since the process started, like the next */
    uint64_t n_asks_sent;
    uint64_t n_asks_by_ack;   /* answered by the asker's own acknowledgement (FOLLOW-3) */
    uint64_t n_asks_by_lease; /* by a lease */
    uint64_t n_asks_by_round; /* by a round */
    bool terms_run_out;       /* fewer than RAFT_TERMS_LEFT_FEW are left (TERM-3) */
    unsigned n_peers;
    struct raft_peer_status peers[RAFT_SERVERS_MAX];
};
void raft_get_status(const struct raft *r, struct raft_status *ret_status);
raft_node_id raft_get_id(const struct raft *r);
enum raft_role raft_get_role(const struct raft *r);
raft_term raft_get_term(const struct raft *r);
raft_node_id raft_get_leader(const struct raft *r); /* 0: unknown */
enum raft_fitness raft_get_fitness(const struct raft *r);
/* Voters that a leader heard within one election timeout, itself included, in whose latest note
 * none of these flags stands; who says nothing has none. With 0: all that are heard. Not a leader:
 * 0. */
unsigned raft_n_voters_without(const struct raft *r, uint32_t flags);
bool raft_can_serve(const struct raft *r);
/* The same for raft_propose() alone: also where only promises of others are in the way, which end
 * by themselves; what is proposed is replicated meanwhile, and committed then (LEASE-7). */
bool raft_can_propose(const struct raft *r);
/* For how long that will be; 0: they are not in the way, or this node does not lead. */
uint64_t raft_gate_left_us(const struct raft *r);
/* Bytes beyond which nothing more is proposed, for the own disk could not write it in time
 * (DISK-30): 0 while there is room. */
size_t raft_get_disk_limit(const struct raft *r);
/* How long an election is given here, and what one sync of the own disk takes, or has taken so far:
 * whichever is longer. */
uint64_t raft_get_patience_us(const struct raft *r);
uint64_t raft_get_sync_us(const struct raft *r);
/* Leadership is being handed over, because somebody asked, the disk is stalled,
 * or this node is not fit. */
bool raft_is_transferring(const struct raft *r);
raft_index raft_get_commit_index(const struct raft *r);
raft_index raft_get_last_stored(const struct raft *r); /* known to be durable here */
const struct raft_configuration *raft_get_configuration(const struct raft *r);
/* The term of an entry in the log, or of its base; RAFT_TERM_COMPACTED below the base;
 * RAFT_TERM_NONE at 0 and behind the end. */
raft_term raft_term_at(const struct raft *r, raft_index index);

/* All invariants of the core. Asserts. For tests and the simulator: it costs O(entries in
 * memory, peers, reads). Those that cost nothing, and those about change, are looked at in every
 * build at the end of each call that changes something. */
void raft_check(struct raft *r);

#endif
