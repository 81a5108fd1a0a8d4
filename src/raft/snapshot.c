/* What a snapshot does to the log: it lets go of the front of it (5.1), or takes the place of all
 * of it (5.3). The bytes of a snapshot never come here, and whether a copy of the state is what it
 * says was found out before.
 *
 * A snapshot is of committed entries, so whoever sent it, and in whatever term, it contradicts
 * nobody. What it may not do is take anything back: a commit index, an entry that this node has
 * acknowledged, a term, a vote, or a configuration that still stands in the log (SNAP-1). */
#include "raft/raft_int.h"

void raft_put_back(struct raft *r, raft_index applied)
{
    r->last_applied = applied;
    r->last_emitted = applied;
    r->apply_waits_for_log = false; /* it needs another place now */
    r->seen.last_applied = applied; /* the one way in which it falls (FIT-5) */
}

/* The term of the last entry that goes is kept, for the first append behind it is checked against
 * it. What is not applied stays: it could never be handed out (SNAP-2). */
void raft_compact(struct raft *r, raft_index index)
{
    rid_assert(index > r->log.base.index);
    rid_assert(index <= r->last_applied);
    rid_assert(index <= r->last_stored);
    rid_assert(r->installing.index == 0);
    raft_log_compact(&r->log, index);
    raft_config_compact(r, index);
    raft_check_rest(r);
}

/* It stays in probe, and is asked with each heartbeat whether it has come to the base. */
bool raft_needs_snapshot(const struct raft *r, raft_node_id peer)
{
    for (unsigned i = 0; i < r->n_progress; i++) {
        const struct progress *p = &r->progress[i];

        if (p->id == peer)
            /* Not what was compacted once: what it needs now. */
            return r->role == RAFT_LEADER && p->state == PROGRESS_PROBE && p->needs_compacted &&
                   p->match_index < r->log.base.index;
    }
    return false;
}

bool raft_is_installing(const struct raft *r)
{
    return r->installing.index != 0;
}

/* Entries go, never the hard state: it is written again before anything of the old log is removed
 * (SNAP-1). */
static void drop_log(struct raft *r, struct raft_entry_id id, const struct raft_config_at *config)
{
    raft_log_reset(&r->log, id);
    for (size_t i = 0; i < mark_ring_n(&r->marks); i++) {
        struct batch_mark *mark = mark_ring_at(&r->marks, i);

        if (mark->last_index > id.index)
            mark->last_index = id.index;
    }
    r->last_handed = id.index;
    r->last_stored = id.index;
    r->truncate_from = 0;
    r->reset = id;
    r->hard_state_dirty = true;
    raft_config_reset(r, config);
}

/* An own log whose committed part reaches the last entry of the snapshot, or that has it, is as
 * good and longer: nothing of it may go (SNAP-1). */
static bool log_has(const struct raft *r, struct raft_entry_id id)
{
    return id.index <= r->commit_index || raft_log_term(&r->log, id.index) == id.term;
}

static void acknowledge(struct raft *r, raft_index index)
{
    struct raft_msg resp = {.type = RAFT_MSG_APPEND_RESP,
                            .to = r->leader_id,
                            .term = r->hard_state.current_term,
                            .index = index};

    if (r->leader_id != 0)
        raft_send(r, &r->msgs_after, &resp);
}

/* What is committed here stands in every snapshot that reaches it, and terms do not fall behind it:
 * another log is told by this one number, as an append is. */
static bool contradicts_committed(const struct raft *r, struct raft_entry_id id)
{
    if (id.index < r->log.base.index)
        return id.term > r->log.base.term;
    if (id.index <= r->commit_index)
        return id.term != raft_log_term(&r->log, id.index);
    return id.term < raft_log_term(&r->log, r->commit_index);
}

/* It came from outside, and a file keeps longer than a term that was not durable yet: of a term
 * that was not heard of here no leader can be followed that has its last entry. */
static bool is_possible(const struct raft *r, struct raft_entry_id id,
                        const struct raft_config_at *config)
{
    return id.index > 0 && id.index <= RAFT_INDEX_MAX && id.term > 0 &&
           id.term <= r->hard_state.current_term && config->index > 0 &&
           config->index <= id.index && !contradicts_committed(r, id);
}

static enum raft_install decide(const struct raft *r, struct raft_entry_id id, bool state_lost)
{
    /* Whoever campaigns has said where its log ends. */
    if (r->role != RAFT_FOLLOWER)
        return RAFT_INSTALL_LATER;
    if (!log_has(r, id))
        return RAFT_INSTALL_LOG;
    if (!state_lost)
        return RAFT_INSTALL_NOTHING;
    if (id.index < r->log.base.index)
        return RAFT_INSTALL_REFUSED;
    /* What is applied is durable here (COMMIT-7). */
    return id.index <= r->last_stored ? RAFT_INSTALL_STATE : RAFT_INSTALL_LATER;
}

/* By its outcome; the one that is impossible is apart. */
static const char *const install_texts[] = {
    [RAFT_INSTALL_NOTHING] = "the log has it",
    [RAFT_INSTALL_STATE] = "the state is taken from it",
    [RAFT_INSTALL_LOG] = "log and state are taken from it",
    [RAFT_INSTALL_REFUSED] = "it ends before the log begins",
    [RAFT_INSTALL_LATER] = "not now",
};

enum raft_install raft_install(struct raft *r, struct raft_entry_id id,
                               const struct raft_config_at *config, bool state_lost,
                               uint64_t now_us)
{
    enum raft_install what;

    rid_assert(r->installing.index == 0);
    raft_now(r, now_us);
    if (!is_possible(r, id, config)) {
        raft_trace(r, RAFT_TRACE_INSTALL, r->leader_id, id.index, "no such snapshot can be");
        return RAFT_INSTALL_REFUSED;
    }
    what = decide(r, id, state_lost);
    if (what == RAFT_INSTALL_LATER)
        return what;
    raft_trace(r, RAFT_TRACE_INSTALL, r->leader_id, id.index, install_texts[what]);
    if (what == RAFT_INSTALL_REFUSED)
        return what;
    if (what == RAFT_INSTALL_LOG)
        drop_log(r, id, config);
    raft_commit_to(r, id.index);
    if (what != RAFT_INSTALL_NOTHING) {
        r->installing = id;
        raft_put_back(r, what == RAFT_INSTALL_LOG ? id.index : r->last_applied);
    }
    acknowledge(r, id.index);
    raft_check_rest(r);
    return what;
}

void raft_restored(struct raft *r, uint64_t now_us)
{
    rid_assert(r->installing.index != 0);
    rid_assert(r->reset.index == 0);
    rid_assert(r->reset_batch <= r->last_stored_batch); /* the log first, then the state (SNAP-8) */
    raft_now(r, now_us);
    raft_put_back(r, r->installing.index);
    r->installing = (struct raft_entry_id){0};
    raft_bound_cache(r);
    if (r->role == RAFT_LEADER)
        raft_maybe_commit(r); /* what follows waits for applies again (TIME-5) */
    raft_check_rest(r);
}
