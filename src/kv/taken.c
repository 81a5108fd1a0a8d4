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
    return rc;
}

int taken_list(struct taken *t, struct page_file *file, struct page_cursor *cursor,
               const struct page_head *head)
{
    const struct page_tree *list = &head->free_list;
    int rc;

    file->taken = NULL;
    if (list->branch_pages + list->leaf_pages + list->overflow_pages > KV_SCRUB_LIST_PAGES_MAX ||
        file->n_pages > KV_SCRUB_PAGES_MAX)
        return 0;
    if (t->txnid == 0 || t->txnid != head->txnid) {
        rc = read_list(t, file, cursor, head);
        if (rc != 0)
            return rc;
    }
    file->taken = t->bits;
    return 0;
}
