/* Reads of any node: it asks the leader for an index, once for all that have gathered.
 *
 *   raft_ask()    a ticket: the number of the question that gathers now
 *   raft_ready()  the question is sealed, and leaves: who asks from now on gets the next number
 *   read_ask      the leader of that very term answers with an index that was valid after the
 *                 question came, and so after everybody who has a ticket of it did
 *   read_answer   all tickets up to its number have that index
 *
 * An unanswered question is not repeated: another one is asked, which covers its tickets as well.
 * The answer to either is taken as long as it is remembered; numbers are never used again, and they
 * mean nothing without the nonce of the process (FOLLOW-1).
 *
 * What the asker proves by asking: it was in that term after the reads came. Where it and the
 * leader are a quorum that is all that a round could prove (FOLLOW-3). */
#include "raft/raft_int.h"

/* ---- tickets ---- */

uint64_t raft_ask(struct raft *r, uint64_t now_us)
{
    struct asks *a = &r->asks;

    raft_now(r, now_us);
    a->given = a->next; /* of a question that has not left (FOLLOW-1) */
    return a->given;
}

/* What is at or below is answered already: it came late. */
static void answered(struct raft *r, const struct raft_answered *done)
{
    struct asks *a = &r->asks;

    if (done->ticket <= a->answered)
        return;
    rid_assert(done->ticket < a->next);
    /* The later index is right for the earlier tickets, too; the higher one for both. */
    if (a->done.ticket == 0 || done->read_index >= a->done.read_index)
        a->done = *done;
    else
        a->done.ticket = done->ticket;
    a->answered = done->ticket;
    a->due_us = 0;
    a->patience_us = 0;
    for (unsigned i = 0; i < RAFT_ASKS_MAX; i++)
        if (a->out[i].number <= done->ticket)
            a->out[i].number = 0;
}

/* ---- asking ---- */

void raft_understands_asks(struct raft *r, raft_node_id peer, bool understands)
{
    struct progress *p = raft_progress(r, peer);

    if (p != NULL)
        p->understands_asks = understands;
}

static const struct progress *look_up(const struct raft *r, raft_node_id id)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].id == id)
            return &r->progress[i];
    return NULL;
}

/* A candidate asks nobody, nor does a leader (FOLLOW-2). */
static bool may_ask(const struct raft *r)
{
    const struct progress *p = look_up(r, r->leader_id);

    if (r->role == RAFT_LEADER || r->conf.nonce == 0)
        return false;
    return p != NULL && p->link_up && p->understands_asks;
}

/* Another leader, or another term: what was asked before can be answered by nobody (FOLLOW-5), and
 * nothing is waited for. */
static void look_around(struct raft *r)
{
    struct asks *a = &r->asks;

    if (a->term == r->hard_state.current_term && a->leader == r->leader_id)
        return;
    a->term = r->hard_state.current_term;
    a->leader = r->leader_id;
    a->due_us = 0;
    a->patience_us = 0;
    for (unsigned i = 0; i < RAFT_ASKS_MAX; i++)
        if (a->out[i].term != a->term)
            a->out[i].number = 0;
}

/* The first time as long as answers take; while none comes twice as long each time (FOLLOW-6). */
static uint64_t patience_us(const struct raft *r)
{
    const struct asks *a = &r->asks;
    uint64_t us = 2 * a->srtt_us > RAFT_ASK_US ? 2 * a->srtt_us : RAFT_ASK_US;

    if (us < 2 * a->patience_us)
        us = 2 * a->patience_us;
    return us < r->conf.election_timeout_us ? us : r->conf.election_timeout_us;
}

/* A free place, or that of the older one: what it asked the new one asks as well. */
static struct ask *place(struct asks *a)
{
    struct ask *oldest = &a->out[0];

    for (unsigned i = 1; i < RAFT_ASKS_MAX; i++)
        if (a->out[i].number < oldest->number)
            oldest = &a->out[i];
    return oldest;
}

/* Sealed here: the time that it is proved for is that of this moment, and nobody gets this number
 * any more (FOLLOW-1). */
