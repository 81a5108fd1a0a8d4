/* The label of a backup, and the two ends of its file. Bytes come from anywhere: everything is
 * validated.
 *
 * The label, behind the trailer:
 *      0 u64 bytes of copy and trailer     8 u64 when it was begun
 *     16 four texts, each u8 length and so many bytes: cluster, hash of its id, node, program
 *   what a later program adds stands here, and is passed over; then, at the very end, the tail,
 *   which has this form in every version:
 *      0 u32 version           4 u32 bytes of the label, this tail included
 *      8 u32 CRC32C of the trailer and all of the label before it
 *     12 "RIDDBACK" */
#include "snap/backup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"

#include "base/banned.h"

#define BACKUP_VERSION     1u
#define BACKUP_FIXED_BYTES 16u
#define BACKUP_TAIL_BYTES  20u
static const char magic[8] = {'R', 'I', 'D', 'D', 'B', 'A', 'C', 'K'};

static_assert(BACKUP_FIXED_BYTES + 4 + 2 * NODE_NAME_BYTES_MAX + BACKUP_HASH_SIZE +
                      BACKUP_PROGRAM_BYTES_MAX + BACKUP_TAIL_BYTES <=
                  BACKUP_LABEL_BYTES_MAX,
              "the largest label must fit");

const char *backup_error_text(int rc)
{
    switch ((enum backup_error)rc) {
        BACKUP_ERRORS(OUTCOME_CASE)
    }
    return "unknown";
}

