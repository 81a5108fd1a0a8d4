/* Requests and where they wait.
 *
 *   submit ─► (WAITING) ─► ASKED ─► CONFIRMED ─► served                  (ReadIndex)
 *                  ├─────► LOOK ─► (ASKED) ─► CONFIRMED ─► served        (lease read)
 *                  ├─────► PROPOSED ─► EXACT ──► served                  (read of the log)
 *                  ├─────► PROPOSED ───────────► written                 (write)
 *   submit ─► (FLOOR) ─► TICKET ─► CONFIRMED ──► served                  (follower read)
 *                ├─────► AGE ──────────────────► served                  (bounded read)
 *                ├─────► LOCAL ────────────────► served                  (local read)
 *                ├─────► AWAITED ──────────────► served                  (session read)
 *
 * It waits only while this node cannot serve; most begin at once. A read that any node may answer
 * waits only for what its own session wrote before it.
 *
 * A request is in the queue of its stage and in no other, and leaves it by exactly one callback
 * (READ-56). */
#include <stdlib.h>

#include "base/assert.h"
#include "raft/quorum.h"
#include "replica/anchor_int.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static_assert(REPLICA_BEHIND + 1 == REPLICA_STAGES, "one queue for each stage");

void replica_unlink(struct replica *r, struct replica_request *q)
{
    if (q->stage == REPLICA_IDLE)
        return;
    if (q->stage == REPLICA_ASKED || q->stage == REPLICA_AGE)
        anchor_provider_of(q->kind)->forget(r, q);
    if (q->stage == REPLICA_AWAITED)
        awaited_forget(r, q);
    replica_move(r, q, REPLICA_IDLE);
    timers_remove(&r->timers, &q->timer);
}

/* ---- ends ---- */

/* raft_quorum_has. While nobody leads nodes speak only when they campaign, and with slow disks that
 * is seldom: two of those times without a word, and a node is silent. But who was silent when this
 * node led, and so asked it with each heartbeat, has nothing to wait for. */
static bool is_heard(const void *ctx, unsigned slot)
{
    const struct replica *r = ctx;
    raft_node_id id = raft_get_configuration(r->raft)->servers[slot].id;
    uint64_t within_us = 2 * raft_get_patience_us(r->raft);

    if (raft_get_role(r->raft) == RAFT_LEADER)
        within_us = 0;
    else if (r->now_us - r->led_us < within_us)
        within_us = r->now_us - r->led_us;
    return replica_hears(r, id, r->now_us) || replica_heard_within(r, id, within_us);
}

static bool disk_is_slow(const struct replica *r)
{
    return raft_get_sync_us(r->raft) > r->election_timeout_us / 100 * DISK_SLOW_PERCENT;
}

/* What it waited for, and what is wrong with that, as far as it can be told from here. "Start more
 * nodes" is bad advice when all are there and one of their disks is slow (CLIENT-30). */
static enum replica_cause cause_of(const struct replica *r, enum replica_stage stage,
                                   const struct replica_failure *f)
{
    bool on_word = stage == REPLICA_TICKET || stage == REPLICA_AGE;
    bool on_disks = stage == REPLICA_PROPOSED || stage == REPLICA_LOST || stage == REPLICA_FLOOR;
    bool on_leader = stage == REPLICA_IDLE || stage == REPLICA_WAITING;
    bool has_all = stage == REPLICA_CONFIRMED || stage == REPLICA_EXACT || stage == REPLICA_LOCAL;

    /* That alone is enough, whatever else is slow (LEASE-7). */
    if (f->gate_left_us > 0 && f->reached >= f->needed && !has_all)
        return REPLICA_CAUSE_GATE;
    if ((on_disks || on_leader) && disk_is_slow(r))
        return REPLICA_CAUSE_OWN_DISK;
    /* A follower hears its leader and nobody else: of the others it cannot tell (CLIENT-30). */
    if (!on_leader && f->leader_id != 0 && f->role != RAFT_LEADER)
        return REPLICA_CAUSE_NONE;
    if (f->reached < f->needed)
        return REPLICA_CAUSE_PEERS_SILENT;
    if (on_disks)
        return REPLICA_CAUSE_PEERS_DISKS;
    if ((on_leader || on_word) && f->leader_id == 0)
        return REPLICA_CAUSE_NO_LEADER;
    return REPLICA_CAUSE_NONE;
}

