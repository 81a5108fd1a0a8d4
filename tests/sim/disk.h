/* The disk of one node in a test: a durable image, and the batches of raft_ready() on their way to
 * it.
 *
 * Batches become durable in the order in which they were submitted, each whole or not at all;
 * sim_disk_crash() loses those that are not durable yet. Nothing is written anywhere. The image
 * answers the core's log_reader, and it checks what it is given: batches numbered without gaps,
 * entries without gaps, terms that never fall, no truncation of what the same disk recorded as
 * committed (asserted: a test has no better answer).
 *
 * Each entry carries a hash over itself and everything before it, so that equal hashes mean equal
 * logs. Memory is libc's; running out of it ends the test. One thread. */
#ifndef RIDD_TESTS_SIM_DISK_H
#define RIDD_TESTS_SIM_DISK_H

#include "raft/raft.h"

struct sim_blob; /* counted bytes of an entry */

struct sim_entry {
    struct raft_entry_id id;
    enum raft_entry_type type;
    struct sim_blob *blob; /* counted; NULL when empty */
    uint64_t hash;         /* of entries 1 .. this one */
};

/* entries[0] is index 1. */
struct sim_log {
    struct sim_entry *entries; /* owned */
    size_t n;
    size_t size;
};

struct sim_batch {
    uint64_t number;
    struct raft_hard_state hard_state;
    raft_index truncate_from; /* 0: none */
    raft_index commit_index;
    struct sim_log added; /* owned; consecutive entries, hashes unused */
    struct sim_log front; /* owned; of a reset: the log becomes it, and begins behind its end */
    struct sim_batch *next;
};

struct sim_disk {
    struct raft_hard_state hard_state; /* durable */
    raft_index commit_index;           /* durable hint */
    struct raft_entry_id base; /* durable; what is at or below it is not handed out any more */
    struct sim_log log;        /* durable */
    struct sim_log tail;       /* what log becomes when every submitted batch is done */
    struct sim_log incoming;   /* owned; what the snapshot covers that is being installed */
    struct raft_hard_state tail_hard_state;
    struct sim_batch *first; /* owned, oldest first */
    struct sim_batch *last;
    unsigned n_batches;
    uint64_t submitted; /* number of the newest batch since the last start */
    uint64_t done;      /* number of the newest durable batch since the last start */
};

/* raft_start needs arrays; they live here. */
struct sim_start {
    struct raft_start start;
    struct raft_term_range *terms;
    struct raft_config_at *configs;
};

/* size is above 0. */
void *sim_realloc(void *p, size_t size) __attribute__((returns_nonnull));

size_t sim_entry_len(const struct sim_entry *e);
const void *sim_entry_data(const struct sim_entry *e);
/* NULL when the log does not reach there. */
const struct sim_entry *sim_log_get(const struct sim_log *l, raft_index index);
raft_term sim_log_term(const struct sim_log *l, raft_index index);

void sim_disk_init(struct sim_disk *d);
void sim_disk_done(struct sim_disk *d);
/* Straight into the durable image, for building a log before the first start. */
void sim_disk_put(struct sim_disk *d, raft_term term, enum raft_entry_type type, const void *data,
                  size_t len);
/* The log begins behind index from now on, as if a snapshot covered it: a running core learns it from
 * its reader, the next start from its base. The image keeps the entries, for those that compare logs.
 * index is committed here and below what the state machine will hold at the next start; an index at or
 * below the base changes nothing. */
void sim_disk_compact(struct sim_disk *d, raft_index index);
/* A snapshot of what stands on `from` up to index is about to be installed on d: a reset in the next
 * ready is to that. */
void sim_disk_incoming(struct sim_disk *d, const struct sim_disk *from, raft_index index);
void sim_disk_incoming_log(struct sim_disk *d, const struct sim_log *from, raft_index index);
/* Takes the store part of a ready. Nothing happens when it has no batch. */
void sim_disk_submit(struct sim_disk *d, const struct raft_ready *ready);
/* The oldest batch becomes durable; its number is returned, 0 when there is none. */
uint64_t sim_disk_complete(struct sim_disk *d);
void sim_disk_crash(struct sim_disk *d);
/* What raft_new() is told; free with sim_start_done(). Resets the numbering of batches. */
void sim_disk_start(struct sim_disk *d, raft_index last_applied, struct sim_start *ret_start);
void sim_start_done(struct sim_start *s);
/* raft_log_reader.read; ctx is the disk. */
int sim_disk_read(void *ctx, raft_index from, raft_index to, size_t bytes_max, struct arena *arena,
                  struct raft_entry *ret_entries, unsigned n_max, unsigned *ret_n);

/* A message with all its bytes in one block, to be freed with free(). */
struct raft_msg *sim_msg_copy(const struct raft_msg *m);

#endif
