/* The oracle again: what one node owes for what it was given.
 *
 * Breaking one of these rules leads to a violation of an invariant only when much else comes
 * together; here the reason itself is looked at, in the step or the turn in which it happens. Each
 * is a rule of the protocol that can be seen from outside the node: what it heard, what it answers,
 * what it believes afterwards. */
#include <inttypes.h>

#include "sim/sim.h"

#include "base/banned.h"

/* ---- steps ---- */

static const struct raft_peer_status *peer_status(const struct raft_status *st, raft_node_id id)
{
    for (unsigned i = 0; i < st->n_peers; i++)
        if (st->peers[i].id == id)
            return &st->peers[i];
    return NULL;
}

static bool is_vote(const struct raft_msg *m)
{
    return m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE;
}

/* An answer that proves nothing: to an earlier term, or a refusal of a heartbeat. */
static bool is_no_proof(const struct sim_node *n, const struct raft_msg *m)
{
    return (m->type == RAFT_MSG_APPEND_RESP && m->term < n->manners.term) ||
           (m->type == RAFT_MSG_HEARTBEAT_RESP && (m->term < n->manners.term || m->reject));
}

/* Further above its own term than anybody follows at once (TERM-4). */
static bool is_far(const struct sim_node *n, const struct raft_msg *m)
{
    return m->term > n->manners.term && m->term - n->manners.term > RAFT_TERM_STEP_MAX;
}

/* A leader that a quorum has answered within an election timeout. */
static bool is_answered(const struct sim_node *n)
{
    const struct sim *s = n->sim;
    unsigned count = node_is_voter(n);
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    for (unsigned i = 0; i < st.n_peers; i++)
        count += st.peers[i].role == RAFT_VOTER && st.peers[i].last_heard_us != 0 &&
                 clock_local_us(n) - st.peers[i].last_heard_us < s->p.election_us;
    return st.role == RAFT_LEADER && count >= node_quorum(s);
}

void manners_before(struct sim_node *n, const struct raft_msg *m)
{
    struct sim_manners *w = &n->manners;
    const struct raft *r = node_raft(n);
    const struct raft_peer_status *p;
    struct raft_status st;

    w->began_us = clock_local_us(n);
    w->role = raft_get_role(r);
    w->term = raft_get_term(r);
    w->granted = false;
    w->orphan = stranger_is_orphan(n, m);
    w->hears = false;
    if ((is_vote(m) || is_far(n, m)) && w->role == RAFT_FOLLOWER && w->heard_term == w->term &&
        clock_local_us(n) - w->heard_us < n->sim->p.election_us) {
        raft_get_status(r, &st);
        w->hears = st.leader_id != 0;
    }
    if (is_far(n, m) && w->role == RAFT_LEADER)
        w->hears = is_answered(n);
    if (w->role == RAFT_LEADER && is_no_proof(n, m)) {
        raft_get_status(r, &st);
        p = peer_status(&st, m->from);
        w->match = p != NULL ? p->match_index : 0;
        w->acked_round = p != NULL ? p->acked_round : 0;
    }
}

/* A live leader is not deposed by somebody who does not hear it (READ-19), and nobody gets a vote
 * whose log ends before the voter's (VOTE-4). */
static void check_vote(struct sim_node *n, const struct raft_msg *m)
{
    struct sim *s = n->sim;
    const struct raft *r = node_raft(n);
    const struct sim_manners *w = &n->manners;
    struct raft_status st;
    raft_term last;

    if (w->hears && !m->transfer && (w->granted || raft_get_term(r) != w->term))
        sim_fail(s, "READ-19", "n%u hears a leader and %s a %s of term %" PRIu64, n->i + 1,
                 w->granted ? "grants" : "takes the term of", raft_msg_type_name(m->type), m->term);
    if (!w->granted)
        return;
    raft_get_status(r, &st);
    last = raft_term_at(r, st.last_index);
    if (m->prev.term < last || (m->prev.term == last && m->prev.index < st.last_index))
        sim_fail(s, "VOTE-4",
                 "n%u has a log up to %" PRIu64 " of term %" PRIu64
                 " and grants a %s to one up to %" PRIu64 " of term %" PRIu64,
                 n->i + 1, st.last_index, last, raft_msg_type_name(m->type), m->prev.index,
                 m->prev.term);
}

