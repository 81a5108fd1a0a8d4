/* What one node does with one input, until it is at rest again: ready is taken, its messages leave, what is committed is
 * applied at once. A node does the same with the same input whenever and wherever it is in the same state, so that this is
 * remembered by number: most of a search never calls a core. */
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "mc/mc.h"
#include "raft/raft_int.h"

#include "base/banned.h"

struct mc_counts mc_counts;

/* ---- the host of a core ---- */

static void send(struct mc_outcome *out, uint32_t msg)
{
    rid_assert(out->n_msgs < MC_OUT_MAX);
    out->msgs[out->n_msgs++] = msg;
}

static void event(struct mc_outcome *out, enum mc_event what, uint64_t a, uint64_t b)
{
    rid_assert(out->n_events < MC_EVENTS_MAX);
    out->events[out->n_events++] = mc_event_make(what, (unsigned)a, (unsigned)b);
}

static void take_batch(struct mc_cell *c, const struct raft_ready *rd)
{
    struct mc_batch *b;

    if (rd->batch == 0)
        return;
    rid_assert(rd->batch == c->last_durable + c->n_batches + 1);
    rid_assert(rd->reset.index == 0);
    rid_assert(c->n_batches < MC_BATCHES_MAX);
    b = &c->batches[c->n_batches++];
    b->hard_state = rd->hard_state;
    b->truncate_from = rd->truncate_from;
    b->commit_index = c->spared ? 1 : rd->commit_index;
    b->n = rd->n_entries;
    rid_assert(b->n <= MC_LOG_MAX);
    for (unsigned i = 0; i < b->n; i++)
        b->entries[i] = mc_entry_put(&rd->entries[i]);
}

static void take_msgs(struct mc_cell *c, const struct raft_ready *rd, struct mc_outcome *out)
{
    for (unsigned i = 0; i < rd->n_msgs; i++)
        send(out, mc_msg_put(&rd->msgs[i]));
    for (unsigned i = 0; i < rd->n_msgs_after_store; i++) {
        const uint32_t msg = mc_msg_put(&rd->msgs_after_store[i]);

        if (rd->after_batch <= c->last_durable) {
            send(out, msg);
            continue;
        }
        rid_assert(c->n_held < MC_HELD_MAX);
        c->held[c->n_held++] = (struct mc_held){.after_batch = rd->after_batch, .msg = msg};
    }
}

/* True: there was something. */
static bool take_ready(struct mc_cell *c, struct mc_outcome *out)
{
    struct raft_ready rd;

    raft_ready(c->raft, c->now_us, &rd);
    rid_assert(rd.log_error == 0);
    take_batch(c, &rd);
    take_msgs(c, &rd, out);
    for (unsigned i = 0; i < rd.n_reads; i++)
        event(out, MC_READ_DONE, rd.reads[i].ctx, rd.reads[i].read_index);
    for (unsigned i = 0; i < rd.n_reads_failed; i++)
        event(out, MC_READ_FAILED, rd.reads_failed[i], 0);
    if (rd.answered.ticket != 0)
        event(out, MC_ANSWERED, rd.answered.ticket, rd.answered.read_index);
    if (rd.n_committed > 0)
        raft_applied(c->raft, rd.committed[rd.n_committed - 1].id.index);
    return rd.batch != 0 || rd.n_msgs > 0 || rd.n_msgs_after_store > 0 || rd.n_committed > 0;
}

static void complete(struct mc_cell *c, struct mc_outcome *out)
{
    const struct mc_batch *b = &c->batches[0];
    unsigned kept = 0;

    c->hard_state = b->hard_state;
    c->commit_index = b->commit_index;
    if (b->truncate_from != 0)
        c->n_log = (unsigned)b->truncate_from - 1;
    rid_assert(c->n_log + b->n <= MC_LOG_MAX);
    memcpy(c->log + c->n_log, b->entries, b->n * sizeof(b->entries[0]));
    c->n_log += b->n;
    c->n_batches--;
    memmove(&c->batches[0], &c->batches[1], c->n_batches * sizeof(c->batches[0]));
    c->last_durable++;
    for (unsigned i = 0; i < c->n_held; i++) {
        if (c->held[i].after_batch > c->last_durable)
            c->held[kept++] = c->held[i];
        else
            send(out, c->held[i].msg);
    }
    c->n_held = kept;
    raft_stored(c->raft, c->last_durable, c->now_us);
}

