/* explain: what a name or a number means, from tables alone; nobody is asked. */
#include <ctype.h>
#include <string.h>

#include "ctl/explain_int.h"
#include "ctl/text_int.h"

#include "base/banned.h"

static const struct {
    const char *word; /* in JSON */
    const char *heading;
} kinds[EXPLAINED_KINDS] = {
    [EXPLAINED_ERROR] = {"error", "Errors of a request, by name or code"},
    [EXPLAINED_CTL_ERROR] = {"client_error", "Errors that ridctl and libridd find out themselves"},
    [EXPLAINED_CTL_EXIT] = {"ridctl_exit", "Exit codes of ridctl, by number or name"},
    [EXPLAINED_RIDD_EXIT] = {"ridd_exit", "Exit codes of ridd"},
    [EXPLAINED_EVENT] = {"event", "Events in the log of ridd (event=...)"},
};

/* "Peer-Down", "event=peer_down" and "no quorum" are names as well. */
static void plain_name(const char *given, char *ret, size_t size)
{
    size_t i;

    if (strncmp(given, "event=", 6) == 0)
        given += 6;
    for (i = 0; given[i] != '\0' && i + 1 < size; i++)
        ret[i] =
            (char)(given[i] == '-' || given[i] == ' ' ? '_' : tolower((unsigned char)given[i]));
    ret[i] = '\0';
}

/* A number of at most three digits; -1: none. */
static int number_of(const char *name)
{
    const size_t len = strlen(name);
    int v = 0;

    if (len == 0 || len > 3 || strspn(name, "0123456789") != len)
        return -1;
    for (size_t i = 0; i < len; i++)
        v = v * 10 + (name[i] - '0');
    return v;
}

static bool is_meant(const struct explained *e, const char *name, int number)
{
    if (number < 0)
        return strcmp(e->name, name) == 0;
    return e->code == number || e->code_after == number;
}

static void what_it_is(const struct explained *e, char *ret, size_t size)
{
    char after[64] = "";

    switch (e->kind) {
    case EXPLAINED_ERROR:
        if (e->code_after >= 0 && e->code_after != e->code)
            (void)snprintf(after, sizeof(after), ", %d of a write that is in the log",
                           e->code_after);
        (void)snprintf(ret, size, "an error of a request, code %d%s", e->code, after);
        break;
    case EXPLAINED_CTL_ERROR:
        (void)snprintf(ret, size, "an error that ridctl and libridd find out");
        break;
    case EXPLAINED_CTL_EXIT:
        (void)snprintf(ret, size, "exit code %d of ridctl", e->code);
        break;
    case EXPLAINED_RIDD_EXIT:
        (void)snprintf(ret, size, "exit code %d of ridd", e->code);
        break;
    case EXPLAINED_EVENT:
        (void)snprintf(ret, size, "an event, level %s", e->levels);
        break;
    }
}

static void print_one(const struct explained *e)
{
    char what[128];

    what_it_is(e, what, sizeof(what));
    (void)printf("%s: %s\n", e->name, what);
    text_wrapped("  ", "  ", e->meaning);
    if (e->cause != NULL)
        text_wrapped("  Usually: ", "           ", e->cause);
    text_wrapped("  Next:    ", "           ", e->next);
}

static void json_one(struct doc *d, const struct explained *e)
{
    doc_open(d, NULL, '{');
    doc_str(d, "name", e->name);
    doc_str(d, "kind", kinds[e->kind].word);
    if (e->code >= 0)
        doc_int(d, "code", e->code);
    if (e->code_after >= 0 && e->code_after != e->code)
        doc_int(d, "code_after", e->code_after);
    if (e->levels != NULL)
        doc_str(d, "levels", e->levels);
    doc_str(d, "meaning", e->meaning);
    if (e->cause != NULL)
        doc_str(d, "cause", e->cause);
    doc_str(d, "next", e->next);
    doc_close(d, '}');
}

/* Everything by that name, or with name NULL everything: what stands in the lists, in their words
 * (TELL-7). How many. */
static unsigned explain_all(struct doc *d, const char *name, int number)
{
    unsigned n = 0;

    for (unsigned kind = 0; kind < EXPLAINED_KINDS; kind++) {
        const struct explained *list;
        const size_t len = explained_list((enum explained_kind)kind, &list);

        for (size_t i = 0; i < len; i++) {
            if (name != NULL && !is_meant(&list[i], name, number))
                continue;
            if (d != NULL) {
                json_one(d, &list[i]);
            } else {
                (void)printf("%s", n > 0 ? "\n" : "");
                print_one(&list[i]);
            }
            n++;
        }
    }
    return n;
}

static void list_all(void)
{
    (void)printf("'ridctl explain NAME' says what it means and what to do:\n");
    for (unsigned kind = 0; kind < EXPLAINED_KINDS; kind++) {
        const struct explained *list;
        const size_t len = explained_list((enum explained_kind)kind, &list);
        const bool numbered = kind == EXPLAINED_CTL_EXIT || kind == EXPLAINED_RIDD_EXIT;
        char texts[32][32];
        const char *words[256];
        size_t n = 0;

        (void)printf("\n%s:\n", kinds[kind].heading);
        for (size_t i = 0; i < len && n < sizeof(words) / sizeof(words[0]); i++) {
            words[n] = list[i].name;
            if (numbered && n < sizeof(texts) / sizeof(texts[0])) {
                (void)snprintf(texts[n], sizeof(texts[n]), "%2d %s", list[i].code, list[i].name);
                words[n] = texts[n];
            }
            n++;
        }
        text_columns(words, n);
    }
}

static int report_unknown(const struct ctl *ctl, const char *given, const char *name)
{
    struct text_near near;

    text_near_init(&near, name);
    for (unsigned kind = 0; kind < EXPLAINED_KINDS; kind++) {
        const struct explained *list;
        const size_t len = explained_list((enum explained_kind)kind, &list);

        for (size_t i = 0; i < len; i++)
            text_near_try(&near, list[i].name);
    }
    if (near.nearest != NULL)
        return report(ctl, CTL_EXIT_USAGE,
                      "nothing is called '%.60s'; did you mean 'ridctl explain %s'?", given,
                      near.nearest);
    return report(ctl, CTL_EXIT_USAGE, "nothing is called '%.60s'; 'ridctl explain' lists all",
                  given);
}

int verb_explain(struct ctl *ctl)
{
    const char *given = ctl->n_args > 0 ? ctl->args[0] : NULL;
    struct doc d = DOC_INIT;
    char name[64] = "";
    unsigned n;

    if (given == NULL && !ctl->json) {
        list_all();
        return CTL_EXIT_OK;
    }
    if (given != NULL)
        plain_name(given, name, sizeof(name));
    if (ctl->json) {
        doc_open(&d, NULL, '{');
        doc_open(&d, "explained", '[');
    }
    n = explain_all(ctl->json ? &d : NULL, given != NULL ? name : NULL, number_of(name));
    if (n == 0) {
        buf_done(&d.buf);
        return report_unknown(ctl, given, name);
    }
    if (!ctl->json)
        return CTL_EXIT_OK;
    doc_close(&d, ']');
    doc_close(&d, '}');
    return doc_print(&d, ctl);
}
