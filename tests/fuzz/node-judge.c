/* What the core decides is worked out a second time from what the node was told and what its disk did,
 * in the plainest way: which index a quorum holds, which round it answered, how far an append reaches.
 * Nothing here asks whether the peers are honest. */
#include "fuzz/node-world.h"

#include "base/assert.h"

#include "base/banned.h"

static struct seen *seen_of(struct world *w, raft_node_id id)
{
    for (unsigned i = 0; i < PEERS; i++)
        if (w->peers[i] == id)
            return &w->seen[i];
    return NULL;
}

static void note(struct raft_entry_id *most, raft_term term, raft_index index)
{
    if (term > most->term)
        *most = (struct raft_entry_id){term, index};
    else if (term == most->term && index > most->index)
        most->index = index;
}

/* ---- messages ---- */

/* Is there an entry in the append that this node's log has otherwise? */
static bool conflicts(const struct raft *raft, const struct raft_msg *m)
{
    for (unsigned i = 0; i < m->n_entries; i++) {
        raft_term ours = raft_term_at(raft, m->entries[i].id.index);

        if (ours != 0 && ours != m->entries[i].id.term)
            return true;
    }
    return false;
}

/* How far the message may move commit_index. */
static raft_index commit_bound(const struct raft_msg *m, raft_index before)
{
    raft_index bound = 0;

    if (m->type == RAFT_MSG_APPEND) {
        bound = m->prev.index + m->n_entries;
        bound = m->leader_commit < bound ? m->leader_commit : bound;
    } else if (m->type == RAFT_MSG_HEARTBEAT) {
        bound = m->leader_commit;
    }
    return bound > before ? bound : before;
}

static bool is_up_to_date(const struct raft *raft, raft_index last, struct raft_entry_id theirs)
{
    raft_term ours = raft_term_at(raft, last);

    return theirs.term > ours || (theirs.term == ours && theirs.index >= last);
}

static void take_note(struct seen *seen, const struct raft_msg *m, bool prev_agrees)
{
    if (m->type == RAFT_MSG_APPEND && prev_agrees)
        note(&seen->proven, m->term, m->prev.index + m->n_entries);
    if (m->reject)
        return;
    if (m->type == RAFT_MSG_VOTE_RESP)
        seen->voted_term = m->term > seen->voted_term ? m->term : seen->voted_term;
    if (m->type == RAFT_MSG_APPEND_RESP)
        note(&seen->acked, m->term, m->index);
    if (m->type == RAFT_MSG_HEARTBEAT_RESP &&
        (m->term > seen->round_term || (m->term == seen->round_term && m->round > seen->round))) {
        seen->round_term = m->term;
        seen->round = m->round;
    }
}

int judge_deliver(struct world *w, const struct raft_msg *m)
{
    const struct raft *raft = replica_raft(w->replica);
    struct seen *seen = seen_of(w, m->from);
    bool may_shrink = m->type == RAFT_MSG_APPEND && conflicts(raft, m);
    bool prev_agrees = raft_term_at(raft, m->prev.index) == m->prev.term;
    struct raft_status before;
    struct raft_status after;
    int r;

    raft_get_status(raft, &before);
    if ((m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE) && seen != NULL &&
        is_up_to_date(raft, before.last_index, m->prev) && m->term > seen->candidate_term)
        seen->candidate_term = m->term;
    r = replica_step(w->replica, m, w->now_us);
    raft_get_status(raft, &after);
    rid_assert(r == 0 || r == RAFT_E_INVALID);
    rid_assert(after.last_index >= before.last_index || may_shrink);
    if (m->type != RAFT_MSG_APPEND_RESP)
        rid_assert(after.commit_index <= commit_bound(m, before.commit_index));
    if (r == 0 && seen != NULL)
        take_note(seen, m, prev_agrees);
    return r;
}

void judge_sent(struct world *w, const struct raft_msg *m)
{
    const struct seen *seen = seen_of(w, m->to);

    if (m->type == RAFT_MSG_APPEND_RESP && !m->reject)
        rid_assert(m->index <= w->durable_most);
    if (seen == NULL)
        return;
    switch (m->type) {
    case RAFT_MSG_APPEND_RESP: /* only what an append proved */
        rid_assert(m->reject || seen->proven.term >= m->term);
        rid_assert(m->reject || seen->proven.term > m->term || m->index <= seen->proven.index);
        break;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        rid_assert(m->reject || seen->candidate_term >= m->term);
        break;
    case RAFT_MSG_HEARTBEAT: /* clamped to what the peer is known to hold (READ-30) */
        rid_assert(m->leader_commit == 0 || seen->acked.term == m->term);
        rid_assert(m->leader_commit <= seen->acked.index);
        break;
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        break;
    }
}

