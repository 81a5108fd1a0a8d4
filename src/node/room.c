/* How much room the file system of the data directory has.
 *
 * The kernel may have to ask a disk or a server for it, and one that hangs makes whoever asks wait:
 * that must be neither the loop nor the thread which says that the loop stands (HTTP-2). So a
 * thread of its own asks when somebody wants to know, seldom, and whoever asks has what the one
 * before it found. A thread that hangs is left alone: its memory belongs to it as well, and there
 * is never a second one. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/thread.h"
#include "node/node_int.h"

#include "base/banned.h"

struct node_room {
    atomic_uint n_owners;
    atomic_bool busy;
    _Atomic uint64_t begun_us; /* when the last one began to ask */
    atomic_bool known;
    _Atomic uint64_t free_bytes;
    _Atomic uint64_t all_bytes;
    char dir[PATH_MAX];
};

static void let_go(struct node_room *r)
{
    if (r != NULL && atomic_fetch_sub(&r->n_owners, 1) == 1)
        free(r);
}

/* As df counts: what only root may take belongs to nobody here. */
static void *look(void *arg)
{
    struct node_room *r = arg;
    struct statvfs st;
    const bool known = statvfs(r->dir, &st) == 0;

    if (known) {
        atomic_store(&r->free_bytes, (uint64_t)st.f_bavail * st.f_frsize);
        atomic_store(&r->all_bytes,
                     (uint64_t)(st.f_blocks - st.f_bfree + st.f_bavail) * st.f_frsize);
    }
    atomic_store(&r->known, known);
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
    atomic_store(&r->known, false);
    atomic_store(&r->busy, false);
    let_go(r);
}

struct node_room *node_room_new(const char *dir)
{
    struct node_room *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    atomic_init(&r->n_owners, 1);
    (void)snprintf(r->dir, sizeof(r->dir), "%s", dir);
    begin_to_look(r);
    return r;
}

bool node_room_get(struct node_room *r, uint64_t *ret_free, uint64_t *ret_all)
{
    const uint64_t for_us = clock_mono_us() - atomic_load(&r->begun_us);
    const bool hangs = atomic_load(&r->busy) && for_us > HTTP_LOOP_US;
    const bool known = !hangs && atomic_load(&r->known);

    *ret_free = atomic_load(&r->free_bytes);
    *ret_all = atomic_load(&r->all_bytes);
    if (for_us >= ROOM_LOOK_US)
        begin_to_look(r);
    return known;
}

void node_room_free(struct node_room *r)
{
    let_go(r);
}
