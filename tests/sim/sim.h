/* The deterministic simulator: what its files share.
 *
 * One seed is one run: some nodes of the real raft, replica, store and wire code over a virtual
 * clock, network and disk, clients, a nemesis, and an oracle that looks after every event. Nothing
 * but the seed and the options decides anything: no time, no address, no thread. A
 * violation carries the name of a rule of docs/RULES.md.
 *
 *   clock.c       the heap of events, draws, the clocks of the nodes
 *   net.c         messages and connections between nodes: bytes, cut, lost, late, twice
 *   wal.c         a node's log on a virtual disk, its crashes and failures, what of it is durable
 *   state.c       a node's state machine: a map in memory, or LMDB
 *   copies.c      copies of a state, and one that takes its place
 *   snap.c        a node's snapshots: their disk, the chores, what goes wrong with them
 *   room.c        pages of a state on its disk, which fill and fragment
 *   node.c        a node: birth, death, the turn, the replica's tables
 *   clients.c     who asks, and what the answers must satisfy (READ-1, CLIENT-9, READ-58)
 *   lines.c       clients of lines, with the real service; lines.h
 *   bytes.c       the oracle of what a node holds in memory
 *   pieces.c      appends that a leader may send and hardly ever does
 *   sessions.c    writes that are repeated: who does so, and what must come of them
 *   members.c     changes of the members: who asks, who joins, whose disk goes
 *   changes.c     what must hold of configurations
 *   refusals.c    changes that a leader must refuse
 *   clocks.c      the three clocks of a node, and what happens to them
 *   leases.c      the oracle of leases: promises, gates, who may hold one
 *   ways.c        the other ways to read: who asks, and what the answers must satisfy
 *   stranger.c    forged messages in a member's name
 *   nemesis.c     what goes wrong, and when
 *   invariants.c  the oracle: terms, logs, disks, commits, states, limits
 *   manners.c     the oracle again: what a node owes for what it was given
 *   run.c         one run from birth to the demand for progress (LIVE-1, LIVE-2)
 *   trace.c       hash, lines, coverage marks, failure
 *   shrink.c      a failing run made smaller; scripts
 *   main.c        options, processes, counting
 *   oracle.c      what the oracle keeps
 *   profile.h     what a seed draws: the world, and what goes wrong
 *
 * Units: virtual time in nanoseconds, what nodes see in microseconds. Memory is libc's; when it is
 * out the run aborts. */
#ifndef RIDD_TESTS_SIM_H
#define RIDD_TESTS_SIM_H

#include "base/hold_clock.h"
#include "engine/engine.h"
#include "replica/replica.h"
#include "store/store.h"
#include "unit/fake-disk.h"

#define SIM_NODES_MAX    7u
#define SIM_CLIENTS_MAX  8u
#define SIM_KEYS_MAX     12u
#define SIM_OPENED_MAX   5u /* sessions of a client, one after the other */
#define SIM_MAP_KEYS_MAX (SIM_KEYS_MAX + SIM_CLIENTS_MAX * SIM_OPENED_MAX)
#define SIM_EPISODES_MAX 64u
#define SIM_ECHOES       8u
#define SIM_GONE_MAX     128u
#define SIM_CONFIGS_MAX  64u
#define SIM_MS           UINT64_C(1000000)
#define SIM_US           UINT64_C(1000)

/* ---- draws: one stream per purpose, so that leaving one out does not move the others ---- */

enum sim_stream {
    STREAM_PROFILE,
    STREAM_LOSS,
    STREAM_DUP,
    STREAM_DELAY,
    STREAM_REPLAY,
    STREAM_FLIP,
    STREAM_CONN,
    STREAM_DISK,
    STREAM_CRASH,
    STREAM_TURN,
    STREAM_CLIENT,
    STREAM_OP,
    STREAM_STATE,
    STREAM_NEMESIS,
    STREAM_CLOCK,
    STREAM_HEAL,
    STREAM_PIECE,
    STREAM_READ,
    STREAM_FEATURE,
    STREAM_SNAP,
    STREAM_MEMBER,
    STREAM_SESSION,
    STREAM_LEASE,
    STREAM_GONE,
    STREAM_COUNT,
};

enum op_kind {
    OP_WRITE,
    OP_CAS,
    OP_DELETE,
    OP_READ,
    OP_READ_LOG,
    OP_READ_LOCAL,
    OP_TRANSFER,
    OP_OPEN, /* a session */
    OP_READ_FOLLOWER,
    OP_READ_LEASE,
    OP_READ_BOUNDED,
    OP_READ_TOKEN, /* local, with what the client has seen */
    OP_COUNT
};

/* Surroundings that only some seeds have, drawn apart from all else: a seed without them is what it
 * was before they were known. */
enum sim_feature {
    FEATURE_STRANGER, /* forged messages in a member's name */
    FEATURE_SPACE,    /* a limit of the state, and disks that it hardly fits */
    FEATURE_LINES,    /* clients of lines, accounts of memory, values up to the limit */
    FEATURE_SNAPSHOTS, /* they are made all the time, and the log lets go of its front */
    FEATURE_MEMBERS, /* they change; drawn before the others, of which such a seed has only the next */
    FEATURE_SESSIONS, /* clients repeat writes */
    FEATURE_LEASES,   /* leaders take them, and clocks are what the core may rely on, no more */
    FEATURE_TOKENS,   /* the other ways to read: of followers, by a lease, bounded, by a token */
    FEATURE_GONE,     /* calls are refused where a node died, and somewhere else */
    FEATURE_COUNT
};

/* Of clocks that are wrong, for which leases are not made: what is looked at all the same. */
enum sim_judge {
    JUDGE_ALL,
    JUDGE_READS, /* not who else may hold a lease: what is answered by it */
    JUDGE_INDEX, /* nothing that rests on a clock: reads by rounds and the log, and all else */
    JUDGE_COUNT
};

/* What the command line and scripts say: the seed, and what is left out of its run. */
struct sim_options {
    uint64_t seed;
    uint64_t streams_off;  /* bits of enum sim_stream; only those of faults may be set */
    uint64_t episodes_off; /* bits by number */
    uint64_t clients_off;
    uint64_t ops_off;      /* bits of enum op_kind */
    uint64_t features_off; /* bits of enum sim_feature */
    uint64_t events_max;   /* 0: none; the run ends there, without a demand for progress */
    unsigned n_nodes;      /* 0: drawn */
    bool wrong_clocks;     /* beyond what leases allow (LEASE-0) */
    enum sim_judge judge;
    char expect[16]; /* the rule that must break; empty: none may */
    bool trace;
};

