/* One message in. First what no correct peer can send is refused, then terms are settled, then the
 * type is served.
 *
 * Bytes behind a message come from the network: nothing here is asserted, everything is compared.
 */
#include "raft/raft_int.h"

static int invalid(struct raft *r, const struct raft_msg *m, const char *text)
{
    raft_trace(r, RAFT_TRACE_INVALID, m->from, 0, text);
    return RAFT_E_INVALID;
}

/* Apart, for its large local: entries of other types do not pay for it. */
static __attribute__((noinline)) bool configuration_is_valid(const struct raft_entry *e)
{
    struct raft_configuration c;

    return raft_configuration_decode(e->data, e->len, &c) == 0;
}

/* Entries of one log follow each other, and the entry before them: then two logs that share the
 * last share all (LOG-2, LOG-4). */
static bool entries_are_valid(const struct raft_msg *m)
{
    raft_term term = m->prev.term;

    if (m->n_entries > 0 && m->entries == NULL)
        return false;
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->id.index != m->prev.index + 1 + i || e->id.term < term || e->id.term > m->term ||
            e->id.term == 0 || e->len > ENTRY_BYTES_MAX)
            return false;
        term = e->id.term;
        switch (e->type) {
        case RAFT_ENTRY_NOOP:
        case RAFT_ENTRY_READ:
        case RAFT_ENTRY_COMMAND:
            break;
        case RAFT_ENTRY_CONFIG:
            if (!configuration_is_valid(e))
                return false;
            break;
        default:
            return false;
        }
    }
    return true;
}

static bool part_is_valid(const struct raft_msg *m)
{
    const struct raft_snapshot_part *p = m->part;

    if (m->type == RAFT_MSG_SNAPSHOT && m->reject)
        return false; /* nobody refuses with it, and the host looks for its part */
    if ((m->type != RAFT_MSG_SNAPSHOT && m->type != RAFT_MSG_SNAPSHOT_RESP) || m->reject)
        return p == NULL;
    return p != NULL && p->offset <= p->bytes && p->len <= p->bytes - p->offset &&
           p->len <= SNAP_PART_BYTES_MAX && (p->len == 0) == (p->data == NULL) &&
           p->status < RAFT_SNAPSHOT_STATUSES &&
           (m->type == RAFT_MSG_SNAPSHOT_RESP ? p->len == 0 : p->status == 0);
}

/* What no correct peer sends is refused, and changes nothing (CORE-3). */
static const char *what_is_wrong(const struct raft *r, const struct raft_msg *m)
{
    if (m->to != r->conf.id || m->from == r->conf.id || m->from == 0)
        return "wrong sender or receiver";
    if (m->group != r->conf.group)
        return "another group";
    if (m->term == 0 || m->term > RAFT_INDEX_MAX || m->prev.index > RAFT_INDEX_MAX ||
        m->prev.term > m->term || (m->prev.index == 0) != (m->prev.term == 0) ||
        m->leader_commit > RAFT_INDEX_MAX || m->index > RAFT_INDEX_MAX ||
        m->hint.index > RAFT_INDEX_MAX || m->hint.term > RAFT_INDEX_MAX)
        return "a number is out of range";
    if (m->type == RAFT_MSG_APPEND && !entries_are_valid(m))
        return "entries do not follow each other";
    if (m->type != RAFT_MSG_APPEND && m->n_entries != 0)
        return "entries where none belong";
    if (m->beat.lease_us > RAFT_LEASE_US_MAX || m->beat.proved_index > RAFT_INDEX_MAX)
        return "a lease or an index is out of range";
    if ((m->type == RAFT_MSG_READ_ASK || m->type == RAFT_MSG_READ_ANSWER) &&
        (m->ask.nonce == 0 || m->ask.number == 0))
        return "a question without a number";
    if (!part_is_valid(m))
        return "a part of a snapshot where none belongs, or an impossible one";
    return NULL;
}

static bool is_from_leader(enum raft_msg_type type)
{
    return type == RAFT_MSG_APPEND || type == RAFT_MSG_HEARTBEAT || type == RAFT_MSG_TIMEOUT_NOW ||
           type == RAFT_MSG_SNAPSHOT;
}

/* A message of an older term: its sender is told, so that a stale leader or candidate does not stay
 * stuck. */
