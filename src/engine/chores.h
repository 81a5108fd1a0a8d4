/* Work that may wait for a disk, or for another host, done beside the loop, one piece after the
 * other.
 *
 * For: reading, writing and checking snapshots; telling a new node who it is.
 * Not for: the log, which has threads of its own; what must be done in the time of a turn.
 * Units: none.
 * Ownership: a chore is its owner's memory and must stay where it is until it is no longer busy.
 * Errors: a chore keeps what it returned, and the sentence of it.
 * Thread: all calls from the loop's; run() on the thread of the bench, or, of one that has none, in
 * chores_work(). What both sides use is handed over by the state of the chore: until it is done it
 * is the bench's.
 * Source: LOOP-1: nothing in the loop waits for the disk. */
#ifndef RIDD_ENGINE_CHORES_H
#define RIDD_ENGINE_CHORES_H

#include <stdatomic.h>
#include <stdbool.h>

#define CHORE_TEXT_BYTES 256

enum chore_state { CHORE_IDLE, CHORE_BUSY, CHORE_DONE };
struct chore {
    int (*run)(void *ctx);
    void *ctx;
    int rc;
    char text[CHORE_TEXT_BYTES]; /* err_text() of it; "" when rc is 0 */
    atomic_int state;            /* enum chore_state */
    struct chore *next;
};

struct chores;

/* notify_fd: an eventfd that becomes readable when one is done; -1: no thread, the host calls
 * chores_work(). 0 or -errno. */
int chores_new(const char *thread_name, int notify_fd, struct chores **ret);
/* From now on by a thread. */
int chores_start(struct chores *b, int notify_fd);
/* After the one that runs; those that have not begun end with -ECANCELED. NULL is accepted. */
void chores_free(struct chores *b);
/* It is idle or done; its result is gone. */
void chores_add(struct chores *b, struct chore *c, int (*run)(void *ctx), void *ctx);
bool chores_has_work(struct chores *b);
/* Without a thread: one of them, in the caller's time. */
void chores_work(struct chores *b);

static inline bool chore_is_busy(const struct chore *c)
{
    return atomic_load_explicit(&c->state, memory_order_acquire) == CHORE_BUSY;
}
/* One that is not busy any more may still have to be taken. */
static inline bool chore_is_idle(const struct chore *c)
{
    return atomic_load_explicit(&c->state, memory_order_acquire) == CHORE_IDLE;
}
/* Once: then it is idle. *ret_rc is what it returned. */
static inline bool chore_take(struct chore *c, int *ret_rc)
{
    if (atomic_load_explicit(&c->state, memory_order_acquire) != CHORE_DONE)
        return false;
    atomic_store_explicit(&c->state, CHORE_IDLE, memory_order_relaxed);
    *ret_rc = c->rc;
    return true;
}

#endif
