/* One run: what the seed makes of the world, the loop, and at the end the demand for progress.
 *
 * LIVE-1: when a majority is well, one leader within a bound, and the same one for twenty election
 * timeouts, while the others may go on being sick. LIVE-2: writes and reads of each mode are answered,
 * and the healthy become equal. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/lines.h"
#include "sim/sim.h"

#include "base/banned.h"

#define STABLE_ELECTIONS 20u
#define LEADER_ELECTIONS 120u
#define DRAIN_ELECTIONS  40u
#define CHANGE_ELECTIONS 20u
#define HEALING_EVENTS   400000u

/* ---- the world of a seed ---- */

static uint64_t pick(struct sim *s, const uint64_t *from, unsigned n)
{
    return from[sim_below(s, STREAM_PROFILE, 1, n)];
}
/* Of those alone that are drawn for CPU time: the others stay as they are. */
static uint64_t pick_cpu(struct sim *s, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t from[] = {a, b, c};

    return from[sim_below(s, STREAM_PROFILE, 9, 3)];
}
#define PICK(s, ...)                                                                               \
    pick((s), (const uint64_t[]){__VA_ARGS__},                                                     \
         sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void profile_network(struct sim *s, struct profile *p)
{
    uint64_t election_ns = p->election_us * 1000;

    s->net.connections = sim_below(s, STREAM_PROFILE, 2, 2) == 0;
    if (s->net.connections)
        MARK(s, seeds_connection);
    else
        MARK(s, seeds_datagram);
    p->delay_min_ns = PICK(s, 1000, 20000, 100000);
    p->delay_spread_ns = PICK(s, election_ns / 1000, election_ns / 100, election_ns / 30) + 1;
    p->delay_tail_ppm = (unsigned)PICK(s, 0, 1000, 30000);
    p->loss_ppm = (unsigned)PICK(s, 0, 1000, 20000, 100000, 300000);
    p->dup_ppm = (unsigned)PICK(s, 0, 1000, 20000, 300000);
    p->replay_ppm = (unsigned)PICK(s, 0, 1000, 20000, 200000);
    p->flip_ppm = sim_below(s, STREAM_PROFILE, 2, 50) == 0 ? 2000 : 0;
    p->break_ppm = (unsigned)PICK(s, 0, 0, 500, 5000);
    p->chunked = sim_below(s, STREAM_PROFILE, 2, 3) == 0;
    p->old_after_new = sim_below(s, STREAM_PROFILE, 2, 2) == 0;
    p->pipe_bytes_max = PICK(s, 4096, 65536, 1u << 20);
    /* Half of the kinds are off, so that the others get further. */
    if (sim_below(s, STREAM_PROFILE, 6, 8) > 0) {
        unsigned *kinds[] = {&p->delay_tail_ppm, &p->loss_ppm,  &p->dup_ppm,
                             &p->replay_ppm,     &p->break_ppm, &p->piece_ppm};

        p->piece_ppm = (unsigned)PICK(s, 20000, 100000, 400000);
        for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            if (sim_below(s, STREAM_PROFILE, 6, 2) == 0)
                *kinds[i] = 0;
    }
    if (p->piece_ppm > 0)
        MARK(s, seeds_pieces);
}

static void profile_disk(struct sim *s, struct profile *p)
{
    uint64_t election_ns = p->election_us * 1000;

    p->disk_min_ns = PICK(s, 1000, 20000, 200000);
    p->disk_spread_ns = PICK(s, 1000, election_ns / 200, election_ns / 20) + 1;
    p->disk_early_percent = (unsigned)PICK(s, 0, 50, 100);
    p->disk_write_max = PICK(s, 0, 0, 0, 700);
    p->disk_batch_bytes_max = PICK(s, 0, 0, 100, 1000);
    if (sim_below(s, STREAM_PROFILE, 7, 8) == 0)
        p->slow_sync_percent = (unsigned)PICK(s, 30, 60, 100, 150);
    if (p->slow_sync_percent > 0)
        MARK(s, seeds_slow_disk);
    p->segment_first_bytes = PICK(s, 8192, 16384, 65536);
    p->segment_bytes = PICK(s, 8192, 16384, 32768, 65536);
    p->checkpoint = (unsigned)PICK(s, 4, 32, 128);
}

static void profile_load(struct sim *s, struct profile *p)
{
    p->n_clients = 3 + (unsigned)sim_below(s, STREAM_PROFILE, 3, 6);
    p->n_keys = 2 + (unsigned)sim_below(s, STREAM_PROFILE, 3, SIM_KEYS_MAX - 2);
    for (unsigned i = 0; i < OP_TRANSFER; i++)
        p->weights[i] = (unsigned)sim_below(s, STREAM_PROFILE, 4, 20);
    p->weights[OP_READ] += (unsigned)sim_below(s, STREAM_PROFILE, 4, 60);
    p->weights[OP_WRITE] += 5;
    p->weights[OP_TRANSFER] = (unsigned)PICK(s, 0, 0, 1, 3);
    p->large_percent = (unsigned)PICK(s, 0, 0, 3, 30);
    p->large_bytes = 6000;
    p->leave_ppm = (unsigned)PICK(s, 0, 2000, 30000);
    p->stray_percent = (unsigned)PICK(s, 2, 10, 50);
    p->reside_percent = (unsigned)PICK(s, 0, 0, 30, 100);
    p->timeout_us = p->election_us * PICK(s, 1, 4, 16);
}

/* In some seeds work takes time: a batch of entries takes longer than an election. What comes in in
 * the long run is less than what a node can do. */
static void profile_cpu(struct sim *s, struct profile *p)
{
    if (sim_below(s, STREAM_PROFILE, 9, 6) != 0)
        return;
    MARK(s, seeds_slow_cpu);
    p->cpu_entry_ns = p->heartbeat_us * pick_cpu(s, 2, 10, 40);
    p->cpu_read_ns = p->heartbeat_us * pick_cpu(s, 1, 10, 60);
    p->cpu_msg_ns = p->heartbeat_us * pick_cpu(s, 0, 1, 4);
    p->cpu_byte_ps = p->heartbeat_us * pick_cpu(s, 0, 10, 50);
    /* Much at once, so that there is more than a turn has time for. */
    p->burst = (unsigned)pick_cpu(s, 0, 10, 60);
    p->weights[OP_READ_LOCAL] += 10;
    p->weights[OP_WRITE] += 10;
}

static bool has_feature(struct sim *s, enum sim_feature which, unsigned one_in)
{
    return sim_below(s, STREAM_FEATURE, which, one_in) == 0 &&
           (s->options.features_off >> which & 1) == 0;
}

/* Long values, and all that must be able to hold one. */
static void profile_lines(struct sim *s, struct profile *p)
{
    p->features |= UINT64_C(1) << FEATURE_LINES;
    MARK(s, seeds_lines);
    p->flood = sim_below(s, STREAM_FEATURE, 18, 2) == 0;
    /* Less than a file may name, so that little is much: room for one reply, doubled twice. */
    p->memory_bytes = p->flood ? (size_t)6 << 20 : MEMORY_BYTES_MIN;
    p->segment_first_bytes = p->segment_bytes = (size_t)4 << 20;
    if (p->cpu_entry_ns == 0)
        return;
    /* The longest value takes a quarter of a heartbeat. */
    p->cpu_element_ns = p->heartbeat_us / 800;
    if (p->cpu_byte_ps > p->heartbeat_us / 2)
        p->cpu_byte_ps = p->heartbeat_us / 2;
}

static void profile_features(struct sim *s, struct profile *p)
{
    if (has_feature(s, FEATURE_STRANGER, 6) && p->n_nodes > 1 && s->net.connections) {
        p->features |= UINT64_C(1) << FEATURE_STRANGER;
        MARK(s, seeds_stranger);
    }
    if (has_feature(s, FEATURE_LINES, 50))
        profile_lines(s, p);
    if (has_feature(s, FEATURE_SPACE, 8)) {
        p->features |= UINT64_C(1) << FEATURE_SPACE;
        MARK(s, seeds_space);
        p->large_percent = 20 + (unsigned)sim_below(s, STREAM_FEATURE, 17, 50);
        p->large_bytes = 500 + (unsigned)sim_below(s, STREAM_FEATURE, 17, 16000);
        /* Enough for short values under all keys, and for some long ones. */
        p->quota_bytes = p->n_keys * 128 + 256 +
                         sim_below(s, STREAM_FEATURE, 17, p->n_keys * p->large_bytes / 2);
    }
}

/* Little of everything, so that all of it happens in a run of some hundred entries. */
static void profile_snapshots(struct sim *s, struct profile *p)
{
    static const uint64_t log_bytes[] = {1000, 4000, 16000, 60000};
    static const uint64_t keep_bytes[] = {0, 0, 5000, 20000, 100000};
    const uint64_t election_ns = p->election_us * 1000;

    if (sim_below(s, STREAM_FEATURE, FEATURE_SNAPSHOTS, 4) == 0 ||
        (s->options.features_off >> FEATURE_SNAPSHOTS & 1) != 0)
        return;
    p->features |= UINT64_C(1) << FEATURE_SNAPSHOTS;
    MARK(s, seeds_snapshots);
    p->snap_log_bytes = log_bytes[sim_below(s, STREAM_SNAP, 40, 4)];
    p->snap_keep_bytes = keep_bytes[sim_below(s, STREAM_SNAP, 40, 5)];
    p->snap_mib_per_s = (unsigned)sim_below(s, STREAM_SNAP, 40, 2);
    p->snap_chore_ns = 1 + (election_ns >> sim_below(s, STREAM_SNAP, 40, 8));
    p->snap_every_ns = election_ns * (1 + sim_below(s, STREAM_SNAP, 40, 8));
    if ((p->features >> FEATURE_LINES & 1) != 0 || sim_below(s, STREAM_SNAP, 40, 8) == 0)
        return;
    p->segment_first_bytes = p->segment_bytes = 8192;
}

static void draw_profile(struct sim *s)
{
    struct profile *p = &s->p;

    p->n_nodes = (unsigned)PICK(s, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7);
    if (s->options.n_nodes != 0)
        p->n_nodes = s->options.n_nodes;
    p->n_voters = p->n_nodes;
    if (p->n_voters == 1)
        MARK(s, seeds_single);
    if (p->n_voters % 2 == 0)
        MARK(s, seeds_even);
    if (sim_below(s, STREAM_PROFILE, 5, 4) == 0 && s->options.n_nodes == 0) {
        p->n_nodes += 1 + (unsigned)sim_below(s, STREAM_PROFILE, 5, 2);
        if (p->n_nodes > SIM_NODES_MAX)
            p->n_nodes = SIM_NODES_MAX;
    }
    if (p->n_nodes > p->n_voters)
        MARK(s, seeds_learner);
    p->election_us = PICK(s, 30000, 100000, 500000);
    p->heartbeat_us = p->election_us / PICK(s, 3, 5, 10);
    p->rounds_max = 1 + (unsigned)sim_below(s, STREAM_PROFILE, 1, 4);
    p->append_bytes_max = PICK(s, 200, 4096, 65536);
    p->inflight_bytes_max = PICK(s, 500, 16384, 1u << 20);
    p->cache_bytes_max = PICK(s, 500, 8192, 4u << 20);
    p->turn_lag_ns = PICK(s, 0, 0, 50000, 500000);
    p->drift_ppm = (unsigned)PICK(s, 0, 50, 500);
    p->length_ns = p->election_us * 1000 * (20 + sim_below(s, STREAM_PROFILE, 1, 80));
    p->events = 4000 + sim_below(s, STREAM_PROFILE, 1, 12000);
    p->lmdb = sim_below(s, STREAM_PROFILE, 1, 50) == 0;
    if (p->lmdb)
        MARK(s, seeds_lmdb);
    profile_network(s, p);
    profile_disk(s, p);
    profile_load(s, p);
    profile_cpu(s, p);
    p->n_founders = p->n_nodes;
    members_profile(s);
    if (!members_are_on(s))
        profile_features(s, p);
    profile_snapshots(s, p);
    sessions_profile(s);
    leases_profile(s);
    gone_profile(s);
    ways_profile(s);
    if (members_are_on(s) && snap_is_on(s))
        MARK(s, seeds_members_snapshots);
}

struct sim *run_new(const struct sim_options *options)
{
    struct sim *s = sim_alloc(sizeof(*s));

    s->options = *options;
    s->hash = options->seed;
    sim_draws_init(s);
    draw_profile(s);
    raft_configuration_init(&s->configuration);
    s->configuration.version = s->p.knows_gates ? GATES_VERSION : 0;
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        struct sim_node *n = &s->nodes[i];

        n->sim = s;
        n->i = i;
        (void)snprintf(n->name, sizeof(n->name), "n%u", i + 1);
        n->id = raft_founder_id(n->name);
        if (i >= s->p.n_founders)
            continue;
        (void)raft_configuration_add(&s->configuration, n->id, n->name,
                                     i < s->p.n_voters ? RAFT_VOTER : RAFT_LEARNER, "", "");
    }
    s->committed = (struct raft_config_at){.index = 1, .configuration = s->configuration};
    members_init(s);
    net_init(s);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        node_init(s, i);
    oracle_init(s);
    clients_init(s);
    nemesis_plan(s);
    gone_plan(s);
    stranger_init(s);
    lines_init(s);
    snap_init(s);
    clocks_init(s);
    return s;
}

