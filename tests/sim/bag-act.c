/* What may happen in one step of the bag test, and how the dice fall for a seed. */
#include <stdlib.h>

#include "sim/bag.h"

#include "base/banned.h"

/* ---- actions ---- */

static void act_deliver(void)
{
    size_t i;
    struct raft_msg *m;

    if (bag.n_late > 0 && bag_chance(bag.odds.late_comes)) {
        i = bag_below(bag.n_late);
        m = bag.late[i];
        bag.late[i] = bag.late[--bag.n_late];
        bag_give(m);
        free(m);
        return;
    }
    if (bag.n_msgs == 0)
        return;
    i = bag_chance(bag.odds.in_order) ? 0 : bag_below(bag.n_msgs);
    /* Across a cut only now and then something comes through. */
    for (; i < bag.n_msgs; i++) {
        m = bag.msgs[i];
        if (!bag.cut[bag_node_of_id(m->from)->slot][bag_node_of_id(m->to)->slot] ||
            bag_chance(bag.odds.leak))
            break;
    }
    if (i == bag.n_msgs)
        return;
    m = bag_take_msg(i);
    bag_give(m);
    free(m);
}

static void act_drop(void)
{
    struct raft_msg *m;

    if (bag.n_msgs == 0)
        return;
    m = bag_take_msg(bag_below(bag.n_msgs));
    bag_trace_msg("drop", m);
    free(m);
}

/* A second copy, soon or late. */
static void act_again(void)
{
    struct raft_msg *m;

    if (bag.n_msgs == 0)
        return;
    m = sim_msg_copy(bag.msgs[bag_below(bag.n_msgs)]);
    bag_trace_msg("again", m);
    if (bag.n_msgs < BAG_MAX && bag_chance(500))
        bag.msgs[bag.n_msgs++] = m;
    else
        bag_put_late(m);
}

static void act_tick(void)
{
    uint64_t us = 1 + bag_below(bag.odds.tick_us);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[i];

        if (n->rate == 0)
            continue;
        if (bag_chance(900))
            bag_advance(n, us * n->rate);
        else
            n->now_us += us * n->rate; /* time passes, nobody looks */
    }
}

/* Another append that a leader may send: any piece of its log, behind any entry of it. The core of
 * a leader finds the place where logs agree in few steps and hardly ever sends such a one, but the
 * follower's rules hold for all (COMMIT-4, LOG-7: it may acknowledge and commit only what
 * this message proves). */
static void act_piece(void)
{
    struct raft_entry entries[4];
    struct node *n = bag_any_leader();
    struct node *to = &bag.nodes[bag_below(bag.n_nodes)];
    const struct sim_log *log;
    struct raft_msg m;
    size_t back; /* entries from the base, if there is one, to the end */

    if (n == NULL || to == n)
        return;
    log = &n->disk.tail;
    m = (struct raft_msg){.type = RAFT_MSG_APPEND,
                          .from = n->id,
                          .to = to->id,
                          .term = raft_get_term(n->raft),
                          .leader_commit = raft_get_commit_index(n->raft),
                          .entries = entries};
    back = log->n - (n->disk.base.index > 0 ? n->disk.base.index - 1 : 0);
    m.prev = log->entries[log->n - 1 - bag_below(back < 8 ? back : 8)].id;
    for (unsigned many = (unsigned)bag_below(5);
         m.n_entries < many && m.prev.index + m.n_entries < log->n; m.n_entries++) {
        const struct sim_entry *e = &log->entries[m.prev.index + m.n_entries];

        entries[m.n_entries] = (struct raft_entry){.id = e->id,
                                                   .type = e->type,
                                                   .len = (uint32_t)sim_entry_len(e),
                                                   .data = sim_entry_data(e)};
    }
    bag_net_add(n, &m);
}

/* A stranger in a member's name, with a term that is too far above anybody's (TERM-4). What he
 * could do with a term that is possible is beyond what Raft promises to survive. */
