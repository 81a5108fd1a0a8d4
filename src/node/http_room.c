/* How much room the file system of the data directory has, for /metrics.
 *
 * The kernel may have to ask a disk or a server for it, and one that hangs makes whoever asks wait:
 * that must not be the thread which says that the loop stands (HTTP-2). So a thread of its own
 * asks, once for each scrape, and the scrape has what the one before it found. A thread that hangs
 * is left alone: its memory belongs to it as well, and there is never a second one. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/thread.h"
#include "node/http_int.h"

#include "base/banned.h"

struct node_room {
    atomic_uint n_owners;
    atomic_bool busy;
    _Atomic uint64_t begun_us; /* when the last one began to ask */
    _Atomic uint64_t free_bytes;
    char dir[PATH_MAX];
};

static void let_go(struct node_room *r)
{
    if (r != NULL && atomic_fetch_sub(&r->n_owners, 1) == 1)
        free(r);
}

static void *look(void *arg)
{
    struct node_room *r = arg;
    struct statvfs st;

    atomic_store(&r->free_bytes,
                 statvfs(r->dir, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : METRICS_UNKNOWN);
    atomic_store(&r->busy, false);
    let_go(r);
    return NULL;
}

static void begin_to_look(struct node_room *r)
{
    pthread_t thread;

    if (atomic_exchange(&r->busy, true))
        return;
    atomic_store(&r->begun_us, clock_mono_us());
    atomic_fetch_add(&r->n_owners, 1);
    if (thread_start("ridd-room", look, r, &thread) == 0) {
        (void)pthread_detach(thread);
        return;
    }
    atomic_store(&r->free_bytes, METRICS_UNKNOWN);
    atomic_store(&r->busy, false);
    let_go(r);
}

struct node_room *node_room_new(const char *dir)
{
    struct node_room *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    atomic_init(&r->n_owners, 1);
    atomic_init(&r->free_bytes, METRICS_UNKNOWN);
    (void)snprintf(r->dir, sizeof(r->dir), "%s", dir);
    begin_to_look(r);
    return r;
}

uint64_t node_room_bytes(struct node_room *r)
{
    const bool hangs =
        atomic_load(&r->busy) && clock_mono_us() - atomic_load(&r->begun_us) > HTTP_LOOP_US;
    const uint64_t bytes = hangs ? METRICS_UNKNOWN : atomic_load(&r->free_bytes);

    begin_to_look(r);
    return bytes;
}

void node_room_free(struct node_room *r)
{
    let_go(r);
}
