/* Where kv_seek() and kv_next() are (range.c). */
#ifndef RIDD_KV_RANGE_INT_H
#define RIDD_KV_RANGE_INT_H

#include "kv/page_int.h"

/* Of a memtable that is sorted: those from at to end. */
struct range_fresh {
    const struct memtable *of; /* borrowed */
    unsigned at;
    unsigned end;
};

/* Zeroed: nowhere. */
struct range {
    const struct command_range *of; /* borrowed; NULL: it is over */
    struct page_cursor cursor;
    struct page_item item; /* the next one of the file */
    bool has_item;
    bool is_read;                /* the file has no more */
    struct range_fresh fresh[2]; /* what is not in the file yet, the newest first */
};

struct kv;

void range_close(struct kv *kv);
/* The file is closed, and another may take its place. */
void range_forget_file(struct kv *kv);

#endif
