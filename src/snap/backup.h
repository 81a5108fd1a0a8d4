/* A backup: one file, or stream, from which a cluster can be founded.
 *
 *     the copy of the state | a trailer | a label
 *
 * Copy and trailer are a snapshot as a client is given it (snap.h), so that nothing stands in it
 * that only members may know (MEMBER-16). The label behind them says what a person asks of a backup
 * and a snapshot does not know: of which cluster, by which node, when, by which program. It is
 * found from the end, as a trailer is, and its checksum covers the trailer as well: a label speaks
 * of the snapshot that it was made for alone. docs/STORAGE.md has the bytes.
 *
 * A snapshot without a label is as good a backup (what `ridctl snapshot --save` makes, and the
 * files that a node keeps): it says less, and a stream that was cut exactly there is one.
 *
 * For: `ridctl backup`, and `ridd --restore`.
 * Not for: what the copy holds: all of it is to be read through by who knows the state (kv.h)
 * before anything else is done with it (BACKUP-3).
 * Units: bytes; seconds of the wall clock.
 * Ownership: the descriptor is borrowed.
 * Errors: BACKUP_E_* with err_text(): one sentence that names the file, says what it is, and what
 * to do; -errno.
 * Thread: one at a time.
 * Source: SNAP-16, BACKUP-3. */
#ifndef RIDD_SNAP_BACKUP_H
#define RIDD_SNAP_BACKUP_H

#include "base/outcome.h"
#include "snap/snap.h"

/* NONE: it is something else, or nothing. DAMAGED: it is one that was cut short, or changed.
 * NEWER: of a later version. */
#define BACKUP_ERRORS(X)                                                                           \
    X(BACKUP_E_NONE, 1, "it is no backup")                                                         \
    X(BACKUP_E_DAMAGED, 2, "the backup is damaged")                                                \
    X(BACKUP_E_NEWER, 3, "a later version wrote the backup")
enum backup_error { BACKUP_ERRORS(OUTCOME_NUMBER) };
const char *backup_error_text(int rc);

#define BACKUP_HASH_SIZE 17u

/* What a label says; none of it is believed for more than showing it. Texts are of printable
 * characters, and may be "". */
struct backup_label {
    uint64_t begun_s; /* when it was begun; what is in it is no older */
    char cluster_name[NODE_NAME_BYTES_MAX + 1];
    char cluster_hash[BACKUP_HASH_SIZE]; /* what clients were shown of its id */
    char node_name[NODE_NAME_BYTES_MAX + 1];
    char program[BACKUP_PROGRAM_BYTES_MAX + 1]; /* who saved it, and its version */
};
/* "2026-11-30T16:33:50Z", or "?" for a time that no calendar has. */
#define BACKUP_TIME_SIZE 24u
void backup_time_text(uint64_t s, char ret_text[BACKUP_TIME_SIZE]);
/* The label of the snapshot whose trailer that is and which has so many bytes, trailer included.
 * Bytes of texts that are not printable become '?'. Appends to buf. 0 or -ENOMEM. */
int backup_label_encode(const struct backup_label *l, uint64_t snapshot_bytes, const void *trailer,
                        size_t trailer_len, struct buf *buf);
/* How many bytes the label has whose tail is the last of these: 0 when there is none. Of any
 * version; not yet a word on whether it is good. */
size_t backup_tail_find(const void *data, size_t len);
/* Total: any bytes give a label, BACKUP_E_DAMAGED or BACKUP_E_NEWER (without words). */
int backup_label_decode(const void *data, size_t len, uint64_t snapshot_bytes, const void *trailer,
                        size_t trailer_len, struct backup_label *ret);

struct backup {
    int fd;           /* borrowed; reads at any offset */
    const char *name; /* borrowed; for sentences */
    uint64_t bytes;   /* of all of it */
    struct snap_meta meta;
    size_t trailer_bytes;
    bool has_label;
    struct backup_label label;
};
/* Looks at both ends of a file. 0, BACKUP_E_*, -errno. What lies between was not read. */
int backup_open(int fd, const char *name, struct backup *ret);
/* All n bytes of the copy from offset on. As kv_source.read: 0; BACKUP_E_DAMAGED: it ends before;
 * -errno. */
int backup_read(void *backup, void *buf, size_t n, uint64_t offset);
/* Reads the copy through and compares its checksum. progress, which may be NULL, is told how far it
 * is. 0, BACKUP_E_DAMAGED, -errno. */
int backup_check(struct backup *b, void (*progress)(void *ctx, uint64_t done), void *ctx);
/* What its copy was found to be is wrong (why), or does not agree with its end: BACKUP_E_DAMAGED in
 * words that name the file. */
int backup_say_wrong(const struct backup *b, const char *why);

#endif
