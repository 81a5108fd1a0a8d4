/* http: the text of /metrics by Prometheus' conventions, and the table in docs/METRICS.md (HTTP-8).
 *
 * `test-metrics --write` writes that table. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/prng.h"
#include "metric-names.h"

#define TEXT_BYTES_MAX (2u << 20)

/* ---- facts ---- */

static void fill_histogram(struct prng *p, struct histogram *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        histogram_add(h, prng_below(p, UINT64_C(1) << (prng_below(p, 30) + 1)), 1);
}

/* Something of everything; a leader with peers_max peers. */
static struct metrics_facts *some_facts(unsigned n_peers)
{
    struct metrics_facts *f = calloc(1, sizeof(*f));
    struct engine_metrics *e;
    struct prng p;

    assert_non_null(f);
    prng_init(&p, 3);
    e = &f->engine;
    e->role = RAFT_LEADER;
    (void)snprintf(e->node, sizeof(e->node), "n1");
    (void)snprintf(e->leader, sizeof(e->leader), "n1");
    (void)snprintf(e->verdict, sizeof(e->verdict), "good");
    (void)snprintf(f->host.cluster_hash, sizeof(f->host.cluster_hash), "5ada9d6d4a637107");
    f->host.n_certificates = 2;
    f->host.certificates[0] = (struct tls_expiry){.what = "client_cert", .not_after_s = 1800000000};
    f->host.certificates[1] = (struct tls_expiry){.what = "client_ca", .not_after_s = 1900000000};
    e->can_serve = true;
    e->n_voters = 5;
    e->n_voters_heard = 4;
    e->snapshot_index = 5;
    for (unsigned op = 0; op < SERVICE_N_OPS; op++) {
        for (unsigned stage = 0; stage < SERVICE_N_STAGES; stage++)
            fill_histogram(&p, &e->requests.stages[op][stage], 100);
        fill_histogram(&p, &e->requests.total[op], 100);
        for (unsigned error = 0; error < WIRE_N_ERRORS; error++)
            e->requests.results[op][error] = op * 100 + error;
    }
    fill_histogram(&p, &e->round_reads, 50);
    fill_histogram(&p, &e->failover_us, 5);
    fill_histogram(&p, &e->fsync_us, 500);
    fill_histogram(&p, &f->host.turns, 500);
    e->n_peers = n_peers;
    for (unsigned i = 0; i < n_peers; i++) {
        struct engine_peer_metrics *peer = &e->peers[i];

        (void)snprintf(peer->name, sizeof(peer->name), "n%u", i + 2);
        peer->connected = true;
        peer->heard = true;
        peer->rtt_us = 100;
        peer->fsync_us = 7;
        peer->drift_known = true;
        peer->drift_ppm = -3;
        peer->snapshot_bytes = 100;
        peer->snapshot_acked_bytes = 25;
    }
    return f;
}

static char *text_of(const struct metrics_facts *f)
{
    static const struct metrics_server server = {.stats = {.n_requests = 7, .n_refused = 2},
                                                 .disk_free_bytes = 1};
    struct buf out = BUF_INIT;

    assert_int_equal(metrics_write(f, &server, &out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    return (char *)out.data;
}

/* ---- a checker of our own, for where promtool is not ---- */

/* A line that is no comment: its name, labels and value. */
static void check_sample(const char *line, const struct metric_family *within)
{
    const char *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    const struct metric_family *f = family_of(line, (size_t)(at - line));
    char *end;

    if (f == NULL || f != within)
        fail_msg("it belongs to no family, or stands elsewhere: %.80s", line);
    if (*at == '{') {
        do {
            const char *name = ++at;

            at += strcspn(at, "=");
            if (!has_label(f, name, (size_t)(at - name)))
                fail_msg("a label that the table has not: %.80s", line);
            assert_memory_equal(at, "=\"", 2);
            for (at += 2; *at != '"'; at++) {
                assert_true(*at != '\n' && *at != '\0');
                if (*at == '\\')
                    at++;
            }
            at++;
        } while (*at == ',');
        assert_true(*at++ == '}');
    }
    assert_true(*at == ' ');
    (void)strtod(at + 1, &end);
    if (*end != '\n')
        fail_msg("no number: %.80s", line);
}

static void check_text(const char *text)
{
    unsigned n;
    const struct metric_family *all = metrics_families(&n);
    const struct metric_family *f = NULL;
    unsigned next = 0;
    char head[512];

    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        if (*line != '#') {
            assert_non_null(f);
            check_sample(line, f);
            continue;
        }
        if (memcmp(line, "# TYPE ", 7) == 0)
            continue; /* compared with its HELP */
        assert_memory_equal(line, "# HELP ", 7);
        for (f = NULL; f == NULL; next++) {
            assert_true(next < n);
            (void)snprintf(head, sizeof(head), "# HELP %s %s\n# TYPE %s %s\n", all[next].name,
                           all[next].help, all[next].name, metric_type_name(all[next].type));
            if (strncmp(line, head, strlen(head)) == 0)
                f = &all[next];
        }
    }
}

static void metrics__each_sample_has_its_family_and_labels(void **state)
{
    struct metrics_facts *f = some_facts(4);
    char *text;

    (void)state;
    text = text_of(f);
    check_text(text);
    free(text);
    memset(f, 0, sizeof(*f));
    text = text_of(f);
    check_text(text);
    free(text);
    free(f);
}

static void metrics__a_leader_with_peers_shows_every_family(void **state)
{
    struct metrics_facts *f = some_facts(4);
    char *text = text_of(f);
    unsigned n;
    const struct metric_family *all = metrics_families(&n);

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        char head[128];

        (void)snprintf(head, sizeof(head), "# HELP %s ", all[i].name);
        if (strstr(text, head) == NULL)
            fail_msg("'%s' has no samples", all[i].name);
    }
    free(text);
    free(f);
}

