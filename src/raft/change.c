/* Changes of the members, one server at a time (4.1): which are allowed, and when.
 *
 * Two majorities of configurations that are one voter apart have a server in common; of those
 * that are two apart they need not. So a change waits for the one before it, and the first one
 * of a leader waits for an entry of its term: else two leaders, each with a change of its own
 * that the other has not seen, are two steps apart (Ongaro's note of 2015). All of it is derived
 * by looking at the log each time; a remembered "a change is under way" is wrong after a
 * truncation (MEMBER-1). */
#include "raft/raft_int.h"

raft_index raft_get_configuration_index(const struct raft *r)
{
    return r->configs[r->n_configs - 1].index;
}

size_t raft_n_configurations(const struct raft *r)
{
    return r->n_configs;
}

static bool is_voter_of(const struct raft_configuration *c, raft_node_id id)
{
    const struct raft_server *s = raft_configuration_get(c, id);

    return s != NULL && s->role == RAFT_VOTER;
}

/* Servers of a that are not in b; voters of a that are no voters of b. */
static unsigned n_missing(const struct raft_configuration *a, const struct raft_configuration *b,
                          bool voters)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->n; i++) {
        const struct raft_server *s = &a->servers[i];

        if (voters)
            n += s->role == RAFT_VOTER && !is_voter_of(b, s->id);
        else
            n += raft_configuration_get(b, s->id) == NULL;
    }
    return n;
}

static bool is_one_step(const struct raft_configuration *from, const struct raft_configuration *to)
{
    if (raft_configuration_has_cluster_id(from) &&
        memcmp(from->cluster_id, to->cluster_id, sizeof(from->cluster_id)) != 0)
        return false;
    if (to->version < from->version)
        return false;
    return n_missing(from, to, true) + n_missing(to, from, true) <= 1 &&
           n_missing(from, to, false) <= 1 && n_missing(to, from, false) <= 1;
}

/* In this term: whoever has just been elected counts everybody as heard, to be fair to them, and
 * knows nothing of them yet. */
static bool has_answered(const struct raft *r, const struct progress *p)
{
    return raft_hears(r, p) && (p->acked_round > 0 || p->match_index > 0);
}

/* Those that come are not heard yet: a voter that comes was a learner before, or is counted out. */
static bool has_live_quorum(struct raft *r, const struct raft_configuration *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++) {
        const struct progress *p = raft_progress(r, c->servers[i].id);

        if (c->servers[i].role != RAFT_VOTER)
            continue;
        n += c->servers[i].id == r->conf.id || (p != NULL && has_answered(r, p));
    }
    return n >= raft_quorum_size(c);
}

static int may_configure(struct raft *r, const struct raft_configuration *c, raft_index based_on,
                         bool force)
{
    if (r->role != RAFT_LEADER)
        return RAFT_E_NOT_LEADER;
    if (!raft_can_serve(r))
        return RAFT_E_GATED;
    if (r->transfer_to != 0)
        return RAFT_E_BUSY;
    if (based_on != raft_get_configuration_index(r))
        return RAFT_E_BASED;
    if (raft_get_configuration_index(r) > r->commit_index)
        return RAFT_E_CHANGING;
    if (!is_one_step(raft_get_configuration(r), c))
        return RAFT_E_STEP;
    if (!is_voter_of(c, r->conf.id))
        return RAFT_E_SELF;
    return force || has_live_quorum(r, c) ? 0 : RAFT_E_QUORUM;
}

/* What the others could not read, or a server whose id was given back, is no configuration
 * (MEMBER-5). Apart, for its large local. */
static __attribute__((noinline)) bool is_readable(const struct buf *bytes)
{
    struct raft_configuration c;

    if (raft_configuration_decode(bytes->data, bytes->len, &c) != 0)
        return false;
    for (unsigned i = 0; i < c.n; i++)
        if (raft_configuration_removed(&c, c.servers[i].id) != NULL)
            return false;
    return true;
}

int raft_configure(struct raft *r, const struct raft_configuration *c, raft_index based_on,
                   bool force, struct raft_entry_id *ret_id)
{
    int rc = may_configure(r, c, based_on, force);
    struct buf bytes = BUF_INIT;

    if (rc == 0)
        rc = raft_configuration_encode(c, &bytes);
    if (rc == 0 && !is_readable(&bytes))
        rc = RAFT_E_INVALID;
    if (rc == 0) {
        raft_append_own(r, RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
        *ret_id = raft_log_last(&r->log);
    }
    buf_done(&bytes);
    raft_check_rest(r);
    return rc;
}