void run_free(struct sim *s)
{
    struct sim_event e;

    for (unsigned i = 0; i < s->p.n_nodes; i++)
        node_done(&s->nodes[i]);
    while (sim_pop(s, &e))
        net_event_free(&e);
    lines_done(s);
    clients_done(s);
    net_done(s);
    oracle_done(s);
    free(s->heap);
    free(s);
}

/* ---- events ---- */

static bool of_a_node(enum sim_event_kind kind)
{
    return kind <= EV_LINK_UP || kind == EV_DISK || kind == EV_DISK_IDLE || kind == EV_READ ||
           kind == EV_SUBMIT || kind == EV_CHORE || kind == EV_JOIN || kind == EV_STRANGER ||
           kind == EV_TALK || kind == EV_GONE;
}

/* It works. What comes meanwhile is taken in before anything is judged late (TIME-3): ticks and turns
 * are the last. But taking in has a share of a turn, and then the turn comes, as with engine_drain():
 * a node whose messages each take longer than they are apart would never have one. */
static bool wait_for_the_node(struct sim *s, struct sim_node *n, struct sim_event e)
{
    const uint64_t share_ns = s->p.heartbeat_us * 1000 / 2 / TURN_SHARES;
    const bool is_over = e.kind == EV_TURN && s->now >= n->turn_since + share_ns;
    const bool last = e.kind == EV_TICK || (e.kind == EV_TURN && !is_over);
    const uint64_t at = n->busy_until + (last ? 1 : 0);

    if (e.kind == EV_TICK)
        n->tick_at = at;
    sim_push_again(s, e, at, is_over);
    return true;
}

