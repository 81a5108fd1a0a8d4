/* The inside of the engine, shared by its files. */
#ifndef RIDD_ENGINE_ENGINE_INT_H
#define RIDD_ENGINE_ENGINE_INT_H

#include "base/log.h"
#include "base/prng.h"
#include "base/slice.h"
#include "engine/chores.h"
#include "engine/engine.h"
#include "engine/judge_int.h"
#include "engine/metrics.h"
#include "snap/snap.h"
#include "store/log_thread.h"
#include "store/read_thread.h"

/* What the engine says in its notes, beside what the core says in them. */
#define NOTE_JUDGED         (RAFT_NOTE_UNFIT << 1) /* a leader's digest is what most voters have */
#define NOTE_LOG_FULL       (RAFT_NOTE_UNFIT << 2) /* the log has no room for its next segment */
#define NOTE_WANTS_SNAPSHOT (RAFT_NOTE_UNFIT << 3) /* it has no state, and nothing to make one of */

/* space.c: which room there is. */
struct space {
    uint64_t quota_bytes; /* of this node's file; 0: it says nothing */
    uint64_t due_us;      /* when it is looked at again */
    bool log_is_full;     /* the next segment cannot be prepared */
    bool state_is_full;   /* the apply is parked, or a snapshot has no room to take its place */
    bool parks;           /* what was said of the log for engine_set_parked() */
    bool nodes_are_full;  /* a leader: of the voters that are heard those with room are no quorum */
    bool met_damage;      /* of the state, since the last turn */
    uint64_t log_bytes;
    uint64_t log_limit; /* with what can still be written there */
    /* The file system of the state, looked at while it is full; 0: not known. */
    uint64_t disk_used;
    uint64_t disk_limit;
    uint64_t taken; /* of entries of a leader, and not handed to the log yet */
    /* By how much the last write that the limit refused would have made the state larger: the quota
     * is full until so much would fit. 0: it is not. */
    uint64_t refused_bytes;
    uint64_t in_flight; /* handed to the log and not applied */
    raft_index applied; /* the last one that was taken off it */
    /* What was proposed when entries were last handed to the log. */
    uint64_t entries_submitted;
    uint64_t bytes_submitted;
    bool asked; /* the request below is under way, for a limit of so many bytes: */
    uint64_t asked_bytes;
    struct replica_request request;
    struct buf command;
};

/* agree.c */
struct agree {
    bool is_parked;
    bool is_set_aside;   /* what was damaged or not believed; the state that is there is new */
    bool was_rebuilding; /* when last looked at */
    bool catches_up;     /* it is what it was, but for what its file lacked (STATE-17) */
};

/* differ.c. Digests of this node that it has said lately, beside those that the state keeps. */
#define DIGESTS_SAID 8u
struct heard_note {
    raft_node_id id;
    struct raft_note note; /* the latest */
    /* The last check that found no majority had its answer, or did not wait for it; or it has come
     * since. */
    bool is_counted;
    raft_index equal_at; /* the highest index at which it had what this node's state had */
};
struct differ {
    uint64_t period_us; /* a note is as old as that */
    uint64_t due_us;
    struct heard_note heard[RAFT_SERVERS_MAX];
    unsigned n_heard;
    struct raft_digest_at said[DIGESTS_SAID]; /* a ring */
    unsigned next_said;

    bool differs;          /* from somebody, when last compared */
    raft_index differs_at; /* there */
    uint64_t n_alarms;

    /* The check that is under way, of this node when it leads, otherwise of its leader. */
    bool led;
    uint64_t check;           /* its number; 0: none */
    struct raft_digest_at at; /* the index that is asked about; digest: when known */
    uint64_t passes;          /* of the scrub, when it began */
    bool is_checked;          /* a pass has ended since, and found nothing */

    /* The leader's. */
    unsigned n_checks;
    uint64_t at_us; /* when the index was chosen */
    /* No check before, where the last one ended without a majority, and nobody came since. */
    uint64_t again_us;
    bool is_judged;
    struct raft_digest_at right;

