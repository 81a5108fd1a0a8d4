/* The daemon: one node's loop, its disk, its ports, its signals.
 *
 * node_run() opens identity, state and log, listens, and serves until SIGTERM or SIGINT; it returns
 * the exit code. It logs what an operator must know. One per process. Thread: the caller's becomes
 * the loop thread. */
#ifndef RIDD_NODE_NODE_H
#define RIDD_NODE_NODE_H

#include "conf/conf.h"

/* started_us: when the process began, for startup_ms. */
int node_run(const struct conf *conf, uint64_t started_us);
/* `ridd --init`: makes the data directory; prints to standard output and error; returns the exit
 * code. */
int node_init(const struct conf *conf);
/* `ridd --dump-log DIR`: DIR is a data directory or its wal folder. Returns the exit code. */
int node_dump_log(const char *dir);

#endif
