/* Batches of entries, records, and reads.
 *
 * What an entry does depends on the log and the records alone: never on the time, the node, or an
 * error that only one node sees. Such an error ends the transaction (STATE-3).
 */
#include <errno.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "kv/kv_int.h"
#include "kv/range_int.h"
#include "kv/record_int.h"
#include "kv/shown_int.h"
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

/* The record of key in the file, its checksum compared each time that it is read (STATE-6).
 * ret->mv_data is NULL when there is none. */
static int record_get(struct kv *kv, struct wire_slice key, MDB_val *ret)
{
    const bool is_meta = key.data == record_meta_key.data;
    MDB_val k = val_of(key);
    const char *defect;
    int rc = mdb_get(kv->read_txn, kv->dbi, &k, ret);

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

/* In the memory of this process, like all else that it knows: the checksum is for what comes out of
 * a file. */
void kv_memtable_value(const struct memtable_entry *e, struct command_value *ret)
{
    *ret = (struct command_value){0};
    if (e->record != NULL)
        record_value(e->record, e->record_len, ret);
}

int kv_value_get(struct kv *kv, struct wire_slice key, struct command_value *ret, bool *ret_in_file)
{
    const struct memtable_entry *e = kv_memtable_find(kv, key);
    MDB_val v;
    int rc;

    if (e == NULL)
        e = memtable_find(&kv->flushed, key);
    if (ret_in_file != NULL)
        *ret_in_file = e == NULL;
    if (e != NULL) {
        kv_memtable_value(e, ret);
        return 0;
    }
    rc = record_get(kv, key, &v);
    if (rc != 0)
        return err_trace(rc);
    if (v.mv_data == NULL)
        *ret = (struct command_value){0};
    else
        record_value(v.mv_data, v.mv_size, ret);
    return 0;
}

int kv_meta_get(struct kv *kv, struct kv_meta *ret_meta)
{
    MDB_val v;
    int rc = record_get(kv, record_meta_key, &v);

    if (rc != 0)
        return err_trace(rc);
    if (v.mv_data == NULL) {
        *ret_meta = (struct kv_meta){0};
        return 0;
    }
    if (!record_meta(v.mv_data, v.mv_size, ret_meta))
        return kv_record_damaged(kv, record_meta_key, "it makes no sense");
    return err_trace(absent_check_found(kv, v.mv_data));
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
static struct kv_digest digest_drop(struct kv *kv, struct wire_slice key,
                                    const struct command_value *old)
{
    struct kv_digest d = {0};

    if (!old->exists)
        return d;
    d = record_digest(key, old->text.data - RECORD_HEADER_BYTES,
                      RECORD_HEADER_BYTES + old->text.len);
    digest_sub(&kv->pending.digest, d);
    return d;
}

/* `old` is what was read of it: where the memtable has nothing of the key, that is in the file. */
static struct memtable_entry *put(struct kv *kv, struct wire_slice key,
                                  const struct command_value *old, size_t len)
{
    const struct kv_digest d = digest_drop(kv, key, old);

    kv->pending.live_bytes -= old_bytes(key, old);
    kv->wrote = true;
    return memtable_put(&kv->memtable, key, len, old->exists ? &d : NULL,
                        RECORD_HEADER_BYTES + old->text.len);
}

static int no_memory(void)
{
    return err_origin(err_say(-ENOMEM, "cannot apply an entry: out of memory"));
}

int kv_value_put(struct kv *kv, struct wire_slice key, const struct command_value *old,
                 raft_index index, struct wire_slice text)
{
    const raft_index create_index = old->exists ? old->create_index : index;
    const uint64_t version = old->exists ? old->version + 1 : 1;
    const size_t len = RECORD_HEADER_BYTES + text.len;
    const struct memtable_entry *e = put(kv, key, old, len);
    unsigned char *p;

    if (e == NULL)
        return no_memory();
    kv->pending.live_bytes += kv_record_bytes(key.len, text.len);
    p = e->record;
    memset(p, 0, 8);
    p[4] = RECORD_FORMAT;
    put_u64(p + 8, create_index);
    put_u64(p + 16, index);
    put_u64(p + 24, version);
    memcpy(p + RECORD_HEADER_BYTES, text.data, text.len);
    put_u32(p, record_crc(key, p, len));
    digest_add(&kv->pending.digest, record_digest(key, p, len));
    if (!old->exists && record_is_counted(key))
        kv->pending.n_keys++;
    return 0;
}

int kv_value_delete(struct kv *kv, struct wire_slice key, const struct command_value *old)
{
    if (!old->exists)
        return 0;
    if (put(kv, key, old, 0) == NULL)
        return no_memory();
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
    bool in_file = false;
    int rc;

    rc = kv_value_get(kv, c->key, &old, &in_file);
    if (rc == 0 && in_file && !old.exists && depends_on_absence(kv, c, &old))
        rc = absent_check(kv, c->key);
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

/* Nobody writes the file but flush.c: a transaction of LMDB holds from one commit to the next,
 * with what was looked at of its head (STATE-15). */
static int look_begin(struct kv *kv, const char *what)
{
    struct kv_meta meta;
    int code;
    int rc;

    if (kv->is_looking)
        return 0;
    kv_map_hold(kv);
    code = mdb_txn_renew(kv->read_txn);
    if (code != 0) {
        kv_map_release(kv);
        return err_trace(kv_lmdb_fatal(kv, code, what));
    }
    kv->is_looking = true;
    rc = kv_meta_get(kv, &meta);
    if (rc == 0 && meta.last_applied.index == 0)
        rc = absent_check(kv, record_meta_key);
    if (rc == 0 && meta.last_applied.index != kv->stored.last_applied.index)
        rc = kv_record_damaged(kv, record_meta_key, "it is not the one that was written last");
    if (rc == 0)
        return 0;
    kv_look_end(kv);
    return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
}

void kv_look_end(struct kv *kv)
{
    if (!kv->is_looking)
        return;
    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    kv->is_looking = false;
    mdb_txn_reset(kv->read_txn);
    kv_map_release(kv);
}

int kv_begin(struct kv *kv)
{
    int rc;

    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    kv_room_ahead(kv);
    rc = look_begin(kv, "begin a transaction");
    if (rc != 0)
        return rc;
    kv->applying = true;
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

    rid_assert(kv->applying);
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
    bool in_file = false;
    int rc;

    rid_assert(kv->applying);
    rid_assert(!kv->write_failed);
    rid_assert(key.len > 0 && key.len <= KEY_BYTES_MAX);
    rc = kv_value_get(kv, key, ret_value, &in_file);
    if (rc == 0 && in_file && !ret_value->exists)
        rc = absent_check(kv, key);
    return err_trace(rc);
}

/* What the transaction did in memory never happened. */
static void undo(struct kv *kv)
{
    memtable_undo(&kv->memtable);
    kv->pending = kv->committed;
    kv->pending_ring = kv->committed_ring;
    /* The records tell. */
    kv->sessions_known = kv->sessions_known && !kv->sessions_changed;
    kv->sessions_changed = false;
}

/* What is applied is told, and the file is not asked for it: it may be behind (STATE-17). Also
 * where there is no room on the disk: a leader that is elected on a full one could not serve a read
 * otherwise (SPACE-7). */
static void keep(struct kv *kv)
{
    memtable_keep(&kv->memtable);
    kv->committed = kv->pending;
    kv->committed_ring = kv->pending_ring;
    kv->sessions_changed = false;
    shown_tell(kv, kv->committed.last_applied.index);
    kv_publish(kv);
}

/* 0: file and memory are one. */
static int flush_pending(struct kv *kv)
{
    int rc = kv_flush_pending(kv);

    if (rc != 0)
        return err_trace(rc);
    keep(kv);
    return 0;
}

static int flush_or_undo(struct kv *kv)
{
    int rc = flush_pending(kv);

    if (rc != 0)
        undo(kv);
    return err_trace(rc);
}

int kv_commit(struct kv *kv)
{
    bool is_full;
    int rc = 0;

    rid_assert(kv->applying);
    rid_assert(!kv->write_failed);
    kv->applying = false;
    if (kv_flush_is_due(kv))
        return err_trace(flush_or_undo(kv));
    is_full = kv_memtable_is_full(kv);
    if (kv->wrote || !kv->immutable.has_failed) /* what changes nothing asks a full disk once */
        rc = kv_flush_some(kv, is_full);
    if (rc == KV_E_FULL && !kv->wrote)
        rc = 0;
    if (rc != 0) {
        undo(kv);
        return err_trace(rc);
    }
    keep(kv);
    if (is_full && !kv->immutable.is_there)
        kv_memtable_freeze(kv);
    return 0;
}

int kv_flush(struct kv *kv)
{
    rid_assert(!kv->applying);
    rid_assert(!kv->reading);
    if (kv->stored.last_applied.index == kv->committed.last_applied.index)
        return 0;
    return err_trace(flush_or_undo(kv));
}

void kv_abort(struct kv *kv)
{
    kv->applying = false;
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
    kv->applying = false;
    return err_trace(flush_or_undo(kv));
}

int kv_refound(struct kv *kv, struct raft_entry_id last)
{
    int rc;

    rid_assert(!kv->applying);
    rid_assert(last.index > kv->committed.last_applied.index);
    rc = kv_begin(kv);
    return rc == 0 ? refound(kv, last) : err_trace(rc);
}

/* ---- read ---- */

int kv_read_begin(struct kv *kv, struct raft_entry_id *ret_last_applied)
{
    int rc;

    rid_assert(!kv->reading);
    rid_assert(!kv->applying);
    rc = look_begin(kv, "begin a read");
    if (rc != 0)
        return rc;
    kv->reading = true;
    *ret_last_applied = kv->committed.last_applied;
    return 0;
}

int kv_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value)
{
    bool in_file = false;
    int rc;

    rid_assert(kv->reading);
    rid_assert(key.len > 0 && key.len <= KEY_BYTES_MAX);
    range_close(kv);
    rc = kv_value_get(kv, key, ret_value, &in_file);
    if (rc != 0 || !in_file)
        return err_trace(rc);
    if (!ret_value->exists)
        rc = absent_check(kv, key);
    else
        rc = absent_check_found(kv, ret_value->text.data);
    return err_trace(rc);
}

void kv_read_end(struct kv *kv)
{
    rid_assert(kv->reading);
    kv->reading = false;
    range_close(kv);
}
