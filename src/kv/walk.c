#include "kv/walk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/progress.h"
#include "kv/record_int.h"

#include "base/banned.h"

struct walk {
    const struct kv *kv;
    bool is_copy; /* nothing but what a copy holds may stand in it */
    struct page_file file;
    struct page_head head;
    struct page_cursor cursor;
    struct kv_meta meta; /* as stored; zeros: there is none */
    struct walk_sum sum; /* as counted */
};

static int record_damaged(struct wire_slice key, const char *name, const char *what)
{
    char esc[LOG_ESC_BUF];

    return err_say(KV_E_DAMAGED, "the record of %s in '%s' is damaged: %s",
                   log_esc(esc, sizeof(esc), key.data, key.len), name, what);
}

/* Apart: the compiler clears a session, of some KiB, where it is declared. */
static bool makes_sense(struct wire_slice text)
{
    struct session s;

    return session_parse(text, &s);
}

/* Sessions are added up apart. False: a record of one that makes no sense. */
static bool walk_session(const struct page_item *item, struct walk_sum *sum)
{
    const size_t text_len = item->len - RECORD_HEADER_BYTES;
    uint64_t client;

    if (!session_key_get(item->key, &client))
        return true;
    sum->n_sessions++;
    sum->session_bytes += kv_record_bytes(item->key.len, text_len);
    return makes_sense(
        (struct wire_slice){(const char *)item->data + RECORD_HEADER_BYTES, text_len});
}

int walk_item(const struct kv *kv, const char *name, const struct page_item *item,
              struct walk_sum *sum, struct kv_meta *meta)
{
    const struct wire_slice key = item->key;
    const bool is_meta =
        key.len == record_meta_key.len && memcmp(key.data, record_meta_key.data, key.len) == 0;
    const char *defect;
    int rc;

    if (is_meta) {
        /* Before anything is called damage: what a later version wrote looks like it. */
        rc = record_meta_is_ours(kv, item->data, item->len);
        if (rc != 0)
            return rc;
    }
    defect = is_meta ? record_meta_defect(item->data, item->len)
                     : record_defect(key, item->data, item->len, RECORD_FORMAT);
    if (defect != NULL)
        return record_damaged(key, name, defect);
    if (is_meta)
        return record_meta(item->data, item->len, meta)
                   ? 0
                   : record_damaged(key, name, "it makes no sense");
    digest_add(&sum->digest, record_digest(key, item->data, item->len));
    sum->live_bytes += kv_record_bytes(key.len, item->len - RECORD_HEADER_BYTES);
    if (record_is_counted(key))
        sum->n_keys++;
    return walk_session(item, sum) ? 0 : record_damaged(key, name, "it makes no sense");
}

static bool pages_agree(const struct page_tree *met, const struct page_tree *said)
{
    return met->branch_pages == said->branch_pages && met->leaf_pages == said->leaf_pages &&
           met->overflow_pages == said->overflow_pages && met->entries == said->entries;
}

static int walk_keys(struct walk *w)
{
    struct page_item item;
    int rc;

    rc = page_cursor_first(&w->cursor, &w->file, &w->head.keys);
    while (rc == 0) {
        rc = page_cursor_next(&w->cursor, &item);
        if (rc == 0 && item.key.data == NULL)
            break;
        if (rc == 0)
            rc = walk_item(w->kv, w->file.name, &item, &w->sum, &w->meta);
        progress_tell(w->is_copy ? "checking a snapshot" : "checking the state", w->file.bytes_read,
                      w->file.n_pages * w->file.page_bytes);
    }
    if (rc != 0)
        return rc;
    if (!pages_agree(&w->cursor.met, &w->head.keys))
        return err_say(KV_E_DAMAGED, "'%s' has other numbers of pages and keys than its head says",
                       w->file.name);
    if (w->meta.last_applied.index == 0 && w->head.keys.entries > 0)
        return err_say(KV_E_DAMAGED, "'%s' holds keys but does not say up to which entry",
                       w->file.name);
    if (w->sum.n_keys != w->meta.n_keys)
        return err_say(KV_E_DAMAGED, "'%s' has %llu keys, and says that it has %llu", w->file.name,
                       (unsigned long long)w->sum.n_keys, (unsigned long long)w->meta.n_keys);
    if (w->sum.live_bytes != w->meta.live_bytes)
        return err_say(KV_E_DAMAGED, "'%s' holds %llu bytes, and says that it holds %llu",
                       w->file.name, (unsigned long long)w->sum.live_bytes,
                       (unsigned long long)w->meta.live_bytes);
    if (w->sum.n_sessions != w->meta.sessions.n || w->sum.session_bytes != w->meta.sessions.bytes)
        return err_say(KV_E_DAMAGED, "'%s' has %llu sessions, and says that it has %llu",
                       w->file.name, (unsigned long long)w->sum.n_sessions,
                       (unsigned long long)w->meta.sessions.n);
    if (!digest_equal(w->sum.digest, w->meta.digest))
        return err_say(KV_E_DAMAGED, "the keys and values of '%s' have another digest than it says",
                       w->file.name);
    return 0;
}

