/* Each kind of step has its share of the dice. */
#include "raft-schedule.h"

#include "base/banned.h"

static void change_members(struct fx *fx, struct prng *prng, unsigned i)
{
    struct raft_configuration c = *raft_get_configuration(fx_raft(fx, i));
    struct raft_server *s = &c.servers[prng_below(prng, c.n)];

    s->role = s->role == RAFT_VOTER ? RAFT_LEARNER : RAFT_VOTER;
    (void)fx_try_configure(fx, i, &c, true);
}

static void step_leader(struct fx *fx, struct prng *prng, unsigned i)
{
    switch (prng_below(prng, 6)) {
    case 0:
    case 1:
        (void)fx_try_read(fx, i, ++fx->ctx_last, 0);
        return;
    case 2:
        (void)raft_transfer(fx_raft(fx, i), fx_id(fx, 1 + (unsigned)prng_below(prng, fx->n)),
                            fx_now(fx, i));
        fx_turn(fx, i);
        return;
    case 3:
        change_members(fx, prng, i);
        return;
    default: {
        struct raft_entry_id id;

        (void)fx_try_propose(fx, i, "value", prng_below(prng, 6), &id);
        return;
    }
    }
}

static void step_rare(struct fx *fx, struct prng *prng, unsigned i)
{
    const raft_index applied = fx_status(fx, i).last_applied;
    const unsigned j = 1 + (unsigned)prng_below(prng, fx->n);

    switch (prng_below(prng, 5)) {
    case 0:
        if (j != i && fx->nodes[j].state == FX_UP)
            fx_link(fx, i, j, prng_below(prng, 3) > 0);
        return;
    case 1:
        fx_crash(fx, i, (unsigned)prng_below(prng, 3));
        return;
    case 2:
        raft_set_fitness(fx_raft(fx, i), prng_below(prng, 2) == 0 ? RAFT_FIT : RAFT_PARKED,
                         fx_now(fx, i));
        fx_turn(fx, i);
        return;
    case 3:
        if (applied > fx_status(fx, i).base.index + 2 && fx_status(fx, i).last_stored >= applied)
            fx_compact_now(fx, i, applied - 1);
        return;
    default:
        fx->nodes[i].manual_store = prng_below(prng, 2) == 0;
        return;
    }
}

void schedule_step(struct fx *fx, struct prng *prng)
{
    const unsigned i = 1 + (unsigned)prng_below(prng, fx->n);

    if (fx->nodes[i].state != FX_UP) {
        if (prng_below(prng, 4) == 0)
            fx_restart(fx, i);
        return;
    }
    switch (prng_below(prng, 18)) {
    case 0:
    case 1:
        fx_tick(fx, i);
        return;
    case 2:
        if (prng_below(prng, 12) == 0)
            fx_suspend(fx, i, prng_below(prng, FX_ELECTION_US));
        fx->now += prng_below(prng, FX_ELECTION_US / 4);
        fx_tick(fx, i);
        return;
    case 3:
        fx_store(fx, i, 1);
        return;
    case 4:
    case 5:
    case 6:
        if (fx_role(fx, i) == RAFT_LEADER)
            step_leader(fx, prng, i);
        return;
    case 7:
        if (prng_below(prng, 3) == 0)
            step_rare(fx, prng, i);
        return;
    case 9:
        if (prng_below(prng, 2) == 0)
            (void)fx_ask(fx, i);
        else if (fx_role(fx, i) == RAFT_LEADER)
            (void)fx_lease(fx, i);
        return;
    case 8:
        if (fx->n_net > 0)
            fx_duplicate(fx, &fx->net[prng_below(prng, fx->n_net)]);
        return;
    default:
        if (fx->n_net > 0)
            fx_deliver_msg(fx, &fx->net[prng_below(prng, 3) > 0 ? 0 : prng_below(prng, fx->n_net)]);
        return;
    }
}
