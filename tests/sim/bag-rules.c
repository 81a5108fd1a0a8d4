/* What must hold in the bag test: each rule of docs/RULES.md that can be seen from outside a core
 * has a function here. */
#include "sim/bag.h"

#include "base/banned.h"

/* ---- rules ---- */

raft_term bag_term_at(const struct node *n, raft_index index)
{
    raft_term term = raft_term_at(n->raft, index);

    return term != RAFT_TERM_COMPACTED ? term : sim_log_term(&n->disk.tail, index);
}

/* VOTE-1: at most one leader per term, and not the same one twice (READ-10). */
static void check_election_safety(struct node *n)
{
    raft_term term = raft_get_term(n->raft);

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    if (term >= TERMS_MAX)
        bag_fail("harness", "more than %u terms", TERMS_MAX);
    if (bag.leaders[term].id == 0) {
        bag.leaders[term].id = n->id;
        bag.leaders[term].incarnation = n->incarnation;
        bag.counts[N_ELECTIONS]++;
        return;
    }
    if (bag.leaders[term].id != n->id || bag.leaders[term].incarnation != n->incarnation)
        bag_fail("VOTE-1 election safety", "%s and %s both led term %" PRIu64, n->name,
                 bag_name_of(NULL, bag.leaders[term].id), term);
}

/* LOG-2: an entry, named by index and term, has one content and one history. */
void bag_check_log_matching(const struct node *n, raft_index from)
{
    for (raft_index i = from; i <= n->disk.tail.n; i++) {
        const struct sim_entry *e = sim_log_get(&n->disk.tail, i);
        uint64_t at = hash_mix64(e->id.term << 32 ^ e->id.index);
        struct hash_slot *s;

        for (unsigned probe = 0;; probe++) {
            s = &bag.hashes[(at + probe) & (HASHES - 1)];
            if (s->seed != bag.seed || (s->id.term == e->id.term && s->id.index == e->id.index))
                break;
            if (probe == HASHES)
                bag_fail("harness", "too many entries");
        }
        if (s->seed != bag.seed)
            *s = (struct hash_slot){.id = e->id, .hash = e->hash, .seed = bag.seed};
        else if (s->hash != e->hash)
            bag_fail("LOG-2 log matching",
                     "%s holds another %" PRIu64 "/%" PRIu64 " or another history", n->name,
                     e->id.term, e->id.index);
    }
}

/* COMMIT-1: a leader of a later term holds all that was committed before. */
static void check_leader_completeness(const struct node *n, raft_index from)
{
    raft_term term = raft_get_term(n->raft);

    for (raft_index i = from; i <= bag.n_agreed; i++)
        if (bag.agreed[i].seen_in < term && bag_term_at(n, i) != bag.agreed[i].term)
            bag_fail("COMMIT-1 leader completeness",
                     "%s leads term %" PRIu64 " without %" PRIu64 "/%" PRIu64
                     ", committed in %" PRIu64,
                     n->name, term, bag.agreed[i].term, i, bag.agreed[i].seen_in);
}

/* COMMIT-1: what is committed is on the disks of a majority of the voters that there were then. */
void bag_check_on_majority(raft_index index)
{
    const unsigned voters = bag.agreed[index].voters;
    const unsigned n_voters = (unsigned)__builtin_popcount(voters);
    unsigned n = 0;

    for (unsigned i = 0; i < bag.n_nodes; i++)
        n += (voters >> i & 1) != 0 &&
             sim_log_term(&bag.nodes[i].disk.log, index) == bag.agreed[index].term;
    if (2 * n <= n_voters)
        bag_fail("COMMIT-1 committed is durable on a majority",
                 "%" PRIu64 "/%" PRIu64 " is on %u disks of %u", bag.agreed[index].term, index, n,
                 n_voters);
}

/* COMMIT-1 for one node: in the term in which an entry was committed, or a later one, nobody removes it.
 *
 * A node that has not reached that term may. It was not counted, for who is counted has answered in
 * that term; it may hold the entry from the leader that wrote it, and take over it what a leader
 * between the two sends late. So this is asked when the core truncates, in the term of then: a
 * moment later the node may be in another one. What stays true of all together is
 * bag_check_on_majority(). */
