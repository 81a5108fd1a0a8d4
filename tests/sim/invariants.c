/* The oracle: the invariants of docs/RULES.md, one function per invariant, each a few steps per
 * event.
 *
 * It hears of everything at the edges of the code under test: what is traced, handed to the log,
 * sent, applied, found after a start. It keeps one committed log, and a sequential model of the
 * state by index. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/lines.h"
#include "sim/sim.h"

#include "base/banned.h"

static const struct shadow_entry *at(const struct shadow_log *l, raft_index index)
{
    return index >= 1 && index <= l->n ? &l->entries[index - 1] : NULL;
}

static bool holds(const struct shadow_log *l, raft_index index, uint64_t chain)
{
    const struct shadow_entry *e = at(l, index);

    return e != NULL && e->chain == chain;
}

/* CLIENT-9: nothing happens twice; and what was refused does not happen. */
static void i12_once(struct sim *s, const struct oracle_entry *o, raft_index index)
{
    struct oracle_op *op;

    if (o->op == 0)
        return;
    op = oracle_op(s, o->op);
    if (op->applied_at != 0)
        sim_fail(s, "CLIENT-9", "the write at %" PRIu64 " was applied at %" PRIu64 " already",
                 index, op->applied_at);
    if (op->refused)
        sim_fail(s, "COMMIT-1",
                 "a write that was refused as never having happened is applied at %" PRIu64, index);
    if (op->unknown)
        MARK(s, writes_unknown_applied);
    op->applied_at = index;
}

/* STATE-7: equal states at equal indexes. */
void oracle_state(struct sim_node *n)
{
    struct sim *s = n->sim;
    raft_index index = state_last_applied(n).index;
    uint64_t digest = state_digest(n);

    if (digest != 0 && index > 0 && digest != s->oracle.entries[index - 1].digest)
        sim_fail(s, "STATE-7", "the state of n%u at %" PRIu64 " is not the model's", n->i + 1,
                 index);
}

/* STATE-1: everybody applies the committed log. COMMIT-7: and only what its own disk holds. */
static void i5_i18_applied(struct sim_node *n, const struct raft_entry *e)
{
    struct sim *s = n->sim;
    raft_index index = e->id.index;
    const struct shadow_entry *durable = at(&n->wal.durable, index);
    const struct oracle_entry *o;

    if (index > s->oracle.committed)
        sim_fail(s, "STATE-1", "n%u applies %" PRIu64 ", which nobody has committed", n->i + 1,
                 index);
    o = oracle_entry(s, index);
    if (durable == NULL)
        sim_fail(s, "COMMIT-7", "n%u applies %" PRIu64 ", and its disk holds %" PRIu64, n->i + 1,
                 index, n->wal.durable.n);
    if (!wal_is(n, durable, e))
        sim_fail(s, "COMMIT-7", "n%u applies another entry %" PRIu64 " than its disk holds",
                 n->i + 1, index);
    if (o->chain != durable->chain || o->term != e->id.term)
        sim_fail(s, "STATE-1",
                 "n%u applies entry %" PRIu64 " of term %" PRIu64
                 ", the committed one is of term %" PRIu64,
                 n->i + 1, index, e->id.term, o->term);
}

void oracle_apply(struct sim_node *n, const struct raft_entry *e,
                  const struct command_result *result)
{
    struct sim *s = n->sim;
    struct oracle_entry *o;

    i5_i18_applied(n, e);
    o = oracle_entry(s, e->id.index);
    if (!o->applied) {
        if (e->id.index != s->oracle.applied + 1)
            sim_fail(s, "STATE-1",
                     "n%u applies %" PRIu64 " first of all, and %" PRIu64 " is missing", n->i + 1,
                     e->id.index, s->oracle.applied + 1);
        o->answer = e->id.index;
        if (e->type == RAFT_ENTRY_COMMAND) {
            oracle_model_apply(s, e, o);
            i12_once(s, o, e->id.index);
        }
        o->digest = s->oracle.digest;
        o->applied = true;
        s->oracle.applied = e->id.index;
    }
    if (e->type == RAFT_ENTRY_COMMAND &&
        (result->status != (enum command_status)o->status || result->existed != o->existed ||
         result->repeated != o->repeated || result->index != o->answer))
        sim_fail(s, "STATE-7",
                 "n%u has result %d%s of %" PRIu64 " at %" PRIu64 ", the model %d%s of %" PRIu64,
                 n->i + 1, (int)result->status, result->repeated ? " again" : "", result->index,
                 e->id.index, (int)o->status, o->repeated ? " again" : "", o->answer);
    n->applied = e->id.index;
}

