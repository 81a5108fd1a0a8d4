/* Birth, turn and death of a node, and what must be right before it starts.
 *
 * The order of opening: the state first, since what it has applied is evidence for the log's
 * recovery (entries that were applied were durable here); then the log; then both are compared;
 * then the replica starts from what they say. */
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/exit_codes.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

const char *engine_refusal_text(int refusal)
{
    switch (refusal) {
#define ENGINE_REFUSAL_TEXT(name, number, event, code)                                             \
    case name:                                                                                     \
        return event;
        ENGINE_REFUSALS(ENGINE_REFUSAL_TEXT)
    default:
        return "core_refused";
    }
}

int engine_refusal_exit_code(int refusal)
{
    switch (refusal) {
#define ENGINE_REFUSAL_CODE(name, number, event, code)                                             \
    case name:                                                                                     \
        return code;
        ENGINE_REFUSALS(ENGINE_REFUSAL_CODE)
    default:
        return EXIT_IO_ERROR;
    }
}

enum engine_refusal engine_refusal_of_log(int rc)
{
    switch (rc) {
    case STORE_E_DAMAGED:
        return ENGINE_E_LOG_DAMAGED;
    case STORE_E_FOREIGN:
        return ENGINE_E_LOG_FOREIGN;
    case STORE_E_NEWER:
        return ENGINE_E_LOG_NEWER; /* a restart does not help: another program must be started */
    case STORE_E_NO_LOG:
        return ENGINE_E_LOG_LOST;
    default:
        return ENGINE_E_LOG;
    }
}

int engine_new(const struct engine_ops *ops, const struct service_conf *service,
               struct engine **ret)
{
    cleanup_free struct engine *e = calloc(1, sizeof(*e));
    struct service_ops service_ops;
    int rc;

    rid_assert((service != NULL) == (ops->out != NULL));
    rid_assert(ops->trace != NULL || ops->invalid_action != NULL);
    if (e == NULL)
        return err_origin(-ENOMEM);
    e->ops = *ops;
    buf_init(&e->space.command);
    e->invalid_limit =
        (struct log_limit){.window_us = INVALID_LOG_WINDOW_US, .burst = INVALID_LOG_BURST};
    e->term_limit = e->invalid_limit;
    e->terms_left_limit = (struct log_limit){.window_us = TERMS_LOG_WINDOW_US, .burst = 1};
    engine_leases_init(e);
    if (service != NULL) {
        engine_fill_service_ops(e, &service_ops);
        rc = service_new(service, &service_ops, &e->service);
        if (rc != 0)
            return err_trace(rc);
    }
    *ret = take_ptr(e);
    return 0;
}

int engine_create_log(const struct engine_conf *conf, const void *config_entry, size_t len)
{
    struct store_conf log = conf->log;
    struct vfs *vfs = NULL;
    int rc = 0;

    if (log.vfs == NULL)
        rc = vfs_posix_new(conf->log_fd, &vfs);
    if (rc != 0)
        return err_trace(rc);
    if (vfs != NULL)
        log.vfs = vfs;
    rc = store_create(&log, config_entry, len);
    if (vfs != NULL)
        vfs_posix_free(vfs);
    return err_trace(rc);
}

/* ---- opening ---- */

/* Far above what the quota lets in, however the pages of it lie (SPACE-3). */
size_t engine_map_bytes(uint64_t quota_bytes)
{
    uint64_t bytes = KV_MAP_BYTES;

    if (quota_bytes > KV_MAP_BYTES_MAX / KV_MAP_QUOTAS)
        bytes = KV_MAP_BYTES_MAX;
    else if (bytes < quota_bytes * KV_MAP_QUOTAS)
        bytes = quota_bytes * KV_MAP_QUOTAS;
    return (size_t)bytes;
}

/* It grows while there are addresses. Where there are none the state stands still one day
 * (SPACE-6), and nobody should learn of it on that day. */
