/* The state machine on LMDB: keys and values, deterministic apply, last_applied in the same
 * transaction (STATE-2).
 *
 * Opened without sync: the log is what is durable. The file is believed only by STATE-4: (a) boot
 * id, incarnation, device and inode of the data file are those recorded when it was opened, and an
 * mdb_env_sync precedes its first use; or (b) a clean-shutdown mark stands, which is removed and
 * its directory fsynced before the first write transaction. Anything else is moved aside unopened
 * and the state is made again, from a snapshot (kv_prepare(), kv_switch()) and the log: kv_open()
 * then reports last_applied 0. LMDB has no page checksums, so each value carries a CRC32C that
 * kv_get() checks (STATE-6); and a file that is believed is read through first, page by page, by a
 * checker of our own (STATE-12), which also goes the way to each key that is not there before that
 * is said (STATE-15). docs/STORAGE.md has the bytes.
 *
 * For: the state of one group on one node; nothing else reads or writes the data file.
 * Not for: durability, which is the log's; old versions of a value; deciding what may be proposed
 * or when there is too little room (engine/).
 * Units: bytes; indexes of the log.
 * Ownership: kv owns folder and file while it is open. Values are borrowed from the transaction
 * they were read in.
 * Errors: KV_E_*, and -errno with err_text(), which is fatal for the node; after one of them in a
 * write transaction nothing of that transaction was applied. A file that its marks speak for and
 * that is of another group or a later version is refused and left as it is (DISK-24, STATE-9), and
 * so is one whose marks are of a later version; one that is not believed is moved aside unopened,
 * whoever wrote it.
 * Thread: one, both for what is called the write side and the read side below, and never one inside
 * a transaction of the other; "any thread" stands where that is meant.
 * Source: STATE-2 to STATE-17, SCAN-2, SNAP-4, SNAP-9, SESSION-1 to SESSION-6. */
#ifndef RIDD_KV_KV_H
#define RIDD_KV_KV_H

#include <stdatomic.h>

#include "base/outcome.h"
#include "raft/types.h"
#include "wire/command.h"

struct kv;

/* FULL: nothing of this transaction was applied. DAMAGED: a checksum is wrong. NEWER and FOREIGN:
 * of kv_open() and of copies only, which have changed nothing then. COMMAND_NEWER: of kv_apply()
 * only; what the entry does is not known here, and is not guessed (STATE-10). STOPPED: of kv_copy()
 * only. */
#define KV_ERRORS(X)                                                                               \
    X(KV_E_FULL, 1, "no room on the disk, or no addresses for a larger map")                       \
    X(KV_E_DAMAGED, 2, "damaged")                                                                  \
    X(KV_E_NEWER, 3, "the state was written by a later version")                                   \
    X(KV_E_FOREIGN, 4, "the state is that of another group")                                       \
    X(KV_E_COMMAND_NEWER, 5, "the log holds a command of a later version")                         \
    X(KV_E_STOPPED, 6, "the copy was stopped")
enum kv_error { KV_ERRORS(OUTCOME_NUMBER) };
const char *kv_error_text(int rc);

struct kv_conf {
    const char *dir; /* absolute path of data/db; made when missing, mode 0700 */
    /* Addresses that are asked for at first. The map is no quota: it grows by itself, up to
     * map_bytes_max, 0: as far as the kernel gives addresses. */
    size_t map_size_bytes;
    size_t map_bytes_max;
    /* Blocks of the disk that are taken ahead, at most; 0: an eighth of map_size_bytes. */
    uint64_t ahead_bytes_max;
    uint64_t incarnation;
    uint16_t group; /* whose state it is: one group exists, 0; another one has a file of its own */
    unsigned readers_max; /* 0: 16 */
    /* So many keys that were applied go into the file together; 0: as many as are good for speed,
     * and those that were stored last are found without it. 1: after each kv_commit() all are. */
    unsigned memtable_keys;
    /* So many of them with each kv_commit(), and more where that is too slow; 0: in a share of the
     * turn's time. A simulator, which is to do the same again, gives a number. */
    unsigned step_keys;
    const char *boot_id; /* NULL: the kernel's; a test gives its own, 36 characters */
};
enum kv_trust { KV_TRUSTED_SAME_BOOT, KV_TRUSTED_CLEAN, KV_NEW, KV_REBUILD };

/* ret_trust says how the file was found; for KV_REBUILD err_text() says why it was not trusted. The
 * old file is then kept as data.mdb.old, one of them. -EPERM: the folder or the data file is open
 * to others. KV_E_NEWER, KV_E_FOREIGN. */
