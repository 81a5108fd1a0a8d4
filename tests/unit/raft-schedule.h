/* Random schedules of a fixture's group: messages, time, disks, reads of every kind, writes, transfers, changes of the
 * members, crashes, links, fitness, compaction. For tests that want cores in many different states, and the same again by
 * the same seed. */
#ifndef RIDD_TESTS_RAFT_SCHEDULE_H
#define RIDD_TESTS_RAFT_SCHEDULE_H

#include "raft-fixture.h"

/* One of all that may happen. What it is depends on prng and on what the cores are. */
void schedule_step(struct fx *fx, struct prng *prng);

#endif
