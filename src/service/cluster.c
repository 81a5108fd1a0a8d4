/* What a node says of itself and of its cluster, at once and without the log: ping, status,
 * members, init. */
#include "service/service_int.h"

#include "base/banned.h"

void service_handle_ping(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    const struct raft *raft = s->replica != NULL ? replica_raft(s->replica) : NULL;
    struct buf *out = service_out(c);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "pong");
    wire_reply_str(&w, "node", s->conf.node_name);
    wire_reply_str(&w, "role", raft != NULL ? raft_role_name(raft_get_role(raft)) : NULL);
    wire_reply_u64(&w, "term", raft != NULL ? raft_get_term(raft) : 0);
    wire_reply_u64(&w, "applied_index", raft != NULL ? replica_last_applied(s->replica) : 0);
    service_end(s, &w, &q->origin);
}

/* The host knows better than the log, which may be older than the last move, or never knew. */
static const char *peer_addr_of(const struct service *s, const struct raft_server *server)
{
    const char *addr = s->ops.peer_addr != NULL ? s->ops.peer_addr(s->ops.ctx, server->id) : NULL;

    if (addr != NULL)
        return addr;
    return server->peer_addr[0] != '\0' ? server->peer_addr : NULL;
}

static void status_peers(struct service *s, struct wire_reply *w, const struct raft_status *st,
                         uint64_t now_us)
{
    const struct raft_configuration *conf = raft_get_configuration(replica_raft(s->replica));

    wire_reply_open_array(w, "peers");
    for (unsigned i = 0; i < st->n_peers; i++) {
        const struct raft_peer_status *p = &st->peers[i];
        const struct raft_server *server = raft_configuration_get(conf, p->id);
        bool leads = st->role == RAFT_LEADER;

        wire_reply_open_object(w, NULL);
        wire_reply_str(w, "id", server != NULL ? server->name : NULL);
        wire_reply_str(w, "address", server != NULL ? peer_addr_of(s, server) : NULL);
        wire_reply_str(w, "role", p->role == RAFT_VOTER ? "voter" : "learner");
        wire_reply_bool(w, "connected",
                        s->ops.peer_connected != NULL ? s->ops.peer_connected(s->ops.ctx, p->id)
                                                      : p->connected);
        /* Only a leader knows these. */
        if (leads) {
            wire_reply_bool(w, "heard", p->heard);
            wire_reply_u64(w, "match_index", p->match_index);
        } else {
            wire_reply_null(w, "heard");
            wire_reply_null(w, "match_index");
        }
        if (p->behind != RAFT_BEHIND_UNKNOWN)
            wire_reply_u64(w, "behind_entries", p->behind);
        else
            wire_reply_null(w, "behind_entries");
        if (leads && p->srtt_us != 0)
            wire_reply_u64(w, "rtt_us", p->srtt_us);
        else
            wire_reply_null(w, "rtt_us");
        if (leads && p->last_heard_us != 0)
            wire_reply_u64(w, "last_heard_ms", (now_us - p->last_heard_us) / 1000u);
        else
            wire_reply_null(w, "last_heard_ms");
        /* Null as well of a node of a version that does not say. */
        wire_reply_str(w, "fit", p->fitness_said ? raft_fitness_name(p->fitness) : NULL);
        wire_reply_close_object(w);
    }
    wire_reply_close_array(w);
}

static void status_requests(struct wire_reply *w, const struct raft_status *st,
                            const struct replica_stats *stats)
{
    wire_reply_open_object(w, "reads");
    wire_reply_u64(w, "read_index", stats->n_reads[REPLICA_READ]);
    wire_reply_u64(w, "read_via_log", stats->n_reads[REPLICA_READ_LOG]);
    wire_reply_u64(w, "local", stats->n_reads[REPLICA_READ_LOCAL]);
    wire_reply_u64(w, "follower", stats->n_reads[REPLICA_READ_FOLLOWER]);
    wire_reply_u64(w, "lease", stats->n_reads[REPLICA_READ_LEASE]);
    wire_reply_u64(w, "lease_fallbacks", stats->n_lease_fallbacks);
    wire_reply_u64(w, "bounded", stats->n_reads[REPLICA_READ_BOUNDED]);
    wire_reply_u64(w, "failed", stats->n_reads_failed);
    wire_reply_u64(w, "pending", stats->n_in_round + stats->n_asking + stats->n_confirmed);
    wire_reply_u64(w, "rounds", st->rounds_opened);
    wire_reply_u64(w, "confirmed", st->rounds_confirmed);
    wire_reply_u64(w, "asks_sent", st->n_asks_sent);
    wire_reply_u64(w, "asks_by_ack", st->n_asks_by_ack);
    wire_reply_u64(w, "asks_by_lease", st->n_asks_by_lease);
    wire_reply_u64(w, "asks_by_round", st->n_asks_by_round);
    wire_reply_close_object(w);
    wire_reply_open_object(w, "writes");
    wire_reply_u64(w, "proposed", stats->n_writes_proposed);
    wire_reply_u64(w, "applied", stats->n_writes_done);
    wire_reply_u64(w, "failed", stats->n_writes_failed);
    wire_reply_u64(w, "pending", stats->n_proposed);
    wire_reply_close_object(w);
}

