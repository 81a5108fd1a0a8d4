/* A walk that writes while it reads, with the levels that are open in a list instead of on the
 * stack, so that it can stop between any two steps and go on later. Numbers of up to fifteen digits
 * need no arithmetic: each of them is the shortest text of its own double, whatever its exponent,
 * as long as that is normal; so only their form is brought into order. The few that are longer go
 * through strtod() and back. */
#include "wire/json_compact_int.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/json_names_int.h"
#include "wire/json_scan_int.h"
#include "wire/value_int.h"

#include "base/banned.h"

/* DBL_DIG; and exponents within which all of them are normal numbers. */
#define EXACT_DIGITS_MAX 15
#define EXACT_POINT_MAX  290
/* A number that lies just between two doubles has at most 767 digits; with so many, and one behind
 * them that stands for all others, no other is rounded otherwise. */
#define ROUNDING_DIGITS 768

static void skip_space(struct json_compact *c)
{
    while (c->p != c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n'))
        c->p++;
}

static bool at(const struct json_compact *c, char what)
{
    return c->p != c->end && *c->p == what;
}

static bool skip(struct json_compact *c, char what)
{
    if (!at(c, what))
        return false;
    c->p++;
    return true;
}

static int put(struct json_compact *c, const char *text, size_t len)
{
    return c->keeping ? buf_add(c->out, text, len) : 0;
}

static int put_byte(struct json_compact *c, char byte)
{
    struct buf *out = c->out;

    if (!c->keeping)
        return 0;
    if (out->len + 1 >= out->size)
        return buf_add_u8(out, (uint8_t)byte);
    out->data[out->len++] = (unsigned char)byte;
    return 0;
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1: none. */
static int hex4(struct json_compact *c)
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

static int put_char(struct json_compact *c, unsigned code)
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
static int take_unicode(struct json_compact *c)
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
static int take_escape(struct json_compact *c)
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

/* Up to the next byte that cannot be copied as it is, or to where the clock is looked at. */
static int take_run(struct json_compact *c)
{
    const char *from = c->p;
    const char *p = from;
    const char *stop = c->look;
    size_t n = 1;

    while (p < stop) {
        const unsigned char byte = (unsigned char)*p;

        if (byte < 0x20 || byte == '"' || byte == '\\')
            break;
        n = byte < 0x80 ? 1 : json_utf8_len(p, c->end);
        if (n == 0)
            break;
        p += n;
    }
    c->p = p;
    return n == 0 ? JSON_COMPACT_E_UTF8 : put(c, from, (size_t)(p - from));
}

/* Behind its opening quote, or anywhere in it between two characters. MORE: not at its end yet. */
static int take_string(struct json_compact *c)
{
    int rc = 0;

    while (rc == 0) {
        rc = take_run(c);
        if (rc == 0 && skip(c, '"'))
            return put_byte(c, '"');
        if (rc == 0 && c->p >= c->look && c->p != c->end)
            return JSON_COMPACT_MORE;
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

static bool is_digit(const struct json_compact *c)
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

/* Of those that make no difference to a number that is not exact any more, how many there are. */
static void skip_digits(struct json_compact *c, struct number *n, bool fraction)
{
    const char *p = c->p;

    while (p != c->end && *p >= '0' && *p <= '9')
        p++;
    if (!fraction)
        n->d.point += (int)(p - c->p);
    c->p = p;
}

/* point counts the digits in front of it, and falls with zeros behind it. */
static int scan_digits(struct json_compact *c, struct number *n, bool fraction)
{
    if (!is_digit(c))
        return JSON_COMPACT_E_SYNTAX;
    for (; is_digit(c) && n->n_digits <= EXACT_DIGITS_MAX; c->p++) {
        const bool leads = n->n_digits == 0 && *c->p == '0';

        if (fraction)
            n->d.point -= leads;
        else
            n->d.point += !leads;
        add_digit(n, *c->p);
    }
    skip_digits(c, n, fraction);
    return 0;
}

static int scan_exponent(struct json_compact *c, struct number *n)
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

static int scan_number(struct json_compact *c, struct number *n)
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

/* Its digits without the point, which is another character in some locales, and no more of them
 * than decide how it is rounded: strtod() looks at a megabyte of them for many milliseconds. */
static double real_of(const struct json_compact *c, const struct number *n)
{
    char text[ROUNDING_DIGITS + 32];
    bool more = false;
    int len = 0;

    for (const char *p = n->text; p != c->p && *p != 'e' && *p != 'E'; p++) {
        if (*p < '0' || *p > '9' || (len == 0 && *p == '0'))
            continue;
        if (len < ROUNDING_DIGITS)
            text[len++] = *p;
        else
            more = more || *p != '0';
    }
    if (more)
        text[len++] = '1';
    (void)snprintf(text + len, sizeof(text) - (size_t)len, "e%d", n->d.point - len);
    return n->negative ? -strtod(text, NULL) : strtod(text, NULL);
}

/* What is not exact takes a microsecond: the clock is looked at behind each. */
static int put_real(struct json_compact *c, struct number *n)
{
    double v;

    if (n->n_digits == 0)
        n->d = (struct decimal){.digits = "0", .n = 1, .point = 1};
    if (n->n_digits == 0 || is_exact(n))
        return c->keeping ? value_decimal_encode(n->negative, &n->d, c->out) : 0;
    c->look = c->p;
    v = real_of(c, n);
    if (isinf(v))
        return JSON_COMPACT_E_RANGE;
    return c->keeping ? value_real_encode(v, c->out) : 0;
}

/* As many digits as its text has: nothing leads. */
static int put_integer(struct json_compact *c, const struct number *n)
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
static bool take_short_integer(struct json_compact *c)
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

static int take_number(struct json_compact *c)
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

static int take_word(struct json_compact *c)
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

/* The name goes into out in any case. */
static int begin_name(struct json_compact *c)
{
    struct json_level *level = &c->levels[c->depth - 1];

    skip_space(c);
    level->name_at = c->out->len;
    c->keeping = true;
    c->place = JSON_AT_NAME;
    return skip(c, '"') ? put_byte(c, '"') : JSON_COMPACT_E_SYNTAX;
}

static int end_name(struct json_compact *c)
{
    const size_t before = c->levels[c->depth - 1].name_at;

    c->keeping = c->keep;
    if (c->n_keys++ < JSON_VALUE_KEYS_MAX)
        c->names[c->n_names++] =
            (struct json_name){.at = (uint32_t)before, .len = (uint32_t)(c->out->len - before)};
    else if (!c->keep)
        c->out->len = before;
    skip_space(c);
    c->place = JSON_AT_VALUE;
    return skip(c, ':') ? put_byte(c, ':') : JSON_COMPACT_E_SYNTAX;
}

/* Where the walk goes on behind a value: in what is open around it, or nowhere. */
static void end_value(struct json_compact *c)
{
    c->place = c->depth > 0 ? JSON_AT_NEXT : JSON_AT_END;
}

static int close_level(struct json_compact *c)
{
    const struct json_level *level = &c->levels[c->depth - 1];
    int rc = 0;

    if (level->close == '}') {
        if (!json_names_sort((const char *)c->out->data, &c->names[level->names_before],
                             c->n_names - level->names_before))
            rc = JSON_COMPACT_E_TWICE;
        c->n_names = level->names_before;
    }
    if (rc == 0)
        rc = put_byte(c, level->close);
    c->depth--;
    end_value(c);
    return rc;
}

/* An array or object at p; the depth was bounded before. */
static int open_level(struct json_compact *c, char close)
{
    int rc = put_byte(c, *c->p);

    rid_assert(c->depth < JSON_DEPTH_MAX);
    c->levels[c->depth++] = (struct json_level){.close = close, .names_before = c->n_names};
    c->p++;
    skip_space(c);
    if (rc == 0 && skip(c, close))
        return close_level(c);
    c->place = JSON_AT_VALUE;
    return rc == 0 && close == '}' ? begin_name(c) : rc;
}

static int take_next(struct json_compact *c)
{
    const char close = c->levels[c->depth - 1].close;
    int rc;

    skip_space(c);
    if (skip(c, close))
        return close_level(c);
    if (!skip(c, ','))
        return JSON_COMPACT_E_SYNTAX;
    rc = put_byte(c, ',');
    c->place = JSON_AT_VALUE;
    return rc == 0 && close == '}' ? begin_name(c) : rc;
}

static int begin_string(struct json_compact *c)
{
    c->p++;
    c->place = JSON_AT_STRING;
    return put_byte(c, '"');
}

/* Scalars are one step, but for strings, which may be as long as the line. */
static int take_value(struct json_compact *c)
{
    int rc;

    skip_space(c);
    if (c->p == c->end)
        return JSON_COMPACT_E_SYNTAX;
    switch (*c->p) {
    case '{':
        return open_level(c, '}');
    case '[':
        return open_level(c, ']');
    case '"':
        return begin_string(c);
    case 't':
    case 'f':
    case 'n':
        rc = take_word(c);
        break;
    default:
        rc = take_number(c);
        break;
    }
    end_value(c);
    return rc;
}

/* ---- the walk ---- */

static int take_rest_of_string(struct json_compact *c)
{
    const bool is_name = c->place == JSON_AT_NAME;
    int rc = take_string(c);

    if (rc != 0)
        return rc;
    if (is_name)
        return end_name(c);
    end_value(c);
    return 0;
}

static int take_one(struct json_compact *c)
{
    switch (c->place) {
    case JSON_AT_VALUE:
        return take_value(c);
    case JSON_AT_NAME:
    case JSON_AT_STRING:
        return take_rest_of_string(c);
    case JSON_AT_NEXT:
        return take_next(c);
    case JSON_AT_END:
        break;
    }
    return 0;
}

void json_compact_begin(struct json_compact *c, const char *p, const char *end, bool keep,
                        struct buf *out)
{
    c->p = p;
    c->end = end;
    c->look = p;
    c->look_bytes = DECODE_LOOK_BYTES;
    c->out = out;
    c->keep = keep;
    c->keeping = keep;
    c->place = JSON_AT_VALUE;
    c->depth = 0;
    c->n_keys = 0;
    c->n_names = 0; /* the names behind them are not cleared */
}

static void look_later(struct json_compact *c)
{
    const size_t left = (size_t)(c->end - c->p);

    c->look = c->p + (left < c->look_bytes ? left : c->look_bytes);
}

/* The clock is looked at after so many bytes, and not after each element: reading it takes longer
 * than most of these do. */
int json_compact_step(struct json_compact *c, struct slice *share)
{
    int rc;

    look_later(c);
    do {
        rc = take_one(c);
        if (rc != 0 && rc != JSON_COMPACT_MORE)
            return rc;
        if (c->p < c->look || c->place == JSON_AT_END)
            continue;
        if (share != NULL && slice_look(share))
            return JSON_COMPACT_MORE;
        look_later(c);
    } while (c->place != JSON_AT_END);
    return c->n_keys > JSON_VALUE_KEYS_MAX ? JSON_COMPACT_E_KEYS : 0;
}

int json_compact(const char *p, const char *end, bool keep, struct buf *out, const char **ret_end)
{
    struct json_compact c;
    int rc;

    json_compact_begin(&c, p, end, keep, out);
    rc = json_compact_step(&c, NULL);
    *ret_end = c.p;
    return rc;
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
