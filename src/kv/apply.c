/* Transactions and records.
 *
 * What an entry does depends on the log and the records alone: never on the time, the node, or an
 * error that only one node sees. Such an error ends the transaction (STATE-3).
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "kv/kv_int.h"
#include "kv/range_int.h"
#include "kv/record_int.h"
#include "kv/scrub_int.h"
#include "wire/value.h"

#include "base/banned.h"

/* LMDB's MDB_val is not const, though it only reads what a key points to; const goes by way of a
 * number. */
static MDB_val val_of(struct wire_slice s)
{
    return (MDB_val){s.len, (void *)(uintptr_t)s.data}; /* NOLINT(performance-no-int-to-ptr) */
}

int kv_record_damaged(struct kv *kv, struct wire_slice key, const char *what)
{
    char esc[LOG_ESC_BUF];

    (void)kv_distrust(kv);
    return err_say(KV_E_DAMAGED, "the record of %s in '%s' is damaged: %s",
                   log_esc(esc, sizeof(esc), key.data, key.len), kv->dir, what);
}

/* The record of key, its checksum compared each time that it is read (STATE-6). ret->mv_data is
 * NULL when there is none. */
static int record_get(struct kv *kv, MDB_txn *txn, struct wire_slice key, MDB_val *ret)
{
    const bool is_meta = key.data == record_meta_key.data;
    MDB_val k = val_of(key);
    const char *defect;
    int rc = mdb_get(txn, kv->dbi, &k, ret);

    if (rc == MDB_NOTFOUND) {
        *ret = (MDB_val){0, NULL};
        return 0;
    }
    if (rc != 0)
        return err_trace(kv_lmdb_fatal(kv, rc, "read a key"));
    defect = is_meta ? record_meta_defect(ret->mv_data, ret->mv_size)
                     : record_defect(key, ret->mv_data, ret->mv_size, RECORD_FORMAT);
    return defect != NULL ? kv_record_damaged(kv, key, defect) : 0;
}

int kv_value_get(struct kv *kv, MDB_txn *txn, struct wire_slice key, struct command_value *ret)
{
    MDB_val v;
    int rc = record_get(kv, txn, key, &v);

    if (rc != 0)
        return err_trace(rc);
    if (v.mv_data == NULL)
        *ret = (struct command_value){0};
    else
        record_value(v.mv_data, v.mv_size, ret);
    return 0;
}

int kv_meta_get(struct kv *kv, MDB_txn *txn, struct kv_meta *ret_meta)
{
    MDB_val v;
    int rc = record_get(kv, txn, record_meta_key, &v);

    if (rc != 0)
        return err_trace(rc);
    if (v.mv_data == NULL) {
        *ret_meta = (struct kv_meta){0};
        return 0;
    }
    if (!record_meta(v.mv_data, v.mv_size, ret_meta))
        return kv_record_damaged(kv, record_meta_key, "it makes no sense");
    if (txn == kv->read_txn)
        rc = absent_check_found(kv, v.mv_data, mdb_txn_id(txn));
    return err_trace(rc);
}

/* What was applied last, in the transaction that holds what it changed (STATE-2). */
static int meta_put(struct kv *kv)
{
    unsigned char record[META_BYTES];
    MDB_val k = val_of(record_meta_key);
    MDB_val v = {record_meta_write(&kv->pending, kv->group, record), record};
    int rc;

    rc = mdb_put(kv->write_txn, kv->dbi, &k, &v, 0);
    return rc != 0 ? kv_lmdb_error(kv, rc, "record the applied index") : 0;
}