/* ---- events ---- */

enum sim_event_kind {
    EV_TICK,
    EV_TURN,
    EV_DATAGRAM,
    EV_PIPE,
    EV_LINK_DOWN, /* one end notices */
    EV_LINK_UP,
    EV_LINK_DIAL,
    EV_DISK,
    EV_DISK_IDLE,
    EV_READ,
    EV_CLIENT,
    EV_SUBMIT,
    EV_EPISODE_BEGIN,
    EV_EPISODE_END,
    EV_FLAP,
    EV_BOOT,
    EV_STRANGER,
    EV_TALK,
    EV_CHORE,
    EV_SNAP,
    EV_MEMBER, /* somebody asks for a change */
    EV_JOIN,   /* the bench of a leader tells a new node who it is */
    EV_CLOCK,  /* something happens to clocks */
    EV_GONE,   /* a call to a peer is refused */
    EV_KIND_COUNT,
};

struct change {
    enum wire_request_type verb;
    const struct sim_node *whom;
    const struct sim_node *old; /* replace: who leaves */
    bool learner;
    raft_index based_on; /* 0: nothing is said */
};

/* The arg of EV_MEMBER. */
enum member_deed {
    MEMBER_ASK,
    MEMBER_CUT,    /* this node, and some with it */
    MEMBER_UNCUT,
    MEMBER_DIES,
    MEMBER_REFUSE, /* it is asked for what it must refuse */
};

struct sim_event {
    uint64_t at;
    uint64_t seq;
    void *p;
    uint32_t boot; /* of the node; 0: any */
    uint16_t arg;
    uint8_t kind;
    uint8_t node;
};

/* ---- coverage ---- */

/* clang-format off */
#define SIM_MARKS(X) \
    X(seeds_datagram) X(seeds_connection) X(seeds_lmdb) X(seeds_even) X(seeds_single) \
    X(elections) X(elections_after_transfer) X(step_down_term) X(step_down_role) \
    X(truncated) X(truncated_durable) X(commit_by_newer_term) X(probe_fallback) \
    X(disk_batch) X(disk_batch_merged) X(disk_early) X(rotations) X(log_read_from_disk) \
    X(prepared_ahead) X(crash_process) X(crash_machine) X(crash_in_write) \
    X(crash_between_sync_and_report) X(crash_in_boot) X(torn_tail) \
    X(recovered_unacknowledged) X(boot_with_trusted_state) X(boot_with_older_state) \
    X(states_damaged) X(states_rebuilt) X(states_wrong) X(states_mended) \
    X(boot_with_empty_state) X(sync_failed_clean_pages) X(sync_lied) X(sync_failed_reverted) \
    X(disk_full) X(disk_full_at_boot) X(rot_refused) X(rot_harmless) \
    X(rot_hidden_in_last_batch) X(rot_hit_running) X(wiped_refused) X(msg_lost) \
    X(msg_duplicated) X(msg_replayed) X(msg_reordered) X(msg_flipped) X(msg_cut) \
    X(link_broken) X(link_bytes_lost) X(link_old_after_new) X(link_half_open) \
    X(link_chunked) X(pipe_full) X(paused) X(suspended) X(drift_changed) X(disk_stalled) \
    X(leader_disk_stalled) X(reads_confirmed) X(reads_failed_by_loss) X(reads_floor) \
    X(reads_log) X(reads_local) X(writes_ok) X(writes_unknown) X(writes_unknown_applied) \
    X(writes_refused) X(cas_failed) X(transfers) X(client_left) X(requests_waited) \
    X(healed_with_sick_minority) X(out_for_ever) \
    X(seeds_learner) X(seeds_pieces) X(seeds_all_faults) X(pieces) X(leader_chased) \
    X(crash_stored) X(state_failed) X(state_flipped) X(state_full) X(state_parked) X(disk_waits) \
    X(seeds_slow_disk) X(disk_batch_part) X(recovered_part) X(log_read_later) \
    X(seeds_slow_cpu) X(turn_cut) \
    X(seeds_stranger) X(forged) X(forged_far) X(term_refused) X(term_climbed) X(shut_out) X(answered_forged) \
    X(seeds_space) X(room_fragmented) X(room_map_full) X(room_disk_full) X(quota_at_apply) \
    X(quota_at_propose) X(limit_set) \
    X(seeds_lines) X(lines_said) X(lines_large) X(lines_waited) X(lines_had_room) X(overloaded) \
    X(seeds_snapshots) X(snap_asked) X(snap_made) X(snap_failed) X(snap_disk_failed) X(snap_disk_full) \
    X(copy_of_before) X(copy_stopped) X(copy_failed) X(copy_damaged) X(copy_wrong) \
    X(prepare_failed) X(prepare_full) X(switched) X(switch_full) X(switch_failed) \
    X(log_compacted) X(log_reset) X(log_kept_for_sending) X(boot_above_base) \
    X(parts_sent) X(transfer_resumed) X(transfer_anew) X(transfer_sent) X(said_checking) X(said_done) \
    X(said_refused) X(said_no_room) X(said_too_old) X(install_log) X(install_state) X(install_nothing) \
    X(install_refused) X(install_later) X(restored_at_start) X(restored_later) X(state_wanted) \
    X(boot_without_state) X(crash_in_chore) X(crash_in_snap_boot) X(crash_receiving) X(crash_checking) \
    X(crash_installing) X(crash_switching) X(crash_between_reset_and_switch) X(snap_rotten) X(snap_put_back) \
    X(snap_lied) X(snap_lost) X(state_lost) X(down_for_long) X(all_healed) X(left_in_doubt) \
    X(seeds_gone) X(gone_refused) X(gone_campaign) X(gone_left_to_others) X(gone_too_soon) X(gone_elsewhere) \
    X(gone_lie) X(gone_late) \
    X(seeds_members) X(member_asked) X(member_refused) X(member_busy) X(member_done) \
    X(member_added) X(member_removed) X(member_promoted) X(member_demoted) X(member_lost) \
    X(join_failed) X(join_unanswered) X(join_again) X(joined) X(member_wiped) X(member_reborn) \
    X(removed_runs) X(crash_changing) \
    X(seeds_members_snapshots) X(join_behind_front) X(join_by_snapshot) X(reborn_by_snapshot) \
    X(snap_covers_change) X(config_truncated) X(leader_cut_changing) X(member_replaced) \
    X(successor_dies) X(learner_wiped) X(crash_sending) X(removed_with_snapshot) X(refused_wrong) \
    X(join_in_new_term) X(change_stale) X(change_again) \
    X(seeds_sessions) X(session_opened) X(session_orphaned) X(session_gone) X(session_full) \
    X(write_again) X(write_twice) X(write_late) X(write_repeated) X(repeated_cas) X(repeated_delete) \
    X(repeated_no_space) X(repeated_failed) X(session_expired) \
    X(seeds_leases) X(seeds_tokens) X(slept) X(stood_still) X(rebooted) X(drift_within) X(slewed) X(held_up) \
    X(lease_set) X(version_raised) X(lease_usable) X(lease_refused) X(overlap_looked) X(promised) \
    X(promise_reported) X(gates) X(gate_waited) X(clocks_found_drifting) X(reads_lease) \
    X(reads_lease_by_round) X(reads_follower) X(reads_follower_by_round) X(asks_by_ack) X(asks_by_lease) \
    X(asks_by_round) X(reads_bounded) X(bounded_refused) X(bounded_under_2_ms) X(bounded_under_20_ms) \
    X(bounded_under_200_ms) X(bounded_older) X(reads_token) X(token_waited) X(token_unreached) \
    X(behind_refused)
