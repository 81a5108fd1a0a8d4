/* check: one answer for monitoring. Its exit codes are those of plugins, in every format:
 * 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/check_int.h"
#include "ctl/text_int.h"

#include "base/banned.h"

struct check_run {
    struct rows rows;
    struct verdict verdict;
    struct check_limits limits;
    struct checked checked;
};

/* ---- leaders lately ---- */

/* "2026-11-30T16:16:54" of an hour ago: stamps of events compare as texts. */
static void hour_ago(char *ret, size_t size)
{
    const time_t then = (time_t)(clock_wall_us() / 1000000u) - (time_t)CTL_CHECK_LATELY_S;
    struct tm tm;

    if (gmtime_r(&then, &tm) == NULL || strftime(ret, size, "%FT%T", &tm) == 0)
        ret[0] = '\0';
}

/* The first leader of a process is none that has changed. */
static int count_changes(const json_t *reply, const char *since)
{
    const json_t *events = json_object_get(reply, "events");
    const char *led = NULL;
    int n = 0;

    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        const char *text = rows_str(e, "text", "");

        if (strcmp(rows_str(e, "event", ""), "leader_changed") != 0 ||
            strcmp(text, "leader=none") == 0)
            continue;
        if (led != NULL && strcmp(led, text) != 0 && strcmp(rows_str(e, "ts", ""), since) >= 0)
            n++;
        led = text;
    }
    return n;
}

/* As many as the node saw that saw most; -1: no node keeps events. */
static int leader_changes(const struct ctl *ctl, const struct rows *rows)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    struct ctl_node nodes[RIDD_ENDPOINTS_MAX];
    char json[64];
    char since[32];
    int most = -1;
    unsigned n = 0;

    for (unsigned i = 0; i < rows->n; i++)
        if (rows->list[i].status != NULL)
            nodes[n++] = rows->list[i].node;
    (void)snprintf(json, sizeof(json), "{\"type\":\"events\",\"limit\":%u}", CTL_EVENTS_AT_ONCE);
    if (n == 0 || ask_all(ctl, nodes, n, json, ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS,
                          answers) != CTL_EXIT_OK)
        return -1;
    hour_ago(since, sizeof(since));
    for (unsigned i = 0; i < n; i++) {
        const struct ridd_reply *r = answers[i].reply;
        json_t *reply =
            r != NULL && r->status == RIDD_OK ? json_loadb(r->json, r->json_len, 0, NULL) : NULL;
        const int changes = reply != NULL ? count_changes(reply, since) : -1;

        most = changes > most ? changes : most;
        json_decref(reply);
    }
    ask_done(answers, n);
    return most;
}

/* ---- output ---- */

/* Until the next call. */
static const char *number(double v)
{
    static char text[32];

    check_number(v, text, sizeof(text));
    return text;
}

static const char *cleaned(const char *text, char ret[VERDICT_TEXT_BYTES + 1])
{
    (void)snprintf(ret, VERDICT_TEXT_BYTES + 1, "%s", text);
    report_clean(ret);
    for (char *c = ret; *c != '\0'; c++)
        if (*c == '|') /* it begins the numbers */
            *c = '/';
    return ret;
}

static void print_clean(const char *text)
{
    char clean[VERDICT_TEXT_BYTES + 1];

    (void)fputs(cleaned(text, clean), stdout);
}

/* What is worst says it in the first line; the verdict does where nothing is wrong. */
static void print_line(const struct checked *c)
{
    const struct check_fact *worst = &c->facts[0];

    for (unsigned i = 1; i < c->n_facts; i++)
        if (c->facts[i].state > worst->state)
            worst = &c->facts[i];
    (void)printf("RIDD %s - ", check_state_name(c->state));
    for (unsigned i = 0; worst->state < c->state && i < CHECKS_N; i++)
        if (c->values[i].state == c->state) {
            (void)printf("%s %s%s", check_name(i), number(c->values[i].value), check_unit(i));
            if (c->values[i].where[0] != '\0') {
                (void)fputs(" on ", stdout);
                print_clean(c->values[i].where);
            }
            (void)fputs("; ", stdout);
        }
    print_clean(worst->text);
}

static void print_limit(double v)
{
    if (v > 0)
        (void)printf("%s", number(v));
}

static void print_nagios(const struct check_run *k)
{
    print_line(&k->checked);
    (void)fputs(" |", stdout);
    for (unsigned i = 0; i < CHECKS_N; i++) {
        if (!k->checked.values[i].known)
            continue;
        (void)printf(" %s=%s%s;", check_name(i), number(k->checked.values[i].value), check_unit(i));
        print_limit(k->limits.warning[i]);
        (void)putchar(';');
        print_limit(k->limits.critical[i]);
        (void)fputs(";0", stdout);
    }
    (void)putchar('\n');
}

static void cell_limit(struct table *t, double v)
{
    if (v > 0)
        table_cell(t, "%s", number(v));
    else
        table_cell(t, "-");
}