    bool is_wrong;     /* a majority said so; it is unfit until it is made again and equal */
    uint64_t wrong_us; /* when that was last known */
    struct log_limit limit;
};

/* scrub.c */
struct scrubbing {
    uint64_t bytes_per_s; /* 0: only when asked for */
    uint64_t due_us;      /* of the next slice; UINT64_MAX: none */
    uint64_t good_us;     /* when all of it was last found good */
    uint64_t passes;
    unsigned percent; /* of the pass at hand */
    bool hurries;
};

/* disk.c: what was said of the disk last. */
struct disk_said {
    uint64_t due_us; /* when it is looked at again */
    bool said_slow;
};

/* load.c: whether the loop is what everybody waits for. */
struct load {
    uint64_t due_us; /* when it is looked at again */
    uint64_t looked_us;
    uint64_t cpu_us; /* used then */
    bool busy;
    unsigned rounds_max; /* while it is not */
};

/* leases.c */
struct leases {
    uint64_t lease_us; /* of this node when it leads; 0: none */
    bool link_came;    /* since the core was told who understands asks */
    struct log_limit disrupted_limit;
    struct log_limit taken_limit;
    uint64_t say_us;     /* when it is looked at again what there is to say */
    raft_term said_term; /* of this node as leader */
    bool said_valid;
    raft_node_id said_drift; /* with whom; 0: nobody */
    uint64_t look_us;        /* when it is looked at again whether all members know of leases */
    uint64_t n_disrupted;
    struct raft_entry_id config; /* the configuration that it was told of; 0/0: none */
    struct {
        raft_node_id id;
        bool asks;
    } told[RAFT_SERVERS_MAX];
    unsigned n_told;
};

/* ---- snapshots ---- */

/* snapshots.c: the newest one, and the front of the log; make.c: how it is made. */
struct making {
    struct chore chore; /* copies; then finishes */
    bool wanted;        /* by somebody, or by the size of the log */
    bool finishing;
    /* As it was when it began. */
    raft_index above;
    unsigned mib_per_s;
    struct snap_writer *writer; /* owned */
    int sink_rc;
    atomic_bool stops; /* what reads the copy ends */
    raft_index up_to;  /* of older ones: see snap_prune() */
    struct kv_copy_info info;
    struct snap_meta meta;
    uint64_t began_us;
    uint64_t due_us;          /* not before; after one that failed */
    _Atomic uint64_t n_bytes; /* written */
    uint64_t bytes;           /* expected */
    uint64_t n_made;
    uint64_t n_failed;
    char why[CHORE_TEXT_BYTES]; /* the last one failed; "": it did not */
    uint64_t took_us;
};

/* restore.c: the state from a snapshot of this node. */
enum restore_phase { RESTORE_NOT, RESTORE_PREPARING, RESTORE_PREPARED };
struct restoring {
    enum restore_phase phase;
    struct chore chore;
    /* Those from here to there were tried, and were of no use; 0: none was. One that got its name
     * since is another. */
    raft_index below;
    raft_index tried;
    uint64_t tried_us;     /* the last of them */
    struct snap_meta meta; /* which one */
    struct kv_copy_info info;
    bool wants; /* only another node's helps */
};

/* send.c: one snapshot to one follower. */
struct send_block {
    uint64_t offset;
    size_t len;          /* 0: empty */
    unsigned char *data; /* owned */
};
struct sending {
    raft_node_id to;    /* 0: free */
    bool wants;         /* it said so */
    bool is_open;       /* one was chosen */
    bool is_ready;      /* and its reader is there */
    bool is_read_again; /* none is open: is the last one what it was? */
    uint64_t transfer;
    struct chore chore;
    struct engine *engine;      /* for the chore */
    struct snap_reader *reader; /* owned */
    struct raft_entry_id id;
    struct buf head; /* length and trailer, before the copy */
    uint64_t bytes;  /* of the whole */
    struct send_block blocks[SNAP_SEND_BLOCKS];
    unsigned reading; /* which the chore fills */
    size_t reading_len;
    uint64_t read_to;
    uint64_t sent;
    uint64_t acked;
    uint8_t status;
    bool asks; /* a question is out: its answer says where to go on */
    uint64_t heard_us;
    uint64_t asked_us;
    uint64_t began_us;
    uint64_t began_at;  /* how far it was then */
    uint64_t next_us;   /* not before: the next try, or the next part */
    raft_index above;   /* a snapshot that ends here or before is of no use */
    unsigned n_refused; /* one after the other; 0: the last one was not */
    uint8_t refused;    /* why, the last */
};

