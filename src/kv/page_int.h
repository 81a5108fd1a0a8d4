/* LMDB's file, read and checked by ourselves.
 *
 * LMDB has no checksums and follows whatever it finds: a flipped bit in an inner page hides keys, a
 * wrong length sends it beyond the file. So a file is looked at with pread() before LMDB may trust
 * it (walk.c), and again while it is in use (scrub.c). Nothing of it is believed: each number is
 * compared with its bounds before it is used, keys must ascend and lie within the bounds that
 * the pages above gave, nodes must fill their page without gap or overlap.
 *
 * The format is that of LMDB 0.9 (data version 1), in the machine's own byte order and word size:
 *
 *   page      word pgno, u16 pad, u16 flags, u16 lower and u16 upper end of the free space (of
 *             the first overflow page: u32 number of pages), then u16 offsets of nodes, in order
 *             of keys
 *   node      u16 lo, u16 hi, u16 flags, u16 length of the key, key, data. Leaf: lo and hi are the
 *             length of the data; flag 1: the data is the number of the first overflow page.
 *             Branch: lo, hi and, of 64-bit words, flags are the number of the child; the first
 *             key says nothing. Nodes have even lengths and lie from `upper` to the page's end
 *   pages 0, 1  the heads, used in turn by even and odd transactions: u32 magic, u32 version, word
 *             address, word map size, the two trees (free pages, keys), word last page, word txnid
 *   tree      u32 pad (of the first: the page size), u16 flags, u16 depth, words: branch pages,
 *             leaf pages, overflow pages, entries, root
 *   free list key: the transaction (a word) that freed them; data: word n, n page numbers, falling
 *
 * Errors: 0, KV_E_DAMAGED with err_text() (page and what is wrong with it; also when it cannot be
 * read), -errno (memory; what a source says; -EAGAIN only where `nowait` is set). Thread: one at a
 * time. */
#ifndef RIDD_KV_PAGE_INT_H
#define RIDD_KV_PAGE_INT_H

#include "kv/kv.h"
#include "kv/sound_int.h"

struct taken;

#define PAGE_DEPTH_MAX 32u /* LMDB's own */

struct page_file {
    int fd; /* borrowed */
    const struct kv_source
        *source;      /* borrowed; bytes come from there, and there is no fd; or NULL */
    const char *name; /* borrowed; in sentences */
    size_t page_bytes;
    uint64_t n_pages;         /* all that the newest head speaks of */
    uint64_t n_pages_there;   /* so many, the file is known to have: those in use, at least */
    uint64_t *seen;           /* owned by the caller; a bit for each page; NULL: not asked */
    struct taken *taken;      /* borrowed; pages that no tree may lead to; NULL: not asked */
    struct sound *sound;      /* borrowed, only with a map; what need not be checked again */
    const unsigned char *map; /* page_map(); NULL: each page is read */
    uint64_t map_bytes;
    uint64_t bytes_read; /* since the caller set it to 0 */
    bool nowait;         /* what is not in memory is asked for, and the answer is -EAGAIN */
};

struct page_tree {
    bool is_free_list;
    unsigned depth; /* 0: empty */
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries;
    uint64_t root;
};

struct page_head {
    uint64_t txnid;
    struct page_tree free_list;
    struct page_tree keys;
};

/* Both heads, of which the newest counts; sets page_bytes and n_pages. */
int page_read_head(struct page_file *f, struct page_head *ret);
/* Marks so many pages from pgno on; one that was marked before is damage. */
int page_see(struct page_file *f, uint64_t pgno, uint64_t n);
/* 0, or KV_E_DAMAGED: the file ends before the last of n pages, and a map must not be asked. */
int page_there(const struct page_file *f, uint64_t pgno, uint64_t n);
/* Pages are copied from a map of the file from now on, without system calls, where the file has
 * them. Where there are no addresses for it they are read as before. Another head may need
 * a larger one: what was borrowed from the map is gone then. */
void page_map(struct page_file *f);
void page_unmap(struct page_file *f);
/* KV_E_DAMAGED with the sentence. */
int page_damaged(const struct page_file *f, uint64_t pgno, const char *what);

/* A word as LMDB stores it. */
uint64_t page_word(const unsigned char *p);
#define PAGE_WORD_BYTES sizeof(size_t)

struct page_level {
    unsigned char *bytes;      /* owned */
    const unsigned char *page; /* these, or a copy that file->sound holds */
    uint64_t pgno;
    uint64_t sum;         /* where file->sound is set, of a leaf */
    unsigned n;           /* nodes */
    unsigned at;          /* leaf: the next one; branch: the one that leads down */
    struct wire_slice lo; /* lo <= all keys below < hi; data NULL: no bound */
    struct wire_slice hi;
};

/* Goes through a tree in order of keys. Each page that it comes by is checked whole. */
struct page_cursor {
    struct page_file *file;
    struct page_tree tree; /* what the head says */
    struct page_tree met;  /* what was met */
    struct page_level levels[PAGE_DEPTH_MAX];
    bool at_end;
    unsigned char *big; /* owned; the overflow pages of the last item */
    size_t big_size;
    uint64_t big_pgno; /* the first of these; 0: it had none */
    uint64_t big_pages;
};

struct page_item {
    struct wire_slice key;
    const unsigned char *data;
    size_t len;
};

/* c was zeroed, or used before: then its memory is used again. */
int page_cursor_first(struct page_cursor *c, struct page_file *f, const struct page_tree *tree);
/* At the first key behind `key`. */
int page_cursor_after(struct page_cursor *c, struct page_file *f, const struct page_tree *tree,
                      struct wire_slice key);
/* At the first key that is not below `key`, or at the first one behind it. `near` is asked about
 * the record in front of that place, over the edge of a leaf as well: a key of which a bit was
 * flipped is that one, and a wrong separator shows there. */
int page_cursor_seek(struct page_cursor *c, struct page_file *f, const struct page_tree *tree,
                     struct wire_slice key, bool behind,
                     int (*near)(void *ctx, const struct page_item *item), void *ctx);
/* Valid until the next call; key.data NULL: there are no more. */
int page_cursor_next(struct page_cursor *c, struct page_item *ret);
/* The data of the item that came last, where file->map has it: there as long as the map. */
const unsigned char *page_cursor_mapped(const struct page_cursor *c, const struct page_item *item);
/* Right after page_cursor_after(): whether `key` itself is there. When it is not, `near` is asked
 * about the records on both sides of where it would stand: a key of which a bit was flipped is one
 * of these. Where that place is an edge of its leaf, the neighbour beyond the edge is loaded and
 * checked: a wrong separator shows there, or on the way to it. 0, what `near` says, and as above.
 * The cursor is of no other use afterwards. */
int page_cursor_look(struct page_cursor *c, struct wire_slice key, bool *ret_there,
                     int (*near)(void *ctx, const struct page_item *item), void *ctx);
void page_cursor_free(struct page_cursor *c);

#endif
