/* The bag test: what its files share.
 *
 *   bag-world.c   dice, lines for a person, failure; nodes with their disks, and the messages between them
 *   bag-rules.c   what must hold
 *   bag-act.c     what may happen in one step, and how often
 *   bag.c         one run from birth to the demand for progress; options
 *
 * One world at a time, in `bag`. Times are in microseconds of a node's own clock. */
#ifndef RIDD_TESTS_SIM_BAG_H
#define RIDD_TESTS_SIM_BAG_H

#include <inttypes.h>

#include "base/prng.h"
#include "raft/raft.h"
#include "sim/disk.h"

#define NODES_MAX    6u
#define BAG_MAX      160u
#define LATE_MAX     120u
#define TERMS_MAX    16384u
#define INDEXES_MAX  4096u
#define READS_MAX    512u
#define HASHES       8192u /* a power of two */
#define HEARTBEAT_US 10000u
#define ELECTION_US  50000u

struct read {
    uint64_t ctx;
    raft_index floor;     /* highest commit index of anybody when it was asked */
    raft_index min_index; /* its own connection's writes */
    raft_term term;
};

struct held {
    uint64_t after_batch;
    struct raft_msg *msg; /* owned */
};

struct node {
    char name[16];
    raft_node_id id;
    unsigned slot;
    struct raft *raft; /* owned; NULL while down */
    struct sim_disk disk;
    uint64_t now_us;
    unsigned rate; /* of its clock: 0 is paused */
    unsigned incarnation;
    bool
        read_asked; /* the reader said RAFT_LOG_E_LATER since the core was told that something came */
    unsigned n_syncing;   /* batches that the disk is writing, */
    uint64_t sync_due_us; /* until then */
    raft_index emitted;   /* handed out for applying */
    raft_index applied;
    raft_index verified; /* committed here and compared with everybody's */
    struct held *held;   /* owned; in order */
    size_t n_held;
    struct read reads[READS_MAX];
    unsigned n_reads;
    bool was_unfit;                /* at some time since the last ready */
    raft_term led_term;            /* led at the last look; 0: did not lead */
    raft_index led_commit;         /* then */
    struct raft_entry_id last_own; /* last proposal */
    raft_term match_term;          /* what match_index[] belongs to */
    raft_index match_index[NODES_MAX];
    uint64_t heard_us[NODES_MAX]; /* by its own clock, as leader */
};

struct agreed {
    raft_term term;
    raft_term seen_in; /* term of the node where it was first seen committed */
    unsigned voters;   /* of the configuration in force there then: bits by slot */
};

struct hash_slot {
    struct raft_entry_id id;
    uint64_t hash;
    uint64_t seed;
};

/* How the dice fall; drawn once per seed. Weights of actions, and probabilities in 1/1000. */
struct odds {
    unsigned deliver, tick, ready, store, propose, read, drop, again, apply;
    unsigned crash, restart, link, transfer, nemesis, jump, piece;
    unsigned fitness, rewind, forge;
    unsigned change; /* voters become learners, and learners voters */
    unsigned later, loaded; /* old entries are not at hand; some are now */
    unsigned slow_sync_us;  /* at the end, when all is healed; 0: disks take no time */
    unsigned in_order, late, late_comes, leak, ready_at_once, store_at_once, apply_at_once;
    unsigned append_lost;  /* of appends alone: logs that differ are what elections must settle */
    unsigned answers_late; /* of answers to heartbeats: what a stale read is made of */
    unsigned tick_us;      /* at most, per step */
    unsigned calm;         /* a cut lasts at least this many steps */
};

