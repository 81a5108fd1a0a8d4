/* Aligned columns for people: two blanks between, numbers to the right, nothing cut. Widths count
 * characters, not bytes. What comes from a server is cleaned before it reaches a terminal. */
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl_int.h"

#include "base/banned.h"

/* Marks a cell that runs to the end of its row. */
#define REST_MARK '\1'

static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        if (((unsigned char)*s & 0xc0u) != 0x80u)
            n++;
    return n;
}

static void add_cell(struct table *t, const char *text, bool rest)
{
    size_t width = width_of(text);

    if ((rest && buf_add_u8(&t->cells, REST_MARK) != 0) ||
        buf_add(&t->cells, text, strlen(text) + 1) != 0) {
        t->failed = true;
        return;
    }
    if (rest) {
        t->column = 0;
        return;
    }
    if (width > t->widths[t->column])
        t->widths[t->column] = width;
    t->column = (t->column + 1) % t->n_columns;
}

void table_init(struct table *t, unsigned n_columns, uint32_t right, const char *const *headers)
{
    memset(t, 0, sizeof(*t));
    t->n_columns = n_columns;
    t->right = right;
    for (unsigned i = 0; i < n_columns; i++)
        add_cell(t, headers[i], false);
}

void table_cell(struct table *t, const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_clean(text);
    add_cell(t, text, false);
}

void table_rest(struct table *t, const char *format, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_clean(text);
    add_cell(t, text, true);
}

void table_size_text(uint64_t bytes, char *ret, size_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes / 1024;
    unsigned i = 0;

    for (; v >= 1000 && i < 3; i++)
        v /= 1024;
    (void)snprintf(ret, size, "%.1f %s", v, units[i]);
}

static void print_padded(const char *s, size_t width, bool right, bool last)
{
    size_t have = width_of(s);
    size_t pad = width > have ? width - have : 0;

    if (right)
        (void)printf("%*s%s", (int)pad, "", s);
    else if (last)
        (void)printf("%s", s); /* no blanks at the end of a line */
    else
        (void)printf("%s%*s", s, (int)pad, "");
}

int table_print(struct table *t, const struct ctl *ctl)
{
    bool failed = t->failed;
    unsigned column = 0;
    size_t at = 0;

    while (!failed && at < t->cells.len) {
        const char *s = (const char *)t->cells.data + at;
        bool rest = *s == REST_MARK;
        bool last = rest || column + 1 == t->n_columns;

        at += strlen(s) + 1;
        if (column > 0)
            (void)fputs("  ", stdout);
        if (rest)
            (void)fputs(s + 1, stdout);
        else
            print_padded(s, t->widths[column], (t->right >> column & 1) != 0, last);
        column = last ? 0 : column + 1;
        if (last)
            (void)putchar('\n');
    }
    buf_done(&t->cells);
    return failed ? report_no_memory(ctl) : CTL_EXIT_OK;
}
