/* Chains behind a power of two of buckets, about one entry each. The numbers are counters, so that
 * their low bits are as good as any hash. */
#include <errno.h>
#include <stdlib.h>

#include "client/client_int.h"

#include "base/banned.h"

static struct entry **bucket_of(const struct table *t, uint64_t key)
{
    return &t->buckets[key & (t->n_buckets - 1)];
}

int table_reserve(struct table *t)
{
    struct table wider = {.n_buckets = t->n_buckets > 0 ? 2 * t->n_buckets : 64};

    if (t->n < t->n_buckets)
        return 0;
    wider.buckets = calloc(wider.n_buckets, sizeof(struct entry *));
    if (wider.buckets == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_buckets; i++) {
        struct entry *next;

        for (struct entry *e = t->buckets[i]; e != NULL; e = next) {
            next = e->next;
            table_add(&wider, e, e->key);
        }
    }
    free(t->buckets);
    *t = wider;
    return 0;
}

void table_add(struct table *t, struct entry *e, uint64_t key)
{
    struct entry **bucket = bucket_of(t, key);

    e->key = key;
    e->next = *bucket;
    *bucket = e;
    t->n++;
}

void table_remove(struct table *t, struct entry *e)
{
    struct entry **at;

    if (e->key == 0)
        return;
    at = bucket_of(t, e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->key = 0;
    t->n--;
}

struct entry *table_find(const struct table *t, uint64_t key)
{
    struct entry *e = t->n > 0 ? *bucket_of(t, key) : NULL;

    while (e != NULL && e->key != key)
        e = e->next;
    return e;
}

void table_done(struct table *t)
{
    free(t->buckets);
    t->buckets = NULL;
    t->n_buckets = 0;
}