static void come_to_rest(struct mc_cell *c, struct mc_outcome *out)
{
    bool more = true;

    for (unsigned guard = 0; more; guard++) {
        rid_assert(guard < 50);
        more = take_ready(c, out);
        while (mc_scope.disk == MC_DISK_AT_ONCE && c->n_batches > 0) {
            complete(c, out);
            more = true;
        }
    }
    raft_check(c->raft);
}

/* ---- inputs ---- */

static bool change_members(struct mc_cell *c, unsigned kind, unsigned slot)
{
    struct raft_configuration members = *raft_get_configuration(c->raft);
    const raft_index index = raft_get_configuration_index(c->raft);
    const struct raft_server *s = raft_configuration_get(&members, mc_id(slot));
    struct raft_entry_id id;

    switch ((enum mc_change)kind) {
    case MC_ADD_VOTER:
    case MC_ADD_LEARNER:
        if (s != NULL)
            return false;
        (void)raft_configuration_add(&members, mc_id(slot), mc_servers[slot].name,
                                     kind == MC_ADD_VOTER ? RAFT_VOTER : RAFT_LEARNER, "", "");
        break;
    case MC_REMOVE_VOTER:
        if (s == NULL || s->role != RAFT_VOTER)
            return false;
        (void)raft_configuration_remove(&members, mc_id(slot), 0);
        break;
    case MC_PROMOTE:
    case MC_DEMOTE:
        if (s == NULL || s->role != (kind == MC_PROMOTE ? RAFT_LEARNER : RAFT_VOTER))
            return false;
        members.servers[s - members.servers].role = kind == MC_PROMOTE ? RAFT_VOTER : RAFT_LEARNER;
        break;
    }
    return raft_configure(c->raft, &members, index, true, &id) == 0;
}

static bool deliver(struct mc_cell *c, uint32_t msg, struct mc_outcome *out)
{
    struct raft_entry room[MC_LOG_MAX];
    const struct raft_msg m = mc_msg(msg, room);
    const int rc = raft_step(c->raft, &m, c->now_us);

    if (rc != 0)
        event(out, MC_REFUSED_MSG, (uint64_t)rc, m.type);
    return true;
}

static bool propose(struct mc_cell *c, uint32_t number)
{
    const unsigned char value = (unsigned char)('a' + number);
    struct raft_entry_id id;

    return raft_propose(c->raft, RAFT_ENTRY_COMMAND, &value, 1, &id) == 0;
}

/* Clocks that go as they like go on together. */
static void let_pass(struct mc_cell *c, uint64_t until_us)
{
    if (until_us <= c->now_us)
        return;
    c->hold_us += until_us - c->now_us;
    c->now_us = until_us;
}

static bool look_at_clock(struct mc_cell *c, uint64_t until_us)
{
    let_pass(c, until_us);
    raft_hold(c->raft, c->now_us, c->hold_us);
    raft_tick(c->raft, c->now_us);
    return true;
}

/* The process dies. Where ages are asked for it is the machine, and its clocks begin again. */
static void crash(struct mc_cell *c)
{
    mc_cell_done(c);
    c->boots++;
    if (mc_scope.pairs) {
        c->now_us = MC_EPOCH_US;
        c->hold_us = MC_EPOCH_US;
    }
    mc_cell_start(c);
}

