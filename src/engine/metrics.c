/* Figures are copied from where they are counted. What is dear to find out (quantiles of the disk,
 * the room of a file system) is left to `status`. */
#include "engine/metrics.h"

#include <stdio.h>
#include <string.h>

#include "engine/engine_int.h"

#include "base/banned.h"

const char *engine_leader_change_name(enum engine_leader_change reason)
{
    static const char *const names[] = {
#define ENGINE_LEADER_CHANGE_TEXT(name, text) text,
        ENGINE_LEADER_CHANGES(ENGINE_LEADER_CHANGE_TEXT)
#undef ENGINE_LEADER_CHANGE_TEXT
    };

    return names[reason];
}

static void put(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text != NULL ? text : "");
}

static void core(const struct engine *e, const struct raft_status *st, struct engine_metrics *m)
{
    put(m->node, sizeof(m->node), e->node_name);
    m->role = st->role;
    m->term = st->current_term;
    if (st->leader_id != 0)
        put(m->leader, sizeof(m->leader), engine_name_of(e, st->leader_id));
    m->can_serve = st->can_serve;
    m->commit_index = st->commit_index;
    m->applied_index = replica_last_applied(e->replica);
    m->last_index = st->last_index;
    m->stored_index = st->last_stored;
    m->base_index = st->base.index;
    m->rounds_opened = st->rounds_opened;
    m->rounds_confirmed = st->rounds_confirmed;
    m->lease_reads = st->n_lease_reads;
    m->lease_wanted = st->lease_us != 0;
    m->lease_valid = st->lease_valid;
    m->asks_sent = st->n_asks_sent;
    m->asks_by_ack = st->n_asks_by_ack;
    m->asks_by_lease = st->n_asks_by_lease;
    m->asks_by_round = st->n_asks_by_round;
    m->early_campaigns = st->early_campaigns;
    m->n_voters = st->n_voters;
    m->n_voters_heard = st->role == RAFT_LEADER ? st->n_voters_heard : 0;
    m->transferring = st->transfer_to != 0;
}

static void requests(const struct engine *e, struct engine_metrics *m)
{
    struct replica_stats stats;

    replica_get_stats(e->replica, &stats);
    m->n_waiting = stats.n_waiting;
    m->n_in_round = stats.n_in_round;
    m->n_asking = stats.n_asking;
    m->n_confirmed = stats.n_confirmed;
    m->n_proposed = stats.n_proposed;
    m->round_reads = *replica_round_reads(e->replica);
    if (e->service != NULL) {
        service_get_counts(e->service, &m->requests);
        m->slow_threshold_us = service_slow_threshold_us(e->service);
    }
    memcpy(m->lease_fallbacks, stats.n_fallbacks, sizeof(m->lease_fallbacks));
}

static void one_peer(struct engine *e, const struct raft_status *st,
                     const struct raft_peer_status *p, struct engine_peer_metrics *ret)
{
    const struct trail_peer *peer;

    *ret = (struct engine_peer_metrics){.id = p->id, .voter = p->role == RAFT_VOTER};
    put(ret->name, sizeof(ret->name), engine_name_of(e, p->id));
    ret->connected =
        e->ops.peer_connected != NULL ? e->ops.peer_connected(e->ops.ctx, p->id) : p->connected;
    if (st->role != RAFT_LEADER)
        return;
    ret->heard = p->heard;
    ret->behind_entries = p->behind;
    ret->rtt_us = p->srtt_us;
    if (p->last_heard_us != 0)
        ret->heard_us_ago = engine_now_us(e) - p->last_heard_us;
    peer = trail_peer(replica_trail(e->replica), p->id);
    if (peer != NULL) {
        ret->fsync_us = peer->slow.disk_us;
        ret->fsync_us_ago = peer->slow.us != 0 ? engine_now_us(e) - peer->slow.us : 0;
    }
    ret->drift_known = p->drift_known;
    ret->drift_ppm = p->drift_ppm;
    for (unsigned i = 0; e->snap.sendings != NULL && i < RAFT_SERVERS_MAX; i++) {
        const struct sending *s = &e->snap.sendings[i];

        if (s->to == p->id && s->is_ready) {
            ret->snapshot_acked_bytes = s->acked;
            ret->snapshot_bytes = s->bytes;
        }
    }
}

