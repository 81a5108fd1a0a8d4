/* See node-world.h. The state machine keeps only where each key was written last: what commands mean
 * is tested elsewhere, here it is which entries arrive, when, and how often. */
#include "fuzz/node-world.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "wire/frame.h"

#include "base/banned.h"

/* ---- the state machine ---- */

static struct raft_entry_id state_last_applied(void *ctx)
{
    const struct world *w = ctx;

    if (w->n_applied == 0)
        return (struct raft_entry_id){0};
    return (struct raft_entry_id){w->applied[w->n_applied - 1].term, w->n_applied};
}

static int state_begin(void *ctx)
{
    struct world *w = ctx;

    rid_assert(!w->in_transaction);
    rid_assert(!w->in_read);
    w->in_transaction = true;
    w->n_begun = w->n_applied;
    return 0;
}

static struct state_key *state_find(struct world *w, struct wire_slice key, bool make)
{
    for (unsigned i = 0; i < w->n_keys; i++)
        if (w->keys[i].len == key.len && memcmp(w->keys[i].key, key.data, key.len) == 0)
            return &w->keys[i];
    if (!make || w->n_keys == STATE_KEYS_MAX)
        return NULL;
    rid_assert(key.len <= sizeof(w->keys[0].key));
    w->keys[w->n_keys] = (struct state_key){.len = key.len};
    memcpy(w->keys[w->n_keys].key, key.data, key.len);
    return &w->keys[w->n_keys++];
}

/* The entry is in this node's own log, durable. */
static void check_stored(struct world *w, const struct raft_entry *e)
{
    struct raft_entry stored;
    struct arena arena;
    unsigned n = 0;
    int r;

    arena_init(&arena, mem_libc);
    r = store_read(w->store, e->id.index, e->id.index, 1, &arena, &stored, 1, &n);
    if (r != 0) {
        rid_assert(w->faults);
    } else {
        rid_assert(n == 1);
        rid_assert(stored.id.index == e->id.index);
        rid_assert(stored.id.term == e->id.term);
        rid_assert(stored.type == e->type);
        rid_assert(stored.len == e->len);
        rid_assert(e->len == 0 || memcmp(stored.data, e->data, e->len) == 0);
    }
    arena_done(&arena);
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    struct world *w = ctx;
    struct command c;
    int rc;

    rid_assert(w->in_transaction);
    rid_assert(e->id.index == w->n_begun + 1);
    rid_assert(w->n_begun == 0 || e->id.term >= w->applied[w->n_begun - 1].term);
    check_stored(w, e);
    if (w->n_begun == w->applied_room) {
        w->applied_room = w->applied_room > 0 ? w->applied_room * 2 : 64;
        w->applied = realloc(w->applied, w->applied_room * sizeof(*w->applied));
        rid_assert(w->applied != NULL);
    }
    w->applied[w->n_begun++] = (struct applied){e->id.term, e->type, e->len};
    *ret_result = (struct command_result){.index = e->id.index};
    if (e->type != RAFT_ENTRY_COMMAND)
        return 0;
    rc = command_decode(e->data, e->len, &c);
    if (rc == COMMAND_E_NEWER)
        return KV_E_COMMAND_NEWER;
    if (rc != 0) {
        ret_result->status = COMMAND_INVALID;
    } else if (c.op != COMMAND_OPEN_SESSION) {
        struct state_key *k = state_find(w, c.key, true);

        if (k != NULL) {
            ret_result->existed = k->exists;
            k->exists = c.op != COMMAND_DELETE;
            k->modify_index = e->id.index;
        }
    }
    return 0;
}

/* Set aside: empty, and made again from the log. */
static int state_rebuild(void *ctx)
{
    struct world *w = ctx;

    rid_assert(!w->in_transaction);
    rid_assert(!w->in_read);
    rid_assert(raft_get_role(replica_raft(w->replica)) != RAFT_LEADER);
    w->n_applied = 0;
    w->n_keys = 0;
    w->damaged = false;
    return 0;
}