/* The room for the numbers may be larger than needed only when there are none. */
int walk_free_count(const struct page_file *file, uint64_t txnid_max, const struct page_item *item,
                    uint64_t *ret_n)
{
    const uint64_t txnid = page_word((const unsigned char *)item->key.data);
    uint64_t n;

    if (txnid == 0 || txnid > txnid_max || item->len < PAGE_WORD_BYTES ||
        item->len % PAGE_WORD_BYTES != 0)
        return err_say(KV_E_DAMAGED, "the list of free pages in '%s' makes no sense", file->name);
    n = page_word(item->data);
    if (n != 0 && n != item->len / PAGE_WORD_BYTES - 1)
        return err_say(KV_E_DAMAGED,
                       "the list of free pages in '%s' has another length than it says",
                       file->name);
    *ret_n = n;
    return 0;
}

/* One entry of the list of free pages: LMDB will write over these. */
static int walk_free_entry(struct page_file *file, uint64_t txnid_max, const struct page_item *item)
{
    uint64_t before = file->n_pages;
    uint64_t n;
    int rc = walk_free_count(file, txnid_max, item, &n);

    if (rc != 0)
        return rc;
    for (uint64_t i = 1; i <= n; i++) {
        const uint64_t pgno = page_word(item->data + i * PAGE_WORD_BYTES);

        if (pgno >= before)
            return page_damaged(file, pgno, "it stands in the wrong place of the free pages");
        rc = page_see(file, pgno, 1);
        if (rc != 0)
            return rc;
        before = pgno;
    }
    return 0;
}

int walk_free_list(struct page_file *file, struct page_cursor *cursor, const struct page_head *head)
{
    struct page_item item;
    int rc;

    rc = page_cursor_first(cursor, file, &head->free_list);
    while (rc == 0) {
        rc = page_cursor_next(cursor, &item);
        if (rc == 0 && item.key.data == NULL)
            break;
        if (rc == 0)
            rc = walk_free_entry(file, head->txnid, &item);
    }
    if (rc == 0 && !pages_agree(&cursor->met, &head->free_list))
        return err_say(KV_E_DAMAGED, "'%s' has other numbers of free pages than its head says",
                       file->name);
    return rc;
}

/* Keys lie scattered: read in the order of the file, a disk gives it ten times as fast. The kernel
 * takes no more than some hundred kilobytes of what it is asked for at a time. */
static void ask_ahead(const struct page_file *f)
{
    const uint64_t bytes = f->n_pages * f->page_bytes;
    const uint64_t end = bytes < KV_READ_AHEAD_BYTES ? bytes : KV_READ_AHEAD_BYTES;

    for (uint64_t at = 0; at < end; at += KV_READ_AHEAD_STEP)
        (void)posix_fadvise(f->fd, (off_t)at, KV_READ_AHEAD_STEP, POSIX_FADV_WILLNEED);
}

/* A copy is of this machine's pages, and has nothing behind the last one. */
static int check_size(const struct walk *w)
{
    const struct page_file *f = &w->file;

    if (f->page_bytes != w->kv->page_bytes)
        return err_say(KV_E_DAMAGED, "'%s' has pages of %zu bytes, not of %zu", f->name,
                       f->page_bytes, w->kv->page_bytes);
    if (f->source->bytes != f->n_pages * f->page_bytes)
        return err_say(KV_E_DAMAGED, "'%s' has %llu bytes and speaks of %llu pages of %zu", f->name,
                       (unsigned long long)f->source->bytes, (unsigned long long)f->n_pages,
                       f->page_bytes);
    return 0;
}