/* What a failure says of this node, whatever failed. */
static void look_around(const struct replica *r, struct replica_failure *f)
{
    const struct raft_configuration *c = raft_get_configuration(r->raft);

    f->term = raft_get_term(r->raft);
    f->leader_id = raft_get_leader(r->raft);
    f->role = raft_get_role(r->raft);
    f->reached = raft_quorum_count(c, is_heard, r);
    f->needed = raft_quorum_size(c);
    f->gate_left_us = raft_gate_left_us(r->raft);
}

/* Where the leg ends in which q is; what a failed request did not come to stays 0. */
static void fill_asked(const struct replica *r, struct replica_request *q)
{
    struct replica_times *t = &q->times;

    if (t->begun_us == 0 && q->stage == REPLICA_ASKED)
        t->begun_us = trail_round_since(&r->trail, t->submitted_us);
    else if (t->begun_us == 0 && q->stage == REPLICA_TICKET)
        t->begun_us = trail_ask_since(&r->trail, t->submitted_us);
}

/* Its entry, which has a mark; a bounded read has its right as soon as the leader has answered, or
 * at once. */
static void fill_confirmed(const struct replica *r, struct replica_request *q)
{
    struct replica_times *t = &q->times;
    const struct trail_mark *mark = NULL;

    if (q->entry.index != 0)
        mark = trail_find(&r->trail.commits, q->entry.index);
    if (mark != NULL)
        t->confirmed_us = mark->us;
    else if (t->confirmed_us == 0 && q->kind == REPLICA_READ_BOUNDED && q->anchor.index != 0)
        t->confirmed_us = r->trail.answered_us > t->begun_us ? r->trail.answered_us : t->begun_us;
}

static void no_earlier(uint64_t *us, uint64_t than_us)
{
    if (*us < than_us)
        *us = than_us;
}

/* Marks are of whole turns: what seems to have come before what it follows came with it. */
static void put_in_order(struct replica_times *t, bool is_done)
{
    if (is_done || t->begun_us != 0)
        no_earlier(&t->begun_us, t->submitted_us);
    if (is_done || t->confirmed_us != 0)
        no_earlier(&t->confirmed_us, t->begun_us);
    if (is_done || t->applied_us != 0)
        no_earlier(&t->applied_us, t->confirmed_us);
}

void replica_fill_times(const struct replica *r, struct replica_request *q)
{
    const struct trail_mark *mark = NULL;
    raft_index index = q->anchor.index > q->min_index ? q->anchor.index : q->min_index;
    bool is_done;

    if (q->entry.index != 0)
        index = q->entry.index;
    is_done = index <= r->last_applied && (index != 0 || q->stage == REPLICA_LOCAL);

    fill_asked(r, q);
    fill_confirmed(r, q);
    /* Reached before it was confirmed, as for most reads: then it has not waited for that. */
    if (index != 0 && r->trail.applied_us > q->times.confirmed_us)
        mark = trail_find(&r->trail.applies, index);
    if (mark != NULL && q->times.confirmed_us != 0)
        q->times.applied_us = mark->us;
    put_in_order(&q->times, is_done);
}

static void finish_failed(struct replica *r, struct replica_request *q, struct replica_failure *f)
{
    bool in_log = q->stage == REPLICA_PROPOSED || q->stage == REPLICA_LOST;

    look_around(r, f);
    /* Definite is only what certainly did not happen and never will (READ-57). A log read that
     * fails changed nothing: like every read it is definite. */
    f->after_append = in_log && q->kind == REPLICA_WRITE;
    if (q->kind == REPLICA_WRITE)
        r->stats.n_writes_failed++;
    else
        r->stats.n_reads_failed++;
    replica_fill_times(r, q);
    replica_unlink(r, q);
    rid_assert(list_empty(&q->timer));
    q->failed(q, f);
}

