/* A state of the whole: nodes at rest, the messages between them, what readers were promised; and the actions it has.
 *
 * What is abstracted, and why nothing is lost by it unless it is said:
 *
 * - A lost message is one that never comes: there is no action for it. What can never have an effect any more is taken
 *   away (is_dead()), so that states that differ in nothing else are one. That stands on rules of the core itself; with
 *   dead_come they are looked at like the others.
 * - A turn is one step: input, ready, messages out, applied. Applying in another moment changes only when reads are served.
 *   (A core may be given several inputs before its ready is taken: the search does not do that. The bag does.)
 * - A node that is down takes no input. So going down and coming back is one step: it stands for a crash at any time before.
 * - Each node has its own clock, and it goes as it likes: for elections, commits and rounds of reads, which promise
 *   nothing about time. A node is in the same state whenever it was heard of lately, and whenever it was not
 *   (RAFT_IMAGE_TIMELESS); an append without an answer is sent again with each heartbeat. The clock does not go on while
 *   a batch is on its way to the own disk: slow disks are other tests' matter.
 * - With ticks clocks go on together, a tick at a time, each node's at one of two rates that differ as much as they may
 *   (LEASE-0); nothing takes time but ticks. Whoever is due looks at its clock some time after, before or after whatever else
 *   happens in that tick, or not at all. Who led or was led hears nobody any more after two ticks.
 * - A lease is not read by an action: in every state in which one could be used it is looked at (rules.c). Neither is
 *   the age of a state.
 * - With `once` a message comes once, and twice as often as the scope says. Without, which is less to search, it comes as
 *   often as it likes: what has been sent stays.
 * - With pre_votes off, a candidate asks and is answered by those that it needs in one step, and it is answered only
 *   where it wins: a pre-vote changes no term and no vote. Late answers are lost then.
 * - Node names mean nothing: what is tried is named, never "the first that is found". So states that differ by a renaming
 *   are one (mc_world_canonical()); every action of one is an action of the other, renamed.
 * - MC_DISK_AT_ONCE: nothing waits for the disk. Crashes lose nothing durable then but what was in memory alone. */
#include <stdarg.h>

#include "mc/mc.h"

#include "base/banned.h"

unsigned mc_first_term;

static void by_number(void *ctx, unsigned slot, uint32_t cell, enum mc_input what, uint32_t arg,
                      struct mc_outcome *ret)
{
    (void)ctx;
    (void)slot;
    mc_step(cell, what, arg, ret);
}

const struct mc_player mc_by_number = {.play = by_number};

void mc_wrong(struct mc_verdict *v, const char *format, ...)
{
    va_list ap;

    if (v->text[0] != '\0')
        return; /* the first one is the cause */
    va_start(ap, format);
    (void)vsnprintf(v->text, sizeof(v->text), format, ap);
    va_end(ap);
}

/* ---- messages ---- */

static void add_msg(struct mc_world *w, uint32_t msg)
{
    unsigned at = w->n_msgs;

    if (w->n_msgs == MC_NET_MAX) {
        fprintf(stderr, "mc: more than %u messages at once: the scope is too wide\n", MC_NET_MAX);
        exit(70);
    }
    while (at > 0 && w->msgs[at - 1] > msg)
        at--;
    if (!mc_scope.once && at > 0 && w->msgs[at - 1] == msg)
        return; /* it comes as often as it likes already */
    memmove(&w->msgs[at + 1], &w->msgs[at], (w->n_msgs - at) * sizeof(w->msgs[0]));
    w->msgs[at] = msg;
    w->n_msgs++;
}

static void take_msg(struct mc_world *w, uint32_t msg)
{
    unsigned at = 0;

    while (at < w->n_msgs && w->msgs[at] != msg)
        at++;
    rid_assert(at < w->n_msgs);
    memmove(&w->msgs[at], &w->msgs[at + 1], (w->n_msgs - at - 1) * sizeof(w->msgs[0]));
    w->n_msgs--;
}

