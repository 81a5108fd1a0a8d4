/* The verdict, then a table of all nodes, each asked at the same time. Nodes that the command line
 * does not name are found through the membership that the first answering node tells, so that one
 * address is enough to see the whole cluster. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/ctl_int.h"
#include "verdict/doc.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

struct row {
    struct ctl_node node;
    struct ridd_reply *reply; /* owned; NULL: no answer in time */
    json_t *status;           /* owned; NULL: down */
};

struct rows {
    struct row list[RIDD_ENDPOINTS_MAX];
    unsigned n;
};

static void rows_done(struct rows *rows)
{
    for (unsigned i = 0; i < rows->n; i++) {
        ridd_reply_free(rows->list[i].reply);
        json_decref(rows->list[i].status);
    }
}

static const char *str(const json_t *o, const char *name, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : otherwise;
}

static unsigned ask_ms(const struct ctl *ctl)
{
    return ctl->timeout_ms != 0 ? ctl->timeout_ms : CTL_ASK_MS;
}

/* Asks nodes and appends their rows. */
static int ask_rows(const struct ctl *ctl, const struct ctl_node *nodes, unsigned n,
                    struct rows *rows)
{
    struct answer answers[RIDD_ENDPOINTS_MAX];
    int exit_code =
        ask_all(ctl, nodes, n, "{\"type\":\"status\",\"verbose\":true}", ask_ms(ctl), answers);

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    for (unsigned i = 0; i < n; i++) {
        struct row *row = &rows->list[rows->n++];

        row->node = nodes[i];
        row->reply = answers[i].reply;
        row->status = NULL;
        if (row->reply != NULL && row->reply->status == RIDD_OK)
            row->status = json_loadb(row->reply->json, row->reply->json_len, 0, NULL);
        if (row->status != NULL)
            (void)snprintf(row->node.name, sizeof(row->node.name), "%s",
                           str(row->status, "node", nodes[i].name));
    }
    return CTL_EXIT_OK;
}

static struct row *find_row(struct rows *rows, const char *name, const char *endpoint)
{
    for (unsigned i = 0; i < rows->n; i++)
        if ((name[0] != '\0' && strcmp(rows->list[i].node.name, name) == 0) ||
            strcmp(rows->list[i].node.endpoint, endpoint) == 0)
            return &rows->list[i];
    return NULL;
}

static bool leads(const struct row *row)
{
    return strcmp(str(row->status, "role", ""), "leader") == 0;
}

/* Who knows best who belongs to the cluster: the leader, and of several the one of the highest
 * term; else the first that answered. */
static const struct row *best_up(const struct rows *rows)
{
    const struct row *best = NULL;

    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        if (row->status == NULL)
            continue;
        if (best == NULL ||
            (leads(row) &&
             (!leads(best) || json_integer_value(json_object_get(row->status, "term")) >
                                  json_integer_value(json_object_get(best->status, "term")))))
            best = row;
    }
    return best;
}

static json_t *ask_members_of(const struct ctl *ctl, const struct row *up, int *ret_exit_code)
{
    struct answer answer = {NULL};
    json_t *reply = NULL;

    *ret_exit_code = ask_all(ctl, &up->node, 1, "{\"type\":\"members\"}", ask_ms(ctl), &answer);
    if (*ret_exit_code != CTL_EXIT_OK)
        return NULL;
    if (answer.reply != NULL && answer.reply->status == RIDD_OK)
        reply = json_loadb(answer.reply->json, answer.reply->json_len, 0, NULL);
    ask_done(&answer, 1);
    return reply;
}

/* It does not answer where a file says that it is, and the leader knows it elsewhere. */
static bool has_moved(const struct row *row, const char *endpoint, bool leader_says)
{
    return leader_says && row->status == NULL && row->reply != NULL &&
           row->reply->status != RIDD_BUSY && strcmp(row->node.endpoint, endpoint) != 0;
}

static void take_row_out(struct rows *rows, const struct row *row)
{
    const unsigned i = (unsigned)(row - rows->list);

    ridd_reply_free(rows->list[i].reply);
    json_decref(rows->list[i].status);
    rows->n--;
    memmove(&rows->list[i], &rows->list[i + 1], (rows->n - i) * sizeof(rows->list[0]));
}

