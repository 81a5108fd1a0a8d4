/* The bytes of a segment: one header page, then records, 8-byte aligned, little endian (DISK-17).
 *
 * Segment header, 4096 bytes, zero where nothing is said:
 *      0 "RIDDWAL1"            8 u32 version         12 u32 crc of the page with this field 0
 *     16 cluster_id[16]       32 u64 node_id         40 u64 incarnation
 *     48 u64 seq              56 u64 salt            64 u64 first_index   (the next entry to come)
 *     72 u64 first_batch      80 u64 size            88 u32 flags         92 u32 prev_chain
 *     96 u64 prev_seq        104 u64 prev_last_index 112 u64 prev_last_term
 *    120 u64 prev_last_batch 128 u64 prev_used       (how many bytes of the previous segment count)
 * Version 1 has no flags, and is what is written where there are none: an earlier program reads
 * such a log. Flags: RESET, the log begins here, behind prev_last_index and prev_last_term, which
 * are those of a snapshot, and what was before is void; BASE, it began above entry 1 when this
 * segment was opened. An earlier program refuses both in words instead of calling them damage.
 *
 * Record, 40 bytes and the payload, padded with zeros to 8:
 *      0 u32 hdr_crc: CRC32C(salt, file offset, the 36 bytes that follow)
 *      4 u8 type      5 u8 flags (of an ENTRY: its raft_entry_type)      6 u16 group
 *      8 u32 len     12 u32 data_crc of the payload
 *     16 u64 batch   24 u64 index   32 u64 term
 *
 * Type, what index and term hold, payload:
 *      ENTRY        its own, its own       the entry
 *      HARDSTATE    0, current_term        u64 voted_for
 *      LEASED_STATE 0, current_term        u64 voted_for, u64 lease_max_us: the same, of a node
 *                                          that has promised a lease. An earlier program does not
 *                                          know the type, and refuses the log in words (DISK-24)
 *      TRUNCATE     removed from, 0        none
 *      SNAPMARK     last one, its term     32 bytes of hash
 *      CONFIG       of its entry           configuration.h
 *      BATCH_END    last one, its term     u32 records, u32 zero, u64 bytes, u32 chain, u32 zero,
 *                                          u64 synced_batch, u64 commit_index
 *      SEGMENT_END  0, 0                   none
 *      SYNCMARK     0, 0                   u64 synced_batch
 *
 * The chain is CRC32C over all bytes of the batch before its BATCH_END, seeded with the chain of
 * the batch before; the first batch of a segment is seeded with prev_chain. docs/STORAGE.md has the
 * rest of what stands on the disk. Pure. Bytes come from a disk: everything is validated. */
#ifndef RIDD_STORE_FORMAT_INT_H
#define RIDD_STORE_FORMAT_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/outcome.h"
#include "raft/types.h"

#define SEGMENT_HEADER_BYTES  4096u
#define SEGMENT_VERSION       2u
#define SEGMENT_VERSION_PLAIN 1u
#define RECORD_HEADER_BYTES   40u
#define RECORD_PAYLOAD_MAX    (16u << 20)
#define HARDSTATE_BYTES       8u
#define LEASED_STATE_BYTES    16u
#define SYNCMARK_BYTES        8u
#define SNAPMARK_BYTES        32u
#define BATCH_END_BYTES       40u

static_assert(ENTRY_BYTES_MAX <= RECORD_PAYLOAD_MAX, "one record holds one entry");

#define SEGMENT_FLAG_RESET 1u
#define SEGMENT_FLAG_BASE  2u
#define SEGMENT_FLAGS      (SEGMENT_FLAG_RESET | SEGMENT_FLAG_BASE)

enum record_type {
    RECORD_ENTRY = 1,
    RECORD_HARDSTATE = 2,
    RECORD_TRUNCATE = 3,
    RECORD_SNAPMARK = 4,
    RECORD_CONFIG = 5,
    RECORD_BATCH_END = 6,
    RECORD_SEGMENT_END = 7,
    RECORD_SYNCMARK = 8,
    RECORD_LEASED_STATE = 9,
};
#define RECORD_TYPE_MAX RECORD_LEASED_STATE
/* No version will ever use a type above this: what has one is no record. */
#define RECORD_TYPE_LIMIT 31u

