/* Recovery, shared by its files: folder.c (which files there are, and whose), replay.c (what the
 * records of a batch say), recover.c (which bytes count). */
#ifndef RIDD_STORE_RECOVER_INT_H
#define RIDD_STORE_RECOVER_INT_H

#include "store/store_int.h"

#define RECOVERY_WAY_OUT "look with 'ridd --dump-log DIR', then see LOST DISK in ridd(8)"

struct wal_file {
    char name[STORE_NAME_BYTES];
    uint64_t name_seq;
    struct segment_header header;
    uint64_t file_bytes;
    uint64_t used;
    bool begins_whole; /* its opening batch says mark and configuration */
    /* Where a truncation removed what stands before it; offset 0: none did. */
    struct {
        uint32_t slot;
        uint64_t offset;
        uint64_t batch;
    } cut_by;
};
/* As may_begin of struct store_segment. */
static inline bool wal_file_may_begin(const struct wal_file *file)
{
    return file->header.seq == 1 || (file->begins_whole && file->cut_by.offset == 0);
}

struct log_config {
    struct raft_config_at at;
    raft_term term; /* 0: not known */
};
/* The log as the durable records tell it. */
struct log_state {
    struct raft_hard_state hard_state;
    /* terms.base: the log begins behind it. While it is not known yet with which segment, its term
     * may be 0: not known, as that of the last entry then. */
    raft_index last_index;
    raft_term last_term;
    raft_index commit_index;
    uint64_t batch; /* last good one */
    uint32_t chain;
    struct term_list terms;
    struct raft_entry_id mark;  /* the highest; index 0: none */
    struct log_config *configs; /* owned; ascending; the first may be of before the base */
    size_t n_configs;
    size_t configs_size;
    uint64_t n_changes; /* entries and truncations seen */
    struct log_index index;
    struct index_pace pace;
};
struct recovery {
    struct store_conf conf;
    bool live; /* DISK-10: make durable what will be trusted. Otherwise nothing is touched */
    struct wal_file *files; /* owned; ascending by sequence */
    size_t n_files;
    size_t files_size;
    size_t first; /* the log begins with this one; what is before it is to go */
    char (*leftovers)[STORE_NAME_BYTES]; /* owned; .prep, .tmp, older newest-N: to go */
    size_t n_leftovers;
    size_t leftovers_size;
    uint64_t newest_seq; /* of the highest newest-N: that segment was there; 0: none */
    uint64_t torn_copies[STORE_TORN_COPIES_MAX + 1]; /* the lowest numbers of torn-N, ascending */
    size_t n_torn_copies;
    struct log_state log;
    struct raft_hard_state hard_state_before_last; /* at the end of the last segment but one */
    raft_index mark_before_last;
    bool last_is_unused; /* the last segment says nothing that those before it do not say */
    bool torn_tail;
    char torn_text[256];
    uint64_t torn_bytes; /* behind the used ones of the last segment */
    struct buf image;    /* the last segment read */
    uint64_t bytes_scanned;
    uint64_t told_bytes; /* read, and once more when they are checked: told as progress */
    uint64_t all_bytes;  /* what that comes to, about */
};

/* 0, STORE_E_*, -errno. Whatever it returns, recovery_done() is due. */
int recovery_run(struct recovery *rv, const struct store_conf *conf, bool live);
void recovery_done(struct recovery *rv);
/* Reads up to max bytes of the file into b (emptied before). rv: whose progress that is; NULL:
 * nobody's. */
int recovery_load(struct recovery *rv, struct vfs *vfs, struct vfs_file *f, uint64_t max,
                  struct buf *b);

/* ---- folder.c ---- */

struct damage {
    const char *file;
    uint64_t offset;
    uint64_t batch;
    raft_index from;
    raft_index to; /* 0: not known */
    const char *what;
    const char *evidence;
};
/* STORE_E_DAMAGED, with all that in err_text(). */
int recovery_refuse(const struct damage *d);
/* The same for a file as a whole. */
int recovery_refuse_file(const struct recovery *rv, const char *file, const char *what,
                         const char *evidence);
/* STORE_E_NEWER: `what` stands at this offset of the file. */
int recovery_refuse_newer(const char *file, uint64_t offset, const char *what);
/* For vfs.list: takes down what is of the log. 0, STORE_E_DAMAGED, -errno. */
int recovery_note_name(void *arg, const char *name);
/* STORE_E_FOREIGN unless the header is of the cluster, node and incarnation that were asked for. */
int recovery_check_identity(const struct recovery *rv, const char *name,
                            const struct segment_header *h);
/* DISK-2: finds the segment that the log was last reset to, if it was, and reads all headers from
 * there on: they are a gapless sequence. What is before the first entry is in rv->log. */
int recovery_check_sequence(struct recovery *rv);

/* ---- replay.c ---- */

/* Takes a good batch into rv->log; *ret_closed is set when it ends its segment. 0, STORE_E_DAMAGED,
 * -errno. */
int replay_batch(struct recovery *rv, uint32_t slot, const struct segment_image *img,
                 const struct scan_batch *b, bool *ret_closed);

#endif
