/* The loop: wait for something, let the callbacks take it in, then one turn, then one flush.
 *
 *   event_base_loop(ONCE)   frames, then the disk, timers and signals, then lines of clients, for
 *                           their share of the turn: all go in; nothing is answered yet
 *   engine_drain()          when a timer is due: frames that came meanwhile go in before it
 *   engine_turn()           which batch reached the disk, then everything that is due: messages,
 *                           which leave at once, log, apply, answers
 *   *_flush()               what else the turn wrote leaves, once per connection
 *
 * So a round of heartbeats serves all reads that arrived in one iteration, and a confirmation that
 * came in with the loss of leadership is seen after it. */
#include "node/node.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/seed.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

/* ---- context for assertions ---- */

static void assert_context(void *ctx, char *buf, size_t size)
{
    const struct node *n = ctx;

    engine_describe(n->engine, buf, size);
}

/* ---- opening ---- */

int node_fail(const char *event, int exit_code)
{
    log_event(LOG_ERROR, event, "error=\"%s\" action=exit_%d", err_text(), exit_code);
    return exit_code;
}

static int open_dir(struct node *n)
{
    unsigned char founding_id[16];
    char command[PATH_MAX + 128];
    struct identity_conf conf = {.data_dir = n->conf->data_dir,
                                 .cluster_id = NULL, /* compared below, and by founders.c */
                                 .node_name = n->self->name,
                                 .command = command};
    int rc;

    conf_founding_id(n->conf, founding_id);
    (void)snprintf(command, sizeof(command), "ridd --config %s --id %s", n->conf->path,
                   n->self->name);
    rc = identity_open(&conf, &n->dir);
    if (rc != 0 && err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "the data directory '%s': %s", n->conf->data_dir,
                      identity_error_text(rc));
    if (rc != 0)
        return node_fail("identity_refused", identity_exit_code(rc));
    n->id = identity_get(n->dir)->node_id;
    n->incarnation = identity_get(n->dir)->incarnation;
    n->founded = memcmp(identity_get(n->dir)->cluster_id, founding_id, 16) == 0;
    (void)snprintf(n->db_path, sizeof(n->db_path), "%s/db", identity_path(n->dir));
    n->wal_fd = identity_open_folder(n->dir, "wal");
    if (n->wal_fd == -ENOENT) {
        (void)err_say(n->wal_fd,
                      "'%s/wal' is missing, but this node had a log: it may have voted and "
                      "forgotten; see LOST DISK in ridd(8)",
                      n->conf->data_dir);
        return node_fail("log_lost", EXIT_DAMAGED);
    }
    if (n->wal_fd < 0) {
        (void)err_say(n->wal_fd, "cannot open '%s/wal': %s", n->conf->data_dir,
                      strerror(-n->wal_fd));
        return node_fail("log_refused", EXIT_IO_ERROR);
    }
    n->snap_fd = identity_make_folder(n->dir, "snap");
    if (n->snap_fd < 0) {
        (void)err_say(n->snap_fd, "cannot open '%s/snap': %s", n->conf->data_dir,
                      strerror(-n->snap_fd));
        return node_fail("state_refused", EXIT_IO_ERROR);
    }
    return 0;
}

/* The founding id says it, before all changes of the members and behind them: these leave what
 * clients have seen where it is. Where a node went on alone some of that may be missing, and the id
 * that it drew then is another one each time (TOKEN-1). Directory and log agree on it, or there is
 * no start (check_founders()). */
static void show_cluster(struct node *n)
{
    const unsigned char *id = identity_cluster(n->dir)->id;

    if (!raft_cluster_id_is_alone(id))
        wire_cluster_hash(identity_get(n->dir)->cluster_id, n->cluster_hash);
    else if (!peer_net_shown_key(id, n->cluster_hash))
        n->cluster_hash[0] = '\0'; /* that of no token */
}

