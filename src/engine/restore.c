/* The state of this node from a snapshot of its own.
 *
 * At the start, before anything is served: where the state is not believed, or ends before the log
 * begins, or was to be replaced by that of a snapshot when the process ended (SNAP-8). Later, where
 * it was found damaged: then the copy is put beside the state by the bench, and takes its place
 * in a turn.
 *
 * A snapshot is of use when the log goes on from its last entry: it does not end before the log
 * begins, nor behind where it ends, and both know its last entry by the same term (DISK-23).
 * Where a majority holds another state the snapshots of this one may be as wrong: the log alone is
 * right then, and where that is not whole only another node's snapshot is (SNAP-12). */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

bool engine_copy_is_as_said(const struct kv_copy_info *info, const struct snap_meta *m)
{
    return info->last_applied.index == m->id.index && info->last_applied.term == m->id.term &&
           info->digest.high == m->digest.high && info->digest.low == m->digest.low &&
           info->n_keys == m->n_keys && info->live_bytes == m->live_bytes &&
           info->limit_bytes == m->limit_bytes;
}

static void forget_if_damaged(struct engine *e, struct raft_entry_id id)
{
    char why[CHORE_TEXT_BYTES];

    (void)snprintf(why, sizeof(why), "%s", err_text());
    (void)snap_check(e->snap.folder, id);
    (void)err_say(KV_E_DAMAGED, "%s", why);
}

static bool is_readable(const struct engine *e, const struct snap_meta *m)
{
    return m->state_format == e->state.copy_format && m->digest_version == e->state.digest_version;
}

/* What the disk cannot read of it is damage of the snapshot, and no end of anything (FIT-7). */
static int read_some(void *reader, void *buf, size_t n, uint64_t offset)
{
    int rc = snap_reader_read(reader, buf, n, offset);

    return rc == -EIO ? err_say(KV_E_DAMAGED, "the disk cannot read it") : rc;
}

/* What is not going to be switched to has no room to take (SNAP-24). */
static void unprepare(struct engine *e)
{
    if (e->state.unprepare != NULL)
        e->state.unprepare(e->state.ctx);
}

/* Any thread. 0: it is prepared; KV_E_FULL; KV_E_DAMAGED and others: it is of no use; -errno. */
static int prepare(struct engine *e, const struct snap_meta *m, struct kv_copy_info *ret_info)
{
    struct snap_reader *reader = NULL;
    struct kv_source source;
    int rc = snap_reader_new(e->snap.folder, m->id, &reader);

    if (rc != 0)
        return rc < 0 ? err_trace(rc) : err_say(KV_E_DAMAGED, "%s", snap_error_text(rc));
    source = (struct kv_source){read_some, reader, m->body_bytes, &e->snap.stops};
    rc = e->state.prepare(e->state.ctx, &source, ret_info);
    snap_reader_drop(reader);
    if (rc == 0 && !engine_copy_is_as_said(ret_info, m)) {
        unprepare(e);
        rc = err_say(KV_E_DAMAGED, "the snapshot of index %llu does not hold what it says",
                     (unsigned long long)m->id.index);
    }
    if (rc == KV_E_DAMAGED) /* what is not good on the disk counts for nothing any more */
        forget_if_damaged(e, m->id);
    return rc;
}

/* Everything that was known of the state is of another one. */
void engine_state_is_new(struct engine *e)
{
    e->agree.is_set_aside = true;
    engine_differ_forget(e);
    engine_space_state_is_new(e);
    engine_scrub_again(e, engine_now_us(e));
}

/* ---- at the start ---- */

static void say_restored(const struct engine *e, const struct snap_meta *m)
{
    if (engine_logs(e))
        log_event(LOG_INFO, "state_restored", "snapshot=%llu keys=%llu bytes=%llu",
                  (unsigned long long)m->id.index, (unsigned long long)m->n_keys,
                  (unsigned long long)m->body_bytes);
}

static void say_useless(const struct engine *e, const struct snap_meta *m, const char *why)
{
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unusable", "index=%llu why=\"%s\" action=try_older",
                  (unsigned long long)m->id.index, why);
}

static int restore_one(struct engine *e, const struct snap_meta *m)
{
    struct kv_copy_info info;
    int rc = prepare(e, m, &info);

    if (rc == 0)
        rc = e->state.switch_to(e->state.ctx);
    if (rc != 0) {
        unprepare(e);
        return rc;
    }
    e->agree.is_set_aside = true;
    say_restored(e, m);
    return 0;
}

