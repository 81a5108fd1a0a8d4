/* What kv.c (opening, closing, trust) and apply.c (transactions, records) share. */
#ifndef RIDD_KV_KV_INT_H
#define RIDD_KV_KV_INT_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kv/absent_int.h"
#include "kv/copy_int.h"
#include "kv/digest_int.h"
#include "kv/kv.h"
#include "kv/memtable_int.h"
#include "kv/range_int.h"
#include "kv/session_int.h"
#include "kv/trust_int.h"

/* The record under KV_META_KEY, put with each change of the file. */
struct kv_meta {
    struct raft_entry_id last_applied;
    uint64_t n_keys;         /* those that clients can name */
    uint64_t live_bytes;     /* of all records but this one (SPACE-4) */
    uint64_t limit_bytes;    /* what they may be; 0: anything. A record says it, too */
    struct kv_digest digest; /* of all records but this one, after last_applied */
    struct kv_sessions sessions;
};

/* A memtable that was full, and is put into the file in steps (flush.c). */
struct immutable {
    struct memtable table; /* empty unless is_there */
    struct kv_meta meta;   /* as of the last entry that is in it */
    bool is_there;
    bool has_failed; /* the last step has: there is no room for it */
    MDB_txn *txn;    /* owned; NULL: none is open */
    unsigned n_put;  /* of its entries, into txn */
};

struct kv {
    struct kv_conf conf; /* a copy without its texts */
    char *dir;           /* owned */
    int dir_fd;          /* owned */
    uint64_t incarnation;
    uint16_t group;
    struct trust_boot boot;
    /* The log must reach it (shown_int.h); 0: nothing says so. Written by the one who distrusts. */
    _Atomic raft_index shown_index;
    raft_index witness_index; /* that was applied, by this process or the last */
    unsigned witness_slot;    /* the next one is written there */
    int witness_fd;           /* owned; -1: it is told nowhere */
    struct kv_opening opening;
    MDB_env *env; /* owned */
    MDB_dbi dbi;
    size_t page_bytes;

    /* What the file holds: owned; is_looking: it is not reset, and the map is held. */
    MDB_txn *read_txn;
    bool is_looking;

    /* Write side. */
    bool applying;     /* between kv_begin() and kv_commit() */
    bool write_failed; /* the transaction can only be aborted */
    /* What the file does not hold yet, the newest first; and what it was given last: the file has
     * the same. */
    struct memtable memtable;
    struct immutable immutable;
    struct memtable flushed;
    struct kv_meta stored; /* as the file has it */
    uint64_t used_bytes;   /* of it, and pages with keys */
    uint64_t leaf_pages;
    struct kv_meta committed;
    struct kv_meta pending; /* equals committed outside a transaction */
    bool wrote;             /* the transaction changed a record */
    /* Of the same moments. Not on disk: after a start the last applied entry is what the others
     * have, too, and the next round index comes. */
    struct digest_ring committed_ring;
    struct digest_ring pending_ring;
    /* What the records of sessions say, in the transaction or as of the last commit; made anew from
     * them when it is not known to be so. */
    struct session_list sessions;
    bool sessions_known;
    bool sessions_changed; /* by the transaction */
    uint64_t file_pages;   /* the data file is at least this long */
    uint64_t ahead_from;   /* what is used of it ends here */
    uint64_t ahead_to;     /* it has its blocks up to here */
    uint64_t ahead_look;   /* when so much is used it is looked at again */
    unsigned n_eio;        /* writes that failed, since one did not */

    struct scrub *scrub; /* owned */

    /* Read side. */
    bool reading;
    struct range range;

    struct absent absent; /* of the file as it is */

    struct copying copying;
    /* Of kv_prepare(), until kv_switch(): what the file beside the data file holds. */
    struct {
        bool is_there;
        struct raft_entry_id last_applied;
        struct kv_digest digest;
    } prepared;

    /* Files that have no name any more: their blocks go when they are closed, which may take long,
     * and not in the time of whoever took the name away (SNAP-24). Behind leavings_lock. */
    pthread_mutex_t leavings_lock;
    int leavings[KV_LEAVINGS_MAX]; /* owned */
    unsigned n_leavings;
    bool is_open; /* kv_open() has ended: before it nobody waits */

    /* Both. */
    atomic_bool distrusted;
    uint64_t map_bytes;
    size_t map_bytes_max;      /* 0: as much as the kernel gives */
    pthread_rwlock_t map_lock; /* read: by who has a read transaction; write: to remap */

    pthread_mutex_t stats_lock; /* protects what follows: index and digest must be of one moment */
    struct kv_stats stats;      /* as of the last commit */
    struct raft_entry_id applied;
};

/* Turns a code of LMDB into KV_E_FULL or -errno with err_text(); distrusts the file when the code
 * speaks of damage. */
int kv_lmdb_error(struct kv *kv, int rc, const char *what);
/* The same where being full is no outcome: always -errno. */
int kv_lmdb_fatal(struct kv *kv, int code, const char *what);
/* Speaks of damage in the file, not of the environment or the caller. */
bool kv_lmdb_damage(int rc);

