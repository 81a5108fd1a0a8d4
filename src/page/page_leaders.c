/* Who led when. Each node tells in its events when it took somebody for its leader; the earliest of
 * these words is the begin of a reign. Its end is not told by who was killed: it is the earliest of
 * its own word that it leads no more, of the word of who stood for a later term, and of the moment
 * in which so many had lost their link with it that the rest was no quorum. Between the end of one
 * and the begin of the next nobody led; clocks of different hosts show it as well as they agree. */
#include <stdio.h>

#include "page/page_int.h"

#include "base/banned.h"

struct reign {
    json_int_t term;
    char leader[NODE_NAME_BYTES_MAX + 1];
    int64_t begin_us;
    int64_t end_us; /* it leads still: the time of the page */
    bool ended;
};

struct leaders {
    struct page *p;
    struct reign list[WEB_REIGNS_MAX]; /* by term */
    size_t n;
    int64_t from_us; /* what is drawn begins here */
    const char *from_text;
};

/* ---- begin ---- */

static bool names_leader(const struct page_event *e, char *ret, size_t size)
{
    if (strcmp(e->name, "leader_changed") == 0)
        return page_value(e->event, "leader", ret, size) && ret[0] != '\0' && strcmp(ret, "-") != 0;
    if (strcmp(e->name, "role_changed") != 0 || !page_is(e->event, "role", "leader"))
        return false;
    (void)snprintf(ret, size, "%s", e->node);
    return true;
}

/* By term; the oldest goes when there is no room. */
static void add_reign(struct leaders *l, const struct page_event *e, const char *leader)
{
    size_t i = l->n;
    struct reign *r;

    while (i > 0 && l->list[i - 1].term > e->term)
        i--;
    if (i > 0 && l->list[i - 1].term == e->term)
        return; /* events come in the order of time: it began with the first */
    if (l->n == WEB_REIGNS_MAX) {
        if (i == 0)
            return;
        memmove(&l->list[0], &l->list[1], (l->n - 1) * sizeof(l->list[0]));
        l->n--;
        i--;
    }
    memmove(&l->list[i + 1], &l->list[i], (l->n - i) * sizeof(l->list[0]));
    l->n++;
    r = &l->list[i];
    *r = (struct reign){.term = e->term, .begin_us = e->us};
    (void)snprintf(r->leader, sizeof(r->leader), "%s", leader);
}

/* ---- end ---- */

static bool is_end(const struct page_event *e, const struct reign *r)
{
    if (strcmp(e->name, "role_changed") != 0)
        return false;
    return e->term > r->term ||
           (strcmp(e->node, r->leader) == 0 && !page_is(e->event, "role", "leader"));
}

/* How many links with it may go before the rest is no quorum. */
static size_t links_needed(const struct page *p)
{
    const size_t n = json_array_size(p->nodes);

    return n - n / 2;
}

/* When the node lost its link with the leader for good; -1: it did not. */
static int64_t lost_by(const struct page *p, const char *node, const struct reign *r,
                       int64_t until_us)
{
    char peer[NODE_NAME_BYTES_MAX + 1];
    int64_t lost_us = -1;

    for (size_t i = 0; i < p->n_events; i++) {
        const struct page_event *e = &p->events[i];

        if (e->us < r->begin_us || e->us > until_us || strncmp(e->name, "peer_", 5) != 0 ||
            strcmp(e->node, node) != 0 || !page_value(e->event, "peer", peer, sizeof(peer)) ||
            strcmp(peer, r->leader) != 0)
            continue;
        if (strcmp(e->name, "peer_down") == 0)
            lost_us = e->us;
        else if (strcmp(e->name, "peer_up") == 0)
            lost_us = -1;
    }
    return lost_us;
}

static int64_t links_lost(const struct page *p, const struct reign *r, int64_t until_us)
{
    int64_t lost[WEB_NODES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++) {
        int64_t us = lost_by(p, page_name(json_array_get(p->nodes, i)), r, until_us);
        size_t k = n;

        if (us < 0)
            continue;
        for (; k > 0 && lost[k - 1] > us; k--)
            lost[k] = lost[k - 1];
        lost[k] = us;
        n++;
    }
    return n >= links_needed(p) && n > 0 ? lost[links_needed(p) - 1] : -1;
}

static void find_end(struct leaders *l, size_t i)
{
    const struct page *p = l->p;
    struct reign *r = &l->list[i];
    const bool last = i + 1 == l->n;
    const int64_t until_us = last ? p->view->now_us : l->list[i + 1].begin_us;
    int64_t us;

    r->end_us = until_us;
    r->ended = !last;
    if (last && page_is(p->cluster, "leader_id", r->leader) &&
        json_is_true(page_get(p->cluster, "leader_answered")))
        return;
    for (size_t k = 0; k < p->n_events; k++)
        if (p->events[k].us > r->begin_us && p->events[k].us <= until_us &&
            is_end(&p->events[k], r)) {
            r->end_us = p->events[k].us;
            r->ended = true;
            break;
        }
    us = links_lost(p, r, until_us);
    if (us >= 0 && us < r->end_us) {
        r->end_us = us;
        r->ended = true;
    }
}