int engine_restore_at_start(struct engine *e, const struct store_recovered *recovered)
{
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n;

    if (e->snap.folder == NULL)
        return 0;
    n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);
    for (unsigned i = 0; i < n; i++) {
        const struct snap_meta *m = &list[i];
        int rc;

        if (!engine_snapshot_is_of_recovered(recovered, m->id) || !is_readable(e, m) ||
            m->id.index <= e->state.last_applied(e->state.ctx).index)
            continue;
        rc = restore_one(e, m);
        if (rc <= 0)
            return err_trace(rc);
        say_useless(e, m, err_text());
        if (rc == KV_E_FULL)
            return 0; /* a full disk is no end: it is tried again while the node runs (SPACE-6) */
    }
    return 0;
}

/* ---- a file that is too large ---- */

static bool is_bloated(const struct engine *e)
{
    const uint64_t file = e->kv != NULL ? kv_file_bytes(e->kv) : 0;

    return file > SNAP_SHRINK_BYTES && file > 2 * e->state.copy_bytes(e->state.ctx);
}

/* The newest that is much smaller than the file, and near: what it lacks is applied again. */
static bool find_near(struct engine *e, const struct store_recovered *recovered,
                      struct snap_meta *ret)
{
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);

    for (unsigned i = 0; i < n; i++) {
        const struct snap_meta *m = &list[i];

        if (!engine_snapshot_is_of_recovered(recovered, m->id) || !is_readable(e, m))
            continue;
        *ret = *m;
        return m->id.index <= e->state.last_applied(e->state.ctx).index &&
               2 * m->body_bytes < kv_file_bytes(e->kv) &&
               store_bytes_behind(e->store, m->id.index) <= SNAP_NEAR_BYTES;
    }
    return false;
}

/* The state that is there is good, so whatever keeps it from being replaced is no end of anything;
 * but once it goes, the other one is all there is. What it has shown is shown again before anybody
 * is answered (FIT-6, DISK-41). */
int engine_shrink_at_start(struct engine *e, const struct store_recovered *recovered)
{
    struct kv_copy_info info;
    struct snap_meta m;
    uint64_t file_bytes;
    int rc;

    if (e->snap.folder == NULL || !is_bloated(e) || !find_near(e, recovered, &m))
        return 0;
    file_bytes = kv_file_bytes(e->kv);
    rc = prepare(e, &m, &info);
    if (rc != 0) {
        say_useless(e, &m, err_text());
        return 0;
    }
    rc = e->state.switch_to(e->state.ctx);
    if (rc != 0)
        unprepare(e);
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : 0;
    e->agree.is_set_aside = true;
    if (engine_logs(e))
        log_event(LOG_INFO, "state_compacted", "snapshot=%llu file_bytes=%llu were=%llu",
                  (unsigned long long)m.id.index, (unsigned long long)kv_file_bytes(e->kv),
                  (unsigned long long)file_bytes);
    return 0;
}

/* ---- later ---- */

static bool was_tried(const struct restoring *r, raft_index index)
{
    return index >= r->below && index <= r->tried;
}

/* The newest that is of use now and was not tried lately. What failed may have been the disk of the
 * state, for a moment, and nobody else need have another one: all begin anew after a pause (FIT-6).
 * One that is damaged is not among them any more. */
static bool find(struct engine *e, struct snap_meta *ret)
{
    struct restoring *r = &e->snap.restoring;
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);

    if (r->tried != 0 && engine_now_us(e) - r->tried_us >= SNAP_AGAIN_US)
        r->below = r->tried = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct snap_meta *m = &list[i];

        if (was_tried(r, m->id.index) || !engine_snapshot_is_of_log(e, m->id) || !is_readable(e, m))
            continue;
        *ret = *m;
        return true;
    }
    return false;
}

static int run_prepare(void *ctx)
{
    struct engine *e = ctx;

    return prepare(e, &e->snap.restoring.meta, &e->snap.restoring.info);
}

static void give_up_prepared(struct engine *e)
{
    unprepare(e);
    e->snap.restoring.phase = RESTORE_NOT;
}

void engine_restore_forget(struct engine *e)
{
    struct restoring *r = &e->snap.restoring;

    if (r->phase == RESTORE_PREPARED)
        give_up_prepared(e);
    r->below = r->tried = 0;
    r->wants = false;
}

static int empty(struct engine *e, raft_index *ret_applied)
{
    int rc = e->state.rebuild(e->state.ctx);

    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc; /* KV_E_FULL, which the replica knows */
    rid_assert(e->state.last_applied(e->state.ctx).index == 0);
    engine_state_is_new(e);
    engine_restore_forget(e);
    *ret_applied = 0;
    return 0;
}