/* True: it came too early, or for a life that is over. */
static bool put_off(struct sim *s, struct sim_event e)
{
    struct sim_node *n = &s->nodes[e.node];

    if (e.boot != 0 && e.boot != n->boot)
        return true;
    if (e.kind == EV_TICK && e.at != n->tick_at)
        return true;
    if (!of_a_node((enum sim_event_kind)e.kind) || n->life != NODE_UP)
        return false;
    if (n->paused_until <= s->now) {
        nemesis_wake(n);
        return n->busy_until > s->now && wait_for_the_node(s, n, e);
    }
    if (e.kind == EV_TICK)
        n->tick_at = n->paused_until;
    sim_push_again(s, e, n->paused_until,
                   e.kind == EV_TICK && (n->paused_until / 1000 + n->i) % 2 == 0);
    return true;
}

static void dispatch(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->node];

    switch ((enum sim_event_kind)e->kind) {
    case EV_TICK:
        n->tick_at = 0;
        node_input(n);
        break;
    case EV_TURN:
        node_turn(n);
        break;
    case EV_DATAGRAM:
        net_datagram(s, e);
        break;
    case EV_PIPE:
        net_pipe(s, e);
        break;
    case EV_LINK_DOWN:
    case EV_LINK_UP:
    case EV_LINK_DIAL:
        net_link_event(s, e);
        break;
    case EV_DISK:
        wal_event(n);
        break;
    case EV_DISK_IDLE:
        wal_idle_event(n);
        break;
    case EV_READ:
        wal_read_event(n);
        break;
    case EV_CHORE:
        snap_chore_event(n, e->arg);
        break;
    case EV_SNAP:
        snap_event(s, e);
        break;
    case EV_MEMBER:
        members_event(s, e);
        break;
    case EV_JOIN:
        members_join_event(n);
        break;
    case EV_CLOCK:
        clocks_event(s, e);
        break;
    case EV_CLIENT:
        client_event(s, e->arg);
        break;
    case EV_SUBMIT:
        client_submit(s, e->p);
        break;
    case EV_EPISODE_BEGIN:
    case EV_EPISODE_END:
    case EV_FLAP:
        nemesis_event(s, e);
        break;
    case EV_BOOT:
        node_boot(n);
        break;
    case EV_GONE:
        gone_event(s, e);
        break;
    case EV_STRANGER:
        stranger_event(s, e->node);
        break;
    case EV_TALK:
        lines_event(s, e->arg);
        break;
    case EV_KIND_COUNT:
        break;
    }
}

