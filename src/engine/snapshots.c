/* When a snapshot is made, and what of the log goes then.
 *
 *   due ──► copy ──► check ──► trailer, sync, name ──► read again ──► older ones go
 *            │ thread of the makers                                        │
 *            ▼                                                             ▼
 *         stopped when the state is to be replaced            mark in the log ──► front goes
 *
 * Index and term are those of the copy (SNAP-4). The log is let go of only behind a snapshot that
 * was read again, and whose mark in the log is durable (SNAP-2, DISK-42); some of it is kept, for a
 * follower that is not far behind is brought up by entries much sooner.
 *
 * A snapshot that cannot be made is no end of anything: it is said, and tried again. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "wire/frame.h"
#include "wire/reply.h"

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

/* ---- making one ---- */

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
    e->state.copy_go(e->state.ctx);
    chores_add(e->snap.makers, &m->chore, run_copy, e);
}

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

/* A state that was lost may be taken from one that is older than what is there. */
void engine_snapshots_have(struct engine *e, const struct snap_meta *m)
{
    if (m->id.index < e->snap.newest.index)
        return;
    e->snap.newest = m->id;
    e->snap.newest_bytes = m->body_bytes;
    e->snap.newest_us = engine_now_us(e);
}

/* One that was received and not installed ends where the own log may never come to: nothing is
 * marked, sent or dropped by it (SNAP-23). */
bool engine_snapshot_is_of_log(const struct engine *e, struct raft_entry_id id)
{
    struct raft_status st;

    raft_get_status(engine_raft(e), &st);
    return id.index >= st.base.index && id.index <= st.commit_index && id.index <= st.last_stored &&
           raft_term_at(engine_raft(e), id.index) == id.term;
}

bool engine_snapshot_is_of_recovered(const struct store_recovered *recovered,
                                     struct raft_entry_id id)
{
    raft_term term = recovered->base.term;

    if (id.index < recovered->base.index || id.index > recovered->last_index)
        return false;
    for (size_t i = 0; i < recovered->n_terms && recovered->terms[i].first <= id.index; i++)
        term = recovered->terms[i].term;
    return term == id.term;
}

void engine_snapshots_lost(struct engine *e)
{
    const raft_index before = e->snap.newest.index;
    struct snap_meta list[SNAP_LIST_MAX];
    unsigned n = 0;

    e->snap.newest = (struct raft_entry_id){0};
    e->snap.newest_bytes = 0;
    if (!e->snap.doubted)
        n = snap_list(e->snap.folder, list, SNAP_LIST_MAX);
    for (unsigned i = 0; i < n && e->snap.newest.index == 0; i++)
        if (engine_snapshot_is_of_log(e, list[i].id))
            engine_snapshots_have(e, &list[i]);
    /* Nothing is covered any more that was before. */
    if (e->snap.newest.index < before)
        e->snap.making.wanted = true;
}

/* ---- files that go ---- */

static int run_prune(void *ctx)
{
    struct engine *e = ctx;

    return snap_prune(e->snap.folder, e->snap.tidy_up_to);
}

static int run_discard(void *ctx)
{
    struct engine *e = ctx;

    return snap_discard(e->snap.folder, e->snap.spared, &e->snap.left);
}

static int run_check(void *ctx)
{
    struct engine *e = ctx;

    return snap_check(e->snap.folder, e->snap.checking);
}

/* What was given up or replaced may be gigabytes (SNAP-24). */
static int run_clear(void *ctx)
{
    struct engine *e = ctx;

    if (e->snap.folder != NULL)
        snap_clear_leavings(e->snap.folder);
    if (e->state.clear_leavings != NULL)
        e->state.clear_leavings(e->state.ctx);
    return 0;
}

void engine_snapshots_prune(struct engine *e)
{
    e->snap.prunes = true;
}

void engine_snapshots_doubt(struct engine *e)
{
    if (e->snap.folder == NULL)
        return;
    e->snap.doubted = true;
    e->snap.newest = (struct raft_entry_id){0};
    e->snap.newest_bytes = 0;
    e->snap.tidy_us = 0;
}

static void end_doubt(struct engine *e)
{
    e->snap.doubted = false;
    engine_snapshots_lost(e);
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unusable",
                  "why='a majority of the voters holds another state' action=removed");
}

static void begin_discard(struct engine *e)
{
    const struct receiving *r = &e->snap.receiving;

    e->snap.spared = (struct raft_entry_id){0};
    if (r->phase >= RECEIVE_CHECKING)
        e->snap.spared = r->meta.id;
    chores_add(e->snap.bench, &e->snap.tidy, run_discard, e);
}

