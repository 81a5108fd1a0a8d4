/* The clocks of a node, and what happens to them.
 *
 *   raw        sim_node.clock, CLOCK_MONOTONIC_RAW: right within a bound, stands still in sleep
 *   slewed     CLOCK_MONOTONIC: up to a tenth off, on top of that
 *   boottime   the slewed one and all that the machine slept
 *
 * What a node holds by is its own real hold_clock (LEASE-0), over the second and third; between two
 * readings of it the process may be held up. Machines sleep, or stand still in a guest that sees
 * nothing of it until its host says so (LEASE-12); with the power all three begin anew.
 *
 * Where the bound is broken (clocks=wrong) raw runs faster or slower than leases are made for. */
#include "base/err.h"
#include "sim/sim.h"

#include "base/banned.h"

#define CLOCK_ENTITY 32u /* of draws about all nodes */

enum deed {
    DEED_SLEEP,
    DEED_SLEEP_LEADER,
    DEED_STAND_STILL,
    DEED_STAND_STILL_LEADER,
    DEED_PAUSE_LEADER,
    DEED_DRIFT,
    DEED_SLEW,
    DEED_REBOOT,
    DEED_REBOOT_LEADER,
    DEED_LEASE,
    DEED_ISOLATE_LEADER, /* while others elect, it may hold a lease */
    DEED_HAND_OVER,
    DEED_HAND_OVER_CUT, /* and it is cut off from the others right then */
    DEED_OLD_HOLDER,    /* it stops, others elect, and those hand over again and again */
    DEED_OLD_HOLDER_TOO,
    DEED_KINDS
};

/* The arg of EV_CLOCK. */
enum then {
    THEN_SOMETHING,
    THEN_CUT,
    THEN_UNCUT,
    THEN_HAND_OVER,
};

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_LEASE, CLOCK_ENTITY, bound);
}

static uint64_t below_of(struct sim_node *n, uint64_t bound)
{
    return sim_below(n->sim, STREAM_LEASE, n->i, bound);
}

bool clocks_are_kept(const struct sim *s)
{
    return (s->p.features & (UINT64_C(1) << FEATURE_LEASES | UINT64_C(1) << FEATURE_TOKENS)) != 0;
}

/* ---- reading ---- */

/* A process that is not run for a while: its own time goes on. */
static void maybe_hold_up(struct sim_node *n)
{
    const struct profile *p = &n->sim->p;

    if (p->held_up_one_in == 0 || n->life != NODE_UP || below_of(n, p->held_up_one_in) != 0)
        return;
    MARK(n->sim, held_up);
    clock_work(n, 1 + below_of(n, UINT64_C(1) << below_of(n, 23)));
}

static uint64_t read_us(void *ctx, clockid_t clock)
{
    struct sim_node *n = ctx;
    uint64_t ns;

    maybe_hold_up(n);
    ns = clock_ns_at(&n->clocks.slewed, n->sim->now + n->cpu_ns);
    return (ns + (clock == CLOCK_BOOTTIME ? n->clocks.slept_ns : 0)) / 1000;
}

static uint64_t suspended_us(void *ctx)
{
    struct sim_node *n = ctx;

    n->clocks.looked_at = n->clocks.read_at;
    return hold_clock_suspended_us(&n->clocks.hold);
}

static bool disrupted(void *ctx)
{
    struct sim_node *n = ctx;

    if (!n->clocks.disrupted)
        return false;
    n->clocks.disrupted = false;
    leases_disrupted(n);
    return true;
}

void clocks_engine(struct sim_node *n, struct engine_ops *ops)
{
    if (!clocks_are_kept(n->sim))
        return;
    ops->suspended_us = suspended_us;
    ops->disrupted = disrupted;
}

