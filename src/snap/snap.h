/* Snapshots on the disk: one file each, whole or not there.
 *
 * A snapshot is a copy of the state at exactly one entry (kv/kv.h has the bytes of it), and behind
 * it a trailer that says of which entry, of which cluster, with which configuration in force, and
 * what the copy must add up to. It is written under a name that counts for nothing, synced, and
 * only then given its own, `INDEX-TERM.snap`; the folder is synced before anybody relies on it.
 * docs/STORAGE.md has the bytes, and what a crash at each step leaves.
 *
 * For: making, receiving, reading and keeping snapshots of one group on one node.
 * Not for: what the copy holds, which is the state's (it is handed to it as a kv_source or the
 * like); when one is made or sent, and whether it may be installed (engine/, raft/).
 * Units: bytes; entries of the log.
 * Ownership: the vfs (below data/snap) is borrowed and outlives the folder; readers and writers
 * are closed before it.
 * Errors: SNAP_E_* with err_text(), and -errno. A folder without room is SNAP_E_FULL, and nothing
 * is left of what was being written. A file that is damaged is no end of anything: it counts for
 * nothing, and says so.
 * Thread: a folder may be used by several threads: what they share is behind a mutex inside. One
 * writer or reader is used by one thread at a time.
 * Source: the SNAP rules of docs/RULES.md; dissertation 5. */
#ifndef RIDD_SNAP_SNAP_H
#define RIDD_SNAP_SNAP_H

#include "base/buf.h"
#include "base/outcome.h"
#include "raft/raft.h"
#include "store/vfs.h"

/* MISSING: there is none of that entry. DAMAGED: its bytes are not those that were written.
 * FOREIGN: of another cluster or group. NEWER: of a later version. GIVEN: a copy that a client was
 * given (snap_meta.given). */
#define SNAP_ERRORS(X)                                                                             \
    X(SNAP_E_MISSING, 1, "there is no such snapshot")                                              \
    X(SNAP_E_DAMAGED, 2, "the snapshot is damaged")                                                \
    X(SNAP_E_FOREIGN, 3, "the snapshot is of another cluster or group")                            \
    X(SNAP_E_NEWER, 4, "the snapshot was written by a later version")                              \
    X(SNAP_E_FULL, 5, "there is no room for the snapshot")                                         \
    X(SNAP_E_GIVEN, 6, "the snapshot is a copy that a client was given")
enum snap_error { SNAP_ERRORS(OUTCOME_NUMBER) };
const char *snap_error_text(int rc);

/* What the trailer says. */
struct snap_meta {
    unsigned char cluster_id[16];
    uint16_t group;
    struct raft_entry_id id;      /* the last entry that the state holds */
    struct raft_config_at config; /* in force there: its index is not above id.index */
    uint32_t state_format;        /* kv_copy_format(), or a simulator's */
    uint32_t digest_version;
    struct raft_digest_at digest; /* its index is id.index */
    uint64_t n_keys;
    uint64_t live_bytes;
    uint64_t limit_bytes;
    uint64_t body_bytes; /* of the copy */
    uint32_t body_crc;   /* CRC32C of all of it */
    /* What a client is given: what only members may know is not in it (MEMBER-16, PEER-7), and no
     * node goes on from it. */
    bool given;
};
/* Makes a trailer that a client may be given: the random id of the cluster goes, and so do the
 * incarnations, and the ids of those who were added, which are made of them: in their place stand
 * ids that are made of the names. All else stays, and it is given then. */
void snap_meta_give(struct snap_meta *m);
/* A trailer as it stands in the file and travels: SNAP_TRAILER_BYTES at most. Appends to buf. 0 or
 * -ENOMEM. */
int snap_meta_encode(const struct snap_meta *m, struct buf *buf);
/* How many bytes the trailer has whose tail is the last of these: 0 when there is none, or it says
 * what cannot be. Of any version; not yet a word on whether it is good. */
size_t snap_tail_find(const void *data, size_t len);
/* Total: any bytes give a meta, SNAP_E_DAMAGED or SNAP_E_NEWER. All fields are compared with their
 * bounds: index and term above 0 and at most RAFT_INDEX_MAX, body_bytes at most SNAP_BYTES_MAX; one
 * that is given has nothing that snap_meta_give() takes out. */
int snap_meta_decode(const void *data, size_t len, struct snap_meta *ret);

struct snap_folder;

struct snap_conf {
    struct vfs *vfs;
    unsigned char cluster_id[16];
    uint16_t group;
};
/* Looks at all names and trailers. What was being written when a process ended is removed. Files
 * whose trailer is not good, or says that a client was given it, or that have the name of another,
 * are kept, are not in the list, and are told in err_text() (the newest of them; "" when there is
 * none). Of more than SNAP_FILES_MAX the oldest are left alone, as is what has no name of ours. The
 * names that it found are durable then. 0 or -errno. */
int snap_open(const struct snap_conf *conf, struct snap_folder **ret);
void snap_close(struct snap_folder *s);

