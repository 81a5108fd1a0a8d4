/* A walk over jansson's tree that writes the compact text, which is canonical but for the order of
 * members. */
#include "wire/value.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/err.h"
#include "wire/json_scan_int.h"
#include "wire/value_int.h"

#include "base/banned.h"

/* ---- strings ---- */

/* U+FFFD stands for each byte that is not UTF-8: what we print is always JSON. */
#define REPLACEMENT "\xef\xbf\xbd"

/* Where the next byte is that cannot be copied as it is. */
static const char *plain_end(const char *p, const char *end)
{
    while (p != end) {
        unsigned char c = (unsigned char)*p;
        size_t n = 1;

        if (c < 0x20 || c == '"' || c == '\\')
            break;
        if (c >= 0x80) {
            n = json_utf8_len(p, end);
            if (n == 0)
                break;
        }
        p += n;
    }
    return p;
}

size_t value_escape(unsigned char c, char ret[8])
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[][2] = {{'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'},
                                      {'\t', 't'}, {'"', '"'},  {'\\', '\\'}};

    if (c >= 0x80) {
        memcpy(ret, REPLACEMENT, 3);
        return 3;
    }
    ret[0] = '\\';
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (c == (unsigned char)letters[i][0]) {
            ret[1] = letters[i][1];
            return 2;
        }
    }
    memcpy(ret + 1, "u00", 3);
    ret[4] = hex[c >> 4];
    ret[5] = hex[c & 15];
    return 6;
}

int wire_string_encode(const char *s, size_t len, struct buf *buf)
{
    const char *end = s + len;
    size_t start = buf->len;
    char text[8];
    int rc = buf_add_u8(buf, '"');

    while (rc == 0) {
        const char *plain = plain_end(s, end);

        rc = buf_add(buf, s, (size_t)(plain - s));
        s = plain;
        if (rc != 0 || s == end)
            break;
        rc = buf_add(buf, text, value_escape((unsigned char)*s, text));
        s++;
    }
    if (rc == 0)
        rc = buf_add_u8(buf, '"');
    if (rc != 0) {
        buf->len = start;
        return err_origin(rc);
    }
    return 0;
}

/* ---- reals ---- */

/* "d.ddde-xx" to digits. Whatever stands for the point in this locale is skipped. */
static void decimal_parse(const char *text, struct decimal *d)
{
    const char *p = text;

    d->n = 0;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && d->n < REAL_DIGITS_MAX)
            d->digits[d->n++] = *p;
    d->point = (int)strtol(p + 1, NULL, 10) + 1;
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

/* Next to a power of two the doubles below are twice as dense as those above, and the shortest text
 * may be the second nearest of its length: the one above. Changes text in place; false when it is
 * of no use. */
static bool real_next_above(char *text, double v)
{
    int exponent;
    char *p = strchr(text, 'e');

    if (frexp(v, &exponent) != 0.5 || p == NULL)
        return false;
    if (p[-1] < '0' || p[-1] >= '9') /* a carry would give fewer digits, which were tried before */
        return false;
    p[-1]++;
    return strtod(text, NULL) == v;
}

/* v > 0. Fifteen digits are enough to print any decimal of up to fifteen digits back as it was, so
 * fewer need not be tried; but below DBL_MIN that does not hold. */
static void real_shortest(double v, struct decimal *ret)
{
    char text[48];
    int n = v < DBL_MIN ? 1 : 15;

    for (;; n++) {
        (void)snprintf(text, sizeof(text), "%.*e", n - 1, v);
        if (n == REAL_DIGITS_MAX || strtod(text, NULL) == v)
            break;
        if (n == REAL_DIGITS_MAX - 1 && real_next_above(text, v))
            break;
    }
    decimal_parse(text, ret);
}

/* Appends n bytes, or zeros where text is NULL. */
static char *write_run(char *p, const char *text, int n)
{
    if (n <= 0)
        return p;
    if (text != NULL)
        memcpy(p, text, (size_t)n);
    else
        memset(p, '0', (size_t)n);
    return p + n;
}

