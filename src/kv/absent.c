#include "kv/absent_int.h"

#include "base/err.h"
#include "kv/walk_int.h"

#include "base/banned.h"

void absent_forget_file(struct absent *a)
{
    page_cursor_free(&a->cursor);
    page_cursor_free(&a->list_cursor);
    taken_free(&a->taken);
    sound_free(&a->sound);
    page_unmap(&a->file);
    *a = (struct absent){0};
}

/* The records beside a place must be good: their checksums are of their keys, too. */
int absent_check_near(void *ctx, const struct page_item *item)
{
    struct walk_sum no_sum = {0};
    struct kv_meta no_meta;

    return walk_item(ctx, TRUST_DATA_NAME, item, &no_sum, &no_meta) == 0 ? 0 : KV_E_DAMAGED;
}

/* Not from the map: a read waits for a write that a copy from there would not see. */
static int read_head(struct absent *a)
{
    const unsigned char *map = a->file.map;
    int rc;

    a->file.map = NULL;
    rc = page_read_head(&a->file, &a->head);
    a->file.map = map;
    return rc;
}

/* Head and list of the snapshot, once for each. Nobody else writes: it is the newest. */
static int know_snapshot(struct kv *kv, struct absent *a)
{
    const uint64_t txnid = mdb_txn_id(kv->read_txn);
    int rc;

    if (a->is_known && a->head.txnid == txnid)
        return 0;
    a->is_known = false;
    a->file.taken = NULL;
    rc = kv_page_file(kv, &a->file);
    if (rc == 0)
        rc = read_head(a);
    if (rc == 0 && a->head.txnid != txnid)
        rc = err_say(KV_E_DAMAGED, "the newest head of '%s' is not the one that was written last",
                     TRUST_DATA_NAME);
    if (rc != 0)
        return rc;
    page_map(&a->file);
    sound_make_room(&a->sound, a->file.n_pages);
    a->sound.txnid = txnid;
    a->file.sound = a->file.map != NULL ? &a->sound : NULL;
    rc = a->file.map != NULL ? taken_find(&a->taken, &a->file, &a->list_cursor, &a->head)
                             : taken_read(&a->taken, &a->file, &a->list_cursor, &a->head);
    a->is_known = rc == 0;
    return rc;
}

/* The way to the place, from the root down. */
static int look(struct kv *kv, struct absent *a, struct wire_slice key, bool *ret_there)
{
    int rc = page_cursor_after(&a->cursor, &a->file, &a->head.keys, key);

    if (rc == 0)
        rc = page_cursor_look(&a->cursor, key, ret_there, absent_check_near, kv);
    return rc;
}

static int distrust(struct kv *kv, int rc)
{
    if (rc == KV_E_DAMAGED)
        (void)kv_distrust(kv);
    return rc < 0 ? err_trace(rc) : rc;
}

int absent_check(struct kv *kv, struct wire_slice key)
{
    struct absent *a = &kv->absent;
    bool is_there = false;
    int rc = know_snapshot(kv, a);

    if (rc == 0)
        rc = look(kv, a, key, &is_there);
    if (rc == 0 && is_there)
        rc = err_say(KV_E_DAMAGED, "a key stands in '%s' that was not found", TRUST_DATA_NAME);
    return distrust(kv, rc);
}

int absent_know(struct kv *kv)
{
    return distrust(kv, know_snapshot(kv, &kv->absent));
}

/* LMDB's pages are aligned, and the record begins on the page of its leaf, or on the first of its
 * own; both begin with their number. */
int absent_check_found(struct kv *kv, const void *record)
{
    const unsigned char *page = (const unsigned char *)record - (uintptr_t)record % kv->page_bytes;
    struct absent *a = &kv->absent;
    uint64_t pgno;
    int rc = know_snapshot(kv, a);

    if (rc == 0 && a->file.taken != NULL) {
        pgno = page_word(page);
        if (pgno < 2 || pgno >= a->file.n_pages)
            rc = page_damaged(&a->file, pgno, "there is no such page");
        else if (taken_holds(a->file.taken, pgno))
            rc = page_damaged(&a->file, pgno, "it is in use and listed as free");
    }
    return distrust(kv, rc);
}
