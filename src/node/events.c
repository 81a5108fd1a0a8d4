/* What the daemon tells its operator about its ports and peers while it runs; about the node itself
 * the engine speaks. Each event's name is stable and listed in base/event_names.h. */
#include <stdarg.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/node_int.h"

#include "base/banned.h"

/* A text that is ours, in quotes; its length is its own matter. The names in it are clean. */
static const char *quoted(char *buf, size_t size, const char *text)
{
    (void)snprintf(buf, size, "\"%s\"", text != NULL ? text : "");
    for (char *p = buf + 1; *p != '\0' && p[1] != '\0'; p++)
        if (*p == '"' || (unsigned char)*p < 0x20)
            *p = '?';
    return buf;
}

/* The line of one peer, or, false, one more that is counted. */
static bool say_link(struct node *n, enum log_level level, const char *event, raft_node_id peer,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

static bool say_link(struct node *n, enum log_level level, const char *event, raft_node_id peer,
                     const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    uint64_t suppressed = 0;
    va_list ap;

    if (!peer_lines_ok(&n->peer_lines, peer, clock_mono_us(), &suppressed))
        return false;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (suppressed > 0)
        log_event(level, event, "peer=%s %s suppressed=%llu", engine_name_of(n->engine, peer), text,
                  (unsigned long long)suppressed);
    else
        log_event(level, event, "peer=%s %s", engine_name_of(n->engine, peer), text);
    return true;
}

void node_peer_event(void *ctx, enum peer_event event, raft_node_id peer, const char *address,
                     const char *text)
{
    struct node *n = ctx;
    char addr_esc[LOG_ESC_BUF];
    char text_esc[LOG_ESC_BUF];
    char why[512];
    uint64_t suppressed;

    (void)log_esc(addr_esc, sizeof(addr_esc), address != NULL ? address : "",
                  address != NULL ? strlen(address) : 0);
    (void)log_esc(text_esc, sizeof(text_esc), text != NULL ? text : "",
                  text != NULL ? strlen(text) : 0);
    switch (event) {
    case PEER_EVENT_UP:
        engine_link(n->engine, peer, true, clock_mono_us());
        if (say_link(n, LOG_INFO, "peer_up", peer, "address=%s protocol=%s%s", addr_esc, text_esc,
                     peer_net_is_stranger(n->peer_net, peer) ? " stranger=1" : ""))
            node_warn_differences(n, peer);
        break;
    case PEER_EVENT_DOWN:
        engine_link(n->engine, peer, false, clock_mono_us());
        if (node_server(n, peer) != NULL)
            (void)say_link(n, LOG_WARNING, "peer_down", peer, "address=%s why=%s action=reconnect",
                           addr_esc, text_esc);
        else /* removed, or a stranger: it is not dialled */
            (void)say_link(n, LOG_INFO, "peer_down", peer, "address=%s why=%s action=none",
                           addr_esc, text_esc);
        break;
    case PEER_EVENT_GONE:
        engine_gone(n->engine, peer, address, clock_mono_us());
        break;
    case PEER_EVENT_REFUSED:
        if (log_limit_ok(&n->refused_limit, clock_mono_us(), &suppressed))
            /* Rubbish from somebody without a name needs nobody's hand; a member that is refused
             * does. */
            log_event(peer != 0 ? LOG_ERROR : LOG_WARNING, "peer_refused",
                      "peer=%s address=%s why=%s suppressed=%llu", engine_name_of(n->engine, peer),
                      addr_esc, quoted(why, sizeof(why), text), (unsigned long long)suppressed);
        break;
    case PEER_EVENT_FAILED:
        (void)say_link(n, LOG_WARNING, "peer_unreachable", peer, "address=%s why=%s action=retry",
                       addr_esc, text_esc);
        break;
    case PEER_EVENT_DROPPED:
        (void)say_link(n, LOG_WARNING, "peer_slow", peer, "address=%s action=drop_frames",
                       addr_esc);
        break;
    case PEER_EVENT_REMOVED:
        node_was_removed(n, peer, text);
        break;
    case PEER_EVENTS:
        break;
    }
}

void node_client_tls_failed(void *ctx, const char *address, const char *why)
{
    struct node *n = ctx;
    char text[512];
    uint64_t suppressed;

    if (log_limit_ok(&n->tls.failed_limit, clock_mono_us(), &suppressed))
        log_event(LOG_WARNING, "client_tls_failed", "address=%s why=%s suppressed=%llu", address,
                  quoted(text, sizeof(text), why), (unsigned long long)suppressed);
}

void node_dump_state(struct node *n)
{
    struct raft_status st;
    struct replica_stats stats;
    struct store_stats log;
    struct client_port_stats clients;

    raft_get_status(engine_raft(n->engine), &st);
    replica_get_stats(engine_replica(n->engine), &stats);
    store_get_stats(engine_store(n->engine), &log);
    client_port_get_stats(n->client_port, &clients);
    log_event(LOG_INFO, "state_core",
              "leader=%s voted_for=%s commit_index=%llu applied_index=%llu last_index=%llu "
              "durable_index=%llu "
              "rounds_opened=%llu rounds_confirmed=%llu voters=%u heard=%u",
              engine_name_of(n->engine, st.leader_id), engine_name_of(n->engine, st.voted_for),
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
    log_event(LOG_INFO, "state_clients",
              "open=%u accepted=%llu refused=%llu closed_slow=%llu handshakes=%llu "
              "handshakes_failed=%llu handshakes_us=%llu",
              clients.n_open, (unsigned long long)clients.n_accepted,
              (unsigned long long)clients.n_refused, (unsigned long long)clients.n_closed_slow,
              (unsigned long long)clients.n_handshakes,
              (unsigned long long)clients.n_handshakes_failed,
              (unsigned long long)clients.handshakes_us);
    for (unsigned i = 0; i < st.n_peers; i++)
        log_event(
            LOG_INFO, "state_peer",
            "peer=%s connected=%d match_index=%llu next_index=%llu rtt_us=%llu",
            engine_name_of(n->engine, st.peers[i].id), peer_net_is_up(n->peer_net, st.peers[i].id),
            (unsigned long long)st.peers[i].match_index, (unsigned long long)st.peers[i].next_index,
            (unsigned long long)st.peers[i].srtt_us);
}
