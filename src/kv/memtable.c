/* Keys by hash, records in an arena. The hash is that of the checksum of records, which anybody can
 * make collide: a table in which keys fall together is full, and then only a page more is written
 * than was needed. */
#include "kv/memtable_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/limits.h"

#include "base/banned.h"

/* What stood for a key before the batch; is_new: nothing. */
struct memtable_undo {
    struct memtable_entry *entry;
    unsigned char *record;
    uint32_t record_len;
    bool is_new;
};

void memtable_init(struct memtable *m)
{
    *m = (struct memtable){0};
    arena_init(&m->arena, mem_libc);
}

void memtable_done(struct memtable *m)
{
    arena_done(&m->arena);
    free(m->slots);
    free(m->entries);
    free(m->undo);
    free(m->sorted);
    memtable_init(m);
}

void memtable_clear(struct memtable *m)
{
    if (m->n == 0)
        return;
    memset(m->slots, 0, m->n_slots * sizeof(m->slots[0]));
    arena_reset(&m->arena);
    m->n = 0;
    m->n_undo = 0;
    m->n_sorted = 0;
    m->bytes = 0;
    m->hidden_bytes = 0;
    m->is_crowded = false;
}

int memtable_compare(struct wire_slice a, struct wire_slice b)
{
    const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool holds(const struct memtable_entry *e, struct wire_slice key)
{
    return e->key_len == key.len && memcmp(e->key, key.data, key.len) == 0;
}

static uint32_t slot_for(uint32_t hash, unsigned number)
{
    return hash << KV_MEMTABLE_NUMBER_BITS | number;
}

static unsigned number_in(uint32_t slot)
{
    return slot & ((1u << KV_MEMTABLE_NUMBER_BITS) - 1);
}

static struct memtable_entry *entry_in(const struct memtable *m, uint32_t slot)
{
    return m->entries[number_in(slot) - 1];
}

static bool is_of(uint32_t slot, uint32_t hash)
{
    return slot >> KV_MEMTABLE_NUMBER_BITS == slot_for(hash, 0) >> KV_MEMTABLE_NUMBER_BITS;
}

/* The slot of key, or the free one where it would stand; *ret_steps: how far from its place. */
static unsigned slot_of(const struct memtable *m, uint32_t hash, struct wire_slice key,
                        unsigned *ret_steps)
{
    unsigned i = memtable_place(hash, m->n_slots);
    unsigned steps = 0;

    while (m->slots[i] != 0 &&
           (!is_of(m->slots[i], hash) || !holds(entry_in(m, m->slots[i]), key))) {
        i = (i + 1) & (m->n_slots - 1);
        steps++;
    }
    *ret_steps = steps;
    return i;
}

struct memtable_entry *memtable_find(const struct memtable *m, struct wire_slice key)
{
    unsigned steps;
    unsigned i;

    if (m->n == 0)
        return NULL;
    i = slot_of(m, crc32c(0, key.data, key.len), key, &steps);
    return m->slots[i] != 0 ? entry_in(m, m->slots[i]) : NULL;
}

/* Half of the slots are taken at most, and a batch more: of as many keys as are stored at once the
 * last batch needs no second half. */
static bool has_slot(const struct memtable *m)
{
    return 2 * (m->n + 1) <= m->n_slots + m->n_slots / KV_MEMTABLE_SLOTS_PART;
}

static bool grow_slots(struct memtable *m)
{
    const unsigned n_slots = m->n_slots > 0 ? 2 * m->n_slots : KV_MEMTABLE_SLOTS_MIN;
    uint32_t *slots = calloc(n_slots, sizeof(*slots));

    if (slots == NULL)
        return false;
    free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    for (unsigned k = 0; k < m->n; k++) {
        unsigned i = memtable_place(m->entries[k]->hash, n_slots);

        while (slots[i] != 0)
            i = (i + 1) & (n_slots - 1);
        slots[i] = slot_for(m->entries[k]->hash, k + 1);
    }
    return true;
}

static bool make_room(struct memtable *m)
{
    if (m->n == m->room) {
        const unsigned room = m->room > 0 ? 2 * m->room : KV_MEMTABLE_SLOTS_MIN / 2;
        struct memtable_entry **entries = realloc(m->entries, room * sizeof(*entries));

        if (entries == NULL)
            return false;
        m->entries = entries;
        m->room = room;
    }
    if (m->n_undo == m->undo_room) {
        const unsigned room = m->undo_room > 0 ? 2 * m->undo_room : 256;
        struct memtable_undo *undo = realloc(m->undo, room * sizeof(*undo));

        if (undo == NULL)
            return false;
        m->undo = undo;
        m->undo_room = room;
    }
    return number_in(m->n + 1) != 0 && (has_slot(m) || grow_slots(m));
}

static void *alloc(struct memtable *m, size_t n)
{
    void *p = arena_alloc(&m->arena, n);

    if (p != NULL)
        m->bytes += n;
    return p;
}

static struct memtable_entry *new_entry(struct memtable *m, uint32_t hash, struct wire_slice key,
                                        const struct kv_digest *old)
{
    struct memtable_entry *e = alloc(m, sizeof(*e) + key.len);

    if (e == NULL)
        return NULL;
    *e = (struct memtable_entry){
        .hash = hash, .is_stored = old != NULL, .key_len = (uint16_t)key.len};
    if (old != NULL)
        e->stored_digest = *old;
    memcpy(e->key, key.data, key.len);
    return e;
}

struct memtable_entry *memtable_put(struct memtable *m, struct wire_slice key, size_t len,
                                    const struct kv_digest *old, size_t old_len)
{
    const uint32_t hash = crc32c(0, key.data, key.len);
    struct memtable_entry *e;
    unsigned char *record = NULL;
    unsigned steps;
    unsigned i;
    bool is_new;

    rid_assert(key.len <= KEY_BYTES_MAX && len <= UINT32_MAX);
    if (!make_room(m))
        return NULL;
    if (m->n_undo == 0) {
        m->begun = arena_mark(&m->arena);
        m->begun_bytes = m->bytes;
        m->begun_hidden = m->hidden_bytes;
    }
    i = slot_of(m, hash, key, &steps);
    is_new = m->slots[i] == 0;
    e = is_new ? new_entry(m, hash, key, old) : entry_in(m, m->slots[i]);
    if (e != NULL && len > 0)
        record = alloc(m, len);
    if (e == NULL || (record == NULL && len > 0))
        return NULL;
    m->undo[m->n_undo++] = (struct memtable_undo){e, e->record, e->record_len, is_new};
    if (is_new) {
        m->entries[m->n++] = e;
        m->slots[i] = slot_for(hash, m->n);
        m->is_crowded = m->is_crowded || steps > KV_MEMTABLE_STEPS_MAX;
        m->hidden_bytes += old != NULL ? old_len : 0;
    }
    e->record = record;
    e->record_len = (uint32_t)len;
    return e;
}

void memtable_keep(struct memtable *m)
{
    m->n_undo = 0;
}

/* The last ones go first, so that those that came with the batch stand at the end. A slot that is
 * emptied is the last of its row: whatever came behind it has gone before. */
void memtable_undo(struct memtable *m)
{
    unsigned steps;
    unsigned i;

    if (m->n_undo == 0)
        return;
    while (m->n_undo > 0) {
        const struct memtable_undo *u = &m->undo[--m->n_undo];

        u->entry->record = u->record;
        u->entry->record_len = u->record_len;
        if (!u->is_new)
            continue;
        rid_assert(m->entries[m->n - 1] == u->entry);
        i = slot_of(m, u->entry->hash, memtable_key(u->entry), &steps);
        m->slots[i] = 0;
        m->n--;
    }
    arena_rewind(&m->arena, m->begun);
    m->bytes = m->begun_bytes;
    m->hidden_bytes = m->begun_hidden;
    if (m->n_sorted > m->n)
        m->n_sorted = 0; /* some of those are gone */
}

static int by_key(const void *a, const void *b)
{
    const struct memtable_entry *x = *(struct memtable_entry *const *)a;
    const struct memtable_entry *y = *(struct memtable_entry *const *)b;

    return memtable_compare(memtable_key(x), memtable_key(y));
}

/* Those that came since, sorted, between those that were sorted already, from the end on. */
static void merge(struct memtable *m, struct memtable_entry *const *fresh, unsigned n_fresh)
{
    unsigned n_old = m->n_sorted;

    for (unsigned to = n_old + n_fresh; n_fresh > 0; to--) {
        if (n_old > 0 && by_key(&m->sorted[n_old - 1], &fresh[n_fresh - 1]) > 0)
            m->sorted[to - 1] = m->sorted[--n_old];
        else
            m->sorted[to - 1] = fresh[--n_fresh];
    }
}

bool memtable_sort(struct memtable *m)
{
    const unsigned n_fresh = m->n - m->n_sorted;
    cleanup_free struct memtable_entry **fresh = NULL;

    if (n_fresh == 0)
        return true;
    if (m->sorted_room < m->n) {
        struct memtable_entry **sorted = realloc(m->sorted, m->room * sizeof(*sorted));

        if (sorted == NULL)
            return false;
        m->sorted = sorted;
        m->sorted_room = m->room;
    }
    fresh = malloc(n_fresh * sizeof(*fresh));
    if (fresh == NULL)
        return false;
    memcpy(fresh, m->entries + m->n_sorted, n_fresh * sizeof(*fresh));
    qsort(fresh, n_fresh, sizeof(*fresh), by_key);
    merge(m, fresh, n_fresh);
    m->n_sorted = m->n;
    return true;
}

unsigned memtable_before(const struct memtable *m, struct wire_slice key)
{
    unsigned from = 0;
    unsigned to = m->n_sorted;

    while (from < to) {
        const unsigned middle = from + (to - from) / 2;

        if (memtable_compare(memtable_key(m->sorted[middle]), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}
