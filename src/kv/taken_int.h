/* Which pages no key may lead to: those that are listed as free, and those that hold that list.
 *
 * LMDB writes over a free page some time, and until then an older copy of a page in use stands on
 * it: whole, in order, only not the one that counts.
 *
 * The scrub reads all of the list, and compares it with itself. Who asks about a few pages after
 * each transaction keeps where the parts of the list are, and searches them: a part falls. */
#ifndef RIDD_KV_TAKEN_INT_H
#define RIDD_KV_TAKEN_INT_H

#include "kv/page_int.h"

/* Zeroed: nothing is known. */
struct taken {
    uint64_t *bits; /* owned */
    uint64_t words;
    uint64_t txnid; /* of the head they were read from; 0: read them again */
    bool has_bits;  /* or parts only */
    struct taken_part {
        const unsigned char *numbers; /* in the file's map, falling; NULL: all from least to most */
        uint64_t n;
        uint64_t least;
        uint64_t most;
    } * parts; /* owned */
    uint64_t n_parts;
    uint64_t parts_room;
    uint64_t n_pages;   /* of the file */
    uint64_t n_numbers; /* of all parts */
    uint64_t n_asked;
};

/* Reads the list of that head unless it was read before, and sets file->taken. A list that is too
 * long is left out: file->taken is NULL then. The cursor is used for it. 0, KV_E_DAMAGED,
 * -errno. */
int taken_read(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head);
/* The same of a file with a map, but the numbers are not looked at before somebody asks, and may be
 * in disorder: then the answer may be wrong. Good as long as that snapshot and the map. */
int taken_find(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head);
bool taken_holds(struct taken *t, uint64_t pgno);
void taken_free(struct taken *t);

#endif
