/* When a node takes no more writes for lack of room, and what it says of that.
 *
 * Four things can be full, and they are told apart because other things help:
 *
 *   quota   the state holds as many live bytes as the cluster has agreed on. Deleting helps. The
 *           limit is part of the state, set by an entry of the log (SPACE-5); here it is only
 *           looked at early, with what is in flight, so that the log does not fill with writes
 *           that the apply would refuse. The apply decides.
 *   log     the disk has no room for the log's next segment (SPACE-1)
 *   state   the disk had no room for what is committed: the apply is parked until it has (SPACE-6)
 *   nodes   this leader has room, and with so many others has not that nothing would be committed:
 *           they say so in their notes (SPACE-11)
 *
 * Each ends by itself. Refused is what would be appended, at the moment when it would be (SPACE-2):
 * a write that waited for a leader, too. Reads, elections and what is in the log already go on.
 *
 * A leader whose file names another limit than the state has proposes an entry that sets it, once
 * every member is known to understand such an entry: an older one would end at it (STATE-10). Until
 * the state has a limit, a leader goes by that of its file, at propose only. */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "raft/quorum.h"

#include "base/banned.h"

static const char *what_is_full(const struct space *s)
{
    if (s->log_is_full)
        return "log";
    if (s->state_is_full)
        return "state";
    if (s->nodes_are_full)
        return "nodes";
    return s->refused_bytes > 0 ? "quota" : NULL;
}

/* What the state holds and may hold; false: it does not say. */
static bool look_at_state(const struct engine *e, uint64_t *ret_live, uint64_t *ret_limit)
{
    *ret_live = 0;
    *ret_limit = 0;
    if (e->state.space == NULL)
        return false;
    e->state.space(e->state.ctx, ret_live, ret_limit);
    return true;
}

/* The limit that holds at propose: that of the state, and while it has none that of the file. */
static uint64_t limit_of(const struct engine *e, uint64_t limit_of_state)
{
    return limit_of_state != 0 ? limit_of_state : e->space.quota_bytes;
}

/* Proposed, and not handed to the log yet. Counted are entries that were appended: of the writes
 * that may be proposed the core refuses many when its disk is slow, and they would stand against
 * the limit for as long as nothing else is appended. */
static uint64_t spent(const struct engine *e)
{
    struct replica_stats st;

    replica_get_stats(e->replica, &st);
    return st.n_entry_bytes_proposed - e->space.bytes_submitted +
           (st.n_entries_proposed - e->space.entries_submitted) * kv_record_bytes(0, 0);
}

static uint64_t used_of(const struct engine *e, uint64_t live)
{
    return live + e->space.in_flight + spent(e);
}

static void look_at_log(struct engine *e)
{
    struct store_stats log;

    if (e->store == NULL)
        return;
    store_get_counts(e->store, &log);
    e->space.log_is_full = log.no_space;
    e->space.log_bytes = log.log_bytes;
    e->space.log_limit = log.log_bytes + log.room_bytes;
}

static void look_at_disk(struct engine *e)
{
    struct space *s = &e->space;

    if (!s->state_is_full || e->state.disk_room == NULL ||
        !e->state.disk_room(e->state.ctx, &s->disk_used, &s->disk_limit))
        s->disk_used = s->disk_limit = 0;
}

/* Of what is full: nobody who is told that a log or a disk is full is helped by the quota. */
static struct replica_no_space figures_of_disks(const struct space *s)
{
    const char *what = what_is_full(s);

    if (s->log_is_full)
        return (struct replica_no_space){what, s->log_bytes, s->log_limit};
    return (struct replica_no_space){what, s->disk_used, s->disk_limit};
}

/* Those that are heard would be a quorum, and those of them that say none of this are not. Where
 * those that are heard are none it is not room that is lacking, and this node does not lead much
 * longer. */
static bool quorum_says(const struct engine *e, uint32_t flags)
{
    const struct raft *raft = engine_raft(e);
    const unsigned quorum = raft_quorum_size(raft_get_configuration(raft));

    return raft_n_voters_without(raft, flags) < quorum && raft_n_voters_without(raft, 0) >= quorum;
}

static void look_at_nodes(struct engine *e)
{
    e->space.nodes_are_full = quorum_says(e, RAFT_NOTE_PARKED | NOTE_LOG_FULL);
}

