/* Many clients in one thread, over poll(). A request is sent once; whatever happens to its
 * connection before the reply makes its outcome unknown, and the next request takes the next
 * number. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cluster/harness.h"

#include "base/banned.h"

#define FIELDS_BYTES (256u << 10)
#define READ_BYTES   65536u

struct flight {
    uint64_t msg_id;
    uint64_t sent_ms;
};

struct member {
    int fd;
    unsigned node;
    bool connecting;
    uint64_t retry_ms; /* not before this */
    int leader;        /* where it goes as soon as nothing is owed here any more; -1: it stays */
    uint64_t next_id;
    struct buf in;
    struct buf out;
    struct flight *flights; /* in the order sent */
    unsigned n_flights;
};

struct swarm {
    struct cluster *cluster;
    struct swarm_ops ops;
    void *ctx;
    unsigned n;
    unsigned depth;
    unsigned patience_ms;
    bool draining;
    struct member *members;
    struct pollfd *polls;
    char *fields;
};

struct swarm *swarm_new(struct cluster *c, unsigned n_clients, unsigned depth,
                        const struct swarm_ops *ops, void *ctx)
{
    struct swarm *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->cluster = c;
    s->ops = *ops;
    s->ctx = ctx;
    s->n = n_clients;
    s->depth = depth;
    s->patience_ms = (unsigned)slow(3000);
    s->members = calloc(n_clients, sizeof(*s->members));
    s->polls = calloc(n_clients, sizeof(*s->polls));
    s->fields = malloc(FIELDS_BYTES);
    assert_non_null(s->members);
    assert_non_null(s->polls);
    assert_non_null(s->fields);
    for (unsigned i = 0; i < n_clients; i++) {
        s->members[i].fd = -1;
        s->members[i].leader = -1;
        s->members[i].node = i % c->n;
        s->members[i].next_id = 1;
        s->members[i].flights = calloc(depth, sizeof(struct flight));
        assert_non_null(s->members[i].flights);
    }
    return s;
}

void swarm_free(struct swarm *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->members[i].fd >= 0)
            (void)close(s->members[i].fd);
        buf_done(&s->members[i].in);
        buf_done(&s->members[i].out);
        free(s->members[i].flights);
    }
    free(s->members);
    free(s->polls);
    free(s->fields);
    free(s);
}

void swarm_set_patience(struct swarm *s, unsigned ms)
{
    s->patience_ms = ms;
}

unsigned swarm_in_flight(const struct swarm *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n; i++)
        n += s->members[i].n_flights;
    return n;
}

/* The connection goes; what was asked on it has no known outcome. */
static void drop(struct swarm *s, unsigned i, unsigned next_node)
{
    struct member *m = &s->members[i];
    unsigned n = m->n_flights;

    if (m->fd >= 0)
        (void)close(m->fd);
    m->fd = -1;
    m->connecting = false;
    buf_reset(&m->in, SIZE_MAX);
    buf_reset(&m->out, SIZE_MAX);
    m->node = next_node % s->cluster->n;
    m->retry_ms = now_ms() + 10;
    m->leader = -1;
    m->n_flights = 0;
    for (unsigned k = 0; k < n; k++)
        s->ops.done(s->ctx, i, m->flights[k].msg_id, NULL);
}

static void connect_member(struct swarm *s, unsigned i)
{
    struct member *m = &s->members[i];
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(s->cluster->nodes[m->node].port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;

    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(m->fd >= 0);
    (void)setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(m->fd, (struct sockaddr *)&in, sizeof(in)) == 0)
        m->connecting = false;
    else if (errno == EINPROGRESS)
        m->connecting = true;
    else
        drop(s, i, m->node + 1);
}

static void fill(struct swarm *s, unsigned i)
{
    struct member *m = &s->members[i];

    /* More here would be refused like what is under way, and there would always be some. */
    while (!s->draining && m->leader < 0 && m->n_flights < s->depth && m->out.len < (1u << 20)) {
        if (!s->ops.next(s->ctx, i, m->next_id, s->fields, FIELDS_BYTES))
            return;
        assert_int_equal(buf_add_format(&m->out, "{\"msg_id\":%llu,%s}\n",
                                        (unsigned long long)m->next_id, s->fields),
                         0);
        m->flights[m->n_flights++] = (struct flight){m->next_id++, now_ms()};
    }
}

static void flush(struct swarm *s, unsigned i)
{
    struct member *m = &s->members[i];

    while (m->out.len > 0) {
        ssize_t sent = send(m->fd, m->out.data, m->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR)
                drop(s, i, m->node + 1);
            return;
        }
        buf_consume(&m->out, (size_t)sent);
    }
}

