/* What is installed for who watches a cluster: alerts, their tests, their paragraphs in
 * docs/OPERATIONS.md, and the dashboard. They name only metrics and labels that there are. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "metric-names.h"

#define FILE_BYTES_MAX (2u << 20)
#define ALERTS_MAX     100u

/* ---- files ---- */

static char *read_source(const char *name)
{
    const char *srcdir = getenv("srcdir");
    char *text = calloc(1, FILE_BYTES_MAX);
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", srcdir != NULL ? srcdir : ".", name);
    f = fopen(path, "re");
    if (f == NULL || text == NULL)
        fail_msg("cannot open '%s'", path);
    assert_true(fread(text, 1, FILE_BYTES_MAX - 1, f) > 0);
    (void)fclose(f);
    return text;
}

/* ---- expressions ---- */

/* What every sample has from its scrape. */
#define TARGET_LABELS "job, instance"

static bool knows_label(const struct metric_family *f, const char *name, size_t len)
{
    return is_in(TARGET_LABELS, name, len) || has_label(f, name, len);
}

/* {a="b", c=~"d"}: at stands behind the brace; returns what is behind the other one. */
static const char *check_matchers(const struct metric_family *f, const char *at, const char *expr)
{
    while (*at != '}') {
        const char *name = at;

        at += strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        if (at == name || (f != NULL && !knows_label(f, name, (size_t)(at - name))))
            fail_msg("'%.*s' is no label of it in: %s", (int)(at - name), name, expr);
        at += strspn(at, "=!~");
        if (*at != '"')
            fail_msg("no value in: %s", expr);
        at = strchr(at + 1, '"');
        assert_non_null(at);
        at++;
        at += strspn(at, ", ");
    }
    return at + 1;
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == ':';
}

/* Labels behind by, on and without: of some metric in it. */
static void check_groupings(const char *expr, const char *labels)
{
    static const char *const words[] = {" by (", " on (", " without (", " ignoring ("};

    for (unsigned i = 0; i < 4; i++)
        for (const char *at = expr; (at = strstr(at, words[i])) != NULL;) {
            at += strlen(words[i]);
            while (*at != ')') {
                const size_t n = strcspn(at, ", )");

                if (!is_in(TARGET_LABELS, at, n) && !is_in(labels, at, n))
                    fail_msg("'%.*s' is no label of a metric in: %s", (int)n, at, expr);
                at += n;
                at += strspn(at, ", ");
            }
        }
}

/* Every metric of it is one of ours, with labels that it has. How many. */
static unsigned check_expression(const char *expr)
{
    char labels[1024] = "";
    unsigned n = 0;

    for (const char *at = expr; *at != '\0';) {
        const struct metric_family *f;
        const char *name = at;

        if (!is_name_char(*at) || (at > expr && is_name_char(at[-1]))) {
            at++;
            continue;
        }
        while (is_name_char(*at))
            at++;
        if ((size_t)(at - name) == 2 && memcmp(name, "up", 2) == 0) {
            n++;
            at = *at == '{' ? check_matchers(NULL, at + 1, expr) : at;
            continue;
        }
        if (strncmp(name, "ridd_", 5) != 0) {
            if (*at == '{')
                fail_msg("'%.*s' is no metric of ours in: %s", (int)(at - name), name, expr);
            continue;
        }
        f = family_of(name, (size_t)(at - name));
        if (f == NULL) {
            fail_msg("'%.*s' is not in src/http/metrics_table_int.h: %s", (int)(at - name), name,
                     expr);
            return 0;
        }
        n++;
        (void)snprintf(labels + strlen(labels), sizeof(labels) - strlen(labels), "%s%s%s",
                       labels[0] != '\0' ? ", " : "", f->labels,
                       f->type == METRIC_HISTOGRAM ? (f->labels[0] != '\0' ? ", le" : "le") : "");
        if (*at == '{')
            at = check_matchers(f, at + 1, expr);
    }
    check_groupings(expr, labels);
    return n;
}

/* Is it the counter or the bucket of one, without a rate? A panel or an alert of a bare counter says
 * how long a process runs, and nothing else. */
static void check_counters(const char *expr)
{
    static const char *const rates[] = {"rate(", "increase("};

    for (const char *at = expr; (at = strstr(at, "ridd_")) != NULL;) {
        const size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        const struct metric_family *f = family_of(at, len);
        bool ok = f != NULL && f->type == METRIC_GAUGE;

        for (unsigned i = 0; i < 2; i++) {
            const size_t n = strlen(rates[i]);

            ok |= (size_t)(at - expr) >= n && memcmp(at - n, rates[i], n) == 0;
        }
        if (!ok)
            fail_msg("a counter without a rate in: %s", expr);
        at += len;
    }
}

/* ---- alerts ---- */

struct alert {
    char name[64];
    char expr[1024];
    char severity[16];
    bool has_summary;
    bool has_description;
    char runbook[128];
};