/* ---- what is traced ---- */

/* VOTE-1: one leader per term. */
static void i1_one_leader(struct sim_node *n, raft_term term)
{
    struct sim *s = n->sim;
    struct oracle *o = &s->oracle;

    for (size_t i = o->n_leaders; i > 0 && o->leaders[i - 1].term >= term; i--)
        if (o->leaders[i - 1].term == term)
            sim_fail(s, "VOTE-1", "n%u and n%u lead in term %" PRIu64, o->leaders[i - 1].node + 1,
                     n->i + 1, term);
    if (o->n_leaders == o->leaders_size) {
        o->leaders_size = o->leaders_size > 0 ? o->leaders_size * 2 : 64;
        o->leaders = sim_realloc_n(o->leaders, o->leaders_size, sizeof(*o->leaders));
    }
    o->leaders[o->n_leaders].term = term;
    o->leaders[o->n_leaders++].node = n->i;
    for (size_t i = o->n_leaders - 1; i > 0 && o->leaders[i - 1].term > term; i--) {
        o->leaders[i].term = o->leaders[i - 1].term;
        o->leaders[i].node = o->leaders[i - 1].node;
        o->leaders[i - 1].term = term;
        o->leaders[i - 1].node = n->i;
    }
}

/* VOTE-1 again: by voters. A later vote of a voter hides what it did in this term; one that is still of
 * this term, or has not reached it, tells. */
static void i1_elected(struct sim_node *n, raft_term term)
{
    struct sim *s = n->sim;
    const struct raft_configuration *c = raft_get_configuration(node_raft(n));
    const unsigned n_voters = raft_configuration_n_voters(c);
    unsigned others = 0;

    if (!members_is_voter(c, n))
        sim_fail(s, "VOTE-1", "n%u is no voter and leads in term %" PRIu64, n->i + 1, term);
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct raft_hard_state *hs = &s->nodes[i].wal.durable_hard_state;

        others += members_is_voter(c, &s->nodes[i]) && !s->nodes[i].damaged &&
                  (hs->current_term < term || (hs->current_term == term && hs->voted_for != n->id));
    }
    if (others > n_voters - (n_voters / 2 + 1))
        sim_fail(s, "VOTE-1",
                 "n%u leads in term %" PRIu64 ", and %u of %u voters have not voted for it",
                 n->i + 1, term, others, n_voters);
}

/* COMMIT-1: who leads has everything committed before. */
static void i4_leader_is_complete(struct sim_node *n, raft_term term)
{
    struct sim *s = n->sim;
    raft_index committed = s->oracle.committed;

    /* By leaders of earlier terms: a late leader of an old term may lack what a newer one has
     * committed, an entry of a still older term among it. */
    while (committed > 0 && oracle_entry(s, committed)->committed_in >= term)
        committed--;
    if (committed > 0 && !holds(&n->wal.tail, committed, oracle_entry(s, committed)->chain))
        sim_fail(s, "COMMIT-1",
                 "n%u leads in term %" PRIu64 " without the committed entry %" PRIu64, n->i + 1,
                 term, committed);
}

static void leads(struct sim_node *n, const struct raft_trace *t)
{
    const struct raft_hard_state *hs = &n->wal.durable_hard_state;

    MARK(n->sim, elections);
    if (hs->current_term != t->term || hs->voted_for != n->id)
        sim_fail(n->sim, "COMMIT-8",
                 "n%u leads in term %" PRIu64 ", and its own vote is not on its disk", n->i + 1,
                 t->term);
    i1_elected(n, t->term);
    i1_one_leader(n, t->term);
    changes_leads(n, t->term);
    i4_leader_is_complete(n, t->term);
}

