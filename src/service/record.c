/* Each operation, when it ends: how it ended, what its stages took; and if that was long, why.
 *
 * The short part is done for every read, of which there are half a million a second: a few
 * differences, five counters. All else is for those that took long, and for the one in a twentieth
 * of a second whose steps are kept. */
#include "base/assert.h"
#include "base/clock.h"
#include "service/service_int.h"

#include "base/banned.h"

static_assert((int)SERVICE_STAGE_QUEUE == (int)REPLICA_LEG_QUEUE &&
                  (int)SERVICE_STAGE_QUORUM == (int)REPLICA_LEG_QUORUM &&
                  (int)SERVICE_STAGE_APPLY == (int)REPLICA_LEG_APPLY &&
                  (int)SERVICE_STAGE_EXECUTE == (int)REPLICA_LEG_EXECUTE,
              "the stages are the legs of the replica");

/* How an operation ended. */
struct done {
    enum wire_error result;
    raft_index index; /* its entry, its anchor; 0: none */
    enum replica_proof proof;
    raft_node_id by; /* of LEADER */
    uint64_t round;
    const struct replica_failure *failure; /* NULL: it was answered */
};

static const uint8_t op_by_kind[REPLICA_KINDS] = {
    [REPLICA_READ] = SERVICE_OP_READ_INDEX,
    [REPLICA_READ_LOG] = SERVICE_OP_READ_VIA_LOG,
    [REPLICA_READ_LOCAL] = SERVICE_OP_LOCAL_READ,
    [REPLICA_READ_FOLLOWER] = SERVICE_OP_FOLLOWER_READ,
    [REPLICA_READ_LEASE] = SERVICE_OP_LEASE_READ,
    [REPLICA_READ_BOUNDED] = SERVICE_OP_BOUNDED_READ,
    [REPLICA_WRITE] = SERVICE_OP_WRITE,
};

/* Of a read or a write. */
static enum service_op op_of(const struct request *req)
{
    if (req->keys != NULL)
        return SERVICE_OP_BATCH;
    return req->scan != NULL ? SERVICE_OP_SCAN : (enum service_op)op_by_kind[req->rr.kind];
}

/* Of a follower read at a leader the answer does not say which round it was: the first one that was
 * opened since it came. */
static uint64_t round_of(const struct request *req, const struct done *d)
{
    if (d->proof != REPLICA_PROOF_ROUND || d->round != 0)
        return d->round;
    return trail_round_at(replica_trail(req->conn->service->replica), req->rr.times.begun_us);
}

/* ---- those that took long ---- */

/* Up to where it came; what it waited for its client is of no other stage than the last. */
static void stages_of_failed(const struct request *req, uint64_t end_us, uint64_t *us)
{
    const struct replica_times *t = &req->rr.times;
    const uint64_t ends[SERVICE_N_STAGES] = {t->begun_us, t->confirmed_us, t->applied_us, 0};
    uint64_t at_us = req->arrived_us;

    for (unsigned i = 0; i < SERVICE_N_STAGES; i++) {
        const uint64_t to_us = ends[i] != 0 ? ends[i] : end_us;

        us[i] = to_us > at_us ? to_us - at_us : 0;
        at_us += us[i];
        if (ends[i] == 0)
            break;
    }
}

static enum service_stage longest(const uint64_t *us)
{
    unsigned most = 0;

    for (unsigned i = 1; i < SERVICE_N_STAGES; i++)
        if (us[i] > us[most])
            most = i;
    return (enum service_stage)most;
}

/* All that wait become slow at once when a quorum goes, and the loop has others to serve. */
static bool may_explain(struct service_slow *slow, uint64_t now_us)
{
    if (now_us - slow->window_us >= SLOW_EXPLAIN_WINDOW_US) {
        slow->window_us = now_us;
        slow->spent_us = 0;
    }
    return slow->spent_us < SLOW_EXPLAIN_US;
}

static void explain(const struct request *req, const struct done *d, struct service_slow_op *op)
{
    struct service *s = req->conn->service;
    struct replica_case c = {.kind = req->rr.kind,
                             .leg = (enum replica_leg)op->stage,
                             .from_us = req->arrived_us,
                             .index = d->index,
                             .round = round_of(req, d),
                             .failure = d->failure};
    struct replica_why why = {0};

    for (unsigned i = 0; i < (unsigned)op->stage; i++)
        c.from_us += op->us[i];
    c.to_us = c.from_us + op->us[op->stage];
    if (req->room_us < op->us[op->stage] / 2 || op->stage != SERVICE_STAGE_EXECUTE)
        replica_explain(s->replica, &c, &why);
    service_why_words(s, op, &why, op->stage == SERVICE_STAGE_EXECUTE ? req->room_us : 0);
}