uint64_t clocks_hold_us_at(const struct sim_node *n, uint64_t at)
{
    const struct sim_clocks *c = &n->clocks;
    uint64_t slept_ns = c->slept_ns - c->slept_at_boot_ns;

    if (c->asleep_since != 0 && at > c->asleep_since)
        slept_ns += at - c->asleep_since;
    return clock_local_us_at(n, at) + slept_ns / 1000;
}

/* ---- life ---- */

static int64_t draw_rate(struct sim_node *n, unsigned most_ppm)
{
    return (int64_t)below_of(n, 2 * (uint64_t)most_ppm + 1) - (int64_t)most_ppm;
}

static int64_t draw_wrong_rate(struct sim_node *n)
{
    const int64_t ppm = 100000 + (int64_t)below_of(n, 500000);

    return below_of(n, 4) == 0 ? ppm : -ppm;
}

void clocks_node_init(struct sim_node *n)
{
    struct sim *s = n->sim;
    struct sim_clocks *c = &n->clocks;

    c->ppm = n->clock.ppm;
    c->slowest_ppm = c->ppm;
    if (!clocks_are_kept(s))
        return;
    if (s->options.wrong_clocks && below_of(n, 2) == 0)
        clocks_drift(n, draw_wrong_rate(n));
    else if (leases_are_on(s))
        clocks_drift(n, draw_rate(n, s->p.rate_ppm));
    c->slowest_ppm = c->ppm;
    c->slewed = (struct sim_clock){.base_local = below_of(n, UINT64_C(1) << 50),
                                   .ppm = draw_rate(n, s->p.slew_ppm)};
    c->slept_ns = below_of(n, 2) * below_of(n, UINT64_C(1) << 45);
}

void clocks_boot(struct sim_node *n)
{
    const struct hold_clock_source source = {.ctx = n, .read_us = read_us};
    struct sim_clocks *c = &n->clocks;

    if (!clocks_are_kept(n->sim))
        return;
    hold_clock_init(&c->hold, &source);
    c->slept_at_boot_ns = c->slept_ns;
    c->disrupted = false;
}

void clocks_lose_power(struct sim_node *n)
{
    struct sim_clocks *c = &n->clocks;

    if (!clocks_are_kept(n->sim))
        return;
    MARK(n->sim, rebooted);
    n->clock.base_at = n->sim->now;
    n->clock.base_local = below_of(n, 10000 * SIM_MS);
    c->slewed.base_at = n->sim->now;
    c->slewed.base_local = n->clock.base_local;
    c->slept_ns = 0;
}

/* ---- sleep ---- */

/* It has seen of its clocks already what is to come: they are not touched now. */
static bool is_ahead(const struct sim_node *n)
{
    return clocks_are_kept(n->sim) && n->busy_until > n->sim->now;
}

static void stand(struct sim_node *n, uint64_t length)
{
    n->paused_until = n->sim->now + length;
    n->suspended = true;
    clock_set_ppm(n, -1000000);
    clock_turn(&n->clocks.slewed, n->sim->now, -1000000);
}

void clocks_sleep(struct sim_node *n, uint64_t length)
{
    if (is_ahead(n))
        return;
    MARK(n->sim, slept);
    n->clocks.asleep_since = n->sim->now;
    stand(n, length);
}

static void stand_still(struct sim_node *n, uint64_t length)
{
    if (is_ahead(n))
        return;
    MARK(n->sim, stood_still);
    stand(n, length);
}

/* As long as the guest of a host that stopped it runs not, nobody asks it; then it is told first. */
void clocks_wake(struct sim_node *n)
{
    struct sim_clocks *c = &n->clocks;

    n->suspended = false;
    if (!clocks_are_kept(n->sim)) {
        clock_set_ppm(n, 0);
        return;
    }
    clock_set_ppm(n, c->ppm);
    clock_turn(&c->slewed, n->sim->now, draw_rate(n, n->sim->p.slew_ppm));
    if (c->asleep_since != 0)
        c->slept_ns += n->sim->now - c->asleep_since;
    else
        c->disrupted = true;
    c->asleep_since = 0;
}