/* The smallest span that shows the last change, and not at its very edge. */
static void find_span(struct leaders *l)
{
    static const struct {
        int64_t us;
        const char *text;
    } spans[] = {{US_MIN, "1 minute ago"}, {10 * US_MIN, "10 minutes ago"},
                 {US_H, "1 hour ago"},     {6 * US_H, "6 hours ago"},
                 {US_DAY, "1 day ago"},    {7 * US_DAY, "7 days ago"}};
    const int64_t age_us = l->p->view->now_us - l->list[l->n - 1].begin_us;

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        l->from_us = l->p->view->now_us - spans[i].us;
        l->from_text = spans[i].text;
        if (age_us < spans[i].us / 5 * 4)
            return;
    }
}

static void find_reigns(struct leaders *l)
{
    const struct page *p = l->p;
    char leader[NODE_NAME_BYTES_MAX + 1];

    for (size_t i = 0; i < p->n_events; i++)
        if (p->events[i].us >= 0 && p->events[i].us <= p->view->now_us &&
            names_leader(&p->events[i], leader, sizeof(leader)))
            add_reign(l, &p->events[i], leader);
    for (size_t i = 0; i < l->n; i++)
        find_end(l, i);
    if (l->n > 0)
        find_span(l);
}

/* ---- drawing ---- */

/* Never nothing: half a second of a day is still to be seen. */
static void bar(const struct leaders *l, const char *kind, int64_t from_us, int64_t to_us)
{
    if (to_us < l->from_us)
        return;
    if (from_us < l->from_us)
        from_us = l->from_us;
    page_bar(l->p, kind, (double)(from_us - l->from_us), (double)(to_us - from_us),
             (double)(l->p->view->now_us - l->from_us));
}

static void lanes(const struct leaders *l)
{
    struct page *p = l->p;

    page_put(p, "<div class=\"lanes\" aria-hidden=\"true\">\n");
    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++) {
        const char *name = page_name(json_array_get(p->nodes, i));

        page_put(p, "<span>");
        page_brief(p, name);
        page_put(p, "</span><svg aria-hidden=\"true\">");
        for (size_t k = 0; k < l->n; k++)
            if (strcmp(l->list[k].leader, name) == 0)
                bar(l, "led", l->list[k].begin_us, l->list[k].end_us);
        page_put(p, "</svg>\n");
    }
    page_put(p, "<span>nobody</span><svg aria-hidden=\"true\">");
    for (size_t k = 0; k < l->n; k++)
        if (l->list[k].ended)
            bar(l, "gap", l->list[k].end_us,
                k + 1 < l->n ? l->list[k + 1].begin_us : p->view->now_us);
    page_put(p, "</svg>\n<span></span><div class=\"axis\"><span>");
    page_put(p, l->from_text);
    page_put(p, "</span><span>now</span></div></div>\n");
}

static void reign_line(const struct leaders *l, size_t i)
{
    struct page *p = l->p;
    const struct reign *r = &l->list[i];

    page_put(p, "<li><b><bdi>");
    page_brief(p, r->leader);
    page_put(p, "</bdi></b> in term ");
    page_number(p, r->term);
    page_put(p, r->ended ? " for " : " since ");
    if (r->ended) {
        page_span(p, r->end_us - r->begin_us);
        page_put(p, ", from ");
    }
    page_ago(p, r->begin_us);
    if (i > 0 && l->list[i - 1].ended) {
        page_put(p, ", after ");
        page_us(p, r->begin_us - l->list[i - 1].end_us);
        page_put(p, " without a leader");
    }
    page_put(p, "</li>\n");
}

void page_leaders(struct page *p)
{
    struct leaders l = {.p = p};

    find_reigns(&l);
    page_put(p, "<section aria-labelledby=\"h-leaders\"><h2 id=\"h-leaders\">Leaders</h2>\n");
    if (l.n == 0) {
        page_put(p, "<p class=\"note\">No node tells of a change of the leader: no events were "
                    "told, or the last change is older than those that are kept.</p></section>\n");
        return;
    }
    lanes(&l);
    page_put(p, "<ol class=\"reigns\">\n");
    if (l.list[l.n - 1].ended) {
        page_put(p, "<li class=\"bad\">nobody since ");
        page_ago(p, l.list[l.n - 1].end_us);
        page_put(p, "</li>\n");
    }
    for (size_t i = l.n; i > 0 && i + WEB_REIGNS_TOLD > l.n; i--)
        reign_line(&l, i - 1);
    page_put(p, "</ol></section>\n");
}
