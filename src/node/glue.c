/* The tables of functions that join the modules: who calls whom, and nothing decided. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* ---- the engine ---- */

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct node *n = ctx;
    struct buf *out = peer_net_out(n->peer_net, m->to, wire_msg_channel(m->type));

    size_t before;

    /* No link, or its queue is full: the core repeats what matters. */
    if (out == NULL)
        return;
    before = out->len;
    (void)wire_msg_encode(m, out);
    n->wire_bytes += out->len - before;
}

static uint64_t wire_bytes(void *ctx)
{
    return ((const struct node *)ctx)->wire_bytes;
}

static void flush(void *ctx)
{
    peer_net_flush(((struct node *)ctx)->peer_net);
}

static void answer(void *ctx)
{
    const struct node *n = ctx;

    if (n->client_port != NULL)
        client_port_answer(n->client_port);
}

/* Nothing that is in memory may leave any more: no flush, no handler, no second try. */
static void end(void *ctx, const struct engine_end *why)
{
    (void)ctx;
    log_flush();
    _exit(why->exit_code);
}

/* ---- clients of the engine ---- */

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

static const char *service_conn_address(void *ctx, void *conn)
{
    (void)ctx;
    return client_conn_address(conn);
}

static void service_release(void *ctx, void *conn)
{
    (void)ctx;
    client_conn_release(conn);
}

static struct memory_conn *service_memory(void *ctx, void *conn)
{
    (void)ctx;
    return client_conn_memory(conn);
}

static void service_touched(void *ctx, void *conn, size_t bytes)
{
    (void)ctx;
    client_conn_touched(conn, bytes);
}

/* By the id of the cluster, or else by its secret, all nodes make the same. */
static bool seal(void *ctx, void *conn, uint64_t client, uint64_t *ret)
{
    const struct node *n = ctx;
    unsigned char key[TLS_SEAL_KEY_BYTES];
    static_assert(TLS_SEAL_KEY_BYTES == 16, "an id of a cluster");

    if (!engine_cluster_id(n->engine, key))
        memcpy(key, n->tls.seal_key, sizeof(key));
    return n->tls.has_seal_key && node_seal(n, conn, key, client, ret);
}

static uint64_t cpu_us(void *ctx)
{
    (void)ctx;
    return clock_thread_us();
}

static uint64_t now_us(void *ctx)
{
    (void)ctx;
    return clock_mono_us();
}

static uint64_t arrived_us(void *ctx)
{
    return client_port_read_us(((struct node *)ctx)->client_port);
}

static bool peer_connected(void *ctx, raft_node_id id)
{
    return peer_net_is_up(((struct node *)ctx)->peer_net, id);
}

/* On a thread of its own: what it reads of the node never changes, but for one that is atomic. */
static int join(void *ctx, const struct engine_join *j, uint64_t *ret_incarnation)
{
    const struct node *n = ctx;
    struct wire_join question = {.version_highest = WIRE_VERSION_HIGHEST,
                                 .version_lowest = (uint16_t)j->version_lowest,
                                 .from = n->id,
                                 .config = j->config,
                                 .config_len = j->len};
    struct wire_join_reply reply = {0};
    struct tls_ctx *tls;
    int rc;

    memcpy(question.founding_id, identity_get(n->dir)->cluster_id, sizeof(question.founding_id));
    memcpy(question.cluster_id, j->cluster_id, sizeof(question.cluster_id));
    (void)snprintf(question.cluster_name, sizeof(question.cluster_name), "%s",
                   n->conf->cluster_name);
    (void)snprintf(question.node_name, sizeof(question.node_name), "%s", j->name);
    tls = node_joins_tls(n);
    rc = peer_join(&(struct peer_whom){.addr = j->peer_addr, .tls = tls, .name = j->name},
                   &question, PEER_JOIN_MS, &n->closes, &reply);
    tls_ctx_unref(tls);
    if (rc != 0)
        return err_say(rc, "'%s' at %s does not answer: %s; is `ridd --join` running there?",
                       j->name, j->peer_addr, err_text());
    if (reply.refused != WIRE_JOIN_ACCEPTED)
        return err_say(-EPERM, "'%s' at %s refuses: %s%s%s", j->name, j->peer_addr,
                       wire_join_refusal_text(reply.refused), reply.text[0] != '\0' ? ": " : "",
                       reply.text);
    if (j->len == 0) /* it waits */
        return 0;
    if (reply.incarnation == 0)
        return err_say(-EAGAIN, "'%s' at %s was not told: ask again", j->name, j->peer_addr);
    *ret_incarnation = reply.incarnation;
    return 0;
}

