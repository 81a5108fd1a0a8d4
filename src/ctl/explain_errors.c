/* What errors and exit codes mean, what usually brings them about, and what to type next. An error
 * of src/wire/errors.h without its text here does not compile. */
#include "base/event_names.h"
#include "base/exit_codes.h"
#include "ctl/ctl_int.h"
#include "ctl/explain_int.h"
#include "wire/errors.h"

#include "base/banned.h"

/* meaning, cause, next */
/* clang-format off */
#define SAY_NOT_LEADER \
    "The node that was asked does not lead, and what was asked needs the leader." \
    " Nothing was done.", \
    "An election, or a leader that has just changed. ridctl and libridd go to the leader by" \
    " themselves, and show this only when nobody led until the time was over.", \
    "'ridctl status' shows who leads, or why nobody does; then try again."
#define SAY_TERM_CHANGED \
    "The node that was asked lost the leadership to a higher term before it could answer. A read" \
    " was not answered; a write with code 13 may have happened.", \
    "A leader that stopped, stood still, or was cut off from the others.", \
    "Try again; of a write with code 13 read the key first: 'ridctl get KEY'."
#define SAY_ROLE_CHANGED \
    "The node that was asked stepped down within its term before it could answer. A read was not" \
    " answered; a write with code 13 may have happened.", \
    "'ridctl transfer', a node that was stopped, or a leader that heard no quorum any more.", \
    "Try again; of a write with code 13 read the key first: 'ridctl get KEY'."
#define SAY_TIMEOUT \
    "The node had not finished when the time of the request was over. A read changed nothing; a" \
    " write that was in the log already may still happen.", \
    "Nobody leads, too few nodes answer, or a disk is slow: the words of the error say which, and" \
    " the stage that was waited for.", \
    "'ridctl status' shows which nodes are slow, full or down; or a larger --timeout."
#define SAY_NETWORK \
    "The leader did not hear a quorum until the time was over.", \
    "Too few nodes run, or the network between them is cut; reached and needed in the reply count" \
    " them.", \
    "'ridctl status' shows which nodes are down: start them with 'systemctl start ridd@NAME'."
#define SAY_INTERNAL \
    "The node met something that it was not made for.", \
    "Memory that ran out, a value that cannot be read from the disk, or a fault of ridd.", \
    "'ridctl events NODE --level warning' or the log of that node; 'journalctl -u ridd@NAME'."
#define SAY_CANCELLED \
    "The request was given up before it was answered.", \
    "The node stops, or whoever asked took the request back.", \
    "Try again; of a write with code 13 read the key first: 'ridctl get KEY'."
#define SAY_OVERLOADED \
    "The node does not take this now: too much is under way, it is too far behind for a follower" \
    " read, or a leader with a lease sends the read to another node. Nothing was done.", \
    "More reads or bytes at once than [limits] of ridd.conf allow, or a node that catches up.", \
    "Try again after retry_after_ms; 'ridctl top' shows who is busy, 'ridctl status' who is behind."
#define SAY_BUSY \
    "The node takes no more requests or connections now. Nothing was done.", \
    "A limit of [limits] in ridd.conf was reached, or the leader's disk has more to write than it" \
    " can in time.", \
    "Try again after retry_after_ms; 'ridctl top' shows load and fsync times."
#define SAY_NO_SPACE \
    "There is no room for a write. It was certainly not done; reads go on.", \
    "What may be stored is used up (quota), or a disk is full: that of the leader" \
    " (log, state), or" \
    " of too many others (nodes).", \
    "'ridctl status' names the nodes that are full: make room there; of quota delete keys with" \
    " 'ridctl del', or raise map_size in ridd.conf."
#define SAY_SESSION_EXPIRED \
    "The session of this write is not known any more, so that nobody can say whether an earlier" \
    " attempt was applied. Nothing was changed now.", \
    "More than 4096 sessions were opened since it was used, or the cluster is another one.", \
    "Read the key ('ridctl get KEY'), then write it in a new session; libridd opens one by itself."