/* receive.c */
enum receive_phase {
    RECEIVE_NOT,
    RECEIVE_PARTS,
    RECEIVE_CHECKING,   /* the chore checks it, and gives it its name */
    RECEIVE_INSTALLING, /* raft_install() is asked */
    RECEIVE_SWITCHING,  /* the state is to be that of the snapshot */
};
struct receiving {
    enum receive_phase phase;
    raft_node_id from;
    raft_term term; /* of its last message */
    uint64_t transfer;
    uint8_t status;  /* what is said of this transfer when phase is NOT */
    struct buf head; /* length and trailer */
    bool has_meta;
    struct snap_meta meta;
    struct snap_writer *writer; /* owned; NULL: not yet */
    struct snap_reader *held;   /* owned; so that it stays until the state is of it */
    uint64_t bytes;             /* of the whole */
    uint64_t taken;             /* of it, in order */
    struct buf in[2];           /* of the copy; one is being filled, the other is the chore's */
    unsigned filling;
    bool writing;
    struct chore chore;
    struct kv_copy_info info;
    bool is_prepared; /* its copy lies beside the state */
    uint64_t written; /* of the whole */
    uint64_t began_us;
    uint64_t heard_us;
    uint64_t again_us; /* INSTALLING: when to ask again */
    bool is_full;      /* SWITCHING: there was no room for it */
};

/* give.c: parts for clients, from one reader. */
struct giving {
    struct chore chore;         /* opens when it has to, and reads; or closes */
    bool is_there;              /* what was read last waits to be asked for */
    int rc;                     /* how that ended */
    struct wire_part of;        /* it */
    struct snap_folder *folder; /* borrowed, for the chore */
    struct snap_reader *reader; /* owned; NULL: none is open */
    struct buf trailer;         /* behind the copy */
    unsigned char *block;       /* owned: SNAP_PART_BYTES_MAX; NULL: none yet */
    struct buf text;            /* it, as Base64 */
    size_t len;
    uint32_t crc;
    uint64_t bytes; /* of the whole file */
    uint64_t used_us;
    uint64_t next_us; /* not before: the next part */
    bool waits;       /* somebody, for that */
};

struct snapshots {
    struct snap_folder *folder; /* owned; NULL: no snapshots */
    struct vfs *vfs;            /* owned; NULL: the host's */
    struct chores *makers;      /* owned: the copy of the state, which takes long */
    struct chores *bench;       /* owned: all else */
    bool threads;               /* they have threads */
    struct engine_snapshots_conf conf;
    unsigned char cluster_id[16];
    struct raft_entry_id newest; /* index 0: none */
    uint64_t newest_bytes;
    uint64_t newest_us;
    raft_index mark_asked;
    uint64_t look_us;
    uint64_t unmet_until_us; /* the log is kept whole for a member that was not met */
    atomic_bool stops;       /* all that reads one ends */
    /* Of the files, beside the making of one. */
    struct chore tidy;
    bool prunes; /* it is wanted */
    bool checks; /* the newest is to be read again: the front waits for it */
    struct raft_entry_id checking;
    uint64_t check_us;           /* not before; after one that failed */
    bool doubted;                /* none of this node is to be believed: they go */
    bool left;                   /* the chore: some could not go yet */
    struct raft_entry_id spared; /* not of this node */
    raft_index tidy_up_to;
    uint64_t tidy_us;
    struct making making;
    struct restoring restoring;
    struct sending *sendings; /* owned; RAFT_SERVERS_MAX */
    struct receiving receiving;
    struct giving giving;
    uint64_t n_sent;
    uint64_t n_installed;
    struct prng prng;
};

