/* Wait, read one window, report, again. */
#include "store/read_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"

#include "base/banned.h"

struct read_thread {
    struct log_reads *reads; /* borrowed */
    int notify_fd;           /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Behind lock. */
    bool kicked;
    bool stop;
};

/* False: the end. */
static bool wait_kick(struct read_thread *t)
{
    bool stop;

    (void)pthread_mutex_lock(&t->lock);
    while (!t->kicked && !t->stop)
        (void)pthread_cond_wait(&t->wake, &t->lock);
    t->kicked = false;
    stop = t->stop;
    (void)pthread_mutex_unlock(&t->lock);
    return !stop;
}

static void *thread_main(void *arg)
{
    struct read_thread *t = arg;
    const uint64_t one = 1;

    while (wait_kick(t)) {
        while (log_reads_has_work(t->reads)) {
            log_reads_work(t->reads);
            /* Fails only when the counter is full, and then the loop is awake anyway. */
            while (write(t->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
                continue;
        }
    }
    return NULL;
}

static int start_thread(struct read_thread *t)
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
        return err_origin(err_say(-rc, "cannot start the reading thread"));
    (void)pthread_setname_np(t->thread, "ridd-read");
    return 0;
}

int read_thread_start(struct log_reads *reads, int notify_fd, struct read_thread **ret)
{
    struct read_thread *t = calloc(1, sizeof(*t));
    int rc;

    if (t == NULL)
        return err_origin(-ENOMEM);
    t->reads = reads;
    t->notify_fd = notify_fd;
    (void)pthread_mutex_init(&t->lock, NULL); /* glibc's never fail with these attributes */
    (void)pthread_cond_init(&t->wake, NULL);
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

void read_thread_wake(struct read_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->kicked = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

void read_thread_stop(struct read_thread *t)
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
