/* A node: the real engine between the virtual log, state, network and clock. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "sim/lines.h"
#include "sim/sim.h"

#include "base/banned.h"

/* ---- what the engine asks of its host ---- */

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct sim_node *n = ctx;
    int r;

    oracle_submit(n, ready);
    r = wal_submit(n, ready);
    TRACE(n->sim,
          "n%u submits batch %" PRIu64 " term %" PRIu64 " truncate %" PRIu64
          " entries %u, last %" PRIu64,
          n->i + 1, ready->batch, ready->hard_state.current_term, ready->truncate_from,
          ready->n_entries, n->wal.tail.n);
    return r;
}

static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    return wal_read(ctx, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct sim_node *n = ctx;

    pieces_send(n, m);
    oracle_send(n, m);
    net_send(n, m);
}

static void trace(void *ctx, const struct raft_trace *t)
{
    struct sim_node *n = ctx;

    manners_trace(n, t);
    leases_trace(n, t);
    oracle_trace(n, t);
}

static uint64_t now_us(void *ctx)
{
    struct sim_node *n = ctx;

    n->clocks.read_at = n->sim->now + n->cpu_ns;
    return clock_local_us(n);
}

static int recovered(void *ctx, const struct store_recovered *r)
{
    struct sim_node *n = ctx;
    int rc = wal_recovered(n, r);

    if (rc == 0)
        oracle_boot(n, r, state_last_applied(n));
    return rc;
}

static bool peer_connected(void *ctx, raft_node_id id)
{
    return net_is_up(ctx, id);
}

static void end(void *ctx, const struct engine_end *why)
{
    struct sim_node *n = ctx;

    n->fatal_error = why->error;
    n->fatal_what = why->what;
    n->fatal_judged = n->fatal_judged || n->state.failed;
}

/* ---- looking ---- */

bool node_is_voter(const struct sim_node *n)
{
    return members_is_voter(&n->sim->committed.configuration, n);
}

unsigned node_quorum(const struct sim *s)
{
    return raft_configuration_n_voters(&s->committed.configuration) / 2 + 1;
}

const struct raft *node_raft(const struct sim_node *n)
{
    return replica_raft(n->replica);
}

struct sim_node *node_of_id(struct sim *s, raft_node_id id)
{
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if (s->nodes[i].id == id)
            return &s->nodes[i];
    return NULL;
}

struct sim_node *node_leader(struct sim *s)
{
    struct sim_node *best = NULL;

    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        struct sim_node *n = &s->nodes[i];

        if (n->life == NODE_UP && raft_get_role(node_raft(n)) == RAFT_LEADER &&
            (best == NULL || raft_get_term(node_raft(n)) > raft_get_term(node_raft(best))))
            best = n;
    }
    return best;
}

/* ---- the turn ---- */

void node_arm(struct sim_node *n, uint64_t deadline_local_us)
{
    uint64_t at = clock_when(n, deadline_local_us);

    if (at == UINT64_MAX || (n->tick_at != 0 && n->tick_at <= at))
        return;
    n->tick_at = at > n->sim->now ? at : n->sim->now + 1;
    sim_push(n->sim, n->tick_at, EV_TICK, n, 0, NULL);
}

void node_input(struct sim_node *n)
{
    n->dirty = true;
}

