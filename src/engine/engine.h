/* A node without its surroundings: log, state machine, replica and service joined, once for
 * every host.
 *
 * For: any program that runs a replica: the daemon, ridd-maelstrom, the simulator, the node
 * fuzzer. What a node does about itself is decided here: what its log and its state must have in
 * common before it starts, what ends it and with which exit code, when it takes no more writes
 * for lack of room, when it makes, sends and takes a snapshot and lets go of the log, how a change
 * of the members goes on, what it tells its operator, which fields of `status` speak of the disk.
 * Not for: how anything gets in or out. A host has the sockets, or the lines of standard input,
 * or the virtual network, the loop and the clock. Nothing about Raft or reads is decided here:
 * that is raft/ and replica/.
 * Units: microseconds of one monotonic clock, bytes.
 * Ownership: the engine owns all that it opens, until engine_free(). Descriptors, the
 * vfs, the tables' contexts and node_name are the host's and must outlive it, the other strings
 * the call.
 * Errors: engine_new() gives 0 or -errno; engine_open() 0 or enum engine_refusal, with a
 * sentence in err_text(); then only engine_free() is left. A failure later is final: ops.end is
 * called, and nothing that is in memory may leave any more.
 * Thread: one, the host's loop; ops.end may also be called on the log thread.
 * A state that is damaged, or has to be made again, is no failure: the node is unfit until it is
 * rebuilt (FIT-7).
 * Source: dissertation 3.5 and 10.2.1 for the order of disk and messages; DISK-4 and DISK-9 (what a
 * start refuses), DISK-13 (a failed write is final), SPACE-2 (when writes are refused), the
 * SNAP and MEMBER rules (snapshots, members). */
#ifndef RIDD_ENGINE_ENGINE_H
#define RIDD_ENGINE_ENGINE_H

#include "kv/kv.h"
#include "raft/raft.h"
#include "replica/replica.h"
#include "service/service.h"
#include "store/store.h"

struct engine;

/* Why a node may not start: number, event in the log, exit code. LOST: there was a log, and it
 * is gone. FOREIGN: it is another node's. CONTRADICTION: state and log are not of one copy.
 * NOT_MEMBER: the log does not name this node. HOST: ops.recovered said so. */
/* clang-format off */
#define ENGINE_REFUSALS(X)                                          \
    X(ENGINE_E_STATE,         1, "state_refused", EXIT_IO_ERROR)    \
    X(ENGINE_E_LOG,           2, "log_refused",   EXIT_IO_ERROR)    \
    X(ENGINE_E_LOG_DAMAGED,   3, "log_damaged",   EXIT_DAMAGED)     \
    X(ENGINE_E_LOG_FOREIGN,   4, "log_foreign",   EXIT_CONF_ERROR)  \
    X(ENGINE_E_LOG_LOST,      5, "log_lost",      EXIT_DAMAGED)     \
    X(ENGINE_E_CONTRADICTION, 6, "core_refused",  EXIT_DAMAGED)     \
    X(ENGINE_E_NOT_MEMBER,    7, "core_refused",  EXIT_CONF_ERROR)  \
    X(ENGINE_E_MEMORY,        8, "core_refused",  EXIT_IO_ERROR)    \
    X(ENGINE_E_HOST,          9, "core_refused",  EXIT_IO_ERROR)    \
    X(ENGINE_E_LOG_NEWER,    10, "log_refused",   EXIT_CONF_ERROR)  \
    X(ENGINE_E_STATE_OTHER,  11, "state_refused", EXIT_CONF_ERROR)
/* clang-format on */
#define ENGINE_REFUSAL_ENUM(name, number, event, code) name = number,
enum engine_refusal { ENGINE_REFUSALS(ENGINE_REFUSAL_ENUM) };
/* "log_lost": the name of the event that a host logs. */
const char *engine_refusal_text(int refusal);
int engine_refusal_exit_code(int refusal);
/* What is refused when the log says this: STORE_E_* or -errno, not 0. */
enum engine_refusal engine_refusal_of_log(int rc);

/* Why a running node must end. */
struct engine_end {
    int exit_code;
    int error; /* -errno, or an outcome of the state */
    const char *what;
};

