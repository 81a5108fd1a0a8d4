/* How much room the file system of the data directory has.
 *
 * The kernel may have to ask a disk or a server for it, and one that hangs makes whoever asks wait:
 * that must be neither the loop nor the thread which says that the loop stands (HTTP-2). So a
 * thread of its own asks every few seconds, and whoever wants to know has what it found. A thread
 * that hangs is left alone: its memory belongs to it as well, and there is never a second one. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/thread.h"
#include "node/node_int.h"

#include "base/banned.h"

struct node_room {
    atomic_uint n_owners;
    _Atomic uint64_t asks_us;  /* since when a thread asks; 0: none does */
    _Atomic uint64_t asked_us; /* when the last one began to */
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
    atomic_store(&r->asks_us, 0);
    let_go(r);
    return NULL;
}

static void begin_to_look(struct node_room *r, uint64_t now_us)
{
    uint64_t none = 0;
    pthread_t thread;

    if (!atomic_compare_exchange_strong(&r->asks_us, &none, now_us))
        return;
    atomic_store(&r->asked_us, now_us);
    atomic_fetch_add(&r->n_owners, 1);
    if (thread_start("ridd-room", look, r, &thread) == 0) {
        (void)pthread_detach(thread);
        return;
    }
    atomic_store(&r->known, false);
    atomic_store(&r->asks_us, 0);
    let_go(r);
}

struct node_room *node_room_new(const char *dir)
{
    struct node_room *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    atomic_init(&r->n_owners, 1);
    (void)snprintf(r->dir, sizeof(r->dir), "%s", dir);
    begin_to_look(r, clock_mono_us());
    return r;
}

void node_room_turn(struct node_room *r, uint64_t now_us)
{
    const uint64_t asked_us = r != NULL ? atomic_load(&r->asked_us) : now_us;

    if (now_us > asked_us && now_us - asked_us >= ROOM_LOOK_US)
        begin_to_look(r, now_us);
}

bool node_room_get(struct node_room *r, uint64_t *ret_free, uint64_t *ret_all)
{
    uint64_t asks_us;
    uint64_t now_us;
    bool hangs;

    if (r == NULL)
        return false;
    asks_us = atomic_load(&r->asks_us);
    now_us = clock_mono_us();
    hangs = asks_us != 0 && now_us > asks_us && now_us - asks_us > HTTP_LOOP_US;
    *ret_free = atomic_load(&r->free_bytes);
    *ret_all = atomic_load(&r->all_bytes);
    return !hangs && atomic_load(&r->known);
}

void node_room_free(struct node_room *r)
{
    let_go(r);
}