/* COMMIT-1: what is committed is on a majority of the disks, the leader's too, and of its own term. */
static void i6_commit_is_durable(struct sim_node *n, raft_index index, raft_term term)
{
    struct sim *s = n->sim;
    const struct shadow_entry *e = at(&n->wal.tail, index);
    const struct raft_configuration *c = raft_get_configuration(node_raft(n));
    const unsigned n_voters = raft_configuration_n_voters(c);
    unsigned count = 0;

    if (e == NULL)
        sim_fail(s, "COMMIT-1", "n%u commits %" PRIu64 ", which it has not", n->i + 1, index);
    if (e->term != term)
        sim_fail(s, "COMMIT-1",
                 "n%u commits %" PRIu64 " of term %" PRIu64 " by counting in term %" PRIu64,
                 n->i + 1, index, e->term, term);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        count +=
            members_is_voter(c, &s->nodes[i]) && holds(&s->nodes[i].wal.durable, index, e->chain);
    if (count + members_n_lost(s, c) < n_voters / 2 + 1)
        sim_fail(s, "COMMIT-1", "n%u commits %" PRIu64 ", which is durable on %u of %u voters",
                 n->i + 1, index, count, n_voters);
    if (!holds(&n->wal.durable, index, e->chain))
        sim_fail(s, "COMMIT-1", "n%u commits %" PRIu64 ", which is not on its own disk", n->i + 1,
                 index);
}

static void commits(struct sim_node *n, const struct raft_trace *t)
{
    struct sim *s = n->sim;
    struct oracle *o = &s->oracle;

    if (t->index < n->commit)
        sim_fail(s, "COMMIT-1", "the commit index of n%u falls from %" PRIu64 " to %" PRIu64,
                 n->i + 1, n->commit, t->index);
    n->commit = t->index;
    if (t->role == RAFT_LEADER)
        i6_commit_is_durable(n, t->index, t->term);
    if (t->index <= o->committed)
        return;
    if (t->role != RAFT_LEADER)
        sim_fail(s, "COMMIT-1",
                 "n%u follows and commits %" PRIu64 ", beyond every leader's %" PRIu64, n->i + 1,
                 t->index, o->committed);
    leases_commits(n);
    for (raft_index i = o->committed + 1; i <= t->index; i++) {
        struct oracle_entry *e = oracle_entry(s, i);
        const struct shadow_entry *mine = at(&n->wal.tail, i);
        const struct shadow_entry *before = at(&n->wal.tail, i - 1);

        if (mine == NULL || before == NULL)
            sim_fail(s, "COMMIT-1", "n%u commits %" PRIu64 ", which it has not", n->i + 1, i);
        *e = (struct oracle_entry){.term = mine->term,
                                   .committed_in = t->term,
                                   .committed_at = s->now + n->cpu_ns,
                                   .chain = mine->chain,
                                   .content = mine->content,
                                   .len = mine->bytes - before->bytes};
        if (mine->term < t->term)
            MARK(s, commit_by_newer_term);
    }
    /* COMMIT-1 again, backwards: the log that was committed is a prefix of this one. */
    if (o->committed > 0 &&
        !holds(&n->wal.tail, o->committed, oracle_entry(s, o->committed)->chain))
        sim_fail(s, "COMMIT-1",
                 "n%u commits %" PRIu64 " on another log than the one committed up to %" PRIu64,
                 n->i + 1, t->index, o->committed);
    o->committed = t->index;
    changes_committed(n, t->index);
}

