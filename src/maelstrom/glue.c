/* The tables of functions that join the modules: who calls whom, and nothing decided. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "maelstrom/maelstrom_int.h"
#include "maelstrom/message.h"

#include "base/banned.h"

/* Of the state's map, beyond which only deletes are taken. */
#define STATE_FULL_PERCENT 90u

/* ---- replica ---- */

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct maelstrom *m = ctx;
    struct store_batch b = {.number = ready->batch,
                            .has_hard_state = ready->hard_state_changed,
                            .hard_state = ready->hard_state,
                            .truncate_from = ready->truncate_from,
                            .entries = ready->entries,
                            .n_entries = ready->n_entries,
                            .commit_index = ready->commit_index};

    return store_submit(m->store, &b);
}

static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    struct maelstrom *m = ctx;

    return store_read(m->store, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

static int state_begin(void *ctx)
{
    return kv_begin(((struct maelstrom *)ctx)->kv);
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    return kv_apply(((struct maelstrom *)ctx)->kv, e, ret_result);
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_apply_get(((struct maelstrom *)ctx)->kv, key, ret_value);
}

static int state_commit(void *ctx)
{
    return kv_commit(((struct maelstrom *)ctx)->kv);
}

static void state_abort(void *ctx)
{
    kv_abort(((struct maelstrom *)ctx)->kv);
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    return kv_read_begin(((struct maelstrom *)ctx)->kv, ret_last_applied);
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_get(((struct maelstrom *)ctx)->kv, key, ret_value);
}

static void state_read_end(void *ctx)
{
    kv_read_end(((struct maelstrom *)ctx)->kv);
}

static void dropped(struct maelstrom *m)
{
    uint64_t suppressed;

    m->n_dropped++;
    if (log_limit_ok(&m->drop_limit, m->now_us, &suppressed))
        log_event(LOG_WARNING, "message_dropped",
                  "why='the reader of standard output is slow' dropped=%llu action=repeat_later",
                  (unsigned long long)m->n_dropped);
}

static void send_msg(void *ctx, const struct raft_msg *msg)
{
    struct maelstrom *m = ctx;
    const struct member *to = maelstrom_member_of(m, msg->to);
    size_t before = m->out.len;
    int r;

    if (to == NULL || m->ending)
        return;
    /* No room: the core repeats what matters. */
    if (maelstrom_out_pending(m) > PEER_OUT_BYTES_MAX) {
        dropped(m);
        return;
    }
    r = buf_add_format(&m->out, "{\"src\": %s, \"dest\": %s, \"body\": ", m->self->json, to->json);
    if (r == 0)
        r = message_encode(msg, &m->out);
    if (r == 0)
        r = buf_add_str(&m->out, "}\n");
    if (r != 0) {
        m->out.len = before;
        dropped(m);
    }
}

static const char *name_of(struct maelstrom *m, raft_node_id id)
{
    const struct member *member = id != 0 ? maelstrom_member_of(m, id) : NULL;

    return member != NULL ? member->name : (id == 0 ? "none" : "?");
}

static void trace(void *ctx, const struct raft_trace *t)
{
    struct maelstrom *m = ctx;
    const char *text = t->text != NULL ? t->text : "";
    const char *peer = name_of(m, t->peer);
    uint64_t suppressed;

    switch (t->event) {
    case RAFT_TRACE_ROLE:
        log_set_role(raft_role_name(t->role), t->term);
        log_event(t->role == RAFT_PRE_CANDIDATE ? LOG_DEBUG : LOG_INFO, "role_changed", "why='%s'",
                  text);
        break;
    case RAFT_TRACE_LEADER:
        log_set_role(raft_role_name(t->role), t->term);
        log_event(LOG_INFO, "leader_changed", "leader=%s", peer);
        break;
    case RAFT_TRACE_VOTE_GRANTED:
        log_event(LOG_DEBUG, "vote_granted", "peer=%s kind='%s'", peer, text);
        break;
    case RAFT_TRACE_VOTE_REFUSED:
        log_event(LOG_DEBUG, "vote_refused", "peer=%s why='%s'", peer, text);
        break;
    case RAFT_TRACE_TRUNCATED:
        log_event(LOG_INFO, "log_truncated", "from_index=%llu", (unsigned long long)t->index);
        break;
    case RAFT_TRACE_CONFIGURATION:
        log_event(LOG_DEBUG, "configuration", "index=%llu", (unsigned long long)t->index);
        break;
    case RAFT_TRACE_TRANSFER:
        log_event(LOG_INFO, "leader_transfer", "to=%s state=%s", peer, text);
        break;
    case RAFT_TRACE_PROBE:
        log_event(LOG_DEBUG, "follower_probed", "peer=%s next_index=%llu", peer,
                  (unsigned long long)t->index);
        break;
    case RAFT_TRACE_COMPACTED:
        log_event(LOG_WARNING, "follower_too_far_behind", "peer=%s next_index=%llu action=wait",
                  peer, (unsigned long long)t->index);
        break;
    case RAFT_TRACE_INVALID:
        if (log_limit_ok(&m->input_limit, m->now_us, &suppressed))
            log_event(LOG_WARNING, "message_refused",
                      "peer=%s why='%s' suppressed=%llu action=drop", peer, text,
                      (unsigned long long)suppressed);
        break;
    case RAFT_TRACE_COMMIT:
    case RAFT_TRACE_ROUND:
        break; /* many a second; status counts them */
    }
}

/* Nothing that is in memory may leave any more (RELIABILITY 4.8). */
static void fatal(void *ctx, int error, const char *what)
{
    maelstrom_die(ctx, what, error);
}

void glue_fill_replica_ops(struct maelstrom *m, struct replica_ops *ops)
{
    *ops = (struct replica_ops){.ctx = m,
                                .log_submit = log_submit,
                                .log_reader = {log_read, m},
                                .state_begin = state_begin,
                                .state_apply = state_apply,
                                .state_apply_get = state_apply_get,
                                .state_commit = state_commit,
                                .state_abort = state_abort,
                                .state_read_begin = state_read_begin,
                                .state_get = state_get,
                                .state_read_end = state_read_end,
                                .send = send_msg,
                                .trace = trace,
                                .fatal = fatal};
}

/* ---- service ---- */

static struct buf *service_out(void *ctx, void *conn)
{
    (void)conn;
    return &((struct maelstrom *)ctx)->out;
}

static void service_hold(void *ctx, void *conn)
{
    struct client *c = conn;

    c->n_owed++;
    clients_update(ctx, c);
}

static void service_release(void *ctx, void *conn)
{
    struct client *c = conn;

    c->n_owed--;
    clients_update(ctx, c);
}

static uint64_t service_now(void *ctx)
{
    (void)ctx;
    return clock_mono_us(); /* it measures how long a request took, within one turn too */
}

static uint64_t record_bytes(void *ctx, size_t payload_len)
{
    (void)ctx;
    return store_record_bytes(payload_len);
}

static void service_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    (void)ctx;
    log_event(level, event, "what='%s'", text);
}

