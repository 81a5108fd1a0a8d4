/* What must hold in every state. Only what a step may have changed is looked at again: a state is reached by steps. */
#include "mc/mc.h"

#include "base/banned.h"

/* How far two logs are the same. */
static unsigned common(const uint32_t *a, unsigned n_a, const uint32_t *b, unsigned n_b)
{
    unsigned n = 0;

    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

/* TERM-1, VOTE-2: on the disk. */
static void check_vote(const struct mc_face *before, const struct mc_face *f, unsigned slot,
                       struct mc_verdict *v)
{
    if (f->durable_term < before->durable_term)
        mc_wrong(v, "TERM-1: the durable term of n%u falls from %u to %u", slot + 1,
                 before->durable_term, f->durable_term);
    if (f->durable_term == before->durable_term && before->durable_vote != 0 &&
        f->durable_vote != before->durable_vote)
        mc_wrong(v, "VOTE-2: n%u votes for n%u and for n%u in term %u", slot + 1,
                 before->durable_vote, f->durable_vote, f->durable_term);
}

/* COMMIT-1: what was committed in an earlier term is in its log. Who is elected late, in a term that has gone by, may lack
 * what was committed since. */
static void check_completeness(const struct mc_world *w, unsigned slot, unsigned from,
                               struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    unsigned n;
    const uint32_t *log = mc_log(f->log, &n);

    for (unsigned i = from; i < w->ghost.n; i++)
        if (w->ghost.terms[i] < f->term && (i >= n || log[i] != w->ghost.entries[i]))
            mc_wrong(v,
                     "COMMIT-1: n%u leads term %u without entry %u, which was committed in term %u",
                     slot + 1, f->term, i + 1, w->ghost.terms[i]);
}

/* VOTE-1, LOG-1. */
static void check_leader(struct mc_world *w, unsigned slot, const struct mc_face *before,
                         struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    uint8_t *leader = &w->ghost.leaders[f->term];
    unsigned n_old;
    unsigned n;
    const uint32_t *old;
    const uint32_t *log;

    if (f->role != RAFT_LEADER)
        return;
    if (before->role != RAFT_LEADER || before->term != f->term) {
        if (*leader != 0)
            mc_wrong(v, "VOTE-1: n%u and n%u lead term %u", *leader, slot + 1, f->term);
        *leader = (uint8_t)(slot + 1);
        check_completeness(w, slot, 0, v);
        return;
    }
    if (f->log == before->log)
        return;
    old = mc_log(before->log, &n_old);
    log = mc_log(f->log, &n);
    if (common(old, n_old, log, n) != n_old)
        mc_wrong(v, "LOG-1: n%u leads term %u and changes its log", slot + 1, f->term);
}

/* LOG-2: logs that share an entry's index and term share it and all before it. */
static void check_matching(const struct mc_world *w, unsigned slot, struct mc_verdict *v)
{
    unsigned n;
    const uint32_t *log = mc_log(mc_face(w->cells[slot])->log, &n);

    for (unsigned i = 0; i < mc_scope.nodes; i++) {
        unsigned n_other;
        const uint32_t *other = mc_log(mc_face(w->cells[i])->log, &n_other);
        const unsigned same = common(log, n, other, n_other);

        for (unsigned k = same; k < n && k < n_other; k++)
            if (mc_entry(log[k])->id.term == mc_entry(other[k])->id.term)
                mc_wrong(v,
                         "LOG-2: n%u and n%u have entry %u of term %" PRIu64
                         " and differ in it or before it",
                         slot + 1, i + 1, k + 1, mc_entry(log[k])->id.term);
    }
}

/* COMMIT-1: on the disks of a majority of the voters of the configuration in force there. */
static void check_majority(const struct mc_world *w, unsigned slot, unsigned i,
                           struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    unsigned n_has = 0;

    for (unsigned k = 0; k < mc_scope.nodes; k++) {
        unsigned n;
        const uint32_t *log = mc_log(mc_face(w->cells[k])->durable_log, &n);

        n_has += (f->voters & 1u << k) != 0 && i < n && log[i] == w->ghost.entries[i];
    }
    if (2 * n_has <= (unsigned)__builtin_popcount(f->voters))
        mc_wrong(v, "COMMIT-1: n%u commits entry %u, which is on the disks of %u of %d voters",
                 slot + 1, i + 1, n_has, __builtin_popcount(f->voters));
}

/* STATE-1, COMMIT-5: what one calls committed all do. */
static void check_commit(struct mc_world *w, unsigned slot, const struct mc_face *before,
                         bool restarted, struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    const unsigned known = w->ghost.n;
    unsigned n;
    const uint32_t *log = mc_log(f->log, &n);

    if (!restarted && f->commit < before->commit)
        mc_wrong(v, "COMMIT-5: the commit index of n%u falls from %u to %u", slot + 1,
                 before->commit, f->commit);
    for (unsigned i = 0; i < f->commit && i < known; i++)
        if (log[i] != w->ghost.entries[i])
            mc_wrong(v,
                     "STATE-1: n%u commits another entry %u (term %" PRIu64
                     ") than was committed before (term %" PRIu64 ")",
                     slot + 1, i + 1, mc_entry(log[i])->id.term,
                     mc_entry(w->ghost.entries[i])->id.term);
    for (unsigned i = known; i < f->commit; i++) {
        w->ghost.entries[i] = log[i];
        w->ghost.terms[i] = f->term;
        w->ghost.n = i + 1;
        check_majority(w, slot, i, v);
    }
    for (unsigned i = 0; w->ghost.n > known && i < mc_scope.nodes; i++)
        if (mc_face(w->cells[i])->role == RAFT_LEADER)
            check_completeness(w, i, known, v);
}

/* COMMIT-1: nobody removes what was committed, in the term in which that was or a later one. Who has not reached it may,
 * for it was not counted: who is counted answered in that term. */
static void check_kept(const struct mc_world *w, unsigned slot, const struct mc_face *before,
                       struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    unsigned n_old;
    unsigned n;
    const uint32_t *old = mc_log(before->log, &n_old);
    const uint32_t *log = mc_log(f->log, &n);

    for (unsigned i = common(old, n_old, log, n); i < n_old && i < w->ghost.n; i++)
        if (old[i] == w->ghost.entries[i] && w->ghost.terms[i] <= f->term)
            mc_wrong(v, "COMMIT-1: n%u in term %u removes entry %u, committed in term %u", slot + 1,
                     f->term, i + 1, w->ghost.terms[i]);
}

/* LOG-5: what a leader believes of a follower is on that follower's disk. */
static void check_matches(const struct mc_world *w, unsigned leader, struct mc_verdict *v)
{
    const struct mc_face *l = mc_face(w->cells[leader]);
    unsigned n;
    const uint32_t *log = mc_log(l->log, &n);

    for (unsigned i = 0; l->role == RAFT_LEADER && i < mc_scope.nodes; i++) {
        const struct mc_face *f = mc_face(w->cells[i]);
        unsigned n_durable;
        const uint32_t *durable = mc_log(f->durable_log, &n_durable);

        if (l->match[i] == 0 || f->durable_term > l->term)
            continue;
        if (common(log, n, durable, n_durable) < l->match[i])
            mc_wrong(v, "LOG-5: n%u believes that n%u holds %u entries of its log", leader + 1,
                     i + 1, l->match[i]);
    }
}

/* READ-1: no answer that is older than what anybody had been told when it was asked. */
static void check_read(struct mc_world *w, unsigned number, unsigned index, struct mc_verdict *v)
{
    struct mc_read *r = &w->reads[number - 1];

    if (number == 0 || number > MC_READS_MAX || r->state == MC_NO_READ) {
        mc_wrong(v, "READ-56: read %u is answered and does not wait", number);
        return;
    }
    if (index < r->floor)
        mc_wrong(v,
                 "READ-1: read %u of n%u is answered at index %u; %u was committed when it began",
                 number, r->slot + 1, index, r->floor);
    if (index > w->ghost.n)
        mc_wrong(v, "READ-2: read %u of n%u is answered at index %u; %u are committed", number,
                 r->slot + 1, index, w->ghost.n);
    *r = (struct mc_read){0};
}

/* FOLLOW-1: whoever has a ticket up to it came before what it says. */
static void check_answered(struct mc_world *w, unsigned slot, unsigned ticket, unsigned index,
                           struct mc_verdict *v)
{
    if (index > w->ghost.n)
        mc_wrong(v, "READ-2: ticket %u of n%u is answered with index %u; %u are committed", ticket,
                 slot + 1, index, w->ghost.n);
    for (unsigned i = 0; i < MC_READS_MAX; i++) {
        struct mc_read *r = &w->reads[i];

        if (r->state != MC_ASKED || r->slot != slot || r->ticket == 0 || r->ticket > ticket)
            continue;
        if (index < r->floor)
            mc_wrong(v,
                     "FOLLOW-1: ticket %u of n%u is answered with index %u; %u was committed when "
                     "it was given",
                     r->ticket, slot + 1, index, r->floor);
        *r = (struct mc_read){0};
    }
}

/* The newest that has none. */
static void take_ticket(struct mc_world *w, unsigned slot, unsigned ticket)
{
    for (unsigned i = 0; i < MC_READS_MAX; i++)
        if (w->reads[i].state == MC_ASKED && w->reads[i].slot == slot && w->reads[i].ticket == 0)
            w->reads[i].ticket = (uint8_t)ticket;
}

/* LEASE-7, LEASE-9: whoever could answer by a lease now knows all that anybody has committed. */
static void check_leases(const struct mc_world *w, struct mc_verdict *v)
{
    for (unsigned i = 0; i < mc_scope.nodes; i++) {
        const struct mc_face *f = mc_face(w->cells[i]);

        if (f->lease && f->commit < w->ghost.n)
            mc_wrong(v,
                     "LEASE-7: n%u of term %u may read by its lease up to %u; %u was committed in "
                     "term %u",
                     i + 1, f->term, f->commit, w->ghost.n, w->ghost.terms[w->ghost.n - 1]);
    }
}

/* BOUND-2: all that was committed when the tick began at which its clock showed that time. */
static void check_pairs(const struct mc_world *w, unsigned slot, struct mc_verdict *v)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    const unsigned now = w->used[MC_TICKS];

    for (unsigned i = 0; i < f->n_pairs; i++)
        if (f->pairs[i].ticks <= now &&
            f->pairs[i].index < w->ghost.at_tick[now - f->pairs[i].ticks])
            mc_wrong(v,
                     "BOUND-2: n%u holds that %u was all there was %u ticks ago; %u was committed "
                     "by then",
                     slot + 1, f->pairs[i].index, f->pairs[i].ticks,
                     w->ghost.at_tick[now - f->pairs[i].ticks]);
}

