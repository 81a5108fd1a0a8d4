/* A table of windows. One is asked for, then being read, then full; who has taken its last entry
 * empties it. While a window is handed out the one behind it is read already.
 *
 *   FREE ──get()──► ASKED ──work()──► READING ──► FULL ──get()──► FREE
 *     ▲                                  │
 *     └────── a truncation came between ─┘
 *
 * There are more windows than there can be places in the log where somebody reads, so that nobody's
 * window is taken away before he has seen it. */
#include "store/log_reads.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/store_int.h"

#include "base/banned.h"

static_assert(STORE_WINDOWS_MAX >= RAFT_SERVERS_MAX + 2, "every follower, apply, and one ahead");

enum window_state { WINDOW_FREE, WINDOW_ASKED, WINDOW_READING, WINDOW_FULL };

struct read_window {
    enum window_state state;
    raft_index from;
    raft_index to;  /* at most */
    bool dropped;   /* READING: entries of it are replaced meanwhile */
    uint64_t order; /* of asking, then of use */
    struct arena arena;
    struct raft_entry entries[STORE_WINDOW_ENTRIES];
    unsigned n;
    int rc;
    char text[256]; /* of an error */
};

struct log_reads {
    struct store *store; /* borrowed */
    pthread_mutex_t lock;
    /* Behind lock; a window that is READING belongs to the reading thread. */
    struct read_window windows[STORE_WINDOWS_MAX];
    uint64_t clock;
    uint64_t n_done;
    raft_index reset_to; /* nothing up to it is read; the store may not know yet */
};

int log_reads_new(struct store *store, struct log_reads **ret)
{
    struct log_reads *lr = calloc(1, sizeof(*lr));
    int rc;

    if (lr == NULL)
        return err_origin(-ENOMEM);
    rc = -pthread_mutex_init(&lr->lock, NULL);
    if (rc != 0) {
        free(lr);
        return err_origin(rc);
    }
    lr->store = store;
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++)
        arena_init(&lr->windows[i].arena, mem_libc);
    *ret = lr;
    return 0;
}

void log_reads_free(struct log_reads *lr)
{
    if (lr == NULL)
        return;
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++)
        arena_done(&lr->windows[i].arena);
    (void)pthread_mutex_destroy(&lr->lock);
    free(lr);
}

static void empty(struct read_window *w)
{
    rid_assert(w->state != WINDOW_READING);
    arena_done(&w->arena);
    arena_init(&w->arena, mem_libc);
    w->state = WINDOW_FREE;
    w->dropped = false;
    w->n = 0;
    w->rc = 0;
}

static bool holds(const struct read_window *w, raft_index index)
{
    if (w->state != WINDOW_FULL)
        return false;
    if (w->rc != 0)
        return index == w->from;
    return index >= w->from && index - w->from < w->n;
}

/* It will, or will say why not. */
static bool will_hold(const struct read_window *w, raft_index index)
{
    return (w->state == WINDOW_ASKED || w->state == WINDOW_READING) && !w->dropped &&
           w->from == index;
}

/* A free one, or the full one that nobody has asked for longest; NULL: all are being read. */
static struct read_window *take_window(struct log_reads *lr)
{
    struct read_window *best = NULL;

    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++) {
        struct read_window *w = &lr->windows[i];

        if (w->state == WINDOW_FREE)
            return w;
        if (w->state == WINDOW_FULL && (best == NULL || w->order < best->order))
            best = w;
    }
    if (best != NULL)
        empty(best);
    return best;
}

static void ask(struct log_reads *lr, raft_index from, raft_index to)
{
    struct read_window *w;

    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++)
        if (will_hold(&lr->windows[i], from) || holds(&lr->windows[i], from))
            return;
    w = take_window(lr);
    if (w == NULL)
        return; /* whoever asks does so again when one of them is full */
    w->state = WINDOW_ASKED;
    w->from = from;
    w->to = to;
    w->order = ++lr->clock;
}

/* As many as fit; at least one. */
static int hand_out(struct log_reads *lr, struct read_window *w, raft_index from, raft_index to,
                    size_t bytes_max, struct arena *arena, struct raft_entry *ret_entries,
                    unsigned n_max, unsigned *ret_n)
{
    size_t bytes = 0;
    unsigned n = 0;

    for (unsigned i = (unsigned)(from - w->from); i < w->n && n < n_max; i++) {
        const struct raft_entry *e = &w->entries[i];
        void *data = NULL;

        if (e->id.index > to || (n > 0 && bytes + e->len > bytes_max))
            break;
        if (e->len > 0) {
            data = arena_alloc(arena, e->len);
            if (data == NULL)
                return err_origin(-ENOMEM);
            memcpy(data, e->data, e->len);
        }
        ret_entries[n] = *e;
        ret_entries[n++].data = data;
        bytes += e->len;
    }
    rid_assert(n > 0);
    *ret_n = n;
    w->order = ++lr->clock;
    return 0;
}

