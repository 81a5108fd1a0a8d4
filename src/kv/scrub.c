/* The file of a running node, read through in slices (STATE-13).
 *
 * A slice lies between two commits of the only writer, which changes no page of the file before, so
 * the tree that the newest head speaks of stands still while it is read. It is read with pread(),
 * never through LMDB: what is in the file counts, not what somebody remembers of it. LMDB writes
 * with pwrite(), so one sees what the other wrote. Each slice descends from the root again and
 * checks what it comes by. */
#include "kv/scrub_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

struct scrub *scrub_new(void)
{
    return calloc(1, sizeof(struct scrub));
}

void scrub_forget_file(struct scrub *s)
{
    page_cursor_free(&s->cursor);
    taken_free(&s->taken);
    *s = (struct scrub){.passes = s->passes};
}

void scrub_free(struct scrub *s)
{
    if (s == NULL)
        return;
    scrub_forget_file(s);
    free(s);
}

void kv_scrub_restart(struct kv *kv)
{
    kv->scrub->runs = false;
}

static void begin_pass(struct scrub *s)
{
    s->runs = true;
    s->key_len = 0;
    s->n_read = 0;
    s->taken.txnid = 0; /* the list is read anew, too */
    s->committed = (struct walk_sum){0};
    s->pending = s->committed;
}

/* The file must hold what was stored last, whatever was applied since (STATE-17). */
static int check_meta(struct kv *kv, struct scrub *s, const struct page_head *head)
{
    struct kv_meta meta = {0};
    struct walk_sum none = {0};
    struct page_item item;
    int rc = page_cursor_first(&s->cursor, &s->file, &head->keys);

    if (rc == 0)
        rc = page_cursor_next(&s->cursor, &item);
    if (rc == 0 && item.key.data != NULL)
        rc = walk_item(kv, TRUST_DATA_NAME, &item, &none, &meta);
    if (rc != 0)
        return rc;
    if (!digest_equal(meta.digest, kv->stored.digest) || meta.n_keys != kv->stored.n_keys ||
        meta.last_applied.index != kv->stored.last_applied.index)
        return err_say(KV_E_DAMAGED, "'%s' does not hold what was stored last", TRUST_DATA_NAME);
    return 0;
}

static void move_cursor(struct scrub *s, struct wire_slice key)
{
    memcpy(s->key, key.data, key.len); /* of a length that page_cursor.c has checked */
    s->key_len = key.len;
    s->n_read++;
    s->n_asked = 0;
}

static int end_pass(struct kv *kv, struct scrub *s)
{
    s->runs = false;
    if (s->committed.n_keys != kv->stored.n_keys)
        return err_say(KV_E_DAMAGED, "'%s' has %llu keys where %llu were applied", TRUST_DATA_NAME,
                       (unsigned long long)s->committed.n_keys,
                       (unsigned long long)kv->stored.n_keys);
    if (!digest_equal(s->committed.digest, kv->stored.digest))
        return err_say(KV_E_DAMAGED,
                       "the keys and values of '%s' have another digest than what was applied",
                       TRUST_DATA_NAME);
    s->passes++;
    return 0;
}

static int read_slice(struct kv *kv, struct scrub *s, size_t bytes)
{
    struct kv_meta no_meta;
    struct page_head head;
    struct page_item item;
    int rc;

    rc = page_read_head(&s->file, &head);
    if (rc == 0)
        rc = taken_read(&s->taken, &s->file, &s->cursor, &head);
    if (rc == 0)
        rc = check_meta(kv, s, &head);
    if (rc == 0 && s->key_len > 0)
        rc = page_cursor_after(&s->cursor, &s->file, &head.keys,
                               (struct wire_slice){(const char *)s->key, s->key_len});
    while (rc == 0) {
        rc = page_cursor_next(&s->cursor, &item);
        if (rc == 0 && item.key.data == NULL)
            return end_pass(kv, s);
        if (rc == 0)
            rc = walk_item(kv, TRUST_DATA_NAME, &item, &s->committed, &no_meta);
        if (rc != 0)
            break;
        move_cursor(s, item.key);
        if (s->file.bytes_read >= bytes)
            break;
    }
    return rc;
}

static unsigned percent_of(const struct kv *kv, const struct scrub *s)
{
    const uint64_t n = kv->committed.n_keys;

    if (!s->runs)
        return 0;
    return s->n_read >= n ? 99 : (unsigned)(s->n_read * 100 / n);
}

int kv_scrub_step(struct kv *kv, size_t bytes, struct kv_scrub_progress *ret)
{
    struct scrub *s = kv->scrub;
    int rc;

    rid_assert(!kv->applying);
    rc = kv_page_file(kv, &s->file);
    if (rc != 0)
        return err_trace(rc);
    if (!s->runs)
        begin_pass(s);
    s->file.bytes_read = 0;
    s->file.taken = NULL;
    s->file.nowait = s->n_asked < KV_SCRUB_ASKS_MAX;
    rc = read_slice(kv, s, bytes);
    s->pending = s->committed;
    *ret = (struct kv_scrub_progress){.passes = s->passes,
                                      .percent = percent_of(kv, s),
                                      .bytes = s->file.bytes_read,
                                      .waits = rc == -EAGAIN};
    if (rc == -EAGAIN) {
        s->n_asked++;
        return 0;
    }
    if (rc <= 0)
        return err_trace(rc);
    s->runs = false;
    (void)kv_distrust(kv);
    return KV_E_DAMAGED; /* a record of another group or a later version was not there before */
}
