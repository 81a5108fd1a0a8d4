/* What goes wrong, and when: a list of episodes, all drawn before the run begins, each with its own
 * choices, so that any of them can be left out. Never more is lost for ever than the group promises
 * to survive. */
#include <errno.h>
#include <inttypes.h>

#include "sim/sim.h"

#include "base/banned.h"

static const char *const names[EPISODE_KIND_COUNT] = {
    "isolate",        "isolate_leader", "halves",       "one_way_out",
    "one_way_in",     "bridge",         "ring",         "random_cuts",
    "clog",           "flap",           "loss",         "break_links",
    "crash_process",  "crash_machine",  "crash_leader", "crash_majority",
    "crash_all",      "pause",          "pause_leader", "suspend",
    "drift",          "stall",          "stall_leader", "slow_disk",
    "sync_fails",     "disk_full",      "rot",          "wipe",
    "transfer",       "call_fails",     "chase_cut",    "chase_pause",
    "chase_transfer", "crash_stored",   "state_fails"};

const char *episode_name(enum episode_kind kind)
{
    return names[kind];
}

/* ---- the plan ---- */

/* New leaders one after the other: logs that end differently, and reads that do not know it yet. */
static bool is_chase(enum episode_kind kind)
{
    return kind == EPISODE_CHASE_CUT || kind == EPISODE_CHASE_PAUSE ||
           kind == EPISODE_CHASE_TRANSFER;
}

void nemesis_plan(struct sim *s)
{
    const uint64_t all = (UINT64_C(1) << EPISODE_KIND_COUNT) - 1;
    uint64_t enabled = sim_draw(s, STREAM_NEMESIS, 0) & all;
    unsigned n = (unsigned)sim_below(s, STREAM_NEMESIS, 0, 24);

    /* Faults hide each other: a node that crashes all the time has no long log. So each kind is off
     * in half of the seeds; one seed in eight knows all. */
    if (enabled == 0 || sim_below(s, STREAM_NEMESIS, 0, 8) == 0) {
        MARK(s, seeds_all_faults);
        enabled = all;
    }
    for (unsigned i = 0; i < n; i++) {
        struct episode *e = &s->episodes[i];
        unsigned kind = (unsigned)sim_below(s, STREAM_NEMESIS, 1, EPISODE_KIND_COUNT);

        while ((enabled >> kind & 1) == 0)
            kind = (kind + 1) % EPISODE_KIND_COUNT;
        *e = (struct episode){.kind = (enum episode_kind)kind,
                              .begin = sim_below(s, STREAM_NEMESIS, 2, s->p.length_ns),
                              .draw = sim_draw(s, STREAM_NEMESIS, 4)};
        /* From a blink to several elections. */
        e->length =
            s->p.election_us * 1000 *
            (1 + sim_below(s, STREAM_NEMESIS, 3, 1u << sim_below(s, STREAM_NEMESIS, 3, 8))) / 16;
        if (is_chase(e->kind))
            e->length = s->p.election_us * 1000 * (6 + e->draw % 40);
        if ((s->options.episodes_off >> i & 1) != 0)
            continue;
        sim_push_any(s, e->begin, EV_EPISODE_BEGIN, 0, (uint16_t)i, NULL);
    }
    s->n_episodes = n;
}

/* ---- cuts ---- */

static void cut(struct episode *e, unsigned from, unsigned to)
{
    if (from != to)
        e->cuts[from] |= UINT64_C(1) << to;
}

static void cut_both(struct episode *e, unsigned a, unsigned b)
{
    cut(e, a, b);
    cut(e, b, a);
}

