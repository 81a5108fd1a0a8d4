/* Ways through the states, on cores that live from the beginning to the end and are never made from bytes.
 *
 * mc_show() plays the way to a violation and says what happens, in the words of the transcripts. The search knows states
 * only up to renaming: from action to action it is kept who is whom.
 *
 * mc_walk() goes at random, and compares after every step what the living core is with what the search takes it for: next
 * state, messages, answers. What images leave out (image.h) is put back to what the search has there, or it would differ. */
#include "mc/mc.h"
#include "raft/image_int.h"
#include "raft/raft_int.h"
#include "sim/print.h"

#include "base/banned.h"

struct living {
    struct mc_cell cells[MC_NODES_MAX];
    bool alive[MC_NODES_MAX];
    bool compare;
    bool loud;
};

static const char *name_of(void *ctx, raft_node_id id)
{
    (void)ctx;
    return id == 0 ? "-" : mc_servers[mc_slot(id)].name;
}

/* ---- what happens in a core ---- */

void mc_say_trace(void *ctx, const struct raft_trace *t)
{
    const struct mc_cell *c = ctx;
    const char *n = mc_servers[c->slot].name;
    const char *peer = t->peer <= mc_scope.nodes ? name_of(NULL, t->peer) : "?";

    if (!c->loud)
        return;
    switch (t->event) {
    case RAFT_TRACE_ROLE:
        printf("      %s is %s (%s)\n", n, raft_role_name(t->role), t->text);
        break;
    case RAFT_TRACE_LEADER:
        printf("      %s knows leader %s of term %" PRIu64 "\n", n, peer, t->term);
        break;
    case RAFT_TRACE_VOTE_GRANTED:
        printf("      %s grants %s\n", n, peer);
        break;
    case RAFT_TRACE_VOTE_REFUSED:
        printf("      %s refuses %s (%s)\n", n, peer, t->text);
        break;
    case RAFT_TRACE_TRUNCATED:
        printf("      %s truncates from %" PRIu64 "\n", n, t->index);
        break;
    case RAFT_TRACE_COMMIT:
        printf("      %s commits up to %" PRIu64 "\n", n, t->index);
        break;
    case RAFT_TRACE_ROUND:
        printf("      %s opens round %" PRIu64 " at read_index %" PRIu64 "\n", n, t->round,
               t->index);
        break;
    case RAFT_TRACE_CONFIGURATION:
        printf("      %s uses the configuration at %" PRIu64 "\n", n, t->index);
        break;
    case RAFT_TRACE_TRANSFER:
        printf("      %s transfer to %s: %s\n", n, peer, t->text);
        break;
    case RAFT_TRACE_PROBE:
        printf("      %s probes %s at %" PRIu64 "\n", n, peer, t->index);
        break;
    case RAFT_TRACE_GONE:
        printf("      %s finds nobody where %s was: %s\n", n, peer, t->text);
        break;
    case RAFT_TRACE_INVALID:
        printf("      %s finds a message of %s invalid: %s\n", n, peer, t->text);
        break;
    case RAFT_TRACE_COMPACTED:
    case RAFT_TRACE_INSTALL:
    case RAFT_TRACE_TERM_REFUSED:
    case RAFT_TRACE_TERM_CLIMB:
        break;
    }
}

/* ---- a living player ---- */

static void forget_peer(const struct raft *r, struct progress *p)
{
    const uint64_t timeout_us = r->conf.election_timeout_us;

    p->srtt_us = 0;
    p->rtt_round = 0;
    p->resend_us = r->conf.heartbeat_us;
    p->resent = false;
    p->append_sent_us = r->now_us - timeout_us;
    p->append_heard_us = r->now_us - timeout_us;
    raft_drift_forget(&p->drift);
    if (!mc_clocks_are_bound())
        p->last_heard_us = r->now_us - (raft_hears(r, p) ? 0 : timeout_us + 1);
}

static void forget_times(struct raft *r)
{
    r->n_late_elections = 0;
    r->election_due_us = r->now_us;
    r->heartbeat_due_us = r->now_us;
    r->tick_due_us = r->now_us;
    if (r->leader_id != 0)
        r->leader_heard_us = r->now_us - (raft_hears_leader(r) ? 0 : r->conf.election_timeout_us);
    if (r->early.leader != 0)
        r->early.since_us =
            r->now_us -
            (r->now_us - r->early.since_us < RAFT_EARLY_APART_US ? 0 : RAFT_EARLY_APART_US);
    r->rounds.last_us = r->now_us - RAFT_ROUND_PATIENCE_US;
    for (unsigned i = 0; i < ROUND_TIMES; i++)
        r->rounds.times[i] = (struct round_time){0};
    r->asks.due_us = r->asks.due_us > r->now_us ? r->now_us + r->conf.election_timeout_us : 0;
    r->pairs.n = 0;
}

