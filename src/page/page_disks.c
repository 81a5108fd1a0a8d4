/* Disks and logs in a table, and whether the states are the same. */
#include "page/page_int.h"

#include "base/banned.h"

static void cell(struct page *p)
{
    page_put(p, "</td><td>");
}

/* Its newest snapshot, or what is under way. */
static void snapshot(struct page *p, const json_t *snapshots)
{
    const json_t *received = page_get(snapshots, "receiving");

    if (json_is_object(received)) {
        page_put(p, "receiving, ");
        page_number_of(p, received, "percent");
        page_put(p, "&#160;%");
    } else if (json_is_true(page_get(snapshots, "making"))) {
        page_put(p, "making, ");
        page_number_of(p, snapshots, "making_percent");
        page_put(p, "&#160;%");
    } else if (page_num(snapshots, "index") > 0) {
        page_bytes_of(p, snapshots, "bytes");
        page_put(p, " at ");
        page_number_of(p, snapshots, "index");
        page_put(p, ", ");
        page_span_of(p, snapshots, "age_s", US_S);
        page_put(p, " old");
    } else {
        page_put(p, "none yet");
    }
}

static void row(struct page *p, const json_t *node)
{
    const json_t *status = page_get(node, "status");
    const json_t *disk = page_get(status, "disk");
    const json_t *log = page_get(status, "log");

    page_put(p, "<tr><th scope=\"row\"><bdi>");
    page_short(p, page_name(node));
    page_put(p, "</bdi></th><td>");
    if (!json_is_object(status)) {
        page_put(p, "no answer</td><td></td><td></td><td></td><td></td><td></td><td></td></tr>\n");
        return;
    }
    page_us_of(p, disk, "fsync_p50_us");
    cell(p);
    page_us_of(p, disk, "fsync_p99_us");
    cell(p);
    page_us_of(p, disk, "fsync_max_us");
    cell(p);
    page_bytes_of(p, disk, "outstanding_bytes");
    cell(p);
    page_bytes_of(p, log, "bytes");
    cell(p);
    page_number_of(p, page_get(status, "snapshots"), "log_begins_behind");
    cell(p);
    snapshot(p, page_get(status, "snapshots"));
    page_put(p, "</td></tr>\n");
}

void page_disks(struct page *p)
{
    page_put(p, "<section aria-labelledby=\"h-disks\"><h2 id=\"h-disks\">Disk and log</h2>\n"
                "<div class=\"scroll\" id=\"t-disks\" tabindex=\"0\" role=\"region\" "
                "aria-labelledby=\"h-disks\">"
                "<table><thead><tr><th scope=\"col\">node</th><th scope=\"col\">fsync p50</th>"
                "<th scope=\"col\">p99</th><th scope=\"col\">longest</th>"
                "<th scope=\"col\">waits for it</th><th scope=\"col\">log</th>"
                "<th scope=\"col\">begins behind</th><th scope=\"col\">snapshot</th></tr></thead>"
                "<tbody>\n");
    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++)
        row(p, json_array_get(p->nodes, i));
    page_put(p, "</tbody></table></div></section>\n");
}

/* ---- agreement ---- */

static const json_t *state_of(const struct page *p, size_t i)
{
    return page_get(page_get(json_array_get(p->nodes, i), "status"), "state");
}

/* Only sums of one index and one version are compared. */
static bool same_place(const json_t *a, const json_t *b)
{
    return page_str(a, "digest") != NULL && page_str(b, "digest") != NULL &&
           page_num(a, "digest_index") == page_num(b, "digest_index") &&
           page_num(a, "digest_version") == page_num(b, "digest_version");
}

static bool same_sum(const json_t *a, const json_t *b)
{
    return same_place(a, b) && page_is(a, "digest", page_str(b, "digest"));
}

static void names_of_same(struct page *p, size_t first)
{
    const size_t n = json_array_size(p->nodes);
    bool more = false;

    for (size_t i = first; i < n; i++) {
        if (!same_sum(state_of(p, first), state_of(p, i)))
            continue;
        page_put(p, more ? ", <bdi>" : "<bdi>");
        page_short(p, page_name(json_array_get(p->nodes, i)));
        page_put(p, "</bdi>");
        more = true;
    }
}

static void agreement_line(struct page *p)
{
    const size_t n = json_array_size(p->nodes);
    bool differ = false;
    bool apart = false;
    size_t n_sums = 0;

    for (size_t i = 0; i < n; i++) {
        n_sums += page_str(state_of(p, i), "digest") != NULL;
        differ = differ || page_is(state_of(p, i), "verdict", "differs") ||
                 page_is(state_of(p, i), "verdict", "damaged");
        for (size_t k = 0; k < i; k++) {
            const bool place = same_place(state_of(p, i), state_of(p, k));

            differ = differ || (place && !same_sum(state_of(p, i), state_of(p, k)));
            apart = apart || (page_str(state_of(p, i), "digest") != NULL &&
                              page_str(state_of(p, k), "digest") != NULL && !place);
        }
    }
    if (differ)
        page_put(p,
                 "<p class=\"bad\" id=\"agreement\">States differ: see what is wrong above.</p>");
    else if (n_sums < 2)
        page_put(p, "<p id=\"agreement\">Fewer than two nodes told the digest of their state.</p>");
    else if (apart)
        page_put(p, "<p id=\"agreement\">No two states differ at the same index. Not all of them "
                    "are at the same one just now; the nodes compare those of the past among "
                    "themselves.</p>");
    else
        page_putf(p, "<p id=\"agreement\">The %zu states that were told are the same.</p>", n_sums);
}

void page_agreement(struct page *p)
{
    page_put(p, "<section aria-labelledby=\"h-agreement\"><h2 id=\"h-agreement\">Agreement of "
                "digests</h2>\n");
    agreement_line(p);
    page_put(p, "<ul class=\"sums\">\n");
    for (size_t i = 0; i < json_array_size(p->nodes) && i < WEB_NODES_MAX; i++) {
        bool told = page_str(state_of(p, i), "digest") == NULL;

        for (size_t k = 0; k < i && !told; k++)
            told = same_sum(state_of(p, k), state_of(p, i));
        if (told)
            continue;
        page_put(p, "<li><code>");
        page_short_of(p, state_of(p, i), "digest");
        page_put(p, "</code> at index ");
        page_number_of(p, state_of(p, i), "digest_index");
        page_put(p, ": ");
        names_of_same(p, i);
        page_put(p, "</li>\n");
    }
    page_put(p, "</ul></section>\n");
}
