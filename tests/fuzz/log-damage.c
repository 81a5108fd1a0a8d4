/* Breaking a log: what time and hardware do (bits, sectors, sizes, files), and what nobody does by
 * accident: records and headers changed, made up, removed and repeated, with checksums that are right
 * again. Without those nothing behind the first checksum would ever be reached. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "fuzz/log-rig.h"

#include "base/banned.h"

#define FILE_BYTES_MAX (96u << 10)
#define RAW_BYTES_MAX  (6u * STEP_BYTES)

/* Before any damage the process has ended and all is on the disk. */
static void settle(struct log_rig *rig, enum trust trust)
{
    log_rig_restart(rig, &(struct fake_disk_cut){.sector_bytes = 512, .keep_percent = 100});
    if (trust > rig->trust)
        rig->trust = trust;
    rig->n_damages++;
    rig->flipped_once = false;
}

/* The file that a step names; the newest for 0. Copied into b. False: there is none. */
static bool pick_file(const struct log_rig *rig, uint8_t which, char name[64], struct buf *b)
{
    unsigned n = fake_disk_n_files(rig->disk);
    const unsigned char *bytes;
    size_t size = 0;

    if (n == 0)
        return false;
    (void)snprintf(name, 64, "%s", fake_disk_name(rig->disk, n - 1 - which % n));
    bytes = fake_disk_bytes(rig->disk, name, &size);
    rid_assert(buf_add(b, bytes, size) == 0);
    return true;
}

static void put_back(struct log_rig *rig, const char *name, const struct buf *b)
{
    fake_disk_put(rig->disk, name, b->data, b->len < FILE_BYTES_MAX ? b->len : FILE_BYTES_MAX);
}

static size_t used_bytes(const struct buf *b)
{
    size_t n = b->len;

    while (n > 0 && b->data[n - 1] == 0)
        n--;
    return n;
}

/* Record by record as the lengths say, checksums or not. */
static size_t record_at(const struct buf *b, size_t offset)
{
    uint32_t len;

    if (offset + RECORD_HEADER_BYTES > b->len || b->data[offset + 4] == 0)
        return 0;
    len = get_u32(b->data + offset + 8);
    if (len > b->len || record_bytes(len) > b->len - offset)
        return 0;
    return record_bytes(len);
}

static size_t find_record(const struct buf *b, unsigned which, size_t *ret_bytes)
{
    size_t offsets[256];
    unsigned n = 0;
    size_t at = SEGMENT_HEADER_BYTES;

    for (size_t len; n < 256 && (len = record_at(b, at)) != 0; at += len)
        offsets[n++] = at;
    if (n == 0) {
        *ret_bytes = 0;
        return SEGMENT_HEADER_BYTES;
    }
    at = offsets[n - 1 - which % n];
    *ret_bytes = record_at(b, at);
    return at;
}

static size_t records_end(const struct buf *b)
{
    size_t at = SEGMENT_HEADER_BYTES;

    for (size_t len; (len = record_at(b, at)) != 0;)
        at += len;
    return at;
}

static uint64_t salt_of(const struct buf *b)
{
    return b->len >= SEGMENT_HEADER_BYTES ? get_u64(b->data + 56) : 0;
}

/* Writes the record that stands at `at` again, with both checksums right. */
static void seal_record(struct buf *b, size_t at, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT;
    struct record rec = {.type = (enum record_type)b->data[at + 4],
                         .flags = b->data[at + 5],
                         .len = get_u32(b->data + at + 8),
                         .batch = get_u64(b->data + at + 16),
                         .index = get_u64(b->data + at + 24),
                         .term = get_u64(b->data + at + 32),
                         .data = b->data + at + RECORD_HEADER_BYTES};

    rid_assert(record_encode(&out, salt_of(b), at, &rec) == 0);
    rid_assert(out.len == len);
    memcpy(b->data + at, out.data, len);
}

/* All records of a segment: checksums, and as asked counts, chains, and the last entry's place in
 * BATCH_END. */
static void seal_file(struct buf *b, uint8_t what)
{
    uint32_t chain;
    uint32_t n_records = 0;
    size_t begin = SEGMENT_HEADER_BYTES;
    size_t len;

    if (b->len < SEGMENT_HEADER_BYTES)
        return;
    chain = get_u32(b->data + 92);
    for (size_t at = begin; (len = record_at(b, at)) != 0; at += len) {
        unsigned char *p = b->data + at + RECORD_HEADER_BYTES;

        if (b->data[at + 4] == RECORD_BATCH_END && get_u32(b->data + at + 8) == BATCH_END_BYTES) {
            if ((what & 1) == 0) {
                put_u32(p, n_records);
                put_u64(p + 8, at - begin);
            }
            if ((what & 2) == 0)
                put_u32(p + 16, crc32c(chain, b->data + begin, at - begin));
            chain = get_u32(p + 16);
            n_records = 0;
            begin = at + len;
        } else {
            n_records++;
        }
        seal_record(b, at, len);
    }
}

