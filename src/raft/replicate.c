/* The log: what a leader sends (3.5, 10.2.1), what a follower takes, what is committed (3.6.2).
 *
 * Appends are built when ready is taken, so everything proposed in one turn shares messages. A
 * follower's acknowledgement names prev.index + number of entries of the message that it answers,
 * never its own last index: only that much is proven to be the leader's (LOG-7). */
#include "raft/raft_int.h"

/* Apart, for its large local: entries of other types do not pay for it. */
static __attribute__((noinline)) void take_configuration(struct raft *r, const struct raft_entry *e)
{
    struct raft_configuration c;

    /* Bytes of a peer were checked by raft_step(), before anything was done with the message. */
    rid_assert(raft_configuration_decode(e->data, e->len, &c) == 0);
    raft_config_push(r, e->id.index, &c);
}

/* A configuration is in force from the moment it stands in the log, committed or not (4.1). */
static void take_entry(struct raft *r, const struct raft_entry *e)
{
    /* Where there is nobody to refuse: a node without memory stops. */
    rid_assert(raft_log_append(&r->log, e) == 0);
    if (e->type == RAFT_ENTRY_CONFIG)
        take_configuration(r, e);
}

/* The only way into a leader's own log, and there is none out of it (LOG-1). */
void raft_append_own(struct raft *r, enum raft_entry_type type, const void *data, size_t len)
{
    struct raft_entry e = {
        {r->hard_state.current_term, r->log.last_index + 1}, type, (uint32_t)len, data};

    rid_assert(r->role == RAFT_LEADER);
    r->uncommitted_bytes += raft_entry_bytes(&e);
    take_entry(r, &e);
}

/* Never falls (COMMIT-5), and what it covers is on a quorum's disks for ever (COMMIT-1). */
void raft_commit_to(struct raft *r, raft_index index)
{
    raft_index from = r->commit_index + 1;

    rid_assert(index <= r->log.last_index);
    if (index <= r->commit_index)
        return;
    if (r->role == RAFT_LEADER) {
        /* What was inherited from earlier leaders was never counted; our own is never forgotten
         * before it is committed. */
        for (raft_index i = from < r->noop_index ? r->noop_index : from; i <= index; i++) {
            const struct raft_entry *e = raft_log_get(&r->log, i);

            rid_assert(e != NULL);
            rid_assert(r->uncommitted_bytes >= raft_entry_bytes(e));
            r->uncommitted_bytes -= raft_entry_bytes(e);
        }
    }
    r->commit_index = index;
    raft_trace(r, RAFT_TRACE_COMMIT, 0, index, NULL);
    if (r->role == RAFT_LEADER)
        raft_floor_reads_release(r);
}

/* raft_quorum_get: up to where this leader's log is durable on that server. */
static uint64_t durable_index(const void *ctx, unsigned slot)
{
    const struct raft *r = ctx;
    const struct progress *p = raft_progress_at(r, slot);

    return p != NULL ? p->match_index : r->last_stored;
}

/* The commit index may lag behind what a quorum holds for as long as it likes: reads wait for
 * it, and what is acknowledged lies below it. It never waits for an apply that waits itself, and
 * the gate of reads opens at once (READ-14). */
static raft_index commit_bound(const struct raft *r)
{
    const uint64_t left = UINT64_MAX - r->last_applied;
    raft_index bound = r->last_applied + (r->ahead < left ? r->ahead : left);

    if (r->held || r->installing.index != 0 || r->fitness != RAFT_FIT)
        return UINT64_MAX;
    return bound > r->noop_index ? bound : r->noop_index;
}

static void commit_counted(struct raft *r, raft_index bound)
{
    raft_index index = raft_quorum_value(raft_get_configuration(r), durable_index, r);

    rid_assert(r->role == RAFT_LEADER);
    rid_assert(index <= r->log.last_index);
    /* Also what it held back, when it steps down: a lease of an earlier leader may still be used
     * (LEASE-7). */
    if (raft_is_gated(r))
        return;
    if (index > bound)
        index = bound;
    /* Nothing is committed here before it is on this node's own disk: then no read ever waits for
     * the leader's disk, and nothing is applied that this node could forget (COMMIT-6,
     * COMMIT-7). */
    if (index > r->last_stored)
        index = r->last_stored;
    /* Only entries of the current term commit by counting; older ones come along with them
     * (COMMIT-2, 3.6.2). The index that a quorum holds comes first, then its term: a search for the
     * first entry of this term would stop at an older one for ever (COMMIT-3). */
    if (index > r->commit_index && raft_log_term(&r->log, index) == r->hard_state.current_term)
        raft_commit_to(r, index);
}

