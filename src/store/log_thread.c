/* One thread around store_write(): wait, write, report, prepare a slice of the next segment, again.
 * Between the report and the slice the loop thread already knows; a batch that comes meanwhile
 * waits for one slice at most. */
#include "store/log_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#include "base/banned.h"

struct log_thread {
    struct store *store; /* borrowed */
    int notify_fd;       /* borrowed */
    void (*on_failure)(void *ctx, int error);
    void *failure_ctx;
    pthread_t thread;
    uint64_t written; /* of the thread itself: as `durable` */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Behind lock. */
    bool kicked;
    bool stop;
    uint64_t durable;
    uint64_t n_done;
};

/* Waits until kicked or stopped, or for ns (0: for ever). */
static void wait_kick(struct log_thread *t, long ns)
{
    struct timespec until;
    int rc = 0;

    (void)pthread_mutex_lock(&t->lock);
    if (ns != 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (until.tv_nsec + ns) / 1000000000;
        until.tv_nsec = (until.tv_nsec + ns) % 1000000000;
    }
    while (!t->kicked && !t->stop && rc != ETIMEDOUT)
        rc = ns != 0 ? pthread_cond_timedwait(&t->wake, &t->lock, &until)
                     : pthread_cond_wait(&t->wake, &t->lock);
    t->kicked = false;
    (void)pthread_mutex_unlock(&t->lock);
}

static bool stopping(struct log_thread *t)
{
    bool stop;

    (void)pthread_mutex_lock(&t->lock);
    stop = t->stop;
    (void)pthread_mutex_unlock(&t->lock);
    return stop;
}

static void report(struct log_thread *t, uint64_t number)
{
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&t->lock);
    t->durable = number;
    t->n_done++;
    (void)pthread_mutex_unlock(&t->lock);
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

static int run(struct log_thread *t)
{
    bool idle_due = true; /* the batch that opened the segment has no mark yet */

    for (;;) {
        bool more = false;
        int rc = work_once(t, &more, &idle_due);
        bool stop =
            stopping(t); /* before the look at the queue: all was submitted before the stop */

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
            wait_kick(t, no_space(t) ? STORE_NO_SPACE_NS : 0);
            continue;
        }
        wait_kick(t, STORE_SYNC_MARK_NS);
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

static int start_thread(struct log_thread *t)
{
    sigset_t all;
    sigset_t saved;
    int rc;

    /* Signals are the loop's. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &saved);
    rc = pthread_create(&t->thread, NULL, thread_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (rc != 0)
        return err_origin(err_say(-rc, "cannot start the log thread"));
    (void)pthread_setname_np(t->thread, "ridd-log");
    return 0;
}

int log_thread_start(struct store *store, int notify_fd, void (*on_failure)(void *ctx, int error),
                     void *ctx, struct log_thread **ret)
{
    struct log_thread *t = calloc(1, sizeof(*t));
    pthread_condattr_t attr;
    int rc;

    if (t == NULL)
        return err_origin(-ENOMEM);
    t->store = store;
    t->notify_fd = notify_fd;
    t->on_failure = on_failure;
    t->failure_ctx = ctx;
    (void)pthread_mutex_init(&t->lock, NULL); /* glibc's never fail with these attributes */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    rc = start_thread(t);
    if (rc != 0) {
        (void)pthread_cond_destroy(&t->wake);
        (void)pthread_mutex_destroy(&t->lock);
        free(t);
        return err_trace(rc);
    }
    *ret = t;
    return 0;
}

void log_thread_wake(struct log_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->kicked = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t log_thread_durable(struct log_thread *t)
{
    uint64_t durable;

    (void)pthread_mutex_lock(&t->lock);
    durable = t->durable;
    (void)pthread_mutex_unlock(&t->lock);
    return durable;
}

uint64_t log_thread_done(struct log_thread *t, uint64_t *ret_durable)
{
    uint64_t n_done;

    (void)pthread_mutex_lock(&t->lock);
    n_done = t->n_done;
    *ret_durable = t->durable;
    (void)pthread_mutex_unlock(&t->lock);
    return n_done;
}

void log_thread_stop(struct log_thread *t)
{
    if (t == NULL)
        return;
    (void)pthread_mutex_lock(&t->lock);
    t->stop = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}
