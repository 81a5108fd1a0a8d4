/* The verdict of `ridctl status`: what the nodes say, in short, and what follows. Each case is a
 * cluster as somebody once saw it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verdict/verdict.h"

#define NODES_MAX 5

/* A peer as a leader sees it, and as a follower does. */
#define HEARD(id)  "{\"id\":\"" id "\",\"connected\":true,\"heard\":true,\"match_index\":100}"
#define DEAF(id)   "{\"id\":\"" id "\",\"connected\":false,\"heard\":false,\"match_index\":100}"
#define LINKED(id) "{\"id\":\"" id "\",\"connected\":true,\"match_index\":null}"
#define APART(id)  "{\"id\":\"" id "\",\"connected\":false,\"match_index\":null}"

#define NODE(id, role, term, leader, peers, more)                                                  \
    "{\"node\":\"" id "\",\"cluster\":\"c\",\"role\":\"" role "\",\"term\":" term                  \
    ",\"leader_id\":" leader ",\"commit_index\":100,\"applied_index\":100,\"last_log_index\":100," \
    "\"peers\":[" peers "]" more "}"
#define LEADER(more)                                                                               \
    NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," HEARD("n3"), ",\"serving\":true" more)
#define FOLLOWER2(more) NODE("n2", "follower", "3", "\"n1\"", LINKED("n1") "," LINKED("n3"), more)
#define FOLLOWER3(more) NODE("n3", "follower", "3", "\"n1\"", LINKED("n1") "," LINKED("n2"), more)

#define SENDING(to, percent, state, refused, why)                                                  \
    "{\"to\":\"" to "\",\"percent\":" percent ",\"bytes_per_s\":12582912,\"left_s\":5,"            \
    "\"state\":" state ",\"refused\":" refused ",\"refused_why\":" why "}"

struct node {
    const char *name; /* NULL: end of the list */
    const char *status;
    enum ridd_status failure;
};