/* members_int.h: the new node that is told who it is, and learners that are brought up. */
enum task_state {
    TASK_NONE,
    TASK_ASKING,  /* whether anybody waits there, before the cluster is changed for it */
    TASK_NAMING,  /* the cluster gets its random id first */
    TASK_JOINING, /* the new node is being told who it is */
    TASK_ADDING,  /* it knows, and the entry is not appended yet */
    TASK_IN_LOG,  /* what is left stands in the configuration */
    TASK_FAILED,
};
struct member_task {
    enum task_state state;
    uint64_t number; /* drawn for it, so that nobody takes its end for that of another */
    char name[NODE_NAME_BYTES_MAX + 1];
    char peer_addr[ADDRESS_BYTES_MAX + 1];
    char client_addr[ADDRESS_BYTES_MAX + 1];
    bool learner;
    bool force;
    raft_node_id exchanges; /* the incarnation before it, which goes with the same entry; 0: none */
    raft_node_id replaces;
    raft_node_id id;   /* TASK_IN_LOG: its own, */
    bool is_committed; /* and that entry cannot be lost any more */
    unsigned char cluster_id[16];
    unsigned version_lowest;
    uint64_t incarnation;
    struct buf config; /* what its log begins with */
    struct chore chore;
    uint64_t began_us;
    char why[CHORE_TEXT_BYTES];
    raft_index taken_back; /* TASK_FAILED: by this entry; 0: nothing had to be */
};
struct catchup {
    raft_node_id id;
    raft_term term;
    raft_index round_end;
    uint64_t round_us;
    uint64_t began_us;
    unsigned n_rounds;
};
struct members {
    struct chores *bench; /* owned */
    struct prng prng;
    struct member_task task;
    struct catchup catchups[RAFT_SERVERS_MAX];
    uint64_t due_us;
    uint64_t hand_over_us; /* to the one that replaces this node: not before */
    struct log_limit failed_limit;
    bool has_thread;
};

/* seen.c: leaders, as this node saw them. */
struct leaders {
    raft_node_id id; /* that was known last; 0: none since the start */
    raft_term term;
    raft_node_id now;               /* 0: none is */
    uint64_t leaderless_us;         /* in all, but for what lasts */
    uint64_t leaderless_since_us;   /* 0: there is one */
    bool transfers;                 /* this node hands over, or was told to take over */
    enum engine_leader_change lost; /* this node led: why it does not any more */
    bool has_lost;
    bool is_gone; /* nobody listens any more where the one before was */
    uint64_t changes[ENGINE_N_LEADER_CHANGES];
    uint64_t heard_us; /* when the one before was heard last */
    uint64_t since_us; /* elected, and nothing served yet: from that time on; 0: not so */
    struct histogram failover_us;
};

struct engine {
    struct engine_ops ops;
    const char *node_name; /* borrowed */
    raft_node_id id;
    bool reading;    /* between state.read_begin and state.read_end */
    struct vfs *vfs; /* owned; NULL: the host's is used */
    struct store *store;
    struct log_thread *log_thread;   /* NULL: none */
    struct log_reads *reads;         /* NULL: the log is read at once, in the loop */
    struct read_thread *read_thread; /* NULL: the host calls engine_read() */
    uint64_t n_read;                 /* of reads already told to the replica */
    uint64_t n_done;                 /* of the log thread already told to the replica */
    struct engine_state state;
    struct kv *kv; /* NULL: the host's own state */
    struct replica *replica;
    struct service *service;
    struct space space;
    struct agree agree;
    struct differ differ;
    struct scrubbing scrub;
    struct disk_said disk;
    struct {
        struct buf text; /* of `status`: what is dear to find out, as it was */
        uint64_t until_us;
        raft_index applied;
    } told;
    struct load load;
    struct leases leases;
    struct snapshots snap;
    struct members members;
    uint64_t ahead_due_us; /* the file of the state is stored then; 0: it lacks nothing */
    raft_index ahead_to;   /* it is, up to this entry; 0: not begun */
    bool front_goes;       /* without a log thread: the store has more to prepare, or to remove */
    uint64_t share_us;     /* of a turn: for taking in what waits in the links */
    struct leaders leaders;
    uint64_t n_fsyncs_slow;
    struct log_limit slow_limit;
    struct log_limit fsync_limit;
    struct log_limit invalid_limit;
    struct log_limit term_limit;
    struct log_limit terms_left_limit;
};

