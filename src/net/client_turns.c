/* Whose turn it is: fair shares of each turn of the loop among the connections that sent something
 * (CLIENT-15).
 *
 * A connection that is readable, or has lines left from before, waits in the list of its level,
 * and levels are how much time it took lately, by powers of two. Low levels come first, each list
 * goes on where it was cut. Who sends a megabyte to be decoded, or asks for all that a node knows,
 * over and over, waits for whoever asks one thing now and then, not the other way round. Among
 * connections that are alike nobody is held back; but those that take several times as much as
 * another one that is there have a few milliseconds in each turn, so that it never waits for more.
 * All go on only while the host has time (spent()); one of each level does a step in any case, at
 * least in every second turn, so that nobody starves. */
#include "base/clock.h"
#include "net/client_int.h"

#include "base/banned.h"

/* ---- what it took lately ---- */

/* Halved with each CLIENT_USE_HALF_US that pass, and evenly in between. */
static uint64_t decayed(uint64_t use, uint64_t passed_us)
{
    const uint64_t halves = passed_us / CLIENT_USE_HALF_US;
    const uint64_t rest = passed_us % CLIENT_USE_HALF_US;

    if (halves > 31)
        return 0;
    use >>= halves;
    return use - use * rest / (2 * (uint64_t)CLIENT_USE_HALF_US);
}

static uint64_t passed_us(const struct client_conn *c, uint64_t now_us)
{
    return now_us > c->used_at_us ? now_us - c->used_at_us : 0;
}

static uint64_t use_at(const struct client_conn *c, uint64_t now_us)
{
    return decayed(c->used_us, passed_us(c, now_us));
}

static unsigned level_of(uint64_t use_us)
{
    unsigned level = 0;

    for (use_us /= CLIENT_USE_LEAST_US; use_us > 0 && level + 1 < CLIENT_LEVELS; use_us /= 2)
        level++;
    return level;
}

void client_turns_charge(struct client_conn *c, uint64_t us)
{
    const uint64_t now_us = c->port->now_us;

    c->used_lines = decayed(c->used_lines, passed_us(c, now_us));
    c->used_us = use_at(c, now_us) + us;
    c->used_at_us = now_us;
}

/* ---- heavy requests ----
 *
 * Once a request is handed up nothing overtakes it: it lies in the queues of reads and in the log,
 * and whatever comes then waits for it. So while somebody is there who takes much less, only as
 * many heavy ones are handed up as are done within a few milliseconds; the others wait in the
 * sockets of those who sent them, who get on one after the other.
 *
 * What is under way may wait for something that only others bring about: reads for the memory of
 * replies that nobody takes, writes for a leader. Whoever waited for them would wait for ever. So
 * when nothing heavy was done for a while, what is under way is forgotten. */

/* Of a line, in used_lines: so that halves of it are seen. */
#define LINE_PARTS 1024u

void client_turns_line(struct client_conn *c)
{
    c->used_lines += LINE_PARTS;
}

/* Of one of its requests, by what they took lately. */
static uint64_t cost_us(const struct client_conn *c)
{
    return c->used_lines > LINE_PARTS ? c->used_us * LINE_PARTS / c->used_lines : c->used_us;
}

void client_turns_hold(struct client_conn *c)
{
    const uint64_t us = cost_us(c);

    if (c->port == NULL || us < CLIENT_HEAVY_US)
        return;
    if (c->port->held_us == 0)
        c->port->moved_us = clock_mono_us();
    c->held_us += us;
    c->port->held_us += us;
}

/* Which of those that are held it was makes no difference. */
void client_turns_release(struct client_conn *c)
{
    const uint64_t us = c->held_us / c->n_held;
    struct client_port *p = c->port;

    c->held_us -= us;
    if (p == NULL || us == 0)
        return;
    p->held_us -= us < p->held_us ? us : p->held_us;
    p->moved_us = clock_mono_us();
    if (!list_empty(&p->barred) && p->held_us < CLIENT_HEAVY_HELD_US)
        client_port_wake(p);
}

/* Somebody is there who takes much less than those of this level. */
static bool has_modest(const struct client_port *p, unsigned level)
{
    for (unsigned i = 0; i + CLIENT_LEVELS_APART <= level; i++)
        if (p->levels[i].served_us != 0 && p->now_us - p->levels[i].served_us < CLIENT_MODEST_US)
            return true;
    return false;
}

bool client_turns_bars(const struct client_conn *c)
{
    const struct client_port *p = c->port;

    if (!client_conn_may_take_lines(c))
        return false; /* only its end is waited for */
    if (p->held_us < CLIENT_HEAVY_HELD_US && (c->let_in || list_empty(&p->barred)))
        return false; /* there is room, and nobody has waited for it longer */
    return !c->again && cost_us(c) >= CLIENT_HEAVY_US &&
           has_modest(p, level_of(use_at(c, p->now_us)));
}

static void forget_what_is_stuck(struct client_port *p)
{
    if (p->now_us >= p->moved_us + CLIENT_HEAVY_STUCK_US)
        p->held_us = 0;
}