static void keep_slow(const struct request *req, const struct done *d, enum service_op which,
                      const uint64_t *us, uint64_t end_us)
{
    const uint64_t total_us = end_us - req->arrived_us;
    uint64_t from_us;
    struct service *s = req->conn->service;
    struct service_slow_op *op = &s->slow.ops[s->slow.n++ % SLOW_KEPT_MAX];

    *op = (struct service_slow_op){.seq = s->slow.n,
                                   .unix_us = clock_wall_us(),
                                   .op = which,
                                   .total_us = total_us,
                                   .stage = longest(us),
                                   .index = d->index,
                                   .result = d->result};
    for (unsigned i = 0; i < SERVICE_N_STAGES; i++)
        op->us[i] = us[i];
    /* The end of a read is the time of its turn: what was looked into since is not this one's. */
    from_us = s->ops.now_us(s->ops.ctx);
    if (may_explain(&s->slow, from_us)) {
        explain(req, d, op);
        s->slow.spent_us += s->ops.now_us(s->ops.ctx) - from_us;
    } else {
        service_why_words(s, op, NULL, 0);
    }
    s->counts.n_slow++;
    if (s->ops.slow != NULL)
        s->ops.slow(s->ops.ctx, op);
}

/* ---- how the last one went ---- */

static void step(struct service_last *l, enum service_step what, raft_node_id peer, uint64_t us,
                 uint64_t arrived_us)
{
    unsigned at = l->n_steps;

    if (at == SERVICE_STEPS_MAX || us < arrived_us)
        return;
    /* In the order of their times. */
    for (; at > 0 && l->steps[at - 1].at_us > us - arrived_us; at--)
        l->steps[at] = l->steps[at - 1];
    l->steps[at].what = what;
    l->steps[at].peer = peer;
    l->steps[at].at_us = us - arrived_us;
    l->n_steps++;
}

/* Of those that had come before it was confirmed, or have since. */
static void acknowledgements(const struct request *req, const struct done *d,
                             struct service_last *l)
{
    const struct replica *r = req->conn->service->replica;
    const struct trail *t = replica_trail(r);
    const struct raft_configuration *conf = raft_get_configuration(replica_raft(r));
    const uint64_t round = round_of(req, d);

    for (unsigned i = 0; i < conf->n; i++) {
        const raft_node_id id = conf->servers[i].id;
        const struct trail_ack *ack = NULL;

        if (round != 0)
            ack = trail_round_ack(t, round, id);
        else if (req->rr.entry.index != 0)
            ack = trail_stored_ack(t, req->rr.entry.index, id);
        if (ack != NULL && id == raft_get_id(replica_raft(r)))
            step(l, SERVICE_STEP_STORED, 0, ack->us, req->arrived_us);
        else if (ack != NULL)
            step(l, SERVICE_STEP_ACKNOWLEDGED, id, ack->us, req->arrived_us);
    }
}

static void keep_last(const struct request *req, const struct done *d, enum service_op which,
                      uint64_t end_us)
{
    struct service *s = req->conn->service;
    struct service_last *l = &s->last[which];
    const struct replica_times *t = &req->rr.times;
    const uint64_t from_us = req->arrived_us;

    l->due_us = end_us + LAST_KEPT_US;
    l->unix_us = clock_wall_us();
    l->total_us = end_us - from_us;
    l->n_steps = 0;
    step(l, SERVICE_STEP_ARRIVED, 0, from_us, from_us);
    if (d->proof == REPLICA_PROOF_LEASE)
        step(l, SERVICE_STEP_LEASE_LOOKED, 0, t->confirmed_us, from_us);
    else if (req->rr.entry.index != 0)
        step(l, SERVICE_STEP_APPENDED, 0, t->begun_us, from_us);
    else if (d->proof == REPLICA_PROOF_ROUND)
        step(l, SERVICE_STEP_ROUND_SENT, 0, t->begun_us, from_us);
    else if (d->proof == REPLICA_PROOF_LEADER)
        step(l, SERVICE_STEP_ASK_SENT, 0, t->begun_us, from_us);
    acknowledgements(req, d, l);
    if (d->proof == REPLICA_PROOF_LEADER)
        step(l, SERVICE_STEP_ANSWERED, d->by, t->confirmed_us, from_us);
    else if (req->rr.entry.index != 0 || d->proof == REPLICA_PROOF_ROUND)
        step(l, SERVICE_STEP_QUORUM, 0, t->confirmed_us, from_us);
    step(l, SERVICE_STEP_APPLIED, 0, t->applied_us, from_us);
    step(l, SERVICE_STEP_REPLIED, 0, end_us, from_us);
}

/* ---- all ---- */

/* What was longer than the threshold, and what is kept of the last ones. */
static void look_closer(const struct request *req, const struct done *d, uint64_t end_us)
{
    struct service *s = req->conn->service;
    const struct replica_times *t = &req->rr.times;
    const enum service_op which = op_of(req);
    const uint64_t us[SERVICE_N_STAGES] = {
        [SERVICE_STAGE_QUEUE] = t->begun_us - req->arrived_us - req->room_us,
        [SERVICE_STAGE_QUORUM] = t->confirmed_us - t->begun_us,
        [SERVICE_STAGE_APPLY] = t->applied_us - t->confirmed_us,
        [SERVICE_STAGE_EXECUTE] = end_us - t->applied_us + req->room_us};

    if (end_us - req->arrived_us >= s->slow.threshold_us)
        keep_slow(req, d, which, us, end_us);
    if (end_us >= s->last[which].due_us)
        keep_last(req, d, which, end_us);
}

