/* The inside of the core: its state, and the functions that its files share. Nobody outside
 * src/raft includes this. */
#ifndef RIDD_RAFT_RAFT_INT_H
#define RIDD_RAFT_RAFT_INT_H

#include "base/array.h"
#include "base/assert.h"
#include "base/prng.h"
#include "base/ring.h"
#include "raft/drift_int.h"
#include "raft/log_int.h"
#include "raft/promises_int.h"
#include "raft/quorum.h"
#include "raft/raft.h"
#include "raft/read_queue_int.h"
#include "raft/rounds_int.h"
#include "raft/stamps_int.h"

enum vote { VOTE_NONE, VOTE_GRANTED, VOTE_REFUSED };

/* PROBE: one append at a time until the logs agree. REPLICATE: appends follow each other without
 * waiting. */
enum progress_state { PROGRESS_PROBE, PROGRESS_REPLICATE };

struct inflight {
    raft_index last; /* index of the last entry of one append */
    uint32_t bytes;
};

/* What a voter's newest acknowledgement with a promise gives a leader: the lease as far as it is up
 * to this voter (LEASE-8). Round 0: nothing. */
struct held {
    uint64_t round;
    uint64_t end_us; /* hold clock */
};

/* What this node knows of one other server; as leader all of it, otherwise only the links and
 * votes. */
struct progress {
    raft_node_id id;
    enum raft_server_role role;
    bool link_up;
    enum vote vote;

    enum progress_state state;
    raft_index match_index; /* durable there; never falls within a term */
    raft_index next_index;  /* match_index < next_index <= last_index + 1; may be below the base */
    struct inflight inflight[RAFT_INFLIGHT_MSGS_MAX];
    unsigned inflight_head;
    unsigned n_inflight;
    size_t inflight_bytes;
    bool probe_sent;      /* PROBE: an append is out, or cannot be made */
    bool waits_for_log;   /* what is next is being read: not before raft_log_loaded() */
    bool needs_compacted; /* PROBE: next_index is no longer in the log, and the trace has said so */
    uint64_t append_sent_us;  /* last append */
    uint64_t append_heard_us; /* last answer to one */
    /* After so long without an answer it is sent again; REPLICATE: after an election timeout at
     * least. */
    uint64_t resend_us;
    bool resent; /* since p said something new */

    bool heartbeat_due; /* at the next ready */
    uint64_t acked_round;
    uint64_t last_heard_us;
    uint64_t rtt_round; /* the round being timed; 0: none */
    uint64_t rtt_sent_us;
    uint64_t srtt_us;

    uint32_t note_flags; /* the latest it said to this node; 0: nothing */

    bool understands_asks;
    uint64_t gate_us; /* candidate: what its vote asks for (LEASE-6) */
    struct held held;
    struct drift drift;
    struct stamps stamps;
    /* The newest question of it that is in no round yet; number 0: none. */
    struct raft_ask_id ask;
    uint64_t ask_n_holds;   /* raft_hold() had been called so often when it came */
    raft_index told_commit; /* the highest commit index that was sent to it */
    raft_index waits_for;   /* the index that its last question was answered with */
};

/* One outstanding batch: when it is durable, so is the log up to last_index. Truncation lowers
 * last_index, because what replaces the removed entries belongs to a later batch: that is how a
 * batch number maps to the (index, term) pairs which are still in the log (COMMIT-9). */
struct batch_mark {
    uint64_t batch;
    raft_index last_index;
    uint64_t issued_us;
    size_t bytes;
    size_t queued_bytes; /* outstanding when it was issued, its own included */
};
RING_DEFINE(mark_ring, struct batch_mark);

/* disk.c: what is known of this node's own disk. */
struct disk {
    uint64_t moved_us;               /* when it last said that it had done something; 0: never */
    size_t outstanding_bytes;        /* of the batches that have a mark */
    size_t proposed_bytes;           /* proposed since the last batch was issued */
    size_t window_bytes;             /* beyond so many outstanding bytes nothing is proposed */
    uint64_t syncs[RAFT_DISK_SYNCS]; /* how long the last ones took */
    unsigned n_syncs;
    unsigned next_sync;
    bool handed_over; /* leadership was offered to somebody else since it last moved */
};

/* lease.c: what a leader knows of its own lease. */
struct lease {
    bool handed_over;      /* TIMEOUT_NOW left: none in this term any more (LEASE-10) */
    uint64_t first_round;  /* what was opened before it counts for nothing (LEASE-12) */
    uint64_t suspended_us; /* hold minus now when that was opened */
    uint64_t n_reads;
};

