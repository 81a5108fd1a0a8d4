/* Requests and where they wait.
 *
 *   submit ─► WAITING ─► ROUND ─► CONFIRMED ─► served         (read)
 *                └─────► PROPOSED ───────────► written/served (write, log read)
 *
 * A request leaves a queue by exactly one callback. */
#include "replica/replica.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "replica/replica_int.h"

#include "base/banned.h"

static uint64_t deadline_of(const struct list *node)
{
    return list_entry_const(node, struct replica_request, timer)->deadline_us;
}

/* ---- birth and death ---- */

static void trace_hook(void *ctx, const struct raft_trace *t)
{
    struct replica *r = ctx;

    if (r->ops.trace != NULL)
        r->ops.trace(r->ops.ctx, t);
}

int replica_new(const struct replica_conf *conf, const struct replica_ops *ops, uint64_t now_us,
                struct replica **ret)
{
    struct replica *r = calloc(1, sizeof(*r));
    struct raft_conf raft_conf = conf->raft;
    int e;

    if (r == NULL)
        return -ENOMEM;
    r->ops = *ops;
    r->now_us = now_us;
    r->election_timeout_us = conf->raft.election_timeout_us;
    timers_init(&r->timers, now_us);
    list_init(&r->waiting);
    list_init(&r->confirmed);
    list_init(&r->local);
    list_init(&r->proposed);
    r->last_applied = conf->start.last_applied;
    raft_conf.log_reader = ops->log_reader;
    raft_conf.trace = trace_hook;
    raft_conf.trace_ctx = r;
    e = raft_new(&raft_conf, &conf->start, now_us, &r->raft);
    if (e != 0) {
        free(r);
        return e;
    }
    *ret = r;
    return 0;
}

void replica_free(struct replica *r)
{
    if (r == NULL)
        return;
    replica_quiesce(r);
    while (!list_empty(&r->confirmed))
        replica_fail(r, list_entry(r->confirmed.next, struct replica_request, link),
                     WIRE_ERROR_CANCELLED, NULL);
    while (!list_empty(&r->proposed))
        replica_fail(r, list_entry(r->proposed.next, struct replica_request, link),
                     WIRE_ERROR_CANCELLED, NULL);
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->slots[i].request != NULL)
            replica_fail(r, r->slots[i].request, WIRE_ERROR_CANCELLED, NULL);
    raft_free(r->raft);
    free(r->slots);
    free(r->held);
    free(r);
}

void replica_fatal(struct replica *r, int error, const char *what)
{
    if (r->dead)
        return;
    r->dead = true; /* before the hook: no message leaves any more (RELIABILITY 4.8) */
    r->ops.fatal(r->ops.ctx, error, what);
}

/* ---- slots of reads in the core ---- */

static int slot_new(struct replica *r, struct replica_request *q)
{
    uint32_t i = r->first_free;

    if (i == r->n_slots) {
        uint32_t n = r->n_slots > 0 ? r->n_slots * 2 : 256;
        struct read_slot *slots = realloc(r->slots, n * sizeof(*slots));

        if (slots == NULL)
            return -ENOMEM;
        for (uint32_t j = r->n_slots; j < n; j++)
            slots[j] = (struct read_slot){.next_free = j + 1};
        r->slots = slots;
        r->n_slots = n;
    }
    r->first_free = r->slots[i].next_free;
    r->slots[i].request = q;
    q->slot = i;
    return 0;
}

static void slot_free(struct replica *r, uint32_t i)
{
    r->slots[i].request = NULL;
    r->slots[i].generation++;
    r->slots[i].next_free = r->first_free;
    r->first_free = i;
}

static uint64_t slot_ctx(const struct replica *r, uint32_t i)
{
    return (uint64_t)r->slots[i].generation << 32 | i;
}

struct replica_request *replica_slot_take(struct replica *r, uint64_t ctx)
{
    uint32_t i = (uint32_t)ctx;
    struct replica_request *q;

    if (i >= r->n_slots || r->slots[i].generation != (uint32_t)(ctx >> 32))
        return NULL; /* timed out or cancelled since */
    q = r->slots[i].request;
    slot_free(r, i);
    return q;
}

/* ---- ends ---- */

void replica_unlink(struct replica *r, struct replica_request *q)
{
    switch (q->stage) {
    case REPLICA_IDLE:
        return;
    case REPLICA_WAITING:
        r->stats.n_waiting--;
        break;
    case REPLICA_ROUND:
        r->stats.n_in_round--;
        if (q->slot < r->n_slots && r->slots[q->slot].request == q)
            slot_free(r, q->slot);
        break;
    case REPLICA_CONFIRMED:
        r->stats.n_confirmed--;
        break;
    case REPLICA_PROPOSED:
        r->stats.n_proposed--;
        break;
    }
    q->stage = REPLICA_IDLE;
    list_remove(&q->link);
    timers_remove(&r->timers, &q->timer);
}

