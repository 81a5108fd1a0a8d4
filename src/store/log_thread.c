/* One thread around store_write(): wait, write, report, prepare a slice of the next segment, again.
 * Between the report and the slice the loop thread already knows; a batch that comes meanwhile
 * waits for one slice at most. */
#include "store/log_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"

#include "base/banned.h"

struct log_thread {
    struct worker worker;
    struct store *store; /* borrowed */
    int notify_fd;       /* borrowed */
    void (*on_failure)(void *ctx, int error);
    void *failure_ctx;
    uint64_t written; /* of the thread itself: as `durable` */
    /* Behind the worker's lock. */
    uint64_t durable;
    uint64_t n_done;
};

static void report(struct log_thread *t, uint64_t number)
{
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&t->worker.lock);
    t->durable = number;
    t->n_done++;
    (void)pthread_mutex_unlock(&t->worker.lock);
    /* Fails only when the counter is full, and then the loop is awake anyway. */
    while (write(t->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* What is queued, then a slice of preparation: under load, too, or the next segment would never be
 * ready. */
static int work_once(struct log_thread *t, bool *ret_more, bool *ret_idle_due)
{
    bool has_work = store_has_work(t->store);
    int rc = has_work ? store_write(t->store, &t->written) : 0;

    if (rc != 0)
        return err_trace(rc);
    if (has_work) {
        report(t, t->written);
        *ret_idle_due = true;
    }
    return err_trace(store_prepare(t->store, ret_more));
}

static bool no_space(struct log_thread *t)
{
    struct store_stats stats;

    store_get_counts(t->store, &stats);
    return stats.no_space;
}

/* A full disk has answered, and does each time that it is asked: who waits for it must not take it
 * for one that is stalled (SPACE-13). */
static void wait_for_work(struct log_thread *t)
{
    const bool is_full = no_space(t);

    if (is_full)
        report(t, t->written);
    worker_wait(&t->worker, is_full ? STORE_NO_SPACE_NS : 0);
}

static int run(struct log_thread *t)
{
    bool idle_due = true; /* the batch that opened the segment has no mark yet */

    for (;;) {
        bool more = false;
        int rc = work_once(t, &more, &idle_due);
        /* Before the look at the queue: all was submitted before the stop. */
        bool stop = worker_stopping(&t->worker);

        if (rc != 0)
            return err_trace(rc);
        if (store_has_work(t->store))
            continue;
        /* The last batch before a stop is the one that recovery would have to believe without
         * evidence, perhaps for long: it gets its mark, too. */
        if (stop)
            return idle_due ? err_trace(store_idle(t->store)) : 0;
        if (more)
            continue;
        if (!idle_due) {
            wait_for_work(t);
            continue;
        }
        worker_wait(&t->worker, STORE_SYNC_MARK_NS);
        if (store_has_work(t->store))
            continue;
        rc = store_idle(t->store);
        if (rc != 0)
            return err_trace(rc);
        idle_due = false;
    }
}

static void *thread_main(void *arg)
{
    struct log_thread *t = arg;
    int rc = run(t);

    if (rc != 0)
        t->on_failure(t->failure_ctx, rc);
    return NULL;
}

int log_thread_start(struct store *store, int notify_fd, void (*on_failure)(void *ctx, int error),
                     void *ctx, struct log_thread **ret)
{
    struct log_thread *t = calloc(1, sizeof(*t));
    int rc;

    if (t == NULL)
        return err_origin(-ENOMEM);
    t->store = store;
    t->notify_fd = notify_fd;
    t->on_failure = on_failure;
    t->failure_ctx = ctx;
    rc = worker_start(&t->worker, "ridd-log", thread_main, t);
    if (rc != 0) {
        free(t);
        return err_trace(rc);
    }
    *ret = t;
    return 0;
}

void log_thread_wake(struct log_thread *t)
{
    worker_kick(&t->worker);
}

uint64_t log_thread_durable(struct log_thread *t)
{
    uint64_t durable;

    (void)pthread_mutex_lock(&t->worker.lock);
    durable = t->durable;
    (void)pthread_mutex_unlock(&t->worker.lock);
    return durable;
}

uint64_t log_thread_done(struct log_thread *t, uint64_t *ret_durable)
{
    uint64_t n_done;

    (void)pthread_mutex_lock(&t->worker.lock);
    n_done = t->n_done;
    *ret_durable = t->durable;
    (void)pthread_mutex_unlock(&t->worker.lock);
    return n_done;
}

void log_thread_stop(struct log_thread *t)
{
    if (t == NULL)
        return;
    worker_stop(&t->worker);
    free(t);
}
