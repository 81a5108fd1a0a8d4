/* The making of a snapshot, and when one is made.
 *
 *   due ──► copy ──► check ──► trailer, sync, name ──► read again ──► older ones go
 *            │ thread of the makers
 *            ▼
 *         stopped when the state is to be replaced
 *
 * Index and term are those of the copy (SNAP-4). A snapshot that cannot be made is no end of
 * anything: it is said, and tried again. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

/* What a chore of the makers says, beside 0 and -errno. */
enum { MADE, MADE_FULL, MADE_STOPPED, MADE_DAMAGED, MADE_NOTHING };

/* ---- the copy, on its thread ---- */

/* A disk that is filled to its end by what nobody asked for would stop the log (SNAP-15). */
static bool room_is_left(struct engine *e, uint64_t bytes)
{
    uint64_t used;
    uint64_t limit;

    return e->state.disk_room == NULL || !e->state.disk_room(e->state.ctx, &used, &limit) ||
           limit - used >= bytes + SNAP_ROOM_LEFT_BYTES;
}

struct copying {
    struct engine *e;
    uint64_t due_us; /* of the next piece */
    uint64_t looked_at;
};

/* As fast as it may go, piece by piece: time that the disk took is not made up for
 * (SNAP-14). */
static void go_slowly(struct copying *c, size_t n_bytes)
{
    const uint64_t bytes_per_s = (uint64_t)c->e->snap.making.mib_per_s << 20;
    struct timespec pause = {0};
    uint64_t now_us;

    if (bytes_per_s == 0 || !c->e->snap.threads)
        return;
    now_us = clock_mono_us();
    if (c->due_us < now_us)
        c->due_us = now_us;
    c->due_us += n_bytes * 1000000u / bytes_per_s;
    pause.tv_sec = (time_t)((c->due_us - now_us) / 1000000u);
    pause.tv_nsec = (long)((c->due_us - now_us) % 1000000u) * 1000;
    (void)nanosleep(&pause, NULL);
}

static int sink_write(void *ctx, const void *data, size_t n)
{
    struct copying *c = ctx;
    struct making *m = &c->e->snap.making;
    uint64_t bytes;

    m->sink_rc = snap_writer_add(m->writer, data, n);
    if (m->sink_rc != 0)
        return -ECANCELED;
    bytes = snap_writer_bytes(m->writer);
    atomic_store(&m->n_bytes, bytes);
    if (bytes - c->looked_at >= SNAP_ROOM_LEFT_BYTES / 4) {
        c->looked_at = bytes;
        if (!room_is_left(c->e, 0)) {
            m->sink_rc = err_say(SNAP_E_FULL, "the disk has less than %u MiB left",
                                 SNAP_ROOM_LEFT_BYTES >> 20);
            return -ECANCELED;
        }
    }
    go_slowly(c, n);
    return 0;
}

static int copy_state(struct engine *e)
{
    struct making *m = &e->snap.making;
    struct copying c = {.e = e};
    const struct kv_sink sink = {sink_write, &c};
    int rc;

    if (!room_is_left(e, 0))
        return err_say(MADE_FULL, "the disk has less than %u MiB left", SNAP_ROOM_LEFT_BYTES >> 20);
    /* All of it: one that comes to nothing each time would fill the disk again and again. */
    if (!room_is_left(e, m->bytes))
        return err_say(MADE_FULL,
                       "with a copy of %llu MiB the disk would have less than %u MiB left",
                       (unsigned long long)(m->bytes >> 20), SNAP_ROOM_LEFT_BYTES >> 20);
    rc = snap_writer_new(e->snap.folder, SNAP_MADE, &m->writer);
    if (rc != 0)
        return rc == SNAP_E_FULL ? MADE_FULL : err_fold(rc);
    rc = e->state.copy(e->state.ctx, &sink);
    if (rc != 0 && m->sink_rc != 0)
        return m->sink_rc == SNAP_E_FULL ? MADE_FULL : err_fold(m->sink_rc);
    if (rc == KV_E_STOPPED)
        return MADE_STOPPED;
    return rc == KV_E_DAMAGED ? MADE_DAMAGED : err_fold(rc);
}

static int run_copy(void *ctx)
{
    struct engine *e = ctx;
    struct making *m = &e->snap.making;
    struct kv_source source;
    int rc = copy_state(e);

    if (rc != 0)
        return rc;
    source =
        (struct kv_source){snap_writer_read, m->writer, snap_writer_bytes(m->writer), &m->stops};
    rc = e->state.check_copy(e->state.ctx, &source, &m->info);
    if (rc == -ECANCELED)
        return MADE_STOPPED;
    if (rc == KV_E_DAMAGED)
        return MADE_DAMAGED;
    if (rc != 0)
        return err_fold(rc);
    return m->info.last_applied.index <= m->above ? MADE_NOTHING : 0;
}