static unsigned n_reached(const struct replica *r)
{
    unsigned n = 1;

    for (unsigned i = 0; i < r->n_heard; i++)
        n += r->now_us - r->heard[i].heard_us <= r->election_timeout_us;
    return n;
}

static void finish_failed(struct replica *r, struct replica_request *q, struct replica_failure *f)
{
    f->term = raft_get_term(r->raft);
    f->leader_id = raft_get_leader(r->raft);
    f->role = raft_get_role(r->raft);
    f->reached = n_reached(r);
    f->needed = raft_configuration_n_voters(raft_get_configuration(r->raft)) / 2 + 1;
    /* A log read that fails changed nothing: like every read it is definite (PROTOCOL.md 5). */
    f->after_append = q->stage == REPLICA_PROPOSED && q->kind == REPLICA_WRITE;
    if (q->kind == REPLICA_WRITE)
        r->stats.n_writes_failed++;
    else
        r->stats.n_reads_failed++;
    replica_unlink(r, q);
    q->failed(q, f);
}

void replica_fail(struct replica *r, struct replica_request *q, enum wire_error error,
                  const char *stage)
{
    struct replica_failure f = {.error = error, .stage = stage};

    if (error == WIRE_ERROR_BUSY)
        f.limit = RAFT_READS_PENDING_MAX;
    finish_failed(r, q, &f);
}

void replica_fail_loss(struct replica *r, struct replica_request *q, const struct raft_ready *ready)
{
    struct replica_failure f = {.error = ready->loss == RAFT_LOSS_TERM ? WIRE_ERROR_TERM_CHANGED
                                                                       : WIRE_ERROR_ROLE_CHANGED,
                                .old_term = ready->loss_term};

    finish_failed(r, q, &f);
}

void replica_cancel(struct replica *r, struct replica_request *q)
{
    replica_unlink(r, q);
}

static const char *stage_name(const struct replica_request *q)
{
    switch (q->stage) {
    case REPLICA_IDLE:
    case REPLICA_WAITING:
        break;
    case REPLICA_ROUND:
        return "round";
    case REPLICA_CONFIRMED:
        return "apply";
    case REPLICA_PROPOSED:
        return "commit";
    }
    return "leader";
}

void replica_expire(struct replica *r)
{
    struct list due = LIST_INIT(due);
    unsigned needed = raft_configuration_n_voters(raft_get_configuration(r->raft)) / 2 + 1;

    timers_expired(&r->timers, r->now_us, deadline_of, &due);
    while (!list_empty(&due)) {
        struct replica_request *q = list_entry(due.next, struct replica_request, timer);

        replica_fail(r, q, n_reached(r) < needed ? WIRE_ERROR_NETWORK : WIRE_ERROR_TIMEOUT,
                     stage_name(q));
    }
}

/* ---- beginnings ---- */

static void propose(struct replica *r, struct replica_request *q)
{
    enum raft_entry_type type = q->kind == REPLICA_WRITE ? RAFT_ENTRY_COMMAND : RAFT_ENTRY_READ;
    size_t len = q->kind == REPLICA_WRITE ? q->command_len : 0;
    struct raft_entry_id id;
    int e = raft_propose(r->raft, type, len > 0 ? q->command : NULL, len, &id);

    if (e != 0) {
        /* Gate and role were looked at before: what is left is a bound, or memory. Nothing was
         * appended. */
        replica_fail(r, q, e == RAFT_E_TOO_LARGE ? WIRE_ERROR_TOO_LARGE : WIRE_ERROR_BUSY, NULL);
        return;
    }
    q->entry = id;
    r->dirty = true;
    r->stats.n_waiting--;
    list_remove(&q->link);
    q->stage = REPLICA_PROPOSED;
    r->stats.n_proposed++;
    list_append(&r->proposed, &q->link);
    r->stats.n_entries_proposed++;
    r->stats.n_entry_bytes_proposed += len;
    if (q->kind == REPLICA_WRITE) {
        r->stats.n_writes_proposed++;
        if (q->session != NULL)
            q->session->last_write = id;
    }
}

static void start_read(struct replica *r, struct replica_request *q)
{
    raft_index floor = 0;

    /* Only a write of this term can still be on its way; what an earlier term left is below the
     * no-op, or gone. */
    if (q->session != NULL && q->session->last_write.term == raft_get_term(r->raft))
        floor = q->session->last_write.index;
    if (slot_new(r, q) != 0) {
        replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
        return;
    }
    if (raft_read(r->raft, slot_ctx(r, q->slot), floor, r->now_us) != 0) {
        slot_free(r, q->slot);
        replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
        return;
    }
    r->stats.n_waiting--;
    list_remove(&q->link);
    q->stage = REPLICA_ROUND;
    r->dirty = true;
    r->stats.n_in_round++;
}

static void start(struct replica *r, struct replica_request *q)
{
    if (q->kind == REPLICA_READ)
        start_read(r, q);
    else
        propose(r, q);
}

static bool can_start(const struct replica *r)
{
    return raft_can_serve(r->raft) && !r->transferring;
}

