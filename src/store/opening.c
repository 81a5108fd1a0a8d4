/* What each segment begins with, so that it can be the first: term and vote (DISK-15), the highest
 * mark, and the configuration in force (DISK-42). Whatever stands before it may then go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/err.h"
#include "store/store_int.h"

#include "base/banned.h"

static const struct store_config *config_now(const struct writer *w)
{
    return w->n_configs > 0 ? &w->configs[w->n_configs - 1] : NULL;
}

uint64_t store_overhead(const struct writer *w)
{
    const struct store_config *c = config_now(w);

    return STORE_SEGMENT_OVERHEAD + (c != NULL ? record_bytes(c->len) : 0);
}

static int put_config(struct writer *w)
{
    const struct store_config *c = config_now(w);

    if (c == NULL)
        return 0; /* the very first segment: it comes as an entry */
    return store_put_record(w, &(struct record){.type = RECORD_CONFIG,
                                                .batch = w->batch,
                                                .index = c->id.index,
                                                .term = c->id.term,
                                                .len = c->len,
                                                .data = c->bytes});
}

static int put_mark(struct writer *w)
{
    static const unsigned char no_hash[SNAPMARK_BYTES];

    if (w->mark.index == 0)
        return 0;
    return store_put_record(w, &(struct record){.type = RECORD_SNAPMARK,
                                                .batch = w->batch,
                                                .index = w->mark.index,
                                                .term = w->mark.term,
                                                .len = sizeof(no_hash),
                                                .data = no_hash});
}

int store_put_opening(struct writer *w, const struct raft_hard_state *hs,
                      const struct raft_entry *first)
{
    int rc = store_put_hard_state(w, hs);

    if (rc == 0)
        rc = put_mark(w);
    if (rc == 0)
        rc = put_config(w);
    if (rc == 0 && first != NULL)
        rc = store_put_entry(w, first);
    return err_trace(rc);
}

/* ---- configurations ---- */

int store_note_config(struct writer *w, struct raft_entry_id id, const void *bytes, uint32_t len)
{
    struct store_config *configs =
        array_reserve(mem_libc, w->configs, &w->configs_size, w->n_configs, 1, sizeof(*configs));
    unsigned char *copy;

    if (configs == NULL)
        return err_origin(-ENOMEM);
    w->configs = configs;
    copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        return err_origin(-ENOMEM);
    if (len > 0)
        memcpy(copy, bytes, len);
    w->configs[w->n_configs++] = (struct store_config){.id = id, .bytes = copy, .len = len};
    return 0;
}

void store_truncate_configs(struct writer *w, raft_index from)
{
    while (w->n_configs > 0 && w->configs[w->n_configs - 1].id.index >= from)
        free(w->configs[--w->n_configs].bytes);
}

static void drop_first_config(struct writer *w)
{
    free(w->configs[0].bytes);
    w->n_configs--;
    memmove(w->configs, w->configs + 1, w->n_configs * sizeof(*w->configs));
}

void store_free_configs(struct writer *w)
{
    store_truncate_configs(w, 0);
    free(w->configs);
    w->configs = NULL;
    w->configs_size = 0;
}

/* ---- a log that begins elsewhere ---- */

void store_follow_base(struct writer *w, struct raft_entry_id base)
{
    if (base.index <= w->terms.base.index)
        return;
    term_list_drop_front(&w->terms, base, w->last_index);
    while (w->n_configs > 1 && w->configs[1].id.index <= base.index)
        drop_first_config(w);
}

int store_forget_log(struct writer *w, const struct submission *sub)
{
    w->terms.n = 0;
    w->terms.base = sub->reset;
    w->last_index = sub->reset.index;
    w->last_term = sub->reset.term;
    w->commit_index = sub->reset.index;
    w->mark = sub->reset;
    store_truncate_configs(w, 0);
    return err_trace(
        store_note_config(w, sub->reset_config_id, sub->reset_config, sub->reset_config_len));
}
