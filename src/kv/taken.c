#include "kv/taken_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "kv/walk_int.h"

#include "base/banned.h"

void taken_free(struct taken *t)
{
    free(t->bits);
    free(t->parts);
    *t = (struct taken){0};
}

static int make_room(struct taken *t, uint64_t words)
{
    uint64_t *more;

    if (words > t->words) {
        more = realloc(t->bits, words * sizeof(*more));
        if (more == NULL)
            return err_origin(-ENOMEM);
        t->bits = more;
        t->words = words;
    }
    memset(t->bits, 0, words * sizeof(*t->bits));
    return 0;
}

static int read_list(struct taken *t, struct page_file *file, struct page_cursor *cursor,
                     const struct page_head *head)
{
    struct page_file list = *file;
    int rc;

    t->txnid = 0;
    rc = make_room(t, file->n_pages / 64 + 1);
    if (rc != 0)
        return err_trace(rc);
    list.seen = t->bits;
    rc = walk_free_list(&list, cursor, head);
    file->bytes_read = list.bytes_read;
    if (rc == 0)
        t->txnid = head->txnid;
    t->has_bits = true;
    return rc;
}

static bool is_too_long(const struct page_file *file, const struct page_tree *list)
{
    return list->branch_pages + list->leaf_pages + list->overflow_pages > KV_SCRUB_LIST_PAGES_MAX ||
           file->n_pages > KV_SCRUB_PAGES_MAX;
}

int taken_read(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head)
{
    int rc;

    file->taken = NULL;
    if (is_too_long(file, &head->free_list))
        return 0;
    if (t->txnid == 0 || t->txnid != head->txnid) {
        rc = read_list(t, file, cursor, head);
        if (rc != 0)
            return rc;
    }
    file->taken = t;
    return 0;
}

/* ---- parts ---- */

static int add_part(struct taken *t, struct taken_part part)
{
    struct taken_part *more;

    if (t->n_parts == t->parts_room) {
        const uint64_t room = t->parts_room > 0 ? 2 * t->parts_room : 64;

        more = realloc(t->parts, room * sizeof(*more));
        if (more == NULL)
            return err_origin(-ENOMEM);
        t->parts = more;
        t->parts_room = room;
    }
    t->parts[t->n_parts++] = part;
    return 0;
}

static int add_pages(struct taken *t, uint64_t pgno, uint64_t n)
{
    return add_part(t, (struct taken_part){.least = pgno, .most = pgno + n - 1});
}

static int add_numbers(struct taken *t, const struct page_cursor *cursor,
                       const struct page_head *head, const struct page_item *item)
{
    const unsigned char *numbers = page_cursor_mapped(cursor, item) + PAGE_WORD_BYTES;
    uint64_t n = 0;
    int rc = walk_free_count(cursor->file, head->txnid, item, &n);

    if (rc == 0 && cursor->big_pgno != 0)
        rc = add_pages(t, cursor->big_pgno, cursor->big_pages);
    if (rc != 0 || n == 0)
        return rc;
    t->n_numbers += n;
    return add_part(t, (struct taken_part){.numbers = numbers,
                                           .n = n,
                                           .least = page_word(numbers + (n - 1) * PAGE_WORD_BYTES),
                                           .most = page_word(numbers)});
}

/* Pages of the list that the cursor came to since `at`. */
static int add_levels(struct taken *t, const struct page_cursor *cursor, uint64_t *at)
{
    int rc = 0;

    for (unsigned l = 0; rc == 0 && l < cursor->tree.depth; l++)
        if (at[l] != cursor->levels[l].pgno) {
            at[l] = cursor->levels[l].pgno;
            rc = add_pages(t, at[l], 1);
        }
    return rc;
}

static int find_parts(struct taken *t, struct page_file *list, struct page_cursor *cursor,
                      const struct page_head *head)
{
    uint64_t at[PAGE_DEPTH_MAX] = {0};
    struct page_item item;
    int rc = page_cursor_first(cursor, list, &head->free_list);

    while (rc == 0) {
        rc = page_cursor_next(cursor, &item);
        if (rc == 0 && item.key.data == NULL)
            break;
        if (rc == 0)
            rc = add_levels(t, cursor, at);
        if (rc == 0)
            rc = add_numbers(t, cursor, head, &item);
    }
    return rc;
}

int taken_find(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head)
{
    struct page_file list = *file;
    int rc;

    file->taken = NULL;
    if (is_too_long(file, &head->free_list))
        return 0;
    list.taken = NULL;
    list.sound = NULL;
    t->txnid = 0;
    t->has_bits = false;
    t->n_parts = t->n_numbers = t->n_asked = 0;
    t->n_pages = file->n_pages;
    rc = find_parts(t, &list, cursor, head);
    if (rc != 0)
        return rc;
    t->txnid = head->txnid;
    file->taken = t;
    return 0;
}

static bool part_holds(const struct taken_part *part, uint64_t pgno)
{
    uint64_t low = 0;
    uint64_t high = part->n;

    if (pgno < part->least || pgno > part->most)
        return false;
    if (part->numbers == NULL)
        return true;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const uint64_t number = page_word(part->numbers + middle * PAGE_WORD_BYTES);

        if (number == pgno)
            return true;
        if (number > pgno)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void set_bit(struct taken *t, uint64_t pgno)
{
    if (pgno < t->n_pages)
        t->bits[pgno / 64] |= (uint64_t)1 << (pgno % 64);
}

/* When that costs no more than the searches so far. Without memory these go on. */
static void make_bits(struct taken *t)
{
    if (make_room(t, t->n_pages / 64 + 1) != 0)
        return;
    for (uint64_t i = 0; i < t->n_parts; i++) {
        const struct taken_part *part = &t->parts[i];

        for (uint64_t k = 0; part->numbers != NULL && k < part->n; k++)
            set_bit(t, page_word(part->numbers + k * PAGE_WORD_BYTES));
        for (uint64_t k = part->least; part->numbers == NULL && k <= part->most; k++)
            set_bit(t, k);
    }
    t->has_bits = true;
}

bool taken_holds(struct taken *t, uint64_t pgno)
{
    bool holds = false;

    if (!t->has_bits && ++t->n_asked * t->n_parts > t->n_numbers + t->n_pages / 64)
        make_bits(t);
    if (t->has_bits)
        return (t->bits[pgno / 64] >> (pgno % 64) & 1) != 0;
    for (uint64_t i = 0; !holds && i < t->n_parts; i++)
        holds = part_holds(&t->parts[i], pgno);
    return holds;
}