static uint64_t value_of(const char *text, const char *sample)
{
    char line[128];
    const char *at;

    (void)snprintf(line, sizeof(line), "\n%s ", sample);
    at = strstr(text, line);
    if (at == NULL)
        fail_msg("no '%s'", sample);
    return strtoull(at + strlen(line), NULL, 10);
}

static void metrics__buckets_count_what_is_below_their_edge(void **state)
{
    struct metrics_facts *f = calloc(1, sizeof(*f));
    char *text;

    (void)state;
    assert_non_null(f);
    histogram_add(&f->engine.fsync_us, 100, 3);     /* below 128 us */
    histogram_add(&f->engine.fsync_us, 128, 2);     /* not */
    histogram_add(&f->engine.fsync_us, 3000000, 1); /* 3 s */
    histogram_add(&f->engine.round_reads, 3, 5);
    histogram_add(&f->engine.round_reads, 4, 1);
    histogram_add(&f->engine.round_reads, 1000, 1);
    text = text_of(f);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"0.000064\"}"), 0);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"0.000128\"}"), 3);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"0.000256\"}"), 5);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"2.097152\"}"), 5);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"4.194304\"}"), 6);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_bucket{le=\"+Inf\"}"), 6);
    assert_int_equal(value_of(text, "ridd_fsync_seconds_count"), 6);
    assert_non_null(strstr(text, "ridd_fsync_seconds_sum 3.000556\n"));
    assert_int_equal(value_of(text, "ridd_round_reads_bucket{le=\"1\"}"), 0);
    assert_int_equal(value_of(text, "ridd_round_reads_bucket{le=\"3\"}"), 5);
    assert_int_equal(value_of(text, "ridd_round_reads_bucket{le=\"7\"}"), 6);
    assert_non_null(strstr(text, "ridd_round_reads_sum 1019\n"));
    free(text);
    free(f);
}