/* There are no links: a node that was heard lately is there. */
static bool peer_connected(void *ctx, raft_node_id id)
{
    struct maelstrom *m = ctx;
    const struct member *peer = maelstrom_member_of(m, id);

    return peer != NULL && peer->heard_us != 0 &&
           m->now_us - peer->heard_us <= m->conf->election_timeout_us;
}

/* Refused while there still is room for what was accepted before (RELIABILITY 4.8). */
static bool no_space(void *ctx, bool frees, size_t bytes, uint64_t *ret_used, uint64_t *ret_limit)
{
    struct maelstrom *m = ctx;
    struct store_stats log;
    struct kv_stats state;

    store_get_stats(m->store, &log);
    if (log.no_space) {
        *ret_used = log.log_bytes;
        *ret_limit = log.log_bytes;
        return true;
    }
    if (frees || kv_get_stats(m->kv, &state) != 0)
        return false;
    *ret_used = state.used_bytes;
    *ret_limit = state.map_bytes;
    /* The log is written in the turn: next to nothing is on its way. */
    return state.used_bytes + 2 * bytes >= state.map_bytes / 100u * STATE_FULL_PERCENT;
}

static void service_status(void *ctx, struct wire_reply *w)
{
    struct maelstrom *m = ctx;
    struct store_stats log;
    struct kv_stats state = {0};

    store_get_stats(m->store, &log);
    wire_reply_open_object(w, "log");
    wire_reply_u64(w, "fsyncs", log.n_fsyncs);
    wire_reply_u64(w, "bytes", log.log_bytes);
    wire_reply_u64(w, "bytes_written", log.bytes_written);
    wire_reply_u64(w, "segments", log.n_segments);
    wire_reply_u64(w, "last_fsync_us", log.last_fsync_us);
    wire_reply_u64(w, "max_fsync_us", log.max_fsync_us);
    wire_reply_close_object(w);
    if (kv_get_stats(m->kv, &state) == 0) {
        wire_reply_open_object(w, "state");
        wire_reply_u64(w, "keys", state.n_keys);
        wire_reply_u64(w, "bytes", state.used_bytes);
        wire_reply_u64(w, "limit_bytes", state.map_bytes);
        wire_reply_close_object(w);
    }
    wire_reply_u64(w, "forwards", m->n_forwards);
    wire_reply_u64(w, "dropped", m->n_dropped);
}

void glue_fill_service_ops(struct maelstrom *m, struct service_ops *ops)
{
    *ops = (struct service_ops){.ctx = m,
                                .out = service_out,
                                .hold = service_hold,
                                .release = service_release,
                                .now_us = service_now,
                                .status = service_status,
                                .peer_connected = peer_connected,
                                .record_bytes = record_bytes,
                                .event = service_event,
                                .no_space = no_space,
                                .init = init_handle};
}
