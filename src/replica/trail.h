/* What happened when, lately, on the way of requests: so that of one that took long it can be said
 * which leg of the way that was, and what held it up.
 *
 * Nothing is kept for a request itself but three times (struct replica_times): what many have in
 * common, rounds, commits, runs of the apply, acknowledgements, stands here once. What held up
 * whatever was under way is a snag: from when to when, and which kind.
 *
 * For: the replica, which writes here, and who explains what was slow (replica_explain()).
 * Not for: any decision: nothing here is looked at to serve, to confirm or to fail a request.
 * Units: microseconds of the loop's monotonic clock, bytes.
 * Ownership: a value of fixed size, some 40 kB; all zeros is an empty one.
 * Errors: none. What is too long ago is forgotten, and then not told.
 * Thread: one, that of the replica.
 * Source: SEE-3. */
#ifndef RIDD_REPLICA_TRAIL_H
#define RIDD_REPLICA_TRAIL_H

#include "base/limits.h"
#include "raft/types.h"

/* ---- marks: an index was reached ---- */

struct trail_mark {
    raft_index index;
    uint64_t us;
    /* A commit: whose acknowledgement made it, this node's own disk, or 0: something else did. */
    raft_node_id by;
    uint64_t disk_us; /* a commit by a peer: how long its disk took with that, as it says */
    /* A run of the apply: bytes of entries, and the time for them, up to here since the start. */
    uint64_t bytes;
    uint64_t busy_us;
};
struct trail_marks {
    uint64_t n; /* ever */
    struct trail_mark marks[TRAIL_MARKS];
};

/* ---- snags ---- */

enum trail_kind {
    TRAIL_APPLYING,   /* one run of the apply: n entries of so many bytes */
    TRAIL_LOOP,       /* other work of the loop */
    TRAIL_STOOD,      /* the process did not run: stopped, or not scheduled */
    TRAIL_SYNC,       /* a sync of the own log, of so many bytes */
    TRAIL_SILENT,     /* nothing was heard of a peer */
    TRAIL_NO_LEADER,  /* none was known */
    TRAIL_GATE,       /* promises to an earlier leader ran, and nothing was committed */
    TRAIL_TRANSFER,   /* the leadership was being handed over */
    TRAIL_PARKED,     /* the state had no room */
    TRAIL_REBUILDING, /* the state was being made again */
};
#define TRAIL_KINDS (TRAIL_REBUILDING + 1u)
struct trail_snag {
    enum trail_kind kind;
    uint64_t from_us;
    uint64_t to_us;
    raft_node_id peer; /* SILENT */
    uint64_t n;        /* APPLYING */
    uint64_t bytes;    /* APPLYING, SYNC */
};

struct trail_ack {
    raft_node_id id;
    raft_index index; /* of entries */
    uint64_t us;
    uint64_t disk_us;
};
struct trail_round {
    uint64_t round; /* 0: none yet */
    uint64_t us;    /* when it was opened */
    unsigned n_acks;
    struct trail_ack acks[RAFT_SERVERS_MAX];
};
struct trail_peer {
    raft_node_id id;
    uint64_t n_acks; /* ever */
    struct trail_ack acks[TRAIL_ACKS];
    struct trail_ack slow; /* the last one that its disk was slow with; us 0: none was */
};

struct trail {
    struct trail_marks commits;
    struct trail_marks applies;
    struct trail_round rounds[TRAIL_ROUNDS]; /* by their number */
    uint64_t last_round;                     /* that was opened for reads */
    uint64_t n_asks;
    uint64_t asks[TRAIL_ROUNDS]; /* when questions left */
    uint64_t answered_us;        /* when the last answer came */
    uint64_t applied_us;         /* when the last run of the apply ended */
    unsigned n_peers;
    struct trail_peer peers[RAFT_SERVERS_MAX];
    uint64_t n_snags;
    struct trail_snag snags[TRAIL_SNAGS];
    uint64_t since_us[TRAIL_KINDS]; /* of what lasts now; 0: it does not */
};

/* ---- what happens ---- */

void trail_committed(struct trail *t, raft_index index, uint64_t now_us, raft_node_id by,
                     uint64_t disk_us);
/* A run of n entries, up to this index, took so long, until now. */
void trail_applied(struct trail *t, raft_index index, uint64_t now_us, uint64_t n, uint64_t bytes,
                   uint64_t took_us);
/* The state is another: nothing of its runs leads up to what it holds. */
void trail_state_is_new(struct trail *t, raft_index index, uint64_t now_us);
void trail_round_opened(struct trail *t, uint64_t round, uint64_t now_us);
void trail_round_acked(struct trail *t, raft_node_id from, uint64_t round, uint64_t now_us);
void trail_asked(struct trail *t, uint64_t now_us);
/* The peer has stored all up to this index; its disk took so long with the last of it, 0: it does
 * not say. */
void trail_stored(struct trail *t, raft_node_id from, raft_index index, uint64_t now_us,
                  uint64_t disk_us);
/* Shorter ones than TRAIL_SNAG_US are not kept. */
void trail_add_snag(struct trail *t, const struct trail_snag *snag);
/* Is it so now? What ends becomes a snag. */
void trail_is(struct trail *t, enum trail_kind kind, bool is_so, uint64_t now_us);

/* ---- what happened ---- */

/* The mark by which the index was reached; NULL: it was not, or that is too long ago. */
const struct trail_mark *trail_find(const struct trail_marks *m, raft_index index);
/* The last mark at or before that time; NULL: none that is known. */
const struct trail_mark *trail_before(const struct trail_marks *m, uint64_t us);
/* When this round was opened; 0: it is not known. */
uint64_t trail_round_us(const struct trail *t, uint64_t round);
/* The round that was opened then; 0: none was, as far as is known. */
uint64_t trail_round_at(const struct trail *t, uint64_t us);
/* When the first round, the first question, from then on was opened, left; 0: none has since. */
uint64_t trail_round_since(const struct trail *t, uint64_t us);
uint64_t trail_ask_since(const struct trail *t, uint64_t us);
/* When this peer had acknowledged that round, that index; NULL: it has not, or it is too long
 * ago. */
const struct trail_ack *trail_round_ack(const struct trail *t, uint64_t round, raft_node_id id);
const struct trail_ack *trail_stored_ack(const struct trail *t, raft_index index, raft_node_id id);
const struct trail_peer *trail_peer(const struct trail *t, raft_node_id id);
/* Of the kinds with a bit in `kinds`, the one that covers most of the time between: ended ones, and
 * what lasts at now_us. *ret_us: how much of it. False: none covers any. peer 0: of any. */
bool trail_worst(const struct trail *t, unsigned kinds, raft_node_id peer, uint64_t from_us,
                 uint64_t to_us, struct trail_snag *ret, uint64_t *ret_us);

#endif
