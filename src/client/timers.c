/* A binary heap in which every timer knows its place, so that it can be moved and taken out. */
#include <errno.h>
#include <stdlib.h>

#include "client/client_int.h"

#include "base/banned.h"

int timers_own(struct timers *q)
{
    size_t size = q->size > 0 ? q->size : 16;
    struct timer **heap;

    while (size <= q->n_owned + 1)
        size *= 2;
    if (size > q->size) {
        heap = realloc(q->heap, size * sizeof(struct timer *));
        if (heap == NULL)
            return -ENOMEM;
        q->heap = heap;
        q->size = size;
    }
    q->n_owned++;
    return 0;
}

void timers_disown(struct timers *q, struct timer *t)
{
    timers_clear(q, t);
    q->n_owned--;
}

static void put(struct timers *q, size_t place, struct timer *t)
{
    q->heap[place] = t;
    t->place = place;
}

static void move_up(struct timers *q, struct timer *t)
{
    size_t i = t->place;

    for (; i > 1 && q->heap[i / 2]->due_us > t->due_us; i /= 2)
        put(q, i, q->heap[i / 2]);
    put(q, i, t);
}

static void move_down(struct timers *q, struct timer *t)
{
    size_t i = t->place;

    for (;;) {
        size_t child = 2 * i;

        if (child < q->n && q->heap[child + 1]->due_us < q->heap[child]->due_us)
            child++;
        if (child > q->n || q->heap[child]->due_us >= t->due_us)
            break;
        put(q, i, q->heap[child]);
        i = child;
    }
    put(q, i, t);
}

void timers_set(struct timers *q, struct timer *t, uint64_t due_us)
{
    t->due_us = due_us;
    if (t->place == 0) {
        q->n++;
        t->place = q->n;
    }
    move_up(q, t);
    move_down(q, t);
}

void timers_clear(struct timers *q, struct timer *t)
{
    size_t place = t->place;
    struct timer *last;

    if (place == 0)
        return;
    t->place = 0;
    last = q->heap[q->n--];
    if (last == t)
        return;
    put(q, place, last);
    move_up(q, last);
    move_down(q, last);
}

struct timer *timers_first(const struct timers *q)
{
    return q->n > 0 ? q->heap[1] : NULL;
}

void timers_done(struct timers *q)
{
    free(q->heap);
    q->heap = NULL;
    q->n = 0;
    q->size = 0;
}