/* By hand what the comment of enum raft_image_grain says is left out. */
static void forget(struct raft *r, uint64_t seed)
{
    prng_init(&r->prng, seed);
    r->rounds.srtt_us = 0;
    r->asks.srtt_us = 0;
    for (unsigned i = 0; i < r->n_progress; i++)
        forget_peer(r, &r->progress[i]);
    if (!mc_clocks_are_bound())
        forget_times(r);
    for (unsigned i = 0; i < ROUND_TIMES; i++)
        if (r->role != RAFT_LEADER ||
            r->rounds.times[i].round < raft_image_first_round(r, false))
            r->rounds.times[i] = (struct round_time){0};
    if (r->role == RAFT_LEADER)
        return;
    r->rounds.next = 1;
    r->rounds.confirmed = 0;
    raft_seen_take(r);
}

/* What is on its way left just now. */
static void measure_nothing(struct mc_cell *c)
{
    for (unsigned i = 0; i < RAFT_ASKS_MAX; i++)
        c->raft->asks.out[i].sent_us = c->now_us;
    for (unsigned i = 0; i < ROUND_TIMES; i++)
        c->raft->rounds.times[i].opened_us = c->now_us;
}

static bool same(const struct mc_outcome *a, const struct mc_outcome *b)
{
    return a->next == b->next && a->n_msgs == b->n_msgs && a->n_events == b->n_events &&
           memcmp(a->msgs, b->msgs, a->n_msgs * sizeof(a->msgs[0])) == 0 &&
           memcmp(a->events, b->events, a->n_events * sizeof(a->events[0])) == 0;
}

/* A core that was refused something is put aside for one that was not asked. */
static void refuse(struct living *l, unsigned slot, uint32_t cell)
{
    mc_cell_done(&l->cells[slot]);
    mc_cell_read(cell, &l->cells[slot]);
    l->cells[slot].loud = l->loud;
    l->cells[slot].conf.trace = mc_say_trace;
}

static void play_living(void *ctx, unsigned slot, uint32_t cell, enum mc_input what, uint32_t arg,
                        struct mc_outcome *ret)
{
    struct living *l = ctx;
    struct mc_cell *c = &l->cells[slot];
    struct mc_outcome by_number;

    if (!l->alive[slot]) {
        mc_cell_begin(c, slot);
        forget(c->raft, c->conf.seed);
        l->alive[slot] = true;
    }
    c->loud = l->loud;
    c->conf.trace = mc_say_trace;
    c->raft->conf.trace = mc_say_trace;
    c->raft->conf.trace_ctx = c;
    measure_nothing(c);
    if (mc_cell_step_caught(c, what, arg, ret)) {
        if (ret->n_events == 1 && ret->events[0] == mc_event_make(MC_ABORTED, 0, 0))
            return;
        forget(c->raft, c->conf.seed);
        ret->next = mc_cell_write(c);
    } else {
        refuse(l, slot, cell);
    }
    if (!l->compare)
        return;
    mc_step(cell, what, arg, &by_number);
    if (!same(ret, &by_number)) {
        fprintf(stderr,
                "mc: n%u goes another way alive (node %u, %u messages, %u events) than by number "
                "(node %u, %u, %u) at input %d %u\n",
                slot + 1, ret->next, ret->n_msgs, ret->n_events, by_number.next, by_number.n_msgs,
                by_number.n_events, (int)what, arg);
        exit(1);
    }
}

static void bury_living(struct living *l)
{
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        if (l->alive[i])
            mc_cell_done(&l->cells[i]);
}

/* ---- what is said ---- */

static void say_msg(const char *before, uint32_t msg)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct raft_entry room[MC_LOG_MAX];
    const struct raft_msg m = mc_msg(msg, room);

    sim_print_msg(&b, &m, name_of, NULL);
    printf("%s%.*s", before, (int)b.len, (const char *)b.data);
}

