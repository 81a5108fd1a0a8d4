/* How old a state may be, as far as it can be proved, without clocks that agree.
 *
 *   heartbeat_resp   the follower's stamp: what its own hold clock shows
 *   next round       opened after that came; a quorum acknowledges it
 *   next heartbeat   the stamp goes back, and the commit index of that moment with it
 *
 * The follower's clock showed the stamp before the round was opened, and a quorum was still in the
 * leader's term after that. So nothing of a later term was committed before the stamp; everything
 * else that was is at or below the leader's commit index, once an entry of its own term is
 * committed. A leader that is cut off can prove nothing new. Only one clock is looked at: the
 * follower's own, the one that goes on while its machine is suspended, or a node that slept for an
 * hour would take its state for a fresh one (BOUND-1). */
#include "raft/raft_int.h"

bool raft_covers_all(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->commit_index >= r->noop_index;
}

/* ---- leader ---- */

void raft_stamp_heard(struct raft *r, struct progress *p, const struct raft_beat *beat)
{
    struct stamps *s = &p->stamps;

    rid_assert(r->role == RAFT_LEADER);
    if (!beat->said || beat->stamp.nonce == 0 || s->waiting.nonce != 0)
        return;
    s->waiting = beat->stamp;
    s->needs = r->rounds.next; /* opened from now on, none that is under way (BOUND-2) */
}

void raft_stamps_confirmed(struct raft *r)
{
    const struct round_time *t = raft_rounds_get(&r->rounds, r->rounds.confirmed);

    for (unsigned i = 0; i < r->n_progress; i++) {
        struct stamps *s = &r->progress[i].stamps;

        if (s->waiting.nonce == 0 || r->rounds.confirmed < s->needs)
            continue;
        s->proved = s->waiting;
        s->waiting.nonce = 0;
    }
    /* This node's own (BOUND-5). */
    if (t != NULL && raft_covers_all(r))
        raft_pair_add(r, t->hold_us, r->commit_index);
}

/* The index of the same moment at which it is known to cover all that was acknowledged; not clamped
 * to what the follower holds, for it commits nothing there (BOUND-3). */
void raft_stamp_tell(struct raft *r, struct progress *p, struct raft_beat *beat)
{
    if (p->stamps.proved.nonce == 0 || !raft_covers_all(r))
        return;
    beat->stamp = p->stamps.proved;
    beat->proved_index = r->commit_index;
    p->stamps.proved.nonce = 0;
}

/* ---- receiver ---- */

/* Of another life of this node, or of its future: that is of another clock (BOUND-4). */
void raft_stamp_told(struct raft *r, const struct raft_beat *beat)
{
    if (!beat->said || beat->stamp.nonce == 0 || beat->stamp.nonce != r->conf.nonce ||
        beat->stamp.hold_us > r->hold_us)
        return;
    raft_pair_add(r, beat->stamp.hold_us, beat->proved_index);
}

static bool has_come_to(const struct raft *r, raft_index index)
{
    return r->installing.index == 0 && r->last_applied >= index;
}

static void drop(struct pairs *p, unsigned at)
{
    rid_assert(at < p->n);
    p->n--;
    memmove(&p->list[at], &p->list[at + 1], (p->n - at) * sizeof(p->list[0]));
}

/* The state has come to more of them: the newest of those is as good as all. */
static void settle(struct raft *r)
{
    struct pairs *p = &r->pairs;

    while (p->n >= 2 && has_come_to(r, p->list[1].index))
        drop(p, 0);
}

/* A later time with a lower index leaves nothing to the others. What is not reached yet gives way
 * to nobody: else a node that is always a little behind would never reach one (BOUND-4). */
void raft_pair_add(struct raft *r, uint64_t hold_us, raft_index index)
{
    struct pairs *p = &r->pairs;

    if (hold_us < p->first_us)
        return; /* of the clock of before (BOUND-7) */
    settle(r);
    while (p->n > 0 && p->list[p->n - 1].hold_us <= hold_us && p->list[p->n - 1].index >= index)
        drop(p, p->n - 1);
    if (p->n > 0 && p->list[p->n - 1].hold_us >= hold_us)
        return; /* told late; what is known is younger */
    if (p->n < RAFT_PAIRS_MAX + (p->n > 0 && has_come_to(r, p->list[0].index)))
        p->list[p->n++] = (struct raft_pair){.hold_us = hold_us, .index = index};
    settle(r);
}

/* Nothing was dated later than what was told last: all of it, also what is on its way back, is as
 * much older as the clock stood still, and nobody knows how much that is (BOUND-7). */
void raft_pairs_forget(struct raft *r)
{
    r->pairs.n = 0;
    r->pairs.first_us = r->hold_us + 1;
}

static bool is_alone(const struct raft *r)
{
    return r->is_voter && raft_quorum_size(raft_get_configuration(r)) == 1;
}

bool raft_get_pair(struct raft *r, uint64_t since_us, uint64_t now_us, struct raft_pair *ret_pair)
{
    const struct pairs *p = &r->pairs;

    raft_now(r, now_us);
    settle(r);
    if (raft_covers_all(r) && is_alone(r) && r->hold_us >= since_us) {
        *ret_pair = (struct raft_pair){.hold_us = r->hold_us, .index = r->commit_index};
        return true;
    }
    for (unsigned i = 0; i < p->n; i++) {
        if (p->list[i].hold_us < since_us)
            continue;
        *ret_pair = p->list[i];
        return true;
    }
    return false;
}
