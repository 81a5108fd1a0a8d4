/* Snapshots: any bytes are refused as a trailer or have one meaning, which encodes to the same bytes;
 * and any file in their folder is in the list or told, found good when it is read again or not, and
 * never removed while there is no better one. All of it is looked at as a backup, too.
 *
 * The first byte of an input chooses what it is and whether the checksum is mended, which no mutation
 * survives; the second is the version of a tail that is made then. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "fuzz/fuzz.h"
#include "snap/backup.h"
#include "snap/snap_int.h"
#include "unit/fake-disk.h"

#include "base/banned.h"

const char fuzz_name[] = "snap";
const unsigned fuzz_runs = 8000;

enum { MODE_TRAILER = 1, MODE_MENDED = 2, MODE_MISNAMED = 4 };
#define MODES 8u

#define CLUSTER "sixteen bytes.."

/* The tail behind what is in b from `from` on. */
static void add_tail(struct buf *b, size_t from, uint32_t version)
{
    size_t total = b->len - from + SNAP_TAIL_BYTES;

    if (buf_add_u32(b, version) != 0 || buf_add_u32(b, (uint32_t)total) != 0 ||
        buf_add_u32(b, crc32c(0, b->data + from, b->len - from)) != 0 ||
        buf_add(b, "RIDDSNAP", 8) != 0)
        abort();
}

static void check_trailer(const unsigned char *data, size_t size)
{
    cleanup_buf struct buf again = BUF_INIT;
    static struct snap_meta m;
    static struct snap_meta back;
    int rc = snap_meta_decode(data, size, &m);

    rid_assert(rc == 0 || rc == SNAP_E_DAMAGED || rc == SNAP_E_NEWER);
    if (rc != 0)
        return;
    rid_assert(snap_meta_is_sound(&m));
    rid_assert(snap_meta_encode(&m, &again) == 0);
    rid_assert(snap_meta_decode(again.data, again.len, &back) == 0);
    /* A configuration of version 1 is read for ever, and not written any more. */
    if (data[SNAP_FIXED_BYTES] == 1)
        return;
    rid_assert(again.len == size);
    rid_assert(memcmp(again.data, data, size) == 0);
}

static void check_body(struct snap_folder *s, const struct snap_meta *m, const unsigned char *data,
                       size_t size)
{
    struct snap_reader *r = NULL;
    unsigned char *body = malloc(size + 1);
    int rc;

    rid_assert(body != NULL);
    rid_assert(m->body_bytes <= size - SNAP_TAIL_BYTES);
    rid_assert(snap_reader_new(s, m->id, &r) == 0);
    rid_assert(snap_reader_read(r, body, m->body_bytes, 0) == 0);
    rid_assert(memcmp(body, data, m->body_bytes) == 0);
    rid_assert(snap_reader_read(r, body, 1, m->body_bytes) == SNAP_E_DAMAGED);
    snap_reader_drop(r);
    rc = snap_check(s, m->id);
    rid_assert(rc == (crc32c(0, body, m->body_bytes) == m->body_crc ? 0 : SNAP_E_DAMAGED));
    free(body);
}

static void check_file(const unsigned char *data, size_t size, bool misnamed)
{
    static struct snap_meta m;
    struct fake_disk *disk = fake_disk_new(1);
    struct snap_conf conf = {.vfs = fake_disk_vfs(disk), .cluster_id = CLUSTER};
    struct raft_entry_id id = {.index = 9, .term = 2};
    struct snap_folder *s = NULL;
    char name[SNAP_NAME_BYTES];
    size_t total = size >= SNAP_TAIL_BYTES
                       ? snap_tail_find(data + size - SNAP_TAIL_BYTES, SNAP_TAIL_BYTES)
                       : 0;
    unsigned n;

    if (!misnamed && total > 0 && total <= size &&
        snap_meta_decode(data + size - total, total, &m) == 0)
        id = m.id;
    snap_name(name, id);
    fake_disk_put(disk, name, data, size);
    rid_assert(snap_open(&conf, &s) == 0);
    n = snap_list(s, &m, 1);
    rid_assert((n == 1) == (err_text()[0] == '\0'));
    rid_assert(snap_bytes(s) == size);
    if (n == 1) {
        rid_assert(snap_id_compare(m.id, id) == 0);
        check_body(s, &m, data, size);
    }
    rid_assert(snap_prune(s, RAFT_INDEX_MAX) == 0);
    rid_assert(fake_disk_n_files(disk) == 1);
    snap_close(s);
    rid_assert(fake_disk_n_open(disk) == 0);
    fake_disk_free(disk);
}