enum count {
    N_STEPS,
    N_DELIVERED,
    N_ELECTIONS,
    N_COMMITTED,
    N_READS,
    N_READS_CONFIRMED,
    N_READS_FAILED,
    N_READS_STALE_LEADER,
    N_LOSSES,
    N_TRUNCATIONS,
    N_TRANSFERS,
    N_CRASHES,
    N_CUTS,
    N_FROM_DISK,
    N_LATER,
    N_BASES,
    N_UNFIT,         /* a node became it */
    N_UNFIT_LEADERS, /* elected while it was */
    N_HANDED_OVER,   /* transfers that a core began by itself */
    N_REWINDS,
    N_FORGED,
    N_CLIMBED,
    N_CHANGES,
    N_EXPECTED,                 /* of those above, some in every few hundred seeds */
    N_OVERWRITTEN = N_EXPECTED, /* one in millions; a transcript has it for certain */
    N_COUNTS
};
struct bag {
    uint64_t steps_wanted; /* per seed */
    uint64_t seed;
    uint64_t step;
    const char *phase;
    bool trace;
    struct prng prng;
    struct odds odds;
    struct node nodes[NODES_MAX];
    unsigned n_nodes;
    unsigned n_voters;
    unsigned rounds_max;
    size_t cache_bytes_max;
    size_t append_bytes_max;
    size_t inflight_bytes_max;
    raft_term term_step;
    bool links_told; /* cuts are told to the cores */
    bool cut[NODES_MAX][NODES_MAX];
    bool broken[NODES_MAX][NODES_MAX]; /* the last thing a core was told of this link is `down` */
    struct raft_msg *msgs[BAG_MAX];    /* owned; oldest first */
    size_t n_msgs;
    struct raft_msg *late[LATE_MAX]; /* owned */
    size_t n_late;
    uint64_t calm_until; /* step */
    uint64_t next_ctx;
    uint64_t next_value;

    /* What is known by now, whoever said it. */
    struct agreed agreed[INDEXES_MAX]; /* [index] */
    raft_index n_agreed;               /* highest commit index ever seen on any node */
    struct {
        raft_node_id id;
        unsigned incarnation;
    } leaders[TERMS_MAX]; /* [term] */
    struct hash_slot hashes[HASHES];
    uint64_t counts[N_COUNTS];
};

extern struct bag bag;

/* ---- bag-world.c ---- */
const char *bag_name_of(void *ctx, raft_node_id id);
void bag_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bag_trace_msg(const char *what, const struct raft_msg *m);
/* Prints what repeats the run, and ends the process. */
_Noreturn void bag_fail(const char *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Text for an assertion of the core. */
void bag_assert_context(void *ctx, char *buf, size_t size);
uint64_t bag_below(uint64_t bound);
bool bag_chance(unsigned per_mille);
unsigned bag_between(unsigned low, unsigned high);
struct node *bag_node_of_id(raft_node_id id);
/* By the configuration in force at n: bits by slot. */
unsigned bag_voters_of(const struct node *n);
/* A running one, or NULL. */
struct node *bag_any_node(void);
struct node *bag_any_leader(void);
void bag_net_add(struct node *n, const struct raft_msg *m);
void bag_put_late(struct raft_msg *m);
struct raft_msg *bag_take_msg(size_t i);
void bag_give(struct raft_msg *m);
void bag_apply_all(struct node *n);
void bag_store_one(struct node *n);
void bag_take_ready(struct node *n);
/* What the core waits for of its log may be had now. */
void bag_log_loaded(struct node *n);
/* After an input: sometimes the turn ends at once, sometimes later; sometimes the disk is fast. */
void bag_after_input(struct node *n);
void bag_advance(struct node *n, uint64_t us);
void bag_start(struct node *n);
void bag_crash(struct node *n);
void bag_tell_link(struct node *a, struct node *b, bool up);
void bag_set_cut(struct node *a, struct node *b, bool cut);
void bag_heal(void);

/* ---- bag-rules.c ---- */
/* Of an entry in n's log; where its core has forgotten it because a snapshot would cover it, the
 * disk's image has not. */
raft_term bag_term_at(const struct node *n, raft_index index);
void bag_check_log_matching(const struct node *n, raft_index from);
void bag_check_on_majority(raft_index index);
void bag_check_send(const struct node *n, const struct raft_msg *m);
void bag_check_match(struct node *n);
void bag_check_apply(struct node *n, const struct raft_entry *e);
void bag_check_read(struct node *n, const struct raft_read_done *done);
void bag_check_loss(struct node *n, const struct raft_ready *rd);
void bag_check_quorum_heard(const struct node *n);
void bag_check_climb(const struct node *n, const struct raft_msg *m, raft_term before);
bool bag_take_read(struct node *n, uint64_t ctx, struct read *ret_read);
void bag_note_heard(struct node *n, const struct raft_msg *m);
/* The core's trace hook; ctx is the node. */
void bag_hear_core(void *ctx, const struct raft_trace *t);
/* After every call of a core. */
void bag_look(struct node *n);

/* ---- bag-act.c ---- */
void bag_draw_odds(void);
void bag_act(void);
void bag_read_at(struct node *n);

#endif
