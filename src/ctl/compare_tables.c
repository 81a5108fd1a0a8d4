/* The figures of `ridctl compare` for people: latencies, their distribution on one axis for all
 * methods, what each read cost, and the verdict. Nothing is wider than 80 columns. */
#include <langinfo.h>
#include <locale.h>
#include <string.h>

#include "ctl/compare_int.h"

#include "base/banned.h"

/* ---- looking ---- */

const struct compare_run *compare_next(const struct compare_run *runs, unsigned n,
                                       const struct compare_run *last, unsigned readers)
{
    for (unsigned i = last != NULL ? (unsigned)(last - runs) + 1 : 0; i < n; i++)
        if (runs[i].readers == readers)
            return &runs[i];
    return NULL;
}

const json_t *compare_method(const json_t *reply, const char *name)
{
    const json_t *methods = json_object_get(reply, "methods");

    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *m = json_array_get(methods, i);
        const char *s = json_string_value(json_object_get(m, "method"));

        if (s != NULL && strcmp(s, name) == 0)
            return m;
    }
    return NULL;
}

double compare_number(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

static const char *name_of(const json_t *m)
{
    const char *name = json_string_value(json_object_get(m, "method"));

    return name != NULL ? name : "?";
}

static void cell(struct table *t, const json_t *o, const char *name, int decimals)
{
    if (json_is_number(json_object_get(o, name)))
        table_cell(t, "%.*f", decimals, compare_number(o, name));
    else
        table_cell(t, "-");
}

/* ---- latency ---- */

static int print_latencies(const struct ctl *ctl, const struct compare_run *runs, unsigned n,
                           unsigned readers)
{
    static const char *const headers[] = {"METHOD", "AT",     "READS",   "P50 MS", "P95 MS",
                                          "P99 MS", "MAX MS", "READS/S", "STALE"};
    const struct compare_run *run = NULL;
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x1fc, headers);
    while ((run = compare_next(runs, n, run, readers)) != NULL) {
        const json_t *methods = json_object_get(run->reply, "methods");

        for (size_t i = 0; i < json_array_size(methods); i++) {
            const json_t *m = json_array_get(methods, i);

            table_cell(&t, "%s", name_of(m));
            table_cell(&t, "%s", run->node);
            cell(&t, m, "reads", 0);
            cell(&t, m, "p50_ms", 3);
            cell(&t, m, "p95_ms", 3);
            cell(&t, m, "p99_ms", 3);
            cell(&t, m, "max_ms", 3);
            cell(&t, m, "reads_per_s", 0);
            cell(&t, m, "stale", 0);
        }
    }
    return table_print(&t, ctl);
}

/* ---- the distribution ---- */

#define STRIP_CELLS 48u

/* One axis for all: quarters of powers of two, as many to a cell as make all fit. */
struct axis {
    unsigned from; /* of the first cell */
    unsigned per_cell;
    unsigned n;
};

/* Below four each microsecond is its own. */
static unsigned quarter_of(uint64_t us)
{
    unsigned shift = 0;

    while (us >> shift >= 8)
        shift++;
    return us < 4 ? (unsigned)us : shift * 4 + (unsigned)(us >> shift);
}

static unsigned cell_of(const struct axis *a, uint64_t us)
{
    const unsigned quarter = quarter_of(us);

    return quarter < a->from ? 0 : (quarter - a->from) / a->per_cell;
}

/* False: there is nothing to show. */
static bool find_axis(const struct compare_run *runs, unsigned n, struct axis *ret)
{
    unsigned lowest = UINT32_MAX;
    unsigned highest = 0;

    for (unsigned r = 0; r < n; r++) {
        const json_t *methods = json_object_get(runs[r].reply, "methods");

        for (size_t i = 0; i < json_array_size(methods); i++) {
            const json_t *h = json_object_get(json_array_get(methods, i), "histogram");

            for (size_t k = 0; k < json_array_size(h); k++) {
                const json_t *us = json_array_get(json_array_get(h, k), 0);
                const unsigned quarter = quarter_of((uint64_t)json_integer_value(us));

                lowest = quarter < lowest ? quarter : lowest;
                highest = quarter > highest ? quarter : highest;
            }
        }
    }
    if (lowest > highest)
        return false;
    ret->from = lowest;
    ret->per_cell = (highest - lowest) / STRIP_CELLS + 1;
    ret->n = (highest - lowest) / ret->per_cell + 1;
    return true;
}