/* clang-format on */

enum sim_mark {
#define X(name) MARK_##name,
    SIM_MARKS(X)
#undef X
        MARK_COUNT,
};
extern const char *const sim_mark_names[MARK_COUNT];

/* ---- clocks ---- */

struct sim_clock {
    uint64_t base_at;    /* virtual ns */
    uint64_t base_local; /* ns */
    int64_t ppm;         /* faster or slower by so many millionths; -1000000: it stands */
};

/* Beside sim_node.clock, which stands still while the machine sleeps and is never slewed: what the
 * kernel shows of the rest. */
struct sim_clocks {
    struct sim_clock slewed;   /* CLOCK_MONOTONIC; CLOCK_BOOTTIME is ahead of it by all sleep */
    uint64_t slept_ns;         /* that is over */
    uint64_t slept_at_boot_ns; /* of it, before this process */
    uint64_t asleep_since;     /* 0: it is awake, or its guest stands still and sees nothing of it */
    bool disrupted;            /* the host will say so */
    uint64_t read_at;          /* the first was read last, */
    uint64_t looked_at;        /* and when the last look at all of them began */
    int64_t ppm;               /* of sim_node.clock while it goes */
    int64_t slowest_ppm;       /* of those so far */
    struct hold_clock hold;    /* of this process */
};

/* ---- the log of a node as the oracle knows it ---- */

struct shadow_entry {
    raft_term term;
    uint64_t content; /* hash of type and payload */
    uint64_t chain;   /* hash of entries 1 .. this one */
    uint64_t bytes;   /* of payloads, of entries 1 .. this one */
};
/* entries[0] is index 1. */
struct shadow_log {
    struct shadow_entry *entries; /* owned; up to a reset, those that are committed */
    uint64_t n;
    uint64_t size;
    raft_index reset; /* it was reset to this one last; 0: never */
};
struct shadow_batch {
    uint64_t number;
    struct raft_hard_state hard_state;
    struct raft_entry_id reset; /* index 0: none */
    raft_index truncate_from;
    raft_index commit_index;
    uint64_t n_added;
    struct shadow_entry *added; /* owned; chain unused, bytes of the entry alone */
    struct shadow_batch *next;
};

struct sim_wal {
    struct fake_disk *disk; /* owned */
    struct store *store;    /* the engine's; NULL while down */
    struct shadow_log tail; /* what was submitted */
    struct raft_hard_state tail_hard_state;
    struct shadow_log durable; /* what fdatasync has promised */
    struct raft_hard_state durable_hard_state;
    struct shadow_batch *first; /* owned; submitted, not durable */
    struct shadow_batch *last;
    uint64_t last_work_from; /* durable.n before the last store_work() */
    struct raft_hard_state last_work_hard_state;
    bool busy;  /* an EV_DISK is on its way */
    bool early; /* its work is done already: */
    uint64_t early_number;
    int early_error;
    uint64_t work_queued; /* batches in the work under way */
    bool idle_due;
    bool reading; /* an EV_READ is on its way */
    uint64_t stalled_until;
    unsigned slow;     /* times */
    uint64_t slow_ns;  /* at least so long a sync; 0: as the seed says */
    uint64_t reported; /* number last told to the replica */
    uint64_t n_syncs;
    uint64_t lie_at; /* n_syncs of the fdatasync that will lie; 0: none */
    bool lied;
    bool rotten; /* bits were flipped, or files taken away */
    bool wiped;
    unsigned failing;          /* episodes in which errors of the disk are no surprise */
    bool crash_stored;         /* the node dies before the next report of its disk */
    bool crash_machine;        /* then */
    raft_index durable_commit; /* noted with a durable batch */
    raft_index base;           /* the highest that it ever began behind */
};

/* ---- the state machine of a node ---- */

struct map_value {
    bool exists;
    char *text; /* owned */
    uint32_t len;
    uint32_t size;
    raft_index create_index;
    raft_index modify_index;
    uint64_t version;
};
struct map_key {
    unsigned char key[24];
    uint32_t len;
    struct map_value value;
};
/* Pages of a state, by the key that they belong to: room.c. */
struct sim_room {
    unsigned char *pages;  /* owned */
    unsigned char *before; /* owned; as of the last commit */
    unsigned n;            /* the end of the file */
    unsigned n_before;
    unsigned size;
    unsigned map;  /* addresses, in pages */
    unsigned disk; /* pages that fit on it */
    unsigned n_full;
    unsigned no_addresses; /* transactions before which none are had */
    bool wrote;            /* in this transaction */
};
struct sim_map {
    struct map_key keys[SIM_MAP_KEYS_MAX]; /* sessions among them */
    unsigned n;
    struct raft_entry_id last_applied;
    uint64_t digest;
    uint64_t live_bytes;
    uint64_t limit_bytes; /* 0: none was ever set */
    bool has_limit;
    uint64_t n_gone; /* sessions */
};
struct sim_state {
    struct sim_map map;    /* as of the last commit, or inside a transaction */
    struct sim_map backup; /* as of the last commit, of the keys touched since */
    uint64_t touched;      /* bits of keys in backup */
    struct sim_map older;  /* an earlier commit */
    unsigned n_commits;
    bool in_transaction;
    bool reading;
    bool fail_commit; /* the next one */
    bool full;        /* no room for now: KV_E_FULL from begin and commit by turns */
    unsigned n_full;
    bool failed;      /* it has; the node must end */
    bool damaged;     /* every record says so when it is looked at, until it is rebuilt */
    bool was_damaged; /* once in a run */
    uint64_t ghost;   /* a difference from all others that its own digest agrees with; 0: none */
    struct sim_room room;
    struct sim_map moment;   /* of which the copy under way is */
    uint64_t moment_ghost;
    bool has_moment;
    bool copy_stopped;
    struct sim_map prepared; /* beside it, durable */
    uint64_t prepared_ghost;
    bool is_prepared;
    struct kv *kv; /* owned; NULL: the map is used */
    char dir[64];
    unsigned machine_boots;
};

