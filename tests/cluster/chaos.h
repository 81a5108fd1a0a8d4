/* The parts of the chaos driver (chaos.c): the load that makes a history, and the nemesis. */
#ifndef RIDD_TESTS_CLUSTER_CHAOS_H
#define RIDD_TESTS_CLUSTER_CHAOS_H

#include "history/checker.h"
#include "cluster/harness.h"
#include "cluster/proxy.h"
#include "cluster/shim.h"

/* ---- the load: clients, and one who looks at the status of all nodes ---- */

enum method {
    METHOD_WRITE,
    METHOD_CAS,
    METHOD_DELETE,
    METHOD_READ_INDEX,
    METHOD_READ_VIA_LOG,
    METHOD_BATCH,
    METHOD_READ,
    METHOD_LOCAL,
    METHOD_LEDGER, /* a write of a key that is used once */
    /* Only with load_set_reads(). */
    METHOD_LEASE,
    METHOD_FOLLOWER,
    METHOD_SCAN,    /* a page of the keys of a group */
    METHOD_TOKEN,   /* a local read, or page, with what the client has seen */
    METHOD_BOUNDED, /* a local read with max_stale_ms */
    METHOD_SESSION, /* a write or cas of a session, repeated until its outcome is known */
    METHOD_AGAIN,   /* a repetition of one that was answered */
    METHOD_OPEN,    /* of a session */
    METHOD_FINAL,   /* read at the end, when all is well again */
    N_METHODS
};
extern const char *const method_names[N_METHODS];
/* Of them, those that load_set_reads() adds: reads whose answers are judged. */
#define METHODS_NEW_READS                                                                          \
    ((1u << METHOD_LEASE) | (1u << METHOD_FOLLOWER) | (1u << METHOD_READ) | (1u << METHOD_SCAN) |  \
     (1u << METHOD_TOKEN) | (1u << METHOD_BOUNDED))

struct load_stats {
    uint64_t n_asked[N_METHODS];
    uint64_t n_ok[N_METHODS];
    uint64_t n_unknown; /* writes whose outcome is unknown */
    uint64_t n_refused; /* definitely not done */
    uint64_t n_keys;
    uint64_t n_acknowledged; /* writes, cas and deletes that took effect */
    uint64_t n_digests;      /* compared: two nodes at one index */
    uint64_t n_snapshots;    /* asked for, and begun */
    uint64_t n_by_lease;     /* lease reads that had one */
    uint64_t n_by_leader;    /* follower reads of nodes that do not lead */
    uint64_t n_page_keys;    /* keys that pages told of, absent ones too */
    uint64_t n_foreign;      /* tokens of another cluster, refused */
    uint64_t n_repeated;     /* writes of sessions whose outcome was unknown, sent once more */
    uint64_t n_settled;      /* of them: the outcome was told then */
    uint64_t n_from_removed; /* answers of one that was removed, none of them linearizable */
    uint64_t longest_gap_ms; /* without an acknowledged write */
};

struct load;
/* All operations are added to h, which the caller keeps. */
struct load *load_new(struct cluster *c, unsigned n_clients, unsigned depth, uint64_t seed,
                      struct history *h);
void load_free(struct load *l);
/* Asks and takes in; waits at most ms. Fails the case when an answer can never be right. */
void load_turn(struct load *l, unsigned ms);
/* Waits for all answers, or gives them up. Nothing is asked any more. */
void load_stop(struct load *l);
/* Reads every key that was ever used and adds that to the history; fails the case when an
 * acknowledged write of a key that is used once is not there, or a refused one is. */
void load_read_all(struct load *l);
/* What was asked until now is judged, and the history empty; what is asked from here on is of keys
 * of its own. After load_read_all(); load_read_back() reads the old ones once more. */
void load_begin_window(struct load *l);
/* Reads all keys of all windows: they are as they were at the end of theirs. */
void load_read_back(struct load *l);
/* The reads that need a lease, another node's word or a clock, pages, and writes of sessions are
 * asked for, too, of any node. */
void load_set_reads(struct load *l, bool all);
/* Every node is asked for a snapshot about so often. 0: never. */
void load_set_snapshots(struct load *l, unsigned every_ms);
/* The node in this place was removed: what it is asked from now on it must not answer as one that
 * belongs to the cluster. False: another lives there. */
void load_set_removed(struct load *l, unsigned place, bool is_removed);
/* Who said last that it leads; -1: nobody. */
int load_leader(const struct load *l);
const struct load_stats *load_get_stats(const struct load *l);

