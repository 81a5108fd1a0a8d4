/* What was applied goes into the file, in one transaction of LMDB with the index up to which it was
 * applied (STATE-2), when there is enough of it (STATE-17).
 *
 * A transaction writes every page that it changes, of 4 KiB for a record of a hundred bytes, so
 * that a batch of entries for each transaction costs most of what a write costs. The more keys one
 * takes the fewer pages are written twice: of a state with few pages as many keys as the memtable
 * may have, of a larger one, where each key stands on a page of its own, only so many that the turn
 * is not held up. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"
#include "kv/scrub_int.h"

#include "base/banned.h"

static MDB_val val_of(const void *data, size_t len)
{
    return (MDB_val){len, (void *)(uintptr_t)data}; /* NOLINT(performance-no-int-to-ptr) */
}

int kv_used_bytes(struct kv *kv, MDB_txn *txn)
{
    uint64_t pages = 2; /* LMDB's own head */
    MDB_stat stat;

    for (MDB_dbi dbi = 0; dbi <= 1; dbi++) { /* the list of free pages, and the unnamed tree */
        int rc = mdb_stat(txn, dbi, &stat);

        if (rc != 0)
            return kv_lmdb_error(kv, rc, "count pages");
        pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    kv->used_bytes = pages * kv->page_bytes;
    kv->leaf_pages = stat.ms_leaf_pages;
    return 0;
}

/* What the file may grow by: new pages for those that change, and for what is long. */
static uint64_t needs_bytes(const struct kv *kv)
{
    const struct memtable *m = &kv->memtable;
    const uint64_t pages = kv->leaf_pages + m->n / KV_MEMTABLE_KEYS_PER_PAGE;

    return (m->n < pages ? m->n : pages) * kv->page_bytes + 2 * m->bytes;
}

/* What was applied must find its blocks in any case, also when the process is killed, the disk full
 * by then, and all of it applied again (SPACE-6): they were taken ahead, or nothing waits. */
static bool has_blocks(const struct kv *kv)
{
    return kv->ahead_to > kv->ahead_from &&
           KV_MEMTABLE_AHEAD_PART * needs_bytes(kv) < kv->ahead_to - kv->ahead_from;
}

bool kv_flush_is_due(const struct kv *kv)
{
    const struct memtable *m = &kv->memtable;
    const unsigned most = kv->leaf_pages > KV_MEMTABLE_PAGES ? KV_MEMTABLE_PAGES : KV_MEMTABLE_KEYS;

    if (kv->pending.last_applied.index - kv->stored.last_applied.index >= KV_UNSTORED_MAX)
        return true;
    return kv->wrote && (m->n >= most || m->bytes >= KV_MEMTABLE_BYTES ||
                         m->hidden_bytes >= KV_MEMTABLE_BYTES || m->is_crowded || !has_blocks(kv) ||
                         (kv->conf.memtable_keys != 0 && m->n >= kv->conf.memtable_keys));
}

/* What the file held under the key, and what it holds now. */
static void tell_scrub(struct kv *kv, const struct memtable_entry *e)
{
    const struct wire_slice key = memtable_key(e);

    if (!scrub_is_behind(kv->scrub, key))
        return;
    if (e->is_stored)
        scrub_dropped(kv->scrub, key, e->stored_digest);
    if (e->record != NULL)
        scrub_added(kv->scrub, key, record_digest(key, e->record, e->record_len));
}

static int put_entry(struct kv *kv, MDB_txn *txn, const struct memtable_entry *e)
{
    MDB_val k = val_of(e->key, e->key_len);
    MDB_val v = val_of(e->record, e->record_len);
    int code = 0;

    if (e->record != NULL)
        code = mdb_put(txn, kv->dbi, &k, &v, 0);
    else if (e->is_stored)
        code = mdb_del(txn, kv->dbi, &k, NULL);
    if (code != 0)
        return kv_lmdb_error(kv, code, e->record != NULL ? "write a key" : "delete a key");
    tell_scrub(kv, e);
    return 0;
}

/* Of a tree that does not stay in the processor's caches, in the order of the keys: neighbours
 * stand on one page. */
static int put_sorted(struct kv *kv, MDB_txn *txn)
{
    struct memtable *m = &kv->memtable;
    int rc = 0;

    if (!memtable_sort(m))
        return err_origin(err_say(-ENOMEM, "cannot store what was applied: out of memory"));
    for (unsigned i = 0; rc == 0 && i < m->n; i++)
        rc = put_entry(kv, txn, m->sorted[i]);
    return err_trace(rc);
}

static int put_entries(struct kv *kv, MDB_txn *txn)
{
    const struct memtable *m = &kv->memtable;
    int rc = 0;

    if (kv->leaf_pages > KV_MEMTABLE_PAGES)
        return put_sorted(kv, txn);
    for (unsigned i = 0; rc == 0 && i < m->n; i++)
        rc = put_entry(kv, txn, m->entries[i]);
    return err_trace(rc);
}

/* What was applied last, in the transaction that holds what it changed (STATE-2). */
static int put_meta(struct kv *kv, MDB_txn *txn)
{
    unsigned char record[META_BYTES];
    MDB_val k = val_of(record_meta_key.data, record_meta_key.len);
    MDB_val v = {record_meta_write(&kv->pending, kv->group, record), record};
    int code = mdb_put(txn, kv->dbi, &k, &v, 0);

    return code != 0 ? kv_lmdb_error(kv, code, "record the applied index") : 0;
}

/* Pages used and freed within one transaction are counted by LMDB but not written, so the file may
 * end before the last page it speaks of. kv_open() would take it for cut off: give it its length. A
 * failure costs a rebuild, no data. */
static void extend_file(struct kv *kv)
{
    MDB_envinfo info;
    struct stat st;
    int fd = -1;

    if (mdb_env_info(kv->env, &info) != 0 || info.me_last_pgno < kv->file_pages)
        return;
    if (mdb_env_get_fd(kv->env, &fd) != 0 || fstat(fd, &st) != 0)
        return;
    kv->file_pages = (uint64_t)st.st_size / kv->page_bytes;
    if (info.me_last_pgno >= kv->file_pages &&
        ftruncate(fd, (off_t)((info.me_last_pgno + 1) * kv->page_bytes)) == 0)
        kv->file_pages = info.me_last_pgno + 1;
}

static int write_all(struct kv *kv)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(kv->env, NULL, 0, &txn);
    int rc;

    if (code != 0)
        return err_trace(kv_lmdb_fatal(kv, code, "begin a transaction"));
    rc = put_entries(kv, txn);
    if (rc == 0)
        rc = put_meta(kv, txn);
    if (rc == 0)
        rc = kv_used_bytes(kv, txn);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return err_trace(rc);
    }
    code = mdb_txn_commit(txn); /* freed, whatever became of it */
    return code != 0 ? err_trace(kv_lmdb_error(kv, code, "commit")) : 0;
}

/* Of two failures the one that is final. */
static int mended(struct kv *kv, int rc)
{
    int mending = kv_mend(kv);

    return mending != 0 ? err_trace(mending) : err_trace(rc);
}

int kv_flush_pending(struct kv *kv)
{
    const uint64_t used_bytes = kv->used_bytes;
    const uint64_t leaf_pages = kv->leaf_pages;
    int rc;

    kv_look_end(kv); /* the map may move, and pages are used again */
    rc = kv_map_grow(kv);
    if (rc != 0)
        return err_trace(rc);
    rc = write_all(kv);
    if (rc != 0) {
        scrub_undo(kv->scrub);
        kv->used_bytes = used_bytes;
        kv->leaf_pages = leaf_pages;
        return mended(kv, rc);
    }
    scrub_commit(kv->scrub);
    kv->stored = kv->pending;
    kv->n_eio = 0;
    extend_file(kv);
    return 0;
}