static void check_removal(struct node *n, const struct raft_trace *t)
{
    for (raft_index i = t->index; i <= bag.n_agreed && i <= n->disk.tail.n; i++) {
        if (sim_log_term(&n->disk.tail, i) != bag.agreed[i].term)
            return; /* nor does it hold any of those behind */
        if (t->term >= bag.agreed[i].seen_in)
            bag_fail("COMMIT-1 committed entries are never removed",
                     "%s in term %" PRIu64 ": %" PRIu64 "/%" PRIu64 ", committed in %" PRIu64,
                     n->name, t->term, bag.agreed[i].term, i, bag.agreed[i].seen_in);
        bag.counts[N_OVERWRITTEN]++;
    }
}

void bag_hear_core(void *ctx, const struct raft_trace *t)
{
    const struct node *n = ctx;

    if (t->event == RAFT_TRACE_TRUNCATED)
        check_removal(ctx, t);
    if (n->raft == NULL)
        return; /* it is being born */
    if (t->event == RAFT_TRACE_ROLE && t->role == RAFT_LEADER)
        bag.counts[N_UNFIT_LEADERS] += raft_get_fitness(n->raft) == RAFT_UNFIT;
    if (t->event == RAFT_TRACE_TRANSFER && strcmp(t->text, "started") == 0)
        bag.counts[N_HANDED_OVER] += raft_get_fitness(n->raft) != RAFT_FIT;
}

/* STATE-1 and COMMIT-1, and the oracle for reads: what this node calls committed is what everybody does. */
static void check_commit(struct node *n)
{
    raft_index commit = raft_get_commit_index(n->raft);
    raft_term term = raft_get_term(n->raft);
    raft_index old = bag.n_agreed;

    if (commit < n->verified)
        bag_fail("commit_index never falls", "%s: %" PRIu64 " after %" PRIu64, n->name, commit,
                 n->verified);
    if (commit >= INDEXES_MAX)
        bag_fail("harness", "more than %u entries", INDEXES_MAX);
    for (; n->verified < commit; n->verified++) {
        raft_index i = n->verified + 1;
        raft_term t = bag_term_at(n, i);

        if (t == RAFT_TERM_NONE)
            bag_fail("commit_index <= last_index", "%s commits %" PRIu64, n->name, i);
        if (i <= bag.n_agreed) {
            if (bag.agreed[i].term != t)
                bag_fail("STATE-1 state machine safety",
                         "%s commits %" PRIu64 "/%" PRIu64 ", others %" PRIu64 "/%" PRIu64, n->name,
                         t, i, bag.agreed[i].term, i);
            continue;
        }
        bag.agreed[i] = (struct agreed){.term = t, .seen_in = term, .voters = bag_voters_of(n)};
        bag.n_agreed = i;
        bag.counts[N_COMMITTED]++;
        bag_check_on_majority(i);
    }
    if (bag.n_agreed > old)
        for (unsigned i = 0; i < bag.n_nodes; i++)
            if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER)
                check_leader_completeness(&bag.nodes[i], old + 1);
}

/* COMMIT-8: durable before visible. Answers to heartbeats, pre-votes and refusals are exempt (READ-61).
 */
