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
#define TIMES "[raft]\nheartbeat_ms = 100\nelection_ms = 1000\n"

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
    cleanup_free char *text = strndup(line, len);

    for (unsigned i = 0; allowed[i] != NULL; i++) {
        if (text != NULL && strstr(text, allowed[i]) != NULL) {
            s->n_replies++;
            return;
        }
    }
    harness_fail("not one of the replies that may come: %.300s", text);
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

/* All lines from all senders, until each has its reply; the good client gets at least so many
 * meanwhile, and neither leader nor term change. */
static void flood(struct cluster *c, struct sender *s, unsigned n, const char *const *allowed,
                  unsigned n_good)
{
    struct good good = {0};
    unsigned leader = cluster_leader(c);
    json_t *before = node_status(c, leader);
    json_t *after;
    uint64_t deadline = now_ms() + slow(6 * WAIT_MS);

    good.swarm = swarm_new(c, 2, 2, &good_ops, &good);
    swarm_set_patience(good.swarm, (unsigned)slow(6 * WAIT_MS));
    while (replies_missing(s, n) > 0 || good.n_ok < n_good) {
        for (unsigned i = 0; i < n; i++)
            sender_turn(&s[i], allowed);
        swarm_turn(good.swarm, 1);
        if (now_ms() > deadline)
            harness_fail("%u replies are missing, and %u good ones came", replies_missing(s, n),
                         good.n_ok);
    }
    swarm_drain(good.swarm);
    swarm_free(good.swarm);
    after = node_status(c, cluster_leader(c));
    if (good.n_wrong > 0)
        harness_fail("%u of the good client's requests failed: %s", good.n_wrong, good.wrong);
    if (reply_int(after, "term") != reply_int(before, "term") || cluster_leader(c) != leader)
        harness_fail("term %lld became %lld", (long long)reply_int(before, "term"),
                     (long long)reply_int(after, "term"));
    json_decref(before);
    json_decref(after);
}

static void senders_open(struct cluster *c, struct sender *s, unsigned n, unsigned n_lines,
                         const struct buf *line)
{
    memset(s, 0, n * sizeof(*s));
    for (unsigned i = 0; i < n; i++) {
        s[i].cl = client_open(c, cluster_leader(c));
        s[i].n_expected = n_lines;
        for (unsigned k = 0; k < n_lines; k++)
            (void)buf_add(&s[i].out, line->data, line->len);
    }
}

static void senders_close(struct sender *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        client_close(s[i].cl);
        buf_done(&s[i].out);
        buf_done(&s[i].in);
    }
}

/* ---- texts ---- */

static void add(struct buf *b, const char *text)
{
    (void)buf_add(b, text, strlen(text));
}

static void add_many(struct buf *b, const char *text, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(b, text);
}

static void write_once(struct cluster *c, struct buf *line)
{
    struct client *cl = client_open(c, cluster_leader(c));

    client_send_raw(cl, line->data, line->len);
    client_expect_reply(cl, "{\"type\":\"write_ok\"}");
    client_close(cl);
}

/* ---- the floods ---- */

/* Three nodes whose syncs do nothing. A leader whose disk is silent for an election timeout hands
 * over, and is right to (READ-51): whether the machine's disk is, with what else it does, must not
 * decide here, where it is about turns. */
static struct cluster *three_without_a_disk(void)
{
    static struct shim_env shim;
    struct cluster *c = cluster_new(3, TIMES);

    shim_env_init(&shim, "RIDD_SHIM_NO_SYNC=1");
    c->env = shim.env;
    cluster_init(c);
    cluster_start(c);
    return c;
}

/* 17 ms each on every node, when each level of nesting was looked at anew. */
CASE(turns__cas_against_a_nested_array)
{
    static const char *const allowed[] = {"precondition_failed", NULL};
    struct cluster *c = three_without_a_disk();
    struct sender s[4];
    struct buf line = BUF_INIT;

    add(&line, "{\"type\":\"write\",\"key\":\"deep\",\"value\":");
    add_many(&line, "[", 14);
    add_many(&line, "12,", 166000);
    add(&line, "1");
    add_many(&line, "]", 14);
    add(&line, "}\n");
    write_once(c, &line);
    buf_reset(&line, 0);
    add(&line, "{\"type\":\"cas\",\"key\":\"deep\",\"to\":1,\"from\":");
    add_many(&line, "[", 14);
    add(&line, "12,1");
    add_many(&line, "]", 14);
    add(&line, ",\"timeout_ms\":60000}\n");
    senders_open(c, s, 4, 128, &line);
    flood(c, s, 4, allowed, 50);
    senders_close(s, 4);
    buf_done(&line);
    cluster_free(c);
}