/* A host with a trace of its own writes the lines itself. */
static inline bool engine_logs(const struct engine *e)
{
    return e->ops.trace == NULL;
}

/* By the host's clock, as of now. */
static inline uint64_t engine_now_us(const struct engine *e)
{
    return e->ops.now_us(e->ops.ctx);
}

/* tables.c: what replica and service call. */
void engine_fill_replica_ops(struct engine *e, struct replica_ops *ops);
void engine_fill_service_ops(struct engine *e, struct service_ops *ops);

/* state.c */
void engine_state_of_kv(struct kv *kv, struct engine_state *ret);

/* scrub.c */
void engine_scrub_begin(struct engine *e, unsigned mib_per_s, uint64_t now_us);
/* One slice, when it is due. */
void engine_scrub_turn(struct engine *e, uint64_t now_us);
uint64_t engine_scrub_deadline_us(const struct engine *e);
/* The pass at hand is dropped, and one that begins now is hurried through. */
void engine_scrub_now(struct engine *e);
/* Passes that were begun, ended, and found nothing. */
uint64_t engine_scrub_passes(const struct engine *e);
/* The state was set aside: the pauses begin anew. */
void engine_scrub_again(struct engine *e, uint64_t now_us);

/* space.c */
/* "log", "state", "nodes" or "quota"; NULL: there is room. */
const char *engine_what_is_full(const struct space *s);
/* As replica_ops.may_propose. */
bool engine_may_propose(void *ctx, const struct replica_request *q, struct replica_refusal *ret);
/* As replica_ops.may_store. */
bool engine_may_store(void *ctx, const struct raft_msg *m);
/* Goes to the log; was applied. */
void engine_space_submitted(struct engine *e, const struct raft_ready *ready);
void engine_space_applied(struct engine *e, const struct raft_entry *entry);
/* What is between the state that was and the one that is was not applied one by one. */
void engine_space_state_is_new(struct engine *e);
void engine_space_turn(struct engine *e, uint64_t now_us);
void engine_space_status(const struct engine *e, struct wire_reply *w);

/* versions.c */
/* Every member is known to understand commands of this version. Else *ret_behind is one that is
 * not. */
bool engine_all_know(const struct engine *e, unsigned version, raft_node_id *ret_behind);
/* A command with or for a session may be proposed; false: *ret says why not. */
bool engine_may_name_session(const struct engine *e, struct replica_refusal *ret);
void engine_sessions_status(const struct engine *e, struct wire_reply *w);

/* agree.c */
/* When the replica is there. */
void engine_agree_begin(struct engine *e);
void engine_agree_turn(struct engine *e, uint64_t now_us);
/* What the state says of itself is wrong, whoever found it; `why` is for the log. */
void engine_state_damaged(struct engine *e, const char *why);
/* ahead.c: what was applied is in the file. False: there is no room, or the state is damaged, which
 * was seen to, or the node is at its end. */
bool engine_flush(struct engine *e);
/* The same for what was applied up to that entry, a step of it. False: also, there is more; ask
 * again. */
bool engine_flush_to(struct engine *e, raft_index index);
void engine_ahead_turn(struct engine *e, uint64_t now_us);

/* kv_shown_index(); 0: of this state nobody says so. */
raft_index engine_shown_index(const struct engine *e);
/* What is applied, or was by the last process (kv_witness_index()). */
raft_index engine_was_applied(const struct engine *e);
/* As replica_ops.state_is_damaged and .state_rebuild. */
bool engine_state_is_damaged(void *ctx, int rc, const char *what);
int engine_state_rebuild(void *ctx, raft_index *ret_applied);
/* status: "good", "checking", "differs", "damaged", "rebuilding". */
const char *engine_verdict(const struct engine *e);

