/* The tables of functions that join the modules: who calls whom, and nothing decided. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/exit_codes.h"
#include "node/node_int.h"

#include "base/banned.h"

/* ---- replica ---- */

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct node *n = ctx;
    struct store_batch b = {.number = ready->batch,
                            .has_hard_state = ready->hard_state_changed,
                            .hard_state = ready->hard_state,
                            .truncate_from = ready->truncate_from,
                            .entries = ready->entries,
                            .n_entries = ready->n_entries,
                            .commit_index = ready->commit_index};
    int e = store_submit(n->store, &b);

    if (e == 0)
        log_thread_wake(n->log_thread);
    return e;
}

static int log_read(void *ctx, raft_index from, raft_index to, size_t bytes_max,
                    struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                    unsigned *ret_n)
{
    struct node *n = ctx;

    return store_read(n->store, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
}

static int state_begin(void *ctx)
{
    return kv_begin(((struct node *)ctx)->kv);
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    return kv_apply(((struct node *)ctx)->kv, e, ret_result);
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_apply_get(((struct node *)ctx)->kv, key, ret_value);
}

static int state_commit(void *ctx)
{
    return kv_commit(((struct node *)ctx)->kv);
}

static void state_abort(void *ctx)
{
    kv_abort(((struct node *)ctx)->kv);
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    return kv_read_begin(((struct node *)ctx)->kv, ret_last_applied);
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_get(((struct node *)ctx)->kv, key, ret_value);
}

static void state_read_end(void *ctx)
{
    kv_read_end(((struct node *)ctx)->kv);
}

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct node *n = ctx;
    struct buf *out = peer_net_out(n->peer_net, m->to, wire_msg_channel(m->type));

    /* No link, or its queue is full: the core repeats what matters. */
    if (out != NULL)
        (void)wire_msg_encode(m, out);
}

static bool is_damage(int error)
{
    return error == -EBADMSG || error == KV_E_DAMAGED;
}

/* Nothing that is in memory may leave any more: no flush, no handler, no second try
 * (RELIABILITY 4.8). */
static void fatal(void *ctx, int error, const char *what)
{
    const char *text = err_text();

    (void)ctx;
    /* What does not check is damage; everything else is the environment's failure. */
    log_event(LOG_ERROR, "fatal", "what='%s' error=\"%s\" detail=\"%s\" path='%s' action=exit_%d",
              what,
              error < 0 ? strerror(-error)
                        : (error == KV_E_FULL ? "no room in the map or on the disk" : "damaged"),
              text, err_path(), is_damage(error) ? EXIT_DAMAGED : EXIT_IO_ERROR);
    _exit(is_damage(error) ? EXIT_DAMAGED : EXIT_IO_ERROR);
}

void node_fill_replica_ops(struct node *n, struct replica_ops *ops)
{
    *ops = (struct replica_ops){.ctx = n,
                                .log_submit = log_submit,
                                .log_reader = {log_read, n},
                                .state_begin = state_begin,
                                .state_apply = state_apply,
                                .state_apply_get = state_apply_get,
                                .state_commit = state_commit,
                                .state_abort = state_abort,
                                .state_read_begin = state_read_begin,
                                .state_get = state_get,
                                .state_read_end = state_read_end,
                                .send = send_msg,
                                .trace = node_trace,
                                .fatal = fatal};
}

/* ---- service ---- */

static struct buf *service_out(void *ctx, void *conn)
{
    (void)ctx;
    return client_conn_out(conn);
}

static void service_hold(void *ctx, void *conn)
{
    (void)ctx;
    client_conn_hold(conn);
}

static void service_release(void *ctx, void *conn)
{
    (void)ctx;
    client_conn_release(conn);
}

static uint64_t service_now(void *ctx)
{
    (void)ctx;
    return clock_mono_us();
}

const char *node_client_addr(void *ctx, raft_node_id id)
{
    const struct node *n = ctx;
    const struct raft_server *server;

    for (unsigned i = 0; i < node_conf(n)->n_peers; i++)
        if (node_conf(n)->peers[i].id == id)
            return node_conf(n)->peers[i].client_addr;
    server = raft_configuration_get(raft_get_configuration(replica_raft(n->replica)), id);
    return server != NULL && server->client_addr[0] != '\0' ? server->client_addr : NULL;
}

const char *node_peer_addr(const struct node *n, raft_node_id id)
{
    const struct raft_server *server;

    for (unsigned i = 0; i < node_conf(n)->n_peers; i++)
        if (node_conf(n)->peers[i].id == id)
            return node_conf(n)->peers[i].peer_addr;
    server = raft_configuration_get(raft_get_configuration(replica_raft(n->replica)), id);
    return server != NULL ? server->peer_addr : NULL;
}

