/* A stranger who has got through the peer gate: it knows a member's incarnation and speaks in its
 * name, over the connection that is then the member's: what answers it is not the member's to read,
 * but for what waits for the disk and leaves when that one is back.
 *
 * What it says is bounded by what Raft promises to survive, which is wrong terms, not wrong claims:
 * no entries, no commit index, no vote, no acknowledgement. Terms are of four kinds: far above,
 * where nobody follows at once (TERM-4); above everybody's by so much that no honest election comes
 * into them; the victim's own, in the name of the leader that it follows; and old ones. */
#include "sim/sim.h"

#include "base/banned.h"

#define FORGE_GAP 1000u /* more elections than a run has between two of its terms */

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_FEATURE, 16, bound);
}

static void later(struct sim *s)
{
    const uint64_t wait = s->p.election_us * 1000 * (1 + below(s, 8)) / 2;

    sim_push_any(s, s->now + wait, EV_STRANGER, (unsigned)below(s, s->p.n_nodes), 0, NULL);
}

void stranger_init(struct sim *s)
{
    if ((s->p.features >> FEATURE_STRANGER & 1) != 0)
        later(s);
}

static raft_term highest_term(const struct sim *s)
{
    raft_term most = s->forged;

    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];
        const raft_term term = n->life == NODE_UP ? raft_get_term(node_raft(n)) : n->last_term;

        most = term > most ? term : most;
    }
    return most;
}

/* Up to the largest that a frame may carry. */
static raft_term far_term(struct sim *s, raft_term own)
{
    const raft_term step = UINT64_C(1) << (20 + below(s, 37));
    const raft_term term = own + RAFT_TERM_STEP_MAX + 1 + below(s, step);

    MARK(s, forged_far);
    return term < RAFT_INDEX_MAX ? term : RAFT_INDEX_MAX;
}

static raft_term free_term(struct sim *s)
{
    s->forged = highest_term(s) + FORGE_GAP + below(s, RAFT_TERM_STEP_MAX / 2);
    return s->forged;
}

/* In the name of whom the victim follows: a leader that says nothing new. */
static void in_leaders_name(struct sim *s, const struct sim_node *n, struct raft_msg *m)
{
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    if (st.leader_id == 0 || st.leader_id == n->id)
        return;
    m->from = st.leader_id;
    m->term = st.current_term;
    m->type = below(s, 2) == 0 ? RAFT_MSG_HEARTBEAT : RAFT_MSG_APPEND;
    m->reject = false;
}

static void make(struct sim *s, const struct sim_node *n, struct raft_msg *m)
{
    static const struct {
        enum raft_msg_type type;
        bool reject;
    } kinds[] = {{RAFT_MSG_VOTE, false},          {RAFT_MSG_PRE_VOTE, false},
                 {RAFT_MSG_APPEND, false},        {RAFT_MSG_HEARTBEAT, false},
                 {RAFT_MSG_TIMEOUT_NOW, false},   {RAFT_MSG_PRE_VOTE_RESP, true},
                 {RAFT_MSG_VOTE_RESP, true},      {RAFT_MSG_APPEND_RESP, true},
                 {RAFT_MSG_HEARTBEAT_RESP, true}, {RAFT_MSG_HEARTBEAT, false}};
    const unsigned kind = (unsigned)below(s, sizeof(kinds) / sizeof(kinds[0]));
    const unsigned from = (n->i + 1 + (unsigned)below(s, s->p.n_nodes - 1)) % s->p.n_nodes;
    const raft_term own = raft_get_term(node_raft(n));

    *m = (struct raft_msg){.type = kinds[kind].type,
                           .from = s->nodes[from].id,
                           .to = n->id,
                           .term = 1 + below(s, own), /* old, or nearly */
                           .reject = kinds[kind].reject};
    switch (below(s, 6)) {
    case 0:
    case 1:
    case 2:
        m->term = far_term(s, own);
        break;
    case 3:
        m->term = free_term(s);
        break;
    case 4:
        in_leaders_name(s, n, m);
        break;
    default:
        break;
    }
    m->transfer = m->type == RAFT_MSG_VOTE && below(s, 2) == 0;
    if (m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE || m->type == RAFT_MSG_APPEND)
        m->prev = (struct raft_entry_id){1, 1}; /* which all have */
}

/* Of a term that somebody may lead in, only what its leader could have said. */
static bool is_harmless(const struct sim_node *n, const struct raft_msg *m)
{
    const bool as_leader = m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_APPEND;
    struct raft_status st;

    if (m->term != raft_get_term(node_raft(n)))
        return true;
    raft_get_status(node_raft(n), &st);
    return as_leader && st.leader_id == m->from;
}

void stranger_event(struct sim *s, unsigned victim)
{
    struct sim_node *n = &s->nodes[victim];
    struct raft_msg m;

    if (s->healing)
        return;
    later(s);
    if (n->life != NODE_UP || n->fatal_error != 0)
        return;
    make(s, n, &m);
    if (!is_harmless(n, &m))
        return;
    MARK(s, forged);
    TRACE(s, "a stranger is at the gate of n%u", n->i + 1);
    /* One link to a peer: that of the member goes when the stranger's comes. */
    net_break(s, victim, node_of_id(s, m.from)->i);
    if (n->life == NODE_UP)
        net_forge(s, &m);
}

bool stranger_is_orphan(const struct sim_node *n, const struct raft_msg *m)
{
    const bool is_answer = m->type == RAFT_MSG_APPEND_RESP || m->type == RAFT_MSG_HEARTBEAT_RESP ||
                           m->type == RAFT_MSG_VOTE_RESP;

    return (n->sim->p.features >> FEATURE_STRANGER & 1) != 0 && is_answer && !m->reject &&
           m->term > raft_get_term(node_raft(n)) && m->term <= n->sim->forged + RAFT_TERM_STEP_MAX;
}

bool stranger_shut_out(struct sim *s, const struct sim_node *n)
{
    const struct sim_node *leader = node_leader(s);
    bool is_out;

    if ((s->p.features >> FEATURE_STRANGER & 1) == 0 || leader == NULL || n->life != NODE_UP)
        return false;
    is_out = raft_get_term(node_raft(n)) > raft_get_term(node_raft(leader)) + RAFT_TERM_STEP_MAX;
    if (is_out)
        MARK(s, shut_out);
    return is_out;
}
