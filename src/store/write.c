/* The log thread's half: what is queued becomes disk batches, one pwritev and one fdatasync each.
 * How a batch and a segment reach the disk is stages.c; where the next segment comes from is
 * room.c. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/store_int.h"

#include "base/banned.h"

/* ---- building a batch ---- */

int store_put_record(struct writer *w, const struct record *rec)
{
    size_t at = w->out.len;
    struct record of_group = *rec;
    int rc;

    of_group.group = w->group;
    rc = record_encode(&w->out, w->salt, w->used + at, &of_group);

    if (rc != 0)
        return err_origin(rc);
    w->chain = crc32c(w->chain, w->out.data + at, w->out.len - at);
    w->n_records++;
    w->n_bytes += w->out.len - at;
    return 0;
}

int store_put_hard_state(struct writer *w, const struct raft_hard_state *hs)
{
    unsigned char data[LEASED_STATE_BYTES];
    const bool leased = hs->lease_max_us != 0;

    /* No term falls, no vote changes (DISK-8) and no promise is forgotten (LEASE-3): before it is
     * written as after it is read. */
    rid_assert(hs->current_term >= w->hard_state.current_term);
    rid_assert(hs->current_term > w->hard_state.current_term || w->hard_state.voted_for == 0 ||
               hs->voted_for == w->hard_state.voted_for);
    rid_assert(hs->lease_max_us >= w->hard_state.lease_max_us);
    rid_assert(hs->lease_max_us <= RAFT_LEASE_US_MAX);
    put_u64(data, hs->voted_for);
    put_u64(data + 8, hs->lease_max_us);
    w->hard_state = *hs;
    return store_put_record(
        w, &(struct record){.type = leased ? RECORD_LEASED_STATE : RECORD_HARDSTATE,
                            .batch = w->batch,
                            .term = hs->current_term,
                            .len = hard_state_len(hs),
                            .data = data});
}

int store_put_entry(struct writer *w, const struct raft_entry *e)
{
    rid_assert(e->id.index == w->last_index + 1);
    rid_assert(e->id.term >= w->last_term);
    if (term_list_push(&w->terms, e->id.term, e->id.index) != 0)
        return err_origin(-ENOMEM);
    if (e->type == RAFT_ENTRY_CONFIG && store_note_config(w, e->id, e->data, e->len) != 0)
        return err_origin(-ENOMEM);
    w->last_index = e->id.index;
    w->last_term = e->id.term;
    return store_put_record(w, &(struct record){.type = RECORD_ENTRY,
                                                .flags = (uint8_t)e->type,
                                                .batch = w->batch,
                                                .index = e->id.index,
                                                .term = e->id.term,
                                                .len = e->len,
                                                .data = e->data});
}

/* ---- from submissions to batches ---- */

/* A submission is written as steps. A disk batch is a run of steps, but a reset is a segment of its
 * own. */
enum step {
    STEP_RESET,
    STEP_MARK,
    STEP_TRUNCATE,
    STEP_HARD_STATE,
    STEP_ENTRIES, /* the first of them */
};

static unsigned n_steps(const struct submission *sub)
{
    return STEP_ENTRIES + sub->n_entries;
}

static bool is_reset(struct step_cursor c)
{
    return c.sub != NULL && c.step == STEP_RESET && c.sub->reset.index != 0;
}

static size_t step_bytes(const struct submission *sub, unsigned step)
{
    switch (step) {
    case STEP_RESET:
        return 0;
    case STEP_MARK:
        return sub->mark.index != 0 ? record_bytes(SNAPMARK_BYTES) : 0;
    case STEP_TRUNCATE:
        return sub->truncate_from != 0 ? record_bytes(0) : 0;
    case STEP_HARD_STATE:
        return sub->has_hard_state ? record_bytes(hard_state_len(&sub->hard_state)) : 0;
    default:
        return record_bytes(sub->entries[step - STEP_ENTRIES].len);
    }
}

