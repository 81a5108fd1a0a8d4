/* Only adding a read can be refused for lack of memory; later there is nobody to refuse, and the
 * node stops. */
#include "raft/read_queue_int.h"

#include "base/assert.h"
#include "raft/raft_int.h"

void raft_read_queue_init(struct read_queue *q, struct mem mem)
{
    memset(q, 0, sizeof(*q));
    read_ring_init(&q->list, mem);
    read_ring_init(&q->floors, mem);
    read_done_ring_init(&q->done, mem);
    read_failed_ring_init(&q->failed, mem);
}

void raft_read_queue_free(struct read_queue *q)
{
    read_ring_done(&q->list);
    read_ring_done(&q->floors);
    read_done_ring_done(&q->done);
    read_failed_ring_done(&q->failed);
    q->n_inflight = 0;
    q->n_asks = 0;
}

void raft_read_queue_join(struct read_queue *q, uint64_t round, raft_index read_index)
{
    size_t n = read_ring_n(&q->list);

    rid_assert(q->n_inflight < n); /* a round is opened for somebody */
    for (size_t i = q->n_inflight; i < n; i++) {
        struct read *read = raft_read_queue_at(q, i);

        read->round = round;
        read->read_index = read_index;
    }
    q->n_inflight = n;
}

void raft_read_queue_add_floor(struct read_queue *q, const struct read *read)
{
    int rc;

    rid_assert(read->round != 0);
    rc = read_ring_push(&q->floors, *read);
    rid_assert(rc == 0);
}

static void fail_one(struct read_queue *q, uint64_t ctx)
{
    int rc = read_failed_ring_push(&q->failed, ctx);

    rid_assert(rc == 0);
}

void raft_read_queue_fail_all(struct read_queue *q)
{
    for (size_t i = 0; i < read_done_ring_n(&q->done); i++)
        fail_one(q, read_done_ring_at(&q->done, i)->ctx);
    for (size_t i = 0; i < read_ring_n(&q->floors); i++)
        fail_one(q, read_ring_at(&q->floors, i)->ctx);
    for (size_t i = 0; i < read_ring_n(&q->list); i++)
        if (read_ring_at(&q->list, i)->asker == 0)
            fail_one(q, read_ring_at(&q->list, i)->ctx);
    read_done_ring_truncate(&q->done, 0);
    read_ring_truncate(&q->floors, 0);
    read_ring_truncate(&q->list, 0);
    q->n_inflight = 0;
    q->n_asks = 0;
}