/* differ.c */
void engine_differ_begin(struct engine *e, uint64_t heartbeat_us);
/* What was said is of a state that is gone. */
void engine_differ_forget(struct engine *e);
void engine_differ_turn(struct engine *e, uint64_t now_us);
/* Up to this index a majority of the voters, this node with them, had the same state: what differs
 * now began to differ behind it. 0: not known. */
raft_index engine_agreed_index(const struct engine *e);
/* As replica_ops.heard_note. */
void engine_heard_note(void *ctx, raft_node_id from, const struct raft_note *note);

/* disk.c */
void engine_disk_status(const struct engine *e, struct wire_reply *w);
void engine_disk_turn(struct engine *e, uint64_t now_us);

/* snapshots.c */
/* Opens the folder; state and log are open. 0 or -errno. */
int engine_snapshots_open(struct engine *e, const struct engine_conf *conf);
int engine_snapshots_start(struct engine *e, int notify_fd);
/* No thread works for them any more; what was under way is dropped. */
void engine_snapshots_stop(struct engine *e);
void engine_snapshots_free(struct engine *e);
void engine_snapshots_turn(struct engine *e, uint64_t now_us);
uint64_t engine_snapshots_deadline_us(const struct engine *e);
void engine_snapshots_status(struct engine *e, struct wire_reply *w);
/* This one is whole and durable, and was read again. */
void engine_snapshots_have(struct engine *e, const struct snap_meta *m);
/* Which is the newest that the log goes on from (SNAP-23)? At the start, and when one was found to
 * be no good. */
void engine_snapshots_lost(struct engine *e);
/* The state that they were made of was wrong: none of them is used, and all go (SNAP-12). */
void engine_snapshots_doubt(struct engine *e);
/* Does the log go on from a snapshot that ends with this entry (SNAP-23, DISK-23)? It neither ends
 * behind what is committed and durable here, nor before the log begins, and both know its last
 * entry by the same term. Whoever marks, sends, makes or restores asks here. */
bool engine_snapshot_is_of_log(const struct engine *e, struct raft_entry_id id);
/* The same at the start, when all that is known is what the log's disk says. What is committed is
 * not asked for: a snapshot with an entry of this log proves it to be. */
bool engine_snapshot_is_of_recovered(const struct store_recovered *recovered,
                                     struct raft_entry_id id);
/* Older ones may go: another has taken their place. */
void engine_snapshots_prune(struct engine *e);
void engine_snapshots_work(struct engine *e);
bool engine_snapshots_has_work(const struct engine *e);

/* make.c */
/* Takes in what its thread has done. */
void engine_make_take(struct engine *e, uint64_t now_us);
/* Begins one when it is due. */
void engine_make_turn(struct engine *e, uint64_t now_us);
/* No thread works for it any more: what was begun is dropped. */
void engine_make_stop(struct engine *e);
/* No copy of the state is under way any more: true. Otherwise it was told to stop. */
bool engine_copy_is_over(struct engine *e);
/* Before a clean stop, where it takes next to no time (SNAP-20). */
void engine_snapshots_last(struct engine *e);

/* restore.c */
/* At the start: the state that is there is of no use, or there is none; from the newest snapshot
 * that the log goes on from. 0: it is done, or there is none; -errno. */
int engine_restore_at_start(struct engine *e, const struct store_recovered *recovered);
/* At the start, with a good state whose file is much larger than what it holds: from a snapshot,
 * when that is near enough (SNAP-21). As engine_restore_at_start(). */
int engine_shrink_at_start(struct engine *e, const struct store_recovered *recovered);
/* As engine_state_rebuild(), where there are snapshots. */
int engine_restore(struct engine *e, raft_index *ret_applied);
void engine_restore_forget(struct engine *e);
/* engine.c: addresses that are asked for at first, for a state of that limit. */
size_t engine_map_bytes(uint64_t quota_bytes);
/* What the copy holds is what the snapshot says of it. */
bool engine_copy_is_as_said(const struct kv_copy_info *info, const struct snap_meta *m);
/* After the state was replaced. */
void engine_state_is_new(struct engine *e);

