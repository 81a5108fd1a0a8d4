/* Where kv_seek() and kv_next() are (range.c). */
#ifndef RIDD_KV_RANGE_INT_H
#define RIDD_KV_RANGE_INT_H

#include "kv/page_int.h"

/* Zeroed: nowhere. */
struct range {
    const struct command_range *of; /* borrowed; NULL: it is over */
    struct page_cursor cursor;
    struct page_item item; /* the next one of the file */
    bool has_item;
    bool is_read; /* the file has no more */
    unsigned at;  /* what is not in the file yet: of the sorted memtable, from at to n_fresh */
    unsigned n_fresh;
};

struct kv;

void range_close(struct kv *kv);
/* The file is closed, and another may take its place. */
void range_forget_file(struct kv *kv);

#endif
