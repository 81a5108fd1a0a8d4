/* What `bench` prints: figures, errors by their names, what it cost, and what limits it. */
#include <stdio.h>
#include <string.h>

#include "ctl/bench_int.h"

#include "base/banned.h"

static const unsigned quantiles[] = {500, 900, 990, 999};
static const char *const side_names[] = {"reads", "writes"};

static double elapsed_s(const struct bench *b)
{
    const double s = (double)(b->end_us - b->begun_us) / 1e6;

    return s > 0 ? s : 1;
}

static uint64_t n_ops(const struct bench *b)
{
    return b->sides[BENCH_READ].us.n + b->sides[BENCH_WRITE].us.n;
}

static unsigned cpu_percent(const struct bench *b)
{
    return (unsigned)((double)b->cpu_us / 1e4 / elapsed_s(b) + 0.5);
}

static bool client_is_limit(const struct bench *b)
{
    return cpu_percent(b) >= BENCH_BUSY_PERCENT;
}

/* None of the nodes was started anew meanwhile, or silent. */
static bool cost_is_known(const struct bench *b)
{
    return b->before.known && b->after.known && b->after.fsyncs >= b->before.fsyncs &&
           b->after.rounds >= b->before.rounds && b->after.log_bytes >= b->before.log_bytes &&
           n_ops(b) > 0;
}

/* ---- for people ---- */

static int print_table(const struct bench *b)
{
    static const char *const headers[] = {"",       "OPS",      "OPS/S",  "P50 MS",        "P90 MS",
                                          "P99 MS", "P99.9 MS", "MAX MS", "LONGEST GAP MS"};
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x1fe, headers);
    for (unsigned i = 0; i < 2; i++) {
        const struct bench_side *side = &b->sides[i];

        if (side->us.n == 0)
            continue;
        table_cell(&t, "%s", side_names[i]);
        table_cell(&t, "%llu", (unsigned long long)side->us.n);
        table_cell(&t, "%.0f", (double)side->us.n / elapsed_s(b));
        for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
            table_cell(&t, "%.3f", (double)histogram_at(&side->us, quantiles[q]) / 1e3);
        table_cell(&t, "%.3f", (double)side->us.max / 1e3);
        table_cell(&t, "%.1f", (double)side->longest_us / 1e3);
    }
    return table_print(&t, b->ctl);
}

static void print_errors(const struct bench *b)
{
    const char *comma = "errors: ";

    for (unsigned i = 0; i <= RIDD_NO_MEMORY; i++) {
        if (b->errors[i] == 0)
            continue;
        (void)printf("%s%s %llu", comma, ridd_status_name((enum ridd_status)i),
                     (unsigned long long)b->errors[i]);
        comma = ", ";
    }
    if (b->n_errors > 0)
        (void)printf("\n");
    if (b->n_absent > 0)
        (void)printf("%llu reads found a node that did not know the key yet, which local allows\n",
                     (unsigned long long)b->n_absent);
    if (b->n_wrong == 0)
        (void)printf("every answer was right: of its key%s\n",
                     b->linearizable ? ", no older than the last acknowledged write" : "");
    else
        (void)printf("%llu answers were WRONG; the first: %s\n", (unsigned long long)b->n_wrong,
                     b->wrong);
}

static void print_cost(const struct bench *b)
{
    const double n = (double)n_ops(b);

    if (!cost_is_known(b)) {
        (void)printf("cost: not known, since a node was silent or was started anew\n");
        return;
    }
    (void)printf("cost of one, on all nodes: %.3f fsyncs, %.3f rounds, %.0f bytes of log\n",
                 (double)(b->after.fsyncs - b->before.fsyncs) / n,
                 (double)(b->after.rounds - b->before.rounds) / n,
                 (double)(b->after.log_bytes - b->before.log_bytes) / n);
}