static const struct verdict_case {
    const char *what;
    struct node nodes[NODES_MAX];
    const char *line;
    enum verdict_kind kind;
    int survives;
    /* "node code: text" by lines; a '*' at the end of one stands for the rest */
    const char *reasons;
} cases[] = {
    {"three nodes, all well",
     {{"n1", LEADER(""), 0}, {"n2", FOLLOWER2(""), 0}, {"n3", FOLLOWER3(""), 0}},
     "OK: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_OK,
     1,
     ""},
    {"a file still lists one that was removed, and is stopped",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"n4", NULL, RIDD_UNREACHABLE}},
     "OK: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_OK,
     1,
     ""},
    {"one that was removed and still runs",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"n4", NODE("n4", "follower", "3", "\"n1\"", LINKED("n1"), ""), 0}},
     "DEGRADED: survives 1 more failure; 4 of 4 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n4 not_a_member: not a member, says the leader\n"},
    {"one that was removed, runs, and has no time to say so",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"n4", NULL, RIDD_BUSY}},
     "DEGRADED: survives 1 more failure; 4 of 4 nodes answered (1 busy), leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n4 busy: *\n"},
    {"a silent one that nobody has named: its address may be that of anybody",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"", NULL, RIDD_UNREACHABLE}},
     "DEGRADED: survives 1 more failure; 3 of 4 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     " unreachable: unreachable: why\n"},
    {"followers alone do not say who has left: what they have may be old",
     {{"n1", NULL, RIDD_UNREACHABLE},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"n4", NULL, RIDD_UNREACHABLE}},
     "DEGRADED: survives no more failure; 2 of 4 nodes answered, leader n1, which did not answer, "
     "term 3",
     VERDICT_DEGRADED,
     0,
     "n1 unreachable: unreachable: why\nn4 unreachable: unreachable: why\n"},
    {"one node, a group of its own",
     {{"n1", NODE("n1", "leader", "1", "\"n1\"", "", ""), 0}},
     "OK: survives no more failure; 1 of 1 nodes answered, leader n1, term 1",
     VERDICT_OK,
     0,
     ""},
    {"a node gets a snapshot, and stores nothing until it has it",
     {{"n1",
       NODE("n1", "leader", "3", "\"n1\"",
            HEARD("n2") ",{\"id\":\"n3\",\"connected\":true,\"heard\":true,\"match_index\":0}",
            ",\"serving\":true,\"snapshots\":{\"log_begins_behind\":90,\"sending\":[" SENDING(
                "n3", "43", "\"receiving\"", "0", "null") "],\"receiving\":null}"),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 catching_up: is catching up by a snapshot: 43 %, 12.0 MiB/s, about 5 s left\n"},
    {"the node itself knows better how far it is",
     {{"n1",
       LEADER(",\"snapshots\":{\"log_begins_behind\":90,\"sending\":[" SENDING(
           "n3", "100", "\"receiving\"", "0", "null") "]}"),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3",
       FOLLOWER3(",\"snapshots\":{\"receiving\":{\"from\":\"n1\",\"percent\":100,"
                 "\"state\":\"checking\"}}"),
       0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n3 catching_up: is catching up by a snapshot: it is there, checking it\n"},
    {"the rest of a snapshot that nobody sends any more",
     {{"n1", LEADER(",\"snapshots\":{\"log_begins_behind\":90,\"sending\":[]}"), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3",
       FOLLOWER3(",\"snapshots\":{\"receiving\":{\"from\":\"n2\",\"percent\":3,"
                 "\"state\":\"receiving\"}}"),
       0}},
     "OK: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_OK,
     1,
     ""},
    {"nobody leads, and one still tells of the snapshot that it was getting",
     {{"n1", NULL, RIDD_UNREACHABLE},
      {"n2", NODE("n2", "candidate", "4", "null", APART("n1") "," LINKED("n3"), ""), 0},
      {"n3",
       NODE("n3", "follower", "4", "null", APART("n1") "," LINKED("n2"),
            ",\"snapshots\":{\"receiving\":{\"from\":\"n1\",\"percent\":7,"
            "\"bytes_per_s\":0,\"state\":\"receiving\"}}"),
       0}},
     "NO QUORUM: 2 of 3 nodes answered, no leader, term 4",
     VERDICT_NO_QUORUM,
     0,
     "n1 unreachable: unreachable: why\n"
     "n3 catching_up: is catching up by a snapshot: 7 %\n"},
    {"a snapshot that is refused again and again, by a node that was not asked",
     {{"n1",
       LEADER(",\"snapshots\":{\"log_begins_behind\":90,\"sending\":[" SENDING(
           "n3", "0", "\"waiting\"", "3", "\"refused: its disk is full\"") "]}"),
       0},
      {"n2", FOLLOWER2(""), 0}},
     "DEGRADED: survives 1 more failure; 2 of 2 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n3 snapshot_failed: the snapshot that n1 sends was refused: its disk is full (3 times)\n"},
    {"no snapshot can be made, and the log grows",
     {{"n1",
       LEADER(",\"snapshots\":{\"failed_why\":\"the disk has less than 16 MiB left\","
              "\"log_bytes_behind\":104857600}"),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n1 snapshot_failed: no snapshot can be made: the disk has less than 16 MiB left; its log "
     "cannot be let go of (100.0 MiB)\n"},
    {"five nodes, one of them down",
     {{"n1",
       NODE("n1", "leader", "3", "\"n1\"",
            HEARD("n2") "," HEARD("n3") "," HEARD("n4") "," DEAF("n5"), ""),
       0},
      {"n2", NODE("n2", "follower", "3", "\"n1\"", "", ""), 0},
      {"n3", NODE("n3", "follower", "3", "\"n1\"", "", ""), 0},
      {"n4", NODE("n4", "follower", "3", "\"n1\"", "", ""), 0},
      {"n5", NULL, RIDD_UNREACHABLE}},
     "DEGRADED: survives 1 more failure; 4 of 5 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n5 unreachable: unreachable: why\n"},
    {"it was \"3 of 3 nodes answered, leader n1\": a member that all others refuse",
     {{"n1",
       NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," DEAF("n3"),
            ",\"refuses\":[{\"id\":\"n3\",\"why\":\"its disk was lost\"}]"),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3",
       NODE("n3", "follower", "9", "null", APART("n1") "," APART("n2"),
            ",\"refused_by\":[{\"id\":\"n2\",\"why\":\"its disk was lost\"}]"),
       0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 refused: refused by n1, n2: its disk was lost\n"},
    {"the same, seen by nodes of an older version",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", LINKED("n2") "," APART("n3"), ""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", NODE("n3", "follower", "3", "null", APART("n1") "," APART("n2"), ""), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 no_leader: hears no leader\n"},
    {"it was \"1 of 3 nodes answered, leader n1\"",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", DEAF("n2") "," DEAF("n3"), ""), 0},
      {"n2", NULL, RIDD_UNREACHABLE},
      {"n3", NULL, RIDD_UNREACHABLE}},
     "NO QUORUM: start 1 more node; 1 of 3 nodes answered, leader n1, which hears no quorum, term "
     "3",
     VERDICT_NO_QUORUM,
     0,
     "n2 unreachable: unreachable: why\nn3 unreachable: unreachable: why\n"},
    {"only the leader can be reached, and it hears everybody",
     {{"n1", LEADER(""), 0}, {"n2", NULL, RIDD_UNREACHABLE}, {"n3", NULL, RIDD_NO_ANSWER}},
     "DEGRADED: survives 1 more failure; 1 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n2 unreachable: unreachable: why; the leader hears it\n"
     "n3 unreachable: unreachable: why; the leader hears it\n"},
    {"it was \"leader n1 (which did not answer)\": two that may elect another",
     {{"n1", NULL, RIDD_UNREACHABLE}, {"n2", FOLLOWER2(""), 0}, {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives no more failure; 2 of 3 nodes answered, leader n1, which did not answer, "
     "term 3",
     VERDICT_DEGRADED,
     0,
     "n1 unreachable: unreachable: why\n"},
    {"who was followed has answered, and hears nobody any more",
     {{"n1", NODE("n1", "follower", "3", "null", LINKED("n2") "," LINKED("n3"), ""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, which says that it "
     "does not lead, term 3",
     VERDICT_DEGRADED,
     0,
     "n1 no_leader: hears no leader\n"},
    {"the same with one that may not",
     {{"n1", NULL, RIDD_UNREACHABLE}, {"n2", FOLLOWER2(""), 0}, {"n3", NULL, RIDD_UNREACHABLE}},
     "NO QUORUM: start 1 more node; 1 of 3 nodes answered, leader n1, which did not answer, term 3",
     VERDICT_NO_QUORUM,
     0,
     "n1 unreachable: unreachable: why\nn3 unreachable: unreachable: why\n"},
    {"one of five: two more are needed",
     {{"n1",
       NODE("n1", "candidate", "7", "null",
            APART("n2") "," APART("n3") "," APART("n4") "," APART("n5"), ""),
       0}},
     "NO QUORUM: start 2 more nodes; 1 of 1 nodes answered, no leader, term 7",
     VERDICT_NO_QUORUM,
     0,
     "n2 unreachable: *\nn3 unreachable: *\nn4 unreachable: *\nn5 unreachable: *\n"},
    {"enough of them run, and hear nobody: starting more is not what helps",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", DEAF("n2") "," DEAF("n3"), ""), 0},
      {"n2", NODE("n2", "follower", "3", "null", APART("n1") "," APART("n3"), ""), 0},
      {"n3", NULL, RIDD_UNREACHABLE}},
     "NO QUORUM: 2 of 3 nodes answered, leader n1, which hears no quorum, term 3",
     VERDICT_NO_QUORUM,
     0,
     "n2 no_leader: hears no leader\nn3 unreachable: unreachable: why\n"},
    {"one that the others refuse is none of those that are needed",
     {{"n1",
       NODE("n1", "candidate", "3", "null", APART("n2") "," APART("n3"),
            ",\"refuses\":[{\"id\":\"n3\",\"why\":\"its disk was lost\"}]"),
       0},
      {"n2", NULL, RIDD_UNREACHABLE},
      {"n3", NODE("n3", "follower", "0", "null", APART("n1") "," APART("n2"), ""), 0}},
     "NO QUORUM: start 1 more node; 2 of 3 nodes answered, no leader, term 3",
     VERDICT_NO_QUORUM,
     0,
     "n2 unreachable: unreachable: why\nn3 refused: refused by n1: its disk was lost\n"},
    {"an election",
     {{"n1", NODE("n1", "follower", "4", "null", LINKED("n2") "," LINKED("n3"), ""), 0},
      {"n2", NODE("n2", "candidate", "4", "null", LINKED("n1") "," LINKED("n3"), ""), 0},
      {"n3", NODE("n3", "follower", "3", "null", LINKED("n1") "," LINKED("n2"), ""), 0}},
     "NO QUORUM: 3 of 3 nodes answered, no leader, term 4",
     VERDICT_NO_QUORUM,
     0,
     ""},
    {"nobody answers",
     {{"n1", NULL, RIDD_UNREACHABLE}, {"n2", NULL, RIDD_NO_ANSWER}},
     "NO QUORUM: 0 of 2 nodes answered",
     VERDICT_NO_QUORUM,
     -1,
     "n1 unreachable: unreachable: why\nn2 unreachable: unreachable: why\n"},
    {"a busy node is busy, not absent",
     {{"n1", LEADER(""), 0}, {"n2", NULL, RIDD_BUSY}, {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered (1 busy), leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n2 busy: busy: why\n"},
    {"the leader is busy",
     {{"n1", NULL, RIDD_BUSY}, {"n2", FOLLOWER2(""), 0}, {"n3", NULL, RIDD_UNREACHABLE}},
     "DEGRADED: survives no more failure; 2 of 3 nodes answered (1 busy), leader n1, which did not "
     "answer, term 3",
     VERDICT_DEGRADED,
     0,
     "n1 busy: busy: why\nn3 unreachable: unreachable: why\n"},
    {"all are busy: what the cluster does is not known",
     {{"n1", NULL, RIDD_BUSY}, {"n2", NULL, RIDD_BUSY}},
     "DEGRADED: 2 of 2 nodes answered (2 busy)",
     VERDICT_DEGRADED,
     -1,
     "n1 busy: busy: why\nn2 busy: busy: why\n"},
    {"two leaders of different terms: the older one has not heard of its end",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", DEAF("n2") "," DEAF("n3"), ""), 0},
      {"n2", NODE("n2", "leader", "4", "\"n2\"", DEAF("n1") "," HEARD("n3"), ""), 0},
      {"n3", NODE("n3", "follower", "4", "\"n2\"", APART("n1") "," LINKED("n2"), ""), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n2, term 4",
     VERDICT_DEGRADED,
     0,
     "n1 stale_leader: still thinks that it leads, in term 3; n2 leads in term 4\n"},
    {"two leaders of one term",
     {{"n1", NODE("n1", "leader", "4", "\"n1\"", HEARD("n2") "," HEARD("n3"), ""), 0},
      {"n2", NODE("n2", "leader", "4", "\"n2\"", DEAF("n1") "," HEARD("n3"), ""), 0}},
     "SPLIT: 2 of 2 nodes answered, leader n2, term 4",
     VERDICT_SPLIT,
     -1,
     "n1 two_leaders: leads in term 4, as n2 does\n"},
    {"a leader of a lower term counts where the higher term has none",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," HEARD("n3"), ""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", NODE("n3", "candidate", "8", "null", LINKED("n1") "," LINKED("n2"), ""), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n3 no_leader: hears no leader\n"},
    {"nodes of two clusters",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", "{\"node\":\"n3\",\"cluster\":\"d\",\"role\":\"leader\",\"term\":9}", 0}},
     "SPLIT: 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_SPLIT,
     -1,
     "n3 other_cluster: belongs to cluster 'd', n1 to 'c'\n"},
    {"two clusters of one name, made apart",
     {{"n1", LEADER(",\"cluster_hash\":\"aa\""), 0},
      {"n2", FOLLOWER2(",\"cluster_hash\":\"aa\""), 0},
      {"n3", FOLLOWER3(",\"cluster_hash\":\"bb\""), 0}},
     "SPLIT: 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_SPLIT,
     -1,
     "n3 other_cluster: belongs to another cluster of the same name: identity bb, not aa; *\n"},
    {"an older node tells no identity",
     {{"n1", LEADER(",\"cluster_hash\":\"aa\""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(",\"cluster_hash\":\"aa\""), 0}},
     "OK: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_OK,
     1,
     ""},
    {"one that is no member",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0},
      {"n4", NODE("n4", "follower", "0", "null", "", ""), 0}},
     "DEGRADED: survives 1 more failure; 4 of 4 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n4 not_a_member: not a member, says the leader\n"},
    {"a member that could not be asked",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," DEAF("n3"), ""), 0},
      {"n2", FOLLOWER2(""), 0}},
     "DEGRADED: survives no more failure; 2 of 2 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 not_heard: n1 does not hear it\n"},
    {"a follower that hears, and is not heard",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," DEAF("n3"), ""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 not_heard: n1 does not hear it\n"},
    {"a leader that has committed nothing yet",
     {{"n1", NODE("n1", "leader", "3", "\"n1\"", HEARD("n2") "," HEARD("n3"), ",\"serving\":false"),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n1 not_serving: *\n"},
    {"what a node says of itself: its state, its disk, its space, its warnings",
     {{"n1",
       LEADER(",\"state\":{\"verdict\":\"good\"},\"disk\":{\"slow\":false},\"space\":{"
              "\"full\":null,\"parked\":false},\"warnings\":[],\"refused_by\":[]"),
       0},
      {"n2",
       FOLLOWER2(",\"state\":{\"verdict\":\"damaged\"},"
                 "\"disk\":{\"election_ms\":500,\"slow\":true,\"fsync_p99_us\":310000}"),
       0},
      {"n3",
       FOLLOWER3(",\"space\":{\"full\":\"log\",\"used_bytes\":104857600,\"limit_bytes\":105906176,"
                 "\"parked\":true},\"warnings\":[\"election_ms = 900 here\"]"),
       0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n2 damaged: its state is damaged: it serves nothing\n"
     "n2 disk_slow: disk slow: fsync p99 310.0 ms, election_ms = 500; *\n"
     "n3 no_space: no space (log): the disk of its log is full; make room there, or enlarge it\n"
     "n3 parked: waits for room on its disk and applies nothing\n"
     "n3 warning: election_ms = 900 here\n"},
    {"a disk is slow by what its syncs took, or by one that does not end",
     {{"n1",
       LEADER(",\"disk\":{\"election_ms\":500,\"slow\":true,\"fsync_p99_us\":310000,\"oldest_"
              "append_ms\":200}"),
       0},
      {"n2",
       FOLLOWER2(",\"disk\":{\"election_ms\":500,\"slow\":true,\"fsync_p99_us\":500,\"oldest_"
                 "append_ms\":401}"),
       0},
      {"n3",
       FOLLOWER3(",\"disk\":{\"election_ms\":500,\"slow\":false,\"fsync_p99_us\":500,\"oldest_"
                 "append_ms\":40}"),
       0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n1 disk_slow: disk slow: fsync p99 310.0 ms, election_ms = 500; *\n"
     "n2 disk_slow: disk slow: a sync has taken 401 ms so far, election_ms = 500; *\n"},
    {"a node whose log is full stores nothing: what is left must be a quorum without it",
     {{"n1", LEADER(",\"space\":{\"full\":null,\"parked\":false}"), 0},
      {"n2", FOLLOWER2(",\"space\":{\"full\":\"log\",\"parked\":false}"), 0},
      {"n3",
       FOLLOWER3(",\"space\":{\"full\":\"quota\",\"used_bytes\":104857600,"
                 "\"limit_bytes\":105906176,\"parked\":false}"),
       0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n2 no_space: no space (log): the disk of its log is full; *\n"
     "n3 no_space: no space (quota): 100.0 of 101.0 MiB used\n"},
    {"a leader with room that too few others have: its figures are not bytes",
     {{"n1",
       LEADER(",\"space\":{\"full\":\"nodes\",\"used_bytes\":1048576,\"limit_bytes\":2097152,"
              "\"parked\":false}"),
       0},
      {"n2", FOLLOWER2(",\"space\":{\"full\":\"log\",\"parked\":false}"), 0},
      {"n3", FOLLOWER3(",\"space\":{\"full\":\"log\",\"parked\":false}"), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n1 no_space: no space (nodes): with the nodes that are full or away no write is committed; "
     "*\n"
     "n2 no_space: no space (log): *\n"
     "n3 no_space: no space (log): *\n"},
    {"terms that were invented; a node that climbed to a true one has nothing to complain about",
     {{"n1", LEADER(",\"term_refused\":{\"id\":\"n3\",\"term\":5000000},\"terms_run_out\":false"),
       0},
      {"n2", FOLLOWER2(",\"term_refused\":{\"id\":\"n1\",\"term\":3},\"terms_run_out\":false"), 0},
      {"n3", FOLLOWER3(",\"term_refused\":null,\"terms_run_out\":true"), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n1 warning: n3 told it term 5000000, far above its own 3: *\n"
     "n3 warning: hardly any terms are left: *\n"},
    {"states that are being checked and made anew",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(",\"state\":{\"verdict\":\"checking\",\"scrub_percent\":40}"), 0},
      {"n3", FOLLOWER3(",\"state\":{\"verdict\":\"rebuilding\"}"), 0}},
     "DEGRADED: survives no more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n2 checking: checks its state: 40 % done\nn3 rebuilding: rebuilds its state\n"},
    {"a node whose state differs from that of the majority",
     {{"n1", LEADER(",\"state\":{\"digest\":\"aa\",\"digest_index\":7}"), 0},
      {"n2", FOLLOWER2(",\"state\":{\"digest\":\"bb\",\"digest_index\":7}"), 0},
      {"n3", FOLLOWER3(",\"state\":{\"digest\":\"aa\",\"digest_index\":7}"), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n2 differs: its state differs from that of n3 at index 7\n"},
    {"sums of different indexes say nothing",
     {{"n1", LEADER(",\"state\":{\"digest\":\"aa\",\"digest_index\":7}"), 0},
      {"n2", FOLLOWER2(",\"state\":{\"digest\":\"bb\",\"digest_index\":8}"), 0},
      {"n3", FOLLOWER3(",\"state\":{\"digest\":\"aa\",\"digest_index\":7}"), 0}},
     "OK: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_OK,
     1,
     ""},
    {"the leader finds one unfit",
     {{"n1",
       NODE("n1", "leader", "3", "\"n1\"",
            HEARD("n2") ",{\"id\":\"n3\",\"connected\":true,\"fit\":\"unfit\",\"match_index\":100}",
            ""),
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", FOLLOWER3(""), 0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n3 unfit: not fit to lead\n"},
    {"one is behind in its log, one with applying",
     {{"n1",
       "{\"node\":\"n1\",\"cluster\":\"c\",\"role\":\"leader\",\"term\":3,\"leader_id\":\"n1\","
       "\"commit_index\":90000,\"applied_index\":90000,\"last_log_index\":90000,\"peers\":["
       "{\"id\":\"n2\",\"connected\":true,\"match_index\":79999},"
       "{\"id\":\"n3\",\"connected\":true,\"match_index\":89000}]}",
       0},
      {"n2", FOLLOWER2(""), 0},
      {"n3",
       "{\"node\":\"n3\",\"cluster\":\"c\",\"role\":\"follower\",\"term\":3,\"leader_id\":\"n1\","
       "\"commit_index\":89000,\"applied_index\":70000}",
       0}},
     "DEGRADED: survives 1 more failure; 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     1,
     "n2 behind: behind by 10001 entries\nn3 behind: behind with applying by 19000 entries\n"},
    {"a new one, behind a log that begins at the time of a restore",
     {{"n1",
       "{\"node\":\"n1\",\"cluster\":\"c\",\"role\":\"leader\",\"term\":3,\"leader_id\":\"n1\","
       "\"commit_index\":30000000000000,\"applied_index\":30000000000000,"
       "\"last_log_index\":30000000000000,\"peers\":["
       "{\"id\":\"n2\",\"connected\":true,\"match_index\":0}]}",
       0},
      {"n2", FOLLOWER2(""), 0}},
     "DEGRADED: survives no more failure; 2 of 2 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n2 behind: behind: n1 knows of nothing in its log yet\n"},
    {"a learner has no vote",
     {{"n1",
       NODE("n1", "leader", "3", "\"n1\"",
            HEARD("n2") ",{\"id\":\"n3\",\"role\":\"learner\",\"connected\":false}", ""),
       0},
      {"n2", FOLLOWER2(""), 0}},
     "DEGRADED: survives no more failure; 2 of 2 nodes answered, leader n1, term 3",
     VERDICT_DEGRADED,
     0,
     "n3 not_heard: n1 does not hear it\n"},
    {"nonsense",
     {{"n1", "{\"node\":5,\"term\":\"x\",\"peers\":{\"a\":1},\"warnings\":[1,null]}", 0},
      {"n2", "[]", 0}},
     "NO QUORUM: 2 of 2 nodes answered, no leader, term 0",
     VERDICT_NO_QUORUM,
     0,
     ""},
};

/* The same, with a configuration that names the cluster. */
static const char *const named[] = {"c", "x", "x", "x", "x"};
static const struct verdict_case named_cases[] = {
    {"the configuration describes another cluster than one node's",
     {{"n1", LEADER(""), 0},
      {"n2", FOLLOWER2(""), 0},
      {"n3", "{\"node\":\"n3\",\"cluster\":\"d\"}", 0}},
     "SPLIT: 3 of 3 nodes answered, leader n1, term 3",
     VERDICT_SPLIT,
     -1,
     "n3 other_cluster: belongs to cluster 'd', the configuration describes 'c'\n"},
    {"the configuration describes another cluster than all nodes'",
     {{"n1", LEADER(""), 0}, {"n2", FOLLOWER2(""), 0}},
     "SPLIT: 2 of 2 nodes answered, of cluster 'c'; the configuration describes 'x'",
     VERDICT_SPLIT,
     -1,
     "n1 other_cluster: belongs to cluster 'c', the configuration describes 'x'\n"
     "n2 other_cluster: belongs to cluster 'c', the configuration describes 'x'\n"},
    {"the same, of two others",
     {{"n1", LEADER(""), 0}, {"n2", "{\"node\":\"n2\",\"cluster\":\"d\"}", 0}},
     "SPLIT: 2 of 2 nodes answered, none of cluster 'x'",
     VERDICT_SPLIT,
     -1,
     "n1 other_cluster: belongs to cluster 'c', the configuration describes 'x'\n"
     "n2 other_cluster: belongs to cluster 'd', the configuration describes 'x'\n"},
    {"nobody answers, and the configuration tells how many there are",
     {{"n1", NULL, RIDD_UNREACHABLE}, {"n2", NULL, RIDD_NO_ANSWER}, {"n3", NULL, RIDD_NO_ANSWER}},
     "NO QUORUM: start 2 more nodes; 0 of 3 nodes answered",
     VERDICT_NO_QUORUM,
     -1,
     "n1 unreachable: *\nn2 unreachable: *\nn3 unreachable: *\n"},
    {"busy nodes live, and do not say who they are",
     {{"n1", NULL, RIDD_BUSY}, {"n2", NULL, RIDD_BUSY}},
     "DEGRADED: 2 of 2 nodes answered (2 busy)",
     VERDICT_DEGRADED,
     -1,
     "n1 busy: *\nn2 busy: *\n"},
};

static void reasons_of(const struct verdict *v, char *ret_text, size_t size)
{
    size_t len = 0;

    ret_text[0] = '\0';
    for (unsigned i = 0; i < v->n_reasons; i++) {
        const struct verdict_reason *r = &v->reasons[i];

        len += (size_t)snprintf(ret_text + len, size - len, "%s %s: %s\n", r->node,
                                verdict_why_name(r->why), r->text);
        assert_true(len < size);
    }
}

/* A line of want that ends in '*' is the beginning of one. */
static bool matches(const char *have, const char *want)
{
    while (*want != '\0' || *have != '\0') {
        if (*want == '*' && want[1] == '\n') {
            have += strcspn(have, "\n");
            want++;
        } else if (*want++ != *have++) {
            return false;
        }
    }
    return true;
}

static struct verdict *judge(const struct verdict_case *c, const char *cluster)
{
    static struct verdict v;
    struct verdict_node nodes[NODES_MAX] = {{0}};
    json_t *status[NODES_MAX] = {NULL};
    unsigned n = 0;

    for (; n < NODES_MAX && c->nodes[n].name != NULL; n++) {
        const struct node *node = &c->nodes[n];

        if (node->status != NULL) {
            status[n] = json_loads(node->status, 0, NULL);
            assert_non_null(status[n]);
        }
        nodes[n] = (struct verdict_node){.name = node->name,
                                         .endpoint = "host:1",
                                         .status = status[n],
                                         .failure = node->failure,
                                         .text = "why"};
    }
    verdict_judge(nodes, n, cluster, &v);
    for (unsigned i = 0; i < n; i++)
        json_decref(status[i]);
    return &v;
}

static bool is_right(const struct verdict_case *c, const char *cluster)
{
    const struct verdict *v = judge(c, cluster);
    char line[256];
    char reasons[4096];

    verdict_line(v, line, sizeof(line));
    reasons_of(v, reasons, sizeof(reasons));
    if (v->kind == c->kind && v->survives == c->survives && strcmp(line, c->line) == 0 &&
        matches(reasons, c->reasons))
        return true;
    print_error("%s:\n  %s\n  survives %d\n%s", c->what, line, v->survives, reasons);
    return false;
}

/* STATUS-1, STATUS-2, STATUS-4, STATUS-5: the tables above. */
static void verdict__of_clusters_as_they_were_seen(void **state)
{
    unsigned n_wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        n_wrong += !is_right(&cases[i], NULL);
    for (size_t i = 0; i < sizeof(named_cases) / sizeof(named_cases[0]); i++)
        n_wrong += !is_right(&named_cases[i], named[i]);
    assert_int_equal(n_wrong, 0);
}

/* Whatever is wrong, it has a name; and only a cluster about which nobody complains is OK. */
static void verdict__names_are_complete(void **state)
{
    (void)state;
    for (int i = 0; i <= VERDICT_SPLIT; i++) {
        assert_string_not_equal(verdict_text((enum verdict_kind)i), "?");
        assert_string_not_equal(verdict_name((enum verdict_kind)i), "?");
    }
    for (int i = 0; i <= VERDICT_WARNING; i++)
        assert_string_not_equal(verdict_why_name((enum verdict_why)i), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict__of_clusters_as_they_were_seen),
        cmocka_unit_test(verdict__names_are_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
