/* What a run has to say: the three fields of everybody, and the figures of who wants them. */
#include <stdlib.h>

#include "service/compare_int.h"

#include "base/banned.h"

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of the reads did not exceed. */
static uint32_t percentile(const struct compare_method_run *m, unsigned percent)
{
    uint64_t rank = ((uint64_t)m->n * percent + 99) / 100;

    return m->n == 0 ? 0 : m->us[rank > 0 ? rank - 1 : 0];
}

static uint64_t average(const struct compare_method_run *m)
{
    return m->n == 0 ? 0 : (m->sum_us + m->n / 2) / m->n;
}

/* ---- the histogram ---- */

/* The least value of the bucket behind that of `us`: a quarter of a power of two is one bucket, so
 * that each is at most a quarter wide of what is in it; below four each value is its own. */
static uint64_t bucket_end(uint32_t us)
{
    unsigned shift = 0;

    while (us >> shift >= 8)
        shift++;
    return ((uint64_t)(us >> shift) + 1) << shift;
}

/* Of values in order: each bucket that is not empty, by the highest value that it may hold. */
static void reply_histogram(struct wire_reply *w, const struct compare_method_run *m)
{
    wire_reply_open_array(w, "histogram");
    for (uint32_t i = 0; i < m->n;) {
        const uint64_t end = bucket_end(m->us[i]);
        uint32_t n = 0;

        while (i < m->n && m->us[i] < end) {
            i++;
            n++;
        }
        wire_reply_open_array(w, NULL);
        wire_reply_u64(w, NULL, end - 1);
        wire_reply_u64(w, NULL, n);
        wire_reply_close_array(w);
    }
    wire_reply_close_array(w);
}

/* ---- one method ---- */

static const char *promise_name(enum compare_promise promise)
{
    switch (promise) {
    case COMPARE_LINEARIZABLE:
        return "linearizable";
    case COMPARE_BOUND:
        return "bound";
    case COMPARE_NOTHING:
        break;
    }
    return "nothing";
}

static void reply_cost(struct compare *c, struct wire_reply *w, const struct compare_cost *cost)
{
    wire_reply_open_object(w, "cost");
    wire_reply_u64(w, "reads", cost->reads);
    wire_reply_u64(w, "messages", cost->messages);
    wire_reply_u64(w, "rounds", cost->rounds);
    wire_reply_u64(w, "asks", cost->asks);
    wire_reply_u64(w, "log_entries", cost->entries);
    if (c->service->ops.costs != NULL) {
        wire_reply_u64(w, "log_bytes", cost->host.log_bytes);
        wire_reply_u64(w, "fsyncs", cost->host.fsyncs);
        wire_reply_u64(w, "disk_writes", cost->host.disk_writes);
        wire_reply_u64(w, "wire_bytes", cost->host.wire_bytes);
    }
    wire_reply_close_object(w);
}

static void reply_method(struct compare *c, struct wire_reply *w, enum compare_method method)
{
    struct compare_method_run *m = &c->methods[method];
    struct service *s = c->service;

    qsort(m->us, m->n, sizeof(*m->us), by_value);
    wire_reply_open_object(w, NULL);
    wire_reply_str(w, "method", compare_kinds[method].name);
    wire_reply_u64(w, "reads", m->n);
    wire_reply_ms(w, "avg_ms", average(m));
    wire_reply_ms(w, "p50_ms", percentile(m, 50));
    wire_reply_ms(w, "p95_ms", percentile(m, 95));
    wire_reply_ms(w, "p99_ms", percentile(m, 99));
    wire_reply_ms(w, "max_ms", percentile(m, 100));
    wire_reply_u64(w, "log_entries", m->n_entries);
    wire_reply_u64(w, "log_bytes",
                   s->ops.record_bytes != NULL ? m->n_entries * s->ops.record_bytes(s->ops.ctx, 0)
                                               : 0);
    wire_reply_u64(w, "fsyncs", m->n_batches);
    wire_reply_u64(w, "quorum_rounds", m->n_rounds);
    wire_reply_u64(w, "stale", m->n_stale);
    /* Little's law: what `concurrency` reads at a time of this method alone give at the average
     * measured. */
    wire_reply_u64(w, "reads_per_s",
                   m->sum_us == 0 ? 0 : (uint64_t)m->n * c->concurrency * 1000000u / m->sum_us);
    wire_reply_str(w, "promises", promise_name(compare_kinds[method].promise));
    wire_reply_u64(w, "wrong", m->n_wrong);
    if (method == COMPARE_LEASE)
        wire_reply_u64(w, "lease_fallbacks", m->n_fallbacks);
    reply_histogram(w, m);
    if (m->has_cost)
        reply_cost(c, w, &m->cost);
    wire_reply_close_object(w);
}

/* ---- all of it ---- */

static void reply_average(struct compare *c, struct wire_reply *w, const char *name,
                          enum compare_method method)
{
    if (c->methods[method].wanted)
        wire_reply_ms(w, name, average(&c->methods[method]));
    else
        wire_reply_null(w, name);
}

/* Questions of this node as a follower, and of others that this one answered as the leader. */
static void reply_asks(struct compare *c, struct wire_reply *w)
{
    const struct raft_status *b = &c->before;
    struct raft_status st;

    raft_get_status(replica_raft(c->service->replica), &st);
    wire_reply_open_object(w, "asks");
    wire_reply_u64(w, "sent", st.n_asks_sent - b->n_asks_sent);
    wire_reply_u64(w, "by_ack", st.n_asks_by_ack - b->n_asks_by_ack);
    wire_reply_u64(w, "by_lease", st.n_asks_by_lease - b->n_asks_by_lease);
    wire_reply_u64(w, "by_round", st.n_asks_by_round - b->n_asks_by_round);
    wire_reply_close_object(w);
}

static void reply_figures(struct compare *c, struct wire_reply *w)
{
    const struct service *s = c->service;

    wire_reply_open_array(w, "methods");
    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        if (c->methods[i].wanted)
            reply_method(c, w, (enum compare_method)i);
    wire_reply_close_array(w);
    wire_reply_u64(w, "concurrency", c->concurrency);
    wire_reply_ms(w, "elapsed_ms", s->ops.now_us(s->ops.ctx) - c->begun_us);
    wire_reply_str(w, "node", s->conf.node_name);
    wire_reply_bool(w, "writes", c->writes);
    wire_reply_u64(w, "values_seen", c->n_seen);
    if (c->methods[COMPARE_BOUNDED].wanted)
        wire_reply_u64(w, "max_stale_ms", c->max_stale_us / 1000u);
    reply_asks(c, w);
}

/* Earned by every read of the run, and by nobody where none promised it. */
static bool some_is_linearizable(const struct compare *c)
{
    for (unsigned i = 0; i < COMPARE_METHODS; i++)
        if (c->methods[i].wanted && compare_kinds[i].promise == COMPARE_LINEARIZABLE)
            return true;
    return false;
}

void compare_reply(struct compare *c, struct buf *out)
{
    struct service *s = c->service;
    struct wire_reply w;

    service_begin(s, &w, out, &c->req->origin, "compare_read_methods_ok");
    reply_average(c, &w, "read_index_avg_ms", COMPARE_INDEX);
    reply_average(c, &w, "read_via_log_avg_ms", COMPARE_LOG);
    if (some_is_linearizable(c))
        wire_reply_bool(&w, "both_linearizable", c->is_right);
    else
        wire_reply_null(&w, "both_linearizable");
    if (c->req->verbose)
        reply_figures(c, &w);
    service_end(s, &w, &c->req->origin);
}