/* early.c: the leader of whom it was said last that nobody listens there. */
struct early {
    raft_node_id leader; /* 0: of nobody */
    uint64_t since_us;   /* when that was believed */
    /* of the campaign that this began; 0: there is none, or it is over, since somebody leads */
    unsigned tries_left;
    uint64_t n_campaigns;
};

/* A question on its way to a leader. */
struct ask {
    uint64_t number; /* 0: none */
    raft_term term;
    raft_node_id leader;
    uint64_t sealed_hold_us; /* when it was sealed: whoever has a ticket of it came before */
    uint64_t sent_us;
};

/* follow.c: the reads of this node, whatever its role, that need an index of a leader. Each ticket
 * is the number of the question that will be asked for it; an answer to any later question is an
 * answer to it as well. */
struct asks {
    uint64_t next;     /* the number of the next question, from 1 */
    uint64_t given;    /* the highest ticket; at most next */
    uint64_t answered; /* all tickets up to it are */
    uint64_t in_round; /* leader: the highest that is in a round of its own; 0: none */
    struct ask out[RAFT_ASKS_MAX];
    raft_term term; /* who was to be asked when that was looked at last */
    raft_node_id leader;
    uint64_t due_us;           /* no question before */
    uint64_t patience_us;      /* of the last one; 0: the one before it was answered */
    uint64_t srtt_us;          /* from question to answer, smoothed; 0: not measured */
    struct raft_answered done; /* to be handed out; ticket 0: nothing */
    uint64_t n_sent;
    uint64_t n_by_ack;
    uint64_t n_by_lease;
    uint64_t n_by_round;
};

struct msg_queue {
    struct raft_msg *list; /* owned */
    unsigned n;
    unsigned size;
};

/* What the last call left, for the rules about change. */
struct seen {
    enum raft_role role;
    raft_term term;
    raft_node_id voted_for;
    raft_node_id term_leader;
    raft_index commit_index;
    raft_index last_applied;
    raft_index last_index;
    raft_index base_index;
    raft_index noop_index;
    uint64_t next_round;
    uint64_t confirmed_round;
    uint64_t last_stored_batch;
    uint64_t now_us;
    uint64_t gate_us;
    uint64_t lease_max_us;
    uint64_t tickets_answered;
};

struct raft {
    struct raft_conf conf;
    uint64_t now_us;  /* of the latest call */
    uint64_t hold_us; /* as told last */
    /* hold minus now in one reading of both: so long the machine was suspended since some time */
    uint64_t suspended_us;
    uint64_t n_holds; /* how often raft_hold() told them */
    struct prng prng;
    struct arena arena; /* what the current ready points at */

    enum raft_role role;
    struct raft_hard_state hard_state;
    raft_node_id leader_id;
    uint64_t leader_heard_us; /* last valid message of leader_id; means nothing while that is 0 */
    /* who was seen to lead current_term, even when leader_id is forgotten */
    raft_node_id term_leader;
    /* Follower and candidates: the timer ran from there, with this much by chance, to there. */
    uint64_t silent_since_us;
    uint64_t election_spread_us;
    uint64_t election_due_us;
    struct early early;

    struct raft_config_at *configs; /* owned; ascending; the last one is in force */
    size_t n_configs;
    size_t configs_size;
    /* The other servers of the configuration in force, in its order and without this node;
     * raft_progress_at() goes from the one to the other. */
    unsigned n_progress;
    struct progress progress[RAFT_SERVERS_MAX];
    unsigned self_slot; /* this node in the configuration in force; its n: not named there */
    bool is_voter;      /* this node, in the configuration in force */

    struct raft_log log;
    raft_index commit_index;
    raft_index last_applied; /* told by raft_applied() */
    uint64_t ahead;          /* what a leader commits beyond it at most */
    /* handed out in committed; last_applied <= last_emitted <= min(commit_index, last_stored) */
    raft_index last_emitted;
    raft_index last_stored;          /* durable here */
    bool held;                       /* nothing is handed out in committed: raft_hold_committed() */
    struct raft_entry_id installing; /* nor while this is: raft_restored(); index 0: none */
    struct raft_entry_id reset;      /* the store is to be told; index 0: it is not */
    uint64_t reset_batch;            /* the last one that told it; 0: none */
    raft_index last_handed;   /* handed to the store; last_stored <= last_handed <= last_index */
    raft_index truncate_from; /* handed entries removed since the last batch; 0: none */
    bool hard_state_dirty;
    bool apply_waits_for_log; /* as in struct progress */
    raft_node_id far_peer;    /* told far_term last, which was too far above ours; 0: nobody */
    raft_term far_term;