/* Known of the last entry alone; a sum over what tells states apart here. */
static bool state_digest_at(void *ctx, raft_index index, struct raft_digest_at *ret)
{
    const struct world *w = ctx;
    uint64_t sum = 0;

    if (w->in_transaction || index == 0 || index != w->n_applied)
        return false;
    for (unsigned i = 0; i < w->n_keys; i++)
        if (w->keys[i].exists)
            sum += hash_mix64(w->keys[i].modify_index * 31 + w->keys[i].key[1]);
    *ret = (struct raft_digest_at){index, 0, sum};
    return true;
}

static int state_value(struct world *w, struct wire_slice key, struct command_value *ret_value)
{
    const struct state_key *k = state_find(w, key, false);

    if (w->damaged)
        return KV_E_DAMAGED;

    *ret_value = (struct command_value){.exists = k != NULL && k->exists};
    if (ret_value->exists)
        ret_value->modify_index = k->modify_index;
    return 0;
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct world *w = ctx;

    rid_assert(w->in_transaction);
    return state_value(w, key, ret_value);
}

static int state_commit(void *ctx)
{
    struct world *w = ctx;

    rid_assert(w->in_transaction);
    w->in_transaction = false;
    w->n_applied = w->n_begun;
    return 0;
}

/* A command of a later version ends the node. What its transaction did to the keys is not undone one
 * by one: the next life builds the state from the log. */
static void state_abort(void *ctx)
{
    struct world *w = ctx;

    rid_assert(w->in_transaction);
    w->in_transaction = false;
    w->n_applied = 0;
    w->n_keys = 0;
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    struct world *w = ctx;

    rid_assert(!w->in_transaction);
    rid_assert(!w->in_read);
    w->in_read = true;
    *ret_last_applied = state_last_applied(w);
    return 0;
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    struct world *w = ctx;

    rid_assert(w->in_read);
    return state_value(w, key, ret_value);
}

static void state_read_end(void *ctx)
{
    struct world *w = ctx;

    rid_assert(w->in_read);
    w->in_read = false;
}

/* ---- the log ---- */

static int log_submit(void *ctx, const struct raft_ready *ready)
{
    struct world *w = ctx;

    rid_assert(ready->truncate_from == 0 || ready->truncate_from > w->n_applied);
    if (ready->truncate_from != 0 && w->promised_last >= ready->truncate_from)
        w->promised_last = ready->truncate_from - 1;
    if (ready->truncate_from != 0)
        w->handed_last = ready->truncate_from - 1;
    for (unsigned i = 0; i < ready->n_entries; i++) {
        w->handed_last = ready->entries[i].id.index;
        w->configs_came = w->configs_came || ready->entries[i].type == RAFT_ENTRY_CONFIG;
    }
    rid_assert(w->n_handed < HANDED_MOST);
    w->handed[w->n_handed++] = (struct handed){.number = ready->batch,
                                               .hard_state = ready->hard_state,
                                               .last = ready->n_entries > 0 ? w->handed_last : 0};
    return engine_log_submit(w->engine, ready);
}

/* The vote in that term, or a later term: that binds this node no less. */
static bool is_bound(const struct world *w, raft_term term, raft_node_id vote)
{
    for (unsigned i = w->n_durable; i > 0; i--) {
        const struct raft_hard_state *hs = &w->durable_states[i - 1];

        if (hs->current_term > term ||
            (hs->current_term == term && (vote == 0 || hs->voted_for == vote)))
            return true;
    }
    return false;
}

static void note_state(struct world *w, struct raft_hard_state hs)
{
    const struct raft_hard_state *last =
        w->n_durable > 0 ? &w->durable_states[w->n_durable - 1] : NULL;

    if (last != NULL && last->current_term == hs.current_term && last->voted_for == hs.voted_for)
        return;
    rid_assert(w->n_durable < HANDED_MOST);
    w->durable_states[w->n_durable++] = hs;
}

static void note_durable(struct world *w, uint64_t number)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < w->n_handed; i++) {
        const struct handed *h = &w->handed[i];

        if (h->number > number) {
            w->handed[kept++] = *h;
            continue;
        }
        note_state(w, h->hard_state);
        if (h->last > w->durable_most)
            w->durable_most = h->last;
        if (h->last == 0)
            continue;
        if (h->hard_state.current_term > w->durable_own.term)
            w->durable_own.index = 0;
        w->durable_own.term = h->hard_state.current_term;
        if (h->last > w->durable_own.index)
            w->durable_own.index = h->last;
    }
    w->n_handed = kept;
}

