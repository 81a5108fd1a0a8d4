/* The status page: the document of a cluster (verdict/doc.h, with `slow` and `events` of each node)
 * as one HTML page.
 *
 * For: `/`, and whoever wants to see a saved document again.
 * Not for: asking nodes (gather.h), judging them (verdict/verdict.h: the sentence on top is the
 * document's own), answering a request.
 * Units: microseconds since 1970 for now_us; the document's are those of ridd-protocol(7).
 * Ownership: borrows everything that it is given.
 * Errors: -ENOMEM; what was appended is no page then. A document may hold anything: what is missing
 * or of another type is shown as unknown, what a string holds is shown as text and no more
 * (PAGE-1).
 * Thread: any; pure.
 * Source: PAGE-1, PAGE-2. */
#ifndef RIDD_PAGE_PAGE_H
#define RIDD_PAGE_PAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct page_view {
    const char *self; /* the node that serves the page; "": nobody */
    int64_t now_us;   /* when the document was made */
    bool still;       /* it does not load itself again where scripts do not run */
};

/* Appends the page. */
int page_render(const json_t *cluster, const struct page_view *view, struct buf *out);
/* Appends what belongs into Content-Security-Policy: only the page's own style and script count,
 * and only its own host is asked. -ENOMEM, or -EIO: libcrypto has no SHA-256. */
int page_policy(struct buf *out);

#endif
