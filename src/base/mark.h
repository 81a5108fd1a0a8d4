/* Small files that are written whole: a magic, a payload, a CRC32C; either all of it is there or
 * none.
 *
 * mark_write() goes through `NAME.tmp`, fsync, rename and fsync of the directory: durable at
 * return, and a crash at any point leaves the old file or the new one, and perhaps a NAME.tmp,
 * which nobody reads and the next write replaces. Files are 0600 and are neither written nor read
 * through a symbolic link. A file that anybody else may write to or read, or that another user
 * owns, is MARK_E_ACCESS: what it says is not used, but for its version, which is looked at first.
 *
 * File: magic[8], payload, u32 crc32c of both, little endian. Names are relative to dir_fd, at most
 * 32 bytes. The magic ends with the digit of the version. Every later version keeps this frame,
 * whatever it makes of the payload: a higher digit with a good checksum is MARK_E_NEWER and no
 * damage (DISK-24).
 *
 * For: what must be known before log and state are looked at: identity, peers, whether a state may
 * be believed.
 * Not for: anything that is written often, or that grows: each write costs two syncs.
 * Units: bytes of the payload.
 * Ownership: dir_fd and buffers are the caller's.
 * Errors: MARK_E_* with err_text(), nothing was read then; -errno: a write may or may not have
 * happened, and is not known to be durable.
 * Thread: any; two writers of one name must not meet.
 * Source: DISK-16 (a folder is synced before anything relies on a name), IDENTITY-4 (closed to all
 * others). */
#ifndef RIDD_BASE_MARK_H
#define RIDD_BASE_MARK_H

#include <stdbool.h>
#include <stddef.h>

#define MARK_MAGIC_BYTES    8u
#define MARK_OVERHEAD_BYTES (MARK_MAGIC_BYTES + 4u)

enum mark_error {
    MARK_E_MISSING = 1,
    MARK_E_DAMAGED = 2, /* no regular file, wrong size, magic or checksum */
    MARK_E_ACCESS = 3,  /* mode or owner */
    MARK_E_NEWER = 4,   /* of a later version; the words say what to do */
};

/* Where the disk is full the reserve of the folder is given up for it (SPACE-10). */
int mark_write(int dir_fd, const char *name, const char magic[MARK_MAGIC_BYTES], const void *data,
               size_t len);
/* A file of MARK_RESERVE_BYTES is kept in the folder for that; made when it is missing or short and
 * there is room. Nothing is said of a failure: it is tried again. */
void mark_keep_reserve(int dir_fd);
/* Gives it up, for what must be written now. False: there was none. */
bool mark_use_reserve(int dir_fd);
/* The payload, at most `size` bytes, into buf. 0, MARK_E_*, -errno. */
int mark_read(int dir_fd, const char *name, const char magic[MARK_MAGIC_BYTES], void *buf,
              size_t size, size_t *ret_len);
/* Gone, and its directory durable, at return; a missing file is no error. 0 or -errno. */
int mark_remove(int dir_fd, const char *name);

#endif
