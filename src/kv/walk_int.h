/* The walk over the whole data file at the open, before LMDB sees it (STATE-12). */
#ifndef RIDD_KV_WALK_INT_H
#define RIDD_KV_WALK_INT_H

#include "kv/kv_int.h"
#include "kv/page_int.h"

/* What a walk adds up from the pages. */
struct walk_sum {
    uint64_t live_bytes;
    uint64_t n_keys; /* those that clients can name */
    uint64_t n_sessions;
    uint64_t session_bytes;
    struct kv_digest digest;
};
/* One record more; meta is set when it is that of the meta record. `name` is the file's, for
 * sentences. 0, KV_E_DAMAGED, KV_E_NEWER, KV_E_FOREIGN. */
int walk_item(const struct kv *kv, const char *name, const struct page_item *item,
              struct walk_sum *sum, struct kv_meta *meta);

/* The list of free pages: in order, of this file, none twice, by file->seen, which is marked with
 * them and with the pages that hold the list. 0, KV_E_DAMAGED, -errno. */
int walk_free_list(struct page_file *file, struct page_cursor *cursor,
                   const struct page_head *head);

/* One entry of it: how many numbers, behind the first word, each lower than the one before. Neither
 * their order nor what they say is looked at. 0, KV_E_DAMAGED. */
int walk_free_count(const struct page_file *file, uint64_t txnid_max, const struct page_item *item,
                    uint64_t *ret_n);

/* Reads every page of data.mdb in kv's folder that is in use or listed as free, without changing
 * anything: digest and number of keys, recomputed from keys and values, are those that are stored,
 * and no page is used twice, or used and free. 0; KV_E_DAMAGED with err_text(); KV_E_NEWER or
 * KV_E_FOREIGN; -errno: nothing was found out. */
int walk_file(const struct kv *kv, struct kv_opening *ret);

/* The same of a copy of a state, which has no page that is not needed. As walk_file(), and -errno
 * of the source. */
#define WALK_COPY_NAME "copy"
int walk_copy(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret);
/* What a copy says of itself, in its head and its first record, which are checked; what it holds
 * was not looked at. */
int walk_copy_head(const struct kv *kv, const struct kv_source *source, struct kv_copy_info *ret);

#endif