static int make_engine(struct node *n)
{
    struct service_conf conf = {.node_name = n->self->name,
                                .cluster_name = n->conf->cluster_name,
                                .cluster_hash = n->cluster_hash,
                                .seed = seed_fresh(),
                                .memory = &n->memory};
    struct engine_ops ops;
    int rc;

    show_cluster(n);
    node_memory_begin(n);
    node_fill_engine_ops(n, &ops);
    rc = engine_new(&ops, &conf, &n->engine);
    if (rc != 0) {
        (void)err_say(rc, "out of memory");
        return node_fail("core_refused", EXIT_IO_ERROR);
    }
    return 0;
}

void node_snapshots_conf(const struct conf *conf, struct engine_snapshots_conf *ret)
{
    *ret = (struct engine_snapshots_conf){.log_bytes = conf->snapshot_bytes,
                                          .keep_bytes = conf->keep_bytes,
                                          .mib_per_s = conf->snapshot_mib};
}

static int open_engine(struct node *n)
{
    char log_path[PATH_MAX + 8];
    struct engine_conf conf = {.node_name = n->self->name,
                               /* It is told by the log, which it may not have yet. */
                               .may_be_stranger = identity_was_added(n->dir),
                               .log = {.node_id = n->id,
                                       .incarnation = n->incarnation,
                                       .salt_seed = seed_fresh(),
                                       .segment_first_bytes = STORE_SEGMENT_FIRST_BYTES,
                                       .segment_bytes = n->conf->segment_bytes},
                               .log_fd = n->wal_fd,
                               .log_path = log_path,
                               .kv = {.dir = n->db_path, .incarnation = n->incarnation},
                               .quota_bytes = n->conf->map_size_bytes,
                               .snap_fd = n->snap_fd,
                               .scrub_mib_per_s = n->conf->scrub_mib};
    int rc;

    (void)snprintf(log_path, sizeof(log_path), "%s/wal", n->conf->data_dir);
    memcpy(conf.log.cluster_id, identity_get(n->dir)->cluster_id, sizeof(conf.log.cluster_id));
    raft_conf_init(&conf.raft);
    conf.raft.id = n->id;
    conf.raft.election_timeout_us = n->conf->election_us;
    conf.raft.heartbeat_us = n->conf->heartbeat_us;
    conf.raft.rounds_max = n->conf->rounds_max;
    conf.raft.lease_us = n->conf->lease_us;
    conf.raft.fast_failover = n->conf->fast_failover != 0;
    conf.raft.seed = seed_fresh();
    conf.raft.nonce = seed_fresh() | 1; /* 0 is none */
    node_snapshots_conf(n->conf, &conf.snapshots);
    rc = engine_open(n->engine, &conf);
    return rc != 0 ? node_fail(engine_refusal_text(rc), engine_refusal_exit_code(rc)) : 0;
}

/* ---- events ---- */

static void on_durable(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;

    (void)what;
    (void)arg;
    (void)!read(fd, &count, sizeof(count)); /* the turn asks what is durable */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct node *n = arg;
    uint64_t count;

    (void)what;
    n->timer_us = 0;
    (void)!read(fd, &count, sizeof(count)); /* the turn does what is due */
}

/* What is owed is answered; then the process ends with 0. */
static void begin_stop(struct node *n)
{
    notify_send("STOPPING=1\nSTATUS=handing over and answering what is owed");
    client_port_quiesce(n->client_port);
    n->phase = NODE_TRANSFERRING;
    /* What is promised from now on would hold up whoever leads next, also where nobody can be
     * handed over to. */
    engine_set_lease(n->engine, 0);
    n->stop_deadline_us = clock_mono_us() + TRANSFER_US;
    if (raft_get_role(engine_raft(n->engine)) == RAFT_LEADER)
        (void)replica_transfer(engine_replica(n->engine), 0,
                               clock_mono_us()); /* nobody to hand over to: drain at once */
}

