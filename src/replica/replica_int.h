/* The inside of the replica, shared by its files. */
#ifndef RIDD_REPLICA_REPLICA_INT_H
#define RIDD_REPLICA_REPLICA_INT_H

#include "replica/replica.h"
#include "replica/timers.h"

/* A message that waits for the disk; it carries no entries. */
struct held_msg {
    uint64_t after_batch;
    struct raft_msg msg;
};

/* Where a read in the core finds its way back; the generation keeps a late answer from reaching the
 * next tenant. */
struct read_slot {
    struct replica_request *request; /* NULL: free, or cancelled */
    uint32_t generation;
    uint32_t next_free;
};

struct replica {
    struct replica_ops ops;
    struct raft *raft; /* owned */
    struct timers timers;
    bool dead; /* after fatal */
    bool quiesced;
    bool transferring;
    bool dirty; /* something went into the core since the last ready */
    bool more;  /* the last ready left committed entries behind */
    uint64_t now_us;
    uint64_t election_timeout_us;

    struct list waiting;   /* REPLICA_WAITING, in order of arrival */
    struct list confirmed; /* REPLICA_CONFIRMED, anchors never fall */
    struct list local;     /* REPLICA_READ_LOCAL, for this turn */
    struct list proposed;  /* REPLICA_PROPOSED, by index */
    raft_index last_anchor;
    raft_index last_applied;

    struct read_slot *slots; /* owned */
    uint32_t n_slots;
    uint32_t first_free; /* n_slots: none */

    struct held_msg *held; /* owned ring */
    size_t held_size;
    size_t held_head;
    size_t n_held;

    struct {
        raft_node_id id;
        uint64_t heard_us;
    } heard[RAFT_SERVERS_MAX]; /* last message of any kind */
    unsigned n_heard;

    struct replica_stats stats;
};

void replica_fatal(struct replica *r, int error, const char *what);
/* Takes it out of its queue and its timer; the stage is idle afterwards. */
void replica_unlink(struct replica *r, struct replica_request *q);
void replica_fail(struct replica *r, struct replica_request *q, enum wire_error error,
                  const char *stage);
void replica_fail_loss(struct replica *r, struct replica_request *q,
                       const struct raft_ready *ready);
struct replica_request *replica_slot_take(struct replica *r, uint64_t ctx);
/* Waiting requests: on when this node can serve, failed when another leads. */
void replica_drain_waiting(struct replica *r);
void replica_expire(struct replica *r);

#endif
