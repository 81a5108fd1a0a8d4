/* What is wrong with a configuration: noted while it is read, in the words that the person needs
 * to mend it, and printed by line. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/reading_int.h"

#include "base/banned.h"

void conf_problem_add(struct reading *rd, unsigned line, const char *format, ...)
{
    struct conf_problems *ps = rd->problems;
    struct conf_problem *p;
    va_list ap;

    rd->security_unclear |= rd->section == CONF_SECURITY && line == rd->line;
    if (rd->problems_cut)
        return;
    if (ps->list == NULL) {
        ps->list = calloc(CONF_PROBLEMS_MAX + 1, sizeof(*ps->list));
        if (ps->list == NULL) {
            rd->out_of_memory = true;
            return;
        }
    }
    p = &ps->list[ps->n++];
    p->line = line;
    if (ps->n > CONF_PROBLEMS_MAX) {
        p->line = 0;
        rd->problems_cut = true;
        (void)snprintf(p->text, sizeof(p->text), "more problems than the %u shown",
                       CONF_PROBLEMS_MAX);
        return;
    }
    va_start(ap, format);
    (void)vsnprintf(p->text, sizeof(p->text), format, ap);
    va_end(ap);
}

const char *conf_without_digits(char *text)
{
    static const char instead[] = "(left out)";

    for (char *s = text; *s != '\0';) {
        const size_t n = strspn(s, "0123456789abcdefABCDEF");

        if (n >= CONF_HEX_DIGITS_MAX) {
            memcpy(s, instead, sizeof(instead) - 1);
            memmove(s + sizeof(instead) - 1, s + n, strlen(s + n) + 1);
            s += sizeof(instead) - 1;
        } else {
            s += n > 0 ? n : 1;
        }
    }
    return text;
}

/* "; known: a, b, c" */
static const char *list_known(char buf[CONF_ADVICE_BUF], const char *const *names, size_t n)
{
    size_t at = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *lead = i == 0 ? "; known: " : ", ";

        if (at + strlen(lead) + strlen(names[i]) + sizeof(", ...") > CONF_ADVICE_BUF) {
            (void)snprintf(buf + at, CONF_ADVICE_BUF - at, ", ...");
            break;
        }
        at += (size_t)snprintf(buf + at, CONF_ADVICE_BUF - at, "%s%s", lead, names[i]);
    }
    return buf;
}

const char *conf_advice(char buf[CONF_ADVICE_BUF], const char *word, const char *const *names,
                        size_t n)
{
    const char *near = conf_near(word, names, n);

    if (near == NULL)
        return list_known(buf, names, n);
    (void)snprintf(buf, CONF_ADVICE_BUF, "; did you mean '%s'?", near);
    return buf;
}

const char *conf_list_peers(char buf[CONF_ADVICE_BUF], const struct conf *c)
{
    const char *names[RAFT_SERVERS_MAX];

    for (unsigned i = 0; i < c->n_peers; i++)
        names[i] = c->peers[i].name;
    return list_known(buf, names, c->n_peers);
}

/* Stable, by insertion: there are at most CONF_PROBLEMS_MAX + 1, nearly in order. */
void conf_problems_sort(struct conf_problems *ps)
{
    for (size_t i = 1; i < ps->n; i++) {
        struct conf_problem p = ps->list[i];
        size_t at = i;

        while (at > 0 && ps->list[at - 1].line - 1u > p.line - 1u) { /* 0 - 1u: behind all others */
            ps->list[at] = ps->list[at - 1];
            at--;
        }
        ps->list[at] = p;
    }
}

void conf_problems_done(struct conf_problems *p)
{
    free(p->list);
    *p = (struct conf_problems){0};
}

void conf_problems_print(const struct conf_problems *p, const char *path, FILE *out)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].line != 0)
            (void)fprintf(out, "%s:%u: %s\n", path, p->list[i].line, p->list[i].text);
        else
            (void)fprintf(out, "%s: %s\n", path, p->list[i].text);
    }
}