/* ---- the nemesis ---- */

enum fault_kind {
    FAULT_KILL,
    FAULT_PAUSE,
    FAULT_PARTITION,
    FAULT_ECHO,  /* a leader hears ever later, then is cut off: it hears only of its past */
    FAULT_LINK,  /* late, lost and doubled frames, dribbling, resets */
    FAULT_SLOW,  /* syncs that take long */
    FAULT_ERROR, /* a sync that fails */
    FAULT_FULL,  /* no space */
    FAULT_CLOCK, /* the wall clock jumps */
    FAULT_AWAY,  /* down while much is written: what it needs is not in the log any more */
    FAULT_RATE,  /* clocks run faster or slower, by no more than what is promised of them */
    FAULT_SLEEP, /* a machine is suspended */
    FAULT_MOVE,  /* all clocks of a machine stand still, and the hypervisor says so */
    FAULT_HAND,  /* the leader hands over */
    N_FAULTS
};
extern const char *const fault_names[N_FAULTS];
#define FAULTS_BASIC                                                                               \
    ((1u << FAULT_KILL) | (1u << FAULT_PAUSE) | (1u << FAULT_PARTITION) | (1u << FAULT_ECHO) |     \
     (1u << FAULT_AWAY) | (1u << FAULT_HAND))
#define FAULTS_CLOCKS ((1u << FAULT_RATE) | (1u << FAULT_SLEEP) | (1u << FAULT_MOVE))
#define FAULTS_ALL    ((1u << N_FAULTS) - 1u)

struct nemesis_stats {
    uint64_t n_faults[N_FAULTS];
    unsigned n_quiet; /* periods without any */
    struct proxy_stats proxy;
    uint64_t n_syncs;
    uint64_t n_syncs_failed;
    unsigned n_disks_filled;
    unsigned n_disks_felt; /* of them: the node has said that there is no room */
    unsigned n_snapshots_made;
    unsigned n_snapshots_begun; /* to another node */
    unsigned n_snapshots_sent;
    unsigned n_installed;
    unsigned n_restored;   /* states made from a snapshot of the node's own */
    uint64_t n_redirected; /* connections to peers that were sent to the proxy */
};

/* chaos-full.c. False: it could not be done. */
bool disk_set(const struct node *node, uint64_t bytes);
bool disk_fill(const struct node *node, uint64_t room); /* so much is left */
/* Writes large values to a node; never waits. All zero: not begun. */
struct flood {
    int fd;
    bool is_open;
    size_t at; /* of the line under way */
};
void flood_turn(struct flood *f, uint16_t port);
void flood_end(struct flood *f);

struct nemesis;
/* Before the first start of the nodes: nodes are started by nemesis_start_all(). faults: a set of
 * 1 << enum fault_kind; those this machine cannot do are taken out, and said. say: a line for each
 * fault goes to stdout. */
struct nemesis *nemesis_new(struct cluster *c, unsigned faults, uint64_t seed, bool say);
void nemesis_start_all(struct nemesis *m);
/* How long a period of faults is, at random; before the first. */
void nemesis_set_periods(struct nemesis *m, uint64_t ms_min, uint64_t ms_max);
/* The clocks of that place run by so many millionths faster, also beyond what is promised of them.
 * nemesis_heal() ends it. */
void nemesis_set_rate(struct nemesis *m, unsigned place, int ppm);
/* Does what is due; call often. Fails the case when a node ended that nobody ended. */
void nemesis_turn(struct nemesis *m, int leader);
/* Only looks whether a node ended, and does what follows from that. */
void nemesis_watch(struct nemesis *m);
/* All faults end, all nodes run. Does not wait for a leader. */
void nemesis_heal(struct nemesis *m);
/* After a failure: ends the nodes and copies what would vanish with the file systems made here to
 * `<data folder>.kept`. Waits for nobody and fails nothing. */
void nemesis_keep(struct nemesis *m);
uint64_t nemesis_count(const struct nemesis *m); /* of faults so far */
void nemesis_get_stats(const struct nemesis *m, struct nemesis_stats *ret);
/* A new node lives in that place, which was empty: name, folder, log and configuration are set, and
 * it is started with --join, from now on by the nemesis alone. */
