/* The state machine on LMDB: keys and values, deterministic apply, last_applied in the same transaction.
 *
 * Opened without sync: the log is what is durable. The file is trusted only by the rule of DESIGN.md 6: (a) boot id,
 * incarnation, device and inode of the data file are those recorded when it was opened, and an mdb_env_sync precedes
 * its first use; or (b) a clean-shutdown mark stands, which is removed and its directory fsynced before the first write
 * transaction. Anything else is moved aside unopened and the state is rebuilt from the log: kv_open() then reports
 * last_applied 0. LMDB has no page checksums, so each value carries a CRC32C that kv_get() checks.
 *
 * Write side (kv_begin .. kv_commit) and read side may be used by different threads, each by one at a time; LMDB's
 * MDB_NOTLS is set. Values are borrowed from the transaction they were read in. Errors: -errno, all fatal for the node
 * (KV_E_* excepted). Source: DESIGN.md 6, RELIABILITY 4.6. */
#ifndef RIDD_KV_KV_H
#define RIDD_KV_KV_H

#include "raft/types.h"
#include "wire/command.h"

struct kv;

enum kv_error {
    KV_E_FULL = 1,    /* the map is full: nothing of this transaction was applied */
    KV_E_DAMAGED = 2, /* a value's checksum is wrong */
};

struct kv_conf {
    const char *dir;        /* absolute path of data/db; made when missing, mode 0700 */
    size_t map_size_bytes;
    uint64_t incarnation;
    unsigned readers_max;   /* 0: 16 */
};
enum kv_trust { KV_TRUSTED_SAME_BOOT, KV_TRUSTED_CLEAN, KV_NEW, KV_REBUILD };

/* ret_trust says how the file was found; for KV_REBUILD err_text() says why it was not trusted. */
int kv_open(const struct kv_conf *conf, enum kv_trust *ret_trust, struct kv **ret_kv);
/* clean: sync, leave the clean-shutdown mark, durable at return. Otherwise just closes. NULL is accepted. */
int kv_close(struct kv *kv, bool clean);
struct raft_entry_id kv_last_applied(const struct kv *kv);

/* ---- apply: one write transaction per batch ---- */
int kv_begin(struct kv *kv);
/* Entries in order, each exactly last_applied + 1 (asserted). NOOP, CONFIG and READ move last_applied only. 0, KV_E_FULL
 * (then kv_abort()), -errno. */
int kv_apply(struct kv *kv, const struct raft_entry *e, struct command_result *ret_result);
/* Inside the write transaction: the state at exactly the entry applied last. */
int kv_apply_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value);
int kv_commit(struct kv *kv);
void kv_abort(struct kv *kv);

/* ---- read: one transaction per batch of reads, ended in the same callback ---- */
int kv_read_begin(struct kv *kv, struct raft_entry_id *ret_last_applied);
int kv_get(struct kv *kv, struct wire_slice key, struct command_value *ret_value);
void kv_read_end(struct kv *kv);

struct kv_stats {
    uint64_t n_keys;
    uint64_t map_bytes;
    uint64_t used_bytes;
};
int kv_get_stats(struct kv *kv, struct kv_stats *ret_stats);

#endif
