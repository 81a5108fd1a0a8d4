/* The reads of a leader on their way from raft_read() to the host, as values in arrays.
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

#include "base/arena.h"
#include "base/assert.h"
#include "raft/raft.h"

struct read {
    uint64_t ctx;
    raft_index min_index;
    raft_index read_index;  /* of its round */
    uint64_t round;         /* 0: pending, in no round yet */
    uint64_t arrival_round; /* the highest round open when it arrived; below its own */
};

struct read_queue {
    struct mem mem;
    struct read *list; /* owned ring; size is a power of two */
    size_t size;
    size_t head;
    size_t n;
    size_t n_inflight;   /* the first of the n */
    struct read *floors; /* owned */
    size_t n_floors;
    size_t floors_size;
    struct raft_read_done *done; /* owned */
    size_t n_done;
    size_t done_size;
    uint64_t *failed; /* owned; ctx */
    size_t n_failed;
    size_t failed_size;
};

void raft_read_queue_init(struct read_queue *q, struct mem mem);
void raft_read_queue_free(struct read_queue *q);
/* Neither confirmed nor failed: what counts for the bound. */
static inline size_t raft_read_queue_n_waiting(const struct read_queue *q)
{
    return q->n + q->n_floors;
}
/* The i-th of the list, from 0. */
static inline struct read *raft_read_queue_at(const struct read_queue *q, size_t i)
{
    rid_assert(i <= q->n);
    rid_assert(q->size > 0);
    return &q->list[(q->head + i) & (q->size - 1)];
}
/* Behind all others, pending. 0 or -ENOMEM (unchanged). */
int raft_read_queue_add(struct read_queue *q, const struct read *read);
/* Every pending read joins a round that is being opened. */
void raft_read_queue_join(struct read_queue *q, uint64_t round, raft_index read_index);
/* The oldest in flight leaves the list. */
struct read raft_read_queue_pop(struct read_queue *q);
void raft_read_queue_add_floor(struct read_queue *q, const struct read *read);
void raft_read_queue_add_done(struct read_queue *q, const struct raft_read_done *done);
/* Everything that is not handed out has failed, confirmed or not. */
void raft_read_queue_fail_all(struct read_queue *q);

#endif
