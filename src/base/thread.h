/* Threads beside the loop: how one is started, and one that sleeps until it is kicked.
 *
 * For: work that would make the loop wait (a disk, a terminal).
 * Not for: pools; whoever needs one thread has one.
 * Units: nanoseconds.
 * Ownership: a worker is its owner's memory, zeroed or not, from worker_start() to worker_stop().
 * Errors: -errno with err_text() when there can be no thread; nothing is left then.
 * Thread: a worker is started and stopped by one thread; the rest of it any thread may call.
 * Obvious: source. */
#ifndef RIDD_BASE_THREAD_H
#define RIDD_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* All signals are the loop's: the new thread takes none. The name: 15 characters at most. */
int thread_start(const char *name, void *(*fn)(void *arg), void *arg, pthread_t *ret);

struct worker {
    pthread_t thread;
    pthread_mutex_t lock; /* its owner may protect with it what is his, too */
    pthread_cond_t wake;
    /* Behind lock. */
    bool kicked;
    bool stop;
};

int worker_start(struct worker *w, const char *name, void *(*fn)(void *arg), void *arg);
void worker_kick(struct worker *w);
/* By the worker's thread: until it is kicked or to stop, or for ns (0: for ever). What was kicked
 * before counts. */
void worker_wait(struct worker *w, long ns);
bool worker_stopping(struct worker *w);
/* Returns when fn has returned. */
void worker_stop(struct worker *w);

#endif
