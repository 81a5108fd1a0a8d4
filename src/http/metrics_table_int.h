/* The families of metrics: X(function's name, name, type, labels, help). A new one is a line here,
 * a function of that name in metrics.c, and a line of docs/METRICS.md, which
 * `tests/unit/test-metrics --write` makes (HTTP-8). */
#ifndef RIDD_HTTP_METRICS_TABLE_INT_H
#define RIDD_HTTP_METRICS_TABLE_INT_H

/* clang-format off */
#define METRICS(X)                                                                                \
    X(cluster_info, "ridd_cluster_info", GAUGE, "cluster_hash, version",                          \
      "Always 1: which cluster by the hash of its id, and which version of ridd.")                \
    X(up, "ridd_up_seconds", GAUGE, "",                                                           \
      "Since the process started.")                                                               \
    X(rss, "ridd_resident_memory_bytes", GAUGE, "",                                               \
      "Memory of the process, as the kernel counts it.")                                          \
    X(role, "ridd_role", GAUGE, "role",                                                           \
      "1 for the role that this node has in its cluster now, else 0.")                            \
    X(term, "ridd_term", GAUGE, "",                                                               \
      "Term of the cluster, as this node knows it.")                                              \
    X(leader_known, "ridd_leader_known", GAUGE, "",                                               \
      "1 while this node knows a leader, or leads.")                                              \
    X(serving, "ridd_serving", GAUGE, "",                                                         \
      "1 while this node leads and answers reads and writes.")                                    \
    X(fitness, "ridd_fitness", GAUGE, "state",                                                    \
      "1 for what this node is able to: fit; parked (its disk has no room); unfit (its "          \
      "state is damaged or being made again).")                                                   \
    X(commit_index, "ridd_commit_index", GAUGE, "",                                               \
      "Highest entry that this node knows to be committed.")                                      \
    X(applied_index, "ridd_applied_index", GAUGE, "",                                             \
      "Highest entry that its state holds.")                                                      \
    X(last_index, "ridd_last_index", GAUGE, "",                                                   \
      "Last entry of its log.")                                                                   \
    X(stored_index, "ridd_stored_index", GAUGE, "",                                               \
      "Highest entry that is durable in its log.")                                                \
    X(base_index, "ridd_base_index", GAUGE, "",                                                   \
      "The log begins behind this entry.")                                                        \
    X(reads, "ridd_reads_total", COUNTER, "method, result",                                       \
      "Reads by what they were answered by, and how they ended: ok or the error.")                \
    X(writes, "ridd_writes_total", COUNTER, "result",                                             \
      "Writes by how they ended: ok or the error.")                                               \
    X(stages, "ridd_stage_seconds", HISTOGRAM, "op, stage",                                       \
      "How long answered requests were in each stage: queue, quorum, apply, execute.")            \
    X(requests, "ridd_request_seconds", HISTOGRAM, "op",                                          \
      "How long answered requests took, from arrival to reply. Those that were read from a "      \
      "socket together arrived together.")                                                        \
    X(rejections, "ridd_rejections_total", COUNTER, "reason",                                     \
      "Error replies to clients, of whatever request.")                                           \
    X(slow, "ridd_slow_requests_total", COUNTER, "",                                              \
      "Requests that took longer than the threshold of /slow.json.")                              \
    X(waiting, "ridd_requests_waiting", GAUGE, "what",                                            \
      "Requests that wait now: for a leader, a round, the leader's answer, the log, the "         \
      "state.")                                                                                   \
    X(rounds, "ridd_rounds_total", COUNTER, "",                                                   \
      "Rounds of heartbeats that were opened for reads.")                                         \
    X(rounds_confirmed, "ridd_rounds_confirmed_total", COUNTER, "",                               \
      "Of these, rounds that a quorum confirmed.")                                                \
    X(round_reads, "ridd_round_reads", HISTOGRAM, "",                                             \
      "Reads that shared one round.")                                                             \
    X(lease_reads, "ridd_lease_reads_total", COUNTER, "",                                         \
      "Reads that a lease gave their right.")                                                     \
    X(lease_valid, "ridd_lease_valid", GAUGE, "",                                                 \
      "1 while this node leads and holds a lease.")                                               \
    X(lease_fallbacks, "ridd_lease_fallbacks_total", COUNTER, "reason",                           \
      "Lease reads that found no lease and joined a round.")                                      \
    X(asks_sent, "ridd_asks_sent_total", COUNTER, "",                                             \
      "Questions for an index that this node sent to the leader.")                                \
    X(asks, "ridd_asks_total", COUNTER, "answered",                                               \
      "Questions that this node answered as leader: by the asker's own acknowledgement, a"        \
      " lease, a round.")                                                                         \
    X(leader_changes, "ridd_leader_changes_total", COUNTER, "reason",                             \
      "How often another leader became known here, and why.")                                     \
    X(early_campaigns, "ridd_early_campaigns_total", COUNTER, "",                                 \
      "Elections that this node began because nobody listened any more where the leader was.")    \
    X(leaderless, "ridd_leaderless_seconds_total", COUNTER, "",                                   \
      "Time in which this node knew no leader.")                                                  \
    X(failover, "ridd_failover_seconds", HISTOGRAM, "",                                           \
      "Elections that this node won: from the last word of the leader before to its own "         \
      "first commit.")                                                                            \
    X(fsyncs, "ridd_fsync_seconds", HISTOGRAM, "",                                                \
      "Syncs of the log, each with the write before it.")                                         \
    X(fsyncs_slow, "ridd_fsyncs_slow_total", COUNTER, "",                                         \
      "Syncs that were slow enough for the event fsync_slow.")                                    \
    X(log_written, "ridd_log_written_bytes_total", COUNTER, "",                                   \
      "Bytes written to the log.")                                                                \
    X(log_bytes, "ridd_log_bytes", GAUGE, "",                                                     \
      "Size of the log on the disk.")                                                             \
    X(log_segments, "ridd_log_segments", GAUGE, "",                                               \
      "Files of the log.")                                                                        \
    X(log_queued, "ridd_log_queued_bytes", GAUGE, "",                                             \
      "Bytes that wait for the disk of the log.")                                                 \
    X(disk_free, "ridd_disk_free_bytes", GAUGE, "",                                               \
      "Free space of the file system of the data directory; absent while unknown.")               \
    X(state_keys, "ridd_state_keys", GAUGE, "",                                                   \
      "Keys in the state.")                                                                       \
    X(state_bytes, "ridd_state_bytes", GAUGE, "",                                                 \
      "Bytes of the state, as they count of the limit.")                                          \
    X(state_limit, "ridd_state_limit_bytes", GAUGE, "",                                           \
      "The limit of the state, which is the cluster's; 0 while there is none.")                   \
    X(sessions, "ridd_sessions", GAUGE, "",                                                       \
      "Sessions of clients in the state.")                                                        \
    X(full, "ridd_full", GAUGE, "what",                                                           \
      "1 for what has no room, so that writes are refused: log, state, quota, nodes.")            \
    X(verdict, "ridd_state_verdict", GAUGE, "verdict",                                            \
      "1 for what this node holds of its own state.")                                             \
    X(digest_agrees, "ridd_digest_agrees", GAUGE, "",                                             \
      "1 while no digest of this node's state differs from another node's.")                      \
    X(digest_alarms, "ridd_digest_alarms_total", COUNTER, "",                                     \
      "How often its state was found to differ from another's.")                                  \
    X(scrub, "ridd_scrub_progress_ratio", GAUGE, "",                                              \
      "How far the state is read through for damage, in this pass.")                              \
    X(snapshot_index, "ridd_snapshot_index", GAUGE, "",                                           \
      "Entry that the newest snapshot ends with; 0: there is none.")                              \
    X(snapshot_bytes, "ridd_snapshot_bytes", GAUGE, "",                                           \
      "Size of the newest snapshot.")                                                             \
    X(snapshot_age, "ridd_snapshot_age_seconds", GAUGE, "",                                       \
      "Since the newest snapshot was made; absent while there is none.")                          \
    X(snapshots, "ridd_snapshots_total", COUNTER, "what",                                         \
      "Snapshots that were made, failed, sent to a follower, installed from the leader.")         \
    X(snapshot_progress, "ridd_snapshot_progress_ratio", GAUGE, "direction",                      \
      "How far a snapshot is that is made or received; 0: none is.")                              \
    X(transfer_progress, "ridd_transfer_progress_ratio", GAUGE, "peer",                           \
      "How far a snapshot on its way to this peer is; absent where none is.")                     \
    X(members, "ridd_members", GAUGE, "kind",                                                     \
      "Voters and learners of the cluster.")                                                      \
    X(voters_heard, "ridd_voters_heard", GAUGE, "",                                               \
      "Of a leader: voters heard within an election timeout, itself included; absent "            \
      "elsewhere.")                                                                               \
    X(survivable, "ridd_survivable_failures", GAUGE, "",                                          \
      "Of a leader: how many more voters may fail before nothing is committed; absent "           \
      "elsewhere.")                                                                               \
    X(peer_connected, "ridd_peer_connected", GAUGE, "peer",                                       \
      "1 while there is a link to this peer.")                                                    \
    X(peer_heard, "ridd_peer_heard", GAUGE, "peer",                                               \
      "Of a leader: 1 while this peer was heard within an election timeout; absent "              \
      "elsewhere.")                                                                               \
    X(peer_rtt, "ridd_peer_rtt_seconds", GAUGE, "peer",                                           \
      "Of a leader: smoothed time between a heartbeat and its answer; absent while not "          \
      "measured.")                                                                                \
    X(peer_behind, "ridd_peer_behind_entries", GAUGE, "peer",                                     \
      "Of a leader: entries that this peer's log lacks; absent elsewhere, and while "             \
      "nothing of its log is known.")                                                             \
    X(peer_fsync, "ridd_peer_fsync_seconds", GAUGE, "peer",                                       \
      "Of a leader: what this peer said of its last long sync; absent where it said "             \
      "nothing.")                                                                                 \
    X(drift, "ridd_clock_drift_ppm", GAUGE, "peer",                                               \
      "Of a leader: by how many parts in a million this peer's clock runs faster than its"        \
      " own; absent while not known.")                                                            \
    X(peer_bytes, "ridd_peer_bytes_total", COUNTER, "",                                           \
      "Bytes of frames sent to and received from peers.")                                         \
    X(turns, "ridd_turns_total", COUNTER, "",                                                     \
      "Turns of the loop.")                                                                       \
    X(turn_seconds, "ridd_turn_seconds", HISTOGRAM, "",                                           \
      "CPU time of the turns of the loop.")                                                       \
    X(stood_still, "ridd_stood_still_total", COUNTER, "",                                         \
      "How often the loop woke later than it had to by more than a heartbeat: the machine"        \
      " or the process stood still.")                                                             \
    X(memory, "ridd_memory_bytes", GAUGE, "budget",                                               \
      "What clients cost: replies not read, requests and commands under way.")                    \
    X(memory_limit, "ridd_memory_limit_bytes", GAUGE, "",                                         \
      "[limits] memory.")                                                                         \
    X(connections, "ridd_connections", GAUGE, "",                                                 \
      "Connections of clients.")                                                                  \
    X(connections_limit, "ridd_connections_limit", GAUGE, "",                                     \
      "How many there may be: [limits] connections, or what descriptors allow.")                  \
    X(accepted, "ridd_connections_accepted_total", COUNTER, "",                                   \
      "Connections that were taken.")                                                             \
    X(refused, "ridd_connections_refused_total", COUNTER, "",                                     \
      "Connections that were refused at a limit.")                                                \
    X(denied, "ridd_denied_total", COUNTER, "identity",                                           \
      "Requests that were denied, by what the client is known by: unix (a user of the host), "    \
      "cert, secret, token, nobody.")                                                             \
    X(auth_failed, "ridd_auth_failed_total", COUNTER, "",                                         \
      "Tokens that were refused: [access] does not know them, or they came without TLS.")         \
    X(handshakes, "ridd_tls_handshakes_total", COUNTER, "result",                                 \
      "Handshakes of TLS at the ports of clients: done, failed.")                                 \
    X(certificates, "ridd_certificate_not_after_seconds", GAUGE, "what",                          \
      "When the certificate that ends first of this file ends, in seconds since 1970: "           \
      "peer_cert, peer_ca, client_cert, client_ca.")                                              \
    X(client_bytes, "ridd_client_bytes_total", COUNTER, "direction",                              \
      "Bytes read from and written to clients.")                                                  \
    X(http_requests, "ridd_http_requests_total", COUNTER, "result",                               \
      "Requests of HTTP: ok, refused (400 to 499), unavailable (503).")                           \
    X(http_connections, "ridd_http_connections", GAUGE, "",                                       \
      "Connections of HTTP.")                                                                     \
    X(http_closed, "ridd_http_connections_closed_total", COUNTER, "why",                          \
      "Connections of HTTP closed by the server: for a new one (evicted), since their "           \
      "time was over (expired).")                                                                 \
    X(http_asks, "ridd_http_loop_asks_total", COUNTER, "",                                        \
      "Questions that the loop answered for HTTP.")                                               \
    X(http_loop, "ridd_http_loop_seconds_total", COUNTER, "",                                     \
      "Time of the loop that these took.")
/* clang-format on */

#endif