static uint64_t incarnation(void *ctx, raft_node_id id)
{
    const struct node *n = ctx;

    return id == n->id ? n->incarnation : identity_peer_incarnation(n->dir, id);
}

static bool random_bytes(void *ctx, void *ret, size_t len)
{
    (void)ctx;
    return getrandom(ret, len, 0) == (ssize_t)len;
}

/* Resident memory, as the kernel counts it: the second number of the line. */
uint64_t node_rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "";
    const char *second;

    if (f == NULL)
        return 0;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    (void)fclose(f);
    second = strchr(line, ' ');
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Two windows of a histogram and a file of the kernel's: not for each of a thousand questions. */
static void look_at_turns(struct node *n)
{
    const uint64_t now_us = clock_mono_us();

    if (now_us < n->turns.until_us)
        return;
    n->turns.until_us = now_us + STATUS_FRESH_US;
    sync_times_get(&n->turns.took, now_us, &n->turns.p50_us, &n->turns.p99_us, &n->turns.max_us);
    n->turns.p999_us = sync_times_at(&n->turns.took, now_us, 999);
    if (n->turns.p999_us > n->turns.max_us)
        n->turns.p999_us = n->turns.max_us;
    n->turns.rss_bytes = node_rss_bytes();
}

static void status_turn(const struct node *n, struct wire_reply *w)
{
    wire_reply_open_object(w, "turn");
    wire_reply_u64(w, "cpu_p50_us", n->turns.p50_us);
    wire_reply_u64(w, "cpu_p99_us", n->turns.p99_us);
    wire_reply_u64(w, "cpu_p999_us", n->turns.p999_us);
    wire_reply_u64(w, "cpu_max_us", n->turns.max_us);
    wire_reply_close_object(w);
}