static void was_discarded(struct engine *e, int rc, uint64_t now_us)
{
    struct snapshots *s = &e->snap;

    if (!s->doubted)
        return;
    s->tidy_us = now_us + SNAP_LOOK_US;
    if (rc == 0 && !s->left && chore_is_idle(&s->making.chore))
        end_doubt(e);
}

/* The front of the log waits for it; and once it was read again the older ones are not needed any
 * more, which a process that ended before that had left (SNAP-5). */
static void was_checked(struct engine *e, int rc, uint64_t now_us)
{
    struct snapshots *s = &e->snap;

    if (rc == 0) {
        s->prunes = true;
        return;
    }
    s->check_us = now_us + SNAP_AGAIN_US;
    if (rc < 0)
        return;
    if (engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unusable", "index=%llu why=\"%s\" action=make_another",
                  (unsigned long long)s->checking.index, s->tidy.text);
    engine_snapshots_lost(e);
}

/* What is wrong with a file that cannot be removed the next one says, too. */
static void take_tidy(struct engine *e, uint64_t now_us)
{
    struct snapshots *s = &e->snap;
    int rc;

    if (!chore_take(&s->tidy, &rc))
        return;
    if (s->tidy.run == run_discard)
        was_discarded(e, rc, now_us);
    else if (s->tidy.run == run_check)
        was_checked(e, rc, now_us);
}

static bool has_leavings(const struct engine *e)
{
    return (e->snap.folder != NULL && snap_has_leavings(e->snap.folder)) ||
           (e->state.has_leavings != NULL && e->state.has_leavings(e->state.ctx));
}

/* One thing at a time, and none of it in the loop: the largest files are removed and read here. */
static void tidy(struct engine *e, uint64_t now_us)
{
    struct snapshots *s = &e->snap;

    take_tidy(e, now_us);
    if (!chore_is_idle(&s->tidy))
        return;
    if (s->doubted && now_us >= s->tidy_us && chore_is_idle(&s->making.chore)) {
        begin_discard(e);
    } else if (!s->doubted && s->prunes) {
        s->prunes = false;
        s->tidy_up_to = replica_last_applied(e->replica);
        chores_add(s->bench, &s->tidy, run_prune, e);
    } else if (has_leavings(e)) {
        chores_add(s->bench, &s->tidy, run_clear, e);
    } else if (!s->doubted && s->checks && now_us >= s->check_us) {
        s->checks = false; /* asked for again with the next look, where it is needed still */
        s->checking = s->newest;
        /* All of it is read, and nobody who sends or receives one waits for that. */
        chores_add(s->makers, &s->tidy, run_check, e);
    }
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

static void look_at_making(struct engine *e, uint64_t now_us)
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

/* ---- the front of the log ---- */

static void mark(struct engine *e)
{
    struct snapshots *s = &e->snap;

    /* While one is put in place the log on the disk is not yet what it is in memory (DISK-42). */
    if (raft_is_installing(engine_raft(e)) || s->newest.index == 0 ||
        !engine_snapshot_is_of_log(e, s->newest))
        return;
    if (s->newest.index <= s->mark_asked || s->newest.index <= store_marked(e->store))
        return;
    if (store_mark(e->store, s->newest) != 0)
        return; /* out of memory: the next look */
    s->mark_asked = s->newest.index;
    if (e->log_thread != NULL)
        log_thread_wake(e->log_thread);
}

/* The log of an earlier version begins with entry 1, and that version must be able to go on with
 * what this one wrote, as long as one member may be of it: one that says so, or that was not met
 * since the start, for as long as an upgrade takes it (MEMBER-17). Once the members were changed no
 * earlier version can read the log anyway. NULL: nobody. */
static const struct raft_server *front_is_kept_for(struct engine *e)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    if (e->ops.peer_version == NULL || c->version >= MEMBERS_VERSION)
        return NULL;
    for (unsigned i = 0; i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;
        const unsigned version = id == e->id ? 0 : e->ops.peer_version(e->ops.ctx, id);

        if (id != e->id && (version != 0 ? version < WIRE_VERSION_SNAPSHOTS
                                         : engine_now_us(e) < e->snap.unmet_until_us))
            return &c->servers[i];
    }
    return NULL;
}

