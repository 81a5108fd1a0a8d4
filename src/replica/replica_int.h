/* The inside of the replica, shared by its files. */
#ifndef RIDD_REPLICA_REPLICA_INT_H
#define RIDD_REPLICA_REPLICA_INT_H

#include "base/assert.h"
#include "base/ring.h"
#include "base/slice.h"
#include "replica/replica.h"
#include "replica/timers.h"

/* A message that waits for the disk; it carries no entries. */
struct held_msg {
    uint64_t after_batch;
    uint64_t since_us;
    uint64_t disk_busy_us; /* when it was held */
    struct raft_msg msg;
};
RING_DEFINE(held_ring, struct held_msg);

/* Where a read in the core finds its way back; the generation keeps a late answer from reaching the
 * next tenant. */
struct read_slot {
    struct replica_request *request; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* SLOT_NONE: the last one */
};
RING_DEFINE(slot_ring, struct read_slot);
#define SLOT_NONE UINT32_MAX

/* One stage of waiting; the count stands beside the list so that the two can be held against each
 * other. */
struct request_queue {
    struct list list; /* struct replica_request, by link */
    unsigned n;
};

/* rebuild.c. NOT: the state is believed. WANTED: it is not, and is still there. */
enum rebuild { REBUILD_NOT, REBUILD_WANTED, REBUILDING };

struct replica {
    struct replica_ops ops;
    struct raft *raft; /* owned */
    raft_node_id id;
    uint16_t group;
    struct timers timers;
    bool dead; /* after fatal */

    enum rebuild rebuild;
    bool damaged;            /* found in this turn */
    raft_index rebuilt_at;   /* REBUILDING: what must be applied again */
    uint64_t rebuild_due_us; /* not before; a disk that always gives damage is not worn out */
    raft_term unfit_term;    /* WANTED: in which the core was told so last */
    raft_index installing;   /* what the state is to hold then; 0: no snapshot is installed */
    uint64_t install_batch;  /* when this batch is durable; UINT64_MAX: it is not issued yet */
    bool quiesced;
    bool dirty; /* something went into the core since the last ready */
    bool more;  /* the last ready left committed entries behind */
    /* The state had no room for what comes next: entries wait in the core until the next attempt,
     * UINT64_MAX: under way. Ends with the first run that is committed (SPACE-6). */
    bool parked;
    uint64_t park_until_us;
    struct replica_refusal refusal; /* why may_propose said no last */
    struct command_result *results; /* owned; of the run that is being applied */
    bool cut;                       /* the last turn ended with its time, not with its work */
    uint64_t now_us;
    uint64_t held_us; /* what the hold clock showed last */
    uint64_t election_timeout_us;
    uint64_t leader_seen_us; /* when somebody was known to lead last */
    uint64_t led_us;         /* when this node led last; 0: never */
    uint64_t share_us;       /* of a turn, for each of the two below */
    uint64_t entry_ns;       /* what it lately took to apply an entry; 0: not known */
    struct slice applying;   /* of this turn; without a clock until it has begun */
    struct slice answering;

    /* By stage; that of REPLICA_IDLE stays empty. WAITING and LOOK in order of arrival, TICKET by
     * ticket, FLOOR by floor_index, PROPOSED and LOST by index, CONFIRMED and EXACT by anchor.
     * Moved between by replica_move() only. */
    struct request_queue queues[REPLICA_STAGES];
    raft_index last_anchor; /* of CONFIRMED, now or ever: never falls */
    raft_index last_floor;  /* of FLOOR, likewise */
    /* Those in AWAITED, by min_index: a heap, the least in front. As many as the queue has. */
    struct replica_request **awaited; /* owned */
    size_t awaited_size;
    raft_index last_applied;

    struct replica_failure lost; /* why those in LOST fail */

    uint64_t n_looks;  /* at the clock for leases */
    uint64_t answered; /* all tickets up to this one */
    struct heap ages;  /* struct replica_request in AGE, by age */
    /* Something in AGE has no pair that is young enough, not even one that is not applied yet. */
    bool wants_pair;
    uint64_t pair_ticket; /* drawn for that last: while it is not answered no other is */

    struct slot_ring slots; /* never popped: a slot keeps its place */
    uint32_t first_free;    /* SLOT_NONE: none */
    unsigned n_slots_used;  /* as many as reads are in a round */

    struct held_ring held;    /* by batch */
    uint64_t submitted_batch; /* highest that was handed to the log */
    uint64_t stored_batch;    /* highest that is durable; nothing held waits for it any more */

    struct {
        raft_node_id id;
        uint64_t heard_us;
    } heard[RAFT_SERVERS_MAX]; /* last message of any kind */
    unsigned n_heard;

    struct trail trail;
    /* Whose acknowledgement of entries the core has now; 0: nobody's. */
    raft_node_id acked_by;
    uint64_t acked_disk_us;
    uint64_t silent_us; /* who was not heard for so long was silent: two heartbeats, and more */
    struct histogram round_reads;
    uint64_t counted_round; /* the last one in it */

    struct replica_stats stats; /* the n_ of queues are filled in by replica_get_stats() */
};

static inline unsigned replica_n(const struct replica *r, enum replica_stage stage)
{
    return r->queues[stage].n;
}

/* NULL: none. */
static inline struct replica_request *replica_first(const struct replica *r,
                                                    enum replica_stage stage)
{
    const struct list *list = &r->queues[stage].list;

    return list_empty(list) ? NULL : list_entry(list->next, struct replica_request, link);
}

static inline struct replica_request *replica_last(const struct replica *r,
                                                   enum replica_stage stage)
{
    const struct list *list = &r->queues[stage].list;

