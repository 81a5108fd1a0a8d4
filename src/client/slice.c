/* Pieces of JSON text, byte for byte. A value must come back as the server wrote it: decoding and
 * printing it again would turn 0.1 into 0.10000000000000001. The text was accepted by jansson
 * before it comes here, so that scanning needs to know only strings, brackets and commas; the
 * bounds are checked all the same. */
#include <string.h>

#include "client/client_int.h"

#include "base/banned.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct slice t, size_t at)
{
    while (at < t.len && is_space(t.data[at]))
        at++;
    return at;
}

/* Behind the string that begins at `at`. */
static size_t skip_string(struct slice t, size_t at)
{
    for (at++; at < t.len && t.data[at] != '"'; at++)
        if (t.data[at] == '\\')
            at++;
    return at < t.len ? at + 1 : t.len;
}

/* Behind the value that begins at `at`. */
static size_t skip_value(struct slice t, size_t at)
{
    size_t depth = 0;

    while (at < t.len) {
        char c = t.data[at];

        if (c == '"') {
            at = skip_string(t, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
            continue;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0) { /* a number or a word */
            while (at < t.len && !is_space(t.data[at]) && strchr(",]}", t.data[at]) == NULL)
                at++;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
    return t.len;
}

struct slice slice_member(struct slice object, const char *name)
{
    size_t name_len = strlen(name);
    size_t at = skip_space(object, 0) + 1; /* behind the brace */

    for (;;) {
        size_t name_at = skip_space(object, at);
        size_t value_at;
        size_t end;

        if (name_at >= object.len || object.data[name_at] != '"')
            return (struct slice){NULL, 0};
        end = skip_string(object, name_at);
        value_at = skip_space(object, end);
        value_at = skip_space(object, value_at + 1); /* behind the colon */
        at = skip_value(object, value_at);
        if (value_at > at)
            return (struct slice){NULL, 0};
        if (end - name_at == name_len + 2 && memcmp(object.data + name_at + 1, name, name_len) == 0)
            return (struct slice){object.data + value_at, at - value_at};
        at = skip_space(object, at) + 1; /* behind the comma */
    }
}

struct slice slice_next_element(struct slice array, size_t *cursor)
{
    size_t at = *cursor;
    size_t end;

    if (at == 0)
        at = skip_space(array, 0) + 1; /* behind the bracket */
    at = skip_space(array, at);
    if (at >= array.len || array.data[at] == ']')
        return (struct slice){NULL, 0};
    end = skip_value(array, at);
    *cursor = skip_space(array, end);
    if (*cursor < array.len && array.data[*cursor] == ',')
        (*cursor)++;
    return (struct slice){array.data + at, end - at};
}

int slice_compact(struct slice text, struct buf *buf)
{
    size_t at = 0;

    while (at < text.len) {
        size_t start = at;
        int rc;

        if (is_space(text.data[at])) {
            at++;
            continue;
        }
        if (text.data[at] == '"')
            at = skip_string(text, at);
        else
            while (at < text.len && !is_space(text.data[at]) && text.data[at] != '"')
                at++;
        rc = buf_add(buf, text.data + start, at - start);
        if (rc != 0)
            return rc;
    }
    return 0;
}
