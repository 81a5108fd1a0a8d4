/* Trees of pages. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "kv/page_check_int.h"

#include "base/banned.h"

static const unsigned char *node_of(const struct page_level *level, unsigned i)
{
    return level->page + page_u16(level->page + PAGE_HEADER_BYTES + 2 * (size_t)i);
}

static struct wire_slice key_of(const struct page_level *level, unsigned i)
{
    const unsigned char *node = node_of(level, i);

    return (struct wire_slice){(const char *)node + PAGE_NODE_BYTES, page_u16(node + 6)};
}

static uint64_t child_of(const struct page_level *level, unsigned i)
{
    const unsigned char *node = node_of(level, i);

    return page_u32(node) | (PAGE_WORD_BYTES > 4 ? (uint64_t)page_u16(node + 4) << 32 : 0);
}

/* LMDB's orders: bytes, then lengths; or words. */
static int compare(const struct page_cursor *c, struct wire_slice a, struct wire_slice b)
{
    int order;

    if (c->tree.is_free_list) {
        const uint64_t x = page_word((const unsigned char *)a.data);
        const uint64_t y = page_word((const unsigned char *)b.data);

        return x < y ? -1 : x > y;
    }
    order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool length_is_sound(const struct page_cursor *c, size_t len)
{
    return c->tree.is_free_list ? len == PAGE_WORD_BYTES : len > 0 && len <= KEY_BYTES_MAX;
}

/* Keys ascend, and none is out of the bounds that led here: this is what finds a key that would be
 * looked for elsewhere. The first key of a branch is never compared with anything. */
static const char *check_keys(const struct page_cursor *c, const struct page_level *level,
                              unsigned first)
{
    struct wire_slice before = level->lo;

    for (unsigned i = first; i < level->n; i++) {
        struct wire_slice key = key_of(level, i);
        int order;

        if (!length_is_sound(c, key.len))
            return "a key has a length that none can have";
        order = before.data == NULL ? 1 : compare(c, key, before);
        if (order < 0 || (order == 0 && i > first))
            return i > first ? "its keys do not ascend" : "a key is below those that lead here";
        before = key;
    }
    if (level->hi.data != NULL && level->n > first && compare(c, before, level->hi) >= 0)
        return "a key is beyond those that lead here";
    return NULL;
}

static void set_bounds(struct page_cursor *c, unsigned l)
{
    struct page_level *level = &c->levels[l];
    const struct page_level *above;

    level->lo = level->hi = (struct wire_slice){NULL, 0};
    if (l == 0)
        return;
    above = level - 1;
    level->lo = above->at == 0 ? above->lo : key_of(above, above->at);
    level->hi = above->at + 1 == above->n ? above->hi : key_of(above, above->at + 1);
}

/* The pages beside one that has to come from the disk are what is wanted next: one wait for all of
 * them. */
static void ask_for_siblings(const struct page_cursor *c, unsigned l)
{
    const struct page_level *above = &c->levels[l - 1];
    const size_t size = c->file->page_bytes;

    for (unsigned i = above->at + 1; i < above->n; i++) {
        const uint64_t pgno = child_of(above, i);

        if (pgno < c->file->n_pages)
            (void)posix_fadvise(c->file->fd, (off_t)(pgno * size), (off_t)size,
                                POSIX_FADV_WILLNEED);
    }
}

/* The same of a page that was checked before: its keys ascend. */
static const char *check_edges(const struct page_cursor *c, const struct page_level *level,
                               unsigned first)
{
    if (level->n <= first)
        return NULL;
    if (level->lo.data != NULL && compare(c, key_of(level, first), level->lo) < 0)
        return "a key is below those that lead here";
    if (level->hi.data != NULL && compare(c, key_of(level, level->n - 1), level->hi) >= 0)
        return "a key is beyond those that lead here";
    return NULL;
}

static unsigned nodes_of(const struct page_level *level)
{
    return (unsigned)((page_u16(level->page + PAGE_WORD_BYTES + 4) - PAGE_HEADER_BYTES) / 2);
}

static bool is_known(const struct page_file *f, struct page_level *level, unsigned flags)
{
    return f->sound != NULL && page_u16(level->page + PAGE_WORD_BYTES + 2) == flags &&
           sound_knows(f->sound, level->pgno, level->sum);
}

/* A page that the levels above look at stays. */
static void hold(struct page_cursor *c, unsigned l)
{
    const struct page_level *level = &c->levels[l];
    struct sound *s = c->file->sound;

    for (unsigned i = 0; i < l; i++)
        if (c->levels[i].page == sound_place(s, level->pgno)->bytes)
            return;
    sound_hold(s, level->pgno, level->page, c->file->page_bytes);
}

/* NULL, or what is wrong with the page and its place. */
static const char *check_level(struct page_cursor *c, unsigned l, bool is_leaf)
{
    const unsigned flags = is_leaf ? PAGE_FLAG_LEAF : PAGE_FLAG_BRANCH;
    struct page_level *level = &c->levels[l];
    struct page_file *f = c->file;
    const char *what;

    if (is_known(f, level, flags)) {
        level->n = nodes_of(level);
        what = check_edges(c, level, is_leaf ? 0 : 1);
    } else {
        what = page_check(level->page, f->page_bytes, level->pgno, flags, &level->n);
        /* LMDB relies on this, but in the tree of free pages. */
        if (what == NULL && !is_leaf && !c->tree.is_free_list && level->n < 2)
            what = "it is a branch that does not part";
        if (what == NULL)
            what = check_keys(c, level, is_leaf ? 0 : 1);
        if (what == NULL && f->sound != NULL)
            sound_note(f->sound, level->pgno, level->sum);
    }
    if (what == NULL && !is_leaf && f->sound != NULL)
        hold(c, l);
    return what;
}

static int fetch_level(struct page_file *f, struct page_level *level)
{
    const uint64_t offset = level->pgno * f->page_bytes;

    if (level->bytes == NULL)
        level->bytes = malloc(f->page_bytes);
    level->page = level->bytes;
    if (level->bytes == NULL)
        return err_origin(-ENOMEM);
    if (f->sound != NULL) {
        int rc = page_there(f, level->pgno, 1);

        if (rc != 0)
            return rc;
        level->sum = sound_copy(level->bytes, f->map + offset, f->page_bytes);
        return 0;
    }
    return page_fetch(f, level->pgno, offset, level->bytes, f->page_bytes);
}

/* An inner page of which a copy is held was checked; what leads to it may be another one. */
static bool load_held(struct page_cursor *c, struct page_level *level)
{
    struct page_file *f = c->file;

    if (f->sound == NULL || level->pgno >= f->n_pages_there)
        return false;
    level->page =
        sound_held(f->sound, level->pgno, f->map + level->pgno * f->page_bytes, f->page_bytes);
    if (level->page == NULL)
        return false;
    level->n = nodes_of(level);
    return true;
}

/* The page at level l: the root, or where the level above leads. */
static int load(struct page_cursor *c, unsigned l)
{
    const bool is_leaf = l + 1 == c->tree.depth;
    struct page_level *level = &c->levels[l];
    const uint64_t pgno = l == 0 ? c->tree.root : child_of(level - 1, (level - 1)->at);
    struct page_file *f = c->file;
    const char *what = NULL;
    int rc;

    level->pgno = pgno;
    level->at = 0;
    rc = page_see(f, pgno, 1);
    if (rc == 0 && !is_leaf && load_held(c, level)) {
        set_bounds(c, l);
        what = check_edges(c, level, 1);
    } else if (rc == 0) {
        rc = fetch_level(f, level);
        if (rc == -EAGAIN && f->nowait && l > 0)
            ask_for_siblings(c, l);
        if (rc != 0)
            return rc;
        set_bounds(c, l);
        what = check_level(c, l, is_leaf);
    }
    if (rc != 0)
        return rc;
    if (what != NULL)
        return page_damaged(f, level->pgno, what);
    if (is_leaf)
        c->met.leaf_pages++;
    else
        c->met.branch_pages++;
    return 0;
}

/* Pages of the levels below l, by the nodes that the levels above stand at; each new one at its
 * first node. */
static int load_below(struct page_cursor *c, unsigned l)
{
    for (l++; l < c->tree.depth; l++) {
        int rc = load(c, l);

        if (rc != 0)
            return rc;
    }
    return 0;
}

/* A new tree may be of another file, but not of another size of pages. */
static int start(struct page_cursor *c, struct page_file *f, const struct page_tree *tree)
{
    rid_assert(tree->depth <= PAGE_DEPTH_MAX);
    c->file = f;
    c->tree = *tree;
    c->met = (struct page_tree){.is_free_list = tree->is_free_list, .depth = tree->depth};
    c->at_end = tree->depth == 0;
    return c->at_end ? 0 : load(c, 0);
}

int page_cursor_first(struct page_cursor *c, struct page_file *f, const struct page_tree *tree)
{
    int rc = start(c, f, tree);

    return rc != 0 || c->at_end ? rc : load_below(c, 0);
}

/* The node of a branch below which `key` would be, or the first one of a leaf behind it. */
static unsigned search(const struct page_cursor *c, const struct page_level *level, bool is_leaf,
                       struct wire_slice key)
{
    unsigned low = is_leaf ? 0 : 1;
    unsigned high = level->n;

    while (low < high) {
        const unsigned middle = low + (high - low) / 2;

        if (compare(c, key_of(level, middle), key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return is_leaf ? low : low - 1;
}

int page_cursor_after(struct page_cursor *c, struct page_file *f, const struct page_tree *tree,
                      struct wire_slice key)
{
    int rc = start(c, f, tree);

    for (unsigned l = 0; rc == 0 && l < tree->depth; l++) {
        const bool is_leaf = l + 1 == tree->depth;

        if (l > 0)
            rc = load(c, l);
        if (rc == 0)
            c->levels[l].at = search(c, &c->levels[l], is_leaf, key);
    }
    return rc;
}

static int grow(struct page_cursor *c, size_t size)
{
    unsigned char *p;

    if (size <= c->big_size)
        return 0;
    p = realloc(c->big, size);
    if (p == NULL)
        return err_origin(-ENOMEM);
    c->big = p;
    c->big_size = size;
    return 0;
}

/* Data that is too long for a leaf: it begins behind the header of the first overflow page. There
 * may be more pages than needed, as LMDB writes a shorter value over a longer one. */
static int load_big(struct page_cursor *c, const unsigned char *node, struct page_item *ret)
{
    const uint64_t pgno = page_word(node + PAGE_NODE_BYTES + ret->key.len);
    const size_t len = page_u32(node);
    unsigned char header[PAGE_HEADER_BYTES];
    struct page_file *f = c->file;
    uint64_t n;
    int rc;

    if (pgno < 2 || pgno >= f->n_pages)
        return page_damaged(f, pgno, "there is no such page");
    rc = page_fetch(f, pgno, pgno * f->page_bytes, header, sizeof(header));
    if (rc != 0)
        return rc;
    n = page_u32(header + PAGE_WORD_BYTES + 4);
    if (page_word(header) != pgno)
        return page_damaged(f, pgno, "it bears the number of another one");
    if (page_u16(header + PAGE_WORD_BYTES + 2) != PAGE_FLAG_OVERFLOW)
        return page_damaged(f, pgno, "it is not of the kind that belongs here");
    if (n == 0 || n > f->n_pages - pgno || len > n * f->page_bytes - PAGE_HEADER_BYTES)
        return page_damaged(f, pgno, "it says that it has another number of pages than it can");
    rc = page_see(f, pgno, n);
    c->met.overflow_pages += n;
    c->big_pgno = pgno;
    c->big_pages = n;
    ret->len = len;
    if (rc == 0 && f->map != NULL) {
        rc = page_there(f, pgno, n);
        ret->data = f->map + pgno * f->page_bytes + PAGE_HEADER_BYTES;
        return rc;
    }
    if (rc == 0)
        rc = grow(c, len > 0 ? len : 1);
    if (rc == 0)
        rc = page_fetch(f, pgno, pgno * f->page_bytes + PAGE_HEADER_BYTES, c->big, len);
    ret->data = c->big;
    return rc;
}

/* To the leaf behind this one. */
static int next_leaf(struct page_cursor *c)
{
    unsigned l = c->tree.depth - 1;

    while (l > 0) {
        l--;
        if (++c->levels[l].at < c->levels[l].n)
            return load_below(c, l);
    }
    c->at_end = true;
    return 0;
}

static int item_at(struct page_cursor *c, unsigned i, struct page_item *ret)
{
    const struct page_level *leaf = &c->levels[c->tree.depth - 1];
    const unsigned char *node = node_of(leaf, i);

    c->big_pgno = c->big_pages = 0;
    ret->key = key_of(leaf, i);
    if ((page_u16(node + 4) & PAGE_NODE_BIG) != 0)
        return load_big(c, node, ret);
    ret->data = node + PAGE_NODE_BYTES + ret->key.len;
    ret->len = page_u32(node);
    return 0;
}

int page_cursor_next(struct page_cursor *c, struct page_item *ret)
{
    struct page_level *leaf;

    *ret = (struct page_item){.key = {NULL, 0}};
    if (c->at_end)
        return 0;
    leaf = &c->levels[c->tree.depth - 1];
    if (leaf->at == leaf->n) {
        int rc = next_leaf(c);

        if (rc != 0 || c->at_end)
            return rc;
    }
    c->met.entries++;
    return item_at(c, leaf->at++, ret);
}

const unsigned char *page_cursor_mapped(const struct page_cursor *c, const struct page_item *item)
{
    const struct page_level *leaf = &c->levels[c->tree.depth - 1];

    if (c->big_pgno != 0)
        return item->data;
    return c->file->map + leaf->pgno * c->file->page_bytes + (item->data - leaf->page);
}

/* The last leaf before this one, when there is one. */
static int load_before(struct page_cursor *c)
{
    unsigned l = c->tree.depth - 1;
    int rc = 0;

    while (l > 0 && c->levels[l - 1].at == 0)
        l--;
    if (l == 0)
        return 0;
    c->levels[l - 1].at--;
    for (; rc == 0 && l < c->tree.depth; l++) {
        rc = load(c, l);
        if (rc == 0 && l + 1 < c->tree.depth)
            c->levels[l].at = c->levels[l].n - 1;
    }
    return rc;
}

struct near {
    int (*fn)(void *ctx, const struct page_item *item);
    void *ctx;
};

/* A long record is read once for each state of the leaf that its key is on: the key's bytes are
 * what matters here. It is remembered under its first page. */
static int ask_near(struct page_cursor *c, unsigned i, const struct near *near)
{
    const struct page_level *leaf = &c->levels[c->tree.depth - 1];
    const unsigned char *node = node_of(leaf, i);
    const bool is_big = (page_u16(node + 4) & PAGE_NODE_BIG) != 0 && c->file->sound != NULL;
    const uint64_t first = is_big ? page_word(node + PAGE_NODE_BYTES + page_u16(node + 6)) : 0;
    struct page_item item;
    int rc;

    if (is_big && sound_knows(c->file->sound, first, leaf->sum + i))
        return 0;
    rc = item_at(c, i, &item);
    if (rc == 0)
        rc = near->fn(near->ctx, &item);
    if (rc == 0 && is_big)
        sound_note(c->file->sound, first, leaf->sum + i);
    return rc;
}

static int ask_before(struct page_cursor *c, const struct near *near)
{
    struct page_level *leaf = &c->levels[c->tree.depth - 1];
    const uint64_t pgno = leaf->pgno;
    int rc;

    if (leaf->at > 0)
        return ask_near(c, leaf->at - 1, near);
    rc = load_before(c);
    return rc != 0 || leaf->pgno == pgno ? rc : ask_near(c, leaf->n - 1, near);
}

static int ask_behind(struct page_cursor *c, const struct near *near)
{
    struct page_level *leaf = &c->levels[c->tree.depth - 1];
    int rc;

    if (leaf->at < leaf->n)
        return ask_near(c, leaf->at, near);
    rc = next_leaf(c);
    return rc != 0 || c->at_end ? rc : ask_near(c, 0, near);
}

int page_cursor_look(struct page_cursor *c, struct wire_slice key, bool *ret_there,
                     int (*near)(void *ctx, const struct page_item *item), void *ctx)
{
    const struct near who = {near, ctx};
    const struct page_level *leaf;
    int rc;

    *ret_there = false;
    if (c->at_end)
        return 0;
    leaf = &c->levels[c->tree.depth - 1];
    *ret_there = leaf->at > 0 && compare(c, key_of(leaf, leaf->at - 1), key) == 0;
    if (*ret_there)
        return 0;
    /* The side that may need another leaf comes last: the cursor moves there. */
    if (leaf->at > 0) {
        rc = ask_before(c, &who);
        return rc == 0 ? ask_behind(c, &who) : rc;
    }
    rc = ask_behind(c, &who);
    return rc == 0 ? ask_before(c, &who) : rc;
}

/* In front of the first key of a leaf the cursor stays behind the last one of the leaf before: from
 * there on it is loaded, and compared with its bounds, like all that follow. */
int page_cursor_seek(struct page_cursor *c, struct page_file *f, const struct page_tree *tree,
                     struct wire_slice key, bool behind,
                     int (*near)(void *ctx, const struct page_item *item), void *ctx)
{
    const struct near who = {near, ctx};
    struct page_level *leaf;
    uint64_t pgno;
    int rc = page_cursor_after(c, f, tree, key);

    if (rc != 0 || c->at_end)
        return rc;
    leaf = &c->levels[c->tree.depth - 1];
    pgno = leaf->pgno;
    if (!behind && leaf->at > 0 && compare(c, key_of(leaf, leaf->at - 1), key) == 0)
        leaf->at--;
    if (leaf->at > 0)
        return ask_near(c, leaf->at - 1, &who);
    rc = load_before(c);
    if (rc != 0 || leaf->pgno == pgno)
        return rc;
    leaf->at = leaf->n;
    return ask_near(c, leaf->n - 1, &who);
}

void page_cursor_free(struct page_cursor *c)
{
    for (unsigned l = 0; l < PAGE_DEPTH_MAX; l++)
        free(c->levels[l].bytes);
    free(c->big);
    *c = (struct page_cursor){0};
}
