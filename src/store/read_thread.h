/* A thread that reads what log_reads is asked for, so that the loop never does.
 *
 * For: the daemon. After each window it writes to notify_fd; the loop asks log_reads_n_done().
 * Not for: hosts whose time is not real: they call log_reads_work() themselves.
 * Ownership: reads and notify_fd (an eventfd) are borrowed, and outlive the thread.
 * Errors: -errno when there can be no thread; those of reading are told to whoever asked.
 * Thread: all calls from the loop thread.
 * Source: DISK-33.
 * Obvious: units. */
#ifndef RIDD_STORE_READ_THREAD_H
#define RIDD_STORE_READ_THREAD_H

#include "store/log_reads.h"

struct read_thread;

int read_thread_start(struct log_reads *reads, int notify_fd, struct read_thread **ret);
/* When log_reads_has_work(). */
void read_thread_wake(struct read_thread *t);
/* Joins and frees; what is asked for is left. NULL is accepted. */
void read_thread_stop(struct read_thread *t);

#endif
