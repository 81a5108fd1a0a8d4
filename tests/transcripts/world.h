/* What a transcript talks to: some cores, their disks, and the messages between them, all standing
 * still until told.
 *
 * world_run() performs one command line and appends what happened to `out`, in a form of its own
 * that does not depend on the wording of any log line. Every node has its own clock, which moves
 * only by `tick` and `campaign`; nothing is delivered, stored or taken out of a core unless a
 * command does it. After each line raft_check() has run on every running node. A line that cannot
 * be understood prints "error: ..." and changes nothing. The commands are described at their
 * handlers in world.c. One thread. */
#ifndef RIDD_TESTS_TRANSCRIPTS_WORLD_H
#define RIDD_TESTS_TRANSCRIPTS_WORLD_H

#include "base/buf.h"

struct world;

struct world *world_new(void);
void world_free(struct world *w);
void world_run(struct world *w, const char *line, struct buf *out);

#endif
