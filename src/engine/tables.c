/* The tables of functions that join the modules: who calls whom, and nothing decided.
 *
 * The state's functions and the host's are called through the engine, one call more: replica has
 * one context for log, state and host. */
#include "base/assert.h"
#include "engine/engine_int.h"
#include "wire/reply.h"

#include "base/banned.h"

/* ---- the log ---- */

int engine_log_submit(struct engine *e, const struct raft_ready *ready)
{
    const struct store_batch b = {.number = ready->batch,
                                  .has_hard_state = ready->hard_state_changed,
                                  .hard_state = ready->hard_state,
                                  .reset = ready->reset,
                                  .reset_config = ready->reset_config,
                                  .truncate_from = ready->truncate_from,
                                  .entries = ready->entries,
                                  .n_entries = ready->n_entries,
                                  .commit_index = ready->commit_index};
    int rc;

    if (e->reads != NULL && ready->reset.index != 0)
        log_reads_reset(e->reads, ready->reset.index);
    else if (e->reads != NULL && ready->truncate_from != 0)
        log_reads_truncate(e->reads, ready->truncate_from);
    rc = store_submit(e->store, &b);
    if (rc == 0 && e->log_thread != NULL)
        log_thread_wake(e->log_thread);
    return rc;
}

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct engine *e = ctx;

    engine_space_submitted(e, ready);
    if (e->ops.log_submit != NULL)
        return e->ops.log_submit(e->ops.ctx, ready);
    return engine_log_submit(e, ready);
}

/* Each module numbers its outcomes for itself: STORE_E_DAMAGED and RAFT_LOG_E_COMPACTED are both 1.
 * So none goes up as it is; and of those of the store reading has one alone, since what cannot be
 * read is -EBADMSG there. */
int engine_log_read(struct engine *e, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    int rc = e->reads != NULL
                 ? log_reads_get(e->reads, from, to, bytes_max, arena, ret_entries, n_max, ret_n)
                 : store_read(e->store, from, to, bytes_max, arena, ret_entries, n_max, ret_n);

    if (e->read_thread != NULL && log_reads_has_work(e->reads))
        read_thread_wake(e->read_thread);
    if (rc == STORE_E_COMPACTED)
        return RAFT_LOG_E_COMPACTED;
    if (rc == STORE_E_LATER)
        return RAFT_LOG_E_LATER;
    rid_assert(rc <= 0);
    return rc;
}

