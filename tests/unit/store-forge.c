#include "unit/store-forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"

static void put_bytes(struct fake_disk *disk, const char *name, uint64_t at, const void *data,
                      size_t len)
{
    size_t size;
    const unsigned char *old = fake_disk_bytes(disk, name, &size);
    cleanup_free unsigned char *bytes = malloc(size);

    assert_non_null(bytes);
    assert_true(at + len <= size);
    memcpy(bytes, old, size);
    memcpy(bytes + at, data, len);
    fake_disk_put(disk, name, bytes, size);
}

void forge_batch(struct fake_disk *disk, const struct store_conf *conf, const struct record *recs,
                 unsigned n, const struct raft_entry_id *last)
{
    struct recovery rv;
    const struct wal_file *file;
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char payload[BATCH_END_BYTES];
    struct batch_end end = {.n_records = n};

    assert_int_equal(recovery_run(&rv, conf, false), 0);
    file = &rv.files[rv.n_files - 1];
    for (unsigned i = 0; i < n; i++) {
        struct record rec = recs[i];

        rec.batch = rv.log.batch + 1;
        assert_int_equal(record_encode(&b, file->header.salt, file->used + b.len, &rec), 0);
    }
    if (last != NULL) {
        end.n_bytes = b.len;
        end.chain = crc32c(rv.log.chain, b.data, b.len);
        end.synced_batch = rv.log.batch;
        end.commit_index = 1;
        batch_end_encode(&end, payload);
        assert_int_equal(record_encode(&b, file->header.salt, file->used + b.len,
                                       &(struct record){.type = RECORD_BATCH_END,
                                                        .group = conf->group,
                                                        .batch = rv.log.batch + 1,
                                                        .index = last->index,
                                                        .term = last->term,
                                                        .len = sizeof(payload),
                                                        .data = payload}),
                         0);
    }
    put_bytes(disk, file->name, file->used, b.data, b.len);
    recovery_done(&rv);
}

void forge_version(struct fake_disk *disk, const char *name, uint32_t version)
{
    unsigned char page[SEGMENT_HEADER_BYTES];
    size_t size;

    memcpy(page, fake_disk_bytes(disk, name, &size), sizeof(page));
    put_u32(page + 8, version);
    put_u32(page + 12, 0);
    put_u32(page + 12, crc32c(0, page, sizeof(page)));
    put_bytes(disk, name, 0, page, sizeof(page));
}
