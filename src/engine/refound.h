/* State, log and snapshot of a node that begins another cluster with what a backup holds.
 *
 *     the copy, checked ─► the state ─► without sessions, its last entry far above ─► closed
 *                                            │
 *                                            └─► a snapshot of that ─► a log that begins behind it
 *
 * The new node is as one that was brought a snapshot: whatever becomes of its state, its snapshot
 * and its log make it again. LMDB opens nothing before it was read through (BACKUP-3). Nobody who
 * has a number of the old cluster finds anything under it in the new one (BACKUP-2).
 *
 * For: `ridd --restore`.
 * Not for: who the node is, and whether its folders may be written to: they are empty, and nothing
 * in them counts before the host says so (node/identity.h).
 * Units: bytes; places in the log.
 * Ownership: everything is borrowed for the call.
 * Errors: REFOUND_E_* and -errno, with err_text(). What is left then is to be thrown away.
 * Thread: one, which waits for the disk.
 * Source: BACKUP-1 to BACKUP-4; DISK-43. */
#ifndef RIDD_ENGINE_REFOUND_H
#define RIDD_ENGINE_REFOUND_H

#include "base/outcome.h"
#include "engine/engine.h"

/* DAMAGED: the copy is not what the backup says of it. OTHER: this program, or machine, cannot read
 * it. FULL: no room. */
#define REFOUND_ERRORS(X)                                                                          \
    X(REFOUND_E_DAMAGED, 1, "the backup is damaged")                                               \
    X(REFOUND_E_OTHER, 2, "the backup cannot be used here")                                        \
    X(REFOUND_E_FULL, 3, "there is no room for what the backup holds")
enum refound_error { REFOUND_ERRORS(OUTCOME_NUMBER) };
const char *refound_error_text(int rc);

struct refound {
    const struct engine_conf *conf; /* log, log_fd, kv, snap_fd; quota_bytes of the file */
    const struct snap_meta *backup; /* its trailer */
    const struct kv_source *source; /* its copy */
    /* The copy is not asked for any more: what holds it may go. NULL: nobody wants to know. */
    void (*read)(void *ctx);
    void *ctx;
    struct raft_configuration configuration; /* of the new cluster: this node alone */
    raft_index first_index;                  /* the log begins behind it (refound_index()) */
};
/* Of the day, in microseconds since 1970. */
struct refound_time {
    uint64_t now_us;   /* as this machine says */
    uint64_t begun_us; /* when the backup was begun, as it says; 0: it does not */
};
struct refound_base {
    raft_index index;
    bool by_time; /* false: the times do not fit, and it is far above the backup, by chance */
};
/* Where the new log begins: above all that the old cluster may have written since, and above what
 * any restore of an earlier time has, of whatever backup. The kernel's random bytes are needed. 0;
 * REFOUND_E_OTHER: there are no numbers left; -errno. */
int refound_index(const struct snap_meta *backup, const struct refound_time *t,
                  struct refound_base *ret);
/* ret: of the snapshot that it made. */
int refound_make(const struct refound *r, struct snap_meta *ret);

#endif
