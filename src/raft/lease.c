/* Leases, reads of followers, reads of a bounded age. */
#include "raft/raft_int.h"

void raft_hold(struct raft *r, uint64_t hold_us)
{
    (void)r;
    (void)hold_us;
}

void raft_set_lease(struct raft *r, uint64_t lease_us, uint64_t now_us)
{
    (void)lease_us;
    raft_now(r, now_us);
}

void raft_forget_held(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
}

int raft_lease(struct raft *r, raft_index min_index, uint64_t now_us, uint64_t hold_us,
               raft_index *ret_index)
{
    (void)min_index;
    (void)hold_us;
    (void)ret_index;
    raft_now(r, now_us);
    return r->role == RAFT_LEADER ? RAFT_E_NO_LEASE : RAFT_E_NOT_LEADER;
}

uint64_t raft_ask(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
    return 1;
}

void raft_understands_asks(struct raft *r, raft_node_id peer, bool understands)
{
    (void)r;
    (void)peer;
    (void)understands;
}

bool raft_get_pair(struct raft *r, uint64_t since_us, uint64_t now_us, struct raft_pair *ret_pair)
{
    (void)since_us;
    (void)ret_pair;
    raft_now(r, now_us);
    return false;
}
