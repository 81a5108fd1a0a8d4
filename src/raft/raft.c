/* One node of one group: birth, roles, time, and what the host may ask.
 *
 * Nothing here decides anything alone: elections are in election.c, the log in replicate.c, reads
 * in read.c, what goes out in ready.c, what comes in in step.c. */
#include "raft/raft_int.h"

#include <errno.h>

void raft_conf_init(struct raft_conf *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->election_timeout_us = 500000;
    conf->heartbeat_us = 50000;
    conf->rounds_max = RAFT_ROUNDS_MAX;
    conf->append_bytes_max = RAFT_APPEND_BYTES_MAX;
    conf->inflight_bytes_max = RAFT_INFLIGHT_BYTES_MAX;
    conf->cache_bytes_max = RAFT_CACHE_BYTES_MAX;
    conf->mem = mem_libc;
}

uint64_t raft_now(struct raft *r, uint64_t now_us)
{
    if (now_us > r->now_us)
        r->now_us = now_us;
    return r->now_us;
}

void *raft_grow(struct raft *r, void *list, size_t *size, size_t n, size_t width)
{
    size_t want = *size > 0 ? *size * 2 : 16;

    if (n < *size)
        return list;
    list = r->conf.mem.resize(r->conf.mem.ctx, list, want * width);
    rid_assert(list !=
               NULL); /* out of memory where nobody can be refused: stop, Raft survives that */
    *size = want;
    return list;
}

void raft_trace(struct raft *r, enum raft_trace_event event, raft_node_id peer, raft_index index,
                const char *text)
{
    struct raft_trace t = {.event = event,
                           .role = r->role,
                           .term = r->hard_state.current_term,
                           .index = index,
                           .peer = peer,
                           .round = r->next_round - 1,
                           .text = text};

    if (r->conf.trace != NULL)
        r->conf.trace(r->conf.trace_ctx, &t);
}

void raft_send(struct raft *r, struct msg_queue *q, struct raft_msg *m)
{
    size_t size = q->size;

    q->list = raft_grow(r, q->list, &size, q->n, sizeof(*q->list));
    q->size = (unsigned)size;
    m->from = r->conf.id;
    q->list[q->n++] = *m;
}

struct progress *raft_progress(struct raft *r, raft_node_id id)
{
    for (unsigned i = 0; i < r->n_progress; i++)
        if (r->progress[i].id == id)
            return &r->progress[i];
    return NULL;
}

bool raft_disk_is_stalled(const struct raft *r)
{
    return r->n_marks > 0 &&
           r->now_us - r->marks[r->marks_head].issued_us > r->conf.election_timeout_us;
}

void raft_reset_election_timer(struct raft *r)
{
    r->election_due_us =
        r->now_us + r->conf.election_timeout_us + prng_below(&r->prng, r->conf.election_timeout_us);
}

/* ---- configurations ---- */

/* The servers of the configuration in force; what is known of those that stay is kept. */
static void rebuild_progress(struct raft *r)
{
    const struct raft_configuration *c = &r->configs[r->n_configs - 1].configuration;
    struct progress old[RAFT_SERVERS_MAX];
    unsigned n_old = r->n_progress;

    memcpy(old, r->progress, sizeof(old));
    r->n_progress = 0;
    r->is_voter = false;
    r->n_voters = raft_configuration_n_voters(c);
    for (unsigned i = 0; i < c->n; i++) {
        struct progress *p = &r->progress[r->n_progress];

        if (c->servers[i].id == r->conf.id) {
            r->is_voter = c->servers[i].role == RAFT_VOTER;
            continue;
        }
        memset(p, 0, sizeof(*p));
        p->link_up = true; /* until told otherwise: a host without links never tells */
        p->next_index = r->log.last_index + 1;
        for (unsigned j = 0; j < n_old; j++)
            if (old[j].id == c->servers[i].id)
                *p = old[j];
        p->id = c->servers[i].id;
        p->role = c->servers[i].role;
        r->n_progress++;
    }
}

void raft_config_push(struct raft *r, raft_index index, const struct raft_configuration *c)
{
    r->configs = raft_grow(r, r->configs, &r->configs_size, r->n_configs, sizeof(*r->configs));
    r->configs[r->n_configs].index = index;
    r->configs[r->n_configs].configuration = *c;
    r->n_configs++;
    rebuild_progress(r);
    raft_trace(r, RAFT_TRACE_CONFIGURATION, 0, index, NULL);
}

