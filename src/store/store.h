/* The durable log: entries and hard state in one stream of segments.
 *
 * store_open() recovers (DISK-2 to DISK-11). store_submit() copies a batch into a queue and
 * returns at once; store_write() takes what is queued, writes it as one batch of bounded bytes with
 * one pwritev and makes it durable with one fdatasync, and says up to which submitted number all is
 * durable.
 * Nothing of a later batch is written before the fdatasync of the one before it has returned 0
 * (DISK-14). A torn tail is cut and reported; damage before it refuses to open. docs/STORAGE.md has
 * the bytes, and what a crash at each step leaves.
 *
 * For: term, vote and entries that a node may speak of; the only code that syncs them.
 * Not for: the state machine, what an entry means, and when a message may leave (replica/).
 * Units: bytes; indexes and numbers of batches.
 * Ownership: submitted bytes are copied; what is read is allocated from the caller's arena.
 * Errors: STORE_E_* with err_text() from opening and reading, and -errno. Any error of
 * store_write() is final: the caller ends the process with exit 74 and never retries (DISK-13).
 * Thread: store_submit() from the loop thread; store_write(), store_work(), store_prepare() and
 * store_idle() from a second, store_read() from a third (log_reads.h), each from one at a time (or
 * all from one, in the simulator); what they share is behind one mutex inside.
 * Source: the DISK rules of docs/RULES.md; dissertation 3.8 and 10.2.1. */
#ifndef RIDD_STORE_STORE_H
#define RIDD_STORE_STORE_H

#include <stdio.h>

#include "base/histogram.h"
#include "base/outcome.h"
#include "raft/raft.h"
#include "store/vfs.h"

struct store;

/* DAMAGED: exit 65; err_text() says file, offset, batch, index range, evidence and the way out.
 * FOREIGN: exit 78. NO_LOG: the folder is empty, store_create() was never done. NEWER: exit 78, and
 * nothing was changed: the later version can go on. COMPACTED: of reading only. LATER: of
 * log_reads_get() only. */
#define STORE_ERRORS(X)                                                                            \
    X(STORE_E_DAMAGED, 1, "the log is damaged")                                                    \
    X(STORE_E_FOREIGN, 2, "the log belongs to another cluster, node or incarnation")               \
    X(STORE_E_NO_LOG, 3, "there is no log")                                                        \
    X(STORE_E_NEWER, 4, "the log was written by a later version")                                  \
    X(STORE_E_COMPACTED, 5, "the entry is compacted: the log begins behind it")                    \
    X(STORE_E_LATER, 6, "the entry is being read")
enum store_error { STORE_ERRORS(OUTCOME_NUMBER) };
const char *store_error_text(int error);

struct store_conf {
    struct vfs *vfs; /* below data/wal; borrowed */
    unsigned char cluster_id[16];
    raft_node_id node_id;
    uint64_t incarnation;
    uint64_t salt_seed;         /* for the random salt of new segments */
    size_t segment_first_bytes; /* STORE_SEGMENT_FIRST_BYTES, smaller in tests */
    size_t segment_bytes;       /* STORE_SEGMENT_BYTES */
    /* what the trusted state machine holds: evidence for DISK-4; 0: unknown */
    raft_index applied_index;
    /* what one that is not trusted still shows to have been applied; evidence, too; 0: nothing
     * (DISK-41) */
    raft_index shown_index;
    uint16_t group; /* of every record: one group exists, 0 */
    /* How long one batch of the disk may take, about: what is queued is split so that completions
     * come regularly (DISK-31). 0: batches are of STORE_BATCH_BYTES_MAX. */
    uint64_t batch_us;
    size_t batch_bytes_max; /* 0: STORE_BATCH_BYTES_MAX; smaller in tests */
    uint64_t slow_us;       /* a sync that takes so long is told (store_take_slow()); 0: none is */
    uint64_t (*now_us)(const void *ctx); /* NULL: the clock; of tests: theirs */
    const void *now_ctx;
};

/* Writes the first segment with hard state (term 1, no vote) and the CONFIG entry at index 1, term
 * 1; durable at return. 0; -EEXIST when there are files of a log already; -errno. */
int store_create(const struct store_conf *conf, const void *config_entry, size_t len);

struct store_recovered {
    struct raft_hard_state hard_state;
    /* The log begins behind it: 0/0, or the last entry that was removed from its front. */
    struct raft_entry_id base;
    /* The highest that a mark in the log says a snapshot covers, or that it was reset to; 0/0:
     * none. Never below the base (DISK-23). */
    struct raft_entry_id marked;
    raft_index last_index;
    raft_index commit_index;       /* highest recorded in a durable batch */
    struct raft_term_range *terms; /* owned; the first begins behind the base */
    size_t n_terms;
    /* Owned; ascending: the one in force at the base, as the first segment begins with it, and
     * those in the log. A log of an earlier version that begins with entry 1 has that there. */
    struct raft_config_at *configs;
    size_t n_configs;
    bool torn_tail;      /* a tail was cut: */
    char torn_text[256]; /* what and where, for one warning */
    uint64_t bytes_scanned;
    unsigned n_segments;
};
void store_recovered_done(struct store_recovered *r);

/* 0 (both outputs written), STORE_E_*, -errno. */
int store_open(const struct store_conf *conf, struct store_recovered *ret_recovered,
               struct store **ret_store);
void store_close(struct store *s);

