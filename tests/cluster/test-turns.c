/* Requests that are dear to take in, to apply or to answer, as many as the limits allow at once:
 * whoever asks for something small meanwhile is answered, and the term stays (TIME-1, TIME-4). By
 * counts of replies and by terms; how long anything takes is not looked at. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

/* Ten heartbeats to an election, as by default, and twice as long: two cores run three nodes. */
#define TIMES       "[raft]\nheartbeat_ms = 100\nelection_ms = 1000\n"
#define SENDERS_MAX 64u
/* Of the one who asks for little. */
#define GOOD_CLIENTS 2u
#define GOOD_DEPTH   2u

/* ---- the one who asks for little ---- */

struct good {
    struct swarm *swarm;
    unsigned n_ok;
    unsigned n_wrong;
    char wrong[256]; /* the last */
};

static bool good_next(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    (void)ctx;
    (void)client;
    (void)snprintf(fields, size,
                   msg_id % 4 == 0 ? "\"type\":\"write\",\"key\":\"good\",\"value\":1"
                                   : "\"type\":\"read_index\",\"key\":\"good\"");
    return true;
}

static void good_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct good *g = ctx;

    (void)client;
    (void)msg_id;
    if (reply != NULL && (reply_is(reply, "read_index_ok") || reply_is(reply, "write_ok"))) {
        g->n_ok++;
        return;
    }
    /* It found the leader, or there was no room for its write: definite, and it asks again. */
    if (reply != NULL && (strcmp(reply_str(reply, "error"), "not_leader") == 0 ||
                          strcmp(reply_str(reply, "error"), "overloaded") == 0 ||
                          strcmp(reply_str(reply, "error"), "busy") == 0))
        return;
    g->n_wrong++;
    (void)snprintf(g->wrong, sizeof(g->wrong), "%s",
                   reply != NULL ? reply_str(reply, "text") : "the connection was lost");
}

static const struct swarm_ops good_ops = {.next = good_next, .done = good_done};

/* ---- the flood ---- */

struct sender {
    struct client *cl;
    struct buf out;
    size_t sent;
    struct buf in;
    unsigned n_replies;
    unsigned n_expected;
};

static void count_reply(struct sender *s, const char *line, size_t len, const char *const *allowed)
{
    for (unsigned i = 0; allowed[i] != NULL; i++) {
        if (memmem(line, len, allowed[i], strlen(allowed[i])) != NULL) {
            s->n_replies++;
            return;
        }
    }
    harness_fail("not one of the replies that may come: %.*s", (int)(len < 300 ? len : 300), line);
}

