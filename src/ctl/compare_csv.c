/* The figures of `ridctl compare` as comma-separated values: a line for each node, number of
 * readers and method, then, behind two empty lines, a line for each bucket of its histogram.
 * gnuplot takes the two as data sets of one file (tools/plot-compare). */
#include "ctl/compare_int.h"

#include "base/banned.h"

/* Per read of those whose cost was measured. Empty: the node did not measure, or does not count
 * it. */
static void print_cost(const json_t *m, const char *name)
{
    const json_t *cost = json_object_get(m, "cost");
    const double reads = compare_number(cost, "reads");

    if (reads > 0 && json_object_get(cost, name) != NULL)
        (void)printf(",%.4f", compare_number(cost, name) / reads);
    else
        (void)printf(",");
}

static void print_method(const struct compare_run *run, const json_t *m)
{
    static const char *const figures[] = {"avg_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"};
    static const char *const counts[] = {"reads_per_s", "stale", "wrong", "lease_fallbacks"};
    static const char *const costs[] = {"messages",  "rounds", "asks",        "log_entries",
                                        "log_bytes", "fsyncs", "disk_writes", "wire_bytes"};

    (void)printf("%s,%s,%u,%s,%.0f", run->node, run->role, run->readers,
                 json_string_value(json_object_get(m, "method")), compare_number(m, "reads"));
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        (void)printf(",%.3f", compare_number(m, figures[i]));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        (void)printf(",%.0f", compare_number(m, counts[i]));
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
        print_cost(m, costs[i]);
    (void)printf("\n");
}

static void print_buckets(const struct compare_run *run, const json_t *m)
{
    const json_t *buckets = json_object_get(m, "histogram");

    for (size_t i = 0; i < json_array_size(buckets); i++) {
        const json_t *bucket = json_array_get(buckets, i);

        (void)printf("%s,%s,%u,%s,%.0f,%.0f\n", run->node, run->role, run->readers,
                     json_string_value(json_object_get(m, "method")),
                     json_number_value(json_array_get(bucket, 0)),
                     json_number_value(json_array_get(bucket, 1)));
    }
}

static void print_each(const struct compare_run *runs, unsigned n,
                       void (*print)(const struct compare_run *run, const json_t *m))
{
    for (unsigned i = 0; i < n; i++) {
        const json_t *methods = json_object_get(runs[i].reply, "methods");

        for (size_t k = 0; k < json_array_size(methods); k++)
            print(&runs[i], json_array_get(methods, k));
    }
}

void compare_print_csv(const struct compare_run *runs, unsigned n)
{
    (void)printf("node,role,readers,method,reads,avg_ms,p50_ms,p95_ms,p99_ms,max_ms,reads_per_s,"
                 "stale,wrong,lease_fallbacks,messages,rounds,asks,log_entries,log_bytes,fsyncs,"
                 "disk_writes,wire_bytes\n");
    print_each(runs, n, print_method);
    (void)printf("\n\nnode,role,readers,method,upper_us,reads\n");
    print_each(runs, n, print_buckets);
}
