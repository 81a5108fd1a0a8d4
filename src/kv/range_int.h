/* Where kv_seek() and kv_next() are (range.c). */
#ifndef RIDD_KV_RANGE_INT_H
#define RIDD_KV_RANGE_INT_H

#include <lmdb.h>

#include "kv/page_int.h"

/* Zeroed: nowhere. */
struct range {
    const struct command_range *of; /* borrowed; NULL: it is over */
    struct page_cursor cursor;
    MDB_cursor *lmdb;   /* owned; in place of the other: what was read is not the newest any more */
    MDB_cursor_op next; /* of lmdb: where the next item is, from where it stands */
};

struct kv;

void range_close(struct kv *kv);
/* The file is closed, and another may take its place. */
void range_forget_file(struct kv *kv);

#endif