/* Eight heights, and none. */
static const char *height_text(double share, bool unicode)
{
    static const char *const bars[] = {" ",
                                       "\xe2\x96\x81",
                                       "\xe2\x96\x82",
                                       "\xe2\x96\x83",
                                       "\xe2\x96\x84",
                                       "\xe2\x96\x85",
                                       "\xe2\x96\x86",
                                       "\xe2\x96\x87",
                                       "\xe2\x96\x88"};
    static const char *const ascii[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
    unsigned i = (unsigned)(share * 8);

    if (share > 0 && i == 0)
        i = 1; /* a few are not none */
    if (i > 8)
        i = 8;
    return unicode ? bars[i] : ascii[i];
}

static bool speaks_unicode(void)
{
    return setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void print_strip(const struct axis *a, const json_t *histogram, bool unicode)
{
    double counts[STRIP_CELLS] = {0};
    double most = 0;
    unsigned end = 0; /* no blanks at the end of a line */

    for (size_t k = 0; k < json_array_size(histogram); k++) {
        const json_t *bucket = json_array_get(histogram, k);
        const unsigned at = cell_of(a, (uint64_t)json_integer_value(json_array_get(bucket, 0)));

        if (at >= a->n)
            continue;
        counts[at] += json_number_value(json_array_get(bucket, 1));
        most = counts[at] > most ? counts[at] : most;
        end = at >= end ? at + 1 : end;
    }
    for (unsigned i = 0; i < end && most > 0; i++)
        (void)fputs(height_text(counts[i] / most, unicode), stdout);
    (void)putchar('\n');
}

/* Powers of ten where they stand. */
static void print_scale(const struct axis *a, int indent)
{
    static const struct {
        uint64_t us;
        const char *text;
    } ticks[] = {{1, "1us"},
                 {10, "10us"},
                 {100, "100us"},
                 {1000, "1ms"},
                 {UINT64_C(10) * 1000, "10ms"},
                 {UINT64_C(100) * 1000, "100ms"},
                 {UINT64_C(1000) * 1000, "1s"}};
    unsigned at = 0;

    (void)printf("%*s", indent, "");
    for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
        const unsigned tick = cell_of(a, ticks[i].us);

        if (quarter_of(ticks[i].us) < a->from || tick >= a->n || (at > 0 && tick <= at))
            continue;
        (void)printf("%*s%s", (int)(tick - at), "", ticks[i].text);
        at = tick + (unsigned)strlen(ticks[i].text);
    }
    (void)putchar('\n');
}

static void print_strips(const struct compare_run *runs, unsigned n, const struct axis *a,
                         unsigned readers)
{
    const struct compare_run *run = NULL;
    const bool unicode = speaks_unicode();
    int width = 0;

    while ((run = compare_next(runs, n, run, readers)) != NULL)
        if ((int)strlen(run->node) > width)
            width = (int)strlen(run->node);
    (void)putchar('\n');
    while ((run = compare_next(runs, n, run, readers)) != NULL) {
        const json_t *methods = json_object_get(run->reply, "methods");

        for (size_t i = 0; i < json_array_size(methods); i++) {
            const json_t *m = json_array_get(methods, i);

            (void)printf("%-13s  %-*s  ", name_of(m), width, run->node);
            print_strip(a, json_object_get(m, "histogram"), unicode);
        }
    }
    print_scale(a, 17 + width);
}

/* ---- cost ---- */

static void cell_per_read(struct table *t, const json_t *cost, const char *name, int decimals)
{
    const double reads = compare_number(cost, "reads");

    if (reads > 0 && json_object_get(cost, name) != NULL)
        table_cell(t, "%.*f", decimals, compare_number(cost, name) / reads);
    else
        table_cell(t, "-");
}

static bool has_cost(const struct compare_run *run)
{
    return json_object_get(json_array_get(json_object_get(run->reply, "methods"), 0), "cost") !=
           NULL;
}

static int print_costs(const struct ctl *ctl, const struct compare_run *runs, unsigned n,
                       unsigned readers)
{
    static const char *const headers[] = {"PER READ", "AT",     "MESSAGES", "ROUNDS", "ENTRIES",
                                          "FSYNCS",   "WRITES", "LOG B",    "WIRE B"};
    const struct compare_run *run = NULL;
    bool any = false;
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x1fc, headers);
    while ((run = compare_next(runs, n, run, readers)) != NULL) {
        const json_t *methods = json_object_get(run->reply, "methods");

        any = any || has_cost(run);
        for (size_t i = 0; i < json_array_size(methods) && has_cost(run); i++) {
            const json_t *m = json_array_get(methods, i);
            const json_t *cost = json_object_get(m, "cost");

            table_cell(&t, "%s", name_of(m));
            table_cell(&t, "%s", run->node);
            cell_per_read(&t, cost, "messages", 2);
            cell_per_read(&t, cost, "rounds", 2);
            cell_per_read(&t, cost, "log_entries", 2);
            cell_per_read(&t, cost, "fsyncs", 2);
            cell_per_read(&t, cost, "disk_writes", 2);
            cell_per_read(&t, cost, "log_bytes", 0);
            cell_per_read(&t, cost, "wire_bytes", 0);
        }
    }
    if (!any) {
        buf_done(&t.cells);
        return CTL_EXIT_OK;
    }
    (void)putchar('\n');
    return table_print(&t, ctl);
}