/* What the next segment says of this one, made to fit it. */
static void seal_next(struct log_rig *rig, const char *name, const struct buf *b)
{
    cleanup_buf struct buf next = BUF_INIT;
    struct segment_header h;
    char next_name[STORE_NAME_BYTES];
    const unsigned char *bytes;
    size_t size = 0;
    uint64_t seq;
    size_t end = 0;
    uint32_t chain;

    if (!store_name_parse(name, ".wal", &seq) || b->len < SEGMENT_HEADER_BYTES)
        return;
    store_name_segment(next_name, seq + 1);
    bytes = fake_disk_bytes(rig->disk, next_name, &size);
    if (bytes == NULL || size < SEGMENT_HEADER_BYTES || segment_header_decode(bytes, &h) != 0)
        return;
    rid_assert(buf_add(&next, bytes, size) == 0);
    chain = get_u32(b->data + 92);
    h.prev_last_batch = 0;
    for (size_t at = SEGMENT_HEADER_BYTES, len; (len = record_at(b, at)) != 0; at += len) {
        if (b->data[at + 4] != RECORD_BATCH_END || len != record_bytes(BATCH_END_BYTES))
            continue;
        end = at + len;
        chain = get_u32(b->data + at + RECORD_HEADER_BYTES + 16);
        h.prev_last_batch = get_u64(b->data + at + 16);
        h.prev_last_index = get_u64(b->data + at + 24);
        h.prev_last_term = get_u64(b->data + at + 32);
    }
    h.prev_used = end;
    h.prev_chain = chain;
    h.first_index = h.prev_last_index + 1;
    segment_header_encode(&h, next.data);
    put_back(rig, next_name, &next);
}

static void flip(struct log_rig *rig, const uint8_t *s)
{
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];
    size_t used;
    bool first = rig->n_damages == 0 && rig->trust == HONEST;

    settle(rig, ROTTEN);
    if (!pick_file(rig, s[1], name, &b) || b.len == 0)
        return;
    used = used_bytes(&b);
    if (used == 0)
        used = b.len;
    /* Counted from the end of what is used: there the hard cases are. */
    fake_disk_flip(rig->disk, name, used - 1 - get_u16(s + 2) % used, s[4] % 8);
    rig->flipped_once = first;
}

static void zero(struct log_rig *rig, const uint8_t *s)
{
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];
    size_t unit = (s[4] & 1) != 0 ? 512 : 8;
    size_t used;
    size_t at;

    settle(rig, ROTTEN);
    if (!pick_file(rig, s[1], name, &b) || b.len == 0)
        return;
    used = used_bytes(&b);
    at = used / unit > s[2] ? (used / unit - s[2]) * unit : 0;
    for (size_t i = at; i < at + unit * (1u + s[3] % 16) && i < b.len; i++)
        b.data[i] = 0;
    put_back(rig, name, &b);
}

static void resize(struct log_rig *rig, const uint8_t *s)
{
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];
    size_t size;

    settle(rig, ROTTEN);
    if (!pick_file(rig, s[1], name, &b))
        return;
    size = (s[4] & 1) != 0 ? b.len + get_u16(s + 2) % 8192 : b.len - get_u16(s + 2) % (b.len + 1);
    fake_disk_resize(rig->disk, name, size < FILE_BYTES_MAX ? size : FILE_BYTES_MAX);
}

static void change_file(struct log_rig *rig, const uint8_t *s)
{
    static const char *const names[] = {
        "0000000000000001.wal",
        "0000000000000002.wal",
        "0000000000000003.wal",
        "0000000000000004.wal",
        "0000000000000003.prep",
        "0000000000000004.prep",
        "0000000000000001.tmp",
        "torn-0000000000000003",
        "9999999999999999.wal",
        "0000000000000000.wal",
        "x.wal",
        "lost+found",
        "0000000000000002.prep",
        "torn-9999999999999999",
        "000000000000000A.wal",
    };
    const char *to = names[s[3] % (sizeof(names) / sizeof(names[0]))];
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];

    settle(rig, ROTTEN);
    if (!pick_file(rig, s[1], name, &b))
        return;
    switch (s[2] % 4) {
    case 0:
        fake_disk_remove(rig->disk, name);
        break;
    case 1:
        if (strcmp(name, to) != 0)
            fake_disk_rename(rig->disk, name, to);
        break;
    case 2:
        put_back(rig, to, &b);
        break;
    default:
        fake_disk_put(rig->disk, to, b.data, 0);
        break;
    }
}