void raft_config_truncate(struct raft *r, raft_index from)
{
    size_t n = r->n_configs;

    while (r->n_configs > 1 && r->configs[r->n_configs - 1].index >= from)
        r->n_configs--;
    if (r->n_configs != n)
        rebuild_progress(r);
}

/* ---- birth and death ---- */

static bool start_is_valid(const struct raft_conf *conf, const struct raft_start *start)
{
    raft_index first = 1;
    raft_term term = 0;

    if (conf->id == 0 || conf->election_timeout_us < 3 * conf->heartbeat_us ||
        conf->heartbeat_us == 0 || conf->rounds_max == 0 ||
        conf->rounds_max > RAFT_ROUNDS_MAX * 4 || conf->log_reader.read == NULL ||
        start->n_configs == 0 || start->configs[0].index != 1 || start->last_index < 1 ||
        start->last_index > RAFT_INDEX_MAX || start->hard_state.current_term > RAFT_INDEX_MAX ||
        start->n_terms == 0 || start->commit_index > start->last_index ||
        start->last_applied > start->last_index)
        return false;
    for (size_t i = 0; i < start->n_terms; i++) {
        if (start->terms[i].term <= term ||
            (i == 0 ? start->terms[i].first != 1 : start->terms[i].first <= first))
            return false;
        first = start->terms[i].first;
        term = start->terms[i].term;
    }
    for (size_t i = 1; i < start->n_configs; i++)
        if (start->configs[i].index <= start->configs[i - 1].index)
            return false;
    return first <= start->last_index && term <= start->hard_state.current_term &&
           start->configs[start->n_configs - 1].index <= start->last_index;
}

int raft_new(const struct raft_conf *conf, const struct raft_start *start, uint64_t now_us,
             struct raft **ret_raft)
{
    struct raft *r;

    if (!start_is_valid(conf, start))
        return RAFT_E_INVALID;
    r = conf->mem.resize(conf->mem.ctx, NULL, sizeof(*r));
    if (r == NULL)
        return -ENOMEM;
    memset(r, 0, sizeof(*r));
    r->conf = *conf;
    r->now_us = now_us;
    prng_init(&r->prng, conf->seed);
    arena_init(&r->arena, conf->mem);
    r->configs_size = start->n_configs + 1;
    r->configs = conf->mem.resize(conf->mem.ctx, NULL, r->configs_size * sizeof(*r->configs));
    if (r->configs == NULL ||
        raft_log_init(&r->log, conf->mem, start->terms, start->n_terms, start->last_index) != 0) {
        if (r->configs != NULL)
            conf->mem.resize(conf->mem.ctx, r->configs, 0);
        conf->mem.resize(conf->mem.ctx, r, 0);
        return -ENOMEM;
    }
    r->role = RAFT_FOLLOWER;
    r->hard_state = start->hard_state;
    /* The first CONFIG entry counts as committed (DESIGN.md 7). */
    r->commit_index = start->commit_index > 1 ? start->commit_index : 1;
    if (r->commit_index < start->last_applied)
        r->commit_index = start->last_applied;
    r->last_applied = start->last_applied;
    r->last_emitted = start->last_applied;
    r->last_stored = start->last_index;
    r->last_handed = start->last_index;
    r->next_round = 1;
    r->rounds_max = conf->rounds_max;
    for (size_t i = 0; i < start->n_configs; i++)
        raft_config_push(r, start->configs[i].index, &start->configs[i].configuration);
    r->check_term = r->hard_state.current_term;
    r->check_vote = r->hard_state.voted_for;
    r->check_commit = r->commit_index;
    raft_reset_election_timer(r);
    *ret_raft = r;
    return 0;
}

void raft_free(struct raft *r)
{
    struct mem mem;
    void *owned[10];

    if (r == NULL)
        return;
    mem = r->conf.mem;
    raft_log_done(&r->log);
    arena_done(&r->arena);
    owned[0] = r->configs;
    owned[1] = r->marks;
    owned[2] = r->reads;
    owned[3] = r->floor_reads;
    owned[4] = r->done;
    owned[5] = r->failed;
    owned[6] = r->msgs.list;
    owned[7] = r->msgs_after.list;
    owned[8] = r->out.list;
    owned[9] = r->out_after.list;
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        if (owned[i] != NULL)
            mem.resize(mem.ctx, owned[i], 0);
    mem.resize(mem.ctx, r, 0);
}

/* ---- roles ---- */