    uint64_t last_batch;        /* issued */
    uint64_t last_stored_batch; /* durable */
    struct mark_ring marks;     /* of the outstanding ones, by batch number */
    struct disk disk;
    /* candidacies in a row that ran out of time: votes come later than the timeout allows */
    unsigned n_late_elections;

    bool self_vote_pending;   /* own vote waits for the disk */
    uint64_t self_vote_batch; /* 0: its batch is not issued yet */
    bool self_vote;           /* own (pre-)vote counts */
    bool campaign_transfer;   /* this campaign was ordered by TIMEOUT_NOW */

    enum raft_fitness fitness;
    bool waits_for_room;   /* its state cannot be made again: raft_wait_for_room() */
    struct raft_note note; /* what goes with heartbeats and answers, the core's flags included */

    struct promises promises;
    uint64_t lease_stored_us; /* hard_state.lease_max_us as far as it is durable */
    uint64_t lease_batch;     /* has the value that is not; 0: it is, or is not issued yet */
    struct asks asks;
    struct pairs pairs;

    /* Candidate and leader: as long as now_us is below, nothing is committed here (LEASE-7). */
    uint64_t gate_us;

    /* Leader only. */
    struct lease lease;
    raft_index noop_index;
    uint64_t heartbeat_due_us; /* the next periodic one */
    uint64_t tick_due_us;      /* what is looked after so often, heartbeats or not */
    uint64_t hand_over_us;     /* not fit: when a target is looked for again */
    uint64_t step_down_us;     /* became unfit while it led; UINT64_MAX: did not */
    size_t uncommitted_bytes;  /* of the entries from noop_index on that are not committed */
    raft_node_id transfer_to;
    uint64_t transfer_deadline_us;
    bool transfer_sent;

    struct read_queue reads; /* empty unless leader, but for what is to be handed out */
    struct rounds rounds;

    struct msg_queue msgs;
    struct msg_queue msgs_after;
    struct msg_queue out; /* what the current ready handed out */
    struct msg_queue out_after;

    enum raft_loss loss;
    raft_term loss_term;
    raft_index loss_commit_index;
    bool transfer_over;

    struct seen seen;
};

/* raft.c */
void raft_become(struct raft *r, enum raft_role role, const char *why);
/* To follower: in `term` (>= current), following leader (0: unknown). loss says why when this node
 * was leading. */
void raft_become_follower(struct raft *r, raft_term term, raft_node_id leader, enum raft_loss loss,
                          const char *why);
void raft_trace(struct raft *r, enum raft_trace_event event, raft_node_id peer, raft_index index,
                const char *text);
void raft_send(struct raft *r, struct msg_queue *q, struct raft_msg *m); /* fills from; copies */
void raft_reset_election_timer(struct raft *r);
/* The timer goes on, with the patience that this node has now. */
void raft_time_election(struct raft *r);
/* array_reserve() for one more where nobody can be refused: stops the process when memory is
 * out. */
void *raft_grow(struct mem mem, void *list, size_t *size, size_t n, size_t width);
uint64_t raft_now(struct raft *r, uint64_t now_us);
/* Leadership is offered to `to`; none may be under way. */
void raft_begin_transfer(struct raft *r, struct progress *to);

/* disk.c */
/* A batch goes to the store; the log up to its end is handed over with it. */
void raft_disk_issue(struct raft *r, uint64_t batch, size_t bytes);
/* The disk said that it did something; before the marks of what it did are taken away. */
void raft_disk_moved(struct raft *r);
/* This batch, whose mark is gone, is durable. */
void raft_disk_done(struct raft *r, const struct batch_mark *m);
/* How long nothing has come back although something is outstanding; 0: nothing is. */
uint64_t raft_disk_silent_us(const struct raft *r);
/* Longer than the disk takes by all that is known of it (READ-51). */
bool raft_disk_is_stalled(const struct raft *r);
/* What one sync takes here; 0: not known. */
uint64_t raft_disk_sync_us(const struct raft *r);
/* How long a candidate waits for its votes, and a leader for its disk: the election timeout, or
 * what the disk needs (VOTE-9). */
uint64_t raft_disk_patience_us(const struct raft *r);
/* A proposal may be added to what waits for the disk. */
bool raft_disk_takes_more(const struct raft *r);

