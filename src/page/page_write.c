/* The writer. Markup is ours, text is escaped; there is no third way (PAGE-1). */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "page/page_int.h"

#include "base/banned.h"

#define DASH     "\xe2\x80\x93"
#define CUT      "\xe2\x80\xa6"
#define REPLACED "\xef\xbf\xbd"

void page_put(struct page *p, const char *markup)
{
    if (buf_add(p->out, markup, strlen(markup)) != 0)
        p->failed = true;
}

void page_putf(struct page *p, const char *markup, ...)
{
    char text[WEB_MARKUP_BYTES];
    va_list ap;

    va_start(ap, markup);
    (void)vsnprintf(text, sizeof(text), markup, ap);
    va_end(ap);
    page_put(p, text);
}

/* What would change how the text around it is read: control characters, and those that turn the
 * direction of writing (U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069). Bytes of it, 0: it is
 * none. */
static size_t is_hidden(const unsigned char *s)
{
    if (s[0] < 0x20 || s[0] == 0x7f)
        return 1;
    if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0)
        return 2;
    if (s[0] != 0xe2)
        return 0;
    if (s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae)))
        return 3;
    return s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9 ? 3 : 0;
}

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Bytes of the character that begins here. */
static size_t char_len(const char *s)
{
    size_t len = 1;

    while (((unsigned char)s[len] & 0xc0) == 0x80)
        len++;
    return len;
}

/* As much as has room in max bytes of the page, so that a text of quotes takes no more than one of
 * letters. */
static void escaped(struct page *p, const char *s, size_t max)
{
    size_t used = 0;

    while (*s != '\0') {
        const size_t hidden = is_hidden((const unsigned char *)s);
        const size_t len = hidden > 0 ? hidden : char_len(s);
        const char *shown = hidden > 0 ? REPLACED : escape_of(*s);
        const size_t shown_len = shown != NULL ? strlen(shown) : len;

        if (used + shown_len > max) {
            page_put(p, CUT);
            return;
        }
        if (buf_add(p->out, shown != NULL ? shown : s, shown_len) != 0)
            p->failed = true;
        used += shown_len;
        s += len;
    }
}

void page_text_whole(struct page *p, const char *s)
{
    escaped(p, s, SIZE_MAX);
}

static void cut_to(struct page *p, const char *s, size_t max)
{
    if (s == NULL || s[0] == '\0')
        page_put(p, DASH);
    else
        escaped(p, s, max);
}

void page_text(struct page *p, const char *s)
{
    cut_to(p, s, WEB_TEXT_BYTES);
}

void page_short(struct page *p, const char *s)
{
    cut_to(p, s, WEB_NAME_BYTES);
}

void page_brief(struct page *p, const char *s)
{
    cut_to(p, s, WEB_BRIEF_BYTES);
}

/* ---- numbers ---- */

void page_number(struct page *p, json_int_t v)
{
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)v);

    for (int i = 0; i < len; i++) {
        if (i > 0 && digits[i - 1] != '-' && (len - i) % 3 == 0)
            page_put(p, ",");
        page_putf(p, "%c", digits[i]);
    }
}

void page_bytes(struct page *p, json_int_t v)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double shown = (double)v;
    size_t unit = 0;

    while (shown >= 1023.5 && unit < sizeof(units) / sizeof(units[0]) - 1) {
        shown /= 1024;
        unit++;
    }
    page_putf(p, shown < 99.95 && unit > 0 ? "%.1f" : "%.0f", shown);
    page_putf(p, "&#160;%s", units[unit]);
}

void page_us(struct page *p, json_int_t us)
{
    if (us < US_MS)
        page_putf(p, "%lld&#160;\xc2\xb5s", (long long)us);
    else if (us < 10 * US_MS)
        page_putf(p, "%.2f&#160;ms", (double)us / 1e3);
    else if (us < 100 * US_MS)
        page_putf(p, "%.1f&#160;ms", (double)us / 1e3);
    else if (us < US_S)
        page_putf(p, "%.0f&#160;ms", (double)us / 1e3);
    else
        page_putf(p, "%.2f&#160;s", (double)us / 1e6);
}