void raft_become(struct raft *r, enum raft_role role, const char *why)
{
    static const bool allowed[4][4] = {
        /* from \ to        follower  pre_cand.  candidate  leader */
        [RAFT_FOLLOWER] = {true, true, true, false},
        [RAFT_PRE_CANDIDATE] = {true, true, true, false},
        [RAFT_CANDIDATE] = {true, true, true, true},
        [RAFT_LEADER] = {true, false, false, false},
    };

    rid_assert(allowed[r->role][role]);
    r->role = role;
    raft_trace(r, RAFT_TRACE_ROLE, r->leader_id, 0, why);
}

void raft_become_follower(struct raft *r, raft_term term, raft_node_id leader, enum raft_loss loss,
                          const char *why)
{
    enum raft_role was = r->role;
    bool changed = was != RAFT_FOLLOWER || term > r->hard_state.current_term;

    rid_assert(term >= r->hard_state.current_term);
    if (was == RAFT_LEADER) {
        rid_assert(loss != RAFT_LOSS_NONE);
        /* Leadership cannot be lost, won and lost again between two readies: winning needs a vote
         * that was stored. */
        rid_assert(r->loss == RAFT_LOSS_NONE);
        r->loss = loss;
        r->loss_term = r->hard_state.current_term;
        r->loss_commit_index = r->commit_index;
        raft_reads_fail(r);
        if (r->transfer_to != 0) {
            r->transfer_to = 0;
            r->transfer_over = true;
        }
        r->noop_index = 0;
        r->uncommitted_bytes = 0;
    }
    if (term > r->hard_state.current_term) {
        r->hard_state = (struct raft_hard_state){term, 0};
        r->hard_state_dirty = true;
        r->leader_id = 0;
        r->term_leader = 0;
    }
    r->self_vote_pending = false;
    r->self_vote = false;
    r->campaign_transfer = false;
    if (was != RAFT_FOLLOWER) {
        r->leader_id = 0;
        raft_reset_election_timer(r);
    }
    if (leader != 0 && r->leader_id != leader) {
        r->leader_id = leader;
        r->term_leader = leader;
        raft_trace(r, RAFT_TRACE_LEADER, leader, 0, NULL);
    }
    if (changed)
        raft_become(r, RAFT_FOLLOWER, why);
}

/* ---- time and links ---- */

void raft_tick(struct raft *r, uint64_t now_us)
{
    raft_now(r, now_us);
    if (r->role == RAFT_LEADER) {
        raft_leader_tick(r);
        return;
    }
    if (r->now_us < r->election_due_us)
        return;
    if (!raft_may_campaign(r)) {
        raft_reset_election_timer(r);
        return;
    }
    r->leader_id = 0;
    raft_campaign(r, true, false);
}

uint64_t raft_deadline_us(const struct raft *r)
{
    uint64_t round;

    if (r->role != RAFT_LEADER)
        return r->election_due_us;
    round = raft_round_due_us(r);
    return round < r->heartbeat_due_us ? round : r->heartbeat_due_us;
}

void raft_link(struct raft *r, raft_node_id peer, bool up, uint64_t now_us)
{
    struct progress *p = raft_progress(r, peer);

    raft_now(r, now_us);
    if (p == NULL)
        return;
    p->link_up = up;
    p->rtt_round = 0;
    if (r->role == RAFT_LEADER) {
        raft_progress_probe(r, p);
        p->heartbeat_due = up; /* carries the highest open round (READS R12) */
    } else if (up) {
        raft_campaign_resend(r, p);
    }
}

/* ---- batches ---- */

void raft_stored(struct raft *r, uint64_t batch, uint64_t now_us)
{
    raft_now(r, now_us);
    rid_assert(batch <= r->last_batch);
    while (r->n_marks > 0 && r->marks[r->marks_head].batch <= batch) {
        const struct batch_mark *m = &r->marks[r->marks_head];

        if (m->last_index > r->last_stored)
            r->last_stored = m->last_index;
        r->last_stored_batch = m->batch;
        r->marks_head = (r->marks_head + 1) & (r->marks_size - 1);
        r->n_marks--;
    }
    if (r->self_vote_pending && r->self_vote_batch != 0 && r->self_vote_batch <= batch) {
        r->self_vote_pending = false;
        r->self_vote = true;
        raft_count_votes(r);
    }
    if (r->role == RAFT_LEADER)
        raft_maybe_commit(r);
}

void raft_applied(struct raft *r, raft_index index)
{
    rid_assert(index >= r->last_applied);
    rid_assert(index <= r->last_emitted);
    r->last_applied = index;
    if (r->log.cached_bytes > r->conf.cache_bytes_max) {
        raft_index keep_from = r->last_applied < r->last_stored ? r->last_applied : r->last_stored;

        while (r->log.cached_bytes > r->conf.cache_bytes_max && r->log.first_cached <= keep_from)
            raft_log_forget(&r->log, r->log.first_cached);
    }
}

