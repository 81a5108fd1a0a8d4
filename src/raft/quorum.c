/* Insertion sort, descending: n is at most RAFT_SERVERS_MAX, and no subtraction of unsigned values
 * can go wrong. */
#include "raft/quorum.h"

unsigned raft_quorum_size(unsigned n)
{
    return n / 2 + 1;
}

uint64_t raft_quorum_value(uint64_t *values, unsigned n)
{
    if (n == 0)
        return 0;
    for (unsigned i = 1; i < n; i++) {
        uint64_t v = values[i];
        unsigned at = i;

        while (at > 0 && values[at - 1] < v) {
            values[at] = values[at - 1];
            at--;
        }
        values[at] = v;
    }
    return values[raft_quorum_size(n) - 1];
}