static void take_reply(struct swarm *s, unsigned i, const char *line, size_t len)
{
    struct member *m = &s->members[i];
    json_t *reply = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    uint64_t id;
    unsigned k;

    if (reply == NULL)
        harness_fail("not JSON: %.*s", (int)(len < 300 ? len : 300), line);
    id = (uint64_t)reply_int(reply, "in_reply_to");
    for (k = 0; k < m->n_flights && m->flights[k].msg_id != id; k++)
        ;
    if (k == m->n_flights)
        harness_fail("an answer to nothing that was asked: %.*s", (int)(len < 300 ? len : 300),
                     line);
    memmove(&m->flights[k], &m->flights[k + 1], (m->n_flights - k - 1) * sizeof(*m->flights));
    m->n_flights--;
    if (strcmp(reply_str(reply, "error"), "not_leader") == 0 ||
        strcmp(reply_str(reply, "error"), "cancelled") == 0) {
        m->leader = cluster_find(s->cluster, reply_str(reply, "leader_id"));
        if (m->leader < 0)
            m->leader = (int)((m->node + 1) % s->cluster->n);
    }
    s->ops.done(s->ctx, i, id, reply);
    json_decref(reply);
}

static void take_in(struct swarm *s, unsigned i)
{
    struct member *m = &s->members[i];
    void *room = buf_reserve(&m->in, READ_BYTES);
    ssize_t got;
    size_t from = 0;
    char *end;

    assert_non_null(room);
    got = recv(m->fd, room, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            drop(s, i, m->node + 1);
        return;
    }
    m->in.len += (size_t)got;
    while ((end = memchr(m->in.data + from, '\n', m->in.len - from)) != NULL) {
        size_t at = (size_t)((unsigned char *)end - m->in.data);

        take_reply(s, i, (char *)m->in.data + from, at - from);
        from = at + 1;
    }
    buf_consume(&m->in, from);
    if (m->leader < 0 || m->n_flights > 0)
        return;
    if ((unsigned)m->leader != m->node)
        drop(s, i, (unsigned)m->leader);
    m->leader = -1;
    m->retry_ms = now_ms() + 10;
}

void swarm_turn(struct swarm *s, unsigned ms)
{
    uint64_t now = now_ms();
    unsigned wait = ms;

    for (unsigned i = 0; i < s->n; i++) {
        struct member *m = &s->members[i];
        bool ready = now >= m->retry_ms;

        if (m->fd >= 0 && m->n_flights > 0 && now > m->flights[0].sent_ms + s->patience_ms)
            drop(s, i, m->node + 1);
        if (m->fd < 0 && ready && !s->draining)
            connect_member(s, i);
        if (m->fd >= 0 && !m->connecting && ready) {
            fill(s, i);
            flush(s, i);
        }
        if (!ready && wait > 5)
            wait = 5;
        s->polls[i] = (struct pollfd){.fd = m->fd, .events = POLLIN};
        if (m->fd >= 0 && (m->connecting || m->out.len > 0))
            s->polls[i].events |= POLLOUT;
    }
    if (poll(s->polls, s->n, (int)wait) <= 0)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        struct member *m = &s->members[i];
        int error = 0;
        socklen_t size = sizeof(error);

        if (s->polls[i].revents == 0 || m->fd < 0)
            continue;
        if (m->connecting) {
            if (getsockopt(m->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
                drop(s, i, m->node + 1);
                continue;
            }
            m->connecting = false;
        }
        if (s->polls[i].revents & (POLLIN | POLLHUP | POLLERR))
            take_in(s, i);
    }
}

void swarm_drain(struct swarm *s)
{
    uint64_t deadline = now_ms() + slow(WAIT_MS);

    s->draining = true;
    while (swarm_in_flight(s) > 0) {
        if (now_ms() > deadline)
            harness_fail("%u requests are never answered", swarm_in_flight(s));
        swarm_turn(s, 20);
    }
    s->draining = false;
}

/* ---- writers ---- */

/* One request per write: the number of the write is found by client and msg_id. */
struct writer_key {
    unsigned client;
    uint64_t msg_id;
};

struct numbering {
    struct writers *w;
    struct writer_key *keys; /* of write i */
    size_t size;
    char *padding;
};

static size_t find_write(const struct numbering *g, unsigned client, uint64_t msg_id)
{
    /* The youngest writes are the ones under way. */
    for (size_t i = g->w->n; i-- > 0;)
        if (g->keys[i].client == client && g->keys[i].msg_id == msg_id)
            return i;
    harness_fail("a write that nobody made");
}

static bool next_write(void *ctx, unsigned client, uint64_t msg_id, char *fields, size_t size)
{
    struct numbering *g = ctx;
    struct writers *w = g->w;

    if (w->n == w->size) {
        w->size = w->size == 0 ? 4096 : w->size * 2;
        w->fates = realloc(w->fates, w->size);
        g->keys = realloc(g->keys, w->size * sizeof(*g->keys));
        assert_non_null(w->fates);
        assert_non_null(g->keys);
    }
    g->keys[w->n] = (struct writer_key){client, msg_id};
    w->fates[w->n] = FATE_SENT;
    assert_true((size_t)snprintf(fields, size,
                                 "\"type\":\"write\",\"key\":\"%s%zu\",\"value\":\"%zu%s\"",
                                 w->prefix, w->n, w->n, g->padding) < size);
    w->n++;
    return true;
}