int kv_used_bytes(struct kv *kv, MDB_txn *txn, uint64_t *ret_bytes)
{
    uint64_t pages = 2; /* LMDB's own head */
    MDB_stat stat;

    for (MDB_dbi dbi = 0; dbi <= 1; dbi++) { /* the list of free pages, and the unnamed tree */
        int rc = mdb_stat(txn, dbi, &stat);

        if (rc != 0)
            return kv_lmdb_error(kv, rc, "count pages");
        pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    *ret_bytes = pages * kv->page_bytes;
    return 0;
}

/* ---- apply ---- */

static uint64_t old_bytes(struct wire_slice key, const struct command_value *old)
{
    return old->exists ? kv_record_bytes(key.len, old->text.len) : 0;
}

/* The limit is that of the state, which the log has set, never one of a file: files differ between
 * nodes, and what is refused on one would be applied on another (SPACE-5). What makes the state no
 * larger is always taken, and what no client can name is not counted against clients. */
static bool is_too_much(const struct kv *kv, const struct command *c,
                        const struct command_value *old)
{
    const uint64_t before = old_bytes(c->key, old);
    const uint64_t after = kv_record_bytes(c->key.len, c->value.len);
    const uint64_t limit = kv->pending.limit_bytes;

    if (limit == 0 || after <= before || !record_is_counted(c->key))
        return false;
    return kv->pending.live_bytes - before + after > limit;
}

/* The record that `old` was read from ceases to be. */
static void digest_drop(struct kv *kv, struct wire_slice key, const struct command_value *old)
{
    struct kv_digest d;

    if (!old->exists)
        return;
    d = record_digest(key, old->text.data - RECORD_HEADER_BYTES,
                      RECORD_HEADER_BYTES + old->text.len);
    digest_sub(&kv->pending.digest, d);
    scrub_dropped(kv->scrub, key, d);
}

int kv_value_put(struct kv *kv, struct wire_slice key, const struct command_value *old,
                 raft_index index, struct wire_slice text)
{
    const raft_index create_index = old->exists ? old->create_index : index;
    const uint64_t version = old->exists ? old->version + 1 : 1;
    MDB_val k = val_of(key);
    MDB_val v = {RECORD_HEADER_BYTES + text.len, NULL};
    struct kv_digest d;
    unsigned char *p;
    int rc;

    digest_drop(kv, key, old);
    kv->pending.live_bytes -= old_bytes(key, old);
    kv->pending.live_bytes += kv_record_bytes(key.len, text.len);
    kv->wrote = true;
    /* From here on old->text is gone. */
    rc = mdb_put(kv->write_txn, kv->dbi, &k, &v, MDB_RESERVE);
    if (rc != 0)
        return kv_lmdb_error(kv, rc, "write a key");
    p = v.mv_data;
    memset(p, 0, 8);
    p[4] = RECORD_FORMAT;
    put_u64(p + 8, create_index);
    put_u64(p + 16, index);
    put_u64(p + 24, version);
    memcpy(p + RECORD_HEADER_BYTES, text.data, text.len);
    put_u32(p, record_crc(key, p, v.mv_size));
    d = record_digest(key, p, v.mv_size);
    digest_add(&kv->pending.digest, d);
    scrub_added(kv->scrub, key, d);
    if (!old->exists && record_is_counted(key))
        kv->pending.n_keys++;
    return 0;
}

int kv_value_delete(struct kv *kv, struct wire_slice key, const struct command_value *old)
{
    MDB_val k = val_of(key);
    int rc;

    if (!old->exists)
        return 0;
    digest_drop(kv, key, old);
    kv->pending.live_bytes -= old_bytes(key, old);
    kv->wrote = true;
    rc = mdb_del(kv->write_txn, kv->dbi, &k, NULL);
    if (rc != 0)
        return kv_lmdb_error(kv, rc, "delete a key");
    if (record_is_counted(key)) {
        rid_assert(kv->pending.n_keys > 0);
        kv->pending.n_keys--;
    }
    return 0;
}

/* What every node refuses alike, beyond what the decoder does: a key that would be our own record,
 * a missing value. */
static bool is_sound(const struct command *c)
{
    if (c->key.len == 0 || c->key.len > KEY_BYTES_MAX || c->key.data[0] == '\0')
        return false;
    if (c->op == COMMAND_DELETE)
        return true;
    return c->value.len > 0 && (c->op != COMMAND_CAS || c->from.len > 0);
}

static int put_within_limit(struct kv *kv, const struct command *c, const struct command_value *old,
                            struct command_result *result)
{
    if (!is_too_much(kv, c, old))
        return kv_value_put(kv, c->key, old, result->index, c->value);
    result->status = COMMAND_NO_SPACE;
    result->used_bytes = kv->pending.live_bytes;
    result->limit_bytes = kv->pending.limit_bytes;
    return 0;
}

/* Values are compared, not bytes (STATE-8). */
static int apply_cas(struct kv *kv, const struct command *c, const struct command_value *old,
                     struct command_result *result)
{
    if (!old->exists && (c->flags & COMMAND_FLAG_CREATE_IF_NOT_EXISTS) == 0) {
        result->status = COMMAND_KEY_NOT_FOUND;
        return 0;
    }
    if (old->exists && !wire_value_equal(c->from, old->text)) {
        result->status = COMMAND_PRECONDITION_FAILED;
        return 0;
    }
    return put_within_limit(kv, c, old, result);
}

static int apply_limit(struct kv *kv, const struct command *c, const struct command_value *old,
                       const struct command_result *result)
{
    uint64_t limit_bytes = 0;
    const bool is_limit = command_limit_parse(c->value, &limit_bytes);

    rid_assert(is_limit); /* the decoder has looked */
    kv->pending.limit_bytes = limit_bytes;
    return kv_value_put(kv, c->key, old, result->index, c->value);
}

/* Nodes that know this version do something for the entry. One that passed it over would have
 * another state from here on, and nobody would be told (STATE-10). */
static int refuse_newer(const struct raft_entry *e)
{
    return err_say(KV_E_COMMAND_NEWER,
                   "log entry %llu holds a command of version %u, this ridd knows version %u: a "
                   "later version of ridd wrote it; install that version, or a later one; the "
                   "entry was not applied",
                   (unsigned long long)e->id.index, *(const unsigned char *)e->data,
                   COMMAND_VERSION);
}

/* Only of these does the answer depend on it, and to look twice costs more than the rest. A write
 * is one of them where only a key that is there would let it in. */
static bool depends_on_absence(const struct kv *kv, const struct command *c,
                               const struct command_value *old)
{
    return c->op == COMMAND_CAS || c->op == COMMAND_DELETE || is_too_much(kv, c, old);
}

int kv_apply_write(struct kv *kv, const struct command *c, struct command_result *result)
{
    struct command_value old = {0};
    int rc;

    rc = kv_value_get(kv, kv->write_txn, c->key, &old);
    if (rc == 0 && !old.exists && depends_on_absence(kv, c, &old))
        rc = absent_check_write(kv, c->key, mdb_txn_id(kv->write_txn) - 1);
    if (rc != 0)
        return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
    result->touched_bytes = old.text.len;
    if (c->op == COMMAND_DELETE) {
        result->existed = old.exists;
        return kv_value_delete(kv, c->key, &old);
    }
    if (c->op == COMMAND_CAS)
        return apply_cas(kv, c, &old, result);
    if (c->op == COMMAND_LIMIT)
        return apply_limit(kv, c, &old, result);
    return put_within_limit(kv, c, &old, result);
}

static int apply_command(struct kv *kv, const struct raft_entry *e, struct command_result *result)
{
    struct command c;
    int rc = command_decode(e->data, e->len, &c);

    if (rc == COMMAND_E_NEWER)
        return refuse_newer(e);
    if (rc == 0 && c.op == COMMAND_OPEN_SESSION)
        return kv_session_open(kv, result);
    if (rc != 0 || !is_sound(&c)) {
        result->status = COMMAND_INVALID;
        return 0;
    }
    return c.first != 0 ? kv_session_write(kv, &c, result) : kv_apply_write(kv, &c, result);
}

int kv_begin(struct kv *kv)
{
    int rc;

    rid_assert(kv->write_txn == NULL);
    rc = kv_map_grow(kv);
    if (rc != 0)
        return err_trace(rc);
    kv_room_ahead(kv);
    rc = mdb_txn_begin(kv->env, NULL, 0, &kv->write_txn);
    if (rc != 0) {
        kv->write_txn = NULL;
        return err_trace(kv_lmdb_fatal(kv, rc, "begin a transaction"));
    }
    kv->write_failed = false;
    kv->wrote = false;
    rc = kv_sessions_load(kv);
    if (rc != 0)
        kv_abort(kv);
    return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
}

int kv_apply(struct kv *kv, const struct raft_entry *e, struct command_result *ret_result)
{
    struct command_result result = {.status = COMMAND_OK, .index = e->id.index};
    int rc = 0;

    rid_assert(kv->write_txn != NULL);
    rid_assert(!kv->write_failed);
    rid_assert(e->id.index == kv->pending.last_applied.index + 1);
    rid_assert(e->id.term >= kv->pending.last_applied.term);
    if (e->type == RAFT_ENTRY_COMMAND)
        rc = apply_command(kv, e, &result);
    if (rc != 0) {
        kv->write_failed = true;
        return err_trace(rc);
    }
    kv->pending.last_applied = e->id;
    digest_note(&kv->pending_ring, e->id.index, kv->pending.digest);
    *ret_result = result;
    return 0;
}

int kv_apply_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value)
{
    int rc;

    rid_assert(kv->write_txn != NULL);
    rid_assert(!kv->write_failed);
    rid_assert(key.len > 0 && key.len <= KEY_BYTES_MAX);
    rc = kv_value_get(kv, kv->write_txn, key, ret_value);
    if (rc == 0 && !ret_value->exists)
        rc = absent_check_write(kv, key, mdb_txn_id(kv->write_txn) - 1);
    return err_trace(rc);
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

/* What the transaction did in memory never happened. */
static void undo(struct kv *kv)
{
    kv->pending = kv->committed;
    kv->pending_ring = kv->committed_ring;
    scrub_undo(kv->scrub);
    /* The records tell. */
    kv->sessions_known = kv->sessions_known && !kv->sessions_changed;
    kv->sessions_changed = false;
}

/* Nothing was changed but the index, and the disk is not asked for that: a leader that is elected
 * on a full one could not serve a read otherwise (SPACE-7). The next transaction that changes
 * something stores it. */
static void commit_in_memory(struct kv *kv)
{
    kv->committed = kv->pending;
    kv->committed_ring = kv->pending_ring;
    kv_abort(kv);
    kv_publish_applied(kv);
}

static bool is_far_ahead(const struct kv *kv)
{
    return kv->pending.last_applied.index - kv->stored.index >= KV_UNSTORED_MAX;
}

static int commit_on_disk(struct kv *kv);

int kv_commit(struct kv *kv)
{
    const struct kv_meta meta = kv->pending;
    const struct digest_ring ring = kv->pending_ring;
    const bool wrote = kv->wrote;
    int rc;

    rid_assert(kv->write_txn != NULL);
    rid_assert(!kv->write_failed);
    if (!wrote && !is_far_ahead(kv)) {
        commit_in_memory(kv);
        return 0;
    }
    rc = commit_on_disk(kv);
    if (rc != KV_E_FULL || wrote)
        return err_trace(rc);
    kv->pending = meta; /* undone for want of room */
    kv->pending_ring = ring;
    commit_in_memory(kv);
    return 0;
}

int kv_store_applied(struct kv *kv)
{
    int rc;

    if (kv->stored.index == kv->committed.last_applied.index)
        return 0;
    rc = kv_begin(kv);
    if (rc == 0)
        rc = commit_on_disk(kv);
    return rc == KV_E_FULL ? 0 : err_trace(rc);
}

static int commit_on_disk(struct kv *kv)
{
    uint64_t used = 0;
    int code;
    int rc;

    rc = meta_put(kv);
    if (rc == 0)
        rc = kv_used_bytes(kv, kv->write_txn, &used);
    if (rc != 0) {
        kv_abort(kv);
        return err_trace(rc);
    }
    code = mdb_txn_commit(kv->write_txn);
    kv->write_txn = NULL; /* freed, whatever became of it */
    if (code != 0) {
        undo(kv);
        return err_trace(kv_lmdb_error(kv, code, "commit"));
    }
    kv->committed = kv->pending;
    kv->committed_ring = kv->pending_ring;
    kv->sessions_changed = false;
    scrub_commit(kv->scrub);
    kv->n_eio = 0;
    kv_publish(kv, used);
    extend_file(kv);
    return 0;
}

void kv_abort(struct kv *kv)
{
    if (kv->write_txn != NULL)
        mdb_txn_abort(kv->write_txn);
    kv->write_txn = NULL;
    kv->write_failed = false;
    undo(kv);
}

/* Nobody who ever had a number of the old cluster finds anything under it in the new one: sessions
 * and what was said of them stay behind, and the places in the log go on above all old ones
 * (BACKUP-2). */
static int refound(struct kv *kv, struct raft_entry_id last)
{
    int rc = kv_sessions_drop(kv);

    if (rc != 0) {
        kv_abort(kv);
        return err_trace(rc);
    }
    kv->pending.sessions = (struct kv_sessions){0};
    kv->pending.last_applied = last;
    return err_trace(commit_on_disk(kv));
}

int kv_refound(struct kv *kv, struct raft_entry_id last)
{
    int rc;

    rid_assert(kv->write_txn == NULL);
    rid_assert(last.index > kv->committed.last_applied.index);
    rc = kv_begin(kv);
    return rc == 0 ? refound(kv, last) : err_trace(rc);
}

/* ---- read ---- */

int kv_read_begin(struct kv *kv, struct raft_entry_id *ret_last_applied)
{
    struct kv_meta meta;
    int code;
    int rc;

    rid_assert(!kv->reading);
    kv_map_hold(kv);
    code = mdb_txn_renew(kv->read_txn);
    if (code != 0) {
        kv_map_release(kv);
        return err_trace(kv_lmdb_fatal(kv, code, "begin a read"));
    }
    rc = kv_meta_get(kv, kv->read_txn, &meta);
    if (rc == 0 && meta.last_applied.index == 0)
        rc = absent_check_read(kv, record_meta_key, mdb_txn_id(kv->read_txn));
    if (rc != 0) {
        mdb_txn_reset(kv->read_txn);
        kv_map_release(kv);
        return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
    }
    kv->reading = true;
    /* The state of what was applied in memory only is that of what is stored, if it is still the
     * one that this reader sees. */
    (void)pthread_mutex_lock(&kv->stats_lock);
    *ret_last_applied =
        meta.last_applied.index == kv->stored.index ? kv->applied : meta.last_applied;
    (void)pthread_mutex_unlock(&kv->stats_lock);
    return 0;
}

int kv_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value)
{
    int rc;

    rid_assert(kv->reading);
    rid_assert(key.len > 0 && key.len <= KEY_BYTES_MAX);
    range_close(kv);
    rc = kv_value_get(kv, kv->read_txn, key, ret_value);
    if (rc == 0 && !ret_value->exists)
        rc = absent_check_read(kv, key, mdb_txn_id(kv->read_txn));
    else if (rc == 0)
        rc = absent_check_found(kv, ret_value->text.data, mdb_txn_id(kv->read_txn));
    return err_trace(rc);
}

void kv_read_end(struct kv *kv)
{
    rid_assert(kv->reading);
    kv->reading = false;
    range_close(kv);
    mdb_txn_reset(kv->read_txn);
    kv_map_release(kv);
}