static void wait_for_what_is_stuck(struct client_port *p)
{
    static const struct timeval soon = {.tv_usec = CLIENT_HEAVY_STUCK_US};

    if (!list_empty(&p->barred) && !evtimer_pending(p->ev_barred, NULL))
        (void)evtimer_add(p->ev_barred, &soon);
}

/* Who was let in, and found the room taken after all, keeps his place. */
static void bar(struct client_conn *c)
{
    struct list *barred = &c->port->barred;

    list_append(c->let_in ? barred->next : barred, &c->turn);
    c->let_in = false;
    c->barred = true;
    client_conn_settle(c);
}

/* As many as there is room for, in the order in which they came here. Those that turn out to have
 * nothing to say leave their room to the next turn, which comes in any case. */
static void let_in(struct client_port *p)
{
    uint64_t us = p->held_us;

    while (!list_empty(&p->barred) && us < CLIENT_HEAVY_HELD_US) {
        struct client_conn *c = list_entry(p->barred.next, struct client_conn, turn);

        list_remove(&c->turn);
        c->barred = false;
        c->let_in = true;
        us += cost_us(c);
        client_conn_settle(c);
    }
}

/* ---- turns ---- */

void client_turns_add(struct client_conn *c)
{
    struct client_port *p = c->port;

    if (list_empty(&c->turn))
        list_append(&p->levels[level_of(use_at(c, p->now_us))].list, &c->turn);
}

static bool is_spent(const struct client_port *p)
{
    return p->cost >= CLIENT_PORT_COST_PER_TURN || p->now_us >= p->began_us + CLIENT_TURN_US ||
           (p->ops.spent != NULL && p->ops.spent(p->ops.ctx));
}

void client_turns_step(struct client_conn *c, size_t bytes)
{
    struct client_port *p = c->port;
    const size_t cost = bytes + CLIENT_LINE_COST;

    p->cost += cost;
    p->share -= cost < p->share ? cost : p->share;
    p->unlooked += cost;
    if (is_spent(p))
        p->share = 0;
    if (p->unlooked >= CLIENT_LOOK_COST) {
        p->unlooked = 0;
        if (clock_mono_us() >= p->now_us + CLIENT_STEP_US)
            p->share = 0;
    }
}

static void serve(struct client_port *p, struct client_conn *c)
{
    uint64_t now_us;

    p->share = CLIENT_COST_PER_TURN;
    p->unlooked = 0;
    p->read_us = p->now_us;
    client_conn_serve(c);
    now_us = clock_mono_us();
    if (now_us > p->now_us) {
        const uint64_t took_us = now_us - p->now_us;

        p->now_us = now_us;
        client_turns_charge(c, took_us);
    }
}

uint64_t client_port_read_us(const struct client_port *p)
{
    return p->read_us;
}

static void run(struct client_port *p, unsigned level, struct list *todo)
{
    const uint64_t end_us = has_modest(p, level) ? p->began_us + CLIENT_GREEDY_US : UINT64_MAX;

    while (!list_empty(todo)) {
        struct client_conn *c = list_entry(todo->next, struct client_conn, turn);

        list_remove(&c->turn);
        if (client_turns_bars(c)) {
            bar(c);
            continue;
        }
        serve(p, c);
        c->let_in = false;
        p->levels[level].served_us = p->now_us;
        if (is_spent(p) || p->now_us >= end_us)
            break;
    }
}

/* A step of who takes much would lie between a request that came in just now, or the word of a peer
 * that one waits for, and what the host does about it. So that comes first, in every second turn
 * at most. */
static bool gives_way(const struct client_port *p, unsigned level)
{
    if (p->gave_way || !has_modest(p, level))
        return false;
    for (unsigned i = 0; i + CLIENT_LEVELS_APART <= level; i++)
        if (p->levels[i].served_us >= p->began_us)
            return true;
    return p->ops.urgent != NULL && p->ops.urgent(p->ops.ctx);
}

/* Those that are added meanwhile wait for the next turn; the rest is the first of it. */
void client_turns_run(struct client_port *p)
{
    struct list todo[CLIENT_LEVELS];
    bool gave_way = false;
    bool more = false;

    p->now_us = clock_mono_us();
    p->began_us = p->now_us;
    forget_what_is_stuck(p);
    if (!p->gave_way) /* else those that were let in then have not had their turn */
        let_in(p);
    for (unsigned i = 0; i < CLIENT_LEVELS; i++) {
        list_init(&todo[i]);
        list_splice(&todo[i], &p->levels[i].list);
    }
    for (unsigned i = 0; i < CLIENT_LEVELS && !gave_way; i++) {
        gave_way = !list_empty(&todo[i]) && gives_way(p, i);
        if (!gave_way)
            run(p, i, &todo[i]);
    }
    p->gave_way = gave_way;
    for (unsigned i = 0; i < CLIENT_LEVELS; i++) {
        list_splice(&todo[i], &p->levels[i].list);
        list_splice(&p->levels[i].list, &todo[i]);
        more = more || !list_empty(&p->levels[i].list);
    }
    if (more || (!list_empty(&p->barred) && p->held_us < CLIENT_HEAVY_HELD_US))
        client_port_wake(p);
    wait_for_what_is_stuck(p);
}
