/* compare: the node reads by every method, interleaved, and this prints what it measured. The run
 * may take minutes; a second connection asks `status` how far it is, and a bar shows it on a
 * terminal. */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

/* ---- the bar ---- */

struct progress {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t finish; /* on CLOCK_MONOTONIC */
    bool running;          /* there is a thread */
    bool finished;
    const char *endpoints;
};

/* True when that node runs a comparison; then the bar is drawn. */
static bool poll_node(struct ridd *client, const char *endpoint)
{
    struct ridd_reply *r = ridd_status(client, endpoint);
    cleanup_json json_t *status = NULL;
    const json_t *compare;
    json_int_t done;
    json_int_t total;

    if (r->status == RIDD_OK)
        status = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    compare = json_object_get(status, "compare");
    done = json_integer_value(json_object_get(compare, "done"));
    total = json_integer_value(json_object_get(compare, "total"));
    if (total <= 0 || done < 0 || done > total)
        return false;
    bar_draw((uint64_t)done, (uint64_t)total, "%lld of %lld reads", (long long)done,
             (long long)total);
    return true;
}

/* False: finished. */
static bool progress_wait(struct progress *p)
{
    uint64_t until_us = clock_mono_us() + CTL_PROGRESS_EVERY_MS * UINT64_C(1000);
    const struct timespec until = clock_timer_at(until_us);
    bool finished;

    (void)pthread_mutex_lock(&p->mutex);
    while (!p->finished)
        if (pthread_cond_timedwait(&p->finish, &p->mutex, &until) != 0)
            break;
    finished = p->finished;
    (void)pthread_mutex_unlock(&p->mutex);
    return !finished;
}

static void *progress_thread(void *arg)
{
    struct progress *p = arg;
    struct ridd_options options = {.timeout_ms = CTL_ASK_MS};
    struct ridd *client;
    unsigned place = 0;

    if (ridd_open(p->endpoints, &options, &client) != RIDD_OK)
        return NULL;
    /* One node per step: whoever runs it is found soon, and asked again from then on. */
    while (progress_wait(p))
        if (!poll_node(client, ridd_endpoint(client, place)))
            place = (place + 1) % ridd_endpoint_count(client);
    ridd_close(client);
    return NULL;
}

static void progress_start(struct progress *p, const struct ctl *ctl)
{
    pthread_condattr_t attr;

    memset(p, 0, sizeof(*p));
    if (!bar_is_shown())
        return;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->finish, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&p->mutex, NULL);
    p->endpoints = ctl->endpoints;
    p->running = pthread_create(&p->thread, NULL, progress_thread, p) == 0;
}

static void progress_stop(struct progress *p)
{
    if (!p->running)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    p->finished = true;
    (void)pthread_cond_signal(&p->finish);
    (void)pthread_mutex_unlock(&p->mutex);
    (void)pthread_join(p->thread, NULL);
    bar_clear();
}

/* ---- the request ---- */

/* "lease,follower_read" to JSON; the names of the protocol, with or without "_read". */
static int add_methods(const struct ctl *ctl, struct buf *request)
{
    static const char *const known[] = {"lease", "follower", "local"};
    cleanup_free char *list = strdup(ctl->methods);
    const char *comma = "";
    char *rest = NULL;

    if (list == NULL || buf_add_str(request, ",\"methods\":[") != 0)
        return report_no_memory(ctl);
    for (char *s = strtok_r(list, ", ", &rest); s != NULL; s = strtok_r(NULL, ", ", &rest)) {
        size_t len = strcspn(s, "-_");
        const char *found = NULL;

        /* The two that are always measured may be named too. */
        if (strcmp(s, "read_index") == 0 || strcmp(s, "read_via_log") == 0)
            continue;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strlen(known[i]) == len && strncmp(known[i], s, len) == 0 &&
                (s[len] == '\0' || strcmp(s + len + 1, "read") == 0))
                found = known[i];
        if (found == NULL)
            return report(
                ctl, CTL_EXIT_USAGE,
                "no such method '%.60s'; --methods takes lease_read, follower_read, local_read", s);
        if (buf_add_format(request, "%s\"%s_read\"", comma, found) != 0)
            return report_no_memory(ctl);
        comma = ",";
    }
    return buf_add_str(request, "]") == 0 ? CTL_EXIT_OK : report_no_memory(ctl);
}

static int build_request(const struct ctl *ctl, struct buf *request)
{
    int exit_code = CTL_EXIT_OK;

    if (buf_add_format(request,
                       "{\"type\":\"compare_read_methods\",\"num_reads\":%u,\"verbose\":true",
                       ctl->num_reads) != 0)
        return report_no_memory(ctl);
    if (ctl->concurrency != 0 &&
        buf_add_format(request, ",\"concurrency\":%u", ctl->concurrency) != 0)
        return report_no_memory(ctl);
    if (ctl->methods != NULL)
        exit_code = add_methods(ctl, request);
    if (exit_code == CTL_EXIT_OK && (buf_add_str(request, "}") != 0 || buf_add_u8(request, 0) != 0))
        return report_no_memory(ctl);
    return exit_code;
}