/* Whole steps that follow, as bytes. */
static size_t take_raw(struct log_rig *rig, uint8_t n_steps, unsigned char raw[RAW_BYTES_MAX])
{
    size_t n = 0;

    for (unsigned i = n_steps % (RAW_BYTES_MAX / STEP_BYTES + 1); i > 0; i--) {
        if (!steps_next(&rig->steps, raw + n))
            break;
        n += STEP_BYTES;
    }
    return n;
}

static void garble(struct log_rig *rig, const uint8_t *s)
{
    unsigned char raw[RAW_BYTES_MAX];
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];
    size_t n = take_raw(rig, s[4], raw);
    size_t used;
    size_t at;

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b) || b.len == 0)
        return;
    if (n == 0) {
        n = 8;
        memcpy(raw, s + 8, n);
    }
    used = used_bytes(&b);
    at = used - get_u16(s + 2) % (used + 1);
    if (n > b.len - at)
        n = b.len - at;
    memcpy(b.data + at, raw, n);
    put_back(rig, name, &b);
}

static void edit_record(struct log_rig *rig, const uint8_t *s)
{
    static const struct {
        unsigned at;
        unsigned bytes;
    } fields[] = {{4, 1},
                  {5, 1},
                  {6, 2},
                  {8, 4},
                  {16, 8},
                  {24, 8},
                  {32, 8},
                  /* of the payload */
                  {40, 4},
                  {48, 8},
                  {56, 4},
                  {64, 8},
                  {72, 8},
                  {40, 8},
                  {41, 1}};
    unsigned field = s[3] % (sizeof(fields) / sizeof(fields[0]));
    cleanup_buf struct buf b = BUF_INIT;
    unsigned char value[8];
    char name[64];
    size_t len = 0;
    size_t at;

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b))
        return;
    at = find_record(&b, s[2], &len);
    if (fields[field].at + fields[field].bytes > len)
        return;
    memset(value, 0, sizeof(value));
    memcpy(value, b.data + at + fields[field].at, fields[field].bytes);
    put_u64(value, steps_near(get_u64(value), s[4]));
    memcpy(b.data + at + fields[field].at, value, fields[field].bytes);
    if ((s[5] & 1) == 0 && record_at(&b, at) != 0)
        seal_record(&b, at, record_at(&b, at));
    if ((s[5] & 2) == 0)
        seal_file(&b, s[6]);
    put_back(rig, name, &b);
    if ((s[5] & 4) != 0)
        seal_next(rig, name, &b);
}

static void edit_header(struct log_rig *rig, const uint8_t *s)
{
    struct segment_header h;
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b) || b.len < SEGMENT_HEADER_BYTES ||
        segment_header_decode(b.data, &h) != 0)
        return;
    {
        uint64_t *const fields[] = {&h.seq,
                                    &h.salt,
                                    &h.first_index,
                                    &h.first_batch,
                                    &h.size,
                                    &h.prev_seq,
                                    &h.prev_last_index,
                                    &h.prev_last_term,
                                    &h.prev_last_batch,
                                    &h.prev_used,
                                    &h.node_id,
                                    &h.incarnation};
        unsigned field = s[3] % (sizeof(fields) / sizeof(fields[0]) + 2);

        if (field < sizeof(fields) / sizeof(fields[0]))
            *fields[field] = steps_near(*fields[field], s[4]);
        else if (field == sizeof(fields) / sizeof(fields[0]))
            h.prev_chain = (uint32_t)steps_near(h.prev_chain, s[4]);
        else
            h.cluster_id[s[4] % 16] ^= 1;
    }
    segment_header_encode(&h, b.data);
    if ((s[5] & 2) == 0)
        seal_file(&b, s[6]); /* the salt may be another */
    put_back(rig, name, &b);
    if ((s[5] & 4) != 0)
        seal_next(rig, name, &b);
}

/* Opens room for len bytes at `at`; what stands at the end of the file falls off. */
static void shift(struct buf *b, size_t at, size_t len)
{
    if (len > b->len - at)
        len = b->len - at;
    memmove(b->data + at + len, b->data + at, b->len - at - len);
    memset(b->data + at, 0, len);
}