static void say_node(unsigned slot, uint32_t cell)
{
    const struct mc_face *f = mc_face(cell);
    unsigned n;
    const uint32_t *log = mc_log(f->log, &n);

    printf("    n%u %s term=%u commit=%u log:", slot + 1, raft_role_name((enum raft_role)f->role),
           f->term, f->commit);
    for (unsigned i = 0; i < n; i++)
        printf("%s %" PRIu64 "/%u", i == f->n_durable ? " |" : "", mc_entry(log[i])->id.term,
               i + 1);
    printf("%s\n", f->n_batches > 0 ? " (not all on disk)" : "");
}

static const char *change_name(uint32_t kind)
{
    switch ((enum mc_change)kind) {
    case MC_ADD_VOTER:
        return "add voter";
    case MC_REMOVE_VOTER:
        return "remove voter";
    case MC_ADD_LEARNER:
        return "add learner";
    case MC_PROMOTE:
        return "promote";
    case MC_DEMOTE:
        return "demote";
    }
    return "?";
}

static void say_action(unsigned number, struct mc_action a)
{
    const unsigned slot = a.slot + 1;

    printf("%4u. ", number);
    switch (a.what) {
    case MC_ACT_DELIVER:
        say_msg("deliver ", a.arg);
        break;
    case MC_ACT_AGAIN:
        say_msg("deliver, and it will come again: ", a.arg);
        break;
    case MC_ACT_STORE:
        printf("store n%u: its oldest batch is durable", slot);
        break;
    case MC_ACT_WAIT:
        printf("wait n%u: it has heard no leader for long", slot);
        break;
    case MC_ACT_CAMPAIGN:
        printf("campaign n%u", slot);
        for (unsigned i = 0; i < mc_scope.nodes; i++)
            if ((a.arg & 1u << i) != 0)
                printf(", heard by n%u", i + 1);
        break;
    case MC_ACT_BEAT:
        printf("beat n%u: its heartbeat is due", slot);
        break;
    case MC_ACT_QUIET:
        printf("quiet n%u: it looks whom it heard, after a long time", slot);
        break;
    case MC_ACT_PROPOSE:
        printf("propose n%u", slot);
        break;
    case MC_ACT_READ:
        printf("read n%u", slot);
        break;
    case MC_ACT_CRASH:
        printf("crash n%u, and it starts again", slot);
        break;
    case MC_ACT_TRANSFER:
        printf("transfer n%u n%u", slot, a.arg + 1);
        break;
    case MC_ACT_CHANGE:
        printf("change n%u: %s n%u", slot, change_name(a.arg >> 4), (a.arg & 15) + 1);
        break;
    case MC_ACT_LINK:
        printf("link n%u n%u: breaks and comes back", slot, a.arg + 1);
        break;
    case MC_ACT_GONE:
        printf("gone n%u: it is told that nobody listens where its leader is", slot);
        break;
    case MC_ACT_RATES:
        printf("clocks:");
        for (unsigned i = 0; i < mc_scope.nodes; i++)
            printf(" n%u %s", i + 1, (a.arg & 1u << i) != 0 ? "fast" : "slow");
        break;
    case MC_ACT_PASS:
        printf("a tick passes");
        for (unsigned i = 0; i < mc_scope.nodes; i++)
            if ((a.arg & 1u << i) != 0)
                printf(", in which n%u is suspended", i + 1);
        break;
    case MC_ACT_LOOK:
        printf("look n%u: at its clock", slot);
        break;
    case MC_ACT_ASK:
        printf("ask n%u", slot);
        break;
    case MC_ACT_REASK:
        printf("ask again n%u: it has waited for long", slot);
        break;
    }
    printf("\n");
}

/* ---- who is whom ---- */

static unsigned perm_of(const unsigned char names[])
{
    for (unsigned p = 0; p < mc_n_perms; p++)
        if (memcmp(mc_perms[p], names, mc_scope.nodes) == 0)
            return p;
    rid_assert(false);
    return 0;
}

/* A state that was renamed by `by`: who was slot i there is by[i] now. */
static unsigned follow(unsigned perm, unsigned by)
{
    unsigned char names[MC_NODES_MAX] = {0};

    for (unsigned i = 0; i < mc_scope.nodes; i++)
        names[mc_perms[by][i]] = mc_perms[perm][i];
    return perm_of(names);
}

static struct mc_action rename_action(struct mc_action a, unsigned perm)
{
    const unsigned char *names = mc_perms[perm];
    const bool of_all = a.what == MC_ACT_RATES || a.what == MC_ACT_PASS;
    struct mc_action to = {.what = a.what, .slot = of_all ? 0 : names[a.slot], .arg = a.arg};