static void turn_or_later(struct sim *s, struct sim_node *n)
{
    n->dirty = false;
    if (n->life != NODE_UP)
        return;
    if (s->p.turn_lag_ns == 0 || n->fatal_error != 0) {
        node_turn(n);
    } else if (!n->turn_due) {
        n->turn_due = true;
        n->turn_since = s->now;
        sim_push(s, s->now + sim_below(s, STREAM_TURN, n->i, s->p.turn_lag_ns), EV_TURN, n, 0,
                 NULL);
    }
}

static void is_busy(struct sim_node *n)
{
    if (n->cpu_ns == 0)
        return;
    n->busy_until = n->sim->now + n->cpu_ns;
    n->cpu_ns = 0;
}

static void step(struct sim *s, const struct sim_event *e)
{
    struct sim_node *n = &s->nodes[e->node];

    s->n_events++;
    s->current_node = e->node;
    trace_note(s, e->at, (uint64_t)e->kind << 32 | (uint64_t)e->node << 16 | e->arg, s->n_events);
    dispatch(s, e);
    if (n->dirty)
        turn_or_later(s, n);
    is_busy(n);
    /* Somebody else may have looked at its clocks, too, and been held up. */
    for (unsigned i = 0; s->p.held_up_one_in != 0 && i < s->p.n_nodes; i++)
        is_busy(&s->nodes[i]);
}