static void cut_sets(struct sim *s, struct episode *e)
{
    unsigned n = s->p.n_nodes;

    for (unsigned a = 0; a < n; a++) {
        for (unsigned b = 0; b < n; b++) {
            bool side_a = (e->draw >> (8 + a) & 1) != 0;
            bool side_b = (e->draw >> (8 + b) & 1) != 0;
            unsigned apart = (b + n - a) % n;

            switch ((unsigned)e->kind) { /* only those of this group */
            case EPISODE_ISOLATE:
            case EPISODE_ISOLATE_LEADER:
            case EPISODE_FLAP:
            case EPISODE_CHASE_CUT:
                if (a == e->node)
                    cut_both(e, a, b);
                break;
            case EPISODE_ONE_WAY_OUT:
                if (a == e->node)
                    cut(e, a, b);
                break;
            case EPISODE_ONE_WAY_IN:
                if (a == e->node)
                    cut(e, b, a);
                break;
            case EPISODE_HALVES:
                if (side_a != side_b)
                    cut_both(e, a, b);
                break;
            case EPISODE_BRIDGE:
                if (side_a != side_b && a != e->node && b != e->node)
                    cut_both(e, a, b);
                break;
            case EPISODE_RING:
                if (apart != 1 && apart != n - 1)
                    cut_both(e, a, b);
                break;
            case EPISODE_RANDOM_CUTS:
                if (sim_mix(e->draw, a * 8 + b) % 3 == 0)
                    cut(e, a, b);
                break;
            default:
                break;
            }
        }
    }
}

/* From the episodes under way, and from the sickness of those outside the core. */
void nemesis_recut(struct sim *s)
{
    for (unsigned a = 0; a < s->p.n_nodes; a++) {
        for (unsigned b = 0; b < s->p.n_nodes; b++) {
            bool off = false;

            for (unsigned i = 0; i < s->n_episodes; i++)
                off = off || (s->episodes[i].active && !s->episodes[i].flap_on &&
                              (s->episodes[i].cuts[a] >> b & 1) != 0);
            off = off || ((s->cut_off >> a ^ s->cut_off >> b) & 1) != 0;
            off = off || (a != b && ((s->alone >> a | s->alone >> b) & 1) != 0);
            if (s->sick_now[a])
                off = off || s->sickness[a] == 0 || s->sickness[a] == 1 || s->sickness[a] == 3;
            if (s->sick_now[b])
                off = off || s->sickness[b] == 0 || s->sickness[b] == 2 || s->sickness[b] == 3;
            if (off && !s->net.cut[a][b] && sim_below(s, STREAM_CONN, 60, 2) == 0)
                net_break(s, a, b);
            s->net.cut[a][b] = off;
        }
    }
}

/* ---- beginnings and ends ---- */

static bool may_damage(struct sim *s, struct sim_node *n)
{
    if (n->damaged)
        return true;
    if (members_are_on(s)) /* members.c takes disks away, and brings others */
        return false;
    if (node_is_voter(n)) { /* any number of learners may be lost */
        if (s->n_damaged >= (s->p.n_voters - 1) / 2)
            return false;
        s->n_damaged++;
    }
    n->damaged = true;
    return true;
}

static void crash_some(struct sim *s, struct episode *e, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct sim_node *n = &s->nodes[(e->node + i) % s->p.n_nodes];

        node_crash(n, (e->draw >> (20 + i) & 1) != 0, e->length * (1 + (e->draw >> (30 + i) & 1)));
    }
}

static void sync_fails(struct sim *s, struct episode *e, struct sim_node *n)
{
    static const enum fake_disk_sync_failure how[] = {FAKE_DISK_SYNC_PAGES_CLEAN,
                                                      FAKE_DISK_SYNC_REVERT, FAKE_DISK_SYNC_NEXT};
    unsigned which = (unsigned)(e->draw >> 20) % 3;
    uint64_t in = 1 + (e->draw >> 24) % 12;

    if (n->life != NODE_UP || (which == 2 && (n->damaged || !may_damage(s, n))))
        return;
    if (which == 2)
        n->wal.lie_at = n->wal.n_syncs + in;
    else if (which == 0)
        MARK(s, sync_failed_clean_pages);
    else
        MARK(s, sync_failed_reverted);
    n->wal.failing++;
    e->flap_on = true; /* armed */
    fake_disk_fail_sync(n->wal.disk, in, how[which]);
}