static void answer_old_term(struct raft *r, const struct raft_msg *m)
{
    struct raft_msg resp = {.to = m->from, .term = r->hard_state.current_term, .reject = true};

    rid_assert(m->term < r->hard_state.current_term);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        raft_handle_vote(r, m);
        return;
    case RAFT_MSG_APPEND:
        resp.type = RAFT_MSG_APPEND_RESP;
        resp.index = m->prev.index;
        resp.hint.index = m->prev.index;
        break;
    case RAFT_MSG_HEARTBEAT:
        resp.type = RAFT_MSG_HEARTBEAT_RESP;
        resp.round = m->round;
        break;
    case RAFT_MSG_SNAPSHOT:
        resp.type = RAFT_MSG_SNAPSHOT_RESP;
        break;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_APPEND_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_TIMEOUT_NOW:
        return;
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return; /* these do not come here */
    }
    raft_send(r, &r->msgs, &resp);
}

/* What settle_term() says besides RAFT_E_INVALID. */
enum { GO_ON = 0, DONE = -1 };

/* A term so far above ours is no accident of elections that were missed: somebody invents terms, or
 * this node was away for a million of them. Followed at once, one frame could use up the terms of
 * the whole group, durably; never followed, a node that joins late would be shut out for ever. So
 * the message is dropped, and while no leader of the own term is heard the own term climbs by one
 * step: that is what a timeout could do, too, promises nothing and breaks nothing (TERM-4). */
static void bound_climb(struct raft *r, const struct raft_msg *m)
{
    raft_term current = r->hard_state.current_term;
    bool heard = raft_hears_leader(r);
    struct raft_trace t = {.event = heard ? RAFT_TRACE_TERM_REFUSED : RAFT_TRACE_TERM_CLIMB,
                           .role = r->role,
                           .term = current,
                           .heard_term = m->term,
                           .peer = m->from};

    rid_assert(m->term - current > r->conf.term_step_max);
    r->far_peer = m->from;
    r->far_term = m->term;
    if (r->conf.trace != NULL)
        r->conf.trace(r->conf.trace_ctx, &t);
    if (!heard)
        raft_become_follower(r, current + r->conf.term_step_max, 0, RAFT_LOSS_TERM,
                             "a term far above was told");
}

/* Who is behind is told, who is ahead is followed (TERM-2), as far as one step goes (TERM-4). */
static int settle_term(struct raft *r, const struct raft_msg *m)
{
    raft_term current = r->hard_state.current_term;

    /* Both say what they say about a term, and change none (FOLLOW-2). */
    if (m->type == RAFT_MSG_READ_ASK || m->type == RAFT_MSG_READ_ANSWER)
        return GO_ON;
    if (m->term < current) {
        /* A refused pre-vote may carry an old term; it still is an answer to this campaign. */
        if (m->type == RAFT_MSG_PRE_VOTE_RESP && m->reject)
            return GO_ON;
        answer_old_term(r, m);
        return DONE;
    }
    if (m->term == current)
        return GO_ON;
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
        return GO_ON; /* asks about a term, changes none */
    case RAFT_MSG_PRE_VOTE_RESP:
        if (!m->reject)
            return GO_ON;
        break;
    case RAFT_MSG_VOTE:
        /* A live leader is not deposed by somebody who cannot hear it (4.2.3), unless it hands over
         * itself. */
        if (!m->transfer && raft_hears_leader(r)) {
            raft_trace(r, RAFT_TRACE_VOTE_REFUSED, m->from, 0, "a leader is heard");
            return DONE;
        }
        break;
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_APPEND_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
        if (!m->reject)
            return invalid(r, m, "an acknowledgement of a term that is not ours");
        break;
    case RAFT_MSG_VOTE_RESP:
        if (!m->reject)
            return invalid(r, m, "a vote for a term that is not ours");
        break;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_TIMEOUT_NOW:
        break;
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        break;
    }
    if (m->term - current > r->conf.term_step_max) {
        bound_climb(r, m);
        return DONE;
    }
    raft_become_follower(r, m->term, is_from_leader(m->type) ? m->from : 0, RAFT_LOSS_TERM,
                         "higher term seen");
    return GO_ON;
}

/* A message of the leader of the current term. */
static int hear_leader(struct raft *r, const struct raft_msg *m)
{
    rid_assert(m->term == r->hard_state.current_term);
    if (r->role == RAFT_LEADER)
        return invalid(r, m, "two leaders in one term");
    /* Also when the leader of this term, perhaps this node, is not followed any more. */
    if (r->term_leader != 0 && r->term_leader != m->from)
        return invalid(r, m, "another leader in the same term");
    raft_become_follower(r, m->term, m->from, RAFT_LOSS_NONE, "leader heard");
    rid_assert(r->leader_id == m->from);
    r->leader_heard_us = r->now_us;
    r->n_late_elections = 0;
    raft_early_over(r);
    raft_reset_election_timer(r);
    return 0;
}