static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    struct engine *e = ctx;

    if (e->ops.log_read != NULL)
        return e->ops.log_read(e->ops.ctx, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
    return engine_log_read(e, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

/* ---- the state ---- */

/* One outcome of the state has a meaning for the replica, under a name of its own; the others pass
 * through it to engine_fatal() as they are. */
static int of_replica(int rc)
{
    static_assert(REPLICA_STATE_E_FULL == (int)KV_E_FULL, "no other outcome has this number");
    return rc;
}

static int state_begin(void *ctx)
{
    struct engine *e = ctx;

    return of_replica(e->state.begin(e->state.ctx));
}

static int state_apply(void *ctx, const struct raft_entry *entry, struct command_result *ret_result)
{
    struct engine *e = ctx;

    int rc = e->state.apply(e->state.ctx, entry, ret_result);

    if (rc == 0)
        engine_space_applied(e, entry);
    return of_replica(rc);
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct engine *e = ctx;

    return e->state.apply_get(e->state.ctx, key, ret_value);
}

static int state_commit(void *ctx)
{
    struct engine *e = ctx;

    return of_replica(e->state.commit(e->state.ctx));
}

static void state_abort(void *ctx)
{
    struct engine *e = ctx;

    e->state.abort(e->state.ctx);
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct engine *e = ctx;

    int rc = e->state.read_begin(e->state.ctx, ret_last_applied);

    e->reading = rc == 0;
    return rc;
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct engine *e = ctx;

    return e->state.get(e->state.ctx, key, ret_value);
}

static int state_seek(void *ctx, const struct command_range *range)
{
    struct engine *e = ctx;

    return e->state.seek(e->state.ctx, range);
}

static int state_next(void *ctx, struct command_item *ret_item)
{
    struct engine *e = ctx;

    return e->state.next(e->state.ctx, ret_item);
}

static void state_read_end(void *ctx)
{
    struct engine *e = ctx;

    e->reading = false;
    e->state.read_end(e->state.ctx);
}

/* ---- the replica ---- */

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct engine *e = ctx;

    e->ops.send(e->ops.ctx, m);
}

static void flush(void *ctx)
{
    struct engine *e = ctx;

    e->ops.flush(e->ops.ctx);
}

static uint64_t now_us(void *ctx)
{
    struct engine *e = ctx;

    return engine_now_us(e);
}

static void snapshot(void *ctx, const struct raft_msg *m)
{
    if (m->type == RAFT_MSG_SNAPSHOT)
        engine_receive(ctx, m);
    else
        engine_send_answer(ctx, m);
}

void engine_fill_replica_ops(struct engine *e, struct replica_ops *ops)
{
    *ops = (struct replica_ops){.ctx = e,
                                .log_submit = log_submit,
                                .log_reader = {log_read, e},
                                .state_begin = state_begin,
                                .state_apply = state_apply,
                                .state_apply_get = state_apply_get,
                                .state_commit = state_commit,
                                .state_abort = state_abort,
                                .state_read_begin = state_read_begin,
                                .state_get = state_get,
                                .state_seek = state_seek,
                                .state_next = state_next,
                                .state_read_end = state_read_end,
                                .may_store = engine_may_store,
                                .may_propose = engine_may_propose,
                                .send = send_msg,
                                .flush = e->ops.flush != NULL ? flush : NULL,
                                .now_us = now_us,
                                .suspended_us =
                                    e->ops.suspended_us != NULL ? engine_suspended_us : NULL,
                                .disrupted = e->ops.disrupted != NULL ? engine_disrupted : NULL,
                                .disk_busy_us = engine_disk_busy_us,
                                .trace = engine_trace,
                                .fatal = engine_fatal};
    if (e->state.rebuild != NULL) {
        ops->state_is_damaged = engine_state_is_damaged;
        ops->state_rebuild = engine_state_rebuild;
    }
    ops->heard_note = engine_heard_note;
    ops->snapshot = snapshot;
}

/* ---- the service ---- */

static struct buf *service_out(void *ctx, void *conn)
{
    struct engine *e = ctx;

    return e->ops.out(e->ops.ctx, conn);
}

static void service_hold(void *ctx, void *conn)
{
    struct engine *e = ctx;

    e->ops.hold(e->ops.ctx, conn);
}

static void service_release(void *ctx, void *conn)
{
    struct engine *e = ctx;

    e->ops.release(e->ops.ctx, conn);
}

static uint64_t service_arrived_us(void *ctx)
{
    struct engine *e = ctx;

    return e->ops.arrived_us(e->ops.ctx);
}

static struct memory_conn *service_memory(void *ctx, void *conn)
{
    struct engine *e = ctx;

    return e->ops.memory(e->ops.ctx, conn);
}

static const char *client_addr(void *ctx, raft_node_id id)
{
    struct engine *e = ctx;

    return e->ops.client_addr != NULL ? e->ops.client_addr(e->ops.ctx, id) : NULL;
}

static void touched(void *ctx, void *conn, size_t bytes)
{
    struct engine *e = ctx;

    e->ops.touched(e->ops.ctx, conn, bytes);
}

static enum service_role role(void *ctx, void *conn)
{
    struct engine *e = ctx;

    return e->ops.role(e->ops.ctx, conn);
}

static unsigned grants(void *ctx, void *conn, struct service_grant ret[CONF_GRANTS_MAX])
{
    struct engine *e = ctx;

    return e->ops.grants(e->ops.ctx, conn, ret);
}

static void denied(void *ctx, void *conn, const struct service_denial *denial, char *ret_who,
                   size_t size)
{
    struct engine *e = ctx;

    e->ops.denied(e->ops.ctx, conn, denial, ret_who, size);
}

static void admin(void *ctx, void *conn, const struct wire_request *q)
{
    struct engine *e = ctx;

    e->ops.admin(e->ops.ctx, conn, q);
}

static bool seal(void *ctx, void *conn, uint64_t client, uint64_t *ret)
{
    const struct engine *e = ctx;

    return e->ops.seal(e->ops.ctx, conn, client, ret);
}

static int auth(void *ctx, void *conn, struct wire_slice token, struct service_who *ret)
{
    struct engine *e = ctx;

    return e->ops.auth(e->ops.ctx, conn, token, ret);
}

static const char *conn_address(void *ctx, void *conn)
{
    struct engine *e = ctx;

    return e->ops.conn_address(e->ops.ctx, conn);
}

static const char *peer_addr(void *ctx, raft_node_id id)
{
    struct engine *e = ctx;

    return e->ops.peer_addr != NULL ? e->ops.peer_addr(e->ops.ctx, id) : NULL;
}

static bool peer_connected(void *ctx, raft_node_id id)
{
    struct engine *e = ctx;

    return e->ops.peer_connected(e->ops.ctx, id);
}

static uint64_t record_bytes(void *ctx, size_t payload_len)
{
    (void)ctx;
    return store_record_bytes(payload_len);
}

static void costs(void *ctx, struct service_costs *ret)
{
    const struct engine *e = ctx;
    struct store_stats log;

    store_get_counts(e->store, &log);
    *ret = (struct service_costs){
        .fsyncs = log.n_fsyncs,
        .disk_writes = log.n_writes,
        .log_bytes = log.bytes_written,
        .wire_bytes = e->ops.wire_bytes != NULL ? e->ops.wire_bytes(e->ops.ctx) : 0};
}

static void service_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    (void)ctx;
    log_event(level, event, "what=\"%s\"", text);
}

