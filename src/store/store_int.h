/* What the files of store/ share. See store.h for the contract, format_int.h for the bytes.
 *
 *   scan.c      one segment in memory: batches, and what stands behind the last good one
 *   folder.c    which files there are, and whose
 *   replay.c    what the records of a batch say
 *   recover.c   which bytes are the log; read-only but for making durable what will be trusted
 *   store.c     create, open (recover, then a new segment), submit
 *   write.c     what is queued becomes batches
 *   opening.c   what each segment begins with: term and vote, mark, configuration
 *   stages.c    how a batch and a segment reach the disk, rotation
 *   room.c      the next segment, and a full disk
 *   front.c     the front of the log: marks, what may go, files that go
 *   read.c      entries by index
 *   index.c     where in the files an index stands
 *   terms.c     which term an index is of
 *   dump.c      everything as text */
#ifndef RIDD_STORE_STORE_INT_H
#define RIDD_STORE_STORE_INT_H

#include <errno.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/prng.h"
#include "store/format_int.h"
#include "store/store.h"
#include "store/sync_times.h"

/* One point of the in-memory index per so many bytes of log: a read passes over at most this much
 * to find its entry. */
#define STORE_INDEX_BYTES (32u << 10)

#define STORE_NAME_BYTES 40u

/* The batch that a new segment begins with, at most: LEASED_STATE, SNAPMARK, BATCH_END, and beside
 * them the configuration in force (store_overhead()). */
#define STORE_OPENING_BYTES                                                                        \
    (RECORD_HEADER_BYTES + LEASED_STATE_BYTES + RECORD_HEADER_BYTES + SNAPMARK_BYTES +             \
     RECORD_HEADER_BYTES + BATCH_END_BYTES)
/* Kept free in every segment for its last batch: SYNCMARK, SEGMENT_END, BATCH_END. */
#define STORE_CLOSING_BYTES (3 * RECORD_HEADER_BYTES + SYNCMARK_BYTES + BATCH_END_BYTES)
/* A segment takes at least this much besides the configuration and its first real batch. */
#define STORE_SEGMENT_OVERHEAD (SEGMENT_HEADER_BYTES + STORE_OPENING_BYTES + STORE_CLOSING_BYTES)

static_assert(STORE_SEGMENT_OVERHEAD + 4 * STORE_BATCH_BYTES_MAX <= STORE_SEGMENT_BYTES,
              "a full segment wastes at most a quarter");
static_assert(STORE_SEGMENT_BYTES <= STORE_FILE_BYTES_MAX, "a segment is no larger than any file");
static_assert(2 * ENTRY_BYTES_MAX <= STORE_BATCH_BYTES_MAX, "an entry fits a batch");

/* ---- names ---- */

void store_name_segment(char name[STORE_NAME_BYTES], uint64_t seq);  /* 0000000000000012.wal */
void store_name_prepared(char name[STORE_NAME_BYTES], uint64_t seq); /* 0000000000000012.prep */
/* newest-0000000000000012, empty: segment 12 is there under its name, durably. */
#define STORE_NEWEST_PREFIX "newest-"
void store_name_newest(char name[STORE_NAME_BYTES], uint64_t seq);
/* The number in "NNNNNNNNNNNNNNNN<suffix>"; false when name is not of this form. */
bool store_name_parse(const char *name, const char *suffix, uint64_t *ret_seq);

/* ---- index.c ---- */

/* The entries from `index` up to the next point's index stand in file order from here on, in one
 * segment, with no overwritten entry between them. */
struct index_point {
    raft_index index;
    uint32_t slot; /* position in the table of segments */
    uint32_t offset;
};
struct log_index {
    struct index_point *points; /* owned; ascending by index */
    size_t n;
    size_t size;
};
/* Where the next point is due: at the first entry of a segment, the first after a truncation, and
 * by distance. */
struct index_pace {
    bool fresh;
    uint64_t at;
};
bool index_pace_take(struct index_pace *p, uint64_t offset);
int log_index_reserve(struct log_index *ix, size_t n);          /* 0 or -ENOMEM */
void log_index_add(struct log_index *ix, struct index_point p); /* room was reserved */
void log_index_truncate(struct log_index *ix, raft_index from);
void log_index_drop_front(struct log_index *ix, uint32_t first_slot);
/* The last point at or before index, NULL when there is none. *ret_next: the index of the point
 * after it, 0: none. */
const struct index_point *log_index_find(const struct log_index *ix, raft_index index,
                                         raft_index *ret_next);
void log_index_done(struct log_index *ix);

/* ---- terms.c ---- */