static raft_index front_limit(struct engine *e)
{
    const raft_index applied = replica_last_applied(e->replica);
    const raft_index floor = engine_send_floor(e);
    raft_index limit = store_marked(e->store);
    struct store_stats log;

    if (limit > e->snap.newest.index)
        limit = e->snap.newest.index; /* marked once, and found damaged since */
    if (limit > applied)
        limit = applied;
    store_get_counts(e->store, &log);
    /* SNAP-7 */
    if (floor != 0 && floor < limit && log.log_bytes < SNAP_SEND_KEEPS * e->snap.conf.keep_bytes)
        limit = floor;
    return limit;
}

static void drop_front(struct engine *e)
{
    const struct raft_entry_id before = store_base(e->store);
    struct raft_entry_id base;

    if (raft_is_installing(engine_raft(e)) || replica_rebuilding(e->replica) ||
        front_is_kept_for(e) != NULL)
        return;
    /* Where the log has no room followers that are behind get a snapshot. */
    base =
        store_front(e->store, front_limit(e), e->space.log_is_full ? 0 : e->snap.conf.keep_bytes);
    if (base.index <= before.index)
        return;
    /* One that lies there since an earlier process has its name and its size, and nobody knows
     * whether the disk has the rest. What goes now it alone has (SNAP-5). */
    if (!snap_is_checked(e->snap.folder, e->snap.newest)) {
        e->snap.checks = true;
        return;
    }
    /* The core first: it asks for nothing any more that is about to go. */
    replica_compact(e->replica, base.index);
    store_drop_front(e->store, base);
    e->front_goes = true;
    if (e->reads != NULL)
        log_reads_drop_front(e->reads, base.index);
    if (e->log_thread != NULL)
        log_thread_wake(e->log_thread); /* removes the files */
    if (e->read_thread != NULL)
        read_thread_wake(e->read_thread); /* lets go of them */
    if (engine_logs(e))
        log_event(LOG_INFO, "log_compacted", "begins_behind=%llu snapshot=%llu",
                  (unsigned long long)base.index, (unsigned long long)e->snap.newest.index);
}

/* ---- the turn ---- */

void engine_snapshots_turn(struct engine *e, uint64_t now_us)
{
    struct snapshots *s = &e->snap;

    if (s->folder == NULL) {
        if (has_leavings(e)) /* there is no bench, and no state that is large */
            (void)run_clear(e);
        return;
    }
    look_at_making(e, now_us);
    tidy(e, now_us);
    engine_receive_turn(e, now_us);
    engine_send_turn(e, now_us);
    engine_give_turn(e, now_us);
    if (now_us < s->look_us)
        return;
    s->look_us = now_us + SNAP_LOOK_US;
    mark(e);
    drop_front(e);
    /* One that has ended since it was looked at above is taken first, by the next turn
     * (SNAP-13). */
    if (!chore_is_idle(&s->making.chore) || now_us < s->making.due_us || !may_make(e))
        return;
    if (s->making.wanted || is_due(e))
        begin_making(e, now_us);
}

