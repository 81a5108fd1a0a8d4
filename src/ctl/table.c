/* Aligned columns for people: two blanks between, numbers to the right, nothing cut. Widths count
 * characters, not bytes. What comes from a server is cleaned before it reaches a terminal. */
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl_int.h"

#include "base/banned.h"

/* Marks a cell that runs to the end of its row. */
#define REST_MARK '\1'
/* A name that is longer is cut where lines have a limit. */
#define NAME_COLUMNS 14u

/* How a table is laid out. */
struct shape {
    unsigned gap; /* blanks between columns */
    bool folded;  /* the last cell of a row stands on a line of its own */
};

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

void table_name(struct table *t, const char *name)
{
    const size_t len = strlen(name);

    if (t->columns == 0 || len <= NAME_COLUMNS)
        table_cell(t, "%s", name);
    else /* names that differ in their ends are told apart by them */
        table_cell(t, "%.*s..%s", (int)(NAME_COLUMNS / 2 - 1), name,
                   name + len - (NAME_COLUMNS / 2 - 1));
}

/* Three digits that count, and a letter. */
static void short_text(double v, double step, const char *const *units, unsigned n_units, char *ret,
                       size_t size)
{
    unsigned i = 0;

    for (; v >= 999.5 && i + 1 < n_units; i++)
        v /= step;
    (void)snprintf(ret, size, "%.*f%s", v >= 99.95 || v == (double)(unsigned long)v ? 0 : 1, v,
                   units[i]);
}

void table_short_size(uint64_t bytes, char *ret, size_t size)
{
    static const char *const units[] = {"B", "K", "M", "G", "T"};

    short_text((double)bytes, 1024, units, 5, ret, size);
}

void table_short_count(double v, char *ret, size_t size)
{
    static const char *const units[] = {"", "k", "M", "G"};

    short_text(v, 1000, units, 4, ret, size);
}

void table_short_time(uint64_t us, char *ret, size_t size)
{
    static const char *const units[] = {"us", "ms", "s"};

    short_text((double)us, 1000, units, 3, ret, size);
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

static size_t width_with(const struct table *t, unsigned n_columns, unsigned gap)
{
    size_t width = 0;

    for (unsigned i = 0; i < n_columns; i++)
        width += t->widths[i] + (i > 0 ? gap : 0);
    return width;
}

/* What is wider than a line stands closer, and if that is not enough, has its last cell on the next
 * one (TELL-4). */
static void fit(const struct table *t, struct shape *ret)
{
    const size_t most = t->columns > 0 ? t->columns : SIZE_MAX;

    ret->gap = width_with(t, t->n_columns, 2) <= most ? 2 : 1;
    ret->folded = width_with(t, t->n_columns, ret->gap) > most;
    if (ret->folded && width_with(t, t->n_columns - 1, 2) <= most)
        ret->gap = 2;
}

static void print_cell(const struct table *t, const struct shape *shape, unsigned column,
                       const char *s, bool header)
{
    const bool last = column + 1 == t->n_columns;
    const char *gap = column == 0 ? "" : shape->gap == 2 ? "  " : " ";

    if (*s == REST_MARK) {
        (void)printf("%s%s", gap, s + 1);
    } else if (last && shape->folded) {
        if (!header && strcmp(s, "-") != 0 && s[0] != '\0')
            (void)printf("\n    %s", s);
    } else {
        (void)fputs(gap, stdout);
        print_padded(s, t->widths[column], (t->right >> column & 1) != 0,
                     last || (shape->folded && column + 2 == t->n_columns));
    }
}

int table_print(struct table *t, const struct ctl *ctl)
{
    struct shape shape;
    bool failed = t->failed;
    bool header = true;
    unsigned column = 0;
    size_t at = 0;

    fit(t, &shape);
    while (!failed && at < t->cells.len) {
        const char *s = (const char *)t->cells.data + at;
        bool last = *s == REST_MARK || column + 1 == t->n_columns;

        at += strlen(s) + 1;
        print_cell(t, &shape, column, s, header);
        column = last ? 0 : column + 1;
        if (last) {
            (void)putchar('\n');
            header = false;
        }
    }
    buf_done(&t->cells);
    return failed ? report_no_memory(ctl) : CTL_EXIT_OK;
}