void backup_time_text(uint64_t s, char ret_text[BACKUP_TIME_SIZE])
{
    const time_t at = s <= INT32_MAX * UINT64_C(100) ? (time_t)s : 0;
    struct tm tm;

    if (s == 0 || at == 0 || gmtime_r(&at, &tm) == NULL ||
        strftime(ret_text, BACKUP_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)snprintf(ret_text, BACKUP_TIME_SIZE, "?");
}

/* ---- the label ---- */

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

static unsigned char *put_text(unsigned char *p, const char *text)
{
    const size_t len = strlen(text);

    *p++ = (unsigned char)len;
    for (size_t i = 0; i < len; i++)
        *p++ = (unsigned char)(is_printable(text[i]) ? text[i] : '?');
    return p;
}

/* Behind it, or NULL. */
static const unsigned char *get_text(const unsigned char *p, const unsigned char *end,
                                     size_t len_max, char *ret_text)
{
    const size_t len = p < end ? *p : 0;

    if (p >= end || len > len_max || len > (size_t)(end - p) - 1)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if (!is_printable((char)p[1 + i]))
            return NULL;
    memcpy(ret_text, p + 1, len);
    ret_text[len] = '\0';
    return p + 1 + len;
}

static uint32_t label_crc(const void *trailer, size_t trailer_len, const void *label, size_t n)
{
    return crc32c(crc32c(0, trailer, trailer_len), label, n);
}

int backup_label_encode(const struct backup_label *l, uint64_t snapshot_bytes, const void *trailer,
                        size_t trailer_len, struct buf *buf)
{
    unsigned char *start = buf_reserve(buf, BACKUP_LABEL_BYTES_MAX);
    unsigned char *p = start;
    size_t total;

    if (start == NULL)
        return -ENOMEM;
    put_u64(p, snapshot_bytes);
    put_u64(p + 8, l->begun_s);
    p = put_text(p + BACKUP_FIXED_BYTES, l->cluster_name);
    p = put_text(p, l->cluster_hash);
    p = put_text(p, l->node_name);
    p = put_text(p, l->program);
    total = (size_t)(p - start) + BACKUP_TAIL_BYTES;
    rid_assert(total <= BACKUP_LABEL_BYTES_MAX);
    put_u32(p, BACKUP_VERSION);
    put_u32(p + 4, (uint32_t)total);
    put_u32(p + 8, label_crc(trailer, trailer_len, start, total - 12));
    memcpy(p + 12, magic, sizeof(magic));
    buf->len += total;
    return 0;
}

size_t backup_tail_find(const void *data, size_t len)
{
    const unsigned char *end = (const unsigned char *)data + len;
    size_t total;

    if (len < BACKUP_TAIL_BYTES || memcmp(end - sizeof(magic), magic, sizeof(magic)) != 0)
        return 0;
    total = get_u32(end - 16);
    return total >= BACKUP_TAIL_BYTES && total <= BACKUP_LABEL_BYTES_MAX ? total : 0;
}

int backup_label_decode(const void *data, size_t len, uint64_t snapshot_bytes, const void *trailer,
                        size_t trailer_len, struct backup_label *ret)
{
    const unsigned char *p = data;
    const unsigned char *end = p + len - BACKUP_TAIL_BYTES;
    struct backup_label l = {0};
    uint32_t version;

    if (len == 0 || backup_tail_find(data, len) != len ||
        get_u32(p + len - 12) != label_crc(trailer, trailer_len, p, len - 12))
        return BACKUP_E_DAMAGED;
    version = get_u32(end);
    if (version > BACKUP_VERSION) /* with a good checksum (DISK-24) */
        return BACKUP_E_NEWER;
    if (version != BACKUP_VERSION || (size_t)(end - p) < BACKUP_FIXED_BYTES ||
        get_u64(p) != snapshot_bytes)
        return BACKUP_E_DAMAGED;
    l.begun_s = get_u64(p + 8);
    p = get_text(p + BACKUP_FIXED_BYTES, end, NODE_NAME_BYTES_MAX, l.cluster_name);
    if (p != NULL)
        p = get_text(p, end, BACKUP_HASH_SIZE - 1, l.cluster_hash);
    if (p != NULL)
        p = get_text(p, end, NODE_NAME_BYTES_MAX, l.node_name);
    if (p != NULL)
        p = get_text(p, end, BACKUP_PROGRAM_BYTES_MAX, l.program);
    if (p == NULL)
        return BACKUP_E_DAMAGED;
    *ret = l;
    return 0;
}

/* ---- what a file is ---- */

static int read_at(const struct backup *b, void *buf, size_t n, uint64_t offset)
{
    unsigned char *p = buf;

    while (n > 0) {
        const ssize_t got = pread(b->fd, p, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_origin(err_say(-errno, "cannot read '%s': %s", b->name, strerror(errno)));
        if (got == 0)
            return err_say(BACKUP_E_DAMAGED, "'%s' became shorter while it was read", b->name);
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

/* How LMDB's files begin, with words of 8 and of 4 bytes. */
#define LMDB_MAGIC 0xbeefc0deu

static bool begins_as_lmdb(const unsigned char *p, size_t n)
{
    return (n >= 20 && get_u32(p + 16) == LMDB_MAGIC) || (n >= 16 && get_u32(p + 12) == LMDB_MAGIC);
}

/* What people give by mistake, by its first bytes. */
static const struct {
    const char *begin;
    size_t len;
    const char *what;
} others[] = {
    {"{\"ridd_export\"", 14,
     "is a file of keys and values that 'ridctl export' made: write them into a cluster that runs "
     "with 'ridctl import'"},
    {"RIDDWAL", 7,
     "is a segment of a node's log, and no backup: 'ridd --dump-log' shows the log of a data "
     "directory; a backup is made with 'ridctl backup save FILE'"},
    {"RIDD", 4,
     "is a file of a node's data directory, and no backup: that is made with 'ridctl backup save "
     "FILE'"},
    {"\x1f\x8b", 2, "is compressed: unpack it first ('zcat FILE | ... -')"},
    {"\x28\xb5\x2f\xfd", 4, "is compressed: unpack it first ('zstdcat FILE | ... -')"},
    {"\xfd"
     "7zXZ",
     5, "is compressed: unpack it first ('xzcat FILE | ... -')"},
};

/* There is no end of ours. */
static int say_other(const struct backup *b)
{
    unsigned char begin[32];
    const size_t n = b->bytes < sizeof(begin) ? (size_t)b->bytes : sizeof(begin);
    int rc;

    if (n == 0)
        return err_say(BACKUP_E_NONE,
                       "'%s' is empty, and no backup: make one with 'ridctl backup save FILE'",
                       b->name);
    rc = read_at(b, begin, n, 0);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (n >= others[i].len && memcmp(begin, others[i].begin, others[i].len) == 0)
            return err_say(BACKUP_E_NONE, "'%s' %s", b->name, others[i].what);
    if (begins_as_lmdb(begin, n))
        return err_say(
            BACKUP_E_DAMAGED,
            "'%s' begins as a backup does, and its end is missing or damaged: it was cut "
            "short, perhaps while it was saved or copied (or is the state of a data "
            "directory); take another one, or save it again",
            b->name);
    return err_say(BACKUP_E_NONE, "'%s' is no backup: one is made with 'ridctl backup save FILE'",
                   b->name);
}

int backup_say_wrong(const struct backup *b, const char *why)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "%s", why); /* err_say() must not read what it writes */
    return err_say(BACKUP_E_DAMAGED, "'%s' is damaged: %s; take another backup", b->name, text);
}

static int say_newer(const struct backup *b)
{
    return err_say(BACKUP_E_NEWER,
                   "'%s' was saved by a later version of ridd: take the programs of that version",
                   b->name);
}

/* The trailer that ends at `end` bytes of data, which is where the file's first `snapshot_bytes`
 * end. */
static int take_trailer(struct backup *b, const unsigned char *data, size_t end,
                        uint64_t snapshot_bytes)
{
    const size_t len = snap_tail_find(data, end);
    int rc;

    if (len == 0 || len > end)
        return b->has_label ? backup_say_wrong(b, "its end is not whole") : say_other(b);
    rc = snap_meta_decode(data + end - len, len, &b->meta);
    if (rc == SNAP_E_NEWER)
        return say_newer(b);
    if (rc != 0)
        return backup_say_wrong(b, "the checksum of its end is wrong");
    if (b->meta.body_bytes != snapshot_bytes - len)
        return backup_say_wrong(b, "it is longer or shorter than its end says");
    b->trailer_bytes = len;
    return 0;
}

static int take_ends(struct backup *b, const unsigned char *data, size_t n)
{
    const size_t label_len = backup_tail_find(data, n);
    int rc;

    b->has_label = label_len != 0 && label_len <= n;
    if (!b->has_label)
        return take_trailer(b, data, n, b->bytes);
    rc = take_trailer(b, data, n - label_len, b->bytes - label_len);
    if (rc != 0)
        return rc;
    rc = backup_label_decode(data + n - label_len, label_len, b->bytes - label_len,
                             data + n - label_len - b->trailer_bytes, b->trailer_bytes, &b->label);
    if (rc == BACKUP_E_NEWER)
        return say_newer(b);
    return rc != 0 ? backup_say_wrong(b, "the checksum of its label is wrong") : 0;
}

#define ENDS_BYTES (SNAP_TRAILER_BYTES + BACKUP_LABEL_BYTES_MAX)

int backup_open(int fd, const char *name, struct backup *ret)
{
    cleanup_free unsigned char *data = malloc(ENDS_BYTES);
    struct backup b = {.fd = fd, .name = name};
    struct stat st;
    size_t n;
    int rc;

    if (data == NULL)
        return err_origin(err_say(-ENOMEM, "out of memory"));
    if (fstat(fd, &st) != 0)
        return err_origin(err_say(-errno, "cannot read '%s': %s", name, strerror(errno)));
    if (!S_ISREG(st.st_mode))
        return err_say(BACKUP_E_NONE, "'%s' is %s, and no backup: name the file", name,
                       S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    b.bytes = (uint64_t)st.st_size;
    n = b.bytes < ENDS_BYTES ? (size_t)b.bytes : ENDS_BYTES;
    rc = read_at(&b, data, n, b.bytes - n);
    if (rc == 0)
        rc = take_ends(&b, data, n);
    if (rc == 0)
        *ret = b;
    return rc;
}

int backup_read(void *backup, void *buf, size_t n, uint64_t offset)
{
    const struct backup *b = backup;

    if (offset > b->meta.body_bytes || n > b->meta.body_bytes - offset)
        return err_say(BACKUP_E_DAMAGED, "it ends before what is read of it");
    return read_at(b, buf, n, offset);
}

int backup_check(struct backup *b, void (*progress)(void *ctx, uint64_t done), void *ctx)
{
    cleanup_free unsigned char *piece = malloc(SNAP_CHECK_BYTES);
    uint32_t crc = 0;
    size_t n;

    if (piece == NULL)
        return err_origin(err_say(-ENOMEM, "out of memory"));
    for (uint64_t at = 0; at < b->meta.body_bytes; at += n) {
        const uint64_t left = b->meta.body_bytes - at;
        int rc;

        n = left < SNAP_CHECK_BYTES ? (size_t)left : SNAP_CHECK_BYTES;
        rc = backup_read(b, piece, n, at);
        if (rc != 0)
            return rc;
        crc = crc32c(crc, piece, n);
        if (progress != NULL)
            progress(ctx, at + n);
    }
    return crc == b->meta.body_crc ? 0 : backup_say_wrong(b, "its checksum is wrong");
}