int kv_open(const struct kv_conf *conf, enum kv_trust *ret_trust, struct kv **ret_kv);
/* clean: sync, leave the clean-shutdown mark, durable at return. Otherwise just closes. NULL is
 * accepted. Whatever is returned, kv is gone; after an error there is no mark. Open transactions
 * are dropped. */
int kv_close(struct kv *kv, bool clean);
/* What the open cost: a file that its marks speak for is read whole, before LMDB sees it and
 * before anything is served. Zeros of the walk: there was none. */
struct kv_opening {
    uint64_t n_keys; /* found by the walk */
    uint64_t bytes;  /* read by it */
    uint64_t walk_us;
    uint64_t open_us; /* all of kv_open(), the walk included */
};
struct kv_opening kv_get_opening(const struct kv *kv);
/* An index that this node had applied once, says a state that is not believed otherwise, now or at
 * an earlier start: the log that it belongs to reaches it, or has lost entries (DISK-41). 0:
 * nothing says so. Any thread. */
raft_index kv_shown_index(const struct kv *kv);
/* An index that the last process with this incarnation had applied, whatever its file holds
 * (STATE-17): the log reaches it, and what is read before it is applied again is of before what was
 * shown. 0: nothing says so. Known until the machine stops. Write side. */
raft_index kv_witness_index(const struct kv *kv);
/* Something was applied that the file does not hold; not while there is none, between a
 * kv_rebuild() that found no room and the next. Write side. */
bool kv_is_ahead(const struct kv *kv);
/* Of the last commit. Write side. */
struct raft_entry_id kv_last_applied(const struct kv *kv);
/* The file is wrong: the next kv_open() sets it aside and rebuilds, also after a crash. Done by
 * itself when a checksum or LMDB finds damage; for others who know better (a digest that differs).
 * Any thread, but not beside kv_rebuild(). 0 or -errno. */
int kv_distrust(struct kv *kv);
bool kv_is_distrusted(const struct kv *kv);

/* What kv holds is not believed any more and is to be made again from the log, without an end of
 * the process: the file is set aside as kv_open() would do it, an empty one takes its place, and
 * last_applied is 0. No transaction may be open, on either side. 0; KV_E_FULL: there is no room
 * for that, and it may be asked again, but nothing else; -errno is final: nothing is open then, and
 * only kv_close() is left. The next kv_open() rebuilds, unless not even the mark that speaks for
 * the old file could be removed. Write side; no other thread reads or distrusts meanwhile. */
int kv_rebuild(struct kv *kv);

/* The file of a running node is read through again and again, in slices (STATE-13). */
struct kv_scrub_progress {
    uint64_t passes;  /* completed since kv_open() */
    unsigned percent; /* of the pass at hand, roughly */
    uint64_t bytes;   /* read by this call; 0: a disk is waited for, or the state is empty */
    bool waits;       /* the next page has to come from the disk, and was asked for */
};
/* Reads about so many bytes more, one long value or page at least, and nothing that is not in
 * memory (unless it did not come for a long time). A pass that reaches the end compares number of
 * keys and digest, added up from the pages, with the running ones; the next call begins a new one.
 * 0; KV_E_DAMAGED with err_text(): the file is distrusted; -errno. Not between kv_begin() and its
 * end. Write side. */
int kv_scrub_step(struct kv *kv, size_t bytes, struct kv_scrub_progress *ret);
/* The pass at hand is dropped: the next step begins one, all of which reads the file as it is from
 * now on. */
void kv_scrub_restart(struct kv *kv);

/* ---- apply: one transaction per batch ----
 *
 * It is one of memory, and reads see it from kv_commit() on. The file has it with many others later
 * (STATE-17), unless kv_flush() asks for that: who looks into the file, or copies it, finds an
 * earlier state. */
int kv_begin(struct kv *kv);
/* Entries in order, each exactly last_applied + 1 (asserted). NOOP, CONFIG and READ move
 * last_applied only. 0, KV_E_FULL, KV_E_COMMAND_NEWER, -errno; after each but 0 kv_abort(). A disk
 * without space is KV_E_FULL as well. Bytes that no version gave a meaning are COMMAND_INVALID. A
 * write that names a session is applied once: for a repetition of it the result is that of the
 * first, also where that changed nothing (SESSION-1). */
