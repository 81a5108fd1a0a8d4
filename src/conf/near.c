/* The nearest known name: edit distance with neighbours swapped counting one, upper and lower case
 * being the same letter. Near is at most a third of the letters of the name, and at least one edit
 * is always forgiven. */
#include <ctype.h>
#include <string.h>

#include "base/limits.h"
#include "conf/conf_int.h"

#include "base/banned.h"

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][CONF_WORD_BYTES_MAX + 1];
    size_t *before = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *spare = before;

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = same(a[i - 1], b[j - 1]) ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        before = above;
        above = row;
        row = spare;
    }
    return above[m];
}

const char *conf_near(const char *word, const char *const *names, size_t n)
{
    size_t len = strlen(word);
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    if (len == 0 || len > CONF_WORD_BYTES_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t name_len = strlen(names[i]);
        size_t limit = name_len / 3 > 1 ? name_len / 3 : 1;
        size_t d;

        if (name_len > CONF_WORD_BYTES_MAX)
            continue;
        d = distance(word, len, names[i], name_len);
        if (d <= limit && d < best_distance && d < len) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
