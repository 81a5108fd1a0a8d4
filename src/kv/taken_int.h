/* Which pages no key may lead to: those that are listed as free, and those that hold that list.
 *
 * LMDB writes over a free page some time, and until then an older copy of a page in use stands on
 * it: whole, in order, only not the one that counts. */
#ifndef RIDD_KV_TAKEN_INT_H
#define RIDD_KV_TAKEN_INT_H

#include "kv/page_int.h"

/* Zeroed: nothing is known. */
struct taken {
    uint64_t *bits; /* owned */
    uint64_t words;
    uint64_t txnid; /* of the head they were read from; 0: read them again */
};

/* Reads the list of that head unless it was read before, and sets file->taken. A list that is too
 * long is left out: file->taken is NULL then. The cursor is used for it. 0, KV_E_DAMAGED,
 * -errno. */
int taken_list(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head);
void taken_free(struct taken *t);

#endif