struct segment_header {
    unsigned char cluster_id[16];
    raft_node_id node_id;
    uint64_t incarnation;
    uint64_t seq;
    uint64_t salt;
    raft_index first_index;
    uint64_t first_batch;
    uint64_t size;
    uint32_t flags;
    uint32_t prev_chain;
    uint64_t prev_seq;
    raft_index prev_last_index;
    raft_term prev_last_term;
    uint64_t prev_last_batch;
    uint64_t prev_used;
};

#define SEGMENT_HEADER_ERRORS(X)                                                                   \
    X(SEGMENT_HEADER_E_BLANK, 1, "the segment header is blank")                                    \
    X(SEGMENT_HEADER_E_MAGIC, 2, "the segment header does not begin with RIDDWAL1")                \
    X(SEGMENT_HEADER_E_CRC, 3, "the checksum of the segment header is wrong")                      \
    X(SEGMENT_HEADER_E_VERSION, 4,                                                                 \
      "the segment is of a format version that this program does not know")
enum segment_header_error { SEGMENT_HEADER_ERRORS(OUTCOME_NUMBER) };

void segment_header_encode(const struct segment_header *h,
                           unsigned char page[SEGMENT_HEADER_BYTES]);
int segment_header_decode(const unsigned char page[SEGMENT_HEADER_BYTES],
                          struct segment_header *ret_header);
const char *segment_header_error_text(int error);

struct record {
    enum record_type type;
    uint8_t flags;
    uint16_t group;
    uint32_t len;
    uint64_t batch;
    raft_index index;
    raft_term term;
    const unsigned char *data; /* borrowed; len bytes */
};

/* ZERO: nothing was written here. HEADER: also when a fixed field is wrong. With LENGTH, DATA and
 * NEWER the header is valid. */
#define RECORD_ERRORS(X)                                                                           \
    X(RECORD_E_ZERO, 1, "zeros where a record should begin")                                       \
    X(RECORD_E_HEADER, 2, "the checksum of a record header is wrong")                              \
    X(RECORD_E_LENGTH, 3, "a record is longer than the room it stands in")                         \
    X(RECORD_E_DATA, 4, "the checksum of a record's payload is wrong")                             \
    X(RECORD_E_NEWER, 5, "a record is of a type that this version does not know")
enum record_error { RECORD_ERRORS(OUTCOME_NUMBER) };

/* Bytes that a record with a payload of len takes. */
static inline size_t record_bytes(size_t len)
{
    return RECORD_HEADER_BYTES + ((len + 7) & ~(size_t)7);
}

/* Appends the record for file offset `offset`. 0 or -ENOMEM. */
int record_encode(struct buf *b, uint64_t salt, uint64_t offset, const struct record *r);
/* `bytes` is what stands at file offset `offset`, `avail` how much of it there is. On
 * RECORD_E_LENGTH, RECORD_E_DATA and RECORD_E_NEWER *ret_record holds the header fields all the
 * same (data NULL). */
int record_decode(const unsigned char *bytes, size_t avail, uint64_t salt, uint64_t offset,
                  struct record *ret_record);
/* "entry", "hard_state", ...; "unknown". */
const char *record_type_name(enum record_type type);
const char *record_error_text(int error);

/* Bytes of the payload that says this. */
static inline uint32_t hard_state_len(const struct raft_hard_state *hs)
{
    return hs->lease_max_us != 0 ? LEASED_STATE_BYTES : HARDSTATE_BYTES;
}
/* Both kinds of it. False: the length is wrong. */
bool hard_state_decode(const struct record *r, struct raft_hard_state *ret_hard_state);

struct batch_end {
    uint32_t n_records; /* before the BATCH_END */
    uint64_t n_bytes;
    uint32_t chain;
    uint64_t synced_batch; /* last batch whose fdatasync had returned 0 when this one was written */
    raft_index commit_index;
};
void batch_end_encode(const struct batch_end *e, unsigned char data[BATCH_END_BYTES]);
/* False when the length or a fixed field is wrong. */
bool batch_end_decode(const struct record *r, struct batch_end *ret_end);

#endif
