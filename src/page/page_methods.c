/* What each way to read costs: counted by all nodes, timed by the one that did most of it. */
#include "page/page_int.h"

#include "base/banned.h"

static const struct method {
    const char *op;    /* in `slow` */
    const char *count; /* in `reads` of status; NULL: it is not there */
    const char *at;    /* who answers it */
    const char *needs; /* before it may be answered */
} methods[] = {
    {"read_index", "read_index", "leader", "a round of heartbeats, shared"},
    {"batch", NULL, "leader", "one round for all its keys"},
    {"follower_read", "follower", "any node", "a question to the leader, shared"},
    {"lease_read", "lease", "leader", "nothing, while the lease holds"},
    {"bounded_read", "bounded", "any node", "nothing, if it is young enough"},
    {"local_read", "local", "any node", "nothing; it may be old"},
    {"read_via_log", "read_via_log", "leader", "an entry on the disks of a quorum"},
    {"scan", NULL, "as its method", "what its method needs, for each page"},
    {"write", NULL, "leader", "an entry on the disks of a quorum"},
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

static json_int_t reads_sum(const struct page *p, const char *name)
{
    json_int_t sum = 0;

    for (size_t i = 0; i < json_array_size(p->nodes); i++)
        sum += page_num(page_get(page_get(json_array_get(p->nodes, i), "status"), "reads"), name);
    return sum;
}

/* The node with the most of it, and how many all have. */
static const json_t *stages_of(const struct page *p, const char *op, json_int_t *ret_n,
                               const json_t **ret_node)
{
    const json_t *best = NULL;

    *ret_n = 0;
    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        const json_t *node = json_array_get(p->nodes, i);
        const json_t *list = page_get(page_get(node, "slow"), "stages");

        for (size_t k = 0; k < json_array_size(list) && k < WEB_OPS_LOOKED_MAX; k++) {
            const json_t *s = json_array_get(list, k);

            if (!page_is(s, "op", op))
                continue;
            *ret_n += page_num(s, "n");
            if (best == NULL || page_num(s, "n") > page_num(best, "n")) {
                best = s;
                *ret_node = node;
            }
        }
    }
    return best;
}

static void stage_cell(struct page *p, const json_t *stages, const char *stage, const char *which)
{
    page_put(p, "</td><td>");
    page_us_of(p, page_get(stages, stage), which);
}

static void row(struct page *p, const struct method *m)
{
    json_int_t n = 0;
    const json_t *node = NULL;
    const json_t *stages = stages_of(p, m->op, &n, &node);
    json_int_t counted = m->count != NULL ? reads_sum(p, m->count) : 0;

    if (stages == NULL && m->count == NULL)
        return;
    page_put(p, "<tr><th scope=\"row\"><code>");
    page_put(p, m->op);
    page_put(p, "</code></th><td class=\"l\">");
    page_put(p, m->at);
    page_put(p, "</td><td class=\"l\">");
    page_put(p, m->needs);
    page_put(p, "</td><td>");
    page_number(p, n > counted ? n : counted);
    stage_cell(p, stages, "total", "p50_us");
    stage_cell(p, stages, "total", "p99_us");
    stage_cell(p, stages, "queue", "p99_us");
    stage_cell(p, stages, "quorum", "p99_us");
    stage_cell(p, stages, "apply", "p99_us");
    stage_cell(p, stages, "execute", "p99_us");
    page_put(p, "</td><td class=\"l\"><bdi>");
    page_short(p, node != NULL ? page_name(node) : NULL);
    page_put(p, "</bdi></td></tr>\n");
}

/* What sharing saves, where there was something to share. */
static void shared_line(struct page *p)
{
    const json_int_t rounds = reads_sum(p, "rounds");
    const json_int_t confirmed = reads_sum(p, "confirmed");
    const json_int_t asks = reads_sum(p, "asks_sent");
    const json_int_t followed = reads_sum(p, "follower");
    json_int_t n_voters = 0;

    for (size_t i = 0; i < json_array_size(p->nodes); i++)
        n_voters += page_is(json_array_get(p->nodes, i), "member", "voter");
    page_put(p, "<p class=\"note\">");
    if (n_voters > 1)
        page_putf(p, "A round is %lld messages. ", (long long)(2 * (n_voters - 1)));
    if (rounds > 0 && confirmed > 0)
        page_putf(p, "So far %.1f reads shared one. ", (double)confirmed / (double)rounds);
    if (asks > 0 && followed > 0)
        page_putf(p, "A question is 2 messages; %.1f follower reads shared one. ",
                  (double)followed / (double)asks);
    page_put(p, "Times of stages are 99th percentiles of the node that did most.</p>\n");
}

void page_methods(struct page *p)
{
    page_put(p, "<section aria-labelledby=\"h-methods\"><h2 id=\"h-methods\">Methods and their "
                "cost</h2>\n<div class=\"scroll\" id=\"t-methods\" tabindex=\"0\" role=\"region\" "
                "aria-labelledby=\"h-methods\"><table><thead><tr><th scope=\"col\">method</th>"
                "<th scope=\"col\" class=\"l\">answered by</th>"
                "<th scope=\"col\" class=\"l\">needs before</th><th scope=\"col\">count</th>"
                "<th scope=\"col\">p50</th><th scope=\"col\">p99</th>"
                "<th scope=\"col\">queue</th><th scope=\"col\">quorum</th>"
                "<th scope=\"col\">apply</th><th scope=\"col\">execute</th>"
                "<th scope=\"col\" class=\"l\">timed on</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < N_METHODS; i++)
        row(p, &methods[i]);
    page_put(p, "</tbody></table></div>\n");
    shared_line(p);
    page_put(p, "</section>\n");
}
