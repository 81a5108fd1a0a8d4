/* The one list of the events that a node logs: the stable words behind `event=`.
 *
 * For: ridd-events(7), whose list tools/check-events writes from this one, and `ridctl explain`.
 * Not for: the line itself, which log_event() makes of whatever name it is given: what goes into a
 * line is the caller's. tools/check-events compares each name that src logs with this list.
 *
 * X(name, levels, what it means, what to do)
 *
 * Names are never used again for something else. Texts are for people at night: what happened in
 * one or two sentences, then what to type, or that nothing is to be done. A word with '=' behind it
 * is a key of the line. Levels are those of log.h, the worst first.
 *
 * Source: ridd-events(7).
 *
 * Obvious: units, ownership, errors, thread. */
#ifndef RIDD_BASE_EVENT_NAMES_H
#define RIDD_BASE_EVENT_NAMES_H

/* A comment of its own line below is the heading of what follows it. */
/* clang-format off */
#define EVENT_NAMES(X) \
    /* Start and end */ \
    X("ready", "info", \
      "The log is read and verified and the ports listen; startup_ms= says how long that" \
      " took, http= and local= where else it answers.", \
      "Nothing; 'ridctl status' shows whether the cluster is well.") \
    X("starting", "info", \
      "A start takes long: what= is read, and how far that is, every ten seconds.", \
      "Wait as long as percent= grows; 'systemctl status ridd@NAME' shows it, too.") \
    X("stopping", "info", \
      "The node was asked to stop: a leader hands over, and what is under way is answered" \
      " first.", \
      "Nothing; a second signal ends it at once.") \
    X("stopping_now", "warning", \
      "A second signal came while the node was stopping: it does not wait for what is under" \
      " way.", \
      "Nothing; clients see a closed connection, and 'ridctl status' shows who leads.") \
    X("stopped", "info", \
      "The node has ended as it was asked to, with exit status 0.", \
      "Nothing; 'systemctl start ridd@NAME' starts it again.") \
    X("identity_refused", "error", \
      "The data directory was made for another node or cluster, is none, or another process" \
      " uses it; the node did not start.", \
      "Read error= in the line: it names the way out; 'ridd --id NAME --check-config' shows" \
      " what the file says.") \
    X("core_refused", "error", \
      "Log, state and configuration do not fit together, or there was no memory; the node" \
      " did not start.", \
      "Read error= in the line; 'ridd --dump-log DIR' reads the log through.") \
    X("cannot_listen", "error", \
      "A port is in use, or its address is none of this machine; the node did not start.", \
      "See who has the port with 'ss -ltnp', or correct the address in [peers] of" \
      " ridd.conf.") \
    X("loop_failed", "error", \
      "The event loop could not be made, or failed; the node stopped with exit status 74.", \
      "Look at the limits of descriptors and memory, start it again, and report it if it" \
      " returns.") \
    X("addresses_few", "error", \
      "The limit of addresses (ulimit -v) leaves less than the node needs; it did not" \
      " start.", \
      "Raise LimitAS= of the unit ('systemctl edit ridd@NAME'), or lower memory in" \
      " ridd.conf.") \
    X("log_failed", "error", \
      "A write or a sync of the log failed, so that nobody knows what is on the disk; the" \
      " node stopped with exit status 74 and repeats no sync.", \
      "Look at the disk with 'dmesg' and 'ridctl doctor', then 'systemctl start" \
      " ridd@NAME'; if it fails again, replace the disk.") \
    X("fatal", "error", \
      "The node cannot go on and stopped; error= says why, action= with which exit status.", \
      "'ridctl explain 65' or 74 tells what that status asks for.") \
    X("running_as_root", "warning", \
      "The node runs as root, which it does not need.", \
      "Run it as a user of its own: 'systemctl start ridd@NAME' does.") \
    X("descriptors_few", "warning", \
      "The limit of descriptors leaves room for fewer connections than [limits] connections" \
      " says.", \
      "Raise LimitNOFILE= of the unit ('systemctl edit ridd@NAME'), or lower connections.") \
    X("map_small", "warning", \
      "The limit of addresses (ulimit -v) leaves less for the state than this node asks" \
      " for.", \
      "Raise LimitAS= of the unit ('systemctl edit ridd@NAME'); the state grows while it" \
      " can.") \
    X("no_reserve", "warning", \
      "Log or state lie on a file system that writes nothing in place and keeps no room for" \
      " a full disk: then the log waits, too.", \
      "Put data_dir on ext4 or xfs, or watch its free space: 'ridctl check'.") \
    X("log_lines_dropped", "warning", \
      "Standard error was not read for a while: n= lines are missing here. Nothing waits" \
      " for them.", \
      "See what reads the log; 'ridctl status' still tells all that matters.") \
    /* Roles and leaders */ \
    X("role_changed", "info or debug", \
      "The node became follower, candidate or leader; why= says why.", \
      "Nothing, unless it comes often: then 'ridctl status', and look at disks and network.") \
    X("leader_changed", "info", \
      "Another node leads now; 'none' when none is known.", \
      "Nothing; 'ridctl status' shows who leads. Often: see disk_slow and peer_down.") \
    X("leader_gone", "info", \
      "Nobody listens any more where the leader peer= was: both connections ended, and a call was" \
      " refused. action=campaign: this node asks to be elected within 20 ms; wait: it leaves that" \
      " to others.", \
      "Nothing; a leader whose process ended is replaced so. Why it did stands in its own log.") \
    X("leader_transfer", "info", \
      "The leadership is being handed over, or could not be; state= says how far it is.", \
      "Nothing; it is what 'ridctl transfer' and a stop ask for.") \
    X("configuration", "info", \
      "Another configuration of the members is in force, from the entry index= on.", \
      "Nothing; 'ridctl members' shows it.") \
    X("vote_granted", "debug", \
      "This node votes for peer=.", \
      "Nothing.") \
    X("vote_refused", "debug", \
      "This node does not vote for peer=; why= says why.", \
      "Nothing.") \
    X("follower_probed", "debug", \
      "The leader looks for the entry from which on the log of peer= must be sent.", \
      "Nothing.") \
    X("term_far_above", "error or warning", \
      "A peer told a term more than 2^20 above this node's; the message is dropped. As an" \
      " error, with action=drop: this node has a leader and no correct node can be so far" \
      " above it. As a warning: it has none, and climbs by 2^20 at a time, as one that is" \
      " new does.", \
      "Of the error, find out who sends forged frames to the peer port: 'ss -tnp' on this" \
      " node and on the peer that is named, which stays shut out.") \
    X("terms_run_out", "error", \
      "Fewer than 2^40 terms are left, which no number of honest elections brings about.", \
      "Find out who sent such terms: look for 'term_far_above' in the logs of all nodes.") \
    /* Leases and clocks */ \
    X("leases_known", "info", \
      "This leader has said in the log that every member knows of leases: they may be" \
      " taken.", \
      "Nothing.") \
    X("lease_taken", "info", \
      "This leader has a lease of ms= and answers lease reads alone.", \
      "Nothing.") \
    X("lease_lost", "info", \
      "This leader has no lease any more; why= says why. Reads ask a quorum.", \
      "Nothing; if it stays so, 'ridctl status' has a line about the lease.") \
    X("clients_unasked", "warning", \
      "Whoever reaches an address of this node may do everything; why= says which one, and what" \
      " is missing.", \
      "See SECURITY.md; or [security] insecure = yes, if the network is trusted.") \
    X("lease_unwise", "warning", \
      "lease_ms in ridd.conf serves badly; why= says why.", \
      "Change lease_ms, then 'systemctl reload ridd@NAME' on each node.") \
    X("gate_waits", "info", \
      "This node was elected while promises to the leader before it run for ms= more: it" \
      " commits nothing until then.", \
      "Nothing; it ends by itself.") \
    X("stood_still", "info", \
      "The process or its machine stood still, or the machine was moved or copied: a lease" \
      " begins anew.", \
      "Nothing; if it comes often, look for steal time and swapping with 'vmstat 1'.") \
    X("clocks_drift", "warning", \
      "The clocks of here= and peer= run apart by more than half a part in a hundred: this" \
      " leader takes no lease until they agree.", \
      "Look at the clock of both machines with 'ridctl doctor' and 'chronyc tracking';" \
      " CLOCKS in ridd(8).") \
    X("clocks_agree", "info", \
      "The two clocks run alike again, and leases are taken again.", \
      "Nothing.") \
    /* Peers */ \
    X("peer_up", "info", \
      "The link with peer= is up.", \
      "Nothing.") \
    X("peer_down", "warning or info", \
      "The link with peer= ended; why= says why. With action=reconnect it is dialled again.", \
      "If it does not come back: 'ridctl status', and see whether that node runs.") \
    X("peer_unreachable", "warning", \
      "peer= cannot be dialled at address=; it is tried again.", \
      "See whether that node runs and the address is right: 'ridctl status'.") \
    X("peer_slow", "warning", \
      "peer= does not take what it is sent: frames are dropped and sent again later.", \
      "Look at that node and the network to it: 'ridctl status', 'ridctl top'.") \
    X("peer_recorded", "info", \
      "peer= was met for the first time: its data directory is known from now on.", \
      "Nothing.") \
    X("peer_refused", "error or warning", \
      "A handshake was refused; the line says of whom and why. Of somebody without a name" \
      " it is a warning.", \
      "Read why=; mostly it is another cluster's address, or a node whose disk was" \
      " replaced: LOST DISK in ridd(8).") \
    X("settings_differ", "warning", \
      "peer= runs with another value of key=: heartbeat_ms, election_ms, map_size or" \
      " request_bytes.", \
      "Make the files equal, then 'systemctl reload ridd@NAME' or a restart, one node at a" \
      " time.") \
    X("message_refused", "warning", \
      "A peer sent what no correct node sends; the link is closed.", \
      "See whether all nodes run the same version ('ridctl status --json'), and report it" \
      " if so.") \
    /* Members */ \
    X("members_change", "info", \
      "This leader has appended a configuration of the members, the entry index=.", \
      "Nothing; 'ridctl member list' shows what is under way.") \
    X("members_not_changed", "error", \
      "This leader could not append a configuration of the members, for want of memory.", \
      "Look at memory and its limit, then type the 'ridctl member' command again.") \
    X("member_not_added", "warning", \
      "A node that was to be added could not be yet; why= says why.", \
      "Follow why=; mostly 'ridd --id NAME --join' is to be started there.") \
    X("member_given_up", "warning", \
      "A learner did not catch up within its time and was removed again.", \
      "Look at its disk and network, then 'ridctl member add' again with an empty" \
      " directory.") \
    X("removed", "warning", \
      "This node is no member any more, since the entry index=; a member said so and proved" \
      " that it is one. The node stops with exit status 0.", \
      "Nothing; to have it back: an empty directory, 'ridd --join', and 'ridctl member" \
      " add'.") \
    X("peer_not_member", "warning", \
      "[peers] names a node that the log does not know; the log is obeyed.", \
      "Take the line out of ridd.conf, or add the node with 'ridctl member add'.") \
    X("member_not_listed", "warning", \
      "A member is not in [peers]; its address is taken from the log.", \
      "Add its line to ridd.conf, so that clients find it: 'ridctl members' shows the" \
      " addresses.") \
    X("peer_not_added", "error", \
      "This node dials a member no more: its address in the log makes no sense, or there" \
      " are too many.", \
      "With action=set_addr: 'ridctl member set-addr NAME PEER CLIENT' puts it right.") \
    X("cluster_not_recorded", "warning", \
      "Name and random id of the cluster could not be written to CLUSTER, for want of room" \
      " mostly; the log has them.", \
      "Make room on the disk ('df'); they are written with the next change.") \
    /* The log */ \
    X("log_opened", "info", \
      "The log was read from its beginning to last_index=.", \
      "Nothing.") \
    X("log_torn_tail", "warning", \
      "The unfinished last write of a crash was cut off; it was acknowledged to nobody.", \
      "Nothing.") \
    X("log_truncated", "info", \
      "Entries from from_index= on were replaced by those of the leader; none was" \
      " committed.", \
      "Nothing.") \
    X("log_damaged", "error", \
      "The log does not check before its end: the disk has changed or lost what was stored." \
      " The node did not start (65).", \
      "Keep a copy; then make the directory anew and 'ridctl member rejoin NAME': LOST DISK" \
      " in ridd(8).") \
    X("log_foreign", "error", \
      "The log is another node's or another cluster's; the node did not start (78).", \
      "See whether data_dir in ridd.conf is the right one: 'ridd --id NAME --check-config'.") \
    X("log_lost", "error", \
      "There was a log here, and it is gone; the node did not start (65).", \
      "See whether the disk is mounted; else 'ridctl member rejoin NAME': LOST DISK in" \
      " ridd(8).") \
    X("log_refused", "error", \
      "The log could not be opened or read, or a later version wrote it; the node did not" \
      " start.", \
      "Read error= in the line; of a later version: start that one.") \
    X("disk_slow", "warning", \
      "A sync of the log takes more than 0.6 of election_ms, or has been under way for so" \
      " long: elections and writes take as long as the disk needs. At most one line in ten" \
      " seconds.", \
      "'ridctl doctor' on that node measures the disk and names values that would do; see" \
      " who else uses it with 'iostat -x 1'.") \
    X("disk_fine", "info", \
      "Syncs of the log are fast enough again.", \
      "Nothing.") \
    X("fsync_slow", "warning", \
      "One sync of the log took longer than a fifth of election_ms, and 20 ms at least: ms=" \
      " and bytes= say how long and for how much. At most five lines in ten seconds.", \
      "'ridctl doctor' on that node measures the disk; 'ridctl slow' shows what" \
      " waited for it.") \
    X("log_compacted", "info", \
      "Files of the log that a snapshot covers went; it begins behind begins_behind= now.", \
      "Nothing.") \
    /* The state */ \
    X("state_opened", "warning or info", \
      "The state was opened; found= says how it was: new, clean, same_boot or rebuild." \
      " keys=, verify_ms= and open_ms= tell its size and the time that took.", \
      "Nothing; with rebuild it is made again from a snapshot and the log.") \
    X("state_refused", "error", \
      "The state could not be opened, or a later version wrote it; the node did not start.", \
      "Read error= in the line; of a later version: start that one.") \
    X("state_not_clean", "warning", \
      "The mark of a clean end could not be written: the next start makes the state again.", \
      "Look at the disk and its room with 'df' and 'dmesg'.") \
    X("state_restored", "info", \
      "The state was made from a snapshot of this node.", \
      "Nothing.") \
    X("state_wanted", "warning", \
      "No snapshot of this node is of use: the leader is asked for its own. Its snapshots" \
      " that could not be read are tried again every five seconds.", \
      "Nothing; 'ridctl status' shows how far it is.") \
    X("state_compacted", "info", \
      "The file of the state was more than twice what it holds: the newest snapshot took" \
      " its place at the start. While a node runs that file never becomes shorter.", \
      "Nothing; to have it so: 'ridctl snapshot NAME', then restart the node.") \
    X("state_damaged", "error", \
      "The state was found damaged while the node ran. It votes and stores, answers nothing" \
      " from its state, and makes it again; the old file is kept as data.mdb.old.", \
      "Look at the disk and memory of the machine ('dmesg', 'smartctl -a'); nothing else is" \
      " to be done.") \
    X("state_rebuilt", "warning", \
      "The state holds again what it held, and the node is as good as any.", \
      "Nothing; look for the damage that came before it.") \
    X("states_differ", "error", \
      "peer= has another digest at the same index, which must never be. All nodes read" \
      " their states through, and those that differ from a majority make theirs again.", \
      "'ridctl status' shows who differs; keep the logs and report it with what 'ridctl" \
      " bundle' makes.") \
    X("states_split", "error", \
      "All have answered and no digest is shared by a majority. Nobody is excluded, nothing" \
      " is made again.", \
      "Stop the nodes, keep copies of their data directories, and report it with what" \
      " 'ridctl bundle' makes.") \
    X("state_not_distrusted", "warning", \
      "A mark could not be removed: a crash before the state is made again would let the" \
      " next start believe what is damaged, unless it reads it through and finds the same.", \
      "Look at the disk with 'dmesg'; do not stop the node before event=state_rebuilt.") \
    /* Snapshots */ \
    X("snapshot_made", "info", \
      "A snapshot of the state is there.", \
      "Nothing.") \
    X("snapshot_failed", "warning", \
      "No snapshot could be made; why= says what is in the way. It is tried again every" \
      " five seconds, and until then the log grows.", \
      "Make room on the disk: 'df', and 'ridctl status -v' for what takes it.") \
    X("follower_too_far_behind", "info", \
      "What peer= needs next is not in the log any more; it gets a snapshot.", \
      "Nothing; 'ridctl status' shows how far it is.") \
    X("snapshot_sending", "info", \
      "A snapshot is being sent to a follower that needs what the log has no more, or has" \
      " lost its state.", \
      "Nothing; 'ridctl status' shows how far it is.") \
    X("snapshot_sent", "info", \
      "The follower to= has the snapshot.", \
      "Nothing.") \
    X("snapshot_not_sent", "warning", \
      "The snapshot was not taken; why= says why. It is sent again after five seconds.", \
      "Look at the node that is named: mostly its disk is full ('ridctl status').") \
    X("snapshot_receiving", "info", \
      "This node is being sent a snapshot by from=.", \
      "Nothing; 'ridctl status' shows how far it is.") \
    X("snapshot_installed", "info", \
      "The snapshot of from= is this node's state now.", \
      "Nothing.") \
    X("snapshot_refused", "warning", \
      "A snapshot of from= was not taken; why= says why.", \
      "Follow why=; mostly room is to be made on this node's disk ('df').") \
    X("snapshot_unusable", "warning", \
      "One in snap is damaged, or another cluster's or a later version's; an older one is" \
      " taken, or another is made. With action=removed a majority held another state than" \
      " this node.", \
      "Look at the disk with 'dmesg'; nothing else is to be done.") \
    X("snapshot_unreadable", "warning", \
      "One in snap could not be read this time; it is tried again.", \
      "Look at the disk with 'dmesg'.") \
    /* Room */ \
    X("no_space", "error", \
      "New writes are refused for lack of room, with a definite error. what= says what is" \
      " full: quota (map_size in ridd.conf), log or state (the disk below it), nodes (too" \
      " few of the others have room) or peers (a new peer could not be recorded).", \
      "Make room on the disk, or raise map_size and reload; 'ridctl status' names the" \
      " nodes. FULL DISK in ridd(8).") \
    X("space_again", "info", \
      "There is room again, and writes are taken.", \
      "Nothing.") \
    X("limit_set", "info", \
      "This leader has set what may be stored to what map_size in its file says.", \
      "Nothing.") \
    /* Requests */ \
    X("read_failed", "error", \
      "A value could not be read from the state.", \
      "Look at the disk with 'ridctl doctor' and 'dmesg', and report it with what 'ridctl" \
      " bundle' makes.") \
    X("compare_violation", "error", \
      "A read of compare was not what its method promises.", \
      "Keep the log and the output of 'ridctl compare', and report it with what 'ridctl" \
      " bundle' makes.") \
    X("slow_op", "warning", \
      "An operation of a client took so long, or failed after so long: stage= is the one" \
      " that took most of it, why= says what held it up, and peer= whose fault that was. At" \
      " most five lines in ten seconds.", \
      "'ridctl slow' shows the last 64 of each node, and where the time of all others goes.") \
    X("client_closed", "debug", \
      "The connection of a client was closed; why= says why.", \
      "Nothing.") \
    /* Who may do what, and HTTP */ \
    X("access_denied", "warning", \
      "Somebody asked for what [access] does not let them do: who= and identity= asked, from" \
      " address=, request= and the role needed=; why= is role, or prefix where they have the" \
      " role for other keys. At most five lines in ten seconds.", \
      "If they may, name them in [access] of ridd.conf, then 'systemctl reload ridd@NAME'.") \
    X("access_auth_failed", "warning", \
      "A token was refused; why= says whether [access] does not know it, or it came without" \
      " TLS: then whoever listens on the way has it now. At most five lines in ten seconds.", \
      "One that came in the clear: make another one and take the old line out of [access]," \
      " then 'systemctl reload ridd@NAME'.") \
    X("access_admin", "info", \
      "A request that needs the role admin was allowed, and is done next: who= and identity=" \
      " asked for it, from address=; names= is what it is about. Of the parts of a snapshot the" \
      " first is told.", \
      "Nothing.") \
    X("access_taken", "info", \
      "The lines of [access] were taken after a reload; open connections are judged by them.", \
      "Nothing.") \
    X("access_not_taken", "error or warning", \
      "The users and groups of [access] could not be looked up, or were not yet at the start;" \
      " why= says which. On the local socket those before stay in force, at the start root and" \
      " ridd's own user alone; what names a certificate, a secret or a token is in force.", \
      "'getent group ridd' shows whether names are answered; then 'systemctl reload" \
      " ridd@NAME'.") \
    X("access_unknown", "warning", \
      "A user or group that [access] names does not exist, and stands for nobody.", \
      "'getent passwd NAME', 'getent group NAME'; make it or correct the file, then 'systemctl" \
      " reload ridd@NAME'.") \
    X("access_blind", "warning", \
      "In this user namespace most users cannot be told from each other, and stand for" \
      " nobody.", \
      "Take PrivateUsers= out of the unit: 'systemctl edit ridd@NAME'.") \
    X("http_failed", "error", \
      "The library that answers HTTP gave up; the node goes on without.", \
      "Restart the node when it suits: 'systemctl restart ridd@NAME'; report it if it" \
      " returns.") \
    /* SIGHUP and SIGUSR1 */ \
    X("reloaded", "info", \
      "The configuration was read again; taken= names what is in force now, not_taken= what is" \
      " not, and why= says why.", \
      "Nothing.") \
    X("reload_not_taken", "warning", \
      "The keys= of the file are in force only after the next start.", \
      "Restart the node when it suits: 'systemctl restart ridd@NAME', one node at a time.") \
    X("tls_refused", "error", \
      "A file of [security] cannot be used, and the node does not start; the text says which" \
      " and why.", \
      "'ridd --id NAME --check-config' as the user of the node says the same; mend the file," \
      " then start the node.") \
    X("tls_taken", "info", \
      "The files of [security] were read again and are in force for new connections; those" \
      " that are open stay.", \
      "Nothing.") \
    X("tls_not_taken", "error", \
      "A reload found a file of [security] that cannot be used, which why= names: nothing of" \
      " the configuration was taken.", \
      "Mend the file, then 'systemctl reload ridd@NAME'; 'ridd --id NAME --check-config' says" \
      " whether it is well.") \
    X("certificate_ends", "error or warning", \
      "The certificate of subject= in file= is over, or will be in days=; then nobody believes" \
      " it. Told once a day.", \
      "Renew it, then 'systemctl reload ridd@NAME'.") \
    X("client_tls_failed", "warning", \
      "A handshake of TLS on the clients' port came to nothing; why= says what whoever is at" \
      " address= did.", \
      "Where it is one of your clients: its address may be that of another port, or its" \
      " secret or certificate is not one that this node accepts.") \
    X("reload_refused", "error", \
      "The configuration has a mistake; the old one stays in force.", \
      "'ridd --id NAME --check-config' shows all of them; then 'systemctl reload" \
      " ridd@NAME'.") \
    X("state_core", "info", \
      "After SIGUSR1: what the core knows: indexes, rounds, votes.", \
      "Nothing.") \
    X("state_requests", "info", \
      "After SIGUSR1: requests that wait, and those that were answered.", \
      "Nothing.") \
    X("state_log", "info", \
      "After SIGUSR1: syncs of the log and its size.", \
      "Nothing.") \
    X("state_clients", "info", \
      "After SIGUSR1: the connections of clients.", \
      "Nothing.") \
    X("state_peer", "info", \
      "After SIGUSR1: one line for each peer.", \
      "Nothing.") \
    /* ridd-maelstrom(1) alone */ \
    X("initialised", "info", \
      "The node was told who it is and who the others are.", \
      "Nothing.") \
    X("line_dropped", "warning", \
      "A line of standard input could not be read, and was dropped.", \
      "Nothing; the line says what is wrong with it.") \
    X("message_dropped", "warning", \
      "Standard output is not read: a message was left out, and is sent again later.", \
      "Nothing.")
/* clang-format on */

#endif
