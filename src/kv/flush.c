/* What was applied goes into the file, in one transaction of LMDB with the index up to which it was
 * applied (STATE-2), when there is enough of it (STATE-17).
 *
 * A transaction writes every page that it changes, of 4 KiB for a record of a hundred bytes, so
 * that a batch of entries for each transaction costs most of what a write costs. The more keys one
 * takes the fewer pages are written twice: of a state with few pages many keys, of a larger one,
 * where each key stands on a page of its own, only so many as pay.
 *
 * To put thousands of keys takes milliseconds, in which nobody would be served. So a memtable that
 * is full becomes immutable, another one takes what comes, and the transaction stays open while
 * what is immutable is put into it, a part with each batch that is applied: the more the fuller the
 * other one is, so that it ends before that is full, too. Until it is committed the file has
 * nothing of it. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
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

const struct memtable_entry *kv_memtable_find(const struct kv *kv, struct wire_slice key)
{
    const struct memtable_entry *e = memtable_find(&kv->memtable, key);

    return e != NULL ? e : memtable_find(&kv->immutable.table, key);
}

/* ---- when ---- */

/* What the file may grow by: new pages for those that change, and for what is long. */
static uint64_t needs_bytes(const struct kv *kv, const struct memtable *m)
{
    const uint64_t pages = kv->leaf_pages + m->n / KV_MEMTABLE_KEYS_PER_PAGE;

    return (m->n < pages ? m->n : pages) * kv->page_bytes + 2 * m->bytes;
}

/* What was applied must find its blocks in any case, also when the process is killed, the disk full
 * by then, and all of it applied again (SPACE-6): they were taken ahead, or nothing waits. */
static bool has_blocks(const struct kv *kv, uint64_t needs)
{
    return kv->ahead_to > kv->ahead_from &&
           KV_MEMTABLE_AHEAD_PART * needs < kv->ahead_to - kv->ahead_from;
}

static unsigned keys_max(const struct kv *kv)
{
    if (kv->conf.memtable_keys != 0)
        return kv->conf.memtable_keys;
    return kv->leaf_pages > KV_MEMTABLE_PAGES ? KV_MEMTABLE_KEYS_SPREAD : KV_MEMTABLE_KEYS;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Of the blocks that two of its size may need. */
static double blocks_part(const struct kv *kv)
{
    const uint64_t needs = needs_bytes(kv, &kv->memtable);

    if (needs == 0)
        return 0;
    if (!has_blocks(kv, 2 * needs))
        return 1;
    return (double)(2 * KV_MEMTABLE_AHEAD_PART * needs) / (double)(kv->ahead_to - kv->ahead_from);
}

/* 1 and more: it is. Of keys, of bytes, of what it hides, of entries and of blocks whatever is
 * most. */
static double full_part(const struct kv *kv)
{
    const struct memtable *m = &kv->memtable;
    const raft_index before = kv->immutable.is_there ? kv->immutable.meta.last_applied.index
                                                     : kv->stored.last_applied.index;
    const raft_index n = kv->pending.last_applied.index - before;
    const size_t bytes = m->bytes > m->hidden_bytes ? m->bytes : m->hidden_bytes;

    return larger(larger((double)m->n / keys_max(kv), (double)bytes / KV_MEMTABLE_BYTES),
                  larger((double)n / KV_UNSTORED_MAX, blocks_part(kv)));
}

bool kv_memtable_is_full(const struct kv *kv)
{
    return full_part(kv) >= 1 || kv->memtable.is_crowded;
}

bool kv_flush_is_due(const struct kv *kv)
{
    const uint64_t needs = needs_bytes(kv, &kv->memtable) + needs_bytes(kv, &kv->immutable.table);

    return kv->wrote && (kv->conf.memtable_keys == 1 || !has_blocks(kv, needs));
}

/* ---- what ---- */

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
    return 0;
}