static int print_text(const struct bench *b)
{
    int exit_code;

    (void)printf("%s: %u %s with %u in flight each, %.1f s%s, %u keys of %u bytes\n", b->method,
                 b->n_clients, b->n_clients == 1 ? "client" : "clients", b->in_flight, elapsed_s(b),
                 b->interrupted ? " (interrupted)" : "", b->n_keys, b->value_bytes);
    exit_code = print_table(b);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    print_errors(b);
    print_cost(b);
    if (client_is_limit(b))
        (void)printf("the processor of this client was busy %u %%: it is the limit, not the "
                     "cluster; ask from several hosts at once to see more\n",
                     cpu_percent(b));
    else
        (void)printf("the processor of this client was busy %u %%\n", cpu_percent(b));
    if (b->n_left > 0)
        (void)printf("%llu keys below " BENCH_PREFIX "%s/ could not be removed; the next run in an "
                     "hour will\n",
                     (unsigned long long)b->n_left, b->run);
    else
        (void)printf("its %u keys below " BENCH_PREFIX "%s/ are removed\n", b->n_keys, b->run);
    if (b->n_others > 0)
        (void)printf("%llu keys of another run are there: it runs now, or was killed within the "
                     "last hour\n",
                     (unsigned long long)b->n_others);
    return CTL_EXIT_OK;
}

/* ---- for programs ---- */

static void add_side(struct doc *d, const struct bench *b, unsigned i)
{
    static const char *const names[] = {"p50_ms", "p90_ms", "p99_ms", "p999_ms"};
    const struct bench_side *side = &b->sides[i];

    if (side->us.n == 0) {
        doc_null(d, side_names[i]);
        return;
    }
    doc_open(d, side_names[i], '{');
    doc_u64(d, "ops", side->us.n);
    doc_u64(d, "ops_per_s", (uint64_t)((double)side->us.n / elapsed_s(b)));
    for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++)
        doc_ms(d, names[q], histogram_at(&side->us, quantiles[q]));
    doc_ms(d, "max_ms", side->us.max);
    doc_ms(d, "longest_gap_ms", side->longest_us);
    doc_ms(d, "longest_gap_at_ms",
           side->longest_at_us > b->begun_us ? side->longest_at_us - b->begun_us : 0);
    doc_close(d, '}');
}

static void add_cost(struct doc *d, const struct bench *b)
{
    if (!cost_is_known(b)) {
        doc_null(d, "cost");
        return;
    }
    doc_open(d, "cost", '{');
    doc_u64(d, "fsyncs", b->after.fsyncs - b->before.fsyncs);
    doc_u64(d, "rounds", b->after.rounds - b->before.rounds);
    doc_u64(d, "log_bytes", b->after.log_bytes - b->before.log_bytes);
    doc_close(d, '}');
}

static int print_json(const struct bench *b)
{
    struct doc d = DOC_INIT;

    doc_open(&d, NULL, '{');
    doc_str(&d, "method", b->method);
    doc_u64(&d, "clients", b->n_clients);
    doc_u64(&d, "in_flight", b->in_flight);
    doc_u64(&d, "keys", b->n_keys);
    doc_u64(&d, "value_bytes", b->value_bytes);
    doc_ms(&d, "elapsed_ms", b->end_us - b->begun_us);
    doc_bool(&d, "interrupted", b->interrupted);
    doc_u64(&d, "ops", n_ops(b));
    doc_u64(&d, "ops_per_s", (uint64_t)((double)n_ops(b) / elapsed_s(b)));
    add_side(&d, b, BENCH_READ);
    add_side(&d, b, BENCH_WRITE);
    doc_open(&d, "errors", '{');
    for (unsigned i = 0; i <= RIDD_NO_MEMORY; i++)
        if (b->errors[i] > 0)
            doc_u64(&d, ridd_status_name((enum ridd_status)i), b->errors[i]);
    doc_close(&d, '}');
    doc_u64(&d, "wrong", b->n_wrong);
    if (b->n_wrong > 0)
        doc_str(&d, "first_wrong", b->wrong);
    doc_u64(&d, "absent", b->n_absent);
    add_cost(&d, b);
    doc_u64(&d, "cpu_percent", cpu_percent(b));
    doc_bool(&d, "client_is_limit", client_is_limit(b));
    doc_u64(&d, "keys_left", b->n_left);
    doc_u64(&d, "keys_of_others", b->n_others);
    doc_close(&d, '}');
    return doc_print(&d, b->ctl);
}

int bench_report(const struct bench *b)
{
    return b->ctl->json ? print_json(b) : print_text(b);
}
