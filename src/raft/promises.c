/* Four terms and "any other": a promise is forgotten when its time is over, and for no other
 * reason. */
#include "raft/promises_int.h"

#include "base/assert.h"

uint64_t raft_stretch_us(uint64_t us)
{
    rid_assert(us <= UINT64_MAX / 2 / RAFT_CLOCK_RHO);
    return (us * (RAFT_CLOCK_RHO + 1) + RAFT_CLOCK_RHO - 2) / (RAFT_CLOCK_RHO - 1);
}

uint64_t raft_promise_us_max(void)
{
    return raft_stretch_us(RAFT_LEASE_US_MAX);
}

/* Where the promise to term stands or may stand: its own place, one that is free or over, or that
 * of the oldest term, which joins the others and so is never shortened (LEASE-2). */
static struct promise *place_for(struct promises *p, raft_term term, uint64_t now_us)
{
    struct promise *oldest = &p->list[0];
    struct promise *unused = NULL;

    for (unsigned i = 0; i < RAFT_PROMISES_MAX; i++) {
        struct promise *slot = &p->list[i];

        if (slot->term == term)
            return slot;
        if (slot->until_us <= now_us)
            unused = slot;
        if (slot->term < oldest->term)
            oldest = slot;
    }
    if (unused == NULL) {
        if (oldest->until_us > p->other_until_us)
            p->other_until_us = oldest->until_us;
        unused = oldest;
    }
    *unused = (struct promise){.term = term};
    return unused;
}

void raft_promises_book(struct promises *p, raft_term term, uint64_t until_us, uint64_t now_us)
{
    struct promise *slot = place_for(p, term, now_us);

    rid_assert(term != RAFT_TERM_NONE);
    if (until_us > slot->until_us)
        slot->until_us = until_us;
}

uint64_t raft_promises_left_us(const struct promises *p, raft_term but, raft_term nor,
                               uint64_t now_us)
{
    uint64_t until_us = p->other_until_us;

    for (unsigned i = 0; i < RAFT_PROMISES_MAX; i++) {
        const struct promise *slot = &p->list[i];

        if (slot->term != but && slot->term != nor && slot->until_us > until_us)
            until_us = slot->until_us;
    }
    return until_us > now_us ? until_us - now_us : 0;
}