/* ---- rates ---- */

static int64_t within(int64_t ppm, int64_t most)
{
    return ppm > most ? most : ppm < -most ? -most : ppm;
}

void clocks_drift(struct sim_node *n, int64_t ppm)
{
    const struct sim *s = n->sim;

    if (is_ahead(n))
        return;
    if (leases_are_on(s) && !s->options.wrong_clocks)
        ppm = within(ppm, s->p.rate_ppm);
    n->clocks.ppm = ppm;
    if (ppm < n->clocks.slowest_ppm)
        n->clocks.slowest_ppm = ppm;
    if (!n->suspended)
        clock_set_ppm(n, ppm);
}

void clocks_heal(struct sim_node *n)
{
    struct sim_clocks *c = &n->clocks;
    const int64_t most = leases_are_on(n->sim) ? (int64_t)n->sim->p.rate_ppm : 500;

    if (!clocks_are_kept(n->sim)) {
        n->suspended = false;
        clock_set_ppm(n, 0);
        return;
    }
    if (n->suspended)
        clocks_wake(n);
    c->ppm = c->ppm > most || c->ppm < -most ? 0 : c->ppm;
    clock_set_ppm(n, c->ppm);
}

/* ---- what happens ---- */

static void later(struct sim *s)
{
    sim_push_any(s, s->now + 1 + below(s, 2 * s->p.clock_every_ns), EV_CLOCK, 0, THEN_SOMETHING,
                 NULL);
}

void clocks_init(struct sim *s)
{
    if (clocks_are_kept(s))
        later(s);
}

/* From a blink to several elections. */
static uint64_t length_ns(struct sim *s)
{
    return s->p.election_us * 1000 * (1 + below(s, UINT64_C(1) << below(s, 7))) / 16;
}

static void arm(struct sim_node *n)
{
    n->tick_at = 0;
    if (n->life == NODE_UP)
        node_arm(n, 0);
}

static void drift(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (!leases_are_on(s))
        return;
    MARK(s, drift_within);
    clocks_drift(n, s->options.wrong_clocks ? draw_wrong_rate(n) : draw_rate(n, s->p.rate_ppm));
    arm(n);
}

static void slew(struct sim_node *n)
{
    MARK(n->sim, slewed);
    if (!n->suspended)
        clock_turn(&n->clocks.slewed, n->sim->now, draw_rate(n, n->sim->p.slew_ppm));
}

/* A file that was read again. */
static void set_lease(struct sim_node *n)
{
    struct sim *s = n->sim;

    if (!leases_are_on(s))
        return;
    MARK(s, lease_set);
    n->lease.lease_us = below(s, 3) == 0 ? 0 : s->p.lease_us >> below(s, 3);
    if (n->life == NODE_UP)
        engine_set_lease(n->engine, n->lease.lease_us);
    arm(n);
}

static void isolate(struct sim *s, struct sim_node *n)
{
    sim_push_any(s, s->now + length_ns(s) + s->p.election_us * 1000 * (1 + below(s, 4)), EV_CLOCK,
                 n->i, THEN_UNCUT, NULL);
    s->alone |= UINT64_C(1) << n->i;
    nemesis_recut(s);
}

static void hand_over(struct sim_node *n)
{
    if (replica_transfer(n->replica, 0, clock_local_us(n)) != 0)
        return;
    MARK(n->sim, transfers);
    node_input(n);
}

/* Its process stands, its lease goes on, and with it the promises of the others. */
static void stop_holder(struct sim *s, struct sim_node *n)
{
    const uint64_t election_ns = s->p.election_us * 1000;

    MARK(s, paused);
    n->paused_until = s->now + 2 * election_ns + below(s, 4 * election_ns);
    for (unsigned i = 0; i < 4; i++)
        sim_push_any(s, s->now + election_ns + below(s, 3 * election_ns), EV_CLOCK, 0,
                     THEN_HAND_OVER, NULL);
}

