/* The verbs of ridctl, and which one a word names. What a verb does is in its own file. */
#include <string.h>

#include "ctl/command_line_int.h"
#include "ctl/text_int.h"

#include "base/banned.h"

#define READ_OPTIONS (CTL_OPT_RAW | CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE)
#define LIST_OPTIONS                                                                               \
    (CTL_OPT_VIA | CTL_OPT_LIMIT | CTL_OPT_AFTER | CTL_OPT_FROM | CTL_OPT_TO | CTL_OPT_MIN_INDEX | \
     CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE)

const struct verb ctl_verbs[] = {
    {"read_index", NULL, "KEY [--raw] [-v]", "linearizable read without a log write",
     "Prints the value of KEY. The leader confirms with a quorum that it still leads,\n"
     "on a round that thousands of reads share, and writes nothing to its log.\n"
     "\n"
     "  $ ridctl read_index leader\n"
     "  \"n2\"\n"
     "  $ ridctl read_index leader --json\n"
     "  {\"key\":\"leader\",\"exists\":true,\"value\":\"n2\",...,\"linearizable\":true,...}\n",
     READ_OPTIONS, 1, 1, verb_read_index},
    {"read_via_log", NULL, "KEY [--raw] [-v]", "linearizable read that pays for a log entry",
     "Prints the value of KEY as it was when a marker of this read was applied. The\n"
     "marker goes through the log of a quorum: the classic way, and the slow one.\n"
     "\n"
     "  $ ridctl read_via_log leader\n"
     "  \"n2\"\n",
     READ_OPTIONS, 1, 1, verb_read_via_log},
    {"compare", "compare_read_methods", "[-n READS] [--readers LIST] [--methods LIST | --all]",
     "measure the read methods on this cluster",
     "Lets the leader read by each method, in random order, while it keeps writing,\n"
     "and prints how long each took, what each cost, and whether every read was what\n"
     "its method promises (exit code 1 when not). Costs are of each method alone.\n"
     "read_index and read_via_log are always among them; with --all it is all\n"
     "methods, with 1 and 16 reads at a time, and a follower beside the leader. It\n"
     "takes as long as it takes; a bar shows how far it is on a terminal.\n"
     "\n"
     "  $ ridctl compare -n 1000 --methods lease,local\n"
     "  $ ridctl compare --all --csv | tools/plot-compare --out figures\n",
     CTL_OPT_NUM_READS | CTL_OPT_READERS | CTL_OPT_CONCURRENCY | CTL_OPT_METHODS |
         CTL_OPT_MAX_STALE | CTL_OPT_ALL | CTL_OPT_CSV | CTL_OPT_JSON,
     0, 0, verb_compare},
    {"get", NULL, "KEY [--via METHOD] [--min-index N] [--max-stale MS] [--raw] [-v]",
     "read a key by any method",
     "Prints the value of KEY as JSON; with --raw a string loses its quotes. An\n"
     "absent key prints nothing and exits 3. METHOD is read_index, log, lease,\n"
     "follower or local; by default the node asked chooses. local may be old:\n"
     "--max-stale says how old at most. With --min-index the answer holds what was\n"
     "seen up to there.\n"
     "\n"
     "  $ ridctl get leader --raw\n"
     "  n2\n"
     "  $ ridctl get leader --via local -v\n"
     "  $ ridctl get leader --max-stale 500\n",
     READ_OPTIONS | CTL_OPT_VIA | CTL_OPT_MIN_INDEX | CTL_OPT_MAX_STALE, 1, 1, verb_get},
    {"put", "write", "KEY VALUE|- [--json-value]", "write a key",
     "Stores VALUE, a string, or any JSON with --json-value. `-` takes it from\n"
     "standard input, without its last newline. Prints nothing when it worked.\n"
     "\n"
     "  $ ridctl put leader n2\n"
     "  $ ridctl put limits '{\"cpu\":2}' --json-value\n"
     "  $ ridctl put motd - < motd.txt\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON_VALUE | CTL_OPT_JSON | CTL_OPT_VERBOSE, 2, 2, verb_put},
    {"del", "delete", "KEY", "delete a key",
     "Prints nothing when it worked; exits 3 when there was nothing to delete.\n"
     "\n"
     "  $ ridctl del leader\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE, 1, 1, verb_del},
    {"cas", NULL, "KEY FROM TO [--create] [--json-value]", "write a key if it has a certain value",
     "Replaces FROM by TO in one step. Exits 4 when the value is not FROM, 3 when\n"
     "there is no such key; with --create an absent key becomes TO.\n"
     "\n"
     "  $ ridctl cas leader n2 n3\n"
     "  $ ridctl cas counter 41 42 --json-value\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON_VALUE | CTL_OPT_CREATE | CTL_OPT_JSON | CTL_OPT_VERBOSE, 3, 3,
     verb_cas},
    {"batch", "batch_read_index", "KEY...", "read up to 128 keys at one index",
     "Prints a line per key. All values are of the same moment.\n"
     "\n"
     "  $ ridctl batch leader limits motd\n",
     CTL_OPT_INT_KEY | CTL_OPT_JSON | CTL_OPT_VERBOSE, 1, (int)BATCH_KEYS_MAX, verb_batch},
    {"ls", "keys", "[PREFIX | --from KEY --to KEY] [--limit N] [--after KEY]", "list keys",
     "Prints the string keys that begin with PREFIX, or all, in the order of their\n"
     "bytes, a line each; with --int-key the integer keys, by number. What a terminal\n"
     "could take as commands is shown as '?'; --json shows keys as they are. Keys\n"
     "come in pages, each of one index: if the cluster is written to meanwhile, the\n"
     "pages are of different ones, and a line on standard error says of which.\n"
     "\n"
     "  $ ridctl ls users/\n"
     "  $ ridctl ls --int-key --from 100 --to 200 --json | jq '.keys[]'\n",
     LIST_OPTIONS, 0, 1, verb_ls},
    {"scan", NULL, "[PREFIX | --from KEY --to KEY] [--limit N] [--after KEY]",
     "list keys and values",
     "As ls, with a tab and the value as JSON behind each key.\n"
     "\n"
     "  $ ridctl scan users/ --limit 100\n"
     "  $ ridctl scan --via local --json | jq '.items[] | .value'\n",
     LIST_OPTIONS, 0, 1, verb_scan},
    {"export", NULL, "[PREFIX] [--save FILE] [--one-index]", "keys and values as lines of JSON",
     "Prints all keys, or those that begin with PREFIX, as lines that import reads,\n"
     "between a first line that says of what they are and a last one that counts\n"
     "them. They come in pages, each of one index: the first and last line say from\n"
     "which to which. With --one-index both are the same, or it fails: with --save\n"
     "after some new beginnings. 'ridctl snapshot --save' always is the state at one\n"
     "index.\n"
     "\n"
     "With --save the lines come into FILE, in the place of what was there, when all\n"
     "are there. What was cut short goes on the next time (FILE.part).\n"
     "\n"
     "  $ ridctl export --save /backup/keys.jsonl\n"
     "  $ ridctl export users/ | jq -c 'select(.key)'\n",
     CTL_OPT_VIA | CTL_OPT_SAVE | CTL_OPT_ONE_INDEX | CTL_OPT_VERBOSE, 0, 1, verb_export},
    {"import", NULL, "FILE|- [--create] [--dry-run]", "write the keys of an exported file",
     "Writes each key of FILE, whatever value it had; keys that FILE does not name\n"
     "stay as they are. With --create keys that have another value are left alone,\n"
     "counted, and the exit code is 4. FILE is read through first: nothing is written\n"
     "of one that is cut short or changed, nor with --dry-run. `-` takes it from\n"
     "standard input, where that is seen only at the end. Many writes are under way\n"
     "at once, each is applied once. What was cut short goes on the next time\n"
     "(FILE.progress).\n"
     "\n"
     "  $ ridctl import /backup/keys.jsonl\n"
     "  $ ridctl -c one.conf export | ridctl -c other.conf import -\n",
     CTL_OPT_CREATE | CTL_OPT_DRY_RUN | CTL_OPT_JSON, 1, 1, verb_import},
    {"status", NULL, "[-v | --wide] [--watch [--interval SECONDS]]",
     "is the cluster well? a verdict, and a table of all nodes",
     "Asks every node at once, one second each (--timeout changes that); needs no\n"
     "leader. Nodes that were not named are found through those that answer. The first\n"
     "line is the verdict; below it stands what is wrong with which node.\n"
     "\n"
     "  OK         0  nobody has anything to complain about\n"
     "  DEGRADED   6  it works, and something is wrong\n"
     "  NO QUORUM  2  no leader that hears a quorum (69 when nobody answered); the\n"
     "                line says how many nodes to start, if too few run\n"
     "  SPLIT      7  the nodes belong to different clusters, or not to the one that\n"
     "                the configuration describes, or two lead in one term\n"
     "\n"
     "With -v a second table shows what is on the disks: the state's file and what of\n"
     "it lives, the log, which BEGINS behind that index, the newest snapshot. LAG is\n"
     "what a node has not applied of what the leader has committed. With --watch all\n"
     "of it is drawn again each second, until ^C; without a terminal it is a block\n"
     "each time.\n"
     "\n"
     "  $ ridctl status || page someone\n"
     "  $ ridctl status --watch --interval 2\n"
     "  $ ridctl status --json | jq -r '.verdict, .reasons[].text'\n",
     CTL_OPT_JSON | CTL_OPT_VERBOSE | CTL_OPT_WATCH | CTL_OPT_INTERVAL | CTL_OPT_WIDE, 0, 0,
     verb_status},
    {"doctor", NULL, "[--data-dir DIR] [-v]", "what is wrong with this host, its disk, the network",
     "Looks at the configuration, the nodes, names and ports, clocks, memory, limits,\n"
     "and the disk below the data directory: its syncs are measured for a second and a\n"
     "half and held against election_ms. A line for each thing: ok, note, warn or\n"
     "FAIL, the figure, and the next command to type. It changes nothing, needs no\n"
     "node that runs, and says what this user may not see. With -v all figures.\n"
     "\n"
     "  0  well    6  something to mend (warn)    1  something does not work (FAIL)\n"
     "\n"
     "  $ sudo ridctl doctor\n"
     "  $ ridctl doctor --data-dir /mnt/new --json | jq '.findings[].text'\n",
     CTL_OPT_DATA_DIR | CTL_OPT_JSON | CTL_OPT_VERBOSE, 0, 0, verb_doctor},
    {"bundle", NULL, "[--save FILE|-] [--log FILE]...", "one file for somebody who is to help",
     "Gathers what each node says of itself (status, members, events, slow requests),\n"
     "what doctor finds, the configuration without secrets, the logs of ridd, and\n"
     "facts of this host, and writes them into FILE (a .tar.gz, or a .tar by its name;\n"
     "by default ridd-bundle-TIME.tar.gz here), `-` to standard output. No key and no\n"
     "value is in it. Its MANIFEST says what is there, what is not, and why.\n"
     "\n"
     "  $ sudo ridctl bundle\n"
     "  $ ridctl bundle --log /var/log/n1.log --save - | ssh desk 'cat > n1.tar.gz'\n",
     CTL_OPT_SAVE | CTL_OPT_LOG | CTL_OPT_DATA_DIR, 0, 0, verb_bundle},
    {"bench", NULL, "[--method LOAD] [--clients N] [--in-flight K] [--seconds S] ...",
     "load the cluster for some seconds, and look at every answer",
     "Writes keys of its own below bench/, asks for them for some seconds, and removes\n"
     "them. LOAD is read_index, log, lease, follower, local, bounded, write, mixed\n"
     "(one in ten is a write), batch or scan. Prints operations per second, times,\n"
     "errors by name, what one cost the nodes, and whether this client was the limit.\n"
     "Every answer is looked at: a wrong one is exit code 1. ^C ends it with what was\n"
     "found so far. Where bench/ holds other keys it does nothing (4). It is ridbench\n"
     "that does it, and can do more: ridbench --help.\n"
     "\n"
     "  $ ridctl bench\n"
     "  $ ridctl bench --method mixed --clients 16 --seconds 30 --json\n",
     CTL_OPT_METHOD | CTL_OPT_CLIENTS | CTL_OPT_IN_FLIGHT | CTL_OPT_SECONDS | CTL_OPT_KEYS |
         CTL_OPT_VALUE_BYTES | CTL_OPT_JSON | CTL_OPT_VERBOSE,
     0, 0, verb_bench},
    {"members", NULL, "", "who belongs to the cluster",
     "Prints the membership as the node asked knows it.\n", CTL_OPT_JSON, 0, 0, verb_members},
    {"member", NULL, "WORD [NAME...]", "change who belongs to the cluster",
     "  list                           who belongs to it, and what is under way\n"
     "  add NAME PEER CLIENT           a new node, which waits with `ridd --join`\n"
     "  remove NAME                    it leaves, and stops\n"
     "  replace OLD NEW PEER CLIENT    NEW comes, catches up, votes; OLD leaves\n"
     "  set-addr NAME PEER CLIENT      where it is reached from now on\n"
     "  promote NAME | demote NAME     voter or learner\n"
     "  rejoin NAME                    it lost its disk and waits with `ridd --rejoin`\n"
     "\n"
     "A new node is a learner until it has caught up, and then votes; with --learner\n"
     "it stays one. Prints the quorum before and after, and then waits until all is\n"
     "done; ^C leaves the cluster to go on with it. What would leave fewer voters that\n"
     "answer than a quorum is refused, but for --force-unsafe.\n"
     "\n"
     "  $ ridctl member replace n3 n4 10.0.0.4:7401 10.0.0.4:7400\n"
     "  voters 3 -> 3, quorum 2 -> 2; of those that would be voters 3 answer now:\n"
     "  survives 1 more\n"
     "  n4 has taken the place of n3\n",
     CTL_OPT_JSON | CTL_OPT_LEARNER | CTL_OPT_DRY_RUN | CTL_OPT_FORCE, 1, 5, verb_member},
    {"ping", NULL, "", "ask each node for a sign of life",
     "Asks every node at once, one second each. Exits 0 when any answered.\n", CTL_OPT_JSON, 0, 0,
     verb_ping},
    {"transfer", "transfer_leader", "[NODE]", "hand the leadership over",
     "Makes NODE the leader, or a voter that is linked, fit and has most of the log.\n"
     "It is tried for one election timeout.\n"
     "\n"
     "  $ ridctl transfer n3\n"
     "  n3 leads\n",
     CTL_OPT_JSON, 0, 1, verb_transfer},
    {"snapshot", NULL, "[NODE ... | --all] [--save FILE]", "make a snapshot of the state",
     "Asks a node to write a snapshot of its state, and waits for it; a bar shows how\n"
     "far it is on a terminal. Without NODE it is the node that answers first. Nodes\n"
     "make one by themselves when their log has grown, so this is for before an\n"
     "upgrade, or to let go of log now. Where nothing was applied since the newest\n"
     "one, that one stays.\n"
     "\n"
     "With --save the newest snapshot of the node comes into FILE, in the place of\n"
     "what was there, when it is whole and its checksum is right. What was cut short\n"
     "goes on the next time (FILE.part, FILE.part-of) as long as the node still has\n"
     "it. The file is the one that the node keeps: a file of LMDB, and a trailer.\n"
     "\n"
     "  $ ridctl snapshot\n"
     "  n1: snapshot of index 1477, 12.3 MiB in 0.4 s\n"
     "  $ ridctl snapshot --all\n"
     "  $ ridctl snapshot n2 --save /backup/ridd.snap\n",
     CTL_OPT_ALL | CTL_OPT_SAVE | CTL_OPT_JSON, 0, RIDD_ENDPOINTS_MAX, verb_snapshot},
    {"backup", NULL, "save|verify|inspect|restore FILE|- [NODE] [--min-index N] [--id NAME]",
     "save the state, look at what was saved, begin anew with it",
     "  save FILE|- [NODE]   all keys and values at one index, from a running cluster\n"
     "  verify FILE|-        read it through: is it whole, and what it says it is?\n"
     "  inspect FILE|-       of what it is\n"
     "  restore FILE|-       the data directory of a node that begins another cluster\n"
     "\n"
     "save takes a follower that is well, or NODE, and holds at least all that was\n"
     "acknowledged before it was called. FILE has its name only when it is whole; what\n"
     "was cut short goes on the next time (FILE.part, FILE.part-of), and is then of\n"
     "the time at which it was begun. `-` is standard output, or input.\n"
     "\n"
     "restore runs 'ridd --restore' on this machine, with the configuration of -c, for\n"
     "node --id: the only voter of another cluster; others are added to it. See\n"
     "RESTORE in ridd(8). The exit code of a file that is damaged, or no backup, is\n"
     "65.\n"
     "\n"
     "  $ ridctl backup save /backup/ridd.backup\n"
     "  n2: index 1477 saved in /backup/ridd.backup, 12.3 MiB in 0.4 s\n"
     "  $ ridctl backup verify /backup/ridd.backup\n"
     "  $ ridctl backup save - | ssh backup 'cat > ridd.backup'\n",
     CTL_OPT_MIN_INDEX | CTL_OPT_ID | CTL_OPT_JSON, 2, 3, verb_backup},
    {"follower_read", NULL, "KEY [--raw] [-v]", "linearizable read from any node",
     "Prints the value of KEY; the node asked gets an index from the leader, and\n"
     "answers when it has come so far.\n",
     READ_OPTIONS, 1, 1, verb_follower_read},
    {"lease_read", NULL, "KEY [--raw] [-v]", "linearizable read by the leader's lease",
     "Prints the value of KEY; the leader asks nobody while its lease is valid, and a\n"
     "quorum where it has none ([reads] lease_ms is 0, say). What a lease asks of the\n"
     "clocks: CLOCKS in ridd(8).\n",
     READ_OPTIONS, 1, 1, verb_lease_read},
    {"local_read", NULL, "KEY [--raw] [-v]", "read that may be old, from any node",
     "Prints the value of KEY as the node asked has it, also without a leader. With a\n"
     "bound on its age: 'ridctl get --max-stale'.\n",
     READ_OPTIONS, 1, 1, verb_local_read},
    {"top", NULL, "[-n N] [--interval SECONDS]", "what each node does now, the busiest first",
     "Shows for each node the requests it answers per second by method, the rounds of\n"
     "heartbeats and how many reads share one, syncs of the log and how long they and\n"
     "the turns of the loop take, memory, connections, and LAG, what it has not\n"
     "applied. Rates are those since the look before. On a terminal it is drawn again\n"
     "each second, until q or ^C; elsewhere it is printed once, or N times.\n"
     "\n"
     "  $ ridctl top\n"
     "  $ ridctl top -n 1 --interval 10 >load.txt\n",
     CTL_OPT_COUNT | CTL_OPT_INTERVAL, 0, 0, verb_top},
    {"events", NULL, "[-f] [--all | -n N] [--level LEVEL] [NODE]",
     "what the nodes have told lately, by time",
     "Prints the last events of all nodes, or of NODE, in the order of time: time,\n"
     "node, level, event, and what belongs to it. 'ridctl explain EVENT' says what one\n"
     "means. Each node keeps its last 256 or so in memory, of level info and worse; a\n"
     "node that was started anew has only those since then, and its log has the rest.\n"
     "\n"
     "With -f it goes on with what comes, until ^C: none is told twice, and where some\n"
     "were lost, a node went away or was started anew, a line says so. With -f --json\n"
     "it is a JSON object a line.\n"
     "\n"
     "  $ ridctl events --level warning\n"
     "  $ ridctl events -f\n"
     "  16:16:54.414  n1    info     leader_changed  leader=n1\n",
     CTL_OPT_FOLLOW | CTL_OPT_ALL | CTL_OPT_COUNT | CTL_OPT_LEVEL | CTL_OPT_INTERVAL |
         CTL_OPT_VERBOSE | CTL_OPT_JSON,
     0, 1, verb_events},
    {"slow", NULL, "[-n N] [-v | --wide]", "what was slow lately, and why",
     "Prints the last exceptional operations of all nodes: how long each took, which\n"
     "stage took the MOST of it (queue, quorum, apply, execute), whose fault it was,\n"
     "and why. Below it stands where the time of all operations goes that were asked\n"
     "for in the last half minute to minute. With -v the last one of each kind is told\n"
     "step by step.\n"
     "\n"
     "  $ ridctl slow -n 5\n"
     "  TIME          NODE  OPERATION  TOTAL  MOST   PEER  WHY\n"
     "  16:16:54.414  n1    write       43ms  apply  -     apply waited 41 ms ...\n",
     CTL_OPT_COUNT | CTL_OPT_WIDE | CTL_OPT_VERBOSE | CTL_OPT_JSON, 0, 0, verb_slow},
    {"check", NULL, "[--format FORMAT] [--warning LIMITS] [--critical LIMITS]",
     "one answer for monitoring: OK, WARNING, CRITICAL, UNKNOWN",
     "Asks all nodes and says whether the verdict, the digests, the room on disks and\n"
     "the versions are well, and whether a number is too high. FORMAT is text, json or\n"
     "nagios, a line with performance data. The exit code is that of a monitoring\n"
     "plugin: 0 OK, 1 WARNING, 2 CRITICAL (also where nobody answers), 3 UNKNOWN (it\n"
     "could not be asked). LIMITS are NAME=NUMBER, with commas between; 0 is never:\n"
     "\n"
     "  lag      10000  100000  entries that a node has not applied\n"
     "  fsync       20      60  % sync p99, of election_ms\n"
     "  quota       80      95  % stored, of map_size\n"
     "  disk        85      95  % taken, of the data directory's file system\n"
     "  drift     1000    5000  ppm that two clocks run apart\n"
     "  changes      6      30  other leaders within an hour\n"
     "  starts       2       0  nodes up for less than ten minutes\n"
     "\n"
     "  $ ridctl check --format nagios --warning lag=5000,starts=0\n"
     "  RIDD OK - OK: survives 1 more failure; ... | lag=0;5000;100000;0 ...\n",
     CTL_OPT_FORMAT | CTL_OPT_WARNING | CTL_OPT_CRITICAL | CTL_OPT_JSON, 0, 0, verb_check},
    {"explain", NULL, "[EVENT | ERROR | CODE]", "what an error, an exit code or an event means",
     "Says what a name means, what usually brings it about, and what to type next. It\n"
     "is the name or the number of an error, an exit code of ridctl or ridd, or the\n"
     "event= of a line of the log. Nobody is asked: it works without a cluster. Alone\n"
     "it lists all names.\n"
     "\n"
     "  $ ridctl explain disk_slow\n"
     "  $ ridctl explain 75\n",
     CTL_OPT_JSON, 0, 1, verb_explain},
    {"token", NULL, "make", "a token for a client, and the line that lets it in",
     "Prints a fresh token on standard output, 256 bits by chance, and on standard\n"
     "error the line of [access] that goes into ridd.conf of every node: that one\n"
     "holds what the token is known by and not the token. The client reads it of a\n"
     "file (--token-file) or of $RIDCTL_TOKEN; it is said within TLS alone.\n"
     "\n"
     "  $ umask 077; ridctl token make > ci.token\n"
     "  $ ridctl -e tls://10.0.0.1:7400 --ca ca.pem --token-file ci.token get x\n",
     CTL_OPT_JSON, 1, 1, verb_token},
    {"secret", NULL, "make NAME [--out FILE]", "a client's own secret, derived of the cluster's",
     "Derives the secret of the client NAME of the cluster's (--secret FILE, or\n"
     "secret_file of the configuration) and writes it into a new file, for its owner\n"
     "alone. Who has it is NAME to every node ('NAME = ROLE secret NAME' in [access]),\n"
     "and can neither be another nor a node. No node needs to be told: what a client's\n"
     "secret is follows from the cluster's and the name.\n"
     "\n"
     "  $ sudo ridctl secret make app1 --out /etc/app1/ridd.secret\n"
     "  $ ridctl -e tls://10.0.0.1:7400 --secret /etc/app1/ridd.secret get x\n",
     CTL_OPT_OUT, 2, 2, verb_secret},
    {"completion", NULL, "SHELL", "what makes Tab complete ridctl, for bash, zsh, fish",
     "Prints a script for SHELL: bash, zsh or fish. With it Tab completes verbs,\n"
     "options and their values, and the names of the nodes in the configuration.\n"
     "Packages install it; by hand:\n"
     "\n"
     "  $ eval \"$(ridctl completion bash)\"\n"
     "  $ eval \"$(ridctl completion zsh)\"\n"
     "  $ ridctl completion fish | source\n",
     0, 1, 1, verb_completion},
    {"raw", NULL, "", "speak the protocol: lines from standard input",
     "Sends the lines of standard input to the first node that accepts, and prints its\n"
     "replies as they come. At the end of the input it waits for what is owed.\n"
     "\n"
     "  $ echo '{\"type\":\"ping\",\"msg_id\":1}' | ridctl raw\n",
     0, 0, 0, verb_raw},
};
const size_t ctl_n_verbs = sizeof(ctl_verbs) / sizeof(ctl_verbs[0]);

bool ctl_same_name(const char *given, const char *name)
{
    size_t i;

    if (name == NULL)
        return false;
    for (i = 0; given[i] != '\0'; i++)
        if ((given[i] == '-' ? '_' : given[i]) != name[i])
            return false;
    return name[i] == '\0';
}

const struct verb *ctl_find_verb(const char *given)
{
    for (size_t i = 0; i < ctl_n_verbs; i++)
        if (ctl_same_name(given, ctl_verbs[i].name) || ctl_same_name(given, ctl_verbs[i].alias))
            return &ctl_verbs[i];
    return NULL;
}

/* What the same thing is called elsewhere; a few letters more or less would point nowhere. */
static const char *synonym_of(const char *given)
{
    static const char *const table[][2] = {
        {"set", "put"},           {"add", "put"},          {"store", "put"},
        {"insert", "put"},        {"rm", "del"},           {"remove", "del"},
        {"unset", "del"},         {"read", "get"},         {"show", "get"},
        {"cat", "get"},           {"fetch", "get"},        {"mget", "batch"},
        {"list", "ls"},           {"dir", "ls"},           {"find", "ls"},
        {"range", "scan"},        {"nodes", "members"},    {"peers", "members"},
        {"info", "status"},       {"health", "status"},    {"leader", "status"},
        {"stat", "status"},       {"benchmark", "bench"},  {"move", "transfer"},
        {"stepdown", "transfer"}, {"swap", "cas"},         {"dump", "export"},
        {"load", "import"},       {"restore", "backup"},   {"save", "backup"},
        {"verify", "backup"},     {"compact", "snapshot"}, {"log", "events"},
        {"logs", "events"},       {"tail", "events"},      {"monitor", "top"},
        {"watch", "status"},      {"why", "explain"},      {"nagios", "check"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(given, table[i][0]) == 0)
            return table[i][1];
    return NULL;
}

int ctl_report_unknown_verb(const struct ctl *ctl, const char *given)
{
    const char *synonym = synonym_of(given);
    struct text_near near;

    text_near_init(&near, given);
    near.least = 3; /* letters of a verb are few, and soon another one */
    for (size_t i = 0; synonym == NULL && i < ctl_n_verbs; i++)
        text_near_try(&near, ctl_verbs[i].name);
    if (synonym != NULL || near.nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE, "no such verb '%.60s'; did you mean '%s'?", given,
                      synonym != NULL ? synonym : near.nearest);
    return report(ctl, CTL_EXIT_USAGE, "no such verb '%.60s'; 'ridctl --help' lists them", given);
}