struct store_batch {
    uint64_t number; /* of the core: grows by one */
    bool has_hard_state;
    struct raft_hard_state hard_state;
    /* index 0: none. Otherwise all entries go, before anything else of this batch, and the log
     * begins behind this one, which is the last of a durable snapshot and was not in the log; the
     * hard state stays, or that of this batch takes its place in the same moment: its term is not
     * below the one of this entry. `reset_config` is the configuration in force there. */
    struct raft_entry_id reset;
    const struct raft_config_at *reset_config; /* borrowed for the call */
    raft_index truncate_from;                  /* 0: none */
    const struct raft_entry *entries;
    unsigned n_entries;
    raft_index commit_index;
};
/* 0 or -ENOMEM. */
int store_submit(struct store *s, const struct store_batch *b);

/* ---- the front (DISK-42) ---- */

/* A snapshot that covers all up to `id` is durable: a mark that says so is queued behind what was
 * submitted. 0 or -ENOMEM. Loop thread. */
int store_mark(struct store *s, struct raft_entry_id id);
/* The highest index of a mark, or of a reset, that is durable. Any thread. */
raft_index store_marked(struct store *s);
/* What the base would be if whole segments were removed from the front: of entries at or below
 * `limit` only, none that is not durable, never the active one, and so that at least keep_bytes of
 * the log's used bytes stay. The base of now when none may go. Any thread. */
struct raft_entry_id store_front(struct store *s, raft_index limit, uint64_t keep_bytes);
/* The base is this one from now on, which store_front() has just said for a limit not above
 * store_marked(): nothing below is read any more (STORE_E_COMPACTED), and the files go, one by one,
 * oldest first, by store_prepare(). Loop thread. */
void store_drop_front(struct store *s, struct raft_entry_id base);
/* Used bytes of the log behind the entry `index`, about; all of them when that is not in it. Any
 * thread. */
uint64_t store_bytes_behind(struct store *s, raft_index index);
/* One batch of the disk, of what is queued: store_has_work() says whether there is more.
 * *ret_number: every submitted batch up to it is durable; unchanged when only a part of the next
 * one is, or nothing was queued. */
int store_write(struct store *s, uint64_t *ret_number);
/* Until nothing is queued. For hosts without a log thread. */
int store_work(struct store *s, uint64_t *ret_number);
/* The same of one batch more, which is durable at return; where the active segment has no place for
 * it another one is made first. Nothing else may be queued. 0, or -errno: -ENOSPC when it found no
 * place. For programs that are no node. */
int store_write_now(struct store *s, const struct store_batch *b);
/* Call when idle for some 5 ms after a sync: writes a SYNCMARK without fsync, once per batch. */
int store_idle(struct store *s);
/* A slice of preparing the next segment, or of looking for room while there is none: some
 * milliseconds at most. Same thread as store_work(); call after having reported what
 * that made durable, and again while *ret_more. Without it all is as right, only rotation takes
 * longer. A full disk or quota is no error here: stats.no_space says so until room is back. */
int store_prepare(struct store *s, bool *ret_more);
/* What stands before the first entry: 0/0, or the last that was removed or is covered by what the
 * log was reset to. Any thread. */
struct raft_entry_id store_base(struct store *s);
/* True while batches are queued for which there is a place. Any thread. */
bool store_has_work(struct store *s);

/* For raft_log_reader: entries from `from` on, at most n_max, none above `to`; at least one, then
 * as many as fit bytes_max; payloads from the arena. 0; STORE_E_COMPACTED when the log begins
 * behind `from`; -ERANGE when it ends before it; -EBADMSG when what was durable cannot be read. */
int store_read(struct store *s, raft_index from, raft_index to, size_t bytes_max,
               struct arena *arena, struct raft_entry *ret_entries, unsigned n_max,
               unsigned *ret_n);

struct store_stats {
    uint64_t n_fsyncs;
    uint64_t n_batches; /* submitted batches made durable */
    uint64_t bytes_written;
    uint64_t n_writes; /* into the segments, of those bytes */
    uint64_t n_entries;
    uint64_t last_fsync_us; /* duration of the last one */
    uint64_t max_fsync_us;
    /* Of the last half minute to minute. */
    uint64_t fsync_p50_us;
    uint64_t fsync_p99_us;
    uint64_t fsync_longest_us;
    unsigned n_segments;
    uint64_t log_bytes; /* used bytes of all segments */
    /* The next segment could not be prepared: refuse new writes (SPACE-1). */
    bool no_space;
    /* What can certainly be written: into the active segment and the prepared one. */
    uint64_t room_bytes;
    uint64_t queued_bytes; /* submitted, and not durable */
};
void store_get_stats(struct store *s, struct store_stats *ret_stats);
/* The same but for the times of fsync, which are left at 0: they cost a walk through hundreds of
 * counters, under the lock that the log thread wants, too. For whoever asks in each turn or of each
 * message. */
void store_get_counts(struct store *s, struct store_stats *ret_stats);

/* How long its syncs took, each with the write before it, since the store was opened. Any
 * thread. */
void store_get_syncs(struct store *s, struct histogram *ret);
/* How long they took in all. Any thread; costs nothing. */
uint64_t store_busy_us(const struct store *s);
/* One that took conf.slow_us and more. */
struct store_slow {
    uint64_t from_us;
    uint64_t to_us;
    uint64_t bytes;
};
/* The next one that was not taken yet, in their order; the oldest of more than STORE_SLOW_MAX are
 * dropped. False: there is none, which costs next to nothing. Loop thread. */
bool store_take_slow(struct store *s, struct store_slow *ret);

/* Prints every record readably, one line each, then a verdict line; goes on behind damage as far as
 * it can. 0: clean or torn tail; STORE_E_*; -errno. Opens read-only, repairs nothing. With
 * conf->node_id 0 identity is read from the first segment and not checked. */
int store_dump(const struct store_conf *conf, FILE *out);
/* The verdict line alone. */
int store_dump_verdict(const struct store_conf *conf, FILE *out);

/* Bytes that a record with such a payload takes in the log. */
size_t store_record_bytes(size_t payload_len);

#endif
