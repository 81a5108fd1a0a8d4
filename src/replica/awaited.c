/* Reads that say how much their client has seen already, and wait until this node has applied as
 * much (TOKEN-1).
 *
 * What they wait for is a client's word: it may be far above all that is committed, or for ever out
 * of reach, so that they wait apart from reads with an anchor, which are all served some time. They
 * come in any order, and as many as there are requests; a heap keeps each step short (TIME-1). */
#include "base/array.h"
#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static void put(struct replica *r, size_t place, struct replica_request *q)
{
    r->awaited[place] = q;
    q->place = (uint32_t)place;
}

/* There is a gap at `place`, which q or one that is to be behind it fills. */
static void rise(struct replica *r, size_t place, struct replica_request *q)
{
    while (place > 0 && r->awaited[(place - 1) / 2]->min_index > q->min_index) {
        put(r, place, r->awaited[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(r, place, q);
}

static void sink(struct replica *r, size_t n, size_t place, struct replica_request *q)
{
    for (;;) {
        size_t child = 2 * place + 1;

        if (child + 1 < n && r->awaited[child + 1]->min_index < r->awaited[child]->min_index)
            child++;
        if (child >= n || r->awaited[child]->min_index >= q->min_index)
            break;
        put(r, place, r->awaited[child]);
        place = child;
    }
    put(r, place, q);
}

enum wire_error awaited_add(struct replica *r, struct replica_request *q)
{
    const size_t n = replica_n(r, REPLICA_AWAITED);
    struct replica_request **more;

    if (n >= REQUESTS_MAX)
        return WIRE_ERROR_BUSY;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
    more = array_reserve(mem_libc, r->awaited, &r->awaited_size, n, 1, sizeof(*more));
    if (more == NULL)
        return WIRE_ERROR_BUSY;
    r->awaited = more;
    if (q->times.confirmed_us == 0)
        q->times.confirmed_us = r->now_us; /* nobody is asked for more */
    replica_move(r, q, REPLICA_AWAITED);
    rise(r, n, q);
    return WIRE_ERROR_NONE;
}

void awaited_forget(struct replica *r, const struct replica_request *q)
{
    const size_t n = replica_n(r, REPLICA_AWAITED);
    struct replica_request *last = r->awaited[n - 1];

    rid_assert(r->awaited[q->place] == q);
    if (last == q)
        return;
    if (q->place > 0 && r->awaited[(q->place - 1) / 2]->min_index > last->min_index)
        rise(r, q->place, last);
    else
        sink(r, n - 1, q->place, last);
}

struct replica_request *awaited_reached(const struct replica *r, raft_index last_applied)
{
    if (replica_n(r, REPLICA_AWAITED) == 0 || r->awaited[0]->min_index > last_applied)
        return NULL;
    return r->awaited[0];
}
