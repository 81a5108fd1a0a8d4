/* Whether a key that LMDB does not find may be called absent (STATE-15).
 *
 * The record of a key that is there has a checksum; nothing speaks for one that is not there. A
 * wrong bit in an inner page leads past it, and whoever believes that answers `null` or makes the
 * key a second time. So before an absence becomes an answer, the way to the place where the key
 * would stand is gone once more, over pages that are checked.
 *
 * A page that was checked and has the same bytes is not checked again (sound_int.h), and what the
 * head and the list of free pages say is read once for each transaction. */
#ifndef RIDD_KV_ABSENT_INT_H
#define RIDD_KV_ABSENT_INT_H

#include "kv/taken_int.h"

/* Zeroed: new. */
struct absent {
    struct page_file file;
    struct page_cursor cursor;
    struct page_cursor list_cursor;
    struct taken taken;
    struct sound sound;
    struct page_head head; /* of the snapshot that file.taken is of, too */
    bool is_known;
};

struct kv;

/* In the file, as kv->read_txn sees it: the key is not there, and the structure agrees. 0;
 * KV_E_DAMAGED with err_text(): the file is distrusted; -errno. */
int absent_check(struct kv *kv, struct wire_slice key);
/* Of a record that was found, its bytes where LMDB has them: they stand on no page that is listed
 * as free, which would be an older copy. 0, KV_E_DAMAGED, -errno. Reads the list once for each
 * transaction. */
int absent_check_found(struct kv *kv, const void *record);
/* For who reads on over checked pages: file and head of the snapshot stand in kv->absent. 0,
 * KV_E_DAMAGED, -errno. */
int absent_know(struct kv *kv);
/* Of a page_cursor's `near`, with the kv as context. */
int absent_check_near(void *ctx, const struct page_item *item);
/* The file is closed, and another may take its place. */
void absent_forget_file(struct absent *a);

#endif