/* send.c */
void engine_send_turn(struct engine *e, uint64_t now_us);
void engine_send_answer(struct engine *e, const struct raft_msg *m);
void engine_send_heard(struct engine *e, raft_node_id from, uint32_t flags);
uint64_t engine_send_deadline_us(const struct engine *e);
/* No further than this the log may be dropped while one is sent; 0: no matter. */
raft_index engine_send_floor(const struct engine *e);
void engine_send_stop(struct engine *e);
void engine_send_status(const struct engine *e, struct wire_reply *w);

/* give.c */
/* As service_ops.snapshot_part. */
int engine_give(struct engine *e, struct service_part *part);
void engine_give_turn(struct engine *e, uint64_t now_us);
uint64_t engine_give_deadline_us(const struct engine *e);
void engine_give_stop(struct engine *e);

/* receive.c */
void engine_receive(struct engine *e, const struct raft_msg *m);
void engine_receive_turn(struct engine *e, uint64_t now_us);
void engine_receive_stop(struct engine *e);
void engine_receive_status(const struct engine *e, struct wire_reply *w);
/* What was prepared is not to be touched. */
bool engine_receive_holds_copy(const struct engine *e);
uint64_t engine_receive_deadline_us(const struct engine *e);

/* members_int.h names the files. */
int engine_members_begin(struct engine *e, uint64_t seed);
int engine_members_start(struct engine *e, int notify_fd);
void engine_members_stop(struct engine *e);
void engine_members_turn(struct engine *e, uint64_t now_us);
/* Without a thread: what would wait for it. */
void engine_members_work(struct engine *e);
/* Nobody is being added of whom the log does not know yet, and the last configuration is
 * committed. */
bool engine_members_are_settled(const struct engine *e);
/* As service_ops.member and .member_changes. */
void engine_member(void *ctx, enum wire_request_type verb, const struct wire_member *q,
                   struct service_member_answer *a);
void engine_member_changes(void *ctx, struct wire_reply *w);

/* load.c */
void engine_load_turn(struct engine *e, uint64_t now_us);

/* leases.c */
void engine_leases_init(struct engine *e);
/* As replica_ops.suspended_us and .disrupted. */
uint64_t engine_suspended_us(void *ctx);
bool engine_disrupted(void *ctx);
/* Before the replica's turn. */
void engine_leases_turn(struct engine *e, uint64_t now_us);
/* Who may not know of leases, and why it is thought so; NULL: nobody. */
const struct raft_server *engine_leases_wait_for(const struct engine *e, const char **ret_why);
/* lease_words.c */
void engine_leases_look(struct engine *e, uint64_t now_us);
void engine_leases_status(const struct engine *e, struct wire_reply *w);
/* What these two say of such a status of the core. */
void engine_leases_say(struct engine *e, const struct raft_status *st, uint64_t now_us);
void engine_leases_tell(const struct engine *e, struct wire_reply *w, const struct raft_status *st);
bool engine_clocks_warning(const struct engine *e, const struct raft_status *st, char *ret_text,
                           size_t size);
/* What the core was told. */
bool engine_understands_asks(const struct engine *e, raft_node_id id);

/* seen.c */
void engine_seen_begin(struct engine *e, uint64_t now_us, uint64_t election_us);
/* Before the replica's turn: what the disk did is known to it. */
void engine_seen_disk(struct engine *e);
/* After it. */
void engine_seen_turn(struct engine *e, uint64_t now_us);
void engine_seen_trace(struct engine *e, const struct raft_trace *t);
/* As service_ops.slow and replica_ops.disk_busy_us. */
void engine_slow(void *ctx, const struct service_slow_op *op);
uint64_t engine_disk_busy_us(void *ctx);
/* What is slow on this node: for operations and for syncs. */
uint64_t engine_slow_us(uint64_t election_us);

/* events.c */
void engine_trace(void *ctx, const struct raft_trace *t);
/* As replica_ops.fatal. */
void engine_fatal(void *ctx, int error, const char *what);
/* As the failure hook of log_thread_start(). */
void engine_log_failed(void *ctx, int error);

#endif
