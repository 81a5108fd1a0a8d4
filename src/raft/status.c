/* Looking: what the host may ask, without changing anything. */
#include "raft/raft_int.h"

raft_node_id raft_get_id(const struct raft *r)
{
    return r->conf.id;
}

enum raft_role raft_get_role(const struct raft *r)
{
    return r->role;
}

raft_term raft_get_term(const struct raft *r)
{
    return r->hard_state.current_term;
}

raft_node_id raft_get_leader(const struct raft *r)
{
    return r->leader_id;
}

bool raft_can_serve(const struct raft *r)
{
    /* The no-op gate, as a comparison and not as a flag that somebody must reset (READ-14). An
     * unfit leader serves nothing, however far it is (FIT-4). */
    return r->role == RAFT_LEADER && r->commit_index >= r->noop_index && r->fitness != RAFT_UNFIT;
}

bool raft_can_propose(const struct raft *r)
{
    return raft_can_serve(r) || (raft_is_gated(r) && r->fitness != RAFT_UNFIT);
}

enum raft_fitness raft_get_fitness(const struct raft *r)
{
    return r->fitness;
}

size_t raft_get_disk_limit(const struct raft *r)
{
    return raft_disk_takes_more(r) ? 0 : r->disk.window_bytes;
}

uint64_t raft_get_patience_us(const struct raft *r)
{
    return raft_disk_patience_us(r);
}

uint64_t raft_get_sync_us(const struct raft *r)
{
    uint64_t took_us = raft_disk_sync_us(r);
    uint64_t silent_us = raft_disk_silent_us(r);

    return took_us > silent_us ? took_us : silent_us;
}

bool raft_is_transferring(const struct raft *r)
{
    return r->transfer_to != 0;
}

raft_index raft_get_commit_index(const struct raft *r)
{
    return r->commit_index;
}

raft_index raft_get_last_stored(const struct raft *r)
{
    return r->last_stored;
}

const struct raft_configuration *raft_get_configuration(const struct raft *r)
{
    rid_assert(r->n_configs > 0);
    return &r->configs[r->n_configs - 1].configuration;
}

raft_term raft_term_at(const struct raft *r, raft_index index)
{
    return raft_log_term(&r->log, index);
}

static uint64_t behind(const struct raft *r, const struct progress *p)
{
    if (r->role != RAFT_LEADER || (p->match_index == 0 && r->log.last_index > 0))
        return RAFT_BEHIND_UNKNOWN;
    return r->log.last_index - p->match_index;
}

void raft_get_status(const struct raft *r, struct raft_status *ret_status)
{
    struct raft_status s = {.id = r->conf.id,
                            .role = r->role,
                            .fitness = r->fitness,
                            .current_term = r->hard_state.current_term,
                            .voted_for = r->hard_state.voted_for,
                            .leader_id = r->leader_id,
                            .commit_index = r->commit_index,
                            .last_applied = r->last_applied,
                            .base = r->log.base,
                            .last_index = r->log.last_index,
                            .last_stored = r->last_stored,
                            .noop_index = r->noop_index,
                            .can_serve = raft_can_serve(r),
                            .round = raft_rounds_last(&r->rounds),
                            .rounds_opened = r->rounds.n_opened,
                            .rounds_confirmed = r->rounds.n_confirmed,
                            .rounds_max = r->rounds.max,
                            .n_reads_pending = (unsigned)raft_read_queue_n_waiting(&r->reads),
                            .n_voters = raft_configuration_n_voters(raft_get_configuration(r)),
                            .n_voters_heard = raft_n_voters_heard(r),
                            .transfer_to = r->transfer_to,
                            .election_timeout_us = r->conf.election_timeout_us,
                            .patience_us = raft_disk_patience_us(r),
                            .disk_silent_us = raft_disk_silent_us(r),
                            .disk_outstanding_bytes = r->disk.outstanding_bytes,
                            .early_campaigns = r->early.n_campaigns,
                            .far_peer = r->far_peer,
                            .far_term = r->far_term,
                            .n_asks_sent = r->asks.n_sent,
                            .n_asks_by_ack = r->asks.n_by_ack,
                            .n_asks_by_lease = r->asks.n_by_lease,
                            .n_asks_by_round = r->asks.n_by_round,
                            .terms_run_out =
                                RAFT_INDEX_MAX - r->hard_state.current_term < RAFT_TERMS_LEFT_FEW,
                            .n_peers = r->n_progress};

    raft_lease_status(r, &s);
    rid_assert(r->n_progress <= RAFT_SERVERS_MAX);
    for (unsigned i = 0; i < r->n_progress; i++) {
        const struct progress *p = &r->progress[i];
        struct drift_rate rate = {0};
        bool drift_known = raft_drift_get_rate(&p->drift, &rate);

        s.peers[i] = (struct raft_peer_status){.id = p->id,
                                               .role = p->role,
                                               .connected = p->link_up,
                                               .heard = raft_hears(r, p),
                                               .match_index = p->match_index,
                                               .next_index = p->next_index,
                                               .behind = behind(r, p),
                                               .acked_round = p->acked_round,
                                               .last_heard_us = p->last_heard_us,
                                               .srtt_us = p->srtt_us,
                                               .drift_known = drift_known,
                                               .drift_ppm = rate.ppm,
                                               .drift_error_ppm = rate.error_ppm,
                                               .fitness_said = p->note_flags != 0,
                                               .fitness = raft_fitness_of(p)};
    }
    *ret_status = s;
}
