/* What the clocks of this machine do not show by themselves: that it slept, that it was moved, that
 * this process stood still. Each of them may be seen by one of the others alone (LEASE-12). */
#include "node/node_int.h"

#include "base/banned.h"

void node_clocks_begin(struct node *n)
{
    hold_clock_init(&n->clocks.hold, NULL);
    n->clocks.vm = vmclock_open(VMCLOCK_PATH);
}

void node_clocks_end(struct node *n)
{
    vmclock_free(n->clocks.vm);
    n->clocks.vm = NULL;
}

uint64_t node_suspended_us(void *ctx)
{
    return hold_clock_suspended_us(&((struct node *)ctx)->clocks.hold);
}

bool node_disrupted(void *ctx)
{
    struct node *n = ctx;
    const bool gap = n->clocks.gap;

    n->clocks.gap = false;
    return vmclock_disrupted(n->clocks.vm) || gap;
}

/* A loop that is as late as half a lease was not run by the kernel, or its machine was not: what
 * that did to the clocks nobody knows. */
void node_look_for_gap(struct node *n, uint64_t awake_us, uint64_t now_us)
{
    const uint64_t lease_us = engine_get_lease(n->engine);

    if (now_us > awake_us && now_us - awake_us > n->conf->heartbeat_us)
        n->clocks.n_late++;
    if (lease_us != 0 && now_us > awake_us && now_us - awake_us > lease_us / 2)
        n->clocks.gap = true;
}