void nemesis_settle(struct nemesis *m, unsigned place);
/* It is a member: --join is not said any more. */
void nemesis_has_joined(struct nemesis *m, unsigned place);
/* Killed, and not started by anybody; or started again. */
void nemesis_keep_down(struct nemesis *m, unsigned place, bool down);
/* From now on it may end by itself with 0, and then stays down. */
void nemesis_let_leave(struct nemesis *m, unsigned place);
bool nemesis_has_left(const struct nemesis *m, unsigned place);
/* Of one that has left: its data are thrown away. Its log stays. */
void nemesis_empty(struct nemesis *m, unsigned place);
/* After the nodes have ended. */
void nemesis_free(struct nemesis *m);

/* ---- members that are replaced: chaos-members.c ---- */

#define REPLACING_PLACES      1u /* beside the members: for one that comes, or for one that goes */
#define REPLACING_MEMBERS_MAX (CLUSTER_NODES_MAX - REPLACING_PLACES)

struct replacing_stats {
    unsigned n_done;
    unsigned n_killed;           /* of those begun: the member was gone before */
    unsigned n_leaders;          /* of those begun */
    unsigned n_stopped;          /* removed ones that had to be stopped */
    unsigned n_again;            /* times that ridctl gave up, and was started again */
    uint64_t longest_ms;         /* until ridctl said that it is done */
    uint64_t longest_leaving_ms; /* from then on until the old one had ended */
    uint64_t longest_healed_ms;  /* until all had ended, after the last fault had */
};

/* The last place, which is empty, gets a node that stays a learner; returns when it is one. All run,
 * and no fault is under way. */
void learner_join(struct cluster *c, struct nemesis *m, const char *conf);

struct replacing;
/* Made, with empty places for others; nothing is started. */
struct cluster *replacing_cluster(unsigned n_members, const char *conf);
/* One change every so often, from now on. conf: as given to the cluster; borrowed. */
struct replacing *replacing_new(struct cluster *c, struct nemesis *m, struct load *l,
                                const char *conf, unsigned every_ms, uint64_t seed, bool say);
void replacing_free(struct replacing *r);
/* Does what is due; call often. */
void replacing_turn(struct replacing *r, int leader);
/* All faults have ended: what was begun ends, or the case fails with the reason. */
void replacing_finish(struct replacing *r);
const struct replacing_stats *replacing_get_stats(const struct replacing *r);

/* ---- runs: chaos-run.c and chaos-restarts.c ---- */

/* A snapshot every few seconds, and slow enough that faults meet it. */
#define CHAOS_LOG_CONF                                                                             \
    "[log]\nsegment_size = 1M\nsnapshot_bytes = 64K\nkeep_bytes = 0\nsnapshot_mib_per_s = 1\n"
#define CHAOS_NODE_CONF CHAOS_LOG_CONF "[reads]\nlease_ms = 300\n"

struct chaos_conf {
    uint64_t seed;
    uint64_t total_ms;
    uint64_t run_ms;      /* of one run, with a cluster of its own */
    unsigned nodes;       /* 0: three, and five in one run of four */
    unsigned clients;     /* 0: 4 to 16 */
    unsigned depth;       /* operations under way of each; 0: one */
    unsigned faults;      /* 1 << enum fault_kind */
    unsigned replace_ms;  /* a member is replaced every so often; 0: none */
    unsigned lease_ms;    /* 0: 300, and 1000 in every other run */
    unsigned snapshot_ms; /* each node is asked for a snapshot about so often; 0: none is */
    unsigned n_cycles;    /* of restarts, instead of the time */
    unsigned window;      /* cycles after which what was seen is judged; 0: 50 */
    bool reads;           /* of all kinds, and writes of sessions */
    uint64_t n_reads;     /* it ends sooner when so many of them were answered, and */
    uint64_t n_faults;    /* there were so many faults; 0: it does not */
    bool quiet_runs;      /* one in five without faults */
    bool say;             /* each fault */
};
/* Fails the case when anything is not as it must be. */
void chaos_run(const struct chaos_conf *conf);
void chaos_restart(const struct chaos_conf *conf);
/* One clock runs apart from the others by more than is promised: it is said, by both names, and no
 * lease is used until they agree. */
void chaos_drift(const struct chaos_conf *conf);
/* As the teardown of each case: keeps what would vanish with a run that failed. */
int chaos_teardown(void **state);
/* All judges; of a history that is not good all is kept in the cluster's folder, and the case
 * fails. Returns how many states were searched. */
uint64_t chaos_judge(const struct cluster *c, const struct history *h, uint64_t seed);
/* All nodes come to one index, with one digest. Nobody asks any more. */
void chaos_compare_states(struct cluster *c, uint64_t seed);

#endif