static void suspend(struct sim_node *n, uint64_t length)
{
    MARK(n->sim, suspended);
    clocks_sleep(n, length);
}

/* It is awake with the first event that finds it so, whatever woke it and whichever event of that
 * time is taken first: a node that works while its clock stands has turns without an end. */
void nemesis_wake(struct sim_node *n)
{
    if (!n->suspended)
        return;
    clocks_wake(n);
    n->tick_at = 0;
    if (n->life == NODE_UP)
        node_arm(n, 0);
}

static void begin_disk(struct sim *s, struct episode *e, struct sim_node *n)
{
    switch ((unsigned)e->kind) { /* only those of this group */
    case EPISODE_STALL_LEADER:
        MARK(s, leader_disk_stalled);
        n->wal.stalled_until = s->now + e->length;
        break;
    case EPISODE_STALL:
        MARK(s, disk_stalled);
        n->wal.stalled_until = s->now + e->length;
        break;
    case EPISODE_SLOW_DISK:
        n->wal.slow = 2 + (unsigned)(e->draw >> 20) % 40;
        break;
    case EPISODE_SYNC_FAILS:
        sync_fails(s, e, n);
        break;
    case EPISODE_CALL_FAILS:
        if (n->life != NODE_UP)
            break;
        n->wal.failing++;
        e->flap_on = true;
        fake_disk_fail_call(n->wal.disk, 1 + (e->draw >> 24) % 20, -EIO);
        break;
    case EPISODE_DISK_FULL:
        MARK(s, disk_full);
        n->wal.failing++;
        e->flap_on = true;
        fake_disk_set_capacity(n->wal.disk, fake_disk_used(n->wal.disk) +
                                                (e->draw >> 24) % (2 * s->p.segment_bytes));
        n->state.full = (e->draw >> 60 & 1) != 0; /* on the same disk, or on one of its own */
        break;
    case EPISODE_ROT:
        if (!may_damage(s, n))
            break;
        /* Or when nothing is written behind it any more: then only the state machine knows. */
        if ((e->draw >> 59 & 1) != 0)
            node_crash(n, false, e->length);
        wal_rot(n, e->draw);
        break;
    case EPISODE_CRASH_STORED:
        n->wal.crash_stored = true;
        n->wal.crash_machine = (e->draw >> 20 & 1) != 0;
        break;
    case EPISODE_STATE_FAILS:
        n->state.fail_commit = n->life == NODE_UP;
        break;
    case EPISODE_WIPE:
        if (n->life == NODE_OUT || !may_damage(s, n))
            break;
        node_crash(n, true, e->length);
        wal_wipe(n);
        break;
    default:
        break;
    }
}

/* The next one that leads. */
static void chase(struct sim *s, struct episode *e)
{
    struct sim_node *n = node_leader(s);
    uint64_t step = s->p.election_us * 1000 * (1 + sim_mix(e->draw, s->now) % 6) / 2;

    if (n != NULL) {
        MARK(s, leader_chased);
        TRACE(s, "episode %u chases n%u", (unsigned)(e - s->episodes), n->i + 1);
        e->node = n->i;
        memset(e->cuts, 0, sizeof(e->cuts));
        cut_sets(s, e);
        if (e->kind == EPISODE_CHASE_PAUSE)
            n->paused_until = s->now + step + s->p.election_us * 500;
        if (e->kind == EPISODE_CHASE_TRANSFER &&
            replica_transfer(n->replica, 0, clock_local_us(n)) == 0) {
            MARK(s, transfers);
            node_input(n);
        }
        nemesis_recut(s);
    }
    sim_push_any(s, s->now + step, EV_FLAP, 0, (uint16_t)(e - s->episodes), NULL);
}

