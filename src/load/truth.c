/* A key is seven words, all zero at first: of keys that are only read no memory is touched. */
#include "load/truth.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"

#include "base/banned.h"

struct fact {
    uint32_t begun; /* the highest number */
    uint32_t least; /* must have been passed */
    /* Numbers up to these were over when the generation began. */
    uint32_t older_over;
    uint32_t younger_over;
    uint32_t n_older; /* under way */
    uint32_t n_younger;
    bool loose; /* a write may come at any time, over a later one */
};

#define N_LOCKS 64u /* a power of two */

struct truth {
    bool shared;
    struct fact *facts; /* owned */
    pthread_mutex_t locks[N_LOCKS];
};

static struct fact *lock(struct truth *t, uint64_t key)
{
    if (t->shared)
        (void)pthread_mutex_lock(&t->locks[key & (N_LOCKS - 1)]);
    return &t->facts[key];
}

static void unlock(struct truth *t, uint64_t key)
{
    if (t->shared)
        (void)pthread_mutex_unlock(&t->locks[key & (N_LOCKS - 1)]);
}

int truth_new(uint64_t n_keys, bool shared, struct truth **ret)
{
    cleanup_free struct truth *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -ENOMEM;
    t->shared = shared;
    t->facts = calloc(n_keys, sizeof(t->facts[0]));
    if (t->facts == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < N_LOCKS; i++)
        (void)pthread_mutex_init(&t->locks[i], NULL);
    *ret = take_ptr(t);
    return 0;
}

void truth_free(struct truth *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < N_LOCKS; i++)
        (void)pthread_mutex_destroy(&t->locks[i]);
    free(t->facts);
    free(t);
}

/* The younger generation becomes the older one, and what begins from now on is younger. */
static void maybe_turn(struct fact *f)
{
    if (f->n_older > 0)
        return;
    f->n_older = f->n_younger;
    f->older_over = f->younger_over;
    f->n_younger = 0;
    f->younger_over = f->begun;
    if (f->n_older == 0)
        f->older_over = f->begun;
}

struct truth_write truth_begin_write(struct truth *t, uint64_t key)
{
    struct fact *f = lock(t, key);
    struct truth_write w = {.key = key};

    maybe_turn(f);
    w.over = f->older_over;
    w.number = ++f->begun;
    f->n_younger++;
    unlock(t, key);
    return w;
}

void truth_end_write(struct truth *t, const struct truth_write *w, enum truth_outcome outcome)
{
    struct fact *f = lock(t, w->key);

    /* Numbers of the older generation are not above those that were given when it ended. */
    if (f->n_older > 0 && w->number <= f->younger_over)
        f->n_older--;
    else
        f->n_younger--;
    maybe_turn(f);
    if (outcome == TRUTH_DONE && w->over + 1 > f->least)
        f->least = w->over + 1;
    else if (outcome == TRUTH_UNKNOWN)
        f->loose = true;
    unlock(t, w->key);
}

uint32_t truth_least(struct truth *t, uint64_t key)
{
    struct fact *f = lock(t, key);
    const uint32_t least = f->least;

    unlock(t, key);
    return least;
}

enum truth_verdict truth_judge(struct truth *t, uint64_t key, uint32_t least, uint32_t number,
                               bool linearizable)
{
    const struct fact *f = lock(t, key);
    enum truth_verdict verdict = TRUTH_RIGHT;

    if (number > f->begun)
        verdict = TRUTH_NEVER_WRITTEN;
    else if (linearizable && !f->loose && number < least)
        verdict = TRUTH_OLD;
    unlock(t, key);
    return verdict;
}