void oracle_trace(struct sim_node *n, const struct raft_trace *t)
{
    struct sim *s = n->sim;

    TRACE(s, "n%u event %d role %s term %" PRIu64 " index %" PRIu64 " round %" PRIu64 " %s",
          n->i + 1, (int)t->event, raft_role_name(t->role), t->term, t->index, t->round,
          t->text != NULL ? t->text : "");
    switch (t->event) {
    case RAFT_TRACE_LEADER:
        if (t->peer == n->id)
            leads(n, t);
        break;
    case RAFT_TRACE_COMMIT:
        commits(n, t);
        break;
    case RAFT_TRACE_TRUNCATED:
        MARK(s, truncated);
        if (t->index <= n->commit)
            sim_fail(s, "COMMIT-1", "n%u truncates from %" PRIu64 ", and %" PRIu64 " is committed",
                     n->i + 1, t->index, n->commit);
        break;
    case RAFT_TRACE_ROUND:
        n->round = t->round;
        break;
    case RAFT_TRACE_PROBE:
        MARK(s, probe_fallback);
        break;
    case RAFT_TRACE_ROLE:
        if (t->text != NULL && t->role == RAFT_CANDIDATE &&
            strcmp(t->text, "leadership transfer") == 0)
            MARK(s, elections_after_transfer);
        if (t->role == RAFT_FOLLOWER && n->match_term == n->last_term && n->match_term != 0) {
            if (t->term > n->last_term)
                MARK(s, step_down_term);
            else
                MARK(s, step_down_role);
        }
        break;
    case RAFT_TRACE_CONFIGURATION:
        changes_trace(n, t);
        break;
    case RAFT_TRACE_GONE:
    case RAFT_TRACE_VOTE_GRANTED:
    case RAFT_TRACE_VOTE_REFUSED:
    case RAFT_TRACE_TRANSFER:
    case RAFT_TRACE_INSTALL:
    case RAFT_TRACE_COMPACTED:
        snap_trace(n, t);
        break;
    case RAFT_TRACE_TERM_REFUSED:
    case RAFT_TRACE_TERM_CLIMB:
        if (t->event == RAFT_TRACE_TERM_CLIMB)
            MARK(s, term_climbed);
        else
            MARK(s, term_refused);
        /* Without strangers nobody invents terms, and a million elections take longer. */
        if ((s->p.features >> FEATURE_STRANGER & 1) != 0)
            break;
        sim_fail(s, "TERM-4", "n%u was told term %" PRIu64 " in term %" PRIu64, n->i + 1,
                 t->heard_term, t->term);
        break;
    case RAFT_TRACE_INVALID:
        if (n->manners.orphan)
            break;
        sim_fail(s, "CORE-3", "n%u finds a message of a correct peer invalid: %s", n->i + 1,
                 t->text != NULL ? t->text : "");
    }
}

/* ---- what is handed to the log ---- */

/* LOG-1: a leader only appends. */
static void i2_leader_appends_only(struct sim_node *n, const struct raft_ready *ready)
{
    if (n->replica != NULL && raft_get_role(node_raft(n)) == RAFT_LEADER &&
        ready->truncate_from != 0)
        sim_fail(n->sim, "LOG-1", "n%u leads and removes entries from %" PRIu64, n->i + 1,
                 ready->truncate_from);
}

/* LOG-2: the same index and term, the same log up to there. */
static void i3_logs_match(struct sim *s, unsigned node, const struct raft_entry *e, uint64_t chain)
{
    raft_index index = e->id.index;
    raft_term term = e->id.term;
    struct oracle *o = &s->oracle;
    uint64_t key = oracle_entry_key(index, term);
    size_t i;

    if (o->n_matching * 2 >= o->matching_size) {
        size_t old_size = o->matching_size;
        typeof(o->matching) old = o->matching;

        o->matching_size = old_size > 0 ? old_size * 2 : 2048;
        o->matching = sim_alloc(o->matching_size * sizeof(*o->matching));
        for (size_t j = 0; j < old_size; j++) {
            if (old[j].key == 0)
                continue;
            i = sim_mix(3, old[j].key) & (o->matching_size - 1);
            while (o->matching[i].key != 0)
                i = (i + 1) & (o->matching_size - 1);
            o->matching[i] = old[j];
        }
        free(old);
    }
    i = sim_mix(3, key) & (o->matching_size - 1);
    while (o->matching[i].key != 0 && o->matching[i].key != key)
        i = (i + 1) & (o->matching_size - 1);
    if (o->matching[i].key == 0) {
        o->matching[i].key = key;
        o->matching[i].chain = chain;
        if (s->p.piece_ppm > 0)
            o->matching[i].payload = oracle_payload_new(e);
        o->n_matching++;
    } else if (o->matching[i].chain != chain) {
        sim_fail(s, "LOG-2",
                 "n%u has another log up to %" PRIu64 " of term %" PRIu64 " than somebody had",
                 node + 1, index, term);
    }
}

