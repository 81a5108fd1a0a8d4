/* The bytes of records, for who gets them from LMDB (apply.c) and for who reads them off the pages
 * (walk.c, scrub.c). */
#ifndef RIDD_KV_RECORD_INT_H
#define RIDD_KV_RECORD_INT_H

#include "base/bytes.h"
#include "kv/digest_int.h"
#include "kv/kv.h"

#define RECORD_FORMAT       1u
#define RECORD_HEADER_BYTES 32u
#define META_FORMAT         4u
#define META_BYTES          88u
/* As long as no session was ever opened the record is one that an earlier program reads, too: until
 * then an upgrade can be taken back (SESSION-7). */
#define META_FORMAT_PLAIN 3u
#define META_BYTES_PLAIN  64u

struct kv_meta;

extern const struct wire_slice record_meta_key;

uint32_t record_crc(struct wire_slice key, const unsigned char *record, size_t len);
/* What is wrong with the record of a key, in words; NULL: nothing. */
const char *record_defect(struct wire_slice key, const unsigned char *record, size_t len,
                          unsigned format);
/* Of a record without a defect. */
void record_value(const unsigned char *record, size_t len, struct command_value *ret);
/* All of a record counts but its checksum and format. */
struct kv_digest record_digest(struct wire_slice key, const void *record, size_t len);
/* The same of the meta record. */
const char *record_meta_defect(const unsigned char *record, size_t len);
/* Of a meta record without a defect; false: it makes no sense. */
bool record_meta(const unsigned char *record, size_t len, struct kv_meta *ret_meta);
/* Its bytes, and how many. */
size_t record_meta_write(const struct kv_meta *meta, uint16_t group,
                         unsigned char record[META_BYTES]);
/* Of a record without a defect. */
static inline raft_index record_modify_index(const void *record)
{
    return get_u64((const unsigned char *)record + 16);
}
/* 0, also when the checksum is wrong (which is record_defect()'s matter); KV_E_NEWER or
 * KV_E_FOREIGN with err_text(): of a later version or another group. */
int record_meta_is_ours(const struct kv *kv, const unsigned char *record, size_t len);

/* Keys that clients can name: not those of the state itself, nor those that only a node writes. */
static inline bool record_is_counted(struct wire_slice key)
{
    return key.data[0] != KEY_TYPE_INTERNAL && key.data[0] != '\0';
}

#endif
