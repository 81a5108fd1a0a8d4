/* ls and scan: keys in their order, page after page, as they come. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/keys_int.h"

#include "base/banned.h"

struct listing {
    const struct ctl *ctl;
    struct pages pages;
    struct buf text; /* of one line */
    bool begun;      /* something was printed */
    bool comma;
};

/* A line for a person: what a terminal could take as commands, a newline included, is '?'; a tab
 * stands between key and value alone. */
static bool print_line(struct listing *l, const struct ridd_item *item)
{
    struct buf *text = &l->text;
    const char *key = item->key_string != NULL ? item->key_string : item->key;

    buf_reset(text, CTL_CHUNK_BYTES);
    if (buf_add(text, key, strlen(key) + 1) != 0)
        return false;
    report_clean((char *)text->data);
    (void)fputs((const char *)text->data, stdout);
    if (!l->pages.keys_only) {
        text->len = 0;
        if (buf_add(text, item->value, item->value_len + 1) != 0)
            return false;
        report_clean((char *)text->data);
        (void)printf("\t%s", (const char *)text->data);
    }
    (void)putchar('\n');
    return true;
}

static void print_json(struct listing *l, const struct ridd_item *item)
{
    (void)fputs(l->comma ? "," : "", stdout);
    l->comma = true;
    if (l->pages.keys_only)
        (void)fputs(item->key, stdout);
    else
        (void)printf("{\"key\":%s,\"value\":%s}", item->key, item->value);
}

static bool print_page(struct listing *l)
{
    const struct ridd_reply *r = l->pages.reply;

    if (l->ctl->json && !l->begun)
        (void)fputs(l->pages.keys_only ? "{\"keys\":[" : "{\"items\":[", stdout);
    l->begun = true;
    for (size_t i = 0; i < r->n_items; i++) {
        if (l->ctl->json)
            print_json(l, &r->items[i]);
        else if (!print_line(l, &r->items[i]))
            return false;
    }
    return true;
}

/* What was listed is said in any case; of a listing that broke off, why. */
static void end_json(const struct listing *l, bool failed)
{
    const struct pages *p = &l->pages;

    if (!l->ctl->json || !l->begun)
        return;
    (void)printf("],\"count\":%llu,\"more\":%s,\"first_index\":%llu,\"last_index\":%llu,"
                 "\"linearizable\":%s",
                 (unsigned long long)p->n_keys, p->more ? "true" : "false",
                 (unsigned long long)p->first_index, (unsigned long long)p->last_index,
                 p->linearizable ? "true" : "false");
    if (failed)
        (void)printf(",\"error\":\"%s\"",
                     p->wrong != NULL ? "bad_reply" : ridd_status_name(p->reply->status));
    (void)puts("}");
}

/* On standard error, where it is no part of the list. */
static void say_end(const struct listing *l)
{
    const struct pages *p = &l->pages;
    cleanup_free char *last = NULL;
    char index[96];

    if (!l->begun)
        return;
    (void)fflush(stdout);
    pages_text(p->n_keys, p->first_index, p->last_index, index, sizeof(index));
    if (p->first_index != p->last_index || l->ctl->verbose)
        (void)fprintf(stderr, "%s: %s%s%s, in %llu page%s\n", l->ctl->verb->name, index,
                      p->first_index != p->last_index ? ", each page of one index" : "",
                      p->linearizable ? ", linearizable" : ", not linearizable: may be old",
                      (unsigned long long)p->n_pages, p->n_pages == 1 ? "" : "s");
    if (!p->more || p->reply->status != RIDD_OK || !p->has_after)
        return;
    if (p->after.string != NULL)
        last = strdup(p->after.string);
    if (last != NULL)
        report_clean(last);
    if (last != NULL)
        (void)fprintf(stderr, "%s: more follow behind '%s' (--after)\n", l->ctl->verb->name, last);
    else if (p->after.string == NULL)
        (void)fprintf(stderr, "%s: more follow behind %lld (--after)\n", l->ctl->verb->name,
                      (long long)p->after.integer);
}

static int take_range(struct listing *l)
{
    const struct ctl *ctl = l->ctl;
    struct pages *p = &l->pages;
    int exit_code = CTL_EXIT_OK;

    p->prefix = ctl->n_args > 0 ? ctl->args[0] : NULL;
    p->limit = ctl->limit;
    p->via = ctl->via;
    p->int_keys = ctl->int_key;
    p->has_start = ctl->from != NULL;
    p->has_end = ctl->to != NULL;
    p->has_after = ctl->after != NULL;
    if (p->has_start)
        exit_code = cluster_key(ctl, ctl->from, &p->start);
    if (exit_code == CTL_EXIT_OK && p->has_end)
        exit_code = cluster_key(ctl, ctl->to, &p->end);
    if (exit_code == CTL_EXIT_OK && p->has_after)
        exit_code = cluster_key(ctl, ctl->after, &p->after);
    return exit_code;
}

static int list(struct listing *l)
{
    struct pages *p = &l->pages;
    bool good = true;
    int exit_code = CTL_EXIT_OK;

    while (good && !ferror(stdout) && pages_go_on(p)) {
        if (!pages_next(p)) {
            end_json(l, true);
            say_end(l);
            return pages_report(l->ctl, p, !l->begun);
        }
        good = print_page(l);
    }
    if (!good)
        exit_code = report_no_memory(l->ctl);
    end_json(l, !good);
    say_end(l);
    return exit_code;
}

static int list_keys(struct ctl *ctl, bool keys_only)
{
    struct listing l = {.ctl = ctl, .pages = {.keys_only = keys_only}, .text = BUF_INIT};
    int exit_code = take_range(&l);

    if (exit_code == CTL_EXIT_OK)
        exit_code =
            cluster_open_with(ctl, RIDD_FLAG_IMPATIENT | RIDD_FLAG_MONOTONIC, &l.pages.client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (ridd_set_token(l.pages.client, &ctl->seen) != RIDD_OK) /* its form was looked at before */
        exit_code = report(ctl, CTL_EXIT_PRECONDITION,
                           "the index of --min-index was seen in another cluster, or in this one "
                           "before it went on alone");
    else
        exit_code = list(&l);
    pages_done(&l.pages);
    buf_done(&l.text);
    ridd_close(l.pages.client);
    return exit_code;
}

int verb_ls(struct ctl *ctl)
{
    return list_keys(ctl, true);
}

int verb_scan(struct ctl *ctl)
{
    return list_keys(ctl, false);
}
