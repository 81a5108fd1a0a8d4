/* A ring and three growing arrays. Only adding a read can be refused for lack of memory; later
 * there is nobody to refuse, and the node stops. */
#include "raft/read_queue_int.h"

#include <errno.h>

#include "base/assert.h"
#include "raft/raft_int.h"

#define LIST_SIZE_MIN 256u

void raft_read_queue_init(struct read_queue *q, struct mem mem)
{
    memset(q, 0, sizeof(*q));
    q->mem = mem;
}

void raft_read_queue_free(struct read_queue *q)
{
    void *owned[] = {q->list, q->floors, q->done, q->failed};

    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        if (owned[i] != NULL)
            q->mem.resize(q->mem.ctx, owned[i], 0);
    raft_read_queue_init(q, q->mem);
}

static int reserve(struct read_queue *q)
{
    size_t size = q->size > 0 ? q->size * 2 : LIST_SIZE_MIN;
    struct read *list;

    if (q->n < q->size)
        return 0;
    list = q->mem.resize(q->mem.ctx, NULL, size * sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < q->n; i++)
        list[i] = *raft_read_queue_at(q, i);
    if (q->list != NULL)
        q->mem.resize(q->mem.ctx, q->list, 0);
    q->list = list;
    q->size = size;
    q->head = 0;
    return 0;
}

int raft_read_queue_add(struct read_queue *q, const struct read *read)
{
    int rc = reserve(q);

    rid_assert(read->round == 0);
    if (rc != 0)
        return rc;
    *raft_read_queue_at(q, q->n) = *read;
    q->n++;
    return 0;
}

void raft_read_queue_join(struct read_queue *q, uint64_t round, raft_index read_index)
{
    rid_assert(q->n_inflight < q->n); /* a round is opened for somebody */
    for (size_t i = q->n_inflight; i < q->n; i++) {
        struct read *read = raft_read_queue_at(q, i);

        read->round = round;
        read->read_index = read_index;
    }
    q->n_inflight = q->n;
}

struct read raft_read_queue_pop(struct read_queue *q)
{
    struct read read = *raft_read_queue_at(q, 0);

    rid_assert(q->n_inflight > 0);
    rid_assert(q->n_inflight <= q->n);
    q->head = (q->head + 1) & (q->size - 1);
    q->n--;
    q->n_inflight--;
    return read;
}

void raft_read_queue_add_floor(struct read_queue *q, const struct read *read)
{
    rid_assert(read->round != 0);
    q->floors = raft_grow(q->mem, q->floors, &q->floors_size, q->n_floors, sizeof(*q->floors));
    q->floors[q->n_floors++] = *read;
}

void raft_read_queue_add_done(struct read_queue *q, const struct raft_read_done *done)
{
    rid_assert(done->round > done->arrival_round); /* no round that was open already (READ-6) */
    q->done = raft_grow(q->mem, q->done, &q->done_size, q->n_done, sizeof(*q->done));
    q->done[q->n_done++] = *done;
}

static void fail_one(struct read_queue *q, uint64_t ctx)
{
    q->failed = raft_grow(q->mem, q->failed, &q->failed_size, q->n_failed, sizeof(*q->failed));
    q->failed[q->n_failed++] = ctx;
}

void raft_read_queue_fail_all(struct read_queue *q)
{
    for (size_t i = 0; i < q->n_done; i++)
        fail_one(q, q->done[i].ctx);
    for (size_t i = 0; i < q->n_floors; i++)
        fail_one(q, q->floors[i].ctx);
    for (size_t i = 0; i < q->n; i++)
        fail_one(q, raft_read_queue_at(q, i)->ctx);
    q->n_done = 0;
    q->n_floors = 0;
    q->n = 0;
    q->n_inflight = 0;
    q->head = 0;
}