static void cursor_next(struct step_cursor *c)
{
    c->step++;
    while (c->sub != NULL && c->step >= n_steps(c->sub)) {
        c->sub = c->sub->next;
        c->step = 0;
    }
}

/* How far does one batch reach from `from`, which is no reset, and how many bytes is it? */
static struct step_cursor plan(struct step_cursor from, uint64_t bytes_max, uint64_t *ret_bytes)
{
    uint64_t bytes = record_bytes(BATCH_END_BYTES);
    bool any = false;

    while (from.sub != NULL && !is_reset(from)) {
        size_t n = step_bytes(from.sub, from.step);

        if (n > 0 && any && bytes + n > bytes_max)
            break;
        any = any || n > 0;
        bytes += n;
        cursor_next(&from);
    }
    *ret_bytes = any ? bytes : 0;
    return from;
}

static int push_op(struct writer *w, struct index_op op)
{
    struct index_op *ops = array_reserve(mem_libc, w->ops, &w->ops_size, w->n_ops, 1, sizeof(*ops));

    if (ops == NULL)
        return err_origin(-ENOMEM);
    w->ops = ops;
    w->ops[w->n_ops++] = op;
    return 0;
}

static int put_truncate(struct store *s, const struct submission *sub)
{
    struct writer *w = &s->w;
    int rc;

    rid_assert(sub->truncate_from <= w->last_index + 1);
    rc = push_op(w, (struct index_op){.truncate_from = sub->truncate_from});
    if (rc == 0)
        rc = store_put_record(w, &(struct record){.type = RECORD_TRUNCATE,
                                                  .batch = w->batch,
                                                  .index = sub->truncate_from});
    w->pace.fresh = true;
    w->last_index = sub->truncate_from - 1;
    term_list_truncate(&w->terms, sub->truncate_from);
    store_truncate_configs(w, sub->truncate_from);
    w->last_term = term_list_at(&w->terms, w->last_index);
    w->commit_index = store_min_u64(w->commit_index, w->last_index);
    return err_trace(rc);
}

/* Snapshot and log must agree (DISK-9): before it is written as after it is read. */
static int put_mark(struct writer *w, struct raft_entry_id id)
{
    static const unsigned char no_hash[SNAPMARK_BYTES];

    rid_assert(id.index <= w->last_index);
    rid_assert(id.index < w->terms.base.index || term_list_at(&w->terms, id.index) == id.term);
    if (id.index > w->mark.index)
        w->mark = id;
    return store_put_record(w, &(struct record){.type = RECORD_SNAPMARK,
                                                .batch = w->batch,
                                                .index = id.index,
                                                .term = id.term,
                                                .len = sizeof(no_hash),
                                                .data = no_hash});
}

static int put_step(struct store *s, const struct submission *sub, unsigned step)
{
    struct writer *w = &s->w;
    uint64_t offset = w->used + w->out.len;
    const struct raft_entry *e;

    if (step_bytes(sub, step) == 0)
        return 0;
    if (step == STEP_MARK)
        return err_trace(put_mark(w, sub->mark));
    if (step == STEP_TRUNCATE)
        return err_trace(put_truncate(s, sub));
    if (step == STEP_HARD_STATE)
        return err_trace(store_put_hard_state(w, &sub->hard_state));
    e = &sub->entries[step - STEP_ENTRIES];
    if (index_pace_take(&w->pace, offset)) {
        const uint32_t slot = s->first_slot + s->n_segments - 1;
        struct index_point p = {e->id.index, slot, (uint32_t)offset};
        int rc = push_op(w, (struct index_op){.point = p});

        if (rc != 0)
            return err_trace(rc);
    }
    return err_trace(store_put_entry(w, e));
}

/* A segment whose header names an entry that is of the log no more cannot be the first
 * (DISK-42). */