/* SNAP-1: what goes is a log that ends before what is committed there, or is another; what takes
 * its place is committed. Returns the last entry that is left. */
static raft_index log_is_reset(struct sim_node *n, const struct raft_ready *ready)
{
    struct sim *s = n->sim;
    const struct raft_entry_id id = ready->reset;
    const struct shadow_entry *mine = at(&n->wal.tail, id.index);

    if (id.index > s->oracle.committed || oracle_entry(s, id.index)->term != id.term)
        sim_fail(s, "SNAP-1",
                 "n%u resets its log to %" PRIu64 " of term %" PRIu64
                 ", which nobody has committed",
                 n->i + 1, id.index, id.term);
    if (id.index <= n->applied)
        sim_fail(s, "SNAP-1", "n%u resets its log to %" PRIu64 ", and has applied %" PRIu64,
                 n->i + 1, id.index, n->applied);
    if (mine != NULL && mine->term == id.term)
        sim_fail(s, "SNAP-1", "n%u resets its log to %" PRIu64 ", which it has", n->i + 1,
                 id.index);
    if (!changes_config_is_right(s, ready->reset_config, id.index))
        sim_fail(s, "SNAP-1", "n%u resets its log to %" PRIu64 " with another configuration",
                 n->i + 1, id.index);
    if (ready->truncate_from != 0 && ready->truncate_from <= id.index)
        sim_fail(s, "SNAP-1", "n%u resets its log to %" PRIu64 " and truncates from %" PRIu64,
                 n->i + 1, id.index, ready->truncate_from);
    return id.index;
}

void oracle_submit(struct sim_node *n, const struct raft_ready *ready)
{
    struct sim *s = n->sim;
    const struct sim_wal *w = &n->wal;
    raft_index last = ready->truncate_from != 0 && ready->truncate_from <= w->tail.n
                          ? ready->truncate_from - 1
                          : w->tail.n;
    uint64_t chain;

    if (ready->reset.index != 0)
        last = log_is_reset(n, ready);
    if (ready->reset.index != 0)
        chain = oracle_entry(s, last)->chain;
    else
        chain = last > 0 ? w->tail.entries[last - 1].chain : 0;
    manners_ready(n, ready);
    i2_leader_appends_only(n, ready);
    /* What is committed is looked at when it is traced: here a later commit may have come in the
     * same message. */
    if (ready->truncate_from != 0 && ready->truncate_from <= n->applied)
        sim_fail(s, "COMMIT-1", "n%u removes %" PRIu64 " from its disk, and has applied %" PRIu64,
                 n->i + 1, ready->truncate_from, n->applied);
    if (ready->hard_state.current_term < w->tail_hard_state.current_term ||
        (ready->hard_state.current_term == w->tail_hard_state.current_term &&
         w->tail_hard_state.voted_for != 0 &&
         ready->hard_state.voted_for != w->tail_hard_state.voted_for))
        sim_fail(s, "VOTE-1", "n%u changes its vote, or its term falls, in term %" PRIu64, n->i + 1,
                 ready->hard_state.current_term);
    for (unsigned i = 0; i < ready->n_entries; i++) {
        const struct raft_entry *e = &ready->entries[i];

        if (e->id.index != last + 1 + i)
            sim_fail(s, "LOG-2", "n%u hands %" PRIu64 " to its log behind %" PRIu64, n->i + 1,
                     e->id.index, last + i);
        chain = sim_mix(sim_mix(chain, e->id.term), shadow_content(e));
        i3_logs_match(s, n->i, e, chain);
    }
    changes_submit(n, ready);
}