/* ---- what leaves ---- */

static bool same_message(const struct raft_msg *a, const struct raft_msg *b)
{
    if (a->type != b->type || a->from != b->from || a->to != b->to || a->term != b->term ||
        a->prev.index != b->prev.index || a->prev.term != b->prev.term ||
        a->leader_commit != b->leader_commit || a->index != b->index ||
        a->hint.index != b->hint.index || a->hint.term != b->hint.term || a->round != b->round ||
        a->reject != b->reject || a->n_entries != b->n_entries)
        return false;
    for (unsigned i = 0; i < a->n_entries; i++) {
        const struct raft_entry *x = &a->entries[i];
        const struct raft_entry *y = &b->entries[i];

        if (x->id.index != y->id.index || x->id.term != y->id.term || x->type != y->type ||
            x->len != y->len || (x->len > 0 && memcmp(x->data, y->data, x->len) != 0))
            return false;
    }
    return true;
}

static void check_wire(const struct raft_msg *m)
{
    cleanup_buf struct buf b = BUF_INIT;
    struct wire_frame frame;
    struct raft_msg again;
    struct arena arena;

    rid_assert(wire_msg_encode(m, &b) == 0);
    rid_assert(wire_frame_cut(b.data, b.len, &frame, NULL) == 0);
    rid_assert(frame.total_len == b.len);
    arena_init(&arena, mem_libc);
    rid_assert(wire_msg_decode(&frame, m->from, m->to, &arena, &again) == 0);
    rid_assert(same_message(m, &again));
    arena_done(&arena);
}

static void promise(struct world *w, raft_term term, raft_node_id vote)
{
    rid_assert(is_bound(w, term, vote));
    if (term > w->promised.current_term)
        w->promised = (struct raft_hard_state){.current_term = term, .voted_for = vote};
    else if (term == w->promised.current_term && vote != 0)
        w->promised.voted_for = vote;
}

static void send_msg(void *ctx, const struct raft_msg *m)
{
    struct world *w = ctx;

    rid_assert(!w->dead);
    check_wire(m);
    judge_sent(w, m);
    switch (m->type) {
    case RAFT_MSG_VOTE:
        promise(w, m->term, w->self);
        break;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_SNAPSHOT:
        promise(w, m->term, w->self);
        break;
    case RAFT_MSG_VOTE_RESP:
        if (!m->reject)
            promise(w, m->term, m->to);
        break;
    case RAFT_MSG_APPEND_RESP:
        if (m->reject)
            break;
        promise(w, m->term, 0);
        if (m->index > w->promised_last)
            w->promised_last = m->index < w->handed_last ? m->index : w->handed_last;
        break;
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_PRE_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_SNAPSHOT_RESP:
    case RAFT_MSG_READ_ASK:
    case RAFT_MSG_READ_ANSWER:
        break;
    }
    if (m->type == RAFT_MSG_HEARTBEAT || m->type == RAFT_MSG_HEARTBEAT_RESP)
        w->said = m->note;
    w->outbox[w->n_sent % OUTBOX] = *m;
    w->outbox[w->n_sent % OUTBOX].entries = NULL;
    w->outbox[w->n_sent % OUTBOX].part = NULL;
    w->n_sent++;
}

static uint64_t now_us(void *ctx)
{
    return ((struct world *)ctx)->now_us;
}

static void trace(void *ctx, const struct raft_trace *t)
{
    (void)ctx;
    (void)t;
}

static void on_end(void *ctx, const struct engine_end *end)
{
    struct world *w = ctx;

    rid_assert(w->faults || end->error == KV_E_COMMAND_NEWER);
    w->dead = true;
}

/* ---- life and death ---- */

/* What the log has kept is all that was promised. */
static int on_recovered(void *ctx, const struct store_recovered *rec)
{
    struct world *w = ctx;

    rid_assert(rec->hard_state.current_term >= w->promised.current_term);
    rid_assert(rec->hard_state.current_term > w->promised.current_term ||
               w->promised.voted_for == 0 || rec->hard_state.voted_for == w->promised.voted_for);
    rid_assert(rec->last_index >= w->promised_last);
    rid_assert(rec->last_index >= w->n_applied);
    w->n_handed = 0;
    w->n_durable = 0;
    note_state(w, rec->hard_state);
    w->handed_last = rec->last_index;
    w->durable_most = rec->last_index;
    w->durable_own = (struct raft_entry_id){0};
    return 0;
}