/* The label of a backup: any bytes with a checksum that is right have one meaning, or none; and what a
 * file is can be said of any, with and without one. */
static void check_label(const unsigned char *data, size_t size)
{
    static struct backup_label l;
    static struct backup b;
    cleanup_buf struct buf buf = BUF_INIT;
    const size_t n = size < BACKUP_LABEL_BYTES_MAX - 20 ? size : BACKUP_LABEL_BYTES_MAX - 20;
    int fd;

    if (buf_add(&buf, data, n) != 0 || buf_add_u32(&buf, 1) != 0 ||
        buf_add_u32(&buf, (uint32_t)n + 20) != 0 ||
        buf_add_u32(&buf, crc32c(crc32c(0, CLUSTER, 4), buf.data, buf.len)) != 0 ||
        buf_add(&buf, "RIDDBACK", 8) != 0)
        abort();
    rid_assert(backup_tail_find(buf.data, buf.len) == buf.len);
    if (backup_label_decode(buf.data, buf.len, n >= 8 ? get_u64(data) : 0, CLUSTER, 4, &l) == 0)
        rid_assert(strlen(l.cluster_name) <= NODE_NAME_BYTES_MAX &&
                   strlen(l.node_name) <= NODE_NAME_BYTES_MAX &&
                   strlen(l.program) <= BACKUP_PROGRAM_BYTES_MAX);
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    rid_assert(fd >= 0);
    rid_assert(write(fd, data, size) == (ssize_t)size);
    for (unsigned i = 0; i < 2; i++) {
        const int rc = backup_open(fd, "it", &b);

        rid_assert(rc == 0 || rc == BACKUP_E_NONE || rc == BACKUP_E_DAMAGED ||
                   rc == BACKUP_E_NEWER);
        rid_assert(rc == 0 || err_text()[0] != '\0');
        if (rc == 0)
            rid_assert(b.meta.body_bytes + b.trailer_bytes <= b.bytes);
        rid_assert(write(fd, buf.data, buf.len) == (ssize_t)buf.len);
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buf struct buf b = BUF_INIT;
    unsigned mode;
    size_t body = 0;

    if (size < 4)
        return 0;
    mode = data[0] % MODES;
    if ((mode & MODE_TRAILER) == 0)
        body = get_u16(data + 2) % (size - 3);
    if (buf_add(&b, data + 4, size - 4) != 0)
        abort();
    if ((mode & MODE_MENDED) != 0)
        add_tail(&b, body, data[1]);
    if ((mode & MODE_TRAILER) != 0)
        check_trailer(b.data, b.len);
    else
        check_file(b.data, b.len, (mode & MODE_MISNAMED) != 0);
    check_label(b.data, b.len);
    return 0;
}

/* ---- seeds ---- */

static void seed_meta(unsigned n_servers, struct snap_meta *m)
{
    static const char *const names[] = {"n1", "n2", "n3", "n4", "n5"};

    *m = (struct snap_meta){.cluster_id = CLUSTER,
                            .id = {.index = 9, .term = 2},
                            .config = {.index = 4},
                            .state_format = 5,
                            .digest_version = 1,
                            .digest = {.index = 9, .high = 10, .low = 11},
                            .n_keys = 12,
                            .live_bytes = 13,
                            .limit_bytes = 14};
    for (unsigned i = 0; i < n_servers; i++)
        rid_assert(raft_configuration_add(&m->config.configuration, i + 1, names[i],
                                          i == 4 ? RAFT_LEARNER : RAFT_VOTER, "[::1]:7000",
                                          i == 1 ? "" : "host:8000") == 0);
}

int fuzz_seed(unsigned i, struct buf *buf)
{
    static const char body[] = "the bytes of a copy";
    static struct snap_meta m;
    unsigned mode = i % MODES;
    unsigned kind = i / MODES;
    size_t n = (mode & MODE_TRAILER) != 0 ? 0 : sizeof(body) * kind;

    if (kind > 2)
        return 1;
    seed_meta(1 + 2 * kind, &m);
    if (buf_add_u8(buf, (uint8_t)mode) != 0 || buf_add_u8(buf, kind == 2 ? 2 : SNAP_VERSION) != 0 ||
        buf_add_u16(buf, (uint16_t)n) != 0)
        abort();
    for (size_t at = 0; at < n; at += sizeof(body))
        if (buf_add(buf, body, sizeof(body)) != 0)
            abort();
    m.body_bytes = n;
    m.body_crc = crc32c(0, buf->data + buf->len - n, n);
    rid_assert(snap_meta_encode(&m, buf) == 0);
    if ((mode & MODE_MENDED) != 0)
        buf->len -= SNAP_TAIL_BYTES;
    return 0;
}