/* KV_E_DAMAGED with the sentence; the file is distrusted. */
int kv_record_damaged(struct kv *kv, struct wire_slice key, const char *what);

/* The file that LMDB has open, whatever stands under its name by now, to be read by ourselves. */
int kv_page_file(struct kv *kv, struct page_file *f);

/* Of the file, in a transaction: zeros when nothing was ever applied. 0, KV_E_DAMAGED, -errno. */
int kv_meta_get(struct kv *kv, struct kv_meta *ret_meta);
/* What kv_get_stats() tells from now on: kv->committed, and the last kv_used_bytes(). */
void kv_publish(struct kv *kv);
/* Before the name of a file goes: its blocks stay until kv_clear_leavings(). Where there are too
 * many of them, or kv is not open yet, they go with the name. */
void kv_leave_file(struct kv *kv, const char *name);

/* ---- room.c: the map ---- */

/* Around every read transaction: the map stays where it is. Any thread; released by the one that
 * holds it. */
void kv_map_hold(struct kv *kv);
void kv_map_release(struct kv *kv);
/* How large a map is asked for first, and which is the next smaller one; 0: none. */
size_t kv_map_first(const struct kv_conf *conf);
size_t kv_map_smaller(size_t bytes);
/* Before a write transaction: larger, when little is left of it. 0 or -errno, which is final. */
int kv_map_grow(struct kv *kv);

/* Before a write transaction: blocks of the disk for it and those that follow. That there are none
 * is no error: the transaction says so. */
void kv_room_ahead(struct kv *kv);
/* LMDB says that a write failed: for want of room? */
bool kv_disk_is_full(struct kv *kv);
/* Nothing that helps nobody but a person stands in the way of what is committed. */
void kv_give_room(struct kv *kv);
/* Before LMDB is opened. 0 or an errno. */
int kv_room_for_lock(const struct kv *kv);

/* ---- apply.c and apply_session.c: inside the write transaction ---- */

/* As it was applied last, whether the file has it already or not. 0, also when there is none;
 * KV_E_DAMAGED, -errno. Borrowed until the next kv_begin(). ret_in_file, or NULL: the file was
 * asked. */
int kv_value_get(struct kv *kv, struct wire_slice key, struct command_value *ret,
                 bool *ret_in_file);
/* `old` is what kv_value_get() has just found there. 0, KV_E_FULL, -errno. */
int kv_value_put(struct kv *kv, struct wire_slice key, const struct command_value *old,
                 raft_index index, struct wire_slice text);
int kv_value_delete(struct kv *kv, struct wire_slice key, const struct command_value *old);
/* Nothing is looked up in the file any more: before it changes, or is another one. */
void kv_look_end(struct kv *kv);
/* A sound write, whoever asks for it. As kv_apply(). */
int kv_apply_write(struct kv *kv, const struct command *c, struct command_result *result);
/* The list of sessions, before the first entry. 0, KV_E_DAMAGED, -errno. */
int kv_sessions_load(struct kv *kv);
int kv_session_open(struct kv *kv, struct command_result *result);
/* A sound write that names a session. */
int kv_session_write(struct kv *kv, const struct command *c, struct command_result *result);

/* Every session, in the transaction. 0, KV_E_FULL, -errno. */
int kv_sessions_drop(struct kv *kv);

/* ---- verify.c ---- */

/* kv_copy_format() of such pages. */
uint32_t kv_format_of(size_t page_bytes);
/* rc of walk_copy(), in words about a copy. */
int kv_say_copy(int rc);

/* Of an entry of the memtable. */
void kv_memtable_value(const struct memtable_entry *e, struct command_value *ret);

/* After a write of the file that failed: LMDB may have to be begun anew. 0; -errno: nothing is read
 * or written any more. No transaction is open. */
int kv_mend(struct kv *kv);

/* ---- flush.c ---- */

/* As it was applied last and the file does not hold it yet; NULL: the file has the newest. */
const struct memtable_entry *kv_memtable_find(const struct kv *kv, struct wire_slice key);
/* The memtable should become immutable. */
bool kv_memtable_is_full(const struct kv *kv);
/* All of it is committed, and what was immutable is stored: it takes that place, and is empty. */
void kv_memtable_freeze(struct kv *kv);
/* All that was applied, kv->pending, must be in the file now. */
bool kv_flush_is_due(const struct kv *kv);
/* It is, in transactions of its own: what is immutable, and the memtable. 0; KV_E_FULL, -errno: of
 * both what is not in the file is as it was, and what was pending not committed yet. */
int kv_flush_pending(struct kv *kv);
/* A step with what is immutable, or all of it that is left. 0; KV_E_FULL: only for all of it, and
 * it stays; -errno. */
int kv_flush_some(struct kv *kv, bool is_whole);
/* What is immutable is begun anew by the next step. */
void kv_flush_abort(struct kv *kv);

/* Pages in use below txn, not counting those that are free to be used again, into kv. */
int kv_used_bytes(struct kv *kv, MDB_txn *txn);

#endif