/* What a measurement takes the difference of: not as of some milliseconds ago. */
static void status_process(const struct node *n, struct wire_reply *w)
{
    struct rusage used = {0};

    (void)getrusage(RUSAGE_SELF, &used);
    wire_reply_open_object(w, "process");
    wire_reply_u64(w, "pid", (uint64_t)getpid());
    wire_reply_u64(w, "cpu_us",
                   (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000u +
                       (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec));
    wire_reply_u64(w, "voluntary_switches", (uint64_t)used.ru_nvcsw);
    wire_reply_u64(w, "involuntary_switches", (uint64_t)used.ru_nivcsw);
    wire_reply_u64(w, "peer_frames", n->n_frames);
    wire_reply_u64(w, "peer_bytes", n->wire_bytes);
    wire_reply_close_object(w);
}

static void status_room(const struct node *n, struct wire_reply *w)
{
    uint64_t free_bytes;
    uint64_t all_bytes;
    const bool known = node_room_get(n->room, &free_bytes, &all_bytes);

    wire_reply_open_object(w, "room");
    if (known) {
        wire_reply_u64(w, "free_bytes", free_bytes);
        wire_reply_u64(w, "all_bytes", all_bytes);
    } else {
        wire_reply_null(w, "free_bytes");
        wire_reply_null(w, "all_bytes");
    }
    wire_reply_close_object(w);
}

static void service_status(void *ctx, struct wire_reply *w)
{
    struct node *n = ctx;
    struct client_port_stats clients;

    client_port_get_stats(n->client_port, &clients);
    wire_reply_open_object(w, "clients");
    wire_reply_u64(w, "open", clients.n_open);
    wire_reply_u64(w, "accepted", clients.n_accepted);
    wire_reply_u64(w, "refused", clients.n_refused);
    wire_reply_u64(w, "limit", clients.limit);
    wire_reply_u64(w, "closed_owing", clients.n_closed_owing);
    node_access_status(n, w);
    wire_reply_close_object(w);
    wire_reply_u64(w, "uptime_ms", (clock_mono_us() - n->started_us) / 1000u);
    look_at_turns(n);
    wire_reply_u64(w, "rss_bytes", n->turns.rss_bytes);
    status_turn(n, w);
    status_process(n, w);
    status_room(n, w);
    node_about_status(n, w);
}

void node_fill_engine_ops(struct node *n, struct engine_ops *ops)
{
    *ops = (struct engine_ops){.ctx = n,
                               .now_us = now_us,
                               .arrived_us = arrived_us,
                               .cpu_us = cpu_us,
                               .send = send_msg,
                               .flush = flush,
                               .answer = answer,
                               .peer_version = node_peer_version,
                               .suspended_us = node_suspended_us,
                               .disrupted = node_disrupted,
                               .join = join,
                               .incarnation = incarnation,
                               .random = random_bytes,
                               .end = end,
                               .invalid_action = "close_link",
                               .out = service_out,
                               .hold = service_hold,
                               .release = service_release,
                               .role = node_client_role,
                               .grants = node_client_grants,
                               .denied = node_client_denied,
                               .admin = node_client_admin,
                               .seal = seal,
                               .auth = node_client_auth,
                               .conn_address = service_conn_address,
                               .memory = service_memory,
                               .touched = service_touched,
                               .client_addr = node_client_addr,
                               .peer_addr = node_peer_addr,
                               .peer_connected = peer_connected,
                               .command_version = node_command_version,
                               .wire_bytes = wire_bytes,
                               .status = service_status};
}

/* ---- client port ---- */

static struct service_conn *service_of(struct client_conn *c)
{
    const struct node_client *client = client_conn_user(c);

    return client != NULL ? client->service : NULL;
}

static void on_opened(void *ctx, struct client_conn *c)
{
    struct node *n = ctx;
    struct node_client *client = calloc(1, sizeof(*client));

    if (client != NULL && service_conn_new(engine_service(n->engine), c, &client->service) != 0) {
        free(client);
        client = NULL; /* without memory its lines are not answered, and it is closed when idle */
    }
    client_conn_set_user(c, client);
}

static bool on_line(void *ctx, struct client_conn *c, const char *line, size_t len,
                    uint64_t line_no)
{
    struct service_conn *sc = service_of(c);

    (void)ctx;
    return sc != NULL && service_line(sc, line, len, line_no);
}

static void on_too_long(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct node *n = ctx;
    struct service_conn *sc = service_of(c);

    if (sc != NULL)
        service_line_too_long(sc, line_no, node_conf(n)->request_bytes);
}

static void on_foreign(void *ctx, struct client_conn *c, uint64_t line_no, enum wire_foreign what)
{
    struct service_conn *sc = service_of(c);

    (void)ctx;
    if (sc != NULL)
        service_line_foreign(sc, line_no, what);
}

static void on_overloaded(void *ctx, struct client_conn *c, uint64_t line_no)
{
    struct service_conn *sc = service_of(c);

    (void)ctx;
    if (sc != NULL)
        service_line_overloaded(sc, line_no);
}

static bool on_room(void *ctx, struct client_conn *c)
{
    struct service_conn *sc = service_of(c);

    (void)ctx;
    return sc != NULL && service_conn_room(sc);
}

static void on_refused(void *ctx, struct buf *out, unsigned limit, bool of_host)
{
    struct node *n = ctx;

    service_refuse_connection(engine_service(n->engine), out, limit, of_host);
}

static void on_closed(void *ctx, struct client_conn *c, const char *why)
{
    struct node_client *client = client_conn_user(c);

    (void)ctx;
    log_event(LOG_DEBUG, "client_closed", "address=%s why=\"%s\"", client_conn_address(c), why);
    client_conn_set_user(c, NULL);
    if (client != NULL)
        service_conn_free(client->service);
    free(client);
}

/* Their share of a turn begins with its first line, however many looks at the sockets it takes
 * (TIME-1). */
static bool spent(void *ctx)
{
    struct node *n = ctx;

    if (n->clients.now_us == NULL)
        slice_begin(&n->clients, now_us, n, clock_mono_us() + n->share_us);
    return slice_spent(&n->clients);
}

/* Reads wait for the answers of peers, and their replies for the turn that takes them. */
static bool urgent(void *ctx)
{
    const struct node *n = ctx;

    return n->n_frames != n->n_frames_done;
}

void node_fill_client_ops(struct node *n, struct client_port_ops *ops)
{
    *ops = (struct client_port_ops){.ctx = n,
                                    .on_line = on_line,
                                    .on_too_long = on_too_long,
                                    .on_foreign = on_foreign,
                                    .on_overloaded = on_overloaded,
                                    .on_room = on_room,
                                    .on_refused = on_refused,
                                    .spent = spent,
                                    .urgent = urgent,
                                    .on_handshake_failed = node_client_tls_failed,
                                    .on_opened = on_opened,
                                    .on_closed = on_closed};
}

void node_client_conf(struct node *n, struct client_port_conf *ret)
{
    const struct conf *conf = node_conf(n);

    memset(ret, 0, sizeof(*ret));
    ret->request_bytes = conf->request_bytes;
    ret->in_flight = conf->in_flight;
    ret->connections = conf->connections;
    ret->memory = &n->memory;
    ret->connections_per_host = conf->connections_per_address;
}

/* ---- peers ---- */

static void fill_hello(void *ctx, raft_node_id to, struct wire_hello *h)
{
    struct node *n = ctx;
    const struct raft_server *server = node_server(n, to);
    struct raft_status st;

    raft_get_status(engine_raft(n->engine), &st);
    h->last_index = st.last_index;
    h->known_incarnation = server != NULL && server->incarnation != 0
                               ? server->incarnation
                               : identity_peer_incarnation(n->dir, to);
    h->command_version = COMMAND_VERSION;
}

/* Of a stranger: what a candidate or a leader sends, for it may be one without our knowing it, and
 * the answers to that (PEER-9). Whatever else there will be is for members. */
bool node_serves_stranger(enum raft_msg_type type)
{
    switch (type) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_APPEND:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        return true;
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_APPEND_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        return true;
    }
    return false;
}

