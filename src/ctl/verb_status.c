/* The verdict, then a table of all nodes. With --watch again and again. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/rows_int.h"
#include "ctl/screen_int.h"
#include "verdict/doc.h"

#include "base/banned.h"

static void cell_number(struct table *t, const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    if (json_is_integer(v))
        table_cell(t, "%lld", (long long)json_integer_value(v));
    else
        table_cell(t, "-");
}

static void cell_peers(struct table *t, const json_t *status)
{
    const json_t *peers = json_object_get(status, "peers");
    size_t n_connected = 0;

    if (!json_is_array(peers)) {
        table_cell(t, "-");
        return;
    }
    for (size_t i = 0; i < json_array_size(peers); i++)
        n_connected += json_is_true(json_object_get(json_array_get(peers, i), "connected"));
    table_cell(t, "%zu/%zu", n_connected, json_array_size(peers));
}

static json_int_t reads_of(const json_t *status)
{
    static const char *const names[] = {"read_index", "read_via_log", "batch", "local"};
    const json_t *reads = json_object_get(status, "reads");
    json_int_t sum = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        sum += json_integer_value(json_object_get(reads, names[i]));
    return sum;
}

/* Reads in all, and per second since the node started. */
static void cell_reads(struct table *t, const json_t *status)
{
    json_int_t uptime_ms = json_integer_value(json_object_get(status, "uptime_ms"));
    json_int_t n = reads_of(status);

    if (!json_is_object(json_object_get(status, "reads"))) {
        table_cell(t, "-");
        table_cell(t, "-");
        return;
    }
    table_cell(t, "%lld", (long long)n);
    if (uptime_ms > 0)
        table_cell(t, "%.1f", (double)n * 1000.0 / (double)uptime_ms);
    else
        table_cell(t, "-");
}

static void cell_span(struct table *t, long long s)
{
    if (s < 60)
        table_cell(t, "%llds", s);
    else if (s < 3600)
        table_cell(t, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        table_cell(t, "%lldh%02lldm", s / 3600, s % 3600 / 60);
    else
        table_cell(t, "%lldd%02lldh", s / 86400, s % 86400 / 3600);
}

static void cell_uptime(struct table *t, const json_t *status)
{
    const json_t *v = json_object_get(status, "uptime_ms");

    if (json_is_integer(v))
        cell_span(t, (long long)json_integer_value(v) / 1000);
    else
        table_cell(t, "-");
}

static void cell_size(struct table *t, const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    char text[32];

    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        if (t->columns > 0)
            table_short_size((uint64_t)json_integer_value(v), text, sizeof(text));
        else
            table_size_text((uint64_t)json_integer_value(v), text, sizeof(text));
        table_cell(t, "%s", text);
    } else {
        table_cell(t, "-");
    }
}

static const char *silence_of(const struct row *row, bool has_left)
{
    if (has_left)
        return "no member";
    return rows_is_busy(row) ? "busy" : "down";
}

/* The leader's commit, and what of it each node has not applied. */
static void cell_lag(struct table *t, const json_t *status, json_int_t commit)
{
    const json_t *applied = json_object_get(status, "applied_index");

    if (json_integer_value(applied) >
        0) /* a new one has nothing, and no number of it says how much */
        table_cell(t, "%lld",
                   (long long)(commit > json_integer_value(applied)
                                   ? commit - json_integer_value(applied)
                                   : 0));
    else
        table_cell(t, "-");
}

static bool starts_row(struct table *t, const struct row *row, bool has_left)
{
    table_name(t, row->node.name[0] != '\0' ? row->node.name : "?");
    if (row->status == NULL) /* why stands above the table */
        table_rest(t, "%s", silence_of(row, has_left));
    return row->status != NULL;
}

/* What fits a terminal: the rest is in --wide. */
static void table_row(struct table *t, const struct row *row, bool has_left, json_int_t commit)
{
    const json_t *s = row->status;
    json_int_t fsync_us;
    char text[32];

    if (!starts_row(t, row, has_left))
        return;
    table_cell(t, "%s", rows_str(s, "role", "-"));
    cell_number(t, s, "term");
    cell_number(t, s, "applied_index");
    cell_lag(t, s, commit);
    cell_peers(t, s);
    fsync_us = json_integer_value(json_object_get(json_object_get(s, "disk"), "fsync_p99_us"));
    table_short_time((uint64_t)fsync_us, text, sizeof(text));
    table_cell(t, "%s", fsync_us > 0 ? text : "-"); /* none lately */
    cell_uptime(t, s);
    table_cell(t, "%s", row->node.endpoint);
}

static void wide_row(struct table *t, const struct row *row, bool has_left)
{
    const json_t *s = row->status;

    if (!starts_row(t, row, has_left))
        return;
    table_cell(t, "%s", rows_str(s, "role", "-"));
    cell_number(t, s, "term");
    table_cell(t, "%s", rows_str(s, "leader_id", "-"));
    cell_number(t, s, "commit_index");
    cell_number(t, s, "applied_index");
    cell_number(t, s, "durable_index");
    cell_peers(t, s);
    cell_reads(t, s);
    cell_number(t, json_object_get(s, "writes"), "applied");
    cell_number(t, json_object_get(s, "log"), "fsyncs");
    cell_uptime(t, s);
    table_cell(t, "%s", row->node.endpoint);
}