static void act_forge(void)
{
    static const struct {
        enum raft_msg_type type;
        bool reject;
    } kinds[] = {{RAFT_MSG_VOTE, false},         {RAFT_MSG_APPEND, false},
                 {RAFT_MSG_HEARTBEAT, false},    {RAFT_MSG_TIMEOUT_NOW, false},
                 {RAFT_MSG_PRE_VOTE_RESP, true}, {RAFT_MSG_VOTE_RESP, true},
                 {RAFT_MSG_APPEND_RESP, true},   {RAFT_MSG_HEARTBEAT_RESP, true}};
    struct node *n = bag_any_node();
    struct node *from = &bag.nodes[bag_below(bag.n_nodes)];
    unsigned kind = (unsigned)bag_below(sizeof(kinds) / sizeof(kinds[0]));
    struct raft_msg m;

    if (n == NULL || n == from)
        return;
    m = (struct raft_msg){.type = kinds[kind].type,
                          .from = from->id,
                          .to = n->id,
                          .term = raft_get_term(n->raft) + bag.term_step + 1 + bag_below(1000),
                          .reject = kinds[kind].reject,
                          .transfer = kinds[kind].type == RAFT_MSG_VOTE};
    if (m.type == RAFT_MSG_VOTE || m.type == RAFT_MSG_APPEND)
        m.prev = (struct raft_entry_id){1, 1};
    bag.counts[N_FORGED]++;
    bag_give(&m);
}

/* One node was asleep. */
static void act_jump(void)
{
    struct node *n = bag_any_node();

    if (n == NULL)
        return;
    n->now_us += bag_below(3 * ELECTION_US);
    if (bag_chance(500))
        bag_advance(n, 0);
}

static void act_ready(void)
{
    struct node *n = bag_any_node();

    if (n != NULL)
        bag_take_ready(n);
}

static void act_loaded(void)
{
    struct node *n = bag_any_node();

    if (n == NULL || !n->read_asked)
        return;
    bag_log_loaded(n);
    if (bag_chance(bag.odds.ready_at_once))
        bag_take_ready(n);
}

static void act_store(void)
{
    struct node *n = bag_any_node();

    if (n != NULL)
        bag_store_one(n);
}

static void act_apply(void)
{
    struct node *n = bag_any_node();

    if (n != NULL)
        bag_apply_all(n);
}

static void act_propose(void)
{
    struct node *n = bag_chance(900) ? bag_any_leader() : bag_any_node();
    unsigned many = bag_chance(200) ? bag_between(2, 6) : 1;

    for (; n != NULL && many > 0; many--) {
        char value[64];
        bool marker = bag_chance(50);
        struct raft_entry_id id;
        int len = snprintf(value, sizeof(value), "%" PRIu64, ++bag.next_value);
        int r = raft_propose(n->raft, marker ? RAFT_ENTRY_READ : RAFT_ENTRY_COMMAND, value,
                             marker ? 0 : (size_t)len, &id);

        if (r == RAFT_E_NOT_LEADER && raft_get_role(n->raft) == RAFT_LEADER)
            bag_fail("raft_propose", "%s leads and says it does not", n->name);
        if (r != 0 && r != RAFT_E_NOT_LEADER && r != RAFT_E_BUSY && r != RAFT_E_GATED)
            bag_fail("raft_propose", "%s: %d", n->name, r);
        if (r == RAFT_E_GATED && raft_can_serve(n->raft))
            bag_fail("raft_propose", "%s is gated and is not", n->name);
        if (r != 0)
            break;
        bag_trace("propose %s %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
        if (id.term != raft_get_term(n->raft) || raft_term_at(n->raft, id.index) != id.term)
            bag_fail("raft_propose", "%s: %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
        n->last_own = id;
        bag_after_input(n);
    }
}

static bool is_newest_leader(const struct node *n)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER &&
            raft_get_term(bag.nodes[i].raft) > raft_get_term(n->raft))
            return false;
    return true;
}

void bag_read_at(struct node *n)
{
    struct read read = {.floor = bag.n_agreed, .term = raft_get_term(n->raft)};
    int r;

    if (n->n_reads == READS_MAX)
        return;
    if (n->last_own.term == read.term && bag_chance(300))
        read.min_index = n->last_own.index;
    read.ctx = bag.next_ctx++;
    r = raft_read(n->raft, read.ctx, read.min_index, n->now_us);
    if ((r == 0) != (raft_get_role(n->raft) == RAFT_LEADER))
        bag_fail("raft_read", "%s: %d", n->name, r);
    if (r != 0)
        return;
    bag_trace("read %" PRIu64 " asked of %s, floor %" PRIu64 " min %" PRIu64, read.ctx, n->name,
              read.floor, read.min_index);
    n->reads[n->n_reads++] = read;
    bag.counts[N_READS]++;
    bag.counts[N_READS_STALE_LEADER] += !is_newest_leader(n);
    bag_after_input(n);
}

