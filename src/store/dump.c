/* The log as text for a person: every record of every segment, one line each, damage marked where
 * it stands, and at the end what recovery would say. Nothing is repaired or written. Payloads are
 * client data: shown cut and escaped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "store/recover_int.h"

#include "base/banned.h"

static void cleanup_recovery_fn(struct recovery *rv)
{
    recovery_done(rv);
}
#define cleanup_recovery __attribute__((cleanup(cleanup_recovery_fn)))

static void print_hex(FILE *out, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "%02x", p[i]);
}

static void print_config(FILE *out, const struct record *rec)
{
    struct raft_configuration c;

    if (raft_configuration_decode(rec->data, rec->len, &c) != 0) {
        (void)fprintf(out, " configuration=unreadable");
        return;
    }
    (void)fprintf(out, " members=");
    for (unsigned i = 0; i < c.n; i++)
        (void)fprintf(out, "%s%s:%s", i > 0 ? "," : "", c.servers[i].name,
                      c.servers[i].role == RAFT_VOTER ? "voter" : "learner");
}

static void print_entry(FILE *out, const struct record *rec)
{
    char esc[LOG_ESC_BUF];

    (void)fprintf(out, " index=%" PRIu64 " term=%" PRIu64 " type=%s bytes=%" PRIu32, rec->index,
                  rec->term, raft_entry_type_name((enum raft_entry_type)rec->flags), rec->len);
    if (rec->data == NULL)
        return;
    if (rec->flags == RAFT_ENTRY_CONFIG)
        print_config(out, rec);
    else if (rec->len > 0)
        (void)fprintf(out, " data=%s", log_esc(esc, sizeof(esc), rec->data, rec->len));
}

static void print_batch_end(FILE *out, const struct record *rec)
{
    struct batch_end e;

    (void)fprintf(out, " last_index=%" PRIu64 " last_term=%" PRIu64, rec->index, rec->term);
    if (rec->data != NULL && batch_end_decode(rec, &e))
        (void)fprintf(out,
                      " records=%" PRIu32 " bytes=%" PRIu64 " chain=%08" PRIx32
                      " synced_batch=%" PRIu64 " commit_index=%" PRIu64,
                      e.n_records, e.n_bytes, e.chain, e.synced_batch, e.commit_index);
}

static void print_hard_state(FILE *out, const struct record *rec)
{
    struct raft_hard_state hs;

    (void)fprintf(out, " term=%" PRIu64, rec->term);
    if (rec->data == NULL || !hard_state_decode(rec, &hs))
        return;
    (void)fprintf(out, " voted_for=%016" PRIx64, hs.voted_for);
    if (hs.lease_max_us != 0)
        (void)fprintf(out, " lease_max_us=%" PRIu64, hs.lease_max_us);
}

static void print_record(FILE *out, uint64_t offset, const struct record *rec, int error)
{
    (void)fprintf(out, "offset=%" PRIu64 " batch=%" PRIu64 " %s", offset, rec->batch,
                  record_type_name(rec->type));
    if (rec->group != 0)
        (void)fprintf(out, " group=%u", rec->group);
    switch (rec->type) {
    case RECORD_ENTRY:
        print_entry(out, rec);
        break;
    case RECORD_HARDSTATE:
    case RECORD_LEASED_STATE:
        print_hard_state(out, rec);
        break;
    case RECORD_TRUNCATE:
        (void)fprintf(out, " from=%" PRIu64, rec->index);
        break;
    case RECORD_SNAPMARK:
        (void)fprintf(out, " index=%" PRIu64 " term=%" PRIu64 " hash=", rec->index, rec->term);
        if (rec->data != NULL)
            print_hex(out, rec->data, store_min_u64(rec->len, SNAPMARK_BYTES));
        break;
    case RECORD_CONFIG:
        (void)fprintf(out, " index=%" PRIu64 " term=%" PRIu64, rec->index, rec->term);
        if (rec->data != NULL)
            print_config(out, rec);
        break;
    case RECORD_BATCH_END:
        print_batch_end(out, rec);
        break;
    case RECORD_SYNCMARK:
        if (rec->data != NULL && rec->len == SYNCMARK_BYTES)
            (void)fprintf(out, " synced_batch=%" PRIu64, get_u64(rec->data));
        break;
    case RECORD_SEGMENT_END:
        break;
    }
    if (error != 0)
        (void)fprintf(out, " %s: %s", error == RECORD_E_NEWER ? "NEWER" : "DAMAGED",
                      record_error_text(error));
    (void)fputc('\n', out);
}

/* The next place from `offset` on where a good header stands; the end of the image when there is
 * none. */
static uint64_t next_record(const struct segment_image *img, uint64_t offset, bool *ret_zeros)
{
    *ret_zeros = true;
    for (; offset < img->len; offset += 8) {
        struct record rec;
        int rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (rc != RECORD_E_ZERO && rc != RECORD_E_HEADER)
            return offset;
        for (size_t i = 0; *ret_zeros && i < 8 && offset + i < img->len; i++)
            if (img->data[offset + i] != 0)
                *ret_zeros = false;
    }
    return img->len;
}

static void print_records(FILE *out, const struct segment_image *img)
{
    uint64_t offset = SEGMENT_HEADER_BYTES;

    while (offset < img->len) {
        struct record rec = {0};
        int rc =
            record_decode(img->data + offset, (size_t)(img->len - offset), img->salt, offset, &rec);

        if (rc == 0 || rc == RECORD_E_DATA) {
            print_record(out, offset, &rec, rc);
            offset += record_bytes(rec.len);
        } else if (rc == RECORD_E_LENGTH || rc == RECORD_E_NEWER) {
            print_record(out, offset, &rec, rc);
            offset += 8;
        } else {
            bool zeros;
            uint64_t next = next_record(img, offset, &zeros);

            (void)fprintf(out, "offset=%" PRIu64 " %s bytes=%" PRIu64 "%s%s\n", offset,
                          zeros ? "zeros" : "unreadable", next - offset,
                          zeros ? "" : " DAMAGED: ", zeros ? "" : record_error_text(rc));
            offset = next;
        }
    }
}

