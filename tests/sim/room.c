/* The room of a state: pages on a disk, in place of LMDB's file.
 *
 * As there, a value of more than a page needs pages in a row; what a transaction writes goes to pages
 * that were free before it, and what it gives up is free for the next one; so deletes leave holes, a
 * long value finds none of them long enough, and the file grows. It grows as far as the map has
 * addresses, which are asked for between transactions, and as far as the disk has room, which is known
 * when the transaction is written. Neither decides what an entry does (SPACE-3): the outcome is
 * "no room", and the entry is tried again (SPACE-6). How much a state may hold the log says alone. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv/kv.h"
#include "sim/sim.h"

#include "base/banned.h"

#define PAGE_BYTES 512u
#define PAGE_FREE  0u
#define PAGE_LATER 255u /* free for the next transaction */
#define PAGE_FRESH 128u /* with the key: written by this transaction */
#define DISK_ROOM  96u  /* the largest value, and some */
/* What the largest run of entries can write: with less to spare a map is made larger. */
#define MAP_ROOM    (2u * RAFT_COMMITTED_BYTES_MAX / PAGE_BYTES)
#define FULL_BEFORE 40u /* so often at most nobody minds the full disk */

static unsigned n_pages(size_t bytes)
{
    return (unsigned)((bytes + KV_RECORD_OVERHEAD + PAGE_BYTES - 1) / PAGE_BYTES);
}

static bool has_model(const struct sim_node *n)
{
    return (n->sim->p.features >> FEATURE_SPACE & 1) != 0 && n->state.kv == NULL;
}

static void room_for_end(struct sim_room *r, unsigned end)
{
    if (end <= r->size)
        return;
    r->size = end * 2;
    r->pages = sim_realloc_n(r->pages, r->size, 1);
    r->before = sim_realloc_n(r->before, r->size, 1);
}

static unsigned find(const struct sim_room *r, unsigned n)
{
    unsigned run = 0;

    for (unsigned i = 0; i < r->n; i++) {
        run = r->pages[i] == PAGE_FREE ? run + 1 : 0;
        if (run == n)
            return i + 1 - n;
    }
    return r->n - run; /* at the end, with what is free before it */
}

void room_free(struct sim_node *n, unsigned key)
{
    struct sim_room *r = &n->state.room;

    if (!has_model(n))
        return;
    for (unsigned i = 0; i < r->n; i++)
        if (r->pages[i] == key + 1)
            r->pages[i] = PAGE_LATER;
        else if (r->pages[i] == key + 1 + PAGE_FRESH)
            r->pages[i] = PAGE_FREE;
}

/* 0, or KV_E_FULL: the map has no such row of pages. */
int room_take(struct sim_node *n, unsigned key, size_t bytes)
{
    struct sim_room *r = &n->state.room;
    const unsigned count = n_pages(bytes);
    unsigned holes = 0;
    unsigned at;

    if (!has_model(n))
        return 0;
    room_free(n, key);
    at = find(r, count);
    for (unsigned i = 0; i < r->n; i++)
        holes += r->pages[i] == PAGE_FREE;
    if (at + count > r->n && holes >= count)
        MARK(n->sim, room_fragmented);
    if (at + count > r->map) {
        MARK(n->sim, room_map_full);
        return KV_E_FULL;
    }
    room_for_end(r, at + count);
    if (at + count > r->n)
        r->n = at + count;
    memset(&r->pages[at], (int)(key + 1 + PAGE_FRESH), count);
    r->wrote = true;
    return 0;
}

void room_begin(struct sim_node *n)
{
    struct sim_room *r = &n->state.room;

    if (!has_model(n))
        return;
    /* Not to get addresses is no error either, until a transaction needs them. */
    if (r->no_addresses > 0 && r->disk != UINT32_MAX)
        r->no_addresses--;
    else
        while (r->n + MAP_ROOM > r->map)
            r->map *= 2;
    r->wrote = false;
    r->n_before = r->n;
    if (r->n > 0)
        memcpy(r->before, r->pages, r->n);
}

void room_undo(struct sim_node *n)
{
    struct sim_room *r = &n->state.room;

    if (!has_model(n))
        return;
    r->n = r->n_before;
    if (r->n > 0)
        memcpy(r->pages, r->before, r->n);
}

/* 0, or KV_E_FULL: the disk. A transaction that changed nothing asks it for nothing (SPACE-7). */
int room_commit(struct sim_node *n)
{
    struct sim_room *r = &n->state.room;

    if (!has_model(n))
        return 0;
    if (r->wrote && r->n > r->disk) {
        MARK(n->sim, room_disk_full);
        if (++r->n_full % FULL_BEFORE == 0) /* somebody minds, after a while */
            r->disk += DISK_ROOM;
        return KV_E_FULL;
    }
    for (unsigned i = 0; i < r->n; i++)
        r->pages[i] = r->pages[i] == PAGE_LATER ? PAGE_FREE : r->pages[i] & (PAGE_FRESH - 1);
    while (r->n > 0 && r->pages[r->n - 1] == PAGE_FREE && r->n > r->disk)
        r->n--; /* a tail that lies beyond the disk was never written */
    return 0;
}

/* What the map of keys holds, one behind the other: a file that was written anew. */
void room_fill(struct sim_node *n)
{
    struct sim_room *r = &n->state.room;
    const struct sim_map *m = &n->state.map;

    if (!has_model(n))
        return;
    r->n = 0;
    for (unsigned i = 0; i < m->n; i++) {
        /* Sessions take none here: they are small. */
        const bool takes = m->keys[i].value.exists && m->keys[i].key[0] != '\0';
        const unsigned count = takes ? n_pages(m->keys[i].value.len) : 0;

        room_for_end(r, r->n + count);
        if (count > 0)
            memset(&r->pages[r->n], (int)(i + 1), count);
        r->n += count;
    }
}

void room_init(struct sim_node *n)
{
    struct sim_room *r = &n->state.room;
    const uint64_t quota_pages = n->sim->p.quota_bytes / PAGE_BYTES;

    n->quota_bytes = n->sim->p.quota_bytes;
    if ((n->sim->p.features >> FEATURE_SPACE & 1) == 0)
        return;
    /* On every node another disk: some have twice what the largest state needs, some not that. */
    r->disk =
        (unsigned)(DISK_ROOM +
                   quota_pages * (60 + sim_below(n->sim, STREAM_FEATURE, 32 + n->i, 200)) / 100);
    r->map = DISK_ROOM; /* soon too small */
    if (sim_below(n->sim, STREAM_FEATURE, 32 + n->i, 3) == 0)
        r->no_addresses = (unsigned)sim_below(n->sim, STREAM_FEATURE, 32 + n->i, 400);
    n->quota_bytes =
        n->sim->p.quota_bytes * (4 + sim_below(n->sim, STREAM_FEATURE, 32 + n->i, 3)) / 4;
}

/* Somebody has given it a larger disk. */
void room_heal(struct sim_node *n)
{
    n->state.room.disk = UINT32_MAX;
}

void room_done(struct sim_node *n)
{
    free(n->state.room.pages);
    free(n->state.room.before);
}

bool room_of_disk(void *ctx, uint64_t *ret_used, uint64_t *ret_limit)
{
    const struct sim_node *n = ctx;

    *ret_used = (uint64_t)n->state.room.n * PAGE_BYTES;
    *ret_limit = (uint64_t)n->state.room.disk * PAGE_BYTES;
    /* What a maker of snapshots leaves is more than any disk here. */
    if (snap_is_on(n->sim))
        *ret_limit += SNAP_ROOM_LEFT_BYTES;
    return has_model(n);
}