/* All that think they lead are asked: the old one is the one to catch. */
static void act_read(void)
{
    for (unsigned i = 0; i < bag.n_nodes; i++)
        if (bag.nodes[i].raft != NULL && raft_get_role(bag.nodes[i].raft) == RAFT_LEADER)
            bag_read_at(&bag.nodes[i]);
    if (bag_chance(20)) {
        struct node *n = bag_any_node();

        if (n != NULL)
            bag_read_at(n);
    }
}

static void act_transfer(void)
{
    struct node *n = bag_any_leader();
    raft_node_id to = bag_chance(300) ? 0 : bag.nodes[bag_below(bag.n_nodes)].id;
    int r;

    if (n == NULL)
        return;
    r = raft_transfer(n->raft, to, n->now_us);
    bag_trace("transfer %s to %s: %d", n->name, bag_name_of(NULL, to), r);
    bag.counts[N_TRANSFERS] += r == 0;
    if (r != 0 && r != RAFT_E_BUSY && r != RAFT_E_NOT_MEMBER && r != RAFT_E_UNFIT)
        bag_fail("raft_transfer", "%s: %d", n->name, r);
    bag_after_input(n);
}

/* One voter becomes a learner, or one learner a voter, and not always may it (MEMBER-1). */
static void act_change(void)
{
    struct node *n = bag_any_leader();
    struct raft_configuration c;
    struct raft_entry_id id;
    unsigned k;
    int r;

    if (n == NULL)
        return;
    c = *raft_get_configuration(n->raft);
    k = (unsigned)bag_below(c.n);
    c.servers[k].role = c.servers[k].role == RAFT_VOTER ? RAFT_LEARNER : RAFT_VOTER;
    r = raft_configure(n->raft, &c, raft_get_configuration_index(n->raft), bag_chance(500), &id);
    bag_trace("change %s: %s becomes a %s: %d", n->name, c.servers[k].name,
              c.servers[k].role == RAFT_VOTER ? "voter" : "learner", r);
    bag.counts[N_CHANGES] += r == 0;
    if (r != 0 && r != RAFT_E_GATED && r != RAFT_E_BUSY && r != RAFT_E_CHANGING &&
        r != RAFT_E_SELF && r != RAFT_E_QUORUM)
        bag_fail("raft_configure", "%s: %d", n->name, r);
    bag_after_input(n);
}

/* More often good than bad, but all may be bad at once: then nobody serves, and nothing is lost
 * (FIT-1, FIT-3). */
static void act_fitness(void)
{
    struct node *n = bag_chance(300) ? bag_any_leader() : bag_any_node();
    enum raft_fitness f = bag_chance(500) ? RAFT_FIT : (bag_chance(300) ? RAFT_PARKED : RAFT_UNFIT);

    if (n == NULL)
        return;
    bag_trace("fitness %s %s", n->name, raft_fitness_name(f));
    n->was_unfit |= f == RAFT_UNFIT;
    bag.counts[N_UNFIT] += f == RAFT_UNFIT;
    raft_set_fitness(n->raft, f, n->now_us);
    bag_after_input(n);
}

/* Its state machine is put back, or begins again; what is committed is handed out once more (FIT-5). */
static void act_rewind(void)
{
    struct node *n = bag_any_node();
    raft_index base;

    if (n == NULL || raft_get_role(n->raft) == RAFT_LEADER)
        return;
    base = n->disk.base.index;
    n->applied = bag_chance(500) ? base : base + bag_below(n->applied - base + 1);
    n->emitted = n->applied;
    bag_trace("rewind %s to %" PRIu64, n->name, n->applied);
    bag.counts[N_REWINDS]++;
    raft_rewind(n->raft, n->applied);
    bag_after_input(n);
}

/* Never more than a minority of the voters at once: then nothing may be lost, and nothing must wait
 * for ever. */
static void act_crash(void)
{
    struct node *n = bag_chance(400) ? bag_any_leader() : bag_any_node();
    unsigned down = 0;

    for (unsigned i = 0; i < bag.n_nodes; i++)
        down += bag.nodes[i].raft == NULL;
    if (n != NULL && (down == 0 || bag_chance(200)))
        bag_crash(n);
}

