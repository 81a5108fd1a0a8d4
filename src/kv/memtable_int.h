/* What was applied and is not in the file yet (STATE-17).
 *
 * The log is what is durable, so the file may be behind: a start applies the entries that it lacks
 * again. So what entries change is kept here, by key, until there is enough of it to be worth a
 * transaction, or somebody needs it in the file. A key that is written ten times is stored once,
 * and a page that holds ten of them is written once.
 *
 * What a batch of entries did can be taken back until it is kept: records are never overwritten in
 * place, and what stood for a key before is remembered.
 *
 * For: kv alone, between kv_begin() and the file.
 * Not for: what must outlive the process.
 * Units: bytes.
 * Ownership: the table owns copies of keys and records, until memtable_clear().
 * Errors: NULL or false: out of memory, and nothing has changed.
 * Thread: the one that applies and reads.
 * Source: the memtable of Bigtable and LevelDB, over a B+tree in place of sorted files. */
#ifndef RIDD_KV_MEMTABLE_INT_H
#define RIDD_KV_MEMTABLE_INT_H

#include <stdbool.h>

#include "base/arena.h"
#include "kv/digest_int.h"
#include "kv/kv.h"

/* One key. Without a record it is deleted. */
struct memtable_entry {
    uint32_t hash;
    uint32_t record_len;
    unsigned char *record; /* as in the file; NULL: deleted */
    /* What the file holds under that key. */
    struct kv_digest stored_digest;
    bool is_stored;
    uint16_t key_len;
    char key[];
};

struct memtable_undo;

/* Zeroed, and memtable_init(): empty. */
struct memtable {
    struct arena arena;
    /* Owned; a power of two, open addressing. The number of the entry, from 1, and above it some
     * bits of its hash, so that who looks for what is not there looks at nothing else; 0: free.
     * Small: each look is at another one, and so all of them stay near. */
    uint32_t *slots;
    unsigned n_slots;
    struct memtable_entry **entries; /* owned; in the order in which their keys came */
    unsigned n;
    unsigned room;
    struct memtable_undo *undo; /* owned; of the batch that is under way */
    unsigned n_undo;
    unsigned undo_room;
    size_t bytes;            /* that the arena gave out */
    struct arena_mark begun; /* before the batch, and that of bytes */
    size_t begun_bytes;
    /* Of records in the file that are others by now, or none: who reads in order passes them. */
    uint64_t hidden_bytes;
    uint64_t begun_hidden;
    /* Owned: the first n_sorted of entries, in the order of their keys. */
    struct memtable_entry **sorted;
    unsigned n_sorted;
    unsigned sorted_room;
    /* Keys that fall together, by chance or because somebody chose them so: enough of it. */
    bool is_crowded;
};

void memtable_init(struct memtable *m);
void memtable_done(struct memtable *m);
/* All of it is in the file, or the file is another one. */
void memtable_clear(struct memtable *m);

/* NULL: nothing was written under that key since the file was. */
struct memtable_entry *memtable_find(const struct memtable *m, struct wire_slice key);
/* Room for a record of that many bytes under key, for the caller to fill; len 0: it is deleted.
 * old: what the file holds there, of old_len bytes, asked for where the key is new here; NULL:
 * nothing. NULL: out of memory. */
struct memtable_entry *memtable_put(struct memtable *m, struct wire_slice key, size_t len,
                                    const struct kv_digest *old, size_t old_len);
/* The batch is over: it stays, or it never was. */
void memtable_keep(struct memtable *m);
void memtable_undo(struct memtable *m);

/* From now on m->sorted has all entries in the order of their keys, until the next put. False: out
 * of memory. */
bool memtable_sort(struct memtable *m);
/* How many of them come before the key. */
unsigned memtable_before(const struct memtable *m, struct wire_slice key);
/* As memcmp() and LMDB have it. */
int memtable_compare(struct wire_slice a, struct wire_slice b);

/* Where a key stands if it can. Sums of keys that differ in a few digits are near one another, and
 * what is near fills up rows: Knuth's multiplication takes them apart. */
#define MEMTABLE_GOLDEN 2654435769u /* 2^32 by the golden ratio */
static inline unsigned memtable_place(uint32_t hash, unsigned n_slots)
{
    return (unsigned)(((uint64_t)(hash * MEMTABLE_GOLDEN) * n_slots) >> 32);
}

static inline struct wire_slice memtable_key(const struct memtable_entry *e)
{
    return (struct wire_slice){e->key, e->key_len};
}

#endif