/* The value behind "key: " of a line, without quotes; '' in it is '. */
static bool take_value(const char *line, const char *key, char *ret, size_t size)
{
    const char *at = line + strspn(line, " -");
    size_t n = 0;
    const char *end;

    if (strncmp(at, key, strlen(key)) != 0)
        return false;
    at += strlen(key);
    end = at + strcspn(at, "\n");
    if (*at == '\'') {
        at++;
        end--;
    }
    for (; at < end && n + 1 < size; at++) {
        if (at[0] == '\'' && at[1] == '\'' && at + 1 < end)
            at++;
        ret[n++] = *at;
    }
    ret[n] = '\0';
    return true;
}

static unsigned read_alerts(struct alert *ret)
{
    char *text = read_source("conf/ridd.rules.yml");
    unsigned n = 0;
    char value[1024];

    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        struct alert *a = &ret[n > 0 ? n - 1 : 0];

        if (take_value(line, "alert: ", value, sizeof(value))) {
            assert_true(n < ALERTS_MAX);
            a = &ret[n++];
            memset(a, 0, sizeof(*a));
            (void)snprintf(a->name, sizeof(a->name), "%.60s", value);
        }
        (void)take_value(line, "expr: ", a->expr, sizeof(a->expr));
        (void)take_value(line, "severity: ", a->severity, sizeof(a->severity));
        (void)take_value(line, "runbook: ", a->runbook, sizeof(a->runbook));
        a->has_summary |= take_value(line, "summary: ", value, sizeof(value)) && value[0] != '\0';
        a->has_description |=
            take_value(line, "description: ", value, sizeof(value)) && value[0] != '\0';
    }
    free(text);
    return n;
}

static void watching__alerts_name_metrics_that_there_are(void **state)
{
    static struct alert alerts[ALERTS_MAX];
    const unsigned n = read_alerts(alerts);

    (void)state;
    assert_true(n >= 15);
    for (unsigned i = 0; i < n; i++) {
        if (check_expression(alerts[i].expr) == 0)
            fail_msg("%s looks at nothing", alerts[i].name);
        check_counters(alerts[i].expr);
    }
}

static void watching__alerts_say_what_they_are(void **state)
{
    static struct alert alerts[ALERTS_MAX];
    const unsigned n = read_alerts(alerts);
    char *book = read_source("docs/OPERATIONS.md");

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        const struct alert *a = &alerts[i];
        char text[160];
        const char *at;
        const char *next;

        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(alerts[k].name, a->name);
        if (!is_in("critical, warning, info", a->severity, strlen(a->severity)) ||
            !a->has_summary || !a->has_description)
            fail_msg("%s: severity, summary and description", a->name);
        (void)snprintf(text, sizeof(text), "OPERATIONS.md, Alerts, %.60s", a->name);
        assert_string_equal(a->runbook, text);
        (void)snprintf(text, sizeof(text), "\n### %.60s\n", a->name);
        at = strstr(book, text);
        if (at == NULL)
            fail_msg("docs/OPERATIONS.md has no paragraph for %s", a->name);
        next = strstr(at + 1, "\n#");
        for (unsigned k = 0; k < 2; k++) {
            const char *part = strstr(at, k == 0 ? "*What to do:*" : "\nFirst: `");

            if (part == NULL || (next != NULL && part > next))
                fail_msg("docs/OPERATIONS.md: %s: what to do, and what to type first", a->name);
        }
    }
    free(book);
}

/* And no paragraph is about an alert that is no more. */
static void watching__paragraphs_have_their_alert(void **state)
{
    static struct alert alerts[ALERTS_MAX];
    const unsigned n = read_alerts(alerts);
    char *book = read_source("docs/OPERATIONS.md");
    unsigned n_paragraphs = 0;

    (void)state;
    for (const char *at = book; (at = strstr(at, "\n### Ridd")) != NULL; at++) {
        const size_t len = strcspn(at + 5, "\n");
        bool found = false;

        n_paragraphs++;
        for (unsigned i = 0; i < n; i++)
            found |= strlen(alerts[i].name) == len && memcmp(alerts[i].name, at + 5, len) == 0;
        if (!found)
            fail_msg("there is no alert '%.*s'", (int)len, at + 5);
    }
    assert_int_equal(n_paragraphs, n);
    free(book);
}

static void watching__each_alert_is_fired_and_not_fired(void **state)
{
    static struct alert alerts[ALERTS_MAX];
    const unsigned n = read_alerts(alerts);
    char *tests = read_source("conf/ridd.rules-test.yml");

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        unsigned fired = 0;
        unsigned quiet = 0;
        char text[96];

        (void)snprintf(text, sizeof(text), "alertname: %.60s\n", alerts[i].name);
        for (const char *at = tests; (at = strstr(at, text)) != NULL;) {
            at += strlen(text);
            at += strspn(at, " ");
            if (strncmp(at, "exp_alerts: []\n", 15) == 0)
                quiet++;
            else if (strncmp(at, "exp_alerts:\n", 12) == 0)
                fired++;
        }
        if (fired == 0 || quiet == 0)
            fail_msg("conf/ridd.rules-test.yml: %s is fired %u times, and %u times not",
                     alerts[i].name, fired, quiet);
    }
    free(tests);
}