/* How many voters are away or full, and how many may be. */
static void count_nodes(const struct engine *e, struct replica_no_space *ret)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));
    const unsigned n = raft_configuration_n_voters(c);

    ret->used = n - raft_n_voters_without(engine_raft(e), RAFT_NOTE_PARKED | NOTE_LOG_FULL);
    ret->limit = n - raft_quorum_size(c);
}

static void say_change(struct engine *e, const char *before)
{
    const char *now = what_is_full(&e->space);
    uint64_t live;
    uint64_t limit;

    if (now == before || !engine_logs(e))
        return;
    (void)look_at_state(e, &live, &limit);
    limit = limit_of(e, limit);
    /* How full a disk is the quota does not say, and of the nodes each says it itself. */
    if (now != NULL && strcmp(now, "quota") != 0)
        log_event(LOG_ERROR, "no_space", "what=%s action=refuse_writes", now);
    else if (now != NULL)
        log_event(LOG_ERROR, "no_space", "what=%s used=%llu limit=%llu action=refuse_writes", now,
                  (unsigned long long)live, (unsigned long long)limit);
    else
        log_event(LOG_INFO, "space_again", "used=%llu limit=%llu", (unsigned long long)live,
                  (unsigned long long)limit);
}

/* ---- at propose ---- */

/* Damage that is met here is as real as any (FIT-7). But a write is being proposed, perhaps by who
 * is answered from a read transaction: the state is made again in the turn that comes. */
static void note_damage(struct engine *e, int rc)
{
    if (rc == 0 || e->state.rebuild == NULL || replica_rebuilding(e->replica))
        return;
    if (!e->space.met_damage)
        e->space.met_damage = engine_state_is_damaged(e, rc, "cannot read the state");
}

/* What the record has now, so that a write which does not make the state larger is taken even when
 * it is full. Called from callbacks that are served in a read transaction, too. */
static uint64_t bytes_now(struct engine *e, struct wire_slice key)
{
    struct command_value value = {0};
    struct raft_entry_id id;
    bool reading = e->reading;
    uint64_t bytes = 0;
    int rc = reading ? 0 : e->state.read_begin(e->state.ctx, &id);

    if (rc == 0) {
        rc = e->state.get(e->state.ctx, key, &value);
        if (rc == 0 && value.exists)
            bytes = kv_record_bytes(key.len, value.text.len);
        if (!reading)
            e->state.read_end(e->state.ctx);
    }
    note_damage(e, rc);
    return bytes;
}

/* Refused here is a write that cannot have been made before. One that names a session may be a
 * repetition of one that was: whoever was told that it certainly did not happen would be told
 * wrong. Only its place in the log says what becomes of it (SESSION-8). */
static bool is_judged_early(const struct command *c)
{
    if (c->op == COMMAND_OPEN_SESSION)
        return true;
    return c->first == 0 && c->op != COMMAND_DELETE && c->op != COMMAND_LIMIT &&
           c->key.data[0] != KEY_TYPE_INTERNAL;
}

static bool is_within_quota(struct engine *e, const struct command *c, struct replica_no_space *ret)
{
    const bool opens = c->op == COMMAND_OPEN_SESSION;
    const uint64_t bytes = opens ? kv_session_bytes() : kv_record_bytes(c->key.len, c->value.len);
    struct space *s = &e->space;
    uint64_t before;
    uint64_t live;
    uint64_t limit;

    if (!is_judged_early(c) || !look_at_state(e, &live, &limit))
        return true;
    limit = limit_of(e, limit);
    if (limit == 0 || used_of(e, live) + bytes <= limit)
        return true;
    before = opens ? 0 : bytes_now(e, c->key);
    if (bytes <= before || used_of(e, live) + bytes - before <= limit)
        return true;
    s->refused_bytes = bytes - before;
    *ret = (struct replica_no_space){"quota", live, limit};
    return false;
}

static bool may_write(struct engine *e, const struct replica_request *q,
                      struct replica_refusal *ret)
{
    struct command c;

    if (command_decode(q->command, q->command_len, &c) != 0)
        return true;
    if ((c.op == COMMAND_OPEN_SESSION || c.first != 0) && !engine_may_name_session(e, ret))
        return false;
    return is_within_quota(e, &c, &ret->space);
}