/* The older one goes only when the newer was read again (SNAP-5). */
static int run_finish(void *ctx)
{
    struct engine *e = ctx;
    struct making *m = &e->snap.making;
    int rc = snap_writer_finish(m->writer, &m->meta);

    m->writer = NULL;
    if (rc == 0)
        rc = snap_check(e->snap.folder, m->meta.id);
    if (rc == 0)
        rc = snap_prune(e->snap.folder, m->up_to);
    if (rc == SNAP_E_FULL)
        return MADE_FULL;
    return rc == SNAP_E_DAMAGED ? MADE_DAMAGED : err_fold(rc);
}

/* ---- whether it may be made ---- */

/* It differs from somebody's, and no majority has been alike since: whoever is needed to say which
 * of them is right may need the snapshot first. */
static bool is_in_doubt(const struct engine *e)
{
    return e->differ.differs && engine_agreed_index(e) < e->differ.differs_at;
}

/* Where the state is not to be believed, or about to be another, there is nothing to copy, and what
 * was copied is not finished (SNAP-12). */
static bool is_believed(const struct engine *e)
{
    return !replica_rebuilding(e->replica) && !e->differ.is_wrong && !is_in_doubt(e) &&
           !e->snap.doubted;
}

static bool may_make(const struct engine *e)
{
    return is_believed(e) && !raft_is_installing(engine_raft(e)) &&
           e->snap.receiving.phase < RECEIVE_CHECKING && !replica_is_parked(e->replica);
}

/* Log behind the newest: as much as a state costs to be written once more, and not little. Where
 * the log has no room for as much nothing else would ever give it some (SNAP-22). */
static bool is_due(struct engine *e)
{
    const raft_index applied = e->state.last_applied(e->state.ctx).index;
    const uint64_t state = e->state.copy_bytes != NULL ? e->state.copy_bytes(e->state.ctx) : 0;
    const uint64_t behind = store_bytes_behind(e->store, e->snap.newest.index);

    return applied > e->snap.newest.index && behind >= e->snap.conf.log_bytes &&
           (behind >= state || e->space.log_is_full);
}

/* ---- making one ---- */

static void drop_writer(struct making *m)
{
    snap_writer_drop(m->writer);
    m->writer = NULL;
}

static void making_failed(struct engine *e, int rc, uint64_t now_us)
{
    struct making *m = &e->snap.making;

    drop_writer(m);
    if (rc == MADE_NOTHING)
        return;
    m->wanted = true;
    m->due_us = now_us + (rc == MADE_STOPPED ? SNAP_ASK_US : SNAP_AGAIN_US);
    if (rc == MADE_STOPPED)
        return;
    m->n_failed++;
    (void)snprintf(m->why, sizeof(m->why), "%s",
                   m->chore.text[0] != '\0' ? m->chore.text
                   : rc < 0                 ? strerror(-rc)
                                            : "the copy is damaged");
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_failed", "why=\"%s\" action=again_in_%us", m->why,
                  SNAP_AGAIN_US / 1000000u);
    /* Whether the copy was spoilt on its way or the state is damaged the state can tell. */
    if (rc == MADE_DAMAGED)
        engine_scrub_now(e);
}

static void begin_making(struct engine *e, uint64_t now_us)
{
    struct making *m = &e->snap.making;

    m->wanted = false;
    m->finishing = false;
    m->sink_rc = 0;
    m->began_us = now_us;
    m->above = e->snap.newest.index;
    m->mib_per_s = e->snap.conf.mib_per_s;
    m->bytes = e->state.copy_bytes != NULL ? e->state.copy_bytes(e->state.ctx) : 0;
    atomic_store(&m->n_bytes, 0);
    atomic_store(&m->stops, false);
    /* What is copied is the file: without this it may be no later than the last snapshot. */
    if (!engine_flush(e)) {
        (void)snprintf(m->chore.text, sizeof(m->chore.text), "%s", err_text());
        making_failed(e, MADE_FULL, now_us);
        return;
    }
    e->state.copy_go(e->state.ctx);
    chores_add(e->snap.makers, &m->chore, run_copy, e);
}

