/* The log as the core sees it: the terms of all entries, run-length coded, and the newest
 * entries themselves.
 *
 * It begins behind its base, the last entry that a snapshot covers (LOG-9; 0/0: none). The term of
 * the base is known, that of what is below it is not: "compacted", which is another answer than
 * "there is none".
 *
 * Entries below first_cached are on disk only (raft_log_reader). Payloads are owned. No I/O. */
#ifndef RIDD_RAFT_LOG_INT_H
#define RIDD_RAFT_LOG_INT_H

#include "base/ring.h"
#include "raft/raft.h"

RING_DEFINE(entry_ring, struct raft_entry);

struct raft_log {
    struct mem mem;
    /* everything at or below it is committed; base.index <= last_index */
    struct raft_entry_id base;
    struct entry_ring cache; /* entries first_cached .. last_index, in order */
    raft_index first_cached; /* above the base; last_index + 1 when nothing is cached */
    raft_index last_index;
    size_t cached_bytes;
    /* owned; ascending in term and first; covers base.index + 1 .. last_index; the first may be
     * of the base's term */
    struct raft_term_range *terms;
    size_t n_terms;
    size_t terms_size;
};

int raft_log_init(struct raft_log *l, struct mem mem, struct raft_entry_id base,
                  const struct raft_term_range *terms, size_t n_terms, raft_index last_index);
void raft_log_done(struct raft_log *l);
/* The log begins behind `index` from now on, which is in it, and perhaps the last of it. What is
 * cached up to there goes. */
void raft_log_compact(struct raft_log *l, raft_index index);
/* All entries go, and the log begins behind `base`. */
void raft_log_reset(struct raft_log *l, struct raft_entry_id base);
/* Copies the payload. e->id.index must be last_index + 1 and its term not below the last one. 0 or
 * -ENOMEM (unchanged). */
int raft_log_append(struct raft_log *l, const struct raft_entry *e);
/* Removes entries from `from` on, which is above the base. */
void raft_log_truncate(struct raft_log *l, raft_index from);
/* RAFT_TERM_COMPACTED below the base, RAFT_TERM_NONE behind the end; at the base its own (NONE for
 * 0/0). */
raft_term raft_log_term(const struct raft_log *l, raft_index index);
struct raft_entry_id raft_log_last(const struct raft_log *l);
/* NULL when not cached. */
const struct raft_entry *raft_log_get(const struct raft_log *l, raft_index index);
/* First index of the run of equal terms that holds index, as far as the log reaches back; index is
 * above the base. */
raft_index raft_log_first_of_term(const struct raft_log *l, raft_index index);
/* The last index whose term is not above `term`: the base's at the least; 0 when even that is
 * above. */
raft_index raft_log_last_not_above(const struct raft_log *l, raft_term term);
/* Forgets cached entries up to and including index (never behind the end). */
void raft_log_forget(struct raft_log *l, raft_index index);
/* What an entry counts for in byte bounds. */
static inline size_t raft_entry_bytes(const struct raft_entry *e)
{
    return sizeof(*e) + e->len;
}

#endif
