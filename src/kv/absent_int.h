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

/* One for the read side, one for the write side. Zeroed: new. */
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

/* In the snapshot of transaction txnid, while it is the newest: the key is not there, and the
 * structure agrees. In a write transaction: of the state before it, that of the transaction before;
 * then the key may be there, too (it was deleted since). 0, also when a newer transaction was
 * committed meanwhile; KV_E_DAMAGED with err_text(): the file is distrusted; -errno. */
int absent_check_read(struct kv *kv, struct wire_slice key, uint64_t txnid);
int absent_check_write(struct kv *kv, struct wire_slice key, uint64_t txnid);
/* Of a record that was found, its bytes where LMDB has them: they stand on no page that is listed
 * as free, which would be an older copy. Read side; 0 (also when a newer transaction was committed
 * meanwhile), KV_E_DAMAGED, -errno. Reads the list once for each transaction. */
int absent_check_found(struct kv *kv, const void *record, uint64_t txnid);
/* For who reads on over checked pages: file and head of the snapshot, *ret_known false: it is not
 * the newest any more, and nothing is known of it. Read side; 0, KV_E_DAMAGED, -errno. */
int absent_know_read(struct kv *kv, uint64_t txnid, bool *ret_known);
/* Of a page_cursor's `near`, with the kv as context. */
int absent_check_near(void *ctx, const struct page_item *item);
/* The file is closed, and another may take its place. */
void absent_forget_file(struct absent *a);

#endif
