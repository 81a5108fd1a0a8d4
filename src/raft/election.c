/* Elections: pre-vote (9.6), votes (3.4), what keeps a live leader from being deposed (4.2.3),
 * check-quorum, and the leader's clock. Votes and vote requests wait for the disk; pre-votes and
 * refusals promise nothing and do not. */
#include "raft/raft_int.h"

/* Heard within one election timeout. */
bool raft_hears(const struct raft *r, const struct progress *p)
{
    uint64_t silent_us;

    rid_assert(p->last_heard_us <= r->now_us);
    silent_us = r->now_us - p->last_heard_us;
    return silent_us <= r->conf.election_timeout_us;
}

/* raft_quorum_has; this node hears itself. */
static bool is_heard(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    return p == NULL || raft_hears(r, p);
}

unsigned raft_n_voters_heard(const struct raft *r)
{
    return r->role == RAFT_LEADER ? raft_quorum_count(raft_get_configuration(r), is_heard, r) : 0;
}

/* While this is true every vote is refused, the real one too (READ-19). */
bool raft_hears_leader(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return raft_quorum_reached(raft_get_configuration(r), is_heard, r);
    return r->leader_id != 0 && r->now_us - r->leader_heard_us < r->conf.election_timeout_us;
}

static void request_vote(struct raft *r, struct progress *p)
{
    bool pre = r->role == RAFT_PRE_CANDIDATE;
    struct raft_msg m = {.type = pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
                         .to = p->id,
                         .term = r->hard_state.current_term + (pre ? 1 : 0),
                         .prev = raft_log_last(&r->log),
                         .transfer = r->campaign_transfer};

    rid_assert(p->role == RAFT_VOTER);
    rid_assert(r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_CANDIDATE);
    /* A vote request speaks of a term and of a vote of our own: both must be durable first
     * (VOTE-3). */
    raft_send(r, pre ? &r->msgs : &r->msgs_after, &m);
}

bool raft_may_campaign(const struct raft *r)
{
    if (raft_leads_in_vain(r))
        return false;
    /* No term of ours is one that everybody refuses: a peer may have told us the last one there is
     * (TERM-3). */
    return r->is_voter && !raft_disk_is_stalled(r) && r->hard_state.current_term < RAFT_INDEX_MAX;
}

void raft_campaign(struct raft *r, bool pre, bool transfer)
{
    rid_assert(r->is_voter);
    rid_assert(r->role != RAFT_LEADER);
    rid_assert(r->hard_state.current_term < RAFT_INDEX_MAX);
    if (pre) {
        r->self_vote = true; /* costs nothing: no term and no vote changes */
        r->gate_us = 0;
        r->self_vote_pending = false;
    } else {
        r->hard_state.current_term++;
        raft_gate_begin(r, transfer);
        r->term_leader = 0;
        r->hard_state.voted_for = r->conf.id;
        r->hard_state_dirty = true;
        r->self_vote = false;
        r->self_vote_pending = true;
        r->self_vote_batch = 0;
    }
    r->campaign_transfer = transfer;
    r->leader_id = 0;
    if (pre)
        raft_become(r, RAFT_PRE_CANDIDATE,
                    raft_early_is_on(r) ? "the leader is gone" : "election timeout");
    else
        raft_become(r, RAFT_CANDIDATE, transfer ? "leadership transfer" : "pre-vote won");
    raft_reset_election_timer(r);
    for (unsigned i = 0; i < r->n_progress; i++) {
        r->progress[i].vote = VOTE_NONE;
        if (r->progress[i].role == RAFT_VOTER)
            request_vote(r, &r->progress[i]);
    }
    raft_count_votes(r);
}

/* A link came up in the middle of a campaign: what was sent before is lost, and waiting for the
 * next timeout would only cost time. A vote request may be repeated; the answer is the same. */
void raft_campaign_resend(struct raft *r, struct progress *p)
{
    if ((r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_CANDIDATE) && p->role == RAFT_VOTER &&
        p->vote == VOTE_NONE)
        request_vote(r, p);
}

/* Everybody is due a heartbeat, and the broadcast opens a round of its own: its answers prove
 * how fresh this leadership is, also when no read asks (READ-66). */
static void broadcast_heartbeats(struct raft *r)
{
    rid_assert(r->role == RAFT_LEADER);
    for (unsigned i = 0; i < r->n_progress; i++)
        r->progress[i].heartbeat_due = r->progress[i].link_up;
    r->rounds.due = r->n_progress > 0;
    r->heartbeat_due_us = r->now_us + r->conf.heartbeat_us;
    r->tick_due_us = r->heartbeat_due_us;
}

