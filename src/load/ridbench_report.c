/* What ridbench prints: figures, errors by their names, and what limits them. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "load/ridbench_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static const char *const side_names[LOAD_N_KINDS] = {"reads", "writes", "batches", "scans",
                                                     "removes"};
static const struct {
    unsigned permille;
    const char *name;
} quantiles[] = {{500, "p50_ms"}, {900, "p90_ms"}, {990, "p99_ms"}, {999, "p999_ms"}};
#define N_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double elapsed_s(const struct load_figures *f)
{
    const double s = (double)(f->end_ns - f->begin_ns) / 1e9;

    return f->end_ns > f->begin_ns ? s : 1;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static uint64_t n_answered(const struct load_figures *f)
{
    return load_n_done(f) - f->n_unsent;
}

static unsigned cpu_percent(const struct bench *b, const struct load_figures *f)
{
    return (unsigned)((double)f->cpu_ns / 1e7 / elapsed_s(f) / b->n_threads + 0.5);
}

static bool client_is_limit(const struct bench *b, const struct load_figures *f)
{
    return cpu_percent(b, f) >= BENCH_BUSY_PERCENT;
}

/* ---- for people ---- */

static void print_side(const struct load_figures *f, unsigned i)
{
    const struct load_side *s = &f->sides[i];

    (void)printf("%-8s %11" PRIu64 " %10.0f", side_names[i], s->ns.n,
                 (double)s->ns.n / elapsed_s(f));
    for (size_t q = 0; q < N_QUANTILES; q++)
        (void)printf(" %8.3f", ms(histogram_fine_at(&s->ns, quantiles[q].permille)));
    (void)printf(" %8.3f\n", ms(s->ns.max));
}

static void print_errors(const struct bench *b, const struct load_figures *f)
{
    for (unsigned i = 0; i < f->n_error_names; i++)
        (void)printf("%s%s %" PRIu64, i == 0 ? "errors: " : ", ", f->errors[i].name,
                     f->errors[i].n);
    if (f->n_error_names > 0)
        (void)printf("; the first: %s\n", f->first_error);
    if (f->n_again > 0 || f->n_lost > 0)
        (void)printf("%" PRIu64 " were asked again, %" PRIu64 " connections were lost\n",
                     f->n_again, f->n_lost);
    if (f->n_unsent > 0)
        (void)printf("%" PRIu64 " were due and never sent; the times hold what they waited\n",
                     f->n_unsent);
    if (f->n_absent > 0)
        (void)printf("%" PRIu64 " reads found a node that did not know the key yet, which %s "
                     "allows\n",
                     f->n_absent, b->method->name);
    if (f->n_wrong > 0)
        (void)printf("%" PRIu64 " answers were WRONG; the first: %s\n", f->n_wrong, f->first_wrong);
    else
        (void)printf("every answer was right: of its key%s\n",
                     b->method->linearizable ? ", no older than what was acknowledged before" : "");
}

static void print_limit(const struct bench *b, const struct load_figures *f)
{
    if (client_is_limit(b, f))
        (void)printf("this client was busy %u %%: it is the limit, not the cluster; try "
                     "--threads,\nor ask from several hosts at once\n",
                     cpu_percent(b, f));
    else
        (void)printf("this client was busy %u %%\n", cpu_percent(b, f));
}

static int print_text(const struct bench *b, const struct load_figures *f)
{
    (void)printf("%s: %u connections, %u in flight each, %.1f s, %u keys of %u bytes, %s\n",
                 b->method->name, b->n_connections, b->in_flight, elapsed_s(f), b->n_keys,
                 b->value_bytes, b->zipf > 0 ? "zipf" : "uniform");
    if (b->rate > 0)
        (void)printf("open loop: %.0f/s due (%s), timed from when they were due\n", b->rate,
                     b->poisson ? "poisson" : "uniform");
    (void)printf("%-8s %11s %10s %8s %8s %8s %8s %8s\n", "", "OPS", "OPS/S", "P50 MS", "P90 MS",
                 "P99 MS", "P99.9 MS", "MAX MS");
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        if (f->sides[i].ns.n > 0)
            print_side(f, i);
    print_errors(b, f);
    print_limit(b, f);
    if (b->n_left > 0)
        (void)printf("%" PRIu64 " keys below %s could not be removed; a later run will\n",
                     b->n_left, b->prefix);
    else
        (void)printf("its %u keys below %s are %s\n", b->n_keys, b->prefix,
                     b->keep ? "kept" : "removed");
    if (b->n_others > 0)
        (void)printf("%" PRIu64 " keys of other runs are there\n", b->n_others);
    return BENCH_EXIT_OK;
}