void page_span(struct page *p, int64_t us)
{
    if (us < US_MIN)
        page_putf(p, "%lld&#160;s", (long long)(us / US_S));
    else if (us < US_H)
        page_putf(p, "%lld&#160;min %02lld&#160;s", (long long)(us / US_MIN),
                  (long long)(us % US_MIN / US_S));
    else if (us < US_DAY)
        page_putf(p, "%lld&#160;h %02lld&#160;min", (long long)(us / US_H),
                  (long long)(us % US_H / US_MIN));
    else
        page_putf(p, "%lld&#160;d %02lld&#160;h", (long long)(us / US_DAY),
                  (long long)(us % US_DAY / US_H));
}

void page_span_of(struct page *p, const json_t *o, const char *name, int64_t unit_us)
{
    const int64_t most = WEB_NUMBER_MAX / unit_us;
    const int64_t v = page_num(o, name);

    page_span(p, (v < most ? v : most) * unit_us);
}

/* ---- times ---- */

static bool split_time(int64_t at_us, struct tm *ret)
{
    const time_t s = (time_t)(at_us / US_S);

    return at_us >= 0 && gmtime_r(&s, ret) != NULL;
}

void page_clock(struct page *p, int64_t at_us)
{
    struct tm tm;

    if (split_time(at_us, &tm))
        page_putf(p, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
    else
        page_put(p, "?");
}

void page_ago(struct page *p, int64_t at_us)
{
    const int64_t ago = p->view->now_us - at_us;
    char text[64];
    struct tm tm;

    if (!split_time(at_us, &tm)) {
        page_put(p, DASH);
        return;
    }
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    page_putf(p, "<time datetime=\"%s\" title=\"%s\">", text, text);
    if (ago < US_S)
        page_put(p, "just now");
    else if (ago < US_MIN)
        page_putf(p, "%lld&#160;s ago", (long long)(ago / US_S));
    else if (ago < US_H)
        page_putf(p, "%lld&#160;min ago", (long long)(ago / US_MIN));
    else if (ago < US_DAY)
        page_putf(p, "%lld&#160;h ago", (long long)(ago / US_H));
    else
        page_putf(p, "%lld&#160;d ago", (long long)(ago / US_DAY));
    page_put(p, "</time>");
}

void page_bar(struct page *p, const char *colour, double x, double width, double all)
{
    double at = x * 100 / all;
    double wide = width * 100 / all;

    if (wide < WEB_BAR_LEAST)
        wide = WEB_BAR_LEAST;
    if (at + wide > 100)
        at = 100 - wide;
    page_putf(p, "<rect class=\"%s\" x=\"%.1f%%\" width=\"%.1f%%\" height=\"100%%\"/>", colour, at,
              wide);
}

/* ---- fields ---- */

static void number_by(struct page *p, const json_t *v, void (*put)(struct page *p, json_int_t v))
{
    if (json_is_integer(v))
        put(p, json_integer_value(v));
    else if (json_is_real(v))
        put(p, (json_int_t)json_real_value(v));
    else
        page_put(p, DASH);
}

void page_number_of(struct page *p, const json_t *o, const char *name)
{
    number_by(p, json_object_get(o, name), page_number);
}

void page_bytes_of(struct page *p, const json_t *o, const char *name)
{
    number_by(p, json_object_get(o, name), page_bytes);
}

void page_us_of(struct page *p, const json_t *o, const char *name)
{
    number_by(p, json_object_get(o, name), page_us);
}

void page_text_of(struct page *p, const json_t *o, const char *name)
{
    page_text(p, json_string_value(json_object_get(o, name)));
}

void page_short_of(struct page *p, const json_t *o, const char *name)
{
    page_short(p, json_string_value(json_object_get(o, name)));
}
