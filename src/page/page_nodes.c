/* A card for each node: what it is, how far it is, how fast its disk is, and what is wrong with it
 * in the words of the verdict. */
#include "page/page_int.h"

#include "base/banned.h"

static void field(struct page *p, const char *name)
{
    page_put(p, "<div><dt>");
    page_put(p, name);
    page_put(p, "</dt><dd>");
}

static void field_end(struct page *p)
{
    page_put(p, "</dd></div>\n");
}

/* ---- what is wrong with it ---- */

static bool is_of(const json_t *reason, const json_t *node)
{
    const char *name = page_str(reason, "node");
    const char *own = page_str(node, "node");

    if (name != NULL && own != NULL)
        return strcmp(name, own) == 0;
    return page_str(node, "endpoint") != NULL &&
           page_is(reason, "endpoint", page_str(node, "endpoint"));
}

static void wrongs(struct page *p, const json_t *node)
{
    const json_t *reasons = page_get(p->cluster, "reasons");
    unsigned n = 0;

    for (size_t i = 0; i < json_array_size(reasons) && n < WEB_WRONGS_MAX; i++) {
        const json_t *r = json_array_get(reasons, i);

        if (!is_of(r, node))
            continue;
        page_put(p, n++ == 0 ? "<ul class=\"wrong\"><li>" : "<li>");
        page_text_of(p, r, "text");
        page_put(p, "</li>");
    }
    if (n > 0)
        page_put(p, "</ul>\n");
}

/* ---- what it is ---- */

static const char *role_class(const json_t *node, const char *role)
{
    if (!json_is_true(page_get(node, "up")))
        return "down";
    if (role == NULL)
        return "busy";
    return strcmp(role, "leader") == 0 ? "leader" : "other";
}

static void heading(struct page *p, const json_t *node, size_t i)
{
    const json_t *status = page_get(node, "status");
    const char *role = page_str(status, "role");
    const char *kind = role_class(node, role);

    page_putf(p, "<article class=\"card %s\" aria-labelledby=\"node-%zu\">\n", kind, i);
    page_putf(p, "<h3 id=\"node-%zu\"><bdi>", i);
    page_short(p, page_name(node));
    page_putf(p, "</bdi> <span class=\"role %s\">", kind);
    if (strcmp(kind, "down") == 0)
        page_put(p, page_is(node, "member", "no_member") ? "no member" : "silent");
    else if (role == NULL)
        page_put(p, "busy");
    else
        page_short(p, role);
    page_put(p, "</span>");
    if (page_str(p->cluster, "leader_id") != NULL &&
        page_is(node, "node", page_str(p->cluster, "leader_id")) && strcmp(kind, "leader") != 0)
        page_put(p, " <span class=\"role other\">led last</span>");
    if (page_is(node, "node", p->view->self))
        page_put(p, " <span class=\"here\">this page</span>");
    page_put(p, "</h3>\n");
}

/* What the leader knows of its link with it. */
static const json_t *peer_of(const struct page *p, const json_t *node)
{
    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        const json_t *status = page_get(json_array_get(p->nodes, i), "status");
        const json_t *peers = page_get(status, "peers");

        if (!page_is(status, "role", "leader"))
            continue;
        for (size_t k = 0; k < json_array_size(peers); k++)
            if (page_str(node, "node") != NULL &&
                page_is(json_array_get(peers, k), "id", page_str(node, "node")))
                return json_array_get(peers, k);
    }
    return NULL;
}

static void applied(struct page *p, const json_t *status, const json_t *peer)
{
    const json_int_t waits = page_num(status, "commit_index") - page_num(status, "applied_index");
    const json_int_t behind = page_num(peer, "behind_entries");

    field(p, "applied");
    if ((waits > 0 || peer != NULL) && page_num(status, "applied_index") == 0) {
        page_put(p, "nothing yet");
        field_end(p);
        return;
    }
    page_number_of(p, status, "applied_index");
    if (waits > 0) {
        page_put(p, ", ");
        page_number(p, waits);
        page_put(p, " to apply");
    }
    if (behind > 0) {
        page_put(p, ", ");
        page_number(p, behind);
        page_put(p, " behind");
    } else if (waits <= 0 && (peer == NULL || json_is_integer(page_get(peer, "behind_entries")))) {
        page_put(p, ", all");
    }
    field_end(p);
}