/* ---- the snapshots of a node ---- */

struct sim_snap {
    struct fake_disk *disk; /* owned; NULL: this seed has none */
    bool busy[2];           /* an EV_CHORE of the makers, of the bench is on its way */
    uint64_t stalled_until;
    bool armed;      /* an error of this disk is no surprise */
    bool untrusted;  /* bits were flipped, files taken away, or a sync lied */
    bool lost;       /* and so the node counts among those that may be lost */
    struct sim_rot {
        char name[64];
        size_t at;
        unsigned char was;
        unsigned bit;
    } rots[8]; /* to be put back, where it was not the only voter's when it rotted */
    unsigned n_rots;
    uint64_t n_syncs;
    uint64_t lie_at;
    unsigned crash_phase; /* of receiving: it dies there, ... */
    unsigned crash_in;    /* after so many turns more */
    bool crash_machine;
    /* What was seen last. */
    struct raft_entry_id newest;
    uint64_t n_made;
    uint64_t n_failed;
    uint64_t n_sent;
    bool wants;
    struct {
        uint64_t transfer;
        uint64_t end;
    } sent[SIM_NODES_MAX];
    unsigned n_installed; /* since all are healed */
};

/* ---- nodes ---- */

enum node_life { NODE_DOWN, NODE_UP, NODE_OUT };

struct op;
struct sim;
struct talker;

/* What a node owes for what it was given, and what it has heard: see manners.c. */
struct sim_manners {
    unsigned owes_echo;      /* bits of leaders: an answer to their heartbeat */
    unsigned owes_heartbeat; /* bits of peers: one because the link is new */
    unsigned owes_term;      /* bits of peers: that theirs is over */
    raft_term heard_term;    /* a leader of that term was heard last, */
    uint64_t heard_us;       /* at that local time */
    uint64_t began_us;       /* this step */
    bool granted;            /* a vote or pre-vote, in it */
    raft_term led;           /* the last that was traced of its role: it led in that term; or 0 */
    enum raft_role role;     /* before the step, as all below */
    raft_term term;
    bool hears;
    bool orphan;      /* an answer to what a stranger asked in the receiver's name */
    raft_index match; /* of the sender */
    uint64_t acked_round;
    struct {
        raft_term term;
        raft_index from;
        raft_index end;
    } flight[SIM_NODES_MAX]; /* by receiver: the run of appends each behind the one before */
};

/* What is known of the configurations of a node, and whom it has heard: see changes.c. */
struct sim_changes {
    raft_index at[SIM_CONFIGS_MAX]; /* where they stand in its log; the first: what it begins with */
    unsigned n_at;
    bool changed;        /* in this turn, while it leads: */
    uint64_t changed_us; /* its local time */
    unsigned came;       /* bits of those that are new */
    unsigned owes_round; /* bits of those that vote now: a heartbeat */
    struct {
        raft_node_id id;
        uint64_t us;
        raft_term answered; /* it, in this term */
    } heard[SIM_NODES_MAX]; /* by place */
    uint64_t first_content; /* of the first entry of a log that was made for who joins */
};

#define SIM_PROMISES 16u
#define SIM_BEATS    64u
#define SIM_LENGTHS  4096u

struct sim_beat {
    raft_term term;
    uint64_t round;
    uint64_t lease_us;
    uint64_t at_us; /* it came */
    unsigned from;
};
/* What is known of promises and leases of a node: see leases.c. */
struct sim_lease {
    uint64_t lease_us; /* its setting */
    /* What it promised, by its own clock; of an earlier life: to any term. */
    struct {
        raft_term term;
        uint64_t until_us;
    } promises[SIM_PROMISES];
    uint64_t other_until_us;
    uint64_t longest_us; /* that it ever answered for */
    struct sim_beat beats[SIM_BEATS]; /* heard lately */
    unsigned n_beats;
    struct {
        raft_term term;
        bool transfer;
    } asked[SIM_NODES_MAX][8]; /* by candidate and term: for its vote */
    /* As candidate and leader of gate_term: it commits nothing before. */
    raft_term gate_term;
    uint64_t gate_us;
    unsigned has_voted; /* bits: for it, of which the first answer counts */
    /* As leader of led_term: the rounds that carried a lease, and which each voter acknowledged. */
    raft_term led_term;
    bool handed_over;
    struct {
        uint64_t round;
        uint64_t hold_us;
        uint64_t lease_us;
        uint64_t slept_ns;
    } lengths[SIM_LENGTHS];
    uint64_t first_round; /* those before count for nothing */
    uint64_t n_asks_by_lease;
    uint64_t held[SIM_NODES_MAX];
};

struct sim_node {
    struct sim *sim;
    unsigned i;
    char name[16];
    raft_node_id id; /* with waits: what it will be */
    bool waits;      /* for a leader that tells it who it is; it is down */
    uint64_t incarnation;         /* of a node that is not a founder */
    unsigned char cluster_id[16]; /* that it was told */
    bool join_due;                /* an EV_JOIN is on its way */
    bool join_waits;              /* until it leads again, perhaps */
    bool joined;                  /* and has not been brought a snapshot */
    bool was_voter;               /* before its place was emptied last */
    enum node_life life;
    bool damaged;  /* counts among those that may be lost */
    uint32_t boot; /* grows with each start and each death */
    raft_node_id gone;      /* whom it believed to be gone last, in this life; 0: nobody */
    uint64_t gone_local_us; /* and when */
    struct sim_clock clock;
    struct sim_clocks clocks;
    struct sim_lease lease;
    uint64_t paused_until;
    uint64_t cpu_ns;     /* spent in this event: its own time is so far ahead */
    uint64_t longest_ns; /* the longest step of this turn */
    uint64_t reading_ns; /* spent for one request that reads several keys, which is one step */
    uint64_t busy_until; /* with what it has spent: everything for it waits */
    bool suspended;
    struct engine *engine;   /* owned; NULL while down */
    struct replica *replica; /* the engine's; NULL while down */
    uint64_t seed;           /* of the core in its next life; 0: none was drawn */
    bool dying;
    int fatal_error;
    const char *fatal_what;
    bool fatal_judged; /* somebody has looked whether that may be */
    uint64_t round;    /* the highest read round it has opened in this life */
    struct {
        raft_term term;
        uint64_t round;
    } echoed[SIM_NODES_MAX][SIM_ECHOES]; /* by leader: the highest round it has answered, in the
                                            last terms: who has its proof may be answered later */
    uint64_t tick_at;                    /* of the EV_TICK that counts; 0: none */
    bool turn_due;
    uint64_t turn_since;  /* it is due */
    bool dirty;           /* something went in since the last turn */
    uint64_t quota_bytes; /* that its own file names; 0: none */
    struct memory memory; /* of clients of lines */
    struct sim_wal wal;
    struct sim_state state;
    struct sim_snap snap;
    struct op *replies; /* of this turn */
    struct op *replies_last;
    /* What the oracle saw last. */
    raft_term boot_term;
    raft_index applied;
    raft_index commit;
    raft_term last_term;
    raft_index match[SIM_NODES_MAX]; /* of match_term */
    raft_term match_term;
    unsigned look;
    struct sim_manners manners;
    struct sim_changes changes;
};

