/* Old entries of the log, read ahead by somebody else than who needs them.
 *
 * log_reads_get() never waits for a disk: it answers from a window that was read before, or asks
 * for one and says STORE_E_LATER. log_reads_work() reads one window; who runs it may wait. When it
 * has, log_reads_n_done() is another number, and asking again is worth while.
 *
 * For: a leader with a follower far behind, and a node that applies what stands only on its disk.
 * Not for: what is in memory anyway; opening the log, which reads it whole.
 * Units: indexes, bytes.
 * Ownership: the store is borrowed and outlives this. What log_reads_get() hands out is copied into
 * the caller's arena.
 * Errors: those of store_read(), told to whoever asked for the window, with err_text().
 * Thread: log_reads_work() on one thread, all else on the loop's; log_reads_has_work() and
 * log_reads_n_done() on any. While it lives nobody else calls store_read().
 * Source: DISK-33 of docs/RULES.md: nothing in the loop waits for the disk. */
#ifndef RIDD_STORE_LOG_READS_H
#define RIDD_STORE_LOG_READS_H

#include "store/store.h"

struct log_reads;

/* 0 or -ENOMEM. */
int log_reads_new(struct store *store, struct log_reads **ret);
void log_reads_free(struct log_reads *lr);
/* As store_read(), and STORE_E_LATER. Entries up to `to` may be read ahead. */
int log_reads_get(struct log_reads *lr, raft_index from, raft_index to, size_t bytes_max,
                  struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                  unsigned *ret_n);
/* Entries from `from` on are replaced, before the store is told so: what was read of them, or is
 * being read, is dropped. */
void log_reads_truncate(struct log_reads *lr, raft_index from);
/* After store_drop_front(): what was read of entries up to `base`, or is being read, is dropped.
 * log_reads_has_work() may say yes: files that are of the log no more are kept open until then. */
void log_reads_drop_front(struct log_reads *lr, raft_index base);
/* The log is reset to begin behind `base`, before the store is told so: all is dropped, and what is
 * not behind it is STORE_E_COMPACTED from now on. */
void log_reads_reset(struct log_reads *lr, raft_index base);
bool log_reads_has_work(struct log_reads *lr);
/* The oldest request. */
void log_reads_work(struct log_reads *lr);
uint64_t log_reads_n_done(struct log_reads *lr);

#endif