static void check_events(struct mc_world *w, unsigned slot, const struct mc_outcome *out,
                         struct mc_verdict *v)
{
    for (unsigned i = 0; i < out->n_events; i++) {
        const unsigned a = out->events[i] >> 12 & 0xfff;
        const unsigned b = out->events[i] & 0xfff;

        switch ((enum mc_event)(out->events[i] >> 24)) {
        case MC_READ_DONE:
            check_read(w, a, b, v);
            break;
        case MC_READ_FAILED:
            w->reads[a - 1] = (struct mc_read){0};
            break;
        case MC_TICKET:
            take_ticket(w, slot, a);
            break;
        case MC_ANSWERED:
            check_answered(w, slot, a, b, v);
            break;
        case MC_REFUSED_MSG:
            mc_wrong(v, "CORE-3: n%u finds a message of a correct peer invalid (%s)", slot + 1,
                     raft_msg_type_name((enum raft_msg_type)b));
            break;
        case MC_ABORTED:
            break;
        }
    }
}

void mc_rules(struct mc_world *w, unsigned slot, uint32_t cell_before, enum mc_input what,
              const struct mc_outcome *out, struct mc_verdict *v)
{
    const struct mc_face before = *mc_face(cell_before);
    const struct mc_face *f = mc_face(w->cells[slot]);

    if (w->cells[slot] != cell_before) {
        check_vote(&before, f, slot, v);
        if (f->log != before.log) {
            check_matching(w, slot, v);
            if (what != MC_CRASH)
                check_kept(w, slot, &before, v);
        }
        check_commit(w, slot, &before, what == MC_CRASH, v);
        check_leader(w, slot, &before, v);
        for (unsigned i = 0; i < mc_scope.nodes; i++)
            check_matches(w, i, v);
        if (mc_scope.pairs)
            check_pairs(w, slot, v);
    }
    check_events(w, slot, out, v);
    /* While a tick passes some clocks have gone on and others have not. */
    if (mc_scope.leases && what != MC_PASS)
        check_leases(w, v);
}

void mc_rules_after_pass(const struct mc_world *w, struct mc_verdict *v)
{
    if (mc_scope.leases)
        check_leases(w, v);
}