/* Which term each index is of: one range per term. */
struct term_list {
    struct raft_entry_id base;      /* before the first one; 0/0: the log begins with entry 1 */
    struct raft_term_range *ranges; /* owned; ascending */
    size_t n;
    size_t size;
};
int term_list_push(struct term_list *t, raft_term term, raft_index index); /* 0 or -ENOMEM */
void term_list_truncate(struct term_list *t, raft_index from);
/* The log begins behind `base` from now on; its last entry is last_index. */
void term_list_drop_front(struct term_list *t, struct raft_entry_id base, raft_index last_index);
/* The term of the entry at index, which must not be above the last one; also of the base. 0 when
 * there is none: below the base, and at 0. */
raft_term term_list_at(const struct term_list *t, raft_index index);
int term_list_copy(struct term_list *t, const struct term_list *from);

/* ---- scan.c ---- */

struct segment_image {
    const unsigned char *data; /* borrowed; data[0] is file offset 0 */
    size_t len;
    uint64_t salt;
    uint16_t group; /* that its records must have */
};
struct scan_defect {
    uint64_t offset;
    const char *what;
    bool newer; /* written by a later version: neither torn nor damaged */
};
struct scan_batch {
    uint64_t start;
    uint64_t end; /* behind BATCH_END */
    struct batch_end tail;
    raft_index last_index; /* as its BATCH_END says */
    raft_term last_term;
};
enum scan_error { SCAN_E_DEFECT = 1 };
/* Is there a complete, good batch of this number at start? */
int scan_batch(const struct segment_image *img, uint64_t start, uint64_t batch, uint32_t chain,
               struct scan_batch *ret_batch, struct scan_defect *ret_defect);

/* What stands behind the last good batch (DISK-4, DISK-6). */
struct scan_rest {
    uint64_t n_bytes;    /* up to the last byte that is not zero */
    bool only_sync_mark; /* one good SYNCMARK of the open batch and nothing else */
    /* of the entries of the defect batch whose headers are readable; 0: none */
    raft_index first_index;
    raft_index last_index;
    bool evidence; /* the defect batch had been durable: */
    char evidence_text[128];
};
/* `batch` is the number of the defect one. */
void scan_rest(const struct segment_image *img, uint64_t start, uint64_t batch,
               struct scan_rest *ret_rest);

/* Is there a valid record header of a batch behind this one anywhere? */
bool scan_later(const struct segment_image *img, uint64_t batch);

/* ---- the store ---- */

struct submission {
    struct submission *next;
    uint64_t number; /* of a mark: of the batch before it */
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_entry_id reset; /* index 0: none; with the configuration in force there */
    struct raft_entry_id reset_config_id;
    const unsigned char *reset_config; /* in the same block */
    uint32_t reset_config_len;
    struct raft_entry_id mark; /* index 0: this is a batch. Otherwise it is nothing else */
    raft_index truncate_from;
    raft_index commit_index;
    uint64_t bytes; /* in the log, at most */
    unsigned n_entries;
    struct raft_entry entries[]; /* payloads behind the last one, in the same block */
};

struct store_segment {
    uint64_t seq;
    uint64_t salt;
    struct raft_entry_id base; /* what stands before it, as its header says */
    uint64_t used;
    /* The log may begin with it (DISK-42): it says mark and configuration by itself, and `base`
     * was not removed by a truncation that stands in it or behind it. */
    bool may_begin;
};

/* What stands in an entry or CONFIG record of this id. */
struct store_config {
    struct raft_entry_id id;
    unsigned char *bytes; /* owned */
    uint32_t len;
};

struct index_op {
    raft_index truncate_from; /* 0: add the point */
    struct index_point point;
};

/* Where the writer stands in what it writes: a full disk may stop it at each (SPACE-13). */
enum writer_stage {
    STAGE_NONE,
    STAGE_END,    /* the last batch of the active segment */
    STAGE_STAMP,  /* header and opening batch of the next */
    STAGE_NAME,   /* its name */
    STAGE_FOLDER, /* durable */
    STAGE_NEWEST, /* which segment is the newest */
    STAGE_BATCH,  /* a batch of what was submitted */
};

/* A place in what is queued: that step of this submission comes next. */
struct step_cursor {
    struct submission *sub;
    unsigned step;
};

struct segment_prev {
    uint64_t seq;
    raft_index last_index;
    raft_term last_term;
    uint64_t last_batch;
    uint64_t used;
    uint32_t chain;
};

enum prepare_state { PREPARE_NONE, PREPARE_FILLING, PREPARE_DONE };

