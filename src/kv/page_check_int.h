/* What page.c (single pages) and page_cursor.c (trees of them) share. */
#ifndef RIDD_KV_PAGE_CHECK_INT_H
#define RIDD_KV_PAGE_CHECK_INT_H

#include <string.h>

#include "kv/page_int.h"

#define PAGE_HEADER_BYTES  (PAGE_WORD_BYTES + 8)
#define PAGE_NODE_BYTES    8u
#define PAGE_FLAG_BRANCH   1u
#define PAGE_FLAG_LEAF     2u
#define PAGE_FLAG_OVERFLOW 4u
#define PAGE_FLAG_HEAD     8u
#define PAGE_NODE_BIG      1u

static inline unsigned page_u16(const unsigned char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t page_u32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* pgno is what the sentence names. */
int page_fetch(struct page_file *f, uint64_t pgno, uint64_t offset, void *buf, size_t len);
/* NULL: a whole page of that kind; else what is wrong with it. */
const char *page_check(const unsigned char *page, size_t page_bytes, uint64_t pgno, unsigned flags,
                       unsigned *ret_n);
/* What a node takes on its page. Of bytes that were not checked yet: may be too long. */
uint64_t page_node_bytes(const unsigned char *node, bool is_leaf);

#endif