/* ---- network ---- */

struct sim_pipe;
struct sim_link {
    uint32_t generation;
    bool up;        /* the connection itself */
    bool end_up[2]; /* what the ends believe; [0] is the lower node */
    bool dialing;
    struct sim_pipe
        *pipes[2][2]; /* [end that sends][channel]; borrowed from the list of all; NULL: none */
};

struct sim_net {
    bool connections;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* directed; recomputed from the episodes under way */
    uint64_t clogged_until[SIM_NODES_MAX][SIM_NODES_MAX];
    unsigned loss_ppm[SIM_NODES_MAX][SIM_NODES_MAX];     /* of a burst, beside the profile's */
    struct sim_link links[SIM_NODES_MAX][SIM_NODES_MAX]; /* [lower][higher] */
    struct sim_pipe *pipes;                              /* owned list */
    uint64_t newest[SIM_NODES_MAX][SIM_NODES_MAX]; /* when the newest that has come was sent */
    struct buf out;
    struct arena arena;
};

/* ---- clients ---- */

struct op {
    struct replica_request request; /* first */
    struct op *next;                /* free, or in flight */
    struct op *reply_next;          /* in a node's replies */
    uint64_t id;                    /* unique: client and number */
    uint64_t order;                 /* on its session */
    enum op_kind kind;
    unsigned client;
    unsigned node;
    unsigned key;
    bool submitted;
    bool ok;
    bool unknown;
    bool expired;
    bool is_twin;  /* of another that is in flight, or was answered */
    bool doubtful; /* an attempt of it may have happened, or another one is under way */
    unsigned tries;
    uint64_t session; /* that it names; 0: none */
    uint64_t seq;
    enum command_status status; /* a write that was answered */
    bool existed;
    raft_index commit; /* of the node when it was submitted */
    uint64_t round;    /* the highest open there when it was submitted */
    raft_index floor;  /* the highest index shown to anybody before it was submitted */
    raft_index token;  /* its min_index */
    raft_index index;  /* outcome: the write's, or that of the state read */
    unsigned hint;     /* the node to ask next, plus 1 */
    char text[24];     /* read: what was found, when it is short */
    struct buf command;
};

struct sim_session {
    struct replica_session session;
    uint32_t boot;
    uint64_t n_ops;
    struct {
        uint64_t order;
        raft_index index;
    } reads[16]; /* served lately */
    unsigned n_reads;
};

struct sim_client {
    bool on;
    bool open_loop;
    bool resides;
    unsigned in_flight_max;
    unsigned n_in_flight;
    uint64_t interval_ns;
    uint64_t n_ops;
    unsigned guess;
    struct {
        bool wanted;
        bool says_first;
        bool opening;
        unsigned n_opened;
        uint64_t id; /* 0: none */
        struct {
            uint64_t op;
            uint64_t session;
            uint64_t seq;
            enum op_kind kind;
            unsigned key;
        } answered[8]; /* lately */
        unsigned n_answered;
    } named;
    struct op *flying;                          /* owned */
    struct sim_session sessions[SIM_NODES_MAX]; /* one connection to each */
    char seen[SIM_KEYS_MAX][24];                /* text last read, for cas */
    raft_index token;                           /* the highest index that it was told of */
};

#include "sim/oracle.h"
#include "sim/profile.h"

struct sim {
    struct sim_options options;
    bool has_ghost; /* some state was made to differ: nodes may say so */
    struct profile p;
    uint64_t now;
    uint64_t n_events;
    uint64_t n_turns;
    uint64_t hash;
    uint64_t stream_base[STREAM_COUNT];
    uint32_t stream_n[STREAM_COUNT][64];

    struct sim_event *heap; /* owned */
    size_t n_heap;
    size_t heap_size;
    uint64_t next_seq;

    struct sim_node nodes[SIM_NODES_MAX];
    struct raft_configuration configuration; /* of the founders */
    struct raft_config_at committed;         /* the last one that is */
    struct {
        raft_node_id id;
        raft_term term; /* of whoever committed it */
    } gone[SIM_GONE_MAX]; /* removed by what is committed */
    unsigned n_gone;
    struct change last_change;
    uint64_t cut_off; /* bits: from all others, with a leader that has just changed the members */
    uint64_t alone;   /* bits: each from all others; clocks.c */
    struct sim_net net;
    struct sim_client clients[SIM_CLIENTS_MAX];
    struct op *free_ops;
    struct talker *talkers; /* owned; lines.h */
    unsigned n_talkers;
    struct oracle oracle;
    struct episode episodes[SIM_EPISODES_MAX];
    unsigned n_episodes;
    unsigned n_damaged;
    unsigned current_node; /* for texts of failures */

    bool healing;
    uint64_t core;           /* bits: healed */
    bool all_healed;         /* and then all others, but for those that are out for ever */
    uint64_t waiting_since;  /* healing began, or the backlog was seen to shrink, then */
    raft_index backlog;      /* the longest log of a healthy node then */
    raft_index backlog_done; /* of it, committed */
    uint64_t stable_since;
    raft_term stable_term;
    unsigned stable_leader;
    uint64_t ok_since_stable[OP_COUNT];
    bool drained; /* clients have stopped */
    uint64_t drained_at;
    uint64_t drained_core;
    uint64_t changing_since;  /* since then every change may end: run.c */
    bool was_behind;          /* at the last look: a member, what the logs had at healing */
    uint64_t drained_applied; /* by the healthy together, since then */
    raft_term forged;         /* the highest term that a stranger told and nodes may follow */
    uint64_t events_most;     /* healing: there is no progress in so many */
    uint64_t next_look;
    unsigned sickness[SIM_NODES_MAX]; /* of those outside the core */
    bool sick_now[SIM_NODES_MAX];