/* Asked right before anything is appended for a request (SPACE-2). */
bool engine_may_propose(void *ctx, const struct replica_request *q, struct replica_refusal *ret)
{
    struct engine *e = ctx;
    struct space *s = &e->space;
    const char *before = what_is_full(s);
    bool may = true;

    ret->error = WIRE_ERROR_NO_SPACE;
    look_at_log(e);
    look_at_nodes(e);
    if (s->log_is_full || s->state_is_full) {
        ret->space = figures_of_disks(s);
        /* A marker changes nothing in the state. */
        may = !s->log_is_full && q->kind != REPLICA_WRITE;
    } else if (s->nodes_are_full) {
        ret->space.what = "nodes";
        count_nodes(e, &ret->space);
        may = q->kind != REPLICA_WRITE && !quorum_says(e, NOTE_LOG_FULL);
    } else if (q->kind == REPLICA_WRITE) {
        may = may_write(e, q, ret);
    }
    say_change(e, before);
    return may;
}

/* A follower takes what it can store, and keeps what elections need: term and vote, a no-op, a
 * configuration stand in the same log, behind whatever was taken (SPACE-9). The leader sends again
 * what is not taken. */
bool engine_may_store(void *ctx, const struct raft_msg *m)
{
    struct engine *e = ctx;
    struct store_stats log;
    uint64_t bytes = 0;
    uint64_t kept = 0;

    if (e->store == NULL)
        return true;
    store_get_counts(e->store, &log);
    for (unsigned i = 0; i < m->n_entries; i++) {
        bytes += store_record_bytes(m->entries[i].len);
        /* What is kept is for the others: a no-op is what lets a leader serve reads. */
        if (m->entries[i].type == RAFT_ENTRY_COMMAND)
            kept = STORE_KEPT_BYTES;
    }
    if (log.no_space && log.queued_bytes + e->space.taken + bytes + kept > log.room_bytes)
        return false;
    e->space.taken += bytes;
    return true;
}

/* ---- what is in flight ---- */

static uint64_t cost_of(const struct raft_entry *entry)
{
    return entry->type == RAFT_ENTRY_COMMAND ? kv_record_bytes(0, entry->len) : 0;
}

/* What was truncated is not known one by one: only a leader asks, whose log is never truncated, and
 * what it counts too little of the time before it led the apply sees. */
void engine_space_submitted(struct engine *e, const struct raft_ready *ready)
{
    struct space *s = &e->space;
    struct replica_stats st;

    replica_get_stats(e->replica, &st);
    s->entries_submitted = st.n_entries_proposed;
    s->bytes_submitted = st.n_entry_bytes_proposed;
    s->taken = 0;
    if (ready->truncate_from != 0)
        s->in_flight = 0;
    for (unsigned i = 0; i < ready->n_entries; i++)
        s->in_flight += cost_of(&ready->entries[i]);
}

void engine_space_applied(struct engine *e, const struct raft_entry *entry)
{
    const uint64_t cost = cost_of(entry);
    struct space *s = &e->space;

    if (entry->id.index <= s->applied)
        return; /* tried before, and undone for want of room */
    s->applied = entry->id.index;
    s->in_flight = s->in_flight > cost ? s->in_flight - cost : 0;
}

/* Nor are entries that a snapshot passed over: they will not be applied here (SNAP-19). */
void engine_space_state_is_new(struct engine *e)
{
    const raft_index applied = e->state.last_applied(e->state.ctx).index;

    if (applied <= e->space.applied)
        return;
    e->space.applied = applied;
    e->space.in_flight = 0;
}

/* ---- the limit ---- */

static struct engine *engine_of(struct replica_request *q)
{
    return list_entry(list_entry(q, struct space, request), struct engine, space);
}

static void limit_written(struct replica_request *q, const struct command_result *result)
{
    struct engine *e = engine_of(q);

    e->space.asked = false;
    if (engine_logs(e) && result->status == COMMAND_OK)
        log_event(LOG_INFO, "limit_set", "limit=%llu index=%llu",
                  (unsigned long long)e->space.asked_bytes, (unsigned long long)result->index);
}

static void limit_failed(struct replica_request *q, const struct replica_failure *f)
{
    (void)f; /* whoever leads looks again */
    engine_of(q)->space.asked = false;
}