static void print_verdict(const struct verdict *v)
{
    char line[VERDICT_TEXT_BYTES + 1];

    verdict_line(v, line, sizeof(line));
    report_clean(line);
    (void)printf("%s\n", line);
    for (unsigned i = 0; i < v->n_reasons; i++) {
        const struct verdict_reason *r = &v->reasons[i];
        char text[NODE_NAME_BYTES_MAX + VERDICT_TEXT_BYTES + RIDD_ENDPOINT_SIZE];

        (void)snprintf(text, sizeof(text), "%s: %s", r->node[0] != '\0' ? r->node : r->endpoint,
                       r->text);
        report_clean(text);
        (void)printf("  %s\n", text);
    }
}

static double ms_of(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(o, name));
}

/* Why there is none, in words: a node says it in one of its own (RAFT: lease_why_not). */
static void print_why_not(const json_t *leases)
{
    const json_t *waited = json_object_get(leases, "waits_for");
    const char *why = rows_str(leases, "why_not", "");
    char text[NODE_NAME_BYTES_MAX + VERDICT_TEXT_BYTES];

    if (json_is_object(waited))
        (void)snprintf(text, sizeof(text), "%s: %s", rows_str(waited, "id", "?"),
                       rows_str(waited, "why", "?"));
    else if (strcmp(why, "version") == 0)
        (void)snprintf(text, sizeof(text), "not all members are known to know of leases yet");
    else if (strcmp(why, "clocks") == 0)
        (void)snprintf(text, sizeof(text), "clocks run apart");
    else if (strcmp(why, "handed over") == 0)
        (void)snprintf(text, sizeof(text), "the leadership was being handed over in this term");
    else if (strcmp(why, "silent") == 0)
        (void)snprintf(text, sizeof(text), "too few nodes have answered lately");
    else
        (void)snprintf(text, sizeof(text), "%s", why[0] != '\0' ? why : "not yet");
    report_clean(text);
    (void)printf("none now: %s\n", text);
}

/* Where the leader is to take one. */
static void print_lease(const struct rows *rows)
{
    const struct row *row = rows_best(rows);
    const json_t *leases =
        row != NULL && rows_leads(row) ? json_object_get(row->status, "leases") : NULL;
    char name[NODE_NAME_BYTES_MAX + 1];

    if (ms_of(leases, "gate_left_ms") > 0)
        (void)printf("gate: nothing is committed for another %.0f ms: promises to the leader "
                     "before it run so long\n",
                     ms_of(leases, "gate_left_ms"));
    if (json_integer_value(json_object_get(leases, "lease_ms")) == 0)
        return;
    (void)snprintf(name, sizeof(name), "%s", row->node.name);
    report_clean(name);
    (void)printf("lease: %s, %lld ms, ", name,
                 (long long)json_integer_value(json_object_get(leases, "lease_ms")));
    if (json_is_true(json_object_get(leases, "valid")))
        (void)printf("for another %.0f ms\n", ms_of(leases, "left_ms"));
    else
        print_why_not(leases);
}

/* Columns of a line; 0: any number. */
static size_t line_columns(const struct ctl *ctl)
{
    return ctl->wide ? 0 : screen_columns();
}

static int print_wide(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    static const char *const headers[] = {"NODE",    "ROLE",    "TERM",   "LEADER", "COMMIT",
                                          "APPLIED", "DURABLE", "PEERS",  "READS",  "READS/S",
                                          "WRITES",  "FSYNCS",  "UPTIME", "ADDRESS"};
    const uint32_t right = 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 |
                           1u << 10 | 1u << 11 | 1u << 12;
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), right, headers);
    for (unsigned i = 0; i < rows->n; i++)
        wide_row(&t, &rows->list[i], (v->left >> i & 1) != 0);
    return table_print(&t, ctl);
}

static int print_table(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    static const char *const headers[] = {"NODE",  "ROLE",     "TERM",   "APPLIED", "LAG",
                                          "PEERS", "SYNC P99", "UPTIME", "ADDRESS"};
    const struct row *best = rows_best(rows);
    const json_int_t commit =
        json_integer_value(json_object_get(best != NULL ? best->status : NULL, "commit_index"));
    struct table t;

    if (ctl->wide)
        return print_wide(ctl, rows, v);
    table_init(&t, sizeof(headers) / sizeof(headers[0]), 0xfcu, headers);
    t.columns = line_columns(ctl);
    for (unsigned i = 0; i < rows->n; i++)
        table_row(&t, &rows->list[i], (v->left >> i & 1) != 0, commit);
    return table_print(&t, ctl);
}