void bag_check_send(const struct node *n, const struct raft_msg *m)
{
    const struct sim_disk *d = &n->disk;
    const struct node *to = bag_node_of_id(m->to);
    bool own_term = d->hard_state.current_term == m->term;

    if (m->from != n->id || to == n)
        bag_fail("COMMIT-8 durable before visible", "%s sends in the name of another", n->name);
    switch (m->type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return;
    case RAFT_MSG_VOTE:
        if (own_term && d->hard_state.voted_for != n->id)
            bag_fail("COMMIT-8 durable before visible",
                     "%s asks for votes before its own is durable", n->name);
        break;
    case RAFT_MSG_VOTE_RESP:
        if (m->reject)
            return;
        if (own_term && d->hard_state.voted_for != m->to)
            bag_fail("COMMIT-8 durable before visible", "%s grants %s a vote that is not durable",
                     n->name, to->name);
        break;
    case RAFT_MSG_APPEND_RESP:
        if (m->reject)
            return;
        if (own_term && d->log.n < m->index)
            bag_fail("COMMIT-8 durable before visible",
                     "%s acknowledges %" PRIu64 " of %zu durable", n->name, m->index, d->log.n);
        /* And it is what the leader has there, not whatever lies behind the proven part. */
        if (own_term && to->raft != NULL && raft_get_role(to->raft) == RAFT_LEADER &&
            raft_get_term(to->raft) == m->term &&
            bag_term_at(to, m->index) != sim_log_term(&d->log, m->index))
            bag_fail("acknowledged is what the leader sent",
                     "%s acknowledges %" PRIu64 " with %" PRIu64 ", %s has %" PRIu64 " there",
                     n->name, m->index, sim_log_term(&d->log, m->index), to->name,
                     bag_term_at(to, m->index));
        break;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        if (own_term && d->hard_state.voted_for != n->id)
            bag_fail("COMMIT-8 durable before visible", "%s leads before its vote is durable",
                     n->name);
        break;
    }
    if (d->hard_state.current_term < m->term)
        bag_fail("COMMIT-8 durable before visible",
                 "%s sends %s in term %" PRIu64 " while term %" PRIu64 " is durable", n->name,
                 raft_msg_type_name(m->type), m->term, d->hard_state.current_term);
}

/* LOG-5: what a leader believes a follower to hold is on that follower's disk. */
void bag_check_match(struct node *n)
{
    struct raft_status s;

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    raft_get_status(n->raft, &s);
    if (n->match_term != s.current_term)
        memset(n->match_index, 0, sizeof(n->match_index));
    n->match_term = s.current_term;
    for (unsigned i = 0; i < s.n_peers; i++) {
        const struct node *p = bag_node_of_id(s.peers[i].id);
        raft_index match = s.peers[i].match_index;

        if (match < n->match_index[p->slot])
            bag_fail("LOG-5 match_index never falls within a term",
                     "%s: %s %" PRIu64 " after %" PRIu64, n->name, p->name, match,
                     n->match_index[p->slot]);
        n->match_index[p->slot] = match;
        if (match == 0 || p->disk.hard_state.current_term > s.current_term)
            continue;
        if (sim_log_term(&p->disk.log, match) != bag_term_at(n, match))
            bag_fail("LOG-5 match_index is durable", "%s believes %s to hold %" PRIu64, n->name,
                     p->name, match);
    }
    /* A leader commits only what is durable on itself too (COMMIT-6). */
    if (s.commit_index > n->disk.log.n)
        bag_fail("COMMIT-7 committed by a leader is durable on it", "%s: %" PRIu64 " of %zu",
                 n->name, s.commit_index, n->disk.log.n);
}

/* COMMIT-7, STATE-1: applied in order, once, and only what is committed and durable here. */
void bag_check_apply(struct node *n, const struct raft_entry *e)
{
    const struct sim_entry *d = sim_log_get(&n->disk.log, e->id.index);

    if (e->id.index != n->emitted + 1)
        bag_fail("applied in order, once", "%s: %" PRIu64 " after %" PRIu64, n->name, e->id.index,
                 n->emitted);
    n->emitted = e->id.index;
    if (d == NULL || d->id.term != e->id.term)
        bag_fail("COMMIT-7 nothing applied before it is durable", "%s: %" PRIu64 "/%" PRIu64,
                 n->name, e->id.term, e->id.index);
    if (e->id.index > bag.n_agreed || bag.agreed[e->id.index].term != e->id.term)
        bag_fail("STATE-1 state machine safety", "%s applies %" PRIu64 "/%" PRIu64, n->name,
                 e->id.term, e->id.index);
    if (e->type != d->type || e->len != sim_entry_len(d) ||
        (e->len > 0 && memcmp(e->data, sim_entry_data(d), e->len) != 0))
        bag_fail("applied is what was stored", "%s: %" PRIu64 "/%" PRIu64, n->name, e->id.term,
                 e->id.index);
}

