/* Anchors of reads: who gives one is separate from who waits for it.
 *
 * An anchor is an index of the log at or behind which the state may be read, with the proof that
 * it may: "whatever was acknowledged before this read began is at or below it". Every linearizable
 * read is the same three steps: get an anchor, wait until it is applied, answer. Only the first
 * differs, and that is what a provider is; the other two are anchor.c, once.
 *
 *                      ask()                 anchor_confirmed()             applied
 *   read ─ (WAITING) ────────► ASKED/PROPOSED ──────────────► CONFIRMED ────────────► served
 *                              LOOK/TICKET  │ lose()          or EXACT
 *                                           ▼
 *                                         failed
 *
 * An anchor exists only once it is confirmed; before that a leader's read fails with any loss of
 * role or term (READ-16, READ-17), afterwards it is answered whatever becomes of this node's role:
 * its index is committed. A provider that cannot confirm must never guess.
 *
 * Another provider (an index that a session brings) is one file with these functions and one entry
 * in the table of anchor.c. */
#ifndef RIDD_REPLICA_ANCHOR_INT_H
#define RIDD_REPLICA_ANCHOR_INT_H

#include "replica/replica.h"

/* Which state answers a read that has its anchor. */
enum anchor_use {
    ANCHOR_NONE, /* whatever is applied here when the turn serves; the index is 0, it never waits */
    ANCHOR_REACHED, /* any state that holds everything up to the index */
    ANCHOR_EXACT,   /* the state of exactly that index, before anything else is applied */
    ANCHOR_YOUNG,   /* a state whose age is proved; index and age are found when it is read */
};

struct anchor_provider {
    enum anchor_use use;
    /* Only a leader's anchors are right: the read waits until this node leads and can serve, and is
     * refused when another one leads. */
    bool by_leader;
    /* Asks for an anchor: q moves to ASKED or PROPOSED until anchor_confirmed(), or is confirmed at
     * once. Otherwise why it is refused; nothing was left behind then, and q is where it was. */
    enum wire_error (*ask)(struct replica *r, struct replica_request *q);
    /* q, in ASKED or AGE, leaves that: timed out, cancelled, served. NULL: nothing to forget. */
    void (*forget)(struct replica *r, struct replica_request *q);
    /* Before each ready: what was asked since the last one. May be NULL. */
    void (*prepare)(struct replica *r);
    /* Fails every read of this provider that lost its right by what `ready` says. May be NULL. */
    void (*lose)(struct replica *r, const struct raft_ready *ready);
    /* Calls anchor_confirmed() for every read whose anchor `ready` confirms. May be NULL. */
    void (*confirm)(struct replica *r, const struct raft_ready *ready);
};

extern const struct anchor_provider anchor_index;    /* ReadIndex: a round of heartbeats */
extern const struct anchor_provider anchor_log;      /* a marker in the log */
extern const struct anchor_provider anchor_local;    /* none: promises nothing */
extern const struct anchor_provider anchor_follower; /* the leader's answer to a question */
extern const struct anchor_provider anchor_lease;    /* a leader's lease, else as anchor_index */
extern const struct anchor_provider anchor_bounded;  /* a stamp of the own clock */

/* NULL: a write, which has no anchor. */
const struct anchor_provider *anchor_provider_of(enum replica_kind kind);

/* ---- the continuation: the same for all ---- */

/* q has its anchor, in q->anchor, and waits to be served. */
void anchor_confirmed(struct replica *r, struct replica_request *q);
/* In the turn, in this order: loss before confirmation, so that where both meet, loss wins. */
void anchors_prepare(struct replica *r);
void anchors_lose(struct replica *r, const struct raft_ready *ready);
void anchors_confirm(struct replica *r, const struct raft_ready *ready);
/* What was applied last was committed: the reads of exactly this state. */
void anchors_serve_exact(struct replica *r);
/* Everything that need not wait any longer, with one read transaction for all. */
void anchors_serve(struct replica *r);

/* ---- what providers lend each other ---- */

/* What the session's own earlier writes put under a read of the leader; 0: nothing. */
raft_index anchor_floor(const struct replica *r, const struct replica_request *q);
/* Of CONFIRMED those follower reads that this node is too far behind for go to BEHIND: it has got
 * no further, or fell back (FOLLOW-7). */
void anchor_follower_refuse(struct replica *r);
/* The bounded read that may be answered from a state with everything up to last_applied, which was
 * read before this call: its anchor is filled, and *ret_staleness_us. NULL: none may. */
struct replica_request *anchor_bounded_first(struct replica *r, raft_index last_applied,
                                             uint64_t *ret_staleness_us);

#endif
