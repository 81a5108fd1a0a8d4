/* Whether the data file may be opened at all (STATE-4), decided without opening it.
 *
 * Two mark files beside it. TRUST is written at each open: the boot, incarnation, device, inode and
 * size of the data file then. CLEAN stands between a clean close and the next open: incarnation,
 * size and last applied entry; it is gone, durably, before the first change (STATE-5).
 *
 *   a mark of a later version                     -> refused, nothing is moved (DISK-24)
 *   else CLEAN valid, size and incarnation fit    -> KV_TRUSTED_CLEAN
 *   else TRUST valid, this boot, this very file   -> KV_TRUSTED_SAME_BOOT, after a sync that
 *                                                    succeeds
 *   else no data file and no mark                 -> KV_NEW
 *   else                                          -> KV_REBUILD
 *
 * A mark that is there but damaged or of another incarnation distrusts the file whatever the other
 * one says: somebody has been here.
 *
 * Leftovers of a crash, between the steps (|) of opening and closing, and what the next open finds:
 *
 *   same boot   TRUST without a boot | synced | TRUST written
 *                   one that no boot is equal to, or that is true: rebuilt, or same boot
 *   clean       TRUST written | CLEAN removed
 *                   both: clean; TRUST alone: same boot
 *   rebuilt     CLEAN, TRUST removed | renamed | created | TRUST written
 *                   a file without marks: rebuilt
 *   closing     synced | CLEAN written
 *                   same boot or rebuilt; clean
 *   switched    CLEAN, TRUST removed | renamed over the data file | TRUST written
 *                   a file without marks, this one or that: rebuilt; then same boot
 *
 * Where the disk has no room for a mark (SPACE-10) TRUST is removed in place of the one without a
 * boot, and the TRUST at the end is left out. Then there is none, or the one without a boot, and
 * the state is rebuilt; or, when CLEAN was believed, one of an earlier open. */
#ifndef RIDD_KV_TRUST_INT_H
#define RIDD_KV_TRUST_INT_H

#include <sys/stat.h>

#include "kv/kv.h"

#define TRUST_DATA_NAME  "data.mdb"
#define TRUST_LOCK_NAME  "lock.mdb"
#define TRUST_OLD_NAME   "data.mdb.old"
#define TRUST_NEXT_NAME  "data.mdb.new" /* a copy, before it takes the place of the data file */
#define TRUST_NAME       "TRUST"
#define TRUST_CLEAN_NAME "CLEAN"

#define TRUST_BOOT_ID_BYTES 36u

struct trust_boot {
    char id[TRUST_BOOT_ID_BYTES + 1]; /* "": unknown, equal to no other */
};
/* Of `given`, or of the kernel when it is NULL. Unreadable or odd: unknown. */
void trust_boot_get(const char *given, struct trust_boot *ret_boot);

struct trust_verdict {
    enum kv_trust trust;
    char why[256];                 /* KV_REBUILD: what was wrong */
    struct raft_entry_id clean_id; /* KV_TRUSTED_CLEAN: what the file must hold */
};
/* 0; KV_E_NEWER with err_text(): a mark is of a later version, and all is left as it is; -errno:
 * the data file or a mark cannot be looked at, or the data file is open to others (-EPERM). */
int trust_examine(int dir_fd, uint64_t incarnation, const struct trust_boot *boot,
                  struct trust_verdict *ret_verdict);
/* The data file and what belongs to it is no longer in the way of a new one; one old copy is kept.
 * Durable at return. */
int trust_set_aside(int dir_fd);
/* No mark stands any more, durably: none may ever stand beside a file that it does not speak of. 0
 * or -errno. */
int trust_remove_marks(int dir_fd);
/* For shown.c. What CLEAN says was applied, when this incarnation wrote it; 0: nothing. */
raft_index trust_clean_index(int dir_fd, uint64_t incarnation);
/* TRUST was written by this incarnation about this very file, whatever happened to it since. */
bool trust_is_own_file(int dir_fd, uint64_t incarnation, const struct stat *st);
/* Records the data file as it is now. */
int trust_record(int dir_fd, uint64_t incarnation, const struct trust_boot *boot);
/* The same, but that no boot speaks for it, until it is recorded again: whose file it is stays
 * known. */
int trust_record_doubt(int dir_fd, uint64_t incarnation);
/* The data file is closed and synced. */
int trust_record_clean(int dir_fd, uint64_t incarnation, struct raft_entry_id id);

#endif