static void begin(struct sim *s, struct episode *e)
{
    struct sim_node *leader = node_leader(s);
    struct sim_node *n;

    e->node = (unsigned)(e->draw & 255) % s->p.n_nodes;
    if ((e->kind == EPISODE_ISOLATE_LEADER || e->kind == EPISODE_PAUSE_LEADER ||
         e->kind == EPISODE_STALL_LEADER || e->kind == EPISODE_CRASH_LEADER ||
         e->kind == EPISODE_TRANSFER || (e->draw >> 60) == 0) &&
        leader != NULL)
        e->node = leader->i;
    n = &s->nodes[e->node];
    e->active = true;
    TRACE(s, "episode %u begins: %s of n%u for %.3f s", (unsigned)(e - s->episodes), names[e->kind],
          e->node + 1, (double)e->length / 1e9);
    cut_sets(s, e);
    switch ((unsigned)e->kind) { /* only those of this group */
    case EPISODE_CLOG:
        for (unsigned i = 0; i < s->p.n_nodes * s->p.n_nodes; i++)
            if (sim_mix(e->draw, i) % 3 == 0)
                s->net.clogged_until[i / s->p.n_nodes][i % s->p.n_nodes] =
                    s->now + sim_mix(e->draw, 100 + i) % e->length;
        break;
    case EPISODE_FLAP:
        sim_push_any(s, s->now + e->length / 8, EV_FLAP, 0, (uint16_t)(e - s->episodes), NULL);
        break;
    case EPISODE_CHASE_CUT:
    case EPISODE_CHASE_PAUSE:
    case EPISODE_CHASE_TRANSFER:
        chase(s, e);
        break;
    case EPISODE_LOSS:
        for (unsigned i = 0; i < s->p.n_nodes * s->p.n_nodes; i++)
            s->net.loss_ppm[i / s->p.n_nodes][i % s->p.n_nodes] =
                (unsigned)(sim_mix(e->draw, i) % 600000);
        break;
    case EPISODE_BREAK_LINKS:
        for (unsigned i = 0; i < s->p.n_nodes; i++)
            for (unsigned j = i + 1; j < s->p.n_nodes; j++)
                if (sim_mix(e->draw, i * 8 + j) % 2 == 0)
                    net_break(s, i, j);
        break;
    case EPISODE_CRASH_PROCESS:
        node_crash(n, false, e->length);
        break;
    case EPISODE_CRASH_MACHINE:
        node_crash(n, true, e->length);
        break;
    case EPISODE_CRASH_LEADER:
        node_crash(n, (e->draw >> 20 & 1) != 0, e->length);
        break;
    case EPISODE_CRASH_MAJORITY:
        crash_some(s, e, node_quorum(s));
        break;
    case EPISODE_CRASH_ALL:
        crash_some(s, e, s->p.n_nodes);
        break;
    case EPISODE_PAUSE:
    case EPISODE_PAUSE_LEADER:
        MARK(s, paused);
        n->paused_until = s->now + e->length;
        break;
    case EPISODE_SUSPEND:
        if (n->life == NODE_UP && !n->suspended)
            suspend(n, e->length);
        break;
    case EPISODE_DRIFT:
        MARK(s, drift_changed);
        if (!n->suspended)
            clocks_drift(n,
                         (int64_t)((e->draw >> 20) % ((e->draw >> 40 & 1) != 0 ? 1001 : 400001)) -
                             ((e->draw >> 40 & 1) != 0 ? 500 : 200000));
        n->tick_at = 0;
        if (n->life == NODE_UP)
            node_arm(n, 0);
        break;
    case EPISODE_TRANSFER:
        if (n->life == NODE_UP && replica_transfer(n->replica, 0, clock_local_us(n)) == 0)
            MARK(s, transfers);
        break;
    default:
        begin_disk(s, e, n);
        break;
    }
    nemesis_recut(s);
    sim_push_any(s, s->now + e->length, EV_EPISODE_END, 0, (uint16_t)(e - s->episodes), NULL);
}