static void status_memory(const struct memory *m, struct wire_reply *w)
{
    if (m == NULL)
        return;
    wire_reply_open_object(w, "memory");
    wire_reply_u64(w, "limit_bytes", m->all.limit);
    wire_reply_u64(w, "used_bytes", m->all.used);
    wire_reply_u64(w, "replies_bytes", m->replies.used);
    wire_reply_u64(w, "requests_bytes", m->requests.used);
    wire_reply_u64(w, "commands_bytes", m->commands.used);
    wire_reply_close_object(w);
}

void service_write_status(struct service *s, struct buf *out, const struct wire_origin *origin)
{
    struct raft_status st;
    struct replica_stats stats;
    struct wire_reply w;

    raft_get_status(replica_raft(s->replica), &st);
    replica_get_stats(s->replica, &stats);
    service_begin(s, &w, out, origin, "status_ok");
    wire_reply_str(&w, "node", s->conf.node_name);
    wire_reply_str(&w, "cluster", s->conf.cluster_name);
    wire_reply_str(&w, "version", PACKAGE_VERSION);
    wire_reply_str(&w, "role", raft_role_name(st.role));
    wire_reply_u64(&w, "term", st.current_term);
    wire_reply_str(&w, "leader_id", service_name_of(s, st.leader_id));
    wire_reply_bool(&w, "serving", st.can_serve);
    wire_reply_u64(&w, "commit_index", st.commit_index);
    wire_reply_u64(&w, "applied_index", replica_last_applied(s->replica));
    wire_reply_u64(&w, "last_log_index", st.last_index);
    wire_reply_u64(&w, "durable_index", st.last_stored);
    status_peers(s, &w, &st, s->ops.now_us(s->ops.ctx));
    status_requests(&w, &st, &stats);
    wire_reply_u64(&w, "waiting", stats.n_waiting);
    status_memory(s->conf.memory, &w);
    compare_progress(s, &w);
    if (s->ops.status != NULL)
        s->ops.status(s->ops.ctx, &w);
    service_end(s, &w, origin);
}

void service_handle_status(struct service_conn *c, const struct wire_request *q)
{
    struct buf *out = service_out(c);

    if (out != NULL)
        service_write_status(c->service, out, &q->origin);
}

void service_handle_members(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = service_out(c);
    const struct raft *raft = replica_raft(s->replica);
    const struct raft_configuration *conf = raft_get_configuration(raft);
    struct wire_reply w;

    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "members_ok");
    wire_reply_open_array(&w, "members");
    for (unsigned i = 0; i < conf->n; i++) {
        const struct raft_server *server = &conf->servers[i];
        const char *addr =
            s->ops.client_addr != NULL ? s->ops.client_addr(s->ops.ctx, server->id) : NULL;

        wire_reply_open_object(&w, NULL);
        wire_reply_str(&w, "id", server->name);
        wire_reply_str(&w, "role", server->role == RAFT_VOTER ? "voter" : "learner");
        wire_reply_str(&w, "peer_addr", peer_addr_of(s, server));
        wire_reply_str(
            &w, "client_addr",
            addr != NULL ? addr : (server->client_addr[0] != '\0' ? server->client_addr : NULL));
        wire_reply_close_object(&w);
    }
    wire_reply_close_array(&w);
    wire_reply_u64(&w, "configuration_index", raft_get_configuration_index(raft));
    wire_reply_bool(&w, "committed",
                    raft_get_configuration_index(raft) <= raft_get_commit_index(raft));
    wire_reply_open_array(&w, "removed");
    for (unsigned i = 0; i < conf->n_removed; i++) {
        wire_reply_open_object(&w, NULL);
        wire_reply_str(&w, "id", conf->removed[i].name);
        wire_reply_u64(&w, "index", conf->removed[i].index);
        wire_reply_close_object(&w);
    }
    wire_reply_close_array(&w);
    if (s->ops.member_changes != NULL)
        s->ops.member_changes(s->ops.ctx, &w);
    service_end(s, &w, &q->origin);
}

void service_handle_init(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = service_out(c);
    struct wire_reply w;
    const char *text;

    if (s->ops.init == NULL) {
        service_refuse_type(
            c, q,
            "init belongs to stdin and stdout; over TCP the node is what its configuration says");
        return;
    }
    text = s->ops.init(s->ops.ctx, q);
    if (out == NULL)
        return;
    if (text != NULL) {
        service_refuse_field(c, q, "node_id", text);
        return;
    }
    service_begin(s, &w, out, &q->origin, "init_ok");
    service_end(s, &w, &q->origin);
}

/* It says what is there and goes on in the background: `status` tells how far it is. */
void service_handle_snapshot(struct service_conn *c, const struct wire_request *q)
{
    struct service *s = c->service;
    struct buf *out = service_out(c);
    raft_index index = 0;
    bool making = false;
    struct wire_reply w;

    if (s->ops.snapshot == NULL || !s->ops.snapshot(s->ops.ctx, &index, &making)) {
        service_refuse_type(c, q, "this node keeps no snapshots");
        return;
    }
    if (out == NULL)
        return;
    service_begin(s, &w, out, &q->origin, "snapshot_ok");
    wire_reply_u64(&w, "index", index);
    wire_reply_bool(&w, "making", making);
    service_end(s, &w, &q->origin);
}
