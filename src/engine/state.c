/* kv as a table of functions. */
#include "engine/engine_int.h"

#include "base/banned.h"

static struct raft_entry_id state_last_applied(void *ctx)
{
    return kv_last_applied(ctx);
}

static int state_begin(void *ctx)
{
    return kv_begin(ctx);
}

static int state_apply(void *ctx, const struct raft_entry *e, struct command_result *ret_result)
{
    return kv_apply(ctx, e, ret_result);
}

static int state_apply_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_apply_get(ctx, key, ret_value);
}

static int state_commit(void *ctx)
{
    return kv_commit(ctx);
}

static void state_abort(void *ctx)
{
    kv_abort(ctx);
}

static int state_flush(void *ctx)
{
    return kv_flush(ctx);
}

static int state_flush_step(void *ctx, raft_index up_to, bool *ret_more)
{
    return kv_flush_step(ctx, up_to, ret_more);
}

static bool state_is_ahead(void *ctx)
{
    return kv_is_ahead(ctx);
}

static int state_read_begin(void *ctx, struct raft_entry_id *ret_last_applied)
{
    return kv_read_begin(ctx, ret_last_applied);
}

static int state_get(void *ctx, struct wire_slice key, struct command_value *ret_value)
{
    return kv_get(ctx, key, ret_value);
}

static int state_seek(void *ctx, const struct command_range *range)
{
    return kv_seek(ctx, range);
}

static int state_next(void *ctx, struct command_item *ret_item)
{
    return kv_next(ctx, ret_item);
}

static void state_read_end(void *ctx)
{
    kv_read_end(ctx);
}

static int state_rebuild(void *ctx)
{
    return kv_rebuild(ctx);
}

static bool state_digest_at(void *ctx, raft_index index, struct raft_digest_at *ret)
{
    struct kv_digest digest;

    if (!kv_digest_at(ctx, index, &digest))
        return false;
    *ret = (struct raft_digest_at){index, digest.high, digest.low};
    return true;
}

static void state_space(void *ctx, uint64_t *ret_live_bytes, uint64_t *ret_limit_bytes)
{
    struct kv_stats stats = {0};

    (void)kv_get_stats(ctx, &stats); /* never fails */
    *ret_live_bytes = stats.live_bytes;
    *ret_limit_bytes = stats.limit_bytes;
}

static void state_sessions(void *ctx, struct kv_sessions *ret)
{
    struct kv_stats stats = {0};

    (void)kv_get_stats(ctx, &stats); /* never fails */
    *ret = stats.sessions;
}

static bool state_disk_room(void *ctx, uint64_t *ret_used, uint64_t *ret_limit)
{
    return kv_disk_room(ctx, ret_used, ret_limit);
}

static int state_copy(void *ctx, const struct kv_sink *sink)
{
    return kv_copy(ctx, sink);
}

static void state_copy_stop(void *ctx)
{
    kv_copy_stop(ctx);
}

static void state_copy_go(void *ctx)
{
    kv_copy_go(ctx);
}

static int state_check_copy(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    return kv_check_copy(ctx, source, ret);
}

static int state_prepare(void *ctx, const struct kv_source *source, struct kv_copy_info *ret)
{
    return kv_prepare(ctx, source, ret);
}

static int state_switch_to(void *ctx)
{
    return kv_switch(ctx);
}

static void state_unprepare(void *ctx)
{
    kv_unprepare(ctx);
}

static bool state_has_leavings(void *ctx)
{
    return kv_has_leavings(ctx);
}

static void state_clear_leavings(void *ctx)
{
    kv_clear_leavings(ctx);
}

static uint64_t state_copy_bytes(void *ctx)
{
    struct kv_stats stats = {0};

    (void)kv_get_stats(ctx, &stats); /* never fails */
    return stats.used_bytes;
}

static int state_scrub(void *ctx, size_t bytes, struct kv_scrub_progress *ret)
{
    return kv_scrub_step(ctx, bytes, ret);
}

static void state_scrub_restart(void *ctx)
{
    kv_scrub_restart(ctx);
}

void engine_state_of_kv(struct kv *kv, struct engine_state *ret)
{
    *ret = (struct engine_state){.ctx = kv,
                                 .last_applied = state_last_applied,
                                 .begin = state_begin,
                                 .apply = state_apply,
                                 .apply_get = state_apply_get,
                                 .commit = state_commit,
                                 .abort = state_abort,
                                 .flush = state_flush,
                                 .flush_step = state_flush_step,
                                 .is_ahead = state_is_ahead,
                                 .read_begin = state_read_begin,
                                 .get = state_get,
                                 .seek = state_seek,
                                 .next = state_next,
                                 .read_end = state_read_end,
                                 .rebuild = state_rebuild,
                                 .copy = state_copy,
                                 .copy_stop = state_copy_stop,
                                 .copy_go = state_copy_go,
                                 .check_copy = state_check_copy,
                                 .prepare = state_prepare,
                                 .switch_to = state_switch_to,
                                 .unprepare = state_unprepare,
                                 .has_leavings = state_has_leavings,
                                 .clear_leavings = state_clear_leavings,
                                 .copy_format = kv_copy_format(kv),
                                 .copy_bytes = state_copy_bytes,
                                 .digest_at = state_digest_at,
                                 .digest_version = KV_DIGEST_VERSION,
                                 .space = state_space,
                                 .sessions = state_sessions,
                                 .disk_room = state_disk_room,
                                 .scrub = state_scrub,
                                 .scrub_restart = state_scrub_restart};
}