static void end(struct sim *s, struct episode *e)
{
    struct sim_node *n = &s->nodes[e->node];

    if (!e->active)
        return;
    e->active = false;
    TRACE(s, "episode %u ends", (unsigned)(e - s->episodes));
    switch ((unsigned)e->kind) { /* only those of this group */
    case EPISODE_LOSS:
        memset(s->net.loss_ppm, 0, sizeof(s->net.loss_ppm));
        break;
    case EPISODE_SUSPEND:
        nemesis_wake(n);
        break;
    case EPISODE_SLOW_DISK:
        n->wal.slow = 1;
        break;
    case EPISODE_SYNC_FAILS:
        if (e->flap_on) {
            fake_disk_fail_sync(n->wal.disk, 0, FAKE_DISK_SYNC_REVERT);
            n->wal.failing--;
            n->wal.lie_at = 0;
        }
        break;
    case EPISODE_CALL_FAILS:
        if (e->flap_on) {
            fake_disk_fail_call(n->wal.disk, 0, 0);
            n->wal.failing--;
        }
        break;
    case EPISODE_DISK_FULL:
        fake_disk_set_capacity(n->wal.disk, 0);
        n->state.full = false;
        n->wal.failing--;
        break;
    case EPISODE_CRASH_STORED:
        n->wal.crash_stored = false;
        break;
    case EPISODE_STATE_FAILS:
        n->state.fail_commit = false;
        break;
    case EPISODE_ROT:
        /* So that somebody looks at it. */
        node_crash(n, false, e->length);
        break;
    default:
        break;
    }
    nemesis_recut(s);
}

/* Those outside the core: well and sick by turns. */
static void sick_turn(struct sim *s, unsigned i)
{
    struct sim_node *n = &s->nodes[i];
    uint64_t draw = sim_draw(s, STREAM_HEAL, 8 + i);

    if (s->all_healed)
        return;
    s->sick_now[i] = s->sickness[i] == 3 ? !s->sick_now[i] : true;
    if (s->sickness[i] == 4)
        node_crash(n, (draw & 1) != 0, draw % (s->p.election_us * 3000));
    if (s->sickness[i] == 7)
        n->wal.stalled_until = s->now + s->p.election_us * UINT64_C(1000) * 1000;
    if (s->sickness[i] == 5 && n->life == NODE_UP)
        n->paused_until = s->now + draw % (s->p.election_us * 3000);
    nemesis_recut(s);
    sim_push_any(s, s->now + s->p.election_us * 200 + (draw >> 8) % (s->p.election_us * 4000),
                 EV_FLAP, 0, (uint16_t)(256 + i), NULL);
}

void nemesis_event(struct sim *s, const struct sim_event *e)
{
    struct episode *ep = &s->episodes[e->arg % SIM_EPISODES_MAX];

    if (e->kind == EV_FLAP && e->arg >= 256) {
        sick_turn(s, e->arg - 256u);
    } else if (s->healing) {
        return;
    } else if (e->kind == EV_EPISODE_BEGIN) {
        begin(s, ep);
    } else if (e->kind == EV_EPISODE_END) {
        end(s, ep);
    } else if (ep->active && is_chase(ep->kind)) {
        chase(s, ep);
    } else if (ep->active) {
        ep->flap_on = !ep->flap_on;
        nemesis_recut(s);
        sim_push_any(s, s->now + ep->length / 8, EV_FLAP, 0, e->arg, NULL);
    }
}

/* ---- the end of it ---- */

