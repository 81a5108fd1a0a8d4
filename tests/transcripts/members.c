/* The commands about members and snapshots, and what `check` looks at. They add to world.c's:
 *
 *   add-nodes 5 members=n1,n2,n3     nodes beside the members; a member is founded, a node is there
 *   configure, configuration         changes of the members, and what is in force
 *   wipe                             a disk that is lost: the node is another server from then on
 *   links                            who knows whom, and so who dials
 *   snapshot, compact, install, restored
 *
 * Links: a message passes between two nodes when at least one of them has the other in the
 * configuration in force there: that one dials, and what it sends is answered on the same link. A
 * member takes no link from who was removed by what it has applied. Where all know each other, as
 * in most transcripts, nothing of it is to be seen. */
#include "transcripts/world_int.h"

#include <inttypes.h>

#include "base/assert.h"

#include "base/banned.h"

/* ---- links ---- */

static bool knows(const struct node *n, const struct node *other)
{
    return n->raft != NULL &&
           raft_configuration_get(raft_get_configuration(n->raft), other->id) != NULL;
}

static bool has_removed(const struct node *n, const struct node *other)
{
    const struct raft_config_at *at;

    if (n->raft == NULL)
        return false;
    at = raft_config_at(n->raft, n->applied);
    return raft_configuration_removed(&at->configuration, other->id) != NULL;
}

const char *world_no_link(const struct node *from, const struct node *to)
{
    if (has_removed(to, from))
        return "it was removed";
    return knows(from, to) || knows(to, from) ? NULL : "neither knows the other";
}

/* links n4            with each other node: who has the other in its configuration, and so dials */
void cmd_links(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    for (unsigned i = 0; i < w->n_nodes; i++) {
        const struct node *o = &w->nodes[i];

        if (o == n)
            continue;
        if (o->raft == NULL)
            world_say(w, "%s   %s is down", n->name, o->name);
        else if (world_no_link(n, o) != NULL)
            world_say(w, "%s   %s %s", n->name, o->name, world_no_link(n, o));
        else
            world_say(w, "%s - %s %s", n->name, o->name,
                      !knows(o, n)   ? "does not know it, and is dialled"
                      : !knows(n, o) ? "knows it, and dials"
                                     : "knows it, and is known");
    }
}

/* ---- configurations ---- */

static void say_servers(struct world *w, struct buf *b, const struct raft_configuration *c)
{
    for (unsigned i = 0; i < c->n; i++)
        (void)buf_add_format(b, " %s%s", world_name_of(w, c->servers[i].id),
                             c->servers[i].role == RAFT_LEARNER ? " (learner)" : "");
    if (c->n_removed > 0)
        (void)buf_add_str(b, "; removed:");
    for (unsigned i = 0; i < c->n_removed; i++)
        (void)buf_add_format(b, " %s at %" PRIu64, world_name_of(w, c->removed[i].id),
                             c->removed[i].index);
}

/* configuration n1,n2    what is in force there, and whether it is known to be committed */
void cmd_configuration(struct world *w, const struct args *a)
{
    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];
        cleanup_buf struct buf b = BUF_INIT;
        raft_index index;

        if ((a->n > 1 && !world_in_list(a->v[1], n->name)) || n->raft == NULL)
            continue;
        index = raft_get_configuration_index(n->raft);
        say_servers(w, &b, raft_get_configuration(n->raft));
        world_say(w, "%s configuration at %" PRIu64 "%s:%.*s", n->name, index,
                  index > raft_get_commit_index(n->raft) ? ", not committed" : "", (int)b.len,
                  (const char *)b.data);
    }
}

static void set_role(struct raft_configuration *c, const struct node *n, enum raft_server_role role)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->servers[i].id == n->id) {
            c->servers[i].role = role;
            return;
        }
    rid_assert(raft_configuration_add(c, n->id, n->name, role, n->name, "") == 0);
}

static void take_out(struct raft_configuration *c, const struct node *n, raft_index index)
{
    const struct raft_server *s = raft_configuration_get_name(c, n->name);

    if (s != NULL)
        (void)raft_configuration_remove(c, s->id, index);
}

/* configure n1 voter=n4        n1 appends a configuration with n4 as a voter: it comes, or is promoted
 * configure n1 learner=n4      as a learner: it comes, or is demoted
 * configure n1 remove=n4       without n4, whose id is remembered as removed
 * configure n1 exchange=n4     without what n4 was before it was wiped, and with n4 as a learner
 *                              (MEMBER-14)
 * configure n1 voter=n4 force based=3
 *                              although no quorum of it is heard; made from the configuration at 3
 * Several at once, and lists, are more than one step. */