/* ---- what is sent ---- */

/* COMMIT-8: no message claims what its sender's disk does not hold. Heartbeat answers, refusals and
 * pre-votes claim nothing (READ-61). */
static void i7_durable_before_visible(struct sim_node *n, const struct raft_msg *m)
{
    struct sim *s = n->sim;
    const struct sim_wal *w = &n->wal;
    const struct raft_hard_state *hs = &w->durable_hard_state;
    const char *name = raft_msg_type_name(m->type);

    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return;
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_APPEND_RESP:
        if (m->reject)
            return;
        break;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        break;
    }
    if (hs->current_term < m->term)
        sim_fail(s, "COMMIT-8",
                 "n%u sends a %s of term %" PRIu64 ", and its disk knows term %" PRIu64, n->i + 1,
                 name, m->term, hs->current_term);
    if (hs->current_term > m->term)
        return; /* it was true while it was of that term, and came late */
    if (m->type == RAFT_MSG_VOTE_RESP && hs->voted_for != m->to)
        sim_fail(s, "COMMIT-8", "n%u gives a vote in term %" PRIu64 " that is not on its disk",
                 n->i + 1, m->term);
    if (m->type == RAFT_MSG_VOTE && hs->voted_for != n->id)
        sim_fail(s, "COMMIT-8",
                 "n%u asks for votes in term %" PRIu64 " and its own is not on its disk", n->i + 1,
                 m->term);
    if (m->type == RAFT_MSG_APPEND_RESP && m->index > w->durable.n)
        sim_fail(s, "COMMIT-8", "n%u acknowledges %" PRIu64 ", and its disk holds %" PRIu64,
                 n->i + 1, m->index, w->durable.n);
}

/* LOG-5: an acknowledgement names only what agrees with the leader's log. */
static void i8_acks_what_agrees(struct sim_node *n, const struct raft_msg *m)
{
    struct sim *s = n->sim;
    const struct sim_node *leader = node_of_id(s, m->to);
    const struct shadow_entry *mine;
    const struct shadow_entry *theirs;

    if (m->type != RAFT_MSG_APPEND_RESP || m->reject || leader == NULL || leader->life != NODE_UP ||
        raft_get_role(node_raft(leader)) != RAFT_LEADER ||
        raft_get_term(node_raft(leader)) != m->term ||
        n->wal.durable_hard_state.current_term != m->term)
        return;
    mine = at(&n->wal.durable, m->index);
    theirs = at(&leader->wal.tail, m->index);
    if (mine == NULL || theirs == NULL || mine->chain != theirs->chain)
        sim_fail(s, "LOG-5", "n%u acknowledges %" PRIu64 ", where the log of n%u is another",
                 n->i + 1, m->index, leader->i + 1);
}

/* The terms are not in order: one that a stranger told may be lost with the power, and what is
 * answered after it is of a lower one. */
static void note_echo(struct sim_node *n, const struct raft_msg *m)
{
    const struct sim_node *leader = node_of_id(n->sim, m->to);
    unsigned at = 0;

    if (m->type != RAFT_MSG_HEARTBEAT_RESP || m->reject || leader == NULL)
        return;
    while (at < SIM_ECHOES && n->echoed[leader->i][at].term != m->term)
        at++;
    if (at == SIM_ECHOES) { /* instead of the oldest */
        memmove(&n->echoed[leader->i][1], &n->echoed[leader->i][0],
                (SIM_ECHOES - 1) * sizeof(n->echoed[0][0]));
        at = 0;
        n->echoed[leader->i][0].term = m->term;
        n->echoed[leader->i][0].round = m->round;
    }
    if (m->round > n->echoed[leader->i][at].round)
        n->echoed[leader->i][at].round = m->round;
}

void oracle_send(struct sim_node *n, const struct raft_msg *m)
{
    note_echo(n, m);
    manners_send(n, m);
    snap_sends(n, m);
    changes_sends(n, m);
    leases_sends(n, m);
    i7_durable_before_visible(n, m);
    i8_acks_what_agrees(n, m);
}