/* Those with a good trailer, newest first, at most n_max; returns how many. */
unsigned snap_list(struct snap_folder *s, struct snap_meta *ret, unsigned n_max);
/* What is older than the newest that was read again since it was written or the folder was opened
 * (snap_check()) goes; of what is newer than that one the two newest stay. While none was read
 * again nothing good goes. Damaged ones go with what is older, and of the others all but the
 * newest. Those that are being read (snap_reader) are spared, and what another version or cluster
 * wrote. What ends behind up_to, which the log of this node may not reach, is spared and no reason
 * for another to go (SNAP-23). Call it after snap_check(). 0 or -errno. */
int snap_prune(struct snap_folder *s, raft_index up_to);
/* None of them is to be believed: all go but that of `spared`, those that are being read, and what
 * another version or cluster wrote. *ret_left: some good one is there still that should go. 0 or
 * -errno. */
int snap_discard(struct snap_folder *s, struct raft_entry_id spared, bool *ret_left);
/* What reads a file through ends soon, with -ECANCELED, from now on. Any thread. */
void snap_stop(struct snap_folder *s);
/* Was it read again in this process, whole and as it stands there now (snap_check())? That a file
 * has its name and its size says nothing of what the disk has of it (SNAP-5). */
bool snap_is_checked(struct snap_folder *s, struct raft_entry_id id);
/* The name of the newest that is damaged. False: none is. */
bool snap_damaged_name(struct snap_folder *s, char *ret_name, size_t size);
/* What was given up and still has its room on the disk: giving it back may take long, so whoever
 * gives something up has not to wait for it (SNAP-24). */
bool snap_has_leavings(struct snap_folder *s);
/* Gives it back. Waits for the disk. What cannot be removed goes with the next writer of its
 * purpose, or at the next start. */
void snap_clear_leavings(struct snap_folder *s);
/* Bytes of all files, those that are being written included. */
uint64_t snap_bytes(struct snap_folder *s);

/* ---- writing ---- */

struct snap_writer;
/* A file that counts for nothing yet; what an earlier one with the same purpose left is
 * overwritten: "made" of this node, "received" of another. */
enum snap_purpose { SNAP_MADE, SNAP_RECEIVED };
/* One of each purpose at a time. 0, SNAP_E_FULL, -errno. */
int snap_writer_new(struct snap_folder *s, enum snap_purpose purpose, struct snap_writer **ret);
/* Appends to the copy. 0, SNAP_E_FULL (more than SNAP_BYTES_MAX, too), -errno; then the file is
 * gone, and all that remains to do with w is to drop it. */
int snap_writer_add(struct snap_writer *w, const void *data, size_t n);
/* So far, and their CRC32C. */
uint64_t snap_writer_bytes(const struct snap_writer *w);
uint32_t snap_writer_crc(const struct snap_writer *w);
/* The copy may be read before it is finished, to be checked. As kv_source.read: 0, SNAP_E_DAMAGED
 * (there is less of it), -errno. */
int snap_writer_read(void *writer, void *buf, size_t n, uint64_t offset);
/* The trailer, sync, name, sync of the folder: it is there. m->body_bytes and body_crc must be what
 * was written, and the rest what snap_meta_decode() would accept: otherwise SNAP_E_DAMAGED, or
 * SNAP_E_FOREIGN when it is of another cluster or group, and SNAP_E_GIVEN. One of the same entry is
 * replaced, but not what a later version or another cluster wrote under that name: SNAP_E_NEWER,
 * SNAP_E_FOREIGN. Also
 * SNAP_E_FULL, where there are SNAP_FILES_MAX already, too, and -errno. w is gone, whatever is
 * returned. Where the folder could not be synced, one that had replaced another stays in the list:
 * both are whole. */
int snap_writer_finish(struct snap_writer *w, const struct snap_meta *m);
/* Nothing of it counts. Does not wait for the disk: its file goes with snap_clear_leavings(), when
 * the next one of its purpose begins, or with the folder. NULL is accepted. */
void snap_writer_drop(struct snap_writer *w);

/* ---- reading ---- */

struct snap_reader;
/* The snapshot of this entry; while it is open it is not pruned, and goes on being what it was when
 * it is replaced. SNAP_E_MISSING, SNAP_E_DAMAGED, -errno. */
int snap_reader_new(struct snap_folder *s, struct raft_entry_id id, struct snap_reader **ret);
const struct snap_meta *snap_reader_meta(const struct snap_reader *r);
/* All n bytes of the copy from offset on: 0, SNAP_E_DAMAGED (it ends before), -errno. As
 * kv_source.read. */
int snap_reader_read(void *reader, void *buf, size_t n, uint64_t offset);
/* Does not wait for the disk: a file that was replaced meanwhile goes with snap_clear_leavings().
 * NULL is accepted. */
void snap_reader_drop(struct snap_reader *r);

/* Reads the whole file from the disk (not from memory, as far as the vfs can tell it so) and
 * compares its checksum. It counts as read again from then on. 0; SNAP_E_DAMAGED: it is no longer
 * in the list (what the disk cannot read is damaged as well); SNAP_E_MISSING; -errno. */
int snap_check(struct snap_folder *s, struct raft_entry_id id);

#endif