/* One that ends behind what is known to be committed so far may be of use in a moment, and one that
 * failed is tried again: it is not damaged. */
static bool is_any_left(const struct engine *e, const struct raft_status *st)
{
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);

    for (unsigned i = 0; i < n; i++)
        if (is_readable(e, &list[i]) && list[i].id.index >= st->base.index &&
            raft_term_at(engine_raft(e), list[i].id.index) == list[i].id.term)
            return true;
    return false;
}

static bool is_alone(const struct engine *e)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));
    const struct raft_server *self = raft_configuration_get(c, e->id);

    return self != NULL && self->role == RAFT_VOTER && raft_configuration_n_voters(c) == 1;
}

/* Nobody else leads, ever: nobody has what is missing, and to wait for it would be to wait without
 * end. What helps a person can do, and is told (FIT-10). */
static int nobody_has_it(const struct engine *e, raft_index base)
{
    char name[CHORE_TEXT_BYTES];

    if (!snap_damaged_name(e->snap.folder, name, sizeof(name)))
        (void)snprintf(name, sizeof(name), "none");
    return err_say(-EBADMSG,
                   "the log begins behind index %llu, no snapshot of this node is of use (damaged: "
                   "%s), and this is the only voter, so that nobody else has what is missing: put "
                   "back a good copy of that file in snap/, or the whole data directory; see LOST "
                   "DISK in ridd(8)",
                   (unsigned long long)base, name);
}

static int without_snapshot(struct engine *e, raft_index *ret_applied)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    if (st.base.index == 0)
        return empty(e, ret_applied);
    if (e->snap.folder != NULL && is_alone(e) && !e->snap.doubted && !is_any_left(e, &st))
        return nobody_has_it(e, st.base.index);
    if (!e->snap.restoring.wants && engine_logs(e))
        log_event(LOG_WARNING, "state_wanted",
                  "why='no snapshot of this node is of use' action=ask_leader");
    e->snap.restoring.wants = true; /* the leader is told with the notes */
    return REPLICA_STATE_E_LATER;
}

static int take_prepared(struct engine *e, raft_index *ret_applied)
{
    struct restoring *r = &e->snap.restoring;
    int rc;

    /* The log has gone on, and what was prepared may be of a state that is known to be wrong by now
     * (SNAP-12). */
    if (!engine_snapshot_is_of_log(e, r->meta.id) || e->differ.is_wrong || e->snap.doubted) {
        give_up_prepared(e);
        return REPLICA_STATE_E_LATER;
    }
    rc = e->state.switch_to(e->state.ctx);
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    r->phase = RESTORE_NOT;
    say_restored(e, &r->meta);
    *ret_applied = r->meta.id.index;
    engine_state_is_new(e);
    engine_restore_forget(e);
    return 0;
}

int engine_restore(struct engine *e, raft_index *ret_applied)
{
    struct restoring *r = &e->snap.restoring;
    int rc;

    if (e->snap.folder == NULL)
        return without_snapshot(e, ret_applied);
    if (!engine_copy_is_over(e) || engine_receive_holds_copy(e))
        return REPLICA_STATE_E_LATER;
    switch (r->phase) {
    case RESTORE_NOT:
        if (e->differ.is_wrong || e->snap.doubted || !find(e, &r->meta))
            return without_snapshot(e, ret_applied);
        chores_add(e->snap.bench, &r->chore, run_prepare, e);
        r->phase = RESTORE_PREPARING;
        return REPLICA_STATE_E_LATER;
    case RESTORE_PREPARING:
        if (!chore_take(&r->chore, &rc))
            return REPLICA_STATE_E_LATER;
        r->phase = rc == 0 ? RESTORE_PREPARED : RESTORE_NOT;
        if (rc == KV_E_FULL)
            return KV_E_FULL;
        if (rc != 0) {
            say_useless(e, &r->meta, r->chore.text);
            r->below = r->below == 0 || r->meta.id.index < r->below ? r->meta.id.index : r->below;
            r->tried = r->meta.id.index > r->tried ? r->meta.id.index : r->tried;
            r->tried_us = engine_now_us(e);
            engine_snapshots_lost(e);
        }
        return rc == 0 ? take_prepared(e, ret_applied) : REPLICA_STATE_E_LATER;
    case RESTORE_PREPARED:
        return take_prepared(e, ret_applied);
    }
    return REPLICA_STATE_E_LATER;
}