/* ---- starts ---- */

/* DISK-20: beside what wal.c compares. */
void oracle_boot(struct sim_node *n, const struct store_recovered *r, struct raft_entry_id applied)
{
    struct sim *s = n->sim;

    if (r->hard_state.current_term < n->boot_term)
        sim_fail(s, "DISK-20", "n%u starts in term %" PRIu64 ", and was in %" PRIu64, n->i + 1,
                 r->hard_state.current_term, n->boot_term);
    n->boot_term = r->hard_state.current_term;
    changes_recovered(n, r);
    if (applied.index > r->last_index)
        sim_fail(s, "DISK-20", "the state of n%u holds %" PRIu64 ", its log %" PRIu64, n->i + 1,
                 applied.index, r->last_index);
    /* DISK-19: a restart does not go back behind what was noted. */
    if (r->commit_index < n->wal.durable_commit && !n->damaged)
        sim_fail(s, "DISK-20", "n%u recovers the commit index %" PRIu64 ", and had noted %" PRIu64,
                 n->i + 1, r->commit_index, n->wal.durable_commit);
    if (r->commit_index > s->oracle.committed && r->commit_index > 1)
        sim_fail(s, "DISK-20",
                 "n%u recovers the commit index %" PRIu64 ", and %" PRIu64 " is committed",
                 n->i + 1, r->commit_index, s->oracle.committed);
    n->commit = r->commit_index;
    n->applied = applied.index;
    n->match_term = 0;
    n->last_term = r->hard_state.current_term;
}

/* ---- turns ---- */

/* LOG-5: what a leader believes of a follower is on that follower's disk, and never falls. */
static void i8_progress(struct sim_node *n)
{
    struct sim *s = n->sim;
    raft_index before[SIM_NODES_MAX];
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    /* Who is taken in again after an entry that was truncated begins anew. */
    memcpy(before, n->match, sizeof(before));
    memset(n->match, 0, sizeof(n->match));
    for (unsigned i = 0; i < st.n_peers; i++) {
        const struct sim_node *peer = node_of_id(s, st.peers[i].id);
        raft_index match = st.peers[i].match_index;
        const struct shadow_entry *mine = at(&n->wal.tail, match);

        if (peer == NULL) /* its disk was lost */
            continue;
        if (n->match_term == st.current_term && match < before[peer->i])
            sim_fail(s, "LOG-5", "n%u lowers what it knows of n%u from %" PRIu64 " to %" PRIu64,
                     n->i + 1, peer->i + 1, before[peer->i], match);
        n->match[peer->i] = match;
        if (match > 0 && mine != NULL &&
            peer->wal.durable_hard_state.current_term == st.current_term &&
            peer->life != NODE_OUT && !holds(&peer->wal.durable, match, mine->chain))
            sim_fail(s, "LOG-5", "n%u believes that n%u holds %" PRIu64 ", and its disk does not",
                     n->i + 1, peer->i + 1, match);
    }
    n->match_term = st.current_term;
}

/* CORE-4: within the limits. */
static void i16_bounded(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct replica_stats st;
    unsigned flying = lines_n_held(n) + (n->quota_bytes != 0); /* its own, that sets the limit */

    replica_get_stats(n->replica, &st);
    /* READ-16: what is not confirmed ends with the leadership. */
    if (raft_get_role(node_raft(n)) != RAFT_LEADER && st.n_in_round != 0)
        sim_fail(s, "READ-16", "n%u does not lead, and %u reads wait for its round", n->i + 1,
                 st.n_in_round);
    /* READ-17: nor is what was proposed kept, but for what is committed and not applied yet. */
    if (raft_get_role(node_raft(n)) != RAFT_LEADER && st.n_proposed != 0 &&
        replica_last_applied(n->replica) == raft_get_commit_index(node_raft(n)))
        sim_fail(s, "CLIENT-9", "n%u does not lead, and %u of its proposals have no end", n->i + 1,
                 st.n_proposed);
    for (unsigned i = 0; i < s->p.n_clients; i++)
        flying += s->clients[i].n_in_flight;
    if (st.n_waiting + st.n_in_round + st.n_confirmed + st.n_proposed > flying)
        sim_fail(s, "CORE-4", "n%u counts %u requests, and %u were made", n->i + 1,
                 st.n_waiting + st.n_in_round + st.n_confirmed + st.n_proposed, flying);
    if (n->snap.disk != NULL && fake_disk_n_open(n->snap.disk) > 16)
        sim_fail(s, "CORE-4", "n%u has %u files of snapshots open", n->i + 1,
                 fake_disk_n_open(n->snap.disk));
    if (fake_disk_n_open(n->wal.disk) > 16)
        sim_fail(s, "CORE-4", "n%u has %u files open", n->i + 1, fake_disk_n_open(n->wal.disk));
    net_check(s);
}