/* Names for the rows that have none, and the nodes that have no row. */
static int add_members_of(const struct ctl *ctl, struct rows *rows, const struct row *up)
{
    const bool leader_says = leads(up); /* up may move, and is looked at here alone */
    struct ctl_node missing[RIDD_ENDPOINTS_MAX];
    unsigned n_missing = 0;
    int exit_code;
    cleanup_json json_t *reply = ask_members_of(ctl, up, &exit_code);
    const json_t *members = json_object_get(reply, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *m = json_array_get(members, i);
        const char *name = str(m, "id", "");
        const char *endpoint = str(m, "client_addr", "");
        const bool usable = ridd_check_endpoints(endpoint, NULL, 0) == RIDD_OK;
        struct row *row = find_row(rows, name, endpoint);

        if (row != NULL && row->node.name[0] == '\0')
            (void)snprintf(row->node.name, sizeof(row->node.name), "%s", name);
        if (row != NULL && usable && has_moved(row, endpoint, leader_says)) {
            take_row_out(rows, row);
            row = NULL;
        }
        if (row == NULL && usable && rows->n + n_missing < RIDD_ENDPOINTS_MAX) {
            struct ctl_node *node = &missing[n_missing++];

            (void)snprintf(node->name, sizeof(node->name), "%s", name);
            (void)snprintf(node->endpoint, sizeof(node->endpoint), "%s", endpoint);
        }
    }
    return n_missing > 0 ? ask_rows(ctl, missing, n_missing, rows) : exit_code;
}

/* Who is asked first may lag behind, and is asked only who else there is; when the leader is found
 * by that, it is asked, too. */
static int add_members(const struct ctl *ctl, struct rows *rows)
{
    const struct row *up = best_up(rows);
    char asked[RIDD_ENDPOINT_SIZE] = "";
    int exit_code;

    if (up == NULL)
        return CTL_EXIT_OK;
    (void)snprintf(asked, sizeof(asked), "%s", up->node.endpoint);
    exit_code = add_members_of(ctl, rows, up);
    up = best_up(rows);
    if (exit_code != CTL_EXIT_OK || up == NULL || !leads(up) ||
        strcmp(up->node.endpoint, asked) == 0)
        return exit_code;
    return add_members_of(ctl, rows, up);
}

static const char *down_reason(const struct row *row)
{
    return row->reply != NULL ? row->reply->text
                              : "no answer: its address could not be looked up in time";
}

static bool is_busy(const struct row *row)
{
    return row->status == NULL && row->reply != NULL && row->reply->status == RIDD_BUSY;
}

static void judged_rows(const struct rows *rows, struct verdict_node *ret)
{
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        ret[i] = (struct verdict_node){.name = row->node.name,
                                       .endpoint = row->node.endpoint,
                                       .status = row->status,
                                       .failure =
                                           row->reply != NULL ? row->reply->status : RIDD_NO_ANSWER,
                                       .text = down_reason(row)};
    }
}

static void judge(const struct ctl *ctl, const struct rows *rows, struct verdict *ret)
{
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];

    judged_rows(rows, nodes);
    verdict_judge(nodes, rows->n, ctl->cluster_name[0] != '\0' ? ctl->cluster_name : NULL, ret);
}

/* 0 for OK alone (STATUS-1). Who has nobody to ask knows nothing about the cluster: that is
 * another answer than a cluster without a quorum. */
static int exit_code_of(const struct verdict *v)
{
    static const int codes[] = {[VERDICT_OK] = CTL_EXIT_OK,
                                [VERDICT_DEGRADED] = CTL_EXIT_DEGRADED,
                                [VERDICT_NO_QUORUM] = CTL_EXIT_NO_QUORUM,
                                [VERDICT_SPLIT] = CTL_EXIT_SPLIT};

    return v->n_answered > 0 ? codes[v->kind] : CTL_EXIT_NOBODY;
}

/* ---- output ---- */

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
    return is_busy(row) ? "busy" : "down";
}

