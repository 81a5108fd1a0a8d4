/* Keys in their order, within the read transaction.
 *
 * To say which key is the next one is to say that none lies between. So a range is read off the
 * pages by the cursor that checks each of them, and not through LMDB: keys ascend on every page and
 * lie within the bounds that led to it, so that neighbouring leaves leave no gap; no page is listed
 * as free. What is left are keys with a wrong bit in themselves, which their own checksum tells:
 * the record in front of the first place, all that are given, and the first one behind the range
 * are read whole (SCAN-2).
 *
 * Where another thread has committed as the transaction began, the pages of the snapshot are safe,
 * but where its root was is not known any more: then LMDB reads, as kv_get() does. */
#include "base/assert.h"
#include "base/err.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"

#include "base/banned.h"

void range_close(struct kv *kv)
{
    struct range *r = &kv->range;

    if (r->lmdb != NULL)
        mdb_cursor_close(r->lmdb);
    r->lmdb = NULL;
    r->of = NULL;
}

void range_forget_file(struct kv *kv)
{
    range_close(kv);
    page_cursor_free(&kv->range.cursor);
}

static int compare(struct wire_slice a, struct wire_slice b)
{
    const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool is_key(struct wire_slice key)
{
    return key.len > 0 && key.len <= KEY_BYTES_MAX && key.data[0] != '\0';
}

/* 0, KV_E_DAMAGED, -errno: as who looks for one key. */
static int fail(struct kv *kv, int rc)
{
    range_close(kv);
    if (rc == KV_E_DAMAGED)
        (void)kv_distrust(kv);
    return rc < 0 ? err_trace(rc) : rc;
}

static int seek_lmdb(struct kv *kv)
{
    struct range *r = &kv->range;
    int code = mdb_cursor_open(kv->read_txn, kv->dbi, &r->lmdb);

    r->next = MDB_SET_RANGE;
    return code != 0 ? kv_lmdb_fatal(kv, code, "begin to read a range") : 0;
}

int kv_seek(struct kv *kv, const struct command_range *range)
{
    struct range *r = &kv->range;
    struct absent *a = &kv->read_absent;
    bool is_known = false;
    int rc;

    rid_assert(kv->reading);
    rid_assert(is_key(range->from));
    rid_assert(is_key(range->to));
    range_close(kv);
    r->of = range;
    rc = absent_know_read(kv, mdb_txn_id(kv->read_txn), &is_known);
    if (rc == 0 && is_known)
        rc = page_cursor_seek(&r->cursor, &a->file, &a->head.keys, range->from, range->behind,
                              absent_check_near, kv);
    else if (rc == 0)
        rc = seek_lmdb(kv);
    return rc != 0 ? fail(kv, rc) : 0;
}

/* As page_cursor_next(). */
static int next_lmdb(struct kv *kv, struct page_item *ret)
{
    struct range *r = &kv->range;
    MDB_val k = {r->of->from.len, (void *)(uintptr_t)r->of->from.data}; /* NOLINT */
    MDB_val v;
    int code = mdb_cursor_get(r->lmdb, &k, &v, r->next);

    if (code == 0 && r->next == MDB_SET_RANGE && r->of->behind &&
        compare((struct wire_slice){k.mv_data, k.mv_size}, r->of->from) == 0)
        code = mdb_cursor_get(r->lmdb, &k, &v, MDB_NEXT);
    r->next = MDB_NEXT;
    *ret = (struct page_item){.key = {NULL, 0}};
    if (code == MDB_NOTFOUND)
        return 0;
    if (code != 0)
        return kv_lmdb_fatal(kv, code, "read a range");
    *ret = (struct page_item){.key = {k.mv_data, k.mv_size}, .data = v.mv_data, .len = v.mv_size};
    return 0;
}

int kv_next(struct kv *kv, struct command_item *ret_item)
{
    struct range *r = &kv->range;
    struct page_item item;
    const char *defect;
    int rc;

    rid_assert(kv->reading);
    rid_assert(r->of != NULL);
    rc = r->lmdb != NULL ? next_lmdb(kv, &item) : page_cursor_next(&r->cursor, &item);
    if (rc != 0)
        return fail(kv, rc);
    *ret_item = (struct command_item){.key = {NULL, 0}};
    if (item.key.data == NULL) {
        range_close(kv);
        return 0;
    }
    defect = record_defect(item.key, item.data, item.len, RECORD_FORMAT);
    if (defect != NULL)
        return fail(kv, kv_record_damaged(kv, item.key, defect));
    if (compare(item.key, r->of->to) >= 0) { /* `to` is no part of it (SCAN-4) */
        range_close(kv);
        return 0;
    }
    ret_item->key = item.key;
    record_value(item.data, item.len, &ret_item->value);
    return 0;
}
