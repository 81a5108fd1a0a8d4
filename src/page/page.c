/* The page as a whole: its head, the sentence on top, the order of its sections.
 *
 * It is well-formed as XML is, too: every attribute quoted, every element closed, so that a test
 * can tell whether it is whole. Style and script stand inside (page.css, page.js), and nothing is
 * fetched from anywhere. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "page/page_int.h"

#include "base/banned.h"

/* What a verdict looks like and means. The words in capitals are those of its line. */
static const struct look {
    const char *verdict;
    const char *shape; /* a path in a square of 24 */
    const char *means;
} looks[] = {
    {"ok", "M12 2a10 10 0 1 0 0 20a10 10 0 0 0 0-20zM6.5 12.5l2-2 2.5 2.5 5-5.5 2 2-7 7.5z",
     "Reads and writes are answered."},
    {"degraded", "M12 2L23 21H1zM11 9h2v6h-2zM11 17h2v2h-2z",
     "A leader hears a quorum, and something is wrong all the same."},
    {"no_quorum", "M8 2h8l6 6v8l-6 6H8l-6-6V8zM7 11h10v2.5H7z",
     "No linearizable read and no write is answered until a majority of the voters run and hear "
     "each other. Nothing that was acknowledged is lost by that."},
    {"split", "M12 1l11 11-11 11L1 12zM7 9h10v2H7zM7 13h10v2H7z",
     "The nodes belong to different clusters, or two of them lead in one term. Waiting mends "
     "nothing here."},
};
static const struct look unknown = {"unknown", "M12 2a10 10 0 1 0 0 20a10 10 0 0 0 0-20z",
                                    "What the document says is not known here."};

static const struct look *look_of(const json_t *cluster)
{
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
        if (page_is(cluster, "verdict", looks[i].verdict))
            return &looks[i];
    return &unknown;
}

static const char *cluster_name(const struct page *p)
{
    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        const json_t *status = page_get(json_array_get(p->nodes, i), "status");

        if (page_str(status, "cluster") != NULL)
            return page_str(status, "cluster");
    }
    return "?";
}

/* "OK" of "OK: survives ...": the word that stands out, and what follows. */
static size_t word_len(const char *line)
{
    const char *colon = strchr(line, ':');

    return colon != NULL && colon - line < WEB_WORD_BYTES ? (size_t)(colon - line) : 0;
}

static void title(struct page *p, const char *line)
{
    char word[WEB_WORD_BYTES] = "?";

    if (word_len(line) > 0) {
        memcpy(word, line, word_len(line));
        word[word_len(line)] = '\0';
    }
    page_put(p, "<title>");
    page_text_whole(p, word);
    page_put(p, " \xc2\xb7 ");
    page_short(p, cluster_name(p));
    page_put(p, " \xc2\xb7 ridd</title>\n");
}

static void head(struct page *p, const char *line)
{
    page_put(p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                "<meta name=\"color-scheme\" content=\"light dark\"/>\n");
    title(p, line);
    page_put(p, "<link rel=\"icon\" href=\"data:,\"/>\n<style>");
    page_put(p, page_css);
    page_put(p, "</style>\n");
    if (!p->view->still)
        page_putf(p, "<noscript><meta http-equiv=\"refresh\" content=\"%u\"/></noscript>\n",
                  WEB_RELOAD_S);
    page_put(p, "</head>\n");
}

/* What stands above all: where this is, of when it is, and how it stays fresh. */
static void bar(struct page *p)
{
    page_put(p, "<body><a class=\"skip\" href=\"#main\">Skip to the verdict</a>\n"
                "<header><p class=\"where\"><b>ridd</b> cluster <b><bdi>");
    page_short(p, cluster_name(p));
    page_put(p, "</bdi></b>");
    if (p->view->self[0] != '\0') {
        page_put(p, ", seen from <bdi>");
        page_short(p, p->view->self);
        page_put(p, "</bdi>");
    }
    page_put(p, "</p><p class=\"when\"><span id=\"when\">as of ");
    page_clock(p, p->view->now_us);
    page_put(p, " UTC</span> <a id=\"refresh\" href=\"/\">Refresh</a> "
                "<button id=\"pause\" type=\"button\" aria-pressed=\"false\" hidden=\"hidden\">"
                "Pause</button>");
    page_put(p, p->view->still ? "<noscript> <a href=\"/\">Reload by itself</a></noscript>"
                               : "<noscript> <a href=\"/?still\">Stop reloading</a></noscript>");
    page_put(p, "</p><p id=\"stale\" role=\"alert\" hidden=\"hidden\"></p>"
                "<p id=\"said\" class=\"vh\" role=\"status\"></p></header>\n");
}