/* TERM-4: one message raises a term by one step, and one that tells more is not obeyed. (Being told
 * to campaign costs one term more.) */
void bag_check_climb(const struct node *n, const struct raft_msg *m, raft_term before)
{
    raft_term after = raft_get_term(n->raft);

    if (after - before > bag.term_step + 1)
        bag_fail("TERM-4 terms rise by steps", "%s goes from %" PRIu64 " to %" PRIu64, n->name,
                 before, after);
    if (m->term <= before + bag.term_step || m->type == RAFT_MSG_PRE_VOTE)
        return;
    bag.counts[N_CLIMBED] += after > before;
    if (after != before && after != before + bag.term_step)
        bag_fail("TERM-4 terms rise by steps", "%s obeys a term of %" PRIu64 " in %" PRIu64,
                 n->name, m->term, before);
}

bool bag_take_read(struct node *n, uint64_t ctx, struct read *ret_read)
{
    for (unsigned i = 0; i < n->n_reads; i++)
        if (n->reads[i].ctx == ctx) {
            *ret_read = n->reads[i];
            n->reads[i] = n->reads[--n->n_reads];
            return true;
        }
    return false;
}

/* READ-1: a read returns at least what anybody had committed when it was asked (READ-6, READ-10,
 * READ-14). */
void bag_check_read(struct node *n, const struct raft_read_done *done)
{
    struct read read;

    if (raft_get_fitness(n->raft) == RAFT_UNFIT)
        bag_fail("FIT-4 an unfit node answers nothing", "%s answers read %" PRIu64, n->name,
                 done->ctx);
    if (!bag_take_read(n, done->ctx, &read))
        bag_fail("a read is answered once", "%s answers read %" PRIu64, n->name, done->ctx);
    bag.counts[N_READS_CONFIRMED]++;
    if (done->read_index < read.floor)
        bag_fail("READ-1 linearizable reads",
                 "%s answers read %" PRIu64 " at %" PRIu64 "; %" PRIu64
                 " was committed when it was asked",
                 n->name, done->ctx, done->read_index, read.floor);
    if (done->read_index > bag.n_agreed || done->read_index > raft_get_commit_index(n->raft))
        bag_fail("a read index is committed", "%s: %" PRIu64, n->name, done->read_index);
    if (done->round <= done->arrival_round)
        bag_fail("READ-6 no round in flight", "%s: round %" PRIu64 " arrived in %" PRIu64, n->name,
                 done->round, done->arrival_round);
    if (done->term != read.term)
        bag_fail("READ-16 a read ends with its term", "%s: %" PRIu64 " asked in %" PRIu64, n->name,
                 done->term, read.term);
    /* The connection's own writes (READ-58). */
    if (read.min_index > done->read_index ||
        (read.min_index != 0 && bag.agreed[read.min_index].term != read.term))
        bag_fail("READ-58 own writes", "%s: floor %" PRIu64 ", answered at %" PRIu64, n->name,
                 read.min_index, done->read_index);
}

