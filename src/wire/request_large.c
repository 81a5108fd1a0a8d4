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

#include "base/assert.h"

#include "base/banned.h"

#define NAMES WIRE_LARGE_FIELDS

static void skip_space(struct wire_shrink *s)
{
    while (s->p != s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool at(const struct wire_shrink *s, char what)
{
    return s->p != s->end && *s->p == what;
}

static int refuse_at(struct wire_decoder *d, int error)
{
    return wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, 0, "%s, at byte %td",
                       json_compact_error_text(error), d->shrink.p - d->shrink.line + 1);
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
        const char *from = p + 1;

        p = json_scan_value(from, end, 0);
        if (p != NULL && (size_t)(p - from) > WIRE_KEY_TEXT_BYTES_MAX)
            return false; /* no key is so long */
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
    if (first != '[') /* a number that is no integer, or it had been out of range */
        return buf_add_str(out, "0.5");
    return is_short_list(out, text) ? buf_add(out, text.data, text.len) : buf_add_str(out, "[]");
}

/* Short enough for a tree. */
static bool is_small(char first, size_t len)
{
    return len <= (first == '"' ? WIRE_KEY_TEXT_BYTES_MAX : WIRE_LARGE_BYTES);
}

/* ---- the walk: one object, and that of "body" in it, which may be the request ---- */

static void begin_text(struct wire_decoder *d, bool keep)
{
    struct wire_shrink *s = &d->shrink;

    s->from = s->p;
    s->before = d->large_text.len;
    json_compact_begin(&s->text, s->p, s->end, keep, &d->large_text);
    s->text.look_bytes = d->look_bytes;
}

/* 0: it is there. WIRE_REQUEST_MORE, WIRE_REQUEST_REFUSED, -ENOMEM. */
static int take_text(struct wire_decoder *d, struct slice *share, struct wire_slice *ret)
{
    struct wire_shrink *s = &d->shrink;
    int rc = json_compact_step(&s->text, share);

    s->p = s->text.p;
    if (rc == JSON_COMPACT_MORE)
        return WIRE_REQUEST_MORE;
    if (rc == JSON_COMPACT_E_KEYS && s->place == SHRINK_AT_VALUE) {
        d->large_keys = true; /* told later, by who knows whose request it is */
        rc = 0;
    }
    if (rc != 0)
        return rc < 0 ? rc : refuse_at(d, rc);
    *ret =
        (struct wire_slice){(char *)d->large_text.data + s->before, d->large_text.len - s->before};
    return 0;
}

static int begin_member(struct wire_decoder *d)
{
    struct wire_shrink *s = &d->shrink;

    if (!at(s, '"'))
        return refuse_at(d, JSON_COMPACT_E_SYNTAX);
    s->place = SHRINK_AT_NAME;
    begin_text(d, true);
    return 0;
}

/* Of more members than a request may have only the number of the request is of use, for the
 * refusal. */
static void end_member(struct wire_decoder *d)
{
    const struct wire_shrink_object *o = &d->shrink.objects[d->shrink.level];

    if (o->drop)
        d->short_line.len = o->line_before;
    d->shrink.place = SHRINK_AT_NEXT;
}

static int close_object(struct wire_decoder *d)
{
    struct wire_shrink *s = &d->shrink;
    int rc = buf_add_u8(&d->short_line, '}');

    s->p++;
    if (s->level == 0) {
        s->place = SHRINK_AT_END;
    } else {
        s->level--;
        end_member(d);
    }
    return rc;
}

static int open_object(struct wire_decoder *d, unsigned level)
{
    struct wire_shrink *s = &d->shrink;
    int rc = buf_add_u8(&d->short_line, '{');

    s->level = level;
    s->objects[level].n = 0;
    s->objects[level].drop = false;
    s->objects[level].n_long = 0;
    s->p++;
    skip_space(s);
    if (rc != 0)
        return rc;
    return at(s, '}') ? close_object(d) : begin_member(d);
}

/* No field has so long a name, and a tree of it takes as long as of a string. What stands for it is
 * longer than any that stays, and the same only for the same: one that stands twice is refused. */
static int put_long_name(struct wire_decoder *d, struct wire_slice name)
{
    struct wire_shrink *s = &d->shrink;
    struct wire_shrink_object *o = &s->objects[s->level];
    const char *text = (const char *)d->large_text.data;
    unsigned i = 0;

    while (i < o->n_long && (o->long_names[i].len != name.len ||
                             memcmp(text + o->long_names[i].at, name.data, name.len) != 0))
        i++;
    if (i < o->n_long || o->drop) {
        d->large_text.len = s->before;
    } else {
        rid_assert(i < sizeof(o->long_names) / sizeof(o->long_names[0]));
        o->long_names[o->n_long++] = (struct wire_large){s->before, name.len};
    }
    return buf_add_format(&d->short_line, "\"%0*u\"", (int)WIRE_LARGE_BYTES, i);
}

/* A name may be written with escapes: what it is in compact text decides. */
static int put_name(struct wire_decoder *d, struct wire_slice name)
{
    struct wire_shrink *s = &d->shrink;
    struct wire_shrink_object *o = &s->objects[s->level];
    int rc;

    s->field = field_of(name);
    s->is_body = s->level == 0 && name_is(name, "\"body\"");
    o->line_before = d->short_line.len;
    o->drop = o->n > JSON_REQUEST_KEYS_MAX && !name_is(name, "\"msg_id\"");
    rc = o->n++ > 0 ? buf_add_u8(&d->short_line, ',') : 0;
    if (rc == 0 && name.len > WIRE_LARGE_BYTES)
        return put_long_name(d, name);
    if (rc == 0)
        rc = buf_add(&d->short_line, name.data, name.len);
    d->large_text.len = s->before;
    return rc;
}

static int take_name(struct wire_decoder *d, struct slice *share)
{
    struct wire_shrink *s = &d->shrink;
    struct wire_slice name = {NULL, 0};
    int rc = take_text(d, share, &name);

    if (rc == 0)
        rc = put_name(d, name);
    if (rc != 0)
        return rc;
    skip_space(s);
    if (!at(s, ':'))
        return refuse_at(d, JSON_COMPACT_E_SYNTAX);
    s->p++;
    rc = buf_add_u8(&d->short_line, ':');
    skip_space(s);
    if (rc == 0 && s->is_body && at(s, '{'))
        return open_object(d, 1);
    s->place = SHRINK_AT_VALUE;
    begin_text(d, s->field != NAMES || at(s, '['));
    return rc;
}

/* Its name is written. */
static int take_value(struct wire_decoder *d, struct slice *share)
{
    struct wire_shrink *s = &d->shrink;
    const bool stored = s->field != NAMES;
    struct wire_slice text = {NULL, 0};
    char first = '\0';
    int rc;

    if (s->from != s->end)
        first = *s->from;
    rc = take_text(d, share, &text);
    if (rc != 0)
        return rc;
    if (is_small(first, (size_t)(s->p - s->from))) {
        d->large_text.len = s->before;
        rc = buf_add(&d->short_line, s->from, (size_t)(s->p - s->from));
    } else {
        if (stored)
            d->large[s->level][s->field] = (struct wire_large){s->before, text.len};
        else
            d->large_text.len = s->before;
        rc = put_stand_in(&d->short_line, stored, first, text);
    }
    end_member(d);
    return rc;
}

static int take_next(struct wire_decoder *d)
{
    struct wire_shrink *s = &d->shrink;

    skip_space(s);
    if (at(s, '}'))
        return close_object(d);
    if (!at(s, ','))
        return refuse_at(d, JSON_COMPACT_E_SYNTAX);
    s->p++;
    skip_space(s);
    return begin_member(d);
}

static int take_one(struct wire_decoder *d, struct slice *share)
{
    switch (d->shrink.place) {
    case SHRINK_AT_NAME:
        return take_name(d, share);
    case SHRINK_AT_VALUE:
        return take_value(d, share);
    case SHRINK_AT_NEXT:
        return take_next(d);
    case SHRINK_AT_END:
        break;
    }
    return 0;
}

static int check_end(struct wire_decoder *d)
{
    struct wire_shrink *s = &d->shrink;

    skip_space(s);
    return s->p == s->end ? 0
                          : wire_refuse(d, WIRE_ERROR_MALFORMED, NULL, 0,
                                        "not one JSON object: something follows it, at byte %td",
                                        s->p - s->line + 1);
}

static int begin(struct wire_decoder *d, const char *line, size_t len)
{
    struct wire_shrink *s = &d->shrink;

    s->line = line;
    s->p = line;
    s->end = line + len;
    skip_space(s);
    if (at(s, '{'))
        return open_object(d, 0);
    s->p = s->end; /* not an object: what the whole line is makes no difference */
    s->place = SHRINK_AT_END;
    return buf_add_str(&d->short_line, "[]");
}

/* The clock is looked at after so many bytes: members may be very many, and short. */
int wire_request_shrink(struct wire_decoder *d, const char *line, size_t len, struct slice *share)
{
    struct wire_shrink *s = &d->shrink;
    const char *looked;
    int rc = 0;

    if (s->line == NULL)
        rc = begin(d, line, len);
    rid_assert(s->line == line);
    looked = s->p;
    while (rc == 0 && s->place != SHRINK_AT_END) {
        rc = take_one(d, share);
        if (rc == 0 && share != NULL && (size_t)(s->p - looked) >= d->look_bytes) {
            if (slice_look(share))
                return WIRE_REQUEST_MORE;
            looked = s->p;
        }
    }
    return rc == 0 ? check_end(d) : rc;
}