/* 64 MB were copied for each of them, only to be thrown away. */
CASE(turns__batches_of_one_long_value)
{
    static const char *const allowed[] = {"too_large", NULL};
    struct cluster *c = three_without_a_disk();
    struct sender s[1];
    struct buf line = BUF_INIT;

    add(&line, "{\"type\":\"write\",\"key\":\"big\",\"value\":\"");
    add_many(&line, "0123456789", 50000);
    add(&line, "\"}\n");
    write_once(c, &line);
    buf_reset(&line, 0);
    add(&line, "{\"type\":\"batch_read_index\",\"timeout_ms\":60000,\"keys\":[");
    add_many(&line, "\"big\",", 127);
    add(&line, "\"big\"]}\n");
    senders_open(c, s, 1, 128, &line);
    flood(c, s, 1, allowed, 50);
    senders_close(s, 1);
    buf_done(&line);
    cluster_free(c);
}

/* Turns of more than a second. What does not fit is refused, definitely. */
CASE(turns__long_writes_of_many)
{
    static const char *const allowed[] = {"write_ok", "overloaded", "\"busy\"", NULL};
    struct cluster *c = three_without_a_disk();
    static struct sender s[64];
    struct buf line = BUF_INIT;

    add(&line, "{\"type\":\"write\",\"timeout_ms\":60000,\"key\":\"long\",\"value\":\"");
    add_many(&line, "0123456789", 40000);
    add(&line, "\"}\n");
    senders_open(c, s, 64, 2, &line);
    flood(c, s, 64, allowed, 50);
    senders_close(s, 64);
    buf_done(&line);
    cluster_free(c);
}

/* 100 ms each to take in, when trees were built of them, and as much again to compare. */
CASE(turns__cas_of_a_megabyte)
{
    static const char *const allowed[] = {"cas_ok", "precondition_failed", "overloaded", NULL};
    struct cluster *c = three_without_a_disk();
    struct sender s[8];
    struct buf line = BUF_INIT;

    add(&line, "{\"type\":\"write\",\"key\":\"wide\",\"value\":[");
    add_many(&line, "1,", 255000);
    add(&line, "1]}\n");
    write_once(c, &line);
    buf_reset(&line, 0);
    add(&line, "{\"type\":\"cas\",\"timeout_ms\":60000,\"key\":\"wide\",\"from\":[");
    add_many(&line, "1,", 255000);
    add(&line, "1],\"to\":[");
    add_many(&line, "1,", 255000);
    add(&line, "1]}\n");
    senders_open(c, s, 8, 2, &line);
    flood(c, s, 8, allowed, 50);
    senders_close(s, 8);
    buf_done(&line);
    cluster_free(c);
}

/* Thousands of questions about the node itself. */
CASE(turns__status_without_a_pause)
{
    static const char *const allowed[] = {"status_ok", NULL};
    struct cluster *c = three_without_a_disk();
    struct sender s[2];
    struct buf line = BUF_INIT;
    json_t *status;

    add(&line, "{\"type\":\"status\"}\n");
    senders_open(c, s, 2, 3000, &line);
    flood(c, s, 2, allowed, 50);
    status = node_status(c, cluster_leader(c));
    if (reply_int(json_object_get(status, "turn"), "cpu_max_us") <= 0 ||
        reply_int(json_object_get(status, "turn"), "cpu_p50_us") < 0 ||
        reply_int(json_object_get(status, "turn"), "cpu_p999_us") < 0)
        harness_fail("status does not tell how long turns are");
    json_decref(status);
    senders_close(s, 2);
    buf_done(&line);
    cluster_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(turns__cas_against_a_nested_array),
        HARNESS_TEST(turns__batches_of_one_long_value),
        HARNESS_TEST(turns__long_writes_of_many),
        HARNESS_TEST(turns__cas_of_a_megabyte),
        HARNESS_TEST(turns__status_without_a_pause),
    };

    return harness_main(argc, argv, tests, NULL, NULL);
}
