/* The reads of a leader on their way from raft_read() to the host, as values in rings.
 *
 *   list    those without an index (pending) behind those in a round (in flight), oldest first
 *   floors  confirmed by their round, but below the index that their connection's own writes set
 *   done    confirmed, not yet handed out
 *   failed  the same for those that lost their leader
 *
 * It decides nothing: when a round opens and what an answer confirms is in read.c. Rounds and
 * indexes do not fall along the list, so what a round confirms is always a prefix of it. */
#ifndef RIDD_RAFT_READ_QUEUE_INT_H
#define RIDD_RAFT_READ_QUEUE_INT_H

#include "base/assert.h"
#include "base/ring.h"
#include "raft/raft.h"

/* A read of this node's own clients; or a question of another node, or of this one for all its
 * tickets, which waits like a read (FOLLOW-4). */
struct read {
    raft_node_id asker;     /* 0: a read; its ctx and min_index */
    struct raft_ask_id ask; /* from when it joins a round on */
    uint64_t ctx;
    raft_index min_index;
    raft_index read_index;  /* of its round */
    uint64_t round;         /* 0: pending, in no round yet */
    uint64_t arrival_round; /* the highest round open when it arrived; below its own */
};

RING_DEFINE(read_ring, struct read);
RING_DEFINE(read_done_ring, struct raft_read_done);
RING_DEFINE(read_failed_ring, uint64_t); /* ctx */

struct read_queue {
    struct read_ring list;
    size_t n_inflight; /* the first of the list */
    size_t n_asks;     /* those of the list that are questions */
    struct read_ring floors;
    struct read_done_ring done;
    struct read_failed_ring failed;
};

void raft_read_queue_init(struct read_queue *q, struct mem mem);
void raft_read_queue_free(struct read_queue *q);
/* Reads neither confirmed nor failed: what counts for the bound. Of questions there is one for each
 * server, and one in each round. */
static inline size_t raft_read_queue_n_waiting(const struct read_queue *q)
{
    return read_ring_n(&q->list) + read_ring_n(&q->floors) - q->n_asks;
}
/* The i-th of the list, from 0. */
static inline struct read *raft_read_queue_at(const struct read_queue *q, size_t i)
{
    return read_ring_at(&q->list, i);
}
/* Behind all others, pending. 0 or -ENOMEM (unchanged). */
static inline int raft_read_queue_add(struct read_queue *q, const struct read *read)
{
    int rc = read_ring_push(&q->list, *read);

    rid_assert(read->round == 0);
    if (rc == 0 && read->asker != 0)
        q->n_asks++;
    return rc;
}
/* Every pending read joins a round that is being opened. */
void raft_read_queue_join(struct read_queue *q, uint64_t round, raft_index read_index);
/* The oldest in flight leaves the list. */
static inline struct read raft_read_queue_pop(struct read_queue *q)
{
    struct read read;

    rid_assert(q->n_inflight > 0);
    q->n_inflight--;
    read = read_ring_pop(&q->list);
    if (read.asker != 0)
        q->n_asks--;
    return read;
}
void raft_read_queue_add_floor(struct read_queue *q, const struct read *read);
/* done stays until the host takes it; a lack of memory has nobody left to refuse. */
static inline void raft_read_queue_add_done(struct read_queue *q, const struct raft_read_done *done)
{
    int rc = read_done_ring_push(&q->done, *done);

    rid_assert(rc == 0);
}
/* Everything that is not handed out has failed, confirmed or not; questions are gone. */
void raft_read_queue_fail_all(struct read_queue *q);

#endif