static bool peer_connected(void *ctx, raft_node_id id)
{
    return peer_net_is_up(((struct node *)ctx)->peer_net, id);
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

/* Resident memory, as the kernel counts it. */
static uint64_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long size = 0;
    unsigned long long resident = 0;
    int got;

    if (f == NULL)
        return 0;
    got = fscanf(f, "%llu %llu", &size, &resident);
    (void)fclose(f);
    return got == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void service_status(void *ctx, struct wire_reply *w)
{
    struct node *n = ctx;
    struct store_stats log;
    struct kv_stats state = {0};
    char digest[33];
    struct client_port_stats clients;

    store_get_stats(n->store, &log);
    client_port_get_stats(n->client_port, &clients);
    wire_reply_open_object(w, "log");
    wire_reply_u64(w, "fsyncs", log.n_fsyncs);
    wire_reply_u64(w, "bytes", log.log_bytes);
    wire_reply_u64(w, "bytes_written", log.bytes_written);
    wire_reply_u64(w, "segments", log.n_segments);
    wire_reply_u64(w, "last_fsync_us", log.last_fsync_us);
    wire_reply_u64(w, "max_fsync_us", log.max_fsync_us);
    wire_reply_close_object(w);
    if (kv_get_stats(n->kv, &state) == 0) {
        wire_reply_open_object(w, "state");
        wire_reply_u64(w, "keys", state.n_keys);
        wire_reply_u64(w, "bytes", state.used_bytes);
        wire_reply_u64(w, "limit_bytes", state.map_bytes);
        (void)snprintf(digest, sizeof(digest), "%016llx%016llx",
                       (unsigned long long)state.digest.high, (unsigned long long)state.digest.low);
        wire_reply_str(w, "digest", digest);
        wire_reply_u64(w, "digest_index", state.digest_index);
        wire_reply_close_object(w);
    }
    wire_reply_open_object(w, "clients");
    wire_reply_u64(w, "open", clients.n_open);
    wire_reply_u64(w, "accepted", clients.n_accepted);
    wire_reply_close_object(w);
    wire_reply_u64(w, "uptime_ms", (clock_mono_us() - n->started_us) / 1000u);
    wire_reply_u64(w, "rss_bytes", rss_bytes());
}

/* The room is looked at ten times a second, and earlier when what was written since could matter. A
 * write counts from its proposal on, twice its size (pages of LMDB are not full), until two looks
 * later it is surely part of what the state says of itself. */
#define SPACE_LOOK_US      100000u
#define STATE_FULL_PERCENT 90u
#define STATE_ROOM_PERCENT 85u /* writes are taken again: no flapping at the edge */

static void look_at_space(struct node *n, uint64_t now_us)
{
    struct store_stats log;
    struct kv_stats state;

    if (now_us >= n->space_due_us) {
        n->space_due_us = now_us + SPACE_LOOK_US;
        n->space_spent_before = n->space_spent;
        n->space_spent = 0;
    }
    store_get_stats(n->store, &log);
    n->log_is_full = log.no_space;
    n->space_used = log.log_bytes;
    n->space_limit = log.log_bytes;
    if (!n->log_is_full && kv_get_stats(n->kv, &state) == 0) {
        n->space_used = state.used_bytes;
        n->space_limit = state.map_bytes;
    }
}

static bool no_space(void *ctx, bool frees, size_t bytes, uint64_t *ret_used, uint64_t *ret_limit)
{
    struct node *n = ctx;
    uint64_t now_us = clock_mono_us();
    uint64_t coming = 2 * (n->space_spent + n->space_spent_before + bytes);
    bool was_full = n->log_is_full || n->state_is_full;

    if (now_us >= n->space_due_us || n->space_used + coming >= n->space_limit / 2)
        look_at_space(n, now_us);
    coming = 2 * (n->space_spent + n->space_spent_before + bytes);
    n->state_is_full =
        !n->log_is_full &&
        n->space_used + coming >=
            n->space_limit / 100u * (n->state_is_full ? STATE_ROOM_PERCENT : STATE_FULL_PERCENT);
    if (!was_full && (n->log_is_full || n->state_is_full))
        log_event(LOG_ERROR, "no_space", "what=%s used=%llu limit=%llu action=refuse_writes",
                  n->log_is_full ? "log" : "map_size", (unsigned long long)n->space_used,
                  (unsigned long long)n->space_limit);
    else if (was_full && !n->log_is_full && !n->state_is_full)
        log_event(LOG_INFO, "space_again", "used=%llu limit=%llu",
                  (unsigned long long)n->space_used, (unsigned long long)n->space_limit);
    if (!n->log_is_full && (frees || !n->state_is_full))
        n->space_spent += bytes;
    *ret_used = n->space_used;
    *ret_limit = n->space_limit;
    return n->log_is_full || (n->state_is_full && !frees);
}

void node_fill_service_ops(struct node *n, struct service_ops *ops)
{
    *ops = (struct service_ops){.ctx = n,
                                .out = service_out,
                                .hold = service_hold,
                                .release = service_release,
                                .now_us = service_now,
                                .client_addr = node_client_addr,
                                .status = service_status,
                                .peer_connected = peer_connected,
                                .record_bytes = record_bytes,
                                .event = service_event,
                                .no_space = no_space};
}

/* ---- client port ---- */

static void on_opened(void *ctx, struct client_conn *c)
{
    struct node *n = ctx;
    struct service_conn *sc = NULL;

    if (service_conn_new(n->service, c, &sc) != 0)
        sc = NULL; /* without memory its lines are not answered, and it is closed when idle */
    client_conn_set_user(c, sc);
}

static void on_line(void *ctx, struct client_conn *c, const char *line, size_t len,
                    uint64_t line_no)
{
    struct service_conn *sc = client_conn_user(c);

    (void)ctx;
    if (sc != NULL)
        service_line(sc, line, len, line_no);
}

static void on_too_long(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct node *n = ctx;
    struct service_conn *sc = client_conn_user(c);

    if (sc != NULL)
        service_line_too_long(sc, line_no, node_conf(n)->request_bytes);
}

static void on_refused(void *ctx, struct buf *out)
{
    struct node *n = ctx;

    service_refuse_connection(n->service, out, node_conf(n)->connections);
}

static void on_closed(void *ctx, struct client_conn *c, const char *why)
{
    struct service_conn *sc = client_conn_user(c);

    (void)ctx;
    log_event(LOG_DEBUG, "client_closed", "address=%s why='%s'", client_conn_address(c), why);
    client_conn_set_user(c, NULL);
    service_conn_free(sc);
}

void node_fill_client_ops(struct node *n, struct client_port_ops *ops)
{
    *ops = (struct client_port_ops){.ctx = n,
                                    .on_line = on_line,
                                    .on_too_long = on_too_long,
                                    .on_refused = on_refused,
                                    .on_opened = on_opened,
                                    .on_closed = on_closed};
}

void node_client_conf(const struct conf *conf, struct client_port_conf *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->request_bytes = conf->request_bytes;
    ret->in_flight = conf->in_flight;
    ret->connections = conf->connections;
}

/* ---- peers ---- */

static enum wire_refusal on_hello(void *ctx, const struct wire_hello *h)
{
    struct node *n = ctx;
    const struct raft_server *server =
        raft_configuration_get(raft_get_configuration(replica_raft(n->replica)), h->from);
    int e;

    if (server == NULL)
        return WIRE_REFUSED_FROM;
    if (h->channel == WIRE_CHANNEL_PROBE)
        return WIRE_REFUSED_NOT; /* a question before --init: nothing is recorded */
    if (h->known_incarnation != 0 && h->known_incarnation != n->incarnation)
        return WIRE_REFUSED_OURSELVES;
    e = identity_peer_check_and_record(n->dir, h->from, server->name, h->incarnation);
    if (e < 0)
        fatal(n, e, "cannot record the incarnation of a peer");
    if (e == IDENTITY_PEER_RECORDED)
        log_event(LOG_INFO, "peer_recorded", "peer=%s incarnation=%016llx", server->name,
                  (unsigned long long)h->incarnation);
    if (e == IDENTITY_PEER_FULL)
        return WIRE_REFUSED_BUSY;
    return e == IDENTITY_PEER_REFUSED ? WIRE_REFUSED_INCARNATION : WIRE_REFUSED_NOT;
}

static void fill_hello(void *ctx, raft_node_id to, struct wire_hello *h)
{
    struct node *n = ctx;
    struct raft_status st;

    raft_get_status(replica_raft(n->replica), &st);
    h->last_index = st.last_index;
    h->known_incarnation = identity_peer_incarnation(n->dir, to);
}

static int on_frame(void *ctx, raft_node_id from, const struct wire_frame *frame)
{
    struct node *n = ctx;
    struct raft_msg m;
    int e;

    arena_reset(&n->arena);
    e = wire_msg_decode(frame, from, n->self->id, &n->arena, &m);
    if (e != 0)
        return err_say(1, "a frame does not decode: %s", wire_frame_error_text(e));
    if (replica_step(n->replica, &m, clock_mono_us()) != 0)
        return err_say(1, "a message that no correct node sends");
    return 0;
}

void node_fill_peer_ops(struct node *n, struct peer_net_ops *ops)
{
    *ops = (struct peer_net_ops){.ctx = n,
                                 .on_hello = on_hello,
                                 .fill_hello = fill_hello,
                                 .on_frame = on_frame,
                                 .on_event = node_peer_event};
}