/* Nothing stands in a copy that its trees do not lead to. */
static int see_all(const struct page_file *f)
{
    for (uint64_t i = 2; i < f->n_pages; i++)
        if ((f->seen[i / 64] & (uint64_t)1 << (i % 64)) == 0)
            return page_damaged(f, i, "nothing leads to it");
    return 0;
}

static int walk_all(struct walk *w)
{
    cleanup_free uint64_t *seen = NULL;
    int rc;

    rc = page_read_head(&w->file, &w->head);
    /* Nobody writes it now, so it has its length. */
    if (rc == 0)
        rc = page_there(&w->file, 0, w->file.n_pages);
    if (rc == 0 && w->is_copy)
        rc = check_size(w);
    if (rc != 0)
        return rc;
    seen = calloc(w->file.n_pages / 64 + 1, sizeof(*seen));
    if (seen == NULL)
        return err_origin(-ENOMEM);
    w->file.seen = seen;
    if (w->file.source == NULL)
        ask_ahead(&w->file);
    rc = walk_keys(w);
    if (rc == 0)
        rc = walk_free_list(&w->file, &w->cursor, &w->head);
    if (rc == 0 && w->is_copy)
        rc = see_all(&w->file);
    page_cursor_free(&w->cursor);
    w->file.seen = NULL;
    return rc;
}

/* STATE-12. */
int walk_file(const struct kv *kv, struct kv_opening *ret)
{
    const uint64_t begin_us = clock_mono_us();
    struct walk w = {.kv = kv, .file = {.name = TRUST_DATA_NAME}};
    cleanup_fd int fd = -1;
    int rc;

    fd = openat(kv->dir_fd, TRUST_DATA_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_origin_errno("open", TRUST_DATA_NAME);
    w.file.fd = fd;
    rc = walk_all(&w);
    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    *ret = (struct kv_opening){
        .n_keys = w.sum.n_keys, .bytes = w.file.bytes_read, .walk_us = clock_mono_us() - begin_us};
    return 0;
}

static void tell_copy(const struct kv_meta *meta, struct kv_copy_info *ret)
{
    *ret = (struct kv_copy_info){
        .last_applied = meta->last_applied,
        .n_keys = meta->n_keys,
        .live_bytes = meta->live_bytes,
        .limit_bytes = meta->limit_bytes,
        .n_sessions = meta->sessions.n,
        .digest = meta->digest,
    };
}

/* The same of a copy: what it says of itself is what it holds. Nothing of it is asked of the
 * running state, which has gone on (SNAP-4). */
int walk_copy(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret)
{
    struct walk w = {
        .kv = kv, .is_copy = true, .file = {.fd = -1, .source = source, .name = WALK_COPY_NAME}};
    int rc = walk_all(&w);

    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    tell_copy(&w.meta, ret);
    return 0;
}

/* No key comes before that of the meta record. */
static int walk_first(struct walk *w)
{
    struct walk_sum sum = {0};
    struct page_item item;
    int rc = page_read_head(&w->file, &w->head);

    if (rc == 0)
        rc = page_there(&w->file, 0, w->file.n_pages);
    if (rc == 0)
        rc = check_size(w);
    if (rc == 0)
        rc = page_cursor_first(&w->cursor, &w->file, &w->head.keys);
    if (rc == 0)
        rc = page_cursor_next(&w->cursor, &item);
    if (rc == 0 && item.key.data != NULL)
        rc = walk_item(w->kv, w->file.name, &item, &sum, &w->meta);
    page_cursor_free(&w->cursor);
    return rc;
}

int walk_copy_head(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret)
{
    struct walk w = {
        .kv = kv, .is_copy = true, .file = {.fd = -1, .source = source, .name = WALK_COPY_NAME}};
    int rc = walk_first(&w);

    if (rc != 0)
        return rc < 0 ? err_trace(rc) : rc;
    tell_copy(&w.meta, ret);
    return 0;
}
