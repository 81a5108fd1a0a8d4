/* The simulator's seed: the world it draws, and what goes wrong in it. Part of sim.h; not to be
 * included alone. */
#ifndef RIDD_TESTS_SIM_PROFILE_H
#define RIDD_TESTS_SIM_PROFILE_H

#include "sim/sim.h"

/* ---- what may go wrong ---- */

enum episode_kind {
    EPISODE_ISOLATE,
    EPISODE_ISOLATE_LEADER,
    EPISODE_HALVES,
    EPISODE_ONE_WAY_OUT,
    EPISODE_ONE_WAY_IN,
    EPISODE_BRIDGE,
    EPISODE_RING,
    EPISODE_RANDOM_CUTS,
    EPISODE_CLOG,
    EPISODE_FLAP,
    EPISODE_LOSS,
    EPISODE_BREAK_LINKS,
    EPISODE_CRASH_PROCESS,
    EPISODE_CRASH_MACHINE,
    EPISODE_CRASH_LEADER,
    EPISODE_CRASH_MAJORITY,
    EPISODE_CRASH_ALL,
    EPISODE_PAUSE,
    EPISODE_PAUSE_LEADER,
    EPISODE_SUSPEND,
    EPISODE_DRIFT,
    EPISODE_STALL,
    EPISODE_STALL_LEADER,
    EPISODE_SLOW_DISK,
    EPISODE_SYNC_FAILS,
    EPISODE_DISK_FULL,
    EPISODE_ROT,
    EPISODE_WIPE,
    EPISODE_TRANSFER,
    EPISODE_CALL_FAILS,
    EPISODE_CHASE_CUT, /* whoever leads, again and again */
    EPISODE_CHASE_PAUSE,
    EPISODE_CHASE_TRANSFER,
    EPISODE_CRASH_STORED, /* between the disk's work and its report */
    EPISODE_STATE_FAILS,
    EPISODE_KIND_COUNT,
};
struct episode {
    enum episode_kind kind;
    uint64_t begin;
    uint64_t length;
    uint64_t draw; /* all its choices */
    bool active;
    bool flap_on;
    unsigned node;                /* resolved when it begins */
    uint64_t cuts[SIM_NODES_MAX]; /* bits of receivers, by sender */
};

struct profile {
    unsigned n_nodes;
    unsigned n_founders; /* the first of them; the others are outside in the beginning */
    unsigned n_voters;   /* the first of those; the other founders are learners */
    uint64_t election_us;
    uint64_t heartbeat_us;
    unsigned rounds_max;
    size_t append_bytes_max;
    size_t inflight_bytes_max;
    size_t cache_bytes_max;
    size_t segment_first_bytes;
    size_t segment_bytes;
    uint64_t delay_min_ns;
    uint64_t delay_spread_ns;
    unsigned delay_tail_ppm; /* of messages that take far longer */
    unsigned loss_ppm;
    unsigned dup_ppm;
    unsigned replay_ppm;
    unsigned flip_ppm;
    unsigned break_ppm;
    unsigned piece_ppm; /* of appends: another legal piece of the leader's log beside it */
    bool chunked;
    bool old_after_new;
    size_t pipe_bytes_max;
    uint64_t disk_min_ns;
    uint64_t disk_spread_ns;
    unsigned disk_early_percent;
    size_t disk_write_max;
    size_t disk_batch_bytes_max; /* 0: whole submissions and more */
    unsigned slow_sync_percent;  /* of an election timeout, after healing; 0: fast */
    uint64_t turn_lag_ns;        /* 0: a turn after each event */
    uint64_t cpu_entry_ns;       /* to apply one; 0: nothing takes CPU time */
    uint64_t cpu_read_ns;        /* to answer one */
    uint64_t cpu_msg_ns;         /* a message or a request taken in */
    uint64_t cpu_element_ns;     /* of a value in JSON, in a line or where it is compared */
    uint64_t cpu_byte_ps;        /* of each of them, a thousandth of a nanosecond */
    unsigned drift_ppm;
    unsigned n_clients;
    unsigned n_keys;
    unsigned burst; /* requests of a client at once, beyond the first */
    unsigned weights[OP_COUNT];
    unsigned large_percent;
    unsigned large_bytes; /* the longest of them */
    unsigned leave_ppm;
    unsigned stray_percent;  /* requests to any node */
    unsigned reside_percent; /* clients that stay with a node whatever it answers */
    uint64_t timeout_us;
    uint64_t length_ns; /* of the part with faults */
    uint64_t events;    /* and so many at most */
    bool lmdb;
    bool flood; /* those write long values, and read them, and do not take the answers */
    size_t memory_bytes; /* for clients of lines, as [limits] memory */
    uint64_t quota_bytes; /* of the state, the least of all nodes' files; 0: none */
    uint64_t features; /* bits of enum sim_feature */
    unsigned checkpoint; /* commits between older states */
    /* Of snapshots: as in a node's file, how long a chore takes, and how often something happens to
     * them, in thousandths of a second. */
    uint64_t snap_log_bytes;
    uint64_t snap_keep_bytes;
    unsigned snap_mib_per_s;
    uint64_t snap_chore_ns;
    uint64_t snap_every_ns;
    /* Of leases and clocks: the most that one is off, how often something happens to them, and one
     * reading in so many at which a process is held up; 0: none. */
    unsigned rate_ppm;
    unsigned slew_ppm;
    uint64_t clock_every_ns;
    unsigned held_up_one_in;
    uint64_t lease_us; /* the usual setting */
    bool knows_gates;  /* the founders are known to */
    uint64_t stale_us; /* of bounded reads, the longest */
};

/* ---- nemesis.c ---- */
void nemesis_plan(struct sim *s);
void nemesis_event(struct sim *s, const struct sim_event *e);
void nemesis_heal(struct sim *s);
/* The others, but for those that are out or damaged for good. */
void nemesis_heal_all(struct sim *s);
void nemesis_recut(struct sim *s);
/* Whose time stood still and whose pause is over goes on. */
void nemesis_wake(struct sim_node *n);
const char *episode_name(enum episode_kind kind);

#endif