/* A state machine in place of kv, with the contracts of kv.h: a simulator has its own. */
struct engine_state {
    void *ctx;
    struct raft_entry_id (*last_applied)(void *ctx);
    int (*begin)(void *ctx);
    int (*apply)(void *ctx, const struct raft_entry *e, struct command_result *ret_result);
    int (*apply_get)(void *ctx, struct wire_slice key, struct command_value *ret_value);
    int (*commit)(void *ctx);
    void (*abort)(void *ctx);
    /* kv_flush(), kv_flush_step(), kv_is_ahead(). All NULL: what was committed can be copied. */
    int (*flush)(void *ctx);
    int (*flush_step)(void *ctx, raft_index up_to, bool *ret_more);
    bool (*is_ahead)(void *ctx);
    int (*read_begin)(void *ctx, struct raft_entry_id *ret_last_applied);
    int (*get)(void *ctx, struct wire_slice key, struct command_value *ret_value);
    /* Both NULL: nobody asks for more than single keys. */
    int (*seek)(void *ctx, const struct command_range *range);
    int (*next)(void *ctx, struct command_item *ret_item);
    void (*read_end)(void *ctx);
    /* What it holds is set aside, and it is empty: kv_rebuild(). NULL: it cannot be damaged. */
    int (*rebuild)(void *ctx);
    /* kv_copy(), kv_copy_stop(), kv_copy_go(), kv_check_copy(), kv_prepare(), kv_switch(),
     * kv_copy_format(). All NULL and 0: there are no snapshots of it. */
    int (*copy)(void *ctx, const struct kv_sink *sink);
    void (*copy_stop)(void *ctx);
    void (*copy_go)(void *ctx);
    int (*check_copy)(void *ctx, const struct kv_source *source, struct kv_copy_info *ret);
    int (*prepare)(void *ctx, const struct kv_source *source, struct kv_copy_info *ret);
    int (*switch_to)(void *ctx);
    uint32_t copy_format;
    /* kv_unprepare(), kv_has_leavings(), kv_clear_leavings(). Each may be NULL: there is nothing to
     * give back. */
    void (*unprepare)(void *ctx);
    bool (*has_leavings)(void *ctx);
    void (*clear_leavings)(void *ctx);
    /* Bytes that a copy has, about. */
    uint64_t (*copy_bytes)(void *ctx);
    /* kv_digest_at(), and the version of its digests. NULL and 0: it has none. */
    bool (*digest_at)(void *ctx, raft_index index, struct raft_digest_at *ret);
    uint32_t digest_version;
    /* What counts of the limit, and the limit, 0: none. NULL: this state has none. */
    void (*space)(void *ctx, uint64_t *ret_live_bytes, uint64_t *ret_limit_bytes);
    /* Of kv_get_stats(). NULL: this state knows no sessions. */
    void (*sessions)(void *ctx, struct kv_sessions *ret);
    /* kv_disk_room(). NULL: it is not known how full its disk is. */
    bool (*disk_room)(void *ctx, uint64_t *ret_used, uint64_t *ret_limit);
    /* kv_scrub_step() and kv_scrub_restart(); both NULL: there is nothing to read through. */
    int (*scrub)(void *ctx, size_t bytes, struct kv_scrub_progress *ret);
    void (*scrub_restart)(void *ctx);
};

/* What a node that waits to be added is told. */
struct engine_join {
    const char *peer_addr;
    const char *name;
    const void *config; /* what its log begins with */
    size_t len;         /* 0: it is only asked whether it waits; 0 says that it does */
    unsigned char cluster_id[16];
    /* It must speak this version of the protocol at least, or is not told (LEASE-15). */
    unsigned version_lowest;
};

/* What the engine asks of its host. Those marked may be NULL. */
struct engine_ops {
    void *ctx;
    uint64_t (*now_us)(void *ctx);
    /* As replica_ops.suspended_us and .disrupted; or NULL. */
    uint64_t (*suspended_us)(void *ctx);
    bool (*disrupted)(void *ctx);
    /* Processor time of the loop's thread, in microseconds; NULL: not known, and reads have all
     * their rounds. */
    uint64_t (*cpu_us)(void *ctx);
    /* A message to a peer, as replica_ops.send. */
    void (*send)(void *ctx, const struct raft_msg *m);
    /* What was sent leaves now, as far as the links take it without waiting (TIME-2). NULL: the
     * host does so after the turn, which is enough where a turn takes no time. */
    void (*flush)(void *ctx);
    /* What clients were answered leaves now, before what else a turn does. May be NULL. */
    void (*answer)(void *ctx);
    /* The node cannot go on; it was logged. In a process of its own this does not return:
     * nothing is flushed, nothing tried again. Where it returns, the host asks nothing of the
     * engine any more but to be freed. */
    void (*end)(void *ctx, const struct engine_end *end);
    /* NULL: what happens becomes log lines. Otherwise the engine writes no line at all. */
    void (*trace)(void *ctx, const struct raft_trace *t);
    /* What the host does with one whose message no correct node sends: "close_link". */
    const char *invalid_action;