static bool service_snapshot(void *ctx, raft_index *ret_index, bool *ret_making)
{
    struct engine *e = ctx;

    if (!engine_make_snapshot(e))
        return false;
    *ret_index = e->snap.newest.index;
    *ret_making = e->snap.making.wanted;
    return true;
}

static int service_part(void *ctx, struct service_part *part)
{
    return engine_give(ctx, part);
}

static const char *service_init(void *ctx, const struct wire_request *q)
{
    struct engine *e = ctx;

    return e->ops.init(e->ops.ctx, q);
}

static void status_log(const struct engine *e, struct wire_reply *w)
{
    struct store_stats log;

    store_get_counts(e->store, &log);
    wire_reply_open_object(w, "log");
    wire_reply_u64(w, "fsyncs", log.n_fsyncs);
    wire_reply_u64(w, "bytes", log.log_bytes);
    wire_reply_u64(w, "bytes_written", log.bytes_written);
    wire_reply_u64(w, "segments", log.n_segments);
    wire_reply_u64(w, "last_fsync_us", log.last_fsync_us);
    wire_reply_u64(w, "max_fsync_us", log.max_fsync_us);
    wire_reply_close_object(w);
}

static void status_state(const struct engine *e, struct wire_reply *w)
{
    struct kv_stats state = {0};
    char digest[33];

    if (e->kv == NULL || kv_get_stats(e->kv, &state) != 0)
        return;
    wire_reply_open_object(w, "state");
    wire_reply_u64(w, "keys", state.n_keys);
    wire_reply_u64(w, "bytes", state.used_bytes);
    wire_reply_u64(w, "live_bytes", state.live_bytes);
    wire_reply_u64(w, "limit_bytes", state.limit_bytes);
    wire_reply_u64(w, "file_bytes", kv_file_bytes(e->kv));
    (void)snprintf(digest, sizeof(digest), "%016llx%016llx", (unsigned long long)state.digest.high,
                   (unsigned long long)state.digest.low);
    wire_reply_str(w, "digest", digest);
    wire_reply_u64(w, "digest_index", state.digest_index);
    wire_reply_str(w, "verdict", engine_verdict(e));
    wire_reply_u64(w, "digest_version", KV_DIGEST_VERSION);
    wire_reply_u64(w, "scrub_percent", e->scrub.percent);
    wire_reply_u64(w, "scrubbed_s_ago", (engine_now_us(e) - e->scrub.good_us) / 1000000u);
    wire_reply_close_object(w);
}

