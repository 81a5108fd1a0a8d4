/* Everything the daemon tells its operator while it runs. Each event's name is stable and listed in
 * ridd(8). */
#include "base/clock.h"
#include "base/log.h"
#include "node/node_int.h"
#include "node/notify.h"

#include "base/banned.h"

const char *node_name_of(const struct node *n, raft_node_id id)
{
    const struct raft_server *server = NULL;

    if (n->replica != NULL && id != 0)
        server = raft_configuration_get(raft_get_configuration(replica_raft(n->replica)), id);
    return server != NULL ? server->name : (id == 0 ? "none" : "?");
}

void node_trace(void *ctx, const struct raft_trace *t)
{
    struct node *n = ctx;
    const char *peer = node_name_of(n, t->peer);
    const char *text = t->text != NULL ? t->text : "";
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
        log_event(LOG_INFO, "configuration", "index=%llu", (unsigned long long)t->index);
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
        if (log_limit_ok(&n->invalid_limit, clock_mono_us(), &suppressed))
            log_event(LOG_WARNING, "message_refused",
                      "peer=%s why='%s' suppressed=%llu action=close_link", peer, text,
                      (unsigned long long)suppressed);
        break;
    case RAFT_TRACE_COMMIT:
    case RAFT_TRACE_ROUND:
        break; /* many a second; status counts them */
    }
}

void node_peer_event(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text)
{
    struct node *n = ctx;
    const char *name = node_name_of(n, peer);
    char addr_esc[LOG_ESC_BUF];
    char text_esc[LOG_ESC_BUF];
    uint64_t suppressed;

    (void)log_esc(addr_esc, sizeof(addr_esc), address != NULL ? address : "",
                  address != NULL ? strlen(address) : 0);
    (void)log_esc(text_esc, sizeof(text_esc), text != NULL ? text : "",
                  text != NULL ? strlen(text) : 0);
    switch (event) {
    case PEER_EVENT_UP:
        replica_link(n->replica, peer, true, clock_mono_us());
        log_event(LOG_INFO, "peer_up", "peer=%s address=%s protocol=%s", name, addr_esc, text_esc);
        break;
    case PEER_EVENT_DOWN:
        if (n->replica != NULL)
            replica_link(n->replica, peer, false, clock_mono_us());
        log_event(LOG_WARNING, "peer_down", "peer=%s address=%s why=%s action=reconnect", name,
                  addr_esc, text_esc);
        break;
    case PEER_EVENT_REFUSED:
        if (log_limit_ok(&n->refused_limit, clock_mono_us(), &suppressed))
            /* Rubbish from somebody without a name needs nobody's hand; a member that is refused
             * does. */
            log_event(peer != 0 ? LOG_ERROR : LOG_WARNING, "peer_refused",
                      "peer=%s address=%s why=%s suppressed=%llu", name, addr_esc, text_esc,
                      (unsigned long long)suppressed);
        break;
    case PEER_EVENT_FAILED:
        log_event(LOG_WARNING, "peer_unreachable", "peer=%s address=%s why=%s action=retry", name,
                  addr_esc, text_esc);
        break;
    case PEER_EVENT_DROPPED:
        log_event(LOG_WARNING, "peer_slow", "peer=%s address=%s action=drop_frames", name,
                  addr_esc);
        break;
    }
}

void node_show(struct node *n, bool force)
{
    const struct raft *raft = replica_raft(n->replica);
    uint64_t now_us = clock_mono_us();
    char text[256];

    if (!force && raft_get_role(raft) == n->shown_role && raft_get_term(raft) == n->shown_term &&
        raft_get_leader(raft) == n->shown_leader && now_us < n->status_due_us)
        return;
    n->shown_role = raft_get_role(raft);
    n->shown_term = raft_get_term(raft);
    n->shown_leader = raft_get_leader(raft);
    n->status_due_us = now_us + 10000000u;
    log_set_role(raft_role_name(n->shown_role), n->shown_term);
    (void)snprintf(text, sizeof(text), "STATUS=%s in term %llu, leader %s, %llu entries applied",
                   raft_role_name(n->shown_role), (unsigned long long)n->shown_term,
                   node_name_of(n, n->shown_leader),
                   (unsigned long long)replica_last_applied(n->replica));
    notify_send(text);
}

void node_dump_state(struct node *n)
{
    struct raft_status st;
    struct replica_stats stats;
    struct store_stats log;
    struct client_port_stats clients;

    raft_get_status(replica_raft(n->replica), &st);
    replica_get_stats(n->replica, &stats);
    store_get_stats(n->store, &log);
    client_port_get_stats(n->client_port, &clients);
    log_event(LOG_INFO, "state_core",
              "leader=%s voted_for=%s commit_index=%llu applied_index=%llu last_index=%llu "
              "durable_index=%llu "
              "rounds_opened=%llu rounds_confirmed=%llu voters=%u heard=%u",
              node_name_of(n, st.leader_id), node_name_of(n, st.voted_for),
              (unsigned long long)st.commit_index, (unsigned long long)st.last_applied,
              (unsigned long long)st.last_index, (unsigned long long)st.last_stored,
              (unsigned long long)st.rounds_opened, (unsigned long long)st.rounds_confirmed,
              st.n_voters, st.n_voters_heard);
    log_event(LOG_INFO, "state_requests",
              "waiting=%u in_round=%u confirmed=%u proposed=%u read_index=%llu read_via_log=%llu "
              "local=%llu "
              "reads_failed=%llu writes=%llu writes_failed=%llu turns=%llu",
              stats.n_waiting, stats.n_in_round, stats.n_confirmed, stats.n_proposed,
              (unsigned long long)stats.n_reads[REPLICA_READ],
              (unsigned long long)stats.n_reads[REPLICA_READ_LOG],
              (unsigned long long)stats.n_reads[REPLICA_READ_LOCAL],
              (unsigned long long)stats.n_reads_failed, (unsigned long long)stats.n_writes_done,
              (unsigned long long)stats.n_writes_failed, (unsigned long long)stats.n_turns);
    log_event(LOG_INFO, "state_log",
              "fsyncs=%llu last_fsync_us=%llu max_fsync_us=%llu bytes=%llu segments=%u",
              (unsigned long long)log.n_fsyncs, (unsigned long long)log.last_fsync_us,
              (unsigned long long)log.max_fsync_us, (unsigned long long)log.log_bytes,
              log.n_segments);
    log_event(LOG_INFO, "state_clients", "open=%u accepted=%llu refused=%llu closed_slow=%llu",
              clients.n_open, (unsigned long long)clients.n_accepted,
              (unsigned long long)clients.n_refused, (unsigned long long)clients.n_closed_slow);
    for (unsigned i = 0; i < st.n_peers; i++)
        log_event(LOG_INFO, "state_peer",
                  "peer=%s connected=%d match_index=%llu next_index=%llu rtt_us=%llu",
                  node_name_of(n, st.peers[i].id), peer_net_is_up(n->peer_net, st.peers[i].id),
                  (unsigned long long)st.peers[i].match_index,
                  (unsigned long long)st.peers[i].next_index,
                  (unsigned long long)st.peers[i].srtt_us);
}