/* ---- the result ---- */

static void cell_number(struct table *t, const json_t *o, const char *name, int decimals)
{
    const json_t *v = json_object_get(o, name);

    if (json_is_number(v))
        table_cell(t, "%.*f", decimals, json_number_value(v));
    else
        table_cell(t, "-");
}

static int print_table(const struct ctl *ctl, const json_t *reply)
{
    static const char *const headers[] = {"METHOD", "READS",  "AVG MS",  "P50",         "P95",
                                          "P99",    "MAX",    "READS/S", "LOG ENTRIES", "LOG BYTES",
                                          "FSYNCS", "ROUNDS", "STALE"};
    const json_t *methods = json_object_get(reply, "methods");
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0x1ffe, headers);
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *m = json_array_get(methods, i);
        const char *name = json_string_value(json_object_get(m, "method"));

        table_cell(&t, "%s", name != NULL ? name : "?");
        cell_number(&t, m, "reads", 0);
        cell_number(&t, m, "avg_ms", 3);
        cell_number(&t, m, "p50_ms", 3);
        cell_number(&t, m, "p95_ms", 3);
        cell_number(&t, m, "p99_ms", 3);
        cell_number(&t, m, "max_ms", 3);
        cell_number(&t, m, "reads_per_s", 0);
        cell_number(&t, m, "log_entries", 0);
        cell_number(&t, m, "log_bytes", 0);
        cell_number(&t, m, "fsyncs", 0);
        cell_number(&t, m, "quorum_rounds", 0);
        cell_number(&t, m, "stale", 0);
    }
    return table_print(&t, ctl);
}

static const json_t *find_method(const json_t *reply, const char *name)
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

/* The finer figure when the reply has it. */
static double avg_of(const json_t *reply, const char *method, const char *field)
{
    const json_t *v = json_object_get(find_method(reply, method), "avg_ms");

    return json_is_number(v) ? json_number_value(v)
                             : json_number_value(json_object_get(reply, field));
}

/* " with 0 log entries and 0 fsyncs", or nothing when the node did not count. */
static void print_cost(const json_t *reply)
{
    const json_t *m = find_method(reply, "read_index");
    const json_t *entries = json_object_get(m, "log_entries");
    const json_t *fsyncs = json_object_get(m, "fsyncs");
    json_int_t n_entries = json_integer_value(entries);
    json_int_t n_fsyncs = json_integer_value(fsyncs);

    if (json_is_integer(entries) && json_is_integer(fsyncs))
        (void)printf(" with %lld log %s and %lld %s", (long long)n_entries,
                     n_entries == 1 ? "entry" : "entries", (long long)n_fsyncs,
                     n_fsyncs == 1 ? "fsync" : "fsyncs");
}

static int print_verdict(const struct ctl *ctl, const json_t *reply)
{
    const json_t *linearizable = json_object_get(reply, "both_linearizable");
    double index_ms = avg_of(reply, "read_index", "read_index_avg_ms");
    double log_ms = avg_of(reply, "read_via_log", "read_via_log_avg_ms");

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
    print_cost(reply);
    if (json_is_true(linearizable))
        (void)printf("; both were linearizable\n");
    else
        (void)printf("; they were NOT both linearizable\n");
    if (json_is_true(linearizable))
        return CTL_EXIT_OK;
    return report(
        ctl, CTL_EXIT_NOT_LINEARIZABLE,
        "a read broke linearizability: keep the logs and data of all nodes, and report it");
}

static int print_reply(const struct ctl *ctl, const struct ridd_reply *r)
{
    cleanup_json json_t *reply = json_loadb(r->json, r->json_len, 0, NULL);
    int exit_code;

    if (reply == NULL)
        return report_no_memory(ctl); /* the library has read it before */
    if (ctl->json) {
        (void)printf("%s\n", r->json);
        return json_is_true(json_object_get(reply, "both_linearizable"))
                   ? CTL_EXIT_OK
                   : CTL_EXIT_NOT_LINEARIZABLE;
    }
    exit_code = print_table(ctl, reply);
    return exit_code == CTL_EXIT_OK ? print_verdict(ctl, reply) : exit_code;
}

int verb_compare(struct ctl *ctl)
{
    cleanup_buf struct buf request = BUF_INIT;
    struct ridd *client = NULL;
    struct progress progress;
    struct ridd_reply *r;
    int exit_code = build_request(ctl, &request);

    if (exit_code == CTL_EXIT_OK)
        exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    progress_start(&progress, ctl);
    r = ridd_request(client, (const char *)request.data, RIDD_KIND_ONCE,
                     ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_COMPARE_TIMEOUT_MS);
    progress_stop(&progress);
    exit_code = r->status == RIDD_OK ? print_reply(ctl, r) : report_failure(ctl, r, NULL);
    ridd_reply_free(r);
    ridd_close(client);
    return exit_code;
}