/* The log thread's own. */
struct writer {
    int failed;            /* the first error: final */
    uint16_t group;        /* of all records */
    struct vfs_file *file; /* owned; the active segment; NULL: a start found no room for one */
    char name_now[STORE_NAME_BYTES]; /* of it, before STAGE_NAME */
    struct segment_prev prev;        /* what stands before it, or, while there is none, the next */
    enum writer_stage stage;
    bool held; /* there, for want of room */
    uint64_t seq;
    uint64_t newest_seq; /* newest-N says so on the disk; 0: none */
    uint64_t salt;
    uint64_t size;
    uint64_t used; /* end of what is durable */
    /* The open batch. */
    uint64_t batch;
    uint64_t synced_batch;
    uint32_t chain;
    uint32_t n_records;
    uint64_t n_bytes;
    bool marked; /* its SYNCMARK is written */
    /* Records built, to be written at `used`: all of the open batch, its SYNCMARK too. */
    struct buf out;
    /* What was taken from the queue and is not wholly durable. */
    struct submission *taken; /* owned */
    struct submission **taken_end;
    unsigned step;               /* of the first one */
    struct step_cursor batch_to; /* end of the batch of STAGE_BATCH */
    unsigned batch_entries;
    uint64_t durable;     /* of submissions; 0: none that was not said */
    uint64_t bytes_max;   /* of one batch, by what the disk does */
    struct index_op *ops; /* owned; to be done when it is durable */
    size_t n_ops;
    size_t ops_size;
    struct index_pace pace;
    /* The log including the open batch. */
    struct raft_hard_state hard_state;
    raft_index last_index;
    raft_term last_term;
    raft_index commit_index;
    struct term_list terms;
    struct store_config *configs; /* owned; ascending; the last one is in force */
    size_t n_configs;
    size_t configs_size;
    struct raft_entry_id mark; /* the highest; index 0: none */
    bool resets;               /* the segment of the stages voids what is before it */
    bool folder_unsynced;      /* a file of the front went, or may not be the last to go */
    /* The next segment. */
    enum prepare_state prepare;
    struct vfs_file *next_file; /* owned */
    uint64_t next_size;
    uint64_t next_filled;
    bool has_reserve;        /* a file of a small segment's size is kept */
    uint64_t stall_need;     /* what the first of the queue lacks a place for; 0: it does not */
    unsigned no_space_tries; /* in a row */
    unsigned no_space_skip;  /* calls to leave out before the next try */
    struct prng salts;
};

struct read_file {
    struct vfs_file *file; /* owned; NULL: free */
    uint32_t slot;
    uint64_t used_at;
};
/* Of whoever calls store_read(). */
struct reader {
    struct read_file files[STORE_READ_FILES_MAX];
    uint64_t clock;
    struct buf buf;
    /* Where the last read ended: the next one usually goes on there. */
    raft_index cursor_index; /* 0: none */
    uint32_t cursor_slot;
    uint32_t cursor_offset;
};

struct store {
    struct store_conf conf; /* vfs is borrowed */
    pthread_mutex_t lock;
    /* Behind lock. */
    struct submission *queue; /* owned */
    struct submission **queue_end;
    bool rest;    /* the log thread has taken more than it has written */
    bool stalled; /* what is queued has no place: store_prepare() looks for one */
    uint64_t submitted_number;
    raft_index submitted_last_index;
    raft_index submitted_mark; /* no truncation reaches it */
    /* Owned; slot `slot` stands at slot - first_slot. The log thread alone adds and removes. The
     * first n_gone of them are of the log no more, and their files are about to go. */
    struct store_segment *segments;
    uint32_t first_slot;
    uint32_t n_segments;
    uint32_t n_gone;
    size_t segments_size;
    struct log_index index; /* durable entries only */
    struct raft_entry_id base;
    uint64_t n_resets;     /* since the start: what was read across one is of two logs */
    raft_index marked;     /* durable */
    raft_index last_index; /* durable */
    uint32_t oldest_read;  /* lowest slot of a file that the reader keeps open; UINT32_MAX: none */
    struct store_stats stats;
    struct sync_times sync_times;
    struct histogram syncs;
    struct store_slow slow[STORE_SLOW_MAX]; /* a ring */
    _Atomic uint64_t n_slow;                /* ever */
    uint64_t n_slow_taken;                  /* the loop's */
    _Atomic uint64_t busy_us;

    struct writer w;
    struct reader rd;
};

static inline struct store_segment *store_slot(struct store *s, uint32_t slot)
{
    return &s->segments[slot - s->first_slot];
}

/* ---- write.c: records of the open batch ---- */

