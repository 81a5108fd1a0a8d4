/* Birth and death of one node of one group: what was durable when the process started becomes a
 * follower, or is refused because it contradicts itself. */
#include "raft/raft_int.h"

#include <errno.h>

void raft_conf_init(struct raft_conf *conf)
{
    memset(conf, 0, sizeof(*conf));
    conf->election_timeout_us = RAFT_ELECTION_US_DEFAULT;
    conf->heartbeat_us = RAFT_HEARTBEAT_US_DEFAULT;
    conf->rounds_max = RAFT_ROUNDS_MAX;
    conf->append_bytes_max = RAFT_APPEND_BYTES_MAX;
    conf->inflight_bytes_max = RAFT_INFLIGHT_BYTES_MAX;
    conf->cache_bytes_max = RAFT_CACHE_BYTES_MAX;
    conf->term_step_max = RAFT_TERM_STEP_MAX;
    conf->fast_failover = true;
    conf->mem = mem_libc;
}

static bool conf_is_valid(const struct raft_conf *conf)
{
    return conf->id != 0 && conf->heartbeat_us > 0 &&
           conf->election_timeout_us >= 3 * conf->heartbeat_us && conf->rounds_max > 0 &&
           conf->rounds_max <= RAFT_ROUNDS_MAX * 4 && conf->term_step_max > 0 &&
           conf->lease_us <= RAFT_LEASE_US_MAX && conf->log_reader.read != NULL;
}

/* The runs begin behind the base, without a gap, and never fall below its term. */
static bool terms_are_valid(const struct raft_start *start)
{
    raft_index next = start->base.index + 1;
    raft_term term = start->base.term;

    if ((start->n_terms == 0) != (start->last_index == start->base.index))
        return false;
    for (size_t i = 0; i < start->n_terms; i++) {
        const struct raft_term_range *range = &start->terms[i];

        if (i == 0 ? range->first != next : range->first < next)
            return false;
        if (range->term == 0 || range->term < term || (i > 0 && range->term == term))
            return false;
        next = range->first + 1;
        term = range->term;
    }
    return next - 1 <= start->last_index && term <= start->hard_state.current_term;
}

/* The first is in force at the base, or committed in any case: what is truncated falls back to it
 * at most. */
static bool configs_are_valid(const struct raft_start *start)
{
    raft_index first_max =
        start->commit_index > start->base.index ? start->commit_index : start->base.index;

    if (start->base.index == 0)
        first_max = 1;
    if (start->n_configs == 0 || start->configs[0].index == 0 ||
        start->configs[0].index > first_max)
        return false;
    for (size_t i = 1; i < start->n_configs; i++)
        if (start->configs[i].index <= start->configs[i - 1].index)
            return false;
    return start->configs[start->n_configs - 1].index <= start->last_index;
}

static bool start_is_valid(const struct raft_start *start)
{
    return start->last_index >= 1 && start->last_index <= RAFT_INDEX_MAX &&
           start->hard_state.current_term <= RAFT_INDEX_MAX &&
           start->hard_state.lease_max_us <= RAFT_LEASE_US_MAX &&
           (start->base.index == 0) == (start->base.term == 0) &&
           start->base.index <= start->last_applied && start->last_applied <= start->last_index &&
           start->commit_index <= start->last_index && terms_are_valid(start) &&
           configs_are_valid(start);
}

int raft_new(const struct raft_conf *conf, const struct raft_start *start, uint64_t now_us,
             struct raft **ret_raft)
{
    struct raft *r;

    if (!conf_is_valid(conf) || !start_is_valid(start))
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
    if (r->configs == NULL || raft_log_init(&r->log, conf->mem, start->base, start->terms,
                                            start->n_terms, start->last_index) != 0) {
        if (r->configs != NULL)
            conf->mem.resize(conf->mem.ctx, r->configs, 0);
        conf->mem.resize(conf->mem.ctx, r, 0);
        return -ENOMEM;
    }
    r->role = RAFT_FOLLOWER;
    r->hard_state = start->hard_state;
    r->lease_stored_us = start->hard_state.lease_max_us;
    /* What this node promised before, and to whom, it has forgotten: at most this, and to anybody
     * (LEASE-4). */
    r->promises.other_until_us = now_us + raft_stretch_us(r->lease_stored_us);
    r->asks.next = 1;
    /* The first CONFIG entry is the same on every founder: it counts as committed
     * (IDENTITY-6). */
    r->commit_index = start->commit_index > 1 ? start->commit_index : 1;
    if (r->commit_index < start->last_applied)
        r->commit_index = start->last_applied;
    rid_assert(r->commit_index >= r->log.base.index); /* what is applied reaches it */
    r->last_applied = start->last_applied;
    r->last_emitted = start->last_applied;
    r->ahead = UINT64_MAX;
    r->last_stored = start->last_index;
    r->last_handed = start->last_index;
    r->step_down_us = UINT64_MAX;
    raft_set_note(r, &r->note); /* fit, and nothing else to say yet */
    r->disk.window_bytes = RAFT_UNCOMMITTED_BYTES_MAX;
    raft_read_queue_init(&r->reads, conf->mem);
    mark_ring_init(&r->marks, conf->mem);
    raft_rounds_init(&r->rounds, conf->rounds_max);
    for (size_t i = 0; i < start->n_configs; i++)
        raft_config_push(r, start->configs[i].index, &start->configs[i].configuration);
    raft_reset_election_timer(r);
    raft_seen_take(r);
    raft_check_rest(r);
    *ret_raft = r;
    return 0;
}

void raft_free(struct raft *r)
{
    struct mem mem;
    void *owned[5];

    if (r == NULL)
        return;
    mem = r->conf.mem;
    raft_log_done(&r->log);
    raft_read_queue_free(&r->reads);
    mark_ring_done(&r->marks);
    arena_done(&r->arena);
    owned[0] = r->configs;
    owned[1] = r->msgs.list;
    owned[2] = r->msgs_after.list;
    owned[3] = r->out.list;
    owned[4] = r->out_after.list;
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        if (owned[i] != NULL)
            mem.resize(mem.ctx, owned[i], 0);
    mem.resize(mem.ctx, r, 0);
}
