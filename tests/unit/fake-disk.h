/* A disk in memory behind the table of store/vfs.h, for tests and the simulator: it loses power,
 * fails, fills up, rots.
 *
 * Model. Every file has a durable content and a cached one. Writes and changes of
 * size go to the cache and are pending until fdatasync; names (create, rename, unlink) are pending
 * until sync_dir. A power cut decides for each sector of each pending write whether the disk holds
 * the old bytes, the new ones, those after some of the pending writes, or garbage, garbage only in
 * bytes that a pending write touched ("powersafe overwrite"); a size change may be there or not; of
 * the pending names any subset that keeps the order of operations on one name or file. A pending
 * rename is there or not, never half.
 *
 * Every decision comes from the seed. Owned by one thread. Names are compared whole; there is one
 * directory.
 *
 * Faults: calls return -EIO from the moment the power is off; a call under way when it goes off
 * leaves its effect pending. Handles stay closable after that, and must be closed:
 * fake_disk_n_open() tells leaks. */
#ifndef RIDD_TESTS_FAKE_DISK_H
#define RIDD_TESTS_FAKE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/vfs.h"

struct fake_disk;

/* Never return NULL: they end the test when memory is out. */
struct fake_disk *fake_disk_new(uint64_t seed);
void fake_disk_free(struct fake_disk *d);
/* A copy with its own future: content durable and cached, pending operations; no open handles, no
 * armed faults. */
struct fake_disk *fake_disk_clone(const struct fake_disk *d, uint64_t seed);
/* Valid as long as d. */
struct vfs *fake_disk_vfs(struct fake_disk *d);

/* ---- power ---- */

/* The power goes off inside the n-th changing call from now (1: the next; 0: not). Changing calls:
 * open with O_CREAT, pwritev, fdatasync, sync_dir, allocate, truncate, rename, unlink. */
void fake_disk_cut_after(struct fake_disk *d, uint64_t n);
void fake_disk_cut_now(struct fake_disk *d);
bool fake_disk_is_off(const struct fake_disk *d);
/* Changing calls since fake_disk_new(). */
uint64_t fake_disk_n_calls(const struct fake_disk *d);

struct fake_disk_cut {
    unsigned sector_bytes; /* 512 or 4096 */
    /* chance that a pending sector, size or name is kept; the rest: lost, part, garbage */
    unsigned keep_percent;
    unsigned garble_percent; /* of the sectors not kept: garbage instead of old bytes */
};
/* What a machine finds after the cut: pending things are decided, the cache is the disk. Turns the
 * power on. With cut NULL all of it is drawn from the seed. */
void fake_disk_power_on(struct fake_disk *d, const struct fake_disk_cut *cut);
/* Only the process dies: the cache stays, and so does everything pending. Turns the "power" on
 * again. */
void fake_disk_restart(struct fake_disk *d);

/* ---- failures ---- */

enum fake_disk_sync_failure {
    FAKE_DISK_SYNC_PAGES_CLEAN, /* error; pages clean, cache new, disk old: ext4 ordered, XFS */
    /* success although nothing reached the disk, error at the next one: ext4 data mode */
    FAKE_DISK_SYNC_NEXT,
    FAKE_DISK_SYNC_REVERT, /* error; cache and disk old: Btrfs */
};
/* The n-th fdatasync or sync_dir from now fails (0: none). A failed sync_dir leaves the names
 * pending. */
void fake_disk_fail_sync(struct fake_disk *d, uint64_t n, enum fake_disk_sync_failure how);
/* What a sync that fails returns (negative; 0: -EIO). */
void fake_disk_set_sync_error(struct fake_disk *d, int error);
/* The n-th changing call from now returns error (negative) and does nothing (0: none). */
void fake_disk_fail_call(struct fake_disk *d, uint64_t n, int error);
/* All files together may have this many bytes; allocate and pwritev beyond give -ENOSPC. 0: no
 * limit. */
void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes);
/* Reads that touch these bytes of the file give -EIO. name NULL: none. */
void fake_disk_fail_read(struct fake_disk *d, const char *name, uint64_t offset, uint64_t len);
/* Short writes: pwritev takes at most so many bytes at once. 0: all. */
void fake_disk_set_write_max(struct fake_disk *d, size_t bytes);

/* ---- looking and rotting ---- */

/* The bytes of a file as a reader sees them; NULL when there is no such name. Valid until the next
 * change of the file. */
const unsigned char *fake_disk_bytes(const struct fake_disk *d, const char *name, size_t *ret_size);
/* The bytes that any power cut from now on leaves under this name; NULL: one may leave others, or
 * none. Valid until the next change of the file. */
const unsigned char *fake_disk_durable(const struct fake_disk *d, const char *name,
                                       size_t *ret_size);
/* Rot: inverts one bit on the disk and in the cache. The offset lies in the file. */
void fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset, unsigned bit);
/* Cuts or grows (with zeros) a file, durably. */
void fake_disk_resize(struct fake_disk *d, const char *name, size_t size);
/* Writes a whole file, durably; replaces one of that name. */
void fake_disk_put(struct fake_disk *d, const char *name, const void *data, size_t size);
void fake_disk_remove(struct fake_disk *d, const char *name);
void fake_disk_rename(struct fake_disk *d, const char *from, const char *to);
unsigned fake_disk_n_files(const struct fake_disk *d);
/* In order of creation; valid until the next change. */
const char *fake_disk_name(const struct fake_disk *d, unsigned i);
uint64_t fake_disk_used(const struct fake_disk *d);
unsigned fake_disk_n_open(const struct fake_disk *d);
/* Called before each changing call; `what` is "pwritev", "fdatasync", ...; name may be "" for the
 * directory. */
void fake_disk_set_hook(struct fake_disk *d,
                        void (*hook)(void *ctx, const char *what, const char *name), void *ctx);

#endif
