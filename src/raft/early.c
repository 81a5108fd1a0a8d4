/* What a follower does when nobody listens any more where its leader was.
 *
 * An election timeout is how long it takes to be sure enough that a silent leader is gone. One
 * whose process has died is not silent: its kernel ends both connections, and refuses whoever calls
 * again. Whoever is told so has nothing to wait for.
 *
 * It is a hint all the same. Nothing rests on it but when this node stops refusing votes because it
 * hears a leader, and when it asks for them itself; both may happen at any time, and an election is
 * as safe as it is after a timeout: pre-votes first, votes by the log and once in a term, durable
 * before they count, and a gate behind which nothing is committed while a promise runs
 * (FAILOVER-4). So the worst that a wrong hint does is an election, and that only where a majority
 * was told the same: a leader that lives is heard again by the others, and refuses pre-votes
 * itself. */
#include "raft/raft_int.h"

static uint64_t min_us(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* From `us` on, at random over `spread_us`. */
static void campaign_after(struct raft *r, uint64_t us, uint64_t spread_us)
{
    r->election_due_us = r->now_us + us + prng_below(&r->prng, spread_us + 1);
}

/* Neither of a leader of long ago, nor of this one again so soon. */
static bool is_to_be_believed(const struct raft *r, raft_node_id peer)
{
    if (!r->conf.fast_failover || r->role != RAFT_FOLLOWER || r->leader_id != peer || peer == 0)
        return false;
    return r->early.leader != peer || r->now_us - r->early.since_us >= RAFT_EARLY_APART_US;
}

/* A follower that may not lead, or is to leave it to others, stands in nobody's way. */
static void gone(struct raft *r, raft_node_id peer)
{
    const bool campaigns = raft_may_campaign(r) && r->fitness == RAFT_FIT;

    if (!is_to_be_believed(r, peer))
        return;
    raft_trace(r, RAFT_TRACE_GONE, peer, 0, campaigns ? "campaign" : "wait");
    r->leader_id = 0; /* it is not heard, and named to nobody (FAILOVER-2) */
    r->early.leader = peer;
    r->early.since_us = r->now_us;
    r->early.tries_left = campaigns ? RAFT_EARLY_TRIES : 0;
    if (!campaigns)
        return;
    r->early.n_campaigns++;
    campaign_after(r, 0, min_us(RAFT_EARLY_US, r->conf.election_timeout_us));
}

void raft_gone(struct raft *r, raft_node_id peer, uint64_t now_us)
{
    raft_now(r, now_us);
    gone(r, peer);
    raft_check_rest(r);
}

void raft_set_fast_failover(struct raft *r, bool on)
{
    r->conf.fast_failover = on;
    if (!on)
        r->early.tries_left = 0;
}

bool raft_early_is_on(const struct raft *r)
{
    return r->early.tries_left > 0 && r->leader_id == 0 &&
           r->now_us - r->early.since_us < r->conf.election_timeout_us;
}

/* Those who refused have not noticed yet, or asked at the same time: that is a matter of
 * milliseconds. Longer each time, so that two do not go on getting into each other's way. */
void raft_early_again(struct raft *r)
{
    uint64_t us;

    if (!raft_early_is_on(r) || r->role != RAFT_FOLLOWER || r->fitness != RAFT_FIT)
        return;
    us = (uint64_t)RAFT_EARLY_AGAIN_US << (RAFT_EARLY_TRIES - r->early.tries_left);
    r->early.tries_left--;
    campaign_after(r, us, 2 * us);
}

/* Its request for a vote comes when two disks have done their work. */
void raft_early_give_way(struct raft *r)
{
    if (!raft_early_is_on(r) || r->role != RAFT_FOLLOWER)
        return;
    if (r->election_due_us < r->now_us + 2 * RAFT_EARLY_US)
        campaign_after(r, 2 * RAFT_EARLY_US, RAFT_EARLY_US);
}

void raft_early_over(struct raft *r)
{
    r->early.tries_left = 0;
}

bool raft_early_is_gone(const struct raft *r, const struct progress *p)
{
    return raft_early_is_on(r) && r->early.leader == p->id && !p->link_up;
}
