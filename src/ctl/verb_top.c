/* top: what each node does now, as rates: differences of the counters that `status` tells, over the
 * node's own time between two answers. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/rows_int.h"
#include "ctl/screen_int.h"

#include "base/banned.h"

/* Counters of the status reply that become rates: column, object, field. */
/* clang-format off */
#define TOP_RATES(X)                               \
    X(INDEX,    "INDEX",    "reads",  "read_index")   \
    X(LEASE,    "LEASE",    "reads",  "lease")        \
    X(FOLLOWER, "FOLLOW",   "reads",  "follower")     \
    X(BOUNDED,  "BOUND",    "reads",  "bounded")      \
    X(LOCAL,    "LOCAL",    "reads",  "local")        \
    X(LOG,      "LOG",      "reads",  "read_via_log") \
    X(FAILED,   "FAILED",   "reads",  "failed")       \
    X(WRITES,   "WRITES",   "writes", "applied")      \
    X(ROUNDS,   "ROUNDS",   "reads",  "rounds")       \
    X(SYNCS,    "SYNCS",    "log",    "fsyncs")
/* clang-format on */
#define RATE_ENUM(id, header, object, field) RATE_##id,
enum rate { TOP_RATES(RATE_ENUM) RATES_N };
#define RATE_ROW(id, header, object, field) {object, field},
static const struct {
    const char *object;
    const char *field;
} rates[] = {TOP_RATES(RATE_ROW)};
/* Those that one row shows, the first so many. */
#define RATES_SHOWN RATE_ROUNDS

struct sample {
    char endpoint[RIDD_ENDPOINT_SIZE];
    uint64_t counts[RATES_N];
    uint64_t uptime_ms;
};

struct top {
    struct sample before[RIDD_ENDPOINTS_MAX];
    unsigned n_before;
    struct rows rows;
    struct verdict verdict;
};

struct busy {
    const struct row *row;
    double per_s[RATES_N];
    double all; /* requests per second */
    bool known; /* there is something to compare with */
};

static uint64_t num(const json_t *o, const char *object, const char *field)
{
    const json_int_t v =
        json_integer_value(json_object_get(object != NULL ? json_object_get(o, object) : o, field));

    return v > 0 ? (uint64_t)v : 0;
}

/* ---- rates ---- */

static void take_sample(const struct row *row, struct sample *ret)
{
    (void)snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", row->node.endpoint);
    ret->uptime_ms = num(row->status, NULL, "uptime_ms");
    for (unsigned i = 0; i < RATES_N; i++)
        ret->counts[i] = num(row->status, rates[i].object, rates[i].field);
}

static const struct sample *sample_of(const struct top *top, const char *endpoint)
{
    for (unsigned i = 0; i < top->n_before; i++)
        if (strcmp(top->before[i].endpoint, endpoint) == 0)
            return &top->before[i];
    return NULL;
}

/* Of a node that was started anew nothing is known until the next look (TELL-5). */
static void rates_of(const struct top *top, const struct row *row, struct busy *ret)
{
    const struct sample *before = sample_of(top, row->node.endpoint);
    struct sample now;

    memset(ret, 0, sizeof(*ret));
    ret->row = row;
    if (row->status == NULL || before == NULL)
        return;
    take_sample(row, &now);
    if (now.uptime_ms <= before->uptime_ms)
        return;
    ret->known = true;
    for (unsigned i = 0; i < RATES_N; i++) {
        if (now.counts[i] >= before->counts[i])
            ret->per_s[i] = (double)(now.counts[i] - before->counts[i]) * 1000.0 /
                            (double)(now.uptime_ms - before->uptime_ms);
        if (i < RATES_SHOWN && i != RATE_FAILED)
            ret->all += ret->per_s[i];
    }
}

static void keep_samples(struct top *top)
{
    top->n_before = 0;
    for (unsigned i = 0; i < top->rows.n; i++)
        if (top->rows.list[i].status != NULL)
            take_sample(&top->rows.list[i], &top->before[top->n_before++]);
}

/* The busiest first; who answers nothing last. */
static int compare(const void *a, const void *b)
{
    const struct busy *x = a;
    const struct busy *y = b;

    if ((x->row->status == NULL) != (y->row->status == NULL))
        return x->row->status == NULL ? 1 : -1;
    if (x->all < y->all || x->all > y->all)
        return x->all < y->all ? 1 : -1;
    return strcmp(x->row->node.name, y->row->node.name);
}

/* ---- tables ---- */

static void cell_count(struct table *t, double v)
{
    char text[32];

    table_short_count(v < 999.5 ? (double)(uint64_t)(v + 0.5) : v, text, sizeof(text));
    table_cell(t, "%s", text);
}

static void cell_time(struct table *t, uint64_t us)
{
    char text[32];

    table_short_time(us, text, sizeof(text));
    table_cell(t, "%s", us > 0 ? text : "-");
}

static void cell_size(struct table *t, uint64_t bytes)
{
    char text[32];

    table_short_size(bytes, text, sizeof(text));
    table_cell(t, "%s", text);
}

static int print_rates(const struct ctl *ctl, const struct busy *list, unsigned n)
{
#define RATE_HEADER(id, header, object, field) header,
    static const char *const headers[] = {"NODE", "ROLE", TOP_RATES(RATE_HEADER)};
    struct table t;

    table_init(&t, 2 + RATES_SHOWN, 0x3fcu, headers);
    t.columns = screen_columns();
    for (unsigned i = 0; i < n; i++) {
        table_name(&t, list[i].row->node.name[0] != '\0' ? list[i].row->node.name : "?");
        if (list[i].row->status == NULL) {
            table_rest(&t, "%s: %.64s", rows_is_busy(list[i].row) ? "busy" : "down",
                       rows_down_reason(list[i].row));
            continue;
        }
        table_cell(&t, "%s", rows_str(list[i].row->status, "role", "-"));
        for (unsigned k = 0; k < RATES_SHOWN; k++) {
            if (list[i].known)
                cell_count(&t, list[i].per_s[k]);
            else
                table_cell(&t, "-");
        }
    }
    (void)printf("requests per second:\n");
    return table_print(&t, ctl);
}