/* What the bounds on terms have met (TERM-3, TERM-4): null and false in every sound cluster. */
static void status_terms(const struct engine *e, struct wire_reply *w)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    if (st.far_term != 0) {
        wire_reply_open_object(w, "term_refused");
        wire_reply_str(w, "id", engine_name_of(e, st.far_peer));
        wire_reply_u64(w, "term", st.far_term);
        wire_reply_close_object(w);
    } else {
        wire_reply_null(w, "term_refused");
    }
    wire_reply_bool(w, "terms_run_out", st.terms_run_out);
}

/* Two histograms and a read transaction: for one who asks without a pause they are looked at now
 * and then, and after each change of the state. */
static void status_dear(struct engine *e, struct wire_reply *w)
{
    const uint64_t now_us = engine_now_us(e);
    const raft_index applied = replica_last_applied(e->replica);
    const size_t from = w->buf->len;

    if (now_us < e->told.until_us && applied == e->told.applied) {
        wire_reply_again(w, (struct wire_slice){(char *)e->told.text.data, e->told.text.len});
        return;
    }
    status_log(e, w);
    engine_disk_status(e, w);
    status_state(e, w);
    engine_snapshots_status(e, w);
    engine_space_status(e, w);
    engine_sessions_status(e, w);
    status_terms(e, w);
    buf_reset(&e->told.text, SIZE_MAX);
    e->told.until_us = 0;
    if (w->failed || buf_add(&e->told.text, w->buf->data + from, w->buf->len - from) != 0)
        return;
    e->told.until_us = now_us + STATUS_FRESH_US;
    e->told.applied = applied;
}

static void service_status(void *ctx, struct wire_reply *w)
{
    struct engine *e = ctx;

    status_dear(e, w);
    engine_leases_status(e, w);
    if (e->ops.status != NULL)
        e->ops.status(e->ops.ctx, w);
}

void engine_fill_service_ops(struct engine *e, struct service_ops *ops)
{
    *ops = (struct service_ops){.ctx = e,
                                .out = service_out,
                                .hold = service_hold,
                                .release = service_release,
                                .memory = e->ops.memory != NULL ? service_memory : NULL,
                                .now_us = now_us,
                                .arrived_us = e->ops.arrived_us != NULL ? service_arrived_us : NULL,
                                .touched = e->ops.touched != NULL ? touched : NULL,
                                .role = e->ops.role != NULL ? role : NULL,
                                .grants = e->ops.grants != NULL ? grants : NULL,
                                .denied = e->ops.denied != NULL ? denied : NULL,
                                .admin = e->ops.admin != NULL ? admin : NULL,
                                .seal = e->ops.seal != NULL ? seal : NULL,
                                .auth = e->ops.auth != NULL ? auth : NULL,
                                .conn_address = e->ops.conn_address != NULL ? conn_address : NULL,
                                .client_addr = client_addr,
                                .peer_addr = peer_addr,
                                .status = service_status,
                                .peer_connected =
                                    e->ops.peer_connected != NULL ? peer_connected : NULL,
                                .record_bytes = record_bytes,
                                .costs = costs,
                                .event = service_event,
                                .slow = engine_slow,
                                .snapshot = service_snapshot,
                                .snapshot_part = service_part,
                                .member = engine_member,
                                .member_changes = engine_member_changes,
                                .init = e->ops.init != NULL ? service_init : NULL};
}
