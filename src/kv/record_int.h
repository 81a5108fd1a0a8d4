/* The bytes of records, for who gets them from LMDB (apply.c) and for who reads them off the pages
 * (walk.c, scrub.c). */
#ifndef RIDD_KV_RECORD_INT_H
#define RIDD_KV_RECORD_INT_H

#include "kv/digest_int.h"
#include "kv/kv.h"

#define RECORD_FORMAT       1u
#define RECORD_HEADER_BYTES 32u
#define META_FORMAT         3u
#define META_BYTES          64u

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
/* Of a meta record without a defect; false: it makes no sense. */
bool record_meta(const unsigned char *record, size_t len, struct kv_meta *ret_meta);
/* 0, also when the checksum is wrong (which is record_defect()'s matter); KV_E_NEWER or
 * KV_E_FOREIGN with err_text(): of a later version or another group. */
int record_meta_is_ours(const struct kv *kv, const unsigned char *record, size_t len);

/* Keys that clients can name. */
static inline bool record_is_counted(struct wire_slice key)
{
    return key.data[0] != KEY_TYPE_INTERNAL;
}

#endif
