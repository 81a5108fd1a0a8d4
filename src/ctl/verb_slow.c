/* slow: the exceptional operations of all nodes with what held each up, and where the time of all
 * others goes. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/rows_int.h"
#include "ctl/screen_int.h"
#include "ctl/text_int.h"

#include "base/banned.h"

struct said {
    const char *node;
    const json_t *one;
};

static uint64_t us_of(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

static void cell_time(struct table *t, uint64_t us)
{
    char text[32];

    table_short_time(us, text, sizeof(text));
    table_cell(t, "%s", text);
}

static int compare(const void *a, const void *b)
{
    const struct said *x = a;
    const struct said *y = b;
    const int r = strcmp(rows_str(x->one, "ts", ""), rows_str(y->one, "ts", ""));

    return r != 0 ? r : strcmp(x->node, y->node);
}

static void slow_row(struct table *t, const struct said *said)
{
    const char *ts = rows_str(said->one, "ts", "");
    const char *result = rows_str(said->one, "result", "ok");
    const char *why = rows_str(said->one, "why", "");

    table_cell(t, "%.12s", strlen(ts) > 11 ? ts + 11 : ts);
    table_name(t, said->node);
    table_cell(t, "%s", rows_str(said->one, "op", "-"));
    cell_time(t, us_of(said->one, "total_us"));
    table_cell(t, "%s", rows_str(said->one, "stage", "-"));
    table_cell(t, "%s", rows_str(said->one, "peer", "-"));
    if (strcmp(result, "ok") != 0)
        table_cell(t, "%s%s%s", result, why[0] != '\0' ? ": " : "", why);
    else
        table_cell(t, "%s", why[0] != '\0' ? why : "-");
}

/* The last of all nodes, in the order of time. */
static int print_slow(const struct ctl *ctl, const struct rows *rows)
{
    static const char *const headers[] = {"TIME", "NODE", "OPERATION", "TOTAL",
                                          "MOST", "PEER", "WHY"};
    cleanup_free struct said *list = NULL;
    size_t n = 0;
    struct table t;

    for (unsigned i = 0; i < rows->n; i++)
        n += json_array_size(json_object_get(rows->list[i].status, "slow"));
    if (n == 0) {
        (void)printf("nothing was slow lately\n");
        return CTL_EXIT_OK;
    }
    list = calloc(n, sizeof(*list));
    if (list == NULL)
        return report_no_memory(ctl);
    n = 0;
    for (unsigned i = 0; i < rows->n; i++) {
        const json_t *slow = json_object_get(rows->list[i].status, "slow");

        for (size_t k = 0; k < json_array_size(slow); k++)
            list[n++] = (struct said){rows->list[i].node.name, json_array_get(slow, k)};
    }
    qsort(list, n, sizeof(*list), compare);
    table_init(&t, sizeof(headers) / sizeof(headers[0]), 1u << 3, headers);
    t.columns = ctl->wide ? 0 : screen_columns();
    for (size_t i = ctl->count != 0 && ctl->count < n ? n - ctl->count : 0; i < n; i++)
        slow_row(&t, &list[i]);
    return table_print(&t, ctl);
}

static bool any_stages(const struct rows *rows)
{
    for (unsigned i = 0; i < rows->n; i++)
        if (json_array_size(json_object_get(rows->list[i].status, "stages")) > 0)
            return true;
    return false;
}

static int print_stages(const struct ctl *ctl, const struct rows *rows)
{
    static const char *const headers[] = {"NODE",  "OPERATION", "COUNT", "QUEUE", "QUORUM",
                                          "APPLY", "REPLY",     "P50",   "P99",   "LONGEST"};
    static const char *const stages[] = {"queue", "quorum", "apply", "execute"};
    struct table t;

    if (!any_stages(rows)) {
        (void)printf("\nnothing was asked lately\n");
        return CTL_EXIT_OK;
    }
    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x3fcu, headers);
    t.columns = ctl->wide ? 0 : screen_columns();
    for (unsigned i = 0; i < rows->n; i++) {
        const json_t *list = json_object_get(rows->list[i].status, "stages");

        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *one = json_array_get(list, k);
            const json_t *total = json_object_get(one, "total");
            char n[32];

            table_short_count((double)json_integer_value(json_object_get(one, "n")), n, sizeof(n));
            table_name(&t, rows->list[i].node.name);
            table_cell(&t, "%s", rows_str(one, "op", "-"));
            table_cell(&t, "%s", n);
            for (unsigned s = 0; s < sizeof(stages) / sizeof(stages[0]); s++)
                cell_time(&t, us_of(json_object_get(one, stages[s]), "p99_us"));
            cell_time(&t, us_of(total, "p50_us"));
            cell_time(&t, us_of(total, "p99_us"));
            cell_time(&t, us_of(total, "max_us"));
        }
    }
    (void)printf("\nwhere the time goes, 99 of 100 within:\n");
    return table_print(&t, ctl);
}