static int get(struct log_reads *lr, raft_index from, raft_index to, size_t bytes_max,
               struct arena *arena, struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n)
{
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++) {
        struct read_window *w = &lr->windows[i];
        raft_index end;
        int rc;

        if (!holds(w, from))
            continue;
        end = w->from + w->n - 1;
        rc = w->rc;
        if (rc == 0)
            rc = hand_out(lr, w, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
        else
            rc = err_origin(err_say(rc, "%s", w->text));
        if (rc == 0 && end < to)
            ask(lr, end + 1, to);
        if (rc != 0 || from + *ret_n - 1 == end)
            empty(w);
        return rc;
    }
    ask(lr, from, to);
    return STORE_E_LATER;
}

int log_reads_get(struct log_reads *lr, raft_index from, raft_index to, size_t bytes_max,
                  struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
                  unsigned *ret_n)
{
    int rc;

    rid_assert(from >= 1);
    rid_assert(from <= to);
    rid_assert(n_max > 0);
    if (from <= store_base(lr->store).index)
        return STORE_E_COMPACTED;
    (void)pthread_mutex_lock(&lr->lock);
    rc = from <= lr->reset_to ? STORE_E_COMPACTED
                              : get(lr, from, to, bytes_max, arena, ret_entries, n_max, ret_n);
    (void)pthread_mutex_unlock(&lr->lock);
    return rc;
}

/* What is dropped counts as done: who waits for it asks again, for what stands there now
 * (DISK-33). */
static void drop(struct log_reads *lr, struct read_window *w)
{
    if (w->state == WINDOW_READING) {
        w->dropped = true;
        return;
    }
    empty(w);
    lr->n_done++;
}

void log_reads_truncate(struct log_reads *lr, raft_index from)
{
    (void)pthread_mutex_lock(&lr->lock);
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++) {
        struct read_window *w = &lr->windows[i];

        if (w->state == WINDOW_FREE || w->to < from)
            continue;
        drop(lr, w);
    }
    (void)pthread_mutex_unlock(&lr->lock);
}

/* Who asked for it is told that it is gone before a window is looked at. */
void log_reads_drop_front(struct log_reads *lr, raft_index base)
{
    (void)pthread_mutex_lock(&lr->lock);
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++)
        if (lr->windows[i].state != WINDOW_FREE && lr->windows[i].from <= base)
            drop(lr, &lr->windows[i]);
    (void)pthread_mutex_unlock(&lr->lock);
}

/* Of the old log even what has an index behind the new base is another entry (DISK-43). */
void log_reads_reset(struct log_reads *lr, raft_index base)
{
    (void)pthread_mutex_lock(&lr->lock);
    lr->reset_to = base;
    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++)
        if (lr->windows[i].state != WINDOW_FREE)
            drop(lr, &lr->windows[i]);
    (void)pthread_mutex_unlock(&lr->lock);
}

static struct read_window *oldest_asked(struct log_reads *lr)
{
    struct read_window *oldest = NULL;

    for (unsigned i = 0; i < STORE_WINDOWS_MAX; i++) {
        struct read_window *w = &lr->windows[i];

        if (w->state == WINDOW_ASKED && (oldest == NULL || w->order < oldest->order))
            oldest = w;
    }
    return oldest;
}

bool log_reads_has_work(struct log_reads *lr)
{
    bool has;

    (void)pthread_mutex_lock(&lr->lock);
    has = oldest_asked(lr) != NULL;
    (void)pthread_mutex_unlock(&lr->lock);
    return has || store_read_is_stale(lr->store);
}

static void read_window(struct log_reads *lr, struct read_window *w)
{
    err_reset();
    w->n = 0;
    w->rc = store_read(lr->store, w->from, w->to, STORE_WINDOW_BYTES, &w->arena, w->entries,
                       STORE_WINDOW_ENTRIES, &w->n);
    w->text[0] = '\0';
    if (w->rc != 0)
        (void)snprintf(w->text, sizeof(w->text), "%s", err_text());
}

void log_reads_work(struct log_reads *lr)
{
    struct read_window *w;

    (void)pthread_mutex_lock(&lr->lock);
    w = oldest_asked(lr);
    if (w != NULL)
        w->state = WINDOW_READING;
    (void)pthread_mutex_unlock(&lr->lock);
    if (w == NULL) {
        store_read_forget(lr->store);
        return;
    }
    read_window(lr, w);
    (void)pthread_mutex_lock(&lr->lock);
    w->state = WINDOW_FULL;
    w->order = ++lr->clock;
    lr->n_done++;
    if (w->dropped)
        empty(w);
    (void)pthread_mutex_unlock(&lr->lock);
}

uint64_t log_reads_n_done(struct log_reads *lr)
{
    uint64_t n_done;

    (void)pthread_mutex_lock(&lr->lock);
    n_done = lr->n_done;
    (void)pthread_mutex_unlock(&lr->lock);
    return n_done;
}
