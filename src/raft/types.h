/* The words that every layer shares: terms, indexes, ids, entries, messages between nodes.
 *
 * For: what passes between the core and those around it.
 * Not for: behaviour; how it looks on the wire or on disk.
 * Units: indexes count entries from 1; sizes are bytes; a group number names one of several
 * groups of a process, of which there is one, 0.
 * Ownership: plain values; pointers in them are borrowed for as long as the function that hands
 * them over says.
 * Errors: none.
 * Thread: any.
 * Source: Raft dissertation figure 3.1 and sections 3.10 (transfer), 6.4 (reads), 9.6
 * (pre-vote), 10.2.1 (writing to disk in parallel). */
#ifndef RIDD_RAFT_TYPES_H
#define RIDD_RAFT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"

typedef uint64_t raft_term;
typedef uint64_t raft_index;
typedef uint64_t raft_node_id; /* 0 is nobody */

/* The id of a founder, who has no incarnation before it: a function of its name alone, so that
 * all founders write the same first configuration without asking each other. Whoever comes
 * later, or comes back with an empty disk, gets another from the configuration that adds it
 * (MEMBER-5): the core takes ids from configurations and never computes one. */
static inline raft_node_id raft_founder_id(const char *name)
{
    uint64_t h = hash_fnv64(name, strlen(name));

    return h != 0 ? h : 1;
}

/* That of a server which comes later: no two incarnations of a name have one, so that what is known
 * of the one before is never taken for its own (MEMBER-5). */
static inline raft_node_id raft_member_id(const char *name, uint64_t incarnation)
{
    uint64_t h = hash_fnv64(name, strlen(name));

    h = (h ^ incarnation) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    return h != 0 ? h : 1;
}

struct raft_entry_id {
    raft_term term;
    raft_index index;
};

/* Where there is no term to give: nothing stands at that index (or it is 0, before the first
 * entry), and: an entry stood there, but the log begins behind it. No entry has either term;
 * compare with these names, never by order. */
#define RAFT_TERM_NONE      ((raft_term)0)
#define RAFT_TERM_COMPACTED UINT64_MAX

enum raft_entry_type {
    RAFT_ENTRY_NOOP = 1,    /* the first entry of a leader's term (READ-14) */
    RAFT_ENTRY_CONFIG = 2,  /* payload: configuration.h */
    RAFT_ENTRY_COMMAND = 3, /* payload: wire/command.h; opaque to the core */
    RAFT_ENTRY_READ = 4,    /* marker of a log read, no payload (READ-60) */
};

struct raft_entry {
    struct raft_entry_id id;
    enum raft_entry_type type;
    uint32_t len;
    /* len bytes; lifetime as said where the entry is handed over; NULL when len is 0 */
    const void *data;
};

struct raft_hard_state {
    raft_term current_term;
    raft_node_id voted_for; /* 0: nobody in this term */
    /* The longest lease that was ever promised to anybody, stored before it is (LEASE-3); like term
     * and vote it stays whatever becomes of the log. */
    uint64_t lease_max_us;
};

enum raft_msg_type {
    RAFT_MSG_PRE_VOTE = 1,
    RAFT_MSG_PRE_VOTE_RESP = 2,
    RAFT_MSG_VOTE = 3,
    RAFT_MSG_VOTE_RESP = 4,
    RAFT_MSG_APPEND = 5,
    RAFT_MSG_APPEND_RESP = 6,
    RAFT_MSG_HEARTBEAT = 7,
    RAFT_MSG_HEARTBEAT_RESP = 8,
    RAFT_MSG_TIMEOUT_NOW = 9,
    RAFT_MSG_SNAPSHOT = 10,
    RAFT_MSG_SNAPSHOT_RESP = 11,
    RAFT_MSG_READ_ASK = 12,
    RAFT_MSG_READ_ANSWER = 13,
};
#define RAFT_MSG_TYPE_MAX RAFT_MSG_READ_ANSWER

/* A piece of a snapshot on its way to a follower, or what that says of it. The core looks at the
 * term of such a message and at nothing else: the host cuts and joins the pieces, and asks the core
 * when the whole is there (raft_install()).
 *
 *   SNAPSHOT       offset = where `data` stands in the whole; without data: a question, how far
 *                  the follower is. The whole is the trailer that says what it is, then the copy
 *   SNAPSHOT_RESP  offset = so much of the whole is on the follower's disk */
enum raft_snapshot_status {
    RAFT_SNAPSHOT_GO_ON = 0,
    RAFT_SNAPSHOT_CHECKING = 1, /* all of it is there, and is being checked and installed */
    RAFT_SNAPSHOT_DONE = 2,     /* nothing more of it is wanted */
    RAFT_SNAPSHOT_REFUSED = 3,  /* it cannot be used here: another one, later */
    RAFT_SNAPSHOT_NO_ROOM = 4,  /* the disk is full */
    RAFT_SNAPSHOT_TOO_OLD = 5,  /* it ends before the log begins here */
    RAFT_SNAPSHOT_STATUSES,
};
struct raft_snapshot_part {
    uint64_t transfer; /* of the sender, drawn at random: one snapshot to one follower */
    uint64_t offset;
    uint64_t bytes; /* of the whole */
    uint8_t status; /* SNAPSHOT_RESP: enum raft_snapshot_status */
    uint32_t len;
    const void *data; /* borrowed, as entries are; NULL when len is 0 */
};

/* Whether a node should lead. It is about the state machine, never about the log: whatever it is,
 * a node votes, stores and acknowledges, for its log is checked apart (FIT-1).
 *
 *   FIT     nothing speaks against it
 *   PARKED  it cannot apply for now, for want of room: others are better, but better it than
 *           nobody
 *   UNFIT   its state is damaged, wrong or being rebuilt: what it would answer may be false */
