/* What HTTP shows of the whole cluster: `/`, the page for people, and /cluster.json, the document.
 *
 * For: the table of pages of a host (http/http.h), whose functions call these.
 * Not for: what one node says of itself.
 * Ownership: what it is made of is copied. A call is answered here, at once or later.
 * Errors: pages_new(): -ENOMEM, -EIO. Later ones are answers: 503 with a sentence.
 * Thread: pages_new() and pages_free() the host's; all else the thread of the server, which says
 * with pages_ended() that it ends.
 * Source: PAGE-1, PAGE-3.
 * Obvious: units. */
#ifndef RIDD_PAGE_PAGES_H
#define RIDD_PAGE_PAGES_H

#include "http/http.h"
#include "page/gather.h"

struct pages;

/* conf->base is not looked at: it is that of the server which the first call comes from. */
int pages_new(const struct gather_conf *conf, struct pages **ret);
/* After the server is gone. NULL is accepted. */
void pages_free(struct pages *p);
/* For the handler of `/`. Lives as long as the pages. */
const char *pages_policy(const struct pages *p);

/* The handler's parameter 0, a flag: the page does not load itself again. */
void pages_show_page(struct pages *p, struct http_call *call);
void pages_show_document(struct pages *p, struct http_call *call);
/* The call is no more. */
void pages_gone(struct pages *p, struct http_call *call);
/* The server's thread ends: nothing is asked any more. */
void pages_ended(struct pages *p);

#endif