/* A disk that is full has no room, and is not one of which nothing is known. */
static void metrics__no_room_is_a_figure(void **state)
{
    struct metrics_server server = {.disk_free_bytes = 0};
    struct metrics_facts *f = some_facts(1);
    cleanup_buf struct buf out = BUF_INIT;

    (void)state;
    assert_int_equal(metrics_write(f, &server, &out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_non_null(strstr((const char *)out.data, "\nridd_disk_free_bytes 0\n"));
    server.disk_free_bytes = METRICS_UNKNOWN;
    out.len = 0;
    assert_int_equal(metrics_write(f, &server, &out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    assert_null(strstr((const char *)out.data, "\nridd_disk_free_bytes "));
    free(f);
}

static void metrics__what_only_a_leader_knows_is_absent_elsewhere(void **state)
{
    static const char *const leaders[] = {"ridd_voters_heard", "ridd_survivable_failures",
                                          "ridd_peer_behind_entries", "ridd_peer_heard"};
    struct metrics_facts *f = some_facts(2);
    char *text;

    (void)state;
    text = text_of(f);
    assert_int_equal(value_of(text, "ridd_survivable_failures"), 0 + 4 - 3);
    free(text);
    f->engine.role = RAFT_FOLLOWER;
    text = text_of(f);
    for (size_t i = 0; i < sizeof(leaders) / sizeof(leaders[0]); i++)
        assert_null(strstr(text, leaders[i]));
    assert_int_equal(value_of(text, "ridd_peer_connected{peer=\"n2\"}"), 1);
    assert_int_equal(value_of(text, "ridd_role{role=\"follower\"}"), 1);
    assert_int_equal(value_of(text, "ridd_role{role=\"leader\"}"), 0);
    free(text);
    free(f);
}

/* Whatever a label holds, it is one value on one line. */
static void metrics__labels_are_escaped(void **state)
{
    struct metrics_facts *f = some_facts(1);
    char *text;

    (void)state;
    (void)snprintf(f->engine.peers[0].name, sizeof(f->engine.peers[0].name), "a\"b\\c\nd");
    text = text_of(f);
    assert_non_null(strstr(text, "ridd_peer_connected{peer=\"a\\\"b\\\\c\\nd\"} 1\n"));
    check_text(text);
    free(text);
    free(f);
}

/* The conventions that a name can break. */
static void metrics__names_keep_to_the_conventions(void **state)
{
    unsigned n;
    const struct metric_family *all = metrics_families(&n);

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        const char *name = all[i].name;
        const size_t len = strlen(name);
        const bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;

        assert_memory_equal(name, "ridd_", 5);
        assert_true(strspn(name, "abcdefghijklmnopqrstuvwxyz_") == len);
        if (total != (all[i].type == METRIC_COUNTER))
            fail_msg("%s: counters, and only they, end with _total", name);
        if (strstr(name, "_ms") != NULL || strstr(name, "_us") != NULL ||
            strstr(name, "percent") != NULL)
            fail_msg("%s: base units", name);
        assert_true(strchr(all[i].help, '\n') == NULL && strchr(all[i].help, '\\') == NULL);
        assert_true(all[i].help[strlen(all[i].help) - 1] == '.');
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(all[k].name, name);
    }
}

static void metrics__promtool_finds_nothing(void **state)
{
    struct metrics_facts *f;
    char *text;
    FILE *p;

    (void)state;
    if (system("command -v promtool >/dev/null") != 0) {
        print_message("promtool is not here: apt-get install --no-install-recommends prometheus\n");
        skip();
    }
    f = some_facts(4);
    text = text_of(f);
    p = popen("promtool check metrics", "w");
    assert_non_null(p);
    assert_true(fputs(text, p) >= 0);
    assert_int_equal(pclose(p), 0);
    free(text);
    free(f);
}

/* ---- what it costs ---- */

/* Printed for docs/BENCH.md; no bound of it is a matter of this test. */
static void metrics__says_what_the_text_costs(void **state)
{
    struct metrics_facts *f = some_facts(RAFT_SERVERS_MAX - 1);
    struct timespec from;
    struct timespec to;
    size_t bytes = 0;
    unsigned n_samples = 0;

    (void)state;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; i < 20; i++) {
        char *text = text_of(f);

        n_samples = 0;
        for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
            n_samples += *line != '#';
        bytes = strlen(text);
        free(text);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    print_message(
        "%u samples, %zu bytes: %.2f ms\n", n_samples, bytes,
        ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6) / 20);
    assert_true(bytes < TEXT_BYTES_MAX);
    free(f);
}

/* ---- the table ---- */

#define TABLE_BEGIN "<!-- The table: written by tests/unit/test-metrics --write -->\n"
#define TABLE_END   "<!-- End of the table -->\n"

static void print_table(FILE *out)
{
    unsigned n;
    const struct metric_family *all = metrics_families(&n);

    fprintf(out, TABLE_BEGIN "| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "| `%s` | %s | %s | %s |\n", all[i].name, metric_type_name(all[i].type),
                all[i].labels, all[i].help);
    fprintf(out, TABLE_END);
}

static char *read_file(const char *path)
{
    char *text = calloc(1, TEXT_BYTES_MAX);
    FILE *f = fopen(path, "re");

    assert_non_null(text);
    if (f == NULL)
        fail_msg("cannot open '%s'", path);
    assert_true(fread(text, 1, TEXT_BYTES_MAX - 1, f) > 0);
    (void)fclose(f);
    return text;
}

static const char *doc_path(void)
{
    static char path[4096];
    const char *srcdir = getenv("srcdir");

    (void)snprintf(path, sizeof(path), "%s/docs/METRICS.md", srcdir != NULL ? srcdir : ".");
    return path;
}

static char *wanted_table(void)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    print_table(f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void metrics__the_table_in_docs_is_this_one(void **state)
{
    char *text = read_file(doc_path());
    char *table = wanted_table();

    (void)state;
    if (strstr(text, table) == NULL)
        fail_msg("docs/METRICS.md is stale: srcdir=... tests/unit/test-metrics --write");
    free(table);
    free(text);
}

static int write_table(void)
{
    char *text = read_file(doc_path());
    char *from = strstr(text, TABLE_BEGIN);
    char *to = strstr(text, TABLE_END);
    FILE *f;

    if (from == NULL || to == NULL) {
        fprintf(stderr, "test-metrics: '%s' has no place for the table\n", doc_path());
        return 1;
    }
    f = fopen(doc_path(), "we");
    if (f == NULL)
        return 1;
    (void)fwrite(text, 1, (size_t)(from - text), f);
    print_table(f);
    (void)fputs(to + strlen(TABLE_END), f);
    free(text);
    return fclose(f) != 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__each_sample_has_its_family_and_labels),
        cmocka_unit_test(metrics__a_leader_with_peers_shows_every_family),
        cmocka_unit_test(metrics__buckets_count_what_is_below_their_edge),
        cmocka_unit_test(metrics__no_room_is_a_figure),
        cmocka_unit_test(metrics__what_only_a_leader_knows_is_absent_elsewhere),
        cmocka_unit_test(metrics__labels_are_escaped),
        cmocka_unit_test(metrics__names_keep_to_the_conventions),
        cmocka_unit_test(metrics__promtool_finds_nothing),
        cmocka_unit_test(metrics__says_what_the_text_costs),
        cmocka_unit_test(metrics__the_table_in_docs_is_this_one),
    };

    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_table();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