/* It has no effect on its receiver, now and ever.
 *
 * A durable term never falls, so neither does the term of whoever starts from it. An answer in a term that is durable there
 * counts for a candidate or leader of that very term: whoever is not that can never be it again, for a term is campaigned
 * in once (step.c: answers of an older term are dropped; serve(): others ask for the role). A pre-vote that was granted
 * counts for the term after the own. Of an older term TIMEOUT_NOW does nothing. A question of this life that is not waited for
 * now was given up, and its number is not used again in this life. Requests of an older term are not dead: they are
 * answered, and the answer tells a term. */
static bool is_dead(const struct mc_world *w, uint32_t msg)
{
    const struct mc_head *m = mc_msg_head(msg);
    const struct mc_face *f = mc_face(w->cells[m->to]);
    const bool may_count =
        f->term == m->term && (f->role == RAFT_LEADER || f->role == RAFT_CANDIDATE);

    switch ((enum raft_msg_type)m->type) {
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_APPEND_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
        return m->term <= f->durable_term && !may_count;
    case RAFT_MSG_PRE_VOTE_RESP:
        return !m->reject && m->term <= f->durable_term;
    case RAFT_MSG_TIMEOUT_NOW:
        return m->term < f->durable_term;
    case RAFT_MSG_READ_ANSWER:
        return m->ask_nonce == f->nonce && m->ask_number != f->asks[0] &&
               m->ask_number != f->asks[1];
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_SNAPSHOT:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
        break;
    }
    return false;
}

static void bury(struct mc_world *w)
{
    unsigned kept = 0;

    if (mc_scope.dead_come)
        return;
    for (unsigned i = 0; i < w->n_msgs; i++)
        if (!is_dead(w, w->msgs[i]))
            w->msgs[kept++] = w->msgs[i];
    w->n_msgs = kept;
}

/* ---- a step of one node ---- */

/* What it sends goes to out alone. False: refused, or beyond the scope. */
static bool play(struct mc_world *w, unsigned slot, enum mc_input what, uint32_t arg,
                 const struct mc_player *p, struct mc_outcome *out, struct mc_verdict *v)
{
    const uint32_t before = w->cells[slot];

    p->play(p->ctx, slot, before, what, arg, out);
    if (out->n_events == 1 && out->events[0] == mc_event_make(MC_ABORTED, 0, 0)) {
        mc_wrong(v, "an assertion of the core of n%u failed", slot + 1);
        return true;
    }
    if (out->next == MC_NONE)
        return false;
    w->cells[slot] = out->next;
    if (mc_face(out->next)->term > mc_first_term + mc_scope.terms)
        return false;
    mc_rules(w, slot, before, what, out, v);
    return true;
}

static bool play_and_send(struct mc_world *w, unsigned slot, enum mc_input what, uint32_t arg,
                          const struct mc_player *p, struct mc_verdict *v)
{
    struct mc_outcome out;

    if (!play(w, slot, what, arg, p, &out, v))
        return false;
    for (unsigned i = 0; i < out.n_msgs; i++)
        add_msg(w, out.msgs[i]);
    return true;
}

/* ---- which actions there are ---- */

static bool left(const struct mc_world *w, enum mc_budget budget)
{
    return w->used[budget] < mc_scope.budgets[budget];
}

struct list {
    struct mc_action *actions;
    unsigned n;
};

static void put(struct list *l, enum mc_act what, unsigned slot, uint32_t arg)
{
    rid_assert(l->n < MC_ACTIONS_MAX);
    l->actions[l->n++] = (struct mc_action){what, slot, arg};
}

static void put_campaigns(const struct mc_world *w, unsigned slot, struct list *l)
{
    const struct mc_face *f = mc_face(w->cells[slot]);
    const unsigned n = (unsigned)__builtin_popcount(f->voters);

    if (mc_clocks_are_bound() && !f->election_due)
        return;
    if (!left(w, MC_CAMPAIGNS) || !f->may_campaign || f->term >= mc_first_term + mc_scope.terms)
        return;
    if (mc_scope.pre_votes) {
        put(l, MC_ACT_CAMPAIGN, slot, 0);
        return;
    }
    /* Just as many as it needs. */
    for (unsigned set = 0; set < 1u << mc_scope.nodes; set++)
        if ((set & ~(unsigned)f->voters) == 0 && (set & 1u << slot) == 0 &&
            (unsigned)__builtin_popcount(set) == n / 2)
            put(l, MC_ACT_CAMPAIGN, slot, set);
}