/* ---- progress ---- */

static void heal(struct sim *s)
{
    static const unsigned weights[OP_COUNT] = {4, 2, 1, 8, 3, 3, 0};

    TRACE(s, "a majority is healed");
    nemesis_heal(s);
    net_heal(s);
    memcpy(s->p.weights, weights, sizeof(weights));
    ways_heal(s);
    s->p.delay_tail_ppm = 0;
    s->p.loss_ppm = 0;
    s->p.break_ppm = 0;
    s->p.flip_ppm = 0;
    s->p.piece_ppm = 0;
    if (s->p.quota_bytes != 0)
        s->p.large_percent = 0;
    s->p.timeout_us = s->p.election_us * (s->p.slow_sync_percent > 0 ? 24 : 8);
    for (unsigned i = 0; i < s->p.n_clients; i++) {
        s->clients[i].on = true;
        s->clients[i].interval_ns = s->p.election_us * 500;
        s->clients[i].in_flight_max = 2;
        sim_push_any(s, s->now, EV_CLIENT, 0, (uint16_t)(i | 256), NULL);
    }
    s->waiting_since = s->now;
    s->next_look = s->now;
    if (members_are_on(s)) /* who joins from now on is behind this, whoever is up */
        s->backlog = s->oracle.committed;
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if ((s->core >> i & 1) != 0 && s->nodes[i].life == NODE_UP) {
            struct raft_status st;

            raft_get_status(node_raft(&s->nodes[i]), &st);
            s->backlog = st.last_index > s->backlog ? st.last_index : s->backlog;
        }
}