static int print_text(const struct ctl *ctl, const struct check_run *k)
{
    static const char *const headers[] = {"CHECK", "STATE",    "VALUE", "NODE",
                                          "WARN",  "CRITICAL", "WHAT"};
    struct table t;

    print_line(&k->checked);
    (void)printf("\n");
    for (unsigned i = 0; i < k->checked.n_facts; i++) {
        const struct check_fact *fact = &k->checked.facts[i];
        char first[32];
        char clean[VERDICT_TEXT_BYTES + 1];

        (void)snprintf(first, sizeof(first), "  %-8s  %-8s  ", fact->name,
                       check_state_name(fact->state));
        text_wrapped(first, "                      ", cleaned(fact->text, clean));
    }
    table_init(&t, sizeof(headers) / sizeof(headers[0]), 1u << 2 | 1u << 4 | 1u << 5, headers);
    for (unsigned i = 0; i < CHECKS_N; i++) {
        const struct check_value *v = &k->checked.values[i];

        table_cell(&t, "%s", check_name(i));
        table_cell(&t, "%s", v->known ? check_state_name(v->state) : "-");
        if (v->known)
            table_cell(&t, "%s%s", number(v->value), check_unit(i));
        else
            table_cell(&t, "-");
        table_name(&t, v->where[0] != '\0' ? v->where : "-");
        cell_limit(&t, k->limits.warning[i]);
        cell_limit(&t, k->limits.critical[i]);
        table_cell(&t, "%s", check_text(i));
    }
    return table_print(&t, ctl);
}

static void json_number(struct doc *d, const char *name, double v)
{
    if (v > 0)
        doc_raw(d, name, number(v), strlen(number(v)));
    else
        doc_null(d, name);
}

static int print_json(const struct ctl *ctl, const struct check_run *k)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_str(&d, "state", check_state_name(k->checked.state));
    doc_open(&d, "facts", '[');
    for (unsigned i = 0; i < k->checked.n_facts; i++) {
        doc_open(&d, NULL, '{');
        doc_str(&d, "check", k->checked.facts[i].name);
        doc_str(&d, "state", check_state_name(k->checked.facts[i].state));
        doc_str(&d, "text", k->checked.facts[i].text);
        doc_close(&d, '}');
    }
    doc_close(&d, ']');
    doc_open(&d, "values", '[');
    for (unsigned i = 0; i < CHECKS_N; i++) {
        const struct check_value *v = &k->checked.values[i];

        if (!v->known)
            continue;
        doc_open(&d, NULL, '{');
        doc_str(&d, "check", check_name(i));
        doc_str(&d, "state", check_state_name(v->state));
        doc_raw(&d, "value", number(v->value), strlen(number(v->value)));
        if (v->where[0] != '\0')
            doc_str(&d, "node", v->where);
        json_number(&d, "warning", k->limits.warning[i]);
        json_number(&d, "critical", k->limits.critical[i]);
        doc_close(&d, '}');
    }
    doc_close(&d, ']');
    doc_close(&d, '}');
    return doc_print(&d, ctl);
}

/* ---- the verb ---- */

static int look(const struct ctl *ctl, struct check_run *k, const char *format)
{
    int exit_code = rows_ask(ctl, &k->rows);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rows_judge(ctl, &k->rows, &k->verdict);
    check_judge(&k->rows, &k->verdict, leader_changes(ctl, &k->rows), &k->limits, &k->checked);
    if (strcmp(format, "nagios") == 0)
        print_nagios(k);
    else if (strcmp(format, "json") == 0)
        exit_code = print_json(ctl, k);
    else
        exit_code = print_text(ctl, k);
    rows_done(&k->rows);
    return exit_code;
}

static int prepare(struct ctl *ctl, struct check_run *k, const char *format)
{
    int exit_code = ctl_check_word(ctl, "--format", "FORMAT", format);

    check_defaults(&k->limits);
    if (exit_code == CTL_EXIT_OK)
        exit_code = check_read_limits(ctl, "--warning", ctl->warning, k->limits.warning);
    if (exit_code == CTL_EXIT_OK)
        exit_code = check_read_limits(ctl, "--critical", ctl->critical, k->limits.critical);
    return exit_code == CTL_EXIT_OK ? cluster_find(ctl) : exit_code;
}

/* Whoever reads the output alone has to see a reason, too. */
int verb_check(struct ctl *ctl)
{
    const char *format = ctl->format != NULL ? ctl->format : ctl->json ? "json" : "text";
    cleanup_free struct check_run *k = calloc(1, sizeof(*k));
    int exit_code;

    if (k == NULL)
        return report_no_memory(ctl);
    exit_code = prepare(ctl, k, format);
    if (exit_code == CTL_EXIT_OK)
        exit_code = look(ctl, k, format);
    if (exit_code == CTL_EXIT_OK)
        return (int)k->checked.state;
    if (strcmp(format, "nagios") == 0)
        (void)printf("RIDD UNKNOWN - %s\n", report_last());
    return CHECK_STATE_UNKNOWN;
}
