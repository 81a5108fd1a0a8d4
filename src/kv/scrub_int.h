/* What is known of a pass over the file (scrub.c), and what flush.c tells it of its changes.
 *
 * A pass keeps a cursor, the last key that was read, and the sum of all records up to it. A record
 * that changes in the file behind the cursor changes the sum as it changes the digest; one in front
 * of it will be read. So the two are equal at the end, whatever was stored meanwhile, and no
 * transaction is held open. What a transaction did is told when it has been committed. */
#ifndef RIDD_KV_SCRUB_INT_H
#define RIDD_KV_SCRUB_INT_H

#include <string.h>

#include "kv/record_int.h"
#include "kv/taken_int.h"
#include "kv/walk_int.h"

struct scrub {
    struct page_file file;
    struct page_cursor cursor;
    struct taken taken;
    bool runs;
    unsigned char key[KEY_BYTES_MAX]; /* the cursor; its length 0: before all keys */
    size_t key_len;
    struct walk_sum committed;
    struct walk_sum pending; /* equals committed outside a transaction */
    uint64_t n_read;         /* records of this pass */
    uint64_t passes;
    unsigned n_asked; /* for the page that is wanted next */
};

struct scrub *scrub_new(void); /* NULL: no memory */
void scrub_free(struct scrub *s);
/* The file is closed, and another may take its place. */
void scrub_forget_file(struct scrub *s);

static inline bool scrub_is_behind(const struct scrub *s, struct wire_slice key)
{
    const size_t len = key.len < s->key_len ? key.len : s->key_len;
    const int order = memcmp(key.data, s->key, len);

    return s->runs && (order < 0 || (order == 0 && key.len <= s->key_len));
}

static inline void scrub_added(struct scrub *s, struct wire_slice key, struct kv_digest d)
{
    if (!scrub_is_behind(s, key))
        return;
    digest_add(&s->pending.digest, d);
    s->pending.n_keys += record_is_counted(key);
}

static inline void scrub_dropped(struct scrub *s, struct wire_slice key, struct kv_digest d)
{
    if (!scrub_is_behind(s, key))
        return;
    digest_sub(&s->pending.digest, d);
    s->pending.n_keys -= record_is_counted(key);
}

static inline void scrub_commit(struct scrub *s)
{
    s->committed = s->pending;
}

#endif