/* Half a heartbeat. The exception is what a share may run over: so many steps, of applying and of
 * answering, before its clock is looked at. */
void oracle_turn_time(struct sim_node *n, uint64_t ns)
{
    const uint64_t most_ns = n->sim->p.heartbeat_us * 500 + 2 * SLICE_STEPS * n->longest_ns;

    if (ns > most_ns)
        sim_fail(n->sim, "TIME-1",
                 "n%u takes a turn of %.3f ms with heartbeats of %.3f ms, and no step longer than "
                 "%.3f ms",
                 n->i + 1, (double)ns / 1e6, (double)n->sim->p.heartbeat_us / 1e3,
                 (double)n->longest_ns / 1e6);
}

void oracle_turn(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct raft *r = replica_raft_mutable(n->replica);

    raft_check(r);
    replica_check(n->replica);
    manners_turn(n);
    changes_turn(n);
    bytes_turn(n);
    leases_turn(n);
    n->look++;
    if (raft_get_role(r) == RAFT_LEADER && n->look % 8 == 0)
        i8_progress(n);
    if (n->look % (raft_get_role(r) == RAFT_LEADER ? 32 : 8) == 0)
        i16_bounded(n);
    if (raft_get_commit_index(r) > s->oracle.committed && s->oracle.committed > 0)
        sim_fail(s, "COMMIT-1",
                 "the commit index of n%u is %" PRIu64 ", and %" PRIu64 " is committed", n->i + 1,
                 raft_get_commit_index(r), s->oracle.committed);
    if (raft_get_term(r) != n->last_term)
        n->last_term = raft_get_term(r);
}

/* ---- life and end ---- */

void oracle_init(struct sim *s)
{
    /* The CONFIG entry counts as committed. */
    *oracle_entry(s, 1) = (struct oracle_entry){.term = 1,
                                                .chain = s->nodes[0].wal.tail.entries[0].chain,
                                                .content = s->nodes[0].wal.tail.entries[0].content,
                                                .len = s->nodes[0].wal.tail.entries[0].bytes};
    s->oracle.committed = 1;
    changes_init(s);
}

/* COMMIT-1 at the end: a majority of the disks holds everything that was committed. */
void oracle_end(struct sim *s)
{
    struct oracle *o = &s->oracle;
    unsigned count = 0;

    for (unsigned i = 0; i < s->p.n_nodes; i++)
        count += node_is_voter(&s->nodes[i]) && holds(&s->nodes[i].wal.durable, o->committed,
                                                      oracle_entry(s, o->committed)->chain);
    if (count + members_n_lost(s, &s->committed.configuration) < node_quorum(s))
        sim_fail(s, "COMMIT-1", "at the end %" PRIu64 " is durable on %u voters", o->committed,
                 count);
}

void oracle_done(struct sim *s)
{
    struct oracle *o = &s->oracle;

    free(o->entries);
    for (unsigned i = 0; i < SIM_KEYS_MAX; i++)
        free(o->keys[i].versions);
    for (size_t i = 0; i < o->matching_size; i++)
        free(o->matching[i].payload);
    free(o->matching);
    free(o->leaders);
    free(o->configs);
    free(o->ops);
    oracle_sessions_done(s);
}
