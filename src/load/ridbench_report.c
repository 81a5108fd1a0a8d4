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

/* ---- what it costs the nodes ---- */

/* Sums over all nodes, and whether each of them tells it. */
struct cost {
    struct bench_node sum;
    bool known;
    bool process;
    bool calls;
};

static void sum_costs(const struct bench *b, struct cost *ret)
{
    *ret = (struct cost){.known = true, .process = true, .calls = true};
    for (unsigned i = 0; i < b->n_addresses; i++) {
        struct bench_node node = {.known = false};

        if (!bench_node_cost(b, i, &node)) {
            ret->known = ret->process = ret->calls = false;
            continue;
        }
        ret->process &= node.process;
        ret->calls &= node.calls_known;
        ret->sum.fsyncs += node.fsyncs;
        ret->sum.log_bytes += node.log_bytes;
        ret->sum.rounds += node.rounds;
        ret->sum.cpu_us += node.cpu_us;
        ret->sum.voluntary += node.voluntary;
        ret->sum.involuntary += node.involuntary;
        ret->sum.frames += node.frames;
        ret->sum.peer_bytes += node.peer_bytes;
        ret->sum.calls += node.calls;
    }
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

static void print_gaps(const struct load_figures *f)
{
    const char *before = "longest time without one: ";

    for (unsigned i = 0; i < LOAD_N_KINDS; i++) {
        if (f->sides[i].ns.n == 0)
            continue;
        (void)printf("%s%s %.1f ms", before, side_names[i], ms(f->sides[i].longest_ns));
        before = ", ";
    }
    if (load_n_done(f) > 0)
        (void)printf("\n");
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
    if (b->handshakes)
        (void)printf("each had a connection of its own, %s, and its time holds that of making it\n",
                     f->n_shakes > 0 ? "by TLS" : "without TLS");
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

static double each(uint64_t v, double n)
{
    return (double)v / n;
}

static void print_cost(const struct bench *b, const struct load_figures *f)
{
    const double n = n_answered(f) > 0 ? (double)n_answered(f) : 1;
    struct cost cost;

    if (b->failover)
        return;
    sum_costs(b, &cost);
    if (!cost.known) {
        (void)printf("cost: not known, since a node was silent or was started anew\n");
        return;
    }
    (void)printf("cost of one, on all nodes: %.3f fsyncs, %.3f rounds, %.0f bytes of log",
                 each(cost.sum.fsyncs, n), each(cost.sum.rounds, n), each(cost.sum.log_bytes, n));
    if (cost.process)
        (void)printf(",\n  %.2f us of CPU, %.3f context switches, %.3f frames between nodes (%.0f "
                     "bytes)",
                     each(cost.sum.cpu_us, n), each(cost.sum.voluntary + cost.sum.involuntary, n),
                     each(cost.sum.frames, n), each(cost.sum.peer_bytes, n));
    if (cost.calls)
        (void)printf(",\n  %.3f read(2), write(2) and their kin", each(cost.sum.calls, n));
    (void)printf("\n");
    for (unsigned i = 0; i < b->n_addresses; i++) {
        struct bench_node node = {.known = false};

        if (bench_node_cost(b, i, &node) && node.process)
            (void)printf("  %-8s%s %.0f %% of a CPU, %.1f MiB resident\n", node.name,
                         node.leads ? " leads," : "", (double)node.cpu_us / 1e4 / elapsed_s(f),
                         (double)node.rss_bytes / (1u << 20));
    }
}

static void print_failover(const struct bench *b)
{
    static const char *const names[] = {"read", "write"};

    for (unsigned i = 0; b->failover && i < 2; i++) {
        uint64_t median_ns;
        uint64_t p99_ns;
        uint64_t max_ns;

        bench_failover_times(b, i == 1, &median_ns, &p99_ns, &max_ns);
        (void)printf("%u times the leader was killed: the next %s after %.1f ms (median), %.1f "
                     "(p99),\n  %.1f (max)\n",
                     b->n_rounds_done, names[i], ms(median_ns), ms(p99_ns), ms(max_ns));
    }
}

static void print_verdict(const struct bench *b)
{
    const struct history *h = load_history(b->load);

    if (!b->check)
        return;
    if (b->verdict.result == CHECK_GOOD)
        (void)printf("%zu operations were recorded, and are linearizable%s\n", h->n,
                     load_history_is_full(b->load) ? "; what came later was not recorded" : "");
    else
        history_print_timeline(h, &b->verdict,
                               "what was recorded is NOT LINEARIZABLE; a value is its number and 1",
                               NULL, stdout);
}

static int print_text(const struct bench *b, const struct load_figures *f)
{
    (void)printf("%s: %u connections, %u in flight each, %.1f s%s, %u keys of %u bytes, %s\n",
                 b->method->name, b->n_connections, b->in_flight, elapsed_s(f),
                 b->interrupted ? " (interrupted)" : "", b->n_keys, b->value_bytes,
                 b->zipf > 0 ? "zipf" : "uniform");
    if (b->rate > 0)
        (void)printf("open loop: %.0f/s due (%s), timed from when they were due\n", b->rate,
                     b->poisson ? "poisson" : "uniform");
    (void)printf("%-8s %11s %10s %8s %8s %8s %8s %8s\n", "", "OPS", "OPS/S", "P50 MS", "P90 MS",
                 "P99 MS", "P99.9 MS", "MAX MS");
    for (unsigned i = 0; i < LOAD_N_KINDS; i++)
        if (f->sides[i].ns.n > 0)
            print_side(f, i);
    print_gaps(f);
    print_failover(b);
    print_errors(b, f);
    print_verdict(b);
    print_cost(b, f);
    print_limit(b, f);
    if (b->n_left > 0)
        (void)printf("%" PRIu64 " keys below %s could not be removed; a later run will\n",
                     b->n_left, b->prefix);
    else
        (void)printf("its %u keys below %s are %s\n", b->n_keys, b->prefix,
                     b->keep ? "kept" : "removed");
    if (b->n_others > 0)
        (void)printf("%" PRIu64
                     " keys of another run are there: it runs now, or was killed within the\n"
                     "last day\n",
                     b->n_others);
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

/* To the microsecond: what is not as exact as that. */
static void add_about_ms(json_t *o, const char *name, uint64_t ns)
{
    add(o, name, json_real((double)((ns + 500) / 1000) / 1e3));
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
    add_about_ms(o, "longest_gap_ms", s->longest_ns);
    add_about_ms(o, "longest_gap_at_ms",
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
    add_u64(o, "connections_made", f->n_dials);
    add_u64(o, "handshakes", f->n_shakes);
    add_u64(o, "unsent", f->n_unsent);
    add_u64(o, "wrong", f->n_wrong);
    add(o, "first_wrong", f->n_wrong > 0 ? json_string(f->first_wrong) : json_null());
    add_u64(o, "absent", f->n_absent);
}

static json_t *node_json(const struct bench_node *node, const char *address)
{
    json_t *o = json_object();

    add(o, "node", json_string(node->name));
    add(o, "address", json_string(address));
    add(o, "leads", json_boolean(node->leads));
    add_u64(o, "rss_bytes", node->rss_bytes);
    add_u64(o, "fsyncs", node->fsyncs);
    add_u64(o, "log_bytes", node->log_bytes);
    add_u64(o, "rounds", node->rounds);
    add(o, "cpu_us", node->process ? json_integer((json_int_t)node->cpu_us) : json_null());
    add(o, "voluntary_switches",
        node->process ? json_integer((json_int_t)node->voluntary) : json_null());
    add(o, "involuntary_switches",
        node->process ? json_integer((json_int_t)node->involuntary) : json_null());
    add(o, "peer_frames", node->process ? json_integer((json_int_t)node->frames) : json_null());
    add(o, "peer_bytes", node->process ? json_integer((json_int_t)node->peer_bytes) : json_null());
    add(o, "read_write_calls",
        node->calls_known ? json_integer((json_int_t)node->calls) : json_null());
    return o;
}

/* null for a node that was silent, or was started anew. */
static void add_nodes(json_t *o, const struct bench *b)
{
    json_t *list = json_array();
    struct cost cost;

    sum_costs(b, &cost);
    if (cost.known && !b->failover) {
        json_t *sum = json_object();

        add_u64(sum, "fsyncs", cost.sum.fsyncs);
        add_u64(sum, "rounds", cost.sum.rounds);
        add_u64(sum, "log_bytes", cost.sum.log_bytes);
        add(sum, "cpu_us", cost.process ? json_integer((json_int_t)cost.sum.cpu_us) : json_null());
        add(o, "cost", sum);
    } else {
        add(o, "cost", json_null());
    }
    for (unsigned i = 0; i < b->n_addresses && !b->failover; i++) {
        struct bench_node node = {.known = false};

        (void)json_array_append_new(
            list, bench_node_cost(b, i, &node) ? node_json(&node, b->addresses[i]) : json_null());
    }
    add(o, "nodes", list);
}

static json_t *times_json(const struct bench *b, bool writes)
{
    json_t *o = json_object();
    uint64_t median_ns;
    uint64_t p99_ns;
    uint64_t max_ns;

    bench_failover_times(b, writes, &median_ns, &p99_ns, &max_ns);
    add_about_ms(o, "median_ms", median_ns);
    add_about_ms(o, "p99_ms", p99_ns);
    add_about_ms(o, "max_ms", max_ns);
    return o;
}

static void add_failover(json_t *o, const struct bench *b)
{
    json_t *f;
    json_t *list;

    if (!b->failover) {
        add(o, "failover", json_null());
        return;
    }
    f = json_object();
    list = json_array();
    add(f, "write", times_json(b, true));
    add(f, "read", times_json(b, false));
    for (unsigned i = 0; i < b->n_rounds_done; i++) {
        json_t *round = json_object();

        add(round, "killed", json_string(b->rounds[i].killed));
        add_about_ms(round, "write_ms", b->rounds[i].write_ns);
        add_about_ms(round, "read_ms", b->rounds[i].read_ns);
        (void)json_array_append_new(list, round);
    }
    add(f, "rounds", list);
    add(o, "failover", f);
}

static void add_check(json_t *o, const struct bench *b)
{
    json_t *check;

    if (!b->check) {
        add(o, "check", json_null());
        return;
    }
    check = json_object();
    add_u64(check, "operations", load_history(b->load)->n);
    add(check, "all", json_boolean(!load_history_is_full(b->load)));
    add(check, "linearizable", json_boolean(b->verdict.result == CHECK_GOOD));
    add(check, "why", b->verdict.result == CHECK_GOOD ? json_null() : json_string(b->verdict.why));
    add(o, "check", check);
}

static int print_json(const struct bench *b, const struct load_figures *f)
{
    cleanup_json json_t *o = json_object();

    add_asked(o, b);
    add_about_ms(o, "elapsed_ms", f->end_ns - f->begin_ns);
    add(o, "interrupted", json_boolean(b->interrupted));
    add_u64(o, "ops", n_answered(f));
    add_u64(o, "ops_per_s", (uint64_t)((double)n_answered(f) / elapsed_s(f)));
    add_sides(o, f);
    add_errors(o, f);
    add_check(o, b);
    add_failover(o, b);
    add_nodes(o, b);
    add_u64(o, "cpu_percent", cpu_percent(b, f));
    add(o, "client_is_limit", json_boolean(client_is_limit(b, f)));
    add_u64(o, "keys_left", b->n_left);
    add_u64(o, "keys_of_others", b->n_others);
    if (json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) != 0)
        return bench_report(b, BENCH_EXIT_OUTPUT, "cannot write the result");
    (void)printf("\n");
    return BENCH_EXIT_OK;
}

/* What ended in each second. */
static int print_csv(const struct load_figures *f)
{
    (void)printf("second,ops,errors,max_ms\n");
    for (unsigned i = 0;
         i < f->n_seconds && f->begin_ns + i * UINT64_C(1000) * 1000 * 1000 < f->end_ns; i++)
        (void)printf("%u,%" PRIu64 ",%" PRIu64 ",%.6f\n", i + 1, f->seconds[i].n,
                     f->seconds[i].n_errors, ms(f->seconds[i].max_ns));
    return BENCH_EXIT_OK;
}

int bench_print(const struct bench *b)
{
    const struct load_figures *f = load_figures(b->load);
    const int exit_code = b->json ? print_json(b, f) : b->csv ? print_csv(f) : print_text(b, f);

    if (exit_code == BENCH_EXIT_OK && (fflush(stdout) != 0 || ferror(stdout)))
        return bench_report(b, BENCH_EXIT_OUTPUT, "cannot write the result");
    return exit_code;
}
