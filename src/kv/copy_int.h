/* A copy of the state that is under way (copy.c), and who may end it. */
#ifndef RIDD_KV_COPY_INT_H
#define RIDD_KV_COPY_INT_H

#include <pthread.h>
#include <stdbool.h>

struct kv;

struct copying {
    pthread_mutex_t lock; /* protects what follows; held only for what does not wait */
    bool is_halted;       /* from kv_copy_stop() to kv_copy_go() */
    bool is_barred;       /* likewise, by copying_bar() */
    bool was_ended;       /* the copy at hand, by somebody else */
    /* The end of the pipe that is read, owned; -1: no copy is at hand, or it was ended. Once it is
     * closed LMDB's next write fails, and with that its walk ends. */
    int read_fd;
    int wake_fd; /* told at the same time, for a reader that waits; -1: there is no copy */
};

void copying_init(struct copying *c);
void copying_done(struct copying *c);
/* The copy at hand ends soon; one that begins later is none of it. Never waits. Any thread. */
void copying_end(struct kv *kv);
bool copying_runs(struct kv *kv);
/* LMDB is closed and opened again: none begins until copying_unbar(). False: one runs, and it may
 * not be. */
bool copying_bar(struct kv *kv);
void copying_unbar(struct kv *kv);

#endif