void node_turn(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct raft *r;
    uint64_t before_ns;

    n->turn_due = false;
    if (n->life != NODE_UP)
        return;
    s->n_turns++;
    before_ns = n->cpu_ns;
    n->longest_ns = 0;
    n->reading_ns = 0;
    if (n->fatal_error == 0)
        engine_turn(n->engine, clock_local_us(n));
    oracle_turn_time(n, n->cpu_ns - before_ns);
    if (n->fatal_error != 0) {
        TRACE(s, "n%u ends: %s (%d)", n->i + 1, n->fatal_what, n->fatal_error);
        if (!n->fatal_judged && !snap_put_back(n))
            sim_fail(s, "DISK-21", "n%u ends although nothing is wrong: %s (%d: %s)", n->i + 1,
                     n->fatal_what, n->fatal_error, err_text());
        node_crash(n, sim_below(s, STREAM_CRASH, 32 + n->i, 3) == 0,
                   20 * SIM_MS + sim_below(s, STREAM_CRASH, 32 + n->i, 400 * SIM_MS));
        return;
    }
    clients_replies(n);
    lines_turn(n);
    wal_kick(n);
    snap_kick(n);
    members_kick(n);
    r = node_raft(n);
    oracle_turn(n);
    if (snap_turn(n))
        return;
    /* FIT-8: whatever lags, restarts or is rebuilt here, states at one index are equal. */
    if (engine_n_alarms(n->engine) != 0 && !s->has_ghost)
        sim_fail(s, "FIT-8", "n%u says that its state differs from another's", n->i + 1);
    trace_note(s, raft_get_term(r) << 8 | (uint64_t)raft_get_role(r), raft_get_commit_index(r),
               replica_last_applied(n->replica) << 4 | n->i);
    /* Deadlines of requests are armed when they come; a late expiry waits for the next of these. */
    node_arm(n, raft_deadline_us(r));
    if (n->snap.disk != NULL || members_are_on(s))
        node_arm(n, engine_deadline_us(n->engine));
    if (s->p.cpu_entry_ns != 0 && replica_deadline_us(n->replica) == 0) { /* cut: it goes on */
        MARK(s, turn_cut);
        node_arm(n, 0);
    }
}

/* ---- life ---- */

void node_init(struct sim *s, unsigned i)
{
    struct sim_node *n = &s->nodes[i];

    n->clock.base_local = sim_draw(s, STREAM_CLOCK, i) >> 2;
    n->clock.ppm =
        (int64_t)sim_below(s, STREAM_CLOCK, i, 2 * s->p.drift_ppm + 1) - (int64_t)s->p.drift_ppm;
    n->life = NODE_DOWN;
    clocks_node_init(n);
    leases_node_init(n);
    state_init(n);
    wal_create(n);
    snap_node_init(n);
    n->boot = 1;
    if (n->waits)
        return;
    sim_push(s, sim_below(s, STREAM_TURN, i, 50 * SIM_MS), EV_BOOT, n, 0, NULL);
}

void node_done(struct sim_node *n)
{
    n->dying = true;
    lines_node_down(n);
    node_close(n);
    wal_done(n);
    state_done(n);
    snap_node_done(n);
}

void node_out(struct sim_node *n)
{
    struct sim *s = n->sim;

    TRACE(s, "n%u is out for ever", n->i + 1);
    MARK(s, out_for_ever);
    if (!n->damaged)
        sim_fail(s, "DISK-21", "n%u stays out and nothing was wrong with it", n->i + 1);
    n->life = NODE_OUT;
    n->boot++;
}

static void raft_conf_fill(struct sim_node *n, struct raft_conf *c)
{
    struct sim *s = n->sim;

    /* One draw for each life, not for each attempt at one. */
    if (n->seed == 0)
        n->seed = sim_draw(s, STREAM_TURN, 16 + n->i);
    raft_conf_init(c);
    c->id = n->id;
    c->seed = n->seed;
    c->nonce = sim_mix(n->seed, 1) | 1;
    c->election_timeout_us = s->p.election_us;
    c->heartbeat_us = s->p.heartbeat_us;
    c->rounds_max = s->p.rounds_max;
    c->append_bytes_max = s->p.append_bytes_max;
    c->inflight_bytes_max = s->p.inflight_bytes_max;
    c->cache_bytes_max = s->p.cache_bytes_max;
    c->lease_us = n->lease.lease_us;
}

static void boot_later(struct sim_node *n)
{
    n->boot++;
    sim_push(n->sim,
             n->sim->now + SIM_MS + sim_below(n->sim, STREAM_CRASH, 16 + n->i, 100 * SIM_MS),
             EV_BOOT, n, 0, NULL);
}

void node_close(struct sim_node *n)
{
    engine_free(n->engine, false);
    n->engine = NULL;
    n->replica = NULL;
    n->wal.store = NULL;
}