#define SAY_NOT_SUPPORTED \
    "The node does not know this request, or not all members are of a version that has it.", \
    "A node that is older than the client, or a request that the cluster has switched off.", \
    "'ridctl status --json' shows the version of each node: upgrade the older ones."
#define SAY_MALFORMED \
    "The request is not what the protocol says; field names the part.", \
    "A client of one's own, or something else than ridd speaks to the port.", \
    "Compare it with ridd-protocol(7): 'man 7 ridd-protocol'."
#define SAY_TOO_LARGE \
    "A value or a whole request is longer than may be; limit says how long.", \
    "A value that is too large to store, or a line of more than request_bytes in ridd.conf.", \
    "Store less, or raise request_bytes in ridd.conf and 'systemctl reload ridd@NAME' on all nodes."
#define SAY_KEY_NOT_FOUND \
    "There is no such key.", \
    "It was never written, or was deleted. A read by ridctl exits 3 and prints nothing.", \
    "'ridctl ls PREFIX' lists keys; 'ridctl cas KEY FROM TO --create' makes an absent one."
#define SAY_PRECONDITION_FAILED \
    "The value is not the one that the write asked for, a token is another" \
    " cluster's, or a change of" \
    " the members was refused. Nothing was changed.", \
    "Somebody else wrote first.", \
    "Read it ('ridctl get KEY') and decide again."

#define SAY_DENIED \
    "The connection may not ask for this: the text names the role that is needed, who asks, and" \
    " the prefix of keys that they have it for. Nothing was done.", \
    "[access] in ridd.conf does not give that role to the user or their groups, the certificate," \
    " the secret or the token, or not for these keys; or a token came without TLS.", \
    "'id' shows your groups; [access] in ridd.conf(5), then 'systemctl reload ridd@NAME'."