static int handle_heartbeat(struct raft *r, const struct raft_msg *m)
{
    rid_assert(r->role == RAFT_FOLLOWER);
    rid_assert(m->term == r->hard_state.current_term);
    /* Answered at once, with exactly what was received (READ-8, READ-61). */
    struct raft_msg resp = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .to = m->from, .term = m->term, .round = m->round};
    struct progress *p = raft_progress(r, m->from);

    /* The leader clamped it to what it knows to be in our log (READ-30). */
    if (m->leader_commit > r->log.last_index)
        return invalid(r, m, "this log lost entries that it had acknowledged");
    raft_commit_to(r, m->leader_commit);
    if (p != NULL) {
        p->note_flags = m->note.flags;
        /* Who writes the one knows the other, also where the host has not said so. */
        p->understands_asks = p->understands_asks || m->beat.said;
    }
    raft_stamp_told(r, &m->beat);
    resp.note = r->note;
    raft_promise(r, m, &resp.beat);
    raft_send(r, &r->msgs, &resp);
    return 0;
}

static int handle_heartbeat_resp(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    uint64_t round = m->round;

    rid_assert(r->role == RAFT_LEADER);
    rid_assert(p->id == m->from);
    if (m->reject)
        return 0; /* late: it refused an older term of ours, and this node has been elected since */
    if (m->round > raft_rounds_last(&r->rounds))
        return invalid(r, m, "an acknowledgement of a round that was never opened");
    if (!raft_hears(r, p))
        raft_progress_revive(r, p);
    p->last_heard_us = r->now_us;
    if (p->rtt_round != 0 && m->round >= p->rtt_round) {
        uint64_t rtt = r->now_us - p->rtt_sent_us;

        p->srtt_us = p->srtt_us == 0 ? rtt : (p->srtt_us * 7 + rtt) / 8;
        p->rtt_round = 0;
    }
    /* A late answer says what was; the newest one counts. */
    if (round >= p->acked_round) {
        if (p->note_flags != 0 && p->note_flags != m->note.flags)
            raft_progress_revive(r, p); /* it may store again */
        p->note_flags = m->note.flags;
    }
    raft_lease_heard(r, p, m);
    if (round > p->acked_round) {
        p->acked_round = round;
        raft_maybe_confirm(r);
    }
    raft_stamp_heard(r, p, &m->beat); /* after what it proves itself (BOUND-2) */
    return 0;
}

/* A message of the current term, or one about another that changes none. */
static int serve(struct raft *r, const struct raft_msg *m)
{
    struct progress *p = raft_progress(r, m->from);

    rid_assert(m->to == r->conf.id);
    rid_assert(m->group == r->conf.group);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
        raft_handle_vote(r, m);
        return 0;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
        raft_handle_vote_resp(r, m);
        return 0;
    case RAFT_MSG_APPEND:
        return raft_handle_append(r, m);
    case RAFT_MSG_HEARTBEAT:
        return handle_heartbeat(r, m);
    case RAFT_MSG_APPEND_RESP:
        /* Not leading any more in this term, or not a member: an answer to nobody. */
        return r->role == RAFT_LEADER && p != NULL ? raft_handle_append_resp(r, p, m) : 0;
    case RAFT_MSG_HEARTBEAT_RESP:
        return r->role == RAFT_LEADER && p != NULL ? handle_heartbeat_resp(r, p, m) : 0;
    case RAFT_MSG_TIMEOUT_NOW:
        raft_handle_timeout_now(r, m);
        return 0;
    case RAFT_MSG_SNAPSHOT:
        return 0; /* its sender was heard; the rest is the host's */
    case RAFT_MSG_SNAPSHOT_RESP:
        if (r->role == RAFT_LEADER && p != NULL)
            p->last_heard_us = r->now_us;
        return 0;
    case RAFT_MSG_READ_ASK:
        raft_handle_ask(r, m);
        return 0;
    case RAFT_MSG_READ_ANSWER:
        raft_handle_answer(r, m);
        return 0;
    }
    return invalid(r, m, "unknown type");
}

static int step(struct raft *r, const struct raft_msg *m)
{
    const char *wrong = what_is_wrong(r, m);
    int rc;

    if (wrong != NULL)
        return invalid(r, m, wrong);
    rc = settle_term(r, m);
    if (rc != GO_ON)
        return rc == DONE ? 0 : rc;
    rc = is_from_leader(m->type) ? hear_leader(r, m) : 0;
    return rc != 0 ? rc : serve(r, m);
}

int raft_step(struct raft *r, const struct raft_msg *m, uint64_t now_us)
{
    int rc;

    raft_now(r, now_us);
    rc = step(r, m);
    raft_check_rest(r);
    return rc;
}