static bool other_leads(const struct replica *r)
{
    return raft_get_role(r->raft) != RAFT_LEADER && raft_get_leader(r->raft) != 0;
}

void replica_submit(struct replica *r, struct replica_request *q, uint64_t now_us)
{
    bool at_once;

    if (now_us > r->now_us)
        r->now_us = now_us;
    q->stage = REPLICA_IDLE;
    list_init(&q->link);
    list_init(&q->timer);
    if (r->quiesced || r->dead) {
        replica_fail(r, q, WIRE_ERROR_CANCELLED, NULL);
        return;
    }
    if (q->kind == REPLICA_READ_LOCAL) {
        q->stage = REPLICA_CONFIRMED;
        r->stats.n_confirmed++;
        list_append(&r->local, &q->link);
        return;
    }
    if (list_empty(&r->waiting) && other_leads(r)) {
        replica_fail(r, q, WIRE_ERROR_NOT_LEADER, NULL);
        return;
    }
    if (r->stats.n_waiting >= REQUESTS_MAX) {
        replica_fail(r, q, WIRE_ERROR_BUSY, NULL);
        return;
    }
    /* It waits first, if only for a moment: whatever refuses it then, replica_unlink() takes it out
     * of its queue and out of the wheel. */
    at_once = list_empty(&r->waiting) && can_start(r);
    q->stage = REPLICA_WAITING;
    r->stats.n_waiting++;
    list_append(&r->waiting, &q->link);
    if (q->deadline_us != UINT64_MAX)
        timers_add(&r->timers, &q->timer, q->deadline_us);
    if (at_once)
        start(r, q);
}

void replica_drain_waiting(struct replica *r)
{
    while (!list_empty(&r->waiting)) {
        struct replica_request *q = list_entry(r->waiting.next, struct replica_request, link);

        if (can_start(r))
            start(r, q);
        else if (other_leads(r))
            replica_fail(r, q, WIRE_ERROR_NOT_LEADER, NULL);
        else
            break;
    }
}

/* ---- other inputs ---- */

static void hear(struct replica *r, raft_node_id from)
{
    for (unsigned i = 0; i < r->n_heard; i++) {
        if (r->heard[i].id == from) {
            r->heard[i].heard_us = r->now_us;
            return;
        }
    }
    if (r->n_heard < RAFT_SERVERS_MAX) {
        r->heard[r->n_heard].id = from;
        r->heard[r->n_heard++].heard_us = r->now_us;
    }
}

int replica_step(struct replica *r, const struct raft_msg *m, uint64_t now_us)
{
    int e;

    if (now_us > r->now_us)
        r->now_us = now_us;
    if (r->dead)
        return 0;
    r->stats.n_msgs_received++;
    r->dirty = true;
    e = raft_step(r->raft, m, r->now_us);
    if (e != 0)
        r->stats.n_msgs_invalid++;
    else
        hear(r, m->from);
    return e;
}

void replica_link(struct replica *r, raft_node_id peer, bool up, uint64_t now_us)
{
    if (now_us > r->now_us)
        r->now_us = now_us;
    r->dirty = true;
    raft_link(r->raft, peer, up, r->now_us);
}

int replica_transfer(struct replica *r, raft_node_id to, uint64_t now_us)
{
    int e;

    if (now_us > r->now_us)
        r->now_us = now_us;
    e = raft_transfer(r->raft, to, r->now_us);
    r->dirty = true;
    if (e == 0)
        r->transferring = true;
    return e;
}

bool replica_transferring(const struct replica *r)
{
    return r->transferring;
}

void replica_quiesce(struct replica *r)
{
    r->quiesced = true;
    while (!list_empty(&r->waiting))
        replica_fail(r, list_entry(r->waiting.next, struct replica_request, link),
                     WIRE_ERROR_CANCELLED, NULL);
    while (!list_empty(&r->local))
        replica_fail(r, list_entry(r->local.next, struct replica_request, link),
                     WIRE_ERROR_CANCELLED, NULL);
}

bool replica_idle(const struct replica *r)
{
    return r->stats.n_waiting == 0 && r->stats.n_in_round == 0 && r->stats.n_confirmed == 0 &&
           r->stats.n_proposed == 0;
}

uint64_t replica_deadline_us(const struct replica *r)
{
    uint64_t raft = raft_deadline_us(r->raft);
    uint64_t timer;

    if (r->dirty || r->more || !list_empty(&r->local))
        return 0;
    timer = timers_next_us(&r->timers);

    return raft < timer ? raft : timer;
}

/* ---- looking ---- */

void replica_get_stats(const struct replica *r, struct replica_stats *ret)
{
    *ret = r->stats;
}

const struct raft *replica_raft(const struct replica *r)
{
    return r->raft;
}

struct raft *replica_raft_mutable(struct replica *r)
{
    return r->raft;
}

raft_index replica_last_applied(const struct replica *r)
{
    return r->last_applied;
}
