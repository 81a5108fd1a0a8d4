/* Who should lead, when a node's log is good and its state machine is not.
 *
 * The log and the state fail apart. A node whose state is damaged, wrong or being rebuilt is as
 * good a voter and as good a store of entries as any: taking its vote away would make one bad page
 * of a file into one node less (FIT-1). What it must not do is answer from that state, or lead
 * where another could.
 *
 * Where no other could it must lead all the same, or the group stands still: it may be the only one
 * left that holds a committed entry, and nobody gets votes without that. So it campaigns last, and
 * what it leads is replication alone: nothing is served, no proposal is taken, and leadership goes
 * to the first fit voter that has caught up (FIT-3). When all are unfit that lets each of them
 * learn what is committed, which is what it takes to be rebuilt. */
#include "raft/raft_int.h"

/* Patience comes in whole election timeouts on top of the random one, so that nobody who is worse
 * begins before those who are better have had a try. */
unsigned raft_patience(const struct raft *r)
{
    switch (r->fitness) {
    case RAFT_FIT:
        return 1;
    case RAFT_PARKED:
        return RAFT_PARKED_TIMEOUTS;
    case RAFT_UNFIT:
        break;
    }
    return RAFT_UNFIT_TIMEOUTS;
}

/* Who says nothing is of the version before, which knows only fit nodes. */
enum raft_fitness raft_fitness_of(const struct progress *p)
{
    if ((p->note_flags & RAFT_NOTE_UNFIT) != 0)
        return RAFT_UNFIT;
    return (p->note_flags & RAFT_NOTE_PARKED) != 0 ? RAFT_PARKED : RAFT_FIT;
}

void raft_set_note(struct raft *r, const struct raft_note *note)
{
    static const uint32_t flags[] = {
        [RAFT_FIT] = 0, [RAFT_PARKED] = RAFT_NOTE_PARKED, [RAFT_UNFIT] = RAFT_NOTE_UNFIT};

    r->note = *note;
    r->note.flags &= ~RAFT_NOTE_CORE;
    r->note.flags |= RAFT_NOTE_SAID | flags[r->fitness];
}

void raft_wait_for_room(struct raft *r, bool waits)
{
    r->waits_for_room = waits;
    raft_check_rest(r);
}

/* Who is alone and has no room for a state has no voter to send its log to, and nothing to answer
 * from (FIT-4). */
bool raft_leads_in_vain(const struct raft *r)
{
    return r->waits_for_room && raft_configuration_n_voters(raft_get_configuration(r)) == 1;
}

struct without {
    const struct raft *raft;
    uint32_t flags;
};

/* raft_quorum_has; this node hears itself. */
static bool is_heard_without(const void *ctx, unsigned slot)
{
    const struct without *w = ctx;
    const struct progress *p = raft_progress_at(w->raft, slot);

    if (p == NULL)
        return (w->raft->note.flags & w->flags) == 0;
    return raft_hears(w->raft, p) && (p->note_flags & w->flags) == 0;
}

/* What was said to another leader is forgotten when this one begins (raft_progress_reset()), and
 * whoever is not heard counts for nothing, whatever it said last. */
unsigned raft_n_voters_without(const struct raft *r, uint32_t flags)
{
    const struct without w = {r, flags};

    if (r->role != RAFT_LEADER)
        return 0;
    return raft_quorum_count(raft_get_configuration(r), is_heard_without, &w);
}

/* One that would lead at once: it holds the whole log, and has answered in this term, so that what
 * is known of it is not from before it (FIT-2). */
static bool can_take_over(const struct raft *r, const struct progress *p)
{
    return p->role == RAFT_VOTER && p->link_up && p->acked_round > 0 &&
           p->match_index == r->log.last_index && raft_fitness_of(p) < r->fitness;
}

static struct progress *find_better(struct raft *r)
{
    struct progress *best = NULL;

    for (unsigned i = 0; i < r->n_progress; i++) {
        struct progress *p = &r->progress[i];

        if (can_take_over(r, p) && (best == NULL || raft_fitness_of(p) < raft_fitness_of(best)))
            best = p;
    }
    return best;
}

/* Not again and again: who was asked and did not take over has an election timeout in which this
 * node still takes proposals, if it can. */
void raft_look_for_better(struct raft *r)
{
    struct progress *p;

    if (r->fitness == RAFT_FIT || r->transfer_to != 0 || r->now_us < r->hand_over_us)
        return;
    p = find_better(r);
    if (p == NULL)
        return;
    r->hand_over_us = r->now_us + 2 * r->conf.election_timeout_us;
    raft_begin_transfer(r, p);
}

static void step_down(struct raft *r)
{
    raft_become_follower(r, r->hard_state.current_term, 0, RAFT_LOSS_ROLE, "it is unfit");
}

bool raft_fitness_tick(struct raft *r)
{
    rid_assert(r->role == RAFT_LEADER);
    if (r->now_us >= r->step_down_us) {
        step_down(r);
        return false;
    }
    raft_look_for_better(r);
    return true;
}

/* What it was asked it would answer from a state that is not believed any more. Where nobody else
 * could lead there is nobody to wait for: it steps down, and is rebuilt the sooner (FIT-4). */
static void leader_became_unfit(struct raft *r)
{
    raft_reads_fail(r);
    r->hand_over_us = r->now_us;
    r->step_down_us = r->now_us + r->conf.election_timeout_us;
    if (raft_configuration_n_voters(raft_get_configuration(r)) == 1)
        step_down(r);
}

void raft_set_fitness(struct raft *r, enum raft_fitness fitness, uint64_t now_us)
{
    bool changed = fitness != r->fitness;

    rid_assert(fitness <= RAFT_UNFIT);
    raft_now(r, now_us);
    r->fitness = fitness;
    raft_set_note(r, &r->note);
    if (r->role == RAFT_LEADER) {
        if (fitness == RAFT_UNFIT)
            leader_became_unfit(r);
        else
            r->step_down_us = UINT64_MAX;
        if (r->role == RAFT_LEADER) {
            raft_maybe_commit(r); /* who is not fit waits for no apply (TIME-5) */
            raft_look_for_better(r);
        }
    } else if (changed) {
        /* A campaign that has begun was begun as another. */
        if (fitness == RAFT_UNFIT && r->role != RAFT_FOLLOWER)
            raft_become_follower(r, r->hard_state.current_term, 0, RAFT_LOSS_NONE, "it is unfit");
        /* Not from now: who changes faster than a timeout would never campaign (VOTE-9). */
        raft_time_election(r);
    }
    raft_check_rest(r);
}

/* Everything up to the base is in a snapshot and not in the log: below it nothing can be handed out
 * again (LOG-9). A leader's reads are measured against what it has applied; it does not rewind. */
void raft_rewind(struct raft *r, raft_index applied)
{
    rid_assert(r->role != RAFT_LEADER);
    rid_assert(applied >= r->log.base.index);
    rid_assert(applied <= r->commit_index);
    rid_assert(applied <= r->last_stored);
    rid_assert(r->installing.index == 0);
    raft_put_back(r, applied);
    raft_check_rest(r);
}