    /* For who looks at what passes; NULL: straight to the log. They hand on to engine_log_submit()
     * and engine_log_read(). */
    int (*log_submit)(void *ctx, const struct raft_ready *ready);
    int (*log_read)(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n);
    /* The log is open, nothing was made of it yet. Other than 0: do not start. NULL: go on. */
    int (*recovered)(void *ctx, const struct store_recovered *r);

    /* Clients, as in service_ops; `out` NULL: this host has no clients, and there is no service. */
    struct buf *(*out)(void *ctx, void *conn);
    uint64_t (*arrived_us)(void *ctx); /* or NULL */
    void (*hold)(void *ctx, void *conn);
    void (*release)(void *ctx, void *conn);
    enum service_role (*role)(void *ctx, void *conn); /* or NULL: each may do everything */
    unsigned (*grants)(void *ctx, void *conn,
                       struct service_grant ret[CONF_GRANTS_MAX]); /* or NULL */
    void (*denied)(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                   size_t size);                                        /* or NULL */
    void (*admin)(void *ctx, void *conn, const struct wire_request *q); /* or NULL */
    bool (*seal)(void *ctx, void *conn, uint64_t client, uint64_t *ret);
    int (*auth)(void *ctx, void *conn, struct wire_slice token,
                struct service_who *ret);                   /* or NULL */
    const char *(*conn_address)(void *ctx, void *conn);     /* or NULL */
    struct memory_conn *(*memory)(void *ctx, void *conn);   /* or NULL */
    void (*touched)(void *ctx, void *conn, size_t bytes);   /* or NULL */
    const char *(*client_addr)(void *ctx, raft_node_id id); /* or NULL */
    const char *(*peer_addr)(void *ctx, raft_node_id id);   /* or NULL */
    bool (*peer_connected)(void *ctx, raft_node_id id);     /* or NULL */
    /* Tells the node that waits at an address who it is to be, and waits for its answer; on a
     * thread of its own. 0: *ret_incarnation; otherwise err_text() says why. NULL: no node can be
     * added. */
    int (*join)(void *ctx, const struct engine_join *j, uint64_t *ret_incarnation);
    /* Of a founder, as far as it was met; 0: not known. Or NULL. */
    uint64_t (*incarnation)(void *ctx, raft_node_id id);
    /* Bytes that nobody can guess. NULL, or false: by raft_conf.seed. */
    bool (*random)(void *ctx, void *ret, size_t n);
    /* The latest version of the protocol that the node there spoke when it was last met, whether or
     * not it is linked now; 0: it was not met since the start. NULL: all are of this program's. */
    unsigned (*peer_version)(void *ctx, raft_node_id id);
    /* The latest version of a command that the node is known to understand, 0: nothing is known of
     * it yet. NULL: all nodes are of this program's version. */
    unsigned (*command_version)(void *ctx, raft_node_id id);
    uint64_t (*wire_bytes)(void *ctx); /* of peers' frames, both ways, since the start; or NULL */
    void (*status)(void *ctx, struct wire_reply *w); /* the host's own fields; or NULL */
    const char *(*init)(void *ctx, const struct wire_request *q); /* or NULL */
};

/* 0 of each: the default. */
struct engine_snapshots_conf {
    /* One is made when the log behind the newest has so many bytes, and as many as the state. */
    uint64_t log_bytes;
    uint64_t keep_bytes; /* of the log, before the newest, for followers that are behind */
    unsigned mib_per_s;  /* while one is made, or sent; 0: as fast as it goes */
};

