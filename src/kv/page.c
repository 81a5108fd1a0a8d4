/* Heads and single pages. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "kv/page_check_int.h"
#include "kv/taken_int.h"

#include "base/banned.h"

#define HEAD_MAGIC       0xbeefc0deu
#define HEAD_VERSION     1u
#define PAGE_BYTES_LEAST 512u
#define PAGE_BYTES_MOST  32768u
#define TREE_BYTES       (8 + 5 * PAGE_WORD_BYTES)
#define HEAD_BYTES       (PAGE_HEADER_BYTES + 8 + 4 * PAGE_WORD_BYTES + 2 * TREE_BYTES)
#define FREE_LIST_FLAGS  8u /* keys are words */
#define NO_ROOT          ((uint64_t)SIZE_MAX)

uint64_t page_word(const unsigned char *p)
{
    size_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

int page_damaged(const struct page_file *f, uint64_t pgno, const char *what)
{
    return err_say(KV_E_DAMAGED, "page %llu of '%s' is damaged: %s", (unsigned long long)pgno,
                   f->name, what);
}

/* preadv2() that takes only what is in memory: -1 with EAGAIN otherwise. A file system that knows
 * no such thing is read as ever. */
static ssize_t read_some(struct page_file *f, void *buf, size_t len, uint64_t offset)
{
    struct iovec v = {buf, len};
    ssize_t n;

    if (!f->nowait)
        return pread(f->fd, buf, len, (off_t)offset);
    n = preadv2(f->fd, &v, 1, (off_t)offset, RWF_NOWAIT);
    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
        return n;
    f->nowait = false;
    return pread(f->fd, buf, len, (off_t)offset);
}

static int fetch_from_source(struct page_file *f, uint64_t pgno, uint64_t offset, void *buf,
                             size_t len)
{
    int rc;

    if (offset > f->source->bytes || len > f->source->bytes - offset)
        return page_damaged(f, pgno, "the file ends before it");
    if (f->source->stop != NULL && atomic_load(f->source->stop))
        return -ECANCELED;
    rc = f->source->read(f->source->ctx, buf, len, offset);
    f->bytes_read += len;
    return rc;
}

/* A page that the disk does not give back is as good as a wrong one: the log has what it held. */
int page_fetch(struct page_file *f, uint64_t pgno, uint64_t offset, void *buf, size_t len)
{
    unsigned char *p = buf;

    if (f->source != NULL)
        return fetch_from_source(f, pgno, offset, buf, len);
    if (f->map != NULL && offset + len <= f->n_pages_there * f->page_bytes) {
        memcpy(p, f->map + offset, len);
        f->bytes_read += len;
        return 0;
    }
    while (len > 0) {
        ssize_t n = read_some(f, p, len, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && f->nowait) {
            (void)posix_fadvise(f->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
            return -EAGAIN;
        }
        if (n < 0)
            return page_damaged(f, pgno, strerror(errno));
        if (n == 0)
            return page_damaged(f, pgno, "the file ends before it");
        p += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
        f->bytes_read += (uint64_t)n;
    }
    return 0;
}

int page_see(struct page_file *f, uint64_t pgno, uint64_t n)
{
    if (pgno < 2 || pgno >= f->n_pages || n > f->n_pages - pgno)
        return page_damaged(f, pgno, "there is no such page");
    for (uint64_t i = pgno; i < pgno + n; i++) {
        const uint64_t bit = (uint64_t)1 << (i % 64);

        if (f->taken != NULL && taken_holds(f->taken, i))
            return page_damaged(f, i, "it is in use and listed as free");
        if (f->seen == NULL)
            continue;
        if ((f->seen[i / 64] & bit) != 0)
            return page_damaged(f, i, "two places lead to it");
        f->seen[i / 64] |= bit;
    }
    return 0;
}

/* ---- heads ---- */

struct head {
    size_t page_bytes;
    uint64_t last_page;
    struct page_head all;
};

static bool tree_is_sound(const unsigned char *p, bool is_free_list, uint64_t last_page,
                          struct page_tree *ret)
{
    const unsigned char *w = p + 8;

    *ret = (struct page_tree){
        .is_free_list = is_free_list,
        .depth = page_u16(p + 6),
        .branch_pages = page_word(w),
        .leaf_pages = page_word(w + PAGE_WORD_BYTES),
        .overflow_pages = page_word(w + 2 * PAGE_WORD_BYTES),
        .entries = page_word(w + 3 * PAGE_WORD_BYTES),
        .root = page_word(w + 4 * PAGE_WORD_BYTES),
    };
    if (page_u16(p + 4) != (is_free_list ? FREE_LIST_FLAGS : 0))
        return false;
    if (ret->depth == 0)
        return ret->root == NO_ROOT && ret->entries == 0 && ret->branch_pages == 0 &&
               ret->leaf_pages == 0 && ret->overflow_pages == 0;
    return ret->depth <= PAGE_DEPTH_MAX && ret->root >= 2 && ret->root <= last_page;
}

/* NULL, or what is wrong. */
static const char *parse_head(const unsigned char *page, uint64_t pgno, struct head *ret)
{
    const unsigned char *p = page + PAGE_HEADER_BYTES;
    const unsigned char *trees = p + 8 + 2 * PAGE_WORD_BYTES;
    const unsigned char *end = trees + 2 * TREE_BYTES;

    if (page_word(page) != pgno || page_u16(page + PAGE_WORD_BYTES + 2) != PAGE_FLAG_HEAD)
        return "it is no head";
    if (page_u32(p) != HEAD_MAGIC || page_u32(p + 4) != HEAD_VERSION || page_word(p + 8) != 0)
        return "its first words are none that LMDB writes";
    ret->page_bytes = page_u32(trees);
    ret->last_page = page_word(end);
    ret->all.txnid = page_word(end + PAGE_WORD_BYTES);
    if (ret->page_bytes < PAGE_BYTES_LEAST || ret->page_bytes > PAGE_BYTES_MOST ||
        (ret->page_bytes & (ret->page_bytes - 1)) != 0)
        return "it names an odd size of pages";
    if (ret->last_page < 1 || ret->last_page >= SIZE_MAX / ret->page_bytes / 2)
        return "it names an odd number of pages";
    if (!tree_is_sound(trees, true, ret->last_page, &ret->all.free_list))
        return "the root of the free pages makes no sense";
    if (page_u32(trees + TREE_BYTES) != 0 ||
        !tree_is_sound(trees + TREE_BYTES, false, ret->last_page, &ret->all.keys))
        return "the root of the keys makes no sense";
    /* Odd transactions write page 1, even ones page 0; a new file has 0 in both. */
    if (ret->all.txnid != 0 && ret->all.txnid % 2 != pgno)
        return "its transaction belongs to the other head";
    return NULL;
}

/* A page behind the end of a map is not an error but a SIGBUS. The file never becomes shorter.
 *
 * That it ends before the last page is no damage: the last ones may be free and never written, and
 * LMDB's commit is there to be read before its file is given its length (extend_file). Pages that
 * something leads to were written before the head. */
static int see_end(struct page_file *f, uint64_t newest)
{
    struct stat st = {0};

    if (f->n_pages <= f->n_pages_there)
        return 0;
    if (f->source == NULL && fstat(f->fd, &st) != 0)
        return page_damaged(f, newest, strerror(errno));
    f->n_pages_there =
        (f->source != NULL ? f->source->bytes : (uint64_t)st.st_size) / f->page_bytes;
    return 0;
}

int page_there(const struct page_file *f, uint64_t pgno, uint64_t n)
{
    if (pgno + n > f->n_pages_there)
        return page_damaged(f, pgno + n - 1, "the file ends before it");
    return 0;
}

/* LMDB takes the higher transaction. As each is written over the one before the last, they differ
 * by one: so a flipped bit in either number is seen, and never an older state taken for the
 * newest. */
int page_read_head(struct page_file *f, struct page_head *ret)
{
    unsigned char page[HEAD_BYTES];
    struct head heads[2];
    unsigned newest;

    for (unsigned i = 0; i < 2; i++) {
        const char *what;
        int rc = page_fetch(f, i, i == 0 ? 0 : heads[0].page_bytes, page, sizeof(page));

        if (rc != 0)
            return err_trace(rc);
        what = parse_head(page, i, &heads[i]);
        if (what != NULL)
            return page_damaged(f, i, what);
    }
    newest = heads[1].all.txnid > heads[0].all.txnid ? 1 : 0;
    if (heads[0].page_bytes != heads[1].page_bytes)
        return page_damaged(f, 1, "the two heads name two sizes of pages");
    if (heads[newest].all.txnid != 0 && heads[newest].all.txnid != heads[1 - newest].all.txnid + 1)
        return page_damaged(f, newest, "its transaction does not follow that of the other head");
    f->page_bytes = heads[newest].page_bytes;
    f->n_pages = heads[newest].last_page + 1;
    *ret = heads[newest].all;
    return see_end(f, newest);
}

/* ---- one page of a tree ---- */

uint64_t page_node_bytes(const unsigned char *node, bool is_leaf)
{
    uint64_t n = PAGE_NODE_BYTES + page_u16(node + 6);

    if (is_leaf && (page_u16(node + 4) & PAGE_NODE_BIG) != 0)
        n += PAGE_WORD_BYTES;
    else if (is_leaf)
        n += page_u32(node);
    return (n + 1) & ~(uint64_t)1;
}

/* The nodes lie one behind the other from `upper` to the end, each with one offset that leads to
 * it. */
static const char *check_nodes(const unsigned char *page, size_t page_bytes, unsigned n,
                               size_t upper, bool is_leaf)
{
    uint64_t starts[PAGE_BYTES_MOST / 2 / 64] = {0};
    unsigned met = 0;

    for (unsigned i = 0; i < n; i++) {
        const size_t at = page_u16(page + PAGE_HEADER_BYTES + (size_t)2 * i);

        if (at % 2 != 0 || at < upper || at + PAGE_NODE_BYTES > page_bytes)
            return "an offset leads out of the nodes";
        if ((starts[at / 2 / 64] & (uint64_t)1 << (at / 2 % 64)) != 0)
            return "two offsets lead to one node";
        starts[at / 2 / 64] |= (uint64_t)1 << (at / 2 % 64);
    }
    for (size_t at = upper; at < page_bytes; met++) {
        uint64_t len;

        if ((starts[at / 2 / 64] & (uint64_t)1 << (at / 2 % 64)) == 0)
            return "a node begins where none may be";
        if (is_leaf && (page_u16(page + at + 4) & ~PAGE_NODE_BIG) != 0)
            return "a node has flags that we never use";
        len = page_node_bytes(page + at, is_leaf);
        if (len > page_bytes - at)
            return "a node is longer than the page";
        at += len;
    }
    return met == n ? NULL : "an offset leads into a node";
}

const char *page_check(const unsigned char *page, size_t page_bytes, uint64_t pgno, unsigned flags,
                       unsigned *ret_n)
{
    const unsigned char *p = page + PAGE_WORD_BYTES;
    const size_t lower = page_u16(p + 4);
    const size_t upper = page_u16(p + 6);

    if (page_word(page) != pgno)
        return "it bears the number of another one";
    if (page_u16(p + 2) != flags)
        return "it is not of the kind that belongs here";
    if (lower % 2 != 0 || lower <= PAGE_HEADER_BYTES || lower > upper || upper % 2 != 0 ||
        upper > page_bytes)
        return "its free space makes no sense";
    *ret_n = (unsigned)((lower - PAGE_HEADER_BYTES) / 2);
    return check_nodes(page, page_bytes, *ret_n, upper, flags == PAGE_FLAG_LEAF);
}