void raft_maybe_commit(struct raft *r)
{
    commit_counted(r, commit_bound(r));
}

void raft_commit_held_back(struct raft *r)
{
    commit_counted(r, UINT64_MAX);
}

/* ---- follower ---- */

static void refuse_append(struct raft *r, const struct raft_msg *m)
{
    /* So it is above the base, which is committed: what is looked up below is there. */
    rid_assert(m->prev.index > r->commit_index);
    struct raft_msg resp = {.type = RAFT_MSG_APPEND_RESP,
                            .to = m->from,
                            .term = r->hard_state.current_term,
                            .reject = true,
                            .index = m->prev.index};

    if (m->prev.index > r->log.last_index) {
        resp.hint.index = r->log.last_index + 1;
    } else {
        raft_index first = raft_log_first_of_term(&r->log, m->prev.index);

        /* The whole conflicting term goes in one step (3.5); what is committed cannot conflict. */
        resp.hint.term = raft_log_term(&r->log, m->prev.index);
        resp.hint.index = first > r->commit_index ? first : r->commit_index + 1;
    }
    raft_send(r, &r->msgs, &resp);
}

/* Only where a received entry has another term, and never at or below commit_index (LOG-3). */
static void truncate_log(struct raft *r, raft_index from)
{
    rid_assert(from > r->commit_index);
    rid_assert(r->role != RAFT_LEADER);
    raft_log_truncate(&r->log, from);
    raft_config_truncate(r, from);
    if (r->last_handed >= from) {
        r->last_handed = from - 1;
        if (r->truncate_from == 0 || from < r->truncate_from)
            r->truncate_from = from;
    }
    if (r->last_stored >= from)
        r->last_stored = from - 1;
    for (size_t i = 0; i < mark_ring_n(&r->marks); i++) {
        struct batch_mark *mark = mark_ring_at(&r->marks, i);

        if (mark->last_index >= from)
            mark->last_index = from - 1;
    }
    raft_trace(r, RAFT_TRACE_TRUNCATED, 0, from, NULL);
}

/* Does e stand in our log? Everything at or below the base is committed, and a leader's entries
 * agree with all that is committed (3.6.3): there the answer is yes without looking, which is as
 * well, because there is nothing left to look at (LOG-9). */
static bool is_in_log(const struct raft *r, struct raft_entry_id e)
{
    return e.index < r->log.base.index || raft_log_term(&r->log, e.index) == e.term;
}

/* What a correct leader cannot say of what is compacted: terms do not fall along a log, so nothing
 * below the base is of a higher term than the base. */
static bool contradicts_base(const struct raft *r, struct raft_entry_id e)
{
    return e.index < r->log.base.index && e.term > r->log.base.term;
}

int raft_handle_append(struct raft *r, const struct raft_msg *m)
{
    raft_index match = m->prev.index + m->n_entries;
    struct raft_msg resp = {.type = RAFT_MSG_APPEND_RESP,
                            .to = m->from,
                            .term = r->hard_state.current_term,
                            .index = match};

    rid_assert(r->role == RAFT_FOLLOWER);
    rid_assert(m->term == r->hard_state.current_term);
    rid_assert(m->from == r->leader_id);
    if (!is_in_log(r, m->prev) || contradicts_base(r, m->prev)) {
        if (m->prev.index <= r->commit_index) {
            raft_trace(r, RAFT_TRACE_INVALID, m->from, m->prev.index,
                       "it contradicts a committed entry");
            return RAFT_E_INVALID;
        }
        refuse_append(r, m);
        return 0;
    }
    /* Look before touching anything: an entry that contradicts a committed one refuses the whole
     * message. */
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->id.index > r->log.last_index)
            break;
        if (is_in_log(r, e->id) && !contradicts_base(r, e->id))
            /* late or repeated: never a reason to truncate what agrees (LOG-3) */
            continue;
        if (e->id.index <= r->commit_index) {
            raft_trace(r, RAFT_TRACE_INVALID, m->from, e->id.index,
                       "it contradicts a committed entry");
            return RAFT_E_INVALID;
        }
        truncate_log(r, e->id.index);
        break;
    }
    for (unsigned i = 0; i < m->n_entries; i++)
        if (m->entries[i].id.index > r->log.last_index)
            take_entry(r, &m->entries[i]);
    /* Only what this very message proved is committed (COMMIT-4) and acknowledged (LOG-7). */
    raft_commit_to(r, m->leader_commit < match ? m->leader_commit : match);
    raft_send(r, &r->msgs_after, &resp);
    return 0;
}

