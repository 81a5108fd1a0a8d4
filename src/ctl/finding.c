/* A list of findings that grows to a bound. */
#include "ctl/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static const char *const texts[] = {
#define FINDING_TEXT(name, number, text, word) [name] = (text),
    FINDING_LEVELS(FINDING_TEXT)};
static const char *const words[] = {
#define FINDING_WORD(name, number, text, word) [name] = (word),
    FINDING_LEVELS(FINDING_WORD)};

const char *finding_level_text(enum finding_level level)
{
    return texts[level];
}

const char *finding_level_word(enum finding_level level)
{
    return words[level];
}

void findings_done(struct findings *f)
{
    free(f->list);
    f->list = NULL;
    f->n = 0;
    f->size = 0;
}

enum finding_level findings_worst(const struct findings *f)
{
    enum finding_level level = FINDING_FAIL;

    while (level > FINDING_OK && f->n_levels[level] == 0)
        level--;
    return level;
}

static struct finding *next_place(struct findings *f)
{
    if (f->n == DOCTOR_FINDINGS_MAX)
        return NULL;
    if (f->n == f->size) {
        const unsigned size = f->size == 0 ? 32 : 2 * f->size;
        struct finding *list = realloc(f->list, size * sizeof(*list));

        if (list == NULL) {
            f->failed = true;
            return NULL;
        }
        f->list = list;
        f->size = size;
    }
    return &f->list[f->n++];
}

void finding_add(struct findings *f, enum finding_level level, const char *check, const char *where,
                 const char *next, const char *format, ...)
{
    struct finding *x = next_place(f);
    va_list ap;

    f->n_levels[level]++;
    if (x == NULL)
        return;
    *x = (struct finding){.level = level, .check = check};
    (void)snprintf(x->where, sizeof(x->where), "%s", where != NULL ? where : "");
    (void)snprintf(x->next, sizeof(x->next), "%s", next != NULL ? next : "");
    va_start(ap, format);
    (void)vsnprintf(x->text, sizeof(x->text), format, ap);
    va_end(ap);
}

void finding_figure(struct findings *f, double figure, const char *unit)
{
    if (f->n == 0)
        return;
    f->list[f->n - 1].has_figure = true;
    f->list[f->n - 1].figure = figure;
    f->list[f->n - 1].unit = unit;
}

void finding_is_detail(struct findings *f)
{
    if (f->n > 0)
        f->list[f->n - 1].detail = true;
}