static void begin_finishing(struct engine *e, uint64_t now_us)
{
    struct making *m = &e->snap.making;
    const struct raft *raft = engine_raft(e);
    const struct kv_copy_info *info = &m->info;

    m->up_to = replica_last_applied(e->replica);
    /* The log went on meanwhile, and may have been replaced; and what was copied may be in doubt by
     * now (SNAP-12). */
    if (!is_believed(e) || raft_is_installing(raft) ||
        !engine_snapshot_is_of_log(e, info->last_applied) ||
        /* The one in force there is not known where the log begins behind it. */
        raft_config_at(raft, info->last_applied.index)->index > info->last_applied.index) {
        making_failed(e, MADE_STOPPED, now_us);
        return;
    }
    m->meta = (struct snap_meta){
        .group = replica_group(e->replica),
        .id = info->last_applied,
        .config = *raft_config_at(raft, info->last_applied.index),
        .state_format = e->state.copy_format,
        .digest_version = e->state.digest_version,
        .digest = {info->last_applied.index, info->digest.high, info->digest.low},
        .n_keys = info->n_keys,
        .live_bytes = info->live_bytes,
        .limit_bytes = info->limit_bytes,
        .body_bytes = snap_writer_bytes(m->writer),
        .body_crc = snap_writer_crc(m->writer)};
    memcpy(m->meta.cluster_id, e->snap.cluster_id, sizeof(m->meta.cluster_id));
    m->finishing = true;
    chores_add(e->snap.makers, &m->chore, run_finish, e);
}

static void end_making(struct engine *e, uint64_t now_us)
{
    struct making *m = &e->snap.making;

    m->n_made++;
    m->why[0] = '\0';
    m->took_us = now_us - m->began_us;
    /* Not this one in any case: while it was made a newer one may have been received, which the log
     * has come to since, and behind which it is gone already (SNAP-5). */
    engine_snapshots_lost(e);
    if (engine_logs(e))
        log_event(LOG_INFO, "snapshot_made", "index=%llu term=%llu bytes=%llu ms=%llu",
                  (unsigned long long)m->meta.id.index, (unsigned long long)m->meta.id.term,
                  (unsigned long long)m->meta.body_bytes, (unsigned long long)m->took_us / 1000);
}

void engine_make_take(struct engine *e, uint64_t now_us)
{
    struct making *m = &e->snap.making;
    int rc;

    if (!chore_take(&m->chore, &rc))
        return;
    if (rc == 0 && m->finishing && e->snap.doubted)
        rc = MADE_STOPPED;
    if (rc != 0)
        making_failed(e, rc, now_us);
    else if (m->finishing)
        end_making(e, now_us);
    else
        begin_finishing(e, now_us);
}

void engine_make_turn(struct engine *e, uint64_t now_us)
{
    struct making *m = &e->snap.making;

    /* One that has ended since it was taken in is taken first, by the next turn (SNAP-13). */
    if (!chore_is_idle(&m->chore) || now_us < m->due_us || !may_make(e))
        return;
    if (m->wanted || is_due(e))
        begin_making(e, now_us);
}

bool engine_make_snapshot(struct engine *e)
{
    if (e->snap.folder == NULL)
        return false;
    if (e->state.last_applied(e->state.ctx).index <= e->snap.newest.index)
        return true;
    e->snap.making.wanted = true;
    e->snap.making.due_us = 0;
    e->snap.look_us = 0;
    return true;
}

bool engine_copy_is_over(struct engine *e)
{
    if (e->snap.folder == NULL || !chore_is_busy(&e->snap.making.chore))
        return true;
    if (e->snap.making.finishing)
        return true; /* it does not look at the state any more */
    e->state.copy_stop(e->state.ctx);
    atomic_store(&e->snap.making.stops, true);
    return false;
}

void engine_make_stop(struct engine *e)
{
    drop_writer(&e->snap.making);
}

/* ---- the last one ---- */

static bool is_cheap(const struct engine *e)
{
    const uint64_t bytes = e->state.copy_bytes != NULL ? e->state.copy_bytes(e->state.ctx) : 0;
    const uint64_t behind = store_bytes_behind(e->store, e->snap.newest.index);

    return bytes <= SNAP_STOP_BYTES_MAX && behind >= SNAP_STOP_BEHIND && behind >= bytes;
}

/* What it does not come to in its time is dropped with all else that is under way (SNAP-20). */
void engine_snapshots_last(struct engine *e)
{
    const struct timespec pause = {.tv_nsec = SNAP_STOP_LOOK_NS};
    const uint64_t until_us = clock_mono_us() + SNAP_STOP_US;
    struct making *m = &e->snap.making;

    if (e->snap.folder == NULL || !e->snap.threads || e->replica == NULL ||
        !chore_is_idle(&m->chore) || !may_make(e) || !is_cheap(e))
        return;
    e->snap.conf.mib_per_s = 0;
    begin_making(e, engine_now_us(e));
    while (!chore_is_idle(&m->chore) && clock_mono_us() < until_us) {
        (void)nanosleep(&pause, NULL);
        engine_make_take(e, engine_now_us(e));
    }
}