static int on_frame(void *ctx, raft_node_id from, const struct wire_frame *frame)
{
    struct node *n = ctx;
    struct raft_msg m;
    int rc;

    n->n_frames++;
    n->wire_bytes += frame->total_len;
    arena_reset(&n->arena);
    rc = wire_msg_decode(frame, from, n->id, &n->arena, &m);
    if (rc != 0)
        return err_say(PEER_FRAME_REFUSED, "a frame does not decode: %s",
                       wire_frame_error_text(rc));
    if (!node_serves_stranger(m.type) && peer_net_is_stranger(n->peer_net, from))
        return 0;
    if (replica_step(engine_replica(n->engine), &m, clock_mono_us()) != 0)
        return err_say(PEER_FRAME_REFUSED, "a message that no correct node sends");
    return 0;
}

/* Whoever is heard is heard once in any case (TIME-1). */
static bool peers_spent(void *ctx)
{
    struct node *n = ctx;

    if (n->peers.now_us == NULL)
        slice_begin(&n->peers, now_us, n, clock_mono_us() + n->share_us);
    return slice_spent(&n->peers);
}

void node_fill_peer_ops(struct node *n, struct peer_net_ops *ops)
{
    *ops = (struct peer_net_ops){.ctx = n,
                                 .on_hello = node_admit,
                                 .on_join = node_on_join,
                                 .fill_hello = fill_hello,
                                 .on_frame = on_frame,
                                 .on_event = node_peer_event,
                                 .spent = peers_spent};
}
