/* A queue, and a thread that takes from its front. */
#include "engine/chores.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/thread.h"

#include "base/banned.h"

struct chores {
    struct worker worker; /* its lock is for the queue; without a thread nobody else is there */
    bool has_thread;
    char name[16];
    int notify_fd; /* borrowed */
    struct chore *first;
    struct chore **end;
};

static void lock(struct chores *b)
{
    if (b->has_thread)
        (void)pthread_mutex_lock(&b->worker.lock);
}

static void unlock(struct chores *b)
{
    if (b->has_thread)
        (void)pthread_mutex_unlock(&b->worker.lock);
}

static struct chore *take_first(struct chores *b)
{
    struct chore *c;

    lock(b);
    c = b->first;
    if (c != NULL) {
        b->first = c->next;
        if (b->first == NULL)
            b->end = &b->first;
    }
    unlock(b);
    return c;
}

/* Behind the last store the chore is its owner's again. */
static void finish(struct chore *c, int rc, const char *text)
{
    c->rc = rc;
    (void)snprintf(c->text, sizeof(c->text), "%s", rc != 0 ? text : "");
    atomic_store_explicit(&c->state, CHORE_DONE, memory_order_release);
}

static bool run_first(struct chores *b)
{
    struct chore *c = take_first(b);
    int rc;

    if (c == NULL)
        return false;
    err_reset();
    rc = c->run(c->ctx);
    finish(c, rc, err_text());
    return true;
}

static void *thread_main(void *arg)
{
    struct chores *b = arg;
    const uint64_t one = 1;

    /* Of this thread and those that it starts. It has time, and the loop has none (SNAP-14). */
    (void)setpriority(PRIO_PROCESS, 0, CHORES_NICE);
    while (!worker_stopping(&b->worker)) {
        while (!worker_stopping(&b->worker) && run_first(b))
            /* Fails only when the counter is full, and then the loop is awake anyway. */
            while (write(b->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
                continue;
        worker_wait(&b->worker, 0);
    }
    return NULL;
}

int chores_new(const char *thread_name, int notify_fd, struct chores **ret)
{
    struct chores *b = calloc(1, sizeof(*b));
    int rc = 0;

    if (b == NULL)
        return err_origin(-ENOMEM);
    (void)snprintf(b->name, sizeof(b->name), "%s", thread_name);
    b->notify_fd = -1;
    b->end = &b->first;
    if (notify_fd >= 0)
        rc = chores_start(b, notify_fd);
    if (rc != 0) {
        free(b);
        return err_trace(rc);
    }
    *ret = b;
    return 0;
}

int chores_start(struct chores *b, int notify_fd)
{
    int rc;

    rid_assert(!b->has_thread);
    rid_assert(b->first == NULL);
    b->notify_fd = notify_fd;
    b->has_thread = true; /* before the thread looks at it */
    rc = worker_start(&b->worker, b->name, thread_main, b);
    if (rc != 0)
        b->has_thread = false;
    return err_trace(rc);
}

void chores_free(struct chores *b)
{
    struct chore *c;

    if (b == NULL)
        return;
    if (b->has_thread)
        worker_stop(&b->worker);
    b->has_thread = false;
    while ((c = take_first(b)) != NULL)
        finish(c, -ECANCELED, "");
    free(b);
}

void chores_add(struct chores *b, struct chore *c, int (*run)(void *ctx), void *ctx)
{
    rid_assert(!chore_is_busy(c));
    c->run = run;
    c->ctx = ctx;
    c->next = NULL;
    atomic_store_explicit(&c->state, CHORE_BUSY, memory_order_relaxed);
    lock(b);
    *b->end = c;
    b->end = &c->next;
    unlock(b);
    if (b->has_thread)
        worker_kick(&b->worker);
}

bool chores_has_work(struct chores *b)
{
    bool has;

    lock(b);
    has = b->first != NULL;
    unlock(b);
    return has;
}

void chores_work(struct chores *b)
{
    rid_assert(!b->has_thread);
    (void)run_first(b);
}