static void pass(struct mc_cell *c, bool suspended)
{
    const uint64_t us = c->rate == 2 ? MC_FAST_US : MC_SLOW_US;

    c->hold_us += us;
    if (!suspended)
        c->now_us += us;
}

/* It campaigns at once: chance may give no time at all (FAILOVER-3). */
static bool is_told_gone(struct mc_cell *c)
{
    raft_gone(c->raft, raft_get_leader(c->raft), c->now_us);
    if (raft_early_is_on(c->raft))
        c->raft->election_due_us = c->now_us;
    return true;
}

static bool feed(struct mc_cell *c, enum mc_input what, uint32_t arg, struct mc_outcome *out)
{
    const bool leads = raft_get_role(c->raft) == RAFT_LEADER;

    switch (what) {
    case MC_DELIVER:
        return deliver(c, arg, out);
    case MC_STORE:
        if (c->n_batches == 0)
            return false;
        complete(c, out);
        return true;
    case MC_WAIT:
        let_pass(c, c->now_us + MC_ELECTION_US);
        let_pass(c, raft_tick_due_us(c->raft));
        return !leads;
    case MC_CAMPAIGN:
        return !leads && look_at_clock(c, raft_tick_due_us(c->raft));
    case MC_BEAT:
        return leads &&
               look_at_clock(c, arg == 0 ? raft_tick_due_us(c->raft) : c->now_us + MC_ELECTION_US);
    case MC_QUIET:
        return leads && look_at_clock(c, c->now_us + MC_ELECTION_US + 1);
    case MC_PROPOSE:
        return propose(c, arg);
    case MC_READ:
        return raft_read(c->raft, arg, 0, c->now_us) == 0;
    case MC_CRASH:
        crash(c);
        return true;
    case MC_TRANSFER:
        return raft_transfer(c->raft, mc_id(arg), c->now_us) == 0;
    case MC_CHANGE:
        return change_members(c, arg >> 4, arg & 15);
    case MC_SPARE:
        c->spared = true;
        c->commit_index = 1;
        for (unsigned i = 0; i < c->n_batches; i++)
            c->batches[i].commit_index = 1;
        return true;
    case MC_RATE:
        c->rate = arg;
        return true;
    case MC_PASS:
        pass(c, arg != 0);
        return true;
    case MC_LOOK:
        return look_at_clock(c, c->now_us);
    case MC_ASK:
        event(out, MC_TICKET, raft_ask(c->raft, c->now_us), 0);
        return true;
    case MC_REASK:
        let_pass(c, c->now_us + MC_ELECTION_US);
        return true;
    case MC_LINK:
        raft_link(c->raft, mc_id(arg), false, c->now_us);
        raft_link(c->raft, mc_id(arg), true, c->now_us);
        return true;
    case MC_GONE:
        return is_told_gone(c);
    }
    return false;
}

/* Both clocks are told before each call, and that everybody understands everything. */
static void tell(struct mc_cell *c)
{
    raft_hold(c->raft, c->now_us, c->hold_us);
    /* Of a stranger: nothing happens but that time goes on. */
    raft_link(c->raft, MC_NODES_MAX + 1, true, c->now_us);
    for (unsigned i = 0; i < mc_scope.nodes; i++)
        raft_understands_asks(c->raft, mc_id(i), true);
}

bool mc_cell_step(struct mc_cell *c, enum mc_input what, uint32_t arg, struct mc_outcome *ret)
{
    ret->next = MC_NONE;
    ret->n_msgs = 0;
    ret->n_events = 0;
    if (what == MC_PASS)
        return feed(c, what, arg, ret); /* nobody looks */
    tell(c);
    if (!feed(c, what, arg, ret))
        return false;
    tell(c);
    come_to_rest(c, ret);
    (void)mc_cell_has_lease(c); /* an assertion behind it is caught here */
    return true;
}

/* ---- an assertion of a core is a violation like another ---- */

static sigjmp_buf jump;
static volatile sig_atomic_t armed;

