/* Asker and thread share one block with a lock; who leaves last frees it. */
#include "base/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limits.h"

#include "base/banned.h"

struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    bool dropped;  /* by its asker */
    int notify_fd; /* owned by the thread; -1: none */
    int flags;
    int rc; /* EAI_ */
    int system_errno;
    struct addrinfo *list; /* owned */
    char *port;            /* in text */
    char text[];
};

static _Atomic unsigned n_running;

static void lookup_free(struct lookup *l)
{
    if (l->list != NULL)
        freeaddrinfo(l->list);
    (void)pthread_cond_destroy(&l->answered);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

static void *ask(void *arg)
{
    struct lookup *l = arg;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = l->flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    const uint64_t one = 1;
    const int notify_fd = l->notify_fd;
    bool dropped;
    int rc;

    errno = 0;
    rc = getaddrinfo(l->text, l->port, &hints, &list);
    (void)pthread_mutex_lock(&l->lock);
    l->rc = rc;
    l->system_errno = errno;
    l->list = rc == 0 ? list : NULL;
    l->done = true;
    dropped = l->dropped;
    (void)pthread_cond_signal(&l->answered);
    (void)pthread_mutex_unlock(&l->lock);
    if (dropped)
        lookup_free(l);
    else if (notify_fd >= 0)
        (void)!write(notify_fd, &one, sizeof(one));
    if (notify_fd >= 0)
        (void)close(notify_fd);
    n_running--; /* nothing of it is left */
    return NULL;
}

unsigned lookup_n_running(void)
{
    return n_running;
}

static struct lookup *lookup_new(const char *host, const char *port, int flags)
{
    const size_t host_size = strlen(host) + 1;
    struct lookup *l = calloc(1, sizeof(*l) + host_size + strlen(port) + 1);
    pthread_condattr_t attr;

    if (l == NULL)
        return NULL;
    l->flags = flags;
    l->notify_fd = -1;
    memcpy(l->text, host, host_size);
    l->port = l->text + host_size;
    memcpy(l->port, port, strlen(port) + 1);
    (void)pthread_mutex_init(&l->lock, NULL); /* glibc's never fail with these attributes */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->answered, &attr);
    (void)pthread_condattr_destroy(&attr);
    return l;
}

/* Signals are for others, and nobody waits for the end of this thread. */
static int start_thread(struct lookup *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t saved;
    int rc;

    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &saved);
    rc = pthread_create(&thread, &attr, ask, l);
    (void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : -EAGAIN;
}

int lookup_start(const char *host, const char *port, int flags, int notify_fd,
                 struct lookup **ret_lookup)
{
    struct lookup *l;
    int rc = 0;

    if (n_running++ >= LOOKUPS_MAX) {
        n_running--;
        return -EAGAIN;
    }
    l = lookup_new(host, port, flags);
    if (l == NULL)
        rc = -ENOMEM;
    if (rc == 0 && notify_fd >= 0) {
        l->notify_fd = fcntl(notify_fd, F_DUPFD_CLOEXEC, 3);
        rc = l->notify_fd < 0 ? -errno : 0;
    }
    if (rc == 0)
        rc = start_thread(l);
    if (rc != 0) {
        n_running--;
        if (l != NULL && l->notify_fd >= 0)
            (void)close(l->notify_fd);
        if (l != NULL)
            lookup_free(l);
        return rc;
    }
    *ret_lookup = l;
    return 0;
}

bool lookup_is_done(struct lookup *l)
{
    bool done;

    (void)pthread_mutex_lock(&l->lock);
    done = l->done;
    (void)pthread_mutex_unlock(&l->lock);
    return done;
}

int lookup_wait(struct lookup *l, uint64_t deadline_us)
{
    const struct timespec until = clock_timer_at(deadline_us);
    bool done;

    (void)pthread_mutex_lock(&l->lock);
    while (!l->done && pthread_cond_timedwait(&l->answered, &l->lock, &until) == 0)
        continue;
    done = l->done;
    (void)pthread_mutex_unlock(&l->lock);
    return done ? 0 : -ETIMEDOUT;
}

int lookup_take(struct lookup *l, struct addrinfo **ret_list, int *ret_errno)
{
    int rc;

    (void)pthread_mutex_lock(&l->lock);
    rc = l->rc;
    *ret_list = take_ptr(l->list);
    *ret_errno = l->system_errno;
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

void lookup_drop(struct lookup *l)
{
    bool done;

    if (l == NULL)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->dropped = true;
    done = l->done;
    (void)pthread_mutex_unlock(&l->lock);
    if (done)
        lookup_free(l);
}