/* A record of our own: behind the last one, or before one that is named. */
static void make_record(struct log_rig *rig, const uint8_t *s)
{
    unsigned char raw[RAW_BYTES_MAX];
    size_t n_raw = take_raw(rig, s[12], raw);
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf out = BUF_INIT;
    struct record rec = {.type = (enum record_type)s[4], .flags = s[5], .data = raw};
    size_t len = 0;
    size_t at;
    size_t before;
    char name[64];

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b) || b.len < SEGMENT_HEADER_BYTES)
        return;
    before = find_record(&b, s[2], &len);
    at = s[3] != 0 && len != 0 ? before : records_end(&b);
    if (len != 0) {
        rec.batch = steps_near(get_u64(b.data + before + 16), s[6]);
        rec.index = steps_near(get_u64(b.data + before + 24), s[7]);
        rec.term = steps_near(get_u64(b.data + before + 32), s[8]);
    } else {
        rec.batch = steps_near(1, s[6]);
        rec.index = steps_near(1, s[7]);
        rec.term = steps_near(1, s[8]);
    }
    if (n_raw == 0 && rec.type == RECORD_BATCH_END) {
        struct batch_end tail = {.synced_batch = rec.batch - 1, .commit_index = s[9]};

        batch_end_encode(&tail, raw);
        n_raw = BATCH_END_BYTES;
    }
    if (n_raw == 0) {
        n_raw = (rec.type == RECORD_HARDSTATE || rec.type == RECORD_SYNCMARK) ? 8
                : rec.type == RECORD_LEASED_STATE                             ? 16
                                                                              : s[10] % 33;
        memset(raw, s[9], sizeof(raw));
    }
    rec.len = (uint32_t)n_raw;
    rid_assert(record_encode(&out, salt_of(&b), at, &rec) == 0);
    if (out.len > b.len - at)
        return;
    shift(&b, at, out.len);
    memcpy(b.data + at, out.data, out.len);
    if ((s[11] & 2) == 0)
        seal_file(&b, s[13]);
    put_back(rig, name, &b);
    if ((s[11] & 4) != 0)
        seal_next(rig, name, &b);
}

static size_t run_of(const struct buf *b, size_t at, uint8_t n)
{
    size_t end = at;

    for (unsigned i = 0; i < n; i++)
        end += record_at(b, end);
    return end - at;
}

static void move_records(struct log_rig *rig, const uint8_t *s, bool repeat)
{
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_buf struct buf copy = BUF_INIT;
    char name[64];
    size_t len = 0;
    size_t at;
    size_t to;

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b) || b.len < SEGMENT_HEADER_BYTES)
        return;
    at = find_record(&b, s[2], &len);
    len = run_of(&b, at, (uint8_t)(1 + s[3] % 16));
    if (len == 0)
        return;
    if (repeat) {
        rid_assert(buf_add(&copy, b.data + at, len) == 0);
        to = s[4] == 0 ? at + len : find_record(&b, s[4], &(size_t){0});
        if (to > b.len || len > b.len - to)
            return;
        shift(&b, to, len);
        memcpy(b.data + to, copy.data, len);
    } else {
        memmove(b.data + at, b.data + at + len, b.len - at - len);
        memset(b.data + b.len - len, 0, len);
    }
    if ((s[5] & 2) == 0)
        seal_file(&b, s[6]);
    put_back(rig, name, &b);
    if ((s[5] & 4) != 0)
        seal_next(rig, name, &b);
}

static void seal(struct log_rig *rig, const uint8_t *s)
{
    cleanup_buf struct buf b = BUF_INIT;
    char name[64];

    settle(rig, FORGED);
    if (!pick_file(rig, s[1], name, &b))
        return;
    seal_file(&b, s[6]);
    put_back(rig, name, &b);
    seal_next(rig, name, &b);
}

/* ---- the steps ---- */

void log_damage(struct log_rig *rig, const uint8_t *s)
{
    switch ((enum op)(s[0] % N_OPS)) {
    case OP_FLIP:
        flip(rig, s);
        break;
    case OP_ZERO:
        zero(rig, s);
        break;
    case OP_RESIZE:
        resize(rig, s);
        break;
    case OP_FILE:
        change_file(rig, s);
        break;
    case OP_GARBLE:
        garble(rig, s);
        break;
    case OP_EDIT_RECORD:
        edit_record(rig, s);
        break;
    case OP_EDIT_HEADER:
        edit_header(rig, s);
        break;
    case OP_MAKE_RECORD:
        make_record(rig, s);
        break;
    case OP_REMOVE_RECORDS:
        move_records(rig, s, false);
        break;
    case OP_REPEAT_RECORDS:
        move_records(rig, s, true);
        break;
    case OP_SEAL:
        seal(rig, s);
        break;
    case OP_SUBMIT:
    case OP_WORK:
    case OP_IDLE:
    case OP_PREPARE:
    case OP_READ:
    case OP_OPEN:
    case OP_CRASH:
    case OP_FAULT:
    case N_OPS:
        break;
    }
}
