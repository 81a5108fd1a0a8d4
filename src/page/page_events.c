/* The last events, and the last slow operations with where their time went. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "page/page_int.h"

#include "base/banned.h"

/* ---- events ---- */

/* One event, or the same one as several nodes tell it. */
struct line {
    const struct page_event *first; /* the newest of them */
    uint64_t places;                /* a bit for each node */
};

static bool same_words(const struct page_event *a, const struct page_event *b)
{
    return a->us - b->us < WEB_SAME_US && strcmp(a->name, b->name) == 0 &&
           json_equal(json_object_get(a->event, "text"), json_object_get(b->event, "text")) != 0 &&
           json_equal(json_object_get(a->event, "level"), json_object_get(b->event, "level")) != 0;
}

/* From the newest backwards, until there are lines enough. */
static size_t make_lines(const struct page *p, struct line *ret)
{
    size_t n = 0;

    for (size_t i = p->n_events; i > 0; i--) {
        const struct page_event *e = &p->events[i - 1];
        const uint64_t place = UINT64_C(1) << (e->place % 64);
        size_t k = 0;

        while (k < n && ((ret[k].places & place) != 0 || !same_words(ret[k].first, e)))
            k++;
        if (k == WEB_EVENTS_MAX)
            break;
        if (k == n)
            ret[n++] = (struct line){.first = e};
        ret[k].places |= place;
    }
    return n;
}

static void line_nodes(struct page *p, const struct line *line)
{
    const char *before = "";

    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++) {
        if ((line->places >> i & 1) == 0)
            continue;
        page_put(p, before);
        page_put(p, "<bdi>");
        page_brief(p, page_name(json_array_get(p->nodes, i)));
        page_put(p, "</bdi>");
        before = " ";
    }
}

static void event_line(struct page *p, const struct line *line)
{
    const struct page_event *e = line->first;
    const bool warns = page_is(e->event, "level", "warning") || page_is(e->event, "level", "error");

    page_put(p, "<li>");
    page_ago(p, e->us);
    page_put(p, " <b>");
    line_nodes(p, line);
    page_put(p, "</b> <span><code>");
    page_short(p, e->name);
    page_put(p, "</code>");
    if (warns)
        page_put(p, page_is(e->event, "level", "error") ? " <em>error</em>" : " <em>warning</em>");
    page_put(p, " ");
    if (page_str(e->event, "text") != NULL)
        page_text_of(p, e->event, "text");
    page_put(p, "</span></li>\n");
}

/* Who did not tell what was asked for. False: nobody told it. */
static bool silent_line(struct page *p, const char *what)
{
    const size_t n_nodes = json_array_size(p->nodes);
    size_t n = 0;

    for (size_t i = 0; i < n_nodes && i < WEB_NODES_MAX; i++) {
        const json_t *node = json_array_get(p->nodes, i);

        if (json_is_object(page_get(node, what)))
            continue;
        page_put(p, n++ == 0 ? "<p class=\"note\">Not told by <bdi>" : ", <bdi>");
        page_short(p, page_name(node));
        page_put(p, "</bdi>");
    }
    if (n > 0)
        page_put(p, ": no answer, or of an older version.</p>\n");
    return n < n_nodes;
}

void page_events(struct page *p)
{
    struct line lines[WEB_EVENTS_MAX];
    const size_t n = make_lines(p, lines);

    page_put(p, "<section aria-labelledby=\"h-events\"><h2 id=\"h-events\">Last events</h2>\n");
    (void)silent_line(p, "events");
    if (n > 0)
        page_put(p, "<ol class=\"rows events\">\n");
    for (size_t i = 0; i < n; i++)
        event_line(p, &lines[i]);
    if (n > 0)
        page_put(p, "</ol>\n");
    page_put(p, "</section>\n");
}

/* ---- slow operations ---- */

struct slow {
    const json_t *op;
    const json_t *node;
    int64_t us;
};

