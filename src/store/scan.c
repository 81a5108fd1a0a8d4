/* Reading one segment held in memory. A batch counts only as a whole: every record good, every
 * number right, and a BATCH_END whose chain covers all of its bytes. What stands behind the last
 * good batch is searched at every 8 bytes, because the sectors of a torn batch reach the disk in
 * any order and its first one may be missing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "store/store_int.h"

#include "base/banned.h"

static int defect(struct scan_defect *ret, uint64_t offset, const char *what)
{
    *ret = (struct scan_defect){.offset = offset, .what = what};
    return SCAN_E_DEFECT;
}

/* A header with a good checksum, in its place: whoever wrote it meant it. Cut as a torn tail, it
 * would be gone (DISK-24). */
static int newer(struct scan_defect *ret, uint64_t offset, const char *what)
{
    *ret = (struct scan_defect){.offset = offset, .what = what, .newer = true};
    return SCAN_E_DEFECT;
}

static int scan_tail(const struct segment_image *img, const struct record *end, uint64_t offset,
                     uint32_t n_records, uint32_t chain, struct scan_batch *b,
                     struct scan_defect *ret_defect)
{
    if (!batch_end_decode(end, &b->tail))
        return defect(ret_defect, offset, "the payload of a batch_end has the wrong form");
    if (b->tail.n_records != n_records || b->tail.n_bytes != offset - b->start)
        return defect(ret_defect, offset, "a batch_end counts other records than stand before it");
    if (b->tail.chain != crc32c(chain, img->data + b->start, (size_t)(offset - b->start)))
        return defect(ret_defect, offset, "the chain checksum of a batch_end is wrong");
    b->end = offset + record_bytes(end->len);
    b->last_index = end->index;
    b->last_term = end->term;
    return 0;
}

/* Every record is looked at, so that a defect lies in the first batch behind the last good one
 * (DISK-3). */
int scan_batch(const struct segment_image *img, uint64_t start, uint64_t batch, uint32_t chain,
               struct scan_batch *ret_batch, struct scan_defect *ret_defect)
{
    struct scan_batch b = {.start = start};
    uint64_t offset = start;
    uint32_t n_records = 0;

    while (offset < img->len) {
        struct record rec;
        int rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (rc == RECORD_E_NEWER)
            return newer(ret_defect, offset, record_error_text(rc));
        if (rc != 0)
            return defect(ret_defect, offset, record_error_text(rc));
        if (rec.group != img->group)
            return newer(ret_defect, offset,
                         "a record is of a group that this version does not have");
        if (rec.batch != batch)
            return defect(ret_defect, offset, "a record belongs to another batch");
        if (rec.type == RECORD_BATCH_END) {
            rc = scan_tail(img, &rec, offset, n_records, chain, &b, ret_defect);
            if (rc != 0)
                return rc;
            *ret_batch = b;
            return 0;
        }
        n_records++;
        offset += record_bytes(rec.len);
    }
    return defect(ret_defect, offset, "the segment ends inside a batch");
}

/* A valid header in the region behind the last good batch: what does it prove? A record that says
 * that this batch was synced is of the next batch at the earliest, so the number in the header
 * tells all (DISK-4). */
static void scan_found(const struct record *rec, uint64_t offset, uint64_t batch,
                       struct scan_rest *rest)
{
    if (rec->batch == batch && rec->type == RECORD_ENTRY) {
        if (rest->first_index == 0 || rec->index < rest->first_index)
            rest->first_index = rec->index;
        rest->last_index = store_max_u64(rest->last_index, rec->index);
    }
    if (rec->batch <= batch || rest->evidence)
        return;
    rest->evidence = true;
    (void)snprintf(rest->evidence_text, sizeof(rest->evidence_text),
                   "batch %" PRIu64 " begins to follow at offset %" PRIu64, rec->batch, offset);
}

static uint64_t used_bytes(const struct segment_image *img, uint64_t start)
{
    uint64_t end = img->len;

    while (end > start && img->data[end - 1] == 0)
        end--;
    return end - start;
}

static bool is_sync_mark(const struct segment_image *img, uint64_t start, uint64_t batch,
                         uint64_t n_bytes)
{
    struct record rec;

    return n_bytes <= record_bytes(SYNCMARK_BYTES) &&
           record_decode(img->data + start, (size_t)(img->len - start), img->salt, start, &rec) ==
               0 &&
           rec.type == RECORD_SYNCMARK && rec.batch == batch && rec.len == SYNCMARK_BYTES &&
           get_u64(rec.data) < batch;
}

void scan_rest(const struct segment_image *img, uint64_t start, uint64_t batch,
               struct scan_rest *ret_rest)
{
    struct scan_rest rest = {0};

    if (start >= img->len) {
        *ret_rest = rest;
        return;
    }
    rest.n_bytes = used_bytes(img, start);
    rest.only_sync_mark = rest.n_bytes > 0 && is_sync_mark(img, start, batch, rest.n_bytes);
    for (uint64_t offset = start; offset < start + rest.n_bytes; offset += 8) {
        struct record rec;
        int rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (rc != RECORD_E_ZERO && rc != RECORD_E_HEADER)
            scan_found(&rec, offset, batch, &rest);
    }
    *ret_rest = rest;
}

bool scan_later(const struct segment_image *img, uint64_t batch)
{
    for (uint64_t offset = SEGMENT_HEADER_BYTES; offset < img->len; offset += 8) {
        struct record rec;
        int rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (rc != RECORD_E_ZERO && rc != RECORD_E_HEADER && rec.batch > batch)
            return true;
    }
    return false;
}