/* Of a leader that said what is committed, or as far as this node has heard of it. */
static uint64_t behind_of(const struct replica *r, const struct replica_request *q)
{
    const raft_index index =
        q->stage == REPLICA_BEHIND ? q->anchor.index : raft_get_commit_index(r->raft);

    return index > r->last_applied ? index - r->last_applied : 0;
}

void replica_fail(struct replica *r, struct replica_request *q, enum wire_error error,
                  const char *stage)
{
    struct replica_failure f = {.error = error, .stage = stage};

    rid_assert(error != WIRE_ERROR_NONE);
    if (error == WIRE_ERROR_BUSY) {
        size_t disk_limit = raft_get_disk_limit(r->raft);

        f.limit = disk_limit > 0 && q->kind != REPLICA_READ ? disk_limit : RAFT_READS_PENDING_MAX;
        f.cause = f.limit == disk_limit ? REPLICA_CAUSE_OWN_DISK : REPLICA_CAUSE_NONE;
    }
    if (error == WIRE_ERROR_OVERLOADED) {
        f.limit = FOLLOWER_BEHIND_ENTRIES_MAX;
        f.behind = behind_of(r, q);
    }
    if (error == WIRE_ERROR_ROLE_CHANGED)
        f.old_term = raft_get_term(r->raft);
    if (error == WIRE_ERROR_NO_SPACE)
        f.space = r->refusal.space;
    if (error == WIRE_ERROR_NOT_SUPPORTED)
        f.too_old = r->refusal.behind;
    finish_failed(r, q, &f);
}

/* The right is gone at once, whenever it is told: nothing takes a request out of LOST again. */
static void tell_lost(struct replica *r)
{
    struct replica_failure f = r->lost;

    finish_failed(r, replica_first(r, REPLICA_LOST), &f);
}

/* From the front: a callback may cancel any other of them. */
void replica_tell_lost(struct replica *r)
{
    if (replica_n(r, REPLICA_LOST) + replica_n(r, REPLICA_BEHIND) == 0)
        return;
    replica_share(r, &r->answering);
    do {
        if (replica_n(r, REPLICA_LOST) > 0)
            tell_lost(r);
        if (replica_n(r, REPLICA_BEHIND) > 0)
            replica_fail(r, replica_first(r, REPLICA_BEHIND), WIRE_ERROR_OVERLOADED, NULL);
    } while (replica_n(r, REPLICA_LOST) + replica_n(r, REPLICA_BEHIND) > 0 &&
             !replica_spent(r, &r->answering));
}

/* Those of a loss before this one are told first, all of them: they have another reason. */
void replica_note_loss(struct replica *r, const struct raft_ready *ready)
{
    if (ready->loss == RAFT_LOSS_NONE && ready->n_reads_failed == 0)
        return;
    while (replica_n(r, REPLICA_LOST) > 0)
        tell_lost(r);
    r->lost = (struct replica_failure){
        .error = ready->loss == RAFT_LOSS_TERM ? WIRE_ERROR_TERM_CHANGED : WIRE_ERROR_ROLE_CHANGED,
        .old_term = ready->loss != RAFT_LOSS_NONE ? ready->loss_term : raft_get_term(r->raft)};
}

void replica_fail_stage(struct replica *r, enum replica_stage stage)
{
    while (replica_n(r, stage) > 0)
        replica_fail(r, replica_first(r, stage), WIRE_ERROR_CANCELLED, NULL);
}

void replica_cancel(struct replica *r, struct replica_request *q)
{
    replica_unlink(r, q);
}

/* ---- deadlines ---- */

static uint64_t deadline_of(const struct list *node)
{
    return list_entry_const(node, struct replica_request, timer)->deadline_us;
}