uint64_t engine_snapshots_deadline_us(const struct engine *e)
{
    uint64_t due;
    uint64_t other;

    if (e->snap.folder == NULL)
        return UINT64_MAX;
    due = engine_send_deadline_us(e);
    other = engine_receive_deadline_us(e);
    due = other < due ? other : due;
    other = engine_give_deadline_us(e);
    due = other < due ? other : due;
    other = e->snap.making.wanted && !chore_is_busy(&e->snap.making.chore) ? e->snap.look_us
                                                                           : UINT64_MAX;
    return other < due ? other : due;
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

bool engine_snapshots_has_work(const struct engine *e)
{
    return e->snap.folder != NULL && !e->snap.threads &&
           (chores_has_work(e->snap.makers) || chores_has_work(e->snap.bench));
}

void engine_snapshots_work(struct engine *e)
{
    if (e->snap.folder == NULL || e->snap.threads)
        return;
    chores_work(e->snap.makers);
    chores_work(e->snap.bench);
}

/* ---- opening and closing ---- */

void engine_set_snapshots(struct engine *e, const struct engine_snapshots_conf *conf)
{
    struct engine_snapshots_conf *c = &e->snap.conf;

    *c = *conf;
    if (c->log_bytes == 0)
        c->log_bytes = SNAP_LOG_BYTES_DEFAULT;
}

int engine_snapshots_open(struct engine *e, const struct engine_conf *conf)
{
    struct snapshots *s = &e->snap;
    struct snap_conf snap = {.vfs = conf->snap_vfs, .group = conf->raft.group};
    int rc = 0;

    if (e->state.copy == NULL || (conf->snap_vfs == NULL && conf->snap_fd <= 0))
        return 0;
    engine_set_snapshots(e, &conf->snapshots);
    s->unmet_until_us = engine_now_us(e) + SNAP_UNMET_US;
    memcpy(s->cluster_id, conf->log.cluster_id, sizeof(s->cluster_id));
    memcpy(snap.cluster_id, conf->log.cluster_id, sizeof(snap.cluster_id));
    prng_init(&s->prng, conf->raft.seed ^ conf->log.incarnation);
    if (snap.vfs == NULL)
        rc = vfs_posix_new(conf->snap_fd, &s->vfs);
    if (rc != 0)
        return err_trace(rc);
    if (snap.vfs == NULL)
        snap.vfs = s->vfs;
    s->sendings = calloc(RAFT_SERVERS_MAX, sizeof(*s->sendings));
    if (s->sendings == NULL)
        return err_origin(-ENOMEM);
    rc = chores_new("ridd-copy", -1, &s->makers);
    if (rc == 0)
        rc = chores_new("ridd-snap", -1, &s->bench);
    if (rc == 0)
        rc = snap_open(&snap, &s->folder);
    if (rc != 0)
        return err_trace(rc);
    if (err_text()[0] != '\0' && engine_logs(e))
        log_event(LOG_WARNING, "snapshot_unusable", "why=\"%s\" action=ignore", err_text());
    return 0;
}

int engine_snapshots_start(struct engine *e, int notify_fd)
{
    int rc;

    if (e->snap.folder == NULL)
        return 0;
    rc = chores_start(e->snap.makers, notify_fd);
    if (rc == 0)
        rc = chores_start(e->snap.bench, notify_fd);
    e->snap.threads = rc == 0;
    return err_trace(rc);
}

void engine_snapshots_stop(struct engine *e)
{
    struct snapshots *s = &e->snap;

    if (s->folder == NULL)
        return;
    /* Whatever is being read, nobody waits for the end of it (SNAP-18). */
    e->state.copy_stop(e->state.ctx);
    atomic_store(&s->making.stops, true);
    atomic_store(&s->stops, true);
    snap_stop(s->folder);
    chores_free(s->makers);
    chores_free(s->bench);
    s->makers = s->bench = NULL;
    drop_writer(&s->making);
    if (e->state.unprepare != NULL)
        e->state.unprepare(e->state.ctx);
    engine_receive_stop(e);
    engine_send_stop(e);
    engine_give_stop(e);
    snap_close(s->folder);
    s->folder = NULL;
}

void engine_snapshots_free(struct engine *e)
{
    struct snapshots *s = &e->snap;

    engine_snapshots_stop(e);
    chores_free(s->makers);
    chores_free(s->bench);
    free(s->sendings);
    if (s->vfs != NULL)
        vfs_posix_free(s->vfs);
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
        look_at_making(e, engine_now_us(e));
    }
}

/* ---- looking ---- */

static unsigned percent(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    return part >= whole ? 100 : (unsigned)(part * 100 / whole);
}

void engine_snapshots_status(struct engine *e, struct wire_reply *w)
{
    struct snapshots *s = &e->snap;
    struct making *m = &s->making;
    const struct raft_server *old;

    if (s->folder == NULL)
        return;
    old = front_is_kept_for(e);
    wire_reply_open_object(w, "snapshots");
    wire_reply_u64(w, "index", s->newest.index);
    wire_reply_u64(w, "term", s->newest.term);
    wire_reply_u64(w, "bytes", s->newest_bytes);
    wire_reply_u64(w, "age_s",
                   s->newest.index != 0 ? (engine_now_us(e) - s->newest_us) / 1000000u : 0);
    wire_reply_u64(w, "log_begins_behind", store_base(e->store).index);
    wire_reply_str(w, "front_kept_for", old != NULL ? old->name : NULL);
    wire_reply_u64(w, "log_bytes_behind", store_bytes_behind(e->store, s->newest.index));
    wire_reply_bool(w, "making", chore_is_busy(&m->chore));
    wire_reply_bool(w, "wanted", m->wanted);
    if (chore_is_busy(&m->chore))
        wire_reply_u64(w, "making_percent", percent(atomic_load(&m->n_bytes), m->bytes));
    wire_reply_u64(w, "made", m->n_made);
    wire_reply_u64(w, "failed", m->n_failed);
    if (m->why[0] != '\0')
        wire_reply_str(w, "failed_why", m->why);
    wire_reply_u64(w, "last_ms", m->took_us / 1000u);
    wire_reply_u64(w, "sent", s->n_sent);
    wire_reply_u64(w, "installed", s->n_installed);
    engine_send_status(e, w);
    engine_receive_status(e, w);
    wire_reply_close_object(w);
}