/* What the healthy nodes had in their logs is committed before anything that is asked now, and with
 * slow disks, small appends and small windows that takes longer than any number of elections. So
 * the time that is given begins when it is done, or no longer goes on. */
static void await_backlog(struct sim *s)
{
    if (s->backlog_done >= s->backlog || s->oracle.committed <= s->backlog_done)
        return;
    s->backlog_done = s->oracle.committed;
    s->waiting_since = s->now;
}

/* Where it may take a minute, there are so many more heartbeats. */
static uint64_t healing_events(const struct sim *s)
{
    return snap_is_on(s) || members_are_on(s) ? 8 * HEALING_EVENTS : HEALING_EVENTS;
}

static bool all_answered(const struct sim *s)
{
    return s->ok_since_stable[OP_WRITE] > 0 && s->ok_since_stable[OP_CAS] > 0 &&
           s->ok_since_stable[OP_DELETE] > 0 && s->ok_since_stable[OP_READ] > 0 &&
           s->ok_since_stable[OP_READ_LOG] > 0 && s->ok_since_stable[OP_READ_LOCAL] > 0 &&
           (!ways_are_on(s) ||
            (s->ok_since_stable[OP_READ_FOLLOWER] > 0 && s->ok_since_stable[OP_READ_LEASE] > 0 &&
             s->ok_since_stable[OP_READ_BOUNDED] > 0 && s->ok_since_stable[OP_READ_TOKEN] > 0));
}

/* FIT-9: where a majority of the voters is well and right, who is wrong does not stay so. */
static bool wrong_is_mended(struct sim *s)
{
    unsigned n_right = 0;
    bool is_there = false;

    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if ((s->core >> i & 1) == 0 || n->life != NODE_UP || stranger_shut_out(s, n))
            continue;
        is_there |= n->state.ghost != 0;
        n_right += i < s->p.n_voters && n->state.ghost == 0;
    }
    return !is_there || 2 * n_right <= s->p.n_voters;
}

/* Where a check came to no majority, because a voter was away for that moment, the next one is a
 * minute later, whatever the election timeout: so much longer than all else that it has a time of
 * its own, and nothing else is judged meanwhile. */
static void await_mending(struct sim *s)
{
    const uint64_t most_ns =
        AGREE_AGAIN_US * UINT64_C(1000) + DRAIN_ELECTIONS * s->p.election_us * 1000;

    if (s->now > s->drained_at + most_ns && !snap_is_in_doubt(s))
        sim_fail(s, "FIT-9", "a majority is right, and a node with another state is not mended");
    s->stable_since = s->now;
    s->events_most = s->n_events + healing_events(s);
}

static bool core_is_equal(struct sim *s)
{
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if ((s->core >> i & 1) != 0 && !stranger_shut_out(s, n) &&
            (n->life != NODE_UP || replica_last_applied(n->replica) != s->oracle.committed ||
             (snap_is_on(s) && replica_rebuilding(n->replica))))
            return false;
    }
    for (unsigned i = 0; i < s->p.n_clients; i++)
        if (s->clients[i].n_in_flight != 0)
            return false;
    return true;
}

/* Does any healthy node apply more than at the last look? A follower far behind, with small appends
 * and a network that reorders them, comes nearer for longer than any fixed time. */
