/* What the parts of the page share: one writer, and the words for numbers and times.
 *
 * Everything that comes from a document goes through page_text(); page_put() and page_putf() take
 * markup of ours, the latter with numbers alone (PAGE-1).
 *
 * Obvious: units, ownership, thread. */
#ifndef RIDD_PAGE_PAGE_INT_H
#define RIDD_PAGE_PAGE_INT_H

#include <string.h>

#include "base/limits.h"
#include "page/page.h"

#define US_MS  INT64_C(1000)
#define US_S   (1000 * US_MS)
#define US_MIN (60 * US_S)
#define US_H   (60 * US_MIN)
#define US_DAY (24 * US_H)

/* One event of one node. */
struct page_event {
    const json_t *event;
    const char *node;
    size_t place;     /* of the node in the document */
    const char *name; /* "": it has none */
    int64_t us;       /* since 1970 */
    json_int_t term;
};

struct page {
    struct buf *out;
    const json_t *cluster;
    const json_t *nodes;
    const struct page_view *view;
    struct page_event *events; /* owned; oldest first */
    size_t n_events;
    bool failed; /* no memory */
};

/* ---- texts made at build time from page.css and page.js ---- */

extern const char page_css[];
extern const char page_js[];

/* ---- page_write.c ---- */

void page_put(struct page *p, const char *markup);
void page_putf(struct page *p, const char *markup, ...) __attribute__((format(printf, 2, 3)));
/* Escaped; cut after WEB_TEXT_BYTES of the page; NULL or "": a dash. */
void page_text(struct page *p, const char *s);
/* The same, after WEB_NAME_BYTES: names, and words of the protocol. */
void page_short(struct page *p, const char *s);
/* The same, after WEB_BRIEF_BYTES: names where they stand again and again. */
void page_brief(struct page *p, const char *s);
/* All of it. */
void page_text_whole(struct page *p, const char *s);
void page_number(struct page *p, json_int_t v); /* 12,345 */
void page_bytes(struct page *p, json_int_t v);  /* 12.3 MiB */
void page_us(struct page *p, json_int_t us);    /* 210 us, 1.24 ms, 12.3 ms, 1.20 s */
/* "12 s", "3 min 20 s", "2 h 05 min", "3 d 04 h" */
void page_span(struct page *p, int64_t us);
/* The same of a field that is in units of unit_us. */
void page_span_of(struct page *p, const json_t *o, const char *name, int64_t unit_us);
/* "12 s ago", with the time itself behind it for those who ask. */
void page_ago(struct page *p, int64_t at_us);
/* "16:27:38" of a day, in UTC. */
void page_clock(struct page *p, int64_t at_us);
/* A bar of that colour in an svg: from x, so wide, of `all`. */
void page_bar(struct page *p, const char *colour, double x, double width, double all);
/* The field of o by one of the above, or a dash. */
void page_number_of(struct page *p, const json_t *o, const char *name);
void page_bytes_of(struct page *p, const json_t *o, const char *name);
void page_us_of(struct page *p, const json_t *o, const char *name);
void page_text_of(struct page *p, const json_t *o, const char *name);
void page_short_of(struct page *p, const json_t *o, const char *name);

/* ---- page_read.c: what a document says ---- */

static inline const json_t *page_get(const json_t *o, const char *name)
{
    return json_object_get(o, name);
}

/* 0 for what is no number. Beyond WEB_NUMBER_MAX it is that one: what is computed with it does not
 * overflow. */
static inline json_int_t page_num(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    if (v > WEB_NUMBER_MAX)
        return WEB_NUMBER_MAX;
    return v < -WEB_NUMBER_MAX ? -WEB_NUMBER_MAX : v;
}

/* NULL: absent, empty or no string. */
const char *page_str(const json_t *o, const char *name);
bool page_is(const json_t *o, const char *name, const char *word);
/* The node's name, else its endpoint, else "?". */
const char *page_name(const json_t *node);
/* "2026-11-30T16:16:54.414231Z"; -1: it is none. */
int64_t page_time(const char *ts);
/* The value of key= in the text of an event; false: it has none. */
bool page_value(const json_t *event, const char *key, char *ret, size_t size);
/* All events of all nodes into p->events. */
void page_collect(struct page *p);

/* ---- the sections, each with its heading ---- */

void page_nodes(struct page *p);     /* page_nodes.c */
void page_disks(struct page *p);     /* page_disks.c */
void page_agreement(struct page *p); /* page_disks.c */
void page_leaders(struct page *p);   /* page_leaders.c */
void page_falls(struct page *p);     /* page_falls.c: the last read of each method */
void page_methods(struct page *p);   /* page_methods.c */
void page_slow(struct page *p);      /* page_events.c */
void page_events(struct page *p);    /* page_events.c */

#endif