struct engine_conf {
    const char *node_name;
    struct raft_conf raft; /* id, seed, times, bounds; the engine sets its tables */
    struct store_conf log; /* vfs NULL: log_fd says where; applied_index is the engine's */
    int log_fd;            /* the folder of the log; borrowed */
    const char *log_path;  /* the same in sentences */
    /* Snapshots; none where the state has none, or neither folder is given. */
    struct vfs *snap_vfs; /* NULL: snap_fd says where */
    int snap_fd;          /* the folder; borrowed; 0 with snap_vfs NULL: no snapshots */
    struct engine_snapshots_conf snapshots;
    struct kv_conf kv; /* its group, the log's and raft's are one */
    /* The limit that this node, when it leads, gives the state (SPACE-5); 0: it leaves it alone. */
    uint64_t quota_bytes;
    const struct engine_state *state; /* instead of kv; copied */
    unsigned scrub_mib_per_s;         /* how fast a running state is read through; 0: it is not */
    /* A node that its own log does not name may start: peers that lie can make such a log. */
    bool may_be_stranger;
};

/* service: its conf, or NULL when ops->out is. Nothing is opened yet: until then the service
 * answers only what needs no replica. */
int engine_new(const struct engine_ops *ops, const struct service_conf *service,
               struct engine **ret);
/* The log of a new node, with its first configuration as entry 1; durable at return. 0 or
 * -errno. */
int engine_create_log(const struct engine_conf *conf, const void *config_entry, size_t len);
/* State, log, their comparison, the replica. Once. */
int engine_open(struct engine *e, const struct engine_conf *conf);
/* Old entries of the log are read by engine_read() alone, which the host calls when
 * engine_has_reads(), at a time of its own; the loop waits for no disk (DISK-33). Once, after
 * engine_open(); without it they are read in the turn. 0 or -ENOMEM. */
int engine_read_ahead(struct engine *e);
bool engine_has_reads(const struct engine *e);
/* One window; the next turn uses it. */
void engine_read(struct engine *e);
/* Writing and reading on threads of their own; notify_fd, an eventfd, becomes readable when a batch
 * is durable, or old entries are there. Without it the host calls engine_work(), or is the log
 * thread itself (store.h). 0 or -errno. */
int engine_start_log_thread(struct engine *e, int notify_fd);
/* No batch is taken any more, those queued are finished, waiting requests are failed; log and state
 * stay open. Further calls do nothing. */
void engine_stop(struct engine *e);
/* clean: the state is marked so that the next start believes it. NULL is accepted. */
void engine_free(struct engine *e, bool clean);

/* ---- the loop ---- */

/* The time of the next turn: one at which nothing waited in the host's links any more (TIME-3). The
 * clock is read first and the links are looked at afterwards, again and again while that brings
 * something, and for a share of a turn at most. So no timer fires, and no silence is judged, ahead
 * of a message that was there. take() takes in what there is without waiting; false: nothing. */
uint64_t engine_drain(struct engine *e, bool (*take)(void *ctx));
/* The loop was busy from then to then with one turn; stood: the process did not run at all, it was
 * stopped, or had no processor. Said before the turn whose operations were held up by it, where
 * that can be. */
void engine_note_held(struct engine *e, uint64_t from_us, uint64_t to_us, bool stood);
/* Once after everything that came in: what became durable, what is due, what goes out. When
 * engine_is_due(), now_us must be what engine_drain() said, where reading or a turn takes time. */
void engine_turn(struct engine *e, uint64_t now_us);
/* Without a log thread: what is queued becomes durable, in the caller's time. */
void engine_work(struct engine *e, uint64_t now_us);
/* Which version of the protocol each member must speak at least, by the configuration in force:
 * whoever does not is refused its link (LEASE-15). */
unsigned engine_version_lowest(const struct engine *e);
/* The link to a peer came up or went down, as replica_link(); with what ops.peer_version says of it
 * the core learns whom it may ask. A host without links calls it never, and all may be asked. */
void engine_link(struct engine *e, raft_node_id peer, bool up, uint64_t now_us);
/* Nobody listens at `address`: whoever called there was refused, and both connections to this peer
 * had ended with FIN or RST. It is a hint to the core (raft_gone()) where that is the address that
 * this peer has now, by ops.peer_addr (FAILOVER-1). */
void engine_gone(struct engine *e, raft_node_id peer, const char *address, uint64_t now_us);
/* When the turn must be taken even if nothing happens; UINT64_MAX: never. */
uint64_t engine_deadline_us(const struct engine *e);
/* Is anything due that time alone brings: a heartbeat, an election, the end of a request's time? */
bool engine_is_due(const struct engine *e, uint64_t now_us);
/* How many rounds of reads may be outstanding while the loop is not the bottleneck (READ-65);
 * raft.rounds_max of the configuration until then. */
