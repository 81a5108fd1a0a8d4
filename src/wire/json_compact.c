/* A recursive descent that writes while it reads. Numbers of up to fifteen digits need no
 * arithmetic: each of them is the shortest text of its own double, whatever its exponent, as
 * long as that is normal; so only their form is brought into order. The few that are longer go
 * through jansson. */
#include "wire/json_compact_int.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#include "base/limits.h"
#include "wire/json_names_int.h"
#include "wire/json_scan_int.h"
#include "wire/value_int.h"

#include "base/banned.h"

/* DBL_DIG; and exponents within which all of them are normal numbers. */
#define EXACT_DIGITS_MAX 15
#define EXACT_POINT_MAX  290

struct compact {
    const char *p;
    const char *end;
    struct buf *out;
    bool keep;
    unsigned n_keys;  /* of all objects so far */
    unsigned n_names; /* of those objects that are open */
    /* places in out, which takes the text of one line: far from 4 GiB */
    struct json_name names[JSON_VALUE_KEYS_MAX];
};

static void skip_space(struct compact *c)
{
    while (c->p != c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n'))
        c->p++;
}

static bool at(const struct compact *c, char what)
{
    return c->p != c->end && *c->p == what;
}

static bool skip(struct compact *c, char what)
{
    if (!at(c, what))
        return false;
    c->p++;
    return true;
}

static int put(struct compact *c, const char *text, size_t len)
{
    return c->keep ? buf_add(c->out, text, len) : 0;
}

static int put_byte(struct compact *c, char byte)
{
    struct buf *out = c->out;

    if (!c->keep)
        return 0;
    if (out->len + 1 >= out->size)
        return buf_add_u8(out, (uint8_t)byte);
    out->data[out->len++] = (unsigned char)byte;
    return 0;
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1: none. */
static int hex4(struct compact *c)
{
    int v = 0;

    if (c->end - c->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char h = *c->p++;

        if (h >= '0' && h <= '9')
            v = v * 16 + (h - '0');
        else if ((h | 0x20) >= 'a' && (h | 0x20) <= 'f')
            v = v * 16 + ((h | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static int put_char(struct compact *c, unsigned code)
{
    char text[8];
    size_t n = 0;

    if (code < 0x20 || code == '"' || code == '\\') {
        n = value_escape((unsigned char)code, text);
    } else if (code < 0x80) {
        text[n++] = (char)code;
    } else if (code < 0x800) {
        text[n++] = (char)(0xc0 | code >> 6);
        text[n++] = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        text[n++] = (char)(0xe0 | code >> 12);
        text[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        text[n++] = (char)(0x80 | (code & 0x3f));
    } else {
        text[n++] = (char)(0xf0 | code >> 18);
        text[n++] = (char)(0x80 | (code >> 12 & 0x3f));
        text[n++] = (char)(0x80 | (code >> 6 & 0x3f));
        text[n++] = (char)(0x80 | (code & 0x3f));
    }
    return put(c, text, n);
}

/* Behind "\u". */
static int take_unicode(struct compact *c)
{
    int high = hex4(c);
    int low;

    if (high < 0)
        return JSON_COMPACT_E_SYNTAX;
    if (high == 0)
        return JSON_COMPACT_E_NUL;
    if (high < 0xd800 || high > 0xdfff)
        return put_char(c, (unsigned)high);
    if (high > 0xdbff || !skip(c, '\\') || !skip(c, 'u'))
        return JSON_COMPACT_E_SURROGATE;
    low = hex4(c);
    if (low < 0xdc00 || low > 0xdfff)
        return JSON_COMPACT_E_SURROGATE;
    return put_char(c, 0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00));
}

/* Behind the backslash. */
static int take_escape(struct compact *c)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char chars[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (skip(c, 'u'))
        return take_unicode(c);
    if (c->p == c->end || *c->p == '\0')
        return JSON_COMPACT_E_SYNTAX;
    letter = strchr(letters, *c->p);
    if (letter == NULL)
        return JSON_COMPACT_E_SYNTAX;
    c->p++;
    return put_char(c, (unsigned char)chars[letter - letters]);
}

/* Up to the next byte that cannot be copied as it is. */
static int take_run(struct compact *c)
{
    const char *from = c->p;

    while (c->p != c->end) {
        unsigned char byte = (unsigned char)*c->p;
        size_t n = 1;

        if (byte < 0x20 || byte == '"' || byte == '\\')
            break;
        if (byte >= 0x80) {
            n = json_utf8_len(c->p, c->end);
            if (n == 0)
                return JSON_COMPACT_E_UTF8;
        }
        c->p += n;
    }
    return put(c, from, (size_t)(c->p - from));
}

static int take_string(struct compact *c)
{
    int rc = skip(c, '"') ? put_byte(c, '"') : JSON_COMPACT_E_SYNTAX;

    while (rc == 0) {
        rc = take_run(c);
        if (rc == 0 && skip(c, '"'))
            return put_byte(c, '"');
        if (rc == 0)
            rc = skip(c, '\\') ? take_escape(c) : JSON_COMPACT_E_SYNTAX;
    }
    return rc;
}

/* ---- numbers ---- */

struct number {
    const char *text;
    struct decimal d;
    int n_digits; /* significant ones */
    int n_zeros;  /* at the end of those, not yet in d */
    bool negative;
    bool real;
};

static bool is_digit(const struct compact *c)
{
    return c->p != c->end && *c->p >= '0' && *c->p <= '9';
}

static void add_digit(struct number *n, char digit)
{
    if (digit == '0') {
        n->n_zeros += n->n_digits > 0;
        return;
    }
    for (; n->n_zeros > 0; n->n_zeros--)
        if (n->n_digits++ < REAL_DIGITS_MAX)
            n->d.digits[n->d.n++] = '0';
    if (n->n_digits++ < REAL_DIGITS_MAX)
        n->d.digits[n->d.n++] = digit;
}

/* point counts the digits in front of it, and falls with zeros behind it. */
static int scan_digits(struct compact *c, struct number *n, bool fraction)
{
    if (!is_digit(c))
        return JSON_COMPACT_E_SYNTAX;
    for (; is_digit(c); c->p++) {
        const bool leads = n->n_digits == 0 && *c->p == '0';

        if (fraction)
            n->d.point -= leads;
        else
            n->d.point += !leads;
        add_digit(n, *c->p);
    }
    return 0;
}

static int scan_exponent(struct compact *c, struct number *n)
{
    const bool negative = at(c, '-');
    int v = 0;

    c->p += negative || at(c, '+');
    if (!is_digit(c))
        return JSON_COMPACT_E_SYNTAX;
    /* Far beyond what the zeros of a whole line can bring back into range. */
    for (; is_digit(c); c->p++)
        if (v < INT_MAX / 20)
            v = v * 10 + (*c->p - '0');
    n->d.point += negative ? -v : v;
    return 0;
}

static int scan_number(struct compact *c, struct number *n)
{
    int rc = 0;

    n->text = c->p;
    n->negative = skip(c, '-');
    if (!skip(c, '0'))
        rc = scan_digits(c, n, false);
    else if (is_digit(c))
        rc = JSON_COMPACT_E_SYNTAX;
    if (rc == 0 && skip(c, '.')) {
        n->real = true;
        rc = scan_digits(c, n, true);
    }
    if (rc == 0 && c->p != c->end && (*c->p == 'e' || *c->p == 'E')) {
        n->real = true;
        c->p++;
        rc = scan_exponent(c, n);
    }
    return rc;
}

static bool is_exact(const struct number *n)
{
    return n->n_digits <= EXACT_DIGITS_MAX && n->d.point >= -EXACT_POINT_MAX &&
           n->d.point <= EXACT_POINT_MAX;
}

static int put_real(struct compact *c, struct number *n)
{
    json_t *v;
    int rc;

    if (n->n_digits == 0)
        n->d = (struct decimal){.digits = "0", .n = 1, .point = 1};
    if (n->n_digits == 0 || is_exact(n))
        return c->keep ? value_decimal_encode(n->negative, &n->d, c->out) : 0;
    v = json_loadb(n->text, (size_t)(c->p - n->text), JSON_DECODE_ANY, NULL);
    if (v == NULL)
        return JSON_COMPACT_E_RANGE;
    rc = c->keep ? value_real_encode(json_real_value(v), c->out) : 0;
    json_decref(v);
    return rc;
}

/* As many digits as its text has: nothing leads. */
static int put_integer(struct compact *c, const struct number *n)
{
    const char *digits = n->text + n->negative;
    const uint64_t most = (uint64_t)INT64_MAX + n->negative;
    uint64_t v = 0;

    if (c->p - digits >= 19) {
        for (const char *p = digits; p != c->p; p++)
            if (__builtin_mul_overflow(v, 10, &v) ||
                __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v) || v > most)
                return JSON_COMPACT_E_RANGE;
    }
    if (n->negative && n->n_digits == 0)
        return put(c, "0", 1);
    return put(c, n->text, (size_t)(c->p - n->text));
}

/* Most numbers are short integers, of which a line holds hundreds of thousands. False: it is none,
 * or doubtful. */
static bool take_short_integer(struct compact *c)
{
    const char *p = c->p;
    const char *from = p;

    while (p != c->end && *p >= '0' && *p <= '9')
        p++;
    if (p == from || p - from > 18 || (*from == '0' && p - from > 1) || p == c->end || *p == '.' ||
        *p == 'e' || *p == 'E')
        return false;
    if (put(c, from, (size_t)(p - from)) != 0)
        return false;
    c->p = p;
    return true;
}

static int take_number(struct compact *c)
{
    struct number n;
    int rc;

    if (take_short_integer(c))
        return 0;
    memset(&n, 0, sizeof(n));
    rc = scan_number(c, &n);

    if (rc != 0)
        return rc;
    return n.real ? put_real(c, &n) : put_integer(c, &n);
}

/* ---- values ---- */

static int take_word(struct compact *c)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i]);

        if ((size_t)(c->end - c->p) >= n && memcmp(c->p, words[i], n) == 0) {
            c->p += n;
            return put(c, words[i], n);
        }
    }
    return JSON_COMPACT_E_SYNTAX;
}

static int take_value(struct compact *c);

static int take_array(struct compact *c)
{
    int rc = put_byte(c, '[');

    c->p++;
    skip_space(c);
    if (rc == 0 && skip(c, ']'))
        return put_byte(c, ']');
    while (rc == 0) {
        rc = take_value(c);
        skip_space(c);
        if (rc == 0 && skip(c, ']'))
            return put_byte(c, ']');
        if (rc == 0)
            rc = skip(c, ',') ? put_byte(c, ',') : JSON_COMPACT_E_SYNTAX;
    }
    return rc;
}

/* The name goes into out in any case. */
static int take_name(struct compact *c)
{
    const bool keep = c->keep;
    const size_t before = c->out->len;
    int rc;

    skip_space(c);
    c->keep = true;
    rc = take_string(c);
    c->keep = keep;
    if (rc != 0)
        return rc;
    if (c->n_keys++ < JSON_VALUE_KEYS_MAX)
        c->names[c->n_names++] =
            (struct json_name){.at = (uint32_t)before, .len = (uint32_t)(c->out->len - before)};
    else if (!keep)
        c->out->len = before;
    skip_space(c);
    return skip(c, ':') ? put_byte(c, ':') : JSON_COMPACT_E_SYNTAX;
}

static int take_object(struct compact *c)
{
    const unsigned before = c->n_names;
    int rc = put_byte(c, '{');

    c->p++;
    skip_space(c);
    if (rc == 0 && skip(c, '}'))
        return put_byte(c, '}');
    while (rc == 0) {
        rc = take_name(c);
        if (rc == 0)
            rc = take_value(c);
        skip_space(c);
        if (rc == 0 && skip(c, '}'))
            break;
        if (rc == 0)
            rc = skip(c, ',') ? put_byte(c, ',') : JSON_COMPACT_E_SYNTAX;
    }
    if (rc == 0 &&
        !json_names_sort((const char *)c->out->data, &c->names[before], c->n_names - before))
        rc = JSON_COMPACT_E_TWICE;
    c->n_names = before;
    return rc != 0 ? rc : put_byte(c, '}');
}

/* NOLINTNEXTLINE(misc-no-recursion): the depth was bounded before */
static int take_value(struct compact *c)
{
    skip_space(c);
    if (c->p == c->end)
        return JSON_COMPACT_E_SYNTAX;
    switch (*c->p) {
    case '{':
        return take_object(c);
    case '[':
        return take_array(c);
    case '"':
        return take_string(c);
    case 't':
    case 'f':
    case 'n':
        return take_word(c);
    default:
        return take_number(c);
    }
}

int json_compact(const char *p, const char *end, bool keep, struct buf *out, const char **ret_end)
{
    struct compact c; /* its names are not cleared */
    int rc;

    c.p = p;
    c.end = end;
    c.out = out;
    c.keep = keep;
    c.n_keys = 0;
    c.n_names = 0;
    rc = take_value(&c);
    *ret_end = c.p;
    return rc == 0 && c.n_keys > JSON_VALUE_KEYS_MAX ? JSON_COMPACT_E_KEYS : rc;
}

const char *json_compact_error_text(int error)
{
    switch (error) {
    case 0:
        return "done";
        JSON_COMPACT_ERRORS(OUTCOME_CASE)
    default:
        return "unknown outcome";
    }
}
