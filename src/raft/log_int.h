/* The log as the core sees it: the terms of all entries, run-length coded, and the newest entries
 * themselves.
 *
 * Entries below first_cached are on disk only (raft_log_reader). Payloads are owned. No I/O. */
#ifndef RIDD_RAFT_LOG_INT_H
#define RIDD_RAFT_LOG_INT_H

#include "base/arena.h"
#include "raft/raft.h"

struct raft_log {
    struct mem mem;
    struct raft_entry *ring; /* owned; size is a power of two; entry i at ring[i & (size - 1)] */
    size_t size;
    raft_index first_cached; /* last_index + 1 when nothing is cached */
    raft_index last_index;
    size_t cached_bytes;
    struct raft_term_range *terms; /* owned; ascending in term and first; covers 1 .. last_index */
    size_t n_terms;
    size_t terms_size;
};

int raft_log_init(struct raft_log *l, struct mem mem, const struct raft_term_range *terms,
                  size_t n_terms, raft_index last_index);
void raft_log_done(struct raft_log *l);
/* Copies the payload. e->id.index must be last_index + 1 and its term not below the last one. 0 or
 * -ENOMEM (unchanged). */
int raft_log_append(struct raft_log *l, const struct raft_entry *e);
/* Removes entries from `from` on. */
void raft_log_truncate(struct raft_log *l, raft_index from);
/* 0 for index 0 and for anything behind the end. */
raft_term raft_log_term(const struct raft_log *l, raft_index index);
struct raft_entry_id raft_log_last(const struct raft_log *l);
/* NULL when not cached. */
const struct raft_entry *raft_log_get(const struct raft_log *l, raft_index index);
/* First index of the run of equal terms that holds index. */
raft_index raft_log_first_of_term(const struct raft_log *l, raft_index index);
/* The last index whose term is not above `term`; 0: none. */
raft_index raft_log_last_not_above(const struct raft_log *l, raft_term term);
/* Forgets cached entries up to and including index (never behind the end). */
void raft_log_forget(struct raft_log *l, raft_index index);
/* What an entry counts for in byte bounds. */
static inline size_t raft_entry_bytes(const struct raft_entry *e)
{
    return sizeof(*e) + e->len;
}

#endif