void engine_set_rounds(struct engine *e, unsigned rounds_max);
/* How long a lease this node takes when it leads, 0: none, by a file that was read again;
 * raft.lease_us of the configuration until then. */
void engine_set_lease(struct engine *e, uint64_t lease_us);
uint64_t engine_get_lease(const struct engine *e);
/* Whether the core campaigns at once where nobody listens any more; raft.fast_failover of the
 * configuration until then. */
void engine_set_fast_failover(struct engine *e, bool on);
/* Snapshots that are made and sent, by a file that was read again. */
void engine_set_snapshots(struct engine *e, const struct engine_snapshots_conf *conf);
/* One is made as soon as it can be, if entries were applied since the newest. False: there are no
 * snapshots here, or none can be made. */
bool engine_make_snapshot(struct engine *e);
/* What the state may hold, by a file that was read again; engine_conf.quota_bytes until then. */
void engine_set_quota(struct engine *e, uint64_t quota_bytes);
/* What ops.log_submit hands on to. 0 or -errno. */
int engine_log_submit(struct engine *e, const struct raft_ready *ready);
/* What ops.log_read hands on to, with the contract of raft_log_reader: 0, RAFT_LOG_E_*, -errno. */
int engine_log_read(struct engine *e, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n);

/* The state has no room for what is committed, or has it again: the node is parked (raft.h) as long
 * as it is not worse. */
void engine_set_parked(struct engine *e, bool is_parked);

/* The last configuration that is committed and durable here, so that a start finds it again.
 * Borrowed until the core's next call. NULL: it is not known, while a snapshot is installed. */
const struct raft_config_at *engine_durable_configuration(const struct engine *e);
/* The random id of the cluster, by that configuration (MEMBER-16). False: it names none. */
bool engine_cluster_id(const struct engine *e, unsigned char ret_id[16]);

/* ---- looking ---- */

/* Whether this node can be sent requests, and why not: what a probe asks. */
struct engine_health {
    enum raft_role role;
    raft_term term;
    raft_node_id leader_id;               /* 0: none is known */
    char leader[NODE_NAME_BYTES_MAX + 1]; /* "": likewise */
    bool can_serve;                       /* a leader: it answers and appends */
    bool leader_connected;                /* another one: there is a link to it */
    enum raft_fitness fitness;
    const char *verdict; /* of its state: "good", "checking", "differs", "damaged", "rebuilding" */
    const char *full;    /* "log", "state", "nodes", "quota"; NULL: nothing is */
    uint64_t behind_entries;
    bool applied_nothing; /* and so behind_entries is no number of entries (BACKUP-2) */
    unsigned n_voters;
    unsigned n_voters_heard; /* of a leader */
    uint64_t disk_silent_us; /* so long the disk has not answered */
    uint64_t election_us;
};
/* On the loop; some microseconds. After engine_open(). */
void engine_get_health(const struct engine *e, struct engine_health *ret);
/* What the operator of this node should see to, in a sentence: clocks that run apart. False:
 * nothing. */
bool engine_warning(const struct engine *e, char *ret_text, size_t size);
/* The same of all that an operator should see to at once: no room, a state that differs, a slow
 * disk; then what engine_warning() says. */
bool engine_trouble(const struct engine *e, char *ret_text, size_t size);
/* How often this node found its state to differ from another's. */
uint64_t engine_n_alarms(const struct engine *e);
/* NULL before engine_open(). */
struct replica *engine_replica(const struct engine *e);
const struct raft *engine_raft(const struct engine *e);
struct service *engine_service(const struct engine *e); /* NULL: none */
struct store *engine_store(const struct engine *e);     /* NULL: not open */
/* By the configuration in force, of one that it says was removed, too; "?" when unknown, "none" for
 * 0. */
const char *engine_name_of(const struct engine *e, raft_node_id id);
/* One line for whoever reads of a failed assertion; empty before engine_open(). */
void engine_describe(const struct engine *e, char *buf, size_t size);
/* Logs an end in the words of ops.end, for a host whose own surroundings fail; the exit code. */
int engine_log_end(int error, const char *what);

#endif