/* Not before it was proved (PEER-11). Exit code 0: whoever starts this process again when it fails
 * must not start it now. */
void node_was_removed(struct node *n, raft_node_id told_by, const char *index)
{
    if (n->phase != NODE_RUNNING)
        return;
    log_event(LOG_WARNING, "removed",
              "index=%s told_by=%s why='removed at index %s: this node is no member any more' "
              "action=exit_0",
              index, engine_name_of(n->engine, told_by), index);
    begin_stop(n);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct node *n = arg;

    (void)what;
    if (n->phase != NODE_RUNNING) {
        log_event(LOG_WARNING, "stopping_now", "signal=%d", (int)fd);
        n->phase = NODE_STOPPED;
        return;
    }
    log_event(LOG_INFO, "stopping", "signal=%d", (int)fd);
    begin_stop(n);
}

static void on_dump(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    node_dump_state(arg);
}

static int open_loop(struct node *n)
{
    static const struct {
        int signal;
        event_callback_fn fn;
    } signals[] = {
        {SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, node_on_reload}, {SIGUSR1, on_dump}};
    struct event_config *config = event_config_new();

    if (config == NULL)
        return -ENOMEM;
    /* What the client port watches its sockets with (CLIENT-16). */
    (void)event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    /* One epoll_ctl per change and turn, not per call. */
    (void)event_config_set_flag(config,
                                EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    n->base = event_base_new_with_config(config);
    event_config_free(config);
    if (n->base == NULL)
        return err_say(-EOPNOTSUPP, "libevent gives no loop on epoll: is EVENT_NOEPOLL set, or "
                                    "memory or descriptors short?");
    /* Peers first, clients last, everything else between: libevent takes the class in the
     * middle for what has none (CLIENT-6). */
    if (event_base_priority_init(n->base, NODE_PRIORITIES) != 0)
        return -ENOMEM;
    n->durable_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    n->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (n->durable_fd < 0 || n->timer_fd < 0)
        return err_say(-errno, "cannot make a descriptor of the event loop: %s", strerror(errno));
    n->durable_event = event_new(n->base, n->durable_fd, EV_READ | EV_PERSIST, on_durable, n);
    n->timer = event_new(n->base, n->timer_fd, EV_READ | EV_PERSIST, on_timer, n);
    if (n->durable_event == NULL || n->timer == NULL || event_add(n->durable_event, NULL) != 0 ||
        event_add(n->timer, NULL) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        n->signals[i] =
            event_new(n->base, signals[i].signal, EV_SIGNAL | EV_PERSIST, signals[i].fn, n);
        if (n->signals[i] == NULL || event_add(n->signals[i], NULL) != 0)
            return -ENOMEM;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* A descriptor for each connection: as far as this process may it takes what it was told to, and
 * says before anybody is refused that it is not enough. */
static void raise_fd_limit(const struct conf *conf)
{
    const uint64_t needed = client_port_fds(conf->connections);
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur >= needed)
        return;
    rl.rlim_cur = rl.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur >= needed)
        return;
    (void)getrlimit(RLIMIT_NOFILE, &rl);
    log_event(
        LOG_WARNING, "descriptors_few",
        "limit=%llu connections=%u needed=%llu "
        "why='fewer clients than [limits] connections will be taken' action=raise_LimitNOFILE",
        (unsigned long long)rl.rlim_cur, conf->connections, (unsigned long long)needed);
}

/* [node] listen. */
static int listen_further(struct node *n)
{
    int rc = 0;

    client_port_set_tls(n->client_port, n->tls.clients);
    for (unsigned i = 0; i < n->conf->n_listen && rc == 0; i++)
        rc = client_port_listen(n->client_port, n->conf->listen[i].addr,
                                conf_is_tls(n->conf, n->conf->listen[i].scheme));
    return rc;
}

static int open_ports(struct node *n)
{
    struct client_port_ops client_ops;
    struct client_port_conf client_conf;
    struct peer_net_ops peer_ops;
    struct peer_net_conf peer_conf = {
        .self = n->id, .incarnation = n->incarnation, .seed = seed_fresh(), .tls = n->tls.peers};
    int rc;

    node_fill_peer_ops(n, &peer_ops);
    node_about(n->conf, &peer_conf.about);
    memcpy(peer_conf.cluster_id, identity_get(n->dir)->cluster_id, sizeof(peer_conf.cluster_id));
    rc = peer_net_new(n->base, n->self->peer_addr, &peer_conf, &peer_ops, &n->peer_net);
    if (rc == 0)
        rc = node_peers_take_tls(n);
    if (rc != 0)
        return rc;
    raise_fd_limit(n->conf);
    node_fill_client_ops(n, &client_ops);
    node_client_conf(n, &client_conf);
    rc =
        client_port_new(n->base, n->self->client_addr, conf_is_tls(n->conf, n->self->client_scheme),
                        &client_conf, &client_ops, &n->client_port);
    if (rc == 0)
        rc = listen_further(n);
    if (rc == 0)
        rc = node_access_begin(n);
    if (rc != 0)
        return rc;
    return node_follow_now(n);
}

/* ---- the loop ---- */

static uint64_t due_us(const struct node *n)
{
    uint64_t due = engine_deadline_us(n->engine);

    if (n->phase != NODE_RUNNING && n->stop_deadline_us < due)
        due = n->stop_deadline_us;
    if (n->watchdog_us != 0 && n->watchdog_due_us < due)
        due = n->watchdog_due_us;
    return due;
}

/* A timer of our own, to the microsecond: libevent's clock moves in steps of up to 4 ms, which is
 * more than a heartbeat may last, and exact it costs a system call in each pass (docs/BENCH.md). A
 * time that has become later is left: it wakes the loop once for nothing, and is set then
 * (TIME-6). It waits by the clock that the kernel waits by, which is slewed: when it fires early it
 * is set again. */
static void arm_timer(struct node *n, uint64_t due)
{
    struct itimerspec at = {0};

    if (n->timer_us != 0 && n->timer_us <= due)
        return;
    n->timer_us = due;
    at.it_value = clock_timer_at(due);
    (void)timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Until something has come or is due; where that is so already it does not wait. The loop goes on
 * until nothing more is there: each class has a share, and then takes one step more (TIME-1). */
static int wait_and_take(struct node *n)
{
    const uint64_t now_us = n->turns.ended_us;
    uint64_t due = due_us(n);

    if (due > now_us + NODE_WAIT_US_MAX)
        due = now_us + NODE_WAIT_US_MAX;
    n->clocks.awake_us = due > now_us ? due : now_us;
    if (due > now_us)
        arm_timer(n, due);
    return event_base_loop(n->base, due > now_us ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* A transfer is tried again as long as there is time: the first target may have died. */
static bool still_handing_over(struct node *n, uint64_t now_us)
{
    if (now_us >= n->stop_deadline_us)
        return false;
    return replica_transferring(engine_replica(n->engine)) ||
           (raft_get_role(engine_raft(n->engine)) == RAFT_LEADER &&
            replica_transfer(engine_replica(n->engine), 0, now_us) == 0);
}

static void stop_step(struct node *n, uint64_t now_us)
{
    if (n->phase == NODE_TRANSFERRING) {
        if (still_handing_over(n, now_us))
            return;
        replica_quiesce(engine_replica(n->engine));
        client_port_flush(n->client_port); /* what it answered */
        n->phase = NODE_DRAINING;
        n->stop_deadline_us = now_us + DRAIN_US;
    }
    if (n->phase == NODE_DRAINING &&
        ((client_port_idle(n->client_port) && replica_idle(engine_replica(n->engine))) ||
         now_us >= n->stop_deadline_us))
        n->phase = NODE_STOPPED;
}

/* Frames that wait in the sockets, as far as one look finds them. */
static bool take_frames(void *ctx)
{
    struct node *n = ctx;
    uint64_t before = n->n_frames;

    (void)event_base_loop(n->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return n->n_frames != before;
}

/* What it took, from the end of the turn before: waiting takes no CPU time. Asking for that is a
 * system call, a tenth of a short turn; so turns that cannot have been long, since little time
 * passed with all waiting, are asked about together and count as their mean. A long one counts with
 * what those before it took: too much, by less than all of them may last. That is
 * returned, 0 where it was short. */
static uint64_t note_turn(struct node *n)
{
    const uint64_t now_us = clock_mono_us();
    const uint64_t passed_us = now_us - n->turns.ended_us;
    const uint64_t before_us = n->turns.short_us;
    const bool is_short = passed_us < TURN_SHORT_US;
    uint64_t cpu_us;
    uint64_t took_us;
    uint64_t short_us;

    n->turns.ended_us = now_us;
    n->turns.short_us += passed_us;
    if (is_short && n->turns.short_us < TURNS_SHORT_US) {
        n->turns.n_short++;
        return 0;
    }
    cpu_us = clock_thread_us();
    took_us = cpu_us - n->turns.cpu_us;
    short_us = took_us / (n->turns.n_short + 1);
    if (!is_short && n->turns.n_short > 0 && short_us > before_us / n->turns.n_short)
        short_us = before_us / n->turns.n_short; /* they were no longer than they lasted */
    for (unsigned i = 0; i < n->turns.n_short; i++)
        sync_times_add(&n->turns.took, now_us, short_us);
    sync_times_add(&n->turns.took, now_us, is_short ? short_us : took_us);
    histogram_add(&n->turns.all, short_us, n->turns.n_short);
    histogram_add(&n->turns.all, is_short ? short_us : took_us, 1);
    n->turns.cpu_us = cpu_us;
    n->turns.n_short = 0;
    n->turns.short_us = 0;
    return is_short ? short_us : took_us;
}

/* It had to be awake at awake_us, and is at now_us, or was busy in between: what it did not use of
 * that time it did not have. */
static void note_lateness(struct node *n, uint64_t awake_us, uint64_t now_us)
{
    uint64_t used_us;

    if (now_us <= awake_us || now_us - awake_us < TRAIL_SNAG_US)
        return;
    used_us = clock_thread_us() - n->turns.cpu_us;
    if (used_us < now_us - awake_us)
        engine_note_held(n->engine, awake_us, now_us - used_us, true);
    if (used_us >= TRAIL_SNAG_US && used_us < now_us - awake_us)
        engine_note_held(n->engine, now_us - used_us, now_us, false);
}

/* What the turn took of the processor, and what it lasted. */
static void note_held(struct node *n, uint64_t began_us, uint64_t used_us)
{
    const uint64_t ended_us = n->turns.ended_us;

    if (used_us >= TRAIL_SNAG_US)
        engine_note_held(n->engine, ended_us - used_us, ended_us, false);
    if (ended_us - began_us >= used_us + TRAIL_SNAG_US)
        engine_note_held(n->engine, began_us, ended_us - used_us, true);
}

static void turn(struct node *n)
{
    uint64_t now_us = clock_mono_us();
    const uint64_t began_us = now_us;

    node_look_for_gap(n, n->clocks.awake_us, now_us);
    note_lateness(n, n->clocks.awake_us, now_us);
    /* Clients and a long turn before them took their time: what peers have said meanwhile is heard
     * before anybody is called silent (TIME-3). Lines wait: they would bring a later time. */
    if (engine_is_due(n->engine, now_us)) {
        n->peers.now_us = NULL;
        peer_net_go_on(n->peer_net);
        client_port_end_turn(n->client_port);
        now_us = engine_drain(n->engine, take_frames);
    }
    n->n_frames_done = n->n_frames;
    engine_turn(n->engine, now_us);
    node_follow_configuration(n);
    node_access_turn(n);
    node_tls_turn(n, now_us);
    peer_net_flush(n->peer_net);
    client_port_flush(n->client_port);
    node_memory_turn(n, now_us);
    n->peers.now_us = NULL;
    n->clients.now_us = NULL;
    note_held(n, began_us, note_turn(n));
    node_http_turned(n, n->turns.ended_us);
    node_look_for_gap(n, began_us, n->turns.ended_us);
    node_room_turn(n->room, now_us);
    node_show(n, false);
    if (n->watchdog_us != 0 && now_us >= n->watchdog_due_us) {
        notify_send("WATCHDOG=1");
        n->watchdog_due_us = now_us + n->watchdog_us / 2;
    }
    if (n->phase != NODE_RUNNING)
        stop_step(n, now_us);
}

/* From here on nobody hears them: one that comes late must not end what is ending well (LOOP-3). */
static void hold_all_signals(void)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void close_node(struct node *n)
{
    /* The order undoes the opening: no more input, no more requests, the disk finishes, the state
     * is marked clean. */
    atomic_store(&n->closes, true);
    node_http_leave(n);
    client_port_free(n->client_port);
    peer_net_free(n->peer_net);
    engine_free(n->engine, true);
    n->engine = NULL;
    node_http_end(n); /* until here /readyz says that this node is stopping */
    node_room_free(n->room);
    node_clocks_end(n);
    node_access_end(n);
    node_peers_drop_tls(n);
    node_tls_end(n);
    hold_all_signals();
    for (size_t i = 0; i < sizeof(n->signals) / sizeof(n->signals[0]); i++)
        if (n->signals[i] != NULL)
            event_free(n->signals[i]);
    if (n->durable_event != NULL)
        event_free(n->durable_event);
    if (n->timer != NULL)
        event_free(n->timer);
    if (n->base != NULL)
        event_base_free(n->base);
    if (n->durable_fd >= 0)
        (void)close(n->durable_fd);
    if (n->timer_fd >= 0)
        (void)close(n->timer_fd);
    if (n->wal_fd >= 0)
        (void)close(n->wal_fd);
    if (n->snap_fd >= 0)
        (void)close(n->snap_fd);
    identity_close(n->dir);
    arena_done(&n->arena);
    free(n->reloaded);
}

static void held_signals(sigset_t *ret)
{
    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGHUP);
    (void)sigaddset(ret, SIGUSR1);
}

void node_hold_signals(void)
{
    sigset_t held;

    held_signals(&held);
    (void)pthread_sigmask(SIG_BLOCK, &held, NULL);
}

static void let_signals_in(void)
{
    sigset_t held;

    held_signals(&held);
    (void)pthread_sigmask(SIG_UNBLOCK, &held, NULL);
}

/* A port in use may be free in a moment: systemd tries again. Another address never will be
 * ours. */
static int say_cannot_listen(int rc)
{
    return node_fail("cannot_listen", rc == -EADDRINUSE ? EXIT_IO_ERROR : EXIT_CONF_ERROR);
}

/* Before the log is read: probes see then that it is, for however long. */
static int begin_http(struct node *n)
{
    const int rc = node_http_begin(n);

    return rc != 0 ? say_cannot_listen(rc) : 0;
}

static int start(struct node *n)
{
    int rc = node_memory_check(n->conf);

    if (rc != 0)
        return node_fail("addresses_few", EXIT_IO_ERROR);
    rc = node_tls_begin(n);
    if (rc != 0)
        return node_fail("tls_refused", EXIT_CONF_ERROR);
    node_clocks_begin(n);
    rc = open_dir(n);
    if (rc == 0) {
        n->room = node_room_new(n->conf->data_dir);
        rc = begin_http(n);
    }
    if (rc == 0)
        rc = make_engine(n);
    if (rc == 0)
        rc = open_engine(n);
    if (rc == 0)
        rc = node_check_founders(n);
    if (rc != 0)
        return rc;
    node_warn_disks(n);
    node_warn_lease(n->conf);
    node_warn_open(n->conf);
    node_compare_members(n);
    rc = open_loop(n);
    if (rc != 0) {
        if (rc == -ENOMEM)
            (void)err_say(rc, "cannot make the event loop: out of memory");
        return node_fail("loop_failed", EXIT_IO_ERROR);
    }
    rc = engine_start_log_thread(n->engine, n->durable_fd);
    if (rc != 0) {
        (void)err_say(rc, "cannot start the log thread: %s", strerror(-rc));
        return node_fail("log_refused", EXIT_IO_ERROR);
    }
    rc = open_ports(n);
    if (rc != 0)
        return say_cannot_listen(rc);
    rc = node_http_serve(n);
    return rc != 0 ? node_fail("loop_failed", EXIT_IO_ERROR) : 0;
}

int node_run(const struct conf *conf, uint64_t started_us)
{
    struct node node = {
        .conf = conf,
        .self = conf->self,
        .durable_fd = -1,
        .timer_fd = -1,
        .wal_fd = -1,
        .snap_fd = -1,
        .started_us = started_us,
        .refused_limit = {.window_us = REFUSED_LOG_WINDOW_US, .burst = REFUSED_LOG_BURST},
        .tls = {.failed_limit = {.window_us = ACCESS_LOG_WINDOW_US, .burst = ACCESS_LOG_BURST}},
        .access = {.denied_limit = {.window_us = ACCESS_LOG_WINDOW_US, .burst = ACCESS_LOG_BURST},
                   .failed_limit = {.window_us = ACCESS_LOG_WINDOW_US, .burst = ACCESS_LOG_BURST}}};
    struct node *n = &node;
    int rc;

    (void)log_start_thread(); /* without it lines are written all the same, and may wait */
    log_set_node(n->self->name);
    log_set_role("starting", 0);
    log_set_level(conf->log_level);
    rid_assert_set_context(assert_context, n);
    arena_init(&n->arena, mem_libc);
    json_object_seed(0);
    if (geteuid() == 0) /* GUARD-2 */
        log_event(LOG_WARNING, "running_as_root", "why='a user of its own is safer'");
    err_reset();
    node_starting_begin(n);
    rc = start(n);
    node_starting_end();
    if (rc != 0) {
        /* Nothing was applied. What the state says of the log may be the reason of the refusal, and
         * must outlive the next boot: with its clean mark the state is believed then, too. */
        close_node(n);
        log_flush();
        return rc;
    }
    let_signals_in();
    n->watchdog_us = notify_watchdog_us();
    n->turns.cpu_us = clock_thread_us();
    n->turns.ended_us = clock_mono_us();
    n->share_us = slice_share_us(conf->heartbeat_us);
    node_show(n, true);
    log_event(LOG_INFO, "ready", "client=%s peer=%s http=%s%s%s startup_ms=%.1f",
              n->self->client_addr, n->self->peer_addr,
              n->http != NULL ? conf_http_addr(conf) : "none",
              conf->client_socket[0] != '\0' ? " local=unix:" : "", conf->client_socket,
              (double)(clock_mono_us() - started_us) / 1000.0);
    notify_send("READY=1"); /* the log and the state are read, and both ports listen (UNIT-2) */
    while (n->phase != NODE_STOPPED) {
        if (wait_and_take(n) < 0) {
            (void)err_say(-EIO, "the event loop failed");
            (void)node_fail("loop_failed", EXIT_IO_ERROR);
            log_flush();
            _exit(EXIT_IO_ERROR);
        }
        turn(n);
    }
    close_node(n);
    log_event(LOG_INFO, "stopped", NULL);
    log_flush();
    rid_assert_set_context(NULL, NULL);
    return 0;
}