void cmd_configure(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    const char *voter = world_option(a, "voter"), *learner = world_option(a, "learner");
    const char *remove = world_option(a, "remove"), *exchange = world_option(a, "exchange");
    struct raft_configuration c;
    struct raft_entry_id id;
    struct raft_status s;
    int r;

    if (n == NULL)
        return;
    if (voter == NULL && learner == NULL && remove == NULL && exchange == NULL) {
        world_say(w, "error: configure needs voter=, learner=, remove= or exchange=");
        return;
    }
    c = *raft_get_configuration(n->raft);
    raft_get_status(n->raft, &s);
    for (unsigned i = 0; i < w->n_nodes; i++) {
        const struct node *o = &w->nodes[i];

        if ((remove != NULL && world_in_list(remove, o->name)) ||
            (exchange != NULL && world_in_list(exchange, o->name)))
            take_out(&c, o, s.last_index + 1);
        if (voter != NULL && world_in_list(voter, o->name))
            set_role(&c, o, RAFT_VOTER);
        if ((learner != NULL && world_in_list(learner, o->name)) ||
            (exchange != NULL && world_in_list(exchange, o->name)))
            set_role(&c, o, RAFT_LEARNER);
    }
    r = raft_configure(n->raft, &c,
                       world_option_number(a, "based", raft_get_configuration_index(n->raft)),
                       world_flag(a, "force"), &id);
    if (r != 0)
        world_say(w, "%s refuses the change: %s", n->name, world_error_name(r));
    else
        world_say(w, "%s appends the change: %" PRIu64 "/%" PRIu64, n->name, id.term, id.index);
}

/* wipe n3             of a node that is down: its disk is lost. It waits to be taken in again, as
 *                     another server under its old name (MEMBER-5): `restart` starts it with what a
 *                     leader tells it, the first configuration */
void cmd_wipe(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, false);
    cleanup_buf struct buf bytes = BUF_INIT;
    struct former *f;

    if (n == NULL)
        return;
    if (n->raft != NULL || w->n_former == FORMER_MAX) {
        world_say(w, "error: %s must be down", n->name);
        return;
    }
    f = &w->former[w->n_former++];
    f->id = n->id;
    (void)snprintf(f->name, sizeof(f->name), "was-%s", n->name);
    n->id = raft_member_id(n->name, ++n->incarnation);
    sim_disk_done(&n->disk);
    sim_disk_init(&n->disk);
    rid_assert(raft_configuration_encode(&w->founders, &bytes) == 0);
    sim_disk_put(&n->disk, 1, RAFT_ENTRY_CONFIG, bytes.data, bytes.len);
    n->disk.commit_index = 1;
    world_say_state(w, n);
}

/* ---- snapshots ---- */

/* compact n1 to=5
 * compact n1 to=5 told     the core learns it, too
 * The log of n1 begins behind 5 from now on: a running core learns it when it reads from the disk, a
 * restarted one at its start. Up to there everything must be committed and stored. */
void cmd_compact(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, false);
    raft_index to = world_option_number(a, "to", 0);

    if (n == NULL)
        return;
    if (to <= n->disk.base.index || to > n->disk.commit_index || to > n->disk.log.n) {
        world_say(w, "error: to= must be committed on the disk of %s", n->name);
        return;
    }
    if (world_flag(a, "told") && n->raft != NULL)
        raft_compact(n->raft, to);
    sim_disk_compact(&n->disk, to);
    world_say(w, "%s log begins behind %" PRIu64 "/%" PRIu64, n->name, n->disk.base.term,
              n->disk.base.index);
}

static struct snapshot *snapshot_named(struct world *w, const char *name)
{
    for (unsigned i = 0; name != NULL && i < w->n_snapshots; i++)
        if (strcmp(w->snapshots[i].name, name) == 0)
            return &w->snapshots[i];
    return NULL;
}

void world_free_snapshots(struct world *w)
{
    for (unsigned i = 0; i < w->n_snapshots; i++)
        sim_disk_done(&w->snapshots[i].disk);
}

/* snapshot n1 old      n1 makes a snapshot of what it has applied; `install` finds it by that name,
 *                      whatever n1 does afterwards */
void cmd_snapshot(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    struct snapshot *s;

    if (n == NULL)
        return;
    if (a->n < 3 || snapshot_named(w, a->v[2]) != NULL || w->n_snapshots == SNAPSHOTS_MAX) {
        world_say(w, "error: snapshot needs a new name");
        return;
    }
    s = &w->snapshots[w->n_snapshots++];
    (void)snprintf(s->name, sizeof(s->name), "%s", a->v[2]);
    s->id = n->disk.log.entries[n->applied - 1].id;
    s->config = *raft_config_at(n->raft, n->applied);
    sim_disk_init(&s->disk);
    sim_disk_incoming(&s->disk, &n->disk, n->applied);
    world_say(w, "%s snapshot '%s' of %" PRIu64 "/%" PRIu64 " (configuration %" PRIu64 ")", n->name,
              s->name, s->id.term, s->id.index, s->config.index);
}

static void install(struct world *w, struct node *n, struct raft_entry_id id,
                    const struct raft_config_at *config, bool lost)
{
    if (raft_install(n->raft, id, config, lost, n->now_us) == RAFT_INSTALL_LATER)
        world_say(w, "%s: not now", n->name);
}

