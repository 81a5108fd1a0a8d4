/* Equality of two compact texts, each byte looked at a fixed number of times however it is nested:
 * one walk over each text notes where its objects and their members are, and sorts the members of
 * each object once; one walk over both compares. So a cas costs what its bytes cost, and needs
 * neither a parser nor memory: it decides the same on every node, also on one that is out of
 * memory (TIME-4).
 *
 * Compact text is canonical but for the order of members, so that all but objects and arrays are
 * equal when their texts are. */
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/json_names_int.h"
#include "wire/json_scan_int.h"
#include "wire/value.h"

#include "base/banned.h"

/* One that has members. Places are offsets into the text. */
struct object {
    uint32_t start;
    uint32_t end;   /* behind the brace */
    uint32_t first; /* its members, sorted by name */
    uint32_t n;
};

/* Members of finished objects from the front, those of objects that are still open from the back:
 * inner objects end first, so that the members of each lie together. */
struct index {
    const char *text;
    const char *end;
    unsigned n_objects; /* by start */
    unsigned n_members;
    unsigned open; /* the first of those at the back */
    struct object objects[JSON_VALUE_KEYS_MAX];
    struct json_name members[JSON_VALUE_KEYS_MAX];
};

/* ---- the walk over one text ---- */

static const char *index_value(struct index *x, const char *p, unsigned depth);

static bool member_add(struct index *x, const char *name, const char *name_end, const char *value)
{
    if (x->n_members >= x->open)
        return false; /* more than a value may have */
    x->members[--x->open] = (struct json_name){.at = (uint32_t)(name - x->text),
                                               .len = (uint32_t)(name_end - name),
                                               .value = (uint32_t)(value - x->text)};
    return true;
}

/* All its members are open ones up to `before`: sorted, and moved to the finished. False: a name
 * stands twice. */
static bool object_end(struct index *x, struct object *o, unsigned before, const char *end)
{
    struct json_name *v = &x->members[x->open];

    o->end = (uint32_t)(end - x->text);
    o->first = x->n_members;
    o->n = before - x->open;
    if (!json_names_sort(x->text, v, o->n))
        return false;
    memmove(&x->members[o->first], v, o->n * sizeof(*v));
    x->n_members += o->n;
    x->open = before;
    return true;
}

/* p is at the brace of an object that is not empty. NULL: no object, or beyond a bound. */
static const char *index_object(struct index *x, const char *p, unsigned depth)
{
    const unsigned before = x->open;
    struct object *o;

    if (x->n_objects == JSON_VALUE_KEYS_MAX)
        return NULL;
    o = &x->objects[x->n_objects++];
    o->start = (uint32_t)(p - x->text);
    do {
        const char *name = p + 1;
        const char *name_end = json_scan_string(name, x->end);
        const char *value = name_end != NULL ? name_end + 1 : NULL;

        if (name_end == NULL || name_end == x->end || *name_end != ':')
            return NULL;
        p = index_value(x, value, depth);
        if (p == NULL || p == x->end || !member_add(x, name, name_end, value))
            return NULL;
    } while (*p == ',');
    return *p == '}' && object_end(x, o, before, p + 1) ? p + 1 : NULL;
}

static const char *index_array(struct index *x, const char *p, unsigned depth)
{
    do {
        p = index_value(x, p + 1, depth);
        if (p == NULL || p == x->end)
            return NULL;
    } while (*p == ',');
    return *p == ']' ? p + 1 : NULL;
}

/* Behind the value at p. */
static const char *index_value(struct index *x, const char *p, unsigned depth)
{
    const bool is_object = p != x->end && *p == '{';

    if (!is_object && (p == x->end || *p != '['))
        return json_scan_value(p, x->end, 0);
    if (depth == 0)
        return NULL;
    if (x->end - p >= 2 && p[1] == (is_object ? '}' : ']'))
        return p + 2;
    return is_object ? index_object(x, p, depth - 1) : index_array(x, p, depth - 1);
}

/* False: it is no value, or one beyond the bounds of values. */
static bool index_text(struct index *x, struct wire_slice s)
{
    x->text = s.data;
    x->end = s.data + s.len;
    x->n_objects = 0;
    x->n_members = 0;
    x->open = JSON_VALUE_KEYS_MAX;
    return index_value(x, x->text, JSON_DEPTH_MAX) == x->end;
}

/* ---- the walk over both, which are values ---- */

