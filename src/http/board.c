#include "http/board.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include "base/banned.h"

struct thing {
    struct buf filling; /* the loop's */
    struct buf hangs;   /* behind the lock */
    uint64_t put_up_us; /* likewise: when hangs was; 0: the asker has it, or there is none */
    struct buf taken;   /* the asker's */
    uint64_t filled_us; /* the asker's: of taken; 0: it is nothing */
};

struct board {
    pthread_mutex_t lock;
    uint32_t wanted;          /* behind lock: a bit for each kind that is asked for */
    struct board_costs costs; /* behind lock */
    struct board_costs loop_costs;
    int loop_fd;
    int asker_fd;
    unsigned n;
    struct thing things[HTTP_KINDS_MAX];
};

static void cleanup_board_fn(struct board **b)
{
    board_free(*b);
}

int board_new(unsigned n_kinds, struct board **ret)
{
    CLEANUP(board) struct board *b = calloc(1, sizeof(*b));

    rid_assert(n_kinds <= HTTP_KINDS_MAX);
    if (b == NULL)
        return err_origin(err_say(-ENOMEM, "no memory for HTTP"));
    (void)pthread_mutex_init(&b->lock, NULL);
    b->n = n_kinds;
    b->asker_fd = -1;
    b->loop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->loop_fd >= 0)
        b->asker_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->asker_fd < 0)
        return err_origin_errno("make", "eventfd of HTTP");
    *ret = take_ptr(b);
    return 0;
}

void board_free(struct board *b)
{
    if (b == NULL)
        return;
    if (b->loop_fd >= 0)
        (void)close(b->loop_fd);
    if (b->asker_fd >= 0)
        (void)close(b->asker_fd);
    for (unsigned i = 0; i < b->n; i++) {
        buf_done(&b->things[i].filling);
        buf_done(&b->things[i].hangs);
        buf_done(&b->things[i].taken);
    }
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

static void exchange(struct buf *a, struct buf *b)
{
    const struct buf c = *a;

    *a = *b;
    *b = c;
}

static void ring(int fd)
{
    const uint64_t one = 1;

    (void)!write(fd, &one, sizeof(one)); /* a full counter is readable, too */
}

static void hush(int fd)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof(count));
}

/* ---- the loop ---- */

int board_loop_fd(const struct board *b)
{
    return b->loop_fd;
}

static bool fill_one(struct board *b, unsigned kind,
                     bool (*fill)(void *ctx, unsigned kind, struct buf *out), void *ctx)
{
    const uint64_t from_us = clock_mono_us();
    uint64_t took_us;
    bool filled;

    b->things[kind].filling.len = 0; /* its memory stays: the next one is as large */
    filled = fill(ctx, kind, &b->things[kind].filling);
    took_us = clock_mono_us() - from_us;
    b->loop_costs.n++;
    b->loop_costs.us_sum += took_us;
    if (took_us > b->loop_costs.us_max)
        b->loop_costs.us_max = took_us;
    return filled;
}

static bool come_again(const struct board *b)
{
    ring(b->loop_fd);
    return false;
}

bool board_serve(struct board *b, bool (*fill)(void *ctx, unsigned kind, struct buf *out),
                 void *ctx)
{
    uint32_t wanted;
    uint32_t filled = 0;
    uint64_t now_us;

    hush(b->loop_fd); /* before the look: what is asked behind it rings again */
    if (pthread_mutex_trylock(&b->lock) != 0)
        return come_again(b);
    wanted = b->wanted;
    (void)pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < b->n; i++)
        if ((wanted & (1u << i)) != 0 && fill_one(b, i, fill, ctx))
            filled |= 1u << i;
    now_us = clock_mono_us();
    /* Filled for nothing where the asker is there just now: it is asked for still. */
    if (pthread_mutex_trylock(&b->lock) != 0)
        return come_again(b);
    for (unsigned i = 0; i < b->n; i++) {
        if ((filled & (1u << i)) == 0)
            continue;
        exchange(&b->things[i].filling, &b->things[i].hangs);
        b->things[i].put_up_us = now_us;
    }
    b->wanted &= ~wanted;
    b->costs = b->loop_costs;
    (void)pthread_mutex_unlock(&b->lock);
    ring(b->asker_fd);
    return true;
}

/* ---- the asker ---- */

int board_asker_fd(const struct board *b)
{
    return b->asker_fd;
}

void board_look(struct board *b)
{
    hush(b->asker_fd);
    (void)pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < b->n; i++) {
        struct thing *t = &b->things[i];

        if (t->put_up_us == 0)
            continue;
        exchange(&t->hangs, &t->taken);
        t->filled_us = t->put_up_us;
        t->put_up_us = 0;
    }
    (void)pthread_mutex_unlock(&b->lock);
}

const struct buf *board_get(struct board *b, unsigned kind, uint64_t since_us)
{
    const struct thing *t = &b->things[kind];

    rid_assert(kind < b->n);
    if (t->filled_us != 0 && since_us < t->filled_us + HTTP_FRESH_US)
        return &t->taken;
    /* Each time: that is how one that could not be filled is asked for once more. */
    (void)pthread_mutex_lock(&b->lock);
    b->wanted |= 1u << kind;
    (void)pthread_mutex_unlock(&b->lock);
    ring(b->loop_fd);
    return NULL;
}

void board_get_costs(struct board *b, struct board_costs *ret)
{
    (void)pthread_mutex_lock(&b->lock);
    *ret = b->costs;
    (void)pthread_mutex_unlock(&b->lock);
}