/* "n1 read_index 210us: arrived, 12us round_sent, 101us acknowledged n2, ..." */
static void print_last(const struct rows *rows)
{
    (void)printf("\nthe last of each, step by step:\n");
    for (unsigned i = 0; i < rows->n; i++) {
        const json_t *list = json_object_get(rows->list[i].status, "last");

        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *one = json_array_get(list, k);
            const json_t *steps = json_object_get(one, "steps");
            char line[1024];
            char took[32];
            size_t len;

            table_short_time(us_of(one, "total_us"), took, sizeof(took));
            len = (size_t)snprintf(line, sizeof(line), "%s %s %s:", rows->list[i].node.name,
                                   rows_str(one, "op", "-"), took);
            for (size_t step = 0; step < json_array_size(steps) && len < sizeof(line); step++) {
                const json_t *s = json_array_get(steps, step);

                table_short_time(us_of(s, "at_us"), took, sizeof(took));
                len += (size_t)snprintf(line + len, sizeof(line) - len, "%s %s %s%s%s",
                                        step > 0 ? "," : "", took, rows_str(s, "what", "-"),
                                        rows_str(s, "peer", "")[0] != '\0' ? " " : "",
                                        rows_str(s, "peer", ""));
            }
            report_clean(line);
            text_wrapped("  ", "      ", line);
        }
    }
}

static int print_json(const struct ctl *ctl, const struct rows *rows)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_open(&d, "nodes", '[');
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        doc_open(&d, NULL, '{');
        doc_str(&d, "node", row->node.name);
        doc_str(&d, "endpoint", row->node.endpoint);
        if (row->status != NULL && row->reply != NULL) {
            doc_raw(&d, "slow", row->reply->json, row->reply->json_len);
        } else {
            doc_str(&d, "error",
                    row->reply != NULL ? ridd_status_name(row->reply->status) : "no_answer");
            doc_str(&d, "text", rows_down_reason(row));
        }
        doc_close(&d, '}');
    }
    doc_close(&d, ']');
    doc_close(&d, '}');
    return doc_print(&d, ctl);
}

/* One line for each that could not say. */
static void say_silent(const struct rows *rows)
{
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];
        const bool old = row->reply != NULL && (row->reply->status == RIDD_NOT_SUPPORTED ||
                                                row->reply->status == RIDD_MALFORMED);
        char line[RIDD_TEXT_SIZE + NODE_NAME_BYTES_MAX + 64];

        if (row->status != NULL)
            continue;
        (void)snprintf(line, sizeof(line), "%s %s%s",
                       row->node.name[0] != '\0' ? row->node.name : row->node.endpoint,
                       old ? "is of a version that measures no stages; 'ridctl status --json' has "
                             "what it counts"
                           : "does not answer: ",
                       old ? "" : rows_down_reason(row));
        report_clean(line);
        (void)fflush(stdout);
        (void)fprintf(stderr, "-- %s\n", line);
    }
}

static int print_all(const struct ctl *ctl, const struct rows *rows)
{
    int exit_code;

    if (ctl->json)
        return print_json(ctl, rows);
    exit_code = print_slow(ctl, rows);
    if (exit_code == CTL_EXIT_OK)
        exit_code = print_stages(ctl, rows);
    if (exit_code == CTL_EXIT_OK && ctl->verbose)
        print_last(rows);
    return exit_code;
}

int verb_slow(struct ctl *ctl)
{
    cleanup_free struct rows *rows = NULL;
    unsigned n_answered = 0;
    unsigned n_ok = 0;
    int exit_code = cluster_find(ctl);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rows = calloc(1, sizeof(*rows));
    if (rows == NULL)
        return report_no_memory(ctl);
    exit_code = rows_ask(ctl, rows);
    if (exit_code == CTL_EXIT_OK)
        exit_code = rows_ask_again(ctl, rows, "{\"type\":\"slow\"}");
    for (unsigned i = 0; i < rows->n; i++) {
        n_ok += rows->list[i].status != NULL;
        n_answered += rows->list[i].reply != NULL && rows->list[i].reply->code >= 0;
    }
    if (exit_code == CTL_EXIT_OK && (n_ok > 0 || ctl->json))
        exit_code = print_all(ctl, rows);
    if (exit_code == CTL_EXIT_OK && !ctl->json)
        say_silent(rows);
    if (exit_code == CTL_EXIT_OK && n_ok + n_answered == 0)
        exit_code = report(ctl, CTL_EXIT_NOBODY,
                           "none of %u nodes answered; is ridd running there? try 'ridctl status'",
                           rows->n);
    rows_done(rows);
    return exit_code;
}