struct walk {
    const struct index *x;
    const char *p; /* where it is */
};

static const struct object *object_at(const struct walk *w)
{
    const uint32_t start = (uint32_t)(w->p - w->x->text);
    unsigned from = 0;
    unsigned to = w->x->n_objects;

    while (to - from > 1) {
        unsigned middle = from + (to - from) / 2;

        if (w->x->objects[middle].start <= start)
            from = middle;
        else
            to = middle;
    }
    rid_assert(from < to);
    rid_assert(w->x->objects[from].start == start);
    return &w->x->objects[from];
}

static bool same_value(struct walk *a, struct walk *b);

static bool same_members(struct walk *a, struct walk *b)
{
    const struct object *o = object_at(a);
    const struct object *q = object_at(b);

    if (o->n != q->n)
        return false;
    for (unsigned i = 0; i < o->n; i++) {
        const struct json_name *m = &a->x->members[o->first + i];
        const struct json_name *k = &b->x->members[q->first + i];

        a->p = a->x->text + m->value;
        b->p = b->x->text + k->value;
        if (json_name_order(a->x->text, m, b->x->text, k) != 0 || !same_value(a, b))
            return false;
    }
    a->p = a->x->text + o->end;
    b->p = b->x->text + q->end;
    return true;
}

static bool same_elements(struct walk *a, struct walk *b)
{
    do {
        a->p++;
        b->p++;
        if (!same_value(a, b))
            return false;
    } while (*a->p == ',' && *b->p == ',');
    return *a->p++ == *b->p++;
}

/* Behind a number or a word. */
static const char *token_end(const struct walk *w)
{
    const char *p = w->p;

    while (p != w->x->end && *p != ',' && *p != ']' && *p != '}')
        p++;
    return p;
}

/* 0.0 and -0.0 are the one pair of equal numbers with different texts. */
static bool is_zero_real(const char *p, size_t len)
{
    return (len == 3 && memcmp(p, "0.0", 3) == 0) || (len == 4 && memcmp(p, "-0.0", 4) == 0);
}

static bool same_token(struct walk *a, struct walk *b)
{
    const char *p = a->p;
    const char *q = b->p;
    size_t n = (size_t)(token_end(a) - p);
    size_t m = (size_t)(token_end(b) - q);

    a->p += n;
    b->p += m;
    return (n == m && memcmp(p, q, n) == 0) || (is_zero_real(p, n) && is_zero_real(q, m));
}

static bool same_string(struct walk *a, struct walk *b)
{
    const char *p = a->p;
    const char *q = b->p;

    /* Both end, and an escape is two bytes that are compared together: neither runs past its end
     * without the other. */
    do {
        if (*p == '\\') {
            if (p[1] != q[1])
                return false;
            p++;
            q++;
        }
        p++;
        q++;
        if (*p != *q)
            return false;
    } while (*p != '"');
    a->p = p + 1;
    b->p = q + 1;
    return true;
}

static bool same_value(struct walk *a, struct walk *b)
{
    const char first = *a->p;

    if (first == '{' || first == '[' || first == '"') {
        if (*b->p != first)
            return false;
        if (first == '"')
            return same_string(a, b);
        if (a->p[1] == first + 2 || b->p[1] == first + 2) { /* the bracket that closes it */
            bool both = a->p[1] == b->p[1];

            a->p += 2;
            b->p += 2;
            return both;
        }
        return first == '{' ? same_members(a, b) : same_elements(a, b);
    }
    return same_token(a, b);
}

/* Equal values have texts of one length, but for each -0.0 that is a 0.0 in the other, which is one
 * byte of five. */
static bool lengths_agree(size_t a, size_t b)
{
    size_t longer = a > b ? a : b;
    size_t shorter = a > b ? b : a;

    return (longer - shorter) * 4 <= shorter + 4;
}

/* Apart from what needs no walk: the compiler clears an index, of some KiB, where it stands. */
static bool walk_both(struct wire_slice a, struct wire_slice b)
{
    struct index x;
    struct index y;

    if (!index_text(&x, a) || !index_text(&y, b))
        return false;
    return same_value(&(struct walk){&x, x.text}, &(struct walk){&y, y.text});
}

bool wire_value_equal(struct wire_slice a, struct wire_slice b)
{
    if (a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0))
        return true;
    return a.len != 0 && b.len != 0 && lengths_agree(a.len, b.len) && a.len <= UINT32_MAX &&
           walk_both(a, b);
}