static void note_truncation(struct store *s, raft_index from)
{
    log_index_truncate(&s->index, from);
    for (uint32_t i = s->n_gone; i < s->n_segments; i++)
        if (s->segments[i].base.index >= from)
            s->segments[i].may_begin = false;
}

/* What is durable becomes visible to readers. */
static int publish(struct store *s, unsigned n_entries)
{
    struct writer *w = &s->w;
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    rc = log_index_reserve(&s->index, w->n_ops);
    for (size_t i = 0; rc == 0 && i < w->n_ops; i++) {
        if (w->ops[i].truncate_from != 0) {
            note_truncation(s, w->ops[i].truncate_from);
        } else {
            log_index_add(&s->index, w->ops[i].point);
        }
    }
    if (rc == 0) {
        s->last_index = w->last_index;
        s->marked = w->mark.index;
    }
    s->stats.n_entries += n_entries;
    (void)pthread_mutex_unlock(&s->lock);
    w->n_ops = 0;
    return rc != 0 ? err_origin(rc) : 0;
}

static int write_run(struct store *s, struct step_cursor from, struct step_cursor to)
{
    struct writer *w = &s->w;
    int rc;

    w->batch_to = to;
    w->batch_entries = 0;
    while (from.sub != to.sub || from.step != to.step) {
        rid_assert(from.sub != NULL); /* `to` lies ahead in the same queue */
        rc = put_step(s, from.sub, from.step);
        if (rc != 0)
            return err_trace(rc);
        w->batch_entries += from.step >= STEP_ENTRIES;
        /* The hint covers entries of its own submission: it goes with the last of them. */
        if (from.step + 1 == n_steps(from.sub))
            w->commit_index = store_max_u64(w->commit_index, from.sub->commit_index);
        cursor_next(&from);
    }
    rc = store_seal_batch(w);
    w->stage = STAGE_BATCH;
    return rc != 0 ? err_trace(rc) : err_trace(store_go_on(s));
}

/* All that is queued by now: the batch that comes next may begin with the rest of what was taken
 * before. */
