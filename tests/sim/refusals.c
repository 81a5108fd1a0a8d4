/* Changes that a leader must refuse, asked of its core past the engine, which would not ask them:
 * other hosts may. What is refused changes nothing, so that a correct core goes on as if nobody had
 * asked. Which rule refuses does not matter where several do. */
#include <inttypes.h>

#include "sim/sim.h"

#include "base/banned.h"

static uint64_t below(struct sim *s, uint64_t bound)
{
    return sim_below(s, STREAM_MEMBER, 1, bound);
}

struct wrong {
    struct raft_configuration c;
    raft_index based_on;
    bool force;
    const char *rule;
    const char *what;
};

/* Any but this node; NULL: there is none in this role. */
static struct raft_server *pick(struct sim_node *n, struct raft_configuration *c,
                                enum raft_server_role role)
{
    const unsigned first = (unsigned)below(n->sim, c->n);

    for (unsigned i = 0; i < c->n; i++) {
        struct raft_server *r = &c->servers[(first + i) % c->n];

        if (r->id != n->id && r->role == role)
            return r;
    }
    return NULL;
}

static raft_index last_index(const struct sim_node *n)
{
    struct raft_status st;

    raft_get_status(node_raft(n), &st);
    return st.last_index;
}

/* ---- each is false where it cannot be made ---- */

static bool is_early(struct sim_node *n, struct wrong *w)
{
    w->rule = "MEMBER-1";
    w->what = "before anything of its term, or the change before, is committed";
    return !raft_can_serve(node_raft(n)) ||
           raft_get_configuration_index(node_raft(n)) > raft_get_commit_index(node_raft(n));
}

static bool is_stale(struct sim_node *n, struct wrong *w)
{
    w->rule = "MEMBER-3";
    w->what = "made from an older configuration";
    if (w->based_on < 2)
        return false;
    w->based_on = 1 + below(n->sim, w->based_on - 1);
    return true;
}

static bool is_two_voters(struct sim_node *n, struct wrong *w)
{
    struct raft_server *voter = pick(n, &w->c, RAFT_VOTER);
    struct raft_server *learner = pick(n, &w->c, RAFT_LEARNER);

    w->rule = "MEMBER-2";
    w->what = "in which one voter comes and one goes";
    if (voter == NULL || learner == NULL)
        return false;
    voter->role = RAFT_LEARNER;
    learner->role = RAFT_VOTER;
    learner->promote = false;
    return true;
}

static bool is_of_itself(struct sim_node *n, struct wrong *w)
{
    w->rule = "MEMBER-9";
    w->what = "that demotes it";
    for (unsigned i = 0; i < w->c.n; i++)
        if (w->c.servers[i].id == n->id)
            w->c.servers[i].role = RAFT_LEARNER;
    return pick(n, &w->c, RAFT_VOTER) != NULL;
}

/* Those that have answered this leader in its term, and are not too few now, were heard of it. */
static bool is_without_quorum(struct sim_node *n, struct wrong *w)
{
    const struct raft_server *gone = pick(n, &w->c, RAFT_VOTER);
    unsigned count = 0;

    w->rule = "MEMBER-8";
    w->what = "that leaves fewer voters than have answered it";
    w->force = false;
    if (gone == NULL || !raft_configuration_remove(&w->c, gone->id, last_index(n) + 1))
        return false;
    for (unsigned i = 0; i < w->c.n; i++)
        count += w->c.servers[i].role == RAFT_VOTER && changes_answered(n, w->c.servers[i].id);
    return count < raft_configuration_n_voters(&w->c) / 2 + 1;
}

static bool is_unreadable(struct sim_node *n, struct wrong *w)
{
    struct raft_server *r = pick(n, &w->c, RAFT_VOTER);

    w->rule = "MEMBER-4";
    w->what = "that nobody can read";
    if (r == NULL)
        return false;
    (void)snprintf(r->peer_addr, sizeof(r->peer_addr), "a b:1");
    return true;
}

static bool is_of_the_removed(struct sim_node *n, struct wrong *w)
{
    const struct raft_removed *r;

    w->rule = "MEMBER-5";
    w->what = "that takes in who was removed";
    if (w->c.n_removed == 0)
        return false;
    r = &w->c.removed[below(n->sim, w->c.n_removed)];
    return raft_configuration_add(&w->c, r->id, r->name, RAFT_LEARNER, "a:1", "a:2") == 0;
}

static bool is_of_another_cluster(struct sim_node *n, struct wrong *w)
{
    w->rule = "MEMBER-16";
    w->what = "with another id of the cluster";
    if (!raft_configuration_has_cluster_id(&w->c))
        return false;
    w->c.cluster_id[below(n->sim, 16)] ^= 1;
    return raft_configuration_has_cluster_id(&w->c);
}

/* ---- asking ---- */

void refusals_ask(struct sim_node *n)
{
    static bool (*const kinds[])(struct sim_node *, struct wrong *) = {
        is_early,          is_stale,      is_two_voters,     is_of_itself,
        is_without_quorum, is_unreadable, is_of_the_removed, is_of_another_cluster};
    const unsigned n_kinds = sizeof(kinds) / sizeof(kinds[0]);

    if (n == NULL || n->life != NODE_UP || n->fatal_error != 0 ||
        raft_get_role(node_raft(n)) != RAFT_LEADER)
        return;
    for (unsigned k = 0; k < n_kinds; k++) {
        struct wrong w = {.c = *raft_get_configuration(node_raft(n)),
                          .based_on = raft_get_configuration_index(node_raft(n)),
                          .force = true};
        struct raft_entry_id id;

        if (!kinds[k](n, &w))
            continue;
        MARK(n->sim, refused_wrong);
        if (replica_configure(n->replica, &w.c, w.based_on, w.force, clock_local_us(n), &id) == 0)
            sim_fail(n->sim, w.rule, "n%u takes a change %s", n->i + 1, w.what);
    }
    node_input(n);
}
