#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

#include "base/banned.h"

int thread_start(const char *name, void *(*fn)(void *arg), void *arg, pthread_t *ret)
{
    sigset_t all;
    sigset_t saved;
    int rc;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &saved);
    rc = pthread_create(ret, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (rc != 0)
        return err_origin(err_say(-rc, "cannot start the thread '%s': %s", name, strerror(rc)));
    (void)pthread_setname_np(*ret, name);
    return 0;
}

static void done(struct worker *w)
{
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
}

int worker_start(struct worker *w, const char *name, void *(*fn)(void *arg), void *arg)
{
    pthread_condattr_t attr;
    int rc;

    w->kicked = false;
    w->stop = false;
    (void)pthread_mutex_init(&w->lock, NULL); /* glibc's never fail with these attributes */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    rc = thread_start(name, fn, arg, &w->thread);
    if (rc != 0)
        done(w);
    return err_trace(rc);
}

void worker_kick(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->kicked = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

void worker_wait(struct worker *w, long ns)
{
    struct timespec until;
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    if (ns != 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (until.tv_nsec + ns) / 1000000000;
        until.tv_nsec = (until.tv_nsec + ns) % 1000000000;
    }
    while (!w->kicked && !w->stop && rc != ETIMEDOUT)
        rc = ns != 0 ? pthread_cond_timedwait(&w->wake, &w->lock, &until)
                     : pthread_cond_wait(&w->wake, &w->lock);
    w->kicked = false;
    (void)pthread_mutex_unlock(&w->lock);
}

bool worker_stopping(struct worker *w)
{
    bool stop;

    (void)pthread_mutex_lock(&w->lock);
    stop = w->stop;
    (void)pthread_mutex_unlock(&w->lock);
    return stop;
}

void worker_stop(struct worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    done(w);
}