int kv_apply(struct kv *kv, const struct raft_entry *e, struct command_result *ret_result);
/* What a record of such a key and text counts of the limit, and a session that was just opened. */
uint64_t kv_record_bytes(size_t key_len, size_t text_len);
uint64_t kv_session_bytes(void);
/* Inside the write transaction: the state at exactly the entry applied last. The value is borrowed
 * until the next kv_apply(). 0 (also when there is none), KV_E_DAMAGED, -errno. */
int kv_apply_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value);
/* 0, KV_E_FULL, -errno: when it was time for the file. The transaction is over in any case; after
 * an error nothing of it was applied, and what was before it stays. */
int kv_commit(struct kv *kv);
/* Without a transaction: nothing to do. */
void kv_abort(struct kv *kv);
/* All that was applied is in the file now. No transaction may be open. 0; KV_E_FULL: it is not, and
 * nothing is lost; -errno. */
int kv_flush(struct kv *kv);
/* The same for what was applied up to that entry, a part of it, in a part of a turn's time.
 * *ret_more: it is to be called again. No transaction may be open. 0; KV_E_FULL: as above, and the
 * next call begins anew; -errno. */
int kv_flush_step(struct kv *kv, raft_index up_to, bool *ret_more);

/* ---- read: one transaction per batch of reads, ended in the same callback ---- */
int kv_read_begin(struct kv *kv, struct raft_entry_id *ret_last_applied);
/* 0 (also when there is none), KV_E_DAMAGED, -errno. Borrowed until kv_read_end(). */
int kv_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value);
/* Keys in their order: kv_seek() stands in front of the first one, kv_next() gives it and goes on.
 * That no other key lies between two of them, in front of the first or behind the last, is looked
 * at as in kv_get() (STATE-15). What was given is borrowed until the next call of either; `range`
 * until the last one. It is over when there are no more, after an error, and with kv_get(),
 * kv_read_end() and the next kv_seek(): then kv_next() may not be called. 0, KV_E_DAMAGED,
 * -errno. */
int kv_seek(struct kv *kv, const struct command_range *range);
int kv_next(struct kv *kv, struct command_item *ret_item);
void kv_read_end(struct kv *kv);

/* A number that equal states have in common and that different ones as good as never do: the sum
 * modulo 2^128 of a hash of every record (key, create and modify index, version, text), internal
 * ones included, last_applied not. Each entry adds the new record's hash and takes the old one's
 * away, in the transaction that applies it, so it costs no walk and follows from the log alone.
 * Nodes at the same index must have the same. Not against an attacker (STATE-7). */
struct kv_digest {
    uint64_t high;
    uint64_t low;
};
/* Of another version is made in another way: equal states have different numbers then, and nothing
 * follows from comparing them. */
#define KV_DIGEST_VERSION 1u
/* Of client sessions, which are records like any other: of the digest, of copies, of the live
 * bytes. */
struct kv_sessions {
    uint64_t n;
    uint64_t bytes; /* of their records, as they count of the live bytes */
    uint64_t gone;  /* since the first was opened: too many, or too large together (SESSION-5) */
};
struct kv_stats {
    uint64_t n_keys;      /* those that clients can name */
    uint64_t live_bytes;  /* keys and texts of all records, and KV_RECORD_OVERHEAD for each */
    uint64_t limit_bytes; /* what those may be, as the log says; 0: anything */
    uint64_t map_bytes;
    uint64_t used_bytes; /* of the map: pages that are in use, not those free to be used again */
    struct kv_sessions sessions;
    struct kv_digest digest; /* of the state at ... */
    raft_index digest_index;
};
/* As of the last commit, all of one moment. Any thread. */
int kv_get_stats(struct kv *kv, struct kv_stats *ret_stats);
/* Of the data file, as the file system says; 0: it does not. A system call. Any thread. */
uint64_t kv_file_bytes(const struct kv *kv);
/* From now on as kv_conf.ahead_bytes_max. Write side. */
void kv_set_ahead(struct kv *kv, uint64_t bytes_max);
/* The file system of the state, for whoever is told that it is full: bytes that are used, and those
 * with what may still be had. False: it does not say. A system call: now and then, not in each
 * turn. */
bool kv_disk_room(const struct kv *kv, uint64_t *ret_used, uint64_t *ret_limit);
/* The digest right after the entry of that index, for comparing nodes of which one is behind. Known
 * are, as of the last commit, that of the last applied entry and those of the last KV_DIGESTS_KEPT
 * entries whose index is a multiple of KV_DIGEST_EVERY and that were applied since this kv was
 * opened; taken at exactly that entry, also in the middle of a batch (STATE-11). False: not known.
 * Write side. */