/* Those that stand on no card: of a member that nobody could be asked for. */
static bool has_card(const struct page *p, const json_t *reason)
{
    const char *name = page_str(reason, "node");

    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++) {
        const json_t *node = json_array_get(p->nodes, i);

        if (name != NULL ? page_is(node, "node", name)
                         : page_str(reason, "endpoint") != NULL &&
                               page_is(node, "endpoint", page_str(reason, "endpoint")))
            return true;
    }
    return false;
}

static void reasons(struct page *p)
{
    const json_t *list = page_get(p->cluster, "reasons");
    const size_t n = json_array_size(list);

    if (n == 0)
        return;
    page_put(p, "<ul id=\"reasons\">\n");
    for (size_t i = 0; i < n && i < WEB_REASONS_MAX; i++) {
        const json_t *r = json_array_get(list, i);

        page_put(p, has_card(p, r) ? "<li><b><bdi>" : "<li class=\"alone\"><b><bdi>");
        page_short(p, page_name(r));
        page_put(p, "</bdi></b>: ");
        page_text_of(p, r, "text");
        page_put(p, "</li>\n");
    }
    if (n > WEB_REASONS_MAX)
        page_putf(p, "<li>and %zu more</li>\n", n - WEB_REASONS_MAX);
    page_put(p, "</ul>\n");
}

static void verdict(struct page *p, const struct look *look, const char *line)
{
    const json_int_t survives = page_num(p->cluster, "survives");
    const size_t len = word_len(line);
    char word[WEB_WORD_BYTES] = "";

    memcpy(word, line, len);
    page_putf(p, "<section class=\"verdict v-%s\" aria-labelledby=\"verdict\">", look->verdict);
    page_putf(p,
              "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path fill-rule=\"evenodd\" "
              "d=\"%s\"/></svg>\n<div><h1 id=\"verdict\"><strong>",
              look->shape);
    page_text_whole(p, word);
    page_put(p, "</strong>");
    page_text_whole(p, line + len);
    page_put(p, "</h1>\n<p id=\"means\">");
    page_put(p, look->means);
    if (json_is_integer(page_get(p->cluster, "survives"))) {
        if (survives > 0)
            page_putf(p, " %lld more node%s may fail.", (long long)survives,
                      survives == 1 ? "" : "s");
        else if (!page_is(p->cluster, "verdict", "no_quorum"))
            page_put(p, " No more node may fail.");
    }
    page_put(p, "</p>\n");
    reasons(p);
    page_put(p, "</div></section>\n");
}

static void foot(struct page *p)
{
    page_put(p, "<footer><p>The same for programs: <a href=\"/cluster.json\">cluster.json</a>, "
                "<a href=\"/status.json\">status.json</a>, <a href=\"/slow.json\">slow.json</a>, "
                "<a href=\"/events.json\">events.json</a>, <a href=\"/metrics\">metrics</a>, "
                "<a href=\"/readyz?verbose\">readyz</a>. In a terminal: <code>ridctl "
                "status</code>. Times of different nodes are those of their own clocks."
                "</p></footer>\n<script>");
    page_put(p, page_js);
    page_put(p, "</script></body></html>\n");
}

int page_render(const json_t *cluster, const struct page_view *view, struct buf *out)
{
    struct page p = {
        .out = out, .cluster = cluster, .nodes = page_get(cluster, "nodes"), .view = view};
    const struct look *look = look_of(cluster);
    const char *line = page_str(cluster, "line");

    line = line != NULL ? line : "?";
    page_collect(&p);
    head(&p, line);
    bar(&p);
    page_put(&p, "<main id=\"main\" tabindex=\"-1\">\n");
    verdict(&p, look, line);
    page_nodes(&p);
    page_leaders(&p);
    page_slow(&p);
    page_falls(&p);
    page_methods(&p);
    page_disks(&p);
    page_agreement(&p);
    page_events(&p);
    page_put(&p, "</main>\n");
    foot(&p);
    free(p.events);
    return p.failed ? err_origin(-ENOMEM) : 0;
}

/* ---- what the browser may do with it ---- */

static int add_hash(struct buf *out, const char *text)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(text, strlen(text), sum, &len, EVP_sha256(), NULL) != 1)
        return err_origin(-EIO);
    if (buf_add_str(out, "'sha256-") != 0 || base64_encode(sum, len, out) != 0 ||
        buf_add_str(out, "'") != 0)
        return err_origin(-ENOMEM);
    return 0;
}

int page_policy(struct buf *out)
{
    int r = buf_add_str(out, "default-src 'none'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'; img-src data:; connect-src 'self'; "
                             "style-src ");

    if (r == 0)
        r = add_hash(out, page_css);
    if (r == 0)
        r = buf_add_str(out, "; script-src ");
    if (r == 0)
        r = add_hash(out, page_js);
    return r == 0 ? 0 : err_trace(r);
}
