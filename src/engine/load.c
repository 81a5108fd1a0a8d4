/* How many rounds of reads may be outstanding (READ-65).
 *
 * A second round is worth its messages while the first one travels and the loop would only wait for
 * it. When the loop itself is what everybody waits for, each message more makes all later: then one
 * round at a time, and the batches grow instead. */
#include "base/limits.h"
#include "engine/engine_int.h"

#include "base/banned.h"

static void tell_core(struct engine *e)
{
    raft_set_rounds_max(replica_raft_mutable(e->replica), e->load.busy ? 1 : e->load.rounds_max);
}

void engine_set_rounds(struct engine *e, unsigned rounds_max)
{
    e->load.rounds_max = rounds_max;
    tell_core(e);
}

/* Ten times a second. Between the two shares of a processor it stays as it is. */
void engine_load_turn(struct engine *e, uint64_t now_us)
{
    struct load *l = &e->load;
    uint64_t cpu_us;
    uint64_t used;
    uint64_t passed;
    bool was_busy = l->busy;

    if (e->ops.cpu_us == NULL || now_us < l->due_us)
        return;
    cpu_us = e->ops.cpu_us(e->ops.ctx);
    used = (cpu_us - l->cpu_us) * 100;
    passed = now_us - l->looked_us;
    if (l->looked_us != 0 && used >= passed * LOAD_BUSY_PERCENT)
        l->busy = true;
    else if (used < passed * LOAD_IDLE_PERCENT)
        l->busy = false;
    l->cpu_us = cpu_us;
    l->looked_us = now_us;
    l->due_us = now_us + LOAD_LOOK_US;
    if (l->busy != was_busy)
        tell_core(e);
}