static void act_restart(void)
{
    unsigned at = (unsigned)bag_below(bag.n_nodes);

    for (unsigned i = 0; i < bag.n_nodes; i++) {
        struct node *n = &bag.nodes[(at + i) % bag.n_nodes];

        if (n->raft != NULL)
            continue;
        bag_start(n);
        return;
    }
}

/* A link breaks, loses what is on it, and comes back. */
static void act_link(void)
{
    struct node *a = &bag.nodes[bag_below(bag.n_nodes)], *b = &bag.nodes[bag_below(bag.n_nodes)];

    if (a == b)
        return;
    bag_trace("link %s %s", a->name, b->name);
    for (size_t i = 0; i < bag.n_msgs;) {
        const struct raft_msg *m = bag.msgs[i];

        if (((m->from == a->id && m->to == b->id) || (m->from == b->id && m->to == a->id)) &&
            bag_chance(700))
            free(bag_take_msg(i));
        else
            i++;
    }
    bag_tell_link(a, b, false);
    if (!bag.links_told || !bag.cut[a->slot][b->slot])
        bag_tell_link(a, b, true);
}

static void act_nemesis(void)
{
    struct node *n = bag_any_leader();
    struct node *m = &bag.nodes[bag_below(bag.n_nodes)];

    if (bag.step < bag.calm_until)
        return;
    if (n == NULL || bag_chance(300))
        n = &bag.nodes[bag_below(bag.n_nodes)];
    bag.counts[N_CUTS]++;
    bag.calm_until = bag.step + bag_below(bag.odds.calm);
    switch (bag_below(8)) {
    case 0:
    case 1:
        bag_trace("heal");
        bag_heal();
        break;
    case 2: /* one, mostly the leader, is alone and asleep while the others go on */
    case 3:
        bag_trace("alone and asleep: %s", n->name);
        for (unsigned i = 0; i < bag.n_nodes; i++) {
            bag.nodes[i].rate = bag_chance(500) ? 1 : 3;
            if (i != n->slot)
                bag_set_cut(n, &bag.nodes[i], true);
        }
        /* Or with a learner, if there is one. */
        if (bag.n_nodes > bag.n_voters && bag_chance(600))
            for (unsigned i = 0; i < bag.n_nodes; i++)
                if (i != bag.n_nodes - 1)
                    bag_set_cut(&bag.nodes[bag.n_nodes - 1], &bag.nodes[i], i != n->slot);
        n->rate = bag_chance(800) ? 0 : 1;
        /* What was on its way to it comes, but late. */
        for (size_t i = 0; i < bag.n_msgs;)
            if (bag.msgs[i]->to == n->id && bag_chance(800))
                bag_put_late(bag_take_msg(i));
            else
                i++;
        bag.calm_until = bag.step + bag.odds.calm / 2 + bag_below(bag.odds.calm);
        break;
    case 4: /* asleep, but not cut off */
        bag_trace("asleep: %s", n->name);
        n->rate = 0;
        break;
    case 5: /* one way only */
        if (n != m)
            bag.cut[n->slot][m->slot] = true;
        break;
    case 6: /* one pair */
        if (n != m)
            bag_set_cut(n, m, true);
        break;
    default:
        n->rate = bag_between(0, 3);
        break;
    }
}