/* early.c */
/* This node campaigns because nobody listens where the leader was. */
bool raft_early_is_on(const struct raft *r);
/* A campaign came to nothing: if it was an early one the next is due soon (FAILOVER-3). */
void raft_early_again(struct raft *r);
/* Another one asks for pre-votes, and has this node's: it is let go ahead. */
void raft_early_give_way(struct raft *r);
/* A leader is heard, or this node is one. */
void raft_early_over(struct raft *r);
/* Nobody listens there, as far as is known: it will not vote. */
bool raft_early_is_gone(const struct raft *r, const struct progress *p);

/* members.c */
struct progress *raft_progress(struct raft *r, raft_node_id id); /* NULL: no such server */
/* What is known of servers[slot] of the configuration in force; NULL: it is this node itself. */
const struct progress *raft_progress_at(const struct raft *r, unsigned slot);
/* Takes over a CONFIG entry just appended, or falls back after a truncation. Either way the commit
 * index and the read rounds are looked at again with the quorum that counts now (READ-24). */
void raft_config_push(struct raft *r, raft_index index, const struct raft_configuration *c);
void raft_config_truncate(struct raft *r, raft_index from);
/* The last entry that p may be sent. */
raft_index raft_send_bound(const struct raft *r, const struct progress *p);
/* Those before the one in force at `index` are not needed any more. */
void raft_config_compact(struct raft *r, raft_index index);
/* The only one that is left. */
void raft_config_reset(struct raft *r, const struct raft_config_at *c);

/* election.c */
bool raft_may_campaign(const struct raft *r);
void raft_campaign(struct raft *r, bool pre, bool transfer);
void raft_campaign_resend(struct raft *r, struct progress *p);
void raft_count_votes(struct raft *r);
void raft_handle_vote(struct raft *r, const struct raft_msg *m);
void raft_handle_vote_resp(struct raft *r, const struct raft_msg *m);
void raft_handle_timeout_now(struct raft *r, const struct raft_msg *m);
/* This node heard a leader within one election timeout, or leads and hears a quorum (4.2.3). */
bool raft_hears_leader(const struct raft *r);
unsigned raft_n_voters_heard(const struct raft *r);
bool raft_hears(const struct raft *r, const struct progress *p);
void raft_leader_tick(struct raft *r);
uint64_t raft_leader_due_us(const struct raft *r); /* when it wants the next one */

/* fitness.c */
/* Election timeouts that pass before this node campaigns of itself. */
unsigned raft_patience(const struct raft *r);
bool raft_leads_in_vain(const struct raft *r); /* would, if it were elected */
enum raft_fitness raft_fitness_of(const struct progress *p);
/* A leader that is not fit hands over when a better one is there. */
void raft_look_for_better(struct raft *r);
/* The same with the clock: or it gives up. False: it leads no more. */
bool raft_fitness_tick(struct raft *r);

/* replicate.c */
/* Of the leader's own term; a CONFIG is in force from here on. Who may append one, and when, is
 * decided before. */
void raft_append_own(struct raft *r, enum raft_entry_type type, const void *data, size_t len);
int raft_handle_append(struct raft *r, const struct raft_msg *m);
int raft_handle_append_resp(struct raft *r, struct progress *p, const struct raft_msg *m);
void raft_commit_to(struct raft *r, raft_index index);
void raft_maybe_commit(struct raft *r);
/* All that a quorum holds, as long as this node may still say so. */
void raft_commit_held_back(struct raft *r);
void raft_progress_reset(struct raft *r, struct progress *p);
void raft_progress_probe(struct raft *r, struct progress *p);
void raft_progress_revive(struct raft *r, struct progress *p);
void raft_maybe_resend(struct raft *r, struct progress *p);
void raft_maybe_timeout_now(struct raft *r, struct progress *p);
/* Queues what p may be sent now; entries come from the cache or the log reader. 0 or the reader's
 * error. */
int raft_fill_appends(struct raft *r, struct progress *p);

/* snapshot.c */
/* The state machine holds everything up to `applied`, and what follows is handed out from there. */
void raft_put_back(struct raft *r, raft_index applied);
/* Entries that are applied are kept in memory within a bound (CORE-4); after last_applied rose. */
void raft_bound_cache(struct raft *r);

/* invariants.c */
/* At the end of every call that changes something: the rules that can be looked at in constant
 * time, and those about the change since the last such call. */
void raft_check_rest(struct raft *r);
void raft_seen_take(struct raft *r);
/* Those of the log alone: the end of raft_propose(), which only appends. A write would pay for the
 * others what it pays for itself; they wait for the ready that follows. */
void raft_check_log(const struct raft *r);
/* Those of the reads alone: the end of raft_read(), which changes nothing else and is called
 * most. */
