/* The log thread: runs store_write() whenever something is queued, and store_idle() when nothing
 * was for 5 ms.
 *
 * For: a loop that never waits for a disk. After each durable batch the thread stores the number
 * and writes to notify_fd; the loop reads the fd and asks log_thread_durable().
 * Not for: what is written; that is store.h's. Hosts whose time is not real call store_work()
 * themselves.
 * Units: numbers of batches as they were submitted.
 * Ownership: store and notify_fd (an eventfd) are borrowed, and outlive the thread.
 * Errors: -errno when there can be no thread. When store_write() fails the failure hook is called
 * on the log thread; it must not return (it ends the process with exit 74, DISK-13). Where it does,
 * in tests, the thread ends and nothing more becomes durable.
 * Thread: all calls from the loop thread.
 * Source: dissertation 10.2.1 (writing to disk in parallel); DISK-14. */
#ifndef RIDD_STORE_LOG_THREAD_H
#define RIDD_STORE_LOG_THREAD_H

#include "store/store.h"

struct log_thread;

int log_thread_start(struct store *store, int notify_fd, void (*on_failure)(void *ctx, int error),
                     void *ctx, struct log_thread **ret);
/* After store_submit(). Loop thread. */
void log_thread_wake(struct log_thread *t);
/* Highest submitted number known durable. Any thread. */
uint64_t log_thread_durable(struct log_thread *t);
/* How often the disk has done something, if only a part of what was submitted; and up to which
 * number all was durable then. Any thread. */
uint64_t log_thread_done(struct log_thread *t, uint64_t *ret_durable);
/* Finishes what is queued, marks it, then joins and frees. */
void log_thread_stop(struct log_thread *t);

#endif
