/* Certificates that end soon, or have: whoever looks is told, in each place where one looks, and is
 * not any more when they were renewed (TLS-26). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cluster/harness.h"
#include "unit/fake-certs.h"

#include "base/banned.h"

#define DAY_S 86400L
/* A test may take so long. */
#define SLACK_S 600L

struct world {
    struct cluster *c;
    struct fake_ca *ca;
};

/* ---- a node that needs no other one ---- */

static void issue(const struct world *w, long peer_until_s, long client_until_s)
{
    const struct fake_cert peer = {.common_name = "n1",
                                   .san = "URI:ridd://test/n1",
                                   .from_s = -30 * DAY_S,
                                   .until_s = peer_until_s};
    const struct fake_cert client = {.common_name = "server",
                                     .san = "IP:127.0.0.1",
                                     .from_s = -30 * DAY_S,
                                     .until_s = client_until_s};

    fake_ca_issue(w->ca, &peer, w->c->dir, "peer");
    fake_ca_issue(w->ca, &client, w->c->dir, "client");
}

static void up(struct world *w, long peer_until_s, long client_until_s)
{
    struct cluster *c = cluster_new(1, "[http]\n");
    const char *dir = c->dir;
    char extra[1800];

    w->c = c;
    w->ca = fake_ca_new_until(dir, "ca", 1000 * DAY_S);
    issue(w, peer_until_s, client_until_s);
    (void)snprintf(c->nodes[0].addr, sizeof(c->nodes[0].addr), "tcp://127.0.0.1:%u",
                   c->nodes[0].port);
    (void)snprintf(extra, sizeof(extra),
                   "[security]\npeer_cert = %s/peer.pem\npeer_key = %s/peer.key\n"
                   "peer_ca = %s/ca.pem\nclient_cert = %s/client.pem\nclient_key = %s/client.key\n"
                   "[access]\nall = admin any\n",
                   dir, dir, dir, dir, dir);
    cluster_write_conf(c, "test", extra);
    cluster_init(c);
    cluster_start(c);
}

static void down(struct world *w)
{
    fake_ca_free(w->ca);
    cluster_free(w->c);
}

static void reload(const struct world *w)
{
    const unsigned n = node_log_lines(w->c, 0, "event=tls_taken", NULL);

    node_signal(w->c, 0, SIGHUP);
    wait_until(node_log_lines(w->c, 0, "event=tls_taken", NULL) > n, "the reload");
}

/* ---- where one looks ---- */

static void expect_no_text(const struct buf *out, const char *text)
{
    if (strstr((const char *)out->data, text) != NULL)
        harness_fail("'%s' is in: %.1200s", text, (const char *)out->data);
}

static void day_text(long from_now_s, char *ret, size_t size)
{
    const time_t at = time(NULL) + from_now_s;
    struct tm tm;

    assert_non_null(gmtime_r(&at, &tm));
    assert_true(strftime(ret, size, "%Y-%m-%d", &tm) > 0);
}

/* Of the file, as /metrics says; relative to now. */
static long metric_of(const struct world *w, const char *what)
{
    struct client *cl = client_open_port(w->c->nodes[0].http_port);
    char name[100];
    const char *line;
    long found = 0;

    (void)snprintf(name, sizeof(name), "ridd_certificate_not_after_seconds{what=\"%s\"} ", what);
    client_send_raw(cl, "GET /metrics HTTP/1.0\r\n\r\n", 25);
    while ((line = client_recv_within(cl, (unsigned)slow(WAIT_MS))) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            found = strtol(line + strlen(name), NULL, 10) - (long)time(NULL);
    client_close(cl);
    if (found == 0)
        harness_fail("/metrics does not have %s", name);
    return found;
}

static void expect_metric(const struct world *w, const char *what, long wanted_s)
{
    const long found_s = metric_of(w, what);

    if (labs(found_s - wanted_s) > SLACK_S)
        harness_fail("%s ends in %ld seconds, not in %ld", what, found_s, wanted_s);
}

/* `text`: in the words of the node, NULL: nothing is to be said of certificates. */
static void expect_told(const struct world *w, const char *text)
{
    static const char *const verbs[] = {"status", "doctor"};

    for (size_t i = 0; i < 2; i++) {
        cleanup_buf struct buf out = BUF_INIT;
        const int code = run_ridctl(w->c, &out, verbs[i]);

        if (text == NULL) {
            expect_no_text(&out, "certificate");
            if (i == 0)
                expect_code(code, 0, &out);
        } else {
            expect_text(&out, text);
            if (i == 0)
                expect_code(code, 6, &out); /* degraded: it serves */
            else
                assert_int_not_equal(code, 0);
        }
    }
}

/* ---- cases ---- */

CASE(expiry__in_ten_days)
{
    struct world w;
    char text[200];
    char day[32];

    up(&w, 100 * DAY_S, 10 * DAY_S + SLACK_S);
    assert_int_equal(
        node_log_lines(w.c, 0, "level=warning", "event=certificate_ends what=client_cert"), 1);
    assert_int_equal(node_log_lines(w.c, 0, "event=certificate_ends", "days=10"), 1);
    assert_int_equal(node_log_lines(w.c, 0, "event=certificate_ends", NULL), 1);
    day_text(10 * DAY_S + SLACK_S, day, sizeof(day));
    (void)snprintf(text, sizeof(text),
                   "the certificate of client_cert ends on %s, in 10 days: renew it and reload",
                   day);
    expect_told(&w, text);
    expect_metric(&w, "client_cert", 10 * DAY_S + SLACK_S);
    expect_metric(&w, "peer_cert", 100 * DAY_S);
    expect_metric(&w, "peer_ca", 1000 * DAY_S);
    issue(&w, 100 * DAY_S, 200 * DAY_S);
    reload(&w);
    expect_told(&w, NULL);
    expect_metric(&w, "client_cert", 200 * DAY_S);
    assert_int_equal(node_log_lines(w.c, 0, "event=certificate_ends", NULL), 1);
    down(&w);
}

/* It goes on with what is there: a node that would not start because of it would help nobody. */
CASE(expiry__since_yesterday)
{
    struct world w;
    char text[200];
    char day[32];

    up(&w, -DAY_S - SLACK_S, 100 * DAY_S);
    assert_int_equal(node_log_lines(w.c, 0, "level=error", "event=certificate_ends what=peer_cert"),
                     1);
    assert_int_equal(node_log_lines(w.c, 0, "event=certificate_ends", "days=-1"), 1);
    day_text(-DAY_S - SLACK_S, day, sizeof(day));
    (void)snprintf(text, sizeof(text), "the certificate of peer_cert ended on %s", day);
    expect_told(&w, text);
    expect_metric(&w, "peer_cert", -DAY_S - SLACK_S);
    issue(&w, 300 * DAY_S, 100 * DAY_S);
    reload(&w);
    expect_told(&w, NULL);
    expect_metric(&w, "peer_cert", 300 * DAY_S);
    assert_int_equal(node_log_lines(w.c, 0, "event=certificate_ends", NULL), 1);
    down(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(expiry__in_ten_days),
        HARNESS_TEST(expiry__since_yesterday),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