static void write_done(void *ctx, unsigned client, uint64_t msg_id, const json_t *reply)
{
    struct numbering *g = ctx;
    struct writers *w = g->w;
    size_t i = find_write(g, client, msg_id);

    if (reply != NULL && reply_is(reply, "write_ok")) {
        w->fates[i] = FATE_ACKNOWLEDGED;
        w->n_acknowledged++;
    } else if (reply != NULL && json_is_true(json_object_get(reply, "definite"))) {
        w->fates[i] = FATE_FAILED;
        w->n_failed++;
    } else {
        w->fates[i] = FATE_UNKNOWN;
        w->n_unknown++;
    }
}

void writers_init(struct writers *w, struct cluster *c, unsigned n_clients, unsigned depth,
                  const char *prefix, size_t value_bytes)
{
    static const struct swarm_ops ops = {next_write, write_done};
    struct numbering *g = calloc(1, sizeof(*g));

    assert_non_null(g);
    memset(w, 0, sizeof(*w));
    w->cluster = c;
    w->prefix = prefix;
    w->value_bytes = value_bytes;
    g->w = w;
    g->padding = malloc(value_bytes + 2);
    assert_non_null(g->padding);
    memset(g->padding, '.', value_bytes + 1);
    g->padding[0] = ':';
    g->padding[value_bytes + 1] = '\0';
    w->swarm = swarm_new(c, n_clients, depth, &ops, g);
    w->numbering = g;
}

void writers_run(struct writers *w, unsigned n_more)
{
    uint64_t goal = w->n_acknowledged + n_more;
    uint64_t deadline = now_ms() + slow(2 * WAIT_MS);

    while (w->n_acknowledged < goal) {
        if (now_ms() > deadline)
            harness_fail("writing does not go on: %llu of %llu acknowledged",
                         (unsigned long long)w->n_acknowledged, (unsigned long long)goal);
        swarm_turn(w->swarm, 20);
    }
}

void writers_stop(struct writers *w)
{
    swarm_drain(w->swarm);
    swarm_free(w->swarm);
    w->swarm = NULL;
}

static void verify_value(const struct writers *w, const json_t *item, size_t i)
{
    const json_t *value = json_object_get(item, "value");
    const char *text = json_string_value(value);
    char want[64];

    if (json_is_null(value)) {
        if (w->fates[i] == FATE_ACKNOWLEDGED)
            harness_fail("LOST: the acknowledged write '%s%zu' is not there", w->prefix, i);
        return;
    }
    if (w->fates[i] == FATE_FAILED)
        harness_fail("the write '%s%zu' failed definitely, and is there", w->prefix, i);
    (void)snprintf(want, sizeof(want), "%zu:", i);
    if (text == NULL || strncmp(text, want, strlen(want)) != 0 ||
        strlen(text) != strlen(want) + w->value_bytes)
        harness_fail("'%s%zu' has a value that nobody wrote", w->prefix, i);
}

/* Asks until it is answered: a read may be repeated, and on a busy machine the leader may step down
 * between two of them. The caller decrefs. */
static json_t *read_back(struct cluster *c, struct client **cl, const char *ask)
{
    const uint64_t deadline = now_ms() + slow(2 * WAIT_MS);
    char why[200] = "no answer";

    while (now_ms() < deadline) {
        const char *line;
        json_t *reply;

        if (*cl == NULL)
            *cl = client_open(c, cluster_leader(c));
        client_send(*cl, ask);
        line = client_recv_within(*cl, (unsigned)slow(WAIT_MS));
        reply = line != NULL ? json_loads(line, 0, NULL) : NULL;
        if (reply_is(reply, "batch_read_index_ok"))
            return reply;
        if (reply != NULL)
            (void)snprintf(why, sizeof(why), "%s", reply_str(reply, "text"));
        json_decref(reply);
        client_close(*cl);
        *cl = NULL;
    }
    harness_fail("cannot read back: %s", why);
}

void writers_verify(struct writers *w, struct cluster *c)
{
    struct client *cl = NULL;
    size_t step = w->value_bytes > 4096 ? 16 : 128;

    for (size_t from = 0; from < w->n; from += step) {
        size_t to = from + step < w->n ? from + step : w->n;
        cleanup_buf struct buf ask = BUF_INIT;
        json_t *reply;
        json_t *values;

        (void)buf_add_str(&ask, "{\"type\":\"batch_read_index\",\"timeout_ms\":20000,\"keys\":[");
        for (size_t i = from; i < to; i++)
            (void)buf_add_format(&ask, "%s\"%s%zu\"", i > from ? "," : "", w->prefix, i);
        (void)buf_add(&ask, "]}", 3);
        reply = read_back(c, &cl, (const char *)ask.data);
        values = json_object_get(reply, "values");
        if (json_array_size(values) != to - from)
            harness_fail("a batch of %zu keys has %zu values", to - from, json_array_size(values));
        for (size_t i = from; i < to; i++)
            verify_value(w, json_array_get(values, i - from), i);
        json_decref(reply);
    }
    if (cl != NULL)
        client_close(cl);
}

void writers_done(struct writers *w)
{
    swarm_free(w->swarm);
    free(w->fates);
    if (w->numbering != NULL) {
        free(w->numbering->keys);
        free(w->numbering->padding);
        free(w->numbering);
    }
    memset(w, 0, sizeof(*w));
}