    uint64_t marks[MARK_COUNT];
};

/* ---- clock.c ---- */
void *sim_alloc(size_t size) __attribute__((returns_nonnull)); /* zeroed */
void *sim_realloc_n(void *p, size_t n, size_t width) __attribute__((returns_nonnull));
void sim_push(struct sim *s, uint64_t at, enum sim_event_kind kind, const struct sim_node *node,
              uint16_t arg, void *p);
/* Of no life of the node: messages, requests. */
void sim_push_any(struct sim *s, uint64_t at, enum sim_event_kind kind, unsigned node, uint16_t arg,
                  void *p);
bool sim_pop(struct sim *s, struct sim_event *ret);
void sim_push_again(struct sim *s, struct sim_event e, uint64_t at, bool in_front);
void sim_draws_init(struct sim *s);
uint64_t sim_draw(struct sim *s, enum sim_stream stream, unsigned entity);
uint64_t sim_below(struct sim *s, enum sim_stream stream, unsigned entity, uint64_t bound);
/* False when the stream is left out. */
bool sim_chance(struct sim *s, enum sim_stream stream, unsigned entity, unsigned ppm);
uint64_t sim_mix(uint64_t h, uint64_t v);
uint64_t sim_hash_bytes(uint64_t h, const void *data, size_t len);
/* This node works for so long: its own clock goes on, the world waits until the event is over. */
void clock_work(struct sim_node *n, uint64_t ns);
/* A step of the profile's cost with so many bytes. */
uint64_t clock_step_ns(const struct sim *s, uint64_t ns, size_t bytes);
uint64_t clock_local_us(const struct sim_node *n);
/* The same at a later time, if nothing happens to it. */
uint64_t clock_local_us_at(const struct sim_node *n, uint64_t at);
uint64_t clock_ns_at(const struct sim_clock *c, uint64_t at);
/* When the node's clock shows local_us; UINT64_MAX: it stands. */
uint64_t clock_when(const struct sim_node *n, uint64_t local_us);
void clock_set_ppm(struct sim_node *n, int64_t ppm);
void clock_turn(struct sim_clock *c, uint64_t at, int64_t ppm);

/* ---- clocks.c ---- */
/* The host tells of sleep; else a machine that sleeps is one that was not there. */
bool clocks_are_kept(const struct sim *s);
void clocks_init(struct sim *s);
void clocks_node_init(struct sim_node *n);
void clocks_event(struct sim *s, const struct sim_event *e);
void clocks_boot(struct sim_node *n);
/* Power is lost: they begin anew. */
void clocks_lose_power(struct sim_node *n);
void clocks_sleep(struct sim_node *n, uint64_t length);
/* It leads, and commits nothing for a while: perhaps it sleeps meanwhile. */
void clocks_gate(struct sim_node *n);
void clocks_wake(struct sim_node *n);
void clocks_drift(struct sim_node *n, int64_t ppm);
void clocks_heal(struct sim_node *n);
/* What the node holds by, at that time, if it is awake then. */
uint64_t clocks_hold_us_at(const struct sim_node *n, uint64_t at);
void clocks_engine(struct sim_node *n, struct engine_ops *ops);

/* ---- leases.c ---- */
bool leases_are_on(const struct sim *s);
void leases_profile(struct sim *s);
void leases_node_init(struct sim_node *n);
void leases_boot(struct sim_node *n);
void leases_hears(struct sim_node *n, const struct raft_msg *m, enum raft_role role);
void leases_sends(struct sim_node *n, const struct raft_msg *m);
void leases_trace(struct sim_node *n, const struct raft_trace *t);
/* The host has said that it stood still. */
void leases_disrupted(struct sim_node *n);
/* This leader commits what nobody had committed. */
void leases_commits(struct sim_node *n);
void leases_turn(struct sim_node *n);
/* Before its core goes: how often what was. */
void leases_count(struct sim_node *n);

/* ---- ways.c ---- */
bool ways_are_on(const struct sim *s);
void ways_profile(struct sim *s);
/* A read that any node answers. */
bool ways_is_anywhere(enum op_kind kind);
bool ways_is_read(enum op_kind kind);
/* What it asks for beside its kind. */
void ways_ask(struct sim *s, struct op *op);
void ways_check(struct sim *s, struct op *op, const struct replica_view *view);
void ways_failed(struct sim *s, const struct op *op, const struct replica_failure *f);
/* It is known to its client. */
void ways_told(struct sim *s, const struct op *op);
void ways_heal(struct sim *s);

/* ---- net.c ---- */
void net_init(struct sim *s);
void net_done(struct sim *s);
void net_send(struct sim_node *from, const struct raft_msg *m);
/* Bytes that somebody else sent in the name of m->from arrive at m->to. */
void net_forge(struct sim *s, const struct raft_msg *m);
void net_datagram(struct sim *s, const struct sim_event *e);
void net_pipe(struct sim *s, const struct sim_event *e);
void net_link_event(struct sim *s, const struct sim_event *e);
void net_node_up(struct sim_node *n);
void net_node_down(struct sim_node *n);
void net_break(struct sim *s, unsigned a, unsigned b);
void net_heal(struct sim *s);
void net_event_free(const struct sim_event *e);
void net_check(struct sim *s);
/* As n believes it. */
bool net_is_up(const struct sim_node *n, raft_node_id peer);

/* ---- wal.c ---- */
enum wal_boot { WAL_OK, WAL_AGAIN, WAL_REFUSED };
uint64_t shadow_content(const struct raft_entry *e);
void wal_create(struct sim_node *n);
void wal_done(struct sim_node *n);
/* The log of a node that joins, on its empty disk. 0, or what engine_create_log() said. */
int wal_join(struct sim_node *n, const void *config, size_t len);
int wal_submit(struct sim_node *n, const struct raft_ready *ready);
int wal_read(struct sim_node *n, raft_index from, raft_index to, size_t bytes_max,
             struct arena *arena, struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n);