static void ask(struct raft *r)
{
    struct asks *a = &r->asks;
    struct ask *q = place(a);
    struct raft_msg m = {.type = RAFT_MSG_READ_ASK,
                         .to = r->leader_id,
                         .term = r->hard_state.current_term,
                         .ask = {r->conf.nonce, a->next}};

    *q = (struct ask){.number = a->next++,
                      .term = m.term,
                      .leader = m.to,
                      .sealed_hold_us = r->hold_us,
                      .sent_us = r->now_us};
    a->patience_us = patience_us(r);
    a->due_us = r->now_us + a->patience_us;
    a->n_sent++;
    raft_send(r, &r->msgs, &m);
}

/* Whatever becomes of the own state meanwhile: it is served when it has come to the index
 * (FOLLOW-8). */
void raft_fill_asks(struct raft *r)
{
    const struct asks *a = &r->asks;

    look_around(r);
    if (may_ask(r) && a->given > a->answered && r->now_us >= a->due_us)
        ask(r);
}

uint64_t raft_ask_due_us(const struct raft *r)
{
    const struct asks *a = &r->asks;

    if (a->given <= a->answered || !may_ask(r))
        return UINT64_MAX;
    return a->term == r->hard_state.current_term && a->leader == r->leader_id ? a->due_us : 0;
}

static struct ask *find(struct asks *a, uint64_t number)
{
    for (unsigned i = 0; i < RAFT_ASKS_MAX; i++)
        if (a->out[i].number == number)
            return &a->out[i];
    return NULL;
}

static void note_time(struct asks *a, uint64_t us)
{
    a->srtt_us = a->srtt_us == 0 ? us : (a->srtt_us * 7 + us) / 8;
}

/* Used only when this very question is outstanding, which is of this process then, and when the
 * term has not gone by. The commit index stays what it is: this log may have other entries there
 * (FOLLOW-5). A refusal changes no term either; whoever is followed next is asked (FOLLOW-2). */
void raft_handle_answer(struct raft *r, const struct raft_msg *m)
{
    struct ask *found = find(&r->asks, m->ask.number);
    struct ask q;

    if (m->ask.nonce != r->conf.nonce || found == NULL || found->leader != m->from)
        return;
    q = *found;
    found->number = 0;
    if (m->reject || m->term != r->hard_state.current_term)
        return;
    note_time(&r->asks, r->now_us - q.sent_us);
    answered(r, &(struct raft_answered){.ticket = q.number,
                                        .read_index = m->index,
                                        .term = m->term,
                                        .proof = RAFT_PROOF_LEADER,
                                        .by = m->from});
    raft_pair_add(r, q.sealed_hold_us, m->index); /* BOUND-5 */
}

/* ---- answering ---- */

static void refuse(struct raft *r, const struct raft_msg *m)
{
    struct raft_msg answer = {.type = RAFT_MSG_READ_ANSWER,
                              .to = m->from,
                              .term = r->hard_state.current_term,
                              .reject = true,
                              .leader = r->leader_id,
                              .ask = m->ask};

    raft_send(r, &r->msgs, &answer);
}

/* As far as it is known to hold it; once more when it acknowledges what it did not. Whoever waits
 * for an index to be applied does not wait for the next heartbeat (READ-31). */
void raft_tell_commit(const struct raft *r, struct progress *p)
{
    raft_index tell = r->commit_index < p->match_index ? r->commit_index : p->match_index;

    if (p->told_commit < p->waits_for && p->told_commit < tell)
        p->heartbeat_due = p->link_up;
}

static void answer(struct raft *r, raft_node_id to, struct raft_ask_id ask, raft_index index)
{
    struct progress *p = raft_progress(r, to);
    struct raft_msg m = {.type = RAFT_MSG_READ_ANSWER,
                         .to = to,
                         .term = r->hard_state.current_term,
                         .index = index,
                         .ask = ask};

    rid_assert(index >= r->noop_index); /* behind the gate (READ-14) */
    raft_send(r, &r->msgs, &m);
    if (p == NULL)
        return;
    p->waits_for = index;
    raft_tell_commit(r, p);
}

/* This node and the asker, both voters of the configuration in force here, are a quorum of it: each
 * was in this term after the reads came. It is known by its id, and says nothing of itself. For
 * this question only: it is no acknowledgement of anything else (FOLLOW-3). */