/* install n2 old                  n2 has got that snapshot
 * install n2 from=n1 to=5         one of what n1 holds up to 5
 * install n2 from=n1 to=5 lost    and does not believe its own state */
void cmd_install(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    struct node *from = world_node_named(w, world_option(a, "from"));
    raft_index to = world_option_number(a, "to", 0);
    const struct snapshot *s = a->n > 2 ? snapshot_named(w, a->v[2]) : NULL;

    if (n == NULL)
        return;
    if (s == NULL && (from == NULL || from->raft == NULL || to == 0 || to > from->applied)) {
        world_say(w,
                  "error: install needs a snapshot, or from=, a running node that has applied to=");
        return;
    }
    if (s != NULL) {
        sim_disk_incoming_log(&n->disk, &s->disk.incoming, s->id.index);
        install(w, n, s->id, &s->config, world_flag(a, "lost"));
        return;
    }
    sim_disk_incoming(&n->disk, &from->disk, to);
    install(w, n, from->disk.log.entries[to - 1].id, raft_config_at(from->raft, to),
            world_flag(a, "lost"));
}

/* restored n2          its state is that of the snapshot installed last */
void cmd_restored(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    raft_restored(n->raft, n->now_us);
    n->committed = n->applied = n->disk.incoming.n;
    world_say_state(w, n);
}

/* ---- check ---- */

static bool is_on_majority(const struct world *w, const struct raft_configuration *c,
                           raft_index index, const struct sim_entry *e, unsigned *ret_holders)
{
    unsigned holders = 0, voters = 0;

    for (unsigned i = 0; i < c->n; i++)
        voters += c->servers[i].role == RAFT_VOTER;
    for (unsigned i = 0; i < w->n_nodes; i++) {
        const struct node *o = &w->nodes[i];
        const struct raft_server *s = raft_configuration_get(c, o->id);
        const struct sim_entry *d = sim_log_get(&o->disk.log, index);

        holders +=
            s != NULL && s->role == RAFT_VOTER && e != NULL && d != NULL && d->hash == e->hash;
    }
    *ret_holders = holders;
    return 2 * holders > voters;
}

/* What is committed was on a majority of a configuration that was in force then. Who counted is not
 * known any more: one that somebody has in force, or had there, or the founders'. */
static void check_committed(struct world *w, const struct node *n, raft_index commit)
{
    const struct sim_entry *e = sim_log_get(&n->disk.tail, commit);
    unsigned holders;
    bool found = is_on_majority(w, &w->founders, commit, e, &holders);

    for (unsigned i = 0; i < w->n_nodes && !found; i++) {
        const struct node *o = &w->nodes[i];
        unsigned n_holders;

        found = o->raft != NULL &&
                (is_on_majority(w, raft_get_configuration(o->raft), commit, e, &n_holders) ||
                 is_on_majority(w, &raft_config_at(o->raft, commit)->configuration, commit, e,
                                &n_holders));
    }
    if (!found)
        world_say(w, "WRONG: %s has committed %" PRIu64 ", which %u disks hold", n->name, commit,
                  holders);
}

static raft_index commit_of(const struct node *n)
{
    return n->raft != NULL ? raft_get_commit_index(n->raft) : n->disk.commit_index;
}

static void check_pair(struct world *w, const struct node *n, const struct node *o)
{
    size_t both = n->disk.tail.n < o->disk.tail.n ? n->disk.tail.n : o->disk.tail.n;
    raft_index committed = commit_of(n) < commit_of(o) ? commit_of(n) : commit_of(o);

    if (n->raft != NULL && o->raft != NULL && raft_get_role(n->raft) == RAFT_LEADER &&
        raft_get_role(o->raft) == RAFT_LEADER && raft_get_term(n->raft) == raft_get_term(o->raft))
        world_say(w, "WRONG: %s and %s lead the same term", n->name, o->name);
    for (size_t k = both; k > 0; k--)
        if (n->disk.tail.entries[k - 1].id.term == o->disk.tail.entries[k - 1].id.term) {
            if (n->disk.tail.entries[k - 1].hash != o->disk.tail.entries[k - 1].hash)
                world_say(w, "WRONG: logs of %s and %s differ below %zu", n->name, o->name, k);
            break;
        }
    for (size_t k = 1; k <= committed && k <= both; k++)
        if (n->disk.tail.entries[k - 1].hash != o->disk.tail.entries[k - 1].hash) {
            world_say(w, "WRONG: %s and %s have committed different entries at %zu", n->name,
                      o->name, k);
            break;
        }
}

/* check               one leader per term; logs that share an entry share everything before it
 * (figure 3.2); nobody has committed another entry than somebody else; what is committed on a node
 * is on a majority of the voters' disks */
void cmd_check(struct world *w, const struct args *a)
{
    (void)a;
    for (unsigned i = 0; i < w->n_nodes; i++) {
        for (unsigned j = i + 1; j < w->n_nodes; j++)
            check_pair(w, &w->nodes[i], &w->nodes[j]);
        check_committed(w, &w->nodes[i], commit_of(&w->nodes[i]));
    }
    world_say(w, "checked");
}
