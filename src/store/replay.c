/* What the records of a good batch say, in the order of the file: entries, term and vote,
 * truncations. A batch whose checksums are good may still say what no correct node writes; that is
 * damage too, and never an assertion. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/recover_int.h"

#include "base/banned.h"

static int push_config(struct log_state *log, const struct record *rec,
                       const struct raft_configuration *c)
{
    struct log_config *configs = array_reserve(mem_libc, log->configs, &log->configs_size,
                                               log->n_configs, 1, sizeof(*configs));

    if (configs == NULL)
        return err_origin(-ENOMEM);
    log->configs = configs;
    log->configs[log->n_configs].at.index = rec->index;
    log->configs[log->n_configs].at.configuration = *c;
    log->configs[log->n_configs++].term = rec->term;
    return 0;
}

/* What a truncation removed stays removed, whatever its index (DISK-7). */
static void truncate_log(struct log_state *log, raft_index from)
{
    term_list_truncate(&log->terms, from);
    if (from <= log->terms.base.index)
        log->terms.base = (struct raft_entry_id){.index = from - 1};
    while (log->n_configs > 0 && log->configs[log->n_configs - 1].at.index >= from)
        log->n_configs--;
    log_index_truncate(&log->index, from);
    log->pace.fresh = true;
    log->n_changes++;
    if (from <= log->last_index)
        log->last_index = from - 1;
    log->last_term = term_list_at(&log->terms, log->last_index);
    if (log->commit_index > log->last_index)
        log->commit_index = log->last_index;
}

/* What the appliers say besides 0 and -errno, with *ret_what: a record with good checksums says
 * what no correct node writes, or what only a later version understands. */
enum replay_outcome { REPLAY_E_NONSENSE = 1, REPLAY_E_NEWER = 2 };

/* 0, with *ret_config; or what is wrong with it. */
static int decode_config(const struct record *rec, struct raft_configuration *ret_config,
                         const char **ret_what)
{
    int rc = raft_configuration_decode(rec->data, rec->len, ret_config);

    if (rc == 0)
        return 0;
    if (rc == RAFT_CONFIGURATION_E_NEWER) {
        *ret_what = "a configuration is of a format that this version does not know";
        return REPLAY_E_NEWER;
    }
    *ret_what = rec->type == RECORD_CONFIG
                    ? "a record of type config does not hold a configuration"
                    : "an entry of type config does not hold a configuration";
    return REPLAY_E_NONSENSE;
}

static int apply_entry(struct recovery *rv, uint32_t slot, const struct record *rec,
                       uint64_t offset, const char **ret_what)
{
    struct log_state *log = &rv->log;
    int rc;

    if (rec->index != log->last_index + 1 || rec->index > RAFT_INDEX_MAX) {
        *ret_what = "an entry does not follow the one before it";
        return REPLAY_E_NONSENSE;
    }
    if (rec->term == 0 || rec->term < log->last_term) {
        *ret_what = "the term of an entry is lower than that of the one before it";
        return REPLAY_E_NONSENSE;
    }
    /* A batch says its hard state before its entries. */
    if (rec->term > log->hard_state.current_term) {
        *ret_what = "the term of an entry is higher than that of the hard state before it";
        return REPLAY_E_NONSENSE;
    }
    if (rec->flags > RAFT_ENTRY_READ) {
        *ret_what = "an entry is of a type that this version does not know";
        return REPLAY_E_NEWER;
    }
    if (rec->flags < RAFT_ENTRY_NOOP || rec->len > ENTRY_BYTES_MAX) {
        *ret_what = "an entry has no type or is too large";
        return REPLAY_E_NONSENSE;
    }
    if (rec->flags == RAFT_ENTRY_CONFIG) {
        struct raft_configuration c;

        rc = decode_config(rec, &c, ret_what);
        if (rc != 0)
            return rc;
        rc = push_config(log, rec, &c);
        if (rc != 0)
            return err_trace(rc);
    }
    if (term_list_push(&log->terms, rec->term, rec->index) != 0)
        return err_origin(-ENOMEM);
    if (index_pace_take(&log->pace, offset)) {
        if (log_index_reserve(&log->index, 1) != 0)
            return err_origin(-ENOMEM);
        log_index_add(&log->index, (struct index_point){rec->index, slot, (uint32_t)offset});
    }
    log->last_index = rec->index;
    log->last_term = rec->term;
    log->n_changes++;
    return 0;
}

/* The last one wins; a term that falls, a second vote in a term, or a promise that becomes shorter,
 * is damage (DISK-8, LEASE-3). */
static int apply_hard_state(struct log_state *log, const struct record *rec, const char **ret_what)
{
    struct raft_hard_state hs = {0};

    *ret_what = NULL;
    if (!hard_state_decode(rec, &hs))
        *ret_what = "a hard state of the wrong length";
    else if (hs.current_term > RAFT_INDEX_MAX)
        *ret_what = "the term of a hard state is out of range";
    else if (hs.current_term < log->hard_state.current_term)
        *ret_what = "the term of a hard state is lower than that of the one before it";
    else if (hs.current_term == log->hard_state.current_term && log->hard_state.voted_for != 0 &&
             hs.voted_for != log->hard_state.voted_for)
        *ret_what = "a vote changes within its term";
    else if (hs.lease_max_us > RAFT_LEASE_US_MAX)
        *ret_what = "the lease of a hard state is out of range";
    else if (hs.lease_max_us < log->hard_state.lease_max_us ||
             (rec->type == RECORD_LEASED_STATE && hs.lease_max_us == 0))
        *ret_what = "the lease of a hard state is shorter than that of the one before it";
    if (*ret_what != NULL)
        return REPLAY_E_NONSENSE;
    log->hard_state = hs;
    return 0;
}