void world_boot(struct world *w)
{
    const struct engine_ops ops = {.ctx = w,
                                   .now_us = now_us,
                                   .send = send_msg,
                                   .end = on_end,
                                   .trace = trace,
                                   .log_submit = log_submit,
                                   .recovered = on_recovered};
    const struct engine_state state = {.ctx = w,
                                       .last_applied = state_last_applied,
                                       .begin = state_begin,
                                       .apply = state_apply,
                                       .apply_get = state_apply_get,
                                       .commit = state_commit,
                                       .abort = state_abort,
                                       .read_begin = state_read_begin,
                                       .get = state_get,
                                       .read_end = state_read_end,
                                       .rebuild = state_rebuild,
                                       .digest_at = state_digest_at,
                                       .digest_version = FUZZ_DIGEST_VERSION};
    const struct engine_conf conf = {.node_name = "n1",
                                     .raft = w->raft_conf,
                                     .log = w->store_conf,
                                     .log_path = "wal",
                                     .state = &state,
                                     .may_be_stranger = true};

    rid_assert(engine_new(&ops, NULL, &w->engine) == 0);
    rid_assert(engine_open(w->engine, &conf) == 0);
    w->store = engine_store(w->engine);
    w->replica = engine_replica(w->engine);
    rid_assert(engine_read_ahead(w->engine) == 0);
    w->n_works = 0;
    memset(w->seen, 0, sizeof(w->seen));
    w->dead = false;
    w->faults = false;
    w->n_sent = 0;
    memset(w->sessions, 0, sizeof(w->sessions));
}

void world_stop(struct world *w)
{
    engine_stop(w->engine);
    w->replica = NULL;
    w->in_transaction = false;
    w->in_read = false;
    for (unsigned i = 0; i < REQUESTS_MOST; i++)
        rid_assert(!w->requests[i].live); /* all are answered, the last ones by `cancelled` */
    engine_free(w->engine, false);
    w->engine = NULL;
    w->store = NULL;
    rid_assert(fake_disk_n_open(w->disk) == 0);
}

void world_crash(struct world *w, const uint8_t *s)
{
    static const unsigned percent[] = {100, 0, 20, 50, 80, 30, 60, 95};
    struct fake_disk_cut cut = {.sector_bytes = (s[1] & 2) != 0 ? 4096 : 512,
                                .keep_percent = percent[s[2] % 8],
                                .garble_percent = percent[s[3] % 8]};

    world_stop(w);
    fake_disk_fail_call(w->disk, 0, 0);
    fake_disk_set_capacity(w->disk, 0);
    if (fake_disk_is_off(w->disk) || (s[1] & 1) != 0)
        fake_disk_power_on(w->disk, &cut);
    else
        fake_disk_restart(w->disk);
    if ((s[1] & 4) != 0 || w->damaged) { /* the state is not trusted: from the log again */
        w->n_applied = 0;
        w->n_keys = 0;
        w->damaged = false;
    }
    world_boot(w);
}

/* ---- turns and batches ---- */

void world_turn(struct world *w, const uint8_t *s)
{
    engine_turn(w->engine, w->now_us);
    if (w->dead)
        world_crash(w, s);
}

void world_write(struct world *w, const uint8_t *s)
{
    uint64_t number = 0;

    if (w->n_works == WORKS_MOST)
        world_report(w);
    if (engine_has_reads(w->engine))
        engine_read(w->engine);
    if (store_work(w->store, &number) != 0) {
        rid_assert(w->faults);
        world_crash(w, s);
        return;
    }
    if (number != 0) {
        w->work_numbers[w->n_works++] = number;
        note_durable(w, number);
    }
}

void world_report(struct world *w)
{
    uint64_t number = w->work_numbers[0];

    if (w->n_works == 0)
        return;
    w->n_works--;
    memmove(w->work_numbers, w->work_numbers + 1, w->n_works * sizeof(w->work_numbers[0]));
    replica_stored(w->replica, number, w->now_us);
}