    rid_assert(list->prev != NULL); /* a ring has no end: NULL below says that it is empty */
    return list_empty(list) ? NULL : list_entry(list->prev, struct replica_request, link);
}

void replica_fatal(struct replica *r, int error, const char *what);
/* Before the first step of work under this share, as often as there is some in a turn. */
void replica_share(struct replica *r, struct slice *share);
/* After each step: stop? Then the next turn goes on. */
bool replica_spent(struct replica *r, struct slice *share);
/* Something valid came from this node within so long of the last input; of itself: always. */
bool replica_heard_within(const struct replica *r, raft_node_id id, uint64_t us);
/* Time never falls, whatever a caller says. */
void replica_now(struct replica *r, uint64_t now_us);
/* Both clocks, read now: the hold clock is returned, the other one is r->now_us. The core learns of
 * what makes them worthless. */
uint64_t replica_look(struct replica *r);
/* The core is told both, as they are now: before raft_step(), raft_link() and raft_ready(). */
void replica_tell_clocks(struct replica *r);

/* ---- requests.c ---- */

/* From the queue of its stage to the end of another. */
static inline void replica_move(struct replica *r, struct replica_request *q, enum replica_stage to)
{
    rid_assert(q->stage < REPLICA_STAGES);
    /* In no other: it is taken out of the one it is in, and an idle one is in none. */
    rid_assert((q->stage == REPLICA_IDLE) == list_empty(&q->link));
    if (q->stage != REPLICA_IDLE) {
        rid_assert(r->queues[q->stage].n > 0);
        r->queues[q->stage].n--;
        list_remove(&q->link);
    }
    if (q->kind == REPLICA_WRITE && q->session != NULL) {
        q->session->n_waiting -= q->stage == REPLICA_WAITING;
        q->session->n_waiting += to == REPLICA_WAITING;
    }
    q->stage = to;
    if (to != REPLICA_IDLE) {
        r->queues[to].n++;
        list_append(&r->queues[to].list, &q->link);
    }
}
/* Takes it out of its queue and its timer; the stage is idle afterwards. */
void replica_unlink(struct replica *r, struct replica_request *q);
void replica_fail(struct replica *r, struct replica_request *q, enum wire_error error,
                  const char *stage);
/* Before what `ready` loses goes to LOST: why. */
void replica_note_loss(struct replica *r, const struct raft_ready *ready);
/* Fails what is in LOST and in BEHIND, as far as there is time. */
void replica_tell_lost(struct replica *r);
/* CANCELLED for everything in this stage. */
void replica_fail_stage(struct replica *r, enum replica_stage stage);
/* Waiting requests: on when this node can serve, failed when another leads. */
void replica_drain_waiting(struct replica *r);
/* Reads of any node behind writes of their sessions: those writes are lost, or applied. */
void replica_lose_floors(struct replica *r, const struct raft_ready *ready);
void replica_drain_floors(struct replica *r);
void replica_expire(struct replica *r, uint64_t now_us);
/* Where a request that ends was on its way, as far as it came. */
void replica_fill_times(const struct replica *r, struct replica_request *q);
/* The same of most reads: what it must show had been applied when it was confirmed. */
static inline void replica_end_times(const struct replica *r, struct replica_request *q)
{
    if (q->stage == REPLICA_CONFIRMED && q->times.confirmed_us >= r->trail.applied_us)
        q->times.applied_us = q->times.confirmed_us;
    else
        replica_fill_times(r, q);
}

/* ---- apply.c ---- */

/* In the turn: what is committed is applied and answered; without room it parks. */
void apply_committed(struct replica *r, const struct raft_ready *ready);
/* Before a ready: is the next attempt due? */
void apply_unpark(struct replica *r);

/* ---- awaited.c ---- */

/* q waits until its min_index is applied here; BUSY: no memory, q is where it was. */
enum wire_error awaited_add(struct replica *r, struct replica_request *q);
/* q, in AWAITED, leaves. */
void awaited_forget(struct replica *r, const struct replica_request *q);
/* The first that need not wait any longer in a state that holds so much; NULL: none. */
struct replica_request *awaited_reached(const struct replica *r, raft_index last_applied);

/* ---- proposals.c ---- */

/* Appends for q, which is then in PROPOSED; or why not: nothing was appended, q is where it was. */
enum wire_error proposals_add(struct replica *r, struct replica_request *q,
                              enum raft_entry_type type, const void *data, size_t len);
enum wire_error proposals_add_write(struct replica *r, struct replica_request *q);
void proposals_lose(struct replica *r, const struct raft_ready *ready);
/* e has been applied, with this result: its write, if it is one of this node, is answered. */
void proposals_applied(struct replica *r, const struct raft_entry *e,
                       const struct command_result *result);

/* ---- rebuild.c ---- */

/* Whether anything may be answered from the state. */
static inline bool replica_state_is_good(const struct replica *r)
{
    return r->rebuild == REBUILD_NOT && !r->damaged && raft_get_fitness(r->raft) != RAFT_UNFIT;
}
/* One of the state's functions returned rc: the end of this node, or of what it holds. In the
 * latter case the caller goes on without what it wanted. */
void replica_state_failed(struct replica *r, int rc, const char *what);
/* As view->get, with the replica as context: it hears of damage before the one who asked. */
int replica_state_get(void *ctx, struct wire_slice key, struct command_value *ret_value);
int replica_state_seek(void *ctx, const struct command_range *range);
int replica_state_next(void *ctx, struct command_item *ret_item);
/* Once in each ready: what is wanted and may be done, and what is done. */
void replica_rebuild_step(struct replica *r);

/* ---- check.c ---- */

/* What must hold after every turn, as far as a few comparisons tell. In every build. */
void replica_check_turn(const struct replica *r);

#endif