static int print_load(const struct ctl *ctl, const struct top *top, const struct busy *list,
                      unsigned n)
{
    static const char *const headers[] = {"NODE",    "ROUNDS/S", "READS/ROUND",
                                          "SYNCS/S", "SYNC P99", "TURN P99",
                                          "MEMORY",  "CLIENTS",  "LAG"};
    const struct row *best = rows_best(&top->rows);
    const uint64_t commit = best != NULL ? num(best->status, NULL, "commit_index") : 0;
    struct table t;

    (void)printf("\n");
    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x1feu, headers);
    t.columns = screen_columns();
    for (unsigned i = 0; i < n; i++) {
        const json_t *s = list[i].row->status;
        const uint64_t applied = num(s, NULL, "applied_index");
        const double rounds = list[i].per_s[RATE_ROUNDS];

        if (s == NULL)
            continue;
        table_name(&t, list[i].row->node.name);
        if (list[i].known)
            cell_count(&t, rounds);
        else
            table_cell(&t, "-");
        if (list[i].known && rounds >= 0.5)
            table_cell(&t, "%.1f", list[i].per_s[RATE_INDEX] / rounds);
        else
            table_cell(&t, "-");
        if (list[i].known)
            cell_count(&t, list[i].per_s[RATE_SYNCS]);
        else
            table_cell(&t, "-");
        cell_time(&t, num(s, "disk", "fsync_p99_us"));
        cell_time(&t, num(s, "turn", "cpu_p99_us"));
        cell_size(&t, num(s, NULL, "rss_bytes"));
        table_cell(&t, "%llu", (unsigned long long)num(s, "clients", "open"));
        if (applied > 0)
            table_cell(&t, "%llu", (unsigned long long)(commit > applied ? commit - applied : 0));
        else
            table_cell(&t, "-");
    }
    return table_print(&t, ctl);
}

static int print_all(const struct ctl *ctl, struct top *top)
{
    struct busy list[RIDD_ENDPOINTS_MAX] = {{.row = NULL}};
    char line[NODE_NAME_BYTES_MAX + VERDICT_TEXT_BYTES + RIDD_ENDPOINT_SIZE];
    int exit_code;

    for (unsigned i = 0; i < top->rows.n; i++)
        rates_of(top, &top->rows.list[i], &list[i]);
    qsort(list, top->rows.n, sizeof(list[0]), compare);
    verdict_line(&top->verdict, line, sizeof(line));
    report_clean(line);
    (void)printf("%s\n", line);
    if (top->verdict.n_reasons > 0) {
        const struct verdict_reason *r = &top->verdict.reasons[0];

        (void)snprintf(line, sizeof(line), "%s: %s", r->node[0] != '\0' ? r->node : r->endpoint,
                       r->text);
        report_clean(line);
        (void)printf("  %.70s%s\n", line, top->verdict.n_reasons > 1 ? " (and more)" : "");
    }
    (void)printf("\n");
    exit_code = print_rates(ctl, list, top->rows.n);
    if (exit_code == CTL_EXIT_OK && rows_best(&top->rows) != NULL)
        exit_code = print_load(ctl, top, list, top->rows.n);
    return exit_code;
}

/* ---- again and again ---- */

static int look(const struct ctl *ctl, struct top *top)
{
    int exit_code;

    rows_done(&top->rows);
    exit_code = rows_ask(ctl, &top->rows);
    if (exit_code == CTL_EXIT_OK)
        rows_judge(ctl, &top->rows, &top->verdict);
    return exit_code;
}

static int show(const struct ctl *ctl, struct top *top)
{
    int exit_code;

    screen_frame_begin();
    exit_code = print_all(ctl, top);
    if (screen_is_shown())
        (void)printf("\nq ends\n");
    screen_frame_end();
    keep_samples(top);
    return exit_code;
}

static int run(const struct ctl *ctl, struct top *top)
{
    const unsigned every_ms = ctl->interval_ms != 0 ? ctl->interval_ms : CTL_LOOK_EVERY_MS;
    const unsigned most = ctl->count != 0 ? ctl->count : screen_is_shown() ? 0 : 1;
    unsigned shown = 0;
    int exit_code = look(ctl, top);

    /* Without rates yet: something is seen at once, where it is drawn over. */
    if (exit_code == CTL_EXIT_OK && screen_is_shown())
        exit_code = show(ctl, top);
    keep_samples(top);
    while (exit_code == CTL_EXIT_OK && !ferror(stdout) && screen_wait(every_ms)) {
        exit_code = look(ctl, top);
        if (exit_code == CTL_EXIT_OK)
            exit_code = show(ctl, top);
        if (++shown == most)
            break;
    }
    return exit_code == CTL_EXIT_OK ? rows_exit_code(&top->verdict) : exit_code;
}

int verb_top(struct ctl *ctl)
{
    cleanup_free struct top *top = NULL;
    int exit_code = cluster_find(ctl);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    top = calloc(1, sizeof(*top));
    if (top == NULL)
        return report_no_memory(ctl);
    screen_begin(true);
    exit_code = run(ctl, top);
    screen_end();
    rows_done(&top->rows);
    return exit_code;
}
