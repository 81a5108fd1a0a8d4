/* Page after page of keys.
 *
 * A page is a read of its own, of one index. Each is asked for with the index of the one before, so
 * that none is of an earlier state, whichever node answers (SCAN-1); what comes is looked at all
 * the same: a page that repeats keys, or holds none and promises more, would be asked for for ever
 * (CLIENT-31). */
#include <string.h>

#include "ctl/keys_int.h"

#include "base/banned.h"

int key_compare(struct ridd_key a, struct ridd_key b)
{
    if (a.string != NULL && b.string != NULL)
        return strcmp(a.string, b.string);
    if (a.string != NULL || b.string != NULL)
        return a.string != NULL ? -1 : 1;
    return a.integer < b.integer ? -1 : a.integer > b.integer;
}

static void describe(const struct pages *p, const struct ridd_token *token, struct ridd_op *op)
{
    *op = ridd_op(RIDD_OP_SCAN);
    op->via = p->via;
    op->prefix = p->prefix;
    op->start = p->has_start ? &p->start : NULL;
    op->end = p->has_end ? &p->end : NULL;
    op->after = p->has_after ? &p->after : NULL;
    op->int_keys = p->int_keys;
    op->keys_only = p->keys_only;
    if (p->limit != 0 && p->limit - p->n_keys < SCAN_ITEMS_MAX)
        op->limit = p->limit - (unsigned)p->n_keys;
    op->min_index = p->last_index > token->index ? p->last_index : token->index;
    op->cluster = token->cluster[0] != '\0' ? token->cluster : NULL;
}

/* NULL: it is one. */
static const char *what_is_wrong(const struct pages *p, const struct ridd_reply *r)
{
    struct ridd_key last = p->after;
    bool has_last = p->has_after;

    if (r->index == 0 || r->index < p->last_index)
        return r->index == 0 ? "a page that does not say its index"
                             : "a page of an earlier state than the one before";
    if (r->more && r->n_items == 0)
        return "a page without keys that promises more";
    for (size_t i = 0; i < r->n_items; i++) {
        const struct ridd_item *item = &r->items[i];
        const struct ridd_key key = ridd_item_key(item);

        if ((key.string == NULL) != p->int_keys || (item->value == NULL && !p->keys_only))
            return "a page of something else";
        if (has_last && key_compare(key, last) <= 0)
            return "a page whose keys are out of order";
        last = key;
        has_last = true;
    }
    return NULL;
}

static void take_page(struct pages *p, const struct ridd_reply *r)
{
    if (p->first_index == 0)
        p->first_index = r->index;
    p->last_index = r->index;
    p->linearizable = (p->n_pages == 0 || p->linearizable) && r->linearizable;
    p->n_pages++;
    p->n_keys += r->n_items;
    p->more = r->more;
    p->has_after = r->n_items > 0; /* what it was until now goes with the page before */
    if (p->has_after)
        p->after = ridd_item_key(&r->items[r->n_items - 1]);
}

bool pages_next(struct pages *p)
{
    struct ridd_token token;
    struct ridd_reply *before = p->reply;
    struct ridd_op op;

    ridd_token(p->client, &token);
    describe(p, &token, &op);
    p->reply = ridd_call(p->client, &op);
    if (p->reply->status == RIDD_OK)
        p->wrong = what_is_wrong(p, p->reply);
    if (p->reply->status == RIDD_OK && p->wrong == NULL)
        take_page(p, p->reply);
    else
        p->has_after = false; /* it goes now */
    ridd_reply_free(before);
    return p->reply->status == RIDD_OK && p->wrong == NULL;
}

bool pages_go_on(const struct pages *p)
{
    return p->n_pages == 0 || (p->more && (p->limit == 0 || p->n_keys < p->limit));
}

int pages_report(const struct ctl *ctl, const struct pages *p, bool first)
{
    struct ctl quiet = *ctl;

    quiet.json = ctl->json && first;
    if (p->wrong != NULL)
        return report(&quiet, CTL_EXIT_NOBODY, "%s gave %s; is that ridd?", p->reply->endpoint,
                      p->wrong);
    return report_failure(&quiet, p->reply, NULL);
}

void pages_done(struct pages *p)
{
    ridd_reply_free(p->reply);
    p->reply = NULL;
}

void pages_text(uint64_t n_keys, uint64_t first, uint64_t last, char *ret, size_t size)
{
    const int len = snprintf(ret, size, "%llu key%s as of index %llu", (unsigned long long)n_keys,
                             n_keys == 1 ? "" : "s", (unsigned long long)first);

    if (first != last)
        (void)snprintf(ret + len, size - (size_t)len, " to %llu", (unsigned long long)last);
}