/* What it waited for, as the error says it. */
static const char *stage_name(enum replica_stage stage)
{
    /* clang-format off */
    static const char *const names[REPLICA_STAGES] = {
        [REPLICA_IDLE]      = "leader",
        [REPLICA_WAITING]   = "leader",
        [REPLICA_FLOOR]     = "write",
        [REPLICA_LOOK]      = "round",
        [REPLICA_ASKED]     = "round",
        [REPLICA_TICKET]    = "index",
        [REPLICA_AGE]       = "age",
        [REPLICA_CONFIRMED] = "apply",
        [REPLICA_EXACT]     = "apply",
        [REPLICA_AWAITED]   = "apply",
        [REPLICA_LOCAL]     = "apply",
        [REPLICA_PROPOSED]  = "commit",
        [REPLICA_LOST]      = "commit",
        [REPLICA_BEHIND]    = "apply",
    };
    /* clang-format on */

    rid_assert(stage < REPLICA_STAGES);
    return names[stage];
}

static void deadline_failure(const struct replica *r, enum replica_stage stage, const char *name,
                             struct replica_failure *ret_failure)
{
    *ret_failure = (struct replica_failure){.stage = name};
    look_around(r, ret_failure);
    ret_failure->cause = cause_of(r, stage, ret_failure);
    ret_failure->error =
        ret_failure->cause == REPLICA_CAUSE_PEERS_SILENT ? WIRE_ERROR_NETWORK : WIRE_ERROR_TIMEOUT;
    ret_failure->sync_us = raft_get_sync_us(r->raft);
    ret_failure->election_us = r->election_timeout_us;
    ret_failure->no_leader_us = r->now_us - r->leader_seen_us;
}

/* Whoever asks may be ahead of the last turn: what was heard then is not heard for ever. */
void replica_deadline_failure(struct replica *r, const char *stage, uint64_t now_us,
                              struct replica_failure *ret_failure)
{
    replica_now(r, now_us);
    /* What was sent to a leader that is known waits for it, and for no disk of this node. */
    deadline_failure(r, raft_get_leader(r->raft) != 0 ? REPLICA_ASKED : REPLICA_WAITING, stage,
                     ret_failure);
}

/* Nobody was known to lead for as long as it waited: then that is what it is told, unless no quorum
 * was heard, for that is why (FOLLOW-2). A state that is young enough is a matter of time, whoever
 * is heard. */
static void expired_failure(const struct replica *r, const struct replica_request *q,
                            struct replica_failure *ret_failure)
{
    deadline_failure(r, q->stage, stage_name(q->stage), ret_failure);
    if (q->stage == REPLICA_TICKET && ret_failure->error == WIRE_ERROR_TIMEOUT &&
        ret_failure->leader_id == 0 && r->leader_seen_us < q->times.submitted_us)
        ret_failure->error = WIRE_ERROR_NOT_LEADER;
    else if (q->stage == REPLICA_AGE)
        ret_failure->error = WIRE_ERROR_TIMEOUT;
}

/* The next tick of the wheel finds them again. */
static void put_back(struct replica *r, struct list *due)
{
    while (!list_empty(due)) {
        struct replica_request *q = list_entry(due->next, struct replica_request, timer);

        timers_remove(&r->timers, &q->timer);
        timers_add(&r->timers, &q->timer, q->deadline_us);
    }
}

/* At its deadline a request ends with an error and never with a value (READ-53). */
void replica_expire(struct replica *r, uint64_t now_us)
{
    struct list due = LIST_INIT(due);

    timers_expired(&r->timers, now_us, deadline_of, &due);
    if (!list_empty(&due))
        replica_share(r, &r->answering);
    while (!list_empty(&due)) {
        struct replica_request *q = list_entry(due.next, struct replica_request, timer);
        struct replica_failure f;

        rid_assert(q->stage != REPLICA_IDLE);
        rid_assert(q->deadline_us <= r->now_us);
        if (q->stage == REPLICA_LOST)
            f = r->lost; /* that came first */
        else
            expired_failure(r, q, &f);
        finish_failed(r, q, &f);
        if (replica_spent(r, &r->answering))
            break;
    }
    put_back(r, &due);
}

/* ---- beginnings ---- */