static void sender_take(struct sender *s, const char *const *allowed)
{
    char chunk[65536];
    ssize_t n = recv(s->cl->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    const unsigned char *end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        harness_fail("the connection of a sender was lost after %u of %u replies: %s", s->n_replies,
                     s->n_expected, n < 0 ? strerror(errno) : "closed");
    (void)buf_add(&s->in, chunk, (size_t)n);
    while (s->in.len > 0 && (end = memchr(s->in.data, '\n', s->in.len)) != NULL) {
        count_reply(s, (const char *)s->in.data, (size_t)(end - s->in.data), allowed);
        buf_consume(&s->in, (size_t)(end - s->in.data) + 1);
    }
}

static void sender_turn(struct sender *s, const char *const *allowed)
{
    struct pollfd p = {.fd = s->cl->fd, .events = POLLIN};

    if (s->sent < s->out.len)
        p.events |= POLLOUT;
    if (poll(&p, 1, 0) <= 0)
        return;
    if ((p.revents & POLLOUT) != 0) {
        size_t left = s->out.len - s->sent;
        ssize_t n = send(s->cl->fd, s->out.data + s->sent, left < 65536 ? left : 65536,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            s->sent += (size_t)n;
    }
    if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        sender_take(s, allowed);
}

static unsigned replies_missing(const struct sender *s, unsigned n)
{
    unsigned missing = 0;

    for (unsigned i = 0; i < n; i++)
        missing += s[i].n_expected - s[i].n_replies;
    return missing;
}

/* All lines from all senders, until each has its reply. Meanwhile the good client gets as many
 * replies as it has requests in flight: it does not stand behind the whole flood. In the end it has
 * got n_good, and neither leader nor term have changed. */
static void flood(struct cluster *c, struct sender *s, unsigned n, const char *const *allowed,
                  unsigned n_good)
{
    struct good good = {0};
    unsigned leader = cluster_leader(c);
    json_t *before = node_status(c, leader);
    json_t *after;
    uint64_t deadline = now_ms() + slow(6 * WAIT_MS);
    unsigned n_meanwhile = 0;

    good.swarm = swarm_new(c, GOOD_CLIENTS, GOOD_DEPTH, &good_ops, &good);
    swarm_set_patience(good.swarm, (unsigned)slow(6 * WAIT_MS));
    while (replies_missing(s, n) > 0 || good.n_ok < n_good) {
        for (unsigned i = 0; i < n; i++)
            sender_turn(&s[i], allowed);
        if (replies_missing(s, n) > 0)
            n_meanwhile = good.n_ok;
        swarm_turn(good.swarm, 1);
        if (now_ms() > deadline)
            harness_fail("%u replies are missing, and %u good ones came", replies_missing(s, n),
                         good.n_ok);
    }
    swarm_drain(good.swarm);
    swarm_free(good.swarm);
    after = node_status(c, cluster_leader(c));
    if (n_meanwhile < GOOD_CLIENTS * GOOD_DEPTH)
        harness_fail("the good client got %u replies before the flood was over", n_meanwhile);
    if (good.n_wrong > 0)
        harness_fail("%u of the good client's requests failed: %s", good.n_wrong, good.wrong);
    if (reply_int(after, "term") != reply_int(before, "term") || cluster_leader(c) != leader)
        harness_fail("term %lld became %lld", (long long)reply_int(before, "term"),
                     (long long)reply_int(after, "term"));
    json_decref(before);
    json_decref(after);
}

/* Each of n clients sends the line so many times, without waiting for replies. */
static void flood_with(struct cluster *c, const struct buf *line, unsigned n, unsigned n_lines,
                       const char *const *allowed)
{
    struct sender s[SENDERS_MAX];

    assert_true(n <= SENDERS_MAX);
    memset(s, 0, sizeof(s));
    for (unsigned i = 0; i < n; i++) {
        s[i].cl = client_open(c, cluster_leader(c));
        s[i].n_expected = n_lines;
        for (unsigned k = 0; k < n_lines; k++)
            (void)buf_add(&s[i].out, line->data, line->len);
    }
    flood(c, s, n, allowed, 50);
    for (unsigned i = 0; i < n; i++) {
        client_close(s[i].cl);
        buf_done(&s[i].out);
        buf_done(&s[i].in);
    }
}

/* ---- texts ---- */

static void add_many(struct buf *b, const char *text, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)buf_add_str(b, text);
}

/* n numbers, two bytes each as text. */
static void add_flat(struct buf *b, unsigned n)
{
    (void)buf_add_str(b, "[");
    add_many(b, "1,", n - 1);
    (void)buf_add_str(b, "1]");
}

/* An array of n times what is given, within so many others as may be nested and two less. */
static void add_nested(struct buf *b, const char *numbers, unsigned n)
{
    add_many(b, "[", 14);
    add_many(b, numbers, n);
    (void)buf_add_str(b, "1");
    add_many(b, "]", 14);
}

/* Of ten bytes each time. */
static void add_text(struct buf *b, unsigned n)
{
    (void)buf_add_str(b, "\"");
    add_many(b, "0123456789", n);
    (void)buf_add_str(b, "\"");
}

/* Ends the line, sends it once, and empties it. */
static void write_once(struct cluster *c, struct buf *line)
{
    struct client *cl = client_open(c, cluster_leader(c));

    (void)buf_add_str(line, "}\n");
    client_send_raw(cl, line->data, line->len);
    client_expect_reply(cl, "{\"type\":\"write_ok\"}");
    client_close(cl);
    buf_reset(line, 0);
}

/* ---- the floods ---- */

/* 17 ms each on every node, when each level of nesting was looked at anew. */
CASE(turns__cas_against_a_nested_array)
{
    static const char *const allowed[] = {"precondition_failed", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line, "{\"type\":\"write\",\"key\":\"deep\",\"value\":");
    add_nested(&line, "12,", 166000);
    write_once(c, &line);
    (void)buf_add_str(&line, "{\"type\":\"cas\",\"key\":\"deep\",\"to\":1,\"from\":");
    add_nested(&line, "12,", 1);
    (void)buf_add_str(&line, ",\"timeout_ms\":60000}\n");
    flood_with(c, &line, 4, 256, allowed);
    cluster_free(c);
}

/* The value was copied and its tree built for each of them, on every node. */
CASE(turns__cas_of_one_against_a_flat_value)
{
    static const char *const allowed[] = {"precondition_failed", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line, "{\"type\":\"write\",\"key\":\"flat\",\"value\":");
    add_flat(&line, 250000);
    write_once(c, &line);
    (void)buf_add_str(&line, "{\"type\":\"cas\",\"key\":\"flat\",\"timeout_ms\":60000,"
                             "\"from\":[1,1],\"to\":1}\n");
    flood_with(c, &line, 1, 1000, allowed);
    cluster_free(c);
}

/* 64 MB were copied for each of them, only to be thrown away. */
CASE(turns__batches_of_one_long_value)
{
    static const char *const allowed[] = {"too_large", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line, "{\"type\":\"write\",\"key\":\"big\",\"value\":");
    add_text(&line, 50000);
    write_once(c, &line);
    (void)buf_add_str(&line, "{\"type\":\"batch_read_index\",\"timeout_ms\":60000,\"keys\":[");
    add_many(&line, "\"big\",", 127);
    (void)buf_add_str(&line, "\"big\"]}\n");
    flood_with(c, &line, 1, 512, allowed);
    cluster_free(c);
}

/* Turns of more than a second. What does not fit is refused, definitely. */
CASE(turns__long_writes_of_many)
{
    static const char *const allowed[] = {"write_ok", "overloaded", "\"busy\"", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line,
                      "{\"type\":\"write\",\"timeout_ms\":60000,\"key\":\"long\",\"value\":");
    add_text(&line, 40000);
    (void)buf_add_str(&line, "}\n");
    flood_with(c, &line, 64, 2, allowed);
    cluster_free(c);
}

/* 100 ms each to take in, when trees were built of them, and as much again to compare. */
CASE(turns__cas_of_a_megabyte)
{
    static const char *const allowed[] = {"cas_ok", "precondition_failed", "overloaded", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line, "{\"type\":\"write\",\"key\":\"wide\",\"value\":");
    add_flat(&line, 255001);
    write_once(c, &line);
    (void)buf_add_str(&line, "{\"type\":\"cas\",\"timeout_ms\":60000,\"key\":\"wide\",\"from\":");
    add_flat(&line, 255001);
    (void)buf_add_str(&line, ",\"to\":");
    add_flat(&line, 255001);
    (void)buf_add_str(&line, "}\n");
    flood_with(c, &line, 8, 2, allowed);
    cluster_free(c);
}

/* A value for each three bytes: one client's made another wait for 350 ms, four clients' for 650,
 * when trees were built of them and the turns of clients were not measured by what they cost. */
static void ping_arrays(unsigned n, unsigned n_lines)
{
    static const char *const allowed[] = {"\"pong\"", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;

    (void)buf_add_str(&line, "{\"type\":\"ping\",\"x\":[");
    add_many(&line, "[],", 349500);
    (void)buf_add_str(&line, "[]]}\n");
    assert_in_range(line.len, (1u << 20) - 100, 1u << 20);
    flood_with(c, &line, n, n_lines, allowed);
    cluster_free(c);
}

CASE(turns__pings_of_empty_arrays)
{
    ping_arrays(1, 64);
}

CASE(turns__pings_of_empty_arrays_of_four)
{
    ping_arrays(4, 16);
}

/* A megabyte of reals with seventeen digits takes tens of milliseconds to be taken in: what another
 * one asks for meanwhile is answered in between, many times. */
CASE(turns__others_are_answered_while_a_line_is_decoded)
{
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    const unsigned leader = cluster_leader(c);
    struct client *slow = client_open(c, leader);
    struct client *quick = client_open(c, leader);
    cleanup_buf struct buf line = BUF_INIT;
    unsigned n = 0;

    assert_int_equal(buf_add_str(&line, "{\"type\":\"ping\",\"note\":["), 0);
    add_many(&line, "0.12345678901234567,", 50000);
    assert_int_equal(buf_add_str(&line, "1]}\n"), 0);
    client_send_raw(slow, line.data, line.len);
    do {
        if (strstr(client_ask(quick, "{\"type\":\"ping\"}"), "\"pong\"") == NULL)
            harness_fail("a ping is not answered");
        n++;
    } while (client_recv_within(slow, 0) == NULL);
    if (n < 10)
        harness_fail("%u of the others were answered before it", n);
    client_close(slow);
    client_close(quick);
    cluster_free(c);
}

/* Thousands of questions about the node itself. */
CASE(turns__status_without_a_pause)
{
    static const char *const allowed[] = {"status_ok", NULL};
    struct cluster *c = cluster_up_without_syncs(3, TIMES);
    cleanup_buf struct buf line = BUF_INIT;
    json_t *status;

    (void)buf_add_str(&line, "{\"type\":\"status\"}\n");
    flood_with(c, &line, 2, 3000, allowed);
    status = node_status(c, cluster_leader(c));
    if (reply_int(json_object_get(status, "turn"), "cpu_max_us") <= 0 ||
        reply_int(json_object_get(status, "turn"), "cpu_p50_us") < 0 ||
        reply_int(json_object_get(status, "turn"), "cpu_p999_us") < 0)
        harness_fail("status does not tell how long turns are");
    json_decref(status);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(turns__cas_against_a_nested_array),
        HARNESS_TEST(turns__cas_of_one_against_a_flat_value),
        HARNESS_TEST(turns__batches_of_one_long_value),
        HARNESS_TEST(turns__long_writes_of_many),
        HARNESS_TEST(turns__cas_of_a_megabyte),
        HARNESS_TEST(turns__pings_of_empty_arrays),
        HARNESS_TEST(turns__pings_of_empty_arrays_of_four),
        HARNESS_TEST(turns__others_are_answered_while_a_line_is_decoded),
        HARNESS_TEST(turns__status_without_a_pause),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