static void do_deed(struct sim *s, enum deed deed, struct sim_node *n)
{
    switch (deed) {
    case DEED_SLEEP:
    case DEED_SLEEP_LEADER:
        if (!n->suspended && n->life == NODE_UP)
            clocks_sleep(n, length_ns(s));
        break;
    case DEED_STAND_STILL:
    case DEED_STAND_STILL_LEADER:
        if (!n->suspended && n->life == NODE_UP)
            stand_still(n, length_ns(s));
        break;
    case DEED_PAUSE_LEADER:
        MARK(s, paused);
        n->paused_until = s->now + s->p.election_us * (1000 + below(s, 4000));
        break;
    case DEED_DRIFT:
        drift(n);
        break;
    case DEED_SLEW:
        slew(n);
        break;
    case DEED_REBOOT:
    case DEED_REBOOT_LEADER:
        node_crash(n, true, length_ns(s));
        break;
    case DEED_LEASE:
        set_lease(n);
        break;
    case DEED_ISOLATE_LEADER:
        isolate(s, n);
        break;
    case DEED_HAND_OVER:
        hand_over(n);
        break;
    case DEED_HAND_OVER_CUT:
        hand_over(n);
        sim_push_any(s, s->now + 1 + below(s, 8 * s->p.delay_spread_ns), EV_CLOCK, n->i, THEN_CUT,
                     NULL);
        break;
    case DEED_OLD_HOLDER:
    case DEED_OLD_HOLDER_TOO:
        stop_holder(s, n);
        break;
    case DEED_KINDS:
        break;
    }
}

static bool is_of_leader(enum deed deed)
{
    return deed == DEED_SLEEP_LEADER || deed == DEED_STAND_STILL_LEADER ||
           deed == DEED_PAUSE_LEADER || deed == DEED_REBOOT_LEADER || deed == DEED_ISOLATE_LEADER ||
           deed == DEED_HAND_OVER || deed == DEED_HAND_OVER_CUT || deed == DEED_OLD_HOLDER ||
           deed == DEED_OLD_HOLDER_TOO;
}

/* Its clock is slow from now on, and it is cut off before anybody can have found that out. */
static void slow_and_alone(struct sim *s, struct sim_node *n)
{
    if (n == NULL || n->life != NODE_UP || n->suspended)
        return;
    TRACE(s, "clocks: n%u is slow, and alone", n->i + 1);
    clocks_drift(n, -400000 - (int64_t)below(s, 400000));
    arm(n);
    isolate(s, n);
}

static void something(struct sim *s)
{
    const enum deed deed = (enum deed)below(s, DEED_KINDS);
    struct sim_node *n = &s->nodes[below(s, s->p.n_nodes)];

    later(s);
    if (s->options.wrong_clocks && below(s, 2) == 0) {
        slow_and_alone(s, node_leader(s));
        return;
    }
    if (is_of_leader(deed))
        n = node_leader(s);
    if (n == NULL || n->life != NODE_UP || n->fatal_error != 0)
        return;
    TRACE(s, "clocks: deed %d of n%u", (int)deed, n->i + 1);
    do_deed(s, deed, n);
}

void clocks_event(struct sim *s, const struct sim_event *e)
{
    if (s->healing)
        return;
    switch ((enum then)e->arg) {
    case THEN_SOMETHING:
        something(s);
        break;
    case THEN_CUT:
        isolate(s, &s->nodes[e->node]);
        break;
    case THEN_UNCUT:
        s->alone &= ~(UINT64_C(1) << e->node);
        nemesis_recut(s);
        break;
    case THEN_HAND_OVER:
        if (node_leader(s) != NULL && node_leader(s)->paused_until <= s->now)
            hand_over(node_leader(s));
        break;
    }
}
