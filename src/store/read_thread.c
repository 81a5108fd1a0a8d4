/* Wait, read one window, report, again. */
#include "store/read_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"

#include "base/banned.h"

struct read_thread {
    struct worker worker;
    struct log_reads *reads; /* borrowed */
    int notify_fd;           /* borrowed */
};

static void *thread_main(void *arg)
{
    struct read_thread *t = arg;
    const uint64_t one = 1;

    while (!worker_stopping(&t->worker)) {
        while (log_reads_has_work(t->reads)) {
            log_reads_work(t->reads);
            /* Fails only when the counter is full, and then the loop is awake anyway. */
            while (write(t->notify_fd, &one, sizeof(one)) < 0 && errno == EINTR)
                continue;
        }
        worker_wait(&t->worker, 0);
    }
    return NULL;
}

int read_thread_start(struct log_reads *reads, int notify_fd, struct read_thread **ret)
{
    struct read_thread *t = calloc(1, sizeof(*t));
    int rc;

    if (t == NULL)
        return err_origin(-ENOMEM);
    t->reads = reads;
    t->notify_fd = notify_fd;
    rc = worker_start(&t->worker, "ridd-read", thread_main, t);
    if (rc != 0) {
        free(t);
        return err_trace(rc);
    }
    *ret = t;
    return 0;
}

void read_thread_wake(struct read_thread *t)
{
    worker_kick(&t->worker);
}

void read_thread_stop(struct read_thread *t)
{
    if (t == NULL)
        return;
    worker_stop(&t->worker);
    free(t);
}
