/* When a node takes no more writes for lack of room.
 *
 * They are refused while there still is room for what was accepted before: an entry that is
 * committed must be applied, and a state that is full then would end the node (KV_E_FULL is fatal).
 * So the limit is on what is proposed, not on what is stored. Deletes are taken until the log
 * itself is full: they are the way out.
 *
 * Room is looked at ten times a second, and earlier when what was written since could matter: each
 * look costs a read transaction. A write counts from its proposal on, twice its size (pages of LMDB
 * are not full), until two looks later it is surely part of what the state says of itself.
 *
 * A full disk is a state that ends by itself (SPACE-1), and in it new writes are refused,
 * definitely, while reads and elections go on (SPACE-2). */
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

static void look(struct engine *e, uint64_t now_us)
{
    struct space *s = &e->space;
    struct store_stats log;
    struct kv_stats state;

    if (now_us >= s->due_us) {
        s->due_us = now_us + SPACE_LOOK_US;
        s->spent_before = s->spent;
        s->spent = 0;
    }
    store_get_stats(e->store, &log);
    s->log_is_full = log.no_space;
    s->used = log.log_bytes;
    s->limit = log.log_bytes;
    if (s->log_is_full)
        return;
    if (e->kv == NULL) { /* a host's own state has no limit that is known here */
        s->limit = UINT64_MAX;
    } else if (kv_get_stats(e->kv, &state) == 0) {
        s->used = state.used_bytes;
        s->limit = state.map_bytes;
    }
}

static uint64_t coming(const struct space *s, size_t bytes)
{
    return 2 * (s->spent + s->spent_before + bytes);
}

static bool is_full(const struct space *s)
{
    return s->log_is_full || s->state_is_full;
}

static void say_change(const struct space *s, bool was_full)
{
    if (!was_full && is_full(s))
        log_event(LOG_ERROR, "no_space", "what=%s used=%llu limit=%llu action=refuse_writes",
                  s->log_is_full ? "log" : "map_size", (unsigned long long)s->used,
                  (unsigned long long)s->limit);
    else if (was_full && !is_full(s))
        log_event(LOG_INFO, "space_again", "used=%llu limit=%llu", (unsigned long long)s->used,
                  (unsigned long long)s->limit);
}

/* Refused while there still is room for what was accepted before (SPACE-2). */
bool engine_no_space(void *ctx, bool frees, size_t bytes, uint64_t *ret_used, uint64_t *ret_limit)
{
    struct engine *e = ctx;
    struct space *s = &e->space;
    uint64_t now_us = e->ops.now_us(e->ops.ctx);
    bool was_full = is_full(s);
    uint64_t percent = s->state_is_full ? STATE_ROOM_PERCENT : STATE_FULL_PERCENT;

    if (now_us >= s->due_us || s->used + coming(s, bytes) >= s->limit / 2)
        look(e, now_us);
    s->state_is_full = !s->log_is_full && s->used + coming(s, bytes) >= s->limit / 100u * percent;
    if (engine_logs(e))
        say_change(s, was_full);
    if (!s->log_is_full && (frees || !s->state_is_full))
        s->spent += bytes;
    *ret_used = s->used;
    *ret_limit = s->limit;
    return s->log_is_full || (s->state_is_full && !frees);
}