/* READ-16, READ-17: with the leadership go the reads, and no answer comes in the same breath. */
void bag_check_loss(struct node *n, const struct raft_ready *rd)
{
    raft_term term = raft_get_term(n->raft);
    bool leads = raft_get_role(n->raft) == RAFT_LEADER;
    struct raft_status s;

    if (n->led_term != 0 && (!leads || term != n->led_term) &&
        (rd->loss == RAFT_LOSS_NONE || rd->loss_term != n->led_term))
        bag_fail("leadership is not lost in silence", "%s led term %" PRIu64, n->name, n->led_term);
    if (rd->loss != RAFT_LOSS_NONE) {
        bag.counts[N_LOSSES]++;
        /* Where terms are invented, a learner that climbed by one step brings a higher one. */
        if (bag.n_voters == 1 && !n->was_unfit && bag.odds.forge == 0 && bag.odds.change == 0)
            bag_fail("READ-20 the only voter needs nobody", "%s gives up leading", n->name);
        if (rd->n_reads > 0)
            bag_fail("READ-17 loss wins over completion", "%s: %u reads", n->name, rd->n_reads);
        if (n->led_term != 0 && rd->loss_commit_index < n->led_commit)
            bag_fail("loss_commit_index", "%s: %" PRIu64 " after %" PRIu64, n->name,
                     rd->loss_commit_index, n->led_commit);
        if (rd->loss_commit_index > bag.n_agreed)
            bag_fail("loss_commit_index", "%s: %" PRIu64 " is not committed", n->name,
                     rd->loss_commit_index);
        /* What was proposed in the lost term up to there is committed. The proposals of a term are
         * a run of consecutive indexes that ends with last_own. */
        for (raft_index i = rd->loss_commit_index;
             n->last_own.term == rd->loss_term && i > 0 && i <= n->last_own.index; i--) {
            if (bag.agreed[i].term == rd->loss_term)
                break; /* and so is all before it */
            if (bag.agreed[i].term > rd->loss_term)
                bag_fail("loss_commit_index",
                         "%s: proposal %" PRIu64 "/%" PRIu64 " is not what was committed there",
                         n->name, rd->loss_term, i);
            break; /* before the first entry of that term */
        }
    }
    raft_get_status(n->raft, &s);
    if (s.n_reads_pending != n->n_reads)
        bag_fail("READ-56 no read is forgotten", "%s: %u pending, %u unanswered", n->name,
                 s.n_reads_pending, n->n_reads);
    if (!leads && n->n_reads > 0)
        bag_fail("READ-16 reads fail with the leadership", "%s: %u unanswered", n->name,
                 n->n_reads);
    n->led_term = leads ? term : 0;
    n->led_commit = raft_get_commit_index(n->raft);
}

/* READ-18: a leader that has not heard a quorum for an election timeout of its own clock has stepped
 * down when it looks at that clock. */
void bag_check_quorum_heard(const struct node *n)
{
    const unsigned voters = bag_voters_of(n);
    const unsigned n_voters = (unsigned)__builtin_popcount(voters);
    unsigned heard = 0;

    if (raft_get_role(n->raft) != RAFT_LEADER)
        return;
    for (unsigned i = 0; i < bag.n_nodes; i++)
        heard +=
            (voters >> i & 1) != 0 && (i == n->slot || n->now_us - n->heard_us[i] <= ELECTION_US);
    if (2 * heard <= n_voters)
        bag_fail("READ-18 check-quorum", "%s leads term %" PRIu64 " and hears %u voters of %u",
                 n->name, raft_get_term(n->raft), heard, n_voters);
}

/* MEMBER-9: a leader is a voter of what it appends, and of what it was elected with. */
static void check_leader_votes(const struct node *n)
{
    if (raft_get_role(n->raft) == RAFT_LEADER && (bag_voters_of(n) >> n->slot & 1) == 0)
        bag_fail("MEMBER-9 a leader is a voter", "%s leads term %" PRIu64, n->name,
                 raft_get_term(n->raft));
}

void bag_note_heard(struct node *n, const struct raft_msg *m)
{
    if ((m->type == RAFT_MSG_APPEND_RESP || m->type == RAFT_MSG_HEARTBEAT_RESP) &&
        m->term == raft_get_term(n->raft))
        n->heard_us[bag_node_of_id(m->from)->slot] = n->now_us;
}

/* After every call of a core. */
void bag_look(struct node *n)
{
    raft_check(n->raft);
    check_leader_votes(n);
    check_commit(n);
    if (raft_get_role(n->raft) == RAFT_LEADER) {
        raft_term term = raft_get_term(n->raft);
        bool new = term < TERMS_MAX &&bag.leaders[term].id == 0;

        check_election_safety(n);
        if (new) {
            check_leader_completeness(n, 1);
            for (unsigned i = 0; i < bag.n_nodes; i++)
                n->heard_us[i] = n->now_us;
        }
    }
}
