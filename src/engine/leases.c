/* What the surroundings of the core do for leases and for reads of followers: it is told who
 * understands a READ_ASK.
 *
 * Whether a node does stands in its hello, and is looked at again with each link that comes up and
 * with each configuration: a link may be there before its node is a member, and the core knows
 * members only. What is sent while a link is down is lost, and a link that comes up is looked at
 * before anything is sent on it. */
#include "engine/engine_int.h"
#include "wire/frame.h"

#include "base/banned.h"

/* ---- who may be asked (LEASE-15) ---- */

static bool understands_asks(const struct engine *e, raft_node_id id)
{
    return e->ops.peer_version == NULL || e->ops.peer_version(e->ops.ctx, id) >= WIRE_VERSION_ASKS;
}

static void tell_who_understands(struct engine *e)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));
    struct leases *l = &e->leases;

    l->n_told = 0;
    for (unsigned i = 0; i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;
        const bool understands = id != e->id && understands_asks(e, id);

        l->told[l->n_told].id = id;
        l->told[l->n_told++].asks = understands;
        if (id != e->id)
            raft_understands_asks(replica_raft_mutable(e->replica), id, understands);
    }
}

void engine_link(struct engine *e, raft_node_id peer, bool up, uint64_t now_us)
{
    if (e->replica == NULL)
        return;
    e->leases.link_came = e->leases.link_came || up;
    replica_link(e->replica, peer, up, now_us);
}

bool engine_understands_asks(const struct engine *e, raft_node_id id)
{
    for (unsigned i = 0; i < e->leases.n_told; i++)
        if (e->leases.told[i].id == id)
            return e->leases.told[i].asks;
    return false;
}

/* ---- the turn ---- */

static bool configuration_changed(struct engine *e)
{
    const raft_index index = raft_get_configuration_index(engine_raft(e));
    const raft_term term = raft_term_at(engine_raft(e), index);
    struct leases *l = &e->leases;

    /* Two leaders may have put one at the same place; its term may go with the front of the log. */
    if (index == l->config.index && term == l->config.term)
        return false;
    l->config = (struct raft_entry_id){term, index};
    return true;
}

void engine_leases_turn(struct engine *e, uint64_t now_us)
{
    (void)now_us;
    if (configuration_changed(e) || e->leases.link_came) {
        e->leases.link_came = false;
        tell_who_understands(e);
    }
}
