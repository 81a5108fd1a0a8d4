/* Keys in their order, within the read transaction.
 *
 * To say which key is the next one is to say that none lies between. So a range is read off the
 * pages by the cursor that checks each of them, and not through LMDB: keys ascend on every page and
 * lie within the bounds that led to it, so that neighbouring leaves leave no gap; no page is listed
 * as free. What is left are keys with a wrong bit in themselves, which their own checksum tells:
 * the record in front of the first place, all that are given, and the first one behind the range
 * are read whole (SCAN-2).
 *
 * What is not in the file yet stands in the memtables; all are read side by side, and where more
 * than one has a key the newest is right. */
#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"

#include "base/banned.h"

void range_close(struct kv *kv)
{
    struct range *r = &kv->range;

    r->of = NULL;
}

void range_forget_file(struct kv *kv)
{
    range_close(kv);
    page_cursor_free(&kv->range.cursor);
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

/* Those that are not in the file yet, in their order. */
static int seek_fresh(struct kv *kv, struct memtable *m, struct range_fresh *f)
{
    const struct command_range *of = kv->range.of;

    if (!memtable_sort(m))
        return err_origin(err_say(-ENOMEM, "cannot read a range: out of memory"));
    *f = (struct range_fresh){m, memtable_before(m, of->from), memtable_before(m, of->to)};
    if (of->behind && f->at < f->end &&
        memtable_compare(memtable_key(m->sorted[f->at]), of->from) == 0)
        f->at++;
    return 0;
}

int kv_seek(struct kv *kv, const struct command_range *range)
{
    struct range *r = &kv->range;
    int rc;

    rid_assert(kv->reading);
    rid_assert(is_key(range->from));
    rid_assert(is_key(range->to));
    range_close(kv);
    r->of = range;
    r->has_item = false;
    r->is_read = false;
    rc = seek_fresh(kv, &kv->memtable, &r->fresh[0]);
    if (rc == 0)
        rc = seek_fresh(kv, &kv->immutable.table, &r->fresh[1]);
    if (rc == 0)
        rc = absent_know(kv);
    if (rc == 0)
        rc = page_cursor_seek(&r->cursor, &kv->absent.file, &kv->absent.head.keys, range->from,
                              range->behind, absent_check_near, kv);
    return rc != 0 ? fail(kv, rc) : 0;
}

/* The next one in the file, into r->item; without a key when there is none before the end. */
static int next_stored(struct kv *kv)
{
    struct range *r = &kv->range;
    const char *defect;
    int rc;

    if (r->has_item || r->is_read)
        return 0;
    rc = page_cursor_next(&r->cursor, &r->item);
    if (rc != 0)
        return rc;
    r->is_read = r->item.key.data == NULL;
    if (r->is_read)
        return 0;
    if (kv_memtable_find(kv, r->item.key) != NULL)
        defect = NULL; /* it is none any more, however long it is */
    else
        defect = record_defect(r->item.key, r->item.data, r->item.len, RECORD_FORMAT);
    if (defect != NULL)
        return kv_record_damaged(kv, r->item.key, defect);
    r->is_read = memtable_compare(r->item.key, r->of->to) >= 0; /* no part of it (SCAN-4) */
    r->has_item = !r->is_read;
    return 0;
}

static const struct memtable_entry *at(const struct range_fresh *f)
{
    return f->at < f->end ? f->of->sorted[f->at] : NULL;
}

/* Of two with the same key the newest is it, and the other one is passed by. */
static const struct memtable_entry *least_fresh(struct range *r, struct range_fresh **ret)
{
    const struct memtable_entry *least = NULL;

    for (unsigned i = 0; i < sizeof(r->fresh) / sizeof(r->fresh[0]); i++) {
        const struct memtable_entry *e = at(&r->fresh[i]);
        int order = -1;

        if (e == NULL)
            continue;
        if (least != NULL)
            order = memtable_compare(memtable_key(e), memtable_key(least));
        if (order == 0)
            r->fresh[i].at++;
        if (order >= 0)
            continue;
        least = e;
        *ret = &r->fresh[i];
    }
    return least;
}

/* The next one of the memtables, if it comes before the one of the file or stands in its place. */
static const struct memtable_entry *next_fresh(struct range *r)
{
    struct range_fresh *of = &r->fresh[0];
    const struct memtable_entry *e = least_fresh(r, &of);
    int order;

    if (e == NULL)
        return NULL;
    order = r->has_item ? memtable_compare(memtable_key(e), r->item.key) : -1;
    if (order > 0)
        return NULL;
    if (order == 0)
        r->has_item = false;
    of->at++;
    return e;
}

int kv_next(struct kv *kv, struct command_item *ret_item)
{
    struct range *r = &kv->range;
    const struct memtable_entry *e;
    int rc;

    rid_assert(kv->reading);
    rid_assert(r->of != NULL);
    *ret_item = (struct command_item){.key = {NULL, 0}};
    do { /* those that were deleted are none */
        rc = next_stored(kv);
        if (rc != 0)
            return fail(kv, rc);
        e = next_fresh(r);
    } while (e != NULL && e->record == NULL);
    if (e != NULL) {
        ret_item->key = memtable_key(e);
        kv_memtable_value(e, &ret_item->value);
        return 0;
    }
    if (r->has_item) {
        r->has_item = false;
        ret_item->key = r->item.key;
        record_value(r->item.data, r->item.len, &ret_item->value);
        return 0;
    }
    range_close(kv);
    return 0;
}