/* Whether e is what the oracle knows to stand there. */
bool wal_is(const struct sim_node *n, const struct shadow_entry *known, const struct raft_entry *e);
void wal_kick(struct sim_node *n);
void wal_event(struct sim_node *n);
void wal_read_event(struct sim_node *n);
void wal_idle_event(struct sim_node *n);
void wal_crash(struct sim_node *n, bool machine);
/* False: nothing of this log is believed any more. Else what the store is opened with. */
bool wal_may_open(struct sim_node *n, struct store_conf *ret_conf);
/* As engine_ops.recovered: what was found is compared with what must have been found. */
int wal_recovered(struct sim_node *n, const struct store_recovered *r);
/* After a failed engine_open(), the engine being gone: what becomes of the node. */
enum wal_boot wal_not_open(struct sim_node *n, int refusal);
void wal_rot(struct sim_node *n, uint64_t draw);
void wal_wipe(struct sim_node *n);
/* Files of the front are to go. */
void wal_look_idle(struct sim_node *n);

/* ---- state.c ---- */
void state_init(struct sim_node *n);
void state_done(struct sim_node *n);
void state_remove_dir(struct sim_node *n); /* before the process ends in a hurry */
/* What the machine finds: the state as it was, an earlier one, or none. */
void state_open(struct sim_node *n);
void state_crash(struct sim_node *n, bool machine);
struct raft_entry_id state_last_applied(const struct sim_node *n);
uint64_t state_digest(const struct sim_node *n);
uint64_t state_key_digest(const void *key, size_t len, uint64_t text_hash, raft_index create_index,
                          raft_index modify_index, uint64_t version);
uint64_t state_limit_digest(uint64_t limit_bytes);
void state_fill(struct sim_node *n, struct engine_state *ret);
/* Its file is taken away while the node is down. */
void state_lose(struct sim_node *n);
void map_copy(struct sim_map *to, const struct sim_map *from);
void map_done(struct sim_map *m);
uint64_t map_key_digest(const struct map_key *k);
uint64_t map_key_bytes(const struct map_key *k); /* NULL, or one that is not there: 0 */
struct map_key *map_find(struct sim_map *m, struct wire_slice key);
/* In the transaction. The text is copied; NULL: the key goes. */
void map_set(struct sim_state *st, struct wire_slice key, const struct wire_slice *text,
             raft_index index);
/* A write, whoever asks for it. 0 or KV_E_FULL. */
int map_write(struct sim_node *n, const struct command *c, raft_index index,
              struct command_result *result);

/* ---- sessions.c ---- */
bool sessions_are_on(const struct sim *s);
void sessions_profile(struct sim *s);
void sessions_init(struct sim *s, unsigned client);
/* Of a key of the map, 0: it is none of a session. */
uint64_t sessions_key_digest(const struct map_key *k);
/* A command that opens or names one. */
int sessions_map_apply(struct sim_node *n, const struct command *c, raft_index index,
                       struct command_result *result);
void sessions_count(const struct sim_map *m, struct kv_sessions *ret);
/* True: it opens one instead of what it would ask for. */
bool sessions_wants_one(struct sim *s, unsigned client);
/* A new write: names one or not, is sent twice or not. */
void sessions_name(struct sim *s, struct op *op);
uint64_t sessions_first(const struct sim *s, const struct op *op);
/* What was answered, or not; true: it is to be sent once more. */
bool sessions_again(struct sim *s, struct op *op);
void sessions_finished(struct sim *s, struct op *op);

/* ---- copies.c ---- */
void copies_fill(struct engine_state *ret);
void copies_crash(struct sim_node *n);
void copies_done(struct sim_node *n);

/* ---- snap.c ---- */
bool snap_is_on(const struct sim *s);
void snap_init(struct sim *s);
void snap_node_init(struct sim_node *n);
void snap_node_done(struct sim_node *n);
void snap_conf(struct sim_node *n, struct engine_conf *conf);
/* Before engine_open(), and behind one that succeeded. */
void snap_opening(struct sim_node *n);
void snap_opened(struct sim_node *n);
/* One that failed: true when it was this disk's fault. */
bool snap_not_opened(const struct sim_node *n);
void snap_kick(struct sim_node *n);
/* The makers look at the state, or are about to. */
bool snap_is_copying(const struct sim_node *n);
void snap_chore_event(struct sim_node *n, unsigned which);
void snap_event(struct sim *s, const struct sim_event *e);
/* Before the engine is stopped, and when it is gone. */
void snap_dies(struct sim_node *n);
void snap_dead(struct sim_node *n, bool machine);
/* What is looked at after a turn; true: it was the last one of this life. */
bool snap_turn(struct sim_node *n);
/* The disk of the log has done something: true, and the node dies before it is told. */
bool snap_crash_stored(struct sim_node *n);
void snap_sends(struct sim_node *n, const struct raft_msg *m);
void snap_trace(struct sim_node *n, const struct raft_trace *t);
/* A batch that resets the log is durable. */
void snap_reset_durable(struct sim_node *n, struct raft_entry_id id);
/* The state becomes that of a copy. */
void snap_switches(struct sim_node *n, struct raft_entry_id id);
void snap_heal(struct sim_node *n);
/* Before all are healed: what the leader would send to those that were away, perhaps. */
void snap_rot_at_last(struct sim *s);
/* The only voter ends for want of a file that rotted before it was one, and says so (FIT-10): a good
 * copy is put back. False: that is not why it ends. */
bool snap_put_back(struct sim_node *n);
/* Beyond what elections take; 0 without snapshots. */
uint64_t snap_patience_ns(const struct sim *s);
/* Who leads may be wrong, and has no snapshot from before that (SNAP-12): a person must decide. */
bool snap_is_in_doubt(struct sim *s);
/* All is quiet, and a log is longer than it should be: which one. NULL: none is. Until the next
 * call. */
const char *snap_long_log(struct sim *s);

/* ---- room.c ---- */
void room_init(struct sim_node *n);
void room_done(struct sim_node *n);
void room_begin(struct sim_node *n);
int room_take(struct sim_node *n, unsigned key, size_t bytes);
void room_free(struct sim_node *n, unsigned key);
int room_commit(struct sim_node *n);
void room_undo(struct sim_node *n);
void room_fill(struct sim_node *n);
void room_heal(struct sim_node *n);
bool room_of_disk(void *ctx, uint64_t *ret_used, uint64_t *ret_limit);

/* ---- node.c ---- */
void node_init(struct sim *s, unsigned i);
void node_done(struct sim_node *n);
void node_boot(struct sim_node *n);
/* Its log and its engine are let go. */
void node_close(struct sim_node *n);
void node_crash(struct sim_node *n, bool machine, uint64_t restart_after);
void node_out(struct sim_node *n);
void node_input(struct sim_node *n); /* something went in: a turn is due */
void node_turn(struct sim_node *n);
void node_arm(struct sim_node *n, uint64_t deadline_local_us);
struct sim_node *node_of_id(struct sim *s, raft_node_id id);
bool node_is_voter(const struct sim_node *n);
/* Of the voters; both by what is committed. */
unsigned node_quorum(const struct sim *s);
/* The node that leads in the highest term among those up; NULL: none. */
struct sim_node *node_leader(struct sim *s);
const struct raft *node_raft(const struct sim_node *n);