/* False: it was refused, and is gone. */
static bool start(struct replica *r, struct replica_request *q)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);
    enum wire_error error = p != NULL ? p->ask(r, q) : proposals_add_write(r, q);

    if (error != WIRE_ERROR_NONE)
        replica_fail(r, q, error, NULL);
    return error == WIRE_ERROR_NONE;
}

static void set_timer(struct replica *r, struct replica_request *q)
{
    if (q->deadline_us != UINT64_MAX)
        timers_add(&r->timers, &q->timer, q->deadline_us);
}

/* A local read is served in this turn, unless the state is not believed: then it waits like the
 * others. */
static void start_at_once(struct replica *r, struct replica_request *q)
{
    rid_assert(q->stage == REPLICA_IDLE);
    if (start(r, q) && (q->stage != REPLICA_LOCAL || !replica_state_is_good(r)))
        set_timer(r, q);
}

/* Asked of the core each time: a remembered "I lead" goes on being true on the wrong side of a
 * partition (READ-4), and the core also hands over by itself (FIT-2). */
bool replica_can_serve(const struct replica *r)
{
    return raft_can_propose(r->raft) && !raft_is_transferring(r->raft);
}

/* Refused with the leader's name; while nobody leads the request waits instead (READ-33). */
static bool other_leads(const struct replica *r)
{
    return raft_get_role(r->raft) != RAFT_LEADER && raft_get_leader(r->raft) != 0;
}

/* Writes, and the reads whose anchor only a leader has. */
static void submit_to_leader(struct replica *r, struct replica_request *q)
{
    unsigned n = replica_n(r, REPLICA_WAITING);

    rid_assert(q->stage == REPLICA_IDLE);
    /* Behind those that wait, so that requests begin in the order in which they came. */
    if (n == 0 && replica_can_serve(r)) {
        start_at_once(r, q);
        return;
    }
    if (n == 0 && other_leads(r)) {
        replica_fail(r, q, WIRE_ERROR_NOT_LEADER, NULL);
        return;
    }
    if (n >= REQUESTS_MAX) {
        replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
        return;
    }
    replica_move(r, q, REPLICA_WAITING);
    set_timer(r, q);
}

/* ---- reads of any node, and what their sessions wrote here ---- */

/* Up to where what the session wrote may still come; what is applied is nothing to wait for. While
 * this node leads in the term of the last write that is all; later only what is known to be
 * committed is certain to come, and the rest has failed. Of what was written before the last some
 * may be committed though that is not (READ-58). */
static raft_index floor_of(const struct replica *r, const struct replica_request *q)
{
    const struct raft_entry_id *w = q->session != NULL ? &q->session->last_write : NULL;
    const raft_index committed = raft_get_commit_index(r->raft);

    if (w == NULL)
        return 0;
    if (w->term == raft_get_term(r->raft) && raft_get_role(r->raft) == RAFT_LEADER)
        return w->index;
    return w->index < committed ? w->index : committed;
}

/* One that was proposed later than the own write is as good, and keeps the queue in order. */
static void wait_for_write(struct replica *r, struct replica_request *q, raft_index floor)
{
    q->floor = (struct raft_entry_id){0};
    if (floor == q->session->last_write.index)
        q->floor = q->session->last_write;
    if (replica_n(r, REPLICA_FLOOR) == 0 || r->last_floor < floor)
        r->last_floor = floor;
    q->floor_index = r->last_floor;
    replica_move(r, q, REPLICA_FLOOR);
}

/* From WAITING, where it has its timer, or from the beginning. */
static void start_here(struct replica *r, struct replica_request *q)
{
    const raft_index floor = floor_of(r, q);
    bool is_new = q->stage == REPLICA_IDLE;

    if (floor <= r->last_applied) {
        if (is_new)
            start_at_once(r, q);
        else
            start(r, q);
        return;
    }
    wait_for_write(r, q, floor);
    if (is_new)
        set_timer(r, q);
}

