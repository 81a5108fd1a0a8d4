/* The node under the script of fuzz-node.c: its disk, its state machine, what it sends, its lives, and
 * what must hold of all of them. The checks assert. */
#ifndef RIDD_TESTS_FUZZ_NODE_WORLD_H
#define RIDD_TESTS_FUZZ_NODE_WORLD_H

#include "fuzz/steps.h"
#include "engine/engine.h"
#include "unit/fake-disk.h"

#define STEPS_MAX      200u
#define REQUESTS_MOST  48u
#define SESSIONS       3u
#define OUTBOX         32u
#define HANDED_MOST    2048u
#define WORKS_MOST     4u
#define PEERS          16u /* the core knows no more, and this node */
#define STATE_KEYS_MAX 64u
#define FUZZ_DIGEST_VERSION 3u

struct request {
    struct replica_request rr;
    bool live;
    unsigned order;   /* of submission */
    raft_index floor; /* commit_index of this node when it was submitted */
    unsigned char command[64];
};

struct applied {
    raft_term term;
    enum raft_entry_type type;
    uint32_t len;
};

/* A key and where it was last written: enough to tell one state from another. */
struct state_key {
    unsigned char key[KEY_BYTES_MAX];
    size_t len;
    raft_index modify_index;
    bool exists;
};

/* One batch on its way to the disk. */
struct handed {
    uint64_t number;
    struct raft_hard_state hard_state;
    raft_index last; /* entry of it; 0: none */
};

/* The most that one peer has said; a later term begins anew. */
struct seen {
    struct raft_entry_id acked;  /* entries acknowledged to this node in that term */
    struct raft_entry_id proven; /* this node's log is the sender's up to here, by its appends */
    struct raft_entry_id match;  /* as the core has it */
    raft_term voted_term;        /* of its vote for this node */
    raft_term candidate_term;    /* in which it asked for one, its log being up to date */
    raft_term round_term;
    uint64_t round; /* heartbeats answered */
};

struct world {
    struct fake_disk *disk;
    struct store_conf store_conf;
    struct engine *engine;   /* owned; NULL while down */
    struct store *store;     /* the engine's */
    struct replica *replica; /* the engine's */
    struct raft_conf raft_conf;
    uint64_t now_us;
    struct steps steps;
    raft_node_id peers[PEERS]; /* n2, n3 and so on, members or not */
    raft_node_id self;

    bool faults; /* armed since the last boot */
    bool dead;   /* fatal was called */

    /* The disk: what was handed over, what of it is durable, what the replica was told of it. */
    struct handed handed[HANDED_MOST];
    unsigned n_handed;
    raft_index handed_last;            /* of the log */
    uint64_t work_numbers[WORKS_MOST]; /* what store_work() said, not reported yet */
    unsigned n_works;
    struct raft_hard_state durable_states[HANDED_MOST];
    unsigned n_durable;
    raft_index durable_most;          /* highest index that was ever durable in this life */
    struct raft_entry_id durable_own; /* highest index handed over in the latest term */

    /* What this node told others, and may never forget. */
    struct raft_hard_state promised;
    raft_index promised_last; /* acknowledged and not truncated since */

    /* The state machine. */
    struct applied *applied; /* owned; [i] is index i + 1 */
    size_t n_applied;
    size_t n_begun; /* inside a transaction: what it has applied so far */
    size_t applied_room;
    bool in_transaction;
    bool in_read;
    bool damaged; /* every record says so when it is looked at, until it is rebuilt */
    struct state_key keys[STATE_KEYS_MAX];
    unsigned n_keys;

    /* What the peers have told this node. */
    struct seen seen[PEERS];
    bool configs_came;      /* the members may have changed */
    raft_term lead_term;    /* the latest in which this node led, */
    raft_index lead_commit; /* and what was committed when it began */

    struct request requests[REQUESTS_MOST];
    unsigned n_requests; /* ever */
    struct replica_session sessions[SESSIONS];
    struct raft_msg outbox[OUTBOX];
    unsigned n_sent;
    struct raft_note said; /* last, of its own state */
    struct arena arena;
};

/* ---- node-world.c ---- */

/* Everything of w is made but store and replica. */
void world_boot(struct world *w);
/* Requests that wait are failed with `cancelled`. */
void world_stop(struct world *w);
/* The process ends, and as the operands say the machine too, and the state machine's memory; then it
 * starts again. Nothing is armed after it. */
void world_crash(struct world *w, const uint8_t *s);
/* Both crash when a fault that was armed ends the node. */
void world_turn(struct world *w, const uint8_t *s);
/* What is queued becomes durable; the replica does not know yet. */
void world_write(struct world *w, const uint8_t *s);
/* Of the writes not reported yet the oldest. */
void world_report(struct world *w);

/* ---- node-judge.c ---- */

/* To the replica, and what it may change is compared with what it did. 0 or RAFT_E_INVALID. */
int judge_deliver(struct world *w, const struct raft_msg *m);
/* The core's own invariants, and its commit index against what was acknowledged. */
void judge(struct world *w);
/* A confirmed read: a quorum answered its round; the writes before it on its session are there. */
void judge_read(struct world *w, const struct request *q, const struct replica_view *view);
/* A message that leaves. */
void judge_sent(struct world *w, const struct raft_msg *m);

#endif