/* What an answer to another term says is over (READ-9, LOG-5). */
static void check_no_proof(struct sim_node *n, const struct raft_msg *m)
{
    const struct sim_manners *w = &n->manners;
    const struct raft_peer_status *p;
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    p = peer_status(&st, m->from);
    if (st.role != RAFT_LEADER || st.current_term != w->term || p == NULL)
        return;
    if (p->match_index != w->match || p->acked_round != w->acked_round)
        sim_fail(n->sim, "READ-9",
                 "n%u leads term %" PRIu64 " and counts a %s of term %" PRIu64 "%s", n->i + 1,
                 w->term, raft_msg_type_name(m->type), m->term, m->reject ? ", a refusal" : "");
}

/* A newer term is learned from whatever comes of it, but from questions: a pre-vote asks about a term
 * that nobody need be in, and a vote may be refused unheard (TERM-2). */
static void check_far(struct sim_node *n, const struct raft_msg *m)
{
    const struct sim_manners *w = &n->manners;
    const raft_term term = raft_get_term(node_raft(n));

    /* Who leads, or hears a leader, is not moved by it; nobody is moved by more than one step. */
    if (term != w->term && w->hears)
        sim_fail(n->sim, "TERM-4",
                 "n%u %s and follows a %s of term %" PRIu64 " from term %" PRIu64 " to %" PRIu64,
                 n->i + 1, w->role == RAFT_LEADER ? "leads" : "hears a leader",
                 raft_msg_type_name(m->type), m->term, w->term, term);
    if (term != w->term && term != w->term + RAFT_TERM_STEP_MAX)
        sim_fail(n->sim, "TERM-4",
                 "n%u goes from term %" PRIu64 " to %" PRIu64 " for a %s of term %" PRIu64,
                 n->i + 1, w->term, term, raft_msg_type_name(m->type), m->term);
}

static void check_term(struct sim_node *n, const struct raft_msg *m)
{
    bool question = m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_VOTE ||
                    (m->type == RAFT_MSG_PRE_VOTE_RESP && !m->reject);

    /* Questions of followers and their answers change nobody's term (FOLLOW-2). */
    if (m->type == RAFT_MSG_READ_ASK || m->type == RAFT_MSG_READ_ANSWER) {
        if (raft_get_term(node_raft(n)) != n->manners.term)
            sim_fail(n->sim, "FOLLOW-2", "n%u goes from term %" PRIu64 " to %" PRIu64 " for a %s",
                     n->i + 1, n->manners.term, raft_get_term(node_raft(n)),
                     raft_msg_type_name(m->type));
        return;
    }
    if (is_far(n, m))
        check_far(n, m);
    else if (!question && m->term > raft_get_term(node_raft(n)))
        sim_fail(n->sim, "TERM-2", "n%u hears a %s of term %" PRIu64 " and stays in term %" PRIu64,
                 n->i + 1, raft_msg_type_name(m->type), m->term, raft_get_term(node_raft(n)));
}

static bool wants_answer(enum raft_msg_type type)
{
    return type == RAFT_MSG_PRE_VOTE || type == RAFT_MSG_VOTE || type == RAFT_MSG_APPEND ||
           type == RAFT_MSG_HEARTBEAT;
}

