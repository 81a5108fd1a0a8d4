/* Encoders and decoders of the segment header and of records. A record header is valid on its own,
 * and only at the place and in the segment it was written for: the salt of the segment and the
 * offset go into its checksum. */
#include "store/format_int.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"

#include "base/banned.h"

static const char segment_magic[8] = {'R', 'I', 'D', 'D', 'W', 'A', 'L', '1'};

static bool all_zero(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static uint32_t page_crc(const unsigned char page[SEGMENT_HEADER_BYTES])
{
    static const unsigned char zero[4];
    uint32_t crc = crc32c(0, page, 12);

    crc = crc32c(crc, zero, sizeof(zero));
    return crc32c(crc, page + 16, SEGMENT_HEADER_BYTES - 16);
}

void segment_header_encode(const struct segment_header *h, unsigned char page[SEGMENT_HEADER_BYTES])
{
    memset(page, 0, SEGMENT_HEADER_BYTES);
    memcpy(page, segment_magic, sizeof(segment_magic));
    put_u32(page + 8, h->flags != 0 ? SEGMENT_VERSION : SEGMENT_VERSION_PLAIN);
    memcpy(page + 16, h->cluster_id, sizeof(h->cluster_id));
    put_u64(page + 32, h->node_id);
    put_u64(page + 40, h->incarnation);
    put_u64(page + 48, h->seq);
    put_u64(page + 56, h->salt);
    put_u64(page + 64, h->first_index);
    put_u64(page + 72, h->first_batch);
    put_u64(page + 80, h->size);
    put_u32(page + 88, h->flags);
    put_u32(page + 92, h->prev_chain);
    put_u64(page + 96, h->prev_seq);
    put_u64(page + 104, h->prev_last_index);
    put_u64(page + 112, h->prev_last_term);
    put_u64(page + 120, h->prev_last_batch);
    put_u64(page + 128, h->prev_used);
    put_u32(page + 12, page_crc(page));
}

int segment_header_decode(const unsigned char page[SEGMENT_HEADER_BYTES],
                          struct segment_header *ret_header)
{
    struct segment_header h = {0};

    if (all_zero(page, SEGMENT_HEADER_BYTES))
        return SEGMENT_HEADER_E_BLANK;
    if (memcmp(page, segment_magic, sizeof(segment_magic)) != 0)
        return SEGMENT_HEADER_E_MAGIC;
    if (get_u32(page + 12) != page_crc(page))
        return SEGMENT_HEADER_E_CRC;
    if (get_u32(page + 8) != SEGMENT_VERSION &&
        (get_u32(page + 8) != SEGMENT_VERSION_PLAIN || get_u32(page + 88) != 0))
        return SEGMENT_HEADER_E_VERSION;
    if ((get_u32(page + 88) & ~SEGMENT_FLAGS) != 0)
        return SEGMENT_HEADER_E_VERSION;
    memcpy(h.cluster_id, page + 16, sizeof(h.cluster_id));
    h.node_id = get_u64(page + 32);
    h.incarnation = get_u64(page + 40);
    h.seq = get_u64(page + 48);
    h.salt = get_u64(page + 56);
    h.first_index = get_u64(page + 64);
    h.first_batch = get_u64(page + 72);
    h.size = get_u64(page + 80);
    h.flags = get_u32(page + 88);
    h.prev_chain = get_u32(page + 92);
    h.prev_seq = get_u64(page + 96);
    h.prev_last_index = get_u64(page + 104);
    h.prev_last_term = get_u64(page + 112);
    h.prev_last_batch = get_u64(page + 120);
    h.prev_used = get_u64(page + 128);
    *ret_header = h;
    return 0;
}

const char *segment_header_error_text(int error)
{
    switch (error) {
        SEGMENT_HEADER_ERRORS(OUTCOME_CASE)
    default:
        return "the segment header is good";
    }
}

/* Good only in the segment and at the place that it was written for: stale bytes are no record
 * (DISK-17). */
static uint32_t record_crc(const unsigned char header[RECORD_HEADER_BYTES], uint64_t salt,
                           uint64_t offset)
{
    unsigned char place[16];

    put_u64(place, salt);
    put_u64(place + 8, offset);
    return crc32c(crc32c(0, place, sizeof(place)), header + 4, RECORD_HEADER_BYTES - 4);
}

int record_encode(struct buf *b, uint64_t salt, uint64_t offset, const struct record *r)
{
    size_t n = record_bytes(r->len);
    unsigned char *p = buf_reserve(b, n);

    rid_assert(offset % 8 == 0);
    rid_assert(r->len <= RECORD_PAYLOAD_MAX);
    if (p == NULL)
        return -ENOMEM;
    memset(p, 0, RECORD_HEADER_BYTES);
    p[4] = (unsigned char)r->type;
    p[5] = r->flags;
    put_u16(p + 6, r->group);
    put_u32(p + 8, r->len);
    put_u32(p + 12, crc32c(0, r->data, r->len));
    put_u64(p + 16, r->batch);
    put_u64(p + 24, r->index);
    put_u64(p + 32, r->term);
    put_u32(p, record_crc(p, salt, offset));
    if (r->len > 0)
        memcpy(p + RECORD_HEADER_BYTES, r->data, r->len);
    memset(p + RECORD_HEADER_BYTES + r->len, 0, n - RECORD_HEADER_BYTES - r->len);
    b->len += n;
    return 0;
}

int record_decode(const unsigned char *bytes, size_t avail, uint64_t salt, uint64_t offset,
                  struct record *ret_record)
{
    struct record r = {0};

    if (avail < RECORD_HEADER_BYTES)
        return all_zero(bytes, avail) ? RECORD_E_ZERO : RECORD_E_HEADER;
    /* The cheap looks first: the search for valid headers in a damaged region tries every 8 bytes.
     */
    if (bytes[4] == 0 || bytes[4] > RECORD_TYPE_LIMIT)
        return all_zero(bytes, RECORD_HEADER_BYTES) ? RECORD_E_ZERO : RECORD_E_HEADER;
    if (get_u32(bytes) != record_crc(bytes, salt, offset))
        return RECORD_E_HEADER;
    r.type = (enum record_type)bytes[4];
    r.flags = bytes[5];
    r.group = get_u16(bytes + 6);
    r.len = get_u32(bytes + 8);
    r.batch = get_u64(bytes + 16);
    r.index = get_u64(bytes + 24);
    r.term = get_u64(bytes + 32);
    if (r.type > RECORD_TYPE_MAX) {
        *ret_record = r;
        return RECORD_E_NEWER;
    }
    if (r.len > RECORD_PAYLOAD_MAX || record_bytes(r.len) > avail) {
        *ret_record = r;
        return RECORD_E_LENGTH;
    }
    if (get_u32(bytes + 12) != crc32c(0, bytes + RECORD_HEADER_BYTES, r.len)) {
        *ret_record = r;
        return RECORD_E_DATA;
    }
    r.data = bytes + RECORD_HEADER_BYTES;
    *ret_record = r;
    return 0;
}

const char *record_type_name(enum record_type type)
{
    static const char *const names[RECORD_TYPE_MAX + 1] = {
        [RECORD_ENTRY] = "entry",
        [RECORD_HARDSTATE] = "hard_state",
        [RECORD_TRUNCATE] = "truncate",
        [RECORD_SNAPMARK] = "snapshot_mark",
        [RECORD_CONFIG] = "config",
        [RECORD_BATCH_END] = "batch_end",
        [RECORD_SEGMENT_END] = "segment_end",
        [RECORD_SYNCMARK] = "sync_mark",
        [RECORD_LEASED_STATE] = "leased_state",
    };

    return (unsigned)type <= RECORD_TYPE_MAX && names[type] != NULL ? names[type] : "unknown";
}

const char *record_error_text(int error)
{
    switch (error) {
        RECORD_ERRORS(OUTCOME_CASE)
    default:
        return "the record is good";
    }
}

bool hard_state_decode(const struct record *r, struct raft_hard_state *ret_hard_state)
{
    const bool leased = r->type == RECORD_LEASED_STATE;

    if (r->len != (leased ? LEASED_STATE_BYTES : HARDSTATE_BYTES))
        return false;
    *ret_hard_state = (struct raft_hard_state){.current_term = r->term,
                                               .voted_for = get_u64(r->data),
                                               .lease_max_us = leased ? get_u64(r->data + 8) : 0};
    return true;
}

void batch_end_encode(const struct batch_end *e, unsigned char data[BATCH_END_BYTES])
{
    put_u32(data, e->n_records);
    put_u32(data + 4, 0);
    put_u64(data + 8, e->n_bytes);
    put_u32(data + 16, e->chain);
    put_u32(data + 20, 0);
    put_u64(data + 24, e->synced_batch);
    put_u64(data + 32, e->commit_index);
}

bool batch_end_decode(const struct record *r, struct batch_end *ret_end)
{
    const unsigned char *p = r->data;

    if (r->len != BATCH_END_BYTES || get_u32(p + 4) != 0 || get_u32(p + 20) != 0)
        return false;
    ret_end->n_records = get_u32(p);
    ret_end->n_bytes = get_u64(p + 8);
    ret_end->chain = get_u32(p + 16);
    ret_end->synced_batch = get_u64(p + 24);
    ret_end->commit_index = get_u64(p + 32);
    return true;
}