static void heal_node(struct sim_node *n)
{
    struct sim *s = n->sim;

    n->wal.stalled_until = 0;
    n->wal.slow = 1;
    /* In some seeds a disk that is well is a slow one: leaders and progress are owed all the same. */
    if (s->p.slow_sync_percent > 0 && sim_below(s, STREAM_HEAL, 4, 4) > 0)
        n->wal.slow_ns = s->p.election_us * 10 * s->p.slow_sync_percent;
    fake_disk_set_capacity(n->wal.disk, 0);
    n->state.full = false;
    room_heal(n);
    snap_heal(n);
    if (n->suspended || n->clock.ppm < -500 || n->clock.ppm > 500)
        clocks_heal(n);
    n->paused_until = 0;
    n->tick_at = 0;
    if (n->life == NODE_DOWN)
        sim_push(s, s->now, EV_BOOT, n, 0, NULL);
    else if (n->life == NODE_UP)
        node_arm(n, 0);
}

/* Those that were lost with what they held are well again, too; but what they lost only the others
 * have, all of them together. */
static bool is_any_lost(const struct sim *s)
{
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (s->nodes[i].snap.lost)
            return true;
    return false;
}

void nemesis_heal_all(struct sim *s)
{
    MARK(s, all_healed);
    TRACE(s, "all are healed");
    s->all_healed = true;
    if (members_are_on(s)) /* they are, since the beginning of it */
        return;
    memset(s->net.loss_ppm, 0, sizeof(s->net.loss_ppm));
    memset(s->sick_now, 0, sizeof(s->sick_now));
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        struct sim_node *n = &s->nodes[i];

        if (n->damaged || n->life == NODE_OUT || (s->core >> i & 1) != 0)
            continue;
        s->core |= UINT64_C(1) << i;
        heal_node(n);
        if (s->sickness[i] == 7) /* its disk has work that ends some day: nobody waits for that */
            node_crash(n, false, SIM_MS);
    }
    nemesis_recut(s);
}

static void heal_members(struct sim *s)
{
    memset(s->net.clogged_until, 0, sizeof(s->net.clogged_until));
    memset(s->net.loss_ppm, 0, sizeof(s->net.loss_ppm));
    s->core = members_core(s);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        heal_node(&s->nodes[i]);
    nemesis_recut(s);
}

/* A random majority is well from now on; the others may go on as they like. Where the members
 * change, all are: which majority will be asked is not known yet. */
void nemesis_heal(struct sim *s)
{
    unsigned n = s->p.n_voters;
    unsigned count = n / 2 + 1 + (unsigned)sim_below(s, STREAM_HEAL, 0, n - n / 2);
    unsigned order[SIM_NODES_MAX];

    for (unsigned i = 0; i < s->n_episodes; i++)
        end(s, &s->episodes[i]);
    s->healing = true;
    s->cut_off = 0;
    s->alone = 0;
    if (members_are_on(s)) {
        heal_members(s);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned j = (unsigned)sim_below(s, STREAM_HEAL, 1, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    if (is_any_lost(s))
        count = n;
    for (unsigned k = 0; k < n && count > 0; k++) {
        /* Damaged ones may be gone at their next start: they are never needed. */
        if (s->nodes[order[k]].damaged)
            continue;
        s->core |= UINT64_C(1) << order[k];
        count--;
    }
    for (; n < s->p.n_nodes; n++)
        if (!s->nodes[n].damaged && sim_below(s, STREAM_HEAL, 3, 2) == 0)
            s->core |= UINT64_C(1) << n;
    memset(s->net.clogged_until, 0, sizeof(s->net.clogged_until));
    memset(s->net.loss_ppm, 0, sizeof(s->net.loss_ppm));
    for (unsigned i = 0; i < n; i++) {
        if ((s->core >> i & 1) != 0) {
            heal_node(&s->nodes[i]);
            continue;
        }
        MARK(s, healed_with_sick_minority);
        s->sickness[i] = (unsigned)sim_below(s, STREAM_HEAL, 2, 8);
        for (unsigned j = 0; s->sickness[i] == 6 && j < n; j++) {
            s->net.loss_ppm[i][j] = 500000;
            s->net.loss_ppm[j][i] = 500000;
        }
        sim_push_any(s, s->now, EV_FLAP, 0, (uint16_t)(256 + i), NULL);
    }
    nemesis_recut(s);
}