static void links(struct page *p, const json_t *status, const json_t *peer)
{
    const json_t *peers = page_get(status, "peers");
    size_t n_connected = 0;

    for (size_t i = 0; i < json_array_size(peers); i++)
        n_connected += json_is_true(page_get(json_array_get(peers, i), "connected"));
    field(p, "links");
    page_putf(p, "%zu of %zu", n_connected, json_array_size(peers));
    if (json_is_integer(page_get(peer, "rtt_us"))) {
        page_put(p, ", ");
        page_us_of(p, peer, "rtt_us");
        page_put(p, " to the leader");
    }
    field_end(p);
}

static void state(struct page *p, const json_t *status)
{
    const json_t *state = page_get(status, "state");

    field(p, "state");
    page_short_of(p, state, "verdict");
    if (page_num(state, "scrubbed_s_ago") > 0) {
        page_put(p, ", checked ");
        page_span_of(p, state, "scrubbed_s_ago", US_S);
        page_put(p, " ago");
    }
    field_end(p);
}

static void room(struct page *p, const json_t *status)
{
    const json_t *space = page_get(status, "space");

    field(p, "disk");
    if (page_str(space, "full") != NULL) {
        page_put(p, "no space: ");
        page_short_of(p, space, "full");
    } else if (json_is_true(page_get(page_get(status, "disk"), "slow"))) {
        page_put(p, "slow");
    } else if (json_is_integer(page_get(page_get(status, "room"), "free_bytes"))) {
        page_bytes_of(p, page_get(status, "room"), "free_bytes");
        page_put(p, " free");
    } else if (status != NULL) {
        page_put(p, "has room");
    }
    if (page_num(page_get(status, "state"), "limit_bytes") > 0) {
        page_put(p, ", ");
        page_bytes_of(p, page_get(status, "state"), "live_bytes");
        page_put(p, " of ");
        page_bytes_of(p, page_get(status, "state"), "limit_bytes");
        page_put(p, " stored");
    }
    field_end(p);
}

static void fields(struct page *p, const json_t *node, const json_t *status)
{
    const json_t *peer = peer_of(p, node);

    page_put(p, "<dl>");
    field(p, "term");
    page_number_of(p, status, "term");
    field_end(p);
    applied(p, status, peer);
    field(p, "fsync p50 / p99");
    page_us_of(p, page_get(status, "disk"), "fsync_p50_us");
    page_put(p, " / ");
    page_us_of(p, page_get(status, "disk"), "fsync_p99_us");
    field_end(p);
    links(p, status, peer);
    room(p, status);
    state(p, status);
    field(p, "up");
    page_span_of(p, status, "uptime_ms", US_MS);
    page_put(p, ", version ");
    page_short_of(p, status, "version");
    field_end(p);
    page_put(p, "</dl>\n");
}

static void card(struct page *p, const json_t *node, size_t i)
{
    const json_t *status = page_get(node, "status");

    heading(p, node, i);
    wrongs(p, node);
    if (json_is_object(status))
        fields(p, node, status);
    page_put(p, "<p class=\"address\"><bdi>");
    page_short_of(p, node, "endpoint");
    page_put(p, "</bdi></p>\n</article>\n");
}

void page_nodes(struct page *p)
{
    const size_t n = json_array_size(p->nodes);

    page_put(p, "<section aria-labelledby=\"h-nodes\"><h2 id=\"h-nodes\">Nodes</h2>\n"
                "<div class=\"cards\">\n");
    for (size_t i = 0; i < n && i < WEB_NODES_MAX; i++)
        card(p, json_array_get(p->nodes, i), i + 1);
    page_put(p, "</div>\n");
    if (n > WEB_NODES_MAX)
        page_putf(p, "<p class=\"note\">%zu more are not shown.</p>\n", n - WEB_NODES_MAX);
    page_put(p, "</section>\n");
}