/* Nobody else leads in this term: a quorum gave its one vote of it to this node (VOTE-1). */
static void become_leader(struct raft *r)
{
    rid_assert(r->is_voter); /* only voters campaign, and a change of that ends the campaign */
    rid_assert(r->hard_state.voted_for == r->conf.id);
    rid_assert(raft_read_queue_n_waiting(&r->reads) == 0);
    r->leader_id = r->conf.id;
    r->term_leader = r->conf.id;
    r->n_late_elections = 0;
    raft_early_over(r);
    r->disk.handed_over = false;
    raft_gate_close(r);
    raft_become(r, RAFT_LEADER, "elected");
    raft_rounds_begin_term(&r->rounds);
    raft_lease_begin_term(r);
    r->transfer_to = 0;
    r->hand_over_us = r->now_us;
    for (unsigned i = 0; i < r->n_progress; i++)
        raft_progress_reset(r, &r->progress[i]);
    broadcast_heartbeats(r);
    r->uncommitted_bytes = 0;
    r->noop_index = r->log.last_index + 1;
    raft_append_own(r, RAFT_ENTRY_NOOP, NULL, 0);
    rid_assert(r->noop_index == r->log.last_index);
    raft_trace(r, RAFT_TRACE_LEADER, r->conf.id, r->noop_index, NULL);
}

/* raft_quorum_has: this campaign has its vote. */
static bool has_granted(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    return p != NULL ? p->vote == VOTE_GRANTED : r->self_vote;
}

/* raft_quorum_has: this campaign has its vote, or may get it. */
static bool may_grant(const void *ctx, unsigned slot)
{
    const struct progress *p = raft_progress_at(ctx, slot);

    return p == NULL || (p->vote != VOTE_REFUSED && !raft_early_is_gone(ctx, p));
}

void raft_count_votes(struct raft *r)
{
    const struct raft_configuration *c = raft_get_configuration(r);

    if (r->role != RAFT_PRE_CANDIDATE && r->role != RAFT_CANDIDATE)
        return;
    if (raft_quorum_reached(c, has_granted, r)) {
        if (r->role == RAFT_PRE_CANDIDATE)
            raft_campaign(r, false, false);
        else if (r->self_vote)
            /* Not before the own vote is durable: a leader's messages speak of its term
             * (VOTE-3). */
            become_leader(r);
    } else if (!raft_quorum_reached(c, may_grant, r)) {
        raft_become_follower(r, r->hard_state.current_term, 0, RAFT_LOSS_NONE,
                             "a quorum refused its vote");
        raft_early_again(r);
    }
}

/* The later last term wins, then the longer log (VOTE-4). */
static bool log_is_up_to_date(const struct raft *r, struct raft_entry_id theirs)
{
    struct raft_entry_id ours = raft_log_last(&r->log);

    return theirs.term > ours.term || (theirs.term == ours.term && theirs.index >= ours.index);
}

/* PRE_VOTE of any term; VOTE of the current one (step.c has raised ours before). One vote in a term
 * (VOTE-2), and whoever is asked answers, learners too: they may be voters already and not know it
 * (VOTE-6). */
void raft_handle_vote(struct raft *r, const struct raft_msg *m)
{
    bool pre = m->type == RAFT_MSG_PRE_VOTE;
    struct raft_msg resp = {.type = pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP,
                            .to = m->from};
    const char *why = NULL;

    if (m->term < r->hard_state.current_term)
        why = "its term is old";
    else if (r->role == RAFT_LEADER)
        why = "this node leads";
    else if (!m->transfer && raft_hears_leader(r))
        why = "a leader is heard";
    else if (m->term == r->hard_state.current_term && r->hard_state.voted_for != m->from &&
             (r->hard_state.voted_for != 0 || r->leader_id != 0))
        why = "voted already";
    else if (!log_is_up_to_date(r, m->prev))
        why = "its log is behind";
    resp.reject = why != NULL;
    resp.term = pre && !resp.reject ? m->term : r->hard_state.current_term;
    raft_trace(r, resp.reject ? RAFT_TRACE_VOTE_REFUSED : RAFT_TRACE_VOTE_GRANTED, m->from, 0,
               why != NULL ? why : (pre ? "pre-vote" : "vote"));
    if (pre || resp.reject) {
        if (!resp.reject)
            raft_early_give_way(r);
        raft_send(r, &r->msgs, &resp);
        return;
    }
    if (r->role != RAFT_FOLLOWER)
        raft_become_follower(r, m->term, 0, RAFT_LOSS_NONE, "voted for another candidate");
    rid_assert(m->term == r->hard_state.current_term);
    if (r->hard_state.voted_for != m->from) {
        r->hard_state.voted_for = m->from;
        r->hard_state_dirty = true;
    }
    raft_reset_election_timer(r);
    resp.left_us = raft_promise_left_us(r, m);
    raft_send(r, &r->msgs_after, &resp);
}