enum raft_fitness { RAFT_FIT, RAFT_PARKED, RAFT_UNFIT };
const char *raft_fitness_name(enum raft_fitness fitness); /* "fit", "parked", "unfit" */

/* The digest of the state machine at exactly that index. Opaque to the core. */
struct raft_digest_at {
    raft_index index; /* 0: none */
    uint64_t high;
    uint64_t low;
};

/* What a node says of itself with every heartbeat and every answer to one. SAID stands in each that
 * was written at all: a node of the version before says nothing, and counts as fit. The core
 * writes and reads SAID, PARKED and UNFIT; the rest is the host's and passes through unread. Flags
 * that are not known here are no error. */
#define RAFT_NOTE_SAID   1u
#define RAFT_NOTE_PARKED 2u
#define RAFT_NOTE_UNFIT  4u
#define RAFT_NOTE_CORE   (RAFT_NOTE_SAID | RAFT_NOTE_PARKED | RAFT_NOTE_UNFIT)
struct raft_note {
    uint32_t flags;
    uint32_t digest_version; /* of both digests; 0: there are none */
    uint64_t check;          /* engine/agree.c */
    struct raft_digest_at digests[2];
};

/* What the hold clock of a node showed, and in which of its lives: a clock begins again with a
 * boot, and what it showed in another life is of no use (BOUND-4). */
struct raft_stamp {
    uint64_t nonce; /* of the process, drawn at random; 0: there is no stamp */
    uint64_t hold_us;
};

/* What goes with heartbeats and their answers for leases, for reads of a bounded age, and to find
 * clocks that drift. A node of the version before does not write it.
 *
 *   HEARTBEAT       lease_us = the length of the leader's lease, 0: none (LEASE-1); stamp = the
 *                   newest of the receiver's own that is proved, and proved_index with it: all that
 *                   anybody had committed when the receiver's clock showed stamp.hold_us is at or
 *                   below it (BOUND-3)
 *   HEARTBEAT_RESP  leased = the promise is booked (LEASE-1); mono_us = the answerer's clock when
 *                   it answered (LEASE-13); stamp = its hold clock then (BOUND-1) */
struct raft_beat {
    bool said;
    bool leased;
    uint64_t lease_us;
    uint64_t mono_us;
    struct raft_stamp stamp;
    raft_index proved_index;
};

/* One question of a follower, for all reads that it had sealed before; never used again. */
struct raft_ask_id {
    uint64_t nonce;  /* of the process that asks, drawn at random; never 0 */
    uint64_t number; /* from 1 */
};

/* clang-format off */
/* One message. Fields that a type does not use are 0. `entries` is borrowed.
 *
 *   PRE_VOTE        term = the term it would campaign in; prev = last entry of the asker's log
 *   PRE_VOTE_RESP   reject = 0: term repeats the asked one; reject = 1: term is the answerer's own
 *   VOTE            term; prev = last entry of the candidate's log; transfer: overrides "I hear a
 *                   leader"
 *   VOTE_RESP       term; reject; left_us = how long the longest promise still runs that was given
 *                   to another term (LEASE-5)
 *   APPEND          term; prev = the entry before entries[0]; entries; leader_commit
 *   APPEND_RESP     term; reject = 0: index = prev.index + number of entries of the APPEND
 *                   answered, durable here; reject = 1: index = the prev.index refused; hint =
 *                   where the answerer's log may agree: the first index of the conflicting term
 *                   that is not committed, and that term, or (last_index + 1, term 0) when its log
 *                   is too short; disk_us = how long the answerer's disk took with it, 0: not long,
 *                   or it does not say. The host's: the core neither sets it nor looks at it
 *   HEARTBEAT       term; round = the highest round opened in this term; leader_commit, clamped to
 *                   what the receiver is known to hold (READ-30); note; beat
 *   HEARTBEAT_RESP  term and round exactly as received (READ-8); reject = 1: term is the
 *                   answerer's own, higher; note and beat (none when it refuses)
 *   TIMEOUT_NOW     term: the receiver campaigns at once (3.10)
 *   SNAPSHOT        term; part
 *   SNAPSHOT_RESP   term; reject = 1: term is the answerer's own, higher; otherwise part
 *   READ_ASK        term of the asker, which changes nobody's; ask (FOLLOW-2)
 *   READ_ANSWER     ask as received; reject = 0: term, and index = a commit index that was
 *                   confirmed after the ask came; reject = 1: term is the answerer's own, leader =
 *                   whom it follows in it, 0: nobody */
/* clang-format on */
struct raft_msg {
    enum raft_msg_type type;
    uint16_t group; /* whose message it is: one group exists, 0 */
    raft_node_id from;
    raft_node_id to;
    raft_term term;
    struct raft_entry_id prev;
    raft_index leader_commit;
    raft_index index;
    struct raft_entry_id hint;
    uint64_t round;
    bool reject;
    bool transfer;
    unsigned n_entries;
    const struct raft_entry *entries;
    struct raft_note note;
    const struct raft_snapshot_part *part; /* SNAPSHOT, SNAPSHOT_RESP; borrowed */
    struct raft_beat beat;
    uint64_t left_us;
    struct raft_ask_id ask;
    raft_node_id leader;
    uint64_t disk_us;
};

const char *
raft_msg_type_name(enum raft_msg_type type); /* "append", "heartbeat_resp", ...; "unknown" */
const char *raft_entry_type_name(enum raft_entry_type type);

#endif
