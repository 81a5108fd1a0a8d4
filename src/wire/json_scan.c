/* A recursive descent over the grammar of RFC 8259 that keeps nothing but its place. */
#include "wire/json_scan_int.h"

#include <string.h>

#include "base/banned.h"

static bool continuation(unsigned char c)
{
    return (c & 0xc0u) == 0x80u;
}

size_t json_utf8_len(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return left >= 2 && continuation(s[1]) ? 2 : 0;
    if ((s[0] & 0xf0u) == 0xe0u) {
        if (left < 3 || !continuation(s[1]) || !continuation(s[2]))
            return 0;
        if (s[0] == 0xe0 && s[1] < 0xa0) /* overlong */
            return 0;
        return s[0] == 0xed && s[1] >= 0xa0 ? 0 : 3; /* surrogates */
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (left < 4 || !continuation(s[1]) || !continuation(s[2]) || !continuation(s[3]))
            return 0;
        if (s[0] == 0xf0 && s[1] < 0x90) /* overlong */
            return 0;
        return s[0] == 0xf4 && s[1] >= 0x90 ? 0 : 4; /* above U+10FFFF */
    }
    return 0;
}

/* An escape may end a byte behind len, which is then where the next look begins. */
static void skip_loose_string(struct json_depth *d, const char *s, size_t len)
{
    while (d->in_string && d->at < len) {
        d->in_string = s[d->at] != '"';
        d->at += s[d->at] == '\\' ? 2 : 1;
    }
}

bool json_scan_depth(struct json_depth *d, const char *s, size_t len, unsigned depth_max)
{
    while (d->at < len) {
        const char c = s[d->at];

        if (d->in_string) {
            skip_loose_string(d, s, len);
            continue;
        }
        if (c == '{' || c == '[') {
            if (++d->depth > depth_max)
                return false;
        } else if ((c == '}' || c == ']') && d->depth > 0) {
            d->depth--;
        }
        d->in_string = c == '"';
        d->at++;
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static const char *scan_escape(const char *p, const char *end)
{
    if (p == end)
        return NULL;
    if (*p != 'u')
        return *p != '\0' && strchr("\"\\/bfnrt", *p) != NULL ? p + 1 : NULL;
    if (end - p < 5)
        return NULL;
    return is_hex(p[1]) && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) ? p + 5 : NULL;
}

const char *json_scan_string(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    p++;
    while (p != end) {
        size_t n;

        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            p = scan_escape(p + 1, end);
            if (p == NULL)
                return NULL;
            continue;
        }
        n = json_utf8_len(p, end);
        if (n == 0 || (unsigned char)*p < 0x20)
            return NULL;
        p += n;
    }
    return NULL;
}

/* At least one digit. */
static const char *scan_digits(const char *p, const char *end)
{
    if (p == end || !is_digit(*p))
        return NULL;
    while (p != end && is_digit(*p))
        p++;
    return p;
}

static const char *scan_number(const char *p, const char *end)
{
    if (p != end && *p == '-')
        p++;
    if (p != end && *p == '0')
        p++;
    else
        p = scan_digits(p, end);
    if (p != NULL && p != end && *p == '.')
        p = scan_digits(p + 1, end);
    if (p != NULL && p != end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p != end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(p, end);
    }
    return p;
}

static const char *scan_word(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

/* p is behind the opening bracket. */
static const char *scan_members(const char *p, const char *end, char close, unsigned depth_max)
{
    if (p != end && *p == close)
        return p + 1;
    for (;;) {
        if (close == '}') {
            p = json_scan_string(p, end);
            if (p == NULL || p == end || *p != ':')
                return NULL;
            p++;
        }
        p = json_scan_value(p, end, depth_max);
        if (p == NULL || p == end)
            return NULL;
        if (*p == close)
            return p + 1;
        if (*p != ',')
            return NULL;
        p++;
    }
}

const char *json_scan_value(const char *p, const char *end, unsigned depth_max)
{
    if (p == end)
        return NULL;
    switch (*p) {
    case '{':
        return depth_max > 0 ? scan_members(p + 1, end, '}', depth_max - 1) : NULL;
    case '[':
        return depth_max > 0 ? scan_members(p + 1, end, ']', depth_max - 1) : NULL;
    case '"':
        return json_scan_string(p, end);
    case 't':
        return scan_word(p, end, "true");
    case 'f':
        return scan_word(p, end, "false");
    case 'n':
        return scan_word(p, end, "null");
    default:
        return scan_number(p, end);
    }
}