void raft_check_reads(const struct raft *r);

/* gate.c: what a new leader waits for before it commits. */
/* The own term rises for a campaign: what this node itself has promised (LEASE-6). */
void raft_gate_begin(struct raft *r, bool transfer);
/* A voter's part: left_us of its vote, of which nobody can say too much. */
void raft_gate_vote(struct raft *r, struct progress *p, uint64_t left_us);
/* It is elected: the longest of those that made the quorum. */
void raft_gate_close(struct raft *r);
/* Nothing may be committed yet (LEASE-7). */
bool raft_is_gated(const struct raft *r);
/* When that ends; UINT64_MAX: nothing is waited for. */
uint64_t raft_gate_due_us(const struct raft *r);
void raft_gate_tick(struct raft *r);

/* lease.c: promises as they are given, and the lease of a leader. */
/* What this node says with the answer to such a heartbeat, after it has done it (LEASE-1). */
void raft_promise(struct raft *r, const struct raft_msg *m, struct raft_beat *ret_beat);
/* For how long a vote for m->from asks it to wait (LEASE-5). */
uint64_t raft_promise_left_us(const struct raft *r, const struct raft_msg *m);
/* The batch goes to the disk with the hard state; up to this one they are there. */
void raft_promise_issue(struct raft *r, uint64_t batch);
void raft_promise_stored(struct raft *r, uint64_t batch);
void raft_lease_begin_term(struct raft *r);
/* TIMEOUT_NOW is about to leave. */
void raft_lease_hand_over(struct raft *r);
/* A round is about to be opened: the length of the lease that its heartbeats carry. */
uint64_t raft_lease_open(struct raft *r);
/* What heartbeats with this round carry. */
uint64_t raft_lease_of_round(const struct raft *r, uint64_t round);
void raft_lease_heard(struct raft *r, struct progress *p, const struct raft_msg *m);
/* By the hold clock as told last. */
bool raft_lease_is_valid(const struct raft *r);
void raft_lease_status(const struct raft *r, struct raft_status *s);

/* follow.c: questions, on both ends. */
void raft_handle_ask(struct raft *r, const struct raft_msg *m);
void raft_handle_answer(struct raft *r, const struct raft_msg *m);
/* Each ready: what is due is asked. */
void raft_fill_asks(struct raft *r);
/* When something will be; UINT64_MAX: nothing. */
uint64_t raft_ask_due_us(const struct raft *r);
/* Leader: those of others that wait, by a valid lease. */
void raft_asks_by_lease(struct raft *r);
/* Leader: there are tickets that are in no round yet. */
bool raft_own_ask_waits(const struct raft *r);
/* A round is being opened: they join it, and the newest question of each that asks is sealed. */
void raft_asks_join(struct raft *r, uint64_t round);
/* The round that it joined is confirmed. */
void raft_ask_confirmed(struct raft *r, const struct read *read);
/* p has its index, and may not know that it is committed: it is told at once (READ-31). */
void raft_tell_commit(const struct raft *r, struct progress *p);
/* Those in rounds are lost with the leadership. */
void raft_asks_lost(struct raft *r);

/* stamps.c: what is proved about times of hold clocks. */
/* A follower's answer came, and has been counted for its round. */
void raft_stamp_heard(struct raft *r, struct progress *p, const struct raft_beat *beat);
/* Rounds up to confirmed are. */
void raft_stamps_confirmed(struct raft *r);
/* What a heartbeat to p carries of it. */
void raft_stamp_tell(struct raft *r, struct progress *p, struct raft_beat *beat);
/* A heartbeat of the leader came. */
void raft_stamp_told(struct raft *r, const struct raft_beat *beat);
/* Everything that anybody had committed when the own hold clock showed hold_us is at or below
 * index. */
void raft_pair_add(struct raft *r, uint64_t hold_us, raft_index index);
/* What the own hold clock showed until now says nothing of what it shows from now on. */
void raft_pairs_forget(struct raft *r);
/* An entry of this leader's term is committed: its commit index covers all that was acknowledged
 * before it (READ-14). Also where it is unfit and serves nothing. */
bool raft_covers_all(const struct raft *r);

/* read.c */
void raft_reads_fail(struct raft *r);
void raft_maybe_open_round(struct raft *r);
/* When the next round may open; UINT64_MAX: no read waits for one. */
uint64_t raft_round_due_us(const struct raft *r);
void raft_maybe_confirm(struct raft *r);
void raft_floor_reads_release(struct raft *r);

#endif