/* Of the current term (VOTE_RESP), or of the term that would be next (PRE_VOTE_RESP granted). An
 * answer counts for the campaign it was given for, and no other (VOTE-5). */
void raft_handle_vote_resp(struct raft *r, const struct raft_msg *m)
{
    struct progress *p = raft_progress(r, m->from);
    bool pre = m->type == RAFT_MSG_PRE_VOTE_RESP;

    if (p == NULL || r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
        return;
    if (pre && !m->reject && m->term != r->hard_state.current_term + 1)
        return; /* granted for another campaign */
    if (p->vote == VOTE_NONE) {
        p->vote = m->reject ? VOTE_REFUSED : VOTE_GRANTED;
        if (!pre && !m->reject)
            raft_gate_vote(r, p, m->left_us);
    }
    raft_count_votes(r);
}

/* Straight to the election, and the requests say why (VOTE-7). An unfit node is no leader to be had
 * for the asking (FIT-3); who asked gives up after an election timeout, and was told before. */
void raft_handle_timeout_now(struct raft *r, const struct raft_msg *m)
{
    rid_assert(m->term == r->hard_state.current_term);
    /* Pre-vote would be refused by those who hear the leader that is handing over: straight to the
     * election. */
    if (r->role != RAFT_LEADER && raft_may_campaign(r) && r->fitness != RAFT_UNFIT)
        raft_campaign(r, false, true);
}

/* raft_quorum_has: heard, and not this node. */
static bool is_heard_other(const void *ctx, unsigned slot)
{
    return raft_progress_at(ctx, slot) != NULL && is_heard(ctx, slot);
}

/* The voter that could lead soonest of those that are heard; NULL: none. */
static struct progress *successor(struct raft *r)
{
    struct progress *best = NULL;

    for (unsigned i = 0; i < r->n_progress; i++) {
        struct progress *p = &r->progress[i];

        if (p->role == RAFT_VOTER && p->link_up && raft_hears(r, p) &&
            raft_fitness_of(p) != RAFT_UNFIT &&
            (best == NULL || p->match_index > best->match_index))
            best = p;
    }
    return best;
}

/* Heartbeats of a leader go on while its disk stands still, so nobody replaces it, and nothing is
 * committed. Who has all that is needed takes over without a gap; only when that has failed is the
 * leadership dropped. Where nobody can be elected without this very disk, as when it is alone,
 * nothing would be won and the reads would be lost, too (READ-51). */
static void give_up_for_disk(struct raft *r)
{
    struct progress *to = successor(r);

    if (r->transfer_to != 0 || !raft_quorum_reached(raft_get_configuration(r), is_heard_other, r))
        return;
    if (to == NULL || r->disk.handed_over) {
        raft_become_follower(r, r->hard_state.current_term, 0, RAFT_LOSS_ROLE,
                             "the disk is stalled");
        return;
    }
    r->disk.handed_over = true;
    raft_begin_transfer(r, to);
}

/* Heartbeats, check-quorum (READ-18), the stalled disk, the end of a transfer, one that is better.
 */
void raft_leader_tick(struct raft *r)
{
    rid_assert(r->role == RAFT_LEADER);
    if (r->transfer_to != 0 && r->now_us >= r->transfer_deadline_us) {
        raft_trace(r, RAFT_TRACE_TRANSFER, r->transfer_to, 0, "aborted");
        r->transfer_to = 0;
        r->transfer_over = true;
    }
    if (!raft_hears_leader(r)) {
        raft_become_follower(r, r->hard_state.current_term, 0, RAFT_LOSS_ROLE, "no quorum heard");
        return;
    }
    raft_gate_tick(r);
    if (raft_disk_is_stalled(r))
        give_up_for_disk(r);
    if (r->role != RAFT_LEADER)
        return;
    if (!raft_fitness_tick(r) || r->now_us < raft_leader_due_us(r))
        return;
    r->tick_due_us = r->now_us + r->conf.heartbeat_us;
    if (r->now_us >= r->heartbeat_due_us)
        broadcast_heartbeats(r);
    for (unsigned i = 0; i < r->n_progress; i++)
        raft_maybe_resend(r, &r->progress[i]);
}

uint64_t raft_leader_due_us(const struct raft *r)
{
    return r->tick_due_us < r->heartbeat_due_us ? r->tick_due_us : r->heartbeat_due_us;
}