/* ---- leader ---- */

static void inflight_clear(struct progress *p)
{
    p->inflight_head = 0;
    p->n_inflight = 0;
    p->inflight_bytes = 0;
}

void raft_progress_reset(struct raft *r, struct progress *p)
{
    p->state = PROGRESS_PROBE;
    p->match_index = 0;
    p->next_index = r->log.last_index + 1;
    inflight_clear(p);
    p->probe_sent = false;
    p->waits_for_log = false;
    p->needs_compacted = false;
    p->acked_round = 0;
    p->last_heard_us = r->now_us;
    p->append_heard_us = r->now_us;
    p->resend_us = r->conf.heartbeat_us;
    p->resent = false;
    p->rtt_round = 0;
    p->note_flags = 0; /* what it said to another leader may be long ago */
    p->held = (struct held){0};
    p->stamps = (struct stamps){0};
    p->ask = (struct raft_ask_id){0};
    p->told_commit = 0;
    p->waits_for = 0;
}

void raft_progress_probe(struct raft *r, struct progress *p)
{
    if (p->state == PROGRESS_REPLICATE) {
        p->state = PROGRESS_PROBE;
        p->next_index = p->match_index + 1;
        raft_trace(r, RAFT_TRACE_PROBE, p->id, p->next_index, NULL);
    }
    inflight_clear(p);
    p->probe_sent = false;
    p->waits_for_log = false; /* it needs another place now, perhaps */
}

/* Each time it is twice as long until the same is sent again. Who takes longer for an append than
 * the time after which it comes anew would never get through with them (LOG-10). */
static void note_resend(const struct raft *r, struct progress *p)
{
    const uint64_t most_us = RAFT_RESEND_ELECTIONS * r->conf.election_timeout_us;

    p->resent = true;
    p->resend_us = 2 * p->resend_us < most_us ? 2 * p->resend_us : most_us;
}

/* p said something new. Whether to the first or to a repeated append is not known: only what was
 * sent once tells that the time was long enough. */
static void note_answer(const struct raft *r, struct progress *p)
{
    const uint64_t half_us = p->resend_us / 2;

    if (!p->resent)
        p->resend_us = half_us > r->conf.heartbeat_us ? half_us : r->conf.heartbeat_us;
    p->resent = false;
}

/* Something has changed at p, or on the way to it: what it did not answer may be lost, and goes out
 * at once. */
void raft_progress_revive(struct raft *r, struct progress *p)
{
    p->resend_us = r->conf.heartbeat_us;
    p->resent = false;
    if (p->state == PROGRESS_PROBE && !p->needs_compacted)
        p->probe_sent = false;
}

/* With each heartbeat: an append that was lost without the link going down is noticed by nobody, so
 * what is not acknowledged is sent again (LOG-6). */
void raft_maybe_resend(struct raft *r, struct progress *p)
{
    uint64_t patience_us = r->conf.election_timeout_us;

    if (p->state == PROGRESS_PROBE) {
        /* Without entries it costs nothing. */
        patience_us = p->needs_compacted ? r->conf.heartbeat_us : p->resend_us;
        if (!p->probe_sent || r->now_us - p->append_sent_us < patience_us)
            return;
        p->probe_sent = false;
        if (!p->needs_compacted)
            note_resend(r, p);
        return;
    }
    if (p->resend_us > patience_us)
        patience_us = p->resend_us;
    if (p->n_inflight > 0 && r->now_us - p->append_heard_us >= patience_us) {
        raft_progress_probe(r, p);
        note_resend(r, p);
    }
}

void raft_maybe_timeout_now(struct raft *r, struct progress *p)
{
    struct raft_msg m = {
        .type = RAFT_MSG_TIMEOUT_NOW, .to = p->id, .term = r->hard_state.current_term};

    rid_assert(r->role == RAFT_LEADER);
    if (r->transfer_to != p->id || r->transfer_sent || p->match_index != r->log.last_index)
        return;
    r->transfer_sent = true;
    raft_lease_hand_over(r);
    raft_trace(r, RAFT_TRACE_TRANSFER, p->id, 0, "sent");
    raft_send(r, &r->msgs, &m);
}