static void put_leading(const struct mc_world *w, unsigned slot, struct list *l)
{
    static const enum mc_change kinds[] = {MC_ADD_VOTER, MC_REMOVE_VOTER, MC_ADD_LEARNER,
                                           MC_PROMOTE, MC_DEMOTE};
    const struct mc_face *f = mc_face(w->cells[slot]);

    if (left(w, MC_WRITES) && f->can_serve)
        put(l, MC_ACT_PROPOSE, slot, 0);
    if (left(w, MC_READS))
        put(l, MC_ACT_READ, slot, 0);
    if (left(w, MC_ASKS))
        put(l, MC_ACT_ASK, slot, 0);
    if (left(w, MC_BEATS) && f->n_batches == 0)
        for (unsigned late = 0; late <= f->transferring; late++)
            put(l, MC_ACT_BEAT, slot, late);
    if (left(w, MC_QUIETS) && f->n_batches == 0)
        put(l, MC_ACT_QUIET, slot, 0);
    for (unsigned i = 0; left(w, MC_TRANSFERS) && i < mc_scope.nodes; i++)
        if (i != slot)
            put(l, MC_ACT_TRANSFER, slot, i);
    for (unsigned k = 0; left(w, MC_CHANGES) && k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (unsigned i = 0; (mc_scope.changes & kinds[k]) != 0 && i < mc_scope.nodes; i++)
            put(l, MC_ACT_CHANGE, slot, (uint32_t)kinds[k] << 4 | i);
}

static void put_of_node(const struct mc_world *w, unsigned slot, struct list *l)
{
    const struct mc_face *f = mc_face(w->cells[slot]);

    if (f->n_batches > 0)
        put(l, MC_ACT_STORE, slot, 0);
    if (left(w, MC_CRASHES))
        put(l, MC_ACT_CRASH, slot, 0);
    for (unsigned i = 0; left(w, MC_LINKS) && i < mc_scope.nodes; i++)
        if (i != slot && (f->role == RAFT_LEADER || f->role == RAFT_CANDIDATE))
            put(l, MC_ACT_LINK, slot, i);
    if (mc_clocks_are_bound() && f->is_due && f->n_batches == 0 && !f->election_due)
        put(l, MC_ACT_LOOK, slot, 0);
    if (f->role == RAFT_LEADER) {
        put_leading(w, slot, l);
        return;
    }
    if (left(w, MC_ASKS))
        put(l, MC_ACT_ASK, slot, 0);
    if (f->n_batches > 0)
        return;
    if (f->hears_leader && !mc_clocks_are_bound())
        put(l, MC_ACT_WAIT, slot, 0);
    if (left(w, MC_GONES) && f->role == RAFT_FOLLOWER && f->hears_leader)
        put(l, MC_ACT_GONE, slot, 0);
    if (left(w, MC_REASKS) && f->asks[0] + f->asks[1] > 0)
        put(l, MC_ACT_REASK, slot, 0);
    put_campaigns(w, slot, l);
}

/* For all at once, when no disk is busy. */
static void put_passes(const struct mc_world *w, struct list *l)
{
    if (!left(w, MC_TICKS))
        return;
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        if (mc_face(w->cells[i])->n_batches > 0)
            return;
    put(l, MC_ACT_PASS, 0, 0);
    for (unsigned i = 0; left(w, MC_SUSPENDS) && i < mc_scope.nodes; i++)
        put(l, MC_ACT_PASS, 0, 1u << i);
}

/* All but the leader: where it holds longest, and the others wait shortest. */
static unsigned leads_slowly(const struct mc_world *w)
{
    unsigned fast = 0;

    for (unsigned i = 0; i < mc_scope.nodes; i++)
        if (mc_face(w->cells[i])->role != RAFT_LEADER)
            fast |= 1u << i;
    return fast;
}

/* Every clock has a rate before anything else happens. */
static bool put_rates(const struct mc_world *w, struct list *l)
{
    if (!mc_clocks_are_bound() || mc_face(w->cells[0])->rate != 0)
        return false;
    for (unsigned fast = 0; fast < 1u << mc_scope.nodes; fast++)
        if (mc_scope.rates || fast == leads_slowly(w))
            put(l, MC_ACT_RATES, 0, fast);
    return true;
}

unsigned mc_world_actions(const struct mc_world *w, struct mc_action actions[MC_ACTIONS_MAX])
{
    struct list l = {.actions = actions};

    if (put_rates(w, &l))
        return l.n;
    put_passes(w, &l);
    for (unsigned i = 0; i < w->n_msgs; i++) {
        const unsigned to = mc_msg_head(w->msgs[i])->to;

        if (i > 0 && w->msgs[i] == w->msgs[i - 1])
            continue; /* twice the same: one is as good as the other */
        put(&l, MC_ACT_DELIVER, to, w->msgs[i]);
        if (mc_scope.once && left(w, MC_DUPS))
            put(&l, MC_ACT_AGAIN, to, w->msgs[i]);
    }
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        put_of_node(w, i, &l);
    return l.n;
}

/* ---- what they do ---- */

/* The pre-vote of a campaign in one step: those of the set hear no leader any more, are asked, and answer. All must grant,
 * or there is no such step. */
static bool campaign_in_one(struct mc_world *w, unsigned slot, unsigned set,
                            const struct mc_player *p, struct mc_verdict *v)
{
    struct mc_outcome asks;
    struct mc_outcome out;

    const bool bound = mc_clocks_are_bound();

    if (!play(w, slot, bound ? MC_LOOK : MC_CAMPAIGN, 0, p, &asks, v))
        return false;
    for (unsigned i = 0; i < asks.n_msgs && v->text[0] == '\0'; i++) {
        const struct mc_head *m = mc_msg_head(asks.msgs[i]);
        const unsigned to = m->to;

        if (m->type != RAFT_MSG_PRE_VOTE) {
            add_msg(w, asks.msgs[i]);
            continue;
        }
        if ((set & 1u << to) == 0)
            continue;
        if (mc_face(w->cells[to])->n_batches > 0)
            return false;
        if (!bound && mc_face(w->cells[to])->hears_leader && !play(w, to, MC_WAIT, 0, p, &out, v))
            return false;
        if (!play(w, to, MC_DELIVER, asks.msgs[i], p, &out, v) || out.n_msgs != 1)
            return false;
        if (!play_and_send(w, slot, MC_DELIVER, out.msgs[0], p, v))
            return false;
    }
    return v->text[0] != '\0' || mc_face(w->cells[slot])->role == RAFT_CANDIDATE ||
           mc_face(w->cells[slot])->role == RAFT_LEADER;
}

/* Which of the reads it is; one of them by a ticket, which the node gives. */
static bool begin_read(struct mc_world *w, unsigned slot, enum mc_input how,
                       const struct mc_player *p, struct mc_verdict *v)
{
    const unsigned number = w->used[MC_READS] + w->used[MC_ASKS];

    w->used[how == MC_ASK ? MC_ASKS : MC_READS]++;
    w->reads[number] = (struct mc_read){.state = how == MC_ASK ? MC_ASKED : MC_PENDING,
                                        .slot = (uint8_t)slot,
                                        .floor = (uint8_t)w->ghost.n};
    return play_and_send(w, slot, how, number + 1, p, v);
}

static bool each(struct mc_world *w, enum mc_input what, uint32_t yes, uint32_t no, unsigned set,
                 const struct mc_player *p, struct mc_verdict *v)
{
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        if (!play_and_send(w, i, what, (set & 1u << i) != 0 ? yes : no, p, v))
            return false;
    return true;
}

static bool pass(struct mc_world *w, unsigned suspended, const struct mc_player *p,
                 struct mc_verdict *v)
{
    w->used[MC_TICKS]++;
    if (suspended != 0)
        w->used[MC_SUSPENDS]++;
    if (mc_scope.pairs)
        w->ghost.at_tick[w->used[MC_TICKS]] = (uint8_t)w->ghost.n;
    if (!each(w, MC_PASS, 1, 0, suspended, p, v))
        return false;
    mc_rules_after_pass(w, v);
    return true;
}

/* When nobody crashes any more nobody needs to know with what it would begin. */
static void spare(struct mc_world *w, const struct mc_player *p, struct mc_verdict *v)
{
    for (unsigned i = 0; !left(w, MC_CRASHES) && i < mc_scope.nodes; i++)
        if (!mc_face(w->cells[i])->spared)
            (void)play_and_send(w, i, MC_SPARE, 0, p, v);
}

static bool crash(struct mc_world *w, unsigned slot, const struct mc_player *p,
                  struct mc_verdict *v)
{
    for (unsigned i = 0; i < MC_READS_MAX; i++)
        if (w->reads[i].state != MC_NO_READ && w->reads[i].slot == slot)
            w->reads[i] = (struct mc_read){0};
    if (!play_and_send(w, slot, MC_CRASH, 0, p, v))
        return false;
    spare(w, p, v);
    return true;
}

static bool act(struct mc_world *w, struct mc_action a, const struct mc_player *p,
                struct mc_verdict *v)
{
    switch (a.what) {
    case MC_ACT_DELIVER:
        if (mc_scope.once)
            take_msg(w, a.arg);
        return play_and_send(w, a.slot, MC_DELIVER, a.arg, p, v);
    case MC_ACT_AGAIN:
        w->used[MC_DUPS]++;
        return play_and_send(w, a.slot, MC_DELIVER, a.arg, p, v);
    case MC_ACT_STORE:
        return play_and_send(w, a.slot, MC_STORE, 0, p, v);
    case MC_ACT_WAIT:
        return play_and_send(w, a.slot, MC_WAIT, 0, p, v);
    case MC_ACT_CAMPAIGN:
        w->used[MC_CAMPAIGNS]++;
        return mc_scope.pre_votes ? play_and_send(w, a.slot, MC_CAMPAIGN, 0, p, v)
                                  : campaign_in_one(w, a.slot, a.arg, p, v);
    case MC_ACT_BEAT:
        w->used[MC_BEATS]++;
        return play_and_send(w, a.slot, MC_BEAT, a.arg, p, v);
    case MC_ACT_QUIET:
        w->used[MC_QUIETS]++;
        return play_and_send(w, a.slot, MC_QUIET, 0, p, v);
    case MC_ACT_PROPOSE:
        return play_and_send(w, a.slot, MC_PROPOSE, w->used[MC_WRITES]++, p, v);
    case MC_ACT_READ:
        return begin_read(w, a.slot, MC_READ, p, v);
    case MC_ACT_ASK:
        return begin_read(w, a.slot, MC_ASK, p, v);
    case MC_ACT_REASK:
        w->used[MC_REASKS]++;
        return play_and_send(w, a.slot, MC_REASK, 0, p, v);
    case MC_ACT_RATES:
        return each(w, MC_RATE, 2, 1, a.arg, p, v);
    case MC_ACT_PASS:
        return pass(w, a.arg, p, v);
    case MC_ACT_LOOK:
        return play_and_send(w, a.slot, MC_LOOK, 0, p, v);
    case MC_ACT_CRASH:
        w->used[MC_CRASHES]++;
        return crash(w, a.slot, p, v);
    case MC_ACT_TRANSFER:
        w->used[MC_TRANSFERS]++;
        return play_and_send(w, a.slot, MC_TRANSFER, a.arg, p, v);
    case MC_ACT_CHANGE:
        w->used[MC_CHANGES]++;
        return play_and_send(w, a.slot, MC_CHANGE, a.arg, p, v);
    case MC_ACT_LINK:
        w->used[MC_LINKS]++;
        return play_and_send(w, a.slot, MC_LINK, a.arg, p, v);
    case MC_ACT_GONE:
        w->used[MC_GONES]++;
        return play_and_send(w, a.slot, MC_GONE, 0, p, v);
    }
    return false;
}

bool mc_world_act(struct mc_world *w, struct mc_action a, const struct mc_player *p,
                  struct mc_verdict *v)
{
    if (!act(w, a, p, v))
        return false;
    if (v->text[0] == '\0')
        bury(w);
    return true;
}

/* ---- where it begins ---- */

void mc_world_found(struct mc_world *w)
{
    static struct mc_cell c;

    memset(w, 0, sizeof(*w));
    for (unsigned i = 0; i < mc_scope.nodes; i++) {
        mc_cell_begin(&c, i);
        w->cells[i] = mc_cell_write(&c);
        if (i == 0) {
            w->ghost.n = 1; /* what everybody begins with */
            w->ghost.entries[0] = c.log[0];
            w->ghost.terms[0] = 1;
        }
        mc_cell_done(&c);
    }
    mc_first_term = 1;
}

static bool is_heartbeat_to_the_deaf(const struct mc_head *m)
{
    return m->type == RAFT_MSG_HEARTBEAT && (mc_scope.deaf & 1u << m->to) != 0;
}

/* All that is under way arrives, but heartbeats to the deaf, and disks store what they are given. */
static void settle(struct mc_world *w, const struct mc_player *p, struct mc_verdict *v)
{
    bool more = true;

    for (unsigned guard = 0; more && v->text[0] == '\0'; guard++) {
        rid_assert(guard < 1000);
        more = false;
        for (unsigned i = 0; i < mc_scope.nodes && !more; i++)
            if (mc_face(w->cells[i])->n_batches > 0) {
                (void)play_and_send(w, i, MC_STORE, 0, p, v);
                more = true;
            }
        if (!more && w->n_msgs > 0) {
            const uint32_t msg = w->msgs[0];

            take_msg(w, msg);
            if (!is_heartbeat_to_the_deaf(mc_msg_head(msg)))
                (void)play_and_send(w, mc_msg_head(msg)->to, MC_DELIVER, msg, p, v);
            more = true;
        }
    }
}

void mc_world_begin(struct mc_world *w, const struct mc_player *p, struct mc_verdict *v)
{
    mc_world_found(w);
    (void)play_and_send(w, 0, MC_CAMPAIGN, 0, p, v);
    settle(w, p, v);
    /* The first lease is not given before its length is on disk (LEASE-3). */
    for (unsigned i = 0; i <= mc_scope.leases; i++) {
        (void)play_and_send(w, 0, MC_BEAT, 0, p, v);
        settle(w, p, v);
    }
    if (mc_scope.beating)
        (void)play_and_send(w, 0, MC_BEAT, 0, p, v);
    w->ghost.at_tick[0] = (uint8_t)w->ghost.n;
    rid_assert(v->text[0] != '\0' || mc_face(w->cells[0])->role == RAFT_LEADER);
    mc_first_term = mc_face(w->cells[0])->term;
    spare(w, p, v);
}

/* ---- one of all that differ by names ---- */

static void rename_world(const struct mc_world *w, unsigned perm, struct mc_world *to)
{
    const unsigned char *names = mc_perms[perm];

    *to = *w;
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        to->cells[names[i]] = mc_cell_renamed(w->cells[i], perm);
    for (unsigned i = 0; i < w->ghost.n; i++)
        to->ghost.entries[i] = mc_entry_renamed(w->ghost.entries[i], perm);
    for (unsigned i = 0; i < MC_TERMS_MAX; i++)
        if (w->ghost.leaders[i] != 0)
            to->ghost.leaders[i] = (uint8_t)(names[w->ghost.leaders[i] - 1] + 1);
    for (unsigned i = 0; i < MC_READS_MAX; i++)
        if (w->reads[i].state != MC_NO_READ)
            to->reads[i].slot = names[w->reads[i].slot];
    to->n_msgs = 0;
    for (unsigned i = 0; i < w->n_msgs; i++)
        add_msg(to, mc_msg_renamed(w->msgs[i], perm));
}

static int compare_cells(const struct mc_world *w, unsigned perm, const struct mc_world *best)
{
    uint32_t cells[MC_NODES_MAX];

    for (unsigned i = 0; i < mc_scope.nodes; i++)
        cells[mc_perms[perm][i]] = mc_cell_renamed(w->cells[i], perm);
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        if (cells[i] != best->cells[i])
            return cells[i] < best->cells[i] ? -1 : 1;
    return 0;
}

static int compare(const struct mc_world *a, const struct mc_world *b)
{
    int d = memcmp(&a->ghost, &b->ghost, sizeof(a->ghost));

    if (d == 0)
        d = memcmp(a->reads, b->reads, sizeof(a->reads));
    for (unsigned i = 0; d == 0 && i < a->n_msgs; i++)
        if (a->msgs[i] != b->msgs[i])
            d = a->msgs[i] < b->msgs[i] ? -1 : 1;
    return d;
}

/* The smallest by the numbers of its nodes, and if that decides nothing, by all the rest. Numbers are given once in a run,
 * and so which one it is never changes. */
unsigned mc_world_canonical(struct mc_world *w)
{
    struct mc_world best = *w;
    struct mc_world other;
    unsigned which = 0;

    for (unsigned perm = 1; perm < mc_n_perms; perm++) {
        const int d = compare_cells(w, perm, &best);

        if (d > 0)
            continue;
        rename_world(w, perm, &other);
        if (d < 0 || compare(&other, &best) < 0) {
            best = other;
            which = perm;
        }
    }
    *w = best;
    return which;
}

/* ---- as a record ---- */

static unsigned n_reads(void)
{
    return mc_scope.budgets[MC_READS] + mc_scope.budgets[MC_ASKS];
}

size_t mc_world_write(const struct mc_world *w, unsigned char record[MC_RECORD_MAX])
{
    struct mc_writer out = {record, record + MC_RECORD_MAX};
    uint32_t last = 0;

    for (unsigned i = 0; i < mc_scope.nodes; i++)
        mc_write(&out, w->cells[i]);
    mc_write(&out, w->ghost.n);
    for (unsigned i = 0; i < w->ghost.n; i++) {
        mc_write(&out, w->ghost.entries[i]);
        mc_write(&out, w->ghost.terms[i]);
    }
    for (unsigned i = mc_first_term; i <= mc_first_term + mc_scope.terms; i++)
        mc_write(&out, w->ghost.leaders[i]);
    for (unsigned i = 0; i < MC_BUDGETS; i++)
        if (mc_scope.budgets[i] > 0)
            mc_write(&out, w->used[i]);
    for (unsigned i = 0; i < n_reads(); i++) {
        mc_write(&out, w->reads[i].state);
        if (w->reads[i].state != MC_NO_READ) {
            mc_write(&out, w->reads[i].slot);
            mc_write(&out, w->reads[i].floor);
            mc_write(&out, w->reads[i].ticket);
        }
    }
    for (unsigned i = 0; mc_scope.pairs && i <= w->used[MC_TICKS]; i++)
        mc_write(&out, w->ghost.at_tick[i]);
    mc_write(&out, w->n_msgs);
    for (unsigned i = 0; i < w->n_msgs; i++) {
        mc_write(&out, w->msgs[i] - last);
        last = w->msgs[i];
    }
    return (size_t)(out.at - record);
}

void mc_world_read(const unsigned char *record, size_t len, struct mc_world *w)
{
    struct mc_reader in = {record, record + len};
    uint32_t last = 0;

    memset(w, 0, sizeof(*w));
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        w->cells[i] = (uint32_t)mc_read(&in);
    w->ghost.n = (unsigned)mc_read(&in);
    for (unsigned i = 0; i < w->ghost.n; i++) {
        w->ghost.entries[i] = (uint32_t)mc_read(&in);
        w->ghost.terms[i] = (uint8_t)mc_read(&in);
    }
    for (unsigned i = mc_first_term; i <= mc_first_term + mc_scope.terms; i++)
        w->ghost.leaders[i] = (uint8_t)mc_read(&in);
    for (unsigned i = 0; i < MC_BUDGETS; i++)
        if (mc_scope.budgets[i] > 0)
            w->used[i] = (uint8_t)mc_read(&in);
    for (unsigned i = 0; i < n_reads(); i++) {
        w->reads[i].state = (uint8_t)mc_read(&in);
        if (w->reads[i].state != MC_NO_READ) {
            w->reads[i].slot = (uint8_t)mc_read(&in);
            w->reads[i].floor = (uint8_t)mc_read(&in);
            w->reads[i].ticket = (uint8_t)mc_read(&in);
        }
    }
    for (unsigned i = 0; mc_scope.pairs && i <= w->used[MC_TICKS]; i++)
        w->ghost.at_tick[i] = (uint8_t)mc_read(&in);
    w->n_msgs = (unsigned)mc_read(&in);
    for (unsigned i = 0; i < w->n_msgs; i++) {
        last += (uint32_t)mc_read(&in);
        w->msgs[i] = last;
    }
    rid_assert(in.at == in.end);
}