void bag_draw_odds(void)
{
    static const unsigned sizes[20] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 4, 4, 2, 2, 1, 1, 3};
    struct odds *o = &bag.odds;

    bag.n_voters = sizes[bag_below(20)];
    bag.n_nodes = bag.n_voters + (bag_chance(250) && bag.n_voters < NODES_MAX ? 1 : 0);
    bag.rounds_max = bag_between(1, 4);
    bag.cache_bytes_max = bag_chance(500) ? 0 : 1u << 20;
    bag.append_bytes_max = bag_chance(500) ? bag_between(1, 40) : 1u << 16;
    bag.inflight_bytes_max = bag_chance(300) ? bag_between(1, 200) : 1u << 20;
    bag.links_told = bag_chance(500);
    o->deliver = bag_between(200, 500);
    o->tick = bag_between(20, 60);
    o->ready = bag_between(20, 150);
    o->store = bag_between(10, 150);
    o->propose = bag_between(5, 40);
    o->read = bag_between(10, 50);
    o->drop = bag_chance(500) ? 0 : bag_between(1, 40);
    o->again = bag_chance(300) ? 0 : bag_between(1, 40);
    o->apply = bag_between(5, 40);
    o->crash = bag_chance(400) ? 0 : bag_between(1, 6);
    o->restart = bag_between(5, 30);
    o->link = bag_chance(500) ? 0 : bag_between(1, 10);
    o->transfer = bag_chance(500) ? 0 : bag_between(1, 8);
    o->nemesis = bag_chance(200) ? 0 : bag_between(3, 15);
    o->jump = bag_chance(400) ? 0 : bag_between(1, 8);
    o->piece = bag_chance(300) ? 0 : bag_between(1, 15);
    o->in_order = bag_between(0, 4) * 240;
    o->late = bag_chance(300) ? 0 : bag_between(1, 100);
    o->late_comes = bag_between(1, 60);
    o->leak = bag_chance(300) ? 0 : bag_between(1, 80);
    o->ready_at_once = bag_between(1, 10) * 100;
    o->store_at_once = bag_between(0, 10) * 100;
    o->apply_at_once = bag_between(2, 10) * 100;
    o->append_lost = bag_chance(700) ? 0 : bag_between(1, 300);
    o->answers_late = bag_chance(500) ? o->late : bag_between(50, 400);
    o->tick_us = bag_chance(700) ? HEARTBEAT_US : bag_between(HEARTBEAT_US / 4, ELECTION_US);
    o->calm = bag_between(1, 400);
    /* A third of the runs is about leaders that do not know that they are deposed, a third about
     * leaders that follow each other quickly and leave their logs behind. */
    switch (bag_below(3)) {
    case 0:
        o->read = bag_between(40, 80);
        o->nemesis = bag_between(8, 15);
        o->crash = bag_chance(700) ? 0 : 1;
        o->jump = 0;
        o->in_order = bag_between(2, 4) * 240;
        o->late_comes = bag_between(20, 60);
        o->answers_late = bag_between(100, 500);
        o->tick_us = HEARTBEAT_US;
        o->calm = bag_between(200, 600);
        o->ready_at_once = bag_between(7, 10) * 100;
        o->store_at_once = bag_between(5, 10) * 100;
        break;
    case 1:
        o->propose = bag_between(20, 60);
        o->crash = bag_between(2, 10);
        o->restart = bag_between(20, 60);
        o->transfer = bag_between(0, 8);
        o->in_order = bag_between(2, 4) * 240;
        o->append_lost = bag_between(200, 800);
        o->tick_us = bag_between(HEARTBEAT_US, ELECTION_US);
        o->ready_at_once = bag_between(5, 10) * 100;
        o->store = bag_between(3, 50);
        o->store_at_once = bag_chance(500) ? bag_between(5, 10) * 100 : 0;
        bag.append_bytes_max = bag_chance(700) ? 1 : bag.append_bytes_max;
        break;
    default:
        break;
    }
}

void bag_act(void)
{
    const struct {
        unsigned weight;
        void (*run)(void);
    } actions[] = {
        {bag.odds.deliver, act_deliver},   {bag.odds.tick, act_tick},
        {bag.odds.ready, act_ready},       {bag.odds.store, act_store},
        {bag.odds.propose, act_propose},   {bag.odds.read, act_read},
        {bag.odds.drop, act_drop},         {bag.odds.again, act_again},
        {bag.odds.apply, act_apply},       {bag.odds.crash, act_crash},
        {bag.odds.restart, act_restart},   {bag.odds.link, act_link},
        {bag.odds.transfer, act_transfer}, {bag.odds.nemesis, act_nemesis},
        {bag.odds.loaded, act_loaded},     {bag.odds.jump, act_jump},
        {bag.odds.piece, act_piece},       {bag.odds.forge, act_forge},
        {bag.odds.fitness, act_fitness},   {bag.odds.rewind, act_rewind},
        {bag.odds.change, act_change},
    };
    size_t n = sizeof(actions) / sizeof(actions[0]);
    unsigned sum = 0;
    uint64_t at;

    for (size_t i = 0; i < n; i++)
        sum += actions[i].weight;
    at = bag_below(sum);
    for (size_t i = 0; i < n; i++) {
        if (at < actions[i].weight) {
            actions[i].run();
            return;
        }
        at -= actions[i].weight;
    }
}