/* Whether the engine of the next life is there; otherwise *ret_how says what becomes of the node. */
static bool open_engine(struct sim_node *n, enum wal_boot *ret_how)
{
    const struct service_conf service = {
        .node_name = n->name, .cluster_name = "sim", .seed = n->id, .memory = &n->memory};
    struct engine_ops ops = {.ctx = n,
                             .now_us = now_us,
                             .send = send_msg,
                             .end = end,
                             .trace = trace,
                             .log_submit = log_submit,
                             .log_read = log_read,
                             .recovered = recovered};
    struct engine_state state;
    struct engine_conf conf = {
        .node_name = n->name, .log_path = "wal", .quota_bytes = n->quota_bytes, .state = &state};
    int rc;

    *ret_how = WAL_REFUSED;
    if (!wal_may_open(n, &conf.log))
        return false;
    raft_conf_fill(n, &conf.raft);
    state_fill(n, &state);
    snap_conf(n, &conf);
    snap_opening(n);
    if (snap_is_on(n->sim))
        ops.peer_connected = peer_connected;
    if (members_are_on(n->sim)) {
        members_engine(n, &ops);
        conf.may_be_stranger = true;
    }
    if (lines_are_on(n->sim))
        lines_engine(n, &ops);
    clocks_engine(n, &ops);
    gone_engine(n, &ops);
    rc = engine_new(&ops, ops.out != NULL ? &service : NULL, &n->engine);
    rid_assert(rc == 0);
    rc = engine_open(n->engine, &conf);
    if (rc == ENGINE_E_CONTRADICTION || rc == ENGINE_E_NOT_MEMBER || rc == ENGINE_E_MEMORY)
        sim_fail(n->sim, "DISK-20", "n%u cannot start with what it recovered: %s", n->i + 1,
                 err_text());
    if (rc != 0) {
        node_close(n);
        *ret_how = wal_not_open(n, rc);
        return false;
    }
    n->replica = engine_replica(n->engine);
    rc = engine_read_ahead(n->engine);
    rid_assert(rc == 0);
    return true;
}

void node_boot(struct sim_node *n)
{
    struct sim *s = n->sim;
    enum wal_boot how;

    if (n->waits)
        return;
    state_open(n);
    clocks_boot(n);
    leases_boot(n);
    if (!open_engine(n, &how)) {
        state_crash(n, false);
        if (how == WAL_AGAIN)
            boot_later(n);
        else
            node_out(n);
        return;
    }
    n->seed = 0;
    n->life = NODE_UP;
    n->boot++;
    n->tick_at = 0;
    n->join_due = false;
    n->join_waits = false;
    n->turn_due = false;
    n->cpu_ns = 0;
    n->busy_until = 0;
    n->fatal_error = 0;
    n->fatal_judged = false;
    n->round = 0;
    n->manners = (struct sim_manners){0};
    n->state.failed = n->state.fail_commit = false;
    snap_opened(n);
    TRACE(s, "n%u is up: term %" PRIu64 " last %" PRIu64 " applied %" PRIu64, n->i + 1,
          raft_get_term(node_raft(n)), n->wal.tail.n, state_last_applied(n).index);
    net_node_up(n);
    node_input(n);
}

void node_crash(struct sim_node *n, bool machine, uint64_t restart_after)
{
    struct sim *s = n->sim;

    if (n->life != NODE_UP)
        return;
    TRACE(s, "n%u %s", n->i + 1, machine ? "loses power" : "is killed");
    if (machine)
        MARK(s, crash_machine);
    else
        MARK(s, crash_process);
    n->dying = true;
    leases_count(n);
    snap_dies(n);
    engine_stop(n->engine);
    lines_node_down(n);
    n->replica = NULL;
    n->dying = false;
    n->life = NODE_DOWN;
    clients_node_died(n);
    wal_crash(n, machine);
    snap_dead(n, machine);
    state_crash(n, machine);
    n->boot++;
    n->fatal_error = 0;
    n->paused_until = 0;
    if (n->suspended)
        clocks_wake(n);
    if (machine)
        clocks_lose_power(n);
    net_node_down(n);
    if (!machine)
        gone_node_died(n);
    sim_push(s, s->now + restart_after, EV_BOOT, n, 0, NULL);
}