static void take_refusal(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    raft_index next;

    rid_assert(m->reject);
    if (m->index <= p->match_index)
        return; /* late: the logs have agreed there since */
    /* late: an answer to an earlier probe, or to an append of an earlier term of ours */
    if (m->index >= p->next_index || (p->state == PROGRESS_PROBE && m->index != p->next_index - 1))
        return;
    next = m->hint.index;
    if (m->hint.term != 0) {
        /* Where our log has that term, it may agree up to our last entry of it. */
        raft_index last = raft_log_last_not_above(&r->log, m->hint.term);

        if (last != 0 && raft_log_term(&r->log, last) == m->hint.term && last + 1 > next)
            next = last + 1;
    }
    if (next > m->index)
        next = m->index; /* always a step back */
    if (next <= p->match_index)
        next = p->match_index + 1;
    raft_progress_probe(r, p);
    note_answer(r, p);
    rid_assert(next > p->match_index);
    rid_assert(next <= r->log.last_index + 1);
    p->next_index = next;
}

int raft_handle_append_resp(struct raft *r, struct progress *p, const struct raft_msg *m)
{
    rid_assert(r->role == RAFT_LEADER);
    rid_assert(p->id == m->from);
    if (!m->reject && m->index > r->log.last_index) {
        raft_trace(r, RAFT_TRACE_INVALID, m->from, m->index,
                   "it acknowledges entries that were never sent");
        return RAFT_E_INVALID;
    }
    p->last_heard_us = r->now_us;
    p->append_heard_us = r->now_us;
    if (m->reject) {
        take_refusal(r, p, m);
        return 0;
    }
    if (m->index > p->match_index) {
        p->match_index = m->index; /* late answers never lower it (LOG-5) */
        note_answer(r, p);
        raft_tell_commit(r, p);
    }
    while (p->n_inflight > 0 && p->inflight[p->inflight_head].last <= p->match_index) {
        p->inflight_bytes -= p->inflight[p->inflight_head].bytes;
        p->inflight_head = (p->inflight_head + 1) % RAFT_INFLIGHT_MSGS_MAX;
        p->n_inflight--;
    }
    if (p->state == PROGRESS_PROBE && m->index + 1 >= p->next_index) {
        p->state = PROGRESS_REPLICATE;
        p->probe_sent = false;
        inflight_clear(p);
    }
    if (p->next_index <= p->match_index)
        p->next_index = p->match_index + 1;
    raft_maybe_commit(r);
    raft_look_for_better(r);
    raft_maybe_timeout_now(r, p);
    return 0;
}

/* Entries from `from` on, none above `to`, for one append: cached ones, or from the disk up to
 * where the cache begins. 0, or what the reader said. */
static int gather(struct raft *r, raft_index from, raft_index to, struct raft_entry **ret_entries,
                  unsigned *ret_n, size_t *ret_bytes)
{
    struct raft_entry *list;
    size_t bytes = 0;
    unsigned n = 0;
    unsigned n_max = RAFT_APPEND_ENTRIES_MAX;

    rid_assert(from > r->log.base.index);
    rid_assert(from <= to);
    rid_assert(to <= r->log.last_index);
    if (to + 1 - from < n_max)
        n_max = (unsigned)(to + 1 - from);
    list = arena_alloc(&r->arena, n_max * sizeof(*list) + 1);
    rid_assert(list != NULL);
    if (from < r->log.first_cached) {
        int rc = r->conf.log_reader.read(r->conf.log_reader.ctx, from, r->log.first_cached - 1,
                                         r->conf.append_bytes_max, &r->arena, list, n_max, &n);

        if (rc != 0)
            return rc;
        rid_assert(n >= 1); /* the reader's contract: else this follower would be asked for ever */
        rid_assert(n <= n_max);
        for (unsigned i = 0; i < n; i++) {
            rid_assert(list[i].id.index == from + i);
            rid_assert(list[i].id.term == raft_log_term(&r->log, from + i));
            bytes += list[i].len;
        }
    } else {
        while (n < n_max) {
            const struct raft_entry *e = raft_log_get(&r->log, from + n);

            if (n > 0 && bytes + e->len > r->conf.append_bytes_max)
                break;
            bytes += e->len;
            list[n++] = *e;
        }
    }
    *ret_entries = list;
    *ret_n = n;
    *ret_bytes = bytes + n * sizeof(*list);
    return 0;
}