static void peers(struct engine *e, const struct raft_status *st, struct engine_metrics *m)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    for (unsigned i = 0; i < c->n; i++)
        m->n_learners += c->servers[i].role != RAFT_VOTER;
    m->n_peers = st->n_peers;
    for (unsigned i = 0; i < st->n_peers; i++)
        one_peer(e, st, &st->peers[i], &m->peers[i]);
}

static void leaders(const struct engine *e, struct engine_metrics *m)
{
    const struct leaders *l = &e->leaders;

    memcpy(m->leader_changes, l->changes, sizeof(m->leader_changes));
    m->leaderless_us = l->leaderless_us;
    if (l->leaderless_since_us != 0)
        m->leaderless_us += engine_now_us(e) - l->leaderless_since_us;
    m->failover_us = l->failover_us;
}

static void disk(struct engine *e, struct engine_metrics *m)
{
    struct store_stats log;

    store_get_counts(e->store, &log);
    store_get_syncs(e->store, &m->fsync_us);
    m->n_fsyncs = log.n_fsyncs;
    m->n_fsyncs_slow = e->n_fsyncs_slow;
    m->log_written_bytes = log.bytes_written;
    m->log_bytes = log.log_bytes;
    m->log_room_bytes = log.room_bytes;
    m->log_queued_bytes = log.queued_bytes;
    m->log_segments = log.n_segments;
}

static void state(const struct engine *e, struct engine_metrics *m)
{
    struct kv_stats kv = {0};

    if (e->kv != NULL)
        (void)kv_get_stats(e->kv, &kv); /* never fails */
    m->state_keys = kv.n_keys;
    m->state_bytes = kv.live_bytes;
    m->state_limit_bytes = kv.limit_bytes;
    m->sessions = kv.sessions.n;
    if (e->kv == NULL && e->state.space != NULL)
        e->state.space(e->state.ctx, &m->state_bytes, &m->state_limit_bytes);
    put(m->full, sizeof(m->full), engine_what_is_full(&e->space));
    if (e->space.disk_limit > e->space.disk_used)
        m->disk_free_bytes = e->space.disk_limit - e->space.disk_used;
    put(m->verdict, sizeof(m->verdict), engine_verdict(e));
    m->n_digest_alarms = e->differ.n_alarms;
    m->scrub_percent = e->scrub.percent;
}

static void snapshots(const struct engine *e, struct engine_metrics *m)
{
    const struct snapshots *s = &e->snap;

    m->has_snapshots = s->folder != NULL;
    if (!m->has_snapshots)
        return;
    m->snapshot_index = s->newest.index;
    m->snapshot_bytes = s->newest_bytes;
    m->snapshot_age_us = s->newest.index != 0 ? engine_now_us(e) - s->newest_us : 0;
    m->snapshots_made = s->making.n_made;
    m->snapshots_failed = s->making.n_failed;
    m->snapshots_sent = s->n_sent;
    m->snapshots_installed = s->n_installed;
    m->snapshot_making = chore_is_busy(&s->making.chore);
    if (m->snapshot_making) {
        m->snapshot_made_bytes = atomic_load(&s->making.n_bytes);
        m->snapshot_making_bytes = s->making.bytes;
    }
    if (s->receiving.phase != RECEIVE_NOT) {
        m->snapshot_received_bytes = s->receiving.written;
        m->snapshot_receiving_bytes = s->receiving.bytes;
    }
}

void engine_get_metrics(struct engine *e, struct engine_metrics *ret)
{
    struct raft_status st;

    memset(ret, 0, sizeof(*ret));
    if (e->replica == NULL)
        return;
    raft_get_status(engine_raft(e), &st);
    core(e, &st, ret);
    requests(e, ret);
    peers(e, &st, ret);
    leaders(e, ret);
    disk(e, ret);
    state(e, ret);
    snapshots(e, ret);
}