/* A write of the session that waits for a leader comes first: what becomes of it is not known. */
static void submit_here(struct replica *r, struct replica_request *q)
{
    if (replica_n(r, REPLICA_LOCAL) + replica_n(r, REPLICA_TICKET) + replica_n(r, REPLICA_AGE) +
            replica_n(r, REPLICA_FLOOR) >=
        REQUESTS_MAX) { /* local ones wait while the state is rebuilt */
        replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
    } else if (q->session != NULL && q->session->n_waiting > 0) {
        replica_move(r, q, REPLICA_WAITING);
        set_timer(r, q);
    } else {
        start_here(r, q);
    }
}

/* What was lost will not come, and what was committed will: at the latest with that. */
void replica_lose_floors(struct replica *r, const struct raft_ready *ready)
{
    if (ready->loss == RAFT_LOSS_NONE)
        return;
    list_for_each(it, &r->queues[REPLICA_FLOOR].list)
    {
        struct replica_request *q = list_entry(it, struct replica_request, link);

        if (q->floor.term == ready->loss_term && q->floor.index > ready->loss_commit_index)
            q->floor = (struct raft_entry_id){0};
        if (q->floor_index > ready->loss_commit_index)
            q->floor_index = ready->loss_commit_index;
    }
    if (r->last_floor > ready->loss_commit_index)
        r->last_floor = ready->loss_commit_index;
}

void replica_drain_floors(struct replica *r)
{
    struct replica_request *q = replica_first(r, REPLICA_FLOOR);

    if (q == NULL || q->floor_index > r->last_applied)
        return;
    replica_share(r, &r->answering);
    do {
        start(r, q);
        q = replica_first(r, REPLICA_FLOOR);
    } while (q != NULL && q->floor_index <= r->last_applied && !replica_spent(r, &r->answering));
}

void replica_submit(struct replica *r, struct replica_request *q, uint64_t now_us)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);

    rid_assert(q->failed != NULL);
    rid_assert(p != NULL ? q->served != NULL : q->written != NULL);
    replica_now(r, now_us);
    q->stage = REPLICA_IDLE;
    q->times = (struct replica_times){.submitted_us = r->now_us};
    q->entry = (struct raft_entry_id){0};
    q->anchor.index = 0;
    list_init(&q->link);
    list_init(&q->timer);
    if (r->quiesced || r->dead) {
        replica_fail(r, q, WIRE_ERROR_CANCELLED, NULL);
        return;
    }
    if (p == NULL || p->by_leader)
        submit_to_leader(r, q);
    else
        submit_here(r, q);
}

static bool by_leader(const struct replica_request *q)
{
    const struct anchor_provider *p = anchor_provider_of(q->kind);

    return p == NULL || p->by_leader;
}

/* While nobody is known to lead they wait until their deadline; they are neither answered from old
 * state nor swallowed (READ-33). */
void replica_drain_waiting(struct replica *r)
{
    struct replica_request *q = replica_first(r, REPLICA_WAITING);

    if (q != NULL)
        replica_share(r, &r->answering);
    for (; q != NULL; q = replica_first(r, REPLICA_WAITING)) {
        slice_charge(&r->answering, q->kind == REPLICA_WRITE ? q->command_len : 0);
        if (!replica_can_serve(r) && !other_leads(r))
            break;
        if (!by_leader(q))
            start_here(r, q); /* its write was before it, and has begun, or failed */
        else if (replica_can_serve(r))
            start(r, q);
        else
            replica_fail(r, q, WIRE_ERROR_NOT_LEADER, NULL);
        if (replica_spent(r, &r->answering))
            break;
    }
}

void replica_quiesce(struct replica *r)
{
    r->quiesced = true;
    replica_fail_stage(r, REPLICA_WAITING);
    replica_fail_stage(r, REPLICA_AWAITED);
    replica_fail_stage(r, REPLICA_LOCAL);
    if (raft_get_leader(r->raft) == 0) { /* they wait for one, too */
        replica_fail_stage(r, REPLICA_TICKET);
        replica_fail_stage(r, REPLICA_AGE);
    }
    rid_assert(replica_n(r, REPLICA_WAITING) == 0);
}

bool replica_idle(const struct replica *r)
{
    for (unsigned i = 0; i < REPLICA_STAGES; i++)
        if (r->queues[i].n > 0)
            return false;
    return true;
}