int store_put_record(struct writer *w, const struct record *rec);
int store_put_hard_state(struct writer *w, const struct raft_hard_state *hs);
int store_put_entry(struct writer *w, const struct raft_entry *e);
/* The batch of STAGE_BATCH is durable: what stands in it becomes visible. */
int store_end_batch(struct store *s);
/* The segment is there that the submission which is first in line resets the log to. */
void store_end_reset(struct store *s);

/* ---- opening.c ---- */

/* What a segment takes besides its first real batch, if it is opened now. */
uint64_t store_overhead(const struct writer *w);
/* Everything but the BATCH_END. `first`: unless NULL, an entry that goes with it. */
int store_put_opening(struct writer *w, const struct raft_hard_state *hs,
                      const struct raft_entry *first);
/* That configuration comes into force; its bytes are copied. 0 or -ENOMEM. */
int store_note_config(struct writer *w, struct raft_entry_id id, const void *bytes, uint32_t len);
void store_truncate_configs(struct writer *w, raft_index from);
/* The front of the log went: nothing below is asked for any more. */
void store_follow_base(struct writer *w, struct raft_entry_id base);
/* All but what a reset leaves. */
int store_forget_log(struct writer *w, const struct submission *sub);
void store_free_configs(struct writer *w);

/* ---- front.c ---- */

/* One file of those that the log does not need any more; *ret_went: there may be more. */
int store_remove_front(struct store *s, bool *ret_went);
/* Behind the lock: the first n segments are of the log no more. */
void store_void_segments(struct store *s, uint32_t n_gone);

/* ---- read.c ---- */

/* Does the reader keep files open that are of the log no more? Any thread. */
bool store_read_is_stale(struct store *s);
/* It closes them. The reading thread. */
void store_read_forget(struct store *s);

/* ---- stages.c ---- */

/* The open batch gets its end. */
int store_seal_batch(struct writer *w);
/* Goes on from w->stage, as far as the disk has room: STAGE_NONE, or it is held. 0; -errno is
 * final. */
int store_go_on(struct store *s);
/* Closes the active segment, if there is one, and opens the next, which store_room_ensure() has
 * made; as far as store_go_on() comes. */
int store_rotate(struct store *s);
/* Opens a segment that voids all before it (DISK-43), which store_room_ensure() has made; as far as
 * store_go_on() comes. */
int store_reset(struct store *s, const struct submission *sub);
/* Writes header and opening batch (hard state of w, and `first` unless NULL) into f, syncs it,
 * gives it its name, syncs the folder; from then on f is the active segment. As far as
 * store_go_on() comes. f is taken, whatever comes back. */
int store_start_segment(struct store *s, struct vfs_file *f, const char *name_now, uint64_t seq,
                        uint64_t size, const struct segment_prev *prev,
                        const struct raft_entry *first);
int store_add_segment(struct store *s, const struct store_segment *segment);

/* ---- room.c ---- */

int store_write_all(struct vfs *vfs, struct vfs_file *f, const void *data, size_t len,
                    uint64_t offset);
int store_write_zeros(struct vfs *vfs, struct vfs_file *f, uint64_t from, uint64_t to);
/* Makes a file of `size` bytes, all allocated, the first `fill` of them written as zeros. On error
 * nothing is left, unless the disk had no room for taking it away. */
int store_make_file(struct vfs *vfs, const char *name, uint64_t size, uint64_t fill,
                    struct vfs_file **ret_file);
/* Is there a place for a batch of so many bytes in the active segment? */
bool store_room_fits(const struct writer *w, uint64_t bytes);
/* A next segment with room for such a batch is there, or *ret_is_there says that the disk has none:
 * then the queue waits until store_prepare() has found one. */
int store_room_ensure(struct store *s, uint64_t need, bool *ret_is_there);
/* The one that is there. */
void store_room_take(struct store *s, struct vfs_file **ret_file, uint64_t *ret_size);
/* A file of that name; *ret_file NULL: there is no room for any, not even the reserve. */
int store_room_make(struct store *s, const char *name, uint64_t size, uint64_t least, uint64_t fill,
                    struct vfs_file **ret_file, uint64_t *ret_size);
/* At the start: is there a reserve that can be used? */
int store_room_find_reserve(struct store *s);
/* Makes one when there is none and there is room. */
int store_room_keep_reserve(struct store *s);
/* The writer found no room in a place that it had, or goes on. */
void store_room_held(struct store *s, bool is_held);
/* Says in the statistics how much room there is. */
void store_room_publish(struct store *s);

uint64_t store_now_us(const struct store *s);

static inline uint64_t store_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t store_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
