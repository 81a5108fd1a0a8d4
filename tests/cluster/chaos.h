/* The parts of the chaos driver (chaos.c): the load that makes a history, and the nemesis. */
#ifndef RIDD_TESTS_CLUSTER_CHAOS_H
#define RIDD_TESTS_CLUSTER_CHAOS_H

#include "cluster/checker.h"
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
    METHOD_FINAL,  /* read at the end, when all is well again */
    N_METHODS
};
extern const char *const method_names[N_METHODS];

struct load_stats {
    uint64_t n_asked[N_METHODS];
    uint64_t n_ok[N_METHODS];
    uint64_t n_unknown; /* writes whose outcome is unknown */
    uint64_t n_refused; /* definitely not done */
    uint64_t n_keys;
    uint64_t n_acknowledged; /* writes, cas and deletes that took effect */
    uint64_t n_digests;      /* compared: two nodes at one index */
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
    N_FAULTS
};
extern const char *const fault_names[N_FAULTS];
#define FAULTS_BASIC                                                                               \
    ((1u << FAULT_KILL) | (1u << FAULT_PAUSE) | (1u << FAULT_PARTITION) | (1u << FAULT_ECHO) |     \
     (1u << FAULT_AWAY))
#define FAULTS_ALL ((1u << N_FAULTS) - 1u)

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
/* Does what is due; call often. Fails the case when a node ended that nobody ended. */
void nemesis_turn(struct nemesis *m, int leader);
/* Only looks whether a node ended, and does what follows from that. */
void nemesis_watch(struct nemesis *m);
/* All faults end, all nodes run. Does not wait for a leader. */
void nemesis_heal(struct nemesis *m);
/* After a failure: ends the nodes and copies what would vanish with the file systems made here to
 * `<data folder>.kept`. Waits for nobody and fails nothing. */
void nemesis_keep(struct nemesis *m);
void nemesis_get_stats(const struct nemesis *m, struct nemesis_stats *ret);
/* After the nodes have ended. */
void nemesis_free(struct nemesis *m);

#endif