bool kv_digest_at(const struct kv *kv, raft_index index, struct kv_digest *ret_digest);

/* ---- copies (SNAP-4) ---- */

/* Where the bytes of a copy go. 0, or an outcome or -errno that ends the copy and that kv_copy()
 * returns. */
struct kv_sink {
    int (*write)(void *ctx, const void *data, size_t n);
    void *ctx;
};
/* Where they come from: all n, 0; or -errno, KV_E_DAMAGED. */
struct kv_source {
    int (*read)(void *ctx, void *buf, size_t n, uint64_t offset);
    void *ctx;
    uint64_t bytes;          /* of the whole copy */
    const atomic_bool *stop; /* once it is true what reads ends soon, with -ECANCELED; or NULL */
};
/* What a copy says and holds: both were compared. */
struct kv_copy_info {
    struct raft_entry_id last_applied; /* of the moment of the copy */
    uint64_t n_keys;
    uint64_t live_bytes;
    uint64_t limit_bytes;
    uint64_t n_sessions;
    struct kv_digest digest;
};
/* What of a file makes it readable on this machine: kind of file, its version, size of pages and of
 * words, order of bytes. A copy is believed only where this is equal. */
uint32_t kv_copy_format(const struct kv *kv);
/* A compacted copy of the state at one moment, which is that of the last kv_flush() or a later one,
 * is handed to sink in order, in pieces of at most KV_COPY_PIECE_BYTES. Waits for disk and sink: on
 * a thread of its own, one at a time, beside everything but kv_rebuild(), kv_switch() and
 * kv_close(), before which it must have ended. 0; KV_E_STOPPED; KV_E_DAMAGED; what sink said;
 * -errno. */
int kv_copy(struct kv *kv, const struct kv_sink *sink);
/* A copy that is under way, or one that begins before the next kv_copy_go(), ends soon with
 * KV_E_STOPPED. Any thread. The write side does so by itself when the map has to grow, and none
 * begins while it opens LMDB again. */
void kv_copy_stop(struct kv *kv);
void kv_copy_go(struct kv *kv);
/* Reads a copy through, page by page, as a start reads the file (STATE-12). Any thread. 0;
 * KV_E_DAMAGED, KV_E_NEWER, KV_E_FOREIGN with err_text(); -errno. */
int kv_check_copy(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret);
/* The same without a state of one's own, of a copy of that format (kv_copy_format()); its pages may
 * have any size. Also KV_E_FOREIGN: machines of this kind cannot read it. Any thread. */
int kv_verify_copy(const struct kv_source *source, uint32_t format, struct kv_copy_info *ret);
/* Only what it says, in a few pages, which are checked; whether it holds that is not looked at. */
int kv_look_copy(const struct kv_source *source, uint32_t format, struct kv_copy_info *ret);
/* The copy is put beside the data file, durably, and checked there: kv_switch() can take it. What
 * was prepared before goes. Waits for the disk: one at a time, on a thread of its own, beside all
 * but kv_switch(), kv_rebuild() and kv_close(). As kv_check_copy(), and KV_E_FULL; after an error
 * nothing is prepared. */
int kv_prepare(struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret);
/* What was prepared and is not going to be switched to is given back; nothing to do where nothing
 * is prepared. Does not wait for the disk (kv_clear_leavings()). When no kv_prepare() is under
 * way. */
void kv_unprepare(struct kv *kv);
/* What was prepared takes the place of the state, as kv_rebuild() puts an empty one there: from now
 * on kv_last_applied() is that of the copy. No transaction may be open, and no copy under way. 0;
 * KV_E_FULL: as it was, may be tried again; -errno is final. A crash at any point leaves the state
 * as it was, that of the copy, or one that is not trusted. Write side. */
int kv_switch(struct kv *kv);
/* The state becomes that of another cluster, before anybody was answered from it (BACKUP-2): all
 * sessions go, and `last` is what was applied last, which is above all that the state speaks of.
 * Nothing else changes. No transaction may be open. 0; KV_E_FULL; -errno. Write side. */
int kv_refound(struct kv *kv, struct raft_entry_id last);
/* Files that were given up or replaced have their room on the disk still: giving it back may take
 * long, so that none of the calls above waits for it (SNAP-24). Any thread. */
bool kv_has_leavings(struct kv *kv);
/* Gives it back. Waits for the disk; any thread, beside everything but kv_close(). */
void kv_clear_leavings(struct kv *kv);

#endif