void manners_after(struct sim_node *n, const struct raft_msg *m)
{
    struct sim_manners *w = &n->manners;
    const struct raft *r = node_raft(n);
    const struct sim_node *from = node_of_id(n->sim, m->from);
    enum raft_role role = raft_get_role(r);

    check_term(n, m);
    if (from != NULL)
        changes_hears(n, from, m);
    if (wants_answer(m->type) && m->term < w->term)
        w->owes_term |= 1u << from->i;
    if (is_vote(m))
        check_vote(n, m);
    if (w->role == RAFT_LEADER && is_no_proof(n, m))
        check_no_proof(n, m);
    /* Pre-vote would be refused by those who hear the leader that hands over (VOTE-7). */
    if (m->type == RAFT_MSG_TIMEOUT_NOW && w->role == RAFT_FOLLOWER && role == RAFT_PRE_CANDIDATE)
        sim_fail(n->sim, "VOTE-7", "n%u is handed the leadership and asks for pre-votes", n->i + 1);
    /* A pre-vote is for one campaign (VOTE-5). */
    if (m->type == RAFT_MSG_PRE_VOTE_RESP && !m->reject && m->term != w->term + 1 &&
        (role != w->role || raft_get_term(r) != w->term))
        sim_fail(n->sim, "VOTE-5", "n%u in term %" PRIu64 " counts a pre-vote for term %" PRIu64,
                 n->i + 1, w->term, m->term);
    if ((m->type != RAFT_MSG_HEARTBEAT && m->type != RAFT_MSG_APPEND) ||
        m->term != raft_get_term(r) || role != RAFT_FOLLOWER)
        return;
    w->heard_term = m->term;
    w->heard_us = w->began_us;
    if (m->type == RAFT_MSG_HEARTBEAT)
        w->owes_echo |= 1u << from->i;
}

/* ---- turns ---- */

void manners_trace(struct sim_node *n, const struct raft_trace *t)
{
    struct sim_manners *w = &n->manners;

    if (t->event == RAFT_TRACE_VOTE_GRANTED)
        w->granted = true;
    if (t->event == RAFT_TRACE_LEADER && t->peer == n->id)
        w->led = t->term;
    if (t->event != RAFT_TRACE_ROLE || t->role == RAFT_LEADER)
        return;
    /* Nobody could take over from the only voter, and nobody else is missing to it; but what it
     * does not believe it must make again (FIT-4), and a higher term it follows, whoever invents
     * one: learners never campaign (TERM-2). */
    if (w->led != 0 && n->sim->p.n_voters == 1 && !members_are_on(n->sim) &&
        raft_get_fitness(node_raft(n)) != RAFT_UNFIT &&
        !((n->sim->p.features >> FEATURE_STRANGER & 1) != 0 && t->term > w->led))
        sim_fail(n->sim, "READ-20", "n%u is the only voter and gives up leading: %s", n->i + 1,
                 t->text != NULL ? t->text : "");
    w->led = 0;
}

static bool is_member(const struct sim_node *n, unsigned peer)
{
    return raft_configuration_get(raft_get_configuration(node_raft(n)), n->sim->nodes[peer].id) !=
           NULL;
}

void manners_link(struct sim_node *n, unsigned peer, bool up)
{
    n->manners.owes_heartbeat &= ~(1u << peer);
    if (up && raft_get_role(node_raft(n)) == RAFT_LEADER && is_member(n, peer))
        n->manners.owes_heartbeat |= 1u << peer;
}

/* Where loss and confirmation of reads meet in one turn, loss wins (READ-17). */
void manners_ready(struct sim_node *n, const struct raft_ready *ready)
{
    if (ready->loss != RAFT_LOSS_NONE && ready->n_reads > 0)
        sim_fail(n->sim, "READ-17", "n%u loses the leadership and confirms %u reads in one turn",
                 n->i + 1, ready->n_reads);
}

/* A heartbeat tells as much of the commit index as its receiver is known to hold (READ-30, READ-31). */
static void check_heartbeat(struct sim_node *n, const struct raft_msg *m)
{
    const struct raft_peer_status *p;
    struct raft_status st;
    raft_index want;

    raft_get_status(node_raft(n), &st);
    p = peer_status(&st, m->to);
    if (st.role != RAFT_LEADER || st.current_term != m->term || p == NULL)
        return;
    want = st.commit_index < p->match_index ? st.commit_index : p->match_index;
    if (m->leader_commit != want)
        sim_fail(n->sim, "READ-30",
                 "n%u tells of the commit index %" PRIu64 ", and should of %" PRIu64, n->i + 1,
                 m->leader_commit, want);
}