static void table_row(struct table *t, const struct row *row, bool has_left)
{
    const json_t *s = row->status;

    table_cell(t, "%s", row->node.name[0] != '\0' ? row->node.name : "?");
    if (s == NULL) { /* why stands above the table */
        table_rest(t, "%s", silence_of(row, has_left));
        return;
    }
    table_cell(t, "%s", str(s, "role", "-"));
    cell_number(t, s, "term");
    table_cell(t, "%s", str(s, "leader_id", "-"));
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
    const char *why = str(leases, "why_not", "");
    char text[NODE_NAME_BYTES_MAX + VERDICT_TEXT_BYTES];

    if (json_is_object(waited))
        (void)snprintf(text, sizeof(text), "%s: %s", str(waited, "id", "?"),
                       str(waited, "why", "?"));
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
    const struct row *row = best_up(rows);
    const json_t *leases =
        row != NULL && leads(row) ? json_object_get(row->status, "leases") : NULL;
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

static int print_table(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    static const char *const headers[] = {"NODE",    "ROLE",    "TERM",   "LEADER", "COMMIT",
                                          "APPLIED", "DURABLE", "PEERS",  "READS",  "READS/S",
                                          "WRITES",  "FSYNCS",  "UPTIME", "ADDRESS"};
    const uint32_t right = 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 |
                           1u << 10 | 1u << 11 | 1u << 12;
    struct table t;

    table_init(&t, sizeof(headers) / sizeof(headers[0]), right, headers);
    for (unsigned i = 0; i < rows->n; i++)
        table_row(&t, &rows->list[i], (v->left >> i & 1) != 0);
    return table_print(&t, ctl);
}

/* What is under way with snapshots; who sends several tells the first. */
static void cell_transfer(struct table *t, const json_t *snapshots)
{
    const json_t *received = json_object_get(snapshots, "receiving");
    const json_t *sent = json_array_get(json_object_get(snapshots, "sending"), 0);

    if (json_is_object(received))
        table_cell(t, "from %s: %lld %%", str(received, "from", "?"),
                   (long long)json_integer_value(json_object_get(received, "percent")));
    else if (sent != NULL)
        table_cell(t, "to %s: %lld %%", str(sent, "to", "?"),
                   (long long)json_integer_value(json_object_get(sent, "percent")));
    else if (json_is_true(json_object_get(snapshots, "making")))
        table_cell(t, "making: %lld %%",
                   (long long)json_integer_value(json_object_get(snapshots, "making_percent")));
    else
        table_cell(t, "-");
}

static void storage_row(struct table *t, const struct row *row, bool has_left)
{
    const json_t *state = json_object_get(row->status, "state");
    const json_t *snapshots = json_object_get(row->status, "snapshots");
    const json_int_t index = json_integer_value(json_object_get(snapshots, "index"));

    table_cell(t, "%s", row->node.name[0] != '\0' ? row->node.name : "?");
    if (row->status == NULL) {
        table_rest(t, "%s", silence_of(row, has_left));
        return;
    }
    cell_number(t, state, "keys");
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
    static const char *const headers[] = {"NODE", "KEYS",          "LIVE",     "STATE FILE",
                                          "LOG",  "BEGINS BEHIND", "SNAPSHOT", "AGE",
                                          "SIZE", "UNDER WAY"};
    const uint32_t right = 0x1feu; /* all numbers between the name and what is under way */
    struct table t;

    (void)printf("\n");
    table_init(&t, sizeof(headers) / sizeof(headers[0]), right, headers);
    for (unsigned i = 0; i < rows->n; i++)
        storage_row(&t, &rows->list[i], (v->left >> i & 1) != 0);
    return table_print(&t, ctl);
}

static int print_json(const struct ctl *ctl, const struct rows *rows, const struct verdict *v)
{
    struct verdict_node nodes[RIDD_ENDPOINTS_MAX];
    struct doc_node said[RIDD_ENDPOINTS_MAX];
    struct doc d = DOC_INIT;

    judged_rows(rows, nodes);
    for (unsigned i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];

        said[i] = (struct doc_node){.answered = row->reply != NULL};
        if (row->status != NULL)
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
    int exit_code = ask_rows(ctl, ctl->nodes, ctl->n_nodes, rows);

    if (exit_code == CTL_EXIT_OK)
        exit_code = add_members(ctl, rows);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    judge(ctl, rows, v);
    exit_code = print_all(ctl, rows, v);
    return exit_code == CTL_EXIT_OK ? exit_code_of(v) : exit_code;
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
    exit_code = ask_and_print(ctl, rows, v);
    rows_done(rows);
    return exit_code;
}
