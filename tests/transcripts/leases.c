/* The commands about clocks, leases, questions and pairs. They add to world.c's:
 *
 *   add-nodes 3 lease=300    members know gates, and whoever leads takes leases
 *   lease, promises          what a leader may read by; what was promised, and what is waited for
 *   ask                      a read of any node
 *   pair                     how old its state is, for all that is proved
 *   sleep                    a machine that is suspended
 *
 * Each node has its two clocks: now, which `tick` moves, and hold, which `sleep` moves besides. Nobody
 * compares them with those of another node. */
#include "transcripts/world_int.h"

#include <inttypes.h>

#include "base/assert.h"

#include "base/banned.h"

static uint64_t hold_us(const struct node *n)
{
    return n->now_us + n->asleep_us;
}

void world_tell_clocks(struct node *n)
{
    raft_hold(n->raft, n->now_us, hold_us(n));
}

void world_say_answered(struct world *w, const struct raft_ready *rd)
{
    const struct raft_answered *a = &rd->answered;

    if (a->ticket == 0)
        return;
    world_say(w,
              "tickets up to %" PRIu64 " answered: read_index=%" PRIu64 " term=%" PRIu64 " by %s",
              a->ticket, a->read_index, a->term, world_name_of(w, a->by));
}

/* lease n1            may n1 read by its lease now, and what? */
void cmd_lease(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    struct raft_status s;
    raft_index index;
    int rc;

    if (n == NULL)
        return;
    rc = raft_lease(n->raft, world_option_number(a, "min", 0), n->now_us, hold_us(n), &index);
    if (rc == 0) {
        world_say(w, "%s reads by its lease at %" PRIu64, n->name, index);
        return;
    }
    raft_get_status(n->raft, &s);
    world_say(w, "%s does not read by a lease: %s%s%s", n->name, world_error_name(rc),
              s.lease_why_not != NULL ? ", " : "", s.lease_why_not != NULL ? s.lease_why_not : "");
}

/* promises n1,n2      what is left, in milliseconds, of what each has promised, and of its gate */
void cmd_promises(struct world *w, const struct args *a)
{
    for (unsigned i = 0; i < w->n_nodes; i++) {
        struct node *n = &w->nodes[i];
        struct raft_status s;

        if ((a->n > 1 && !world_in_list(a->v[1], n->name)) || n->raft == NULL)
            continue;
        raft_get_status(n->raft, &s);
        world_say(w, "%s has promised %" PRIu64 ", waits %" PRIu64, n->name,
                  s.promise_left_us / 1000, s.gate_left_us / 1000);
    }
}

/* set-lease n1 500    from now on n1 takes leases of so many milliseconds when it leads; 0: none */
void cmd_set_lease(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL || a->n < 3)
        return;
    raft_set_lease(n->raft, strtoull(a->v[2], NULL, 10) * 1000, n->now_us);
}

/* sleep n1 5000       its machine is suspended for so many milliseconds: nothing happens on it, and
 *                     the clock that `tick` moves stands still */
void cmd_sleep(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL || a->n < 3)
        return;
    n->asleep_us += strtoull(a->v[2], NULL, 10) * 1000;
}

/* ask n2              a ticket for a read of n2 */
void cmd_ask(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);

    if (n == NULL)
        return;
    world_say(w, "%s has ticket %" PRIu64, n->name, raft_ask(n->raft, n->now_us));
}

/* pair n2             the best that n2 knows of the age of its state
 * pair n2 within=100  one that is no older than so many milliseconds */
void cmd_pair(struct world *w, const struct args *a)
{
    struct node *n = world_arg_node(w, a, true);
    const uint64_t within_us = world_option_number(a, "within", UINT64_MAX / 1000) * 1000;
    struct raft_pair pair;

    if (n == NULL)
        return;
    world_tell_clocks(n);
    if (!raft_get_pair(n->raft, within_us < hold_us(n) ? hold_us(n) - within_us : 0, n->now_us,
                       &pair)) {
        world_say(w, "%s knows no such pair", n->name);
        return;
    }
    rid_assert(pair.hold_us <= hold_us(n));
    world_say(w, "%s knows what was committed %" PRIu64 " ms ago: nothing above %" PRIu64 "%s",
              n->name, (hold_us(n) - pair.hold_us) / 1000, pair.index,
              pair.index > n->applied ? ", which it has not applied" : "");
}