/* LOG-8: no append leaves while as much is under way as may be. What is under way begins behind
 * what is known to be there, and is one run of appends each behind the one before: a run that was
 * given up was not heard of for long. */
static void check_flight(struct sim_node *n, const struct raft_msg *m, unsigned to)
{
    typeof(&n->manners.flight[0]) f = &n->manners.flight[to];
    const struct shadow_log *log = &n->wal.tail;
    raft_index last = m->prev.index < log->n ? m->prev.index : log->n;
    const struct raft_peer_status *p;
    struct raft_status st;
    raft_index from;

    if (f->term != m->term || f->end != m->prev.index)
        f->from = m->prev.index + 1;
    f->term = m->term;
    f->end = m->prev.index + m->n_entries;
    if (m->n_entries == 0 || f->from < 2 || last < f->from ||
        log->entries[last - 1].bytes - log->entries[f->from - 2].bytes <
            n->sim->p.inflight_bytes_max)
        return;
    raft_get_status(node_raft(n), &st);
    p = peer_status(&st, m->to);
    if (st.role != RAFT_LEADER || st.current_term != m->term || p == NULL)
        return;
    from = p->match_index >= f->from ? p->match_index + 1 : f->from;
    f->from = from;
    if (last >= from &&
        log->entries[last - 1].bytes - log->entries[from - 2].bytes >= n->sim->p.inflight_bytes_max)
        sim_fail(n->sim, "LOG-8", "n%u sends on while %" PRIu64 " bytes are under way to n%u",
                 n->i + 1, log->entries[last - 1].bytes - log->entries[from - 2].bytes, to + 1);
}

void manners_send(struct sim_node *n, const struct raft_msg *m)
{
    struct sim_manners *w = &n->manners;
    const struct sim_node *to = node_of_id(n->sim, m->to);

    if (to == NULL)
        return; /* net_send() says so */
    if (!wants_answer(m->type) && m->reject)
        w->owes_term &= ~(1u << to->i);
    if (m->type == RAFT_MSG_HEARTBEAT_RESP)
        w->owes_echo &= ~(1u << to->i);
    if (m->type == RAFT_MSG_APPEND)
        check_flight(n, m, to->i);
    if (m->type != RAFT_MSG_HEARTBEAT)
        return;
    w->owes_heartbeat &= ~(1u << to->i);
    check_heartbeat(n, m);
}

/* What is owed is owed in the same turn, whatever the disk does. */
void manners_turn(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_manners *w = &n->manners;

    if (w->owes_echo != 0)
        sim_fail(s, "READ-61", "n%u ends a turn without having answered a heartbeat", n->i + 1);
    if (w->owes_term != 0)
        sim_fail(s, "TERM-2", "n%u ends a turn without having told a peer that its term is over",
                 n->i + 1);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if ((w->owes_heartbeat >> i & 1) != 0 && !is_member(n, i))
            w->owes_heartbeat &= ~(1u << i); /* it has just gone */
    if (w->owes_heartbeat != 0 && raft_get_role(node_raft(n)) == RAFT_LEADER)
        sim_fail(s, "READ-12", "n%u leads, has a new link, and sends no heartbeat over it",
                 n->i + 1);
    w->owes_heartbeat = 0;
    if (n->state.failed)
        sim_fail(s, "STATE-3", "n%u goes on although its state could not be committed", n->i + 1);
}

/* ---- handing over ---- */

/* While leadership is handed over nothing is added to the log (READ-46): the index behind which it is
 * closed; 0: it is open. */
raft_index manners_propose_begin(struct sim_node *n)
{
    struct raft_status st;

    if (raft_get_role(node_raft(n)) != RAFT_LEADER)
        return 0;
    raft_get_status(node_raft(n), &st);
    return st.transfer_to != 0 ? st.last_index : 0;
}

void manners_propose_end(struct sim_node *n, raft_index closed)
{
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    if (st.last_index != closed)
        sim_fail(n->sim, "READ-46", "n%u hands over and takes a proposal at %" PRIu64, n->i + 1,
                 st.last_index);
}