/* What was applied last, in the transaction that holds what it changed (STATE-2). */
static int put_meta(struct kv *kv, MDB_txn *txn, const struct kv_meta *meta)
{
    unsigned char record[META_BYTES];
    MDB_val k = val_of(record_meta_key.data, record_meta_key.len);
    MDB_val v = {record_meta_write(meta, kv->group, record), record};
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

/* A pass may have gone on since they were put: only now is the file another one. */
static void stored(struct kv *kv, const struct memtable *m, const struct kv_meta *meta)
{
    for (unsigned i = 0; i < m->n; i++)
        tell_scrub(kv, m->entries[i]);
    scrub_commit(kv->scrub);
    kv->stored = *meta;
    kv->n_eio = 0;
    extend_file(kv);
}

/* ---- transactions ---- */

/* Of a tree that does not stay in the processor's caches in the order of the keys: neighbours stand
 * on one page. The tree is the same until the transaction ends, and so is this. */
static int in_order(const struct kv *kv, struct memtable *m, struct memtable_entry ***ret)
{
    const bool is_sorted = kv->leaf_pages > KV_MEMTABLE_PAGES;

    if (is_sorted && !memtable_sort(m))
        return err_origin(err_say(-ENOMEM, "cannot store what was applied: out of memory"));
    *ret = is_sorted ? m->sorted : m->entries;
    return 0;
}

static int begin(struct kv *kv, MDB_txn **ret)
{
    int code;
    int rc;

    kv_look_end(kv); /* the map may move */
    rc = kv_map_grow(kv);
    if (rc != 0)
        return err_trace(rc);
    code = mdb_txn_begin(kv->env, NULL, 0, ret);
    return code != 0 ? err_trace(kv_lmdb_fatal(kv, code, "begin a transaction")) : 0;
}

/* The transaction is over, whatever becomes of it, and m is as it was. */
static int commit(struct kv *kv, MDB_txn *txn, const struct memtable *m, const struct kv_meta *meta)
{
    const uint64_t used_bytes = kv->used_bytes;
    const uint64_t leaf_pages = kv->leaf_pages;
    int rc = put_meta(kv, txn, meta);
    int code;

    if (rc == 0)
        rc = kv_used_bytes(kv, txn);
    if (rc != 0) {
        mdb_txn_abort(txn);
    } else {
        kv_look_end(kv);            /* pages are used again */
        code = mdb_txn_commit(txn); /* freed in any case */
        rc = code != 0 ? kv_lmdb_error(kv, code, "commit") : 0;
    }
    if (rc != 0) {
        kv->used_bytes = used_bytes;
        kv->leaf_pages = leaf_pages;
        return err_trace(rc);
    }
    stored(kv, m, meta);
    return 0;
}

/* Of two failures the one that is final. */
static int mended(struct kv *kv, int rc)
{
    int mending;

    kv_look_end(kv);
    mending = kv_mend(kv);
    return mending != 0 ? err_trace(mending) : err_trace(rc);
}

/* What was written of late is asked for again before long, and written again: until the next time
 * it is found without the file. */
static void set_aside(struct kv *kv, struct memtable *m)
{
    const struct memtable was = *m;

    memtable_clear(&kv->flushed);
    *m = kv->flushed;
    kv->flushed = was;
    if (kv->conf.memtable_keys == 1)
        memtable_clear(&kv->flushed);
}

/* ---- in steps: what is immutable ---- */

void kv_memtable_freeze(struct kv *kv)
{
    struct immutable *im = &kv->immutable;
    const struct memtable was = im->table;

    rid_assert(!im->is_there);
    rid_assert(was.n == 0);
    im->table = kv->memtable;
    kv->memtable = was;
    im->meta = kv->committed;
    im->is_there = true;
    im->has_failed = false;
}

void kv_flush_abort(struct kv *kv)
{
    struct immutable *im = &kv->immutable;

    if (im->txn != NULL)
        mdb_txn_abort(take_ptr(im->txn));
    im->n_put = 0;
}

/* It ends before the other memtable is full, and takes its share of the time of a turn. */
static bool is_enough(const struct kv *kv, unsigned n_least, unsigned n_here, uint64_t begin_us)
{
    if (kv->immutable.n_put < n_least)
        return false;
    if (kv->conf.step_keys != 0)
        return n_here >= kv->conf.step_keys;
    return n_here > 0 && clock_mono_us() - begin_us >= KV_FLUSH_STEP_US;
}

static int put_some(struct kv *kv, bool is_whole)
{
    struct immutable *im = &kv->immutable;
    const double part = is_whole ? 1 : full_part(kv) * KV_FLUSH_PACE;
    const unsigned n_least = part < 1 ? (unsigned)(part * im->table.n) : im->table.n;
    const uint64_t begin_us = clock_mono_us();
    struct memtable_entry **order = NULL;
    int rc = in_order(kv, &im->table, &order);

    for (unsigned n = 0; rc == 0 && im->n_put < im->table.n; n++) {
        if (is_enough(kv, n_least, n, begin_us))
            break;
        rc = put_entry(kv, im->txn, order[im->n_put++]);
    }
    return err_trace(rc);
}

/* To commit is a step of its own. */
static int step(struct kv *kv, bool is_whole)
{
    struct immutable *im = &kv->immutable;
    const bool is_put = im->txn != NULL && im->n_put == im->table.n;
    int rc = im->txn == NULL ? begin(kv, &im->txn) : 0;

    if (rc == 0 && !is_put)
        rc = put_some(kv, is_whole);
    if (rc == 0 && (is_put || (is_whole && im->n_put == im->table.n))) {
        rc = commit(kv, take_ptr(im->txn), &im->table, &im->meta);
        if (rc == 0) {
            set_aside(kv, &im->table);
            im->is_there = false;
        }
        im->n_put = 0;
    }
    if (rc == 0) { /* it is at the commit that a disk is full */
        im->has_failed = im->has_failed && im->is_there;
        return 0;
    }
    im->has_failed = true;
    kv_flush_abort(kv);
    return mended(kv, rc);
}

int kv_flush_some(struct kv *kv, bool is_whole)
{
    int rc;

    if (!kv->immutable.is_there || (kv->immutable.has_failed && !is_whole))
        return 0;
    rc = step(kv, is_whole);
    return rc == KV_E_FULL && !is_whole ? 0 : err_trace(rc);
}

/* ---- at once ---- */

static int put_all(struct kv *kv, MDB_txn *txn, struct memtable *m)
{
    struct memtable_entry **order = NULL;
    int rc = in_order(kv, m, &order);

    for (unsigned i = 0; rc == 0 && i < m->n; i++)
        rc = put_entry(kv, txn, order[i]);
    return err_trace(rc);
}

static int store_memtable(struct kv *kv)
{
    MDB_txn *txn = NULL;
    int rc = begin(kv, &txn);

    if (rc != 0)
        return mended(kv, rc);
    rc = put_all(kv, txn, &kv->memtable);
    if (rc != 0)
        mdb_txn_abort(txn);
    else
        rc = commit(kv, txn, &kv->memtable, &kv->pending);
    if (rc != 0)
        return mended(kv, rc);
    memtable_keep(&kv->memtable);
    set_aside(kv, &kv->memtable);
    return 0;
}

int kv_flush_pending(struct kv *kv)
{
    int rc = kv_flush_some(kv, true);

    if (rc == 0 &&
        (kv->memtable.n > 0 || kv->stored.last_applied.index != kv->pending.last_applied.index))
        rc = store_memtable(kv);
    return err_trace(rc);
}

int kv_flush_step(struct kv *kv, raft_index up_to, bool *ret_more)
{
    int rc = 0;

    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    *ret_more = false;
    if (up_to > kv->committed.last_applied.index)
        up_to = kv->committed.last_applied.index; /* it may be another file by now */
    if (kv->stored.last_applied.index >= up_to)
        return 0;
    if (kv->immutable.is_there)
        rc = step(kv, false);
    else
        kv_memtable_freeze(kv);
    kv_publish(kv); /* the file may be a larger one */
    *ret_more = rc == 0 && kv->stored.last_applied.index < up_to;
    return err_trace(rc);
}
