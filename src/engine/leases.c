/* What the surroundings of the core do for leases and for reads of followers: it is told who
 * understands a READ_ASK, and that its clocks are not to be relied on; and when every member knows
 * of leases the configuration says so, without which the core takes none.
 *
 * Whether a node understands asks stands in its hello, and is looked at again with each link that
 * comes up and with each configuration: a link may be there before its node is a member, and the
 * core knows members only. What is sent while a link is down is lost, and a link that comes up is
 * looked at before anything is sent on it. */
#include "engine/members_int.h"
#include "wire/frame.h"

#include "base/banned.h"

void engine_leases_init(struct engine *e)
{
    e->leases.disrupted_limit =
        (struct log_limit){.window_us = LEASE_LOG_WINDOW_US, .burst = LEASE_LOG_BURST};
    e->leases.taken_limit = e->leases.disrupted_limit;
}

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

/* A node that was moved is not gone: what is refused is where it was. */
void engine_gone(struct engine *e, raft_node_id peer, const char *address, uint64_t now_us)
{
    const char *current = e->ops.peer_addr != NULL ? e->ops.peer_addr(e->ops.ctx, peer) : NULL;

    if (e->replica == NULL || current == NULL || strcmp(current, address) != 0)
        return;
    replica_gone(e->replica, peer, now_us);
}

bool engine_understands_asks(const struct engine *e, raft_node_id id)
{
    for (unsigned i = 0; i < e->leases.n_told; i++)
        if (e->leases.told[i].id == id)
            return e->leases.told[i].asks;
    return false;
}

/* ---- does every member know of leases? (LEASE-15) ---- */

unsigned engine_version_lowest(const struct engine *e)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    return c->version >= GATES_VERSION ? WIRE_VERSION_ASKS : WIRE_VERSION_LOWEST;
}

/* One that was not met may be of any version. NULL: all are known to know. */
const struct raft_server *engine_leases_wait_for(const struct engine *e, const char **ret_why)
{
    const struct raft_configuration *c = raft_get_configuration(engine_raft(e));

    for (unsigned i = 0; e->ops.peer_version != NULL && i < c->n; i++) {
        const raft_node_id id = c->servers[i].id;
        const unsigned version = id == e->id ? 0 : e->ops.peer_version(e->ops.ctx, id);

        if (id == e->id || version >= WIRE_VERSION_ASKS)
            continue;
        *ret_why = version == 0 ? "it was not met since this node started"
                                : "it runs a version that does not know of leases: upgrade it";
        return &c->servers[i];
    }
    return NULL;
}

/* Nobody asks for it: it would be one more step that somebody forgets. What cannot be appended now
 * can be at a later look. */
static void raise_version(struct engine *e)
{
    struct raft_configuration c = *raft_get_configuration(engine_raft(e));
    const char *why;

    if (c.version >= GATES_VERSION || !engine_members_are_settled(e) ||
        engine_leases_wait_for(e, &why) != NULL)
        return;
    c.version = GATES_VERSION;
    if (member_append(e, &c, false) == 0 && engine_logs(e))
        log_event(LOG_INFO, "leases_known", "version=%u why='every member knows of leases'",
                  GATES_VERSION);
}

static void look_at_version(struct engine *e, uint64_t now_us)
{
    if (e->leases.lease_us == 0 || now_us < e->leases.look_us || !raft_can_serve(engine_raft(e)) ||
        replica_transferring(e->replica))
        return;
    e->leases.look_us = now_us + MEMBERS_LOOK_US;
    raise_version(e);
}

/* ---- clocks ---- */

uint64_t engine_suspended_us(void *ctx)
{
    struct engine *e = ctx;

    return e->ops.suspended_us(e->ops.ctx);
}

bool engine_disrupted(void *ctx)
{
    struct engine *e = ctx;
    uint64_t suppressed;

    if (!e->ops.disrupted(e->ops.ctx))
        return false;
    e->leases.n_disrupted++;
    if (engine_logs(e) && e->leases.lease_us != 0 &&
        log_limit_ok(&e->leases.disrupted_limit, e->ops.now_us(e->ops.ctx), &suppressed))
        log_event(LOG_INFO, "stood_still",
                  "why='the process or the machine did' suppressed=%llu action=lease_anew",
                  (unsigned long long)suppressed);
    return true;
}

void engine_set_lease(struct engine *e, uint64_t lease_us)
{
    e->leases.lease_us = lease_us;
    raft_set_lease(replica_raft_mutable(e->replica), lease_us, e->ops.now_us(e->ops.ctx));
}

void engine_set_fast_failover(struct engine *e, bool on)
{
    raft_set_fast_failover(replica_raft_mutable(e->replica), on);
}

uint64_t engine_get_lease(const struct engine *e)
{
    return e->leases.lease_us;
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
    look_at_version(e, now_us);
    engine_leases_look(e, now_us);
    if (configuration_changed(e) || e->leases.link_came) {
        e->leases.link_came = false;
        tell_who_understands(e);
    }
}