/* ---- asking ---- */

int raft_propose(struct raft *r, enum raft_entry_type type, const void *data, size_t len,
                 struct raft_entry_id *ret_id)
{
    struct raft_entry e;

    rid_assert(type == RAFT_ENTRY_COMMAND || type == RAFT_ENTRY_READ);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (len > ENTRY_BYTES_MAX)
        return RAFT_E_TOO_LARGE;
    if (!raft_can_serve(r))
        return RAFT_E_GATED;
    if (r->transfer_to != 0 || r->uncommitted_bytes > RAFT_UNCOMMITTED_BYTES_MAX)
        return RAFT_E_BUSY;
    e = (struct raft_entry){
        {r->hard_state.current_term, r->log.last_index + 1}, type, (uint32_t)len, data};
    if (raft_log_append(&r->log, &e) != 0)
        return -ENOMEM;
    r->uncommitted_bytes += raft_entry_bytes(&e);
    *ret_id = e.id;
    return 0;
}

int raft_transfer(struct raft *r, raft_node_id to, uint64_t now_us)
{
    struct progress *best = NULL;

    raft_now(r, now_us);
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (r->transfer_to != 0)
        return RAFT_E_BUSY;
    for (unsigned i = 0; i < r->n_progress; i++) {
        struct progress *p = &r->progress[i];

        if (p->role != RAFT_VOTER || (to != 0 && p->id != to))
            continue;
        /* When the choice is free: one that is there, then the one that is furthest. */
        if (best == NULL || (p->link_up && !best->link_up) ||
            (p->link_up == best->link_up && p->match_index > best->match_index))
            best = p;
    }
    if (best == NULL)
        return RAFT_E_NOT_MEMBER;
    r->transfer_to = best->id;
    r->transfer_deadline_us = r->now_us + r->conf.election_timeout_us;
    r->transfer_sent = false;
    raft_trace(r, RAFT_TRACE_TRANSFER, best->id, 0, "started");
    raft_maybe_timeout_now(r, best);
    return 0;
}

void raft_set_rounds_max(struct raft *r, unsigned rounds_max)
{
    rid_assert(rounds_max >= 1);
    rid_assert(rounds_max <= RAFT_ROUNDS_MAX * 4);
    r->rounds_max = rounds_max;
}

/* ---- looking ---- */

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
    /* The no-op gate, as a comparison and not as a flag that somebody must reset (READS R14). */
    return r->role == RAFT_LEADER && r->commit_index >= r->noop_index;
}

raft_index raft_get_commit_index(const struct raft *r)
{
    return r->commit_index;
}

const struct raft_configuration *raft_get_configuration(const struct raft *r)
{
    return &r->configs[r->n_configs - 1].configuration;
}

raft_term raft_term_at(const struct raft *r, raft_index index)
{
    return raft_log_term(&r->log, index);
}

void raft_get_status(const struct raft *r, struct raft_status *ret_status)
{
    struct raft_status s = {.id = r->conf.id,
                            .role = r->role,
                            .current_term = r->hard_state.current_term,
                            .voted_for = r->hard_state.voted_for,
                            .leader_id = r->leader_id,
                            .commit_index = r->commit_index,
                            .last_applied = r->last_applied,
                            .last_index = r->log.last_index,
                            .last_stored = r->last_stored,
                            .noop_index = r->noop_index,
                            .can_serve = raft_can_serve(r),
                            .rounds_opened = r->n_rounds_opened,
                            .rounds_confirmed = r->n_rounds_confirmed,
                            .n_reads_pending = (unsigned)(r->n_reads + r->n_floor_reads),
                            .n_voters = r->n_voters,
                            .n_voters_heard = raft_n_voters_heard(r),
                            .transfer_to = r->transfer_to,
                            .n_peers = r->n_progress};

    for (unsigned i = 0; i < r->n_progress; i++) {
        const struct progress *p = &r->progress[i];

        s.peers[i] = (struct raft_peer_status){.id = p->id,
                                               .role = p->role,
                                               .connected = p->link_up,
                                               .match_index = p->match_index,
                                               .next_index = p->next_index,
                                               .acked_round = p->acked_round,
                                               .last_heard_us = p->last_heard_us,
                                               .srtt_us = p->srtt_us};
    }
    *ret_status = s;
}