static void print_header(FILE *out, const struct wal_file *file, uint64_t file_bytes)
{
    const struct segment_header *h = &file->header;

    (void)fprintf(out,
                  "segment=%s file_bytes=%" PRIu64 " size=%" PRIu64 " seq=%" PRIu64 " cluster=",
                  file->name, file_bytes, h->size, h->seq);
    print_hex(out, h->cluster_id, sizeof(h->cluster_id));
    (void)fprintf(out,
                  " node=%016" PRIx64 " incarnation=%016" PRIx64 " first_index=%" PRIu64
                  " first_batch=%" PRIu64 " prev_seq=%" PRIu64 " prev_used=%" PRIu64
                  " prev_last_batch=%" PRIu64 " prev_last_index=%" PRIu64 " prev_last_term=%" PRIu64
                  "%s\n",
                  h->node_id, h->incarnation, h->first_index, h->first_batch, h->prev_seq,
                  h->prev_used, h->prev_last_batch, h->prev_last_index, h->prev_last_term,
                  (h->flags & SEGMENT_FLAG_RESET) != 0 ? " reset=yes" : "");
}

static int dump_segment(const struct recovery *rv, struct wal_file *file, FILE *out)
{
    struct vfs *vfs = rv->conf.vfs;
    struct vfs_file *f = NULL;
    cleanup_buf struct buf image = BUF_INIT;
    struct segment_image img;
    int64_t size;
    int rc;

    rc = vfs->open(vfs->ctx, file->name, O_RDONLY, &f);
    if (rc != 0)
        return err_trace(rc);
    size = vfs->size(vfs->ctx, f);
    rc = size < 0 ? (int)size
                  : recovery_load(NULL, vfs, f, store_min_u64((uint64_t)size, STORE_FILE_BYTES_MAX),
                                  &image);
    (void)vfs->close(vfs->ctx, f);
    if (rc != 0)
        return err_trace(rc);
    rc = image.len < SEGMENT_HEADER_BYTES ? SEGMENT_HEADER_E_MAGIC
                                          : segment_header_decode(image.data, &file->header);
    if (rc != 0) {
        /* Without the salt no record header can be told from noise. */
        (void)fprintf(out, "segment=%s file_bytes=%zu %s: %s; its records cannot be read\n",
                      file->name, image.len, rc == SEGMENT_HEADER_E_VERSION ? "NEWER" : "DAMAGED",
                      segment_header_error_text(rc));
        return 0;
    }
    print_header(out, file, (uint64_t)size);
    img = (struct segment_image){image.data, image.len, file->header.salt, rv->conf.group};
    print_records(out, &img);
    return 0;
}

static void print_verdict(const struct recovery *rv, int verdict, FILE *out)
{
    const struct log_state *log = &rv->log;

    switch (verdict) {
    case 0:
        if (log->terms.base.index != 0)
            (void)fprintf(out, "begins_behind_index=%" PRIu64 " term=%" PRIu64 "\n",
                          log->terms.base.index, log->terms.base.term);
        if (log->mark.index != 0)
            (void)fprintf(out, "marked_index=%" PRIu64 " term=%" PRIu64 "\n", log->mark.index,
                          log->mark.term);
        (void)fprintf(out,
                      "verdict=%s batch=%" PRIu64 " last_index=%" PRIu64 " last_term=%" PRIu64
                      " commit_index=%" PRIu64 " current_term=%" PRIu64 " voted_for=%016" PRIx64
                      " lease_max_us=%" PRIu64 "%s%s\n",
                      rv->torn_tail ? "torn_tail" : "clean", log->batch, log->last_index,
                      log->last_term, log->commit_index, log->hard_state.current_term,
                      log->hard_state.voted_for, log->hard_state.lease_max_us,
                      rv->torn_tail ? ": " : "", rv->torn_text);
        break;
    case STORE_E_DAMAGED:
        (void)fprintf(out, "verdict=damaged: %s\n", err_text());
        break;
    case STORE_E_FOREIGN:
        (void)fprintf(out, "verdict=foreign: %s\n", err_text());
        break;
    case STORE_E_NEWER:
        (void)fprintf(out, "verdict=newer: %s\n", err_text());
        break;
    default:
        (void)fprintf(out, "verdict=no_log: %s\n", err_text());
        break;
    }
}

static int dump(const struct store_conf *conf, bool records, FILE *out)
{
    cleanup_recovery struct recovery rv = {0};
    int verdict = recovery_run(&rv, conf, false);
    char text[512];

    (void)snprintf(text, sizeof(text), "%s", err_text());
    for (size_t i = 0; records && i < rv.n_files; i++) {
        int rc;

        if (i < rv.first)
            (void)fprintf(out, "segment=%s void: the log begins behind it\n", rv.files[i].name);
        rc = dump_segment(&rv, &rv.files[i], out);
        if (rc != 0)
            return err_trace(rc);
    }
    if (verdict < 0)
        return err_trace(verdict);
    (void)err_say(0, "%s", text);
    print_verdict(&rv, verdict, out);
    return ferror(out) ? err_origin(err_say(-EIO, "cannot write the dump")) : verdict;
}

int store_dump(const struct store_conf *conf, FILE *out)
{
    return dump(conf, true, out);
}

int store_dump_verdict(const struct store_conf *conf, FILE *out)
{
    return dump(conf, false, out);
}