static const struct explained errors[] = {
#define X(symbol, name, code, definite, code_after)                                                \
    {EXPLAINED_ERROR, name, code, code_after, NULL, SAY_##symbol},
    WIRE_ERRORS(X)
#undef X
};

/* By their words, as ridd_status_name() has them. */
static const struct explained ctl_errors[] = {
    {EXPLAINED_CTL_ERROR, "unreachable", -1, -1, NULL,
     "No connection could be made to any of the addresses: the request was never sent.",
     "ridd does not run there, a wrong address or port, or a firewall.",
     "'ridctl status' shows what each node says; 'systemctl status ridd@NAME' on the node."},
    {EXPLAINED_CTL_ERROR, "no_answer", -1, -1, NULL,
     "A node took the request and did not answer in time. It was no write, or one that was not"
     " sent.",
     "A node that stands still or is cut off, or a name server that hangs.",
     "'ridctl status', or the same command with a larger --timeout."},
    {EXPLAINED_CTL_ERROR, "disconnected", -1, -1, NULL,
     "The connection ended while the answer was waited for. It was no write, or one that was not"
     " sent.",
     "The node stopped or was killed, or has closed the connection (client_closed in its log).",
     "Try again; 'ridctl events' or 'journalctl -u ridd@NAME' shows why."},
    {EXPLAINED_CTL_ERROR, "bad_reply", -1, -1, NULL,
     "What came back is not the protocol of ridd.",
     "The address is that of a peer port, of the HTTP port or of another service.",
     "Take the client port, the second address of a line in [peers] of ridd.conf: 'ridctl -e"
     " HOST:PORT status'."},
    {EXPLAINED_CTL_ERROR, "outcome_unknown", -1, -1, NULL,
     "A write was sent and its answer never came: it happened, or not, or may yet happen.",
     "The leader died or was cut off meanwhile; cause in --json says how it ended.",
     "Read the key before you write it again: 'ridctl get KEY'."},
    {EXPLAINED_CTL_ERROR, "usage", -1, -1, NULL,
     "The command line makes no sense; nothing was sent.", NULL,
     "'ridctl VERB --help' has the form and an example."},
    {EXPLAINED_CTL_ERROR, "configuration", -1, -1, NULL,
     "No cluster is named, or the file that names it cannot be used; nothing was sent.", NULL,
     "'ridd --config FILE --check-config' shows all that is wrong with it."},
    {EXPLAINED_CTL_ERROR, "system", -1, -1, NULL,
     "ridctl got no memory or no thread.", NULL,
     "See what the machine has left with 'free -m' and 'ulimit -a'."},
};

static const struct explained ctl_exits[] = {
    {EXPLAINED_CTL_EXIT, "ok", CTL_EXIT_OK, -1, NULL,
     "Done.", NULL, "Nothing."},
    {EXPLAINED_CTL_EXIT, "not_linearizable", CTL_EXIT_NOT_LINEARIZABLE, -1, NULL,
     "compare, bench: an answer was not what its method promises. doctor: something does not work.",
     "A fault of ridd, or a clock that lies; of doctor the lines that say FAIL.",
     "Of doctor what the line says; else keep the logs, and report it with what 'ridctl bundle'"
     " makes."},
    {EXPLAINED_CTL_EXIT, "no_quorum", CTL_EXIT_NO_QUORUM, -1, NULL,
     "No leader that hears a quorum: nothing is written, and read by local_read alone.",
     "Too few voters run, or they do not hear each other.",
     "'ridctl status' says how many to start; 'systemctl start ridd@NAME' on each. Those that are"
     " lost for ever: LOST DISK in ridd(8)."},
    {EXPLAINED_CTL_EXIT, "no_key", CTL_EXIT_NO_KEY, -1, NULL,
     "There is no such key.", NULL, "'ridctl ls PREFIX' lists keys."},
    {EXPLAINED_CTL_EXIT, "precondition", CTL_EXIT_PRECONDITION, -1, NULL,
     "The value was not the one that cas asked for, import --create left keys alone, an index of"
     " --min-index is another cluster's, or a change of the members was refused.", NULL,
     "Read it ('ridctl get KEY') and decide again; of members: 'ridctl member list'."},
    {EXPLAINED_CTL_EXIT, "unknown_outcome", CTL_EXIT_UNKNOWN, -1, NULL,
     "It is not known whether a write happened.", "The leader died or was cut off meanwhile.",
     "Read the key before you write it again: 'ridctl get KEY'."},
    {EXPLAINED_CTL_EXIT, "degraded", CTL_EXIT_DEGRADED, -1, NULL,
     "status, top: a leader hears a quorum, and something is wrong all the same. doctor: something"
     " is to be mended.",
     "A node is down, behind, full, or has a slow disk: the lines below the verdict say it.",
     "'ridctl status' names node and reason; 'ridctl events' what happened before."},
    {EXPLAINED_CTL_EXIT, "split", CTL_EXIT_SPLIT, -1, NULL,
     "status: nodes of different clusters answered, or two lead in one term. Waiting does not mend"
     " it.",
     "A wrong address, file or data directory.",
     "'ridctl status' names both; 'ridd --id NAME --check-config' on the nodes."},
    {EXPLAINED_CTL_EXIT, "usage", CTL_EXIT_USAGE, -1, NULL,
     "The command line or a file makes no sense, or the node refuses the request for what it is.",
     NULL, "'ridctl VERB --help' has the form and an example."},
    {EXPLAINED_CTL_EXIT, "damaged", CTL_EXIT_DAMAGED, -1, NULL,
     "backup: the file is no backup, or damaged; nothing was changed.",
     "A file that was cut short, changed, or is something else: the text says which.",
     "'ridctl backup verify FILE' reads it through; take another one."},
    {EXPLAINED_CTL_EXIT, "nobody", CTL_EXIT_NOBODY, -1, NULL,
     "Nobody answered, or not in the protocol of ridd.",
     "ridd does not run there, or the address is not that of a client port.",
     "'ridctl status'; then 'systemctl status ridd@NAME' on a node."},
    {EXPLAINED_CTL_EXIT, "system", CTL_EXIT_SYSTEM, -1, NULL,
     "ridctl got no memory or no thread.", NULL,
     "See what the machine has left with 'free -m' and 'ulimit -a'."},
    {EXPLAINED_CTL_EXIT, "output", CTL_EXIT_OUTPUT, -1, NULL,
     "Standard output or the file of --save cannot be written.",
     "A full disk, no permission, or a program behind a pipe that has ended.",
     "Look at the place with 'df' and 'ls -ld'."},
    {EXPLAINED_CTL_EXIT, "again", CTL_EXIT_AGAIN, -1, NULL,
     "Nothing was done, or what was begun goes on without ridctl; the same may work in a moment.",
     "An election, an overload, a timeout, or another change that is under way.",
     "Try again; if it stays so, 'ridctl status' says why."},
    {EXPLAINED_CTL_EXIT, "denied", CTL_EXIT_DENIED, -1, NULL,
     "The node does not give whoever asks the role that is needed; or a file that says who asks may"
     " not be read.",
     "[access] in ridd.conf names others, or other keys; or the secret of the cluster is not for"
     " this user.",
     "The text says who asks: 'id' shows your groups, and --secret, --cert or --token-file say who"
     " you are elsewhere; 'ridctl explain denied'."},
    {EXPLAINED_CTL_EXIT, "configuration", CTL_EXIT_CONF, -1, NULL,
     "No cluster is named, the configuration cannot be used, or it describes another cluster than"
     " the one that answers.", NULL,
     "'ridd --config FILE --check-config' shows all that is wrong with it; or give --endpoints."},
};

static const struct explained ridd_exits[] = {
    {EXPLAINED_RIDD_EXIT, "stopped", 0, -1, NULL,
     "The node stopped as it was asked to, or is no member any more.", NULL,
     "Nothing; 'systemctl start ridd@NAME' starts it again."},
    {EXPLAINED_RIDD_EXIT, "usage", EXIT_USAGE_ERROR, -1, NULL,
     "The command line makes no sense.", NULL, "'ridd --help' has the forms."},
    {EXPLAINED_RIDD_EXIT, "damaged", EXIT_DAMAGED, -1, NULL,
     "The log or the identity is damaged or gone: what is on the disk cannot be believed.",
     "A disk that changed or lost what was stored, or one that is not mounted.",
     "'journalctl -u ridd@NAME' names file and place; then 'ridctl member rejoin NAME' or a new"
     " node: LOST DISK in ridd(8)."},
    {EXPLAINED_RIDD_EXIT, "io_error", EXIT_IO_ERROR, -1, NULL,
     "A write or sync failed, the state was found damaged while running, directory or port are in"
     " use, or the system refused something else that is needed.",
     "A failing or full disk, another process of the same node, or limits of memory.",
     "'journalctl -u ridd@NAME' and 'dmesg'; then 'systemctl start ridd@NAME': what can be made"
     " again is."},
    {EXPLAINED_RIDD_EXIT, "configuration", EXIT_CONF_ERROR, -1, NULL,
     "Configuration or identity do not fit, an address is none of this machine, or a later version"
     " of ridd wrote what is there.",
     "A mistake in ridd.conf, a wrong data_dir, or a way back to an older version.",
     "'ridd --id NAME --check-config' shows all that is wrong; 'journalctl -u"
     " ridd@NAME' the rest."},
};

static const struct explained events[] = {
#define X(name, levels, meaning, next)                                                             \
    {EXPLAINED_EVENT, name, -1, -1, levels, meaning, NULL, next},
    EVENT_NAMES(X)
#undef X
};
/* clang-format on */

size_t explained_list(enum explained_kind kind, const struct explained **ret_list)
{
#define LIST(array)                                                                                \
    do {                                                                                           \
        *ret_list = array;                                                                         \
        return sizeof(array) / sizeof((array)[0]);                                                 \
    } while (0)
    switch (kind) {
    case EXPLAINED_ERROR:
        LIST(errors);
    case EXPLAINED_CTL_ERROR:
        LIST(ctl_errors);
    case EXPLAINED_CTL_EXIT:
        LIST(ctl_exits);
    case EXPLAINED_RIDD_EXIT:
        LIST(ridd_exits);
    case EXPLAINED_EVENT:
        LIST(events);
    }
#undef LIST
    *ret_list = NULL;
    return 0;
}
