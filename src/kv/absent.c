#include "kv/absent_int.h"

#include "base/err.h"
#include "kv/walk_int.h"

#include "base/banned.h"

void absent_forget_file(struct absent *a)
{
    page_cursor_free(&a->cursor);
    taken_free(&a->taken);
    *a = (struct absent){0};
}

/* Both records beside the place must be good: their checksums are of their keys, too. */
static int check_near(void *ctx, const struct page_item *item)
{
    struct walk_sum no_sum = {0};
    struct kv_meta no_meta;

    return walk_item(ctx, item, &no_sum, &no_meta) == 0 ? 0 : KV_E_DAMAGED;
}

/* A writer on another thread may be writing a head just now. The pages of the snapshot that is
 * looked at are safe: its reader holds them. */
static int read_head(struct absent *a, struct page_head *ret)
{
    int rc = page_read_head(&a->file, ret);

    for (unsigned i = 0; rc == KV_E_DAMAGED && i < 3; i++)
        rc = page_read_head(&a->file, ret);
    return rc;
}

/* txnid 0: whichever is the newest. */
static int check(struct kv *kv, struct absent *a, struct wire_slice key, uint64_t txnid)
{
    struct page_head head;
    bool is_there = false;
    int rc = kv_page_file(kv, &a->file);

    a->txnid = 0; /* of the bits that come */
    if (rc == 0)
        rc = read_head(a, &head);
    if (rc == 0 && txnid != 0 && head.txnid != txnid)
        return 0;
    if (rc == 0)
        rc = taken_list(&a->taken, &a->file, &a->cursor, &head);
    if (rc == 0)
        a->txnid = head.txnid;
    if (rc == 0)
        rc = page_cursor_after(&a->cursor, &a->file, &head.keys, key);
    if (rc == 0)
        rc = page_cursor_look(&a->cursor, key, &is_there, check_near, kv);
    if (rc == 0 && is_there && txnid != 0)
        rc = err_say(KV_E_DAMAGED, "a key stands in '%s' that was not found", TRUST_DATA_NAME);
    if (rc == KV_E_DAMAGED)
        (void)kv_distrust(kv);
    return rc < 0 ? err_trace(rc) : rc;
}

int absent_check_read(struct kv *kv, struct wire_slice key, uint64_t txnid)
{
    return check(kv, &kv->read_absent, key, txnid);
}

int absent_check_write(struct kv *kv, struct wire_slice key)
{
    return check(kv, &kv->write_absent, key, 0);
}

static int know_free_pages(struct kv *kv, struct absent *a, uint64_t txnid)
{
    struct page_head head;
    int rc;

    if (a->txnid == txnid)
        return 0;
    a->txnid = 0;
    rc = kv_page_file(kv, &a->file);
    if (rc == 0)
        rc = read_head(a, &head);
    if (rc == 0 && head.txnid != txnid) {
        a->file.taken = NULL;
        return 0;
    }
    if (rc == 0)
        rc = taken_list(&a->taken, &a->file, &a->cursor, &head);
    if (rc == 0)
        a->txnid = txnid;
    return rc;
}

/* LMDB's pages are aligned, and the record begins on the page of its leaf, or on the first of its
 * own; both begin with their number. */
int absent_check_found(struct kv *kv, const void *record, uint64_t txnid)
{
    const unsigned char *page = (const unsigned char *)record - (uintptr_t)record % kv->page_bytes;
    struct absent *a = &kv->read_absent;
    uint64_t pgno;
    int rc = know_free_pages(kv, a, txnid);

    if (rc == 0 && a->file.taken != NULL) {
        pgno = page_word(page);
        if (pgno < 2 || pgno >= a->file.n_pages)
            rc = page_damaged(&a->file, pgno, "there is no such page");
        else if ((a->file.taken[pgno / 64] >> (pgno % 64) & 1) != 0)
            rc = page_damaged(&a->file, pgno, "it is in use and listed as free");
    }
    if (rc == KV_E_DAMAGED)
        (void)kv_distrust(kv);
    return rc < 0 ? err_trace(rc) : rc;
}
