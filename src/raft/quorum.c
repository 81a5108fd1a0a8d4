/* An order statistic by insertion sort, descending: there are at most RAFT_SERVERS_MAX values,
 * and a comparison of unsigned values cannot go wrong where their difference can. */
#include "raft/quorum.h"

#include "base/assert.h"

static_assert(RAFT_SERVERS_MAX <= 64, "the sort is quadratic");

/* More than half, also of an even number (READ-13). */
unsigned raft_quorum_size(const struct raft_configuration *c)
{
    unsigned n = raft_configuration_n_voters(c);

    rid_assert(n <= RAFT_SERVERS_MAX);
    return n / 2 + 1;
}

/* Puts v where it belongs among the n values in descending order. */
static void insert(uint64_t *values, unsigned n, uint64_t v)
{
    unsigned at = n;

    while (at > 0 && values[at - 1] < v) {
        values[at] = values[at - 1];
        at--;
    }
    values[at] = v;
}

/* Compared, never subtracted (READ-13). Learners are not asked (READ-22). */
uint64_t raft_quorum_value(const struct raft_configuration *c, raft_quorum_get *get,
                           const void *ctx)
{
    uint64_t values[RAFT_SERVERS_MAX];
    unsigned n = 0;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned slot = 0; slot < c->n; slot++)
        if (c->servers[slot].role == RAFT_VOTER)
            insert(values, n++, get(ctx, slot));
    if (n == 0)
        return 0;
    rid_assert(raft_quorum_size(c) <= n);
    return values[raft_quorum_size(c) - 1];
}

/* Learners are not asked (READ-22). */
unsigned raft_quorum_count(const struct raft_configuration *c, raft_quorum_has *has,
                           const void *ctx)
{
    unsigned n = 0;

    rid_assert(c->n <= RAFT_SERVERS_MAX);
    for (unsigned slot = 0; slot < c->n; slot++)
        if (c->servers[slot].role == RAFT_VOTER && has(ctx, slot))
            n++;
    rid_assert(n <= c->n);
    return n;
}

bool raft_quorum_reached(const struct raft_configuration *c, raft_quorum_has *has, const void *ctx)
{
    return raft_quorum_count(c, has, ctx) >= raft_quorum_size(c);
}