/* ---- for programs ---- */

static void add(json_t *o, const char *name, json_t *value)
{
    (void)json_object_set_new(o, name, value);
}

static void add_u64(json_t *o, const char *name, uint64_t v)
{
    add(o, name, json_integer((json_int_t)v));
}

/* To the nanosecond, and no digit that is not known. */
static void add_ms(json_t *o, const char *name, uint64_t ns)
{
    add(o, name, json_real(ms(ns)));
}

static json_t *side_json(const struct load_figures *f, unsigned i)
{
    const struct load_side *s = &f->sides[i];
    json_t *o = json_object();

    add_u64(o, "ops", s->ns.n);
    add_u64(o, "ops_per_s", (uint64_t)((double)s->ns.n / elapsed_s(f)));
    for (size_t q = 0; q < N_QUANTILES; q++)
        add_ms(o, quantiles[q].name, histogram_fine_at(&s->ns, quantiles[q].permille));
    add_ms(o, "max_ms", s->ns.max);
    add_ms(o, "mean_ms", s->ns.n > 0 ? s->ns.sum / s->ns.n : 0);
    add_ms(o, "longest_gap_ms", s->longest_ns);
    add_ms(o, "longest_gap_at_ms",
           s->longest_at_ns > f->begin_ns ? s->longest_at_ns - f->begin_ns : 0);
    return o;
}

static void add_sides(json_t *o, const struct load_figures *f)
{
    for (unsigned i = 0; i < LOAD_REMOVE; i++)
        add(o, side_names[i], f->sides[i].ns.n > 0 ? side_json(f, i) : json_null());
}

static void add_asked(json_t *o, const struct bench *b)
{
    add(o, "method", json_string(b->method->name));
    add_u64(o, "connections", b->n_connections);
    add_u64(o, "in_flight", b->in_flight);
    add_u64(o, "threads", b->n_threads);
    add(o, "loop", json_string(b->rate > 0 ? "open" : "closed"));
    add(o, "rate_per_s", b->rate > 0 ? json_real(b->rate) : json_null());
    add(o, "arrivals", b->rate > 0 ? json_string(b->poisson ? "poisson" : "uniform") : json_null());
    add_u64(o, "keys", b->n_keys);
    add(o, "zipf", b->zipf > 0 ? json_real(b->zipf) : json_null());
    add_u64(o, "value_bytes", b->value_bytes);
    add_u64(o, "write_percent", b->plan.write_percent);
    add_u64(o, "seed", b->seed);
}

static void add_errors(json_t *o, const struct load_figures *f)
{
    json_t *errors = json_object();

    for (unsigned i = 0; i < f->n_error_names; i++)
        add_u64(errors, f->errors[i].name, f->errors[i].n);
    add(o, "errors", errors);
    add(o, "first_error", f->n_errors > 0 ? json_string(f->first_error) : json_null());
    add_u64(o, "asked_again", f->n_again);
    add_u64(o, "connections_lost", f->n_lost);
    add_u64(o, "unsent", f->n_unsent);
    add_u64(o, "wrong", f->n_wrong);
    add(o, "first_wrong", f->n_wrong > 0 ? json_string(f->first_wrong) : json_null());
    add_u64(o, "absent", f->n_absent);
}

static int print_json(const struct bench *b, const struct load_figures *f)
{
    cleanup_json json_t *o = json_object();

    add_asked(o, b);
    add_ms(o, "elapsed_ms", f->end_ns - f->begin_ns);
    add_u64(o, "ops", n_answered(f));
    add_u64(o, "ops_per_s", (uint64_t)((double)n_answered(f) / elapsed_s(f)));
    add_sides(o, f);
    add_errors(o, f);
    add_u64(o, "cpu_percent", cpu_percent(b, f));
    add(o, "client_is_limit", json_boolean(client_is_limit(b, f)));
    add_u64(o, "keys_left", b->n_left);
    add_u64(o, "keys_of_others", b->n_others);
    if (json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) != 0)
        return bench_report(b, BENCH_EXIT_OUTPUT, "cannot write the result");
    (void)printf("\n");
    return BENCH_EXIT_OK;
}

int bench_print(const struct bench *b)
{
    const struct load_figures *f = load_figures(b->load);
    const int exit_code = b->json ? print_json(b, f) : print_text(b, f);

    if (exit_code == BENCH_EXIT_OK && (fflush(stdout) != 0 || ferror(stdout)))
        return bench_report(b, BENCH_EXIT_OUTPUT, "cannot write the result");
    return exit_code;
}
