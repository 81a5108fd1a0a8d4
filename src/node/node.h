/* The daemon: one node's loop, its ports, its signals, its data directory.
 *
 * For: main.c, and a program that wants to be one node of a cluster over TCP.
 * Not for: what a node decides about itself (engine/), and reading options or the file (main.c,
 * conf/).
 * Units: microseconds of clock_mono_us().
 * Ownership: conf is borrowed and outlives the call.
 * Errors: each function returns the exit code of the process and has told the operator why: in the
 * log while it runs, on standard error before that.
 * Thread: the caller's becomes the loop thread; one node per process, since signals, the log's
 * context and the watchdog are the process's.
 * Source: ridd(8). */
#ifndef RIDD_NODE_NODE_H
#define RIDD_NODE_NODE_H

#include "conf/conf.h"

/* HUP and USR1 wait until the loop can take them: before node_run() is called, first of all when
 * its configuration is still to be read. Without it they would end a process that is starting. */
void node_hold_signals(void);
/* started_us: when the process began, for startup_ms. */
int node_run(const struct conf *conf, uint64_t started_us);
/* `ridd --init`: makes the data directory; prints to standard output and error; returns the exit
 * code. */
int node_init(const struct conf *conf);
/* `ridd --join` and, with rejoin, `--rejoin`: makes the data directory of a node that a leader adds
 * to its cluster, once it has come and said to which, and runs it. */
int node_join(const struct conf *conf, bool rejoin);
/* `ridd --restore FILE`, or "-" for standard input: makes the data directory of a node that begins
 * another cluster with what a backup holds. Returns the exit code; what is not 0 has left nothing
 * there. */
int node_restore(const struct conf *conf, const char *file);
/* `ridd --recover-alone DIR`: prints what the directory has; with yes, makes its node the only
 * voter. Returns the exit code. */
int node_recover_alone(const char *dir, bool yes);
/* `ridd --check-config`, of a file that reads well: one address by two names is a problem, an even
 * number of nodes is worth a word. Asks the resolver. Returns the exit code. */
int node_check(const struct conf *conf);
/* `ridd --dump-log DIR`, or, without the records, `--check-log DIR`: DIR is a data directory or its
 * wal folder. Returns the exit code. */
int node_dump_log(const char *dir, bool records);

#endif
