/* The last operation of each kind as a waterfall: when it arrived, when a round or a question was
 * sent, when each peer acknowledged, when that was a quorum, when the state was there, when the
 * reply was written. Of several nodes the one that did it last tells. */
#include "page/page_int.h"

#include "base/banned.h"

static const char *const ops[] = {"read_index",   "batch",        "follower_read",
                                  "lease_read",   "bounded_read", "local_read",
                                  "read_via_log", "scan",         "write"};
#define N_OPS (sizeof(ops) / sizeof(ops[0]))

struct last {
    const json_t *op;
    const json_t *node;
    int64_t us;
};

static void find_last(const struct page *p, const char *op, struct last *ret)
{
    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        const json_t *node = json_array_get(p->nodes, i);
        const json_t *list = page_get(page_get(node, "slow"), "last");

        for (size_t k = 0; k < json_array_size(list) && k < WEB_OPS_LOOKED_MAX; k++) {
            const json_t *o = json_array_get(list, k);
            const int64_t us = page_time(page_str(o, "ts"));

            if (page_is(o, "op", op) && (ret->op == NULL || us > ret->us))
                *ret = (struct last){.op = o, .node = node, .us = us};
        }
    }
}

/* The words of ridd-protocol(7) for steps, as people say them. */
static void step_name(struct page *p, const json_t *step)
{
    static const char *const words[][2] = {
        {"arrived", "arrived"},    {"round_sent", "round sent"},   {"ask_sent", "leader asked"},
        {"appended", "appended"},  {"lease_looked", "lease held"}, {"acknowledged", "acknowledged"},
        {"stored", "stored here"}, {"quorum", "quorum"},           {"answered", "answered"},
        {"applied", "applied"},    {"replied", "replied"}};

    if (page_is(step, "what", "answered") && page_str(step, "peer") == NULL)
        page_put(p, "leader ");
    if (page_str(step, "peer") != NULL) {
        page_put(p, "<bdi>");
        page_brief(p, page_str(step, "peer"));
        page_put(p, "</bdi> ");
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (page_is(step, "what", words[i][0])) {
            page_put(p, words[i][1]);
            return;
        }
    page_short_of(p, step, "what");
}

static bool is_sent(const json_t *step)
{
    return page_is(step, "what", "round_sent") || page_is(step, "what", "ask_sent") ||
           page_is(step, "what", "appended");
}

/* What goes on beside others: it takes from when it was asked for, and nothing waits for it alone.
 */
static bool is_beside(const json_t *step)
{
    return page_is(step, "what", "acknowledged") || page_is(step, "what", "stored");
}

/* Each other step takes from the one before it. */
static json_int_t begin_of(const json_t *steps, size_t i)
{
    const bool beside = is_beside(json_array_get(steps, i));
    json_int_t begin = 0;

    for (size_t k = 0; k < i; k++) {
        const json_t *s = json_array_get(steps, k);

        if (beside ? is_sent(s) : !is_beside(s))
            begin = page_num(s, "at_us");
    }
    return begin;
}

static const char *colour_of(const json_t *step)
{
    if (is_beside(step))
        return "ack";
    if (page_is(step, "what", "quorum") || page_is(step, "what", "answered"))
        return "s-quorum";
    if (page_is(step, "what", "applied"))
        return "s-apply";
    return page_is(step, "what", "replied") ? "s-execute" : "s-queue";
}

static json_int_t within(json_int_t v, json_int_t most)
{
    if (v < 0)
        return 0;
    return v < most ? v : most;
}

static void step_line(struct page *p, const json_t *steps, size_t i, json_int_t total_us)
{
    const json_t *step = json_array_get(steps, i);
    const json_int_t at = within(page_num(step, "at_us"), total_us);
    const json_int_t from = within(begin_of(steps, i), at);

    page_put(p, "<li><span>");
    step_name(p, step);
    page_put(p, "</span><svg aria-hidden=\"true\">");
    page_bar(p, colour_of(step), (double)from, (double)(at - from), (double)total_us);
    page_put(p, "</svg><b>");
    page_us_of(p, step, "at_us");
    page_put(p, "</b></li>\n");
}

static void fall(struct page *p, const struct last *last)
{
    const json_t *steps = page_get(last->op, "steps");
    const size_t n = json_array_size(steps);
    json_int_t total_us = page_num(last->op, "total_us");

    for (size_t i = 0; i < n && i < WEB_STEPS_MAX; i++)
        if (page_num(json_array_get(steps, i), "at_us") > total_us)
            total_us = page_num(json_array_get(steps, i), "at_us");
    page_put(p, "<figure><figcaption><code>");
    page_short_of(p, last->op, "op");
    page_put(p, "</code> <b>");
    page_us_of(p, last->op, "total_us");
    page_put(p, "</b> on <bdi>");
    page_short(p, page_name(last->node));
    page_put(p, "</bdi>, ");
    page_ago(p, last->us);
    page_put(p, "</figcaption><ol class=\"fall\">\n");
    for (size_t i = 0; i < n && i < WEB_STEPS_MAX; i++)
        step_line(p, steps, i, total_us > 0 ? total_us : 1);
    page_put(p, "</ol></figure>\n");
}

void page_falls(struct page *p)
{
    size_t n = 0;

    page_put(p, "<section aria-labelledby=\"h-falls\"><h2 id=\"h-falls\">The last of each "
                "method</h2>\n<div class=\"falls\">\n");
    for (size_t i = 0; i < N_OPS; i++) {
        struct last last = {NULL, NULL, 0};

        find_last(p, ops[i], &last);
        if (last.op != NULL)
            fall(p, &last);
        n += last.op != NULL;
    }
    page_put(p, "</div>\n");
    if (n == 0)
        page_put(p, "<p class=\"note\">No node tells of an operation yet.</p>\n");
    page_put(p, "</section>\n");
}
