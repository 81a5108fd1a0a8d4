/* What a node sees of itself while it works: leaders that come and go, syncs that take long,
 * operations that do. Nothing here is looked at by anybody but who tells of it. */
#include <string.h>

#include "engine/engine_int.h"

#include "base/banned.h"

uint64_t engine_slow_us(uint64_t election_us)
{
    const uint64_t us = election_us / SLOW_OF_ELECTION;

    return us > SLOW_US_LEAST ? us : SLOW_US_LEAST;
}

void engine_seen_begin(struct engine *e, uint64_t now_us, uint64_t election_us)
{
    e->leaders.leaderless_since_us = now_us;
    e->slow_limit = (struct log_limit){.window_us = SLOW_LOG_WINDOW_US, .burst = SLOW_LOG_BURST};
    e->fsync_limit = e->slow_limit;
    if (e->service != NULL)
        service_set_slow(e->service, engine_slow_us(election_us));
}

/* ---- slow ---- */

void engine_slow(void *ctx, const struct service_slow_op *op)
{
    struct engine *e = ctx;
    uint64_t suppressed;

    if (!engine_logs(e) || !log_limit_ok(&e->slow_limit, engine_now_us(e), &suppressed))
        return;
    log_event(LOG_WARNING, "slow_op",
              "op=%s total_ms=%llu stage=%s stage_ms=%llu why=\"%s\" peer=%s result=%s "
              "suppressed=%llu",
              service_op_name(op->op), (unsigned long long)op->total_us / 1000,
              service_stage_name(op->stage), (unsigned long long)op->us[op->stage] / 1000, op->why,
              op->peer[0] != '\0' ? op->peer : "none",
              op->result == WIRE_ERROR_NONE ? "ok" : wire_error_name(op->result),
              (unsigned long long)suppressed);
}

uint64_t engine_disk_busy_us(void *ctx)
{
    const struct engine *e = ctx;

    return store_busy_us(e->store);
}

static void say_slow_sync(struct engine *e, const struct store_slow *slow)
{
    const bool leads = raft_get_role(engine_raft(e)) == RAFT_LEADER;
    uint64_t suppressed;

    if (!engine_logs(e) || !log_limit_ok(&e->fsync_limit, engine_now_us(e), &suppressed))
        return;
    log_event(LOG_WARNING, "fsync_slow", "ms=%llu bytes=%llu why=\"%s\" suppressed=%llu",
              (unsigned long long)(slow->to_us - slow->from_us) / 1000,
              (unsigned long long)slow->bytes,
              leads ? "the disk of the log; what this leader commits waits for it"
                    : "the disk of the log; the leader waits for what this node acknowledges",
              (unsigned long long)suppressed);
}

void engine_seen_disk(struct engine *e)
{
    struct store_slow slow;

    while (store_take_slow(e->store, &slow)) {
        e->n_fsyncs_slow++;
        replica_note_snag(e->replica, &(struct trail_snag){.kind = TRAIL_SYNC,
                                                           .from_us = slow.from_us,
                                                           .to_us = slow.to_us,
                                                           .bytes = slow.bytes});
        say_slow_sync(e, &slow);
    }
}

void engine_note_held(struct engine *e, uint64_t from_us, uint64_t to_us, bool stood)
{
    replica_note_snag(e->replica, &(struct trail_snag){.kind = stood ? TRAIL_STOOD : TRAIL_LOOP,
                                                       .from_us = from_us,
                                                       .to_us = to_us});
}

/* ---- leaders ---- */

/* Who hands over is heard until the end, and only then do those who hear it vote (READ-19); all
 * others are missed for an election timeout first, or nobody listens where they were (SEE-6). */
static enum engine_leader_change why_changed(const struct engine *e)
{
    const struct leaders *l = &e->leaders;

    if (l->id == 0)
        return ENGINE_LEADER_CHANGE_FIRST;
    if (l->transfers)
        return ENGINE_LEADER_CHANGE_TRANSFER;
    if (l->has_lost)
        return l->lost;
    if (l->is_gone)
        return ENGINE_LEADER_CHANGE_GONE;
    if (l->id == raft_get_id(engine_raft(e)))
        return ENGINE_LEADER_CHANGE_TERM; /* the new leader's own word told it first */
    if (replica_hears(e->replica, l->id, engine_now_us(e)))
        return ENGINE_LEADER_CHANGE_TRANSFER;
    return ENGINE_LEADER_CHANGE_SILENCE;
}

static void leader_known(struct engine *e, raft_node_id id, raft_term term)
{
    struct leaders *l = &e->leaders;

    if (id != l->id || term != l->term) {
        l->changes[why_changed(e)]++;
        if (id == raft_get_id(engine_raft(e)) && l->id != 0)
            l->since_us = l->heard_us;
    }
    l->id = id;
    l->term = term;
    l->transfers = false;
    l->has_lost = false;
    l->is_gone = false;
}

static void role_changed(struct engine *e, const struct raft_trace *t)
{
    struct leaders *l = &e->leaders;
    const char *why = t->text != NULL ? t->text : "";

    if (t->role == RAFT_CANDIDATE && strcmp(why, "leadership transfer") == 0)
        l->transfers = true;
    if (t->role == RAFT_LEADER || l->id != raft_get_id(engine_raft(e)) || l->has_lost)
        return;
    /* It led until now, or it would not be the one that was known last. */
    l->has_lost = true;
    l->since_us = 0;
    if (strcmp(why, "no quorum heard") == 0)
        l->lost = ENGINE_LEADER_CHANGE_QUORUM_LOST;
    else if (t->role == RAFT_FOLLOWER && t->term == l->term)
        l->lost = ENGINE_LEADER_CHANGE_UNFIT;
    else
        l->lost = ENGINE_LEADER_CHANGE_TERM;
}

void engine_seen_trace(struct engine *e, const struct raft_trace *t)
{
    if (e->replica == NULL)
        return;
    if (t->event == RAFT_TRACE_LEADER)
        leader_known(e, t->peer, t->term);
    else if (t->event == RAFT_TRACE_GONE)
        e->leaders.is_gone = true;
    else if (t->event == RAFT_TRACE_ROLE)
        role_changed(e, t);
    else if (t->event == RAFT_TRACE_TRANSFER)
        e->leaders.transfers = t->text != NULL && strcmp(t->text, "aborted") != 0;
}

void engine_seen_turn(struct engine *e, uint64_t now_us)
{
    struct leaders *l = &e->leaders;

    l->now = raft_get_leader(engine_raft(e));
    if (l->now != 0) {
        if (l->leaderless_since_us != 0 && now_us > l->leaderless_since_us)
            l->leaderless_us += now_us - l->leaderless_since_us;
        l->leaderless_since_us = 0;
        l->heard_us = replica_heard_us(e->replica, l->now);
    } else if (l->leaderless_since_us == 0) {
        l->leaderless_since_us = now_us;
    }
    if (l->since_us != 0 && raft_can_serve(engine_raft(e))) {
        if (now_us > l->since_us)
            histogram_add(&l->failover_us, now_us - l->since_us, 1);
        l->since_us = 0;
    }
}