static void take_queue(struct store *s)
{
    struct writer *w = &s->w;

    (void)pthread_mutex_lock(&s->lock);
    if (s->queue != NULL) {
        *w->taken_end = take_ptr(s->queue);
        w->taken_end = s->queue_end;
        s->queue_end = &s->queue;
    }
    s->rest = w->taken != NULL;
    store_follow_base(w, s->base);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Those before `to` are wholly durable. */
static void drop_written(struct store *s, struct step_cursor to)
{
    struct writer *w = &s->w;
    uint64_t bytes = 0;
    uint64_t n = 0;

    while (w->taken != to.sub) {
        struct submission *sub = w->taken;

        w->durable = sub->number;
        w->taken = sub->next;
        bytes += sub->bytes;
        n += sub->mark.index == 0;
        free(sub);
    }
    w->step = to.step;
    if (w->taken == NULL)
        w->taken_end = &w->taken;
    (void)pthread_mutex_lock(&s->lock);
    s->stats.n_batches += n;
    s->stats.queued_bytes -= bytes;
    s->rest = w->taken != NULL || w->durable != 0;
    (void)pthread_mutex_unlock(&s->lock);
}

int store_end_batch(struct store *s)
{
    int rc = publish(s, s->w.batch_entries);

    if (rc == 0)
        drop_written(s, s->w.batch_to);
    return err_trace(rc);
}

void store_end_reset(struct store *s)
{
    struct step_cursor to = {.sub = s->w.taken, .step = s->w.step};

    cursor_next(&to);
    drop_written(s, to);
}

/* Before anything of the batch is written: without a place for it nothing has happened, and it
 * stays first in line (SPACE-9). */
static int find_place(struct store *s, uint64_t bytes, bool *ret_is_there)
{
    int rc;

    *ret_is_there = store_room_fits(&s->w, bytes);
    if (*ret_is_there)
        return 0;
    rc = store_room_ensure(s, bytes, ret_is_there);
    if (rc == 0 && *ret_is_there)
        rc = store_rotate(s);
    *ret_is_there = *ret_is_there && s->w.stage == STAGE_NONE;
    return err_trace(rc);
}

/* It waits for a segment of its own as a batch waits for a place (SPACE-9). */
static int write_reset(struct store *s, const struct submission *sub)
{
    bool is_there = false;
    int rc = store_room_ensure(s, record_bytes(sub->reset_config_len), &is_there);

    if (rc == 0 && is_there)
        rc = store_reset(s, sub);
    return err_trace(rc);
}

static int write_next(struct store *s)
{
    struct writer *w = &s->w;
    const struct step_cursor from = {.sub = w->taken, .step = w->step};
    struct step_cursor to;
    bool is_there = false;
    uint64_t bytes;
    int rc;

    if (from.sub == NULL)
        return 0;
    if (is_reset(from))
        return err_trace(write_reset(s, from.sub));
    to = plan(from, w->bytes_max, &bytes);
    if (bytes == 0) {
        drop_written(s, to);
        return 0;
    }
    rc = find_place(s, bytes, &is_there);
    if (rc == 0 && is_there)
        rc = write_run(s, from, to);
    return err_trace(rc);
}

/* What became durable, and was not said. */
static void say_durable(struct store *s, uint64_t *ret_number)
{
    struct writer *w = &s->w;

    if (w->durable != 0)
        *ret_number = w->durable;
    w->durable = 0;
    (void)pthread_mutex_lock(&s->lock);
    s->rest = w->taken != NULL;
    (void)pthread_mutex_unlock(&s->lock);
}

int store_write(struct store *s, uint64_t *ret_number)
{
    struct writer *w = &s->w;

    if (w->failed != 0)
        return err_trace(w->failed);
    w->failed = store_go_on(s);
    if (w->failed == 0 && w->stage == STAGE_NONE) {
        take_queue(s);
        w->failed = write_next(s);
    }
    if (w->failed != 0)
        return err_trace(w->failed);
    say_durable(s, ret_number);
    store_room_publish(s);
    return 0;
}

int store_work(struct store *s, uint64_t *ret_number)
{
    int rc;

    do
        rc = store_write(s, ret_number);
    while (rc == 0 && store_has_work(s));
    return err_trace(rc);
}

int store_write_now(struct store *s, const struct store_batch *b)
{
    uint64_t number = 0;
    bool more = true;
    int rc = store_submit(s, b);

    if (rc == 0)
        rc = store_work(s, &number);
    while (rc == 0 && number != b->number && more) {
        rc = store_prepare(s, &more);
        if (rc == 0)
            rc = store_work(s, &number);
    }
    if (rc == 0 && number != b->number)
        rc = err_say(-ENOSPC, "the disk has no room for another entry of the log");
    return err_trace(rc);
}

/* Without a sync of its own. It is the first record of the batch that comes next, and is written
 * again with it: lost with it, it is missed by nobody (DISK-18). */
int store_idle(struct store *s)
{
    struct writer *w = &s->w;
    unsigned char data[SYNCMARK_BYTES];

    if (w->failed != 0)
        return err_trace(w->failed);
    if (w->marked || w->stage != STAGE_NONE || w->file == NULL)
        return 0;
    put_u64(data, w->synced_batch);
    w->failed = store_put_record(
        w, &(struct record){
               .type = RECORD_SYNCMARK, .batch = w->batch, .len = sizeof(data), .data = data});
    if (w->failed == 0)
        w->failed = store_write_all(s->conf.vfs, w->file, w->out.data, w->out.len, w->used);
    w->marked = true;
    if (err_is_full(w->failed)) { /* it comes with the batch */
        w->failed = 0;
        return 0;
    }
    if (w->failed != 0)
        return err_trace(w->failed);
    (void)pthread_mutex_lock(&s->lock);
    s->stats.n_writes++;
    s->stats.bytes_written += w->out.len;
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}
