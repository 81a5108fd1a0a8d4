/* What tests of requests share: nodes of the replica fixture with a service each, connections whose
 * replies are read when the test says so, and questions of one line. */
#ifndef RIDD_TESTS_SERVICE_UTIL_H
#define RIDD_TESTS_SERVICE_UTIL_H

#include "test-replica-util.h"

#include <jansson.h>

#include "base/cleanup.h"
#include "service/service_int.h"

struct host {
    struct fx fx;
    struct service *services[FX_NODES_MAX];
    struct memory memory;
    unsigned n_slow;   /* operations that it was told were */
    uint64_t clock_us; /* that each look of the service at the clock takes */
};

struct conn {
    struct host *host;
    struct service_conn *sc;
    struct buf out;
    struct memory_conn memory;
    size_t touched;
    int n_held;
    bool dead;
};

/* ---- the host of the service ---- */

static inline struct buf *host_out(void *ctx, void *conn)
{
    struct conn *c = conn;

    (void)ctx;
    return c->dead ? NULL : &c->out;
}

static inline void host_hold(void *ctx, void *conn)
{
    (void)ctx;
    ((struct conn *)conn)->n_held++;
}

static inline void host_release(void *ctx, void *conn)
{
    (void)ctx;
    ((struct conn *)conn)->n_held--;
}

static inline struct memory_conn *host_memory(void *ctx, void *conn)
{
    (void)ctx;
    return &((struct conn *)conn)->memory;
}

static inline uint64_t host_now(void *ctx)
{
    struct host *h = ctx;

    h->fx.now_us += h->clock_us;
    return h->fx.now_us;
}

static inline uint64_t host_record_bytes(void *ctx, size_t payload_len)
{
    (void)ctx;
    return payload_len;
}

static inline void host_touched(void *ctx, void *conn, size_t bytes)
{
    (void)ctx;
    ((struct conn *)conn)->touched += bytes;
}

static inline void host_event(void *ctx, enum log_level level, const char *event, const char *text)
{
    (void)ctx;
    (void)level;
    (void)event;
    (void)text;
}

static inline void host_slow(void *ctx, const struct service_slow_op *op)
{
    struct host *h = ctx;

    (void)op;
    h->n_slow++;
}

static inline void host_init(struct host *h, int n, const char *hash)
{
    static const char *const names[] = {"n1", "n2", "n3"};
    const struct service_ops ops = {.ctx = h,
                                    .out = host_out,
                                    .hold = host_hold,
                                    .release = host_release,
                                    .memory = host_memory,
                                    .now_us = host_now,
                                    .touched = host_touched,
                                    .record_bytes = host_record_bytes,
                                    .event = host_event,
                                    .slow = host_slow};
    const struct service_conf conf = {
        .cluster_name = "test", .cluster_hash = hash, .memory = &h->memory};

    memset(h, 0, sizeof(*h));
    memory_init(&h->memory, 1u << 30);
    fx_init(&h->fx, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(service_new(&conf, &ops, &h->services[i]), 0);
        service_set_replica(h->services[i], h->fx.nodes[i].replica, names[i]);
    }
}

static inline void host_done(struct host *h)
{
    assert_int_equal(h->memory.all.used, 0);
    for (int i = 0; i < h->fx.n; i++)
        assert_int_equal(service_n_pending(h->services[i]), 0);
    fx_done(&h->fx);
    for (int i = 0; i < h->fx.n; i++)
        service_free(h->services[i]);
}

static inline void conn_open(struct conn *c, struct host *h, int node)
{
    memset(c, 0, sizeof(*c));
    c->host = h;
    memory_conn_init(&c->memory, &h->memory);
    assert_int_equal(service_conn_new(h->services[node], c, &c->sc), 0);
}

static inline void conn_close(struct conn *c)
{
    service_conn_check(c->sc);
    service_conn_free(c->sc);
    assert_int_equal(c->memory.requests.used, 0);
    assert_int_equal(c->n_held, 0);
    budget_set(&c->memory.replies, 0);
    buf_done(&c->out);
}

static inline void settle(struct host *h)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < h->fx.n; i++)
            service_turn(h->services[i], h->fx.now_us);
        fx_settle(&h->fx);
    }
}

static inline void say(struct conn *c, const char *line)
{
    while (service_line(c->sc, line, strlen(line), 7))
        ;
}

/* The lines that are there, without the last newline; NULL when there is none. */
static inline char *take(struct conn *c)
{
    char *text;

    if (c->out.len == 0)
        return NULL;
    assert_int_equal(c->out.data[c->out.len - 1], '\n');
    c->out.data[c->out.len - 1] = '\0';
    text = strdup((const char *)c->out.data);
    assert_non_null(text);
    buf_reset(&c->out, 0);
    budget_set(&c->memory.replies, 0);
    return text;
}

static inline json_t *ask(struct host *h, struct conn *c, const char *line)
{
    json_t *root;
    char *got;

    if (line != NULL)
        say(c, line);
    settle(h);
    got = take(c);
    assert_non_null(got);
    root = json_loads(got, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    free(got);
    return root;
}

static inline const char *str_of(const json_t *root, const char *name)
{
    const char *s = json_string_value(json_object_get(root, name));

    return s != NULL ? s : "(none)";
}

#endif