static int by_time(const void *a, const void *b)
{
    const struct slow *x = a;
    const struct slow *y = b;

    return (x->us < y->us) - (x->us > y->us);
}

/* queue, quorum, apply, execute: one bar of four parts. */
static void parts(struct page *p, const json_t *op)
{
    static const char *const names[][2] = {{"queue_us", "s-queue"},
                                           {"quorum_us", "s-quorum"},
                                           {"apply_us", "s-apply"},
                                           {"execute_us", "s-execute"}};
    double total = 0;
    double x = 0;

    for (size_t i = 0; i < 4; i++)
        total += page_num(op, names[i][0]) > 0 ? (double)page_num(op, names[i][0]) : 0;
    page_put(p, "<svg aria-hidden=\"true\">");
    for (size_t i = 0; i < 4 && total > 0; i++) {
        const double us = page_num(op, names[i][0]) > 0 ? (double)page_num(op, names[i][0]) : 0;

        if (us > 0)
            page_bar(p, names[i][1], x, us, total);
        x += us;
    }
    page_put(p, "</svg>");
}

static void slow_line(struct page *p, const struct slow *s)
{
    page_put(p, "<li>");
    page_ago(p, s->us);
    page_put(p, " <b><bdi>");
    page_brief(p, page_name(s->node));
    page_put(p, "</bdi></b> <span><code>");
    page_short_of(p, s->op, "op");
    page_put(p, "</code> <b>");
    page_us_of(p, s->op, "total_us");
    page_put(p, "</b>");
    if (page_str(s->op, "result") != NULL && !page_is(s->op, "result", "ok")) {
        page_put(p, " <em>");
        page_short_of(p, s->op, "result");
        page_put(p, "</em>");
    }
    page_put(p, " ");
    page_text_of(p, s->op, page_str(s->op, "why") != NULL ? "why" : "stage");
    page_put(p, "</span>");
    parts(p, s->op);
    page_put(p, "</li>\n");
}

static struct slow *collect_slow(struct page *p, size_t *ret_n)
{
    size_t n_all = 0;
    struct slow *list;

    *ret_n = 0;
    for (size_t i = 0; i < json_array_size(p->nodes); i++)
        n_all += json_array_size(page_get(page_get(json_array_get(p->nodes, i), "slow"), "slow"));
    list = n_all > 0 ? calloc(n_all, sizeof(*list)) : NULL;
    if (n_all > 0 && list == NULL)
        p->failed = true;
    for (size_t i = 0; i < json_array_size(p->nodes) && list != NULL; i++) {
        const json_t *node = json_array_get(p->nodes, i);
        const json_t *ops = page_get(page_get(node, "slow"), "slow");

        for (size_t k = 0; k < json_array_size(ops); k++) {
            const json_t *op = json_array_get(ops, k);

            list[(*ret_n)++] = (struct slow){op, node, page_time(page_str(op, "ts"))};
        }
    }
    if (*ret_n > 0)
        qsort(list, *ret_n, sizeof(*list), by_time);
    return list;
}

void page_slow(struct page *p)
{
    size_t n = 0;
    cleanup_free struct slow *list = collect_slow(p, &n);

    page_put(p, "<section aria-labelledby=\"h-slow\"><h2 id=\"h-slow\">Slow operations</h2>\n");
    if (silent_line(p, "slow") && n == 0)
        page_put(p, "<p class=\"note\">None has been slow.</p>\n");
    if (n == 0) {
        page_put(p, "</section>\n");
        return;
    }
    page_put(p, "<p class=\"key\" aria-hidden=\"true\"><i class=\"s-queue\"></i>queue "
                "<i class=\"s-quorum\"></i>quorum <i class=\"s-apply\"></i>apply "
                "<i class=\"s-execute\"></i>execute</p>\n<ol class=\"rows slows\">\n");
    for (size_t i = 0; i < n && i < WEB_SLOW_MAX; i++)
        slow_line(p, &list[i]);
    page_put(p, "</ol></section>\n");
}