/* What p needs next is not in the log any more, neither here nor on disk: it can be sent nothing
 * until a snapshot has brought it to the base. It stays in probe and hears heartbeats; with each
 * of them it is asked, by an append without entries, whether it has come to the base by some
 * other way. What is sent to it moves nothing: its own word does (SNAP-3). */
static void needs_compacted(struct raft *r, struct progress *p)
{
    raft_progress_probe(r, p);
    if (!p->needs_compacted)
        raft_trace(r, RAFT_TRACE_COMPACTED, p->id, p->next_index, NULL);
    p->needs_compacted = true;
    if (p->next_index <= r->log.base.index)
        p->next_index = r->log.base.index + 1;
    p->probe_sent = true; /* not before the next heartbeat: else refusals would chase each other */
    p->append_sent_us = r->now_us;
}

/* PROBE: one at a time, until the logs are known to agree to the end. REPLICATE: as long as
 * there is something to send and room under way. What is under way to one follower is bounded
 * (LOG-8). */
static bool may_append(const struct raft *r, const struct progress *p)
{
    if (p->state == PROGRESS_PROBE)
        return !p->probe_sent &&
               (p->next_index <= r->log.last_index || p->match_index != r->log.last_index);
    return p->next_index <= raft_send_bound(r, p) && p->n_inflight < RAFT_INFLIGHT_MSGS_MAX &&
           p->inflight_bytes < r->conf.inflight_bytes_max;
}

/* The entries from next_index on and the one before them. 0, or what the reader said. */
static int make_append(struct raft *r, const struct progress *p, struct raft_msg *m,
                       size_t *ret_bytes)
{
    const raft_index to = raft_send_bound(r, p);
    struct raft_entry *entries = NULL;
    int rc = 0;

    *ret_bytes = 0;
    m->prev.index = p->next_index - 1;
    m->prev.term = raft_log_term(&r->log, m->prev.index);
    if (m->prev.term == RAFT_TERM_COMPACTED)
        return RAFT_LOG_E_COMPACTED;
    if (p->next_index <= to && (!p->needs_compacted || p->state == PROGRESS_REPLICATE))
        rc = gather(r, p->next_index, to, &entries, &m->n_entries, ret_bytes);
    m->entries = entries;
    return rc;
}

static void note_append(struct raft *r, struct progress *p, unsigned n, size_t bytes)
{
    struct inflight *f;

    p->append_sent_us = r->now_us;
    if (p->state == PROGRESS_PROBE) {
        p->probe_sent = true;
        return;
    }
    rid_assert(n > 0);
    rid_assert(p->n_inflight < RAFT_INFLIGHT_MSGS_MAX);
    p->needs_compacted = false;
    if (p->n_inflight == 0)
        p->append_heard_us = r->now_us; /* the time without an answer counts from here */
    f = &p->inflight[(p->inflight_head + p->n_inflight) % RAFT_INFLIGHT_MSGS_MAX];
    *f = (struct inflight){p->next_index + n - 1, (uint32_t)bytes};
    p->n_inflight++;
    p->inflight_bytes += bytes;
    p->next_index += n;
}

/* What p takes from it (COMMIT-4), if it does. */
static void note_commit(struct progress *p, const struct raft_msg *m)
{
    const raft_index last = m->prev.index + m->n_entries;
    const raft_index commit = m->leader_commit < last ? m->leader_commit : last;

    if (p->told_commit < commit)
        p->told_commit = commit;
}

int raft_fill_appends(struct raft *r, struct progress *p)
{
    rid_assert(r->role == RAFT_LEADER);
    while (p->link_up && !p->waits_for_log && may_append(r, p)) {
        struct raft_msg m = {.type = RAFT_MSG_APPEND,
                             .to = p->id,
                             .term = r->hard_state.current_term,
                             .leader_commit = r->commit_index};
        size_t bytes;
        int rc = make_append(r, p, &m, &bytes);

        if (rc == RAFT_LOG_E_COMPACTED) {
            needs_compacted(r, p);
            break;
        }
        if (rc == RAFT_LOG_E_LATER) {
            p->waits_for_log = true;
            break;
        }
        if (rc != 0)
            return rc;
        raft_send(r, &r->msgs, &m);
        note_commit(p, &m);
        note_append(r, p, m.n_entries, bytes);
    }
    return 0;
}