int value_decimal_encode(bool negative, const struct decimal *decimal, struct buf *buf)
{
    const struct decimal d = *decimal;
    char text[48];
    char *p = text;

    if (negative)
        *p++ = '-';
    if (d.point > 16 || d.point < -3) { /* d.ddde22 */
        p = write_run(p, d.digits, 1);
        if (d.n > 1)
            *p++ = '.';
        p = write_run(p, d.digits + 1, d.n - 1);
        p += snprintf(p, 8, "e%d", d.point - 1);
    } else if (d.point <= 0) { /* 0.000ddd */
        p = write_run(p, "0.", 2);
        p = write_run(p, NULL, -d.point);
        p = write_run(p, d.digits, d.n);
    } else { /* ddd.ddd, ddd000.0 */
        int n_whole = d.n < d.point ? d.n : d.point;

        p = write_run(p, d.digits, n_whole);
        p = write_run(p, NULL, d.point - n_whole);
        *p++ = '.';
        p = n_whole < d.n ? write_run(p, d.digits + n_whole, d.n - n_whole) : write_run(p, "0", 1);
    }
    return buf_add(buf, text, (size_t)(p - text));
}

/* In the fewest digits that are read back as this very double (WIRE-4). */
int value_real_encode(double v, struct buf *buf)
{
    struct decimal d = {.digits = "0", .n = 1, .point = 1};

    if (!isfinite(v))
        return err_origin(-EINVAL); /* jansson makes none */
    if (v != 0)
        real_shortest(fabs(v), &d);
    return value_decimal_encode(signbit(v) != 0, &d, buf);
}

/* ---- values ---- */

struct encoder {
    struct buf *buf;
    size_t start;
    unsigned n_keys;
};

static int encode_any(struct encoder *e, const json_t *v, unsigned depth);

static int encode_object(struct encoder *e, const json_t *v, unsigned depth)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): jansson's iterators are not const */
    json_t *object = (json_t *)(uintptr_t)v; /* jansson's iterators are not const */
    int rc = buf_add_u8(e->buf, '{');

    e->n_keys += (unsigned)json_object_size(v);
    if (e->n_keys > JSON_VALUE_KEYS_MAX)
        return WIRE_VALUE_E_KEYS;
    for (void *it = json_object_iter(object); rc == 0 && it != NULL;) {
        const char *name = json_object_iter_key(it);

        rc = wire_string_encode(name, strlen(name), e->buf);
        if (rc == 0)
            rc = buf_add_u8(e->buf, ':');
        if (rc == 0)
            rc = encode_any(e, json_object_iter_value(it), depth);
        it = json_object_iter_next(object, it);
        if (rc == 0 && it != NULL)
            rc = buf_add_u8(e->buf, ',');
    }
    return rc != 0 ? rc : buf_add_u8(e->buf, '}');
}

static int encode_array(struct encoder *e, const json_t *v, unsigned depth)
{
    size_t n = json_array_size(v);
    int rc = buf_add_u8(e->buf, '[');

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i > 0)
            rc = buf_add_u8(e->buf, ',');
        if (rc == 0)
            rc = encode_any(e, json_array_get(v, i), depth);
    }
    return rc != 0 ? rc : buf_add_u8(e->buf, ']');
}

static int encode_integer(struct encoder *e, const json_t *v)
{
    return buf_add_format(e->buf, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
}

static int encode_scalar(struct encoder *e, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return wire_string_encode(json_string_value(v), json_string_length(v), e->buf);
    case JSON_INTEGER:
        return encode_integer(e, v);
    case JSON_REAL:
        return value_real_encode(json_real_value(v), e->buf);
    case JSON_TRUE:
        return buf_add_str(e->buf, "true");
    case JSON_FALSE:
        return buf_add_str(e->buf, "false");
    case JSON_NULL:
        return buf_add_str(e->buf, "null");
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return err_origin(-EINVAL);
}

static int encode_any(struct encoder *e, const json_t *v, unsigned depth)
{
    int rc;

    if (json_is_object(v) || json_is_array(v)) {
        if (depth == 0)
            return WIRE_VALUE_E_DEPTH;
        rc = json_is_object(v) ? encode_object(e, v, depth - 1) : encode_array(e, v, depth - 1);
    } else {
        rc = encode_scalar(e, v);
    }
    if (rc == 0 && e->buf->len - e->start > VALUE_BYTES_MAX)
        return WIRE_VALUE_E_TOO_LARGE;
    return rc;
}

int wire_value_encode(const json_t *v, struct buf *buf)
{
    struct encoder e = {.buf = buf, .start = buf->len};
    int rc = encode_any(&e, v, JSON_DEPTH_MAX);

    if (rc != 0)
        buf->len = e.start;
    return rc < 0 ? err_trace(rc) : rc;
}

const char *wire_value_error_text(int error)
{
    switch (error) {
    case 0:
        return "done";
        WIRE_VALUE_ERRORS(OUTCOME_CASE)
    default:
        return "unknown outcome";
    }
}