/* ---- clients.c ---- */
void clients_init(struct sim *s);
void clients_done(struct sim *s);
void client_event(struct sim *s, unsigned client);
void client_submit(struct sim *s, struct op *op);
/* After a turn: what was answered leaves the node. */
void clients_replies(struct sim_node *n);
/* One more of this client, in flight; and on its way to its node. */
struct op *client_op(struct sim *s, unsigned client);
void client_send(struct sim *s, struct op *op, uint64_t delay_ns);
void clients_node_died(struct sim_node *n);
/* The stored form of a key: OP_KEY_BYTES bytes. */
#define OP_KEY_BYTES 7u
const char *op_key(unsigned key);

/* ---- manners.c ---- */
void manners_before(struct sim_node *n, const struct raft_msg *m);
void manners_after(struct sim_node *n, const struct raft_msg *m);
void manners_trace(struct sim_node *n, const struct raft_trace *t);
void manners_send(struct sim_node *n, const struct raft_msg *m);
void manners_link(struct sim_node *n, unsigned peer, bool up);
void manners_ready(struct sim_node *n, const struct raft_ready *ready);
void manners_turn(struct sim_node *n);
/* Around the submission of a write: what manners_propose_begin() gave goes to ..._end(). */
raft_index manners_propose_begin(struct sim_node *n);
void manners_propose_end(struct sim_node *n, raft_index closed);

/* ---- gone.c ---- */
void gone_profile(struct sim *s);
void gone_plan(struct sim *s);
void gone_engine(struct sim_node *n, struct engine_ops *ops);
void gone_node_died(struct sim_node *n);
void gone_event(struct sim *s, const struct sim_event *e);
/* Whom it follows, before a link of it is told to be down, and behind it. */
raft_node_id gone_follows(const struct sim_node *n);
void gone_link_down(struct sim_node *n, raft_node_id before);

/* ---- pieces.c ---- */
/* Before a message of a leader: perhaps an append that it may send as well. */
void pieces_send(struct sim_node *n, const struct raft_msg *m);

/* ---- members.c ---- */
bool members_are_on(const struct sim *s);
void members_profile(struct sim *s);
void members_init(struct sim *s);
void members_event(struct sim *s, const struct sim_event *e);
void members_engine(struct sim_node *n, struct engine_ops *ops);
/* After a turn: somebody is to be told who it is. */
void members_kick(struct sim_node *n);
void members_join_event(struct sim_node *n);
/* Nodes of the committed configuration, as bits. */
uint64_t members_core(const struct sim *s);
/* A change that has not come to its end; NULL: all have. Until the next call. */
const char *members_pending(struct sim *s);
/* Voters whose disk was lost: what they held nobody can look at. */
unsigned members_n_lost(struct sim *s, const struct raft_configuration *c);
bool members_is_voter(const struct raft_configuration *c, const struct sim_node *n);

/* ---- changes.c ---- */
void changes_init(struct sim *s);
/* What a log that ends its configurations at index has as the last one. */
bool changes_config_is_right(const struct sim *s, const struct raft_config_at *c, raft_index index);
bool changes_is_gone(const struct sim *s, raft_node_id id);
/* A leader has committed so much. */
void changes_committed(struct sim_node *n, raft_index index);
void changes_leads(struct sim_node *n, raft_term term);
void changes_recovered(struct sim_node *n, const struct store_recovered *r);
void changes_submit(struct sim_node *n, const struct raft_ready *ready);
void changes_hears(struct sim_node *n, const struct sim_node *from, const struct raft_msg *m);
/* This leader, in its term. */
bool changes_answered(const struct sim_node *n, raft_node_id id);
void changes_trace(struct sim_node *n, const struct raft_trace *t);
void changes_sends(struct sim_node *n, const struct raft_msg *m);
void changes_turn(struct sim_node *n);

/* ---- refusals.c ---- */
/* Whoever leads is asked for what must be refused. */
void refusals_ask(struct sim_node *n);

/* ---- stranger.c ---- */
void stranger_init(struct sim *s);
void stranger_event(struct sim *s, unsigned victim);
/* An answer to what was never asked, in a term that only a stranger told. */
bool stranger_is_orphan(const struct sim_node *n, const struct raft_msg *m);
/* Its term is so far above that of who leads that nobody listens to it (TERM-4). */
bool stranger_shut_out(struct sim *s, const struct sim_node *n);

/* ---- run.c ---- */
struct sim *run_new(const struct sim_options *options);
/* Returns when all is well; a violation ends the process (trace.c). */
void run_seed(struct sim *s);
void run_free(struct sim *s);

/* ---- trace.c ---- */
_Noreturn void sim_fail(struct sim *s, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_line(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define TRACE(s, ...)                                                                              \
    do {                                                                                           \
        if ((s)->options.trace)                                                                    \
            sim_line((s), __VA_ARGS__);                                                            \
    } while (0)
#define MARK(s, name) ((void)(s)->marks[MARK_##name]++)
void trace_note(struct sim *s, uint64_t a, uint64_t b, uint64_t c);
const char *trace_commit(void);
void trace_watch(struct sim *s); /* of whom an assertion speaks */
extern const char *const sim_stream_names[STREAM_COUNT];
extern const char *const sim_op_names[OP_COUNT];
extern const char *const sim_feature_names[FEATURE_COUNT];
extern const char *const sim_judge_names[JUDGE_COUNT];

/* ---- shrink.c ---- */
#define SIM_STREAMS_FAULTS                                                                         \
    (UINT64_C(1) << STREAM_LOSS | UINT64_C(1) << STREAM_DUP | UINT64_C(1) << STREAM_REPLAY |       \
     UINT64_C(1) << STREAM_FLIP | UINT64_C(1) << STREAM_PIECE)
void options_print(const struct sim_options *o, char *text, size_t size);
/* One word, "name=value". False: not understood. */
bool options_word(struct sim_options *o, const char *word);
bool options_read(struct sim_options *o, const char *path);
/* Writes the smallest run found that breaks the same rule; 0, or 1 when the run does not fail. */
int shrink(const struct sim_options *o, const char *path);
/* Runs in a process of its own. 0: well; otherwise *ret_what says what broke. */
int probe_run(const struct sim_options *o, char *ret_what, size_t size, uint64_t *ret_event,
              bool quiet);

#endif