static __attribute__((noinline)) void look_closer_at_read(const struct request *req,
                                                          const struct replica_view *view,
                                                          enum wire_error result, uint64_t end_us)
{
    const struct done d = {.result = result,
                           .index = view->read_index,
                           .proof = view->proof,
                           .by = view->by,
                           .round = view->round};

    look_closer(req, &d, end_us);
}

/* Most stages of most reads take no time: those are made up for when somebody asks
 * (service_complete()). */
static void count(struct histogram *h, uint64_t us, uint64_t n)
{
    if (us != 0)
        histogram_add(h, us, n);
}

static void count_all(struct service_counts *counts, enum service_op which,
                      const struct service_alike *a)
{
    struct histogram *stages = counts->stages[which];

    counts->results[which][a->result] += a->n;
    count(&stages[SERVICE_STAGE_QUEUE], a->times.begun_us - a->arrived_us - a->room_us, a->n);
    count(&stages[SERVICE_STAGE_QUORUM], a->times.confirmed_us - a->times.begun_us, a->n);
    count(&stages[SERVICE_STAGE_APPLY], a->times.applied_us - a->times.confirmed_us, a->n);
    /* It came again when there was room. */
    count(&stages[SERVICE_STAGE_EXECUTE], a->end_us - a->times.applied_us + a->room_us, a->n);
    histogram_add(&counts->total[which], a->end_us - a->arrived_us, a->n);
}

void service_count_alike(struct service *s)
{
    if (s->alike.n > 0)
        count_all(&s->counts, s->alike.op, &s->alike);
    s->alike.n = 0;
}

static void begin_alike(const struct request *req, enum service_op which, enum wire_error result,
                        uint64_t end_us, struct service_alike *ret)
{
    *ret = (struct service_alike){.n = 1,
                                  .op = which,
                                  .result = result,
                                  .arrived_us = req->arrived_us,
                                  .room_us = req->room_us,
                                  .end_us = end_us,
                                  .times = req->rr.times};
}

/* Reads that stood behind each other, were confirmed together and ended at the same look at the
 * clock: the first, which waited the longest, counts for all. What that is wrong by is at most a
 * sixteenth of the time that they took. */
static inline bool is_alike(const struct service_alike *a, const struct request *req,
                            enum service_op which, enum wire_error result, uint64_t end_us)
{
    return a->end_us == end_us && a->times.confirmed_us == req->rr.times.confirmed_us &&
           a->op == which && a->result == result && a->n != 0 && a->n < SERVICE_ALIKE_MAX &&
           (req->arrived_us - a->arrived_us) * 16 <= end_us - a->arrived_us && req->room_us == 0;
}

void service_note_read(struct request *req, const struct replica_view *view, enum wire_error result)
{
    struct service *s = req->conn->service;
    const enum service_op which = op_of(req);
    uint64_t end_us;

    /* A read of one key takes less than a microsecond, and reading the clock a tenth of that; the
     * replica has read it some reads ago. */
    if (which == SERVICE_OP_SCAN || which == SERVICE_OP_BATCH)
        end_us = s->ops.now_us(s->ops.ctx);
    else
        end_us = replica_clock_us(s->replica);
    if (end_us < req->rr.times.applied_us)
        end_us = req->rr.times.applied_us;
    if (is_alike(&s->alike, req, which, result, end_us)) {
        s->alike.n++;
    } else {
        service_count_alike(s);
        begin_alike(req, which, result, end_us, &s->alike);
    }
    if (end_us - req->arrived_us >= s->slow.threshold_us || end_us >= s->last[which].due_us)
        look_closer_at_read(req, view, result, end_us);
}

void service_note_written(struct request *req, enum wire_error result)
{
    struct service *s = req->conn->service;
    const struct done d = {.result = result, .index = req->rr.entry.index};
    uint64_t end_us = s->ops.now_us(s->ops.ctx);
    struct service_alike alone;

    if (end_us < req->rr.times.applied_us)
        end_us = req->rr.times.applied_us;
    begin_alike(req, SERVICE_OP_WRITE, result, end_us, &alone);
    count_all(&s->counts, SERVICE_OP_WRITE, &alone);
    look_closer(req, &d, end_us);
}

void service_note_failed(struct request *req, const struct replica_failure *f)
{
    struct service *s = req->conn->service;
    const struct done d = {.result = f->error, .index = req->rr.entry.index, .failure = f};
    uint64_t us[SERVICE_N_STAGES] = {0};
    enum service_op which;
    uint64_t end_us;

    if (req->rr.served == NULL && req->rr.written == NULL)
        return; /* a transfer, a part of a snapshot, a comparison */
    which = op_of(req);
    s->counts.results[which][f->error]++;
    end_us = s->ops.now_us(s->ops.ctx);
    if (end_us - req->arrived_us < s->slow.threshold_us || f->error == WIRE_ERROR_CANCELLED)
        return;
    stages_of_failed(req, end_us, us);
    keep_slow(req, &d, which, us, end_us);
}