static bool core_comes_nearer(struct sim *s)
{
    uint64_t applied = 0;
    bool nearer;

    if (members_are_on(s) && s->core != s->drained_core) {
        s->drained_core = s->core;
        s->drained_applied = 0;
    }
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        if ((s->core >> i & 1) != 0 && s->nodes[i].life == NODE_UP)
            applied += replica_last_applied(s->nodes[i].replica);
    nearer = applied > s->drained_applied;
    if (nearer)
        s->drained_applied = applied;
    return nearer;
}

static const char *who_is_where(const struct sim *s)
{
    static char text[256];
    size_t len = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if ((s->core >> i & 1) == 0)
            continue;
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, "n%u at %" PRIu64 "%s%s, ", i + 1,
                             n->life == NODE_UP ? replica_last_applied(n->replica) : 0,
                             n->life == NODE_UP ? "" : " down",
                             n->life == NODE_UP && replica_is_parked(n->replica) ? " parked" : "");
    }
    (void)snprintf(text + len, sizeof(text) - len, "committed %" PRIu64, s->oracle.committed);
    return text;
}

/* Who was away, for however long, comes to what the others have: not only a quorum. */
static void every_node(struct sim *s)
{
    snap_rot_at_last(s);
    nemesis_heal_all(s);
    s->drained_at = s->stable_since = s->now;
    s->drained_applied = 0;
    s->events_most = s->n_events + healing_events(s);
}

/* What the logs had when they were healed some member has not yet, or only a snapshot brings it what
 * it needs: a log that keeps nothing may have gone on while it was sent the last one. */
static bool is_any_behind(struct sim *s)
{
    const struct sim_node *leader = node_leader(s);
    const raft_index front = leader != NULL ? store_base(leader->wal.store).index : 0;

    for (unsigned i = 0; i < s->p.n_nodes; i++) {
        const struct sim_node *n = &s->nodes[i];

        if ((s->core >> i & 1) != 0 &&
            (n->life != NODE_UP || replica_last_applied(n->replica) < s->backlog ||
             replica_last_applied(n->replica) < front))
            return true;
    }
    return false;
}

/* Every change comes to its end within that time of healing, where all have what the logs had then:
 * it begins anew while somebody who is behind comes nearer, and with snapshots what came to nothing
 * is tried again. That somebody leads is asked elsewhere. */
static void judge_changes(struct sim *s)
{
    const uint64_t election_ns = s->p.election_us * 1000;
    const char *what = node_leader(s) != NULL ? members_pending(s) : NULL;
    const bool is_behind = is_any_behind(s);

    if (s->changing_since == 0)
        s->changing_since = s->now;
    if ((is_behind || s->was_behind) && core_comes_nearer(s)) {
        s->changing_since = s->now;
        if (s->drained)
            s->stable_since = s->now;
    }
    s->was_behind = is_behind;
    if (what != NULL && s->now > s->changing_since + CHANGE_ELECTIONS * election_ns +
                                     (is_behind ? snap_patience_ns(s) : 0))
        sim_fail(s, "LIVE-2", "a change of the members does not end: %s; %s", what,
                 who_is_where(s));
}

/* All is answered; the nodes come to the same. True: they have. */
static bool look_at_states(struct sim *s)
{
    if (members_are_on(s)) {
        s->core = members_core(s);
        if (members_pending(s) != NULL) {
            s->stable_since = s->now;
            return false;
        }
    }
    if (!wrong_is_mended(s)) {
        await_mending(s);
        if (s->now <= s->drained_at + 2 * AGREE_AGAIN_US * UINT64_C(1000) || !snap_is_in_doubt(s))
            return false;
        MARK(s, left_in_doubt);
        return true;
    }
    if (core_is_equal(s)) {
        for (unsigned i = 0; members_are_on(s) && i < s->p.n_nodes; i++)
            if ((s->core >> i & 1) != 0)
                oracle_state(&s->nodes[i]); /* its digest */
        if (!snap_is_on(s))
            return true;
        if (s->all_healed && snap_long_log(s) == NULL)
            return true;
        if (!s->all_healed)
            every_node(s);
    }
    if (core_comes_nearer(s))
        s->stable_since = s->now;
    if (s->now > s->stable_since + DRAIN_ELECTIONS * s->p.election_us * 1000 + snap_patience_ns(s))
        sim_fail(s, "LIVE-2", "the healthy nodes do not become equal%s: %s",
                 snap_is_on(s) && snap_long_log(s) != NULL ? snap_long_log(s) : "",
                 who_is_where(s));
    return false;
}