/* ---- the verdict ---- */

/* The finer figure when the reply has it. */
static double avg_of(const json_t *reply, const char *method, const char *field)
{
    const json_t *v = json_object_get(compare_method(reply, method), "avg_ms");

    return json_is_number(v) ? json_number_value(v) : compare_number(reply, field);
}

/* " with 0 log entries and 0 fsyncs", or nothing when the node did not count. */
static void print_index_cost(const json_t *reply)
{
    const json_t *m = compare_method(reply, "read_index");
    const json_t *entries = json_object_get(m, "log_entries");
    const json_t *fsyncs = json_object_get(m, "fsyncs");
    json_int_t n_entries = json_integer_value(entries);
    json_int_t n_fsyncs = json_integer_value(fsyncs);

    if (json_is_integer(entries) && json_is_integer(fsyncs))
        (void)printf(" with %lld log %s and %lld %s", (long long)n_entries,
                     n_entries == 1 ? "entry" : "entries", (long long)n_fsyncs,
                     n_fsyncs == 1 ? "fsync" : "fsyncs");
}

/* when: "", or "16 reads at a time: ". */
static void print_ratio(const json_t *reply, const char *when)
{
    double index_ms = avg_of(reply, "read_index", "read_index_avg_ms");
    double log_ms = avg_of(reply, "read_via_log", "read_via_log_avg_ms");

    (void)fputs(when, stdout);
    if (index_ms > 0 && log_ms > 0) {
        double ratio = log_ms / index_ms;

        if (ratio >= 1.05)
            (void)printf("read_index answered %.1f times faster than read_via_log", ratio);
        else if (ratio <= 1 / 1.05)
            (void)printf("read_index answered %.1f times slower than read_via_log", 1 / ratio);
        else
            (void)printf("read_index answered as fast as read_via_log");
    } else {
        (void)printf("read_index answered in %.3f ms, read_via_log in %.3f ms", index_ms, log_ms);
    }
    print_index_cost(reply);
    if (json_is_true(json_object_get(reply, "both_linearizable")))
        (void)printf("; both were linearizable\n");
    else
        (void)printf("; they were NOT both linearizable\n");
}

/* What a table does not say. */
static void print_notes(const struct compare_run *run, const char *when)
{
    const json_t *lease = compare_method(run->reply, "lease_read");
    const json_t *methods = json_object_get(run->reply, "methods");
    const double fallbacks = compare_number(lease, "lease_fallbacks");

    if (fallbacks > 0)
        (void)printf("%s%s had no lease for %.0f of %.0f lease reads: they took a round\n", when,
                     run->node, fallbacks, compare_number(lease, "reads"));
    if (json_is_false(json_object_get(run->reply, "writes")) &&
        compare_number(run->reply, "values_seen") == 0)
        (void)printf("%snothing was written while %s read: its reads were held against little\n",
                     when, run->node);
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *m = json_array_get(methods, i);

        if (compare_number(m, "wrong") > 0)
            (void)printf("%s%s at %s: %.0f answers were NOT what the method promises\n", when,
                         name_of(m), run->node, compare_number(m, "wrong"));
    }
}

int compare_print(const struct ctl *ctl, const struct compare_run *runs, unsigned n)
{
    int exit_code = CTL_EXIT_OK;
    struct axis a = {0};
    const bool has_axis = find_axis(runs, n, &a);

    for (unsigned i = 0; i < n && exit_code == CTL_EXIT_OK; i++) {
        const unsigned readers = runs[i].readers;

        if (i > 0 && runs[i - 1].readers == readers)
            continue; /* with those before it */
        if (i > 0)
            (void)putchar('\n');
        if (n > 1)
            (void)printf("%u %s at a time\n", readers, readers == 1 ? "read" : "reads");
        exit_code = print_latencies(ctl, runs, n, readers);
        if (exit_code == CTL_EXIT_OK && has_axis)
            print_strips(runs, n, &a, readers);
        if (exit_code == CTL_EXIT_OK)
            exit_code = print_costs(ctl, runs, n, readers);
    }
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (n > 1)
        (void)putchar('\n');
    for (unsigned i = 0; i < n; i++) {
        const unsigned readers = runs[i].readers;
        char when[48] = "";

        if (runs[0].readers != runs[n - 1].readers)
            (void)snprintf(when, sizeof(when), "%u %s at a time: ", readers,
                           readers == 1 ? "read" : "reads");
        if (json_is_number(json_object_get(runs[i].reply, "read_index_avg_ms")))
            print_ratio(runs[i].reply, when);
        print_notes(&runs[i], when);
    }
    return CTL_EXIT_OK;
}
