/* Writes that name a session (SESSION-1).
 *
 * Whether one is applied is decided here, at its place in the log, by what the records of the
 * sessions hold, and nowhere else (SESSION-4): two attempts of one write may both be in the log,
 * and each node, whoever leads, finds the second.
 *
 * A record of each session, under a key that no command can name, with all answers that are kept.
 * Its modify_index says when it was used last; a list of that is kept in memory, and made anew from
 * the records where it is not known to agree with them. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "kv/kv_int.h"
#include "kv/record_int.h"

#include "base/banned.h"

static struct wire_slice key_of(const struct session_key *key)
{
    return (struct wire_slice){key->bytes, sizeof(key->bytes)};
}

/* ---- the list ---- */

static int list_wrong(struct kv *kv)
{
    (void)kv_distrust(kv);
    return err_say(KV_E_DAMAGED, "'%s' holds other sessions than it says", kv->dir);
}

/* One record more. */
static int load_one(struct kv *kv, struct wire_slice key, const unsigned char *record, size_t len)
{
    const char *defect = record_defect(key, record, len, RECORD_FORMAT);
    struct session_head head;

    if (defect != NULL)
        return kv_record_damaged(kv, key, defect);
    head.used = record_modify_index(record);
    head.bytes = kv_record_bytes(key.len, len - RECORD_HEADER_BYTES);
    if (!session_key_get(key, &head.client) || !session_list_add(&kv->sessions, &head))
        return list_wrong(kv);
    return 0;
}

/* One of the file, unless it has changed since. */
static int load_stored(struct kv *kv, const MDB_val *k, const MDB_val *v)
{
    const struct wire_slice key = {k->mv_data, k->mv_size};
    const struct memtable_entry *e = kv_memtable_find(kv, key);

    if (e == NULL)
        return load_one(kv, key, v->mv_data, v->mv_size);
    return e->record != NULL ? load_one(kv, key, e->record, e->record_len) : 0;
}

/* Those that were opened since: a memtable has them in their order, and a newer one what became of
 * them. */
static int load_new(struct kv *kv, const struct memtable *m)
{
    uint64_t client;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < m->n; i++) {
        const struct memtable_entry *e = m->entries[i];

        if (e->is_stored || !session_key_get(memtable_key(e), &client))
            continue;
        e = kv_memtable_find(kv, memtable_key(e));
        if (e->record != NULL)
            rc = load_one(kv, memtable_key(e), e->record, e->record_len);
    }
    return rc;
}

static int load_all(struct kv *kv, MDB_cursor *cursor)
{
    struct session_key first;
    MDB_val k = {sizeof(first.bytes), first.bytes};
    uint64_t client;
    MDB_val v;
    int code;
    int rc = 0;

    session_key_set(&first, 0);
    code = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && code == 0 &&
           session_key_get((struct wire_slice){k.mv_data, k.mv_size}, &client)) {
        rc = load_stored(kv, &k, &v);
        if (rc == 0)
            code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (rc == 0 && code != 0 && code != MDB_NOTFOUND)
        return err_trace(kv_lmdb_fatal(kv, code, "read the sessions"));
    if (rc == 0) /* each has another number, so that none is in both */
        rc = load_new(kv, &kv->immutable.table);
    return rc != 0 ? rc : load_new(kv, &kv->memtable);
}

/* Number and bytes stand in the meta record as well: a way through the tree that misses one is
 * noticed, so that no session is taken for unknown that is there. */
int kv_sessions_load(struct kv *kv)
{
    MDB_cursor *cursor = NULL;
    int rc;

    if (kv->sessions_known)
        return 0;
    kv->sessions.n = 0;
    kv->sessions.bytes = 0;
    rc = mdb_cursor_open(kv->read_txn, kv->dbi, &cursor);
    if (rc != 0)
        return err_trace(kv_lmdb_fatal(kv, rc, "read the sessions"));
    rc = load_all(kv, cursor);
    mdb_cursor_close(cursor);
    if (rc == 0 && (kv->sessions.n != kv->committed.sessions.n ||
                    kv->sessions.bytes != kv->committed.sessions.bytes))
        rc = list_wrong(kv);
    kv->sessions_known = rc == 0;
    return rc;
}

/* ---- records ---- */

static int get(struct kv *kv, uint64_t client, struct command_value *ret)
{
    struct session_key key;
    int rc;

    session_key_set(&key, client);
    rc = kv_value_get(kv, key_of(&key), ret, NULL);
    if (rc == 0 && !ret->exists)
        rc = kv_record_damaged(kv, key_of(&key), "it is not found");
    return rc > 0 ? err_origin(-EBADMSG) : err_trace(rc);
}

static int read_session(struct kv *kv, uint64_t client, struct session *ret)
{
    struct session_key key;
    struct command_value value;
    int rc = get(kv, client, &value);

    if (rc != 0)
        return err_trace(rc);
    if (session_parse(value.text, ret))
        return 0;
    session_key_set(&key, client);
    (void)kv_record_damaged(kv, key_of(&key), "it makes no sense");
    return err_origin(-EBADMSG);
}