    switch (a.what) {
    case MC_ACT_DELIVER:
    case MC_ACT_AGAIN:
        to.arg = mc_msg_renamed(a.arg, perm);
        break;
    case MC_ACT_CAMPAIGN:
    case MC_ACT_RATES:
    case MC_ACT_PASS:
        to.arg = 0;
        for (unsigned i = 0; i < mc_scope.nodes; i++)
            if ((a.arg & 1u << i) != 0)
                to.arg |= 1u << names[i];
        break;
    case MC_ACT_TRANSFER:
    case MC_ACT_LINK:
        to.arg = names[a.arg];
        break;
    case MC_ACT_CHANGE:
        to.arg = (a.arg & ~15u) | names[a.arg & 15];
        break;
    case MC_ACT_STORE:
    case MC_ACT_WAIT:
    case MC_ACT_BEAT:
    case MC_ACT_QUIET:
    case MC_ACT_PROPOSE:
    case MC_ACT_READ:
    case MC_ACT_CRASH:
    case MC_ACT_LOOK:
    case MC_ACT_ASK:
    case MC_ACT_GONE:
    case MC_ACT_REASK:
        break;
    }
    return to;
}

void mc_show(const uint32_t *actions, unsigned n, bool renamed)
{
    static struct living l;
    const struct mc_player player = {.play = play_living, .ctx = &l};
    struct mc_verdict v = {{0}};
    struct mc_verdict ignored = {{0}};
    struct mc_world known; /* as the search has it */
    struct mc_world real;
    unsigned perm = 0;

    memset(&l, 0, sizeof(l));
    mc_world_begin(&known, &mc_by_number, &ignored);
    mc_world_begin(&real, &player, &v);
    if (renamed)
        perm = follow(0, mc_world_canonical(&known));
    printf("   0. n1 leads term %u\n", mc_first_term);
    l.loud = true;
    for (unsigned i = 0; i < n && v.text[0] == '\0'; i++) {
        const struct mc_action a = mc_action_unpack(actions[i]);
        const struct mc_action as = rename_action(a, perm);
        const struct mc_world before = real;

        say_action(i + 1, as);
        (void)fflush(stdout); /* before what an assertion says */
        if (!mc_world_act(&real, as, &player, &v)) {
            printf("mc: the way to it is not the way that living cores go\n");
            exit(1);
        }
        for (unsigned k = 0; k < mc_scope.nodes; k++)
            if (real.cells[k] != before.cells[k])
                say_node(k, real.cells[k]);
        (void)mc_world_act(&known, a, &mc_by_number, &ignored);
        if (renamed && ignored.text[0] == '\0')
            perm = follow(perm, mc_world_canonical(&known));
    }
    for (unsigned i = 0; i < real.n_msgs; i++)
        say_msg(i == 0 ? "under way: " : "           ", real.msgs[i]), printf("\n");
    printf("mc: %s\n", v.text[0] != '\0' ? v.text : "living cores do not do it");
    bury_living(&l);
}

void mc_walk(uint64_t seed, unsigned n_ways, unsigned n_steps)
{
    static struct living l;
    const struct mc_player player = {.play = play_living, .ctx = &l};
    struct mc_action actions[MC_ACTIONS_MAX];
    struct prng prng;
    uint64_t taken = 0;

    prng_init(&prng, seed);
    for (unsigned way = 0; way < n_ways; way++) {
        struct mc_verdict v = {{0}};
        struct mc_world w;

        memset(&l, 0, sizeof(l));
        l.compare = true;
        mc_world_begin(&w, &player, &v);
        for (unsigned i = 0; i < n_steps && v.text[0] == '\0'; i++) {
            const unsigned n = mc_world_actions(&w, actions);
            const struct mc_world before = w;

            if (n == 0)
                break;
            taken++;
            if (!mc_world_act(&w, actions[prng_below(&prng, n)], &player, &v)) {
                w = before; /* some nodes may have gone on, and are what they were once more */
                for (unsigned k = 0; k < mc_scope.nodes; k++)
                    refuse(&l, k, w.cells[k]);
            }
        }
        bury_living(&l);
        if (v.text[0] != '\0') {
            printf("mc: VIOLATION in way %u of seed %" PRIu64 ": %s\n", way, seed, v.text);
            exit(1);
        }
    }
    printf("mc: %" PRIu64 " steps in %u ways: living cores are what the search takes them for\n",
           taken, n_ways);
}