static bool is_quorum_with(const struct raft *r, const struct progress *p)
{
    return r->is_voter && p->role == RAFT_VOTER && raft_quorum_size(raft_get_configuration(r)) <= 2;
}

/* Behind the reads that wait, and with them (FOLLOW-4). The newest of each that asks counts for all
 * that it asked before; who finds no room asks again. */
static void park(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    struct read read = {.asker = p->id, .arrival_round = raft_rounds_last(&r->rounds)};

    if (p->ask.number == 0 && raft_read_queue_add(&r->reads, &read) != 0)
        return;
    if (p->ask.nonce == m->ask.nonce && p->ask.number >= m->ask.number)
        return;
    p->ask = m->ask;
    p->ask_n_holds = r->n_holds;
}

void raft_handle_ask(struct raft *r, const struct raft_msg *m)
{
    struct progress *p = raft_progress(r, m->from);

    if (m->term != r->hard_state.current_term || r->role != RAFT_LEADER || p == NULL ||
        r->fitness == RAFT_UNFIT) {
        refuse(r, m);
        return;
    }
    if (raft_can_serve(r) && is_quorum_with(r, p)) {
        r->asks.n_by_ack++;
        answer(r, p->id, m->ask, r->commit_index);
        return;
    }
    park(r, p, m);
}

/* The hold clock was told after the question came (LEASE-9). */
static bool may_take_lease(const struct raft *r, const struct read *read)
{
    const struct progress *p = look_up(r, read->asker);

    return p != NULL && p->ask.number != 0 && p->ask_n_holds < r->n_holds;
}

void raft_asks_by_lease(struct raft *r)
{
    struct read_queue *q = &r->reads;
    size_t keep = q->n_inflight;

    if (q->n_asks == 0 || !raft_can_serve(r) || !raft_lease_is_valid(r))
        return;
    for (size_t i = q->n_inflight; i < read_ring_n(&q->list); i++) {
        const struct read *read = raft_read_queue_at(q, i);

        if (read->asker != 0 && may_take_lease(r, read)) {
            struct progress *p = raft_progress(r, read->asker);

            r->asks.n_by_lease++;
            answer(r, p->id, p->ask, r->commit_index);
            p->ask = (struct raft_ask_id){0};
            q->n_asks--;
        } else {
            *raft_read_queue_at(q, keep++) = *read;
        }
    }
    read_ring_truncate(&q->list, keep);
}

/* ---- rounds ---- */

bool raft_own_ask_waits(const struct raft *r)
{
    const struct asks *a = &r->asks;

    return a->given > a->answered && a->given > a->in_round;
}

/* No byte of the round has left: who has asked until now came before it (READ-7). */
void raft_asks_join(struct raft *r, uint64_t round)
{
    struct read_queue *q = &r->reads;
    struct asks *a = &r->asks;

    rid_assert(r->role == RAFT_LEADER);
    for (size_t i = q->n_inflight; q->n_asks > 0 && i < read_ring_n(&q->list); i++) {
        struct read *read = raft_read_queue_at(q, i);
        struct progress *p = read->asker != 0 ? raft_progress(r, read->asker) : NULL;

        if (p == NULL)
            continue; /* a read; or who asked was removed, and gets no answer */
        read->ask = p->ask;
        p->ask = (struct raft_ask_id){0};
    }
    if (raft_own_ask_waits(r)) {
        const struct read own = {
            .asker = r->conf.id, .ask = {r->conf.nonce, a->next++}, .arrival_round = round - 1};

        rid_assert(raft_read_queue_add(q, &own) == 0);
        a->in_round = own.ask.number;
    }
}

void raft_ask_confirmed(struct raft *r, const struct read *read)
{
    struct raft_answered done = {.ticket = read->ask.number,
                                 .read_index = read->read_index,
                                 .term = r->hard_state.current_term,
                                 .proof = RAFT_PROOF_ROUND,
                                 .by = r->conf.id};

    if (read->asker == r->conf.id) {
        answered(r, &done);
    } else if (read->ask.number != 0) {
        r->asks.n_by_round++;
        answer(r, read->asker, read->ask, read->read_index);
    }
}

void raft_asks_lost(struct raft *r)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        r->progress[i].ask = (struct raft_ask_id){0};
    r->asks.in_round = 0;
}