/* The list has been changed: so has what the meta record says. */
static void note_list(struct kv *kv)
{
    kv->sessions_changed = true;
    kv->pending.sessions.n = kv->sessions.n;
    kv->pending.sessions.bytes = kv->sessions.bytes;
}

/* old: what is there, as it was read a moment ago. */
static int put(struct kv *kv, uint64_t client, const struct command_value *old, raft_index index,
               const struct session *s, struct session_head *ret_head)
{
    unsigned char text[SESSION_TEXT_BYTES_MAX];
    const size_t len = session_write(s, text);
    struct session_key key;

    session_key_set(&key, client);
    *ret_head = (struct session_head){client, index, kv_record_bytes(sizeof(key.bytes), len)};
    return kv_value_put(kv, key_of(&key), old, index, (struct wire_slice){(const char *)text, len});
}

/* ---- too many ---- */

static int drop(struct kv *kv, uint64_t client)
{
    struct session_key key;
    struct command_value old;
    int rc = get(kv, client, &old);

    session_key_set(&key, client);
    if (rc == 0)
        rc = kv_value_delete(kv, key_of(&key), &old);
    if (rc != 0)
        return err_trace(rc);
    session_list_drop(&kv->sessions, client);
    kv->pending.sessions.gone++;
    return 0;
}

/* The one that this entry uses is the youngest, and so never the one that goes (SESSION-5). */
static int fit(struct kv *kv)
{
    uint64_t client;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < SESSIONS_GONE_AT_ONCE &&
                         session_list_is_over(&kv->sessions, kv->pending.limit_bytes, &client);
         i++)
        rc = drop(kv, client);
    note_list(kv);
    return err_trace(rc);
}

int kv_sessions_drop(struct kv *kv)
{
    int rc = 0;

    while (rc == 0 && kv->sessions.n > 0)
        rc = drop(kv, kv->sessions.heads[kv->sessions.n - 1].client);
    note_list(kv);
    return err_trace(rc);
}

/* ---- what entries do ---- */

uint64_t kv_session_bytes(void)
{
    return kv_record_bytes(SESSION_KEY_BYTES, SESSION_FIRST_BYTES);
}

/* Its number is its place in the log: no other entry will ever have it. */
int kv_session_open(struct kv *kv, struct command_result *result)
{
    const struct command_value none = {0};
    const uint64_t limit = kv->pending.limit_bytes;
    struct session_head head;
    struct session s;
    int rc;

    /* As a write of a new key: answers to writes are not refused, sessions are (SESSION-6). */
    if (limit != 0 && kv->pending.live_bytes + kv_session_bytes() > limit) {
        result->status = COMMAND_NO_SPACE;
        result->used_bytes = kv->pending.live_bytes;
        result->limit_bytes = limit;
        return 0;
    }
    session_init(&s);
    rc = put(kv, result->index, &none, result->index, &s, &head);
    if (rc != 0)
        return err_trace(rc);
    if (!session_list_add(&kv->sessions, &head)) {
        (void)list_wrong(kv);
        return err_origin(-EBADMSG);
    }
    return fit(kv);
}

/* The session was read before the write was applied, and its record may have moved since. */
static int keep(struct kv *kv, uint64_t client, raft_index index, const struct session *s,
                struct command_result *result)
{
    struct command_value old;
    struct session_head head;
    int rc = get(kv, client, &old);

    if (rc != 0)
        return err_trace(rc);
    result->touched_bytes += old.text.len;
    rc = put(kv, client, &old, index, s, &head);
    if (rc != 0)
        return err_trace(rc);
    session_list_use(&kv->sessions, &head);
    return fit(kv);
}

static void answer_again(const struct session_answer *a, struct command_result *result)
{
    *result = (struct command_result){.status = a->status,
                                      .existed = a->existed,
                                      .repeated = true,
                                      .index = a->index,
                                      .used_bytes = a->used_bytes,
                                      .limit_bytes = a->limit_bytes};
}

int kv_session_write(struct kv *kv, const struct command *c, struct command_result *result)
{
    const raft_index index = result->index;
    struct session_answer answer;
    struct session s;
    int rc;

    result->status = COMMAND_SESSION_EXPIRED;
    if (session_list_find(&kv->sessions, c->client) == NULL)
        return 0; /* never opened, or gone: it is not guessed which (SESSION-3) */
    rc = read_session(kv, c->client, &s);
    if (rc != 0)
        return err_trace(rc);
    switch (session_look(&s, c->seq, &answer)) {
    case SESSION_EXPIRED:
        return 0;
    case SESSION_REPEATED:
        answer_again(&answer, result);
        session_forget(&s, c->first);
        break;
    case SESSION_NEW:
        result->status = COMMAND_OK;
        rc = kv_apply_write(kv, c, result);
        if (rc != 0)
            return rc;
        session_forget(&s, c->first);
        session_answered(&s, c->seq, result);
        break;
    }
    return keep(kv, c->client, index, &s, result);
}