static void watching__promtool_agrees(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null") != 0) {
        print_message("promtool is not here: apt-get install --no-install-recommends prometheus\n");
        skip();
    }
    assert_int_equal(system("cd \"${srcdir:-.}/conf\" && promtool check rules ridd.rules.yml && "
                            "promtool test rules ridd.rules-test.yml"),
                     0);
}

/* ---- the dashboard ---- */

/* $variables of Grafana as something that Prometheus reads, and the quotes of JSON are gone. */
static void check_panel(const json_t *panel)
{
    const char *title = json_string_value(json_object_get(panel, "title"));
    const char *type = json_string_value(json_object_get(panel, "type"));
    const json_t *defaults = json_object_get(json_object_get(panel, "fieldConfig"), "defaults");
    const json_t *targets = json_object_get(panel, "targets");
    const json_t *target;
    size_t i;

    assert_non_null(title);
    assert_true(title[0] != '\0');
    assert_non_null(type);
    if (strcmp(type, "row") == 0)
        return;
    if (json_string_value(json_object_get(defaults, "unit")) == NULL)
        fail_msg("panel '%s' has no unit", title);
    assert_true(json_array_size(targets) > 0);
    json_array_foreach(targets, i, target)
    {
        const char *expr = json_string_value(json_object_get(target, "expr"));
        const char *source =
            json_string_value(json_object_get(json_object_get(target, "datasource"), "uid"));

        assert_non_null(expr);
        if (source == NULL || strcmp(source, "${datasource}") != 0)
            fail_msg("panel '%s' asks a data source of its own", title);
        if (check_expression(expr) == 0)
            fail_msg("panel '%s' shows nothing", title);
        check_counters(expr);
    }
}

static void watching__dashboard_shows_what_there_is(void **state)
{
    char *text = read_source("conf/ridd-dashboard.json");
    json_error_t error;
    json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    const json_t *panels;
    const json_t *panel;
    const json_t *variable;
    bool ids[1000] = {false};
    size_t i;

    (void)state;
    if (doc == NULL)
        fail_msg("conf/ridd-dashboard.json:%d: %s", error.line, error.text);
    assert_true(json_integer_value(json_object_get(doc, "schemaVersion")) >= 38);
    panels = json_object_get(doc, "panels");
    assert_true(json_array_size(panels) >= 20);
    json_array_foreach(panels, i, panel)
    {
        const json_int_t id = json_integer_value(json_object_get(panel, "id"));
        const json_t *pos = json_object_get(panel, "gridPos");

        assert_true(id > 0 && id < 1000 && !ids[id]);
        ids[id] = true;
        assert_true(json_integer_value(json_object_get(pos, "x")) +
                        json_integer_value(json_object_get(pos, "w")) <=
                    24);
        check_panel(panel);
    }
    json_array_foreach(json_object_get(json_object_get(doc, "templating"), "list"), i, variable)
    {
        const json_t *query = json_object_get(variable, "query");

        if (json_is_object(query))
            assert_int_equal(check_expression(json_string_value(json_object_get(query, "query"))),
                             1);
    }
    json_decref(doc);
    free(text);
}

/* What is promised to be watched is: each family is in an alert or a panel, or said to be neither. */
static void watching__families_are_looked_at(void **state)
{
    /* For whoever asks for one thing: the indexes of the log, and figures of HTTP itself. */
    static const char unwatched[] =
        "ridd_term, ridd_last_index, ridd_stored_index, ridd_base_index, ridd_leader_known, "
        "ridd_fitness, ridd_lease_valid, ridd_asks_sent_total, ridd_log_segments, "
        "ridd_log_queued_bytes, ridd_state_keys, ridd_sessions, "
        "ridd_full, ridd_state_verdict, ridd_digest_alarms_total, ridd_scrub_progress_ratio, "
        "ridd_snapshot_index, ridd_snapshots_total, ridd_members, ridd_voters_heard, "
        "ridd_peer_heard, ridd_peer_fsync_seconds, ridd_turns_total, ridd_connections_limit, "
        "ridd_connections_accepted_total, ridd_http_requests_total, ridd_http_connections, "
        "ridd_http_connections_closed_total, ridd_http_loop_asks_total, "
        "ridd_early_campaigns_total";
    char *rules = read_source("conf/ridd.rules.yml");
    char *dashboard = read_source("conf/ridd-dashboard.json");
    unsigned n;
    const struct metric_family *all = metrics_families(&n);

    (void)state;
    for (unsigned i = 0; i < n; i++)
        if (strstr(rules, all[i].name) == NULL && strstr(dashboard, all[i].name) == NULL &&
            !is_in(unwatched, all[i].name, strlen(all[i].name)))
            fail_msg("nobody looks at '%s'", all[i].name);
    free(rules);
    free(dashboard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watching__alerts_name_metrics_that_there_are),
        cmocka_unit_test(watching__alerts_say_what_they_are),
        cmocka_unit_test(watching__paragraphs_have_their_alert),
        cmocka_unit_test(watching__each_alert_is_fired_and_not_fired),
        cmocka_unit_test(watching__promtool_agrees),
        cmocka_unit_test(watching__dashboard_shows_what_there_is),
        cmocka_unit_test(watching__families_are_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