/* ---- commit ---- */

static bool is_voter(const struct raft *raft, raft_node_id id)
{
    const struct raft_server *server = raft_configuration_get(raft_get_configuration(raft), id);

    return server != NULL && server->role == RAFT_VOTER;
}

static unsigned quorum(const struct raft *raft)
{
    return raft_configuration_n_voters(raft_get_configuration(raft)) / 2 + 1;
}

static void judge_commit(struct world *w, const struct raft_status *st)
{
    const struct raft *raft = replica_raft(w->replica);
    unsigned n = is_voter(raft, w->self) ? 1 : 0;

    if (st->role != RAFT_LEADER)
        return;
    if (w->lead_term != st->current_term)
        w->lead_commit = st->commit_index;
    w->lead_term = st->current_term;
    if (st->commit_index < st->noop_index) {
        rid_assert(st->commit_index == w->lead_commit); /* nothing of old terms by counting */
        return;
    }
    rid_assert(w->durable_own.term == st->current_term);
    rid_assert(w->durable_own.index >= st->commit_index);
    for (unsigned i = 0; i < PEERS; i++)
        n += is_voter(raft, w->peers[i]) && w->seen[i].acked.term == st->current_term &&
             w->seen[i].acked.index >= st->commit_index;
    rid_assert(n >= quorum(raft));
}

static void judge_leader(const struct world *w, const struct raft_status *st)
{
    const struct raft *raft = replica_raft(w->replica);
    unsigned n = is_voter(raft, w->self) ? 1 : 0;

    if (st->role != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < PEERS; i++)
        n += is_voter(raft, w->peers[i]) && w->seen[i].voted_term == st->current_term;
    rid_assert(n >= quorum(raft));
}

static void judge_match(struct world *w, const struct raft_status *st)
{
    if (st->role != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < st->n_peers; i++) {
        struct seen *seen = seen_of(w, st->peers[i].id);

        if (seen == NULL)
            continue;
        rid_assert(seen->match.term != st->current_term ||
                   st->peers[i].match_index >= seen->match.index);
        rid_assert(st->peers[i].match_index == 0 || seen->acked.term == st->current_term);
        rid_assert(st->peers[i].match_index <= seen->acked.index);
        seen->match = (struct raft_entry_id){st->current_term, st->peers[i].match_index};
    }
}

void judge(struct world *w)
{
    struct raft_status st;

    raft_check(replica_raft_mutable(w->replica));
    replica_check(w->replica);
    raft_get_status(replica_raft(w->replica), &st);
    rid_assert(st.last_applied == w->n_applied);
    judge_leader(w, &st);
    judge_commit(w, &st);
    judge_match(w, &st);
}

/* ---- reads ---- */

void judge_read(struct world *w, const struct request *q, const struct replica_view *view)
{
    const struct raft *raft = replica_raft(w->replica);
    unsigned n = is_voter(raft, w->self) ? 1 : 0;

    rid_assert(view->read_index >= q->floor);
    rid_assert(view->last_applied.index >= view->read_index);
    rid_assert(view->round > view->arrival_round);
    for (unsigned i = 0; i < REQUESTS_MOST; i++) {
        const struct request *earlier = &w->requests[i];

        if (!earlier->live || earlier->rr.kind != REPLICA_WRITE || q->rr.session == NULL ||
            earlier->rr.session != q->rr.session || earlier->order > q->order)
            continue;
        rid_assert(earlier->rr.stage != REPLICA_PROPOSED || earlier->rr.entry.term != view->term ||
                   earlier->rr.entry.index <= view->last_applied.index);
    }
    if (w->configs_came)
        return;
    for (unsigned i = 0; i < PEERS; i++)
        n += is_voter(raft, w->peers[i]) &&
             (w->seen[i].round_term > view->term ||
              (w->seen[i].round_term == view->term && w->seen[i].round >= view->round));
    rid_assert(n >= quorum(raft));
}