/* What is under way with snapshots; who sends several tells the first. */
static void cell_transfer(struct table *t, const json_t *snapshots)
{
    const json_t *received = json_object_get(snapshots, "receiving");
    const json_t *sent = json_array_get(json_object_get(snapshots, "sending"), 0);

    if (json_is_object(received))
        table_cell(t, "from %s: %lld %%", rows_str(received, "from", "?"),
                   (long long)json_integer_value(json_object_get(received, "percent")));
    else if (sent != NULL)
        table_cell(t, "to %s: %lld %%", rows_str(sent, "to", "?"),
                   (long long)json_integer_value(json_object_get(sent, "percent")));
    else if (json_is_true(json_object_get(snapshots, "making")))
        table_cell(t, "making: %lld %%",
                   (long long)json_integer_value(json_object_get(snapshots, "making_percent")));
    else
        table_cell(t, "-");
}

/* Exactly, as long as it is short. */
static void cell_count(struct table *t, const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));
    char text[32];

    if (t->columns == 0 || v < CTL_KEYS_EXACT) {
        cell_number(t, o, name);
        return;
    }
    table_short_count((double)v, text, sizeof(text));
    table_cell(t, "%s", text);
}

static void storage_row(struct table *t, const struct row *row, bool has_left)
{
    const json_t *state = json_object_get(row->status, "state");
    const json_t *snapshots = json_object_get(row->status, "snapshots");
    const json_int_t index = json_integer_value(json_object_get(snapshots, "index"));

    if (!starts_row(t, row, has_left))
        return;
    cell_count(t, state, "keys");
    cell_size(t, state, "live_bytes");
    cell_size(t, state, "file_bytes");
    cell_size(t, json_object_get(row->status, "log"), "bytes");
    cell_number(t, snapshots, "log_begins_behind");
    if (index > 0) {
        cell_number(t, snapshots, "index");
        cell_span(t, (long long)json_integer_value(json_object_get(snapshots, "age_s")));
        cell_size(t, snapshots, "bytes");
    } else {
        for (unsigned i = 0; i < 3; i++)
            table_cell(t, "-");
    }
    cell_transfer(t, snapshots);
}

static int print_storage(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    static const char *const headers[] = {"NODE",   "KEYS",     "LIVE", "FILE", "LOG",
                                          "BEGINS", "SNAPSHOT", "AGE",  "SIZE", "UNDER WAY"};
    const uint32_t right = 0x1feu; /* all numbers between the name and what is under way */
    struct table t;

    (void)printf("\n");
    table_init(&t, sizeof(headers) / sizeof(headers[0]), right, headers);
    t.columns = line_columns(ctl);
    for (unsigned i = 0; i < rows->n; i++)
        storage_row(&t, &rows->list[i], (v->left >> i & 1) != 0);
    return table_print(&t, ctl);
}

static int print_json(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];
    struct doc_node said[RIDD_ENDPOINTS_MAX];
    struct doc d = DOC_INIT;

    rows_judged(rows, nodes);
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        said[i] = (struct doc_node){.answered = row->reply != NULL};
        if (row->status != NULL && row->reply != NULL)
            said[i].status = (struct doc_text){row->reply->json, row->reply->json_len};
    }
    d.failed = verdict_doc(v, nodes, said, rows->n, &d.buf) != 0;
    return doc_print(&d, ctl);
}

/* 0, or the exit code of an output that could not be made. */
static int print_all(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    int exit_code;

    if (ctl->json)
        return print_json(ctl, rows, v);
    print_verdict(v);
    print_lease(rows);
    exit_code = print_table(ctl, rows, v);
    return exit_code == CTL_EXIT_OK && ctl->verbose ? print_storage(ctl, rows, v) : exit_code;
}

static int ask_and_print(const struct ctl *ctl, struct rows *rows, struct verdict *v)
{
    int exit_code = rows_ask(ctl, rows);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rows_judge(ctl, rows, v);
    if (ctl->watch && !ctl->json)
        screen_frame_begin();
    exit_code = print_all(ctl, rows, v);
    if (ctl->watch && !ctl->json)
        screen_frame_end();
    return exit_code == CTL_EXIT_OK ? rows_exit_code(v) : exit_code;
}

/* Until ^C; the exit code is that of the last look. */
static int watch(const struct ctl *ctl, struct rows *rows, struct verdict *v)
{
    int exit_code;

    screen_begin(true);
    do {
        exit_code = ask_and_print(ctl, rows, v);
        (void)fflush(stdout);
        rows_done(rows);
    } while (exit_code != CTL_EXIT_SYSTEM && !ferror(stdout) &&
             screen_wait(ctl->interval_ms != 0 ? ctl->interval_ms : CTL_LOOK_EVERY_MS));
    screen_end();
    return exit_code;
}

int verb_status(struct ctl *ctl)
{
    cleanup_free struct verdict *v = NULL;
    cleanup_free struct rows *rows = NULL;
    int exit_code = cluster_find(ctl);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rows = calloc(1, sizeof(*rows));
    v = calloc(1, sizeof(*v));
    if (rows == NULL || v == NULL)
        return report_no_memory(ctl);
    if (ctl->watch)
        return watch(ctl, rows, v);
    exit_code = ask_and_print(ctl, rows, v);
    rows_done(rows);
    return exit_code;
}
