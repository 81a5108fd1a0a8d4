/* What a node says of the disk under its log: figures in `status`, and a line when it becomes slow
 * or is well again.
 *
 * Slow (DISK-32) means that a sync takes more than DISK_SLOW_PERCENT of the election timeout, or
 * that one has been under way for so long. Nothing is refused for it: the core waits for slow disks
 * (VOTE-9) and leaves stalled ones (READ-51). But who wonders why elections take seconds must be
 * told. */
#include "base/limits.h"
#include "engine/engine_int.h"
#include "wire/reply.h"

#include "base/banned.h"

struct look {
    struct store_stats log;
    struct raft_status core;
    bool slow;
};

static void look(const struct engine *e, struct look *ret)
{
    uint64_t limit_us;

    store_get_stats(e->store, &ret->log);
    raft_get_status(engine_raft(e), &ret->core);
    limit_us = ret->core.election_timeout_us / 100 * DISK_SLOW_PERCENT;
    ret->slow = ret->log.fsync_p99_us > limit_us || ret->core.disk_silent_us > limit_us;
}

void engine_disk_status(const struct engine *e, struct wire_reply *w)
{
    struct look l;

    look(e, &l);
    wire_reply_open_object(w, "disk");
    wire_reply_u64(w, "fsync_p50_us", l.log.fsync_p50_us);
    wire_reply_u64(w, "fsync_p99_us", l.log.fsync_p99_us);
    wire_reply_u64(w, "fsync_max_us", l.log.fsync_longest_us);
    wire_reply_u64(w, "outstanding_bytes", l.core.disk_outstanding_bytes);
    wire_reply_u64(w, "oldest_append_ms", l.core.disk_silent_us / 1000);
    wire_reply_u64(w, "election_ms", l.core.election_timeout_us / 1000);
    wire_reply_u64(w, "patience_ms", l.core.patience_us / 1000);
    wire_reply_bool(w, "slow", l.slow);
    wire_reply_close_object(w);
}

static void say(const struct look *l)
{
    if (l->slow)
        log_event(LOG_WARNING, "disk_slow",
                  "fsync_p50_ms=%llu fsync_p99_ms=%llu silent_ms=%llu election_ms=%llu "
                  "patience_ms=%llu action=wait",
                  (unsigned long long)l->log.fsync_p50_us / 1000,
                  (unsigned long long)l->log.fsync_p99_us / 1000,
                  (unsigned long long)l->core.disk_silent_us / 1000,
                  (unsigned long long)l->core.election_timeout_us / 1000,
                  (unsigned long long)l->core.patience_us / 1000);
    else
        log_event(LOG_INFO, "disk_fine", "fsync_p50_ms=%llu fsync_p99_ms=%llu election_ms=%llu",
                  (unsigned long long)l->log.fsync_p50_us / 1000,
                  (unsigned long long)l->log.fsync_p99_us / 1000,
                  (unsigned long long)l->core.election_timeout_us / 1000);
}

/* A disk at the edge is written about every DISK_SAY_US at most. */
static void look_and_say(struct engine *e, uint64_t now_us)
{
    struct look l;

    e->disk.due_us = now_us + DISK_LOOK_US;
    look(e, &l);
    if (l.slow == e->disk.said_slow)
        return;
    e->disk.said_slow = l.slow;
    e->disk.due_us = now_us + DISK_SAY_US;
    say(&l);
}

/* Once a second. Apart from the looking, for which the compiler clears some KiB. */
void engine_disk_turn(struct engine *e, uint64_t now_us)
{
    if (engine_logs(e) && now_us >= e->disk.due_us)
        look_and_say(e, now_us);
}