static void say_small_map(const struct engine *e, uint64_t wanted_bytes)
{
    struct kv_stats stats;
    struct rlimit rl = {.rlim_cur = RLIM_INFINITY};
    char why[64] = "the kernel gives no more addresses";

    (void)kv_get_stats(e->kv, &stats); /* never fails */
    if (stats.map_bytes >= wanted_bytes || !engine_logs(e))
        return;
    if (getrlimit(RLIMIT_AS, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY)
        (void)snprintf(why, sizeof(why), "addresses are limited to %llu KiB (ulimit -v)",
                       (unsigned long long)rl.rlim_cur >> 10);
    log_event(LOG_WARNING, "map_small", "map=%llu wanted=%llu why='%s' action=raise_LimitAS",
              (unsigned long long)stats.map_bytes, (unsigned long long)wanted_bytes, why);
}

static int open_state(struct engine *e, const struct engine_conf *conf)
{
    static const char *const found[] = {[KV_TRUSTED_SAME_BOOT] = "same_boot",
                                        [KV_TRUSTED_CLEAN] = "clean",
                                        [KV_NEW] = "new",
                                        [KV_REBUILD] = "rebuild"};
    struct kv_conf kv = conf->kv;
    struct kv_opening opening;
    enum kv_trust trust;
    int rc;

    if (conf->state != NULL) {
        e->state = *conf->state;
        return 0;
    }
    if (kv.map_size_bytes == 0)
        kv.map_size_bytes = engine_map_bytes(conf->quota_bytes);
    if (kv.ahead_bytes_max == 0)
        kv.ahead_bytes_max = conf->quota_bytes / KV_AHEAD_QUOTA_PART;
    rc = kv_open(&kv, &trust, &e->kv);
    if (rc != 0) {
        if (err_text_for(rc)[0] == '\0')
            (void)err_say(rc, "cannot open the state in '%s'", conf->kv.dir);
        /* Of a later version or another group: a restart does not help. */
        return rc == KV_E_NEWER || rc == KV_E_FOREIGN ? ENGINE_E_STATE_OTHER : ENGINE_E_STATE;
    }
    engine_state_of_kv(e->kv, &e->state);
    e->agree.is_set_aside = trust == KV_REBUILD;
    opening = kv_get_opening(e->kv);
    if (engine_logs(e))
        log_event(trust == KV_REBUILD ? LOG_WARNING : LOG_INFO, "state_opened",
                  "found=%s applied_index=%llu keys=%llu verify_ms=%llu open_ms=%llu%s%s%s",
                  found[trust], (unsigned long long)kv_last_applied(e->kv).index,
                  (unsigned long long)opening.n_keys, (unsigned long long)opening.walk_us / 1000,
                  (unsigned long long)opening.open_us / 1000, trust == KV_REBUILD ? " why=\"" : "",
                  trust == KV_REBUILD ? err_text() : "",
                  trust == KV_REBUILD ? "\" action=replay_log" : "");
    say_small_map(e, kv.map_size_bytes);
    return 0;
}

static int refuse_log(const struct engine_conf *conf, int rc)
{
    enum engine_refusal refusal = engine_refusal_of_log(rc);

    if (refusal == ENGINE_E_LOG_LOST)
        return err_say(refusal,
                       "'%s' holds no log, but this node had one: it may have voted and forgotten; "
                       "see LOST DISK in ridd(8)",
                       conf->log_path);
    if (refusal == ENGINE_E_LOG && err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "cannot open the log in '%s': %s", conf->log_path,
                      rc < 0 ? strerror(-rc) : store_error_text(rc));
    return refusal;
}

static int open_log(struct engine *e, const struct engine_conf *conf,
                    struct store_recovered *recovered)
{
    struct store_conf log = conf->log;
    int rc = 0;

    log.applied_index = engine_was_applied(e);
    log.shown_index = engine_shown_index(e);
    log.slow_us = engine_slow_us(conf->raft.election_timeout_us);
    log.batch_us = conf->raft.election_timeout_us / STORE_BATCHES_PER_ELECTION;
    if (log.vfs == NULL) {
        rc = vfs_posix_new(conf->log_fd, &e->vfs);
        if (rc != 0)
            return ENGINE_E_LOG;
        log.vfs = e->vfs;
    }
    rc = store_open(&log, recovered, &e->store);
    if (rc != 0)
        return refuse_log(conf, rc);
    if (!engine_logs(e))
        return 0;
    if (recovered->torn_tail)
        log_event(LOG_WARNING, "log_torn_tail", "what=\"%s\" action=cut", recovered->torn_text);
    log_event(LOG_INFO, "log_opened",
              "last_index=%llu commit_index=%llu term=%llu segments=%u bytes=%llu",
              (unsigned long long)recovered->last_index,
              (unsigned long long)recovered->commit_index,
              (unsigned long long)recovered->hard_state.current_term, recovered->n_segments,
              (unsigned long long)recovered->bytes_scanned);
    return 0;
}

/* Entries that the state lacks are applied from the log, which has none up to its base: a state
 * that ends before it can never be brought to it. Where no snapshot of this node helped, one of the
 * leader does: until then the node votes and stores, and answers nothing (DISK-23). Where there are
 * no snapshots it is refused. */
static bool is_behind_base(const struct engine *e, const struct store_recovered *recovered)
{
    return e->state.last_applied(e->state.ctx).index < recovered->base.index;
}

static int refuse_behind_base(struct raft_entry_id applied, struct raft_entry_id base,
                              const char *db)
{
    return err_say(ENGINE_E_CONTRADICTION,
                   "the state in '%s' ends with index %llu, but the log begins behind index %llu: "
                   "what lies between was removed from it, so that the state cannot be rebuilt; "
                   "put back the whole data directory, or give the node's place to a new one: see "
                   "LOST DISK in ridd(8)",
                   db, (unsigned long long)applied.index, (unsigned long long)base.index);
}

static void say_behind_base(const struct engine *e, const struct store_recovered *recovered)
{
    if (engine_logs(e))
        log_event(LOG_WARNING, "state_wanted",
                  "applied_index=%llu log_begins_behind=%llu action=ask_leader",
                  (unsigned long long)e->state.last_applied(e->state.ctx).index,
                  (unsigned long long)recovered->base.index);
}

/* What becomes of the state when its folder is moved away, so that nobody does it on a guess. */
static const char *without_state(const struct engine *e, const struct store_recovered *recovered)
{
    if (recovered->base.index == 0)
        return ", or move that folder away: it is rebuilt from the log";
    if (e->snap.folder == NULL)
        return "";
    return ", or move that folder away: the state is made again from a snapshot, of this node or "
           "of the leader, and the log behind it";
}

/* What the state holds must be what the log holds: db/ and wal/ of two different copies would go
 * on side by side, and nobody would notice (DISK-9). Where the state ends with the log's base, the
 * term is the one that the log kept of it. */
static int compare_state_and_log(const struct engine *e, const struct engine_conf *conf,
                                 const struct store_recovered *recovered)
{
    struct raft_entry_id applied = e->state.last_applied(e->state.ctx);
    const char *db = conf->kv.dir != NULL ? conf->kv.dir : "";
    raft_term term = recovered->base.term;

    if (is_behind_base(e, recovered) && e->snap.folder == NULL)
        return refuse_behind_base(applied, recovered->base, db);
    if (applied.index < recovered->base.index) {
        say_behind_base(e, recovered);
        return 0;
    }
    if (applied.index == 0)
        return 0;
    for (size_t i = 0; i < recovered->n_terms && recovered->terms[i].first <= applied.index; i++)
        term = recovered->terms[i].term;
    if (applied.index <= recovered->last_index && applied.term == term)
        return 0;
    return err_say(
        ENGINE_E_CONTRADICTION,
        "the state in '%s' ends with index %llu of term %llu, but in the log that entry is "
        "of term %llu: they are not of the same copy; put back the whole data directory%s",
        db, (unsigned long long)applied.index, (unsigned long long)applied.term,
        (unsigned long long)term, without_state(e, recovered));
}

/* What an earlier process had applied was committed, and the log reaches it, or was refused: so far
 * what was set aside is made again before anybody reads it (DISK-41, FIT-6). The log's own note is
 * of its last batch, and may be of before that. */
static raft_index known_committed(const struct engine *e, const struct store_recovered *recovered)
{
    const raft_index shown = engine_shown_index(e);
    const raft_index applied = engine_was_applied(e);
    const raft_index known = shown > applied ? shown : applied;

    return known > recovered->commit_index ? known : recovered->commit_index;
}

static int open_replica(struct engine *e, const struct engine_conf *conf,
                        const struct store_recovered *recovered)
{
    const raft_index applied = e->state.last_applied(e->state.ctx).index;
    struct replica_conf replica = {
        .raft = conf->raft,
        .start = {.hard_state = recovered->hard_state,
                  .base = recovered->base,
                  .last_index = recovered->last_index,
                  .commit_index = known_committed(e, recovered),
                  .last_applied = is_behind_base(e, recovered) ? recovered->base.index : applied,
                  .terms = recovered->terms,
                  .n_terms = recovered->n_terms,
                  .configs = recovered->configs,
                  .n_configs = recovered->n_configs}};
    struct replica_ops ops;
    int rc;

    e->load.rounds_max = conf->raft.rounds_max;
    e->leases.lease_us = conf->raft.lease_us;
    engine_fill_replica_ops(e, &ops);
    rc = replica_new(&replica, &ops, engine_now_us(e), &e->replica);
    if (rc < 0)
        return err_say(ENGINE_E_MEMORY, "out of memory");
    if (rc > 0)
        return err_say(ENGINE_E_CONTRADICTION,
                       "the log, the state and the configuration contradict each other");
    if (is_behind_base(e, recovered)) {
        e->agree.is_set_aside = true; /* it is not damaged, there is none */
        replica_begin_without_state(e->replica);
    } else {
        engine_agree_begin(e);
    }
    if (e->snap.folder != NULL)
        engine_snapshots_lost(e);
    engine_differ_begin(e, conf->raft.heartbeat_us);
    engine_seen_begin(e, engine_now_us(e), conf->raft.election_timeout_us);
    return 0;
}

/* Of what was set aside, or what the log does not reach back to, a snapshot has the most. */
static int open_snapshots(struct engine *e, const struct engine_conf *conf,
                          const struct store_recovered *recovered)
{
    int rc = engine_snapshots_open(e, conf);

    if (rc == 0 && (e->agree.is_set_aside || is_behind_base(e, recovered)))
        rc = engine_restore_at_start(e, recovered);
    else if (rc == 0)
        rc = engine_shrink_at_start(e, recovered);
    if (rc == 0)
        return 0;
    if (err_text_for(rc)[0] == '\0')
        (void)err_say(rc, "cannot open the snapshots: %s", strerror(-rc));
    return ENGINE_E_STATE;
}

static bool is_member(const struct engine *e, raft_node_id id)
{
    return raft_configuration_get(raft_get_configuration(engine_raft(e)), id) != NULL;
}

int engine_open(struct engine *e, const struct engine_conf *conf)
{
    struct store_recovered recovered = {0};
    int rc;

    rid_assert(e->replica == NULL);
    /* The host says it, no disk: a file of another group is refused by whoever reads it. */
    rid_assert(conf->log.group == conf->raft.group);
    rid_assert(conf->state != NULL || conf->kv.group == conf->raft.group);
    e->node_name = conf->node_name;
    e->id = conf->raft.id;
    e->space.quota_bytes = conf->quota_bytes;
    e->share_us = conf->raft.heartbeat_us / 2 / TURN_SHARES;
    rc = open_state(e, conf);
    engine_scrub_begin(e, rc == 0 ? conf->scrub_mib_per_s : 0, engine_now_us(e));
    if (rc == 0)
        rc = open_log(e, conf, &recovered);
    if (rc == 0 && e->ops.recovered != NULL && e->ops.recovered(e->ops.ctx, &recovered) != 0)
        rc = ENGINE_E_HOST;
    if (rc == 0)
        rc = open_snapshots(e, conf, &recovered);
    if (rc == 0)
        rc = compare_state_and_log(e, conf, &recovered);
    if (rc == 0)
        rc = open_replica(e, conf, &recovered);
    store_recovered_done(&recovered);
    if (rc == 0 && !conf->may_be_stranger && !is_member(e, conf->raft.id))
        rc = err_say(ENGINE_E_NOT_MEMBER, "the log's configuration does not name '%s'",
                     conf->node_name);
    if (rc == 0 && engine_members_begin(e, conf->raft.seed ^ conf->log.salt_seed) != 0)
        rc = err_say(ENGINE_E_MEMORY, "out of memory");
    if (rc == 0 && e->service != NULL)
        service_set_replica(e->service, e->replica, conf->node_name);
    return rc;
}

int engine_read_ahead(struct engine *e)
{
    rid_assert(e->reads == NULL);
    return log_reads_new(e->store, &e->reads);
}

bool engine_has_reads(const struct engine *e)
{
    return log_reads_has_work(e->reads);
}

void engine_read(struct engine *e)
{
    log_reads_work(e->reads);
}

int engine_start_log_thread(struct engine *e, int notify_fd)
{
    int rc = engine_read_ahead(e);

    if (rc == 0)
        rc = read_thread_start(e->reads, notify_fd, &e->read_thread);
    if (rc == 0)
        rc = engine_snapshots_start(e, notify_fd);
    if (rc == 0)
        rc = engine_members_start(e, notify_fd);
    if (rc != 0)
        return err_trace(rc);
    return log_thread_start(e->store, notify_fd, engine_log_failed, e, &e->log_thread);
}

/* ---- the loop ---- */

/* The clock before the links, every time (TIME-3). */
uint64_t engine_drain(struct engine *e, bool (*take)(void *ctx))
{
    uint64_t now_us = engine_now_us(e);
    struct slice share;

    slice_begin(&share, e->ops.now_us, e->ops.ctx, now_us + e->share_us);
    while (take(e->ops.ctx)) {
        now_us = engine_now_us(e);
        if (slice_look(&share))
            break;
    }
    return now_us;
}

void engine_turn(struct engine *e, uint64_t now_us)
{
    uint64_t durable = 0;
    uint64_t n_done = e->log_thread != NULL ? log_thread_done(e->log_thread, &durable) : e->n_done;

    /* The same number again when only a part of the next is durable: the disk moves (READ-51). */
    engine_seen_disk(e);
    if (n_done != e->n_done) {
        e->n_done = n_done;
        replica_stored(e->replica, durable, now_us);
    }
    if (e->reads != NULL && log_reads_n_done(e->reads) != e->n_read) {
        e->n_read = log_reads_n_done(e->reads);
        replica_log_loaded(e->replica, now_us);
    }
    if (e->service != NULL)
        service_turn(e->service, now_us);
    engine_space_turn(e, now_us);
    engine_snapshots_turn(e, now_us);
    engine_members_turn(e, now_us);
    engine_leases_turn(e, now_us);
    replica_turn(e->replica, now_us);
    if (e->ops.answer != NULL)
        e->ops.answer(e->ops.ctx);
    engine_seen_turn(e, now_us);
    engine_ahead_turn(e, now_us);
    engine_differ_turn(e, now_us);
    engine_agree_turn(e, now_us);
    engine_scrub_turn(e, now_us);
    engine_disk_turn(e, now_us);
    engine_load_turn(e, now_us);
}

void engine_work(struct engine *e, uint64_t now_us)
{
    uint64_t number = 0;
    bool more;
    int rc;

    engine_snapshots_work(e);
    engine_members_work(e);
    if (!store_has_work(e->store) && !e->space.log_is_full && !e->front_goes)
        return;
    e->front_goes = false;
    err_reset();
    rc = store_work(e->store, &number);
    if (rc == 0)
        rc = store_prepare(e->store, &more);
    if (rc == 0)
        e->front_goes = more;
    if (rc != 0)
        engine_log_failed(e, rc);
    else if (number != 0) /* what has no place waits (SPACE-9) */
        replica_stored(e->replica, number, now_us);
}

bool engine_is_due(const struct engine *e, uint64_t now_us)
{
    return replica_is_due(e->replica, now_us) ||
           (e->service != NULL && service_deadline_us(e->service) <= now_us);
}

uint64_t engine_deadline_us(const struct engine *e)
{
    uint64_t due = replica_deadline_us(e->replica);
    uint64_t other = e->service != NULL ? service_deadline_us(e->service) : UINT64_MAX;

    due = other < due ? other : due;
    other = engine_scrub_deadline_us(e);
    due = other < due ? other : due;
    other = engine_snapshots_deadline_us(e);
    due = other < due ? other : due;
    return e->ahead_due_us != 0 && e->ahead_due_us < due ? e->ahead_due_us : due;
}

/* ---- the end ---- */

void engine_stop(struct engine *e)
{
    engine_snapshots_stop(e);
    engine_members_stop(e);
    if (e->log_thread != NULL)
        log_thread_stop(e->log_thread);
    e->log_thread = NULL;
    read_thread_stop(e->read_thread);
    e->read_thread = NULL;
    replica_free(e->replica);
    e->replica = NULL;
}

void engine_free(struct engine *e, bool clean)
{
    if (e == NULL)
        return;
    if (clean)
        engine_snapshots_last(e);
    engine_stop(e);
    engine_snapshots_free(e);
    if (e->service != NULL)
        service_free(e->service);
    buf_done(&e->told.text);
    if (e->kv != NULL && kv_close(e->kv, clean) != 0 && clean && engine_logs(e))
        log_event(LOG_WARNING, "state_not_clean", "error=\"%s\" action=rebuild_at_start",
                  err_text());
    log_reads_free(e->reads);
    if (e->store != NULL)
        store_close(e->store);
    if (e->vfs != NULL)
        vfs_posix_free(e->vfs);
    buf_done(&e->space.command);
    free(e);
}

/* ---- looking ---- */

struct replica *engine_replica(const struct engine *e)
{
    return e->replica;
}

const struct raft *engine_raft(const struct engine *e)
{
    return replica_raft(e->replica);
}

struct service *engine_service(const struct engine *e)
{
    return e->service;
}

struct store *engine_store(const struct engine *e)
{
    return e->store;
}

void engine_describe(const struct engine *e, char *buf, size_t size)
{
    const struct raft *raft;

    if (e == NULL || e->replica == NULL)
        return;
    raft = replica_raft(e->replica);
    (void)snprintf(buf, size, "node %s term %llu role %s commit %llu applied %llu", e->node_name,
                   (unsigned long long)raft_get_term(raft), raft_role_name(raft_get_role(raft)),
                   (unsigned long long)raft_get_commit_index(raft),
                   (unsigned long long)replica_last_applied(e->replica));
}
