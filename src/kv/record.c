/* The bytes of a record: what LMDB holds under a key, with no word about LMDB.
 *
 * One tree, LMDB's unnamed one. A key is stored as wire/command.h has it; its first byte is never
 * 0, which is how the record of last_applied cannot be reached by any command. Little endian:
 *
 *   a key's record   u32 crc32c (of the key, then of everything behind this word), u8 format (1),
 *                    3 zero bytes, u64 create_index, u64 modify_index, u64 version, text
 *   the meta record  u32 crc32c (likewise), u8 format (3: with live bytes; 4: with sessions), u8
 *                    0, u16 group, u64 term, u64 index, u64 n_keys, u64 low and high half of the
 *                    digest, u64 live bytes, u64 their limit; of format 4 then u64 sessions, u64
 *                    bytes of their records, u64 those that had to go
 *
 * Format 4 is written from the first session on, and format 3 before (SESSION-7). A file with a
 * meta record of an earlier format is set aside and rebuilt from the log; one of a later format is
 * refused (DISK-24).
 */
#include "kv/record_int.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "kv/kv_int.h"

#include "base/banned.h"

static_assert(KEY_BYTES_MAX <= LMDB_KEY_BYTES_MAX, "every key must fit LMDB");
static_assert(ENTRY_BYTES_MAX + RECORD_HEADER_BYTES < UINT32_MAX,
              "LMDB's values have 32-bit lengths");

static const char meta_key[] = "\0meta";
const struct wire_slice record_meta_key = {meta_key, sizeof(meta_key) - 1};

uint32_t record_crc(struct wire_slice key, const unsigned char *record, size_t len)
{
    return crc32c(crc32c(0, key.data, key.len), record + 4, len - 4);
}

/* The checksum is compared each time that a record is read (STATE-6). */
const char *record_defect(struct wire_slice key, const unsigned char *record, size_t len,
                          unsigned format)
{
    if (len < RECORD_HEADER_BYTES)
        return "it is too short";
    if (get_u32(record) != record_crc(key, record, len))
        return "its checksum is wrong";
    if (record[4] != format)
        return "its format is unknown";
    return NULL;
}

const char *record_meta_defect(const unsigned char *record, size_t len)
{
    const bool is_plain = len == META_BYTES_PLAIN && record[4] == META_FORMAT_PLAIN;

    return record_defect(record_meta_key, record, len, is_plain ? META_FORMAT_PLAIN : META_FORMAT);
}

void record_value(const unsigned char *record, size_t len, struct command_value *ret)
{
    *ret = (struct command_value){
        .exists = true,
        .text = {(const char *)record + RECORD_HEADER_BYTES, len - RECORD_HEADER_BYTES},
        .create_index = get_u64(record + 8),
        .modify_index = get_u64(record + 16),
        .version = get_u64(record + 24),
    };
}

struct kv_digest record_digest(struct wire_slice key, const void *record, size_t len)
{
    return digest_record(key.data, key.len, (const unsigned char *)record + 8, len - 8);
}

bool record_meta(const unsigned char *record, size_t len, struct kv_meta *ret_meta)
{
    const size_t want = record[4] == META_FORMAT ? META_BYTES : META_BYTES_PLAIN;

    if (len != want || get_u64(record + 16) == 0)
        return false;
    *ret_meta = (struct kv_meta){
        .last_applied = {.term = get_u64(record + 8), .index = get_u64(record + 16)},
        .n_keys = get_u64(record + 24),
        .digest = {.high = get_u64(record + 40), .low = get_u64(record + 32)},
        .live_bytes = get_u64(record + 48),
        .limit_bytes = get_u64(record + 56),
    };
    if (record[4] == META_FORMAT)
        ret_meta->sessions = (struct kv_sessions){
            .n = get_u64(record + 64), .bytes = get_u64(record + 72), .gone = get_u64(record + 80)};
    return true;
}

size_t record_meta_write(const struct kv_meta *meta, uint16_t group,
                         unsigned char record[META_BYTES])
{
    const bool is_plain = meta->sessions.n == 0 && meta->sessions.gone == 0;
    const size_t len = is_plain ? META_BYTES_PLAIN : META_BYTES;

    memset(record, 0, META_BYTES);
    record[4] = is_plain ? META_FORMAT_PLAIN : META_FORMAT;
    put_u16(record + 6, group);
    put_u64(record + 8, meta->last_applied.term);
    put_u64(record + 16, meta->last_applied.index);
    put_u64(record + 24, meta->n_keys);
    put_u64(record + 32, meta->digest.low);
    put_u64(record + 40, meta->digest.high);
    put_u64(record + 48, meta->live_bytes);
    put_u64(record + 56, meta->limit_bytes);
    if (!is_plain) {
        put_u64(record + 64, meta->sessions.n);
        put_u64(record + 72, meta->sessions.bytes);
        put_u64(record + 80, meta->sessions.gone);
    }
    put_u32(record, record_crc(record_meta_key, record, len));
    return len;
}

uint64_t kv_record_bytes(size_t key_len, size_t text_len)
{
    return key_len + text_len + KV_RECORD_OVERHEAD;
}

/* Whoever goes back to an earlier version (DISK-24), or gives a group the file of another
 * (STATE-9), must not find the state moved aside for that. */
int record_meta_is_ours(const struct kv *kv, const unsigned char *record, size_t len)
{
    if (len < RECORD_HEADER_BYTES || get_u32(record) != record_crc(record_meta_key, record, len))
        return 0;
    if (record[4] > META_FORMAT)
        return err_say(KV_E_NEWER,
                       "the state in '%s' was written by a later version: its format is "
                       "%u, this one knows %u",
                       kv->dir, record[4], META_FORMAT);
    if (get_u16(record + 6) != kv->group)
        return err_say(KV_E_FOREIGN, "the state in '%s' is that of group %u, not of group %u",
                       kv->dir, get_u16(record + 6), kv->group);
    return 0;
}
