/* Long lines, before a tree is built of them: jansson takes some hundred nanoseconds for each
 * element of an array, which is 100 ms for a line of 1 MiB. What is long in such a line is checked
 * here and what may become a value is made compact at once; the tree is built of a short line that
 * has something of the same kind in its place (TIME-4).
 *
 *     {"type":"cas","key":"k","from":[1, 2, ...],"to":{...},"note":"..."}      becomes
 *     {"type":"cas","key":"k","from":null,"to":null,"note":"xxx"}
 *
 * A stand-in is refused wherever what it stands for would have been: but for values, what a request
 * may have is kept, long keys and lists of them. */
#include "wire/json_compact_int.h"
#include "wire/json_scan_int.h"
#include "wire/request_int.h"

#include "base/banned.h"

#define NAMES WIRE_LARGE_FIELDS

struct shrink {
    struct wire_decoder *d;
    const char *line;
    const char *p;
    const char *end;
};

static void skip_space(struct shrink *s)
{
    while (s->p != s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool at(const struct shrink *s, char what)
{
    return s->p != s->end && *s->p == what;
}

static int refuse_at(struct shrink *s, int error)
{
    return wire_refuse(s->d, WIRE_ERROR_MALFORMED, NULL, 0, "%s, at byte %td",
                       json_compact_error_text(error), s->p - s->line + 1);
}

static bool name_is(struct wire_slice name, const char *word)
{
    return strlen(word) == name.len && memcmp(word, name.data, name.len) == 0;
}

/* One that a request of either form may store; NAMES: none. */
static unsigned field_of(struct wire_slice name)
{
    static const char *const names[NAMES] = {
        [LARGE_VALUE] = "\"value\"", [LARGE_FROM] = "\"from\"", [LARGE_TO] = "\"to\""};

    for (unsigned i = 0; i < NAMES; i++)
        if (name_is(name, names[i]))
            return i;
    return NAMES;
}

/* Longer than any string but a value may be. */
static int put_long_string(struct buf *out)
{
    char text[KEY_STRING_BYTES_MAX + 3];

    memset(text, 'x', sizeof(text));
    text[0] = '"';
    text[sizeof(text) - 1] = '"';
    return buf_add(out, text, sizeof(text));
}

/* Compact text of an array that may be a list of keys, behind what is in the short line already: a
 * tree of it has few nodes and few bytes. */
static bool is_short_list(const struct buf *out, struct wire_slice text)
{
    const char *p = text.data;
    const char *end = p + text.len;
    unsigned n = 0;

    if (out->len + text.len > WIRE_LISTS_BYTES_MAX)
        return false;
    do {
        p = json_scan_value(p + 1, end, 0);
    } while (p != NULL && *p == ',' && ++n < BATCH_KEYS_MAX);
    return p != NULL && *p == ']';
}

/* text is what it stands for; of strings and objects that are not stored there is none. */
static int put_stand_in(struct buf *out, bool stored, char first, struct wire_slice text)
{
    if (stored)
        return buf_add_str(out, "null");
    if (first == '"')
        return put_long_string(out);
    if (first == '{')
        return buf_add_str(out, "{}");
    return is_short_list(out, text) ? buf_add(out, text.data, text.len) : buf_add_str(out, "[]");
}

/* Short enough for a tree, or of a kind that costs one node. */
static bool is_small(char first, size_t len)
{
    if (first == '"')
        return len <= WIRE_KEY_TEXT_BYTES_MAX;
    return len <= WIRE_LARGE_BYTES || (first != '[' && first != '{');
}

static int shrink_object(struct shrink *s, unsigned level);

/* The member's name is written, s->p at its value. */
static int shrink_value(struct shrink *s, unsigned level, unsigned field)
{
    struct wire_decoder *d = s->d;
    const size_t before = d->large_text.len;
    const char *from = s->p;
    const char first = from != s->end ? *from : '\0';
    const bool stored = field != NAMES;
    struct wire_slice text;
    int rc = json_compact(from, s->end, stored || first == '[', &d->large_text, &s->p);

    if (rc == JSON_COMPACT_E_KEYS) { /* told later, by who knows whose request it is */
        d->large_keys = true;
        rc = 0;
    }
    if (rc != 0)
        return rc < 0 ? rc : refuse_at(s, rc);
    text = (struct wire_slice){(char *)d->large_text.data + before, d->large_text.len - before};
    if (is_small(first, (size_t)(s->p - from))) {
        d->large_text.len = before;
        return buf_add(&d->short_line, from, (size_t)(s->p - from));
    }
    if (stored)
        d->large[level][field] = (struct wire_large){before, text.len};
    else
        d->large_text.len = before;
    return put_stand_in(&d->short_line, stored, first, text);
}

/* A name may be written with escapes: what it is in compact text decides. Of more members than a
 * request may have only the number of the request is of use, for the refusal. */
static int shrink_member(struct shrink *s, unsigned level, unsigned n)
{
    struct wire_decoder *d = s->d;
    const size_t line_before = d->short_line.len;
    const size_t before = d->large_text.len;
    struct wire_slice name;
    unsigned field;
    bool is_body;
    bool drop;
    int rc;

    if (!at(s, '"'))
        return refuse_at(s, JSON_COMPACT_E_SYNTAX);
    rc = json_compact(s->p, s->end, true, &d->large_text, &s->p);
    if (rc != 0)
        return rc < 0 ? rc : refuse_at(s, rc);
    name = (struct wire_slice){(char *)d->large_text.data + before, d->large_text.len - before};
    field = field_of(name);
    is_body = level == 0 && name_is(name, "\"body\"");
    drop = n > JSON_REQUEST_KEYS_MAX && !name_is(name, "\"msg_id\"");
    rc = n > 0 ? buf_add_u8(&d->short_line, ',') : 0;
    if (rc == 0)
        rc = buf_add(&d->short_line, name.data, name.len);
    d->large_text.len = before;
    if (rc != 0)
        return rc;
    skip_space(s);
    if (!at(s, ':'))
        return refuse_at(s, JSON_COMPACT_E_SYNTAX);
    s->p++;
    rc = buf_add_u8(&d->short_line, ':');
    skip_space(s);
    if (rc == 0)
        rc = is_body && at(s, '{') ? shrink_object(s, 1) : shrink_value(s, level, field);
    if (drop)
        d->short_line.len = line_before;
    return rc;
}

/* The object at s->p; that of "body" in it, which may be the request, likewise. */
static int shrink_object(struct shrink *s, unsigned level)
{
    unsigned n = 0;
    int rc = buf_add_u8(&s->d->short_line, '{');

    s->p++;
    skip_space(s);
    if (rc == 0 && at(s, '}')) {
        s->p++;
        return buf_add_u8(&s->d->short_line, '}');
    }
    while (rc == 0) {
        rc = shrink_member(s, level, n);
        n++;
        skip_space(s);
        if (rc != 0)
            return rc;
        if (at(s, '}'))
            break;
        if (!at(s, ','))
            return refuse_at(s, JSON_COMPACT_E_SYNTAX);
        s->p++;
        skip_space(s);
    }
    s->p++;
    return rc != 0 ? rc : buf_add_u8(&s->d->short_line, '}');
}

int wire_request_shrink(struct wire_decoder *d, const char *line, size_t len)
{
    struct shrink s = {.d = d, .line = line, .p = line, .end = line + len};
    int rc;

    skip_space(&s);
    if (!at(&s, '{')) /* not an object: what the whole line is makes no difference */
        return buf_add_str(&d->short_line, "[]");
    rc = shrink_object(&s, 0);
    if (rc != 0)
        return rc;
    skip_space(&s);
    return s.p == s.end ? 0
                        : wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, 0,
                                      "not one JSON object: something follows it, at byte %td",
                                      s.p - line + 1);
}