static void propose_limit(struct engine *e, uint64_t now_us)
{
    struct space *s = &e->space;
    struct command c = {.op = COMMAND_LIMIT};
    char text[COMMAND_LIMIT_CHARS];
    struct wire_key key;

    command_limit_key(&key);
    command_limit_text(s->quota_bytes, text);
    c.key = (struct wire_slice){(const char *)key.bytes, key.len};
    c.value = (struct wire_slice){text, strlen(text)};
    buf_reset(&s->command, COMMAND_LIMIT_CHARS);
    if (command_encode(&c, &s->command) != 0)
        return;
    s->request = (struct replica_request){.kind = REPLICA_WRITE,
                                          .deadline_us = now_us + SPACE_LIMIT_US,
                                          .command = s->command.data,
                                          .command_len = s->command.len,
                                          .written = limit_written,
                                          .failed = limit_failed};
    s->asked = true;
    s->asked_bytes = s->quota_bytes; /* the file may be read again before it is written */
    replica_submit(e->replica, &s->request, now_us);
}

static void keep_limit(struct engine *e, uint64_t now_us)
{
    raft_node_id behind;
    uint64_t live;
    uint64_t limit;

    if (e->space.quota_bytes == 0 || e->space.asked || !replica_can_serve(e->replica) ||
        !look_at_state(e, &live, &limit) || limit == e->space.quota_bytes)
        return;
    if (limit != 0 || engine_all_know(e, COMMAND_VERSION_LIMIT, &behind))
        propose_limit(e, now_us);
}

/* Who leads proposes it with the next look, as after an election; others when they lead. So files
 * that differ change the limit once for each leader, and a leader's once for each time that it is
 * read (SPACE-5). */
void engine_set_quota(struct engine *e, uint64_t quota_bytes)
{
    if (quota_bytes == e->space.quota_bytes)
        return;
    e->space.quota_bytes = quota_bytes;
    e->space.due_us = 0;
    if (e->kv != NULL)
        kv_set_ahead(e->kv, quota_bytes / KV_AHEAD_QUOTA_PART);
}

/* ---- the turn ---- */

void engine_space_turn(struct engine *e, uint64_t now_us)
{
    struct space *s = &e->space;
    const char *before = what_is_full(s);
    const bool was_full = s->state_is_full;
    uint64_t live;
    uint64_t limit;

    /* What was taken goes to the log in this turn; what the log has already, or did not fit behind
     * it, goes nowhere, and must not be held against what comes. */
    s->taken = 0;
    s->state_is_full = replica_is_parked(e->replica) || e->snap.receiving.is_full;
    if (s->met_damage) {
        s->met_damage = false;
        replica_rebuild(e->replica, now_us);
    }
    look_at_log(e);
    look_at_nodes(e);
    /* One that cannot take writes leads only where nobody else would (FIT-1); of a state that is
     * parked the replica says it. */
    if (s->log_is_full != s->parks) {
        s->parks = s->log_is_full;
        engine_set_parked(e, s->parks);
    }
    if (s->state_is_full != was_full || (s->state_is_full && now_us >= s->due_us))
        look_at_disk(e);
    if (now_us >= s->due_us) {
        s->due_us = now_us + SPACE_LOOK_US;
        if (s->refused_bytes > 0 && look_at_state(e, &live, &limit) &&
            used_of(e, live) + s->refused_bytes <= limit_of(e, limit))
            s->refused_bytes = 0;
        keep_limit(e, now_us);
    }
    say_change(e, before);
}

const char *engine_full(const struct engine *e)
{
    return what_is_full(&e->space);
}

void engine_space_status(const struct engine *e, struct wire_reply *w)
{
    struct replica_no_space f;
    uint64_t live;
    uint64_t limit;

    (void)look_at_state(e, &live, &limit);
    f = (struct replica_no_space){what_is_full(&e->space), live, limit_of(e, limit)};
    if (e->space.log_is_full || e->space.state_is_full)
        f = figures_of_disks(&e->space);
    wire_reply_open_object(w, "space");
    wire_reply_str(w, "full", f.what);
    wire_reply_u64(w, "used_bytes", f.used);
    wire_reply_u64(w, "limit_bytes", f.limit);
    wire_reply_bool(w, "parked", e->space.state_is_full);
    wire_reply_close_object(w);
}
