/* Prints what was found: one line for each finding, the next command below it, and one sentence. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/doctor_int.h"

#include "base/banned.h"

/* Where lines are broken: at the end of a terminal, and nowhere else. */
static unsigned width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO))
        return UINT32_MAX;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40)
        return 80;
    return size.ws_col;
}

/* Words from a column on; what does not fit goes on below it. */
static void print_words(const char *text, unsigned from, unsigned columns)
{
    unsigned at = from;

    for (const char *s = text; *s != '\0';) {
        const size_t len = strcspn(s, " ");

        if (at > from && at + 1 + len >= columns) {
            (void)printf("\n%*s", (int)from, "");
            at = from;
        } else if (at > from) {
            (void)putchar(' ');
            at++;
        }
        (void)printf("%.*s", (int)len, s);
        at += (unsigned)len;
        s += len + strspn(s + len, " ");
    }
    (void)putchar('\n');
}

#define TEXT_COLUMN 20u

static void print_finding(const struct finding *x, unsigned columns)
{
    char text[FINDING_WHERE_BUF + FINDING_TEXT_BUF + 4];
    char next[FINDING_NEXT_BUF + 8];

    (void)snprintf(text, sizeof(text), "%s%s%s", x->where, x->where[0] != '\0' ? ": " : "",
                   x->text);
    report_clean(text);
    (void)printf("%-4s  %-12s  ", finding_level_text(x->level), x->check);
    print_words(text, TEXT_COLUMN, columns);
    if (x->next[0] == '\0')
        return;
    (void)snprintf(next, sizeof(next), "next: %s", x->next);
    report_clean(next);
    (void)printf("%*s", (int)TEXT_COLUMN, "");
    print_words(next, TEXT_COLUMN, columns);
}

/* What follows from something else: that a node cannot be reached, say, from its log. */
static bool is_effect(const struct finding *x)
{
    return strcmp(x->check, "reach") == 0 || strcmp(x->check, "cluster") == 0;
}

/* The first of that level that is a cause, or the first. */
static const struct finding *first_of(const struct findings *f, enum finding_level level)
{
    const struct finding *first = NULL;

    for (unsigned i = 0; i < f->n; i++) {
        const struct finding *x = &f->list[i];

        if (x->level == level && (first == NULL || (is_effect(first) && !is_effect(x))))
            first = x;
    }
    return first;
}

static void sentence(const struct findings *f, char *ret, size_t size)
{
    const enum finding_level worst = findings_worst(f);
    const struct finding *first = first_of(f, worst);

    if (worst <= FINDING_NOTE)
        (void)snprintf(ret, size, "Well: %u looked at, %u notes, nothing to do.",
                       f->n_levels[FINDING_OK] + f->n_levels[FINDING_NOTE],
                       f->n_levels[FINDING_NOTE]);
    else
        (void)snprintf(
            ret, size, "%u FAIL, %u warn: begin with %s%s%s%s%s.", f->n_levels[FINDING_FAIL],
            f->n_levels[FINDING_WARN], first != NULL ? first->check : "the first",
            first != NULL && first->where[0] != '\0' ? " of " : "",
            first != NULL ? first->where : "", first != NULL && first->next[0] != '\0' ? ": " : "",
            first != NULL ? first->next : "");
    report_clean(ret);
}

static int exit_code_of(const struct findings *f)
{
    static const int codes[] = {[FINDING_OK] = CTL_EXIT_OK,
                                [FINDING_NOTE] = CTL_EXIT_OK,
                                [FINDING_WARN] = CTL_EXIT_DEGRADED,
                                [FINDING_FAIL] = CTL_EXIT_FAILS};

    return codes[findings_worst(f)];
}

static int print_json(const struct ctl *ctl, const struct findings *f)
{
    struct doc d = DOC_INIT;
    char text[FINDING_WHERE_BUF + FINDING_NEXT_BUF + 80];

    sentence(f, text, sizeof(text));
    doc_open(&d, NULL, '{');
    doc_str(&d, "verdict", finding_level_word(findings_worst(f)));
    doc_str(&d, "text", text);
    for (enum finding_level level = FINDING_OK; level <= FINDING_FAIL; level++)
        doc_u64(&d, finding_level_word(level), f->n_levels[level]);
    doctor_add_json(&d, "findings", f);
    doc_close(&d, '}');
    return doc_print(&d, ctl);
}

static void print_all(const struct ctl *ctl, const struct findings *f)
{
    const unsigned columns = width();
    char text[FINDING_WHERE_BUF + FINDING_NEXT_BUF + 80];

    for (unsigned i = 0; i < f->n; i++)
        if (!f->list[i].detail || ctl->verbose)
            print_finding(&f->list[i], columns);
    sentence(f, text, sizeof(text));
    print_words(text, 0, columns);
}

int verb_doctor(struct ctl *ctl)
{
    struct findings f = FINDINGS_INIT;
    int exit_code = doctor_examine(ctl, &f);

    if (exit_code == CTL_EXIT_OK && ctl->json)
        exit_code = print_json(ctl, &f);
    else if (exit_code == CTL_EXIT_OK)
        print_all(ctl, &f);
    if (exit_code == CTL_EXIT_OK)
        exit_code = exit_code_of(&f);
    findings_done(&f);
    return exit_code;
}
