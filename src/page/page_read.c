/* What a document says, of whatever version the node is that said it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "page/page_int.h"

#include "base/banned.h"

const char *page_str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : NULL;
}

bool page_is(const json_t *o, const char *name, const char *word)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && strcmp(s, word) == 0;
}

const char *page_name(const json_t *node)
{
    const char *name = page_str(node, "node");

    if (name == NULL)
        name = page_str(node, "endpoint");
    return name != NULL ? name : "?";
}

int64_t page_time(const char *ts)
{
    struct tm tm = {0};
    const char *end = ts != NULL ? strptime(ts, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    int64_t us = 0;

    if (end == NULL)
        return -1;
    if (*end == '.') {
        int64_t unit = US_S / 10;

        for (end++; *end >= '0' && *end <= '9' && unit > 0; end++, unit /= 10)
            us += (*end - '0') * unit;
    }
    return (int64_t)timegm(&tm) * US_S + us;
}

bool page_value(const json_t *event, const char *key, char *ret, size_t size)
{
    const char *text = page_str(event, "text");
    const size_t key_len = strlen(key);
    size_t len = 0;

    for (const char *s = text; s != NULL; s = strchr(s, ' ')) {
        s += *s == ' ';
        if (strncmp(s, key, key_len) != 0 || s[key_len] != '=')
            continue;
        s += key_len + 1;
        if (*s == '\'') {
            s++;
            len = strcspn(s, "'");
        } else {
            len = strcspn(s, " ");
        }
        (void)snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), s);
        return true;
    }
    return false;
}

static int by_time(const void *a, const void *b)
{
    const struct page_event *x = a;
    const struct page_event *y = b;

    return (x->us > y->us) - (x->us < y->us);
}

/* What a node would never send so many of is not looked at (PAGE-2). */
static const json_t *events_of(const json_t *node, size_t *ret_n)
{
    const json_t *list = json_object_get(json_object_get(node, "events"), "events");
    size_t n = json_array_size(list);

    *ret_n = n < WEB_EVENTS_LOOKED_MAX ? n : WEB_EVENTS_LOOKED_MAX;
    return list;
}

void page_collect(struct page *p)
{
    size_t n_all = 0;
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        (void)events_of(json_array_get(p->nodes, i), &n);
        n_all += n;
    }
    if (n_all == 0)
        return;
    p->events = calloc(n_all, sizeof(*p->events));
    if (p->events == NULL) {
        p->failed = true;
        return;
    }
    for (size_t i = 0; i < json_array_size(p->nodes); i++) {
        const json_t *node = json_array_get(p->nodes, i);
        const json_t *list = events_of(node, &n);

        for (size_t k = 0; k < n; k++) {
            const json_t *e = json_array_get(list, k);
            const char *name = page_str(e, "event");

            p->events[p->n_events++] = (struct page_event){.event = e,
                                                           .node = page_name(node),
                                                           .place = i,
                                                           .name = name != NULL ? name : "",
                                                           .us = page_time(page_str(e, "ts")),
                                                           .term = page_num(e, "term")};
        }
    }
    qsort(p->events, p->n_events, sizeof(*p->events), by_time);
}
