/* Snapshots: which is the newest, what goes when there is another, and what of the log goes then.
 *
 *   made (make.c), received (receive.c) ──► read again ──► older ones go
 *                                               │
 *                                               ▼
 *                                      mark in the log ──► front goes
 *
 * The log is let go of only behind a snapshot that was read again, and whose mark in the log is
 * durable (SNAP-2, DISK-42); some of it is kept, for a follower that is not far behind is brought
 * up by entries much sooner. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "engine/engine_int.h"
#include "wire/frame.h"
#include "wire/reply.h"

#include "base/banned.h"

/* ---- the newest ---- */

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
    /* What the file lacks stands in the log (STATE-17). */
    if (!engine_flush_to(e, base.index))
        return;
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
    engine_make_take(e, now_us);
    tidy(e, now_us);
    engine_receive_turn(e, now_us);
    engine_send_turn(e, now_us);
    engine_give_turn(e, now_us);
    if (now_us < s->look_us)
        return;
    s->look_us = now_us + SNAP_LOOK_US;
    mark(e);
    drop_front(e);
    engine_make_turn(e, now_us);
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
    engine_make_stop(e);
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
    /* Until it was taken in: who waits for it would find neither it nor that it is being made. */
    wire_reply_bool(w, "making", !chore_is_idle(&m->chore));
    wire_reply_bool(w, "wanted", m->wanted);
    if (!chore_is_idle(&m->chore))
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