/* True: all that is demanded has been seen. */
static bool look(struct sim *s)
{
    const uint64_t election_ns = s->p.election_us * 1000;
    const struct sim_node *leader = node_leader(s);
    raft_term term = leader != NULL ? raft_get_term(node_raft(leader)) : 0;

    s->next_look = s->now + election_ns / 4;
    if (members_are_on(s)) {
        s->core = members_core(s);
        judge_changes(s);
    }
    if (s->drained)
        return look_at_states(s);
    await_backlog(s);
    /* It may be a sick one, as long as it is well enough to lead. */
    if (leader != NULL && !raft_can_serve(node_raft(leader)))
        leader = NULL;
    if (leader == NULL || s->stable_since == 0 || term != s->stable_term) {
        s->stable_since = leader != NULL ? s->now : 0;
        s->stable_term = term;
        memset(s->ok_since_stable, 0, sizeof(s->ok_since_stable));
    } else if (s->now - s->stable_since >= STABLE_ELECTIONS * election_ns && all_answered(s)) {
        s->drained = true;
        s->drained_at = s->now;
        s->stable_since = s->now;
    }
    if (!s->drained &&
        s->now - s->waiting_since > LEADER_ELECTIONS * election_ns + snap_patience_ns(s)) {
        /* Whom it gives no snapshot may be needed for a quorum (SNAP-12). */
        if (snap_is_in_doubt(s)) {
            MARK(s, left_in_doubt);
            return true;
        }
        sim_fail(
            s,
            leader == NULL                                              ? "LIVE-1"
            : s->now - s->stable_since < STABLE_ELECTIONS * election_ns ? "LIVE-1"
                                                                        : "LIVE-2",
            "no progress with a healthy majority: leader %s, stable for %.3f s, answered: %" PRIu64
            " writes %" PRIu64 " reads %" PRIu64 " log reads %" PRIu64
            " local reads, other ways %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
            leader != NULL ? leader->name : "none",
            s->stable_since != 0 ? (double)(s->now - s->stable_since) / 1e9 : 0.0,
            s->ok_since_stable[OP_WRITE], s->ok_since_stable[OP_READ],
            s->ok_since_stable[OP_READ_LOG], s->ok_since_stable[OP_READ_LOCAL],
            s->ok_since_stable[OP_READ_FOLLOWER], s->ok_since_stable[OP_READ_LEASE],
            s->ok_since_stable[OP_READ_BOUNDED], s->ok_since_stable[OP_READ_TOKEN]);
    }
    return false;
}

void run_seed(struct sim *s)
{
    struct sim_event e;

    trace_watch(s);
    while (sim_pop(s, &e)) {
        s->now = e.at;
        if (!s->healing && (s->now >= s->p.length_ns || s->n_events >= s->p.events)) {
            heal(s);
            s->events_most = s->n_events + healing_events(s);
        }
        if (put_off(s, e))
            continue;
        if (s->options.events_max != 0 && s->n_events >= s->options.events_max) {
            net_event_free(&e);
            trace_watch(NULL);
            return;
        }
        step(s, &e);
        if (s->healing && s->now >= s->next_look && look(s))
            break;
        if (s->healing && s->n_events > s->events_most)
            sim_fail(s, "LIVE-2", "too many events for so little progress");
    }
    oracle_end(s);
    for (unsigned i = 0; i < s->p.n_nodes; i++)
        leases_count(&s->nodes[i]);
    trace_watch(NULL);
}
