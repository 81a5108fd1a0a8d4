/* Text for people: lines that fit a terminal, columns of words, and what a word was perhaps meant
 * to be. */
#include <string.h>

#include "ctl/text_int.h"

#include "base/banned.h"

/* Up to the next blank; a command in quotes stays in one piece. */
static size_t word_len(const char *text)
{
    const char *end = text[0] == '\'' ? strchr(text + 1, '\'') : NULL;
    const size_t quoted = end != NULL ? (size_t)(end - text) : 0;

    if (quoted > 0 && quoted < CTL_LINE_COLUMNS / 2)
        return quoted + strcspn(text + quoted, " ");
    return strcspn(text, " ");
}

void text_wrapped(const char *first, const char *others, const char *text)
{
    size_t column = strlen(first);
    bool begun = false;

    (void)fputs(first, stdout);
    while (*text != '\0') {
        const size_t len = word_len(text);

        if (begun && column + 1 + len > CTL_LINE_COLUMNS) {
            (void)printf("\n%s", others);
            column = strlen(others);
            begun = false;
        }
        (void)printf("%s%.*s", begun ? " " : "", (int)len, text);
        column += len + begun;
        begun = true;
        text += len;
        text += strspn(text, " ");
    }
    (void)putchar('\n');
}

void text_columns(const char *const *words, size_t n)
{
    size_t widest = 0;
    size_t n_columns;
    size_t n_rows;

    for (size_t i = 0; i < n; i++)
        widest = strlen(words[i]) > widest ? strlen(words[i]) : widest;
    n_columns = (CTL_LINE_COLUMNS - 2) / (widest + 2);
    n_columns = n_columns > 0 ? n_columns : 1;
    n_rows = (n + n_columns - 1) / n_columns;
    for (size_t row = 0; row < n_rows; row++) {
        for (size_t i = row; i < n; i += n_rows)
            if (i + n_rows < n)
                (void)printf("  %-*s", (int)widest, words[i]);
            else
                (void)printf("  %s", words[i]);
        (void)putchar('\n');
    }
}

/* Letters to add, drop or change; names longer than the table are far away. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t n = strlen(b);

    if (strlen(a) > 31 || n > 31)
        return 31;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

void text_near_init(struct text_near *n, const char *given)
{
    const size_t len = strlen(given);

    n->given = given;
    n->nearest = NULL;
    /* More letters than these would point nowhere; of a long name more may be wrong. */
    n->least = len >= 8 ? 4 : len >= 4 ? 3 : 2;
}

void text_near_try(struct text_near *n, const char *name)
{
    const size_t len = strlen(n->given);
    /* What was begun, and not ended, is near. */
    const size_t d = len >= 3 && strncmp(n->given, name, len) == 0 && name[len] != '\0'
                         ? 1
                         : distance(n->given, name);

    if (d >= n->least)
        return;
    n->least = d;
    n->nearest = name;
}
