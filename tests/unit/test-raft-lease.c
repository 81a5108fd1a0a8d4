/* Leases of a leader: what a follower promises, what a new leader waits for, and when a lease may be
 * used. Times are counted in tenths of the lease, which is shorter than an election timeout or
 * longer, as a test needs it. */
#include "raft-fixture.h"

#include "raft/raft_int.h"

#include "base/banned.h"

#define LEASE_US 60000u
/* A length that a clock of the follower's counts for one of the leader's: (1 + rho) / (1 - rho). */
#define PROMISE_US 61213u

static struct fx fx;

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_done(&fx);
    return 0;
}

/* n1 leads real nodes, with leases, and everybody has stored the longest promise. */
static void lead(unsigned n_voters, unsigned n_learners, uint64_t lease_us)
{
    fx_init(&fx, n_voters, n_learners, 1);
    fx_leases(&fx, lease_us);
    fx_start_all(&fx);
    fx_elect(&fx, 1);
    fx_run(&fx, 3 * FX_HEARTBEAT_US);
}

static void raft_lease__is_there_after_a_round(void **state)
{
    (void)state;
    lead(3, 0, LEASE_US);
    assert_true(fx_lease(&fx, 1));
    assert_false(fx_lease(&fx, 2));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(raft_lease__is_there_after_a_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