/* What a mark covers is committed, and so is what is before the first entry; but with which segment
 * the log begins is known only at its end: the removal of its front may have been interrupted
 * (DISK-42). */
static int apply_truncate(struct recovery *rv, uint32_t slot, const struct record *rec,
                          uint64_t offset, const char **ret_what)
{
    struct log_state *log = &rv->log;

    if (rec->index <= log->mark.index || rec->index == 0 || rec->len != 0) {
        *ret_what = "a truncation of the wrong form";
        return REPLAY_E_NONSENSE;
    }
    for (size_t i = rv->first; i <= slot; i++) {
        struct wal_file *file = &rv->files[i];

        if (file->header.prev_last_index >= rec->index && file->cut_by.offset == 0) {
            file->cut_by.slot = slot;
            file->cut_by.offset = offset;
            file->cut_by.batch = rec->batch;
        }
    }
    truncate_log(log, rec->index);
    return 0;
}

/* DISK-9: where snapshot and log both have the entry, they must agree; a snapshot ahead of the log
 * is a gap. */
static int apply_mark(struct log_state *log, const struct record *rec, const char **ret_what)
{
    const struct raft_entry_id base = log->terms.base;
    const bool is_known = rec->index > base.index || (rec->index == base.index && base.term != 0);

    if (rec->len != SNAPMARK_BYTES || rec->index > log->last_index || rec->index == 0 ||
        rec->term == 0 || (is_known && term_list_at(&log->terms, rec->index) != rec->term)) {
        *ret_what = "a snapshot mark does not match the log";
        return REPLAY_E_NONSENSE;
    }
    if (rec->index > log->mark.index)
        log->mark = (struct raft_entry_id){.term = rec->term, .index = rec->index};
    return 0;
}

/* The configuration in force, again: at the beginning of the log the only place that says so. */
static int apply_config(struct log_state *log, const struct record *rec, const char **ret_what)
{
    struct raft_configuration c;
    int rc = decode_config(rec, &c, ret_what);

    if (rc != 0)
        return rc;
    if (log->n_configs == 0 && rec->index >= 1 && rec->index <= log->terms.base.index)
        return err_trace(push_config(log, rec, &c));
    if (log->n_configs > 0 && log->configs[log->n_configs - 1].at.index == rec->index)
        return 0;
    *ret_what = "a record of type config names another configuration than the one in force";
    return REPLAY_E_NONSENSE;
}

static int apply_record(struct recovery *rv, uint32_t slot, const struct record *rec,
                        uint64_t offset, const char **ret_what)
{
    struct log_state *log = &rv->log;

    switch (rec->type) {
    case RECORD_ENTRY:
        return apply_entry(rv, slot, rec, offset, ret_what);
    case RECORD_HARDSTATE:
    case RECORD_LEASED_STATE:
        return apply_hard_state(log, rec, ret_what);
    case RECORD_TRUNCATE:
        return apply_truncate(rv, slot, rec, offset, ret_what);
    case RECORD_SNAPMARK:
        return apply_mark(log, rec, ret_what);
    case RECORD_CONFIG:
        return apply_config(log, rec, ret_what);
    case RECORD_SYNCMARK:
    case RECORD_SEGMENT_END:
    case RECORD_BATCH_END:
        return 0;
    }
    *ret_what = "a record of an unknown type";
    return REPLAY_E_NONSENSE;
}

/* Everything in a batch whose checksums are good. *ret_closed: it held SEGMENT_END. */
int replay_batch(struct recovery *rv, uint32_t slot, const struct segment_image *img,
                 const struct scan_batch *b, bool *ret_closed)
{
    struct log_state *log = &rv->log;
    const struct wal_file *file = &rv->files[slot];
    raft_index before = log->last_index;
    uint64_t batch = 0;

    for (uint64_t offset = b->start; offset < b->end;) {
        struct record rec = {0};
        const char *what = NULL;
        int rc;

        rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);
        rid_assert(rc == 0); /* scan_batch() looked at every record */
        rc = apply_record(rv, slot, &rec, offset, &what);
        if (rc < 0)
            return err_trace(rc);
        if (rc == 0 && rec.type == RECORD_BATCH_END && log->last_term == 0)
            log->last_term = rec.term; /* of an entry that is not there any more */
        if (rc == 0 && rec.type == RECORD_BATCH_END &&
            (rec.index != log->last_index || rec.term != log->last_term)) {
            what = "a batch_end names another last entry than the batch leaves";
            rc = REPLAY_E_NONSENSE;
        }
        if (rc == REPLAY_E_NEWER)
            return recovery_refuse_newer(file->name, offset, what);
        if (rc != 0)
            return recovery_refuse(&(struct damage){.file = file->name,
                                                    .offset = offset,
                                                    .batch = rec.batch,
                                                    .from = before + 1,
                                                    .to = b->last_index,
                                                    .what = what,
                                                    .evidence = "all its checksums are good"});
        if (rec.type == RECORD_SEGMENT_END)
            *ret_closed = true;
        if (rec.type == RECORD_CONFIG && b->start == SEGMENT_HEADER_BYTES)
            rv->files[slot].begins_whole = true;
        batch = rec.batch;
        offset += record_bytes(rec.len);
    }
    log->commit_index =
        store_max_u64(log->commit_index, store_min_u64(b->tail.commit_index, log->last_index));
    log->batch = batch;
    log->chain = b->tail.chain;
    return 0;
}