static void on_abort(int number)
{
    (void)number;
    if (armed)
        siglongjmp(jump, 1);
}

static void arm(void)
{
    static bool done;
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};

    if (!done)
        (void)sigaction(SIGABRT, &action, NULL);
    done = true;
}

bool mc_cell_step_caught(struct mc_cell *c, enum mc_input what, uint32_t arg,
                         struct mc_outcome *ret)
{
    bool taken;

    arm();
    if (sigsetjmp(jump, 1) != 0) {
        armed = 0;
        ret->next = MC_NONE;
        ret->n_msgs = 0;
        ret->n_events = 1;
        ret->events[0] = mc_event_make(MC_ABORTED, 0, 0);
        return true;
    }
    armed = 1;
    taken = mc_cell_step(c, what, arg, ret);
    armed = 0;
    return taken;
}

/* ---- remembered ---- */

#define WORDS 12u

struct memory {
    uint32_t cell; /* + 1; 0: nothing yet */
    uint32_t what; /* << 26 | arg */
    uint32_t next;
    uint16_t n_msgs;
    uint16_t n_events;
    uint32_t words[WORDS]; /* messages, then events */
};
static struct memory *memories;
static size_t n_memories; /* a power of two; 0: none are kept */

void mc_step_init(size_t cache_bytes)
{
    n_memories = 1;
    while (2 * n_memories * sizeof(*memories) <= cache_bytes)
        n_memories *= 2;
    if (cache_bytes < sizeof(*memories))
        n_memories = 0;
    memories = n_memories > 0 ? mc_alloc(n_memories * sizeof(*memories)) : NULL;
}

static struct memory *memory_of(uint32_t cell, uint32_t what)
{
    uint64_t h = ((uint64_t)cell << 32 | what) * 0x9e3779b97f4a7c15u;

    h = (h ^ h >> 31) * 0xbf58476d1ce4e5b9u;
    return &memories[(h >> 20) & (n_memories - 1)];
}

static void remember(struct memory *m, uint32_t cell, uint32_t what, const struct mc_outcome *out)
{
    if (out->n_msgs + out->n_events > WORDS)
        return;
    *m = (struct memory){.cell = cell + 1,
                         .what = what,
                         .next = out->next,
                         .n_msgs = (uint16_t)out->n_msgs,
                         .n_events = (uint16_t)out->n_events};
    memcpy(m->words, out->msgs, out->n_msgs * sizeof(m->words[0]));
    memcpy(m->words + out->n_msgs, out->events, out->n_events * sizeof(m->words[0]));
}

static void play(uint32_t cell, enum mc_input what, uint32_t arg, struct mc_outcome *ret)
{
    static struct mc_cell c;

    mc_counts.played++;
    mc_cell_read(cell, &c);
    if (mc_cell_step_caught(&c, what, arg, ret)) {
        if (ret->n_events == 1 && ret->events[0] == mc_event_make(MC_ABORTED, 0, 0))
            return; /* what is left of it is not to be trusted */
        ret->next = mc_cell_write(&c);
    }
    mc_cell_done(&c);
}

void mc_step(uint32_t cell, enum mc_input what, uint32_t arg, struct mc_outcome *ret)
{
    const uint32_t key = (uint32_t)what << 26 | arg;
    struct memory *m;

    rid_assert(arg < 1u << 26);
    if (n_memories == 0) {
        play(cell, what, arg, ret);
        return;
    }
    m = memory_of(cell, key);
    if (m->cell == cell + 1 && m->what == key) {
        mc_counts.remembered++;
        ret->next = m->next;
        ret->n_msgs = m->n_msgs;
        ret->n_events = m->n_events;
        memcpy(ret->msgs, m->words, m->n_msgs * sizeof(m->words[0]));
        memcpy(ret->events, m->words + m->n_msgs, m->n_events * sizeof(m->words[0]));
        return;
    }
    play(cell, what, arg, ret);
    remember(m, cell, key, ret);
}
